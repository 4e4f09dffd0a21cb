//! `GROUP BY keys, window HAVING ..` over a stream: which windows to judge, what is new about them.
//! Does not know how a kind of window keeps its rows: that is `fixed`, `sliding` and `session`.

mod aggregate;
mod bucket;
mod family;
mod fixed;
mod folded;
mod group;
mod key;
mod layout;
mod native;
mod plan;
mod report;
mod session;
mod sliding;
mod thin;
mod view;

use std::{fmt::Debug, sync::Arc};

use sluice_event::Value;

use super::{IndexedPlan, KeyColumns, KeyedStage, StageView, grain};
use crate::{
    Cap, EmitMode, Pace, Stage, StreamPlan,
    caps::Caps,
    emission::Outlet,
    events::EventRef,
    keys::{Keys, Slot, Timers},
    operator::{Arrival, Env, Lost, Operator, Restore, Running},
    runtime::Runtime,
    shard::ShardOptions,
    state::{Reader, StateError, Writer},
    watermark::Frontier,
};
use family::Family;
pub(crate) use family::families;
use fixed::Fixed;
use key::key_names;
pub(crate) use key::key_order;
pub use key::{encode_key, window_row_key};
use layout::Layout;
pub use plan::{
    Aggregate, AggregateFunction, AggregateRange, Comparison, Condition, GroupColumn, Growth,
    LIST_MAX, Window, WindowPlan,
};
use report::{Cell, Group, Reported, Update, Verdict};
use session::Sessions;
use sliding::Sliding;

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

impl Limits {
    /// The bound of the number of keys.
    pub(crate) fn cap_of_keys(&self) -> Cap {
        Cap { bound: "keys_max", limit: self.keys_max as u64 }
    }

    /// The bounds that a finding of a window has hit, each by its name and number.
    pub(crate) fn caps(&self, caps: Caps, plan: &WindowPlan) -> Vec<Cap> {
        let rows = |limit: usize| Cap { bound: "window_events_max", limit: limit as u64 };
        let mut all = Vec::new();
        if caps.has(Caps::KEYS) {
            all.push(self.cap_of_keys());
        }
        if caps.has(Caps::ROWS) {
            all.push(rows(self.window_events_max));
        }
        if caps.has(Caps::VALUES) {
            let layout = Layout::new(plan);
            let condition = plan.condition.as_ref();
            let threshold = condition.map_or(0, |c| thin::greatest_threshold(c, &layout));
            all.push(rows(bucket::remembered(self, threshold)));
        }
        if caps.has(Caps::SESSION) {
            all.push(Cap { bound: "session_max", limit: self.session_max.unsigned_abs() });
        }
        if caps.has(Caps::LIST) {
            all.push(Cap { bound: "array_agg", limit: LIST_MAX as u64 });
        }
        all.dedup();
        all
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits { keys_max: 5_000_000, window_events_max: 10_000, session_max: 86_400_000 }
    }
}

impl KeyedStage for WindowPlan {
    fn operator(
        &self,
        rule: &IndexedPlan,
        rules: &[IndexedPlan],
        options: &ShardOptions,
    ) -> Option<Box<dyn Running>> {
        let layout = Layout::new(self);
        let limits = &options.limits;
        let threshold = self.condition.as_ref().map_or(0, |c| thin::greatest_threshold(c, &layout));
        macro_rules! run {
            ($kind:expr, $size:expr) => {{
                let operator = WindowOperator::new(rule, $kind, layout);
                Some(Box::new(Runtime::new(operator, grain($size))))
            }};
        }
        match self.window {
            Window::Tumble { size } | Window::Hop { size, .. } => {
                run!(Fixed::new(self.window, limits, threshold), size)
            }
            Window::Sliding { size } if thinnable(self, &layout) => {
                Some(Box::new(Runtime::new(Family::new(rules), grain(size))))
            }
            Window::Sliding { size } => run!(Sliding::new(size, self, &layout), size),
            Window::Session { gap } => run!(Sessions::new(gap, limits, threshold), gap),
        }
    }

    fn key(&self, _columns: usize) -> KeyColumns {
        KeyColumns::Values(key_order(self))
    }

    fn reach(&self, limits: &Limits) -> i64 {
        match self.window {
            Window::Tumble { size } | Window::Hop { size, .. } => size,
            Window::Sliding { size } => size.saturating_mul(2),
            Window::Session { gap } => gap.saturating_add(limits.session_max),
        }
    }

    fn view(&self, limits: &Limits) -> StageView {
        view::of(self, limits)
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

    /// The windows that changed or close. At [`Pace::News`] one that is reported, holds and is not
    /// closed may be left out: then `env.waits` is set, and it is found again.
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

/// What a kind of window needs to know to judge.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    plan: &'a WindowPlan,
    layout: &'a Layout,
    /// When the rule is to emit.
    rule_emit: EmitMode,
    /// When it does at this pace.
    emit: EmitMode,
    pace: Pace,
    frontier: Frontier,
    limits: &'a Limits,
    evicted_through: i64,
}

/// Groups are judged in batches of about this many, so that a sweep over many keys stays bounded.
const GROUPS: usize = 8_192;

impl<K: Kind> WindowOperator<K> {
    fn new((rule_index, plan): &IndexedPlan, kind: K, layout: Layout) -> Self {
        let (rule_index, plan) = (*rule_index, plan.clone());
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
        env.stats[0].degraded += u64::from(first);
    }

