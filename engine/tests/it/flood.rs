//! A flood of one key does not hide what happens beside it: conditions that a later row can make false
//! again find before, within and after more rows than are kept one by one what DataFusion finds in
//! batch, cut, on 1 to 3 shards, saved and restored. `SLUICE_FLOOD_ROWS` sets how many rows.
//!
//! Of findings that grow with every row, in a flood of one key and in a spray in which every key fires,
//! what is said in the end is what batch says, however seldom it is said on the way.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use sluice_engine::{
    Content, History, Partition,
    replay::{Dice, Replay, ReplayBuilder},
    rule_test::{Bench, Way, agree},
};
use sluice_event::{PartitionId, TableName, TimeSettings};
use sluice_finding::{FindingId, FindingState};

/// 2026-01-01T00:00:00Z, a boundary of every window used.
const BASE: i64 = 1_767_225_600_000;

#[test]
fn flood_does_not_hide_a_condition_that_can_turn_false() {
    let rows = std::env::var("SLUICE_FLOOD_ROWS").ok().and_then(|n| n.parse().ok());
    let rows = rows.unwrap_or(10_200);
    let content = Content::load(&[], &[]).unwrap();
    let order = "count(*) FILTER (WHERE status = 'Failure') >= 3 \
                 AND max(time) FILTER (WHERE status = 'Success') > max(time) FILTER (WHERE status = 'Failure')";
    let exactly = "count(*) FILTER (WHERE status = 'Failure') = 3 \
                   AND count(*) FILTER (WHERE status = 'Success') >= 1";
    let cases = [
        // The tool goes on after it got in.
        ("sliding(time, INTERVAL '10 minutes')", order, "Failure", [1, 2, 3, 4]),
        // Three refusals, a flood of something else, and a success.
        ("sliding(time, INTERVAL '10 minutes')", exactly, "Unknown", [1, 2, 3, 100_000]),
        ("session(time, INTERVAL '2 minutes')", exactly, "Unknown", [1, 50_001, 50_002, 100_000]),
    ];
    for (window, having, flood, attack) in cases {
        let text = format!(
            "/*---\nid: flood.case\ntitle: Generated\nseverity: low\n---*/\n\
             SELECT user_name, count(*) FILTER (WHERE status = 'Failure') AS failures\n\
             FROM authentication\nWHERE user_name IS NOT NULL\n\
             GROUP BY user_name, {window}\nHAVING {having}\n"
        );
        let rule = content.compile("flood/case.sql", &text).unwrap();
        let replay = replay(rows, flood, attack);
        let bench = Bench::new(&content, &rule, History::None);
        let all: Vec<usize> = (0..replay.rows.len()).collect();
        let batch: BTreeSet<FindingId> = bench.batch(&replay, &all).unwrap().into_keys().collect();
        assert!(!batch.is_empty(), "{window}: batch finds nothing");
        let whole = Way::whole(&all);
        let cuts: Vec<usize> = (0..rows).step_by(700).collect();
        for way in [
            whole.clone(),
            Way { cuts: cuts.clone(), shards: 3, workers: 2, ..whole.clone() },
            Way { cuts, shards: 2, restart_after: Some(9), ..whole },
        ] {
            let found = bench.run(&replay, &way).unwrap();
            let stands = found.iter().filter(|(_, f)| f.state != FindingState::Withdrawn);
            let stands: BTreeSet<FindingId> = stands.map(|(id, _)| *id).collect();
            assert_eq!(stands, batch, "{window}, {} shards", way.shards);
        }
    }
}

