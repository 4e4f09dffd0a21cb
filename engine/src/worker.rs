//! The worker thread: decode, map, match, and turn the rows that passed into findings or into keyed
//! rows for the shards. Not the parts themselves: those are in `ingest` and `stream`.

use std::{collections::BTreeMap, sync::Arc};

use crossbeam_channel::Receiver;
use sluice_event::{EventBatch, PartitionId, TableName};
use sluice_ingest::{
    DeadLetter, InputOptions, Mapper, Processed, SourceSpec,
    live::{Place, UNKNOWN},
};
use sluice_stream::{BatchRows, Emission, Failures, KeyedBatch, PartitionInfo, Scratch};

use crate::{
    Checkpoint, Counters, Delivery, Engine, Partition, PlacedDeadLetter, Progress, RuleCost,
    RuleSet,
    counters::{RowCounts, RuleCounts},
    findings_source,
    history::EventHistory,
    message::{ShardMessage, ShardRows, ToCommitter, ToShard, ToWorker, WorkerOut},
    source::owned,
    stats::{PUBLISH_EVERY, StageStats, StatsHandle, publish},
    stopwatch::{StageTimes, Stopwatch, Timer},
};

pub(crate) struct Worker {
    index: usize,
    sources: Vec<Arc<SourceSpec>>,
    /// What inputs say of the codec of their records.
    inputs: BTreeMap<String, InputOptions>,
    tenant: String,
    rules: Arc<RuleSet>,
    secret: [u8; 16],
    shards: usize,
    partitions: BTreeMap<PartitionId, PartitionState>,
    scratch: BTreeMap<TableName, Scratch>,
    progress: Progress,
    counters: Counters,
    rule_counts: Vec<RuleCounts>,
    /// Per rule: nanoseconds on its own rows.
    rule_nanos: Vec<u64>,
    /// Per table: rows, and nanoseconds in its network.
    tables: BTreeMap<TableName, (u64, u64)>,
    /// The epoch this run began from, and the number of the last barrier that was passed on.
    resumed: u64,
    passed: u64,
    times: StageTimes,
    /// Where rows are kept for hunts.
    pub history: Option<EventHistory>,
    /// Where it publishes its counts.
    pub stats: Option<StatsHandle>,
    published: Timer,
}

struct PartitionState {
    mapper: Option<Mapper>,
    /// The name its records are counted under: the input's, or the mapping source of a file.
    source: String,
    place: Option<Place>,
    seen: i64,
    first: BTreeMap<TableName, i64>,
}

/// Rows of one delivery on their way out.
struct Outbox {
    emissions: Vec<Emission>,
    /// Per shard.
    rows: Vec<Vec<KeyedBatch>>,
    first: Vec<(TableName, i64)>,
}

impl Worker {
    pub(crate) fn new(
        engine: &Engine,
        index: usize,
        partitions: &[Partition],
        resume: &Checkpoint,
        progress: &Progress,
    ) -> Self {
        let mut worker = Worker {
            index,
            sources: engine.sources.clone(),
            inputs: engine.config.inputs.clone(),
            tenant: engine.config.tenant.clone(),
            secret: engine.config.vnode_secret,
            shards: engine.config.shards.get(),
            partitions: BTreeMap::new(),
            scratch: BTreeMap::new(),
            progress: progress.clone(),
            counters: Counters::default(),
            rule_counts: vec![RuleCounts::default(); engine.rules.rules().len()],
            rule_nanos: vec![0; engine.rules.rules().len()],
            tables: BTreeMap::new(),
            resumed: resume.epoch,
            passed: 0,
            rules: engine.rules.clone(),
            times: StageTimes::default(),
            history: None,
            stats: None,
            published: Timer::every(PUBLISH_EVERY),
        };
        for partition in owned(partitions, index, engine.config.workers.get()) {
            worker.join(partition, resume.seen.get(&partition.id).copied().unwrap_or(i64::MIN));
        }
        worker
    }

    /// Takes on a partition whose newest event time so far is `seen`.
    fn join(&mut self, partition: &Partition, seen: i64) {
        let spec = partition.source.and_then(|s| self.sources.get(s)).cloned();
        let options = partition.name.as_ref().and_then(|n| self.inputs.get(&*n.place.input));
        let spec = spec.map(|spec| options.map_or(spec.clone(), |o| spec.for_input(o)));
        let place = partition.name.as_ref().map(|n| n.place.clone());
        let source = match (&place, &spec) {
            (Some(place), _) => place.input.to_string(),
            (None, Some(spec)) => spec.source.to_string(),
            (None, None) => "rows".to_owned(),
        };
        let mapper = spec.map(|spec| {
            // A service keeps raw rows for hunts too.
            let raw = self.rules.tables().any(|t| *t == spec.raw_table());
            Mapper::new(spec, &self.tenant, partition.id, partition.time, raw, seen)
        });
        let state = PartitionState { mapper, source, place, seen, first: BTreeMap::new() };
        self.partitions.insert(partition.id, state);
    }

