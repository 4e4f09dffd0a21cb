//! Each kind of condition that no row fulfils, with one beside it that a row can.

use crate::{Compiler, compiler::RuleText};

fn verdict(sql: &str) -> Vec<String> {
    let compiler = Compiler::new(Vec::new());
    let text = RuleText { id: "t", path: "t.sql", sql, ..RuleText::default() };
    match compiler.compile_text(&text) {
        Ok(rule) => rule.warnings.iter().map(|w| w.code.to_owned()).collect(),
        Err(problems) => problems.iter().map(|p| format!("{} {}", p.code, p.primary)).collect(),
    }
}

#[track_caller]
fn dead(sql: &str) {
    let found = verdict(sql);
    assert!(found.iter().any(|p| p.starts_with("R034 ")), "can never fire: {sql}\n{found:#?}");
}

#[track_caller]
fn alive(sql: &str) {
    let found = verdict(sql);
    assert!(found.iter().all(|p| !p.starts_with("R0") || p.len() == 4), "{sql}\n{found:#?}");
}

/// Pairs of conditions on a table: never true, can be true.
#[track_caller]
fn pairs(table: &str, cases: &[(&str, &str)]) {
    for (never, sometimes) in cases {
        dead(&format!("SELECT time FROM {table} WHERE {never}"));
        alive(&format!("SELECT time FROM {table} WHERE {sometimes}"));
    }
}

/// The same over the groups of a user in five minutes.
#[track_caller]
fn groups(filter: &str, cases: &[(&str, &str)]) {
    for (never, sometimes) in cases {
        let rule = |having: &str| {
            format!(
                "SELECT user_entity FROM authentication WHERE {filter} \
                 GROUP BY user_entity, sliding(time, INTERVAL '5 minutes') HAVING {having}"
            )
        };
        dead(&rule(never));
        alive(&rule(sometimes));
    }
}

#[test]
fn conditions_that_exclude_each_other() {
    pairs(
        "authentication",
        &[
            ("user_name = 'a' AND user_name = 'b'", "user_name = 'a' OR user_name = 'b'"),
            (
                "user_name IN ('a', 'b') AND user_name IN ('c', 'd')",
                "user_name IN ('a', 'b') AND user_name IN ('b', 'c')",
            ),
            (
                "user_name IN ('a', 'b', 'c', 'd', 'e') AND user_name NOT IN ('a', 'b', 'c', 'd', 'e')",
                "user_name IN ('a', 'b', 'c', 'd', 'e') AND user_name NOT IN ('a', 'b', 'c', 'd')",
            ),
            (
                "user_name = 'a' AND (user_name = 'b' OR user_name LIKE 'c%')",
                "user_name = 'a' AND (user_name = 'b' OR user_name LIKE 'a%')",
            ),
            (
                "user_name IS NULL AND length(user_name) > 3",
                "user_name IS NULL AND length(user_uid) > 3",
            ),
            (
                "user_name IS NULL AND user_name = user_email",
                "user_name IS NULL AND coalesce(user_name, 'x') = user_email",
            ),
            (
                "user_name IS NULL AND icontains(user_name, 'a')",
                "user_name IS NULL AND icontains(user_uid, 'a')",
            ),
            (
                "starts_with(user_name, 'ab') AND starts_with(user_name, 'b')",
                "starts_with(user_name, 'ab') AND starts_with(user_name, 'a')",
            ),
            (
                "ends_with(user_name, '.org') AND user_name LIKE '%.com'",
                "ends_with(user_name, '.org') AND user_name LIKE '%g'",
            ),
            (
                "user_name LIKE 'a%' AND user_name NOT LIKE 'a%'",
                "user_name LIKE 'a%' AND user_name NOT LIKE 'a%b'",
            ),
            (
                "istarts(user_name, 'A') AND user_name LIKE 'b%'",
                "istarts(user_name, 'A') AND user_name LIKE 'a%'",
            ),
            (
                "user_name = 'x' AND regexp_like(user_name, '[0-9]')",
                "user_name = 'x1' AND regexp_like(user_name, '[0-9]')",
            ),
            (
                "(icontains(user_name, 'a')) IS NOT TRUE AND icontains(user_name, 'a')",
                "(icontains(user_name, 'a')) IS NOT TRUE AND icontains(user_name, 'b')",
            ),
            ("is_mfa AND NOT is_mfa", "is_mfa AND NOT is_remote"),
            ("is_mfa IS TRUE AND is_mfa IS FALSE", "is_mfa IS TRUE AND is_remote IS FALSE"),
            ("user_name <> user_name", "user_name <> user_email"),
            ("user_name IS DISTINCT FROM user_name", "user_name IS DISTINCT FROM user_email"),
            (
                "time < TIMESTAMP '2020-01-01T00:00:00Z' AND time > TIMESTAMP '2024-01-01T00:00:00Z'",
                "time > TIMESTAMP '2020-01-01T00:00:00Z' AND time < TIMESTAMP '2024-01-01T00:00:00Z'",
            ),
        ],
    );
    pairs(
        "network",
        &[
            ("bytes_out > 5 AND bytes_out < 3", "bytes_out > 3 AND bytes_out < 5"),
            ("bytes_out > 5 AND bytes_out < 6", "bytes_out > 5 AND bytes_out < 7"),
            ("dst_port BETWEEN 100 AND 50", "dst_port BETWEEN 50 AND 100"),
            ("src_port > dst_port AND dst_port > src_port", "src_port > dst_port AND dst_port > 3"),
            (
                "cidr_match(src_ip, '10.0.0.0/8') AND cidr_match(src_ip, '192.168.0.0/16')",
                "cidr_match(src_ip, '10.0.0.0/8') AND cidr_match(src_ip, '10.1.0.0/16')",
            ),
            (
                "src_ip = '8.8.8.8' AND cidr_match(src_ip, '10.0.0.0/8')",
                "src_ip = '10.8.8.8' AND cidr_match(src_ip, '10.0.0.0/8')",
            ),
            (
                "NOT is_private(src_ip) AND cidr_match(src_ip, '10.0.0.0/8')",
                "NOT is_private(src_ip) AND cidr_match(src_ip, '11.0.0.0/8')",
            ),
            (
                "src_ip = '8.8.8.8' AND is_private(src_ip)",
                "src_ip = '8.8.8.8' AND is_private(dst_ip)",
            ),
        ],
    );
}

