//! What a running service shows of itself. Snapshots: they cost the pipeline nothing and decide
//! nothing.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use sluice_event::TableName;
use sluice_ingest::live::{InputStatus, Place};

use crate::{Counters, StageTimes};

/// The whole service at one moment. Times are milliseconds since 1970 UTC.
#[derive(Clone, Debug, Default)]
pub struct ServiceStatus {
    /// What it is doing.
    pub phase: Phase,
    /// When it started.
    pub started_at: i64,
    /// Checkpoints and what they cost.
    pub checkpoint: CheckpointHealth,
    /// The inputs, in name order.
    pub inputs: Vec<InputHealth>,
    /// The rules, in id order.
    pub rules: Vec<RuleHealth>,
    /// Everything counted since the process started, by mapping source and by rule.
    pub counters: Counters,
    /// Where the time of the threads went since the process started.
    pub times: StageTimes,
    /// The last reload, if there was one.
    pub reload: Option<ReloadReport>,
    /// Bytes free where the store is; `None` if that cannot be told.
    pub disk_free: Option<u64>,
}

/// What the service is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Reading its state.
    #[default]
    Starting,
    /// Running.
    Running,
    /// Reading nothing, for the reason given (disk space); goes on by itself.
    Paused(String),
    /// It has stopped for good, for the reason given.
    Failed(String),
    /// It has ended as asked.
    Stopped,
}

/// Checkpoints and what they cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckpointHealth {
    /// The number of the last one.
    pub epoch: u64,
    /// When it became durable.
    pub at: Option<i64>,
    /// From its marker to its being durable.
    pub took: Duration,
    /// Bytes of state it wrote.
    pub bytes: u64,
    /// How long it took at start to read the last one back.
    pub recovery: Duration,
}

/// One input of the configuration.
#[derive(Clone, Debug, Default)]
pub struct InputHealth {
    /// Its name.
    pub name: Arc<str>,
    /// `kafka` or `http`.
    pub kind: &'static str,
    /// The mapping source, or `auto`.
    pub mapping: String,
    /// What it says of itself.
    pub status: InputStatus,
    /// The offset to read next, of what is durable.
    pub positions: BTreeMap<Place, u64>,
    /// The newest event time of each of its partitions: (place, source, time).
    pub partitions: Vec<(Place, Arc<str>, Option<i64>)>,
}

/// One rule.
#[derive(Clone, Debug, Default)]
pub struct RuleHealth {
    /// Its id.
    pub id: Arc<str>,
    /// Its title.
    pub title: String,
    /// Its severity, in lower case.
    pub severity: &'static str,
    /// Its `status:`; `experimental` ones are on trial.
    pub status: &'static str,
    /// The file it is in.
    pub path: String,
    /// ATT&CK tactic and technique ids.
    pub attack: Vec<String>,
    /// The tables it reads.
    pub tables: Vec<TableName>,
    /// Rows of its tables since the process started.
    pub rows_seen: u64,
    /// Rows that passed its condition.
    pub matched: u64,
    /// Findings it made, changes of one not counted again.
    pub findings: u64,
    /// Rows on which an expression of it failed.
    pub errors: u64,
    /// The first failure.
    pub error: Option<String>,
    /// Rows its operator never got because they were too late.
    pub too_late: u64,
    /// Rows its operator had already.
    pub duplicates: u64,
    /// Keys or rows given up at a limit.
    pub evicted: u64,
    /// Time spent on its own rows plus its share of the network's, nanoseconds.
    pub nanos: u64,
    /// Keys it remembers.
    pub keys: u64,
    /// Roughly what they take.
    pub state_bytes: u64,
    /// Event time of its newest finding since the process started.
    pub last_fired: Option<i64>,
    /// Why it cannot fire as things are: no input feeds a table it reads. Empty if it can.
    pub cannot_fire: String,
}

/// What a reload did.
#[derive(Clone, Debug, Default)]
pub struct ReloadReport {
    /// When.
    pub at: i64,
    /// Whether the rules that were asked for now run. If not, the ones before go on.
    pub applied: bool,
    /// Per rule that is not simply kept: what happened to it.
    pub rules: BTreeMap<String, RuleChange>,
    /// Rules that run as before.
    pub kept: u64,
    /// What is wrong, or could be better, with any file: as `rule lint` prints it.
    pub problems: Vec<String>,
    /// Bytes of state that no rule needs any more.
    pub state_freed: u64,
}

/// What a reload did to one rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleChange {
    /// It was not there before; its state begins empty.
    Added,
    /// Its text changed and what it remembers did not: its state is kept.
    Edited,
    /// What it remembers changed: its state begins empty.
    Reset,
    /// It is gone.
    Removed,
}
