//! Findings, triage, dead letters and state on disk, through [`sluice_store`]. Not the index, which
//! follows.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use sluice_finding::{Finding, FindingId, Triage, TriageChange};
use sluice_ingest::{DeadLetter, DeadLetterCode, live::Place};

use crate::{Checkpoint, Commit, EngineError, FindingSink, Seq};

/// The store of one node. Cheap to clone; the directory is locked while any clone lives.
#[derive(Clone, Debug)]
pub struct FindingStore {
    inner: Arc<()>,
}

/// Bounds of what is kept.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Findings and their triage, by event time. 365 days.
    pub finding_age: Duration,
    /// Bytes of findings. 10 GiB.
    pub finding_bytes: u64,
    /// Dead letters, by receive time. 30 days.
    pub dead_letter_age: Duration,
    /// Bytes of dead letters of one (source, code), so that a flood of one kind cannot push out
    /// the others. 64 MiB.
    pub dead_letter_bytes: u64,
}

impl Default for Retention {
    fn default() -> Self {
        let day = Duration::from_secs(24 * 60 * 60);
        Retention {
            finding_age: 365 * day,
            finding_bytes: 10 << 30,
            dead_letter_age: 30 * day,
            dead_letter_bytes: 64 << 20,
        }
    }
}

/// A finding as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// The finding.
    pub finding: Finding,
    /// What people did about it.
    pub triage: Triage,
    /// The commit that last changed either.
    pub seq: Seq,
}

/// A dead letter as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredLetter {
    /// Its id, made of where it was read: 32 hex digits.
    pub id: String,
    /// Where it was read.
    pub place: Place,
    /// The record. Its `partition` means nothing here.
    pub letter: DeadLetter,
    /// How often it was replayed in vain.
    pub attempts: u32,
}

/// Which dead letters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LetterFilter {
    /// Of this mapping source or input.
    pub source: Option<String>,
    /// With this code.
    pub code: Option<DeadLetterCode>,
    /// Received at or after, milliseconds since 1970 UTC.
    pub since: Option<i64>,
}

/// What the store has thrown away, and what it holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Findings held.
    pub findings: u64,
    /// Their bytes.
    pub finding_bytes: u64,
    /// Findings dropped by age, by bytes.
    pub findings_expired: (u64, u64),
    /// Dead letters held by (source, code): how many, their bytes.
    pub dead_letters: BTreeMap<(String, DeadLetterCode), (u64, u64)>,
    /// Dead letters dropped by age, by bytes.
    pub dead_letters_expired: (u64, u64),
    /// Bytes of the whole store on disk.
    pub disk_bytes: u64,
}

/// Why a change of triage was not made.
#[derive(Debug, thiserror::Error)]
pub enum TriageError {
    /// There is no such finding.
    #[error("there is no finding {0}")]
    NotFound(FindingId),
    /// Somebody else was faster: the version is not the expected one.
    #[error("the finding has changed: its version is {0}")]
    Conflict(u64),
    /// The change makes no sense; the text says why.
    #[error("{0}")]
    Invalid(String),
    /// It could not be written.
    #[error(transparent)]
    Store(#[from] EngineError),
}

impl FindingStore {
    /// Opens the store in a directory, which it creates and locks.
    ///
    /// # Errors
    /// If another process has it, or it is damaged.
    pub fn open(dir: &Path, retention: Retention) -> Result<FindingStore, EngineError> {
        let _ = (dir, retention);
        Ok(FindingStore { inner: Arc::new(()) })
    }

    /// The engine's way in. There is one at a time.
    pub fn sink(&self) -> impl FindingSink + use<> {
        let _ = &self.inner;
        Unwritten
    }

    /// What to resume from: the last checkpoint with all state (`full`), if there is one.
    pub fn checkpoint(&self) -> Result<Option<Checkpoint>, EngineError> {
        Ok(None)
    }

    /// Removes state that belongs to none of these operators; the bytes freed.
    pub fn sweep_state(&self, operators: &[u64]) -> Result<u64, EngineError> {
        let _ = operators;
        Ok(0)
    }

    /// A finding.
    pub fn finding(&self, id: FindingId) -> Result<Option<Stored>, EngineError> {
        let _ = id;
        Ok(None)
    }

    /// Findings whose last change is after `seq`, in that order, at most `limit`; and the sequence
    /// to go on from (which may be past the last one returned).
    pub fn after(&self, seq: Seq, limit: usize) -> Result<(Vec<Stored>, Seq), EngineError> {
        let _ = limit;
        Ok((Vec::new(), seq))
    }

    /// Findings removed by retention after `seq`: followers forget them.
    pub fn removed_after(
        &self,
        seq: Seq,
        limit: usize,
    ) -> Result<(Vec<FindingId>, Seq), EngineError> {
        let _ = limit;
        Ok((Vec::new(), seq))
    }

    /// The last commit.
    pub fn last(&self) -> Seq {
        Seq(0)
    }

    /// Waits until there is a commit after `seq`, at most `patience`; the last commit.
    pub fn wait(&self, seq: Seq, patience: Duration) -> Seq {
        let _ = patience;
        seq
    }

    /// Changes the triage of a finding, durably. With `expected`, only if that is its version.
    pub fn triage(
        &self,
        id: FindingId,
        expected: Option<u64>,
        change: TriageChange,
        at: i64,
        by: &str,
    ) -> Result<Stored, TriageError> {
        let _ = (expected, change, at, by);
        Err(TriageError::NotFound(id))
    }

    /// Dead letters, oldest first, after the one with id `after`.
    pub fn dead_letters(
        &self,
        filter: &LetterFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<StoredLetter>, EngineError> {
        let _ = (filter, after, limit);
        Ok(Vec::new())
    }

    /// One dead letter.
    pub fn dead_letter(&self, id: &str) -> Result<Option<StoredLetter>, EngineError> {
        let _ = id;
        Ok(None)
    }

    /// Removes dead letters, durably; how many there were.
    pub fn drop_dead_letters(&self, ids: &[String]) -> Result<u64, EngineError> {
        let _ = ids;
        Ok(0)
    }

    /// A replay was in vain: keeps the letter with its present reason and counts the attempt.
    pub fn failed_again(&self, id: &str, letter: &DeadLetter) -> Result<(), EngineError> {
        let _ = (id, letter);
        Ok(())
    }

    /// Applies retention at a time (milliseconds since 1970 UTC). Called every minute or so.
    pub fn retain(&self, now: i64) -> Result<(), EngineError> {
        let _ = now;
        Ok(())
    }

    /// What it holds and has thrown away.
    pub fn stats(&self) -> StoreStats {
        StoreStats::default()
    }
}

struct Unwritten;

impl FindingSink for Unwritten {
    fn commit(&mut self, _commit: Commit) -> Result<Seq, EngineError> {
        Ok(Seq(0))
    }
}
