//! Sessions: rows of a key closer than or equal to `gap`. Keeps the rows of open sessions and cuts
//! them anew when one comes, since a late row can join two sessions.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use foldhash::fast::RandomState;

use super::{Cell, Context, Group, Spoken, bucket::Bucket};
use crate::{
    Aggregate, Class, KeyedRow,
    keys::Wake,
    state::{Reader, StateError, Writer},
};

/// The open sessions of one key.
#[derive(Debug)]
pub(crate) struct Sessions {
    gap: i64,
    rows: Vec<KeyedRow>,
    sorted: bool,
    native: HashSet<(i64, u128), RandomState>,
    /// The older part of a session with more rows than are kept one by one.
    folded: Option<Session>,
    /// Where the last closed session ended; a session that begins within `gap` of it was cut off.
    cut: Option<i64>,
    /// As last cut, oldest first.
    sessions: Vec<Session>,
    text: usize,
}

#[derive(Clone, Debug)]
struct Session {
    start: i64,
    last: i64,
    bucket: Bucket,
    /// A row within `gap` of the last one did not fit the greatest length.
    split: bool,
    /// It begins where the one before was split.
    rest: bool,
    passed: bool,
}

impl Session {
    fn new(start: i64, bucket: Bucket) -> Self {
        Session { start, last: start, bucket, split: false, rest: false, passed: false }
    }
}

impl Sessions {
    pub(crate) fn new(gap: i64) -> Self {
        Sessions {
            gap: gap.max(0),
            rows: Vec::new(),
            sorted: true,
            native: HashSet::default(),
            folded: None,
            cut: None,
            sessions: Vec::new(),
            text: 0,
        }
    }

    /// Takes a row in; `false` if the same event already is.
    pub(crate) fn insert(&mut self, row: KeyedRow) -> bool {
        if row.uid.native && !self.native.insert((row.time, row.uid.bits)) {
            return false;
        }
        let before = self.rows.last().is_none_or(|l| order(l) <= order(&row));
        self.sorted &= before;
        self.text += row.evidence.len();
        self.rows.push(row);
        true
    }

    pub(crate) fn examine(
        &mut self,
        cx: &Context<'_>,
        spoken: &Spoken,
        thinned: &mut u64,
    ) -> Vec<Cell> {
        if !self.sorted {
            self.rows.sort_by_key(order);
            self.sorted = true;
        }
        self.fold(cx, thinned);
        self.sessions = self.cut(cx);
        let mut cells = Vec::new();
        let mut starts = BTreeSet::new();
        for session in &mut self.sessions {
            starts.insert(session.start);
            let end = settled(session, self.gap, cx);
            let closed = cx.frontier.closed >= end;
            session.passed = cx.frontier.watermark >= end;
            let speaks = match cx.class {
                Class::Monotone | Class::Repairable => {
                    session.passed || spoken.contains_key(&session.start)
                }
                Class::Final => closed,
            };
            if !speaks {
                continue;
            }
            let bucket = &session.bucket;
            let capped = bucket.capped || session.start.saturating_sub(self.gap) <= cx.forgotten;
            let group = Group {
                id: session.start,
                window: (session.start, session.last.saturating_add(self.gap)),
                time: session.last,
                rows: bucket.rows,
                late: bucket.late,
                capped: capped || session.split || session.rest,
                aggregates: bucket.accumulators.values(),
            };
            let groups = Some(vec![group]);
            cells.push(Cell { id: session.start, closed, capped, groups });
        }
        // A start that is none any more was joined to an older session.
        let gone = spoken.keys().filter(|id| !starts.contains(id));
        cells.extend(gone.map(|&id| Cell {
            id,
            closed: true,
            capped: self.folded.is_some(),
            groups: Some(Vec::new()),
        }));
        cells
    }

    pub(crate) fn evidence(&self, id: i64) -> Vec<Arc<str>> {
        let session = self.sessions.iter().find(|s| s.start == id);
        session.map(|s| s.bucket.evidence()).unwrap_or_default()
    }

    /// Drops sessions nothing can change; `None` if none is left.
    pub(crate) fn finish(&mut self, cx: &Context<'_>) -> Option<Wake> {
        let gap = self.gap;
        let done = self
            .sessions
            .iter()
            .take_while(|s| settled(s, gap, cx) <= cx.frontier.closed)
            .map(|s| s.last)
            .last();
        if let Some(last) = done {
            self.cut = Some(last);
            self.folded.take_if(|f| f.last <= last);
            self.sessions.retain(|s| s.last > last);
            let rows = self.rows.partition_point(|r| r.time <= last);
            self.forget(rows);
        }
        let ends = || self.sessions.iter().map(|s| (s.passed, settled(s, gap, cx)));
        let closed = ends().map(|(_, end)| end).min()?;
        let watermark = ends().filter(|(passed, _)| !passed).map(|(_, end)| end).min();
        Some(Wake {
            watermark: watermark.filter(|_| cx.class != Class::Final),
            closed: Some(closed),
        })
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows.len() + self.folded.as_ref().map_or(0, |f| f.bucket.rows as usize)
    }

