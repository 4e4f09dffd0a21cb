//! One rule of a family: its window moves over the rows that have its bit. Does not know the other
//! rules.

use std::sync::Arc;

use sluice_event::{TimeFlags, Value};

use super::at_once;
use crate::{
    AggregateFunction, Comparison, Condition, EmitMode, Pace, StreamPlan,
    caps::Caps,
    events::EventRef,
    keys::Timers,
    operator::Env,
    stage::window::{
        Context,
        aggregate::{Accumulators, Mode},
        bucket::EVIDENCE,
        layout::{Argument, Compiled, Layout, Row, Rows},
        report::{Cell, Group, Reported, Verdict},
        thin, window_plan,
    },
};

/// See the module.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) rule_index: usize,
    pub(super) plan: Arc<StreamPlan>,
    /// Over the rows of the family.
    pub(super) layout: Layout,
    pub(super) size: i64,
    /// Of its rows.
    pub(super) bit: u64,
    /// Intermediate columns that are filters, and their bits.
    pub(super) filters: Vec<(usize, u64)>,
    /// Intermediate columns that are kept, and their places among the values of a row.
    pub(super) columns: Vec<(usize, usize)>,
    /// Its condition is not TRUE of fewer rows.
    pub(super) least: usize,
    /// Aggregates that the condition reads, but plain `count(*)`: those a moving window keeps.
    moving: Vec<Compiled>,
    /// Per aggregate of the plan: where the condition finds it.
    read: Vec<Read>,
}

#[derive(Clone, Copy, Debug)]
enum Read {
    Rows,
    Moving(usize),
    Nothing,
}

/// What a rule that may fire has of a key.
#[derive(Debug)]
pub(super) struct Awake {
    /// Which rule of the family.
    pub(super) member: usize,
    /// The time of the earliest row whose window must be judged; `i64::MAX` if there is none.
    pub(super) fresh: i64,
    /// Per cell, by start: the time of its last row that qualifies, and how many rows its window has.
    pub(super) best: Vec<(i64, i64, u64)>,
    /// The moving window as it was left, of keys with many rows.
    pub(super) sweep: Option<Sweep>,
    pub(super) reported: Reported,
    /// An update is held back until the watermark is here.
    pub(super) held: Option<i64>,
    /// Something waits for a take of every change.
    pub(super) waits: bool,
}

/// The window over `rows[from..to]`, both ends moving forward.
#[derive(Debug)]
pub(super) struct Sweep {
    accumulators: Accumulators,
    from: usize,
    pub(super) to: usize,
    /// Rows of the rule in it.
    own: u64,
}

/// Of findings with so many rows a growth below a 32nd waits for the watermark.
const BUSY: u64 = 1_024;
/// Rows that were not judged yet are looked at cell by cell, up to so many.
const OPEN: usize = 8;

impl Member {
    pub(super) fn new(
        (rule_index, plan): (usize, Arc<StreamPlan>),
        layout: Layout,
        (size, bit): (i64, u64),
        filters: Vec<(usize, u64)>,
        columns: Vec<(usize, usize)>,
    ) -> Self {
        let mut read = vec![Read::Nothing; layout.aggregates.len()];
        let mut moving = Vec::new();
        let condition = window_plan(&plan).and_then(|p| p.condition.as_ref());
        for place in condition.map(Condition::aggregates).unwrap_or_default() {
            let Some(compiled) = layout.aggregates.get(place) else { continue };
            read[place] = if compiled.counts_rows_with(bit) {
                Read::Rows
            } else {
                moving.push(*compiled);
                Read::Moving(moving.len() - 1)
            };
        }
        let least = condition.map_or(0, |c| thin::least_rows(c, &layout));
        let size = size.max(1);
        Member { rule_index, plan, layout, size, bit, filters, columns, least, moving, read }
    }

    pub(super) fn condition(&self) -> Option<&Condition> {
        window_plan(&self.plan)?.condition.as_ref()
    }

    pub(super) fn cell(&self, time: i64) -> i64 {
        time.div_euclid(self.size).saturating_mul(self.size)
    }

    pub(super) fn end(&self, cell: i64) -> i64 {
        cell.saturating_add(self.size)
    }

