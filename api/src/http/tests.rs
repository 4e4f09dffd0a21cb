//! The API over a real socket and a real node in a temporary folder. Each file is one surface.

mod access;
mod audit;
mod description;
mod findings;
mod hostile;
mod hunts;
mod incidents;
mod ingest;
mod letters;
mod node;
mod risk;
mod rules;
mod stream;
mod ui;

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use super::{HttpSettings, Server, clock, serve};
use crate::{
    node::{Node, app},
    tokens::{Role, Tokens},
};

/// A server over a node of its own, and a token of every role.
struct Fixture {
    /// A mutex, since a server is for one thread at a time.
    server: Mutex<Option<Server>>,
    address: SocketAddr,
    node: Node,
    tokens: Tokens,
    secrets: BTreeMap<Role, String>,
    agent: ureq::Agent,
    dir: TempDir,
}

/// What came back.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: ureq::http::HeaderMap,
    body: Vec<u8>,
}

impl Fixture {
    fn new() -> Fixture {
        Fixture::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut HttpSettings)) -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        let config = node::config(dir.path());
        let node = node::start(&config);
        let reload = {
            let service = node.service.clone();
            let folder = dir.path().to_owned();
            Arc::new(move || service.reload(node::content(&folder)))
        };
        let app = app(&config, &node, reload).unwrap();
        let tokens = app.tokens.clone();
        let secrets = Role::ALL
            .into_iter()
            .map(|role| (role, tokens.create(role.name(), role, None, None, 0).unwrap()))
            .collect();
        let mut settings = HttpSettings {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            ..HttpSettings::default()
        };
        change(&mut settings);
        let server = serve(app, settings).unwrap();
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            // A connection on which a body was refused is closed: none is used twice.
            .max_idle_connections(0)
            .timeout_global(Some(Duration::from_secs(60)))
            .build();
        Fixture {
            address: server.address(),
            server: Mutex::new(Some(server)),
            node,
            tokens,
            secrets,
            agent: agent.into(),
            dir,
        }
    }

    /// One request with a role's token.
    #[track_caller]
    fn ask(&self, role: Role, method: &str, path: &str, body: Option<Value>) -> Answer {
        let headers: &[(&str, &str)] =
            if body.is_some() { &[("content-type", "application/json")] } else { &[] };
        let bytes = body.map(|b| b.to_string().into_bytes()).unwrap_or_default();
        self.send(Some(&self.secrets[&role]), method, path, headers, &bytes)
    }

    #[track_caller]
    fn get(&self, path: &str) -> Answer {
        self.ask(Role::Admin, "GET", path, None)
    }

    #[track_caller]
    fn post(&self, path: &str, body: Value) -> Answer {
        self.ask(Role::Admin, "POST", path, Some(body))
    }

    #[track_caller]
    fn send(
        &self,
        token: Option<&str>,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address));
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = if body.is_empty() {
            self.agent.run(request.body(()).unwrap())
        } else {
            self.agent.run(request.body(body).unwrap())
        };
        let (parts, mut body) =
            response.unwrap_or_else(|e| panic!("{method} {path}: {e}")).into_parts();
        let body = body.with_config().limit(64 << 20).read_to_vec().unwrap();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    /// Sends bytes as they are and reads until the other side closes, or for `time`.
    fn raw(&self, bytes: &[u8], time: Duration) -> String {
        let mut stream = self.connect();
        // The server may refuse before it has read all.
        stream.write_all(bytes).ok();
        read_for(&mut stream, time)
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).unwrap()
    }

    /// A client of server-sent events that has got the head of the response.
    fn stream(&self, path: &str, after: Option<u64>) -> TcpStream {
        let mut stream = self.connect();
        let resume = after.map(|id| format!("last-event-id: {id}\r\n")).unwrap_or_default();
        let head = self.head(&format!("GET {path} HTTP/1.1"));
        stream.write_all(format!("{head}{resume}\r\n").as_bytes()).unwrap();
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("HTTP/1.1 200") && head.contains("text/event-stream"), "{head}");
        stream
    }

    /// The head of a request with an admin's token, without the last line break.
    fn head(&self, first: &str) -> String {
        self.head_of(Role::Admin, first)
    }

    fn head_of(&self, role: Role, first: &str) -> String {
        format!("{first}\r\nhost: sluice\r\nauthorization: Bearer {}\r\n", self.secrets[&role])
    }
}

impl Answer {
    #[track_caller]
    fn is(self, status: u16) -> Answer {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |h| h.to_str().unwrap())
    }

    /// A complete problem with this code.
    #[track_caller]
    fn problem(&self, code: &str) -> Value {
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text());
        let problem = self.json();
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["status"], self.status, "{problem}");
        assert_eq!(problem["type"], format!("urn:sluice:problem:{code}"));
        for field in ["title", "detail"] {
            assert!(problem[field].as_str().is_some_and(|t| !t.is_empty()), "{problem}");
        }
        let instance = format!("urn:sluice:request:{}", self.header("x-request-id"));
        assert_eq!(problem["instance"], instance);
        problem
    }
}

fn read_for(stream: &mut TcpStream, time: Duration) -> String {
    stream.set_read_timeout(Some(time)).unwrap();
    let mut all = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(n) = stream.read(&mut buffer) {
        if n == 0 {
            break;
        }
        all.extend_from_slice(&buffer[..n]);
    }
    String::from_utf8_lossy(&all).into_owned()
}

/// Waits until something holds, at most 60 s.
#[track_caller]
fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let begun: Instant = clock::monotonic();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what} did not come");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn it_is_alive_ready_and_ends() {
    let fixture = Fixture::new();
    assert_eq!(fixture.send(None, "GET", "/healthz", &[], b"").is(200).text(), "alive");
    wait_for("readiness", || fixture.send(None, "GET", "/readyz", &[], b"").status == 200);
    fixture.node.service.stop().unwrap();
    assert_eq!(fixture.send(None, "GET", "/readyz", &[], b"").is(503).text(), "unready");
    let status = fixture.get("/api/v1/status").is(200).json();
    assert_eq!(status["ready"], false);
    assert_eq!(status["problems"][0], "it has stopped");
    fixture.server.lock().unwrap().take().unwrap().stop();
    assert!(TcpStream::connect(fixture.address).is_err());
}
