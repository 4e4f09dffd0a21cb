//! The last stage: emissions become findings and are kept. One thread, so that what is kept has one
//! order.

use crossbeam_channel::Receiver;

use crate::{
    Checkpoint, Commit, Counters, Engine, EngineError, FindingSink, Observer, RuleSet, findings,
    pipeline::ToCommitter,
    stopwatch::{StageTimes, Stopwatch},
};

/// Makes findings and hands them to the sink; puts checkpoints together.
pub(crate) struct Committer<'a> {
    rules: &'a RuleSet,
    tenant: &'a str,
    sink: &'a mut dyn FindingSink,
    observer: &'a dyn Observer,
    /// How many stages take part in a checkpoint.
    parts: usize,
    checkpoint: Checkpoint,
    parts_seen: usize,
    times: StageTimes,
}

impl<'a> Committer<'a> {
    pub(crate) fn new(
        engine: &'a Engine,
        parts: usize,
        sink: &'a mut dyn FindingSink,
        observer: &'a dyn Observer,
    ) -> Self {
        Committer {
            rules: &engine.rules,
            tenant: &engine.config.tenant,
            sink,
            observer,
            parts,
            checkpoint: Checkpoint::default(),
            parts_seen: 0,
            times: StageTimes::default(),
        }
    }

    pub(crate) fn run(
        mut self,
        inbox: &Receiver<ToCommitter>,
    ) -> Result<(Counters, StageTimes), EngineError> {
        while let Ok(message) = inbox.recv() {
            let mut watch = Stopwatch::start();
            match message {
                ToCommitter::Emissions(emissions) => {
                    let findings: Vec<_> = emissions
                        .iter()
                        .map(|e| findings::finding(self.tenant, &self.rules.rules()[e.slot], e))
                        .collect();
                    self.sink.commit(Commit { findings, ..Commit::default() })?;
                }
                ToCommitter::DeadLetters(letters) => self.observer.dead_letters(&letters),
                ToCommitter::Seen(delivered, seen) => {
                    self.checkpoint.delivered = delivered;
                    self.checkpoint.seen.extend(seen);
                    self.part()?;
                }
                ToCommitter::State(state) => {
                    self.checkpoint.state.extend(state);
                    self.part()?;
                }
            }
            watch.lap(&mut self.times.emit);
        }
        Ok((Counters::default(), self.times))
    }

    /// One more stage has given its part of the checkpoint; with the last one it is kept. Findings
    /// of rows before it were committed before it, since each stage sends them first.
    fn part(&mut self) -> Result<(), EngineError> {
        self.parts_seen += 1;
        if self.parts_seen == self.parts {
            self.parts_seen = 0;
            self.checkpoint.full = true;
            let checkpoint = Some(std::mem::take(&mut self.checkpoint));
            self.sink.commit(Commit { checkpoint, ..Commit::default() })?;
        }
        Ok(())
    }
}
