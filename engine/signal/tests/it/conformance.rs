//! The modules of the OpenID conformance suite for transmitters that concern delivery, for push as they are
//! for poll in `streams`: T2, T5 to T7, T16 to T18, T23. The suite itself was not run.

use serde_json::{Value, json};
use sluice_signal::{
    EventType, Level, RequestError, SubjectId, stream::PUSH, transmitter::Settings,
    verify::VerifiedSet,
};

use crate::support::{Bench, MINUTE, event, everything, http, profile, settings};

/// A push stream that a receiver makes, with or without a header of its own.
fn push_stream(bench: &mut Bench, header: Option<&str>) -> String {
    let mut delivery = json!({"method": PUSH, "endpoint_url": "https://one.example.com/ssf/push"});
    if let Some(header) = header {
        delivery["authorization_header"] = header.into();
    }
    let mut body = everything();
    body["delivery"] = delivery;
    bench.create("one", &body)
}

/// The next SET of a stream and the header it is pushed with, accepted.
fn pushed(bench: &mut Bench, id: &str) -> Option<(Option<String>, VerifiedSet)> {
    let attempt = bench.transmitter.next_push(id, bench.now).unwrap()?;
    bench.commit();
    assert_eq!(attempt.url, "https://one.example.com/ssf/push");
    let set = bench.verified(&attempt.token);
    bench.transmitter.push_done(id, &attempt.jti, &http(202), 1.0, bench.now);
    bench.commit();
    Some((attempt.authorization, set))
}

fn verify(bench: &mut Bench, id: &str, state: &str) -> Result<(), RequestError> {
    let body = json!({"stream_id": id, "state": state});
    let outcome = bench.transmitter.request_verification("one", &body, bench.now).map(drop);
    bench.commit();
    outcome
}

#[test]
fn t17_verification_is_pushed_with_the_header_of_the_receiver() {
    let mut bench = Bench::new(vec![profile("one")]);
    let id = push_stream(&mut bench, Some("Bearer of-the-receiver"));
    verify(&mut bench, &id, "s1").unwrap();
    let (header, set) = pushed(&mut bench, &id).unwrap();
    assert_eq!(header.as_deref(), Some("Bearer of-the-receiver"));
    assert_eq!(set.known, [EventType::Verification]);
    assert_eq!(event(&set), &json!({"state": "s1"}));
    assert_eq!(set.claims["sub_id"], json!({"format": "opaque", "id": id}));
    assert!(pushed(&mut bench, &id).is_none(), "once");
    // The header is never read back.
    let read = bench.transmitter.read_streams("one", Some(&id)).unwrap();
    assert!(!read.to_string().contains("of-the-receiver"), "{read}");
}

#[test]
fn t18_without_a_header_none_is_sent() {
    let mut bench = Bench::new(vec![profile("one")]);
    let id = push_stream(&mut bench, None);
    verify(&mut bench, &id, "s1").unwrap();
    assert_eq!(pushed(&mut bench, &id).unwrap().0, None);
    assert_eq!(verify(&mut bench, &id, "s2"), Err(RequestError::TooSoon(60)));
    bench.now += MINUTE;
    verify(&mut bench, &id, "s3").unwrap();
    assert_eq!(event(&pushed(&mut bench, &id).unwrap().1), &json!({"state": "s3"}));
}

#[test]
fn t23_every_delivered_type_can_be_triggered_for_push() {
    let mut bench = Bench::new(vec![profile("one")]);
    let id = push_stream(&mut bench, None);
    let subject = SubjectId::parse(&json!({"format": "email", "email": "t@example.com"})).unwrap();
    let mut seen = Vec::new();
    for event_type in EventType::offered() {
        let now = bench.now;
        bench.transmitter.send_event(&id, event_type, subject.clone(), None, "ann", now).unwrap();
        let (_, set) = pushed(&mut bench, &id).unwrap();
        let sent = event(&set);
        assert_eq!(sent["event_timestamp"], now / 1_000);
        let reason = &sent["reason_admin"];
        assert!(reason.as_object().is_some_and(|all| !all.is_empty()), "{reason}");
        seen.extend(set.known);
    }
    assert_eq!(seen, EventType::offered().collect::<Vec<_>>());
    assert_eq!(seen.len(), 7);
}

#[test]
fn t2_t7_t16_management_is_the_same_for_push() {
    let mut bench = Bench::new(vec![profile("one")]);
    let id = push_stream(&mut bench, None);
    assert_ne!(push_stream(&mut bench, None), id, "T5");
    let now = bench.now;
    let t = &mut bench.transmitter;
    let delivery = |stream: Value| stream["delivery"]["method"].clone();
    assert_eq!(delivery(t.read_streams("one", Some(&id)).unwrap()), PUSH);
    for status in ["paused", "disabled", "enabled"] {
        let body = json!({"stream_id": id, "status": status});
        assert_eq!(t.set_status("one", &body, now).unwrap(), body);
        assert_eq!(t.status("one", &id).unwrap(), body);
    }
    let subject = json!({"stream_id": id, "subject": {"format": "email", "email": "a@b.example"}});
    t.add_subject("one", &subject, now).unwrap();
    t.remove_subject("one", &subject, now).unwrap();
    bench.commit();
    bench.raise("ann@example.com", Level::High);
    assert_eq!(event(&pushed(&mut bench, &id).unwrap().1)["current_level"], "HIGH");
    let t = &mut bench.transmitter;
    t.delete_stream("one", &id, now).unwrap();
    assert_eq!(t.read_streams("one", Some(&id)), Err(RequestError::Unknown), "T7");
    assert_eq!(t.delete_stream("one", &id, now), Err(RequestError::Unknown), "T15");
    assert_eq!(t.next_push(&id, now).unwrap(), None);
}

#[test]
fn v4_an_idle_push_stream_is_verified_unasked_and_without_state() {
    let settings = Settings { keepalive: 5 * MINUTE, ..settings() };
    let mut bench = Bench::with(settings, vec![profile("one")]);
    let id = push_stream(&mut bench, None);
    let poll = bench.create("one", &everything());
    let tick = |bench: &mut Bench, minutes: i64| {
        bench.now += minutes * MINUTE;
        bench.transmitter.tick(bench.now);
        bench.commit();
    };
    tick(&mut bench, 0);
    tick(&mut bench, 4);
    assert!(pushed(&mut bench, &id).is_none());
    // One waits; no more are made while its receiver is away.
    for _ in 0..10 {
        tick(&mut bench, 5);
    }
    let (_, set) = pushed(&mut bench, &id).unwrap();
    assert_eq!(set.known, [EventType::Verification]);
    assert_eq!(event(&set), &json!({}));
    assert!(pushed(&mut bench, &id).is_none());
    tick(&mut bench, 4);
    assert!(pushed(&mut bench, &id).is_none(), "it was just proven");
    bench.raise("ann@example.com", Level::High);
    assert_eq!(pushed(&mut bench, &id).unwrap().1.known, [EventType::RiskLevelChange]);
    tick(&mut bench, 4);
    assert!(pushed(&mut bench, &id).is_none(), "a signal proves it too");
    let sets = bench.poll("one", &poll, json!({}));
    assert!(sets.iter().all(|(_, set)| set.known == [EventType::RiskLevelChange]), "{sets:?}");
}
