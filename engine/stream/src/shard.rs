//! The keyed state of a share of all keys, for every rule that has state. No threads, no clock, no
//! store: rows and watermarks go in, emissions and state entries come out.

use std::{collections::BTreeSet, sync::Arc};

use siphasher::sip::SipHasher13;
use sluice_event::{PartitionId, TableName};

use crate::{
    Emission, Failures, KeyedRow, Limits, PartitionInfo, Stage, StateEntry, StateError, StreamPlan,
    first_seen::{FirstSeenOperator, History},
    keys::Key,
    state::{Reader, Writer},
    vnode,
    watermark::{Activity, Frontier, Progress, Watermarks},
    window::WindowOperator,
};

/// Operators over a share of all keys.
///
/// Guarantees: the net findings (those not withdrawn once every partition has ended) do not depend
/// on how rows are cut into pushes, on the order of rows accepted between F and W, on the number of
/// shards or on an export and import in between, as long as no limit was hit. Emissions come sorted
/// by (slot, time, key), at most one per finding and [`take`](Shard::take).
///
/// Non-guarantees: `late` and the number of provisional emissions depend on arrival.
#[derive(Debug)]
pub struct Shard {
    options: ShardOptions,
    operators: Vec<Operator>,
    watermarks: Watermarks,
    /// Entries that belong to no key changed since the last export.
    moved: bool,
}

/// How a shard is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardOptions {
    /// Which of the shards this is: names its own entries.
    pub index: u32,
    /// The cluster's key of [`vnode`](crate::vnode()).
    pub secret: [u8; 16],
    /// Bounds of state.
    pub limits: Limits,
    /// From when on first-seen rules know history.
    pub history_start: HistoryStart,
}

/// From when on a table's history is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HistoryStart {
    /// Since ever: every row can fire at once.
    Always,
    /// Since this time, milliseconds: rows whose span reaches before it do not fire.
    At(i64),
    /// Since the first accepted event: rows wait until every partition has one.
    FirstAccepted,
}

/// Counters of one rule on one shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OperatorStats {
    /// The rule.
    pub slot: usize,
    /// Rows pushed; too late ones and duplicates included.
    pub rows_in: u64,
    /// Rows whose native id was there already.
    pub duplicates: u64,
    /// Rows before F: an idle partition came back.
    pub too_late: u64,
    /// Rows that could not be first-seen because history does not reach back far enough.
    pub first_seen_cold: u64,
    /// Keys in memory.
    pub keys: u64,
    /// Roughly what they take.
    pub state_bytes: u64,
    /// Keys forgotten because there were too many.
    pub evicted: u64,
    /// Rows no longer kept one by one because their key had too many.
    pub thinned: u64,
    /// Groups on which HAVING or SELECT failed.
    pub failures: Failures,
}

#[derive(Debug)]
struct Operator {
    plan: Arc<StreamPlan>,
    fingerprint: u64,
    tables: Vec<TableName>,
    frontier: Frontier,
    kind: Kind,
    stats: OperatorStats,
}

#[derive(Debug)]
enum Kind {
    Window(WindowOperator),
    FirstSeen(FirstSeenOperator),
}

/// The operator of entries about partitions.
const PARTITIONS: u64 = 0;

impl Shard {
    /// Operators for the plans that have state; slots of stateless ones are ignored.
    pub fn new(
        plans: &[(usize, Arc<StreamPlan>)],
        partitions: &[PartitionInfo],
        options: ShardOptions,
    ) -> Self {
        let operators =
            plans.iter().filter_map(|(slot, plan)| Operator::new(*slot, plan, &options)).collect();
        let mut watermarks = Watermarks::default();
        partitions.iter().for_each(|p| watermarks.assign(p));
        Shard { options, operators, watermarks, moved: false }
    }

    /// A partition joins while running. It holds watermarks until its first row.
    pub fn assign(&mut self, partition: &PartitionInfo) {
        self.watermarks.assign(partition);
        self.moved = true;
    }

    /// Rows of one rule from one partition, before the [`observe`](Shard::observe) that covers them.
    pub fn push(&mut self, slot: usize, partition: PartitionId, rows: Vec<KeyedRow>) {
        self.watermarks.wake(partition);
        let Some(operator) = self.operators.iter_mut().find(|o| o.stats.slot == slot) else {
            return;
        };
        let plan = operator.plan.clone();
        for row in rows {
            operator.stats.rows_in += 1;
            if row.time < operator.frontier.closed {
                operator.stats.too_late += 1;
                continue;
            }
            let (limits, stats) = (&self.options.limits, &mut operator.stats);
            match (&mut operator.kind, &plan.stage) {
                (Kind::Window(o), Stage::Window(plan)) => o.push(plan, row, limits, stats),
                (Kind::FirstSeen(o), Stage::FirstSeen(plan)) => o.push(plan, row, limits, stats),
                (Kind::Window(_) | Kind::FirstSeen(_), _) => {}
            }
        }
    }

