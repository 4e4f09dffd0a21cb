//! Dead letters of a running service from the command line: looked at, replayed in vain, replayed with
//! success once the mapping is mended, thrown away.

use std::fs;

use serde_json::{Value, json};

use crate::support::{
    Run, Scratch, okta, root,
    service::{Home, Service},
    sluice_as,
};

/// `sluice dlq ..` with the address and token of a service.
fn dlq(service: &Service, arguments: &[&str]) -> Run {
    let arguments = [&["dlq"], arguments, &["--url", service.url.as_str()]].concat();
    sluice_as(&arguments, &[("SLUICE_TOKEN", &service.token)], b"")
}

fn only(run: Run) -> Value {
    let rows = run.exits(0).rows();
    assert_eq!(rows.len(), 1, "{rows:?}");
    rows[0].clone()
}

#[test]
fn a_mended_mapping_takes_what_was_set_aside() {
    let shipped = root().join("ingest/mappings/okta.system/authentication.sql");
    let shipped = fs::read_to_string(shipped).unwrap();
    // Its tests are for `mapping test`.
    let shipped = shipped.split("/*--- tests").next().unwrap();
    let file = "mappings/okta.system/authentication.sql";
    let scratch = Scratch::new();
    // This one misses what begins a session.
    let wrong = shipped.replace("'user.session.%'", "'user.sessions.%'");
    assert_ne!(wrong, shipped);
    scratch.write(file, &wrong);
    let mappings = scratch.path("mappings");
    let home = Home::within(
        scratch,
        &format!(
            "mappings = [\"{mappings}\"]\n[sources.push]\nmapping = \"okta.system\"\nhttp = {{}}\n"
        ),
    );
    let service = home.start();
    service.push("not \u{1b}[2J json").is(422);
    service.push(&okta("ann")).is(202);
    service.wait_for("both", || service.status()["store"]["dead_letters"] == 2);

    let bad = only(dlq(&service, &["list", "--code", "bad_json"]));
    let id = bad["id"].as_str().unwrap();
    assert_eq!(
        (&bad["input"], &bad["place"], &bad["attempts"]),
        (&json!("push"), &json!("push"), &json!(0))
    );
    let shown = dlq(&service, &["show", id, "--output", "table"]).exits(0);
    assert!(!shown.stdout.contains('\u{1b}'), "{:?}", shown.stdout);
    shown.prints(&["bad_json", "not \\u{1b}[2J json"]);
    let all = dlq(&service, &["list"]).exits(0).rows();
    let missed = all.iter().find(|letter| letter["id"] != id).unwrap();
    assert_eq!(missed["code"], "no_mapping", "{missed}");
    let received = missed["received_at"].as_str().unwrap();
    let missed = missed["id"].as_str().unwrap();

    // As bad as before: both stay, and the attempt is counted.
    dlq(&service, &["replay", "--source", "okta.system"])
        .exits(1)
        .says(&["0 replayed, 2 failed again"]);
    for letter in dlq(&service, &["list"]).exits(0).rows() {
        assert_eq!(letter["attempts"], 1, "{letter}");
    }

    home.scratch.write(file, shipped);
    let report = service.post("/api/v1/reload", &json!({})).is(200).json();
    assert_eq!(report["applied"], true, "{report}");
    dlq(&service, &["replay", missed]).exits(0).says(&["1 replayed, 0 failed again"]);
    let hunt = json!({"sql": "SELECT user_name, ingest_time FROM authentication"});
    let rows = service.post("/api/v1/hunts", &hunt).is(200).json()["rows"].clone();
    assert_eq!(rows, json!([{"user_name": "ann", "ingest_time": received}]));
    service.wait_for("its finding", || service.total("ann") == Some(1));
    assert_eq!(service.status()["conservation_errors"], json!([]));

    assert_eq!(only(dlq(&service, &["list"]))["id"], id);
    dlq(&service, &["show", missed]).exits(3);
    dlq(&service, &["drop", id, "--yes"]).exits(0).says(&["1 dropped"]);
    assert_eq!(dlq(&service, &["list"]).exits(0).rows(), Vec::<Value>::new());
    assert_eq!(service.status()["store"]["dead_letters"], 0);
    service.stop();
}
