//! The evidence of one unit: while it is open, and when it is closed. Not its score.

use std::collections::BTreeMap;

use foldhash::fast::FixedState;
use hashbrown::HashSet;

use crate::{
    Feature, FeatureKind, Policy,
    counts::{DistinctSet, UnitCounts, scattered},
    export::Exported,
    row::window_group,
};

/// An open unit of an entity. Adding rows in any order gives the same evidence.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OpenUnit {
    pub(crate) events: u64,
    pub(crate) first: i64,
    pub(crate) last: i64,
    /// Whether it is to be looked at.
    pub(crate) is_touched: bool,
    /// Its events when it was last looked at.
    pub(crate) looked_at: u64,
    /// The surprise of the anomaly that was reported of it, if one was.
    pub(crate) reported: Option<f64>,
    /// The group of a directory in its last row that has one, and the time of that row.
    pub(crate) peers: Option<(i64, u64)>,
    pub(crate) exported: Exported,
    pub(crate) features: Vec<OpenFeature>,
    /// The rows it has, by the hour of the day they are of, so that one that comes again is known. Of day
    /// units.
    pub(crate) seen: BTreeMap<u8, SeenRows>,
}

/// Rows of an hour, by 64 bits of their uids.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SeenRows {
    pub(crate) uids: HashSet<u64, FixedState>,
    pub(crate) exported: Exported,
}

/// What an open unit keeps of a feature. A window is (its index in the declaration, its number since
/// 1970).
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum OpenFeature {
    Values(UnitCounts),
    Counts(BTreeMap<(u8, i64), u64>),
    Sets(BTreeMap<(u8, i64), DistinctSet>),
}

/// A closed unit, as it waits in quarantine.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ClosedUnit {
    /// Start of the day or session in milliseconds, or the number of the block.
    pub(crate) id: i64,
    pub(crate) events: u64,
    /// Time of the last event.
    pub(crate) last: i64,
    pub(crate) features: Vec<ClosedFeature>,
}

/// The evidence of a feature in a closed unit.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ClosedFeature {
    /// Counts by value (numbers: by log bin), ascending, and of values that were not kept.
    Values(Box<[(u64, u32)]>, u64),
    /// (window, group of windows, the largest count in it), ascending.
    Windows(Box<[(u8, u8, u64)]>),
}

impl OpenUnit {
    pub(crate) fn new(features: &[Feature]) -> Self {
        let empty = |f: &Feature| match f.kind {
            FeatureKind::Count(_) => OpenFeature::Counts(BTreeMap::new()),
            FeatureKind::Distinct(_) => OpenFeature::Sets(BTreeMap::new()),
            FeatureKind::Categorical
            | FeatureKind::Edge
            | FeatureKind::TimeOfWeek
            | FeatureKind::Numeric => OpenFeature::Values(UnitCounts::default()),
        };
        let features = features.iter().map(empty).collect();
        OpenUnit {
            events: 0,
            first: i64::MAX,
            last: i64::MIN,
            is_touched: false,
            looked_at: 0,
            reported: None,
            peers: None,
            exported: Exported::NEW,
            features,
            seen: BTreeMap::new(),
        }
    }

    /// Whether the row is there already.
    pub(crate) fn has(&self, time: i64, uid: u128) -> bool {
        self.seen.get(&hour(time)).is_some_and(|seen| seen.uids.contains(&short(uid)))
    }

    /// Remembers a row.
    pub(crate) fn remember(&mut self, time: i64, uid: u128) {
        let empty = || SeenRows { uids: HashSet::default(), exported: Exported::NEW };
        let seen = self.seen.entry(hour(time)).or_insert_with(empty);
        seen.uids.insert(short(uid));
        seen.exported.change();
    }

    /// Rows that are remembered.
    pub(crate) fn remembered(&self) -> usize {
        self.seen.values().map(|seen| seen.uids.len()).sum()
    }

