//! A scored unit as an anomaly: whether it is one, and how it is explained. Not its score.

use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::{
    Anomaly, PeerGroup, Policy, Spec,
    entity::Entity,
    peers,
    population::{FeaturePopulation, Population},
    score::{Scored, explain},
    unit::ClosedUnit,
};

/// The tail probability of a unit, or that of a feature times the number of features tested,
/// whichever is smaller.
pub(crate) fn least_tail(
    spec: &Spec,
    policy: &Policy,
    unit: &ClosedUnit,
    population: &Population,
    scored: &Scored,
) -> f64 {
    let min = policy.calibration_min;
    let tested = spec.features.len() as f64;
    let features = scored.scores.features.iter().zip(&population.features);
    // Each feature has two statistics: the mean, and what a single event can move.
    let of_features = features.filter_map(|(s, known)| {
        let (closed, immediate) = (*s)?;
        let p = known.closed.p(closed, unit.events, min);
        let enough = known.immediate.all.total() >= min;
        let p = if enough { p.min(known.immediate.all.tail(immediate)) } else { p };
        Some(p * tested * 2.0)
    });
    of_features.fold(population.total.p(scored.scores.total, unit.events, min), f64::min)
}

/// A group that entities are compared with; none of fewer than five.
pub(crate) fn peer_group(
    id: u64,
    population: &Population,
    name: &mut dyn FnMut(u64) -> Option<String>,
) -> Option<PeerGroup> {
    let of = |known: &FeaturePopulation| known.groups.get(&id).map_or(0, |g| g.entities);
    let members = population.features.iter().map(of).max().unwrap_or(0);
    let learned = || format!("group {id}");
    let text = if id & peers::DIRECTORY == 0 { learned() } else { name(id)? };
    (members >= peers::MEMBERS_MIN).then_some(PeerGroup { name: text, members: members as u64 })
}

/// A unit that was scored, and what it was scored against.
pub(crate) struct Found<'a> {
    pub(crate) name: &'a Arc<str>,
    pub(crate) entity: &'a Entity,
    pub(crate) unit: &'a ClosedUnit,
    pub(crate) scored: &'a Scored,
}

impl Found<'_> {
    /// The anomaly with its explanation.
    pub(crate) fn anomaly(
        &self,
        spec: &Spec,
        policy: &Policy,
        population: &Population,
        surprise: f64,
        names: &HashMap<u64, Arc<str>, RandomState>,
        is_final: bool,
    ) -> Anomaly {
        let name = |value: u64| names.get(&value).map(|text| text.to_string());
        let scores = &self.scored.scores;
        Anomaly {
            baseline: Arc::clone(&spec.id),
            entity: Arc::clone(self.name),
            unit: self.unit.id,
            time: self.unit.last,
            events: self.unit.events,
            surprise,
            confidence: self.scored.confidence,
            peers: self.entity.group.and_then(|id| peer_group(id, population, &mut |v| name(v))),
            features: explain(spec, policy, self.entity, self.unit, population, scores, &name),
            model_version: population.version,
            is_final,
        }
    }
}
