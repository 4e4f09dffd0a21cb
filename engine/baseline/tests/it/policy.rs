//! L, G and P: what each number of a score is made of, what is learned when, and what a score may depend on.

use std::collections::BTreeMap;

use sluice_baseline::{
    Anomaly, Baseline, EntityProfile, FeatureKind, Known, POLICY, Spec, StateEntry, Unit,
    UnitScore, ValueScore,
};

use crate::support::{
    DAY, Event, HOUR, MONDAY, feature, of, only, organisation, push, run_all, spec,
};

/// Every unit is an anomaly with its explanation.
fn told(spec: Spec) -> Spec {
    Spec { alarm_rate: 1.0, ..spec }
}

/// So many rows of an entity on a day.
fn rows(entity: &str, day: i64, value: &str, count: i64) -> impl Iterator<Item = Event> {
    let at = MONDAY + day * DAY + 9 * HOUR;
    (0..count).map(move |i| Event::new(entity, at + i * 1_000, value))
}

fn scored(spec: Spec, mut events: Vec<Event>) -> Vec<UnitScore> {
    events.sort_by_key(|e| (e.time, e.uid));
    run_all(told(spec), &events).1
}

fn anomaly(units: &[UnitScore], entity: &str, day: i64) -> Anomaly {
    let unit = of(units, entity).into_iter().find(|u| u.unit == MONDAY + day * DAY);
    unit.and_then(|unit| unit.anomaly.as_deref().cloned())
        .unwrap_or_else(|| panic!("{entity} has no unit on day {day}"))
}

fn score(units: &[UnitScore], entity: &str, day: i64) -> f64 {
    let unit = of(units, entity).into_iter().find(|u| u.unit == MONDAY + day * DAY);
    unit.map_or(f64::NAN, |unit| unit.score)
}

fn value(units: &[UnitScore], entity: &str, day: i64, text: &str) -> ValueScore {
    let anomaly = anomaly(units, entity, day);
    let mut values = anomaly.features.into_iter().flat_map(|f| f.values);
    values.find(|v| v.value == text).unwrap_or_else(|| panic!("{entity} does not have {text}"))
}

/// Twenty people with one row of `DE` a day, and an account that uses `BACKUP` a hundred times as often.
fn people(days: i64) -> Vec<Event> {
    let mut events = Vec::new();
    for day in 0..days {
        for person in 0..20 {
            events.extend(rows(&format!("p{person}"), day, "DE", 1));
        }
        events.extend(rows("backup", day, "BACKUP", 100));
    }
    events
}

#[test]
fn l1_an_entity_counts_once_in_the_organisation_however_busy_it_is() {
    let mut events = people(30);
    events.extend(rows("p0", 30, "BACKUP", 1));
    let units = scored(only(FeatureKind::Categorical), events);
    let seen = value(&units, "p0", 30, "BACKUP");
    // One of 21 entities uses nothing else; two values are known.
    assert!((seen.organisation - (1.0 + 1.0 / 3.0) / 22.0).abs() < 1e-9, "{seen:?}");
    assert_eq!(seen.peers, seen.organisation, "without a group");
}

#[test]
fn l2_the_parts_of_a_score_can_be_recomputed_from_what_is_told() {
    let mut events = people(30);
    events.extend(rows("p0", 30, "BACKUP", 1));
    let units = scored(only(FeatureKind::Categorical), events);
    let seen = value(&units, "p0", 30, "BACKUP");
    assert!((seen.self_nats - (seen.organisation / seen.expected).ln()).abs() < 1e-9, "{seen:?}");
    assert!((seen.rarity_nats + seen.organisation.ln()).abs() < 1e-9, "{seen:?}");
    assert!(seen.peer_nats.abs() < 1e-12, "{seen:?}");
    assert!((score(&units, "p0", 30) - seen.self_nats).abs() < 1e-9, "one value: its mean");
}

