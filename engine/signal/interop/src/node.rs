//! The server under test: its configuration, its process, and what people and gateways ask it.

use std::{
    fs::{self, OpenOptions, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::Value;

use crate::{Outcome, opa, wait};

/// What both receivers prove themselves with.
pub const SECRET: &str = "s3cret-of-the-receivers";
const KEY: &str = include_str!("../../tests/it/keys/one.pem");

/// A quarter of the way to `high`: three refused pushes.
const RULE: &str = "/*---
id: chain.denied_pushes
title: Somebody refuses pushes
severity: medium
status: stable
attack: [TA0006, T1621]
entity: {user_entity: user}
risk: 25
false_positives: [none]
runbook: Ask.
---*/
SELECT user_entity, count(*) AS denials
FROM authentication
WHERE failure_reason = 'mfa_denied'
  AND user_entity IS NOT NULL
GROUP BY user_entity, sliding(time, INTERVAL '10 minutes')
HAVING count(*) >= 3
";

/// Where from and with what each user signs in. What it adds to a risk halves every three minutes.
const BASELINE: &str = "/*---
id: baselines.chain_signin
title: Where from and with what each user signs in
kind: baseline
entity: {user: user_entity}
unit: day
features:
  country: {kind: categorical, tactic: TA0001}
  network: {kind: categorical, tactic: TA0001}
  device: {kind: categorical, tactic: TA0001}
alarm_rate: 1 per 1000 entity-days
half_life: 3m
---*/
SELECT time, user_entity, src_country AS country, CAST(src_asn AS VARCHAR) AS network, user_agent AS device
FROM authentication
WHERE status = 'Success'
  AND user_entity IS NOT NULL
";

/// A running server; killed when dropped.
pub struct Node {
    child: Child,
    start: Box<dyn Fn() -> Outcome<Child>>,
    issuer: String,
}

impl Node {
    pub fn start(sluice: &str, config: &str, issuer: &str, dir: &Path) -> Outcome<Node> {
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

    /// `kill -9`, and the same again.
    pub fn kill_and_start(&mut self) -> Outcome<()> {
        self.child.kill()?;
        self.child.wait()?;
        self.child = (self.start)()?;
        self.wait()
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

/// What people ask.
pub struct Api {
    pub issuer: String,
    pub token: String,
}

impl Api {
    pub fn get(&self, path: &str) -> Outcome<Value> {
        let request = ureq::get(format!("{}{path}", self.issuer));
        let request = request.header("authorization", format!("Bearer {}", self.token));
        Ok(request.call()?.body_mut().read_json()?)
    }

    /// An access token of a receiver.
    pub fn access(&self, client: &str, scopes: &str) -> Outcome<String> {
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

/// Where the server and what it talks to are.
pub struct Ports {
    pub own: u16,
    pub opa: u16,
    pub brokers: String,
    pub topic: String,
}

/// Writes the configuration with all that it names.
pub fn configure(dir: &Path, ports: &Ports) -> Outcome<String> {
    let secret = |name: &str, text: &str| -> Outcome<String> {
        let path = dir.join(name);
        fs::write(&path, text)?;
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        Ok(path.display().to_string())
    };
    let (key, client) = (secret("key.pem", KEY)?, secret("client", SECRET)?);
    let to_opa = secret("opa", opa::AUTHORIZATION)?;
    for (name, text) in [("chain/denied_pushes", RULE), ("baselines/chain_signin", BASELINE)] {
        let path = dir.join("rules").join(name).with_extension("sql");
        fs::create_dir_all(path.parent().unwrap_or(dir))?;
        fs::write(path, text)?;
    }
    let Ports { own, opa, brokers, topic } = ports;
    let (data, rules) = (dir.join("data"), dir.join("rules"));
    let text = format!(
        "data_dir = \"{}\"\nrules = [\"{}\"]\n[api]\nlisten = \"127.0.0.1:{own}\"\n\
         [sources.idp]\nmapping = \"okta.system\"\n\
         kafka = {{ brokers = \"{brokers}\", topics = [\"{topic}\"], group = \"{topic}\" }}\n\
         [signals]\nissuer = \"http://127.0.0.1:{own}\"\nsigning_keys = [\"file:{key}\"]\n\
         push_networks = [\"127.0.0.0/8\"]\n\
         [signals.receivers.easyssf]\nclient_secret = \"file:{client}\"\nmin_interval = \"1s\"\n\
         push_hosts = [\"127.0.0.1\"]\n\
         [signals.receivers.saml]\nclient_secret = \"file:{client}\"\nmin_interval = \"1s\"\n\
         [signals.opa.main]\nurl = \"http://127.0.0.1:{opa}{}\"\nauthorization = \"file:{to_opa}\"\n",
        data.display(),
        rules.display(),
        opa::PATH,
    );
    let path = dir.join("sluice.toml");
    fs::write(&path, text)?;
    Ok(path.display().to_string())
}

/// A token that may do everything.
pub fn token(sluice: &str, dir: &Path) -> Outcome<String> {
    let data = dir.join("data").display().to_string();
    let arguments = ["token", "create", "--data-dir", &data, "--role", "admin"];
    let output = Command::new(sluice).args(arguments).output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
