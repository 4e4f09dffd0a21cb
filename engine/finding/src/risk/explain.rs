//! The score at an instant with its contributions: base plus points is the score, exactly.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Criticality, L0,
    ledger::{Factor, FactorKey, RiskLedger, saturated},
    score_of,
};

/// The score of one ledger at one instant. Scores and points are in hundredths, so that sums are
/// exact.
#[derive(Clone, Debug, PartialEq)]
pub struct RiskScore {
    /// The instant, milliseconds.
    pub at: i64,
    /// 0 to 10,000.
    pub score: i64,
    /// What any entity has without findings.
    pub base: i64,
    /// What was added and taken away, largest first; criticality, caps, floors and overrides last.
    pub contributions: Vec<Contribution>,
}

/// One reason of a score.
#[derive(Clone, Debug, PartialEq)]
pub struct Contribution {
    /// Hundredths of a point, negative for what lowers the score.
    pub points: i64,
    /// Nats before its group saturates; 0 for what is not evidence.
    pub nats: f64,
    /// What it is.
    pub kind: ContributionKind,
}

/// What a contribution is.
#[derive(Clone, Debug, PartialEq)]
pub enum ContributionKind {
    /// Findings.
    Factor {
        /// Which.
        key: FactorKey,
        /// The factor as it is kept.
        factor: Factor,
        /// How much of its count at its latest finding is left, 0 to 1.
        remaining: f64,
    },
    /// How much the entity matters, where that is not as usual: what it adds to the score of the
    /// evidence, or takes away.
    Criticality(Criticality),
    /// High needs two groups, or a critical finding.
    Cap,
    /// A confirmed compromise.
    Floor,
    /// Set by a person.
    Override,
}

/// Below high: the largest score of evidence from one group without a critical finding.
const CAP: f64 = 69.0;
/// What a confirmed compromise cannot fall below.
const FLOOR: f64 = 70.0;
/// Nats of a group that counts towards two groups.
const GROUP_NATS: f64 = 1.0;

impl RiskLedger {
    /// The score at an instant; findings after it do not count.
    pub fn score(&self, at: i64) -> RiskScore {
        let listed = self.nats(at);
        let mut groups: BTreeMap<&Arc<str>, f64> = BTreeMap::new();
        for (_, factor, nats) in &listed {
            *groups.entry(&factor.group).or_default() += nats;
        }
        let evidence: f64 = groups.values().map(|nats| saturated(*nats)).sum();
        let raw = score_of(self.base_odds() + evidence);
        let (base, plain) = (hundredths(score_of(L0)), hundredths(score_of(L0 + evidence)));
        let shares: Vec<f64> = listed
            .iter()
            .map(|(_, factor, nats)| {
                let group = groups.get(&factor.group).copied().unwrap_or(*nats);
                saturated(group) * nats / group
            })
            .collect();
        let points = apportion(plain - base, &shares);
        let mut contributions: Vec<Contribution> = listed
            .iter()
            .zip(points)
            .map(|((key, factor, nats), points)| Contribution {
                points,
                nats: *nats,
                kind: ContributionKind::Factor {
                    key: (*key).clone(),
                    factor: (*factor).clone(),
                    remaining: (factor.decayed(at) / factor.decayed(factor.last).max(1e-12))
                        .min(1.0),
                },
            })
            .collect();
        contributions.sort_by_key(|c| std::cmp::Reverse(c.points));
        let mut score = plain;
        let mut moved_to = |to: i64, kind: ContributionKind| {
            contributions.push(Contribution { points: to - score, nats: 0.0, kind });
            score = to;
        };
        if hundredths(raw) != plain {
            moved_to(hundredths(raw), ContributionKind::Criticality(self.criticality));
        }
        let wide = groups.values().filter(|nats| saturated(**nats) >= GROUP_NATS).count() >= 2;
        let critical = listed.iter().any(|(_, factor, _)| factor.critical);
        if hundredths(raw) > hundredths(CAP) && !wide && !critical {
            moved_to(hundredths(CAP), ContributionKind::Cap);
        }
        if self.floor.as_ref().is_some_and(|f| f.since <= at) && score < hundredths(FLOOR) {
            contributions.push(Contribution {
                points: hundredths(FLOOR) - score,
                nats: 0.0,
                kind: ContributionKind::Floor,
            });
            score = hundredths(FLOOR);
        }
        if let Some(manual) = self.manual.as_ref().filter(|m| at < m.until) {
            let to = hundredths(manual.score.clamp(0.0, 100.0));
            let points = to - score;
            contributions.push(Contribution {
                points,
                nats: 0.0,
                kind: ContributionKind::Override,
            });
            score = to;
        }
        RiskScore { at, score, base, contributions }
    }
}

fn hundredths(score: f64) -> i64 {
    (score * 100.0).round() as i64
}

/// Splits a whole number by shares so that the parts add up: largest remainder, the first of equals.
fn apportion(total: i64, shares: &[f64]) -> Vec<i64> {
    let sum: f64 = shares.iter().sum();
    if sum <= 0.0 {
        return vec![0; shares.len()];
    }
    let exact: Vec<f64> = shares.iter().map(|s| total as f64 * s / sum).collect();
    let mut parts: Vec<i64> = exact.iter().map(|x| x.floor() as i64).collect();
    let mut order: Vec<usize> = (0..parts.len()).collect();
    let rest = |i: &usize| exact.get(*i).map_or(0.0, |x| x - x.floor());
    order.sort_by(|a, b| rest(b).total_cmp(&rest(a)).then(a.cmp(b)));
    let missing = total - parts.iter().sum::<i64>();
    for i in order.into_iter().cycle().take(usize::try_from(missing).unwrap_or(0)) {
        if let Some(part) = parts.get_mut(i) {
            *part += 1;
        }
    }
    parts
}
