//! Rules that ask a baseline with `surprise(..)`: the stream gives what the days one after the other give in
//! batch, rows wait for their day and no longer, and what may not be asked is said.

use sluice_engine::{
    Content, History, LoadedRule, Partition,
    replay::{Dice, Replay, ReplayBuilder},
    rule_test::{Bench, Way, agree, same_in_every_way, test_rule},
};
use sluice_event::{PartitionId, TableName, TimeSettings};
use sluice_finding::FindingState;
use sluice_stream::Stage;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// 2026-01-05, a Monday.
const MONDAY: i64 = 20_458 * DAY;

const SIGNIN: &str = "/*---
id: baselines.signin
title: Sign-ins
kind: baseline
entity: {user: user_entity}
peer_group: learned
features:
  country: {kind: categorical, tactic: TA0001}
  device: {kind: categorical}
  hour: {kind: time_of_week, column: time}
  port: {kind: numeric}
  logons: {kind: count, windows: [1h, 1d]}
alarm_rate: 0.01
---*/
SELECT time, user_entity, src_country AS country, device_uid AS device, src_port AS port
FROM authentication
WHERE status = 'Success'
";

const SESSIONS: &str = "/*---
id: baselines.sessions
title: Sessions
kind: baseline
entity: {user: user_entity}
unit: session(30m)
features: {country: {kind: categorical}}
alarm_rate: 0.01
---*/
SELECT time, user_entity, src_country AS country FROM authentication
";

/// The rows of the table that the baseline learns from, with several answers of each and a part that fails.
const SAME_TABLE: &str = "SELECT time, user_entity, src_country, src_port,
       surprise('signin', 'country', user_entity, src_country) AS unusual,
       surprise('baselines.signin', 'port', user_entity, src_port) + surprise('signin', 'hour', user_entity, time) AS rest,
       CAST(10 / (src_port - 100) AS DOUBLE) + surprise('signin', 'hour', user_entity, time) AS part,
       concat(user_entity, ' from ', src_country) AS title
FROM authentication
WHERE status = 'Success'
  AND (surprise('signin', 'country', user_entity, src_country) > 1
       OR surprise('signin', 'device', user_entity, device_uid) > 1 AND src_country <> 'c3')
";

/// Rows of another table, also on days of which the baseline has none.
const OTHER_TABLE: &str = "SELECT time, user_entity, src_country,
       surprise('signin', 'country', user_entity, src_country) AS unusual
FROM identity_change
WHERE change = 'mfa_added'
  AND coalesce(surprise('signin', 'country', user_entity, src_country), 0) > CASE WHEN status = 'Success' THEN 0.8 ELSE 1.2 END
";

fn content(folder: &tempfile::TempDir) -> Content {
    let path = folder.path().join("rules/baselines");
    std::fs::create_dir_all(&path).unwrap();
    std::fs::write(path.join("signin.sql"), SIGNIN).unwrap();
    std::fs::write(path.join("sessions.sql"), SESSIONS).unwrap();
    let content = Content::load(&[], &[folder.path().join("rules")]).unwrap();
    let errors: Vec<_> = content.errors().map(|p| p.diagnostic.render(None)).collect();
    assert_eq!((content.baselines.len(), errors), (2, Vec::new()));
    content
}

fn file(more: &str, sql: &str) -> String {
    format!(
        "/*---\nid: identity.asks\ntitle: Asks\nseverity: low\nstatus: experimental\n{more}---*/\n{sql}\n"
    )
}

fn rule(content: &Content, more: &str, sql: &str) -> LoadedRule {
    let loaded = content.compile("identity/asks.sql", &file(more, sql));
    let shown = |problems: Vec<sluice_engine::Problem>| {
        let shown = problems.iter().map(|p| p.diagnostic.render(p.text.as_deref()));
        shown.collect::<Vec<_>>().join("\n")
    };
    let loaded = loaded.map_err(shown).unwrap_or_else(|shown| panic!("{sql}\n{shown}"));
    assert!(matches!(loaded.plan.stage, Stage::Surprise(_)));
    loaded
}

