//! The risk of entities from memory: one at any instant, many at once. Not how people override a level
//! (see [`super::signals`]), and not the pages about entities (see [`super::entities`]).

pub(super) mod outlook;
mod stream;
pub(super) mod view;

use axum::{
    Extension, Json,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response, Sse, sse::Event},
};
use futures::Stream;
use serde::{Deserialize, Serialize};
use sluice_engine::{EngineError, durable::FindingStore};
use sluice_event::EntityKind;
use sluice_finding::{Entity, EntityRisk, RiskLevel, RiskState};
use sluice_signal::EntityKey;
use utoipa::ToSchema;

use super::{
    body,
    params::{Params, parse_time, time},
    problem::{Code, Problem},
    shared::Shared,
};
use crate::tokens::Principal;

/// Entities that may be asked for at once.
const ASKED_MAX: usize = 1_000;
/// Changes of an entity that are looked through for the level it had.
const ROWS_MAX: usize = 1_000;

/// At which instant.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RiskParams {
    at: Option<String>,
}

/// The risk of an entity
///
/// The score is the base plus the points of its factors, exactly; it decays between findings, so it is
/// computed for the instant that is asked for. `level` is the one that receivers and gateways see, with
/// overrides; `computed_level` is that of the score. An entity that is not known is `low`: the answer
/// is no oracle of who exists. `ETag` changes with its findings and levels, not with decay. With `at`
/// the findings known now are weighed as of then, and the level is the one it had.
#[utoipa::path(
    get, path = "/api/v1/risk/{kind}/{id}", tag = "entities", operation_id = "get_risk",
    params(
        ("kind" = String, Path, description = "`user`, `device`, `session`, `workload`, `application` or `ip`."),
        ("id" = String, Path, description = "Its canonical name."),
        ("at" = Option<String>, Query, description = "An instant: RFC 3339, `now-24h`."),
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of the last answer.")
    ),
    responses(
        (status = 200, description = "The risk.", body = view::Risk, example = json!({
            "entity": "user:ann@example.com", "known": true, "score": 49.8, "base": 4.0,
            "level": "medium", "computed_level": "medium", "version": "7-2",
            "changed_at": "2026-11-24T08:15:00.000Z", "held_until": null, "override": null, "quarantine": null,
            "as_of": "2026-11-24T08:16:00.000Z", "stale_since": null, "factors": [{"points": 45.8, "nats": 6.7,
            "kind": "rule", "source": "identity.mfa_fatigue", "group": "TA0006", "count": 1,
            "findings": ["8c0a3f4be1d25f6790ab12cd34ef5678"], "first": "2026-11-24T08:15:00.000Z",
            "last": "2026-11-24T08:15:00.000Z", "half_life": "24h", "remaining": 1.0}]
        })),
        (status = 304, description = "Nothing but time has passed since that `ETag`.")
    )
)]
pub(super) async fn get(
    State(shared): State<Shared>,
    Path((kind, id)): Path<(String, String)>,
    headers: HeaderMap,
    Params(params): Params<RiskParams>,
) -> Result<Response, Problem> {
    let entity = entity(&kind, &id)?;
    let now = shared.app.store.now();
    let at = time("at", params.at.as_deref(), now)?;
    if at.is_some_and(|at| at > now) {
        return Err(Problem::parameter("at", "`at` is in the future: risk is what is known"));
    }
    let store = shared.app.store.clone();
    let asked = entity.clone();
    let read = move || match at {
        Some(at) => then(&store, &asked, at),
        None => Ok(store.risk(&asked)?.as_deref().cloned()),
    };
    let risk = shared.pools.reads.run(read).await??;
    Ok(match at {
        Some(at) => Json(view::Risk::of(&entity, risk.as_ref(), None, at)).into_response(),
        None => current(&shared, &entity, risk.as_ref(), now, &headers),
    })
}

/// The risk of an entity with the level that it had at an instant; the findings are those known now.
fn then(store: &FindingStore, entity: &Entity, at: i64) -> Result<Option<EntityRisk>, EngineError> {
    let Some(risk) = store.risk(entity)? else { return Ok(None) };
    let rows = store.risk_rows(entity, None, ROWS_MAX)?;
    let level = rows.into_iter().find(|row| row.at <= at).map(|row| (row.level, row.at));
    let (level, since) = level.unwrap_or((RiskLevel::Low, at));
    Ok(Some(EntityRisk { state: RiskState { level, since }, ..(*risk).clone() }))
}

/// The risk of an entity now, or 304.
fn current(
    shared: &Shared,
    entity: &Entity,
    risk: Option<&EntityRisk>,
    now: i64,
    headers: &HeaderMap,
) -> Response {
    let signals = shared.app.signals.as_ref();
    let seen = signals.and_then(|s| s.level(&key(entity)));
    let mut answer = view::Risk::of(entity, risk, seen.as_ref(), now);
    answer.stale_since = shared.app.silence.stale_since().map(sluice_event::rfc3339);
    let stale = answer.stale_since.as_deref().unwrap_or_default();
    let tag = HeaderValue::from_str(&format!("W/\"{}{stale}\"", answer.version));
    let known = headers.get(header::IF_NONE_MATCH);
    let same = known.is_some_and(|known| tag.as_ref().is_ok_and(|tag| tag == known));
    let mut response =
        if same { StatusCode::NOT_MODIFIED.into_response() } else { Json(answer).into_response() };
    if let Ok(tag) = tag {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// Levels as they change: server-sent events
///
/// `level` has a change of the level that risk computes: whose, from and to, the score, what caused it and what the
/// score was made of. What people override is not among them: receivers hear of that, and `GET
/// /api/v1/signals/history` lists it. `id` is the sequence of the change; with `Last-Event-ID` the stream begins
/// after it, else now. A comment every 15 s keeps the connection open.
#[utoipa::path(
    get, path = "/api/v1/risk/stream", tag = "entities", operation_id = "stream_risk",
    params(
        stream::LevelStreamParams,
        ("Last-Event-ID" = Option<u64>, Header, description = "Go on after this sequence.")
    ),
    responses((status = 200, description = "Events without end.", body = String,
        content_type = "text/event-stream",
        example = json!("event: level\nid: 42\ndata: {\"entity\":\"user:ann@example.com\",\"level\":\"high\"}\n\n")))
)]
pub(super) async fn stream(
    State(shared): State<Shared>,
    Extension(principal): Extension<Principal>,
    headers: HeaderMap,
    Params(params): Params<stream::LevelStreamParams>,
) -> Result<Sse<impl Stream<Item = Result<Event, std::convert::Infallible>>>, Problem> {
    stream::open(shared, principal, &headers, params)
}

