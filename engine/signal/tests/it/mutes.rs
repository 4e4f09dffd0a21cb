//! Mutes (H4): rises that people expect reach no receiver, and are kept with the reason.

use std::collections::BTreeSet;

use sluice_event::EntityKind;
use sluice_signal::{
    AfterMute, EntityKey, EventType, Level, Mute, MutePurpose, Observation, Profile,
    push::Answer,
    transmitter::{HISTORY_PREFIX, HistoryRow},
};

use crate::support::{Bench, MINUTE, event, http, levels, push_profile, settings, user};

const ANN: &str = "ann@example.com";

fn pentest(bench: &Bench, entities: &[&str]) -> Mute {
    Mute {
        id: "one".into(),
        purpose: MutePurpose::Pentest,
        entities: entities.iter().map(|entity| (*entity).to_owned()).collect(),
        receivers: BTreeSet::new(),
        reason: "red team, week 2".into(),
        by: "bob".into(),
        from: bench.now,
        until: bench.now + 60 * MINUTE,
        then: AfterMute::Tell,
        muted: 0,
    }
}

fn mute(bench: &mut Bench, mute: Mute) {
    let now = bench.now;
    bench.transmitter.mute(mute, now).unwrap();
    bench.commit();
}

fn pass(bench: &mut Bench, time: i64) {
    bench.now += time;
    let now = bench.now;
    bench.transmitter.tick(now);
    bench.commit();
}

/// What the receiver gets now: type and levels of each.
fn told(bench: &mut Bench) -> Vec<(EventType, (String, String))> {
    let mut all = Vec::new();
    while let Some((attempt, set)) = bench.pushed() {
        bench.answer(&attempt, &http(202));
        all.push((set.known[0], levels(&set)));
    }
    all
}

fn change(current: &str, previous: &str) -> Vec<(EventType, (String, String))> {
    vec![(EventType::RiskLevelChange, (current.into(), previous.into()))]
}

/// Rows of history of what was muted.
fn muted_rows(bench: &Bench) -> Vec<HistoryRow> {
    let rows = bench.disk.iter().filter(|(key, _)| key.starts_with(HISTORY_PREFIX));
    let rows = rows.map(|(_, row)| serde_json::from_slice::<HistoryRow>(row).unwrap());
    rows.filter(|row| row.action == "muted").collect()
}

fn kept(bench: &Bench) -> usize {
    bench.transmitter.health(&bench.push_stream()).muted
}

#[test]
fn h4_a_rise_is_kept_with_its_reason_and_told_when_the_mute_is_over() {
    let revoking = Profile { revoke_sessions: true, ..push_profile("idp") };
    let mut bench = Bench::new(vec![revoking]);
    let planned = pentest(&bench, &["user:ann@example.com"]);
    mute(&mut bench, planned);
    bench.observe(ANN, Level::High);
    assert_eq!(told(&mut bench), []);
    // Others are heard of, and her level is what it is for everybody who asks.
    bench.observe("carl@example.com", Level::Medium);
    assert_eq!(told(&mut bench), change("MEDIUM", "LOW"));
    assert_eq!(bench.transmitter.level(&user(ANN)).unwrap().level, Level::High);

    let rows = muted_rows(&bench);
    let types: Vec<&str> = rows.iter().filter_map(|row| row.event_type.as_deref()).collect();
    assert_eq!(types, ["risk-level-change", "session-revoked"]);
    assert!(rows.iter().all(|row| row.detail.as_deref() == Some("pentest: red team, week 2")));
    assert_eq!(bench.transmitter.totals().muted, 2);
    assert_eq!(kept(&bench), 1);
    assert_eq!(bench.transmitter.mutes().next().unwrap().muted, 2);

    // Over a crash, and when its time is over: the SETs that were not told then, with their ids.
    bench.restart();
    assert_eq!((kept(&bench), told(&mut bench)), (1, vec![]));
    pass(&mut bench, 60 * MINUTE);
    let (attempt, set) = bench.pushed().unwrap();
    assert_eq!(levels(&set), ("HIGH".into(), "LOW".into()));
    assert_eq!(Some(attempt.jti.as_str()), rows[0].jti.as_deref());
    assert_eq!(set.claims["txn"].as_str(), rows[0].txn.as_deref());
    bench.answer(&attempt, &http(202));
    let (attempt, _) = bench.pushed().unwrap();
    assert_eq!(Some(attempt.jti.as_str()), rows[1].jti.as_deref());
    bench.answer(&attempt, &http(202));
    assert_eq!((kept(&bench), bench.transmitter.mutes().count()), (0, 0));
    bench.restart();
    assert_eq!(told(&mut bench), []);
}

#[test]
fn h4_what_fell_again_was_never_told_and_what_a_receiver_knew_is_taken_back() {
    let mut bench = Bench::new(vec![push_profile("idp")]);
    bench.observe("known@example.com", Level::High);
    assert_eq!(told(&mut bench), change("HIGH", "LOW"));
    let until = bench.now + 600 * MINUTE;
    let all = Mute { until, ..pentest(&bench, &["user:*"]) };
    mute(&mut bench, all);
    // A fall lets somebody in again: it is told.
    bench.now += 5 * MINUTE;
    bench.observe("known@example.com", Level::Medium);
    assert_eq!(told(&mut bench), change("MEDIUM", "HIGH"));
    bench.now += 5 * MINUTE;
    bench.observe("known@example.com", Level::High);
    assert_eq!(told(&mut bench), []);
    bench.now += 5 * MINUTE;
    bench.observe("known@example.com", Level::Medium);
    assert_eq!((told(&mut bench), kept(&bench)), (vec![], 0));
    // Later, so that it does not flap.
    bench.now += 61 * MINUTE;
    bench.observe("known@example.com", Level::Low);
    assert_eq!(told(&mut bench), change("LOW", "MEDIUM"));

    // Up and down in the window: nothing.
    bench.observe(ANN, Level::High);
    bench.observe(ANN, Level::Medium);
    assert_eq!((told(&mut bench), kept(&bench)), (vec![], 1));
    bench.restart();
    bench.observe(ANN, Level::Low);
    assert_eq!((told(&mut bench), kept(&bench)), (vec![], 0));
    pass(&mut bench, 600 * MINUTE);
    assert_eq!(told(&mut bench), []);
    // The next one is told again.
    bench.observe(ANN, Level::High);
    assert_eq!(told(&mut bench), change("HIGH", "LOW"));
}

