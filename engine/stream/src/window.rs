//! `GROUP BY keys, window HAVING ..` over a stream: which windows to judge, what is new about them.
//! Does not know how a kind of window keeps its rows: that is `fixed`, `sliding` and `session`.

mod aggregate;
mod bucket;
mod fixed;
mod folded;
mod group;
mod layout;
mod session;
mod sliding;
mod thin;
mod thinned;

use std::{fmt::Debug, sync::Arc};

use sluice_event::{Encoder, Value};

use crate::{
    Change, Emission, EmitMode, FindingState, GroupColumn, StreamPlan, Window, WindowPlan,
    events::EventRef,
    keys::{Keys, Slot, Timers},
    operator::{Arrival, Env, Lost, Operator, Restore, Running, Runtime},
    rows::key_order,
    state::{Reader, StateError, Writer},
    watermark::Frontier,
};
use fixed::Fixed;
use layout::Layout;
use session::Sessions;
use sliding::Sliding;
use thinned::Thinned;

/// What bounds the state of one operator. No bound decides whether a threshold on growing aggregates
/// fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Keys; above it the smallest quiet ones are given up, and findings that may have lost rows
    /// are `capped`.
    pub keys_max: usize,
    /// Rows kept one by one per key (sliding, session), and distinct values or native ids kept per
    /// tumbling window, unless a threshold asks for more. Above it a sliding key of thresholds on
    /// growing values is thinned to what they need, and what its findings show is a lower bound; of
    /// any other key the oldest rows are judged and summed up.
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
    [key, encoder.as_bytes()].concat()
}

/// The operator of a rule with a window.
pub(crate) fn running(
    rule_index: usize,
    plan: &Arc<StreamPlan>,
    window: &WindowPlan,
    limits: &Limits,
    grain: impl Fn(i64) -> i64,
) -> Box<dyn Running> {
    let layout = Layout::new(window);
    let threshold = window.condition.as_ref().map_or(0, |c| thin::greatest_threshold(c, &layout));
    macro_rules! run {
        ($kind:expr, $size:expr) => {{
            let operator = WindowOperator::new(rule_index, plan.clone(), $kind, layout);
            Box::new(Runtime::new(rule_index, operator, grain($size)))
        }};
    }
    match window.window {
        Window::Tumble { size } | Window::Hop { size, .. } => {
            run!(Fixed::new(window.window, limits, threshold), size)
        }
        Window::Sliding { size } if thinnable(window, &layout) => {
            run!(Thinned::new(size, window, &layout), size)
        }
        Window::Sliding { size } => run!(Sliding::new(size, window, &layout), size),
        Window::Session { gap } => run!(Sessions::new(gap, limits, threshold), gap),
    }
}

/// How a kind of window keeps the rows of a key.
pub(crate) trait Kind: Debug + Send {
    /// The rows of one key.
    type Rows: Debug + Send;

    /// Of the stored form.
    const VERSION: u8;

    fn start(&self) -> Self::Rows;

    /// Takes a row in; `false` if the same event already is.
    fn insert(
        &self,
        rows: &mut Self::Rows,
        layout: &Layout,
        row: &Arrival<'_>,
        env: &mut Env<'_>,
    ) -> bool;

    /// The windows that changed or close.
    fn examine(
        &self,
        rows: &mut Self::Rows,
        cx: &Context<'_>,
        env: &mut Env<'_>,
        reported: &Reported,
    ) -> Vec<Cell>;

    /// The first and last rows of a group.
    fn evidence(&self, rows: &Self::Rows, group: &Group) -> Vec<EventRef>;

