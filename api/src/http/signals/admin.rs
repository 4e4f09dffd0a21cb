//! What people ask and decide about signals: levels and overrides, streams with their queues, dead
//! letters, storms, history. Every decision needs `signals:send`, a reason, and is kept with who made it.

pub(in super::super) mod preview;
pub(super) mod view;

use std::collections::BTreeSet;

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use sluice_event::EntityKind;
use sluice_rule::parse_duration;
use sluice_signal::{
    EntityKey, EventType, Level, Override, RequestError, StreamStatus, SubjectId, Transmitter,
};

use super::{
    super::{
        body,
        params::{Nothing, Params, limit},
        problem::{Code, Problem},
        shared::Shared,
    },
    signals,
};
use crate::{clock, tokens::Principal};
use view::{
    Approve, Approved, EndStorm, HistoryPage, HistoryView, Overview, Raise, Replay, Risk,
    SendEvent, Sent, SetStatus, StormEnded, StreamDetail,
};

/// The longest override.
pub(super) const OVERRIDE_MOST: i64 = 90 * 24 * 3_600_000;
/// Characters of a reason.
const REASON: usize = 1_000;

/// Override the level of an entity for a time
///
/// Receivers hear of it at once. Replaces an earlier override.
#[utoipa::path(
    put, path = "/api/v1/risk/{kind}/{id}/override", tag = "signals", operation_id = "override_risk",
    params(
        ("kind" = String, Path, description = "The kind of entity."),
        ("id" = String, Path, description = "Its canonical name."),
    ),
    request_body(content = Raise, example = json!({
        "level": "high", "reason": "stolen laptop", "expires_in": "8h"
    })),
    responses((status = 200, description = "The level after it.", body = Risk, example = json!({
        "entity": "user:ann@example.com", "known": true, "level": "high", "previous_level": "low",
        "score": null, "factors": [], "version": 1, "changed_at": "2026-11-24T08:15:00.000Z",
        "held_until": null, "override": null, "quarantine": null, "as_of": "2026-11-24T08:15:00.000Z"
    })))
)]
pub(in super::super) async fn put_override(
    State(shared): State<Shared>,
    Extension(principal): Extension<Principal>,
    Path((kind, id)): Path<(String, String)>,
    Params(Nothing {}): Params<Nothing>,
    body::Json(raise): body::Json<Raise>,
) -> Result<Json<Risk>, Problem> {
    let entity = entity(&kind, &id)?;
    let invalid = |text: String| Problem::new(Code::Unprocessable, text);
    let level = Level::parse(&raise.level)
        .ok_or_else(|| invalid("`level` is low, medium or high".into()))?;
    let length = parse_duration(&raise.expires_in)
        .filter(|length| (1..=OVERRIDE_MOST).contains(length))
        .ok_or_else(|| invalid("`expires_in` is a duration up to 90d: \"8h\"".into()))?;
    let reason = reason(&raise.reason)?;
    let now = clock::now();
    let over = Override { level, reason, by: principal.name, since: now, until: now + length };
    let about = entity.clone();
    let most = shared.shares.decisions;
    let raise = move |t: &mut Transmitter, now| {
        (t.decided_by(&over.by, &entity) < most).then(|| t.raise(&entity, over, now))
    };
    let after = signals(&shared)?.run(&shared, raise).await?;
    let after = after.ok_or_else(|| shared.too_many_decisions())?;
    Ok(Json(Risk::of(&about, Some(&after))))
}

/// Take an override back
///
/// The computed level counts again.
#[utoipa::path(
    delete, path = "/api/v1/risk/{kind}/{id}/override", tag = "signals",
    operation_id = "clear_override",
    params(
        ("kind" = String, Path, description = "The kind of entity."),
        ("id" = String, Path, description = "Its canonical name."),
        view::Because,
    ),
    responses((status = 200, description = "The level after it.", body = Risk, example = json!({
        "entity": "user:ann@example.com", "known": true, "level": "low", "previous_level": "high",
        "score": null, "factors": [], "version": 2, "changed_at": "2026-11-24T09:15:00.000Z",
        "held_until": null, "override": null, "quarantine": null, "as_of": "2026-11-24T09:15:00.000Z"
    })))
)]
pub(in super::super) async fn delete_override(
    State(shared): State<Shared>,
    Extension(principal): Extension<Principal>,
    Path((kind, id)): Path<(String, String)>,
    Params(because): Params<view::Because>,
) -> Result<Json<Risk>, Problem> {
    let entity = entity(&kind, &id)?;
    let reason = reason(&because.reason)?;
    let about = entity.clone();
    let after = signals(&shared)?
        .run(&shared, move |t, now| t.clear(&entity, &principal.name, &reason, now))
        .await?
        .ok_or_else(|| Problem::new(Code::NotFound, "nobody overrides this level"))?;
    Ok(Json(Risk::of(&about, Some(&after))))
}

