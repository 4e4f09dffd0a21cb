//! P6: the same rows give the same scores and the same bytes of state, however they come.

use std::collections::BTreeMap;

use rand::{RngExt, SeedableRng, rngs::StdRng};
use sluice_baseline::{
    Baseline, Feature, FeatureKind, POLICY, PeerSource, Spec, StateEntry, StateError, Unit,
    UnitScore,
};

use crate::{
    peers::teams,
    support::{DAY, Event, HOUR, feature, organisation, run, run_all, shuffled, spec},
};

/// Entries as a store keeps them.
type Kept = BTreeMap<Vec<u8>, Vec<u8>>;

fn keep(kept: &mut Kept, entries: Vec<StateEntry>) {
    for StateEntry { key, value } in entries {
        match value {
            Some(value) => kept.insert(key, value),
            None => kept.remove(&key),
        };
    }
}

fn import(baseline: &mut Baseline, kept: &Kept) -> Result<(), StateError> {
    baseline.import(kept.iter().map(|(key, value)| (key.as_slice(), value.as_slice())))
}

/// The whole state.
fn whole(baseline: &mut Baseline) -> Kept {
    let mut kept = Kept::new();
    keep(&mut kept, baseline.export(true));
    kept
}

fn variant(
    spec: &Spec,
    events: &[Event],
    seed: u64,
    shards: usize,
    cut: bool,
) -> (Vec<UnitScore>, Kept) {
    let mut rng = StdRng::seed_from_u64(seed);
    let events = shuffled(events, HOUR, seed);
    let mut baseline = Baseline::new(spec.clone(), POLICY, shards);
    let (mut out, mut kept) = (Vec::new(), Kept::new());
    let mut rest = events.as_slice();
    while !rest.is_empty() {
        let (piece, later) = rest.split_at(rng.random_range(1..=rest.len().min(900)));
        out.extend(run(&mut baseline, piece, 2 * HOUR, rng.random_range(1..200)));
        rest = later;
        if cut {
            keep(&mut kept, baseline.export(false));
            let before = whole(&mut baseline.clone());
            baseline = Baseline::new(spec.clone(), POLICY, [1, 2, 8][rng.random_range(0..3)]);
            assert_eq!(import(&mut baseline, &kept), Ok(()));
            assert!(whole(&mut baseline.clone()) == before, "import is not the inverse of export");
        }
    }
    out.extend(baseline.advance(1_000_000 * DAY));
    // What is taken back was reported early, which depends on arrival.
    out.iter_mut().for_each(|unit| unit.withdrawn = None);
    out.sort_by(|a, b| a.time.cmp(&b.time).then_with(|| a.entity.cmp(&b.entity)));
    (out, whole(&mut baseline))
}

fn check(spec: Spec) {
    check_over(spec, &organisation(7, 24, 60), 2..8);
}

fn check_over(spec: Spec, events: &[Event], seeds: std::ops::Range<u64>) {
    let (expected, state) = variant(&spec, events, 1, 1, false);
    assert!(expected.len() > 500, "only {} units", expected.len());
    assert!(expected.iter().any(|u| u.anomaly.is_some()), "nothing to compare: no anomaly");
    for seed in seeds {
        for (shards, cut) in [(1, false), (2, false), (8, true)] {
            let (units, bytes) = variant(&spec, events, seed, shards, cut);
            let other = units.iter().zip(&expected).find(|(a, b)| a != b);
            let run = format!("seed {seed}, {shards} shards, cut {cut}");
            assert!(units == expected, "{run}: {other:?}");
            let first = bytes.iter().zip(&state).find(|(a, b)| a != b).map(|(a, _)| a.0);
            assert!(
                bytes == state,
                "state differs at {first:?}, {} and {} entries: seed {seed}, {shards} shards, cut {cut}",
                bytes.len(),
                state.len()
            );
        }
    }
}

#[test]
fn p6_day_units_do_not_depend_on_order_cuts_shards_or_restarts() {
    check(spec(Unit::Day));
}

#[test]
fn p6_peer_groups_do_not_depend_on_order_cuts_shards_or_restarts() {
    for (directory, learned) in [(false, true), (true, true)] {
        let peers = PeerSource { directory, learned };
        let spec = Spec { peers, alarm_rate: 1.0, ..spec(Unit::Day) };
        check_over(spec, &teams(3, 20), 2..3);
    }
}

#[test]
fn p6_a_row_that_comes_twice_counts_once() {
    for unit in [Unit::Day, Unit::Session(2 * HOUR), Unit::Events(3)] {
        let once = organisation(7, 24, 30);
        let spec = Spec { alarm_rate: 0.05, ..spec(unit) };
        let mut twice = once.clone();
        twice.extend(once.iter().step_by(3).cloned());
        twice.sort_by_key(|e| (e.time, e.uid));
        let (plain, state) = variant(&spec, &once, 1, 1, false);
        for (seed, shards, cut) in [(2, 1, false), (3, 8, true)] {
            let (doubled, other) = variant(&spec, &twice, seed, shards, cut);
            assert!(plain == doubled, "{unit:?}, cut {cut}");
            assert!(state == other, "{unit:?}, cut {cut}");
        }
    }
}

