//! Tests of risk: each value of the design note, and properties over ledgers of many shapes.

use std::collections::BTreeSet;

use super::*;
use crate::FindingId;
use sluice_rule::Severity;

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

fn evidence(id: u128, rule: &str, group: &str, risk: u8) -> Evidence {
    Evidence {
        finding: FindingId(id),
        key: FactorKey { source: rule.into(), value: "".into() },
        group: group.into(),
        weight: declared_weight(risk),
        half_life: DAY,
        time: 0,
        critical: false,
    }
}

fn ledger(evidence: &[Evidence]) -> RiskLedger {
    let mut ledger = RiskLedger::default();
    evidence.iter().for_each(|e| assert!(ledger.add(e)));
    ledger
}

#[track_caller]
fn check(of: &[(&str, &str, u8)], expected: f64) {
    let evidence: Vec<Evidence> =
        (0..).zip(of).map(|(i, (rule, group, risk))| evidence(i, rule, group, *risk)).collect();
    let raw = {
        let mut all = ledger(&evidence);
        // The values of the note are those of evidence alone.
        all.factors.values_mut().for_each(|f| f.critical = true);
        all.score(0).score as f64 / 100.0
    };
    assert!((raw - expected).abs() < 0.06, "{raw} for {expected}");
}

/// SplitMix64: ledgers of many shapes, the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

fn random(numbers: &mut Numbers, findings: u64) -> Vec<Evidence> {
    (0..findings)
        .map(|i| {
            let rule = numbers.below(12);
            Evidence {
                finding: FindingId(u128::from(i)),
                key: FactorKey { source: format!("r{rule}").into(), value: "".into() },
                group: format!("g{}", rule % 5).into(),
                weight: declared_weight((rule * 7 % 91) as u8),
                half_life: [2 * HOUR, DAY, 7 * DAY][(rule % 3) as usize],
                time: numbers.below(10 * DAY as u64) as i64,
                critical: rule == 3,
            }
        })
        .collect()
}

#[test]
fn m1_a_declared_risk_is_the_score_it_gives_alone() {
    for risk in [8, 15, 30, 60, 90] {
        check(&[("a", "x", risk)], f64::from(risk));
    }
    assert_eq!(declared_weight(0), 0.0);
    assert!(declared_weight(4) < 0.02);
}

#[test]
fn m2_check_values_of_the_note() {
    check(&[("a", "x", 30), ("b", "y", 15)], 64.6);
    check(&[("a", "x", 30), ("b", "x", 15)], 49.7);
    check(&[("a", "x", 30), ("b", "y", 30)], 81.6);
    check(&[("a", "x", 30), ("b", "x", 30)], 62.3);
    check(&[("a", "x", 60), ("b", "y", 8)], 75.9);
    check(&[("a", "x", 15), ("b", "y", 15), ("c", "z", 15)], 76.2);
    check(&[("a", "x", 8), ("b", "y", 8)], 15.4);
    let base = |criticality| RiskLedger { criticality, ..RiskLedger::default() }.score(0).score;
    let bases = [Criticality::Low, Criticality::Normal, Criticality::High, Criticality::Extreme];
    assert_eq!(bases.map(|c| (base(c) + 5) / 10), [29, 40, 48, 54]);
}

#[test]
fn m1_noise_takes_weight_away() {
    let alone = |severity, risk, rate: f64| {
        let days = 1_000_000;
        let discount = noise_discount(severity, (rate * days as f64) as u64, days);
        let weight = discount * declared_weight(risk);
        let odds = L0 + ledger::saturated(weight);
        score_of(odds)
    };
    for (rate, high, critical) in [(0.0023, 25.0, 53.0), (0.04, 11.0, 25.0), (0.28, 5.0, 9.0)] {
        assert!((alone(Severity::High, 30, rate) - high).abs() < 1.0);
        assert!((alone(Severity::Critical, 60, rate) - critical).abs() < 1.0);
    }
    assert_eq!(noise_discount(Severity::High, 0, 1_000_000), 1.0);
    assert!(noise_discount(Severity::High, 1, 3) > 0.2, "little data discounts little");
}

#[test]
fn t7_a_rule_that_fires_on_a_third_of_all_days_moves_nobody_to_medium() {
    let discount = noise_discount(Severity::High, 30_000, 100_000);
    let mut ledger = RiskLedger::default();
    for i in 0..30 {
        let mut e = evidence(i, "noisy", "x", 30);
        e.weight *= discount;
        e.time = i as i64 * DAY / 3;
        ledger.add(&e);
    }
    let mut state = RiskState::default();
    assert_eq!(state.update(&ledger, 10 * DAY), None);
}

