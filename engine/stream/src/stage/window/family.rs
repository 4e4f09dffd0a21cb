//! Sliding windows of thresholds on growing values, of all rules with the same key: a row that
//! several of them want is kept once, with a bit for each rule and filter that takes it. Conditions
//! of any other kind are `sliding`.
//!
//! A rule costs a key nothing until there are rows enough for it: only then is it awake, and its
//! window moves over the rows that are new. A key with more rows than are kept one by one is
//! thinned: of each cell go the rows that no window needs to reach any threshold, so that firing
//! stays exact and what is shown becomes a lower bound.

mod member;
mod sharing;
mod stored;

use std::sync::Arc;

use sluice_event::{TimeFlags, Value};

use super::{
    Context, GROUPS,
    layout::{Row, Rows},
    native::{FEW, NativeIds},
    report::{self, Update},
    thin,
};
use crate::{
    EmitMode, Pace, StreamPlan,
    cells::Cell,
    emission::Outlet,
    events::EventStore,
    keys::{AHEAD, Keys, Slot, Timers},
    operator::{Arrival, Env, Operator, Restore},
    state::{Reader, StateError, Writer},
};
use member::{Awake, Member};
pub(crate) use sharing::families;

/// See the module.
#[derive(Debug)]
pub(crate) struct Family {
    members: Vec<Member>,
    /// The bits of all of them.
    all: u64,
    /// Lengths of their windows, each once, ascending.
    sizes: Vec<i64>,
    /// No condition of theirs is TRUE of fewer rows.
    least: usize,
    /// Of the row being pushed; NULL between two.
    values: Vec<Value>,
}

/// The rows of one key that a window can still need.
#[derive(Debug, Default)]
pub(crate) struct FamilyKey {
    rows: Rows,
    /// The bits of rules with rows that were not looked at yet.
    waking: u64,
    more: Option<Box<More>>,
}

/// What only busy keys have.
#[derive(Debug, Default)]
struct More {
    awake: Vec<Awake>,
    /// How many rows have which bits, of keys with many rows.
    tally: Vec<(u64, u32)>,
    /// Native ids by cell of the shortest window, of keys with many rows.
    native: Option<NativeIds>,
    /// Rows up to this time were thinned: windows that start at or before it show too little.
    truncated_through: Option<i64>,
    /// What is wrong with times of the rows that went.
    truncated_flags: TimeFlags,
    /// How many rows are kept before the next thinning.
    room: usize,
}

impl Family {
    /// Of rules that [`families`] put together.
    pub(crate) fn new(rules: &[(usize, Arc<StreamPlan>)]) -> Self {
        let (members, width) = sharing::members(rules);
        let mut sizes: Vec<i64> = members.iter().map(|m| m.size).collect();
        sizes.sort_unstable();
        sizes.dedup();
        Family {
            all: members.iter().fold(0, |all, m| all | m.bit),
            least: members.iter().map(|m| m.least).min().unwrap_or(0),
            sizes,
            values: vec![Value::Null; width],
            members,
        }
    }

    /// The cell of the shortest window.
    fn cell(&self, time: i64) -> i64 {
        let size = self.sizes.first().copied().unwrap_or(1);
        time.div_euclid(size).saturating_mul(size)
    }

    /// Rows before this are needed by no window that can still change.
    fn horizon(&self, closed: i64) -> i64 {
        let of = |size: &i64| closed.div_euclid(*size).saturating_mul(*size).saturating_sub(*size);
        self.sizes.iter().map(of).min().unwrap_or(i64::MIN)
    }

    /// From when on a row of this time is needed no more.
    fn gone(&self, time: i64) -> i64 {
        let of = |size: &i64| {
            let cell = time.saturating_add(*size).div_euclid(*size);
            cell.saturating_add(1).saturating_mul(*size)
        };
        self.sizes.iter().map(of).max().unwrap_or(i64::MAX)
    }

    fn is_duplicate(&self, key: &mut FamilyKey, row: &Arrival<'_>, events: &EventStore) -> bool {
        let cell = |time| self.cell(time);
        if key.rows.len() <= FEW && key.more.as_ref().is_none_or(|m| m.native.is_none()) {
            return NativeIds::is_among(&key.rows, (row.time, row.uid), cell, events);
        }
        let more = key.more.get_or_insert_default();
        let native = more.native.get_or_insert_with(|| NativeIds::of(&key.rows, cell, events));
        !native.insert(cell(row.time), row.uid)
    }

