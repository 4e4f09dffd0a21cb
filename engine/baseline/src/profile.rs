//! What is known of an entity, for people: usual and recent values of each feature, read from exported
//! state. Not the state, and not how it is scored.

use std::collections::BTreeMap;

use crate::{
    Confidence, POLICY, Spec, StateError,
    codec::StoredEntity,
    entity::FeatureProfile,
    score::{value_text, window_text},
    shard::confidence,
    unit::{ClosedFeature, ClosedUnit},
};

/// Values listed of a feature, of each sort.
const VALUES_MAX: usize = 10;

/// The profile of an entity as of an export.
#[derive(Clone, Debug, PartialEq)]
pub struct EntityProfile {
    /// Units it is made of.
    pub learned: u64,
    /// Units that are closed and not learned yet, and open ones.
    pub waiting: u64,
    /// How much history there is.
    pub state: Confidence,
    /// The features, in order of declaration.
    pub features: Vec<FeatureValues>,
}

/// What is known of a feature.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureValues {
    /// Its name.
    pub name: String,
    /// The word of its kind.
    pub kind: &'static str,
    /// What is learned, most frequent first, at most ten.
    pub usual: Vec<UsualValue>,
    /// What is in units that are not learned yet, most frequent first, at most ten.
    pub recent: Vec<RecentValue>,
}

/// A value of the profile.
#[derive(Clone, Debug, PartialEq)]
pub struct UsualValue {
    /// As text; of counts the window and when.
    pub value: String,
    /// How often, decayed; of counts the mean of the largest count in a unit.
    pub seen: f64,
    /// Its share of all; of counts how many units it is the mean of, decayed.
    pub of: f64,
}

/// A value that is not learned yet.
#[derive(Clone, Debug, PartialEq)]
pub struct RecentValue {
    /// As in [`UsualValue`].
    pub value: String,
    /// How often; of counts the largest.
    pub count: u64,
}

impl EntityProfile {
    /// Reads it with `get`, which gives the bytes of an exported entry by its key. `None` if nothing is
    /// known of the entity.
    ///
    /// # Errors
    /// If an entry is damaged, or of another format or unit.
    pub fn read(
        spec: &Spec,
        entity: &str,
        get: &mut dyn FnMut(&[u8]) -> Option<Vec<u8>>,
    ) -> Result<Option<EntityProfile>, StateError> {
        let Some(stored) = StoredEntity::read(spec, entity, get)? else { return Ok(None) };
        let StoredEntity { entity, open } = stored;
        let waiting: Vec<&ClosedUnit> =
            entity.quarantine.iter().map(|q| &q.unit).chain(&open).collect();
        let mut name = |hash: u64| crate::codec::stored_name(hash, get);
        let features = spec.features.iter().enumerate().map(|(at, feature)| {
            let kind = &feature.kind;
            let mut text = |value: u64| value_text(kind, value, &mut name);
            let usual = match entity.profile.get(at) {
                Some(FeatureProfile::Values(counts)) => {
                    let mut all: Vec<(u64, f64)> = counts.iter().collect();
                    all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
                    all.truncate(VALUES_MAX);
                    let usual =
                        |(value, seen)| UsualValue { value: text(value), seen, of: counts.total };
                    all.into_iter().map(usual).collect()
                }
                Some(FeatureProfile::Windows(windows)) => windows
                    .iter()
                    .take(VALUES_MAX)
                    .map(|w| UsualValue {
                        value: window_text(kind, w.window, w.group),
                        seen: w.sum / w.units.max(f64::MIN_POSITIVE),
                        of: w.units,
                    })
                    .collect(),
                None => Vec::new(),
            };
            let mut values: BTreeMap<u64, u64> = BTreeMap::new();
            let mut windows: BTreeMap<(u8, u8), u64> = BTreeMap::new();
            for seen in waiting.iter().filter_map(|unit| unit.features.get(at)) {
                match seen {
                    ClosedFeature::Values(counts, _) => {
                        for (value, count) in counts {
                            *values.entry(*value).or_default() += u64::from(*count);
                        }
                    }
                    ClosedFeature::Windows(counts) => {
                        for (window, group, count) in counts {
                            let most = windows.entry((*window, *group)).or_default();
                            *most = (*most).max(*count);
                        }
                    }
                }
            }
            let mut values: Vec<(u64, u64)> = values.into_iter().collect();
            values.sort_by_key(|(value, count)| (std::cmp::Reverse(*count), *value));
            values.truncate(VALUES_MAX);
            let counted = |(value, count)| RecentValue { value: text(value), count };
            let mut recent: Vec<RecentValue> = values.into_iter().map(counted).collect();
            recent.extend(windows.into_iter().take(VALUES_MAX).map(|((window, group), count)| {
                RecentValue { value: window_text(kind, window, group), count }
            }));
            let (name, kind) = (feature.name.to_string(), kind.name());
            FeatureValues { name, kind, usual, recent }
        });
        let features = features.collect();
        Ok(Some(EntityProfile {
            learned: entity.merged.into(),
            waiting: waiting.len() as u64,
            state: confidence(&entity, &POLICY),
            features,
        }))
    }
}
