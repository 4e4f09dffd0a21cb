//! Incidents and suppressions in the store: opened, joined, judged; what is suppressed weighs nothing.

use sluice_baseline::Verdict;
use sluice_engine::durable::{IncidentError, SuppressionError};
use sluice_finding::{
    Belongs, IncidentChange, IncidentStatus, IncidentVerdict, RiskLevel, SuppressionMatch,
};

use super::{risk::*, *};

fn verdict(verdict: IncidentVerdict) -> IncidentChange {
    IncidentChange {
        status: Some(IncidentStatus::Closed),
        verdict: Some(verdict),
        ..IncidentChange::default()
    }
}

/// Ann at high by three findings, with her incident.
fn compromised(world: &World) -> (FindingStore, FindingId) {
    let store = world.open();
    commit(&store, [world.finding(1, "TA0001", 45)]);
    assert!(store.incidents().is_empty());
    world.pass(HOUR);
    commit(&store, [world.finding(2, "TA0006", 45)]);
    world.pass(HOUR);
    commit(&store, [world.finding(3, "TA0008", 15)]);
    let incidents = store.incidents();
    assert_eq!((incidents.len(), level(&store)), (1, RiskLevel::High));
    (store, incidents[0].id)
}

#[test]
fn one_opens_at_high_with_what_led_there_and_lasts_until_a_day_of_quiet() {
    let world = World::new();
    let (store, id) = compromised(&world);
    let incident = store.incident(id).unwrap();
    let why: Vec<Belongs> = incident.findings.values().copied().collect();
    assert_eq!(why, [Belongs::Contributed, Belongs::RiskHigh, Belongs::SameEntity]);
    assert_eq!(incident.tactics, ["TA0001", "TA0006", "TA0008"]);
    assert!(incident.risk_peak > 7_000);
    drop(store);
    let store = world.open();
    assert_eq!(store.incident(id).as_deref(), Some(&*incident), "as it was after reopening");
    // A finding that is withdrawn leaves it.
    let withdrawn = Finding { state: FindingState::Withdrawn, ..world.finding(3, "TA0008", 15) };
    commit(&store, [withdrawn]);
    assert_eq!(store.incident(id).unwrap().findings.len(), 2);
    world.pass(30 * HOUR);
    commit(&store, [world.finding(4, "TA0001", 60), world.finding(5, "TA0003", 60)]);
    assert_eq!(store.incidents().len(), 2, "after a day of quiet another one opens");
}

#[test]
fn a_critical_finding_opens_one_for_each_entity_but_the_address() {
    let world = World::new();
    let store = world.open();
    let ip = Entity { kind: EntityKind::Ip, id: "192.0.2.7".to_owned() };
    let severity = Severity::Critical;
    let about = vec![ann(), ip.clone()];
    commit(&store, [Finding { severity, entities: about, ..world.finding(1, "TA0001", 60) }]);
    assert_eq!(store.incidents().len(), 1);
    assert_eq!(store.incidents()[0].entity, ann());
    let about = vec![ip.clone()];
    commit(&store, [Finding { severity, entities: about, ..world.finding(2, "TA0001", 60) }]);
    assert_eq!(store.incidents().len(), 2, "where nobody else is named");
}

#[test]
fn t9_verdicts_have_their_effects_in_the_same_commit() {
    for (of, left, reason) in [
        (IncidentVerdict::Benign, 0, Some(Reason::Benign)),
        (IncidentVerdict::FalsePositive, 0, Some(Reason::FalsePositive)),
        (IncidentVerdict::TruePositive, 3, Some(Reason::TruePositive)),
    ] {
        let world = World::new();
        let (store, id) = compromised(&world);
        world.pass(HOUR);
        let before = store.risk(&ann()).unwrap().unwrap().ledger.score(store.now()).score;
        let incident = store.change_incident(id, Some(0), verdict(of), "bob").unwrap();
        assert_eq!((incident.verdict, incident.history.len()), (Some(of), 1));
        let risk = store.risk(&ann()).unwrap().unwrap();
        assert_eq!(risk.ledger.factors.len(), left, "{of:?}");
        let score = risk.ledger.score(store.now());
        assert_eq!(if left == 0 { score.base } else { before }, score.score, "{of:?}");
        for finding in incident.findings.keys() {
            let triage = store.finding(*finding).unwrap().unwrap().triage;
            assert_eq!((triage.reason, triage.history[0].by.as_str()), (reason, "bob"));
        }
        // A false positive is muted, and nothing else is.
        commit(&store, [world.finding(9, "TA0001", 45)]);
        let muted = of == IncidentVerdict::FalsePositive;
        assert_eq!(store.suppressions().len(), if muted { 3 } else { 0 });
        assert_eq!(
            store.suppressions().iter().map(|s| s.suppression.hits).sum::<u64>(),
            u64::from(muted)
        );
        let factors = store.risk(&ann()).unwrap().unwrap().ledger.factors.len();
        assert_eq!(factors, left.max(usize::from(!muted)));
        // Who takes up the work again takes the verdict back.
        let again = IncidentChange {
            status: Some(IncidentStatus::InProgress),
            ..IncidentChange::default()
        };
        let incident = store.change_incident(id, None, again, "bob").unwrap();
        assert_eq!(incident.verdict, None);
        assert_eq!(store.risk(&ann()).unwrap().unwrap().ledger.factors.len(), 3);
    }
}

