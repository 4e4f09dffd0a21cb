//! The API of a running service, with its real store, spool and history behind it. Its routes, roles
//! and limits are tested beside the handlers.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use super::support::{REFUSED, Scratch, okta, rule, sluice};

/// A service with one pushed input and one rule, and an admin's token.
struct Service {
    child: Child,
    url: String,
    token: String,
    agent: ureq::Agent,
    _scratch: Scratch,
}

impl Service {
    fn start() -> Service {
        let scratch = Scratch::new();
        let (data, rules) = (scratch.path("data"), scratch.path("rules"));
        scratch.write("rules/one.sql", rule("one", REFUSED));
        let config = format!(
            "data_dir = \"{data}\"\nrules = [\"{rules}\"]\n[api]\nlisten = \"127.0.0.1:0\"\n\
             [sources.push]\nmapping = \"okta.system\"\nhttp = {{}}\n"
        );
        let config = scratch.write("sluice.toml", config);
        let token = sluice(&["token", "create", "--data-dir", &data, "--role", "admin"]).exits(0);
        let mut child = Command::new(env!("CARGO_BIN_EXE_sluice"))
            .args(["run", "--config", &config])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let url = loop {
            let line = lines.next().unwrap().unwrap();
            if let Some(url) = line.strip_prefix("listening on ") {
                break url.to_owned();
            }
        };
        thread::spawn(move || lines.for_each(drop));
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let token = token.stdout.trim().to_owned();
        Service { child, url, token, agent, _scratch: scratch }
    }

    /// The status, the `ETag` and the body of an answer.
    fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> (u16, String, String) {
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header("authorization", format!("Bearer {}", self.token));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut answer = if body.is_empty() {
            self.agent.run(request.body(()).unwrap()).unwrap()
        } else {
            self.agent.run(request.body(body).unwrap()).unwrap()
        };
        let tag = answer.headers().get("etag").map_or("", |t| t.to_str().unwrap()).to_owned();
        (answer.status().as_u16(), tag, answer.body_mut().read_to_string().unwrap())
    }

    fn json(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let headers = [("content-type", "application/json")];
        let (status, _, text) = self.ask(method, path, &headers, body.to_string().as_bytes());
        (status, serde_json::from_str(&text).unwrap())
    }

    fn push(&self, encoding: &str, body: &[u8]) -> (u16, Value) {
        let headers = [("content-encoding", encoding)];
        let (status, _, text) = self.ask("POST", "/api/v1/ingest/push", &headers, body);
        (status, serde_json::from_str(&text).unwrap())
    }

    /// Bytes of memory the process had at most.
    fn peak_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn a_finding_is_streamed_shown_worked_on_hunted_and_counted() {
    let service = Service::start();
    let address = service.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!(
        "GET /api/v1/findings/stream?q=rule_id:one&include=shadow HTTP/1.1\r\nhost: sluice\r\n\
         authorization: Bearer {}\r\n\r\n",
        service.token
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut lines = BufReader::new(stream).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "HTTP/1.1 200 OK");

    assert_eq!(service.push("identity", okta("ann").as_bytes()).0, 202);
    let data = lines.find_map(|line| line.unwrap().strip_prefix("data: ").map(str::to_owned));
    let finding: Value = serde_json::from_str(&data.unwrap()).unwrap();
    assert_eq!((&finding["rule_id"], &finding["status"]), (&json!("one"), &json!("new")));

    let path = format!("/api/v1/findings/{}", finding["id"].as_str().unwrap());
    let (status, tag, shown) = service.ask("GET", &path, &[], b"");
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((status, tag.as_str()), (200, "\"0\""));
    assert_eq!(shown["evidence"][0]["user_name"], "ann");
    let change = json!({"status": "resolved", "reason": "benign"}).to_string();
    let headers = [("content-type", "application/json"), ("if-match", tag.as_str())];
    assert_eq!(service.ask("PATCH", &path, &headers, change.as_bytes()).0, 200);
    assert_eq!(service.ask("PATCH", &path, &headers, change.as_bytes()).0, 412);
    // A change of triage is streamed too.
    let data = lines.find_map(|line| line.unwrap().strip_prefix("data: ").map(str::to_owned));
    let finding: Value = serde_json::from_str(&data.unwrap()).unwrap();
    assert_eq!((&finding["status"], &finding["version"]), (&json!("resolved"), &json!(1)));

    let hunt = json!({"sql": "SELECT user_name FROM authentication"});
    let (status, rows) = service.json("POST", "/api/v1/hunts", &hunt);
    assert_eq!((status, &rows["rows"]), (200, &json!([{"user_name": "ann"}])));
    let (_, _, metrics) = service.ask("GET", "/metrics", &[], b"");
    for line in [
        "sluice_records_received_total{source=\"push\"} 1",
        "sluice_rule_findings_total{rule=\"one\"} 1",
        "sluice_conservation_error 0",
        "sluice_store_findings 1",
    ] {
        assert!(metrics.lines().any(|l| l == line), "no `{line}` in\n{metrics}");
    }
    let (_, _, sources) = service.ask("GET", "/api/v1/sources", &[], b"");
    let sources: Value = serde_json::from_str(&sources).unwrap();
    assert_eq!(sources["items"][0]["records"]["balanced"], true, "{sources}");
    assert_eq!(sources["items"][0]["phase"], "running", "{sources}");
}

#[test]
fn a_bomb_is_413_in_every_encoding_and_the_process_stays_small() {
    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let level = flate2::Compression::best();
        let mut out = Vec::new();
        flate2::read::GzEncoder::new(bytes, level).read_to_end(&mut out).unwrap();
        out
    }
    fn deflate(bytes: &[u8]) -> Vec<u8> {
        let level = flate2::Compression::best();
        let mut out = Vec::new();
        flate2::read::ZlibEncoder::new(bytes, level).read_to_end(&mut out).unwrap();
        out
    }
    let service = Service::start();
    assert_eq!(service.push("identity", okta("ann").as_bytes()).0, 202);
    let before = service.peak_bytes();
    let spaces = vec![b' '; 1 << 20];
    // Members and frames one after the other are one body: 10 GiB of spaces in each.
    let frame = zstd::encode_all(&spaces[..], 19).unwrap();
    for (encoding, bomb) in [
        ("gzip", gzip(&spaces).repeat(10 << 10)),
        ("zstd", frame.repeat(10 << 10)),
        ("deflate", deflate(&spaces.repeat(100))),
    ] {
        let (status, problem) = service.push(encoding, &bomb);
        assert_eq!((status, &problem["code"]), (413, &json!("too_large")), "{encoding}");
    }
    let grown = service.peak_bytes() - before;
    assert!(grown < 400 << 20, "it grew by {} MiB", grown >> 20);
    assert_eq!(service.push("gzip", &gzip(okta("bob").as_bytes())).0, 202);
    // What is only half there, or another format, is no bomb: 400.
    for (encoding, bytes) in
        [("gzip", &frame[..]), ("zstd", b"not zstd"), ("deflate", b"x"), ("zstd", &frame[..9])]
    {
        assert_eq!(service.push(encoding, bytes).0, 400, "{encoding}");
    }
}
