//! Incidents in the store: opened, joined and judged in the commit of what causes it. Not when one opens
//! and what a change is: that is [`Incident`].
//!
//! A verdict has its effects in the same commit: it judges the findings of the incident, so that what
//! weighs nothing any more leaves the ledgers at once, and a confirmed compromise pins the risk of the
//! entity until the incident is closed.

mod index;
mod join;

use std::{
    collections::BTreeSet,
    sync::{Arc, PoisonError},
};

use sluice_finding::{
    Entity, FindingId, Floor, Incident, IncidentChange, IncidentVerdict, Reason, Refused,
    Suppression, SuppressionMatch, TriageChange, TriageStatus,
};
use sluice_store::Snapshot;

use super::{
    FindingStore, Inner, Spaces, TriageError,
    cases::{decode_incident, encode_incident},
    findings::stored_current,
    risk::RiskCause,
    suppressions::SuppressionError,
    txn::{SpaceUse, WriteTxn},
    unreadable,
};
use crate::EngineError;
pub(super) use index::Incidents;

/// Why a change of an incident was not made.
#[derive(Debug, thiserror::Error)]
pub enum IncidentError {
    /// There is none such.
    #[error("there is no incident {0}")]
    NotFound(FindingId),
    /// Another change was faster: it has as many changes as this.
    #[error("the incident has changed: its version is {0}")]
    Conflict(u64),
    /// The change makes no sense.
    #[error("{}", refusal(.0))]
    Refused(Refused),
    /// A verdict could not be carried to a finding.
    #[error("finding {0}: {1}")]
    Finding(FindingId, Box<TriageError>),
    /// A false positive could not be muted.
    #[error(transparent)]
    Mute(#[from] SuppressionError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] EngineError),
}

fn refusal(refused: &Refused) -> &'static str {
    match refused {
        Refused::VerdictMissing => "resolving or closing needs a verdict",
        Refused::DuplicateOfItself => "an incident cannot be a duplicate of itself",
        Refused::Empty => "nothing to change: give status, assignee, verdict or comment",
        Refused::HistoryFull => {
            "the history is full: an incident keeps 500 changes and 256 KiB of remarks"
        }
    }
}

/// How long findings of a false positive's rules about its entity weigh nothing.
const MUTED: i64 = 30 * 86_400_000;

impl FindingStore {
    /// Every incident.
    pub fn incidents(&self) -> Vec<Arc<Incident>> {
        self.inner.incidents().all().cloned().collect()
    }

    /// The incidents of an entity.
    pub fn incidents_of(&self, entity: &Entity) -> Vec<Arc<Incident>> {
        self.inner.incidents().of(entity).cloned().collect()
    }

    /// An incident.
    pub fn incident(&self, id: FindingId) -> Option<Arc<Incident>> {
        self.inner.incidents().get(id).cloned()
    }

    /// Changes an incident, durably, with the effects of a verdict. With `expected`, only if it has so
    /// many changes.
    ///
    /// # Errors
    /// If there is none such, it has other changes, the change makes no sense, or it cannot be written.
    pub fn change_incident(
        &self,
        id: FindingId,
        expected: Option<u64>,
        change: IncidentChange,
        by: &str,
    ) -> Result<Arc<Incident>, IncidentError> {
        let mut txn = self.inner.begin();
        let incident = txn.change_incident(id, expected, change, by)?;
        txn.commit(SpaceUse::Ordinary)?;
        Ok(incident)
    }
}

impl Inner {
    pub(super) fn incidents(&self) -> std::sync::RwLockReadGuard<'_, Incidents> {
        self.incidents.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over what a commit has written.
    pub(super) fn publish_incidents(&self, changed: Incidents, forgotten: &[FindingId]) {
        if changed.is_empty() && forgotten.is_empty() {
            return;
        }
        let mut all = self.incidents.write().unwrap_or_else(PoisonError::into_inner);
        all.take_over(changed, forgotten);
        drop(all);
        let mut all = self.suppressions.write().unwrap_or_else(PoisonError::into_inner);
        for id in forgotten {
            all.remove(id);
        }
    }
}

/// Reads all of them.
pub(super) fn load_all(spaces: &Spaces, snapshot: &Snapshot) -> Result<Incidents, EngineError> {
    let mut all = Incidents::default();
    for row in snapshot.prefix(&spaces.incident, b"") {
        let incident = decode_incident(&row?.1).map_err(unreadable("incident"))?;
        all.put(Arc::new(incident));
    }
    Ok(all)
}

