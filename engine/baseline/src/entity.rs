//! What is known of one entity: its profile and its quarantine. Not how it is scored.

use std::collections::VecDeque;

use crate::{
    Feature, FeatureKind, Policy,
    counts::ProfileCounts,
    export::Exported,
    population::{Change, share},
    unit::{ClosedFeature, ClosedUnit, OpenUnit},
};

/// An entity.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entity {
    pub(crate) profile: Vec<FeatureProfile>,
    /// Units that are not learned yet, oldest first.
    pub(crate) quarantine: VecDeque<Quarantined>,
    /// Units closed so far.
    pub(crate) closed: u32,
    /// Units merged so far.
    pub(crate) merged: u32,
    /// The session or block that is open, and its id.
    pub(crate) block: Option<(i64, OpenUnit)>,
    /// Time of the latest event.
    pub(crate) last: i64,
    /// Its peer group.
    pub(crate) group: Option<u64>,
    pub(crate) exported: Exported,
}

/// What a profile holds of a feature.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum FeatureProfile {
    Values(ProfileCounts),
    /// Ascending by (window, group).
    Windows(Vec<WindowProfile>),
}

/// How many units there were with a window of this size and group, and the sum of the largest counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct WindowProfile {
    pub(crate) window: u8,
    pub(crate) group: u8,
    pub(crate) units: f64,
    pub(crate) sum: f64,
}

/// A closed unit that waits.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Quarantined {
    pub(crate) unit: ClosedUnit,
    /// The day at whose preparation it is merged; `i64::MAX` where the number of units decides.
    pub(crate) due: i64,
    pub(crate) weight: f64,
    /// Its scores, if it was judged; they are counted as benign when it is merged.
    pub(crate) scores: Option<Scores>,
}

/// The scores of a judged unit.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scores {
    pub(crate) total: f64,
    /// Per feature: the closed and the immediate score, if the unit had a sample.
    pub(crate) features: Vec<Option<(f64, f64)>>,
}

impl Entity {
    pub(crate) fn new(features: &[Feature]) -> Self {
        let empty = |f: &Feature| match f.kind {
            FeatureKind::Count(_) | FeatureKind::Distinct(_) => FeatureProfile::Windows(Vec::new()),
            FeatureKind::Categorical
            | FeatureKind::Edge
            | FeatureKind::TimeOfWeek
            | FeatureKind::Numeric => FeatureProfile::Values(ProfileCounts::default()),
        };
        Entity {
            profile: features.iter().map(empty).collect(),
            quarantine: VecDeque::new(),
            closed: 0,
            merged: 0,
            block: None,
            last: i64::MIN,
            group: None,
            exported: Exported::NEW,
        }
    }

    /// Takes it from its group into another, with its shares.
    pub(crate) fn join(&mut self, group: Option<u64>, changes: &mut Vec<Change>) {
        for (i, profile) in self.profile.iter().enumerate() {
            if let FeatureProfile::Values(counts) = profile {
                withdraw_shares(counts, i as u8, self.group, changes);
                add_shares(counts, i as u8, group, changes);
            }
        }
        self.group = group;
    }

    /// Merges the oldest quarantined unit; what it changes in the population goes to `changes`.
    pub(crate) fn merge_oldest(
        &mut self,
        declared: &[Feature],
        policy: &Policy,
        cap: f64,
        changes: &mut Vec<Change>,
    ) {
        let Some(quarantined) = self.quarantine.pop_front() else { return };
        self.exported.change();
        self.merged += 1;
        let group = self.group;
        let unit = quarantined.unit;
        for (i, (profile, seen)) in self.profile.iter_mut().zip(&unit.features).enumerate() {
            let feature = i as u8;
            match (profile, seen) {
                (FeatureProfile::Values(counts), ClosedFeature::Values(values, other)) => {
                    if values.is_empty() && *other == 0 {
                        continue;
                    }
                    withdraw_shares(counts, feature, group, changes);
                    let is_number = declared.get(i).is_some_and(|f| f.kind == FeatureKind::Numeric);
                    let keep = (policy.profile_values_max, is_number);
                    counts.merge(values, *other, quarantined.weight, cap, keep);
                    add_shares(counts, feature, group, changes);
                }
                (FeatureProfile::Windows(windows), ClosedFeature::Windows(seen)) => {
                    for &(window, group, count) in seen {
                        merge_window(
                            windows,
                            feature,
                            (window, group, count),
                            quarantined.weight,
                            policy,
                            changes,
                        );
                    }
                }
                (FeatureProfile::Values(_) | FeatureProfile::Windows(_), _) => {}
            }
        }
        if let Some(scores) = quarantined.scores {
            changes.push(Change::Benign { scores, events: unit.events });
        }
    }

    /// Bytes of hot state, estimated from capacities.
    pub(crate) fn bytes(&self) -> usize {
        let profile: usize = self
            .profile
            .iter()
            .map(|p| match p {
                FeatureProfile::Values(counts) => counts.bytes(),
                FeatureProfile::Windows(windows) => windows.capacity() * size_of::<WindowProfile>(),
            })
            .sum();
        let quarantine: usize = self
            .quarantine
            .iter()
            .flat_map(|q| &q.unit.features)
            .map(|f| {
                size_of::<ClosedFeature>()
                    + match f {
                        ClosedFeature::Values(values, _) => size_of_val::<[_]>(values),
                        ClosedFeature::Windows(windows) => size_of_val::<[_]>(windows),
                    }
            })
            .sum();
        size_of::<Entity>()
            + self.profile.capacity() * size_of::<FeatureProfile>()
            + self.quarantine.capacity() * size_of::<Quarantined>()
            + profile
            + quarantine
    }
}

/// Takes an entity's shares out of the population.
pub(crate) fn withdraw_shares(
    counts: &ProfileCounts,
    feature: u8,
    group: Option<u64>,
    changes: &mut Vec<Change>,
) {
    shares(counts, feature, group, -1, changes);
}

/// Puts an entity's shares into the population.
pub(crate) fn add_shares(
    counts: &ProfileCounts,
    feature: u8,
    group: Option<u64>,
    changes: &mut Vec<Change>,
) {
    shares(counts, feature, group, 1, changes);
}

fn shares(
    counts: &ProfileCounts,
    feature: u8,
    group: Option<u64>,
    sign: i64,
    changes: &mut Vec<Change>,
) {
    if counts.total <= 0.0 {
        return;
    }
    changes.push(Change::Entities { feature, group, by: sign });
    changes.extend(counts.iter().map(|(value, count)| Change::Share {
        feature,
        group,
        value,
        by: sign * share(count, counts.total),
    }));
}

fn merge_window(
    windows: &mut Vec<WindowProfile>,
    feature: u8,
    (window, group, count): (u8, u8, u64),
    weight: f64,
    policy: &Policy,
    changes: &mut Vec<Change>,
) {
    let at = match windows.binary_search_by_key(&(window, group), |w| (w.window, w.group)) {
        Ok(at) => at,
        Err(at) => {
            windows.insert(at, WindowProfile { window, group, units: 0.0, sum: 0.0 });
            at
        }
    };
    let Some(known) = windows.get_mut(at) else { return };
    let before = (known.units > 0.0).then(|| known.sum / known.units);
    known.units += weight;
    known.sum += weight * count as f64;
    if known.units > policy.cap_units {
        known.sum *= policy.cap_units / known.units;
        known.units = policy.cap_units;
    }
    let after = known.sum / known.units;
    changes.push(Change::Window { feature, window, group, before, after, count });
}
