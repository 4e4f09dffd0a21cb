//! Hunts: the formats, the limits, and what SQL is refused (B-16 to B-23).

use serde_json::json;
use sluice_finding::Finding;

use super::{risk::about, *};

fn hunt(fixture: &Fixture, sql: &str) -> Answer {
    fixture.post("/api/v1/hunts", json!({"sql": sql}))
}

fn accepting(fixture: &Fixture, accept: &str, body: &Value) -> Answer {
    let token = Some(fixture.secrets[&Role::Analyst].as_str());
    let headers = [("content-type", "application/json"), ("accept", accept)];
    fixture.send(token, "POST", "/api/v1/hunts", &headers, body.to_string().as_bytes())
}

#[test]
fn rows_come_with_their_costs_and_bounds() {
    let fixture = Fixture::new();
    let sql = "SELECT user_name, time FROM authentication ORDER BY time";
    let answer = fixture.post("/api/v1/hunts", json!({"sql": sql, "limit": 2})).is(200).json();
    assert_eq!(answer["columns"][0]["name"], "user_name");
    assert_eq!(answer["rows"][0], json!({"user_name": "=1+1", "time": "1970-01-01T00:16:40.000Z"}));
    assert_eq!(answer["rows"].as_array().unwrap().len(), 2);
    assert_eq!(answer["truncated"], true);
    assert_eq!(answer["rows_scanned"], 100);
    assert_eq!(answer["covers_from"]["authentication"], "1970-01-01T00:16:40.000Z");
    let between = json!({
        "sql": "SELECT count(*) AS n FROM authentication",
        "from": "1970-01-01T00:16:50Z", "to": "1970-01-01T00:17:00Z"
    });
    let answer = fixture.post("/api/v1/hunts", between).is(200).json();
    assert_eq!((&answer["rows"][0]["n"], &answer["rows_scanned"]), (&json!(10), &json!(10)));
    let nothing = json!({"sql": "SELECT user_name FROM authentication", "from": "now-1h"});
    let answer = fixture.post("/api/v1/hunts", nothing).is(200).json();
    assert_eq!((&answer["rows"], &answer["truncated"]), (&json!([]), &json!(false)));
    for body in [
        json!({"sql": "SELECT 1", "limit": 0}),
        json!({"sql": "SELECT 1", "limit": 1_000_000_000_u64}),
        json!({"sql": "SELECT 1", "limit": -1}),
        json!({}),
    ] {
        fixture.post("/api/v1/hunts", body).is(400).problem("invalid_body");
    }
}

#[test]
fn the_format_is_the_one_accepted_and_csv_is_no_formula() {
    let fixture = Fixture::new();
    let body = json!({"sql": "SELECT user_name FROM authentication ORDER BY time", "limit": 2});
    let csv = accepting(&fixture, "text/csv", &body).is(200);
    assert_eq!(csv.text(), "\"user_name\"\r\n\"'=1+1\"\r\n\"ann1\"\r\n");
    assert_eq!(csv.header("content-type"), "text/csv; charset=utf-8");
    assert_eq!(csv.header("sluice-truncated"), "true");
    assert_eq!(csv.header("sluice-rows-scanned"), "100");
    let ndjson = accepting(&fixture, "application/x-ndjson", &body).is(200);
    assert_eq!(ndjson.text(), "{\"user_name\":\"=1+1\"}\n{\"user_name\":\"ann1\"}\n");
    let arrow = accepting(&fixture, "application/vnd.apache.arrow.stream", &body).is(200);
    let reader = arrow::ipc::reader::StreamReader::try_new(&arrow.body[..], None).unwrap();
    assert_eq!(reader.map(|b| b.unwrap().num_rows()).sum::<usize>(), 2);
    accepting(&fixture, "image/png", &body).is(406).problem("not_acceptable");
}

