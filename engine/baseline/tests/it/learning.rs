//! G: quarantined learning; T: what attackers, role changes and bad input do to it.

use sluice_baseline::{Baseline, FeatureKind, POLICY, Row, Sample, Spec, Unit, Verdict};

use crate::support::{DAY, Event, HOUR, MONDAY, of, only, organisation, run, run_all, spec};

fn days(entity: &str, from: i64, to: i64, value: &str) -> Vec<Event> {
    (from..to)
        .flat_map(|d| {
            (0..5).map(move |i| Event::new(entity, MONDAY + d * DAY + (9 + i) * HOUR, value))
        })
        .collect()
}

/// `ann` signs in from DE for 60 days among others, then from `value`.
fn change(value: &str, days_after: i64) -> Vec<Event> {
    let mut events = organisation(5, 30, 60 + days_after);
    events.extend(days("ann", 0, 60, "DE"));
    events.extend(days("ann", 60, 60 + days_after, value));
    events.sort_by_key(|e| (e.time, e.uid));
    events
}

#[test]
fn g1_an_attack_is_as_unusual_on_its_fifth_day_as_on_its_first() {
    let (_, units) = run_all(only(FeatureKind::Categorical), &change("KP", 12));
    let ann = of(&units, "ann");
    let after: Vec<f64> = ann.iter().rev().take(12).rev().map(|u| u.score).collect();
    assert!(after[0] > 2.5, "{after:?}");
    for day in 1..5 {
        assert!((after[day] - after[0]).abs() < 0.2, "{after:?}");
    }
}

#[test]
fn t1_a_role_change_goes_quiet_within_ten_days() {
    let (_, units) = run_all(only(FeatureKind::Categorical), &change("KP", 12));
    let ann = of(&units, "ann");
    assert!(ann[60].anomaly.is_some(), "the change itself is an anomaly: {:?}", ann[60]);
    let last = ann.last().unwrap();
    assert!(last.anomaly.is_none() && last.score < 0.5, "{last:?}");
}

#[test]
fn an_anomaly_explains_itself() {
    let (_, units) = run_all(only(FeatureKind::Categorical), &change("KP", 1));
    let ann = of(&units, "ann");
    let anomaly = ann.last().unwrap().anomaly.clone().unwrap();
    let value = &anomaly.features[0].values[0];
    assert_eq!((value.value.as_str(), value.count, value.seen), ("KP", 5, 0.0));
    assert!(value.of > 200.0 && value.expected < 0.01 && value.self_nats > 2.0, "{value:?}");
    assert_eq!(anomaly.model_version, (MONDAY + 60 * DAY) / DAY);
}

#[test]
fn g2_verdicts_decide_what_is_learned() {
    let scores = |verdict: Option<Verdict>| {
        let events = change("KP", 12);
        let cut = events.partition_point(|e| e.time < MONDAY + 61 * DAY);
        let mut baseline = Baseline::new(only(FeatureKind::Categorical), POLICY, 1);
        run(&mut baseline, &events[..cut], 0, 1);
        baseline.advance(MONDAY + 61 * DAY);
        if let Some(verdict) = verdict {
            assert!(baseline.decide("ann", MONDAY + 60 * DAY, verdict));
            assert!(
                !baseline.decide("ann", MONDAY + 60 * DAY, verdict),
                "it is learned or dropped"
            );
            assert!(!baseline.decide("nobody", MONDAY, verdict));
        }
        let mut out = run(&mut baseline, &events[cut..], 0, 1);
        out.extend(baseline.advance(i64::MAX));
        of(&out, "ann").iter().map(|u| u.score).collect::<Vec<f64>>()
    };
    let (none, benign, bad) =
        (scores(None), scores(Some(Verdict::Benign)), scores(Some(Verdict::Compromised)));
    assert!(benign[1] < none[1] - 1.0, "benign is learned at once: {benign:?} {none:?}");
    assert!(bad[5] > none[5], "compromised is never learned: {bad:?} {none:?}");
}

#[test]
fn g9_warm_up_units_are_learned_and_not_scored() {
    let spec = Spec { warmup: 50, ..only(FeatureKind::Categorical) };
    let (baseline, units) = run_all(spec, &days("ann", 0, 60, "DE"));
    assert_eq!(units.len(), 10);
    assert_eq!((baseline.stats().units, baseline.stats().judged), (60, 10));
}

