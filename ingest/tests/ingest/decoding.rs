//! Codecs and routing, and the decoder against serde_json.

use std::sync::Arc;

use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use sluice_event::{PartitionId, TimeFormat, WireSchema, WireType};
use sluice_ingest::{
    Chunk, Codec, Decoder, DelimitedCodec, Limits, Mapper, SourceSpec, SyslogCodec,
    builtin_mappings, detect,
};

use crate::support::{RECEIVED, run, run_spec, spec};

fn wire(columns: &[(&str, WireType)]) -> WireSchema {
    WireSchema { columns: columns.iter().map(|(n, t)| ((*n).to_owned(), t.clone())).collect() }
}

#[test]
fn routing_counts_each_record_once() {
    let outcome = run(concat!(
        "{\"user\":\"a\",\"id\":\"i1\"}\n{\"user\":\"skip\"}\n{\"user\":\"fail\"}\n",
        "{\"user\":\"other\"}\n{\"user\":\"b\"}\n",
    ));
    let c = &outcome.counts;
    assert_eq!((c.records, c.mapped, c.mapped_empty, c.dead(), c.rows), (5, 2, 1, 2, 2));
    assert_eq!(outcome.codes(), [("mapping_error", 3), ("no_mapping", 4)]);
    assert_eq!(outcome.dead[0].mapping.as_deref(), Some("test.source.authentication"));
    assert_eq!(outcome.column("native_uid"), [Some("i1".into()), None]);
    assert_eq!(outcome.column("source")[0].as_deref(), Some("test.source"));
    assert_eq!(outcome.raw("user").len(), 5);
}

#[test]
fn what_was_seen_before_does_not_depend_on_chunks() {
    let lines: Vec<String> = [5, 3, 9, 9, 1, 12, 7]
        .iter()
        .map(|s| format!("{{\"user\":\"u\",\"at\":{}}}", 1_767_225_600 + s))
        .collect();
    let before = |size: usize| -> Vec<i64> {
        let spec = spec();
        let time = spec.time_settings;
        let mut mapper =
            Mapper::new(Arc::new(spec), "default", PartitionId(0), time, false, i64::MIN);
        lines
            .chunks(size)
            .flat_map(|part| {
                mapper.process(&Chunk::of_lines(PartitionId(0), part, RECEIVED)).batches
            })
            .flat_map(|b| b.seen_before)
            .collect()
    };
    let whole = before(7);
    assert_eq!(whole[0], i64::MIN);
    assert_eq!(whole[3] - whole[1], 4_000);
    for size in 1..7 {
        assert_eq!(before(size), whole);
    }
}

#[test]
fn vpc_flow_lines_with_and_without_a_header() {
    let spec = || SourceSpec {
        codec: Codec::Delimited(DelimitedCodec {
            delimiter: ' ',
            fields: ["version", "account-id", "srcaddr", "start"].map(str::to_owned).to_vec(),
            null: Some("-".into()),
            ..DelimitedCodec::default()
        }),
        wire: wire(&[
            ("user", WireType::String),
            ("account-id", WireType::String),
            ("srcaddr", WireType::String),
            ("start", WireType::Timestamp(vec![TimeFormat::EpochSeconds])),
        ]),
        time: Some("start".into()),
        native_id: None,
        ..spec()
    };
    let plain = run_spec(spec(), b"2 123 10.0.0.1 1767225600\n2 - - 1767225601\nbroken\n".to_vec());
    assert_eq!(plain.raw("account-id"), [Some("123".into()), None]);
    assert_eq!(plain.codes(), [("bad_framing", 3)]);
    let swapped = run_spec(spec(), b"srcaddr start version\n10.0.0.1 1767225600 5\n".to_vec());
    assert_eq!(swapped.raw("srcaddr"), [Some("10.0.0.1".into())]);
    assert_eq!(swapped.raw("time"), [Some("2026-01-01T00:00:00.000Z".into())]);
    assert_eq!(swapped.counts.dropped, 1);
}

#[test]
fn quoted_fields_may_hold_the_delimiter() {
    let codec = Codec::Delimited(DelimitedCodec {
        delimiter: ',',
        fields: ["user", "x"].map(str::to_owned).to_vec(),
        ..DelimitedCodec::default()
    });
    let wire = wire(&[("user", WireType::String), ("x", WireType::String)]);
    let outcome = run_spec(
        SourceSpec { codec, wire, time: None, native_id: None, ..spec() },
        b"\"a, \"\"b\"\"\",1\nplain,\"x\"\n".to_vec(),
    );
    assert_eq!(outcome.raw("user"), [Some("a, \"b\"".into()), Some("plain".into())]);
    assert_eq!(outcome.raw("x"), [Some("1".into()), Some("x".into())]);
}

