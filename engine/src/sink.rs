//! Where findings go. Not who follows: index, signals and streams read a sink by sequence.

use std::collections::BTreeMap;

use sluice_finding::{Finding, FindingId, fold};
use sluice_ingest::{DeadLetter, live::Place};

use crate::{Checkpoint, EngineError};

/// The one writer of findings.
///
/// Guarantees: a commit is kept whole or not at all; findings fold by id, so that committing one
/// again changes nothing; sequences grow by one per change of a finding, so that a follower can stop
/// after any of them. Non-guarantees: that a finding is final (see its state), or that a checkpoint
/// comes with every commit. On failure the pipeline stops:
/// nothing after a failed commit is acknowledged.
pub trait FindingSink: Send {
    /// Keeps findings and, with some commits, the place to resume from; the last change.
    fn commit(&mut self, commit: Commit) -> Result<Seq, EngineError>;
}

/// What is kept at once.
#[derive(Debug, Default)]
pub struct Commit {
    /// New and changed findings.
    pub findings: Vec<Finding>,
    /// Records set aside.
    pub dead_letters: Vec<PlacedDeadLetter>,
    /// State of all shards and positions of all partitions, aligned at a batch boundary. Every
    /// finding of rows at or below its positions is in this or an earlier commit.
    pub checkpoint: Option<Checkpoint>,
}

/// A record set aside and where it was read. The same record set aside again, after a crash, is the
/// same: (place, offset, line) name it.
#[derive(Clone, Debug)]
pub struct PlacedDeadLetter {
    /// Where it was read; `None` for inputs that end.
    pub place: Option<Place>,
    /// The record.
    pub letter: DeadLetter,
}

/// The number of a change of a finding, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

/// A sink in memory: `eval`, `demo`, rule tests, the oracle.
#[derive(Debug, Default)]
pub struct MemorySink {
    findings: BTreeMap<FindingId, Finding>,
    checkpoint: Option<Checkpoint>,
    seq: u64,
}

impl MemorySink {
    /// Keeps one finding; the version kept if that changed anything.
    pub fn keep(&mut self, finding: Finding) -> Option<&Finding> {
        let kept = fold(self.findings.get(&finding.id), finding)?;
        let id = kept.id;
        self.findings.insert(id, kept);
        self.findings.get(&id)
    }

    /// Every finding known, by id, withdrawn ones included.
    pub fn findings(&self) -> &BTreeMap<FindingId, Finding> {
        &self.findings
    }

    /// The last checkpoint.
    pub fn take_checkpoint(&mut self) -> Option<Checkpoint> {
        self.checkpoint.take()
    }
}

impl FindingSink for MemorySink {
    fn commit(&mut self, commit: Commit) -> Result<Seq, EngineError> {
        for finding in commit.findings {
            self.seq += u64::from(self.keep(finding).is_some());
        }
        if commit.checkpoint.is_some() {
            self.checkpoint = commit.checkpoint;
        }
        Ok(Seq(self.seq))
    }
}
