//! The command line itself: exit codes, where output goes, and each verb on good input.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::support::{REFUSED, Scratch, cloudtrail, okta, rule, sluice, sluice_with};

#[test]
fn misuse_is_3_and_help_is_0() {
    for arguments in [
        &[][..],
        &["bogus"],
        &["eval"],
        &["eval", "--nope", "x"],
        &["eval", "--output", "xml", "x"],
        &["demo", "--start", "yesterday"],
        &["rule", "lint", "/nowhere/at/all"],
    ] {
        let run = sluice(arguments).exits(3);
        assert!(run.stdout.is_empty() && !run.stderr.is_empty(), "{arguments:?}");
    }
    sluice(&["--help"]).exits(0).prints(&["Exit codes", "demo", "eval"]);
    sluice(&["--version"]).exits(0).prints(&["sluice "]);
}

#[test]
fn names_that_are_near_are_suggested() {
    sluice_with(&["eval", "--source", "okta.sytem", "-"], b"").exits(3).says(&[
        "no source `okta.sytem`",
        "did you mean `okta.system`?",
        "aws.cloudtrail",
    ]);
    sluice(&["schema", "authentcation"])
        .exits(3)
        .says(&["no table `authentcation`", "did you mean `authentication`?"]);
    sluice(&["rule", "explain", "identity.mfa_fatig"])
        .exits(3)
        .says(&["did you mean `identity.mfa_fatigue`?"]);
    let scratch = Scratch::new();
    sluice(&["rule", "new", "a.b", "--table", "netwerk", "--dir", &scratch.path("r")])
        .exits(3)
        .says(&["no table `netwerk`", "did you mean `network`?"]);
}

#[test]
fn findings_are_data_on_stdout_and_all_else_is_on_stderr() {
    let scratch = Scratch::new();
    let text = rule("all", REFUSED).replace("severity:", "attack: [TA0006, T1110]\nseverity:");
    let rules = scratch.write("all.sql", text);
    let log = scratch.write("log", [okta("ann"), okta("bob")].join("\n"));
    let run = sluice(&["eval", "-r", &rules, &log]).exits(0);
    let findings = run.rows();
    assert_eq!(findings.len(), 2);
    let ann = findings.iter().find(|f| f["fields"]["user_name"] == "ann").unwrap();
    assert_eq!(ann["id"].as_str().unwrap().len(), 32);
    assert_eq!(ann["rule_id"], "all");
    assert_eq!(ann["title"], "A rule of the tests");
    assert_eq!(ann["severity"], "low");
    assert_eq!(ann["time"], "2026-01-01T09:00:00.000Z");
    assert_eq!(ann["state"], "confirmed");
    assert_eq!(ann["entities"], serde_json::json!([{"kind": "user", "id": "ann"}]));
    assert_eq!(ann["attack"], serde_json::json!(["TA0006", "T1110"]));
    let fields: Vec<&String> = ann["fields"].as_object().unwrap().keys().collect();
    assert_eq!(fields, ["time", "user_name", "src_ip"], "every selected column, in order");
    assert_eq!(ann["evidence"][0]["event_code"], "user.session.start");
    assert_eq!(ann["evidence_total"], 1);
    run.says(&["okta.system: received 2 = mapped 2", "2 findings by 1 of 1 rules", "     2  all"]);

    let ids: Vec<Value> = findings.iter().map(|f| f["id"].clone()).collect();
    let document = sluice(&["eval", "-r", &rules, "--output", "json", &log]).exits(0);
    let document: Value = serde_json::from_str(&document.stdout).unwrap();
    assert_eq!(document.as_array().unwrap().len(), 2);
    assert!(document.as_array().unwrap().iter().all(|f| ids.contains(&f["id"])));
    sluice(&["eval", "-r", &rules, "--output", "table", &log]).exits(0).prints(&[
        "2026-01-01T09:00:00.000Z  low       all  A rule of the tests  [user ann]\n    ",
        "event_code=user.session.start",
    ]);
    let quiet = sluice(&["eval", "-q", "-r", &rules, &log]).exits(0);
    assert_eq!((quiet.rows().len(), quiet.stderr.as_str()), (2, ""));
}

