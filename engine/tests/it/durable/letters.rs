//! Dead letters: kept once, listed by age, bounded by kind.

use std::{path::Path, sync::Arc};

use sluice_engine::{
    Commit, FindingSink, PlacedDeadLetter,
    durable::{FindingStore, LetterFilter, Retention},
};
use sluice_event::PartitionId;
use sluice_ingest::{DeadLetter, DeadLetterCode, Original, live::Place};

use super::open;

fn record(source: &str, code: DeadLetterCode, offset: u64) -> PlacedDeadLetter {
    PlacedDeadLetter {
        place: Some(Place { input: "okta".into(), part: "logins/0".into() }),
        letter: DeadLetter {
            code,
            message: "m".to_owned(),
            source: source.into(),
            mapping: None,
            partition: PartitionId(0),
            line: 1,
            offset,
            received_at: 1_000 + offset as i64,
            envelope: None,
            original: Original::Whole(vec![0xff; 100]),
        },
    }
}

fn set_aside(store: &FindingStore, set_aside: Vec<PlacedDeadLetter>) {
    store.sink().commit(Commit { dead_letters: set_aside, ..Commit::default() }).unwrap();
}

fn offsets(store: &FindingStore, filter: &LetterFilter) -> Vec<u64> {
    let letters = store.dead_letters(filter, None, 1_000).unwrap();
    letters.into_iter().map(|l| l.letter.offset).collect()
}

fn mixed(dir: &Path) -> FindingStore {
    let store = open(dir);
    let kinds = [
        ("b", DeadLetterCode::BadJson),
        ("a", DeadLetterCode::TooDeep),
        ("b", DeadLetterCode::Empty),
        ("ab", DeadLetterCode::BadJson),
    ];
    set_aside(&store, (0..40).map(|n| record(kinds[n % 4].0, kinds[n % 4].1, n as u64)).collect());
    store
}

#[test]
fn record_set_aside_again_is_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let store = mixed(dir.path());
    let stats = store.stats();
    set_aside(&store, vec![record("b", DeadLetterCode::BadJson, 0); 3]);
    assert_eq!(store.stats(), stats);
    drop(store);
    let store = open(dir.path());
    assert_eq!(store.stats().dead_letters, stats.dead_letters);
    let letters = store.dead_letters(&LetterFilter::default(), None, 1).unwrap();
    assert_eq!((letters[0].id.len(), letters[0].attempts), (32, 0));
    let expected = record("b", DeadLetterCode::BadJson, 0);
    assert_eq!(letters[0].letter, expected.letter);
    assert_eq!(Some(&letters[0].place), expected.place.as_ref());
    assert_eq!(store.dead_letter(&letters[0].id).unwrap().as_ref(), Some(&letters[0]));
    for nonsense in ["", "x", "ffffffffffffffffffffffffffffffff", "é"] {
        assert_eq!(store.dead_letter(nonsense).unwrap(), None);
    }
}

#[test]
fn filters_hold_and_pages_join() {
    let dir = tempfile::tempdir().unwrap();
    let store = mixed(dir.path());
    let all = LetterFilter::default();
    assert_eq!(offsets(&store, &all), (0..40).collect::<Vec<_>>());
    let of = |source: Option<&str>, code, since| {
        offsets(&store, &LetterFilter { source: source.map(str::to_owned), code, since })
    };
    assert_eq!(of(Some("a"), None, None), (0..10).map(|n| 4 * n + 1).collect::<Vec<_>>());
    assert_eq!(of(Some("b"), None, Some(1_035)), [36, 38]);
    assert_eq!(of(None, Some(DeadLetterCode::BadJson), Some(1_036)), [36, 39]);
    assert_eq!(of(Some("a"), Some(DeadLetterCode::BadJson), None), [0; 0]);

    let mut paged = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = store.dead_letters(&all, after.as_deref(), 7).unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        paged.extend(page.into_iter().map(|l| l.letter.offset));
    }
    assert_eq!(paged, (0..40).collect::<Vec<_>>());

    // Where to go on cannot be told from a letter that is gone: better an error than a gap.
    let gone = after.unwrap();
    assert_eq!(store.drop_dead_letters(&[gone.clone(), gone.clone(), "x".into()]).unwrap(), 1);
    let refused = store.dead_letters(&all, Some(&gone), 7).unwrap_err().to_string();
    assert!(refused.contains("list from the start"), "{refused}");
    assert_eq!(store.drop_dead_letters(&[gone]).unwrap(), 0);
}

