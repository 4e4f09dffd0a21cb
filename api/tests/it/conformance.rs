//! The modules of the OpenID conformance suite for transmitters, rebuilt over HTTP: one test for each, named after
//! its id, for a poll and for a push stream. The suite itself was not run. T1 and the end of T22 are in `signals`.

use std::time::Duration;

use serde_json::{Value, json};
use sluice_signal::{EventType, verify::VerifiedSet};

use crate::{
    signals::{ISSUER, Receiver, access, ask, home, jwks, verified},
    support::service::{Answer, Home, Service},
};

const PUSH: &str = "urn:ietf:rfc:8935";
const POLL: &str = "urn:ietf:rfc:8936";
const METHODS: [&str; 2] = [POLL, PUSH];

/// A server, and a receiver `poller` that manages streams of its own.
struct Setup {
    service: Service,
    receiver: Receiver,
    token: String,
    _home: Home,
}

impl Setup {
    fn new() -> Setup {
        let receiver = Receiver::start();
        let home = home(&receiver, "");
        let service = home.start();
        let token = access(&service, "poller", "s3cret one");
        Setup { service, receiver, token, _home: home }
    }

    fn send(&self, method: &str, path: &str, body: &Value) -> Answer {
        ask(&self.service, &self.token, method, path, body)
    }

    /// The same with a token that is not good.
    fn without_token(&self, method: &str, path: &str, body: &Value) -> Answer {
        ask(&self.service, &format!("{}x", self.token), method, path, body)
    }

    /// The body that asks for a stream of every type.
    fn wanted(&self, method: &str, header: Option<&str>) -> Value {
        let uris: Vec<String> = EventType::offered().map(EventType::uri).collect();
        let mut body = json!({"events_requested": uris, "delivery": {"method": method}});
        if method == PUSH {
            body["delivery"]["endpoint_url"] =
                format!("http://{}/own/push", self.receiver.address).into();
        }
        if let Some(header) = header {
            body["delivery"]["authorization_header"] = header.into();
        }
        body
    }

    fn create(&self, method: &str) -> String {
        let made = self.send("POST", "/ssf/streams", &self.wanted(method, None)).is(201).json();
        assert_eq!(made["delivery"]["method"], method);
        made["stream_id"].as_str().unwrap().to_owned()
    }

    /// Asks for a verification.
    fn verify(&self, id: &str, state: &str) {
        self.send("POST", "/ssf/verify", &json!({"stream_id": id, "state": state})).is(204);
    }

    fn poll(&self, id: &str, body: &Value) -> Vec<(String, VerifiedSet)> {
        let answer = self.send("POST", &format!("/ssf/poll/{id}"), body).is(200).json();
        let jwks = jwks(&self.service);
        let sets = answer["sets"].as_object().unwrap().clone();
        let sets = sets.into_iter().map(|(jti, token)| {
            let set = verified(token.as_str().unwrap(), &jwks, "poller");
            assert_eq!(set.claims["jti"], jti.as_str(), "the key of a SET is its jti");
            conformant(&set);
            (jti, set)
        });
        sets.collect()
    }

    /// What was pushed to the receiver's own stream: header and SET.
    fn pushed(&self) -> Vec<(Option<String>, VerifiedSet)> {
        let jwks = jwks(&self.service);
        let all = self.receiver.requests.lock().unwrap().clone();
        let own = all.iter().filter(|request| request.head.starts_with("post /own/push "));
        let own = own.map(|request| {
            assert!(request.head.contains("content-type: application/secevent+jwt"));
            assert!(request.head.contains("accept: application/json"));
            let header = request.head.lines().find_map(|l| l.strip_prefix("authorization: "));
            let set = verified(&request.body, &jwks, "poller");
            conformant(&set);
            (header.map(|h| h.trim().to_owned()), set)
        });
        own.collect()
    }

    /// The next SET of a stream, acknowledged.
    fn next(&self, id: &str, method: &str) -> VerifiedSet {
        if method == PUSH {
            let before = self.receiver.taken();
            self.service.wait_for("a pushed SET", || self.pushed().len() > before);
            self.receiver.take_one();
            return self.pushed().remove(before).1;
        }
        let at_once = json!({"maxEvents": 10, "returnImmediately": true});
        let mut sets = Vec::new();
        self.service.wait_for("a SET", || {
            sets = self.poll(id, &at_once);
            !sets.is_empty()
        });
        let (jti, set) = sets.remove(0);
        let ack = json!({"ack": [jti], "maxEvents": 0, "returnImmediately": true});
        assert!(self.poll(id, &ack).is_empty());
        set
    }
}

