//! Runs an operator of any kind: keys, timers, eviction, what changed, stored form, counters. What is
//! kept of a key and what is said of it is the operator's.

use crate::{
    Bound, Degradation, Emission, OperatorStats, Pace,
    degraded::Degraded,
    emission::Outlet,
    exchange::{KeyedBatch, RuleRows},
    keys::{AHEAD, Keys, Slot},
    operator::{Arrival, Env, Operator, Part, Refs, Restore, Running, Shared},
    parts::{PartOf, PartWriter, Parts, Said},
    state::{Reader, StateError, Writer},
    watermark::Frontier,
};

/// See the module.
#[derive(Debug)]
pub(crate) struct Runtime<O: Operator> {
    operator: O,
    keys: Keys<O::Key>,
    /// What a checkpoint has of the keys.
    parts: Parts,
    frontier: Frontier,
    evicted_through: i64,
    stats: Vec<OperatorStats>,
    degraded: Degraded,
    /// What was said of keys as they were given up.
    last_words: Vec<Emission>,
    /// Of the rows being taken in: the hashes of their keys, and where their states are.
    hashes: Vec<u64>,
    slots: Vec<Option<Slot>>,
}

impl<O: Operator> Runtime<O> {
    /// `grain`: timers may expire so many milliseconds late.
    pub(crate) fn new(operator: O, grain: i64) -> Self {
        let stats = |rule_index| OperatorStats { rule_index, ..OperatorStats::default() };
        Runtime {
            stats: operator.rules().into_iter().map(stats).collect(),
            operator,
            keys: Keys::new(grain),
            parts: Parts::default(),
            frontier: Frontier::START,
            evicted_through: i64::MIN,
            degraded: Degraded::default(),
            last_words: Vec::new(),
            hashes: Vec::new(),
            slots: Vec::new(),
        }
    }

    /// Gives up the keys that come first in rank, after everything about them was said as if all of
    /// time had passed.
    fn evict(&mut self, count: usize, cx: &mut Shared<'_>) {
        let slots = self.keys.least(count, O::rank);
        for slot in &slots {
            let newest = self.keys.get(*slot).and_then(O::newest);
            self.evicted_through = self.evicted_through.max(newest.unwrap_or(i64::MIN));
        }
        let (bound, time) = (Bound::Keys, self.evicted_through);
        for stats in &mut self.stats {
            stats.evicted += slots.len() as u64;
            let first = self.degraded.tell(stats.rule_index, bound, &[], time, Vec::new);
            stats.degraded += u64::from(first);
        }
        let mut env = Env {
            frontier: Frontier { watermark: i64::MAX, closed: i64::MAX },
            pace: Pace::EveryChange,
            limits: cx.limits,
            events: cx.events,
            texts: cx.texts,
            stats: &mut self.stats,
            evicted_through: i64::MAX,
            degraded: &mut self.degraded,
            lost: None,
            waits: false,
        };
        let words = &mut self.last_words;
        let mut keep = |part: Vec<Emission>| words.extend(part);
        let mut out = Outlet::new(usize::MAX, &mut keep);
        self.operator.give_up(&mut self.keys, slots.clone(), &mut env, &mut out);
        out.flush();
        slots.into_iter().for_each(|slot| self.keys.remove(slot));
    }

    /// What was added last is one row; enough of them are taken in.
    fn end_row(
        &mut self,
        batch: &KeyedBatch,
        some: &mut Rows<'_>,
        refs: &mut Refs,
        cx: &mut Shared<'_>,
    ) {
        some.ends.push(some.parts.len());
        if some.ends.len() == AHEAD {
            self.arrive(batch, some, refs, cx);
            some.clear();
        }
    }

    /// Some rows, each as the rules that want it see it. The keys of all are found before the first is taken in.
    fn arrive(
        &mut self,
        batch: &KeyedBatch,
        rows: &Rows<'_>,
        refs: &mut Refs,
        cx: &mut Shared<'_>,
    ) {
        // One after the other where keys may have to be given up.
        let whole = rows.ends.len();
        let at_once = if self.keys.len() + whole > cx.limits.keys_max { 1 } else { whole };
        for from in (0..whole).step_by(at_once.max(1)) {
            self.slots.clear();
            let keys = (from..from + at_once).map(|at| key_of(rows.get(at), batch));
            self.keys.fetch_keys(keys, &mut self.hashes);
            for at in from..from + at_once {
                let slot = self.slot(batch, rows.get(at), self.hashes[at - from], cx);
                self.slots.push(slot);
            }
            self.keys.fetch(self.slots.iter().flatten().copied(), O::fetch);
            for at in from..from + at_once {
                if let Some(slot) = self.slots[at - from] {
                    self.take(batch, rows.get(at), slot, refs, cx);
                }
            }
        }
    }

