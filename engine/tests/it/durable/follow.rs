//! Followers: each finding once, in the order of last changes, from anywhere.

use sluice_engine::{Seq, durable::FindingStore};
use sluice_finding::{FindingId, TriageChange};

use super::{commit, finding, open};

fn ids(store: &FindingStore, seq: Seq, limit: usize) -> (Vec<u128>, Seq) {
    let (stored, next) = store.after(seq, limit).unwrap();
    (stored.into_iter().map(|s| s.finding.id.0).collect(), next)
}

#[test]
fn each_finding_comes_once_where_it_last_changed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    commit(&store, [finding(3, 1), finding(1, 1), finding(2, 1)]);
    assert_eq!(ids(&store, Seq(0), 10), (vec![3, 1, 2], Seq(3)));
    commit(&store, [finding(3, 2)]);
    let note = TriageChange { comment: Some("x".into()), ..TriageChange::default() };
    store.triage(FindingId(1), None, note, 1, "ann").unwrap();
    assert_eq!(ids(&store, Seq(0), 10), (vec![2, 3, 1], Seq(5)));
    assert_eq!(ids(&store, Seq(3), 10), (vec![3, 1], Seq(5)));
    assert_eq!(ids(&store, Seq(5), 10), (vec![], Seq(5)));
    // Said again, in whatever order: no change, no entry.
    commit(&store, [finding(2, 1), finding(3, 2), finding(3, 1)]);
    assert_eq!(ids(&store, Seq(0), 10), (vec![2, 3, 1], Seq(5)));
}

#[test]
fn any_limit_gives_all_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    commit(&store, (1..=25).map(|id| finding(id, 1)));
    commit(&store, (1..=5).map(|id| finding(id, 2)));
    let expected: Vec<u128> = (6..=25).chain(1..=5).collect();
    for limit in [1, 2, 7, 24, 25, 26] {
        let (mut all, mut seq) = (Vec::new(), Seq(0));
        loop {
            let (some, next) = ids(&store, seq, limit);
            assert!(some.len() <= limit && next >= seq);
            if some.is_empty() {
                assert_eq!(next, store.last());
                break;
            }
            all.extend(some);
            seq = next;
        }
        assert_eq!(all, expected, "limit {limit}");
    }
    assert_eq!(ids(&store, Seq(4), 0), (vec![], Seq(4)));
}

#[test]
fn follower_beside_a_writer_misses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let writer = {
        let store = store.clone();
        std::thread::spawn(move || {
            for round in 1..=20 {
                commit(&store, (1..=10).map(|id| finding(id, round)));
            }
        })
    };
    let (mut seq, mut counts) = (Seq(0), [0; 11]);
    while counts[1..].iter().any(|c| *c < 20) {
        store.wait(seq, std::time::Duration::from_secs(600));
        let (stored, next) = store.after(seq, 7).unwrap();
        for s in stored {
            assert!(s.seq > seq && s.seq <= next);
            let count = &mut counts[s.finding.id.0 as usize];
            assert!(*count < s.finding.count);
            *count = s.finding.count;
        }
        seq = next;
    }
    writer.join().unwrap();
    assert_eq!((seq, store.last()), (Seq(200), Seq(200)));
}
