//! Records that claim the id of another record: what is known stays, what they say is a finding of its
//! own, and both are counted. Not duplicates, which say the same and change nothing.

use serde_json::{Value, json};

use crate::support::{
    Scratch,
    kafka::Broker,
    okta,
    service::{Home, Service},
    sluice,
};

/// A record with the id `uuid` that says it was `user`.
fn record(uuid: &str, user: &str) -> String {
    let record = okta(user);
    let other = record.replace(&format!("\"uuid\":\"{user}\""), &format!("\"uuid\":\"{uuid}\""));
    assert!(uuid == user || other != record);
    other
}

fn push(service: &Service, input: &str, record: &str) {
    let path = format!("/api/v1/ingest/{input}");
    service.ask("POST", &path, "application/x-ndjson", record).is(202);
}

/// The findings, those that contest another last.
fn findings(service: &Service) -> Vec<Value> {
    let mut items = service.search("", "").is(200).json()["items"].as_array().unwrap().clone();
    items.sort_by_key(|item| item["contested"].as_bool().unwrap());
    items
}

fn detail(service: &Service, finding: &Value) -> Value {
    let id = finding["id"].as_str().unwrap();
    service.get(&format!("/api/v1/findings/{id}")).is(200).json()
}

#[track_caller]
fn contested(service: &Service, expected: u64) {
    let sources = service.get("/api/v1/sources").is(200).json();
    assert_eq!(sources["contested"], json!({"okta.system": expected}));
    let line = format!("sluice_contested_findings_total{{source=\"okta.system\"}} {expected}");
    let metrics = service.get("/metrics").is(200).text;
    assert!(metrics.lines().any(|l| l == line), "no `{line}` in\n{metrics}");
}

#[test]
fn a_record_with_a_known_id_changes_no_finding_from_any_input() {
    let home = Home::new("[sources.other]\nmapping = \"okta.system\"\nhttp = {}\n");
    let service = home.start();
    push(&service, "push", &record("u1", "ann"));
    service.wait_for("a finding", || service.total("") == Some(1));
    let first = detail(&service, &findings(&service)[0]);
    let path = format!("/api/v1/findings/{}", first["id"].as_str().unwrap());
    let change = json!({"status": "in_progress"}).to_string();
    service.ask("PATCH", &path, "application/json", &change).is(200);
    let first = detail(&service, &first);

    // Another input, then the same one, with other people; then what is known by another way.
    push(&service, "other", &record("u1", "eve"));
    service.wait_for("a second finding", || service.total("") == Some(2));
    push(&service, "push", &record("u1", "mal"));
    service.wait_for("a third finding", || service.total("") == Some(3));
    push(&service, "other", &record("u1", "ann"));
    push(&service, "push", &record("u1", "eve"));
    push(&service, "push", &record("u2", "zoe"));
    service.wait_for("a fourth finding", || service.total("") == Some(4));

    assert_eq!(detail(&service, &first), first);
    let all = findings(&service);
    let users: Vec<(bool, &str)> = all
        .iter()
        .map(|f| (f["contested"].as_bool().unwrap(), f["fields"]["user_name"].as_str().unwrap()))
        .collect();
    for expected in [(false, "ann"), (false, "zoe"), (true, "eve"), (true, "mal")] {
        assert!(users.contains(&expected), "{users:?}");
    }
    contested(&service, 2);
    // A restart knows them all.
    service.stop();
    let service = home.start();
    push(&service, "push", &record("u1", "eve"));
    push(&service, "push", &record("u3", "kim"));
    service.wait_for("a fifth finding", || service.total("") == Some(5));
    assert_eq!(detail(&service, &first), first);
    service.stop();
}

#[test]
fn a_pushed_record_changes_no_finding_of_a_kafka_topic() {
    let Some(broker) = Broker::own(1) else { return };
    let home = Home::new(&format!(
        "[sources.okta]\nmapping = \"okta.system\"\nkafka = {{ brokers = \"{}\", \
         topics = [\"okta\"], group = \"sluice\", start = \"earliest\" }}\n",
        broker.bootstrap()
    ));
    broker.produce("okta", [record("u1", "ann").as_str()].into_iter());
    let service = home.start();
    service.wait_for("a finding", || service.total("") == Some(1));
    let first = detail(&service, &findings(&service)[0]);
    push(&service, "push", &record("u1", "eve"));
    service.wait_for("a second finding", || service.total("") == Some(2));
    assert_eq!(detail(&service, &first), first);
    contested(&service, 1);
    service.stop();
}

