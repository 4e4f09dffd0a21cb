//! Rule files with values and cases that cannot be, and exactly what is said about them.

use expect_test::expect;

use super::check_rule;

#[test]
fn risk_is_bounded() {
    check_rule(
        "\
/*---
id: identity.x
title: Failures
severity: high
risk: 91
entity: {user_entity: user}
false_positives: [none]
runbook: Ask.
---*/
SELECT user_entity, count(*) AS n FROM authentication GROUP BY user_entity, sliding(time, INTERVAL '1 minute')
/*--- tests
- name: fires
  events: [{t: +0s, table: authentication, user_entity: ann}]
  expect: [{n: 1}]
- name: quiet
  events: [{t: +0s, table: authentication}]
  expect: []
---*/
",
        expect![[r#"
            error[R007]: `risk: 91` is not within 0 to 90
              --> rules/identity/x.sql:5:7
            5 | risk: 91
              |       ^^
              = help: the score this finding alone gives a quiet entity; leave it out for that of the severity: 0, 8, 15, 30, 60
        "#]],
    );
}

#[test]
fn risk_is_a_number() {
    check_rule(
        "\
/*---
id: identity.x
title: Failures
severity: high
risk: much
entity: {user_entity: user}
false_positives: [none]
runbook: Ask.
---*/
SELECT user_entity, count(*) AS n FROM authentication GROUP BY user_entity, sliding(time, INTERVAL '1 minute')
/*--- tests
- name: fires
  events: [{t: +0s, table: authentication, user_entity: ann}]
  expect: [{n: 1}]
- name: quiet
  events: [{t: +0s, table: authentication}]
  expect: []
---*/
",
        expect![[r#"
            error[R009]: `risk` takes a whole number, not text
              --> rules/identity/x.sql:5:7
            5 | risk: much
              |       ^^^^
        "#]],
    );
}

#[test]
fn entity_and_suppression_name_output_columns() {
    check_rule(
        "\
/*---
id: identity.x
title: Failures
severity: high
entity: {user_entty: user, src_ip: ip}
suppression: {by: [user_entity, nn], for: 1h}
false_positives: [none]
runbook: Ask.
---*/
SELECT user_entity, count(*) AS n FROM authentication GROUP BY user_entity, sliding(time, INTERVAL '1 minute')
/*--- tests
- name: fires
  events: [{t: +0s, table: authentication, user_entity: ann}]
  expect: [{n: 1}]
- name: quiet
  events: [{t: +0s, table: authentication}]
  expect: []
---*/
",
        expect![[r#"
            error[R008]: `entity` names `user_entty`, which the SELECT does not return
              --> rules/identity/x.sql:5:10
            5 | entity: {user_entty: user, src_ip: ip}
              |          ^^^^^^^^^^ did you mean `user_entity`?
              = help: it returns user_entity, n
            error[R008]: `entity` names `src_ip`, which the SELECT does not return
              --> rules/identity/x.sql:5:28
            5 | entity: {user_entty: user, src_ip: ip}
              |                            ^^^^^^
              = help: it returns user_entity, n
            error[R008]: `suppression` names `nn`, which the SELECT does not return
              --> rules/identity/x.sql:6:33
            6 | suppression: {by: [user_entity, nn], for: 1h}
              |                                 ^^ did you mean `n`?
              = help: it returns user_entity, n
        "#]],
    );
}

#[test]
fn entity_kinds() {
    check_rule(
        "\
/*---
id: identity.x
title: Failures
severity: high
entity: {user_entity: usr}
false_positives: [none]
runbook: Ask.
---*/
SELECT user_entity, count(*) AS n FROM authentication GROUP BY user_entity, sliding(time, INTERVAL '1 minute')
/*--- tests
- name: fires
  events: [{t: +0s, table: authentication, user_entity: ann}]
  expect: [{n: 1}]
- name: quiet
  events: [{t: +0s, table: authentication}]
  expect: []
---*/
",
        expect![[r#"
            error[R009]: `usr` is not a kind of entity
              --> rules/identity/x.sql:5:23
            5 | entity: {user_entity: usr}
              |                       ^^^ did you mean `user`?
              = help: `column: kind`; the kinds are user, device, session, workload, application, ip
        "#]],
    );
}

#[test]
fn words_and_durations() {
    check_rule(
        "\
/*---
id: identity.x
title: Failures
severity: hihg
status: stabel
lateness: 10
emit: later
alert: no
suppression: {by: n, for: 5 minutes, every: 1}
kind: baseline
entity: {user_entity: user}
false_positives: [none]
runbook: Ask.
---*/
SELECT user_entity, count(*) AS n FROM authentication GROUP BY user_entity, sliding(time, INTERVAL '1 minute')
/*--- tests
- name: fires
  events: [{t: +0s, table: authentication, user_entity: ann}]
  expect: [{n: 1}]
- name: quiet
  events: [{t: +0s, table: authentication}]
  expect: []
---*/
",
        expect![[r#"
            error[R009]: `hihg` is not a value of `severity`
              --> rules/identity/x.sql:4:11
            4 | severity: hihg
              |           ^^^^ did you mean `high`?
              = help: one of informational, low, medium, high, critical
            error[R009]: `stabel` is not a value of `status`
              --> rules/identity/x.sql:5:9
            5 | status: stabel
              |         ^^^^^^ did you mean `stable`?
              = help: one of experimental, test, stable, deprecated, unsupported
            error[R009]: `10` is not a duration
              --> rules/identity/x.sql:6:11
            6 | lateness: 10
              |           ^^
              = help: a whole number with a unit of ms, s, m, h, d or w: `10m`, `1h30m`
            error[R009]: `later` is not a value of `emit`
              --> rules/identity/x.sql:7:7
            7 | emit: later
              |       ^^^^^
              = help: one of watermark, final
            error[R002]: `alert` has no effect in this build
              --> rules/identity/x.sql:8:1
            8 | alert: no
              | ^^^^^ no incidents are opened yet, so there is nothing to leave a finding out of
              = help: `status: experimental` keeps its findings out of the list, `risk: 0` out of scores
            error[R009]: `5 minutes` is not a duration
              --> rules/identity/x.sql:9:27
            9 | suppression: {by: n, for: 5 minutes, every: 1}
              |                           ^^^^^^^^^
              = help: a whole number with a unit of ms, s, m, h, d or w: `10m`, `1h30m`
            error[R002]: unknown key `every` in `suppression`
              --> rules/identity/x.sql:9:38
            9 | suppression: {by: n, for: 5 minutes, every: 1}
              |                                      ^^^^^
              = help: known keys: by, for
            error[R009]: this file is not a rule
              --> rules/identity/x.sql:10:7
            10 | kind: baseline
               |       ^^^^^^^^
               = help: `kind: rule`, or leave the key out
        "#]],
    );
}

#[test]
fn a_key_given_twice() {
    check_rule(
        "\
/*---
id: identity.x
title: Failures
title: Others
severity: high
entity: {user_entity: user}
false_positives: [none]
runbook: Ask.
---*/
SELECT user_entity, count(*) AS n FROM authentication GROUP BY user_entity, sliding(time, INTERVAL '1 minute')
/*--- tests
- name: fires
  events: [{t: +0s, table: authentication, user_entity: ann}]
  expect: [{n: 1}]
- name: quiet
  events: [{t: +0s, table: authentication}]
  expect: []
---*/
",
        expect![[r#"
            error[R009]: `title` is given twice
              --> rules/identity/x.sql:4:1
            4 | title: Others
              | ^^^^^
              = help: keep one of them
        "#]],
    );
}

#[test]
fn text_that_yaml_reads_as_a_map() {
    check_rule(
        "\
/*---
id: identity.x
title: Failures
severity: high
entity: {user_entity: user}
false_positives:
  - Scanners: ours
  -
runbook: Ask.
---*/
SELECT user_entity, count(*) AS n FROM authentication GROUP BY user_entity, sliding(time, INTERVAL '1 minute')
/*--- tests
- name: fires
  events: [{t: +0s, table: authentication, user_entity: ann}]
  expect: [{n: 1}]
- name: quiet
  events: [{t: +0s, table: authentication}]
  expect: []
---*/
",
        expect![[r#"
            error[R009]: `false_positives` takes text, not a map
              --> rules/identity/x.sql:7:5
            7 |   - Scanners: ours
              |     ^
              = help: text with `: ` in it needs quotes
            error[R009]: `false_positives` is empty
              --> rules/identity/x.sql:8:4
            8 |   -
              |    ^
        "#]],
    );
}

#[test]
fn sigma_needs_author_and_licence() {
    check_rule(
        "\
/*---
id: identity.x
title: Failures
severity: high
sigma: {id: abc}
entity: {user_entity: user}
false_positives: [none]
runbook: Ask.
---*/
SELECT user_entity, count(*) AS n FROM authentication GROUP BY user_entity, sliding(time, INTERVAL '1 minute')
/*--- tests
- name: fires
  events: [{t: +0s, table: authentication, user_entity: ann}]
  expect: [{n: 1}]
- name: quiet
  events: [{t: +0s, table: authentication}]
  expect: []
---*/
",
        expect![[r#"
            error[R003]: `author` is missing
              --> rules/identity/x.sql:5:1
            5 | sigma: {id: abc}
              | ^^^^^
              = help: a rule made from Sigma keeps its author and licence
            error[R003]: `license` is missing
              --> rules/identity/x.sql:5:1
            5 | sigma: {id: abc}
              | ^^^^^
              = help: a rule made from Sigma keeps its author and licence
        "#]],
    );
}

#[test]
fn a_lint_comment_without_a_reason() {
    check_rule(
        "\
/*---
id: identity.x
title: Failures
severity: high
entity: {user_entity: user}
false_positives: [none]
runbook: Ask.
---*/
SELECT user_entity, count(*) AS n FROM authentication GROUP BY user_entity, sliding(time, INTERVAL '1 minute')
-- lint: allow R020
/*--- tests
- name: fires
  events: [{t: +0s, table: authentication, user_entity: ann}]
  expect: [{n: 1}]
- name: quiet
  events: [{t: +0s, table: authentication}]
  expect: []
---*/
",
        expect![[r#"
            error[R009]: a `lint:` comment that is not understood
              --> rules/identity/x.sql:10:1
            10 | -- lint: allow R020
               | ^^^^^^^^^^^^^^^^^^^
               = help: `-- lint: allow R020 <why it is safe>`
        "#]],
    );
}

#[test]
fn tests_that_are_no_list() {
    check_rule(
        "\
/*---
id: identity.x
title: Failures
severity: high
entity: {user_entity: user}
false_positives: [none]
runbook: Ask.
---*/
SELECT user_entity, count(*) AS n FROM authentication GROUP BY user_entity, sliding(time, INTERVAL '1 minute')
/*--- tests
name: x
---*/
",
        expect![[r#"
            error[R009]: `tests` takes a list, not a map
              --> rules/identity/x.sql:11:1
            11 | name: x
               | ^
        "#]],
    );
}

#[test]
fn cases_lack_keys() {
    check_rule(
        "\
/*---
id: identity.x
title: Failures
severity: high
entity: {user_entity: user}
false_positives: [none]
runbook: Ask.
---*/
SELECT user_entity, count(*) AS n FROM authentication GROUP BY user_entity, sliding(time, INTERVAL '1 minute')
/*--- tests
- nam: x
- name: y
  events: []
  expects: []
---*/
",
        expect![[r#"
            error[R003]: `name` is missing
              --> rules/identity/x.sql:11:3
            11 | - nam: x
               |   ^
               = help: name: <what the case shows>
            error[R003]: `events` is missing
              --> rules/identity/x.sql:11:3
            11 | - nam: x
               |   ^
               = help: events: [{t: +0s, table: .., ..}]
            error[R003]: `expect` is missing
              --> rules/identity/x.sql:11:3
            11 | - nam: x
               |   ^
               = help: expect: [{column: value}], or `expect: []`
            error[R002]: unknown key `nam` in a case
              --> rules/identity/x.sql:11:3
            11 | - nam: x
               |   ^^^ did you mean `name`?
            error[R003]: `expect` is missing
              --> rules/identity/x.sql:12:3
            12 | - name: y
               |   ^
               = help: expect: [{column: value}], or `expect: []`
            error[R002]: unknown key `expects` in a case
              --> rules/identity/x.sql:14:3
            14 |   expects: []
               |   ^^^^^^^ did you mean `expect`?
        "#]],
    );
}

#[test]
fn events_lack_keys() {
    check_rule(
        "\
/*---
id: identity.x
title: Failures
severity: high
entity: {user_entity: user}
false_positives: [none]
runbook: Ask.
---*/
SELECT user_entity, count(*) AS n FROM authentication GROUP BY user_entity, sliding(time, INTERVAL '1 minute')
/*--- tests
- name: x
  events:
    - {table: authentication}
    - {t: +0s}
    - {raw: '{}'}
    - {t: soon, table: authentication}
    - {t: +0s, table: authentication, repeat: 0, every: 5}
    - just text
  expect: []
---*/
",
        expect![[r#"
            error[R003]: `t` is missing
              --> rules/identity/x.sql:13:7
            13 |     - {table: authentication}
               |       ^
               = help: when the event happened: an offset (`t: +0s`) or an RFC 3339 time
            error[R003]: `table` is missing
              --> rules/identity/x.sql:14:7
            14 |     - {t: +0s}
               |       ^
               = help: an event is a row (`table: authentication`) or a record (`raw:`, `source:`)
            error[R003]: `source` is missing
              --> rules/identity/x.sql:15:7
            15 |     - {raw: '{}'}
               |       ^
               = help: the mapping source of the raw record: `source: okta.system`
            error[R009]: `soon` is not a time
              --> rules/identity/x.sql:16:11
            16 |     - {t: soon, table: authentication}
               |           ^^^^
               = help: an offset from 2026-01-01T00:00:00Z (`+9m`, `-5s`) or an RFC 3339 time
            error[R009]: `repeat: 0`
              --> rules/identity/x.sql:17:47
            17 |     - {t: +0s, table: authentication, repeat: 0, every: 5}
               |                                               ^
               = help: 1 to 100000
            error[R009]: `5` is not a duration
              --> rules/identity/x.sql:17:57
            17 |     - {t: +0s, table: authentication, repeat: 0, every: 5}
               |                                                         ^
               = help: `60s`, `15m`
            error[R009]: `an event` takes a map, not text
              --> rules/identity/x.sql:18:7
            18 |     - just text
               |       ^^^^^^^^^
        "#]],
    );
}

#[test]
fn events_name_tables_and_columns() {
    check_rule(
        "\
/*---
id: identity.x
title: Failures
severity: high
entity: {user_entity: user}
false_positives: [none]
runbook: Ask.
---*/
SELECT user_entity, count(*) AS n FROM authentication GROUP BY user_entity, sliding(time, INTERVAL '1 minute')
/*--- tests
- name: x
  events:
    - &a {t: +0s, table: authentication, user_entty: ann}
    - {<<: *a, t: +1s}
    - {t: +0s, table: authentification}
    - {t: +0s, table: raw.okta_system, anything: 1}
  expect: [{nn: 1, late: true}]
---*/
",
        expect![[r#"
            error[R011]: no column `user_entty` in `authentication`
              --> rules/identity/x.sql:13:42
            13 |     - &a {t: +0s, table: authentication, user_entty: ann}
               |                                          ^^^^^^^^^^ did you mean `user_entity`?
               = help: `sluice schema authentication` lists all
            error[R011]: no table `authentification`
              --> rules/identity/x.sql:15:23
            15 |     - {t: +0s, table: authentification}
               |                       ^^^^^^^^^^^^^^^^ did you mean `authentication`?
               = help: the tables are api_activity, authentication, detection, device_state, dns, file, http, identity_change, network, process, findings
            error[R011]: the case expects `nn`, which the SELECT does not return
              --> rules/identity/x.sql:17:13
            17 |   expect: [{nn: 1, late: true}]
               |             ^^ did you mean `n`?
               = help: it returns user_entity, n
        "#]],
    );
}

#[test]
fn expect_is_a_list_of_maps() {
    check_rule(
        "\
/*---
id: identity.x
title: Failures
severity: high
entity: {user_entity: user}
false_positives: [none]
runbook: Ask.
---*/
SELECT user_entity, count(*) AS n FROM authentication GROUP BY user_entity, sliding(time, INTERVAL '1 minute')
/*--- tests
- name: x
  events: []
  expect: {n: 1}
- name: y
  events: []
  expect: [n]
---*/
",
        expect![[r#"
            error[R009]: `expect` takes a list, not a map
              --> rules/identity/x.sql:13:11
            13 |   expect: {n: 1}
               |           ^
            error[R009]: `expect` takes a map, not text
              --> rules/identity/x.sql:16:12
            16 |   expect: [n]
               |            ^
        "#]],
    );
}
