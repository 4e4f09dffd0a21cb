//! Pushing logs: each answer of the door, and those given before it.

use serde_json::json;

use super::{super::PushError, *};

fn push(fixture: &Fixture, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let token = Some(fixture.secrets[&Role::Ingest].as_str());
    fixture.send(token, "POST", "/api/v1/ingest/push", headers, body)
}

#[test]
fn good_lines_are_accepted_and_bad_ones_named() {
    let fixture = Fixture::new();
    let answer = push(&fixture, &[], b"{\"a\":1}\nnot json\n{\"a\":2}").is(202).json();
    assert_eq!((&answer["accepted"], &answer["rejected"]), (&json!(2), &json!(1)));
    assert_eq!(
        (&answer["errors"][0]["line"], &answer["errors"][0]["code"]),
        (&json!(2), &json!("bad_json"))
    );
    assert_eq!(fixture.door.taken(), [b"{\"a\":1}".to_vec(), b"{\"a\":2}".to_vec()]);
    let answer = push(&fixture, &[], b"not json").is(422).json();
    assert_eq!((&answer["accepted"], &answer["rejected"]), (&json!(0), &json!(1)));
    // Every content type is taken: shippers send what they like.
    push(&fixture, &[("content-type", "text/plain")], b"{}").is(202);
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
    push(&fixture, &[("content-encoding", "identity")], b"{}").is(202);
    let token = Some(fixture.secrets[&Role::Ingest].as_str());
    for name in ["nothing", "..%2fpush", "push%00", "PUSH"] {
        let answer =
            fixture.send(token, "POST", &format!("/api/v1/ingest/{name}"), &[], b"{}").is(404);
        let problem = answer.problem("unknown_source");
        assert_eq!(problem["hint"], "these do: other, push");
    }
    for (error, status, code, retry) in [
        (PushError::Damaged("truncated".into()), 400, "invalid_body", ""),
        (PushError::TooLarge("inflates to more".into()), 413, "too_large", ""),
        (PushError::Busy("busy".into()), 429, "too_many_requests", "1"),
        (PushError::Full("the spool is full".into()), 503, "unavailable", "30"),
    ] {
        fixture.door.refuse(Some(error));
        let answer = push(&fixture, &[], b"{}").is(status);
        answer.problem(code);
        assert_eq!(answer.header("retry-after"), retry);
    }
}

#[test]
fn a_body_over_the_cap_is_413_whatever_its_length_says() {
    let fixture = Fixture::with(|settings| settings.push_bytes = 1_000);
    push(&fixture, &[], &vec![b' '; 1_001]).is(413).problem("too_large");
    push(&fixture, &[], b"{}").is(202);
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
