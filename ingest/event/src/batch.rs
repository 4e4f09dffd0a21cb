//! Rows of one table with where each came from.

use std::{fmt, ops::Range, sync::Arc};

use arrow::{
    array::AsArray, buffer::Buffer, datatypes::TimestampMillisecondType, record_batch::RecordBatch,
};

use crate::{EventUid, EventUids, TableName};

/// Rows of one table, decoded from consecutive records of one partition.
#[derive(Clone, Debug)]
pub struct EventBatch {
    /// The table of every row.
    pub table: TableName,
    /// One column per column of the table's schema, in its order. `time` has no NULL.
    pub columns: RecordBatch,
    /// Where the rows come from.
    pub origin: Arc<Origin>,
    /// The original bytes of the records.
    pub records: Records,
    /// Per row: the index of its record in `records`.
    pub record: Vec<u32>,
    /// Per row: its number among the rows its record made in this table (almost always 0).
    pub sub_index: Vec<u16>,
    /// Per row: the greatest event time of its partition before this row; `i64::MIN` before the
    /// first. With it, what is late does not depend on where batches are cut.
    pub seen_before: Vec<i64>,
}

impl EventBatch {
    /// The number of rows.
    pub fn len(&self) -> usize {
        self.columns.num_rows()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Event times in milliseconds since 1970 UTC, one per row; empty if the table has no `time`.
    pub fn times(&self) -> &[i64] {
        self.columns
            .column_by_name("time")
            .and_then(|c| c.as_primitive_opt::<TimestampMillisecondType>())
            .map_or(&[], |c| c.values())
    }

    /// The original bytes a row was decoded from.
    pub fn original(&self, row: usize) -> &[u8] {
        self.records.get(self.record[row] as usize)
    }

    /// The identity of a row; of many rows, [`EventUids`] gives them faster.
    pub fn uid(&self, row: usize) -> EventUid {
        EventUids::new(self).of(row)
    }
}

/// What is the same for every row of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The mapping source, `okta.system`: part of every event's identity.
    pub source: Arc<str>,
    /// The tenant the input's credential belongs to; `default` on one tenant.
    pub tenant: Arc<str>,
    /// The partition the records were read from.
    pub partition: PartitionId,
    /// Delay, lateness and skew of the source.
    pub time: TimeSettings,
}

/// A partition of the running process: one Kafka partition, one file, one spool. Dense, from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct PartitionId(pub u32);

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How a source's event time behaves; milliseconds. `delay <= lateness`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimeSettings {
    /// The watermark stands this far behind the newest event: 10 s waits 10 s for stragglers before
    /// a repairable rule (first-seen, session) speaks.
    pub delay: i64,
    /// Rows this far behind the newest event of their partition still count, and may fire; older
    /// ones reach stateless rules only, and are counted.
    pub lateness: i64,
    /// A time further than this ahead of the record's receive time is clamped to it.
    pub max_skew: i64,
    /// A partition at its end without a row for this long no longer holds the watermark back.
    pub idle: i64,
}

impl Default for TimeSettings {
    fn default() -> Self {
        TimeSettings { delay: 10_000, lateness: 600_000, max_skew: 300_000, idle: 60_000 }
    }
}

/// The original bytes of consecutive records. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Records {
    bytes: Buffer,
    spans: Arc<[Range<usize>]>,
}

impl Records {
    /// Records as spans of one buffer.
    ///
    /// # Panics
    /// If a span lies outside `bytes`.
    pub fn new(bytes: Buffer, spans: Vec<Range<usize>>) -> Self {
        assert!(spans.iter().all(|s| s.start <= s.end && s.end <= bytes.len()));
        Records { bytes, spans: spans.into() }
    }

    /// The number of records.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The bytes of one record.
    pub fn get(&self, index: usize) -> &[u8] {
        &self.bytes[self.spans[index].clone()]
    }

    /// Some of them, of the same buffer.
    ///
    /// # Panics
    /// If there are not so many.
    #[must_use]
    pub fn slice(&self, range: Range<usize>) -> Records {
        Records { bytes: self.bytes.clone(), spans: self.spans[range].into() }
    }

    /// The bytes of all records in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.spans.iter().map(|s| &self.bytes[s.clone()])
    }
}