/// Streams of signals and how they do
#[utoipa::path(
    get, path = "/api/v1/signals", tag = "signals", operation_id = "list_signals",
    responses((status = 200, description = "Streams, storms and counters.", body = Overview, example = json!({
        "issuer": "https://sluice.example.com", "streams": [], "storms": [], "opa": [], "kafka": null, "raised": 1,
        "totals": {"made": 1, "delivered": 1, "retried": 0, "dead_letters": 0, "superseded": 0,
        "dropped": 0, "shadow": 0, "held": 0, "muted": 0, "nonconformant": 0, "stale": 0, "flapping": 0}
    })))
)]
pub(in super::super) async fn list(
    State(shared): State<Shared>,
    Params(Nothing {}): Params<Nothing>,
) -> Result<Json<Overview>, Problem> {
    let signals = signals(&shared)?;
    let asked = signals.clone();
    let of = move |t: &mut Transmitter, _: i64| Overview::of(t, asked.opa(), asked.topic(t));
    let overview = signals.run(&shared, of).await?;
    Ok(Json(overview))
}

/// A stream with its queue and its dead letters
#[utoipa::path(
    get, path = "/api/v1/signals/{stream}", tag = "signals", operation_id = "get_signal_stream",
    params(("stream" = String, Path, description = "The id of the stream.")),
    responses((status = 200, description = "The stream.", body = StreamDetail, example = json!({
        "stream": {"id": "5f2c9a0b7d1e4c385f2c9a0b7d1e4c38", "receiver": "idp", "configured": true,
        "delivery": "push", "endpoint": "https://idp.example.com/ssf/push", "status": "enabled",
        "reason": null, "shadow": false, "events_delivered": ["risk-level-change"], "queued": 0,
        "awaiting_approval": 0, "muted": 0, "oldest_at": null, "dead_letters": 0, "delivered_at": null, "proven_at": null, "failures": 0, "error": null,
        "next_attempt_at": null}, "queue": [], "dead_letters": []
    })))
)]
pub(in super::super) async fn stream(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    Params(Nothing {}): Params<Nothing>,
) -> Result<Json<StreamDetail>, Problem> {
    let detail = signals(&shared)?.run(&shared, move |t, _| StreamDetail::of(t, &id)).await?;
    Ok(Json(detail.ok_or_else(unknown)?))
}

/// Enable, pause or disable a stream
///
/// The receiver is told. A paused stream keeps its SETs, a disabled one makes none.
#[utoipa::path(
    post, path = "/api/v1/signals/{stream}/status", tag = "signals",
    operation_id = "set_signal_stream_status",
    params(("stream" = String, Path, description = "The id of the stream.")),
    request_body(content = SetStatus, example = json!({"status": "enabled", "reason": "certificate renewed"})),
    responses((status = 200, description = "The stream after it.", body = StreamDetail, example = json!({
        "stream": {"id": "5f2c9a0b7d1e4c385f2c9a0b7d1e4c38", "status": "enabled"}, "queue": [],
        "dead_letters": []
    })))
)]
pub(in super::super) async fn set_status(
    State(shared): State<Shared>,
    Extension(principal): Extension<Principal>,
    Path(id): Path<String>,
    Params(Nothing {}): Params<Nothing>,
    body::Json(change): body::Json<SetStatus>,
) -> Result<Json<StreamDetail>, Problem> {
    let status = StreamStatus::parse(&change.status).ok_or_else(|| {
        Problem::new(Code::Unprocessable, "`status` is enabled, paused or disabled")
    })?;
    let reason = reason(&change.reason)?;
    let detail = signals(&shared)?
        .run(&shared, move |t, now| {
            t.operate_status(&id, status, &reason, &principal.name, now)?;
            StreamDetail::of(t, &id).ok_or(RequestError::Unknown)
        })
        .await?
        .map_err(refused)?;
    Ok(Json(detail))
}

