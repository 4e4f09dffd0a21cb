//! The stages in flow order and the threads between them: source -> workers -> shards -> committer.
//!
//! Acyclic, bounded channels, plain threads; no async. Not what a stage does: see [`crate::worker`],
//! [`crate::keyed`], [`crate::committer`].
//!
//! Markers and watermarks travel in-band. A marker for epoch N follows everything delivered before
//! it on every channel, so what a shard exports when it has the marker of every worker reflects
//! exactly those deliveries.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use crossbeam_channel::{Sender, bounded};
use sluice_event::PartitionId;
use sluice_ingest::SourceSpec;
use sluice_stream::Emission;

use crate::{
    Checkpoint, Counters, Delivery, EngineConfig, EngineError, FindingSink, Partition, Progress,
    RuleSet, Source, committer::Committer, keyed::KeyedStage, stopwatch::StageTimes,
    worker::Worker,
};

/// A set of rules and sources, ready to run over an input.
#[derive(Debug)]
pub struct Engine {
    /// The rules.
    pub rules: Arc<RuleSet>,
    /// The mapping sources, by the index [`Partition::source`] uses.
    pub sources: Vec<Arc<SourceSpec>>,
    /// How to run.
    pub config: EngineConfig,
}

/// When to stop and what to save, beyond running to the end of the input.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// Resume from here; the source must deliver what follows.
    pub resume: Option<Checkpoint>,
    /// Stop after this many deliveries and hand the sink a checkpoint, as if the process ended.
    pub stop_after: Option<u64>,
    /// Set by somebody else to stop early and cleanly: everything delivered is processed.
    pub stop: Arc<AtomicBool>,
}

/// What a run did.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// The counters; [`Counters::violations`] is empty unless we have a defect.
    pub counters: Counters,
    /// Where the time of the threads went.
    pub times: StageTimes,
    /// How many deliveries were processed.
    pub delivered: u64,
}

/// To a worker.
pub(crate) enum ToWorker {
    Delivery(Delivery),
    /// Everything before it is the first so many deliveries.
    Marker(u64),
}

/// To a shard: what one worker made of one delivery, or a marker.
pub(crate) struct ToShard {
    pub worker: usize,
    pub message: ShardMessage,
}

pub(crate) enum ShardMessage {
    Rows(crate::worker::ShardRows),
    Idle(PartitionId),
    End(PartitionId),
    Marker,
}

/// To the committer.
pub(crate) enum ToCommitter {
    Emissions(Vec<Emission>),
    DeadLetters(Vec<sluice_ingest::DeadLetter>),
    /// Part of a checkpoint: how many deliveries it covers, and a worker's partitions.
    Seen(u64, Vec<(PartitionId, i64)>),
    /// Part of a checkpoint: a shard's state.
    State(Vec<sluice_stream::StateEntry>),
}

impl Engine {
    /// Runs until the source ends, somebody stops it, or a stage fails.
    ///
    /// # Errors
    /// If the source or the sink fails, or saved state does not fit the rules.
    pub fn run(
        &self,
        source: &mut dyn Source,
        sink: &mut dyn FindingSink,
        observer: &dyn Observer,
        options: RunOptions,
    ) -> Result<Summary, EngineError> {
        let partitions = source.partitions();
        let progress = Progress::new(partitions.len());
        let workers = self.config.workers.get();
        let shards = self.config.shards.get();
        let (to_committer, from_stages) = bounded(4 * (workers + shards));
        let (shard_in, shard_out): (Vec<_>, Vec<_>) =
            (0..shards).map(|_| bounded::<ToShard>(4 * workers)).unzip();
        let resume = options.resume.clone().unwrap_or_default();

        thread::scope(|scope| {
            let (worker_in, worker_threads): (Vec<_>, Vec<_>) = (0..workers)
                .map(|index| {
                    let (sender, receiver) = bounded::<ToWorker>(self.config.queue);
                    let worker = Worker::new(self, index, &partitions, &resume, &progress);
                    let out = (shard_in.clone(), to_committer.clone());
                    (sender, scope.spawn(move || worker.run(&receiver, &out.0, &out.1)))
                })
                .unzip();
            drop(shard_in);
            let shard_threads: Vec<_> = shard_out
                .into_iter()
                .enumerate()
                .map(|(index, receiver)| {
                    let stage = KeyedStage::new(self, index, &partitions, &resume)?;
                    let out = to_committer.clone();
                    Ok(scope.spawn(move || stage.run(&receiver, &out)))
                })
                .collect::<Result<_, EngineError>>()?;
            drop(to_committer);
            let committer = Committer::new(self, workers + shards, sink, observer);
            let committer_thread = scope.spawn(move || committer.run(&from_stages));

            let fed = feed(source, &worker_in, &progress, &options, resume.delivered);
            drop(worker_in);

            let mut summary = Summary::default();
            for thread in worker_threads {
                let (counters, times) = thread.join().map_err(|_| EngineError::Thread("worker"))?;
                summary.counters.add(&counters);
                summary.times.add(&times);
            }
            for thread in shard_threads {
                let (counters, times) = thread.join().map_err(|_| EngineError::Thread("shard"))?;
                summary.counters.add(&counters);
                summary.times.add(&times);
            }
            let (counters, times) =
                committer_thread.join().map_err(|_| EngineError::Thread("committer"))??;
            summary.counters.add(&counters);
            summary.times.add(&times);
            summary.delivered = fed?;
            Ok(summary)
        })
    }
}

/// Somebody who watches what is set aside. Called on the committer's thread. Findings are seen by
/// the sink.
pub trait Observer: Sync {
    /// Records were set aside.
    fn dead_letters(&self, _letters: &[sluice_ingest::DeadLetter]) {}
}

/// Nobody watches.
#[derive(Debug, Clone, Copy)]
pub struct Unobserved;

impl Observer for Unobserved {}

/// Moves deliveries from the source to the worker that owns their partition.
fn feed(
    source: &mut dyn Source,
    workers: &[Sender<ToWorker>],
    progress: &Progress,
    options: &RunOptions,
    resumed_at: u64,
) -> Result<u64, EngineError> {
    let mut delivered = resumed_at;
    let closed = |_| EngineError::Thread("worker");
    loop {
        if options.stop.load(Ordering::Relaxed) {
            return Ok(delivered);
        }
        if options.stop_after == Some(delivered) {
            for worker in workers {
                worker.send(ToWorker::Marker(delivered)).map_err(closed)?;
            }
            return Ok(delivered);
        }
        let Some(delivery) = source.next(progress)? else { return Ok(delivered) };
        delivered += 1;
        let index = delivery.partition().0 as usize % workers.len();
        workers[index].send(ToWorker::Delivery(delivery)).map_err(closed)?;
    }
}

/// The partitions a worker owns.
pub(crate) fn owned(
    partitions: &[Partition],
    worker: usize,
    workers: usize,
) -> impl Iterator<Item = &Partition> {
    partitions.iter().filter(move |p| p.id.0 as usize % workers == worker)
}
