//! Entities by risk, and all that is known of one. Not the risk alone, which gateways ask for (see
//! [`super::risk`]).

mod baselines;
pub(super) mod peers;

use axum::{
    Json,
    extract::{Path, State},
};
use serde::{Deserialize, Serialize};
use sluice_event::{EntityKind, rfc3339};
use sluice_finding::{Entity, EntityRisk, RiskLevel};
use utoipa::ToSchema;

use super::{
    params::{Nothing, Params, limit},
    problem::Problem,
    risk::{
        entity, key,
        view::{Brief, Change, Factor, points, score},
    },
    shared::Shared,
};

/// Changes of an entity that its page lists.
const CHANGES: usize = 100;
/// Factors of each entity in the list.
const FACTORS: usize = 3;

/// Which entities.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListParams {
    kind: Option<String>,
    level: Option<String>,
    q: Option<String>,
    limit: Option<String>,
    cursor: Option<String>,
}

/// Entities by risk.
#[derive(Serialize, ToSchema)]
#[schema(as = EntityPage)]
pub(super) struct Page {
    /// The riskiest first.
    items: Vec<Item>,
    /// Where the next page goes on; null at the end.
    #[schema(required)]
    next_cursor: Option<String>,
    /// How many there are on all pages.
    total: u64,
    as_of: String,
}

/// An entity in the list.
#[derive(Serialize, ToSchema)]
#[schema(as = EntityItem)]
struct Item {
    kind: &'static str,
    id: String,
    #[serde(flatten)]
    risk: Brief,
    /// When its computed level changed last; null if it never did.
    #[schema(required)]
    since: Option<String>,
    /// Its largest factors, at most three.
    factors: Vec<Factor>,
}

/// All that is known of an entity.
#[derive(Serialize, ToSchema)]
#[schema(as = EntityDetail)]
pub(super) struct Detail {
    kind: &'static str,
    id: String,
    #[serde(flatten)]
    risk: Brief,
    base: f64,
    /// How much it matters: `low`, `normal`, `high` or `extreme`.
    criticality: &'static str,
    /// When its computed level changed last.
    #[schema(required)]
    since: Option<String>,
    /// When its level falls next if nothing else happens.
    #[schema(required)]
    falls_at: Option<String>,
    /// What the score is made of: base plus all points is the score.
    factors: Vec<Factor>,
    /// Factors that were merged because there were too many.
    merged: u64,
    /// The last 100 changes, the newest first.
    changes: Vec<Change>,
    /// What baselines know of it, as of the last checkpoint.
    baselines: Vec<baselines::Baseline>,
    as_of: String,
}

/// Entities by risk, the riskiest first
///
/// From memory: every entity whose findings still weigh something. Scores decay while one pages, so an
/// entity may move between pages.
#[utoipa::path(
    get, path = "/api/v1/entities", tag = "entities", operation_id = "list_entities",
    params(
        ("kind" = Option<String>, Query, description = "`user`, `device`, `session`, `workload`, `application` or `ip`."),
        ("level" = Option<String>, Query, description = "At least this computed level: `medium` or `high`."),
        ("q" = Option<String>, Query, description = "Names that contain this, whatever the case."),
        ("limit" = Option<u32>, Query, description = "1 to 500, 50 if not given."),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before.")
    ),
    responses((status = 200, description = "A page.", body = Page, example = json!({
        "items": [{"kind": "user", "id": "ann@example.com", "entity": "user:ann@example.com",
            "known": true, "score": 49.8, "level": "medium", "computed_level": "medium",
            "since": "2026-11-24T08:15:00.000Z", "factors": []}],
        "next_cursor": null, "total": 1, "as_of": "2026-11-24T08:16:00.000Z"
    })))
)]
pub(super) async fn list(
    State(shared): State<Shared>,
    Params(params): Params<ListParams>,
) -> Result<Json<Page>, Problem> {
    let kind = params.kind.as_deref().map(|kind| {
        EntityKind::parse(kind).ok_or_else(|| {
            Problem::parameter("kind", format!("`{kind}` is no kind of entity"))
                .hint(EntityKind::ALL.map(EntityKind::name).join(", "))
        })
    });
    let kind = kind.transpose()?;
    let level = params.level.as_deref().map(|level| {
        RiskLevel::parse(level).ok_or_else(|| {
            Problem::parameter("level", format!("`{level}` is no level: low, medium or high"))
        })
    });
    let level = level.transpose()?.unwrap_or_default();
    let limit = limit(params.limit.as_deref())?;
    let q = params.q.as_deref().unwrap_or_default().to_lowercase();
    let text = |word: &Option<String>| word.clone().unwrap_or_default();
    let names = ["default", "entities", &text(&params.kind), &text(&params.level), &q];
    let after = match &params.cursor {
        Some(cursor) => {
            let bytes = shared.cursors.open(&names, cursor)?;
            let position: Position = serde_json::from_slice(&bytes)
                .map_err(|_| Problem::parameter("cursor", "the cursor cannot be read"))?;
            Some(position)
        }
        None => None,
    };
    let store = shared.app.store.clone();
    let signals = shared.app.signals.clone();
    let wanted = q.clone();
    let (items, total, last) = shared
        .pools
        .reads
        .run(move || {
            let now = store.now();
            let mut found: Vec<(Position, Entity, std::sync::Arc<EntityRisk>)> = store
                .risks()
                .into_iter()
                .filter(|(e, r)| kind.is_none_or(|k| e.kind == k) && r.state.level >= level)
                .filter(|(e, _)| wanted.is_empty() || e.id.to_lowercase().contains(&wanted))
                .map(|(e, r)| {
                    ((-r.ledger.score(now).score, e.kind.name().into(), e.id.clone()), e, r)
                })
                .collect();
            found.sort_unstable_by(|a, b| a.0.cmp(&b.0));
            let total = found.len() as u64;
            let from = after.map_or(0, |after| found.partition_point(|(at, ..)| *at <= after));
            let page: Vec<_> = found.into_iter().skip(from).collect();
            let more = page.len() > limit;
            let last = page.get(limit - 1).filter(|_| more).map(|(at, ..)| at.clone());
            let items = page.into_iter().take(limit).map(|(_, entity, risk)| {
                let seen = signals.as_ref().and_then(|s| s.level(&key(&entity)));
                let score = risk.ledger.score(now);
                Item {
                    risk: Brief::of(&entity, Some(&*risk), seen.as_ref(), now),
                    kind: entity.kind.name(),
                    id: entity.id,
                    since: changed_at(&risk),
                    factors: score.contributions.iter().take(FACTORS).map(Factor::of).collect(),
                }
            });
            (items.collect::<Vec<_>>(), total, last)
        })
        .await?;
    let next_cursor = last.and_then(|last| serde_json::to_vec(&last).ok());
    Ok(Json(Page {
        items,
        next_cursor: next_cursor.map(|position| shared.cursors.seal(&names, &position)),
        total,
        as_of: rfc3339(shared.app.store.now()),
    }))
}

