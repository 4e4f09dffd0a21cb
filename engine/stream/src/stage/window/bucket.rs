//! What is kept of the rows of one window that only ever gains rows: aggregates, evidence, native
//! ids. Sliding windows keep rows instead.

use std::collections::HashSet;

use foldhash::fast::RandomState;
use sluice_event::TimeFlags;

use super::{
    Limits,
    aggregate::{Accumulators, Mode, Way},
    layout::{Layout, RowView},
};
use crate::{
    events::{EventRef, EventStore},
    operator::Restore,
    state::{Reader, StateError, Writer},
};

/// How many rows a finding shows from each end.
pub(crate) const EVIDENCE: usize = 10;

/// The rows of one window, summed up.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    pub(crate) accumulators: Accumulators,
    pub(crate) rows: u64,
    pub(crate) late: bool,
    /// What is wrong with times of its rows.
    pub(crate) time_flags: TimeFlags,
    /// Of the newest row.
    pub(crate) time: i64,
    /// A limit was hit: distinct values or native ids beyond it are not remembered.
    pub(crate) capped: bool,
    #[expect(clippy::box_collection, reason = "most sources name no ids: none costs a pointer")]
    native: Option<Box<HashSet<u128, RandomState>>>,
    evidence: Evidence,
}

impl Bucket {
    pub(crate) fn new(layout: &Layout) -> Self {
        Bucket {
            accumulators: Accumulators::new(&layout.aggregates, Mode::Growing),
            rows: 0,
            late: false,
            time_flags: TimeFlags::NONE,
            time: i64::MIN,
            capped: false,
            native: None,
            evidence: Evidence::default(),
        }
    }

    /// Takes a row in; `false` if the same event already is. `most`: how many distinct values and
    /// native ids are remembered.
    pub(crate) fn add(
        &mut self,
        layout: &Layout,
        row: &RowView<'_>,
        events: &EventStore,
        most: usize,
    ) -> bool {
        let event = row.row.event();
        let uid = events.uid(event);
        if uid.native {
            let native = self.native.get_or_insert_default();
            if native.contains(&uid.bits) {
                return false;
            }
            if native.len() < most {
                native.insert(uid.bits);
            } else {
                self.capped = true;
            }
        }
        self.capped |= !self.accumulators.add(&layout.aggregates, row, most);
        self.rows += 1;
        self.late |= row.row.is_late();
        self.time_flags |= row.row.time_flags();
        self.time = self.time.max(row.row.time);
        self.evidence.add(row.row.time, event, events);
        true
    }

    /// Takes in the rows of another one; none is in both.
    pub(crate) fn merge(&mut self, other: &Bucket, events: &EventStore) {
        self.accumulators.merge(&other.accumulators, 0..other.accumulators.len(), Way::In);
        self.rows += other.rows;
        self.late |= other.late;
        self.time_flags |= other.time_flags;
        self.capped |= other.capped;
        self.time = self.time.max(other.time);
        if let Some(native) = &other.native {
            self.native.get_or_insert_default().extend(native.iter().copied());
        }
        for (time, event) in other.evidence.first.iter().chain(&other.evidence.last) {
            self.evidence.add(*time, *event, events);
        }
    }

    /// The first and last rows.
    pub(crate) fn evidence(&self) -> impl Iterator<Item = EventRef> {
        self.evidence.first.iter().chain(&self.evidence.last).map(|(_, event)| *event)
    }

    pub(crate) fn bytes(&self) -> usize {
        let native = self.native.as_ref().map_or(0, |n| n.capacity() * 18);
        let evidence = self.evidence.first.capacity() + self.evidence.last.capacity();
        128 + self.accumulators.bytes() + native + evidence * 16
    }

    pub(crate) fn encode(&self, w: &mut Writer) {
        self.accumulators.encode(w);
        w.unsigned(self.rows);
        w.byte(u8::from(self.late) | u8::from(self.capped) << 1 | self.time_flags.bits() << 2);
        w.signed(self.time);
        let mut native: Vec<u128> = self.native.iter().flat_map(|n| n.iter().copied()).collect();
        native.sort_unstable();
        w.length(native.len());
        native.into_iter().for_each(|bits| w.wide(bits));
        for list in [&self.evidence.first, &self.evidence.last] {
            w.length(list.len());
            for (time, event) in list {
                w.signed(*time);
                w.unsigned(event.0);
            }
        }
    }

    pub(crate) fn decode(
        layout: &Layout,
        r: &mut Reader<'_>,
        restore: &mut Restore<'_>,
    ) -> Result<Self, StateError> {
        let accumulators =
            Accumulators::decode(&layout.aggregates, Mode::Growing, r, restore.texts)?;
        let rows = r.unsigned()?;
        let flags = r.byte()?;
        let time = r.signed()?;
        let native: HashSet<u128, RandomState> = r.list(Reader::wide)?.into_iter().collect();
        let mut shown =
            |r: &mut Reader<'_>| Ok((r.signed()?, EventRef(restore.tagged(r.unsigned()?))));
        let evidence = Evidence { first: r.list(&mut shown)?, last: r.list(&mut shown)? };
        let (late, capped) = (flags & 1 != 0, flags & 2 != 0);
        let native = (!native.is_empty()).then(|| Box::new(native));
        let time_flags = TimeFlags::from_bits(flags >> 2);
        Ok(Bucket { accumulators, rows, late, time_flags, time, capped, native, evidence })
    }
}

/// How many distinct values and native ids a window remembers at least: no fewer than a threshold
/// asks for.
pub(crate) fn remembered(limits: &Limits, threshold: usize) -> usize {
    limits.window_events_max.max(threshold.saturating_add(1))
}

/// The first and last rows by (time, id), whatever order they came in; no row is in both lists.
#[derive(Clone, Debug, Default)]
struct Evidence {
    first: Vec<(i64, EventRef)>,
    last: Vec<(i64, EventRef)>,
}

impl Evidence {
    fn add(&mut self, time: i64, event: EventRef, events: &EventStore) {
        let id = |event: EventRef| events.uid(event).bits;
        let place = |list: &[(i64, EventRef)], (time, event): (i64, EventRef)| {
            // In order, which is nearly always, a row goes to the end.
            if list.last().is_none_or(|(t, _)| *t < time) {
                return list.len();
            }
            list.partition_point(|(t, e)| *t < time || *t == time && id(*e) <= id(event))
        };
        let mut row = (time, event);
        let at = place(&self.first, row);
        if at < EVIDENCE {
            self.first.insert(at, row);
            if self.first.len() <= EVIDENCE {
                return;
            }
            let Some(displaced) = self.first.pop() else { return };
            row = displaced;
        }
        let at = place(&self.last, row);
        if self.last.len() < EVIDENCE {
            self.last.insert(at, row);
        } else if at > 0 {
            self.last.insert(at, row);
            self.last.remove(0);
        }
    }
}
