//! `kill -9` at any moment: every acknowledged commit is there with all its parts, or all of it is
//! not.

use std::{
    collections::BTreeMap,
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
};

use sluice_engine::{
    Checkpoint, Commit, FindingSink, PlacedDeadLetter, Reported, Seq,
    durable::{FindingStore, LetterFilter},
};
use sluice_event::PartitionId;
use sluice_finding::{Finding, FindingId, FindingState};
use sluice_ingest::{DeadLetter, DeadLetterCode, Original, live::Place};
use sluice_stream::StateEntry;

use super::{finding, open};

const DIR: &str = "SLUICE_ENGINE_CRASH_DIR";

fn place() -> Place {
    Place { input: "okta".into(), part: "logins/0".into() }
}

/// Position `n`: findings `n` and a common one, a dead letter, state and a checkpoint.
fn step(n: u64) -> (Commit, Checkpoint) {
    let letter = DeadLetter {
        code: DeadLetterCode::BadJson,
        message: "m".to_owned(),
        source: "okta.system".into(),
        mapping: None,
        partition: PartitionId(0),
        line: 1,
        offset: n,
        received_at: n as i64,
        envelope: None,
        original: Original::Whole(vec![0xff; 2_000]),
    };
    let key = |operator: u64, key: u64| {
        [&[0, 1][..], &operator.to_be_bytes(), &key.to_be_bytes()].concat()
    };
    let state = vec![
        StateEntry { key: key(5, 0), value: Some(n.to_be_bytes().to_vec()) },
        StateEntry { key: key(6, n), value: Some(Vec::new()) },
        StateEntry { key: key(6, n.wrapping_sub(1)), value: None },
    ];
    let commit = Commit {
        findings: vec![finding(1, n).into(), finding(1_000 + u128::from(n), 1).into()],
        dead_letters: vec![PlacedDeadLetter { place: Some(place()), letter }],
        seals_epoch: true,
    };
    let checkpoint = Checkpoint {
        epoch: n,
        seq: Seq(2 * n),
        state,
        positions: BTreeMap::from([(place(), n)]),
        ..Checkpoint::default()
    };
    (commit, checkpoint)
}

fn position(store: &FindingStore) -> u64 {
    let checkpoint = store.checkpoint().unwrap();
    checkpoint.map_or(0, |c| c.positions[&place()])
}

/// Commits on from its position, saying each; only in a process that is told to.
#[test]
fn commits_until_killed() {
    let Some(dir) = env::var_os(DIR) else { return };
    let store = open(Path::new(&dir));
    let mut sink = store.sink();
    let mut checkpoints = sink.checkpoints().unwrap();
    for n in position(&store) + 1.. {
        let (commit, checkpoint) = step(n);
        let seq = sink.commit(commit).unwrap();
        checkpoints.keep(checkpoint).unwrap();
        writeln!(std::io::stderr(), "acknowledged {n} {}", seq.0).unwrap();
    }
}

