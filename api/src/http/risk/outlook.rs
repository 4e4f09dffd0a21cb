//! The risk of an entity through time: what it was, what decay makes of it, and what else would change
//! its level. Not the risk of one instant (see [`super::get`]).

use axum::{
    Json,
    extract::{Path, State},
};
use serde::{Deserialize, Serialize};
use sluice_event::rfc3339;
use sluice_finding::{ContributionKind, EntityRisk, RiskLedger, RiskLevel};
use utoipa::ToSchema;

use super::{
    super::{
        params::{Params, time},
        problem::Problem,
        shared::Shared,
    },
    ROWS_MAX, entity,
    view::{points, word},
};

/// Milliseconds of the past if the request does not say.
const PAST: i64 = 7 * 86_400_000;
/// How far ahead one may look.
const AHEAD_MAX: i64 = 90 * 86_400_000;
/// Instants if the request does not say, and at most.
const POINTS: usize = 96;
const POINTS_MAX: usize = 500;
/// Findings whose instants are shown exactly, the newest ones.
const STEPS_MAX: usize = 200;

/// Which span.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct OutlookParams {
    from: Option<String>,
    to: Option<String>,
    points: Option<String>,
}

/// The risk of an entity through time, and what would change it.
#[derive(Serialize, ToSchema)]
#[schema(as = RiskOutlook)]
pub(in super::super) struct Outlook {
    /// `kind:id`.
    entity: String,
    /// Up to this instant it is what is known, after it what decay alone makes of that.
    as_of: String,
    /// What an entity without findings has.
    base: f64,
    /// In the order of time; just before and at each finding there is one.
    points: Vec<Point>,
    /// When its level falls next if nothing else happens.
    #[schema(required)]
    falls_at: Option<String>,
    /// The levels above the one it has now.
    rises: Vec<Rise>,
    /// What each factor is to the level it has now, the largest first.
    without: Vec<Without>,
}

/// The risk at an instant.
#[derive(Serialize, ToSchema)]
#[schema(as = RiskPoint)]
struct Point {
    at: String,
    /// The base plus the points of all parts.
    score: f64,
    /// The computed level.
    level: &'static str,
    parts: Vec<Part>,
}

/// A part of a score.
#[derive(Serialize, ToSchema)]
#[schema(as = RiskPart)]
struct Part {
    /// `rule`, `baseline`, `other` (many small ones), `cap`, `floor` or `override`.
    kind: &'static str,
    /// The rule or baseline, with its feature; else the kind.
    name: String,
    points: f64,
}

/// What would bring an entity to a level.
#[derive(Serialize, ToSchema)]
#[schema(as = RiskRise)]
struct Rise {
    level: &'static str,
    /// The least risk that one more finding of another tactic must have; null if one is not enough.
    #[schema(required)]
    risk: Option<u8>,
}

/// A score without one of its factors.
#[derive(Serialize, ToSchema)]
#[schema(as = RiskWithout)]
struct Without {
    /// The rule or baseline, with its feature.
    name: String,
    score: f64,
    level: &'static str,
}

