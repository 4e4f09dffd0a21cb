//! The oldest rows of a busy key, summed up by stretches of time: for conditions that a later row
//! can make false again, of which no row may be left out. Not for thresholds on growing values:
//! those need few rows (`thin`).
//!
//! A window that begins and ends between two stretches is exact; one that cuts a stretch holds all
//! of it, and what it gives is no more than near. Stretches begin as one millisecond and are made
//! twice as long whenever there are too many of them.

use sluice_event::TimeFlags;

use super::{
    aggregate::{Accumulators, Mode, Way},
    layout::{Layout, RowView, Rows},
};
use crate::{
    events::EventRef,
    operator::Restore,
    state::{Reader, StateError, Writer},
};

/// See the module.
#[derive(Debug)]
pub(crate) struct Folded {
    /// In order of time, none empty, at most [`STRETCHES`].
    stretches: Vec<Stretch>,
    /// Each lies between two multiples of this, milliseconds.
    grain: i64,
}

/// Rows of one stretch of time.
#[derive(Debug)]
pub(crate) struct Stretch {
    /// Times of its first and last row.
    pub(crate) first: i64,
    pub(crate) last: i64,
    pub(crate) rows: u64,
    pub(crate) late: bool,
    /// What is wrong with times of its rows.
    pub(crate) time_flags: TimeFlags,
    /// Distinct values of it were left out.
    pub(crate) lossy: bool,
    /// Of every aggregate of the plan.
    pub(crate) accumulators: Accumulators,
    /// Its first and last row.
    shown: [EventRef; 2],
}

/// Most stretches of a key.
const STRETCHES: usize = 1_024;
/// Distinct values that a stretch remembers of each aggregate.
const DISTINCT: usize = 64;

impl Default for Folded {
    fn default() -> Self {
        Folded::none()
    }
}

impl Folded {
    pub(crate) const fn none() -> Self {
        Folded { stretches: Vec::new(), grain: 1 }
    }

    pub(crate) fn list(&self) -> &[Stretch] {
        &self.stretches
    }

    /// Takes in the first `count` rows.
    pub(crate) fn fold(&mut self, layout: &Layout, rows: &Rows, count: usize) {
        for at in 0..count {
            self.add(layout, &rows.view(at));
        }
        while self.stretches.len() > STRETCHES {
            self.coarsen();
        }
    }

    fn add(&mut self, layout: &Layout, row: &RowView<'_>) {
        let (time, event) = (row.row.time, row.row.event());
        let number = time.div_euclid(self.grain);
        let at = self.stretches.partition_point(|s| s.first.div_euclid(self.grain) < number);
        let same = |s: &Stretch| s.first.div_euclid(self.grain) == number;
        if !self.stretches.get(at).is_some_and(same) {
            let accumulators = Accumulators::new(&layout.aggregates, Mode::Growing);
            let stretch = Stretch {
                first: time,
                last: time,
                rows: 0,
                late: false,
                time_flags: TimeFlags::NONE,
                lossy: false,
                accumulators,
                shown: [event; 2],
            };
            self.stretches.insert(at, stretch);
        }
        let Some(stretch) = self.stretches.get_mut(at) else { return };
        if time < stretch.first {
            (stretch.first, stretch.shown[0]) = (time, event);
        }
        if time >= stretch.last {
            (stretch.last, stretch.shown[1]) = (time, event);
        }
        stretch.rows += 1;
        stretch.late |= row.row.is_late();
        stretch.time_flags |= row.row.time_flags();
        stretch.lossy |= !stretch.accumulators.add(&layout.aggregates, row, DISTINCT);
    }

    /// Stretches twice as long.
    fn coarsen(&mut self) {
        self.grain = self.grain.saturating_mul(2);
        let grain = self.grain;
        self.stretches.dedup_by(|later, earlier| {
            let same = later.first.div_euclid(grain) == earlier.first.div_euclid(grain);
            if same {
                earlier.last = later.last;
                earlier.shown[1] = later.shown[1];
                earlier.rows += later.rows;
                earlier.late |= later.late;
                earlier.time_flags |= later.time_flags;
                earlier.lossy |= later.lossy;
                let all = 0..later.accumulators.len();
                earlier.accumulators.merge(&later.accumulators, all, Way::In);
            }
            same
        });
    }

    /// The first stretch with a row at or after `time`.
    pub(crate) fn from(&self, time: i64) -> usize {
        self.stretches.partition_point(|s| s.last < time)
    }

    /// The first stretch with no row up to `time`.
    pub(crate) fn after(&self, time: i64) -> usize {
        self.stretches.partition_point(|s| s.first <= time)
    }

    /// The stretches of which a window from `start` to `end` holds a row.
    pub(crate) fn within(&self, start: i64, end: i64) -> &[Stretch] {
        let from = self.from(start);
        self.stretches.get(from..self.after(end).max(from)).unwrap_or_default()
    }

    /// Whether a window from `start` to `end` holds just its rows, with all their values.
    pub(crate) fn is_exact(&self, start: i64, end: i64) -> bool {
        self.within(start, end).iter().all(|s| s.first >= start && s.last <= end && !s.lossy)
    }

    /// Whether nothing is lost of rows from `time` on.
    pub(crate) fn is_exact_from(&self, time: i64) -> bool {
        self.within(time, i64::MAX).iter().all(|s| s.first == s.last && !s.lossy)
    }

    pub(crate) fn rows(&self) -> u64 {
        self.stretches.iter().map(|s| s.rows).sum()
    }

    /// The time of the last row.
    pub(crate) fn through(&self) -> Option<i64> {
        self.stretches.last().map(|s| s.last)
    }

    /// Drops the stretches before `time`.
    pub(crate) fn drop_before(&mut self, time: i64) {
        self.stretches.drain(..self.from(time));
        if self.stretches.is_empty() {
            self.grain = 1;
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.stretches.iter().map(|s| 96 + s.accumulators.bytes()).sum()
    }

    pub(crate) fn encode(&self, w: &mut Writer) {
        w.signed(self.grain);
        w.length(self.stretches.len());
        for stretch in &self.stretches {
            w.signed(stretch.first);
            w.signed(stretch.last);
            w.unsigned(stretch.rows);
            let flags = stretch.time_flags.bits() << 2;
            w.byte(u8::from(stretch.late) | u8::from(stretch.lossy) << 1 | flags);
            stretch.accumulators.encode(w);
            stretch.shown.iter().for_each(|event| w.unsigned(event.0));
        }
    }

    pub(crate) fn decode(
        layout: &Layout,
        r: &mut Reader<'_>,
        restore: &mut Restore<'_>,
    ) -> Result<Self, StateError> {
        let grain = r.signed()?.max(1);
        let stretches = r.list(|r| {
            let (first, last, rows, flags) = (r.signed()?, r.signed()?, r.unsigned()?, r.byte()?);
            let accumulators =
                Accumulators::decode(&layout.aggregates, Mode::Growing, r, restore.texts)?;
            let mut shown = || Ok(EventRef(restore.tagged(r.unsigned()?)));
            let shown = [shown()?, shown()?];
            let (late, lossy) = (flags & 1 != 0, flags & 2 != 0);
            let time_flags = TimeFlags::from_bits(flags >> 2);
            Ok(Stretch { first, last, rows, late, time_flags, lossy, accumulators, shown })
        })?;
        Ok(Folded { stretches, grain })
    }
}

impl Stretch {
    /// Rows that evidence may show.
    pub(crate) fn shown(&self) -> impl Iterator<Item = EventRef> {
        self.shown.iter().take(self.rows.min(2) as usize).copied()
    }
}
