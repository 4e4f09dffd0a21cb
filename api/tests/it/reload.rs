//! Rules and mappings that change under a running service: what it takes, what it refuses and why, and
//! that nothing it remembers or is sent gets lost.

use std::{
    fs, thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};

use crate::support::{REFUSED, okta, root, rule, service::Home};

/// Three refusals of one user within ten minutes.
const THREE: &str = "SELECT user_name, count(*) AS refusals\nFROM authentication\n\
    WHERE status = 'Failure'\nGROUP BY user_name, sliding(time, INTERVAL '10 minutes')\n\
    HAVING count(*) >= 3";

/// A refused sign-in of `user`, one of its own, now: what windows take must not be late.
fn refused(user: &str, uuid: &str) -> String {
    let time = sluice_event::rfc3339(clock());
    okta(user)
        .replace("2026-01-01T09:00:00.000Z", &time)
        .replace(&format!("\"uuid\":\"{user}\""), &format!("\"uuid\":\"{uuid}\""))
}

#[expect(clippy::disallowed_methods, reason = "what a sender would stamp")]
fn clock() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

fn changes(report: &Value) -> &Value {
    assert_eq!(report["applied"], true, "{report}");
    &report["rules"]
}

#[test]
fn a_window_half_full_is_kept_through_an_edit_of_the_title() {
    let home = Home::new("");
    home.scratch.write("rules/three.sql", rule("three", THREE));
    let service = home.start();
    service.push(&[refused("ann", "1"), refused("ann", "2")].join("\n")).is(202);
    service.wait_for("both", || service.records(0)["received"] == 2);

    // The watcher sees a changed title.
    let titled = rule("three", THREE).replace("A rule of the tests", "Three in a row");
    home.scratch.write("rules/three.sql", &titled);
    service.wait_for("the edit", || service.said().contains("rule three: edited, its state kept"));
    assert_eq!(service.total("rule_id:three"), Some(0));
    service.push(&refused("ann", "3")).is(202);
    service.wait_for("the finding", || service.total("rule_id:three") == Some(1));
    let found = service.search("rule_id:three", "").json()["items"][0].clone();
    assert_eq!(
        (&found["title"], &found["fields"]["refusals"]),
        (&json!("Three in a row"), &json!(3))
    );

    // An edit of what it counts begins empty: two are not enough, three are.
    service.push(&[refused("bob", "4"), refused("bob", "5")].join("\n")).is(202);
    service.wait_for("all", || service.records(0)["received"] == 5);
    let ten = THREE.replace("10 minutes", "20 minutes");
    home.scratch.write("rules/three.sql", rule("three", &ten));
    service
        .wait_for("the reset", || service.said().contains("rule three: edited, its state begins"));
    service.push(&refused("bob", "6")).is(202);
    service.wait_for("all", || service.records(0)["received"] == 6);
    thread::sleep(Duration::from_millis(1_500));
    assert_eq!(service.total("rule_id:three AND bob"), Some(0));
    service.stop();
}

#[test]
fn every_way_to_reload_reports_each_rule_and_a_broken_file_changes_nothing() {
    let home = Home::new("");
    let service = home.start();
    let reload = || service.post("/api/v1/reload", &json!({})).is(200).json();
    let report = reload();
    assert_eq!((changes(&report), &report["kept"]), (&json!({}), &json!(1)));

    home.scratch.write("rules/two.sql", rule("two", REFUSED));
    let report = reload();
    // The watcher may have been faster.
    let added = json!({"two": "added"});
    assert!(changes(&report) == &added || changes(&report) == &json!({}), "{report}");
    service.wait_for("the second rule", || service.status()["rules"] == 2);

    // A broken file: the place and the reason, and the rules of before go on.
    let broken = rule("two", "SELECT time, user_name\nFROM authentication\nWHERE user_nme = 'ann'");
    home.scratch.write("rules/two.sql", broken);
    let report = reload();
    assert_eq!((&report["applied"], &report["rules"]), (&json!(false), &json!({})), "{report}");
    let problems = report["problems"].as_array().unwrap();
    let said = problems.iter().map(|p| p.as_str().unwrap()).collect::<String>();
    for text in ["two.sql:11:7", "user_nme", "user_name"] {
        assert!(said.contains(text), "no `{text}` in {said}");
    }
    assert_eq!(service.status()["reload"]["applied"], false);
    service.push(&okta("ann")).is(202);
    service.wait_for("findings", || service.total("ann") == Some(2));
    assert_eq!(service.total("rule_id:two"), Some(1));

    // SIGHUP says the same in the log.
    let refusals = || service.said().matches("nothing was reloaded").count();
    let before = refusals();
    service.signal("-HUP");
    service.wait_for("SIGHUP", || refusals() > before);
    assert!(service.said().contains("two.sql:11:7"));
    fs::remove_file(home.scratch.path("rules/two.sql")).unwrap();
    service.wait_for("one rule", || service.status()["rules"] == 1);
    let rules = service.get("/api/v1/rules").is(200).json();
    assert_eq!(rules["items"].as_array().unwrap().len(), 1, "{rules}");
    service.stop();
}

