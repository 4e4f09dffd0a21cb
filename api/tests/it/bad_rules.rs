//! What a bad rule file gets: refused with its place, the line, a caret and a way out, and nothing
//! else is hidden by it.

use crate::support::{REFUSED, Run, Scratch, okta, rule, sluice};

/// A rule of one SELECT, through lint and through eval: both refuse it, with the same words.
#[track_caller]
fn refuses(sql: &str, says: &[&str]) {
    refuses_file(&rule("bad", sql), says);
}

#[track_caller]
fn refuses_file(text: &str, says: &[&str]) {
    let scratch = Scratch::new();
    let path = scratch.write("bad.sql", text);
    let log = scratch.write("log", okta("ann"));
    let says: Vec<String> = says.iter().map(|s| s.replace("FILE", &path)).collect();
    let says: Vec<&str> = says.iter().map(String::as_str).collect();
    let clean = |text: &str| {
        for inner in ["panicked", "DataFusion", "Plan(", "backtrace"] {
            assert!(!text.contains(inner), "{inner} in {text}");
        }
    };
    let lint = sluice(&["rule", "lint", "--output", "table", &path]).exits(2).prints(&says);
    clean(&lint.stdout);
    let eval = sluice(&["eval", "-r", &path, &log]).exits(2).says(&says);
    clean(&eval.stderr);
    assert_eq!(eval.stdout, "");
}

#[test]
fn a_yaml_error() {
    refuses_file(
        "/*---\nid: bad\ntitle: [A rule\nseverity: low\n---*/\nSELECT time FROM authentication\n",
        &[
            "error[R001]: the YAML of this block cannot be read\n  --> FILE:4:9\n",
            "4 | severity: low\n  |         ^",
        ],
    );
}

#[test]
fn unknown_and_missing_keys_both_told() {
    refuses_file(
        &rule("bad", REFUSED).replace("severity:", "severty:"),
        &[
            "error[R002]: unknown key `severty` in front matter\n  --> FILE:4:1\n",
            "4 | severty: low\n  | ^^^^^^^ did you mean `severity`?",
            "error[R003]: `severity` is missing",
            "= help: severity: informational | low",
        ],
    );
}

#[test]
fn an_unknown_column() {
    refuses(
        "SELECT time, user_name\nFROM authentication\nWHERE statuss = 'Failure'",
        &[
            "error[R011]: no column `statuss` in `authentication`\n  --> FILE:11:7\n",
            "11 | WHERE statuss = 'Failure'\n   |       ^^^^^^^ did you mean `status`?",
            "= help: `sluice schema authentication` lists all",
        ],
    );
}

#[test]
fn an_unknown_table_and_function() {
    refuses(
        "SELECT time, user_name FROM authenticaton",
        &["no table `authenticaton`", "FILE:9:29", "did you mean `authentication`?"],
    );
    refuses(
        "SELECT time, user_name FROM authentication WHERE lowr(status) = 'failure'",
        &["no function `lowr`", "FILE:9:50", "did you mean `lower`?"],
    );
}

#[test]
fn text_against_a_number() {
    refuses(
        "SELECT time, user_name FROM authentication WHERE src_port = 'abc'",
        &["error[R013]: ", "is text", "is a number", "FILE:9:50", "^^^^^^^^", "= help: "],
    );
    refuses(
        "SELECT time, user_name FROM authentication WHERE user_name > 5",
        &["error[R013]: ", "is text", "is a number", "FILE:9:50", "^^^^^^^^^", "try_cast("],
    );
}

#[test]
fn statements_that_are_no_query() {
    for (sql, word) in [
        ("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'", "CREATE EXTERNAL TABLE"),
        ("DROP TABLE authentication", "DROP"),
        ("DROP VIEW authentication", "DROP"),
        ("COPY (SELECT 1) TO '/tmp/x'", "COPY"),
        ("INSERT INTO authentication SELECT * FROM authentication", "INSERT"),
        ("SET datafusion.execution.batch_size = 1", "SET"),
        ("BEGIN", "BEGIN"),
    ] {
        refuses(
            sql,
            &[
                &format!("error[R019]: only a query is allowed here, not {word}"),
                "--> FILE",
                "= help: start with SELECT or WITH",
            ],
        );
    }
}

#[test]
fn two_statements() {
    refuses(
        "SELECT time, user_name FROM authentication; DROP TABLE findings",
        &[
            "error[R019]: one statement is allowed, this is the second",
            "--> FILE:9:45",
            "a file for each rule",
        ],
    );
}

#[test]
fn functions_that_read_the_clock_or_chance() {
    for name in ["now()", "current_timestamp", "current_date", "random()", "uuid()"] {
        refuses(
            &format!(
                "SELECT time, user_name FROM authentication\nWHERE '1' = CAST({name} AS VARCHAR)"
            ),
            &[
                &format!("error[R010]: `{}` is not allowed", name.trim_end_matches("()")),
                "FILE:10:18",
                "the same events must give the same findings",
            ],
        );
    }
}

