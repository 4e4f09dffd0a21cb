//! Signals through the real binary: a person raises a level, receivers get it pushed and polled, gateways
//! decide by it, also when the process is killed between any two steps.

mod chain;
mod grpc;
mod mutes;
mod opa;
mod quarantine;
mod said;
mod topic;

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use sluice_signal::{
    EventType,
    verify::{Expected, VerifiedSet, verify},
};

use crate::support::{
    Scratch,
    service::{Answer, Home, Service},
};

pub(crate) const ISSUER: &str = "https://sluice.example.com";
const KEY: &str = include_str!("../../../engine/signal/tests/it/keys/one.pem");
/// Later than any clock of a test.
const LATER: i64 = 4_102_444_800_000;

/// A receiver of pushed SETs: keeps what it gets and answers as it is told.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    status: Arc<AtomicU16>,
    pub(crate) requests: Arc<Mutex<Vec<Pushed>>>,
    taken: AtomicUsize,
}

/// One request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Pushed {
    pub(crate) head: String,
    pub(crate) body: String,
    status: u16,
}

impl Receiver {
    pub(crate) fn start() -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (status, requests) = (Arc::new(AtomicU16::new(202)), Arc::new(Mutex::new(Vec::new())));
        thread::spawn({
            let (status, requests) = (status.clone(), requests.clone());
            move || {
                for stream in listener.incoming().map_while(Result::ok) {
                    let (status, requests) = (status.clone(), requests.clone());
                    thread::spawn(move || answer(stream, &status, &requests));
                }
            }
        });
        Receiver { address, status, requests, taken: AtomicUsize::new(0) }
    }

    /// How many requests a test has looked at.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// A test has looked at one more.
    pub(crate) fn take_one(&self) {
        self.taken.fetch_add(1, Ordering::Relaxed);
    }

    /// Verified SETs that it answered 202, in order.
    fn accepted(&self, jwks: &Value) -> Vec<VerifiedSet> {
        let all = self.requests.lock().unwrap().clone();
        let good = all.iter().filter(|p| p.status == 202);
        good.map(|p| verified(&p.body, jwks, "https://idp.example.com")).collect()
    }
}

fn answer(mut stream: TcpStream, status: &AtomicU16, requests: &Mutex<Vec<Pushed>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    while let Some((head, body)) = request(&mut reader) {
        let status = status.load(Ordering::Relaxed);
        requests.lock().unwrap().push(Pushed { head, body, status });
        let text = format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\n\r\n");
        if stream.write_all(text.as_bytes()).is_err() {
            return;
        }
    }
}

/// Head, in lower case, and body of the next request; `None` at the end of the connection.
fn request(reader: &mut BufReader<TcpStream>) -> Option<(String, String)> {
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
    Some((head, String::from_utf8(body).unwrap()))
}

#[track_caller]
pub(crate) fn verified(token: &str, jwks: &Value, audience: &str) -> VerifiedSet {
    let expected = Expected { jwks, issuer: Some(ISSUER), audience: Some(audience), now: LATER };
    verify(token, &expected).unwrap()
}

/// A home with a pushed receiver `idp`, a polling one `poller`, and another, `other`.
pub(crate) fn home(receiver: &Receiver, more: &str) -> Home {
    let scratch = Scratch::new();
    let secret = |name: &str, text: &str| {
        let path = scratch.write(name, text);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    };
    let (key, authorization) = (secret("key.pem", KEY), secret("push", "Bearer of-the-idp"));
    let (poller, other) = (secret("poller", "s3cret one"), secret("other", "s3cret-two"));
    let config = format!(
        "[signals]\nissuer = \"{ISSUER}\"\nsigning_keys = [\"file:{key}\"]\n\
         push_networks = [\"127.0.0.0/8\"]\n{more}\n\
         [signals.receivers.idp]\naudience = [\"https://idp.example.com\"]\nmin_interval = \"1s\"\n\
         push_url = \"http://{}/ssf/push\"\npush_authorization = \"file:{authorization}\"\n\
         [signals.receivers.poller]\nmin_interval = \"1s\"\npush_hosts = [\"127.0.0.1\"]\nclient_secret = \"file:{poller}\"\n\
         [signals.receivers.other]\nclient_secret = \"file:{other}\"\n",
        receiver.address
    );
    Home::within(scratch, &config)
}

pub(crate) fn jwks(service: &Service) -> Value {
    service.get("/ssf/jwks.json").is(200).json()
}

