//! Sources as a snapshot of the service shows them.

use serde_json::{Value, json};
use sluice_event::TableName;
use sluice_ingest::{
    Unparsed,
    live::{InputStatus, Place},
};

use super::*;

fn snapshot() -> ServiceStatus {
    let mut status = ServiceStatus::default();
    let place = Place { input: "okta".into(), part: "logins/3".into() };
    status.inputs = vec![InputHealth {
        name: "okta".into(),
        kind: "kafka",
        mapping: "okta.system".to_owned(),
        status: InputStatus {
            phase: InputPhase::Retrying("broker gone".to_owned()),
            places: BTreeMap::from([(place.clone(), Some(7))]),
            ..InputStatus::default()
        },
        positions: BTreeMap::from([(place.clone(), 42)]),
        partitions: vec![(place, "okta.system".into(), Some(1_000))],
        dead_letters_waiting: 0,
    }];
    let counts = SourceCounts {
        received: 10,
        mapped: 8,
        dead_letters: BTreeMap::from([("bad_json".to_owned(), 2)]),
        rows: BTreeMap::from([(
            TableName::new("authentication"),
            RowCounts { mapped: 8, evaluated: 7, too_late: 1 },
        )]),
        unmapped_fields: BTreeMap::from([
            ("a".to_owned(), (1, "x".to_owned())),
            ("b".to_owned(), (3, "y".to_owned())),
        ]),
        unparsed: Unparsed { lines: 1, examples: vec!["sudo: z".to_owned()] },
        time_flags: BTreeMap::from([("invalid".to_owned(), (1, Some("z o'clock".to_owned())))]),
        ..SourceCounts::default()
    };
    status.counters.sources.insert("okta".to_owned(), counts.clone());
    status.counters.sources.insert("rows".to_owned(), counts);
    status
}

fn shown(status: &ServiceStatus, raw: bool) -> Value {
    serde_json::to_value(sources(status, 0, raw, |_| None)).unwrap()
}

#[test]
fn a_source_adds_up_in_a_line() {
    let mut status = snapshot();
    let all = shown(&status, true);
    let input = &all["items"][0];
    assert_eq!((&input["phase"], &input["reason"]), (&json!("retrying"), &json!("broker gone")));
    assert_eq!((&input["lag"], &input["places"][0]["durable"]), (&json!(7), &json!(42)));
    assert_eq!(input["places"][0]["watermarks"][0]["time"], "1970-01-01T00:00:01.000Z");
    let source = &input["records"];
    assert_eq!(
        source["conservation"],
        "received 10 = mapped 8 + to no row 0 + dead letter 2 + dropped 0; rows 8 = evaluated 7 + too late 1"
    );
    assert_eq!(source["balanced"], true);
    assert_eq!(source["unmapped_fields"][0], json!({"name": "b", "records": 3, "example": "y"}));
    assert_eq!(all["others"]["rows"], *source);
    status.counters.sources.get_mut("okta").unwrap().mapped = 7;
    assert_eq!(shown(&status, true)["items"][0]["records"]["balanced"], false);
}

#[test]
fn row_13_what_senders_wrote_is_for_those_who_may_read_it() {
    let all = shown(&snapshot(), false);
    let records = &all["items"][0]["records"];
    assert_eq!(records["unmapped_fields"][0], json!({"name": "b", "records": 3}));
    assert_eq!((&records["unparsed"], records.get("unparsed_examples")), (&json!(1), None));
    assert_eq!(records["time_flags"], json!({"invalid": {"rows": 1}}));
    // Nowhere: every value of the snapshot that a sender wrote.
    for value in ["\"x\"", "\"y\"", "sudo: z", "z o'clock"] {
        assert!(shown(&snapshot(), true).to_string().contains(value), "{value}");
        assert!(!all.to_string().contains(value), "{value}");
    }
}
