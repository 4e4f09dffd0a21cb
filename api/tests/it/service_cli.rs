//! Verbs around a running service: `token`, `dlq`, `status`, and `run` from start to stop.

use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::support::{
    REFUSED, Run, Scratch,
    endpoint::{self, Reply, Request},
    okta, rule,
};

fn command(arguments: &[&str], env: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
    for name in ["SLUICE_LOG", "SLUICE_URL", "SLUICE_TOKEN"] {
        command.env_remove(name);
    }
    command.args(arguments).envs(env.iter().copied()).stdin(Stdio::null());
    command
}

fn sluice(arguments: &[&str], env: &[(&str, &str)]) -> Run {
    let output = command(arguments, env).output().unwrap();
    Run {
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
        code: output.status.code().unwrap_or(-1),
    }
}

#[test]
fn a_token_is_made_listed_and_revoked() {
    let scratch = Scratch::new();
    let dir = scratch.path("data");
    let create =
        |more: &[&str]| sluice(&[&["token", "create", "--data-dir", &dir][..], more].concat(), &[]);
    let admin = create(&["--role", "admin"]).exits(0).says(&["token `admin`", "not shown again"]);
    let token = admin.stdout.trim_end();
    assert!(token.starts_with("slc_") && !token.contains(char::is_whitespace), "{token:?}");
    create(&["--role", "admin"]).exits(0).says(&["token `admin-2`"]);
    create(&["--role", "ingest", "--input", "push", "--name", "shipper", "--expires", "90d"])
        .exits(0);

    let list = sluice(&["token", "list", "--data-dir", &dir], &[]).exits(0);
    // `slc_ID_SECRET`; the secret is base64url and may hold `_` itself.
    let secret = token.splitn(3, '_').nth(2).unwrap();
    assert!(!list.stdout.contains(secret), "a secret is listed");
    let rows = list.rows();
    assert_eq!(rows.len(), 3);
    let shipper = rows.iter().find(|r| r["name"] == "shipper").unwrap();
    assert_eq!((&shipper["role"], &shipper["inputs"]), (&json!("ingest"), &json!(["push"])));
    assert!(shipper["expires"].is_string());

    let id = rows[0]["id"].as_str().unwrap();
    sluice(&["token", "revoke", id, "--data-dir", &dir], &[]).exits(0);
    sluice(&["token", "revoke", id, "--data-dir", &dir], &[]).exits(3).says(&["there is no token"]);
    create(&["--role", "admn"]).exits(3).says(&["did you mean `admin`?"]);
    create(&["--role", "admin", "--expires", "soon"]).exits(3).says(&["not a duration", "90d"]);
    create(&["--role", "viewer", "--input", "push"]).exits(3).says(&["role `ingest` only"]);
    create(&["--role", "viewer", "--name", "shipper"]).exits(3).says(&["there is a token named"]);
    let nowhere = scratch.path("nowhere");
    sluice(&["token", "list", "--data-dir", &nowhere], &[])
        .exits(3)
        .says(&["there is no directory"]);
}

/// A server that gives one answer, and what it was asked.
fn answers(status: u16, body: Value) -> (String, Receiver<Request>) {
    let (asked, requests) = sync_channel(8);
    let address = endpoint::serve(move |request| {
        asked.send(request).unwrap();
        Some(Reply::json(status, &body))
    });
    (format!("http://{address}"), requests)
}

const ID: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";

fn letter() -> Value {
    json!({
        "id": ID, "code": "bad_json", "message": "expected value", "source": "okta.system",
        "input": "push", "place": "push", "line": 3, "offset": 120, "attempts": 0, "length": 9,
        "received_at": "2026-11-24T08:15:00.000Z", "text": "not\u{1b}[2J!", "whole": true,
        "base64": "bm90G1sySiEK"
    })
}

#[test]
fn dead_letters_are_asked_for_with_token_and_filter() {
    let (url, served) = answers(200, json!({"items": [letter()], "next_cursor": null}));
    let env = [("SLUICE_URL", url.as_str()), ("SLUICE_TOKEN", "slc_a_b")];
    let filter =
        ["--source", "okta.system", "--code", "bad_json", "--since", "2026-11-24T00:00:00Z"];
    let list = [&["dlq", "list", "--output", "table"][..], &filter].concat();
    sluice(&list, &env).exits(0).prints(&[ID, "bad_json", "push@120", "expected value"]);
    let asked = served.recv().unwrap();
    assert!(asked.method == "GET" && asked.path.starts_with("/api/v1/dead-letters?"), "{asked:?}");
    for part in ["source=okta.system", "code=bad_json", "since=2026-11-24"] {
        assert!(asked.path.contains(part), "no {part} in {asked:?}");
    }
    assert_eq!(asked.headers["authorization"], "Bearer slc_a_b");
}

