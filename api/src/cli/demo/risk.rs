//! The risk of the people and devices in the replayed logs, as the demo tells of it. Not the
//! arithmetic (see `sluice_finding`).

use std::collections::BTreeMap;

use serde_json::Value;
use sluice_engine::{
    Reported,
    durable::{LevelRow, RiskReason, reasons},
};
use sluice_event::{EntityKind, rfc3339};
use sluice_finding::{
    ContributionKind, Entity, Finding, FindingId, RiskLedger, RiskLevel, evidence, fold,
};
use sluice_signal::{Cause, EntityKey, Level, LevelChange, transmitter::claims_of};

/// How long after the end of the logs a fall is looked for.
const AFTER: i64 = 60 * 86_400_000;

/// Findings of a run, to tell of risk at its end.
#[derive(Default)]
pub(super) struct RiskLog {
    findings: BTreeMap<FindingId, Finding>,
}

impl RiskLog {
    /// Takes what a commit reports.
    pub(super) fn take(&mut self, reported: &[Reported]) {
        for Reported { finding, .. } in reported {
            if let Some(kept) = fold(self.findings.get(&finding.id), finding.clone()) {
                self.findings.insert(kept.id, kept);
            }
        }
    }

    /// How each entity that came to high climbed and fell, the one that was first first.
    pub(super) fn lines(&self) -> Vec<String> {
        let end = self.end();
        let mut told = Vec::new();
        for (entity, ledger) in self.ledgers() {
            let changes = ledger.timeline(end.saturating_add(AFTER));
            if !changes.iter().any(|c| c.current == RiskLevel::High) {
                continue;
            }
            let first = changes.first().map(|c| c.at);
            let lines = changes.iter().map(|change| {
                let of = reasons(&ledger.score(change.at));
                line(change.at, entity, change.previous, change.current, change.score, &of)
            });
            let mut lines: Vec<String> = lines.collect();
            lines.extend(highest(entity, &ledger));
            told.push((first, lines));
        }
        told.sort();
        told.into_iter().flat_map(|(_, lines)| lines).collect()
    }

    /// What an identity provider would be told of the first user who came to high: the claims of the
    /// security event token, which `sluice run` signs and delivers.
    pub(super) fn signal(&self) -> Option<Value> {
        let mut first: Option<LevelChange> = None;
        let users = self.ledgers().into_iter();
        for (entity, ledger) in users.filter(|(entity, _)| entity.kind == EntityKind::User) {
            let timeline = ledger.timeline(self.end());
            let change = timeline.iter().position(|c| c.current == RiskLevel::High);
            let Some((number, change)) = change.and_then(|n| Some((n, timeline.get(n)?))) else {
                continue;
            };
            if first.as_ref().is_some_and(|first| first.at <= change.at) {
                continue;
            }
            let level = |level| match level {
                RiskLevel::Low => Level::Low,
                RiskLevel::Medium => Level::Medium,
                RiskLevel::High => Level::High,
            };
            let reasons = reasons(&ledger.score(change.at)).into_iter().filter(|r| r.points > 0);
            first = Some(LevelChange {
                entity: EntityKey { kind: entity.kind, id: entity.id.clone() },
                change_no: number as u64 + 1,
                from: level(change.previous),
                to: level(change.current),
                score: Some(change.score as f64 / 100.0),
                at: change.at,
                reasons: reasons.map(|r| r.source.to_string()).collect(),
                signs: Default::default(),
                cause: Cause::Computed,
                stale_since: None,
                stale: Vec::new(),
            });
        }
        let idp = "https://idp.example.com";
        Some(claims_of(&first?, "https://sluice.example.com", idp))
    }

    fn end(&self) -> i64 {
        self.findings.values().map(|finding| finding.time).max().unwrap_or(i64::MIN)
    }

    fn ledgers(&self) -> BTreeMap<&Entity, RiskLedger> {
        let mut ledgers: BTreeMap<&Entity, RiskLedger> = BTreeMap::new();
        for finding in self.findings.values() {
            let Some(evidence) = evidence(finding) else { continue };
            for entity in &finding.entities {
                ledgers.entry(entity).or_default().add(&evidence);
            }
        }
        ledgers
    }
}

/// When an entity's score was highest, and everything that made it so.
fn highest(entity: &Entity, ledger: &RiskLedger) -> Option<String> {
    let times = ledger.factors.values().flat_map(|f| f.findings.values().copied());
    let score = times.map(|at| ledger.score(at)).max_by_key(|s| (s.score, -s.at))?;
    let factors = score.contributions.iter().filter_map(|c| match &c.kind {
        ContributionKind::Factor { key, .. } => Some(RiskReason {
            source: key.source.clone(),
            value: key.value.clone(),
            points: c.points,
        }),
        ContributionKind::Criticality(_)
        | ContributionKind::Cap
        | ContributionKind::Floor
        | ContributionKind::Override => None,
    });
    let because = because(&factors.collect::<Vec<_>>());
    let (at, kind, id) = (rfc3339(score.at), entity.kind.name(), &entity.id);
    let points = score.score as f64 / 100.0;
    Some(format!("risk  {at}  {kind}:{id}  highest, {points:.1} of 100, by {because}"))
}

/// A change of level that the store tells of.
pub(super) fn told(level: &LevelRow) -> String {
    let row = &level.row;
    line(row.at, &level.entity, row.previous_level, row.level, row.score, &row.reasons)
}

fn line(
    at: i64,
    entity: &Entity,
    from: RiskLevel,
    to: RiskLevel,
    score: i64,
    reasons: &[RiskReason],
) -> String {
    let so = if to < from { "it has decayed to" } else { "by" };
    format!(
        "risk  {}  {}:{}  {} -> {}, {:.1} of 100, {so} {}",
        rfc3339(at),
        entity.kind.name(),
        entity.id,
        from.name(),
        to.name(),
        score as f64 / 100.0,
        because(reasons),
    )
}

/// Reasons with their points, in a line.
fn because(reasons: &[RiskReason]) -> String {
    let points = |hundredths: i64| hundredths as f64 / 100.0;
    let reason = |r: &RiskReason| match (&*r.source, &*r.value) {
        (source, "") => format!("{source} {:+.1}", points(r.points)),
        ("", value) => format!("{value} {:+.1}", points(r.points)),
        (source, value) => format!("{source} ({value}) {:+.1}", points(r.points)),
    };
    let reasons: Vec<String> = reasons.iter().map(reason).collect();
    if reasons.is_empty() { "its base".to_owned() } else { reasons.join(", ") }
}
