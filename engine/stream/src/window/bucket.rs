//! What is kept of the rows of one window that only ever gains rows: aggregates, evidence, native
//! ids. Sliding windows keep rows instead.

use std::{collections::HashSet, sync::Arc};

use foldhash::fast::RandomState;

use super::{
    Limits,
    aggregate::{Accumulators, Mode},
};
use crate::{
    Aggregate, KeyedRow,
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
    /// Of the newest row.
    pub(crate) time: i64,
    /// A limit was hit: distinct values or native ids beyond it are not remembered.
    pub(crate) capped: bool,
    native: HashSet<u128, RandomState>,
    evidence: Evidence,
}

impl Bucket {
    pub(crate) fn new(aggregates: &[Aggregate]) -> Self {
        Bucket {
            accumulators: Accumulators::new(aggregates, Mode::Growing),
            rows: 0,
            late: false,
            time: i64::MIN,
            capped: false,
            native: HashSet::default(),
            evidence: Evidence::default(),
        }
    }

    /// Takes a row in; `false` if the same event already is.
    pub(crate) fn add(
        &mut self,
        aggregates: &[Aggregate],
        row: &KeyedRow,
        limits: &Limits,
    ) -> bool {
        if row.uid.native {
            if self.native.contains(&row.uid.bits) {
                return false;
            }
            if self.native.len() < limits.window_events_max {
                self.native.insert(row.uid.bits);
            } else {
                self.capped = true;
            }
        }
        self.capped |= !self.accumulators.add(aggregates, &row.values, limits.window_events_max);
        self.rows += 1;
        self.late |= row.late;
        self.time = self.time.max(row.time);
        self.evidence.add(row);
        true
    }

    pub(crate) fn evidence(&self) -> Vec<Arc<str>> {
        self.evidence.texts(self.rows)
    }

    pub(crate) fn bytes(&self) -> usize {
        256 + self.accumulators.bytes() + self.native.len() * 24 + self.evidence.bytes()
    }

    pub(crate) fn encode(&self, w: &mut Writer) {
        self.accumulators.encode(w);
        w.unsigned(self.rows);
        w.byte(u8::from(self.late) | u8::from(self.capped) << 1);
        w.signed(self.time);
        let mut native: Vec<u128> = self.native.iter().copied().collect();
        native.sort_unstable();
        w.length(native.len());
        native.into_iter().for_each(|bits| w.wide(bits));
        self.evidence.encode(w);
    }

    pub(crate) fn decode(aggregates: &[Aggregate], r: &mut Reader<'_>) -> Result<Self, StateError> {
        let accumulators = Accumulators::decode(aggregates, Mode::Growing, r)?;
        let rows = r.unsigned()?;
        let flags = r.byte()?;
        let time = r.signed()?;
        let native = r.list(Reader::wide)?.into_iter().collect();
        let evidence = Evidence::decode(r)?;
        let (late, capped) = (flags & 1 != 0, flags & 2 != 0);
        Ok(Bucket { accumulators, rows, late, time, capped, native, evidence })
    }
}

/// The first and last rows by (time, id), whatever order they came in.
#[derive(Clone, Debug, Default)]
struct Evidence {
    first: Vec<Shown>,
    last: Vec<Shown>,
}

type Shown = (i64, u128, Arc<str>);

impl Evidence {
    fn add(&mut self, row: &KeyedRow) {
        let place = |list: &[Shown]| {
            list.partition_point(|(time, bits, _)| (*time, *bits) <= (row.time, row.uid.bits))
        };
        let shown = (row.time, row.uid.bits, row.evidence.clone());
        let at = place(&self.first);
        if at < EVIDENCE {
            self.first.insert(at, shown.clone());
            self.first.truncate(EVIDENCE);
        }
        let at = place(&self.last);
        if self.last.len() < EVIDENCE {
            self.last.insert(at, shown);
        } else if at > 0 {
            self.last.insert(at, shown);
            self.last.remove(0);
        }
    }

    /// `rows` is how many were added; below twice the limit both lists hold some of the same rows.
    fn texts(&self, rows: u64) -> Vec<Arc<str>> {
        let both = self.first.len() + self.last.len();
        let shared = both.saturating_sub(usize::try_from(rows).unwrap_or(usize::MAX));
        self.first.iter().chain(self.last.iter().skip(shared)).map(|s| s.2.clone()).collect()
    }

    fn bytes(&self) -> usize {
        self.first.iter().chain(&self.last).map(|s| 48 + s.2.len()).sum()
    }

    fn encode(&self, w: &mut Writer) {
        for list in [&self.first, &self.last] {
            w.length(list.len());
            for (time, bits, text) in list {
                w.signed(*time);
                w.wide(*bits);
                w.text(text);
            }
        }
    }

    fn decode(r: &mut Reader<'_>) -> Result<Self, StateError> {
        let shown = |r: &mut Reader<'_>| Ok((r.signed()?, r.wide()?, r.text()?));
        Ok(Evidence { first: r.list(shown)?, last: r.list(shown)? })
    }
}
