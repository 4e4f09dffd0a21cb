//! Risk as the API shows it. The numbers are those of the ledger: base plus points is the score.

use serde::Serialize;
use sluice_engine::durable::RiskRow;
use sluice_event::rfc3339;
use sluice_finding::{
    Contribution, ContributionKind, Entity, EntityRisk, RiskLedger, RiskLevel, RiskScore,
};
use sluice_signal::EntityLevel;
use utoipa::ToSchema;

use crate::http::signals::quarantine::QuarantineView;

/// Findings that a factor lists.
const FINDINGS: usize = 10;

/// The risk of an entity at an instant.
#[derive(Serialize, ToSchema)]
#[schema(as = EntityRisk)]
pub(in super::super) struct Risk {
    /// `kind:id`.
    entity: String,
    /// Whether anything was ever found about it, or its level was overridden.
    known: bool,
    /// 0 to 100: the base plus the points of all factors.
    score: f64,
    /// What an entity without findings has.
    base: f64,
    /// `low`, `medium` or `high`, as receivers and gateways see it.
    level: &'static str,
    /// The level of the score.
    computed_level: &'static str,
    /// Changes of its risk, then of the level that receivers see, then its quarantine.
    pub(super) version: String,
    /// When the level changed last.
    #[schema(required)]
    changed_at: Option<String>,
    /// It flaps: the level does not fall before this time.
    #[schema(required)]
    held_until: Option<String>,
    /// What a person said instead.
    #[serde(rename = "override")]
    #[schema(required)]
    over: Option<Override>,
    /// Whether it is kept out of everything, or was.
    #[schema(required)]
    quarantine: Option<QuarantineView>,
    /// What the score is made of, the largest first.
    factors: Vec<Factor>,
    /// The instant it is computed for.
    as_of: String,
    /// Since when an input is silent: what it would have told is not in the score. Null if none is, and
    /// for an instant in the past.
    #[schema(required)]
    pub(super) stale_since: Option<String>,
}

/// What a person said instead of the computed level.
#[derive(Serialize, ToSchema)]
#[schema(as = LevelOverride)]
struct Override {
    level: &'static str,
    reason: String,
    by: String,
    since: String,
    until: String,
}

/// A part of a score.
#[derive(Serialize, ToSchema)]
#[schema(as = RiskFactor)]
pub(in super::super) struct Factor {
    /// Negative for what lowers the score.
    points: f64,
    /// Its evidence in nats, before its group saturates; 0 for what is not evidence.
    nats: f64,
    /// `rule`, `baseline`, `other` (many small ones), `criticality` (of the lookups `identity` and
    /// `asset`), `cap`, `floor` or `override`.
    kind: &'static str,
    /// The rule or baseline.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    /// The feature of a baseline.
    #[serde(skip_serializing_if = "Option::is_none")]
    feature: Option<String>,
    /// ATT&CK tactic or domain: findings of one group saturate together.
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    /// Findings that it counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    /// The newest of them, at most ten.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    findings: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<String>,
    /// Until half of it is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    half_life: Option<String>,
    /// How much of it is left, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    remaining: Option<f64>,
}

/// The risk of an entity, briefly.
#[derive(Serialize, ToSchema)]
#[schema(as = RiskBrief)]
pub(in super::super) struct Brief {
    entity: String,
    known: bool,
    score: f64,
    /// As receivers and gateways see it.
    level: &'static str,
    computed_level: &'static str,
}

/// A change of the risk of an entity.
#[derive(Serialize, ToSchema)]
#[schema(as = RiskChange)]
pub(in super::super) struct Change {
    /// From 1 for each entity.
    change: u64,
    at: String,
    score: f64,
    previous_score: f64,
    level: &'static str,
    previous_level: &'static str,
    /// `finding`, `withdrawn`, `verdict`, `criticality` or `decay`.
    cause: &'static str,
    /// The finding or incident of the cause.
    #[serde(skip_serializing_if = "Option::is_none")]
    cause_id: Option<String>,
    /// What the score was made of then, at most eight.
    reasons: Vec<Reason>,
}

/// A part of a score of the past.
#[derive(Serialize, ToSchema)]
#[schema(as = RiskReason)]
struct Reason {
    points: f64,
    /// The rule or baseline, with its feature; `criticality`, `cap`, `floor` or `override`.
    source: String,
}

/// Hundredths as the API writes them.
pub(in super::super) fn points(hundredths: i64) -> f64 {
    hundredths as f64 / 100.0
}

pub(in super::super) fn name(entity: &Entity) -> String {
    format!("{}:{}", entity.kind.name(), entity.id)
}

/// The score at an instant; that of an unknown entity is the base.
pub(in super::super) fn score(risk: Option<&EntityRisk>, at: i64) -> RiskScore {
    risk.map_or_else(|| RiskLedger::default().score(at), |risk| risk.ledger.score(at))
}

