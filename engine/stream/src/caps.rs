//! Which bounds of state have touched what a finding shows. Not the bounds themselves: those are
//! [`Limits`](crate::Limits) and [`LIST_MAX`](crate::LIST_MAX).

use std::ops::{BitOr, BitOrAssign};

/// A bound that made a finding's values lower bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cap {
    /// Its name: a field of [`Limits`](crate::Limits), or `array_agg`.
    pub bound: &'static str,
    /// What it was: a number of keys, rows or values, or milliseconds for `session_max`.
    pub limit: u64,
}

/// Kinds of bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Caps(u8);

impl Caps {
    pub(crate) const NONE: Caps = Caps(0);
    /// Keys were given up.
    pub(crate) const KEYS: Caps = Caps(1);
    /// Rows of a key are not kept one by one.
    pub(crate) const ROWS: Caps = Caps(1 << 1);
    /// Distinct values or native ids of a window were not remembered.
    pub(crate) const VALUES: Caps = Caps(1 << 2);
    /// A session was split.
    pub(crate) const SESSION: Caps = Caps(1 << 3);
    /// A list has more values than it shows.
    pub(crate) const LIST: Caps = Caps(1 << 4);

    /// This if the condition holds.
    pub(crate) fn when(self, holds: bool) -> Caps {
        if holds { self } else { Caps::NONE }
    }

    pub(crate) fn is_none(self) -> bool {
        self == Caps::NONE
    }

    pub(crate) fn has(self, other: Caps) -> bool {
        self.0 & other.0 != 0
    }

    pub(crate) fn bits(self) -> u8 {
        self.0
    }

    pub(crate) fn from_bits(bits: u8) -> Caps {
        Caps(bits)
    }
}

impl BitOr for Caps {
    type Output = Caps;

    fn bitor(self, other: Caps) -> Caps {
        Caps(self.0 | other.0)
    }
}

impl BitOrAssign for Caps {
    fn bitor_assign(&mut self, other: Caps) {
        *self = *self | other;
    }
}
