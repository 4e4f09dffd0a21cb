//! Feeds: a record per change, none lost and none twice over crashes.

use sluice_event::EntityKind;
use sluice_signal::{
    EntityKey, Level, Quarantine, QuarantineState, Transmitter,
    transmitter::{FeedRecord, Settings},
};

use crate::support::{Bench, MINUTE, START, keys, settings};

fn fed() -> Settings {
    Settings { feeds: vec!["topic".into()], ..settings() }
}

fn pending(bench: &Bench) -> Vec<FeedRecord> {
    bench.transmitter.feed("topic", 100_000)
}

fn told(records: &[FeedRecord]) -> Vec<(&str, Option<&str>)> {
    let level = |r: &FeedRecord| r.value.as_ref().map(|v| v["level"].as_str().unwrap().to_owned());
    let all = records.iter().map(|r| (r.key.as_str(), level(r)));
    all.map(|(key, level)| (key, level.map(|l| &*l.leak()))).collect()
}

#[test]
fn q8_a_record_per_change_and_a_tombstone_at_base() {
    let mut bench = Bench::with(fed(), Vec::new());
    bench.observe("ann", Level::Medium);
    bench.observe("ann", Level::High);
    bench.observe("ann", Level::High);
    bench.observe("ann", Level::Low);
    bench.restart();
    let records = pending(&bench);
    assert_eq!(
        told(&records),
        [("user:ann", Some("medium")), ("user:ann", Some("high")), ("user:ann", None)]
    );
    let value = records[1].value.clone().unwrap();
    assert_eq!((&value["change_no"], &value["previous_level"]), (&2.into(), &"medium".into()));
    assert_eq!(value["reasons"][0], "identity.mfa_fatigue");
    let changes: std::collections::BTreeSet<&str> = records.iter().map(|r| &*r.change).collect();
    assert_eq!(changes.len(), 3);

    bench.transmitter.feed_written("topic", &[records[0].seq, records[1].seq]);
    // Not durable: it comes again, as it was.
    bench.restart();
    assert_eq!(pending(&bench), records);
    bench.transmitter.feed_written("topic", &[records[0].seq, records[1].seq]);
    bench.commit();
    bench.restart();
    assert_eq!(pending(&bench), records[2..]);
}

#[test]
fn q8_a_quarantine_that_changes_no_level_is_a_record() {
    let mut bench = Bench::with(fed(), Vec::new());
    let lap = EntityKey { kind: EntityKind::Device, id: "lap-7".into() };
    let begun = Quarantine {
        state: QuarantineState::Quarantined,
        reason: "r".into(),
        by: "bob".into(),
        since: START,
        until: START + MINUTE,
        denied: 0,
        denied_at: None,
        release: None,
    };
    let now = bench.now;
    bench.transmitter.quarantine(&lap, begun, now).unwrap();
    bench.transmitter.release(&lap, "bob", "r", None, now + 1);
    bench.commit();
    let records = pending(&bench);
    assert_eq!(told(&records), [("device:lap-7", Some("high")), ("device:lap-7", None)]);
    assert_eq!(records[0].value.as_ref().unwrap()["quarantined"], true);
}

#[test]
fn q8_a_feed_begins_with_who_is_raised_and_ends_with_its_records() {
    let mut bench = Bench::new(Vec::new());
    bench.observe("ann", Level::High);
    bench.observe("bob", Level::High);
    bench.observe("bob", Level::Low);
    assert!(pending(&bench).is_empty());
    let load = |settings, disk: &std::collections::BTreeMap<String, Vec<u8>>| {
        Transmitter::load(settings, keys(), Vec::new(), disk.clone(), START).unwrap()
    };
    bench.transmitter = load(fed(), &bench.disk);
    bench.commit();
    assert_eq!(told(&pending(&bench)), [("user:ann", Some("high"))]);
    // Once only.
    bench.transmitter = load(fed(), &bench.disk);
    bench.commit();
    assert_eq!(pending(&bench).len(), 1);
    bench.transmitter = load(settings(), &bench.disk);
    bench.commit();
    let left: Vec<&String> = bench.disk.keys().filter(|k| k.starts_with("fe")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn q8_a_full_feed_keeps_the_newest_of_each() {
    let mut bench = Bench::with(Settings { queue_most: 10, ..fed() }, Vec::new());
    for n in 0..4 {
        for user in ["ann", "bob", "carl"] {
            bench.observe(user, if n % 2 == 0 { Level::High } else { Level::Medium });
        }
    }
    bench.restart();
    let records = pending(&bench);
    assert!(records.len() <= 10, "{}", records.len());
    for user in ["user:ann", "user:bob", "user:carl"] {
        let last = records.iter().rfind(|r| r.key == user).unwrap();
        assert_eq!(last.value.as_ref().unwrap()["change_no"], 4, "{user}");
    }
}
