//! The shard thread: keyed state behind one channel. Not the operators: those are in `stream`.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use sluice_stream::{
    HistoryStart, Limits, Pace, PartitionInfo, Shard, ShardOptions, StateEntry, StateReset,
};

use crate::{
    Counters, Engine, EngineError, History, Partition, RuleCost, findings_source,
    message::{CheckpointBarrier, ShardMessage, ToCommitter, ToShard},
    stats::{PUBLISH_EVERY, StageStats, StatsHandle, publish},
    stopwatch::{StageTimes, Stopwatch, Timer},
};

/// A share of all keys and the alignment of barriers over the workers.
///
/// A worker whose barrier has come is not listened to (its messages are held) until the barriers of
/// all have: then the state exported reflects exactly what came before them.
pub(crate) struct KeyedStage {
    shard: Shard,
    /// Rule ids, in the order of the shard's statistics.
    names: Vec<String>,
    marked: Vec<bool>,
    held: Vec<VecDeque<ShardMessage>>,
    /// The number of the last barrier it has aligned.
    passed: u64,
    times: StageTimes,
    /// How soon findings that can still change are reported.
    pace: Pace,
    /// When every change was last reported.
    told: Timer,
    /// Whether rows have come since.
    untold: bool,
    /// Events whose payload was given up, as last logged.
    dropped: u64,
    /// Where it publishes its counts.
    pub stats: Option<StatsHandle>,
    published: Timer,
    index: usize,
    /// Per layer of rules over findings, if there are any: through which event time what they report is
    /// final, as last said.
    closed: Vec<i64>,
}

/// Milliseconds of event time between two reports of what is final.
const CLOSED_EVERY: i64 = 1_000;
/// Milliseconds after which every change is reported at [`Pace::News`].
const EVERY_CHANGE: i64 = 1_000;

impl KeyedStage {
    pub(crate) fn new(
        engine: &Engine,
        index: usize,
        partitions: &[Partition],
        state: Vec<StateEntry>,
        pace: Pace,
    ) -> Result<Self, EngineError> {
        let plans = engine.rules.keyed();
        let partitions: Vec<PartitionInfo> = partitions
            .iter()
            .map(|p| PartitionInfo { id: p.id, tables: p.tables.clone(), time: p.time })
            .collect();
        let options = ShardOptions {
            index: index as u32,
            shards: engine.config.shards.get() as u32,
            secret: engine.config.vnode_secret,
            limits: Limits::default(),
            history_start: match engine.config.history {
                History::FirstEvent => HistoryStart::FirstAccepted,
                History::Since(time) => HistoryStart::At(time),
                History::None => HistoryStart::Always,
            },
        };
        let mut shard = Shard::new(&plans, &partitions, options);
        let resets = shard.import(state).map_err(|e| EngineError::Restore(e.to_string()))?;
        for StateReset { rule_index, reason } in resets {
            let plan = plans.iter().find(|(index, _)| *index == rule_index);
            let rule = plan.map_or("", |(_, plan)| &plan.rule);
            tracing::warn!(rule, %reason, "state of a rule cannot be read: it starts empty and warms up");
        }
        shard.take_verdicts(&engine.config.verdicts);
        let workers = engine.config.workers.get();
        Ok(KeyedStage {
            shard,
            names: plans.iter().map(|(_, p)| p.rule.to_string()).collect(),
            marked: vec![false; workers],
            held: (0..workers).map(|_| VecDeque::new()).collect(),
            passed: 0,
            times: StageTimes::default(),
            pace,
            told: Timer::every(EVERY_CHANGE),
            untold: false,
            dropped: 0,
            stats: None,
            published: Timer::every(PUBLISH_EVERY),
            index,
            closed: match engine.rules.layers().depth() {
                0 => Vec::new(),
                depth => vec![i64::MIN; depth as usize + 1],
            },
        })
    }