/// An access token of a receiver.
pub(crate) fn access(service: &Service, client: &str, secret: &str) -> String {
    let form = format!(
        "grant_type=client_credentials&client_id={client}&client_secret={}",
        secret.replace(' ', "+")
    );
    let kind = "application/x-www-form-urlencoded";
    let answer = service.with_token("", "POST", "/ssf/token", kind, &form).is(200).json();
    assert_eq!(answer["token_type"], "Bearer");
    assert!(answer["expires_in"].as_i64().unwrap() <= 3600);
    answer["access_token"].as_str().unwrap().to_owned()
}

pub(crate) fn ask(
    service: &Service,
    token: &str,
    method: &str,
    path: &str,
    body: &Value,
) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    service.with_token(token, method, path, "application/json", &body)
}

fn raise(service: &Service, id: &str, level: &str) -> Value {
    let body = json!({"level": level, "reason": "stolen laptop", "expires_in": "8h"});
    let path = format!("/api/v1/risk/user/{id}/override");
    service.ask("PUT", &path, "application/json", &body.to_string()).is(200).json()
}

fn levels(set: &VerifiedSet) -> (String, String) {
    let event = &set.claims["events"][EventType::RiskLevelChange.uri()];
    let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
    (text("current_level"), text("previous_level"))
}

#[test]
fn i10_raise_push_poll_decide_clear_and_kills_between() {
    let receiver = Receiver::start();
    let home = home(&receiver, "");
    let mut service = home.start();
    let kill = |service: Service| {
        service.signal("-KILL");
        drop(service);
        home.start()
    };
    let jwks = jwks(&service);
    let token = access(&service, "poller", "s3cret one");
    let requested = json!({"events_requested": [EventType::RiskLevelChange.uri()]});
    let made = ask(&service, &token, "POST", "/ssf/streams", &requested).is(201).json();
    let id = made["stream_id"].as_str().unwrap().to_owned();
    let poll_path = format!("/ssf/poll/{id}");
    let gate = |service: &Service, user: &str| service.gate("/ext_authz/app?x=1", user);
    assert_eq!(gate(&service, "ann@example.com").status, 200);

    // The receiver is away while ann is raised, and the process dies.
    receiver.status.store(503, Ordering::Relaxed);
    let risk = raise(&service, "ann@example.com", "high");
    assert_eq!((&risk["level"], &risk["previous_level"]), (&json!("high"), &json!("low")));
    service = kill(service);
    assert_eq!(gate(&service, "Ann@Example.com").status, 403);
    assert_eq!(gate(&service, "bob@example.com").status, 200);
    receiver.status.store(202, Ordering::Relaxed);
    service.wait_for("pushed SET", || receiver.accepted(&jwks).len() == 1);
    let pushed = receiver.accepted(&jwks).remove(0);
    assert_eq!(levels(&pushed), ("HIGH".into(), "LOW".into()));
    assert_eq!(pushed.claims["sub_id"], json!({"format": "email", "email": "ann@example.com"}));
    let seen = receiver.requests.lock().unwrap().clone();
    for request in &seen {
        assert!(request.head.starts_with("post /ssf/push http/1.1"), "{}", request.head);
        assert!(
            request.head.contains("content-type: application/secevent+jwt"),
            "{}",
            request.head
        );
        assert!(request.head.contains("authorization: bearer of-the-idp"), "{}", request.head);
        assert_eq!(request.body, seen[0].body, "the same bytes in every attempt");
    }

    // The same cause by poll; not acknowledged, the process dies, and it comes again with the same id.
    let now = json!({"returnImmediately": true});
    let first = ask(&service, &token, "POST", &poll_path, &now).is(200).json();
    service = kill(service);
    let again = ask(&service, &token, "POST", &poll_path, &now).is(200).json();
    assert_eq!(first, again);
    let (jti, jwt) = again["sets"].as_object().unwrap().iter().next().unwrap();
    let polled = verified(jwt.as_str().unwrap(), &jwks, "poller");
    assert_eq!(polled.claims["jti"], jti.as_str());
    assert_eq!(polled.claims["txn"], pushed.claims["txn"], "one cause");
    assert_ne!(polled.claims["jti"], pushed.claims["jti"], "a SET per stream");
    let ack = json!({"ack": [jti], "maxEvents": 0, "returnImmediately": true});
    assert_eq!(ask(&service, &token, "POST", &poll_path, &ack).is(200).json(), json!({"sets": {}}));
    service = kill(service);

    // Cleared: a held poll wakes, the push follows, the gateway lets in again.
    thread::sleep(Duration::from_secs(1));
    let begun = crate::support::service::now();
    let held = thread::scope(|scope| {
        let held =
            scope.spawn(|| ask(&service, &token, "POST", &poll_path, &json!({})).is(200).json());
        thread::sleep(Duration::from_secs(1));
        let path = "/api/v1/risk/user/ann@example.com/override?reason=found+again";
        let risk = service.ask("DELETE", path, "text/plain", "").is(200).json();
        assert_eq!(risk["level"], "low");
        held.join().unwrap()
    });
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    let jwt = held["sets"].as_object().unwrap().values().next().unwrap();
    assert_eq!(
        levels(&verified(jwt.as_str().unwrap(), &jwks, "poller")),
        ("LOW".into(), "HIGH".into())
    );
    service.wait_for("pushed LOW", || receiver.accepted(&jwks).len() == 2);
    assert_eq!(levels(&receiver.accepted(&jwks)[1]), ("LOW".into(), "HIGH".into()));
    assert_eq!(gate(&service, "ann@example.com").status, 200);

    // Rows about an entity, and of the SETs that tell of it, which name it in their own way.
    let about = service.get("/api/v1/signals/history?about=user:ann@example.com").is(200).json();
    let about = about["items"].as_array().unwrap().clone();
    let of = |action: &str| about.iter().filter(|row| row["action"] == action).count();
    assert_eq!(
        (of("raised"), of("cleared"), of("level"), of("delivered")),
        (1, 1, 2, 3),
        "{about:?}"
    );
    let path = "/api/v1/signals/history?about=user:somebody@example.com";
    assert_eq!(service.get(path).is(200).json()["items"], serde_json::json!([]));

    // Who did it and why, and each SET once.
    let count = |action: &str| {
        let history = service.get("/api/v1/signals/history?limit=500").is(200).json();
        let items = history["items"].as_array().unwrap();
        items.iter().filter(|row| row["action"] == action).count()
    };
    assert_eq!((count("raised"), count("cleared"), count("level")), (1, 1, 2));
    let metrics = service.get("/metrics").is(200).text;
    for line in [
        "sluice_signal_queue{receiver=\"idp\"} 0",
        "sluice_signal_queue{receiver=\"poller\"} 1",
        "sluice_signal_storm_held 0",
    ] {
        assert!(metrics.contains(line), "no `{line}`:\n{metrics}");
    }
    service.wait_for("two pushed, one polled and acknowledged", || count("delivered") == 3);
    service.stop();
}

