//! Hunts: sandboxed SQL over the events of the history and what was found in them, answered in the format the
//! caller accepts.

mod format;

use std::collections::BTreeMap;

use axum::{
    Extension,
    extract::{Path, State},
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use sluice_engine::{
    Cancel, QueryLimits,
    history::{HistoryGap, HuntResult},
    tables_named,
};
use sluice_event::{TableName, rfc3339};
use utoipa::ToSchema;

use super::{
    access::permitted,
    audit::{Asked, Detail},
    body, clock,
    params::{Nothing, Params, time},
    pool::Work,
    problem::{Code, Problem},
    shared::Shared,
};
use crate::tokens::{Permission, Principal, hex};
use format::Format;

/// What to look for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Hunt {
    /// One SELECT, at most 64 KiB.
    sql: String,
    /// Event time at or after: RFC 3339, or `now-1h`. Rows before are not scanned.
    from: Option<String>,
    /// Event time before.
    to: Option<String>,
    /// Rows of the answer, 1 to 10,000; 1,000 if not given. `truncated` says if there were more.
    limit: Option<u64>,
}

/// Rows and what they cost.
#[derive(Serialize, ToSchema)]
#[schema(as = HuntAnswer)]
pub(super) struct Answer {
    columns: Vec<Column>,
    /// An object a row; NULL is null.
    #[schema(value_type = Vec<Object>)]
    rows: Vec<Value>,
    /// Whether a limit cut rows off.
    truncated: bool,
    rows_scanned: u64,
    bytes_scanned: u64,
    /// Parquet files of the history that were opened.
    files_scanned: u64,
    elapsed_ms: u64,
    /// Per table: the event time from which on it is complete, but for `gaps`; null for an empty one.
    covers_from: BTreeMap<String, Option<String>>,
    /// Rows of the tables and times asked for that are missing from this answer; empty if none are.
    gaps: Vec<Gap>,
}

/// Rows that are missing from an answer.
#[derive(Serialize, ToSchema)]
#[schema(as = HuntGap)]
struct Gap {
    table: String,
    /// `unreadable`: a file is missing or damaged; `unwritten`: the disk had no room for them and the
    /// process ended; `overrun`: they came faster than the disk took them; `off`: they came while
    /// `history.disk` was `false`.
    reason: &'static str,
    /// How many, at most; 0 if that is not known.
    rows: u64,
    /// Event time of the first of them; null if they have none.
    #[schema(required)]
    from: Option<String>,
    /// Of the last.
    #[schema(required)]
    to: Option<String>,
    /// Which file, and what is wrong.
    detail: String,
}

/// A column of the answer.
#[derive(Serialize, ToSchema)]
#[schema(as = HuntColumn)]
struct Column {
    name: String,
    #[serde(rename = "type")]
    kind: String,
}

const ROWS_DEFAULT: u64 = 1_000;
const ROWS_MAX: u64 = 10_000;

const PREFER: HeaderName = HeaderName::from_static("prefer");
const TRUNCATED: HeaderName = HeaderName::from_static("sluice-truncated");
const ROWS: HeaderName = HeaderName::from_static("sluice-rows-scanned");
const BYTES: HeaderName = HeaderName::from_static("sluice-bytes-scanned");
const COVERS: HeaderName = HeaderName::from_static("sluice-covers-from");
const GAPS: HeaderName = HeaderName::from_static("sluice-gaps");

