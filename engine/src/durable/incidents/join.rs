//! Which incident a finding joins or opens, in the commit that keeps it. Not when one opens and what
//! belongs to it: that is [`Incident`].
//!
//! What comes of some findings does not depend on how they are spread over commits: within one they are
//! taken by event time and id, each with the risk of its entity as it was when those before it had come.

use std::sync::Arc;

use sluice_event::EntityKind;
use sluice_finding::{Entity, EntityRisk, Evidence, Finding, FindingId, Incident, evidence};

use super::super::{findings::load, txn::WriteTxn};
use crate::EngineError;

/// Findings that have raised the risk of an entity are read for an incident that opens, at most.
const INCLUDED_MAX: usize = 64;

impl WriteTxn<'_> {
    /// Findings that came to weigh on an entity join its incident, or open one. `after` is its risk
    /// with all of them.
    pub(in super::super) fn join_incidents(
        &mut self,
        entity: &Entity,
        mut findings: Vec<Finding>,
        after: EntityRisk,
    ) -> Result<(), EngineError> {
        findings.sort_by_key(|finding| (finding.time, finding.id));
        let alone = findings.len() == 1;
        let mut risk = if alone { after } else { self.stored_risk(entity)? };
        for finding in &findings {
            if !alone && let Some(evidence) = evidence(finding) {
                let time = evidence.time.min(self.now);
                risk.ledger.add(&Evidence { time, ..evidence });
                risk.settle(self.now);
            }
            self.join_incident(entity, finding, &risk)?;
        }
        Ok(())
    }

    fn join_incident(
        &mut self,
        entity: &Entity,
        finding: &Finding,
        risk: &EntityRisk,
    ) -> Result<(), EngineError> {
        let score = risk.ledger.score(self.now).score;
        if let Some(open) = self.open_incident(entity, finding.time) {
            if !open.findings.contains_key(&finding.id) {
                let id = open.id;
                self.edit(open);
                self.incidents.join(id, finding, score);
            }
            return Ok(());
        }
        // Behind an address may be many: it has an incident where nobody else is named.
        let alone = finding.entities.iter().all(|e| e.kind == EntityKind::Ip);
        if entity.kind == EntityKind::Ip && !alone {
            return Ok(());
        }
        let Some(mut incident) = Incident::open(entity, finding, risk.state.level, score) else {
            return Ok(());
        };
        // What belongs to an incident that is over does not open another one.
        if self.incidents_with(finding.id).iter().any(|known| known.entity == *entity) {
            return Ok(());
        }
        for id in contributing(risk) {
            if let Some(earlier) = self.finding_as_it_will_be(id)? {
                incident.include(&earlier);
            }
        }
        self.edit(Arc::new(incident));
        Ok(())
    }

    /// A finding that was withdrawn leaves its incidents. One that is empty then, and that nobody has
    /// worked on, is no more.
    pub(in super::super) fn leave_incidents(&mut self, id: FindingId) {
        for incident in self.incidents_with(id) {
            let mut incident = (*incident).clone();
            incident.leave(id);
            if incident.findings.is_empty() && incident.history.is_empty() {
                self.batch.remove(&self.spaces().incident, &incident.id.0.to_be_bytes());
                self.incidents.remove(incident.id);
                self.forgotten.push(incident.id);
            } else {
                self.edit(Arc::new(incident));
            }
        }
    }

    /// A finding with what this change makes of it.
    pub(super) fn finding_as_it_will_be(
        &self,
        id: FindingId,
    ) -> Result<Option<Finding>, EngineError> {
        match self.changed.get(id) {
            Some(changed) => Ok(Some(changed.finding.clone())),
            None => Ok(load(self.spaces(), &self.snapshot, id)?.map(|known| known.finding)),
        }
    }

    /// The incident as this change leaves it; it is written with the change.
    fn edit(&mut self, incident: Arc<Incident>) {
        self.forgotten.retain(|id| *id != incident.id);
        if self.incidents.get(incident.id).is_none_or(|own| !Arc::ptr_eq(own, &incident)) {
            self.incidents.put(incident);
        }
    }

    /// The incident of an entity that a finding at this time belongs to: of several, the one with the
    /// newest finding.
    fn open_incident(&self, entity: &Entity, time: i64) -> Option<Arc<Incident>> {
        let all = self.inner.incidents();
        let stored = all.of(entity).filter(|i| self.is_as_stored(i.id));
        let both = self.incidents.of(entity).chain(stored).filter(|i| i.lasts_at(time));
        both.max_by_key(|i| (i.last_time, i.id)).cloned()
    }

    /// The incidents that hold a finding.
    fn incidents_with(&self, finding: FindingId) -> Vec<Arc<Incident>> {
        let all = self.inner.incidents();
        let stored = all.holding(finding).filter(|i| self.is_as_stored(i.id));
        self.incidents.holding(finding).chain(stored).cloned().collect()
    }

    /// Whether this change leaves an incident as it is.
    fn is_as_stored(&self, id: FindingId) -> bool {
        self.incidents.get(id).is_none() && !self.forgotten.contains(&id)
    }
}

/// The newest findings behind the risk of an entity.
fn contributing(risk: &EntityRisk) -> Vec<FindingId> {
    let factors = risk.ledger.factors.values();
    let mut newest: Vec<(i64, FindingId)> =
        factors.flat_map(|f| f.findings.iter().map(|(id, time)| (*time, *id))).collect();
    newest.sort_unstable_by(|a, b| b.cmp(a));
    newest.into_iter().take(INCLUDED_MAX).map(|(_, id)| id).collect()
}
