//! A running node: what one process is made of, started in order and stopped in the other. Not the
//! command line, not signals of the system.
//!
//! 1. [`data_dir`] makes the directory, 2. the store opens, 3. [`inputs`] are made from where the store
//!    has them go on, 4. the engine's service starts, 5. followers start, each with a cursor of its own.
//!
//! A new follower is one file that implements [`follower::Follow`], and one line in
//! [`Node::start_with`].

pub(crate) mod content;
mod data_dir;
pub(crate) mod follower;
pub(crate) mod inputs;
mod key_set;
pub(crate) mod live;
pub(crate) mod memory;
pub(crate) mod push;
pub(crate) mod received;
pub(crate) mod recorded;
mod reload;
mod retainer;
mod risk;
pub(crate) mod search;
mod serve;
pub(crate) mod signals;
pub(crate) mod silence;
mod watch;
pub(crate) mod webhooks;

use std::time::Duration;

use sluice_engine::{
    Content, EngineConfig, EngineError, History,
    durable::{FindingStore, Retention, RiskClock},
    history::{DiskSettings, EventHistory},
    service::{LiveInput, Service, ServiceParts, ServiceSettings},
};
use sluice_ingest::live::Positions;

use crate::{
    clock,
    config::{Config, HistoryStart},
    exit::Failure,
    priority::Priority,
};

pub(crate) use data_dir::{
    history as history_dir, make as make_data_dir, open_for_state, open_store,
};
use follower::{Follower, ProgressReader};
use live::Live;
use memory::MemoryWatch;
use push::PushEndpoints;
use received::{PollThreads, Received};
pub(crate) use reload::Reloader;
use retainer::Retainer;
use risk::RiskThread;
use search::{SearchIndex, Searcher};
#[cfg(test)]
pub(crate) use serve::app;
pub(crate) use serve::serve;
use signals::{SignalThreads, Signals};
use silence::{SilenceReader, SilenceThread};
pub(crate) use watch::start as watch_files;
use webhooks::{WebhookThreads, Webhooks};

/// A running node.
pub(crate) struct Node {
    /// The engine.
    pub(crate) service: Service,
    /// Findings, triage and dead letters.
    pub(crate) store: FindingStore,
    /// Events, for hunts.
    pub(crate) history: EventHistory,
    /// Search over its findings, as far as the index has come.
    pub(crate) search: Searcher,
    /// Findings as they change.
    pub(crate) live: Live,
    /// What HTTP senders push to.
    pub(crate) endpoints: PushEndpoints,
    /// How many rules it started with.
    pub(crate) rules: usize,
    /// Signals, where they are configured.
    pub(crate) signals: Option<Signals>,
    signal_threads: Option<SignalThreads>,
    /// Webhooks, where some are configured.
    pub(crate) webhooks: Option<Webhooks>,
    webhook_threads: Option<WebhookThreads>,
    /// Security event tokens of others, where an input takes some.
    pub(crate) received: Option<Received>,
    poll_threads: Option<PollThreads>,
    memory: MemoryWatch,
    followers: Vec<Follower>,
    retainer: Retainer,
    silence: SilenceThread,
    risk: RiskThread,
}

/// Pages of 64 findings that a client of the live stream may be behind: some 4 MiB, which all clients
/// share.
const LIVE_PAGES: usize = 64;

impl Node {
    /// Starts a node as configured.
    ///
    /// # Errors
    /// If its data directory is not its own or in use, an input cannot be made, or the state cannot
    /// be read.
    pub(crate) fn start(config: &Config, content: Content) -> Result<Node, Failure> {
        let clock = RiskClock::new(clock::now);
        Node::start_with(config, content, clock, |content, from| {
            inputs::inputs(config, content, from)
        })
    }