/// Run one SELECT over events and what was found
///
/// The events are those of the history, on disk and in memory: `covers_from` says since when each table is
/// complete, `gaps` what is missing nevertheless. Conditions on `time`, and `from` and `to`, spare reading
/// other files. The tables `findings`,
/// `incidents` and `entity_risk` hold what the API shows of them, all as of one moment: the newest
/// 100,000 rows of each by event time, of findings at most 64 MiB; `entity_risk` needs the permission
/// `risk:read`. Nothing but the tables of `GET /api/v1/schema` can be read. By `Accept`: JSON, `application/x-ndjson`, `text/csv` (a cell
/// that a spreadsheet would run begins with `'`) or `application/vnd.apache.arrow.stream`; the last
/// three carry the costs in headers `Sluice-*`. With `Prefer: respond-async` the answer is a 202 with a
/// `Location` to fetch it from.
#[utoipa::path(
    post, path = "/api/v1/hunts", tag = "hunts", operation_id = "hunt",
    request_body(content = Hunt, example = json!({
        "sql": "SELECT user_name, count(*) AS n FROM authentication WHERE status = 'Failure' GROUP BY user_name ORDER BY n DESC",
        "from": "now-1h", "limit": 100
    })),
    responses(
        (status = 200, description = "The rows.", body = Answer, example = json!({
            "columns": [{"name": "user_name", "type": "Utf8"}, {"name": "n", "type": "Int64"}],
            "rows": [{"user_name": "ann", "n": 12}], "truncated": false,
            "rows_scanned": 120000, "bytes_scanned": 9600000, "files_scanned": 12, "elapsed_ms": 14,
            "covers_from": {"authentication": "2026-11-24T02:00:00.000Z"}, "gaps": []
        })),
        (status = 202, description = "With `Prefer: respond-async`: it runs.", body = Object),
        (status = 400, description = "`invalid_sql`, with line, column and hint.", body = Problem,
            content_type = "application/problem+json"),
        (status = 408, description = "`deadline`.", body = Problem,
            content_type = "application/problem+json"),
        (status = 422, description = "`query_limit` or `query_failed`.", body = Problem,
            content_type = "application/problem+json")
    )
)]
pub(super) async fn run(
    State(shared): State<Shared>,
    Params(Nothing {}): Params<Nothing>,
    Extension(principal): Extension<Principal>,
    Extension(recorded): Extension<Asked>,
    headers: HeaderMap,
    body::Json(hunt): body::Json<Hunt>,
) -> Result<Response, Problem> {
    // Not the text: it names people. Its hash says whether two hunts were the same.
    let sql_sha256 = hex(&Sha256::digest(hunt.sql.as_bytes()));
    recorded.is(serde_json::json!({"sql_sha256": sql_sha256}));
    shared.room_for_queries()?;
    let format = Format::accepted(&headers)?;
    let later = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
    let later = later.flat_map(|value| value.split(',')).any(|p| p.trim() == "respond-async");
    let now = clock::now();
    let between = (time("from", hunt.from.as_deref(), now)?, time("to", hunt.to.as_deref(), now)?);
    let limits = QueryLimits { rows: rows(hunt.limit)?, ..shared.hunt_limits };
    let query = Query { sql: hunt.sql, sql_sha256, between, limits, format };
    let work = query.answer(shared.clone(), principal.clone());
    if later { shared.jobs.start(&shared.memory, &principal, work) } else { work.await }
}

/// The answer of a hunt that was asked for with `Prefer: respond-async`
///
/// 202 with `Retry-After` while it runs. Answers are kept for ten minutes, for the token that asked.
#[utoipa::path(
    get, path = "/api/v1/hunts/{id}", tag = "hunts", operation_id = "get_hunt",
    params(("id" = String, Path, description = "32 hex digits, of the 202.")),
    responses(
        (status = 200, description = "The rows, in the format that was accepted.", body = Answer,
            example = json!({"columns": [{"name": "n", "type": "Int64"}], "rows": [{"n": 12}],
                "truncated": false, "rows_scanned": 12, "bytes_scanned": 960, "files_scanned": 0,
                "elapsed_ms": 1, "covers_from": {}, "gaps": []})),
        (status = 202, description = "It runs.", body = Object,
            example = json!({"id": "0f1e2d3c4b5a69788796a5b4c3d2e1f0", "state": "running"})),
        (status = 404, description = "This token has no such hunt.", body = Problem,
            content_type = "application/problem+json")
    )
)]
pub(super) async fn get(
    State(shared): State<Shared>,
    Params(Nothing {}): Params<Nothing>,
    Extension(principal): Extension<Principal>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    shared.jobs.answer(&id, &principal)
}

/// End a hunt, or forget its answer
#[utoipa::path(
    delete, path = "/api/v1/hunts/{id}", tag = "hunts", operation_id = "cancel_hunt",
    params(("id" = String, Path, description = "32 hex digits, of the 202.")),
    responses(
        (status = 200, description = "It is gone.", body = Object,
            example = json!({"id": "0f1e2d3c4b5a69788796a5b4c3d2e1f0", "state": "cancelled"})),
        (status = 404, description = "This token has no such hunt.", body = Problem,
            content_type = "application/problem+json")
    )
)]
pub(super) async fn cancel(
    State(shared): State<Shared>,
    Params(Nothing {}): Params<Nothing>,
    Extension(principal): Extension<Principal>,
    Path(id): Path<String>,
) -> Result<axum::Json<Value>, Problem> {
    shared.jobs.cancel(&id, &principal)?;
    Ok(axum::Json(serde_json::json!({"id": id, "state": "cancelled"})))
}

/// A hunt whose words are checked.
struct Query {
    sql: String,
    sql_sha256: String,
    /// Milliseconds since 1970 UTC: at or after, before.
    between: (Option<i64>, Option<i64>),
    limits: QueryLimits,
    format: Format,
}