#[test]
fn m9_what_was_found_is_a_table_and_agrees_with_the_api() {
    let fixture = Fixture::new();
    let now = clock::now();
    let at =
        |back: i64, id, user, tactic| Finding { time: now - back, ..about(id, user, tactic, 45) };
    fixture.commit([
        at(3_000, 1, "ann", "TA0001"),
        at(2_000, 2, "ann", "TA0006"),
        at(1_000, 3, "bob", "TA0006"),
    ]);
    let id = format!("{:032x}", 3);
    let change = json!({"status": "resolved", "reason": "benign"});
    let path = format!("/api/v1/findings/{id}");
    fixture.ask(Role::Analyst, "PATCH", &path, Some(change)).is(200);
    fixture.indexed();
    let found = hunt(
        &fixture,
        "SELECT * FROM findings WHERE 'TA0006' = tactic_id AND entity_kind = 'user' ORDER BY time DESC",
    );
    let found = found.is(200).json();
    let shown = fixture.get("/api/v1/findings").is(200).json();
    assert_eq!(found["rows"].as_array().unwrap().len(), 2);
    for (row, item) in
        found["rows"].as_array().unwrap().iter().zip(shown["items"].as_array().unwrap())
    {
        for same in ["id", "time", "rule_id", "title", "severity", "risk", "status", "state", "seq"]
        {
            assert_eq!(row[same], item[same], "{same}");
        }
        assert_eq!(row["reason"], item.get("reason").cloned().unwrap_or(Value::Null));
        assert_eq!(row["user_entity"], item["entities"][0]["id"]);
        assert_eq!(row["entities"][0], format!("user:{}", row["user_entity"].as_str().unwrap()));
        assert_eq!(row["tactic_ids"], item["attack"]);
    }
    let sql = "SELECT i.id, i.findings, i.opened_by FROM incidents i \
               JOIN findings f ON array_has(i.finding_ids, f.id) WHERE f.tactic_id = 'TA0006'";
    let joined = hunt(&fixture, sql).is(200).json();
    let incident = &fixture.get("/api/v1/incidents").is(200).json()["items"][0];
    assert_eq!(joined["rows"][0]["id"], incident["id"]);
    assert_eq!(joined["rows"][0]["opened_by"], "risk_high");
    let risk = "SELECT entity_id, change_no, score, level, cause, cause_id, \
                previous_score, factors FROM entity_risk \
                WHERE user_entity = 'ann' ORDER BY change_no DESC";
    let rows = hunt(&fixture, risk).is(200).json();
    let entity = fixture.get("/api/v1/entities/user/ann").is(200).json();
    let last = &entity["changes"][0];
    for same in ["score", "level", "cause", "previous_score"] {
        assert_eq!(rows["rows"][0][same], last[same], "{same}: {entity}");
    }
    let factors: Value =
        serde_json::from_str(rows["rows"][0]["factors"].as_str().unwrap()).unwrap();
    assert_eq!(factors[0]["points"], entity["factors"][0]["points"], "{factors}");
    // The range is one of event time, for these tables too.
    let from = sluice_event::rfc3339(now - 1_500);
    let later = json!({"sql": "SELECT id FROM findings", "from": from});
    let later = fixture.post("/api/v1/hunts", later).is(200).json();
    assert_eq!(later["rows"], json!([{"id": id}]));
    assert_eq!(later["covers_from"]["findings"], sluice_event::rfc3339(now - 1_000));
}

#[test]
fn tables_of_what_was_found_are_there_when_nothing_was() {
    let fixture = Fixture::new();
    for table in ["findings", "incidents", "entity_risk"] {
        let sql = format!("SELECT count(*) AS n, max(time) AS newest FROM {table}");
        let answer = hunt(&fixture, &sql).is(200).json();
        assert_eq!(answer["rows"], json!([{"n": 0, "newest": null}]), "{table}");
    }
}

#[test]
fn a_table_is_read_under_the_role_of_the_reader() {
    let fixture = Fixture::new();
    let ask = |role: Role, sql: &str| {
        let token = Some(fixture.secrets[&role].as_str());
        let headers = [("content-type", "application/json")];
        let body = json!({"sql": sql}).to_string();
        fixture.send(token, "POST", "/api/v1/hunts", &headers, body.as_bytes())
    };
    let risk = "WITH r AS (SELECT * FROM \"entity_risk\") SELECT count(*) AS n FROM r";
    ask(Role::RuleAuthor, "SELECT 'entity_risk' AS n FROM findings").is(200);
    let refused = ask(Role::RuleAuthor, risk).is(403).problem("forbidden");
    assert!(refused["detail"].as_str().unwrap().contains("risk:read"), "{refused}");
    ask(Role::Analyst, risk).is(200);
}

