//! What ad-hoc SQL cannot do.

use std::{collections::BTreeMap, time::Duration};

use arrow::{array::AsArray, datatypes::Int64Type};
use sluice_sql::{Cancel, QueryLimits, QueryResult, SqlError, query};

use crate::support::{Row, authentication};

fn run(sql: &str) -> Result<QueryResult, SqlError> {
    run_within(sql, 32 << 20, Duration::from_secs(60))
}

fn run_within(sql: &str, memory: usize, deadline: Duration) -> Result<QueryResult, SqlError> {
    let rows: Vec<Row> = (0..3000)
        .map(|i| Row {
            uid: i,
            time: i as i64 * 1000,
            user: Some(format!("u{}", i % 10)),
            status: Some("s1".into()),
            ip: None,
        })
        .collect();
    let limits = QueryLimits { deadline, memory, rows: 5000, ..QueryLimits::default() };
    query(sql, &authentication(&rows, 1000), limits, &Cancel::default())
}

#[track_caller]
fn refused(sql: &str, expect: &str) {
    match run(sql) {
        Err(error @ SqlError::Refused(_)) => {
            assert!(error.to_string().contains(expect), "{sql}\n{error}");
        }
        other => panic!("{sql}\n{other:?}"),
    }
}

#[test]
fn only_queries_run() {
    for (sql, expect) in [
        ("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'", "R019: only a query"),
        ("CREATE TABLE t AS SELECT 1", "not CREATE"),
        ("COPY (SELECT 1) TO '/tmp/x'", "not COPY"),
        ("INSERT INTO events SELECT * FROM events", "not INSERT"),
        ("UPDATE authentication SET user_name = 'x'", "not UPDATE"),
        ("DELETE FROM authentication", "not DELETE"),
        ("SET datafusion.execution.batch_size = 1", "not SET"),
        ("RESET datafusion.execution.batch_size", "not RESET"),
        ("BEGIN", "not BEGIN"),
        ("DROP VIEW x", "not DROP"),
        ("SHOW TABLES", "not SHOW"),
        ("EXPLAIN ANALYZE SELECT 1", "not EXPLAIN"),
        ("EXPLAIN SELECT 1", "not EXPLAIN"),
        ("DESCRIBE authentication", ""),
        ("PREPARE p AS SELECT 1", "not PREPARE"),
        ("SELECT 1; DROP TABLE findings", "one statement is allowed, this is the second"),
        ("", "there is no statement"),
        ("SELECT 1 INTO t", "SELECT INTO"),
        ("SELECT * FROM authentication FOR UPDATE", "FOR UPDATE"),
        ("VALUES (1), (2)", "VALUES"),
        ("SELECT * FROM (VALUES (1)) t", "VALUES"),
        ("SELECT $1", "placeholder $1"),
        ("SELECT 1 WHERE 1 = ?", "placeholder"),
        (
            "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT * FROM r",
            "RECURSIVE",
        ),
    ] {
        refused(sql, expect);
    }
}

#[test]
fn nothing_outside_the_tables_can_be_read() {
    for sql in [
        "SELECT * FROM '/etc/passwd.csv'",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM 'http://169.254.169.254/'",
        "SELECT * FROM \"file:///etc/passwd\"",
        "SELECT * FROM information_schema.tables",
    ] {
        refused(sql, "not found");
    }
    for sql in [
        "SELECT * FROM read_parquet('x')",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT count(*) FROM generate_series(1, 1000000000000000000) a",
        "SELECT count(*) FROM range(1, 10) a",
        "SELECT * FROM TABLE(generate_series(1, 5))",
    ] {
        refused(sql, "is not allowed");
    }
}

#[test]
fn clock_and_chance_are_refused_with_the_reason() {
    for sql in [
        "SELECT now()",
        "SELECT current_timestamp",
        "SELECT current_date",
        "SELECT current_time",
        "SELECT random()",
        "SELECT uuid()",
    ] {
        refused(sql, "R010");
    }
    for sql in ["SELECT range(0, 1000000000000)", "SELECT generate_series(1, 5)"] {
        refused(sql, "R019");
    }
    match run("SELECT user_name\nFROM authentication\nWHERE time > now()") {
        Err(SqlError::Refused(problems)) => assert_eq!(problems[0].span, Some((3, 14, 3))),
        other => panic!("{other:?}"),
    }
}

