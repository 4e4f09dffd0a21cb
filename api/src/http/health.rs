//! `/healthz` and `/readyz`: one word each, for probes, without a token. Why it is not ready is in
//! the authenticated [`super::status`].

use axum::{extract::State, http::StatusCode};
use sluice_engine::service::{Phase, ServiceStatus};
use sluice_event::defect::defects;
use sluice_ingest::live::InputPhase;

use super::{clock, shared::Shared};
use crate::node::memory::Pressure;

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
    let look = move || problems(&app.service.status(), app.memory.pressure(), clock::now());
    match shared.pools.health.run(look).await {
        Ok(problems) if problems.is_empty() => (StatusCode::OK, "ready"),
        Ok(_) | Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "unready"),
    }
}

/// What keeps it from being ready, for people; empty if nothing does. Only work that is not done counts:
/// without events there is nothing to do.
pub(super) fn problems(status: &ServiceStatus, pressure: Pressure, now: i64) -> Vec<String> {
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
    if pressure == Pressure::Inputs {
        problems.push("inputs pause: the process is at its `memory_limit`".to_owned());
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
    let defects = defects();
    if let Some(latest) = &defects.latest {
        let (count, place, detail) = (defects.total(), latest.place, &latest.detail);
        problems.push(format!("{count} defects of sluice, the latest in {place}: {detail}"));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_work_that_is_not_done_counts() {
        let hour = 3_600_000;
        let mut status = ServiceStatus { phase: Phase::Running, ..ServiceStatus::default() };
        // An hour without records is no trouble; a minute with some that no checkpoint covers is.
        (status.started_at, status.checkpoint.at) = (0, Some(0));
        assert!(problems(&status, Pressure::Queries, hour).is_empty());
        status.checkpoint.pending_since = Some(hour - 61_000);
        let found = problems(&status, Pressure::None, hour);
        assert_eq!(found, ["no checkpoint covers what was read 61 s ago"]);
        status.checkpoint.pending_since = None;
        status.phase = Phase::Paused("the disk is full".to_owned());
        let found = problems(&status, Pressure::Inputs, hour);
        assert_eq!(found[0], "it is paused: the disk is full");
        assert!(found[1].contains("memory_limit"), "{found:?}");
    }
}
