//! What is known of all entities together, as of one event day: frequencies, mean counts, sizes of
//! units, calibration. All sums are integers, so that shards and their order do not matter.

use std::collections::BTreeMap;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::{Feature, FeatureKind, Policy, calibration::Calibration, entity::Scores};

/// One in fixed point: shares are kept to 2^-40.
pub(crate) const ONE: f64 = (1_u64 << 40) as f64;

/// A share in fixed point.
pub(crate) fn share(count: f64, total: f64) -> i64 {
    (count / total * ONE).round() as i64
}

/// What merging a unit, or closing one, changes in the population.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Change {
    /// An entity's share of a value.
    Share { feature: u8, group: Option<u64>, value: u64, by: i64 },
    /// How many entities have a profile of the feature.
    Entities { feature: u8, group: Option<u64>, by: i64 },
    /// An entity's mean of a window's counts, and the count that moved it.
    Window { feature: u8, window: u8, group: u8, before: Option<f64>, after: f64, count: u64 },
    /// The scores of a unit that left quarantine.
    Benign { scores: Scores, events: u64 },
    /// The size of a closed unit.
    Size(u64),
}

/// The population as of a day.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Population {
    /// The event day (days since 1970) it is for.
    pub(crate) version: i64,
    pub(crate) features: Vec<FeaturePopulation>,
    pub(crate) total: Calibration,
    pub(crate) sizes: BTreeMap<u64, u64>,
    /// Median events of a unit; 10 until one was closed.
    pub(crate) median: f64,
    /// Values that were not kept because there were too many.
    pub(crate) values_dropped: u64,
}

/// The population of one feature.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct FeaturePopulation {
    pub(crate) org: Frequencies,
    pub(crate) groups: BTreeMap<u64, Frequencies>,
    pub(crate) windows: BTreeMap<(u8, u8), WindowPopulation>,
    /// For numbers: bins ascending with the organisation's share at or below each.
    pub(crate) cumulative: Vec<(u64, f64)>,
    pub(crate) closed: Calibration,
    pub(crate) immediate: Calibration,
}

/// Sums of entities' shares.
#[derive(Clone, Debug, Default)]
pub(crate) struct Frequencies {
    pub(crate) sums: HashMap<u64, i64, FixedState>,
    pub(crate) entities: i64,
}

impl PartialEq for Frequencies {
    fn eq(&self, other: &Self) -> bool {
        self.entities == other.entities && self.sums == other.sums
    }
}

impl Frequencies {
    /// The sum of shares of a value over entities.
    pub(crate) fn sum(&self, value: u64) -> f64 {
        self.sums.get(&value).map_or(0.0, |s| *s as f64 / ONE).max(0.0)
    }

    /// The mean share of a value over entities; 0 if there are none.
    pub(crate) fn share(&self, value: u64) -> f64 {
        self.sum(value) / self.entities.max(1) as f64
    }

    /// The values that any entity has, in no order.
    pub(crate) fn values(&self) -> impl Iterator<Item = u64> + '_ {
        self.sums.iter().filter(|(_, sum)| **sum > 0).map(|(value, _)| *value)
    }

    pub(crate) fn sorted(&self) -> Vec<(u64, i64)> {
        let mut all: Vec<(u64, i64)> = self.sums.iter().map(|(v, s)| (*v, *s)).collect();
        all.sort_unstable();
        all
    }

    /// Adds to a sum; false if the value cannot be kept. A sum may be below 0 in between, since changes
    /// come in any order.
    fn change(&mut self, value: u64, by: i64, max: usize) -> bool {
        if let Some(sum) = self.sums.get_mut(&value) {
            *sum += by;
            if *sum == 0 {
                self.sums.remove(&value);
            }
            return true;
        }
        let kept = self.sums.len() < max;
        if kept && by != 0 {
            self.sums.insert(value, by);
        }
        kept
    }
}

/// Mean counts of a window over entities, and how much counts scatter around their entity's mean.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct WindowPopulation {
    pub(crate) entities: i64,
    /// Sum of means, in 1/1024.
    pub(crate) means: i64,
    /// Sum of `(count - mean)^2 - mean` and of `mean^2` over merged units, in 1/1024.
    pub(crate) excess: i128,
    pub(crate) squares: i128,
}

