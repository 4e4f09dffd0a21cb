//! Pushing SETs (RFC 8935): a thread for each push stream, so that one receiver that hangs holds up
//! nobody else. Not what an answer means (see `sluice_signal::push`).

use std::{
    collections::BTreeMap,
    io::Read,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use sluice_signal::{
    push::{Answer, error_code},
    transmitter::Attempt,
};
use ureq::{Agent, http::header};

use super::{Signals, end, lock, spawn};
use crate::outbound::{self, jitter, retry_after};

/// Bytes of an answer that are read.
const ANSWER: u64 = 64 << 10;
/// How long a thread waits for something to push before it looks at the time again.
const PATIENCE: Duration = Duration::from_millis(250);
/// Push streams at once; more wait until one of them is gone, and the log says so.
const THREADS: usize = 256;

/// Starts the thread that keeps one thread per push stream.
pub(super) fn start(signals: Signals, stop: Arc<AtomicBool>) -> Option<JoinHandle<()>> {
    spawn("push", move || {
        let agent = outbound::agent(&signals.0.build.networks);
        let mut threads: BTreeMap<String, Option<JoinHandle<()>>> = BTreeMap::new();
        while !stop.load(Ordering::Relaxed) {
            threads.retain(|_, thread| thread.as_ref().is_some_and(|t| !t.is_finished()));
            for id in streams(&signals) {
                if threads.contains_key(&id) {
                    continue;
                }
                if threads.len() >= THREADS {
                    tracing::warn!("more than {THREADS} push streams: {id} waits");
                    break;
                }
                let (signals, stop, agent) = (signals.clone(), stop.clone(), agent.clone());
                let stream = id.clone();
                let thread = spawn("push-one", move || push(&signals, &agent, &stream, &stop));
                threads.insert(id, thread);
            }
            wait(&signals, Duration::from_secs(1));
        }
        threads.into_values().for_each(|thread| end(&stop, thread));
    })
}

/// Streams that have something to push, or may have.
fn streams(signals: &Signals) -> Vec<String> {
    let flowing = signals.with(|transmitter, _| {
        let all = transmitter.streams().map(|s| s.id.clone());
        all.filter(|id| transmitter.pushes(id)).collect()
    });
    // What keeps it from answering is logged where it is found.
    flowing.unwrap_or_default()
}

/// Pushes what a stream has until it ends or no longer flows.
fn push(signals: &Signals, agent: &Agent, id: &str, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let next = signals
            .with(|transmitter, now| (transmitter.pushes(id), transmitter.next_push(id, now)));
        let attempt = match next {
            Ok((false, _)) => return,
            Ok((true, Ok(Some(attempt)))) => attempt,
            Ok((true, Ok(None))) => {
                wait(signals, PATIENCE);
                continue;
            }
            Ok((true, Err(error))) => {
                tracing::error!(stream = id, "a signal cannot be signed: {error}");
                wait(signals, Duration::from_secs(1));
                continue;
            }
            Err(_) => {
                wait(signals, Duration::from_secs(1));
                continue;
            }
        };
        let answer = send(agent, &attempt);
        let jitter = jitter();
        tracing::debug!(stream = id, jti = attempt.jti, ?answer, "pushed");
        let kept = signals.with(|transmitter, now| {
            transmitter.push_done(id, &attempt.jti, &answer, jitter, now);
        });
        if kept.is_err() {
            // It is pushed again with the same id, which the receiver knows.
            wait(signals, Duration::from_secs(1));
        }
    }
}

fn send(agent: &Agent, attempt: &Attempt) -> Answer {
    let mut request = agent
        .post(&attempt.url)
        .header(header::CONTENT_TYPE, "application/secevent+jwt")
        .header(header::ACCEPT, "application/json");
    if let Some(authorization) = &attempt.authorization {
        request = request.header(header::AUTHORIZATION, authorization);
    }
    match request.send(attempt.token.as_str()) {
        Err(error) => Answer::None(error.to_string().chars().take(256).collect()),
        Ok(mut response) => {
            let status = response.status().as_u16();
            let retry_after = retry_after(response.headers());
            let mut body = Vec::new();
            // A body that breaks off is one that cannot be read.
            let read = response.body_mut().as_reader().take(ANSWER).read_to_end(&mut body);
            let err = read.ok().and_then(|_| error_code(&body));
            Answer::Http { status, retry_after, err }
        }
    }
}

/// Waits for a change of signals.
fn wait(signals: &Signals, most: Duration) {
    let (changes, changed) = &signals.0.pushed;
    let guard = lock(changes);
    drop(changed.wait_timeout(guard, most).unwrap_or_else(PoisonError::into_inner));
}
