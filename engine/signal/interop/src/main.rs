//! The chain of signals, with programs that we did not write on every side: records in a real Kafka, a rule and a
//! baseline raise a user; `easyssf-receiver` hears it pushed, `saml2-sp` polled; Envoy denies the user and nobody
//! else; a Rego decision of `regorus` flips; risk decays, and all of them hear and do the opposite. The server is
//! killed between the steps. Beside it runs the same, undisturbed: both tell the same. Not a part of the product.
//!
//! `chain SLUICE ENVOY JARS`: the server, Envoy, and a folder that `kafka.sh fetch` filled. It takes some 18
//! minutes: a level is kept for 15 before it falls. Exits with 0 if everything held.

mod broker;
mod envoy;
mod node;
mod opa;
mod receivers;

use std::{
    collections::BTreeSet,
    env,
    error::Error,
    net::TcpListener,
    path::Path,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use broker::Broker;
use envoy::Envoy;
use node::{Api, Node, Ports};
use opa::Opa;
use receivers::{Ears, Heard};
use serde_json::{Value, json};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const ANN: &str = "ann@example.com";
const BOB: &str = "bob@example.com";
const PATIENCE: Duration = Duration::from_secs(120);
/// A level falls after 15 minutes at the earliest.
const DWELL: Duration = Duration::from_secs(15 * 60);
/// Users and days of history: how unusual something can be is told by how many days are known.
const USERS: usize = 400;
const DAYS: i64 = 60;
const DAY: i64 = 86_400_000;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [sluice, envoy, jars] = arguments.as_slice() else {
        return Err("chain SLUICE ENVOY JARS".into());
    };
    let broker = Broker::start(Path::new(jars))?;
    let base = now()?;
    let calm = Play { sluice, envoy, broker: &broker, base, disturbed: false };
    let disturbed = Play { disturbed: true, ..calm };
    let (calm, disturbed) = thread::scope(|scope| {
        let calm = scope.spawn(|| calm.run());
        let disturbed = disturbed.run();
        (calm.join(), disturbed)
    });
    let calm = calm.map_err(|_| "the undisturbed run panicked")??;
    let disturbed = disturbed?;
    let of = |heard: &[Heard]| -> Vec<_> {
        let said = |h: &Heard| (h.txn.clone(), h.previous.clone(), h.current.clone());
        heard.iter().map(said).collect()
    };
    for (name, one, other) in [
        ("easyssf-receiver-axum 0.7.0", &calm.pushed, &disturbed.pushed),
        ("saml2-sp 0.1.1", &calm.polled, &disturbed.polled),
    ] {
        require(of(one) == of(other), || format!("{name}: {one:?}, disturbed {other:?}"))?;
        let ids: Vec<&str> = other.iter().map(|h| h.jti.as_str()).collect();
        println!("{name}: {} of the causes {:?}", ids.join(", "), of(other));
    }
    println!(
        "every SET once, none twice, none lost, over {} kills; the same causes as undisturbed",
        disturbed.kills
    );
    Ok(())
}

/// One run of the chain.
#[derive(Clone, Copy)]
struct Play<'a> {
    sluice: &'a str,
    envoy: &'a str,
    broker: &'a Broker,
    /// When it begins, milliseconds since 1970.
    base: i64,
    /// Whether the server is killed between the steps.
    disturbed: bool,
}

/// What both receivers heard in the end.
struct Told {
    pushed: Vec<Heard>,
    polled: Vec<Heard>,
    kills: usize,
}