#[test]
fn values_that_a_column_never_has() {
    pairs(
        "authentication",
        &[
            ("status = 'failure'", "status = 'Failure'"),
            ("status IN ('FAILED', 'error')", "status IN ('FAILED', 'Failure')"),
            ("status IS NOT DISTINCT FROM 'failure'", "status IS NOT DISTINCT FROM 'Failure'"),
            ("status LIKE 'fail%'", "status LIKE 'Fail%'"),
            ("status ILIKE 'fail'", "status ILIKE 'failure'"),
            ("regexp_like(status, '^fail')", "regexp_like(status, '(?i)^fail')"),
            ("sigma_like(status, 'fail')", "sigma_like(status, 'fail*')"),
            ("lower(status) = 'fail'", "lower(status) = 'failure'"),
            ("coalesce(status, 'none') = 'failure'", "coalesce(status, 'none') = 'none'"),
            ("nullif(status, 'Unknown') = 'failure'", "nullif(status, 'Unknown') = 'Failure'"),
            ("trim(status) = 'failure'", "trim(status) = 'Failure'"),
            ("strpos(status, 'xyz') > 0", "strpos(status, 'ail') > 0"),
            ("length(status) = 40", "length(status) = 7"),
            ("status_id = 7", "status_id = 2"),
            ("class_uid = 6003", "class_uid = 3002"),
            ("NOT (status <> 'failure')", "NOT (status <> 'Failure')"),
        ],
    );
    pairs("identity_change", &[("change = 'MFA_ADDED'", "change = 'mfa_added'")]);
    pairs("events", &[("status = 'failure'", "status = 'Failure'")]);
}

