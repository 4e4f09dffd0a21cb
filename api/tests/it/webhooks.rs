//! Webhooks through the real binary: findings and incidents reach an endpoint of the test, signed, each
//! once by its id, also when the process is killed or the endpoint is away.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{Permissions, set_permissions},
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering},
    },
};

use serde_json::{Value, json};
use sluice_signal::webhook::WebhookSecret;

use crate::support::{
    Scratch,
    endpoint::{self, Reply, Request},
    service::{Home, Service},
};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER: &str = "whsec_c2VjcmV0LW9mLTI0LWJ5dGVzLW9yLW1vcmU=";

/// An endpoint that answers as it is told and keeps what it got.
struct Endpoint {
    address: SocketAddr,
    /// What it answers; 0 closes the connection without an answer.
    status: Arc<AtomicU16>,
    posts: Arc<Mutex<Vec<Post>>>,
}

#[derive(Clone, Debug)]
struct Post {
    request: Request,
    status: u16,
}

impl Endpoint {
    fn start() -> Endpoint {
        let status = Arc::new(AtomicU16::new(200));
        let posts: Arc<Mutex<Vec<Post>>> = Arc::default();
        let address = endpoint::serve({
            let (status, posts) = (status.clone(), posts.clone());
            move |request| {
                let status = status.load(Ordering::Relaxed);
                posts.lock().unwrap().push(Post { request, status });
                match status {
                    0 => None,
                    302 => {
                        let headers = vec![("location", "/elsewhere".to_owned())];
                        Some(Reply { headers, ..Reply::status(302) })
                    }
                    _ => Some(Reply::status(status)),
                }
            }
        });
        Endpoint { address, status, posts }
    }

    fn answer(&self, status: u16) {
        self.status.store(status, Ordering::Relaxed);
    }

    fn posts(&self, path: &str) -> Vec<Post> {
        self.posts.lock().unwrap().iter().filter(|p| p.request.path == path).cloned().collect()
    }

    /// Bodies that it accepted, by id. The same id always has the same body and a good signature.
    fn accepted(&self) -> BTreeMap<String, Value> {
        let secret = WebhookSecret::parse(SECRET).unwrap();
        let mut accepted: BTreeMap<String, Value> = BTreeMap::new();
        for post in self.posts("/standard") {
            let header = |name: &str| post.request.headers[name].as_str();
            let timestamp: i64 = header("webhook-timestamp").parse().unwrap();
            let right = secret.sign(header("webhook-id"), timestamp, &post.request.body);
            let signatures: Vec<&str> = header("webhook-signature").split(' ').collect();
            assert_eq!(signatures.len(), 2, "one of each secret");
            assert!(signatures.contains(&right.as_str()), "{post:?}");
            if post.status != 200 {
                continue;
            }
            let body: Value = serde_json::from_str(&post.request.body).unwrap();
            let before = accepted.insert(header("webhook-id").to_owned(), body.clone());
            assert!(before.is_none_or(|before| before == body), "{post:?}");
        }
        accepted
    }
}

/// A home with a webhook of each template.
fn home(endpoint: &Endpoint) -> Home {
    let scratch = Scratch::new();
    let secret = |name: &str, text: &str| {
        let path = scratch.write(name, text);
        set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        format!("file:{path}")
    };
    let address = endpoint.address;
    let (one, two) = (secret("one", SECRET), secret("two", OTHER));
    let slack = secret("slack", &format!("http://{address}/slack/T0/B0/hidden"));
    let (key, basic) = (secret("key", "R0UT1NGKEY"), secret("jira", "Basic YTpi"));
    let common = "min_severity = \"informational\"\nnetworks = [\"127.0.0.0/8\"]\nrate = 10000\n\
                  pages = \"https://sluice.example.com\"";
    let config = format!(
        "[webhooks.soc]\nurl = \"http://{address}/standard\"\nsecrets = [\"{one}\", \"{two}\"]\n{common}\n\
         [webhooks.chat]\nurl = \"{slack}\"\ntemplate = \"slack\"\n{common}\n\
         [webhooks.pager]\nurl = \"http://{address}/pager\"\ntemplate = \"pagerduty\"\n\
         routing_key = \"{key}\"\nevents = [\"finding.opened\"]\n{common}\n\
         [webhooks.issues]\nurl = \"http://{address}/jira\"\ntemplate = \"jira\"\nproject = \"SEC\"\n\
         authorization = \"{basic}\"\nevents = [\"finding.opened\"]\n{common}\n"
    );
    Home::within(scratch, &config)
}

