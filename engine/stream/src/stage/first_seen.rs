//! `first_seen(span, keys..)`: a row whose key tuple no earlier row within `span` has. Order is
//! (time, id). A key is a hash of the tuple; keeps per tuple the newest time that is final and the
//! few rows after it that matter.

use std::sync::Arc;

use arrow::{datatypes::SchemaRef, record_batch::RecordBatch};
use sluice_event::{TimeFlags, Value};

use super::{IndexedPlan, KeyColumns, KeyedStage, Limits, StageView, grain};
use crate::{
    Change, Emission, EmitMode, FindingState, Pace, StreamPlan,
    cells::Cell,
    emission::Outlet,
    events::EventRef,
    keys::{Keys, Slot, Timers},
    operator::{Arrival, Env, Operator, OperatorStats, Restore, Running},
    rows::{assemble, row_key},
    runtime::Runtime,
    shard::{HistoryStart, ShardOptions},
    state::{Reader, StateError, Writer},
    watermark::Frontier,
};

/// `first_seen(span, keys..)` as a conjunct of WHERE.
#[derive(Clone, Debug)]
pub struct FirstSeenPlan {
    /// How long a key tuple is remembered, milliseconds.
    pub span: i64,
    /// Intermediate columns `0..outputs` are the finding's columns; the rest are the key tuple.
    /// A NULL in the tuple: not first seen.
    pub outputs: usize,
}

/// A rule's key tuples, those of a shard.
#[derive(Debug)]
pub(crate) struct FirstSeenOperator {
    rule_index: usize,
    plan: Arc<StreamPlan>,
    span: i64,
    /// How many of the intermediate columns are the finding's.
    outputs: usize,
    history: History,
    /// Keys with rows that wait for `history`.
    waiting: Vec<Slot>,
}

/// From when on the table's history is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum History {
    /// Not known yet: rows wait.
    Undecided,
    /// Since ever: nothing is cold.
    Complete,
    /// Since this time: a row whose span reaches before it is cold.
    Since(i64),
}

/// One key tuple.
#[derive(Debug, Default)]
pub(crate) struct Tuple {
    /// The newest time nothing can come before.
    last: Option<i64>,
    /// Rows after it that can be someone's predecessor, by (time, id).
    marks: Vec<Mark>,
    more: Option<Box<More>>,
}

#[derive(Debug, Default)]
struct More {
    /// Rows that wait until it is known when history starts.
    held: Vec<First>,
    /// Findings taken back since the key was last looked at.
    withdrawn: Vec<First>,
}

#[derive(Debug)]
struct Mark {
    time: i64,
    bits: u128,
    /// The row, while it is a first one.
    first: Option<Box<First>>,
    reported: bool,
}

/// A row that may be a finding.
#[derive(Clone, Debug)]
pub(crate) struct First {
    time: i64,
    event: EventRef,
    late: bool,
    time_flags: TimeFlags,
    /// The finding's columns.
    values: Box<[Value]>,
}

impl KeyedStage for FirstSeenPlan {
    fn operator(
        &self,
        rule: &IndexedPlan,
        _rules: &[IndexedPlan],
        options: &ShardOptions,
    ) -> Option<Box<dyn Running>> {
        let history = match options.history_start {
            HistoryStart::Always => History::Complete,
            HistoryStart::At(time) => History::Since(time),
            HistoryStart::FirstAccepted => History::Undecided,
        };
        let operator = FirstSeenOperator::new(self, rule, history);
        Some(Box::new(Runtime::new(operator, grain(self.span))))
    }

    fn key(&self, columns: usize) -> KeyColumns {
        KeyColumns::Hash((self.outputs..columns).collect())
    }

    /// What it shows it keeps itself.
    fn reach(&self, _limits: &Limits) -> i64 {
        0
    }

    fn needs_history(&self) -> bool {
        true
    }

    fn view(&self, limits: &Limits) -> StageView {
        StageView {
            operator: format!("first_seen within {} s", self.span / 1000),
            key: Some(self.outputs..usize::MAX),
            state: Some("per key tuple: its last time, and its times above the final watermark"),
            bounds: vec![format!(
                "{} key tuples are kept on each shard; one that was given up counts as new again, and \
                 `sluice.rule_degraded` says so",
                limits.keys_max
            )],
        }
    }
}

