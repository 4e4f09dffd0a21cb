//! What happens at the limits of state: nothing silently, and no threshold that is missed.

use std::sync::Arc;

use sluice_event::{EventUid, PartitionId, TimeFlags, Value};
use sluice_stream::{
    Bound, Cap, Change, Emission, EmitMode, FindingState, HistoryStart, KeyedRow, Limits, Pace,
    Shard, ShardOptions, StateEntry, StateError, Window,
};

use crate::{
    model::{Having, Stage},
    run::{Case, RULE, keyed_batch, keyed_row, partition, plan},
};

fn new(window: Window, having: Having, emit: EmitMode, limits: Limits) -> Shard {
    let stage = Stage::Window { window, having };
    let kept = limits.window_events_max;
    let case = Case { emit, stage, history: HistoryStart::Always, native: true, kept };
    Shard::new(&[(RULE, Arc::new(plan(&case)))], &[partition(0)], options(limits))
}

fn options(limits: Limits) -> ShardOptions {
    let history_start = HistoryStart::Always;
    ShardOptions { index: 0, shards: 1, secret: [0; 16], limits, history_start }
}

fn shard(limits: Limits) -> Shard {
    new(Window::Sliding { size: 100 }, Having::Count(3), EmitMode::OnMatch, limits)
}

fn push(shard: &mut Shard, rows: impl IntoIterator<Item = KeyedRow>) {
    let rows: Vec<KeyedRow> = rows.into_iter().collect();
    shard.push(PartitionId(0), &keyed_batch(&rows));
}

/// A row with a text argument and an id of its own.
fn row(time: i64, text: &str, number: u128) -> KeyedRow {
    let mut row = keyed_row("a", time);
    row.values[1] = Value::Text(text.into());
    row.uid = EventUid { bits: number, native: true };
    row
}

/// A row that passes the filter.
fn filtered(time: i64, number: u128) -> KeyedRow {
    let mut row = row(time, "y", number);
    row.values[3] = Value::Bool(true);
    row
}

#[test]
fn too_many_rows_of_a_key_give_a_lower_bound_that_is_never_withdrawn() {
    let mut shard = shard(Limits { window_events_max: 50, ..Limits::default() });
    push(&mut shard, (0..50).map(|t| keyed_row("a", t)));
    assert!(shard.take(Pace::EveryChange).iter().all(|e| !e.is_capped() && e.count == 50));
    push(&mut shard, (50..100).map(|t| keyed_row("a", t)));
    let emissions = shard.take(Pace::EveryChange);
    assert_eq!(emissions.len(), 1);
    assert_eq!((emissions[0].count, emissions[0].evidence_total), (100, 100));
    assert!(shard.stats()[0].truncated > 50);
    push(&mut shard, [keyed_row("a", 100)]);
    let emissions = shard.take(Pace::EveryChange);
    let cap = Cap { bound: "window_events_max", limit: 50 };
    assert!(emissions.iter().all(|e| e.capped_by == [cap] && e.count >= 20), "{emissions:?}");
    shard.end(PartitionId(0));
    let emissions = shard.take(Pace::EveryChange);
    assert!(emissions.iter().all(|e| e.change == Change::Upsert(FindingState::Confirmed)));
    assert_eq!(emissions.iter().map(|e| e.window.unwrap().1).max(), Some(100));
}

/// What a flood of a key that has fired says: once that it has, then what there is when every change is
/// asked for, and what is final.
#[test]
fn finding_that_only_grows_waits_until_every_change_is_asked_for() {
    for window in [Window::Sliding { size: 100 }, Window::Tumble { size: 100 }] {
        let mut shard = new(window, Having::Count(3), EmitMode::OnMatch, Limits::default());
        let mut take = |rows: std::ops::Range<i64>, pace| {
            push(&mut shard, rows.clone().map(|t| keyed_row("a", t)));
            if rows.is_empty() {
                shard.end(PartitionId(0));
            }
            let emissions = shard.take(pace).into_iter();
            emissions.map(|e| (e.change, e.count, e.evidence_total)).collect::<Vec<_>>()
        };
        let said = |state, n| vec![(Change::Upsert(state), n, n)];
        assert_eq!(take(0..3, Pace::News), said(FindingState::Provisional, 3), "{window:?}");
        for row in 3..50 {
            assert!(take(row..row + 1, Pace::News).is_empty(), "{window:?}");
        }
        let grown = take(50..51, Pace::EveryChange);
        assert_eq!(grown, said(FindingState::Provisional, 51), "{window:?}");
        assert!(take(51..60, Pace::Final).is_empty(), "{window:?}");
        assert_eq!(take(0..0, Pace::Final), said(FindingState::Confirmed, 60), "{window:?}");
    }
}