/// A refused sign-in of a user: one finding.
fn refused(n: u64) -> String {
    format!(
        "{{\"uuid\":\"e{n}\",\"published\":\"2026-11-24T08:{:02}:{:02}.000Z\",\
         \"eventType\":\"user.session.start\",\"outcome\":{{\"result\":\"FAILURE\"}},\
         \"actor\":{{\"id\":\"u{n}\",\"type\":\"User\",\"alternateId\":\"u{n}@example.com\"}}}}\n",
        n / 60 % 60,
        n % 60
    )
}

fn opened(accepted: &BTreeMap<String, Value>) -> BTreeSet<String> {
    let opened = accepted.values().filter(|body| body["type"] == "finding.opened");
    opened.map(|body| body["data"]["id"].as_str().unwrap().to_owned()).collect()
}

fn webhook(service: &Service, name: &str) -> Value {
    service.get(&format!("/api/v1/webhooks/{name}")).is(200).json()
}

#[test]
fn findings_reach_their_endpoint_once_by_id_whatever_dies() {
    let endpoint = Endpoint::start();
    let home = home(&endpoint);
    let mut service = home.start();
    let mut pushed = 0;
    let mut push = |service: &Service, n: u64| {
        let lines: String = (pushed..pushed + n).map(refused).collect();
        service.push(&lines).is(202);
        pushed += n;
        pushed
    };
    let all = push(&service, 20);
    service.wait_for("first findings", || opened(&endpoint.accepted()).len() as u64 == all);

    // The endpoint accepts, and its answers are lost; then the process dies.
    endpoint.answer(0);
    let all = push(&service, 20);
    service.wait_for("a post without an answer", || {
        endpoint.posts("/standard").iter().any(|p| p.status == 0)
    });
    service.wait_for("findings", || service.total("") == Some(all));
    service.signal("-KILL");
    drop(service);
    service = home.start();
    endpoint.answer(503);
    let all = push(&service, 20);
    service.wait_for("findings after a kill", || service.total("") == Some(all));
    service.wait_for("a post that was refused", || {
        endpoint.posts("/standard").iter().any(|p| p.status == 503)
    });
    service.signal("-KILL");
    drop(service);
    endpoint.answer(200);
    service = home.start();
    for name in ["soc", "chat", "pager", "issues"] {
        let path = format!("/api/v1/webhooks/{name}/enable");
        service.post(&path, &json!({})).is(200);
    }
    // Those that failed wait 5 s before they are tried again, or 5 min.
    service.wait_for("everything that was not tried twice", || {
        let detail = webhook(&service, "soc");
        let waiting = detail["queue"].as_array().unwrap().clone();
        waiting.iter().all(|m| m["attempts"].as_u64().unwrap() > 1)
    });
    let left = webhook(&service, "soc")["queue"].as_array().unwrap().len() as u64;
    let accepted = endpoint.accepted();
    let ids = opened(&accepted);
    assert_eq!(ids.len() as u64 + left, all, "{left} wait");
    assert!(left <= 6, "{left} wait");
    let messages = accepted.values().filter(|b| b["type"] == "finding.opened").count();
    assert_eq!(messages, ids.len(), "two messages of one finding");

    // Each template got the same findings, in its form; no secret is where people look.
    let slack = endpoint.posts("/slack/T0/B0/hidden");
    let body: Value = serde_json::from_str(&slack[0].request.body).unwrap();
    assert!(body["blocks"][0]["text"]["text"].as_str().unwrap().contains("/#/findings/"), "{body}");
    let pager: Value = serde_json::from_str(&endpoint.posts("/pager")[0].request.body).unwrap();
    assert_eq!(
        (&pager["routing_key"], &pager["event_action"]),
        (&json!("R0UT1NGKEY"), &json!("trigger"))
    );
    let jira = &endpoint.posts("/jira")[0];
    assert_eq!(jira.request.headers["authorization"], "Basic YTpi");
    let list = service.get("/api/v1/webhooks").is(200).text;
    let shown = list + &service.said() + &service.get("/metrics").is(200).text;
    for hidden in ["hidden", "R0UT1NGKEY", "YTpi", "MfKQ9r8"] {
        assert!(!shown.contains(hidden), "{hidden}: {shown}");
    }
    assert!(shown.contains("sluice_webhook_queue{webhook=\"soc\"}"), "{shown}");
    service.stop();
}

