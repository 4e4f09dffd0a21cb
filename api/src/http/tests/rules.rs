//! Rules and sources of a running node, tables, and reload.

use serde_json::json;

use super::*;

#[test]
fn a_rule_has_its_health() {
    let fixture = Fixture::new();
    let list = fixture.ask(Role::Viewer, "GET", "/api/v1/rules", None).is(200).json();
    assert_eq!(list["items"].as_array().unwrap().len(), 3);
    let rule = fixture.get("/api/v1/rules/identity.x").is(200).json();
    assert_eq!((&rule["can_fire"], &rule["severity"]), (&json!(true), &json!("high")));
    let rule = fixture.get("/api/v1/rules/network.y").is(200).json();
    assert_eq!((&rule["can_fire"], &rule["last_fired"]), (&json!(false), &Value::Null));
    let problem = fixture.get("/api/v1/rules/identity.z").is(404).problem("not_found");
    assert_eq!(problem["hint"], "did you mean identity.x?");
}

#[test]
fn inputs_and_followers_are_shown() {
    let fixture = Fixture::new();
    let all = fixture.ask(Role::Viewer, "GET", "/api/v1/sources", None).is(200).json();
    let names: Vec<&str> =
        all["items"].as_array().unwrap().iter().map(|i| i["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["other", "push"]);
    fixture.commit([node::finding(1, 0, "identity.x", sluice_rule::Severity::Low)]);
    let status = fixture.get("/api/v1/status").is(200).json();
    assert_eq!(status["followers"][0], json!({"name": "index", "at": 1, "failures": 0}));
    assert_eq!(status["followers"][1]["name"], "live");
    assert_eq!(status["memory"]["refused"], "nothing");
    assert!(status["memory"]["limit_bytes"].as_u64().unwrap() > 256 << 20);
}

#[test]
fn tables_are_listed_and_rules_taken_again() {
    let fixture = Fixture::new();
    let tables = fixture.get("/api/v1/schema").is(200).json();
    let names: Vec<&str> =
        tables["items"].as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"authentication"));
    fixture.ask(Role::Analyst, "POST", "/api/v1/reload", None).is(403);
    let report = fixture.ask(Role::RuleAuthor, "POST", "/api/v1/reload", None).is(200).json();
    assert_eq!((&report["applied"], &report["kept"]), (&json!(true), &json!(3)));
    assert_eq!(report["rules"], json!({}));
    let metrics = fixture.get("/metrics").text();
    assert!(metrics.contains("sluice_reloads_total{kind=\"content\",outcome=\"applied\"} 1"));
}

#[test]
fn a_rule_document_has_its_text_runbook_and_cases() {
    let fixture = Fixture::new();
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
    let fixture = Fixture::new();
    let table = fixture.get("/api/v1/attack").is(200).json();
    assert_eq!(table["tactics"][0]["id"], "TA0043");
    let techniques = table["techniques"].as_array().unwrap();
    let push = techniques.iter().find(|t| t["id"] == "T1621").unwrap();
    assert_eq!(push["tactics"], json!(["TA0006"]));
}