#[test]
fn t1_metadata_and_keys() {
    let receiver = Receiver::start();
    let home = home(&receiver, "");
    let service = home.start();
    let metadata =
        service.with_token("", "GET", "/.well-known/ssf-configuration", "", "").is(200).json();
    assert_eq!(metadata["spec_version"], "1_0");
    assert_eq!(metadata["issuer"], ISSUER);
    for (name, value) in metadata.as_object().unwrap() {
        if name.ends_with("_uri") || name.ends_with("_endpoint") {
            assert!(value.as_str().unwrap().starts_with("https://"), "{name}: {value}");
        }
        assert_ne!(*value, json!([]), "{name} is empty");
    }
    for path in [
        "/.well-known/oauth-authorization-server",
        "/.well-known/oauth-protected-resource",
        "/.well-known/authzen-configuration",
        "/ssf/jwks.json",
    ] {
        service.with_token("", "GET", path, "", "").is(200);
    }
    service.with_token("", "GET", "/.well-known/ssf-configuration/other", "", "").is(404);
    assert!(!jwks(&service).to_string().contains("\"d\""));
}

#[test]
fn t2_to_t16_management_over_http() {
    let receiver = Receiver::start();
    let home = home(&receiver, "");
    let service = home.start();
    let token = access(&service, "poller", "s3cret one");
    let other = access(&service, "other", "s3cret-two");
    let send = |method: &str, path: &str, body: Value| ask(&service, &token, method, path, &body);
    let none = Value::Null;

    // T3: broken JSON. T4, T6, T8, T12, T14: no or a wrong token.
    service.with_token(&token, "POST", "/ssf/streams", "application/json", ";{ broken").is(400);
    for wrong in ["", "slc_x", &format!("{token}x")] {
        for (method, path) in [
            ("POST", "/ssf/streams"),
            ("GET", "/ssf/streams"),
            ("PATCH", "/ssf/streams"),
            ("PUT", "/ssf/streams"),
            ("DELETE", "/ssf/streams?stream_id=x"),
            ("GET", "/ssf/status?stream_id=x"),
            ("POST", "/ssf/subjects/add"),
            ("POST", "/ssf/verify"),
            ("POST", "/ssf/poll/x"),
        ] {
            ask(&service, wrong, method, path, &json!({"stream_id": "x"})).is(401);
        }
    }
    // N-4: a token in the address.
    let path = format!("/ssf/streams?access_token={token}");
    ask(&service, "", "GET", &path, &none).is(401);

    assert_eq!(send("GET", "/ssf/streams", none.clone()).is(200).json(), json!([]));
    let made = send("POST", "/ssf/streams", json!({})).is(201).json();
    let id = made["stream_id"].as_str().unwrap();
    assert_eq!(made["delivery"]["endpoint_url"], format!("{ISSUER}/ssf/poll/{id}"));
    send("POST", "/ssf/streams", json!({})).is(201);
    let one = format!("/ssf/streams?stream_id={id}");
    assert_eq!(send("GET", &one, none.clone()).is(200).json(), made);
    assert_eq!(
        send("GET", "/ssf/streams", none.clone()).is(200).json().as_array().unwrap().len(),
        2
    );
    send("PATCH", "/ssf/streams", json!({"stream_id": id, "description": "d"})).is(200);
    send("PUT", "/ssf/streams", json!({"stream_id": id})).is(200);
    send("PATCH", "/ssf/streams", json!({"stream_id": "unknown"})).is(404);
    send("PUT", "/ssf/streams", json!({"stream_id": "unknown"})).is(404);
    send("PATCH", "/ssf/streams", json!({"stream_id": id, "aud": "x"})).is(400);
    for status in ["paused", "disabled", "enabled"] {
        let body = json!({"stream_id": id, "status": status});
        assert_eq!(send("POST", "/ssf/status", body.clone()).is(200).json(), body);
        let path = format!("/ssf/status?stream_id={id}");
        assert_eq!(send("GET", &path, none.clone()).is(200).json(), body);
    }
    let subject = json!({"stream_id": id, "subject": {"format": "email", "email": "a@b.c"}});
    assert_eq!(send("POST", "/ssf/subjects/add", subject.clone()).is(200).text, "");
    assert_eq!(send("POST", "/ssf/subjects/remove", subject).is(204).text, "");
    send("POST", "/ssf/subjects/add", json!({"stream_id": id})).is(400);

    // T19: a verification by poll, with its state.
    send("POST", "/ssf/verify", json!({"stream_id": id, "state": "s1"})).is(204);
    let soon = send("POST", "/ssf/verify", json!({"stream_id": id})).is(429);
    assert!(soon.retry_after.is_some());
    let poll = json!({"maxEvents": 10, "returnImmediately": true});
    let sets = send("POST", &format!("/ssf/poll/{id}"), poll.clone()).is(200).json();
    let jwt = sets["sets"].as_object().unwrap().values().next().unwrap();
    let set = verified(jwt.as_str().unwrap(), &jwks(&service), "poller");
    assert_eq!(set.claims["events"][EventType::Verification.uri()], json!({"state": "s1"}));

    // N-2: of another receiver.
    for (method, path, body) in [
        ("GET", one.as_str(), none.clone()),
        ("PATCH", "/ssf/streams", json!({"stream_id": id})),
        ("DELETE", one.as_str(), none.clone()),
        ("POST", &format!("/ssf/poll/{id}"), poll),
    ] {
        ask(&service, &other, method, path, &body).is(404);
    }
    send("DELETE", &one, none.clone()).is(204);
    send("GET", &one, none.clone()).is(404);
    send("DELETE", &one, none).is(404);
}