#[test]
fn letter_that_fails_again_has_its_present_reason() {
    let dir = tempfile::tempdir().unwrap();
    let store = mixed(dir.path());
    let first = store.dead_letters(&LetterFilter::default(), None, 1).unwrap().remove(0);
    let now = DeadLetter {
        code: DeadLetterCode::MappingError,
        message: "now".to_owned(),
        ..first.letter.clone()
    };
    store.failed_again(&first.id, &now).unwrap();
    store.failed_again(&first.id, &now).unwrap();
    store.failed_again("0123456789abcdef0123456789abcdef", &now).unwrap();
    let stored = store.dead_letter(&first.id).unwrap().unwrap();
    assert_eq!((&stored.letter, stored.attempts, &stored.place), (&now, 2, &first.place));
    let of = |code| LetterFilter { code: Some(code), ..LetterFilter::default() };
    assert_eq!(offsets(&store, &of(DeadLetterCode::MappingError)), [0]);
    assert_eq!(offsets(&store, &LetterFilter::default()).len(), 40);
    let kinds = store.stats().dead_letters;
    assert_eq!(kinds[&("b".to_owned(), DeadLetterCode::BadJson)].0, 9);
    assert_eq!(kinds[&("b".to_owned(), DeadLetterCode::MappingError)].0, 1);
    // The record it came from, read again after a crash, is still that letter.
    set_aside(&store, vec![record("b", DeadLetterCode::BadJson, 0)]);
    assert_eq!(store.dead_letter(&first.id).unwrap().unwrap(), stored);
}

#[test]
fn flood_of_one_kind_pushes_out_only_its_own_oldest() {
    let dir = tempfile::tempdir().unwrap();
    let retention = Retention { dead_letter_bytes: 64 << 10, ..Retention::default() };
    let store = FindingStore::open(dir.path(), retention).unwrap();
    set_aside(&store, vec![record("quiet", DeadLetterCode::Empty, 0)]);
    for chunk in 0..40 {
        let records = (0..50).map(|n| record("loud", DeadLetterCode::BadJson, chunk * 50 + n));
        set_aside(&store, records.collect());
    }
    let stats = store.stats();
    let (held, bytes) = stats.dead_letters[&("loud".to_owned(), DeadLetterCode::BadJson)];
    assert!(bytes <= 64 << 10 && bytes > 32 << 10, "{bytes}");
    assert_eq!(stats.dead_letters_expired, (0, 2_000 - held));
    let loud = LetterFilter { source: Some("loud".into()), ..LetterFilter::default() };
    assert_eq!(offsets(&store, &loud), (2_000 - held..2_000).collect::<Vec<_>>());
    assert_eq!(stats.dead_letters[&("quiet".to_owned(), DeadLetterCode::Empty)].0, 1);

    // By age, everything goes.
    store.retain(i64::MAX).unwrap();
    assert_eq!(store.stats().dead_letters.len(), 0);
    assert_eq!(store.stats().dead_letters_expired, (held + 1, 2_000 - held));
}

#[test]
fn dead_letters_without_end_leave_a_few_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let kind = ("loud".to_owned(), DeadLetterCode::BadJson);
    let mut next = 0;
    let mut add = |store: &FindingStore, count: u64| {
        let records = (next..next + count).map(|n| record("loud", DeadLetterCode::BadJson, n));
        set_aside(store, records.collect());
        next += count;
    };
    {
        let store = FindingStore::open(dir.path(), Retention::default()).unwrap();
        add(&store, 6_000);
    }
    // Far too many for what may be held now: no commit drops all of them.
    let retention = Retention { dead_letter_bytes: 64 << 10, ..Retention::default() };
    let store = FindingStore::open(dir.path(), retention).unwrap();
    let mut dropped = vec![0];
    while store.stats().dead_letters[&kind].1 > 64 << 10 {
        add(&store, 10);
        dropped.push(store.stats().dead_letters_expired.1);
        assert!(dropped.len() < 20, "{dropped:?}");
    }
    let steps: Vec<u64> = dropped.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(steps.len() > 4 && steps.iter().all(|step| (10..=1_024).contains(step)), "{steps:?}");
    let held = store.stats().dead_letters[&kind].0;
    let loud = LetterFilter { source: Some("loud".into()), ..LetterFilter::default() };
    let newest = 6_000 + 10 * steps.len() as u64;
    assert_eq!(offsets(&store, &loud), (newest - held..newest).collect::<Vec<_>>());
}

#[test]
fn record_without_a_place_is_kept_under_its_source() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    set_aside(
        &store,
        vec![PlacedDeadLetter { place: None, ..record("a", DeadLetterCode::Empty, 0) }],
    );
    let letter = store.dead_letters(&LetterFilter::default(), None, 1).unwrap().remove(0);
    assert_eq!(letter.place, Place { input: Arc::from("a"), part: Arc::from("") });
}
