//! Sessions: rows of a key closer than or equal to `gap`. Keeps the rows of open sessions: a row in
//! order extends the last session, a late one can join two, and then all are cut anew.

use super::{
    Cell, Context, Group, Kind, Limits, Reported, Verdict,
    bucket::{Bucket, remembered},
    layout::{Layout, Row, Rows},
};
use crate::{
    Bound, EmitMode, Pace,
    caps::Caps,
    events::{EventRef, EventStore},
    keys::Timers,
    operator::{Arrival, Env, Lost, Restore},
    state::{Reader, StateError, Writer},
};

/// See the module.
#[derive(Debug)]
pub(crate) struct Sessions {
    gap: i64,
    /// Distinct values and native ids a session remembers.
    most: usize,
}

/// The open sessions of one key.
#[derive(Debug, Default)]
pub(crate) struct Open {
    rows: Rows,
    /// Older rows than are kept one by one, as sessions in order.
    folded: Vec<Session>,
    /// Where the last closed session ended; a session that begins within `gap` of it was cut off.
    cut: Option<i64>,
    /// As last cut, oldest first.
    sessions: Vec<Session>,
    /// How many rows are in `sessions` already.
    taken: usize,
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
    pub(crate) fn new(gap: i64, limits: &Limits, threshold: usize) -> Self {
        Sessions { gap: gap.max(0), most: remembered(limits, threshold) }
    }

    /// Brings the sessions up to date with the rows.
    fn cut(&self, open: &mut Open, cx: &Context<'_>, events: &EventStore) {
        let moved = open.rows.sort(events);
        let last = open.sessions.last().map(|s| s.last);
        let next = open.rows.list().get(open.taken).map(|r| r.time);
        let in_order = moved >= open.taken && (next.is_none() || next >= last);
        let mut sessions = std::mem::take(&mut open.sessions);
        let mut folded: &[Session] = &[];
        if !in_order || open.taken == 0 {
            sessions.clear();
            open.taken = 0;
            folded = &open.folded;
        }
        let mut folded = folded.iter().peekable();
        for at in open.taken..open.rows.len() {
            let row = open.rows.view(at);
            let time = row.row.time;
            while let Some(head) = folded.next_if(|f| f.start <= time) {
                self.join(&mut sessions, open.cut, head.start, head.last, cx, &mut |bucket| {
                    bucket.merge(&head.bucket, events);
                });
            }
            self.join(&mut sessions, open.cut, time, time, cx, &mut |bucket| {
                bucket.add(cx.layout, &row, events, self.most);
            });
        }
        for head in folded {
            self.join(&mut sessions, open.cut, head.start, head.last, cx, &mut |bucket| {
                bucket.merge(&head.bucket, events);
            });
        }
        open.taken = open.rows.len();
        open.sessions = sessions;
    }

    /// Rows from `first` to `last`, none before those that are there: into the newest session, or a
    /// session of their own. `cut`: where the closed session before all of them ended.
    fn join(
        &self,
        sessions: &mut Vec<Session>,
        cut: Option<i64>,
        first: i64,
        last: i64,
        cx: &Context<'_>,
        take: &mut dyn FnMut(&mut Bucket),
    ) {
        let previous = sessions.last().map(|s| s.last).or(cut);
        let joins = previous.is_some_and(|last| first.saturating_sub(last) <= self.gap);
        let fits = |s: &Session| last.saturating_sub(s.start) <= cx.limits.session_max;
        match sessions.last_mut() {
            Some(s) if joins && fits(s) => {
                take(&mut s.bucket);
                s.last = s.last.max(last);
            }
            before => {
                if let (Some(before), true) = (before, joins) {
                    before.split = true;
                }
                let mut bucket = Bucket::new(cx.layout);
                take(&mut bucket);
                let session = Session::new(first, bucket);
                sessions.push(Session { last, rest: joins, ..session });
            }
        }
    }

    /// Above the limit of rows the oldest become part of a sum: nothing is lost but where a session
    /// longer than the greatest length would be split if a row before it came late.
    fn fold(&self, open: &mut Open, cx: &Context<'_>, env: &mut Env<'_>) {
        let most = cx.limits.window_events_max;
        if open.rows.len() <= most {
            return;
        }
        open.rows.sort(env.events);
        let excess = (open.rows.len() - most + most / 8).min(open.rows.len());
        for at in 0..excess {
            let row = open.rows.view(at);
            let time = row.row.time;
            let near = |f: &Session| {
                let (first, last) = (f.start.min(time), f.last.max(time));
                time.saturating_sub(f.last) <= self.gap
                    && f.start.saturating_sub(time) <= self.gap
                    && last.saturating_sub(first) <= cx.limits.session_max
            };
            let place = open.folded.partition_point(|f| f.start <= time);
            let found = [place.wrapping_sub(1), place]
                .into_iter()
                .find(|at| open.folded.get(*at).is_some_and(near));
            let at = found.unwrap_or_else(|| {
                open.folded.insert(place, Session::new(time, Bucket::new(cx.layout)));
                place
            });
            if let Some(folded) = open.folded.get_mut(at) {
                folded.bucket.add(cx.layout, &row, env.events, self.most);
                folded.start = folded.start.min(time);
                folded.last = folded.last.max(time);
            }
        }
        env.stats[0].truncated += excess as u64;
        open.forget(excess);
    }

    /// Whether a session is without some of its values.
    fn lost(open: &Open) -> bool {
        open.sessions.iter().any(|s| s.bucket.capped)
    }
}

impl Open {
    fn forget(&mut self, rows: usize) {
        self.rows.drop_first(rows);
        self.taken = self.taken.saturating_sub(rows);
    }
}

impl Kind for Sessions {
    type Rows = Open;
    const VERSION: u8 = 4;