    pub(crate) fn newest(&self) -> Option<i64> {
        self.rows.iter().map(|r| r.time).chain(self.folded.as_ref().map(|f| f.last)).max()
    }

    pub(crate) fn bytes(&self) -> usize {
        let buckets: usize = self.sessions.iter().map(|s| s.bucket.bytes()).sum();
        256 + self.text + self.rows.len() * 160 + self.native.len() * 40 + buckets
    }

    pub(crate) fn encode(&self, w: &mut Writer) {
        w.option(self.cut);
        w.rows(&self.rows);
        w.length(usize::from(self.folded.is_some()));
        if let Some(folded) = &self.folded {
            w.signed(folded.start);
            w.signed(folded.last);
            folded.bucket.encode(w);
        }
    }

    pub(crate) fn decode(
        gap: i64,
        aggregates: &[Aggregate],
        key: &Arc<[u8]>,
        r: &mut Reader<'_>,
    ) -> Result<Self, StateError> {
        let mut new = Sessions { cut: r.option()?, ..Sessions::new(gap) };
        for row in r.rows(key)? {
            new.insert(row);
        }
        let session = |r: &mut Reader<'_>| {
            let (start, last) = (r.signed()?, r.signed()?);
            Ok(Session { last, ..Session::new(start, Bucket::decode(aggregates, r)?) })
        };
        new.folded = r.list(session)?.pop();
        Ok(new)
    }

    /// Cuts the rows into sessions. One that would grow beyond the limit is split there.
    fn cut(&self, cx: &Context<'_>) -> Vec<Session> {
        let aggregates = &cx.plan.aggregates;
        let mut sessions: Vec<Session> = Vec::new();
        let mut folded = self.folded.as_ref();
        for row in &self.rows {
            if let Some(head) = folded.take_if(|f| f.start <= row.time) {
                sessions.push(head.clone());
            }
            let previous = sessions.last().map(|s| s.last).or(self.cut);
            let joins = previous.is_some_and(|last| row.time.saturating_sub(last) <= self.gap);
            let fits = |s: &Session| row.time.saturating_sub(s.start) <= cx.limits.session_max;
            match sessions.last_mut() {
                Some(s) if joins && fits(s) => {
                    s.bucket.add(aggregates, row, cx.limits);
                    s.last = s.last.max(row.time);
                }
                before => {
                    if let (Some(before), true) = (before, joins) {
                        before.split = true;
                    }
                    let mut bucket = Bucket::new(aggregates);
                    bucket.add(aggregates, row, cx.limits);
                    sessions.push(Session { rest: joins, ..Session::new(row.time, bucket) });
                }
            }
        }
        sessions.extend(folded.cloned());
        sessions
    }

    /// Above the limit of rows the oldest become part of a sum: nothing is lost from counts, but a
    /// row before them can no longer join.
    fn fold(&mut self, cx: &Context<'_>, thinned: &mut u64) {
        let excess = self.rows.len().saturating_sub(cx.limits.window_events_max);
        if excess == 0 {
            return;
        }
        let aggregates = &cx.plan.aggregates;
        for row in &self.rows[..excess] {
            let near = |f: &Session| {
                row.time.saturating_sub(f.last) <= self.gap
                    && row.time.saturating_sub(f.start) <= cx.limits.session_max
            };
            if !self.folded.as_ref().is_some_and(near) {
                self.folded = Some(Session::new(row.time, Bucket::new(aggregates)));
            }
            if let Some(folded) = &mut self.folded {
                folded.bucket.add(aggregates, row, cx.limits);
                folded.bucket.capped = true;
                folded.last = folded.last.max(row.time);
            }
        }
        *thinned += excess as u64;
        self.forget(excess);
    }

    fn forget(&mut self, rows: usize) {
        for row in self.rows.drain(..rows) {
            self.text -= row.evidence.len();
            if row.uid.native {
                self.native.remove(&(row.time, row.uid.bits));
            }
        }
    }
}

/// From when on no row can join or show that it was split: after the gap, or once it is split after
/// the greatest length.
fn settled(session: &Session, gap: i64, cx: &Context<'_>) -> i64 {
    let last = match session.split {
        true => session.start.saturating_add(cx.limits.session_max),
        false => session.last.saturating_add(gap),
    };
    last.saturating_add(1)
}

fn order(row: &KeyedRow) -> (i64, u128) {
    (row.time, row.uid.bits)
}