impl Risk {
    pub(super) fn of(
        entity: &Entity,
        risk: Option<&EntityRisk>,
        seen: Option<&EntityLevel>,
        at: i64,
    ) -> Risk {
        let score = score(risk, at);
        let computed = risk.map_or(RiskLevel::Low, |risk| risk.state.level).name();
        let changed = risk.filter(|r| r.changes > 0).map(|r| r.state.since);
        let changed = match seen.filter(|s| s.change_no > 0) {
            Some(seen) => Some(seen.changed_at),
            None => changed,
        };
        let over = seen.and_then(|s| s.over.as_ref());
        let quarantine = seen.and_then(|s| s.quarantine.as_ref());
        let turn = quarantine.map(|q| format!("-{}{}", q.state.name(), q.until));
        let version = (risk.map_or(0, |r| r.changes), seen.map_or(0, |s| s.change_no));
        Risk {
            entity: name(entity),
            known: risk.is_some() || seen.is_some(),
            score: points(score.score),
            base: points(score.base),
            level: seen.map_or(computed, |s| s.level.name()),
            computed_level: computed,
            version: format!("{}-{}{}", version.0, version.1, turn.unwrap_or_default()),
            changed_at: changed.map(rfc3339),
            held_until: seen.and_then(|s| s.held_until).map(rfc3339),
            quarantine: quarantine.map(QuarantineView::of),
            over: over.map(|over| Override {
                level: over.level.name(),
                reason: over.reason.clone(),
                by: over.by.clone(),
                since: rfc3339(over.since),
                until: rfc3339(over.until),
            }),
            factors: score.contributions.iter().map(Factor::of).collect(),
            as_of: rfc3339(at),
            stale_since: None,
        }
    }
}

impl Factor {
    pub(in super::super) fn of(contribution: &Contribution) -> Factor {
        let bare = |kind| Factor {
            points: points(contribution.points),
            nats: (contribution.nats * 1e4).round() / 1e4,
            kind,
            source: None,
            feature: None,
            group: None,
            count: None,
            findings: Vec::new(),
            first: None,
            last: None,
            half_life: None,
            remaining: None,
        };
        match &contribution.kind {
            ContributionKind::Criticality(_) => bare("criticality"),
            ContributionKind::Cap => bare("cap"),
            ContributionKind::Floor => bare("floor"),
            ContributionKind::Override => bare("override"),
            ContributionKind::Factor { key, factor, remaining } => {
                let mut newest: Vec<_> = factor.findings.iter().map(|(id, t)| (*t, *id)).collect();
                newest.sort_unstable_by(|a, b| b.cmp(a));
                let kind = match (&*key.source, &*key.value) {
                    ("", _) => "other",
                    (_, "") => "rule",
                    (_, _) => "baseline",
                };
                let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
                Factor {
                    source: text(&key.source),
                    feature: text(&key.value).filter(|_| kind == "baseline"),
                    group: Some(factor.group.to_string()),
                    count: Some(factor.count),
                    findings: newest.iter().take(FINDINGS).map(|(_, id)| id.to_string()).collect(),
                    first: Some(rfc3339(factor.first)),
                    last: Some(rfc3339(factor.last)),
                    half_life: Some(duration(factor.half_life)),
                    remaining: Some((remaining * 1e4).round() / 1e4),
                    ..bare(kind)
                }
            }
        }
    }
}

impl Brief {
    pub(in super::super) fn of(
        entity: &Entity,
        risk: Option<&EntityRisk>,
        seen: Option<&EntityLevel>,
        at: i64,
    ) -> Brief {
        let computed = risk.map_or(RiskLevel::Low, |risk| risk.state.level).name();
        Brief {
            entity: name(entity),
            known: risk.is_some() || seen.is_some(),
            score: points(score(risk, at).score),
            level: seen.map_or(computed, |s| s.level.name()),
            computed_level: computed,
        }
    }
}

impl Change {
    pub(in super::super) fn of(row: &RiskRow) -> Change {
        Change {
            change: row.change,
            at: rfc3339(row.at),
            score: points(row.score),
            previous_score: points(row.previous_score),
            level: row.level.name(),
            previous_level: row.previous_level.name(),
            cause: row.cause.name(),
            cause_id: row.cause.id().map(|id| id.to_string()),
            reasons: row
                .reasons
                .iter()
                .map(|reason| Reason {
                    points: points(reason.points),
                    source: word(&reason.source, &reason.value),
                })
                .collect(),
        }
    }
}

/// A rule or baseline, with its feature; of what is neither, its kind.
pub(super) fn word(source: &str, value: &str) -> String {
    match (source, value) {
        (source, "") => source.to_owned(),
        ("", value) => value.to_owned(),
        (source, value) => format!("{source}: {value}"),
    }
}

/// `24h`, `7d`.
fn duration(millis: i64) -> String {
    let (minute, hour, day) = (60_000, 3_600_000, 86_400_000);
    match millis {
        m if m % day == 0 && m > day => format!("{}d", m / day),
        m if m % hour == 0 => format!("{}h", m / hour),
        m if m % minute == 0 => format!("{}m", m / minute),
        m => format!("{}s", m / 1_000),
    }
}
