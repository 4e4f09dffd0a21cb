//! What a sliding count costs: nanoseconds and bytes a row, by how rows spread over keys and by how
//! many rules count them, as a table.
//! `cargo run --profile perf -p sluice-stream --example keyed [ROWS]`

#![expect(clippy::print_stdout, reason = "a measurement, not the engine")]

use std::{error::Error, sync::Arc};

use arrow::{
    array::{ArrayRef, RecordBatch},
    datatypes::{DataType, Field, Fields, Schema, TimeUnit},
};
use sluice_event::{
    Encoder, Eval, EvalError, EventUid, PartitionId, TableName, TimeSettings, Value,
};
use sluice_stream::{
    Aggregate, AggregateFunction, Branch, Comparison, Condition, EmitMode, GroupColumn,
    HistoryStart, KeyedBatch, KeyedRow, Limits, Pace, PartitionInfo, Predicate, Shard,
    ShardOptions, Stage, StreamPlan, Window, WindowPlan,
};

const CHUNK: u64 = 1_024;

/// How rows come.
struct Load {
    name: &'static str,
    keys: u64,
    threshold: i64,
    /// How many rules want every row.
    rules: usize,
    /// Whether it is known that their keys are the same.
    shared: bool,
    /// Distance of rows in microseconds.
    step: i64,
    /// Length of the window in milliseconds.
    size: i64,
    /// How soon findings that can still change are emitted.
    pace: Pace,
}

fn main() -> Result<(), Box<dyn Error>> {
    let rows = std::env::args().nth(1).map_or(Ok(1_000_000), |n| n.parse::<u64>())?;
    println!(
        "| load | pace | rows | threshold | ns/row | ns/row, last tenth | emissions | bytes/key | checkpoint, bytes/row | restart, s |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    let load = |name, keys, threshold, step, size| {
        let (rules, shared, pace) = (1, true, Pace::EveryChange);
        Load { name, keys, threshold, rules, shared, step, size, pace }
    };
    let rules = |name, shared| {
        let one = load(name, 20_000, 1_000, 600, 600_000);
        Load { rules: 17, shared, ..one }
    };
    let at = |pace, load| Load { pace, ..load };
    for load in [
        load("a flood of one key in 10 minutes", 1, 10, 600, 600_000),
        at(Pace::News, load("the same", 1, 10, 600, 600_000)),
        at(Pace::Final, load("the same", 1, 10, 600, 600_000)),
        load("the same, no threshold reached", 1, 10_000_000, 600, 600_000),
        load("a spray over 20,000 keys in 10 minutes", 20_000, 10, 600, 600_000),
        at(Pace::News, load("the same", 20_000, 10, 600, 600_000)),
        at(Pace::Final, load("the same", 20_000, 10, 600, 600_000)),
        load("a key for every row", rows, 10, 600, 600_000),
        rules("a spray that reaches no threshold of 17 rules that share", true),
        rules("the same, each by itself", false),
    ] {
        run(&load, rows);
    }
    Ok(())
}

fn run(load: &Load, rows: u64) {
    let options = ShardOptions {
        index: 0,
        shards: 1,
        secret: [7; 16],
        limits: Limits::default(),
        history_start: HistoryStart::Always,
    };
    let table = TableName::new("network");
    let time = TimeSettings::default();
    let partition = PartitionInfo { id: PartitionId(0), tables: vec![table.clone()], time };
    let plan = |rule| (rule, Arc::new(plan(rule, table.clone(), load)));
    let plans: Vec<_> = (0..load.rules).map(plan).collect();
    let mut shard = Shard::new(&plans, std::slice::from_ref(&partition), options.clone());
    let schema = Arc::new(Schema::new(vec![
        Field::new("user_name", DataType::Utf8, true),
        Field::new("message", DataType::Utf8, true),
    ]));
    let (mut spent, mut last, mut emissions) = (0, 0, 0);
    let before = resident();
    for first in (0..rows).step_by(CHUNK as usize) {
        let made: Vec<KeyedRow> =
            (first..(first + CHUNK).min(rows)).map(|n| row(n, load)).collect();
        let newest = made.last().map_or(0, |r| r.time);
        let all = || (0..made.len()).collect();
        let wanted: Vec<_> = (0..load.rules).map(|rule| (rule, all())).collect();
        let batch = KeyedBatch::of_rules(schema.clone(), &made, &wanted);
        let start = cpu_time();
        shard.push(PartitionId(0), &batch);
        shard.observe(PartitionId(0), newest);
        emissions += shard.take(load.pace).len();
        let took = cpu_time() - start;
        spent += took;
        if first >= rows / 10 * 9 {
            last += took;
        }
    }
    let keys = shard.stats()[0].keys.max(1);
    let bytes = resident().saturating_sub(before) / keys;
    let entries = shard.export(true);
    let stored: usize =
        entries.iter().map(|e| e.key.len() + e.value.as_ref().map_or(0, Vec::len)).sum();
    drop(shard);
    let start = cpu_time();
    let mut restarted = Shard::new(&plans, &[partition], options);
    let resets = restarted.import(entries);
    restarted.take(load.pace);
    let restart = (cpu_time() - start) as f64 / 1e9;
    assert!(resets.is_ok_and(|resets| resets.is_empty()), "state is read back");
    println!(
        "| {} | {:?} | {rows} | {} | {} | {} | {emissions} | {bytes} | {} | {restart:.2} |",
        load.name,
        load.pace,
        load.threshold,
        spent / rows,
        last / (rows / 10).max(1),
        stored as u64 / rows,
    );
}