#[test]
fn values_cannot_be_blown_up() {
    for sql in [
        "SELECT length(repeat('a', 2000000000))",
        "SELECT length(repeat(user_name, 1000000)) FROM authentication",
        "SELECT length(lpad('a', 2000000000, 'b'))",
        "SELECT length(rpad('a', 2000000000))",
        "SELECT array_repeat(1, 2000000000)",
        "SELECT list_repeat(1, 2000000000)",
        "SELECT array_resize([1], 2000000000)",
        // One inside the other, separators, and functions of any number of arguments.
        "SELECT array_length(array_repeat(array_repeat(1, 1000000), 2000))",
        "SELECT length(concat_ws(repeat('x', 1000000), 'a', 'b', 'c', 'd'))",
        "SELECT length(array_to_string(array_repeat('a', 100000), repeat('x', 100000)))",
        "SELECT length(concat(repeat('a', 600000), repeat('a', 600000), 'a'))",
        "SELECT length(replace(repeat('ab', 300000000), 'a', 'ccc'))",
        "SELECT length(replace(repeat('a', 100000), 'a', repeat('b', 100000)))",
        "SELECT length(regexp_replace(repeat('a', 100000), 'a', repeat('b', 100000), 'g'))",
    ] {
        let error = run(sql).unwrap_err();
        assert!(error.to_string().contains("are allowed"), "{sql}\n{error}");
    }
    for join in ["s || s", "concat(s, s)", "concat_ws('', s, s)", "array_to_string([s, s], '')"] {
        let mut sql = "WITH t0 AS (SELECT repeat(user_name, 100000) AS s FROM events)".to_owned();
        for i in 0..25 {
            sql.push_str(&format!(", t{} AS (SELECT {join} AS s FROM t{i})", i + 1));
        }
        let error = run(&format!("{sql} SELECT length(s) FROM t25")).unwrap_err();
        // Named twice, a WITH query is planned twice: the parts of the query are too many first.
        let named = ["are allowed", "stands for more than"];
        assert!(named.iter().any(|n| error.to_string().contains(n)), "{join}\n{error}");
    }
    let result = run("SELECT length(repeat('ab', 100)) AS n, lpad('a', 3, 'b') AS p").unwrap();
    assert_eq!(result.batches[0].num_rows(), 1);
}

#[test]
fn counts_of_everything_have_limits() {
    let list = |n: usize| (0..n).map(|i| i.to_string()).collect::<Vec<_>>().join(",");
    // As many as fit into the text.
    run(&format!("SELECT 1 FROM authentication WHERE src_port IN ({})", list(10_001))).unwrap();
    let sum = |n: usize| vec!["src_port"; n].join(" + ");
    refused(&format!("SELECT {} FROM authentication", sum(66)), "R019: a chain");
    run(&format!("SELECT {} AS s FROM authentication", sum(64))).unwrap();
    let tables = |n: usize| (0..n).map(|i| format!("events t{i}")).collect::<Vec<_>>().join(", ");
    refused(&format!("SELECT count(*) FROM {}", tables(10)), "more than 8 joins");
    let nested = |n: usize, open: &str, close: &str| {
        format!("SELECT {}1{}", open.repeat(n), close.repeat(n))
    };
    refused(&nested(100, "(", ")"), "R019: nested too deep");
    refused(&nested(100, "(SELECT ", ")"), "");
    refused(&nested(10_000, "(", ")"), "R019: nested too deep");
    refused(&format!("SELECT '{}'", "x".repeat(70_000)), "the text has");
    refused("SELECT regexp_like(user_name, '(a{100}){100}{100}') FROM authentication", "R032");
    refused("SELECT user_name ~ '(?=x)' FROM authentication", "R032");
    refused(&format!("SELECT regexp_like(user_name, '{}') FROM events", "a".repeat(1025)), "R032");
}

