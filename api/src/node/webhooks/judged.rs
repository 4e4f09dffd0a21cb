//! Incidents that people are changing: what follows the store looks at these, and not at all there are.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use sluice_finding::FindingId;

/// Incidents, and how many changes of each are under way. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Judged(Arc<Mutex<BTreeMap<FindingId, usize>>>);

/// A change of an incident that is under way until this is dropped.
#[derive(Debug)]
pub(crate) struct Judging {
    all: Judged,
    id: FindingId,
}

impl Judged {
    /// To be called before the change: who follows the store may see it before the caller does.
    pub(super) fn begin(&self, id: FindingId) -> Judging {
        *self.lock().entry(id).or_default() += 1;
        Judging { all: self.clone(), id }
    }

    /// Those that may have changed. One is named until its change was over before it was.
    pub(super) fn take(&self) -> Vec<FindingId> {
        let mut all = self.lock();
        let taken = all.keys().copied().collect();
        all.retain(|_, under_way| *under_way > 0);
        taken
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<FindingId, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Judging {
    fn drop(&mut self) {
        if let Some(under_way) = self.all.lock().get_mut(&self.id) {
            *under_way -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_looked_at_once_more_after_it_is_over() {
        let judged = Judged::default();
        let [one, two] = [FindingId(1), FindingId(2)];
        let first = judged.begin(one);
        let second = judged.begin(one);
        drop(judged.begin(two));
        assert_eq!(judged.take(), [one, two]);
        drop(first);
        assert_eq!(judged.take(), [one]);
        drop(second);
        assert_eq!(judged.take(), [one]);
        assert!(judged.take().is_empty());
    }
}
