//! Damaged and foreign files: named, never a panic.

use std::{
    fs,
    path::{Path, PathBuf},
};

use sluice_index::{FindingIndex, IndexError, IndexSettings, SearchError};

use crate::common::{filled, finding, search, settings};

/// The folder of a closed index of two segments, one with a deletion: too few for a merge, which
/// would go on in the background.
fn closed() -> (tempfile::TempDir, PathBuf) {
    let scratch = filled(&[1, 2, 3, 4].map(finding));
    crate::common::put(&scratch.index, &[finding(5), finding(1)], 2);
    let dir = scratch.dir.path().join("index");
    (scratch.dir, dir)
}

fn segment_files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|p| p.file_stem().is_some_and(|s| s.to_string_lossy().len() >= 32))
        .collect();
    files.sort();
    assert!(files.len() >= 6, "{files:?}");
    files
}

fn damage(dir: &Path) -> (PathBuf, String) {
    match FindingIndex::open(dir, settings()).err() {
        Some(error @ IndexError::Damaged { .. }) => {
            let text = error.to_string();
            assert!(text.contains(&format!("delete {}", dir.display())), "{text}");
            let IndexError::Damaged { file, .. } = error else { unreachable!() };
            (file, text)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_damaged_file_is_named() {
    let (_keep, dir) = closed();
    for file in segment_files(&dir) {
        let good = fs::read(&file).unwrap();
        let mut flipped = good.clone();
        flipped[0] ^= 0x55;
        for bad in [&flipped[..], &good[..good.len() / 2], &[]] {
            fs::write(&file, bad).unwrap();
            assert_eq!(damage(&dir).0, file);
        }
        fs::remove_file(&file).unwrap();
        assert_eq!(damage(&dir).0, file);
        fs::write(&file, good).unwrap();
    }
    let meta = dir.join("meta.json");
    let good = fs::read(&meta).unwrap();
    for bad in [&good[..good.len() / 2], b"", b"\xff\xff", b"{}"] {
        fs::write(&meta, bad).unwrap();
        assert_eq!(damage(&dir).0, meta);
    }
    fs::remove_file(&meta).unwrap();
    assert_eq!(damage(&dir).0, meta);
    fs::write(&meta, good).unwrap();
    assert_eq!(FindingIndex::open(&dir, settings()).unwrap().len(), 5);
}

#[test]
fn another_version_is_named() {
    let (_keep, dir) = closed();
    let meta = dir.join("meta.json");
    let good = fs::read_to_string(&meta).unwrap();
    for (from, to) in [(r#"\"format\":1"#, r#"\"format\":99"#), ("rule_id", "rule_no")] {
        let changed = good.replace(from, to);
        assert_ne!(changed, good, "{good}");
        fs::write(&meta, changed).unwrap();
        let error = FindingIndex::open(&dir, settings()).err();
        assert!(matches!(error, Some(IndexError::Foreign { .. })), "{error:?}");
    }
}

#[test]
fn damage_that_open_does_not_look_for_never_panics() {
    let (_keep, dir) = closed();
    let unchecked = IndexSettings { verify_up_to: 0, ..settings() };
    for file in segment_files(&dir) {
        let good = fs::read(&file).unwrap();
        let mut bad = good.clone();
        let body = bad.len().saturating_sub(100).max(1);
        for byte in &mut bad[..body] {
            *byte = !*byte;
        }
        fs::write(&file, bad).unwrap();
        match FindingIndex::open(&dir, unchecked.clone()) {
            Ok(index) => {
                assert!(matches!(index.verify(), Err(IndexError::Damaged { .. })));
                for query in ["push", "\"push spray\"", "pu*", "risk:>1", "assignee:*", ""] {
                    let answer = search(&index, query);
                    assert!(matches!(answer, Ok(_) | Err(SearchError::Engine(_))), "{answer:?}");
                }
            }
            Err(IndexError::Damaged { .. }) => {}
            Err(other) => panic!("{other}"),
        }
        fs::write(&file, good).unwrap();
    }
}
