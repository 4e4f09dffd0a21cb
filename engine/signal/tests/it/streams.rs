//! Stream management, as the modules of the OpenID conformance suite ask for it.

use serde_json::{Value, json};
use sluice_signal::{
    EventType, Level, RequestError, StreamStatus, stream::Update, transmitter::Settings,
};

use crate::support::{Bench, ISSUER, MINUTE, event, everything, profile, push_profile, settings};

const PUSH: &str = "urn:ietf:rfc:8935";
const POLL: &str = "urn:ietf:rfc:8936";

fn bench() -> Bench {
    Bench::new(vec![profile("one"), profile("two")])
}

#[track_caller]
fn bad<T: std::fmt::Debug>(outcome: Result<T, RequestError>) {
    assert!(matches!(outcome, Err(RequestError::Bad(_))), "{outcome:?}");
}

#[test]
fn t2_stream_control_happy_path() {
    let mut bench = bench();
    let id = bench.create("one", &everything());
    let read = bench.transmitter.read_streams("one", Some(&id)).unwrap();
    assert_eq!(read["iss"], ISSUER);
    assert_eq!(read["aud"], "https://one.example.com");
    assert_eq!(read["delivery"]["method"], POLL);
    assert_eq!(read["delivery"]["endpoint_url"], format!("{ISSUER}/ssf/poll/{id}"));
    assert_eq!(read["events_delivered"].as_array().unwrap().len(), 7);

    let now = bench.now;
    let one = EventType::RiskLevelChange.uri();
    let patch = json!({"stream_id": id, "events_requested": [one]});
    let patched = bench.transmitter.update_stream("one", &patch, Update::Merge, now).unwrap();
    assert_eq!(patched["events_delivered"], json!([one]));
    let put = json!({"stream_id": id, "events_requested": [one], "description": "d"});
    let replaced = bench.transmitter.update_stream("one", &put, Update::Replace, now).unwrap();
    assert_eq!(replaced["description"], "d");
    let put = json!({"stream_id": id, "events_requested": [one]});
    let replaced = bench.transmitter.update_stream("one", &put, Update::Replace, now).unwrap();
    assert!(replaced.get("description").is_none());

    assert_eq!(bench.transmitter.status("one", &id).unwrap()["status"], "enabled");
    for status in ["paused", "disabled", "enabled"] {
        let body = json!({"stream_id": id, "status": status, "reason": "r"});
        let answer = bench.transmitter.set_status("one", &body, now).unwrap();
        assert_eq!(answer, body);
        assert_eq!(bench.transmitter.status("one", &id).unwrap(), body);
    }
    bench.transmitter.delete_stream("one", &id, now).unwrap();
    assert_eq!(bench.transmitter.status("one", &id), Err(RequestError::Unknown));
    bench.commit();
    let left: Vec<&String> = bench.disk.keys().filter(|k| !k.starts_with("history/")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn t3_t8_t11_bodies_that_are_refused() {
    let mut bench = bench();
    let now = bench.now;
    let mut n = 0;
    let mut create = |body: Value| {
        n += 1;
        bench.transmitter.create_stream("one", &body, &n.to_string(), now)
    };
    bad(create(json!("text")));
    bad(create(json!({"events_requested": "all"})));
    bad(create(json!({"events_requested": [1]})));
    bad(create(json!({"description": 1})));
    bad(create(json!({"delivery": {"method": "urn:example:smoke"}})));
    bad(create(json!({"delivery": {"method": PUSH}})));
    bad(create(json!({"aud": "https://evil.example.com"})));
    let id = bench.create("one", &everything());
    for update in [Update::Merge, Update::Replace] {
        let mut change = |body: Value| bench.transmitter.update_stream("one", &body, update, now);
        bad(change(json!({"description": "no stream"})));
        bad(change(json!({"stream_id": id, "aud": "https://evil.example.com"})));
        bad(change(json!({"stream_id": id, "iss": "https://evil.example.com"})));
        bad(change(json!({"stream_id": id, "events_delivered": []})));
        bad(change(json!({"stream_id": id, "events_requested": {}})));
    }
    bad(bench.transmitter.set_status("one", &json!({"stream_id": id, "status": "on"}), now));
}

#[test]
fn t5_a_second_stream_has_another_id_and_there_is_a_bound() {
    let mut bench = bench();
    let first = bench.create("one", &everything());
    assert_ne!(first, bench.create("one", &everything()));
    for n in 0..14 {
        bench.transmitter.create_stream("one", &everything(), &format!("n{n}"), 0).unwrap();
    }
    let more = bench.transmitter.create_stream("one", &everything(), "more", 0);
    assert!(matches!(more, Err(RequestError::Conflict(_))), "{more:?}");
    bench.transmitter.create_stream("two", &everything(), "more", 0).unwrap();
}

#[test]
fn t7_t10_t13_t15_unknown_streams() {
    let mut bench = bench();
    let body =
        json!({"stream_id": "x", "status": "paused", "subject": {"format": "opaque", "id": "1"}});
    assert_eq!(bench.transmitter.read_streams("one", Some("x")), Err(RequestError::Unknown));
    for update in [Update::Merge, Update::Replace] {
        let change = bench.transmitter.update_stream("one", &body, update, 0);
        assert_eq!(change, Err(RequestError::Unknown));
    }
    assert_eq!(bench.transmitter.delete_stream("one", "x", 0), Err(RequestError::Unknown));
    assert_eq!(bench.transmitter.set_status("one", &body, 0), Err(RequestError::Unknown));
    assert_eq!(bench.transmitter.add_subject("one", &body, 0), Err(RequestError::Unknown));
}

#[test]
fn c1_requested_events_come_back_verbatim_and_secrets_do_not() {
    let mut bench = bench();
    let body = json!({
        "events_requested": ["urn:example:unknown", EventType::SessionRevoked.uri()],
        "delivery": {
            "method": PUSH, "endpoint_url": "https://one.example.com/push",
            "authorization_header": "Bearer hidden",
        },
        "unknown_member": true,
    });
    let id = bench.create("one", &body);
    let read = bench.transmitter.read_streams("one", Some(&id)).unwrap();
    assert_eq!(read["events_requested"], body["events_requested"]);
    assert_eq!(read["events_delivered"], json!([EventType::SessionRevoked.uri()]));
    assert!(!read.to_string().contains("hidden"), "{read}");
    // What was read can be sent back as it is, and the secret stays.
    let now = bench.now;
    bench.transmitter.update_stream("one", &read, Update::Replace, now).unwrap();
    let stream = bench.transmitter.streams().next().unwrap();
    assert!(format!("{:?}", stream.delivery).contains("hidden"));
    // Another endpoint does not inherit it.
    let moved = json!({"stream_id": id, "delivery": {
        "method": PUSH, "endpoint_url": "https://one.example.com/other"}});
    bench.transmitter.update_stream("one", &moved, Update::Merge, now).unwrap();
    let stream = bench.transmitter.streams().next().unwrap();
    assert!(!format!("{:?}", stream.delivery).contains("hidden"));
}

#[test]
fn c3_reading_all_is_a_list() {
    let mut bench = bench();
    assert_eq!(bench.transmitter.read_streams("one", None).unwrap(), json!([]));
    bench.create("one", &everything());
    assert_eq!(bench.transmitter.read_streams("one", None).unwrap().as_array().unwrap().len(), 1);
}

#[test]
fn p4_a_receiver_may_push_only_to_hosts_the_operator_named() {
    let mut bench = bench();
    let now = bench.now;
    for url in [
        "https://evil.example.com/push",
        "https://one.example.com@evil.example.com/",
        "https://one.example.com.evil.org/",
        "https://evil.org/#one.example.com",
        "file:///etc/passwd",
        "gopher://one.example.com/",
        "https://127.0.0.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://[::1]/",
        "https://one.example.com\\@evil.org/",
        "https://one.example.com /",
        "https://önë.example.com/",
        "",
    ] {
        let body = json!({"delivery": {"method": PUSH, "endpoint_url": url}});
        let error = bench.transmitter.create_stream("one", &body, "n", now).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, RequestError::Bad(_)), "{url}");
        assert!(url.is_empty() || !text.contains(url), "the answer echoes {url}: {text}");
    }
}

