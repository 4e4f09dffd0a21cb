//! Mutes over HTTP: rises that people expect and receivers are not told of. Not what they do (see
//! `sluice_signal::mute`).

use std::collections::BTreeSet;

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use serde::{Deserialize, Serialize};
use sluice_event::rfc3339;
use sluice_rule::parse_duration;
use sluice_signal::{AfterMute, Mute, MutePurpose, Transmitter, set::derive};
use utoipa::ToSchema;

use super::{
    super::{
        body,
        params::{Nothing, Params, time},
        problem::{Code, Problem},
        shared::Shared,
    },
    admin::{self, OVERRIDE_MOST, refused, view},
    signals,
};
use crate::{
    clock,
    tokens::{self, Principal},
};

/// A mute that a person begins or plans.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewMute)]
pub(in super::super) struct Planned {
    /// `maintenance`, `pentest` or `privileged`.
    purpose: String,
    /// `user:ann@example.com`, or `device:*` for every entity of a kind; at most 1,000.
    entities: Vec<String>,
    /// Which receivers are not told; absent: all.
    #[serde(default)]
    receivers: Vec<String>,
    /// Why.
    reason: String,
    /// From when, RFC 3339; absent: now.
    #[serde(default)]
    from: Option<String>,
    /// How long from then, `8h`, at most `90d`.
    expires_in: String,
    /// Whether a rise that goes on at the end is told then (`tell`, the default) or never (`drop`).
    #[serde(default)]
    then: Option<String>,
}

/// A mute.
#[derive(Serialize, ToSchema)]
#[schema(as = Mute)]
pub(in super::super) struct MuteView {
    id: String,
    /// `maintenance`, `pentest` or `privileged`.
    purpose: &'static str,
    entities: Vec<String>,
    /// Empty: all.
    receivers: Vec<String>,
    reason: String,
    by: String,
    from: String,
    until: String,
    /// Whether it has begun.
    active: bool,
    /// `tell` or `drop`.
    then: &'static str,
    /// SETs that it kept back so far.
    muted: u64,
}

/// Mutes.
#[derive(Serialize, ToSchema)]
#[schema(as = MutePage)]
pub(in super::super) struct Page {
    items: Vec<MuteView>,
}

/// Mutes that go on or are to come
///
/// What each kept back is in the history of signals, action `muted`, and in the preview of a stream.
#[utoipa::path(
    get, path = "/api/v1/signals/mutes", tag = "signals", operation_id = "list_mutes",
    responses((status = 200, description = "Mutes.", body = Page, example = json!({
        "items": [{"id": "0b7d1e4c385f2c9a5f2c9a0b7d1e4c38", "purpose": "pentest",
        "entities": ["user:red@example.com"], "receivers": [], "reason": "red team, week 2", "by": "bob",
        "from": "2026-11-24T08:15:00.000Z", "until": "2026-11-25T08:15:00.000Z", "active": true,
        "then": "tell", "muted": 3}]
    })))
)]
pub(in super::super) async fn list(
    State(shared): State<Shared>,
    Params(Nothing {}): Params<Nothing>,
) -> Result<Json<Page>, Problem> {
    let of = |transmitter: &mut Transmitter, now: i64| Page {
        items: transmitter.mutes().map(|mute| MuteView::of(mute, now)).collect(),
    };
    Ok(Json(signals(&shared)?.run(&shared, of).await?))
}

/// Keep rises of some entities from receivers for a time
///
/// For maintenance, a test by people who attack on purpose, or accounts that nobody may lock out. Findings,
/// risk and levels are what they are, and gateways decide by them; what a person decides is told all the same,
/// and so is every fall to below what a receiver knows.
#[utoipa::path(
    post, path = "/api/v1/signals/mutes", tag = "signals", operation_id = "create_mute",
    request_body(content = Planned, example = json!({
        "purpose": "pentest", "entities": ["user:red@example.com"], "reason": "red team, week 2",
        "expires_in": "24h"
    })),
    responses((status = 201, description = "The mute.", body = MuteView, example = json!({
        "id": "0b7d1e4c385f2c9a5f2c9a0b7d1e4c38", "purpose": "pentest",
        "entities": ["user:red@example.com"], "receivers": [], "reason": "red team, week 2", "by": "bob",
        "from": "2026-11-24T08:15:00.000Z", "until": "2026-11-25T08:15:00.000Z", "active": true,
        "then": "tell", "muted": 0
    })))
)]
pub(in super::super) async fn create(
    State(shared): State<Shared>,
    Extension(principal): Extension<Principal>,
    Params(Nothing {}): Params<Nothing>,
    body::Json(planned): body::Json<Planned>,
) -> Result<(axum::http::StatusCode, Json<MuteView>), Problem> {
    let now = clock::now();
    let mute = planned.read(principal.name, now)?;
    let shown = MuteView::of(&mute, now);
    let most = shared.shares.mutes;
    let made = signals(&shared)?
        .run(&shared, move |transmitter, now| {
            if transmitter.mutes().filter(|other| other.by == mute.by).count() >= most {
                return None;
            }
            Some(transmitter.mute(mute, now))
        })
        .await?;
    let full = || shared.counters.share_refused("mutes", "max_mutes_per_token", most);
    made.ok_or_else(full)?.map_err(refused)?;
    Ok((axum::http::StatusCode::CREATED, Json(shown)))
}

