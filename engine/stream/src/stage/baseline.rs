//! The baseline operator: rows go to the model of their baseline, unusual units come out as findings.
//! Not the model, which is `sluice_baseline`: this gives it time, and its state to checkpoints.
//!
//! A baseline is whole on the shard of its name, since each score depends on what all entities together
//! do. A day that is still open is a provisional finding as soon as what is known of it is unusual; when F
//! has passed its end, the whole of it is, and the finding is confirmed or withdrawn.

mod columns;
mod entries;
mod evidence;

use std::{collections::BTreeSet, sync::Arc};

use sluice_baseline::{
    Anomaly, Baseline, FeatureKind, Policy, Row, Sample, Spec, Stats, Unit, UnitScore, Verdicts,
};
use sluice_event::{Encoder, TimeFlags};

use super::{DAY, IndexedPlan, KeyColumns, KeyedStage, Limits, StageView, surprise::Asking};
use crate::{
    Bound, Cap, Change, Degradation, Emission, Failures, FindingState, KeyedBatch, OperatorStats,
    StreamPlan,
    cells::Cell,
    degraded::Degraded,
    emission::Outlet,
    events::EventStore,
    exchange::RuleRows,
    operator::{Refs, Restore, Running, Shared},
    shard::ShardOptions,
    state::{Reader, StateError, Writer},
    watermark::Frontier,
};

pub use columns::baseline_output;
pub use entries::BaselineEntries;
use entries::owner;
use evidence::Evidence;

/// Threads that work on one baseline when a day ends, at most.
const PARTS_MAX: u32 = 8;

/// A baseline of behaviour. All of it is on one shard: the scores of an entity depend on what all
/// entities together do.
#[derive(Clone, Debug)]
pub struct BaselinePlan {
    /// What is modelled.
    pub spec: Spec,
    /// How it is scored and learned, and within which bounds.
    pub policy: Policy,
    /// The intermediate column of the entity, a text.
    pub entity: usize,
    /// Per feature: the intermediate column it reads, a number for `numeric`, else a text.
    pub features: Vec<Option<usize>>,
    /// The intermediate column of the entity's peer group in the directory, a text.
    pub peers: Option<usize>,
}

/// A baseline and what it has reported.
#[derive(Debug)]
pub(crate) struct BaselineOperator {
    plan: Arc<StreamPlan>,
    stage: BaselinePlan,
    baseline: Baseline,
    parts: usize,
    evidence: Evidence,
    /// What decides the shard it is on.
    owner: Vec<u8>,
    frontier: Frontier,
    /// Whether it is the one of all shards that rows come to: the others have no state.
    is_owner: bool,
    /// Whether rows came, or time has passed, since it was last asked.
    is_due: bool,
    /// The time of the newest row.
    newest: i64,
    /// What people decided, and how much of it the model has been told.
    verdicts: Arc<Verdicts>,
    told: u64,
    degraded: Degraded,
    /// Stored entries that are being read.
    reading: Vec<(Box<[u8]>, Vec<u8>)>,
    /// Stored entries to be removed with the next export.
    removed: Vec<Box<[u8]>>,
    /// Rules that ask it.
    asking: Vec<Asking>,
    /// Of the baseline, then of those.
    stats: Vec<OperatorStats>,
}

impl KeyedStage for BaselinePlan {
    fn operator(
        &self,
        rule: &IndexedPlan,
        rules: &[IndexedPlan],
        options: &ShardOptions,
    ) -> Option<Box<dyn Running>> {
        let parts = options.shards.clamp(1, PARTS_MAX) as usize;
        Some(Box::new(BaselineOperator::new(self, rule, rules, parts)))
    }

    fn key(&self, _columns: usize) -> KeyColumns {
        KeyColumns::Rule
    }

    /// The events of a day, until it is closed.
    fn reach(&self, _limits: &Limits) -> i64 {
        DAY
    }

