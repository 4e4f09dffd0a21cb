//! What a crash leaves behind that nobody would ever take back.
//!
//! Findings do not wait for the checkpoint, so after a crash some are stored that the operators,
//! back at the checkpoint, never said. Replay says them again, but not always: cut into other
//! batches, a late row may come together with the row it refutes, and then neither the finding nor
//! its withdrawal is said. So those that are still provisional are watched from the start on, and
//! what replay has not said when the next checkpoint comes is withdrawn with it. Should replay take
//! longer and say it after all, it is back: the last statement wins.

use std::{collections::BTreeSet, ops::Bound};

use sluice_finding::{Finding, FindingId, FindingState};
use sluice_store::Snapshot;

use super::{
    Spaces,
    change::WriteTxn,
    findings::{Current, exactly, key, stored_finding},
};
use crate::EngineError;

/// Provisional findings that were first said after the change with number `checkpoint`.
pub(super) fn orphaned(
    snapshot: &Snapshot,
    spaces: &Spaces,
    checkpoint: u64,
) -> Result<BTreeSet<FindingId>, EngineError> {
    let start = checkpoint.to_be_bytes();
    let mut ids = BTreeSet::new();
    for row in snapshot.range(&spaces.change, Bound::Excluded(&start), Bound::Unbounded) {
        let (_, id) = row?;
        let id = FindingId(u128::from_be_bytes(exactly(&id, "finding id")?));
        let current = snapshot.get(&spaces.current, &key(id))?;
        let current = Current::parse(current.as_deref().unwrap_or_default())?;
        let stored = stored_finding(spaces, snapshot, id)?;
        let provisional = stored.is_some_and(|(f, _)| f.state == FindingState::Provisional);
        if current.first > checkpoint && provisional {
            ids.insert(id);
        }
    }
    Ok(ids)
}

impl WriteTxn<'_> {
    /// Withdraws what replay did not say.
    pub(super) fn withdraw_orphaned(&mut self) -> Result<(), EngineError> {
        for id in std::mem::take(&mut self.next.orphaned) {
            let Some((known, length)) = stored_finding(self.spaces(), &self.snapshot, id)? else {
                continue;
            };
            let withdrawn = Finding {
                state: FindingState::Withdrawn,
                revision: known.revision + 1,
                ..known.clone()
            };
            self.put_finding(Some((known, length)), &withdrawn)?;
        }
        Ok(())
    }
}