#[test]
fn long_conditions_do_not_overflow_the_stack() {
    let terms = |n: usize, op: &str| {
        (0..n).map(|i| format!("user_name LIKE 'x{i}%'")).collect::<Vec<_>>().join(op)
    };
    let limits = QueryLimits { text: 1 << 20, ..QueryLimits::default() };
    for op in [" OR ", " AND "] {
        let sql = format!("SELECT user_name FROM events WHERE {}", terms(2000, op));
        query(&sql, &BTreeMap::new(), limits, &Cancel::default()).unwrap();
    }
}

#[test]
fn chains_of_operators_do_not_overflow_the_stack() {
    let limits = QueryLimits { text: 1 << 20, ..QueryLimits::default() };
    for (first, next) in [
        ("SELECT 1", "+1"),
        ("SELECT (1)", "+(1)"),
        ("SELECT 1", "::int"),
        ("SELECT 1", " IS NULL"),
        ("SELECT 'a'", "||'a'"),
        ("SELECT 1", "=1"),
        ("SELECT 1", " COLLATE x"),
        ("SELECT 1", " AT TIME ZONE 'UTC'"),
        ("SELECT 1 ", "!"),
        ("SELECT x", "[1]"),
        ("SELECT x", ".x"),
        ("SELECT ", "-"),
        ("SELECT ", "NOT "),
        ("SELECT 1", " UNION ALL SELECT 1"),
        ("SELECT 1 FROM events", " JOIN events ON true"),
        ("SELECT 1 WHERE x=1", " OR x=1"),
        ("SELECT x", ":x"),
        ("SELECT ", "CASE WHEN "),
        ("SELECT ", "f("),
        ("SELECT ", "["),
        ("SELECT 1 FROM ", "("),
    ] {
        for count in [2_000, (48 << 10) / next.len()] {
            let sql = format!("{first}{}", next.repeat(count));
            for end in ["", ")"] {
                let outcome =
                    query(&format!("{sql}{end}"), &BTreeMap::new(), limits, &Cancel::default());
                assert!(outcome.is_err(), "{next:?} x {count}");
            }
        }
    }
}

#[test]
fn the_deadline_stops_what_never_ends() {
    for sql in [
        "SELECT max(a.time) FROM events a, events b, events c WHERE a.user_name || b.user_name = c.user_name",
        "SELECT max(a.time) FROM events a JOIN events b ON a.time < b.time JOIN events c ON b.time < c.time",
        "SELECT count(*) FROM events a JOIN events b ON a.status = b.status JOIN events c ON b.status = c.status JOIN events d ON c.status = d.status",
    ] {
        let error = run_within(sql, 512 << 20, Duration::from_millis(1500)).unwrap_err();
        assert!(matches!(error, SqlError::Deadline(_)), "{sql}\n{error}");
    }
}

/// Work that grows faster than its arguments is bounded: one call cannot be interrupted.
#[test]
fn one_call_does_not_take_long() {
    let long = "repeat('ab', 500000)";
    let few = "(SELECT user_name AS u FROM authentication LIMIT 5)";
    for sql in [
        format!("SELECT levenshtein({long}, reverse({long}))"),
        format!("SELECT max(levenshtein(concat({long}, u), {long})) FROM {few}"),
        format!("SELECT max(strpos({long}, concat(repeat('ab', 250000), u))) FROM {few}"),
        "SELECT array_has_all(array_repeat(1, 100000), array_repeat(1, 100000))".to_owned(),
        "SELECT array_has_any(array_repeat('a', 100000), array_repeat('b', 100000))".to_owned(),
    ] {
        let begun = now();
        let error = run(&sql).unwrap_err().to_string();
        assert!(error.contains("steps for one value"), "{sql}\n{error}");
        assert!(begun.elapsed() < Duration::from_secs(10), "{sql}: {:?}", begun.elapsed());
    }
    // What one value may take, a batch of any size may, a piece at a time.
    let each = "levenshtein(repeat(user_name, 250), repeat(status, 250))";
    let some = "(SELECT user_name, status FROM authentication LIMIT 1000)";
    let n = run(&format!("SELECT count({each}) AS n FROM {some}")).unwrap();
    assert_eq!(n.batches[0].column(0).as_primitive::<Int64Type>().value(0), 1000);
}

