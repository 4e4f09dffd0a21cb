//! What baselines learned: put where a node goes on from by a warm start, and asked by hunts.

use std::{
    num::NonZeroUsize,
    sync::{Arc, atomic::AtomicBool},
};

use arrow::{
    array::{Array, AsArray},
    datatypes::Float64Type,
};
use sluice_engine::{
    Content, Engine, EngineConfig, History, Lookups, MemorySink, Partition, QueryLimits,
    RunOptions, Unobserved,
    baseline::{StoredBaselines, WarmStart, Warmed, warm_start},
    durable::{FindingStore, Retention},
    history::EventHistory,
    replay::{Dice, Replay, ReplayBuilder},
};
use sluice_event::{PartitionId, TableName, TimeSettings};
use sluice_finding::{Finding, FindingState};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
/// 2026-01-05, a Monday.
const MONDAY: i64 = 20_458 * DAY;
/// In the middle of a day.
const CUT: i64 = MONDAY + 42 * DAY + 12 * HOUR;

const FILE: &str = "/*---
id: baselines.signin
title: Sign-ins
kind: baseline
entity: {user: user_entity}
features:
  country: {kind: categorical, tactic: TA0001}
  device: {kind: categorical}
  hour: {kind: time_of_week}
  port: {kind: numeric}
  logons: {kind: count, windows: [1h, 1d]}
alarm_rate: 0.01
---*/
SELECT time, user_entity, src_country AS country, device_uid AS device, src_port AS port
FROM authentication
";

fn content(folder: &tempfile::TempDir) -> Content {
    let path = folder.path().join("rules/baselines");
    std::fs::create_dir_all(&path).unwrap();
    std::fs::write(path.join("signin.sql"), FILE).unwrap();
    Content::load(&[], &[folder.path().join("rules")]).unwrap()
}

/// Sign-ins of eight people over 45 days, of which those whose time is `wanted`; on the last day but one
/// two come from somewhere else.
fn sign_ins(wanted: impl Fn(i64) -> bool) -> Replay {
    let time = TimeSettings::default();
    let partition =
        |id| Partition { id: PartitionId(id), source: None, name: None, tables: Vec::new(), time };
    let mut builder = ReplayBuilder::new(vec![partition(0), partition(1)]);
    let mut dice = Dice::new(3);
    let mut rows = Vec::new();
    for day in 0..45 {
        for user in 0..8_u64 {
            let strange = day == 43 && user % 4 == 0;
            for _ in 0..1 + dice.below(3) {
                let hour = if strange { 2 } else { 8 + dice.below(9) as i64 };
                let at = MONDAY + day * DAY + hour * HOUR + dice.below(HOUR as usize) as i64;
                let of = |usual: u64| if strange { 90 + (user + usual) % 9 } else { usual };
                rows.push((at, user, of(user % 5), of(user % 7)));
            }
        }
    }
    rows.sort_unstable();
    for (at, user, country, device) in rows.into_iter().filter(|row| wanted(row.0)) {
        let columns = serde_json::json!({
            "user_name": format!("u{user}@example.com"), "src_country": format!("c{country}"),
            "device_uid": format!("d{device}"), "src_port": 40_000 + user * 10,
        });
        let columns = columns.as_object().unwrap().clone().into_iter().collect();
        let table = TableName::new("authentication");
        builder.row(PartitionId((user % 2) as u32), &table, at, &columns).unwrap();
    }
    builder.finish().unwrap()
}

fn config(shards: usize) -> EngineConfig {
    EngineConfig {
        workers: NonZeroUsize::MIN,
        shards: NonZeroUsize::new(shards).unwrap(),
        history: History::None,
        ..EngineConfig::default()
    }
}

/// Runs to the end of the rows; what was found, by id.
fn run(content: &Content, store: Option<&FindingStore>, replay: &Replay) -> Vec<Finding> {
    let order: Vec<usize> = (0..replay.rows.len()).collect();
    let mut source = replay.source(&order, &[], true).unwrap();
    let rules = Arc::new(content.rule_set());
    let engine = Engine { rules, sources: Vec::new(), config: config(2) };
    let mut sink = MemorySink::default();
    let resume = store.map(|store| store.checkpoint().unwrap().unwrap());
    let options = RunOptions { resume, ..RunOptions::default() };
    engine.run(&mut source, &mut sink, &Unobserved, options).unwrap();
    let all = sink.findings().values().filter(|f| f.state != FindingState::Withdrawn);
    all.map(|f| Finding { revision: 1, ..f.clone() }).collect()
}

