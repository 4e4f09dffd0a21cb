//! What a sliding window that is judged row by row keeps of one key.

use super::sweep::Sweep;
use crate::stage::window::{folded::Folded, layout::Rows, native::NativeIds};

/// The rows of one key that a window can still need.
#[derive(Debug)]
pub(crate) struct SlidingRows {
    pub(super) rows: Rows,
    /// The time of the earliest row whose window must be judged; `i64::MAX` if there is none.
    pub(super) fresh: i64,
    pub(super) more: Option<Box<More>>,
}

/// What only busy keys have.
#[derive(Debug, Default)]
pub(super) struct More {
    /// Per cell, by start: the time of its last row that qualifies. Of native conditions only.
    pub(super) best: Vec<(i64, i64)>,
    /// Native ids by cell, of keys with many rows.
    pub(super) native: Option<NativeIds>,
    /// The moving window as it was left, of keys with many rows.
    pub(super) sweep: Option<Sweep>,
    pub(super) folded: Folded,
    /// Findings have grown since they were last said.
    pub(super) waits: bool,
}

impl SlidingRows {
    pub(super) fn stretches(&self) -> &Folded {
        static NONE: Folded = Folded::none();
        self.more.as_ref().map_or(&NONE, |m| &m.folded)
    }

    pub(super) fn newest(&self) -> Option<i64> {
        let rows = self.rows.list().iter().map(|r| r.time).max();
        rows.max(self.stretches().through())
    }

    /// The time of the first row at or after `time`, folded or not; `i64::MAX` if there is none.
    pub(super) fn first_from(&self, time: i64) -> i64 {
        let row = self.rows.list().get(self.rows.from(time)).map(|r| r.time);
        let stretches = self.stretches();
        let stretch = stretches.list().get(stretches.from(time)).map(|s| s.first.max(time));
        row.into_iter().chain(stretch).min().unwrap_or(i64::MAX)
    }
}
