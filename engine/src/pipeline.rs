//! The stages in flow order and the threads between them: source -> workers -> shards -> committer.
//!
//! Acyclic, bounded channels, plain threads; no async. Not what a stage does: see [`crate::worker`],
//! [`crate::keyed`], [`crate::committer`].
//!
//! Markers and watermarks travel in-band. A marker follows everything delivered before it on every
//! channel, so what a shard exports when it has the marker of every worker reflects exactly those
//! deliveries.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use crossbeam_channel::{Sender, bounded};
use sluice_event::PartitionId;
use sluice_ingest::SourceSpec;
use sluice_stream::{Emission, PartitionInfo};

use crate::{
    Checkpoint, Counters, Delivery, EngineConfig, EngineError, FindingSink, Partition, Progress,
    RuleSet, SetAside, Source,
    board::Board,
    committer::Committer,
    history::EventHistory,
    keyed::KeyedStage,
    source::Standing,
    stopwatch::{StageTimes, Stopwatch, Timer},
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
    /// Checkpoints and counts while it runs, for a run that does not end.
    pub live: Option<Live>,
}

/// What a run without end needs beyond its input.
#[derive(Clone, Debug)]
pub struct Live {
    /// Milliseconds between checkpoints. One more is taken when the run is stopped.
    pub checkpoint_every: i64,
    /// Milliseconds that findings wait for others, to be kept with one sync.
    pub commit_every: i64,
    /// Where the stages show their counts.
    pub board: Arc<Board>,
    /// Where rows are kept for hunts.
    pub history: EventHistory,
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
    Marker(Arc<Marker>),
}

/// A cut through the stream: everything before it is the first so many deliveries.
pub(crate) struct Marker {
    pub number: u64,
    pub delivered: u64,
    pub standing: Standing,
    /// Since it was sent.
    pub age: Stopwatch,
    /// Whether shards hand over all of their state, or what changed since the last marker.
    pub full: bool,
}

/// To a shard: what one worker made of one delivery, or a marker.
pub(crate) struct ToShard {
    pub worker: usize,
    pub message: ShardMessage,
}

pub(crate) enum ShardMessage {
    Rows(crate::worker::ShardRows),
    Assign(PartitionInfo),
    Idle(PartitionId),
    End(PartitionId),
    Marker(Arc<Marker>),
}

/// To the committer.
pub(crate) enum ToCommitter {
    /// What a stage says after the marker of this number; 0 before the first.
    Emissions(u64, Vec<Emission>),
    SetAside(Vec<SetAside>),
    /// Part of a checkpoint: a worker's partitions.
    Seen(Arc<Marker>, Vec<(PartitionId, i64)>),
    /// Part of a checkpoint: a shard's state.
    State(Arc<Marker>, Vec<sluice_stream::StateEntry>),
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
        let live = options.live.as_ref();
        let kept = AtomicU64::new(0);
        let board = live.map(|l| l.board.begin(workers, shards));

