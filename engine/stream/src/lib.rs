//! Rules running over a stream: the predicate network for all rules of a table, and keyed
//! incremental operators for those that remember.
//!
//! Sans-IO and pure arrow: no DataFusion (expressions arrive as [`sluice_event::Eval`]), no
//! threads, no clock, no store. `engine` feeds it batches and watermarks and takes its emissions.
//!
//! Glossary: a [`StreamPlan`] is one compiled rule; a [`PredicateNetwork`] is the filters of all
//! rules on one table; a [`Shard`] holds the keyed state of a share of all keys.
#![forbid(unsafe_code)]

mod emission;
mod explain;
mod network;
mod plan;
mod predicate;

pub use caps::Cap;
pub use emission::{Change, Emission, FindingState, Pace};
pub use explain::{ExplainNode, explain};
pub use network::{Fault, NetworkStats, NetworkView, PredicateNetwork, Scratch, SlotCounters};
pub use plan::{Branch, EmitMode, StreamPlan};
pub use predicate::{Atom, Leaf, Predicate, Test, Text};

mod caps;
mod cells;
mod degraded;
mod events;
mod exchange;
mod keys;
mod operator;
mod packing;
mod parts;
mod rows;
mod runtime;
mod shard;
mod stage;
mod state;
mod texts;
mod watermark;

pub use degraded::{Bound, Degradation};
pub use exchange::{KeyedBatch, KeyedRow, tuple_hash, vnode};
pub use operator::OperatorStats;
pub use rows::{BatchRows, Failures, Keyed, row_key};
pub use shard::{HistoryStart, Shard, ShardOptions, StateReset, hold, operator};
pub use stage::*;
pub use state::{StateEntry, StateError};
pub use watermark::PartitionInfo;
