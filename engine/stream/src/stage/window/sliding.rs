//! Exact sliding windows of conditions that a later row can make false again, or that only an
//! expression engine can judge: for each row the closed interval of length `size` that ends at it.
//! Keeps the rows of a key in order and moves one window over the rows that are new, so that a row
//! costs what it changes; a late row costs the rows after it. Thresholds on growing values need
//! less: that is `family`.
//!
//! Of a key with more rows than are kept one by one the oldest are judged, at once, and then folded
//! into stretches of time (`folded`): nothing that comes after a row takes it out of a window.

mod key;
mod sweep;

use sluice_event::TimeFlags;

use super::{
    Cell, Context, Group, Kind, Reported, Verdict,
    aggregate::{Accumulators, Mode, Way},
    bucket::EVIDENCE,
    folded::Folded,
    layout::{Compiled, Layout, Row, Rows},
    native::{FEW, NativeIds},
    thin,
};
use crate::{
    Bound, Condition, EmitMode, Pace, WindowPlan,
    caps::Caps,
    events::{EventRef, EventStore},
    keys::Timers,
    operator::{Arrival, Env, Lost, Restore},
    state::{Reader, StateError, Writer},
};
use key::{More, SlidingRows};
use sweep::Sweep;

/// See the module.
#[derive(Debug)]
pub(crate) struct Sliding {
    size: i64,
    /// The aggregates that a moving window keeps: those the condition reads, or all if it is an
    /// expression; but plain `count(*)`.
    moving: Vec<Compiled>,
    /// Their places among the aggregates of the plan.
    places: Vec<usize>,
    /// Per aggregate of the plan: where the moving window has it.
    read: Vec<Read>,
    /// No condition is TRUE of fewer rows.
    least: usize,
}

/// Where the moving window has an aggregate.
#[derive(Clone, Copy, Debug)]
enum Read {
    Rows,
    Moving(usize),
    Nothing,
}

impl Sliding {
    pub(crate) fn new(size: i64, plan: &WindowPlan, layout: &Layout) -> Self {
        let all = 0..layout.aggregates.len();
        let wanted: Vec<usize> = match &plan.condition {
            None => all.collect(),
            Some(condition) => condition.aggregates(),
        };
        let (mut moving, mut places) = (Vec::new(), Vec::new());
        let mut read = vec![Read::Nothing; layout.aggregates.len()];
        for place in wanted {
            let Some(compiled) = layout.aggregates.get(place) else { continue };
            read[place] = if compiled.is_rows() {
                Read::Rows
            } else {
                moving.push(*compiled);
                places.push(place);
                Read::Moving(moving.len() - 1)
            };
        }
        let least = plan.condition.as_ref().map_or(0, |c| thin::least_rows(c, layout));
        Sliding { size: size.max(1), moving, places, read, least }
    }

    fn cell(&self, time: i64) -> i64 {
        time.div_euclid(self.size).saturating_mul(self.size)
    }

    fn end(&self, cell: i64) -> i64 {
        cell.saturating_add(self.size)
    }

    fn is_duplicate(&self, key: &mut SlidingRows, row: &Arrival<'_>, events: &EventStore) -> bool {
        if !row.uid.native {
            return false;
        }
        let cell = |time| self.cell(time);
        if key.rows.len() <= FEW && key.more.as_ref().is_none_or(|m| m.native.is_none()) {
            return NativeIds::is_among(&key.rows, (row.time, row.uid), cell, events);
        }
        let more = key.more.get_or_insert_default();
        let native = more.native.get_or_insert_with(|| NativeIds::of(&key.rows, cell, events));
        !native.insert(cell(row.time), row.uid)
    }

    /// The window that ends at `time`, with every aggregate of the plan.
    fn group(&self, key: &SlidingRows, time: i64, cx: &Context<'_>) -> Group {
        let start = time.saturating_sub(self.size);
        let rows = &key.rows;
        let (from, to) = (rows.from(start), rows.after(time));
        let aggregates = &cx.layout.aggregates;
        let mut accumulators = Accumulators::new(aggregates, Mode::Growing);
        let (mut late, mut time_flags) = (false, TimeFlags::NONE);
        let mut count = to.saturating_sub(from) as u64;
        for stretch in key.stretches().within(start, time) {
            accumulators.merge(&stretch.accumulators, 0..aggregates.len(), Way::In);
            late |= stretch.late;
            time_flags |= stretch.time_flags;
            count += stretch.rows;
        }
        for at in from..to {
            accumulators.add(aggregates, &rows.view(at), usize::MAX);
            late |= rows.list()[at].is_late();
            time_flags |= rows.list()[at].time_flags();
        }
        Group {
            id: self.cell(time),
            window: (start, time),
            time,
            rows: count,
            late,
            time_flags,
            caps: Caps::KEYS.when(start <= cx.evicted_through)
                | Caps::ROWS.when(!key.stretches().is_exact(start, time)),
            aggregates: accumulators.values(),
        }
    }

