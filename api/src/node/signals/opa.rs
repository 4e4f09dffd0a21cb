//! Writing levels to Open Policy Agents: a thread for each, so that one that hangs holds up no other.
//! Not what is written (see `sluice_signal::policy::opa`).

use std::{
    io::Read,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use sluice_signal::{
    policy::opa::push::{Push, PushState, Request, document},
    push::Answer,
    stream,
};
use ureq::{
    Agent,
    http::{Request as HttpRequest, header},
};

use super::{Signals, lock, spawn};
use crate::{
    clock,
    config::{Opa, Secret},
    exit::Failure,
    network::Network,
    outbound::{self, jitter, retry_after},
};

/// Where an OPA is and how it is asked.
pub(super) struct Endpoint {
    url: String,
    /// Scheme and host.
    pub(super) shown: String,
    authorization: Option<Secret>,
    resync: i64,
}

/// How often levels are compared with what it has: several changes in this time are one patch.
const PACE: Duration = Duration::from_millis(100);
/// How long a thread waits for a change before it looks at the time again.
const PATIENCE: Duration = Duration::from_millis(250);
/// Bytes of an answer that are read, so that the connection can be used again.
const ANSWER: u64 = 64 << 10;

impl Endpoint {
    /// # Errors
    /// If its secret cannot be followed, or nothing may be sent there.
    pub(super) fn new(name: &str, opa: &Opa, networks: &[Network]) -> Result<Endpoint, Failure> {
        let host = stream::host(&opa.url);
        let refused = match host {
            Some(host) => outbound::refusal(&opa.url, host, networks),
            None => Some("it is no http or https URL"),
        };
        if let Some(why) = refused {
            let text = format!("`signals.opa.{name}.url`: nothing is sent there: {why}");
            let hint = "`signals.push_networks` names private networks that may be reached";
            return Err(Failure::argument(text, hint));
        }
        let path = format!("signals.opa.{name}.authorization");
        let authorization = opa.authorization.as_ref();
        let scheme = if opa.url.starts_with("https://") { "https" } else { "http" };
        Ok(Endpoint {
            url: opa.url.clone(),
            shown: format!("{scheme}://{}", host.unwrap_or_default()),
            authorization: authorization.map(|r| super::config::resolve(&path, r)).transpose()?,
            resync: opa.resync.0,
        })
    }
}

/// Starts the thread of one.
pub(super) fn start(signals: Signals, name: &str, stop: Arc<AtomicBool>) -> Option<JoinHandle<()>> {
    let name = name.to_owned();
    spawn("opa", move || {
        let Some(endpoint) = signals.0.build.opa.get(&name) else { return };
        let agent = outbound::agent(&signals.0.build.networks);
        let mut push = Push::new(endpoint.resync);
        let mut failing = false;
        while !stop.load(Ordering::Relaxed) {
            let before = signals.change();
            // Levels that cannot be read are not written as none.
            let levels = signals.evaluate(|_, levels| document(levels));
            let request = levels.and_then(|levels| push.next(clock::now(), || levels));
            let Some(request) = request else {
                signals.wait_after(before, PATIENCE);
                continue;
            };
            let answer = send(&agent, endpoint, &request);
            push.done(&answer, jitter(), clock::now());
            let state = push.state().clone();
            if failing != state.error.is_some() {
                failing = !failing;
                match &state.error {
                    Some(error) => tracing::warn!(opa = name, "levels are written later: {error}"),
                    None => tracing::info!(opa = name, "levels are written again"),
                }
            }
            lock(&signals.0.opa).insert(name.clone(), state);
            std::thread::sleep(PACE);
        }
    })
}

fn send(agent: &Agent, endpoint: &Endpoint, request: &Request) -> Answer {
    let (method, kind, body) = match request {
        Request::Put(body) => ("PUT", "application/json", body),
        Request::Patch(body) => ("PATCH", "application/json-patch+json", body),
    };
    let mut http =
        HttpRequest::builder().method(method).uri(&endpoint.url).header(header::CONTENT_TYPE, kind);
    if let Some(authorization) = &endpoint.authorization {
        http = http.header(header::AUTHORIZATION, authorization.reveal());
    }
    let http = match http.body(body.as_str()) {
        Ok(http) => http,
        Err(error) => return Answer::None(error.to_string()),
    };
    match agent.run(http) {
        Err(error) => Answer::None(error.to_string().chars().take(256).collect()),
        Ok(mut response) => {
            let status = response.status().as_u16();
            let retry_after = retry_after(response.headers());
            let mut ignored = Vec::new();
            // The status says it all; a body that breaks off changes nothing.
            response.body_mut().as_reader().take(ANSWER).read_to_end(&mut ignored).ok();
            Answer::Http { status, retry_after, err: None }
        }
    }
}

/// How an OPA does, for people.
#[derive(Clone)]
pub(crate) struct OpaStats {
    /// Its name in the configuration.
    pub(crate) name: String,
    /// Scheme and host of it.
    pub(crate) endpoint: String,
    /// How it goes.
    pub(crate) state: PushState,
}
