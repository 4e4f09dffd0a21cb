//! What every kind of keyed state shares: keys, timers, eviction, what changed, stored form, counters.
//! A kind of state is an [`Operator`]: what is kept of one key, what a row changes, what is said when
//! time passes. Does not know which kinds there are: that is `shard`.

use std::{fmt::Debug, sync::Arc};

use arrow::datatypes::SchemaRef;
use sluice_event::EventUid;

use crate::{
    Bound, Degradation, Emission, Failures, Limits, StreamPlan,
    cells::Cell,
    degraded::Degraded,
    events::{EventRef, EventStore},
    exchange::{KeyedBatch, RowPlace, RuleRows},
    keys::{Keys, Slot},
    state::{Reader, StateError, Writer},
    texts::Texts,
    watermark::Frontier,
};

/// Counters of one rule on one shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OperatorStats {
    /// The rule.
    pub rule_index: usize,
    /// Rows pushed; too late ones and duplicates included.
    pub rows_in: u64,
    /// Rows whose native id was there already.
    pub duplicates: u64,
    /// Rows before F: an idle partition came back.
    pub too_late: u64,
    /// Rows that could not be first-seen because history does not reach back far enough.
    pub first_seen_cold: u64,
    /// Keys in memory.
    pub keys: u64,
    /// Roughly what they take.
    pub state_bytes: u64,
    /// Keys given up because there were too many.
    pub evicted: u64,
    /// Rows no longer kept one by one because their key had too many. A threshold still fires as if
    /// they were; what a finding shows is a lower bound.
    pub truncated: u64,
    /// Of those, rows that were judged before the watermark because they could not be kept.
    pub judged_early: u64,
    /// How often a bound was hit on which its verdicts can depend, once per key and hour.
    pub degraded: u64,
    /// Groups on which HAVING or SELECT failed.
    pub failures: Failures,
}

/// A row for one operator.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival<'a> {
    pub(crate) time: i64,
    pub(crate) uid: EventUid,
    /// Whether it came after the watermark of its partition.
    pub(crate) late: bool,
    pub(crate) event: EventRef,
    /// The rules of the operator that want it, in order; at least one.
    pub(crate) parts: &'a [Part<'a>],
    key: &'a [u8],
}

/// A row as one rule of an operator sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part<'a> {
    /// Which of the operator's rules.
    pub(crate) member: usize,
    rows: &'a RuleRows,
    place: &'a RowPlace,
}

impl<'a> Part<'a> {
    /// The cell of an intermediate column.
    pub(crate) fn cell(&self, column: usize) -> Cell<'a> {
        self.rows.cell(column, self.place)
    }
}

impl<'a> Arrival<'a> {
    /// The cell of an intermediate column of the only rule.
    pub(crate) fn cell(&self, column: usize) -> Cell<'a> {
        self.parts.first().map_or(Cell::Null, |part| part.cell(column))
    }

    /// The encoded key.
    pub(crate) fn key(&self) -> &'a [u8] {
        self.key
    }
}

/// What an operator works with besides its keys.
#[derive(Debug)]
pub(crate) struct Env<'a> {
    pub(crate) frontier: Frontier,
    pub(crate) limits: &'a Limits,
    pub(crate) events: &'a mut EventStore,
    pub(crate) texts: &'a mut Texts,
    /// Of each rule of the operator.
    pub(crate) stats: &'a mut [OperatorStats],
    /// Rows up to this time may have been given up with their key.
    pub(crate) evicted_through: i64,
    pub(crate) degraded: &'a mut Degraded,
    /// What the key being worked on could not keep.
    pub(crate) lost: Option<Lost>,
}

/// A key hit a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lost {
    pub(crate) bound: Bound,
    /// Rows up to this event time are concerned.
    pub(crate) time: i64,
}

/// What is needed to read stored state back.
pub(crate) struct Restore<'a> {
    pub(crate) texts: &'a mut Texts,
    /// Where an event is now.
    pub(crate) moved: &'a mut dyn FnMut(EventRef) -> EventRef,
}

