//! `first_seen(span, keys..)`: a row whose key tuple no earlier row within `span` has. Order is
//! (time, id). Keeps per tuple the newest time that is final and the few rows after it that matter.

use std::sync::Arc;

use arrow::{datatypes::SchemaRef, record_batch::RecordBatch};
use sluice_event::Value;

use crate::{
    Change, Class, Emission, FindingState, FirstSeenPlan, KeyedRow, OperatorStats, StreamPlan,
    keys::{Key, Keys, Wake},
    rows::{Failures, assemble, row_key},
    state::{Reader, StateError, Writer},
    watermark::Frontier,
    window::Limits,
};

/// A rule's key tuples, those of a shard.
#[derive(Debug)]
pub(crate) struct FirstSeenOperator {
    slot: usize,
    plan: Arc<StreamPlan>,
    keys: Keys<Tuple>,
    history: History,
    /// Keys with rows that wait for `history`.
    waiting: Vec<Key>,
    forgotten: i64,
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
struct Tuple {
    /// The newest time nothing can come before.
    last: Option<i64>,
    /// Rows after it that can be someone's predecessor, by (time, id).
    marks: Vec<Mark>,
    /// Rows that wait until it is known when history starts.
    held: Vec<KeyedRow>,
    /// Findings taken back since the last settle.
    withdrawn: Vec<KeyedRow>,
}

#[derive(Debug)]
struct Mark {
    time: i64,
    bits: u128,
    /// The row, while it is a first one.
    first: Option<KeyedRow>,
    spoken: bool,
}

impl FirstSeenOperator {
    pub(crate) fn new(slot: usize, plan: Arc<StreamPlan>, history: History) -> Self {
        let (keys, waiting) = (Keys::new(), Vec::new());
        FirstSeenOperator { slot, plan, keys, history, waiting, forgotten: i64::MIN }
    }

    pub(crate) fn history(&self) -> History {
        self.history
    }

    /// Fixes the start of history, once.
    pub(crate) fn decide(&mut self, history: History) {
        if self.history == History::Undecided {
            self.history = history;
        }
    }

    pub(crate) fn push(
        &mut self,
        plan: &FirstSeenPlan,
        row: KeyedRow,
        limits: &Limits,
        stats: &mut OperatorStats,
    ) {
        if row.values.iter().skip(plan.outputs).any(Value::is_null) {
            return;
        }
        if self.keys.len() >= limits.keys_max && !self.keys.contains(&row.key) {
            self.evict(limits.keys_max / 16 + 1, stats);
        }
        let key = row.key.clone();
        let tuple = self.keys.touch(&key, Tuple::default);
        if self.history == History::Undecided {
            if tuple.held.is_empty() {
                self.waiting.push(key);
            }
            tuple.held.push(row);
        } else {
            tuple.insert(row, plan.span, self.history, stats);
        }
    }

    pub(crate) fn settle(
        &mut self,
        plan: &FirstSeenPlan,
        frontier: Frontier,
        stats: &mut OperatorStats,
        out: &mut Vec<Emission>,
    ) {
        if self.history != History::Undecided {
            for key in std::mem::take(&mut self.waiting) {
                let tuple = self.keys.touch(&key, Tuple::default);
                for row in std::mem::take(&mut tuple.held) {
                    tuple.insert(row, plan.span, self.history, stats);
                }
            }
        }
        let mut said = Vec::new();
        for key in self.keys.due(frontier) {
            let Some(tuple) = self.keys.get_mut(&key) else { continue };
            tuple.speak(self.plan.class, frontier, &mut said);
            let wake = tuple.finish(plan.span, frontier);
            self.keys.finish(&key, wake, Tuple::bytes);
        }
        self.emit(plan, said, &mut stats.failures, out);
        (stats.keys, stats.state_bytes) = (self.keys.len() as u64, self.keys.bytes() as u64);
    }

    fn emit(
        &self,
        plan: &FirstSeenPlan,
        said: Vec<(KeyedRow, Change)>,
        failures: &mut Failures,
        out: &mut Vec<Emission>,
    ) {
        if said.is_empty() {
            return;
        }
        let columns = match columns(&self.plan.output, plan.outputs, &said) {
            Ok(columns) => Arc::new(columns),
            Err(error) => return failures.add(said.len(), error),
        };
        for (row, (said, change)) in said.into_iter().enumerate() {
            out.push(Emission {
                slot: self.slot,
                key: row_key(said.uid),
                change,
                time: said.time,
                window: None,
                count: 1,
                late: said.late,
                capped: said.time.saturating_sub(plan.span) <= self.forgotten,
                columns: columns.clone(),
                row,
                evidence: vec![said.evidence],
                evidence_total: 1,
            });
        }
    }

    /// Forgets the tuples seen longest ago among those nothing is open about.
    fn evict(&mut self, count: usize, stats: &mut OperatorStats) {
        for key in self.keys.least(count, |t| (t.is_open(), t.newest())) {
            let newest = self.keys.get(&key).and_then(Tuple::newest);
            self.forgotten = self.forgotten.max(newest.unwrap_or(i64::MIN));
            self.keys.remove(&key);
            stats.evicted += 1;
        }
    }

    pub(crate) fn forgotten(&self) -> i64 {
        self.forgotten
    }

