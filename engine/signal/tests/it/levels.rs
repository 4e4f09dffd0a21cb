//! When something is sent: levels, coalescing, flapping, storms, overrides, filters, shadow mode.

use sluice_event::EntityKind;
use sluice_signal::{
    EntityKey, EventType, HistoryRow, Level, Observation, Profile,
    transmitter::{AlertKind, Settings},
};

use crate::support::{Bench, MINUTE, event, http, levels, push_profile, settings, user};

fn delivered(bench: &mut Bench) -> Vec<(String, String)> {
    let mut seen = Vec::new();
    while let Some((attempt, set)) = bench.pushed() {
        bench.answer(&attempt, &http(202));
        seen.push(levels(&set));
    }
    seen
}

fn pair(to: &str, from: &str) -> (String, String) {
    (to.into(), from.into())
}

#[test]
fn h1_both_directions_each_once() {
    let mut bench = Bench::new(vec![push_profile("idp")]);
    bench.observe("ann@example.com", Level::High);
    bench.observe("ann@example.com", Level::High);
    assert_eq!(delivered(&mut bench), [pair("HIGH", "LOW")]);
    bench.now += 10 * MINUTE;
    bench.observe("ann@example.com", Level::Low);
    assert_eq!(delivered(&mut bench), [pair("LOW", "HIGH")]);
    assert_eq!(bench.transmitter.totals().made, 2);
}

#[test]
fn h1_downgrades_wait_and_the_newest_wins() {
    let mut bench = Bench::new(vec![push_profile("idp")]);
    bench.observe("ann@example.com", Level::High);
    assert_eq!(delivered(&mut bench), [pair("HIGH", "LOW")]);
    bench.now += 10_000;
    bench.observe("ann@example.com", Level::Medium);
    bench.now += 10_000;
    bench.observe("ann@example.com", Level::Low);
    assert_eq!(delivered(&mut bench), [], "a minute after the last one");
    bench.now += 40_000;
    assert_eq!(delivered(&mut bench), [pair("LOW", "HIGH")]);
    assert_eq!(bench.transmitter.totals().superseded, 1);
}

#[test]
fn h1_back_to_what_was_sent_is_nothing_and_high_never_waits() {
    let mut bench = Bench::new(vec![push_profile("idp")]);
    bench.observe("ann@example.com", Level::High);
    delivered(&mut bench);
    bench.now += 1_000;
    bench.observe("ann@example.com", Level::Low);
    bench.observe("ann@example.com", Level::High);
    bench.now += 10 * MINUTE;
    assert_eq!(delivered(&mut bench), []);

    bench.observe("bob@example.com", Level::Medium);
    assert_eq!(delivered(&mut bench), [pair("MEDIUM", "LOW")]);
    bench.observe("bob@example.com", Level::High);
    assert_eq!(delivered(&mut bench), [pair("HIGH", "MEDIUM")]);
}

#[test]
fn h2_one_that_flaps_stays_at_the_higher_level() {
    let mut bench = Bench::new(vec![push_profile("idp")]);
    for _ in 0..10 {
        bench.observe("ann@example.com", Level::High);
        bench.now += 2 * MINUTE;
        bench.observe("ann@example.com", Level::Low);
        bench.now += 2 * MINUTE;
    }
    let level = bench.transmitter.level(&user("ann@example.com")).unwrap().clone();
    assert_eq!(level.level, Level::High);
    assert!(level.held_until.is_some());
    assert_eq!(level.change_no, 5);
    // Counted, and said to people; also after a restart.
    assert!(bench.transmitter.totals().flapping >= 1);
    let flapping = AlertKind::Flapping("user:ann@example.com".into());
    let said = |bench: &Bench| bench.transmitter.alerts().iter().any(|a| a.kind == flapping);
    assert!(said(&bench));
    bench.restart();
    assert!(said(&bench));
    bench.now = level.held_until.unwrap();
    let now = bench.now;
    bench.transmitter.tick(now);
    assert_eq!(bench.transmitter.level(&user("ann@example.com")).unwrap().level, Level::Low);
    assert!(!said(&bench));
}

