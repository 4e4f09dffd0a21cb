//! Findings of one rule and minute beyond the bound: counted, reported by one, whatever happens between.

use sluice_finding::{RiskLevel, capped::FINDINGS_CAPPED};

use super::*;

const LIMIT: u64 = 3;

fn store(dir: &Path) -> FindingStore {
    let retention = Retention { findings_per_minute: LIMIT, ..Retention::default() };
    FindingStore::open(dir, retention).unwrap()
}

/// Finding `id` of minute 0, about a user of its own.
fn flood(id: u128) -> Finding {
    let user = format!("user{id}");
    Finding {
        time: 1_000,
        window: None,
        evidence: Vec::new(),
        fields: Map::from_iter([("user_name".to_owned(), json!(user))]),
        entities: vec![Entity { kind: EntityKind::User, id: user }],
        ..finding(id, 1)
    }
}

/// What is there of the flood, and the reports.
fn kept(store: &FindingStore) -> (usize, Vec<Finding>) {
    let all = store.after(Seq(0), 1_000).unwrap().0.into_iter().map(|stored| stored.finding);
    let (reports, kept): (Vec<_>, Vec<_>) = all.partition(|f| &*f.rule_id == FINDINGS_CAPPED);
    (kept.len(), reports)
}

fn seal(store: &FindingStore, findings: impl IntoIterator<Item = Finding>) {
    let findings = findings.into_iter().map(Reported::from).collect();
    let commit = Commit { findings, seals_epoch: true, ..Commit::default() };
    store.sink().commit(commit).unwrap();
}

#[test]
fn one_finding_reports_all_that_were_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    commit(&store, (1..=10).map(flood));
    let (n, reports) = kept(&store);
    assert_eq!((n, reports.len()), (3, 1));
    let report = &reports[0];
    assert_eq!((report.count, &report.fields["not_kept"]), (7, &json!(7)), "{report:?}");
    assert_eq!(
        (&report.fields["kept"], &report.fields["rule_id"]),
        (&json!(3), &json!("identity.x"))
    );
    assert_eq!(report.fields["key_columns"], json!(["user_name"]));
    assert_eq!(report.entities.len(), 7);
    assert_eq!(store.stats().findings_capped["identity.x"], 7);
    // More of them are counted at once, and reported with the next checkpoint.
    commit(&store, (11..=20).map(flood));
    assert_eq!(kept(&store).1[0].count, 7);
    seal(&store, []);
    assert_eq!(kept(&store).1[0].count, 17);
    assert_eq!(store.stats().findings_capped["identity.x"], 17);
    // Those that are kept go on changing; another rule and another minute have room of their own.
    commit(&store, [Finding { title: "again".to_owned(), ..flood(1) }]);
    assert_eq!(store.finding(FindingId(1)).unwrap().unwrap().finding.title, "again");
    commit(
        &store,
        [
            Finding { rule_id: "identity.y".into(), ..flood(30) },
            Finding { time: 60_000, ..flood(31) },
        ],
    );
    assert_eq!(kept(&store).0, 5);
}

#[test]
fn a_crash_and_repeated_reports_change_nothing() {
    let (calm, rough) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let undisturbed = store(calm.path());
    commit(&undisturbed, (1..=2_000).map(flood));
    seal(&undisturbed, []);
    // The same findings in pieces, with restarts, each piece reported again.
    for piece in 0..4 {
        let reopened = store(rough.path());
        let ids = (1 + 400 * piece)..=(400 * (piece + 1) + 400);
        commit(&reopened, ids.clone().map(flood));
        drop(reopened);
        let reopened = store(rough.path());
        seal(&reopened, ids.map(flood));
    }
    let last = store(rough.path());
    let ((a, calm), (b, rough)) = (kept(&undisturbed), kept(&last));
    assert_eq!((a, b), (3, 3));
    assert_eq!((calm.len(), rough.len()), (1, 1));
    let plain = |report: &Finding| Finding { revision: 1, ..report.clone() };
    assert_eq!(plain(&calm[0]), plain(&rough[0]));
    // More than are counted one by one.
    assert_eq!(calm[0].fields["exact"], false);
    assert!((1_800..2_200).contains(&calm[0].count), "{}", calm[0].count);
    let seq = last.last();
    seal(&last, (1..=2_000).map(flood));
    assert_eq!(last.last(), seq, "all of it again is no news");
}

#[test]
fn whom_the_others_are_about_is_at_risk_all_the_same() {
    let world = risk::World::new();
    let retention = Retention { findings_per_minute: 1, ..Retention::default() };
    let store = world.open_with(retention);
    let bob = Entity { kind: EntityKind::User, id: "bob".to_owned() };
    let now = store.now();
    let flood = |id, entity: &Entity| Finding {
        time: now,
        risk: 60,
        entities: vec![entity.clone()],
        ..finding(id, 1)
    };
    commit(&store, [flood(1, &risk::ann()), flood(2, &bob)]);
    assert!(store.finding(FindingId(2)).unwrap().is_none());
    for entity in [risk::ann(), bob] {
        let risk = store.risk(&entity).unwrap().unwrap();
        assert!(risk.state.level >= RiskLevel::Medium, "{entity:?} {risk:?}");
    }
}

#[test]
fn counts_go_with_the_findings_of_their_minute() {
    let dir = tempfile::tempdir().unwrap();
    let retention = Retention {
        findings_per_minute: LIMIT,
        finding_age: Duration::from_secs(3_600),
        ..Retention::default()
    };
    let store = FindingStore::open(dir.path(), retention).unwrap();
    commit(&store, (1..=10).map(flood));
    store.retain(2 * 3_600_000).unwrap();
    assert_eq!(store.stats().findings, 0);
    commit(&store, (21..=22).map(flood));
    assert_eq!(kept(&store).0, 2, "there is room again");
}