impl Restore<'_> {
    /// A reference with bits of its holder above it.
    pub(crate) fn tagged(&mut self, tagged: u64) -> u64 {
        let mask = (1 << EventRef::BITS) - 1;
        (self.moved)(EventRef(tagged & mask)).0 | tagged & !mask
    }
}

/// One kind of keyed state.
///
/// The runtime calls `push` for every row on time, then `fire` with the keys that have one and those
/// whose timers expired. `fire` must [`rest`](Keys::rest) every key it is given.
pub(crate) trait Operator: Debug + Send {
    /// What is kept of one key.
    type Key: Debug + Send;

    /// Of the stored form: state of another one is dropped and warms up.
    const VERSION: u8;

    /// The rules that share it, by place in the rule set; at most 64.
    fn rules(&self) -> Vec<usize>;

    /// The state of a key without rows.
    fn start(&self) -> Self::Key;

    /// A row comes in.
    fn push(&mut self, key: &mut Self::Key, slot: Slot, row: &Arrival<'_>, env: &mut Env<'_>);

    /// Judges these keys and emits what is new about them.
    fn fire(
        &mut self,
        keys: &mut Keys<Self::Key>,
        due: Vec<Slot>,
        env: &mut Env<'_>,
        out: &mut Vec<Emission>,
    );

    /// These keys are given up: says what there is to say of them.
    fn give_up(
        &mut self,
        _keys: &mut Keys<Self::Key>,
        _slots: Vec<Slot>,
        _env: &mut Env<'_>,
        _out: &mut Vec<Emission>,
    ) {
    }

    /// Keys that come first are given up first: nothing reported, furthest from any threshold.
    fn rank(key: &Self::Key) -> (bool, i64);

    /// The time of its newest row.
    fn newest(key: &Self::Key) -> Option<i64>;

    /// What one of its rules has of a key; `false` if nothing. A rule's state is its own, whichever
    /// rules it shares an operator with.
    fn encode(&self, key: &Self::Key, member: usize, w: &mut Writer) -> bool;

    /// Adds what one of its rules had of a key.
    fn decode(
        &mut self,
        key: &mut Self::Key,
        member: usize,
        bytes: &[u8],
        r: &mut Reader<'_>,
        restore: &mut Restore<'_>,
    ) -> Result<(), StateError>;

    /// Drops what one of its rules has of a key; `false` if nothing is left.
    fn forget(&self, key: &mut Self::Key, member: usize) -> bool;

    /// State was read back into this slot.
    fn restored(&mut self, _slot: Slot, _key: &Self::Key) {}

    /// History of its tables is complete from this time on, if that was not known.
    fn history(&mut self, _since: i64) {}

    /// Whether keys wait for something else than rows and time.
    fn is_waiting(&self) -> bool {
        false
    }

    /// State that belongs to no key.
    fn encode_shared(&self, _w: &mut Writer) {}

    fn decode_shared(&mut self, _r: &mut Reader<'_>) -> Result<(), StateError> {
        Ok(())
    }
}

/// An operator of any kind with its keys.
pub(crate) trait Running: Debug + Send {
    /// Rows of its rules in one batch: which of them, and its rows.
    fn push(
        &mut self,
        batch: &KeyedBatch,
        rules: &[(usize, &RuleRows)],
        refs: &mut Refs,
        cx: &mut Shared<'_>,
    );
    fn fire(&mut self, cx: &mut Shared<'_>, out: &mut Vec<Emission>);
    /// What could not be kept since the last call.
    fn degraded(&mut self) -> Vec<Degradation>;
    fn history(&mut self, since: i64);
    fn frontier(&self) -> Frontier;
    fn advance(&mut self, frontier: Frontier);
    fn stats(&self) -> &[OperatorStats];
    /// Rule, key bytes and value of keys that changed; `None` for those that are gone.
    fn export(&mut self, full: bool) -> Vec<(usize, Box<[u8]>, Option<Writer>)>;
    fn export_shared(&self) -> Writer;
    fn import(
        &mut self,
        member: usize,
        key: &[u8],
        r: &mut Reader<'_>,
        restore: &mut Restore<'_>,
    ) -> Result<(), StateError>;
    fn import_shared(&mut self, r: &mut Reader<'_>) -> Result<(), StateError>;
    /// Drops what one of its rules has; stored keys are removed with the next export.
    fn reset(&mut self, member: usize, stored: Vec<Box<[u8]>>);
}

/// What operators of a shard share.
#[derive(Debug)]
pub(crate) struct Shared<'a> {
    pub(crate) limits: &'a Limits,
    pub(crate) events: &'a mut EventStore,
    pub(crate) texts: &'a mut Texts,
}

/// Where the events of a batch are in the store of an operator; they are put there when the first
/// rule wants them.
#[derive(Debug)]
pub(crate) struct Refs {
    /// The batch's schema, as the store knows it.
    schema: SchemaRef,
    places: Vec<Option<EventRef>>,
}

impl Refs {
    pub(crate) fn new(schema: SchemaRef) -> Self {
        Refs { schema, places: Vec::new() }
    }

