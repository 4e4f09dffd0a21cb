//! What keyed state costs: nanoseconds and bytes a row, by kind of window, by how rows spread over keys
//! and by how many rules want them, as a table; and how much of the work the busiest of several
//! shards has when one key has most of the rows.
//! `cargo run --profile perf -p sluice-stream --example keyed [ROWS]`

#![expect(clippy::print_stdout, reason = "a measurement, not the engine")]

use std::{error::Error, process::Command, sync::Arc};

use arrow::{
    array::{ArrayRef, RecordBatch},
    datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit},
};
use sluice_event::{
    Encoder, Eval, EvalError, EventUid, PartitionId, TableName, TimeSettings, Value,
};
use sluice_stream::{
    Aggregate, AggregateFunction, Branch, Comparison, Condition, EmitMode, GroupColumn,
    HistoryStart, KeyedBatch, KeyedRow, Limits, Pace, PartitionInfo, Predicate, Shard,
    ShardOptions, Stage, StateEntry, StreamPlan, Window, WindowPlan, vnode,
};

const CHUNK: u64 = 1_024;
const SECRET: [u8; 16] = [7; 16];

/// How rows come, and what counts them.
#[derive(Clone, Copy)]
struct Load {
    name: &'static str,
    shape: Shape,
    spread: Spread,
    threshold: i64,
    /// How many rules want every row.
    rules: usize,
    /// Whether it is known that their keys are the same.
    shared: bool,
    /// How soon findings that can still change are emitted.
    pace: Pace,
}

/// What a rule keeps of a key.
#[derive(Clone, Copy, PartialEq)]
enum Shape {
    /// `HAVING count(*) >= threshold`, sliding over 10 minutes.
    Count,
    /// `HAVING count(DISTINCT src_ip) >= threshold`, the same.
    Distinct,
    /// As `identity.session_from_many_networks`: five values, three of them counted distinct.
    Networks,
    /// `HAVING count(*) >= threshold`, over sessions of 30 minutes.
    Session,
}

/// How rows spread over keys.
#[derive(Clone, Copy)]
enum Spread {
    /// Evenly over so many.
    Over(u64),
    /// A key for every row.
    Each,
    /// Nine rows in ten are of one key, the others evenly over so many.
    Hot(u64),
    /// Zipf's law, exponent 1, over so many.
    Zipf(u64),
}

/// Distance of rows in microseconds: a million in 10 minutes.
const STEP: i64 = 600;