/// End a mute
///
/// As when its time is over: a rise that goes on is told, unless the mute drops it.
#[utoipa::path(
    delete, path = "/api/v1/signals/mutes/{id}", tag = "signals", operation_id = "end_mute",
    params(("id" = String, Path, description = "The id of the mute."), view::Because),
    responses((status = 200, description = "What it was.", body = MuteView, example = json!({
        "id": "0b7d1e4c385f2c9a5f2c9a0b7d1e4c38", "purpose": "pentest",
        "entities": ["user:red@example.com"], "receivers": [], "reason": "red team, week 2", "by": "bob",
        "from": "2026-11-24T08:15:00.000Z", "until": "2026-11-25T08:15:00.000Z", "active": true,
        "then": "tell", "muted": 3
    })))
)]
pub(in super::super) async fn end(
    State(shared): State<Shared>,
    Extension(principal): Extension<Principal>,
    Path(id): Path<String>,
    Params(because): Params<view::Because>,
) -> Result<Json<MuteView>, Problem> {
    let reason = admin::reason(&because.reason)?;
    let ended = signals(&shared)?
        .run(&shared, move |transmitter, now| {
            let mute = transmitter.unmute(&id, &principal.name, &reason, now)?;
            Some(MuteView::of(&mute, now))
        })
        .await?;
    let none = || Problem::new(Code::NotFound, "there is no such mute, or it is over");
    Ok(Json(ended.ok_or_else(none)?))
}

impl Planned {
    fn read(self, by: String, now: i64) -> Result<Mute, Problem> {
        let invalid = |text: &str| Problem::new(Code::Unprocessable, text);
        let purpose = MutePurpose::parse(&self.purpose)
            .ok_or_else(|| invalid("`purpose` is maintenance, pentest or privileged"))?;
        let then = self.then.as_deref().map_or(Some(AfterMute::default()), AfterMute::parse);
        let then = then.ok_or_else(|| invalid("`then` is tell or drop"))?;
        let length = parse_duration(&self.expires_in)
            .filter(|length| (1..=OVERRIDE_MOST).contains(length))
            .ok_or_else(|| invalid("`expires_in` is a duration up to 90d: \"8h\""))?;
        let from = time("from", self.from.as_deref(), now)?.unwrap_or(now);
        if from > now + OVERRIDE_MOST {
            return Err(invalid("`from` is at most 90d ahead"));
        }
        let mut entities = BTreeSet::new();
        for name in &self.entities {
            let (kind, id) = name.split_once(':').ok_or_else(|| {
                invalid("an entity is `kind:id`, `user:ann@example.com`, or `device:*`")
            })?;
            let entity = admin::entity(kind, id)?;
            entities.insert(format!("{}:{}", entity.kind.name(), entity.id));
        }
        let nonce = tokens::random::<16>();
        let nonce = nonce.map_err(|e| Problem::new(Code::Unavailable, e.to_string()))?;
        Ok(Mute {
            id: derive("mute", &[&tokens::hex(&nonce)]),
            purpose,
            entities,
            receivers: self.receivers.into_iter().collect(),
            reason: admin::reason(&self.reason)?,
            by,
            from,
            until: from + length,
            then,
            muted: 0,
        })
    }
}

impl MuteView {
    fn of(mute: &Mute, now: i64) -> MuteView {
        MuteView {
            id: mute.id.clone(),
            purpose: mute.purpose.name(),
            entities: mute.entities.iter().cloned().collect(),
            receivers: mute.receivers.iter().cloned().collect(),
            reason: mute.reason.clone(),
            by: mute.by.clone(),
            from: rfc3339(mute.from),
            until: rfc3339(mute.until),
            active: (mute.from..mute.until).contains(&now),
            then: mute.then.name(),
            muted: mute.muted,
        }
    }
}
