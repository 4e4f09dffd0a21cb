//! Dead letters: records that could not become rows, to look at, send again or throw away.

mod select;
mod view;

use axum::{
    Extension, Json,
    extract::{Path, State},
    response::Response,
};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::{
    audit::Detail,
    body, clock,
    params::{Nothing, Params, limit},
    problem::{Code, Problem},
    shared::Shared,
};
use crate::tokens::Principal;

/// A replay's outcome.
#[derive(Serialize, ToSchema)]
#[schema(as = ReplayOutcome)]
pub(super) struct Replayed {
    /// Letters that are gone: they made rows, or their mapping makes no row of them.
    replayed: u64,
    /// Letters that failed again, and stay.
    failed: Vec<Failed>,
    /// Whether the selection has more letters than were replayed: do it again.
    more: bool,
}

/// A letter that failed again.
#[derive(Serialize, ToSchema)]
#[schema(as = ReplayFailure)]
struct Failed {
    id: String,
    reason: String,
}

/// A drop's outcome.
#[derive(Serialize, ToSchema)]
#[schema(as = DropOutcome)]
pub(super) struct Dropped {
    dropped: u64,
    /// Whether the selection has more letters than were dropped: do it again.
    more: bool,
}

const TENANT: &str = "default";

/// Records that could not become rows, oldest first
///
/// A page ends before `limit` where its records have 8 MiB.
#[utoipa::path(
    get, path = "/api/v1/dead-letters", tag = "dead letters", operation_id = "list_dead_letters",
    params(select::ListParams),
    responses((status = 200, description = "A page.", body = view::Page, example = json!({
        "items": [{
            "id": "0f1e2d3c4b5a69788796a5b4c3d2e1f0", "code": "bad_json",
            "message": "expected value at column 1", "source": "okta.system", "input": "push",
            "place": "push", "line": 3, "offset": 120, "received_at": "2026-11-24T08:15:00.000Z",
            "attempts": 0, "length": 8, "text": "not json", "whole": true
        }],
        "next_cursor": null
    })))
)]
pub(super) async fn list(
    State(shared): State<Shared>,
    Params(params): Params<select::ListParams>,
) -> Result<Response, Problem> {
    let list = [
        TENANT,
        "dead-letters",
        params.source.as_deref().unwrap_or_default(),
        params.code.as_deref().unwrap_or_default(),
        params.since.as_deref().unwrap_or_default(),
    ];
    let after = match &params.cursor {
        None => None,
        Some(cursor) => {
            let id = String::from_utf8(shared.cursors.open(&list, cursor)?);
            Some(
                id.map_err(|_| Problem::new(Code::InvalidCursor, "the cursor is of another list"))?,
            )
        }
    };
    let size = limit(params.limit.as_deref())?;
    let filter = select::filter(
        params.source.clone(),
        params.code.as_deref(),
        params.since.as_deref(),
        clock::now(),
    )?;
    let store = shared.app.store.clone();
    let read = move || select::page(&store, &filter, after, size);
    let (letters, more) = shared.pools.reads.run(read).await??;
    let next_cursor = letters.last().filter(|_| more);
    let next_cursor = next_cursor.map(|l| shared.cursors.seal(&list, l.id.as_bytes()));
    let make =
        move || view::Page { items: letters.iter().map(view::Item::of).collect(), next_cursor };
    shared.answer(make).await
}

