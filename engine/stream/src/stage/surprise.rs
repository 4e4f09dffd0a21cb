//! `surprise(..)` in a rule: rows that ask a baseline how unusual their values are. Not the baseline, in
//! whose operator they are: what is known must be that of the day of the row.
//!
//! What a baseline knows about a day is fixed once F has passed its start, and until F has passed its end.
//! So a row waits while F is before the start of its day, usually for the lateness after midnight, and is
//! then judged at once and for good.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{AsArray, UInt32Array},
    compute::take_record_batch,
    datatypes::SchemaRef,
    record_batch::RecordBatch,
};
use sluice_baseline::{Baseline, Sample};
use sluice_event::{Eval, EventUid, TimeFlags, Value};

use super::{DAY, IndexedPlan, KeyColumns, KeyedStage, Limits, StageView};
use crate::{
    Bound, Cap, Change, Emission, FindingState, KeyedBatch, OperatorStats, StreamPlan,
    cells::Cell,
    degraded::Degraded,
    emission::Outlet,
    events::{EventRef, EventStore},
    exchange::RuleRows,
    operator::{Refs, Restore, Running, Shared},
    rows::{assemble, evaluate, row_key},
    shard::ShardOptions,
    state::{Reader, StateError, Writer},
    texts::Texts,
};

const WAITING_MAX: usize = 262_144;
/// Rows that are judged together, at most.
const ROWS: usize = 8_192;

/// A rule whose conditions or columns ask a baseline.
#[derive(Clone, Debug)]
pub struct SurprisePlan {
    /// The rule of the baseline.
    pub baseline: Arc<str>,
    /// What is asked about each row.
    pub questions: Vec<Question>,
    /// The intermediate columns and behind them the answers, doubles, in the order of `questions`.
    pub schema: SchemaRef,
    /// What must be TRUE of a row, over `schema`. Each may fail on a row.
    pub conditions: Vec<Arc<dyn Eval>>,
    /// The finding's columns over `schema`. Each may fail on a row.
    pub select: Vec<Arc<dyn Eval>>,
}

/// `surprise(baseline, feature, entity, value)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The feature.
    pub feature: Arc<str>,
    /// The intermediate column of the entity, a text.
    pub entity: usize,
    /// That of the value: a text, a number, or the instant of a `time_of_week`.
    pub value: usize,
}

impl KeyedStage for SurprisePlan {
    /// It runs in the operator of its baseline.
    fn operator(
        &self,
        _rule: &IndexedPlan,
        _rules: &[IndexedPlan],
        _options: &ShardOptions,
    ) -> Option<Box<dyn Running>> {
        None
    }

    fn key(&self, _columns: usize) -> KeyColumns {
        KeyColumns::OtherRule(self.baseline.clone())
    }

    /// A row that waits is not before F.
    fn reach(&self, _limits: &Limits) -> i64 {
        0
    }

    fn view(&self, limits: &Limits) -> StageView {
        let features: Vec<&str> = self.questions.iter().map(|q| &*q.feature).collect();
        StageView {
            operator: format!("rows that ask {} about {}", self.baseline, features.join(", ")),
            key: None,
            state: Some(
                "rows whose day has not begun for certain: until the final watermark has passed \
                 midnight UTC; they are on the shard of the baseline",
            ),
            bounds: vec![format!(
                "{} rows wait; above it the oldest are judged by what is known of the day before, \
                 their findings are `capped`, and `sluice.rule_degraded` says so",
                rows_waiting_max(limits)
            )],
        }
    }
}

/// Rows of a rule that wait for their day, at most.
pub fn rows_waiting_max(limits: &Limits) -> usize {
    WAITING_MAX.min(limits.keys_max)
}

/// The rows of one such rule.
#[derive(Debug)]
pub(super) struct Asking {
    pub(super) plan: Arc<StreamPlan>,
    stage: SurprisePlan,
    /// By time and id.
    waiting: BTreeMap<(i64, u128), Waiting>,
    /// Stored rows that do not wait any more.
    gone: Vec<Box<[u8]>>,
}

