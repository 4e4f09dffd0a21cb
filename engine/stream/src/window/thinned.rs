//! Exact sliding windows of thresholds on growing values: for each row the closed interval of length
//! `size` that ends at it. Keeps the rows of a key in order and moves one window over the rows that
//! are new, so that a row costs what it changes; a late row costs the rows after it. Conditions of
//! any other kind are `sliding`.
//!
//! A key with more rows than are kept one by one is thinned: of each cell go the rows that no window
//! needs to reach any threshold of the condition, so that firing stays exact and what is shown
//! becomes a lower bound.

use std::{collections::HashSet, ops::Range};

use foldhash::fast::RandomState;
use sluice_event::Value;

use super::{
    Cell, Context, Group, Kind, Reported, Verdict,
    aggregate::{Accumulators, Mode},
    bucket::EVIDENCE,
    layout::{Argument, Compiled, Layout, Row, Rows},
    thin,
};
use crate::{
    AggregateFunction, Condition, EmitMode, WindowPlan,
    events::{EventRef, EventStore},
    keys::Timers,
    operator::{Arrival, Env, Restore},
    state::{Reader, StateError, Writer},
};

/// See the module.
#[derive(Debug)]
pub(crate) struct Thinned {
    size: i64,
    /// Aggregates that the condition reads, but plain `count(*)`: those a moving window keeps.
    moving: Vec<Compiled>,
    /// Per aggregate of the plan: what the condition reads.
    read: Vec<Read>,
    /// No condition is TRUE of fewer rows.
    least: usize,
}

/// Where the condition finds an aggregate.
#[derive(Clone, Copy, Debug)]
enum Read {
    Rows,
    Moving(usize),
    Nothing,
}

/// The rows of one key that a window can still need.
#[derive(Debug, Default)]
pub(crate) struct ThinnedRows {
    rows: Rows,
    /// The earliest row whose window must be judged; `i64::MAX` if there is none.
    fresh: Fresh,
    more: Option<Box<More>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Fresh(i64);

impl Default for Fresh {
    fn default() -> Self {
        Fresh(i64::MAX)
    }
}

/// What only busy keys have.
#[derive(Debug, Default)]
struct More {
    /// Per cell, by start: the time of its last row that qualifies.
    best: Vec<(i64, i64)>,
    /// Native ids by cell, of keys with many rows.
    native: Option<HashSet<(i64, u128), RandomState>>,
    /// The moving window as it was left, of keys with many rows.
    sweep: Option<Sweep>,
    /// Rows up to this time were thinned: windows that start at or before it show too little.
    truncated_through: Option<i64>,
    /// How many rows are kept before the next thinning.
    room: usize,
    /// An update is held back until the watermark is here.
    held: Option<i64>,
}

/// Keys with at most so many rows are looked through instead of indexed.
const FEW: usize = 24;
/// Of findings with so many rows a growth below a 32nd waits for the watermark.
const BUSY: u64 = 1_024;

impl Thinned {
    pub(crate) fn new(size: i64, plan: &WindowPlan, layout: &Layout) -> Self {
        let mut moving = Vec::new();
        let mut read = vec![Read::Nothing; layout.aggregates.len()];
        let leaves = plan.condition.as_ref().map(Condition::leaves).unwrap_or_default();
        for leaf in leaves {
            let Condition::Compare { aggregate, .. } = leaf else { continue };
            let Some(compiled) = layout.aggregates.get(*aggregate) else { continue };
            if matches!(read[*aggregate], Read::Nothing) {
                read[*aggregate] = if compiled.is_rows() {
                    Read::Rows
                } else {
                    moving.push(*compiled);
                    Read::Moving(moving.len() - 1)
                };
            }
        }
        let least = plan.condition.as_ref().map_or(0, |c| thin::least_rows(c, layout));
        Thinned { size: size.max(1), moving, read, least }
    }

    fn cell(&self, time: i64) -> i64 {
        time.div_euclid(self.size).saturating_mul(self.size)
    }

    fn end(&self, cell: i64) -> i64 {
        cell.saturating_add(self.size)
    }

