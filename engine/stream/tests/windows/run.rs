//! Random streams through shards, and what remains of their emissions.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    fmt,
    sync::Arc,
};

use arrow::{
    array::ArrayRef,
    datatypes::{DataType, Field, Fields, Schema, TimeUnit},
    record_batch::RecordBatch,
};
use sluice_event::{
    Encoder, Eval, EvalError, EventUid, PartitionId, TableName, TimeFlags, TimeSettings, Value,
};
use sluice_stream::{
    Aggregate, AggregateFunction, Branch, Change, Emission, EmitMode, FindingState, FirstSeenPlan,
    GroupColumn, HistoryStart, KeyedBatch, KeyedRow, Limits, Pace, PartitionInfo, Predicate, Shard,
    ShardOptions, Stage, StateEntry, StreamPlan, WindowPlan, tuple_hash, vnode,
};

use crate::model::{self, Finding, Findings, Having, Row};

const DELAY: i64 = 20;
const LATENESS: i64 = 150;
const SECRET: [u8; 16] = [7; 16];
pub(crate) const RULE: usize = 3;
/// Short, so that sessions are split often.
pub(crate) const SESSION_MAX: i64 = 120;

/// A take is at any of them.
pub(crate) const PACES: [Pace; 3] = [Pace::EveryChange, Pace::News, Pace::Final];

pub(crate) struct Case {
    pub(crate) emit: EmitMode,
    pub(crate) stage: model::Stage,
    pub(crate) history: HistoryStart,
    /// Whether HAVING is given as a tree of comparisons too.
    pub(crate) native: bool,
    /// Rows kept one by one: of a key with more the oldest are judged early and summed up.
    pub(crate) kept: usize,
}

impl Case {
    /// More rows than any stream of these tests has.
    pub(crate) const ALL: usize = 20_000;
}

/// What a random stream looks like.
pub(crate) struct Shape {
    pub(crate) rows: u64,
    pub(crate) range: i64,
    pub(crate) keys: u64,
    pub(crate) partitions: u32,
    pub(crate) chunk: u64,
    /// Times are multiples of this: boundaries are hit often.
    pub(crate) grid: i64,
}

impl Shape {
    pub(crate) fn any(random: &mut Random) -> Shape {
        Shape {
            rows: random.below(80),
            range: [40, 300, 1_500][random.below(3) as usize],
            keys: random.below(4) + 1,
            partitions: random.below(3) as u32 + 1,
            chunk: [1, 5, 100][random.below(3) as usize],
            grid: [1, 5][random.below(2) as usize],
        }
    }
}

