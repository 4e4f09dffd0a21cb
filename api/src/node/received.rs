//! Security event tokens of other transmitters, in a running node: verified, remembered, and put into
//! the spool of their input. Not what is in them (see `sluice_signal::inbound`), not the reading of the
//! spool, not HTTP (see `http::received`).
//!
//! A SET is accepted when its records are durable, and remembered by issuer and `jti` after that: after a
//! crash in between it comes again and makes the same rows, which have the same ids.

mod poll;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
};

use sluice_ingest::push::PushLimits;
use sluice_signal::{
    inbound::{Content, Inbound, REMEMBERED_DAYS},
    verify::VerifyError,
};
use sluice_store::{Layout, Memory, Space, Store};
use subtle::ConstantTimeEq;

use super::{
    follower::end,
    key_set::{KeySet, KeySetError, KeySource},
    push::{PushEndpoint, PushEndpoints, PushFailure},
};
use crate::{
    clock,
    config::{Config, Reference, Secret, Ssf},
    exit::Failure,
};

/// Transmitters whose SETs this node takes. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Received(Arc<Inside>);

struct Inside {
    store: Store,
    space: Space,
    transmitters: BTreeMap<String, Transmitter>,
}

struct Transmitter {
    inbound: Inbound,
    keys: KeySet,
    authorization: Option<Secret>,
    poll: Option<poll::Poll>,
    endpoint: Arc<PushEndpoint>,
    counts: Counts,
    /// One SET of a transmitter at a time, so that the same one twice at once is one.
    turn: Mutex<()>,
}

#[derive(Default)]
struct Counts {
    accepted: AtomicU64,
    repeated: AtomicU64,
    own: AtomicU64,
    stream: AtomicU64,
    refused: AtomicU64,
}

/// Why a SET is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReceiveError {
    /// No input of this name takes SETs.
    #[error("no input takes these tokens")]
    Unknown,
    /// The `Authorization` header is not the one that was agreed on.
    #[error("the Authorization header is missing or wrong")]
    Unauthorized,
    /// The SET.
    #[error(transparent)]
    Set(#[from] VerifyError),
    /// The key set of the issuer cannot be had. It may pass.
    #[error("the key set of the issuer cannot be read: {0}")]
    Keys(String),
    /// It could not be kept. It may pass.
    #[error("the token could not be kept: {0}")]
    Kept(String),
}

/// The threads that poll.
pub(super) struct PollThreads {
    stop: Arc<AtomicBool>,
    threads: Vec<Option<JoinHandle<()>>>,
}

const LAYOUT: Layout<1> = Layout { name: "received", version: 1, spaces: ["received"] };
const MEMORY: Memory = Memory { cache: 1 << 20, memtable: 4 << 20 };
const DAY: i64 = 86_400_000;
/// Old ones are forgotten once in so many SETs.
const FORGET_EVERY: u64 = 1_000;

impl Received {
    /// Opens what was received before, if any input takes SETs.
    ///
    /// # Errors
    /// If a secret cannot be read, or the store cannot.
    pub(super) fn open(
        config: &Config,
        endpoints: &PushEndpoints,
        dir: &Path,
    ) -> Result<Option<Received>, Failure> {
        let mut transmitters = BTreeMap::new();
        for (name, source) in &config.sources {
            let (Some(ssf), Some(endpoint)) = (&source.ssf, endpoints.get(name)) else { continue };
            transmitters.insert(name.clone(), Transmitter::new(name, ssf, endpoint.clone())?);
        }
        if transmitters.is_empty() {
            return Ok(None);
        }
        let (store, [space]) = Store::open(dir, &LAYOUT, MEMORY).map_err(|error| {
            let hint = format!("{} holds which tokens were received", dir.display());
            Failure::argument(error.to_string(), hint)
        })?;
        Ok(Some(Received(Arc::new(Inside { store, space, transmitters }))))
    }

    /// Starts a thread for each transmitter that is polled.
    pub(super) fn start(&self) -> PollThreads {
        let stop = Arc::new(AtomicBool::new(false));
        let polled = self.0.transmitters.iter().filter(|(_, t)| t.poll.is_some());
        let threads =
            polled.map(|(name, _)| poll::start(self.clone(), name, stop.clone())).collect();
        PollThreads { stop, threads }
    }

    /// Takes a pushed SET. When it returns, its rows are durable. Blocks for disk and network.
    ///
    /// # Errors
    /// Why it is not taken; nothing of it is kept.
    pub(crate) fn push(
        &self,
        name: &str,
        authorization: Option<&[u8]>,
        token: &str,
    ) -> Result<(), ReceiveError> {
        let transmitter = self.0.transmitters.get(name).ok_or(ReceiveError::Unknown)?;
        if let Some(right) = &transmitter.authorization {
            let given = authorization.unwrap_or_default();
            if !bool::from(given.ct_eq(right.reveal().as_bytes())) {
                return Err(ReceiveError::Unauthorized);
            }
        }
        self.receive(transmitter, token)
    }

    /// Whether an input of this name takes SETs.
    pub(crate) fn knows(&self, name: &str) -> bool {
        self.0.transmitters.contains_key(name)
    }