#[test]
fn fail_on_finding_is_1_only_with_a_finding() {
    let scratch = Scratch::new();
    let rules = scratch.write("all.sql", rule("all", REFUSED));
    let log = scratch.write("log", okta("ann"));
    let quiet = scratch.write("quiet", okta("ann").replace("\"FAILURE\"", "\"SUCCESS\""));
    sluice(&["eval", "--fail-on-finding", "-r", &rules, &log]).exits(1);
    sluice(&["eval", "--fail-on-finding", "-r", &rules, &quiet]).exits(0);
    let empty = scratch.write("none/readme.txt", "");
    let folder = std::path::Path::new(&empty).parent().unwrap().to_str().unwrap();
    sluice(&["eval", "-r", folder, &log]).exits(3).says(&["no rules"]);
}

#[test]
fn a_new_rule_passes_lint_and_test_at_once_and_is_never_overwritten() {
    let scratch = Scratch::new();
    let folder = scratch.path("rules");
    for table in ["authentication", "identity_change", "api_activity", "network"] {
        let id = format!("mine.of_{table}");
        let made = sluice(&["rule", "new", &id, "--table", table, "--dir", &folder]).exits(0);
        let path = made.stdout.trim_end();
        assert_eq!(path, format!("{folder}/mine/of_{table}.sql"));
        sluice(&["rule", "lint", path]).exits(0);
    }
    let run = sluice(&["rule", "test", &folder]).exits(0).says(&["4 rules: 8 passed, 0 failed"]);
    for case in run.rows() {
        assert_eq!(case["passed"], true, "{case}");
        assert!(case["rule_id"].is_string() && case["case"].is_string(), "{case}");
    }
    let path = format!("{folder}/mine/of_network.sql");
    std::fs::write(&path, "mine").unwrap();
    sluice(&["rule", "new", "mine.of_network", "--dir", &folder])
        .exits(3)
        .says(&["is already there"]);
    assert_eq!(std::fs::read_to_string(path).unwrap(), "mine");
    for id in ["../up", "", "a..b", "A.b", "a/b", "/etc/passwd"] {
        sluice(&["rule", "new", id, "--dir", &folder]).exits(3).says(&["is not a rule id"]);
    }
}

#[test]
fn a_failing_rule_test_is_1_with_the_difference() {
    let scratch = Scratch::new();
    let text = rule("mine", REFUSED)
        + "/*--- tests\n- name: fires\n  events:\n    - {t: +0s, table: authentication, user_name: \
           ann, status: Failure}\n  expect: [{user_name: bob}]\n---*/\n";
    let path = scratch.write("mine.sql", text);
    let run = sluice(&["rule", "test", "--output", "table", &path]).exits(1);
    run.prints(&["FAIL mine: fires", "ann", "bob", "mine.sql:13"]).says(&["0 passed, 1 failed"]);
    sluice(&["rule", "test", "--min-tests", "2", &path]).exits(1);
}

#[test]
fn lint_fails_at_its_level() {
    let scratch = Scratch::new();
    let text = rule("mine", REFUSED).replace("entity: {user_name: user}\n", "");
    let path = scratch.write("mine.sql", text);
    sluice(&["rule", "lint", "--output", "table", &path]).exits(0).prints(&[
        "warning[R021]: the rule names no entity",
        "mine.sql:2:1",
        "= help: entity:",
    ]);
    sluice(&["rule", "lint", "--fail-level", "warning", &path]).exits(1);
    let run = sluice(&["rule", "lint", "--output", "json", &path]).exits(0);
    let document: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(document["summary"]["rules"], 1);
    assert!(document["summary"]["warnings"].as_u64().unwrap() >= 1);
}

#[test]
fn the_shipped_rules_pass_lint() {
    let run = sluice(&["rule", "lint", "--fail-level", "warning", "builtin"]).exits(0);
    let loaded: usize =
        run.stderr.split_once(" rules loaded").unwrap().0.lines().last().unwrap().parse().unwrap();
    assert!(loaded >= 16, "{}", run.stderr);
}