#[test]
fn l4_a_unit_of_repeats_says_no_more_than_one_and_beside_others_the_root_of_them() {
    let mut events = people(30);
    let usual = |name: &str| -> Vec<Event> {
        (0..30).flat_map(|day| rows(name, day, "DE", 4).collect::<Vec<_>>()).collect()
    };
    events.extend(["once", "often", "both"].into_iter().flat_map(usual));
    events.extend(rows("once", 30, "KP", 1));
    events.extend(rows("often", 30, "KP", 400));
    events.extend(rows("both", 30, "KP", 1));
    events.extend(rows("both", 30, "DE", 16));
    let units = scored(only(FeatureKind::Categorical), events);
    let (once, often) = (score(&units, "once", 30), score(&units, "often", 30));
    assert!((once - often).abs() < 1e-9, "{once} {often}");
    let usual = score(&units, "both", 29);
    let both = score(&units, "both", 30);
    assert!((both - (once + 4.0 * usual) / 5.0).abs() < 0.01, "{both} of {once} and {usual}");
}

#[test]
fn l5_features_add_up_in_nats() {
    let mut events = people(30);
    events.extend(rows("p0", 30, "BACKUP", 1));
    let two = Spec {
        features: vec![
            feature("country", FeatureKind::Categorical),
            feature("access", FeatureKind::Edge),
        ],
        ..spec(Unit::Day)
    };
    let units = scored(two, events);
    let features = anomaly(&units, "p0", 30).features;
    let [one, other] = features.as_slice() else { panic!("{features:?}") };
    assert!(one.score > 2.0 && one.score == other.score, "the same values: {features:?}");
    let all = score(&units, "p0", 30);
    assert!((all - one.score - other.score).abs() < 1e-12, "{all} of {features:?}");
}

#[test]
fn g3_old_evidence_fades_at_a_cap() {
    let mut events = Vec::new();
    for day in 0..210 {
        for person in 0..5 {
            events.extend(rows(&format!("p{person}"), day, "DE", 10));
        }
    }
    events.extend(rows("p0", 210, "KP", 1));
    let units = scored(only(FeatureKind::Categorical), events);
    let seen = value(&units, "p0", 210, "KP");
    // Ten rows a day are the median unit; usual ones are learned at half their weight, 205 of them.
    assert!((seen.of - POLICY.cap_units * 10.0).abs() < 1e-6, "{seen:?}");
}

#[test]
fn g4_the_prior_is_worth_two_median_units() {
    let mut events = Vec::new();
    for day in 0..30 {
        for person in 0..5 {
            events.extend(rows(&format!("p{person}"), day, "DE", 10));
        }
    }
    events.extend(rows("p0", 30, "KP", 1));
    let units = scored(only(FeatureKind::Categorical), events);
    let seen = value(&units, "p0", 30, "KP");
    // expected = prior * p_org / (of + prior)
    let prior = seen.expected * seen.of / (seen.organisation - seen.expected);
    assert!((prior - POLICY.prior_units * 10.0).abs() < 1e-6, "{prior}: {seen:?}");
}

/// State as a store keeps it.
fn kept(baseline: &mut Baseline) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let entry = |entry: StateEntry| Some((entry.key, entry.value?));
    baseline.export(true).into_iter().filter_map(entry).collect()
}

