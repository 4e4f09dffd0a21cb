//! Risk in the store: in the commit of the finding, by time alone, by a person's word, after a restart.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use sluice_engine::durable::{LevelRow, RiskCause, RiskClock};
use sluice_finding::{Contribution, ContributionKind, Criticality, RiskLevel, RiskScore};

use super::*;

pub(super) const HOUR: i64 = 3_600_000;

pub(super) struct World {
    dir: tempfile::TempDir,
    now: Arc<AtomicI64>,
}

impl World {
    pub(super) fn new() -> World {
        World { dir: tempfile::tempdir().unwrap(), now: Arc::new(AtomicI64::new(100 * HOUR)) }
    }

    pub(super) fn open(&self) -> FindingStore {
        self.open_with(Retention::default())
    }

    pub(super) fn open_with(&self, retention: Retention) -> FindingStore {
        let now = self.now.clone();
        let clock = RiskClock::new(move || now.load(Ordering::Relaxed));
        FindingStore::open_at(self.dir.path(), retention, clock).unwrap()
    }

    pub(super) fn pass(&self, millis: i64) {
        self.now.fetch_add(millis, Ordering::Relaxed);
    }

    pub(super) fn finding(&self, id: u128, tactic: &str, risk: u8) -> Finding {
        Finding {
            rule_id: format!("identity.rule_{tactic}").to_lowercase().into(),
            attack: vec![tactic.to_owned()].into(),
            risk,
            time: self.now.load(Ordering::Relaxed),
            ..finding(id, 5)
        }
    }
}

pub(super) fn ann() -> Entity {
    Entity { kind: EntityKind::User, id: "ann".to_owned() }
}

pub(super) fn level(store: &FindingStore) -> RiskLevel {
    store.risk(&ann()).unwrap().map_or(Low, |risk| risk.state.level)
}

fn levels(store: &FindingStore) -> Vec<(RiskLevel, RiskLevel)> {
    let (rows, _) = store.levels_after(Seq(0), 100).unwrap();
    rows.iter().map(|LevelRow { row, .. }| (row.previous_level, row.level)).collect()
}

use RiskLevel::{High, Low, Medium};

#[test]
fn b3_a_finding_raises_its_entity_in_the_same_commit_and_time_lowers_it() {
    let world = World::new();
    let store = world.open();
    commit(&store, [world.finding(1, "TA0001", 45)]);
    assert_eq!(level(&store), Medium);
    commit(&store, [world.finding(2, "TA0006", 45)]);
    assert_eq!((level(&store), levels(&store)), (High, vec![(Low, Medium), (Medium, High)]));
    let rows = store.risk_rows(&ann(), None, 10).unwrap();
    assert_eq!(rows[0].cause, RiskCause::Finding(FindingId(2)));
    let sum: i64 = rows[0].reasons.iter().map(|r| r.points).sum();
    let risk = store.risk(&ann()).unwrap().unwrap();
    let score = risk.ledger.score(store.now());
    assert_eq!((score.base + sum, score.score), (rows[0].score, rows[0].score));

    // The same statement again, and a confirmation, change nothing.
    commit(&store, [world.finding(2, "TA0006", 45)]);
    let confirmed = Finding { state: FindingState::Confirmed, ..world.finding(1, "TA0001", 45) };
    commit(&store, [confirmed]);
    assert_eq!(store.risk_rows(&ann(), None, 10).unwrap().len(), rows.len());

    // No event, and the node was off for ten days: each crossing is told at its instant.
    drop(store);
    world.pass(240 * HOUR);
    let store = world.open();
    assert_eq!(store.pass_time().unwrap(), 1);
    assert_eq!(store.pass_time().unwrap(), 0);
    assert_eq!(levels(&store)[2..], [(High, Medium), (Medium, Low)]);
    let (rows, end) = store.levels_after(Seq(0), 100).unwrap();
    assert!(rows[2].row.at < rows[3].row.at && rows[3].row.at < 300 * HOUR, "{rows:?}");
    assert_eq!(rows[3].row.cause, RiskCause::Decay);
    assert_eq!(end, store.last());
    // The store foretold what the ledger says of itself.
    let told: Vec<(i64, RiskLevel)> = rows.iter().map(|r| (r.row.at, r.row.level)).collect();
    let timeline = risk.ledger.timeline(store.now());
    let timeline: Vec<(i64, RiskLevel)> = timeline.iter().map(|c| (c.at, c.current)).collect();
    assert_eq!(told[2..], timeline[timeline.len() - 2..]);
}

