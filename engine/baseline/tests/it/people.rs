//! T2 and T5: an attacker who goes slowly, and days on which everybody is different at once.

use rand::{RngExt, SeedableRng, rngs::StdRng};
use sluice_baseline::{Baseline, FeatureKind, POLICY, Policy, Spec, Unit, UnitScore};

use crate::support::{DAY, Event, HOUR, MONDAY, of, only, organisation, run, run_all, spec};

/// Ann does twenty things a day; from day 60 on, over ten days, more and more of them are those of
/// somebody else.
fn ramp(policy: Policy) -> Vec<UnitScore> {
    let mut rng = StdRng::seed_from_u64(9);
    let mut events = organisation(5, 30, 100);
    for day in 0..100_i64 {
        let strange = ((day - 60) * 3).clamp(0, 30);
        for i in 0..20 {
            let value = if i * 30 < strange * 20 {
                format!("x{}", rng.random_range(0..12))
            } else {
                format!("c{}", rng.random_range(0..4))
            };
            events.push(Event::new("ann", MONDAY + day * DAY + 9 * HOUR + i * 60_000, &value));
        }
    }
    events.sort_by_key(|e| (e.time, e.uid));
    let mut baseline = Baseline::new(only(FeatureKind::Categorical), policy, 1);
    let mut out = run(&mut baseline, &events, 0, 200);
    out.extend(baseline.advance(i64::MAX));
    out
}

#[test]
fn t2_of_a_ramp_more_is_seen_than_by_who_learns_everything_at_once() {
    let during = |units: &[UnitScore]| -> Vec<f64> {
        let ann = of(units, "ann").into_iter().filter(|u| u.time >= MONDAY + 60 * DAY);
        ann.take(30).map(|u| u.score).collect()
    };
    let ours = during(&ramp(POLICY));
    let absorbed = during(&ramp(Policy { delay_days: 1, weight_floor: 1.0, ..POLICY }));
    let sum = |scores: &[f64]| scores.iter().map(|s| s.max(0.0)).sum::<f64>();
    assert!(sum(&ours) > 1.0 + 2.0 * sum(&absorbed), "{} and {}", sum(&ours), sum(&absorbed));
}

/// Share of units from `from` on that are anomalies.
fn alarms(events: &[Event], from: i64) -> f64 {
    let (_, units) = run_all(spec(Unit::Day), events);
    let later: Vec<&UnitScore> = units.iter().filter(|u| u.time >= MONDAY + from * DAY).collect();
    assert!(later.len() > 100, "{}", later.len());
    later.iter().filter(|u| u.anomaly.is_some()).count() as f64 / later.len() as f64
}

#[test]
fn t5_a_holiday_and_a_changed_clock_are_no_storm_of_alarms() {
    let usual = organisation(13, 40, 75);
    let quiet = alarms(&usual, 60);
    // Nobody works for four days.
    let holiday: Vec<Event> =
        usual.iter().filter(|e| !(60..64).contains(&((e.time - MONDAY) / DAY))).cloned().collect();
    let after_holiday = alarms(&holiday, 60);
    // From one day on everybody comes an hour later by UTC.
    let mut shifted = usual.clone();
    for event in &mut shifted {
        if event.time >= MONDAY + 60 * DAY {
            event.time += HOUR;
        }
    }
    let after_shift = alarms(&shifted, 60);
    // The alarm rate is 1 %.
    for (what, rate) in [("quiet", quiet), ("holiday", after_holiday), ("clock", after_shift)] {
        assert!(rate <= 0.03, "{what}: {rate}, without {quiet}");
    }
}

#[test]
fn numbers_are_unusual_far_from_all_that_are_known_even_between_them() {
    let mut rng = StdRng::seed_from_u64(2);
    let mut events = Vec::new();
    for i in 0..600 {
        // Small and large transfers, and nothing in between, but the last.
        let bytes = match i {
            599 => 1e6,
            i if i % 2 == 0 => rng.random_range(1e3..2e3),
            _ => rng.random_range(9e8..1e9),
        };
        events.push(Event { bytes, ..Event::new("ann", MONDAY + i * 60_000, "DE") });
    }
    let spec = Spec { alarm_rate: 1.0, unit: Unit::Events(1), ..only(FeatureKind::Numeric) };
    let (_, units) = run_all(spec, &events);
    let (last, before) = units.split_last().unwrap();
    let anomaly = last.anomaly.as_ref().expect("every unit is below this rate");
    assert!(anomaly.features[0].values[0].value.starts_with("98"), "{:?}", anomaly.features);
    let above = before[100..].iter().filter(|u| u.score >= last.score).count();
    assert!(above <= 5, "{above} of 499 are as unusual as {}", last.score);
}
