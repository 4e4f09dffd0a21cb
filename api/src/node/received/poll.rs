//! Polling a transmitter (RFC 8936): long polls one after another, each acknowledging what the one before
//! brought. Not what is done with a SET.

use std::{
    io::Read,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use serde_json::{Map, Value, json};
use sluice_signal::verify::MAX_BYTES;
use ureq::{Agent, http::header};

use super::{ReceiveError, Received, Transmitter};
use crate::{
    clock,
    config::{Secret, Ssf},
    node::follower::{sleep, spawn},
    outbound,
};

/// Where a transmitter is polled.
pub(super) struct Poll {
    url: String,
    authorization: Option<Secret>,
    agent: Agent,
}

/// What the next poll tells of those before.
#[derive(Default)]
struct Answers {
    ack: Vec<String>,
    errors: Map<String, Value>,
}

/// SETs of one answer.
const SETS: usize = 32;
/// A transmitter may hold a poll for 30 s.
const HELD: Duration = Duration::from_secs(40);
/// An empty answer that came sooner was not held: the next poll waits.
const SOON: Duration = Duration::from_secs(1);
const SHORT: Duration = Duration::from_secs(10);
/// The first wait after a failure; it doubles up to a minute.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MOST: Duration = Duration::from_secs(60);

impl Poll {
    pub(super) fn new(url: String, authorization: Option<Secret>, ssf: &Ssf) -> Poll {
        Poll { url, authorization, agent: outbound::patient_agent(&ssf.networks.0, HELD) }
    }

    /// SETs by `jti`, and whether there are more.
    fn ask(&self, answers: &Answers) -> Result<(Map<String, Value>, bool), String> {
        let body = json!({
            "maxEvents": SETS, "returnImmediately": false, "ack": answers.ack,
            "setErrs": answers.errors,
        });
        let mut request = self
            .agent
            .post(&self.url)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CONTENT_LANGUAGE, "en")
            .header(header::ACCEPT, "application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization.reveal());
        }
        let mut response = request.send(body.to_string()).map_err(|e| e.to_string())?;
        if response.status().as_u16() != 200 {
            return Err(format!("HTTP {}", response.status().as_u16()));
        }
        let mut bytes = Vec::new();
        let most = (SETS * MAX_BYTES) as u64;
        let mut reader = response.body_mut().as_reader().take(most);
        reader.read_to_end(&mut bytes).map_err(|e| e.to_string())?;
        let answer: Value =
            serde_json::from_slice(&bytes).map_err(|_| "the answer is no JSON".to_owned())?;
        let sets = answer["sets"].as_object().cloned().unwrap_or_default();
        Ok((sets, answer["moreAvailable"] == true))
    }
}

/// Starts the thread of a transmitter.
pub(super) fn start(
    received: Received,
    name: &str,
    stop: Arc<AtomicBool>,
) -> Option<JoinHandle<()>> {
    let name = name.to_owned();
    spawn("poll-sets", move || {
        let Some(transmitter) = received.0.transmitters.get(&name) else { return };
        let Some(poll) = &transmitter.poll else { return };
        let (mut answers, mut wait) = (Answers::default(), RETRY_FIRST);
        while !stop.load(Ordering::Relaxed) {
            let begun = clock::monotonic();
            match poll.ask(&answers) {
                Ok((sets, more)) => {
                    wait = RETRY_FIRST;
                    answers = Answers::default();
                    let none = sets.is_empty();
                    let kept = take(&received, transmitter, sets, &mut answers);
                    if !kept {
                        sleep(RETRY_FIRST, &stop);
                    } else if none && !more && begun.elapsed() < SOON {
                        sleep(SHORT, &stop);
                    }
                }
                Err(error) => {
                    tracing::warn!(input = name, "a poll failed, tried again in {wait:?}: {error}");
                    sleep(wait, &stop);
                    wait = (wait * 2).min(RETRY_MOST);
                }
            }
        }
    })
}

/// Takes SETs; what could not be kept is not answered, so that it comes again.
fn take(
    received: &Received,
    transmitter: &Transmitter,
    sets: Map<String, Value>,
    answers: &mut Answers,
) -> bool {
    let mut all = true;
    for (jti, token) in sets {
        match received.receive(transmitter, token.as_str().unwrap_or_default()) {
            Ok(()) => answers.ack.push(jti),
            Err(ReceiveError::Set(error)) => {
                let wrong = json!({"err": error.code(), "description": error.to_string()});
                answers.errors.insert(jti, wrong);
            }
            Err(error) => {
                let input = &transmitter.inbound.transmitter;
                tracing::warn!(input, jti, "a token is taken later: {error}");
                all = false;
            }
        }
    }
    all
}
