//! Consecutive records of one partition on their way to a worker. Not yet decoded.

use sluice_event::{PartitionId, Records};

use crate::{DeadLetterCode, Original};

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
    /// The receive reference in milliseconds since 1970 UTC: for a file its modification time.
    pub received_at: i64,
    /// Whether the partition has ended with this chunk.
    pub at_end: bool,
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
    /// What it said.
    pub original: Original,
}
