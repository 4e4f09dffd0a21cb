//! Followers: threads that bring something up to date with the store, each with a cursor of its own.
//! Detection waits for none of them. Not what is brought up to date: that is a [`Follow`] per file
//! ([`super::search`], [`super::live`]).
//!
//! 1. [`Follow::open`] tells where it goes on.
//! 2. The thread reads the changes after that, a page at a time, and hands each page to
//!    [`Follow::apply`].
//! 3. [`Follow::commit`] keeps what was applied, after [`Follow::commit_every`] or 1,000 changes.
//! 4. After a failure it waits, 0.5 s doubling up to a minute, and begins again with 1.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use sluice_engine::{
    EngineError, Seq,
    durable::{FindingStore, Stored},
};
use sluice_finding::FindingId;

use crate::{clock, exit::engine_error};

/// Something that is kept up to date with the store.
pub(crate) trait Follow: Send + 'static {
    /// Its name in thread names, logs and metrics.
    const NAME: &'static str;
    /// Changes that are read at a time.
    const PAGE: usize;

    /// Opens it, and again after a failure. The answer is the last change that it holds for good: 0 if
    /// it is empty.
    ///
    /// # Errors
    /// Why it cannot, for people. It is tried again.
    fn open(&mut self, store: &FindingStore) -> Result<Seq, String>;

    /// Takes a page of changes: forgets what was removed, then takes what has changed. The same page
    /// twice must be as good as once.
    ///
    /// # Errors
    /// As [`Follow::open`].
    fn apply(&mut self, page: Page) -> Result<(), String>;

    /// Keeps what was applied.
    ///
    /// # Errors
    /// As [`Follow::open`].
    fn commit(&mut self) -> Result<(), String> {
        Ok(())
    }

    /// How long changes may wait for a commit.
    fn commit_every(&self) -> Duration {
        Duration::ZERO
    }
}

/// Changes of the store between two moments.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    /// Findings that changed, in the order of their last change.
    pub(crate) changed: Vec<Stored>,
    /// Findings that retention removed.
    pub(crate) removed: Vec<FindingId>,
    /// The last change that the page covers.
    pub(crate) to: Seq,
}

/// How far a follower is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The last change that is committed.
    pub(crate) at: u64,
    /// Why it does not go on; `None` if it does.
    pub(crate) error: Option<String>,
    /// Failures in a row.
    pub(crate) failures: u32,
    /// Failures since the process started.
    pub(crate) failures_total: u64,
}

/// Reads the progress of a follower; stays readable after it has stopped.
#[derive(Clone, Debug)]
pub(crate) struct ProgressReader {
    /// [`Follow::NAME`].
    pub(crate) name: &'static str,
    progress: Arc<Mutex<Progress>>,
}

/// A running follower.
pub(crate) struct Follower {
    stop: Arc<AtomicBool>,
    progress: ProgressReader,
    thread: Option<JoinHandle<()>>,
}

/// A commit after this many changes at the latest.
const COMMIT_CHANGES: usize = 1_000;
/// How long it waits for a change before it looks whether it is to stop.
const PATIENCE: Duration = Duration::from_millis(250);
/// The first wait after a failure; it doubles up to a minute.
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_MOST: Duration = Duration::from_secs(60);
/// A page that looks damaged is read again so many times,
const LOOKS: u32 = 3;
/// after so long: a commit that was half seen is whole by then.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

impl Follower {
    /// Starts the thread of a follower.
    pub(crate) fn start<F: Follow>(store: FindingStore, follow: F) -> Follower {
        let stop = Arc::new(AtomicBool::new(false));
        let progress = ProgressReader { name: F::NAME, progress: Arc::default() };
        let run = Run { store, follow, stop: stop.clone(), progress: progress.clone() };
        let thread = spawn(F::NAME, move || run.until_stopped());
        Follower { stop, progress, thread }
    }

    /// How far it is.
    pub(crate) fn progress(&self) -> ProgressReader {
        self.progress.clone()
    }

    /// Commits what was applied and ends.
    pub(crate) fn stop(mut self) {
        end(&self.stop, self.thread.take());
    }
}