    /// Why what a cell shows now may not be what all rows of its windows would.
    fn lost(&self, key: &SlidingRows, cell: i64, cx: &Context<'_>) -> Caps {
        let first = cell.saturating_sub(self.size);
        Caps::KEYS.when(first <= cx.evicted_through)
            | Caps::ROWS.when(!key.stretches().is_exact_from(first))
    }

    /// Cells that changed or close, judged by the moving window; and whether one that only grew waits,
    /// which it does at that pace unless `all` are wanted.
    fn judged(
        &self,
        key: &mut SlidingRows,
        cx: &Context<'_>,
        condition: &Condition,
        reported: &Reported,
        before: i64,
        all: bool,
    ) -> (Vec<Cell>, bool) {
        let from = key.fresh;
        let mut start = from;
        if from < before {
            // A late row can take away what qualified: its cell is judged anew.
            if let (false, Some(more)) = (cx.plan.monotone, &mut key.more)
                && more.best.last().is_some_and(|(_, time)| *time >= from)
            {
                start = self.cell(from);
                let folded = &more.folded;
                // What was judged before it was folded away stands.
                more.best.retain(|(_, time)| *time < start || !folded.is_exact_from(*time));
            }
            self.judge(key, start, before, condition);
            key.fresh = key.first_from(before);
        }
        let Some(more) = &mut key.more else { return (Vec::new(), false) };
        if more.best.is_empty() && reported.is_empty() {
            return (Vec::new(), false);
        }
        let waited = std::mem::take(&mut more.waits);
        let best = more.best.clone();
        let mut waits = false;
        let mut cells = Vec::new();
        for (id, time) in &best {
            let (id, time) = (*id, *time);
            let closed = cx.frontier.closed >= self.end(id);
            let known = reported.get(id);
            let changed = known.is_none_or(|g| g.time != time)
                || (waited || time >= start)
                    && known.is_some_and(|g| g.rows != self.count(key, time));
            let waiting = !all && cx.pace != Pace::EveryChange;
            if changed && known.is_some() && !closed && waiting {
                waits = true;
                continue;
            }
            let verdict = match changed {
                true => Verdict::Judged(Some(self.group(key, time, cx))),
                false if closed => Verdict::AsReported,
                false => continue,
            };
            cells.push(Cell { id, closed, caps: Caps::NONE, verdict });
        }
        let lost = reported.ids().filter(|id| best.binary_search_by_key(id, |b| b.0).is_err());
        for id in lost {
            let closed = cx.frontier.closed >= self.end(id);
            if closed || self.end(id) > start {
                let (caps, verdict) = (self.lost(key, id, cx), Verdict::Judged(None));
                cells.push(Cell { id, closed, caps, verdict });
            }
        }
        if let Some(more) = &mut key.more {
            more.waits = waits;
        }
        (cells, waits)
    }

    /// Notes the last row of each cell that qualifies among those from `start` on and before
    /// `before`.
    fn judge(&self, key: &mut SlidingRows, start: i64, before: i64, condition: &Condition) {
        if key.rows.len() < self.least && key.stretches().list().is_empty() {
            return;
        }
        let mut found: Vec<(i64, i64)> = Vec::new();
        self.sweep(key, start, before, |sweep, time| {
            if sweep.rows() < self.least || !condition.holds(&|i| self.value(sweep, i)) {
                return;
            }
            let cell = self.cell(time);
            match found.last_mut() {
                Some(last) if last.0 == cell => last.1 = time,
                _ => found.push((cell, time)),
            }
        });
        for (cell, time) in found {
            let more = key.more.get_or_insert_default();
            match more.best.binary_search_by_key(&cell, |b| b.0) {
                Ok(at) => more.best[at].1 = more.best[at].1.max(time),
                Err(at) => more.best.insert(at, (cell, time)),
            }
        }
    }

    /// How many rows the window that ends at `time` holds.
    fn count(&self, key: &SlidingRows, time: i64) -> u64 {
        let start = time.saturating_sub(self.size);
        let rows = key.rows.after(time).saturating_sub(key.rows.from(start));
        let folded = key.stretches().within(start, time).iter().map(|s| s.rows).sum::<u64>();
        rows as u64 + folded
    }

