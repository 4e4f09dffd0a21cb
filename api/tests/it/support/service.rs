//! A running service of a test's own, and what a client asks of it. Not the checks.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{REFUSED, Scratch, rule, sluice};

/// A data directory, rules and a configuration that several runs may share, and an admin's token.
pub(crate) struct Home {
    pub(crate) scratch: Scratch,
    pub(crate) config: String,
    pub(crate) token: String,
}

impl Home {
    /// One pushed input of Okta's log and one rule, `one`: every refused sign-in. `more` is further
    /// configuration.
    pub(crate) fn new(more: &str) -> Home {
        Home::within(Scratch::new(), more)
    }

    /// The same in a folder that is there.
    pub(crate) fn within(scratch: Scratch, more: &str) -> Home {
        let (data, rules) = (scratch.path("data"), scratch.path("rules"));
        scratch.write("rules/one.sql", rule("one", REFUSED));
        let mut text = format!("data_dir = \"{data}\"\nrules = [\"{rules}\"]\n");
        // Settings of no table stand before the first table.
        let top = more.lines().take_while(|line| !line.starts_with('[')).count();
        for line in more.lines().take(top) {
            text = text + line + "\n";
        }
        if !more.contains("mappings = ") {
            text += "[sources.push]\nmapping = \"okta.system\"\nhttp = {}\n";
        }
        for line in more.lines().skip(top) {
            text = text + line + "\n";
        }
        text += "\n[api]\nlisten = \"127.0.0.1:0\"\n";
        let config = scratch.write("sluice.toml", text);
        let token = create_token(&data, "admin");
        Home { scratch, config, token }
    }

    /// Makes another token.
    pub(crate) fn token(&self, role: &str) -> String {
        create_token(&self.scratch.path("data"), role)
    }

    /// Something in the data directory.
    pub(crate) fn data(&self, below: &str) -> PathBuf {
        PathBuf::from(self.scratch.path("data")).join(below)
    }

    /// Starts a service and waits until it listens.
    pub(crate) fn start(&self) -> Service {
        let mut child = Command::new(env!("CARGO_BIN_EXE_sluice"))
            .args(["run", "--config", &self.config])
            .env_remove("SLUICE_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let said = Arc::new(Mutex::new(String::new()));
        let url = loop {
            let Some(line) = lines.next() else { panic!("it ended: {}", said.lock().unwrap()) };
            let line = line.unwrap();
            if let Some(url) = line.strip_prefix("listening on ") {
                break url.to_owned();
            }
            *said.lock().unwrap() += &(line + "\n");
        };
        thread::spawn({
            let said = said.clone();
            move || lines.map_while(Result::ok).for_each(|l| *said.lock().unwrap() += &(l + "\n"))
        });
        // The server closes a connection whose body it did not want: none is used twice.
        let config = ureq::Agent::config_builder().http_status_as_error(false);
        let agent = config.max_idle_connections(0).build().into();
        Service { child, url, token: self.token.clone(), agent, said }
    }
}

fn create_token(data: &str, role: &str) -> String {
    let run = sluice(&["token", "create", "--data-dir", data, "--role", role]).exits(0);
    run.stdout.trim().to_owned()
}

/// A running service; killed when dropped.
pub(crate) struct Service {
    child: Child,
    pub(crate) url: String,
    pub(crate) token: String,
    agent: ureq::Agent,
    said: Arc<Mutex<String>>,
}

/// An answer to a request.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<String>,
    /// `WWW-Authenticate`.
    pub(crate) challenge: Option<String>,
    pub(crate) text: String,
}

impl Answer {
    /// Its body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }

    /// Checks the status.
    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }
}

impl Service {
    /// Asks with the admin's token.
    pub(crate) fn ask(&self, method: &str, path: &str, kind: &str, body: &str) -> Answer {
        self.with_token(&self.token, method, path, kind, body)
    }

    /// Asks with another token; with an empty one, without.
    pub(crate) fn with_token(
        &self,
        token: &str,
        method: &str,
        path: &str,
        kind: &str,
        body: &str,
    ) -> Answer {
        let authorization =
            if token.is_empty() { String::new() } else { format!("Bearer {token}") };
        self.authorized(&authorization, method, path, kind, body)
    }

    /// Asks like a gateway, for a user.
    pub(crate) fn gate(&self, path: &str, user: &str) -> Answer {
        let authorization = format!("Bearer {}", self.token);
        self.send(&[("authorization", &authorization), ("x-user", user)], "GET", path, "")
    }

    /// Asks with an `Authorization` header; with an empty one, without.
    pub(crate) fn authorized(
        &self,
        authorization: &str,
        method: &str,
        path: &str,
        kind: &str,
        body: &str,
    ) -> Answer {
        let mut headers = vec![("content-type", kind)];
        if !authorization.is_empty() {
            headers.push(("authorization", authorization));
        }
        self.send(&headers, method, path, body)
    }

