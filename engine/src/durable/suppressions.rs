//! Suppressions in the store: kept, matched when a finding comes, and counted in its commit. Not which
//! findings one applies to: that is [`Suppression::applies_to`].
//!
//! One applies by the time of a finding, from the moment it was made until it ends, so that a replay
//! gives the same answer. A finding that one applies to is kept and shown; it weighs nothing and opens
//! no incident.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError},
};

use sluice_event::Encoder;
use sluice_finding::{Finding, FindingId, Suppression, SuppressionMatch, SuppressionRefused};
use sluice_store::Snapshot;

use super::{
    FindingStore, Inner, Spaces,
    cases::{decode_suppression, encode_suppression},
    txn::{SpaceUse, WriteTxn},
    unreadable,
};
use crate::EngineError;

/// A suppression as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredSuppression {
    /// Its id.
    pub id: FindingId,
    /// What it is.
    pub suppression: Suppression,
    /// The token that made it.
    pub created_by: String,
    /// The token that ended it before its time.
    pub ended_by: Option<String>,
}

/// Why a suppression was not made or ended.
#[derive(Debug, thiserror::Error)]
pub enum SuppressionError {
    /// It makes no sense.
    #[error("the suppression makes no sense")]
    Refused(SuppressionRefused),
    /// Another one says the same and is not over: a finding would be counted and written for each.
    #[error("suppression {0} matches the same and is not over: end that one first")]
    Exists(FindingId),
    /// There are as many as can be.
    #[error("there are {SUPPRESSIONS_MAX} suppressions: end some, or use a rule's own conditions")]
    TooMany,
    /// There is none such.
    #[error("there is no suppression {0}")]
    NotFound(FindingId),
    /// It has ended before.
    #[error("it has ended already")]
    Ended,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] EngineError),
}

/// All of them, by id.
pub(super) type Suppressions = BTreeMap<FindingId, Arc<StoredSuppression>>;

/// Each finding is compared with every one that is not over.
const SUPPRESSIONS_MAX: usize = 10_000;

impl FindingStore {
    /// Every suppression, those that are over included.
    pub fn suppressions(&self) -> Vec<Arc<StoredSuppression>> {
        self.inner.suppressions().values().cloned().collect()
    }

    /// Makes a suppression, from now on. A finding's time decides whether it applies.
    ///
    /// # Errors
    /// If it makes no sense, there are too many, or it cannot be written.
    pub fn suppress(
        &self,
        matcher: SuppressionMatch,
        owner: &str,
        reason: &str,
        until: i64,
        by: &str,
    ) -> Result<Arc<StoredSuppression>, SuppressionError> {
        let mut txn = self.inner.begin();
        let from = txn.now;
        let suppression = Suppression::new(matcher, owner, reason, from, until)
            .map_err(SuppressionError::Refused)?;
        let stored = txn.suppress(suppression, by)?;
        txn.commit(SpaceUse::Ordinary)?;
        Ok(stored)
    }

    /// Ends a suppression now.
    ///
    /// # Errors
    /// If there is none such, it is over, or it cannot be written.
    pub fn end_suppression(
        &self,
        id: FindingId,
        by: &str,
    ) -> Result<Arc<StoredSuppression>, SuppressionError> {
        let mut txn = self.inner.begin();
        let known = self.inner.suppressions().get(&id).cloned();
        let mut stored = (*known.ok_or(SuppressionError::NotFound(id))?).clone();
        if stored.suppression.until <= txn.now {
            return Err(SuppressionError::Ended);
        }
        stored.suppression.until = txn.now;
        stored.ended_by = Some(by.to_owned());
        let stored = txn.put_suppression(stored);
        txn.commit(SpaceUse::Freeing)?;
        Ok(stored)
    }

    /// The suppressions that apply to a finding.
    pub fn suppressed_by(&self, finding: &Finding) -> Vec<FindingId> {
        let all = self.inner.suppressions();
        let applies = all.values().filter(|s| s.suppression.applies_to(finding));
        applies.map(|s| s.id).collect()
    }
}

