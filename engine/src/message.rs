//! What the stages of a pipeline send each other. Not what they do with it: see [`crate::worker`],
//! [`crate::keyed`] and [`crate::committer`], none of which knows another.

use std::sync::Arc;

use crossbeam_channel::Sender;
use sluice_event::{PartitionId, TableName};
use sluice_stream::{Degradation, Emission, KeyedBatch, PartitionInfo, StateEntry};

use crate::{Backlog, Delivery, PlacedDeadLetter, SourcePosition, stopwatch::Stopwatch};

/// To a worker.
pub(crate) enum ToWorker {
    Delivery(Delivery),
    Barrier(Arc<CheckpointBarrier>),
}

/// A cut through the stream: everything before it is the first so many deliveries.
pub(crate) struct CheckpointBarrier {
    /// From 1 in every run.
    pub number: u64,
    pub delivered: u64,
    pub position: SourcePosition,
    /// Since it was sent.
    pub age: Stopwatch,
    /// Whether shards hand over all of their state, or what changed since the last barrier.
    pub full: bool,
}

/// Where a worker sends what it has made.
#[derive(Clone)]
pub(crate) struct WorkerOut {
    pub shards: Vec<Sender<ToShard>>,
    pub committer: Sender<ToCommitter>,
    /// To the committer as well. Those of a delivery go before anything that is said after it.
    pub letters: Sender<Vec<PlacedDeadLetter>>,
    pub backlog: Backlog,
}

/// To a shard: what one worker made of one delivery, or a barrier.
pub(crate) struct ToShard {
    pub worker: usize,
    pub message: ShardMessage,
}

pub(crate) enum ShardMessage {
    Rows(ShardRows),
    Assign(PartitionInfo),
    Idle(PartitionId),
    End(PartitionId),
    Barrier(Arc<CheckpointBarrier>),
}

/// What a worker made of one delivery, for one shard.
pub(crate) struct ShardRows {
    pub partition: PartitionId,
    /// One per batch of the delivery that has rows for the shard.
    pub batches: Vec<KeyedBatch>,
    /// The partition's greatest event time after this delivery.
    pub seen: i64,
    /// Tables this partition had its first row in, with that row's time.
    pub first: Vec<(TableName, i64)>,
}

/// To the committer, beside dead letters.
pub(crate) enum ToCommitter {
    /// What a stage reports after the barrier of this number; 0 before the first.
    Emissions(u64, Vec<Emission>),
    /// Bounds of state that a stage hit, likewise.
    Degraded(u64, Vec<Degradation>),
    /// What a shard has reported is all there is by these event times, one per layer of rules.
    Closed(usize, Vec<i64>),
    /// Part of a checkpoint: a worker's partitions.
    Seen(Arc<CheckpointBarrier>, Vec<(PartitionId, i64)>),
    /// Part of a checkpoint: a shard's state.
    State(Arc<CheckpointBarrier>, Vec<StateEntry>),
}
