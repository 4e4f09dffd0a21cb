//! Checkpoints: all of the state or what changed, and what is said when it cannot be read.

use std::{collections::BTreeMap, path::Path};

use sluice_engine::{
    Checkpoint, Commit, FindingSink, PartitionName,
    durable::{FindingStore, Retention},
};
use sluice_event::PartitionId;
use sluice_ingest::live::Place;
use sluice_store::{Layout, Memory, Store};
use sluice_stream::StateEntry;

use super::{commit, finding, keep, open};

fn key(vnode: u16, operator: u64, rest: &[u8]) -> Vec<u8> {
    [&vnode.to_be_bytes()[..], &operator.to_be_bytes(), rest].concat()
}

fn entry(key: &[u8], value: &str) -> StateEntry {
    let value = (value != "-").then(|| value.as_bytes().to_vec());
    StateEntry { key: key.to_vec(), value }
}

fn checkpoint(store: &FindingStore, full: bool, state: Vec<StateEntry>) {
    keep(store, Checkpoint { state, full, ..Checkpoint::default() });
}

fn state(store: &FindingStore) -> BTreeMap<Vec<u8>, String> {
    let checkpoint = store.checkpoint().unwrap().unwrap();
    assert!(checkpoint.full);
    let entries = checkpoint.state.into_iter();
    entries.map(|e| (e.key, String::from_utf8(e.value.unwrap()).unwrap())).collect()
}

#[test]
fn changes_add_up_and_full_state_replaces() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    // Keys hold what events say: any length, and long ones that differ only at the end.
    let (a, b) = (key(1, 7, b"a"), key(2, 7, b""));
    let long = |end: &str| key(1, 7, format!("{}{end}", "x".repeat(200_000)).as_bytes());
    let (c, d) = (long("c"), long("d"));
    let exactly = key(1, 7, &[b'x'; 1014]);
    let all = [&a, &b, &c, &d, &exactly];
    checkpoint(&store, true, all.iter().map(|k| entry(k, "1")).collect());
    assert_eq!(state(&store), all.iter().map(|k| (k.to_vec(), "1".into())).collect());
    checkpoint(&store, false, vec![entry(&a, "2"), entry(&c, "-"), entry(&d, "2"), entry(&b, "")]);
    drop(store);
    let store = open(dir.path());
    let expected = [(&a, "2"), (&b, ""), (&d, "2"), (&exactly, "1")];
    assert_eq!(state(&store), expected.map(|(k, v)| (k.clone(), v.into())).into());
    checkpoint(&store, true, vec![entry(&c, "3"), entry(&c, "3")]);
    assert_eq!(state(&store), [(c, "3".into())].into());
    checkpoint(&store, true, Vec::new());
    assert_eq!(state(&store), BTreeMap::new());
}

#[test]
fn the_rest_of_a_checkpoint_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place { input: "okta".into(), part: "logins/3".into() };
    let given = Checkpoint {
        delivered: 12,
        seen: BTreeMap::from([(PartitionId(4), -5)]),
        positions: BTreeMap::from([(place.clone(), 77)]),
        partitions: vec![PartitionName { place, source: "okta.system".into() }],
        ..Checkpoint::default()
    };
    keep(&open(dir.path()), given.clone());
    let back = open(dir.path()).checkpoint().unwrap().unwrap();
    assert_eq!((back.delivered, back.seen), (12, given.seen));
    assert_eq!((back.positions, back.partitions), (given.positions, given.partitions));
}

#[test]
fn state_of_rules_that_are_gone_is_swept() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let keys: Vec<Vec<u8>> = [(1, 7), (1, 8), (u16::MAX, 0), (u16::MAX, 8), (9, 9)]
        .iter()
        .map(|(vnode, operator)| key(*vnode, *operator, b"k"))
        .collect();
    let many = (0..25_000_u32).map(|n| entry(&key(3, 8, &n.to_be_bytes()), "many"));
    checkpoint(&store, true, keys.iter().map(|k| entry(k, "v")).chain(many).collect());
    let freed = store.sweep_state(&[7, 9]).unwrap();
    assert!(freed > 25_000 * 18, "{freed}");
    // Operator 0 is that of partitions, which belong to everybody.
    let kept: Vec<Vec<u8>> = state(&store).into_keys().collect();
    assert_eq!(kept, [&keys[0], &keys[4], &keys[2]].map(Clone::clone));
    assert_eq!(store.sweep_state(&[7, 9]).unwrap(), 0);
}

/// Writes bytes into a closed store behind its back.
fn tamper<const N: usize>(dir: &Path, layout: &Layout<N>, space: &str, key: &[u8], value: &[u8]) {
    let (store, spaces) = Store::open(dir, layout, Memory::default()).unwrap();
    let index = layout.spaces.iter().position(|s| *s == space).unwrap();
    let mut batch = store.batch();
    batch.put(&spaces[index], key, value);
    store.commit(batch).unwrap();
}

/// The layout of the store of findings.
pub(super) const FINDINGS: Layout<10> = Layout {
    name: "sluice-findings",
    version: 4,
    spaces: [
        "finding",
        "triage",
        "current",
        "change",
        "removed",
        "age",
        "evidence",
        "letter",
        "letter_id",
        "meta",
    ],
};

fn tamper_findings(dir: &Path, space: &str, key: &[u8], value: &[u8]) {
    tamper(dir, &FINDINGS, space, key, value);
}

fn tamper_state(dir: &Path, space: &str, key: &[u8], value: &[u8]) {
    let layout = Layout { name: "sluice-state", version: 1, spaces: ["entry", "meta"] };
    tamper(&dir.join("state"), &layout, space, key, value);
}

#[test]
fn what_cannot_be_read_is_named_and_never_taken_for_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    commit(&store, [finding(1, 5)]);
    checkpoint(&store, true, vec![entry(&key(1, 7, b"k"), "v")]);
    drop(store);
    let id = 1_u128.to_be_bytes();

    tamper_findings(dir.path(), "finding", &id, &[9, 0, 0]);
    let store = open(dir.path());
    let said = store.after(sluice_engine::Seq(0), 10).unwrap_err().to_string();
    let expected = "stored finding 00000000000000000000000000000001 cannot be read: \
                    it has version 9, this build reads 1";
    assert!(said.starts_with(expected), "{said}");
    assert!(said.contains("restore the data directory from a backup"), "{said}");
    // Not overwritten as if it were not there.
    let findings = vec![finding(1, 5).into()];
    assert!(store.sink().commit(Commit { findings, ..Commit::default() }).is_err());
    drop(store);

    // Under the hash of a long key belong its length and the key.
    tamper_state(dir.path(), "entry", &[key(1, 7, &[b'k'; 1014]), vec![0; 16]].concat(), &[7]);
    let said = open(dir.path()).checkpoint().unwrap_err().to_string();
    assert!(said.contains("state of key") && said.contains("it ends too early"), "{said}");

    let reopened = || FindingStore::open(dir.path(), Retention::default()).unwrap_err().to_string();
    tamper_state(dir.path(), "meta", b"checkpoint", &[1, 1]);
    let said = reopened();
    assert!(said.contains("stored checkpoint cannot be read: it ends too early"), "{said}");

    // Findings that were committed before the checkpoint are gone.
    tamper_state(dir.path(), "meta", b"checkpoint", &[1, 1, 77, 0, 0, 0, 0]);
    let said = reopened();
    assert!(said.contains("it follows change 77, and the last one found is 1"), "{said}");

    tamper_findings(dir.path(), "meta", b"seq", b"");
    let said = reopened();
    assert!(said.contains("stored sequence number cannot be read"), "{said}");
}
