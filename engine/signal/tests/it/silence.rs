//! Levels whose sources are silent (H5): what each policy makes of them. Silence is never a rise.

use std::collections::BTreeMap;

use sluice_signal::{Blind, Level, Observation, Profile, Staleness};

use crate::support::{Bench, MINUTE, event, http, levels, push_profile, user};

const HOUR: i64 = 60 * MINUTE;
const ANN: &str = "ann@example.com";
const RULES: [&str; 2] = ["identity.mfa_fatigue", "identity.impossible_travel"];

fn bench(staleness: Staleness) -> Bench {
    Bench::new(vec![Profile { staleness, revoke_sessions: true, ..push_profile("idp") }])
}

/// Which rules see nothing, and since when.
fn blind(bench: &mut Bench, rules: &[&str], since: i64) {
    let since: BTreeMap<String, i64> = rules.iter().map(|r| ((*r).to_owned(), since)).collect();
    bench.transmitter.set_blind(Blind::new(since), bench.now);
    bench.commit();
}

/// Risk that is computed of ann, with the rules behind it.
fn observe(bench: &mut Bench, level: Level, rules: &[&str]) {
    let seen = Observation {
        level,
        score: Some(82.0),
        at: bench.now,
        reasons: rules.iter().map(|rule| format!("{rule}: ann")).collect(),
    };
    bench.transmitter.observe(&user(ANN), seen, bench.now);
    bench.commit();
}

/// Current levels that were delivered, with `stale_since`.
fn told(bench: &mut Bench) -> Vec<(String, bool)> {
    let mut told = Vec::new();
    while let Some((attempt, set)) = bench.pushed() {
        bench.answer(&attempt, &http(202));
        let stale = event(&set)["x_sluice"]["stale_since"].is_string();
        let level = levels(&set).0;
        told.push((if level.is_empty() { "revoked".to_owned() } else { level }, stale));
    }
    told
}

fn said(level: &str, stale: bool) -> (String, bool) {
    (level.to_owned(), stale)
}

#[test]
fn h5_hold_keeps_a_level_for_a_day_of_silence_and_then_lets_it_fall() {
    let mut bench = bench(Staleness::Hold);
    observe(&mut bench, Level::High, &RULES);
    assert_eq!(told(&mut bench), [said("HIGH", false), said("revoked", false)]);
    let since = bench.now;
    bench.now += HOUR;
    blind(&mut bench, &RULES, since);
    assert_eq!(told(&mut bench), [], "silence alone is no news");
    bench.now += 3 * HOUR;
    observe(&mut bench, Level::Low, &[]);
    assert_eq!(bench.transmitter.level(&user(ANN)).unwrap().level, Level::Low);
    assert_eq!(told(&mut bench), []);
    bench.restart();
    bench.now = since + 24 * HOUR - 1;
    assert_eq!(told(&mut bench), []);
    bench.now += 1;
    assert_eq!(told(&mut bench), [said("LOW", true)]);
    assert_eq!(bench.transmitter.totals().dropped, 0);
}

#[test]
fn h5_hold_ends_when_a_source_is_heard_and_what_rose_meanwhile_says_it_better() {
    for rises in [false, true] {
        let mut bench = bench(Staleness::Hold);
        observe(&mut bench, Level::High, &RULES);
        told(&mut bench);
        let since = bench.now;
        blind(&mut bench, &RULES, since);
        bench.now += HOUR;
        observe(&mut bench, Level::Medium, &RULES);
        assert_eq!(told(&mut bench), []);
        if rises {
            observe(&mut bench, Level::High, &RULES);
        }
        bench.now += HOUR;
        blind(&mut bench, &RULES[..1], since);
        // The receiver has that level, and ends the sessions of the second rise.
        let expected = if rises { said("revoked", false) } else { said("MEDIUM", true) };
        assert_eq!(told(&mut bench), [expected], "rises: {rises}");
    }
}