    /// Every row of the partition up to `max_time` has been pushed, whichever rule it matched.
    pub fn observe(&mut self, partition: PartitionId, max_time: i64) {
        self.watermarks.observe(partition, max_time);
        self.advance();
    }

    /// The first accepted event of a table in a partition, before the first `observe` after it.
    pub fn first_time(&mut self, partition: PartitionId, table: &TableName, time: i64) {
        self.watermarks.first_time(partition, table, time);
        self.moved = true;
    }

    /// The partition is at its end for now: it no longer holds watermarks back until it has a row.
    pub fn idle(&mut self, partition: PartitionId) {
        self.watermarks.idle(partition);
        self.advance();
    }

    /// The partition has ended. When all have, everything is judged and confirmed.
    pub fn end(&mut self, partition: PartitionId) {
        self.watermarks.end(partition);
        self.advance();
    }

    /// What changed since the last call, sorted by (slot, time, key).
    pub fn take(&mut self) -> Vec<Emission> {
        let mut out = Vec::new();
        for operator in &mut self.operators {
            let plan = operator.plan.clone();
            let (frontier, stats) = (operator.frontier, &mut operator.stats);
            match (&mut operator.kind, &plan.stage) {
                (Kind::Window(o), Stage::Window(plan)) => {
                    o.settle(plan, frontier, &self.options.limits, stats, &mut out);
                }
                (Kind::FirstSeen(o), Stage::FirstSeen(plan)) => {
                    o.settle(plan, frontier, stats, &mut out);
                }
                (Kind::Window(_) | Kind::FirstSeen(_), _) => {}
            }
        }
        out.sort_by(|a, b| (a.slot, a.time, &a.key).cmp(&(b.slot, b.time, &b.key)));
        out
    }

    /// State to be stored: of every key, or of those that changed since the last call, `None` for
    /// those that are gone. Emissions taken before belong to what is exported: store them first.
    pub fn export(&mut self, full: bool) -> Vec<StateEntry> {
        let mut entries = Vec::new();
        if full || std::mem::take(&mut self.moved) {
            let shared = |operator, key: &[u8], value| {
                StateEntry::new(StateEntry::SHARED, operator, key, Some(value))
            };
            for (id, progress) in self.watermarks.progress() {
                entries.push(shared(PARTITIONS, &id.0.to_be_bytes(), encode_progress(progress)));
            }
            for operator in &self.operators {
                let key = self.options.index.to_be_bytes();
                entries.push(shared(operator.fingerprint, &key, operator.encode()));
            }
        }
        for operator in &mut self.operators {
            let fingerprint = operator.fingerprint;
            let keys = match &mut operator.kind {
                Kind::Window(o) => o.export(full),
                Kind::FirstSeen(o) => o.export(full),
            };
            entries.extend(keys.into_iter().map(|(key, value)| {
                StateEntry::new(vnode(&self.options.secret, &key), fingerprint, &key, value)
            }));
        }
        entries
    }

    /// Takes over stored state: the entries of this shard's virtual nodes and all
    /// [shared](StateEntry::SHARED) ones. Entries of operators it does not have are left out.
    ///
    /// # Errors
    /// If an entry was not written by [`export`](Shard::export) or its bytes changed; the shard is
    /// then in part restored and must not be used.
    pub fn import(&mut self, entries: Vec<StateEntry>) -> Result<(), StateError> {
        let mut known = BTreeSet::new();
        for entry in &entries {
            let Some(value) = &entry.value else { continue };
            let (fingerprint, key) = entry.parts()?;
            let mut r = Reader::new(value)?;
            if fingerprint == PARTITIONS {
                let id = key.try_into().map_err(|_| StateError::Truncated)?;
                let id = PartitionId(u32::from_be_bytes(id));
                self.watermarks.restore(id, decode_progress(&mut r)?);
                continue;
            }
            let same = |o: &&mut Operator| o.fingerprint == fingerprint;
            let Some(operator) = self.operators.iter_mut().find(same) else { continue };
            if entry.vnode() == StateEntry::SHARED {
                known.insert(fingerprint);
                operator.decode(&mut r)?;
                continue;
            }
            let key: Key = key.into();
            match (&mut operator.kind, &operator.plan.stage) {
                (Kind::Window(o), Stage::Window(plan)) => o.import(plan, &key, &mut r)?,
                (Kind::FirstSeen(o), _) => o.import(&key, &mut r)?,
                (Kind::Window(_), Stage::Stateless | Stage::FirstSeen(_)) => {}
            }
        }
        // A rule that joins a running stream knows nothing of what was before: its history starts
        // with the newest row, not with the table's first.
        for operator in self.operators.iter_mut().filter(|o| !known.contains(&o.fingerprint)) {
            if let Kind::FirstSeen(first_seen) = &mut operator.kind
                && let Some(newest) = self.watermarks.newest(&operator.tables)
            {
                first_seen.decide(History::Since(newest));
            }
        }
        self.advance();
        Ok(())
    }