fn main() -> Result<(), Box<dyn Error>> {
    let rows = std::env::args().nth(1).map_or(Ok(1_000_000), |n| n.parse::<u64>())?;
    let only = std::env::args().nth(2).map(|n| n.parse::<usize>()).transpose()?;
    let of = |name, shape, spread, threshold| {
        let (rules, shared, pace) = (1, true, Pace::EveryChange);
        Load { name, shape, spread, threshold, rules, shared, pace }
    };
    let at = |pace, load| Load { pace, ..load };
    let (one, spray) = (Spread::Over(1), Spread::Over(20_000));
    let flood = of("a flood of one key in 10 minutes", Shape::Count, one, 10);
    let sprayed = of("a spray over 20,000 keys in 10 minutes", Shape::Count, spray, 10);
    let many = Load { rules: 17, threshold: 1_000, ..sprayed };
    if only.is_none() {
        println!(
            "| load | pace | threshold | ns/row | ns/row, last tenth | emissions | bytes/key | events, bytes/row | checkpoint: keys, bytes/key | the same packed | pack, ns/key | events, bytes/row | restart, s |"
        );
        println!("|---|---|---|---|---|---|---|---|---|---|---|---|---|");
    }
    let loads = [
        flood,
        at(Pace::News, Load { name: "the same", ..flood }),
        at(Pace::Final, Load { name: "the same", ..flood }),
        Load { name: "the same, no threshold reached", threshold: 10_000_000, ..flood },
        sprayed,
        at(Pace::News, Load { name: "the same", ..sprayed }),
        at(Pace::Final, Load { name: "the same", ..sprayed }),
        of("the same, distinct addresses counted", Shape::Distinct, spray, 10),
        of("the same, sessions", Shape::Session, spray, 10),
        of("a key for every row", Shape::Count, Spread::Each, 10),
        of("the same, distinct addresses counted", Shape::Distinct, Spread::Each, 10),
        of("the same, networks of sessions", Shape::Networks, Spread::Each, 2),
        of("the same, sessions", Shape::Session, Spread::Each, 10),
        Load { name: "a spray that reaches no threshold of 17 rules that share", ..many },
        Load { name: "the same, each by itself", shared: false, ..many },
    ];
    if let Some(load) = only.and_then(|only| loads.get(only)) {
        run(load, rows);
        return Ok(());
    }
    // Each in a process of its own: memory that one gave back would be taken by the next.
    for load in 0..loads.len() {
        let mut one = Command::new(std::env::current_exe()?);
        one.args([rows.to_string(), load.to_string()]).status()?;
    }
    println!();
    println!(
        "| keys | shards | rows of the busiest, % | CPU of the busiest, % | ns/row there | rows/s that it takes |"
    );
    println!("|---|---|---|---|---|---|");
    let over = 100_000;
    for (name, spread) in [
        ("100,000, evenly", Spread::Over(over)),
        ("Zipf, exponent 1, over 100,000", Spread::Zipf(over)),
        ("one address with 9 rows in 10", Spread::Hot(over)),
    ] {
        for shards in [2, 8] {
            skew(&of(name, Shape::Count, spread, 10), shards, rows);
        }
    }
    Ok(())
}

fn partition() -> PartitionInfo {
    let time = TimeSettings::default();
    PartitionInfo { id: PartitionId(0), tables: vec![TableName::new("network")], time }
}

fn shard(plans: &[(usize, Arc<StreamPlan>)], index: u32, shards: u32) -> Shard {
    let (limits, history_start) = (Limits::default(), HistoryStart::Always);
    let options = ShardOptions { index, shards, secret: SECRET, limits, history_start };
    Shard::new(plans, &[partition()], options)
}

fn plans(load: &Load) -> Vec<(usize, Arc<StreamPlan>)> {
    (0..load.rules).map(|rule| (rule, Arc::new(plan(rule, load)))).collect()
}

/// What rows, keys and a checkpoint cost.
fn run(load: &Load, rows: u64) {
    let plans = plans(load);
    let mut shard_of_all = shard(&plans, 0, 1);
    let schema = events();
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
        shard_of_all.push(PartitionId(0), &batch);
        shard_of_all.observe(PartitionId(0), newest);
        emissions += shard_of_all.take(load.pace).len();
        let took = cpu_time() - start;
        spent += took;
        if first >= rows / 10 * 9 {
            last += took;
        }
    }
    let keys = shard_of_all.stats()[0].keys.max(1);
    let events = shard_of_all.events().0 as u64;
    let bytes = resident().saturating_sub(before).saturating_sub(events) / keys;
    let mut entries = shard_of_all.export(true);
    // Events are shared and have the longest keys of those that are.
    let is_event = |e: &&StateEntry| e.vnode() == StateEntry::SHARED && e.key.len() == 23;
    let of_keys = |entries: &[StateEntry]| size(entries.iter().filter(|e| !is_event(e)));
    let (plain, stored_events) = (of_keys(&entries), size(entries.iter().filter(is_event)));
    let start = cpu_time();
    entries.iter_mut().for_each(StateEntry::pack);
    let pack = cpu_time() - start;
    let packed = of_keys(&entries);
    drop(shard_of_all);
    let start = cpu_time();
    let mut restarted = shard(&plans, 0, 1);
    let resets = restarted.import(entries);
    restarted.take(load.pace);
    let restart = (cpu_time() - start) as f64 / 1e9;
    assert!(resets.is_ok_and(|resets| resets.is_empty()), "state is read back");
    println!(
        "| {} | {:?} | {} | {} | {} | {emissions} | {bytes} | {} | {} | {} | {} | {} | {restart:.2} |",
        load.name,
        load.pace,
        load.threshold,
        spent / rows,
        last / (rows / 10).max(1),
        events / rows,
        plain / keys,
        packed / keys,
        pack / keys,
        stored_events / rows,
    );
}

