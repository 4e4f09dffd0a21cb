//! A log that no source knows: the mapping that `mapping new` begins passes its own test and makes rows
//! at once; and what a vendor adds to records that a source does know, `mapping drift`.

use serde_json::Value;

use crate::support::{Scratch, cloudtrail, sluice};

/// Begins a mapping for a log, tests it and maps the log with it.
#[track_caller]
fn rows(log: &str) -> Vec<Value> {
    let scratch = Scratch::new();
    scratch.write("new.log", log);
    let path = scratch.path("new.log");
    let run = sluice(&["mapping", "new", "--source", "acme.app", &path]).exits(0);
    assert!(run.stdout.lines().count() > 10, "one field a line:\n{}", run.stdout);
    scratch.write("mappings/acme.app/api_activity.sql", &run.stdout);
    let mappings = scratch.path("mappings");
    let test = sluice(&["mapping", "test", &mappings]);
    assert!(test.stderr.contains("1 passed, 0 failed"), "{}\n{}", test.stderr, run.stdout);
    let run = sluice(&[
        "mapping",
        "run",
        "--mappings",
        &mappings,
        "--source",
        "acme.app",
        "--received-at",
        "2026-01-01T12:00:00Z",
        &path,
    ]);
    let run = run.exits(0);
    run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[track_caller]
fn check(log: &str, time: &str, user: &str, address: &str) {
    let rows = rows(log);
    let row = rows.first().unwrap_or_else(|| panic!("no row of\n{log}"));
    for (column, expected) in [("time", time), ("user_name", user), ("src_ip", address)] {
        assert_eq!(row[column], *expected, "{column} of\n{log}");
    }
    assert_eq!(row["status"], "Unknown");
    assert!(row.get("time_flag").is_none_or(Value::is_null), "{row}");
}

#[test]
fn a_mapping_to_begin_with_reads_its_log() {
    let at = "2026-01-01T09:00:00.000Z";
    let json = r#"{"ts":1767258000,"login":"ann","remote":"203.0.113.9","note":"a */ b 'c'"}"#;
    check(&format!("{json}\n{json}\n"), at, "ann", "203.0.113.9");
    for csv in [
        "time,user,ip\n2026-01-01T09:00:00Z,ann,203.0.113.9\n2026-01-01T09:00:01Z,bob,203.0.113.9\n",
        "\"date\";\"user\";\"client_ip\"\n\"2026-01-01T09:00:00Z\";\"ann\";\"203.0.113.9\"\n",
        "when_time\tlogin\tsrc\n2026-01-01 09:00:00\tann\t203.0.113.9\n",
    ] {
        check(csv, at, "ann", "203.0.113.9");
    }
    let pairs = "level=info ts=2026-01-01T09:00:00Z user=\"ann\" ip=203.0.113.9 action=login\n";
    check(&pairs.repeat(3), at, "ann", "203.0.113.9");
}

#[test]
fn a_log_of_no_form_keeps_its_lines() {
    let rows = rows("something happened\nand something else\n");
    let lines: Vec<&Value> = rows.iter().map(|row| &row["message"]).collect();
    assert_eq!(lines, ["something happened", "and something else"]);
}

#[test]
fn fields_that_a_vendor_adds_are_told_from_a_baseline() {
    let scratch = Scratch::new();
    scratch.write("known.json", cloudtrail("ann"));
    let mut record: Value = serde_json::from_str(&cloudtrail("ann")).unwrap();
    record["newThing"] = serde_json::json!({"deep": 1});
    record["userIdentity"]["newToo"] = "x".into();
    scratch.write("today.json", record.to_string());
    let (known, today) = (scratch.path("known.json"), scratch.path("today.json"));
    let baseline = scratch.path("fields.txt");
    sluice(&["mapping", "drift", &known, "--write-baseline", &baseline]).exits(0);
    sluice(&["mapping", "drift", &known, "--baseline", &baseline]).exits(0);
    let run = sluice(&["mapping", "drift", &today, "--baseline", &baseline]).exits(1);
    let fields: Vec<Value> =
        run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let paths: Vec<&Value> = fields.iter().map(|field| &field["field"]).collect();
    assert_eq!(paths, ["newThing", "userIdentity.newToo"]);
}