/// People who sign in on working days, and whose factors change at any hour of any day; both sometimes from
/// elsewhere, more often about midnight. Each table has a partition of its own, and one is shared.
fn organisation(seed: u64, users: u64, days: i64) -> Replay {
    let time = TimeSettings::default();
    let partition =
        |id| Partition { id: PartitionId(id), source: None, name: None, tables: Vec::new(), time };
    let mut builder = ReplayBuilder::new((0..3).map(partition).collect());
    let mut dice = Dice::new(seed);
    let mut rows = Vec::new();
    for day in 0..days {
        for user in 0..users {
            let works = day % 7 < 5 && !(16..20).contains(&day);
            for _ in 0..if works { 1 + dice.below(2) } else { 0 } {
                let night = dice.one_in(6);
                let strange = dice.one_in(if night { 3 } else { 8 });
                let of_day = match night {
                    true => dice.below(20 * MINUTE as usize) as i64,
                    false => 8 * HOUR + dice.below(9 * HOUR as usize) as i64,
                };
                rows.push((MONDAY + day * DAY + of_day, user, strange, false));
            }
            if dice.one_in(4) {
                let of_day = match dice.one_in(2) {
                    true => dice.below(40 * MINUTE as usize) as i64 - 20 * MINUTE,
                    false => dice.below(DAY as usize) as i64,
                };
                rows.push((MONDAY + day * DAY + of_day, user, dice.one_in(2), true));
            }
        }
    }
    rows.sort_unstable();
    for (at, user, strange, is_change) in rows {
        let country = if strange { 90 + dice.below(3) as u64 } else { user % 4 };
        let mut columns = serde_json::json!({
            "user_name": format!("u{user}@example.com"), "src_country": format!("c{country}"),
            "status": if dice.one_in(9) { "Failure" } else { "Success" },
        });
        let table = if is_change {
            columns["change"] = "mfa_added".into();
            "identity_change"
        } else {
            columns["device_uid"] = format!("d{}", if dice.one_in(10) { 77 } else { user }).into();
            // 100 is what the first rule fails on.
            columns["src_port"] = (100 + dice.below(3) * 1_000).into();
            "authentication"
        };
        if dice.one_in(30) {
            columns["src_country"] = serde_json::Value::Null;
        }
        let columns = columns.as_object().unwrap().clone().into_iter();
        let columns = columns.filter(|(_, value)| !value.is_null()).collect();
        let on = if user % 3 == 0 { 2 } else { u32::from(is_change) };
        builder.row(PartitionId(on), &TableName::new(table), at, &columns).unwrap();
    }
    builder.finish().unwrap()
}

/// What a rule finds, which is what the days one after the other give in batch.
fn found(sql: &str, more: &str, seeds: std::ops::Range<u64>) -> Vec<i64> {
    let folder = tempfile::tempdir().unwrap();
    let content = content(&folder);
    let rule = rule(&content, more, sql);
    let bench = Bench::new(&content, &rule, History::None);
    let mut times = Vec::new();
    for seed in seeds {
        let replay = organisation(seed, 9, 45);
        let agreement = agree(&bench, &replay, seed, true).unwrap();
        assert!(agreement.failures.is_empty(), "seed {seed}: {}", agreement.failures.join("\n"));
        let (found, failures) = same_in_every_way(&bench, &replay, seed).unwrap();
        assert!(failures.is_empty(), "seed {seed}: {}", failures.join("\n"));
        assert_eq!(found.len(), agreement.findings);
        for finding in found.values() {
            assert_eq!(finding.state, FindingState::Confirmed);
            assert_eq!(finding.evidence.len(), 1);
            assert!(finding.fields["unusual"].as_f64().is_some() || sql == SAME_TABLE);
            times.push(finding.time);
        }
    }
    times
}

#[test]
fn p1_rows_of_the_same_table_are_judged_as_in_batch() {
    let times = found(SAME_TABLE, "", 1..4);
    assert!(times.len() >= 30, "{} findings", times.len());
    let days: std::collections::BTreeSet<i64> = times.iter().map(|t| t.div_euclid(DAY)).collect();
    assert!(days.len() >= 8 && !days.contains(&(MONDAY / DAY)), "{days:?}");
    let early = times.iter().filter(|time| time.rem_euclid(DAY) < 10 * MINUTE);
    assert!(early.count() >= 2, "few within the lateness after midnight");
}