type Update = (First, Change);

impl FirstSeenOperator {
    fn new(stage: &FirstSeenPlan, (rule_index, plan): &IndexedPlan, history: History) -> Self {
        FirstSeenOperator {
            rule_index: *rule_index,
            plan: plan.clone(),
            span: stage.span,
            outputs: stage.outputs,
            history,
            waiting: Vec::new(),
        }
    }

    fn emit(&self, updates: Vec<Update>, env: &mut Env<'_>, out: &mut Outlet<'_>) {
        if updates.is_empty() {
            return;
        }
        let columns = match columns(&self.plan.output, self.outputs, &updates) {
            Ok(columns) => Arc::new(columns),
            Err(error) => return env.stats[0].failures.add(updates.len(), error),
        };
        for (row, (first, change)) in updates.into_iter().enumerate() {
            out.push(Emission {
                rule_index: self.rule_index,
                key: row_key(env.events.uid(first.event)),
                change,
                time: first.time,
                window: None,
                count: 1,
                late: first.late,
                time_flags: first.time_flags,
                capped_by: match first.time.saturating_sub(self.span) <= env.evicted_through {
                    true => vec![env.limits.cap_of_keys()],
                    false => Vec::new(),
                },
                columns: columns.clone(),
                row,
                evidence: env.events.text(first.event).into_iter().collect(),
                evidence_total: 1,
            });
        }
    }
}

impl Operator for FirstSeenOperator {
    type Key = Tuple;
    const VERSION: u8 = 3;

    fn rules(&self) -> Vec<usize> {
        vec![self.rule_index]
    }

    fn start(&self) -> Tuple {
        Tuple::default()
    }

    fn push(&mut self, tuple: &mut Tuple, slot: Slot, row: &Arrival<'_>, env: &mut Env<'_>) {
        let first = |texts: &mut crate::texts::Texts| First {
            time: row.time,
            event: row.event,
            late: row.late,
            time_flags: row.time_flags,
            values: (0..self.outputs).map(|c| texts.value(row.cell(c))).collect(),
        };
        if self.history == History::Undecided {
            let more = tuple.more.get_or_insert_default();
            if more.held.is_empty() {
                self.waiting.push(slot);
            }
            more.held.push(first(env.texts));
            return;
        }
        let id = (row.uid.bits, row.uid.native);
        let history = self.history;
        let texts = &mut *env.texts;
        tuple.insert(row.time, id, self.span, history, &mut env.stats[0], || first(texts));
    }

    fn fire(
        &mut self,
        keys: &mut Keys<Tuple>,
        mut due: Vec<Slot>,
        env: &mut Env<'_>,
        out: &mut Outlet<'_>,
    ) {
        if self.history != History::Undecided {
            let waiting = std::mem::take(&mut self.waiting);
            for slot in &waiting {
                let Some(tuple) = keys.get_mut(*slot) else { continue };
                let held = tuple.more.as_mut().map(|m| std::mem::take(&mut m.held));
                for row in held.unwrap_or_default() {
                    let uid = env.events.uid(row.event);
                    let id = (uid.bits, uid.native);
                    tuple.insert(row.time, id, self.span, self.history, &mut env.stats[0], || row);
                }
            }
            if !waiting.is_empty() {
                let known: std::collections::BTreeSet<u32> =
                    due.iter().map(|s| s.number()).collect();
                due.extend(waiting.into_iter().filter(|s| !known.contains(&s.number())));
            }
        }
        let mut updates = Vec::new();
        for slot in due {
            let Some(tuple) = keys.get_mut(slot) else { continue };
            tuple.report(env.emit(self.plan.emit), env.frontier, &mut updates);
            let mut timers = tuple.finish(self.span, env.frontier);
            if let (Pace::Final, Some(timers)) = (env.pace, &mut timers) {
                timers.waits = self.plan.emit != EmitMode::OnClose && tuple.is_open();
            }
            let bytes = tuple.bytes();
            keys.rest(slot, timers, bytes);
        }
        self.emit(updates, env, out);
    }

    /// The tuples seen longest ago among those nothing is open about.
    fn rank(tuple: &Tuple) -> (bool, i64) {
        (tuple.is_open(), Self::newest(tuple).unwrap_or(i64::MIN))
    }