#[test]
fn h3_level_filter_maps_what_is_below_to_low() {
    let high_only = Profile { min_level: Level::High, ..push_profile("idp") };
    let mut bench = Bench::new(vec![high_only]);
    bench.observe("ann@example.com", Level::Medium);
    assert_eq!(delivered(&mut bench), []);
    bench.observe("ann@example.com", Level::High);
    assert_eq!(delivered(&mut bench), [pair("HIGH", "LOW")]);
    bench.now += 10 * MINUTE;
    bench.observe("ann@example.com", Level::Medium);
    assert_eq!(delivered(&mut bench), [pair("LOW", "HIGH")]);
}

#[test]
fn h3_entity_filter() {
    let users = Profile { entities: vec![EntityKind::User], ..push_profile("idp") };
    let mut bench = Bench::new(vec![users]);
    let device = EntityKey { kind: EntityKind::Device, id: "d1".into() };
    let seen = Observation { level: Level::High, score: None, at: bench.now, reasons: vec![] };
    let now = bench.now;
    bench.transmitter.observe(&device, seen, now);
    assert_eq!(delivered(&mut bench), []);
}

#[test]
fn n6_h3_a_storm_holds_rises_until_a_person_decides() {
    for send in [true, false] {
        let mut bench = Bench::new(vec![push_profile("idp")]);
        for n in 0..10_000 {
            let seen = Observation {
                level: Level::High,
                score: None,
                at: bench.now,
                reasons: vec!["a broken rule".into()],
            };
            let now = bench.now;
            bench.transmitter.observe(&user(&format!("u{n}@example.com")), seen, now);
        }
        bench.commit();
        assert_eq!(delivered(&mut bench).len(), 50);
        let storms = bench.transmitter.storms();
        assert_eq!(storms, [(EntityKind::User, bench.now, 9_950)]);
        // Clearing is never held, and a person may still raise.
        bench.observe("u9999@example.com", Level::Low);
        bench.raise("boss@example.com", Level::High);
        assert_eq!(delivered(&mut bench), [pair("HIGH", "LOW")]);
        let now = bench.now;
        assert_eq!(
            bench.transmitter.end_storm(EntityKind::User, send, "ann", "a broken rule", now),
            9_949
        );
        bench.commit();
        // Signing ten thousand tokens takes a dev build a while: the queue says the same.
        let id = bench.push_stream();
        assert_eq!(bench.transmitter.health(&id).queued, if send { 9_949 } else { 0 });
        assert!(bench.transmitter.storms().is_empty());
    }
}

/// What was recorded in shadow mode: from and to.
fn shadows(bench: &Bench) -> Vec<String> {
    let rows = bench.disk.iter().filter(|(key, _)| key.starts_with("history/"));
    let rows = rows.map(|(_, row)| serde_json::from_slice::<HistoryRow>(row).unwrap());
    rows.filter(|row| row.action == "shadow").filter_map(|row| row.detail).collect()
}

#[test]
fn h6_shadow_mode_records_what_would_be_sent_and_sends_nothing() {
    let shadow = Profile { shadow: true, approval: true, ..push_profile("idp") };
    let mut bench = Bench::new(vec![shadow]);
    let pass = |bench: &mut Bench, minutes: i64| {
        bench.now += minutes * MINUTE;
        bench.transmitter.tick(bench.now);
        bench.commit();
    };
    bench.observe("ann@example.com", Level::High);
    assert_eq!(delivered(&mut bench), []);
    pass(&mut bench, 0);
    // Coalesced as it would be: down and up again within a minute is nothing.
    bench.observe("ann@example.com", Level::Low);
    bench.observe("ann@example.com", Level::High);
    pass(&mut bench, 2);
    assert_eq!(shadows(&bench), ["low to high"]);
    bench.restart();
    bench.observe("ann@example.com", Level::Medium);
    pass(&mut bench, 2);
    assert_eq!(shadows(&bench), ["low to high", "high to medium"]);
    assert_eq!(delivered(&mut bench), []);
    assert_eq!(bench.transmitter.health(&bench.push_stream()).queued, 0);
}