    pub(crate) fn run(
        mut self,
        inbox: &Receiver<ToWorker>,
        out: &WorkerOut,
    ) -> (Counters, StageTimes) {
        while let Ok(message) = inbox.recv() {
            if self.take(message, out).is_err() {
                break;
            }
            if self.stats.is_some() && (inbox.is_empty() || self.published.is_due()) {
                self.publish_stats();
            }
        }
        self.publish_stats();
        (self.counted(), self.times)
    }

    /// Everything counted so far.
    fn counted(&self) -> Counters {
        let mut counters = self.counters.clone();
        for state in self.partitions.values() {
            if let Some(mapper) = &state.mapper {
                let counts = counters.sources.entry(state.source.clone()).or_default();
                counts.add_unmapped(mapper.unmapped());
            }
        }
        for (loaded, counts) in self.rules.rules().iter().zip(&self.rule_counts) {
            counters.rules.entry(loaded.plan.rule.to_string()).or_default().add(counts);
        }
        counters
    }

    fn publish_stats(&self) {
        let Some(handle) = &self.stats else { return };
        let costs = self.rules.rules().iter().zip(&self.rule_nanos).map(|(loaded, own)| {
            let mut cost = RuleCost { nanos: *own, ..RuleCost::default() };
            for branch in &loaded.plan.branches {
                let (rows, nanos) = self.tables.get(&branch.table).copied().unwrap_or_default();
                let sharing =
                    self.rules.table(&branch.table).map_or(1, |t| t.branches.len().max(1));
                cost.rows_seen += rows;
                cost.nanos += nanos / sharing as u64;
            }
            (loaded.plan.rule.to_string(), cost)
        });
        publish(
            handle,
            StageStats {
                counters: self.counted(),
                times: self.times,
                costs: costs.collect(),
                seen: self.partitions.iter().map(|(id, p)| (*id, p.seen)).collect(),
            },
        );
    }

    /// `Err` when nobody listens any more.
    fn take(&mut self, message: ToWorker, to: &WorkerOut) -> Result<(), ()> {
        let WorkerOut { shards, committer, letters: to_letters, backlog } = to;
        let worker = self.index;
        let to_all = |message: &dyn Fn() -> ShardMessage| {
            shards
                .iter()
                .try_for_each(|s| s.send(ToShard { worker, message: message() }).map_err(drop))
        };
        match message {
            ToWorker::Delivery(Delivery::Idle(partition)) => {
                to_all(&|| ShardMessage::Idle(partition))
            }
            ToWorker::Delivery(Delivery::End(partition)) => {
                self.progress.set(partition, i64::MAX);
                to_all(&|| ShardMessage::End(partition))
            }
            ToWorker::Delivery(Delivery::Join(partition)) => {
                self.join(&partition, i64::MIN);
                let Partition { id, tables, time, .. } = partition;
                to_all(&|| ShardMessage::Assign(PartitionInfo { id, tables: tables.clone(), time }))
            }
            ToWorker::Barrier(barrier) => {
                self.passed = barrier.number;
                let seen = self.partitions.iter().map(|(id, p)| (*id, p.seen)).collect();
                committer.send(ToCommitter::Seen(barrier.clone(), seen)).map_err(drop)?;
                to_all(&|| ShardMessage::Barrier(barrier.clone()))
            }
            ToWorker::Delivery(delivery) => {
                let Some(partition) = delivery.partition() else { return Ok(()) };
                let mut out = Outbox {
                    emissions: Vec::new(),
                    rows: vec![Vec::new(); self.shards],
                    first: Vec::new(),
                };
                let (batches, letters) = self.batches(delivery);
                if !letters.is_empty() {
                    let place = self.partitions.get(&partition).and_then(|p| p.place.clone());
                    let aside = letters.into_iter();
                    let aside =
                        aside.map(|letter| PlacedDeadLetter { place: place.clone(), letter });
                    let aside: Vec<PlacedDeadLetter> = aside.collect();
                    backlog.add(&aside);
                    to_letters.send(aside).map_err(drop)?;
                }
                for batch in &batches {
                    self.evaluate(batch, &mut out);
                }
                if !out.emissions.is_empty() {
                    let said = ToCommitter::Emissions(self.passed, out.emissions);
                    committer.send(said).map_err(drop)?;
                }
                let seen = self.partitions.get(&partition).map_or(i64::MIN, |p| p.seen);
                self.progress.set(partition, seen);
                for (shard, batches) in shards.iter().zip(out.rows) {
                    let first = out.first.clone();
                    let message = ShardMessage::Rows(ShardRows { partition, batches, seen, first });
                    shard.send(ToShard { worker, message }).map_err(drop)?;
                }
                Ok(())
            }
        }
    }

