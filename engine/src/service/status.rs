//! What a running service shows of itself. Snapshots: they cost the pipeline nothing and decide
//! nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use sluice_event::{PartitionId, TableName};
use sluice_ingest::live::{InputStatus, Place};

use super::Shared;
use crate::{Content, Counters, StageTimes, fillable, live_source::expected};

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
    /// Bytes free where the store is; `None` if it cannot be measured.
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
    /// Since when there is something that no checkpoint covers; `None` if everything delivered is
    /// durable.
    pub pending_since: Option<i64>,
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
    /// What it reports of itself.
    pub status: InputStatus,
    /// The offset to read next, of what is durable.
    pub positions: BTreeMap<Place, u64>,
    /// The newest event time of each of its partitions: (place, source, time).
    pub partitions: Vec<(Place, Arc<str>, Option<i64>)>,
    /// Dead letters that are not kept yet. An input with 1,024 of them is not read on until they are.
    pub dead_letters_waiting: usize,
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
    /// Findings it made or changed.
    pub findings: u64,
    /// Rows on which an expression of it failed.
    pub errors: u64,
    /// The first failure.
    pub error: Option<String>,
    /// Rows its operator never got because they were too late.
    pub too_late: u64,
    /// Rows its operator had already.
    pub duplicates: u64,
    /// Keys given up at a limit, and rows no longer kept one by one.
    pub evicted: u64,
    /// How often a limit was hit on which its verdicts can depend, once per key and hour.
    pub degraded: u64,
    /// What limits its state, in words; empty if it remembers nothing.
    pub bounds: Vec<String>,
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

/// What is known of a rule before it has seen a row.
pub(super) struct RuleCard(RuleHealth);

/// The cards of all rules, when inputs fill the tables `fed`.
pub(super) fn cards(content: &Content, fed: &BTreeSet<TableName>) -> Vec<RuleCard> {
    let card = |loaded: &crate::LoadedRule| {
        let rule = &loaded.rule;
        let mut tables: Vec<TableName> =
            loaded.plan.branches.iter().map(|b| b.table.clone()).collect();
        tables.sort();
        tables.dedup();
        let missing: Vec<&str> =
            tables.iter().filter(|t| !fed.contains(t)).map(TableName::as_str).collect();
        let cannot_fire = if missing.len() < tables.len() {
            let mappings = content.mappings.iter().map(AsRef::as_ref);
            fillable::cannot_fire(&loaded.plan.branches, mappings).unwrap_or_default()
        } else {
            format!("no input fills {}", missing.join(", "))
        };
        RuleCard(RuleHealth {
            id: loaded.plan.rule.clone(),
            title: rule.title.clone(),
            severity: rule.severity.name(),
            status: rule.status.name(),
            path: rule.file.path.clone(),
            attack: rule.attack.clone(),
            tables,
            cannot_fire,
            bounds: loaded.plan.stage.view(&sluice_stream::Limits::default()).bounds,
            ..RuleHealth::default()
        })
    };
    content.running().map(card).collect()
}

impl Shared {
    pub(super) fn status(&self) -> ServiceStatus {
        let total = self.stats.total();
        let state = self.lock();
        let partitions = || (0u32..).map(PartitionId).zip(&state.position.partitions);
        let inputs = self.inputs.iter().map(|input| {
            let own = |place: &Place| place.input == input.name;
            let positions = state.position.positions.iter().filter(|(p, _)| own(p));
            let seen = |id| total.seen.get(&id).copied().filter(|t| *t > i64::MIN);
            InputHealth {
                name: input.name.clone(),
                kind: input.kind,
                mapping: input.mapping.clone(),
                status: input.control.status(),
                positions: positions.map(|(p, n)| (p.clone(), *n)).collect(),
                partitions: partitions()
                    .filter(|(_, name)| own(&name.place))
                    .filter(|(_, name)| name.place != expected(&input.name))
                    .map(|(id, name)| (name.place.clone(), name.source.clone(), seen(id)))
                    .collect(),
                dead_letters_waiting: self.backlog.of(&input.name),
            }
        });
        let rules = state.rules.iter().map(|RuleCard(card)| {
            let counts = total.counters.rules.get(&*card.id).cloned().unwrap_or_default();
            let cost = total.costs.get(&*card.id).copied().unwrap_or_default();
            RuleHealth {
                rows_seen: cost.rows_seen,
                matched: counts.matched,
                findings: cost.findings,
                errors: counts.errors,
                error: counts.error,
                too_late: counts.too_late,
                duplicates: counts.duplicates,
                evicted: counts.evicted,
                degraded: counts.degraded,
                nanos: cost.nanos,
                keys: cost.keys,
                state_bytes: cost.state_bytes,
                last_fired: cost.last_fired,
                ..card.clone()
            }
        });
        ServiceStatus {
            phase: state.phase.clone(),
            started_at: self.started_at,
            checkpoint: CheckpointHealth {
                pending_since: state.pending.values().copied().min(),
                ..state.checkpoint
            },
            inputs: inputs.collect(),
            rules: rules.collect(),
            times: total.times,
            reload: state.report.clone(),
            disk_free: state.disk_free,
            counters: total.counters.clone(),
        }
    }
}