/// SplitMix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ z >> 31) % limit.max(1)
    }

    pub(crate) fn time(&mut self) -> i64 {
        self.below(1_500) as i64 - 500
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// Streams random rows through shards and compares the net findings with the model's.
///
/// Returns how many rows were summed up.
pub(crate) fn check(seed: u64, case: &Case, shape: &Shape) -> u64 {
    let mut random = Random(seed ^ 0x5eed);
    let plan = plan(case);
    let mut run = Run::new(case, plan, shape, &mut random);
    let mut sources: Vec<Vec<Row>> =
        (0..shape.partitions).map(|_| rows(shape, &mut random)).collect();
    sources.iter_mut().for_each(|s| s.reverse());
    // A first time decides where history starts; an idle partition would make that depend on chance.
    let idles = case.history != HistoryStart::FirstAccepted;
    while sources.iter().any(|s| !s.is_empty()) {
        let p = random.below(sources.len() as u64) as usize;
        let chunk = random.below(shape.chunk) as usize + 1;
        let keep = sources[p].len().saturating_sub(chunk);
        let taken: Vec<Row> = sources[p].split_off(keep).into_iter().rev().collect();
        run.feed(PartitionId(p as u32), &taken);
        if random.one_in(3) {
            run.take(PACES[random.below(3) as usize]);
        }
        if idles && random.one_in(25) {
            let idle = PartitionId(random.below(sources.len() as u64) as u32);
            run.shards.iter_mut().for_each(|s| s.idle(idle));
        }
        if random.one_in(10) {
            run.checkpoint();
        }
        if random.one_in(20) {
            let shards = random.below(3) as u32 + 1;
            run.restart(shards);
        }
    }
    run.finish();
    let history = match case.history {
        HistoryStart::Always => None,
        HistoryStart::At(time) => Some(time),
        HistoryStart::FirstAccepted => run.first.values().copied().min(),
    };
    let mut expected = model::findings(&case.stage, &run.accepted, history);
    let mut actual: Findings = std::mem::take(&mut run.net)
        .into_iter()
        .map(|(key, (finding, _))| (key, finding))
        .collect();
    if case.kept < Case::ALL {
        // Of rows that were summed up not all are shown.
        let all = expected.values_mut().chain(actual.values_mut());
        all.for_each(|finding| finding.evidence.clear());
    }
    let keys: BTreeSet<_> = expected.keys().chain(actual.keys()).collect();
    let differ = keys.into_iter().filter(|key| expected.get(*key) != actual.get(*key));
    let lines: Vec<String> = differ
        .map(|key| format!("expected {:?}\n     got {:?}", expected.get(key), actual.get(key)))
        .collect();
    let (emit, stage) = (case.emit, &case.stage);
    assert!(
        lines.is_empty(),
        "seed {seed}, {emit:?}, {stage:?}, history {history:?}:\n{}",
        lines.join("\n")
    );
    run.folded
}

fn rows(shape: &Shape, random: &mut Random) -> Vec<Row> {
    let step = (shape.range / (shape.rows as i64 + 1)).max(1);
    let mut now = -200;
    let mut rows: Vec<Row> = Vec::new();
    for _ in 0..shape.rows {
        if random.one_in(12) && !rows.is_empty() {
            // The same record again, at once or much later.
            let again = rows[random.below(rows.len() as u64) as usize].clone();
            rows.push(again);
            continue;
        }
        now += random.below(2 * step as u64 + 1) as i64;
        let back = match random.below(12) {
            0 => LATENESS + random.below(3) as i64 - 1,
            1..=3 => random.below(LATENESS as u64) as i64,
            4 => 15,
            5 => 100,
            _ => 0,
        };
        let text = |prefix: &str, n: u64| Value::Text(format!("{prefix}{n}").into());
        let values = [
            if random.one_in(15) { Value::Null } else { text("user", random.below(shape.keys)) },
            if random.one_in(6) { Value::Null } else { text("x", random.below(4)) },
            if random.one_in(6) {
                Value::Null
            } else {
                Value::Float(random.below(40) as f64 / 4.0 - 3.0)
            },
            [Value::Null, Value::Bool(true), Value::Bool(false)][random.below(3) as usize].clone(),
        ];
        let bits = u128::from(random.below(u64::MAX));
        rows.push(Row {
            time: (now - back).div_euclid(shape.grid) * shape.grid,
            uid: EventUid { bits, native: random.one_in(2) },
            time_flags: match random.below(24) {
                place @ 0..3 => TimeFlags::at([place as usize]),
                _ => TimeFlags::NONE,
            },
            values,
        });
    }
    rows
}

struct Run {
    plan: Arc<StreamPlan>,
    partitions: Vec<PartitionInfo>,
    history: HistoryStart,
    kept: usize,
    folded: u64,
    shards: Vec<Shard>,
    store: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Per partition: the running maximum.
    seen: BTreeMap<PartitionId, i64>,
    first: BTreeMap<PartitionId, i64>,
    accepted: Vec<Row>,
    net: BTreeMap<Vec<u8>, (Finding, FindingState)>,
}

impl Run {
    fn new(case: &Case, plan: StreamPlan, shape: &Shape, random: &mut Random) -> Run {
        let mut run = Run {
            plan: Arc::new(plan),
            partitions: (0..shape.partitions).map(partition).collect(),
            history: case.history,
            kept: case.kept,
            folded: 0,
            shards: Vec::new(),
            store: BTreeMap::new(),
            seen: BTreeMap::new(),
            first: BTreeMap::new(),
            accepted: Vec::new(),
            net: BTreeMap::new(),
        };
        run.shards = run.new_shards(random.below(3) as u32 + 1);
        run
    }

    fn new_shards(&self, count: u32) -> Vec<Shard> {
        let options = |index| ShardOptions {
            index,
            shards: count,
            secret: SECRET,
            limits: Limits {
                window_events_max: self.kept,
                session_max: SESSION_MAX,
                ..Limits::default()
            },
            history_start: self.history,
        };
        let new = |i| Shard::new(&[(RULE, self.plan.clone())], &self.partitions, options(i));
        (0..count).map(new).collect()
    }

    fn feed(&mut self, partition: PartitionId, rows: &[Row]) {
        let count = self.shards.len();
        let mut batches: Vec<Vec<KeyedRow>> = vec![Vec::new(); count];
        let (_, closed) = self.shards[0].evaluated_through(RULE).unwrap();
        for row in rows {
            let seen = self.seen.entry(partition).or_insert(i64::MIN);
            let in_time = row.time >= seen.saturating_sub(LATENESS);
            let late = row.time < seen.saturating_sub(DELAY);
            *seen = row.time.max(*seen);
            if !in_time {
                continue;
            }
            if let Entry::Vacant(first) = self.first.entry(partition) {
                first.insert(row.time);
                self.shards.iter_mut().for_each(|s| s.first_time(partition, &table(), row.time));
            }
            // A NULL in the tuple is not first seen: such rows reach no shard.
            let keyed = self.keyed(row, late);
            let tuple = &keyed.values[2.min(keyed.values.len())..];
            let first_seen = matches!(self.plan.stage, Stage::FirstSeen(_));
            if !(first_seen && tuple.iter().any(Value::is_null)) {
                let shard = vnode(&SECRET, &keyed.key) as usize % count;
                batches[shard].push(keyed);
            }
            // Rows of a partition that was idle may be behind everything.
            if row.time >= closed {
                self.accepted.push(row.clone());
            }
        }
        for (shard, batch) in self.shards.iter_mut().zip(batches) {
            shard.push(partition, &keyed_batch(&batch));
            if let Some(max) = self.seen.get(&partition) {
                shard.observe(partition, *max);
            }
        }
    }

    fn keyed(&self, row: &Row, late: bool) -> KeyedRow {
        let [user, text, number, filter] = row.values.clone();
        let (key, values) = match &self.plan.stage {
            Stage::FirstSeen(_) => {
                (vec![&user, &text], vec![user.clone(), number, user.clone(), text.clone()])
            }
            _ => (vec![&user], vec![user.clone(), text.clone(), number, filter]),
        };
        let mut encoder = Encoder::default();
        key.into_iter().for_each(|v| encoder.value(v));
        let key = match &self.plan.stage {
            Stage::FirstSeen(_) => tuple_hash(&SECRET, encoder.as_bytes()).to_vec(),
            _ => encoder.into_bytes(),
        };
        let text = format!("{} {:x}", row.time, row.uid.bits);
        KeyedRow {
            time: row.time,
            uid: row.uid,
            late,
            time_flags: row.time_flags,
            key,
            values,
            packed: packed(&text),
        }
    }

    fn take(&mut self, pace: Pace) {
        let emissions: Vec<Emission> =
            self.shards.iter_mut().flat_map(|shard| shard.take(pace)).collect();
        for e in emissions {
            assert_eq!(e.rule_index, RULE);
            let before = self.net.get(&e.key).map(|(_, state)| *state);
            match e.change {
                Change::Upsert(state) => {
                    assert_ne!(before, Some(FindingState::Confirmed), "changed after confirmed");
                    let final_only = self.plan.emit == EmitMode::OnClose || pace == Pace::Final;
                    if final_only && self.kept == Case::ALL {
                        assert_eq!(state, FindingState::Confirmed);
                    }
                    let mut finding = finding(&e);
                    if let Some((known, _)) = self.net.get(&e.key)
                        && finding.evidence.is_empty()
                    {
                        finding.evidence.clone_from(&known.evidence);
                    }
                    self.net.insert(e.key.clone(), (finding, state));
                }
                Change::Withdraw => {
                    assert_eq!(before, Some(FindingState::Provisional), "withdrawn");
                    if self.kept == Case::ALL {
                        assert_eq!(self.plan.emit, EmitMode::OnWatermark);
                    }
                    let (last, _) = self.net.remove(&e.key).unwrap();
                    assert_eq!(last.columns, finding(&e).columns);
                }
            }
        }
    }

    fn checkpoint(&mut self) {
        let changed = self.shards.iter_mut().flat_map(|s| s.export(false));
        for (number, mut entry) in changed.enumerate() {
            // Half of them as a checkpoint keeps them.
            if number % 2 == 0 {
                entry.pack();
            }
            let StateEntry { key, value } = entry;
            match value {
                Some(value) => drop(self.store.insert(key, value)),
                None => drop(self.store.remove(&key)),
            }
        }
    }

    /// Everything from the store, after a checkpoint here. What is in parts is for all shards.
    fn restart(&mut self, count: u32) {
        self.checkpoint();
        self.shards = self.new_shards(count);
        for (index, shard) in self.shards.iter_mut().enumerate() {
            let entries = self
                .store
                .iter()
                .map(|(key, value)| StateEntry { key: key.clone(), value: Some(value.clone()) });
            let own = |e: &StateEntry| {
                e.vnode() == StateEntry::SHARED || u32::from(e.vnode()) % count == index as u32
            };
            let resets = shard.import(entries.filter(own).collect()).unwrap();
            assert!(resets.is_empty(), "{resets:?}");
        }
    }

    fn finish(&mut self) {
        for p in self.partitions.clone() {
            self.shards.iter_mut().for_each(|s| s.end(p.id));
        }
        self.take(Pace::Final);
        assert!(self.net.values().all(|(_, state)| *state == FindingState::Confirmed));
        for shard in &mut self.shards {
            self.folded += shard.stats().iter().map(|s| s.truncated).sum::<u64>();
            assert!(shard.stats().iter().all(|s| s.keys == 0 && s.failures.rows == 0));
            assert!(shard.take(Pace::EveryChange).is_empty());
        }
    }
}

pub(crate) fn finding(e: &Emission) -> Finding {
    let column = |c: &ArrayRef| Value::column(c).unwrap()[e.row].clone();
    Finding {
        time: e.time,
        window: e.window,
        columns: e.columns.columns().iter().map(column).collect(),
        evidence: e.evidence.iter().map(|t| t.to_string()).collect(),
        total: e.evidence_total,
        capped: e.is_capped(),
        time_flags: e.time_flags,
    }
}

pub(crate) fn partition(id: u32) -> PartitionInfo {
    PartitionInfo {
        id: PartitionId(id),
        tables: vec![table()],
        time: TimeSettings { delay: DELAY, lateness: LATENESS, max_skew: 0, idle: 0 },
    }
}

/// A row of a windowed rule with no argument.
pub(crate) fn keyed_row(key: &str, time: i64) -> KeyedRow {
    let mut encoder = Encoder::default();
    encoder.text(key);
    KeyedRow {
        time,
        uid: EventUid { bits: time as u128, native: false },
        late: false,
        time_flags: TimeFlags::NONE,
        key: encoder.into_bytes(),
        values: vec![Value::Text(key.into()), Value::Null, Value::Null, Value::Null],
        packed: Vec::new(),
    }
}

/// Rows of [`RULE`].
pub(crate) fn keyed_batch(rows: &[KeyedRow]) -> KeyedBatch {
    let schema = Schema::new(vec![Field::new("row", DataType::Utf8, true)]);
    KeyedBatch::of(RULE, Arc::new(schema), rows)
}

/// An event with one column, a text: column 0, the tag of texts, length, bytes.
fn packed(text: &str) -> Vec<u8> {
    [&[0, 5, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
}

fn table() -> TableName {
    TableName::new("authentication")
}

fn time() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
}

pub(crate) fn plan(case: &Case) -> StreamPlan {
    let field = |name: &str, kind: DataType| Field::new(name, kind, true);
    let schema = |fields: Vec<Field>| Arc::new(Schema::new(fields));
    let (text, float, int) = (DataType::Utf8, DataType::Float64, DataType::Int64);
    let (stage, output) = match &case.stage {
        model::Stage::FirstSeen { span } => (
            Stage::FirstSeen(FirstSeenPlan { span: *span, outputs: 2 }),
            vec![field("user_name", text), field("number", float)],
        ),
        model::Stage::Window { window, having } => {
            let aggregates = [
                ("n", AggregateFunction::Count, None, None, &int),
                ("texts", AggregateFunction::Count, Some(1), None, &int),
                ("distinct", AggregateFunction::CountDistinct, Some(1), None, &int),
                ("sum", AggregateFunction::Sum, Some(2), None, &float),
                ("min", AggregateFunction::Min, Some(2), None, &float),
                ("max", AggregateFunction::Max, Some(2), None, &float),
                ("avg", AggregateFunction::Avg, Some(2), None, &float),
                ("filtered", AggregateFunction::Count, None, Some(3), &int),
            ];
            let bounds: Fields = vec![field("start", time()), field("end", time())].into();
            let mut group =
                vec![field("user_name", text.clone()), field("w", DataType::Struct(bounds))];
            group.extend(aggregates.iter().map(|a| field(a.0, a.4.clone())));
            let mut layout = vec![GroupColumn::Key(0), GroupColumn::Window];
            layout.extend((0..aggregates.len()).map(GroupColumn::Aggregate));
            let mut output = vec![field("user_name", text.clone())];
            output.extend(aggregates.iter().map(|a| field(a.0, a.4.clone())));
            output.push(field("start", time()));
            let pick =
                |i: usize, kind: &DataType| test_eval(kind.clone(), move |b| b.column(i).clone());
            let mut select = vec![pick(0, &text)];
            select.extend(aggregates.iter().enumerate().map(|(i, a)| pick(i + 2, a.4)));
            select.push(test_eval(time(), |b| {
                use arrow::array::AsArray;
                b.column(1).as_struct().column(0).clone()
            }));
            let keep = *having;
            let plan = WindowPlan {
                window: *window,
                keys: 1,
                aggregates: aggregates
                    .iter()
                    .map(|a| Aggregate { function: a.1, argument: a.2, filter: a.3 })
                    .collect(),
                group: schema(group),
                layout,
                times: Vec::new(),
                condition: having.condition().filter(|_| case.native),
                monotone: having.is_monotone(),
                having: (!matches!(having, Having::Always)).then(|| {
                    test_eval(DataType::Boolean, move |b| {
                        let columns: Vec<Vec<Value>> =
                            b.columns()[2..].iter().map(|c| Value::column(c).unwrap()).collect();
                        let row =
                            |i: usize| columns.iter().map(|c| c[i].clone()).collect::<Vec<_>>();
                        let verdict = |i| keep.keeps(&row(i)).map_or(Value::Null, Value::Bool);
                        let verdicts: Vec<Value> = (0..b.num_rows()).map(verdict).collect();
                        Value::to_array(&verdicts, &DataType::Boolean)
                    })
                }),
                select,
            };
            (Stage::Window(plan), output)
        }
    };
    StreamPlan {
        rule: "test.rule".into(),
        branches: vec![Branch {
            table: table(),
            filter: Predicate::Constant(Some(true)),
            residual: Vec::new(),
            columns: Vec::new(),
        }],
        intermediate: schema(Vec::new()),
        stage,
        output: schema(output),
        emit: case.emit,
        lateness: None,
        fingerprint: 42,
    }
}

/// A closure over a batch.
struct TestEval<F> {
    output: DataType,
    f: F,
}

fn test_eval(
    output: DataType,
    f: impl Fn(&RecordBatch) -> ArrayRef + Send + Sync + 'static,
) -> Arc<dyn Eval> {
    Arc::new(TestEval { output, f })
}

impl<F: Fn(&RecordBatch) -> ArrayRef + Send + Sync> Eval for TestEval<F> {
    fn eval(&self, batch: &RecordBatch) -> Result<ArrayRef, EvalError> {
        Ok((self.f)(batch))
    }

    fn output(&self) -> &DataType {
        &self.output
    }

    fn sql(&self) -> &str {
        "test"
    }
}

impl<F> fmt::Debug for TestEval<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TestEval")
    }
}