#[test]
fn h6_what_was_only_recorded_the_receiver_does_not_know() {
    let mut bench = Bench::new(vec![Profile { shadow: true, ..push_profile("idp") }]);
    bench.observe("ann@example.com", Level::High);
    bench.now += MINUTE;
    let now = bench.now;
    bench.transmitter.tick(now);
    bench.commit();
    assert_eq!(shadows(&bench).len(), 1);
    bench.reconfigure(vec![push_profile("idp")]);
    // It never heard of a rise: the fall is no news to it.
    bench.observe("ann@example.com", Level::Low);
    bench.now += 2 * MINUTE;
    assert_eq!(delivered(&mut bench), []);
    bench.observe("ann@example.com", Level::High);
    assert_eq!(delivered(&mut bench), [pair("HIGH", "LOW")]);
}

#[test]
fn h3_a_stream_has_a_rate() {
    let mut bench = Bench::new(vec![Profile { rate: 10, ..push_profile("idp") }]);
    for n in 0..30 {
        bench.raise(&format!("u{n}@example.com"), Level::High);
    }
    assert_eq!(delivered(&mut bench).len(), 10);
    assert_eq!(delivered(&mut bench).len(), 0);
    bench.now += 500;
    assert_eq!(delivered(&mut bench).len(), 5);
    bench.now += 60_000;
    assert_eq!(delivered(&mut bench).len(), 10, "no more is saved up than a second");
}

#[test]
fn n6_a_storm_outlives_the_process() {
    let settings = Settings { storm_limit: 2, ..settings() };
    let mut bench = Bench::with(settings, vec![push_profile("idp")]);
    for n in 0..5 {
        bench.observe(&format!("u{n}@example.com"), Level::High);
    }
    assert_eq!(delivered(&mut bench).len(), 2);
    let storms = bench.transmitter.storms();
    assert_eq!(storms, [(EntityKind::User, bench.now, 3)]);
    assert!(
        bench.transmitter.alerts().iter().any(|a| a.kind == AlertKind::Storm(EntityKind::User))
    );
    bench.restart();
    assert_eq!(bench.transmitter.storms(), storms);
    bench.observe("u4@example.com", Level::Low);
    bench.restart();
    assert_eq!(bench.transmitter.storms()[0].2, 2);
    let now = bench.now;
    assert_eq!(bench.transmitter.end_storm(EntityKind::User, true, "ann", "meant", now), 2);
    bench.commit();
    bench.restart();
    assert!(bench.transmitter.storms().is_empty());
    assert_eq!(delivered(&mut bench), [pair("HIGH", "LOW"), pair("HIGH", "LOW")]);
}

#[test]
fn h9_an_override_ends_by_itself_and_computed_risk_comes_back() {
    let mut bench = Bench::new(vec![push_profile("idp")]);
    bench.observe("ann@example.com", Level::Medium);
    bench.raise("ann@example.com", Level::High);
    assert_eq!(delivered(&mut bench), [pair("HIGH", "LOW")]);
    bench.now += 60 * MINUTE;
    let now = bench.now;
    bench.transmitter.tick(now);
    bench.commit();
    assert_eq!(delivered(&mut bench), [pair("MEDIUM", "HIGH")]);
    let level = bench.transmitter.level(&user("ann@example.com")).unwrap();
    assert_eq!((level.level, level.previous_level), (Level::Medium, Level::High));
    assert!(level.over.is_none());
}

