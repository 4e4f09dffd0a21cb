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
    // No baseline runs here: nothing is known to compare.
    let peers = fixture.get("/api/v1/entities/user/ann/peers").is(200).json();
    assert_eq!((&peers["entity"], &peers["baselines"]), (&json!("user:ann"), &json!([])));
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
fn the_course_of_a_risk_adds_up_at_each_instant_and_says_what_would_change_it() {
    let fixture = Fixture::new();
    let earlier = Finding { time: clock::now() - 3 * 3_600_000, ..about(1, "ann", "TA0001", 30) };
    fixture.keep([earlier, about(2, "ann", "TA0006", 15)]);
    let ahead = sluice_event::rfc3339(clock::now() + 30 * 86_400_000);
    let path = format!("/api/v1/risk/user/ann/outlook?from=now-6h&to={ahead}&points=60");
    let course = fixture.get(&path).is(200).json();
    let points = course["points"].as_array().unwrap();
    let hundredths = |value: &Value| (value.as_f64().unwrap() * 100.0).round() as i64;
    let mut scores = Vec::new();
    for point in points {
        let parts: i64 =
            point["parts"].as_array().unwrap().iter().map(|p| hundredths(&p["points"])).sum();
        assert_eq!(hundredths(&course["base"]) + parts, hundredths(&point["score"]), "{point}");
        scores.push(hundredths(&point["score"]));
    }
    // The grid, and just before and at both findings.
    assert!((60..=64).contains(&points.len()), "{}", points.len());
    assert!(scores.windows(2).filter(|s| s[1] > s[0]).count() == 2, "{scores:?}");
    assert_eq!((scores[0], &points[points.len() - 1]["level"]), (398, &json!("low")));
    assert_eq!(course["rises"][0]["level"], "high");
    let risk = course["rises"][0]["risk"].as_u64().unwrap();
    let without = course["without"].as_array().unwrap();
    assert_eq!(without.len(), 2);
    assert!(without.iter().all(|w| w["name"].as_str().unwrap().starts_with("identity.TA")));

    // What is said to raise it raises it.
    let score = |fixture: &Fixture| fixture.get("/api/v1/risk/user/ann").is(200).json();
    assert_eq!(score(&fixture)["level"], "medium");
    fixture.keep([about(3, "ann", "TA0003", u8::try_from(risk).unwrap())]);
    assert_eq!(score(&fixture)["level"], "high");

    let instants = json!({"entities": ["user:ann", "user:ann"], "at": ["now-2h", "now-5h"]});
    let ahead = json!({"entities": ["user:ann"], "at": ["2999-01-01T00:00:00Z"]});
    let answer = fixture.ask(Role::Viewer, "POST", "/api/v1/risk/query", Some(instants)).is(200);
    let items = answer.json()["items"].clone();
    assert!(hundredths(&items[0]["score"]) > 2_500, "{items}");
    assert_eq!((hundredths(&items[1]["score"]), &items[1]["level"]), (398, &json!("low")));
    let answer = fixture.ask(Role::Viewer, "POST", "/api/v1/risk/query", Some(ahead)).is(200);
    assert_eq!(answer.json()["items"][0]["level"], "high");
}

#[test]
fn what_is_no_entity_no_level_and_no_instant_is_refused() {
    let fixture = Fixture::new();
    fixture.get("/api/v1/entities?kind=planet").is(400).problem("invalid_parameter");
    fixture.get("/api/v1/entities?level=huge").is(400).problem("invalid_parameter");
    fixture.get("/api/v1/entities?cursor=AAAA").is(400).problem("invalid_cursor");
    fixture.get("/api/v1/entities/planet/x").is(422).problem("unprocessable");
    fixture.get("/api/v1/entities/planet/x/peers").is(422).problem("unprocessable");
    fixture.get("/api/v1/entities/user/%20/peers").is(422).problem("unprocessable");
    fixture.get("/api/v1/entities/user/x/peers?of=all").is(400).problem("invalid_parameter");
    fixture
        .get("/api/v1/risk/user/ann?at=2999-01-01T00:00:00Z")
        .is(400)
        .problem("invalid_parameter");
    fixture.get("/api/v1/risk/user/ann?at=yesterday").is(400).problem("invalid_parameter");
    let asked = json!({"entities": ["ann"]});
    fixture.post("/api/v1/risk/query", asked).is(422).problem("unprocessable");
    for bad in [json!([]), json!(["yesterday"])] {
        let asked = json!({"entities": ["user:x"], "at": bad});
        fixture.post("/api/v1/risk/query", asked).is(422).problem("unprocessable");
    }
    for bad in ["from=now", "to=now-8d", "to=2999-01-01T00:00:00Z", "points=1", "points=501"] {
        let path = format!("/api/v1/risk/user/ann/outlook?{bad}");
        fixture.get(&path).is(400).problem("invalid_parameter");
    }
    let asked = json!({"entities": vec!["user:x"; 1_001]});
    fixture.post("/api/v1/risk/query", asked).is(422).problem("unprocessable");
    let unknown = fixture.get("/api/v1/risk/user/nobody").is(200).json();
    assert_eq!((&unknown["known"], &unknown["level"]), (&json!(false), &json!("low")));
    assert_eq!(fixture.get("/api/v1/entities").is(200).json()["total"], 0);
}

