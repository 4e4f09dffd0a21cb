//! The store of findings as the engine, the API and followers use it.

mod capped;
mod crash;
mod follow;
mod incidents;
mod letters;
mod retention;
mod risk;
mod state;

use std::{collections::BTreeMap, path::Path, thread, time::Duration};

use serde_json::{Map, json};
use sluice_engine::{
    Checkpoint, Commit, FindingSink, Reported, Seq,
    durable::{FindingStore, Retention, TriageError},
};
use sluice_event::EntityKind;
use sluice_finding::{
    Entity, Finding, FindingId, FindingState, Reason, TriageChange, TriageRefused, TriageStatus,
};
use sluice_rule::Severity;
use sluice_store::{Memory, Store};

fn open(dir: &Path) -> FindingStore {
    FindingStore::open(dir, Retention::default()).unwrap()
}

fn finding(id: u128, count: u64) -> Finding {
    let mut fields = Map::new();
    fields.insert("share".to_owned(), json!(1.0 / count as f64));
    Finding {
        id: FindingId(id),
        rule_id: "identity.x".into(),
        rule_version: "abc".into(),
        title: format!("finding {id}"),
        severity: Severity::Medium,
        time: 1_000 * id as i64,
        state: FindingState::Provisional,
        revision: 1,
        entities: vec![Entity { kind: EntityKind::User, id: "ann".to_owned() }],
        attack: vec!["T1078".to_owned()].into(),
        risk: 15,
        shadow: false,
        suppression: None,
        fields,
        window: Some((0, 60_000)),
        count,
        late: false,
        capped: false,
        capped_by: Vec::new(),
        time_flags: sluice_event::TimeFlags::NONE,
        contested: false,
        evidence: vec!["{}".into()],
        evidence_total: count,
    }
}

fn commit(store: &FindingStore, findings: impl IntoIterator<Item = Finding>) -> Seq {
    let findings = findings.into_iter().map(Reported::from).collect();
    store.sink().commit(Commit { findings, ..Commit::default() }).unwrap()
}

fn keep(store: &FindingStore, checkpoint: Checkpoint) {
    store.sink().checkpoints().unwrap().keep(checkpoint).unwrap();
}

fn resolve(reason: Reason) -> TriageChange {
    TriageChange {
        status: Some(TriageStatus::Resolved),
        reason: Some(reason),
        ..TriageChange::default()
    }
}

#[test]
fn everything_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let before = {
        let store = open(dir.path());
        assert_eq!((store.last(), store.checkpoint().unwrap().is_none()), (Seq(0), true));
        assert_eq!(commit(&store, [finding(1, 5), finding(2, 5)]), Seq(2));
        store.triage(FindingId(2), None, resolve(Reason::Benign), 7, "ann").unwrap();
        assert_eq!(store.last(), Seq(3));
        store.after(Seq(0), 10).unwrap().0
    };
    let store = open(dir.path());
    assert_eq!(store.last(), Seq(3));
    assert_eq!(store.after(Seq(0), 10).unwrap(), (before, Seq(3)));
    let stored = store.finding(FindingId(2)).unwrap().unwrap();
    assert_eq!((stored.finding, stored.triage.history[0].by.as_str()), (finding(2, 5), "ann"));
    assert_eq!(store.finding(FindingId(3)).unwrap(), None);
    assert_eq!(commit(&store, [finding(3, 5)]), Seq(4));
}

#[test]
fn second_process_is_told_who_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let refused = FindingStore::open(dir.path(), Retention::default()).unwrap_err().to_string();
    assert!(refused.contains("is in use by another process"), "{refused}");
    let sink = store.sink();
    drop(store);
    assert!(FindingStore::open(dir.path(), Retention::default()).is_err());
    drop(sink);
    open(dir.path());
}

#[test]
fn replay_never_touches_what_people_did() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    commit(&store, [finding(1, 5)]);
    let closed =
        store.triage(FindingId(1), Some(0), resolve(Reason::FalsePositive), 7, "ann").unwrap();
    assert_eq!((closed.triage.version, closed.seq), (1, Seq(2)));
    // Said again: nothing. Then more of it: the finding changes, the triage does not.
    assert_eq!(commit(&store, [finding(1, 5)]), Seq(2));
    assert_eq!(commit(&store, [finding(1, 6)]), Seq(3));
    let stored = store.finding(FindingId(1)).unwrap().unwrap();
    assert_eq!((stored.finding.count, stored.finding.revision), (6, 2));
    assert_eq!((stored.triage, stored.seq), (closed.triage, Seq(3)));
}

#[test]
fn triage_that_cannot_be_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let change = || resolve(Reason::Duplicate);
    let missing = store.triage(FindingId(1), None, change(), 1, "ann").unwrap_err();
    assert!(matches!(missing, TriageError::NotFound(FindingId(1))));
    commit(&store, [finding(1, 5)]);
    store.triage(FindingId(1), Some(0), change(), 1, "ann").unwrap();
    let slower = store.triage(FindingId(1), Some(0), change(), 2, "bob").unwrap_err();
    assert!(matches!(slower, TriageError::Conflict(1)));
    let nothing = store.triage(FindingId(1), None, TriageChange::default(), 3, "bob").unwrap_err();
    assert!(matches!(nothing, TriageError::Refused(TriageRefused::Invalid(_))));
    let stored = store.finding(FindingId(1)).unwrap().unwrap();
    assert_eq!((stored.triage.version, stored.seq), (1, Seq(2)));
}