#[test]
fn a_mistake_is_shown_where_it_is() {
    let fixture = Fixture::new();
    let problem =
        hunt(&fixture, "SELECT user_nam\nFROM authentication").is(400).problem("invalid_sql");
    let error = &problem["errors"][0];
    assert_eq!((&error["line"], &error["column"]), (&json!(1), &json!(8)), "{problem}");
    assert!(problem["hint"].as_str().unwrap().contains("user_name"), "{problem}");
}

#[test]
fn nothing_but_one_query_of_the_tables_is_run() {
    let fixture = Fixture::new();
    for sql in [
        // B-16
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
        // B-17
        "COPY (SELECT 1) TO '/tmp/x'",
        "INSERT INTO events SELECT * FROM events",
        "SET datafusion.execution.batch_size = 1",
        "BEGIN",
        "DROP VIEW v",
        // B-18
        "SELECT * FROM '/etc/passwd.csv'",
        "SELECT * FROM 'http://169.254.169.254/'",
        "SELECT * FROM read_parquet('/etc/passwd')",
        "SELECT * FROM information_schema.tables",
        // B-19
        "SELECT 1; DROP TABLE findings",
        "",
        "-- nothing",
    ] {
        hunt(&fixture, sql).is(400).problem("invalid_sql");
    }
    hunt(&fixture, &format!("SELECT '{}'", "a".repeat(70_000))).is(400).problem("invalid_sql");
}

#[test]
fn greed_ends_at_a_limit_and_others_go_on() {
    let fixture = Fixture::with(|settings| settings.hunt.deadline = Duration::from_secs(2));
    for sql in [
        // B-20
        "EXPLAIN ANALYZE SELECT count(*) FROM generate_series(1, 1000000000000) a",
        // B-21
        "SELECT count(*) FROM generate_series(1, 1000000000000000000) a, generate_series(1, 1000000000000000000) b",
        // B-22
        "SELECT repeat('a', 2000000000)",
        "SELECT array_repeat(1, 2000000000)",
        "SELECT range(0, 1000000000000)",
    ] {
        let answer = hunt(&fixture, sql);
        assert!([400, 408, 422].contains(&answer.status), "{sql}: {}", answer.text());
    }
    // B-23
    let joins = (0..5).map(|i| format!("authentication a{i}")).collect::<Vec<_>>().join(", ");
    let cross = format!("SELECT count(*) FROM {joins} WHERE a0.user_name <> a4.user_name");
    hunt(&fixture, &cross).is(408).problem("deadline");
    let list = (0..12_000).map(|i| i.to_string()).collect::<Vec<_>>().join(",");
    // A list is as long as the text may be; without optimisation planning it takes too long.
    let answer = hunt(&fixture, &format!("SELECT 1 WHERE 1 IN ({list})"));
    assert!([200, 408].contains(&answer.status), "{}", answer.text());
    let deep = format!("SELECT {}1{}", "(".repeat(500), ")".repeat(500));
    hunt(&fixture, &deep).is(400).problem("invalid_sql");
    hunt(&fixture, "SELECT 1 AS one").is(200);
}

#[test]
fn there_are_so_many_hunts_at_a_time() {
    let fixture = Fixture::with(|settings| {
        settings.hunts = 1;
        settings.hunt.deadline = Duration::from_secs(4);
    });
    let joins = (0..5).map(|i| format!("authentication a{i}")).collect::<Vec<_>>().join(", ");
    let cross = format!("SELECT count(*) FROM {joins} WHERE a0.user_name <> a4.user_name");
    std::thread::scope(|scope| {
        scope.spawn(|| hunt(&fixture, &cross).is(408));
        std::thread::sleep(Duration::from_millis(500));
        let answer = hunt(&fixture, "SELECT 1 AS one").is(429);
        answer.problem("too_many_requests");
        assert!((1..=60).contains(&answer.header("retry-after").parse::<u64>().unwrap()));
        fixture.get("/api/v1/rules").is(200);
    });
    hunt(&fixture, "SELECT 1 AS one").is(200);
}

