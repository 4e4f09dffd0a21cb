//! The keyed state of a share of all keys, for every rule that has state. No threads, no clock, no
//! store: rows and watermarks go in, emissions and state entries come out.

mod stored;

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use siphasher::sip::SipHasher13;
use sluice_baseline::Verdicts;
use sluice_event::{PartitionId, TableName, defect::defect};

use crate::{
    Degradation, Emission, KeyedBatch, Limits, OperatorStats, Pace, PartitionInfo, StateError,
    StreamPlan,
    emission::{Outlet, PART},
    events::EventStore,
    exchange::RuleRows,
    operator::{Planned, Refs, Shared},
    stage::{GRAIN, IndexedPlan, KeyedStage, sharing},
    texts::Texts,
    watermark::{Frontier, Watermarks},
};

/// Operators over a share of all keys.
///
/// Guarantees: the net findings (those not withdrawn once every partition has ended) do not depend
/// on how rows are cut into pushes, on the order of rows accepted between F and W, on the number of
/// shards or on an export and import in between, as long as no limit was hit. Emissions come sorted
/// by (rule, time, key), at most one per finding and [`take`](Shard::take).
/// Whatever [`Pace`] they are taken at, the last emission of each finding is the same.
///
/// Non-guarantees: `late` and the number of provisional emissions depend on arrival.
#[derive(Debug)]
pub struct Shard {
    options: ShardOptions,
    operators: Vec<Operator>,
    /// Per rule: its place in `operators`, and among the rules of that one.
    places: Vec<Option<(usize, usize)>>,
    /// Distinct (tables, lateness) of operators, with how far their time has come.
    clocks: Vec<Clock>,
    watermarks: Watermarks,
    /// Events by how long they are referred to.
    stores: [EventStore; REACHES.len() + 1],
    texts: Texts,
    /// Schemas of events.
    schemas: Vec<SchemaRef>,
    /// Entries that belong to no key changed since the last export.
    moved: bool,
    /// Event segments of another number of shards, to be removed with the next export.
    orphaned: Vec<Vec<u8>>,
}

/// How a shard is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardOptions {
    /// Which of the shards this is: names its own entries.
    pub index: u32,
    /// How many there are.
    pub shards: u32,
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

/// State of a rule that could not be read: the rule starts empty and warms up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateReset {
    /// The rule.
    pub rule_index: usize,
    /// Why.
    pub reason: StateError,
}

#[derive(Debug)]
struct Operator {
    planned: Planned,
    /// Under which state of each of its rules is stored.
    ids: Vec<u64>,
    /// One for each lateness of its rules: its time is that of the one furthest behind.
    clocks: Vec<usize>,
    /// Which of the event stores it uses.
    store: usize,
    /// How far before F it refers to events, milliseconds.
    reach: i64,
}

#[derive(Debug)]
struct Clock {
    tables: Vec<TableName>,
    lateness: Option<i64>,
    frontier: Frontier,
}

/// The operator of entries that belong to no rule: partitions, events.
pub(crate) const COMMON: u64 = 0;

/// Operators that refer to events for at most so long share a store: a rule over days must not keep
/// the events of rules over minutes.
const REACHES: [i64; 2] = [6 * 3_600_000, 36 * 3_600_000];

impl Shard {
    /// Operators for the plans that have state; stateless ones are ignored.
    pub fn new(
        plans: &[(usize, Arc<StreamPlan>)],
        partitions: &[PartitionInfo],
        options: ShardOptions,
    ) -> Self {
        let mut shard = Shard {
            operators: Vec::new(),
            places: Vec::new(),
            clocks: Vec::new(),
            watermarks: Watermarks::default(),
            stores: std::array::from_fn(|_| EventStore::new()),
            texts: Texts::default(),
            schemas: Vec::new(),
            moved: false,
            orphaned: Vec::new(),
            options,
        };
        for rules in sharing(plans) {
            shard.add(&rules);
        }
        partitions.iter().for_each(|p| shard.watermarks.assign(p));
        shard
    }

