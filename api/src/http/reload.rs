//! Taking rules and mappings again.

use std::collections::BTreeMap;

use axum::{Extension, Json, extract::State};
use serde::Serialize;
use serde_json::json;
use sluice_engine::service::{ReloadReport, RuleChange};
use sluice_event::rfc3339;
use utoipa::ToSchema;

use super::{
    audit::Detail,
    clock,
    params::{Nothing, Params},
    problem::Problem,
    shared::Shared,
};

/// What a reload did.
#[derive(Serialize, ToSchema)]
pub(super) struct Reload {
    at: String,
    /// Whether the rules asked for now run; if not, the ones before go on.
    applied: bool,
    /// Rules that are not simply kept: `added`, `edited`, `reset` or `removed`.
    rules: BTreeMap<String, &'static str>,
    kept: u64,
    /// What is wrong, or could be better, with any file.
    problems: Vec<String>,
    /// Bytes of state that no rule needs any more.
    state_freed: u64,
}

/// Read rules and mappings again and take them at the next batch boundary
///
/// If a file has errors nothing changes, and the answer says what is wrong (`applied` is false).
/// State of rules whose stateful part is as before is kept.
#[utoipa::path(
    post, path = "/api/v1/reload", tag = "rules", operation_id = "reload",
    responses((status = 200, description = "What it did.", body = Reload, example = json!({
        "at": "2026-11-24T08:15:00.000Z", "applied": true,
        "rules": {"identity.mfa_fatigue": "edited"}, "kept": 59, "problems": [], "state_freed": 0
    })))
)]
pub(super) async fn reload(
    State(shared): State<Shared>,
    Params(Nothing {}): Params<Nothing>,
) -> Result<(Extension<Detail>, Json<Reload>), Problem> {
    let reload = shared.app.reload.clone();
    let report = shared.pools.reloads.run(move || reload()).await?;
    shared.counters.reloaded(report.applied);
    let took = clock::now() - report.at;
    tracing::info!(applied = report.applied, kept = report.kept, took, "reloaded");
    let reload = Reload::of(&report);
    let recorded = json!({"applied": reload.applied, "rules": reload.rules});
    Ok((Extension(Detail(recorded)), Json(reload)))
}

impl Reload {
    /// The view of a report.
    pub(super) fn of(report: &ReloadReport) -> Reload {
        let word = |change: &RuleChange| match change {
            RuleChange::Added => "added",
            RuleChange::Edited => "edited",
            RuleChange::Reset => "reset",
            RuleChange::Removed => "removed",
        };
        Reload {
            at: rfc3339(report.at),
            applied: report.applied,
            rules: report.rules.iter().map(|(id, change)| (id.clone(), word(change))).collect(),
            kept: report.kept,
            problems: report.problems.clone(),
            state_freed: report.state_freed,
        }
    }
}