#[test]
fn of_people_at_once_one_wins_each_version() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    commit(&store, [finding(1, 5)]);
    let won: usize = thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|who| {
                let store = store.clone();
                scope.spawn(move || {
                    let note =
                        TriageChange { comment: Some("x".into()), ..TriageChange::default() };
                    (0..10)
                        .filter(|version| {
                            let by = format!("{who}");
                            store.triage(FindingId(1), Some(*version), note.clone(), 1, &by).is_ok()
                        })
                        .count()
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).sum()
    });
    let stored = store.finding(FindingId(1)).unwrap().unwrap();
    assert_eq!((stored.triage.version, stored.triage.history.len()), (won as u64, won));
    assert_eq!(store.last(), Seq(1 + won as u64));
}

#[test]
fn one_commit_folds_what_it_says_twice() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let confirmed = Finding { state: FindingState::Confirmed, ..finding(1, 7) };
    let said = [finding(1, 5), finding(2, 1), finding(1, 7), confirmed.clone(), finding(1, 6)];
    assert_eq!(commit(&store, said), Seq(2));
    let (stored, _) = store.after(Seq(0), 10).unwrap();
    assert_eq!(stored[0].finding, Finding { revision: 3, ..confirmed });
    assert_eq!(stored[1].finding, finding(2, 1));
    assert_eq!((store.stats().findings, stored.len()), (2, 2));
}

#[test]
fn a_replay_in_other_cuts_ends_with_the_same_values() {
    let run: Vec<Finding> = (1..=40)
        .flat_map(|n| {
            let id = n % 7;
            let mut said = vec![finding(id, n as u64)];
            if n % 11 == 0 {
                said.push(Finding { state: FindingState::Withdrawn, ..finding(id, n as u64) });
            }
            if n > 33 {
                said.push(Finding { state: FindingState::Confirmed, ..finding(id, n as u64) });
            }
            said
        })
        .collect();
    let values = |store: &FindingStore| -> BTreeMap<FindingId, Finding> {
        let (stored, _) = store.after(Seq(0), 100).unwrap();
        stored.into_iter().map(|s| (s.finding.id, Finding { revision: 0, ..s.finding })).collect()
    };
    let undisturbed = tempfile::tempdir().unwrap();
    let expected = open(undisturbed.path());
    commit(&expected, run.clone());
    for (checkpoint, crash, size) in [(0, 20, 3), (10, 40, 1), (5, 30, 50), (19, 21, 2)] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        for said in &run[..crash] {
            commit(&store, [said.clone()]);
        }
        drop(store);
        let store = open(dir.path());
        for said in run[checkpoint..].chunks(size) {
            commit(&store, said.to_vec());
        }
        assert_eq!(values(&store), values(&expected), "{checkpoint} {crash} {size}");
    }
}

#[test]
fn whoever_waits_is_woken_by_findings_and_by_triage() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    assert_eq!(store.wait(Seq(0), Duration::from_millis(1)), Seq(0));
    let long = Duration::from_secs(600);
    for round in 0..2 {
        let last = store.last();
        let waiting = {
            let store = store.clone();
            thread::spawn(move || store.wait(last, long))
        };
        // Neither of these is a change of a finding.
        commit(&store, []);
        keep(&store, Checkpoint::default());
        assert_eq!(store.last(), last);
        if round == 0 {
            commit(&store, [finding(1, 5)]);
        } else {
            store.triage(FindingId(1), None, resolve(Reason::Benign), 1, "ann").unwrap();
        }
        assert_eq!(waiting.join().unwrap(), Seq(last.0 + 1));
    }
    assert_eq!(store.wait(Seq(0), long), Seq(2));
}

#[test]
fn evidence_is_stored_event_by_event_and_goes_with_its_finding() {
    let dir = tempfile::tempdir().unwrap();
    let with = |events: &[&str]| Finding {
        evidence: events.iter().map(|event| (*event).into()).collect(),
        ..finding(1, events.len() as u64)
    };
    let events = || -> Vec<Vec<u8>> {
        let (store, spaces) = Store::open(dir.path(), &state::FINDINGS, Memory::default()).unwrap();
        let place = state::FINDINGS.spaces.iter().position(|s| *s == "evidence").unwrap();
        let rows = store.snapshot().prefix(&spaces[place], b"");
        let mut events: Vec<Vec<u8>> = rows.map(|row| row.unwrap().1.to_vec()).collect();
        events.sort();
        events
    };
    let store = open(dir.path());
    commit(&store, [with(&["first", "second"]), finding(2, 1)]);
    // The last ones shown move on, an event is shown twice, and a process later it is the same.
    let grown = with(&["first", "third", "first"]);
    commit(&store, [grown.clone()]);
    let expected = Finding { revision: 2, ..grown };
    assert_eq!(store.finding(FindingId(1)).unwrap().unwrap().finding, expected);
    drop(store);
    assert_eq!(events(), [&b"first"[..], b"third", b"{}"]);
    let store = open(dir.path());
    assert_eq!(store.finding(FindingId(1)).unwrap().unwrap().finding, expected);
    commit(&store, [with(&["first", "third", "fourth", "fifth"])]);
    drop(store);
    assert_eq!(events(), [&b"fifth"[..], b"first", b"fourth", b"third", b"{}"]);

    let short = Retention { finding_age: Duration::from_millis(1), ..Retention::default() };
    let store = FindingStore::open(dir.path(), short).unwrap();
    assert!(store.stats().finding_bytes > 0);
    store.retain(1_000_000).unwrap();
    assert_eq!((store.stats().findings, store.stats().finding_bytes), (0, 0));
    drop(store);
    assert_eq!(events(), Vec::<Vec<u8>>::new());
}
