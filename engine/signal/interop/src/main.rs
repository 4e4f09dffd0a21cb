//! The chain of signals with receivers that we did not write: a person raises a level; `easyssf-receiver`
//! gets it pushed on a stream that it makes itself, `saml2-sp` polls it, a gateway denies; the level is
//! taken back and both hear it. The process is killed between the steps. Not a part of the product.
//!
//! `sluice-interop path/to/sluice`; exits with 0 if everything held.

use std::{
    env,
    error::Error,
    fs::{self, OpenOptions, Permissions},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use easyssf_receiver::{
    SsfReceiver,
    config::SsfReceiverConfig,
    event::{SsfEventContext, for_event},
};
use easyssf_receiver_axum::push_router_for;
use saml2_sp::{ReceiverOptions, SignalEvent, SignalsReceiver};
use serde_json::{Value, json};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What a receiver heard.
#[derive(Clone, Debug, PartialEq)]
struct Heard {
    jti: String,
    txn: Option<String>,
    current: String,
    previous: String,
    subject: String,
}

type Ears = Arc<Mutex<Vec<Heard>>>;

const RISK: &str = "https://schemas.openid.net/secevent/caep/event-type/risk-level-change";
const KEY: &str = include_str!("../../tests/it/keys/one.pem");
const SECRET: &str = "s3cret-of-the-receivers";
const PATIENCE: Duration = Duration::from_secs(40);

fn main() -> Outcome<()> {
    let sluice = env::args().nth(1).ok_or("sluice-interop path/to/sluice")?;
    let dir = tempfile::tempdir()?;
    let (own, theirs) = (free_port()?, free_port()?);
    let issuer = format!("http://127.0.0.1:{own}");
    let config = configure(dir.path(), own)?;
    let token = token(&sluice, dir.path())?;
    let mut node = Node::start(&sluice, &config, &issuer, dir.path())?;
    let api = Api { issuer: issuer.clone(), token };

    let pushed = Ears::default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    start_push(&runtime, &issuer, theirs, &pushed)?;
    let polled = Ears::default();
    let poller = start_poll(&issuer, &api.access("saml", "ssf.read ssf.manage")?, &polled)?;
    wait("the stream of easyssf", || {
        Ok(api.get("/api/v1/signals")?["streams"].as_array().map_or(0, Vec::len) == 2)
    })?;
    println!("two streams: one pushed to easyssf-receiver-axum, one polled by saml2-sp");

    assert_eq!(api.gate("ann@example.com")?, 200, "nobody is raised");
    node = node.kill_and_start()?;
    api.raise("ann@example.com")?;
    node = node.kill_and_start()?;
    hear("pushed HIGH", &pushed, "HIGH", "LOW")?;
    hear("polled HIGH", &polled, "HIGH", "LOW")?;
    assert_eq!(api.gate("ann@example.com")?, 403, "ann is high");
    assert_eq!(api.gate("bob@example.com")?, 200, "bob is not");
    println!("HIGH: pushed, polled, denied at the gateway");

    node = node.kill_and_start()?;
    // `min_interval` keeps two SETs of a subject apart.
    thread::sleep(Duration::from_secs(2));
    api.clear("ann@example.com")?;
    node = node.kill_and_start()?;
    hear("pushed LOW", &pushed, "LOW", "HIGH")?;
    hear("polled LOW", &polled, "LOW", "HIGH")?;
    assert_eq!(api.gate("ann@example.com")?, 200, "ann is low again");
    println!("LOW with its previous level: pushed, polled, let in");

    // Another kill, and time for whatever would come twice.
    let _node = node.kill_and_start()?;
    thread::sleep(Duration::from_secs(5));
    for (name, ears) in [("easyssf-receiver-axum 0.7.0", &pushed), ("saml2-sp 0.1.1", &polled)] {
        let heard = ears.lock().map_err(|_| "a receiver panicked")?.clone();
        assert_eq!(heard.len(), 2, "{name} heard {heard:?}");
        assert!(heard.iter().all(|h| h.subject == "ann@example.com"), "{name}: {heard:?}");
        println!("{name}: {:?}", heard.iter().map(|h| h.jti.as_str()).collect::<Vec<_>>());
    }
    let causes = |ears: &Ears| -> Outcome<Vec<Option<String>>> {
        let heard = ears.lock().map_err(|_| "a receiver panicked")?;
        Ok(heard.iter().map(|h| h.txn.clone()).collect())
    };
    assert_eq!(causes(&pushed)?, causes(&polled)?, "both heard of the same causes");
    poller.stop();
    println!("every SET once, over five kills");
    Ok(())
}

/// `easyssf-receiver` on axum: finds the metadata, makes its push stream, verifies what comes.
fn start_push(
    runtime: &tokio::runtime::Runtime,
    issuer: &str,
    port: u16,
    ears: &Ears,
) -> Outcome<()> {
    let config: SsfReceiverConfig = toml::from_str(&format!(
        r#"
        transmitter-issuer = "{issuer}"
        allow-insecure-http = true
        expected-audience = "easyssf"
        [oauth2]
        token-uri = "{issuer}/ssf/token"
        client-id = "easyssf"
        client-secret = "{SECRET}"
        scopes = ["ssf.read", "ssf.manage"]
        [stream]
        management = "receiver"
        events-requested = ["{RISK}"]
        [push]
        delivery-endpoint-url = "http://127.0.0.1:{port}/ssf/push"
        expected-auth-header = "Bearer of-the-receiver"
        "#
    ))?;
    let ears = ears.clone();
    let receiver = SsfReceiver::builder(config)
        .handler(for_event(RISK, move |context: SsfEventContext| {
            let ears = ears.clone();
            async move {
                let event = context.event_for(RISK).cloned().unwrap_or_default();
                let token = context.event_token();
                let claims = token.claims();
                let text = |name: &str| claims.get(name).and_then(Value::as_str).map(str::to_owned);
                let subject = claims.get("sub_id").and_then(|s| s["email"].as_str());
                let heard = heard(text("jti").unwrap_or_default(), text("txn"), &event, subject);
                ears.lock().map_err(|_| "poisoned")?.push(heard);
                Ok(())
            }
        }))
        .build()?;
    runtime.spawn(async move {
        let app = push_router_for(&receiver);
        receiver.start();
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
        axum::serve(listener, app).await?;
        // Lives as long as the server.
        drop(receiver);
        Ok::<(), std::io::Error>(())
    });
    Ok(())
}

/// `saml2-sp`: finds the metadata by appending the well-known path, makes a poll stream, polls.
fn start_poll(issuer: &str, access: &str, ears: &Ears) -> Outcome<SignalsReceiver> {
    let authorization = format!("Bearer {access}");
    let options = ReceiverOptions {
        transmitter: issuer.to_owned(),
        on_end_sessions: Some(Arc::new(|_, _| Ok(()))),
        headers: Some(Arc::new(move || vec![("authorization".to_owned(), authorization.clone())])),
        events_requested: Some(vec![RISK.to_owned()]),
        poll_interval_ms: 500,
        ..ReceiverOptions::default()
    };
    let receiver = SignalsReceiver::new(options).map_err(|e| e.to_string())?;
    let ears = ears.clone();
    receiver.on(RISK, move |event: &SignalEvent| {
        let subject = event.subject.get("email").map(String::as_str);
        let heard = heard(event.jti.clone(), event.txn.clone(), &event.payload, subject);
        if let Ok(mut ears) = ears.lock() {
            ears.push(heard);
        }
        Ok(())
    });
    receiver.start().map_err(|e| e.to_string())?;
    Ok(receiver)
}

fn heard(
    jti: String,
    txn: Option<String>,
    event: &serde_json::Map<String, Value>,
    subject: Option<&str>,
) -> Heard {
    let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    Heard {
        jti,
        txn,
        current: text("current_level"),
        previous: text("previous_level"),
        subject: subject.unwrap_or_default().to_owned(),
    }
}

/// Waits until the last SET of a receiver is this change.
fn hear(what: &str, ears: &Ears, current: &str, previous: &str) -> Outcome<()> {
    wait(what, || {
        let heard = ears.lock().map_err(|_| "a receiver panicked")?;
        Ok(heard.last().is_some_and(|h| h.current == current && h.previous == previous))
    })
}

fn wait(what: &str, mut holds: impl FnMut() -> Outcome<bool>) -> Outcome<()> {
    let step = Duration::from_millis(100);
    for _ in 0..PATIENCE.as_millis() / step.as_millis() {
        if holds().unwrap_or(false) {
            return Ok(());
        }
        thread::sleep(step);
    }
    Err(format!("no {what} within {PATIENCE:?}").into())
}

/// A running server; killed when dropped.
struct Node {
    child: Child,
    start: Box<dyn Fn() -> Outcome<Child>>,
    issuer: String,
}

impl Node {
    fn start(sluice: &str, config: &str, issuer: &str, dir: &Path) -> Outcome<Node> {
        let (sluice, config, log) = (sluice.to_owned(), config.to_owned(), dir.join("log"));
        let start = Box::new(move || -> Outcome<Child> {
            let log = OpenOptions::new().create(true).append(true).open(&log)?;
            let arguments = ["run", "--config", &config];
            let mut command = Command::new(&sluice);
            Ok(command.args(arguments).stdout(Stdio::null()).stderr(log).spawn()?)
        });
        let node = Node { child: start()?, start, issuer: issuer.to_owned() };
        node.wait()?;
        Ok(node)
    }

    fn kill_and_start(mut self) -> Outcome<Node> {
        self.child.kill()?;
        self.child.wait()?;
        self.child = (self.start)()?;
        self.wait()?;
        Ok(self)
    }

    fn wait(&self) -> Outcome<()> {
        let url = format!("{}/healthz", self.issuer);
        wait("answer of the server", || Ok(ureq::get(&url).call()?.status() == 200))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// What people and gateways ask.
struct Api {
    issuer: String,
    token: String,
}

impl Api {
    fn get(&self, path: &str) -> Outcome<Value> {
        let request = ureq::get(format!("{}{path}", self.issuer));
        let mut answer =
            request.header("authorization", format!("Bearer {}", self.token)).call()?;
        Ok(answer.body_mut().read_json()?)
    }

    fn raise(&self, user: &str) -> Outcome<()> {
        let url = format!("{}/api/v1/risk/user/{user}/override", self.issuer);
        let body = json!({"level": "high", "reason": "stolen laptop", "expires_in": "8h"});
        ureq::put(url).header("authorization", format!("Bearer {}", self.token)).send_json(body)?;
        Ok(())
    }

    fn clear(&self, user: &str) -> Outcome<()> {
        let url = format!("{}/api/v1/risk/user/{user}/override?reason=found", self.issuer);
        ureq::delete(url).header("authorization", format!("Bearer {}", self.token)).call()?;
        Ok(())
    }

    /// The status that a gateway gets for a user.
    fn gate(&self, user: &str) -> Outcome<u16> {
        let config = ureq::Agent::config_builder().http_status_as_error(false);
        let agent: ureq::Agent = config.build().into();
        let request = agent.get(format!("{}/ext_authz/app", self.issuer)).header("x-user", user);
        let answer = request.header("authorization", format!("Bearer {}", self.token)).call()?;
        Ok(answer.status().as_u16())
    }

    /// An access token of a receiver.
    fn access(&self, client: &str, scopes: &str) -> Outcome<String> {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", client),
            ("client_secret", SECRET),
            ("scope", scopes),
        ];
        let mut answer = ureq::post(format!("{}/ssf/token", self.issuer)).send_form(form)?;
        let answer: Value = answer.body_mut().read_json()?;
        Ok(answer["access_token"].as_str().ok_or("no access token")?.to_owned())
    }
}

fn configure(dir: &Path, port: u16) -> Outcome<String> {
    let secret = |name: &str, text: &str| -> Outcome<String> {
        let path = dir.join(name);
        fs::write(&path, text)?;
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        Ok(path.display().to_string())
    };
    let (key, client) = (secret("key.pem", KEY)?, secret("client", SECRET)?);
    let data = dir.join("data");
    let text = format!(
        "data_dir = \"{}\"\nrules = []\n[sources.push]\nhttp = {{}}\n[api]\nlisten = \"127.0.0.1:{port}\"\n\
         [signals]\nissuer = \"http://127.0.0.1:{port}\"\nsigning_keys = [\"file:{key}\"]\n\
         push_networks = [\"127.0.0.0/8\"]\n\
         [signals.receivers.easyssf]\nclient_secret = \"file:{client}\"\nmin_interval = \"1s\"\n\
         push_hosts = [\"127.0.0.1\"]\n\
         [signals.receivers.saml]\nclient_secret = \"file:{client}\"\nmin_interval = \"1s\"\n",
        data.display()
    );
    let path = dir.join("sluice.toml");
    fs::write(&path, text)?;
    Ok(path.display().to_string())
}

fn token(sluice: &str, dir: &Path) -> Outcome<String> {
    let data = dir.join("data").display().to_string();
    let arguments = ["token", "create", "--data-dir", &data, "--role", "admin"];
    let output = Command::new(sluice).args(arguments).output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

fn free_port() -> Outcome<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