#[test]
fn t8_a_thousand_repeats_of_one_finding_never_reach_high() {
    let mut ledger = RiskLedger::default();
    let mut state = RiskState::default();
    for i in 0..1_000 {
        ledger.add(&evidence(i, "a", "x", 90));
        state.update(&ledger, 0);
    }
    assert_eq!((state.level, ledger.score(0).score), (RiskLevel::Medium, 6_900));
    assert_eq!(ledger.factors.values().next().unwrap().count, 1_000);
}

#[test]
fn x1_points_add_up_to_the_score() {
    let mut numbers = Numbers(7);
    for round in 0..500 {
        let findings = numbers.below(40);
        let mut ledger = RiskLedger::default();
        for e in random(&mut numbers, findings) {
            ledger.add(&e);
        }
        ledger.criticality =
            [Criticality::Low, Criticality::Normal, Criticality::Extreme][(round % 3) as usize];
        if round % 7 == 0 {
            ledger.floor = Some(Floor { incident: "i".into(), since: 0 });
        }
        if round % 11 == 0 {
            let (reason, by) = ("known".to_owned(), "ann".to_owned());
            ledger.manual = Some(Override { score: 12.5, reason, by, until: 5 * DAY });
        }
        for at in [0, DAY, 9 * DAY, 40 * DAY] {
            let risk = ledger.score(at);
            let points: i64 = risk.contributions.iter().map(|c| c.points).sum();
            assert_eq!(risk.base + points, risk.score, "round {round} at {at}: {risk:#?}");
            assert!((0..=10_000).contains(&risk.score));
            // How much an entity matters is a factor of its own: it moves neither the base nor the
            // points of the evidence.
            let plain = RiskLedger { criticality: Criticality::Normal, ..ledger.clone() }.score(at);
            let parts = |risk: &RiskScore, evidence: bool| -> Vec<i64> {
                let is = |c: &&Contribution| match c.kind {
                    ContributionKind::Factor { .. } => evidence,
                    ContributionKind::Criticality(_) => !evidence,
                    _ => false,
                };
                risk.contributions.iter().filter(is).map(|c| c.points).collect()
            };
            assert_eq!(risk.base, plain.base);
            assert_eq!(parts(&risk, true), parts(&plain, true));
            let moved = parts(&risk, false);
            match ledger.criticality {
                Criticality::Normal => assert!(moved.is_empty()),
                Criticality::Low => assert!(moved.len() <= 1 && moved.iter().all(|p| *p < 0)),
                _ => assert!(moved.len() <= 1 && moved.iter().all(|p| *p > 0)),
            }
        }
    }
}

#[test]
fn m3_the_order_of_findings_does_not_matter() {
    let mut numbers = Numbers(11);
    for _ in 0..100 {
        let mut findings = random(&mut numbers, 30);
        let first =
            ledger(&findings.iter().filter(|e| e.weight > 0.0).cloned().collect::<Vec<_>>());
        for i in (1..findings.len()).rev() {
            findings.swap(i, numbers.below(i as u64 + 1) as usize);
        }
        let mut second = RiskLedger::default();
        for e in &findings {
            second.add(e);
            second.add(e);
        }
        assert_eq!(first, second, "order or a repeated finding matters");
    }
}

#[test]
fn m3_evidence_only_raises_and_time_only_lowers() {
    let mut numbers = Numbers(13);
    let mut ledger = RiskLedger::default();
    let mut known = 0;
    for e in random(&mut numbers, 60) {
        ledger.add(&Evidence { critical: true, ..e });
        let score = ledger.score(10 * DAY).score;
        assert!(score >= known);
        known = score;
    }
    let later: Vec<i64> = (10..60).map(|day| ledger.score(day * DAY).score).collect();
    assert!(later.is_sorted_by(|a, b| a >= b), "{later:?}");
}

#[test]
fn m4_scores_fall_as_the_note_says() {
    for (half_life, hours) in [(2 * HOUR, 3.6), (DAY, 43.0), (7 * DAY, 299.0)] {
        let one = Evidence { half_life, critical: true, ..evidence(1, "a", "x", 75) };
        let ledger = ledger(&[one]);
        let below = (0..400 * 60).find(|m| ledger.score(m * 60_000).score < 3_000).unwrap();
        assert!((below as f64 / 60.0 - hours).abs() < 0.02 * hours, "{below} minutes, {hours} h");
    }
}

