//! What a kind of keyed state is: an [`Operator`] says what is kept of one key, what a row changes and
//! what is said when time passes. What all kinds share is `runtime`; which kinds there are is `shard`.

use std::{fmt::Debug, sync::Arc};

use arrow::datatypes::SchemaRef;
use sluice_baseline::Verdicts;
use sluice_event::{EventUid, TimeFlags};

use crate::{
    Bound, Degradation, EmitMode, Failures, Limits, Pace, StreamPlan,
    cells::Cell,
    degraded::Degraded,
    emission::Outlet,
    events::{EventRef, EventStore},
    exchange::{KeyedBatch, RowPlace, RuleRows},
    keys::{Keys, Slot},
    parts::{PartOf, Said},
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
    /// Groups on which HAVING or SELECT failed; rows of a baseline without an entity, and values that
    /// it cannot count.
    pub failures: Failures,
}

/// A row for one operator.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival<'a> {
    pub(crate) time: i64,
    pub(crate) uid: EventUid,
    /// Whether it came after the watermark of its partition.
    pub(crate) late: bool,
    /// What is wrong with the time it claims.
    pub(crate) time_flags: TimeFlags,
    pub(crate) event: EventRef,
    /// The rules of the operator that want it, in order; at least one.
    pub(crate) parts: &'a [Part<'a>],
    pub(crate) key: &'a [u8],
}

/// A row as one rule of an operator sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part<'a> {
    /// Which of the operator's rules.
    pub(crate) member: usize,
    pub(crate) rows: &'a RuleRows,
    pub(crate) place: &'a RowPlace,
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
    pub(crate) pace: Pace,
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
    /// Whether something about the key being worked on waits for a take of every change.
    pub(crate) waits: bool,
}

impl Env<'_> {
    /// When a rule that is to emit at `emit` does at this pace.
    pub(crate) fn emit(&self, emit: EmitMode) -> EmitMode {
        if self.pace == Pace::Final { EmitMode::OnClose } else { emit }
    }
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

    /// Reads what `push` and `fire` will read first beside the key itself, so that it is fetched for several
    /// keys at once; what it gives means nothing.
    fn fetch(_key: &Self::Key) -> u64 {
        0
    }

    /// Judges these keys and emits what is new about them.
    fn fire(
        &mut self,
        keys: &mut Keys<Self::Key>,
        due: Vec<Slot>,
        env: &mut Env<'_>,
        out: &mut Outlet<'_>,
    );

    /// These keys are given up: says what there is to say of them.
    fn give_up(
        &mut self,
        _keys: &mut Keys<Self::Key>,
        _slots: Vec<Slot>,
        _env: &mut Env<'_>,
        _out: &mut Outlet<'_>,
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
    fn fire(&mut self, cx: &mut Shared<'_>, out: &mut Outlet<'_>);
    /// What could not be kept since the last call.
    fn degraded(&mut self) -> Vec<Degradation>;
    fn history(&mut self, since: i64);
    /// What people decide from now on, for who learns from it.
    fn take_verdicts(&mut self, _verdicts: &Arc<Verdicts>) {}
    fn frontier(&self) -> Frontier;
    fn advance(&mut self, frontier: Frontier);
    fn stats(&self) -> &[OperatorStats];
    /// Rule, key bytes and value of keys that changed and have entries of their own; `None` for those
    /// that are gone.
    fn export(&mut self, full: bool) -> Vec<(usize, Box<[u8]>, Option<Writer>)>;
    /// What changed of keys that are kept in parts, and parts that are gone.
    fn export_parts(&mut self, _full: bool) -> Vec<PartOf> {
        Vec::new()
    }
    fn export_shared(&self) -> Writer;
    /// A key that has an entry of its own.
    fn import(
        &mut self,
        member: usize,
        key: &[u8],
        r: &mut Reader<'_>,
        restore: &mut Restore<'_>,
    ) -> Result<(), StateError>;
    /// Keys of a part of a rule, none of which a later part of it names. Number 0: the part is none of
    /// this shard, and goes.
    fn import_part(
        &mut self,
        _part: (usize, u32),
        _said: (u8, &[Said<'_>]),
        _restore: &mut Restore<'_>,
    ) -> Result<(), StateError> {
        Ok(())
    }
    /// There is such a part of a rule of this shard.
    fn found_part(&mut self, _member: usize, _number: u32, _said: &[Said<'_>]) {}
    /// Whether its keys are kept in parts.
    fn has_parts(&self) -> bool {
        false
    }
    fn import_shared(&mut self, r: &mut Reader<'_>) -> Result<(), StateError>;
    /// The key whose shard has an exported key.
    fn owner<'k>(&'k self, key: &'k [u8]) -> &'k [u8] {
        key
    }
    /// Everything stored has been imported.
    fn imported(&mut self) -> Result<(), StateError> {
        Ok(())
    }
    /// Drops what one of its rules has; stored keys are removed with the next export.
    fn reset(&mut self, member: usize, stored: Vec<Box<[u8]>>);
}

/// What operators of a shard share.
#[derive(Debug)]
pub(crate) struct Shared<'a> {
    pub(crate) pace: Pace,
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

    pub(crate) fn of(
        &mut self,
        batch: &KeyedBatch,
        event: u32,
        events: &mut EventStore,
    ) -> EventRef {
        if self.places.is_empty() {
            self.places = vec![None; batch.events.len()];
        }
        let head = &batch.events[event as usize];
        let schema = &self.schema;
        let push = || events.push(schema, head.uid, head.time, head.packed.of(&batch.packed));
        *self.places[event as usize].get_or_insert_with(push)
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
