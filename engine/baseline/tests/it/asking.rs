//! P1: what is asked about a day has one answer on all of it, and asking leaves no trace.

use std::collections::BTreeMap;

use rand::{RngExt, SeedableRng, rngs::StdRng};
use sluice_baseline::{Baseline, POLICY, PeerSource, Sample, Spec, Unit, UnitScore};

use crate::support::{DAY, Event, MONDAY, organisation, push, spec};

type Kept = BTreeMap<Vec<u8>, Vec<u8>>;

/// Events of an organisation that rests on weekends, and once for nine days.
fn events(seed: u64, users: u32) -> Vec<Event> {
    let works = |event: &Event| {
        let day = (event.time - MONDAY).div_euclid(DAY);
        day % 7 < 5 && !(29..38).contains(&day)
    };
    organisation(seed, users, 60).into_iter().filter(works).collect()
}

/// What is asked of some people on a day: about a value, a number and an hour of each.
fn answers(baseline: &Baseline, day: i64) -> Vec<Option<f64>> {
    let people = ["u0", "u1", "u7", "nobody"];
    let of = |entity: &str| {
        [
            baseline.surprise(entity, "country", 0, Sample::Text("c1")),
            baseline.surprise(entity, "country", 0, Sample::Text("never")),
            baseline.surprise(entity, "bytes", 0, Sample::Number(1e9)),
            baseline.surprise(entity, "hour", day * DAY + 3 * 3_600_000, Sample::Missing),
            baseline.surprise(entity, "logons", 0, Sample::Number(3.0)),
            baseline.surprise(entity, "country", 0, Sample::Missing),
        ]
    };
    people.into_iter().flat_map(of).collect()
}

fn whole(baseline: &mut Baseline) -> Kept {
    let entries = baseline.export(true).into_iter();
    entries.filter_map(|entry| Some((entry.key, entry.value?))).collect()
}

/// Closes every day with an event or a question in turn, and asks on those of `asked`.
fn run(
    spec: &Spec,
    events: &[Event],
    asked: impl Fn(i64) -> bool,
    restarts: u64,
) -> (Vec<UnitScore>, Kept, BTreeMap<i64, Vec<Option<f64>>>) {
    let mut rng = StdRng::seed_from_u64(restarts);
    let mut baseline = Baseline::new(spec.clone(), POLICY, 2);
    let (mut units, mut said) = (Vec::new(), BTreeMap::new());
    let mut rest = events;
    while let Some(next) = rest.first().map(|event| event.time.div_euclid(DAY)) {
        let last = said.keys().next_back().map_or(MONDAY / DAY, |day: &i64| day + 1);
        for day in (last..=next).filter(|day| asked(*day)) {
            units.extend(baseline.begin(day));
            said.insert(day, answers(&baseline, day));
            if restarts > 0 && rng.random_bool(0.2) {
                let kept = whole(&mut baseline);
                baseline = Baseline::new(spec.clone(), POLICY, rng.random_range(1..4));
                let entries = kept.iter().map(|(key, value)| (key.as_slice(), value.as_slice()));
                assert_eq!(baseline.import(entries), Ok(()));
            }
        }
        let (today, later) = rest.split_at(rest.partition_point(|e| e.time < (next + 1) * DAY));
        for event in today {
            push(&mut baseline, event);
            units.extend(baseline.advance(event.time));
            if rng.random_bool(0.05) && said.contains_key(&next) {
                assert_eq!(said[&next], answers(&baseline, next), "another answer on day {next}");
            }
        }
        rest = later;
    }
    let last = events.last().map_or(0, |event| event.time.div_euclid(DAY) + 1);
    units.extend(baseline.advance(last * DAY));
    (units, whole(&mut baseline), said)
}

fn check(peers: PeerSource, users: u32) {
    let spec = Spec { peers, ..spec(Unit::Day) };
    let events = events(5, users);
    let (units, state, said) = run(&spec, &events, |_| false, 0);
    assert!(units.len() > 500 && said.is_empty(), "{}", units.len());
    let (same, kept, all) = run(&spec, &events, |_| true, 0);
    assert!(same == units && kept == state, "asking every day changes what is scored or learned");
    let some = |answers: &[Option<f64>]| answers.iter().flatten().filter(|z| **z > 1.0).count();
    assert!(all.values().map(|answers| some(answers)).sum::<usize>() > 100, "{all:?}");
    assert!(
        all.values().any(|answers| answers.iter().all(Option::is_none)),
        "nothing is known yet"
    );
    for seed in 1..5 {
        let asked = |day: i64| day.rem_euclid(seed as i64 + 1) != 0;
        let (same, kept, part) = run(&spec, &events, asked, seed);
        assert!(same == units && kept == state, "seed {seed}");
        let other = part.iter().find(|(day, answers)| all[day] != **answers);
        assert!(part.len() > 20 && other.is_none(), "seed {seed}: {other:?}");
    }
}

#[test]
fn p1_asking_leaves_no_trace_and_has_one_answer_a_day() {
    check(PeerSource::default(), 24);
}

#[test]
fn p1_asking_leaves_no_trace_with_learned_groups() {
    check(PeerSource { learned: true, ..PeerSource::default() }, 60);
}