    /// Starts a node with the inputs that are made for it, from where the store has them go on, and with
    /// a clock by which risk decays.
    ///
    /// # Errors
    /// As [`Node::start`].
    pub(crate) fn start_with(
        config: &Config,
        content: Content,
        risk_clock: RiskClock,
        inputs: impl FnOnce(&Content, &Positions) -> Result<(Vec<LiveInput>, PushEndpoints), Failure>,
    ) -> Result<Node, Failure> {
        let dir = &config.data_dir;
        data_dir::make(dir)?;
        let vnode_secret = data_dir::node_key(dir)?;
        // Its files are sorted and merged behind detection.
        let open = || FindingStore::open_at(&data_dir::store(dir), retention(config), risk_clock);
        let store = Priority::Reads.run(open)?;
        let history = history(config, &store)?;
        let signals = match &config.signals {
            Some(settings) => {
                let key = data_dir::receiver_key(dir)?;
                Some(Signals::open(settings, &dir.join("signals"), key, history.clone())?)
            }
            None => None,
        };
        let webhooks = match config.webhooks.is_empty() {
            true => None,
            false => Some(Webhooks::open(&config.webhooks, &dir.join("webhooks"))?),
        };
        let positions = store.positions()?;
        let (inputs, endpoints) = inputs(&content, &positions)?;
        let received = Received::open(config, &endpoints, &dir.join("received"))?;
        let rules = content.running().count();
        let engine = engine(config, vnode_secret);
        let tenant = engine.tenant.clone();
        let service = Service::start(ServiceParts {
            content,
            config: engine,
            inputs,
            store: store.clone(),
            history: history.clone(),
            settings: ServiceSettings {
                checkpoint_every: config.engine.checkpoint_every.0,
                commit_every: config.engine.commit_every.0,
                min_free: config.engine.min_free.0,
            },
        })?;
        let index = SearchIndex::new(&dir.join("index"));
        let live = Live::new(LIVE_PAGES);
        let indexing = Follower::start(store.clone(), index.follow());
        let search = index.searcher(store.clone(), indexing.progress());
        let mut followers = vec![indexing, Follower::start(store.clone(), live.follow())];
        if let Some(webhooks) = &webhooks {
            followers.push(Follower::start(store.clone(), webhooks.follow(store.clone())));
        }
        if let Some(said) = signals.as_ref().and_then(|signals| signals.follow(store.clone())) {
            followers.push(Follower::start(store.clone(), said));
        }
        let retainer = Retainer::start(store.clone());
        let silence = SilenceThread::start(config, &tenant, service.clone(), store.clone());
        let risk = RiskThread::start(&tenant, store.clone(), signals.clone(), silence.reader());
        let memory = MemoryWatch::start(service.clone(), config.memory_limit.map(|m| m.0));
        let signal_threads = signals.as_ref().map(Signals::start);
        let poll_threads = received.as_ref().map(Received::start);
        let webhook_threads = webhooks.as_ref().map(Webhooks::start);
        Ok(Node {
            service,
            store,
            history,
            search,
            live,
            endpoints,
            rules,
            signals,
            signal_threads,
            webhooks,
            webhook_threads,
            received,
            poll_threads,
            memory,
            followers,
            retainer,
            silence,
            risk,
        })
    }

    /// The silence of inputs.
    pub(crate) fn silence(&self) -> SilenceReader {
        self.silence.reader()
    }

    /// How far each follower is.
    pub(crate) fn followers(&self) -> Vec<ProgressReader> {
        self.followers.iter().map(Follower::progress).collect()
    }

    /// Stops it after a last checkpoint; followers keep what they have read.
    ///
    /// # Errors
    /// The error that had stopped the engine before, if one had.
    pub(crate) fn stop(self) -> Result<(), EngineError> {
        if let Some(threads) = self.poll_threads {
            threads.stop();
        }
        self.silence.stop();
        let stopped = self.service.stop();
        self.risk.stop();
        if let Some(threads) = self.signal_threads {
            threads.stop();
        }
        if let Some(threads) = self.webhook_threads {
            threads.stop();
        }
        self.memory.stop();
        self.retainer.stop();
        self.followers.into_iter().for_each(Follower::stop);
        stopped
    }
}

fn engine(config: &Config, vnode_secret: [u8; 16]) -> EngineConfig {
    let settings = &config.engine;
    let cores = EngineConfig::default();
    EngineConfig {
        workers: settings.workers.map_or(cores.workers, |n| n.0),
        shards: settings.shards.map_or(cores.shards, |n| n.0),
        lateness: settings.lateness.map(|l| l.0),
        history: match settings.history {
            HistoryStart::FirstEvent => History::FirstEvent,
            HistoryStart::None => History::None,
            HistoryStart::At(time) => History::Since(time),
        },
        inputs: config
            .sources
            .iter()
            .map(|(name, source)| (name.clone(), source.options()))
            .filter(|(_, options)| !options.is_empty())
            .collect(),
        vnode_secret,
        ..cores
    }
}

fn history(config: &Config, store: &FindingStore) -> Result<EventHistory, EngineError> {
    let settings = &config.history;
    let table_bytes = settings.table_bytes.0 as usize;
    if !settings.disk {
        return Ok(EventHistory::new(table_bytes));
    }
    let duration = |millis: i64| Duration::from_millis(millis.unsigned_abs());
    let disk = DiskSettings {
        dir: data_dir::history(&config.data_dir),
        file_every: duration(settings.file_every.0),
        age: duration(settings.age.0),
        bytes: settings.bytes.0,
        min_free: config.engine.min_free.0,
    };
    EventHistory::open(disk, table_bytes, store)
}

fn retention(config: &Config) -> Retention {
    let age = |millis: i64| Duration::from_millis(millis.unsigned_abs());
    Retention {
        finding_age: age(config.retention.finding_age.0),
        finding_bytes: config.retention.finding_bytes.0,
        findings_per_minute: config.retention.findings_per_minute.0.get() as u64,
        dead_letter_age: age(config.retention.dead_letter_age.0),
        dead_letter_bytes: config.retention.dead_letter_bytes.0,
    }
}
