//! Parts of checkpoints: many keys that come, change and go, saved again and again. What is stored stays
//! in proportion to what there is. That the one who goes on from it says the same is tested by `run`.

use std::{collections::BTreeMap, sync::Arc};

use sluice_event::PartitionId;
use sluice_stream::{
    EmitMode, HistoryStart, Limits, Pace, Shard, ShardOptions, StateEntry, StateError, Window,
};

use crate::{
    model::{Having, Stage},
    run::{Case, RULE, Random, keyed_batch, keyed_row, partition, plan},
};

type Stored = BTreeMap<Vec<u8>, Vec<u8>>;

fn shard(window: Window, index: u32, shards: u32) -> Shard {
    let stage = Stage::Window { window, having: Having::Count(3) };
    let (emit, kept) = (EmitMode::OnMatch, 10_000);
    let case = Case { emit, stage, history: HistoryStart::Always, native: true, kept };
    let (limits, history_start) = (Limits::default(), HistoryStart::Always);
    let options = ShardOptions { index, shards, secret: [7; 16], limits, history_start };
    Shard::new(&[(RULE, Arc::new(plan(&case)))], &[partition(0)], options)
}

fn save(shard: &mut Shard, stored: &mut Stored) {
    for mut entry in shard.export(false) {
        entry.pack();
        match entry.value {
            Some(value) => drop(stored.insert(entry.key, value)),
            None => drop(stored.remove(&entry.key)),
        }
    }
}

fn entries(stored: &Stored) -> Vec<StateEntry> {
    let entry = |(key, value): (&Vec<u8>, &Vec<u8>)| StateEntry {
        key: key.clone(),
        value: Some(value.clone()),
    };
    stored.iter().map(entry).collect()
}

/// The keys of parts, which end with shard and number.
fn parts(stored: &Stored) -> usize {
    stored.keys().filter(|key| key.len() == 18).count()
}

#[test]
fn what_is_stored_stays_in_proportion() {
    let mut random = Random(11);
    for window in
        [Window::Sliding { size: 100 }, Window::Tumble { size: 100 }, Window::Session { gap: 50 }]
    {
        let mut running = shard(window, 0, 1);
        let (mut stored, mut most, mut bytes) = (Stored::new(), 0, 0);
        for round in 0..200_i64 {
            // One key that never rests, some that come again, and many that come once.
            let now = 40 * round;
            let mut rows = vec![keyed_row("always", now)];
            rows.extend((0..10).map(|n| keyed_row(&format!("some{}", random.below(40)), now + n)));
            rows.extend((0..50).map(|n| keyed_row(&format!("once{round}-{n}"), now + n % 30)));
            rows.sort_by_key(|row| row.time);
            running.push(PartitionId(0), &keyed_batch(&rows));
            running.observe(PartitionId(0), now + 39);
            if random.below(2) == 0 {
                running.take(Pace::News);
            }
            save(&mut running, &mut stored);
            most = most.max(parts(&stored));
            // Events of sessions are kept for a day.
            let own = stored.iter().filter(|(key, _)| key.len() == 18);
            bytes = bytes.max(own.map(|(_, value)| value.len()).sum());
            if random.below(20) == 0 {
                running = shard(window, 0, 1);
                assert_eq!(running.import(entries(&stored)), Ok(Vec::new()));
            }
        }
        // Windows and lateness reach over some 10 of the 200 rounds.
        assert!(most <= 40, "{window:?}: {most} parts");
        assert!(bytes < 40_000, "{window:?}: {bytes} bytes");
        running.end(PartitionId(0));
        running.take(Pace::EveryChange);
        save(&mut running, &mut stored);
        save(&mut running, &mut stored);
        assert_eq!(parts(&stored), 0, "{window:?}: of nothing nothing is kept");
    }
}

/// Keys that rest are written again only as those around them go.
#[test]
fn a_key_that_rests_is_not_written_again() {
    let mut running = shard(Window::Sliding { size: 1_000_000 }, 0, 1);
    let rows: Vec<_> = (0..2_000).map(|n| keyed_row(&format!("rests{n}"), n)).collect();
    running.push(PartitionId(0), &keyed_batch(&rows));
    running.observe(PartitionId(0), 2_000);
    running.take(Pace::News);
    let mut stored = Stored::new();
    save(&mut running, &mut stored);
    let mut written = 0;
    for round in 0..100 {
        running.push(PartitionId(0), &keyed_batch(&[keyed_row("busy", 2_001 + round)]));
        running.observe(PartitionId(0), 2_001 + round);
        running.take(Pace::News);
        let saved = running.export(false).into_iter().filter(|e| e.key.len() == 18);
        for StateEntry { key, value } in saved {
            written += value.as_ref().map_or(0, Vec::len);
            match value {
                Some(value) => drop(stored.insert(key, value)),
                None => drop(stored.remove(&key)),
            }
        }
        assert!(parts(&stored) <= 3, "what the busy key had before is gone");
    }
    assert!(written < 100 * 1_500, "{written} bytes for one key");
}

#[test]
fn state_key_by_key_warms_up() {
    let window = Window::Sliding { size: 100 };
    let mut old = shard(window, 0, 1);
    old.push(PartitionId(0), &keyed_batch(&[keyed_row("a", 1), keyed_row("a", 2)]));
    old.observe(PartitionId(0), 2);
    let mut stored = Stored::new();
    save(&mut old, &mut stored);
    let part = stored.keys().find(|key| key.len() == 18).unwrap().clone();
    // As it was: an entry of its own in the virtual node of the key.
    let mut value = vec![1, 5, 0];
    value.extend(crc32c::crc32c(&value).to_be_bytes());
    let alone = [&[0, 9][..], &part[2..10], b"\x05\x01a"].concat();
    stored.remove(&part);
    stored.insert(alone.clone(), value);
    let mut running = shard(window, 0, 1);
    let resets = running.import(entries(&stored)).unwrap();
    assert_eq!(resets.len(), 1);
    assert_eq!((resets[0].rule_index, &resets[0].reason), (RULE, &StateError::KeyByKey));
    assert_eq!(running.stats()[0].keys, 0);
    let gone = running.export(false).into_iter().filter(|e| e.value.is_none());
    assert_eq!(gone.map(|e| e.key).collect::<Vec<_>>(), [alone]);
}
