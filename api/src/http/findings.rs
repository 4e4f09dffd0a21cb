//! Findings: search, one of them, the work on it, many at once, and the live stream.

mod bulk;
pub(super) mod change;
mod query;
mod stream;
pub(super) mod view;

use axum::{
    Extension,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response, Sse},
};
use futures::Stream;
use sluice_engine::durable::{Stored, TriageError};
use sluice_finding::{FindingId, TriageRefused};
use sluice_index::SearchError;

use super::{
    audit::Detail,
    body, clock,
    params::{Nothing, Params},
    problem::{Code, Fault, Problem},
    shared::Shared,
};
use crate::{node::search::SearchFailure, tokens::Principal};

/// Findings that match, newest first
///
/// `q` is words and `field:value`. The list is stable: what arrives while paging is on no later page.
/// Findings of rules on trial (`status: experimental`) are left out and counted in `shadow_total`;
/// `include=shadow` lists them too.
#[utoipa::path(
    get, path = "/api/v1/findings", tag = "findings", operation_id = "list_findings",
    params(query::ListParams),
    responses((status = 200, description = "A page.", body = view::Page, example = json!({
        "items": [{
            "id": "8c0a3f4be1d25f6790ab12cd34ef5678", "rule_id": "identity.mfa_fatigue",
            "rule_version": "1f2e3d4c5b6a", "title": "MFA fatigue", "severity": "high", "risk": 30,
            "time": "2026-11-24T08:15:00.000Z", "state": "confirmed", "revision": 1,
            "entities": [{"kind": "user", "id": "ann@example.com"}], "attack": ["T1621"],
            "count": 6, "shadow": false, "late": false, "capped": false, "contested": false,
            "fields": {"user_name": "ann@example.com", "pushes": 6}, "evidence_total": 6,
            "status": "new", "version": 0, "seq": 42
        }],
        "next_cursor": null,
        "total": {"value": 1, "relation": "eq"},
        "shadow_total": {"value": 0, "relation": "eq"},
        "facets": {"severity": [{"value": "high", "count": 1}]}
    })))
)]
pub(super) async fn list(
    State(shared): State<Shared>,
    Params(params): Params<query::ListParams>,
) -> Result<Response, Problem> {
    query::list(shared, params).await
}