#[test]
fn n2_a_stream_of_another_receiver_does_not_exist() {
    let mut bench = bench();
    let id = bench.create("one", &everything());
    let now = bench.now;
    let subject = json!({"format": "email", "email": "ann@example.com"});
    let body = json!({"stream_id": id, "status": "disabled", "subject": subject, "state": "x"});
    let transmitter = &mut bench.transmitter;
    assert_eq!(transmitter.read_streams("two", Some(&id)), Err(RequestError::Unknown));
    assert_eq!(transmitter.read_streams("two", None).unwrap(), json!([]));
    assert_eq!(transmitter.status("two", &id), Err(RequestError::Unknown));
    assert_eq!(transmitter.set_status("two", &body, now), Err(RequestError::Unknown));
    assert_eq!(transmitter.delete_stream("two", &id, now), Err(RequestError::Unknown));
    assert_eq!(transmitter.add_subject("two", &body, now), Err(RequestError::Unknown));
    assert_eq!(transmitter.remove_subject("two", &body, now), Err(RequestError::Unknown));
    assert_eq!(transmitter.request_verification("two", &body, now), Err(RequestError::Unknown));
    bench.raise("ann@example.com", Level::High);
    let jti = bench.transmitter.queue(&id).next().unwrap().jti.clone();
    let ack = sluice_signal::transmitter::PollRequest::parse(&json!({"ack": [jti]})).unwrap();
    assert_eq!(bench.transmitter.poll("two", &id, &ack, now), Err(RequestError::Unknown));
    assert_eq!(bench.poll("one", &id, json!({})).len(), 1, "nobody else acknowledged it");
}

