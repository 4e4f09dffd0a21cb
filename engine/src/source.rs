//! The engine's input port. Not a wire format: those live in `ingest`.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use sluice_event::{EventBatch, PartitionId, TableName, TimeSettings};
use sluice_ingest::{Chunk, live::Place};

use crate::EngineError;

/// Records or rows, partition by partition.
///
/// Guarantees the engine relies on: every partition is declared in [`Source::partitions`] before
/// the first delivery; deliveries of one partition come in its order; a partition that has sent
/// [`Delivery::End`] sends nothing more. Non-guarantees: any order between partitions beyond what
/// `progress` lets a source do. On failure the run stops, after what was delivered is processed.
pub trait Source: Send {
    /// Every partition there will be, with the tables its rows may reach.
    fn partitions(&self) -> Vec<Partition>;

    /// The next delivery, or `None` when every partition has ended.
    fn next(&mut self, progress: &Progress) -> Result<Option<Delivery>, EngineError>;
}

/// A partition of an input.
#[derive(Clone, Debug)]
pub struct Partition {
    /// Its number, dense from 0.
    pub id: PartitionId,
    /// The mapping source of its records, an index into the pipeline's sources; `None` for rows
    /// that need no mapping.
    pub source: Option<usize>,
    /// The tables its rows may be in.
    pub tables: Vec<TableName>,
    /// Its event-time behaviour.
    pub time: TimeSettings,
}

/// Names a partition of a live input across restarts: where its records lie and which mapping
/// source they are read as.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionName {
    /// Where its records lie.
    pub place: Place,
    /// The mapping source.
    pub source: Arc<str>,
}

/// One step of a source.
#[derive(Debug)]
pub enum Delivery {
    /// Consecutive records of a partition, to be decoded and mapped.
    Records(Chunk),
    /// Rows that are already in a table: rule tests and the oracle.
    Rows(EventBatch),
    /// The partition is at its end and silent for longer than its idle time.
    Idle(PartitionId),
    /// The partition has ended.
    End(PartitionId),
}

impl Delivery {
    /// The partition it belongs to.
    pub fn partition(&self) -> PartitionId {
        match self {
            Delivery::Records(chunk) => chunk.partition,
            Delivery::Rows(batch) => batch.origin.partition,
            Delivery::Idle(partition) | Delivery::End(partition) => *partition,
        }
    }
}

/// How far each partition has come in event time, published by the workers, so that a source can
/// read partitions aligned.
#[derive(Clone, Debug)]
pub struct Progress(Arc<[AtomicI64]>);

impl Progress {
    pub(crate) fn new(partitions: usize) -> Self {
        Progress((0..partitions).map(|_| AtomicI64::new(i64::MIN)).collect())
    }

    /// The greatest event time seen in a partition, milliseconds; `i64::MIN` before its first row.
    pub fn seen(&self, partition: PartitionId) -> i64 {
        self.0.get(partition.0 as usize).map_or(i64::MIN, |p| p.load(Ordering::Relaxed))
    }

    pub(crate) fn set(&self, partition: PartitionId, time: i64) {
        if let Some(cell) = self.0.get(partition.0 as usize) {
            cell.store(time, Ordering::Relaxed);
        }
    }
}