#[test]
fn eval_says_which_findings_are_contested() {
    let scratch = Scratch::new();
    let rules = scratch.path("rules");
    scratch.write("rules/one.sql", crate::support::rule("one", crate::support::REFUSED));
    let file = scratch.write(
        "okta.json",
        [record("u1", "ann"), record("u1", "ann"), record("u1", "eve"), record("u1", "eve")]
            .join("\n"),
    );
    let arguments = ["eval", "--rules", &rules, "--output", "ndjson", &file];
    let run = sluice(&arguments).exits(0);
    let rows = run.rows();
    let said: Vec<(&Value, &Value)> =
        rows.iter().map(|f| (&f["fields"]["user_name"], &f["contested"])).collect();
    assert_eq!(said, [(&json!("ann"), &json!(false)), (&json!("eve"), &json!(true))]);
    assert!(run.stderr.contains("okta.system: 1 findings are contested"), "{}", run.stderr);
}

#[test]
fn names_given_twice_are_counted_or_refused() {
    let scratch = Scratch::new();
    let rules = scratch.path("rules");
    scratch.write("rules/one.sql", crate::support::rule("one", crate::support::REFUSED));
    let twice = okta("ann").replace("\"actor\":", "\"actor\":{\"alternateId\":\"bob\"},\"actor\":");
    let wrapped = json!({"log": okta("cid"), "stream": "stdout"}).to_string();
    let wrapped = wrapped.replacen('{', "{\"time\":\"2026-01-01T00:00:00Z\",\"log\":\"x\",", 1);
    let file = scratch.write("okta.json", [twice, wrapped, okta("dan")].join("\n"));
    let eval = |more: &[&str]| {
        let arguments =
            ["eval", "--source", "okta.system", "--rules", &rules, "--output", "ndjson"];
        sluice(&[&arguments[..], more, &[&file]].concat()).exits(0)
    };
    let users = |run: &crate::support::Run| {
        let rows = run.rows();
        rows.iter()
            .map(|f| f["fields"]["user_name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let run = eval(&[]);
    assert_eq!(users(&run), ["ann", "cid", "dan"]);
    assert!(run.stderr.contains("twice: 1 fields"), "{}", run.stderr);
    let run = eval(&["--duplicate-keys", "set_aside"]);
    assert_eq!(users(&run), ["dan"]);
    for text in
        ["set aside: 2 duplicate_keys", "an object has the name `actor` twice", "`log` twice"]
    {
        assert!(run.stderr.contains(text), "no {text} in {}", run.stderr);
    }
}

#[test]
fn an_input_refuses_names_given_twice_if_it_is_set_to() {
    let home = Home::new(
        "[sources.strict]\nmapping = \"okta.system\"\nduplicate_keys = \"set_aside\"\nhttp = {}\n",
    );
    let service = home.start();
    let twice = okta("ann").replace("\"uuid\":", "\"uuid\":\"other\",\"uuid\":");
    push(&service, "push", &twice);
    let path = "/api/v1/ingest/strict";
    let body = format!("{twice}\n{}", okta("bob"));
    let answer = service.ask("POST", path, "application/x-ndjson", &body).is(202).json();
    assert!(answer.to_string().contains("duplicate_keys"), "{answer}");
    service.wait_for("two findings", || service.total("") == Some(2));
    let items = service.get("/api/v1/sources").is(200).json()["items"].clone();
    let of = |name: &str| items.as_array().unwrap().iter().find(|i| i["name"] == name).unwrap();
    assert_eq!(of("push")["records"]["duplicate_keys"], 1);
    assert_eq!(of("strict")["records"]["dead_letters"], json!({"duplicate_keys": 1}));
    service.stop();
}