/// Send an event by hand, or test a stream
///
/// Without `event` a test of the type is sent, marked `x_sluice.test`.
#[utoipa::path(
    post, path = "/api/v1/signals/{stream}/events", tag = "signals", operation_id = "send_signal",
    params(("stream" = String, Path, description = "The id of the stream.")),
    request_body(content = SendEvent, example = json!({
        "event_type": "session-revoked",
        "subject": {"format": "email", "email": "ann@example.com"}
    })),
    responses((status = 200, description = "The SET waits for delivery.", body = Sent,
        example = json!({"jti": "5f2c9a0b7d1e4c385f2c9a0b7d1e4c38"})))
)]
pub(in super::super) async fn send_event(
    State(shared): State<Shared>,
    Extension(principal): Extension<Principal>,
    Path(id): Path<String>,
    Params(Nothing {}): Params<Nothing>,
    body::Json(send): body::Json<SendEvent>,
) -> Result<Json<Sent>, Problem> {
    let invalid = |text: String| Problem::new(Code::Unprocessable, text);
    let event_type = EventType::parse(&send.event_type)
        .filter(|t| !t.is_about_stream())
        .ok_or_else(|| invalid(format!("there is no event type `{}`", send.event_type)))?;
    let subject = SubjectId::parse(&serde_json::Value::Object(send.subject))
        .map_err(|e| invalid(e.to_string()))?;
    let jti = signals(&shared)?
        .run(&shared, move |t, now| {
            t.send_event(&id, event_type, subject, send.event, &principal.name, now)
        })
        .await?
        .map_err(refused)?;
    Ok(Json(Sent { jti }))
}

/// Send a dead letter again
///
/// With another id: the receiver may have kept the first.
#[utoipa::path(
    post, path = "/api/v1/signals/{stream}/replay", tag = "signals", operation_id = "replay_signal",
    params(("stream" = String, Path, description = "The id of the stream.")),
    request_body(content = Replay, example = json!({"jti": "5f2c9a0b7d1e4c385f2c9a0b7d1e4c38"})),
    responses((status = 200, description = "It waits for delivery.", body = Sent,
        example = json!({"jti": "0b7d1e4c385f2c9a5f2c9a0b7d1e4c38"})))
)]
pub(in super::super) async fn replay(
    State(shared): State<Shared>,
    Extension(principal): Extension<Principal>,
    Path(id): Path<String>,
    Params(Nothing {}): Params<Nothing>,
    body::Json(replay): body::Json<Replay>,
) -> Result<Json<Sent>, Problem> {
    let jti = signals(&shared)?
        .run(&shared, move |t, now| t.replay(&id, &replay.jti, &principal.name, now))
        .await?
        .map_err(refused)?;
    Ok(Json(Sent { jti }))
}

/// Approve SETs that wait for it, or drop them
///
/// A receiver with `approval` hears of a rise of computed risk only then.
#[utoipa::path(
    post, path = "/api/v1/signals/{stream}/approve", tag = "signals", operation_id = "approve_signal",
    params(("stream" = String, Path, description = "The id of the stream.")),
    request_body(content = Approve, example = json!({
        "jti": "5f2c9a0b7d1e4c385f2c9a0b7d1e4c38", "send": true, "reason": "confirmed by phone"
    })),
    responses((status = 200, description = "How many SETs that were.", body = Approved,
        example = json!({"sets": 1})))
)]
pub(in super::super) async fn approve(
    State(shared): State<Shared>,
    Extension(principal): Extension<Principal>,
    Path(id): Path<String>,
    Params(Nothing {}): Params<Nothing>,
    body::Json(decided): body::Json<Approve>,
) -> Result<Json<Approved>, Problem> {
    let reason = reason(&decided.reason)?;
    let sets = signals(&shared)?
        .run(&shared, move |t, now| {
            let jti = decided.jti.as_deref();
            t.approve(&id, jti, decided.send, &principal.name, &reason, now)
        })
        .await?
        .map_err(refused)?;
    Ok(Json(Approved { sets: sets as u64 }))
}