    /// Adds a row, with the key of its peer group behind those of its features; whether it is worth a look:
    /// it has a value that is new in the unit and may be unusual, which `may_be_unusual` says of a feature's
    /// place and the value, or there are a quarter more rows than at the last look. So a busy unit is not
    /// scored with every row.
    pub(crate) fn add(
        &mut self,
        declared: &[Feature],
        policy: &Policy,
        time: i64,
        keys: &[Option<u64>],
        may_be_unusual: impl Fn(usize, u64) -> bool,
    ) -> bool {
        let mut is_news = false;
        self.exported.change();
        self.events += 1;
        self.first = self.first.min(time);
        self.last = self.last.max(time);
        let peers = keys.get(declared.len()).copied().flatten();
        self.peers = self.peers.max(peers.map(|group| (time, group)));
        let features = self.features.iter_mut().zip(declared).zip(keys);
        for (at, ((open, feature), key)) in features.enumerate() {
            let Some(key) = *key else { continue };
            match (open, &feature.kind) {
                (OpenFeature::Values(counts), FeatureKind::Numeric) => {
                    let bin = number_bin(f64::from_bits(key));
                    is_news |= counts.add_number(bin, policy.unit_values_max);
                }
                (OpenFeature::Values(counts), _) => {
                    let is_new = counts.add(key, policy.unit_values_max);
                    is_news |= is_new && may_be_unusual(at, key);
                }
                (OpenFeature::Counts(windows), FeatureKind::Count(sizes)) => {
                    for (i, size) in sizes.iter().enumerate() {
                        *windows.entry((i as u8, time.div_euclid(*size))).or_default() += 1;
                    }
                }
                (OpenFeature::Sets(windows), FeatureKind::Distinct(sizes)) => {
                    for (i, size) in sizes.iter().enumerate() {
                        windows.entry((i as u8, time.div_euclid(*size))).or_default().add(key);
                    }
                }
                (OpenFeature::Counts(_) | OpenFeature::Sets(_), _) => {}
            }
        }
        is_news || self.events > self.looked_at + self.looked_at / 4
    }

    pub(crate) fn close(&self, declared: &[Feature], id: i64) -> ClosedUnit {
        let features = self
            .features
            .iter()
            .zip(declared)
            .map(|(open, feature)| match (open, &feature.kind) {
                (OpenFeature::Values(counts), _) => ClosedFeature::Values(
                    counts.values.iter().map(|(v, c)| (*v, *c)).collect(),
                    counts.other,
                ),
                (OpenFeature::Counts(windows), FeatureKind::Count(sizes)) => {
                    largest(sizes, windows.iter().map(|(w, count)| (*w, *count)))
                }
                (OpenFeature::Sets(windows), FeatureKind::Distinct(sizes)) => {
                    largest(sizes, windows.iter().map(|(w, set)| (*w, set.estimate())))
                }
                (OpenFeature::Counts(_) | OpenFeature::Sets(_), _) => {
                    ClosedFeature::Windows(Box::default())
                }
            })
            .collect();
        ClosedUnit { id, events: self.events, last: self.last, features }
    }
}

/// 64 bits that depend on all of a uid.
fn short(uid: u128) -> u64 {
    scattered((uid >> 64) as u64) ^ uid as u64
}

fn hour(time: i64) -> u8 {
    (time.rem_euclid(86_400_000) / 3_600_000) as u8
}

fn largest(sizes: &[i64], windows: impl Iterator<Item = ((u8, i64), u64)>) -> ClosedFeature {
    let mut found: BTreeMap<(u8, u8), u64> = BTreeMap::new();
    for ((window, slot), count) in windows {
        let size = sizes.get(usize::from(window)).copied().unwrap_or(1);
        let group = window_group(slot.saturating_mul(size));
        let most = found.entry((window, group)).or_default();
        *most = (*most).max(count);
    }
    ClosedFeature::Windows(found.into_iter().map(|((w, g), k)| (w, g, k)).collect())
}

/// The bin of a number: its sign, power of two and the first four bits behind, so 16 bins for each
/// doubling. Bins are in the order of the numbers.
pub(crate) fn number_bin(x: f64) -> u64 {
    let bits = (x + 0.0).to_bits();
    let ordered = if bits >> 63 == 1 { !bits } else { bits | 1 << 63 };
    ordered >> 48
}

/// The smallest number of a bin, for people.
pub(crate) fn bin_number(bin: u64) -> f64 {
    let ordered = bin << 48;
    f64::from_bits(if ordered >> 63 == 1 { ordered ^ 1 << 63 } else { !ordered })
}
