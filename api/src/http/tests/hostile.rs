//! Clients that mean harm or are broken (B-15), while another one is served.

use super::*;

fn alive(fixture: &Fixture) {
    assert_eq!(fixture.send(None, "GET", "/healthz", &[], b"").is(200).text(), "alive");
}

/// The status of the first response of a raw exchange.
fn status(text: &str) -> Option<u16> {
    text.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()
}

#[test]
fn a_head_that_drips_is_closed_in_time_and_others_are_served() {
    let fixture = Fixture::with(|settings| settings.head_time = Duration::from_secs(1));
    let mut slow: Vec<TcpStream> = (0..50).map(|_| fixture.connect()).collect();
    for stream in &mut slow {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: s").unwrap();
    }
    alive(&fixture);
    // A byte now and then does not buy more time.
    for _ in 0..6 {
        std::thread::sleep(Duration::from_millis(300));
        for stream in &mut slow {
            stream.write_all(b"x").ok();
        }
        alive(&fixture);
    }
    for mut stream in slow {
        let answer = read_for(&mut stream, Duration::from_millis(100));
        assert!(answer.is_empty() || status(&answer) == Some(408), "{answer}");
        stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        assert!(!matches!(stream.read(&mut [0]), Ok(1..)), "the connection is closed");
    }
}

#[test]
fn a_body_that_does_not_come_is_given_up() {
    let fixture = Fixture::with(|settings| settings.request_time = Duration::from_secs(1));
    let head = fixture.head("POST /api/v1/ingest/push HTTP/1.1");
    // A length that lies: ten bytes are promised, two come.
    let answer = fixture
        .raw(format!("{head}content-length: 10\r\n\r\n{{}}").as_bytes(), Duration::from_secs(3));
    assert_eq!(status(&answer), Some(408), "{answer}");
    assert!(answer.contains("\"code\":\"timeout\""), "{answer}");
}

#[test]
fn heads_that_are_too_much_are_refused() {
    let fixture = Fixture::new();
    let head = fixture.head("GET /api/v1/rules HTTP/1.1");
    let wide = format!("{head}x-wide: {}\r\n\r\n", "a".repeat(1 << 20));
    let answer = fixture.raw(wide.as_bytes(), Duration::from_secs(2));
    assert!(matches!(status(&answer), Some(431) | None), "{answer}");
    let many = format!("{head}{}\r\n", "a: b\r\n".repeat(10_000));
    let answer = fixture.raw(many.as_bytes(), Duration::from_secs(2));
    assert!(matches!(status(&answer), Some(431) | None), "{answer}");
    let parameters = "a=1&".repeat(150);
    fixture.get(&format!("/api/v1/findings?{parameters}")).is(400).problem("invalid_parameter");
    let line = format!("GET /api/v1/findings?{} HTTP/1.1", "a=1&".repeat(100_000));
    let answer =
        fixture.raw(format!("{}\r\n", fixture.head(&line)).as_bytes(), Duration::from_secs(2));
    assert!(matches!(status(&answer), Some(414 | 431) | None), "{answer}");
    let line = format!("GET /api/v1/findings?q={} HTTP/1.1", "a".repeat(20_000));
    let answer =
        fixture.raw(format!("{}\r\n", fixture.head(&line)).as_bytes(), Duration::from_secs(2));
    assert_eq!(status(&answer), Some(414), "{answer}");
    alive(&fixture);
}

#[test]
fn what_is_not_http_or_two_lengths_at_once_is_refused() {
    let fixture = Fixture::new();
    let head = fixture.head("POST /api/v1/ingest/push HTTP/1.1");
    for bytes in [
        b"\x16\x03\x01\x02\x00\x01\x00".to_vec(),
        b"GET\r\n\r\n".to_vec(),
        format!("{head}content-length: 2\r\ncontent-length: 3\r\n\r\n{{}}").into_bytes(),
        format!("{head}content-length: -1\r\n\r\n{{}}").into_bytes(),
        format!("{head}transfer-encoding: chunked\r\n\r\nzz\r\n").into_bytes(),
        format!("{head}x-a\0b: c\r\n\r\n").into_bytes(),
    ] {
        let answer = fixture.raw(&bytes, Duration::from_secs(1));
        assert!(matches!(status(&answer), Some(400) | None), "{bytes:?}: {answer}");
    }
    // Both lengths: the chunks count, and no second request is smuggled in the rest.
    let both = format!(
        "{head}content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n"
    );
    let answer = fixture.raw(both.as_bytes(), Duration::from_secs(1));
    assert!(matches!(status(&answer), Some(202 | 400 | 422)), "{answer}");
    assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
    alive(&fixture);
}

#[test]
fn idle_connections_of_an_address_keep_nobody_out() {
    let fixture = Fixture::with(|settings| settings.connections_per_address = 3);
    let held: Vec<TcpStream> = (0..20).map(|_| fixture.connect()).collect();
    for _ in 0..5 {
        alive(&fixture);
    }
    drop(held);
}

#[test]
fn idle_connections_of_all_addresses_keep_nobody_out() {
    let fixture = Fixture::with(|settings| settings.connections = 4);
    let held: Vec<TcpStream> = (0..20).map(|_| fixture.connect()).collect();
    alive(&fixture);
    drop(held);
}

