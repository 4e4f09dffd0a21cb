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

/// An index in memory over a disk that outlives it.
#[derive(Default)]
struct Memory {
    disk: Arc<Mutex<Disk>>,
    held: BTreeMap<FindingId, u64>,
    cursor: u64,
}

impl Follow for Memory {
    const NAME: &'static str = "test";
    const PAGE: usize = 500;

    fn open(&mut self, _store: &FindingStore) -> Result<Seq, String> {
        let disk = self.disk.lock().unwrap();
        (self.held, self.cursor) = (disk.held.clone(), disk.cursor);
        Ok(Seq(self.cursor))
    }

    fn apply(&mut self, page: Page) -> Result<(), String> {
        self.held.retain(|id, _| !page.removed.contains(id));
        self.held.extend(page.changed.iter().map(|s| (s.finding.id, s.finding.count)));
        self.cursor = page.to.0;
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

    fn commit_every(&self) -> Duration {
        Duration::from_secs(1)
    }
}

fn over(disk: &Arc<Mutex<Disk>>) -> Memory {
    Memory { disk: disk.clone(), ..Memory::default() }
}

fn finding(n: u128, count: u64) -> Finding {
    Finding {
        id: FindingId(n),
        // Findings of one rule are bounded by the minute.
        rule_id: format!("r{}", n / 500).into(),
        rule_version: "1".into(),
        title: "t".to_owned(),
        severity: Severity::Low,
        time: clock::now(),
        state: FindingState::Confirmed,
        revision: u32::try_from(count).unwrap(),
        entities: Vec::new(),
        attack: Arc::new([]),
        risk: 0,
        shadow: false,
        suppression: None,
        fields: Map::new(),
        window: None,
        count,
        late: false,
        capped: false,
        capped_by: Vec::new(),
        time_flags: sluice_event::TimeFlags::NONE,
        contested: false,
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
    let begun = clock::monotonic();
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
    let follower = Follower::start(store.clone(), over(&disk));
    wait_for("what was there", || held() == 1_200);
    assert!(disk.lock().unwrap().commits <= 4, "in few commits");

    // It fails three times; findings come meanwhile, and nothing is lost.
    disk.lock().unwrap().fail = 3;
    keep(&mut sink, [finding(5_000, 1), finding(7, 2)]);
    wait_for("a failure", || follower.progress().now().error.is_some());
    keep(&mut sink, [finding(5_001, 1)]);
    wait_for("the end of the failures", || held() == 1_202);
    let progress = follower.progress().now();
    assert_eq!((progress.error, progress.failures, progress.failures_total), (None, 0, 3));
    wait_for("the whole cursor", || follower.progress().now().at == store.last().0);
    assert_eq!(disk.lock().unwrap().held[&FindingId(7)], 2, "the changed one");

    // Stopping keeps what was just read.
    keep(&mut sink, [finding(5_002, 1)]);
    follower.stop();
    let at_stop = held();
    assert!(at_stop == 1_203 || at_stop == 1_202, "{at_stop}");
    // Emptied between runs, it is made again from the store.
    *disk.lock().unwrap() = Disk::default();
    let follower = Follower::start(store.clone(), over(&disk));
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
    let follower = Follower::start(store.clone(), over(&disk));
    wait_for("the findings", || disk.lock().unwrap().held.len() == 10);
    store.retain(clock::now() + 2 * 3_600_000).unwrap();
    wait_for("their end", || disk.lock().unwrap().held.is_empty());
    // One that comes again after that stays.
    keep(&mut sink, [finding(3, 2)]);
    wait_for("the one", || disk.lock().unwrap().held.len() == 1);
    follower.stop();
}

/// An entry that does not fit its finding, as a snapshot between two keyspaces shows it.
fn torn() -> EngineError {
    EngineError::Stored { what: "change 7".to_owned(), reason: "it is not as it says".to_owned() }
}

#[test]
fn damage_is_claimed_only_when_it_stays() {
    let mut outcomes = vec![Ok(3), Err(torn()), Err(torn())];
    let mut waits = 0;
    let read = confirmed(|| outcomes.pop().unwrap(), || waits += 1);
    assert_eq!((read.unwrap(), waits), (3, 2));
    let (mut reads, mut waits) = (0, 0);
    let read = confirmed::<u8>(
        || {
            reads += 1;
            Err(torn())
        },
        || waits += 1,
    );
    assert!(matches!(read, Err(EngineError::Stored { .. })));
    assert_eq!((reads, waits), (LOOKS, LOOKS - 1));
}

#[test]
fn other_failures_are_not_read_again() {
    let mut reads = 0;
    let read = confirmed::<u8>(
        || {
            reads += 1;
            Err(EngineError::NoRoom)
        },
        || panic!("nothing to wait for"),
    );
    assert!(matches!(read, Err(EngineError::NoRoom)));
    assert_eq!(reads, 1);
}
