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

#[test]
fn one_name_has_a_share_of_suppressions_and_others_have_theirs() {
    let fixture = Fixture::with(|settings| settings.suppressions_per_token = 2);
    fixture.keep([about(1, "ann", "TA0001", 45), about(2, "ann", "TA0006", 45)]);
    let suppress = |role, entity: &str| {
        let new = json!({"entity": entity, "reason": "x", "expires_in": "1d"});
        fixture.ask(role, "POST", "/api/v1/suppressions", Some(new))
    };
    let first = suppress(Role::Analyst, "user:a").is(201).json();
    suppress(Role::Analyst, "user:b").is(201);
    let full = suppress(Role::Analyst, "user:c").is(409).problem("conflict");
    assert!(full["hint"].as_str().unwrap().contains("max_suppressions_per_token"), "{full}");
    // One that is over is kept with its hits, and counts.
    let path = format!("/api/v1/suppressions/{}", first["id"].as_str().unwrap());
    fixture.ask(Role::Analyst, "DELETE", &path, None).is(200);
    suppress(Role::Analyst, "user:d").is(409);
    suppress(Role::Responder, "user:c").is(201);
    // The verdict that suppresses counts as well; another one is possible.
    let page = fixture.get("/api/v1/incidents").is(200).json();
    let path = format!("/api/v1/incidents/{}", page["items"][0]["id"].as_str().unwrap());
    let close = |verdict| json!({"status": "closed", "verdict": verdict});
    fixture.ask(Role::Analyst, "PATCH", &path, Some(close("false_positive"))).is(409);
    fixture.ask(Role::Analyst, "PATCH", &path, Some(close("benign"))).is(200);
    let metrics = fixture.get("/metrics").text();
    assert!(metrics.contains("sluice_share_refused_total{what=\"suppressions\"} 3"), "{metrics}");
}

#[test]
fn suppressions_made_at_once_are_counted_one_by_one() {
    let fixture = Fixture::with(|settings| settings.suppressions_per_token = 3);
    let made: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..12)
            .map(|n| {
                let fixture = &fixture;
                scope.spawn(move || {
                    let new = json!({"rule": format!("identity.r{n}"), "reason": "x",
                        "expires_in": "1d"});
                    fixture.ask(Role::Analyst, "POST", "/api/v1/suppressions", Some(new)).status
                })
            })
            .collect();
        threads.into_iter().map(|t| usize::from(t.join().unwrap() == 201)).sum()
    });
    assert_eq!(made, 3);
}

#[test]
fn one_name_fills_no_history_and_a_verdict_reaches_full_findings() {
    let fixture = Fixture::new();
    fixture.keep([about(1, "ann", "TA0001", 45), about(2, "ann", "TA0006", 45)]);
    let finding = format!("/api/v1/findings/{:032x}", 1);
    let note = |role| fixture.ask(role, "PATCH", &finding, Some(json!({"comment": "x"})));
    let mut kept = 0;
    while note(Role::Analyst).status == 200 {
        kept += 1;
    }
    assert_eq!(kept, 250);
    note(Role::Analyst).is(409).problem("conflict");
    note(Role::Responder).is(200);
    while note(Role::Responder).status == 200 {}
    note(Role::Admin).is(409).problem("conflict");
    let page = fixture.get("/api/v1/incidents").is(200).json();
    let path = format!("/api/v1/incidents/{}", page["items"][0]["id"].as_str().unwrap());
    let close = json!({"status": "closed", "verdict": "benign"});
    fixture.ask(Role::Admin, "PATCH", &path, Some(close)).is(200);
    let shown = fixture.get(&finding).is(200).json();
    assert_eq!((&shown["status"], &shown["reason"]), (&json!("resolved"), &json!("benign")));
}
