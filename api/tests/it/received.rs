//! Security event tokens of another transmitter through the real binary: pushed and polled, refused with
//! the words of RFC 8935, each once also when the process is killed, and found by a rule.

use std::{
    collections::BTreeMap,
    fs::{Permissions, set_permissions},
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};
use sluice_signal::{SigningKeys, set::TYP};

use crate::support::{
    Scratch,
    endpoint::{self, Reply, Request},
    rule,
    service::{Answer, Home, Service},
};

const KEY: &str = include_str!("../../../engine/signal/tests/it/keys/one.pem");
const OTHER_KEY: &str = include_str!("../../../engine/signal/tests/it/keys/two.pem");
const AUDIENCE: &str = "https://sluice.example.com";
const TYPE: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";

/// A transmitter: metadata, key set, and a poll endpoint that hands out what is in its queue until it is
/// acknowledged.
struct Transmitter {
    address: SocketAddr,
    queue: Arc<Mutex<BTreeMap<String, String>>>,
    /// Bodies of polls.
    polls: Arc<Mutex<Vec<Value>>>,
}

impl Transmitter {
    fn start() -> Transmitter {
        let queue: Arc<Mutex<BTreeMap<String, String>>> = Arc::default();
        let polls: Arc<Mutex<Vec<Value>>> = Arc::default();
        let address = endpoint::serve({
            let (queue, polls) = (queue.clone(), polls.clone());
            move |request| Some(Reply::json(200, &answer(&request, &queue, &polls)))
        });
        Transmitter { address, queue, polls }
    }

    fn issuer(&self) -> String {
        format!("http://{}", self.address)
    }

    fn token(&self, jti: &str, user: &str) -> String {
        self.signed(KEY, jti, &json!({"format": "email", "email": user}), AUDIENCE)
    }

    fn signed(&self, key: &str, jti: &str, subject: &Value, audience: &str) -> String {
        let claims = json!({
            "iss": self.issuer(), "aud": audience, "jti": jti, "iat": 1_767_225_600,
            "sub_id": subject,
            "events": {TYPE: {"event_timestamp": 1_767_225_600, "reason_admin": {"en": "left"}}},
        });
        SigningKeys::from_pems([key]).unwrap().sign(TYP, &claims).unwrap()
    }
}

fn answer(
    request: &Request,
    queue: &Mutex<BTreeMap<String, String>>,
    polls: &Mutex<Vec<Value>>,
) -> Value {
    match request.path.as_str() {
        "/.well-known/ssf-configuration" => {
            let issuer = format!("http://{}", request.headers["host"]);
            json!({"issuer": issuer, "jwks_uri": format!("{issuer}/jwks")})
        }
        "/jwks" => SigningKeys::from_pems([KEY]).unwrap().jwks(),
        "/poll" => {
            let body: Value = serde_json::from_str(&request.body).unwrap();
            let mut queue = queue.lock().unwrap();
            for jti in body["ack"].as_array().unwrap() {
                queue.remove(jti.as_str().unwrap());
            }
            for jti in body["setErrs"].as_object().unwrap().keys() {
                queue.remove(jti);
            }
            polls.lock().unwrap().push(body);
            json!({"sets": *queue, "moreAvailable": !queue.is_empty()})
        }
        other => panic!("{other}"),
    }
}

/// Sessions that were ended.
const ENDED: &str =
    "SELECT time, user_name, message\nFROM authentication\nWHERE activity = 'Logoff'";

fn home(transmitter: &Transmitter, ssf: &str) -> Home {
    let scratch = Scratch::new();
    scratch.write("rules/ended.sql", rule("ended", ENDED));
    let secret = scratch.write("push", "Bearer of-the-idp");
    set_permissions(&secret, Permissions::from_mode(0o600)).unwrap();
    let config = format!(
        "[sources.idp]\nmapping = \"ssf.set\"\n[sources.idp.ssf]\nissuer = \"{}\"\n\
         audience = [\"{AUDIENCE}\"]\nnetworks = [\"127.0.0.0/8\"]\n\
         authorization = \"file:{secret}\"\n{ssf}\n",
        transmitter.issuer()
    );
    Home::within(scratch, &config)
}

