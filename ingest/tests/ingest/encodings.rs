//! The same records in other encodings: several in a text, UTF-16, compressed, encoded twice; what is
//! damaged among them; and what compressed bytes may cost.

use std::io::{Cursor, Write};

use base64::{Engine, engine::general_purpose::STANDARD};
use flate2::{Compression, write::GzEncoder};
use sluice_ingest::{
    DeadLetterCode, FileInput, Limits, Message, NextChunk, Router, SourceSpec, stdin_file,
};

use crate::{
    support::RECEIVED,
    wrapped::{FLOW, SSHD, TRAIL, decode, decoder_of, quoted, source, sources, texts},
};

const OTHER: &str = r#"{"eventVersion":"1.08","eventSource":"s3.amazonaws.com","eventName":"StopLogging","eventTime":"2025-12-31T09:00:01Z"}"#;

/// What a file comes to: a column of its rows, and its dead letters.
pub(crate) fn file(
    spec: &SourceSpec,
    column: &str,
    bytes: &[u8],
) -> (Vec<String>, Vec<DeadLetterCode>) {
    let mut input = FileInput::new(Limits::default());
    let found = stdin_file(Box::new(Cursor::new(bytes.to_vec())));
    input.add(found, &spec.framing(), RECEIVED);
    let mut decoder = decoder_of(spec);
    let (mut rows, mut letters) = (Vec::new(), Vec::new());
    while let Some(next) = input.next_chunk(&|_| 0).unwrap() {
        let NextChunk::Chunk(chunk) = next else { continue };
        letters.extend(chunk.faults.iter().map(|f| f.code));
        let decoded = decoder.decode(&chunk);
        letters.extend(decoded.failed.iter().map(|f| f.code));
        rows.extend(texts(&decoded.wire, column));
    }
    (rows, letters)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

fn pretty(record: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(record).unwrap();
    serde_json::to_string_pretty(&value).unwrap()
}

#[test]
fn json_values_whatever_is_between_them() {
    let spec = source("aws.cloudtrail");
    let (first, second) = (pretty(TRAIL), pretty(OTHER));
    let (cut, _) = TRAIL.split_at(40);
    let mut read = 0;
    for (text, damaged) in [
        (format!("{TRAIL}\n{OTHER}"), 0),
        (format!("{TRAIL}{OTHER}"), 0),
        (format!("{TRAIL},\n{OTHER},\n"), 0),
        (format!("\u{1e}{TRAIL}\n\u{1e}{OTHER}\n"), 0),
        (format!("\u{1e}{first}\n\u{1e}{second}\n"), 0),
        (format!("[{TRAIL}][{OTHER}]"), 0),
        (format!("{}\n{}\n", quoted(TRAIL), quoted(OTHER)), 0),
        (format!("[{},{}]", quoted(TRAIL), quoted(OTHER)), 0),
        (format!("{TRAIL}\n// a comment {{\n{OTHER}"), 1),
        (format!("{TRAIL} rubbish {OTHER}"), 1),
        (format!("{TRAIL}{{\"a\":tru}}{OTHER}"), 1),
        (format!("{TRAIL}{cut}\n{OTHER}"), 1),
        (format!("{first}\n--- rubbish ---\n{second}"), 1),
        (format!("{first} rubbish {second}"), 1),
        (format!("{first}\n# a comment {{\n{second}"), 1),
    ] {
        let (rows, letters) = file(&spec, "eventName", text.as_bytes());
        assert_eq!(rows, ["ListBuckets", "StopLogging"], "{text}");
        assert_eq!(letters.len(), damaged, "{text}: {letters:?}");
        read += 1;
    }
    assert_eq!(read, 15);
}

#[test]
fn utf_16_in_both_orders_with_and_without_a_mark() {
    let orders: [fn(u16) -> [u8; 2]; 2] = [u16::to_le_bytes, u16::to_be_bytes];
    for (name, column, value, record) in [
        ("aws.cloudtrail", "eventName", "ListBuckets", TRAIL),
        ("aws.vpc_flow", "srcaddr", "203.0.113.9", FLOW),
        ("linux.sshd", "user", "root", SSHD),
    ] {
        let spec = source(name);
        for mark in ["\u{feff}", ""] {
            for order in orders {
                let text = format!("{mark}{record}\r\n{record}\r\n");
                let bytes: Vec<u8> = text.encode_utf16().flat_map(order).collect();
                for bytes in [gzip(&bytes), bytes.clone()] {
                    let (rows, letters) = file(&spec, column, &bytes);
                    assert_eq!((rows, letters.len()), (vec![value.to_owned(); 2], 0), "{name}");
                }
                // As the message of a queue.
                let (rows, letters) = message(Some(name), column, &bytes);
                assert_eq!((rows, letters.len()), (vec![value.to_owned(); 2], 0), "{name}");
            }
        }
    }
}

#[test]
fn compressed_payloads_hold_records_and_lines() {
    let trail = source("aws.cloudtrail");
    let flow = source("aws.vpc_flow");
    let two = STANDARD.encode(gzip(format!("{TRAIL}\n{OTHER}\n").as_bytes()));
    let lines = STANDARD.encode(gzip(format!("{FLOW}\n{FLOW}\n").as_bytes()));
    let plain = STANDARD.encode(format!("{FLOW}\n{FLOW}"));
    let records = |data: &str| format!(r#"{{"requestId":"r","records":[{{"data":"{data}"}}]}}"#);
    let names = vec!["ListBuckets".to_owned(), "StopLogging".to_owned()];
    for text in [
        two.clone(),
        records(&two),
        records(two.trim_end_matches('=')),
        format!(r#"{{"Type":"Notification","TopicArn":"t","Message":"{two}"}}"#),
    ] {
        assert_eq!(file(&trail, "eventName", text.as_bytes()), (names.clone(), vec![]), "{text}");
    }
    for text in [records(&lines), records(&plain), lines.clone()] {
        let both = vec!["203.0.113.9".to_owned(); 2];
        assert_eq!(file(&flow, "srcaddr", text.as_bytes()), (both, vec![]), "{text}");
    }
    // What cannot be read stays a record, and is counted.
    let (rows, letters) = file(&trail, "eventName", records("%%%").as_bytes());
    assert_eq!((rows.len(), letters), (0, vec![DeadLetterCode::NotThisSource]));
}

#[test]
fn compressed_messages_of_a_queue_are_read() {
    let two = format!("{TRAIL}\n{OTHER}\n");
    let zstd = zstd::encode_all(two.as_bytes(), 3).unwrap();
    for bytes in [gzip(two.as_bytes()), zstd] {
        for name in [Some("aws.cloudtrail"), None] {
            let (rows, letters) = message(name, "eventName", &bytes);
            assert_eq!(rows, ["ListBuckets", "StopLogging"]);
            assert_eq!(letters, []);
        }
    }
    let cut = &gzip(two.as_bytes())[..40];
    for name in [Some("aws.cloudtrail"), None] {
        assert_eq!(message(name, "eventName", cut), (vec![], vec![DeadLetterCode::Decompress]));
    }
}

/// What a message of a queue comes to: a column of its rows, and its dead letters.
fn message(name: Option<&str>, column: &str, bytes: &[u8]) -> (Vec<String>, Vec<DeadLetterCode>) {
    let mut router = Router::new(sources(), name).unwrap();
    let message = Message {
        bytes: bytes.to_vec(),
        offset: 7,
        received_at: RECEIVED,
        envelope: None,
        source: None,
    };
    let (mut rows, mut letters) = (Vec::new(), Vec::new());
    for (name, chunk) in router.chunks(vec![message]) {
        letters.extend(chunk.faults.iter().map(|f| f.code));
        if chunk.records.is_empty() {
            continue;
        }
        let decoded = decoder_of(&source(&name)).decode(&chunk);
        letters.extend(decoded.failed.iter().map(|f| f.code));
        rows.extend(texts(&decoded.wire, column));
    }
    (rows, letters)
}

#[test]
fn what_the_compressed_parts_of_a_record_hold_is_bounded() {
    let spec = source("aws.cloudtrail");
    let mut decoder = decoder_of(&spec);
    // 20 MiB each: the fourth is over what one record may inflate to.
    let bomb = STANDARD.encode(gzip(&vec![b' '; 20 << 20]));
    let record = |bomb: &str| format!(r#"{{"data":"{bomb}"}}"#);
    let many = vec![record(&bomb); 6].join(",");
    let text = format!(r#"{{"requestId":"r","records":[{many}]}}"#);
    let decoded = decode(&mut decoder, &[text, TRAIL.to_owned()]);
    assert_eq!(texts(&decoded.wire, "eventName"), ["ListBuckets"]);
    let refused = decoded.failed.iter().filter(|f| f.code == DeadLetterCode::Decompress).count();
    assert_eq!(refused, 3, "{:?}", decoded.failed);
    // However they are nested.
    let nested = gzip(&gzip(&vec![b' '; 100 << 20]));
    let text = format!(r#"{{"requestId":"r","records":[{}]}}"#, record(&STANDARD.encode(nested)));
    let decoded = decode(&mut decoder, &[text]);
    assert_eq!(decoded.failed[0].code, DeadLetterCode::Decompress);
}
