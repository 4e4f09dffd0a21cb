//! Quarantines: what receivers hear, what gateways answer, and what is left after a crash.

use sluice_event::EntityKind;
use sluice_signal::{
    EntityKey, EventType, Level, Proof, Quarantine, QuarantineState, RequestError,
    policy::{Action, NotReady, Policy, Rule},
    quarantine::Release,
    verify::VerifiedSet,
};

use crate::support::{Bench, MINUTE, event, http, levels, push_profile, user};

fn device(id: &str) -> EntityKey {
    EntityKey { kind: EntityKind::Device, id: id.to_owned() }
}

fn begin(bench: &mut Bench, entity: &EntityKey, state: QuarantineState) {
    let begun = Quarantine {
        state,
        reason: "ransomware".into(),
        by: "bob".into(),
        since: bench.now,
        until: bench.now + 60 * MINUTE,
        denied: 0,
        denied_at: None,
        release: None,
    };
    bench.transmitter.quarantine(entity, begun, bench.now).unwrap();
    bench.commit();
}

/// Everything that the receiver gets.
fn all(bench: &mut Bench) -> Vec<VerifiedSet> {
    let mut sets = Vec::new();
    while let Some((attempt, set)) = bench.pushed() {
        bench.answer(&attempt, &http(202));
        sets.push(set);
    }
    sets
}