/// What people say of a finding of a baseline, alone or with its incident, is there for baselines to
/// learn from: at once, and again after a restart.
#[test]
fn verdicts_on_findings_of_baselines_reach_who_learns_from_them() {
    let world = World::new();
    let store = world.open();
    let of_baseline = |id: u128, day: i64| {
        let fields = serde_json::json!({"model_version": 20_000, "surprise": 9.0});
        Finding {
            rule_id: "baselines.signin".into(),
            fields: fields.as_object().unwrap().clone(),
            window: Some((day * 24 * HOUR, (day + 1) * 24 * HOUR)),
            ..world.finding(id, "TA0001", 45)
        }
    };
    commit(&store, [of_baseline(1, 7), of_baseline(2, 8), world.finding(3, "TA0006", 45)]);
    let triage = |store: &FindingStore, id: u128, reason: Option<Reason>| {
        let status = if reason.is_some() { TriageStatus::Resolved } else { TriageStatus::New };
        let change = TriageChange { status: Some(status), reason, ..TriageChange::default() };
        store.triage(FindingId(id), None, change, 1, "bob").unwrap();
    };
    let said = |store: &FindingStore| store.verdicts().of("baselines.signin");
    assert_eq!(said(&store), []);
    for id in [1, 3] {
        triage(&store, id, Some(Reason::FalsePositive));
    }
    triage(&store, 2, Some(Reason::TruePositive));
    let (first, second) = (7 * 24 * HOUR, 8 * 24 * HOUR);
    let both =
        [("ann".into(), first, Verdict::Benign), ("ann".into(), second, Verdict::Compromised)];
    assert_eq!(said(&store), both);
    drop(store);
    let store = world.open();
    assert_eq!(said(&store), both, "as it was after reopening");
    triage(&store, 1, None);
    assert_eq!(said(&store), both[1..]);
}

#[test]
fn a_confirmed_compromise_stays_high_until_it_is_closed() {
    let world = World::new();
    let (store, id) = compromised(&world);
    let confirmed = IncidentChange {
        verdict: Some(IncidentVerdict::ConfirmedCompromise),
        ..IncidentChange::default()
    };
    store.change_incident(id, None, confirmed, "bob").unwrap();
    world.pass(200 * 24 * HOUR);
    store.pass_time().unwrap();
    assert_eq!(level(&store), RiskLevel::High);
    assert_eq!(store.risks().len(), 1, "it is in memory although its findings are long gone");
    let closed =
        IncidentChange { status: Some(IncidentStatus::Closed), ..IncidentChange::default() };
    store.change_incident(id, None, closed, "bob").unwrap();
    assert_eq!(level(&store), RiskLevel::Low);
}

#[test]
fn a_duplicate_gives_its_findings_and_conflicts_are_told() {
    let world = World::new();
    let (store, first) = compromised(&world);
    world.pass(30 * HOUR);
    commit(&store, [world.finding(4, "TA0001", 60), world.finding(5, "TA0003", 60)]);
    let second = store.incidents().iter().map(|i| i.id).find(|id| *id != first).unwrap();
    let of = IncidentVerdict::Duplicate(first);
    store.change_incident(second, Some(0), verdict(of), "bob").unwrap();
    assert!(store.incident(first).unwrap().findings.contains_key(&FindingId(5)));
    let refused = |id, change| store.change_incident(id, Some(0), change, "bob").unwrap_err();
    assert!(matches!(refused(second, verdict(of)), IncidentError::Conflict(1)));
    assert!(matches!(refused(FindingId(7), verdict(of)), IncidentError::NotFound(_)));
    let nowhere = verdict(IncidentVerdict::Duplicate(FindingId(7)));
    assert!(matches!(refused(first, nowhere), IncidentError::NotFound(FindingId(7))));
    let bare = IncidentChange { status: Some(IncidentStatus::Closed), ..IncidentChange::default() };
    assert!(matches!(refused(first, bare), IncidentError::Refused(_)));
}

