//! The engine's way into the store. Not what a commit does to a finding (see [`super::findings`]).

use std::{collections::BTreeSet, sync::Arc};

use sluice_finding::{Finding, FindingId};

use super::{Inner, txn::SpaceUse};
use crate::{CheckpointSink, Commit, EngineError, FindingFeed, FindingSink, Seq};

/// The engine's commits, on disk. Each is one atomic batch and one sync.
pub(super) struct DurableSink {
    inner: Arc<Inner>,
    /// Findings that no checkpoint covers and that this run has not reported yet.
    orphaned: BTreeSet<FindingId>,
}

impl DurableSink {
    pub(super) fn new(inner: Arc<Inner>) -> DurableSink {
        DurableSink { inner, orphaned: BTreeSet::new() }
    }
}

impl FindingSink for DurableSink {
    fn resume(&mut self, epoch: u64) -> Result<(), EngineError> {
        let seq = match self.inner.checkpoints.manifest()? {
            Some(checkpoint) if checkpoint.epoch == epoch => checkpoint.seq,
            Some(_) | None => Seq(0),
        };
        self.orphaned = self.inner.orphaned(epoch, seq)?;
        Ok(())
    }

    fn commit(&mut self, commit: Commit) -> Result<Seq, EngineError> {
        let mut txn = self.inner.begin();
        txn.findings(commit.findings, &mut self.orphaned)?;
        txn.keep_dead_letters(commit.dead_letters)?;
        if commit.seals_epoch {
            txn.withdraw(std::mem::take(&mut self.orphaned))?;
        }
        txn.report_capped(commit.seals_epoch)?;
        txn.commit(SpaceUse::Ordinary)
    }

    fn feed(&mut self) -> Option<Box<dyn FindingFeed>> {
        Some(Box::new(Feed(self.inner.clone())))
    }

    fn checkpoints(&mut self) -> Option<Box<dyn CheckpointSink>> {
        Some(Box::new(self.inner.checkpoints.clone()))
    }
}

/// Confirmed findings by the sequence of their last change.
struct Feed(Arc<Inner>);

impl FindingFeed for Feed {
    fn after(&mut self, seq: Seq, limit: usize) -> Result<(Vec<Finding>, Seq), EngineError> {
        self.0.confirmed_after(seq, limit)
    }
}