    fn view(&self, _limits: &Limits) -> StageView {
        StageView {
            operator: format!(
                "{} features of each {}",
                self.features.len(),
                self.spec.entity.name()
            ),
            key: Some(self.entity..self.entity + 1),
            state: Some(
                "per entity: what is usual of each feature, and units not learned yet; one shard \
                 holds all entities, since each score depends on what all do",
            ),
            bounds: vec![
                format!(
                    "{} entities are kept; above it further ones wait for the end of the day, when \
                     those with the least history are given up, and `sluice.rule_degraded` says so",
                    self.policy.entities_max
                ),
                format!(
                    "{} values of a feature are kept of each entity, those seen most, and as many of \
                     each unit; the others count together",
                    self.policy.profile_values_max
                ),
            ],
        }
    }
}

impl BaselineOperator {
    /// Of the stored form of what is beside the model, which has a version of its own.
    const VERSION: u8 = 1;

    /// `rules`: it and those that ask it. `parts`: how many threads may work on it when a day ends.
    fn new(
        stage: &BaselinePlan,
        (_, plan): &IndexedPlan,
        rules: &[IndexedPlan],
        parts: usize,
    ) -> Self {
        let stats = |(rule_index, _): &IndexedPlan| OperatorStats {
            rule_index: *rule_index,
            ..OperatorStats::default()
        };
        BaselineOperator {
            owner: owner(plan),
            plan: plan.clone(),
            baseline: Baseline::new(stage.spec.clone(), stage.policy, parts),
            parts,
            stage: stage.clone(),
            evidence: Evidence::default(),
            frontier: Frontier::START,
            is_owner: false,
            is_due: false,
            newest: i64::MIN,
            verdicts: Arc::default(),
            told: 0,
            degraded: Degraded::default(),
            reading: Vec::new(),
            removed: Vec::new(),
            asking: rules.iter().filter_map(|(_, plan)| Asking::new(plan)).collect(),
            stats: rules.iter().map(stats).collect(),
        }
    }

    /// Rows of the baseline itself.
    fn learn(&mut self, batch: &KeyedBatch, rows: &RuleRows, refs: &mut Refs, cx: &mut Shared<'_>) {
        let mut samples = Vec::with_capacity(self.stage.features.len());
        for place in &rows.rows {
            self.stats[0].rows_in += 1;
            let Some(head) = batch.events.get(place.event as usize) else { continue };
            if head.time < self.frontier.closed {
                self.stats[0].too_late += 1;
                continue;
            }
            let entity = match rows.cell(self.stage.entity, place) {
                Cell::Text(name) => name,
                Cell::Null | Cell::Bool(_) | Cell::Int(_) | Cell::Float(_) | Cell::Time(_) => "",
            };
            self.newest = self.newest.max(head.time);
            samples.clear();
            for (feature, column) in self.stage.spec.features.iter().zip(&self.stage.features) {
                let cell = column.map_or(Cell::Null, |column| rows.cell(column, place));
                samples.push(sample(&feature.kind, cell));
            }
            let peers = self.stage.peers.map(|column| rows.cell(column, place));
            let peers = match peers {
                Some(Cell::Text(group)) if !group.is_empty() => Some(group),
                Some(_) | None => None,
            };
            let (time, uid) = (head.time, head.uid.bits);
            let row = Row { entity, time, uid, peers, samples: &samples };
            let Some((entity, mut keys)) = self.baseline.push(&row) else { continue };
            for (key, feature) in keys.iter_mut().zip(&self.stage.spec.features) {
                *key = key.filter(|_| is_named(&feature.kind));
            }
            let (day, at) = (head.time.div_euclid(DAY), (head.time, head.uid));
            let event = || refs.of(batch, place.event, cx.events);
            self.evidence.add((day, entity), at, &keys, event);
        }
    }