#[test]
fn h4_what_a_person_decides_is_never_muted() {
    let mut bench = Bench::new(vec![push_profile("idp")]);
    let planned = pentest(&bench, &["user:ann@example.com"]);
    mute(&mut bench, planned);
    bench.observe(ANN, Level::Medium);
    assert_eq!(told(&mut bench), []);
    bench.raise(ANN, Level::High);
    assert_eq!(told(&mut bench), change("HIGH", "LOW"));
    assert_eq!(kept(&bench), 0);
}

#[test]
fn h4_a_mute_may_drop_what_it_kept_be_planned_end_early_and_concern_one_receiver() {
    let mut bench = Bench::new(vec![push_profile("idp")]);
    let planned = Mute {
        from: bench.now + 10 * MINUTE,
        then: AfterMute::Drop,
        ..pentest(&bench, &["user:ann@example.com"])
    };
    mute(&mut bench, planned);
    bench.observe(ANN, Level::Medium);
    assert_eq!(told(&mut bench), change("MEDIUM", "LOW"), "it has not begun");
    bench.now += 10 * MINUTE;
    bench.observe(ANN, Level::High);
    assert_eq!((told(&mut bench), kept(&bench)), (vec![], 1));
    let now = bench.now;
    let ended = bench.transmitter.unmute("one", "bob", "done", now).unwrap();
    bench.commit();
    assert_eq!((ended.muted, told(&mut bench), kept(&bench)), (1, vec![], 0));
    assert!(bench.transmitter.unmute("one", "bob", "done", now).is_none());

    // Of another receiver only.
    let mut bench = Bench::new(vec![push_profile("idp"), push_profile("other")]);
    let only = Mute {
        receivers: BTreeSet::from(["other".to_owned()]),
        ..pentest(&bench, &["user:ann@example.com"])
    };
    mute(&mut bench, only);
    bench.observe(ANN, Level::High);
    let of = |bench: &Bench, name: &str| {
        let mut streams = bench.transmitter.streams();
        let id = streams.find(|s| s.receiver == name).unwrap().id.clone();
        let health = bench.transmitter.health(&id);
        (health.queued, health.muted)
    };
    assert_eq!((of(&bench, "idp"), of(&bench, "other")), ((1, 0), (0, 1)));

    // One that names nobody, an unknown receiver, or the past.
    let now = bench.now;
    for wrong in [
        Mute { id: "a".into(), ..pentest(&bench, &[]) },
        Mute {
            id: "b".into(),
            receivers: BTreeSet::from(["nobody".to_owned()]),
            ..pentest(&bench, &["user:*"])
        },
        Mute { id: "c".into(), until: now, ..pentest(&bench, &["user:*"]) },
        pentest(&bench, &["user:*"]),
    ] {
        assert!(bench.transmitter.mute(wrong, now).is_err());
    }
}

#[test]
fn h4_a_device_that_does_not_comply_is_muted_too_and_one_mute_takes_over_from_another() {
    let mut bench = Bench::new(vec![push_profile("idp")]);
    let mut first = pentest(&bench, &["device:lap-1"]);
    first.until = bench.now + 30 * MINUTE;
    mute(&mut bench, first);
    let second = Mute {
        id: "two".into(),
        purpose: MutePurpose::Maintenance,
        until: bench.now + 60 * MINUTE,
        ..pentest(&bench, &["device:*"])
    };
    mute(&mut bench, second);
    let device = EntityKey { kind: EntityKind::Device, id: "lap-1".into() };
    let seen = Observation {
        level: Level::Medium,
        score: Some(45.0),
        at: bench.now,
        reasons: vec!["endpoint.device_not_compliant".into()],
    };
    let now = bench.now;
    bench.transmitter.observe(&device, seen, now);
    bench.commit();
    assert_eq!((told(&mut bench), muted_rows(&bench).len()), (vec![], 2));
    pass(&mut bench, 30 * MINUTE);
    assert_eq!((told(&mut bench), kept(&bench)), (vec![], 1));
    bench.restart();
    pass(&mut bench, 30 * MINUTE);
    let (attempt, set) = bench.pushed().unwrap();
    assert_eq!(set.known, [EventType::DeviceComplianceChange]);
    assert_eq!(event(&set)["current_status"], "not-compliant");
    bench.answer(&attempt, &Answer::Http { status: 202, retry_after: None, err: None });
    assert_eq!(told(&mut bench), change("MEDIUM", "LOW"));
}

#[test]
fn h4_expected_rises_are_no_storm() {
    let mut bench = Bench::with(
        sluice_signal::Settings { storm_limit: 3, ..settings() },
        vec![push_profile("idp")],
    );
    let all = pentest(&bench, &["user:*"]);
    mute(&mut bench, all);
    for n in 0..10 {
        bench.observe(&format!("u{n}@example.com"), Level::High);
    }
    assert_eq!(bench.transmitter.storms(), []);
    assert_eq!((kept(&bench), told(&mut bench).len()), (10, 0));
}
