//! Incidents: the list, one of them, and the work on it. Not when one opens (see `sluice_finding`).

mod view;

use axum::{
    Extension, Json,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use sluice_engine::durable::IncidentError;
use sluice_finding::{FindingId, Incident, IncidentStatus, IncidentVerdict, Refused};
use utoipa::ToSchema;

use super::{
    audit::Detail,
    body,
    findings::expected,
    params::{Nothing, Params, limit},
    problem::{Code, Problem},
    shared::Shared,
};
use crate::tokens::Principal;

/// Which incidents.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListParams {
    status: Option<String>,
    entity: Option<String>,
    assignee: Option<String>,
    limit: Option<String>,
    cursor: Option<String>,
}

/// Incidents.
#[derive(Serialize, ToSchema)]
#[schema(as = IncidentPage)]
pub(super) struct Page {
    /// Those with the latest findings first.
    items: Vec<view::Item>,
    /// Where the next page goes on; null at the end.
    #[schema(required)]
    next_cursor: Option<String>,
    /// How many there are on all pages.
    total: u64,
}

/// Where an incident is in the list: minus the time of its last finding, its id.
type Position = (i64, u128);

/// Incidents, those with the latest findings first
#[utoipa::path(
    get, path = "/api/v1/incidents", tag = "incidents", operation_id = "list_incidents",
    params(
        ("status" = Option<String>, Query, description = "`new`, `in_progress`, `on_hold`, `resolved`, `closed`, or `open` for the first three."),
        ("entity" = Option<String>, Query, description = "About this entity: `user:ann@example.com`."),
        ("assignee" = Option<String>, Query, description = "Whose work it is."),
        ("limit" = Option<u32>, Query, description = "1 to 500, 50 if not given."),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before.")
    ),
    responses((status = 200, description = "A page.", body = Page, example = json!({
        "items": [{"id": "0f1e2d3c4b5a69788796a5b4c3d2e1f0",
            "entity": {"kind": "user", "id": "ann@example.com"}, "title": "MFA fatigue",
            "time": "2026-11-24T08:15:00.000Z", "last_time": "2026-11-24T08:40:00.000Z",
            "severity": "high", "status": "new", "assignee": null, "verdict": null,
            "duplicate_of": null, "risk_peak": 81.6, "tactics": ["TA0006"], "findings_total": 2,
            "version": 0}],
        "next_cursor": null, "total": 1
    })))
)]
pub(super) async fn list(
    State(shared): State<Shared>,
    Params(params): Params<ListParams>,
) -> Result<Json<Page>, Problem> {
    let statuses = match params.status.as_deref() {
        None => IncidentStatus::ALL.to_vec(),
        Some("open") => IncidentStatus::ALL.into_iter().filter(|s| !s.ends()).collect(),
        Some(word) => vec![IncidentStatus::parse(word).ok_or_else(|| {
            Problem::parameter("status", format!("`{word}` is no status of an incident"))
                .hint(format!("open, {}", IncidentStatus::ALL.map(IncidentStatus::name).join(", ")))
        })?],
    };
    let limit = limit(params.limit.as_deref())?;
    let text = |word: &Option<String>| word.clone().unwrap_or_default();
    let (status, entity) = (text(&params.status), text(&params.entity));
    let names = ["default", "incidents", &status, &entity, &text(&params.assignee)];
    let after: Option<Position> = match &params.cursor {
        Some(cursor) => {
            let bytes = shared.cursors.open(&names, cursor)?;
            let position = serde_json::from_slice(&bytes);
            Some(position.map_err(|_| Problem::parameter("cursor", "it cannot be read"))?)
        }
        None => None,
    };
    let store = shared.app.store.clone();
    let incidents = shared.pools.reads.run(move || store.incidents()).await?;
    let about = |i: &Incident| format!("{}:{}", i.entity.kind.name(), i.entity.id);
    let mut found: Vec<(Position, _)> = incidents
        .into_iter()
        .filter(|i| statuses.contains(&i.status))
        .filter(|i| params.entity.as_ref().is_none_or(|e| *e == about(i)))
        .filter(|i| params.assignee.is_none() || i.assignee == params.assignee)
        .map(|i| ((-i.last_time, i.id.0), i))
        .collect();
    found.sort_unstable_by_key(|(at, _)| *at);
    let total = found.len() as u64;
    let from = after.map_or(0, |after| found.partition_point(|(at, _)| *at <= after));
    let rest = found.get(from..).unwrap_or_default();
    let last = rest.get(limit - 1).filter(|_| rest.len() > limit).map(|(at, _)| *at);
    let next_cursor = last.and_then(|at| serde_json::to_vec(&at).ok());
    Ok(Json(Page {
        items: rest.iter().take(limit).map(|(_, incident)| view::Item::of(incident)).collect(),
        next_cursor: next_cursor.map(|position| shared.cursors.seal(&names, &position)),
        total,
    }))
}