    /// Judges the rules that may have something to say of a key; how many updates there are, and
    /// whether others wait for a take of every change.
    fn examine(
        &self,
        key: &mut FamilyKey,
        slot: Slot,
        env: &mut Env<'_>,
        updates: &mut [Vec<Update>],
    ) -> (usize, bool) {
        let moved = key.rows.sort(env.events);
        self.wake(key);
        let room = key.more.as_ref().map_or(0, |m| m.room).max(env.limits.window_events_max);
        let crowded = key.rows.len() > room;
        // Of a key that is about to be thinned everything is said first: later it shows less.
        let pace = if crowded { Pace::EveryChange } else { env.pace };
        let Some(more) = &mut key.more else { return (0, false) };
        let (mut count, mut waits) = (0, false);
        for awake in &mut more.awake {
            awake.sweep.take_if(|s| s.to > moved);
            let member = &self.members[awake.member];
            let Some(plan) = super::window_plan(&member.plan) else { continue };
            let cx = Context {
                plan,
                layout: &member.layout,
                rule_emit: member.plan.emit,
                emit: if crowded { member.plan.emit } else { env.emit(member.plan.emit) },
                pace,
                frontier: env.frontier,
                limits: env.limits,
                evicted_through: env.evicted_through,
            };
            let truncated = (more.truncated_through, more.truncated_flags);
            let cells = member.cells(&key.rows, awake, truncated, crowded, &cx);
            waits |= awake.waits;
            for cell in cells {
                let place = (cell.id, cell.closed, cell.caps);
                let best = cell.best(&awake.reported);
                let said = awake.reported.reconcile(place, best, cx.rule_emit);
                let Some((said, group)) = said else {
                    continue;
                };
                let evidence = match said.news {
                    true => member.evidence(&key.rows, &group),
                    false => Vec::new(),
                };
                let (keys, change) = (Box::default(), said.change);
                updates[awake.member].push(Update { slot, keys, change, group, evidence });
                count += 1;
            }
        }
        if crowded {
            self.thin(key, env);
        }
        (count, waits)
    }

    /// Wakes the rules that have new rows and now enough of them.
    fn wake(&self, key: &mut FamilyKey) {
        let waking = std::mem::take(&mut key.waking);
        if key.rows.len() < self.least {
            return;
        }
        for (number, member) in self.members.iter().enumerate() {
            let is_awake = |m: &More| m.awake.iter().any(|a| a.member == number);
            if waking & member.bit == 0 || key.more.as_deref().is_some_and(is_awake) {
                continue;
            }
            if member.may_hold(&key.rows, key.tally()) {
                let first = key.rows.list().first().map_or(i64::MIN, |row| row.time);
                key.more.get_or_insert_default().awake.push(Awake::new(number, first));
            }
        }
    }

    /// Thins a key with too many rows.
    fn thin(&self, key: &mut FamilyKey, env: &mut Env<'_>) {
        let before = key.rows.len();
        let mut keep = vec![false; before];
        for member in &self.members {
            let mut at = 0;
            while at < before {
                let end = member.end(member.cell(key.rows.list()[at].time));
                let range = at..key.rows.from(end).max(at + 1);
                at = range.end;
                if let Some(condition) = member.condition() {
                    thin::cell(condition, &member.layout, member.bit, &key.rows, range, &mut keep);
                }
            }
        }
        let thinned = key.rows.list().iter().zip(&keep).filter(|(_, keep)| !**keep);
        let (mut dropped, mut flags) = (None, TimeFlags::NONE);
        for (row, _) in thinned {
            dropped = dropped.max(Some(row.time));
            flags |= row.time_flags();
        }
        key.rows.retain(&keep);
        for stats in env.stats.iter_mut() {
            stats.truncated += (before - key.rows.len()) as u64;
        }
        let room = (2 * key.rows.len()).max(env.limits.window_events_max);
        let more = key.more.get_or_insert_default();
        more.awake.iter_mut().for_each(|awake| awake.sweep = None);
        more.truncated_through = more.truncated_through.max(dropped);
        more.truncated_flags |= flags;
        more.room = room;
        key.count();
    }

