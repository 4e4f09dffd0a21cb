//! Texts in, plan summaries or problems out.

mod agreement;

use sluice_stream::{Predicate, Stage, StreamPlan};

use super::{Compiler, RuleText};

fn summary(plan: &StreamPlan) -> String {
    let mut out = String::new();
    for branch in plan.branches.iter().take(2) {
        out += &format!("{} [{}]", branch.table, show(&branch.filter));
        for residual in &branch.residual {
            out += &format!(" residual {}", residual.sql());
        }
        out.push_str("; ");
    }
    if plan.branches.len() > 2 {
        out += &format!("and {} more; ", plan.branches.len() - 2);
    }
    match &plan.stage {
        Stage::Stateless => out.push_str("stateless"),
        Stage::Surprise(asking) => out += &format!("surprise {}", asking.baseline),
        Stage::Baseline(baseline) => out += &format!("baseline {}", baseline.spec.id),
        Stage::FirstSeen(first) => {
            out += &format!("first_seen {} over {}", first.span, first.outputs);
        }
        Stage::Window(window) => {
            let having = window.having.as_ref().map_or("-", |h| h.sql());
            out += &format!("{:?} keys {} having {having}", window.window, window.keys);
            for a in &window.aggregates {
                out += &format!(" {:?}({:?},{:?})", a.function, a.argument, a.filter);
            }
        }
    }
    out += &format!("; {:?}", plan.emit);
    out
}

fn show(predicate: &Predicate) -> String {
    let all = |parts: &[Predicate]| parts.iter().map(show).collect::<Vec<_>>().join(", ");
    match predicate {
        Predicate::And(parts) => format!("and({})", all(parts)),
        Predicate::Or(parts) => format!("or({})", all(parts)),
        Predicate::Not(inner) => format!("not({})", show(inner)),
        Predicate::IsTrue(inner) => format!("is_true({})", show(inner)),
        Predicate::IsFalse(inner) => format!("is_false({})", show(inner)),
        Predicate::IsUnknown(inner) => format!("is_unknown({})", show(inner)),
        Predicate::Constant(value) => format!("{value:?}"),
        Predicate::Leaf(leaf) => match leaf.atom {
            sluice_stream::Atom::Column { .. } => leaf.sql.to_string(),
            sluice_stream::Atom::Virtual { .. } => format!("virtual {}", leaf.sql),
            sluice_stream::Atom::Opaque { .. } => format!("opaque {}", leaf.sql),
        },
    }
}

fn run(sql: &str) -> String {
    let text = RuleText { id: "t", path: "t.sql", sql, allow_dead: true, ..RuleText::default() };
    match Compiler::new(vec![]).compile_text(&text) {
        Ok(compiled) => summary(&compiled.plan),
        Err(found) => found
            .iter()
            .map(|d| {
                let place = d
                    .span
                    .map_or("-".to_owned(), |s| format!("{}:{}+{}", s.line, s.column, s.length));
                format!("{} {place} {}", d.code, d.primary)
            })
            .collect::<Vec<_>>()
            .join("\n"),
    }
}

#[track_caller]
fn check(sql: &str, expected: &str) {
    assert_eq!(run(sql), expected, "{sql}");
}

fn condition(sql: &str) -> String {
    let sql = format!("SELECT time FROM network WHERE {sql}");
    let shown = run(&sql);
    shown
        .strip_prefix("network [")
        .and_then(|s| s.strip_suffix("]; stateless; OnMatch"))
        .map_or(shown.clone(), str::to_owned)
}

