//! A disk that fills up: writing is refused before anything can break, and goes on when there is
//! room. Needs a small tmpfs of its own, so the right to mount.

use std::{fs, path::Path, process::Command};

use super::{open, pairs};

struct Mounted<'a>(&'a Path);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        drop(Command::new("umount").arg(self.0).status());
    }
}

#[test]
fn full_disk_is_told_and_writing_goes_on_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let mount = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=112m", "none"])
        .arg(dir.path())
        .output();
    if !mount.is_ok_and(|m| m.status.success()) {
        println!("skipped: this process may not mount a tmpfs");
        return;
    }
    let _mounted = Mounted(dir.path());
    let folder = dir.path().join("store");
    let ballast = dir.path().join("ballast");
    fs::write(&ballast, vec![1; 24 << 20]).unwrap();
    let mut kept = 0_u64;
    {
        let (store, [a, _]) = open(&folder).unwrap();
        let put = |number: u64| {
            let mut batch = store.batch();
            batch.put(&a, &number.to_be_bytes(), &vec![number as u8; 256 << 10]);
            store.commit(batch)
        };
        let refused = loop {
            match put(kept) {
                Ok(()) => kept += 1,
                Err(error) => break error,
            }
        };
        assert!(refused.is_full(), "{refused}");
        assert!(kept > 10, "{kept}");
        // Reading goes on, and what frees may use the reserve.
        assert_eq!(pairs(&store, &a).unwrap().len() as u64, kept);
        let mut batch = store.batch();
        batch.remove(&a, &0_u64.to_be_bytes());
        store.commit_freeing(batch).unwrap();
        assert!(put(kept).unwrap_err().is_full());
        fs::remove_file(&ballast).unwrap();
        put(kept).unwrap();
    }
    let (store, [a, _]) = open(&folder).unwrap();
    let numbers: Vec<u64> = pairs(&store, &a)
        .unwrap()
        .into_iter()
        .map(|(key, _)| u64::from_be_bytes(key.try_into().unwrap()))
        .collect();
    assert_eq!(numbers, (1..=kept).collect::<Vec<_>>());
}