/// Where an entity is in the list: minus its score, kind and name.
type Position = (i64, String, String);

/// All that is known of an entity
///
/// One that is not known is `low` without factors.
#[utoipa::path(
    get, path = "/api/v1/entities/{kind}/{id}", tag = "entities", operation_id = "get_entity",
    params(
        ("kind" = String, Path, description = "The kind of entity."),
        ("id" = String, Path, description = "Its canonical name.")
    ),
    responses((status = 200, description = "The entity.", body = Detail, example = json!({
        "kind": "user", "id": "ann@example.com", "entity": "user:ann@example.com", "known": true,
        "score": 49.8, "level": "medium", "computed_level": "medium", "base": 4.0,
        "criticality": "normal", "since": "2026-11-24T08:15:00.000Z",
        "falls_at": "2026-11-25T09:00:00.000Z", "factors": [], "merged": 0,
        "changes": [{"change": 1, "at": "2026-11-24T08:15:00.000Z", "score": 49.8,
            "previous_score": 4.0, "level": "medium", "previous_level": "low", "cause": "finding",
            "cause_id": "8c0a3f4be1d25f6790ab12cd34ef5678",
            "reasons": [{"points": 45.8, "source": "identity.mfa_fatigue"}]}],
        "baselines": [{"baseline": "baselines.user_signin",
            "title": "Where, when and from what each user signs in", "state": "confident",
            "learned": 41, "waiting": 6, "features": [{"name": "country", "kind": "categorical",
                "usual": [{"value": "FR", "seen": 96.4, "of": 96.4}],
                "recent": [{"value": "FR", "count": 11}, {"value": "MD", "count": 2}]}]}],
        "as_of": "2026-11-24T08:16:00.000Z"
    })))
)]
pub(super) async fn get(
    State(shared): State<Shared>,
    Path((kind, id)): Path<(String, String)>,
    Params(Nothing {}): Params<Nothing>,
) -> Result<Json<Detail>, Problem> {
    let entity = entity(&kind, &id)?;
    let store = shared.app.store.clone();
    let service = shared.app.service.clone();
    let asked = entity.clone();
    let read = move || {
        let risk = store.risk(&asked)?;
        let rows = store.risk_rows(&asked, None, CHANGES)?;
        Ok::<_, sluice_engine::EngineError>((risk, rows, service.profiles(&asked)?))
    };
    let (risk, rows, known) = shared.pools.reads.run(read).await??;
    let now = shared.app.store.now();
    let seen = shared.app.signals.as_ref().and_then(|s| s.level(&key(&entity)));
    let score = score(risk.as_deref(), now);
    let ledger = risk.as_ref().map(|risk| &risk.ledger);
    Ok(Json(Detail {
        risk: Brief::of(&entity, risk.as_deref(), seen.as_ref(), now),
        kind: entity.kind.name(),
        id: entity.id,
        base: points(score.base),
        criticality: ledger.map(|l| l.criticality).unwrap_or_default().name(),
        since: risk.as_deref().and_then(changed_at),
        falls_at: risk.as_ref().and_then(|r| r.next_change()).map(rfc3339),
        factors: score.contributions.iter().map(Factor::of).collect(),
        merged: ledger.map_or(0, |l| l.merged),
        changes: rows.iter().map(Change::of).collect(),
        baselines: known.into_iter().map(baselines::Baseline::of).collect(),
        as_of: rfc3339(now),
    }))
}

/// When the level changed last, if it ever did.
fn changed_at(risk: &EntityRisk) -> Option<String> {
    (risk.state.since > 0).then(|| rfc3339(risk.state.since))
}
