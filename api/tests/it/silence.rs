//! An input that goes silent, through the real binary: a finding that names the rules it blinds, also
//! over a restart, and that is over with the next record.

use serde_json::Value;

use crate::support::service::{Home, Service};

fn input(service: &Service) -> Value {
    service.get("/api/v1/sources").is(200).json()["items"][0].clone()
}

fn finding(service: &Service) -> Value {
    let found = service.search("rule_id:sluice.source_silent", "").is(200).json();
    assert_eq!(found["total"]["value"], 1, "{found}");
    found["items"][0].clone()
}

#[test]
fn a_silent_input_is_one_finding_until_the_next_record() {
    let home = Home::new("");
    let config = std::fs::read_to_string(&home.config).unwrap();
    let quiet = config.replace("http = {}\n", "silent_after = \"10s\"\nhttp = {}\n");
    assert_ne!(config, quiet);
    std::fs::write(&home.config, quiet).unwrap();
    let mut service = home.start();
    let record = "{\"uuid\":\"e1\",\"published\":\"2026-11-24T08:00:00.000Z\",\
                  \"eventType\":\"user.session.start\",\"outcome\":{\"result\":\"SUCCESS\"},\
                  \"actor\":{\"id\":\"u\",\"type\":\"User\",\"alternateId\":\"u@example.com\"}}\n";
    service.push(record).is(202);
    service.wait_for("a record", || !input(&service)["last_record_at"].is_null());
    service.wait_for("silence", || !input(&service)["silent_since"].is_null());
    service.wait_for("its finding", || service.total("rule_id:sluice.source_silent") == Some(1));
    let told = finding(&service);
    assert_eq!(told["fields"]["input"], "push");
    assert_eq!(told["fields"]["blind_rules"], serde_json::json!(["one"]));
    assert_eq!(told["severity"], "high");
    assert!(told["fields"]["resumed_at"].is_null());
    let risk = service.get("/api/v1/risk/user/u@example.com").is(200).json();
    assert_eq!(risk["stale_since"], input(&service)["silent_since"]);
    let metrics = service.get("/metrics").is(200).text;
    assert!(metrics.contains("sluice_input_silent{input=\"push\"} 1"), "{metrics}");

    // Silent since the same time after a restart, and told once.
    service.stop();
    service = home.start();
    service.wait_for("a look", || !input(&service)["silent_since"].is_null());
    service.push(&record.replace("e1", "e2")).is(202);
    service.wait_for("an end", || input(&service)["silent_since"].is_null());
    service.wait_for("it told", || finding(&service)["revision"] == 2);
    let over = finding(&service);
    assert_eq!(over["id"], told["id"]);
    assert!(over["fields"]["resumed_at"].is_string());
    service.stop();
}
