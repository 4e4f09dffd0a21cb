//! Good mapping files.

use serde_json::json;
use sluice_event::{TimeFormat, TimeSettings, WireType};
use sluice_rule::{CodecSpec, Delimited, Mapping, Syslog, TEST_BASE};

use super::read_mapping;

const OKTA: &str = r#"/*---
id: okta.system.authentication
title: "Okta System Log: sign-in and session events"
source: okta.system
to: authentication
class: 3002
codec: json
unwrap: ["$.data.events[*]", "$[*]", "$"]
detect: {has: [eventType, actor.id]}
columns:
  uuid: string
  published: timestamp
  received: timestamp(epoch_ms|%Y/%m/%d)
  actor: {id: string, alternateId: string}
  target: [{id: string, n: int}]
  debugContext: json
time: published
native_id: uuid
time_settings: {delay: 20s, lateness: 20m}
when: >-
  eventType LIKE 'user.session.%'
  OR eventType LIKE 'user.mfa.%'
priority: 10
vendor: Okta
product: System Log
---*/
SELECT published AS time, actor.id AS user_uid FROM okta_system
/*--- tests
- name: one
  raw: '{"uuid":"u1"}'
  expect: [{table: authentication, user_uid: 00u1, src_ip: null, unmapped.risk: x}]
- name: several
  records: [{a: {b: 1}}, "text"]
  received_at: +1h
  dead_letter: not_json
---*/
"#;

fn good(text: &str) -> Mapping {
    let (mapping, found) = read_mapping(text);
    assert_eq!(found, []);
    mapping.unwrap_or_else(|| panic!("refused"))
}

#[test]
fn front_matter_is_read() {
    let mapping = good(OKTA);
    assert_eq!((mapping.source.as_str(), mapping.to.as_str()), ("okta.system", "authentication"));
    assert_eq!((mapping.class, mapping.priority), (Some(3002), 10));
    assert_eq!(mapping.codec, CodecSpec::Json);
    assert_eq!(mapping.unwrap, ["$.data.events[*]", "$[*]", "$"]);
    assert_eq!(mapping.detect.has, ["eventType", "actor.id"]);
    let settings = TimeSettings { delay: 20_000, lateness: 1_200_000, ..TimeSettings::default() };
    assert_eq!(mapping.time_settings, settings);
    let when = mapping.when.unwrap();
    assert_eq!(when.text, "eventType LIKE 'user.session.%'\n  OR eventType LIKE 'user.mfa.%'");
    assert_eq!((when.span.line, when.span.column), (21, 3));
    assert_eq!(mapping.native_id.as_deref(), Some("uuid"));
}

#[test]
fn a_quoted_when_starts_behind_its_quote() {
    let block = OKTA.find("when: >-").zip(OKTA.find("priority:")).unwrap();
    let (before, after) = (OKTA.get(..block.0).unwrap(), OKTA.get(block.1..).unwrap());
    let when = |yaml: &str| good(&format!("{before}when: {yaml}\n{after}")).when.unwrap();
    let quoted = when(r#""\"log-status\" = 'OK'""#);
    assert_eq!((quoted.text.as_str(), quoted.span.column), (r#""log-status" = 'OK'"#, 8));
    let plain = when("uuid = 'a'");
    assert_eq!((plain.text.as_str(), plain.span.column), ("uuid = 'a'", 7));
}

#[test]
fn wire_columns_have_types() {
    let columns = good(OKTA).columns.columns;
    let of = |name: &str| columns.iter().find(|(n, _)| n == name).map(|(_, kind)| kind.clone());
    let text = |name: &str| (name.to_owned(), WireType::String);
    assert_eq!(of("published"), Some(WireType::Timestamp(vec![TimeFormat::Auto])));
    let formats = vec![TimeFormat::EpochMillis, TimeFormat::Pattern("%Y/%m/%d".to_owned())];
    assert_eq!(of("received"), Some(WireType::Timestamp(formats)));
    assert_eq!(of("actor"), Some(WireType::Struct(vec![text("id"), text("alternateId")])));
    let item = WireType::Struct(vec![text("id"), ("n".to_owned(), WireType::Int)]);
    assert_eq!(of("target"), Some(WireType::List(Box::new(item))));
    assert_eq!(of("debugContext"), Some(WireType::Json));
}

#[test]
fn cases_are_read() {
    let mapping = good(OKTA);
    let [one, several] = mapping.tests.as_slice() else { panic!() };
    assert_eq!(one.records, [r#"{"uuid":"u1"}"#]);
    let row = json!([{"table": "authentication", "user_uid": "00u1", "src_ip": null, "unmapped.risk": "x"}]);
    assert_eq!(json!(one.expect), row);
    assert_eq!(one.received_at, TEST_BASE);
    assert_eq!(several.records, [r#"{"a":{"b":1}}"#, "text"]);
    assert_eq!(several.dead_letter.as_deref(), Some("not_json"));
    assert_eq!(several.received_at, TEST_BASE + 3_600_000);
}

fn with_codec(codec: &str, columns: &str, time: &str) -> Mapping {
    good(&format!(
        "/*---\nid: okta.system.authentication\ntitle: x\nsource: a.b\nto: network\n\
         codec:\n{codec}{columns}time: {time}\n---*/\nSELECT 1\n"
    ))
}

#[test]
fn delimited_lines() {
    let mapping = with_codec(
        "  delimited:\n    delimiter: \" \"\n    null: \"-\"\n    header: version account-id\n    fields: [version, account-id, start]\n",
        "columns: {account-id: string, start: timestamp, vpc-id: string}\n",
        "start",
    );
    let expect = Delimited {
        delimiter: ' ',
        null: Some("-".to_owned()),
        header: Some("version account-id".to_owned()),
        fields: ["version", "account-id", "start"].map(str::to_owned).to_vec(),
        layouts: Vec::new(),
        known: Vec::new(),
    };
    assert_eq!(mapping.codec, CodecSpec::Delimited(expect));
    assert_eq!(mapping.columns.columns.len(), 3);
}

#[test]
fn layouts_are_told_by_their_number_of_fields() {
    let codec = |layouts: &str| {
        format!("  delimited:\n    fields: [version, start]\n    layouts: {layouts}\n")
    };
    let mapping =
        with_codec(&codec("[[version, host, start]]"), "columns: {start: timestamp}\n", "start");
    let CodecSpec::Delimited(delimited) = &mapping.codec else { panic!("{:?}", mapping.codec) };
    assert_eq!(delimited.layouts, [["version", "host", "start"].map(str::to_owned).to_vec()]);
}

#[test]
fn syslog_lines_give_the_envelope_and_the_groups() {
    let mapping = with_codec(
        "  syslog:\n    patterns:\n      - '^(?<what>Failed) (?<method>\\S+) for (?<user>.*) from (?<ip>\\S+)$'\n    zone: \"-05:30\"\n",
        "",
        "timestamp",
    );
    let names: Vec<&str> = mapping.columns.columns.iter().map(|(n, _)| n.as_str()).collect();
    let expect: Vec<&str> =
        Syslog::ENVELOPE.into_iter().chain(["ip", "method", "user", "what"]).collect();
    assert_eq!(names, expect);
    let CodecSpec::Syslog(syslog) = &mapping.codec else { panic!() };
    assert_eq!((syslog.zone, syslog.year), (sluice_rule::Zone::Offset(-330), None));
}