#[test]
fn what_work_holds_is_held_until_its_thread_has_ended() {
    let held = std::sync::Arc::new(());
    let cancel = Cancel::default();
    let rows: Vec<Row> = (0..3000)
        .map(|i| Row { uid: i, time: 0, user: Some("u".into()), status: None, ip: None })
        .collect();
    let cross = "SELECT count(*) FROM events a, events b, events c WHERE a.user_name || b.user_name = c.user_name";
    let begun = now();
    std::thread::scope(|scope| {
        let (cancel, rows, held) = (&cancel, &rows, held.clone());
        let query = scope.spawn(move || {
            query(cross, &authentication(rows, 1000), QueryLimits::default(), &cancel.holding(held))
        });
        std::thread::sleep(Duration::from_millis(500));
        cancel.cancel();
        assert!(matches!(query.join().unwrap(), Err(SqlError::Cancelled)));
    });
    assert_eq!(std::sync::Arc::strong_count(&held), 1, "the thread has ended");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[test]
fn memory_and_results_have_limits() {
    let error = run("SELECT string_agg(a.user_name || b.user_name, ',') FROM events a, events b")
        .unwrap_err();
    assert!(matches!(error, SqlError::Limit(_) | SqlError::Deadline(_)), "{error}");
    let result = run("SELECT a.time FROM events a, events b").unwrap();
    assert!(result.truncated);
    assert_eq!(result.batches.iter().map(|b| b.num_rows()).sum::<usize>(), 5000);
    assert!(!run("SELECT time FROM events").unwrap().truncated);
}

#[test]
fn a_bad_value_is_an_error_with_its_reason() {
    let error = run("SELECT 1 / (src_port - src_port) FROM authentication").map(|_| ());
    assert!(error.is_ok(), "NULL ports divide nothing");
    let error = run("SELECT CAST(user_name AS INT) FROM authentication").unwrap_err();
    assert!(error.to_string().contains("Cannot cast string 'u0'"), "{error}");
}

#[test]
fn windows_work_in_hunts_and_only_in_group_by() {
    let result = run("SELECT user_name, tumble(time, INTERVAL '1 minute') AS w, count(*) AS n \
         FROM authentication GROUP BY user_name, w HAVING count(*) >= 6")
    .unwrap();
    let n = result.batches[0].column_by_name("n").unwrap().as_primitive::<Int64Type>().value(0);
    assert_eq!(n, 6);
    for (sql, expect) in [
        ("SELECT tumble(time, INTERVAL '1 minute') FROM authentication", "only valid in GROUP BY"),
        (
            "SELECT 1 FROM authentication WHERE first_seen(INTERVAL '1 day', user_name) OR time IS NULL",
            "only valid as a condition",
        ),
        (
            "SELECT count(*) FROM authentication GROUP BY sliding(user_name, INTERVAL '1 day')",
            "must be the time column",
        ),
        (
            "SELECT count(*) FROM authentication GROUP BY hop(time, INTERVAL '1 day', INTERVAL '1 hour')",
            "swapped?",
        ),
        (
            "SELECT count(*) FROM authentication GROUP BY tumble(time, INTERVAL '1 month')",
            "without months",
        ),
        (
            "SELECT count(*) FROM authentication GROUP BY tumble(time, INTERVAL '1 day'), sliding(time, INTERVAL '1 day')",
            "one window",
        ),
    ] {
        let error = run(sql).unwrap_err();
        assert!(error.to_string().contains(expect), "{sql}\n{error}");
    }
}

#[expect(clippy::disallowed_methods, reason = "how long work takes")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}