/// One finding, with its evidence and what people did about it
///
/// `ETag` is the version of the triage: send it back as `If-Match` to change only what you saw.
#[utoipa::path(
    get, path = "/api/v1/findings/{id}", tag = "findings", operation_id = "get_finding",
    params(("id" = String, Path, description = "32 hex digits.")),
    responses(
        (status = 200, description = "The finding.", body = view::Detail, example = json!({
            "id": "8c0a3f4be1d25f6790ab12cd34ef5678", "rule_id": "identity.mfa_fatigue",
            "rule_version": "1f2e3d4c5b6a", "title": "MFA fatigue", "severity": "high", "risk": 30,
            "time": "2026-11-24T08:15:00.000Z", "state": "confirmed", "revision": 1,
            "entities": [{"kind": "user", "id": "ann@example.com"}], "attack": ["T1621"],
            "window_start": "2026-11-24T08:05:00.000Z", "window_end": "2026-11-24T08:15:00.000Z",
            "count": 6, "shadow": false, "late": false, "capped": false, "contested": false,
            "fields": {"user_name": "ann@example.com", "pushes": 6}, "evidence_total": 6,
            "status": "in_progress", "assignee": "bob", "version": 1, "seq": 43,
            "evidence": [{"time": "2026-11-24T08:14:59.000Z", "user_name": "ann@example.com"}],
            "history": [{"at": "2026-11-24T08:20:00.000Z", "by": "bob",
                "status": "in_progress", "assignee": "bob"}]
        })),
        (status = 404, description = "There is no such finding.", body = Problem,
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
    let found = shared.pools.reads.run(move || store.finding(id)).await??;
    found.map(|stored| detail(&shared, &stored)).ok_or_else(|| not_found(&id.to_string()))
}

/// Work on a finding: status, assignee, comment
///
/// `resolved` needs a reason. With `If-Match`, 412 if somebody else was faster.
#[utoipa::path(
    patch, path = "/api/v1/findings/{id}", tag = "findings", operation_id = "change_finding",
    params(
        ("id" = String, Path, description = "32 hex digits."),
        ("If-Match" = Option<String>, Header, description = "The `ETag` it was seen with.")
    ),
    request_body(content = change::Change, example = json!({
        "status": "resolved", "reason": "false_positive", "comment": "a test of the help desk"
    })),
    responses(
        (status = 200, description = "The finding as it is now.", body = view::Detail,
            example = json!({"id": "8c0a3f4be1d25f6790ab12cd34ef5678", "status": "resolved",
                "reason": "false_positive", "version": 2})),
        (status = 404, description = "There is no such finding.", body = Problem,
            content_type = "application/problem+json"),
        (status = 409, description = "Its history is full.", body = Problem,
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
    body::Json(change): body::Json<change::Change>,
) -> Result<Response, Problem> {
    let id = parse_id(&id)?;
    let expected = expected(&headers)?;
    let change = change.checked()?;
    let recorded = Detail(change::recorded(&change));
    let store = shared.app.store.clone();
    let done = shared
        .pools
        .writes
        .run(move || store.triage(id, expected, change, clock::now(), &principal.name))
        .await?;
    let mut response = done.map(|stored| detail(&shared, &stored)).map_err(refused)?;
    response.extensions_mut().insert(recorded);
    Ok(response)
}

/// The same change for many findings
///
/// By `ids`, each at most once, or by a search as the list makes it: then at most 500, newest first, and
/// `more` says whether there are others.
#[utoipa::path(
    post, path = "/api/v1/findings/bulk", tag = "findings", operation_id = "change_findings",
    request_body(content = bulk::Bulk, example = json!({
        "query": "rule_id:identity.mfa_fatigue", "from": "now-24h",
        "status": "resolved", "reason": "benign", "comment": "pentest"
    })),
    responses((status = 200, description = "What became of each.", body = bulk::Outcome,
        example = json!({
            "changed": 1, "failed": 1, "more": false,
            "items": [
                {"id": "8c0a3f4be1d25f6790ab12cd34ef5678", "ok": true, "version": 2},
                {"id": "00000000000000000000000000000000", "ok": false, "code": "not_found",
                 "detail": "there is no finding 00000000000000000000000000000000"}
            ]
        })))
)]
pub(super) async fn bulk(
    State(shared): State<Shared>,
    Params(Nothing {}): Params<Nothing>,
    Extension(principal): Extension<Principal>,
    body::Json(request): body::Json<bulk::Bulk>,
) -> Result<(Extension<Detail>, axum::Json<bulk::Outcome>), Problem> {
    let (recorded, outcome) = bulk::change(shared, principal, request).await?;
    Ok((Extension(recorded), axum::Json(outcome)))
}

/// Findings as they come: server-sent events
///
/// `finding` has the finding as the list shows it, `withdrawn` one that a late event took back, `gap`
/// says that this client was too slow and from which sequence to read again. `id` is the sequence of
/// the change; with `Last-Event-ID` the stream begins after it, else now. A comment every 15 s keeps
/// the connection open. Findings of rules on trial come with `include=shadow` only.
#[utoipa::path(
    get, path = "/api/v1/findings/stream", tag = "findings", operation_id = "stream_findings",
    params(
        stream::StreamParams,
        ("Last-Event-ID" = Option<u64>, Header, description = "Go on after this sequence.")
    ),
    responses((status = 200, description = "Events without end.", body = String,
        content_type = "text/event-stream",
        example = json!("event: finding\nid: 42\ndata: {\"id\":\"8c0a…\",\"severity\":\"high\"}\n\n")))
)]
pub(super) async fn stream(
    State(shared): State<Shared>,
    Extension(principal): Extension<Principal>,
    headers: HeaderMap,
    Params(params): Params<stream::StreamParams>,
) -> Result<
    Sse<impl Stream<Item = Result<axum::response::sse::Event, std::convert::Infallible>>>,
    Problem,
