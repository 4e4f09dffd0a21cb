//! Webhooks in a running node: their state machine, its store, the follower that feeds it and a thread
//! for each endpoint. Not what is sent to whom (see `sluice_signal::webhook`), and not HTTP (see
//! `http::webhooks`).
//!
//! Like signals they have a store of their own, and each operation is one synced batch of it before
//! anybody sees its effect. The place in the store of findings is in the batch of what was made of it, so
//! that a crash neither loses a message nor makes one twice.

mod config;
mod follow;
mod judged;
mod notices;
mod send;

use std::{
    collections::BTreeMap,
    ops::Bound,
    path::Path,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use sluice_engine::{Seq, durable::FindingStore};
use sluice_finding::FindingId;
use sluice_signal::{
    LoadError,
    webhook::{NOTIFIED_PREFIX, Notice, TargetHealth, WebhookTotals, Webhooks as Machine},
};
use sluice_store::{Layout, Memory, Snapshot, Space, Store};

use super::follower::{Follow, end};
use crate::{clock, config::Webhook, exit::Failure};

use config::Endpoint;
use follow::FollowFindings;
use judged::Judged;
pub(crate) use judged::Judging;

/// Webhooks of a node. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Webhooks(Arc<Inside>);

struct Inside {
    endpoints: BTreeMap<String, Endpoint>,
    store: Store,
    space: Space,
    /// `None` after a write that failed, until it is read again.
    machine: Mutex<Option<Machine>>,
    judged: Judged,
    changes: (Mutex<u64>, Condvar),
}

/// Why webhooks do not answer; the log has the cause.
#[derive(Debug, thiserror::Error)]
#[error("webhooks do not answer: {0}")]
pub(crate) struct Unavailable(String);

/// What webhooks show of themselves.
pub(crate) struct WebhookStats {
    /// Messages and what became of them, since the start of the process.
    pub(crate) totals: WebhookTotals,
    /// By name.
    pub(crate) targets: BTreeMap<String, TargetHealth>,
}

/// The threads that post.
pub(super) struct WebhookThreads {
    webhooks: Webhooks,
    stop: Arc<AtomicBool>,
    threads: Vec<Option<JoinHandle<()>>>,
}

/// How far the store of findings is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cursor {
    findings: Seq,
    levels: Seq,
}

const LAYOUT: Layout<1> = Layout { name: "webhooks", version: 1, spaces: ["webhooks"] };
/// Read at start, and for what targets were notified of.
const MEMORY: Memory = Memory { cache: 2 << 20, memtable: 4 << 20 };
const CURSOR: &[u8] = b"cursor";
/// What is read at start: not the cursor, and not the notification keys, which are read one by one.
const LOADED: [&str; 3] = ["dead/", "disabled/", "message/"];

impl Webhooks {
    /// Opens the store of webhooks and reads it.
    ///
    /// # Errors
    /// If a secret cannot be read, or the store cannot.
    pub(super) fn open(
        settings: &BTreeMap<String, Webhook>,
        dir: &Path,
    ) -> Result<Webhooks, Failure> {
        let endpoints = settings
            .iter()
            .map(|(name, webhook)| Ok((name.clone(), Endpoint::new(name, webhook)?)))
            .collect::<Result<_, Failure>>()?;
        let failed = |error: &dyn std::error::Error| {
            let cause = error.source().map_or(String::new(), |c| format!(": {c}"));
            let hint = format!("{} holds messages that wait for their endpoints", dir.display());
            Failure::argument(format!("webhooks: {error}{cause}"), hint)
        };
        let (store, [space]) = Store::open(dir, &LAYOUT, MEMORY).map_err(|e| failed(&e))?;
        let webhooks = Webhooks(Arc::new(Inside {
            endpoints,
            store,
            space,
            machine: Mutex::new(None),
            judged: Judged::default(),
            changes: (Mutex::new(0), Condvar::new()),
        }));
        webhooks.with(|_, _| ()).map_err(|e| failed(&e))?;
        Ok(webhooks)
    }

