//! What an operator could not keep, where a rule may have needed it: told once per rule, key and
//! hour, so that nobody takes the silence of a flooded rule for safety. Not the finding that says so:
//! `engine` makes it.

use std::{collections::HashSet, sync::Arc};

use foldhash::fast::RandomState;
use sluice_event::Value;

/// A bound was hit on which the verdicts of a rule can depend.
///
/// Thresholds on growing values never depend on one; conditions that a later row can make false
/// again do.
#[derive(Clone, Debug, PartialEq)]
pub struct Degradation {
    /// The rule, by its place in the rule set.
    pub rule_index: usize,
    /// Which bound.
    pub bound: Bound,
    /// The group key that hit it, names and values; empty for [`Bound::Keys`],
    /// [`Bound::Entities`] and [`Bound::RowsWaiting`].
    pub key: Vec<(Arc<str>, Value)>,
    /// Rows up to this event time, milliseconds, are concerned.
    pub time: i64,
    /// The start of the hour of `time`: each is told once per rule, key and hour.
    pub hour: i64,
}

/// What bounds the state that a verdict is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Bound {
    /// Rows kept one by one: older ones were judged before their time and summed up.
    RowsOfKey,
    /// Distinct values of a window: later ones were not remembered.
    ValuesOfWindow,
    /// Keys of a rule: those with the fewest rows were judged before their time and given up.
    Keys,
    /// Entities of a baseline: further ones were not taken on, or others were given up.
    Entities,
    /// Rows that wait for what a baseline knows about their day: the oldest were judged before.
    RowsWaiting,
}

const HOUR: i64 = 3_600_000;
/// Told ones are remembered until there are so many, then those of hours that are over go.
const TOLD: usize = 4_096;

/// Degradations of one rule on one shard.
#[derive(Debug, Default)]
pub(crate) struct Degraded {
    told: HashSet<(i64, Bound, Box<[u8]>), RandomState>,
    fresh: Vec<Degradation>,
}

impl Degraded {
    /// `named` gives names and values of the key; `true` if this was not told yet.
    pub(crate) fn tell(
        &mut self,
        rule_index: usize,
        bound: Bound,
        key: &[u8],
        time: i64,
        named: impl FnOnce() -> Vec<(Arc<str>, Value)>,
    ) -> bool {
        let hour = time.div_euclid(HOUR).saturating_mul(HOUR);
        if self.told.len() >= TOLD {
            self.told.retain(|(of, _, _)| *of >= hour);
        }
        let first = self.told.insert((hour, bound, key.into()));
        if first {
            self.fresh.push(Degradation { rule_index, bound, key: named(), time, hour });
        }
        first
    }

    /// Those since the last call.
    pub(crate) fn take(&mut self) -> Vec<Degradation> {
        std::mem::take(&mut self.fresh)
    }
}