#[test]
fn p6_blocks_do_not_depend_on_order_cuts_shards_or_restarts() {
    check(Spec { alarm_rate: 0.05, ..spec(Unit::Events(3)) });
}

#[test]
fn p6_sessions_do_not_depend_on_order_cuts_shards_or_restarts() {
    check(spec(Unit::Session(2 * HOUR)));
}

#[test]
fn an_export_holds_what_changed_since_the_last() {
    let (mut baseline, _) = run_all(spec(Unit::Day), &organisation(7, 24, 30));
    let all = baseline.export(false);
    assert!(all.len() > 50, "{} entries", all.len());
    let time = (crate::support::MONDAY / DAY + 40) * DAY;
    let mut later = Baseline::new(spec(Unit::Day), POLICY, 1);
    let mut kept = Kept::new();
    keep(&mut kept, all);
    // The end of all input is the watermark of the first: the state of a stream that goes on is taken.
    drop(baseline);
    let events = organisation(7, 24, 30);
    run(&mut later, &events, HOUR, 50);
    later.export(false);
    crate::support::push(&mut later, &Event::new("u1", time, "c1"));
    let entries = later.export(false);
    // The header, the open unit with the rows it remembers, and the population with its chunk if days
    // were closed.
    assert!((3..=4).contains(&entries.len()), "{} entries", entries.len());
    assert!(later.export(false).len() == 1, "only the header is written anew");
}

#[test]
fn edited_features_begin_to_learn_and_the_others_go_on() {
    let events = organisation(7, 24, 60);
    let (before, after) = events.split_at(events.len() / 2);
    let mut old = Baseline::new(spec(Unit::Day), POLICY, 1);
    run(&mut old, before, HOUR, 100);
    let kept = whole(&mut old);
    let added = Feature { reads: "another".into(), ..feature("another", FeatureKind::Categorical) };
    let mut features = spec(Unit::Day).features;
    features.reverse();
    features[2] = added;
    let mut edited = Baseline::new(Spec { features, ..spec(Unit::Day) }, POLICY, 1);
    assert_eq!(import(&mut edited, &kept), Ok(()));
    let scores = |mut baseline: Baseline| {
        let mut units = run(&mut baseline, after, HOUR, 100);
        units.extend(baseline.advance(i64::MAX));
        units
    };
    let (expected, found) = (scores(old), scores(edited));
    assert!(found.len() > 300 && found.len() == expected.len(), "{}", found.len());
    // Confidence is the mean over features: the one that began anew lowers it.
    let lower = expected.iter().zip(&found).filter(|(e, f)| f.confidence < e.confidence).count();
    assert!(lower > 100, "{lower} of {}", found.len());
    let kept = expected.iter().zip(&found).filter(|(e, f)| f.confidence > 0.7 * e.confidence);
    assert!(kept.count() > found.len() * 9 / 10);
}

#[test]
fn damaged_state_is_refused_and_changes_nothing() {
    let (_, kept) = variant(&spec(Unit::Day), &organisation(7, 24, 60), 1, 1, false);
    let mut baseline = Baseline::new(spec(Unit::Day), POLICY, 1);
    let before = whole(&mut baseline.clone());
    let mut refused = 0;
    for (key, value) in kept.iter().step_by(9) {
        for end in [0, value.len() / 2, value.len() - 1] {
            let mut damaged = kept.clone();
            damaged.insert(key.clone(), value[..end].to_vec());
            refused += usize::from(import(&mut baseline, &damaged).is_err());
        }
    }
    let mut rng = StdRng::seed_from_u64(3);
    for _ in 0..300 {
        let mut damaged = kept.clone();
        let at = rng.random_range(0..damaged.len());
        let Some(value) = damaged.values_mut().nth(at).filter(|v| !v.is_empty()) else { continue };
        let at = rng.random_range(0..value.len());
        value[at] ^= 1 << rng.random_range(0..8);
        // Some bits are just another number; what matters is that none is a panic.
        refused +=
            usize::from(import(&mut Baseline::new(spec(Unit::Day), POLICY, 1), &damaged).is_err());
    }
    assert!(refused > 50, "only {refused} refused");
    assert!(whole(&mut baseline) == before);
    let mut headless = kept.clone();
    headless.remove(&vec![0]);
    assert_eq!(import(&mut baseline, &headless), Err(StateError::Damaged(0)));
    let other = Spec { unit: Unit::Events(3), ..spec(Unit::Day) };
    let mut baseline = Baseline::new(other, POLICY, 1);
    assert_eq!(import(&mut baseline, &kept), Err(StateError::OtherUnit));
}