#[test]
fn g5_quarantine_and_the_values_of_a_unit_are_bounded_and_what_is_folded_counts() {
    let mut baseline = Baseline::new(only(FeatureKind::Categorical), POLICY, 1);
    for day in 0..20 {
        for i in 0..1_000 {
            let at = MONDAY + day * DAY + i * 1_000;
            push(&mut baseline, &Event::new("ann", at, &format!("value {i}")));
        }
        baseline.advance(MONDAY + day * DAY);
    }
    let spec = baseline.spec().clone();
    let state = kept(&mut baseline);
    let mut get = |key: &[u8]| state.get(key).cloned();
    let profile = EntityProfile::read(&spec, "ann", &mut get).unwrap().unwrap();
    // The days of the delay, and the open one.
    assert!(profile.waiting <= POLICY.delay_days as u64 + 1, "{} wait", profile.waiting);
    let known = Known::read(&spec, &mut get).unwrap().unwrap();
    let ann = known.entity(&get(&Known::entity_key("ann")).unwrap()).unwrap();
    let values = known.values(&ann, &mut |_| None);
    assert_eq!(values.len(), POLICY.unit_values_max);
    let share: f64 = values.iter().filter_map(|v| v.share).sum();
    assert!((share - 0.128).abs() < 0.01, "what is folded is part of all: {share}");
}

#[test]
fn g6_what_is_in_quarantine_is_not_in_the_population() {
    let mut events = people(30);
    for day in 30..39 {
        for person in 0..10 {
            events.extend(rows(&format!("p{person}"), day, "KP", 1));
        }
        // Each day one who never did before.
        events.extend(rows(&format!("p{}", day - 20), day, "KP", 1));
    }
    let units = scored(only(FeatureKind::Categorical), events);
    let share = |day: i64| value(&units, &format!("p{}", day - 20), day, "KP").organisation;
    // Learned on the fifth day after, and in the population that is made for the day after that.
    for day in 31..=35 {
        assert_eq!(share(day), share(30), "day {day}");
    }
    assert!(share(38) > 2.0 * share(30), "{} {}", share(38), share(30));
}

#[test]
fn p1_a_day_is_scored_by_what_was_there_before_the_delay_alone() {
    let day = MONDAY / DAY + 40;
    let all = organisation(7, 24, 41);
    let (_, before) = run_all(spec(Unit::Day), &all);
    // Within the delay everything is something else, but the day itself.
    let changed: Vec<Event> = all
        .into_iter()
        .map(|event| match event.time.div_euclid(DAY) {
            at if (day - POLICY.delay_days + 1..day).contains(&at) => {
                Event { value: format!("other {}", event.value), ..event }
            }
            _ => event,
        })
        .collect();
    let (_, after) = run_all(spec(Unit::Day), &changed);
    let of_day = |units: &[UnitScore]| -> Vec<(String, f64)> {
        let units = units.iter().filter(|u| u.unit == day * DAY);
        units.map(|u| (u.entity.to_string(), u.score)).collect()
    };
    assert!(of_day(&before).len() > 10);
    assert_eq!(of_day(&before), of_day(&after));
}

#[test]
fn p2_a_unit_names_the_population_of_its_own_day() {
    for unit in [Unit::Day, Unit::Session(2 * HOUR)] {
        let (_, units) = run_all(told(spec(unit)), &organisation(7, 24, 30));
        let anomalies = units.iter().filter_map(|u| u.anomaly.as_ref());
        let mut told = 0;
        for anomaly in anomalies {
            told += 1;
            let own = anomaly.time.div_euclid(DAY);
            // A session is closed, and scored, by the first instant that cannot continue it.
            let last = own + i64::from(unit != Unit::Day);
            assert!((own..=last).contains(&anomaly.model_version), "{unit:?}: {anomaly:?}");
        }
        assert!(told > 200, "{told}");
    }
}

#[test]
fn p4_surprises_are_compared_as_they_are_shown() {
    let (_, units) = run_all(told(spec(Unit::Day)), &organisation(7, 24, 60));
    for unit in &units {
        let micro = unit.surprise * 1e6;
        assert!((micro - micro.round()).abs() < 1e-6 && unit.surprise <= POLICY.surprise_max);
        let features = unit.anomaly.iter().flat_map(|anomaly| &anomaly.features);
        for feature in features {
            let micro = feature.surprise * 1e6;
            assert!((micro - micro.round()).abs() < 1e-6, "{feature:?}");
        }
    }
}
