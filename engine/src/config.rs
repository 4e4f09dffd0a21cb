//! Settings of a run. Not of a source: those are in its mapping.

use std::{collections::BTreeMap, num::NonZeroUsize, sync::Arc};

use sluice_baseline::Verdicts;
use sluice_ingest::InputOptions;

/// How a run is laid out and what it remembers.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Threads that decode, map and match. A partition belongs to one, so more workers than
    /// partitions idle. Default: the number of cores.
    pub workers: NonZeroUsize,
    /// Threads that hold keyed state, each a share of all keys. Default: the number of cores.
    pub shards: NonZeroUsize,
    /// Deliveries waiting for one worker. What an input delivers waits for as many of others, some
    /// milliseconds each; with chunks of 2 MiB, 2 hold at most 4 MiB per worker.
    pub queue: usize,
    /// Since when the history of every table is complete, for `first_seen`.
    pub history: History,
    /// Overrides the lateness of every source, milliseconds. Larger keeps more state and finds more
    /// in badly ordered input.
    pub lateness: Option<i64>,
    /// What inputs say of the codec of their records, by the name of the input.
    pub inputs: BTreeMap<String, InputOptions>,
    /// The tenant of every input.
    pub tenant: String,
    /// Secret of the hash that spreads keys over shards, so that an attacker cannot aim at one.
    pub vnode_secret: [u8; 16],
    /// What people decided about findings of baselines: a service has that of its store.
    pub verdicts: Arc<Verdicts>,
}

impl EngineConfig {
    /// The tenant of a service with one.
    pub const TENANT: &str = "default";
}

/// From when on `first_seen` may call something new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum History {
    /// From the first accepted event on: a span must have passed before anything is new.
    FirstEvent,
    /// Since this time, milliseconds since 1970 UTC.
    Since(i64),
    /// Nothing was before: everything is new from the first event on.
    None,
}

impl Default for EngineConfig {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        EngineConfig {
            workers: cores,
            shards: cores,
            queue: 2,
            history: History::FirstEvent,
            lateness: None,
            inputs: BTreeMap::new(),
            tenant: EngineConfig::TENANT.to_owned(),
            vnode_secret: *b"sluice one node!",
            verdicts: Arc::default(),
        }
    }
}