fn warm(content: &Content, store: &FindingStore, replace: bool, stop: bool) -> Warmed {
    let replay = sign_ins(|time| time < CUT);
    let order: Vec<usize> = (0..replay.rows.len()).collect();
    let mut source = replay.source(&order, &[], true).unwrap();
    let stop = Arc::new(AtomicBool::new(stop));
    let warm = WarmStart { content, config: config(1), store, replace, stop };
    warm_start(warm, &mut source, &Unobserved).unwrap()
}

fn open(folder: &tempfile::TempDir) -> FindingStore {
    FindingStore::open(&folder.path().join("store"), Retention::default()).unwrap()
}

#[test]
fn g8_after_a_warm_start_the_same_is_unusual_as_after_a_stream() {
    let folder = tempfile::tempdir().unwrap();
    let (content, store) = (content(&folder), open(&folder));
    let after = |findings: Vec<Finding>| -> Vec<Finding> {
        findings.into_iter().filter(|finding| finding.time >= CUT + DAY / 2).collect()
    };
    let expected = after(run(&content, None, &sign_ins(|_| true)));
    assert!(expected.len() >= 2, "{expected:?}");

    let warmed = warm(&content, &store, false, false);
    assert_eq!(warmed.entities, [("baselines.signin".into(), 8)]);
    assert!(!warmed.is_stopped && warmed.known.is_empty());
    // The files overlap with the stream by half a day: what comes again counts once.
    let found = run(&content, Some(&store), &sign_ins(|time| time >= CUT - 6 * HOUR));
    assert!(found.iter().all(|f| f.time >= MONDAY + 42 * DAY), "nothing of the time before");
    assert_eq!(after(found), expected);
}

#[test]
fn g8_what_was_learned_is_replaced_only_on_demand_and_kept_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let (content, store) = (content(&folder), open(&folder));
    assert!(warm(&content, &store, false, true).is_stopped);
    assert!(store.checkpoint().unwrap().is_none(), "a stopped warm start keeps nothing");

    assert_eq!(warm(&content, &store, false, false).known, []);
    let first = store.checkpoint().unwrap().unwrap();
    let again = warm(&content, &store, false, false);
    assert_eq!(again.known, ["baselines.signin".into()]);
    assert_eq!(store.checkpoint().unwrap().unwrap().state, first.state);

    assert_eq!(warm(&content, &store, true, false).known, []);
    assert_eq!(store.checkpoint().unwrap().unwrap().state, first.state, "the same files");
}

/// A history whose hunts ask what a store holds.
fn hunts(content: &Content, store: &FindingStore) -> EventHistory {
    let history = EventHistory::new(1 << 20);
    let secret = EngineConfig::default().vnode_secret;
    let known = StoredBaselines::new(content, store.clone(), &secret);
    history.know(&Lookups::default().with_baselines(Arc::new(known)));
    history
}

fn texts(history: &EventHistory, sql: &str) -> Vec<String> {
    let found = history.hunt(sql, QueryLimits::default()).unwrap_or_else(|e| panic!("{sql}: {e}"));
    let mut rows = Vec::new();
    for batch in &found.result.batches {
        let column = arrow::compute::cast(batch.column(0), &arrow::datatypes::DataType::Utf8);
        let column = column.unwrap();
        let text = column.as_string::<i32>();
        rows.extend((0..text.len()).map(|row| text.value(row).to_owned()));
    }
    rows
}

fn number(history: &EventHistory, sql: &str) -> f64 {
    let found = history.hunt(sql, QueryLimits::default()).unwrap_or_else(|e| panic!("{sql}: {e}"));
    found.result.batches[0].column(0).as_primitive::<Float64Type>().value(0)
}