#[test]
fn m4_factors_are_bounded_and_the_bound_is_told() {
    let many: Vec<Evidence> =
        (0..200).map(|i| evidence(i, &format!("r{i}"), "x", 10 + (i % 50) as u8)).collect();
    let ledger = ledger(&many);
    assert_eq!(ledger.factors.len(), 64);
    assert!(ledger.merged >= 136);
    assert_eq!(ledger.factors.values().map(|f| f.count).sum::<u64>(), 200);
}

#[test]
fn m5_and_t9_removed_findings_leave_no_trace() {
    let mut with = ledger(&[evidence(1, "a", "x", 45), evidence(2, "b", "y", 30)]);
    let mut state = RiskState::default();
    assert_eq!(state.update(&with, 0).unwrap().current, RiskLevel::High);
    assert_eq!(with.remove(&BTreeSet::from([FindingId(2)])), 1);
    assert_eq!(with, ledger(&[evidence(1, "a", "x", 45)]));
    assert_eq!(state.update(&with, HOUR).unwrap().current, RiskLevel::Medium);
}

#[test]
fn m6_high_needs_two_groups_or_a_critical_finding() {
    let one_group = ledger(&[evidence(1, "a", "x", 90), evidence(2, "b", "x", 90)]);
    let risk = one_group.score(0);
    assert_eq!(risk.score, 6_900);
    assert!(risk.contributions.iter().any(|c| c.kind == ContributionKind::Cap && c.points < 0));
    let two = ledger(&[evidence(1, "a", "x", 90), evidence(2, "b", "y", 30)]);
    assert!(two.score(0).score > 7_000);
    let critical = Evidence { critical: true, ..evidence(1, "a", "x", 90) };
    assert!(ledger(&[critical]).score(0).score > 7_000);
}

#[test]
fn m6_a_level_falls_by_itself_at_the_instant_foretold() {
    let ledger = ledger(&[evidence(1, "a", "x", 60), evidence(2, "b", "y", 30)]);
    let mut state = RiskState::default();
    state.update(&ledger, 0);
    let mut seen = vec![state.level];
    let mut now = 0;
    while let Some(at) = state.next_change(&ledger, now) {
        assert_eq!(state.update(&ledger, at - 1), None, "a millisecond early");
        let change = state.update(&ledger, at).expect("at the instant");
        seen.push(change.current);
        now = at;
    }
    assert_eq!(seen, [RiskLevel::High, RiskLevel::Medium, RiskLevel::Low]);
}

#[test]
fn m6_dwell_holds_a_fall_back_but_not_a_rise() {
    let mut ledger = ledger(&[evidence(1, "a", "x", 60)]);
    let mut state = RiskState::default();
    state.update(&ledger, 0);
    assert_eq!(state.level, RiskLevel::Medium);
    ledger.remove(&BTreeSet::from([FindingId(1)]));
    assert_eq!(state.update(&ledger, 60_000), None);
    assert_eq!(state.next_change(&ledger, 60_000), Some(15 * 60_000));
    ledger.add(&evidence(2, "a", "x", 90));
    ledger.add(&evidence(3, "b", "y", 60));
    assert_eq!(state.update(&ledger, 61_000).unwrap().current, RiskLevel::High);
}

#[test]
fn m7_an_override_ends_by_itself_and_is_listed() {
    let mut ledger = ledger(&[evidence(1, "a", "x", 60), evidence(2, "b", "y", 60)]);
    let (reason, by) = ("on call".to_owned(), "ann".to_owned());
    ledger.manual = Some(Override { score: 10.0, reason, by, until: DAY });
    let mut state = RiskState::default();
    assert_eq!(state.update(&ledger, 0), None);
    assert_eq!(state.next_change(&ledger, 0), Some(DAY));
    assert_eq!(state.update(&ledger, DAY).unwrap().current, RiskLevel::High);
    ledger.manual = None;
    ledger.floor = Some(Floor { incident: "i".into(), since: 0 });
    assert_eq!(ledger.score(3_000 * DAY).score, 7_000);
    assert_eq!(state.next_change(&ledger, DAY), None);
}