/// Rows of a flood, and a few that reach a second threshold: whichever come first, and whatever was
/// thinned between, the same cells fire.
#[test]
fn flood_does_not_hide_what_completes_a_condition() {
    let having = Having::CountAndDistinct(30, 12);
    for flood_first in [true, false] {
        let limits = Limits { window_events_max: 40, ..Limits::default() };
        let mut shard = new(Window::Sliding { size: 100 }, having, EmitMode::OnMatch, limits);
        let flood: Vec<KeyedRow> = (0..2_000).map(|n| row(10, "same", n)).collect();
        let spread: Vec<KeyedRow> =
            (0..11).map(|n| row(20, &format!("text {n}"), 10_000 + n)).collect();
        let (first, second) = if flood_first { (flood, spread) } else { (spread, flood) };
        for rows in [first, second] {
            for part in rows.chunks(7) {
                push(&mut shard, part.to_vec());
                shard.take(Pace::EveryChange);
            }
        }
        shard.end(PartitionId(0));
        let found = shard.take(Pace::EveryChange);
        assert_eq!(found.len(), 1, "flood first: {flood_first}");
        assert!(found[0].is_capped());
    }
}

/// A late row that completes an older cell still does after a flood in a younger one.
#[test]
fn flood_does_not_hide_a_late_row() {
    let limits = Limits { window_events_max: 20, ..Limits::default() };
    let mut shard = shard(limits);
    push(&mut shard, [keyed_row("a", 10), keyed_row("a", 11)]);
    push(&mut shard, (0..5_000).map(|n| row(105, "x", 1_000 + n)));
    shard.observe(PartitionId(0), 105);
    assert_eq!(shard.take(Pace::EveryChange).len(), 1);
    push(&mut shard, [keyed_row("a", 12)]);
    let found = shard.take(Pace::EveryChange);
    assert!(found.iter().any(|e| e.time == 12 && e.count == 3), "{found:?}");
}

/// More rows than are kept, more than the threshold asks for, in every window, at once and not.
#[test]
fn thresholds_above_the_limit_fire() {
    let windows = [
        Window::Sliding { size: 1_000_000 },
        Window::Tumble { size: 1_000_000 },
        Window::Hop { slide: 500_000, size: 1_000_000 },
        Window::Session { gap: 1_000 },
    ];
    for window in windows {
        for having in [Having::Count(5_000), Having::Distinct(5_000)] {
            for emit in [EmitMode::OnMatch, EmitMode::OnWatermark, EmitMode::OnClose] {
                let limits = Limits { window_events_max: 100, ..Limits::default() };
                let mut shard = new(window, having, emit, limits);
                for part in (0..6_000_i64).collect::<Vec<_>>().chunks(500) {
                    let rows = part.iter().map(|n| row(*n, &n.to_string(), *n as u128));
                    push(&mut shard, rows);
                    shard.observe(PartitionId(0), *part.last().unwrap());
                    shard.take(Pace::EveryChange);
                }
                shard.end(PartitionId(0));
                let confirmed = shard.take(Pace::EveryChange);
                assert!(!confirmed.is_empty(), "{window:?}, {having:?}, {emit:?}");
            }
        }
    }
}