    /// Drops what nothing can change; `None` if nothing is left.
    fn finish(&self, rows: &mut Self::Rows, cx: &Context<'_>) -> Option<Timers>;

    fn rows(rows: &Self::Rows) -> usize;

    fn newest(rows: &Self::Rows) -> Option<i64>;

    fn bytes(rows: &Self::Rows) -> usize;

    fn encode(&self, rows: &Self::Rows, w: &mut Writer);

    fn decode(
        &self,
        layout: &Layout,
        r: &mut Reader<'_>,
        restore: &mut Restore<'_>,
    ) -> Result<Self::Rows, StateError>;
}

/// A rule's windows of one kind, all keys of a shard.
#[derive(Debug)]
pub(crate) struct WindowOperator<K> {
    rule_index: usize,
    plan: Arc<StreamPlan>,
    kind: K,
    layout: Layout,
    /// Names of the group keys in the order in which they are encoded.
    names: Vec<Arc<str>>,
}

/// What the windows of one key share.
#[derive(Debug)]
pub(crate) struct WindowKey<R> {
    rows: R,
    reported: Reported,
}

/// What was last reported of each window that is not closed yet, by id.
#[derive(Debug, Default)]
#[expect(clippy::box_collection, reason = "most keys report nothing: none costs a pointer")]
pub(crate) struct Reported(Option<Box<Vec<Group>>>);

/// A window as it would be reported: its aggregates now.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Group {
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

/// A window, or a cell of them, with what is to be reported of it.
#[derive(Debug)]
pub(crate) struct Cell {
    id: i64,
    /// Nothing can change it any more.
    closed: bool,
    /// Rows of it were lost to a limit, so that not qualifying proves nothing.
    capped: bool,
    verdict: Verdict,
}

#[derive(Debug)]
pub(crate) enum Verdict {
    /// What was reported last holds.
    AsReported,
    /// This qualifies, or nothing does.
    Judged(Option<Group>),
    /// In time order; the last one that HAVING keeps qualifies.
    Open {
        groups: Vec<Group>,
        /// Whether these are all of the window: if not and none qualifies, what was reported holds.
        whole: bool,
    },
}

/// What a kind of window needs to know to judge.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    plan: &'a WindowPlan,
    layout: &'a Layout,
    emit: EmitMode,
    frontier: Frontier,
    limits: &'a Limits,
    evicted_through: i64,
}

/// An emission before its columns are computed.
struct Update {
    slot: Slot,
    keys: Box<[Value]>,
    change: Change,
    group: Group,
    evidence: Vec<EventRef>,
}

/// Groups are judged in batches of about this many, so that a sweep over many keys stays bounded.
const GROUPS: usize = 8_192;

impl<K: Kind> WindowOperator<K> {
    fn new(rule_index: usize, plan: Arc<StreamPlan>, kind: K, layout: Layout) -> Self {
        let names = window_plan(&plan).map(key_names).unwrap_or_default();
        WindowOperator { rule_index, plan, kind, layout, names }
    }

    /// A key hit a bound: told if a verdict can depend on it.
    fn tell(&self, lost: Lost, key: &[u8], env: &mut Env<'_>) {
        if window_plan(&self.plan).is_some_and(|p| p.monotone && p.condition.is_some()) {
            return;
        }
        let values = || sluice_event::decode_values(key).unwrap_or_default();
        let named = || self.names.iter().cloned().zip(values()).collect();
        let first = env.degraded.tell(self.rule_index, lost.bound, key, lost.time, named);
        env.stats.degraded += u64::from(first);
    }

