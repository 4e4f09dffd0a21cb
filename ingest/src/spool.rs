//! A durable queue on disk for senders that cannot be asked to send again: what is acknowledged has
//! been fsynced, and is read by [`SpoolInput`] like the log of any queue. Not HTTP, not decoding.
//!
//! Segment files, each named by the offset it begins at, hold records one after the other (see
//! `record`). An offset is a byte position over all segments there ever were; it never comes
//! twice. The last segment is never deleted, so the place where writing goes on is never forgotten.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use crossbeam_channel::{Sender, TrySendError, bounded};
use thiserror::Error;

pub use self::{input::SpoolInput, record::SpoolRecord};
use self::{segment::Segment, writer::Batch};

mod input;
mod reader;
mod record;
mod segment;
#[cfg(test)]
mod tests;
mod writer;

/// How large a spool may be, and its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpoolSettings {
    /// Bytes on disk; above that, senders are told to wait. 4 GiB hold an hour of 1 MB a second.
    pub max_bytes: u64,
    /// A segment is closed at this size, and at a quarter of `max_bytes` at most. Space is freed in
    /// whole segments.
    pub segment_bytes: u64,
    /// Bytes that may wait for the disk in memory; above that, senders are told to wait.
    pub queue_bytes: u64,
    /// Offsets begin no lower: the position of the checkpoint, so that a spool whose folder was lost
    /// goes on after what was read of the old one.
    pub start: u64,
    /// Below this many free bytes on its disk senders are told to wait: that is for those who need
    /// it to make room again.
    pub min_free: u64,
}

impl Default for SpoolSettings {
    fn default() -> Self {
        SpoolSettings {
            max_bytes: 4 << 30,
            segment_bytes: 128 << 20,
            queue_bytes: 256 << 20,
            start: 0,
            min_free: 0,
        }
    }
}

/// A locked folder is asked for this often,
const LOCK_TRIES: u32 = 20;
/// with so long between: a second in all.
const LOCK_WAIT: Duration = Duration::from_millis(50);

/// Called once with what became of an append, on the thread that knows it: it must not block.
pub type Done = Box<dyn FnOnce(Result<(), SpoolError>) + Send>;

/// A spool of this process. Dropped, it writes what it was given, answers, and lets go of its folder.
#[derive(Debug)]
pub struct Spool {
    shared: Arc<Shared>,
    queue: Option<Sender<Batch>>,
    writer: Option<thread::JoinHandle<()>>,
    limits: SpoolSettings,
}

/// Why nothing was stored.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SpoolError {
    /// No room until records are processed: try again later.
    #[error("the spool is full: {used} of {max} bytes")]
    Full {
        /// Bytes on disk and on their way there.
        used: u64,
        /// The most there may be.
        max: u64,
    },
    /// The file system has no room: try again later.
    #[error("no space left on the disk of the spool")]
    DiskFull,
    /// The disk does not keep up: try again later.
    #[error("the disk of the spool does not keep up")]
    Busy,
    /// More at once than the spool takes: half of its size, or 1 GiB.
    #[error("{bytes} bytes at once; the spool takes {max}")]
    TooLarge {
        /// What was given.
        bytes: u64,
        /// The most it takes.
        max: u64,
    },
    /// Writing or fsync failed; what this spool says is no longer true, so it says nothing. Start
    /// again once the disk is well.
    #[error("the spool has failed: {0}")]
    Failed(String),
    /// Another process has it open.
    #[error("{}: another process uses this spool", .0.display())]
    Locked(PathBuf),
    /// A file could not be read or made.
    #[error("{}: {detail}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        detail: String,
    },
}

impl SpoolError {
    /// Whether the same records may be stored later: the sender should wait and try again.
    pub fn passes(&self) -> bool {
        matches!(self, SpoolError::Full { .. } | SpoolError::DiskFull | SpoolError::Busy)
    }
}

/// What a spool holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpoolStats {
    /// The first offset that is still there.
    pub first: u64,
    /// One past the last record that is durable.
    pub end: u64,
    /// Bytes on disk.
    pub disk_bytes: u64,
    /// Bytes at the end that were no whole record when it was opened: a write a crash cut short.
    pub torn_bytes: u64,
    /// Times a damaged record was met; the rest of its segment was skipped.
    pub gaps: u64,
}

/// What the handle, the writer and readers share.
#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    /// Held while the spool or an input over it is there: one process only.
    _lock: File,
    state: Mutex<SpoolState>,
    /// Rings when `end` moves, or the spool fails.
    changed: Condvar,
}

#[derive(Debug)]
struct SpoolState {
    /// In order; the last is written to. Never empty.
    segments: Vec<Segment>,
    /// Everything before is durable.
    end: u64,
    /// Bytes given to the writer and not yet durable.
    pending: u64,
    torn_bytes: u64,
    gaps: u64,
    failed: Option<String>,
}

