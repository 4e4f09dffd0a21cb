//! Rules and sources as the pipeline reports them, tables, and reload.

use std::collections::BTreeMap;

use serde_json::json;
use sluice_engine::{
    RowCounts, SourceCounts,
    service::{InputHealth, RuleHealth},
};
use sluice_event::TableName;
use sluice_ingest::live::{InputPhase, InputStatus, Place};

use super::*;

fn fixture() -> Fixture {
    let fixture = Fixture::new();
    fixture.pipeline.change(|status| {
        status.rules = vec![
            RuleHealth {
                id: "identity.x".into(),
                severity: "high",
                rows_seen: 10,
                nanos: 5,
                last_fired: Some(1_000),
                ..RuleHealth::default()
            },
            RuleHealth {
                id: "network.y".into(),
                cannot_fire: "no input feeds network".to_owned(),
                ..RuleHealth::default()
            },
        ];
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
            ..SourceCounts::default()
        };
        status.counters.sources.insert("okta".to_owned(), counts.clone());
        status.counters.sources.insert("rows".to_owned(), counts);
    });
    fixture
}

#[test]
fn a_rule_has_its_health() {
    let fixture = fixture();
    let list = fixture.ask(Role::Viewer, "GET", "/api/v1/rules", None).is(200).json();
    assert_eq!(list["items"].as_array().unwrap().len(), 2);
    let rule = fixture.get("/api/v1/rules/identity.x").is(200).json();
    assert_eq!(rule["last_fired"], "1970-01-01T00:00:01.000Z");
    assert_eq!((&rule["can_fire"], &rule["rows_seen"]), (&json!(true), &json!(10)));
    let rule = fixture.get("/api/v1/rules/network.y").is(200).json();
    assert_eq!((&rule["can_fire"], &rule["last_fired"]), (&json!(false), &Value::Null));
    let problem = fixture.get("/api/v1/rules/identity.z").is(404).problem("not_found");
    assert_eq!(problem["hint"], "did you mean identity.x?");
}

#[test]
fn a_source_adds_up_in_a_line() {
    let fixture = fixture();
    let all = fixture.get("/api/v1/sources").is(200).json();
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
    assert_eq!(source["unmapped_fields"][0]["name"], "b");
    assert_eq!(all["others"]["rows"], *source);
    fixture.pipeline.change(|status| {
        status.counters.sources.get_mut("okta").unwrap().mapped = 7;
    });
    let all = fixture.get("/api/v1/sources").is(200).json();
    assert_eq!(all["items"][0]["records"]["balanced"], false);
    let status = fixture.get("/api/v1/status").is(200).json();
    assert_eq!(status["conservation_errors"].as_array().unwrap().len(), 1);
    assert_eq!(status["problems"][0], "input okta: broker gone");
}

#[test]
fn tables_are_listed_and_rules_taken_again() {
    let fixture = fixture();
    let tables = fixture.get("/api/v1/schema").is(200).json();
    let names: Vec<&str> =
        tables["items"].as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"authentication"));
    fixture.ask(Role::Analyst, "POST", "/api/v1/reload", None).is(403);
    let report = fixture.ask(Role::RuleAuthor, "POST", "/api/v1/reload", None).is(200).json();
    assert_eq!((&report["applied"], &report["kept"]), (&json!(true), &json!(3)));
    assert_eq!(report["rules"], json!({"identity.x": "edited"}));
    let metrics = fixture.get("/metrics").text();
    assert!(metrics.contains("sluice_reloads_total{kind=\"content\",outcome=\"applied\"} 1"));
}

#[test]
fn a_rule_document_has_its_text_runbook_and_cases() {
    let fixture = fixture();
    let rule = fixture.get("/api/v1/rules/identity.mfa_fatigue/document").is(200).json();
    assert_eq!(rule["id"], "identity.mfa_fatigue");
    assert_eq!(rule["entities"][0], json!({"column": "user_entity", "kind": "user"}));
    assert!(rule["sql"].as_str().unwrap().starts_with("SELECT"));
    assert!(rule["text"].as_str().unwrap().starts_with("/*---"));
    assert!(!rule["runbook"].as_str().unwrap().is_empty());
    let cases = rule["tests"].as_array().unwrap();
    assert!(cases.iter().any(|c| c["fires"] == true) && cases.iter().any(|c| c["fires"] == false));
    let problem = fixture.get("/api/v1/rules/identity.mfa_fatig/document").is(404);
    assert_eq!(problem.problem("not_found")["hint"], "did you mean identity.mfa_fatigue?");
}

#[test]
fn the_attack_table_lists_tactics_in_the_order_of_the_matrix() {
    let fixture = fixture();
    let table = fixture.get("/api/v1/attack").is(200).json();
    assert_eq!(table["tactics"][0]["id"], "TA0043");
    let techniques = table["techniques"].as_array().unwrap();
    let push = techniques.iter().find(|t| t["id"] == "T1621").unwrap();
    assert_eq!(push["tactics"], json!(["TA0006"]));
}