impl Query {
    /// Runs it and writes its answer.
    async fn answer(self, shared: Shared, principal: Principal) -> Result<Response, Problem> {
        let Query { sql, sql_sha256, between, limits, format } = self;
        let (history, store) = (shared.app.history.clone(), shared.app.store.clone());
        let start = clock::monotonic();
        let sql_bytes = sql.len();
        // Dropped with this future, when nobody waits any more.
        let waiting = Waiting(Cancel::default());
        let cancel = waiting.0.clone();
        let by = principal.clone();
        let work = move |work: Work| {
            if work.is_cancelled() {
                return Err(Problem::new(Code::Timeout, "the request has ended"));
            }
            // The place is held until the thread of the query has ended, not only as long as it is waited for.
            let cancel = cancel.holding(work);
            let named = tables_named(&sql);
            for table in &named {
                own_table(table).map_or(Ok(()), |needed| permitted(&by, needed))?;
            }
            let Some(own) = store.tables(&named, between, &cancel)? else {
                return Err(Problem::new(Code::Timeout, "the request has ended"));
            };
            let found = history.hunt_beside(&sql, own, between, limits, &cancel)?;
            let elapsed = start.elapsed();
            let bytes = match format {
                Format::Json => format::json(&answer(&found, elapsed)),
                Format::Ndjson => format::ndjson(&found.result),
                Format::Csv => format::csv(&found.result),
                Format::Arrow => format::arrow(&found.result),
            };
            Ok((found, bytes?))
        };
        let outcome = shared.pools.hunts.run_cancellable(work).await.and_then(|done| done);
        let took = start.elapsed();
        let word = outcome.as_ref().map_or_else(Problem::code, |_| "ok");
        shared.counters.query("hunt", word, took);
        tracing::info!(by = principal.name, sql_bytes, outcome = word, ?took, "hunt");
        let (found, bytes) = outcome?;
        let rows_given: usize = found.result.batches.iter().map(|batch| batch.num_rows()).sum();
        let mut response = bytes.into_response();
        let out = response.headers_mut();
        out.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.name()));
        out.insert(TRUNCATED, HeaderValue::from_static(flag(found.result.truncated)));
        out.insert(ROWS, HeaderValue::from(found.rows_scanned));
        out.insert(BYTES, HeaderValue::from(found.bytes_scanned));
        let detail = serde_json::json!({"sql_sha256": sql_sha256, "rows": rows_given});
        response.extensions_mut().insert(Detail(detail));
        let out = response.headers_mut();
        if let Ok(covers) = HeaderValue::from_str(&serde_json::json!(covers(&found)).to_string()) {
            out.insert(COVERS, covers);
        }
        // The texts may be long: how many there are, and the JSON answer says which.
        out.insert(GAPS, HeaderValue::from(found.gaps.len()));
        Ok(response)
    }
}

/// The client of a hunt: the hunt ends when it goes.
struct Waiting(Cancel);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// What reading a table that Sluice fills itself needs beyond hunting.
fn own_table(table: &TableName) -> Option<Permission> {
    match table.as_str() {
        "findings" | "incidents" => Some(Permission::FindingsRead),
        "entity_risk" => Some(Permission::RiskRead),
        _ => None,
    }
}

fn rows(limit: Option<u64>) -> Result<usize, Problem> {
    match limit.unwrap_or(ROWS_DEFAULT) {
        limit @ 1..=ROWS_MAX => Ok(limit as usize),
        other => {
            Err(Problem::new(Code::InvalidBody, format!("limit is 1 to {ROWS_MAX}, not {other}")))
        }
    }
}

fn flag(truncated: bool) -> &'static str {
    if truncated { "true" } else { "false" }
}

fn covers(found: &HuntResult) -> BTreeMap<String, Option<String>> {
    found.covers_from.iter().map(|(t, from)| (t.to_string(), from.map(rfc3339))).collect()
}

fn answer(found: &HuntResult, elapsed: std::time::Duration) -> Answer {
    let fields = found.result.schema.fields();
    Answer {
        columns: fields
            .iter()
            .map(|f| Column { name: f.name().clone(), kind: f.data_type().to_string() })
            .collect(),
        rows: format::rows(&found.result).map(Value::Object).collect(),
        truncated: found.result.truncated,
        rows_scanned: found.rows_scanned,
        bytes_scanned: found.bytes_scanned,
        elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        files_scanned: found.files_scanned,
        covers_from: covers(found),
        gaps: found.gaps.iter().map(Gap::of).collect(),
    }
}

impl Gap {
    fn of(gap: &HistoryGap) -> Gap {
        Gap {
            table: gap.table.to_string(),
            reason: gap.loss.name(),
            rows: gap.rows,
            from: gap.times.map(|(from, _)| rfc3339(from)),
            to: gap.times.map(|(_, to)| rfc3339(to)),
            detail: gap.detail.clone(),
        }
    }
}
