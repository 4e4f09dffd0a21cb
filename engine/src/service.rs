//! The engine as a service: live inputs, checkpoints, reload, and what it shows of itself. Not a
//! server (see `api`), not a store (see [`crate::durable`]).
//!
//! A service is a sequence of runs of one pipeline. A reload ends the run with a checkpoint and begins
//! the next one from it with other rules, so that swapping rules, restarting and crashing all go one
//! way.

mod disk_full;
mod health;
mod input;
mod reload;
mod replay;
mod status;
mod watch;

pub use health::DATA_GAP;
pub use replay::ReplayReport;
pub use status::{
    CheckpointHealth, InputHealth, Phase, ReloadReport, RuleChange, RuleHealth, ServiceStatus,
};

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crossbeam_channel::{Sender, bounded};
use sluice_event::defect::OrDefect;
use sluice_finding::Entity;
use sluice_ingest::live::{Input, InputControl, Place};

use self::{
    health::HealthSink,
    input::InputThread,
    reload::{Reload, feeds},
    status::RuleCard,
};
use crate::{
    Backlog, Checkpoint, Content, DurableCheckpoint, Engine, EngineConfig, EngineError,
    FindingSink, Live, Observer, RunOptions, Source as _, SourcePosition, StatsRegistry,
    arrivals::Arrivals,
    baseline::{self, BaselineState, ComparedEntity, KnownEntity},
    clock::clock,
    durable::{FindingStore, StoredLetter},
    error::chain,
    history::EventHistory,
    live_source::{LiveSource, Replay},
    stopwatch::Stopwatch,
};

/// What a service is made of.
pub struct ServiceParts {
    /// Rules and mappings.
    pub content: Content,
    /// How to run.
    pub config: EngineConfig,
    /// The inputs, with their `mapping` (a source, or `auto`) and kind for people.
    pub inputs: Vec<LiveInput>,
    /// Where findings and state are kept.
    pub store: FindingStore,
    /// Where recent events are kept for hunts.
    pub history: EventHistory,
    /// Settings of checkpoints and of the disk.
    pub settings: ServiceSettings,
}

/// An input and its configuration.
pub struct LiveInput {
    /// The input.
    pub input: Box<dyn Input>,
    /// `kafka` or `http`.
    pub kind: &'static str,
    /// The mapping source, or `auto`.
    pub mapping: String,
}

/// Settings of a service.
#[derive(Clone, Copy, Debug)]
pub struct ServiceSettings {
    /// Milliseconds between checkpoints: after a crash at most this much, and what was in flight,
    /// is processed again. 2 s by default.
    pub checkpoint_every: i64,
    /// Findings wait at most this long to be written with others: at 20 ms, fifty syncs a second.
    pub commit_every: i64,
    /// Below this many free bytes where the store is, inputs pause until there is twice as much.
    pub min_free: u64,
}

impl Default for ServiceSettings {
    fn default() -> Self {
        ServiceSettings { checkpoint_every: 2_000, commit_every: 20, min_free: 256 << 20 }
    }
}

/// A running service. Cheap to clone; it stops at [`Service::stop`].
#[derive(Clone)]
pub struct Service {
    shared: Arc<Shared>,
}

/// What the service's threads and its callers share.
struct Shared {
    started_at: i64,
    store: FindingStore,
    /// Of the shard that a key is on.
    vnode_secret: [u8; 16],
    stats: Arc<StatsRegistry>,
    inputs: Vec<InputEntry>,
    state: Mutex<State>,
    /// Notified when a checkpoint is kept, a command is done, or the phase changes.
    changed: Condvar,
    replays: Sender<Replay>,
    /// Dead letters that wait.
    backlog: Backlog,
}

/// An input as it is shown.
struct InputEntry {
    name: Arc<str>,
    kind: &'static str,
    mapping: String,
    control: Arc<InputControl>,
}

struct State {
    phase: Phase,
    rules: Vec<RuleCard>,
    position: SourcePosition,
    checkpoint: CheckpointHealth,
    /// By barrier of the run: when the first delivery after it came, while no checkpoint covers it.
    pending: BTreeMap<u64, i64>,
    report: Option<ReloadReport>,
    command: Option<Command>,
    /// Ends the run at hand.
    stop: Arc<AtomicBool>,
    replays_sent: u64,
    disk_free: Option<u64>,
    /// Bytes that were not free when the store needed them. Until twice as much is, nothing runs.
    refused: Option<u64>,
    /// Counts the runs that were given up because of that: what was on its way then is read again.
    rewinds: u64,
    content: Arc<Content>,
    thread: Option<JoinHandle<Result<(), EngineError>>>,
}

