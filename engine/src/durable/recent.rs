//! Findings written a moment ago, in memory: one that grows is not read back for each update. Bounded
//! in bytes, the oldest go first. Not a cache for readers.

use std::collections::{BTreeMap, VecDeque};

use sluice_finding::{Finding, FindingId};

use super::findings::Current;

/// About 10,000 findings with short evidence, 400 with the longest.
const BYTES: u64 = 8 << 20;

/// A finding as it is stored.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) finding: Finding,
    /// The hash of each event of its evidence, in order: the keys they are stored under.
    pub(super) evidence: Vec<u128>,
    /// Bytes of its record and of its evidence.
    pub(super) bytes: u64,
    pub(super) current: Current,
}

/// The findings written last.
#[derive(Debug, Default)]
pub(super) struct RecentFindings {
    findings: BTreeMap<FindingId, (u64, Known)>,
    /// The order they came in. Entries of those that were taken since are skipped.
    order: VecDeque<(u64, FindingId)>,
    stamp: u64,
    bytes: u64,
}

impl RecentFindings {
    /// Takes a finding out.
    pub(super) fn take(&mut self, id: FindingId) -> Option<Known> {
        let (_, known) = self.findings.remove(&id)?;
        self.bytes = self.bytes.saturating_sub(known.bytes);
        Some(known)
    }

    /// Puts one in, in place of what is known of it.
    pub(super) fn insert(&mut self, known: Known) {
        let id = known.finding.id;
        self.take(id);
        self.stamp += 1;
        self.bytes += known.bytes;
        self.order.push_back((self.stamp, id));
        self.findings.insert(id, (self.stamp, known));
        while self.bytes > BYTES
            && let Some((stamp, oldest)) = self.order.pop_front()
        {
            if self.is(oldest, stamp) {
                self.take(oldest);
            }
        }
        if self.order.len() > 2 * self.findings.len() + 64 {
            let mut order = std::mem::take(&mut self.order);
            order.retain(|(stamp, id)| self.is(*id, *stamp));
            self.order = order;
        }
    }

    fn is(&self, id: FindingId, stamp: u64) -> bool {
        self.findings.get(&id).is_some_and(|(s, _)| *s == stamp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::durable::records::tests::finding;

    fn known(id: u128, bytes: u64) -> Known {
        let finding = Finding { id: FindingId(id), ..finding() };
        Known { finding, evidence: Vec::new(), bytes, current: Current { seq: 1, epoch: 0 } }
    }

    #[test]
    fn the_oldest_go_when_there_is_no_room() {
        let mut recent = RecentFindings::default();
        (1..=4).for_each(|id| recent.insert(known(id, BYTES / 4)));
        // Written again: the newest now.
        recent.insert(known(1, BYTES / 4));
        recent.insert(known(5, BYTES / 4));
        let there: Vec<bool> = (1..=5).map(|id| recent.take(FindingId(id)).is_some()).collect();
        assert_eq!(there, [true, false, true, true, true]);
        assert_eq!(recent.bytes, 0);
        // One that is written again and again leaves no trail.
        (0..10_000).for_each(|_| recent.insert(known(1, 10)));
        assert!(recent.order.len() < 100, "{}", recent.order.len());
    }
}
