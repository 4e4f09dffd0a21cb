//! The store as its user sees it: what is kept, what is refused, what is told after damage.
#![expect(clippy::unwrap_used, reason = "a failed helper is a failed test")]

mod crash;
mod damage;
mod disk_full;

use std::{fs, ops::Bound, os::unix::fs::PermissionsExt, path::Path};

use sluice_store::{Batch, Layout, Memory, Space, Store, StoreError};

const LAYOUT: Layout<2> = Layout { name: "test", version: 3, spaces: ["a", "b"] };

fn open(dir: &Path) -> Result<(Store, [Space; 2]), StoreError> {
    Store::open(dir, &LAYOUT, Memory::default())
}

/// A key and its value.
type Pair = (Vec<u8>, Vec<u8>);

/// Every pair of a keyspace.
fn pairs(store: &Store, space: &Space) -> Result<Vec<Pair>, StoreError> {
    store
        .snapshot()
        .range(space, Bound::Unbounded, Bound::Unbounded)
        .map(|row| row.map(|(key, value)| (key.to_vec(), value.to_vec())))
        .collect()
}

#[test]
fn what_was_committed_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    {
        let (store, [a, b]) = open(dir.path()).unwrap();
        let mut batch = store.batch();
        batch.put(&a, b"k", b"v");
        batch.put(&b, b"k", &[0xff; 3]);
        store.commit(batch).unwrap();
        let mut batch = store.batch();
        batch.remove(&a, b"k");
        store.commit(batch).unwrap();
    }
    let (store, [a, b]) = open(dir.path()).unwrap();
    assert_eq!(store.snapshot().get(&a, b"k").unwrap(), None);
    assert_eq!(store.snapshot().get(&b, b"k").unwrap().as_deref(), Some(&[0xff; 3][..]));
}

#[test]
fn batch_that_is_not_committed_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (store, [a, _]) = open(dir.path()).unwrap();
    let mut batch = store.batch();
    batch.put(&a, b"k", b"v");
    drop(batch);
    assert_eq!(pairs(&store, &a).unwrap(), []);
}

#[test]
fn snapshot_does_not_see_what_comes_later() {
    let dir = tempfile::tempdir().unwrap();
    let (store, [a, b]) = open(dir.path()).unwrap();
    let put = |space: &Space, value: &[u8]| {
        let mut batch = store.batch();
        batch.put(space, b"k", value);
        store.commit(batch).unwrap();
    };
    put(&a, b"1");
    let before = store.snapshot();
    put(&a, b"2");
    put(&b, b"2");
    assert_eq!(before.get(&a, b"k").unwrap().as_deref(), Some(&b"1"[..]));
    assert_eq!(before.get(&b, b"k").unwrap(), None);
    assert_eq!(store.snapshot().get(&a, b"k").unwrap().as_deref(), Some(&b"2"[..]));
}

#[test]
fn ranges_have_two_ends() {
    let dir = tempfile::tempdir().unwrap();
    let (store, [a, b]) = open(dir.path()).unwrap();
    let mut batch = store.batch();
    for key in ["a1", "a2", "a3", "b1"] {
        batch.put(&a, key.as_bytes(), b"");
    }
    batch.put(&b, b"a9", b"");
    store.commit(batch).unwrap();
    let snapshot = store.snapshot();
    let keys = |rows: Vec<Result<(sluice_store::Bytes, sluice_store::Bytes), StoreError>>| {
        rows.into_iter()
            .map(|r| String::from_utf8(r.unwrap().0.to_vec()).unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(keys(snapshot.prefix(&a, b"a").collect()), ["a1", "a2", "a3"]);
    assert_eq!(keys(snapshot.prefix(&a, b"a").rev().take(2).collect()), ["a3", "a2"]);
    assert_eq!(keys(snapshot.prefix(&a, b"").collect()), ["a1", "a2", "a3", "b1"]);
    let range = |from, to| keys(snapshot.range(&a, from, to).collect());
    assert_eq!(range(Bound::Excluded(b"a1"), Bound::Included(b"a3")), ["a2", "a3"]);
    assert_eq!(range(Bound::Included(b"a4"), Bound::Unbounded), ["b1"]);
    assert_eq!(range(Bound::Included(b"b"), Bound::Excluded(b"a")), [""; 0]);
}

#[test]
fn second_opening_is_refused_and_names_who_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let (store, spaces) = open(dir.path()).unwrap();
    let refused = open(dir.path()).unwrap_err();
    let expected =
        format!("{} is in use by another process ({})", dir.path().display(), std::process::id());
    assert_eq!(refused.to_string(), expected);
    assert!(matches!(refused, StoreError::Locked { .. }));
    drop(store);
    // A keyspace keeps it open.
    assert!(open(dir.path()).is_err());
    drop(spaces);
    open(dir.path()).unwrap();
}

#[test]
fn other_versions_and_other_contents_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).unwrap());
    let newer = Layout { version: 4, ..LAYOUT };
    let refused = Store::open(dir.path(), &newer, Memory::default()).unwrap_err().to_string();
    assert!(refused.ends_with("holds `test 3`; this build reads `test 4`"), "{refused}");
    drop(open(dir.path()).unwrap());

    let other = tempfile::tempdir().unwrap();
    fs::write(other.path().join("thesis.txt"), "mine").unwrap();
    let refused = open(other.path()).unwrap_err().to_string();
    assert!(refused.contains("other files, such as `thesis.txt`"), "{refused}");
    assert_eq!(fs::read_to_string(other.path().join("thesis.txt")).unwrap(), "mine");
}

#[test]
fn only_the_owner_gets_in() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("deep/store");
    let _store = open(&dir).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    for file in ["lock", "format", "acknowledged"] {
        assert_eq!(mode(&dir.join(file)), 0o600, "{file}");
    }
}

#[test]
fn key_that_is_too_long_fails_its_batch_only() {
    let dir = tempfile::tempdir().unwrap();
    let (store, [a, _]) = open(dir.path()).unwrap();
    let mut batch = store.batch();
    batch.put(&a, b"short", b"");
    batch.put(&a, &vec![b'x'; Batch::MAX_KEY + 1], b"");
    assert!(matches!(store.commit(batch), Err(StoreError::KeyTooLong { length: 65_536 })));
    assert_eq!(pairs(&store, &a).unwrap(), []);
    let mut batch = store.batch();
    let longest = vec![b'x'; Batch::MAX_KEY];
    batch.put(&a, &longest, b"v");
    store.commit(batch).unwrap();
    drop((store, a));
    let (store, [a, _]) = open(dir.path()).unwrap();
    assert_eq!(pairs(&store, &a).unwrap(), [(longest, b"v".to_vec())]);
}

#[test]
fn creation_that_was_cut_short_is_made_up_for() {
    let dir = tempfile::tempdir().unwrap();
    // Before the marker: nothing counts yet.
    fs::create_dir_all(dir.path().join("db.new/keyspaces")).unwrap();
    fs::write(dir.path().join("db.new/rubbish"), "x").unwrap();
    drop(open(dir.path()).unwrap());
    // After the marker: only the rename is missing.
    fs::rename(dir.path().join("db"), dir.path().join("db.new")).unwrap();
    drop(open(dir.path()).unwrap());
    // No marker, but a database: nobody can know, so nothing is thrown away.
    fs::remove_file(dir.path().join("format")).unwrap();
    let refused = open(dir.path()).unwrap_err().to_string();
    assert!(refused.ends_with("is damaged: its file `format` is missing"), "{refused}");
    assert!(dir.path().join("db/keyspaces").try_exists().unwrap());
}