impl Play<'_> {
    fn run(self) -> Outcome<Told> {
        let said = self.play();
        said.map_err(|error| {
            let name = if self.disturbed { "the run with kills" } else { "the undisturbed run" };
            format!("{name}: {error}").into()
        })
    }

    fn play(self) -> Outcome<Told> {
        let dir = tempfile::tempdir()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let topic = if self.disturbed { "okta-disturbed" } else { "okta-calm" }.to_owned();
        let brokers = self.broker.bootstrap.clone();
        let ports = Ports { own: free_port()?, opa: free_port()?, brokers, topic };
        let issuer = format!("http://127.0.0.1:{}", ports.own);
        let config = node::configure(dir.path(), &ports)?;
        let token = node::token(self.sluice, dir.path())?;
        let opa = Opa::start(&runtime, ports.opa)?;
        let mut producer = self.broker.producer(&ports.topic)?;
        producer.send(&history(self.base))?;
        // The consumer finds the topic there.
        thread::sleep(Duration::from_secs(3));
        let mut node = Node::start(self.sluice, &config, &issuer, dir.path())?;
        let api = Api { issuer: issuer.clone(), token };
        let envoy = Envoy::start(self.envoy, &runtime, dir.path(), (ports.own, &api.token))?;
        let (pushed, polled) = (Ears::default(), Ears::default());
        receivers::start_push(&runtime, &issuer, free_port()?, &pushed)?;
        let access = api.access("saml", "ssf.read ssf.manage")?;
        let poller = receivers::start_poll(&issuer, &access, &polled)?;
        wait("two streams", || {
            Ok(api.get("/api/v1/signals")?["streams"].as_array().map_or(0, Vec::len) == 2)
        })?;
        let mut kills = 0;
        let mut step = |node: &mut Node, said: &str| -> Outcome<()> {
            if self.disturbed {
                println!("{said}");
                node.kill_and_start()?;
                kills += 1;
            }
            Ok(())
        };
        step(
            &mut node,
            "two streams: one pushed to easyssf-receiver-axum, one polled by saml2-sp",
        )?;

        producer.send(&denials(self.base))?;
        step(&mut node, "Kafka: 60 days of sign-ins, then three pushes that ann refuses")?;
        wait("finding of the rule", || {
            let found = api.get("/api/v1/findings?q=rule_id:chain.denied_pushes")?;
            Ok(found["items"].as_array().is_some_and(|items| items.len() == 1))
        })?;
        require(risk(&api)?["level"] == "low", || "the rule alone is no level".into())?;
        envoy.answers(ANN, 200, "")?;
        step(&mut node, "the rule fires; alone it raises nobody, and Envoy lets ann pass")?;

        producer.send(&[sign_in(now()?, ANN, &ELSEWHERE, "attack")])?;
        step(&mut node, "Kafka: ann signs in from elsewhere with another device")?;
        wait("HIGH", || Ok(risk(&api)?["level"] == "high"))?;
        let behind = risk(&api)?["factors"].to_string();
        let both = ["chain.denied_pushes", "baselines.chain_signin"].map(|of| behind.contains(of));
        require(both == [true, true], || format!("rule and baseline are not behind it: {behind}"))?;
        let since = Instant::now();
        step(&mut node, "rule and baseline together: ann is HIGH")?;

        let high = pushed.hear("pushed HIGH", "LOW", "HIGH")?;
        step(&mut node, "HIGH pushed to easyssf-receiver-axum and verified there")?;
        let same = polled.hear("polled HIGH", "LOW", "HIGH")?;
        require(high.txn.is_some() && high.txn == same.txn, || "two causes".into())?;
        step(&mut node, "HIGH of the same cause polled by saml2-sp")?;
        envoy.answers(ANN, 403, "high")?;
        envoy.answers(BOB, 200, "")?;
        step(&mut node, "Envoy denies ann's next request and lets bob pass")?;
        opa.decides(ANN, true)?;
        opa.decides(BOB, false)?;
        step(&mut node, "regorus denies ann by the data that was written to it, and allows bob")?;

        // People go on working, and the level is kept for a while whatever the score.
        let mut day = 0;
        while since.elapsed() < DWELL {
            day += 1;
            producer.send(&[sign_in(now()?, BOB, &OFFICE, &format!("later-{day}"))])?;
            thread::sleep(Duration::from_secs(20));
            if day == 20 {
                step(&mut node, "bob works on while ann's score decays")?;
            }
        }
        wait("LOW", || Ok(risk(&api)?["level"] == "low"))?;
        step(&mut node, "the score has decayed: ann is LOW")?;
        let low = pushed.hear("pushed LOW", "HIGH", "LOW")?;
        step(&mut node, "LOW with previous_level HIGH pushed")?;
        let same = polled.hear("polled LOW", "HIGH", "LOW")?;
        require(low.txn.is_some() && low.txn == same.txn, || "two causes".into())?;
        step(&mut node, "LOW with previous_level HIGH polled")?;
        envoy.answers(ANN, 200, "")?;
        step(&mut node, "Envoy lets ann pass again")?;
        opa.decides(ANN, false)?;
        step(&mut node, "regorus allows ann again")?;

        // Time for whatever would come twice.
        thread::sleep(Duration::from_secs(10));
        poller.stop();
        let told = Told { pushed: pushed.heard(), polled: polled.heard(), kills };
        told.check(&api)?;
        Ok(told)
    }
}

