//! What rules say of an entity beside its level: assurance of users, compliance of devices.

use sluice_event::EntityKind;
use sluice_signal::{
    EntityKey, EventType, Level, Observation, Profile, Quarantine, QuarantineState,
    verify::VerifiedSet,
};

use crate::support::{Bench, MINUTE, event, http, push_profile, user};

fn observe(bench: &mut Bench, entity: &EntityKey, level: Level, rules: &[&str]) {
    let reasons = rules.iter().map(|rule| (*rule).to_owned()).collect();
    let seen = Observation { level, score: Some(80.0), at: bench.now, reasons };
    let now = bench.now;
    bench.transmitter.observe(entity, seen, now);
    bench.commit();
}

fn all(bench: &mut Bench) -> Vec<VerifiedSet> {
    let mut sets = Vec::new();
    while let Some((attempt, set)) = bench.pushed() {
        bench.answer(&attempt, &http(202));
        sets.push(set);
    }
    bench.now += 5 * MINUTE;
    sets
}

fn types(sets: &[VerifiedSet]) -> Vec<EventType> {
    sets.iter().map(|set| set.known[0]).collect()
}

#[test]
fn e4_e1_e2_in_this_order_with_one_txn() {
    let revoking = Profile { revoke_sessions: true, ..push_profile("idp") };
    let mut bench = Bench::new(vec![revoking]);
    let ann = user("ann@example.com");
    observe(
        &mut bench,
        &ann,
        Level::High,
        &["identity.mfa_fatigue", "identity.mfa_fatigue_success"],
    );
    bench.restart();
    let sets = all(&mut bench);
    let (less, level, gone) =
        (EventType::AssuranceLevelChange, EventType::RiskLevelChange, EventType::SessionRevoked);
    assert_eq!(types(&sets), [less, level, gone]);
    assert!(sets.iter().all(|set| set.claims["txn"] == sets[0].claims["txn"]));
    let assurance = event(&sets[0]);
    assert_eq!(assurance["namespace"], "NIST-AAL");
    assert_eq!(assurance["current_level"], "nist-aal1");
    assert_eq!(assurance["change_direction"], "decrease");

    // Said once, as long as it holds, and taken back when she is low.
    observe(&mut bench, &ann, Level::Medium, &["identity.mfa_fatigue_success"]);
    assert_eq!(types(&all(&mut bench)), [level]);
    observe(&mut bench, &ann, Level::Low, &["identity.mfa_fatigue_success"]);
    let sets = all(&mut bench);
    assert_eq!(types(&sets), [less, level]);
    assert_eq!(event(&sets[0])["change_direction"], "increase");
}

#[test]
fn e3_posture_both_ways_and_a_quarantine_of_what_does_not_comply_says_nothing_new() {
    let mut bench = Bench::new(vec![push_profile("idp")]);
    let lap = EntityKey { kind: EntityKind::Device, id: "lap-7".into() };
    observe(&mut bench, &lap, Level::High, &["endpoint.device_not_compliant"]);
    let sets = all(&mut bench);
    assert_eq!(types(&sets), [EventType::DeviceComplianceChange, EventType::RiskLevelChange]);
    assert_eq!(event(&sets[0])["current_status"], "not-compliant");

    let now = bench.now;
    let begun = Quarantine {
        state: QuarantineState::Quarantined,
        reason: "r".into(),
        by: "bob".into(),
        since: now,
        until: now + 60 * MINUTE,
        denied: 0,
        denied_at: None,
        release: None,
    };
    bench.transmitter.quarantine(&lap, begun, now).unwrap();
    bench.commit();
    assert!(all(&mut bench).is_empty());
    // It complies again while it is quarantined: it is compliant when both are over.
    observe(&mut bench, &lap, Level::Low, &[]);
    assert!(all(&mut bench).is_empty());
    let now = bench.now;
    bench.transmitter.release(&lap, "bob", "clean", None, now);
    bench.commit();
    let sets = all(&mut bench);
    let status: Vec<&str> = sets
        .iter()
        .filter(|set| set.known == [EventType::DeviceComplianceChange])
        .map(|set| event(set)["current_status"].as_str().unwrap())
        .collect();
    assert_eq!(status, ["compliant"]);
}

#[test]
fn e3_a_device_that_fell_short_in_quarantine_is_not_compliant_after_it() {
    let mut bench = Bench::new(vec![push_profile("idp")]);
    let lap = EntityKey { kind: EntityKind::Device, id: "lap-7".into() };
    let begun = Quarantine {
        state: QuarantineState::Quarantined,
        reason: "r".into(),
        by: "bob".into(),
        since: bench.now,
        until: bench.now + 600 * MINUTE,
        denied: 0,
        denied_at: None,
        release: None,
    };
    let now = bench.now;
    bench.transmitter.quarantine(&lap, begun, now).unwrap();
    bench.commit();
    assert_eq!(all(&mut bench).len(), 2);
    observe(&mut bench, &lap, Level::High, &["endpoint.device_not_compliant"]);
    let now = bench.now;
    bench.transmitter.release(&lap, "bob", "back to its owner", None, now);
    bench.commit();
    assert!(all(&mut bench).is_empty(), "it is not compliant and high as before");
    observe(&mut bench, &lap, Level::Low, &[]);
    let sets = all(&mut bench);
    assert_eq!(types(&sets), [EventType::DeviceComplianceChange, EventType::RiskLevelChange]);
    assert_eq!(event(&sets[0])["current_status"], "compliant");
}

#[test]
fn other_rules_and_other_kinds_say_nothing_of_it() {
    let mut bench = Bench::new(vec![push_profile("idp")]);
    observe(&mut bench, &user("ann"), Level::High, &["endpoint.device_not_compliant"]);
    observe(&mut bench, &user("bob"), Level::High, &["identity.password_spray"]);
    assert_eq!(types(&all(&mut bench)), [EventType::RiskLevelChange; 2]);
}