    pub(crate) fn forget_through(&mut self, time: i64) {
        self.forgotten = self.forgotten.max(time);
    }

    pub(crate) fn export(&mut self, full: bool) -> Vec<(Key, Option<Writer>)> {
        let keys = self.keys.take_changed(full);
        let value = |key: &Key| {
            self.keys.get(key).map(|tuple| {
                let mut w = Writer::new();
                tuple.encode(&mut w);
                w
            })
        };
        keys.into_iter().map(|key| (key.clone(), value(&key))).collect()
    }

    pub(crate) fn import(&mut self, key: &Key, r: &mut Reader<'_>) -> Result<(), StateError> {
        let state = Tuple::decode(key, r)?;
        if !state.held.is_empty() {
            self.waiting.push(key.clone());
        }
        *self.keys.touch(key, Tuple::default) = state;
        Ok(())
    }
}

impl Tuple {
    fn insert(&mut self, row: KeyedRow, span: i64, history: History, stats: &mut OperatorStats) {
        let order = (row.time, row.uid.bits);
        let at = match self.marks.binary_search_by_key(&order, |m| (m.time, m.bits)) {
            Ok(_) => {
                stats.duplicates += u64::from(row.uid.native);
                return;
            }
            Err(at) => at,
        };
        let since = row.time.saturating_sub(span);
        let known = self.before(at).is_some_and(|time| time >= since);
        let cold = matches!(history, History::Since(start) if since < start);
        stats.first_seen_cold += u64::from(cold);
        let (time, bits) = order;
        let first = (!known && !cold).then_some(row);
        self.marks.insert(at, Mark { time, bits, first, spoken: false });
        if let Some(next) = self.marks.get_mut(at + 1)
            && next.time.saturating_sub(span) <= time
            && let Some(row) = next.first.take()
            && std::mem::take(&mut next.spoken)
        {
            self.withdrawn.push(row);
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

    fn speak(&mut self, class: Class, frontier: Frontier, said: &mut Vec<(KeyedRow, Change)>) {
        said.extend(self.withdrawn.drain(..).map(|row| (row, Change::Withdraw)));
        for mark in &mut self.marks {
            let Some(row) = &mark.first else { continue };
            if frontier.closed > mark.time {
                said.push((row.clone(), Change::Upsert(FindingState::Confirmed)));
                (mark.first, mark.spoken) = (None, false);
            } else if !mark.spoken && class != Class::Final {
                said.push((row.clone(), Change::Upsert(FindingState::Provisional)));
                mark.spoken = true;
            }
        }
    }

    /// Folds marks nothing can come before; `None` if the tuple is forgotten.
    fn finish(&mut self, span: i64, frontier: Frontier) -> Option<Wake> {
        let done = self.marks.partition_point(|m| m.time < frontier.closed);
        if let Some(mark) = done.checked_sub(1).and_then(|i| self.marks.get(i)) {
            self.last = self.last.max(Some(mark.time));
        }
        self.marks.drain(..done);
        if !self.held.is_empty() {
            return Some(Wake::default());
        }
        let at = match self.marks.first() {
            Some(mark) => mark.time,
            None => self.last?.saturating_add(span),
        };
        let closed = at.saturating_add(1);
        if self.marks.is_empty() && closed <= frontier.closed {
            return None;
        }
        Some(Wake { watermark: None, closed: Some(closed) })
    }

    fn is_open(&self) -> bool {
        !self.held.is_empty() || self.marks.iter().any(|m| m.first.is_some())
    }

    fn newest(&self) -> Option<i64> {
        let held = self.held.iter().map(|r| r.time).max();
        self.marks.last().map(|m| m.time).max(self.last).max(held)
    }

    fn bytes(&self) -> usize {
        let rows = self.marks.iter().filter_map(|m| m.first.as_ref());
        let rows = rows.chain(&self.held).chain(&self.withdrawn);
        64 + self.marks.len() * 64 + rows.map(|r| 160 + r.evidence.len()).sum::<usize>()
    }

    fn encode(&self, w: &mut Writer) {
        w.option(self.last);
        w.length(self.marks.len());
        for mark in &self.marks {
            w.signed(mark.time);
            w.wide(mark.bits);
            w.bool(mark.spoken);
            w.rows(mark.first.as_slice());
        }
        w.rows(&self.held);
        w.rows(&self.withdrawn);
    }

    fn decode(key: &Key, r: &mut Reader<'_>) -> Result<Self, StateError> {
        let last = r.option()?;
        let marks = r.list(|r| {
            let (time, bits, spoken) = (r.signed()?, r.wide()?, r.bool()?);
            Ok(Mark { time, bits, spoken, first: r.rows(key)?.pop() })
        })?;
        Ok(Tuple { last, marks, held: r.rows(key)?, withdrawn: r.rows(key)? })
    }
}

/// The finding's columns from the rows' values.
fn columns(
    output: &SchemaRef,
    outputs: usize,
    rows: &[(KeyedRow, Change)],
) -> Result<RecordBatch, String> {
    let columns = output.fields().iter().take(outputs).enumerate().map(|(i, field)| {
        let values: Vec<Value> =
            rows.iter().map(|(r, _)| r.values.get(i).cloned().unwrap_or_default()).collect();
        Value::to_array(&values, field.data_type())
    });
    assemble(output, columns.collect(), rows.len())
}