    fn is_duplicate(&self, key: &mut ThinnedRows, row: &Arrival<'_>, events: &EventStore) -> bool {
        if !row.uid.native {
            return false;
        }
        let cell = self.cell(row.time);
        if key.rows.len() <= FEW {
            let same = |r: &Row| self.cell(r.time) == cell && events.uid(r.event()) == row.uid;
            return key.rows.list().iter().any(same);
        }
        let more = key.more.get_or_insert_default();
        let native = more.native.get_or_insert_with(|| {
            let rows = key.rows.list().iter();
            let ids = rows.map(|r| (self.cell(r.time), events.uid(r.event())));
            ids.filter(|(_, uid)| uid.native).map(|(cell, uid)| (cell, uid.bits)).collect()
        });
        !native.insert((cell, row.uid.bits))
    }

    /// Moves the window over the rows from `start` on that are before `before`; notes the last row
    /// of each cell that qualifies.
    fn judge(&self, key: &mut ThinnedRows, start: usize, before: i64, condition: &Condition) {
        let rows = &key.rows;
        let end = rows.from(before);
        let many = rows.len() > FEW;
        let kept = key.more.as_mut().and_then(|m| m.sweep.take());
        if start >= end {
            return;
        }
        if rows.len() < self.least {
            return;
        }
        let mut sweep = match kept {
            Some(sweep) if sweep.to == start => sweep,
            _ => {
                let from = rows.from(rows.list()[start].time.saturating_sub(self.size));
                let mut sweep = Sweep::new(&self.moving, from);
                (from..start).for_each(|at| sweep.add(&self.moving, rows, at));
                sweep.to = start;
                sweep
            }
        };
        let mut found: Vec<(i64, i64)> = Vec::new();
        while sweep.to < end {
            let time = rows.list()[sweep.to].time;
            while sweep.to < end && rows.list()[sweep.to].time == time {
                sweep.add(&self.moving, rows, sweep.to);
                sweep.to += 1;
            }
            let first = time.saturating_sub(self.size);
            while rows.list()[sweep.from].time < first {
                sweep.remove(&self.moving, rows, sweep.from);
                sweep.from += 1;
            }
            let count = sweep.to - sweep.from;
            if count < self.least || !condition.holds(&|i| self.value(&sweep, i, count)) {
                continue;
            }
            let cell = self.cell(time);
            match found.last_mut() {
                Some(last) if last.0 == cell => last.1 = time,
                _ => found.push((cell, time)),
            }
        }
        if found.is_empty() && !many {
            return;
        }
        let more = key.more.get_or_insert_default();
        for (cell, time) in found {
            match more.best.binary_search_by_key(&cell, |b| b.0) {
                Ok(at) => more.best[at].1 = more.best[at].1.max(time),
                Err(at) => more.best.insert(at, (cell, time)),
            }
        }
        more.sweep = many.then_some(sweep);
    }

    fn value(&self, sweep: &Sweep, aggregate: usize, rows: usize) -> Value {
        match self.read.get(aggregate) {
            Some(Read::Rows) => Value::Int(rows as i64),
            Some(Read::Moving(n)) => sweep.accumulators.value(*n),
            Some(Read::Nothing) | None => Value::Null,
        }
    }

    /// The rows of the window of the row at `time`.
    fn window(&self, rows: &Rows, time: i64) -> Range<usize> {
        let from = rows.from(time.saturating_sub(self.size));
        from..rows.after(time).max(from)
    }

    fn group(&self, key: &ThinnedRows, time: i64, cx: &Context<'_>) -> Group {
        let range = self.window(&key.rows, time);
        let start = time.saturating_sub(self.size);
        Group {
            id: self.cell(time),
            window: (start, time),
            time,
            rows: range.len() as u64,
            late: key.rows.list()[range.clone()].iter().any(Row::is_late),
            capped: key.is_truncated(start) || start <= cx.evicted_through,
            aggregates: summarize(cx.layout, &key.rows, range),
        }
    }

