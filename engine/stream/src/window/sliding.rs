//! Exact sliding windows: for each row the closed interval of length `size` that ends at it. Keeps
//! the rows of a key in order and judges a whole cell in one sweep.

use std::{
    collections::{BTreeMap, HashSet},
    ops::Range,
    sync::Arc,
};

use foldhash::fast::RandomState;

use super::{
    Cell, Context, Group, Spoken,
    aggregate::{Accumulators, Mode},
    bucket::EVIDENCE,
};
use crate::{
    Class, KeyedRow,
    keys::Wake,
    state::{Reader, StateError, Writer},
};

/// The rows of one key that a window can still need.
#[derive(Debug)]
pub(crate) struct Sliding {
    size: i64,
    /// By (time, id) after `sort`.
    rows: Vec<KeyedRow>,
    sorted: bool,
    /// Native ids by cell.
    native: HashSet<(i64, u128), RandomState>,
    /// Cells that hold a row and that a row can still change, by start.
    open: BTreeMap<i64, Open>,
    /// Rows up to this time were thinned: windows that start at or before it count too little.
    thinned: Option<i64>,
    /// Bytes of evidence.
    text: usize,
}

#[derive(Debug)]
struct Open {
    /// A row came that changes the window of a row in it.
    changed: bool,
    /// Rows before this have been judged.
    judged: i64,
}

impl Sliding {
    pub(crate) fn new(size: i64) -> Self {
        Sliding {
            size: size.max(1),
            rows: Vec::new(),
            sorted: true,
            native: HashSet::default(),
            open: BTreeMap::new(),
            thinned: None,
            text: 0,
        }
    }

    /// Takes a row in; `false` if the same event is already in the cell.
    pub(crate) fn insert(&mut self, row: KeyedRow) -> bool {
        let cell = self.cell(row.time);
        if row.uid.native && !self.native.insert((cell, row.uid.bits)) {
            return false;
        }
        self.open.entry(cell).or_insert(Open { changed: true, judged: i64::MIN }).changed = true;
        if let Some(next) = self.open.get_mut(&self.end(cell)) {
            next.changed = true;
        }
        self.sorted &= self.rows.last().is_none_or(|l| order(l) <= order(&row));
        self.text += row.evidence.len();
        self.rows.push(row);
        true
    }

    /// The cells to judge, each with a group per distinct time in it. Adds the rows it had to thin.
    pub(crate) fn examine(
        &mut self,
        cx: &Context<'_>,
        spoken: &Spoken,
        thinned: &mut u64,
    ) -> Vec<Cell> {
        self.sort();
        self.thin(cx.limits.window_events_max, thinned);
        let before = match cx.class {
            Class::Monotone => i64::MAX,
            Class::Repairable => cx.frontier.watermark,
            Class::Final => cx.frontier.closed,
        };
        let mut cells = Vec::new();
        let mut sweep = Sweep::new(cx);
        let starts: Vec<i64> = self.open.keys().copied().collect();
        for start in starts {
            let end = self.end(start);
            let closed = cx.frontier.closed >= end;
            let Some(open) = self.open.get_mut(&start) else { continue };
            let judged = std::mem::replace(&mut open.judged, before);
            let changed = std::mem::take(&mut open.changed);
            let fresh = match cx.class {
                Class::Monotone => changed,
                Class::Repairable => {
                    changed || !self.between(judged.max(start), end, before).is_empty()
                }
                Class::Final => closed,
            };
            let capped = start.saturating_sub(self.size) <= self.thinned.unwrap_or(i64::MIN)
                || start.saturating_sub(self.size) <= cx.forgotten;
            if fresh {
                let rows = self.between(start, end, before);
                let groups = Some(self.sweep(&mut sweep, rows, cx));
                cells.push(Cell { id: start, closed, capped, groups });
            } else if closed && spoken.contains_key(&start) {
                cells.push(Cell { id: start, closed, capped, groups: None });
            }
        }
        cells
    }

    /// The first and last rows of a group's window.
    pub(crate) fn evidence(&self, window: (i64, i64)) -> Vec<Arc<str>> {
        let rows = &self.rows[self.from(window.0)..self.after(window.1)];
        let tail = rows.len().saturating_sub(EVIDENCE).max(EVIDENCE.min(rows.len()));
        let shown = rows.iter().take(EVIDENCE).chain(&rows[tail..]);
        shown.map(|r| r.evidence.clone()).collect()
    }

