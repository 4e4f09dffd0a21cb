//! Rules that share the rows of a key find what each finds alone, through restarts with other rules
//! beside them.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{ArrayRef, new_null_array},
    datatypes::{DataType, Field, Schema},
    record_batch::RecordBatch,
};
use sluice_event::{Encoder, Eval, EvalError, EventUid, PartitionId, Value};
use sluice_stream::{
    Change, EmitMode, HistoryStart, KeyedBatch, KeyedRow, Limits, Pace, Shard, ShardOptions, Stage,
    StateEntry, StreamPlan, Window,
};

use crate::{
    model::{self, Finding, Having},
    run::{Case, PACES, Random, finding, partition, plan},
};

/// An intermediate column with an identity.
#[derive(Debug)]
struct Column(u64);

impl Eval for Column {
    fn eval(&self, batch: &RecordBatch) -> Result<ArrayRef, EvalError> {
        Ok(new_null_array(&DataType::Null, batch.num_rows()))
    }

    fn output(&self) -> &DataType {
        &DataType::Null
    }

    fn sql(&self) -> &str {
        "test"
    }

    fn id(&self) -> Option<u64> {
        Some(self.0)
    }
}

/// A threshold; its filter is column 3 or 4.
fn rule(number: usize, random: &mut Random) -> StreamPlan {
    let emit = [EmitMode::OnMatch, EmitMode::OnMatch, EmitMode::OnWatermark, EmitMode::OnClose]
        [random.below(4) as usize];
    let (n, m) = (random.below(6) as i64 + 1, random.below(3) as i64 + 1);
    let having = match random.below(4) {
        0 => Having::Count(n),
        1 => Having::Distinct(m),
        2 => Having::CountAndDistinct(n, m),
        _ => Having::FilteredAtLeast(m),
    };
    let window = Window::Sliding { size: [37, 100, 148][random.below(3) as usize] };
    let stage = model::Stage::Window { window, having };
    let history = HistoryStart::Always;
    let mut plan = plan(&Case { emit, stage, history, native: true, kept: Case::ALL });
    plan.rule = format!("test.rule_{number}").into();
    let filter = 3 + random.below(2) as usize;
    if let Stage::Window(window) = &mut plan.stage {
        window.aggregates[7].filter = Some(filter);
    }
    plan.branches[0].columns = (0..5).map(|id| Arc::new(Column(id)) as Arc<dyn Eval>).collect();
    plan
}

/// A row and the rules that want it.
type Wanted = (KeyedRow, u64);

/// `step`: one more than the greatest distance of two rows.
fn rows(count: usize, rules: usize, step: u64, random: &mut Random) -> Vec<Wanted> {
    let mut now = 0;
    let mut all: Vec<Wanted> = Vec::new();
    for _ in 0..count {
        if random.below(15) == 0 && !all.is_empty() {
            let again = all[random.below(all.len() as u64) as usize].clone();
            if again.0.time >= now - 150 {
                all.push(again);
            }
            continue;
        }
        now += random.below(step) as i64;
        let back = if random.below(5) == 0 { random.below(150) as i64 } else { 0 };
        let mut key = Encoder::default();
        let user = format!("user{}", random.below(2));
        key.text(&user);
        let truth = |random: &mut Random| {
            [Value::Null, Value::Bool(true), Value::Bool(false)][random.below(3) as usize].clone()
        };
        let (one, other) = (truth(random), truth(random));
        let row = KeyedRow {
            time: now - back,
            uid: EventUid {
                bits: u128::from(random.below(u64::MAX)),
                native: random.below(2) == 0,
            },
            late: false,
            time_flags: sluice_event::TimeFlags::NONE,
            key: key.into_bytes(),
            values: vec![
                Value::Text(user.into()),
                Value::Text(format!("x{}", random.below(4)).into()),
                Value::Float(random.below(40) as f64),
                one,
                other,
            ],
            packed: Vec::new(),
        };
        all.push((row, random.below(1 << rules)));
    }
    all
}

fn shard(plans: &[(usize, Arc<StreamPlan>)], kept: usize) -> Shard {
    let limits = Limits { window_events_max: kept, ..Limits::default() };
    let history_start = HistoryStart::Always;
    let options = ShardOptions { index: 0, shards: 1, secret: [0; 16], limits, history_start };
    Shard::new(plans, &[partition(0)], options)
}

type Net = BTreeMap<(usize, Vec<u8>), Finding>;

