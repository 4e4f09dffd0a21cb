//! What baselines know of an entity, as of the last checkpoint. Nothing running is asked, so that
//! reading delays no event.

use std::sync::Arc;

use sluice_baseline::EntityProfile;
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

/// The profiles of an entity, of each baseline that knows it.
pub(crate) fn profiles(
    content: &Content,
    store: &FindingStore,
    secret: &[u8; 16],
    entity: &Entity,
) -> Result<Vec<KnownEntity>, EngineError> {
    let state = store.state();
    let mut found = Vec::new();
    for rule in content.baselines.iter().filter_map(|baseline| baseline.rule.as_ref()) {
        let Stage::Baseline(stage) = &rule.plan.stage else { continue };
        if stage.spec.entity != entity.kind {
            continue;
        }
        let mut failed = None;
        let entries = BaselineEntries::of(&rule.plan, secret);
        let mut get = |key: &[u8]| match state.value(&entries.key(key)) {
            Ok(value) => BaselineEntries::value(&value?),
            Err(error) => {
                failed = Some(error);
                None
            }
        };
        let read = EntityProfile::read(&stage.spec, &entity.id, &mut get);
        if let Some(error) = failed {
            return Err(error);
        }
        match read {
            Ok(None) => {}
            Ok(Some(profile)) => found.push(KnownEntity {
                baseline: rule.plan.rule.clone(),
                title: rule.rule.title.clone(),
                profile,
            }),
            // It is said when the run begins, which starts the baseline anew.
            Err(reason) => tracing::debug!(baseline = %rule.plan.rule, %reason, "state not read"),
        }
    }
    Ok(found)
}