    /// Starts a thread for each endpoint.
    pub(super) fn start(&self) -> WebhookThreads {
        let stop = Arc::new(AtomicBool::new(false));
        let names = self.0.endpoints.keys();
        let threads = names.map(|name| send::start(self.clone(), name, stop.clone())).collect();
        WebhookThreads { webhooks: self.clone(), stop, threads }
    }

    /// What follows the store of findings for them.
    pub(super) fn follow(&self, store: FindingStore) -> impl Follow + use<> {
        FollowFindings::new(self.clone(), store)
    }

    /// To be held while an incident is changed: its end is told then.
    pub(crate) fn judging(&self, id: FindingId) -> Judging {
        self.0.judged.begin(id)
    }

    /// Does something with the state machine and makes what it changed durable before it returns. Blocks
    /// for the disk.
    ///
    /// # Errors
    /// If the store does not answer: nothing of it has happened.
    pub(crate) fn with<T>(
        &self,
        work: impl FnOnce(&mut Machine, i64) -> T,
    ) -> Result<T, Unavailable> {
        self.with_cursor(|machine, now| Ok(work(machine, now)), |_| None)
    }

    /// Queues notices for the endpoints that want them and did not get them yet, and records with them,
    /// in one batch, up to where the store is followed. Without anything new the place is remembered
    /// only if `keep` is set.
    fn offer(
        &self,
        notices: &[Notice],
        forgotten: &[String],
        cursor: Cursor,
        keep: bool,
    ) -> Result<(), Unavailable> {
        let snapshot = self.0.store.snapshot();
        let work = |machine: &mut Machine, now| {
            for subject in forgotten {
                machine.forget(subject);
            }
            for notice in notices {
                let mut failed = None;
                let notified = |key: &str| match snapshot.get(&self.0.space, key.as_bytes()) {
                    Ok(value) => value.is_some(),
                    Err(error) => {
                        failed = Some(error);
                        true
                    }
                };
                machine.offer(notice, notified, now);
                if let Some(error) = failed {
                    return Err(unavailable(&error));
                }
            }
            Ok(())
        };
        self.with_cursor(work, |changed| (changed || keep).then_some(cursor))
    }

    /// Up to where the store of findings is followed; `None` before the first time.
    fn cursor(&self) -> Result<Option<Cursor>, Unavailable> {
        let stored = self.0.store.snapshot().get(&self.0.space, CURSOR);
        let Some(bytes) = stored.map_err(|e| unavailable(&e))? else { return Ok(None) };
        let number = |part: &[u8]| Some(Seq(u64::from_be_bytes(part.try_into().ok()?)));
        let cursor = bytes.split_at_checked(8).and_then(|(findings, levels)| {
            Some(Cursor { findings: number(findings)?, levels: number(levels)? })
        });
        match cursor {
            Some(cursor) => Ok(Some(cursor)),
            None => Err(Unavailable("the record of their place is cut off".to_owned())),
        }
    }

    /// What webhooks show of themselves; `None` while they do not answer.
    pub(crate) fn stats(&self) -> Option<WebhookStats> {
        let stats = self.with(|machine, _| {
            let names: Vec<String> = machine.targets().map(|t| t.name.clone()).collect();
            let health = |name: String| Some((name.clone(), machine.health(&name)?));
            WebhookStats {
                totals: machine.totals(),
                targets: names.into_iter().filter_map(health).collect(),
            }
        });
        stats.ok()
    }

    /// Where an endpoint is, as far as it may be shown: scheme and host.
    pub(crate) fn shown(&self, name: &str) -> &str {
        self.0.endpoints.get(name).map_or("", |endpoint| &endpoint.shown)
    }