#[test]
fn p1_rows_of_another_table_are_judged_as_in_batch() {
    for (more, seed) in [("", 1), ("lateness: 2h\n", 3), ("emit: final\n", 5)] {
        let times = found(OTHER_TABLE, more, seed..seed + 2);
        assert!(times.len() >= 30, "{} findings", times.len());
        let rests = |time: &&i64| (*time - MONDAY).div_euclid(DAY) % 7 >= 5;
        assert!(times.iter().filter(rests).count() >= 5, "few on days without a sign-in");
        let before = times.iter().filter(|time| time.rem_euclid(DAY) >= DAY - 20 * MINUTE);
        let after = times.iter().filter(|time| time.rem_euclid(DAY) < 20 * MINUTE);
        assert!(before.count() >= 3 && after.count() >= 3, "few about midnight");
    }
}

/// Thirty days of one person, and about the last midnight factors added from elsewhere.
fn about_midnight() -> Replay {
    let time = TimeSettings::default();
    let only = Partition { id: PartitionId(0), source: None, name: None, tables: Vec::new(), time };
    let mut builder = ReplayBuilder::new(vec![only]);
    let mut row = |table: &str, at: i64, country: &str| {
        let columns = serde_json::json!({
            "user_name": "ann@example.com", "src_country": country, "status": "Success",
        });
        let mut columns: std::collections::BTreeMap<String, serde_json::Value> =
            columns.as_object().unwrap().clone().into_iter().collect();
        if table == "identity_change" {
            columns.insert("change".into(), "mfa_added".into());
        }
        builder.row(PartitionId(0), &TableName::new(table), at, &columns).unwrap();
    };
    for day in 0..30 {
        row("authentication", MONDAY + day * DAY + 9 * HOUR, "c1");
        row("authentication", MONDAY + day * DAY + 15 * HOUR, "c1");
    }
    let midnight = MONDAY + 30 * DAY;
    for minute in [-15, -9, -4, -1, 1, 4, 8] {
        row("identity_change", midnight + minute * MINUTE, "c9");
    }
    builder.finish().unwrap()
}

#[test]
fn rows_wait_for_their_day_and_no_longer_over_any_restart() {
    let folder = tempfile::tempdir().unwrap();
    let content = content(&folder);
    let rule = rule(&content, "", OTHER_TABLE);
    let bench = Bench::new(&content, &rule, History::None);
    let replay = about_midnight();
    let order: Vec<usize> = (0..replay.rows.len()).collect();
    let times = |way: &Way| -> Vec<i64> {
        let mut times: Vec<i64> =
            bench.run(&replay, way).unwrap().values().map(|f| f.time - MONDAY - 30 * DAY).collect();
        times.sort_unstable();
        times
    };
    let all: Vec<i64> = [-15, -9, -4, -1, 1, 4, 8].map(|minute| minute * MINUTE).into();
    // The newest is eight minutes old, the lateness ten: for all that is known the day has not begun.
    let waits = times(&Way { ends: false, ..Way::whole(&order) });
    assert_eq!(waits, all[..4]);
    assert_eq!(times(&Way::whole(&order)), all);
    for after in 0..replay.rows.len() as u64 {
        for shards in [1, 3] {
            let way = Way {
                cuts: order.clone(),
                restart_after: Some(after),
                shards,
                ..Way::whole(&order)
            };
            assert_eq!(times(&way), all, "restarted after {after} deliveries, {shards} shards");
        }
    }
}

#[test]
fn what_a_rule_may_not_ask_is_said_with_what_it_may() {
    let folder = tempfile::tempdir().unwrap();
    let content = content(&folder);
    let ask = "surprise('signin', 'country', user_entity, src_country) > 3";
    let of = |rest: &str| format!("SELECT time, user_entity FROM authentication WHERE {rest}");
    for (sql, code, says) in [
        (of("surprise('singin', 'country', user_entity, src_country) > 3"), "R011", "did you mean `signin`?"),
        (of("surprise('signin', 'contry', user_entity, src_country) > 3"), "R011", "did you mean `country`?"),
        (of("surprise('signin', 'logons', user_entity, 3) > 3"), "R013", "counts rows of a window"),
        (of("surprise('signin', 'port', user_entity, src_country) > 3"), "R013", "is a number"),
        (of("surprise('sessions', 'country', user_entity, src_country) > 3"), "R016", "whose unit is no day"),
        (
            of(&format!("{ask} AND surprise('sessions', 'country', user_entity, src_country) > 3")),
            "R016",
            "two baselines, `sessions` and `signin`",
        ),
        (of(&format!("{ask} AND first_seen(INTERVAL '1 day', user_entity)")), "R016", "beside `first_seen`"),
        (
            format!("SELECT user_entity, count(*) AS n FROM authentication WHERE {ask} \
                     GROUP BY user_entity, tumble(time, INTERVAL '1 hour') HAVING count(*) > 3"),
            "R016",
            "beside a window",
        ),
        (
            format!("SELECT time, user_entity FROM authentication WHERE {ask} UNION ALL \
                     SELECT time, user_entity FROM identity_change WHERE change = 'mfa_added'"),
            "R016",
            "reads one table",
        ),
        (
            "SELECT time, user_entity FROM findings WHERE surprise('signin', 'country', user_entity, title) > 3".to_owned(),
            "R016",
            "over `findings`",
        ),
        (of("entity IN (SELECT entity FROM baseline.signin)"), "R016", "about the day of the row"),
    ] {
        let problems = content.compile("identity/asks.sql", &file("", &sql)).expect_err(&sql);
        let shown: Vec<_> =
            problems.iter().map(|p| p.diagnostic.render(p.text.as_deref())).collect();
        let shown = shown.join("\n");
        assert!(shown.contains(code) && shown.contains(says), "{sql}\n{shown}");
    }
}