    fn send(&self, headers: &[(&str, &str)], method: &str, path: &str, body: &str) -> Answer {
        let mut request =
            ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut answer = if method == "GET" || (method == "DELETE" && body.is_empty()) {
            self.agent.run(request.body(()).unwrap()).unwrap()
        } else {
            self.agent.run(request.body(body).unwrap()).unwrap()
        };
        let header =
            |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let (retry_after, challenge) = (header("retry-after"), header("www-authenticate"));
        Answer {
            status: answer.status().as_u16(),
            retry_after,
            challenge,
            text: answer.body_mut().read_to_string().unwrap(),
        }
    }

    /// Status, `ETag` and bytes of an answer.
    pub(crate) fn bytes(&self, path: &str, headers: &[(&str, &str)]) -> (u16, String, Vec<u8>) {
        let mut request = self.agent.get(format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut answer = request.call().unwrap();
        let tag = answer.headers().get("etag").map_or("", |tag| tag.to_str().unwrap()).to_owned();
        (answer.status().as_u16(), tag, answer.body_mut().read_to_vec().unwrap())
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "text/plain", "")
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask("POST", path, "application/json", &body.to_string())
    }

    /// Pushes lines to the input `push`.
    pub(crate) fn push(&self, body: &str) -> Answer {
        self.ask("POST", "/api/v1/ingest/push", "application/x-ndjson", body)
    }

    /// Resident memory, KiB; 0 where the system does not tell it this way.
    pub(crate) fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|kib| kib.trim().strip_suffix("kB")?.trim().parse().ok()).unwrap_or(0)
    }

    pub(crate) fn status(&self) -> Value {
        self.get("/api/v1/status").is(200).json()
    }

    /// What became of the records of an input.
    pub(crate) fn records(&self, input: usize) -> Value {
        self.get("/api/v1/sources").is(200).json()["items"][input]["records"].clone()
    }

    /// Searches: `q` and further parameters, `&limit=3`.
    pub(crate) fn search(&self, q: &str, more: &str) -> Answer {
        self.get(&format!("/api/v1/findings?q={}&include=shadow{more}", escaped(q)))
    }

    /// How many findings a query matches; `None` where there is no answer.
    pub(crate) fn total(&self, q: &str) -> Option<u64> {
        let answer = self.search(q, "");
        if answer.status != 200 {
            return None;
        }
        answer.json()["total"]["value"].as_u64()
    }

    /// The data of the first event of the stream of findings, from the beginning of the store.
    pub(crate) fn streamed(&self) -> Value {
        let address = self.url.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        let head = format!(
            "GET /api/v1/findings/stream?include=shadow HTTP/1.1\r\nhost: sluice\r\nlast-event-id: 0\r\n\
             authorization: Bearer {}\r\n\r\n",
            self.token
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut lines = BufReader::new(stream).lines();
        let data = lines.find_map(|line| line.unwrap().strip_prefix("data: ").map(str::to_owned));
        serde_json::from_str(&data.unwrap()).unwrap()
    }

    /// The status line of an answer to a request that no client library would send.
    pub(crate) fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.url.strip_prefix("http://").unwrap()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut sender = stream.try_clone().unwrap();
        let request = request.to_owned();
        // The server may refuse, and close, before it has read everything.
        let sent = thread::spawn(move || sender.write_all(request.as_bytes()).is_ok());
        let mut answer = Vec::new();
        let mut part = [0; 4096];
        while let Ok(n) = stream.read(&mut part) {
            answer.extend_from_slice(&part[..n]);
            if n == 0 || answer.contains(&b'\n') {
                break;
            }
        }
        drop(stream);
        sent.join().unwrap();
        String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned()
    }

    /// What it has said on stderr.
    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }

    /// Stops it gently.
    #[track_caller]
    pub(crate) fn stop(mut self) {
        self.signal("-TERM");
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}: {}", self.said());
    }

    /// Waits until something holds.
    #[track_caller]
    pub(crate) fn wait_for(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let begun = now();
        while !holds() {
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "no {what}\nstatus: {}\nsaid: {}",
                self.get("/api/v1/status").text,
                self.said()
            );
            thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Percent-encoded for a query.
pub(crate) fn escaped(text: &str) -> String {
    text.bytes()
        .map(|b| match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                char::from(b).to_string()
            }
            _ => format!("%{b:02X}"),
        })
        .collect()
}

#[expect(clippy::disallowed_methods, reason = "how long to wait")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The time of records that happen now, milliseconds since 1970.
pub(crate) fn millis() -> i64 {
    i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap()
}