impl WriteTxn<'_> {
    /// Puts what has changed into the batch. Who waits for changes of the store looks again.
    pub(super) fn write_incidents(&mut self) {
        let spaces = self.spaces();
        for incident in self.incidents.all() {
            let bytes = encode_incident(incident);
            self.batch.put(&spaces.incident, &incident.id.0.to_be_bytes(), &bytes);
            self.next.seq += 1;
        }
    }

    fn change_incident(
        &mut self,
        id: FindingId,
        expected: Option<u64>,
        change: IncidentChange,
        by: &str,
    ) -> Result<Arc<Incident>, IncidentError> {
        let known = self.inner.incidents().get(id).cloned();
        let before = known.ok_or(IncidentError::NotFound(id))?;
        let version = before.history.len() as u64;
        if expected.is_some_and(|expected| expected != version) {
            return Err(IncidentError::Conflict(version));
        }
        let mut incident = (*before).clone();
        incident.change(self.now, by, change).map_err(IncidentError::Refused)?;
        if incident.verdict != before.verdict {
            self.judge(&before, &incident, by)?;
        }
        let pinned = incident.verdict == Some(IncidentVerdict::ConfirmedCompromise)
            && !incident.status.ends();
        self.pin(&incident, pinned)?;
        let incident = Arc::new(incident);
        self.incidents.put(incident.clone());
        Ok(incident)
    }

    /// Carries a verdict to the findings of an incident, in place of the one before.
    fn judge(&mut self, before: &Incident, now: &Incident, by: &str) -> Result<(), IncidentError> {
        let (old, new) = (before.verdict.and_then(reason), now.verdict.and_then(reason));
        if let Some(IncidentVerdict::Duplicate(of)) = now.verdict {
            let other = self.inner.incidents().get(of).cloned();
            let mut other = (*other.ok_or(IncidentError::NotFound(of))?).clone();
            for id in now.findings.keys() {
                if let Some(finding) = self.finding_as_it_will_be(*id)? {
                    other.include(&finding);
                }
            }
            self.incidents.put(Arc::new(other));
        }
        let comment = Some(format!("incident {}", now.id));
        let mut rules = BTreeSet::new();
        for id in now.findings.keys() {
            let triage = self.triage_of(*id)?;
            let resolved = triage.status == TriageStatus::Resolved;
            // What was judged by itself stays as it was judged.
            let status = match new {
                Some(_) if !resolved || (old.is_some() && triage.reason == old) => {
                    TriageStatus::Resolved
                }
                None if resolved && old.is_some() && triage.reason == old => TriageStatus::New,
                Some(_) | None => continue,
            };
            let comment = comment.clone();
            let change =
                TriageChange { status: Some(status), reason: new, assignee: None, comment };
            match self.triage(*id, None, change, self.now, by) {
                Ok(stored) => {
                    rules.insert(stored.finding.rule_id);
                }
                // It has outlived retention.
                Err(TriageError::NotFound(_)) => {}
                Err(error) => return Err(IncidentError::Finding(*id, Box::new(error))),
            }
        }
        if now.verdict == Some(IncidentVerdict::FalsePositive) {
            for rule in rules {
                self.mute(rule, now, by)?;
            }
        }
        Ok(())
    }

    fn mute(&mut self, rule: Arc<str>, of: &Incident, by: &str) -> Result<(), SuppressionError> {
        let matcher = SuppressionMatch {
            rule: Some(rule),
            entity: Some(of.entity.clone()),
            ..SuppressionMatch::default()
        };
        let reason = format!("false positive of incident {}", of.id);
        let until = self.now.saturating_add(MUTED);
        if let Some(known) = self.like(&matcher) {
            let mut longer = (*known).clone();
            longer.suppression.until = longer.suppression.until.max(until);
            self.put_suppression(longer);
            return Ok(());
        }
        let suppression = Suppression::new(matcher, by, &reason, self.now, until);
        self.suppress(suppression.map_err(SuppressionError::Refused)?, by).map(drop)
    }

    /// Pins the risk of the entity of a confirmed compromise, or lets it go.
    fn pin(&mut self, incident: &Incident, pinned: bool) -> Result<(), EngineError> {
        let (id, since) = (incident.id.to_string(), self.now);
        let floor = match self.risk_of(&incident.entity)? {
            Some(risk) => risk.ledger.floor,
            None => None,
        };
        let ours = floor.as_ref().is_some_and(|floor| floor.incident == id);
        if ours == pinned {
            return Ok(());
        }
        let open = self.open_risk(&incident.entity, RiskCause::Verdict(incident.id))?;
        open.risk.ledger.floor = pinned.then_some(Floor { incident: id, since });
        Ok(())
    }

    /// Drops incidents whose last finding was before a time: those that are over, and those without a
    /// finding that is still there.
    pub(super) fn expire_incidents(&mut self, cutoff: i64) -> Result<(), EngineError> {
        let old: Vec<Arc<Incident>> = {
            let all = self.inner.incidents();
            all.all().filter(|i| i.last_time < cutoff).cloned().collect()
        };
        let mut over = Vec::new();
        for incident in old {
            let mut gone = true;
            for id in incident.findings.keys() {
                gone &= stored_current(self.spaces(), &self.snapshot, *id)?.is_none();
            }
            if gone || incident.status.ends() {
                over.push(incident.id);
            }
        }
        for id in over {
            self.batch.remove(&self.spaces().incident, &id.0.to_be_bytes());
            self.forgotten.push(id);
        }
        Ok(())
    }
}

/// What a verdict says of each finding.
fn reason(verdict: IncidentVerdict) -> Option<Reason> {
    match verdict {
        IncidentVerdict::ConfirmedCompromise | IncidentVerdict::TruePositive => {
            Some(Reason::TruePositive)
        }
        IncidentVerdict::Benign => Some(Reason::Benign),
        IncidentVerdict::FalsePositive => Some(Reason::FalsePositive),
        // They belong to the other one now.
        IncidentVerdict::Duplicate(_) => None,
    }
}