#[test]
fn busy_connections_of_an_address_have_a_limit_that_is_not_for_proxies() {
    let streams = |fixture: &Fixture, count: usize| {
        let head = fixture.head("GET /api/v1/findings/stream HTTP/1.1");
        let open = |_| {
            let mut stream = fixture.connect();
            stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
            stream.read_exact(&mut [0; 12]).unwrap();
            stream
        };
        (0..count).map(open).collect::<Vec<_>>()
    };
    let fixture = Fixture::with(|settings| settings.connections_per_address = 3);
    let held = streams(&fixture, 3);
    let answer = fixture.raw(b"GET /healthz HTTP/1.1\r\nhost: s\r\n\r\n", Duration::from_secs(1));
    assert_eq!(answer, "");
    drop(held);
    let fixture = Fixture::with(|settings| {
        settings.connections_per_address = 3;
        settings.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    });
    let _held = streams(&fixture, 6);
    alive(&fixture);
}

#[test]
fn a_request_has_one_host() {
    let fixture = Fixture::new();
    for (request, expected) in [
        ("GET /healthz HTTP/1.1\r\n\r\n", 400),
        ("GET /healthz HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", 400),
        ("GET /healthz HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n", 400),
        ("GET /healthz HTTP/1.0\r\n\r\n", 200),
        ("GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n", 200),
        ("GET /healthz HTTP/1.1\r\nhost: [::1]:7777\r\n\r\n", 200),
        ("GET http://a/healthz HTTP/1.1\r\nhost: a\r\n\r\n", 200),
        ("GET http://b/healthz HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        ("GET /healthz HTTP/1.1\r\nhost:\r\n\r\n", 400),
        ("GET /healthz HTTP/1.1\r\nhost: a,b\r\n\r\n", 400),
        ("GET /healthz HTTP/1.1\r\nhost: a@b\r\n\r\n", 400),
        ("GET /healthz HTTP/1.1\r\nhost: a/b\r\n\r\n", 400),
    ] {
        let answer = fixture.raw(request.as_bytes(), Duration::from_millis(500));
        assert_eq!(status(&answer), Some(expected), "{request}: {answer}");
    }
}

#[test]
fn what_a_request_says_once_is_not_said_twice() {
    let fixture = Fixture::new();
    let head = fixture.head("GET /api/v1/rules HTTP/1.1");
    let once = fixture.raw(format!("{head}\r\n").as_bytes(), Duration::from_millis(500));
    assert_eq!(status(&once), Some(200), "{once}");
    for more in [
        "authorization: Bearer slc_0",
        "content-type: text/plain\r\ncontent-type: application/json",
        "if-match: 1\r\nif-match: 2",
        "idempotency-key: a\r\nidempotency-key: b",
        "last-event-id: 1\r\nlast-event-id: 2",
    ] {
        let request = format!("{head}{more}\r\n\r\n");
        let answer = fixture.raw(request.as_bytes(), Duration::from_millis(500));
        assert_eq!(status(&answer), Some(400), "{more}: {answer}");
    }
    // Two lengths: nothing is read as a second request.
    let both = "transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n";
    let answer = fixture.raw(format!("{head}{both}").as_bytes(), Duration::from_millis(500));
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
}

#[test]
fn a_client_that_never_reads_is_cut_off() {
    let fixture = Fixture::with(|settings| settings.write_time = Duration::from_secs(1));
    let mut finding = node::finding(1, 0, "identity.x", sluice_rule::Severity::Low);
    finding.fields.insert("text".to_owned(), "x".repeat(1 << 20).into());
    fixture.commit((0..50).map(|n| {
        finding.id.0 = n;
        finding.clone()
    }));
    let head = fixture.head("GET /api/v1/findings?limit=50 HTTP/1.1");
    let mut stream = fixture.connect();
    stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
    stream.read_exact(&mut [0]).unwrap();
    std::thread::sleep(Duration::from_secs(3));
    // What lay in the buffers is still there; the rest of the 50 MiB never comes.
    let got = read_for(&mut stream, Duration::from_secs(2)).len();
    assert!((1..50 << 20).contains(&got), "{got}");
    alive(&fixture);
}

#[test]
fn answers_that_nobody_takes_are_bounded_in_sum() {
    let fixture = Fixture::with(|settings| settings.memory = 36 << 20);
    let mut finding = node::finding(1, 0, "identity.x", sluice_rule::Severity::Low);
    finding.fields.insert("text".to_owned(), "x".repeat(1 << 20).into());
    fixture.commit((0..16).map(|n| {
        finding.id.0 = n;
        finding.clone()
    }));
    // Each answer has 16 MiB, more than the buffers of a socket take; a token may hold 18.
    let head = fixture.head("GET /api/v1/findings?limit=16 HTTP/1.1");
    let mut slow = fixture.connect();
    slow.write_all(format!("{head}\r\n").as_bytes()).unwrap();
    slow.read_exact(&mut [0; 12]).unwrap();
    let answer = fixture.get("/api/v1/findings?limit=16").is(503);
    answer.problem("unavailable");
    assert_eq!(answer.header("retry-after"), "1");
    fixture.ask(Role::Viewer, "GET", "/api/v1/findings?limit=16", None).is(200);
    drop(slow);
    wait_for("the memory", || fixture.get("/api/v1/findings?limit=16").status == 200);
}

#[test]
fn bodies_are_json_and_not_deep() {
    let fixture = Fixture::new();
    let token = Some(fixture.secrets[&Role::Admin].as_str());
    let send = |kind: &str, body: &[u8]| {
        fixture.send(token, "POST", "/api/v1/hunts", &[("content-type", kind)], body)
    };
    send("text/plain", b"{}").is(415).problem("unsupported_media_type");
    send("application/json", b"{\"sql\": ").is(400).problem("invalid_body");
    send("application/json", b"\xff\xfe").is(400).problem("invalid_body");
    send("application/json", "[".repeat(100_000).as_bytes()).is(400).problem("invalid_body");
    send("application/json", &vec![b' '; 2 << 20]).is(413).problem("too_large");
    send("application/json; charset=utf-8", br#"{"sql":"SELECT 1 AS one"}"#).is(200);
}