    /// Counters per rule with state, in slot order as given.
    pub fn stats(&self) -> Vec<OperatorStats> {
        self.operators.iter().map(|o| o.stats.clone()).collect()
    }

    /// Through which event time a rule has been evaluated and through which nothing can change:
    /// (W, F).
    pub fn evaluated_through(&self, slot: usize) -> Option<(i64, i64)> {
        let operator = self.operators.iter().find(|o| o.stats.slot == slot)?;
        Some((operator.frontier.watermark, operator.frontier.closed))
    }

    fn advance(&mut self) {
        self.moved = true;
        for operator in &mut self.operators {
            let frontier = self.watermarks.frontier(&operator.tables, operator.plan.lateness);
            operator.frontier.advance(frontier);
            if let Kind::FirstSeen(o) = &mut operator.kind
                && operator.frontier.watermark > i64::MIN
                && let Some(start) = self.watermarks.history_start(&operator.tables)
            {
                o.decide(History::Since(start));
            }
        }
    }
}

impl Operator {
    fn new(slot: usize, plan: &Arc<StreamPlan>, options: &ShardOptions) -> Option<Self> {
        let kind = match &plan.stage {
            Stage::Stateless => return None,
            Stage::Window(_) => Kind::Window(WindowOperator::new(slot, plan.clone())),
            Stage::FirstSeen(_) => {
                let history = match options.history_start {
                    HistoryStart::Always => History::Complete,
                    HistoryStart::At(time) => History::Since(time),
                    HistoryStart::FirstAccepted => History::Undecided,
                };
                Kind::FirstSeen(FirstSeenOperator::new(slot, plan.clone(), history))
            }
        };
        Some(Operator {
            fingerprint: operator(plan),
            tables: plan.branches.iter().map(|b| b.table.clone()).collect(),
            frontier: Frontier::START,
            kind,
            stats: OperatorStats { slot, ..OperatorStats::default() },
            plan: plan.clone(),
        })
    }

    fn encode(&self) -> Writer {
        let mut w = Writer::new();
        w.signed(self.frontier.watermark);
        w.signed(self.frontier.closed);
        match &self.kind {
            Kind::Window(o) => w.signed(o.forgotten()),
            Kind::FirstSeen(o) => {
                w.signed(o.forgotten());
                w.option(match o.history() {
                    History::Since(time) => Some(time),
                    History::Undecided | History::Complete => None,
                });
            }
        }
        w
    }

    fn decode(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        let (watermark, closed) = (r.signed()?, r.signed()?);
        self.frontier.advance(Frontier { watermark, closed });
        let forgotten = r.signed()?;
        match &mut self.kind {
            Kind::Window(o) => o.forget_through(forgotten),
            Kind::FirstSeen(o) => {
                o.forget_through(forgotten);
                if let Some(start) = r.option()? {
                    o.decide(History::Since(start));
                }
            }
        }
        Ok(())
    }
}

/// The operator that a plan's state entries name: the same for the same rule with the same stateful
/// part, whatever else of it changed.
///
/// State is a rule's own: rules that differ only in their thresholds have the same plan fingerprint
/// but have said different things.
pub fn operator(plan: &StreamPlan) -> u64 {
    use std::hash::Hasher;
    let mut hasher = SipHasher13::new_with_keys(plan.fingerprint, 0);
    hasher.write(plan.rule.as_bytes());
    hasher.finish().max(PARTITIONS + 1)
}

fn encode_progress(progress: &Progress) -> Writer {
    let mut w = Writer::new();
    w.option(progress.max);
    w.byte(match progress.activity {
        Activity::Active => 0,
        Activity::Idle => 1,
        Activity::Ended => 2,
    });
    w.length(progress.first.len());
    for (table, time) in &progress.first {
        w.text(table.as_str());
        w.signed(*time);
    }
    w
}

fn decode_progress(r: &mut Reader<'_>) -> Result<Progress, StateError> {
    let max = r.option()?;
    let activity = match r.byte()? {
        0 => Activity::Active,
        1 => Activity::Idle,
        2 => Activity::Ended,
        tag => return Err(StateError::Tag(tag)),
    };
    let first = r.list(|r| Ok((TableName::new(&r.text()?), r.signed()?)))?;
    Ok(Progress { max, activity, first: first.into_iter().collect() })
}