#[test]
fn the_shipped_mappings_pass_their_tests() {
    sluice(&["mapping", "test"]).exits(0).says(&[" passed, 0 failed"]);
}

#[test]
fn schema_lists_tables_and_columns() {
    let run = sluice(&["schema", "--output", "table"]).exits(0);
    let run =
        run.prints(&["TABLE", "authentication", "identity_change", "api_activity", "network"]);
    assert!(run.stderr.contains("sluice schema <table>"));
    sluice(&["schema", "authentication", "--output", "md"]).exits(0).prints(&[
        "## authentication",
        "| `user_name` | ",
        "| `failure_reason` | ",
    ]);
    let columns = sluice(&["schema", "network"]).exits(0).rows();
    let port = columns.iter().find(|c| c["column"] == "dst_port").unwrap();
    assert_eq!((&port["table"], &port["type"]), (&"network".into(), &"int".into()));
    assert!(columns.iter().all(|c| c["table"] == "network"));
}

#[test]
fn explain_says_true_false_and_null() {
    let scratch = Scratch::new();
    let sql = "SELECT time, user_name\nFROM authentication\n\
               WHERE status = 'Failure' AND src_port > 1024 AND src_country = 'France'";
    let path = scratch.write("why.sql", rule("why", sql));
    let event = okta("ann").replace(
        r#""ipAddress":"203.0.113.9""#,
        r#""ipAddress":"203.0.113.9","geographicalContext":{"country":"Italy"}"#,
    );
    let event = scratch.write("event.json", event);
    sluice(&["rule", "explain", &path, "--event", &event, "--output", "table"]).exits(0).prints(&[
        "witness",
        "atom ",
        "row 1: does not match",
        "TRUE  status = 'Failure'    [status = 'Failure']",
        "FALSE src_country = 'France'    [src_country = 'Italy']",
        "NULL  src_port > 1024    [src_port = NULL]",
    ]);
    let run = sluice(&["rule", "explain", &path, "--event", &event]).exits(0);
    let verdicts: Vec<Value> = run.rows()[0]["events"][0]["children"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| node["verdict"].clone())
        .collect();
    assert!(verdicts.contains(&Value::Null) && verdicts.contains(&true.into()), "{verdicts:?}");
    sluice(&["rule", "explain", &path, "--event", &scratch.path("none")])
        .exits(3)
        .says(&["cannot read"]);
    let broken = scratch.write("broken.json", "{\"uuid\":");
    sluice(&["rule", "explain", &path, "--event", &broken]).exits(3).says(&["error: "]);
}

#[test]
fn explain_says_key_state_and_bound() {
    sluice(&["rule", "explain", "identity.mfa_fatigue", "--output", "table"]).exits(0).prints(&[
        "operator   sliding over 600 s",
        "key        user_entity",
        "state      per key: the rows of open windows",
        "bound      10000 rows of a key are kept one by one",
        "bound      5000000 keys are kept on each shard",
        "bound      evidence shows the first 10 and the last 10 rows",
        "witness  failure_reason = 'mfa_denied'",
    ]);
}

#[test]
fn auto_says_what_it_saw() {
    let scratch = Scratch::new();
    let sources = [
        ("okta.system", okta("ann")),
        ("aws.cloudtrail", cloudtrail("ann")),
        (
            "kubernetes.audit",
            r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"1","stage":"ResponseComplete","requestURI":"/api/v1/namespaces/x/secrets","verb":"list","user":{"username":"ann"},"sourceIPs":["203.0.113.9"],"objectRef":{"resource":"secrets","namespace":"x"},"responseStatus":{"code":200},"requestReceivedTimestamp":"2026-01-01T09:00:00.000000Z","stageTimestamp":"2026-01-01T09:00:00.000000Z"}"#.to_owned(),
        ),
        (
            "aws.vpc_flow",
            "2 123456789012 eni-0a 10.20.0.57 10.20.1.20 40000 22 6 5 300 1767258000 1767258060 REJECT OK"
                .to_owned(),
        ),
        (
            "linux.sshd",
            "Jan  1 09:00:00 web-1 sshd[812]: Failed password for root from 203.0.113.9 port 40000 ssh2"
                .to_owned(),
        ),
    ];
    for (source, text) in sources {
        let log = scratch.write(source, text);
        let run = sluice(&["mapping", "run", &log]).exits(0);
        assert_eq!(run.counters(), [(source.to_owned(), [1, 1, 0, 0, 0])]);
        assert_eq!(run.rows().len(), 1);
        run.says(&[&format!("{log}: 100 % of 1 record look like {source}")]);
    }
}