/// One incident, with why each finding belongs to it and what people did
///
/// `ETag` is its version: send it back as `If-Match` to change only what you saw.
#[utoipa::path(
    get, path = "/api/v1/incidents/{id}", tag = "incidents", operation_id = "get_incident",
    params(("id" = String, Path, description = "32 hex digits.")),
    responses(
        (status = 200, description = "The incident.", body = view::Whole, example = json!({
            "id": "0f1e2d3c4b5a69788796a5b4c3d2e1f0",
            "entity": {"kind": "user", "id": "ann@example.com"}, "title": "MFA fatigue",
            "time": "2026-11-24T08:15:00.000Z", "last_time": "2026-11-24T08:40:00.000Z",
            "severity": "high", "status": "in_progress", "assignee": "bob", "verdict": null,
            "duplicate_of": null, "risk_peak": 81.6, "tactics": ["TA0006"], "findings_total": 1,
            "version": 1,
            "findings": [{"id": "8c0a3f4be1d25f6790ab12cd34ef5678", "why": "risk_high"}],
            "history": [{"at": "2026-11-24T08:50:00.000Z", "by": "bob", "status": "in_progress",
                "assignee": "bob"}]
        })),
        (status = 404, description = "There is no such incident.", body = Problem,
            content_type = "application/problem+json")
    )
)]
pub(super) async fn get(
    State(shared): State<Shared>,
    Params(Nothing {}): Params<Nothing>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let id = parse_id(&id)?;
    let store = shared.app.store.clone();
    let found = shared.pools.reads.run(move || store.incident(id)).await?;
    found.map(|incident| answer(&incident)).ok_or_else(|| not_found(&id.to_string()))
}

/// Work on an incident: status, assignee, verdict, comment
///
/// `resolved` and `closed` need a verdict, here or before. A verdict counts at once: `benign` and
/// `false_positive` resolve its findings, which weigh nothing any more, and a false positive keeps
/// findings of the same rules about the same entity from weighing for 30 days (a suppression);
/// `true_positive` resolves them, and they go on to decay; `confirmed_compromise` does so too and keeps
/// the entity high until the incident is closed; `duplicate` gives them to `duplicate_of`. Who takes up
/// the work again takes the verdict back. With `If-Match`, 412 if somebody else was faster.
#[utoipa::path(
    patch, path = "/api/v1/incidents/{id}", tag = "incidents", operation_id = "change_incident",
    params(
        ("id" = String, Path, description = "32 hex digits."),
        ("If-Match" = Option<String>, Header, description = "The `ETag` it was seen with.")
    ),
    request_body(content = view::Change, example = json!({
        "status": "closed", "verdict": "benign", "comment": "a test of the help desk"
    })),
    responses(
        (status = 200, description = "The incident as it is now, and the risk of its entity.",
            body = view::Changed, example = json!({
                "incident": {"id": "0f1e2d3c4b5a69788796a5b4c3d2e1f0", "status": "closed",
                    "verdict": "benign", "version": 2},
                "risk": {"entity": "user:ann@example.com", "known": true, "score": 4.0,
                    "level": "low", "computed_level": "low"}
            })),
        (status = 404, description = "There is no such incident.", body = Problem,
            content_type = "application/problem+json"),
        (status = 409, description = "Its history is full, or the name of the token has as many suppressions as one may have.", body = Problem,
            content_type = "application/problem+json"),
        (status = 412, description = "It has changed since.", body = Problem,
            content_type = "application/problem+json"),
        (status = 422, description = "The change makes no sense.", body = Problem,
            content_type = "application/problem+json")
    )
)]
pub(super) async fn patch(
    State(shared): State<Shared>,
    Params(Nothing {}): Params<Nothing>,
    Extension(principal): Extension<Principal>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body::Json(change): body::Json<view::Change>,
) -> Result<Response, Problem> {
    let id = parse_id(&id)?;
    let expected = expected(&headers)?;
    let change = change.checked()?;
    let recorded = Detail(view::recorded(&change));
    let store = shared.app.store.clone();
    let webhooks = shared.app.webhooks.clone();
    let own = shared.clone();
    let work = move || {
        // A false positive suppresses its rules about the entity.
        let suppresses = change.verdict == Some(IncidentVerdict::FalsePositive);
        let _counting = suppresses.then(|| own.shares.counting.lock());
        if suppresses {
            own.room_for_suppressions(&principal.name)?;
        }
        let _judging = webhooks.as_ref().map(|webhooks| webhooks.judging(id));
        let changed = store.change_incident(id, expected, change, &principal.name);
        let incident = changed.map_err(refused)?;
        let risk = store.risk(&incident.entity)?;
        Ok::<_, Problem>((incident, risk, store.now()))
    };
    let (incident, risk, now) = shared.pools.writes.run(work).await??;
    let signals = shared.app.signals.as_ref();
    let seen = signals.and_then(|s| s.level(&super::risk::key(&incident.entity)));
    let changed = view::Changed::of(&incident, risk.as_deref(), seen.as_ref(), now);
    let mut response = tagged(&incident, Json(changed).into_response());
    response.extensions_mut().insert(recorded);
    Ok(response)
}

fn answer(incident: &Incident) -> Response {
    tagged(incident, Json(view::Whole::of(incident)).into_response())
}

fn tagged(incident: &Incident, mut response: Response) -> Response {
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{}\"", incident.history.len())) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

fn parse_id(text: &str) -> Result<FindingId, Problem> {
    let hex = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
    text.parse().ok().filter(|_| hex).ok_or_else(|| not_found(text))
}

fn not_found(id: &str) -> Problem {
    Problem::new(Code::NotFound, format!("there is no incident {id}"))
}

fn refused(error: IncidentError) -> Problem {
    let text = error.to_string();
    match error {
        IncidentError::NotFound(_) => Problem::new(Code::NotFound, text),
        IncidentError::Conflict(version) => Problem::new(Code::VersionMismatch, text)
            .hint(format!("read it again, then send If-Match: \"{version}\"")),
        IncidentError::Refused(Refused::HistoryFull) => Problem::new(Code::Conflict, text)
            .hint("one name fills at most half of it; close it, or go on in a ticket"),
        IncidentError::Refused(_) | IncidentError::Finding(..) => {
            Problem::new(Code::Unprocessable, text)
        }
        IncidentError::Mute(error) => super::suppressions::refused(error),
        IncidentError::Store(error) => error.into(),
    }
}
