//! Incidents in memory, found by id, by entity and by finding. Not how they are stored.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use sluice_finding::{Entity, Finding, FindingId, Incident};

/// Incidents by id; which are about an entity, and which hold a finding, is found without looking at
/// the others.
#[derive(Debug, Default)]
pub(in super::super) struct Incidents {
    by_id: BTreeMap<FindingId, Arc<Incident>>,
    by_entity: BTreeMap<Entity, BTreeSet<FindingId>>,
    /// Finding, incident.
    by_finding: BTreeSet<(FindingId, FindingId)>,
}

impl Incidents {
    /// The incident of an id.
    pub(in super::super) fn get(&self, id: FindingId) -> Option<&Arc<Incident>> {
        self.by_id.get(&id)
    }

    /// Every incident, by id.
    pub(in super::super) fn all(&self) -> impl Iterator<Item = &Arc<Incident>> {
        self.by_id.values()
    }

    /// Those about an entity.
    pub(super) fn of(&self, entity: &Entity) -> impl Iterator<Item = &Arc<Incident>> {
        self.by_entity.get(entity).into_iter().flatten().filter_map(|id| self.by_id.get(id))
    }

    /// Those that hold a finding.
    pub(super) fn holding(&self, finding: FindingId) -> impl Iterator<Item = &Arc<Incident>> {
        let all = (finding, FindingId(0))..=(finding, FindingId(u128::MAX));
        self.by_finding.range(all).filter_map(|(_, id)| self.by_id.get(id))
    }

    /// Adds an incident, or puts it in the place of what it was.
    pub(super) fn put(&mut self, incident: Arc<Incident>) {
        let id = incident.id;
        let before = self.by_id.insert(id, incident.clone());
        let known = |finding: &FindingId| {
            before.as_ref().is_some_and(|before| before.findings.contains_key(finding))
        };
        for finding in incident.findings.keys().filter(|finding| !known(finding)) {
            self.by_finding.insert((*finding, id));
        }
        let before = before.iter().flat_map(|before| before.findings.keys());
        for finding in before.filter(|finding| !incident.findings.contains_key(finding)) {
            self.by_finding.remove(&(*finding, id));
        }
        self.by_entity.entry(incident.entity.clone()).or_default().insert(id);
    }

    /// Adds a finding to an incident that is there; false if it does not belong to it, or is in it.
    pub(super) fn join(&mut self, id: FindingId, finding: &Finding, score: i64) -> bool {
        let Some(incident) = self.by_id.get_mut(&id) else { return false };
        let joined = Arc::make_mut(incident).join(finding, score);
        if joined {
            self.by_finding.insert((finding.id, id));
        }
        joined
    }

    /// Takes an incident out.
    pub(super) fn remove(&mut self, id: FindingId) {
        let Some(incident) = self.by_id.remove(&id) else { return };
        for finding in incident.findings.keys() {
            self.by_finding.remove(&(*finding, id));
        }
        if let Some(of) = self.by_entity.get_mut(&incident.entity) {
            of.remove(&id);
            if of.is_empty() {
                self.by_entity.remove(&incident.entity);
            }
        }
    }

    /// Takes over what a change has made of some, and drops those that are no more.
    pub(super) fn take_over(&mut self, changed: Incidents, forgotten: &[FindingId]) {
        changed.by_id.into_values().for_each(|incident| self.put(incident));
        forgotten.iter().for_each(|id| self.remove(*id));
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }
}