    /// Drops what nothing needs; `None` if nothing is left.
    fn finish(&self, key: &mut FamilyKey, horizon: i64, env: &Env<'_>) -> Option<Timers> {
        let is_needed = key.rows.first_time().is_some_and(|first| first >= horizon);
        let unneeded = if is_needed { 0 } else { key.rows.from(horizon) };
        if unneeded > 0 && unneeded * 4 >= key.rows.len() {
            self.drop_first(key, unneeded);
        }
        let gone = self.gone(key.rows.last_time()?);
        let mut timers = Timers { watermark: None, closed: Some(gone), waits: false };
        if let Some(more) = &mut key.more {
            for awake in &mut more.awake {
                let member = &self.members[awake.member];
                let next = member.timers(awake, env);
                let earlier = |a: Option<i64>, b: Option<i64>| a.into_iter().chain(b).min();
                timers.closed = earlier(timers.closed, next.closed);
                timers.watermark = earlier(timers.watermark, next.watermark);
            }
        }
        Some(timers)
    }

    fn drop_first(&self, key: &mut FamilyKey, rows: usize) {
        key.rows.drop_first(rows);
        if let Some(more) = &mut key.more {
            for awake in &mut more.awake {
                awake.sweep = awake.sweep.take().and_then(|s| s.without(rows));
            }
            let first = key.rows.list().first().map_or(i64::MAX, |r| self.cell(r.time));
            match &mut more.native {
                Some(native) if key.rows.len() > FEW => native.forget(first, key.rows.len()),
                native => *native = None,
            }
        }
        key.count();
        let Some(more) = &key.more else { return };
        if more.awake.is_empty() {
            return;
        }
        let tired =
            |a: &Awake| a.is_quiet() && !self.members[a.member].may_hold(&key.rows, key.tally());
        let keep: Vec<bool> = more.awake.iter().map(|a| !tired(a)).collect();
        if let Some(more) = &mut key.more {
            let mut keep = keep.into_iter();
            more.awake.retain(|_| keep.next() != Some(false));
        }
    }

    /// Says what there is to say of the keys in `updates`.
    fn emit(
        &self,
        keys: &Keys<FamilyKey>,
        updates: &mut [Vec<Update>],
        env: &mut Env<'_>,
        out: &mut Outlet<'_>,
    ) {
        for (number, (member, updates)) in self.members.iter().zip(updates).enumerate() {
            let Some(plan) = super::window_plan(&member.plan) else { continue };
            let mut updates = std::mem::take(updates);
            for update in &mut updates {
                update.keys = member.layout.keys(keys.key(update.slot));
            }
            let rule = (member.rule_index, number);
            report::emit(rule, (&member.plan, plan), keys, updates, env, out);
        }
    }
}

impl Operator for Family {
    type Key = FamilyKey;
    const VERSION: u8 = 5;

    fn rules(&self) -> Vec<usize> {
        self.members.iter().map(|m| m.rule_index).collect()
    }

    fn start(&self) -> FamilyKey {
        FamilyKey::default()
    }

    fn push(&mut self, key: &mut FamilyKey, _slot: Slot, row: &Arrival<'_>, env: &mut Env<'_>) {
        if row.uid.native && self.is_duplicate(key, row, env.events) {
            row.parts.iter().for_each(|part| env.stats[part.member].duplicates += 1);
            return;
        }
        let (mut bits, mut asked) = (0_u64, 0_u64);
        for part in row.parts {
            let member = &self.members[part.member];
            bits |= member.bit;
            for (column, bit) in &member.filters {
                if asked & bit == 0 {
                    asked |= bit;
                    bits |= if part.cell(*column) == Cell::Bool(true) { *bit } else { 0 };
                }
            }
            for (column, place) in &member.columns {
                if self.values[*place].is_null() {
                    self.values[*place] = env.texts.value(part.cell(*column));
                }
            }
        }
        key.rows.push_row(Row::new(row, bits), self.values.iter_mut().map(std::mem::take));
        key.waking |= bits & self.all;
        if let Some(more) = &mut key.more {
            for awake in &mut more.awake {
                if bits & self.members[awake.member].bit != 0 {
                    awake.fresh = awake.fresh.min(row.time);
                }
            }
            if !more.tally.is_empty() {
                add(&mut more.tally, bits);
            }
        }
        if key.rows.len() == FEW + 1 {
            key.count();
        }
    }

    fn fetch(key: &FamilyKey) -> u64 {
        key.rows.fetch()
    }