    /// HAVING over all groups at once where it is not judged yet, then what to report per cell, then
    /// SELECT over what is reported.
    fn report(
        &self,
        cx: &Context<'_>,
        keys: &mut Keys<WindowKey<K::Rows>>,
        batch: Vec<(Slot, Vec<Cell>, bool)>,
        env: &mut Env<'_>,
        out: &mut Outlet<'_>,
    ) {
        let mut verdicts = self.having(cx, keys, &batch, env).into_iter();
        let (mut updates, mut gone) = (Vec::new(), Vec::new());
        for (slot, cells, waits) in batch {
            let Some(state) = keys.get_mut(slot) else { continue };
            let first = updates.len();
            for cell in cells {
                let place = (cell.id, cell.closed, cell.caps);
                let best = match cell.verdict {
                    Verdict::Open { groups, whole } => {
                        let best =
                            groups.into_iter().filter(|_| verdicts.next() == Some(true)).last();
                        best.or_else(|| state.reported.get(place.0).filter(|_| !whole).cloned())
                    }
                    Verdict::AsReported | Verdict::Judged(_) => cell.best(&state.reported),
                };
                let Some((said, group)) = state.reported.reconcile(place, best, cx.rule_emit)
                else {
                    continue;
                };
                let evidence = match said.news {
                    true => self.kind.evidence(&state.rows, &group),
                    false => Vec::new(),
                };
                let change = said.change;
                updates.push(Update { slot, keys: Box::default(), change, group, evidence });
            }
            let timers = self.kind.finish(&mut state.rows, cx);
            let timers = timers.map(|timers| Timers { waits, ..timers });
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
        let plan = (&*self.plan, cx.plan);
        report::emit((self.rule_index, 0), plan, keys, updates, env, out);
        gone.into_iter().for_each(|slot| keys.rest(slot, None, 0));
    }

    fn having(
        &self,
        cx: &Context<'_>,
        keys: &Keys<WindowKey<K::Rows>>,
        batch: &[(Slot, Vec<Cell>, bool)],
        env: &mut Env<'_>,
    ) -> Vec<bool> {
        let open = |cell: &Cell| matches!(cell.verdict, Verdict::Open { .. });
        let with_groups = batch.iter().filter(|(_, cells, _)| cells.iter().any(open));
        let values: Vec<(Box<[Value]>, &Vec<Cell>)> = with_groups
            .map(|(slot, cells, _)| (self.layout.keys(keys.key(*slot)), cells))
            .collect();
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
        group::having(cx.plan, &groups, &mut env.stats[0].failures)
    }
}

impl<K: Kind> Operator for WindowOperator<K> {
    type Key = WindowKey<K::Rows>;
    const VERSION: u8 = K::VERSION;

    fn rules(&self) -> Vec<usize> {
        vec![self.rule_index]
    }

    fn start(&self) -> Self::Key {
        WindowKey { rows: self.kind.start(), reported: Reported::default() }
    }

    fn push(&mut self, key: &mut Self::Key, _slot: Slot, row: &Arrival<'_>, env: &mut Env<'_>) {
        let fresh = self.kind.insert(&mut key.rows, &self.layout, row, env);
        env.stats[0].duplicates += u64::from(!fresh);
        if let Some(lost) = env.lost.take() {
            self.tell(lost, row.key(), env);
        }
    }

    fn fire(
        &mut self,
        keys: &mut Keys<Self::Key>,
        due: Vec<Slot>,
        env: &mut Env<'_>,
        out: &mut Outlet<'_>,
    ) {
        let Some(plan) = window_plan(&self.plan) else { return };
        let cx = Context {
            plan,
            layout: &self.layout,
            rule_emit: self.plan.emit,
            emit: env.emit(self.plan.emit),
            pace: env.pace,
            frontier: env.frontier,
            limits: env.limits,
            evicted_through: env.evicted_through,
        };
        let mut batch = Vec::new();
        let mut groups = 0;
        for slot in due {
            let Some(state) = keys.get_mut(slot) else { continue };
            // What is judged when its window closes would have been said before at another pace.
            env.waits = cx.emit != cx.rule_emit;
            let cells = self.kind.examine(&mut state.rows, &cx, env, &state.reported);
            if let Some(lost) = env.lost.take() {
                self.tell(lost, keys.key(slot), env);
            }
            let Some(state) = keys.get_mut(slot) else { continue };
            if cells.is_empty() {
                // Nothing to report, which is nearly always.
                let timers = self.kind.finish(&mut state.rows, &cx);
                let timers = timers.map(|timers| Timers { waits: env.waits, ..timers });
                let bytes = state.bytes::<K>();
                keys.rest(slot, timers, bytes);
                continue;
            }
            groups += cells.iter().map(Cell::groups).sum::<usize>();
            batch.push((slot, cells, env.waits));
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
        out: &mut Outlet<'_>,
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

    fn encode(&self, key: &Self::Key, _member: usize, w: &mut Writer) -> bool {
        key.reported.encode(w);
        self.kind.encode(&key.rows, w);
        true
    }

    fn decode(
        &mut self,
        key: &mut Self::Key,
        _member: usize,
        _bytes: &[u8],
        r: &mut Reader<'_>,
        restore: &mut Restore<'_>,
    ) -> Result<(), StateError> {
        let reported = Reported::decode(r, restore)?;
        *key = WindowKey { rows: self.kind.decode(&self.layout, r, restore)?, reported };
        Ok(())
    }

    fn forget(&self, _key: &mut Self::Key, _member: usize) -> bool {
        false
    }
}

impl<R> WindowKey<R> {
    fn bytes<K: Kind<Rows = R>>(&self) -> usize {
        K::bytes(&self.rows) + self.reported.bytes()
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

fn window_plan(plan: &StreamPlan) -> Option<&WindowPlan> {
    if let Stage::Window(plan) = &plan.stage { Some(plan) } else { None }
}
