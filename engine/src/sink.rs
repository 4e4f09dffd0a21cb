//! Where findings go. Not who follows: index, signals and streams read a sink by sequence.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use sluice_finding::{Finding, FindingId, FindingState, contest::settle, fold};
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

    /// What is kept as rules over findings read it: asked once before a run whose rules do. A sink that
    /// has none cannot be given such rules.
    fn feed(&mut self) -> Option<Box<dyn FindingFeed>>;

    /// Where checkpoints go. They are kept by a thread of their own, so that no commit waits for one.
    /// A sink that nothing resumes from has none, and checkpoints end here.
    fn checkpoints(&mut self) -> Option<Box<dyn CheckpointSink>> {
        None
    }
}

/// Findings that nothing can change any more, in the order of their last change.
///
/// Guarantees: each is given at least once, and again if something else about it changes.
pub trait FindingFeed: Send {
    /// Those after a sequence, at most so many; and the sequence to go on from.
    ///
    /// # Errors
    /// If they cannot be read.
    fn after(&mut self, seq: Seq, limit: usize) -> Result<(Vec<Finding>, Seq), EngineError>;
}

/// A feed in memory, for sinks that keep no order of their own. Cheap to clone; clones share it.
#[derive(Clone, Debug, Default)]
pub struct FindingLog(Arc<Mutex<Log>>);

#[derive(Debug, Default)]
struct Log {
    confirmed: BTreeMap<u64, Finding>,
    /// The last change, of whatever it was.
    last: u64,
}

impl FindingLog {
    /// Adds a finding as the change of this number; only a confirmed one is given out.
    pub fn push(&self, seq: Seq, finding: &Finding) {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        log.last = log.last.max(seq.0);
        if finding.state == FindingState::Confirmed {
            log.confirmed.insert(seq.0, finding.clone());
        }
    }
}

impl FindingFeed for FindingLog {
    fn after(&mut self, seq: Seq, limit: usize) -> Result<(Vec<Finding>, Seq), EngineError> {
        let log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut at = seq.0;
        let mut findings = Vec::new();
        for (number, finding) in log.confirmed.range(seq.0.saturating_add(1)..).take(limit) {
            at = *number;
            findings.push(finding.clone());
        }
        if findings.len() < limit {
            at = at.max(log.last);
        }
        Ok((findings, Seq(at)))
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

#[cfg(test)]
impl PlacedDeadLetter {
    /// What an input gives that nothing can read.
    pub(crate) fn unreadable(input: &str) -> Self {
        let letter = DeadLetter {
            code: sluice_ingest::DeadLetterCode::BadJson,
            message: String::new(),
            source: "okta".into(),
            mapping: None,
            partition: sluice_event::PartitionId(0),
            line: 0,
            offset: 0,
            received_at: 0,
            envelope: None,
            original: sluice_ingest::Original::Whole(Vec::new()),
        };
        PlacedDeadLetter { place: Some(Place { input: input.into(), part: "".into() }), letter }
    }
}

/// A sink in memory: `eval`, `demo`, rule tests, the oracle.
#[derive(Debug, Default)]
pub struct MemorySink {
    findings: BTreeMap<FindingId, Finding>,
    checkpoint: Arc<Mutex<Option<Checkpoint>>>,
    seq: u64,
    /// For rules over findings, if there are any.
    log: Option<FindingLog>,
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
            let log = self.log.clone();
            let Some(kept) = self.keep(reported.finding) else { continue };
            let kept = log.map(|log| (log, kept.clone()));
            self.seq += 1;
            if let Some((log, kept)) = kept {
                log.push(Seq(self.seq), &kept);
            }
        }
        Ok(Seq(self.seq))
    }

    fn feed(&mut self) -> Option<Box<dyn FindingFeed>> {
        Some(Box::new(self.log.get_or_insert_default().clone()))
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