#[test]
fn a_mapping_edited_under_load_loses_nothing() {
    let mapping = root().join("ingest/mappings/okta.system");
    let shipped = fs::read_to_string(mapping.join("authentication.sql")).unwrap();
    // Its tests are for `mapping test`.
    let shipped = shipped.split("/*--- tests").next().unwrap().to_owned();
    let scratch = crate::support::Scratch::new();
    scratch.write("mappings/okta.system/authentication.sql", &shipped);
    let mappings = scratch.path("mappings");
    // One table of settings, and keys before it.
    let home = Home::within(
        scratch,
        &format!(
            "mappings = [\"{mappings}\"]\n[sources.push]\nmapping = \"okta.system\"\nhttp = {{}}\n"
        ),
    );
    let service = home.start();
    let rounds = 40;
    thread::scope(|scope| {
        scope.spawn(|| {
            for edit in 0..8 {
                let edited = shipped.replace("vendor: Okta", &format!("vendor: Okta {edit}"));
                assert_ne!(edited, shipped);
                home.scratch.write("mappings/okta.system/authentication.sql", &edited);
                let report = service.post("/api/v1/reload", &json!({})).is(200).json();
                assert_eq!(report["applied"], true, "{report}");
                thread::sleep(Duration::from_millis(50));
            }
        });
        for round in 0..rounds {
            let lines: Vec<String> = (0..5).map(|n| okta(&format!("user{round}x{n}"))).collect();
            service.push(&lines.join("\n")).is(202);
            thread::sleep(Duration::from_millis(20));
        }
    });
    service.wait_for("every finding", || service.status()["store"]["findings"] == 5 * rounds);
    let records = service.records(0);
    assert_eq!(
        (&records["received"], &records["mapped"], &records["balanced"]),
        (&json!(5 * rounds), &json!(5 * rounds), &json!(true)),
        "{records}"
    );
    // The last edit is what maps now.
    service.push(&okta("last")).is(202);
    let hunt =
        json!({"sql": "SELECT DISTINCT vendor FROM authentication WHERE user_name = 'last'"});
    service.wait_for("the last row", || {
        let rows = service.post("/api/v1/hunts", &hunt).is(200).json()["rows"].clone();
        rows == json!([{"vendor": "Okta 7"}])
    });
    service.stop();
}

#[test]
fn a_lookup_that_changes_is_taken_and_a_broken_one_changes_nothing() {
    let scratch = crate::support::Scratch::new();
    scratch.write("lookups/vip.csv", "user,tier\nann,gold\n");
    scratch.write("lookups/vip.yaml", "key: user\nmatch: ignore_case\n");
    let lookups = scratch.path("lookups");
    let home = Home::within(scratch, &format!("lookups = [\"{lookups}\"]\n"));
    let asking = "SELECT user_name, lookup('vip', user_name, 'tier') AS tier, time\n\
                  FROM authentication\nWHERE in_lookup('vip', user_name)";
    home.scratch.write("rules/vip.sql", rule("vip", asking));
    let service = home.start();
    let reload = || service.post("/api/v1/reload", &json!({})).is(200).json();
    service.push(&okta("Ann")).is(202);
    service.wait_for("the finding", || service.total("rule_id:vip") == Some(1));
    let fields = |q: &str| service.search(q, "").is(200).json()["items"][0]["fields"].clone();
    let first = fields("rule_id:vip");
    assert_eq!(first["tier"], "gold", "{first}");
    let version = first["lookups"]["vip"].as_str().unwrap().to_owned();

    // A broken file: the place and the reason, and the one of before goes on.
    home.scratch.write("lookups/vip.csv", "user,tier\nbob\n");
    let report = reload();
    assert_eq!(report["applied"], json!(false), "{report}");
    assert!(report["problems"].to_string().contains("vip.csv:2"), "{report}");

    home.scratch.write("lookups/vip.csv", "user,tier\nbob,silver\n");
    service.wait_for("the file", || {
        reload();
        let sql = "SELECT tier FROM lookup.vip WHERE user = 'bob'";
        let rows = service.post("/api/v1/hunts", &json!({ "sql": sql })).is(200).json();
        rows["rows"].as_array().is_some_and(|rows| rows.len() == 1)
    });
    service.push(&okta("bob")).is(202);
    service.push(&okta("Ann")).is(202);
    service.wait_for("the other finding", || service.total("rule_id:vip") == Some(2));
    let second = fields("rule_id:vip AND silver");
    assert_eq!(second["tier"], "silver", "{second}");
    assert_ne!(second["lookups"]["vip"].as_str(), Some(version.as_str()));
    service.stop();
}