    /// Whether there are rows enough for its condition, in whatever window. `tally` counts them by
    /// their bits, if it is there.
    pub(super) fn may_hold(&self, rows: &Rows, tally: Option<&[(u64, u32)]>) -> bool {
        let has = |need: u64, least: usize| match tally {
            Some(tally) => {
                let own = tally.iter().filter(|(bits, _)| bits & need == need);
                own.map(|(_, count)| *count as usize).sum::<usize>() >= least
            }
            None => {
                let own = rows.list().iter().filter(|row| row.bits & need == need);
                own.take(least).count() >= least
            }
        };
        rows.len() >= self.least && self.condition().is_none_or(|c| self.allows(c, &has))
    }

    fn allows(&self, condition: &Condition, has: &impl Fn(u64, usize) -> bool) -> bool {
        match condition {
            Condition::All(parts) => parts.iter().all(|part| self.allows(part, has)),
            Condition::Any(parts) => parts.iter().any(|part| self.allows(part, has)),
            Condition::Compare { aggregate, comparison, constant } => {
                let Some(compiled) = self.layout.aggregates.get(*aggregate) else { return true };
                let least = match (compiled.function, comparison, constant) {
                    (
                        AggregateFunction::Count | AggregateFunction::CountDistinct,
                        comparison,
                        Value::Int(n),
                    ) => {
                        let more = i64::from(*comparison == Comparison::Greater);
                        usize::try_from(n.saturating_add(more)).unwrap_or(0)
                    }
                    // NULL without a row, and so not TRUE.
                    _ => 1,
                };
                has(compiled.need(), least)
            }
        }
    }

    /// Cells that changed or close. `all`: even those that would be held back.
    pub(super) fn cells(
        &self,
        rows: &Rows,
        awake: &mut Awake,
        (truncated, flags): (Option<i64>, TimeFlags),
        all: bool,
        cx: &Context<'_>,
    ) -> Vec<Cell> {
        if cx.pace == Pace::News && self.only_grows(rows, awake, cx) {
            (awake.waits, awake.held) = (true, None);
            return Vec::new();
        }
        let before = match cx.emit {
            EmitMode::OnMatch => i64::MAX,
            EmitMode::OnWatermark => cx.frontier.watermark,
            EmitMode::OnClose => self.cell(cx.frontier.closed),
        };
        if awake.fresh < before {
            self.judge(rows, awake, before);
            awake.fresh = rows.list().get(rows.from(before)).map_or(i64::MAX, |r| r.time);
        }
        awake.held = None;
        // What is judged when its window closes would have been said before at another pace.
        awake.waits = cx.emit != cx.rule_emit && awake.fresh < i64::MAX;
        let mut cells = Vec::new();
        for (id, time, count) in &awake.best {
            let (id, time, count) = (*id, *time, *count);
            let closed = cx.frontier.closed >= self.end(id);
            let known = awake.reported.get(id);
            let first = time.saturating_sub(self.size);
            let thinned = truncated.is_some_and(|t| first <= t);
            let caps = Caps::ROWS.when(thinned) | Caps::KEYS.when(first <= cx.evicted_through);
            if let Some(known) = known {
                let same = known.time == time && known.rows == count;
                // Fewer rows than were reported: they were thinned since.
                let capped = !caps.is_none();
                if same || (capped && count <= known.rows) {
                    if closed || (capped && known.caps.is_none()) {
                        let verdict = Verdict::AsReported;
                        cells.push(Cell { id, closed, caps, verdict });
                    }
                    continue;
                }
                if cx.pace != Pace::EveryChange && !closed {
                    awake.waits = true;
                    continue;
                }
                let grown = count.saturating_sub(known.rows);
                let slow = at_once(cx.emit)
                    && !all
                    && known.rows >= BUSY
                    && grown < known.rows / 32
                    && known.caps.is_none() != capped;
                if slow && !closed && cx.frontier.watermark <= time {
                    awake.held = awake.held.max(Some(time.saturating_add(1)));
                    continue;
                }
            }
            let lost = if thinned { flags } else { TimeFlags::NONE };
            let verdict = Verdict::Judged(Some(self.group(rows, time, (caps, lost), cx)));
            cells.push(Cell { id, closed, caps, verdict });
        }
        for id in awake.reported.ids() {
            let closed = cx.frontier.closed >= self.end(id);
            if closed && !awake.best.iter().any(|(best, _, _)| *best == id) {
                let verdict = Verdict::AsReported;
                cells.push(Cell { id, closed, caps: Caps::NONE, verdict });
            }
        }
        let closed = cx.frontier.closed;
        awake.best.retain(|(cell, _, _)| self.end(*cell) > closed);
        cells
    }