#[test]
fn m8_two_names_of_one_entity_count_a_finding_once() {
    let mut a = ledger(&[evidence(1, "a", "x", 30), evidence(2, "b", "y", 15)]);
    let b = ledger(&[evidence(2, "b", "y", 15), evidence(3, "b", "y", 15)]);
    a.union(b);
    let all = [evidence(1, "a", "x", 30), evidence(2, "b", "y", 15), evidence(3, "b", "y", 15)];
    assert_eq!(a, ledger(&all));
}

#[test]
fn an_anomaly_weighs_what_its_tail_is_worth() {
    assert!((anomaly_weight(1e3_f64.ln(), 1.0) - 4.0).abs() < 0.05);
    assert!((anomaly_weight(1e5_f64.ln(), 0.5) - 4.05).abs() < 0.05);
    assert_eq!(anomaly_weight(0.5, 1.0), 0.0);
    assert_eq!(anomaly_weight(f64::NAN, 1.0), 0.0);
}

#[test]
fn m6_every_crossing_is_told_however_late_somebody_looks() {
    let of = ledger(&[evidence(1, "a", "x", 60), evidence(2, "b", "y", 30)]);
    let mut watched = EntityRisk { ledger: of.clone(), ..EntityRisk::default() };
    let mut seen = Vec::new();
    for hour in 0..24 * 30 {
        seen.extend(watched.settle(hour * HOUR));
    }
    let mut asleep = EntityRisk { ledger: of.clone(), ..EntityRisk::default() };
    let mut told = asleep.settle(0);
    told.extend(asleep.settle(30 * DAY));
    assert_eq!(seen.iter().map(|c| c.current).collect::<Vec<_>>().len(), 3);
    assert_eq!(seen.last().unwrap().current, RiskLevel::Low);
    assert_eq!(seen, told);
    assert_eq!(told, of.timeline(30 * DAY));
}

#[test]
fn p6_the_timeline_is_a_function_of_the_findings() {
    let mut numbers = Numbers(17);
    let mut changes = 0;
    for _ in 0..40 {
        let mut findings = random(&mut numbers, 25);
        let mut first = RiskLedger::default();
        for e in &findings {
            first.add(e);
        }
        for i in (1..findings.len()).rev() {
            findings.swap(i, numbers.below(i as u64 + 1) as usize);
        }
        let mut second = RiskLedger::default();
        for e in &findings {
            second.add(e);
        }
        let timeline = first.timeline(60 * DAY);
        assert_eq!(timeline, second.timeline(60 * DAY));
        assert!(timeline.is_sorted_by_key(|c| c.at));
        assert!(timeline.windows(2).all(|w| w[0].current == w[1].previous));
        assert_eq!(timeline.last().map_or(RiskLevel::Low, |c| c.current), RiskLevel::Low);
        changes += timeline.len();
    }
    assert!(changes > 80, "{changes} changes show little");
}

#[test]
fn one_finding_that_raises_a_level_is_named_and_it_does() {
    let mut numbers = Numbers(11);
    let mut raised = 0;
    for round in 0..200 {
        let findings = 1 + round % 7;
        let mut known = RiskLedger::default();
        for each in random(&mut numbers, findings) {
            known.add(&each);
        }
        let at = 2 * DAY;
        for level in [RiskLevel::Medium, RiskLevel::High] {
            let wanted = level.reached_at();
            let with = |risk: u8| {
                let mut ledger = known.clone();
                ledger.add(&Evidence { time: at, ..evidence(u128::MAX, "a.rule", "TA9999", risk) });
                ledger.score(at).score
            };
            let Some(risk) = known.risk_to_reach(wanted, at) else {
                assert!(with(90) < wanted, "{known:?}");
                continue;
            };
            assert!(with(risk) >= wanted, "{risk} {known:?}");
            if risk > 1 {
                assert!(with(risk - 1) < wanted, "{risk} {known:?}");
                raised += 1;
            }
        }
    }
    assert!(raised >= 50, "{raised}");
}

#[test]
fn x2_without_a_factor_the_score_is_that_of_the_others() {
    let both = ledger(&[evidence(1, "a.one", "TA0001", 60), evidence(2, "a.two", "TA0006", 40)]);
    let one = ledger(&[evidence(1, "a.one", "TA0001", 60)]);
    let key = FactorKey { source: "a.two".into(), value: "".into() };
    assert_eq!(both.without(&key, HOUR), one.score(HOUR));
    let unknown = FactorKey { source: "a.three".into(), value: "".into() };
    assert_eq!(both.without(&unknown, HOUR), both.score(HOUR));
}