/// How the work of rows spreads over shards.
fn skew(load: &Load, count: u32, rows: u64) {
    let plans = plans(load);
    let mut shards: Vec<Shard> = (0..count).map(|index| shard(&plans, index, count)).collect();
    let (mut spent, mut taken) = (vec![0; shards.len()], vec![0; shards.len()]);
    for first in (0..rows).step_by(CHUNK as usize) {
        let made: Vec<KeyedRow> =
            (first..(first + CHUNK).min(rows)).map(|n| row(n, load)).collect();
        let newest = made.last().map_or(0, |r| r.time);
        for (index, shard) in shards.iter_mut().enumerate() {
            let own =
                |row: &&KeyedRow| usize::from(vnode(&SECRET, &row.key)) % count as usize == index;
            let own: Vec<KeyedRow> = made.iter().filter(own).cloned().collect();
            let wanted = [(0, (0..own.len()).collect())];
            let batch = KeyedBatch::of_rules(events(), &own, &wanted);
            let start = cpu_time();
            shard.push(PartitionId(0), &batch);
            shard.observe(PartitionId(0), newest);
            shard.take(Pace::News);
            spent[index] += cpu_time() - start;
            taken[index] += own.len() as u64;
        }
    }
    let all: u64 = spent.iter().sum();
    let Some((busiest, most)) = spent.iter().enumerate().max_by_key(|(_, spent)| **spent) else {
        return;
    };
    let each = (most / taken[busiest].max(1)).max(1);
    println!(
        "| {} | {count} | {} | {} | {each} | {} |",
        load.name,
        taken[busiest] * 100 / rows,
        most * 100 / all.max(1),
        1_000_000_000 / each,
    );
}

fn size<'e>(entries: impl Iterator<Item = &'e StateEntry>) -> u64 {
    entries.map(|e| (e.key.len() + e.value.as_ref().map_or(0, Vec::len)) as u64).sum()
}

fn events() -> SchemaRef {
    let text = |name| Field::new(name, DataType::Utf8, true);
    Arc::new(Schema::new(vec![text("user_name"), text("message")]))
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
    let user = match load.spread {
        Spread::Over(keys) => mixed % keys,
        Spread::Each => n,
        Spread::Hot(_) if !mixed.is_multiple_of(10) => 0,
        Spread::Hot(keys) => mixed / 10 % keys,
        // The logarithm of ranks is spread evenly.
        Spread::Zipf(keys) => (keys as f64).powf((mixed % 65_536) as f64 / 65_536.0) as u64 - 1,
    };
    let name = match load.shape {
        Shape::Networks => format!("102{:022x}", u128::from(mixed).pow(2) | u128::from(user)),
        Shape::Count | Shape::Distinct | Shape::Session => format!("user-{user}"),
    };
    let mut key = Encoder::default();
    key.text(&name);
    let address = format!("192.0.2.{}", mixed % 256);
    // Two text columns: number, tag, length, bytes.
    let message = format!("refused password for {name} from {address}");
    let mut packed = vec![0, 5, name.len() as u8];
    packed.extend(name.as_bytes());
    packed.extend([1, 5, message.len() as u8]);
    packed.extend(message.as_bytes());
    let text = |text: &str| Value::Text(text.into());
    let values = vec![
        text(&name),
        text(&address),
        text(["Example Net", "Hosting"][(mixed % 2) as usize]),
        text(["Germany", "France", "Japan"][(mixed % 3) as usize]),
        text(AGENTS[(mixed % 2) as usize]),
        Value::Int(64_496 + (mixed % 7) as i64),
    ];
    KeyedRow {
        time: (n as i64 * STEP).div_euclid(1_000),
        uid: EventUid { bits: u128::from(mixed) << 64 | u128::from(n), native: false },
        late: false,
        time_flags: sluice_event::TimeFlags::NONE,
        key: key.into_bytes(),
        values,
        packed,
    }
}