/// End a storm: send the rises that it holds back, or drop them
#[utoipa::path(
    post, path = "/api/v1/signals/storms/{kind}", tag = "signals", operation_id = "end_storm",
    params(("kind" = String, Path, description = "The kind of entity.")),
    request_body(content = EndStorm, example = json!({"send": false, "reason": "a broken rule"})),
    responses((status = 200, description = "How many changes that were.", body = StormEnded,
        example = json!({"changes": 950})))
)]
pub(in super::super) async fn end_storm(
    State(shared): State<Shared>,
    Extension(principal): Extension<Principal>,
    Path(kind): Path<String>,
    Params(Nothing {}): Params<Nothing>,
    body::Json(end): body::Json<EndStorm>,
) -> Result<Json<StormEnded>, Problem> {
    let kind = kind_of(&kind)?;
    let reason = reason(&end.reason)?;
    let changes = signals(&shared)?
        .run(&shared, move |t, now| t.end_storm(kind, end.send, &principal.name, &reason, now))
        .await?;
    Ok(Json(StormEnded { changes: changes as u64 }))
}

/// What happened to levels, streams and SETs
///
/// The newest 50,000 rows are kept.
#[utoipa::path(
    get, path = "/api/v1/signals/history", tag = "signals", operation_id = "signal_history",
    params(view::HistoryParams),
    responses((status = 200, description = "Rows, the newest first.", body = HistoryPage, example = json!({
        "items": [{"time": "2026-11-24T08:15:00.000Z", "action": "raised", "by": "bob",
        "about": "user:ann@example.com", "detail": "high until 1764000900000: stolen laptop"}]
    })))
)]
pub(in super::super) async fn history(
    State(shared): State<Shared>,
    Params(params): Params<view::HistoryParams>,
) -> Result<Json<HistoryPage>, Problem> {
    let limit = limit(params.limit.as_deref())?;
    let signals = signals(&shared)?;
    let read = move || {
        // A SET names its subject in the form of its stream: what it tells of says whom it is about.
        let causes: BTreeSet<String> = match params.about.as_deref() {
            Some(about) => signals
                .history(limit, |row| row.about.as_deref() == Some(about))?
                .into_iter()
                .filter_map(|row| row.txn)
                .collect(),
            None => BTreeSet::new(),
        };
        signals.history(limit, |row| {
            let is = |wanted: &Option<String>, value: Option<&str>| {
                wanted.as_deref().is_none_or(|wanted| value == Some(wanted))
            };
            is(&params.stream, row.stream.as_deref())
                && is(&params.action, Some(&row.action))
                && (is(&params.about, row.about.as_deref())
                    || row.txn.as_ref().is_some_and(|txn| causes.contains(txn)))
        })
    };
    let rows = shared.pools.reads.run(read).await??;
    let items = rows.into_iter().map(HistoryView::of).collect();
    Ok(Json(HistoryPage { items }))
}

pub(super) fn entity(kind: &str, id: &str) -> Result<EntityKey, Problem> {
    let kind = kind_of(kind)?;
    if id.is_empty() || id.len() > 512 || id.chars().any(char::is_control) {
        let text = "an entity is named by 1 to 512 bytes of printable text";
        return Err(Problem::new(Code::InvalidParameter, text));
    }
    // As events name them.
    Ok(EntityKey { kind, id: id.to_lowercase() })
}

fn kind_of(kind: &str) -> Result<EntityKind, Problem> {
    EntityKind::parse(kind).ok_or_else(|| {
        let kinds = EntityKind::ALL.map(EntityKind::name).join(", ");
        Problem::new(Code::InvalidParameter, format!("`{kind}` is no kind of entity"))
            .hint(format!("one of {kinds}"))
    })
}

pub(super) fn reason(text: &str) -> Result<String, Problem> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > REASON {
        let text = format!("`reason` is 1 to {REASON} characters");
        return Err(Problem::new(Code::Unprocessable, text));
    }
    Ok(text.to_owned())
}

fn unknown() -> Problem {
    Problem::new(Code::NotFound, "there is no such stream, or no such SET in it")
}

pub(super) fn refused(error: RequestError) -> Problem {
    match error {
        RequestError::Unknown => unknown(),
        RequestError::Failed(text) => Problem::new(Code::Unavailable, text).retry(1),
        other => Problem::new(Code::Unprocessable, other.to_string()),
    }
}