fn actions(bench: &Bench) -> Vec<String> {
    let rows = bench.disk.iter().filter(|(key, _)| key.starts_with("history/"));
    let row = rows.map(|(_, value)| serde_json::from_slice::<serde_json::Value>(value).unwrap());
    row.map(|row| row["action"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn q_a_device_is_not_compliant_and_compliant_again_with_one_txn_each() {
    let mut bench = Bench::new(vec![push_profile("idp")]);
    let lap = device("lap-7");
    begin(&mut bench, &lap, QuarantineState::Quarantined);
    bench.restart();
    let sets = all(&mut bench);
    assert_eq!(
        sets.iter().map(|s| s.known[0]).collect::<Vec<_>>(),
        [EventType::RiskLevelChange, EventType::DeviceComplianceChange]
    );
    assert_eq!(sets[0].claims["txn"], sets[1].claims["txn"]);
    let compliance = event(&sets[1]);
    assert_eq!(compliance["previous_status"], "compliant");
    assert_eq!(compliance["current_status"], "not-compliant");
    assert_eq!(compliance["initiating_entity"], "admin");
    assert_eq!(compliance["reason_admin"]["en"], "ransomware");
    assert_eq!(levels(&sets[0]), ("HIGH".into(), "LOW".into()));

    // Longer, for another reason: who was told is not told again.
    begin(&mut bench, &lap, QuarantineState::Quarantined);
    assert!(all(&mut bench).is_empty());

    bench.now += 10 * MINUTE;
    let now = bench.now;
    let proof = Proof {
        since: now - 10 * MINUTE,
        as_of: now,
        covers_from: now - 20 * MINUTE,
        allowed: 0,
        allowed_at: None,
        refused: 3,
        refused_at: Some(now - MINUTE),
    };
    assert_eq!(proof.stopped(), Some(true));
    bench.transmitter.release(&lap, "ann", "reinstalled", Some(proof.clone()), now).unwrap();
    bench.commit();
    bench.restart();
    let sets = all(&mut bench);
    assert_eq!(levels(&sets[0]), ("LOW".into(), "HIGH".into()));
    assert_eq!(event(&sets[1])["current_status"], "compliant");
    assert_eq!(sets[0].claims["txn"], sets[1].claims["txn"]);
    let kept = bench.transmitter.level(&lap).unwrap().quarantine.clone().unwrap();
    assert_eq!(kept.state, QuarantineState::Released);
    let (by, reason) = (Some("ann".to_owned()), "reinstalled".to_owned());
    assert_eq!(kept.release, Some(Release { at: now, by, reason, proof: Some(proof) }));
    assert!(bench.transmitter.release(&lap, "ann", "again", None, now).is_none());
    let told = actions(&bench);
    assert_eq!(told.iter().filter(|a| *a == "quarantined").count(), 2, "{told:?}");
    assert_eq!(told.iter().filter(|a| *a == "released").count(), 1, "{told:?}");
}

#[test]
fn q_the_sessions_of_an_account_are_revoked_also_where_a_rise_does_not_revoke_them() {
    let mut bench = Bench::new(vec![push_profile("idp")]);
    bench.raise("ann@example.com", Level::High);
    assert_eq!(all(&mut bench).len(), 1);
    begin(&mut bench, &user("ann@example.com"), QuarantineState::Quarantined);
    // The level was high already.
    let sets = all(&mut bench);
    assert_eq!(sets.iter().map(|s| s.known[0]).collect::<Vec<_>>(), [EventType::SessionRevoked]);
    assert_eq!(sets[0].claims["sub_id"]["user"]["email"], "ann@example.com");
    assert!(sets[0].claims["txn"].is_string());
}

#[test]
fn q_it_ends_without_any_event_and_outlives_a_crash() {
    let mut bench = Bench::new(vec![push_profile("idp")]);
    begin(&mut bench, &user("ann@example.com"), QuarantineState::Quarantined);
    all(&mut bench);
    let now = bench.now;
    bench.transmitter.count_denied(&user("ann@example.com"), 4, now);
    bench.commit();
    bench.restart();
    bench.now += 59 * MINUTE;
    let now = bench.now;
    bench.transmitter.tick(now);
    bench.commit();
    assert!(bench.transmitter.level(&user("ann@example.com")).unwrap().is_quarantined());
    bench.now += MINUTE;
    let now = bench.now;
    bench.transmitter.tick(now);
    bench.commit();
    bench.restart();
    let level = bench.transmitter.level(&user("ann@example.com")).unwrap();
    assert_eq!((level.level, level.is_quarantined()), (Level::Low, false));
    let over = level.quarantine.clone().unwrap();
    assert_eq!((over.denied, over.release.unwrap().by), (4, None));
    assert_eq!(levels(&all(&mut bench)[0]), ("LOW".into(), "HIGH".into()));
    assert!(actions(&bench).contains(&"quarantine_expired".to_owned()));
}

#[test]
fn q_a_suspicion_denies_nothing_and_only_becomes_stricter() {
    let mut bench = Bench::new(vec![push_profile("idp")]);
    let ann = user("ann@example.com");
    begin(&mut bench, &ann, QuarantineState::Suspected);
    assert!(all(&mut bench).is_empty());
    assert_eq!(bench.transmitter.level(&ann).unwrap().level, Level::Low);
    begin(&mut bench, &ann, QuarantineState::Quarantined);
    assert_eq!(all(&mut bench).len(), 2);
    let now = bench.now;
    let mut softer = bench.transmitter.level(&ann).unwrap().quarantine.clone().unwrap();
    softer.state = QuarantineState::Suspected;
    let refused = bench.transmitter.quarantine(&ann, softer.clone(), now);
    assert!(matches!(refused, Err(RequestError::Conflict(_))), "{refused:?}");
    let ip = EntityKey { kind: EntityKind::Ip, id: "192.0.2.1".into() };
    let refused = bench.transmitter.quarantine(&ip, softer, now);
    assert!(matches!(refused, Err(RequestError::Bad(_))), "{refused:?}");
}

#[test]
fn q_nothing_is_open_to_what_is_quarantined_whatever_rules_and_people_say() {
    let mut bench = Bench::new(vec![push_profile("idp")]);
    let lap = device("lap-7");
    begin(&mut bench, &lap, QuarantineState::Quarantined);
    let open = Rule {
        prefix: "/public".into(),
        medium: Action::Allow,
        high: Action::Allow,
        not_ready: None,
    };
    let policy = Policy::new(vec![open], NotReady::Error);
    let asked = [user("ann@example.com"), lap.clone()];
    let decide = |bench: &Bench| policy.decide("/public/x", &asked, |e| bench.transmitter.level(e));
    let decision = decide(&bench);
    assert_eq!(decision.action, Action::Deny);
    assert_eq!(decision.reason, "device is quarantined");
    assert_eq!(decision.quarantined_until, Some(bench.now + 60 * MINUTE));
    // An override does not undo it.
    let over = sluice_signal::Override {
        level: Level::Low,
        reason: "r".into(),
        by: "ann".into(),
        since: bench.now,
        until: bench.now + MINUTE,
    };
    let now = bench.now;
    assert_eq!(bench.transmitter.raise(&lap, over, now).level, Level::High);
    assert_eq!(decide(&bench).action, Action::Deny);
    bench.transmitter.release(&lap, "ann", "clean", None, now);
    assert_eq!(decide(&bench).action, Action::Allow);
}

#[test]
fn q_a_proof_says_what_it_does_not_know() {
    let proof = Proof {
        since: 1_000,
        as_of: 9_000,
        covers_from: 2_000,
        allowed: 0,
        allowed_at: None,
        refused: 0,
        refused_at: None,
    };
    assert_eq!(proof.stopped(), None);
    assert!(proof.text().contains("read from 1970-01-01T00:00:02.000Z on"), "{}", proof.text());
    assert_eq!(Proof { covers_from: 1_000, ..proof.clone() }.stopped(), Some(true));
    assert_eq!(Proof { allowed: 1, ..proof }.stopped(), Some(false));
}
