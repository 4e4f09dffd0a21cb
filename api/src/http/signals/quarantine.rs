//! Quarantine of devices and accounts over HTTP: begun, shown with its proof, and released. Not what it
//! does (see `sluice_signal::quarantine`), and not who enforces it (see [`super::decide`]).

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use serde::{Deserialize, Serialize};
use sluice_event::rfc3339;
use sluice_rule::parse_duration;
use sluice_signal::{
    EntityKey, EntityLevel, Proof, Quarantine, QuarantineState, Transmitter, quarantine::takes,
};
use utoipa::ToSchema;

use super::{
    super::{
        body,
        params::{Nothing, Params},
        problem::{Code, Problem},
        shared::Shared,
    },
    admin::{self, OVERRIDE_MOST, refused, view},
    signals,
};
use crate::tokens::Principal;

/// A quarantine that a person begins.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct Quarantined {
    /// Why: receivers show it to their people.
    reason: String,
    /// How long, `8h`, at most `90d`.
    expires_in: String,
    /// `quarantined` denies everything; `suspected` denies nothing and counts accesses.
    #[serde(default)]
    state: Option<String>,
}

/// A quarantine, or the last one.
#[derive(Serialize, ToSchema)]
#[schema(as = Quarantine)]
pub(in super::super) struct QuarantineView {
    /// `suspected`, `quarantined` or `released`.
    state: &'static str,
    reason: String,
    by: String,
    since: String,
    until: String,
    /// Requests at gateways that were denied because of it; counted every second.
    denied: u64,
    #[schema(required)]
    denied_at: Option<String>,
    #[schema(required)]
    release: Option<ReleaseView>,
}

/// How a quarantine ended.
#[derive(Serialize, ToSchema)]
#[schema(as = QuarantineRelease)]
pub(in super::super) struct ReleaseView {
    at: String,
    /// Null: its time was over.
    #[schema(required)]
    by: Option<String>,
    reason: String,
    /// What was known of its accesses then.
    #[schema(required)]
    proof: Option<ProofView>,
}

/// What events say of accesses since a quarantine began.
#[derive(Serialize, ToSchema)]
#[schema(as = QuarantineProof)]
pub(in super::super) struct ProofView {
    /// Whether access has stopped. Null: none was allowed, but not all events since then were read.
    #[schema(required)]
    stopped: Option<bool>,
    since: String,
    as_of: String,
    /// The events that were read begin here.
    covers_from: String,
    /// Accesses that were allowed after `since`: successful sign-ins, requests and connections.
    allowed: u64,
    #[schema(required)]
    allowed_at: Option<String>,
    refused: u64,
    #[schema(required)]
    refused_at: Option<String>,
}

/// The quarantine of an entity.
#[derive(Serialize, ToSchema)]
#[schema(as = QuarantineAnswer)]
pub(in super::super) struct Answer {
    entity: String,
    /// `low`, `medium` or `high`; a quarantine makes it high.
    level: &'static str,
    #[schema(required)]
    quarantine: Option<QuarantineView>,
    /// As of now, while it goes on.
    #[schema(required)]
    proof: Option<ProofView>,
}

/// Which quarantines.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct ListParams {
    state: Option<String>,
}

/// Quarantines in order of entity.
#[derive(Serialize, ToSchema)]
#[schema(as = QuarantinePage)]
pub(in super::super) struct Page {
    /// At most 1,000.
    items: Vec<Item>,
    /// How many there are.
    total: u64,
}

/// A quarantine and whose.
#[derive(Serialize, ToSchema)]
#[schema(as = QuarantineItem)]
pub(in super::super) struct Item {
    entity: String,
    quarantine: QuarantineView,
}

/// Quarantines that a page shows.
const SHOWN: usize = 1_000;

