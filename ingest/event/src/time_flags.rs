//! What is wrong with the times of some events, as a set of the values of `time_flag`. Not how a time is judged:
//! that is [`clamp`](crate::clamp).

use std::ops::{BitOr, BitOrAssign};

/// Which values of `time_flag` some events have. Their times are not those that they claim, or may not
/// be, so that a burst of such events may be none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeFlags(u8);

impl TimeFlags {
    /// No event has any.
    pub const NONE: TimeFlags = TimeFlags(0);
    /// How many values there are.
    pub const COUNT: usize = NAMES.len();

    /// The set of one value; none if `time_flag` has no such value.
    pub fn of(name: &str) -> TimeFlags {
        let place = NAMES.iter().position(|known| *known == name);
        TimeFlags(place.map_or(0, |place| 1 << place))
    }

    /// Whether no event has any.
    pub fn is_none(self) -> bool {
        self == TimeFlags::NONE
    }

    /// The values, in name order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        self.places().filter_map(|place| NAMES.get(place).copied())
    }

    /// The places of its values, each below [`COUNT`](TimeFlags::COUNT).
    pub fn places(self) -> impl Iterator<Item = usize> {
        (0..TimeFlags::COUNT).filter(move |place| self.0 >> place & 1 == 1)
    }

    /// The set of the values at these places.
    pub fn at(places: impl IntoIterator<Item = usize>) -> TimeFlags {
        let known = places.into_iter().filter(|place| *place < TimeFlags::COUNT);
        TimeFlags(known.fold(0, |bits, place| bits | 1 << place))
    }

    /// A bit for each value, in the lowest [`COUNT`](TimeFlags::COUNT).
    pub fn bits(self) -> u8 {
        self.0
    }

    /// From bits, others left out.
    pub fn from_bits(bits: u8) -> TimeFlags {
        TimeFlags(bits & ((1 << TimeFlags::COUNT) - 1))
    }
}

/// In name order; their places are stored and never change.
const NAMES: [&str; 5] = ["ambiguous", "future", "invalid", "missing", "skipped"];

impl BitOr for TimeFlags {
    type Output = TimeFlags;

    fn bitor(self, other: TimeFlags) -> TimeFlags {
        TimeFlags(self.0 | other.0)
    }
}

impl BitOrAssign for TimeFlags {
    fn bitor_assign(&mut self, other: TimeFlags) {
        *self = *self | other;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Schema, clamp};

    #[test]
    fn every_flag_of_a_clamped_time_has_a_place() {
        let mut all = TimeFlags::NONE;
        for time in [None, Some(-1), Some(i64::MAX)] {
            let flag = clamp(time, 1_000, 300).flag.unwrap();
            let own = TimeFlags::of(flag);
            assert_eq!(own.names().collect::<Vec<_>>(), [flag]);
            assert_eq!(TimeFlags::at(own.places()), own);
            all |= own;
        }
        assert_eq!(all.names().collect::<Vec<_>>(), ["future", "invalid", "missing"]);
        assert_eq!(TimeFlags::from_bits(all.bits()), all);
        let every = TimeFlags::at(0..TimeFlags::COUNT);
        assert_eq!(TimeFlags::from_bits(0xff), every, "bits of no flag are left out");
        assert!(TimeFlags::of("late").is_none());
    }

    #[test]
    fn every_value_of_the_column_has_a_place() {
        let columns = Schema::all().flat_map(|table| &table.columns);
        let flags = columns.filter(|column| column.name == "time_flag");
        let values: Vec<&str> = flags.flat_map(|column| column.values.iter().copied()).collect();
        assert!(values.len() >= 3, "{values:?}");
        for value in values {
            assert!(!TimeFlags::of(value).is_none(), "{value}");
        }
    }
}