    /// Cells that changed or close, judged by the moving window.
    fn judged(
        &self,
        key: &mut ThinnedRows,
        cx: &Context<'_>,
        condition: &Condition,
        reported: &Reported,
        before: i64,
    ) -> Vec<Cell> {
        let from = key.fresh.0;
        let start = from;
        if from < before {
            let first = key.rows.from(start);
            self.judge(key, first, before, condition);
            key.fresh =
                Fresh(key.rows.list().get(key.rows.from(before)).map_or(i64::MAX, |r| r.time));
        }
        let Some(more) = &mut key.more else { return Vec::new() };
        let was_held = more.held.take().is_some();
        if more.best.is_empty() && reported.is_empty() {
            return Vec::new();
        }
        let best = more.best.clone();
        let lost = reported.ids().filter(|id| best.binary_search_by_key(id, |b| b.0).is_err());
        let lost: Vec<i64> = lost.collect();
        let mut cells = Vec::new();
        let mut held = None;
        for (id, time) in best {
            let closed = cx.frontier.closed >= self.end(id);
            let known = reported.get(id);
            let touched = time >= start || was_held || known.is_none_or(|g| g.time != time);
            if !touched && !closed {
                continue;
            }
            let rows = self.window(&key.rows, time).len() as u64;
            let grown = known.map_or(u64::MAX, |g| rows.saturating_sub(g.rows));
            let first = time.saturating_sub(self.size);
            let capped = key.is_truncated(first) || first <= cx.evicted_through;
            if let Some(known) = known {
                let same = known.time == time && known.rows == rows;
                // Fewer rows than were reported: they were thinned since.
                if same || (capped && rows <= known.rows) {
                    if closed || (capped && !known.capped) {
                        let verdict = Verdict::AsReported;
                        cells.push(Cell { id, closed, capped, verdict });
                    }
                    continue;
                }
                let slow = cx.emit == EmitMode::OnMatch
                    && known.rows >= BUSY
                    && grown < known.rows / 32
                    && known.capped == capped;
                if slow && !closed && cx.frontier.watermark <= time {
                    held = held.max(Some(time.saturating_add(1)));
                    continue;
                }
            }
            let verdict = Verdict::Judged(Some(self.group(key, time, cx)));
            cells.push(Cell { id, closed, capped, verdict });
        }
        for id in lost {
            let closed = cx.frontier.closed >= self.end(id);
            let first = id.saturating_sub(self.size);
            let capped = key.is_truncated(first) || first <= cx.evicted_through;
            let was_judged = self.end(id) > start;
            if was_judged || closed {
                cells.push(Cell { id, closed, capped, verdict: Verdict::Judged(None) });
            }
        }
        if let Some(more) = &mut key.more {
            more.held = held;
        }
        cells
    }
}

impl Kind for Thinned {
    type Rows = ThinnedRows;
    const VERSION: u8 = 2;

    fn start(&self) -> ThinnedRows {
        ThinnedRows::default()
    }

    fn insert(
        &self,
        key: &mut ThinnedRows,
        layout: &Layout,
        row: &Arrival<'_>,
        env: &mut Env<'_>,
    ) -> bool {
        if self.is_duplicate(key, row, env.events) {
            return false;
        }
        key.rows.push(layout, row, env.texts);
        key.fresh = key.fresh.min(Fresh(row.time));
        true
    }

    fn examine(
        &self,
        key: &mut ThinnedRows,
        cx: &Context<'_>,
        env: &mut Env<'_>,
        reported: &Reported,
    ) -> Vec<Cell> {
        let moved = key.rows.sort(env.events);
        if let Some(more) = &mut key.more {
            more.sweep.take_if(|s| s.to > moved);
        }
        let before = match cx.emit {
            EmitMode::OnMatch => i64::MAX,
            EmitMode::OnWatermark => cx.frontier.watermark,
            EmitMode::OnClose => self.cell(cx.frontier.closed),
        };
        let room = key.more.as_ref().map_or(0, |m| m.room).max(cx.limits.window_events_max);
        let excess = key.rows.len().saturating_sub(room);
        let Some(condition) = &cx.plan.condition else { return Vec::new() };
        let cells = self.judged(key, cx, condition, reported, before);
        if excess > 0 {
            self.shrink(key, cx, condition, env);
        }
        cells
    }

