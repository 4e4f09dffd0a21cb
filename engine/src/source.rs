//! The engine's input port. Not a wire format: those live in `ingest`.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use sluice_event::{EventBatch, PartitionId, TableName, TimeSettings};
use sluice_ingest::{
    Chunk,
    live::{Place, Positions},
};

use crate::{Backlog, EngineError};

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

    /// Whether a checkpoint may fall here. Not between deliveries that were read together.
    fn at_boundary(&self) -> bool {
        true
    }

    /// Where it looks which inputs are to wait, because many of their records were set aside.
    fn backlog(&self) -> Backlog {
        Backlog::default()
    }

    /// Where the source stands after its last delivery.
    fn position(&self) -> SourcePosition {
        SourcePosition::default()
    }
}

/// Where a live source stands: what a checkpoint keeps of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourcePosition {
    /// Per place: the offset to read next.
    pub positions: Positions,
    /// Its partitions by number.
    pub partitions: Vec<PartitionName>,
    /// The number of the last replay of dead letters that was delivered, or given up, since the
    /// process started.
    pub replays: u64,
}

/// A partition of an input.
#[derive(Clone, Debug)]
pub struct Partition {
    /// Its number, dense from 0.
    pub id: PartitionId,
    /// The mapping source of its records, an index into the pipeline's sources; `None` for rows
    /// that need no mapping, and for records that no source takes.
    pub source: Option<usize>,
    /// What it is called across restarts, if its input does not end.
    pub name: Option<PartitionName>,
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
    /// Rows that are already in a table: rule tests, the oracle, and what was found.
    Rows(EventBatch),
    /// Event time of the partition has come this far, milliseconds, though no row of it says so.
    Seen(PartitionId, i64),
    /// The partition is at its end and silent for longer than its idle time.
    Idle(PartitionId),
    /// The partition has ended.
    End(PartitionId),
    /// A partition that was not declared joins; its records follow.
    Join(Partition),
    /// There is nothing for the moment.
    Nothing,
}

impl Delivery {
    /// The partition it belongs to.
    pub fn partition(&self) -> Option<PartitionId> {
        match self {
            Delivery::Records(chunk) => Some(chunk.partition),
            Delivery::Rows(batch) => Some(batch.origin.partition),
            Delivery::Idle(partition) | Delivery::End(partition) | Delivery::Seen(partition, _) => {
                Some(*partition)
            }
            Delivery::Join(partition) => Some(partition.id),
            Delivery::Nothing => None,
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

/// The partitions a worker owns.
pub(crate) fn owned(
    partitions: &[Partition],
    worker: usize,
    workers: usize,
) -> impl Iterator<Item = &Partition> {
    partitions.iter().filter(move |p| p.id.0 as usize % workers == worker)
}
