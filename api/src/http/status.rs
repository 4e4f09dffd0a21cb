//! The state of the service: what it is doing, and what keeps it from being ready.

use axum::{Json, extract::State};
use serde::Serialize;
use sluice_engine::{
    durable::StoreStats,
    history::{HistoryStats, TableStats},
    service::{Phase, ServiceStatus},
};
use sluice_event::rfc3339;
use utoipa::ToSchema;

use super::{
    App, clock, health,
    params::{Nothing, Params},
    problem::Problem,
    reload::Reload,
    shared::Shared,
};
use crate::node::{follower::Progress, memory::Pressure};

/// The service at one moment.
#[derive(Serialize, ToSchema)]
pub(super) struct Status {
    /// The program's version.
    version: &'static str,
    /// `starting`, `running`, `paused`, `failed` or `stopped`.
    phase: &'static str,
    /// Whether `/readyz` says so.
    ready: bool,
    /// What keeps it from being ready, or needs a look.
    problems: Vec<String>,
    started_at: String,
    uptime_seconds: i64,
    checkpoint: Checkpoint,
    store: Store,
    history: HistoryState,
    search: SearchState,
    /// What follows the store, each with a cursor of its own.
    followers: Vec<Follower>,
    /// Whether signals are configured: else nobody hears of levels, and none can be overridden.
    signals: bool,
    memory: Memory,
    /// Rules that run.
    rules: u64,
    inputs: u64,
    /// Bytes free where the store is.
    #[serde(skip_serializing_if = "Option::is_none")]
    disk_free_bytes: Option<u64>,
    /// Counts that do not add up: a defect if there are any.
    conservation_errors: Vec<String>,
    /// The last reload, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    reload: Option<Reload>,
}

/// The last checkpoint.
#[derive(Serialize, ToSchema)]
struct Checkpoint {
    epoch: u64,
    #[schema(required)]
    at: Option<String>,
    took_ms: u64,
    bytes: u64,
    /// How long it took at start to read the last one back.
    recovery_ms: u64,
}

/// What the store holds and has thrown away.
#[derive(Serialize, ToSchema)]
struct Store {
    findings: u64,
    finding_bytes: u64,
    findings_expired: u64,
    dead_letters: u64,
    dead_letter_bytes: u64,
    dead_letters_expired: u64,
    disk_bytes: u64,
    /// The last commit.
    seq: u64,
}

/// The events that are kept for hunts, all tables together; `/metrics` has them by table.
#[derive(Serialize, ToSchema)]
struct HistoryState {
    /// Whether they are kept on disk.
    on_disk: bool,
    memory_rows: u64,
    memory_bytes: u64,
    files: u64,
    file_rows: u64,
    file_bytes: u64,
    /// Rows that retention dropped.
    dropped_rows: u64,
    /// Rows that were not kept and should be.
    lost_rows: u64,
    /// Files that are missing or damaged.
    unreadable_files: u64,
    /// Attempts to write that failed since the start.
    write_failures: u64,
    /// Why nothing can be written, if nothing can: it is tried again, and detection does not wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl HistoryState {
    fn of(stats: &HistoryStats) -> HistoryState {
        let sum = |of: &dyn Fn(&TableStats) -> u64| stats.tables.values().map(of).sum();
        HistoryState {
            on_disk: stats.is_on_disk,
            memory_rows: sum(&|t| t.memory_rows),
            memory_bytes: sum(&|t| t.memory_bytes),
            files: sum(&|t| t.files),
            file_rows: sum(&|t| t.file_rows),
            file_bytes: sum(&|t| t.file_bytes),
            dropped_rows: sum(&|t| t.dropped_rows),
            lost_rows: sum(&|t| t.lost_rows.values().sum()),
            unreadable_files: sum(&|t| t.unreadable_files),
            write_failures: stats.write_failures,
            error: stats.failing.clone(),
        }
    }
}

