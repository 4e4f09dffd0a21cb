//! Risk and entities over HTTP.

use serde_json::json;
use sluice_event::EntityKind;
use sluice_finding::{Entity, Finding};
use sluice_rule::Severity;

use super::*;

pub(super) fn about(id: u128, user: &str, tactic: &str, risk: u8) -> Finding {
    Finding {
        attack: vec![tactic.to_owned()].into(),
        entities: vec![Entity { kind: EntityKind::User, id: user.to_owned() }],
        risk,
        ..node::finding(id, clock::now(), &format!("identity.{tactic}"), Severity::High)
    }
}

fn adds_up(of: &Value) {
    let hundredths = |value: &Value| (value.as_f64().unwrap() * 100.0).round() as i64;
    let factors = of["factors"].as_array().unwrap();
    let points: i64 = factors.iter().map(|f| hundredths(&f["points"])).sum();
    assert_eq!(hundredths(&of["base"]) + points, hundredths(&of["score"]), "{of}");
}

#[test]
fn an_entity_is_listed_explained_and_cleared() {
    let fixture = Fixture::new();
    fixture.keep([
        about(1, "ann", "TA0001", 45),
        about(2, "ann", "TA0006", 45),
        about(3, "bob", "TA0001", 45),
        about(4, "carl", "TA0001", 10),
    ]);
    let page = fixture.get("/api/v1/entities").is(200).json();
    let names: Vec<&str> =
        page["items"].as_array().unwrap().iter().map(|i| i["id"].as_str().unwrap()).collect();
    assert_eq!((names, page["total"].as_u64()), (vec!["ann", "bob", "carl"], Some(3)));
    assert_eq!(page["items"][0]["level"], "high");
    let raised = fixture.get("/api/v1/entities?level=medium&kind=user&q=B").is(200).json();
    assert_eq!((raised["total"].as_u64(), &raised["items"][0]["id"]), (Some(1), &json!("bob")));
    let first = fixture.get("/api/v1/entities?limit=2").is(200).json();
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = fixture.get(&format!("/api/v1/entities?limit=2&cursor={cursor}")).is(200).json();
    assert_eq!(rest["items"].as_array().unwrap().len(), 1);
    assert_eq!((&rest["items"][0]["id"], &rest["next_cursor"]), (&json!("carl"), &Value::Null));

    let ann = fixture.get("/api/v1/entities/user/ann").is(200).json();
    adds_up(&ann);
    assert_eq!(ann["changes"][0]["cause"], "finding");
    assert!(ann["falls_at"].as_str().is_some());
    let answer = fixture.get("/api/v1/risk/user/ann").is(200);
    adds_up(&answer.json());
    let tag = answer.header("etag").to_owned();
    let token = &fixture.secrets[&Role::Viewer];
    let same = [("if-none-match", tag.as_str())];
    fixture.send(Some(token), "GET", "/api/v1/risk/user/ann", &same, b"").is(304);
    let before = fixture.get("/api/v1/risk/user/ann?at=now-1h").is(200).json();
    assert_eq!((&before["level"], before["score"].as_f64()), (&json!("low"), Some(3.98)));

    // T9: list, page, risk and query tell of a verdict at once.
    let verdict = json!({"status": "resolved", "reason": "false_positive"});
    let path = format!("/api/v1/findings/{:032x}", 2);
    fixture.ask(Role::Analyst, "PATCH", &path, Some(verdict)).is(200);
    fixture.send(Some(token), "GET", "/api/v1/risk/user/ann", &same, b"").is(200);
    let asked = json!({"entities": ["user:ann", "user:nobody"]});
    let answer = fixture.ask(Role::Viewer, "POST", "/api/v1/risk/query", Some(asked)).is(200);
    let items = &answer.json()["items"];
    let risk = fixture.get("/api/v1/risk/user/ann").is(200).json();
    assert_eq!(items[0]["score"], risk["score"]);
    assert_eq!((&items[1]["known"], &items[1]["level"]), (&json!(false), &json!("low")));
    assert_eq!(fixture.get("/api/v1/entities").is(200).json()["items"][0]["score"], risk["score"]);
    let ann = fixture.get("/api/v1/entities/user/ann").is(200).json();
    assert_eq!(ann["changes"][0]["cause"], "verdict");
    adds_up(&ann);
}

#[test]
fn what_is_no_entity_no_level_and_no_instant_is_refused() {
    let fixture = Fixture::new();
    fixture.get("/api/v1/entities?kind=planet").is(400).problem("invalid_parameter");
    fixture.get("/api/v1/entities?level=huge").is(400).problem("invalid_parameter");
    fixture.get("/api/v1/entities?cursor=AAAA").is(400).problem("invalid_cursor");
    fixture.get("/api/v1/entities/planet/x").is(422).problem("unprocessable");
    fixture
        .get("/api/v1/risk/user/ann?at=2999-01-01T00:00:00Z")
        .is(400)
        .problem("invalid_parameter");
    fixture.get("/api/v1/risk/user/ann?at=yesterday").is(400).problem("invalid_parameter");
    let asked = json!({"entities": ["ann"]});
    fixture.post("/api/v1/risk/query", asked).is(422).problem("unprocessable");
    let asked = json!({"entities": vec!["user:x"; 1_001]});
    fixture.post("/api/v1/risk/query", asked).is(422).problem("unprocessable");
    let unknown = fixture.get("/api/v1/risk/user/nobody").is(200).json();
    assert_eq!((&unknown["known"], &unknown["level"]), (&json!(false), &json!("low")));
    assert_eq!(fixture.get("/api/v1/entities").is(200).json()["total"], 0);
}