#[test]
fn t6_a_job_that_never_changes_is_not_surprising_and_one_new_destination_is() {
    let mut events = Vec::new();
    for day in 0..61 {
        for account in 0..30 {
            let (name, host) = (format!("svc{account}"), format!("backup-{}", account % 7));
            events.extend((0..24).map(|h| Event::new(&name, MONDAY + day * DAY + h * HOUR, &host)));
        }
    }
    events.push(Event::new("svc3", MONDAY + 60 * DAY + 90_000, "dc-7"));
    events.sort_by_key(|e| (e.time, e.uid));
    let (_, units) = run_all(only(FeatureKind::Edge), &events);
    let svc = of(&units, "svc3");
    let (last, before) = svc.split_last().unwrap();
    assert!(before[10..].iter().all(|u| u.surprise < 1.0 && u.anomaly.is_none()));
    let values = &last.anomaly.as_ref().map(|a| a.features[0].values[0].value.clone());
    assert_eq!(values.as_deref(), Some("dc-7"), "{last:?}");
}

#[test]
fn t4_a_new_entity_is_not_an_anomaly() {
    let mut events = organisation(5, 30, 60);
    events.extend(days("new", 55, 56, "c3"));
    events.sort_by_key(|e| (e.time, e.uid));
    let (_, units) = run_all(only(FeatureKind::Categorical), &events);
    let new = of(&units, "new");
    assert!(new[0].score.abs() < 1e-9 && new[0].anomaly.is_none(), "{:?}", new[0]);
}

#[test]
fn counts_and_fan_out_far_above_the_usual_are_anomalies() {
    for kind in [FeatureKind::Count(vec![HOUR, DAY]), FeatureKind::Distinct(vec![DAY])] {
        let mut events = organisation(5, 30, 61);
        events.extend(days("ann", 0, 60, "DE"));
        events.extend((0..500).map(|i| {
            Event::new("ann", MONDAY + 60 * DAY + 9 * HOUR + i * 1_000, &format!("host{i}"))
        }));
        events.sort_by_key(|e| (e.time, e.uid));
        let (_, units) = run_all(only(kind.clone()), &events);
        let ann = of(&units, "ann");
        assert!(ann.last().unwrap().anomaly.is_some(), "{kind:?} {:?}", ann.last());
    }
}

#[test]
fn p5_an_open_unit_is_reported_before_it_closes_whatever_the_order() {
    let mut closed = Vec::new();
    for reverse in [false, true] {
        let mut events = change("KP", 0);
        let mut day = days("ann", 60, 61, "KP");
        day.extend(
            (0..30).map(|i| Event::new("ann", MONDAY + 60 * DAY + 10 * HOUR + i, &format!("x{i}"))),
        );
        if reverse {
            day.reverse();
        }
        let mut baseline = Baseline::new(only(FeatureKind::Categorical), POLICY, 1);
        run(&mut baseline, &events, 0, 1);
        events.clear();
        baseline.advance(MONDAY + 60 * DAY);
        let mut found = Vec::new();
        for event in &day {
            crate::support::push(&mut baseline, event);
            baseline.advance(MONDAY + 60 * DAY);
            found.extend(baseline.open_anomalies());
        }
        let last = found.last().cloned().expect("reported while open");
        assert!(!last.is_final && last.entity.as_ref() == "ann");
        assert!(found.iter().map(|a| a.surprise).is_sorted());
        let units = baseline.advance(MONDAY + 61 * DAY);
        let unit = of(&units, "ann")[0].clone();
        assert!(unit.anomaly.as_ref().is_some_and(|a| a.is_final) && unit.withdrawn.is_none());
        closed.push(unit);
    }
    assert_eq!(closed[0], closed[1]);
}

