//! Rows on their way from a worker to the shard that owns their key: each event once, with the rules
//! that want it. Not the channel: that is the engine's.

use std::{hash::Hasher, sync::Arc};

use arrow::datatypes::SchemaRef;
use siphasher::sip::SipHasher13;
use sluice_event::{EventUid, TimeFlags, Value};

use crate::cells::{Cell, Cells};

/// Rows of one batch for the rules with state of one shard.
///
/// An event that several rules want is in it once. Size: the packed event and about 60 bytes, and 20
/// bytes for each rule that wants it.
#[derive(Clone, Debug)]
pub struct KeyedBatch {
    /// The schema that `packed` was made with.
    pub(crate) schema: SchemaRef,
    /// Packed events.
    pub(crate) packed: Arc<Vec<u8>>,
    /// Encoded keys.
    pub(crate) keys: Arc<Vec<u8>>,
    pub(crate) events: Vec<KeyedEvent>,
    pub(crate) rules: Vec<RuleRows>,
}

/// What is the same for every rule that an event reaches.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyedEvent {
    pub(crate) time: i64,
    pub(crate) uid: EventUid,
    /// Whether it came after the watermark of its partition.
    pub(crate) late: bool,
    /// What is wrong with the time it claims.
    pub(crate) time_flags: TimeFlags,
    pub(crate) packed: Span,
}

/// Part of a buffer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) length: u32,
}

/// The rows of one rule.
#[derive(Clone, Debug)]
pub(crate) struct RuleRows {
    pub(crate) rule_index: usize,
    pub(crate) rows: Vec<RowPlace>,
    /// The intermediate columns.
    pub(crate) columns: Arc<[Column]>,
}

/// Where the parts of a row are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowPlace {
    /// Its place in `events`.
    pub(crate) event: u32,
    /// Its place in columns that cover the whole batch.
    pub(crate) row: u32,
    /// Its place in columns that cover the rule's rows only.
    pub(crate) at: u32,
    pub(crate) key: Span,
}

/// An intermediate column.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) cells: Arc<Cells>,
    /// Whether it covers the whole batch, or the rule's rows only.
    pub(crate) whole: bool,
}

/// A row that did not come from a batch of events.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyedRow {
    /// Event time in milliseconds since 1970 UTC.
    pub time: i64,
    /// Its identity.
    pub uid: EventUid,
    /// Whether it came after the watermark of its partition.
    pub late: bool,
    /// What is wrong with the time it claims.
    pub time_flags: TimeFlags,
    /// The encoded key: of a window [`encode_key`](crate::encode_key), of first-seen rules
    /// [`tuple_hash`] of the encoded tuple.
    pub key: Vec<u8>,
    /// The intermediate columns.
    pub values: Vec<Value>,
    /// The event as a [`RowPacker`](sluice_event::RowPacker) packs it.
    pub packed: Vec<u8>,
}

impl KeyedBatch {
    /// Rows of one rule, packed with `schema`.
    pub fn of(rule_index: usize, schema: SchemaRef, rows: &[KeyedRow]) -> Self {
        Self::of_rules(schema, rows, &[(rule_index, (0..rows.len()).collect())])
    }

    /// Rows packed with `schema`, and which of them each rule wants, ascending.
    pub fn of_rules(schema: SchemaRef, rows: &[KeyedRow], wanted: &[(usize, Vec<usize>)]) -> Self {
        let (mut packed, mut keys) = (Vec::new(), Vec::new());
        let (mut events, mut places) = (Vec::new(), Vec::new());
        for (at, row) in rows.iter().enumerate() {
            let event = Span::append(&mut packed, &row.packed);
            events.push(KeyedEvent {
                time: row.time,
                uid: row.uid,
                late: row.late,
                time_flags: row.time_flags,
                packed: event,
            });
            let (at, key) = (at as u32, Span::append(&mut keys, &row.key));
            places.push(RowPlace { event: at, row: at, at, key });
        }
        let width = rows.first().map_or(0, |r| r.values.len());
        let columns = (0..width).map(|i| {
            let values = rows.iter().map(|r| r.values.get(i).cloned().unwrap_or_default());
            Column { cells: Arc::new(Cells::Values(values.collect())), whole: true }
        });
        let columns: Arc<[Column]> = columns.collect();
        let rule = |(rule_index, wanted): &(usize, Vec<usize>)| {
            let rows = wanted.iter().filter_map(|at| places.get(*at).copied()).collect();
            RuleRows { rule_index: *rule_index, rows, columns: columns.clone() }
        };
        KeyedBatch {
            schema,
            packed: Arc::new(packed),
            keys: Arc::new(keys),
            events,
            rules: wanted.iter().map(rule).collect(),
        }
    }

    /// How many events it holds.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether it holds no event.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }
}

impl Span {
    fn append(buffer: &mut Vec<u8>, bytes: &[u8]) -> Span {
        let start = buffer.len();
        buffer.extend_from_slice(bytes);
        Span::since(buffer.len(), start)
    }

    /// From `start` to the end of a buffer of `length` bytes.
    pub(crate) fn since(length: usize, start: usize) -> Span {
        Span { start: start as u32, length: (length - start) as u32 }
    }

    pub(crate) fn of(self, buffer: &[u8]) -> &[u8] {
        let start = self.start as usize;
        buffer.get(start..start + self.length as usize).unwrap_or_default()
    }
}

impl RuleRows {
    /// The cell of an intermediate column.
    pub(crate) fn cell(&self, column: usize, place: &RowPlace) -> Cell<'_> {
        let Some(column) = self.columns.get(column) else { return Cell::Null };
        column.cells.get(if column.whole { place.row } else { place.at } as usize)
    }
}

/// The virtual node of an encoded key. `secret` is the cluster's: who writes the payload must not be
/// able to aim at one shard.
pub fn vnode(secret: &[u8; 16], key: &[u8]) -> u16 {
    let mut hasher = SipHasher13::new_with_key(secret);
    hasher.write(key);
    (hasher.finish() % 256) as u16
}

/// The key of a tuple that is only compared: 128 bits of a keyed hash of its encoding.
pub fn tuple_hash(secret: &[u8; 16], tuple: &[u8]) -> [u8; 16] {
    let mut hasher = siphasher::sip128::SipHasher13::new_with_key(secret);
    hasher.write(tuple);
    siphasher::sip128::Hasher128::finish128(&hasher).as_bytes()
}