/// What `plans` find, restarted now and then, with the rules in another order each time.
fn net(
    plans: &[(usize, Arc<StreamPlan>)],
    rows: &[Wanted],
    kept: usize,
    mut random: Random,
) -> (Net, u64) {
    let schema = Arc::new(Schema::new(vec![Field::new("row", DataType::Utf8, true)]));
    let (mut net, mut store) = (Net::new(), BTreeMap::<Vec<u8>, Vec<u8>>::new());
    let mut plans = plans.to_vec();
    let mut running = shard(&plans, kept);
    let mut seen = i64::MIN;
    let mut thinned = 0;
    let mut take = |running: &mut Shard, pace| {
        for e in running.take(pace) {
            match e.change {
                Change::Upsert(_) => {
                    let mut finding = finding(&e);
                    let key = (e.rule_index, e.key);
                    if let Some(known) = net.get(&key).filter(|_| finding.evidence.is_empty()) {
                        finding.evidence.clone_from(&known.evidence);
                    }
                    net.insert(key, finding);
                }
                Change::Withdraw => drop(net.remove(&(e.rule_index, e.key))),
            }
        }
    };
    for part in rows.chunks(7) {
        let of = |rule: usize| {
            let own = part.iter().enumerate().filter(|(_, (_, mask))| mask >> rule & 1 == 1);
            (rule, own.map(|(at, _)| at).collect::<Vec<usize>>())
        };
        let wanted: Vec<_> = plans.iter().map(|(rule, _)| of(*rule)).collect();
        let keyed: Vec<KeyedRow> = part.iter().map(|(row, _)| row.clone()).collect();
        running.push(PartitionId(0), &KeyedBatch::of_rules(schema.clone(), &keyed, &wanted));
        seen = part.iter().map(|(row, _)| row.time).max().unwrap().max(seen);
        running.observe(PartitionId(0), seen);
        if random.below(2) == 0 {
            take(&mut running, PACES[random.below(3) as usize]);
        }
        if random.below(6) == 0 {
            take(&mut running, PACES[random.below(3) as usize]);
            for StateEntry { key, value } in running.export(false) {
                match value {
                    Some(value) => drop(store.insert(key, value)),
                    None => drop(store.remove(&key)),
                }
            }
            if random.below(2) == 0 {
                thinned += running.stats().iter().map(|s| s.truncated).sum::<u64>();
                let at = random.below(plans.len() as u64) as usize;
                plans.rotate_left(at);
                running = shard(&plans, kept);
                let entries = store.iter();
                let entries =
                    entries.map(|(k, v)| StateEntry { key: k.clone(), value: Some(v.clone()) });
                assert_eq!(running.import(entries.collect()), Ok(Vec::new()));
            }
        }
    }
    running.end(PartitionId(0));
    take(&mut running, Pace::EveryChange);
    let stats = running.stats();
    assert!(stats.iter().all(|s| s.keys == 0 && s.failures.rows == 0));
    thinned += stats.iter().map(|s| s.truncated).sum::<u64>();
    (net, thinned)
}

#[test]
fn rules_that_share_rows_find_what_each_finds_alone() {
    let mut found = 0;
    for seed in crate::seeds() {
        let mut random = Random(seed ^ 0x5a5e);
        let count = random.below(5) as usize + 2;
        let plans: Vec<_> =
            (0..count).map(|number| (number, Arc::new(rule(number, &mut random)))).collect();
        let rows = rows(60, count, 12, &mut random);
        let (together, _) = net(&plans, &rows, Case::ALL, Random(seed));
        for plan in &plans {
            let (alone, _) = net(std::slice::from_ref(plan), &rows, Case::ALL, Random(seed + 1));
            let own = together.iter().filter(|((rule, _), _)| *rule == plan.0);
            let own: Net = own.map(|(key, finding)| (key.clone(), finding.clone())).collect();
            assert_eq!(own, alone, "seed {seed}, rule {} of {count}: {:?}", plan.0, plan.1.stage);
            found += alone.len();
        }
    }
    assert!(found > 500 || std::env::var("WINDOWS_SEED").is_ok(), "{found} prove too little");
}

/// Whatever is thinned for all rules of a family at once, each fires in the same cells.
#[test]
fn rules_that_share_rows_are_thinned_to_what_each_needs() {
    let mut thinned = 0;
    for seed in crate::seeds().into_iter().step_by(4) {
        let mut random = Random(seed ^ 0x7411);
        let count = random.below(3) as usize + 2;
        let plans: Vec<_> =
            (0..count).map(|number| (number, Arc::new(rule(number, &mut random)))).collect();
        let rows = rows(600, count, 2, &mut random);
        let (all, _) = net(&plans, &rows, Case::ALL, Random(seed));
        let (few, dropped) = net(&plans, &rows, 40, Random(seed));
        assert_eq!(all.keys().collect::<Vec<_>>(), few.keys().collect::<Vec<_>>(), "seed {seed}");
        thinned += dropped;
    }
    assert!(thinned > 1_000 || std::env::var("WINDOWS_SEED").is_ok(), "{thinned}: too little");
}