#[test]
fn p5_what_the_rest_of_the_day_explains_is_withdrawn() {
    let spec = Spec { alarm_rate: 0.05, ..only(FeatureKind::Categorical) };
    // While there are too few scores to tell how unusual a single event is.
    let policy = sluice_baseline::Policy { calibration_min: u64::MAX, ..POLICY };
    let mut baseline = Baseline::new(spec, policy, 1);
    run(&mut baseline, &change("KP", 0), 0, 1);
    let at = MONDAY + 60 * DAY + HOUR;
    crate::support::push(&mut baseline, &Event::new("ann", at, "never seen"));
    baseline.advance(MONDAY + 60 * DAY);
    assert_eq!(baseline.open_anomalies().len(), 1);
    assert_eq!(baseline.open_anomalies(), [], "reported once");
    for i in 0..200 {
        crate::support::push(&mut baseline, &Event::new("ann", at + i, "DE"));
    }
    let units = baseline.advance(MONDAY + 61 * DAY);
    let unit = of(&units, "ann")[0];
    assert_eq!(unit.anomaly, None);
    assert!(unit.withdrawn.as_ref().is_some_and(|a| a.is_final && a.events == 201), "{unit:?}");
}

#[test]
fn bad_values_are_counted_and_nothing_panics() {
    let mut baseline = Baseline::new(spec(Unit::Day), POLICY, 2);
    let long = "é".repeat(500_000);
    for (i, number) in [f64::NAN, f64::INFINITY, -0.0, f64::MAX, f64::MIN].into_iter().enumerate() {
        for (entity, time) in [("", 0), ("ann", i64::MAX), ("ann", i64::MIN), ("ann", MONDAY)] {
            let samples = [
                Sample::Text(&long),
                Sample::Text("nowhere"),
                Sample::Missing,
                Sample::Number(number),
                Sample::Number(number),
                Sample::Missing,
            ];
            baseline.push(&Row { entity, time, uid: i as u128, peers: None, samples: &samples });
        }
        baseline.advance(MONDAY);
    }
    baseline.advance(i64::MAX);
    baseline.export(true);
    let stats = baseline.stats();
    assert_eq!(stats.no_entity, 5);
    assert!(stats.not_a_number >= 4 && stats.not_an_offset > 0 && stats.late > 0, "{stats:?}");
}

#[test]
fn b1_a_flood_of_entities_is_bounded_and_counted() {
    let policy = sluice_baseline::Policy { entities_max: 100, ..POLICY };
    let mut baseline = Baseline::new(only(FeatureKind::Categorical), policy, 1);
    for day in 0..20 {
        let ann = Event::new("ann", MONDAY + day * DAY + HOUR, "DE");
        if day == 0 {
            crate::support::push(&mut baseline, &ann);
        }
        for i in 0..300 {
            let event = Event::new(&format!("flood{day}-{i}"), MONDAY + day * DAY, "x");
            crate::support::push(&mut baseline, &event);
        }
        crate::support::push(&mut baseline, &ann);
        baseline.advance(MONDAY + (day + 1) * DAY);
        baseline.open_anomalies();
    }
    let stats = baseline.stats();
    assert!(stats.entities <= 100 && stats.evicted >= 20 * 25, "{stats:?}");
    assert!(stats.refused > 3_000, "{stats:?}");
    let has = |key: &[u8]| baseline.clone().export(true).iter().any(|e| e.key.ends_with(key));
    assert!(has(b"ann"), "who has a history stays");
}

#[test]
fn b1_a_million_new_entities_in_a_burst_take_no_more_than_their_bound() {
    let mut baseline = Baseline::new(only(FeatureKind::Categorical), POLICY, 2);
    crate::support::push(&mut baseline, &Event::new("ann", MONDAY, "DE"));
    let samples = [Sample::Text("x")];
    for i in 0..1_000_000_u32 {
        let (entity, time) = (format!("flood {i}"), MONDAY + i64::from(i));
        baseline.push(&Row {
            entity: &entity,
            time,
            uid: i.into(),
            peers: None,
            samples: &samples,
        });
    }
    let stats = baseline.stats();
    let most = POLICY.entities_max as u64;
    assert!((most - 2_000..=most).contains(&stats.entities), "{stats:?}");
    assert_eq!(stats.entities + stats.refused, 1_000_001, "each is known or counted");
    assert!(baseline.entity_bytes() < most * 1_024, "{} bytes", baseline.entity_bytes());
    crate::support::push(&mut baseline, &Event::new("ann", MONDAY + HOUR, "DE"));
    assert_eq!(baseline.stats().refused, stats.refused, "who was there goes on");
}