    /// Closes the units that F has passed, and answers the rules that ask about days that have begun, in the
    /// order of days: each day is asked about after those before it and before its own rows are learned.
    fn close(&mut self, cx: &mut Shared<'_>, out: &mut Outlet<'_>) -> Vec<UnitScore> {
        let mut units = Vec::new();
        let closed = self.frontier.closed;
        while let Some(day) = self.asking.iter().filter_map(|rule| rule.day(closed)).min() {
            units.extend(self.baseline.begin(day));
            for (rule, stats) in self.asking.iter_mut().zip(self.stats.iter_mut().skip(1)) {
                rule.answer(day, &self.baseline, cx.events, stats, out);
            }
        }
        units.extend(self.baseline.advance(closed));
        for (rule, stats) in self.asking.iter_mut().zip(self.stats.iter_mut().skip(1)) {
            let of = (&self.baseline, &mut *cx.events, stats);
            rule.give_up(cx.limits, of, &mut self.degraded, out);
        }
        units
    }

    fn emit(
        &mut self,
        found: &[(Arc<Anomaly>, Change)],
        events: &mut EventStore,
        out: &mut Outlet<'_>,
    ) {
        if found.is_empty() {
            return;
        }
        let anomalies: Vec<&Anomaly> = found.iter().map(|(anomaly, _)| anomaly.as_ref()).collect();
        let columns = match columns::columns(&self.plan.output, &self.stage.spec, &anomalies) {
            Ok(columns) => Arc::new(columns),
            Err(error) => return self.stats[0].failures.add(found.len(), error),
        };
        let capped_by = caps(&self.baseline.stats(), &self.stage.policy);
        for (row, (anomaly, change)) in found.iter().enumerate() {
            out.push(Emission {
                rule_index: self.stats[0].rule_index,
                key: row_key(anomaly),
                change: *change,
                time: anomaly.time,
                window: window(self.stage.spec.unit, anomaly),
                count: anomaly.events,
                late: false,
                time_flags: TimeFlags::NONE,
                capped_by: capped_by.clone(),
                columns: columns.clone(),
                row,
                evidence: self.evidence.of(anomaly, anomaly.unit.div_euclid(DAY), events),
                evidence_total: anomaly.events,
            });
        }
    }

    /// Tells the model what people decided about its units: of those that are learned, or not closed
    /// yet, it takes nothing.
    fn judge(&mut self) {
        self.told = self.verdicts.version();
        for (entity, unit, verdict) in self.verdicts.of(&self.plan.rule) {
            self.baseline.decide(&entity, unit, verdict);
        }
    }

    fn count(&mut self, stats: Stats) {
        let left_out = stats.evicted + stats.refused;
        if left_out > self.stats[0].evicted {
            let (rule, time) = (self.stats[0].rule_index, self.newest);
            let first = self.degraded.tell(rule, Bound::Entities, &[], time, Vec::new);
            self.stats[0].degraded += u64::from(first);
        }
        let Stats { not_a_number, not_an_offset, no_entity, .. } = stats;
        let unusable = not_a_number + not_an_offset + no_entity;
        let first = (unusable > 0).then(|| {
            format!(
                "left out: {no_entity} rows without an entity, or with a name of more than 1 KiB; \
                 {not_a_number} values that are not finite numbers, {not_an_offset} that are not \
                 UTC offsets"
            )
        });
        self.stats[0] = OperatorStats {
            keys: stats.entities,
            evicted: left_out,
            truncated: stats.values_dropped + stats.unremembered,
            duplicates: stats.duplicates,
            failures: Failures { rows: unusable, first },
            ..std::mem::take(&mut self.stats[0])
        };
    }
}

impl Running for BaselineOperator {
    fn push(
        &mut self,
        batch: &KeyedBatch,
        rules: &[(usize, &RuleRows)],
        refs: &mut Refs,
        cx: &mut Shared<'_>,
    ) {
        (self.is_owner, self.is_due) = (true, true);
        for (member, rows) in rules {
            let Some(asking) = member.checked_sub(1) else {
                self.learn(batch, rows, refs, cx);
                continue;
            };
            let asking = self.asking.get_mut(asking);
            if let (Some(asking), Some(stats)) = (asking, self.stats.get_mut(*member)) {
                asking.push(batch, rows, self.frontier.closed, (&mut *refs, &mut *cx), stats);
            }
        }
    }

