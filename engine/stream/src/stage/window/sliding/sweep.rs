//! One window that moves over the rows and stretches of a key, so that a row costs what it changes.
//! Does not judge: its caller is told of every time at which there is a row.

use std::ops::Range;

use sluice_event::{TimeFlags, Value};

use super::{Read, Sliding, SlidingRows};
use crate::stage::window::{
    aggregate::{Accumulators, Mode, Way},
    folded::{Folded, Stretch},
    layout::Rows,
};

/// See the module.
#[derive(Debug)]
pub(super) struct Sweep {
    accumulators: Accumulators,
    /// The rows it holds.
    single: Range<usize>,
    /// The stretches it holds.
    stretches: Range<usize>,
    /// The rows of these.
    folded: u64,
    /// How many of either have a late row.
    late: usize,
    /// How many of either have a row with each flag of its time.
    flagged: [usize; TimeFlags::COUNT],
    /// How many of the stretches are without some of their values.
    lossy: usize,
    /// The first row of its first stretch and the last one of its last.
    bounds: Option<(i64, i64)>,
}

impl Sweep {
    /// Rows in the window.
    pub(super) fn rows(&self) -> usize {
        self.single.len() + self.folded as usize
    }

    pub(super) fn is_late(&self) -> bool {
        self.late > 0
    }

    pub(super) fn time_flags(&self) -> TimeFlags {
        TimeFlags::at((0..TimeFlags::COUNT).filter(|place| self.flagged[*place] > 0))
    }

    fn flag(&mut self, flags: TimeFlags, way: Way) {
        for place in flags.places() {
            match way {
                Way::In => self.flagged[place] += 1,
                Way::Out => self.flagged[place] -= 1,
            }
        }
    }

    /// Whether it holds just the rows from `start` to `end`.
    pub(super) fn is_exact(&self, start: i64, end: i64) -> bool {
        self.lossy == 0 && self.bounds.is_none_or(|(first, last)| first >= start && last <= end)
    }

    /// Whether it holds rows from the `at`-th on.
    pub(super) fn reaches(&self, at: usize) -> bool {
        self.single.end > at
    }

    /// The same after the first rows and stretches have gone, if it holds none of them.
    pub(super) fn without(mut self, rows: usize, stretches: usize) -> Option<Sweep> {
        self.single = self.single.start.checked_sub(rows)?..self.single.end - rows;
        self.stretches =
            self.stretches.start.checked_sub(stretches)?..self.stretches.end - stretches;
        Some(self)
    }

    pub(super) fn bytes(&self) -> usize {
        self.accumulators.bytes()
    }
}

impl Sliding {
    /// Moves the window to every time from `start` on and before `before` at which there is a row.
    pub(super) fn sweep(
        &self,
        key: &mut SlidingRows,
        start: i64,
        before: i64,
        mut judge: impl FnMut(&Sweep, i64),
    ) {
        let kept = key.more.as_mut().and_then(|m| m.sweep.take());
        let (rows, folded) = (&key.rows, key.stretches());
        let (row, stretch) = (rows.from(start), folded.from(start));
        let mut sweep = match kept {
            Some(sweep) if sweep.single.end == row && sweep.stretches.end == stretch => sweep,
            _ => self.begin(rows, folded, start),
        };
        loop {
            let row = rows.list().get(sweep.single.end).map(|r| r.time);
            let stretch = folded.list().get(sweep.stretches.end).map(|s| s.last);
            let next = row.into_iter().chain(stretch).min();
            let Some(time) = next.filter(|time| *time < before) else { break };
            self.advance(&mut sweep, rows, folded, time);
            judge(&sweep, time);
        }
        let many = key.rows.len() > super::FEW || !folded.list().is_empty();
        if many {
            key.more.get_or_insert_default().sweep = Some(sweep);
        }
    }

    /// The value of an aggregate of the plan.
    pub(super) fn value(&self, sweep: &Sweep, aggregate: usize) -> Value {
        match self.read.get(aggregate) {
            Some(Read::Rows) => Value::Int(sweep.rows() as i64),
            Some(Read::Moving(n)) => sweep.accumulators.value(*n),
            Some(Read::Nothing) | None => Value::Null,
        }
    }

    /// The window as it is just before `start`.
    fn begin(&self, rows: &Rows, folded: &Folded, start: i64) -> Sweep {
        let first = start.saturating_sub(self.size);
        let (row, stretch) = (rows.from(first), folded.from(first));
        let mut sweep = Sweep {
            accumulators: Accumulators::new(&self.moving, Mode::Sliding),
            single: row..row,
            stretches: stretch..stretch,
            folded: 0,
            late: 0,
            flagged: [0; TimeFlags::COUNT],
            lossy: 0,
            bounds: None,
        };
        (row..rows.from(start)).for_each(|at| self.row(&mut sweep, rows, at, Way::In));
        let stretches = folded.list().get(stretch..folded.from(start)).unwrap_or_default();
        stretches.iter().for_each(|s| self.stretch(&mut sweep, s, Way::In));
        sweep
    }

    fn advance(&self, sweep: &mut Sweep, rows: &Rows, folded: &Folded, time: i64) {
        while rows.list().get(sweep.single.end).is_some_and(|r| r.time <= time) {
            self.row(sweep, rows, sweep.single.end, Way::In);
        }
        let (list, first) = (folded.list(), time.saturating_sub(self.size));
        while let Some(stretch) = list.get(sweep.stretches.end).filter(|s| s.first <= time) {
            self.stretch(sweep, stretch, Way::In);
        }
        while rows.list().get(sweep.single.start).is_some_and(|r| r.time < first) {
            self.row(sweep, rows, sweep.single.start, Way::Out);
        }
        while let Some(stretch) = list.get(sweep.stretches.start).filter(|s| s.last < first) {
            self.stretch(sweep, stretch, Way::Out);
        }
        let held = list.get(sweep.stretches.clone()).unwrap_or_default();
        sweep.bounds = held.first().zip(held.last()).map(|(a, b)| (a.first, b.last));
    }

    fn row(&self, sweep: &mut Sweep, rows: &Rows, at: usize, way: Way) {
        let late = usize::from(rows.list()[at].is_late());
        sweep.flag(rows.list()[at].time_flags(), way);
        match way {
            Way::In => {
                sweep.accumulators.add(&self.moving, &rows.view(at), usize::MAX);
                sweep.single.end += 1;
                sweep.late += late;
            }
            Way::Out => {
                sweep.accumulators.remove(&self.moving, &rows.view(at));
                sweep.single.start += 1;
                sweep.late -= late;
            }
        }
    }

    fn stretch(&self, sweep: &mut Sweep, stretch: &Stretch, way: Way) {
        let of = self.places.iter().copied();
        sweep.accumulators.merge(&stretch.accumulators, of, way);
        let (late, lossy) = (usize::from(stretch.late), usize::from(stretch.lossy));
        sweep.flag(stretch.time_flags, way);
        match way {
            Way::In => {
                sweep.stretches.end += 1;
                sweep.folded += stretch.rows;
                sweep.late += late;
                sweep.lossy += lossy;
            }
            Way::Out => {
                sweep.stretches.start += 1;
                sweep.folded -= stretch.rows;
                sweep.late -= late;
                sweep.lossy -= lossy;
            }
        }
    }
}
