//! What is kept as its readers see it, and the bounds of it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use sluice_finding::{Finding, FindingId, Repeats, Triage, TriageRefused};
use sluice_ingest::{DeadLetter, DeadLetterCode, live::Place};

use crate::{EngineError, Seq};

/// Bounds of what is kept.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Findings and their triage, by event time. 365 days.
    pub finding_age: Duration,
    /// Bytes of findings. 10 GiB.
    pub finding_bytes: u64,
    /// Findings of one rule in one minute of event time; of more, one finding reports how many there
    /// are and whom they are about. 1,000.
    pub findings_per_minute: u64,
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
            findings_per_minute: 1_000,
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
    /// What suppression made of it.
    pub repeats: Repeats,
    /// The change that last touched either.
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
    /// Findings that were not kept because their rule had too many in a minute, by rule, since the
    /// store was opened.
    pub findings_capped: BTreeMap<Arc<str>, u64>,
    /// Dead letters held by (source, code): how many, their bytes.
    pub dead_letters: BTreeMap<(String, DeadLetterCode), (u64, u64)>,
    /// Dead letters dropped by age, by bytes.
    pub dead_letters_expired: (u64, u64),
    /// Findings made of records that claim the id of another record and say something else, by
    /// mapping source, since the store was opened.
    pub contested: BTreeMap<String, u64>,
    /// Bytes of the whole store on disk.
    pub disk_bytes: u64,
}

/// Why a change of triage was not made.
#[derive(Debug, thiserror::Error)]
pub enum TriageError {
    /// There is no such finding.
    #[error("there is no finding {0}")]
    NotFound(FindingId),
    /// Another change was faster: the version is not the expected one.
    #[error("the finding has changed: its version is {0}")]
    Conflict(u64),
    /// The change makes no sense, or there is no room for it.
    #[error(transparent)]
    Refused(#[from] TriageRefused),
    /// It could not be written.
    #[error(transparent)]
    Store(#[from] EngineError),
}