/// One dead letter, with its bytes
#[utoipa::path(
    get, path = "/api/v1/dead-letters/{id}", tag = "dead letters", operation_id = "get_dead_letter",
    params(("id" = String, Path, description = "32 hex digits.")),
    responses(
        (status = 200, description = "The letter.", body = view::Detail, example = json!({
            "id": "0f1e2d3c4b5a69788796a5b4c3d2e1f0", "code": "bad_json",
            "message": "expected value at column 1", "source": "okta.system", "input": "push",
            "place": "push", "line": 3, "offset": 120, "received_at": "2026-11-24T08:15:00.000Z",
            "attempts": 0, "length": 8, "text": "not json", "whole": true, "base64": "bm90IGpzb24="
        })),
        (status = 404, description = "There is no such letter.", body = Problem,
            content_type = "application/problem+json")
    )
)]
pub(super) async fn get(
    State(shared): State<Shared>,
    Params(Nothing {}): Params<Nothing>,
    Path(id): Path<String>,
) -> Result<Json<view::Detail>, Problem> {
    let store = shared.app.store.clone();
    let asked = id.clone();
    let found = shared.pools.reads.run(move || store.dead_letter(&asked)).await??;
    found
        .map(|letter| Json(view::Detail::of(&letter)))
        .ok_or_else(|| Problem::new(Code::NotFound, format!("there is no dead letter {id}")))
}

/// Send dead letters through the current mappings again
///
/// Each with its original receive time. One that makes rows now is gone; one that fails again stays,
/// with its present reason. At most 1,000 at once.
#[utoipa::path(
    post, path = "/api/v1/dead-letters/replay", tag = "dead letters",
    operation_id = "replay_dead_letters",
    request_body(content = select::Selection,
        example = json!({"source": "okta.system", "code": "no_mapping"})),
    responses((status = 200, description = "What it did.", body = Replayed, example = json!({
        "replayed": 41, "more": false,
        "failed": [{"id": "0f1e2d3c4b5a69788796a5b4c3d2e1f0", "reason": "bad_json: expected value"}]
    })))
)]
pub(super) async fn replay(
    State(shared): State<Shared>,
    Params(Nothing {}): Params<Nothing>,
    Extension(principal): Extension<Principal>,
    body::Json(selection): body::Json<select::Selection>,
) -> Result<(Extension<Detail>, Json<Replayed>), Problem> {
    let app = shared.app.clone();
    let work = move || {
        let (letters, more) = select::letters(&app.store, selection, clock::now())?;
        let report = app.service.replay(letters)?;
        Ok::<_, Problem>((report, more))
    };
    let (report, more) = shared.pools.chores.run(work).await??;
    let (replayed, failed) = (report.replayed, report.failed.len());
    tracing::info!(by = principal.name, replayed, failed, "dead letters replayed");
    let recorded = Extension(Detail(json!({"replayed": replayed, "failed": failed})));
    let failed = report.failed.into_iter().map(|(id, reason)| Failed { id, reason }).collect();
    Ok((recorded, Json(Replayed { replayed, failed, more })))
}

/// Throw dead letters away
///
/// They cannot be brought back. At most 1,000 at once.
#[utoipa::path(
    post, path = "/api/v1/dead-letters/drop", tag = "dead letters",
    operation_id = "drop_dead_letters",
    request_body(content = select::Selection,
        example = json!({"ids": ["0f1e2d3c4b5a69788796a5b4c3d2e1f0"]})),
    responses((status = 200, description = "What it did.", body = Dropped,
        example = json!({"dropped": 1, "more": false})))
)]
pub(super) async fn drop_letters(
    State(shared): State<Shared>,
    Params(Nothing {}): Params<Nothing>,
    Extension(principal): Extension<Principal>,
    body::Json(selection): body::Json<select::Selection>,
) -> Result<(Extension<Detail>, Json<Dropped>), Problem> {
    let app = shared.app.clone();
    let work = move || {
        let (letters, more) = select::letters(&app.store, selection, clock::now())?;
        let ids: Vec<String> = letters.into_iter().map(|letter| letter.id).collect();
        Ok::<_, Problem>((app.store.drop_dead_letters(&ids)?, more))
    };
    let (dropped, more) = shared.pools.chores.run(work).await??;
    tracing::info!(by = principal.name, dropped, "dead letters dropped");
    Ok((Extension(Detail(json!({"dropped": dropped}))), Json(Dropped { dropped, more })))
}