impl WindowPopulation {
    pub(crate) fn mean(&self) -> Option<f64> {
        (self.entities > 0).then(|| self.means as f64 / 1024.0 / self.entities as f64)
    }

    /// The moment estimate of phi in `var = mean + phi * mean^2`; 1 without units, so that a first
    /// unit is not surprising.
    pub(crate) fn dispersion(&self) -> f64 {
        if self.squares <= 0 {
            return 1.0;
        }
        (self.excess as f64 / self.squares as f64).clamp(0.05, 20.0)
    }
}

fn scaled(x: f64) -> i64 {
    // Means of counts are far below 2^52; what is not finite or larger is a defect upstream.
    (x * 1024.0).round().clamp(-9e15, 9e15) as i64
}

impl Population {
    pub(crate) fn new(features: &[Feature]) -> Self {
        Population {
            version: i64::MIN,
            features: features.iter().map(|_| FeaturePopulation::default()).collect(),
            median: 10.0,
            ..Population::default()
        }
    }

    /// Applies what shards report. The result does not depend on the order of changes.
    pub(crate) fn apply(&mut self, policy: &Policy, changes: impl IntoIterator<Item = Change>) {
        let max = policy.population_values_max;
        for change in changes {
            match change {
                Change::Size(events) => *self.sizes.entry(size_bin(events)).or_default() += 1,
                Change::Benign { scores, events } => self.benign(&scores, events),
                Change::Share { feature, group, value, by } => {
                    let Some(f) = self.features.get_mut(usize::from(feature)) else { continue };
                    let kept = f.org.change(value, by, max);
                    self.values_dropped += u64::from(!kept);
                    if let Some(group) = group {
                        f.groups.entry(group).or_default().change(value, by, max);
                    }
                }
                Change::Entities { feature, group, by } => {
                    let Some(f) = self.features.get_mut(usize::from(feature)) else { continue };
                    f.org.entities += by;
                    if let Some(group) = group {
                        f.groups.entry(group).or_default().entities += by;
                    }
                }
                Change::Window { feature, window, group, before, after, count } => {
                    let Some(f) = self.features.get_mut(usize::from(feature)) else { continue };
                    let known = f.windows.entry((window, group)).or_default();
                    known.means += scaled(after) - before.map_or(0, scaled);
                    known.entities += i64::from(before.is_none());
                    if let Some(mean) = before.filter(|m| *m > 0.0) {
                        let error = count as f64 - mean;
                        known.excess += i128::from(scaled(error * error - mean));
                        known.squares += i128::from(scaled(mean * mean));
                    }
                }
            }
        }
    }

    fn benign(&mut self, scores: &Scores, events: u64) {
        self.total.insert(scores.total, events);
        for (feature, score) in self.features.iter_mut().zip(&scores.features) {
            if let Some((closed, immediate)) = *score {
                feature.closed.insert(closed, events);
                feature.immediate.insert(immediate, events);
            }
        }
    }

    /// Makes it the version for a day.
    pub(crate) fn publish(&mut self, day: i64, declared: &[Feature]) {
        self.version = day;
        let total: u64 = self.sizes.values().sum();
        let mut seen = 0;
        for (size, count) in &self.sizes {
            seen += count;
            if 2 * seen >= total {
                self.median = *size as f64;
                break;
            }
        }
        for (feature, declared) in self.features.iter_mut().zip(declared) {
            if declared.kind == FeatureKind::Numeric {
                let mut below = 0.0;
                let sorted = feature.org.sorted().into_iter();
                feature.cumulative = sorted
                    .map(|(bin, sum)| {
                        below += sum as f64 / ONE;
                        (bin, below)
                    })
                    .collect();
            }
        }
    }
}

/// Sizes up to 64 exactly, larger ones by 16ths of a doubling.
fn size_bin(events: u64) -> u64 {
    if events <= 64 {
        return events;
    }
    let shift = events.ilog2() - 4;
    events >> shift << shift
}