    /// The operator of a rule, or of rules that share one.
    fn add(&mut self, rules: &[(usize, Arc<StreamPlan>)]) {
        let Some(rule) = rules.first() else { return };
        let (_, plan) = rule;
        let Some(keyed) = plan.stage.keyed() else { return };
        let Some(running) = keyed.operator(rule, rules, &self.options) else { return };
        // What feeds any of them moves the time of all: one whose input is idle does not hold the others.
        let branches = rules.iter().flat_map(|(_, plan)| &plan.branches);
        let mut tables: Vec<TableName> = branches.map(|branch| branch.table.clone()).collect();
        tables.sort_unstable();
        tables.dedup();
        let clock = |(_, plan): &IndexedPlan| self.clock(&tables, plan.lateness);
        let mut clocks: Vec<usize> = rules.iter().map(clock).collect();
        clocks.sort_unstable();
        clocks.dedup();
        let limits = &self.options.limits;
        let reaches = rules.iter().filter_map(|(_, p)| Some(p.stage.keyed()?.reach(limits)));
        let reach = reaches.max().unwrap_or(0).saturating_add(4 * GRAIN);
        let store = REACHES.iter().position(|r| reach <= *r).unwrap_or(REACHES.len());
        for (member, (rule_index, _)) in rules.iter().enumerate() {
            if self.places.len() <= *rule_index {
                self.places.resize(rule_index + 1, None);
            }
            self.places[*rule_index] = Some((self.operators.len(), member));
        }
        let planned = Planned { plan: plan.clone(), running };
        let ids = rules.iter().map(|(_, plan)| operator(plan)).collect();
        self.operators.push(Operator { planned, ids, clocks, store, reach });
    }

    fn clock(&mut self, tables: &[TableName], lateness: Option<i64>) -> usize {
        let same = |c: &Clock| c.tables == tables && c.lateness == lateness;
        self.clocks.iter().position(same).unwrap_or_else(|| {
            let (tables, frontier) = (tables.to_vec(), Frontier::START);
            self.clocks.push(Clock { tables, lateness, frontier });
            self.clocks.len() - 1
        })
    }

    /// Has baselines look at what people decide.
    pub fn take_verdicts(&mut self, verdicts: &Arc<Verdicts>) {
        for operator in &mut self.operators {
            operator.planned.running.take_verdicts(verdicts);
        }
    }

    /// A partition joins while running. It holds watermarks until its first row.
    pub fn assign(&mut self, partition: &PartitionInfo) {
        self.watermarks.assign(partition);
        self.moved = true;
    }

    /// Rows of one partition, before the [`observe`](Shard::observe) that covers them.
    pub fn push(&mut self, partition: PartitionId, batch: &KeyedBatch) {
        self.watermarks.wake(partition);
        let schema = self.schema(&batch.schema);
        let mut refs: [Refs; REACHES.len() + 1] =
            std::array::from_fn(|_| Refs::new(schema.clone()));
        let mut wanted = Vec::with_capacity(batch.rules.len());
        for rows in &batch.rules {
            match self.places.get(rows.rule_index).copied().flatten() {
                Some(place) => wanted.push((place, rows)),
                None => defect("shard.rule", format_args!("rows for rule {}", rows.rule_index)),
            }
        }
        wanted.sort_by_key(|(place, _)| *place);
        for wanted in wanted.chunk_by(|((a, _), _), ((b, _), _)| a == b) {
            let Some(((at, _), _)) = wanted.first() else { continue };
            let Some(operator) = self.operators.get_mut(*at) else { continue };
            let rules: Vec<(usize, &RuleRows)> =
                wanted.iter().map(|((_, member), rows)| (*member, *rows)).collect();
            let mut shared = Shared {
                pace: Pace::default(),
                limits: &self.options.limits,
                events: &mut self.stores[operator.store],
                texts: &mut self.texts,
            };
            let refs = &mut refs[operator.store];
            operator.planned.running.push(batch, &rules, refs, &mut shared);
        }
    }