/// What every SET has to be.
#[expect(clippy::disallowed_methods, reason = "the time of whoever receives it")]
fn conformant(set: &VerifiedSet) {
    let claims = &set.claims;
    assert_eq!(claims["iss"], ISSUER);
    assert_eq!(claims["events"].as_object().unwrap().len(), 1, "one event");
    assert!(!claims.contains_key("sub") && !claims.contains_key("exp"));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    assert!(claims["iat"].as_u64().unwrap() <= now.as_secs(), "not in the future");
    assert!(claims["sub_id"]["format"].is_string());
}

fn one(id: &str) -> String {
    format!("/ssf/streams?stream_id={id}")
}

/// A body that is no JSON, as the suite sends it.
fn broken(setup: &Setup, method: &str) {
    let kind = "application/json";
    let answer = setup.service.with_token(&setup.token, method, "/ssf/streams", kind, ";{ broken");
    assert_eq!(answer.is(400).json()["err"], "invalid_request");
}

#[test]
fn t2_stream_control_happy_path() {
    let setup = Setup::new();
    for method in METHODS {
        let id = setup.create(method);
        let read = setup.send("GET", &one(&id), &Value::Null).is(200).json();
        for name in ["stream_id", "iss", "aud", "events_delivered", "delivery"] {
            assert!(!read[name].is_null(), "{name}");
        }
        let patched = json!({"stream_id": id, "description": "d"});
        let read = setup.send("PATCH", "/ssf/streams", &patched).is(200).json();
        assert_eq!(
            (&read["description"], &read["delivery"]["method"]),
            (&json!("d"), &json!(method))
        );
        let mut put = setup.wanted(method, None);
        put["stream_id"] = id.clone().into();
        let read = setup.send("PUT", "/ssf/streams", &put).is(200).json();
        assert!(read["description"].is_null(), "what is missing is deleted");
        let status = format!("/ssf/status?stream_id={id}");
        assert_eq!(setup.send("GET", &status, &Value::Null).is(200).json()["status"], "enabled");
        for word in ["paused", "disabled", "enabled"] {
            let body = json!({"stream_id": id, "status": word, "reason": "r"});
            assert_eq!(setup.send("POST", "/ssf/status", &body).is(200).json(), body);
            assert_eq!(setup.send("GET", &status, &Value::Null).is(200).json(), body);
        }
        assert_eq!(setup.send("DELETE", &one(&id), &Value::Null).is(204).text, "");
    }
}

#[test]
fn t3_create_stream_with_broken_input() {
    let setup = Setup::new();
    broken(&setup, "POST");
    for wrong in [json!([]), json!({"delivery": {"method": "urn:x"}}), json!({"delivery": 1})] {
        setup.send("POST", "/ssf/streams", &wrong).is(400);
    }
    assert_eq!(setup.send("GET", "/ssf/streams", &Value::Null).is(200).json(), json!([]));
}

#[test]
fn t4_create_stream_with_invalid_token() {
    let setup = Setup::new();
    for method in METHODS {
        let answer =
            setup.without_token("POST", "/ssf/streams", &setup.wanted(method, None)).is(401);
        assert_eq!(answer.challenge.as_deref(), Some("Bearer error=\"invalid_token\""));
    }
}

#[test]
fn t5_create_stream_with_duplicate_config() {
    let setup = Setup::new();
    for method in METHODS {
        assert_ne!(setup.create(method), setup.create(method));
    }
}

#[test]
fn t6_read_stream_with_invalid_token() {
    let setup = Setup::new();
    for method in METHODS {
        let id = setup.create(method);
        setup.without_token("GET", &one(&id), &Value::Null).is(401);
    }
}

#[test]
fn t7_read_unknown_stream() {
    let setup = Setup::new();
    for method in METHODS {
        let id = setup.create(method);
        setup.send("DELETE", &one(&id), &Value::Null).is(204);
        setup.send("GET", &one(&id), &Value::Null).is(404);
    }
}

/// An update or replacement with a token that is not good, a body that is none, and of an unknown stream.
fn refused(setup: &Setup, verb: &str) {
    for method in METHODS {
        let id = setup.create(method);
        setup.without_token(verb, "/ssf/streams", &json!({"stream_id": id})).is(401);
        for wrong in [
            json!({}),
            json!({"stream_id": id, "aud": "https://elsewhere.example.com"}),
            json!({"stream_id": id, "events_requested": "all"}),
            json!({"stream_id": id, "delivery": {"method": "urn:x"}}),
        ] {
            setup.send(verb, "/ssf/streams", &wrong).is(400);
        }
    }
    broken(setup, verb);
    setup.send(verb, "/ssf/streams", &json!({"stream_id": "unknown"})).is(404);
}

#[test]
fn t8_t9_t10_update_with_invalid_token_invalid_body_and_of_an_unknown_stream() {
    refused(&Setup::new(), "PATCH");
}

#[test]
fn t11_t12_t13_replace_with_invalid_body_invalid_token_and_of_an_unknown_stream() {
    refused(&Setup::new(), "PUT");
}