    /// Where the state of a row is, whose key has this hash; `None` if the row is too late.
    fn slot(
        &mut self,
        batch: &KeyedBatch,
        row: &[Part<'_>],
        hash: u64,
        cx: &mut Shared<'_>,
    ) -> Option<Slot> {
        for part in row {
            self.stats[part.member].rows_in += 1;
        }
        let place = row.first()?.place;
        if batch.events.get(place.event as usize)?.time < self.frontier.closed {
            row.iter().for_each(|part| self.stats[part.member].too_late += 1);
            return None;
        }
        let key = key_of(row, batch);
        if self.keys.len() >= cx.limits.keys_max && self.keys.find_hashed(key, hash).is_none() {
            self.evict(cx.limits.keys_max / 16 + 1, cx);
        }
        Some(self.keys.touch_hashed(key, hash, || self.operator.start()))
    }

    fn take(
        &mut self,
        batch: &KeyedBatch,
        row: &[Part<'_>],
        slot: Slot,
        refs: &mut Refs,
        cx: &mut Shared<'_>,
    ) {
        let Some(Part { place, .. }) = row.first() else { return };
        let Some(head) = batch.events.get(place.event as usize) else { return };
        let arrival = Arrival {
            time: head.time,
            uid: head.uid,
            late: head.late,
            time_flags: head.time_flags,
            event: refs.of(batch, place.event, cx.events),
            parts: row,
            key: key_of(row, batch),
        };
        let Some(state) = self.keys.get_mut(slot) else { return };
        let mut env = Env {
            frontier: self.frontier,
            pace: Pace::default(),
            limits: cx.limits,
            events: cx.events,
            texts: cx.texts,
            stats: &mut self.stats,
            evicted_through: self.evicted_through,
            degraded: &mut self.degraded,
            lost: None,
            waits: false,
        };
        self.operator.push(state, slot, &arrival, &mut env);
    }
}

/// The key of a row, which all its rules have alike.
fn key_of<'b>(row: &[Part<'_>], batch: &'b KeyedBatch) -> &'b [u8] {
    row.first().map_or(&[], |part| part.place.key.of(&batch.keys))
}

/// Some rows of a batch.
#[derive(Default)]
struct Rows<'a> {
    /// Row after row, a part for each rule that wants it.
    parts: Vec<Part<'a>>,
    /// Per row: where its parts end.
    ends: Vec<usize>,
}

impl<'a> Rows<'a> {
    fn get(&self, at: usize) -> &[Part<'a>] {
        let from = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.parts[from..self.ends[at]]
    }

    fn clear(&mut self) {
        self.parts.clear();
        self.ends.clear();
    }
}

impl<O: Operator> Running for Runtime<O> {
    fn push(
        &mut self,
        batch: &KeyedBatch,
        rules: &[(usize, &RuleRows)],
        refs: &mut Refs,
        cx: &mut Shared<'_>,
    ) {
        let only = self.stats.len() == 1;
        let mut some = Rows::default();
        // A row that comes to the only rule twice, through two arms of its UNION ALL, is two rows.
        if only || rules.len() == 1 {
            for (member, rows) in rules {
                for place in &rows.rows {
                    some.parts.push(Part { member: *member, rows, place });
                    self.end_row(batch, &mut some, refs, cx);
                }
            }
            return self.arrive(batch, &some, refs, cx);
        }
        // Rows come once, in the order of the batch, with all rules that want them.
        let mut rest: Vec<(usize, &RuleRows, usize)> =
            rules.iter().map(|(member, rows)| (*member, *rows, 0)).collect();
        loop {
            let heads = rest.iter().filter_map(|(_, rows, at)| rows.rows.get(*at));
            let Some(next) = heads.map(|place| place.row).min() else { break };
            for (member, rows, at) in &mut rest {
                if let Some(place) = rows.rows.get(*at).filter(|place| place.row == next) {
                    some.parts.push(Part { member: *member, rows, place });
                    *at += 1;
                }
            }
            self.end_row(batch, &mut some, refs, cx);
        }
        self.arrive(batch, &some, refs, cx);
    }

    fn fire(&mut self, cx: &mut Shared<'_>, out: &mut Outlet<'_>) {
        std::mem::take(&mut self.last_words).into_iter().for_each(|words| out.push(words));
        let pace = cx.pace;
        if self.keys.is_idle(self.frontier, pace) && !self.operator.is_waiting() {
            return;
        }
        let due = self.keys.due(self.frontier, pace);
        let mut env = Env {
            frontier: self.frontier,
            pace,
            limits: cx.limits,
            events: cx.events,
            texts: cx.texts,
            stats: &mut self.stats,
            evicted_through: self.evicted_through,
            degraded: &mut self.degraded,
            lost: None,
            waits: false,
        };
        self.operator.fire(&mut self.keys, due, &mut env, out);
        let share = self.stats.len().max(1);
        for stats in &mut self.stats {
            stats.keys = self.keys.len() as u64;
            stats.state_bytes = (self.keys.bytes() / share) as u64;
        }
    }

    fn degraded(&mut self) -> Vec<Degradation> {
        self.degraded.take()
    }

    fn history(&mut self, since: i64) {
        self.operator.history(since);
    }

    fn frontier(&self) -> Frontier {
        self.frontier
    }

    fn advance(&mut self, frontier: Frontier) {
        self.frontier.advance(frontier);
    }

    fn stats(&self) -> &[OperatorStats] {
        &self.stats
    }

