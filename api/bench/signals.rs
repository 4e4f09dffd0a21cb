//! Measures signals on a running server of its own: an event that changes a level to its first push, a level that
//! changes to its first push, and decisions of gateways at a rate. Not part of the product.
//!
//! `signals SLUICE [RATE] [SECONDS] [EVENTS]`: the binary, requests per second (5000) and how long (20), and events
//! per second (2000) beside those that raise somebody. Prints lines of a table. An event is timed from before it is
//! posted; a level by itself is changed by an override, so that its time begins when the level is known.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    unused_crate_dependencies,
    reason = "a measurement at the command line"
)]

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};

const KEY: &str = include_str!("../../engine/signal/tests/it/keys/one.pem");
/// Level changes, and the pause between two.
const CHANGES: usize = 500;
const PAUSE: Duration = Duration::from_millis(20);
/// Connections that ask at once.
const CONNECTIONS: usize = 16;
/// One event of it raises somebody to `high`.
const RULE: &str = "/*---
id: bench.denied_push
title: A refused push
severity: high
status: stable
attack: [TA0006]
entity: {user_entity: user}
risk: 90
false_positives: [none]
runbook: Ask.
---*/
SELECT user_entity FROM authentication WHERE failure_reason = 'mfa_denied'
";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [sluice, more @ ..] = arguments.as_slice() else {
        eprintln!("usage: signals SLUICE [RATE] [SECONDS] [EVENTS]");
        std::process::exit(3);
    };
    let number = |n: usize, default: u64| more.get(n).map_or(default, |t| t.parse().unwrap());
    let (rate, seconds, events) = (number(0, 5_000), number(1, 20), number(2, 2_000));
    let dir = std::env::temp_dir().join(format!("sluice-signals-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    let pushes: Arc<Mutex<BTreeMap<String, Instant>>> = Arc::default();
    let receiver = receive(pushes.clone());
    let server = Server::start(sluice, &dir, receiver);
    println!("| what | events, changes or requests/s | answers | p50 ms | p99 ms | max ms |");
    println!("|---|---|---|---|---|---|");
    server.events(events, &pushes);
    server.changes(&pushes);
    let path = "/ext_authz/app";
    server.decide("ext_authz", rate, seconds, |user| {
        format!("GET {path} HTTP/1.1\r\nhost: x\r\nx-user: {user}\r\n")
    });
    server.decide("AuthZEN", rate, seconds, |user| {
        let body = json!({"subject": {"type": "user", "id": user}, "action": {"name": "read"},
            "resource": {"type": "page", "id": "/app"}});
        let body = body.to_string();
        // The body follows the head, which ends after the token.
        format!(
            "POST /access/v1/evaluation HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\u{0}{body}",
            body.len()
        )
    });
    drop(server);
    fs::remove_dir_all(&dir).ok();
}

struct Server {
    child: Child,
    address: SocketAddr,
    token: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Server {
    fn start(sluice: &str, dir: &Path, receiver: SocketAddr) -> Server {
        let secret = |name: &str, text: &str| {
            let path = dir.join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            path.display().to_string()
        };
        let key = secret("key.pem", KEY);
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let data = dir.join("data").display().to_string();
        let rules = dir.join("rules");
        fs::create_dir_all(rules.join("bench")).unwrap();
        fs::write(rules.join("bench/denied_push.sql"), RULE).unwrap();
        let rules = rules.display();
        let config = secret(
            "sluice.toml",
            &format!(
                "data_dir = \"{data}\"\nrules = [\"{rules}\"]\n[sources.push]\nmapping = \"okta.system\"\n\
                 http = {{}}\n[retention]\nfindings_per_minute = 1000000\n[api]\nlisten = \"{address}\"\n\
                 max_requests_per_token = 1000000\n\
                 [signals]\nissuer = \"http://{address}\"\nsigning_keys = [\"file:{key}\"]\n\
                 push_networks = [\"127.0.0.0/8\"]\nstorm_limit = 1000000\n\
                 [signals.receivers.idp]\nrate = 10000\npush_url = \"http://{receiver}/push\"\n"
            ),
        );
        let arguments = ["token", "create", "--data-dir", &data, "--role", "admin"];
        let made = Command::new(sluice).args(arguments).output().unwrap();
        let token = String::from_utf8(made.stdout).unwrap().trim().to_owned();
        let mut command = Command::new(sluice);
        command.args(["run", "--config", &config]).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        while TcpStream::connect(address).is_err() {
            thread::sleep(Duration::from_millis(50));
        }
        Server { child, address, token }
    }

    /// Events at a rate, and among them every 20 ms one that raises another user: when the first attempt to push
    /// that came.
    fn events(&self, rate: u64, pushes: &Mutex<BTreeMap<String, Instant>>) {
        let mut connection = Connection::open(self.address);
        let mut begun = BTreeMap::new();
        let each = rate * PAUSE.as_millis() as u64 / 1_000;
        let start = Instant::now();
        for n in 0..CHANGES {
            let due = start + PAUSE * n as u32;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let user = format!("e{n}@example.com");
            let mut body = String::new();
            for m in 0..each {
                let of = format!("b{m}@example.com");
                body += &record(&format!("{n}-{m}"), &of, "user.session.start");
            }
            body += &record(&format!("{n}"), &user, "user.mfa.okta_verify.deny_push");
            let head = format!(
                "POST /api/v1/ingest/push HTTP/1.1\r\nhost: x\r\n\
                 content-type: application/x-ndjson\r\ncontent-length: {}\r\n\u{0}{body}",
                body.len()
            );
            begun.insert(user, Instant::now());
            assert_eq!(connection.ask(&head, &self.token), 202);
        }
        let rate = CHANGES as u64 * (each + 1) * 1_000 / start.elapsed().as_millis() as u64;
        thread::sleep(Duration::from_secs(5));
        let pushes = pushes.lock().unwrap();
        let waits =
            begun.iter().filter_map(|(user, at)| Some(pushes.get(user)?.duration_since(*at)));
        report("event to level change and its first push", rate, waits.collect());
    }

    /// Level changes, each of another user, and when the first attempt to push each came.
    fn changes(&self, pushes: &Mutex<BTreeMap<String, Instant>>) {
        let mut connection = Connection::open(self.address);
        let mut begun = BTreeMap::new();
        for n in 0..CHANGES {
            let user = format!("u{n}@example.com");
            let body = "{\"level\":\"high\",\"reason\":\"measured\",\"expires_in\":\"8h\"}";
            let head = format!(
                "PUT /api/v1/risk/user/{user}/override HTTP/1.1\r\nhost: x\r\n\
                 content-type: application/json\r\ncontent-length: {}\r\n\u{0}{body}",
                body.len()
            );
            begun.insert(user, Instant::now());
            assert_eq!(connection.ask(&head, &self.token), 200);
            thread::sleep(PAUSE);
        }
        thread::sleep(Duration::from_secs(3));
        let pushes = pushes.lock().unwrap();
        let waits =
            begun.iter().filter_map(|(user, at)| Some(pushes.get(user)?.duration_since(*at)));
        report("level change to first push", 1_000 / PAUSE.as_millis() as u64, waits.collect());
    }

    /// Decisions at a rate, over several connections; a request is timed from when it was due.
    fn decide(&self, what: &str, rate: u64, seconds: u64, head: impl Fn(&str) -> String + Sync) {
        let waits: Mutex<Vec<Duration>> = Mutex::default();
        let each = Duration::from_secs(1) * CONNECTIONS as u32 / rate as u32;
        thread::scope(|scope| {
            for n in 0..CONNECTIONS {
                let (waits, head) = (&waits, &head);
                scope.spawn(move || {
                    let mut connection = Connection::open(self.address);
                    let begun = Instant::now();
                    let mut own = Vec::new();
                    for turn in 0.. {
                        let due = begun + each * turn;
                        if due.duration_since(begun) > Duration::from_secs(seconds) {
                            break;
                        }
                        thread::sleep(due.saturating_duration_since(Instant::now()));
                        let user =
                            format!("u{}@example.com", (turn as usize * 7 + n) % (2 * CHANGES));
                        let status = connection.ask(&head(&user), &self.token);
                        assert!(matches!(status, 200 | 403), "{status}");
                        own.push(due.elapsed());
                    }
                    waits.lock().unwrap().extend(own);
                });
            }
        });
        report(what, rate, waits.into_inner().unwrap());
    }
}

fn report(what: &str, rate: u64, mut waits: Vec<Duration>) {
    waits.sort_unstable();
    let at = |share: f64| {
        let n = (waits.len().saturating_sub(1) as f64 * share) as usize;
        waits.get(n).map_or(f64::NAN, |w| w.as_secs_f64() * 1_000.0)
    };
    println!(
        "| {what} | {rate} | {} | {:.2} | {:.2} | {:.2} |",
        waits.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
}

/// A line of Okta's log, now.
fn record(id: &str, user: &str, what: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    let record = json!({
        "uuid": format!("bench-{id}"), "published": sluice_event::rfc3339(now), "eventType": what,
        "actor": {"id": "00u1", "type": "User", "alternateId": user},
        "client": {"ipAddress": "203.0.113.9"}, "outcome": {"result": "SUCCESS"},
    });
    format!("{record}\n")
}

/// A connection that is kept.
struct Connection {
    reader: BufReader<TcpStream>,
}

impl Connection {
    fn open(address: SocketAddr) -> Connection {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Connection { reader: BufReader::new(stream) }
    }

    /// Sends a head, with a body after a NUL, and reads the answer. Its status.
    fn ask(&mut self, request: &str, token: &str) -> u16 {
        let (head, body) = request.split_once('\u{0}').unwrap_or((request, ""));
        let text = format!("{head}authorization: Bearer {token}\r\n\r\n{body}");
        self.reader.get_mut().write_all(text.as_bytes()).unwrap();
        let (head, _) = message(&mut self.reader).unwrap();
        head.split(' ').nth(1).unwrap().parse().unwrap()
    }
}

/// A receiver of pushes: the user of each SET, and when it came first.
fn receive(pushes: Arc<Mutex<BTreeMap<String, Instant>>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let pushes = pushes.clone();
            thread::spawn(move || {
                let mut reader = BufReader::new(stream);
                while let Some((_, token)) = message(&mut reader) {
                    let now = Instant::now();
                    let claims = token.split('.').nth(1).unwrap_or_default();
                    let claims = BASE64_URL_SAFE_NO_PAD.decode(claims).unwrap();
                    let claims: Value = serde_json::from_slice(&claims).unwrap();
                    if let Some(user) = claims["sub_id"]["email"].as_str() {
                        pushes.lock().unwrap().entry(user.to_owned()).or_insert(now);
                    }
                    let answer = "HTTP/1.1 202 x\r\ncontent-length: 0\r\n\r\n";
                    reader.get_mut().write_all(answer.as_bytes()).unwrap();
                }
            });
        }
    });
    address
}

/// Head and body of a message with a `Content-Length`.
fn message(reader: &mut BufReader<TcpStream>) -> Option<(String, String)> {
    let mut head = String::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        head += &line.to_lowercase();
    }
    let length = head.lines().find_map(|l| l.strip_prefix("content-length: "));
    let mut body = vec![0; length.and_then(|l| l.trim().parse().ok()).unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some((head, String::from_utf8(body).ok()?))
}
