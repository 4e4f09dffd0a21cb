//! Which events of a key are there already, by the id their source gave them: a record that is read
//! twice counts once in a window. Of a key with few rows they are looked through, of one with many the
//! ids are kept beside them. Not what becomes of a repetition.

use std::collections::HashSet;

use foldhash::fast::RandomState;
use sluice_event::EventUid;

use super::layout::{Row, Rows};
use crate::events::EventStore;

/// Keys with at most so many rows are looked through instead of indexed.
pub(crate) const FEW: usize = 24;

/// The ids of the rows of a key, each with the cell of its row.
#[derive(Debug, Default)]
pub(crate) struct NativeIds(HashSet<(i64, u128), RandomState>);

impl NativeIds {
    /// Whether an event is among few rows of its cell. `cell` gives the cell of a time.
    pub(crate) fn is_among(
        rows: &Rows,
        (time, uid): (i64, EventUid),
        cell: impl Fn(i64) -> i64,
        events: &EventStore,
    ) -> bool {
        let own = cell(time);
        let same = |r: &Row| cell(r.time) == own && events.uid(r.event()) == uid;
        rows.list().iter().any(same)
    }

    /// Those of many rows.
    pub(crate) fn of(rows: &Rows, cell: impl Fn(i64) -> i64, events: &EventStore) -> Self {
        let ids = rows.list().iter().map(|r| (cell(r.time), events.uid(r.event())));
        NativeIds(ids.filter(|(_, uid)| uid.native).map(|(cell, uid)| (cell, uid.bits)).collect())
    }

    /// Takes note of an event; `false` if it is there already.
    pub(crate) fn insert(&mut self, cell: i64, uid: EventUid) -> bool {
        self.0.insert((cell, uid.bits))
    }

    /// Forgets the ids of cells before `cell`, once they are many beside so many `rows`. Those of
    /// cells that are not closed are all still there.
    pub(crate) fn forget(&mut self, cell: i64, rows: usize) {
        if self.0.len() > 2 * rows {
            self.0.retain(|(own, _)| *own >= cell);
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.0.capacity() * 34
    }
}