    fn fire(&mut self, cx: &mut Shared<'_>, out: &mut Outlet<'_>) {
        if self.told != self.verdicts.version() {
            self.judge();
        }
        if !std::mem::take(&mut self.is_due) {
            return;
        }
        let units = self.close(cx, out);
        let closed = !units.is_empty();
        if closed {
            // They may be about a day that was open until now.
            self.judge();
        }
        let mut found: Vec<(Arc<Anomaly>, Change)> = units
            .into_iter()
            .filter_map(|unit| {
                let confirmed = |anomaly| (anomaly, Change::Upsert(FindingState::Confirmed));
                let withdrawn = |anomaly| (anomaly, Change::Withdraw);
                unit.anomaly.map(confirmed).or(unit.withdrawn.map(withdrawn))
            })
            .collect();
        let provisional = Change::Upsert(FindingState::Provisional);
        let open = self.baseline.open_anomalies().into_iter();
        found.extend(open.map(|anomaly| (Arc::new(anomaly), provisional)));
        self.emit(&found, cx.events, out);
        // Those of closed days were shown for the last time.
        self.evidence.pass(self.frontier.closed.div_euclid(DAY));
        self.count(self.baseline.stats());
        if closed {
            self.stats[0].state_bytes = self.baseline.entity_bytes() + self.evidence.bytes();
        }
    }

    fn degraded(&mut self) -> Vec<Degradation> {
        self.degraded.take()
    }

    fn history(&mut self, _: i64) {}

    fn take_verdicts(&mut self, verdicts: &Arc<Verdicts>) {
        self.verdicts = verdicts.clone();
        self.told = 0;
    }

    fn frontier(&self) -> Frontier {
        self.frontier
    }

    fn advance(&mut self, frontier: Frontier) {
        let before = self.frontier.closed;
        self.frontier.advance(frontier);
        self.is_due |= self.frontier.closed > before;
    }

    fn stats(&self) -> &[OperatorStats] {
        &self.stats
    }

    fn export(&mut self, full: bool) -> Vec<(usize, Box<[u8]>, Option<Writer>)> {
        let removed = std::mem::take(&mut self.removed);
        let mut out: Vec<(usize, Box<[u8]>, Option<Writer>)> = Vec::new();
        for (member, rule) in (1..).zip(&mut self.asking) {
            out.extend(rule.export(full).into_iter().map(|(key, value)| (member, key, value)));
        }
        if !self.is_owner {
            out.extend(removed.into_iter().map(|key| (0, key, None)));
            return out;
        }
        out.extend(self.baseline.export(full).into_iter().map(|entry| {
            let value = entry.value.map(|bytes| {
                let mut w = Writer::new();
                w.bytes(&bytes);
                w
            });
            (0, entry.key.into(), value)
        }));
        let evidence = self.evidence.export(full).into_iter();
        out.extend(evidence.map(|(key, value)| (0, key, value)));
        // What could not be read may have been written anew.
        let written: BTreeSet<Box<[u8]>> = match removed.is_empty() {
            true => BTreeSet::new(),
            false => {
                let own = out.iter().filter(|(member, ..)| *member == 0);
                own.map(|(_, key, _)| key.clone()).collect()
            }
        };
        let gone = removed.into_iter().filter(|key| !written.contains(key));
        out.extend(gone.map(|key| (0, key, None)));
        out
    }

    fn export_shared(&self) -> Writer {
        let mut w = Writer::new();
        w.byte(Self::VERSION);
        w.signed(self.frontier.watermark);
        w.signed(self.frontier.closed);
        w
    }

