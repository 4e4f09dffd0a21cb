//! Findings: search and paging, one of them, triage and its conflicts, many at once.

use serde_json::json;
use sluice_finding::Finding;
use sluice_rule::Severity;

use super::{node::finding, *};

fn some(n: u128) -> Finding {
    let severity = if n.is_multiple_of(2) { Severity::High } else { Severity::Low };
    finding(n, 1_000 * i64::try_from(n).unwrap(), "identity.x", severity)
}

fn ids(page: &Value) -> Vec<u128> {
    let items = page["items"].as_array().unwrap().iter();
    items.map(|i| u128::from_str_radix(i["id"].as_str().unwrap(), 16).unwrap()).collect()
}

#[test]
fn the_list_is_newest_first_with_total_and_facets() {
    let fixture = Fixture::new();
    fixture.commit((1..=5).map(some));
    let page = fixture.get("/api/v1/findings?q=rule_id:identity.x&facets=severity").is(200).json();
    assert_eq!(ids(&page), [5, 4, 3, 2, 1]);
    assert_eq!(page["total"], json!({"value": 5, "relation": "eq"}));
    assert_eq!(page["facets"]["severity"][1], json!({"value": "high", "count": 2}));
    assert_eq!(page["next_cursor"], Value::Null);
    assert_eq!(page["items"][0]["status"], "new");
    assert_eq!(page["items"][0]["window_end"], "1970-01-01T00:00:05.000Z");
    // Event text is text: it comes back as it was, in JSON.
    assert_eq!(page["items"][0]["fields"]["user_name"], "<img src=x>");
    let page = fixture
        .get("/api/v1/findings?from=1970-01-01T00:00:02Z&to=1970-01-01T00:00:04Z")
        .is(200)
        .json();
    assert_eq!(ids(&page), [3, 2]);
}

#[test]
fn pages_are_complete_and_stable_while_findings_arrive() {
    let fixture = Fixture::new();
    fixture.commit((1..=25).map(some));
    let mut seen = Vec::new();
    let mut path = "/api/v1/findings?limit=10".to_owned();
    loop {
        let page = fixture.get(&path).is(200).json();
        seen.extend(ids(&page));
        fixture.keep([some(1_000 + seen.len() as u128)]);
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/api/v1/findings?limit=10&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen, (1..=25).rev().collect::<Vec<_>>());
}

#[test]
fn a_cursor_is_only_good_for_its_own_list() {
    let fixture = Fixture::new();
    fixture.commit((1..=5).map(some));
    let page = fixture.get("/api/v1/findings?limit=2&q=finding").is(200).json();
    let cursor = page["next_cursor"].as_str().unwrap();
    fixture.get(&format!("/api/v1/findings?limit=2&q=finding&cursor={cursor}")).is(200);
    let mut tampered = cursor.to_owned();
    tampered.replace_range(4..5, if cursor.as_bytes()[4] == b'A' { "B" } else { "A" });
    for path in [
        format!("/api/v1/findings?q=finding&cursor={tampered}"),
        format!("/api/v1/findings?q=other&cursor={cursor}"),
        format!("/api/v1/findings?q=finding&from=now-1h&cursor={cursor}"),
        format!("/api/v1/dead-letters?cursor={cursor}"),
        "/api/v1/findings?cursor=x".to_owned(),
        format!("/api/v1/findings?cursor={}", "A".repeat(4_000)),
    ] {
        fixture.get(&path).is(400).problem("invalid_cursor");
    }
}

#[test]
fn bad_parameters_and_queries_are_refused_with_their_name() {
    let fixture = Fixture::new();
    for (path, code, needle) in [
        ("limit=1e9", "invalid_parameter", "limit"),
        ("limit=-1", "invalid_parameter", "limit"),
        ("limit=0", "invalid_parameter", "limit"),
        ("from=yesterday", "invalid_parameter", "from"),
        ("to=now%2B1h", "invalid_parameter", "to"),
        ("facets=a,,b", "invalid_parameter", "facets"),
        ("limit=5&limit=6", "invalid_parameter", "limit"),
        ("q=((((", "invalid_query", ""),
        ("q=*^2", "invalid_query", ""),
    ] {
        let problem = fixture.get(&format!("/api/v1/findings?{path}")).is(400).problem(code);
        assert!(problem["detail"].as_str().unwrap().contains(needle), "{path}: {problem}");
    }
    let problem = fixture.get("/api/v1/findings?q=rul_id:x").problem("invalid_query");
    assert_eq!(problem["errors"][0]["column"], 1, "{problem}");
    assert!(problem["hint"].as_str().unwrap().contains("rule_id"), "{problem}");
    let long = format!("/api/v1/findings?q={}", "a".repeat(5_000));
    fixture.get(&long).is(400).problem("invalid_parameter");
    fixture
        .get(&format!("/api/v1/findings?q={}", "a".repeat(9_000)))
        .is(414)
        .problem("uri_too_long");
}

