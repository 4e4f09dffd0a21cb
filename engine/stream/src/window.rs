//! `GROUP BY keys, window HAVING ..` over a stream: which windows to judge, what to say about them.
//! Does not know how a kind of window keeps its rows: that is `fixed`, `sliding` and `session`.

mod aggregate;
mod bucket;
mod fixed;
mod group;
mod session;
mod sliding;

use std::{collections::BTreeMap, sync::Arc};

use sluice_event::{Encoder, Value};

use crate::{
    Change, Class, Emission, FindingState, KeyedRow, OperatorStats, StreamPlan, Window, WindowPlan,
    keys::{Key, Keys, Wake},
    state::{Reader, StateError, Writer},
    watermark::Frontier,
};
use fixed::Fixed;
use session::Sessions;
use sliding::Sliding;

/// What bounds the state of one operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Keys; above it the smallest quiet ones are forgotten, and findings that may have lost rows
    /// are `capped`.
    pub keys_max: usize,
    /// Rows kept one by one per key (sliding, session), and distinct values or native ids kept per
    /// tumbling window. At 500 bytes of evidence a row, 10,000 rows are about 7 MB for one key.
    pub window_events_max: usize,
    /// Greatest length of a session in milliseconds; then it is split.
    pub session_max: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { keys_max: 5_000_000, window_events_max: 10_000, session_max: 86_400_000 }
    }
}

/// The row key of a window's finding: the key values in order of the group keys' names, then kind,
/// size and start of the window. `key` is [`encode_key`](crate::encode_key) of the key values;
/// `start` is the cell's start for a sliding window.
pub fn window_row_key(key: &[u8], window: Window, start: i64) -> Vec<u8> {
    let (kind, size) = match window {
        Window::Tumble { size } => ("tumble", size),
        Window::Hop { size, .. } => ("hop", size),
        Window::Session { gap } => ("session", gap),
        Window::Sliding { size } => ("sliding", size),
    };
    let mut encoder = Encoder::default();
    encoder.text(kind);
    encoder.int(size);
    encoder.time(start);
    [key, &encoder.into_bytes()].concat()
}

/// A rule's windows, all keys of a shard.
#[derive(Debug)]
pub(crate) struct WindowOperator {
    slot: usize,
    plan: Arc<StreamPlan>,
    keys: Keys<WindowKey>,
    /// Rows up to this time may have been forgotten with their key.
    forgotten: i64,
}

/// What the windows of one key share.
#[derive(Debug)]
struct WindowKey {
    values: Box<[Value]>,
    rows: Rows,
    spoken: Spoken,
}

#[derive(Debug)]
enum Rows {
    Fixed(Fixed),
    Sliding(Sliding),
    Sessions(Sessions),
}

/// What was last said about each window that is not closed yet, by id.
type Spoken = BTreeMap<i64, Group>;

/// A window as it would be reported: its aggregates now.
#[derive(Clone, Debug, PartialEq)]
struct Group {
    /// Start of the window; of the cell for a sliding one.
    id: i64,
    window: (i64, i64),
    /// Of the newest row.
    time: i64,
    rows: u64,
    late: bool,
    capped: bool,
    aggregates: Box<[Value]>,
}

/// Windows with one id that must be judged; the last one that qualifies is reported.
#[derive(Debug)]
struct Cell {
    id: i64,
    /// Nothing can change it any more.
    closed: bool,
    /// Rows of it were lost to a limit, so that not qualifying proves nothing.
    capped: bool,
    /// In time order; `None`: as last said.
    groups: Option<Vec<Group>>,
}

/// What the rooms of the kinds of windows need to know.
struct Context<'a> {
    plan: &'a WindowPlan,
    class: Class,
    frontier: Frontier,
    limits: &'a Limits,
    forgotten: i64,
}

/// A statement before its columns are computed.
struct Speech<'a> {
    key: Key,
    values: &'a [Value],
    change: Change,
    group: Group,
    evidence: Vec<Arc<str>>,
}

/// Groups are judged in batches of about this many, so that a sweep over many keys stays bounded.
const GROUPS: usize = 8_192;

impl WindowOperator {
    pub(crate) fn new(slot: usize, plan: Arc<StreamPlan>) -> Self {
        WindowOperator { slot, plan, keys: Keys::new(), forgotten: i64::MIN }
    }

    pub(crate) fn push(
        &mut self,
        plan: &WindowPlan,
        row: KeyedRow,
        limits: &Limits,
        stats: &mut OperatorStats,
    ) {
        if self.keys.len() >= limits.keys_max && !self.keys.contains(&row.key) {
            self.evict(limits.keys_max / 16 + 1, stats);
        }
        let key = self.keys.touch(&row.key, || WindowKey {
            values: row.values.iter().take(plan.keys).cloned().collect(),
            rows: match plan.window {
                Window::Tumble { .. } | Window::Hop { .. } => Rows::Fixed(Fixed::default()),
                Window::Sliding { size } => Rows::Sliding(Sliding::new(size)),
                Window::Session { gap } => Rows::Sessions(Sessions::new(gap)),
            },
            spoken: Spoken::new(),
        });
        let fresh = match &mut key.rows {
            Rows::Fixed(rows) => rows.insert(&plan.aggregates, plan.window, &row, limits),
            Rows::Sliding(rows) => rows.insert(row),
            Rows::Sessions(rows) => rows.insert(row),
        };
        stats.duplicates += u64::from(!fresh);
    }