impl Told {
    /// Each receiver heard what the server says it delivered, each once, and nothing waits or is dead.
    fn check(&self, api: &Api) -> Outcome<()> {
        let history = api.get("/api/v1/signals/history?limit=500")?;
        let rows = history["items"].as_array().cloned().unwrap_or_default();
        let delivered = rows.iter().filter(|row| row["action"] == "delivered");
        let delivered = delivered.filter(|row| row["event_type"] == "risk-level-change");
        let delivered: BTreeSet<&str> = delivered.filter_map(|row| row["jti"].as_str()).collect();
        let all: Vec<&Heard> = self.pushed.iter().chain(&self.polled).collect();
        let ids: BTreeSet<&str> = all.iter().map(|h| h.jti.as_str()).collect();
        require(all.len() == 4 && ids.len() == 4, || format!("not each once: {all:?}"))?;
        require(ids == delivered, || format!("heard {ids:?}, delivered {delivered:?}"))?;
        require(all.iter().all(|h| h.subject == ANN), || format!("of somebody else: {all:?}"))?;
        let streams = api.get("/api/v1/signals")?["streams"].clone();
        for stream in streams.as_array().into_iter().flatten() {
            let rest = [&stream["queued"], &stream["dead_letters"]];
            require(rest.iter().all(|n| **n == json!(0)), || format!("it waits: {stream}"))?;
        }
        Ok(())
    }
}

/// Milliseconds since 1970.
fn now() -> Outcome<i64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as i64)
}

fn risk(api: &Api) -> Outcome<Value> {
    api.get(&format!("/api/v1/risk/user/{ANN}"))
}

/// Where somebody signs in from: country, network, address, device.
type From = (&'static str, u32, &'static str, &'static str);
const OFFICE: From = ("Germany", 64_496, "203.0.113.9", "Firefox on Linux");
const ELSEWHERE: From = ("Brazil", 64_511, "198.51.100.77", "curl/8.5");

/// Sixty days of sign-ins of everybody, from one place.
fn history(base: i64) -> Vec<String> {
    let mut records = Vec::new();
    for day in (1..=DAYS).rev() {
        for n in 0..USERS {
            let user = match n {
                0 => ANN.to_owned(),
                1 => BOB.to_owned(),
                n => format!("u{n}@example.com"),
            };
            let time = base - day * DAY + n as i64 * 100;
            records.push(sign_in(time, &user, &OFFICE, &format!("{n}-{day}")));
        }
    }
    records
}

/// Three pushes that ann refuses, in the minute before it begins.
fn denials(base: i64) -> Vec<String> {
    let denial = |n: i64| {
        let time = base - 60_000 + n * 10_000;
        okta(time, ANN, &OFFICE, &format!("denied-{n}"), "user.mfa.okta_verify.deny_push")
    };
    (0..3).map(denial).collect()
}

fn sign_in(time: i64, user: &str, from: &From, id: &str) -> String {
    okta(time, user, from, id, "user.session.start")
}

fn okta(time: i64, user: &str, (country, asn, ip, agent): &From, id: &str, what: &str) -> String {
    json!({
        "uuid": format!("chain-{id}"), "published": rfc3339(time), "eventType": what,
        "outcome": {"result": "SUCCESS"}, "displayMessage": what,
        "actor": {"id": format!("id-{user}"), "type": "User", "alternateId": user},
        "client": {
            "ipAddress": ip, "geographicalContext": {"country": country},
            "userAgent": {"rawUserAgent": agent},
        },
        "securityContext": {"asNumber": asn, "asOrg": "Example"}, "target": [],
    })
    .to_string()
}

/// RFC 3339 in UTC of milliseconds since 1970 (civil from days, Howard Hinnant).
fn rfc3339(time: i64) -> String {
    let (days, ms) = (time.div_euclid(DAY), time.rem_euclid(DAY));
    let z = days + 719_468;
    let (era, of_era) = (z.div_euclid(146_097), z.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    let (h, m, s) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{:03}Z", ms % 1_000)
}

fn require(holds: bool, else_say: impl FnOnce() -> String) -> Outcome<()> {
    if holds { Ok(()) } else { Err(else_say().into()) }
}

fn wait(what: &str, mut holds: impl FnMut() -> Outcome<bool>) -> Outcome<()> {
    let begun = Instant::now();
    let mut last = String::new();
    while begun.elapsed() < PATIENCE {
        match holds() {
            Ok(true) => return Ok(()),
            Ok(false) => last = String::new(),
            Err(error) => last = format!(": {error}"),
        }
        thread::sleep(Duration::from_millis(200));
    }
    Err(format!("no {what} within {PATIENCE:?}{last}").into())
}

fn free_port() -> Outcome<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
