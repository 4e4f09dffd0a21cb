//! Push: what each answer of a receiver leads to, and in which order SETs go.

use serde_json::json;
use sluice_signal::{
    Level, StreamStatus,
    push::{Answer, Outcome, Tried, error_code, outcome},
};

use crate::support::{Bench, MINUTE, START, everything, http, levels, profile, push_profile};

fn refused(err: &str) -> Answer {
    Answer::Http { status: 400, retry_after: None, err: Some(err.into()) }
}

fn away() -> Answer {
    Answer::None("connection refused".into())
}

#[test]
fn p2_outcomes() {
    let first = Tried::default();
    let tried = |unauthorized, invalid_key| Tried { unauthorized, invalid_key, ..first };
    let name = |answer: &Answer, tried| match outcome(answer, tried, 1.0) {
        Outcome::Delivered => "delivered".to_owned(),
        Outcome::Retry { after, .. } => format!("retry {after}"),
        Outcome::DeadLetter(_) => "dead letter".to_owned(),
        Outcome::Pause(_) => "pause".to_owned(),
    };
    for status in [200, 202, 204] {
        assert_eq!(name(&http(status), first), "delivered");
    }
    assert_eq!(name(&away(), first), "retry 1000");
    assert_eq!(name(&http(500), first), "retry 1000");
    assert_eq!(name(&http(503), Tried { attempts: 3, ..first }), "retry 8000");
    assert_eq!(name(&http(503), Tried { attempts: 60, ..first }), "retry 300000");
    assert_eq!(name(&http(503), Tried { failing_for: 6 * 60 * MINUTE, ..first }), "pause");
    assert_eq!(name(&http(429), first), "retry 1000");
    for status in [302, 403, 429, 503] {
        let later = Answer::Http { status, retry_after: Some(7_200_000), err: None };
        assert_eq!(name(&later, first), "retry 7200000", "{status}: no cap");
    }
    assert_eq!(name(&http(401), tried(9, 0)), "retry 15000");
    assert_eq!(name(&http(401), tried(10, 0)), "pause");
    assert_eq!(name(&refused("authentication_failed"), tried(0, 0)), "retry 15000");
    for status in [301, 302, 307, 403, 404, 405, 410, 418] {
        assert_eq!(name(&http(status), first), "pause", "{status}");
    }
    assert_eq!(name(&refused("access_denied"), first), "pause");
    for err in ["invalid_request", "invalid_issuer", "invalid_audience", "invalid_state", "other"] {
        assert_eq!(name(&refused(err), first), "dead letter", "{err}");
    }
    assert_eq!(name(&http(400), first), "dead letter");
    assert_eq!(name(&refused("invalid_key"), tried(0, 1)), "retry 60000");
    assert_eq!(name(&refused("invalid_key"), tried(0, 2)), "pause");
}

#[test]
fn a_wait_is_never_nothing_and_never_more_than_five_minutes() {
    for attempts in 0..40 {
        for jitter in [-1.0, 0.0, 0.3, 1.0, 7.0, f64::NAN] {
            let tried = Tried { attempts, ..Tried::default() };
            let Outcome::Retry { after, .. } = outcome(&away(), tried, jitter) else { panic!() };
            assert!((100..=300_000).contains(&after), "{attempts} {jitter}: {after}");
        }
    }
}