        thread::scope(|scope| {
            let (worker_in, worker_threads): (Vec<_>, Vec<_>) = (0..workers)
                .map(|index| {
                    let (sender, receiver) = bounded::<ToWorker>(self.config.queue);
                    let mut worker = Worker::new(self, index, &partitions, &resume, &progress);
                    worker.history = live.map(|l| l.history.clone());
                    worker.slot = board.as_ref().and_then(|b| b.workers.get(index).cloned());
                    let out = (shard_in.clone(), to_committer.clone());
                    (sender, scope.spawn(move || worker.run(&receiver, &out.0, &out.1)))
                })
                .unzip();
            drop(shard_in);
            let shard_threads: Vec<_> = shard_out
                .into_iter()
                .enumerate()
                .map(|(index, receiver)| {
                    let mut stage = KeyedStage::new(self, index, &partitions, &resume)?;
                    stage.slot = board.as_ref().and_then(|b| b.shards.get(index).cloned());
                    let out = to_committer.clone();
                    Ok(scope.spawn(move || stage.run(&receiver, &out)))
                })
                .collect::<Result<_, EngineError>>()?;
            drop(to_committer);
            let mut committer = Committer::new(self, workers + shards, sink, observer, &kept);
            committer.commit_every = live.map(|l| l.commit_every);
            committer.slot = board.as_ref().map(|b| b.committer.clone());
            let committer_thread = scope.spawn(move || committer.run(&from_stages));

            let feed = Feed {
                workers: &worker_in,
                progress: &progress,
                options: &options,
                is_over: &|| committer_thread.is_finished(),
            };
            let fed = feed.run(source, &kept, resume.delivered);
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

/// Somebody who watches what is set aside and what became durable. Called on the committer's
/// thread. Findings are seen by the sink.
pub trait Observer: Sync {
    /// Records were set aside.
    fn set_aside(&self, _letters: &[SetAside]) {}

    /// A checkpoint is kept: everything before its positions is durable. It wrote so many bytes of
    /// state, and took so long since its marker was sent.
    fn checkpoint(&self, _kept: &Standing, _bytes: u64, _took: Duration) {}
}

/// Nobody watches.
#[derive(Debug, Clone, Copy)]
pub struct Unobserved;

impl Observer for Unobserved {}

/// Moves deliveries from the source to the worker that owns their partition, with markers between.
struct Feed<'a> {
    workers: &'a [Sender<ToWorker>],
    progress: &'a Progress,
    options: &'a RunOptions,
    /// Whether the last stage has failed: with nothing to deliver, no channel would tell.
    is_over: &'a dyn Fn() -> bool,
}

impl Feed<'_> {
    /// `kept` is the number of the last marker whose checkpoint the sink has.
    fn run(
        &self,
        source: &mut dyn Source,
        kept: &AtomicU64,
        resumed_at: u64,
    ) -> Result<u64, EngineError> {
        let mut delivered = resumed_at;
        let mut marked = 0;
        let mut due = self.options.live.as_ref().map(|l| Timer::every(l.checkpoint_every));
        let mut last = resumed_at;
        let mut rest = Rest::default();
        loop {
            if (self.is_over)() {
                return Err(EngineError::Thread("committer"));
            }
            if source.at_boundary() {
                let cut = |full| Marker {
                    number: marked + 1,
                    delivered,
                    standing: source.standing(),
                    age: Stopwatch::start(),
                    full,
                };
                if self.options.stop_after == Some(delivered) {
                    self.mark(cut(true))?;
                    return Ok(delivered);
                }
                if self.options.stop.load(Ordering::Relaxed) {
                    if due.is_some() {
                        self.mark(cut(false))?;
                    }
                    return Ok(delivered);
                }
                // One at a time, so that a slow store is not asked for more and more.
                if kept.load(Ordering::Acquire) == marked
                    && rest.is_over()
                    && delivered != last
                    && due.as_mut().is_some_and(Timer::is_due)
                {
                    rest = Rest::after(Stopwatch::start());
                    self.mark(cut(false))?;
                    marked += 1;
                    last = delivered;
                }
            }
            let Some(delivery) = source.next(self.progress)? else { return Ok(delivered) };
            let Some(partition) = delivery.partition() else { continue };
            delivered += 1;
            let index = partition.0 as usize % self.workers.len();
            self.workers[index]
                .send(ToWorker::Delivery(delivery))
                .map_err(|_| EngineError::Thread("worker"))?;
        }
    }

    fn mark(&self, marker: Marker) -> Result<(), EngineError> {
        let marker = Arc::new(marker);
        for worker in self.workers {
            let marker = ToWorker::Marker(marker.clone());
            worker.send(marker).map_err(|_| EngineError::Thread("worker"))?;
        }
        Ok(())
    }
}

/// Checkpoints take at most a tenth of the time: one that writes much state is followed by a longer
/// rest, and what a crash makes read again grows with it.
#[derive(Default)]
struct Rest {
    sent: Option<Stopwatch>,
    took: Option<Duration>,
}

impl Rest {
    fn after(sent: Stopwatch) -> Rest {
        Rest { sent: Some(sent), took: None }
    }

    /// Asked only once the checkpoint is kept.
    fn is_over(&mut self) -> bool {
        let Some(sent) = &self.sent else { return true };
        let passed = sent.elapsed();
        passed >= *self.took.get_or_insert(passed) * 10
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