#[test]
fn h5_a_level_with_a_source_that_is_heard_is_not_stale() {
    let mut bench = bench(Staleness::Hold);
    observe(&mut bench, Level::High, &RULES);
    told(&mut bench);
    let since = bench.now;
    blind(&mut bench, &RULES[..1], since);
    assert_eq!(bench.transmitter.stale_since(&user(ANN)), None);
    bench.now += HOUR;
    observe(&mut bench, Level::Low, &[]);
    assert_eq!(told(&mut bench), [said("LOW", false)]);
    // What a person says never waits.
    observe(&mut bench, Level::High, &RULES);
    told(&mut bench);
    let now = bench.now;
    blind(&mut bench, &RULES, now);
    assert_eq!(bench.transmitter.stale_since(&user(ANN)), Some(now));
    bench.raise(ANN, Level::Low);
    bench.now += HOUR - 1;
    assert_eq!(told(&mut bench), [said("LOW", false)]);
}

#[test]
fn h5_a_held_fall_keeps_nothing_else_about_the_subject_back() {
    let mut bench = bench(Staleness::Hold);
    observe(&mut bench, Level::High, &RULES);
    told(&mut bench);
    let now = bench.now;
    blind(&mut bench, &RULES, now);
    bench.now += HOUR;
    observe(&mut bench, Level::Low, &[]);
    let id = bench.push_stream();
    let subject = serde_json::json!({"format": "email", "email": ANN});
    let subject = sluice_signal::SubjectId::parse(&subject).unwrap();
    let kind = sluice_signal::EventType::CredentialChange;
    let now = bench.now;
    bench.transmitter.send_event(&id, kind, subject, None, "bob", now).unwrap();
    bench.commit();
    let (attempt, set) = bench.pushed().unwrap();
    assert_eq!(set.known, [kind]);
    bench.answer(&attempt, &http(202));
    assert!(bench.pushed().is_none());
}

#[test]
fn h5_decay_goes_on() {
    let mut bench = bench(Staleness::Decay);
    observe(&mut bench, Level::High, &RULES);
    told(&mut bench);
    let now = bench.now;
    blind(&mut bench, &RULES, now);
    bench.now += HOUR;
    observe(&mut bench, Level::Low, &[]);
    assert_eq!(told(&mut bench), [said("LOW", true)]);
}

#[test]
fn h5_low_with_reason_is_low_in_silence_and_the_level_again_after_it() {
    let mut bench = bench(Staleness::Low);
    observe(&mut bench, Level::High, &RULES);
    told(&mut bench);
    bench.now += HOUR;
    let since = bench.now - MINUTE;
    blind(&mut bench, &RULES, since);
    let (attempt, set) = bench.pushed().unwrap();
    assert_eq!(levels(&set), ("LOW".into(), "HIGH".into()));
    let reason = event(&set)["reason_admin"]["en"].as_str().unwrap();
    assert!(reason.contains("silent since 2026-01-01T00:59:00.000Z"), "{reason}");
    bench.answer(&attempt, &http(202));
    // The same silence again, and a restart, say nothing new.
    blind(&mut bench, &RULES, since);
    bench.restart();
    blind(&mut bench, &RULES, since);
    assert_eq!(told(&mut bench), []);
    bench.now += HOUR;
    blind(&mut bench, &[], 0);
    // No second end of sessions: nothing happened but that it is heard again.
    assert_eq!(told(&mut bench), [said("HIGH", false)]);
}

#[test]
fn h5_silence_is_never_a_rise() {
    for staleness in [Staleness::Hold, Staleness::Decay, Staleness::Low] {
        let mut bench = bench(staleness);
        observe(&mut bench, Level::Medium, &RULES);
        observe(&mut bench, Level::Low, &[]);
        bench.now += HOUR;
        told(&mut bench);
        for rules in [&RULES[..], &RULES[..1], &[], &RULES[1..], &[]] {
            bench.now += HOUR;
            let now = bench.now;
            blind(&mut bench, rules, now);
            assert_eq!(told(&mut bench), [], "{staleness:?}");
        }
    }
}
