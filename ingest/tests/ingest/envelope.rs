//! What came around a record, as columns: for every codec, and never from the record itself.

use std::sync::Arc;

use arrow::{
    array::{Array, AsArray, RecordBatch},
    compute::cast,
    datatypes::DataType,
};
use sluice_event::{PartitionId, TimeFormat, WireSchema, WireType};
use sluice_ingest::{
    Chunk, Codec, Decoder, DelimitedCodec, Envelope, Limits, SourceSpec, SyslogCodec,
};
use sluice_rule::Mapping;

use crate::support::spec;

fn wire(own: &str) -> WireSchema {
    let time = WireType::Timestamp(vec![TimeFormat::Auto]);
    let columns = [
        ("_key", WireType::String),
        (own, WireType::String),
        ("_topic", WireType::String),
        ("_headers", WireType::Json),
        ("_timestamp", time),
        ("_partition", WireType::Int),
        ("_offset", WireType::Int),
    ];
    WireSchema { columns: columns.map(|(n, t)| (n.to_owned(), t)).into() }
}

fn enveloped(records: &[&str], envelopes: Vec<Arc<Envelope>>) -> Chunk {
    let records: Vec<String> = records.iter().map(|r| (*r).to_owned()).collect();
    let mut chunk = Chunk::of_lines(PartitionId(0), &records, 0);
    chunk.offsets = (40..).take(records.len()).collect();
    chunk.envelopes = envelopes;
    chunk
}

fn full() -> Arc<Envelope> {
    Arc::new(Envelope {
        topic: "logins".into(),
        partition: 3,
        key: Some(b"k\xff".to_vec()),
        headers: vec![
            ("a".into(), Some(b"1".to_vec())),
            ("b\u{fffd}".into(), None),
            ("a".into(), Some(b"\xff\"".to_vec())),
        ],
        timestamp: Some(1_767_225_600_000),
    })
}

fn values(batch: &RecordBatch, column: &str) -> Vec<Option<String>> {
    let column = match batch[column].data_type() {
        DataType::Timestamp(..) => cast(&batch[column], &DataType::Int64).unwrap(),
        _ => batch[column].clone(),
    };
    let texts = cast(&column, &DataType::Utf8).unwrap();
    texts.as_string::<i32>().iter().map(|v| v.map(str::to_owned)).collect()
}

#[test]
fn every_codec_has_them_and_no_payload_can_set_them() {
    let delimited = Codec::Delimited(DelimitedCodec {
        delimiter: ' ',
        fields: vec!["own".into(), "_key".into(), "_topic".into()],
        ..DelimitedCodec::default()
    });
    let syslog = Codec::Syslog(SyslogCodec {
        patterns: vec!["(?P<own>v) (?P<_key>forged)".parse().unwrap()],
        year: Some(2026),
        ..SyslogCodec::default()
    });
    let json =
        r#"{"_key":"forged","own":"v","_topic":"forged","_headers":{"x":"forged"},"_offset":9}"#;
    for (codec, own, record) in [
        (Codec::Json, "own", json),
        (delimited, "own", "v forged forged"),
        (syslog, "own", "<34>Jan  1 00:00:00 h a[1]: v forged"),
        (Codec::Lines, "line", "v"),
    ] {
        let mut decoder = Decoder::of(&codec, &wire(own), Limits::default());
        let bare = Arc::new(Envelope::default());
        let chunk = enveloped(&[record, "", record], vec![full(), full(), bare]);
        let decoded = decoder.decode(&chunk);
        let batch = &decoded.wire;
        assert_eq!((batch.num_rows(), decoded.failed.len()), (2, 1), "{codec}");
        assert_eq!(decoded.conflicts, []);
        assert_eq!(batch.schema(), wire(own).arrow());
        assert_eq!(values(batch, own), [Some("v".into()), Some("v".into())], "{codec}");
        assert_eq!(values(batch, "_key"), [Some("k\u{fffd}".into()), None], "{codec}");
        assert_eq!(values(batch, "_topic"), [Some("logins".into()), None]);
        assert_eq!(values(batch, "_partition"), [Some("3".into()), None]);
        assert_eq!(values(batch, "_offset"), [Some("40".into()), None]);
        assert_eq!(values(batch, "_timestamp"), [Some("1767225600000".into()), None]);
        let headers = values(batch, "_headers");
        assert_eq!(headers[1], None);
        assert_eq!(headers[0].as_deref(), Some("{\"a\":\"\u{fffd}\\\"\",\"b\u{fffd}\":null}"));

        // Without envelopes all of them are NULL.
        let decoded = decoder.decode(&enveloped(&[record], Vec::new()));
        for name in ["_key", "_topic", "_headers", "_timestamp", "_partition", "_offset"] {
            assert_eq!(decoded.wire[name].null_count(), 1, "{codec} {name}");
        }
    }
}

/// What is wrong with a mapping file with this codec and these columns.
fn problems(codec: &str, columns: &str) -> Vec<String> {
    let text = format!(
        "/*---\nid: a.b.network\ntitle: t\nsource: a.b\nto: network\ncodec: {codec}\n\
         columns: {{{columns}}}\ntime: _timestamp\nvendor: v\nproduct: p\n---*/\n\
         SELECT _timestamp AS time FROM a_b\n"
    );
    let mapping = match Mapping::parse("a.sql", "a.b/network.sql", &text) {
        Ok((mapping, _)) => Arc::new(mapping),
        Err(problems) => return problems.iter().map(|p| format!("{p:?}")).collect(),
    };
    let any = spec().mappings[0].transform.clone();
    match SourceSpec::from_mappings(&[mapping], |_, _| Ok(any.clone())) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(|p| format!("{} {}", p.code, p.primary)).collect(),
    }
}

#[test]
fn mapping_files_declare_them_for_every_codec_with_their_types() {
    let all = "_timestamp: timestamp, _key: string, _headers: json, _offset: int";
    let delimited = "{delimited: {delimiter: ' ', fields: [x]}}";
    for codec in ["json", "lines", delimited, "{syslog: {}}"] {
        assert_eq!(problems(codec, all), Vec::<String>::new(), "{codec}");
    }
    assert_eq!(
        problems("json", "_timestamp: timestamp, _headers: {a: string}, _topic: json"),
        [
            "M023 `_headers` can only be declared as json",
            "M023 `_topic` can only be declared as string"
        ]
    );
}
