//! Dead letters: list, show, replay, drop.

use serde_json::json;
use sluice_ingest::DeadLetterCode;

use super::*;

/// Five letters: the even ones are good records that no mapping had taken.
fn fixture() -> Fixture {
    let fixture = Fixture::new();
    for n in 1..=5 {
        if n % 2 == 0 {
            let record = format!(
                r#"{{"uuid":"{n}","published":"2026-01-01T09:00:00.000Z","eventType":"user.session.start","outcome":{{"result":"FAILURE","reason":"INVALID_CREDENTIALS"}},"actor":{{"id":"00u","type":"User","alternateId":"ann"}},"client":{{"ipAddress":"203.0.113.9"}},"target":[]}}"#
            );
            fixture.set_aside(n, "okta.system", DeadLetterCode::NoMapping, record.as_bytes());
        } else {
            fixture.set_aside(n, "okta.system", DeadLetterCode::BadJson, b"not \xff json");
        }
    }
    fixture
}

/// The id of the letter received `n` seconds after 1970.
fn id(fixture: &Fixture, n: u32) -> String {
    let page = fixture.get("/api/v1/dead-letters").is(200).json();
    let items = page["items"].as_array().unwrap();
    let letter = items.iter().find(|i| i["offset"] == n).unwrap();
    letter["id"].as_str().unwrap().to_owned()
}

const NOWHERE: &str = "0000000000000000000000000000004d";

#[test]
fn they_are_listed_page_by_page_and_filtered() {
    let fixture = fixture();
    let mut seen = Vec::new();
    let mut path = "/api/v1/dead-letters?limit=2".to_owned();
    loop {
        let page = fixture.get(&path).is(200).json();
        let items = page["items"].as_array().unwrap();
        seen.extend(items.iter().map(|i| i["id"].as_str().unwrap().to_owned()));
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/api/v1/dead-letters?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen, (1..=5).map(|n| id(&fixture, n)).collect::<Vec<_>>());
    for (filter, count) in [
        ("code=no_mapping", 2),
        ("code=no_mapping&source=okta.system", 2),
        ("source=other", 0),
        ("since=1970-01-01T00:00:04Z", 2),
    ] {
        let page = fixture.get(&format!("/api/v1/dead-letters?{filter}")).is(200).json();
        assert_eq!(page["items"].as_array().unwrap().len(), count, "{filter}");
    }
    let problem = fixture.get("/api/v1/dead-letters?code=bad").is(400).problem("invalid_parameter");
    assert!(problem["hint"].as_str().unwrap().contains("bad_json"));
}

#[test]
fn one_has_its_bytes() {
    let fixture = fixture();
    let letter = fixture.get(&format!("/api/v1/dead-letters/{}", id(&fixture, 1))).is(200).json();
    assert_eq!(letter["code"], "bad_json");
    assert_eq!(letter["text"], "not \u{fffd} json");
    assert_eq!(letter["base64"], "bm90IP8ganNvbg==");
    assert_eq!((&letter["length"], &letter["whole"]), (&json!(10), &json!(true)));
    fixture.get(&format!("/api/v1/dead-letters/{NOWHERE}")).is(404).problem("not_found");
}

#[test]
fn a_replay_says_what_failed_again() {
    let fixture = fixture();
    let path = "/api/v1/dead-letters/replay";
    let outcome = fixture.post(path, json!({"source": "okta.system"})).is(200).json();
    assert_eq!((&outcome["replayed"], &outcome["more"]), (&json!(2), &json!(false)));
    assert_eq!(outcome["failed"][0]["id"], id(&fixture, 1));
    assert_eq!(outcome["failed"].as_array().unwrap().len(), 3);
    let first = id(&fixture, 1);
    let outcome = fixture.post(path, json!({"ids": [first]})).is(200).json();
    assert_eq!((&outcome["replayed"], &outcome["failed"][0]["id"]), (&json!(0), &json!(first)));
    fixture.post(path, json!({"ids": [first, NOWHERE]})).is(404).problem("not_found");
}

#[test]
fn which_ones_must_be_said() {
    let fixture = fixture();
    for path in ["/api/v1/dead-letters/replay", "/api/v1/dead-letters/drop"] {
        for body in [
            json!({}),
            json!({"ids": []}),
            json!({"all": false}),
            json!({"all": true, "code": "bad_json"}),
            json!({"ids": [NOWHERE], "code": "bad_json"}),
        ] {
            fixture.post(path, body).is(400).problem("invalid_body");
        }
        fixture.post(path, json!({"code": "nope"})).is(400).problem("invalid_parameter");
    }
    let outcome =
        fixture.post("/api/v1/dead-letters/drop", json!({"code": "bad_json"})).is(200).json();
    assert_eq!(outcome["dropped"], 3);
    let outcome = fixture.post("/api/v1/dead-letters/drop", json!({"all": true})).is(200).json();
    assert_eq!(outcome["dropped"], 2);
    let author = fixture.ask(
        Role::RuleAuthor,
        "POST",
        "/api/v1/dead-letters/drop",
        Some(json!({"all": true})),
    );
    author.is(403).problem("forbidden");
}

#[test]
fn a_page_is_bounded_in_bytes() {
    let fixture = Fixture::new();
    for n in 1..=12 {
        fixture.set_aside(n, "okta.system", DeadLetterCode::BadJson, &vec![b'x'; 1 << 20]);
    }
    let page = fixture.get("/api/v1/dead-letters?limit=500").is(200).json();
    assert_eq!(page["items"].as_array().unwrap().len(), 8);
    let cursor = page["next_cursor"].as_str().unwrap();
    let page = fixture.get(&format!("/api/v1/dead-letters?limit=500&cursor={cursor}")).json();
    assert_eq!((page["items"].as_array().unwrap().len(), &page["next_cursor"]), (4, &Value::Null));
}
