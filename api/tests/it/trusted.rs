//! Access tokens of another authorization server through the real binary (O1 to O3): a receiver manages and
//! polls with one, everything else is refused as RFC 6750 says, and its keys are asked for rarely.

use std::{
    fs::{Permissions, set_permissions},
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};
use sluice_signal::{
    SigningKeys,
    jws::{self, Algorithm},
};

use crate::support::{
    Scratch,
    endpoint::{self, Reply},
    service::{Home, Service},
};

const ISSUER: &str = "https://sluice.example.com";
const LOGIN: &str = "https://login.example.com";
const KEY: &str = include_str!("../../../engine/signal/tests/it/keys/one.pem");
const NEXT_KEY: &str = include_str!("../../../engine/signal/tests/it/keys/two.pem");

/// What a login server serves as its key set, and how often it was asked.
struct Login {
    address: SocketAddr,
    keys: Arc<Mutex<Value>>,
    asked: Arc<Mutex<usize>>,
}

impl Login {
    fn start() -> Login {
        let keys = Arc::new(Mutex::new(SigningKeys::from_pems([KEY]).unwrap().jwks()));
        let asked: Arc<Mutex<usize>> = Arc::default();
        let address = endpoint::serve({
            let (keys, asked) = (keys.clone(), asked.clone());
            move |request| {
                assert_eq!(request.path, "/keys");
                *asked.lock().unwrap() += 1;
                let keys = keys.lock().unwrap();
                let status = if keys.is_null() { 503 } else { 200 };
                Some(Reply::json(status, &keys))
            }
        });
        Login { address, keys, asked }
    }
}

fn home(trusted: &str) -> Home {
    let scratch = Scratch::new();
    let key = scratch.write("key.pem", NEXT_KEY);
    set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    let config = format!(
        "[signals]\nissuer = \"{ISSUER}\"\nsigning_keys = [\"file:{key}\"]\n\
         [signals.trusted_issuers.corp]\nissuer = \"{LOGIN}\"\naudience = [\"{ISSUER}\"]\n{trusted}\n\
         [signals.receivers.idp]\ntrusted_issuer = \"corp\"\ntrusted_client = \"0oa1\"\n\
         [signals.receivers.other]\ntrusted_issuer = \"corp\"\n"
    );
    Home::within(scratch, &config)
}

fn by_url(login: &Login) -> Home {
    let url = format!("jwks_url = \"http://{}/keys\"\nnetworks = [\"127.0.0.0/8\"]", login.address);
    home(&url)
}

fn claims(client: &str, scope: &str) -> Value {
    json!({
        "iss": LOGIN, "aud": ISSUER, "client_id": client, "scope": scope, "iat": 1_767_225_600,
        // Later than any clock of a test.
        "exp": 4_102_444_800_i64,
    })
}

fn signed(key: &str, claims: &Value) -> String {
    SigningKeys::from_pems([key]).unwrap().sign("at+jwt", claims).unwrap()
}

fn token(client: &str, scope: &str) -> String {
    signed(KEY, &claims(client, scope))
}

/// The status of a request and its challenge.
fn ask(service: &Service, token: &str, method: &str, path: &str, body: &str) -> (u16, String) {
    let answer = service.with_token(token, method, path, "application/json", body);
    (answer.status, answer.challenge.unwrap_or_default())
}

