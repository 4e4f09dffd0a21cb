//! All indexed tests of one numeric column at once.

use arrow::{
    array::{Array, Int64Array},
    compute,
};
use hashbrown::HashMap;

use super::{AtomId, check::Check};

/// The indexed tests of one numeric column.
#[derive(Debug, Default)]
pub(super) struct NumberIndex {
    equal: HashMap<i64, Vec<AtomId>, foldhash::fast::RandomState>,
    /// `x >= low`, ascending: those up to the greatest value of the batch are TRUE somewhere.
    from: Vec<(i64, AtomId)>,
    /// `x <= high`, descending: likewise, down to the least value.
    to: Vec<(i64, AtomId)>,
}

impl NumberIndex {
    /// The index of tests that are all indexable.
    pub(super) fn new<'a>(tests: impl Iterator<Item = (AtomId, &'a Check)>) -> Self {
        let mut index = NumberIndex::default();
        for (atom, check) in tests {
            match check {
                Check::OneOf(values) => {
                    values.iter().for_each(|v| index.equal.entry(*v).or_default().push(atom));
                }
                Check::Between(low, high) if low == high => {
                    index.equal.entry(*low).or_default().push(atom);
                }
                Check::Between(i64::MIN, high) => index.to.push((*high, atom)),
                Check::Between(low, i64::MAX) => index.from.push((*low, atom)),
                // An empty range is TRUE nowhere.
                Check::Between(..)
                | Check::IsNull
                | Check::IsPresent
                | Check::Unfit
                | Check::Text(_) => {}
            }
        }
        index.from.sort_unstable();
        index.to.sort_unstable_by(|a, b| b.cmp(a));
        index
    }

    /// Calls `hit` with each equality that is TRUE and the row.
    pub(super) fn equalities(&self, numbers: &Int64Array, mut hit: impl FnMut(AtomId, usize)) {
        if self.equal.is_empty() {
            return;
        }
        // Runs of one value are common: look it up once.
        let mut last: (i64, Option<&Vec<AtomId>>) = (0, self.equal.get(&0));
        for (row, value) in numbers.values().iter().enumerate() {
            if *value != last.0 {
                last = (*value, self.equal.get(value));
            }
            if let Some(atoms) = last.1
                && numbers.is_valid(row)
            {
                atoms.iter().for_each(|a| hit(*a, row));
            }
        }
    }

    /// The ranges that are TRUE on some row.
    pub(super) fn ranges(&self, numbers: &Int64Array, out: &mut Vec<AtomId>) {
        if self.from.is_empty() && self.to.is_empty() {
            return;
        }
        let (Some(least), Some(greatest)) = (compute::min(numbers), compute::max(numbers)) else {
            return;
        };
        let from = self.from.partition_point(|(low, _)| *low <= greatest);
        let to = self.to.partition_point(|(high, _)| *high >= least);
        out.extend(self.from[..from].iter().chain(&self.to[..to]).map(|(_, atom)| *atom));
    }
}
