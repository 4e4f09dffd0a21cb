//! Signals in a running node: the transmitter, its store, and the threads that push and let time pass.
//! Not what is sent to whom (see `sluice_signal`), and not the HTTP that receivers and gateways speak
//! (see `http::signals`).
//!
//! Signals have a store of their own beside that of findings. Each operation changes the transmitter in
//! memory and commits what it changed in one synced batch before anybody sees it. A batch that cannot be
//! written makes memory worthless: it is read again from the store before the next operation.

mod access;
mod alerts;
mod config;
mod kafka;
mod opa;
mod proof;
mod push;
mod said;
mod trust;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use sluice_engine::{Seq, durable::FindingStore, history::EventHistory};
use sluice_event::EntityKind;
use sluice_signal::{
    EntityKey, EntityLevel, HistoryRow, Observation, Proof, SigningKeys, StreamStatus, Transmitter,
    oauth::{self, Bearer, Scope},
    policy::{self, Decision, Policy, opa::push::PushState},
    transmitter::{HISTORY_PREFIX, Said, Totals},
};
use sluice_store::{Layout, Memory, Space, Store};
use tokio::sync::watch;

use super::follower::{Follow, end, sleep, spawn};
use crate::{
    clock,
    config::{RuleSignal, Signals as SignalSettings},
    exit::Failure,
};

use access::Access;
pub(crate) use access::AccessError;
pub(super) use alerts::AlertLog;
use config::Build;
pub(crate) use config::DecisionSettings;
pub(crate) use kafka::TopicStats;
pub(crate) use opa::OpaStats;
use said::FollowSaid;
pub(crate) use trust::BearerError;
use trust::Trust;

/// Signals of a node, for the API. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Signals(Arc<Inside>);

struct Inside {
    build: Build,
    trust: Trust,
    access: Option<Access>,
    store: Store,
    space: Space,
    /// Recent events, which prove quarantines, and since when they are kept.
    events: (EventHistory, i64),
    /// Requests denied by a quarantine that are not counted in it yet: how many, and the last.
    denied: Mutex<BTreeMap<EntityKey, (u64, i64)>>,
    /// How Open Policy Agents do, by name.
    opa: Mutex<BTreeMap<String, PushState>>,
    /// How the topic of levels does.
    topic: Mutex<kafka::TopicState>,
    /// `None` after a write that failed, until it is read again.
    transmitter: Mutex<Option<Transmitter>>,
    /// What decisions read, so that they never wait for the disk.
    levels: RwLock<BTreeMap<EntityKey, EntityLevel>>,
    ready: AtomicBool,
    /// Counts changes: polls and pushes wait for the next.
    changed: watch::Sender<u64>,
    pushed: (Mutex<u64>, Condvar),
}

/// Why signals do not answer; the log has the cause.
#[derive(Debug, thiserror::Error)]
#[error("signals do not answer: {0}")]
pub(crate) struct NotReady(String);

/// What signals show of themselves.
pub(crate) struct SignalStats {
    /// SETs and what became of them, since the start of the process.
    pub(crate) totals: Totals,
    /// By receiver: SETs that wait, dead letters, streams that do not flow, seconds that the oldest SET waits.
    pub(crate) receivers: BTreeMap<String, [u64; 4]>,
    /// Level changes that storms hold back.
    pub(crate) held: u64,
    /// By kind: entities that are quarantined.
    pub(crate) quarantined: BTreeMap<EntityKind, u64>,
    /// Open Policy Agents.
    pub(crate) opa: Vec<OpaStats>,
    /// The topic of levels.
    pub(crate) topic: Option<TopicStats>,
}

/// What computed risk says of an entity.
pub(super) type Observed = (EntityKey, Observation);

/// The threads of signals.
pub(super) struct SignalThreads {
    signals: Signals,
    stop: Arc<AtomicBool>,
    threads: Vec<Option<JoinHandle<()>>>,
}

const LAYOUT: Layout<1> = Layout { name: "signals", version: 1, spaces: ["signals"] };
/// Read at start and for history only; everything else is in the transmitter.
const MEMORY: Memory = Memory { cache: 2 << 20, memtable: 4 << 20 };
/// The last change of the store of findings whose levels signals know.
const CURSOR: &[u8] = b"cursor/levels";
/// The last change of it whose findings have said what they say.
const SAID: &[u8] = b"cursor/findings";
/// How often time passes for overrides, holds and waits.
const TICK: Duration = Duration::from_secs(1);