#[test]
fn files_and_urls_as_tables() {
    for table in ["'/etc/passwd.csv'", "'http://169.254.169.254/'"] {
        refuses(
            &format!("SELECT * FROM {table}"),
            &["is a file or URL, a rule reads tables", "--> FILE:9:16", "sluice eval -r"],
        );
    }
    refuses(
        "SELECT * FROM read_parquet('/etc/passwd')",
        &["error[R019]: table function read_parquet is not allowed", "FILE:9:15"],
    );
    refuses(
        "SELECT * FROM information_schema.tables",
        &["error[R011]: no table `information_schema.tables`", "FILE:9:15"],
    );
}

#[test]
fn state_without_a_bound() {
    refuses(
        "SELECT user_name, count(*) AS n\nFROM authentication\nGROUP BY user_name",
        &[
            "error[R015]: this rule would keep state for ever\n  --> FILE:11:1\n",
            "11 | GROUP BY user_name\n   | ^^^^^^^^^^^^^^^^^^ groups of `authentication` never close",
            "= help: GROUP BY user_name, sliding(time, INTERVAL '10 minutes')",
        ],
    );
    refuses(
        "SELECT DISTINCT user_name FROM authentication",
        &["DISTINCT would remember every row for ever", "FILE:9:1", "first_seen("],
    );
    refuses(
        "SELECT a.time, a.user_name\nFROM authentication a\n\
         JOIN authentication b ON a.user_name = b.user_name",
        &["joins of streams are not available", "FILE:11:6", "each side would have to be kept"],
    );
    refuses("SELECT time, user_name FROM authentication LIMIT 5", &["LIMIT", "FILE:9:44", "help"]);
}

#[test]
fn broken_sql() {
    refuses(
        "SELEC time, user_name FROM authentication",
        &["error[R009]: Expected: an SQL statement, found: SELEC", "FILE:9:1", "^^^^^"],
    );
    refuses(
        "SELECT time, user_name FROM authentication WHERE (status = 'x'",
        &["error[R009]: Expected: ), found: EOF", "--> FILE"],
    );
}

#[test]
fn long_chains_run_and_endless_ones_are_refused() {
    let chain = |terms: usize| {
        let ors: Vec<String> = (0..terms).map(|i| format!("user_name = 'u{i}'")).collect();
        format!("SELECT time, user_name FROM authentication\nWHERE {}", ors.join(" OR "))
    };
    let scratch = Scratch::new();
    let path = scratch.write("many.sql", rule("many", &chain(2_000)));
    let log = scratch.write("log", [okta("u1999"), okta("nobody")].join("\n"));
    let run = sluice(&["eval", "-r", &path, &log]).exits(0);
    assert_eq!(run.rows().len(), 1);
    assert_eq!(run.rows()[0]["fields"]["user_name"], "u1999");
    refuses(&chain(20_000), &["error[R019]: a chain of too many operators", "user_name IN ("]);

    let deep = |open: &str, close: &str| {
        format!(
            "SELECT time, user_name FROM authentication WHERE {}TRUE{}",
            open.repeat(20_000),
            close.repeat(20_000)
        )
    };
    refuses(&deep("(", ")"), &["error[", "--> FILE"]);
    refuses(&deep("NOT ", ""), &["error[", "--> FILE"]);
    let sums = vec!["1"; 20_000].join("+");
    refuses(
        &format!("SELECT time, user_name FROM authentication WHERE src_port = {sums}"),
        &["a chain of too many operators", "--> FILE"],
    );
}