    pub(crate) fn run(
        mut self,
        inbox: &Receiver<ToShard>,
        committer: &Sender<ToCommitter>,
    ) -> (Counters, StageTimes) {
        loop {
            let waits = self.pace == Pace::News && self.untold;
            let received = match waits {
                true => inbox.recv_timeout(self.told.left()),
                false => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            let done = match received {
                Ok(ToShard { worker, message }) if self.marked[worker] => {
                    self.held[worker].push_back(message);
                    continue;
                }
                Ok(ToShard { worker, message }) => self.take(worker, message, committer),
                Err(RecvTimeoutError::Timeout) => self.tell_all(committer),
                Err(RecvTimeoutError::Disconnected) => {
                    self.tell_all(committer).ok();
                    break;
                }
            };
            if done.is_err() {
                break;
            }
            if self.stats.is_some() && (inbox.is_empty() || self.published.is_due()) {
                self.publish_stats();
            }
        }
        self.publish_stats();
        (self.counters(), self.times)
    }

    fn publish_stats(&mut self) {
        let (bytes, dropped) = self.shard.events();
        if dropped > self.dropped {
            tracing::warn!(
                bytes,
                dropped,
                "events that open windows refer to exceed their bound: \
                findings show less evidence"
            );
            self.dropped = dropped;
        }
        let Some(handle) = &self.stats else { return };
        let mut costs: BTreeMap<String, RuleCost> = BTreeMap::new();
        for (stats, rule) in self.shard.stats().iter().zip(&self.names) {
            let cost = costs.entry(rule.clone()).or_default();
            (cost.keys, cost.state_bytes) = (stats.keys, stats.state_bytes);
        }
        let (counters, times) = (self.counters(), self.times);
        publish(handle, StageStats { counters, times, costs, ..StageStats::default() });
    }

    /// `Err` when nobody listens any more.
    fn take(
        &mut self,
        worker: usize,
        message: ShardMessage,
        committer: &Sender<ToCommitter>,
    ) -> Result<(), ()> {
        let watch = Stopwatch::start();
        match message {
            ShardMessage::Rows(rows) => {
                for batch in &rows.batches {
                    self.shard.push(rows.partition, batch);
                }
                for (table, time) in rows.first {
                    self.shard.first_time(rows.partition, &table, time);
                }
                self.shard.observe(rows.partition, rows.seen);
            }
            ShardMessage::Assign(partition) => self.shard.assign(&partition),
            ShardMessage::Idle(partition) => self.shard.idle(partition),
            ShardMessage::End(partition) => self.shard.end(partition),
            ShardMessage::Barrier(barrier) => return self.mark(worker, barrier, committer),
        }
        let due = self.pace == Pace::News && self.told.left().is_zero();
        let pace = if due { Pace::EveryChange } else { self.pace };
        self.untold = true;
        self.tell(pace, watch, committer)
    }

    /// Reports every change, also of findings that can still change.
    fn tell_all(&mut self, committer: &Sender<ToCommitter>) -> Result<(), ()> {
        self.tell(Pace::EveryChange, Stopwatch::start(), committer)
    }

    fn tell(
        &mut self,
        pace: Pace,
        mut watch: Stopwatch,
        committer: &Sender<ToCommitter>,
    ) -> Result<(), ()> {
        if pace == Pace::EveryChange {
            self.told.restart();
            self.untold = false;
        }
        let (passed, times) = (self.passed, &mut self.times);
        let mut heard = true;
        self.shard.take_parts(pace, &mut |emissions| {
            watch.lap(&mut times.window);
            heard &= committer.send(ToCommitter::Emissions(passed, emissions)).is_ok();
            watch = Stopwatch::start();
        });
        watch.lap(&mut self.times.window);
        if !heard {
            return Err(());
        }
        let degraded = self.shard.degraded();
        if !degraded.is_empty() {
            committer.send(ToCommitter::Degraded(self.passed, degraded)).map_err(drop)?;
        }
        self.tell_closed(committer)
    }

    /// Says through which event time everything final has been reported.
    fn tell_closed(&mut self, committer: &Sender<ToCommitter>) -> Result<(), ()> {
        let mut news = false;
        for (layer, said) in (0..).zip(&mut self.closed) {
            let now = self.shard.closed(|partition| findings_source::layer(partition) == layer);
            if now == i64::MAX && *said < now || now >= said.saturating_add(CLOSED_EVERY) {
                (*said, news) = (now, true);
            }
        }
        if !news {
            return Ok(());
        }
        committer.send(ToCommitter::Closed(self.index, self.closed.clone())).map_err(drop)
    }

    /// With the barrier of the last worker the state is what it is after the barrier's deliveries.
    fn mark(
        &mut self,
        worker: usize,
        barrier: Arc<CheckpointBarrier>,
        committer: &Sender<ToCommitter>,
    ) -> Result<(), ()> {
        self.marked[worker] = true;
        if self.marked.contains(&false) {
            return Ok(());
        }
        // What waits is of this epoch.
        self.tell_all(committer)?;
        let state = self.shard.export(barrier.full);
        self.passed = barrier.number;
        committer.send(ToCommitter::State(barrier, state)).map_err(drop)?;
        self.marked.fill(false);
        self.release(committer)
    }

    fn release(&mut self, committer: &Sender<ToCommitter>) -> Result<(), ()> {
        for worker in 0..self.held.len() {
            while !self.marked[worker] {
                let Some(message) = self.held[worker].pop_front() else { break };
                self.take(worker, message, committer)?;
            }
        }
        Ok(())
    }

    fn counters(&self) -> Counters {
        let mut counters = Counters::default();
        for (stats, rule) in self.shard.stats().iter().zip(&self.names) {
            let counts = counters.rules.entry(rule.clone()).or_default();
            counts.too_late = stats.too_late;
            counts.duplicates = stats.duplicates;
            counts.first_seen_cold = stats.first_seen_cold;
            counts.evicted = stats.evicted + stats.truncated;
            counts.degraded = stats.degraded;
            counts.errors = stats.failures.rows;
            counts.error.clone_from(&stats.failures.first);
        }
        counters
    }
}
