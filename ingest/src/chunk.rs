//! Consecutive records of one partition on their way to a worker. Not yet decoded.

use std::{ops::Range, sync::Arc};

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
    /// Whether the first record is of the message that the chunk before ended in.
    pub continues: bool,
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
            offsets: spans.iter().map(|s: &Range<usize>| s.start as u64).collect(),
            records: Records::new(bytes.into(), spans),
            faults: Vec::new(),
            received_at,
            received_each: Vec::new(),
            envelopes: Vec::new(),
            wrappers: Vec::new(),
            first_year: None,
            at_end: true,
            messages: false,
            continues: false,
        }
    }

    /// The same in chunks of at most so many records, and as many faults, each; records in order.
    ///
    /// # Panics
    /// If `most` is 0.
    pub fn pieces(mut self, most: usize) -> Vec<Chunk> {
        let count = self.records.len();
        let pieces = self.longest().div_ceil(most);
        if pieces <= 1 {
            return vec![self];
        }
        let mut faults = std::mem::take(&mut self.faults).into_iter();
        let piece = |n: usize| {
            let part = count.min(n * most)..count.min((n + 1) * most);
            let before = part.start.checked_sub(1).and_then(|last| self.offsets.get(last));
            Chunk {
                partition: self.partition,
                records: self.records.slice(part.clone()),
                lines: some(&self.lines, &part),
                offsets: some(&self.offsets, &part),
                faults: faults.by_ref().take(most).collect(),
                received_at: self.received_at,
                received_each: some(&self.received_each, &part),
                envelopes: some(&self.envelopes, &part),
                wrappers: some(&self.wrappers, &part),
                first_year: self.first_year,
                at_end: self.at_end && n + 1 == pieces,
                messages: self.messages,
                continues: match n {
                    0 => self.continues,
                    _ => before.is_some() && before == self.offsets.get(part.start),
                },
            }
        };
        (0..pieces).map(piece).collect()
    }

    /// The number of records, or of faults if there are more: [`Chunk::pieces`] cuts by it.
    pub fn longest(&self) -> usize {
        self.records.len().max(self.faults.len())
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
        self.messages
            && match record {
                0 => !self.continues,
                _ => offset(record - 1) != offset(record),
            }
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

/// What is said of some records; nothing if it is said of none.
fn some<T: Clone>(each: &[T], part: &Range<usize>) -> Vec<T> {
    each.get(part.clone()).map_or_else(Vec::new, <[T]>::to_vec)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Original;

    #[test]
    fn pieces_say_what_the_whole_said() {
        let records: Vec<String> = (0..10).map(|n| format!("record {n}")).collect();
        let fault = |offset| Fault {
            code: DeadLetterCode::BadJson,
            message: String::new(),
            line: 0,
            offset,
            received_at: None,
            original: Original::Whole(Vec::new()),
            envelope: None,
        };
        let whole = Chunk {
            messages: true,
            // Messages of 1, 6 and 3 records.
            offsets: [vec![7], vec![8; 6], vec![9; 3]].concat(),
            received_each: (0..10).collect(),
            faults: (0..5).map(fault).collect(),
            ..Chunk::of_lines(PartitionId(3), &records, 5)
        };
        let all = whole.clone().pieces(10);
        assert!(matches!(&all[..], [one] if one.records.len() == 10 && one.faults.len() == 5));
        let pieces = whole.clone().pieces(4);
        assert_eq!(pieces.iter().map(|p| p.records.len()).collect::<Vec<_>>(), [4, 4, 2]);
        assert_eq!(pieces.iter().map(|p| p.faults.len()).collect::<Vec<_>>(), [4, 1, 0]);
        assert_eq!(pieces.iter().map(|p| p.at_end).collect::<Vec<_>>(), [false, false, true]);
        let begins: Vec<bool> =
            pieces.iter().flat_map(|p| (0..p.records.len()).map(|r| p.begins_message(r))).collect();
        assert_eq!(begins, (0..10).map(|r| whole.begins_message(r)).collect::<Vec<_>>());
        let texts = pieces.iter().flat_map(|p| p.records.iter().map(<[u8]>::to_vec));
        assert!(texts.eq(whole.records.iter().map(<[u8]>::to_vec)));
        let times = pieces.iter().flat_map(|p| (0..p.records.len()).map(|r| p.reference(r)));
        assert!(times.eq(0..10));
        // A message that ends with a piece does not go on in the next.
        let ends: Vec<bool> = whole.pieces(7).iter().map(|p| p.continues).collect();
        assert_eq!(ends, [false, false]);
    }

    #[test]
    fn faults_alone_fall_into_pieces_too() {
        let none = Chunk::of_lines(PartitionId(0), &[], 0);
        assert_eq!(none.clone().pieces(4).len(), 1);
        let fault = Fault {
            code: DeadLetterCode::BadJson,
            message: String::new(),
            line: 1,
            offset: 1,
            received_at: None,
            original: Original::Whole(Vec::new()),
            envelope: None,
        };
        let pieces = Chunk { faults: vec![fault; 9], ..none }.pieces(4);
        assert_eq!(pieces.iter().map(|p| p.received()).collect::<Vec<_>>(), [4, 4, 1]);
    }
}