#[test]
fn findings_that_grow_with_every_row_end_as_batch_says() {
    let content = Content::load(&[], &[]).unwrap();
    let growing = "count(*) FILTER (WHERE status = 'Failure') >= 3";
    let distinct = "count(DISTINCT src_ip) >= 2 AND count(*) >= 5";
    let turning = "count(*) FILTER (WHERE status = 'Failure') >= 3 \
                   AND count(*) FILTER (WHERE status = 'Success') < 40";
    let windows = [
        "sliding(time, INTERVAL '5 minutes')",
        "tumble(time, INTERVAL '5 minutes')",
        "hop(time, INTERVAL '5 minutes', INTERVAL '10 minutes')",
        "session(time, INTERVAL '1 minutes')",
    ];
    // Users, rows of each, and about how many milliseconds between two rows.
    let loads = [("flood", 1, 600, 600), ("spray", 50, 12, 600)];
    let mut seed = 0;
    for (load, users, each, step) in loads {
        for window in windows {
            for having in [growing, distinct, turning] {
                seed += 1;
                let text = format!(
                    "/*---\nid: flood.case\ntitle: Generated\nseverity: low\n---*/\n\
                     SELECT user_name, count(*) AS n, count(DISTINCT src_ip) AS ips, \
                     count(*) FILTER (WHERE status = 'Failure') AS failures, \
                     min(time) AS first_time, max(time) AS last_time, \
                     array_agg(DISTINCT status) AS statuses\n\
                     FROM authentication\nWHERE user_name IS NOT NULL\n\
                     GROUP BY user_name, {window}\nHAVING {having}\n"
                );
                let rule = content.compile("flood/case.sql", &text).unwrap();
                let bench = Bench::new(&content, &rule, History::None);
                let replay = busy(users, each, step, &mut Dice::new(seed));
                let agreement = agree(&bench, &replay, seed, false).unwrap();
                let failures = agreement.failures;
                assert!(failures.is_empty(), "{load}, {window}, {having}: {}", failures.join("\n"));
                let some = having == turning || agreement.findings * 2 >= users;
                assert!(some, "{load}, {window}, {having}: {} findings", agreement.findings);
            }
        }
    }
}

/// Rows of each user in a random order, some of them late, from two addresses.
fn busy(users: usize, each: usize, step: i64, dice: &mut Dice) -> Replay {
    let table = TableName::new("authentication");
    let time = TimeSettings { delay: 10_000, lateness: 120_000, ..TimeSettings::default() };
    let tables = vec![table.clone()];
    let partition = Partition { id: PartitionId(0), source: None, name: None, tables, time };
    let mut builder = ReplayBuilder::new(vec![partition]);
    for row in 0..users * each {
        let back = if dice.one_in(6) { dice.below(100_000) as i64 } else { 0 };
        let status = ["Failure", "Failure", "Failure", "Success"][dice.below(4)];
        let address = ["192.0.2.1", "192.0.2.2"][dice.below(2)];
        let columns = BTreeMap::from([
            ("user_name".to_owned(), json!(format!("user-{}", dice.below(users)))),
            ("src_ip".to_owned(), json!(address)),
            ("status".to_owned(), json!(status)),
        ]);
        let time = BASE + row as i64 * step - back;
        builder.row(PartitionId(0), &table, time, &columns).unwrap();
    }
    builder.finish().unwrap()
}

/// Rows of one user: three refusals and a success, and between 10 s and 90 s the flood.
fn replay(rows: usize, flood: &str, attack: [i64; 4]) -> Replay {
    let table = TableName::new("authentication");
    let time = TimeSettings { delay: 10_000, lateness: 600_000, ..TimeSettings::default() };
    let tables = vec![table.clone()];
    let partition = Partition { id: PartitionId(0), source: None, name: None, tables, time };
    let mut builder = ReplayBuilder::new(vec![partition]);
    let statuses = ["Failure", "Failure", "Failure", "Success"];
    let attack = attack.into_iter().zip(statuses);
    let flood = (0..rows as i64).map(|n| (10_000 + n * 80_000 / rows as i64, flood));
    let mut all: Vec<(i64, &str)> = attack.chain(flood).collect();
    all.sort_by_key(|(time, _)| *time);
    for (time, status) in all {
        let columns = BTreeMap::from([
            ("user_name".to_owned(), json!("ann")),
            ("status".to_owned(), json!(status)),
        ]);
        builder.row(PartitionId(0), &table, BASE + time, &columns).unwrap();
    }
    builder.finish().unwrap()
}
