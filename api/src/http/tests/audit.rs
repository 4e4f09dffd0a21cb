//! The audit log: what is recorded, by whom it is read, and that nothing is done unrecorded.

use serde_json::json;

use super::{node::finding, *};
use crate::audit::verify;

#[test]
fn what_people_do_is_recorded_and_chains() {
    let fixture = Fixture::new();
    fixture.keep([finding(7, 0, "identity.x", sluice_rule::Severity::Low)]);
    let path = "/api/v1/findings/00000000000000000000000000000007";
    let change = json!({"status": "in_progress", "comment": "a secret remark"});
    let answer = fixture.ask(Role::Analyst, "PATCH", path, Some(change)).is(200);
    fixture.ask(Role::Viewer, "POST", "/api/v1/hunts", Some(json!({"sql": "SELECT 1"}))).is(403);
    fixture.post("/api/v1/hunts", json!({"sql": "SELECT 1 AS one"})).is(200);
    fixture.post("/api/v1/reload", json!({})).is(200);
    fixture.get("/api/v1/rules").is(200);
    fixture.send(Some(&fixture.secrets[&Role::Ingest]), "POST", "/api/v1/ingest/push", &[], b"{}");
    let page = fixture.ask(Role::Auditor, "GET", "/api/v1/audit", None).is(200).json();
    let items = page["items"].as_array().unwrap();
    let actions: Vec<&str> = items.iter().map(|i| i["action"].as_str().unwrap()).collect();
    assert_eq!(
        actions,
        ["PATCH /api/v1/findings/{id}", "POST /api/v1/hunts", "POST /api/v1/reload"],
        "{page}"
    );
    assert_eq!((&items[0]["actor"], &items[0]["target"]), (&json!("analyst"), &json!(path)));
    assert_eq!(items[0]["request"], answer.header("x-request-id"));
    assert_eq!(items[0]["detail"]["status"], "in_progress");
    assert_eq!((&items[1]["detail"]["rows"], &items[1]["status"]), (&json!(1), &json!(200)));
    assert!(!page.to_string().contains("secret") && !page.to_string().contains("AS one"));
    let found = verify(&fixture.dir.path().join("data")).unwrap();
    assert_eq!((found.records, found.broken), (3, None));
    assert_eq!(page["head"]["hash"], found.head.hash);
    let page = fixture.get("/api/v1/audit?after=2&limit=1").is(200).json();
    assert_eq!(page["items"][0]["seq"], 3);
    fixture.get("/api/v1/audit?after=x").is(400).problem("invalid_parameter");
    for role in [Role::Viewer, Role::Analyst, Role::Metrics] {
        fixture.ask(role, "GET", "/api/v1/audit", None).is(403);
    }
}

#[test]
fn row_7_a_hunt_whose_client_leaves_is_recorded() {
    let fixture = Fixture::new();
    let joins = (0..5).map(|i| format!("authentication a{i}")).collect::<Vec<_>>().join(", ");
    let sql = format!("SELECT count(*) FROM {joins} WHERE a0.user_name <> a4.user_name");
    let body = json!({"sql": sql}).to_string();
    let head = fixture.head_of(Role::Analyst, "POST /api/v1/hunts HTTP/1.1");
    let mut client = fixture.connect();
    let rest = format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len());
    client.write_all(format!("{head}{rest}\r\n{body}").as_bytes()).unwrap();
    wait_for("the hunt", || fixture.get("/metrics").text().contains("busy{pool=\"hunts\"} 1"));
    drop(client);
    let records = || fixture.get("/api/v1/audit").is(200).json()["items"].clone();
    wait_for("the record", || records().as_array().unwrap().len() == 1);
    let record = &records()[0];
    assert_eq!(
        (&record["actor"], &record["action"]),
        (&json!("analyst"), &json!("POST /api/v1/hunts"))
    );
    assert_eq!(record.get("status"), None, "{record}");
    let hash = record["detail"]["sql_sha256"].as_str().unwrap();
    // One that is refused is recorded with what was asked, too.
    let refused = fixture.post("/api/v1/hunts", json!({"sql": "SELECT nothing"})).is(400);
    let other = &records()[1];
    assert_eq!(
        (other["status"].as_u64(), &other["request"]),
        (Some(400), &json!(refused.header("x-request-id")))
    );
    assert!(hash.len() == 64 && other["detail"]["sql_sha256"] != hash, "{other}");
}

