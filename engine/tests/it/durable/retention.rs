//! What goes when, and that followers are told.

use std::time::Duration;

use sluice_engine::{
    Seq,
    durable::{FindingStore, Retention},
};
use sluice_finding::{
    Finding, FindingId, IncidentChange, IncidentStatus, IncidentVerdict, Reason, TriageChange,
};
use sluice_rule::Severity;

use super::{commit, finding, open, resolve};

#[test]
fn old_findings_go_with_all_that_is_about_them() {
    let dir = tempfile::tempdir().unwrap();
    let age = Duration::from_secs(10);
    let retention = Retention { finding_age: age, ..Retention::default() };
    let store = FindingStore::open(dir.path(), retention).unwrap();
    // Finding n is of second n; more than one batch of them.
    commit(&store, (1..=1_200).map(|id| finding(id, 1)));
    store.triage(FindingId(1), None, resolve(Reason::Benign), 1, "ann").unwrap();
    // A finding ages by what it says now.
    commit(&store, [Finding { time: 2_000_000, ..finding(2, 2) }]);
    let last = store.last();
    store.retain(1_110_000).unwrap();
    assert_eq!(store.stats().findings_expired, (1_098, 0));
    assert_eq!(store.stats().findings, 102);
    assert_eq!(store.finding(FindingId(1)).unwrap(), None);
    assert!(store.finding(FindingId(2)).unwrap().is_some());
    assert!(store.finding(FindingId(1_100)).unwrap().is_some());
    assert_eq!(store.after(Seq(0), 2_000).unwrap().0.len(), 102);

    let (removed, next) = store.removed_after(last, 2_000).unwrap();
    assert_eq!((removed.len(), next), (1_098, store.last()));
    assert_eq!(removed[..2], [FindingId(1), FindingId(3)]);
    let (some, at) = store.removed_after(last, 1_000).unwrap();
    let (rest, _) = store.removed_after(at, 1_000).unwrap();
    assert_eq!([some, rest].concat(), removed);

    // Found again: it is new, and not removed any more.
    commit(&store, [finding(1, 1)]);
    let stored = store.finding(FindingId(1)).unwrap().unwrap();
    assert_eq!((stored.triage.version, stored.finding.revision), (0, 1));
    assert_eq!(store.removed_after(last, 2_000).unwrap().0, removed[1..]);

    store.retain(1_110_000).unwrap();
    drop(store);
    let store = open(dir.path());
    assert_eq!((store.stats().findings, store.stats().findings_expired), (102, (1_099, 0)));
}

#[test]
fn too_many_bytes_push_out_the_oldest() {
    let dir = tempfile::tempdir().unwrap();
    let retention = Retention { finding_bytes: 20_000, ..Retention::default() };
    let store = FindingStore::open(dir.path(), retention).unwrap();
    commit(&store, (1..=500).rev().map(|id| finding(id, 1)));
    let before = store.stats();
    assert!(before.finding_bytes > 40_000);
    store.retain(0).unwrap();
    let after = store.stats();
    assert!(after.finding_bytes <= 20_000 && after.finding_bytes > 19_000, "{after:?}");
    assert_eq!(after.findings_expired, (0, 500 - after.findings));
    let mut left: Vec<u128> =
        store.after(Seq(0), 1_000).unwrap().0.into_iter().map(|s| s.finding.id.0).collect();
    left.sort_unstable();
    assert_eq!(left, (501 - u128::from(after.findings)..=500).collect::<Vec<_>>());
}

#[test]
fn totals_are_those_of_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let retention = Retention { finding_age: Duration::from_secs(30), ..Retention::default() };
    let store = FindingStore::open(dir.path(), retention).unwrap();
    commit(&store, (1..=50).map(|id| finding(id, 1)));
    let one = store.stats().finding_bytes;
    commit(&store, (1..=50).map(|id| finding(id, 1_000_000)));
    let grown = store.stats().finding_bytes;
    assert!(grown > one);
    store.triage(FindingId(50), None, resolve(Reason::Benign), 1, "ann").unwrap();
    assert!(store.stats().finding_bytes > grown);
    store.retain(i64::MAX).unwrap();
    let empty = store.stats();
    assert_eq!((empty.findings, empty.finding_bytes, empty.findings_expired), (0, 0, (50, 0)));
    assert!(empty.disk_bytes > 0);
    assert!(store.free_bytes().unwrap() > 0);
}

fn remark() -> TriageChange {
    TriageChange { comment: Some("mine".to_owned()), ..TriageChange::default() }
}

#[test]
fn what_people_work_on_is_spared() {
    let dir = tempfile::tempdir().unwrap();
    let retention = Retention { finding_age: Duration::from_secs(1), ..Retention::default() };
    let store = FindingStore::open(dir.path(), retention).unwrap();
    // Of the third an incident is open.
    commit(&store, (1..=2).chain(4..=5).map(|id| finding(id, 1)));
    commit(&store, [Finding { severity: Severity::Critical, ..finding(3, 1) }]);
    let incident = store.incidents()[0].id;
    store.triage(FindingId(4), None, remark(), 1, "ann").unwrap();
    store.triage(FindingId(5), None, remark(), 1, "ann").unwrap();
    store.triage(FindingId(5), None, resolve(Reason::Benign), 1, "ann").unwrap();
    let there = || {
        (1..=5).filter(|id| store.finding(FindingId(*id)).unwrap().is_some()).collect::<Vec<_>>()
    };
    store.retain(100_000).unwrap();
    let contributed = store.incident(incident).unwrap().findings.clone();
    assert!(contributed.contains_key(&FindingId(3)), "{contributed:?}");
    let expected: Vec<u128> =
        (1..=5).filter(|id| *id == 4 || contributed.contains_key(&FindingId(*id))).collect();
    assert_eq!(there(), expected);
    let close = IncidentChange {
        status: Some(IncidentStatus::Closed),
        verdict: Some(IncidentVerdict::TruePositive),
        ..IncidentChange::default()
    };
    store.change_incident(incident, None, close, "ann").unwrap();
    store.retain(100_000).unwrap();
    assert_eq!(there(), [4]);
    assert_eq!(store.incident(incident), None);
}

#[test]
fn bytes_push_out_what_people_work_on_last() {
    let dir = tempfile::tempdir().unwrap();
    let quota = |finding_bytes| Retention { finding_bytes, ..Retention::default() };
    let store = FindingStore::open(dir.path(), quota(20_000)).unwrap();
    commit(&store, (1..=500).map(|id| finding(id, 1)));
    for id in 1..=50 {
        store.triage(FindingId(id), None, remark(), 1, "ann").unwrap();
    }
    store.retain(0).unwrap();
    let there = |id: u128| store.finding(FindingId(id)).unwrap().is_some();
    assert!((1..=50).all(there), "the oldest, and open");
    assert!(!there(51) && there(500));
    assert!(store.stats().finding_bytes <= 20_000);
    drop(store);
    // Where there is no room for them either, they go.
    let store = FindingStore::open(dir.path(), quota(1_000)).unwrap();
    store.retain(0).unwrap();
    let stats = store.stats();
    assert!(stats.finding_bytes <= 1_000 && stats.findings > 0, "{stats:?}");
    assert_eq!(stats.findings_expired.1, 500 - stats.findings);
}