    /// By input and outcome: SETs since the start of the process.
    pub(crate) fn counts(&self) -> Vec<(&str, [(&'static str, u64); 5])> {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let counts = self.0.transmitters.iter().map(|(name, t)| {
            let Counts { accepted, repeated, own, stream, refused } = &t.counts;
            let counts = [
                ("accepted", read(accepted)),
                ("repeated", read(repeated)),
                ("own", read(own)),
                ("stream", read(stream)),
                ("refused", read(refused)),
            ];
            (name.as_str(), counts)
        });
        counts.collect()
    }

    fn receive(&self, transmitter: &Transmitter, token: &str) -> Result<(), ReceiveError> {
        let counts = &transmitter.counts;
        let count = |count: &AtomicU64| count.fetch_add(1, Ordering::Relaxed);
        let now = clock::now();
        let verified = transmitter.keys.verify(
            |jwks| transmitter.inbound.receive(token, jwks, now),
            |error| matches!(error, VerifyError::Key(_)),
        );
        let verified = verified.map_err(|error| match error {
            KeySetError::Keys(why) => ReceiveError::Keys(why),
            KeySetError::Wrong(error) => ReceiveError::Set(error),
        });
        let set = verified.inspect_err(|error| {
            if matches!(error, ReceiveError::Set(_)) {
                count(&counts.refused);
                let input = &transmitter.inbound.transmitter;
                tracing::debug!(input, "a token is refused: {error}");
            }
        })?;
        let _turn = transmitter.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.0.store.snapshot().get(&self.0.space, set.key.as_bytes());
        if known.map_err(|e| kept(&e))?.is_some() {
            count(&counts.repeated);
            return Ok(());
        }
        match &set.content {
            Content::Records(records) => {
                let lines: String = records.iter().map(|record| format!("{record}\n")).collect();
                transmitter.spool(&lines, now)?;
                count(&counts.accepted);
            }
            Content::Own => drop(count(&counts.own)),
            Content::Stream => drop(count(&counts.stream)),
        }
        let mut batch = self.0.store.batch();
        batch.put(&self.0.space, set.key.as_bytes(), &now.to_be_bytes());
        if counts.accepted.load(Ordering::Relaxed) % FORGET_EVERY == 1 {
            for old in self.old(now)? {
                batch.remove(&self.0.space, &old);
            }
        }
        self.0.store.commit(batch).map_err(|e| kept(&e))
    }

    /// Keys of SETs that need not be remembered any more.
    fn old(&self, now: i64) -> Result<Vec<Vec<u8>>, ReceiveError> {
        let oldest = now - REMEMBERED_DAYS * DAY;
        let mut old = Vec::new();
        let snapshot = self.0.store.snapshot();
        for row in snapshot.prefix(&self.0.space, b"") {
            let (key, at) = row.map_err(|e| kept(&e))?;
            let at = (*at).try_into().map(i64::from_be_bytes);
            if at.is_ok_and(|at| at < oldest) {
                old.push(key.to_vec());
            }
        }
        Ok(old)
    }
}

impl PollThreads {
    /// Ends them: a poll that is held ends first, at most 40 s.
    pub(super) fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            end(&self.stop, thread);
        }
    }
}

impl Transmitter {
    fn new(name: &str, ssf: &Ssf, endpoint: Arc<PushEndpoint>) -> Result<Transmitter, Failure> {
        let follow = |key: &str, reference: &Option<Reference>| {
            let Some(reference) = reference else { return Ok(None) };
            reference.resolve().map(Some).map_err(|(what, hint)| {
                Failure::argument(format!("`sources.{name}.ssf.{key}`: {what}"), hint)
            })
        };
        let authorization = follow("poll_authorization", &ssf.poll_authorization)?;
        let poll = ssf.poll_url.clone().map(|url| poll::Poll::new(url, authorization, ssf));
        Ok(Transmitter {
            inbound: Inbound {
                transmitter: name.to_owned(),
                issuer: ssf.issuer.clone(),
                audience: ssf.audience.clone(),
            },
            keys: KeySet::new(
                &ssf.issuer,
                ssf.jwks_url.clone().map_or(KeySource::Metadata, KeySource::Url),
                &ssf.networks.0,
            ),
            authorization: follow("authorization", &ssf.authorization)?,
            poll,
            endpoint,
            counts: Counts::default(),
            turn: Mutex::new(()),
        })
    }

    fn spool(&self, lines: &str, now: i64) -> Result<(), ReceiveError> {
        // A SET is small, and was read whole already.
        let mut grow = |_| true;
        let pushed =
            self.endpoint.push(None, lines.as_bytes(), PushLimits::default(), &mut grow, now);
        match pushed {
            Ok(_) => Ok(()),
            Err(error @ PushFailure::Body(_)) => {
                Err(VerifyError::Request(error.to_string()).into())
            }
            Err(error) => Err(kept(&error)),
        }
    }
}

fn kept(error: &dyn std::error::Error) -> ReceiveError {
    tracing::error!("a received token cannot be kept: {error}");
    ReceiveError::Kept(error.to_string())
}