#[test]
fn t14_t15_delete_with_invalid_token_and_of_an_unknown_stream() {
    let setup = Setup::new();
    for method in METHODS {
        let id = setup.create(method);
        setup.without_token("DELETE", &one(&id), &Value::Null).is(401);
        setup.send("DELETE", &one(&id), &Value::Null).is(204);
        setup.send("DELETE", &one(&id), &Value::Null).is(404);
    }
}

#[test]
fn t16_subject_control() {
    let setup = Setup::new();
    for method in METHODS {
        let id = setup.create(method);
        for subject in [
            json!({"format": "email", "email": "ann@example.com"}),
            json!({"format": "complex", "user": {"format": "iss_sub", "iss": "https://i", "sub": "s"}}),
        ] {
            let body = json!({"stream_id": id, "subject": subject, "verified": true});
            assert_eq!(setup.send("POST", "/ssf/subjects/add", &body).is(200).text, "");
            let body = json!({"stream_id": id, "subject": subject});
            assert_eq!(setup.send("POST", "/ssf/subjects/remove", &body).is(204).text, "");
        }
    }
}

#[test]
fn t17_t18_verification_push_with_the_header_of_the_receiver_and_without_one() {
    let setup = Setup::new();
    for (n, header) in [Some("Bearer of-the-receiver"), None].into_iter().enumerate() {
        let body = setup.wanted(PUSH, header);
        let made = setup.send("POST", "/ssf/streams", &body).is(201).json();
        assert!(!made.to_string().contains("of-the-receiver"), "never echoed");
        let id = made["stream_id"].as_str().unwrap();
        setup.verify(id, "s1");
        setup.service.wait_for("a pushed verification", || setup.pushed().len() > n);
        let (seen, set) = setup.pushed().remove(n);
        // The reader of heads writes them in lower case.
        assert_eq!(seen, header.map(str::to_lowercase));
        assert_eq!(set.claims["sub_id"], json!({"format": "opaque", "id": id}));
        assert_eq!(set.claims["events"][EventType::Verification.uri()], json!({"state": "s1"}));
    }
}

#[test]
fn t19_t20_t21_verification_poll_only_poll_and_ack_and_ack_only() {
    let setup = Setup::new();
    let id = setup.create(POLL);
    let first = json!({"maxEvents": 10, "returnImmediately": true});
    setup.verify(&id, "s1");
    let sets = setup.poll(&id, &first);
    assert_eq!(sets.len(), 1);
    assert_eq!(sets[0].1.claims["events"][EventType::Verification.uri()]["state"], "s1");
    assert_eq!(sets[0].1.claims["sub_id"], json!({"format": "opaque", "id": id}));
    // T20: another stream, so that the second verification does not come too soon.
    let other = setup.create(POLL);
    setup.verify(&other, "s2");
    let seen = setup.poll(&other, &first);
    let ack = json!({"ack": [seen[0].0], "maxEvents": 10, "returnImmediately": true});
    assert!(setup.poll(&other, &ack).is_empty());
    // T21.
    let only = json!({"ack": [sets[0].0], "maxEvents": 0, "returnImmediately": true});
    assert!(setup.poll(&id, &only).is_empty());
    let streams = setup.service.get("/api/v1/signals").is(200).json()["streams"].clone();
    for stream in streams.as_array().unwrap().iter().filter(|s| s["delivery"] == "poll") {
        assert_eq!((&stream["queued"], stream["proven_at"].is_string()), (&json!(0), true));
    }
}

#[test]
fn t22_a_held_poll_wakes_on_a_new_set() {
    let setup = Setup::new();
    let id = setup.create(POLL);
    let begun = crate::support::service::now();
    let sets = std::thread::scope(|scope| {
        let held = scope.spawn(|| setup.poll(&id, &json!({"maxEvents": 10})));
        std::thread::sleep(Duration::from_millis(1_500));
        setup.verify(&id, "s1");
        held.join().unwrap()
    });
    assert_eq!(sets.len(), 1);
    let held = begun.elapsed();
    assert!((Duration::from_secs(1)..Duration::from_secs(20)).contains(&held), "{held:?}");
}

#[test]
fn t23_h7_every_delivered_type_arrives_on_demand() {
    let setup = Setup::new();
    for method in METHODS {
        let id = setup.create(method);
        for event_type in EventType::offered() {
            let body = json!({"event_type": event_type.name(),
                "subject": {"format": "email", "email": "t@example.com"}});
            let path = format!("/api/v1/signals/{id}/events");
            setup.service.post(&path, &body).is(200);
            let set = setup.next(&id, method);
            assert_eq!(set.known, [event_type]);
            let event = &set.claims["events"][event_type.uri()];
            assert_eq!(event["x_sluice"]["test"], true);
            assert!(event["event_timestamp"].is_number());
            assert!(event["reason_admin"].as_object().is_some_and(|all| !all.is_empty()));
        }
    }
}
