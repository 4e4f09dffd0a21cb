//! What the API stands on: the parts of a node that it asks.

use std::sync::Arc;

use sluice_engine::{
    durable::FindingStore,
    history::EventHistory,
    service::{ReloadReport, Service},
};

use crate::{
    audit::AuditLog,
    node::{
        follower::ProgressReader, live::Live, memory::MemoryLevel, push::PushEndpoints,
        received::Received, search::Searcher, signals::Signals, silence::SilenceReader,
        webhooks::Webhooks,
    },
    tokens::Tokens,
};

/// Everything the API reaches. All of it may block but `tokens` and `live`.
#[derive(Clone)]
pub(crate) struct App {
    /// Findings, triage and dead letters.
    pub(crate) store: FindingStore,
    /// The running pipeline.
    pub(crate) service: Service,
    /// Recent events, for hunts.
    pub(crate) history: EventHistory,
    /// Search over findings.
    pub(crate) search: Searcher,
    /// Findings as they change.
    pub(crate) live: Live,
    /// Signals, where they are configured.
    pub(crate) signals: Option<Signals>,
    /// Webhooks, where some are configured.
    pub(crate) webhooks: Option<Webhooks>,
    /// Security event tokens of others, where an input takes some.
    pub(crate) received: Option<Received>,
    /// How near the process is to its memory limit.
    pub(crate) memory: MemoryLevel,
    /// How silence inputs are.
    pub(crate) silence: SilenceReader,
    /// How far each follower of the store is.
    pub(crate) followers: Vec<ProgressReader>,
    /// The inputs that take pushed logs, by name.
    pub(crate) endpoints: PushEndpoints,
    /// Loads rules and mappings again and has the service take them.
    pub(crate) reload: Arc<dyn Fn() -> ReloadReport + Send + Sync>,
    /// What people and tokens did.
    pub(crate) audit: AuditLog,
    /// Who may ask.
    pub(crate) tokens: Tokens,
    /// Signs cursors: one per data directory, so that they outlive a restart.
    pub(crate) cursor_key: [u8; 32],
    /// The version of the program.
    pub(crate) version: &'static str,
}
