//! The last stage: emissions become findings and are kept. One thread, so that what is kept has one
//! order.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use sluice_stream::Emission;

use crate::{
    Checkpoint, Commit, Counters, Engine, EngineError, FindingSink, Observer, RuleCost, RuleSet,
    findings,
    message::{CheckpointBarrier, ToCommitter},
    stats::{StageStats, StatsHandle, publish},
    stopwatch::{StageTimes, Stopwatch, Timer},
};

/// Makes findings and hands them to the sink; puts checkpoints together.
pub(crate) struct Committer<'a> {
    rules: &'a RuleSet,
    tenant: &'a str,
    sink: &'a mut dyn FindingSink,
    observer: &'a dyn Observer,
    /// How many stages take part in a checkpoint.
    parts: usize,
    checkpoints: BTreeMap<u64, Parts>,
    /// The number of the last barrier whose checkpoint is kept.
    kept: &'a AtomicU64,
    /// Findings and records not yet given to the sink.
    open: Commit,
    /// What was said after a barrier whose checkpoint is not kept yet. The sink must be able to tell
    /// what a checkpoint covers from what came after it: the latter is said again after a crash.
    early: VecDeque<(u64, Vec<Emission>)>,
    /// Milliseconds to wait for more of them; `None` gives each to the sink at once.
    pub commit_every: Option<i64>,
    /// Where it publishes what rules found.
    pub stats: Option<StatsHandle>,
    costs: BTreeMap<usize, RuleCost>,
    times: StageTimes,
}

/// A checkpoint in the making.
#[derive(Default)]
struct Parts {
    checkpoint: Checkpoint,
    seen: usize,
}

/// A commit is made at this many findings without waiting longer.
const FINDINGS_MAX: usize = 2_000;

impl<'a> Committer<'a> {
    pub(crate) fn new(
        engine: &'a Engine,
        parts: usize,
        sink: &'a mut dyn FindingSink,
        observer: &'a dyn Observer,
        kept: &'a AtomicU64,
    ) -> Self {
        Committer {
            rules: &engine.rules,
            tenant: &engine.config.tenant,
            sink,
            observer,
            parts,
            checkpoints: BTreeMap::new(),
            kept,
            open: Commit::default(),
            early: VecDeque::new(),
            commit_every: None,
            stats: None,
            costs: BTreeMap::new(),
            times: StageTimes::default(),
        }
    }

    pub(crate) fn run(
        mut self,
        inbox: &Receiver<ToCommitter>,
    ) -> Result<(Counters, StageTimes), EngineError> {
        let mut patience = Timer::every(self.commit_every.unwrap_or(0));
        loop {
            let empty = self.open.findings.is_empty() && self.open.dead_letters.is_empty();
            let message = if empty {
                inbox.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                inbox.recv_timeout(patience.left())
            };
            let mut watch = Stopwatch::start();
            match message {
                Ok(message) => {
                    if empty {
                        patience.restart();
                    }
                    self.take(message)?;
                    let full = self.open.findings.len() >= FINDINGS_MAX;
                    if full || patience.left().is_zero() {
                        self.flush(None)?;
                    }
                }
                Err(RecvTimeoutError::Timeout) => self.flush(None)?,
                Err(RecvTimeoutError::Disconnected) => {
                    // The run has ended without the checkpoint these wait for.
                    for (_, emissions) in std::mem::take(&mut self.early) {
                        self.say(&emissions);
                    }
                    self.flush(None)?;
                    return Ok((Counters::default(), self.times));
                }
            }
            watch.lap(&mut self.times.emit);
            self.publish_stats();
        }
    }

    fn take(&mut self, message: ToCommitter) -> Result<(), EngineError> {
        match message {
            ToCommitter::Emissions(after, emissions) => {
                if after > self.kept.load(Ordering::Relaxed) {
                    self.early.push_back((after, emissions));
                } else {
                    self.say(&emissions);
                }
                Ok(())
            }
            ToCommitter::DeadLetters(letters) => {
                self.observer.dead_letters(&letters);
                self.open.dead_letters.extend(letters);
                Ok(())
            }
            ToCommitter::Seen(barrier, seen) => {
                let parts = self.checkpoints.entry(barrier.number).or_default();
                parts.checkpoint.seen.extend(seen);
                self.part(&barrier)
            }
            ToCommitter::State(barrier, state) => {
                let parts = self.checkpoints.entry(barrier.number).or_default();
                parts.checkpoint.state.extend(state);
                self.part(&barrier)
            }
        }
    }

    /// One more stage has given its part of the checkpoint; with the last one it is kept. Findings
    /// of rows before it are in this commit or an earlier one, since each stage sends them first.
    fn part(&mut self, barrier: &Arc<CheckpointBarrier>) -> Result<(), EngineError> {
        let parts = self.checkpoints.entry(barrier.number).or_default();
        parts.seen += 1;
        if parts.seen < self.parts {
            return Ok(());
        }
        let mut checkpoint = std::mem::take(&mut parts.checkpoint);
        self.checkpoints.remove(&barrier.number);
        checkpoint.full = barrier.full;
        checkpoint.delivered = barrier.delivered;
        checkpoint.positions.clone_from(&barrier.position.positions);
        checkpoint.partitions.clone_from(&barrier.position.partitions);
        let size =
            |e: &sluice_stream::StateEntry| e.key.len() + e.value.as_ref().map_or(0, Vec::len);
        let bytes = checkpoint.state.iter().map(|e| size(e) as u64).sum();
        self.flush(Some(checkpoint))?;
        self.kept.store(barrier.number, Ordering::Release);
        for (after, emissions) in std::mem::take(&mut self.early) {
            if after > barrier.number {
                self.early.push_back((after, emissions));
            } else {
                self.say(&emissions);
            }
        }
        self.observer.checkpoint(&barrier.position, bytes, barrier.age.elapsed());
        Ok(())
    }

    fn say(&mut self, emissions: &[Emission]) {
        for emission in emissions {
            let rule = &self.rules.rules()[emission.slot];
            let finding = findings::finding(self.tenant, rule, emission);
            let cost = self.costs.entry(emission.slot).or_default();
            cost.findings += 1;
            cost.last_fired = cost.last_fired.max(Some(finding.time));
            self.open.findings.push(finding);
        }
    }

    fn flush(&mut self, checkpoint: Option<Checkpoint>) -> Result<(), EngineError> {
        let mut commit = std::mem::take(&mut self.open);
        commit.checkpoint = checkpoint;
        let empty = commit.findings.is_empty()
            && commit.dead_letters.is_empty()
            && commit.checkpoint.is_none();
        if !empty {
            self.sink.commit(commit)?;
        }
        Ok(())
    }

    fn publish_stats(&self) {
        let Some(handle) = &self.stats else { return };
        let rules = self.rules.rules();
        let costs = self.costs.iter().map(|(slot, c)| (rules[*slot].plan.rule.to_string(), *c));
        let times = self.times;
        publish(handle, StageStats { times, costs: costs.collect(), ..StageStats::default() });
    }
}