/// A row that was not judged yet.
#[derive(Debug)]
struct Waiting {
    event: EventRef,
    late: bool,
    time_flags: TimeFlags,
    /// The intermediate columns.
    values: Box<[Value]>,
    is_stored: bool,
}

type Row = ((i64, u128), Waiting);

impl Asking {
    /// Of the stored form of a row.
    const VERSION: u8 = 1;

    /// `None` for a rule that asks nothing.
    pub(super) fn new(plan: &Arc<StreamPlan>) -> Option<Self> {
        let super::Stage::Surprise(stage) = &plan.stage else { return None };
        let (plan, stage) = (plan.clone(), stage.clone());
        Some(Asking { plan, stage, waiting: BTreeMap::new(), gone: Vec::new() })
    }

    /// Takes rows in, none of them judged before [`answer`](Self::answer). Those before `closed` are too late.
    pub(super) fn push(
        &mut self,
        batch: &KeyedBatch,
        rows: &RuleRows,
        closed: i64,
        (refs, cx): (&mut Refs, &mut Shared<'_>),
        stats: &mut OperatorStats,
    ) {
        for place in &rows.rows {
            stats.rows_in += 1;
            let Some(head) = batch.events.get(place.event as usize) else { continue };
            if head.time < closed {
                stats.too_late += 1;
                continue;
            }
            let at = (head.time, head.uid.bits);
            if self.waiting.contains_key(&at) {
                stats.duplicates += u64::from(head.uid.native);
                continue;
            }
            let texts = &mut *cx.texts;
            let columns = self.plan.intermediate.fields().len();
            let values = (0..columns).map(|c| texts.value(rows.cell(c, place))).collect();
            let event = refs.of(batch, place.event, cx.events);
            let (late, time_flags) = (head.late, head.time_flags);
            let waiting = Waiting { event, late, time_flags, values, is_stored: false };
            self.waiting.insert(at, waiting);
        }
        self.count(stats);
    }

    fn count(&self, stats: &mut OperatorStats) {
        let values = self.plan.intermediate.fields().len() as u64;
        stats.keys = self.waiting.len() as u64;
        stats.state_bytes = stats.keys * (96 + 24 * values);
    }

    /// The day of the oldest row, if it has begun for certain.
    pub(super) fn day(&self, closed: i64) -> Option<i64> {
        let ((time, _), _) = self.waiting.first_key_value()?;
        let day = time.div_euclid(DAY);
        (day.saturating_mul(DAY) <= closed).then_some(day)
    }

    /// Judges the rows of days up to `day` by what the baseline knows, which is what it knows about `day`.
    pub(super) fn answer(
        &mut self,
        day: i64,
        baseline: &Baseline,
        events: &mut EventStore,
        stats: &mut OperatorStats,
        out: &mut Outlet<'_>,
    ) {
        let end = day.saturating_add(1).saturating_mul(DAY);
        let later = self.waiting.split_off(&(end, 0));
        let rows = std::mem::replace(&mut self.waiting, later);
        self.judge(rows.into_iter().collect(), None, (baseline, events, stats), out);
    }

    /// Judges the oldest rows before their day has begun, if too many wait.
    pub(super) fn give_up(
        &mut self,
        limits: &Limits,
        (baseline, events, stats): (&Baseline, &mut EventStore, &mut OperatorStats),
        degraded: &mut Degraded,
        out: &mut Outlet<'_>,
    ) {
        let beyond = self.waiting.len().saturating_sub(rows_waiting_max(limits));
        if beyond == 0 {
            return;
        }
        let rows: Vec<Row> = std::iter::from_fn(|| self.waiting.pop_first()).take(beyond).collect();
        let newest = rows.last().map_or(i64::MIN, |((time, _), _)| *time);
        stats.judged_early += beyond as u64;
        let rule = self.plan.rule.as_bytes();
        let first = degraded.tell(stats.rule_index, Bound::RowsWaiting, rule, newest, Vec::new);
        stats.degraded += u64::from(first);
        let cap = Cap { bound: "rows_waiting", limit: rows_waiting_max(limits) as u64 };
        self.judge(rows, Some(cap), (baseline, events, stats), out);
    }

    fn judge(
        &mut self,
        rows: Vec<Row>,
        cap: Option<Cap>,
        (baseline, events, stats): (&Baseline, &mut EventStore, &mut OperatorStats),
        out: &mut Outlet<'_>,
    ) {
        let stored = rows.iter().filter(|(_, row)| row.is_stored);
        self.gone.extend(stored.map(|((time, uid), _)| key(*time, *uid)));
        for rows in rows.chunks(ROWS) {
            let found = match self.found(rows, baseline, stats) {
                Ok(found) => found,
                Err(error) => {
                    stats.failures.add(rows.len(), error);
                    continue;
                }
            };
            let columns = Arc::new(found.columns);
            for (row, at) in found.rows.into_iter().enumerate() {
                let Some(((time, uid), waiting)) = rows.get(at as usize) else { continue };
                out.push(Emission {
                    rule_index: stats.rule_index,
                    key: row_key(EventUid { bits: *uid, native: false }),
                    change: Change::Upsert(FindingState::Confirmed),
                    time: *time,
                    window: None,
                    count: 1,
                    late: waiting.late,
                    time_flags: waiting.time_flags,
                    capped_by: cap.into_iter().collect(),
                    columns: columns.clone(),
                    row,
                    evidence: events.text(waiting.event).into_iter().collect(),
                    evidence_total: 1,
                });
            }
        }
        self.count(stats);
    }

    /// The rows of which every condition is TRUE, and their columns.
    fn found(
        &self,
        rows: &[Row],
        baseline: &Baseline,
        stats: &mut OperatorStats,
    ) -> Result<Found, String> {
        let read = self.plan.intermediate.fields().len();
        let columns = self.stage.schema.fields().iter().enumerate().map(|(i, field)| {
            let value = |(_, row): &Row| row.values.get(i).cloned().unwrap_or_default();
            let question = i.checked_sub(read).and_then(|i| self.stage.questions.get(i));
            let values: Vec<Value> = match question {
                None => rows.iter().map(value).collect(),
                Some(question) => {
                    rows.iter().map(|(_, row)| asked(baseline, question, &row.values)).collect()
                }
            };
            Value::to_array(&values, field.data_type())
        });
        let mut batch = assemble(&self.stage.schema, columns.collect(), rows.len())?;
        let mut kept: Vec<u32> = (0..rows.len() as u32).collect();
        for condition in &self.stage.conditions {
            let one = std::slice::from_ref(condition);
            let (judged, verdicts) = evaluate(one, &batch, &mut stats.failures);
            let verdicts = verdicts.first().and_then(|v| v.as_boolean_opt());
            let verdicts = verdicts.ok_or("a condition that is neither true nor false")?;
            let true_of = judged.iter().zip(verdicts).filter(|(_, v)| *v == Some(true));
            let rows: UInt32Array = true_of.map(|(row, _)| Some(*row)).collect();
            batch = taken(&batch, &rows)?;
            kept =
                rows.values().iter().filter_map(|row| kept.get(*row as usize).copied()).collect();
        }
        let (judged, columns) = evaluate(&self.stage.select, &batch, &mut stats.failures);
        let columns = assemble(&self.plan.output, columns, judged.len())?;
        let rows = judged.iter().filter_map(|row| kept.get(*row as usize).copied()).collect();
        Ok(Found { rows, columns })
    }

    /// Rows that came since the last call, or all of them, and those that are gone.
    pub(super) fn export(&mut self, full: bool) -> Vec<(Box<[u8]>, Option<Writer>)> {
        let gone = std::mem::take(&mut self.gone).into_iter();
        let mut out: Vec<_> = gone.map(|key| (key, None)).collect();
        for ((time, uid), row) in &mut self.waiting {
            if std::mem::replace(&mut row.is_stored, true) && !full {
                continue;
            }
            let mut w = Writer::new();
            w.byte(Self::VERSION);
            w.unsigned(row.event.0);
            w.byte(u8::from(row.late) | row.time_flags.bits() << 1);
            w.values(&row.values);
            out.push((key(*time, *uid), Some(w)));
        }
        out
    }

    pub(super) fn import(
        &mut self,
        key: &[u8],
        r: &mut Reader<'_>,
        restore: &mut Restore<'_>,
    ) -> Result<(), StateError> {
        match r.byte()? {
            Self::VERSION => {}
            version => return Err(StateError::Version(version)),
        }
        let (time, uid) = key.split_first_chunk().ok_or(StateError::Truncated)?;
        let uid = <[u8; 16]>::try_from(uid).map_err(|_| StateError::Truncated)?;
        let event = EventRef(restore.tagged(r.unsigned()?));
        let flags = r.byte()?;
        let (late, time_flags) = (flags & 1 != 0, TimeFlags::from_bits(flags >> 1));
        let texts: &mut Texts = restore.texts;
        let values = r.list(|r| Ok(texts.value(Cell::of(&r.value()?))))?.into();
        let place = (i64::from_be_bytes(*time), u128::from_be_bytes(uid));
        self.waiting.insert(place, Waiting { event, late, time_flags, values, is_stored: true });
        Ok(())
    }

    /// Forgets its rows; `stored` and those that were read are removed with the next export.
    pub(super) fn reset(&mut self, stored: Vec<Box<[u8]>>) {
        let waiting = std::mem::take(&mut self.waiting).into_keys();
        self.gone.extend(waiting.map(|(time, uid)| key(time, uid)));
        self.gone.extend(stored);
    }
}

/// Rows by their place, and the finding's columns of them.
struct Found {
    rows: Vec<u32>,
    columns: RecordBatch,
}

fn asked(baseline: &Baseline, question: &Question, values: &[Value]) -> Value {
    let value = |column: usize| values.get(column).map_or(Cell::Null, Cell::of);
    let Cell::Text(entity) = value(question.entity) else { return Value::Null };
    let (time, sample) = match value(question.value) {
        Cell::Text(text) => (0, Sample::Text(text)),
        Cell::Float(number) => (0, Sample::Number(number)),
        Cell::Time(time) => (time, Sample::Missing),
        Cell::Null | Cell::Bool(_) | Cell::Int(_) => return Value::Null,
    };
    baseline.surprise(entity, &question.feature, time, sample).map_or(Value::Null, Value::Float)
}

fn taken(batch: &RecordBatch, rows: &UInt32Array) -> Result<RecordBatch, String> {
    take_record_batch(batch, rows).map_err(|error| error.to_string())
}

fn key(time: i64, uid: u128) -> Box<[u8]> {
    [&time.to_be_bytes()[..], &uid.to_be_bytes()].concat().into()
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::ArrayRef,
        datatypes::{DataType, Field, Schema},
    };
    use sluice_baseline::{Feature, FeatureKind, POLICY, PeerSource, Spec, Unit};
    use sluice_event::{EntityKind, EvalError};

