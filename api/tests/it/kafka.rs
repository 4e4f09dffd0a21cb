//! A topic of Kafka with all that can be wrong in one, from the broker to findings and dead letters.

use std::{collections::BTreeMap, fs};

use serde_json::{Value, json};

use crate::support::{
    Scratch,
    kafka::Broker,
    okta, root,
    service::{Home, Service},
    sluice, sluice_as,
};

fn letters(service: &Service) -> Vec<Value> {
    let arguments = ["dlq", "list", "--url", service.url.as_str()];
    sluice_as(&arguments, &[("SLUICE_TOKEN", &service.token)], b"").exits(0).rows()
}

#[test]
fn bad_records_are_set_aside_with_their_place_and_good_ones_are_found() {
    let Some(broker) = Broker::own(1) else { return };
    // The shipped mapping, and who the record came from, as its header says.
    let shipped = root().join("ingest/mappings/okta.system/authentication.sql");
    let shipped = fs::read_to_string(shipped).unwrap();
    let mapping = shipped
        .split("/*--- tests")
        .next()
        .unwrap()
        .replace("  uuid: string\n", "  uuid: string\n  _headers: json\n  _key: string\n")
        .replace(
            "outcome.reason AS status_detail",
            "json_get_str(_headers, 'agent') AS status_detail",
        );
    assert!(mapping.contains("_headers: json") && mapping.contains("'agent'"));
    let scratch = Scratch::new();
    scratch.write("mappings/okta.system/authentication.sql", mapping);
    let mappings = scratch.path("mappings");
    let home = Home::within(
        scratch,
        &format!(
            "mappings = [\"{mappings}\"]\n[sources.okta]\nmapping = \"okta.system\"\n\
             kafka = {{ brokers = \"{}\", topics = [\"okta\"], group = \"sluice\", \
             start = \"earliest\" }}\n",
            broker.bootstrap()
        ),
    );

    let reader = ["parse.headers=true", "parse.key=true", "null.marker=NULL"];
    let good = |user: &str| format!("agent:a-{user}\tkey-{user}\t{}\n", okta(user));
    let huge = format!("agent:h\tk\t{{\"huge\":\"{}\"}}\n", "x".repeat(30 << 20));
    let lines = [
        good("ann"),
        "agent:n\tk\tNULL\n".to_owned(),
        "agent:e\tk\t\n".to_owned(),
        "agent:b\tk\t{\"cut off\n".to_owned(),
        good("bob"),
        huge,
        "agent:m\tk\t{\"eventType\":\"unknown\"}\n".to_owned(),
        good("cid"),
    ];
    broker.send("okta", &lines.concat(), &reader);

    // Before anything runs, the configuration can be tried out on what is there.
    let check = ["config", "check", "--connect", "--config", &home.config];
    let tried = sluice(&check).exits(0);
    for text in ["\"ann\"", "okta", "user_name"] {
        assert!(tried.stdout.contains(text), "no {text} in {}\n{}", tried.stdout, tried.stderr);
    }

    let service = home.start();
    service.wait_for("findings in the index", || service.total("") == Some(3));
    service.wait_for("dead letters", || service.status()["store"]["dead_letters"] == 5);
    let found: BTreeMap<String, (String, u64)> = letters(&service)
        .into_iter()
        .map(|l| {
            let place = l["place"].as_str().unwrap().to_owned();
            let code = l["code"].as_str().unwrap().to_owned();
            (format!("{place}@{}", l["offset"]), (code, l["length"].as_u64().unwrap()))
        })
        .collect();
    let expected = [
        (1, "empty", 0),
        (2, "empty", 0),
        (3, "bad_json", 9),
        (5, "too_large", (30 << 20) + 11),
        (6, "not_this_source", 23),
    ];
    let expected: BTreeMap<String, (String, u64)> = expected
        .into_iter()
        .map(|(offset, code, length)| (format!("okta:okta/0@{offset}"), (code.to_owned(), length)))
        .collect();
    assert_eq!(found, expected);

    // What came around a record is there for its mapping.
    let sql = "SELECT user_name, status_detail FROM authentication ORDER BY user_name";
    let rows = service.post("/api/v1/hunts", &json!({"sql": sql})).is(200).json();
    let names = ["ann", "bob", "cid"];
    let expected = names.map(|n| json!({"user_name": n, "status_detail": format!("a-{n}")}));
    assert_eq!(rows["rows"], json!(expected));

    let records = service.records(0);
    assert_eq!(
        (&records["received"], &records["balanced"]),
        (&json!(8), &json!(true)),
        "{records}"
    );
    service.wait_for("no lag", || service.get("/api/v1/sources").json()["items"][0]["lag"] == 0);
    // A restart reads none of it again.
    service.stop();
    let service = home.start();
    broker.send("okta", &good("dora"), &reader);
    service.wait_for("one more", || service.total("") == Some(4));
    assert_eq!(service.records(0)["received"], 1);
    assert_eq!(letters(&service).len(), 5);
    service.stop();
}