    /// Drops cells nothing can change and rows no window needs; `None` if nothing is left.
    pub(crate) fn finish(&mut self, cx: &Context<'_>) -> Option<Wake> {
        let closed = cx.frontier.closed;
        while let Some(entry) = self.open.first_entry() {
            if entry.key().saturating_add(self.size) > closed {
                break;
            }
            entry.remove();
        }
        let needed = self.open.keys().next().map_or(closed, |first| closed.min(*first));
        let cut = needed.saturating_sub(self.size);
        self.forget(self.from(cut));
        let last = self.rows.last()?.time;
        let wake = match self.open.keys().next() {
            Some(first) => self.end(*first),
            None => last.saturating_add(self.size).saturating_add(1),
        };
        let watermark = (cx.class == Class::Repairable)
            .then(|| self.rows.get(self.from(cx.frontier.watermark)))
            .flatten()
            .map(|r| r.time.saturating_add(1));
        Some(Wake { watermark, closed: Some(wake) })
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn newest(&self) -> Option<i64> {
        self.rows.iter().map(|r| r.time).max()
    }

    pub(crate) fn bytes(&self) -> usize {
        256 + self.text + self.rows.len() * 160 + self.native.len() * 40 + self.open.len() * 40
    }

    pub(crate) fn encode(&self, w: &mut Writer) {
        w.option(self.thinned);
        w.rows(&self.rows);
        w.length(self.open.len());
        self.open.keys().for_each(|cell| w.signed(*cell));
    }

    /// Every open cell counts as changed.
    pub(crate) fn decode(
        size: i64,
        key: &Arc<[u8]>,
        r: &mut Reader<'_>,
    ) -> Result<Self, StateError> {
        let mut new = Sliding { thinned: r.option()?, ..Sliding::new(size) };
        for row in r.rows(key)? {
            new.insert(row);
        }
        let open = |r: &mut Reader<'_>| Ok((r.signed()?, Open { changed: true, judged: i64::MIN }));
        new.open = r.list(open)?.into_iter().collect();
        Ok(new)
    }

    fn cell(&self, time: i64) -> i64 {
        time.div_euclid(self.size).saturating_mul(self.size)
    }

    fn end(&self, cell: i64) -> i64 {
        cell.saturating_add(self.size)
    }

    /// The first row at or after `time`.
    fn from(&self, time: i64) -> usize {
        self.rows.partition_point(|r| r.time < time)
    }

    fn after(&self, time: i64) -> usize {
        self.rows.partition_point(|r| r.time <= time)
    }

    /// Rows in `[start, end)` that are before `before`.
    fn between(&self, start: i64, end: i64, before: i64) -> Range<usize> {
        let from = self.from(start);
        from..self.from(end.min(before)).max(from)
    }

    fn sort(&mut self) {
        if !self.sorted {
            self.rows.sort_by_key(order);
            self.sorted = true;
        }
    }

    fn thin(&mut self, max: usize, thinned: &mut u64) {
        let excess = self.rows.len().saturating_sub(max);
        if let Some(last) = excess.checked_sub(1).and_then(|i| self.rows.get(i)) {
            self.thinned = self.thinned.max(Some(last.time));
            self.forget(excess);
            *thinned += excess as u64;
        }
    }

    fn forget(&mut self, rows: usize) {
        let size = self.size;
        for row in self.rows.drain(..rows) {
            self.text -= row.evidence.len();
            if row.uid.native {
                let cell = row.time.div_euclid(size).saturating_mul(size);
                self.native.remove(&(cell, row.uid.bits));
            }
        }
    }

    /// Moves the window over `rows`, which lie in one cell; a group per distinct time, since peers
    /// share their window.
    fn sweep(&self, sweep: &mut Sweep, rows: Range<usize>, cx: &Context<'_>) -> Vec<Group> {
        let mut groups = Vec::new();
        let mut at = rows.start;
        while at < rows.end {
            let time = self.rows[at].time;
            at += self.rows[at..rows.end].iter().take_while(|r| r.time == time).count();
            let window = (time.saturating_sub(self.size), time);
            sweep.advance(&self.rows, self.from(window.0), at, cx);
            groups.push(Group {
                id: self.cell(time),
                window,
                time,
                rows: (sweep.to - sweep.from) as u64,
                late: sweep.late > 0,
                capped: window.0 <= self.thinned.unwrap_or(i64::MIN) || window.0 <= cx.forgotten,
                aggregates: sweep.accumulators.values(),
            });
        }
        groups
    }
}

/// Aggregates over `rows[from..to]`, both ends moving forward.
struct Sweep {
    accumulators: Accumulators,
    from: usize,
    to: usize,
    late: usize,
}

impl Sweep {
    fn new(cx: &Context<'_>) -> Self {
        let accumulators = Accumulators::new(&cx.plan.aggregates, Mode::Sliding);
        Sweep { accumulators, from: 0, to: 0, late: 0 }
    }

    fn advance(&mut self, rows: &[KeyedRow], from: usize, to: usize, cx: &Context<'_>) {
        if from >= self.to {
            *self = Sweep { from, to: from, ..Sweep::new(cx) };
        }
        for row in &rows[self.to..to] {
            self.accumulators.add(&cx.plan.aggregates, &row.values, usize::MAX);
            self.late += usize::from(row.late);
        }
        for row in &rows[self.from..from] {
            self.accumulators.remove(&cx.plan.aggregates, &row.values);
            self.late -= usize::from(row.late);
        }
        (self.from, self.to) = (from, to);
    }
}

fn order(row: &KeyedRow) -> (i64, u128) {
    (row.time, row.uid.bits)
}
