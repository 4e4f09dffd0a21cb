//! Times as a clock on a wall shows them, in a zone that puts its clocks forward and back. Not how a
//! time is written.
//!
//! A time that came twice is, in a log that is read in its order, the first until the clock goes back,
//! then the second; in a stream the second, unless that is after it was received. A time that never
//! came is read as if the clock had not yet been put forward. Both are marked in `time_flag`, by
//! `ambiguous` and `skipped`, and counted with it.

use std::collections::HashMap;

use sluice_event::{PartitionId, rfc3339};

use crate::{Zone, decode::RecordContext};
use sluice_rule::Moment;

/// What the clocks of each log showed.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// Per partition in order: the last time, and whether the clock was put back before it.
    last: HashMap<PartitionId, (i64, bool)>,
}

/// Why the time of a record is one of two, or none that a clock showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Doubt {
    /// The value of `time_flag`.
    pub(crate) flag: &'static str,
    /// The time with its zone: `2026-10-25T02:30:00.000 Europe/Berlin`.
    pub(crate) said: String,
}

/// Lines of one log that are out of order go back by less, and clocks that are apart are so by less.
const SLACK_MILLIS: i64 = 15 * 60_000;

impl Clock {
    /// The moment of what a clock showed, both in milliseconds since 1970, and what is doubtful of it.
    pub(super) fn moment(
        &mut self,
        clock: i64,
        zone: Zone,
        context: &RecordContext,
    ) -> (i64, Option<Doubt>) {
        let (flag, moment) = match zone.moment(clock) {
            Moment::One(moment) => {
                if matches!(zone, Zone::Place(_)) && context.in_order {
                    self.last.insert(context.partition, (clock, false));
                }
                return (moment, None);
            }
            Moment::Skipped(moment) => ("skipped", moment),
            Moment::Twice { earlier, later } => {
                let second = match context.in_order {
                    true => self.is_second(clock, context.partition),
                    false => later <= context.reference + SLACK_MILLIS,
                };
                ("ambiguous", if second { later } else { earlier })
            }
        };
        let shown = rfc3339(clock);
        let said = format!("{} {zone}", shown.strip_suffix('Z').unwrap_or(&shown));
        (moment, Some(Doubt { flag, said }))
    }

    /// Whether the clock of a log was put back before it showed this.
    fn is_second(&mut self, clock: i64, partition: PartitionId) -> bool {
        let (last, second) = self.last.entry(partition).or_insert((clock, false));
        *second |= clock < *last - SLACK_MILLIS;
        *last = clock;
        *second
    }
}