    /// Judges what rows and watermarks since the last call made due.
    pub(crate) fn settle(
        &mut self,
        plan: &WindowPlan,
        frontier: Frontier,
        limits: &Limits,
        stats: &mut OperatorStats,
        out: &mut Vec<Emission>,
    ) {
        let rule = self.plan.clone();
        let cx = Context { plan, class: rule.class, frontier, limits, forgotten: self.forgotten };
        let mut batch = Vec::new();
        let mut groups = 0;
        for key in self.keys.due(frontier) {
            let Some(state) = self.keys.get_mut(&key) else { continue };
            let cells = state.examine(&cx, stats);
            groups += cells.iter().filter_map(|c| c.groups.as_ref()).map(Vec::len).sum::<usize>();
            batch.push((key, cells));
            if groups >= GROUPS {
                self.judge(&cx, std::mem::take(&mut batch), stats, out);
                groups = 0;
            }
        }
        self.judge(&cx, batch, stats, out);
        (stats.keys, stats.state_bytes) = (self.keys.len() as u64, self.keys.bytes() as u64);
    }

    /// HAVING over all groups at once, then what to say per cell, then SELECT over what is said.
    fn judge(
        &mut self,
        cx: &Context<'_>,
        batch: Vec<(Key, Vec<Cell>)>,
        stats: &mut OperatorStats,
        out: &mut Vec<Emission>,
    ) {
        let groups: Vec<(&[Value], &Group)> = batch
            .iter()
            .filter_map(|(key, cells)| Some((&*self.keys.get(key)?.values, cells)))
            .flat_map(|(values, cells)| {
                let groups = cells.iter().filter_map(|c| c.groups.as_ref()).flatten();
                groups.map(move |g| (values, g))
            })
            .collect();
        let mut verdicts = group::having(cx.plan, &groups, &mut stats.failures).into_iter();
        let mut said = Vec::new();
        for (key, cells) in &batch {
            let Some(state) = self.keys.get_mut(key) else { continue };
            for cell in cells {
                let best = match &cell.groups {
                    None => state.spoken.get(&cell.id).cloned(),
                    Some(groups) => {
                        let kept = groups.iter().zip(verdicts.by_ref().take(groups.len()));
                        kept.filter(|(_, keep)| *keep).last().map(|(g, _)| g.clone())
                    }
                };
                if let Some((change, group)) = state.reconcile(cell, best, cx.class) {
                    said.push((key.clone(), change, group));
                }
            }
        }
        let speeches: Vec<Speech<'_>> = said
            .into_iter()
            .filter_map(|(key, change, group)| {
                let state = self.keys.get(&key)?;
                let evidence = match change {
                    Change::Upsert(_) => state.evidence(&group),
                    Change::Withdraw => Vec::new(),
                };
                Some(Speech { values: &state.values, key, change, group, evidence })
            })
            .collect();
        self.speak(cx, speeches, stats, out);
        for (key, _) in batch {
            let wake = self.keys.get_mut(&key).and_then(|state| state.finish(cx));
            self.keys.finish(&key, wake, WindowKey::bytes);
        }
    }

    fn speak(
        &self,
        cx: &Context<'_>,
        speeches: Vec<Speech<'_>>,
        stats: &mut OperatorStats,
        out: &mut Vec<Emission>,
    ) {
        let groups: Vec<(&[Value], &Group)> =
            speeches.iter().map(|s| (s.values, &s.group)).collect();
        let Some((kept, columns)) =
            group::select(cx.plan, &self.plan.output, &groups, &mut stats.failures)
        else {
            return;
        };
        let columns = Arc::new(columns);
        let mut speeches: Vec<Option<Speech<'_>>> = speeches.into_iter().map(Some).collect();
        for (row, index) in kept.into_iter().enumerate() {
            let Some(speech) = speeches.get_mut(index as usize).and_then(Option::take) else {
                continue;
            };
            out.push(Emission {
                slot: self.slot,
                key: window_row_key(&speech.key, cx.plan.window, speech.group.id),
                change: speech.change,
                time: speech.group.time,
                window: Some(speech.group.window),
                count: speech.group.rows,
                late: speech.group.late,
                capped: speech.group.capped,
                columns: columns.clone(),
                row,
                evidence: speech.evidence,
                evidence_total: speech.group.rows,
            });
        }
    }

    /// Forgets the keys with the fewest rows among those nothing was said about; closed ones are
    /// gone already. Fewest rows is furthest from any threshold that grows.
    fn evict(&mut self, count: usize, stats: &mut OperatorStats) {
        for key in self.keys.least(count, |k| (!k.spoken.is_empty(), k.rows())) {
            let newest = self.keys.get(&key).and_then(WindowKey::newest);
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
            self.keys.get(key).map(|state| {
                let mut w = Writer::new();
                state.encode(&mut w);
                w
            })
        };
        keys.into_iter().map(|key| (key.clone(), value(&key))).collect()
    }