    /// HAVING over all groups at once where it is not judged yet, then what to report per cell, then
    /// SELECT over what is reported.
    fn report(
        &self,
        cx: &Context<'_>,
        keys: &mut Keys<WindowKey<K::Rows>>,
        batch: Vec<(Slot, Vec<Cell>)>,
        env: &mut Env<'_>,
        out: &mut Vec<Emission>,
    ) {
        let mut verdicts = self.having(cx, keys, &batch, env).into_iter();
        let (mut updates, mut gone) = (Vec::new(), Vec::new());
        for (slot, cells) in batch {
            let Some(state) = keys.get_mut(slot) else { continue };
            let first = updates.len();
            for cell in cells {
                let best = match cell.verdict {
                    Verdict::AsReported => state
                        .reported
                        .get(cell.id)
                        .map(|g| Group { capped: g.capped | cell.capped, ..g.clone() }),
                    Verdict::Judged(best) => best,
                    Verdict::Open { groups, whole } => {
                        let best =
                            groups.into_iter().filter(|_| verdicts.next() == Some(true)).last();
                        best.or_else(|| state.reported.get(cell.id).filter(|_| !whole).cloned())
                    }
                };
                let place = (cell.id, cell.closed, cell.capped);
                let Some((change, group)) = state.reconcile(place, best, cx.emit) else {
                    continue;
                };
                let evidence = match change {
                    Change::Upsert(_) => self.kind.evidence(&state.rows, &group),
                    Change::Withdraw => Vec::new(),
                };
                updates.push(Update { slot, keys: Box::default(), change, group, evidence });
            }
            let timers = self.kind.finish(&mut state.rows, cx);
            if updates.len() > first {
                let values = self.layout.keys(keys.key(slot));
                updates[first..].iter_mut().for_each(|u| u.keys.clone_from(&values));
            }
            match timers {
                Some(timers) => {
                    let bytes = keys.get(slot).map_or(0, WindowKey::bytes::<K>);
                    keys.rest(slot, Some(timers), bytes);
                }
                // Its bytes are needed until its updates are emitted.
                None => gone.push(slot),
            }
        }
        self.emit(cx, keys, updates, env, out);
        gone.into_iter().for_each(|slot| keys.rest(slot, None, 0));
    }

    fn having(
        &self,
        cx: &Context<'_>,
        keys: &Keys<WindowKey<K::Rows>>,
        batch: &[(Slot, Vec<Cell>)],
        env: &mut Env<'_>,
    ) -> Vec<bool> {
        let open = |cell: &Cell| matches!(cell.verdict, Verdict::Open { .. });
        let with_groups = batch.iter().filter(|(_, cells)| cells.iter().any(open));
        let values: Vec<(Box<[Value]>, &Vec<Cell>)> =
            with_groups.map(|(slot, cells)| (self.layout.keys(keys.key(*slot)), cells)).collect();
        let groups: Vec<(&[Value], &Group)> = values
            .iter()
            .flat_map(|(keys, cells)| {
                let groups = cells.iter().flat_map(|c| match &c.verdict {
                    Verdict::Open { groups, .. } => groups.as_slice(),
                    Verdict::AsReported | Verdict::Judged(_) => &[],
                });
                groups.map(move |g| (&**keys, g))
            })
            .collect();
        if groups.is_empty() {
            return Vec::new();
        }
        group::having(cx.plan, &groups, &mut env.stats.failures)
    }

    fn emit(
        &self,
        cx: &Context<'_>,
        keys: &Keys<WindowKey<K::Rows>>,
        updates: Vec<Update>,
        env: &mut Env<'_>,
        out: &mut Vec<Emission>,
    ) {
        if updates.is_empty() {
            return;
        }
        let groups: Vec<(&[Value], &Group)> =
            updates.iter().map(|u| (&*u.keys, &u.group)).collect();
        let Some((kept, columns)) =
            group::select(cx.plan, &self.plan.output, &groups, &mut env.stats.failures)
        else {
            return;
        };
        let columns = Arc::new(columns);
        for (row, index) in kept.into_iter().enumerate() {
            let Some(Update { slot, change, group, evidence, .. }) = updates.get(index as usize)
            else {
                continue;
            };
            out.push(Emission {
                rule_index: self.rule_index,
                key: window_row_key(keys.key(*slot), cx.plan.window, group.id),
                change: *change,
                time: group.time,
                window: Some(group.window),
                count: group.rows,
                late: group.late,
                capped: group.capped || group.has_truncated_list(),
                columns: columns.clone(),
                row,
                evidence: evidence.iter().filter_map(|event| env.events.text(*event)).collect(),
                evidence_total: group.rows,
            });
        }
    }
}