#[test]
fn one_finding_has_its_evidence_history_and_version() {
    let fixture = Fixture::new();
    fixture.commit([some(7)]);
    let path = "/api/v1/findings/00000000000000000000000000000007";
    let answer = fixture.get(path).is(200);
    assert_eq!(answer.header("etag"), "\"0\"");
    assert_eq!(answer.json()["evidence"], json!([{"user_name": "ann"}]));
    assert_eq!(answer.json()["history"], json!([]));
    for id in [
        "00000000000000000000000000000008",
        "7",
        "..%2f7",
        "%00",
        "x",
        "+0000000000000000000000000000007",
    ] {
        fixture.get(&format!("/api/v1/findings/{id}")).is(404).problem("not_found");
    }
}

#[test]
fn triage_is_kept_with_who_and_when_and_a_slower_one_is_told() {
    let fixture = Fixture::new();
    fixture.commit([some(7)]);
    let path = "/api/v1/findings/00000000000000000000000000000007";
    let patch = |version: &str, body: Value| {
        let token = &fixture.secrets[&Role::Analyst];
        let headers = [("content-type", "application/json"), ("if-match", version)];
        fixture.send(Some(token), "PATCH", path, &headers, body.to_string().as_bytes())
    };
    let answer = patch("\"0\"", json!({"status": "in_progress", "assignee": "bob"})).is(200);
    assert_eq!(answer.header("etag"), "\"1\"");
    assert_eq!(answer.json()["history"][0]["by"], "analyst");
    let problem = patch("\"0\"", json!({"comment": "x"})).is(412).problem("version_mismatch");
    assert!(problem["hint"].as_str().unwrap().contains("\"1\""));
    patch("3", json!({"comment": "x"})).is(400).problem("invalid_parameter");
    let answer = patch("*", json!({"assignee": null})).is(200).json();
    assert_eq!(answer.get("assignee"), None);
    assert_eq!(answer["history"][1]["assignee"], Value::Null);
    patch("\"2\"", json!({"status": "resolved"})).is(422).problem("unprocessable");
    let answer = patch("\"2\"", json!({"status": "resolved", "reason": "benign"})).is(200).json();
    assert_eq!((&answer["status"], &answer["version"]), (&json!("resolved"), &json!(3)));
    for body in [
        json!({"status": "closed"}),
        json!({"status": "resolved", "reason": "bored"}),
        json!({"assignee": "a\u{0}b"}),
        json!({"assignee": ""}),
        json!({"assignee": 5}),
        json!({"comment": "x".repeat(5_000)}),
        json!({"owner": "bob"}),
        json!([]),
    ] {
        patch("*", body.clone()).is(400).problem("invalid_body");
    }
    patch("*", json!({})).is(422).problem("unprocessable");
}

#[test]
fn many_are_changed_at_once_each_with_its_outcome() {
    let fixture = Fixture::new();
    fixture.commit((1..=4).map(some));
    let id = |n: u128| format!("{n:032x}");
    let outcome = fixture
        .post(
            "/api/v1/findings/bulk",
            json!({"ids": [id(1), id(9), "x"], "status": "resolved", "reason": "duplicate"}),
        )
        .is(200)
        .json();
    assert_eq!((&outcome["changed"], &outcome["failed"]), (&json!(1), &json!(2)));
    assert_eq!(outcome["items"][0], json!({"id": id(1), "ok": true, "version": 1}));
    assert_eq!(outcome["items"][1]["code"], "not_found");
    let outcome = fixture
        .post("/api/v1/findings/bulk", json!({"query": "rule_id:identity.x", "assignee": "bob"}))
        .is(200)
        .json();
    assert_eq!((&outcome["changed"], &outcome["more"]), (&json!(4), &json!(false)));
    for body in [
        json!({"status": "new"}),
        json!({"ids": [], "status": "new"}),
        json!({"ids": vec![id(1); 501], "status": "new"}),
        json!({"ids": [id(1)], "query": "x", "status": "new"}),
        json!({"ids": [id(1)], "from": "now-1h", "status": "new"}),
    ] {
        fixture.post("/api/v1/findings/bulk", body).is(400).problem("invalid_body");
    }
    fixture
        .post("/api/v1/findings/bulk", json!({"ids": [id(1)], "status": "resolved"}))
        .is(422)
        .problem("unprocessable");
    fixture
        .post("/api/v1/findings/bulk", json!({"query": "((((", "status": "new"}))
        .is(400)
        .problem("invalid_query");
}

