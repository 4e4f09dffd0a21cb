//! Bad rule files and exactly what is said about them: one test per mistake.

use expect_test::expect;

use super::check_rule;

#[test]
fn no_front_matter() {
    check_rule(
        "\
SELECT user_entity, count(*) AS n FROM authentication GROUP BY user_entity, sliding(time, INTERVAL '1 minute')
",
        expect![[r#"
            error[R001]: the file has no front matter
              --> rules/identity/x.sql:1:1
            1 | SELECT user_entity, count(*) AS n FROM authentication GROUP BY user_entity, sliding(time, INTERVAL '…
              | ^
              = help: start with `/*---`, `id:`, `title:` and more on lines of their own, `---*/`
        "#]],
    );
}

#[test]
fn front_matter_is_never_closed() {
    check_rule(
        "\
/*---
id: identity.x
title: Failures
severity: high
entity: {user_entity: user}
false_positives: [none]
runbook: Ask.
SELECT user_entity, count(*) AS n FROM authentication GROUP BY user_entity, sliding(time, INTERVAL '1 minute')
",
        expect![[r#"
            error[R001]: `/*---` is never closed
              --> rules/identity/x.sql:1:1
            1 | /*---
              | ^^^^^
              = help: close it with `---*/` alone on a line
        "#]],
    );
}

#[test]
fn a_fence_stands_alone() {
    check_rule(
        "\
/*--- id: x
id: identity.x
title: Failures
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
            error[R001]: a fence must stand alone on its line
              --> rules/identity/x.sql:1:1
            1 | /*--- id: x
              | ^^^^^^^^^^^
              = help: `/*---` or `/*--- tests`, the YAML on the lines below, `---*/`
        "#]],
    );
}

#[test]
fn front_matter_after_the_statement() {
    check_rule(
        "\
SELECT user_entity, count(*) AS n FROM authentication GROUP BY user_entity, sliding(time, INTERVAL '1 minute')
/*---
id: identity.x
title: Failures
severity: high
entity: {user_entity: user}
false_positives: [none]
runbook: Ask.
---*/
",
        expect![[r#"
            error[R001]: front matter after the start of the statement
              --> rules/identity/x.sql:2:1
            2 | /*---
              | ^^^^^
              = help: front matter comes first; the tests open with `/*--- tests`
        "#]],
    );
}

#[test]
fn two_tests_blocks_and_text_after_them() {
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
- name: fires
  events: [{t: +0s, table: authentication, user_entity: ann}]
  expect: [{n: 1}]
- name: quiet
  events: [{t: +0s, table: authentication}]
  expect: []
---*/
/*--- tests
- name: fires
  events: [{t: +0s, table: authentication, user_entity: ann}]
  expect: [{n: 1}]
- name: quiet
  events: [{t: +0s, table: authentication}]
  expect: []
---*/
SELECT 2
",
        expect![[r#"
            error[R001]: a second tests block
              --> rules/identity/x.sql:18:1
            18 | /*--- tests
               | ^^^^^^^^^^^
               = help: one block, many cases
            error[R001]: text after the tests block
              --> rules/identity/x.sql:26:1
            26 | SELECT 2
               | ^^^^^^^^
               = help: the tests block ends the file
        "#]],
    );
}

#[test]
fn a_closing_fence_without_an_opening_one() {
    check_rule(
        "\
---*/
SELECT user_entity, count(*) AS n FROM authentication GROUP BY user_entity, sliding(time, INTERVAL '1 minute')
",
        expect![[r#"
            error[R001]: a closing fence without an opening one
              --> rules/identity/x.sql:1:1
            1 | ---*/
              | ^^^^^
              = help: front matter opens with `/*---`, the tests with `/*--- tests`, alone on a line
        "#]],
    );
}

#[test]
fn no_statement() {
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
-- later
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
            error[R001]: the file has no SELECT
              --> rules/identity/x.sql
               = help: one SELECT between the front matter and the tests
        "#]],
    );
}

#[test]
fn broken_yaml_names_the_line_of_the_file() {
    check_rule(
        "\
/*---
id: identity.x
title: Failures
severity: high
entity: {user_entity: user
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
            error[R001]: the YAML of this block cannot be read
              --> rules/identity/x.sql:6:16
            6 | false_positives: [none]
              |                ^ while parsing a flow mapping, did not find expected ',' or '}'
        "#]],
    );
}

#[test]
fn a_tab_in_yaml() {
    check_rule(
        "/*---
id: identity.x
title:
\t- x
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
            error[R001]: the YAML of this block cannot be read
              --> rules/identity/x.sql:4:2
            4 |  - x
              |  ^ tabs disallowed within this context (block indentation)
        "#]],
    );
}

#[test]
fn front_matter_is_a_list() {
    check_rule(
        "\
/*---
- id
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
            error[R009]: `front matter` takes a map, not a list
              --> rules/identity/x.sql:2:1
            2 | - id
              | ^
        "#]],
    );
}

#[test]
fn unknown_keys() {
    check_rule(
        "\
/*---
id: identity.x
title: Failures
severity: high
stauts: stable
owner: me
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
            error[R002]: unknown key `stauts` in front matter
              --> rules/identity/x.sql:5:1
            5 | stauts: stable
              | ^^^^^^ did you mean `status`?
            error[R002]: unknown key `owner` in front matter
              --> rules/identity/x.sql:6:1
            6 | owner: me
              | ^^^^^
              = help: known keys: id, title, severity, status, description, attack, entity, risk, suppression, false_positives, falsepositives, blind_spots, runbook, references, lateness, emit, sigma, kind, author, date, modified, license, tags
        "#]],
    );
}

#[test]
fn missing_keys() {
    check_rule(
        "\
/*---
status: stable
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
            error[R003]: `id` is missing
              --> rules/identity/x.sql:1:1
            1 | /*---
              | ^^^^^
              = help: id: identity.x
            error[R003]: `title` is missing
              --> rules/identity/x.sql:1:1
            1 | /*---
              | ^^^^^
              = help: title: MFA push fatigue
            error[R003]: `severity` is missing
              --> rules/identity/x.sql:1:1
            1 | /*---
              | ^^^^^
              = help: severity: informational | low | medium | high | critical
        "#]],
    );
}

#[test]
fn empty_front_matter() {
    check_rule(
        "\
/*---
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
            error[R003]: `id` is missing
              --> rules/identity/x.sql:1:1
            1 | /*---
              | ^^^^^
              = help: id: identity.x
            error[R003]: `title` is missing
              --> rules/identity/x.sql:1:1
            1 | /*---
              | ^^^^^
              = help: title: MFA push fatigue
            error[R003]: `severity` is missing
              --> rules/identity/x.sql:1:1
            1 | /*---
              | ^^^^^
              = help: severity: informational | low | medium | high | critical
        "#]],
    );
}

#[test]
fn the_id_is_not_the_path() {
    check_rule(
        "\
/*---
id: identity.y
title: Failures
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
            error[R004]: the id is not the path of the file
              --> rules/identity/x.sql:2:5
            2 | id: identity.y
              |     ^^^^^^^^^^ the path gives `identity.x`
              = help: `id: identity.x`, or the file at <rules folder>/identity/y.sql
        "#]],
    );
}

#[test]
fn the_id_is_not_an_id() {
    check_rule(
        "\
/*---
id: ../Etc/passwd
title: Failures
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
            error[R004]: `../Etc/passwd` is not an id
              --> rules/identity/x.sql:2:5
            2 | id: ../Etc/passwd
              |     ^^^^^^^^^^^^^
              = help: lower-case letters, digits and `_`, words joined by dots, as in the path
        "#]],
    );
}

#[test]
fn attack_ids() {
    check_rule(
        "\
/*---
id: identity.x
title: Failures
severity: high
attack: [TA0006, T1612.001, T9999, phishing, T1078.005, T1562.001, 1621]
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
            error[R005]: `T1612.001` is not in ATT&CK
              --> rules/identity/x.sql:5:18
            5 | attack: [TA0006, T1612.001, T9999, phishing, T1078.005, T1562.001, 1621]
              |                  ^^^^^^^^^
              = help: `T1612` (Build Image on Host) has no sub-techniques
            error[R005]: `T9999` is not in ATT&CK
              --> rules/identity/x.sql:5:29
            5 | attack: [TA0006, T1612.001, T9999, phishing, T1078.005, T1562.001, 1621]
              |                             ^^^^^
              = help: a tactic (`TA0006`), technique (`T1621`) or sub-technique (`T1078.004`)
            error[R005]: `phishing` is not in ATT&CK
              --> rules/identity/x.sql:5:36
            5 | attack: [TA0006, T1612.001, T9999, phishing, T1078.005, T1562.001, 1621]
              |                                    ^^^^^^^^ did you mean `T1566` (Phishing)?
              = help: a tactic (`TA0006`), technique (`T1621`) or sub-technique (`T1078.004`)
            error[R005]: `T1078.005` is not in ATT&CK
              --> rules/identity/x.sql:5:46
            5 | attack: [TA0006, T1612.001, T9999, phishing, T1078.005, T1562.001, 1621]
              |                                              ^^^^^^^^^
              = help: `T1078` (Valid Accounts) has T1078.001, T1078.002, T1078.003, T1078.004
            warning[R005]: ATT&CK withdrew `T1562.001` (Disable or Modify Tools)
              --> rules/identity/x.sql:5:57
            5 | attack: [TA0006, T1612.001, T9999, phishing, T1078.005, T1562.001, 1621]
              |                                                         ^^^^^^^^^ now `T1685`
              = help: Disable or Modify Tools
            error[R005]: `1621` is not in ATT&CK
              --> rules/identity/x.sql:5:68
            5 | attack: [TA0006, T1612.001, T9999, phishing, T1078.005, T1562.001, 1621]
              |                                                                    ^^^^ did you mean `T1621` (Multi-Factor Authentication Request Generation)?
              = help: a tactic (`TA0006`), technique (`T1621`) or sub-technique (`T1078.004`)
        "#]],
    );
}

#[test]
fn a_glob_in_a_block() {
    check_rule(
        "\
/*---
id: identity.x
title: Failures
severity: high
entity: {user_entity: user}
false_positives: [none]
runbook: Look in logs/*/auth.
---*/
SELECT user_entity, count(*) AS n FROM authentication GROUP BY user_entity, sliding(time, INTERVAL '1 minute')
/*--- tests
- name: a*/
---*/
",
        expect![[r#"
            error[R006]: `/*` inside a comment block
              --> rules/identity/x.sql:7:22
            7 | runbook: Look in logs/*/auth.
              |                      ^^
              = help: the block is an SQL comment, which this would end or nest; write the glob or pattern in another way, e.g. with `[*]`
            error[R006]: `*/` inside a comment block
              --> rules/identity/x.sql:7:23
            7 | runbook: Look in logs/*/auth.
              |                       ^^
              = help: the block is an SQL comment, which this would end or nest; write the glob or pattern in another way, e.g. with `[*]`
            error[R006]: `*/` inside a comment block
              --> rules/identity/x.sql:11:10
            11 | - name: a*/
               |          ^^
               = help: the block is an SQL comment, which this would end or nest; write the glob or pattern in another way, e.g. with `[*]`
        "#]],
    );
}

#[test]
fn a_byte_order_mark_and_an_invisible_character() {
    check_rule(
        "\u{feff}/*---
id: identity.x
title: Failures
severity: highh
entity: {user_entity: user}
false_positives: [none]
runbook: Ask.
---*/
SELECT user_entity, count(*) AS n /* \u{202e} */ FROM authentication GROUP BY user_entity, sliding(time, INTERVAL '1 minute')
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
            warning[R006]: the file starts with a byte order mark
              --> rules/identity/x.sql:1:1
            1 | \u{feff}/*---
              | ^^^^^^^^
              = help: save it as UTF-8 without BOM
            error[R009]: `highh` is not a value of `severity`
              --> rules/identity/x.sql:4:11
            4 | severity: highh
              |           ^^^^^ did you mean `high`?
              = help: one of informational, low, medium, high, critical
            warning[R006]: an invisible character in the SQL
              --> rules/identity/x.sql:9:38
            9 | …CT user_entity, count(*) AS n /* \u{202e} */ FROM authentication GROUP BY user_entity, sliding(time, INTERV…
              |                                   ^^^^^^^^
              = help: it can make the statement read differently than it runs; remove it
        "#]],
    );
}