/// Quarantine a device or an account, or suspect it
///
/// While it lasts gateways deny everything about it and its level is high. Receivers hear of a device
/// that it is not compliant, of an account that its sessions are revoked. It ends by hand or when its
/// time is over.
#[utoipa::path(
    put, path = "/api/v1/risk/{kind}/{id}/quarantine", tag = "signals", operation_id = "quarantine",
    params(
        ("kind" = String, Path, description = "`user` or `device`."),
        ("id" = String, Path, description = "Its canonical name."),
    ),
    request_body(content = Quarantined, example = json!({
        "reason": "ransomware on the file share", "expires_in": "8h"
    })),
    responses((status = 200, description = "The quarantine.", body = Answer, example = json!({
        "entity": "device:lap-7", "level": "high", "quarantine": {"state": "quarantined",
        "reason": "ransomware on the file share", "by": "bob", "since": "2026-11-24T08:15:00.000Z",
        "until": "2026-11-24T16:15:00.000Z", "denied": 0, "denied_at": null, "release": null},
        "proof": null
    })))
)]
pub(in super::super) async fn put(
    State(shared): State<Shared>,
    Extension(principal): Extension<Principal>,
    Path((kind, id)): Path<(String, String)>,
    Params(Nothing {}): Params<Nothing>,
    body::Json(asked): body::Json<Quarantined>,
) -> Result<Json<Answer>, Problem> {
    let entity = admin::entity(&kind, &id)?;
    let invalid = |text: String| Problem::new(Code::Unprocessable, text);
    if !takes(entity.kind) {
        let text = format!("a {} cannot be quarantined", entity.kind);
        return Err(invalid(text).hint("a user or a device; `override` gives any entity a level"));
    }
    let state = asked.state.as_deref().unwrap_or("quarantined");
    let state = QuarantineState::parse(state)
        .filter(|s| *s != QuarantineState::Released)
        .ok_or_else(|| invalid("`state` is quarantined or suspected".into()))?;
    let length = parse_duration(&asked.expires_in)
        .filter(|length| (1..=OVERRIDE_MOST).contains(length))
        .ok_or_else(|| invalid("`expires_in` is a duration up to 90d: \"8h\"".into()))?;
    let reason = admin::reason(&asked.reason)?;
    let about = entity.clone();
    let most = shared.shares.decisions;
    let after = signals(&shared)?
        .run(&shared, move |transmitter, now| {
            if transmitter.decided_by(&principal.name, &entity) >= most {
                return None;
            }
            let begun = Quarantine {
                state,
                reason,
                by: principal.name,
                since: now,
                until: now + length,
                denied: 0,
                denied_at: None,
                release: None,
            };
            Some(transmitter.quarantine(&entity, begun, now))
        })
        .await?
        .ok_or_else(|| shared.too_many_decisions())?
        .map_err(refused)?;
    Ok(Json(Answer::of(&about, Some(&after), None)))
}

/// The quarantine of an entity, with the proof that access has stopped
///
/// While it goes on, the events in memory are asked what it was let into since. Null: it never was in
/// quarantine.
#[utoipa::path(
    get, path = "/api/v1/risk/{kind}/{id}/quarantine", tag = "signals",
    operation_id = "get_quarantine",
    params(
        ("kind" = String, Path, description = "The kind of entity."),
        ("id" = String, Path, description = "Its canonical name."),
    ),
    responses((status = 200, description = "The quarantine and its proof.", body = Answer, example = json!({
        "entity": "device:lap-7", "level": "high", "quarantine": {"state": "quarantined",
        "reason": "ransomware on the file share", "by": "bob", "since": "2026-11-24T08:15:00.000Z",
        "until": "2026-11-24T16:15:00.000Z", "denied": 12, "denied_at": "2026-11-24T08:20:00.000Z",
        "release": null}, "proof": {"stopped": true, "since": "2026-11-24T08:15:00.000Z",
        "as_of": "2026-11-24T08:30:00.000Z", "covers_from": "2026-11-23T08:00:00.000Z", "allowed": 0,
        "allowed_at": null, "refused": 3, "refused_at": "2026-11-24T08:21:00.000Z"}
    })))
)]
pub(in super::super) async fn get(
    State(shared): State<Shared>,
    Path((kind, id)): Path<(String, String)>,
    Params(Nothing {}): Params<Nothing>,
) -> Result<Json<Answer>, Problem> {
    let entity = admin::entity(&kind, &id)?;
    let signals = signals(&shared)?;
    let work = move || {
        let level = signals.level(&entity);
        let active = level.as_ref().and_then(|l| l.quarantine.as_ref()).filter(|q| q.is_active());
        let proof = active.and_then(|q| signals.proof(&entity, q.since));
        Answer::of(&entity, level.as_ref(), proof.as_ref())
    };
    Ok(Json(shared.pools.hunts.run(work).await?))
}

