//! Updates of a finding come at most once a second: a window that grows with every event would
//! otherwise be committed with every event. The first report of a finding, its confirmation and its
//! withdrawal never wait, and the last update always goes out. Not the fold of what does go out: that
//! is in `sluice_finding`.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use sluice_finding::FindingId;
use sluice_stream::{Change, Emission, FindingState};

use crate::stopwatch::Stopwatch;

/// Provisional findings reported a moment ago, with what came since.
pub(crate) struct Updates {
    /// How long updates wait; `None`: not at all.
    every: Option<Duration>,
    recent: BTreeMap<FindingId, Option<Waiting>>,
    /// When the recent ones were reported, oldest first. One entry for each of them, and for some
    /// that are final by now.
    reported: VecDeque<(Stopwatch, FindingId)>,
}

/// The barrier its stage had passed, and the newest emission.
type Waiting = (u64, Emission);

impl Updates {
    /// At most one update of a finding every so many milliseconds; `None` lets all pass.
    pub(crate) fn every(milliseconds: Option<i64>) -> Updates {
        let every = milliseconds.map(|ms| Duration::from_millis(ms.max(0).unsigned_abs()));
        Updates { every, recent: BTreeMap::new(), reported: VecDeque::new() }
    }

    /// Whether anything ever waits; otherwise nothing needs an id.
    pub(crate) fn is_on(&self) -> bool {
        self.every.is_some()
    }

    /// The emission if it goes out now; otherwise it waits, in place of the one before. Without an id
    /// it goes out.
    pub(crate) fn admit(
        &mut self,
        id: Option<FindingId>,
        passed: u64,
        emission: Emission,
    ) -> Option<Emission> {
        let Some(id) = id else { return Some(emission) };
        if !matches!(emission.change, Change::Upsert(FindingState::Provisional)) {
            let waiting = self.recent.remove(&id).flatten();
            return Some(with_evidence(emission, waiting));
        }
        match self.recent.get_mut(&id) {
            Some(waiting) => {
                *waiting = Some((passed, emission));
                None
            }
            None => {
                self.recent.insert(id, None);
                self.reported.push_back((Stopwatch::start(), id));
                Some(emission)
            }
        }
    }

    /// Updates that have waited long enough.
    pub(crate) fn due(&mut self) -> Vec<Waiting> {
        let mut due = Vec::new();
        let Some(every) = self.every else { return due };
        while self.reported.front().is_some_and(|(since, _)| since.elapsed() >= every) {
            let Some((_, id)) = self.reported.pop_front() else { break };
            if let Some(waiting) = self.recent.remove(&id).flatten() {
                self.recent.insert(id, None);
                self.reported.push_back((Stopwatch::start(), id));
                due.push(waiting);
            }
        }
        due
    }

    /// All updates that wait.
    pub(crate) fn take(&mut self) -> Vec<Waiting> {
        self.recent.values_mut().filter_map(Option::take).collect()
    }

    /// Until [`Updates::due`] has something to do.
    pub(crate) fn next_due(&self) -> Option<Duration> {
        let (since, _) = self.reported.front()?;
        Some(self.every?.saturating_sub(since.elapsed()))
    }
}

/// An emission that shows no event because the update before it did: that one never went out.
fn with_evidence(mut emission: Emission, waiting: Option<Waiting>) -> Emission {
    if let Some((_, waiting)) = waiting
        && emission.evidence.is_empty()
    {
        emission.evidence = waiting.evidence;
    }
    emission
}
