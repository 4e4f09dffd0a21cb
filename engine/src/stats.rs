//! Where the stages of a running pipeline publish their counts, so that a service can answer while it
//! runs. Not the counts themselves, and nothing that detection reads.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use sluice_event::PartitionId;

use crate::{Counters, stopwatch::StageTimes};

/// The counts of all stages of the run at hand, and of the runs before it in this process.
#[derive(Debug, Default)]
pub struct StatsRegistry {
    current: Mutex<Arc<RunStats>>,
    before: Mutex<StageStats>,
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

/// What one stage publishes.
#[derive(Clone, Debug, Default)]
pub struct StageStats {
    /// What it counted.
    pub counters: Counters,
    /// Where its time went.
    pub times: StageTimes,
    /// What rules cost it.
    pub costs: BTreeMap<String, RuleCost>,
    /// The newest event time of each of its partitions.
    pub seen: BTreeMap<PartitionId, i64>,
}

/// The stats of each stage.
#[derive(Debug, Default)]
pub(crate) struct RunStats {
    pub workers: Vec<StatsHandle>,
    pub shards: Vec<StatsHandle>,
    pub committer: StatsHandle,
}

pub(crate) type StatsHandle = Arc<Mutex<StageStats>>;

impl StatsRegistry {
    /// A run begins: what the one before it published becomes the past.
    pub(crate) fn begin(&self, workers: usize, shards: usize) -> Arc<RunStats> {
        let handles = |n: usize| (0..n).map(|_| StatsHandle::default()).collect();
        let next = Arc::new(RunStats {
            workers: handles(workers),
            shards: handles(shards),
            committer: StatsHandle::default(),
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

    /// The sum of everything published.
    pub fn total(&self) -> StageStats {
        let current = lock(&self.current).clone();
        let mut total = lock(&self.before).clone();
        total.add(&current.total());
        total
    }
}

impl RunStats {
    fn total(&self) -> StageStats {
        let mut total = StageStats::default();
        for handle in self.workers.iter().chain(&self.shards).chain([&self.committer]) {
            total.add(&lock(handle));
        }
        total
    }
}

impl StageStats {
    fn add(&mut self, other: &StageStats) {
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

/// Milliseconds between two updates of a stage's counts, when it is busy.
pub(crate) const PUBLISH_EVERY: i64 = 250;

/// Replaces what a stage has published.
pub(crate) fn publish(handle: &StatsHandle, stats: StageStats) {
    *lock(handle) = stats;
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