#[test]
fn o3_a_receiver_manages_and_polls_with_a_token_of_a_trusted_issuer() {
    let login = Login::start();
    let home = by_url(&login);
    let service = home.start();
    let kind = "application/json";
    let manage = token("0oa1", "ssf.manage");
    let made = service.with_token(&manage, "POST", "/ssf/streams", kind, "{}").is(201).json();
    let id = made["stream_id"].as_str().unwrap();
    let poll = format!("/ssf/poll/{id}");
    let at_once = "{\"returnImmediately\":true}";
    // C6: it is the receiver of its client, and of no other.
    let other = token("other", "ssf.manage");
    service.with_token(&other, "POST", &poll, kind, at_once).is(404);
    // O2: each scope allows what it says.
    let one = format!("/ssf/streams?stream_id={id}");
    let change = format!("{{\"stream_id\":\"{id}\"}}");
    let requests = [
        ("GET", one.as_str(), "", "ssf.read"),
        ("PATCH", "/ssf/streams", change.as_str(), "ssf.manage.update"),
        ("POST", "/ssf/verify", change.as_str(), "ssf.manage.update"),
        ("POST", poll.as_str(), at_once, "ssf.manage.poll"),
        ("POST", "/ssf/streams", "{}", "ssf.manage.create"),
        ("DELETE", one.as_str(), "", "ssf.manage.delete"),
    ];
    for (method, path, body, scope) in requests {
        let wrong = if scope == "ssf.manage.create" { "ssf.read" } else { "ssf.manage.create" };
        let (status, challenge) = ask(&service, &token("0oa1", wrong), method, path, body);
        assert_eq!(status, 403, "{method} {path} with {wrong}");
        let needs = format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\"");
        assert_eq!(challenge, needs, "{method} {path}");
    }
    for (method, path, body, scope) in requests {
        let status = ask(&service, &token("0oa1", scope), method, path, body).0;
        assert!(matches!(status, 200 | 201 | 204), "{method} {path} with {scope}: {status}");
    }
    assert_eq!(*login.asked.lock().unwrap(), 1, "the key set is kept");
    let metadata = service.with_token("", "GET", "/.well-known/oauth-protected-resource", "", "");
    assert_eq!(metadata.is(200).json()["authorization_servers"], json!([ISSUER, LOGIN]));
}

#[test]
fn o1_tokens_that_are_not_good_are_401_with_a_challenge_and_keys_are_asked_for_rarely() {
    let login = Login::start();
    let home = by_url(&login);
    let service = home.start();
    let with = |name: &str, value: Value| {
        let mut claims = claims("0oa1", "ssf.manage");
        claims[name] = value;
        signed(KEY, &claims)
    };
    let good = token("0oa1", "ssf.manage");
    let parts: Vec<&str> = good.split('.').collect();
    let none = format!("eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0.{}.", parts[1]);
    let wrong = [
        with("aud", json!("https://other.example.com")),
        with("iss", json!("https://evil.example.com")),
        with("exp", json!(1_767_225_600)),
        with("exp", Value::Null),
        with("client_id", json!("nobody")),
        none,
        format!("{}.{}.AAAA", parts[0], parts[1]),
        "a.b.c".to_owned(),
    ];
    let get = |token: &str| ask(&service, token, "GET", "/ssf/streams", "");
    assert_eq!(get(&good).0, 200);
    for token in &wrong {
        let (status, challenge) = get(token);
        assert_eq!((status, &*challenge), (401, "Bearer error=\"invalid_token\""), "{token}");
    }
    // A token in the address is refused whoever issued it (N-4).
    let path = format!("/ssf/streams?access_token={good}");
    assert_eq!(ask(&service, "", "GET", &path, "").0, 401);
    // The issuer changes its key: it is asked at most every 30 s, whatever tokens name.
    *login.keys.lock().unwrap() = SigningKeys::from_pems([NEXT_KEY]).unwrap().jwks();
    let next = signed(NEXT_KEY, &claims("0oa1", "ssf.manage"));
    for _ in 0..20 {
        assert_eq!(get(&next).0, 401, "asked for less than 30 s ago");
    }
    assert_eq!(*login.asked.lock().unwrap(), 1);
    assert_eq!(get(&good).0, 200, "the known key is good meanwhile");
}

#[test]
fn o1_a_key_set_that_cannot_be_had_is_503_and_is_asked_for_once() {
    let login = Login::start();
    *login.keys.lock().unwrap() = Value::Null;
    let home = by_url(&login);
    let service = home.start();
    let good = token("0oa1", "ssf.read");
    for _ in 0..3 {
        assert_eq!(ask(&service, &good, "GET", "/ssf/streams", "").0, 503);
    }
    assert_eq!(*login.asked.lock().unwrap(), 1);
    // Our own tokens and gateways do not wait for it.
    service.get("/healthz").is(200);
}