impl<K: Kind> Operator for WindowOperator<K> {
    type Key = WindowKey<K::Rows>;
    const VERSION: u8 = K::VERSION;

    fn start(&self) -> Self::Key {
        WindowKey { rows: self.kind.start(), reported: Reported::default() }
    }

    fn push(&mut self, key: &mut Self::Key, _slot: Slot, row: &Arrival<'_>, env: &mut Env<'_>) {
        let fresh = self.kind.insert(&mut key.rows, &self.layout, row, env);
        env.stats.duplicates += u64::from(!fresh);
        if let Some(lost) = env.lost.take() {
            self.tell(lost, row.key(), env);
        }
    }

    fn fire(
        &mut self,
        keys: &mut Keys<Self::Key>,
        due: Vec<Slot>,
        env: &mut Env<'_>,
        out: &mut Vec<Emission>,
    ) {
        let Some(plan) = window_plan(&self.plan) else { return };
        let cx = Context {
            plan,
            layout: &self.layout,
            emit: self.plan.emit,
            frontier: env.frontier,
            limits: env.limits,
            evicted_through: env.evicted_through,
        };
        let mut batch = Vec::new();
        let mut groups = 0;
        for slot in due {
            let Some(state) = keys.get_mut(slot) else { continue };
            let cells = self.kind.examine(&mut state.rows, &cx, env, &state.reported);
            if let Some(lost) = env.lost.take() {
                self.tell(lost, keys.key(slot), env);
            }
            let Some(state) = keys.get_mut(slot) else { continue };
            if cells.is_empty() {
                // Nothing to report, which is nearly always.
                let timers = self.kind.finish(&mut state.rows, &cx);
                let bytes = state.bytes::<K>();
                keys.rest(slot, timers, bytes);
                continue;
            }
            groups += cells.iter().map(Cell::groups).sum::<usize>();
            batch.push((slot, cells));
            if groups >= GROUPS {
                self.report(&cx, keys, std::mem::take(&mut batch), env, out);
                groups = 0;
            }
        }
        if !batch.is_empty() {
            self.report(&cx, keys, batch, env, out);
        }
    }

    /// Every window is judged and confirmed: nothing more will be said of it.
    fn give_up(
        &mut self,
        keys: &mut Keys<Self::Key>,
        slots: Vec<Slot>,
        env: &mut Env<'_>,
        out: &mut Vec<Emission>,
    ) {
        self.fire(keys, slots, env, out);
    }

    /// Fewest rows is furthest from any threshold that grows.
    fn rank(key: &Self::Key) -> (bool, i64) {
        (!key.reported.is_empty(), K::rows(&key.rows) as i64)
    }

    fn newest(key: &Self::Key) -> Option<i64> {
        K::newest(&key.rows)
    }

    fn encode(&self, key: &Self::Key, w: &mut Writer) {
        let reported = key.reported.0.as_deref().map_or(&[][..], |r| r);
        w.length(reported.len());
        for group in reported {
            for n in [group.id, group.window.0, group.window.1, group.time] {
                w.signed(n);
            }
            w.unsigned(group.rows);
            w.byte(u8::from(group.late) | u8::from(group.capped) << 1);
            w.values(&group.aggregates);
        }
        self.kind.encode(&key.rows, w);
    }

    fn decode(
        &mut self,
        _bytes: &[u8],
        r: &mut Reader<'_>,
        restore: &mut Restore<'_>,
    ) -> Result<Self::Key, StateError> {
        let reported = r.list(|r| {
            let (id, start, end, time) = (r.signed()?, r.signed()?, r.signed()?, r.signed()?);
            let (rows, flags) = (r.unsigned()?, r.byte()?);
            let (late, capped) = (flags & 1 != 0, flags & 2 != 0);
            let aggregates = r.list(|r| Ok(restore.texts.held(r.value()?)))?.into();
            Ok(Group { id, window: (start, end), time, rows, late, capped, aggregates })
        })?;
        let reported = Reported((!reported.is_empty()).then(|| Box::new(reported)));
        Ok(WindowKey { rows: self.kind.decode(&self.layout, r, restore)?, reported })
    }
}