#[test]
fn a_suppressed_finding_is_kept_and_counted_and_weighs_nothing_until_it_ends() {
    let world = World::new();
    let store = world.open();
    let by_field = |value: f64| SuppressionMatch {
        field: Some(("share".to_owned(), json!(value))),
        ..SuppressionMatch::default()
    };
    let until = store.now() + 48 * HOUR;
    let suppress = |matcher| store.suppress(matcher, "ann", "known", until, "ann");
    let of = suppress(by_field(0.2)).unwrap();
    suppress(by_field(0.5)).unwrap();
    let again = suppress(by_field(0.2));
    assert!(matches!(again, Err(SuppressionError::Exists(id)) if id == of.id), "{again:?}");
    assert!(matches!(suppress(SuppressionMatch::default()), Err(SuppressionError::Refused(_))));
    let suppressed = world.finding(1, "TA0001", 60);
    commit(&store, [suppressed.clone()]);
    // The same finding again is one hit.
    commit(&store, [Finding { count: 6, ..suppressed.clone() }]);
    let hits = |store: &FindingStore| -> Vec<u64> {
        let mut hits: Vec<u64> = store.suppressions().iter().map(|s| s.suppression.hits).collect();
        hits.sort_unstable();
        hits
    };
    assert_eq!((hits(&store), store.risk(&ann()).unwrap()), (vec![0, 1], None));
    assert!(store.finding(FindingId(1)).unwrap().is_some());
    assert_eq!(store.suppressed_by(&suppressed), [of.id]);
    drop(store);
    let store = world.open();
    assert_eq!(hits(&store), [0, 1]);
    world.pass(HOUR);
    store.end_suppression(of.id, "bob").unwrap();
    assert!(matches!(store.end_suppression(of.id, "bob"), Err(SuppressionError::Ended)));
    commit(&store, [world.finding(2, "TA0001", 60)]);
    assert_eq!((hits(&store), level(&store)), (vec![0, 1], RiskLevel::Medium));
    let ended = store.suppressions().into_iter().find(|s| s.id == of.id).unwrap();
    assert_eq!(ended.ended_by.as_deref(), Some("bob"));
}

/// Pseudo-random numbers (SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

/// Findings about three users and an address within five days, by event time and id.
fn of_five_days(world: &World, numbers: &mut Numbers) -> Vec<Finding> {
    let user = |n| Entity { kind: EntityKind::User, id: format!("user-{n}") };
    let address = Entity { kind: EntityKind::Ip, id: "192.0.2.7".to_owned() };
    let mut findings: Vec<Finding> = (1..=40)
        .map(|id| {
            let tactic = ["TA0001", "TA0003", "TA0006", "TA0008"][numbers.below(4) as usize];
            let mut finding = world.finding(id, tactic, 10 + numbers.below(40) as u8);
            finding.title = format!("finding {id}");
            finding.time -= numbers.below(120) as i64 * HOUR;
            if numbers.below(12) == 0 {
                finding.severity = Severity::Critical;
            }
            finding.entities = match numbers.below(6) {
                0 => vec![address.clone()],
                1 => vec![user(numbers.below(3)), address.clone()],
                _ => vec![user(numbers.below(3))],
            };
            finding
        })
        .collect();
    findings.sort_by_key(|finding| (finding.time, finding.id));
    findings
}

#[test]
fn how_findings_are_spread_over_commits_changes_no_incident() {
    let (mut opened, mut by_risk) = (0, 0);
    for seed in 0..10 {
        let mut numbers = Numbers(seed);
        let world = World::new();
        let findings = of_five_days(&world, &mut numbers);
        let store = world.open();
        for finding in &findings {
            commit(&store, [finding.clone()]);
        }
        let one_by_one = store.incidents();
        opened += one_by_one.len();
        let reasons = one_by_one.iter().flat_map(|incident| incident.findings.values());
        by_risk += reasons.filter(|why| **why == Belongs::RiskHigh).count();
        for _ in 0..3 {
            let world = World::new();
            let store = world.open();
            let mut rest = findings.as_slice();
            while !rest.is_empty() {
                let (group, after) = rest.split_at(1 + numbers.below(rest.len() as u64) as usize);
                let mut group = group.to_vec();
                for at in 1..group.len() {
                    group.swap(at, numbers.below(at as u64 + 1) as usize);
                }
                commit(&store, group);
                rest = after;
            }
            assert_eq!(store.incidents(), one_by_one, "seed {seed}");
            for incident in &one_by_one {
                let of = store.incidents_of(&incident.entity);
                assert!(of.contains(incident), "seed {seed}: found by its entity");
            }
        }
    }
    assert!(opened > 10 && by_risk > 5, "{opened} incidents, {by_risk} opened by risk");
}

#[test]
fn what_belongs_to_an_incident_that_is_over_opens_no_other() {
    let world = World::new();
    let (store, id) = compromised(&world);
    store.change_incident(id, None, verdict(IncidentVerdict::TruePositive), "bob").unwrap();
    // Its last finding again, with other content: it weighs anew.
    world.pass(1_000);
    commit(&store, [Finding { revision: 9, count: 9, ..world.finding(3, "TA0008", 60) }]);
    assert_eq!((store.incidents().len(), level(&store)), (1, RiskLevel::High));
    commit(&store, [world.finding(6, "TA0008", 60)]);
    assert_eq!(store.incidents().len(), 2, "another finding does");
}
