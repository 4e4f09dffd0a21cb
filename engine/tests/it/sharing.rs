//! Threshold rules with the same key keep its rows together: each finds what it finds alone, however
//! the stream comes and through a restart. Half of the streams are the same in every run, the other
//! half come from a seed of the moment, which is printed (`SLUICE_ORACLE_SEED` runs one).

use std::{collections::BTreeMap, num::NonZeroUsize, sync::Arc};

use serde_json::{Value, json};
use sluice_engine::{
    Content, Engine, EngineConfig, History, LoadedRule, MemorySink, Partition, RuleSet, RunOptions,
    Unobserved,
    replay::{Dice, Replay, ReplayBuilder},
    rule_test::{Bench, Way},
};
use sluice_event::{PartitionId, TableName, TimeSettings};
use sluice_finding::{Finding, FindingId, FindingState};

const STREAMS: u64 = 12;
const FIXED_SEED: u64 = 7_001;

#[test]
fn rules_with_the_same_key_find_together_what_each_finds_alone() {
    let seeds: Vec<u64> = match std::env::var("SLUICE_ORACLE_SEED").map(|s| s.parse()) {
        Ok(Ok(seed)) => vec![seed],
        _ => {
            let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as u64 % 1_000_000;
            (0..STREAMS / 2).flat_map(|n| [FIXED_SEED + n, 1_000_000 + now + n]).collect()
        }
    };
    println!("sharing: seeds {seeds:?}");
    let content = Content::load(&[], &[]).unwrap();
    let rules = rules(&content);
    let mut found = 0;
    for seed in seeds {
        let mut dice = Dice::new(seed);
        let replay = events(&mut dice, true);
        let order: Vec<usize> = (0..replay.rows.len()).collect();
        let together = together(&content, &rules, &replay, &order, &mut dice);
        for rule in &rules {
            let bench = Bench::new(&content, rule, History::None);
            let alone = net(bench.run(&replay, &Way::whole(&order)).unwrap());
            let id = &rule.plan.rule;
            let own: BTreeMap<_, _> = together
                .iter()
                .filter(|(_, f)| f.rule_id == *id)
                .map(|(id, f)| (*id, f.clone()))
                .collect();
            assert_eq!(own, alone, "seed {seed}, {id}");
            found += alone.len();
        }
    }
    assert!(found > 300, "{found} findings prove too little");
}

/// Filters, thresholds and lengths in every combination; all with the same key.
fn rules(content: &Content) -> Vec<LoadedRule> {
    let filters = [
        "user_name IS NOT NULL",
        "status <> 'Unknown'",
        "src_country = 'NL' OR status IN ('Failure', 'Success')",
        "src_port > 40",
    ];
    let havings = [
        "count(*) >= 3",
        "count(DISTINCT src_ip) >= 2",
        "count(*) FILTER (WHERE status = 'Failure') >= 2 AND count(*) FILTER (WHERE status = 'Success') >= 1",
        "count(*) FILTER (WHERE src_country = 'DE') >= 2 OR max(src_port) > 90",
        // Not a threshold: it shares nothing.
        "count(*) BETWEEN 2 AND 4",
    ];
    let mut rules = Vec::new();
    for (f, filter) in filters.iter().enumerate() {
        for (h, having) in havings.iter().enumerate() {
            for minutes in [5, 10] {
                let text = format!(
                    "/*---\nid: sharing.r{f}_{h}_{minutes}\ntitle: Generated\nseverity: low\n---*/\n\
                     SELECT user_name, count(*) AS n, count(DISTINCT src_ip) AS ips, \
                     min(time) AS first_time, max(time) AS last_time\n\
                     FROM authentication\nWHERE {filter}\n\
                     GROUP BY user_name, sliding(time, INTERVAL '{minutes} minutes')\n\
                     HAVING {having}\n"
                );
                let file = format!("sharing/r{f}_{h}_{minutes}.sql");
                rules.push(content.compile(&file, &text).unwrap());
            }
        }
    }
    rules
}