#[test]
fn killed_engine_loses_no_acknowledged_commit_and_no_part_of_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = (0, 0);
    for round in 0..6 {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "durable::crash::commits_until_killed", "--nocapture"])
            .env(DIR, dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        for (said, line) in lines.enumerate() {
            let line = line.unwrap();
            let Some(numbers) = line.strip_prefix("acknowledged ") else { panic!("{line}") };
            let (n, seq) = numbers.split_once(' ').unwrap();
            acknowledged = (n.parse().unwrap(), seq.parse().unwrap());
            if said == 3 + 11 * round {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();

        let store = open(dir.path());
        let n = position(&store);
        // The one in flight may have been written, or its findings without its checkpoint: never a
        // checkpoint without its findings.
        assert!(n == acknowledged.0 || n == acknowledged.0 + 1, "{n} {acknowledged:?}");
        let committed = store.last().0 / 2;
        assert!((n..=acknowledged.0 + 1).contains(&committed), "{n} {committed}");
        assert_eq!(store.last(), Seq(2 * committed));
        assert!(store.last().0 >= acknowledged.1);
        let state = store.checkpoint().unwrap().unwrap().state;
        assert_eq!(state, step(n).1.state[..2]);
        let n = committed;
        let (stored, _) = store.after(Seq(0), 10_000).unwrap();
        assert_eq!(stored.len() as u64, n + 1);
        assert_eq!(store.finding(FindingId(1)).unwrap().unwrap().finding.count, n);
        for id in 1..=n {
            assert!(store.finding(FindingId(1_000 + u128::from(id))).unwrap().is_some(), "{id}");
        }
        let letters = store.dead_letters(&LetterFilter::default(), None, 10_000).unwrap();
        let offsets: Vec<u64> = letters.iter().map(|l| l.letter.offset).collect();
        assert_eq!(offsets, (1..=n).collect::<Vec<_>>());
        let stats = store.stats();
        assert_eq!(stats.findings, n + 1);
        assert_eq!(stats.dead_letters.values().map(|(count, _)| count).sum::<u64>(), n);
        // What comes again after the crash changes nothing.
        drop(stored);
        assert_eq!(store.sink().commit(step(n).0).unwrap(), Seq(2 * n));
    }
}

/// A run from the last checkpoint, as the committer does it.
struct Run {
    store: FindingStore,
    sink: Box<dyn FindingSink>,
    epoch: u64,
}

impl Run {
    fn begin(dir: &Path) -> Run {
        let store = open(dir);
        let epoch = store.manifest().unwrap().map_or(0, |c| c.epoch);
        let mut sink: Box<dyn FindingSink> = Box::new(store.sink());
        sink.resume(epoch).unwrap();
        Run { store, sink, epoch }
    }

    /// By a stage that has passed so many barriers whose checkpoints are not there yet.
    fn report(&mut self, passed: u64, findings: Vec<Finding>) {
        let epoch = self.epoch + passed;
        let findings = findings.into_iter().map(|finding| Reported { epoch, finding }).collect();
        self.sink.commit(Commit { findings, ..Commit::default() }).unwrap();
    }

    /// The last stage has passed the next barrier; not all changes since `seq` are covered.
    fn checkpoint(&mut self, seq: Seq) {
        self.sink.commit(Commit { seals_epoch: true, ..Commit::default() }).unwrap();
        self.epoch += 1;
        let checkpoint = Checkpoint { epoch: self.epoch, seq, ..Checkpoint::default() };
        self.sink.checkpoints().unwrap().keep(checkpoint).unwrap();
    }

    /// A checkpoint that covers all there is.
    fn checkpoint_all(&mut self) {
        self.checkpoint(self.store.last());
    }

    fn states(&self) -> Vec<(u128, FindingState)> {
        let (stored, _) = self.store.after(Seq(0), 100).unwrap();
        let mut states: Vec<_> =
            stored.into_iter().map(|s| (s.finding.id.0, s.finding.state)).collect();
        states.sort_unstable();
        states
    }
}

#[test]
fn what_replay_does_not_report_again_is_withdrawn_with_the_next_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let confirmed = |id| Finding { state: FindingState::Confirmed, ..finding(id, 1) };
    {
        let mut run = Run::begin(dir.path());
        run.report(0, vec![finding(1, 1), finding(2, 1)]);
        run.checkpoint_all();
        // After the checkpoint: 2 grows, 3 to 6 are new.
        run.report(0, vec![finding(2, 2), finding(3, 1), confirmed(4)]);
        run.report(0, vec![finding(5, 1), finding(6, 1)]);
    }
    {
        // Crashed before its first checkpoint: still to be looked at.
        let mut run = Run::begin(dir.path());
        run.report(0, vec![finding(5, 1)]);
    }
    let mut run = Run::begin(dir.path());
    let provisional = FindingState::Provisional;
    // Replay reports 3 again as it is, and 5 later than the next checkpoint.
    run.report(0, vec![finding(3, 1)]);
    let before = run.store.last();
    run.checkpoint_all();
    let (news, _) = run.store.after(before, 10).unwrap();
    let withdrawn: Vec<u128> = news.iter().map(|s| s.finding.id.0).collect();
    assert_eq!(withdrawn, [5, 6]);
    assert_eq!(news[0].finding.revision, 2);
    run.report(0, vec![finding(5, 1)]);
    let expected = [
        (1, provisional),
        (2, provisional),
        (3, provisional),
        (4, FindingState::Confirmed),
        (5, provisional),
        (6, FindingState::Withdrawn),
    ];
    assert_eq!(run.states(), expected);
    // A crash now leaves 5 behind once more.
    drop(run);
    let mut run = Run::begin(dir.path());
    run.checkpoint_all();
    let expected = expected.map(|(id, state)| match id {
        5 => (5, FindingState::Withdrawn),
        _ => (id, state),
    });
    assert_eq!(run.states(), expected);
    // Once only: what is reported from now on is known to the operators.
    let last = run.store.last();
    run.checkpoint_all();
    assert_eq!(run.store.last(), last);
    drop(run);
    let mut run = Run::begin(dir.path());
    run.checkpoint_all();
    assert_eq!((run.store.last(), run.states().as_slice()), (last, &expected[..]));
}

#[test]
fn a_checkpoint_covers_what_was_reported_before_its_barrier_in_whatever_order_it_is_committed() {
    let dir = tempfile::tempdir().unwrap();
    let mut run = Run::begin(dir.path());
    run.report(0, vec![finding(1, 1)]);
    let before = run.store.last();
    // One shard has passed the barrier, the other has not.
    run.report(1, vec![finding(2, 1)]);
    run.report(0, vec![finding(3, 1)]);
    run.report(1, vec![finding(3, 2)]);
    run.checkpoint(before);
    drop(run);
    // 2 is not covered, 3 is.
    let mut run = Run::begin(dir.path());
    run.checkpoint_all();
    let (withdrawn, provisional) = (FindingState::Withdrawn, FindingState::Provisional);
    assert_eq!(run.states(), [(1, provisional), (2, withdrawn), (3, provisional)]);
    drop(run);

    // What replay reports again as it was, after a crash, belongs to the new run: its checkpoint
    // covers it, and the one after the next crash does not withdraw it.
    let mut run = Run::begin(dir.path());
    run.report(1, vec![finding(7, 1)]);
    drop(run);
    let mut run = Run::begin(dir.path());
    run.report(0, vec![finding(7, 1)]);
    run.checkpoint(Seq(0));
    drop(run);
    let mut run = Run::begin(dir.path());
    run.checkpoint_all();
    assert_eq!(run.states().last(), Some(&(7, provisional)));
}
