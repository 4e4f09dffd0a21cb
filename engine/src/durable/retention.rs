//! What goes when: findings by event time and bytes, dead letters by receive time and bytes per
//! kind. In small batches, so that the engine's commits wait milliseconds.
//!
//! Findings that are open stay whatever their age: those that a person has touched and not resolved, and
//! those of incidents that are not over. Only where all others are gone and there are still too many bytes
//! do they go, too.

use std::{collections::BTreeSet, ops::Bound, sync::PoisonError, time::Duration};

use sluice_finding::{FindingId, TriageStatus};

use super::{
    Inner,
    findings::parse_age_key,
    txn::{SpaceUse, WriteTxn},
};
use crate::EngineError;

/// How many go with one batch,
const BATCH: usize = 500;
/// and how many findings are looked at for it.
const LOOKED_AT: usize = 5_000;
/// How many removed findings are remembered for followers: about 40 MB.
const REMEMBERED: u64 = 1_000_000;

/// Which findings stay.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spared {
    /// Those that are open.
    Open,
    /// None, while there are too many bytes.
    Nothing,
}

impl Inner {
    pub(super) fn retain(&self, now: i64) -> Result<(), EngineError> {
        let cutoff = before(now, self.retention.finding_age);
        for spared in [Spared::Open, Spared::Nothing] {
            let mut from = Some(Vec::new());
            while let Some(after) = from.take() {
                let mut txn = self.begin();
                from = txn.expire_findings(cutoff, spared, &after)?;
                txn.forget_removed()?;
                txn.commit(SpaceUse::Freeing)?;
            }
        }
        loop {
            let mut txn = self.begin();
            let dropped = txn.expire_levels(cutoff, BATCH)? + txn.expire_minutes(cutoff, BATCH)?;
            txn.expire_incidents(cutoff)?;
            txn.expire_suppressions(cutoff);
            txn.commit(SpaceUse::Freeing)?;
            if dropped < BATCH {
                break;
            }
        }
        let kinds: Vec<_> = {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.meta.totals.letters.keys().cloned().collect()
        };
        for kind in kinds {
            loop {
                let mut txn = self.begin();
                let cutoff = before(now, self.retention.dead_letter_age);
                let dropped = txn.expire_letters(&kind, cutoff, BATCH)?;
                txn.commit(SpaceUse::Freeing)?;
                if dropped < BATCH {
                    break;
                }
            }
        }
        Ok(())
    }
}

impl WriteTxn<'_> {
    /// Drops findings of before `cutoff` or too many, oldest first, after the one where the last batch
    /// stopped; where this one stopped, if there may be more.
    fn expire_findings(
        &mut self,
        cutoff: i64,
        spared: Spared,
        after: &[u8],
    ) -> Result<Option<Vec<u8>>, EngineError> {
        let quota = self.inner.retention.finding_bytes;
        let open = self.in_open_incidents();
        let rows =
            self.snapshot.range(&self.spaces().age, Bound::Excluded(after), Bound::Unbounded);
        let mut dropped = 0;
        for (looked_at, row) in rows.enumerate() {
            let (key, _) = row?;
            let (time, id) = parse_age_key(&key)?;
            let too_many = self.next.totals.finding_bytes > quota;
            let old = time < cutoff && spared == Spared::Open;
            if !(old || too_many) {
                return Ok(None);
            }
            if spared == Spared::Nothing || !(open.contains(&id) || self.is_in_work(id)?) {
                self.expire(time, id)?;
                let expired = &mut self.next.totals.findings_expired;
                *(if old { &mut expired.0 } else { &mut expired.1 }) += 1;
                dropped += 1;
            }
            if dropped == BATCH || looked_at == LOOKED_AT {
                return Ok(Some(key.to_vec()));
            }
        }
        Ok(None)
    }

    /// Whether a person has touched a finding and not resolved it.
    fn is_in_work(&self, id: FindingId) -> Result<bool, EngineError> {
        let triage = self.triage_of(id)?;
        Ok(triage.version > 0 && triage.status != TriageStatus::Resolved)
    }

    /// Findings of incidents that are not over.
    fn in_open_incidents(&self) -> BTreeSet<FindingId> {
        let all = self.inner.incidents();
        let open = all.all().filter(|incident| !incident.status.ends());
        open.flat_map(|incident| incident.findings.keys().copied()).collect()
    }

    /// Forgets the oldest removals beyond those remembered.
    fn forget_removed(&mut self) -> Result<(), EngineError> {
        let spaces = self.spaces();
        let too_many = self.next.totals.removed.saturating_sub(REMEMBERED);
        let rows = self.snapshot.range(&spaces.removed, Bound::Unbounded, Bound::Unbounded);
        for row in rows.take(too_many as usize) {
            let (key, _) = row?;
            self.batch.remove(&spaces.removed, &key);
            self.next.totals.removed -= 1;
        }
        Ok(())
    }
}

/// The time so long before another.
fn before(now: i64, age: Duration) -> i64 {
    now.saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX))
}