    use super::*;
    use crate::{EmitMode, KeyedRow, Pace, stage::Stage};

    #[derive(Debug)]
    struct Column(usize, DataType);

    impl Eval for Column {
        fn eval(&self, batch: &RecordBatch) -> Result<ArrayRef, EvalError> {
            Ok(batch.column(self.0).clone())
        }

        fn output(&self) -> &DataType {
            &self.1
        }

        fn sql(&self) -> &str {
            "a column"
        }
    }

    fn schema(columns: &[(&str, DataType)]) -> SchemaRef {
        let field = |(name, of): &(&str, DataType)| Field::new(*name, of.clone(), true);
        Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()))
    }

    fn asking() -> Asking {
        let (user, value) = (("user", DataType::Utf8), ("value", DataType::Utf8));
        let answer = ("answer", DataType::Float64);
        let stage = SurprisePlan {
            baseline: "baselines.b".into(),
            questions: vec![Question { feature: "country".into(), entity: 0, value: 1 }],
            schema: schema(&[user.clone(), value.clone(), answer.clone()]),
            conditions: Vec::new(),
            select: vec![
                Arc::new(Column(0, DataType::Utf8)),
                Arc::new(Column(2, DataType::Float64)),
            ],
        };
        let plan = StreamPlan {
            rule: "identity.asks".into(),
            branches: Vec::new(),
            intermediate: schema(&[user.clone(), value]),
            stage: Stage::Surprise(stage),
            output: schema(&[user, answer]),
            emit: EmitMode::OnMatch,
            lateness: None,
            fingerprint: 1,
        };
        Asking::new(&Arc::new(plan)).unwrap()
    }

    fn baseline() -> Baseline {
        let feature = Feature {
            name: "country".into(),
            kind: FeatureKind::Categorical,
            reads: "country".into(),
            tactic: None,
        };
        let spec = Spec {
            id: "baselines.b".into(),
            entity: EntityKind::User,
            unit: Unit::Day,
            features: vec![feature],
            alarm_rate: 0.01,
            half_life: DAY,
            warmup: 0,
            peers: PeerSource::default(),
        };
        Baseline::new(spec, POLICY, 1)
    }

    fn times(out: &[Emission]) -> Vec<(i64, bool)> {
        out.iter().map(|emission| (emission.time - DAY, emission.is_capped())).collect()
    }

    #[test]
    fn the_oldest_of_too_many_rows_are_judged_before_their_day() {
        let (mut asking, baseline) = (asking(), baseline());
        let (mut events, mut texts) = (EventStore::new(), Texts::default());
        let limits = Limits { keys_max: 2, ..Limits::default() };
        let (mut stats, mut degraded) = (OperatorStats::default(), Degraded::default());
        let row = |at: i64| KeyedRow {
            time: DAY + at,
            uid: EventUid { bits: at as u128, native: true },
            late: false,
            time_flags: TimeFlags::NONE,
            key: Vec::new(),
            values: vec![Value::Text("ann".into()), Value::Text("DE".into())],
            packed: Vec::new(),
        };
        // One comes twice, and one is from before F.
        let rows: Vec<KeyedRow> = [4, 1, 3, 3, 2, 5, -9].map(row).into();
        let batch = KeyedBatch::of(0, asking.plan.intermediate.clone(), &rows);
        let mut refs = Refs::new(batch.schema.clone());
        let mut cx = Shared {
            pace: Pace::default(),
            limits: &limits,
            events: &mut events,
            texts: &mut texts,
        };
        let closed = DAY - 5;
        asking.push(&batch, &batch.rules[0], closed, (&mut refs, &mut cx), &mut stats);
        assert_eq!((stats.rows_in, stats.duplicates, stats.too_late, stats.keys), (7, 1, 1, 5));
        assert_eq!((asking.day(closed), asking.day(DAY)), (None, Some(1)));
        assert_eq!(asking.export(false).iter().filter(|(_, value)| value.is_some()).count(), 5);

        let mut out = Vec::new();
        let mut hand = |part: Vec<Emission>| out.extend(part);
        let mut outlet = Outlet::new(8, &mut hand);
        let of = (&baseline, &mut events, &mut stats);
        asking.give_up(&limits, of, &mut degraded, &mut outlet);
        outlet.flush();
        assert_eq!(times(&out), [(1, true), (2, true), (3, true)]);
        assert_eq!((stats.judged_early, stats.degraded, stats.keys), (3, 1, 2));
        let told = degraded.take();
        assert_eq!((told.len(), told[0].bound), (1, Bound::RowsWaiting));
        let gone = asking.export(false);
        assert_eq!(gone.iter().filter(|(_, value)| value.is_none()).count(), 3);

        let mut out = Vec::new();
        let mut hand = |part: Vec<Emission>| out.extend(part);
        let mut outlet = Outlet::new(8, &mut hand);
        asking.answer(1, &baseline, &mut events, &mut stats, &mut outlet);
        outlet.flush();
        assert_eq!(times(&out), [(4, false), (5, false)]);
        assert!(out[0].columns.column(1).is_null(0), "nothing is known");
        assert_eq!((asking.day(i64::MAX), stats.keys), (None, 0));
    }
}
