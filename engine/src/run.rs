//! What a run is made of, what may be asked of it, and what it did. Not its threads: see
//! [`crate::pipeline`].

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use sluice_ingest::SourceSpec;
use sluice_stream::Pace;

use crate::{
    Checkpoint, Counters, EngineConfig, PlacedDeadLetter, RuleSet, SourcePosition, StatsRegistry,
    history::EventHistory, stopwatch::StageTimes,
};

/// A set of rules and sources, ready to run over an input.
#[derive(Debug)]
pub struct Engine {
    /// The rules.
    pub rules: Arc<RuleSet>,
    /// The mapping sources, by the index [`crate::Partition::source`] uses.
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
    /// Set from outside to stop early and cleanly: everything delivered is processed.
    pub stop: Arc<AtomicBool>,
    /// How soon findings that can still change are reported. At [`Pace::News`] every change is within
    /// a second; at any pace before a checkpoint and when the run ends.
    pub pace: Pace,
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
    /// Where the stages publish their counts.
    pub stats: Arc<StatsRegistry>,
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

/// Observes what became a dead letter and what became durable, on threads of the pipeline. Findings
/// are seen by the sink.
pub trait Observer: Sync {
    /// Records became dead letters.
    fn dead_letters(&self, _letters: &[PlacedDeadLetter]) {}

    /// The first delivery after the barrier of this number (0: of the run): from now on there is
    /// something that only a later checkpoint covers.
    fn delivered_after(&self, _barrier: u64) {}

    /// A checkpoint is durable.
    fn checkpoint(&self, _durable: DurableCheckpoint<'_>) {}
}

/// A checkpoint that is durable, and what it cost.
#[derive(Clone, Copy, Debug)]
pub struct DurableCheckpoint<'a> {
    /// The number of its barrier, from 1 in every run.
    pub barrier: u64,
    /// Its epoch, through all runs.
    pub epoch: u64,
    /// Everything before this is durable.
    pub position: &'a SourcePosition,
    /// Bytes of state it wrote.
    pub bytes: u64,
    /// Since its barrier was sent.
    pub took: Duration,
}

/// An observer that does nothing.
#[derive(Debug, Clone, Copy)]
pub struct Unobserved;

impl Observer for Unobserved {}