#[test]
fn f4_hunts_read_what_a_baseline_knows() {
    let folder = tempfile::tempdir().unwrap();
    let (content, store) = (content(&folder), open(&folder));
    let history = hunts(&content, &store);
    let all = "SELECT DISTINCT entity FROM baseline.signin ORDER BY entity";
    assert_eq!(texts(&history, all), [] as [&str; 0], "nothing is known yet");

    warm(&content, &store, false, false);
    let everybody: Vec<String> = (0..8).map(|user| format!("u{user}@example.com")).collect();
    assert_eq!(texts(&history, all), everybody);
    let of_ann = |columns: &str, rest: &str| {
        format!("SELECT {columns} FROM baseline.signin WHERE entity = 'u1@example.com' AND {rest}")
    };
    assert_eq!(texts(&history, &of_ann("value", "feature = 'country'")), ["c1"]);
    assert_eq!(texts(&history, &of_ann("DISTINCT state", "count > 0")), ["confident"]);
    let share = number(&history, &of_ann("share", "feature = 'country'"));
    assert!((share - 1.0).abs() < 1e-6, "{share}");
    let in_all = number(&history, &of_ann("org_share", "feature = 'country'"));
    assert!((0.15..0.35).contains(&in_all), "two of eight have it: {in_all}");
    let windows = of_ann("count(*)", "feature = 'logons' AND share IS NULL AND count >= 1");
    assert!(texts(&history, &windows)[0].parse::<u32>().unwrap() > 2);
    // Which entities are read does not change what is true of the rows.
    let some = "SELECT count(DISTINCT entity) FROM baseline.signin \
                WHERE entity IN ('u1@example.com', 'u2@example.com', 'nobody') \
                AND entity <> 'u2@example.com'";
    assert_eq!(texts(&history, some), ["1"]);
}

#[test]
fn f2_hunts_ask_how_unusual_a_value_would_be() {
    let folder = tempfile::tempdir().unwrap();
    let (content, store) = (content(&folder), open(&folder));
    warm(&content, &store, false, false);
    let history = hunts(&content, &store);
    let surprise = |feature: &str, entity: &str, value: &str| {
        number(&history, &format!("SELECT surprise('signin', '{feature}', '{entity}', {value})"))
    };
    let usual = surprise("country", "u1@example.com", "'c1'");
    let unusual = surprise("country", "u1@example.com", "'c2'");
    assert!(usual < 0.5 && unusual > usual + 1.0, "{usual} {unusual}");
    let stranger = surprise("country", "nobody@example.com", "'c2'");
    assert!(stranger < unusual, "of whom nothing is known nothing is unusual: {stranger}");
    let night = surprise("hour", "u1@example.com", "TIMESTAMP '2026-03-03T02:30:00Z'");
    let noon = surprise("hour", "u1@example.com", "TIMESTAMP '2026-03-03T12:30:00Z'");
    assert!(night > noon, "{night} {noon}");
    let (known, other) =
        (surprise("port", "u1@example.com", "40010"), surprise("port", "u1@example.com", "7"));
    assert!(other > known, "{other} {known}");
    // By the id of the baseline too, and over rows.
    let rows = "SELECT surprise('baselines.signin', 'device', entity, 'd6') \
                FROM (SELECT DISTINCT entity FROM baseline.signin) AS e";
    assert_eq!(texts(&history, rows).len(), 8);
}

#[test]
fn what_cannot_be_asked_is_said_with_what_can() {
    let folder = tempfile::tempdir().unwrap();
    let (content, store) = (content(&folder), open(&folder));
    let history = hunts(&content, &store);
    let wrong = |call: &str| {
        let asked = history.hunt(&format!("SELECT {call}"), QueryLimits::default());
        asked.expect_err(call).to_string()
    };
    for (call, says) in [
        ("surprise('singin', 'country', 'u1', 'c1')", "did you mean `signin`?"),
        ("surprise('signin', 'contry', 'u1', 'c1')", "did you mean `country`?"),
        ("surprise('signin', 'logons', 'u1', 3)", "counts rows of a window"),
        ("surprise('signin', 'port', 'u1', 'c1')", "a value of `port` is a number"),
        ("surprise('signin', 'hour', 'u1', 3)", "a value of `hour` is a time"),
        ("surprise('signin', feature, entity, value) FROM baseline.signin", "takes the names"),
        ("surprise('signin', 'country', 'u1')", "takes 4 arguments"),
        ("value FROM baseline.signing", "baseline.signin"),
    ] {
        let said = wrong(call);
        assert!(said.contains(says), "{call}: {said}");
    }
}