    fn newest(tuple: &Tuple) -> Option<i64> {
        let held = tuple.more.iter().flat_map(|m| &m.held).map(|r| r.time).max();
        tuple.marks.last().map(|m| m.time).max(tuple.last).max(held)
    }

    fn encode(&self, tuple: &Tuple, _member: usize, w: &mut Writer) -> bool {
        w.option(tuple.last);
        w.length(tuple.marks.len());
        for mark in &tuple.marks {
            w.signed(mark.time);
            w.wide(mark.bits);
            w.byte(u8::from(mark.reported) | u8::from(mark.first.is_some()) << 1);
            if let Some(first) = &mark.first {
                first.encode(w);
            }
        }
        let none = More::default();
        let more = tuple.more.as_deref().unwrap_or(&none);
        for list in [&more.held, &more.withdrawn] {
            w.length(list.len());
            list.iter().for_each(|first| first.encode(w));
        }
        true
    }

    fn decode(
        &mut self,
        tuple: &mut Tuple,
        _member: usize,
        _bytes: &[u8],
        r: &mut Reader<'_>,
        restore: &mut Restore<'_>,
    ) -> Result<(), StateError> {
        let last = r.option()?;
        let marks = r.list(|r| {
            let (time, bits, flags) = (r.signed()?, r.wide()?, r.byte()?);
            let first = match flags & 2 != 0 {
                true => Some(Box::new(First::decode(r, restore)?)),
                false => None,
            };
            Ok(Mark { time, bits, first, reported: flags & 1 != 0 })
        })?;
        let held = r.list(|r| First::decode(r, restore))?;
        let withdrawn = r.list(|r| First::decode(r, restore))?;
        let some = !held.is_empty() || !withdrawn.is_empty();
        *tuple = Tuple { last, marks, more: some.then(|| Box::new(More { held, withdrawn })) };
        Ok(())
    }

    fn forget(&self, _tuple: &mut Tuple, _member: usize) -> bool {
        false
    }

    fn restored(&mut self, slot: Slot, tuple: &Tuple) {
        if tuple.more.as_ref().is_some_and(|m| !m.held.is_empty()) {
            self.waiting.push(slot);
        }
    }

    /// Fixes the start of history, once.
    fn history(&mut self, since: i64) {
        if self.history == History::Undecided {
            self.history = History::Since(since);
        }
    }

    fn is_waiting(&self) -> bool {
        self.history != History::Undecided && !self.waiting.is_empty()
    }

    fn encode_shared(&self, w: &mut Writer) {
        w.option(match self.history {
            History::Since(time) => Some(time),
            History::Undecided | History::Complete => None,
        });
    }

    fn decode_shared(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        if let Some(start) = r.option()? {
            self.history(start);
        }
        Ok(())
    }
}

impl Tuple {
    /// Takes a row in; `(bits, native)` is its id.
    fn insert(
        &mut self,
        time: i64,
        (bits, native): (u128, bool),
        span: i64,
        history: History,
        stats: &mut OperatorStats,
        row: impl FnOnce() -> First,
    ) {
        let at = match self.marks.last() {
            Some(last) if (last.time, last.bits) < (time, bits) => Err(self.marks.len()),
            _ => self.marks.binary_search_by_key(&(time, bits), |m| (m.time, m.bits)),
        };
        let at = match at {
            Ok(_) => {
                stats.duplicates += u64::from(native);
                return;
            }
            Err(at) => at,
        };
        let since = time.saturating_sub(span);
        let known = self.before(at).is_some_and(|time| time >= since);
        let cold = matches!(history, History::Since(start) if since < start);
        stats.first_seen_cold += u64::from(cold);
        let first = (!known && !cold).then(|| Box::new(row()));
        self.marks.insert(at, Mark { time, bits, first, reported: false });
        if let Some(next) = self.marks.get_mut(at + 1)
            && next.time.saturating_sub(span) <= time
            && let Some(row) = next.first.take()
            && std::mem::take(&mut next.reported)
        {
            self.more.get_or_insert_default().withdrawn.push(*row);
        }
        for index in [at + 1, at, at.wrapping_sub(1)] {
            self.drop_needless(index, span);
        }
    }