/// Whose risk.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RiskQuery {
    /// `kind:id`, at most 1,000.
    entities: Vec<String>,
    /// An instant for each of them, RFC 3339 or `now-24h`: its risk then, as in the answer about one. Now
    /// for one that is ahead of the clock.
    #[serde(default)]
    at: Option<Vec<String>>,
}

/// Risk of many.
#[derive(Serialize, ToSchema)]
pub(super) struct RiskAnswers {
    /// In the order of the request.
    items: Vec<view::Brief>,
    as_of: String,
}

/// The risk of many entities
///
/// From memory. One that is not known is `low`, as in the answer about one.
#[utoipa::path(
    post, path = "/api/v1/risk/query", tag = "entities", operation_id = "query_risk",
    request_body(content = RiskQuery, example = json!({
        "entities": ["user:ann@example.com", "device:lap-7"]
    })),
    responses((status = 200, description = "Their risk.", body = RiskAnswers, example = json!({
        "items": [
            {"entity": "user:ann@example.com", "known": true, "score": 49.8, "level": "medium",
             "computed_level": "medium"},
            {"entity": "device:lap-7", "known": false, "score": 4.0, "level": "low",
             "computed_level": "low"}
        ],
        "as_of": "2026-11-24T08:16:00.000Z"
    })))
)]
pub(super) async fn query(
    State(shared): State<Shared>,
    Params(super::params::Nothing {}): Params<super::params::Nothing>,
    body::Json(asked): body::Json<RiskQuery>,
) -> Result<Json<RiskAnswers>, Problem> {
    if asked.entities.len() > ASKED_MAX {
        let text = format!("at most {ASKED_MAX} entities, not {}", asked.entities.len());
        return Err(Problem::new(Code::Unprocessable, text).hint("ask in several requests"));
    }
    let entities = asked.entities.iter().map(|text| {
        let parts = text.split_once(':');
        let parts = parts.ok_or_else(|| {
            Problem::new(Code::Unprocessable, format!("`{text}` is not `kind:id`"))
                .hint("user:ann@example.com")
        });
        parts.and_then(|(kind, id)| entity(kind, id))
    });
    let entities = entities.collect::<Result<Vec<Entity>, Problem>>()?;
    let store = shared.app.store.clone();
    let now = store.now();
    let instants = instants(asked.at.as_deref(), entities.len(), now)?;
    let signals = shared.app.signals.clone();
    let of = move |entity: &Entity, at: Option<i64>| match at {
        Some(at) => Ok(view::Brief::of(entity, then(&store, entity, at)?.as_ref(), None, at)),
        None => {
            let seen = signals.as_ref().and_then(|s| s.level(&key(entity)));
            Ok(view::Brief::of(entity, store.risk(entity)?.as_deref(), seen.as_ref(), now))
        }
    };
    let all = move || {
        let items = entities.iter().zip(instants).map(|(entity, at)| of(entity, at));
        items.collect::<Result<Vec<_>, EngineError>>()
    };
    let items = shared.pools.reads.run(all).await??;
    Ok(Json(RiskAnswers { items, as_of: sluice_event::rfc3339(now) }))
}

/// The instant of each entity; `None` is now.
fn instants(
    texts: Option<&[String]>,
    entities: usize,
    now: i64,
) -> Result<Vec<Option<i64>>, Problem> {
    let Some(texts) = texts else { return Ok(vec![None; entities]) };
    if texts.len() != entities {
        let text = format!("`at` has {} instants for {entities} entities", texts.len());
        return Err(Problem::new(Code::Unprocessable, text).hint("one for each, in their order"));
    }
    let instant = |text: &String| match parse_time(text, now) {
        Some(at) => Ok(Some(at).filter(|at| *at < now)),
        None => Err(Problem::new(Code::Unprocessable, format!("`{text}` is not a time"))),
    };
    texts.iter().map(instant).collect()
}

/// The entity of a path.
pub(super) fn entity(kind: &str, id: &str) -> Result<Entity, Problem> {
    let kind = EntityKind::parse(kind).ok_or_else(|| {
        Problem::new(Code::Unprocessable, format!("`{kind}` is no kind of entity"))
            .hint(EntityKind::ALL.map(EntityKind::name).join(", "))
    })?;
    if id.trim().is_empty() {
        return Err(Problem::new(Code::Unprocessable, "an entity has a name"));
    }
    Ok(Entity { kind, id: id.to_owned() })
}

/// The entity as signals name it.
pub(super) fn key(entity: &Entity) -> EntityKey {
    EntityKey { kind: entity.kind, id: entity.id.clone() }
}
