//! The process may die between any two steps: the same SETs arrive, none is lost, none is made twice.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use sluice_signal::{Level, SigningKeys, Transmitter};

use crate::support::{
    Bench, KEY_ONE, MINUTE, START, everything, http, levels, profile, push_profile, settings,
};

/// A small generator: the seed is in the message of a failure.
struct Random(u64);

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

/// What a receiver has in the end: per `jti`, the level. It acknowledges everything, but answers may be
/// lost and the process may die, as `random` has it.
fn run(seed: u64, kills: bool) -> BTreeMap<String, (String, String)> {
    let mut plan = Random(seed);
    let mut chaos = Random(seed ^ 0xdead);
    let mut bench = Bench::new(vec![push_profile("idp")]);
    let mut received: BTreeMap<String, (String, String)> = BTreeMap::new();
    let mut bytes: BTreeMap<String, String> = BTreeMap::new();
    for _ in 0..60 {
        let who = format!("u{}@example.com", plan.below(4));
        let level = [Level::Low, Level::Medium, Level::High][plan.below(3) as usize];
        bench.raise(&who, level);
        loop {
            if kills && chaos.below(3) == 0 {
                bench.restart();
            }
            let Some((attempt, set)) = bench.pushed() else { break };
            // The same id always has the same content.
            let same = bytes.entry(attempt.jti.clone()).or_insert_with(|| attempt.token.clone());
            assert_eq!(*same, attempt.token, "seed {seed}");
            received.insert(attempt.jti.clone(), levels(&set));
            if kills && chaos.below(3) == 0 {
                // It arrived, but the answer is lost with the process.
                bench.restart();
                continue;
            }
            bench.answer(&attempt, &http(202));
        }
        bench.now += 2 * MINUTE;
    }
    assert_eq!(bench.disk.keys().filter(|k| k.starts_with("row/")).count(), 0, "seed {seed}");
    received
}

#[test]
fn c9_kill_between_any_two_steps_gives_the_same_jti_set() {
    let mut sets = 0;
    for seed in 0..40 {
        let calm = run(seed, false);
        assert_eq!(run(seed, true), calm, "seed {seed}");
        sets += calm.len();
    }
    assert!(sets > 400, "only {sets} SETs in 40 runs");
}

#[test]
fn nothing_is_handed_out_before_it_is_durable() {
    // A change that was not committed is gone after a crash, with its level: no SET without a level.
    let mut bench = Bench::new(vec![push_profile("idp")]);
    let over = sluice_signal::Override {
        level: Level::High,
        reason: "r".into(),
        by: "ann".into(),
        since: START,
        until: START + MINUTE,
    };
    bench.transmitter.raise(&crate::support::user("ann@example.com"), over, START);
    bench.restart();
    assert!(bench.pushed().is_none());
    assert!(bench.transmitter.level(&crate::support::user("ann@example.com")).is_none());
}

#[test]
fn i2_unacknowledged_sets_of_a_poll_come_again_with_the_same_id() {
    let mut bench = Bench::new(vec![profile("one")]);
    let id = bench.create("one", &everything());
    bench.raise("ann@example.com", Level::High);
    let before = bench.poll("one", &id, json!({}))[0].0.clone();
    bench.restart();
    let after = bench.poll("one", &id, json!({}))[0].0.clone();
    assert_eq!(before, after);
    bench.poll("one", &id, json!({"ack": [after]}));
    bench.restart();
    bench.now += 2 * MINUTE;
    assert!(bench.poll("one", &id, json!({})).is_empty());
}

#[test]
fn n7_damage_is_refused_by_name() {
    let mut bench = Bench::new(vec![push_profile("idp"), profile("one")]);
    bench.create("one", &everything());
    bench.raise("ann@example.com", Level::High);
    let (attempt, _) = bench.pushed().unwrap();
    bench.answer(&attempt, &http(202));
    bench.raise("bob@example.com", Level::High);
    let spaces: BTreeSet<String> =
        bench.disk.keys().map(|k| k.split('/').next().unwrap().to_owned()).collect();
    assert_eq!(
        spaces.into_iter().collect::<Vec<_>>(),
        ["entity", "history", "row", "sent", "stream"]
    );
    let load = |disk: BTreeMap<String, Vec<u8>>| {
        let keys = SigningKeys::from_pems([KEY_ONE]).unwrap();
        Transmitter::load(settings(), keys, vec![push_profile("idp")], disk, START)
    };
    load(bench.disk.clone()).unwrap();
    let mut refused = 0;
    for key in bench.disk.keys().filter(|k| !k.starts_with("history/")) {
        for damage in [&b""[..], b"{}x", b"[1]", b"\xff\xff"] {
            let mut disk = bench.disk.clone();
            disk.insert(key.clone(), damage.to_vec());
            assert_eq!(load(disk).unwrap_err().key, *key);
            refused += 1;
        }
        // An entity may have any name.
        if key.starts_with("entity/") {
            continue;
        }
        let mut disk = bench.disk.clone();
        let value = disk.remove(key).unwrap();
        disk.insert(format!("{key}x/y"), value);
        assert!(load(disk).is_err(), "{key} under another key");
    }
    assert!(refused >= 20, "{refused}");
    let mut disk = bench.disk.clone();
    disk.insert("unknown".into(), Vec::new());
    assert_eq!(load(disk).unwrap_err().key, "unknown");
}

#[test]
fn a_receiver_that_the_operator_took_away_gets_nothing() {
    let mut bench = Bench::new(vec![push_profile("idp")]);
    bench.raise("ann@example.com", Level::High);
    let keys = SigningKeys::from_pems([KEY_ONE]).unwrap();
    let mut without =
        Transmitter::load(settings(), keys, vec![profile("idp")], bench.disk.clone(), START)
            .unwrap();
    assert_eq!(without.streams().count(), 0);
    let removed = without.take_changes();
    assert!(removed.iter().all(|c| c.value.is_none()) && removed.len() == 2, "{removed:?}");
}