    /// A mark between two that are within `span` is nobody's only predecessor.
    fn drop_needless(&mut self, index: usize, span: i64) {
        let Some(next) = index.checked_add(1).and_then(|i| self.marks.get(i)) else { return };
        let needless = self.before(index).is_some_and(|t| t >= next.time.saturating_sub(span));
        if needless && self.marks.get(index).is_some_and(|m| m.first.is_none()) {
            self.marks.remove(index);
        }
    }

    /// The time of the row before the mark at `index`.
    fn before(&self, index: usize) -> Option<i64> {
        match index.checked_sub(1) {
            Some(i) => self.marks.get(i).map(|m| m.time),
            None => self.last,
        }
    }

    fn report(&mut self, emit: EmitMode, frontier: Frontier, updates: &mut Vec<Update>) {
        if let Some(more) = &mut self.more {
            updates.extend(more.withdrawn.drain(..).map(|row| (row, Change::Withdraw)));
        }
        for mark in &mut self.marks {
            let Some(row) = &mark.first else { continue };
            if frontier.closed > mark.time {
                updates.push((row.as_ref().clone(), Change::Upsert(FindingState::Confirmed)));
                (mark.first, mark.reported) = (None, false);
            } else if !mark.reported && emit != EmitMode::OnClose {
                updates.push((row.as_ref().clone(), Change::Upsert(FindingState::Provisional)));
                mark.reported = true;
            }
        }
    }

    /// Folds marks nothing can come before; `None` if the tuple is forgotten.
    fn finish(&mut self, span: i64, frontier: Frontier) -> Option<Timers> {
        let done = self.marks.partition_point(|m| m.time < frontier.closed);
        if let Some(mark) = done.checked_sub(1).and_then(|i| self.marks.get(i)) {
            self.last = self.last.max(Some(mark.time));
        }
        self.marks.drain(..done);
        if self.marks.is_empty() {
            self.marks = Vec::new();
        }
        self.more.take_if(|m| m.held.is_empty() && m.withdrawn.is_empty());
        if self.more.is_some() {
            return Some(Timers::default());
        }
        let at = match self.marks.first() {
            Some(mark) => mark.time,
            None => self.last?.saturating_add(span),
        };
        let closed = at.saturating_add(1);
        if self.marks.is_empty() && closed <= frontier.closed {
            return None;
        }
        Some(Timers { watermark: None, closed: Some(closed), waits: false })
    }

    fn is_open(&self) -> bool {
        self.more.as_ref().is_some_and(|m| !m.held.is_empty())
            || self.marks.iter().any(|m| m.first.is_some())
    }

    fn bytes(&self) -> usize {
        let rows = self.marks.iter().filter_map(|m| m.first.as_deref());
        let more = self.more.iter().flat_map(|m| m.held.iter().chain(&m.withdrawn));
        let first: usize = rows.chain(more).map(|r| 64 + r.values.len() * 24).sum();
        48 + self.marks.capacity() * 64 + first
    }
}

impl First {
    fn encode(&self, w: &mut Writer) {
        w.signed(self.time);
        w.unsigned(self.event.0);
        w.byte(u8::from(self.late) | self.time_flags.bits() << 1);
        w.values(&self.values);
    }

    fn decode(r: &mut Reader<'_>, restore: &mut Restore<'_>) -> Result<Self, StateError> {
        let (time, event) = (r.signed()?, restore.tagged(r.unsigned()?));
        let flags = r.byte()?;
        let (late, time_flags) = (flags & 1 != 0, TimeFlags::from_bits(flags >> 1));
        let values = r.list(|r| Ok(restore.texts.value(Cell::of(&r.value()?))))?.into();
        Ok(First { time, event: EventRef(event), late, time_flags, values })
    }
}

/// The finding's columns from the rows' values.
fn columns(
    output: &SchemaRef,
    outputs: usize,
    rows: &[(First, Change)],
) -> Result<RecordBatch, String> {
    let columns = output.fields().iter().take(outputs).enumerate().map(|(i, field)| {
        let values: Vec<Value> =
            rows.iter().map(|(r, _)| r.values.get(i).cloned().unwrap_or_default()).collect();
        Value::to_array(&values, field.data_type())
    });
    assemble(output, columns.collect(), rows.len())
}