#[test]
fn row_7_a_change_is_done_whole_and_recorded_if_its_client_leaves() {
    let fixture = Fixture::new();
    let ids: Vec<String> = (1..=200).map(|n| format!("{n:032x}")).collect();
    fixture.keep((1..=200).map(|n| finding(n, 0, "identity.x", sluice_rule::Severity::Low)));
    let body = json!({"ids": ids, "comment": "x"}).to_string();
    let head = fixture.head("POST /api/v1/findings/bulk HTTP/1.1");
    let rest = format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len());
    let mut client = fixture.connect();
    client.write_all(format!("{head}{rest}\r\n{body}").as_bytes()).unwrap();
    let version =
        |id: &str| fixture.get(&format!("/api/v1/findings/{id}")).json()["version"].clone();
    wait_for("the first change", || version(&ids[0]) == 1);
    drop(client);
    let records = || fixture.get("/api/v1/audit").is(200).json()["items"].clone();
    wait_for("the record", || records().as_array().unwrap().len() == 1);
    let record = &records()[0];
    assert_eq!((&record["status"], &record["detail"]["changed"]), (&json!(200), &json!(200)));
    assert_eq!(version(&ids[199]), 1);
}

#[test]
fn what_cannot_be_recorded_is_not_done() {
    let fixture = Fixture::new();
    fixture.keep([finding(7, 0, "identity.x", sluice_rule::Severity::Low)]);
    let path = "/api/v1/findings/00000000000000000000000000000007";
    let note = || fixture.ask(Role::Analyst, "PATCH", path, Some(json!({"comment": "x"})));
    // A folder in its place: nothing can be written.
    let file = fixture.dir.path().join("data").join(crate::audit::FILE);
    std::fs::create_dir(&file).unwrap();
    // That it cannot is known only once it was tried.
    note().is(200);
    let answer = note().is(503);
    answer.problem("unavailable");
    assert_eq!(answer.header("retry-after"), "30");
    assert_eq!(fixture.get(path).json()["version"], 1);
    std::fs::remove_dir(&file).unwrap();
    note().is(200);
}

#[test]
fn a_request_that_is_sent_again_is_done_once() {
    let fixture = Fixture::new();
    fixture.keep([finding(7, 0, "identity.x", sluice_rule::Severity::Low)]);
    let id = format!("{:032x}", 7);
    let send = |role: Role, key: &str, comment: &str| {
        let body = json!({"ids": [id], "comment": comment}).to_string();
        let headers = [("content-type", "application/json"), ("idempotency-key", key)];
        let token = Some(fixture.secrets[&role].as_str());
        fixture.send(token, "POST", "/api/v1/findings/bulk", &headers, body.as_bytes())
    };
    let first = send(Role::Analyst, "k1", "x").is(200);
    let again = send(Role::Analyst, "k1", "x").is(200);
    assert_eq!((again.json(), again.header("idempotency-replayed")), (first.json(), "true"));
    send(Role::Analyst, "k1", "y").is(422).problem("unprocessable");
    send(Role::Analyst, &"k".repeat(300), "x").is(400).problem("invalid_parameter");
    // Another key, and the same of another token, are other requests.
    send(Role::Analyst, "k2", "x").is(200);
    send(Role::Admin, "k1", "x").is(200);
    // What failed may be tried again.
    send(Role::Viewer, "k3", "x").is(403);
    let path = format!("/api/v1/findings/{id}");
    assert_eq!(fixture.get(&path).json()["version"], 3);
}
