//! `kill -9` at any moment: every acknowledged commit is there, whole; the one in flight is there
//! or not.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
};

use super::{open, pairs};

const DIR: &str = "SLUICE_STORE_CRASH_DIR";

/// Commits without end, saying the number of each after it; only in a process that is told to.
#[test]
fn writes_until_killed() {
    let Some(dir) = env::var_os(DIR) else { return };
    let (store, [a, b]) = open(Path::new(&dir)).unwrap();
    let start = pairs(&store, &b).unwrap().len() as u64;
    for number in start.. {
        let mut batch = store.batch();
        for part in 0..4_u8 {
            let key = [&number.to_be_bytes()[..], &[part]].concat();
            batch.put(&a, &key, &vec![part; 3_000]);
        }
        batch.put(&b, &number.to_be_bytes(), b"whole");
        store.commit(batch).unwrap();
        writeln!(std::io::stderr(), "acknowledged {number}").unwrap();
    }
}

#[test]
fn killed_writer_loses_nothing_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for round in 0..5 {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "crash::writes_until_killed", "--nocapture"])
            .env(DIR, dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = 0;
        for line in lines {
            let line = line.unwrap();
            let Some(number) = line.strip_prefix("acknowledged ") else { continue };
            acknowledged = number.parse::<u64>().unwrap() + 1;
            said += 1;
            if said == 20 + 37 * round {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(said >= 20 + 37 * round, "the writer ended by itself");

        let (store, [a, b]) = open(dir.path()).unwrap();
        let commits = pairs(&store, &b).unwrap();
        // One more may have been written when it was killed.
        let found = commits.len() as u64;
        assert!(found == acknowledged || found == acknowledged + 1, "{found} {acknowledged}");
        let parts = pairs(&store, &a).unwrap();
        assert_eq!(parts.len() as u64, 4 * found);
        for (index, (key, value)) in parts.iter().enumerate() {
            let expected = [&(index as u64 / 4).to_be_bytes()[..], &[index as u8 % 4]].concat();
            assert_eq!((key, value), (&expected, &vec![index as u8 % 4; 3_000]));
        }
    }
}
