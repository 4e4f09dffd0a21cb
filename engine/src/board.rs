//! Where the stages of a running pipeline show their counts, so that a service can answer while it
//! runs. Not the counts themselves, and nothing that detection reads.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use sluice_event::PartitionId;

use crate::{Counters, stopwatch::StageTimes};

/// The counts of all stages of the run at hand, and of the runs before it in this process.
#[derive(Debug, Default)]
pub struct Board {
    current: Mutex<Arc<Slots>>,
    before: Mutex<Posting>,
}

/// What a rule costs; by rule id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleCost {
    /// Rows of its tables.
    pub rows_seen: u64,
    /// Nanoseconds spent on its own rows plus its share of the network's.
    pub nanos: u64,
    /// Findings it made or changed.
    pub findings: u64,
    /// Event time of its newest finding, milliseconds; `i64::MIN` before the first.
    pub last_fired: Option<i64>,
    /// Keys it remembers.
    pub keys: u64,
    /// Roughly the bytes they take.
    pub state_bytes: u64,
}

/// What one stage shows.
#[derive(Clone, Debug, Default)]
pub struct Posting {
    /// What it counted.
    pub counters: Counters,
    /// Where its time went.
    pub times: StageTimes,
    /// What rules cost it.
    pub costs: BTreeMap<String, RuleCost>,
    /// The newest event time of each of its partitions.
    pub seen: BTreeMap<PartitionId, i64>,
}

/// One posting per stage.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    pub workers: Vec<Slot>,
    pub shards: Vec<Slot>,
    pub committer: Slot,
}

pub(crate) type Slot = Arc<Mutex<Posting>>;

impl Board {
    /// A run begins: what the one before it showed becomes the past.
    pub(crate) fn begin(&self, workers: usize, shards: usize) -> Arc<Slots> {
        let slots = |n: usize| (0..n).map(|_| Slot::default()).collect();
        let next = Arc::new(Slots {
            workers: slots(workers),
            shards: slots(shards),
            committer: Slot::default(),
        });
        let mut current = lock(&self.current);
        let mut before = lock(&self.before);
        let mut past = current.total();
        // What a run held is held no longer; it is counted by the next.
        for cost in past.costs.values_mut() {
            (cost.keys, cost.state_bytes) = (0, 0);
        }
        past.seen.clear();
        before.add(&past);
        *current = next.clone();
        next
    }

    /// The sum of everything shown.
    pub fn total(&self) -> Posting {
        let current = lock(&self.current).clone();
        let mut total = lock(&self.before).clone();
        total.add(&current.total());
        total
    }
}

impl Slots {
    fn total(&self) -> Posting {
        let mut total = Posting::default();
        for slot in self.workers.iter().chain(&self.shards).chain([&self.committer]) {
            total.add(&lock(slot));
        }
        total
    }
}

impl Posting {
    fn add(&mut self, other: &Posting) {
        self.counters.add(&other.counters);
        self.times.add(&other.times);
        self.seen.extend(&other.seen);
        for (rule, cost) in &other.costs {
            let own = self.costs.entry(rule.clone()).or_default();
            own.rows_seen += cost.rows_seen;
            own.nanos += cost.nanos;
            own.findings += cost.findings;
            own.last_fired = own.last_fired.max(cost.last_fired);
            own.keys += cost.keys;
            own.state_bytes += cost.state_bytes;
        }
    }
}

/// Replaces what a stage shows.
pub(crate) fn post(slot: &Slot, posting: Posting) {
    *lock(slot) = posting;
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