fn push(service: &Service, authorization: &str, token: &str) -> Answer {
    let kind = "application/secevent+jwt";
    service.authorized(authorization, "POST", "/ssf/receive/idp", kind, token)
}

/// Users of the findings there are.
fn found(service: &Service) -> Option<u64> {
    service.total("rule_id:ended")
}

#[test]
fn r1_to_r4_pushed_tokens_become_rows_once_and_others_are_refused() {
    let transmitter = Transmitter::start();
    let home = home(&transmitter, "");
    let mut service = home.start();
    let good = "Bearer of-the-idp";
    let tokens: Vec<String> =
        (0..5).map(|n| transmitter.token(&format!("j{n}"), &format!("u{n}@example.com"))).collect();
    for token in &tokens {
        push(&service, good, token).is(202);
    }
    service.wait_for("findings", || found(&service) == Some(5));

    // Refused, with the word for why.
    let subject = json!({"format": "email", "email": "x@example.com"});
    let foreign = transmitter.signed(OTHER_KEY, "j9", &subject, AUDIENCE);
    let other = transmitter.signed(KEY, "j9", &subject, "https://other.example.com");
    for (authorization, token, status, err) in [
        ("", tokens[0].as_str(), 401, "authentication_failed"),
        ("Bearer wrong", &tokens[0], 401, "authentication_failed"),
        (good, &foreign, 400, "invalid_key"),
        (good, &other, 400, "invalid_audience"),
        (good, "no token", 400, "invalid_request"),
        (good, "", 400, "invalid_request"),
    ] {
        let answer = push(&service, authorization, token).is(status).json();
        assert_eq!(answer["err"], err, "{answer}");
        assert!(answer["description"].as_str().is_some_and(|text| !text.is_empty()));
    }
    let kind = "application/secevent+jwt";
    service.authorized(good, "POST", "/ssf/receive/push", kind, &tokens[0]).is(404);
    // Only what a transmitter signed gets into its input.
    let line = "{\"set_id\":\"x\",\"transmitter\":\"idp\",\"event_uri\":\"x\"}";
    service.ask("POST", "/api/v1/ingest/idp", "application/x-ndjson", line).is(404);

    // The transmitter did not hear the answers, and the process died: nothing doubles.
    service.signal("-KILL");
    drop(service);
    service = home.start();
    for token in &tokens {
        push(&service, good, token).is(202);
    }
    push(&service, good, &transmitter.token("j5", "u5@example.com")).is(202);
    service.wait_for("one more finding", || found(&service) == Some(6));
    let metrics = service.get("/metrics").is(200).text;
    for line in [
        "sluice_received_tokens_total{input=\"idp\",outcome=\"repeated\"} 5",
        "sluice_received_tokens_total{input=\"idp\",outcome=\"accepted\"} 1",
    ] {
        assert!(metrics.contains(line), "no `{line}`");
    }
    service.stop();
}

#[test]
fn r1_polled_tokens_are_acknowledged_when_durable_and_bad_ones_with_a_reason() {
    let transmitter = Transmitter::start();
    for n in 0..40 {
        let jti = format!("j{n:02}");
        let token = transmitter.token(&jti, &format!("u{n}@example.com"));
        transmitter.queue.lock().unwrap().insert(jti, token);
    }
    transmitter.queue.lock().unwrap().insert("bad".into(), "tampered".into());
    let home = home(&transmitter, &format!("poll_url = \"{}/poll\"", transmitter.issuer()));
    let mut service = home.start();
    service.wait_for("some findings", || found(&service).is_some_and(|n| n > 0));
    service.signal("-KILL");
    drop(service);
    service = home.start();
    service.wait_for("findings", || found(&service) == Some(40));
    service.wait_for("an empty queue", || transmitter.queue.lock().unwrap().is_empty());
    let polls = transmitter.polls.lock().unwrap().clone();
    let errors: Vec<&Value> =
        polls.iter().map(|p| &p["setErrs"]["bad"]).filter(|e| !e.is_null()).collect();
    assert!(!errors.is_empty());
    assert!(errors.iter().all(|e| e["err"] == "invalid_request"), "{errors:?}");
    assert_eq!(found(&service), Some(40));
    drop(service);
}