impl Signals {
    /// Opens the store of signals and reads it.
    ///
    /// # Errors
    /// If a secret or key cannot be read, or the store cannot.
    pub(super) fn open(
        settings: &SignalSettings,
        dir: &Path,
        token_key: [u8; 32],
        events: EventHistory,
    ) -> Result<Signals, Failure> {
        let build = Build::new(settings, token_key)?;
        let failed = |error: &dyn std::error::Error| {
            let cause = error.source().map_or(String::new(), |c| format!(": {c}"));
            let hint = format!("{} holds signals that wait for their receivers", dir.display());
            Failure::argument(format!("signals: {error}{cause}"), hint)
        };
        let (store, [space]) = Store::open(dir, &LAYOUT, MEMORY).map_err(|e| failed(&e))?;
        let kept_since = events.kept_since().unwrap_or_else(clock::now);
        let signals = Signals(Arc::new(Inside {
            build,
            trust: Trust::new(settings),
            access: settings.cloudflare_access.as_ref().map(Access::new).transpose()?,
            store,
            space,
            events: (events, kept_since),
            denied: Mutex::default(),
            opa: Mutex::default(),
            topic: Mutex::default(),
            transmitter: Mutex::new(None),
            levels: RwLock::default(),
            ready: AtomicBool::new(false),
            changed: watch::channel(0).0,
            pushed: (Mutex::new(0), Condvar::new()),
        }));
        let first = signals.with(|_, _| ());
        first.map_err(|e| failed(&e))?;
        Ok(signals)
    }

    /// Starts the threads.
    pub(super) fn start(&self) -> SignalThreads {
        let stop = Arc::new(AtomicBool::new(false));
        let timer = spawn("signals", {
            let (signals, stop) = (self.clone(), stop.clone());
            move || {
                while !stop.load(Ordering::Relaxed) {
                    if let Err(error) = signals.pass_time() {
                        tracing::warn!("{error}; tried again in a second");
                    }
                    sleep(TICK, &stop);
                }
            }
        });
        let pusher = push::start(self.clone(), stop.clone());
        let mut threads = vec![timer, pusher];
        threads.push(kafka::start(self.clone(), stop.clone()));
        for name in self.0.build.opa.keys() {
            threads.push(opa::start(self.clone(), name, stop.clone()));
        }
        SignalThreads { signals: self.clone(), stop, threads }
    }

    /// Lets time pass: what has run out ends, quarantines with a proof.
    fn pass_time(&self) -> Result<(), NotReady> {
        let denied = std::mem::take(&mut *lock(&self.0.denied));
        let counted = self.with(|transmitter, _| {
            for (entity, (requests, last)) in &denied {
                transmitter.count_denied(entity, *requests, *last);
            }
        });
        if let Err(error) = counted {
            // They are counted with the next.
            let mut later = lock(&self.0.denied);
            for (entity, (requests, last)) in denied {
                let (sum, newest) = later.entry(entity).or_default();
                (*sum, *newest) = (*sum + requests, last.max(*newest));
            }
            return Err(error);
        }
        let over = self.with(|transmitter, now| {
            let over = transmitter.quarantines();
            let over = over.filter(|(_, q)| q.is_active() && q.until <= now);
            over.map(|(entity, q)| (entity.clone(), q.since)).collect::<Vec<_>>()
        })?;
        for (entity, since) in over {
            let proof = self.proof(&entity, since);
            self.with(|transmitter, now| transmitter.expire_quarantine(&entity, proof, now))?;
        }
        self.with(|transmitter, now| transmitter.tick(now))
    }

    /// What events say of the accesses of an entity since an instant; `None` where they cannot be read,
    /// which the log says. Blocks for a scan of memory.
    pub(crate) fn proof(&self, entity: &EntityKey, since: i64) -> Option<Proof> {
        let (events, started) = &self.0.events;
        let proof = proof::proof(events, entity, since, *started, clock::now());
        proof.inspect_err(|error| tracing::warn!("a quarantine without proof: {error}")).ok()
    }

    /// Does something with the transmitter and makes what it changed durable before it returns. Blocks
    /// for the disk.
    ///
    /// # Errors
    /// If the store does not answer: nothing of it has happened.
    pub(crate) fn with<T>(
        &self,
        work: impl FnOnce(&mut Transmitter, i64) -> T,
    ) -> Result<T, NotReady> {
        self.with_cursor(None, work)
    }