    fn import(
        &mut self,
        member: usize,
        key: &[u8],
        r: &mut Reader<'_>,
        restore: &mut Restore<'_>,
    ) -> Result<(), StateError> {
        if let Some(asking) = member.checked_sub(1).and_then(|at| self.asking.get_mut(at)) {
            (self.is_owner, self.is_due) = (true, true);
            return asking.import(key, r, restore);
        }
        if key.first() == Some(&Evidence::TAG) {
            return self.evidence.import(key, r, restore);
        }
        self.reading.push((key.into(), r.bytes()?.to_vec()));
        Ok(())
    }

    fn import_shared(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        match r.byte()? {
            Self::VERSION => {}
            version => return Err(StateError::Version(version)),
        }
        let (watermark, closed) = (r.signed()?, r.signed()?);
        self.advance(Frontier { watermark, closed });
        Ok(())
    }

    fn owner<'k>(&'k self, _: &'k [u8]) -> &'k [u8] {
        &self.owner
    }

    fn imported(&mut self) -> Result<(), StateError> {
        let reading = std::mem::take(&mut self.reading);
        self.is_owner |= !reading.is_empty();
        let entries = reading.iter().map(|(key, value)| (&**key, value.as_slice()));
        let imported = self.baseline.import(entries);
        if imported.is_err() {
            self.removed = reading.into_iter().map(|(key, _)| key).collect();
        }
        self.is_due = true;
        imported.map_err(StateError::Baseline)
    }

    fn reset(&mut self, member: usize, stored: Vec<Box<[u8]>>) {
        if let Some(asking) = member.checked_sub(1).and_then(|at| self.asking.get_mut(at)) {
            return asking.reset(stored);
        }
        let read = std::mem::take(&mut self.reading).into_iter().map(|(key, _)| key);
        self.removed.extend(read.chain(stored));
        self.baseline = Baseline::new(self.stage.spec.clone(), self.stage.policy, self.parts);
        self.evidence.pass(i64::MAX);
    }
}

/// Whether a value of such a feature has events that show it.
fn is_named(kind: &FeatureKind) -> bool {
    match kind {
        FeatureKind::Categorical | FeatureKind::Edge | FeatureKind::TimeOfWeek => true,
        FeatureKind::Count(_) | FeatureKind::Distinct(_) | FeatureKind::Numeric => false,
    }
}

fn sample<'a>(kind: &FeatureKind, cell: Cell<'a>) -> Sample<'a> {
    match (kind, cell) {
        (FeatureKind::Numeric, Cell::Int(number)) => Sample::Number(number as f64),
        (_, Cell::Float(number)) => Sample::Number(number),
        (_, Cell::Text(text)) => Sample::Text(text),
        // Everything else was made a text where the column is evaluated.
        (_, Cell::Null | Cell::Bool(_) | Cell::Int(_) | Cell::Time(_)) => Sample::Missing,
    }
}

/// What an anomaly is an anomaly of.
fn row_key(anomaly: &Anomaly) -> Vec<u8> {
    let mut encoder = Encoder::default();
    encoder.text("unit");
    encoder.text(&anomaly.entity);
    encoder.int(anomaly.unit);
    encoder.into_bytes()
}

fn window(unit: Unit, anomaly: &Anomaly) -> Option<(i64, i64)> {
    match unit {
        Unit::Day => Some((anomaly.unit, anomaly.unit.saturating_add(DAY))),
        Unit::Session(_) => Some((anomaly.unit, anomaly.time)),
        Unit::Events(_) => None,
    }
}

/// The bounds that a baseline has hit.
fn caps(stats: &Stats, policy: &Policy) -> Vec<Cap> {
    let bounds = [
        ("entities_max", stats.evicted + stats.refused, policy.entities_max),
        ("population_values_max", stats.values_dropped, policy.population_values_max),
        ("seen_max", stats.unremembered, policy.seen_max),
    ];
    let hit = bounds.into_iter().filter(|(_, times, _)| *times > 0);
    hit.map(|(bound, _, limit)| Cap { bound, limit: limit as u64 }).collect()
}
