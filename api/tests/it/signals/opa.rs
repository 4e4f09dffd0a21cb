//! Levels written to an Open Policy Agent: its data API, as far as it is used, played by a test.

use super::*;

/// Documents and patches as they came, and a document made of them as OPA would.
#[derive(Clone)]
struct Agent {
    address: SocketAddr,
    state: Arc<Mutex<AgentState>>,
}

#[derive(Default)]
struct AgentState {
    document: Option<Value>,
    requests: Vec<String>,
    /// Answers 500 while set.
    broken: bool,
}

impl Agent {
    fn start() -> Agent {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(AgentState::default()));
        thread::spawn({
            let state = state.clone();
            move || {
                for stream in listener.incoming().map_while(Result::ok) {
                    let state = state.clone();
                    thread::spawn(move || serve(stream, &state));
                }
            }
        });
        Agent { address, state }
    }

    fn level(&self, user: &str) -> Value {
        let state = self.state.lock().unwrap();
        let document = state.document.clone().unwrap_or_default();
        document["user"][user]["level"].clone()
    }

    fn requests(&self) -> Vec<String> {
        self.state.lock().unwrap().requests.clone()
    }
}

fn serve(mut stream: TcpStream, state: &Mutex<AgentState>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    while let Some((head, body)) = request(&mut reader) {
        let first = head.lines().next().unwrap_or_default().to_owned();
        let status = apply(&mut state.lock().unwrap(), &first, &head, &body);
        let text = format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\n\r\n");
        if stream.write_all(text.as_bytes()).is_err() {
            return;
        }
    }
}

fn apply(state: &mut AgentState, first: &str, head: &str, body: &str) -> u16 {
    state.requests.push(first.to_owned());
    if state.broken {
        return 500;
    }
    assert!(head.contains("authorization: bearer of-opa"), "{head}");
    let body: Value = serde_json::from_str(body).unwrap();
    if first.starts_with("put /v1/data/sluice/risk ") {
        assert!(head.contains("content-type: application/json\r\n"), "{head}");
        state.document = Some(body);
        return 204;
    }
    assert!(first.starts_with("patch /v1/data/sluice/risk "), "{first}");
    assert!(head.contains("content-type: application/json-patch+json"), "{head}");
    let Some(document) = &mut state.document else { return 404 };
    for operation in body.as_array().unwrap() {
        let path = operation["path"].as_str().unwrap();
        let (parent, id) = path.rsplit_once('/').unwrap();
        let id = id.replace("~1", "/").replace("~0", "~");
        let Some(parent) = document.pointer_mut(parent).and_then(Value::as_object_mut) else {
            return 404;
        };
        match operation["op"].as_str().unwrap() {
            "add" => drop(parent.insert(id, operation["value"].clone())),
            "remove" if parent.remove(&id).is_some() => {}
            _ => return 404,
        }
    }
    204
}

#[test]
fn q7_opa_has_every_level_also_after_either_side_was_gone() {
    let (receiver, agent) = (Receiver::start(), Agent::start());
    let scratch = Scratch::new();
    let secret = scratch.write("opa", "Bearer of-opa");
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    let opa = format!(
        "[signals.opa.main]\nurl = \"http://{}/v1/data/sluice/risk\"\nresync = \"2s\"\n\
         authorization = \"file:{secret}\"\n",
        agent.address
    );
    let home = home(&receiver, &opa);
    let mut service = home.start();
    raise(&service, "a/b~c@example.com".replace('/', "%2F").as_str(), "high");
    service.wait_for("a patch", || agent.level("a/b~c@example.com") == "high");
    let requests = agent.requests();
    assert!(requests[0].starts_with("put "), "{requests:?}");

    // It falls: its entry is gone, not `low`.
    let path = "/api/v1/risk/user/a%2Fb~c@example.com/override?reason=r";
    service.ask("DELETE", path, "text/plain", "").is(200);
    service.wait_for("a removal", || agent.level("a/b~c@example.com").is_null());

    // OPA was restarted and has nothing: a patch is refused, the whole document follows.
    agent.state.lock().unwrap().document = None;
    raise(&service, "bob@example.com", "medium");
    service.wait_for("the document", || agent.level("bob@example.com") == "medium");
    // Others wrote to it: the next whole document puts that right.
    agent.state.lock().unwrap().document = Some(json!({"user": {"eve": {"level": "high"}}}));
    service.wait_for("a resync", || agent.level("bob@example.com") == "medium");
    assert!(agent.level("eve").is_null());

    // It fails for a while: tried again, and said so.
    agent.state.lock().unwrap().broken = true;
    raise(&service, "carl@example.com", "high");
    let shown = || service.get("/api/v1/signals").is(200).json()["opa"][0].clone();
    service.wait_for("an error", || shown()["error"] == "HTTP 500");
    let metrics = service.get("/metrics").is(200).text;
    assert!(metrics.contains("sluice_opa_failing{opa=\"main\"} 1"), "{metrics}");
    agent.state.lock().unwrap().broken = false;
    service.wait_for("carl", || agent.level("carl@example.com") == "high");
    service.wait_for("no error", || shown()["error"].is_null());

    // This process dies and what it had not said is said when it is back.
    service.signal("-KILL");
    drop(service);
    agent.state.lock().unwrap().document = None;
    service = home.start();
    service.wait_for("carl again", || agent.level("carl@example.com") == "high");
    service.stop();
}

#[test]
fn q7_p4_an_opa_in_a_private_network_has_to_be_allowed() {
    for url in ["http://127.0.0.1:8181/v1/data/x", "https://10.0.0.1/x", "https://opa.internal/x"] {
        let scratch = Scratch::new();
        let key = scratch.write("key.pem", KEY);
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
        let config = format!(
            "[signals]\nissuer = \"{ISSUER}\"\nsigning_keys = [\"file:{key}\"]\n\
             [signals.opa.main]\nurl = \"{url}\"\n"
        );
        let home = Home::within(scratch, &config);
        let run = crate::support::sluice(&["run", "--config", &home.config]);
        assert_ne!(run.code, 0);
        assert!(run.stderr.contains("signals.opa.main.url"), "{url}: {}", run.stderr);
    }
}