    /// Whether rows that were not judged yet change nothing but findings that are known, and no
    /// window closes: thresholds on growing values stay reached.
    fn only_grows(&self, rows: &Rows, awake: &Awake, cx: &Context<'_>) -> bool {
        let best = awake.best.iter().map(|(cell, _, _)| *cell);
        let closes = best.chain(awake.reported.ids()).any(|id| cx.frontier.closed >= self.end(id));
        let Some(last) = rows.list().last().filter(|_| at_once(cx.emit) && !closes) else {
            return false;
        };
        if awake.fresh > last.time {
            return false;
        }
        let cells =
            std::iter::successors(Some(self.cell(awake.fresh)), |cell| Some(self.end(*cell)));
        let open = cells.take(OPEN + 1).take_while(|cell| *cell <= last.time);
        let (mut count, mut known) = (0, true);
        for cell in open {
            count += 1;
            known &= awake.reported.has(cell);
        }
        known && count <= OPEN
    }

    /// Moves the window over the rows from `fresh` on that are before `before`; notes the last row
    /// of each cell that qualifies.
    fn judge(&self, rows: &Rows, awake: &mut Awake, before: i64) {
        let Some(condition) = self.condition() else { return };
        let (start, end) = (rows.from(awake.fresh), rows.from(before));
        if start >= end {
            return;
        }
        let list = rows.list();
        let mut sweep = match awake.sweep.take() {
            Some(sweep) if sweep.to == start => sweep,
            _ => {
                let from = rows.from(list[start].time.saturating_sub(self.size));
                let accumulators = Accumulators::new(&self.moving, Mode::Sliding);
                let mut sweep = Sweep { accumulators, from, to: from, own: 0 };
                while sweep.to < start {
                    self.enter(&mut sweep, rows);
                }
                sweep
            }
        };
        while sweep.to < end {
            let time = list[sweep.to].time;
            let mut own = false;
            while sweep.to < end && list[sweep.to].time == time {
                own |= self.enter(&mut sweep, rows);
            }
            if !own {
                continue;
            }
            let first = time.saturating_sub(self.size);
            while list[sweep.from].time < first {
                self.leave(&mut sweep, rows);
            }
            if sweep.own < self.least as u64 || !condition.holds(&|i| self.value(&sweep, i)) {
                continue;
            }
            let cell = self.cell(time);
            match awake.best.binary_search_by_key(&cell, |best| best.0) {
                Ok(at) if awake.best[at].1 <= time => awake.best[at] = (cell, time, sweep.own),
                Ok(_) => {}
                Err(at) => awake.best.insert(at, (cell, time, sweep.own)),
            }
        }
        awake.sweep = (rows.len() > super::FEW).then_some(sweep);
    }

    /// The next row comes in; whether it is one of the rule.
    fn enter(&self, sweep: &mut Sweep, rows: &Rows) -> bool {
        let own = rows.list()[sweep.to].bits & self.bit != 0;
        if own {
            sweep.own += 1;
            if !self.moving.is_empty() {
                sweep.accumulators.add(&self.moving, &rows.view(sweep.to), usize::MAX);
            }
        }
        sweep.to += 1;
        own
    }

    fn leave(&self, sweep: &mut Sweep, rows: &Rows) {
        if rows.list()[sweep.from].bits & self.bit != 0 {
            sweep.own -= 1;
            if !self.moving.is_empty() {
                sweep.accumulators.remove(&self.moving, &rows.view(sweep.from));
            }
        }
        sweep.from += 1;
    }

    fn value(&self, sweep: &Sweep, aggregate: usize) -> Value {
        match self.read.get(aggregate) {
            Some(Read::Rows) => Value::Int(sweep.own as i64),
            Some(Read::Moving(n)) => sweep.accumulators.value(*n),
            Some(Read::Nothing) | None => Value::Null,
        }
    }