    fn export(&mut self, _full: bool) -> Vec<(usize, Box<[u8]>, Option<Writer>)> {
        Vec::new()
    }

    fn export_parts(&mut self, full: bool) -> Vec<PartOf> {
        let (mut slots, removed) = self.keys.take_changed(full);
        if full {
            self.parts.drop_all();
        } else if let Some(through) = self.parts.sparse(self.keys.len()) {
            slots.extend(self.keys.in_parts(through));
            slots.sort_unstable_by_key(|slot| slot.number());
            slots.dedup();
        }
        let mut writer = PartWriter::new(self.stats.len());
        let mut scratch = Writer::new();
        for slot in slots {
            let ((before, old), mut now) = (self.keys.stored(slot), 0);
            let Some(state) = self.keys.get(slot) else { continue };
            let (key, number) = (self.keys.key(slot), writer.number(&mut self.parts));
            for member in 0..self.stats.len() {
                if self.operator.encode(state, member, &mut scratch) {
                    now |= 1 << member;
                    writer.say(member, O::VERSION, key, Some(&mut scratch));
                } else if before >> member & 1 == 1 && !full {
                    writer.say(member, O::VERSION, key, None);
                }
            }
            self.parts.leave(old);
            let number = if now == 0 { 0 } else { number };
            if now != 0 {
                self.parts.enter(number);
            }
            self.keys.set_stored(slot, now, number);
        }
        removed.iter().for_each(|gone| self.parts.leave(gone.part));
        // What is in no part that stays needs no word.
        let dead = if full { u32::MAX } else { self.parts.dead_through() };
        for gone in removed.iter().filter(|gone| gone.part > dead) {
            writer.number(&mut self.parts);
            for member in (0..self.stats.len()).filter(|member| gone.stored >> member & 1 == 1) {
                writer.say(member, O::VERSION, &gone.key, None);
            }
        }
        let mut out = writer.finish(&mut self.parts);
        out.extend(self.parts.take_gone());
        out
    }

    fn export_shared(&self) -> Writer {
        let mut w = Writer::new();
        w.byte(O::VERSION);
        w.signed(self.frontier.watermark);
        w.signed(self.frontier.closed);
        w.signed(self.evicted_through);
        self.operator.encode_shared(&mut w);
        w
    }

    fn import(
        &mut self,
        _member: usize,
        _key: &[u8],
        _r: &mut Reader<'_>,
        _restore: &mut Restore<'_>,
    ) -> Result<(), StateError> {
        Err(StateError::KeyByKey)
    }

    fn import_part(
        &mut self,
        (member, number): (usize, u32),
        (version, said): (u8, &[Said<'_>]),
        restore: &mut Restore<'_>,
    ) -> Result<(), StateError> {
        if version != O::VERSION {
            return Err(StateError::Version(version));
        }
        for Said { key, state } in said {
            let Some(state) = state else { continue };
            // A key that cannot be read leaves no trace.
            let mut fresh = self.operator.start();
            let known = self.keys.find(key);
            let state_of = match known {
                Some(slot) => self.keys.get_mut(slot).unwrap_or(&mut fresh),
                None => &mut fresh,
            };
            let mut r = Reader::of(state);
            self.operator.decode(state_of, member, key, &mut r, restore)?;
            let slot = self.keys.touch(key, || fresh);
            if number > 0 {
                let (stored, part) = self.keys.stored(slot);
                let part = if part == 0 { number } else { part.min(number) };
                self.keys.set_stored(slot, stored | 1 << member, part);
            }
            if let Some(state) = self.keys.get(slot) {
                self.operator.restored(slot, state);
            }
        }
        Ok(())
    }

    fn found_part(&mut self, member: usize, number: u32, said: &[Said<'_>]) {
        let buries = said.iter().any(|said| said.state.is_none());
        self.parts.found(member, number, said.len(), buries);
    }

    fn has_parts(&self) -> bool {
        true
    }

    fn imported(&mut self) -> Result<(), StateError> {
        // Each key was touched, so that the next export writes it anew, wherever its rules have it.
        for (slot, _) in self.keys.iter() {
            self.parts.enter(self.keys.stored(slot).1);
        }
        Ok(())
    }

    fn import_shared(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        version::<O>(r)?;
        let (watermark, closed) = (r.signed()?, r.signed()?);
        self.frontier.advance(Frontier { watermark, closed });
        self.evicted_through = self.evicted_through.max(r.signed()?);
        self.operator.decode_shared(r)
    }

    fn reset(&mut self, member: usize, _stored: Vec<Box<[u8]>>) {
        let all: Vec<Slot> = self.keys.iter().map(|(slot, _)| slot).collect();
        for slot in all {
            let Some(state) = self.keys.get_mut(slot) else { continue };
            if !self.operator.forget(state, member) {
                self.keys.remove(slot);
            }
        }
        self.parts.forget(member);
    }
}

fn version<O: Operator>(r: &mut Reader<'_>) -> Result<(), StateError> {
    match r.byte()? {
        version if version == O::VERSION => Ok(()),
        version => Err(StateError::Version(version)),
    }
}