    /// The same for conditions that are an expression: a group for every time at which there is a
    /// row that was not judged yet.
    fn open(
        &self,
        key: &mut SlidingRows,
        cx: &Context<'_>,
        reported: &Reported,
        before: i64,
    ) -> Vec<Cell> {
        let mut cells: Vec<Cell> = Vec::new();
        let from = key.fresh;
        if from < before {
            // A late row can take away what qualified: its cell is judged anew.
            let known = reported.get(self.cell(from));
            let anew = !cx.plan.monotone && known.is_some_and(|g| g.time >= from);
            let start = if anew { self.cell(from) } else { from };
            self.sweep(key, start, before, |sweep, time| {
                let first = time.saturating_sub(self.size);
                let values = (0..self.read.len()).map(|i| self.value(sweep, i));
                let group = Group {
                    id: self.cell(time),
                    window: (first, time),
                    time,
                    rows: sweep.rows() as u64,
                    late: sweep.is_late(),
                    time_flags: sweep.time_flags(),
                    caps: Caps::KEYS.when(first <= cx.evicted_through)
                        | Caps::ROWS.when(!sweep.is_exact(first, time)),
                    aggregates: values.collect(),
                };
                let id = group.id;
                match cells.last_mut() {
                    Some(Cell { id: last, verdict: Verdict::Open { groups, .. }, .. })
                        if *last == id =>
                    {
                        groups.push(group);
                    }
                    _ => {
                        let verdict = Verdict::Open { groups: vec![group], whole: start <= id };
                        cells.push(Cell { id, closed: false, caps: Caps::NONE, verdict });
                    }
                }
            });
            for cell in &mut cells {
                cell.closed = cx.frontier.closed >= self.end(cell.id);
                cell.caps = self.lost(key, cell.id, cx);
            }
            key.fresh = key.first_from(before);
        }
        for id in reported.ids() {
            if cx.frontier.closed >= self.end(id) && !cells.iter().any(|c| c.id == id) {
                let verdict = Verdict::AsReported;
                cells.push(Cell { id, closed: true, caps: Caps::NONE, verdict });
            }
        }
        cells
    }

    /// Folds the first rows, which are judged.
    fn fold(&self, key: &mut SlidingRows, layout: &Layout, rows: usize) {
        let more = key.more.get_or_insert_default();
        more.folded.fold(layout, &key.rows, rows);
        more.sweep = None;
        key.rows.drop_first(rows);
    }

    /// Drops what is before `time`.
    fn forget(&self, key: &mut SlidingRows, time: i64) {
        let unneeded = key.rows.from(time);
        let many = unneeded * 4 >= key.rows.len();
        let rows = if many { unneeded } else { 0 };
        key.rows.drop_first(rows);
        let first = key.rows.list().first().map_or(i64::MAX, |r| r.time);
        let Some(more) = &mut key.more else { return };
        let stretches = more.folded.from(time);
        more.folded.drop_before(time);
        if let Some(sweep) = more.sweep.take() {
            more.sweep = sweep.without(rows, stretches);
        }
        let folded = more.folded.list().first().map_or(i64::MAX, |s| s.first);
        let few = key.rows.len() <= FEW && more.folded.list().is_empty();
        match &mut more.native {
            Some(native) if !few => native.forget(self.cell(first.min(folded)), key.rows.len()),
            native => *native = None,
        }
    }
}

impl Kind for Sliding {
    type Rows = SlidingRows;
    const VERSION: u8 = 5;

    fn start(&self) -> SlidingRows {
        SlidingRows { rows: Rows::default(), fresh: i64::MAX, more: None }
    }

    fn insert(
        &self,
        key: &mut SlidingRows,
        layout: &Layout,
        row: &Arrival<'_>,
        env: &mut Env<'_>,
    ) -> bool {
        if self.is_duplicate(key, row, env.events) {
            return false;
        }
        key.rows.push(layout, row, env.texts);
        key.fresh = key.fresh.min(row.time);
        true
    }