    pub(crate) fn import(
        &mut self,
        plan: &WindowPlan,
        key: &Key,
        r: &mut Reader<'_>,
    ) -> Result<(), StateError> {
        let state = WindowKey::decode(plan, key, r)?;
        *self.keys.touch(key, || WindowKey {
            values: Box::default(),
            rows: Rows::Fixed(Fixed::default()),
            spoken: Spoken::new(),
        }) = state;
        Ok(())
    }
}

impl WindowKey {
    fn examine(&mut self, cx: &Context<'_>, stats: &mut OperatorStats) -> Vec<Cell> {
        match &mut self.rows {
            Rows::Fixed(rows) => rows.examine(cx, &self.spoken),
            Rows::Sliding(rows) => rows.examine(cx, &self.spoken, &mut stats.thinned),
            Rows::Sessions(rows) => rows.examine(cx, &self.spoken, &mut stats.thinned),
        }
    }

    /// What to say about a cell, given the group that qualifies now.
    fn reconcile(
        &mut self,
        cell: &Cell,
        best: Option<Group>,
        class: Class,
    ) -> Option<(Change, Group)> {
        let before = self.spoken.remove(&cell.id);
        let sticks = class == Class::Monotone || cell.capped;
        let group = match (best, &before) {
            (Some(group), _) => group,
            (None, Some(before)) if sticks => Group { capped: true, ..before.clone() },
            (None, Some(before)) => return Some((Change::Withdraw, before.clone())),
            (None, None) => return None,
        };
        if cell.closed {
            return Some((Change::Upsert(FindingState::Confirmed), group));
        }
        let news = before.as_ref() != Some(&group);
        self.spoken.insert(cell.id, group.clone());
        news.then_some((Change::Upsert(FindingState::Provisional), group))
    }

    fn evidence(&self, group: &Group) -> Vec<Arc<str>> {
        match &self.rows {
            Rows::Fixed(rows) => rows.evidence(group.id),
            Rows::Sliding(rows) => rows.evidence(group.window),
            Rows::Sessions(rows) => rows.evidence(group.id),
        }
    }

    fn finish(&mut self, cx: &Context<'_>) -> Option<Wake> {
        match &mut self.rows {
            Rows::Fixed(rows) => rows.finish(cx),
            Rows::Sliding(rows) => rows.finish(cx),
            Rows::Sessions(rows) => rows.finish(cx),
        }
    }

    fn rows(&self) -> usize {
        match &self.rows {
            Rows::Fixed(rows) => rows.rows(),
            Rows::Sliding(rows) => rows.rows(),
            Rows::Sessions(rows) => rows.rows(),
        }
    }

    fn newest(&self) -> Option<i64> {
        match &self.rows {
            Rows::Fixed(rows) => rows.newest(),
            Rows::Sliding(rows) => rows.newest(),
            Rows::Sessions(rows) => rows.newest(),
        }
    }

    fn bytes(&self) -> usize {
        let rows = match &self.rows {
            Rows::Fixed(rows) => rows.bytes(),
            Rows::Sliding(rows) => rows.bytes(),
            Rows::Sessions(rows) => rows.bytes(),
        };
        rows + self.values.len() * 48 + self.spoken.len() * 160
    }

    fn encode(&self, w: &mut Writer) {
        w.values(&self.values);
        w.length(self.spoken.len());
        for group in self.spoken.values() {
            for n in [group.id, group.window.0, group.window.1, group.time] {
                w.signed(n);
            }
            w.unsigned(group.rows);
            w.byte(u8::from(group.late) | u8::from(group.capped) << 1);
            w.values(&group.aggregates);
        }
        match &self.rows {
            Rows::Fixed(rows) => rows.encode(w),
            Rows::Sliding(rows) => rows.encode(w),
            Rows::Sessions(rows) => rows.encode(w),
        }
    }

    fn decode(plan: &WindowPlan, key: &Key, r: &mut Reader<'_>) -> Result<Self, StateError> {
        let values = r.values()?;
        let spoken = r.list(|r| {
            let (id, start, end, time) = (r.signed()?, r.signed()?, r.signed()?, r.signed()?);
            let (rows, flags) = (r.unsigned()?, r.byte()?);
            let (late, capped) = (flags & 1 != 0, flags & 2 != 0);
            let aggregates = r.values()?;
            Ok((id, Group { id, window: (start, end), time, rows, late, capped, aggregates }))
        })?;
        let rows = match plan.window {
            Window::Tumble { .. } | Window::Hop { .. } => {
                Rows::Fixed(Fixed::decode(&plan.aggregates, r)?)
            }
            Window::Sliding { size } => Rows::Sliding(Sliding::decode(size, key, r)?),
            Window::Session { gap } => {
                Rows::Sessions(Sessions::decode(gap, &plan.aggregates, key, r)?)
            }
        };
        Ok(WindowKey { values, rows, spoken: spoken.into_iter().collect() })
    }
}