    /// Takes computed levels, and remembers with them, in one batch, up to which change they are known.
    ///
    /// # Errors
    /// As [`Signals::with`].
    pub(super) fn observe(&self, levels: Vec<Observed>, to: Seq) -> Result<(), NotReady> {
        self.with_cursor(Some((CURSOR, to)), |transmitter, now| {
            for (entity, seen) in levels {
                transmitter.observe(&entity, seen, now);
            }
        })
    }

    /// Up to which change of the store of findings levels are known; `None` if no level ever was.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub(super) fn cursor(&self) -> Result<Option<Seq>, NotReady> {
        self.cursor_of(CURSOR)
    }

    /// Says what findings say, and remembers with it, in one batch, up to which change they have.
    ///
    /// # Errors
    /// As [`Signals::with`].
    fn say(&self, said: &[Said], to: Seq) -> Result<(), NotReady> {
        self.with_cursor(Some((SAID, to)), |transmitter, now| {
            said.iter().for_each(|said| transmitter.say(said, now));
        })
    }

    /// Up to which change findings have said what they say; `None` if none ever did.
    fn said_cursor(&self) -> Result<Option<Seq>, NotReady> {
        self.cursor_of(SAID)
    }

    /// Rules whose findings say something, and what.
    fn saying_rules(&self) -> &BTreeMap<String, RuleSignal> {
        &self.0.build.rules
    }

    /// What follows the store for them; `None` where no rule says anything.
    pub(super) fn follow(&self, store: FindingStore) -> Option<impl Follow + use<>> {
        let says = !self.saying_rules().is_empty();
        says.then(|| FollowSaid::new(self.clone(), store))
    }

    fn cursor_of(&self, key: &[u8]) -> Result<Option<Seq>, NotReady> {
        let stored = self.0.store.snapshot().get(&self.0.space, key);
        let Some(bytes) = stored.map_err(|e| not_ready(&e))? else { return Ok(None) };
        let bytes = (*bytes).try_into();
        let bytes = bytes.map_err(|_| NotReady("a cursor of signals is cut off".to_owned()))?;
        Ok(Some(Seq(u64::from_be_bytes(bytes))))
    }

    fn with_cursor<T>(
        &self,
        cursor: Option<(&'static [u8], Seq)>,
        work: impl FnOnce(&mut Transmitter, i64) -> T,
    ) -> Result<T, NotReady> {
        let mut held = lock(&self.0.transmitter);
        let mut transmitter = match held.take() {
            Some(transmitter) => transmitter,
            None => self.load()?,
        };
        let outcome = work(&mut transmitter, clock::now());
        let changed = self.commit(&mut transmitter, cursor);
        if let Err(error) = changed {
            // What is in memory was never written: it must not be shown.
            self.0.ready.store(false, Ordering::Relaxed);
            return Err(error);
        }
        *held = Some(transmitter);
        Ok(outcome)
    }

    /// The level of an entity, from memory.
    pub(crate) fn level(&self, entity: &EntityKey) -> Option<EntityLevel> {
        self.levels().get(entity).cloned()
    }

    /// Decides about a request, from memory; `None` while levels cannot be read.
    pub(crate) fn decide(&self, resource: &str, entities: &[EntityKey]) -> Option<Decision> {
        let levels = self.levels();
        let decision = self.policy().decide(resource, entities, |e| self.judged(&levels, e));
        self.is_ready().then_some(decision)
    }

    /// Levels and policy together, for evaluations; `None` while levels cannot be read.
    pub(crate) fn evaluate<T>(
        &self,
        work: impl FnOnce(&Policy, &BTreeMap<EntityKey, EntityLevel>) -> T,
    ) -> Option<T> {
        let levels = self.levels();
        self.is_ready().then(|| work(self.policy(), &levels))
    }

    /// The level of an entity that a gateway asks about: one that is quarantined is denied by that.
    pub(crate) fn judged<'l>(
        &self,
        levels: &'l BTreeMap<EntityKey, EntityLevel>,
        entity: &EntityKey,
    ) -> Option<&'l EntityLevel> {
        let level = levels.get(entity)?;
        if level.is_quarantined() {
            let mut denied = lock(&self.0.denied);
            let (requests, last) = denied.entry(entity.clone()).or_default();
            (*requests, *last) = (*requests + 1, clock::now());
        }
        Some(level)
    }

    /// What is answered about a resource while levels cannot be read.
    pub(crate) fn not_ready(&self, resource: &str) -> policy::NotReady {
        self.policy().not_ready(resource)
    }

    /// How gateways are answered.
    pub(crate) fn decisions(&self) -> &DecisionSettings {
        &self.0.build.decisions
    }

    /// The issuer, without a `/` at its end.
    pub(crate) fn issuer(&self) -> &str {
        &self.0.build.settings.issuer
    }

    /// A token for a receiver that knows its secret.
    pub(crate) fn issue(&self, client: &str, secret: &str, scopes: &[Scope]) -> Option<String> {
        let right = self.0.build.secrets.get(client)?.reveal();
        oauth::secret_fits(right, secret)
            .then(|| oauth::issue(&self.0.build.token_key, client, right, scopes, clock::now()))
    }

    /// Authorization servers whose access tokens are accepted, beside our own.
    pub(crate) fn trusted(&self) -> impl Iterator<Item = &str> {
        self.0.trust.issuers()
    }

    /// Whether it takes the network to tell whose an access token is.
    pub(crate) fn is_of_others(&self, token: &str) -> bool {
        self.0.trust.concerns(token)
    }

    /// Who shows an access token. Blocks for the network if it is one of another issuer.
    ///
    /// # Errors
    /// If it is not one of ours nor of a trusted issuer, or something else is wrong with it.
    pub(crate) fn bearer(&self, token: &str) -> Result<Bearer, BearerError> {
        if self.is_of_others(token) {
            return self.0.trust.bearer(token);
        }
        let secret = |name: &str| self.0.build.secrets.get(name).map(|s| s.reveal());
        Ok(oauth::check(&self.0.build.token_key, token, secret, clock::now())?)
    }

    /// What signals show of themselves; `None` while they do not answer.
    pub(crate) fn stats(&self) -> Option<SignalStats> {
        let stats = self.with(|transmitter, now| {
            let mut receivers: BTreeMap<String, [u64; 4]> = BTreeMap::new();
            for stream in transmitter.streams() {
                let health = transmitter.health(&stream.id);
                let counts = receivers.entry(stream.receiver.clone()).or_default();
                let [queued, dead, stopped, oldest] = counts;
                let waits = health.oldest_at.map_or(0, |at| (now - at).max(0) / 1_000);
                *oldest = (*oldest).max(waits.unsigned_abs());
                *queued += health.queued as u64;
                *dead += health.dead_letters as u64;
                *stopped += u64::from(stream.status != StreamStatus::Enabled);
            }
            let held = transmitter.storms().iter().map(|(_, _, held)| *held as u64).sum();
            let mut quarantined = BTreeMap::new();
            for (entity, _) in transmitter.quarantines().filter(|(_, q)| q.holds()) {
                *quarantined.entry(entity.kind).or_default() += 1;
            }
            let (opa, topic) = (self.opa(), self.topic(transmitter));
            SignalStats { totals: transmitter.totals(), receivers, held, quarantined, opa, topic }
        });
        stats.ok()
    }

    /// How Open Policy Agents do.
    pub(crate) fn opa(&self) -> Vec<OpaStats> {
        let states = lock(&self.0.opa);
        let of = |(name, endpoint): (&String, &opa::Endpoint)| OpaStats {
            name: name.clone(),
            endpoint: endpoint.shown.clone(),
            state: states.get(name).cloned().unwrap_or_default(),
        };
        self.0.build.opa.iter().map(of).collect()
    }

    /// How the topic of levels does; `None` where none is configured.
    pub(crate) fn topic(&self, transmitter: &Transmitter) -> Option<TopicStats> {
        let topic = self.0.build.topic.clone()?;
        let pending = transmitter.feed_len(kafka::FEED) as u64;
        Some(TopicStats { topic, pending, state: lock(&self.0.topic).clone() })
    }

    /// Changes so far.
    fn change(&self) -> u64 {
        *lock(&self.0.pushed.0)
    }

    /// Waits until there were more changes.
    fn wait_after(&self, seen: u64, most: Duration) {
        let (changes, changed) = &self.0.pushed;
        let guard = lock(changes);
        let waited = changed.wait_timeout_while(guard, most, |count| *count == seen);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// Tells of each change.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.0.changed.subscribe()
    }

    /// What happened, the newest first. Blocks for the disk.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub(crate) fn history(
        &self,
        limit: usize,
        wanted: impl Fn(&HistoryRow) -> bool,
    ) -> Result<Vec<HistoryRow>, NotReady> {
        let snapshot = self.0.store.snapshot();
        let mut rows = Vec::new();
        for row in snapshot.prefix(&self.0.space, HISTORY_PREFIX.as_bytes()).rev() {
            let (_, value) = row.map_err(|e| not_ready(&e))?;
            let row: HistoryRow = serde_json::from_slice(&value).map_err(|e| not_ready(&e))?;
            if wanted(&row) {
                rows.push(row);
            }
            if rows.len() >= limit {
                break;
            }
        }
        Ok(rows)
    }

    fn policy(&self) -> &Policy {
        &self.0.build.decisions.policy
    }

    fn is_ready(&self) -> bool {
        self.0.ready.load(Ordering::Relaxed)
    }

    fn levels(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<EntityKey, EntityLevel>> {
        self.0.levels.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the store.
    fn load(&self) -> Result<Transmitter, NotReady> {
        let Build { settings, profiles, pems, .. } = &self.0.build;
        let keys =
            SigningKeys::from_pems(pems.iter().map(|p| p.reveal())).map_err(|e| not_ready(&e))?;
        let snapshot = self.0.store.snapshot();
        let mut records = Vec::new();
        for row in snapshot.prefix(&self.0.space, b"") {
            let (key, value) = row.map_err(|e| not_ready(&e))?;
            if &*key == CURSOR || &*key == SAID {
                continue;
            }
            records.push((String::from_utf8_lossy(&key).into_owned(), value.to_vec()));
        }
        let transmitter =
            Transmitter::load(settings.clone(), keys, profiles.clone(), records, clock::now())
                .map_err(|e| not_ready(&e))?;
        let mut levels = self.0.levels.write().unwrap_or_else(PoisonError::into_inner);
        *levels = transmitter.entities().map(|(e, l)| (e.clone(), l.clone())).collect();
        self.0.ready.store(true, Ordering::Relaxed);
        Ok(transmitter)
    }

    /// Writes what changed, and shows it.
    fn commit(
        &self,
        transmitter: &mut Transmitter,
        cursor: Option<(&'static [u8], Seq)>,
    ) -> Result<(), NotReady> {
        let changes = transmitter.take_changes();
        if changes.is_empty() && cursor.is_none() {
            return Ok(());
        }
        let mut batch = self.0.store.batch();
        for change in &changes {
            match &change.value {
                Some(value) => batch.put(&self.0.space, change.key.as_bytes(), value),
                None => batch.remove(&self.0.space, change.key.as_bytes()),
            }
        }
        if let Some((key, Seq(cursor))) = cursor {
            batch.put(&self.0.space, key, &cursor.to_be_bytes());
        }
        self.0.store.commit(batch).map_err(|e| not_ready(&e))?;
        let mut levels = self.0.levels.write().unwrap_or_else(PoisonError::into_inner);
        for entity in changes.iter().filter_map(|change| entity(&change.key)) {
            if let Some(level) = transmitter.level(&entity) {
                levels.insert(entity, level.clone());
            }
        }
        drop(levels);
        self.0.changed.send_modify(|count| *count += 1);
        *lock(&self.0.pushed.0) += 1;
        self.0.pushed.1.notify_all();
        Ok(())
    }
}

impl SignalThreads {
    /// Ends them: a push that is under way ends first, at most 10 s.
    pub(super) fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.signals.0.pushed.1.notify_all();
        for thread in self.threads {
            end(&self.stop, thread);
        }
    }
}

/// The entity of a key.
fn entity(key: &str) -> Option<EntityKey> {
    let (kind, id) = key.strip_prefix("entity/")?.split_once('/')?;
    Some(EntityKey { kind: EntityKind::parse(kind)?, id: id.to_owned() })
}

fn not_ready(error: &dyn std::error::Error) -> NotReady {
    let cause = error.source().map_or(String::new(), |c| format!(": {c}"));
    tracing::error!("signals: {error}{cause}");
    NotReady(error.to_string())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
