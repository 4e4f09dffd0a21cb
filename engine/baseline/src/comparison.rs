//! How an entity differs from its peer group and from the organisation, for people: shares and means of
//! each feature side by side, read from exported state. Not the state, and not how unusual a unit is.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Confidence, FeatureKind, POLICY, PeerGroup, Spec, StateError,
    codec::{StoredEntity, stored_name, stored_population},
    counts::ProfileCounts,
    entity::{FeatureProfile, WindowProfile},
    found::peer_group,
    peers::DIRECTORY,
    population::{FeaturePopulation, Frequencies, ONE},
    score::{value_text, window_text},
    shard::confidence,
    unit::bin_number,
};

/// Values listed of a feature.
const VALUES_MAX: usize = 10;
/// Shares that differ by less are the same.
const SHARE_MIN: f64 = 0.01;

/// An entity beside those that do the same work, as of an export.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// Units its profile is made of.
    pub learned: u64,
    /// How much history there is.
    pub state: Confidence,
    /// Its group; none if it is in none, or in one of fewer than five.
    pub group: Option<ComparedGroup>,
    /// Entities of the organisation that have a profile.
    pub organisation: u64,
    /// The features, in order of declaration.
    pub features: Vec<FeatureComparison>,
}

/// Whom an entity is compared with.
#[derive(Clone, Debug, PartialEq)]
pub struct ComparedGroup {
    /// Name and members, the entity itself among them.
    pub group: PeerGroup,
    /// Whether a directory says who belongs to it; else it was learned.
    pub is_told: bool,
}

/// A feature of an entity and of others.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureComparison {
    /// Its name.
    pub name: String,
    /// The word of its kind.
    pub kind: &'static str,
    /// How much of what the entity does its group does as well (without one, the organisation), from 0
    /// to 1: the sum over values of the smaller share. None of what has no shares: counts and numbers.
    pub alike: Option<f64>,
    /// Where they differ, the largest difference first, at most ten; of counts every window, of numbers
    /// the median.
    pub values: Vec<ValueComparison>,
}

/// A value, and how much of it there is.
#[derive(Clone, Debug, PartialEq)]
pub struct ValueComparison {
    /// As text; of counts the window and when, of numbers `median`.
    pub value: String,
    /// The entity's: its share, of counts the mean of the largest count in a unit, of numbers the number.
    pub own: f64,
    /// The mean of the group's members; none without a group, and of counts, which have no groups.
    pub peers: Option<f64>,
    /// The mean of all entities.
    pub organisation: f64,
}

impl Comparison {
    /// Reads it with `get`, which gives the bytes of an exported entry by its key. `None` if nothing is
    /// known of the entity.
    ///
    /// # Errors
    /// If an entry is damaged, or of another format or unit.
    pub fn read(
        spec: &Spec,
        entity: &str,
        get: &mut dyn FnMut(&[u8]) -> Option<Vec<u8>>,
    ) -> Result<Option<Comparison>, StateError> {
        let Some(StoredEntity { entity, .. }) = StoredEntity::read(spec, entity, get)? else {
            return Ok(None);
        };
        let Some(population) = stored_population(spec, get)? else { return Ok(None) };
        let mut name = |hash: u64| stored_name(hash, get);
        let group = entity.group.and_then(|id| Some((id, peer_group(id, &population, &mut name)?)));
        let id = group.as_ref().map(|(id, _)| *id);
        let profiles = population.features.iter().map(|known| known.org.entities);
        let features = spec.features.iter().zip(&entity.profile).zip(&population.features);
        let features = features.map(|((declared, profile), known)| {
            let (alike, values) = match profile {
                FeatureProfile::Values(own) if declared.kind == FeatureKind::Numeric => {
                    (None, medians(own, known, id).into_iter().collect())
                }
                FeatureProfile::Values(own) => shares(&declared.kind, own, known, id, &mut name),
                FeatureProfile::Windows(own) => (None, means(&declared.kind, own, known)),
            };
            let (name, kind) = (declared.name.to_string(), declared.kind.name());
            FeatureComparison { name, kind, alike, values }
        });
        Ok(Some(Comparison {
            learned: entity.merged.into(),
            state: confidence(&entity, &POLICY),
            features: features.collect(),
            organisation: profiles.max().unwrap_or(0).max(0) as u64,
            group: group.map(|(id, group)| ComparedGroup { group, is_told: id & DIRECTORY != 0 }),
        }))
    }
}

/// How alike shares are, and the values whose shares differ most. Nothing of an entity that has none.
fn shares(
    kind: &FeatureKind,
    own: &ProfileCounts,
    known: &FeaturePopulation,
    group: Option<u64>,
    name: &mut dyn FnMut(u64) -> Option<String>,
) -> (Option<f64>, Vec<ValueComparison>) {
    if own.total <= 0.0 {
        return (None, Vec::new());
    }
    let group = group.and_then(|id| known.groups.get(&id));
    let others = group.unwrap_or(&known.org);
    let all: BTreeSet<u64> = own.iter().map(|(value, _)| value).chain(others.values()).collect();
    let mut alike = 0.0;
    let mut found: Vec<(f64, u64, f64)> = Vec::new();
    for value in all {
        let (mine, theirs) = (own.get(value) / own.total, others.share(value));
        alike += mine.min(theirs);
        if (mine - theirs).abs() >= SHARE_MIN {
            found.push(((mine - theirs).abs(), value, mine));
        }
    }
    found.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    found.truncate(VALUES_MAX);
    let values = found.into_iter().map(|(_, value, mine)| ValueComparison {
        value: value_text(kind, value, name),
        own: mine,
        peers: group.map(|group| group.share(value)),
        organisation: known.org.share(value),
    });
    let values = values.collect();
    (Some(alike.clamp(0.0, 1.0)), values)
}

/// Mean counts of each window that the entity has.
fn means(
    kind: &FeatureKind,
    own: &[WindowProfile],
    known: &FeaturePopulation,
) -> Vec<ValueComparison> {
    let windows = own.iter().filter(|w| w.units > 0.0);
    let compared = windows.filter_map(|w| {
        let organisation = known.windows.get(&(w.window, w.group))?.mean()?;
        let value = window_text(kind, w.window, w.group);
        Some(ValueComparison { value, own: w.sum / w.units, peers: None, organisation })
    });
    compared.collect()
}

/// The median number of each.
fn medians(
    own: &ProfileCounts,
    known: &FeaturePopulation,
    group: Option<u64>,
) -> Option<ValueComparison> {
    let of = |others: &Frequencies| {
        median(others.sorted().into_iter().map(|(bin, sum)| (bin, sum as f64 / ONE)))
    };
    Some(ValueComparison {
        value: "median".to_owned(),
        own: median(own.iter())?,
        peers: group.and_then(|id| known.groups.get(&id)).and_then(of),
        organisation: of(&known.org)?,
    })
}

/// The number that half of the weight is at or below. Bins are in the order of their numbers.
fn median(bins: impl Iterator<Item = (u64, f64)>) -> Option<f64> {
    let bins: BTreeMap<u64, f64> = bins.filter(|(_, weight)| *weight > 0.0).collect();
    let half = bins.values().sum::<f64>() / 2.0;
    let mut below = 0.0;
    let at = bins.iter().find(|(_, weight)| {
        below += **weight;
        below >= half
    });
    at.map(|(bin, _)| bin_number(*bin))
}