impl Inner {
    pub(super) fn suppressions(&self) -> std::sync::RwLockReadGuard<'_, Suppressions> {
        self.suppressions.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over what a commit has written.
    pub(super) fn publish_suppressions(&self, changed: Suppressions) {
        if !changed.is_empty() {
            let mut all = self.suppressions.write().unwrap_or_else(PoisonError::into_inner);
            all.extend(changed);
        }
    }
}

/// Reads all of them.
pub(super) fn load_all(spaces: &Spaces, snapshot: &Snapshot) -> Result<Suppressions, EngineError> {
    let mut all = Suppressions::new();
    for row in snapshot.prefix(&spaces.suppression, b"") {
        let stored = decode_suppression(&row?.1).map_err(unreadable("suppression"))?;
        all.insert(stored.id, Arc::new(stored));
    }
    Ok(all)
}

impl WriteTxn<'_> {
    /// Keeps one; its id is made of what it says.
    pub(super) fn suppress(
        &mut self,
        suppression: Suppression,
        by: &str,
    ) -> Result<Arc<StoredSuppression>, SuppressionError> {
        if self.inner.suppressions().len() + self.suppressions.len() >= SUPPRESSIONS_MAX {
            return Err(SuppressionError::TooMany);
        }
        if let Some(known) = self.like(&suppression.matcher) {
            return Err(SuppressionError::Exists(known.id));
        }
        let mut encoder = Encoder::default();
        let SuppressionMatch { rule, entity, field } = &suppression.matcher;
        encoder.text(rule.as_deref().unwrap_or_default());
        let entity = entity.as_ref().map(|e| format!("{}:{}", e.kind.name(), e.id));
        encoder.text(&entity.unwrap_or_default());
        let field = field.as_ref().map(|(name, value)| format!("{name}={value}"));
        encoder.text(&field.unwrap_or_default());
        encoder.int(suppression.from);
        let id = FindingId(encoder.hash128());
        let created_by = by.to_owned();
        Ok(self.put_suppression(StoredSuppression { id, suppression, created_by, ended_by: None }))
    }

    /// The suppression that matches the same and is not over.
    pub(super) fn like(&self, matcher: &SuppressionMatch) -> Option<Arc<StoredSuppression>> {
        let all = self.inner.suppressions();
        let stored = all.values().filter(|s| !self.suppressions.contains_key(&s.id));
        let mut both = self.suppressions.values().chain(stored);
        both.find(|s| s.suppression.until > self.now && s.suppression.matcher == *matcher).cloned()
    }

    pub(super) fn put_suppression(&mut self, stored: StoredSuppression) -> Arc<StoredSuppression> {
        let bytes = encode_suppression(&stored);
        self.batch.put(&self.spaces().suppression, &stored.id.0.to_be_bytes(), &bytes);
        let stored = Arc::new(stored);
        self.suppressions.insert(stored.id, stored.clone());
        stored
    }

    /// Whether a suppression applies to a finding; one that is news counts as a hit of each.
    pub(super) fn is_suppressed(&mut self, finding: &Finding, is_new: bool) -> bool {
        let mut applies: Vec<Arc<StoredSuppression>> = {
            let all = self.inner.suppressions();
            let applies = all.values().filter(|s| s.suppression.applies_to(finding));
            applies.cloned().collect()
        };
        for stored in &mut applies {
            // This change may have counted it already.
            if let Some(changed) = self.suppressions.get(&stored.id) {
                *stored = changed.clone();
            }
            if is_new {
                let mut hit = (**stored).clone();
                hit.suppression.hit(finding);
                self.put_suppression(hit);
            }
        }
        !applies.is_empty()
    }

    /// Drops suppressions that were over before a time.
    pub(super) fn expire_suppressions(&mut self, cutoff: i64) {
        let over: Vec<FindingId> = {
            let all = self.inner.suppressions();
            all.values().filter(|s| s.suppression.until < cutoff).map(|s| s.id).collect()
        };
        for id in over {
            self.batch.remove(&self.spaces().suppression, &id.0.to_be_bytes());
            self.forgotten.push(id);
        }
    }
}
