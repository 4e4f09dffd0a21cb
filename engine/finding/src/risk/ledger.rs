//! The factors of an entity and what may be done to them. Not how they are shown.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{C, Criticality, L0};
use crate::FindingId;

/// The most factors of an entity; beyond it the smallest are merged, one per group.
const FACTORS_MAX: usize = 64;
/// Findings a factor remembers by id; older ones are kept as a decayed count.
const FINDINGS_MAX: usize = 32;
/// Contributions below this many nats are left out of the sum.
const NATS_MIN: f64 = 0.01;

/// What makes findings repetitions of each other: the rule or baseline, and the value or feature it is
/// about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FactorKey {
    /// The rule or baseline.
    pub source: Arc<str>,
    /// The value or feature; empty where the source alone counts.
    pub value: Arc<str>,
}

/// A finding as the ledger takes it. The weight is frozen here: later models do not move it.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    /// The finding.
    pub finding: FindingId,
    /// What it repeats.
    pub key: FactorKey,
    /// ATT&CK tactic or family: findings of one group saturate together.
    pub group: Arc<str>,
    /// Nats of the first such finding, 0 or more.
    pub weight: f64,
    /// Milliseconds until half of it is gone.
    pub half_life: i64,
    /// Event time, milliseconds.
    pub time: i64,
    /// Whether it is of critical severity: such a one may reach high alone.
    pub critical: bool,
}

/// One listed contribution.
#[derive(Clone, Debug, PartialEq)]
pub struct Factor {
    /// Its group.
    pub group: Arc<str>,
    /// Nats of one finding.
    pub weight: f64,
    /// Milliseconds.
    pub half_life: i64,
    /// Whether one of its findings was critical.
    pub critical: bool,
    /// The newest findings and when they happened.
    pub findings: BTreeMap<FindingId, i64>,
    /// Older findings: their decayed count and the instant it is of.
    pub older: Option<(f64, i64)>,
    /// All findings ever counted in it.
    pub count: u64,
    /// Time of the first.
    pub first: i64,
    /// Time of the latest.
    pub last: i64,
}

/// A score a person has set.
#[derive(Clone, Debug, PartialEq)]
pub struct Override {
    /// 0 to 100.
    pub score: f64,
    /// Why.
    pub reason: String,
    /// Who.
    pub by: String,
    /// When it ends, milliseconds.
    pub until: i64,
}

/// A confirmed compromise: the score stays at or above high until it is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Floor {
    /// The incident.
    pub incident: String,
    /// Since when, milliseconds.
    pub since: i64,
}

/// Everything that makes up the risk of one entity.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RiskLedger {
    /// How much it matters.
    pub criticality: Criticality,
    /// What contributes.
    pub factors: BTreeMap<FactorKey, Factor>,
    /// Set by a person.
    pub manual: Option<Override>,
    /// Confirmed compromise.
    pub floor: Option<Floor>,
    /// Factors merged because there were too many.
    pub merged: u64,
}

impl RiskLedger {
    /// Adds a finding; false if it is known already, or worth nothing. The order of additions does
    /// not matter as long as no bound is hit.
    pub fn add(&mut self, evidence: &Evidence) -> bool {
        if !(evidence.weight > 0.0 && evidence.weight.is_finite()) || evidence.half_life <= 0 {
            return false;
        }
        let factor = self.factors.entry(evidence.key.clone()).or_insert_with(|| Factor {
            group: Arc::clone(&evidence.group),
            weight: evidence.weight,
            half_life: evidence.half_life,
            critical: false,
            findings: BTreeMap::new(),
            older: None,
            count: 0,
            first: evidence.time,
            last: evidence.time,
        });
        if factor.findings.contains_key(&evidence.finding) {
            return false;
        }
        // The same whichever comes first: the larger weight, the longer life, the smaller group.
        factor.weight = factor.weight.max(evidence.weight);
        factor.half_life = factor.half_life.max(evidence.half_life);
        if evidence.group < factor.group {
            factor.group = Arc::clone(&evidence.group);
        }
        factor.critical |= evidence.critical;
        factor.findings.insert(evidence.finding, evidence.time);
        factor.count += 1;
        factor.first = factor.first.min(evidence.time);
        factor.last = factor.last.max(evidence.time);
        factor.fold_oldest();
        self.bound();
        true
    }