impl ProgressReader {
    /// How far it is now.
    pub(crate) fn now(&self) -> Progress {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, change: impl FnOnce(&mut Progress)) {
        change(&mut self.progress.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// It goes on, and holds everything up to here.
    fn reached(&self, cursor: Seq) {
        self.set(|p| (p.at, p.error, p.failures) = (cursor.0, None, 0));
    }
}

/// What the thread of a follower holds.
struct Run<F> {
    store: FindingStore,
    follow: F,
    stop: Arc<AtomicBool>,
    progress: ProgressReader,
}

impl<F: Follow> Run<F> {
    fn until_stopped(mut self) {
        let mut wait = RETRY_FIRST;
        while !self.stopping() {
            let before = self.progress.now().at;
            let Err(error) = self.follow() else { return };
            self.progress.set(|p| {
                p.failures += 1;
                p.failures_total += 1;
                p.error = Some(error.clone());
            });
            tracing::warn!("{} stopped, and is tried again in {wait:?}: {error}", F::NAME);
            sleep(wait, &self.stop);
            // One that made progress before it failed starts over with a short wait.
            let progress = self.progress.now().at > before;
            wait = if progress { RETRY_FIRST } else { (wait * 2).min(RETRY_MOST) };
        }
    }

    /// Follows until it is to stop.
    fn follow(&mut self) -> Result<(), String> {
        let mut cursor = self.follow.open(&self.store)?;
        self.progress.reached(cursor);
        let mut pending = 0;
        let mut since = clock::monotonic();
        loop {
            let stopping = self.stopping();
            let page = self.page(cursor)?;
            if pending == 0 {
                since = clock::monotonic();
            }
            let idle = page.to == cursor;
            if !idle {
                cursor = page.to;
                pending += page.changed.len() + page.removed.len();
                self.follow.apply(page)?;
            }
            let due = pending >= COMMIT_CHANGES || since.elapsed() >= self.follow.commit_every();
            if pending > 0 && (due || stopping) {
                self.follow.commit()?;
                pending = 0;
            }
            if pending == 0 {
                self.progress.reached(cursor);
            }
            if stopping {
                return Ok(());
            }
            if idle {
                let patience = match pending {
                    0 => PATIENCE,
                    _ => PATIENCE.min(self.follow.commit_every()),
                };
                self.store.wait(cursor, patience);
            }
        }
    }

    /// The changes after `cursor`. A snapshot of the store is not one moment over all its keyspaces: an
    /// entry that does not fit its finding is read again before it is called damage.
    fn page(&self, cursor: Seq) -> Result<Page, String> {
        confirmed(|| read(&self.store, cursor, F::PAGE), || sleep(LOOK_AGAIN, &self.stop))
            .map_err(|error| engine_error(&error).replace('\n', " "))
    }

    fn stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// Reads again where what is read looks damaged; the error is one that stays.
fn confirmed<T>(
    mut read: impl FnMut() -> Result<T, EngineError>,
    mut wait: impl FnMut(),
) -> Result<T, EngineError> {
    let mut outcome = read();
    for _ in 1..LOOKS {
        match &outcome {
            Err(EngineError::Stored { what, reason }) => {
                tracing::debug!("{what} is read again: {reason}");
            }
            Ok(_) | Err(_) => break,
        }
        wait();
        outcome = read();
    }
    outcome
}

fn read(store: &FindingStore, cursor: Seq, limit: usize) -> Result<Page, EngineError> {
    let (mut changed, to) = store.after(cursor, limit)?;
    let (removed, removed_to) = store.removed_after(cursor, limit)?;
    // A removal must not come after the same finding was made again: changes wait for it.
    let to = to.min(removed_to);
    changed.retain(|stored| stored.seq <= to);
    Ok(Page { changed, removed, to })
}

/// Starts a named thread; one that cannot be started is a line in the log.
pub(super) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Option<JoinHandle<()>> {
    match std::thread::Builder::new().name(format!("sluice-{name}")).spawn(work) {
        Ok(thread) => Some(thread),
        Err(error) => {
            tracing::error!("no thread for {name}: {error}");
            None
        }
    }
}

/// Asks a thread to end and waits for it.
pub(super) fn end(stop: &AtomicBool, thread: Option<JoinHandle<()>>) {
    stop.store(true, Ordering::Relaxed);
    if thread.is_some_and(|t| t.join().is_err()) {
        tracing::error!("a thread panicked");
    }
}

/// Sleeps in small steps, so that a stop is seen.
pub(super) fn sleep(whole: Duration, stop: &AtomicBool) {
    let until = clock::monotonic() + whole;
    while !stop.load(Ordering::Relaxed) {
        let left = until.saturating_duration_since(clock::monotonic());
        if left.is_zero() {
            return;
        }
        std::thread::sleep(left.min(Duration::from_millis(100)));
    }
}

#[cfg(test)]
mod tests;
