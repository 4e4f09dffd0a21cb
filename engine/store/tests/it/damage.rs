//! Files changed, cut off or removed by something else. Whatever happens to any file: an error, or
//! nothing acknowledged is missing. Never a panic, never silence.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use sluice_store::StoreError;

use super::{Pair, open, pairs};

type Contents = [Vec<Pair>; 2];

const DIR: &str = "SLUICE_STORE_DAMAGE_DIR";

/// A store with sorted files and a journal, closed.
fn make(dir: &Path, rows: u32, size: usize) {
    let (store, [a, b]) = open(dir).unwrap();
    for chunk in 0..rows / 100 {
        let mut batch = store.batch();
        for row in chunk * 100..(chunk + 1) * 100 {
            batch.put(&a, &row.to_be_bytes(), &noise(row.into(), size));
        }
        batch.put(&b, &chunk.to_be_bytes(), b"x");
        store.commit(batch).unwrap();
    }
}

/// Bytes that do not compress.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_be_bytes());
    }
    bytes.truncate(length);
    bytes
}

fn contents(dir: &Path) -> Result<Contents, StoreError> {
    let (store, [a, b]) = open(dir)?;
    Ok([pairs(&store, &a)?, pairs(&store, &b)?])
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// Files by their path in the store; without the zeros journals end with, whose length is kept.
fn read(dir: &Path) -> BTreeMap<PathBuf, (Vec<u8>, u64)> {
    files(dir)
        .into_iter()
        .map(|path| {
            let mut bytes = fs::read(&path).unwrap();
            let length = bytes.len() as u64;
            bytes.truncate(bytes.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1));
            (path.strip_prefix(dir).unwrap().to_owned(), (bytes, length))
        })
        .collect()
}

fn write(dir: &Path, files: &BTreeMap<PathBuf, (Vec<u8>, u64)>) {
    for (path, (bytes, length)) in files {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(*length).unwrap();
    }
}

/// What is done to a file.
#[derive(Debug, Clone, Copy)]
enum Harm {
    /// A byte, at so many thousandths of what is written.
    Flip(usize),
    /// The end, from so many thousandths on.
    Cut(usize),
    Remove,
}

fn harm(dir: &Path, file: &Path, (bytes, length): &(Vec<u8>, u64), harm: Harm) {
    let path = dir.join(file);
    let at = |thousandth: usize| (bytes.len() * thousandth / 1000).min(bytes.len().max(1) - 1);
    match harm {
        Harm::Flip(thousandth) => {
            let mut bytes = bytes.clone();
            if let Some(byte) = bytes.get_mut(at(thousandth)) {
                *byte ^= 0x55;
            }
            fs::write(&path, bytes).unwrap();
            fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(*length).unwrap();
        }
        Harm::Cut(thousandth) => fs::write(&path, &bytes[..at(thousandth)]).unwrap(),
        Harm::Remove => fs::remove_file(&path).unwrap(),
    }
}

/// Harms every file of a store in turn; in a process of its own, since an abort is no test result.
#[test]
fn harms_every_file() {
    let Some(dir) = env::var_os(DIR) else { return };
    let whole = read(Path::new(&dir));
    let expected = contents(Path::new(&dir)).unwrap();
    let (mut told, mut unharmed) = (0, 0);
    for (file, original) in &whole {
        // Who holds the lock is no content.
        if file == Path::new("lock") || file == Path::new("db/lock") {
            continue;
        }
        let harms = [Harm::Flip(0), Harm::Flip(500), Harm::Flip(990), Harm::Cut(500), Harm::Remove];
        for what in harms {
            let copy = tempfile::tempdir().unwrap();
            write(copy.path(), &whole);
            harm(copy.path(), file, original, what);
            let silent = |found| assert!(found == expected, "{} {what:?}", file.display());
            match contents(copy.path()) {
                Ok(found) => {
                    silent(found);
                    unharmed += 1;
                }
                Err(error) => {
                    eprintln!("{} {what:?}: {error}", file.display());
                    told += 1;
                    // Refused once is refused again, unless nothing was missing: nothing is mended
                    // away on the quiet.
                    if let Ok(found) = contents(copy.path()) {
                        silent(found);
                    }
                }
            }
        }
    }
    eprintln!("{told} told, {unharmed} unharmed");
    assert!(told > 50);
}

#[test]
fn no_damage_is_silent_and_none_panics() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), 1_900, 6_000);
    let tables =
        files(dir.path()).iter().filter(|p| p.parent().unwrap().ends_with("tables")).count();
    assert!(tables > 0, "no sorted file was written");
    let child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "damage::harms_every_file", "--nocapture"])
        .env(DIR, dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stderr);
    println!("{said}");
    assert!(child.status.success(), "{}", child.status);
}

#[test]
fn hole_in_an_old_journal_is_told_again_and_again() {
    let (dir, journals) = sealed_journals();
    let mut bytes = fs::read(&journals[0]).unwrap();
    // The start of a batch near the middle: what decodes to nonsense, not to a wrong checksum.
    let half = bytes.len() / 3;
    let trailer = bytes[half..].windows(4).position(|w| w == b"FJL\x03").unwrap();
    bytes[half + trailer + 4] = 0xee;
    fs::write(&journals[0], bytes).unwrap();
    for _ in 0..3 {
        let refused = contents(dir.path()).unwrap_err();
        assert!(matches!(refused, StoreError::Damaged { .. }), "{refused}");
        assert!(refused.to_string().contains("commits are lost"), "{refused}");
    }
}

/// A store that ended soon after a journal was sealed (64 MiB), and its journals, oldest first. A sealed
/// one goes once its writes are sorted: a machine under load may be done with that before the store ends.
fn sealed_journals() -> (tempfile::TempDir, Vec<PathBuf>) {
    for rows in (10_200..11_200).step_by(200) {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path(), rows, 6_600);
        let mut journals: Vec<_> = files(dir.path())
            .into_iter()
            .filter(|p| p.extension().is_some_and(|e| e == "jnl"))
            .collect();
        journals.sort_by_key(|p| p.file_stem().unwrap().to_str().unwrap().parse::<u64>().unwrap());
        if journals.len() > 1 {
            return (dir, journals);
        }
    }
    panic!("no journal was sealed");
}
