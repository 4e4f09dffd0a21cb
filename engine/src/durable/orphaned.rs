//! What a crash leaves behind that nothing would ever take back.
//!
//! Findings do not wait for the checkpoint, so after a crash some are stored that the operators, back
//! at the checkpoint, never reported. Replay reports them again, but not always: cut into other
//! batches, a late row may come together with the row it refutes, and then neither the finding nor its
//! withdrawal is reported. So those that are still provisional are watched from the start of a run on,
//! and what replay has not reported when the next checkpoint is sealed is withdrawn. Should replay take
//! longer and report it after all, it is back: the last statement wins.

use std::{collections::BTreeSet, ops::Bound};

use sluice_finding::{Finding, FindingId, FindingState};

use super::{
    Inner,
    findings::{Change, load, stored_current},
    txn::WriteTxn,
};
use crate::{EngineError, Seq};

impl Inner {
    /// Provisional findings that no checkpoint up to `epoch` covers. They changed after `seq`.
    pub(super) fn orphaned(
        &self,
        epoch: u64,
        seq: Seq,
    ) -> Result<BTreeSet<FindingId>, EngineError> {
        let (snapshot, spaces) = (self.store.snapshot(), &self.spaces);
        let start = seq.0.to_be_bytes();
        let mut ids = BTreeSet::new();
        for row in snapshot.range(&spaces.change, Bound::Excluded(&start), Bound::Unbounded) {
            let (_, id) = row?;
            let Change { id, provisional } = Change::parse(&id)?;
            // Nearly all are settled, and there may be millions since the last checkpoint.
            if provisional == Some(false) {
                continue;
            }
            if stored_current(spaces, &snapshot, id)?.is_none_or(|c| c.epoch < epoch) {
                continue;
            }
            let known = load(spaces, &snapshot, id)?;
            if known.is_some_and(|k| k.finding.state == FindingState::Provisional) {
                ids.insert(id);
            }
        }
        Ok(ids)
    }
}

impl WriteTxn<'_> {
    /// Withdraws what replay did not report.
    pub(super) fn withdraw(&mut self, ids: BTreeSet<FindingId>) -> Result<(), EngineError> {
        for id in ids {
            let Some(known) = self.known(id)? else { continue };
            let withdrawn = Finding {
                state: FindingState::Withdrawn,
                revision: known.finding.revision + 1,
                ..known.finding.clone()
            };
            self.put_finding(Some(known), withdrawn, None)?;
        }
        Ok(())
    }
}