/// Release a device or an account from quarantine
///
/// The proof is kept with the release. A device is compliant again; the level is what it would be.
#[utoipa::path(
    delete, path = "/api/v1/risk/{kind}/{id}/quarantine", tag = "signals", operation_id = "release",
    params(
        ("kind" = String, Path, description = "`user` or `device`."),
        ("id" = String, Path, description = "Its canonical name."),
        view::Because,
    ),
    responses((status = 200, description = "What it was.", body = Answer, example = json!({
        "entity": "device:lap-7", "level": "low", "quarantine": {"state": "released",
        "reason": "ransomware on the file share", "by": "bob", "since": "2026-11-24T08:15:00.000Z",
        "until": "2026-11-24T16:15:00.000Z", "denied": 12, "denied_at": "2026-11-24T08:20:00.000Z",
        "release": {"at": "2026-11-24T09:15:00.000Z", "by": "ann", "reason": "reinstalled",
        "proof": null}}, "proof": null
    })))
)]
pub(in super::super) async fn delete(
    State(shared): State<Shared>,
    Extension(principal): Extension<Principal>,
    Path((kind, id)): Path<(String, String)>,
    Params(because): Params<view::Because>,
) -> Result<Json<Answer>, Problem> {
    let entity = admin::entity(&kind, &id)?;
    let reason = admin::reason(&because.reason)?;
    let signals = signals(&shared)?;
    let about = entity.clone();
    let none = || Problem::new(Code::NotFound, "it is not in quarantine");
    let proving = {
        let (signals, entity) = (signals.clone(), entity.clone());
        move || {
            let level = signals.level(&entity)?;
            let active = level.quarantine.filter(Quarantine::is_active)?;
            Some(signals.proof(&entity, active.since))
        }
    };
    let proof = shared.pools.hunts.run(proving).await?.ok_or_else(none)?;
    let after = signals
        .run(&shared, move |transmitter, now| {
            transmitter.release(&entity, &principal.name, &reason, proof, now)
        })
        .await?
        .ok_or_else(none)?;
    Ok(Json(Answer::of(&about, Some(&after), None)))
}

/// Devices and accounts in quarantine
#[utoipa::path(
    get, path = "/api/v1/quarantines", tag = "signals", operation_id = "list_quarantines",
    params((
        "state" = Option<String>, Query,
        description = "Only in this state: `suspected`, `quarantined` or `released`. Unset: those that go on."
    )),
    responses((status = 200, description = "Quarantines.", body = Page, example = json!({
        "items": [{"entity": "device:lap-7", "quarantine": {"state": "quarantined",
        "reason": "ransomware on the file share", "by": "bob", "since": "2026-11-24T08:15:00.000Z",
        "until": "2026-11-24T16:15:00.000Z", "denied": 0, "denied_at": null, "release": null}}],
        "total": 1
    })))
)]
pub(in super::super) async fn list(
    State(shared): State<Shared>,
    Params(params): Params<ListParams>,
) -> Result<Json<Page>, Problem> {
    let state = params.state.as_deref().map(|word| {
        QuarantineState::parse(word).ok_or_else(|| {
            Problem::parameter("state", "`state` is suspected, quarantined or released")
        })
    });
    let state = state.transpose()?;
    let of = move |transmitter: &mut Transmitter, _: i64| {
        let wanted = |q: &Quarantine| state.map_or(q.is_active(), |state| q.state == state);
        let (mut items, mut total) = (Vec::new(), 0);
        for (entity, quarantine) in transmitter.quarantines().filter(|(_, q)| wanted(q)) {
            total += 1;
            if items.len() < SHOWN {
                let quarantine = QuarantineView::of(quarantine);
                items.push(Item { entity: name(entity), quarantine });
            }
        }
        Page { items, total }
    };
    Ok(Json(signals(&shared)?.run(&shared, of).await?))
}

impl Answer {
    fn of(entity: &EntityKey, level: Option<&EntityLevel>, proof: Option<&Proof>) -> Answer {
        let quarantine = level.and_then(|l| l.quarantine.as_ref());
        Answer {
            entity: name(entity),
            level: level.map(|l| l.level).unwrap_or_default().name(),
            quarantine: quarantine.map(QuarantineView::of),
            proof: proof.map(ProofView::of),
        }
    }
}

impl QuarantineView {
    pub(in super::super) fn of(quarantine: &Quarantine) -> QuarantineView {
        let release = quarantine.release.as_ref();
        QuarantineView {
            state: quarantine.state.name(),
            reason: quarantine.reason.clone(),
            by: quarantine.by.clone(),
            since: rfc3339(quarantine.since),
            until: rfc3339(quarantine.until),
            denied: quarantine.denied,
            denied_at: quarantine.denied_at.map(rfc3339),
            release: release.map(|release| ReleaseView {
                at: rfc3339(release.at),
                by: release.by.clone(),
                reason: release.reason.clone(),
                proof: release.proof.as_ref().map(ProofView::of),
            }),
        }
    }
}

impl ProofView {
    fn of(proof: &Proof) -> ProofView {
        ProofView {
            stopped: proof.stopped(),
            since: rfc3339(proof.since),
            as_of: rfc3339(proof.as_of),
            covers_from: rfc3339(proof.covers_from),
            allowed: proof.allowed,
            allowed_at: proof.allowed_at.map(rfc3339),
            refused: proof.refused,
            refused_at: proof.refused_at.map(rfc3339),
        }
    }
}

fn name(entity: &EntityKey) -> String {
    format!("{}:{}", entity.kind.name(), entity.id)
}
