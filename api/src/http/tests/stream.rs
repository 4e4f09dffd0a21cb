//! The live stream: what comes, in what order, after a break, and until when.

use sluice_finding::{Finding, FindingState};
use sluice_rule::Severity;

use super::{node::finding, *};

fn some(n: u128, severity: Severity) -> Finding {
    finding(n, 1_000, "identity.x", severity)
}

fn open(fixture: &Fixture, query: &str, after: Option<u64>) -> TcpStream {
    fixture.stream(&format!("/api/v1/findings/stream{query}"), after)
}

/// Events as (event, id, finding).
fn events(text: &str) -> Vec<(String, Option<u64>, String)> {
    let mut found = Vec::new();
    let (mut event, mut id, mut data) = (String::new(), None, Value::Null);
    for line in text.lines() {
        match line.split_once(": ") {
            Some(("event", word)) => event = word.to_owned(),
            Some(("id", n)) => id = n.parse().ok(),
            Some(("data", json)) => data = serde_json::from_str(json).unwrap(),
            _ if !data.is_null() => {
                let finding = data["title"].as_str().unwrap_or_default().to_owned();
                found.push((std::mem::take(&mut event), id.take(), finding));
                data = Value::Null;
            }
            _ => {}
        }
    }
    found
}

#[test]
fn findings_come_as_they_are_kept_each_with_its_sequence() {
    let fixture = Fixture::new();
    fixture.keep([some(1, Severity::Low)]);
    let mut stream = open(&fixture, "", None);
    fixture.keep([some(2, Severity::Low), some(3, Severity::High)]);
    let mut gone = some(4, Severity::Low);
    gone.state = FindingState::Withdrawn;
    fixture.keep([gone]);
    let seen = events(&read_for(&mut stream, Duration::from_secs(1)));
    let event = |word: &str, id, n: u8| (word.to_owned(), id, format!("finding {n}"));
    assert_eq!(
        seen,
        [
            event("finding", Some(2), 2),
            event("finding", Some(3), 3),
            event("withdrawn", Some(4), 4)
        ]
    );
}

#[test]
fn a_client_that_comes_back_gets_what_it_missed_once() {
    let fixture = Fixture::new();
    fixture.keep((1..=600).map(|n| some(n, Severity::Low)));
    let mut stream = open(&fixture, "", Some(10));
    for n in 601..=610 {
        fixture.keep([some(n, Severity::Low)]);
    }
    let seen = events(&read_for(&mut stream, Duration::from_secs(1)));
    let ids: Vec<u64> = seen.iter().filter_map(|(_, id, _)| *id).collect();
    assert_eq!(ids, (11..=610).collect::<Vec<_>>());
}

#[test]
fn a_filter_keeps_to_its_fields() {
    let fixture = Fixture::new();
    let mut stream = open(&fixture, "?q=severity:high%20rule_id:identity.x", None);
    fixture.keep([some(1, Severity::Low), some(2, Severity::High)]);
    fixture.keep([finding(3, 0, "identity.y", Severity::High)]);
    let seen = events(&read_for(&mut stream, Duration::from_secs(1)));
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].2, "finding 2");
    for query in ["?q=ann", "?q=severity:huge", "?q=title:x"] {
        fixture
            .get(&format!("/api/v1/findings/stream{query}"))
            .is(400)
            .problem("invalid_parameter");
    }
    let token = Some(fixture.secrets[&Role::Viewer].as_str());
    let headers = [("last-event-id", "abc")];
    fixture.send(token, "GET", "/api/v1/findings/stream", &headers, b"").is(400);
}

#[test]
fn a_slow_client_is_told_of_the_gap_and_holds_nobody_up() {
    let fixture = Fixture::new();
    let mut slow = open(&fixture, "", None);
    let mut long = some(1, Severity::Low);
    long.fields.insert("text".to_owned(), "x".repeat(20_000).into());
    // More pages than its buffer has, after what the buffers of the socket take.
    let followers = fixture.node.followers();
    let live = followers.iter().find(|f| f.name == "live").unwrap();
    for n in 0..150 {
        // A rule of each page's own: those of one rule are bounded by the minute.
        long.rule_id = format!("identity.long_{n}").into();
        let seq = fixture.keep((0..64).map(|i| {
            long.id.0 = n * 64 + i;
            long.clone()
        }));
        wait_for("the page", || live.now().at >= seq);
    }
    fixture.get("/api/v1/rules").is(200);
    let text = read_for(&mut slow, Duration::from_secs(8));
    assert!(text.contains("event: gap"), "{} bytes", text.len());
    let metrics = fixture.get("/metrics").is(200).text();
    assert!(!metrics.contains("sluice_stream_gaps_total 0"), "{metrics}");
}

#[test]
fn findings_of_rules_on_trial_come_when_asked_for() {
    let fixture = Fixture::new();
    let (mut plain, mut all) = (open(&fixture, "", None), open(&fixture, "?include=shadow", None));
    let trial = Finding { shadow: true, ..some(1, Severity::Low) };
    fixture.keep([trial, some(2, Severity::Low)]);
    assert_eq!(events(&read_for(&mut plain, Duration::from_secs(1))).len(), 1);
    assert_eq!(events(&read_for(&mut all, Duration::from_secs(1))).len(), 2);
    fixture.get("/api/v1/findings/stream?include=x").is(400).problem("invalid_parameter");
}

#[test]
fn it_ends_with_its_token_and_with_the_server() {
    let fixture = Fixture::new();
    let token = fixture.tokens.create("ann", Role::Viewer, None, None, 0).unwrap();
    let mut stream = fixture.connect();
    let head = format!(
        "GET /api/v1/findings/stream HTTP/1.1\r\nhost: sluice\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    fixture.tokens.revoke("ann").unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    assert!(String::from_utf8(all).unwrap().ends_with("0\r\n\r\n"), "the stream ends properly");

    let mut stream = open(&fixture, "", None);
    let server = fixture.server.lock().unwrap().take().unwrap();
    let stopping = std::thread::spawn(move || server.stop());
    stream.set_read_timeout(Some(Duration::from_secs(4))).unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    stopping.join().unwrap();
}

#[test]
fn there_are_so_many_clients() {
    let fixture = Fixture::with(|settings| settings.streams = 1);
    let first = open(&fixture, "", None);
    let answer = fixture.get("/api/v1/findings/stream").is(503);
    answer.problem("unavailable");
    assert_eq!(answer.header("retry-after"), "30");
    drop(first);
    fixture.keep([some(1, Severity::Low)]);
    std::thread::sleep(Duration::from_millis(1_500));
    open(&fixture, "", None);
}

#[test]
fn one_token_does_not_take_every_stream_nor_every_request() {
    let fixture = Fixture::with(|settings| {
        settings.streams_per_token = 2;
        settings.requests_per_token = 3;
    });
    let _held = [open(&fixture, "", None), open(&fixture, "", None)];
    let answer = fixture.get("/api/v1/findings/stream").is(429);
    answer.problem("too_many_requests");
    assert!(answer.header("retry-after").parse::<u64>().is_ok());
    fixture.ask(Role::Ingest, "POST", "/api/v1/ingest/push", None).is(400).problem("empty");
    let stream = fixture.head_of(Role::Viewer, "GET /api/v1/findings/stream HTTP/1.1");
    let answer = fixture.raw(format!("{stream}\r\n").as_bytes(), Duration::from_millis(500));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