    /// Decodes and maps records; counts what became of them.
    fn batches(&mut self, delivery: Delivery) -> (Vec<EventBatch>, Vec<DeadLetter>) {
        let state = delivery.partition().and_then(|p| self.partitions.get_mut(&p));
        let Some(state) = state else { return Default::default() };
        match (delivery, &mut state.mapper) {
            (Delivery::Records(chunk), Some(mapper)) => {
                let mut watch = Stopwatch::start();
                let decoded = mapper.decode(&chunk);
                watch.lap(&mut self.times.decode);
                let processed = mapper.map(decoded);
                watch.lap(&mut self.times.map);
                state.seen = mapper.seen();
                let counts = self.counters.sources.entry(state.source.clone()).or_default();
                counts.add_records(&processed.counts);
                if state.place.is_none() {
                    let own = self.counters.partitions.entry(chunk.partition).or_default();
                    own.add_records(&processed.counts);
                }
                (processed.batches, processed.dead_letters)
            }
            (Delivery::Records(chunk), None) => {
                let processed = Processed::set_aside(&UNKNOWN.into(), &chunk);
                let counts = self.counters.sources.entry(state.source.clone()).or_default();
                counts.add_records(&processed.counts);
                (Vec::new(), processed.dead_letters)
            }
            // How far what was found has come is said apart from it.
            (Delivery::Rows(batch), _) if findings_source::layer(batch.origin.partition) > 0 => {
                (vec![batch], Vec::new())
            }
            (Delivery::Seen(_, time), _) => {
                state.seen = state.seen.max(time);
                Default::default()
            }
            (Delivery::Rows(batch), _) => {
                let newest = batch.times().iter().copied().max().unwrap_or(i64::MIN);
                state.seen = state.seen.max(newest);
                (vec![batch], Vec::new())
            }
            _ => Default::default(),
        }
    }

    /// Runs every rule of the batch's table over it.
    fn evaluate(&mut self, batch: &EventBatch, out: &mut Outbox) {
        if batch.is_empty() {
            return;
        }
        // Hunts read what was found from where it is kept.
        if let Some(history) = self.history.as_ref().filter(|_| !batch.table.is_findings()) {
            history.push_before(self.resumed + self.passed + 1, batch);
        }
        let Some(state) = self.partitions.get_mut(&batch.origin.partition) else { return };
        if !state.first.contains_key(&batch.table) {
            let time = batch.times()[0];
            state.first.insert(batch.table.clone(), time);
            out.first.push((batch.table.clone(), time));
        }
        let dropped = too_late(batch);
        if !batch.table.is_raw() && !batch.table.is_findings() {
            let counts = self.counters.sources.entry(state.source.clone()).or_default();
            let rows = counts.rows.entry(batch.table.clone()).or_default();
            let all = batch.len() as u64;
            *rows = RowCounts {
                mapped: rows.mapped + all,
                evaluated: rows.evaluated + all - dropped,
                too_late: rows.too_late + dropped,
            };
        }
        let rules = self.rules.clone();
        let Some(table) = rules.table(&batch.table) else { return };
        let scratch = self.scratch.entry(batch.table.clone()).or_default();
        let mut watch = Stopwatch::start();
        let hits = table.network.evaluate(&batch.columns, scratch);
        let spent = watch.lap(&mut self.times.matching);
        let (rows, nanos) = self.tables.entry(batch.table.clone()).or_default();
        *rows += batch.len() as u64;
        *nanos += spent;
        let mut rows = BatchRows::new(batch, &self.secret, self.shards);
        for (entry, hit) in hits {
            let (rule_index, branch) = table.branches[entry];
            let plan = &rules.rules()[rule_index].plan;
            let counts = &mut self.rule_counts[rule_index];
            counts.matched += hit.len() as u64;
            if plan.stage.is_stateless() {
                let (emissions, failures) = rows.stateless(plan, rule_index, branch, &hit);
                note(counts, failures);
                out.emissions.extend(emissions);
            } else {
                let made = rows.keyed(plan, rule_index, branch, &hit);
                note(counts, made.failures);
                counts.too_late += made.too_late;
            }
            self.rule_nanos[rule_index] += watch.lap(&mut self.times.project);
        }
        for (shard, batch) in out.rows.iter_mut().zip(rows.finish()) {
            shard.extend(batch);
        }
        watch.lap(&mut self.times.project);
    }
}

/// How many rows are further behind the newest row before them in their partition than the lateness
/// of their source.
fn too_late(batch: &EventBatch) -> u64 {
    let lateness = batch.origin.time.lateness;
    let late = |(time, seen): &(&i64, &i64)| **time < seen.saturating_sub(lateness);
    batch.times().iter().zip(&batch.seen_before).filter(late).count() as u64
}

/// Rows on which an expression failed did not match.
fn note(counts: &mut RuleCounts, failures: Failures) {
    counts.errors += failures.rows;
    counts.matched = counts.matched.saturating_sub(failures.rows);
    if counts.error.is_none() {
        counts.error = failures.first;
    }
}
