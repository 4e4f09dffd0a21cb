//! What follows the store on threads of its own: the search index, and the clock of retention.
//! Detection waits for neither.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use sluice_engine::{
    EngineError, Seq,
    durable::{FindingStore, Stored},
};
use sluice_finding::FindingId;

use super::clock;
use crate::cli::errors;

/// An index that is brought up to date. It may be emptied between runs: it begins again at 0.
pub(super) trait Index: Send {
    /// The last commit of the store that is in it for good.
    fn cursor(&self) -> Seq;

    /// Forgets removed findings, then takes changed ones, up to a commit of the store. Twice is as
    /// good as once.
    ///
    /// # Errors
    /// Why it cannot, for people. It is opened anew and asked again from its cursor.
    fn apply(
        &mut self,
        changed: &[Stored],
        removed: &[FindingId],
        cursor: Seq,
    ) -> Result<(), String>;

    /// Makes what was applied searchable and keeps it.
    ///
    /// # Errors
    /// As [`Index::apply`].
    fn commit(&mut self) -> Result<(), String>;
}

/// Opens an index; called again after each failure.
pub(super) type OpenIndex = Box<dyn FnMut() -> Result<Box<dyn Index>, String> + Send>;

/// Changes read at a time.
const BATCH: usize = 500;
/// A commit after this many changes,
const COMMIT_CHANGES: usize = 1_000;
/// or this long after the first of them.
const COMMIT_EVERY: Duration = Duration::from_secs(1);
/// How long it waits for a commit of the store before it looks whether it is to stop.
const PATIENCE: Duration = Duration::from_millis(250);
/// The first wait after a failure; it doubles up to a minute.
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_MOST: Duration = Duration::from_secs(60);

/// How far the index is.
#[derive(Debug, Default)]
pub(crate) struct Health(Mutex<HealthNow>);

/// How far the index is, now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HealthNow {
    /// The last commit that is searchable.
    pub(crate) at: u64,
    /// Why it does not go on; empty if it does.
    pub(crate) error: String,
    /// Failures in a row.
    pub(crate) failures: u32,
}

impl Health {
    /// How far it is now.
    pub(crate) fn now(&self) -> HealthNow {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// It goes on, and everything up to here is searchable.
    fn at(&self, cursor: Seq) {
        self.set(|now| *now = HealthNow { at: cursor.0, ..HealthNow::default() });
    }

    fn set(&self, change: impl FnOnce(&mut HealthNow)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// The thread that brings an index up to date.
pub(super) struct Follower {
    stop: Arc<AtomicBool>,
    health: Arc<Health>,
    thread: Option<JoinHandle<()>>,
}

impl Follower {
    /// Begins to follow.
    pub(super) fn start(store: FindingStore, mut open: OpenIndex) -> Follower {
        let (stop, health) = (Arc::new(AtomicBool::new(false)), Arc::new(Health::default()));
        let thread = spawn("index", {
            let (stop, health) = (stop.clone(), health.clone());
            move || {
                let mut wait = RETRY_FIRST;
                while !stop.load(Ordering::Relaxed) {
                    let before = health.now().at;
                    let Err(error) = follow(&store, &mut open, &stop, &health) else { return };
                    health.set(|h| {
                        h.failures += 1;
                        h.error.clone_from(&error);
                    });
                    tracing::warn!(
                        "the search index stopped, and is tried again in {wait:?}: {error}"
                    );
                    sleep(wait, &stop);
                    // What made progress before it failed starts over with a short wait.
                    let progress = health.now().at > before;
                    wait = if progress { RETRY_FIRST } else { (wait * 2).min(RETRY_MOST) };
                }
            }
        });
        Follower { stop, health, thread }
    }

    /// How far it is; stays readable after it has stopped.
    pub(super) fn health(&self) -> Arc<Health> {
        self.health.clone()
    }

    /// Commits what was applied and ends.
    pub(super) fn stop(mut self) {
        end(&self.stop, self.thread.take());
    }
}

/// Follows until it is told to stop.
///
/// # Errors
/// Why the index or the store does not go on.
fn follow(
    store: &FindingStore,
    open: &mut OpenIndex,
    stop: &AtomicBool,
    health: &Health,
) -> Result<(), String> {
    let mut index = open()?;
    let mut cursor = index.cursor();
    health.at(cursor);
    let mut pending = 0;
    let mut since = now();
    loop {
        let stopping = stop.load(Ordering::Relaxed);
        let (mut changed, to) = store.after(cursor, BATCH).map_err(said)?;
        let (removed, removed_to) = store.removed_after(cursor, BATCH).map_err(said)?;
        // A removal must not come after the same finding was made again: changes wait for it.
        let next = to.min(removed_to);
        changed.retain(|stored| stored.seq <= next);
        if pending == 0 {
            since = now();
        }
        if next > cursor {
            index.apply(&changed, &removed, next)?;
            pending += changed.len() + removed.len();
        }
        let idle = next == cursor;
        cursor = next;
        let due = pending >= COMMIT_CHANGES || since.elapsed() >= COMMIT_EVERY || stopping;
        if pending > 0 && due {
            index.commit()?;
            pending = 0;
        }
        if pending == 0 {
            health.at(cursor);
        }
        if stopping {
            return Ok(());
        }
        if idle {
            store.wait(cursor, PATIENCE);
        }
    }
}

fn said(error: EngineError) -> String {
    errors::engine(&error).replace('\n', " ")
}

/// The thread that applies retention each minute.
pub(super) struct Retainer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

const RETAIN_EVERY: Duration = Duration::from_secs(60);

impl Retainer {
    /// Begins.
    pub(super) fn start(store: FindingStore) -> Retainer {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = spawn("retention", {
            let stop = stop.clone();
            move || {
                while !stop.load(Ordering::Relaxed) {
                    if let Err(error) = store.retain(clock()) {
                        tracing::warn!("retention is tried again in a minute: {}", said(error));
                    }
                    sleep(RETAIN_EVERY, &stop);
                }
            }
        });
        Retainer { stop, thread }
    }

    /// Ends.
    pub(super) fn stop(mut self) {
        end(&self.stop, self.thread.take());
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Option<JoinHandle<()>> {
    match std::thread::Builder::new().name(format!("sluice-{name}")).spawn(work) {
        Ok(thread) => Some(thread),
        Err(error) => {
            tracing::error!("no thread for {name}: {error}");
            None
        }
    }
}

fn end(stop: &AtomicBool, thread: Option<JoinHandle<()>>) {
    stop.store(true, Ordering::Relaxed);
    if thread.is_some_and(|t| t.join().is_err()) {
        tracing::error!("a thread panicked");
    }
}

/// Sleeps in small steps, so that a stop is seen.
fn sleep(whole: Duration, stop: &AtomicBool) {
    let until = now() + whole;
    while !stop.load(Ordering::Relaxed) {
        let left = until.saturating_duration_since(now());
        if left.is_zero() {
            return;
        }
        std::thread::sleep(left.min(Duration::from_millis(100)));
    }
}

#[expect(clippy::disallowed_methods, reason = "how long to wait; decides nothing about findings")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests;