> {
    stream::open(shared, principal, &headers, params).await
}

fn detail(shared: &Shared, stored: &Stored) -> Response {
    let suppressed_by = shared.app.store.suppressed_by(&stored.finding);
    let mut response = axum::Json(view::Detail::of(stored, &suppressed_by)).into_response();
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{}\"", stored.triage.version)) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

fn parse_id(text: &str) -> Result<FindingId, Problem> {
    let hex = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
    text.parse().ok().filter(|_| hex).ok_or_else(|| not_found(text))
}

fn not_found(id: &str) -> Problem {
    Problem::new(Code::NotFound, format!("there is no finding {id}"))
}

/// The version that `If-Match` names.
pub(super) fn expected(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(tag) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let tag = tag.to_str().unwrap_or_default().trim();
    if tag == "*" {
        return Ok(None);
    }
    let version =
        tag.strip_prefix('"').and_then(|t| t.strip_suffix('"')).and_then(|t| t.parse().ok());
    version.map(Some).ok_or_else(|| {
        let detail = format!("If-Match is not an ETag of a finding: {tag}");
        let pointer = Some("header/If-Match".to_owned());
        let fault = Fault { pointer, detail: detail.clone(), ..Fault::default() };
        Problem::new(Code::InvalidParameter, detail).errors(vec![fault]).hint("\"3\", in quotes")
    })
}

fn refused(error: TriageError) -> Problem {
    let text = error.to_string();
    match error {
        TriageError::NotFound(_) => Problem::new(Code::NotFound, text),
        TriageError::Conflict(version) => Problem::new(Code::VersionMismatch, text)
            .hint(format!("read it again, then send If-Match: \"{version}\"")),
        TriageError::Refused(TriageRefused::Invalid(_)) => Problem::new(Code::Unprocessable, text),
        TriageError::Refused(TriageRefused::HistoryFull) => Problem::new(Code::Conflict, text)
            .hint("one name fills at most half of it; resolve it, or go on in a ticket"),
        TriageError::Store(error) => error.into(),
    }
}

/// The problem of a search without a page. What the index says of its files is for the log.
fn search_refused(failure: SearchFailure) -> Problem {
    let error = match failure {
        SearchFailure::Search(error) => error,
        SearchFailure::NotOpen(why) => {
            tracing::warn!("search is not available: {why}");
            return no_search("the index is not open; GET /api/v1/status says why");
        }
    };
    let (message, column, hint) = match error {
        SearchError::Query(query) => {
            let message = match query.detail {
                Some(detail) => format!("{}: {detail}", query.primary),
                None => query.primary,
            };
            (message, query.column, query.hint)
        }
        error @ (SearchError::Request(_) | SearchError::FacetTooLarge { .. }) => {
            (error.to_string(), None, None)
        }
        SearchError::Engine(text) => {
            tracing::error!("a search failed: {text}");
            return no_search("the index failed; the log says how");
        }
    };
    let fault = Fault {
        pointer: Some("query/q".to_owned()),
        detail: message.clone(),
        column: column.map(|c| c as u64),
        hint: hint.clone(),
        ..Fault::default()
    };
    let problem = Problem::new(Code::InvalidQuery, message).errors(vec![fault]);
    match hint {
        Some(hint) => problem.hint(hint),
        None => problem,
    }
}

fn no_search(why: &str) -> Problem {
    Problem::new(Code::Unavailable, format!("search is not available: {why}"))
        .retry(10)
        .hint("detection goes on; GET /api/v1/findings/stream reads the store itself")
}