    /// Its rows of the window that ends at `time`, with their places.
    fn window<'r>(
        &self,
        rows: &'r Rows,
        time: i64,
    ) -> impl DoubleEndedIterator<Item = (usize, &'r Row)> + use<'r> {
        let from = rows.from(time.saturating_sub(self.size));
        let range = from..rows.after(time).max(from);
        let bit = self.bit;
        let list = rows.list().get(range).unwrap_or_default();
        let placed = list.iter().enumerate().map(move |(n, row)| (from + n, row));
        placed.filter(move |(_, row)| row.bits & bit != 0)
    }

    /// The window that ends at `time`; `lost`: what is wrong with times of rows that are not there any more.
    fn group(
        &self,
        rows: &Rows,
        time: i64,
        (caps, lost): (Caps, TimeFlags),
        cx: &Context<'_>,
    ) -> Group {
        let aggregates = &cx.layout.aggregates;
        let mut accumulators = Accumulators::new(aggregates, Mode::Growing);
        let (mut late, mut time_flags, mut count) = (false, lost, 0);
        for (at, row) in self.window(rows, time) {
            accumulators.add(aggregates, &rows.view(at), usize::MAX);
            late |= row.is_late();
            time_flags |= row.time_flags();
            count += 1;
        }
        Group {
            id: self.cell(time),
            window: (time.saturating_sub(self.size), time),
            time,
            rows: count,
            late,
            time_flags,
            caps,
            aggregates: accumulators.values(),
        }
    }

    /// The first and last rows of a group.
    pub(super) fn evidence(&self, rows: &Rows, group: &Group) -> Vec<EventRef> {
        let own = || self.window(rows, group.time).map(|(_, row)| row.event());
        let count = group.rows as usize;
        let mut shown: Vec<EventRef> = own().take(EVIDENCE).collect();
        let rest = count.saturating_sub(shown.len()).min(EVIDENCE);
        let mut last: Vec<EventRef> = own().rev().take(rest).collect();
        last.reverse();
        shown.append(&mut last);
        shown
    }

    /// When it must be looked at again even if no row comes.
    pub(super) fn timers(&self, awake: &Awake, env: &Env<'_>) -> Timers {
        let (emit, closed) = (env.emit(self.plan.emit), env.frontier.closed);
        let best = awake.best.iter().map(|(cell, _, _)| *cell);
        let ends = best.chain(awake.reported.ids()).map(|cell| self.end(cell));
        let waits = emit == EmitMode::OnWatermark && awake.fresh < i64::MAX;
        let closes = emit == EmitMode::OnClose && awake.fresh < i64::MAX;
        let unjudged = closes.then(|| self.end(self.cell(awake.fresh)));
        Timers {
            watermark: match emit {
                EmitMode::OnMatch => awake.held,
                EmitMode::OnWatermark | EmitMode::OnClose => {
                    waits.then(|| awake.fresh.saturating_add(1))
                }
            },
            closed: ends.chain(unjudged).filter(|end| *end > closed).min(),
            waits: awake.waits,
        }
    }
}

impl Awake {
    /// Every row from `fresh` on is to be judged.
    pub(super) fn new(member: usize, fresh: i64) -> Self {
        Awake {
            member,
            fresh,
            best: Vec::new(),
            sweep: None,
            reported: Reported::default(),
            held: None,
            waits: false,
        }
    }

    /// Whether nothing of it is reported or to be.
    pub(super) fn is_quiet(&self) -> bool {
        self.best.is_empty() && self.reported.is_empty() && self.held.is_none()
    }

    pub(super) fn bytes(&self) -> usize {
        let sweep = self.sweep.as_ref().map_or(0, |s| s.accumulators.bytes());
        104 + self.best.capacity() * 24 + sweep + self.reported.bytes()
    }
}

impl Sweep {
    /// The same after the first rows have gone, if it holds none of them.
    pub(super) fn without(mut self, rows: usize) -> Option<Sweep> {
        (self.from, self.to) = (self.from.checked_sub(rows)?, self.to.checked_sub(rows)?);
        Some(self)
    }
}

impl Compiled {
    /// Whether every row with this bit counts once: `count(*)` of a rule of a family.
    fn counts_rows_with(&self, bit: u64) -> bool {
        self.function == AggregateFunction::Count
            && self.argument == Argument::Row
            && self.need() == bit
            && !self.has_value_filter()
    }
}
