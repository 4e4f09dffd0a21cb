//! Counts of values: exact and bounded in an open unit, decayed and bounded in a profile. Not what
//! the values mean.

use std::collections::BTreeMap;

/// Counts of one unit. Over the bound the largest hashes are folded into `other`, so that what is
/// kept does not depend on the order of arrival.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct UnitCounts {
    pub(crate) values: BTreeMap<u64, u32>,
    /// Occurrences of values that are not kept.
    pub(crate) other: u64,
}

impl UnitCounts {
    /// Whether the value is kept and was not before.
    pub(crate) fn add(&mut self, value: u64, max: usize) -> bool {
        if let Some(count) = self.values.get_mut(&value) {
            *count = count.saturating_add(1);
            return false;
        }
        if self.values.len() < max {
            self.values.insert(value, 1);
            return true;
        }
        match self.values.last_key_value() {
            Some((&largest, &count)) if largest > value => {
                self.values.remove(&largest);
                self.values.insert(value, 1);
                self.other += u64::from(count);
                true
            }
            _ => {
                self.other += 1;
                false
            }
        }
    }
}

/// Different values seen: exact up to `K`, beyond it an estimate from the K smallest hashes (Bar-Yossef
/// et al. 2002), whatever the order of arrival.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DistinctSet {
    /// Ascending.
    pub(crate) smallest: Vec<u64>,
    pub(crate) full: bool,
}

impl DistinctSet {
    const K: usize = 64;

    pub(crate) fn add(&mut self, value: u64) {
        if let Err(at) = self.smallest.binary_search(&value) {
            if at < Self::K {
                self.smallest.insert(at, value);
            }
            if at >= Self::K || self.smallest.len() > Self::K {
                self.smallest.truncate(Self::K);
                self.full = true;
            }
        }
    }

    pub(crate) fn estimate(&self) -> u64 {
        match self.smallest.last() {
            Some(&largest) if self.full => {
                let share = (largest as f64 + 1.0) / (u64::MAX as f64);
                ((Self::K as f64 - 1.0) / share).round() as u64
            }
            _ => self.smallest.len() as u64,
        }
    }
}

/// Decayed counts of a profile, ascending by value.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ProfileCounts {
    values: Vec<u64>,
    counts: Vec<f32>,
    /// All mass, that of values no longer kept included.
    pub(crate) total: f64,
}

impl ProfileCounts {
    pub(crate) fn get(&self, value: u64) -> f64 {
        let at = self.values.binary_search(&value).ok();
        at.and_then(|i| self.counts.get(i)).map_or(0.0, |c| f64::from(*c))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, f64)> + '_ {
        self.values.iter().zip(&self.counts).map(|(v, c)| (*v, f64::from(*c)))
    }

    /// Adds `weight` times the counts, keeps at most `max` values and scales down to `cap`.
    pub(crate) fn merge(
        &mut self,
        unit: &[(u64, u32)],
        other: u64,
        weight: f64,
        cap: f64,
        max: usize,
    ) {
        for &(value, count) in unit {
            let added = (weight * f64::from(count)) as f32;
            match self.values.binary_search(&value) {
                Ok(at) => {
                    if let Some(count) = self.counts.get_mut(at) {
                        *count += added;
                    }
                }
                Err(at) => {
                    self.values.insert(at, value);
                    self.counts.insert(at, added);
                }
            }
            self.total += f64::from(added);
        }
        self.total += weight * other as f64;
        if self.values.len() > max {
            self.keep_largest(max);
        }
        if self.total > cap {
            let scale = cap / self.total;
            for count in &mut self.counts {
                *count = (f64::from(*count) * scale) as f32;
            }
            self.total = cap;
        }
    }

    /// Drops the smallest counts, the larger hash first among equals; their mass stays in `total`.
    fn keep_largest(&mut self, max: usize) {
        let mut order: Vec<(u64, f32)> =
            self.values.iter().copied().zip(self.counts.iter().copied()).collect();
        order.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        order.truncate(max);
        order.sort_by_key(|(value, _)| *value);
        (self.values, self.counts) = order.into_iter().unzip();
    }

    pub(crate) fn from_parts(values: Vec<u64>, counts: Vec<f32>, total: f64) -> Self {
        ProfileCounts { values, counts, total }
    }

    pub(crate) fn parts(&self) -> (&[u64], &[f32]) {
        (&self.values, &self.counts)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.values.capacity() * 8 + self.counts.capacity() * 4
    }
}
