//! Good rule files.

use expect_test::expect;
use serde_json::json;
use sluice_event::EntityKind;
use sluice_rule::{Emit, Rule, Severity, Status, TEST_BASE, duplicate_ids, render_all};

use super::{check_rule, read_rule};

const MFA_FATIGUE: &str = "\
/*---
id: identity.x
title: MFA push fatigue
severity: high                 # a comment
status: stable
description: Five or more denied pushes for one user within ten minutes.
attack: [TA0006, T1621]
entity: {user_entity: user, src_ip: ip}
suppression: {by: [user_entity], for: 1h}
false_positives: [New phone enrolment]
blind_spots: Number matching prompts end as time-outs
runbook: |
  Ask the user.
  Revoke sessions.
references: [\"https://attack.mitre.org/techniques/T1621/\"]
lateness: 1h30m
emit: final
date: 2026-01-01
tags: [a, 012]
---*/
-- Who and how often.
SELECT user_entity, max(src_ip) AS src_ip, count(*) AS denials
FROM authentication
WHERE status <> 'Success' -- lint: allow R020 status is never NULL
  AND user_entity IS NOT NULL
GROUP BY user_entity, sliding(time, INTERVAL '10 minutes')
HAVING count(*) >= 5
/*--- tests
- name: five denials fire once
  events:
    - &deny {t: +0s, table: authentication, user_entity: ann, status: Failure, is_mfa: true, src_port: 443}
    - {<<: *deny, t: +30s, repeat: 3, every: 1m}
    - {t: -5s, table: authentication, user_entity: bob, status: Success, src_ip: null, checkpoint: true}
    - {raw: {eventType: user.session.start, n: 1}, source: okta.system}
  expect: [{user_entity: ann, denials: 5, late: false}]
  alerts: 1
- name: quiet
  events: [*deny]
  expect: []
  flush: false
  ordered: true
  history_start: -14d
  config: {lateness: 1m}
  lookups: {vip: [{user: ann, tier: 1}]}
---*/
";

fn good() -> Rule {
    let (rule, found) = read_rule(MFA_FATIGUE);
    assert_eq!(found, []);
    rule.unwrap_or_else(|| panic!("refused"))
}

#[test]
fn front_matter_is_read() {
    let rule = good();
    assert_eq!(rule.id.as_str(), "identity.x");
    assert_eq!((rule.severity, rule.status), (Severity::High, Status::Stable));
    assert_eq!(rule.attack, ["TA0006", "T1621"]);
    let entity =
        [("user_entity".to_owned(), EntityKind::User), ("src_ip".to_owned(), EntityKind::Ip)];
    assert_eq!(rule.entity, entity);
    assert_eq!((rule.risk, rule.risk()), (None, 30));
    assert_eq!(rule.suppression.as_ref().map(|s| s.for_ms), Some(3_600_000));
    assert_eq!(rule.blind_spots, ["Number matching prompts end as time-outs"]);
    assert_eq!(rule.runbook.as_deref(), Some("Ask the user.\nRevoke sessions."));
    assert_eq!(rule.lateness, Some(5_400_000));
    assert_eq!(rule.emit, Some(Emit::Final));
    assert_eq!(rule.about.date.as_deref(), Some("2026-01-01"));
    assert_eq!(rule.about.tags, ["a", "012"]);
    assert!(rule.is_enabled() && !rule.is_shadow());
}

#[test]
fn cases_are_laid_out_in_order() {
    let rule = good();
    let [first, second] = rule.tests.as_slice() else { panic!() };
    let times: Vec<Option<i64>> = first.events.iter().map(|e| e.t.map(|t| t - TEST_BASE)).collect();
    assert_eq!(times, [Some(0), Some(30_000), Some(90_000), Some(150_000), Some(-5_000), None]);
    let copy = &first.events[3];
    assert_eq!(copy.table.as_ref().map(|t| t.as_str()), Some("authentication"));
    assert_eq!(
        json!(copy.columns),
        json!({"user_entity": "ann", "status": "Failure", "is_mfa": true, "src_port": 443})
    );
    assert!(first.events[4].checkpoint && !first.events[4].columns.contains_key("src_ip"));
    let raw = &first.events[5];
    assert_eq!(raw.raw.as_deref(), Some(r#"{"eventType":"user.session.start","n":1}"#));
    assert_eq!((raw.source.as_deref(), raw.table.as_ref()), (Some("okta.system"), None));
    assert_eq!(json!(first.expect), json!([{"user_entity": "ann", "denials": 5, "late": false}]));
    assert_eq!((first.alerts, first.flush, first.ordered), (Some(1), true, false));
    assert_eq!((second.flush, second.ordered), (false, true));
    assert_eq!(second.history_start, Some(TEST_BASE - 14 * 86_400_000));
    assert_eq!(second.config.lateness, Some(60_000));
    assert_eq!(json!(second.lookups["vip"].rows), json!([{"user": "ann", "tier": 1}]));
    assert_eq!(second.line, 37);
}

#[test]
fn places_in_the_sql_are_places_in_the_file() {
    let rule = good();
    assert_eq!(rule.file.sql.lines().count(), rule.file.text.lines().count());
    assert_eq!(rule.file.statement().line, 22);
    let line = |n: usize| rule.file.sql.lines().nth(n - 1).unwrap_or_default().to_owned();
    assert_eq!(line(23), "FROM authentication");
    assert!(line(2).trim().is_empty() && line(30).trim().is_empty());
    assert_eq!(rule.place("attack").map(|p| (p.line, p.column)), Some((7, 1)));
}

#[test]
fn a_comment_with_a_reason_silences_a_finding_on_its_line() {
    let rule = good();
    let [allow] = rule.file.allowed.as_slice() else { panic!() };
    assert_eq!((allow.code.as_str(), allow.line), ("R020", 24));
    assert_eq!(allow.reason, "status is never NULL");
}

#[test]
fn line_ends_front_matter_and_layout_do_not_change_the_version() {
    let rule = good();
    let (crlf, found) = read_rule(&MFA_FATIGUE.replace('\n', "\r\n"));
    assert_eq!(found, []);
    let crlf = crlf.unwrap();
    assert_eq!(crlf.version, rule.version);
    assert_eq!(crlf.file.text, rule.file.text);
    assert_eq!(crlf.tests, rule.tests);
    let edited =
        MFA_FATIGUE.replace("severity: high ", "severity: low ").replace("FROM ", "from  ");
    assert_eq!(read_rule(&edited).0.unwrap().version, rule.version);
    let other = MFA_FATIGUE.replace("HAVING count(*) >= 5", "HAVING count(*) >= 6");
    assert_ne!(read_rule(&other).0.unwrap().version, rule.version);
}

#[test]
fn kind_to_column_means_the_same_as_column_to_kind() {
    let text =
        MFA_FATIGUE.replace("{user_entity: user, src_ip: ip}", "{user: user_entity, ip: src_ip}");
    assert_eq!(read_rule(&text).0.unwrap().entity, good().entity);
}

#[test]
fn the_template_loads_with_warnings_only() {
    for table in ["authentication", "network", "api_activity"] {
        let text = Rule::template("identity.x", table);
        let (rule, found) = read_rule(&text);
        let rule = rule.unwrap();
        assert_eq!(rule.tests.len(), 2);
        assert!(rule.is_shadow());
        assert!(found.iter().all(|d| !d.is_error()), "{found:?}");
    }
}

#[test]
fn a_bare_rule_gets_advice() {
    check_rule(
        "/*---\nid: identity.x\ntitle: Any\nseverity: low\n---*/\nSELECT * FROM dns\n",
        expect![[r#"
            warning[R021]: the rule names no entity
              --> rules/identity/x.sql:2:1
            2 | id: identity.x
              | ^^ its findings raise nobody's risk
              = help: entity: {user_entity: user}
            warning[R026]: the rule has no cases
              --> rules/identity/x.sql:2:1
            2 | id: identity.x
              | ^^
              = help: `sluice rule new` writes a file with one of each
            warning[R035]: the rule has no `false_positives` and `runbook`
              --> rules/identity/x.sql:2:1
            2 | id: identity.x
              | ^^
              = help: what else looks like this, and what the analyst checks first
        "#]],
    );
}

#[test]
fn the_second_rule_of_an_id_is_named() {
    let (a, mut b) = (good(), good());
    let file = sluice_rule::SqlFile { path: "mine/x.sql".to_owned(), ..(*b.file).clone() };
    b.file = file.into();
    let found = duplicate_ids([&a, &b]);
    assert_eq!(found.len(), 1);
    assert_eq!(
        found[0].render(Some(MFA_FATIGUE)),
        "\
error[R004]: the id `identity.x` is taken
  --> mine/x.sql:2:1
2 | id: identity.x
  | ^^ by rules/identity/x.sql
"
    );
}

#[test]
fn a_file_over_a_mebibyte_is_refused_unread() {
    let text = format!("{MFA_FATIGUE}{}", " ".repeat(1 << 20));
    let (rule, found) = read_rule(&text);
    assert!(rule.is_none());
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].code, found[0].primary.as_str()), ("R006", "the file is too large"));
}

#[test]
fn a_case_cannot_grow_without_bound() {
    let events = "    - {t: +0s, table: authentication, repeat: 60000}\n".repeat(3);
    let text = format!(
        "/*---\nid: identity.x\ntitle: x\nseverity: low\n---*/\nSELECT time FROM dns\n\
         /*--- tests\n- name: x\n  events:\n{events}  expect: []\n---*/\n"
    );
    let found = read_rule(&text).1;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].primary, "the case has more than 100000 events");
}

