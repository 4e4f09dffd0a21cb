//! Our functions as SQL calls them, over text, dictionaries and NULL.

use std::collections::BTreeMap;

use sluice_sql::{Cancel, QueryLimits, query};

use crate::support::{Row, authentication, texts};

/// `expr` over one row whose `user_name` (text) and `status` (dictionary) are `value`.
#[track_caller]
fn check(expr: &str, value: Option<&str>, expect: Option<&str>) {
    let value = value.map(str::to_owned);
    let other =
        Row { uid: 2, time: 0, user: Some("zz".into()), status: Some("zz".into()), ip: None };
    let row = Row { uid: 1, time: 0, user: value.clone(), status: value.clone(), ip: None };
    let tables = authentication(&[other.clone(), row, other], 3);
    for column in ["user_name", "status"] {
        let expr = expr.replace('@', column);
        let sql = format!("SELECT ({expr}) AS x, event_uid AS u FROM authentication ORDER BY u");
        let result = query(&sql, &tables, QueryLimits::default(), &Cancel::default())
            .unwrap_or_else(|e| panic!("{sql}\n{e}"));
        let found = texts(&result.batches[0], "x")[0].clone();
        assert_eq!(found.as_deref(), expect, "{expr} of {value:?}");
    }
}

#[test]
fn text_tests_ignore_case_and_keep_null() {
    for (expr, value, expect) in [
        ("icontains(@, 'ADM', 'x')", Some("the admin"), Some("true")),
        ("icontains(@, 'adm')", Some("root"), Some("false")),
        ("icontains(@, '%_')", Some("abc"), Some("false")),
        (r"icontains(@, '\temp')", Some(r"C:\TEMP\x"), Some("true")),
        ("icontains(@, 'a')", None, None),
        ("istarts(@, 'PS')", Some("psexec"), Some("true")),
        ("iends(@, '.EXE', '.dll')", Some("a.dll"), Some("true")),
        (r"iends(@, '\cmd.exe')", Some(r"C:\Windows\CMD.exe"), Some("true")),
        ("ieq(@, 'ROOT')", Some("root"), Some("true")),
        ("ieq(@, 'ROOT')", Some("roots"), Some("false")),
        ("sigma_like(@, 'a*?c')", Some("AxxC"), Some("true")),
        ("sigma_like(@, 'a*')", None, None),
        ("base64_contains(@, 'foobar')", Some("xxZvb2Jhcyy"), Some("true")),
        ("@ = 'a' IS NULL", None, Some("true")),
    ] {
        check(expr, value, expect);
    }
}

#[test]
fn addresses_are_tested_by_network() {
    for (expr, value, expect) in [
        ("cidr_match(@, '10.0.0.0/8', '192.168.0.0/16')", Some("192.168.1.1"), Some("true")),
        ("cidr_match(@, '10.0.0.0/8')", Some("203.0.113.9"), Some("false")),
        ("cidr_match(@, '10.0.0.0/8')", Some("nonsense"), None),
        ("cidr_match(@, '10.0.0.0/8')", None, None),
        ("is_private(@)", Some("172.16.3.4"), Some("true")),
        ("is_private(@)", Some("8.8.8.8"), Some("false")),
        ("is_private(@)", Some("fd00::1"), Some("true")),
        ("is_private(@)", Some(""), None),
    ] {
        check(expr, value, expect);
    }
}

#[test]
fn json_values_are_found_by_path() {
    let json = Some(r#"{"a": {"n": 7, "ok": "TRUE", "l": [10, 20]}, "z": null}"#);
    for (expr, value, expect) in [
        ("json_get_str(@, 'a', 'n')", json, Some("7")),
        ("json_get_int(@, 'a', 'n') + 1", json, Some("8")),
        ("json_get_bool(@, 'a', 'ok')", json, Some("true")),
        ("json_get_int(@, 'a', 'l', '1')", json, Some("20")),
        ("json_get_str(@, 'z')", json, None),
        ("json_contains(@, 'z')", json, Some("true")),
        ("json_contains(@, 'y')", json, Some("false")),
        ("json_get_str(@, 'a')", Some("{broken"), None),
        ("json_get_str(@, 'a')", None, None),
    ] {
        check(expr, value, expect);
    }
}

#[test]
fn lambdas_backslashes_and_bins_work() {
    for (expr, expect) in [
        (r"'C:\path'", r"C:\path"),
        ("'a' || 1 || 'b'", "a1b"),
        ("array_to_string(['a'] || ['b'], '')", "ab"),
        ("coalesce('a' || NULL, 'null')", "null"),
        ("@ || '!'", "x!"),
        ("array_any_match(['a', 'b'], v -> v = 'b')", "true"),
        ("array_to_string(array_filter(['a', 'b'], v -> v <> 'b'), ',')", "a"),
        (
            "CAST(CAST(bin(to_timestamp_millis('1969-12-31T23:59:59Z'), INTERVAL '1 minute') AS BIGINT) AS VARCHAR)",
            "-60000",
        ),
        (
            "CAST(to_timestamp_millis('2026-01-04T00:00:00Z') - to_timestamp_millis('2026-01-01T00:00:00Z') <= INTERVAL '1 day' AS VARCHAR)",
            "false",
        ),
    ] {
        check(expr, Some("x"), Some(expect));
    }
}

#[test]
fn needles_must_be_literals_and_arguments_text() {
    for (sql, expect) in [
        ("SELECT icontains(user_name, src_ip) FROM events", "must be a literal"),
        ("SELECT icontains(src_port, 'a') FROM events", "must be text"),
        ("SELECT icontains(user_name) FROM events", "at least 1 literals"),
        ("SELECT cidr_match(src_ip, '10.0.0.0/40') FROM events", "is no network"),
        ("SELECT icontain(user_name, 'x') FROM events", "icontains"),
        ("SELECT usr_name FROM events", "user_name"),
        ("SELECT user_name FROM evnts", "R011: table evnts not found (hint: did you mean events?)"),
    ] {
        let error =
            query(sql, &BTreeMap::new(), QueryLimits::default(), &Cancel::default()).unwrap_err();
        assert!(error.to_string().contains(expect), "{sql}\n{error}");
    }
}