    fn with_cursor<T>(
        &self,
        work: impl FnOnce(&mut Machine, i64) -> Result<T, Unavailable>,
        cursor: impl FnOnce(bool) -> Option<Cursor>,
    ) -> Result<T, Unavailable> {
        let mut held = self.machine();
        let mut machine = match held.take() {
            Some(machine) => machine,
            None => self.load()?,
        };
        // What is in memory and was never written is given up on the way out.
        let outcome = work(&mut machine, clock::now())?;
        self.commit(&mut machine, cursor)?;
        *held = Some(machine);
        Ok(outcome)
    }

    fn load(&self) -> Result<Machine, Unavailable> {
        let targets = self.0.endpoints.values().map(|e| e.target.clone()).collect();
        let snapshot = self.0.store.snapshot();
        let mut records = Vec::new();
        for prefix in LOADED {
            records.extend(self.records(&snapshot, prefix)?);
        }
        for target in self.notified_targets(&snapshot)? {
            if !self.0.endpoints.contains_key(&target) {
                records.extend(self.records(&snapshot, &format!("{NOTIFIED_PREFIX}{target}/"))?);
            }
        }
        Machine::load(targets, records).map_err(|e: LoadError| unavailable(&e))
    }

    /// Endpoints that have notification keys: one seek for each.
    fn notified_targets(&self, snapshot: &Snapshot) -> Result<Vec<String>, Unavailable> {
        let mut targets = Vec::new();
        let mut from = NOTIFIED_PREFIX.to_owned();
        loop {
            let rows = Bound::Included(from.as_bytes());
            let mut rows = snapshot.range(&self.0.space, rows, Bound::Unbounded);
            let Some(row) = rows.next() else { return Ok(targets) };
            let (key, _) = row.map_err(|e| unavailable(&e))?;
            let key = String::from_utf8_lossy(&key).into_owned();
            let rest = key.strip_prefix(NOTIFIED_PREFIX).and_then(|rest| rest.split_once('/'));
            let Some((target, _)) = rest else { return Ok(targets) };
            // `0` follows `/`.
            from = format!("{NOTIFIED_PREFIX}{target}0");
            targets.push(target.to_owned());
        }
    }

    fn records(
        &self,
        snapshot: &Snapshot,
        prefix: &str,
    ) -> Result<Vec<(String, Vec<u8>)>, Unavailable> {
        let rows = snapshot.prefix(&self.0.space, prefix.as_bytes());
        rows.map(|row| {
            let (key, value) = row.map_err(|e| unavailable(&e))?;
            Ok((String::from_utf8_lossy(&key).into_owned(), value.to_vec()))
        })
        .collect()
    }

    fn commit(
        &self,
        machine: &mut Machine,
        cursor: impl FnOnce(bool) -> Option<Cursor>,
    ) -> Result<(), Unavailable> {
        let changes = machine.take_changes();
        let cursor = cursor(!changes.is_empty());
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
        if let Some(Cursor { findings, levels }) = cursor {
            let place = [findings.0.to_be_bytes(), levels.0.to_be_bytes()].concat();
            batch.put(&self.0.space, CURSOR, &place);
        }
        self.0.store.commit(batch).map_err(|e| unavailable(&e))?;
        *lock(&self.0.changes.0) += 1;
        self.0.changes.1.notify_all();
        Ok(())
    }

    fn machine(&self) -> MutexGuard<'_, Option<Machine>> {
        lock(&self.0.machine)
    }

    /// Waits for a change.
    fn wait(&self, most: Duration) {
        let guard = lock(&self.0.changes.0);
        drop(self.0.changes.1.wait_timeout(guard, most).unwrap_or_else(PoisonError::into_inner));
    }
}

impl WebhookThreads {
    /// Ends them: a post that is under way ends first, at most 10 s.
    pub(super) fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.webhooks.0.changes.1.notify_all();
        for thread in self.threads {
            end(&self.stop, thread);
        }
    }
}

fn unavailable(error: &dyn std::error::Error) -> Unavailable {
    let cause = error.source().map_or(String::new(), |c| format!(": {c}"));
    tracing::error!("webhooks: {error}{cause}");
    Unavailable(error.to_string())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