/// The risk of an entity through time
///
/// Each past instant is the findings known now, weighed as of then, at the level it had; the future is
/// what decay alone makes of them. Then what else would change the level: a finding that raises it, or a
/// verdict that takes a factor away.
#[utoipa::path(
    get, path = "/api/v1/risk/{kind}/{id}/outlook", tag = "entities", operation_id = "get_risk_outlook",
    params(
        ("kind" = String, Path, description = "The kind of entity."),
        ("id" = String, Path, description = "Its canonical name."),
        ("from" = Option<String>, Query, description = "RFC 3339 or `now-7d`; 7 days back if not given."),
        ("to" = Option<String>, Query, description = "Likewise, at most 90 days ahead; now if not given."),
        ("points" = Option<u32>, Query, description = "Instants in equal steps, 2 to 500; 96 if not given.")
    ),
    responses((status = 200, description = "Its course.", body = Outlook, example = json!({
        "entity": "user:ann@example.com", "as_of": "2026-11-24T08:16:00.000Z", "base": 4.0,
        "points": [{"at": "2026-11-24T08:15:00.000Z", "score": 49.8, "level": "medium",
            "parts": [{"kind": "rule", "name": "identity.mfa_fatigue", "points": 45.8}]}],
        "falls_at": "2026-11-25T09:00:00.000Z", "rises": [{"level": "high", "risk": 31}],
        "without": [{"name": "identity.mfa_fatigue", "score": 4.0, "level": "low"}]
    })))
)]
pub(in super::super) async fn outlook(
    State(shared): State<Shared>,
    Path((kind, id)): Path<(String, String)>,
    Params(params): Params<OutlookParams>,
) -> Result<Json<Outlook>, Problem> {
    let entity = entity(&kind, &id)?;
    let now = shared.app.store.now();
    let from = time("from", params.from.as_deref(), now)?.unwrap_or(now - PAST);
    let to = time("to", params.to.as_deref(), now)?.unwrap_or(now);
    if to > now.saturating_add(AHEAD_MAX) {
        return Err(Problem::parameter("to", "`to` is at most 90 days ahead"));
    }
    if from >= to {
        return Err(Problem::parameter("from", "`from` is before `to`"));
    }
    let count = count(params.points.as_deref())?;
    let store = shared.app.store.clone();
    let asked = entity.clone();
    let work = move || {
        let risk = store.risk(&asked)?;
        let rows = store.risk_rows(&asked, None, ROWS_MAX)?;
        let had = |at: i64| rows.iter().find(|row| row.at <= at).map(|row| row.level);
        let risk = risk.as_deref().cloned().unwrap_or_default();
        let mut ahead = EntityRisk { as_of: now, ..risk.clone() };
        let points = instants(&risk.ledger, from, to, count).into_iter().map(|at| {
            let level = if at <= now {
                had(at).unwrap_or_default()
            } else {
                ahead.settle(at);
                ahead.state.level
            };
            Point::of(&risk.ledger, at, level)
        });
        let points = points.collect();
        Ok::<_, sluice_engine::EngineError>((points, risk))
    };
    let (course, risk) = shared.pools.reads.run(work).await??;
    let (ledger, level) = (&risk.ledger, risk.state.level);
    let above = RiskLevel::ALL.into_iter().filter(|above| *above > level);
    let keys = ledger.score(now).contributions.into_iter().filter_map(|c| match c.kind {
        ContributionKind::Factor { key, .. } => Some(key),
        ContributionKind::Criticality(_)
        | ContributionKind::Cap
        | ContributionKind::Floor
        | ContributionKind::Override => None,
    });
    Ok(Json(Outlook {
        entity: format!("{}:{}", entity.kind.name(), entity.id),
        as_of: rfc3339(now),
        base: points(ledger.score(now).base),
        points: course,
        falls_at: risk.next_change().map(rfc3339),
        rises: above
            .map(|level| Rise {
                level: level.name(),
                risk: ledger.risk_to_reach(level.reached_at(), now),
            })
            .collect(),
        without: keys
            .map(|key| {
                let score = ledger.without(&key, now).score;
                Without {
                    name: word(&key.source, &key.value),
                    score: points(score),
                    level: level.next(score).name(),
                }
            })
            .collect(),
    }))
}

impl Point {
    fn of(ledger: &RiskLedger, at: i64, level: RiskLevel) -> Point {
        let score = ledger.score(at);
        let parts = score.contributions.iter().map(|c| {
            let (kind, name) = match &c.kind {
                ContributionKind::Criticality(_) => ("criticality", "criticality".to_owned()),
                ContributionKind::Cap => ("cap", "cap".to_owned()),
                ContributionKind::Floor => ("floor", "floor".to_owned()),
                ContributionKind::Override => ("override", "override".to_owned()),
                ContributionKind::Factor { key, .. } => {
                    let kind = match (&*key.source, &*key.value) {
                        ("", _) => "other",
                        (_, "") => "rule",
                        (_, _) => "baseline",
                    };
                    (kind, word(&key.source, &key.value))
                }
            };
            Part { kind, name, points: points(c.points) }
        });
        Point {
            at: rfc3339(at),
            score: points(score.score),
            level: level.name(),
            parts: parts.collect(),
        }
    }
}

/// Equal steps, and just before and at each finding, so that a rise is where it was.
fn instants(ledger: &RiskLedger, from: i64, to: i64, count: usize) -> Vec<i64> {
    let steps = (count - 1) as i64;
    let grid = (0..=steps).map(|i| from + (to - from) * i / steps);
    let mut found: Vec<i64> =
        ledger.factors.values().flat_map(|f| f.findings.values().copied()).collect();
    found.retain(|at| (from..=to).contains(at));
    found.sort_unstable_by(|a, b| b.cmp(a));
    found.truncate(STEPS_MAX);
    let mut all: Vec<i64> = grid.chain(found.into_iter().flat_map(|at| [at - 1, at])).collect();
    all.retain(|at| (from..=to).contains(at));
    all.sort_unstable();
    all.dedup();
    all
}

fn count(text: Option<&str>) -> Result<usize, Problem> {
    let Some(text) = text else { return Ok(POINTS) };
    match text.parse() {
        Ok(count @ 2..=POINTS_MAX) => Ok(count),
        Ok(_) | Err(_) => {
            Err(Problem::parameter("points", format!("points is 2 to {POINTS_MAX}, not `{text}`")))
        }
    }
}
