//! Pushing logs: each answer of the endpoint, and those given before it.

use serde_json::json;

use super::*;

fn push(fixture: &Fixture, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let token = Some(fixture.secrets[&Role::Ingest].as_str());
    fixture.send(token, "POST", "/api/v1/ingest/push", headers, body)
}

/// A record that the input takes; `{}` is read, and set aside as none of its source.
const GOOD: &str =
    r#"{"uuid":"1","published":"2026-01-01T09:00:00.000Z","eventType":"a","actor":{}}"#;

#[test]
fn good_lines_are_accepted_and_bad_ones_named() {
    let fixture = Fixture::new();
    let lines = format!("{GOOD}\nnot json\n{GOOD}");
    let answer = push(&fixture, &[], lines.as_bytes()).is(202).json();
    assert_eq!((&answer["accepted"], &answer["rejected"]), (&json!(2), &json!(1)));
    assert_eq!(
        (&answer["errors"][0]["line"], &answer["errors"][0]["code"]),
        (&json!(2), &json!("bad_json"))
    );
    let answer = push(&fixture, &[], b"not json").is(422).json();
    assert_eq!((&answer["accepted"], &answer["rejected"]), (&json!(0), &json!(1)));
    // Every content type is taken: shippers send what they like.
    push(&fixture, &[("content-type", "text/plain")], GOOD.as_bytes()).is(202);
}

#[test]
fn what_cannot_be_taken_is_refused_with_its_reason() {
    let fixture = Fixture::new();
    push(&fixture, &[], b"").is(400).problem("empty");
    push(&fixture, &[("content-encoding", "br")], b"x").is(415).problem("unsupported_media_type");
    for twice in ["gzip, gzip", "gzip,zstd"] {
        push(&fixture, &[("content-encoding", twice)], b"x")
            .is(415)
            .problem("unsupported_media_type");
    }
    push(&fixture, &[("content-encoding", "identity")], GOOD.as_bytes()).is(202);
    let token = Some(fixture.secrets[&Role::Ingest].as_str());
    for name in ["nothing", "..%2fpush", "push%00", "PUSH"] {
        let answer =
            fixture.send(token, "POST", &format!("/api/v1/ingest/{name}"), &[], b"{}").is(404);
        let problem = answer.problem("unknown_source");
        assert_eq!(problem["hint"], "these do: other, push");
    }
}

#[test]
fn a_body_over_the_cap_is_413_whatever_its_length_says() {
    let fixture = Fixture::with(|settings| settings.push_bytes = 1_000);
    push(&fixture, &[], &vec![b' '; 1_001]).is(413).problem("too_large");
    push(&fixture, &[], GOOD.as_bytes()).is(202);
    let head = fixture.head("POST /api/v1/ingest/push HTTP/1.1");
    let mut stream = fixture.connect();
    stream.write_all(format!("{head}transfer-encoding: chunked\r\n\r\n").as_bytes()).unwrap();
    // Chunks without end: the answer comes when the cap is passed.
    for _ in 0..20 {
        if stream.write_all(format!("64\r\n{}\r\n", " ".repeat(100)).as_bytes()).is_err() {
            break;
        }
    }
    let answer = read_for(&mut stream, Duration::from_secs(2));
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[test]
fn records_are_counted_before_any_is_kept() {
    let fixture = Fixture::with(|settings| settings.push_limits.records = 10);
    push(&fixture, &[], &b"1\n".repeat(11)).is(413).problem("too_large");
    push(&fixture, &[], &b"{}\n".repeat(10)).is(422);
    // Siblings: many on one line, many in a wrapper, and text that only looks like many.
    push(&fixture, &[], &b"{}".repeat(11)).is(413).problem("too_large");
    let wrapper = format!("{{\"Records\":[{}]}}", ["{}"; 11].join(","));
    push(&fixture, &[], wrapper.as_bytes()).is(413).problem("too_large");
    let text = GOOD.replace("\"a\"", &format!("\"{}\"", "}{".repeat(100)));
    push(&fixture, &[], text.as_bytes()).is(202);
    let bomb = zstd::encode_all(&b"1\n".repeat(4_000_000)[..], 3).unwrap();
    assert!(bomb.len() < 8 << 10, "{}", bomb.len());
    push(&fixture, &[("content-encoding", "zstd")], &bomb).is(413).problem("too_large");
}

#[test]
fn one_sender_does_not_take_the_memory_of_all() {
    let fixture = Fixture::with(|settings| settings.memory = 1 << 20);
    // Half of it is a token's, and a body takes four times its bytes.
    let body = b"{}\n".repeat(100_000);
    let answer = push(&fixture, &[], &body).is(503);
    answer.problem("unavailable");
    assert_eq!(answer.header("retry-after"), "1");
    push(&fixture, &[], GOOD.as_bytes()).is(202);
    // A sender that promises much and sends it slowly holds what it has sent, no more than its half.
    let head = fixture.head_of(Role::Ingest, "POST /api/v1/ingest/push HTTP/1.1");
    let mut slow = fixture.connect();
    slow.write_all(format!("{head}content-length: 500000\r\n\r\n").as_bytes()).unwrap();
    slow.write_all(&vec![b' '; 450_000]).unwrap();
    wait_for("the body", || {
        fixture.get("/metrics").text().contains("sluice_request_memory_bytes 450000")
    });
    push(&fixture, &[], &b"{}\n".repeat(10_000)).is(503);
    let token = Some(fixture.secrets[&Role::Admin].as_str());
    fixture.send(token, "POST", "/api/v1/ingest/push", &[], &b"{}\n".repeat(10_000)).is(422);
}

#[test]
fn who_pushes_what_nothing_can_read_waits_and_others_go_on() {
    let fixture = Fixture::with(|settings| settings.rejected_per_second = 10);
    push(&fixture, &[], &b"1\n".repeat(200)).is(422);
    let refused = push(&fixture, &[], b"{}").is(429);
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((5..=10).contains(&wait), "{wait}");
    let problem = refused.problem("too_many_requests");
    assert!(problem["hint"].as_str().unwrap().contains("max_rejected_per_second"), "{problem}");
    // The limit is the token's: another pushes to the same input.
    let other = fixture.tokens.create("other", Role::Ingest, None, None, 0).unwrap();
    fixture.send(Some(&other), "POST", "/api/v1/ingest/push", &[], b"1\n").is(422);
}