    fn start(&self) -> Open {
        Open::default()
    }

    fn insert(
        &self,
        open: &mut Open,
        layout: &Layout,
        row: &Arrival<'_>,
        env: &mut Env<'_>,
    ) -> bool {
        let events = &*env.events;
        let same = |r: &Row| r.time == row.time && events.uid(r.event()) == row.uid;
        let list = open.rows.list();
        let known = row.uid.native
            && match open.rows.is_sorted() {
                true => list.iter().rev().take_while(|r| r.time >= row.time).any(same),
                false => list.iter().any(same),
            };
        if known {
            return false;
        }
        open.rows.push(layout, row, env.texts);
        true
    }

    fn examine(
        &self,
        open: &mut Open,
        cx: &Context<'_>,
        env: &mut Env<'_>,
        reported: &Reported,
    ) -> Vec<Cell> {
        let before = Self::lost(open);
        self.cut(open, cx, env.events);
        self.fold(open, cx, env);
        if !before && Self::lost(open) {
            let time = open.sessions.last().map_or(i64::MIN, |s| s.last);
            env.lost = Some(Lost { bound: Bound::ValuesOfWindow, time });
        }
        let mut cells = Vec::new();
        for session in &mut open.sessions {
            let end = settled(session, self.gap, cx);
            let closed = cx.frontier.closed >= end;
            session.passed = cx.frontier.watermark >= end;
            let known = reported.has(session.start);
            let speaks = match cx.emit {
                EmitMode::OnMatch | EmitMode::OnWatermark => session.passed || known,
                EmitMode::OnClose => closed,
            };
            if !speaks {
                continue;
            }
            let bucket = &session.bucket;
            let given_up = session.start.saturating_sub(self.gap) <= cx.evicted_through;
            let caps = Caps::VALUES.when(bucket.capped) | Caps::KEYS.when(given_up);
            let group = || Group {
                id: session.start,
                window: (session.start, session.last.saturating_add(self.gap)),
                time: session.last,
                rows: bucket.rows,
                late: bucket.late,
                time_flags: bucket.time_flags,
                caps: caps | Caps::SESSION.when(session.split || session.rest),
                aggregates: bucket.accumulators.values(),
            };
            let verdict = match &cx.plan.condition {
                Some(condition) => {
                    let holds = condition.holds(&|i| bucket.accumulators.value(i));
                    if !holds && !known {
                        continue;
                    }
                    if holds && cx.pace == Pace::News && !closed && known {
                        env.waits = true;
                        continue;
                    }
                    Verdict::Judged(holds.then(group))
                }
                None => Verdict::Open { groups: vec![group()], whole: true },
            };
            cells.push(Cell { id: session.start, closed, caps, verdict });
        }
        // A start that is none any more was joined to an older session.
        let sessions = &open.sessions;
        let gone = reported.ids().filter(|id| !sessions.iter().any(|s| s.start == *id));
        cells.extend(gone.map(|id| Cell {
            id,
            closed: true,
            caps: Caps::VALUES.when(Self::lost(open)),
            verdict: Verdict::Judged(None),
        }));
        cells
    }

    fn evidence(&self, open: &Open, group: &Group) -> Vec<EventRef> {
        let session = open.sessions.iter().find(|s| s.start == group.id);
        session.map(|s| s.bucket.evidence().collect()).unwrap_or_default()
    }

    fn finish(&self, open: &mut Open, cx: &Context<'_>) -> Option<Timers> {
        let done = open
            .sessions
            .iter()
            .take_while(|s| settled(s, self.gap, cx) <= cx.frontier.closed)
            .map(|s| s.last)
            .last();
        if let Some(last) = done {
            open.cut = Some(last);
            open.folded.retain(|f| f.last > last);
            open.sessions.retain(|s| s.last > last);
            let rows = open.rows.after(last);
            open.forget(rows);
        }
        let ends = || open.sessions.iter().map(|s| (s.passed, settled(s, self.gap, cx)));
        let closed = ends().map(|(_, end)| end).min()?;
        let watermark = ends().filter(|(passed, _)| !passed).map(|(_, end)| end).min();
        Some(Timers {
            watermark: watermark.filter(|_| cx.emit != EmitMode::OnClose),
            closed: Some(closed),
            waits: false,
        })
    }

    fn rows(open: &Open) -> usize {
        open.rows.len() + open.folded.iter().map(|f| f.bucket.rows as usize).sum::<usize>()
    }

    fn newest(open: &Open) -> Option<i64> {
        let rows = open.rows.list().iter().map(|r| r.time);
        rows.chain(open.folded.iter().map(|f| f.last)).max()
    }

    fn bytes(open: &Open) -> usize {
        let sessions = open.sessions.iter().chain(&open.folded);
        let buckets: usize = sessions.map(|s| 48 + s.bucket.bytes()).sum();
        160 + open.rows.bytes() + buckets
    }

    fn encode(&self, open: &Open, w: &mut Writer) {
        w.option(open.cut);
        open.rows.encode(w);
        w.length(open.folded.len());
        for folded in &open.folded {
            w.signed(folded.start);
            w.signed(folded.last);
            folded.bucket.encode(w);
        }
    }

    fn decode(
        &self,
        layout: &Layout,
        r: &mut Reader<'_>,
        restore: &mut Restore<'_>,
    ) -> Result<Open, StateError> {
        let cut = r.option()?;
        let rows = Rows::decode(layout, r, restore)?;
        let folded = r.list(|r| {
            let (start, last) = (r.signed()?, r.signed()?);
            Ok(Session { last, ..Session::new(start, Bucket::decode(layout, r, restore)?) })
        })?;
        Ok(Open { rows, folded, cut, sessions: Vec::new(), taken: 0 })
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