    /// Takes back findings: a withdrawn one, or those of an incident closed as benign or false
    /// positive. Returns how many were there.
    pub fn remove(&mut self, findings: &BTreeSet<FindingId>) -> usize {
        let mut removed = 0;
        for factor in self.factors.values_mut() {
            let before = factor.findings.len();
            factor.findings.retain(|id, _| !findings.contains(id));
            removed += before - factor.findings.len();
            factor.count = factor.count.saturating_sub((before - factor.findings.len()) as u64);
        }
        self.factors.retain(|_, f| !f.findings.is_empty() || f.older.is_some());
        removed
    }

    /// Takes over another ledger of the same entity: findings known to both count once.
    pub fn union(&mut self, other: RiskLedger) {
        for (key, theirs) in other.factors {
            match self.factors.get_mut(&key) {
                None => {
                    self.factors.insert(key, theirs);
                }
                Some(ours) => ours.union(theirs),
            }
        }
        self.criticality = self.criticality.max(other.criticality);
        self.manual = self.manual.take().or(other.manual);
        self.floor = self.floor.take().or(other.floor);
        self.merged += other.merged;
        self.bound();
    }

    /// Log odds without findings.
    pub(super) fn base_odds(&self) -> f64 {
        L0 + self.criticality.odds().ln()
    }

    /// Nats of each factor at an instant before its group saturates, those worth listing.
    pub(super) fn nats(&self, at: i64) -> Vec<(&FactorKey, &Factor, f64)> {
        let nats = self.factors.iter().map(|(key, f)| (key, f, f.nats(at)));
        nats.filter(|(.., nats)| *nats >= NATS_MIN).collect()
    }

    /// Merges the smallest factors of a group into one until the bound holds.
    fn bound(&mut self) {
        while self.factors.len() > FACTORS_MAX {
            let newest = self.factors.values().map(|f| f.last).max().unwrap_or(0);
            let is_other = |key: &FactorKey| key.source.is_empty();
            let smallest = self
                .factors
                .iter()
                .filter(|(key, _)| !is_other(key))
                .min_by(|a, b| a.1.nats(newest).total_cmp(&b.1.nats(newest)).then(a.0.cmp(b.0)))
                .map(|(key, _)| key.clone());
            let Some(factor) = smallest.as_ref().and_then(|key| self.factors.remove(key)) else {
                return;
            };
            self.merged += 1;
            let key = FactorKey { source: "".into(), value: Arc::clone(&factor.group) };
            match self.factors.get_mut(&key) {
                Some(other) => other.union(factor),
                None => {
                    self.factors.insert(key, factor);
                }
            }
        }
    }
}

impl Factor {
    /// The decayed count of findings up to an instant.
    pub fn decayed(&self, at: i64) -> f64 {
        let decay = |from: i64| (-((at - from) as f64) / self.half_life as f64).exp2();
        let older = self.older.filter(|(_, of)| *of <= at);
        let mut sum = older.map_or(0.0, |(count, of)| count * decay(of));
        // In the order of time: the sum is the same whatever came first.
        let mut times: Vec<i64> = self.findings.values().copied().filter(|t| *t <= at).collect();
        times.sort_unstable();
        for time in times {
            sum += decay(time);
        }
        sum
    }

    /// Nats at an instant: the weight for one finding, twice that for three.
    pub fn nats(&self, at: i64) -> f64 {
        self.weight * (1.0 + self.decayed(at)).log2()
    }

    fn fold_oldest(&mut self) {
        while self.findings.len() > FINDINGS_MAX {
            let oldest = self.findings.iter().map(|(id, time)| (*time, *id)).min();
            let Some((time, id)) = oldest else { return };
            self.findings.remove(&id);
            let (older, of) = self.older.unwrap_or((0.0, time));
            let half_life = self.half_life as f64;
            let at = of.max(time);
            let decay = |from: i64| (-((at - from) as f64) / half_life).exp2();
            self.older = Some((older * decay(of) + decay(time), at));
        }
    }

    fn union(&mut self, other: Factor) {
        let both = other.findings.keys().filter(|id| self.findings.contains_key(*id)).count();
        self.count += other.count - (both as u64).min(other.count);
        self.findings.extend(other.findings);
        self.weight = self.weight.max(other.weight);
        self.half_life = self.half_life.max(other.half_life);
        self.critical |= other.critical;
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        // Folded findings have lost their ids: the same ones may be in both, so the larger count.
        let count = |older: Option<(f64, i64)>| older.map_or(0.0, |(count, _)| count);
        if count(other.older) > count(self.older) {
            self.older = other.older;
        }
        self.fold_oldest();
    }
}

/// What a group of `nats` contributes, saturating at `C`.
pub(super) fn saturated(nats: f64) -> f64 {
    C * (1.0 - (-nats / C).exp())
}