/// 100,000 rows of one key, cut, saved and restored: found in every window, and at a cost that does
/// not grow with the rows there are.
#[test]
fn flood_of_one_key_is_found_in_every_window_and_mode() {
    let windows = [
        Window::Sliding { size: 60_000 },
        Window::Tumble { size: 60_000 },
        Window::Hop { slide: 20_000, size: 60_000 },
        Window::Session { gap: 100 },
    ];
    for window in windows {
        for emit in [EmitMode::OnMatch, EmitMode::OnWatermark, EmitMode::OnClose] {
            let having = Having::CountAndDistinct(1_000, 3);
            let mut shard = new(window, having, emit, Limits::default());
            let mut store: std::collections::BTreeMap<Vec<u8>, Vec<u8>> = Default::default();
            let mut net: std::collections::BTreeMap<Vec<u8>, Change> = Default::default();
            for part in 0..100_i64 {
                let rows = (0..1_000).map(|n| {
                    let time = part * 1_000 + n - if n % 97 == 0 { 60 } else { 0 };
                    row(time, ["x", "y", "z"][(n % 3) as usize], (part * 1_000 + n) as u128)
                });
                push(&mut shard, rows);
                shard.observe(PartitionId(0), part * 1_000 + 999);
                net.extend(shard.take(Pace::EveryChange).into_iter().map(|e| (e.key, e.change)));
                if part % 40 == 20 {
                    for StateEntry { key, value } in shard.export(false) {
                        match value {
                            Some(value) => drop(store.insert(key, value)),
                            None => drop(store.remove(&key)),
                        }
                    }
                    shard = new(window, having, emit, Limits::default());
                    let entries = store.iter();
                    let entries =
                        entries.map(|(k, v)| StateEntry { key: k.clone(), value: Some(v.clone()) });
                    assert_eq!(shard.import(entries.collect()), Ok(Vec::new()));
                }
            }
            shard.end(PartitionId(0));
            net.extend(shard.take(Pace::EveryChange).into_iter().map(|e| (e.key, e.change)));
            let wanted = match window {
                Window::Session { .. } => 1,
                Window::Hop { .. } => 7,
                Window::Sliding { .. } | Window::Tumble { .. } => 2,
            };
            assert_eq!(net.len(), wanted, "{window:?}, {emit:?}");
            let confirmed = Change::Upsert(FindingState::Confirmed);
            assert!(net.values().all(|change| *change == confirmed), "{window:?}, {emit:?}");
        }
    }
}

#[test]
fn rows_that_cannot_wait_for_the_watermark_are_judged_early() {
    let limits = Limits { window_events_max: 10, ..Limits::default() };
    let between = Having::CountBetween(3, 5);
    let mut shard = new(Window::Sliding { size: 100 }, between, EmitMode::OnWatermark, limits);
    push(&mut shard, (0..4).map(|t| keyed_row("a", t)));
    push(&mut shard, (0..400).map(|n| row(90, "x", 1_000 + n)));
    let found = shard.take(Pace::EveryChange);
    assert_eq!(found.len(), 1, "the flood does not push out what qualified before it");
    assert_eq!(
        (found[0].count, found[0].is_capped()),
        (4, false),
        "all rows of its window were there"
    );
    assert!(shard.stats()[0].judged_early > 0);
    let told = shard.degraded();
    assert_eq!((told.len(), told[0].bound, told[0].hour), (1, Bound::RowsOfKey, 0));
    assert_eq!(told[0].key, [("user_name".into(), Value::Text("a".into()))]);
    push(&mut shard, (0..400).map(|n| row(95, "x", 10_000 + n)));
    shard.take(Pace::EveryChange);
    assert!(shard.degraded().is_empty(), "told once per key and hour");
    shard.end(PartitionId(0));
    assert!(shard.take(Pace::EveryChange).iter().all(|e| e.change != Change::Withdraw));
}