enum Command {
    Stop,
    Reload(Box<Content>),
}

impl Service {
    /// Starts it on threads of its own.
    ///
    /// # Errors
    /// If the stored state cannot be read or does not fit.
    pub fn start(parts: ServiceParts) -> Result<Service, EngineError> {
        let ServiceParts { content, config, inputs, store, history, settings } = parts;
        let config = EngineConfig { verdicts: store.verdicts(), ..config };
        let mut watch = Stopwatch::start();
        let resume = store.checkpoint()?;
        let mut recovery = Duration::ZERO;
        watch.lap(&mut recovery);
        let position =
            resume.as_ref().map_or_else(SourcePosition::default, |resume| SourcePosition {
                positions: resume.positions.clone(),
                partitions: resume.partitions.clone(),
                replays: 0,
            });

        let (senders, arrivals) =
            Arrivals::of(inputs.iter().map(|live| live.input.name().clone()).collect());
        let (replays, replays_out) = bounded(1);
        let threads: Vec<InputThread> = inputs
            .into_iter()
            .zip(senders)
            .map(|(input, out)| InputThread::new(input, out))
            .collect();
        let mappings = threads.iter().map(|i| (i.name.clone(), i.source())).collect();
        let source = LiveSource::new(
            arrivals,
            replays_out,
            mappings,
            content.sources.clone(),
            config.lateness,
            position.clone(),
        );
        let content = Arc::new(content);
        let shared = Arc::new(Shared {
            started_at: clock(),
            store,
            vnode_secret: config.vnode_secret,
            stats: Arc::new(StatsRegistry::default()),
            inputs: threads.iter().map(InputThread::entry).collect(),
            state: Mutex::new(State {
                phase: Phase::Starting,
                rules: status::cards(&content, &feeds(&threads, &content)),
                position,
                checkpoint: CheckpointHealth {
                    epoch: resume.as_ref().map_or(0, |r| r.epoch),
                    recovery,
                    ..CheckpointHealth::default()
                },
                pending: BTreeMap::new(),
                report: None,
                command: None,
                stop: Arc::default(),
                replays_sent: 0,
                disk_free: None,
                refused: None,
                rewinds: 0,
                content: content.clone(),
                thread: None,
            }),
            changed: Condvar::new(),
            replays,
            backlog: source.backlog(),
        });
        let runner = Runner {
            shared: shared.clone(),
            inputs: threads,
            source,
            resume,
            config,
            history,
            settings,
            content,
        };
        let thread = thread::Builder::new()
            .name("sluice-run".to_owned())
            .spawn(move || runner.run())
            .map_err(|_| EngineError::Thread("run"))?;
        shared.lock().thread = Some(thread);
        watch::disk(&shared, settings.min_free)?;
        Ok(Service { shared })
    }

    /// What it shows of itself now.
    pub fn status(&self) -> ServiceStatus {
        self.shared.status()
    }

    /// What baselines know of an entity, as of the last checkpoint.
    ///
    /// # Errors
    /// If the store fails.
    pub fn profiles(&self, entity: &Entity) -> Result<Vec<KnownEntity>, EngineError> {
        self.of_baselines(|state| baseline::profiles(state, entity))
    }

    /// How an entity differs from its peers and from the organisation, as of the last checkpoint.
    ///
    /// # Errors
    /// If the store fails.
    pub fn comparisons(&self, entity: &Entity) -> Result<Vec<ComparedEntity>, EngineError> {
        self.of_baselines(|state| baseline::comparisons(state, entity))
    }

