//! Consecutive records of one partition on their way to a worker. Not yet decoded.

use std::sync::Arc;

use sluice_event::{PartitionId, Records};

use crate::{DeadLetterCode, Original, Wrapper};

/// About 1 MiB of consecutive records of one partition.
///
/// What came in is `records` plus `faults`: a record is in exactly one of them.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// The partition.
    pub partition: PartitionId,
    /// The original bytes.
    pub records: Records,
    /// Per record: the line it starts on, from 1.
    pub lines: Vec<u64>,
    /// Per record: the byte it starts at in the (decompressed) input.
    pub offsets: Vec<u64>,
    /// Records that could not be cut out of the input.
    pub faults: Vec<Fault>,
    /// The receive reference in milliseconds since 1970 UTC of records that have none of their own:
    /// for a file its modification time.
    pub received_at: i64,
    /// Per record: its own receive reference. Empty: all were received at `received_at`.
    pub received_each: Vec<i64>,
    /// Per record: what came around it. Empty for inputs that give nothing but bytes.
    pub envelopes: Vec<Arc<Envelope>>,
    /// Per record: what the wrapper said that it was taken out of. Empty: none was in one.
    pub wrappers: Vec<Option<Arc<Wrapper>>>,
    /// The year of the first date without one, where the records are in the order of their log.
    pub first_year: Option<i32>,
    /// Whether the partition has ended with this chunk.
    pub at_end: bool,
    /// Whether records of one offset came as one message, complete: what a header line says then
    /// holds for its message, not for those after it.
    pub messages: bool,
}

impl Chunk {
    /// Whole records that were cut before, one a line: tests, and messages of a queue.
    pub fn of_lines(partition: PartitionId, records: &[String], received_at: i64) -> Chunk {
        let mut bytes = Vec::new();
        let mut spans = Vec::with_capacity(records.len());
        for record in records {
            let start = bytes.len();
            bytes.extend_from_slice(record.as_bytes());
            spans.push(start..bytes.len());
        }
        Chunk {
            partition,
            lines: (1..=records.len() as u64).collect(),
            offsets: spans.iter().map(|s: &std::ops::Range<usize>| s.start as u64).collect(),
            records: Records::new(bytes.into(), spans),
            faults: Vec::new(),
            received_at,
            received_each: Vec::new(),
            envelopes: Vec::new(),
            wrappers: Vec::new(),
            first_year: None,
            at_end: true,
            messages: false,
        }
    }

    /// The receive reference of a record.
    pub fn reference(&self, record: usize) -> i64 {
        self.received_each.get(record).copied().unwrap_or(self.received_at)
    }

    /// What came around a record.
    pub fn envelope(&self, record: usize) -> Option<&Arc<Envelope>> {
        self.envelopes.get(record)
    }

    /// What the wrapper of a record said.
    pub fn wrapper(&self, record: usize) -> Option<&Arc<Wrapper>> {
        self.wrappers.get(record).and_then(Option::as_ref)
    }

    /// Whether a record is the first of its message.
    pub(crate) fn begins_message(&self, record: usize) -> bool {
        let offset = |r: usize| self.offsets.get(r);
        self.messages && (record == 0 || offset(record - 1) != offset(record))
    }

    /// Their bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.records.iter().map(|r| r.len() as u64).sum::<u64>()
            + self.faults.iter().map(|f| f.original.length()).sum::<u64>()
    }

    /// Records received: those cut out and those set aside.
    pub fn received(&self) -> u64 {
        (self.records.len() + self.faults.len()) as u64
    }
}

/// A record that framing set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The kind of failure.
    pub code: DeadLetterCode,
    /// What failed, for people.
    pub message: String,
    /// The line it starts on, from 1.
    pub line: u64,
    /// The byte it starts at.
    pub offset: u64,
    /// Its own receive reference, milliseconds since 1970 UTC, if it has one other than its chunk's.
    pub received_at: Option<i64>,
    /// What it said.
    pub original: Original,
    /// What came around it, if the input gives more than bytes.
    pub envelope: Option<Arc<Envelope>>,
}

/// What a queue gives with a record beside its bytes. Mappings read it as `_topic`, `_key`,
/// `_headers` (a JSON object) and `_timestamp`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Envelope {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition of the topic.
    pub partition: i32,
    /// The key.
    pub key: Option<Vec<u8>>,
    /// Headers in order; names that are not UTF-8 are read lossily.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// The record's own timestamp, milliseconds since 1970 UTC.
    pub timestamp: Option<i64>,
}