pub(crate) fn sshd() -> SourceSpec {
    let pattern = r"^Failed (?<method>\w+) for (?<user>.*) from (?<ip>\S+) port (?<port>\d+)";
    SourceSpec {
        source: "linux.sshd".into(),
        codec: Codec::Syslog(SyslogCodec {
            patterns: vec![pattern.parse().unwrap()],
            ..SyslogCodec::default()
        }),
        wire: wire(&[
            ("timestamp", WireType::Timestamp(vec![TimeFormat::Syslog])),
            ("hostname", WireType::String),
            ("appname", WireType::String),
            ("procid", WireType::Int),
            ("message", WireType::String),
            ("user", WireType::String),
            ("ip", WireType::String),
            ("port", WireType::Int),
        ]),
        time: Some("timestamp".into()),
        native_id: None,
        detect_has: Vec::new(),
        detect_line: Some(regex::Regex::new(r"sshd\[\d+\]: ").unwrap()),
        detect_message: None,
        ..spec()
    }
}

const SSHD: &str = concat!(
    "Dec 31 23:59:58 web-1 sshd[700]: Failed password for root from 203.0.113.9 port 4444 ssh2\n",
    "<38>Jan  1 00:00:00 web-1 sshd[701]: Server listening on 0.0.0.0 port 22.\n",
    "2026-01-01T08:00:00.250+01:00 web-1 sshd[702]: Failed password for a from ::1 port 1 ssh2\n",
    "<38>1 2026-01-01T07:00:01Z web-1 sshd 703 - - Failed none for b from 192.0.2.1 port 2\n",
    "this is not syslog\n",
);

#[test]
fn syslog_of_both_kinds() {
    let outcome = run_spec(sshd(), SSHD.as_bytes().to_vec());
    let text = |v: &[Option<String>]| -> Vec<String> {
        v.iter().map(|v| v.clone().unwrap_or_default()).collect()
    };
    assert_eq!(
        text(&outcome.raw("time")),
        [
            "2025-12-31T23:59:58.000Z",
            "2026-01-01T00:00:00.000Z",
            "2026-01-01T07:00:00.250Z",
            "2026-01-01T07:00:01.000Z"
        ]
    );
    assert_eq!(text(&outcome.raw("user")), ["root", "", "a", "b"]);
    assert_eq!(text(&outcome.raw("procid")), ["700", "701", "702", "703"]);
    assert_eq!(text(&outcome.raw("hostname")), ["web-1"; 4]);
    assert_eq!(outcome.codes(), [("bad_framing", 5)]);
}

#[test]
fn detection_says_what_it_saw() {
    let json = SourceSpec { detect_has: vec!["user".into(), "at".into()], ..spec() };
    let sources = [json, sshd()];
    let say = |head: &str| detect(&sources, head.as_bytes()).to_string();
    let json: String = (0..50).map(|i| format!("{{\"user\":\"{i}\",\"at\":1}}\n")).collect();
    assert_eq!(say(&json), "100 % of 50 records look like test.source");
    assert_eq!(say(SSHD), "60 % of 5 records look like linux.sshd");
    assert_eq!(say("{\"a\":1}\n"), "JSON, but no source looks like it (1 record seen)");
    assert_eq!(say(" \n"), "the input is empty");
}

#[test]
fn the_shipped_mappings_of_a_source_agree() {
    let mut mappings = Vec::new();
    for (path, text) in builtin_mappings() {
        let (mapping, _) = sluice_rule::Mapping::parse(&path, &path, &text).unwrap();
        mappings.push(Arc::new(mapping));
    }
    let any = spec().mappings[0].transform.clone();
    let sources = SourceSpec::from_mappings(&mappings, |_, _| Ok(any.clone())).unwrap();
    let schemas = SourceSpec::wire_schemas(&mappings);
    assert!(!sources.is_empty());
    for source in &sources {
        assert_eq!(schemas[&*source.source], source.raw_schema());
    }
    // The records of their own tests are recognised.
    for mapping in &mappings {
        let head: String = mapping.tests.iter().map(|t| t.records.join("\n") + "\n").collect();
        let detection = detect(&sources, head.as_bytes());
        let best = detection.best.as_ref().map(|m| m.source.as_str());
        if mapping.priority < 50 {
            assert_eq!(best, Some(mapping.source.as_str()), "{}: {detection}", mapping.id);
        }
    }
}

/// A random value, now and then of the type a column wants.
fn value(rng: &mut StdRng, depth: u32) -> Value {
    match rng.random_range(0..if depth > 2 { 6 } else { 8 }) {
        0 => Value::Null,
        1 => json!(rng.random::<bool>()),
        2 => json!(rng.random_range(-1000i64..1000)),
        3 => json!(rng.random::<i64>()),
        4 => json!(f64::from(rng.random_range(-500i32..500)) / 8.0),
        5 => json!(["", "a", "é\n\"", "12", "-7", "0.5", "true"][rng.random_range(0..7)]),
        6 => Value::Array((0..rng.random_range(0..3)).map(|_| value(rng, depth + 1)).collect()),
        _ => ["x", "y", "z", "k", "user"]
            .iter()
            .filter_map(|k| match rng.random::<bool>() {
                true => Some(((*k).to_owned(), value(rng, depth + 1))),
                false => None,
            })
            .collect::<serde_json::Map<_, _>>()
            .into(),
    }
}

