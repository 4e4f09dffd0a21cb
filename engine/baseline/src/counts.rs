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

    /// The same for bins of numbers, of which the least and the largest are always kept, and of those
    /// between them the ones with the smallest hashes: a sample that the order of arrival does not
    /// change. Whether it is beyond all before it.
    pub(crate) fn add_number(&mut self, bin: u64, max: usize) -> bool {
        if let Some(count) = self.values.get_mut(&bin) {
            *count = count.saturating_add(1);
            return false;
        }
        let within = |(least, largest): (&u64, &u64)| *least < bin && bin < *largest;
        let range = self.values.first_key_value().zip(self.values.last_key_value());
        let is_beyond = !range.is_some_and(|((least, _), (largest, _))| within((least, largest)));
        self.values.insert(bin, 1);
        if self.values.len() > max.max(3) {
            let between = self.values.keys().skip(1).take(self.values.len() - 2);
            let gone = between.copied().max_by_key(|bin| scattered(*bin));
            let count = gone.and_then(|gone| self.values.remove(&gone));
            self.other += u64::from(count.unwrap_or_default());
        }
        is_beyond
    }
}

/// A one-to-one scattering of bins (the finaliser of SplitMix64), so that a sample by it is even.
pub(crate) fn scattered(bin: u64) -> u64 {
    let x = (bin ^ (bin >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
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

    /// The nearest values at or below, and at or above.
    pub(crate) fn neighbours(&self, value: u64) -> (Option<u64>, Option<u64>) {
        let at = self.values.partition_point(|known| *known < value);
        let above = self.values.get(at).copied();
        let below = at.checked_sub(1).and_then(|i| self.values.get(i).copied());
        (above.filter(|known| *known == value).or(below), above)
    }

    /// Adds `weight` times the counts, keeps at most `max` values and scales down to `cap`. Of bins of
    /// numbers (`ordered`) the two nearest become one, of other values the rarest go.
    pub(crate) fn merge(
        &mut self,
        unit: &[(u64, u32)],
        other: u64,
        weight: f64,
        cap: f64,
        (max, ordered): (usize, bool),
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
        while ordered && self.values.len() > max.max(3) {
            self.join_nearest();
        }
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
        // Growing doubles the room; most entities stay as they are for days.
        if self.values.capacity() > self.values.len() + self.values.len() / 8 {
            self.values.shrink_to_fit();
            self.counts.shrink_to_fit();
        }
    }

    /// Makes one of the two nearest bins, the lower pair among equals: the one with more, or the end of
    /// the range.
    fn join_nearest(&mut self) {
        let gaps = self.values.windows(2).enumerate().filter_map(|(at, pair)| match pair {
            [low, high] => Some((high - low, at)),
            _ => None,
        });
        let Some((_, at)) = gaps.min() else { return };
        let (low, high) = (at, at + 1);
        let count = |i: usize| self.counts.get(i).copied().unwrap_or_default();
        let keeps_low = low == 0 || (high + 1 < self.values.len() && count(low) >= count(high));
        let (kept, gone) = if keeps_low { (low, high) } else { (high, low) };
        let sum = count(low) + count(high);
        if let Some(count) = self.counts.get_mut(kept) {
            *count = sum;
        }
        self.values.remove(gone);
        self.counts.remove(gone);
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
