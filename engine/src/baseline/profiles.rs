//! What baselines know of an entity, as of the last checkpoint. Nothing running is asked, so that
//! reading delays no event.

use std::sync::Arc;

use sluice_baseline::{Comparison, EntityProfile, Spec, StateError};
use sluice_finding::Entity;
use sluice_stream::{BaselineEntries, Stage};

use crate::{Content, EngineError, durable::FindingStore};

/// What one baseline knows of an entity.
#[derive(Clone, Debug)]
pub struct KnownEntity {
    /// The baseline.
    pub baseline: Arc<str>,
    /// Its title.
    pub title: String,
    /// What it knows.
    pub profile: EntityProfile,
}

/// What one baseline compares an entity with.
#[derive(Clone, Debug)]
pub struct ComparedEntity {
    /// The baseline.
    pub baseline: Arc<str>,
    /// Its title.
    pub title: String,
    /// The entity beside its peers and the organisation.
    pub comparison: Comparison,
}

/// Where the state of baselines is.
#[derive(Clone, Copy)]
pub(crate) struct BaselineState<'a> {
    pub(crate) content: &'a Content,
    pub(crate) store: &'a FindingStore,
    pub(crate) secret: &'a [u8; 16],
}

/// The profiles of an entity, of each baseline that knows it.
pub(crate) fn profiles(
    state: BaselineState<'_>,
    entity: &Entity,
) -> Result<Vec<KnownEntity>, EngineError> {
    let found = state.of_each(entity, EntityProfile::read)?.into_iter();
    let known = |(baseline, title, profile)| KnownEntity { baseline, title, profile };
    Ok(found.map(known).collect())
}

/// How an entity differs from its peers, by each baseline that knows it.
pub(crate) fn comparisons(
    state: BaselineState<'_>,
    entity: &Entity,
) -> Result<Vec<ComparedEntity>, EngineError> {
    let found = state.of_each(entity, Comparison::read)?.into_iter();
    let compared = |(baseline, title, comparison)| ComparedEntity { baseline, title, comparison };
    Ok(found.map(compared).collect())
}

/// Reads something of an entity from the state of a baseline.
type Read<T> =
    fn(&Spec, &str, &mut dyn FnMut(&[u8]) -> Option<Vec<u8>>) -> Result<Option<T>, StateError>;

impl BaselineState<'_> {
    /// Id and title of each baseline that knows the entity, and what is read of it there.
    fn of_each<T>(
        self,
        entity: &Entity,
        read: Read<T>,
    ) -> Result<Vec<(Arc<str>, String, T)>, EngineError> {
        let stored = self.store.state();
        let mut found = Vec::new();
        for rule in self.content.baselines.iter().filter_map(|baseline| baseline.rule.as_ref()) {
            let Stage::Baseline(stage) = &rule.plan.stage else { continue };
            if stage.spec.entity != entity.kind {
                continue;
            }
            let mut failed = None;
            let entries = BaselineEntries::of(&rule.plan, self.secret);
            let mut get = |key: &[u8]| match stored.value(&entries.key(key)) {
                Ok(value) => BaselineEntries::value(&value?),
                Err(error) => {
                    failed = Some(error);
                    None
                }
            };
            let value = read(&stage.spec, &entity.id, &mut get);
            if let Some(error) = failed {
                return Err(error);
            }
            match value {
                Ok(None) => {}
                Ok(Some(value)) => {
                    found.push((rule.plan.rule.clone(), rule.rule.title.clone(), value));
                }
                // It is said when the run begins, which starts the baseline anew.
                Err(reason) => {
                    tracing::debug!(baseline = %rule.plan.rule, %reason, "state not read");
                }
            }
        }
        Ok(found)
    }
}