    /// One and the same for equal schemas, so that events are told apart by a pointer.
    fn schema(&mut self, schema: &SchemaRef) -> SchemaRef {
        let known = self.schemas.iter().find(|s| Arc::ptr_eq(s, schema) || *s == schema);
        if let Some(known) = known {
            return known.clone();
        }
        self.schemas.push(schema.clone());
        schema.clone()
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

    /// What is to be emitted at this pace since the last call, sorted by (rule, time, key).
    pub fn take(&mut self, pace: Pace) -> Vec<Emission> {
        let mut all = Vec::new();
        self.emit(pace, usize::MAX, &mut |part| all = part);
        all
    }

    /// The same in parts of at most 512 emissions, each sorted: what is handed on is not held, so that
    /// memory does not grow with the number of windows that close together.
    pub fn take_parts(&mut self, pace: Pace, hand: &mut dyn FnMut(Vec<Emission>)) {
        self.emit(pace, PART, hand);
    }

    fn emit(&mut self, pace: Pace, most: usize, hand: &mut dyn FnMut(Vec<Emission>)) {
        let mut out = Outlet::new(most, hand);
        let mut horizons = [i64::MAX; REACHES.len() + 1];
        for operator in &mut self.operators {
            let mut shared = Shared {
                pace,
                limits: &self.options.limits,
                events: &mut self.stores[operator.store],
                texts: &mut self.texts,
            };
            operator.planned.running.fire(&mut shared, &mut out);
            let closed = operator.planned.running.frontier().closed;
            let horizon = &mut horizons[operator.store];
            *horizon = (*horizon).min(closed.saturating_sub(operator.reach));
        }
        for (store, horizon) in self.stores.iter_mut().zip(horizons) {
            store.release(horizon);
        }
        out.flush();
    }

    /// Bounds that were hit since the last call and on which verdicts of a rule can depend.
    pub fn degraded(&mut self) -> Vec<Degradation> {
        self.operators.iter_mut().flat_map(|o| o.planned.running.degraded()).collect()
    }

    /// Through which event time nothing can change any more by what comes on some partitions: the least
    /// of them, `i64::MAX` when all have ended. It does not count those that are idle while others are
    /// not; it goes back when one of them speaks again.
    pub fn closed(&self, of: impl Fn(PartitionId) -> bool) -> i64 {
        self.watermarks.closed(of)
    }

    /// Counters per rule with state, in the order of the rule set. Rules that share an operator have
    /// equal parts of its bytes.
    pub fn stats(&self) -> Vec<OperatorStats> {
        let all = self.operators.iter().flat_map(|o| o.planned.running.stats());
        let mut all: Vec<OperatorStats> = all.cloned().collect();
        all.sort_by_key(|stats| stats.rule_index);
        all
    }

    /// Bytes of events that state refers to, and how many events gave up theirs to stay in bounds:
    /// findings show less evidence then.
    pub fn events(&self) -> (usize, u64) {
        self.stores.iter().fold((0, 0), |(b, d), s| (b + s.bytes(), d + s.dropped()))
    }

    /// Through which event time a rule has been evaluated and through which nothing can change:
    /// (W, F).
    pub fn evaluated_through(&self, rule_index: usize) -> Option<(i64, i64)> {
        let (place, _) = self.places.get(rule_index).copied().flatten()?;
        let frontier = self.operators.get(place)?.planned.running.frontier();
        Some((frontier.watermark, frontier.closed))
    }

    fn advance(&mut self) {
        self.moved = true;
        for clock in &mut self.clocks {
            clock.frontier = self.watermarks.frontier(&clock.tables, clock.lateness);
        }
        for operator in &mut self.operators {
            let mut clocks = operator.clocks.iter().filter_map(|at| self.clocks.get(*at));
            let Some(clock) = clocks.next() else { continue };
            let running = &mut operator.planned.running;
            running.advance(clocks.fold(clock.frontier, |least, c| least.least(c.frontier)));
            if operator.planned.plan.stage.keyed().is_some_and(KeyedStage::needs_history)
                && running.frontier().watermark > i64::MIN
                && let Some(start) = self.watermarks.history_start(&clock.tables)
            {
                running.history(start);
            }
        }
    }
}

/// Milliseconds by which F must have passed the time of a finding of a rule for it to be final, at most.
pub fn hold(plan: &StreamPlan, limits: &Limits) -> i64 {
    let lateness = plan.lateness.unwrap_or(0);
    let reach = plan.stage.keyed().map_or(0, |keyed| keyed.reach(limits));
    reach.saturating_add(lateness).saturating_add(4 * GRAIN)
}

/// The operator that a plan's state entries name: the same for the same rule with the same stateful
/// part, whatever else of it changed.
///
/// State is a rule's own: rules that differ only in their thresholds have the same plan fingerprint
/// but have reported different things.
pub fn operator(plan: &StreamPlan) -> u64 {
    use std::hash::Hasher;
    let mut hasher = SipHasher13::new_with_keys(plan.fingerprint, 0);
    hasher.write(plan.rule.as_bytes());
    hasher.finish().max(COMMON + 1)
}
