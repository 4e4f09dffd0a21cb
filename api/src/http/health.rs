//! `/healthz` and `/readyz`: one word each, for probes, without a token. Why it is not ready is in
//! the authenticated [`super::status`].

use axum::{extract::State, http::StatusCode};
use sluice_engine::service::{Phase, ServiceStatus};
use sluice_ingest::live::InputPhase;

use super::{clock, router::Shared};

/// Records delivered longer ago than this and not covered by a checkpoint mean that nothing gets
/// durable, milliseconds: 60 s. Without new records there is nothing to cover.
const PENDING_AGE: i64 = 60_000;

/// Whether the process is alive
#[utoipa::path(
    get, path = "/healthz", tag = "service", operation_id = "healthz",
    responses((status = 200, description = "It is.", body = String, example = json!("alive")))
)]
pub(super) async fn healthz() -> &'static str {
    "alive"
}

/// Whether it takes and processes events
#[utoipa::path(
    get, path = "/readyz", tag = "service", operation_id = "readyz",
    responses(
        (status = 200, description = "It does.", body = String, example = json!("ready")),
        (status = 503, description = "It does not; `GET /api/v1/status` says why.", body = String,
            example = json!("unready"))
    )
)]
pub(super) async fn readyz(State(shared): State<Shared>) -> (StatusCode, &'static str) {
    let app = shared.app.clone();
    match shared.reads.run(move || problems(&app.service.status(), clock::now())).await {
        Ok(problems) if problems.is_empty() => (StatusCode::OK, "ready"),
        Ok(_) | Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "unready"),
    }
}

/// What keeps it from being ready, for people; empty if nothing does.
pub(super) fn problems(status: &ServiceStatus, now: i64) -> Vec<String> {
    let mut problems = Vec::new();
    match &status.phase {
        Phase::Running => {}
        Phase::Starting => problems.push("it is reading its state".to_owned()),
        Phase::Paused(why) => problems.push(format!("it is paused: {why}")),
        Phase::Failed(why) => problems.push(format!("it has failed: {why}")),
        Phase::Stopped => problems.push("it has stopped".to_owned()),
    }
    if let Some(since) = status.checkpoint.pending_since
        && status.phase == Phase::Running
        && now - since > PENDING_AGE
    {
        let age = (now - since) / 1_000;
        problems.push(format!("no checkpoint covers what was read {age} s ago"));
    }
    for input in &status.inputs {
        match &input.status.phase {
            InputPhase::Starting => problems.push(format!("input {} is connecting", input.name)),
            InputPhase::Retrying(why) => problems.push(format!("input {}: {why}", input.name)),
            InputPhase::Failed(why) => {
                problems.push(format!("input {} has given up: {why}", input.name));
            }
            InputPhase::Running | InputPhase::Paused | InputPhase::Stopped => {}
        }
    }
    problems
}