#[test]
fn t22_a_held_poll_ends_empty() {
    let receiver = Receiver::start();
    let home = home(&receiver, "");
    let service = home.start();
    let token = access(&service, "poller", "s3cret one");
    let made = ask(&service, &token, "POST", "/ssf/streams", &json!({})).is(201).json();
    let path = format!("/ssf/poll/{}", made["stream_id"].as_str().unwrap());
    let begun = crate::support::service::now();
    let answer = ask(&service, &token, "POST", &path, &json!({})).is(200).json();
    assert_eq!(answer, json!({"sets": {}}));
    let held = begun.elapsed();
    assert!((Duration::from_secs(5)..Duration::from_secs(30)).contains(&held), "{held:?}");
}

#[test]
fn o3_tokens_by_both_ways_and_what_is_refused() {
    let receiver = Receiver::start();
    let home = home(&receiver, "");
    let service = home.start();
    let form = "application/x-www-form-urlencoded";
    let refused = |authorization: &str, body: &str, status: u16, error: &str| {
        let answer = service.authorized(authorization, "POST", "/ssf/token", form, body).is(status);
        assert_eq!(answer.json()["error"], error, "{body}");
    };
    let grant = "grant_type=client_credentials";
    // poller:s3cret+one
    let basic = "Basic cG9sbGVyOnMzY3JldCtvbmU=";
    service.authorized(basic, "POST", "/ssf/token", form, grant).is(200);
    refused("", grant, 401, "invalid_client");
    refused("Basic cG9sbGVyOnMzY3JldA==", grant, 401, "invalid_client");
    refused("", &format!("{grant}&client_id=poller&client_secret=x"), 401, "invalid_client");
    refused("", &format!("{grant}&client_id=idp&client_secret="), 401, "invalid_client");
    refused(basic, "grant_type=password", 400, "unsupported_grant_type");
    refused(basic, &format!("{grant}&scope=all"), 400, "invalid_scope");
    refused(basic, &format!("{grant}&client_id=poller&client_secret=x"), 400, "invalid_request");
    refused(basic, "%%%", 400, "invalid_request");

    let read = format!("{grant}&scope=ssf.read");
    let answer = service.authorized(basic, "POST", "/ssf/token", form, &read).is(200).json();
    let token = answer["access_token"].as_str().unwrap();
    ask(&service, token, "GET", "/ssf/streams", &Value::Null).is(200);
    ask(&service, token, "POST", "/ssf/streams", &json!({})).is(403);
}

