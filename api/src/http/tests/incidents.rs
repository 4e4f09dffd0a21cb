//! Incidents and suppressions over HTTP.

use serde_json::json;

use super::{risk::about, *};

#[test]
fn an_incident_is_worked_on_and_its_verdict_shows_at_once() {
    let fixture = Fixture::new();
    fixture.keep([about(1, "ann", "TA0001", 45), about(2, "ann", "TA0006", 45)]);
    let page = fixture.get("/api/v1/incidents?status=open&entity=user:ann").is(200).json();
    assert_eq!(page["total"], 1, "{page}");
    let id = page["items"][0]["id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/incidents/{id}");
    let incident = fixture.get(&path).is(200);
    assert_eq!(incident.header("etag"), "\"0\"");
    let incident = incident.json();
    assert_eq!(incident["findings"].as_array().unwrap().len(), 2);

    let take = json!({"status": "in_progress", "assignee": "bob", "comment": "looking"});
    fixture.ask(Role::Viewer, "PATCH", &path, Some(take.clone())).is(403);
    fixture.ask(Role::Analyst, "PATCH", &path, Some(take)).is(200);
    let token = &fixture.secrets[&Role::Analyst];
    let headers = [("if-match", "\"0\""), ("content-type", "application/json")];
    fixture.send(Some(token), "PATCH", &path, &headers, b"{\"comment\":\"x\"}").is(412);
    let mine = fixture.get("/api/v1/incidents?assignee=bob").is(200).json();
    assert_eq!(mine["total"], 1);
    let close = json!({"status": "closed"});
    fixture.ask(Role::Analyst, "PATCH", &path, Some(close)).is(422).problem("unprocessable");
    let close = json!({"status": "closed", "verdict": "false_positive"});
    let changed = fixture.ask(Role::Analyst, "PATCH", &path, Some(close)).is(200).json();
    assert_eq!(changed["risk"]["score"], 3.98, "{changed}");
    let risk = fixture.get("/api/v1/risk/user/ann").is(200).json();
    assert_eq!((&risk["score"], &risk["factors"]), (&json!(3.98), &json!([])));
    let finding = fixture.get(&format!("/api/v1/findings/{:032x}", 1)).is(200).json();
    assert_eq!(
        (&finding["status"], &finding["reason"]),
        (&json!("resolved"), &json!("false_positive"))
    );
    let history = &fixture.get(&path).is(200).json()["history"];
    assert_eq!(history.as_array().unwrap().len(), 2, "{history}");
    // Muted for 30 days, and shown with its hits.
    fixture.keep([about(3, "ann", "TA0001", 45)]);
    let muted = fixture.get("/api/v1/suppressions").is(200).json();
    let hits: i64 =
        muted["items"].as_array().unwrap().iter().map(|s| s["hits"].as_i64().unwrap()).sum();
    assert_eq!((muted["items"].as_array().unwrap().len(), hits), (2, 1), "{muted}");
    fixture.get("/api/v1/incidents/00000000000000000000000000000007").is(404).problem("not_found");
    fixture.get("/api/v1/incidents?status=lost").is(400).problem("invalid_parameter");
    for bad in [
        json!({"verdict": "duplicate"}),
        json!({"duplicate_of": id}),
        json!({"verdict": "guilty"}),
        json!({"status": "lost"}),
        json!({}),
    ] {
        fixture.ask(Role::Analyst, "PATCH", &path, Some(bad)).is(422).problem("unprocessable");
    }
}

#[test]
fn a_suppression_has_an_owner_a_reason_and_an_end() {
    let fixture = Fixture::new();
    let new = json!({"entity": "user:ann", "reason": "new phone", "expires_in": "30d"});
    fixture.ask(Role::Viewer, "POST", "/api/v1/suppressions", Some(new.clone())).is(403);
    let made = fixture.ask(Role::Analyst, "POST", "/api/v1/suppressions", Some(new)).is(201).json();
    assert_eq!((&made["owner"], &made["created_by"]), (&json!("analyst"), &json!("analyst")));
    fixture.keep([about(1, "ann", "TA0001", 60)]);
    let page = fixture.get("/api/v1/suppressions").is(200).json();
    assert_eq!(page["items"][0]["hits"], 1);
    assert_eq!(fixture.get("/api/v1/entities").is(200).json()["total"], 0);
    let finding = fixture.get(&format!("/api/v1/findings/{:032x}", 1)).is(200).json();
    assert_eq!(finding["suppressed_by"], json!([made["id"]]), "{finding}");
    let path = format!("/api/v1/suppressions/{}", made["id"].as_str().unwrap());
    let ended = fixture.ask(Role::Responder, "DELETE", &path, None).is(200).json();
    assert_eq!((&ended["over"], &ended["ended_by"]), (&json!(true), &json!("responder")));
    fixture.ask(Role::Responder, "DELETE", &path, None).is(422).problem("unprocessable");
    for bad in [
        json!({"reason": "x", "expires_in": "1d"}),
        json!({"rule": "identity.x", "reason": " ", "expires_in": "1d"}),
        json!({"rule": "identity.x", "reason": "x", "expires_in": "9999d"}),
        json!({"entity": "ann", "reason": "x", "expires_in": "1d"}),
        json!({"field": {"name": "a", "value": [1]}, "reason": "x", "expires_in": "1d"}),
        json!({"field": {"name": " ", "value": "x"}, "reason": "x", "expires_in": "1d"}),
    ] {
        fixture.post("/api/v1/suppressions", bad).is(422).problem("unprocessable");
    }
}
