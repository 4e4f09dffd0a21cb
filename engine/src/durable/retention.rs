//! What goes when: findings by event time and bytes, dead letters by receive time and bytes per
//! kind. In small batches, so that the engine's commits wait milliseconds.

use std::{ops::Bound, sync::PoisonError, time::Duration};

use sluice_store::Bytes;

use super::{
    Inner,
    findings::parse_age_key,
    txn::{SpaceUse, WriteTxn},
};
use crate::EngineError;

/// How many go with one batch.
const BATCH: usize = 500;
/// How many removed findings are remembered for followers: about 40 MB.
const REMEMBERED: u64 = 1_000_000;

impl Inner {
    pub(super) fn retain(&self, now: i64) -> Result<(), EngineError> {
        let mut from = None;
        loop {
            let mut txn = self.begin();
            let cutoff = before(now, self.retention.finding_age);
            let dropped = txn.expire_findings(cutoff, &mut from)?;
            txn.forget_removed()?;
            txn.commit(SpaceUse::Freeing)?;
            if dropped < BATCH {
                break;
            }
        }
        loop {
            let mut txn = self.begin();
            let cutoff = before(now, self.retention.finding_age);
            let dropped = txn.expire_levels(cutoff, BATCH)?;
            txn.expire_incidents(cutoff);
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
    /// Drops findings of before `cutoff` or too many, oldest first, from where the last batch
    /// stopped; how many.
    fn expire_findings(
        &mut self,
        cutoff: i64,
        from: &mut Option<Bytes>,
    ) -> Result<usize, EngineError> {
        let quota = self.inner.retention.finding_bytes;
        let start = from.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let rows = self.snapshot.range(&self.spaces().age, start, Bound::Unbounded);
        let mut dropped = 0;
        for row in rows {
            let (key, _) = row?;
            let (time, id) = parse_age_key(&key)?;
            let old = time < cutoff;
            if dropped == BATCH || !(old || self.next.totals.finding_bytes > quota) {
                break;
            }
            self.expire(time, id)?;
            let expired = &mut self.next.totals.findings_expired;
            *(if old { &mut expired.0 } else { &mut expired.1 }) += 1;
            dropped += 1;
            *from = Some(key);
        }
        Ok(dropped)
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