#[test]
fn o3_a_key_set_may_be_a_file_and_private_addresses_are_refused() {
    let scratch = Scratch::new();
    let path =
        scratch.write("login.json", SigningKeys::from_pems([KEY]).unwrap().jwks().to_string());
    let home = home(&format!("jwks_file = \"{path}\""));
    let service = home.start();
    service.with_token(&token("0oa1", "ssf.read"), "GET", "/ssf/streams", "", "").is(200);
    drop(service);

    // N-3: settings that would ask inside the own network.
    let check = |trusted: &str| {
        let text = std::fs::read_to_string(&home.config).unwrap();
        let config = text.replace(&format!("jwks_file = \"{path}\""), trusted);
        let config = scratch.write("other.toml", config);
        let run = crate::support::sluice(&["config", "check", "--config", &config]).exits(3);
        format!("{}{}", run.stdout, run.stderr)
    };
    for (trusted, says) in [
        ("jwks_url = \"http://169.254.169.254/keys\"", "nothing is asked there"),
        ("jwks_url = \"https://127.0.0.1/keys\"", "nothing is asked there"),
        ("jwks_url = \"https://[::ffff:10.0.0.1]/keys\"", "nothing is asked there"),
        ("jwks_url = \"https://metadata.google.internal/\"", "nothing is asked there"),
        ("jwks_url = \"file:///etc/passwd\"", "this is no URL"),
        ("", "its key set is at one place"),
        (&format!("jwks_file = \"{path}\"\nalgorithms = [\"HS256\"]"), "`HS256` is no signature"),
        (
            &format!("jwks_file = \"{path}\"\n[signals.receivers.x]\ntrusted_issuer = \"none\""),
            "there is no trusted issuer `none`",
        ),
        (
            &format!(
                "jwks_file = \"{path}\"\n[signals.receivers.x]\ntrusted_issuer = \"corp\"\n\
            trusted_client = \"0oa1\""
            ),
            "is the receiver `idp` already",
        ),
    ] {
        let said = check(trusted);
        assert!(said.contains(says), "no `{says}` in {said}");
    }
}

#[test]
fn a2_access_asks_who_may_pass_and_is_answered_by_level() {
    let scratch = Scratch::new();
    let secret = |name: &str, key: &str| {
        let path = scratch.write(name, key);
        set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        path
    };
    let (signals, own) = (secret("key.pem", KEY), secret("access.pem", NEXT_KEY));
    let team = endpoint::serve(|request| {
        assert_eq!(request.path, "/cdn-cgi/access/certs");
        Some(Reply::json(200, &SigningKeys::from_pems([KEY]).unwrap().jwks()))
    });
    let config = format!(
        "[signals]\nissuer = \"{ISSUER}\"\nsigning_keys = [\"file:{signals}\"]\n\
         [signals.cloudflare_access]\nteam = \"http://{team}\"\nkey = \"file:{own}\"\n\
         resource = \"/admin\"\nnetworks = [\"127.0.0.0/8\"]\n\
         [signals.decisions.rules.\"/admin\"]\nmedium = \"deny\"\n"
    );
    let home = Home::within(scratch, &config);
    let service = home.start();
    let keys = service.with_token("", "GET", "/cloudflare/keys", "", "").is(200).json();
    assert_eq!(keys, SigningKeys::from_pems([NEXT_KEY]).unwrap().jwks());
    let ask = |key: &str, user: &str, nonce: &str| {
        let claims = json!({"identity": {"email": user}, "nonce": nonce, "exp": 4_102_444_800_i64});
        let token = SigningKeys::from_pems([key]).unwrap().sign("JWT", &claims).unwrap();
        let body = json!({"token": token}).to_string();
        service.with_token("", "POST", "/cloudflare/evaluate", "application/json", &body)
    };
    let success = |user: &str, nonce: &str| {
        let answer = ask(KEY, user, nonce).is(200).json();
        let token = answer["token"].as_str().unwrap();
        let answer = jws::verify(token, &keys, &[Algorithm::Rs256], &["JWT"]);
        let claims = answer.unwrap().claims;
        assert_eq!(claims["nonce"], nonce);
        assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 60);
        claims["success"].as_bool().unwrap()
    };
    assert!(success("ann@example.com", "n-1"));
    let body =
        json!({"level": "medium", "reason": "stolen laptop", "expires_in": "8h"}).to_string();
    let path = "/api/v1/risk/user/ann@example.com/override";
    service.ask("PUT", path, "application/json", &body).is(200);
    assert!(!success("Ann@Example.com", "n-2"), "medium is kept out of /admin");
    assert!(success("bob@example.com", "n-3"));
    let refused = ask(NEXT_KEY, "bob@example.com", "n-4").is(403).json();
    assert_eq!(refused["success"], false);
    for body in ["", "{}", "{\"token\":1}"] {
        service.with_token("", "POST", "/cloudflare/evaluate", "application/json", body).is(403);
    }
}