#[test]
fn h9_clear_takes_back_only_what_a_person_said() {
    let mut bench = Bench::new(vec![push_profile("idp")]);
    let now = bench.now;
    assert!(bench.transmitter.clear(&user("ann@example.com"), "bob", "r", now).is_none());
    bench.raise("ann@example.com", Level::High);
    delivered(&mut bench);
    bench.now += 5 * MINUTE;
    let now = bench.now;
    bench.transmitter.clear(&user("ann@example.com"), "bob", "it was a drill", now).unwrap();
    let (_, set) = bench.pushed().unwrap();
    assert_eq!(levels(&set), pair("LOW", "HIGH"));
    assert_eq!(event(&set)["reason_admin"]["en"], "it was a drill");
    assert!(bench.transmitter.clear(&user("ann@example.com"), "bob", "r", now).is_none());
}

#[test]
fn e2_high_ends_sessions_where_the_receiver_wants_it_with_one_txn() {
    let revoking = Profile { revoke_sessions: true, ..push_profile("idp") };
    let mut bench = Bench::new(vec![revoking]);
    bench.observe("ann@example.com", Level::High);
    let (first, one) = bench.pushed().unwrap();
    bench.answer(&first, &http(202));
    let (_, two) = bench.pushed().unwrap();
    assert_eq!(one.known, [EventType::RiskLevelChange]);
    assert_eq!(two.known, [EventType::SessionRevoked]);
    assert_eq!(one.claims["txn"], two.claims["txn"]);
    assert_ne!(one.claims["jti"], two.claims["jti"]);
    assert_eq!(two.claims["sub_id"]["user"]["email"], "ann@example.com");
}

#[test]
fn s4_detail_is_a_choice() {
    for detail in [true, false] {
        let mut bench = Bench::new(vec![Profile { detail, ..push_profile("idp") }]);
        bench.observe("ann@example.com", Level::High);
        let (_, set) = bench.pushed().unwrap();
        assert_eq!(event(&set).get("x_sluice").is_some(), detail);
        assert_eq!(event(&set)["risk_reason"], "identity.mfa_fatigue");
    }
}

#[test]
fn a_rise_waits_for_approval_where_the_receiver_wants_it() {
    let careful = Profile { approval: true, revoke_sessions: true, ..push_profile("idp") };
    let mut bench = Bench::new(vec![careful]);
    let id = bench.push_stream();
    let waiting = |bench: &Bench| bench.transmitter.queue(&id).filter(|r| r.awaiting).count();
    bench.observe("ann@example.com", Level::High);
    bench.observe("bob@example.com", Level::High);
    bench.restart();
    assert_eq!(
        (waiting(&bench), bench.pushed().is_none()),
        (4, true),
        "level and sessions of both"
    );

    // One that falls before anybody decided is not sent at all.
    bench.now += 20 * MINUTE;
    bench.observe("bob@example.com", Level::Low);
    assert_eq!((waiting(&bench), bench.pushed().is_none()), (2, true));

    let jti = bench.transmitter.queue(&id).next().unwrap().jti.clone();
    let now = bench.now;
    assert!(bench.transmitter.approve(&id, Some("other"), true, "ann", "known", now).is_err());
    assert_eq!(bench.transmitter.approve(&id, Some(&jti), true, "ann", "known", now), Ok(1));
    bench.commit();
    bench.restart();
    let (attempt, set) = bench.pushed().unwrap();
    assert_eq!((attempt.jti.as_str(), levels(&set).0.as_str()), (jti.as_str(), "HIGH"));
    bench.answer(&attempt, &http(202));
    assert_eq!(
        bench.transmitter.approve(&id, None, false, "ann", "asked", now),
        Ok(1),
        "the sessions"
    );
    bench.commit();
    assert_eq!((waiting(&bench), bench.pushed().is_none()), (0, true));

    // A fall, and what a person raises, need no approval.
    bench.now += 20 * MINUTE;
    bench.observe("ann@example.com", Level::Low);
    let (attempt, set) = bench.pushed().unwrap();
    assert_eq!(levels(&set), ("LOW".into(), "HIGH".into()));
    bench.answer(&attempt, &http(202));
    bench.now += 20 * MINUTE;
    bench.raise("eve@example.com", Level::High);
    assert_eq!(levels(&bench.pushed().unwrap().1).0, "HIGH");
}
