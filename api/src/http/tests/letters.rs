//! Dead letters: list, show, replay, drop.

use serde_json::json;
use sluice_ingest::DeadLetterCode;

use super::*;

fn fixture() -> Fixture {
    let fixture = Fixture::new();
    for n in 1..=5 {
        let code = if n % 2 == 0 { DeadLetterCode::NoMapping } else { DeadLetterCode::BadJson };
        fixture.store.set_aside(n, "okta.system", code, b"not \xff json");
    }
    fixture
}

fn id(n: u32) -> String {
    format!("{n:032x}")
}

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
    assert_eq!(seen, (1..=5).map(id).collect::<Vec<_>>());
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
    let letter = fixture.get(&format!("/api/v1/dead-letters/{}", id(1))).is(200).json();
    assert_eq!(letter["code"], "bad_json");
    assert_eq!(letter["text"], "not \u{fffd} json");
    assert_eq!(letter["base64"], "bm90IP8ganNvbg==");
    assert_eq!((&letter["length"], &letter["whole"]), (&json!(10), &json!(true)));
    fixture.get(&format!("/api/v1/dead-letters/{}", id(77))).is(404).problem("not_found");
}

#[test]
fn a_replay_says_what_failed_again() {
    let fixture = fixture();
    let path = "/api/v1/dead-letters/replay";
    let outcome = fixture.post(path, json!({"source": "okta.system"})).is(200).json();
    assert_eq!((&outcome["replayed"], &outcome["more"]), (&json!(2), &json!(false)));
    assert_eq!(outcome["failed"][0], json!({"id": id(1), "reason": "bad_json: still"}));
    let outcome = fixture.post(path, json!({"ids": [id(2)]})).is(200).json();
    assert_eq!(outcome["replayed"], 1);
    fixture.post(path, json!({"ids": [id(2), id(77)]})).is(404).problem("not_found");
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
            json!({"ids": [id(1)], "code": "bad_json"}),
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
