//! Following the store: cursors, repeats, removals, starting again.

use sluice_finding::{FindingId, Triage};
use sluice_index::{FindingIndex, IndexError, IndexSettings};

use crate::common::{filled, finding, ids, put, scratch, settings};

#[test]
fn a_start_without_commit_goes_on_from_the_last_one() {
    let scratch = scratch();
    assert_eq!(scratch.index.cursor(), 0);
    put(&scratch.index, &[finding(1)], 7);
    assert_eq!(scratch.index.cursor(), 7);
    let two = finding(2);
    scratch.index.apply(&[(&two, &Triage::default())], &[], 9).unwrap();
    assert_eq!(scratch.index.cursor(), 7);
    drop(scratch.index);
    let index = FindingIndex::open(&scratch.dir.path().join("index"), settings()).unwrap();
    assert_eq!((index.cursor(), index.len()), (7, 1));
    put(&index, &[two], 9);
    assert_eq!((index.cursor(), ids(&index, "")), (9, vec![1, 2]));
}

#[test]
fn a_deleted_folder_starts_from_nothing() {
    let scratch = filled(&[finding(1)]);
    let dir = scratch.dir.path().join("index");
    drop(scratch.index);
    std::fs::remove_dir_all(&dir).unwrap();
    let index = FindingIndex::open(&dir, settings()).unwrap();
    assert_eq!((index.cursor(), index.is_empty()), (0, true));
}

#[test]
fn twice_is_as_good_as_once() {
    let scratch = filled(&[finding(1), finding(2)]);
    put(&scratch.index, &[finding(1), finding(2)], 1);
    let (first, mut second) = (finding(3), finding(3));
    second.title = "corrected".to_owned();
    let triage = Triage::default();
    scratch.index.apply(&[(&first, &triage), (&second, &triage)], &[], 2).unwrap();
    scratch.index.apply(&[(&second, &triage)], &[], 2).unwrap();
    scratch.index.commit().unwrap();
    assert_eq!(ids(&scratch.index, ""), [1, 2, 3]);
    assert_eq!(ids(&scratch.index, "corrected"), [3]);
    // An older cursor does not take the place back.
    put(&scratch.index, &[finding(1)], 1);
    assert_eq!(scratch.index.cursor(), 2);
}

#[test]
fn removed_findings_are_gone_and_a_cursor_alone_is_kept() {
    let scratch = filled(&[finding(1), finding(2)]);
    scratch.index.apply(&[], &[FindingId(1), FindingId(99)], 5).unwrap();
    scratch.index.commit().unwrap();
    assert_eq!(ids(&scratch.index, ""), [2]);
    scratch.index.apply(&[], &[], 8).unwrap();
    scratch.index.commit().unwrap();
    assert_eq!(scratch.index.cursor(), 8);
}

#[test]
fn it_commits_by_itself_after_enough_changes() {
    let dir = tempfile::tempdir().unwrap();
    let index =
        FindingIndex::open(dir.path(), IndexSettings { commit_every: 3, ..settings() }).unwrap();
    let triage = Triage::default();
    let findings = [finding(1), finding(2), finding(3)];
    index.apply(&[(&findings[0], &triage), (&findings[1], &triage)], &[], 2).unwrap();
    assert_eq!(index.cursor(), 0);
    index.apply(&[(&findings[2], &triage)], &[], 3).unwrap();
    assert_eq!((index.cursor(), index.len()), (3, 3));
}

#[test]
fn a_second_writer_is_told_who_is_there() {
    let scratch = scratch();
    let dir = scratch.dir.path().join("index");
    let second = FindingIndex::open(&dir, settings());
    assert!(matches!(second.err(), Some(IndexError::Locked { .. })));
    drop(scratch.index);
    FindingIndex::open(&dir, settings()).unwrap();
}

#[test]
fn recovery_goes_back_to_the_last_commit() {
    let scratch = filled(&[finding(1)]);
    let two = finding(2);
    scratch.index.apply(&[(&two, &Triage::default())], &[], 4).unwrap();
    assert_eq!(scratch.index.recover().unwrap(), 1);
    scratch.index.commit().unwrap();
    assert_eq!((scratch.index.cursor(), ids(&scratch.index, "")), (1, vec![1]));
    put(&scratch.index, &[two], 4);
    assert_eq!(ids(&scratch.index, ""), [1, 2]);
}

#[test]
fn settings_out_of_range_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    for wrong in [
        IndexSettings { writer_memory: 1 << 20, ..settings() },
        IndexSettings { commit_every: 0, ..settings() },
    ] {
        let opened = FindingIndex::open(dir.path(), wrong);
        assert!(matches!(opened.err(), Some(IndexError::Setting(_))));
    }
}
