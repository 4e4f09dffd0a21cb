//! A rule as it is written: its file, and what its front matter tells the person who works on its
//! findings. Not its health (see [`super`]).

use axum::{
    Json,
    extract::{Path, State},
};
use serde::Serialize;
use sluice_rule::{Rule, RuleTest};
use utoipa::ToSchema;

use super::{
    super::{
        params::{Nothing, Params},
        problem::Problem,
        shared::Shared,
    },
    unknown_rule,
};

/// A rule file, read.
#[derive(Serialize, ToSchema)]
pub(in super::super) struct RuleDocument {
    id: String,
    title: String,
    /// 12 hex digits of the hash of its SQL: findings carry it.
    version: String,
    /// What it finds, in a sentence or two.
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    /// The score one finding gives a quiet entity, 0 to 90.
    risk: u8,
    /// Output columns that name what a finding is about.
    entities: Vec<EntityColumn>,
    /// How repeats are folded.
    #[serde(skip_serializing_if = "Option::is_none")]
    suppression: Option<Suppression>,
    /// What else looks like this.
    false_positives: Vec<String>,
    /// What it will not see.
    blind_spots: Vec<String>,
    /// What to do about a finding.
    #[serde(skip_serializing_if = "Option::is_none")]
    runbook: Option<String>,
    references: Vec<String>,
    /// The SELECT.
    sql: String,
    /// The whole file.
    text: String,
    tests: Vec<RuleCase>,
}

/// An output column that names an entity.
#[derive(Serialize, ToSchema)]
struct EntityColumn {
    column: String,
    kind: &'static str,
}

/// Repeats with equal values of `by` within the time are folded.
#[derive(Serialize, ToSchema)]
#[schema(as = RuleSuppression)]
struct Suppression {
    by: Vec<String>,
    for_ms: i64,
}

/// A case in the rule's file.
#[derive(Serialize, ToSchema)]
struct RuleCase {
    name: String,
    /// Whether it expects findings; else that the rule stays quiet.
    fires: bool,
    line: u64,
}

/// A rule as it is written
///
/// The text that runs now, which a file edited meanwhile may differ from until it is reloaded.
#[utoipa::path(
    get, path = "/api/v1/rules/{id}/document", tag = "rules", operation_id = "get_rule_document",
    params(("id" = String, Path, description = "`identity.mfa_fatigue`.")),
    responses(
        (status = 200, description = "The rule's file.", body = RuleDocument, example = json!({
            "id": "identity.mfa_fatigue", "title": "MFA push fatigue", "version": "0f3a9c51d2e8",
            "description": "A user refused five MFA pushes.", "risk": 30,
            "entities": [{"column": "user_entity", "kind": "user"}],
            "suppression": {"by": ["user_entity"], "for_ms": 3600000},
            "false_positives": ["A phone in a pocket"], "blind_spots": [],
            "runbook": "Ask the user.", "references": [],
            "sql": "SELECT user_entity FROM authentication",
            "text": "/*---\nid: identity.mfa_fatigue\n---*/\nSELECT user_entity FROM authentication\n",
            "tests": [{"name": "five denials fire", "fires": true, "line": 12}]
        })),
        (status = 404, description = "There is no such rule.", body = Problem,
            content_type = "application/problem+json")
    )
)]
pub(in super::super) async fn document(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    Params(Nothing {}): Params<Nothing>,
) -> Result<Json<RuleDocument>, Problem> {
    let service = shared.app.service.clone();
    let read = move || service.content();
    let content = shared.pools.reads.run(read).await?;
    let rules: Vec<&Rule> = content.running().map(|loaded| &*loaded.rule).collect();
    match rules.iter().find(|rule| rule.id.to_string() == id) {
        Some(rule) => Ok(Json(RuleDocument::of(rule))),
        None => {
            let ids: Vec<String> = rules.iter().map(|rule| rule.id.to_string()).collect();
            Err(unknown_rule(&id, ids.iter().map(String::as_str)))
        }
    }
}

impl RuleDocument {
    fn of(rule: &Rule) -> RuleDocument {
        let entity = |(column, kind): &(String, sluice_event::EntityKind)| EntityColumn {
            column: column.clone(),
            kind: kind.name(),
        };
        RuleDocument {
            id: rule.id.to_string(),
            title: rule.title.clone(),
            version: rule.version.clone(),
            description: rule.description.clone(),
            risk: rule.risk(),
            entities: rule.entity.iter().map(entity).collect(),
            suppression: rule
                .suppression
                .as_ref()
                .map(|s| Suppression { by: s.by.clone(), for_ms: s.for_ms }),
            false_positives: rule.false_positives.clone(),
            blind_spots: rule.blind_spots.clone(),
            runbook: rule.runbook.clone(),
            references: rule.references.clone(),
            sql: rule.file.sql.trim().to_owned(),
            text: rule.file.text.to_string(),
            tests: rule.tests.iter().map(RuleCase::of).collect(),
        }
    }
}

impl RuleCase {
    fn of(case: &RuleTest) -> RuleCase {
        RuleCase { name: case.name.clone(), fires: !case.expect.is_empty(), line: case.line as u64 }
    }
}
