//! What is kept of events comes back: before and after it is compressed, from a checkpoint, in any order.

use std::collections::BTreeMap;

use arrow::datatypes::DataType;

use super::*;
use crate::{StateEntry, state::payload};

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("message", DataType::Utf8, true)]))
}

/// One text column: number, tag, length, bytes.
fn packed(n: u64) -> Vec<u8> {
    let text = format!("refused password for user{n} from 192.0.2.{} port {}", n % 256, n * 7);
    [&[0, 5, text.len() as u8], text.as_bytes()].concat()
}

fn uid(n: u64) -> EventUid {
    EventUid {
        bits: u128::from(n).wrapping_mul(0x9E37_79B9_7F4A_7C15),
        native: n.is_multiple_of(3),
    }
}

/// A store, and where its events are.
fn filled(count: u64) -> (EventStore, Vec<EventRef>) {
    let (mut store, schema) = (EventStore::new(), schema());
    let place = |n| store.push(&schema, uid(n), n as i64, &packed(n));
    let places = (0..count).map(place).collect();
    (store, places)
}

fn check(store: &mut EventStore, places: &[EventRef]) {
    // Far apart, so that other segments and blocks come between.
    for n in (0..places.len()).step_by(31).map(|n| n * 7_919 % places.len()) {
        let copy = store.copy(places[n]).unwrap();
        assert_eq!(copy.packed, packed(n as u64), "event {n}");
        assert_eq!((copy.uid.bits, copy.uid.native), (uid(n as u64).bits, uid(n as u64).native));
    }
}

#[test]
fn events_come_back_before_and_after_they_are_stored() {
    let (mut store, places) = filled(60_000);
    check(&mut store, &places);
    let each = store.bytes() / places.len();
    let mut segments = BTreeMap::new();
    let mut stored = 0;
    for (number, writer) in store.export(false) {
        let mut entry = StateEntry::new(StateEntry::SHARED, 0, &[7; 13], writer);
        entry.pack();
        let value = entry.value.unwrap();
        stored += value.len();
        let payload = payload(&value).unwrap().into_owned();
        segments.insert(number, StoredSegment::decode(&mut Reader::of(&payload)).unwrap());
    }
    assert!(store.export(false).is_empty(), "each is written once");
    // 17 bytes are who an event is; a text that counts up is the rest.
    assert!(each < 80 && stored / places.len() < 45, "{each} and {} bytes", stored / places.len());
    check(&mut store, &places);
    let mut restored = EventStore::new();
    restored.restore(segments);
    check(&mut restored, &places);
    let next = restored.push(&schema(), uid(1), 1, &packed(1));
    assert!(next > places[places.len() - 1], "places go on where they were");
}

/// Of a segment that cannot be read the number stays taken: nobody is shown another event for one of it.
#[test]
fn a_segment_that_cannot_be_read_keeps_its_places() {
    let (mut store, places) = filled(5_000);
    let mut segments = BTreeMap::new();
    for (number, _) in store.export(false) {
        segments.insert(number, StoredSegment::unreadable());
    }
    let mut restored = EventStore::new();
    restored.restore(segments);
    let next = restored.push(&schema(), uid(1), 1, &packed(1));
    assert!(next > places[places.len() - 1]);
    assert!(places.iter().all(|place| restored.copy(*place).is_none()));
    restored.release(0);
    let gone = restored.export(false).into_iter().filter(|(_, value)| value.is_none());
    assert_eq!(gone.count(), 2, "its entries go");
}

#[test]
fn a_large_event_leaves_no_large_buffer() {
    let (mut store, schema) = (EventStore::new(), schema());
    let large = vec![0; 1 << 20];
    let first = store.push(&schema, uid(0), 0, &packed(0));
    let places: Vec<EventRef> = (1..60_000)
        .map(|n| {
            let packed = if n == 5_000 { large.clone() } else { packed(n) };
            store.push(&schema, uid(n), n as i64, &packed)
        })
        .collect();
    assert_eq!(store.copy(places[4_999]).unwrap().packed, large);
    assert!(store.opened.held() > large.len());
    assert!(store.copy(first).is_some());
    for place in places.iter().step_by(500) {
        store.copy(*place).unwrap();
    }
    assert!(store.opened.held() < large.len(), "{}", store.opened.held());
}