#[test]
fn q5_q6_gateways_and_rights() {
    let receiver = Receiver::start();
    let rule = "[signals.decisions.rules.\"/admin\"]\nmedium = \"deny\"\n";
    let home = home(&receiver, rule);
    let [analyst, responder, ingest] = ["analyst", "responder", "ingest"].map(|r| home.token(r));
    let service = home.start();
    raise(&service, "med@example.com", "medium");
    raise(&service, "high@example.com", "high");
    for (path, user, status) in [
        ("/ext_authz/app", "low@example.com", 200),
        ("/ext_authz/app", "med@example.com", 401),
        ("/ext_authz/app", "high@example.com", 403),
        ("/ext_authz/admin", "med@example.com", 403),
        ("/ext_authz/x/../admin", "med@example.com", 403),
        ("/ext_authz", "med@example.com", 401),
    ] {
        assert_eq!(service.gate(path, user).status, status, "{path} {user}");
    }
    let evaluation = json!({
        "subject": {"type": "user", "id": "high@example.com"}, "action": {"name": "read"},
        "resource": {"type": "page", "id": "/app"},
    });
    let answer = service.post("/access/v1/evaluation", &evaluation).is(200).json();
    assert_eq!(
        (&answer["decision"], &answer["context"]["risk_level"]),
        (&json!(false), &json!("high"))
    );
    service.post("/access/v1/evaluation", &json!({})).is(400);
    // Q7: the same levels as a bundle of OPA, once for each change.
    let authorization = format!("Bearer {}", service.token);
    let bundle = service.bytes("/bundles/risk.tar.gz", &[("authorization", &authorization)]);
    assert_eq!(bundle.0, 200);
    let again = [("authorization", authorization.as_str()), ("if-none-match", bundle.1.as_str())];
    assert_eq!(service.bytes("/bundles/risk.tar.gz", &again).0, 304);
    service.with_token("", "GET", "/bundles/risk.tar.gz", "", "").is(401);
    let file = home.scratch.write("risk.tar.gz", bundle.2);
    let tar = std::process::Command::new("tar").args(["-xzOf", &file, "data.json"]).output();
    let data: Value = serde_json::from_slice(&tar.unwrap().stdout).unwrap();
    let users = data["sluice"]["risk"]["user"].as_object().unwrap();
    let levels: Vec<_> = users.iter().map(|(id, user)| (id.as_str(), &user["level"])).collect();
    let (high, medium) = (json!("high"), json!("medium"));
    assert_eq!(levels, [("high@example.com", &high), ("med@example.com", &medium)]);

    let several = json!({"evaluations": [evaluation]});
    let answer = service.post("/access/v1/evaluations", &several).is(200).json();
    assert_eq!(answer["evaluations"].as_array().unwrap().len(), 1);

    // signals:send is a right of its own, and ingest may not even look.
    let body = json!({"level": "high", "reason": "r", "expires_in": "1h"});
    let path = "/api/v1/risk/user/x@example.com/override";
    ask(&service, &analyst, "PUT", path, &body).is(403);
    ask(&service, &analyst, "GET", "/api/v1/risk/user/x@example.com", &Value::Null).is(200);
    ask(&service, &responder, "PUT", path, &body).is(200);
    ask(&service, &ingest, "GET", "/ext_authz/app", &Value::Null).is(403);
    ask(&service, "", "GET", "/ext_authz/app", &Value::Null).is(401);
    for wrong in [
        json!({"level": "worse", "reason": "r", "expires_in": "1h"}),
        json!({"level": "high", "reason": " ", "expires_in": "1h"}),
        json!({"level": "high", "reason": "r", "expires_in": "1y"}),
        json!({"level": "high", "reason": "r", "expires_in": "91d"}),
    ] {
        service.ask("PUT", path, "application/json", &wrong.to_string()).is(422);
    }
}