/// A reload reads all files: one that takes away what a rule asks names the rule.
#[test]
fn a_baseline_that_a_rule_asks_cannot_go_without_it() {
    let folder = tempfile::tempdir().unwrap();
    content(&folder);
    let rules = folder.path().join("rules");
    std::fs::create_dir_all(rules.join("identity")).unwrap();
    std::fs::write(rules.join("identity/asks.sql"), file("", OTHER_TABLE)).unwrap();
    let load = || Content::load(&[], std::slice::from_ref(&rules)).unwrap();
    assert_eq!((load().errors().count(), load().rules.len()), (0, 1));
    std::fs::remove_file(rules.join("baselines/signin.sql")).unwrap();
    let content = load();
    let errors: Vec<_> = content.errors().map(|p| p.diagnostic.render(p.text.as_deref())).collect();
    assert!(content.rules.is_empty() && errors.len() == 1, "{errors:?}");
    assert!(
        errors[0].contains("no baseline `signin`") && errors[0].contains("asks.sql"),
        "{errors:?}"
    );
    std::fs::remove_file(rules.join("baselines/sessions.sql")).unwrap();
    let content = load();
    let errors: Vec<_> = content.errors().map(|p| p.diagnostic.render(p.text.as_deref())).collect();
    assert!(errors[0].contains("none is loaded"), "{errors:?}");
}

/// Its tests have the model of the baseline beside it, learned from the events of the case.
#[test]
fn a_case_gives_the_days_that_are_learned() {
    let folder = tempfile::tempdir().unwrap();
    let content = content(&folder);
    let cases = "/*--- tests
- name: from elsewhere after a month fires
  events:
    - &in {t: +9h, repeat: 30, every: 1d, table: authentication, user_name: ann@example.com, status: Success, src_country: DE}
    - {<<: *in, user_name: bob@example.com}
    - &add {t: +29d, table: identity_change, user_name: ann@example.com, status: Success, change: mfa_added, src_country: BR}
  expect: [{user_entity: ann@example.com, src_country: BR}]
- name: before anything is known is quiet
  events: [*add]
  expect: []
- name: a case that is wrong fails
  events: [*in, {<<: *add, src_country: DE}]
  expect: [{user_entity: ann@example.com}]
---*/";
    let loaded = rule(&content, "", &format!("{OTHER_TABLE}{cases}"));
    let reports = test_rule(&content, &loaded, 3);
    assert_eq!(reports.len(), 3);
    assert!(reports[..2].iter().all(|report| report.failures.is_empty()), "{reports:?}");
    assert!(!reports[2].failures.is_empty());
}

#[test]
fn a_shipped_baseline_that_a_rule_asks_comes_with_the_rule() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rules/identity");
    std::fs::create_dir_all(&path).unwrap();
    let sql = "SELECT time, user_entity FROM authentication \
               WHERE surprise('user_signin', 'country', user_entity, src_country) > 3";
    std::fs::write(path.join("asks.sql"), file("", sql)).unwrap();
    let content = Content::load(&["builtin".into()], &[folder.path().join("rules")]).unwrap();
    let errors: Vec<_> = content.errors().map(|p| p.diagnostic.render(p.text.as_deref())).collect();
    assert_eq!((content.rules.len(), content.baselines.len(), errors), (1, 1, Vec::new()));
}