#[test]
fn error_bodies() {
    assert_eq!(
        error_code(br#"{"err":"invalid_key","description":"d"}"#),
        Some("invalid_key".into())
    );
    for body in [&b""[..], b"<html>", b"[]", br#"{"err":1}"#, b"\xff"] {
        assert_eq!(error_code(body), None);
    }
}

#[test]
fn p1_a_push_goes_where_the_operator_said_with_the_header_he_gave() {
    let mut bench = Bench::new(vec![push_profile("idp")]);
    assert!(bench.pushed().is_none());
    bench.raise("ann@example.com", Level::High);
    let (attempt, _) = bench.pushed().unwrap();
    assert_eq!(attempt.url, "https://idp.example.com/ssf/push");
    assert_eq!(attempt.authorization.as_deref(), Some("Bearer of-the-receiver"));
    bench.answer(&attempt, &http(202));
    assert!(bench.pushed().is_none());
    assert!(bench.disk.keys().all(|k| !k.starts_with("row/")), "{:?}", bench.disk.keys());
}

#[test]
fn p2_a_refused_set_does_not_stop_the_others() {
    let mut bench = Bench::new(vec![push_profile("idp")]);
    bench.raise("ann@example.com", Level::High);
    bench.raise("bob@example.com", Level::High);
    let (first, _) = bench.pushed().unwrap();
    bench.answer(&first, &refused("invalid_request"));
    let (second, set) = bench.pushed().unwrap();
    assert_eq!(set.claims["sub_id"]["email"], "bob@example.com");
    bench.answer(&second, &http(202));
    let id = bench.push_stream();
    let letters: Vec<_> = bench.transmitter.dead_letters(&id).cloned().collect();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].reason, "HTTP 400 invalid_request");

    let now = bench.now;
    let again = bench.transmitter.replay(&id, &first.jti, "ann", now).unwrap();
    bench.commit();
    assert_ne!(again, first.jti, "a receiver may have kept the first id");
    let (replayed, set) = bench.pushed().unwrap();
    assert_eq!(
        (replayed.jti.as_str(), set.claims["txn"].as_str()),
        (again.as_str(), letters[0].row.txn.as_deref())
    );
    assert!(bench.transmitter.replay(&id, "unknown", "ann", now).is_err());
}

#[test]
fn p2_order_is_kept_per_subject() {
    let mut bench = Bench::new(vec![push_profile("idp")]);
    bench.raise("ann@example.com", Level::High);
    let (ann, _) = bench.pushed().unwrap();
    // The receiver has not answered yet when the level falls again.
    bench.now += MINUTE;
    bench.raise("ann@example.com", Level::Low);
    bench.raise("bob@example.com", Level::High);
    bench.answer(&ann, &refused("invalid_key"));
    let (bob, set) = bench.pushed().unwrap();
    assert_eq!(set.claims["sub_id"]["email"], "bob@example.com");
    bench.answer(&bob, &http(202));
    assert!(bench.pushed().is_none(), "the fall of ann waits for her rise");
    bench.now += MINUTE;
    let (again, set) = bench.pushed().unwrap();
    assert_eq!(again.jti, ann.jti);
    assert_eq!(levels(&set), ("HIGH".into(), "LOW".into()));
    bench.answer(&again, &http(202));
    let (_, set) = bench.pushed().unwrap();
    assert_eq!(levels(&set), ("LOW".into(), "HIGH".into()));
}

#[test]
fn p2_same_bytes_on_every_retry_and_the_whole_receiver_waits() {
    let mut bench = Bench::new(vec![push_profile("idp")]);
    bench.raise("ann@example.com", Level::High);
    bench.raise("bob@example.com", Level::High);
    let (first, _) = bench.pushed().unwrap();
    bench.answer(&first, &http(503));
    assert!(bench.pushed().is_none(), "bob waits too: it is the receiver that is away");
    bench.now += 1_000;
    let (again, _) = bench.pushed().unwrap();
    assert_eq!(again, first);
    let id = bench.push_stream();
    bench.answer(&again, &Answer::Http { status: 503, retry_after: Some(90_000), err: None });
    let health = bench.transmitter.health(&id);
    assert_eq!((health.queued, health.failures), (2, 2));
    assert_eq!(health.next_attempt_at, Some(bench.now + 90_000));
    assert_eq!(health.error.as_deref(), Some("HTTP 503"));
    bench.now += 90_000;
    let (again, _) = bench.pushed().unwrap();
    bench.answer(&again, &http(202));
    assert_eq!(bench.transmitter.health(&id).failures, 0);
}

#[test]
fn p2_403_pauses_and_keeps() {
    let mut bench = Bench::new(vec![push_profile("idp")]);
    bench.raise("ann@example.com", Level::High);
    let (first, _) = bench.pushed().unwrap();
    bench.answer(&first, &http(403));
    bench.now += 60 * MINUTE;
    assert!(bench.pushed().is_none());
    let id = bench.push_stream();
    let stream = bench.transmitter.streams().next().unwrap();
    assert_eq!(stream.status, StreamStatus::Paused);
    assert_eq!(stream.reason.as_deref(), Some("delivery failed: HTTP 403"));
    bench.restart();
    let now = bench.now;
    bench.transmitter.operate_status(&id, StreamStatus::Enabled, "mended", "ann", now).unwrap();
    let (again, _) = bench.pushed().unwrap();
    assert_eq!(again.jti, first.jti);
}

