//! L: properties of the score; K: calibration; tails.

use sluice_baseline::{
    Confidence, FeatureKind, Histogram, LlrInput, clipped_llr, hash_value, llr,
    negative_binomial_tail, parse_offset, sellke_nats, time_of_week,
};

use crate::support::{DAY, Event, HOUR, MONDAY, of, only, organisation, run_all};

fn input(seen: f64, of: f64, organisation: f64) -> LlrInput {
    LlrInput { seen, of, organisation, peers: organisation, prior: 20.0 }
}

#[test]
fn l2a_a_new_entity_is_not_anomalous_by_itself() {
    for share in [0.5, 0.01, 1e-6] {
        assert!(llr(input(0.0, 0.0, share)).abs() < 1e-12);
    }
    let peers = LlrInput { peers: 0.2, ..input(0.0, 0.0, 0.1) };
    assert!((llr(peers) - 0.5_f64.ln()).abs() < 1e-12);
}

#[test]
fn l2b_a_value_new_to_all_scores_no_higher_than_one_common_elsewhere() {
    let expected = ((300.0 + 20.0) / 20.0_f64).ln();
    for share in [0.5, 0.01, 1e-6] {
        assert!((llr(input(0.0, 300.0, share)) - expected).abs() < 1e-9);
    }
}

#[test]
fn l2c_the_tail_of_the_ratio_under_the_own_law_is_below_its_exponential() {
    // Shares of ten values in the organisation and counts of an entity.
    let org = [0.3, 0.2, 0.1, 0.1, 0.08, 0.07, 0.05, 0.05, 0.03, 0.02];
    let counts = [0.0, 40.0, 3.0, 0.0, 0.0, 7.0, 0.0, 100.0, 0.0, 1.0];
    let of: f64 = counts.iter().sum();
    for threshold in [0.1, 0.5, 1.0, 2.0, 3.0] {
        let tail: f64 = org
            .iter()
            .zip(counts)
            .filter(|(share, seen)| llr(input(*seen, of, **share)) >= threshold)
            .map(|(share, seen)| (seen + 20.0 * share) / (of + 20.0))
            .sum();
        assert!(tail <= (-threshold).exp(), "{tail} at {threshold}");
    }
}

#[test]
fn l3_scores_are_clipped_both_ways() {
    assert_eq!(clipped_llr(input(0.0, 1e9, 0.5), 3.5), 3.5);
    assert_eq!(clipped_llr(input(1e9, 1e9, 1e-9), 3.5), -3.5);
}

#[test]
fn k_the_histogram_gives_the_share_of_scores_as_high() {
    let mut histogram = Histogram::default();
    for i in 0..999 {
        histogram.insert(f64::from(i) / 100.0);
    }
    assert!((histogram.tail(-30.0) - 1.0).abs() < 1e-12);
    assert!((histogram.tail(5.0) - 0.5).abs() < 0.01);
    assert!((histogram.tail(1e300) - 0.001).abs() < 1e-12);
}

#[test]
fn k1_the_alarm_rate_holds_on_benign_days() {
    let (baseline, units) = run_all(only(FeatureKind::Categorical), &organisation(11, 60, 150));
    // Once there are enough scores: the last hundred days.
    let later: Vec<_> = units.iter().filter(|u| u.time > MONDAY + 50 * DAY).collect();
    let alarms = later.iter().filter(|u| u.anomaly.is_some()).count();
    let rate = alarms as f64 / later.len() as f64;
    let nominal = baseline.spec().alarm_rate;
    assert!(later.len() > 4_000);
    assert!(rate > nominal / 2.0 && rate < nominal * 2.0, "{rate} for {nominal}");
}

#[test]
fn negative_binomial_tails_equal_their_sums() {
    for (mean, dispersion) in [(3.0, 0.5), (20.0, 0.1), (0.4, 2.0)] {
        let r: f64 = 1.0 / dispersion;
        let q = mean / (r + mean);
        let (mut term, mut tail) = ((r / (r + mean)).powf(r), 1.0);
        for k in 0..60_u64 {
            let given = negative_binomial_tail(k, mean, dispersion);
            assert!((given - tail).abs() < 1e-9, "k {k} mean {mean}: {given} for {tail}");
            tail -= term;
            term *= q * (r + k as f64) / (k as f64 + 1.0);
        }
    }
    assert_eq!(negative_binomial_tail(5, f64::NAN, 1.0), 0.0);
}

#[test]
fn sellke_gives_the_values_of_the_note() {
    assert!((sellke_nats(1e3_f64.ln()) - 4.0).abs() < 0.05);
    assert!((sellke_nats(1e5_f64.ln()) - 8.1).abs() < 0.05);
    assert_eq!(sellke_nats(0.5), 0.0);
}

#[test]
fn times_of_the_week_are_local() {
    let noon = MONDAY + 12 * HOUR;
    assert_eq!(time_of_week(noon, 0), 6);
    assert_eq!(time_of_week(noon, parse_offset("-05:00").unwrap()), 3);
    assert_eq!(time_of_week(MONDAY - HOUR, 0), 12 + 11);
    for wrong in ["", "Europe/Berlin", "+1", "+99:00", "0100", "+01:0x", "+0é"] {
        assert_eq!(parse_offset(wrong), None, "{wrong}");
    }
}

#[test]
fn g7_the_state_of_an_entity_is_told() {
    let events: Vec<Event> =
        (0..40).map(|d| Event::new("ann", MONDAY + d * DAY + 9 * HOUR, "DE")).collect();
    let (_, units) = run_all(only(FeatureKind::Categorical), &events);
    let states: Vec<Confidence> = of(&units, "ann").iter().map(|u| u.state).collect();
    assert_eq!(states.first(), Some(&Confidence::Learning));
    assert_eq!(states.last(), Some(&Confidence::Confident));
    assert!(states.is_sorted());
    assert!(units.iter().map(|u| u.confidence).is_sorted());
    assert_ne!(hash_value("DE"), hash_value("FR"));
}