#[test]
fn t16_subject_control() {
    let mut only = profile("one");
    only.all_subjects = false;
    let mut bench = Bench::new(vec![only]);
    let id = bench.create("one", &everything());
    let subject = json!({"format": "email", "email": "ann@example.com"});
    let body = json!({"stream_id": id, "subject": subject, "verified": true});
    bench.raise("ann@example.com", Level::High);
    assert_eq!(bench.poll("one", &id, json!({})).len(), 0);
    let now = bench.now;
    bench.transmitter.add_subject("one", &body, now).unwrap();
    bench.raise("ann@example.com", Level::Medium);
    bench.raise("bob@example.com", Level::High);
    let sets = bench.poll("one", &id, json!({}));
    assert_eq!(sets.len(), 1);
    assert_eq!(sets[0].1.claims["sub_id"], subject);
    bad(bench.transmitter.add_subject("one", &json!({"stream_id": id}), now));
    bad(bench.transmitter.add_subject(
        "one",
        &json!({"stream_id": id, "subject": {"format": "x"}}),
        now,
    ));
}

#[test]
fn v3_a_removed_subject_is_heard_of_for_a_day() {
    let mut bench = bench();
    let id = bench.create("one", &everything());
    let body = json!({"stream_id": id, "subject": {"format": "email", "email": "ann@example.com"}});
    let now = bench.now;
    bench.transmitter.remove_subject("one", &body, now).unwrap();
    bench.raise("ann@example.com", Level::High);
    let sets = bench.poll("one", &id, json!({}));
    assert_eq!(sets.len(), 1, "whoever stole the credential cannot silence the stream at once");
    bench.poll("one", &id, json!({"ack": [sets[0].0]}));
    bench.now += 25 * 60 * MINUTE;
    let now = bench.now;
    bench.transmitter.tick(now);
    assert_eq!(bench.poll("one", &id, json!({})).len(), 0);
    bench.transmitter.add_subject("one", &body, now).unwrap();
    bench.raise("ann@example.com", Level::High);
    bench.now += MINUTE;
    // It was told HIGH last and missed the LOW: it has that level.
    assert_eq!(bench.poll("one", &id, json!({})).len(), 0);
    bench.raise("ann@example.com", Level::Low);
    bench.now += MINUTE;
    assert_eq!(bench.poll("one", &id, json!({})).len(), 1);
}

