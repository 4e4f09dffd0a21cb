//! P6: the same rows give the same scores and the same bytes of state, however they come.

use rand::{RngExt, SeedableRng, rngs::StdRng};
use sluice_baseline::{Baseline, POLICY, Spec, StateError, Unit, UnitScore};

use crate::support::{DAY, HOUR, organisation, run, shuffled, spec};

fn variant(spec: &Spec, seed: u64, shards: usize, cut: bool) -> (Vec<UnitScore>, Vec<u8>) {
    let mut rng = StdRng::seed_from_u64(seed);
    let events = shuffled(&organisation(7, 24, 60), HOUR, seed);
    let mut baseline = Baseline::new(spec.clone(), POLICY, shards);
    let mut out = Vec::new();
    let mut rest = events.as_slice();
    while !rest.is_empty() {
        let (piece, later) = rest.split_at(rng.random_range(1..=rest.len().min(900)));
        out.extend(run(&mut baseline, piece, 2 * HOUR, rng.random_range(1..200)));
        rest = later;
        if cut {
            let bytes = baseline.save();
            baseline = Baseline::new(spec.clone(), POLICY, [1, 2, 8][rng.random_range(0..3)]);
            assert_eq!(baseline.restore(&bytes), Ok(()));
            assert_eq!(baseline.save(), bytes, "restore is not the inverse of save");
        }
    }
    out.extend(baseline.advance(1_000_000 * DAY));
    out.sort_by(|a, b| a.time.cmp(&b.time).then_with(|| a.entity.cmp(&b.entity)));
    (out, baseline.save())
}

fn check(spec: Spec) {
    let (expected, state) = variant(&spec, 1, 1, false);
    assert!(expected.len() > 500, "only {} units", expected.len());
    assert!(expected.iter().any(|u| u.anomaly.is_some()), "nothing to compare: no anomaly");
    for seed in 2..8 {
        for (shards, cut) in [(1, false), (2, false), (8, true)] {
            let (units, bytes) = variant(&spec, seed, shards, cut);
            assert_eq!(units, expected, "seed {seed}, {shards} shards, cut {cut}");
            let first = bytes.iter().zip(&state).position(|(a, b)| a != b);
            assert!(
                bytes == state,
                "state differs at {first:?}, {} and {} bytes: seed {seed}, {shards} shards, cut {cut}",
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
fn p6_blocks_do_not_depend_on_order_cuts_shards_or_restarts() {
    check(Spec { alarm_rate: 0.05, ..spec(Unit::Events(3)) });
}

#[test]
fn p6_sessions_do_not_depend_on_order_cuts_shards_or_restarts() {
    check(spec(Unit::Session(2 * HOUR)));
}

#[test]
fn damaged_state_is_refused_and_changes_nothing() {
    let (_, bytes) = variant(&spec(Unit::Day), 1, 1, false);
    let mut baseline = Baseline::new(spec(Unit::Day), POLICY, 1);
    let before = baseline.save();
    let mut refused = 0;
    for end in (0..bytes.len()).step_by(97) {
        assert!(matches!(baseline.restore(&bytes[..end]), Err(StateError::Damaged(_))), "{end}");
        refused += 1;
    }
    let mut rng = StdRng::seed_from_u64(3);
    for _ in 0..300 {
        let mut damaged = bytes.clone();
        let at = rng.random_range(0..damaged.len());
        damaged[at] ^= 1 << rng.random_range(0..8);
        // Some bits are just another number; what matters is that none is a panic.
        refused +=
            usize::from(Baseline::new(spec(Unit::Day), POLICY, 1).restore(&damaged).is_err());
    }
    assert!(refused > 100, "only {refused} refused");
    assert_eq!(baseline.save(), before);
    let other = Spec { unit: Unit::Events(3), ..spec(Unit::Day) };
    assert_eq!(Baseline::new(other, POLICY, 1).restore(&bytes), Err(StateError::OtherSpec));
}