/// What a column must hold of a value: the decoder's rules, once more and simply.
fn model(kind: &WireType, value: Option<&Value>) -> Value {
    let Some(value) = value else { return Value::Null };
    match (kind, value) {
        (WireType::Json, Value::Null) => Value::Null,
        (WireType::Json, v) => json!(v.to_string()),
        // An empty text says nothing.
        (_, Value::String(s)) if s.is_empty() => Value::Null,
        (WireType::String, Value::String(s)) => json!(s),
        (WireType::String, v @ (Value::Bool(_) | Value::Number(_))) => json!(v.to_string()),
        (WireType::Int, Value::Number(n)) => match (n.as_i64(), n.as_f64()) {
            (Some(i), _) => json!(i),
            (None, Some(f)) if f.fract() == 0.0 => json!(f as i64),
            _ => Value::Null,
        },
        (WireType::Int, Value::String(s)) => json!(s.parse::<i64>().ok()),
        (WireType::Float, Value::Number(n)) => json!(n.as_f64()),
        (WireType::Float, Value::String(s)) => json!(s.parse::<f64>().ok()),
        (WireType::Bool, Value::Bool(b)) => json!(b),
        (WireType::Bool, Value::String(s)) => json!(s.parse::<bool>().ok()),
        (WireType::Struct(fields), Value::Object(o)) => fields
            .iter()
            .map(|(name, kind)| (name.clone(), model(kind, o.get(name))))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        (WireType::List(item), Value::Array(values)) => {
            Value::Array(values.iter().map(|v| model(item, Some(v))).collect())
        }
        _ => Value::Null,
    }
}

/// What a column does hold.
fn held(array: &arrow::array::ArrayRef, row: usize) -> Value {
    use arrow::{
        array::{Array, AsArray},
        datatypes::{DataType, Float64Type, Int64Type},
    };
    if array.is_null(row) {
        return Value::Null;
    }
    match array.data_type() {
        DataType::Utf8 => json!(array.as_string::<i32>().value(row)),
        DataType::Int64 => json!(array.as_primitive::<Int64Type>().value(row)),
        DataType::Float64 => json!(array.as_primitive::<Float64Type>().value(row)),
        DataType::Boolean => json!(array.as_boolean().value(row)),
        DataType::Struct(fields) => fields
            .iter()
            .zip(array.as_struct().columns())
            .map(|(f, c)| (f.name().clone(), held(c, row)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            Value::Array((0..items.len()).map(|i| held(&items, i)).collect())
        }
        other => panic!("{other}"),
    }
}

#[test]
fn decodes_what_serde_json_reads() {
    let seed: u64 = 20_260_101;
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let fields = |names: &[(&str, WireType)]| {
        names.iter().map(|(n, t)| ((*n).to_owned(), t.clone())).collect::<Vec<_>>()
    };
    let inner = WireType::Struct(fields(&[("x", WireType::String), ("z", WireType::Int)]));
    let list = WireType::List(Box::new(inner.clone()));
    let wire = WireSchema {
        columns: fields(&[
            ("user", WireType::String),
            ("n", WireType::Int),
            ("f", WireType::Float),
            ("b", WireType::Bool),
            ("j", WireType::Json),
            ("o", WireType::Struct(fields(&[("x", list.clone()), ("y", inner)]))),
            ("l", list),
            ("w", WireType::List(Box::new(WireType::String))),
        ]),
    };
    let mut decoder = Decoder::of(&Codec::Json, &wire, Limits::default());
    for _ in 0..200 {
        let mut records = Vec::new();
        for _ in 0..rng.random_range(1..30) {
            let mut record = serde_json::Map::new();
            for _ in 0..rng.random_range(0..10) {
                let name = ["user", "n", "f", "b", "j", "o", "l", "w", "other"];
                record.insert(name[rng.random_range(0..9)].to_owned(), value(&mut rng, 0));
            }
            records.push(Value::Object(record));
        }
        // Some records are cut off: they fail and harm no other.
        let mut good = Vec::new();
        let lines: Vec<String> = records
            .iter()
            .enumerate()
            .map(|(i, record)| {
                let mut text = record.to_string();
                if rng.next_u32() % 5 == 0 {
                    let mut at = rng.random_range(1..text.len());
                    while !text.is_char_boundary(at) {
                        at -= 1;
                    }
                    text.truncate(at.max(1));
                } else {
                    good.push(i);
                }
                text
            })
            .collect();
        let decoded = decoder.decode(&Chunk::of_lines(PartitionId(0), &lines, RECEIVED));
        let rows: Vec<usize> = decoded.record.iter().map(|r| *r as usize).collect();
        assert_eq!(rows, good);
        assert_eq!(decoded.failed.len() + rows.len(), lines.len());
        for (row, record) in rows.iter().enumerate() {
            for ((name, kind), array) in wire.columns.iter().zip(decoded.wire.columns()) {
                let expect = model(kind, records[*record].get(name));
                assert_eq!(held(array, row), expect, "{name} of {}", lines[*record]);
            }
        }
    }
}