#[test]
fn m5_another_criticality_is_another_score_at_once_and_stays_over_a_restart() {
    let world = World::new();
    let store = world.open();
    let of = |criticality| Arc::new(BTreeMap::from([(ann(), criticality)]));
    // Known before its first finding.
    assert_eq!(store.set_criticality(of(Criticality::Extreme)).unwrap(), 0);
    commit(&store, [world.finding(1, "TA0001", 30)]);
    let score =
        |store: &FindingStore| store.risk(&ann()).unwrap().unwrap().ledger.score(store.now());
    let extreme = score(&store);
    let listed = |score: &RiskScore| -> Option<i64> {
        let is = |c: &&Contribution| matches!(c.kind, ContributionKind::Criticality(_));
        score.contributions.iter().find(is).map(|c| c.points)
    };
    assert!(listed(&extreme).unwrap() > 0, "{extreme:#?}");
    // Within the dwell: it falls all the same.
    world.pass(1_000);
    assert_eq!(store.set_criticality(of(Criticality::Low)).unwrap(), 1);
    let low = score(&store);
    assert!(low.score < extreme.score && listed(&low).unwrap() < 0, "{low:#?}");
    let row = &store.risk_rows(&ann(), None, 1).unwrap()[0];
    assert_eq!((row.cause, row.score), (RiskCause::Criticality, low.score));
    let sum: i64 = low.contributions.iter().map(|c| c.points).sum();
    assert_eq!(low.base + sum, low.score);
    assert_eq!(store.set_criticality(of(Criticality::Low)).unwrap(), 0, "nothing has changed");
    drop(store);
    let store = world.open();
    assert_eq!(score(&store), low);
    // No longer in the lookup.
    assert_eq!(store.set_criticality(Arc::default()).unwrap(), 1);
    assert_eq!(listed(&score(&store)), None);
}

#[test]
fn t9_a_verdict_restores_the_score_at_once_and_reopening_brings_it_back() {
    let world = World::new();
    let store = world.open();
    commit(&store, [world.finding(1, "TA0001", 45), world.finding(2, "TA0006", 45)]);
    assert_eq!(level(&store), High);
    // Not after the dwell: at once.
    world.pass(1_000);
    for reason in [Reason::FalsePositive, Reason::Benign] {
        store.triage(FindingId(2), None, resolve(reason), store.now(), "bob").unwrap();
        assert_eq!(level(&store), Medium);
        let row = &store.risk_rows(&ann(), None, 1).unwrap()[0];
        assert_eq!(row.cause, RiskCause::Verdict(FindingId(2)));
        let back = TriageChange { status: Some(TriageStatus::New), ..TriageChange::default() };
        store.triage(FindingId(2), None, back, store.now(), "bob").unwrap();
        assert_eq!(level(&store), High);
        world.pass(HOUR);
    }
    store.triage(FindingId(2), None, resolve(Reason::TruePositive), 0, "bob").unwrap();
    assert_eq!(level(&store), High, "what is true goes on to count");
}

#[test]
fn a_withdrawn_finding_and_one_on_trial_weigh_nothing() {
    let world = World::new();
    let store = world.open();
    commit(&store, [Finding { shadow: true, ..world.finding(1, "TA0001", 60) }]);
    assert_eq!(store.risk(&ann()).unwrap(), None);
    commit(&store, [world.finding(2, "TA0001", 60)]);
    assert_eq!(level(&store), Medium);
    world.pass(HOUR);
    let withdrawn = Finding { state: FindingState::Withdrawn, ..world.finding(2, "TA0001", 60) };
    commit(&store, [withdrawn]);
    assert_eq!(level(&store), Low);
    let row = &store.risk_rows(&ann(), None, 1).unwrap()[0];
    assert_eq!(row.cause, RiskCause::Withdrawn(FindingId(2)));
    assert!(store.risks().is_empty(), "nothing is left to weigh");
}

#[test]
fn each_entity_of_a_finding_has_its_own_ledger_and_names_have_any_length() {
    let world = World::new();
    let store = world.open();
    let long = Entity { kind: EntityKind::Device, id: "x".repeat(200_000) };
    let about = vec![ann(), long.clone()];
    commit(&store, [Finding { entities: about, ..world.finding(1, "TA0001", 60) }]);
    assert_eq!(store.risks().len(), 2);
    assert_eq!(store.risk(&long).unwrap().unwrap().state.level, Medium);
    // The finding is about somebody else now.
    let bob = Entity { kind: EntityKind::User, id: "bob".to_owned() };
    let moved = Finding { entities: vec![bob.clone()], count: 6, ..world.finding(1, "TA0001", 60) };
    world.pass(HOUR);
    commit(&store, [moved]);
    let known: Vec<Entity> = store.risks().into_iter().map(|(e, _)| e).collect();
    assert_eq!((known, level(&store)), (vec![bob], Low));
}

#[test]
fn x3_ledgers_are_the_same_after_reopening_and_go_with_their_findings() {
    let world = World::new();
    let store = world.open();
    commit(&store, (1..=40).map(|id| world.finding(id, "TA0001", 30)));
    commit(&store, [world.finding(50, "TA0003", 30)]);
    let before = (store.risks(), store.risk_rows(&ann(), None, 10).unwrap());
    drop(store);
    let store = world.open();
    assert_eq!((store.risks(), store.risk_rows(&ann(), None, 10).unwrap()), before);
    world.pass(400 * 24 * HOUR);
    store.pass_time().unwrap();
    assert!(store.risks().is_empty());
    store.pass_time().unwrap();
    assert_eq!(store.risk(&ann()).unwrap(), None);
    assert!(store.risk_rows(&ann(), None, 10).unwrap().is_empty());
    assert!(!levels(&store).is_empty());
    store.retain(store.now()).unwrap();
    assert!(levels(&store).is_empty());
}