    fn fire(
        &mut self,
        keys: &mut Keys<FamilyKey>,
        due: Vec<Slot>,
        env: &mut Env<'_>,
        out: &mut Outlet<'_>,
    ) {
        let horizon = self.horizon(env.frontier.closed);
        let mut updates: Vec<Vec<Update>> = self.members.iter().map(|_| Vec::new()).collect();
        let (mut waiting, mut gone) = (0, Vec::new());
        for some in due.chunks(AHEAD) {
            keys.fetch(some.iter().copied(), Family::fetch);
            for slot in some.iter().copied() {
                let Some(state) = keys.get_mut(slot) else { continue };
                let (said, waits) = self.examine(state, slot, env, &mut updates);
                let timers = self.finish(state, horizon, env);
                let timers = timers.map(|timers| Timers { waits, ..timers });
                let bytes = state.bytes();
                match timers {
                    // Its bytes are needed until its updates are emitted.
                    None if said > 0 => gone.push(slot),
                    timers => keys.rest(slot, timers, bytes),
                }
                waiting += said;
                if waiting >= GROUPS {
                    self.emit(keys, &mut updates, env, out);
                    waiting = 0;
                }
            }
        }
        if waiting > 0 {
            self.emit(keys, &mut updates, env, out);
        }
        gone.into_iter().for_each(|slot| keys.rest(slot, None, 0));
    }

    /// Every window is judged and confirmed: nothing more will be said of it.
    fn give_up(
        &mut self,
        keys: &mut Keys<FamilyKey>,
        slots: Vec<Slot>,
        env: &mut Env<'_>,
        out: &mut Outlet<'_>,
    ) {
        self.fire(keys, slots, env, out);
    }

    /// Fewest rows is furthest from any threshold.
    fn rank(key: &FamilyKey) -> (bool, i64) {
        let mut awake = key.more.iter().flat_map(|m| &m.awake);
        (awake.any(|a| !a.reported.is_empty()), key.rows.len() as i64)
    }

    fn newest(key: &FamilyKey) -> Option<i64> {
        key.rows.list().iter().map(|r| r.time).max()
    }

    fn encode(&self, key: &FamilyKey, member: usize, w: &mut Writer) -> bool {
        stored::encode(&self.members[member], member, key, w)
    }

    fn decode(
        &mut self,
        key: &mut FamilyKey,
        member: usize,
        _bytes: &[u8],
        r: &mut Reader<'_>,
        restore: &mut Restore<'_>,
    ) -> Result<(), StateError> {
        stored::decode(&self.members[member], (member, self.values.len()), key, r, restore)
    }

    fn forget(&self, key: &mut FamilyKey, member: usize) -> bool {
        let bit = self.members[member].bit;
        let mut keep = vec![true; key.rows.len()];
        for (at, keep) in keep.iter_mut().enumerate() {
            if let Some((row, _)) = key.rows.row_mut(at) {
                row.bits &= !bit;
                *keep = row.bits & self.all != 0;
            }
        }
        key.rows.retain(&keep);
        if let Some(more) = &mut key.more {
            more.awake.retain(|awake| awake.member != member);
            more.awake.iter_mut().for_each(|awake| awake.sweep = None);
        }
        key.count();
        key.rows.len() > 0
    }
}

impl FamilyKey {
    /// Counts the rows by their bits, where they are many.
    fn count(&mut self) {
        let many = self.rows.len() > FEW;
        if let (false, None) = (many, &self.more) {
            return;
        }
        let more = self.more.get_or_insert_default();
        more.tally.clear();
        if many {
            self.rows.list().iter().for_each(|row| add(&mut more.tally, row.bits));
        }
    }

    /// How many rows have which bits, if that was counted.
    fn tally(&self) -> Option<&[(u64, u32)]> {
        self.more.as_ref().map(|m| &*m.tally).filter(|t| !t.is_empty())
    }

    fn bytes(&self) -> usize {
        let more = self.more.as_ref().map_or(0, |m| {
            let awake: usize = m.awake.iter().map(Awake::bytes).sum();
            let native = m.native.as_ref().map_or(0, NativeIds::bytes);
            120 + awake + native + m.tally.capacity() * 16
        });
        96 + self.rows.bytes() + more
    }
}

fn add(tally: &mut Vec<(u64, u32)>, bits: u64) {
    match tally.iter_mut().find(|(known, _)| *known == bits) {
        Some((_, count)) => *count += 1,
        None => tally.push((bits, 1)),
    }
}

/// Whether a rule says something before the watermark.
fn at_once(emit: EmitMode) -> bool {
    emit == EmitMode::OnMatch
}
