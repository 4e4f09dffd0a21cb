//! The stages in flow order and the threads between them: source -> workers -> shards -> committer.
//!
//! Acyclic, bounded channels, plain threads; no async. Not what a stage does: see [`crate::worker`],
//! [`crate::keyed`], [`crate::committer`].
//!
//! Barriers and watermarks travel in-band. A barrier follows everything delivered before it on every
//! channel, so what a shard exports when it has the barrier of every worker reflects exactly those
//! deliveries.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use crossbeam_channel::{Sender, bounded};

use crate::{
    Checkpoint, Engine, EngineError, FindingSink, Observer, Progress, RunOptions, Source, Summary,
    checkpoint::split,
    checkpoint_writer::CheckpointWriter,
    committer::Committer,
    findings_source::{FindingsSource, Settled},
    keyed::KeyedStage,
    message::{CheckpointBarrier, ToShard, ToWorker, WorkerOut},
    stopwatch::{Stopwatch, Timer},
    worker::Worker,
};

/// Deliveries whose dead letters wait for the committer before workers do. A source of inputs holds
/// those back long before.
const LETTERS: usize = 64;

impl Engine {
    /// Runs until the source ends, it is stopped, or a stage fails.
    ///
    /// # Errors
    /// If the source or the sink fails, or saved state does not fit the rules.
    pub fn run(
        &self,
        source: &mut dyn Source,
        sink: &mut dyn FindingSink,
        observer: &dyn Observer,
        mut options: RunOptions,
    ) -> Result<Summary, EngineError> {
        let depth = self.rules.layers().depth();
        let settled = (depth > 0).then(|| Arc::new(Settled::new(depth)));
        let mut over_findings;
        let source: &mut dyn Source = match &settled {
            None => source,
            Some(settled) => {
                let feed = sink.feed().ok_or(EngineError::NoFeed)?;
                let start = Checkpoint::default();
                over_findings = FindingsSource::new(
                    source,
                    feed,
                    settled.clone(),
                    self.rules.clone(),
                    &self.config.tenant,
                    options.resume.as_ref().unwrap_or(&start),
                );
                &mut over_findings
            }
        };
        let partitions = source.partitions();
        let progress = Progress::new(partitions.len());
        let workers = self.config.workers.get();
        let shards = self.config.shards.get();
        // Few: what is made of one input waits behind what was made of another.
        let (to_committer, from_stages) = bounded(workers + shards);
        let (to_letters, letters) = bounded(LETTERS);
        let backlog = source.backlog();
        backlog.clear();
        let (shard_in, shard_out): (Vec<_>, Vec<_>) =
            (0..shards).map(|_| bounded::<ToShard>(4 * workers)).unzip();
        let mut resume = options.resume.take().unwrap_or_default();
        // Each entry moves to its shard, so that saved state is in memory once.
        let state = split(std::mem::take(&mut resume.state), shards);
        let live = options.live.as_ref();
        let kept = AtomicU64::new(0);
        // One checkpoint is on its way at a time, and one more when the run is stopped.
        let (to_writer, checkpoints) = bounded(2);
        let stats = live.map(|l| l.stats.begin(workers, shards));
        let history = live.map(|l| l.history.clone());
        if let Some(history) = &history {
            history.begin(resume.epoch);
        }

        thread::scope(|scope| {
            let committer = to_committer.clone();
            let out = WorkerOut {
                shards: shard_in,
                committer,
                letters: to_letters,
                backlog: backlog.clone(),
            };
            let (worker_in, worker_threads): (Vec<_>, Vec<_>) = (0..workers)
                .map(|index| {
                    let (sender, receiver) = bounded::<ToWorker>(self.config.queue);
                    let mut worker = Worker::new(self, index, &partitions, &resume, &progress);
                    worker.history = history.clone();
                    worker.stats = stats.as_ref().and_then(|b| b.workers.get(index).cloned());
                    let out = out.clone();
                    (sender, scope.spawn(move || worker.run(&receiver, &out)))
                })
                .unzip();
            drop(out);
            let shard_threads: Vec<_> = shard_out
                .into_iter()
                .zip(state)
                .enumerate()
                .map(|(index, (receiver, state))| {
                    let mut stage = KeyedStage::new(self, index, &partitions, state, options.pace)?;
                    stage.stats = stats.as_ref().and_then(|b| b.shards.get(index).cloned());
                    let out = to_committer.clone();
                    Ok(scope.spawn(move || stage.run(&receiver, &out)))
                })
                .collect::<Result<_, EngineError>>()?;
            drop(to_committer);
            let writer =
                CheckpointWriter { sink: sink.checkpoints(), observer, history, durable: &kept };
            let writer_thread = scope.spawn(move || writer.run(&checkpoints));
            let mut committer = Committer::new(
                self,
                workers + shards,
                sink,
                observer,
                to_writer,
                resume.epoch,
                live.map(|l| l.commit_every),
            );
            committer.letters = letters;
            committer.backlog = backlog;
            committer.settled = settled;
            committer.stats = stats.as_ref().map(|b| b.committer.clone());
            let committer_thread = scope.spawn(move || committer.run(&from_stages));

            let feed = Feed {
                workers: &worker_in,
                progress: &progress,
                observer,
                options: &options,
                is_over: &|| committer_thread.is_finished() || writer_thread.is_finished(),
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
            let committed =
                committer_thread.join().map_err(|_| EngineError::Thread("committer"))?;
            let written = writer_thread.join().map_err(|_| EngineError::Thread("checkpoint"))?;
            let (counters, times) = committed?;
            summary.counters.add(&counters);
            summary.times.add(&times);
            summary.times.add(&written?);
            summary.delivered = fed?;
            Ok(summary)
        })
    }
}

/// Moves deliveries from the source to the worker that owns their partition, with barriers between.
struct Feed<'a> {
    workers: &'a [Sender<ToWorker>],
    progress: &'a Progress,
    observer: &'a dyn Observer,
    options: &'a RunOptions,
    /// Whether one of the last stages has failed: with nothing to deliver, no channel would tell.
    is_over: &'a dyn Fn() -> bool,
}

impl Feed<'_> {
    /// `kept` is the number of the last barrier whose checkpoint the sink has.
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
                let cut = |full| CheckpointBarrier {
                    number: marked + 1,
                    delivered,
                    position: source.position(),
                    age: Stopwatch::start(),
                    full,
                };
                if self.options.stop_after.is_some_and(|after| delivered >= after) {
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
            if delivered == last {
                self.observer.delivered_after(marked);
            }
            delivered += 1;
            let index = partition.0 as usize % self.workers.len();
            self.workers[index]
                .send(ToWorker::Delivery(delivery))
                .map_err(|_| EngineError::Thread("worker"))?;
        }
    }

    fn mark(&self, barrier: CheckpointBarrier) -> Result<(), EngineError> {
        let barrier = Arc::new(barrier);
        for worker in self.workers {
            let barrier = ToWorker::Barrier(barrier.clone());
            worker.send(barrier).map_err(|_| EngineError::Thread("worker"))?;
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