    fn of_baselines<T>(&self, read: impl FnOnce(BaselineState<'_>) -> T) -> T {
        let content = self.content();
        let (store, secret) = (&self.shared.store, &self.shared.vnode_secret);
        read(BaselineState { content: &content, store, secret })
    }

    /// The mapping sources that run, for those who map records outside the pipeline.
    pub fn content(&self) -> Arc<Content> {
        self.shared.lock().content.clone()
    }

    /// Takes other rules and mappings at the next batch boundary. State of rules whose stateful part
    /// is unchanged is kept. If a file has errors, nothing changes and the report says so; files that
    /// say what they said swap nothing. Waits until it is done.
    pub fn reload(&self, content: Content) -> ReloadReport {
        if let Some(refused) = reload::refused(&content) {
            self.shared.lock().report = Some(refused.clone());
            return refused;
        }
        let mut state = self.shared.wait_while(|s| s.command.is_some() && s.is_running());
        if !state.is_running() {
            let problems = vec!["the service is not running".to_owned()];
            return ReloadReport { at: clock(), problems, ..ReloadReport::default() };
        }
        if let Some(report) = reload::unchanged(&state.content, &content) {
            state.report = Some(report.clone());
            return report;
        }
        state.report = None;
        state.command = Some(Command::Reload(Box::new(content)));
        state.stop.store(true, Ordering::Relaxed);
        drop(state);
        self.shared.changed.notify_all();
        let state = self.shared.wait_while(|s| s.report.is_none() && s.is_running());
        state.report.clone().unwrap_or_else(|| {
            let problems = vec!["the service stopped before the reload was done".to_owned()];
            ReloadReport { at: clock(), problems, ..ReloadReport::default() }
        })
    }

    /// Shows the report of a reload: one that was refused before it came here, or with more to report.
    pub fn reloaded(&self, report: &ReloadReport) {
        self.shared.lock().report = Some(report.clone());
    }

    /// Sends dead letters through the current mappings again, each with its original receive time.
    /// One that makes rows now is removed when those are durable; one that fails again stays, with
    /// its present reason. Waits until it is done.
    ///
    /// # Errors
    /// If the store fails, or the service is not running.
    pub fn replay(&self, letters: Vec<StoredLetter>) -> Result<ReplayReport, EngineError> {
        replay::replay(&self.shared, letters)
    }

    /// Has every input read nothing for now, or go on: the process is short of memory. Nothing is lost,
    /// and what was read goes its way.
    pub fn hold_inputs(&self, hold: bool) {
        self.shared.inputs.iter().for_each(|input| input.control.hold(hold));
    }

    /// Stops after a last checkpoint and waits for it. The error that had stopped it before, if one
    /// had.
    ///
    /// # Errors
    /// What made the pipeline fail, now or before.
    pub fn stop(&self) -> Result<(), EngineError> {
        let thread = {
            let mut state = self.shared.lock();
            state.command = Some(Command::Stop);
            state.stop.store(true, Ordering::Relaxed);
            state.thread.take()
        };
        self.shared.changed.notify_all();
        match thread {
            Some(thread) => thread.join().map_err(|_| EngineError::Thread("run"))?,
            None => Ok(()),
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_while(&self, holds: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let state = self.lock();
        self.changed.wait_while(state, |s| holds(s)).unwrap_or_else(PoisonError::into_inner)
    }

    fn set_phase(&self, phase: Phase) {
        self.lock().phase = phase;
        self.changed.notify_all();
    }
}

impl State {
    fn is_running(&self) -> bool {
        !matches!(self.phase, Phase::Failed(_) | Phase::Stopped)
    }
}

/// The thread that runs the pipeline, again and again.
struct Runner {
    shared: Arc<Shared>,
    inputs: Vec<InputThread>,
    source: LiveSource,
    /// The checkpoint the first run begins with; later ones read theirs.
    resume: Option<Checkpoint>,
    config: EngineConfig,
    history: EventHistory,
    settings: ServiceSettings,
    content: Arc<Content>,
}

impl Runner {
    fn run(mut self) -> Result<(), EngineError> {
        let outcome = self.runs();
        self.stop_inputs();
        self.shared.set_phase(match &outcome {
            Ok(()) => Phase::Stopped,
            Err(error) => Phase::Failed(chain(error)),
        });
        outcome
    }

    fn runs(&mut self) -> Result<(), EngineError> {
        let mut sink = HealthSink {
            sink: self.shared.store.sink(),
            shared: self.shared.clone(),
            tenant: self.config.tenant.clone(),
            reported: BTreeSet::new(),
        };
        self.start_inputs();
        loop {
            let stop = Arc::new(AtomicBool::new(false));
            {
                let mut state = self.shared.lock();
                // A command that came while no run was going on ends this one at once.
                stop.store(state.command.is_some(), Ordering::Relaxed);
                state.stop = stop.clone();
                // What an earlier run did not finish is delivered again.
                state.pending.clear();
                if state.phase == Phase::Starting {
                    state.phase = Phase::Running;
                }
            }
            self.shared.changed.notify_all();
            match self.once(&mut sink, stop) {
                Err(error) if error.is_full() => {
                    if self.wait_for_space(&error)? {
                        continue;
                    }
                    return Ok(());
                }
                outcome => outcome?,
            }
            let command = self.shared.lock().command.take();
            match command {
                Some(Command::Reload(content)) => self.reload(*content)?,
                Some(Command::Stop) | None => return Ok(()),
            }
        }
    }

    /// One run, from the last checkpoint to the next command.
    fn once(
        &mut self,
        sink: &mut dyn FindingSink,
        stop: Arc<AtomicBool>,
    ) -> Result<(), EngineError> {
        let (store, secret) = (self.shared.store.clone(), &self.shared.vnode_secret);
        let known = baseline::StoredBaselines::new(&self.content, store, secret);
        self.history.know(&self.content.compiler.lookups().with_baselines(Arc::new(known)));
        let changed = self.shared.store.set_criticality(self.content.criticality.clone())?;
        if changed > 0 {
            tracing::info!(entities = changed, "how much entities matter has changed");
        }
        let engine = Engine {
            rules: Arc::new(self.content.rule_set()),
            sources: self.content.sources.clone(),
            config: self.config.clone(),
        };
        let options = RunOptions {
            resume: match self.resume.take() {
                Some(resume) => Some(resume),
                None => self.shared.store.checkpoint()?,
            },
            stop,
            pace: crate::Pace::News,
            live: Some(Live {
                checkpoint_every: self.settings.checkpoint_every,
                commit_every: self.settings.commit_every,
                stats: self.shared.stats.clone(),
                history: self.history.clone(),
            }),
            ..RunOptions::default()
        };
        engine.run(&mut self.source, sink, &*self.shared, options).map(drop)
    }

    fn reload(&mut self, content: Content) -> Result<(), EngineError> {
        let reload = Reload::between(&self.content, &content);
        let content = Arc::new(content);
        let mut problems = content.problems.iter().map(reload::shown).collect::<Vec<_>>();
        let mut applied = true;
        if reload.mappings {
            self.stop_inputs();
            for input in &mut self.inputs {
                if let Err(failure) = input.remap(&content.sources) {
                    applied = false;
                    problems.push(failure.to_string());
                }
            }
            if applied {
                self.source.remap(content.sources.clone());
            } else {
                for input in &mut self.inputs {
                    // They ran with these before.
                    let back = input.remap(&self.content.sources);
                    back.or_defect("service.reload");
                }
            }
            self.start_inputs();
        }
        let mut state_freed = 0;
        if applied {
            let operators: Vec<u64> =
                content.running().map(|r| sluice_stream::operator(&r.plan)).collect();
            state_freed = match self.shared.store.sweep_state(&operators) {
                // State that no rule needs goes with the next reload.
                Err(error) if error.is_full() => 0,
                swept => swept?,
            };
            self.content = content.clone();
        }
        let mut state = self.shared.lock();
        if applied {
            state.rules = status::cards(&content, &feeds(&self.inputs, &content));
            state.content = content;
        }
        state.report = Some(ReloadReport {
            at: clock(),
            applied,
            rules: if applied { reload.rules } else { BTreeMap::new() },
            kept: reload.kept,
            problems,
            state_freed,
        });
        drop(state);
        self.shared.changed.notify_all();
        Ok(())
    }

    fn start_inputs(&mut self) {
        let from = self.source.taken();
        for input in &mut self.inputs {
            input.start(&from);
        }
    }

    /// Asks every input to end and waits for it, taking what it still sends.
    fn stop_inputs(&mut self) {
        self.inputs.iter().for_each(|i| i.control.stop());
        while self.inputs.iter().any(InputThread::is_running) {
            self.source.drain();
            thread::sleep(Duration::from_millis(2));
        }
        self.source.drain();
        self.inputs.iter_mut().for_each(InputThread::join);
    }
}

impl Observer for Shared {
    fn delivered_after(&self, barrier: u64) {
        self.lock().pending.insert(barrier, clock());
    }

    fn checkpoint(&self, durable: DurableCheckpoint<'_>) {
        for input in &self.inputs {
            let of_input = |place: &Place| place.input == input.name;
            let positions = durable.position.positions.iter().filter(|(p, _)| of_input(p));
            input.control.set_durable(positions.map(|(p, n)| (p.clone(), *n)).collect());
        }
        let mut state = self.lock();
        state.position = durable.position.clone();
        state.checkpoint.epoch = durable.epoch;
        state.checkpoint.at = Some(clock());
        state.checkpoint.bytes = durable.bytes;
        state.checkpoint.took = durable.took;
        state.pending.retain(|barrier, _| *barrier >= durable.barrier);
        drop(state);
        self.changed.notify_all();
    }
}
