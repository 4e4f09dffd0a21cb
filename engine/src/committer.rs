//! The last stage: emissions become findings and are committed. One thread, so that commits have one
//! order. Not how checkpoints are kept: see [`crate::checkpoint_writer`].
//!
//! Findings never wait for a checkpoint. When the last stage has passed a barrier, every finding
//! reported before it has been received, since each stage sends its findings first; they are committed,
//! and only then does the checkpoint go to its writer.
//!
//! A commit is small, and what waits for one waits in lanes: a rule that finds thousands at once holds up
//! the finding of another rule for two commits, some tens of milliseconds. Dead letters come by a channel
//! of their own: where there are more than can be kept up with, who sent them waits, and no finding does.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, after, never, select};
use sluice_finding::FindingId;
use sluice_stream::Emission;

use crate::{
    Backlog, Checkpoint, Commit, Counters, Engine, EngineError, FindingSink, Observer,
    PlacedDeadLetter, Reported, RuleCost, RuleSet, Seq,
    checkpoint_writer::SealedCheckpoint,
    coalesce::Updates,
    degraded, findings,
    findings_source::Settled,
    lanes::Lanes,
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
    writer: Sender<SealedCheckpoint>,
    /// The epoch this run began from.
    resumed: u64,
    /// The last change of the sink.
    last: Seq,
    /// By barrier: the last change before the first emission of a stage that had passed it.
    before: BTreeMap<u64, Seq>,
    /// Records set aside, from workers. Those of before a barrier are there when it has been passed.
    pub letters: Receiver<Vec<PlacedDeadLetter>>,
    /// Where it says which of them are kept.
    pub backlog: Backlog,
    /// What waits for a commit of a service.
    lanes: Lanes,
    /// The checkpoint that goes to its writer once everything marked in the lanes is committed.
    sealing: Option<(Arc<CheckpointBarrier>, Checkpoint)>,
    /// Findings and dead letters of the next commit.
    open: Commit,
    /// Updates of findings committed a moment ago.
    updates: Updates,
    /// Milliseconds to wait for more of them; `None` gives each to the sink at once.
    commit_every: Option<i64>,
    /// Where it says how far what was found is final, for rules that read it.
    pub settled: Option<Arc<Settled>>,
    /// Per shard and layer: how far it is.
    closed: Vec<Vec<i64>>,
    /// Whether that is news, and the last change that has been said.
    closed_more: bool,
    said: Seq,
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

/// A commit is made at this many findings, about 20 ms of work, without waiting longer.
const FINDINGS_MAX: usize = 128;
/// Dead letters of one commit, some milliseconds of work. They wait for the time of a commit: of 20 ms,
/// that is 12,800 a second, and who sends more waits.
const LETTERS_MAX: usize = 256;
/// Stages wait while so many emissions do: with the longest evidence, 50 MB.
const WAITING_MAX: usize = 4_096;
/// Milliseconds between two commits of updates of one finding.
const UPDATE_EVERY: i64 = 1_000;

impl<'a> Committer<'a> {
    /// With `commit_every`, findings wait so many milliseconds for others, and updates of one finding
    /// are coalesced; without, each is committed as it comes.
    pub(crate) fn new(
        engine: &'a Engine,
        parts: usize,
        sink: &'a mut dyn FindingSink,
        observer: &'a dyn Observer,
        writer: Sender<SealedCheckpoint>,
        resumed: u64,
        commit_every: Option<i64>,
    ) -> Self {
        Committer {
            rules: &engine.rules,
            tenant: &engine.config.tenant,
            sink,
            observer,
            parts,
            checkpoints: BTreeMap::new(),
            writer,
            resumed,
            last: Seq(0),
            before: BTreeMap::new(),
            letters: never(),
            backlog: Backlog::default(),
            lanes: Lanes::default(),
            sealing: None,
            open: Commit::default(),
            updates: Updates::every(commit_every.map(|_| UPDATE_EVERY)),
            commit_every,
            settled: None,
            closed: vec![Vec::new(); engine.config.shards.get()],
            closed_more: false,
            said: Seq(0),
            stats: None,
            costs: BTreeMap::new(),
            times: StageTimes::default(),
        }
    }

    pub(crate) fn run(
        mut self,
        inbox: &Receiver<ToCommitter>,
    ) -> Result<(Counters, StageTimes), EngineError> {
        self.sink.resume(self.resumed)?;
        // What was there before this run is before every barrier of it.
        self.last = self.sink.commit(Commit::default())?;
        let mut patience = Timer::every(self.commit_every.unwrap_or(0));
        loop {
            let idle = self.open.is_empty();
            let message = self.receive(inbox, self.wait(&patience));
            let mut watch = Stopwatch::start();
            match message {
                Ok(message) => self.take(message)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    self.receive_letters(usize::MAX);
                    self.queue_updates();
                    self.commit_all()?;
                    watch.lap(&mut self.times.emit);
                    self.publish_stats();
                    return Ok((Counters::default(), self.times));
                }
            }
            // Whoever has something to say now is in the next commit.
            while self.lanes.emissions() + self.open.findings.len() < WAITING_MAX
                && let Ok(message) = inbox.try_recv()
            {
                self.take(message)?;
            }
            self.receive_letters(LETTERS_MAX);
            for (epoch, emission) in self.updates.due() {
                self.queue(epoch, emission);
            }
            self.fill();
            if idle {
                patience.restart();
            }
            if self.open.findings.len() >= FINDINGS_MAX
                || (!self.open.is_empty() && patience.left().is_zero())
            {
                self.flush()?;
            }
            self.seal()?;
            self.settle();
            watch.lap(&mut self.times.emit);
            self.publish_stats();
        }
    }

    /// The next message; a time-out as well when dead letters have come.
    fn receive(
        &mut self,
        inbox: &Receiver<ToCommitter>,
        wait: Option<Duration>,
    ) -> Result<ToCommitter, RecvTimeoutError> {
        let timer = wait.map_or_else(never, after);
        select! {
            recv(inbox) -> message => message.map_err(|_| RecvTimeoutError::Disconnected),
            recv(self.letters) -> letters => {
                match letters {
                    Ok(letters) => self.queue_letters(letters),
                    // All workers have ended.
                    Err(_) => self.letters = never(),
                }
                Err(RecvTimeoutError::Timeout)
            }
            recv(timer) -> _ => Err(RecvTimeoutError::Timeout),
        }
    }

    /// Takes dead letters that are there, until at least so many wait.
    fn receive_letters(&mut self, least: usize) {
        while self.lanes.letters() < least
            && let Ok(letters) = self.letters.try_recv()
        {
            self.queue_letters(letters);
        }
    }

    fn queue_letters(&mut self, letters: Vec<PlacedDeadLetter>) {
        self.observer.dead_letters(&letters);
        self.lanes.push_letters(letters);
    }

    /// How long nothing has to be done without a message; `None` if for ever.
    fn wait(&self, patience: &Timer) -> Option<Duration> {
        if self.lanes.emissions() > 0 || (self.open.is_empty() && !self.lanes.is_empty()) {
            return Some(Duration::ZERO);
        }
        let commit = (!self.open.is_empty()).then(|| patience.left());
        commit.into_iter().chain(self.updates.next_due()).min()
    }

    fn take(&mut self, message: ToCommitter) -> Result<(), EngineError> {
        match message {
            ToCommitter::Emissions(passed, emissions) => {
                self.before.entry(passed).or_insert(self.last);
                for emission in emissions {
                    let rule = &self.rules.rules()[emission.rule_index];
                    let id = || FindingId::derive(self.tenant, &rule.plan.rule, &emission.key);
                    let id = self.updates.is_on().then(id);
                    if let Some(emission) = self.updates.admit(id, passed, emission) {
                        self.queue(passed, emission);
                    }
                }
                Ok(())
            }
            ToCommitter::Degraded(passed, degradations) => {
                self.before.entry(passed).or_insert(self.last);
                for degradation in degradations {
                    let rule = &self.rules.rules()[degradation.rule_index];
                    let finding = degraded::finding(self.tenant, rule, &degradation);
                    let epoch = self.resumed + passed;
                    self.open.findings.push(Reported { epoch, finding });
                }
                Ok(())
            }
            ToCommitter::Closed(shard, closed) => {
                if let Some(known) = self.closed.get_mut(shard) {
                    *known = closed;
                    self.closed_more = true;
                }
                Ok(())
            }
            ToCommitter::Seen(barrier, seen) => {
                let parts = self.checkpoints.entry(barrier.number).or_default();
                parts.checkpoint.seen.extend(seen);
                self.part(barrier)
            }
            ToCommitter::State(barrier, state) => {
                let parts = self.checkpoints.entry(barrier.number).or_default();
                parts.checkpoint.state.extend(state);
                self.part(barrier)
            }
        }
    }

    /// One more stage has given its part of the checkpoint; with the last one it goes to its writer.
    fn part(&mut self, barrier: Arc<CheckpointBarrier>) -> Result<(), EngineError> {
        let parts = self.checkpoints.entry(barrier.number).or_default();
        parts.seen += 1;
        if parts.seen < self.parts {
            return Ok(());
        }
        let checkpoint = std::mem::take(&mut parts.checkpoint);
        self.checkpoints.remove(&barrier.number);
        // The one before it, if a run that is stopped asks for one more.
        if self.sealing.is_some() {
            self.commit_all()?;
        }
        self.receive_letters(usize::MAX);
        self.queue_updates();
        self.lanes.mark();
        self.sealing = Some((barrier, checkpoint));
        Ok(())
    }

    /// Hands the checkpoint on if everything reported before its barrier is committed, or in the commit
    /// that is open.
    fn seal(&mut self) -> Result<(), EngineError> {
        if !self.lanes.is_past_mark() {
            return Ok(());
        }
        let Some((barrier, mut checkpoint)) = self.sealing.take() else { return Ok(()) };
        self.open.seals_epoch = true;
        self.flush()?;
        checkpoint.epoch = self.resumed + barrier.number;
        let later = self.before.split_off(&barrier.number);
        checkpoint.seq = later.values().copied().min().unwrap_or(self.last);
        self.before = later;
        checkpoint.full = barrier.full;
        checkpoint.delivered = barrier.delivered;
        checkpoint.positions.clone_from(&barrier.position.positions);
        checkpoint.partitions.clone_from(&barrier.position.partitions);
        // A writer that has failed ends the run with its own error.
        self.writer.send(SealedCheckpoint { barrier, checkpoint }).ok();
        Ok(())
    }

    /// Updates that wait go with the rest: what is sealed or over holds everything.
    fn queue_updates(&mut self) {
        for (passed, emission) in self.updates.take() {
            self.queue(passed, emission);
        }
    }

    /// Puts an emission into its lane. Where commits wait for nothing, it is in the next one.
    fn queue(&mut self, passed: u64, emission: Emission) {
        match self.commit_every {
            Some(_) => self.lanes.push(passed, emission),
            None => self.report(passed, &emission),
        }
    }

    /// Puts what waits into the commit, as far as there is room.
    fn fill(&mut self) {
        while self.open.findings.len() < FINDINGS_MAX
            && let Some((passed, emission)) = self.lanes.take()
        {
            self.report(passed, &emission);
        }
        let room = LETTERS_MAX.saturating_sub(self.open.dead_letters.len());
        self.open.dead_letters.extend(self.lanes.take_letters(room));
    }

    /// Commits everything that waits, and hands on the checkpoint that waits for it.
    fn commit_all(&mut self) -> Result<(), EngineError> {
        while !self.lanes.is_empty() {
            self.fill();
            self.flush()?;
        }
        self.seal()?;
        self.flush()
    }

    fn report(&mut self, passed: u64, emission: &Emission) {
        let rule = &self.rules.rules()[emission.rule_index];
        let finding = findings::finding(self.tenant, rule, emission);
        let cost = self.costs.entry(emission.rule_index).or_default();
        cost.findings += 1;
        cost.last_fired = cost.last_fired.max(Some(finding.time));
        self.open.findings.push(Reported { epoch: self.resumed + passed, finding });
    }

    fn flush(&mut self) -> Result<(), EngineError> {
        if !self.open.is_empty() {
            self.backlog.done(&self.open.dead_letters);
            self.last = self.sink.commit(std::mem::take(&mut self.open))?;
        }
        Ok(())
    }

    /// With no finding left to commit, says how far everything that is final is in the sink.
    fn settle(&mut self) {
        let Some(settled) = &self.settled else { return };
        let waits = !self.open.findings.is_empty() || self.lanes.emissions() > 0;
        if waits || self.closed.iter().any(Vec::is_empty) {
            return;
        }
        let layers = self.closed.first().map_or(0, Vec::len);
        let least = |layer: usize| self.closed.iter().filter_map(|shard| shard.get(layer)).min();
        let closed: Vec<i64> = (0..layers).filter_map(|l| least(l).copied()).collect();
        if std::mem::take(&mut self.closed_more) || self.last > self.said {
            self.said = self.last;
            settled.say(&closed, self.last);
        }
    }

    fn publish_stats(&self) {
        let Some(handle) = &self.stats else { return };
        let rules = self.rules.rules();
        let costs = self.costs.iter().map(|(slot, c)| (rules[*slot].plan.rule.to_string(), *c));
        let times = self.times;
        publish(handle, StageStats { times, costs: costs.collect(), ..StageStats::default() });
    }
}
