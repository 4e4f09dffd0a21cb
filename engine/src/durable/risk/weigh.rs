//! What a finding adds to the ledgers of its entities, while a change is put together. Not what becomes
//! of their scores and levels (see [`super::settle`]).

use std::collections::BTreeSet;

use sluice_finding::{
    Entity, EntityRisk, Evidence, Finding, Reason, Triage, TriageStatus, evidence,
};

use super::{super::txn::WriteTxn, RiskCause, RiskRow, load, settle::note};
use crate::EngineError;

/// The ledger of an entity while a change is put together.
#[derive(Debug)]
pub(in super::super) struct OpenRisk {
    pub(in super::super) risk: EntityRisk,
    /// When it was due as it is stored.
    pub(super) due: Option<i64>,
    pub(super) score: i64,
    pub(super) cause: RiskCause,
    pub(super) rows: Vec<RiskRow>,
    /// Findings that came to weigh on it.
    pub(super) joins: Vec<Finding>,
}

impl WriteTxn<'_> {
    /// Weighs a finding that is put, changed or judged for each entity it is about.
    pub(in super::super) fn weigh(
        &mut self,
        before: Option<(&Finding, &Triage)>,
        after: (&Finding, &Triage),
        cause: RiskCause,
    ) -> Result<(), EngineError> {
        let had = before.and_then(|(finding, triage)| self.evidence(finding, triage, false));
        let has = self.evidence(after.0, after.1, before.is_none());
        if let RiskCause::Withdrawn(id) = cause {
            self.leave_incidents(id);
        }
        let entities: BTreeSet<&Entity> = after.0.entities.iter().collect();
        let gone = before.map_or(&[][..], |(finding, _)| &finding.entities);
        for entity in entities.iter().copied().chain(gone).collect::<BTreeSet<_>>() {
            let had = had.as_ref().filter(|_| gone.contains(entity));
            let has = has.as_ref().filter(|_| entities.contains(entity));
            if had == has {
                continue;
            }
            let now = self.now;
            let open = self.open_risk(entity, cause)?;
            let removed = had.map_or(0, |e| open.risk.ledger.remove(&BTreeSet::from([e.finding])));
            if had.is_some() && removed == 0 {
                // It is among those a factor counts without their ids.
                continue;
            }
            if let Some(evidence) = has {
                open.joins.push(after.0.clone());
                // What is to come counts from now on: the end of a window may be ahead.
                let evidence = Evidence { time: evidence.time.min(now), ..evidence.clone() };
                open.risk.ledger.add(&evidence);
            }
        }
        Ok(())
    }

    /// What a finding weighs as it is judged; nothing while a suppression applies to it.
    fn evidence(&mut self, finding: &Finding, triage: &Triage, is_new: bool) -> Option<Evidence> {
        let suppressed = self.is_suppressed(finding, is_new);
        let dismissed = triage.status == TriageStatus::Resolved
            && triage.reason.is_some_and(|reason| match reason {
                Reason::FalsePositive | Reason::Benign | Reason::Duplicate => true,
                Reason::TruePositive => false,
            });
        evidence(finding).filter(|_| !dismissed && !suppressed)
    }

    /// The risk of an entity as this change leaves it so far.
    pub(in super::super) fn risk_of(
        &self,
        entity: &Entity,
    ) -> Result<Option<EntityRisk>, EngineError> {
        match self.risks.get(entity) {
            Some(open) => Ok(Some(open.risk.clone())),
            None => {
                let stored = load(self.spaces(), &self.snapshot, entity)?;
                Ok(stored.map(|record| record.risk))
            }
        }
    }

    /// The risk of an entity as it was before this change.
    pub(in super::super) fn stored_risk(&self, entity: &Entity) -> Result<EntityRisk, EngineError> {
        let stored = load(self.spaces(), &self.snapshot, entity)?;
        let none = || EntityRisk { as_of: self.now, ..EntityRisk::default() };
        let mut risk = stored.map_or_else(none, |record| record.risk);
        risk.settle(self.now);
        Ok(risk)
    }

    /// The ledger of an entity, its level brought up to now.
    pub(in super::super) fn open_risk(
        &mut self,
        entity: &Entity,
        cause: RiskCause,
    ) -> Result<&mut OpenRisk, EngineError> {
        let now = self.now;
        if !self.risks.contains_key(entity) {
            let stored = load(self.spaces(), &self.snapshot, entity)?;
            let (mut risk, due) = match stored {
                Some(record) => (record.risk, Some(record.due)),
                None => (EntityRisk { as_of: now, ..EntityRisk::default() }, None),
            };
            let mut rows = Vec::new();
            for change in risk.settle(now) {
                note(&mut risk, &mut rows, change, change.score, RiskCause::Decay);
            }
            let score = risk.ledger.score(now).score;
            risk.ledger.criticality = self.inner.criticality(entity);
            self.risks.insert(
                entity.clone(),
                OpenRisk { risk, due, score, cause, rows, joins: Vec::new() },
            );
        }
        let open = self.risks.get_mut(entity).ok_or(EngineError::Thread("risk"))?;
        open.cause = cause;
        Ok(open)
    }
}
