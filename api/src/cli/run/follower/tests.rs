//! An index that fails, is emptied and is stopped, beside a real store.

use std::collections::BTreeMap;

use serde_json::Map;
use sluice_engine::{Commit, FindingSink, Reported, durable::Retention};
use sluice_finding::{Finding, FindingState};
use sluice_rule::Severity;

use super::*;

/// What an index holds for good, and what befalls it.
#[derive(Default)]
struct Disk {
    held: BTreeMap<FindingId, u64>,
    cursor: u64,
    commits: u32,
    /// So many of the next commits fail.
    fail: u32,
}

struct Fake {
    disk: Arc<Mutex<Disk>>,
    held: BTreeMap<FindingId, u64>,
    cursor: u64,
}

impl Index for Fake {
    fn cursor(&self) -> Seq {
        Seq(self.cursor)
    }

    fn apply(
        &mut self,
        changed: &[Stored],
        removed: &[FindingId],
        cursor: Seq,
    ) -> Result<(), String> {
        self.held.retain(|id, _| !removed.contains(id));
        self.held.extend(changed.iter().map(|s| (s.finding.id, s.finding.count)));
        self.cursor = cursor.0;
        Ok(())
    }

    fn commit(&mut self) -> Result<(), String> {
        let mut disk = self.disk.lock().unwrap();
        if disk.fail > 0 {
            disk.fail -= 1;
            return Err("no space left".to_owned());
        }
        (disk.held, disk.cursor) = (self.held.clone(), self.cursor);
        disk.commits += 1;
        Ok(())
    }
}

fn open(disk: &Arc<Mutex<Disk>>) -> OpenIndex {
    let disk = disk.clone();
    Box::new(move || {
        let (held, cursor) = {
            let disk = disk.lock().unwrap();
            (disk.held.clone(), disk.cursor)
        };
        Ok(Box::new(Fake { disk: disk.clone(), held, cursor }))
    })
}

fn finding(n: u128, count: u64) -> Finding {
    Finding {
        id: FindingId(n),
        rule_id: "r".into(),
        rule_version: "1".into(),
        title: "t".to_owned(),
        severity: Severity::Low,
        time: clock(),
        state: FindingState::Confirmed,
        revision: u32::try_from(count).unwrap(),
        entities: Vec::new(),
        attack: Arc::new([]),
        risk: 0,
        shadow: false,
        fields: Map::new(),
        window: None,
        count,
        late: false,
        capped: false,
        evidence: Vec::new(),
        evidence_total: count,
    }
}

fn keep(sink: &mut impl FindingSink, findings: impl IntoIterator<Item = Finding>) {
    let findings = findings.into_iter().map(Reported::from).collect();
    sink.commit(Commit { findings, ..Commit::default() }).unwrap();
}

#[track_caller]
fn wait_for(what: &str, mut check: impl FnMut() -> bool) {
    let begun = now();
    while !check() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what} did not come");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn it_catches_up_follows_survives_failures_and_being_emptied() {
    let dir = tempfile::tempdir().unwrap();
    let store = FindingStore::open(dir.path(), Retention::default()).unwrap();
    let mut sink = store.sink();
    // More than one batch, before it starts.
    for part in 0..6_u128 {
        keep(&mut sink, (0..200).map(|n| finding(part * 200 + n, 1)));
    }
    let disk = Arc::new(Mutex::new(Disk::default()));
    let held = || disk.lock().unwrap().held.len();
    let follower = Follower::start(store.clone(), open(&disk));
    wait_for("what was there", || held() == 1_200);
    assert!(disk.lock().unwrap().commits <= 4, "in few commits");

    // It fails three times; findings come meanwhile, and nothing is lost.
    disk.lock().unwrap().fail = 3;
    keep(&mut sink, [finding(5_000, 1), finding(7, 2)]);
    wait_for("a failure", || !follower.health().now().error.is_empty());
    keep(&mut sink, [finding(5_001, 1)]);
    wait_for("the end of the failures", || held() == 1_202);
    let health = follower.health().now();
    assert_eq!((health.error.as_str(), health.failures), ("", 0));
    wait_for("the whole cursor", || follower.health().now().at == store.last().0);
    assert_eq!(disk.lock().unwrap().held[&FindingId(7)], 2, "the changed one");

    // Stopping keeps what was just read.
    keep(&mut sink, [finding(5_002, 1)]);
    follower.stop();
    let at_stop = held();
    assert!(at_stop == 1_203 || at_stop == 1_202, "{at_stop}");
    // Emptied between runs, it is made again from the store.
    *disk.lock().unwrap() = Disk::default();
    let follower = Follower::start(store.clone(), open(&disk));
    wait_for("all of it again", || held() == 1_203);
    follower.stop();
}

#[test]
fn what_retention_removes_is_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let retention = Retention { finding_age: Duration::from_secs(3_600), ..Retention::default() };
    let store = FindingStore::open(dir.path(), retention).unwrap();
    let mut sink = store.sink();
    keep(&mut sink, (0..10).map(|n| finding(n, 1)));
    let disk = Arc::new(Mutex::new(Disk::default()));
    let follower = Follower::start(store.clone(), open(&disk));
    wait_for("the findings", || disk.lock().unwrap().held.len() == 10);
    store.retain(clock() + 2 * 3_600_000).unwrap();
    wait_for("their end", || disk.lock().unwrap().held.is_empty());
    // One that comes again after that stays.
    keep(&mut sink, [finding(3, 2)]);
    wait_for("the one", || disk.lock().unwrap().held.len() == 1);
    follower.stop();
}
