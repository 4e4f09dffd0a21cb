//! What a sliding count costs per row, by how rows spread over keys: one hot key, many, and a mix.
//! `cargo run --profile perf -p sluice-stream --example keyed`

#![expect(clippy::print_stdout, reason = "a measurement, not the engine")]

use std::{error::Error, sync::Arc};

use arrow::{
    array::{ArrayRef, RecordBatch},
    compute::kernels::cmp::gt_eq,
    datatypes::{DataType, Field, Fields, Schema, TimeUnit},
};
use sluice_event::{
    Encoder, Eval, EvalError, EventUid, PartitionId, TableName, TimeSettings, Value,
};
use sluice_stream::{
    Aggregate, AggregateFunction, Branch, Class, GroupColumn, HistoryStart, KeyedRow, Limits,
    PartitionInfo, Predicate, Shard, ShardOptions, Stage, StreamPlan, Window, WindowPlan,
};

const ROWS: u64 = 400_000;
const CHUNK: u64 = 8_192;
/// A row each 2 ms: 30,000 in a window.
const STEP: i64 = 2;
const SIZE: i64 = 60_000;

fn main() -> Result<(), Box<dyn Error>> {
    println!("keys      threshold   ns/row   emissions   rows given up");
    for (name, keys, threshold) in [
        ("1", 1, 1_000_000),
        ("1", 1, 10),
        ("1000", 1_000, 1_000_000),
        ("1000", 1_000, 10),
        ("100000", 100_000, 1_000_000),
        ("100000", 100_000, 10),
    ] {
        let options = ShardOptions {
            index: 0,
            secret: [7; 16],
            limits: Limits::default(),
            history_start: HistoryStart::Always,
        };
        let table = TableName::new("network");
        let time = TimeSettings::default();
        let partition = PartitionInfo { id: PartitionId(0), tables: vec![table.clone()], time };
        let plan = Arc::new(plan(table, threshold));
        let mut shard = Shard::new(&[(0, plan)], &[partition], options);
        let mut spent = 0;
        let mut emissions = 0;
        for first in (0..ROWS).step_by(CHUNK as usize) {
            let rows: Vec<KeyedRow> =
                (first..(first + CHUNK).min(ROWS)).map(|n| row(n, keys)).collect();
            let newest = rows.last().map_or(0, |r| r.time);
            let start = cpu_time();
            shard.push(0, PartitionId(0), rows);
            shard.observe(PartitionId(0), newest);
            emissions += shard.take().len();
            spent += cpu_time() - start;
        }
        let given_up: u64 = shard.stats().iter().map(|s| s.thinned).sum();
        println!("{name:>6} {threshold:>12} {:>8} {emissions:>11} {given_up:>15}", spent / ROWS);
    }
    Ok(())
}

/// Nanoseconds this thread has run: what else runs on the machine is not in it. Off Linux, 0.
fn cpu_time() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0)
}

fn row(n: u64, keys: u64) -> KeyedRow {
    let mixed = n.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
    let name = format!("user-{}", mixed % keys);
    let mut key = Encoder::default();
    key.text(&name);
    KeyedRow {
        time: n as i64 * STEP,
        uid: EventUid { bits: n.into(), native: false },
        late: false,
        key: key.into_bytes().into(),
        values: Box::new([Value::Text(name.into())]),
        evidence: format!(r#"{{"user_name":"user-{}","n":{n}}}"#, mixed % keys).into(),
    }
}

/// `SELECT user_name, count(*) GROUP BY user_name HAVING count(*) >= threshold`.
fn plan(table: TableName, threshold: i64) -> StreamPlan {
    let field = |name: &str, kind: DataType| Field::new(name, kind, true);
    let time = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    let bounds: Fields = vec![field("start", time.clone()), field("end", time)].into();
    let (user, count) = (field("user_name", DataType::Utf8), field("n", DataType::Int64));
    let group = vec![user.clone(), field("w", DataType::Struct(bounds)), count.clone()];
    let column = |at, output: DataType| -> Arc<dyn Eval> { Arc::new(Column { at, output }) };
    let window = WindowPlan {
        window: Window::Sliding { size: SIZE },
        keys: 1,
        aggregates: vec![Aggregate {
            function: AggregateFunction::Count,
            argument: None,
            filter: None,
        }],
        group: Arc::new(Schema::new(group)),
        layout: vec![GroupColumn::Key(0), GroupColumn::Window, GroupColumn::Aggregate(0)],
        having: Some(Arc::new(AtLeast(threshold))),
        select: vec![column(0, DataType::Utf8), column(2, DataType::Int64)],
    };
    StreamPlan {
        rule: "example.sliding".into(),
        branches: vec![Branch {
            table,
            filter: Predicate::Constant(Some(true)),
            residual: Vec::new(),
            columns: Vec::new(),
        }],
        intermediate: Arc::new(Schema::new(vec![user.clone()])),
        stage: Stage::Window(window),
        output: Arc::new(Schema::new(vec![user, count])),
        class: Class::Monotone,
        lateness: None,
        fingerprint: 1,
    }
}

#[derive(Debug)]
struct Column {
    at: usize,
    output: DataType,
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
}

#[derive(Debug)]
struct AtLeast(i64);

impl Eval for AtLeast {
    fn eval(&self, batch: &RecordBatch) -> Result<ArrayRef, EvalError> {
        let threshold = arrow::array::Int64Array::new_scalar(self.0);
        gt_eq(batch.column(2), &threshold)
            .map(|a| Arc::new(a) as ArrayRef)
            .map_err(|e| EvalError(e.to_string()))
    }

    fn output(&self) -> &DataType {
        &DataType::Boolean
    }

    fn sql(&self) -> &str {
        "count(*) >= threshold"
    }
}