/// The index.
#[derive(Serialize, ToSchema)]
struct SearchState {
    /// How far it is behind the store; null if that is not known.
    #[schema(required)]
    lag_ms: Option<i64>,
    /// Why it does not go on, if it does not; it is tried again, and detection does not wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// What is kept up to date with the store.
#[derive(Serialize, ToSchema)]
struct Follower {
    name: &'static str,
    /// The last change it has committed.
    at: u64,
    /// Failures since the process started.
    failures: u64,
    /// Why it does not go on, if it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Memory of the process.
#[derive(Serialize, ToSchema)]
struct Memory {
    bytes: u64,
    limit_bytes: u64,
    /// What is refused for want of it: `nothing`, `queries` or `inputs`.
    refused: &'static str,
}

/// What the service is doing, and what keeps it from being ready
#[utoipa::path(
    get, path = "/api/v1/status", tag = "service", operation_id = "status",
    responses((status = 200, description = "The state.", body = Status, example = json!({
        "version": "0.1.0", "phase": "running", "ready": true, "problems": [],
        "started_at": "2026-11-24T08:00:00.000Z", "uptime_seconds": 900,
        "checkpoint": {"epoch": 450, "at": "2026-11-24T08:14:59.000Z", "took_ms": 12,
            "bytes": 40960, "recovery_ms": 80},
        "store": {"findings": 14, "finding_bytes": 30000, "findings_expired": 0,
            "dead_letters": 2, "dead_letter_bytes": 900, "dead_letters_expired": 0,
            "disk_bytes": 1048576, "seq": 43},
        "history": {"on_disk": true, "memory_rows": 1200, "memory_bytes": 400000, "files": 40,
            "file_rows": 900000, "file_bytes": 45000000, "dropped_rows": 0, "lost_rows": 0,
            "unreadable_files": 0, "write_failures": 0},
        "search": {"lag_ms": 40}, "followers": [{"name": "index", "at": 43, "failures": 0}],
        "signals": true, "memory": {"bytes": 210000000, "limit_bytes": 4000000000u64, "refused": "nothing"}, "rules": 60, "inputs": 2, "disk_free_bytes": 80000000000u64,
        "conservation_errors": []
    })))
)]
pub(super) async fn status(
    State(shared): State<Shared>,
    Params(Nothing {}): Params<Nothing>,
) -> Result<Json<Status>, Problem> {
    let app = shared.app.clone();
    let read = move || (app.service.status(), app.store.stats(), app);
    let (status, stats, app) = shared.pools.reads.run(read).await?;
    Ok(Json(Status::of(&status, &stats, &app)))
}

impl Status {
    fn of(status: &ServiceStatus, stats: &StoreStats, app: &App) -> Status {
        let now = clock::now();
        let pressure = app.memory.pressure();
        let problems = health::problems(status, pressure, now);
        let millis = |d: std::time::Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        let (dead_letters, dead_letter_bytes) = stats
            .dead_letters
            .values()
            .fold((0, 0), |(n, bytes), (more, size)| (n + more, bytes + size));
        Status {
            version: app.version,
            phase: phase(&status.phase),
            ready: problems.is_empty(),
            problems,
            started_at: rfc3339(status.started_at),
            uptime_seconds: (now - status.started_at) / 1_000,
            checkpoint: Checkpoint {
                epoch: status.checkpoint.epoch,
                at: status.checkpoint.at.map(rfc3339),
                took_ms: millis(status.checkpoint.took),
                bytes: status.checkpoint.bytes,
                recovery_ms: millis(status.checkpoint.recovery),
            },
            store: Store {
                findings: stats.findings,
                finding_bytes: stats.finding_bytes,
                findings_expired: stats.findings_expired.0 + stats.findings_expired.1,
                dead_letters,
                dead_letter_bytes,
                dead_letters_expired: stats.dead_letters_expired.0 + stats.dead_letters_expired.1,
                disk_bytes: stats.disk_bytes,
                seq: app.store.last().0,
            },
            history: HistoryState::of(&app.history.stats()),
            search: SearchState { lag_ms: app.search.lag(), error: app.search.error() },
            followers: app
                .followers
                .iter()
                .map(|follower| {
                    let Progress { at, error, failures_total: failures, .. } = follower.now();
                    Follower { name: follower.name, at, failures, error }
                })
                .collect(),
            signals: app.signals.is_some(),
            memory: Memory {
                bytes: app.memory.used(),
                limit_bytes: app.memory.limit(),
                refused: match pressure {
                    Pressure::None => "nothing",
                    Pressure::Queries => "queries",
                    Pressure::Inputs => "inputs",
                },
            },
            rules: status.rules.len() as u64,
            inputs: status.inputs.len() as u64,
            disk_free_bytes: status.disk_free,
            conservation_errors: status.counters.violations(),
            reload: status.reload.as_ref().map(Reload::of),
        }
    }
}

fn phase(phase: &Phase) -> &'static str {
    match phase {
        Phase::Starting => "starting",
        Phase::Running => "running",
        Phase::Paused(_) => "paused",
        Phase::Failed(_) => "failed",
        Phase::Stopped => "stopped",
    }
}
