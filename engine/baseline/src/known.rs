//! What a baseline knows, read from exported state for who asks: the values of an entity, and how unusual
//! a value would be. Not a baseline that goes on, and not the score of a unit.
//!
//! What is read is as of the export. Units in quarantine are no part of it, and neither are changes that
//! the population has not been told: both come with the next days.

use std::sync::Arc;

use crate::{
    Confidence, POLICY, Sample, Spec, StateError,
    codec::{Edit, entity_key, entity_name, read_entity_entry, read_known, read_text, text_key},
    entity::{Entity, FeatureProfile},
    peers::MEMBERS_MIN,
    population::Population,
    score::{View, surprise_of, value_text, window_text},
    shard::confidence,
};

/// A baseline as of an export.
#[derive(Clone, Debug)]
pub struct Known {
    spec: Spec,
    population: Population,
    /// What was edited in the declaration since.
    edit: Option<Edit>,
}

/// An entity as of an export.
#[derive(Clone, Debug)]
pub struct KnownEntity(Entity);

/// What is known of a value of an entity.
#[derive(Clone, Debug, PartialEq)]
pub struct KnownValue {
    /// The feature.
    pub feature: Arc<str>,
    /// As text: `#` and its hash where the text was not kept; of counts the window and when.
    pub value: String,
    /// Occurrences, decayed; of counts the mean of the largest count in a unit.
    pub count: f64,
    /// Its share of the entity's occurrences; `None` for counts, as the next two.
    pub share: Option<f64>,
    /// Its share among peers; `None` too where the entity has none.
    pub peer_share: Option<f64>,
    /// Its share in the organisation.
    pub org_share: Option<f64>,
    /// How much of a score rests on the entity's own history, 0 to 1.
    pub confidence: f64,
}

impl Known {
    /// Reads it with `get`, which gives the bytes of an exported entry by its key. `None` if nothing was
    /// exported.
    ///
    /// # Errors
    /// If an entry is damaged, or of another format or unit.
    pub fn read(
        spec: &Spec,
        get: &mut dyn FnMut(&[u8]) -> Option<Vec<u8>>,
    ) -> Result<Option<Known>, StateError> {
        let Some((edit, population)) = read_known(spec, get)? else { return Ok(None) };
        Ok(Some(Known { spec: spec.clone(), population, edit }))
    }

    /// The key of the entry of an entity.
    pub fn entity_key(name: &str) -> Vec<u8> {
        entity_key(name)
    }

    /// The name of the entity that an entry is of; `None` if it is of something else.
    pub fn entity_name(key: &[u8]) -> Option<&str> {
        entity_name(key)
    }

    /// The key of the entry that has the text of a value.
    pub fn text_key(hash: u64) -> Vec<u8> {
        text_key(hash)
    }

    /// The text of such an entry.
    pub fn text(bytes: &[u8]) -> Option<String> {
        read_text(bytes)
    }

    /// Reads the entry of an entity.
    ///
    /// # Errors
    /// If it is damaged.
    pub fn entity(&self, bytes: &[u8]) -> Result<KnownEntity, StateError> {
        Ok(KnownEntity(read_entity_entry(bytes, self.edit.as_ref())?))
    }

    /// An entity of which nothing is known.
    pub fn stranger(&self) -> KnownEntity {
        KnownEntity(Entity::new(&self.spec.features))
    }

    /// Everything that is learned of an entity, by feature and value. `text` gives the text of a value by
    /// its hash.
    pub fn values(
        &self,
        KnownEntity(entity): &KnownEntity,
        text: &mut dyn FnMut(u64) -> Option<String>,
    ) -> Vec<KnownValue> {
        let mut out = Vec::new();
        let features = self.spec.features.iter().zip(&entity.profile);
        for ((declared, profile), known) in features.zip(&self.population.features) {
            let feature = || declared.name.clone();
            match profile {
                FeatureProfile::Values(counts) => {
                    let prior = POLICY.prior_units * self.population.median;
                    let view = View {
                        declared,
                        profile: counts,
                        known,
                        group: entity.group,
                        prior,
                        policy: &POLICY,
                    };
                    let group = entity.group.and_then(|group| known.groups.get(&group));
                    let has_peers = group.is_some_and(|group| group.entities >= MEMBERS_MIN);
                    out.extend(counts.iter().map(|(value, count)| {
                        let input = view.input(value);
                        KnownValue {
                            feature: feature(),
                            value: value_text(&declared.kind, value, text),
                            count,
                            share: Some(count / counts.total),
                            peer_share: has_peers.then_some(input.peers),
                            org_share: Some(input.organisation),
                            confidence: counts.total / (counts.total + prior),
                        }
                    }));
                }
                FeatureProfile::Windows(windows) => {
                    out.extend(windows.iter().map(|w| KnownValue {
                        feature: feature(),
                        value: window_text(&declared.kind, w.window, w.group),
                        count: w.sum / w.units.max(f64::MIN_POSITIVE),
                        share: None,
                        peer_share: None,
                        org_share: None,
                        confidence: w.units / (w.units + POLICY.count_prior),
                    }))
                }
            }
        }
        out
    }

    /// [`Baseline::surprise`](crate::Baseline::surprise) as of the export.
    pub fn surprise(
        &self,
        KnownEntity(entity): &KnownEntity,
        feature: &str,
        time: i64,
        sample: Sample<'_>,
    ) -> Option<f64> {
        surprise_of(&self.spec, &POLICY, &self.population, entity, (feature, time, sample))
    }
}

impl KnownEntity {
    /// How much history there is.
    pub fn state(&self) -> Confidence {
        confidence(&self.0, &POLICY)
    }

    /// Time of its latest row, milliseconds.
    pub fn last(&self) -> i64 {
        self.0.last
    }
}