#[test]
fn b33_b34_redirects_are_not_followed_and_what_is_gone_waits_for_a_person() {
    let endpoint = Endpoint::start();
    let home = home(&endpoint);
    let viewer = home.token("viewer");
    let service = home.start();
    endpoint.answer(302);
    service.post("/api/v1/webhooks/soc/test", &json!({})).is(200);
    service.wait_for("a failure", || webhook(&service, "soc")["webhook"]["failures"] != 0);
    assert!(endpoint.posts("/elsewhere").is_empty());
    assert_eq!(webhook(&service, "soc")["webhook"]["error"], "HTTP 302");
    endpoint.answer(410);
    service.post("/api/v1/webhooks/chat/test", &json!({})).is(200);
    service.wait_for("410", || !webhook(&service, "chat")["webhook"]["disabled"].is_null());
    endpoint.answer(200);
    service.post("/api/v1/webhooks/chat/test", &json!({})).is(200);
    let kind = "application/json";
    service.with_token(&viewer, "POST", "/api/v1/webhooks/chat/enable", kind, "{}").is(403);
    service.post("/api/v1/webhooks/nobody/enable", &json!({})).is(404);
    service.post("/api/v1/webhooks/chat/replay", &json!({"id": "msg_x"})).is(404);
    assert_eq!(endpoint.posts("/slack/T0/B0/hidden").len(), 1);
    service.post("/api/v1/webhooks/chat/enable", &json!({})).is(200);
    service.wait_for("both tests", || webhook(&service, "chat")["webhook"]["queued"] == 0);
    service.stop();
}

#[test]
fn the_command_line_lists_tests_enables_and_replays() {
    let endpoint = Endpoint::start();
    let home = home(&endpoint);
    let service = home.start();
    let run = |arguments: &[&str]| {
        let url = service.url.as_str();
        let all = [&["webhook"], arguments, &["--url", url]].concat();
        crate::support::sluice_as(&all, &[("SLUICE_TOKEN", &service.token)], b"")
    };
    run(&["list", "--output", "table"]).exits(0).prints(&[
        "soc",
        "standard",
        "pagerduty",
        "DEAD LETTERS",
    ]);
    // A secret is shown nowhere.
    let shown = run(&["list", "--output", "json"]).exits(0).stdout;
    assert!(!shown.contains("hidden") && !shown.contains("R0UT1NGKEY"), "{shown}");
    let tested = run(&["test", "soc"]).exits(0).stdout;
    let id = serde_json::from_str::<Value>(&tested).unwrap()["id"].as_str().unwrap().to_owned();
    service.wait_for("a test", || endpoint.accepted().contains_key(&id));

    // Refused for good until somebody enables it; what is dead is replayed with its id.
    endpoint.answer(410);
    run(&["test", "soc"]).exits(0);
    service.wait_for("gone", || webhook(&service, "soc")["webhook"]["disabled"].is_string());
    endpoint.answer(200);
    run(&["enable", "soc"]).exits(0);
    service.wait_for("the rest", || webhook(&service, "soc")["webhook"]["queued"] == 0);
    run(&["dead-letters", "soc", "--output", "table"]).exits(0).prints(&["ATTEMPTS"]);
    run(&["replay", "soc"]).exits(0).prints(&["\"messages\""]);
    run(&["replay", "soc", "msg_unknown"]).exits(3);
    run(&["test", "nobody"]).exits(3).says(&["no such"]);
}