/// Nanoseconds this thread has run: what else runs on the machine is not in it. Off Linux, 0.
fn cpu_time() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// Resident bytes of the process. Off Linux, 0.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split(' ').nth(1).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0) * 4096
}

fn row(n: u64, load: &Load) -> KeyedRow {
    let mixed = n.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
    let user = if load.keys == 1 { 0 } else { mixed % load.keys };
    let name = format!("user-{user}");
    let mut key = Encoder::default();
    key.text(&name);
    // Two text columns: number, tag, length, bytes.
    let message = format!("refused password for {name} from 192.0.2.{}", mixed % 256);
    let mut packed = vec![0, 5, name.len() as u8];
    packed.extend(name.as_bytes());
    packed.extend([1, 5, message.len() as u8]);
    packed.extend(message.as_bytes());
    KeyedRow {
        time: (n as i64 * load.step).div_euclid(1_000),
        uid: EventUid { bits: u128::from(mixed) << 64 | u128::from(n), native: false },
        late: false,
        time_flags: sluice_event::TimeFlags::NONE,
        key: key.into_bytes(),
        values: vec![Value::Text(name.into())],
        packed,
    }
}

/// `SELECT user_name, count(*) GROUP BY user_name HAVING count(*) >= threshold`.
fn plan(rule: usize, table: TableName, load: &Load) -> StreamPlan {
    let field = |name: &str, kind: DataType| Field::new(name, kind, true);
    let time = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    let bounds: Fields = vec![field("start", time.clone()), field("end", time)].into();
    let (user, count) = (field("user_name", DataType::Utf8), field("n", DataType::Int64));
    let group = vec![user.clone(), field("w", DataType::Struct(bounds)), count.clone()];
    let id = load.shared.then_some(1);
    let column = |at, output: DataType| -> Arc<dyn Eval> { Arc::new(Column { at, output, id }) };
    let window = WindowPlan {
        window: Window::Sliding { size: load.size },
        keys: 1,
        aggregates: vec![Aggregate {
            function: AggregateFunction::Count,
            argument: None,
            filter: None,
        }],
        group: Arc::new(Schema::new(group)),
        layout: vec![GroupColumn::Key(0), GroupColumn::Window, GroupColumn::Aggregate(0)],
        times: Vec::new(),
        having: None,
        condition: Some(Condition::Compare {
            aggregate: 0,
            comparison: Comparison::GreaterOrEqual,
            constant: Value::Int(load.threshold + rule as i64),
        }),
        monotone: true,
        select: vec![column(0, DataType::Utf8), column(2, DataType::Int64)],
    };
    StreamPlan {
        rule: format!("example.sliding_{rule}").into(),
        branches: vec![Branch {
            table,
            filter: Predicate::Constant(Some(true)),
            residual: Vec::new(),
            columns: vec![column(0, DataType::Utf8)],
        }],
        intermediate: Arc::new(Schema::new(vec![user.clone()])),
        stage: Stage::Window(window),
        output: Arc::new(Schema::new(vec![user, count])),
        emit: EmitMode::OnMatch,
        lateness: None,
        fingerprint: 1,
    }
}

#[derive(Debug)]
struct Column {
    at: usize,
    output: DataType,
    id: Option<u64>,
}

impl Eval for Column {
    fn eval(&self, batch: &RecordBatch) -> Result<ArrayRef, EvalError> {
        Ok(Arc::clone(batch.column(self.at)))
    }

    fn output(&self) -> &DataType {
        &self.output
    }

    fn sql(&self) -> &str {
        "column"
    }

    fn id(&self) -> Option<u64> {
        self.id
    }
}