#[test]
fn t19_t20_t21_verification_by_poll() {
    let mut bench = bench();
    let id = bench.create("one", &everything());
    let now = bench.now;
    let ask = |bench: &mut Bench, state: &str| {
        let body = json!({"stream_id": id, "state": state});
        let now = bench.now;
        let outcome = bench.transmitter.request_verification("one", &body, now);
        bench.commit();
        outcome
    };
    ask(&mut bench, "first").unwrap();
    let wait = ask(&mut bench, "too soon");
    assert_eq!(wait, Err(RequestError::TooSoon(60)));
    let poll = json!({"maxEvents": 10, "returnImmediately": true});
    let sets = bench.poll("one", &id, poll.clone());
    assert_eq!(sets.len(), 1);
    let (jti, set) = &sets[0];
    assert_eq!(set.claims["jti"], jti.as_str());
    assert_eq!(set.claims["sub_id"], json!({"format": "opaque", "id": id}));
    assert_eq!(event(set), &json!({"state": "first"}));
    assert_eq!(set.known, [EventType::Verification]);
    // Not acknowledged: not handed out to another worker now, again after a minute.
    assert_eq!(bench.poll("one", &id, poll.clone()).len(), 0);
    bench.now = now + MINUTE;
    assert_eq!(bench.poll("one", &id, poll.clone())[0].0, *jti);
    ask(&mut bench, "second").unwrap();
    let sets = bench.poll("one", &id, json!({"ack": [jti], "returnImmediately": true}));
    assert_eq!(event(&sets[0].1), &json!({"state": "second"}));
    let ack = json!({"maxEvents": 0, "ack": [sets[0].0, "unknown"], "returnImmediately": true});
    assert_eq!(bench.poll("one", &id, ack).len(), 0);
    bench.now += 2 * MINUTE;
    assert_eq!(bench.poll("one", &id, poll).len(), 0);
    assert_eq!(bench.transmitter.health(&id).queued, 0);
}

#[test]
fn v1_paused_holds_and_disabled_does_not() {
    let mut bench = bench();
    let id = bench.create("one", &everything());
    let status = |bench: &mut Bench, status: &str| {
        let now = bench.now;
        let body = json!({"stream_id": id, "status": status});
        bench.transmitter.set_status("one", &body, now).unwrap();
    };
    status(&mut bench, "paused");
    bench.raise("ann@example.com", Level::High);
    assert_eq!(bench.poll("one", &id, json!({})).len(), 0);
    assert_eq!(bench.transmitter.health(&id).queued, 1);
    status(&mut bench, "enabled");
    assert_eq!(bench.poll("one", &id, json!({})).len(), 1);
    status(&mut bench, "disabled");
    assert_eq!(bench.transmitter.health(&id).queued, 0);
    bench.raise("bob@example.com", Level::High);
    status(&mut bench, "enabled");
    assert_eq!(bench.poll("one", &id, json!({})).len(), 0);
}

#[test]
fn v2_a_status_that_we_set_is_announced() {
    let mut bench = bench();
    let id = bench.create("one", &everything());
    let now = bench.now;
    bench.transmitter.operate_status(&id, StreamStatus::Paused, "maintenance", "ann", now).unwrap();
    bench.raise("ann@example.com", Level::High);
    // The news of it is handed out, and nothing else.
    let sets = bench.poll("one", &id, json!({}));
    assert_eq!(sets.len(), 1);
    assert_eq!(event(&sets[0].1), &json!({"status": "paused", "reason": "maintenance"}));
    assert_eq!(sets[0].1.claims["sub_id"], json!({"format": "opaque", "id": id}));
    bench.transmitter.operate_status(&id, StreamStatus::Enabled, "over", "ann", now).unwrap();
    let sets = bench.poll("one", &id, json!({"ack": [sets[0].0]}));
    let told: Vec<&Value> = sets.iter().map(|(_, set)| event(set)).collect();
    assert!(told.iter().any(|event| event["status"] == "enabled"), "{told:?}");
    assert!(told.iter().any(|event| event["current_level"] == "HIGH"), "{told:?}");
    let acks: Vec<&String> = sets.iter().map(|(jti, _)| jti).collect();
    // Disabled, it makes none but says so.
    bench.transmitter.operate_status(&id, StreamStatus::Disabled, "closed", "ann", now).unwrap();
    bench.raise("bob@example.com", Level::High);
    let sets = bench.poll("one", &id, json!({"ack": acks}));
    assert_eq!(sets.len(), 1);
    assert_eq!(event(&sets[0].1), &json!({"status": "disabled", "reason": "closed"}));
}