/// Five rows that pass a filter, and 20,000 that do not before, between and after them: in every
/// window, judged by a tree or by an expression, saved and restored on the way, the five are found.
#[test]
fn flood_around_an_attack_does_not_silence_a_condition_that_can_turn_false() {
    let windows = [
        Window::Sliding { size: 60_000 },
        Window::Tumble { size: 60_000 },
        Window::Hop { slide: 20_000, size: 60_000 },
        Window::Session { gap: 1_000 },
    ];
    let limits = Limits { window_events_max: 1_000, ..Limits::default() };
    for (window, native) in windows.into_iter().flat_map(|w| [(w, true), (w, false)]) {
        for (emit, attack) in [
            (EmitMode::OnWatermark, [1, 2, 3, 4, 5]),
            (EmitMode::OnClose, [1, 2, 10_001, 10_002, 10_003]),
            (EmitMode::OnWatermark, [20_001, 20_002, 20_003, 20_004, 20_005]),
            (EmitMode::OnWatermark, [1, 20_001, 20_002, 20_003, 20_004]),
        ] {
            let stage = Stage::Window { window, having: Having::Filtered(5) };
            let case = Case { emit, stage, history: HistoryStart::Always, native, kept: Case::ALL };
            let plan = Arc::new(plan(&case));
            let fresh = || Shard::new(&[(RULE, plan.clone())], &[partition(0)], options(limits));
            let mut shard = fresh();
            let mut found = std::collections::BTreeMap::new();
            let flood = (10..20_000).map(|t| row(t, "x", t as u128));
            let attack_rows = attack.iter().map(|t| filtered(*t, 100_000 + *t as u128));
            let mut rows: Vec<KeyedRow> = flood.chain(attack_rows).collect();
            rows.sort_by_key(|r| r.time);
            for (n, part) in rows.chunks(500).enumerate() {
                push(&mut shard, part.to_vec());
                shard.observe(PartitionId(0), part[part.len() - 1].time);
                found.extend(shard.take(Pace::EveryChange).into_iter().map(|e| (e.key, e.change)));
                if n == 20 {
                    let entries = shard.export(true);
                    shard = fresh();
                    assert_eq!(shard.import(entries), Ok(Vec::new()));
                }
            }
            shard.end(PartitionId(0));
            found.extend(shard.take(Pace::EveryChange).into_iter().map(|e| (e.key, e.change)));
            let confirmed = Change::Upsert(FindingState::Confirmed);
            let stand = found.values().filter(|change| **change == confirmed).count();
            assert!(stand > 0, "{window:?}, native {native}, {emit:?}, {attack:?}: {found:?}");
        }
    }
}

/// A key that is given up is judged before it goes, whatever its rule waits for.
#[test]
fn key_that_is_given_up_is_judged() {
    let limits = Limits { keys_max: 2, ..Limits::default() };
    let between = Having::CountBetween(2, 5);
    for window in [Window::Sliding { size: 100 }, Window::Tumble { size: 100 }] {
        for emit in [EmitMode::OnWatermark, EmitMode::OnClose] {
            let mut shard = new(window, between, emit, limits);
            push(&mut shard, (0..2).map(|t| keyed_row("a", t)));
            push(&mut shard, (0..3).map(|t| keyed_row("b", t)));
            push(&mut shard, (0..3).map(|t| keyed_row("c", t)));
            let found = shard.take(Pace::EveryChange);
            assert_eq!(found.len(), 1, "{window:?}, {emit:?}");
            assert_eq!(found[0].change, Change::Upsert(FindingState::Confirmed));
            assert_eq!(found[0].capped_by, [Cap { bound: "keys_max", limit: 2 }]);
            assert_eq!(shard.degraded()[0].bound, Bound::Keys);
        }
    }
}

#[test]
fn too_many_keys_give_up_the_smallest_quiet_one() {
    let mut shard = shard(Limits { keys_max: 2, ..Limits::default() });
    let rows = |key: &'static str, n: i64| (0..n).map(move |t| keyed_row(key, t));
    push(&mut shard, rows("near", 2));
    push(&mut shard, rows("far", 1));
    push(&mut shard, rows("new", 1));
    push(&mut shard, [keyed_row("near", 2)]);
    let emissions = shard.take(Pace::EveryChange);
    assert_eq!(emissions.len(), 1, "the one nearest to its threshold was kept");
    let cap = Cap { bound: "keys_max", limit: 2 };
    assert_eq!(emissions[0].capped_by, [cap], "some key lost rows in this window");
    assert_eq!((shard.stats()[0].evicted, shard.stats()[0].keys), (1, 2));
}

