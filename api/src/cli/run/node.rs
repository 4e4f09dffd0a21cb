//! One node: store, engine, inputs and followers, started in order and stopped in the other. Not
//! the HTTP server, not signals.

use std::time::Duration;

use sluice_engine::{
    Content, EngineConfig, EngineError, History,
    durable::{FindingStore, Retention},
    history::EventHistory,
    service::{LiveInput, Service, ServiceParts, ServiceSettings},
};
use sluice_ingest::live::Positions;

use super::{
    compose, data_dir,
    follower::{Follower, Retainer},
    search::{SearchIndex, Searcher},
};
use crate::{
    cli::exit::Failure,
    config::{Config, HistoryStart},
};

/// A running node.
pub(crate) struct Node {
    /// The engine.
    pub(crate) service: Service,
    /// Findings, triage and dead letters.
    pub(crate) store: FindingStore,
    /// Recent events, for hunts.
    pub(crate) history: EventHistory,
    /// How many rules it started with.
    pub(crate) rules: usize,
    /// What HTTP senders push to.
    pub(super) doors: compose::Doors,
    search: SearchIndex,
    index: Follower,
    retainer: Retainer,
}

impl Node {
    /// Starts a node as configured.
    ///
    /// # Errors
    /// If its data directory is not its own or in use, an input cannot be made, or the state cannot
    /// be read.
    pub(crate) fn start(config: &Config, content: Content) -> Result<Node, Failure> {
        Node::start_with(config, content, |content, from| compose::inputs(config, content, from))
    }

    /// Starts a node with the inputs that are made for it, from where the store says they go on.
    ///
    /// # Errors
    /// As [`Node::start`].
    pub(crate) fn start_with(
        config: &Config,
        content: Content,
        inputs: impl FnOnce(&Content, &Positions) -> Result<(Vec<LiveInput>, compose::Doors), Failure>,
    ) -> Result<Node, Failure> {
        let dir = &config.data_dir;
        data_dir::make(dir)?;
        let vnode_secret = data_dir::node_key(dir)?;
        let store = FindingStore::open(&data_dir::store(dir), retention(config))?;
        let positions = store.positions()?;
        let (inputs, doors) = inputs(&content, &positions)?;
        let history = EventHistory::new(config.history.table_bytes.0 as usize);
        let search = SearchIndex::new(&dir.join("index"));
        let rules = content.rules.len();
        let service = Service::start(ServiceParts {
            content,
            config: engine(config, vnode_secret),
            inputs,
            store: store.clone(),
            history: history.clone(),
            settings: ServiceSettings {
                checkpoint_every: config.engine.checkpoint_every.0,
                commit_every: config.engine.commit_every.0,
                min_free: config.engine.min_free.0,
            },
        })?;
        let index = Follower::start(store.clone(), search.opener());
        let retainer = Retainer::start(store.clone());
        Ok(Node { service, store, history, rules, doors, search, index, retainer })
    }

    /// Search over its findings, as far as the index has come.
    pub(super) fn searcher(&self) -> Searcher {
        self.search.searcher(self.store.clone(), self.index.health())
    }

    /// Stops it after a last checkpoint; the index keeps what it has read.
    ///
    /// # Errors
    /// The error that had stopped the engine before, if one had.
    pub(crate) fn stop(self) -> Result<(), EngineError> {
        let stopped = self.service.stop();
        self.retainer.stop();
        self.index.stop();
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
        vnode_secret,
        ..cores
    }
}

fn retention(config: &Config) -> Retention {
    let age = |millis: i64| Duration::from_millis(millis.unsigned_abs());
    Retention {
        finding_age: age(config.retention.finding_age.0),
        finding_bytes: config.retention.finding_bytes.0,
        dead_letter_age: age(config.retention.dead_letter_age.0),
        dead_letter_bytes: config.retention.dead_letter_bytes.0,
    }
}