    fn of(&mut self, batch: &KeyedBatch, event: u32, events: &mut EventStore) -> EventRef {
        if self.places.is_empty() {
            self.places = vec![None; batch.events.len()];
        }
        let head = &batch.events[event as usize];
        let schema = &self.schema;
        let push = || events.push(schema, head.uid, head.time, head.packed.of(&batch.packed));
        *self.places[event as usize].get_or_insert_with(push)
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Runtime<O: Operator> {
    operator: O,
    keys: Keys<O::Key>,
    frontier: Frontier,
    evicted_through: i64,
    stats: Vec<OperatorStats>,
    degraded: Degraded,
    /// What was said of keys as they were given up.
    last_words: Vec<Emission>,
}

impl<O: Operator> Runtime<O> {
    /// `grain`: timers may expire so many milliseconds late.
    pub(crate) fn new(operator: O, grain: i64) -> Self {
        let stats = |rule_index| OperatorStats { rule_index, ..OperatorStats::default() };
        Runtime {
            stats: operator.rules().into_iter().map(stats).collect(),
            operator,
            keys: Keys::new(grain),
            frontier: Frontier::START,
            evicted_through: i64::MIN,
            degraded: Degraded::default(),
            last_words: Vec::new(),
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
            limits: cx.limits,
            events: cx.events,
            texts: cx.texts,
            stats: &mut self.stats,
            evicted_through: i64::MAX,
            degraded: &mut self.degraded,
            lost: None,
        };
        self.operator.give_up(&mut self.keys, slots.clone(), &mut env, &mut self.last_words);
        slots.into_iter().for_each(|slot| self.keys.remove(slot));
    }

    /// A row, as each rule that wants it sees it.
    fn arrive(
        &mut self,
        batch: &KeyedBatch,
        parts: &[Part<'_>],
        refs: &mut Refs,
        cx: &mut Shared<'_>,
    ) {
        for part in parts {
            self.stats[part.member].rows_in += 1;
        }
        let Some(Part { place, .. }) = parts.first() else { return };
        let Some(head) = batch.events.get(place.event as usize) else { return };
        if head.time < self.frontier.closed {
            parts.iter().for_each(|part| self.stats[part.member].too_late += 1);
            return;
        }
        let key = place.key.of(&batch.keys);
        if self.keys.len() >= cx.limits.keys_max && self.keys.find(key).is_none() {
            self.evict(cx.limits.keys_max / 16 + 1, cx);
        }
        let row = Arrival {
            time: head.time,
            uid: head.uid,
            late: head.late,
            event: refs.of(batch, place.event, cx.events),
            parts,
            key,
        };
        let slot = self.keys.touch(key, || self.operator.start());
        let Some(state) = self.keys.get_mut(slot) else { return };
        let mut env = Env {
            frontier: self.frontier,
            limits: cx.limits,
            events: cx.events,
            texts: cx.texts,
            stats: &mut self.stats,
            evicted_through: self.evicted_through,
            degraded: &mut self.degraded,
            lost: None,
        };
        self.operator.push(state, slot, &row, &mut env);
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
        if let [(member, rows)] = *rules {
            for place in &rows.rows {
                self.arrive(batch, &[Part { member, rows, place }], refs, cx);
            }
            return;
        }
        // Rows come once, in the order of the batch, with all rules that want them.
        let mut rest: Vec<(usize, &RuleRows, usize)> =
            rules.iter().map(|(member, rows)| (*member, *rows, 0)).collect();
        let mut parts = Vec::with_capacity(rest.len());
        loop {
            let heads = rest.iter().filter_map(|(_, rows, at)| rows.rows.get(*at));
            let Some(next) = heads.map(|place| place.row).min() else { break };
            parts.clear();
            for (member, rows, at) in &mut rest {
                if let Some(place) = rows.rows.get(*at).filter(|place| place.row == next) {
                    parts.push(Part { member: *member, rows, place });
                    *at += 1;
                }
            }
            self.arrive(batch, &parts, refs, cx);
        }
    }

    fn fire(&mut self, cx: &mut Shared<'_>, out: &mut Vec<Emission>) {
        out.append(&mut self.last_words);
        if self.keys.is_idle(self.frontier) && !self.operator.is_waiting() {
            return;
        }
        let due = self.keys.due(self.frontier);
        let mut env = Env {
            frontier: self.frontier,
            limits: cx.limits,
            events: cx.events,
            texts: cx.texts,
            stats: &mut self.stats,
            evicted_through: self.evicted_through,
            degraded: &mut self.degraded,
            lost: None,
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

    fn export(&mut self, full: bool) -> Vec<(usize, Box<[u8]>, Option<Writer>)> {
        let (slots, removed) = self.keys.take_changed(full);
        let members = 0..self.stats.len();
        let mut out = Vec::new();
        for (key, stored) in removed {
            let had = members.clone().filter(|member| stored >> member & 1 == 1);
            out.extend(had.map(|member| (member, key.clone(), None)));
        }
        for slot in slots {
            let (before, mut now) = (self.keys.stored(slot), 0);
            let Some(state) = self.keys.get(slot) else { continue };
            for member in members.clone() {
                let mut w = Writer::new();
                w.byte(O::VERSION);
                if self.operator.encode(state, member, &mut w) {
                    now |= 1 << member;
                    out.push((member, self.keys.key(slot).into(), Some(w)));
                } else if before >> member & 1 == 1 {
                    out.push((member, self.keys.key(slot).into(), None));
                }
            }
            self.keys.set_stored(slot, now);
        }
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
        member: usize,
        key: &[u8],
        r: &mut Reader<'_>,
        restore: &mut Restore<'_>,
    ) -> Result<(), StateError> {
        version::<O>(r)?;
        // A key that cannot be read leaves no trace.
        let mut fresh = self.operator.start();
        let known = self.keys.find(key);
        let state = match known {
            Some(slot) => self.keys.get_mut(slot).unwrap_or(&mut fresh),
            None => &mut fresh,
        };
        self.operator.decode(state, member, key, r, restore)?;
        let slot = self.keys.touch(key, || fresh);
        self.keys.set_stored(slot, self.keys.stored(slot) | 1 << member);
        if let Some(state) = self.keys.get(slot) {
            self.operator.restored(slot, state);
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

    fn reset(&mut self, member: usize, stored: Vec<Box<[u8]>>) {
        let all: Vec<Slot> = self.keys.iter().map(|(slot, _)| slot).collect();
        for slot in all {
            let Some(state) = self.keys.get_mut(slot) else { continue };
            if !self.operator.forget(state, member) {
                self.keys.remove(slot);
            }
        }
        stored.into_iter().for_each(|key| self.keys.forget_stored(key, 1 << member));
    }
}

fn version<O: Operator>(r: &mut Reader<'_>) -> Result<(), StateError> {
    match r.byte()? {
        version if version == O::VERSION => Ok(()),
        version => Err(StateError::Version(version)),
    }
}

/// An operator of a plan.
pub(crate) struct Planned {
    pub(crate) plan: Arc<StreamPlan>,
    pub(crate) running: Box<dyn Running>,
}

impl Debug for Planned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Planned").field("rule", &self.plan.rule).finish_non_exhaustive()
    }
}