#[test]
fn mapped_rows_have_the_names_of_the_schema() {
    let scratch = Scratch::new();
    let log = scratch.write("log", okta("ann"));
    let run = sluice(&["mapping", "run", "--source", "okta.system", &log]).exits(0);
    let row = &run.rows()[0];
    let columns: Vec<Value> =
        sluice(&["schema", "authentication"]).rows().iter().map(|c| c["column"].clone()).collect();
    for name in row.as_object().unwrap().keys().filter(|n| *n != "table") {
        assert!(columns.contains(&Value::from(name.as_str())), "{name}");
    }
    assert_eq!(row["table"], "authentication");
    assert_eq!(row["user_name"], "ann");
    assert_eq!(row["failure_reason"], "bad_password");
    assert_eq!(row["event_uid"].as_str().unwrap().len(), 32);
}

#[test]
fn fields_no_mapping_reads_are_counted_with_an_example() {
    let scratch = Scratch::new();
    let record = okta("ann").replace("{\"uuid\"", "{\"brandNew\":{\"x\":1},\"uuid\"");
    let log = scratch.write("log", record);
    sluice(&["mapping", "run", &log])
        .exits(0)
        .says(&[r#"fields no mapping reads: brandNew (1, e.g. {"x":1})"#]);
}

#[test]
fn text_of_events_cannot_command_a_terminal() {
    let scratch = Scratch::new();
    let rules = scratch.write("all.sql", rule("all", REFUSED));
    let record = okta("ann").replace(
        r#""alternateId":"ann""#,
        r#""alternateId":"a\r\n{\"level\":\"info\"\u001b[31m\u202e\u0007""#,
    );
    let bad = "\u{1b}[2J\u{202e}not json";
    let unmapped = okta("bob").replace("{\"uuid\"", "{\"\\u001b[2J\":1,\"uuid\"");
    let log = scratch.write("log", [record.as_str(), bad, &unmapped].join("\n"));
    for format in ["table", "ndjson"] {
        let arguments = ["eval", "-r", &rules, "--output", format, "--source", "okta.system", &log];
        let run = sluice(&arguments).exits(0);
        for text in [&run.stdout, &run.stderr] {
            let harmful = |c: char| (c.is_control() && c != '\n') || c == '\u{7f}';
            assert!(!text.contains(harmful), "{text:?}");
        }
        if format == "table" {
            assert!(!run.stdout.contains('\u{202e}'), "{}", run.stdout);
            assert!(run.stdout.contains(r"\u{1b}[31m\u{202e}"), "{}", run.stdout);
            assert_eq!(run.stdout.lines().count(), 4, "no line of its own: {}", run.stdout);
        }
    }
}

#[test]
fn completions_name_the_verbs() {
    for shell in ["bash", "zsh", "fish"] {
        sluice(&["completions", shell]).exits(0).prints(&["sluice", "eval", "demo"]);
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let scratch = Scratch::new();
    let rules = scratch.write("all.sql", rule("all", REFUSED));
    let lines: Vec<String> = (0..3_000).map(|i| okta(&format!("u{i}"))).collect();
    let log = scratch.write("log", lines.join("\n"));
    for arguments in [&["eval", "-q", "-r", &rules, &log][..], &["mapping", "run", "-q", &log]] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_sluice"))
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(first.starts_with('{'), "{first}");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), stderr.as_ref()), (Some(0), ""), "{arguments:?}");
    }
}