#[test]
fn conditions_become_typed_atoms() {
    let cases = [
        ("user_name = 'a'", "user_name = 'a'"),
        ("'a' = user_name", "user_name = 'a'"),
        ("status = 'Failure'", "status = 'Failure'"),
        ("status <> 'Failure'", "not(status = 'Failure')"),
        ("status IN ('b', 'a', 'b')", "status IN ('a', 'b')"),
        (
            "status NOT IN ('c', 'b', 'a', 'd', NULL)",
            "and(not(status IN ('a', 'b', 'c', 'd')), None)",
        ),
        ("status = 'a' OR dst_port = 1 OR status = 'b'", "or(status IN ('a', 'b'), dst_port = 1)"),
        ("status <> 'a' AND status <> 'b'", "not(status IN ('a', 'b'))"),
        ("user_name LIKE '%adm%'", "contains(user_name, 'adm')"),
        ("status ILIKE 'adm%'", "istarts(status, 'adm')"),
        ("starts_with(status, 'a')", "starts_with(status, 'a')"),
        (
            "icontains(user_name, 'a', 'b')",
            "or(icontains(user_name, 'a'), icontains(user_name, 'b'))",
        ),
        ("regexp_like(user_name, '^a[0-9]+', 'i')", "user_name ~ '(?i)^a[0-9]+'"),
        ("user_name !~ 'a+b'", "not(user_name ~ 'a+b')"),
        ("dst_port BETWEEN 1 AND 5", "and(dst_port >= 1, dst_port <= 5)"),
        ("5 < bytes_out", "bytes_out > 5"),
        ("cidr_match(src_ip, '10.1.2.3/8')", "cidr_match(src_ip, '10.0.0.0/8')"),
        ("src_ip IS NULL", "src_ip IS NULL"),
        ("src_is_private", "src_is_private"),
        ("NOT src_is_private", "not(src_is_private)"),
        ("(status = 'a') IS NOT TRUE", "not(is_true(status = 'a'))"),
        ("lower(user_name) = 'a'", "virtual lower(user_name) = 'a'"),
        (
            "json_get_str(unmapped, 'k') LIKE 'x%'",
            "virtual starts_with(json_get_str(unmapped, 'k'), 'x')",
        ),
        ("time >= '2026-01-01T00:00:00Z'", "\"time\" >= '2026-01-01T00:00:00.000Z'"),
        ("length(user_name) > 5", "opaque character_length(user_name) > 5"),
    ];
    let wrong: Vec<_> = cases
        .iter()
        .filter_map(|(sql, expected)| {
            let got = condition(sql);
            (got != expected.replace("\"time\"", "time"))
                .then(|| format!("{sql}\n  {got}\n  {expected}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_can_fail_is_apart_from_the_network() {
    assert_eq!(
        run("SELECT time FROM network WHERE dst_port = 1 AND (10 / bytes_out > 1 OR status = 'a')")
            .split(" residual ")
            .next(),
        Some("network [dst_port = 1]")
    );
}

#[test]
fn windows_and_first_seen() {
    check(
        "SELECT user_entity, count(*) AS n FROM authentication WHERE status = 'Failure' \
         GROUP BY user_entity, sliding(time, INTERVAL '10 minutes') HAVING count(*) >= 5",
        "authentication [status = 'Failure']; Sliding { size: 600000 } keys 1 having count(*) >= 5 \
         Count(None,None); OnMatch",
    );
    check(
        "WITH f AS (SELECT user_name AS u, src_ip, time FROM authentication WHERE is_mfa) \
         SELECT u, count(DISTINCT src_ip) AS n FROM f GROUP BY u, tumble(time, INTERVAL '1 hour') \
         HAVING count(DISTINCT src_ip) < 5",
        "authentication [is_mfa]; Tumble { size: 3600000 } keys 1 having \
         count(DISTINCT f.src_ip) < 5 CountDistinct(Some(1),None); OnWatermark",
    );
    check(
        "SELECT user_entity, src_country FROM authentication WHERE status = 'Success' \
         AND first_seen(INTERVAL '14 days', user_entity, src_country)",
        "authentication [status = 'Success']; first_seen 1209600000 over 2; OnWatermark",
    );
    let events = run("SELECT user_entity FROM events WHERE status = 'a'");
    assert!(events.ends_with("and 8 more; stateless; OnMatch"), "{events}");
}

#[test]
fn refusals_have_codes_and_places() {
    check(
        "SELECT user_nam FROM authentication",
        "R011 1:8+8 no column `user_nam` in `authentication`",
    );
    check("SELECT * FROM authentcation", "R011 1:15+13 no table `authentcation`");
    check(
        "SELECT src_ip, count(*) AS n\nFROM network\nGROUP BY src_ip",
        "R015 3:1+15 this rule would keep state for ever",
    );
    check("SELECT time FROM network WHERE time > now()", "R010 1:39+3 `now` is not allowed");
    check(
        "SELECT time FROM network WHERE status = 5",
        "R013 1:32+6 `status` is text, `5` is a number",
    );
    check(
        "SELECT time FROM network WHERE user_name LIKE '%\\x'",
        "R014 1:47+5 a backslash in LIKE vanishes",
    );
    check(
        "SELECT time FROM network WHERE user_name ~ 'a(?=b)'",
        "R032 1:46+1 look-around cannot run in linear time",
    );
    check(
        "SELECT DISTINCT user_name FROM network",
        "R016 1:1+6 DISTINCT would remember every row for ever",
    );
    check(
        "SELECT time FROM network; SELECT 1",
        "R019 1:27+6 one statement is allowed, this is the second",
    );
    check(
        "SELECT time FROM network WHERE status = 'a' OR first_seen(INTERVAL '1 day', user_name)",
        "R016 1:48+10 `first_seen` stands where it has no meaning",
    );
}

#[test]
fn five_thousand_terms_compile_and_more_are_refused() {
    let terms = vec!["user_name = 'v'"; 20_000].join(" OR ");
    let shown = run(&format!("SELECT time FROM network WHERE {terms}"));
    assert!(shown.starts_with("R019 1:"), "{shown}");
    for term in ["user_name LIKE '%needle{}%'", "user_name = 'v{}'"] {
        let terms: Vec<String> = (0..5_000).map(|i| term.replace("{}", &i.to_string())).collect();
        let shown = run(&format!("SELECT time FROM network WHERE {}", terms.join(" OR ")));
        assert!(
            shown.ends_with("stateless; OnMatch"),
            "{}",
            &shown.chars().take(300).collect::<String>()
        );
    }
}

#[test]
fn the_fingerprint_is_of_what_the_conditions_mean() {
    let fingerprint = |condition: &str| {
        let sql = format!(
            "SELECT user_name, count(*) AS n FROM network WHERE {condition} \
             GROUP BY user_name, sliding(time, INTERVAL '5 minutes') HAVING count(*) > 3"
        );
        let text =
            RuleText { id: "t", path: "t.sql", sql: &sql, allow_dead: true, ..RuleText::default() };
        Compiler::new(vec![]).compile_text(&text).unwrap().plan.fingerprint
    };
    let one = fingerprint("status = 'a' AND dst_port = 1");
    assert_eq!(one, fingerprint("(dst_port = 1) AND ((status = 'a') AND TRUE)"));
    assert_eq!(one, fingerprint("dst_port = 1 AND status = 'a' AND 1 = 1"));
    assert_ne!(one, fingerprint("dst_port = 1 AND status = 'b'"));
}