/// All rules at once, cut at random, on several threads, stopped and resumed.
fn together(
    content: &Content,
    rules: &[LoadedRule],
    replay: &Replay,
    order: &[usize],
    dice: &mut Dice,
) -> BTreeMap<FindingId, Finding> {
    let set = RuleSet::new(rules.to_vec(), |table| content.compiler.schema(table));
    let threads = |n| NonZeroUsize::new(n).unwrap();
    let engine = Engine {
        rules: Arc::new(set),
        sources: Vec::new(),
        config: EngineConfig {
            workers: threads(1 + dice.below(2)),
            shards: threads(1 + dice.below(3)),
            history: History::None,
            ..EngineConfig::default()
        },
    };
    let cuts: Vec<usize> = (0..order.len()).filter(|_| dice.one_in(4)).collect();
    let mut source = replay.source(order, &cuts, true).unwrap();
    let mut sink = MemorySink::default();
    let stop_after = Some(1 + dice.below(cuts.len().max(1)) as u64);
    let first = RunOptions { stop_after, ..RunOptions::default() };
    engine.run(&mut source, &mut sink, &Unobserved, first).unwrap();
    if let Some(resume) = sink.take_checkpoint() {
        let rest = RunOptions { resume: Some(resume), ..RunOptions::default() };
        engine.run(&mut source, &mut sink, &Unobserved, rest).unwrap();
    }
    net(sink.findings().clone())
}

/// What stands, without marks of arrival.
fn net(findings: BTreeMap<FindingId, Finding>) -> BTreeMap<FindingId, Finding> {
    let stands = findings.into_iter().filter(|(_, f)| f.state != FindingState::Withdrawn);
    stands.map(|(id, f)| (id, Finding { late: false, revision: 0, ..f })).collect()
}

/// 2026-01-01T00:00:00Z.
const BASE: i64 = 1_767_225_600_000;

/// `ids`: whether half of them have native ids.
fn events(dice: &mut Dice, ids: bool) -> Replay {
    let table = TableName::new("authentication");
    let time = TimeSettings { delay: 10_000, lateness: 300_000, ..TimeSettings::default() };
    let partition = Partition {
        id: PartitionId(0),
        source: None,
        name: None,
        tables: vec![table.clone()],
        time,
    };
    let mut builder = ReplayBuilder::new(vec![partition]);
    let mut now = BASE;
    for row in 0..80 {
        now += [0, 1_000, 20_000, 60_000, 300_000][dice.below(5)];
        let late = if dice.one_in(5) { dice.below(300_000) as i64 } else { 0 };
        let pick = |dice: &mut Dice, from: &[&str]| json!(from[dice.below(from.len())]);
        let mut columns = BTreeMap::from([
            ("user_name".to_owned(), pick(dice, &["ann", "bob"])),
            ("src_ip".to_owned(), pick(dice, &["10.0.0.1", "10.0.0.2", "192.0.2.1"])),
            ("src_country".to_owned(), pick(dice, &["NL", "DE"])),
            ("status".to_owned(), pick(dice, &["Success", "Failure", "Unknown"])),
            ("src_port".to_owned(), json!(dice.below(100))),
        ]);
        if ids && dice.one_in(2) {
            columns.insert("native_uid".to_owned(), json!(format!("id-{row}")));
        }
        if dice.one_in(6) {
            columns.insert("src_ip".to_owned(), Value::Null);
        }
        builder.row(PartitionId(0), &table, now - late, &columns).unwrap();
    }
    builder.finish().unwrap()
}

/// A row that passes two arms of a UNION ALL over one table is two rows of the rule.
#[test]
fn row_that_comes_by_two_arms_counts_twice() {
    let content = Content::load(&[], &[]).unwrap();
    let text = "/*---\nid: sharing.arms\ntitle: Generated\nseverity: low\n---*/\n\
                SELECT user_name, count(*) AS n\n\
                FROM (SELECT user_name, time FROM authentication WHERE status = 'Failure' \
                UNION ALL SELECT user_name, time FROM authentication WHERE src_port > 40) AS both_arms\n\
                GROUP BY user_name, sliding(time, INTERVAL '5 minutes')\n\
                HAVING count(*) >= 3\n";
    let rule = content.compile("sharing/arms.sql", text).unwrap();
    let bench = Bench::new(&content, &rule, History::None);
    let mut found = 0;
    for seed in 0..6 {
        let replay = events(&mut Dice::new(FIXED_SEED + seed), false);
        let order: Vec<usize> = (0..replay.rows.len()).collect();
        let stream = net(bench.run(&replay, &Way::whole(&order)).unwrap());
        let batch = bench.batch(&replay, &order).unwrap();
        let counts = |n: Option<&Value>| n.and_then(Value::as_i64);
        let stream: BTreeMap<_, _> =
            stream.iter().map(|(id, f)| (*id, counts(f.fields.get("n")))).collect();
        let batch: BTreeMap<_, _> =
            batch.iter().map(|(id, fields)| (*id, counts(fields.get("n")))).collect();
        assert_eq!(stream, batch, "seed {seed}");
        found += stream.len();
    }
    assert!(found > 10, "{found} findings prove too little");
}