const AGENTS: [&str; 2] = [
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0",
];

/// `SELECT user_name, <aggregates> GROUP BY user_name, <window> HAVING <aggregates> >= threshold`.
fn plan(rule: usize, load: &Load) -> StreamPlan {
    use AggregateFunction::{Count, CountDistinct, ListDistinct};
    let field = |name: &str, kind: DataType| Field::new(name, kind, true);
    let time = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    let bounds: Fields = vec![field("start", time.clone()), field("end", time)].into();
    let window = match load.shape {
        Shape::Count | Shape::Distinct => Window::Sliding { size: 600_000 },
        Shape::Networks => Window::Sliding { size: 1_800_000 },
        Shape::Session => Window::Session { gap: 1_800_000 },
    };
    // The condition reads those that are numbers.
    let aggregates = match load.shape {
        Shape::Count | Shape::Session => vec![(Count, None)],
        Shape::Distinct => vec![(CountDistinct, Some(1))],
        Shape::Networks => vec![
            (CountDistinct, Some(5)),
            (CountDistinct, Some(1)),
            (CountDistinct, Some(4)),
            (ListDistinct, Some(2)),
            (ListDistinct, Some(3)),
        ],
    };
    let kind = |function: &AggregateFunction| match function {
        ListDistinct => DataType::new_list(DataType::Utf8, true),
        _ => DataType::Int64,
    };
    let columns = ["user_name", "src_ip", "src_as_org", "src_country", "user_agent", "src_asn"];
    let kinds = |name: &&str| if *name == "src_asn" { DataType::Int64 } else { DataType::Utf8 };
    let intermediate: Vec<Field> = columns.iter().map(|name| field(name, kinds(name))).collect();
    let mut group = vec![intermediate[0].clone(), field("w", DataType::Struct(bounds))];
    let names = ["a", "b", "c", "d", "e"];
    group.extend(aggregates.iter().zip(names).map(|((f, _), name)| field(name, kind(f))));
    let mut layout = vec![GroupColumn::Key(0), GroupColumn::Window];
    layout.extend((0..aggregates.len()).map(GroupColumn::Aggregate));
    let id = load.shared.then_some(1);
    let column = |at, output: DataType| -> Arc<dyn Eval> { Arc::new(Column { at, output, id }) };
    let reaches = |(aggregate, (function, _)): (usize, &(AggregateFunction, Option<usize>))| {
        (*function != ListDistinct).then(|| Condition::Compare {
            aggregate,
            comparison: Comparison::GreaterOrEqual,
            constant: Value::Int(load.threshold + rule as i64),
        })
    };
    let conditions = aggregates.iter().enumerate().filter_map(reaches).collect();
    let window = WindowPlan {
        window,
        keys: 1,
        aggregates: aggregates
            .iter()
            .map(|(function, argument)| Aggregate {
                function: *function,
                argument: *argument,
                filter: None,
            })
            .collect(),
        group: Arc::new(Schema::new(group)),
        layout,
        times: Vec::new(),
        having: None,
        condition: Some(Condition::All(conditions)),
        monotone: true,
        select: vec![column(0, DataType::Utf8), column(2, DataType::Int64)],
    };
    StreamPlan {
        rule: format!("example.keyed_{rule}").into(),
        branches: vec![Branch {
            table: TableName::new("network"),
            filter: Predicate::Constant(Some(true)),
            residual: Vec::new(),
            columns: columns.iter().enumerate().map(|(at, name)| column(at, kinds(name))).collect(),
        }],
        intermediate: Arc::new(Schema::new(intermediate.clone())),
        stage: Stage::Window(window),
        output: Arc::new(Schema::new(vec![intermediate[0].clone(), field("n", DataType::Int64)])),
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