    fn evidence(&self, key: &ThinnedRows, group: &Group) -> Vec<EventRef> {
        let rows = &key.rows.list()[self.window(&key.rows, group.time)];
        let tail = rows.len().saturating_sub(EVIDENCE).max(EVIDENCE.min(rows.len()));
        rows.iter().take(EVIDENCE).chain(&rows[tail..]).map(Row::event).collect()
    }

    fn finish(&self, key: &mut ThinnedRows, cx: &Context<'_>) -> Option<Timers> {
        let closed = cx.frontier.closed;
        let open = self.cell(closed);
        if let Some(more) = &mut key.more {
            more.best.retain(|(cell, _)| self.end(*cell) > closed);
        }
        let unneeded = key.rows.from(open.saturating_sub(self.size));
        if unneeded > 0 && (unneeded * 4 >= key.rows.len() || unneeded == key.rows.len()) {
            self.forget(key, unneeded);
        }
        let last = key.rows.list().last()?.time;
        let next = match key.rows.list().get(key.rows.from(open)) {
            Some(row) => self.end(self.cell(row.time)),
            None => last.saturating_add(self.size).saturating_add(1),
        };
        let held = key.more.as_ref().and_then(|m| m.held);
        let watermark = match cx.emit {
            EmitMode::OnWatermark if key.fresh.0 < i64::MAX => Some(key.fresh.0.saturating_add(1)),
            EmitMode::OnMatch => held,
            EmitMode::OnWatermark | EmitMode::OnClose => None,
        };
        Some(Timers { watermark, closed: Some(next) })
    }

    fn rows(key: &ThinnedRows) -> usize {
        key.rows.len()
    }

    fn newest(key: &ThinnedRows) -> Option<i64> {
        key.rows.list().iter().map(|r| r.time).max()
    }

    fn bytes(key: &ThinnedRows) -> usize {
        let more = key.more.as_ref().map_or(0, |m| {
            160 + m.best.len() * 16
                + m.native.as_ref().map_or(0, |n| n.capacity() * 34)
                + m.sweep.as_ref().map_or(0, |s| s.accumulators.bytes())
        });
        80 + key.rows.bytes() + more
    }

    fn encode(&self, key: &ThinnedRows, w: &mut Writer) {
        let more = key.more.as_ref();
        w.option(more.and_then(|m| m.truncated_through));
        w.length(more.map_or(0, |m| m.room));
        let best = more.map_or(&[][..], |m| &m.best);
        w.length(best.len());
        for (cell, time) in best {
            w.signed(*cell);
            w.signed(*time);
        }
        w.option((key.fresh.0 < i64::MAX).then_some(key.fresh.0));
        key.rows.encode(w);
    }

    fn decode(
        &self,
        layout: &Layout,
        r: &mut Reader<'_>,
        restore: &mut Restore<'_>,
    ) -> Result<ThinnedRows, StateError> {
        let truncated_through = r.option()?;
        let room = r.unsigned()? as usize;
        let best = r.list(|r| Ok((r.signed()?, r.signed()?)))?;
        let fresh = Fresh(r.option()?.unwrap_or(i64::MAX));
        let rows = Rows::decode(layout, r, restore)?;
        let plain = truncated_through.is_none() && room == 0 && best.is_empty();
        let more = More { truncated_through, room, best, ..More::default() };
        Ok(ThinnedRows { rows, fresh, more: (!plain).then(|| Box::new(more)) })
    }
}

impl Thinned {
    fn forget(&self, key: &mut ThinnedRows, rows: usize) {
        key.rows.drop_first(rows);
        let Some(more) = &mut key.more else { return };
        more.sweep.take_if(|s| s.from < rows);
        if let Some(sweep) = &mut more.sweep {
            sweep.from -= rows;
            sweep.to -= rows;
        }
        // Ids of cells that are gone; those of cells that are not closed are all still there.
        if let Some(native) = &mut more.native {
            let first = key.rows.list().first().map_or(i64::MAX, |r| self.cell(r.time));
            if key.rows.len() <= FEW {
                more.native = None;
            } else if native.len() > 2 * key.rows.len() {
                native.retain(|(cell, _)| *cell >= first);
            }
        }
    }

