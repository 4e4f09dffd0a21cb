//! Bad mapping files and exactly what is said about them: one test per mistake.

use expect_test::expect;

use super::check_mapping;

#[test]
fn missing_keys() {
    check_mapping(
        "\
/*---
id: okta.system.authentication
---*/
SELECT published AS time FROM okta_system
",
        expect![[r#"
            error[R003]: `title` is missing
              --> ingest/mappings/okta.system/authentication.sql:1:1
            1 | /*---
              | ^^^^^
              = help: title: Okta System Log: sign-in and session events
            error[R003]: `source` is missing
              --> ingest/mappings/okta.system/authentication.sql:1:1
            1 | /*---
              | ^^^^^
              = help: source: okta.system
            error[R003]: `to` is missing
              --> ingest/mappings/okta.system/authentication.sql:1:1
            1 | /*---
              | ^^^^^
              = help: to: authentication
            error[R003]: `columns` is missing
              --> ingest/mappings/okta.system/authentication.sql:1:1
            1 | /*---
              | ^^^^^
              = help: columns: {published: timestamp, actor: {id: string}}
            error[R003]: `time` is missing
              --> ingest/mappings/okta.system/authentication.sql:1:1
            1 | /*---
              | ^^^^^
              = help: time: published
        "#]],
    );
}

#[test]
fn unknown_key_and_table() {
    check_mapping(
        "\
/*---
id: okta.system.authentication
title: Sign-ins
source: okta.system
to: authentcation
prioritty: 10
columns:
  published: timestamp
  uuid: string
  actor: {id: string}
time: published
---*/
SELECT published AS time FROM okta_system
",
        expect![[r#"
            error[R011]: no table `authentcation`
              --> ingest/mappings/okta.system/authentication.sql:5:5
            5 | to: authentcation
              |     ^^^^^^^^^^^^^ did you mean `authentication`?
              = help: the tables are api_activity, authentication, detection, device_state, dns, file, http, identity_change, network, process
            error[R002]: unknown key `prioritty` in front matter
              --> ingest/mappings/okta.system/authentication.sql:6:1
            6 | prioritty: 10
              | ^^^^^^^^^ did you mean `priority`?
        "#]],
    );
}

#[test]
fn time_and_native_id_lead_to_columns() {
    check_mapping(
        "\
/*---
id: okta.system.authentication
title: Sign-ins
source: okta.system
to: authentication
columns:
  published: timestamp
  uuid: string
  actor: {id: string}
time: actor.idd
native_id: actor
---*/
SELECT published AS time FROM okta_system
",
        expect![[r#"
            error[R011]: `time` names `actor.idd`, which `columns` does not declare
              --> ingest/mappings/okta.system/authentication.sql:10:7
            10 | time: actor.idd
               |       ^^^^^^^^^ did you mean `id`?
            error[R009]: `native_id: actor` does not lead to text or a number
              --> ingest/mappings/okta.system/authentication.sql:11:12
            11 | native_id: actor
               |            ^^^^^
               = help: declare it as `string` in `columns`: `actor: string`
        "#]],
    );
}

#[test]
fn time_is_a_timestamp() {
    check_mapping(
        "\
/*---
id: okta.system.authentication
title: Sign-ins
source: okta.system
to: authentication
columns:
  published: timestamp
  uuid: string
  actor: {id: string}
time: uuid
native_id: published.x
---*/
SELECT published AS time FROM okta_system
",
        expect![[r#"
            error[R009]: `time: uuid` does not lead to a timestamp
              --> ingest/mappings/okta.system/authentication.sql:10:7
            10 | time: uuid
               |       ^^^^
               = help: declare it as `timestamp` in `columns`: `uuid: timestamp`
            error[R009]: `native_id: published.x` does not lead to text or a number
              --> ingest/mappings/okta.system/authentication.sql:11:12
            11 | native_id: published.x
               |            ^^^^^^^^^^^
               = help: declare it as `string` in `columns`: `published.x: string`
        "#]],
    );
}

#[test]
fn column_types() {
    check_mapping(
        "\
/*---
id: okta.system.authentication
title: Sign-ins
source: okta.system
to: authentication
columns:
  published: timestamp
  uuid: text
  a: [string, int]
  b: timestamp(rfc|epoch_ms)
  c: {d: object}
  uuid: string
  actor: {id: string}
time: published
---*/
SELECT published AS time FROM okta_system
",
        expect![[r#"
            error[R009]: `text` is not a type of a wire column
              --> ingest/mappings/okta.system/authentication.sql:8:9
            8 |   uuid: text
              |         ^^^^ did you mean `string`?
              = help: string, timestamp, int, float, bool, json, `timestamp(format|format)`, [type] or {name: type}
            error[R009]: a list type has one element
              --> ingest/mappings/okta.system/authentication.sql:9:6
            9 |   a: [string, int]
              |      ^
              = help: `[string]`, `[{id: string}]`
            error[R009]: `rfc` is not a time format
              --> ingest/mappings/okta.system/authentication.sql:10:6
            10 |   b: timestamp(rfc|epoch_ms)
               |      ^^^^^^^^^^^^^^^^^^^^^^^
               = help: rfc3339, epoch_s, epoch_ms, epoch_us, epoch_ns, auto, syslog, clf, filetime, or a strftime pattern with `%`
            error[R009]: `object` is not a type of a wire column
              --> ingest/mappings/okta.system/authentication.sql:11:10
            11 |   c: {d: object}
               |          ^^^^^^ did you mean `json`?
               = help: string, timestamp, int, float, bool, json, `timestamp(format|format)`, [type] or {name: type}
            error[R009]: `uuid` is given twice
              --> ingest/mappings/okta.system/authentication.sql:12:3
            12 |   uuid: string
               |   ^^^^
               = help: keep one of them
        "#]],
    );
}

#[test]
fn unwrap_detect_when() {
    check_mapping(
        "\
/*---
id: okta.system.authentication
title: Sign-ins
source: okta.system
to: authentication
columns:
  published: timestamp
  uuid: string
  actor: {id: string}
time: published
unwrap: [Records, '$.a[0]']
detect: {has: [a], matches: '(?=x)', lines: 1}
when:
---*/
SELECT published AS time FROM okta_system
",
        expect![[r#"
            error[R009]: `Records` is not a path of `unwrap`
              --> ingest/mappings/okta.system/authentication.sql:11:10
            11 | unwrap: [Records, '$.a[0]']
               |          ^^^^^^^
               = help: `$`, `$[*]`, `$.Records[*]`, `$.data.events[*]`
            error[R009]: `$.a[0]` is not a path of `unwrap`
              --> ingest/mappings/okta.system/authentication.sql:11:19
            11 | unwrap: [Records, '$.a[0]']
               |                   ^^^^^^^^
               = help: `$`, `$[*]`, `$.Records[*]`, `$.data.events[*]`
            error[R032]: the regular expression cannot be used
              --> ingest/mappings/okta.system/authentication.sql:12:29
            12 | detect: {has: [a], matches: '(?=x)', lines: 1}
               |                             ^^^^^^^ look-around, including look-ahead and look-behind, is not supported
               = help: linear-time syntax: no look-around, no back-references
            error[R002]: unknown key `lines` in `detect`
              --> ingest/mappings/okta.system/authentication.sql:12:38
            12 | detect: {has: [a], matches: '(?=x)', lines: 1}
               |                                      ^^^^^
               = help: known keys: has, lacks, matches, message
            error[R009]: `when` is empty
              --> ingest/mappings/okta.system/authentication.sql:13:5
            13 | when:
               |     ^
        "#]],
    );
}

#[test]
fn time_settings() {
    check_mapping(
        "\
/*---
id: okta.system.authentication
title: Sign-ins
source: okta.system
to: authentication
columns:
  published: timestamp
  uuid: string
  actor: {id: string}
time: published
time_settings: {delay: 20m, latenes: 5m, idle: 60}
---*/
SELECT published AS time FROM okta_system
",
        expect![[r#"
            error[R009]: `delay` is longer than `lateness`
              --> ingest/mappings/okta.system/authentication.sql:11:17
            11 | time_settings: {delay: 20m, latenes: 5m, idle: 60}
               |                 ^^^^^
               = help: a row that is waited for must still count: delay <= lateness
            error[R002]: unknown key `latenes` in `time_settings`
              --> ingest/mappings/okta.system/authentication.sql:11:29
            11 | time_settings: {delay: 20m, latenes: 5m, idle: 60}
               |                             ^^^^^^^ did you mean `lateness`?
            error[R009]: `60` is not a duration
              --> ingest/mappings/okta.system/authentication.sql:11:48
            11 | time_settings: {delay: 20m, latenes: 5m, idle: 60}
               |                                                ^^
               = help: a whole number with a unit of ms, s, m, h, d or w: `10m`, `1h30m`
        "#]],
    );
}

#[test]
fn codecs() {
    check_mapping(
        "\
/*---
id: okta.system.authentication
title: Sign-ins
source: okta.system
to: authentication
columns:
  published: timestamp
  uuid: string
  actor: {id: string}
time: published
codec: jsn
---*/
SELECT published AS time FROM okta_system
",
        expect![[r#"
            error[R009]: `jsn` is not a codec
              --> ingest/mappings/okta.system/authentication.sql:11:8
            11 | codec: jsn
               |        ^^^ did you mean `json`?
               = help: json, lines, delimited: {..} or syslog: {..}
        "#]],
    );
}

#[test]
fn codec_keys() {
    check_mapping(
        "\
/*---
id: okta.system.authentication
title: Sign-ins
source: okta.system
to: authentication
columns:
  published: timestamp
  uuid: string
  actor: {id: string}
time: published
codec: {delimited: {delimiter: ', ', fields: [a, a], quote: x}}
---*/
SELECT published AS time FROM okta_system
",
        expect![[r#"
            error[R009]: `delimiter` takes one character
              --> ingest/mappings/okta.system/authentication.sql:11:32
            11 | codec: {delimited: {delimiter: ', ', fields: [a, a], quote: x}}
               |                                ^^^^
               = help: " ", "," or "\t"
            error[R002]: unknown key `quote` in `delimited`
              --> ingest/mappings/okta.system/authentication.sql:11:54
            11 | codec: {delimited: {delimiter: ', ', fields: [a, a], quote: x}}
               |                                                      ^^^^^
               = help: known keys: delimiter, null, header, fields, layouts, known
        "#]],
    );
}

#[test]
fn codec_gives_no_such_column() {
    check_mapping(
        r"/*---
id: okta.system.authentication
title: Sign-ins
source: okta.system
to: authentication
columns:
  published: timestamp
  uuid: string
  actor: {id: string}
time: published
codec: {syslog: {patterns: ['^(?<uuid>\S+) (?<message>.*)$', '(oops'], zone: Europe/Berln, year: 99999}}
---*/
SELECT published AS time FROM okta_system
",
        expect![[r#"
            error[R011]: the codec gives no column `published`
              --> ingest/mappings/okta.system/authentication.sql:7:3
            7 |   published: timestamp
              |   ^^^^^^^^^
              = help: it gives timestamp, hostname, appname, procid, msgid, facility, severity, repeated, message, message, uuid
            error[R011]: the codec gives no column `actor`
              --> ingest/mappings/okta.system/authentication.sql:9:3
            9 |   actor: {id: string}
              |   ^^^^^
              = help: it gives timestamp, hostname, appname, procid, msgid, facility, severity, repeated, message, message, uuid
            error[R009]: the group `message` has the name of a field of the envelope
              --> ingest/mappings/okta.system/authentication.sql:11:29
            11 | codec: {syslog: {patterns: ['^(?<uuid>\S+) (?<message>.*)$', '(oops'], zone: Europe/Berln, year: 999…
               |                             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
               = help: rename the group
            error[R032]: the regular expression cannot be used
              --> ingest/mappings/okta.system/authentication.sql:11:62
            11 | …c: {syslog: {patterns: ['^(?<uuid>\S+) (?<message>.*)$', '(oops'], zone: Europe/Berln, year: 99999}}
               |                                                           ^^^^^^^ unclosed group
               = help: linear-time syntax: no look-around, no back-references
            error[R009]: `Europe/Berln` is not a zone
              --> ingest/mappings/okta.system/authentication.sql:11:78
            11 | …c: {syslog: {patterns: ['^(?<uuid>\S+) (?<message>.*)$', '(oops'], zone: Europe/Berln, year: 99999}}
               |                                                                           ^^^^^^^^^^^^
               = help: did you mean `Europe/Berlin`? "UTC", an offset: "+02:00", or a place: "Europe/Berlin"
            error[R009]: `99999` is not a year
              --> ingest/mappings/okta.system/authentication.sql:11:98
            11 | …c: {syslog: {patterns: ['^(?<uuid>\S+) (?<message>.*)$', '(oops'], zone: Europe/Berln, year: 99999}}
               |                                                                                               ^^^^^
               = help: 1970 to 9999
        "#]],
    );
}

#[test]
fn two_codecs() {
    check_mapping(
        "\
/*---
id: okta.system.authentication
title: Sign-ins
source: okta.system
to: authentication
columns:
  published: timestamp
  uuid: string
  actor: {id: string}
time: published
codec: {syslog: {}, delimited: {}}
---*/
SELECT published AS time FROM okta_system
",
        expect![[r#"
            error[R009]: `codec` takes one codec
              --> ingest/mappings/okta.system/authentication.sql:11:8
            11 | codec: {syslog: {}, delimited: {}}
               |        ^
               = help: json, lines, delimited: {..} or syslog: {..}
        "#]],
    );
}

#[test]
fn cases() {
    check_mapping(
        "\
/*---
id: okta.system.authentication
title: Sign-ins
source: okta.system
to: authentication
columns:
  published: timestamp
  uuid: string
  actor: {id: string}
time: published
---*/
SELECT published AS time FROM okta_system
/*--- tests
- name: x
  raw: a
  records: [b]
  expect: [{user_nam: x}]
- name: y
  records: {}
- name: z
  raw: {a: 1}
  dead_letter: not_json
- raw: 5
  received_at: noon
  expect: [{table: netwrk}, {table: network, bytes_outt: 1}]
---*/
",
        expect![[r#"
            error[R009]: `raw` and `records` in one case
              --> ingest/mappings/okta.system/authentication.sql:16:12
            16 |   records: [b]
               |            ^
               = help: keep one of them
            error[R011]: no column `user_nam` in `authentication`
              --> ingest/mappings/okta.system/authentication.sql:17:13
            17 |   expect: [{user_nam: x}]
               |             ^^^^^^^^ did you mean `user_name`?
               = help: `sluice schema authentication` lists all
            error[R003]: `expect` is missing
              --> ingest/mappings/okta.system/authentication.sql:18:3
            18 | - name: y
               |   ^
               = help: expect: [{column: value}], or `dead_letter: <code>`
            error[R009]: `records` takes a list, not a map
              --> ingest/mappings/okta.system/authentication.sql:19:12
            19 |   records: {}
               |            ^
            error[R003]: `name` is missing
              --> ingest/mappings/okta.system/authentication.sql:23:3
            23 | - raw: 5
               |   ^
               = help: name: <what the case shows>
            error[R009]: `noon` is not a time
              --> ingest/mappings/okta.system/authentication.sql:24:16
            24 |   received_at: noon
               |                ^^^^
               = help: an offset from 2026-01-01T00:00:00Z (`+9m`, `-5s`) or an RFC 3339 time
            error[R011]: no table `netwrk`
              --> ingest/mappings/okta.system/authentication.sql:25:12
            25 |   expect: [{table: netwrk}, {table: network, bytes_outt: 1}]
               |            ^ did you mean `network`?
               = help: the tables are api_activity, authentication, detection, device_state, dns, file, http, identity_change, network, process, findings
            error[R011]: no column `bytes_outt` in `network`
              --> ingest/mappings/okta.system/authentication.sql:25:46
            25 |   expect: [{table: netwrk}, {table: network, bytes_outt: 1}]
               |                                              ^^^^^^^^^^ did you mean `bytes_out`?
               = help: `sluice schema network` lists all
        "#]],
    );
}