impl Spool {
    /// Opens the spool in `dir`, which is made if need be (mode 0700).
    ///
    /// # Errors
    /// The folder cannot be used, or another process does.
    pub fn open(dir: &Path, settings: SpoolSettings) -> Result<Spool, SpoolError> {
        segment::make_dir(dir)?;
        let lock_path = dir.join("lock");
        let lock = segment::create(&lock_path, false)?;
        // A process that is just ending lets go in a moment.
        let mut tries = 0;
        while let Err(error) = lock.try_lock() {
            match error {
                fs::TryLockError::WouldBlock if tries < LOCK_TRIES => {
                    tries += 1;
                    thread::sleep(LOCK_WAIT);
                }
                fs::TryLockError::WouldBlock => return Err(SpoolError::Locked(dir.to_owned())),
                fs::TryLockError::Error(e) => return Err(io_error(&lock_path, &e)),
            }
        }
        let (segments, torn_bytes) = segment::recover(dir, settings.start)?;
        if torn_bytes > 0 {
            tracing::warn!(dir = %dir.display(), torn_bytes, "the last write was cut short");
        }
        let active = segments.last().copied().unwrap_or_default();
        let file = segment::create(&active.path(dir), true)?;
        let state =
            SpoolState { end: active.end, segments, pending: 0, torn_bytes, gaps: 0, failed: None };
        let shared = Arc::new(Shared {
            dir: dir.to_owned(),
            _lock: lock,
            state: Mutex::new(state),
            changed: Condvar::new(),
        });
        let (queue, batches) = bounded(QUEUE_BATCHES);
        let limits = SpoolSettings {
            segment_bytes: settings.segment_bytes.min(settings.max_bytes / 4),
            ..settings
        };
        let writer = writer::SpoolWriter::new(shared.clone(), file, active, limits.segment_bytes);
        let writer = thread::Builder::new()
            .name("spool".into())
            .spawn(move || writer.run(&batches))
            .map_err(|e| io_error(dir, &e))?;
        Ok(Spool { shared, queue: Some(queue), writer: Some(writer), limits })
    }

    /// Stores records, all or none, and calls `done` after their fsync, or at once where there is no
    /// room. Records of one call follow each other; nothing is stored of an empty one.
    pub fn append(&self, records: &[SpoolRecord], done: Done) {
        match self.reserve(records) {
            Err(error) => done(Err(error)),
            Ok(bytes) => {
                let batch = Batch { bytes: record::encode_all(records, bytes), done };
                // `queue` is there until the spool is dropped.
                let Some(queue) = &self.queue else { return };
                let (batch, error) = match queue.try_send(batch) {
                    Ok(()) => return,
                    Err(TrySendError::Full(batch)) => (batch, SpoolError::Busy),
                    Err(TrySendError::Disconnected(batch)) => {
                        (batch, SpoolError::Failed("its thread has ended".into()))
                    }
                };
                self.shared.lock().pending -= bytes;
                (batch.done)(Err(error));
            }
        }
    }

    /// What it holds.
    pub fn stats(&self) -> SpoolStats {
        self.shared.stats()
    }

    /// Makes room for records, or says why there is none. Gives their length on disk.
    fn reserve(&self, records: &[SpoolRecord]) -> Result<u64, SpoolError> {
        let bytes: u64 = records.iter().map(SpoolRecord::encoded_bytes).sum();
        let max = (self.limits.max_bytes / 2).min(u64::from(record::BYTES_MAX));
        if bytes > max {
            return Err(SpoolError::TooLarge { bytes, max });
        }
        let mut state = self.shared.lock();
        if let Some(failed) = &state.failed {
            return Err(SpoolError::Failed(failed.clone()));
        }
        let used = state.disk_bytes() + state.pending;
        if used + bytes > self.limits.max_bytes {
            return Err(SpoolError::Full { used, max: self.limits.max_bytes });
        }
        if state.pending > 0 && state.pending + bytes > self.limits.queue_bytes {
            return Err(SpoolError::Busy);
        }
        if self.limits.min_free > 0 && free_bytes(&self.shared.dir)? < self.limits.min_free + bytes
        {
            return Err(SpoolError::DiskFull);
        }
        state.pending += bytes;
        Ok(bytes)
    }
}

/// Requests that may wait for the disk.
const QUEUE_BATCHES: usize = 1024;

impl Drop for Spool {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has answered nobody; there is nobody to tell here.
            _ = writer.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, SpoolState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stats(&self) -> SpoolStats {
        let state = self.lock();
        SpoolStats {
            first: state.segments.first().map_or(state.end, |s| s.first),
            end: state.end,
            disk_bytes: state.disk_bytes(),
            torn_bytes: state.torn_bytes,
            gaps: state.gaps,
        }
    }

    /// Waits until there is something after `at`, at most `time`. Whether there is.
    fn wait(&self, at: u64, time: Duration) -> bool {
        let state = self.lock();
        let (state, _) = self
            .changed
            .wait_timeout_while(state, time, |s| s.end <= at && s.failed.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        state.end > at
    }

    /// Deletes segments wholly below an offset, but never the one that is written to.
    fn free(&self, below: u64) {
        let freed: Vec<Segment> = {
            let mut state = self.lock();
            let keep = state.segments.len() - 1;
            let n = state.segments.iter().take(keep).take_while(|s| s.end <= below).count();
            state.segments.drain(..n).collect()
        };
        for segment in freed {
            let path = segment.path(&self.dir);
            if let Err(e) = fs::remove_file(&path) {
                tracing::warn!(path = %path.display(), error = %e, "a read segment stays");
            }
        }
    }

    fn fail(&self, why: &str) {
        tracing::error!(dir = %self.dir.display(), error = why, "the spool has failed");
        self.lock().failed.get_or_insert_with(|| why.to_owned());
        self.changed.notify_all();
    }
}

impl SpoolState {
    fn disk_bytes(&self) -> u64 {
        self.segments.iter().map(|s| s.end - s.first).sum()
    }
}

/// Bytes free for this user on the disk of a folder.
fn free_bytes(dir: &Path) -> Result<u64, SpoolError> {
    let stat = rustix::fs::statvfs(dir).map_err(|e| io_error(dir, &e.into()))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

fn io_error(path: &Path, error: &io::Error) -> SpoolError {
    SpoolError::Io { path: path.to_owned(), detail: error.to_string() }
}