#[test]
fn findings_of_rules_on_trial_are_left_out_and_counted() {
    let fixture = Fixture::new();
    let trial = |n: u128| Finding { shadow: true, ..some(n) };
    fixture.commit([some(1), trial(2), trial(3), some(4)]);
    let page = fixture.get("/api/v1/findings?facets=severity").is(200).json();
    assert_eq!(ids(&page), [4, 1]);
    assert_eq!(page["total"]["value"], 2);
    assert_eq!(page["shadow_total"], json!({"value": 2, "relation": "eq"}));
    let facets = page["facets"]["severity"].as_array().unwrap().iter();
    assert_eq!(facets.map(|f| f["count"].as_u64().unwrap()).sum::<u64>(), 2);
    let page = fixture.get("/api/v1/findings?include=shadow").is(200).json();
    assert_eq!((ids(&page), &page["total"]["value"]), (vec![4, 3, 2, 1], &json!(4)));
    assert_eq!(page["shadow_total"]["value"], 2);
    let page = fixture.get("/api/v1/findings?include=shadow&q=shadow:true").is(200).json();
    assert_eq!(ids(&page), [3, 2]);
    fixture.get("/api/v1/findings?include=all").is(400).problem("invalid_parameter");
    let bulk = |body: Value| fixture.post("/api/v1/findings/bulk", body).is(200).json();
    assert_eq!(bulk(json!({"query": "", "assignee": "bob"}))["changed"], 2);
    let both = json!({"query": "", "include": "shadow", "assignee": "eve"});
    assert_eq!(bulk(both)["changed"], 4);
}

#[test]
fn a_change_of_many_names_each_once() {
    let fixture = Fixture::new();
    fixture.keep([some(10)]);
    let id = format!("{:032x}", 10);
    for ids in [json!([id, id]), json!([id, id.to_uppercase()]), json!(vec![&id; 500])] {
        let body = json!({"ids": ids, "comment": "x"});
        let problem = fixture.post("/api/v1/findings/bulk", body).is(400).problem("invalid_body");
        assert!(problem["detail"].as_str().unwrap().contains("twice"), "{problem}");
    }
}

#[test]
fn an_array_is_no_object() {
    let fixture = Fixture::new();
    fixture.keep([some(7)]);
    for (method, path, body) in [
        ("POST", "/api/v1/dead-letters/replay", json!([null, null, null, null, true])),
        ("POST", "/api/v1/dead-letters/drop", json!([null, null, null, null, true])),
        ("POST", "/api/v1/hunts", json!(["SELECT 1", null, null, null])),
        ("POST", "/api/v1/findings/bulk", json!([[format!("{:032x}", 7)], null])),
        (
            "PATCH",
            "/api/v1/findings/00000000000000000000000000000007",
            json!(["resolved", "benign"]),
        ),
    ] {
        fixture.ask(Role::Admin, method, path, Some(body)).is(400).problem("invalid_body");
    }
}

#[test]
fn what_fails_behind_the_api_shows_nothing_of_itself() {
    use axum::response::IntoResponse;
    let secret = sluice_engine::EngineError::Commit("a secret path of the disk".into());
    let problem = super::super::problem::Problem::from(secret);
    assert!(!problem.text().contains("secret"), "{}", problem.text());
    let response = problem.into_response();
    assert_eq!(
        (response.status(), &response.headers()["retry-after"]),
        (503.try_into().unwrap(), &"5".parse().unwrap())
    );
    let panicked = super::super::finish::panicked(Box::new("a secret of the index"));
    let problem = panicked.extensions().get::<super::super::problem::Problem>().unwrap();
    assert_eq!((panicked.status().as_u16(), problem.code()), (500, "internal"));
    assert!(!problem.text().contains("secret"), "{}", problem.text());
}

#[test]
fn search_that_is_down_says_so_and_shows_no_path() {
    let dir = tempfile::tempdir().unwrap();
    let config = node::config(dir.path());
    std::fs::create_dir_all(&config.data_dir).unwrap();
    // Where the folder of the index should be.
    std::fs::write(config.data_dir.join("index"), "x").unwrap();
    std::fs::write(config.data_dir.join("node.key"), [7; 16]).unwrap();
    let node = node::start(&config);
    let app = app(&config, &node, Arc::new(Default::default)).unwrap();
    let token = app.tokens.create("ann", Role::Viewer, None, None, 0).unwrap();
    let settings =
        HttpSettings { listen: SocketAddr::from(([127, 0, 0, 1], 0)), ..HttpSettings::default() };
    let server = serve(app, settings).unwrap();
    let agent: ureq::Agent =
        ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let request = agent.get(format!("http://{}/api/v1/findings", server.address()));
    let mut answer = request.header("authorization", format!("Bearer {token}")).call().unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["retry-after"]),
        (503, &"10".parse().unwrap())
    );
    let text = answer.body_mut().read_to_string().unwrap();
    assert!(!text.contains(dir.path().to_str().unwrap()), "{text}");
}