fn numbered(asn: u64) -> String {
    let good = okta(&format!("as{asn}"));
    format!(r#"{},"securityContext":{{"asNumber":{asn}}}}}"#, good.strip_suffix('}').unwrap())
}

#[test]
fn dividing_by_zero_on_one_row_costs_that_row_and_is_counted() {
    let scratch = Scratch::new();
    scratch.write(
        "rules/div.sql",
        rule(
            "div",
            "SELECT time, user_name, 10 / (src_asn - 22) AS x\nFROM authentication\n\
             WHERE 100 / (src_asn - 23) > -1000",
        ),
    );
    scratch.write(
        "rules/cast.sql",
        rule(
            "cast",
            "SELECT time, user_name\nFROM authentication\n\
             WHERE CAST(substr(user_name, 3, 1) AS BIGINT) = CAST(substr(user_name, 4) AS BIGINT)",
        ),
    );
    scratch.write("rules/good.sql", rule("good", REFUSED));
    let log = scratch.write("log", [21, 22, 23, 33, 8].map(numbered).join("\n"));
    let run = sluice(&["eval", "-r", &scratch.path("rules"), &log]).exits(0).says(&[
        "  div: failed on 2 rows, which did not match: Divide by zero",
        "  cast: failed on 1 rows, which did not match: ",
    ]);
    assert_eq!(run.counters()[0].1, [5, 5, 0, 0, 0]);
    let users = |rule: &str| {
        let mut users: Vec<String> = run
            .rows()
            .iter()
            .filter(|f| f["rule_id"] == rule)
            .map(|f| f["fields"]["user_name"].as_str().unwrap().to_owned())
            .collect();
        users.sort();
        users
    };
    assert_eq!(users("div"), ["as21", "as33", "as8"]);
    assert_eq!(users("cast"), ["as22", "as33"]);
    assert_eq!(users("good").len(), 5);
}

#[test]
fn one_bad_file_does_not_hide_another() {
    let scratch = Scratch::new();
    let one = scratch.write("rules/one.sql", rule("one", "DROP TABLE authentication"));
    let two = scratch.write(
        "rules/two.sql",
        rule("two", "SELECT time, user_name, user_nme FROM authentication WHERE statuss = 'x'"),
    );
    scratch.write("rules/good.sql", rule("good", REFUSED));
    let log = scratch.write("log", okta("ann"));
    let both = [format!("--> {one}"), format!("--> {two}:9:"), "user_nme".into(), "statuss".into()];
    let both: Vec<&str> = both.iter().map(String::as_str).collect();
    let rules = scratch.path("rules");
    sluice(&["rule", "lint", "--output", "table", &rules])
        .exits(2)
        .prints(&both)
        .says(&["1 rules loaded"]);
    sluice(&["eval", "-r", &rules, &log]).exits(2).says(&both);
    let found: Run = sluice(&["rule", "lint", "--output", "ndjson", &rules]).exits(2);
    for problem in found.rows() {
        for key in ["code", "level", "message", "file"] {
            assert!(problem[key].is_string(), "{problem}");
        }
    }
    assert!(found.rows().iter().any(|p| p["code"] == "R011" && p["span"]["line"] == 9));
}

#[test]
fn two_files_of_one_id() {
    let scratch = Scratch::new();
    let text = rule("same", REFUSED);
    let one = scratch.write("one/same.sql", &text);
    let two = scratch.write("two/same.sql", &text);
    let (a, b) = (scratch.path("one"), scratch.path("two"));
    sluice(&["rule", "lint", "--output", "table", &a, &b]).exits(2).prints(&[
        "error[R004]: the id `same` is taken",
        &format!("--> {two}:2:1"),
        &format!("by {one}"),
    ]);
    // The same file by two names is one file.
    sluice(&["rule", "lint", "--output", "table", &a, &one]).exits(0).says(&["1 rules loaded"]);
    // And an id that is not the path is no way around it.
    let other = scratch.write("one/other.sql", text);
    sluice(&["rule", "lint", "--output", "table", &a])
        .exits(2)
        .prints(&["error[R004]: the id is not the path of the file", &other]);
}

#[test]
fn a_file_overrides_a_shipped_rule_of_its_id() {
    let scratch = Scratch::new();
    scratch.write("mine/endpoint/ssh_root_login.sql", rule("endpoint.ssh_root_login", REFUSED));
    let log = scratch.write("log", okta("ann"));
    let run = sluice(&["eval", "-r", "builtin", "-r", &scratch.path("mine"), &log]).exits(0);
    assert!(run.rows().iter().any(|f| f["rule_id"] == "endpoint.ssh_root_login"));
}

#[cfg(unix)]
#[test]
fn a_link_out_of_the_rules_folder_is_not_followed() {
    let scratch = Scratch::new();
    let outside = scratch.write("outside.sql", rule("outside", REFUSED));
    scratch.write("rules/good.sql", rule("good", REFUSED));
    let link = scratch.path("rules/outside.sql");
    std::os::unix::fs::symlink(outside, &link).unwrap();
    std::os::unix::fs::symlink("/etc", scratch.path("rules/etc")).unwrap();
    sluice(&["rule", "lint", "--output", "table", &scratch.path("rules")])
        .exits(2)
        .prints(&["error[R006]: a symbolic link that leads out", &format!("--> {link}")])
        .says(&["1 rules loaded"]);
}

#[test]
fn odd_files() {
    let scratch = Scratch::new();
    let lint = |below: &str, bytes: &[u8]| {
        let path = scratch.write(below, bytes);
        (sluice(&["rule", "lint", "--output", "table", &path]), path)
    };
    let (run, path) = lint("latin.sql", b"/*---\nid: latin\ntitle: \xe9\n---*/\nSELECT 1");
    run.exits(2).prints(&["error[R006]: not UTF-8 at byte", &path]);
    let (run, path) = lint("large.sql", &vec![b'-'; 50 << 20]);
    run.exits(2).prints(&["a rule file has at most 1048576 bytes", &path]);
    let (run, path) = lint("empty.sql", b"");
    run.exits(2).prints(&["error[R001]", &path]);
    let (run, _) = lint("crlf.sql", rule("crlf", REFUSED).replace('\n', "\r\n").as_bytes());
    run.exits(0);
    let (run, _) = lint("mark.sql", format!("\u{feff}{}", rule("mark", REFUSED)).as_bytes());
    run.exits(0).prints(&["warning[", "mark.sql:1:1", "without BOM"]);
    let bomb = "/*---\nid: bomb\na: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\n\
                c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\n\
                e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n---*/\nSELECT 1\n";
    let (run, path) = lint("bomb.sql", bomb.as_bytes());
    run.exits(2).prints(&["error[", &path]);
    let (run, path) = lint("up.sql", rule("../up", REFUSED).as_bytes());
    run.exits(2).prints(&["error[", "id", &path, ":2:5"]);
}