#[test]
fn a_dead_letter_is_shown_harmless() {
    let (url, served) = answers(200, letter());
    let run = sluice(&["dlq", "show", ID, "--output", "table", "--url", &url], &[]).exits(0);
    assert!(!run.stdout.contains('\u{1b}'), "{:?}", run.stdout);
    run.prints(&["bad_json: expected value", "push@120", "not\\u{1b}[2J!"]);
    let asked = served.recv().unwrap();
    assert_eq!(asked.method, "GET");
    assert_eq!(asked.path, format!("/api/v1/dead-letters/{ID}"));
    sluice(&["dlq", "show", "../status", "--url", &url], &[]).exits(3).says(&["32 hex digits"]);
}

#[test]
fn replay_and_drop_send_ids() {
    let failed = json!([{"id": ID, "reason": "bad_json: still"}]);
    let (url, served) = answers(200, json!({"replayed": 1, "more": false, "failed": failed}));
    sluice(&["dlq", "replay", ID, ID, "--url", &url], &[])
        .exits(1)
        .prints(&["bad_json: still"])
        .says(&["1 replayed, 1 failed again"]);
    let asked = served.recv().unwrap();
    assert_eq!((&*asked.method, &*asked.path), ("POST", "/api/v1/dead-letters/replay"));
    assert!(asked.body.contains(ID), "{asked:?}");

    let (url, served) = answers(200, json!({"dropped": 1, "more": false}));
    sluice(&["dlq", "drop", ID, "--yes", "--url", &url], &[]).exits(0).says(&["1 dropped"]);
    let asked = served.recv().unwrap();
    assert_eq!((&*asked.method, &*asked.path), ("POST", "/api/v1/dead-letters/drop"));
}

#[test]
fn what_cannot_be_done_says_why() {
    sluice(&["dlq", "drop", ID], &[]).exits(3).says(&["cannot be undone", "--yes"]);
    sluice(&["dlq", "drop", "--yes"], &[]).exits(3).says(&["nothing says which"]);
    sluice(&["dlq", "list", "--code", "bad_jsn"], &[]).exits(3).says(&["did you mean `bad_json`?"]);
    sluice(&["dlq", "list", "--since", "+5m"], &[]).exits(3).says(&["is not a time", "24h"]);
    sluice(&["dlq", "replay", "--data-dir", "."], &[]).exits(3).says(&["needs a running server"]);
    sluice(&["dlq", "list", "--data-dir", "/nowhere"], &[]).exits(3).says(&["there is no store"]);
    sluice(&["status", "--url", "localhost"], &[]).exits(3).says(&["is not the URL"]);
    // Bound and let go: nobody listens there.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    sluice(&["status", "--url", &format!("http://{free}")], &[])
        .exits(3)
        .says(&["no server answers at", "`sluice run` starts one"]);
    for (status, title, hint) in
        [(401, "no token", "SLUICE_TOKEN=.."), (403, "not allowed", "the role of this token")]
    {
        let (url, served) = answers(status, json!({"title": title, "status": status}));
        sluice(&["status", "--url", &url], &[]).exits(3).says(&[title, hint]);
        served.recv().unwrap();
    }
}

/// A running service and where it listens.
struct Service {
    child: Child,
    url: String,
    /// What it has said so far.
    said: Arc<Mutex<String>>,
    reader: thread::JoinHandle<()>,
}

impl Service {
    fn start(config: &str, env: &[(&str, &str)]) -> Service {
        let arguments = ["run", "--config", config];
        let mut child =
            command(&arguments, env).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let (mut said, mut url) = (String::new(), None);
        while url.is_none() {
            let mut line = String::new();
            if stderr.read_line(&mut line).unwrap() == 0 {
                panic!("it ended: {said}");
            }
            url = line.trim().strip_prefix("listening on ").map(str::to_owned);
            said.push_str(&line);
        }
        let said = Arc::new(Mutex::new(said));
        let all = Arc::clone(&said);
        let reader = thread::spawn(move || {
            for line in stderr.lines() {
                let mut said = all.lock().unwrap();
                said.push_str(&line.unwrap());
                said.push('\n');
            }
        });
        Service { child, url: url.unwrap(), said, reader }
    }

