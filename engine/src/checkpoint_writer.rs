//! The thread that keeps checkpoints, beside the path of findings: a checkpoint of any size delays no
//! commit. Not what a checkpoint is made of, which the committer puts together.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crossbeam_channel::Receiver;
use sluice_stream::StateEntry;

use crate::{
    Checkpoint, CheckpointSink, DurableCheckpoint, EngineError, Observer,
    history::EventHistory,
    message::CheckpointBarrier,
    stopwatch::{StageTimes, Stopwatch},
};

/// A checkpoint all of whose findings are committed.
pub(crate) struct SealedCheckpoint {
    pub barrier: Arc<CheckpointBarrier>,
    pub checkpoint: Checkpoint,
}

/// Keeps one checkpoint after the other.
pub(crate) struct CheckpointWriter<'a> {
    /// Where they are kept; without it they end here.
    pub sink: Option<Box<dyn CheckpointSink>>,
    pub observer: &'a dyn Observer,
    /// Where the rows it covers are kept for hunts.
    pub history: Option<EventHistory>,
    /// The number of the last barrier whose checkpoint is durable.
    pub durable: &'a AtomicU64,
}

impl CheckpointWriter<'_> {
    /// Until the committer ends, or a checkpoint cannot be kept.
    pub(crate) fn run(
        mut self,
        inbox: &Receiver<SealedCheckpoint>,
    ) -> Result<StageTimes, EngineError> {
        let mut times = StageTimes::default();
        while let Ok(SealedCheckpoint { barrier, mut checkpoint }) = inbox.recv() {
            let mut watch = Stopwatch::start();
            checkpoint.state.iter_mut().for_each(StateEntry::pack);
            let (bytes, epoch) = (checkpoint.state.iter().map(bytes).sum(), checkpoint.epoch);
            if let Some(history) = &self.history {
                checkpoint.history = history.seal(epoch);
            }
            if let Some(sink) = &mut self.sink {
                sink.keep(checkpoint)?;
            }
            if let Some(history) = &self.history {
                history.kept(epoch);
            }
            self.durable.store(barrier.number, Ordering::Release);
            watch.lap(&mut times.checkpoint);
            self.observer.checkpoint(DurableCheckpoint {
                barrier: barrier.number,
                epoch,
                position: &barrier.position,
                bytes,
                took: barrier.age.elapsed(),
            });
        }
        Ok(times)
    }
}

fn bytes(entry: &StateEntry) -> u64 {
    (entry.key.len() + entry.value.as_ref().map_or(0, Vec::len)) as u64
}