    /// Thins a key with too many rows.
    fn shrink(
        &self,
        key: &mut ThinnedRows,
        cx: &Context<'_>,
        condition: &Condition,
        env: &mut Env<'_>,
    ) {
        let before = key.rows.len();
        let mut keep = vec![true; before];
        let mut at = 0;
        let mut dropped = None;
        while at < before {
            let cell = self.cell(key.rows.list()[at].time);
            let end = key.rows.from(self.end(cell)).max(at + 1);
            thin::cell(condition, cx.layout, &key.rows, at..end, &mut keep);
            at = end;
        }
        for (row, keep) in key.rows.list().iter().zip(&keep) {
            if !keep {
                dropped = dropped.max(Some(row.time));
            }
        }
        key.rows.retain(&keep);
        env.stats.truncated += (before - key.rows.len()) as u64;
        let more = key.more.get_or_insert_default();
        more.sweep = None;
        more.truncated_through = more.truncated_through.max(dropped);
        more.room = (2 * key.rows.len()).max(cx.limits.window_events_max);
    }
}

impl ThinnedRows {
    /// Whether windows that start here show too little.
    fn is_truncated(&self, start: i64) -> bool {
        self.more.as_ref().and_then(|m| m.truncated_through).is_some_and(|t| start <= t)
    }
}

/// Aggregates over `rows[from..to]`, both ends moving forward.
#[derive(Debug)]
struct Sweep {
    accumulators: Accumulators,
    from: usize,
    to: usize,
}

impl Sweep {
    fn new(moving: &[Compiled], at: usize) -> Self {
        Sweep { accumulators: Accumulators::new(moving, Mode::Sliding), from: at, to: at }
    }

    fn add(&mut self, moving: &[Compiled], rows: &Rows, at: usize) {
        if !moving.is_empty() {
            self.accumulators.add(moving, &rows.view(at), usize::MAX);
        }
    }

    fn remove(&mut self, moving: &[Compiled], rows: &Rows, at: usize) {
        if !moving.is_empty() {
            self.accumulators.remove(moving, &rows.view(at));
        }
    }
}

/// Every aggregate over some rows: counts and times are read off, the rest is added up.
fn summarize(layout: &Layout, rows: &Rows, range: Range<usize>) -> Box<[Value]> {
    let mut values = vec![Value::Null; layout.aggregates.len()];
    let mut rest = Vec::new();
    for (n, aggregate) in layout.aggregates.iter().enumerate() {
        let passes = |at: &usize| aggregate.passes(&rows.view(*at));
        let time = |at: usize| Value::Time(rows.list()[at].time);
        values[n] = match (aggregate.function, aggregate.argument) {
            (AggregateFunction::Count, Argument::Row) if aggregate.is_rows() => {
                Value::Int(range.len() as i64)
            }
            (AggregateFunction::Count, Argument::Row | Argument::Time) => {
                Value::Int(range.clone().filter(passes).count() as i64)
            }
            (AggregateFunction::Min, Argument::Time) => {
                range.clone().find(passes).map_or(Value::Null, time)
            }
            (AggregateFunction::Max, Argument::Time) => {
                range.clone().rev().find(passes).map_or(Value::Null, time)
            }
            _ => {
                rest.push(n);
                continue;
            }
        };
    }
    if !rest.is_empty() {
        let aggregates = || rest.iter().filter_map(|n| layout.aggregates.get(*n));
        let mut accumulators = Accumulators::new(aggregates(), Mode::Growing);
        for at in range {
            accumulators.add(aggregates(), &rows.view(at), usize::MAX);
        }
        for (place, n) in rest.iter().enumerate() {
            values[*n] = accumulators.value(place);
        }
    }
    values.into()
}