    /// Waits until it has said a text.
    #[track_caller]
    fn wait_for(&self, text: &str) {
        wait_for(text, || self.said.lock().unwrap().contains(text));
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }

    /// Sends a signal; the exit code and all it said.
    fn stop(mut self, name: &str) -> (i32, String) {
        self.signal(name);
        let begun = now();
        let status = self.child.wait().unwrap();
        // Ten seconds are its own bound.
        assert!(begun.elapsed() < Duration::from_secs(20), "it took {:?}", begun.elapsed());
        self.reader.join().unwrap();
        let said = self.said.lock().unwrap().clone();
        (status.code().unwrap_or(-1), said)
    }
}

fn config(scratch: &Scratch) -> String {
    let (data, rules) = (scratch.path("data"), scratch.path("rules"));
    scratch.write("rules/one.sql", rule("one", REFUSED));
    scratch.write(
        "sluice.toml",
        format!(
            "data_dir = \"{data}\"\nrules = [\"{rules}\"]\n[api]\nlisten = \"127.0.0.1:0\"\n\
             [sources.push]\nmapping = \"okta.system\"\nhttp = {{}}\n"
        ),
    )
}

#[expect(clippy::disallowed_methods, reason = "how long a process takes")]
fn now() -> Instant {
    Instant::now()
}

/// Waits until a check holds, at most a minute: other work may keep both cores busy.
#[track_caller]
fn wait_for(what: &str, mut check: impl FnMut() -> bool) {
    let begun = now();
    while !check() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what} did not come");
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_service_starts_is_asked_reloads_and_stops() {
    let scratch = Scratch::new();
    let (config, data) = (config(&scratch), scratch.path("data"));
    let service = Service::start(&config, &[]);
    let token = sluice(&["token", "create", "--data-dir", &data, "--role", "admin"], &[]).exits(0);
    let env = [("SLUICE_URL", service.url.as_str()), ("SLUICE_TOKEN", token.stdout.trim())];
    let ask = |key: &str| {
        let run = sluice(&["status", "--output", "json"], &env);
        serde_json::from_str::<Value>(&run.stdout).ok().map(|status| status[key].clone())
    };
    wait_for("an answer", || ask("phase") == Some(json!("running")));
    assert_eq!(ask("rules"), Some(json!(1)));

    // One process at a time, and the store is its own.
    sluice(&["run", "--config", &config], &[]).exits(3).says(&["in use by another process"]);
    sluice(&["dlq", "list", "--data-dir", &data], &[])
        .exits(3)
        .says(&["in use by another process", "--url"]);
    sluice(&["dlq", "list"], &env).exits(0);

    // A changed file is taken, a broken one is not.
    scratch.write("rules/two.sql", rule("two", REFUSED));
    wait_for("the second rule", || ask("rules") == Some(json!(2)));
    scratch.write("rules/two.sql", "SELECT");
    service.wait_for("nothing was reloaded");
    assert_eq!(ask("rules"), Some(json!(2)));
    service.signal("-HUP");
    service.wait_for("SIGHUP: reloading");

    let (code, said) = service.stop("-TERM");
    assert_eq!(code, 0, "{said}");
    for text in [
        "there is no token, so the API refuses every request",
        "sluice token create --data-dir",
        "--role admin",
        "reading push (okta.system): POST http://127.0.0.1:",
        "rule two: added",
        "SIGHUP: reloading",
        "nothing was reloaded",
        "stopping",
    ] {
        assert!(said.contains(text), "no `{text}` in:\n{said}");
    }
    // Stopped, its store can be looked into, and what it kept is there.
    sluice(&["status", "--data-dir", &data], &[]).exits(0).prints(&["\"phase\":\"stopped\""]);
    sluice(&["dlq", "list", "--data-dir", &data], &[]).exits(0);
}

/// Posts a body to an input with a token; the status and the answer.
fn post(service: &Service, token: &str, body: &str) -> (u16, Value) {
    let agent: ureq::Agent =
        ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut answer = agent
        .post(format!("{}/api/v1/ingest/push", service.url))
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/x-ndjson")
        .send(body)
        .unwrap();
    let text = answer.body_mut().read_to_string().unwrap();
    (answer.status().as_u16(), serde_json::from_str(&text).unwrap())
}