#[test]
fn t23_every_delivered_type_can_be_triggered() {
    let mut bench = bench();
    let id = bench.create("one", &everything());
    let mut seen = Vec::new();
    for event_type in EventType::offered() {
        let subject =
            sluice_signal::SubjectId::parse(&json!({"format": "email", "email": "t@example.com"}));
        let now = bench.now;
        bench.transmitter.send_event(&id, event_type, subject.unwrap(), None, "ann", now).unwrap();
        let sets = bench.poll("one", &id, json!({}));
        assert_eq!(sets.len(), 1);
        assert_eq!(event(&sets[0].1)["x_sluice"]["test"], true);
        assert_eq!(event(&sets[0].1)["event_timestamp"], now / 1000);
        seen.extend(sets[0].1.known.clone());
        bench.poll("one", &id, json!({"ack": [sets[0].0]}));
    }
    assert_eq!(seen, EventType::offered().collect::<Vec<_>>());
}

#[test]
fn v5_a_stream_whose_receiver_does_nothing_is_paused_and_told() {
    let settings = Settings { inactivity_timeout: 60 * MINUTE, ..settings() };
    let mut bench = Bench::with(settings, vec![profile("one"), push_profile("two")]);
    let id = bench.create("one", &everything());
    let read = bench.transmitter.read_streams("one", Some(&id)).unwrap();
    assert_eq!(read["inactivity_timeout"], 3_600);
    let pass = |bench: &mut Bench, minutes: i64| {
        bench.now += minutes * MINUTE;
        bench.transmitter.tick(bench.now);
        bench.commit();
        bench.transmitter.streams().find(|s| s.id == id).unwrap().status
    };
    // A poll and a management call each start it anew, also over a restart.
    assert_eq!(pass(&mut bench, 50), StreamStatus::Enabled);
    bench.poll("one", &id, json!({}));
    assert_eq!(pass(&mut bench, 50), StreamStatus::Enabled);
    let now = bench.now;
    let body = json!({"stream_id": id, "description": "d"});
    bench.transmitter.update_stream("one", &body, Update::Merge, now).unwrap();
    bench.commit();
    bench.restart();
    assert_eq!(pass(&mut bench, 59), StreamStatus::Enabled);
    assert_eq!(pass(&mut bench, 1), StreamStatus::Paused);
    assert_eq!(pass(&mut bench, 60), StreamStatus::Paused);
    // That of the operator is not the receiver's to keep alive.
    let configured = bench.transmitter.streams().find(|s| s.configured).unwrap();
    assert_eq!(configured.status, StreamStatus::Enabled);
    let sets = bench.poll("one", &id, json!({}));
    assert_eq!(sets.len(), 1, "told once");
    assert_eq!(event(&sets[0].1)["status"], "paused");
    assert_eq!(event(&sets[0].1)["reason"], "nothing was heard of the receiver for 3600 s");
    let body = json!({"stream_id": id, "status": "enabled"});
    let now = bench.now;
    bench.transmitter.set_status("one", &body, now).unwrap();
    assert_eq!(pass(&mut bench, 59), StreamStatus::Enabled);
}

#[test]
fn v1_what_waits_for_a_week_is_dropped_and_counted() {
    let mut bench = bench();
    let id = bench.create("one", &everything());
    bench.observe("ann@example.com", Level::High);
    bench.now += 7 * 24 * 60 * MINUTE;
    let now = bench.now;
    bench.transmitter.tick(now);
    bench.commit();
    let queued = bench.transmitter.health(&id).queued;
    assert_eq!(queued, 1);
    let before = bench.transmitter.totals().dropped;
    bench.now += 1;
    let now = bench.now;
    bench.transmitter.tick(now);
    bench.commit();
    assert_eq!(bench.transmitter.totals().dropped, before + 1);
    assert_eq!(bench.transmitter.health(&id).queued, 0);
}
