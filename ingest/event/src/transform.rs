//! Mappings somebody else compiled: wire records in, table rows out.

use std::fmt;

use arrow::{array::BooleanArray, record_batch::RecordBatch};

use crate::TableName;

/// One mapping file, compiled: a condition and a SELECT over the wire record of a source.
///
/// Guarantees: rows keep the order of their records; a record whose row fails is in
/// [`Mapped::failed`] and in no row. Non-guarantees: columns the engine fills (ids, entities,
/// `event_uid`, `source`) are NULL unless the mapping set them.
pub trait Transform: fmt::Debug + Send + Sync {
    /// The table the rows belong to.
    fn table(&self) -> &TableName;

    /// Which records this mapping takes (`when:`), TRUE per record; NULL counts as FALSE.
    fn matches(&self, wire: &RecordBatch) -> BooleanArray;

    /// Whether [`apply`](Transform::apply) reads this column of the record: what is in another one does not matter.
    fn reads(&self, _column: usize) -> bool {
        true
    }

    /// Maps every record of `wire` (already restricted to matching ones).
    fn apply(&self, wire: &RecordBatch) -> Mapped;
}

/// What a mapping made of a batch of records.
#[derive(Debug)]
pub struct Mapped {
    /// Rows in the full schema of the table.
    pub rows: RecordBatch,
    /// Per row: the index of its record in the batch given.
    pub record: Vec<u32>,
    /// Records that made no row because an expression failed on them.
    pub failed: Vec<RowError>,
    /// Per output column (index in the table schema): values that could not be cast and became NULL.
    pub conflicts: Vec<(usize, u64)>,
}

/// A record that could not be mapped, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowError {
    /// The index of the record in the batch given.
    pub record: u32,
    /// What failed, for people.
    pub message: String,
}