impl Group {
    /// Whether a list of values of it shows less than there is.
    fn has_truncated_list(&self) -> bool {
        self.aggregates.iter().any(|v| matches!(v, Value::List(list) if list.truncated))
    }
}

impl<R> WindowKey<R> {
    fn bytes<K: Kind<Rows = R>>(&self) -> usize {
        K::bytes(&self.rows) + self.reported.bytes()
    }

    /// What to report of a window `(id, closed, capped)`, given the group that qualifies now.
    fn reconcile(
        &mut self,
        (id, closed, capped): (i64, bool, bool),
        best: Option<Group>,
        emit: EmitMode,
    ) -> Option<(Change, Group)> {
        let before = self.reported.remove(id);
        let sticks = emit == EmitMode::OnMatch || capped;
        let group = match (best, &before) {
            // A report never shrinks because rows were thinned.
            (Some(group), Some(before)) if group.capped && group.rows <= before.rows => {
                Group { capped: true, ..before.clone() }
            }
            (Some(group), _) => group,
            (None, Some(before)) if sticks => Group { capped: true, ..before.clone() },
            (None, Some(before)) => return Some((Change::Withdraw, before.clone())),
            (None, None) => return None,
        };
        if closed {
            return Some((Change::Upsert(FindingState::Confirmed), group));
        }
        let news = before.as_ref() != Some(&group);
        self.reported.insert(group.clone());
        news.then_some((Change::Upsert(FindingState::Provisional), group))
    }
}

impl Reported {
    fn has(&self, id: i64) -> bool {
        self.get(id).is_some()
    }

    fn get(&self, id: i64) -> Option<&Group> {
        self.0.as_ref()?.iter().find(|g| g.id == id)
    }

    fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    fn ids(&self) -> impl Iterator<Item = i64> {
        self.0.iter().flat_map(|groups| groups.iter().map(|g| g.id))
    }

    fn remove(&mut self, id: i64) -> Option<Group> {
        let groups = self.0.as_mut()?;
        let at = groups.iter().position(|g| g.id == id)?;
        let group = groups.remove(at);
        if groups.is_empty() {
            self.0 = None;
        }
        Some(group)
    }

    fn insert(&mut self, group: Group) {
        self.0.get_or_insert_default().push(group);
    }

    fn bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |g| g.capacity() * 112)
    }
}

impl Cell {
    fn groups(&self) -> usize {
        match &self.verdict {
            Verdict::Open { groups, .. } => groups.len(),
            Verdict::AsReported | Verdict::Judged(_) => 1,
        }
    }
}

/// Whether HAVING is thresholds on growing values alone: what they need of a busy key is bounded.
pub(crate) fn is_threshold(plan: &WindowPlan) -> bool {
    thinnable(plan, &Layout::new(plan))
}

/// Whether a busy key can be thinned to what the condition needs.
fn thinnable(plan: &WindowPlan, layout: &Layout) -> bool {
    plan.monotone && plan.condition.as_ref().is_some_and(|c| thin::is_thinnable(c, layout))
}

fn key_names(plan: &WindowPlan) -> Vec<Arc<str>> {
    let name = |n: usize| {
        let at = plan.layout.iter().position(|c| *c == GroupColumn::Key(n));
        at.and_then(|at| plan.group.fields().get(at)).map_or("", |f| f.name()).into()
    };
    key_order(plan).into_iter().map(name).collect()
}

fn window_plan(plan: &StreamPlan) -> Option<&WindowPlan> {
    match &plan.stage {
        crate::Stage::Window(plan) => Some(plan),
        crate::Stage::Stateless | crate::Stage::FirstSeen(_) => None,
    }
}
