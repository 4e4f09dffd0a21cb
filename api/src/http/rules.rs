//! The rules that run, and how they do. How they are written is in [`document`].

mod document;

use axum::{
    Json,
    extract::{Path, State},
};
use serde::Serialize;
use sluice_engine::service::RuleHealth;
use sluice_event::rfc3339;
use utoipa::ToSchema;

use super::{
    params::{Nothing, Params},
    problem::{Code, Problem},
    shared::Shared,
};
pub(super) use document::{__path_document, document};

/// All rules.
#[derive(Serialize, ToSchema)]
#[schema(as = RuleList)]
pub(super) struct Rules {
    items: Vec<Rule>,
}

/// A rule and its health. Counts are since the process started.
#[derive(Serialize, ToSchema)]
pub(super) struct Rule {
    id: String,
    title: String,
    severity: &'static str,
    /// `experimental` ones are on trial.
    status: &'static str,
    path: String,
    /// ATT&CK tactics and techniques.
    attack: Vec<String>,
    tables: Vec<String>,
    /// Rows of its tables.
    rows_seen: u64,
    /// Rows that passed its condition.
    matched: u64,
    findings: u64,
    /// Rows on which an expression of it failed.
    errors: u64,
    /// The first failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// Rows its operator never got because they were too late.
    too_late: u64,
    /// Rows its operator had already.
    duplicates: u64,
    /// Keys given up at a limit, and rows no longer kept one by one.
    evicted: u64,
    /// How often a limit was hit on which its verdicts can depend, once per key and hour; each is a
    /// finding of `sluice.rule_degraded` too.
    degraded: u64,
    /// What limits its state and what happens there, in words.
    bounds: Vec<String>,
    /// Time spent on its rows, with its share of the network's.
    nanoseconds: u64,
    /// Keys it remembers.
    keys: u64,
    state_bytes: u64,
    /// Event time of its newest finding; null: none yet.
    #[schema(required)]
    last_fired: Option<String>,
    /// Whether an input feeds the tables it reads.
    can_fire: bool,
    /// Why it cannot.
    #[serde(skip_serializing_if = "String::is_empty")]
    cannot_fire: String,
}

/// The rules that run, with their health, by id
#[utoipa::path(
    get, path = "/api/v1/rules", tag = "rules", operation_id = "list_rules",
    responses((status = 200, description = "Every rule.", body = Rules, example = json!({
        "items": [{
            "id": "identity.mfa_fatigue", "title": "MFA fatigue", "severity": "high",
            "status": "stable", "path": "rules/identity/mfa_fatigue.sql", "attack": ["T1621"],
            "tables": ["authentication"], "rows_seen": 120000, "matched": 310, "findings": 2,
            "errors": 0, "too_late": 0, "duplicates": 0, "evicted": 0, "degraded": 0,
            "bounds": ["10,000 rows of a key are kept one by one"], "nanoseconds": 8100000,
            "keys": 41, "state_bytes": 20992, "last_fired": "2026-11-24T08:15:00.000Z",
            "can_fire": true
        }]
    })))
)]
pub(super) async fn list(
    State(shared): State<Shared>,
    Params(Nothing {}): Params<Nothing>,
) -> Result<Json<Rules>, Problem> {
    let service = shared.app.service.clone();
    let status = shared.pools.reads.run(move || service.status()).await?;
    Ok(Json(Rules { items: status.rules.iter().map(Rule::of).collect() }))
}

/// One rule
#[utoipa::path(
    get, path = "/api/v1/rules/{id}", tag = "rules", operation_id = "get_rule",
    params(("id" = String, Path, description = "`identity.mfa_fatigue`.")),
    responses(
        (status = 200, description = "The rule.", body = Rule, example = json!({
            "id": "identity.mfa_fatigue", "title": "MFA fatigue", "severity": "high",
            "status": "stable", "path": "rules/identity/mfa_fatigue.sql", "attack": ["T1621"],
            "tables": ["authentication"], "rows_seen": 120000, "matched": 310, "findings": 2,
            "errors": 0, "too_late": 0, "duplicates": 0, "evicted": 0, "degraded": 0,
            "bounds": ["10,000 rows of a key are kept one by one"], "nanoseconds": 8100000,
            "keys": 41, "state_bytes": 20992, "last_fired": null, "can_fire": false,
            "cannot_fire": "no input feeds authentication"
        })),
        (status = 404, description = "There is no such rule.", body = Problem,
            content_type = "application/problem+json")
    )
)]
pub(super) async fn get(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    Params(Nothing {}): Params<Nothing>,
) -> Result<Json<Rule>, Problem> {
    let service = shared.app.service.clone();
    let status = shared.pools.reads.run(move || service.status()).await?;
    let rule = status.rules.iter().find(|rule| *rule.id == id);
    rule.map(|rule| Json(Rule::of(rule)))
        .ok_or_else(|| unknown_rule(&id, status.rules.iter().map(|rule| &*rule.id)))
}

fn unknown_rule<'a>(id: &str, ids: impl Iterator<Item = &'a str>) -> Problem {
    let problem = Problem::new(Code::NotFound, format!("there is no rule {id}"));
    match sluice_rule::suggest(id, ids) {
        Some(near) => problem.hint(format!("did you mean {near}?")),
        None => problem,
    }
}

impl Rule {
    fn of(rule: &RuleHealth) -> Rule {
        Rule {
            id: rule.id.to_string(),
            title: rule.title.clone(),
            severity: rule.severity,
            status: rule.status,
            path: rule.path.clone(),
            attack: rule.attack.clone(),
            tables: rule.tables.iter().map(ToString::to_string).collect(),
            rows_seen: rule.rows_seen,
            matched: rule.matched,
            findings: rule.findings,
            errors: rule.errors,
            error: rule.error.clone(),
            too_late: rule.too_late,
            duplicates: rule.duplicates,
            evicted: rule.evicted,
            degraded: rule.degraded,
            bounds: rule.bounds.clone(),
            nanoseconds: rule.nanos,
            keys: rule.keys,
            state_bytes: rule.state_bytes,
            last_fired: rule.last_fired.map(rfc3339),
            can_fire: rule.cannot_fire.is_empty(),
            cannot_fire: rule.cannot_fire.clone(),
        }
    }
}
