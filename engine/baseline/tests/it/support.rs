//! A small organisation whose rows come from a seed.

use std::sync::Arc;

use rand::{RngExt, SeedableRng, rngs::StdRng, seq::SliceRandom};
use sluice_baseline::{
    Baseline, Feature, FeatureKind, POLICY, PeerSource, Row, Sample, Spec, Unit, UnitScore,
    hash_value,
};
use sluice_event::EntityKind;

pub(crate) const HOUR: i64 = 3_600_000;
pub(crate) const DAY: i64 = 24 * HOUR;
/// 2026-01-05, a Monday.
pub(crate) const MONDAY: i64 = 20_458 * DAY;

#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) entity: String,
    pub(crate) time: i64,
    pub(crate) uid: u128,
    pub(crate) value: String,
    pub(crate) bytes: f64,
    pub(crate) peers: Option<String>,
}

impl Event {
    pub(crate) fn new(entity: &str, time: i64, value: &str) -> Event {
        let uid = (time as u128) << 64 | u128::from(hash_value(value));
        Event { entity: entity.into(), time, uid, value: value.into(), bytes: 100.0, peers: None }
    }
}

pub(crate) fn feature(name: &str, kind: FeatureKind) -> Feature {
    Feature { name: name.into(), kind, reads: name.into(), tactic: Some("TA0001".into()) }
}

/// One feature of each kind.
pub(crate) fn spec(unit: Unit) -> Spec {
    Spec {
        id: "baselines.test".into(),
        entity: EntityKind::User,
        unit,
        features: vec![
            feature("country", FeatureKind::Categorical),
            feature("hour", FeatureKind::TimeOfWeek),
            feature("logons", FeatureKind::Count(vec![HOUR, DAY])),
            feature("hosts", FeatureKind::Distinct(vec![DAY])),
            feature("bytes", FeatureKind::Numeric),
            feature("access", FeatureKind::Edge),
        ],
        alarm_rate: 0.01,
        half_life: DAY,
        warmup: 0,
        peers: PeerSource::default(),
    }
}

pub(crate) fn only(kind: FeatureKind) -> Spec {
    Spec { features: vec![feature("country", kind)], ..spec(Unit::Day) }
}

pub(crate) fn push(baseline: &mut Baseline, event: &Event) {
    let features = baseline.spec().features.clone();
    let samples: Vec<Sample<'_>> = features
        .iter()
        .map(|f| match f.kind {
            FeatureKind::TimeOfWeek => Sample::Text("+0100"),
            FeatureKind::Numeric => Sample::Number(event.bytes),
            _ => Sample::Text(&event.value),
        })
        .collect();
    baseline.push(&Row {
        entity: &event.entity,
        time: event.time,
        uid: event.uid,
        peers: event.peers.as_deref(),
        samples: &samples,
    });
}

/// Users with two countries each and some noise, over `days` days.
pub(crate) fn organisation(seed: u64, users: u32, days: i64) -> Vec<Event> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut events = Vec::new();
    for day in 0..days {
        for user in 0..users {
            if rng.random_bool(0.2) {
                continue;
            }
            for _ in 0..rng.random_range(1..8) {
                let value = match rng.random_range(0..20) {
                    0 => format!("c{}", rng.random_range(0..40)),
                    n => format!("c{}", (user * 3 + n % 2) % 40),
                };
                let time = MONDAY + day * DAY + rng.random_range(7 * HOUR..18 * HOUR);
                let uid = rng.random();
                let bytes = rng.random_range(1.0..1e6);
                let entity = format!("u{user}");
                events.push(Event { entity, time, uid, value, bytes, peers: None });
            }
        }
    }
    events.sort_by_key(|e| (e.time, e.uid));
    events
}

/// Runs events in their order with the watermark `lateness` behind the newest.
pub(crate) fn run(
    baseline: &mut Baseline,
    events: &[Event],
    lateness: i64,
    every: usize,
) -> Vec<UnitScore> {
    let mut out = Vec::new();
    let mut newest = i64::MIN;
    for (i, event) in events.iter().enumerate() {
        push(baseline, event);
        newest = newest.max(event.time);
        if i % every == 0 {
            out.extend(baseline.advance(newest - lateness));
            baseline.open_anomalies();
        }
    }
    out
}

pub(crate) fn run_all(spec: Spec, events: &[Event]) -> (Baseline, Vec<UnitScore>) {
    let mut baseline = Baseline::new(spec, POLICY, 1);
    let mut out = run(&mut baseline, events, 0, 1);
    out.extend(baseline.advance(i64::MAX));
    (baseline, out)
}

/// Exchanges events that are less than `lateness` apart, at random.
pub(crate) fn shuffled(events: &[Event], lateness: i64, seed: u64) -> Vec<Event> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut out = events.to_vec();
    let mut from = 0;
    while from < out.len() {
        let end = out.partition_point(|e| e.time < out[from].time + lateness);
        out[from..end].shuffle(&mut rng);
        from = end;
    }
    out
}

pub(crate) fn of<'a>(units: &'a [UnitScore], entity: &str) -> Vec<&'a UnitScore> {
    let entity: Arc<str> = entity.into();
    units.iter().filter(|u| u.entity == entity).collect()
}
