//! Posting: a thread for each endpoint, so that one that hangs holds up no other. Not what an answer
//! means (see `sluice_signal::webhook`).

use std::{
    io::Read,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use sluice_signal::{push::Answer, webhook::Message};
use ureq::{Agent, http::header};

use super::{Webhooks, config::Endpoint};
use crate::{
    clock,
    node::follower::spawn,
    outbound::{self, jitter, retry_after},
};

/// How long a thread waits for something to post before it looks at the time again.
const PATIENCE: Duration = Duration::from_millis(250);
/// After a failure of the store.
const LATER: Duration = Duration::from_secs(1);
/// Bytes of an answer that are read, so that the connection can be used again.
const ANSWER: u64 = 64 << 10;

/// Starts the thread of an endpoint.
pub(super) fn start(
    webhooks: Webhooks,
    name: &str,
    stop: Arc<AtomicBool>,
) -> Option<JoinHandle<()>> {
    let name = name.to_owned();
    spawn("webhook", move || {
        let Some(endpoint) = webhooks.0.endpoints.get(&name) else { return };
        let agent = outbound::agent(&endpoint.networks);
        while !stop.load(Ordering::Relaxed) {
            match webhooks.with(|machine, now| machine.next(&name, now)) {
                Ok(Some(message)) => post_one(&webhooks, endpoint, &agent, &message),
                Ok(None) => webhooks.wait(PATIENCE),
                Err(_) => webhooks.wait(LATER),
            }
        }
    })
}

fn post_one(webhooks: &Webhooks, endpoint: &Endpoint, agent: &Agent, message: &Message) {
    let name = &endpoint.target.name;
    let answer = post(agent, endpoint, message);
    tracing::debug!(webhook = name, id = message.id, ?answer, "posted");
    let jitter = jitter();
    let kept = webhooks.with(|machine, now| machine.done(name, &message.id, &answer, jitter, now));
    if kept.is_err() {
        // It is posted again with the same id, which the endpoint knows.
        webhooks.wait(LATER);
    }
}

fn post(agent: &Agent, endpoint: &Endpoint, message: &Message) -> Answer {
    let key = endpoint.routing_key.as_ref().map(|key| key.reveal());
    let body = endpoint.target.template.with_key(&message.body, key);
    let now = clock::now().div_euclid(1_000);
    let signatures: Vec<String> =
        endpoint.secrets.iter().map(|secret| secret.sign(&message.id, now, &body)).collect();
    let mut request = agent
        .post(endpoint.url.reveal())
        .header(header::CONTENT_TYPE, "application/json")
        .header("webhook-id", &message.id)
        .header("webhook-timestamp", now.to_string());
    if !signatures.is_empty() {
        request = request.header("webhook-signature", signatures.join(" "));
    }
    if let Some(authorization) = &endpoint.authorization {
        request = request.header(header::AUTHORIZATION, authorization.reveal());
    }
    match request.send(body.as_str()) {
        Err(error) => Answer::None(shown(&error, endpoint)),
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

/// An error as it may be shown: some of them quote the URL, which may be a secret.
fn shown(error: &ureq::Error, endpoint: &Endpoint) -> String {
    let text = error.to_string().replace(endpoint.url.reveal(), &endpoint.shown);
    let path = endpoint.url.reveal().splitn(4, '/').nth(3).unwrap_or_default();
    match !path.is_empty() && text.contains(path) {
        true => "the request failed".to_owned(),
        false => text.chars().take(256).collect(),
    }
}