#[test]
fn what_is_pushed_becomes_findings_and_dead_letters_that_are_worked_on() {
    let scratch = Scratch::new();
    let (config, data) = (config(&scratch), scratch.path("data"));
    let service = Service::start(&config, &[]);
    let create = ["token", "create", "--data-dir", &data, "--role"];
    let token = sluice(&[&create[..], &["admin"]].concat(), &[]).exits(0);
    let shipper = sluice(&[&create[..], &["ingest", "--input", "push"]].concat(), &[]).exits(0);
    let env = [("SLUICE_URL", service.url.as_str()), ("SLUICE_TOKEN", token.stdout.trim())];
    let store = |key: &str| {
        let run = sluice(&["status", "--output", "json"], &env);
        let status = serde_json::from_str::<Value>(&run.stdout).ok();
        status.map_or(Value::Null, |status| status["store"][key].clone())
    };
    wait_for("an answer", || store("findings") == 0);
    let body = [okta("ann"), "not json \u{1b}[2J".to_owned(), okta("bob")].join("\n");
    // Tokens are read again each second: the second of two may be known later than the first.
    let mut pushed = (401, Value::Null);
    wait_for("the shipper's token", || {
        pushed = post(&service, shipper.stdout.trim(), &body);
        pushed.0 != 401
    });
    let (status, answer) = pushed;
    assert_eq!((status, &answer["accepted"], &answer["rejected"]), (202, &json!(2), &json!(1)));
    wait_for("the findings", || store("findings") == 2);
    wait_for("the dead letter", || store("dead_letters") == 1);

    let letters = sluice(&["dlq", "list", "--code", "bad_json"], &env).exits(0).rows();
    let id = letters[0]["id"].as_str().unwrap();
    assert_eq!(
        (&letters[0]["input"], &letters[0]["source"]),
        (&json!("push"), &json!("okta.system"))
    );
    let show = sluice(&["dlq", "show", id, "--output", "table"], &env).exits(0);
    assert!(!show.stdout.contains('\u{1b}'));
    show.prints(&["bad_json", "not json \\u{1b}[2J"]);
    // It is as bad as before, and stays.
    sluice(&["dlq", "replay", "--source", "okta.system"], &env).exits(1).says(&["1 failed again"]);
    assert_eq!(sluice(&["dlq", "list"], &env).exits(0).rows()[0]["attempts"], 1);

    // A service that stopped goes on: what it kept is there, and can be dropped without it.
    let (code, said) = service.stop("-TERM");
    assert_eq!(code, 0, "{said}");
    let status = sluice(&["status", "--data-dir", &data, "--output", "json"], &[]).exits(0);
    let status: Value = serde_json::from_str(&status.stdout).unwrap();
    assert_eq!((&status["findings"], &status["dead_letters"][0]["count"]), (&json!(2), &json!(1)));
    assert!(status["positions"]["push"].as_u64().unwrap() > 0, "{status}");
    sluice(&["dlq", "drop", id, "--yes", "--data-dir", &data], &[]).exits(0).says(&["1 dropped"]);
    let service = Service::start(&config, &[]);
    let env = [("SLUICE_URL", service.url.as_str()), ("SLUICE_TOKEN", token.stdout.trim())];
    wait_for("an answer", || sluice(&["status"], &env).code == 0);
    let said = service.said.lock().unwrap().clone();
    assert!(!said.contains("nobody can use the API"), "{said}");
    assert_eq!(sluice(&["dlq", "list"], &env).exits(0).rows().len(), 0);
    // What senders repeat is no second finding.
    assert_eq!(post(&service, shipper.stdout.trim(), &okta("ann")).0, 202);
    thread::sleep(Duration::from_secs(1));
    let (code, said) = service.stop("-TERM");
    assert_eq!(code, 0, "{said}");
    let status = sluice(&["status", "--data-dir", &data, "--output", "json"], &[]).exits(0);
    let status: Value = serde_json::from_str(&status.stdout).unwrap();
    assert_eq!(status["findings"], 2);
}

#[test]
fn ctrl_c_is_130_and_logs_are_json_when_configured() {
    let scratch = Scratch::new();
    let config = config(&scratch);
    let service = Service::start(&config, &[("SLUICE_LOG__FORMAT", "json")]);
    thread::sleep(Duration::from_secs(1));
    let (code, said) = service.stop("-INT");
    assert_eq!(code, 130, "{said}");
    let lines: Vec<Value> = said.lines().filter_map(|l| serde_json::from_str(l).ok()).collect();
    assert!(lines.iter().any(|l| l["message"] == "stopping" && l["level"] == "INFO"), "{said}");
}