    fn examine(
        &self,
        key: &mut SlidingRows,
        cx: &Context<'_>,
        env: &mut Env<'_>,
        reported: &Reported,
    ) -> Vec<Cell> {
        let moved = key.rows.sort(env.events);
        if let Some(more) = &mut key.more {
            more.sweep.take_if(|s| s.reaches(moved));
        }
        let most = cx.limits.window_events_max;
        let excess = key.rows.len().saturating_sub(most);
        // Of a key whose rows are about to go everything is said that its rule says.
        let emit = if excess > 0 { cx.rule_emit } else { cx.emit };
        let mut before = match emit {
            EmitMode::OnMatch => i64::MAX,
            EmitMode::OnWatermark => cx.frontier.watermark,
            EmitMode::OnClose => self.cell(cx.frontier.closed),
        };
        let mut folds = 0;
        if excess > 0 {
            // Some more than there must be, so that the next rows find room.
            let at = (excess + most / 8).min(key.rows.len()) - 1;
            let last = key.rows.list()[at].time;
            folds = key.rows.after(last);
            if last >= before {
                let judged = key.rows.from(before).min(folds);
                env.stats[0].judged_early += (folds - judged) as u64;
                before = last.saturating_add(1);
            }
            env.stats[0].truncated += folds as u64;
            env.lost = Some(Lost { bound: Bound::RowsOfKey, time: last });
        }
        let cells = match &cx.plan.condition {
            Some(condition) => {
                let (cells, waits) = self.judged(key, cx, condition, reported, before, excess > 0);
                env.waits |= waits;
                cells
            }
            None => self.open(key, cx, reported, before),
        };
        if folds > 0 {
            self.fold(key, cx.layout, folds);
        }
        cells
    }

    fn evidence(&self, key: &SlidingRows, group: &Group) -> Vec<EventRef> {
        let (start, end) = group.window;
        let stretches = key.stretches().within(start, end);
        let rows = &key.rows.list()[key.rows.from(start)..];
        let rows = &rows[..rows.partition_point(|r| r.time <= end)];
        let mut all: Vec<EventRef> = stretches.iter().flat_map(|s| s.shown()).collect();
        if all.is_empty() {
            let tail = rows.len().saturating_sub(EVIDENCE).max(EVIDENCE.min(rows.len()));
            return rows.iter().take(EVIDENCE).chain(&rows[tail..]).map(Row::event).collect();
        }
        all.extend(rows.iter().map(Row::event));
        if all.len() > 2 * EVIDENCE {
            all.drain(EVIDENCE..all.len() - EVIDENCE);
        }
        all
    }

    fn finish(&self, key: &mut SlidingRows, cx: &Context<'_>) -> Option<Timers> {
        let closed = cx.frontier.closed;
        let open = self.cell(closed);
        if let Some(more) = &mut key.more {
            more.best.retain(|(cell, _)| self.end(*cell) > closed);
        }
        self.forget(key, open.saturating_sub(self.size));
        let newest = key.newest()?;
        let next = match key.first_from(open) {
            i64::MAX => newest.saturating_add(self.size).saturating_add(1),
            time => self.end(self.cell(time)),
        };
        // With too few rows nothing can qualify; the next row is looked at anyway.
        let enough = key.rows.len() >= self.least || !key.stretches().list().is_empty();
        let waits = enough && cx.emit == EmitMode::OnWatermark && key.fresh < i64::MAX;
        let watermark = waits.then(|| key.fresh.saturating_add(1));
        Some(Timers { watermark, closed: Some(next), waits: false })
    }

    fn rows(key: &SlidingRows) -> usize {
        key.rows.len() + key.stretches().rows() as usize
    }

    fn newest(key: &SlidingRows) -> Option<i64> {
        key.newest()
    }

    fn bytes(key: &SlidingRows) -> usize {
        let more = key.more.as_ref().map_or(0, |m| {
            160 + m.best.len() * 16
                + m.native.as_ref().map_or(0, NativeIds::bytes)
                + m.sweep.as_ref().map_or(0, Sweep::bytes)
                + m.folded.bytes()
        });
        64 + key.rows.bytes() + more
    }

    fn encode(&self, key: &SlidingRows, w: &mut Writer) {
        let best = key.more.as_ref().map_or(&[][..], |m| &m.best);
        w.length(best.len());
        for (cell, time) in best {
            w.signed(*cell);
            w.signed(*time);
        }
        w.option((key.fresh < i64::MAX).then_some(key.fresh));
        key.rows.encode(w);
        key.stretches().encode(w);
    }

    fn decode(
        &self,
        layout: &Layout,
        r: &mut Reader<'_>,
        restore: &mut Restore<'_>,
    ) -> Result<SlidingRows, StateError> {
        let best = r.list(|r| Ok((r.signed()?, r.signed()?)))?;
        let fresh = r.option()?.unwrap_or(i64::MAX);
        let rows = Rows::decode(layout, r, restore)?;
        let folded = Folded::decode(layout, r, restore)?;
        let plain = best.is_empty() && folded.list().is_empty();
        let more = More { best, folded, waits: true, ..More::default() };
        Ok(SlidingRows { rows, fresh, more: (!plain).then(|| Box::new(more)) })
    }
}