#[test]
fn spellings_that_are_not_canonical() {
    pairs(
        "authentication",
        &[
            ("user_entity = 'Ann'", "user_entity = 'ann'"),
            ("user_entity LIKE 'Ann%'", "user_entity LIKE 'ann%'"),
            ("user_entity ~ '^Ann'", "user_entity ~ '^ann'"),
            ("regexp_like(user_entity, '^[A-Z]')", "regexp_like(user_entity, '^[A-Za-z]')"),
            ("contains(user_entity, 'ANN')", "icontains(user_entity, 'ANN')"),
            ("right(user_entity, 3) = 'ORG'", "right(user_entity, 3) = 'org'"),
            (
                "split_part(user_entity, '@', 2) = 'X.org'",
                "split_part(user_name, '@', 2) = 'X.org'",
            ),
            ("concat(user_entity, '') = 'Ann'", "concat(user_entity, user_name) = 'Ann'"),
            ("array_has(ips, '2001:DB8::1')", "array_has(ips, '2001:db8::1')"),
            (
                "array_has_any(ips, ['2001:DB8::1', '10.0.0.0/8'])",
                "array_has_any(ips, ['2001:DB8::1', '10.0.0.1'])",
            ),
            ("array_has_all(hosts, ['WEB-1', 'a'])", "array_has_all(hosts, ['web-1', 'a'])"),
            (
                "array_any_match(hosts, v -> v = 'WEB-1')",
                "array_any_match(hosts, v -> v = 'web-1')",
            ),
            ("lower(user_name) LIKE '%Ann%'", "lower(user_name) LIKE '%ann%'"),
            ("upper(user_name) = 'ann'", "upper(user_name) = 'ANN'"),
        ],
    );
    pairs(
        "network",
        &[
            ("src_ip = '2001:DB8::1'", "src_ip = '2001:db8::1'"),
            ("src_ip = '2001:db8:0:0::1'", "src_ip = '::1'"),
            ("src_ip = '::ffff:10.0.0.1'", "src_ip = '10.0.0.1'"),
            ("src_ip = '10.0.0.1:22'", "src_ip = 'cloudtrail.amazonaws.com'"),
            ("src_ip = '10.0.0.0/8'", "cidr_match(src_ip, '10.0.0.0/8')"),
            ("src_ip = '10.0.0.256'", "src_ip = '10.0.0.255'"),
            ("src_ip LIKE '10.0.0.0/%'", "src_ip LIKE '10.0.0.%'"),
            ("starts_with(src_ip, '010.')", "starts_with(src_ip, '10.')"),
            ("src_hostname = 'web-1.example.com.'", "src_hostname = 'web-1.example.com'"),
        ],
    );
    pairs("process", &[("process_hash_sha256 = 'E3B0'", "process_hash_sha256 = 'e3b0'")]);
    pairs(
        "api_activity",
        &[
            ("json_get_str(request, '$.a.b') = 'x'", "json_get_str(request, 'a', 'b') = 'x'"),
            (
                "array_has(json_list(request, 'items[*]'), 'x')",
                "array_has(json_list(request, 'items', '*'), 'x')",
            ),
            ("json_equal(request, '{bad')", r#"json_equal(request, '{"a":1}')"#),
        ],
    );
}

#[test]
fn results_that_a_function_never_gives() {
    pairs(
        "authentication",
        &[
            ("date_part('hour', time) = 24", "date_part('hour', time) = 23"),
            ("date_part('dow', time) IN (7, 8)", "date_part('dow', time) IN (6, 7)"),
            (
                "date_part('hour', time AT TIME ZONE 'Europe/Berln') > 3",
                "date_part('hour', time AT TIME ZONE 'Europe/Berlin') > 3",
            ),
            ("to_char(time, '%H') = '9'", "to_char(time, '%H') = '09'"),
            ("to_char(time, '%a') = 'Monday'", "to_char(time, '%A') = 'Monday'"),
            ("left(user_name, 3) = 'admin'", "left(user_name, 5) = 'admin'"),
            ("substr(user_name, 1, 3) = 'admin'", "substr(user_name, 1, 5) = 'admin'"),
            ("md5(user_name) = 'abc'", "md5(user_name) = '0cc175b9c0f1b6a831c399e269772661'"),
            ("length(user_name) < 0", "length(user_name) < 1"),
            ("regexp_like(user_name, 'a$b')", "regexp_like(user_name, 'a$')"),
            ("regexp_like(user_name, 'x^a')", "regexp_like(user_name, '^xa')"),
            ("user_name = NULL", "user_name IS NULL"),
            ("user_name NOT IN ('a', NULL)", "user_name IN ('a', NULL)"),
        ],
    );
    pairs(
        "network",
        &[
            ("dst_port = 70000", "dst_port = 7000"),
            ("dst_port < 0", "dst_port < 1"),
            ("bytes_out < 0", "bytes_out < 1"),
            ("dst_port % 2 = 2", "dst_port % 2 = 1"),
            ("abs(dst_port) = -1", "abs(dst_port) = 1"),
            ("cidr_match(src_ip, '10.0.0.0/33')", "cidr_match(src_ip, '10.0.0.0/32')"),
            ("cidr_match(src_ip, 'internal')", "cidr_match(src_ip, '::1')"),
        ],
    );
}

#[test]
fn groups_that_never_come() {
    groups(
        "user_entity IS NOT NULL",
        &[
            ("count(*) = 0", "count(*) = 1"),
            ("count(*) < 1", "count(*) < 2"),
            ("count(*) > 5 AND count(*) < 3", "count(*) > 3 AND count(*) < 5"),
            ("count(DISTINCT src_ip) > count(*)", "count(DISTINCT src_ip) >= count(*)"),
            (
                "count(*) FILTER (WHERE is_mfa) > count(*)",
                "count(*) FILTER (WHERE is_mfa) >= count(*)",
            ),
            ("count(DISTINCT user_entity) >= 2", "count(DISTINCT user_name) >= 2"),
            ("count(DISTINCT status) >= 6", "count(DISTINCT status) >= 4"),
            ("user_entity = 'Ann'", "user_entity = 'ann'"),
            (
                "count(*) FILTER (WHERE status = 'failure') >= 1",
                "count(*) FILTER (WHERE status = 'Failure') >= 1",
            ),
        ],
    );
    groups(
        "status = 'Failure' AND user_name IS NULL",
        &[(
            "count(*) FILTER (WHERE status = 'Success') >= 1",
            "count(*) FILTER (WHERE is_mfa) >= 1",
        )],
    );
}