/// Places of hunts that are held.
fn busy(fixture: &Fixture) -> u64 {
    let metrics = fixture.get("/metrics").text();
    let line = metrics.lines().find_map(|l| l.strip_prefix("sluice_pool_busy{pool=\"hunts\"} "));
    line.unwrap().parse::<f64>().unwrap() as u64
}

/// How long the work of a hunt may go on when it was cancelled or its time is over. Between two looks at
/// that a build without optimisation does ten times as much, behind all other work of a busy machine.
const FREE: Duration = Duration::from_secs(if cfg!(debug_assertions) { 30 } else { 1 });

/// Waits until no hunt works. A place is held until its threads have ended.
#[track_caller]
fn free(fixture: &Fixture) {
    let begun = clock::monotonic();
    while busy(fixture) > 0 {
        assert!(begun.elapsed() < FREE, "a hunt goes on");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Hunts that take long: by rows, and by work on values.
fn long(fixture: &Fixture) -> [String; 2] {
    let work = "SELECT max(levenshtein(repeat(a.user_name, 300), repeat(b.user_name, 300))) \
                FROM authentication a, authentication b";
    [cross(fixture), work.to_owned()]
}

fn cross(fixture: &Fixture) -> String {
    let joins = (0..5).map(|i| format!("authentication a{i}")).collect::<Vec<_>>().join(", ");
    assert_eq!(busy(fixture), 0);
    format!("SELECT count(*) FROM {joins} WHERE a0.user_name <> a4.user_name")
}

#[test]
fn row_7_work_of_every_kind_ends_when_it_is_cancelled_or_its_client_goes() {
    let fixture = Fixture::new();
    let token = Some(fixture.secrets[&Role::Admin].as_str());
    let headers = [("content-type", "application/json"), ("prefer", "respond-async")];
    for sql in long(&fixture) {
        let body = json!({"sql": sql}).to_string();
        let answer = fixture.send(token, "POST", "/api/v1/hunts", &headers, body.as_bytes());
        let place = answer.is(202).header("location").to_owned();
        let begun = || busy(&fixture) == 1 || fixture.get(&place).status != 202;
        wait_for("the hunt", begun);
        std::thread::sleep(Duration::from_millis(300));
        let answer = fixture.get(&place);
        assert_eq!(answer.status, 202, "it takes long: {sql:.120}: {}", answer.text());
        fixture.ask(Role::Admin, "DELETE", &place, None).is(200);
        free(&fixture);

        let head = fixture.head("POST /api/v1/hunts HTTP/1.1");
        let rest = format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len());
        let mut client = fixture.connect();
        client.write_all(format!("{head}{rest}\r\n{body}").as_bytes()).unwrap();
        wait_for("the hunt", || busy(&fixture) == 1);
        std::thread::sleep(Duration::from_millis(300));
        drop(client);
        free(&fixture);
    }
}

#[test]
fn row_7_a_hunt_ends_when_its_client_goes() {
    let fixture = Fixture::new();
    let body = json!({"sql": cross(&fixture)}).to_string();
    let head = fixture.head("POST /api/v1/hunts HTTP/1.1");
    let rest =
        format!("content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let mut clients: Vec<TcpStream> = (0..2).map(|_| fixture.connect()).collect();
    for client in &mut clients {
        client.write_all(format!("{head}{rest}").as_bytes()).unwrap();
    }
    // One of the two places is for others.
    wait_for("the hunt", || busy(&fixture) == 1);
    fixture
        .ask(Role::Analyst, "POST", "/api/v1/hunts", Some(json!({"sql": "SELECT 1 AS n"})))
        .is(200);
    drop(clients);
    free(&fixture);
    hunt(&fixture, "SELECT 1 AS one").is(200);
}

#[test]
fn row_7_a_hunt_ends_when_it_is_cancelled() {
    let fixture = Fixture::new();
    let body = json!({"sql": cross(&fixture)}).to_string();
    let headers = [("content-type", "application/json"), ("prefer", "respond-async")];
    let token = Some(fixture.secrets[&Role::Admin].as_str());
    let answer = fixture.send(token, "POST", "/api/v1/hunts", &headers, body.as_bytes()).is(202);
    wait_for("the hunt", || busy(&fixture) == 1);
    fixture.ask(Role::Admin, "DELETE", answer.header("location"), None).is(200);
    free(&fixture);
}

#[test]
fn row_7_a_hunt_ends_with_its_deadline() {
    let fixture = Fixture::with(|settings| settings.hunt.deadline = Duration::from_secs(1));
    hunt(&fixture, &cross(&fixture)).is(408).problem("deadline");
    free(&fixture);
    for sql in [
        // Work, not growth: the product of two megabytes.
        "SELECT levenshtein(repeat('ab', 500000), repeat('ba', 500000))".to_owned(),
        "SELECT max(strpos(repeat('a', 1000000), concat(repeat('a', 500000), u))) \
         FROM (SELECT user_name AS u FROM authentication LIMIT 5)"
            .to_owned(),
        // Growth, twice as much with each step.
        (0..25).fold("WITH t0 AS (SELECT 'ab' AS s)".to_owned(), |sql, i| {
            format!("{sql}, t{} AS (SELECT concat(s, s) AS s FROM t{i})", i + 1)
        }) + " SELECT length(s) FROM t25",
    ] {
        let begun = clock::monotonic();
        let answer = hunt(&fixture, &sql);
        assert!([400, 408, 422].contains(&answer.status), "{sql}: {}", answer.text());
        assert!(begun.elapsed() < Duration::from_secs(10), "{sql}: {:?}", begun.elapsed());
        free(&fixture);
    }
}

#[test]
fn an_answer_may_be_fetched_later_by_who_asked() {
    let fixture = Fixture::new();
    let ask = |sql: &str| {
        let body = json!({"sql": sql}).to_string();
        let headers = [("content-type", "application/json"), ("prefer", "respond-async, wait=1")];
        let token = Some(fixture.secrets[&Role::Analyst].as_str());
        let answer = fixture.send(token, "POST", "/api/v1/hunts", &headers, body.as_bytes());
        let place = answer.header("location").to_owned();
        (answer.is(202).json()["id"].as_str().unwrap().to_owned(), place)
    };
    let get = |role: Role, place: &str| fixture.ask(role, "GET", place, None);
    let (id, place) = ask("SELECT 1 AS one");
    assert_eq!(place, format!("/api/v1/hunts/{id}"));
    wait_for("the answer", || get(Role::Analyst, &place).status == 200);
    assert_eq!(get(Role::Analyst, &place).json()["rows"][0]["one"], 1);
    get(Role::Admin, &place).is(404).problem("not_found");
    let (_, wrong) = ask("SELECT nothing FROM authentication");
    wait_for("the problem", || get(Role::Analyst, &wrong).status == 400);
    get(Role::Analyst, &wrong).problem("invalid_sql");
    fixture.ask(Role::Analyst, "DELETE", &place, None).is(200);
    get(Role::Analyst, &place).is(404);
    let joins = (0..5).map(|i| format!("authentication a{i}")).collect::<Vec<_>>().join(", ");
    let cross = format!("SELECT count(*) FROM {joins} WHERE a0.user_name <> a4.user_name");
    let (_, long) = ask(&cross);
    let answer = get(Role::Analyst, &long).is(202);
    assert_eq!((answer.header("retry-after"), &answer.json()["state"]), ("1", &json!("running")));
    fixture.ask(Role::Analyst, "DELETE", &long, None).is(200);
    get(Role::Analyst, &long).is(404);
    // One forgotten, three kept: there are four at most.
    let kept: Vec<_> = (0..3).map(|_| ask("SELECT 1 AS one").1).collect();
    let headers = [("content-type", "application/json"), ("prefer", "respond-async")];
    let token = Some(fixture.secrets[&Role::Analyst].as_str());
    let answer =
        fixture.send(token, "POST", "/api/v1/hunts", &headers, br#"{"sql": "SELECT 1 AS one"}"#);
    answer.is(429).problem("too_many_requests");
    fixture.ask(Role::Analyst, "DELETE", &kept[0], None).is(200);
    ask("SELECT 1 AS one");
}
