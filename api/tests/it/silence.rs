//! An input that goes silent, through the real binary: a finding that names the rules it blinds, also
//! over a restart, and that is over with the next record.

use serde_json::Value;
use sluice_signal::EventType;

use crate::{
    signals::{self, Receiver, jwks, verified},
    support::{
        REFUSED, rule,
        service::{Home, Service},
    },
};

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

/// Risk levels that the stream of `idp` was sent, with the reason, oldest first; each is acknowledged.
fn levels(service: &Service, receiver: &Receiver) -> Vec<(String, String)> {
    let jwks = jwks(service);
    let all = receiver.requests.lock().unwrap().clone();
    let sets = all.iter().map(|request| verified(&request.body, &jwks, "https://idp.example.com"));
    let events = sets.map(|set| set.claims["events"][EventType::RiskLevelChange.uri()].clone());
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    events.map(|e| (text(&e["current_level"]), text(&e["reason_admin"]["en"]))).collect()
}

#[expect(clippy::disallowed_methods, reason = "what a sender would stamp")]
#[test]
fn h5_a_level_whose_only_source_is_silent_is_low_with_reason_and_then_the_level_again() {
    let receiver = Receiver::start();
    let home = signals::home(&receiver, "");
    let config = std::fs::read_to_string(&home.config).unwrap();
    let config = config.replace("http = {}\n", "silent_after = \"10s\"\nhttp = {}\n");
    let config =
        config.replace("receivers.idp]\n", "receivers.idp]\nstaleness = \"low_with_reason\"\n");
    std::fs::write(&home.config, config).unwrap();
    // One finding of it makes a quiet user high.
    let loud = rule("loud", REFUSED).replace("severity: low\n", "severity: high\nrisk: 90\n");
    home.scratch.write("rules/loud.sql", loud);
    let mut service = home.start();
    let record = |n: u32, result: &str| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let published = sluice_event::rfc3339(now.as_millis() as i64);
        format!(
            "{{\"uuid\":\"e{n}\",\"published\":\"{published}\",\"eventType\":\"user.session.start\",\
             \"outcome\":{{\"result\":\"{result}\"}},\"actor\":{{\"id\":\"u\",\"type\":\"User\",\
             \"alternateId\":\"u@example.com\"}}}}\n"
        )
    };
    service.push(&record(1, "FAILURE")).is(202);
    service.wait_for("HIGH", || levels(&service, &receiver).len() == 1);
    assert_eq!(levels(&service, &receiver)[0].0, "HIGH");
    service.wait_for("LOW in silence", || levels(&service, &receiver).len() == 2);
    let (level, reason) = levels(&service, &receiver).remove(1);
    assert_eq!(level, "LOW");
    assert!(reason.contains("its sources are silent since"), "{reason}");
    // People and gateways see the computed level, and since when an input is silent.
    let risk = service.get("/api/v1/risk/user/u@example.com").is(200).json();
    assert_eq!(risk["level"], "high");
    assert!(risk["stale_since"].is_string());
    assert_eq!(service.gate("/ext_authz/app", "u@example.com").status, 403);
    let evaluation = serde_json::json!({"subject": {"type": "user", "id": "u@example.com"},
        "action": {"name": "read"}, "resource": {"type": "page", "id": "/app"}});
    let answer = service.post("/access/v1/evaluation", &evaluation).is(200).json();
    assert_eq!(answer["context"]["risk_stale_since"], risk["stale_since"]);
    // A restart in silence says nothing new, and the next record ends it.
    service.stop();
    service = home.start();
    service.wait_for("a look", || !input(&service)["silent_since"].is_null());
    service.push(&record(2, "SUCCESS")).is(202);
    service.wait_for("HIGH again", || levels(&service, &receiver).len() == 3);
    let told: Vec<String> =
        levels(&service, &receiver).into_iter().map(|(level, _)| level).collect();
    assert_eq!(told, ["HIGH", "LOW", "HIGH"]);
    service.stop();
}