#[test]
fn b33_a_push_to_a_private_address_is_refused_where_it_is_sent() {
    let receiver = Receiver::start();
    let home = home(&receiver, "");
    let text = std::fs::read_to_string(&home.config).unwrap();
    std::fs::write(&home.config, text.replace("push_networks = [\"127.0.0.0/8\"]\n", "")).unwrap();
    let service = home.start();
    raise(&service, "ann@example.com", "high");
    let error = || {
        let streams = service.get("/api/v1/signals").is(200).json()["streams"].clone();
        let idp = streams.as_array().unwrap().iter().find(|s| s["receiver"] == "idp").cloned();
        idp.unwrap()["error"].as_str().unwrap_or_default().to_owned()
    };
    service.wait_for("refusal", || error().contains("in no network that may be reached"));
    assert!(receiver.requests.lock().unwrap().is_empty());
}

#[test]
fn a_set_is_checked_on_the_command_line() {
    let receiver = Receiver::start();
    let home = home(&receiver, "");
    let service = home.start();
    raise(&service, "ann@example.com", "high");
    let keys = jwks(&service);
    service.wait_for("pushed SET", || receiver.accepted(&keys).len() == 1);
    let token = receiver.requests.lock().unwrap()[0].body.clone();
    let set = home.scratch.write("set.jwt", &token);
    let jwks = home.scratch.write("jwks.json", keys.to_string());
    let run = |more: &[&str]| {
        let arguments = [&["signal", "verify", &set, "--jwks", &jwks][..], more].concat();
        crate::support::sluice(&arguments)
    };
    run(&["--issuer", ISSUER, "--audience", "https://idp.example.com"])
        .exits(0)
        .prints(&["\"valid\": true", "risk-level-change"]);
    run(&["--issuer", "https://other"]).exits(1).prints(&["invalid_issuer"]);
    home.scratch.write("set.jwt", token.replace('.', ".A"));
    run(&[]).exits(1).prints(&["\"valid\": false"]);

    let subject = "{\"format\":\"email\",\"email\":\"ann@example.com\"}";
    let send = |kind: &str, subject: &str, more: &[&str]| {
        let arguments = [&["signal", "send", "x", kind, "--subject", subject][..], more].concat();
        crate::support::sluice(&arguments)
    };
    send("session-revoked", subject, &["--dry-run"]).exits(0).prints(&["\"test\": true"]);
    send("session", subject, &["--dry-run"]).exits(3).says(&["one of risk-level-change"]);
    send("session-revoked", "{}", &["--dry-run"]).exits(3).says(&["`format` is missing"]);
    send("session-revoked", subject, &["--dry-run", "--event", "{}"])
        .exits(3)
        .says(&["`reason_admin` is missing"]);
}

#[test]
fn what_is_wrong_with_the_settings_is_said() {
    let scratch = Scratch::new();
    let config = scratch.write(
        "sluice.toml",
        "[sources.push]\nhttp = {}\n[signals]\nissuer = \"ftp://x\"\n\
         [signals.receivers.idp]\nevents = [\"risk\"]\nclient_secret = \"plain\"\n",
    );
    let run = crate::support::sluice(&["config", "check", "--config", &config]).exits(3);
    for text in [
        "`ftp://x` cannot be an issuer",
        "no signing key is named",
        "openssl genrsa",
        "there is no event type `risk`",
        "a secret must not be in the configuration",
    ] {
        let all = format!("{}{}", run.stdout, run.stderr);
        assert!(all.contains(text), "no `{text}` in {all}");
    }
}
