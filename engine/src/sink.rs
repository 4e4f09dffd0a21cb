//! Where findings go. Not who follows: index, signals and streams read a sink by sequence.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use sluice_finding::{Finding, FindingId, contest::settle, fold};
use sluice_ingest::{DeadLetter, live::Place};

use crate::{Checkpoint, EngineError, Seq};

/// The one writer of findings.
///
/// Guarantees: a commit is kept whole or not at all; findings fold by id, so that committing one
/// again changes nothing; sequences grow by one per change of a finding, so that a follower can stop
/// after any of them. Non-guarantees: that a finding is final (see its state). On failure the pipeline
/// stops: nothing after a failed commit is acknowledged.
pub trait FindingSink: Send {
    /// A run begins from the checkpoint with this epoch; 0 if from none. What the sink holds of later
    /// epochs is left from a run that ended without another checkpoint.
    ///
    /// # Errors
    /// If the sink cannot tell what is left.
    fn resume(&mut self, _epoch: u64) -> Result<(), EngineError> {
        Ok(())
    }

    /// Keeps findings and dead letters; the last change.
    ///
    /// # Errors
    /// If they are not kept.
    fn commit(&mut self, commit: Commit) -> Result<Seq, EngineError>;

    /// Where checkpoints go. They are kept by a thread of their own, so that no commit waits for one.
    /// A sink that nothing resumes from has none, and checkpoints end here.
    fn checkpoints(&mut self) -> Option<Box<dyn CheckpointSink>> {
        None
    }
}

/// Keeps checkpoints.
///
/// Guarantees: a checkpoint is kept whole or not at all, and is durable on return. It is given one
/// only when every finding it covers is committed.
pub trait CheckpointSink: Send {
    /// Replaces the checkpoint before it.
    ///
    /// # Errors
    /// If it is not kept: then the one before still holds.
    fn keep(&mut self, checkpoint: Checkpoint) -> Result<(), EngineError>;
}

/// What is kept at once.
#[derive(Debug, Default)]
pub struct Commit {
    /// New and changed findings.
    pub findings: Vec<Reported>,
    /// Records that became dead letters.
    pub dead_letters: Vec<PlacedDeadLetter>,
    /// Whether, with this commit, every finding reported before the next checkpoint's barrier is kept.
    pub seals_epoch: bool,
}

impl Commit {
    /// Whether there is nothing to keep.
    pub fn is_empty(&self) -> bool {
        self.findings.is_empty() && self.dead_letters.is_empty() && !self.seals_epoch
    }
}

/// A finding as a stage reported it.
#[derive(Clone, Debug, PartialEq)]
pub struct Reported {
    /// The number of the last checkpoint barrier the stage had passed: checkpoints of a greater epoch
    /// cover it. After a crash before such a checkpoint it must be reported again.
    pub epoch: u64,
    /// The finding.
    pub finding: Finding,
}

impl From<Finding> for Reported {
    /// Reported in a run without checkpoints.
    fn from(finding: Finding) -> Self {
        Reported { epoch: 0, finding }
    }
}

/// A dead letter and where it was read. The same record, after a crash, is the same dead letter:
/// (place, offset, line) name it.
#[derive(Clone, Debug)]
pub struct PlacedDeadLetter {
    /// Where it was read; `None` for inputs that end.
    pub place: Option<Place>,
    /// The record.
    pub letter: DeadLetter,
}

/// A sink in memory: `eval`, `demo`, rule tests, the oracle.
#[derive(Debug, Default)]
pub struct MemorySink {
    findings: BTreeMap<FindingId, Finding>,
    checkpoint: Arc<Mutex<Option<Checkpoint>>>,
    seq: u64,
}

impl MemorySink {
    /// Keeps one finding; the version kept if that changed anything.
    pub fn keep(&mut self, finding: Finding) -> Option<&Finding> {
        let finding = settle(self.findings.get(&finding.id), finding);
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
        self.checkpoint.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl FindingSink for MemorySink {
    fn commit(&mut self, commit: Commit) -> Result<Seq, EngineError> {
        for reported in commit.findings {
            self.seq += u64::from(self.keep(reported.finding).is_some());
        }
        Ok(Seq(self.seq))
    }

    fn checkpoints(&mut self) -> Option<Box<dyn CheckpointSink>> {
        Some(Box::new(MemoryCheckpoint(self.checkpoint.clone())))
    }
}

struct MemoryCheckpoint(Arc<Mutex<Option<Checkpoint>>>);

impl CheckpointSink for MemoryCheckpoint {
    fn keep(&mut self, checkpoint: Checkpoint) -> Result<(), EngineError> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(checkpoint);
        Ok(())
    }
}