/// Events as (id, data) of a stream of levels that is read for a second.
fn levels_after(fixture: &Fixture, query: &str, after: Option<u64>) -> Vec<(u64, Value)> {
    let mut stream = open_levels(fixture, query, after);
    level_events(&read_for(&mut stream, Duration::from_secs(1)))
}

fn open_levels(fixture: &Fixture, query: &str, after: Option<u64>) -> TcpStream {
    fixture.stream(&format!("/api/v1/risk/stream{query}"), after)
}

fn level_events(text: &str) -> Vec<(u64, Value)> {
    let (mut id, mut events) = (0, Vec::new());
    for line in text.lines() {
        match line.split_once(": ") {
            Some(("event", word)) => assert_eq!(word, "level"),
            Some(("id", n)) => id = n.parse().unwrap(),
            Some(("data", json)) => events.push((id, serde_json::from_str(json).unwrap())),
            _ => {}
        }
    }
    // The id of an event may follow its data.
    events
}

#[test]
fn q8_levels_come_as_they_change_and_a_client_that_comes_back_misses_none() {
    let fixture = Fixture::new();
    fixture.keep([about(1, "ann", "TA0001", 45)]);
    let mut stream = open_levels(&fixture, "", None);
    fixture.keep([about(2, "ann", "TA0006", 45)]);
    // No level changes by it.
    fixture.keep([about(3, "carl", "TA0001", 10)]);
    fixture.keep([about(4, "bob", "TA0001", 45)]);
    let seen = level_events(&read_for(&mut stream, Duration::from_secs(2)));
    let said = |events: &[(u64, Value)]| -> Vec<String> {
        let word = |value: &Value| value.as_str().unwrap().to_owned();
        let said = events.iter().map(|(_, e)| {
            format!(
                "{} {} to {}",
                word(&e["entity"]),
                word(&e["previous_level"]),
                word(&e["level"])
            )
        });
        said.collect()
    };
    let (ann, bob) = ("user:ann medium to high", "user:bob low to medium");
    assert_eq!(said(&seen), [ann, bob]);
    assert_eq!(seen[0].1["cause"], "finding");
    assert!(seen[0].1["score"].as_f64().unwrap() >= 70.0, "{seen:?}");
    let ids: Vec<u64> = seen.iter().map(|(id, _)| *id).collect();
    assert!(0 < ids[0] && ids[0] < ids[1], "{ids:?}");

    // From the beginning, after the first of them, after the last.
    let first = "user:ann low to medium";
    assert_eq!(said(&levels_after(&fixture, "", Some(0))), [first, ann, bob]);
    assert_eq!(levels_after(&fixture, "", Some(ids[0])), seen[1..]);
    assert_eq!(levels_after(&fixture, "", Some(ids[1])), []);
    assert_eq!(said(&levels_after(&fixture, "?level=high", Some(0))), [ann]);

    for query in ["?level=severe", "?levle=high"] {
        fixture.get(&format!("/api/v1/risk/stream{query}")).is(400);
    }
    let token = |role: Role| Some(fixture.secrets[&role].as_str());
    let wrong = [("last-event-id", "abc")];
    fixture.send(token(Role::Viewer), "GET", "/api/v1/risk/stream", &wrong, b"").is(400);
    fixture.send(token(Role::Ingest), "GET", "/api/v1/risk/stream", &[], b"").is(403);
    fixture.send(None, "GET", "/api/v1/risk/stream", &[], b"").is(401);
}
