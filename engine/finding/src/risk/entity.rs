//! The risk of one entity through time: its ledger, its level, and what a finding is to it. Not where
//! it is kept, and not the clock.

use std::sync::Arc;

use serde_json::Value;
use sluice_rule::Severity;

use super::{
    Evidence, FactorKey, LevelChange, RiskLedger, RiskState, anomaly_weight, declared_weight,
};
use crate::{Finding, FindingState};

/// Milliseconds until half of a finding's weight is gone.
pub(super) const HALF_LIFE: i64 = 24 * 3_600_000;
/// The same for findings of what stays: persistence and privilege escalation.
const HALF_LIFE_LASTING: i64 = 7 * HALF_LIFE;
const LASTING: [&str; 2] = ["TA0003", "TA0004"];
/// First part of the ids of baselines: no rule can have it.
const BASELINES: &str = "baselines.";

/// The risk of an entity as it is kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EntityRisk {
    /// What it is made of.
    pub ledger: RiskLedger,
    /// The level it is at.
    pub state: RiskState,
    /// Up to when the level is right, milliseconds.
    pub as_of: i64,
    /// Changes so far.
    pub changes: u64,
}

impl EntityRisk {
    /// Brings the level up to date: first every crossing by decay since it was right, each at its
    /// instant, then what has changed since. An earlier instant changes nothing.
    pub fn settle(&mut self, at: i64) -> Vec<LevelChange> {
        let mut changes = Vec::new();
        while let Some(next) = self.next_change().filter(|next| *next < at) {
            self.as_of = next;
            changes.extend(self.state.update(&self.ledger, next));
        }
        if at >= self.as_of {
            self.as_of = at;
            changes.extend(self.state.update(&self.ledger, at));
        }
        changes
    }

    /// When decay alone changes its level next.
    pub fn next_change(&self) -> Option<i64> {
        self.state.next_change(&self.ledger, self.as_of)
    }
}

impl RiskLedger {
    /// Every change of level up to an instant, had each finding been known when it happened. A
    /// function of the findings alone: the order they came in, batches and restarts do not matter.
    pub fn timeline(&self, until: i64) -> Vec<LevelChange> {
        let mut times: Vec<i64> =
            self.factors.values().flat_map(|f| f.findings.values().copied()).collect();
        times.extend(self.factors.values().filter_map(|f| f.older).map(|(_, of)| of));
        times.sort_unstable();
        times.dedup();
        let Some(first) = times.first() else { return Vec::new() };
        let state = RiskState { since: *first, ..RiskState::default() };
        let mut known = EntityRisk { as_of: *first, state, ..EntityRisk::default() };
        let mut changes = Vec::new();
        for at in times.into_iter().filter(|at| *at <= until) {
            changes.extend(known.settle(at.saturating_sub(1)));
            known.ledger = self.known_at(at);
            changes.extend(known.settle(at));
        }
        changes.extend(known.settle(until));
        changes
    }

    /// The ledger without what happened after an instant.
    fn known_at(&self, at: i64) -> RiskLedger {
        let mut ledger = self.clone();
        for factor in ledger.factors.values_mut() {
            factor.findings.retain(|_, time| *time <= at);
            factor.older = factor.older.filter(|(_, of)| *of <= at);
        }
        ledger.factors.retain(|_, f| !f.findings.is_empty() || f.older.is_some());
        ledger
    }
}

/// What a finding adds to the ledger of each entity it is about; `None` if nothing: it is on trial, was
/// withdrawn, or weighs nothing.
///
/// Findings of one rule repeat each other; those of one baseline do if the same feature is the most
/// surprising one. The group is the first ATT&CK tactic named, else the rule's domain: so a rule of
/// several tactics is still one piece of evidence.
pub fn evidence(finding: &Finding) -> Option<Evidence> {
    if finding.shadow || finding.state == FindingState::Withdrawn {
        return None;
    }
    let number = |name: &str| finding.fields.get(name).and_then(Value::as_f64);
    let domain = finding.rule_id.split('.').next().unwrap_or_default();
    let tactic = finding.attack.iter().find(|id| id.starts_with("TA")).map(String::as_str);
    let lasting = finding.attack.iter().any(|id| LASTING.contains(&id.as_str()));
    let (value, weight, half_life) = if finding.rule_id.starts_with(BASELINES) {
        let feature = finding.fields.get("feature").and_then(Value::as_str).unwrap_or_default();
        let weight = anomaly_weight(number("surprise")?, number("confidence")?);
        let half_life = finding.fields.get("half_life_ms").and_then(Value::as_i64);
        (Arc::from(feature), weight, half_life.unwrap_or(HALF_LIFE))
    } else {
        let half_life = if lasting { HALF_LIFE_LASTING } else { HALF_LIFE };
        (Arc::from(""), declared_weight(finding.risk), half_life)
    };
    (weight > 0.0).then(|| Evidence {
        finding: finding.id,
        key: FactorKey { source: finding.rule_id.clone(), value },
        group: tactic.unwrap_or(domain).into(),
        weight,
        half_life,
        time: finding.time,
        critical: finding.severity == Severity::Critical,
    })
}
