//! Events to findings: composes sources, mappings, rules and operators into one running pipeline.
//!
//! It is: the threads and channels ([`Engine`]), the input port ([`Source`]), the output port
//! ([`FindingSink`]), checkpoints, counters, and the loading of rule and mapping files. It is not:
//! a wire format (`ingest`), SQL (`sql`), an operator (`stream`), a server or a command line
//! (`api`). It knows neither the index nor signals: they follow a sink by sequence.
#![forbid(unsafe_code)]

mod arrivals;
mod backlog;
pub mod baseline;
mod checkpoint;
mod checkpoint_writer;
mod clock;
mod coalesce;
mod committer;
mod config;
pub mod content;
mod counters;
mod degraded;
pub mod durable;
mod error;
mod file_source;
mod fillable;
mod finding_rows;
pub mod findings;
mod findings_source;
pub mod history;
pub mod json;
mod keyed;
mod lanes;
pub mod language;
mod layers;
mod live_source;
mod load;
mod lookups;
pub mod mapping_test;
mod message;
mod pipeline;
pub mod replay;
mod rule_set;
pub mod rule_test;
mod run;
pub mod service;
pub mod silence;
mod sink;
mod source;
mod stats;
mod stopwatch;
mod worker;

pub use backlog::Backlog;
pub use checkpoint::{Checkpoint, Seq};
pub use config::{EngineConfig, History};
pub use counters::{Counters, RowCounts, RuleCounts, SourceCounts};
pub use degraded::RULE_DEGRADED;
pub use error::EngineError;
pub use file_source::FileSource;
pub use live_source::DEAD_LETTERS;
pub use load::{Content, Problem};
pub use rule_set::{LoadedRule, RuleSet, TableRules};
pub use run::{DurableCheckpoint, Engine, Live, Observer, RunOptions, Summary, Unobserved};
pub use sink::{
    CheckpointSink, Commit, FindingFeed, FindingLog, FindingSink, MemorySink, PlacedDeadLetter,
    Reported,
};
pub use sluice_sql::{Cancel, Lookups, QueryLimits, QueryResult, SqlError, tables_named};
pub use sluice_stream::Pace;
pub use source::{Delivery, Partition, PartitionName, Progress, Source, SourcePosition};
pub use stats::{RuleCost, StatsRegistry};
pub use stopwatch::StageTimes;
