//! The worker thread: decode, map, match, and turn the rows that passed into findings or into keyed
//! rows for the shards. Not the parts themselves: those are in `ingest` and `stream`.

use std::{collections::BTreeMap, sync::Arc};

use crossbeam_channel::{Receiver, Sender};
use sluice_event::{EventBatch, PartitionId, TableName};
use sluice_ingest::Mapper;
use sluice_stream::{Emission, Failures, KeyedRow, RowFacts, Scratch, Stage, keyed, stateless};

use crate::{
    Checkpoint, Counters, Delivery, Engine, Partition, Progress, RuleSet,
    counters::{RowCounts, RuleCounts},
    pipeline::{ShardMessage, ToCommitter, ToShard, ToWorker, owned},
    stopwatch::{StageTimes, Stopwatch},
};

/// What a worker made of one delivery, for one shard.
pub(crate) struct ShardRows {
    pub partition: PartitionId,
    /// Rows per rule.
    pub rows: Vec<(usize, Vec<KeyedRow>)>,
    /// The partition's greatest event time after this delivery.
    pub seen: i64,
    /// Tables this partition had its first row in, with that row's time.
    pub first: Vec<(TableName, i64)>,
}

pub(crate) struct Worker {
    index: usize,
    rules: Arc<RuleSet>,
    secret: [u8; 16],
    shards: usize,
    partitions: BTreeMap<PartitionId, PartitionState>,
    scratch: BTreeMap<TableName, Scratch>,
    progress: Progress,
    counters: Counters,
    rule_counts: Vec<RuleCounts>,
    times: StageTimes,
}

struct PartitionState {
    mapper: Option<Mapper>,
    source: String,
    seen: i64,
    first: BTreeMap<TableName, i64>,
}

/// Rows of one delivery on their way out.
struct Outbox {
    emissions: Vec<Emission>,
    rows: Vec<BTreeMap<usize, Vec<KeyedRow>>>,
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
        let mine = owned(partitions, index, engine.config.workers.get());
        let partitions = mine.map(|p| {
            let seen = resume.seen.get(&p.id).copied().unwrap_or(i64::MIN);
            let spec = p.source.map(|s| engine.sources[s].clone());
            let source = spec.as_ref().map_or_else(|| "rows".to_owned(), |s| s.source.to_string());
            let mapper = spec.map(|spec| {
                let raw = engine.rules.tables().any(|t| *t == spec.raw_table());
                Mapper::new(spec, &engine.config.tenant, p.id, p.time, raw, seen)
            });
            (p.id, PartitionState { mapper, source, seen, first: BTreeMap::new() })
        });
        Worker {
            index,
            secret: engine.config.vnode_secret,
            shards: engine.config.shards.get(),
            partitions: partitions.collect(),
            scratch: BTreeMap::new(),
            progress: progress.clone(),
            counters: Counters::default(),
            rule_counts: vec![RuleCounts::default(); engine.rules.rules().len()],
            rules: engine.rules.clone(),
            times: StageTimes::default(),
        }
    }

    pub(crate) fn run(
        mut self,
        inbox: &Receiver<ToWorker>,
        shards: &[Sender<ToShard>],
        committer: &Sender<ToCommitter>,
    ) -> (Counters, StageTimes) {
        while let Ok(message) = inbox.recv() {
            if self.take(message, shards, committer).is_err() {
                break;
            }
        }
        for state in self.partitions.values() {
            if let Some(mapper) = &state.mapper {
                let counts = self.counters.sources.entry(state.source.clone()).or_default();
                counts.add_unmapped(mapper.unmapped());
            }
        }
        for (loaded, counts) in self.rules.rules().iter().zip(&self.rule_counts) {
            self.counters.rules.entry(loaded.plan.rule.to_string()).or_default().add(counts);
        }
        (self.counters, self.times)
    }

    /// `Err` when nobody listens any more.
    fn take(
        &mut self,
        message: ToWorker,
        shards: &[Sender<ToShard>],
        committer: &Sender<ToCommitter>,
    ) -> Result<(), ()> {
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
            ToWorker::Marker(delivered) => {
                let seen = self.partitions.iter().map(|(id, p)| (*id, p.seen)).collect();
                committer.send(ToCommitter::Seen(delivered, seen)).map_err(drop)?;
                to_all(&|| ShardMessage::Marker)
            }
            ToWorker::Delivery(delivery) => {
                let partition = delivery.partition();
                let mut out = Outbox {
                    emissions: Vec::new(),
                    rows: vec![BTreeMap::new(); self.shards],
                    first: Vec::new(),
                };
                let (batches, letters) = self.batches(delivery);
                if !letters.is_empty() {
                    committer.send(ToCommitter::DeadLetters(letters)).map_err(drop)?;
                }
                for batch in &batches {
                    self.evaluate(batch, &mut out);
                }
                if !out.emissions.is_empty() {
                    committer.send(ToCommitter::Emissions(out.emissions)).map_err(drop)?;
                }
                let seen = self.partitions.get(&partition).map_or(i64::MIN, |p| p.seen);
                self.progress.set(partition, seen);
                for (shard, rows) in shards.iter().zip(out.rows) {
                    let rows = rows.into_iter().collect();
                    let first = out.first.clone();
                    let message = ShardMessage::Rows(ShardRows { partition, rows, seen, first });
                    shard.send(ToShard { worker, message }).map_err(drop)?;
                }
                Ok(())
            }
        }
    }

    /// Decodes and maps records; counts what became of them.
    fn batches(&mut self, delivery: Delivery) -> (Vec<EventBatch>, Vec<sluice_ingest::DeadLetter>) {
        let Some(state) = self.partitions.get_mut(&delivery.partition()) else {
            return Default::default();
        };
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
                (processed.batches, processed.dead_letters)
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
        let Some(state) = self.partitions.get_mut(&batch.origin.partition) else { return };
        if !state.first.contains_key(&batch.table) {
            let time = batch.times()[0];
            state.first.insert(batch.table.clone(), time);
            out.first.push((batch.table.clone(), time));
        }
        let dropped = too_late(batch);
        if !batch.table.is_raw() {
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
        watch.lap(&mut self.times.matching);
        let mut facts = RowFacts::new(batch);
        for (entry, hit) in hits {
            let (slot, branch) = table.branches[entry];
            let plan = &rules.rules()[slot].plan;
            let counts = &mut self.rule_counts[slot];
            counts.matched += hit.len() as u64;
            match &plan.stage {
                Stage::Stateless => {
                    let (emissions, failures) = stateless(plan, slot, branch, &mut facts, &hit);
                    note(counts, failures);
                    out.emissions.extend(emissions);
                }
                Stage::Window(_) | Stage::FirstSeen(_) => {
                    let made = keyed(plan, branch, &mut facts, &hit, &self.secret);
                    note(counts, made.failures);
                    counts.too_late += made.too_late;
                    for (vnode, row) in made.rows {
                        let shard = usize::from(vnode) % self.shards;
                        out.rows[shard].entry(slot).or_default().push(row);
                    }
                }
            }
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
