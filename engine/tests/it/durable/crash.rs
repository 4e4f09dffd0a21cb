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
    Checkpoint, Commit, FindingSink, PlacedDeadLetter, Seq,
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

/// Position `n`: findings `n` and a common one, a letter, state and a checkpoint.
fn step(n: u64) -> Commit {
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
    Commit {
        findings: vec![finding(1, n), finding(1_000 + u128::from(n), 1)],
        dead_letters: vec![PlacedDeadLetter { place: Some(place()), letter }],
        checkpoint: Some(Checkpoint {
            state,
            positions: BTreeMap::from([(place(), n)]),
            ..Checkpoint::default()
        }),
    }
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
    for n in position(&store) + 1.. {
        let seq = sink.commit(step(n)).unwrap();
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
        // The one in flight may have been written.
        assert!(n == acknowledged.0 || n == acknowledged.0 + 1, "{n} {acknowledged:?}");
        assert_eq!(store.last(), Seq(2 * n));
        assert!(store.last().0 >= acknowledged.1);
        let (stored, _) = store.after(Seq(0), 10_000).unwrap();
        assert_eq!(stored.len() as u64, n + 1);
        assert_eq!(store.finding(FindingId(1)).unwrap().unwrap().finding.count, n);
        for id in 1..=n {
            assert!(store.finding(FindingId(1_000 + u128::from(id))).unwrap().is_some(), "{id}");
        }
        let letters = store.dead_letters(&LetterFilter::default(), None, 10_000).unwrap();
        let offsets: Vec<u64> = letters.iter().map(|l| l.letter.offset).collect();
        assert_eq!(offsets, (1..=n).collect::<Vec<_>>());
        let state = store.checkpoint().unwrap().unwrap().state;
        assert_eq!(state, step(n).checkpoint.unwrap().state[..2]);
        let stats = store.stats();
        assert_eq!(stats.findings, n + 1);
        assert_eq!(stats.dead_letters.values().map(|(count, _)| count).sum::<u64>(), n);
        // What comes again after the crash changes nothing.
        drop(stored);
        let again = Commit { checkpoint: None, ..step(n) };
        assert_eq!(store.sink().commit(again).unwrap(), Seq(2 * n));
    }
}

fn say(store: &FindingStore, findings: Vec<Finding>, checkpoint: bool) {
    let checkpoint = checkpoint.then(Checkpoint::default);
    store.sink().commit(Commit { findings, checkpoint, ..Commit::default() }).unwrap();
}

fn states(store: &FindingStore) -> Vec<(u128, FindingState)> {
    let (stored, _) = store.after(Seq(0), 100).unwrap();
    let mut states: Vec<_> =
        stored.into_iter().map(|s| (s.finding.id.0, s.finding.state)).collect();
    states.sort_unstable();
    states
}

#[test]
fn what_replay_does_not_say_again_is_withdrawn_with_the_next_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let confirmed = |id| Finding { state: FindingState::Confirmed, ..finding(id, 1) };
    {
        let store = open(dir.path());
        say(&store, vec![finding(1, 1), finding(2, 1)], true);
        // After the checkpoint: 2 grows, 3 to 6 are new.
        say(&store, vec![finding(2, 2), finding(3, 1), confirmed(4)], false);
        say(&store, vec![finding(5, 1), finding(6, 1)], false);
    }
    {
        // Crashed before its first checkpoint: still to be looked at.
        let store = open(dir.path());
        say(&store, vec![finding(5, 1)], false);
    }
    let store = open(dir.path());
    let provisional = FindingState::Provisional;
    // Replay says 3 again as it is, and 5 later than the next checkpoint.
    say(&store, vec![finding(3, 1)], false);
    let before = store.last();
    say(&store, Vec::new(), true);
    let (news, _) = store.after(before, 10).unwrap();
    let withdrawn: Vec<u128> = news.iter().map(|s| s.finding.id.0).collect();
    assert_eq!(withdrawn, [5, 6]);
    assert_eq!(news[0].finding.revision, 2);
    say(&store, vec![finding(5, 1)], false);
    let expected = [
        (1, provisional),
        (2, provisional),
        (3, provisional),
        (4, FindingState::Confirmed),
        (5, provisional),
        (6, FindingState::Withdrawn),
    ];
    assert_eq!(states(&store), expected);
    // A crash now leaves 5 behind once more.
    drop(store);
    let store = open(dir.path());
    say(&store, Vec::new(), true);
    let expected = expected.map(|(id, state)| match id {
        5 => (5, FindingState::Withdrawn),
        _ => (id, state),
    });
    assert_eq!(states(&store), expected);
    // Once only: what is said from now on is known to the operators.
    let last = store.last();
    say(&store, Vec::new(), true);
    assert_eq!(store.last(), last);
    drop(store);
    let store = open(dir.path());
    say(&store, Vec::new(), true);
    assert_eq!((store.last(), states(&store).as_slice()), (last, &expected[..]));
}