#[test]
fn arbitrary_text_is_refused_not_panicked_on() {
    // A good file cut short, without a line, with a line twice, with something odd in it.
    for (at, _) in MFA_FATIGUE.char_indices().step_by(5) {
        read_rule(MFA_FATIGUE.get(..at).unwrap());
    }
    let lines: Vec<&str> = MFA_FATIGUE.lines().collect();
    for at in 0..lines.len() {
        let (before, after) = lines.split_at(at);
        let without = [before, after.get(1..).unwrap_or_default()].concat().join("\n");
        let twice = [before, after.get(..1).unwrap_or_default(), after].concat().join("\n");
        read_rule(&without);
        read_rule(&twice);
    }
    for (n, (at, _)) in MFA_FATIGUE.char_indices().step_by(5).enumerate() {
        let odd = ["{", "]", "*", "&x ", "\t", "\"", ": ", "\u{202e}", "- ", "<<: ", "é", "'"];
        let mut text = MFA_FATIGUE.to_owned();
        text.insert_str(at, odd[n % odd.len()]);
        let (_, found) = read_rule(&text);
        render_all(&found, |_| Some(&text));
    }
    for text in [
        "",
        "\u{feff}",
        "/*---",
        "/*---\n\n---*/",
        "\0",
        "'",
        "/*--- tests\n- &a [*a]\n---*/",
        "/*---\n? [a]\n: b\n---*/\nSELECT 1",
    ] {
        assert!(read_rule(text).0.is_none(), "{text:?}");
    }
}