#[test]
fn p2_ten_401_then_pause() {
    let mut bench = Bench::new(vec![push_profile("idp")]);
    bench.raise("ann@example.com", Level::High);
    for attempt in 0..=10 {
        let (pushed, _) = bench.pushed().unwrap_or_else(|| panic!("attempt {attempt}"));
        bench.answer(&pushed, &http(401));
        bench.now += 15_000;
    }
    assert!(bench.pushed().is_none());
    assert_eq!(bench.transmitter.streams().next().unwrap().status, StreamStatus::Paused);
}

#[test]
fn p5_an_old_set_is_issued_anew_with_the_same_id() {
    let mut bench = Bench::new(vec![push_profile("idp")]);
    bench.raise("ann@example.com", Level::High);
    let (first, before) = bench.pushed().unwrap();
    bench.answer(&first, &away());
    bench.now += 31 * MINUTE;
    let (again, after) = bench.pushed().unwrap();
    assert_eq!(again.jti, first.jti);
    assert_eq!(after.claims["txn"], before.claims["txn"]);
    assert_eq!(after.claims["events"], before.claims["events"], "event_timestamp stays");
    assert_eq!(after.claims["iat"], bench.now / 1000);
    // Also after a crash right after the attempt.
    bench.restart();
    bench.now += 1_000;
    assert_eq!(bench.pushed().unwrap().0, again);
}

#[test]
fn n8_a_clock_that_is_set_back_makes_no_future_iat() {
    let mut bench = Bench::new(vec![push_profile("idp")]);
    bench.raise("ann@example.com", Level::High);
    bench.now -= 60 * MINUTE;
    assert!(bench.pushed().is_none(), "not before it arose");
    bench.now = START;
    let (attempt, _) = bench.pushed().unwrap();
    bench.answer(&attempt, &away());
    bench.restart();
    bench.now -= 500;
    assert!(
        bench.pushed().is_none_or(|(_, set)| set.claims["iat"].as_i64() <= Some(bench.now / 1000))
    );
}

#[test]
fn v1_the_queue_of_a_receiver_that_is_away_is_bounded_and_counted() {
    let mut small = crate::support::settings();
    small.queue_most = 10;
    let mut bench = Bench::with(small, vec![push_profile("idp")]);
    for n in 0..25 {
        bench.raise(&format!("u{n}@example.com"), Level::High);
    }
    let id = bench.push_stream();
    assert_eq!(bench.transmitter.health(&id).queued, 10);
    assert_eq!(bench.transmitter.totals().dropped, 15);
    assert_eq!(bench.disk.keys().filter(|k| k.starts_with("row/")).count(), 10);
    let oldest = bench.transmitter.queue(&id).next().unwrap();
    assert_eq!(oldest.subject.to_value()["email"], "u15@example.com");
}

#[test]
fn p3_polls_that_are_refused() {
    use sluice_signal::transmitter::PollRequest;
    for body in [
        json!([]),
        json!({"maxEvents": -1}),
        json!({"maxEvents": "10"}),
        json!({"returnImmediately": 1}),
        json!({"ack": "j"}),
        json!({"ack": [1]}),
        json!({"setErrs": []}),
        json!({"setErrs": {"j": "bad"}}),
    ] {
        assert!(PollRequest::parse(&body).is_err(), "{body}");
    }
    PollRequest::parse(&json!({"unknown": 1})).unwrap();
}

#[test]
fn p3_more_available_and_errors_of_the_receiver() {
    let mut bench = Bench::new(vec![profile("one")]);
    let id = bench.create("one", &everything());
    for n in 0..3 {
        bench.raise(&format!("u{n}@example.com"), Level::High);
    }
    let request = sluice_signal::transmitter::PollRequest::parse(&json!({"maxEvents": 2})).unwrap();
    let now = bench.now;
    let answer = bench.transmitter.poll("one", &id, &request, now).unwrap().to_value();
    assert_eq!(answer["moreAvailable"], true);
    let jtis: Vec<String> = answer["sets"].as_object().unwrap().keys().cloned().collect();
    let rest = bench.poll(
        "one",
        &id,
        json!({
            "ack": [jtis[0]],
            "setErrs": {jtis[1].clone(): {"err": "invalid_audience", "description": "not for me"}},
        }),
    );
    assert_eq!(rest.len(), 1);
    let letters: Vec<_> = bench.transmitter.dead_letters(&id).cloned().collect();
    assert_eq!(letters[0].reason, "invalid_audience not for me");
}