#[test]
fn row_behind_everything_is_counted() {
    let mut shard = shard(Limits::default());
    shard.observe(PartitionId(0), 1_000);
    push(&mut shard, [keyed_row("a", 10)]);
    let stats = &shard.stats()[0];
    assert_eq!((stats.rows_in, stats.too_late, stats.keys), (1, 1, 0));
}

#[test]
fn state_of_another_version_warms_up() {
    let mut old = shard(Limits::default());
    push(&mut old, (0..2).map(|t| keyed_row("a", t)));
    old.observe(PartitionId(0), 2);
    old.take(Pace::EveryChange);
    let mut entries = old.export(true);
    // A part has the number of its shard and its own after virtual node and operator.
    let tampered = entries.iter_mut().filter(|e| e.key.len() == 18);
    tampered.for_each(|e| {
        let value = e.value.as_mut().unwrap();
        value.truncate(value.len() - 4);
        value[1] ^= 0x40;
        value.extend(crc32c::crc32c(value).to_be_bytes());
    });
    let mut new = shard(Limits::default());
    let resets = new.import(entries).unwrap();
    assert_eq!(resets.len(), 1);
    assert_eq!(resets[0].rule_index, RULE);
    assert!(matches!(resets[0].reason, StateError::Version(_)), "{:?}", resets[0].reason);
    let gone = new.export(false).into_iter().filter(|e| e.value.is_none());
    assert_eq!(gone.map(|e| e.key.len()).collect::<Vec<_>>(), [18], "what cannot be read goes");
    push(&mut new, [keyed_row("a", 3)]);
    assert!(new.take(Pace::EveryChange).is_empty(), "the rows before are gone");
    assert_eq!(new.stats()[0].keys, 1);
}

/// Many keys whose windows close at once: what is handed on at a time is bounded, and nothing is left out.
#[test]
fn windows_that_close_together_are_handed_on_in_parts() {
    let filled = || {
        let mut shard = shard(Limits::default());
        let user = |n: i64| (0..3).map(move |t| keyed_row(&format!("user{n}"), 10 * (n % 7) + t));
        push(&mut shard, (0..1_300).flat_map(user));
        shard.end(PartitionId(0));
        shard
    };
    let whole = filled().take(Pace::Final);
    let mut parts = Vec::new();
    filled().take_parts(Pace::Final, &mut |part| parts.push(part));
    let sizes: Vec<usize> = parts.iter().map(Vec::len).collect();
    assert_eq!(sizes, [512, 512, 276]);
    let place = |e: &Emission| (e.time, e.key.clone());
    assert!(parts.iter().all(|part| part.is_sorted_by_key(place)));
    let mut all: Vec<_> = parts.iter().flatten().map(place).collect();
    all.sort_unstable();
    assert_eq!(all, whole.iter().map(place).collect::<Vec<_>>());
}

/// Of a flood whose rows have no time of their own only some are kept, and fewer are shown: the finding
/// says it all the same, after a restart too.
#[test]
fn flagged_times_are_said_of_rows_that_are_not_kept() {
    let limits = Limits { window_events_max: 50, ..Limits::default() };
    let (missing, future) = (TimeFlags::of("missing"), TimeFlags::of("future"));
    for window in [Window::Sliding { size: 100 }, Window::Tumble { size: 100 }] {
        let make = || new(window, Having::Count(30), EmitMode::OnMatch, limits);
        let mut shard = make();
        let flags = |t: i64| match t {
            35 => missing,
            60 => future,
            _ => TimeFlags::NONE,
        };
        let flood = (0..95).map(|t| KeyedRow { time_flags: flags(t), ..keyed_row("a", t) });
        for part in flood.collect::<Vec<_>>().chunks(10) {
            push(&mut shard, part.to_vec());
            shard.take(Pace::EveryChange);
        }
        let mut again = make();
        assert!(again.import(shard.export(true)).unwrap().is_empty());
        push(&mut again, [keyed_row("a", 96)]);
        again.end(PartitionId(0));
        let found = again.take(Pace::EveryChange);
        assert_eq!(found.len(), 1, "{window:?}");
        assert_eq!(found[0].time_flags, missing | future, "{window:?}");
    }
}
