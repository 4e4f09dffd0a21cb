//! What an attacker or a broken producer may send. Each case is followed by a good record.

use std::io::Write;

use crate::support::{RECEIVED, run, run_file, spec};
use sluice_event::PartitionId;
use sluice_ingest::{Chunk, Decoder, Limits, Original, stdin_file};

const GOOD: &str = r#"{"user":"next","at":"2026-01-01T00:00:00Z"}"#;

/// A good record, the bad one, a good record: the bad one is set aside with `code`.
#[track_caller]
fn sets_aside(bad: &[u8], code: &str) {
    let first = GOOD.replace("next", "first");
    let input = [first.as_bytes(), b"\n", bad, b"\n", GOOD.as_bytes()].concat();
    let outcome = run(input);
    assert_eq!(outcome.users(), ["first", "next"]);
    assert_eq!(outcome.codes(), [(code, 2)], "{:?}", outcome.dead);
    assert_eq!(outcome.dead[0].offset, first.len() as u64 + 1);
    assert_eq!(outcome.counts.records, 3);
}

/// A good record with odd content: evaluated; returns what came of it.
#[track_caller]
fn evaluates(odd: &[u8]) -> crate::support::Outcome {
    let input = [odd, b"\n", GOOD.as_bytes(), b"\n"].concat();
    let outcome = run(input);
    assert_eq!(outcome.codes(), [], "{:?}", outcome.dead);
    assert_eq!(outcome.users().last().unwrap(), "next");
    assert_eq!(outcome.counts.mapped, 2);
    outcome
}

#[test]
fn truncated_json() {
    sets_aside(br#"{"user":"a","at":"2026-01"#, "bad_json");
    sets_aside(br#"{"user":"a","o":{"x":"stays nowhere","y":{"z":1}"#, "bad_json");
    sets_aside(b"42", "bad_json");
}

#[test]
fn what_trails_a_record_is_set_aside_without_it() {
    let outcome = run(format!("{{\"user\":\"a\"}} trailing\n{GOOD}\n"));
    assert_eq!(outcome.users(), ["a", "next"]);
    assert_eq!(outcome.codes(), [("bad_json", 1)]);
}

#[test]
fn a_truncated_first_line_is_not_taken_for_a_document() {
    let outcome = run(format!("{{\"user\":\"a\n{GOOD}\n{GOOD}\n"));
    assert_eq!((outcome.codes(), outcome.users().len()), (vec![("bad_json", 1)], 2));
}

#[test]
fn a_failed_record_leaves_nothing_in_the_columns() {
    let bad = r#"{"user":"bad","o":{"x":"bad","y":{"z":7}},"l":[{"k":"bad"},{"k":"bad"},"#;
    let outcome = run(format!("{bad}\n{GOOD}\n{{\"user\":\"third\",\"l\":[{{\"k\":\"c\"}}]}}"));
    assert_eq!(outcome.raw("o"), [None, None]);
    assert_eq!(outcome.raw("l"), [None, Some("[{k: c}]".into())]);
    assert_eq!(outcome.counts.duplicate_keys, 0);
}

#[test]
fn ten_thousand_levels() {
    let deep = format!(r#"{{"x":{}1{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    sets_aside(deep.as_bytes(), "too_deep");
    let deep = format!(r#"{{"j":{}1{}}}"#, r#"{"a":"#.repeat(10_000), "}".repeat(10_000));
    sets_aside(deep.as_bytes(), "too_deep");
}

#[test]
fn invalid_utf_8_is_evaluated_or_bad_utf8() {
    let outcome = evaluates(b"{\"user\":\"a\xff\xffb\",\"id\":\"1\"}");
    assert_eq!(outcome.users()[0], "a\u{fffd}\u{fffd}b");
    assert_eq!(outcome.counts.lossy, 1);
    sets_aside(b"\xff\xff\xff", "bad_utf8");
}

#[test]
fn lone_surrogates_are_replaced() {
    let outcome = evaluates(br#"{"user":"a\ud800b"}"#);
    assert_eq!(outcome.users()[0], "a\u{fffd}b");
    assert_eq!(outcome.counts.lossy, 1);
}

#[test]
fn empty_lines_and_null() {
    sets_aside(b"", "empty");
    sets_aside(b"  \t", "empty");
    sets_aside(b"null", "empty");
    assert_eq!(run("").counts.records, 0);
}

#[test]
fn thirty_megabytes() {
    let mut big = br#"{"user":""#.to_vec();
    big.resize(30 << 20, b'a');
    let hash = blake3::hash(&big);
    sets_aside(&big, "too_large");
    let outcome = run([&big, &b"\n"[..], GOOD.as_bytes()].concat());
    match &outcome.dead[0].original {
        Original::Stub { head, length, hash: stub } => {
            assert_eq!((head.len(), *length, *stub), (4096, 30 << 20, *hash.as_bytes()));
            assert!(big.starts_with(head));
        }
        Original::Whole(_) => panic!("kept whole"),
    }
}

#[test]
fn a_million_fields() {
    let fields: Vec<String> = (0..1_000_000).map(|i| format!("\"f{i}\":{i}")).collect();
    let record = format!("{{{}}}", fields.join(","));
    sets_aside(record.as_bytes(), "too_large");
    // Within the record limit it is the field limit that holds.
    let record = format!("{{{}}}", vec![r#""a":1"#; 150_000].join(","));
    sets_aside(record.as_bytes(), "too_many_fields");
}

#[test]
fn names_of_unmapped_fields_are_bounded() {
    let mut input = format!("{{\"{}\":1}}\n", "n".repeat(1_000_000));
    for i in 0..2_000 {
        input.push_str(&format!("{{\"user\":\"u\",\"field{i}\":\"{}\"}}\n", "v".repeat(200)));
    }
    let outcome = run(input);
    assert_eq!(outcome.unmapped.len(), 1_000);
    assert_eq!(outcome.unmapped_more, 1_001);
    assert!(outcome.unmapped.iter().all(|(_, _, example)| example.chars().count() <= 81));
    assert_eq!(outcome.counts.mapped, 2_001);
}

#[test]
fn unmapped_fields_are_counted_with_an_example() {
    let outcome = run("{\"user\":\"a\",\"new\":{\"x\":1}}\n{\"new\":2,\"user\":\"b\"}\n");
    assert_eq!(outcome.unmapped, [("new".to_owned(), 2, "{\"x\":1}".to_owned())]);
    // A name that was met first in a record that failed is not mixed up with the next one.
    let outcome = run("{\"broken\":[}\n{\"new\":2,\"user\":\"b\"}\n{\"broken\":3}\n");
    let names: Vec<_> = outcome.unmapped.iter().map(|(n, c, _)| (n.as_str(), *c)).collect();
    assert_eq!(names, [("broken", 1), ("new", 1)]);
}

#[test]
fn numbers_beyond_their_type() {
    let outcome = evaluates(br#"{"user":1e400,"n":9223372036854775808,"f":-1e400,"id":"1"}"#);
    assert_eq!(outcome.users()[0], "1e400");
    assert_eq!(outcome.raw("n")[0], None);
    assert_eq!(outcome.raw("f")[0], None);
    assert_eq!(outcome.counts.conflicts["n"], 1);
    assert_eq!(outcome.counts.conflicts["f"], 1);
    let outcome = evaluates(br#"{"user":18446744073709551615,"n":9223372036854775807}"#);
    assert_eq!(outcome.users()[0], "18446744073709551615");
    assert_eq!(outcome.raw("n")[0].as_deref(), Some("9223372036854775807"));
    evaluates(br#"{"user":"a","skipped":1e999999999}"#);
}

#[test]
fn values_of_another_type() {
    let outcome = evaluates(
        br#"{"user":true,"n":"12","f":"1.5","b":1,"o":[1,{"a":2}],"l":{"k":1},"j":{"a":[1, 2]}}"#,
    );
    assert_eq!(outcome.users()[0], "true");
    assert_eq!(outcome.raw("n")[0].as_deref(), Some("12"));
    assert_eq!(outcome.raw("f")[0].as_deref(), Some("1.5"));
    assert_eq!(outcome.raw("j")[0].as_deref(), Some(r#"{"a":[1,2]}"#));
    assert_eq!((outcome.raw("b")[0].clone(), outcome.raw("o")[0].clone()), (None, None));
    let conflicts: Vec<_> = outcome.counts.conflicts.into_iter().collect();
    assert_eq!(conflicts, [("b".into(), 1), ("l".into(), 1), ("o".into(), 1)]);
}

#[test]
fn of_duplicate_keys_the_last_wins() {
    let outcome = evaluates(
        br#"{"user":"a","user":"b","l":[{"k":"1"}],"o":{"x":"1","x":"2"},"l":[{"k":"2"},{}]}"#,
    );
    assert_eq!(outcome.users()[0], "b");
    assert_eq!(outcome.raw("l")[0].as_deref(), Some("[{k: 2}, {k: }]"));
    assert_eq!(outcome.raw("o")[0].as_deref(), Some("{x: 2, y: }"));
    assert_eq!(outcome.counts.duplicate_keys, 3);
}

#[test]
fn a_byte_order_mark_and_windows_line_ends() {
    let outcome = run(format!("\u{feff}{GOOD}\r\n{GOOD}\r\n"));
    assert_eq!((outcome.users().len(), outcome.codes()), (2, vec![]));
    assert_eq!(outcome.batches[0].original(0), GOOD.as_bytes());
}

#[test]
fn times_that_cannot_be() {
    let time = |at: &str| {
        let outcome = evaluates(format!("{{\"user\":\"a\",\"at\":{at}}}").as_bytes());
        let batch = &outcome.batches[0];
        (batch.times()[0], outcome.column("time_flag")[0].clone())
    };
    let skew = 300_000;
    assert_eq!(time(r#""9999-12-31T23:59:59Z""#), (RECEIVED + skew, Some("future".into())));
    assert_eq!(time(r#""-0001-01-01T00:00:00Z""#), (RECEIVED, Some("invalid".into())));
    assert_eq!(time("-62198755200"), (RECEIVED, Some("invalid".into())));
    assert_eq!(time("1e300"), (RECEIVED, Some("missing".into())));
    assert_eq!(time("null"), (RECEIVED, Some("missing".into())));
    assert_eq!(time("1767225600"), (1_767_225_600_000, None));
}

#[test]
fn nan_is_no_json() {
    sets_aside(br#"{"user":"a","f":NaN}"#, "bad_json");
    let outcome = evaluates(br#"{"user":"a","f":"NaN"}"#);
    assert_eq!(outcome.raw("f")[0], None);
}

#[test]
fn a_gzip_bomb_ends_its_file_only() {
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    writeln!(gz, "{GOOD}").unwrap();
    for _ in 0..64 {
        gz.write_all(&vec![b'a'; 1 << 20]).unwrap();
    }
    let bytes = gz.finish().unwrap();
    assert!(bytes.len() < 100_000);
    let file = stdin_file(Box::new(std::io::Cursor::new(bytes)));
    let limits = Limits { record_bytes: 1 << 20, ..Limits::default() };
    let outcome = run_file(spec(), file, limits);
    assert_eq!(outcome.users(), ["next"]);
    let last = outcome.dead.last().unwrap();
    assert_eq!(last.code.name(), "decompress");
    assert!(last.message.contains("100 to 1"), "{}", last.message);
    assert_eq!(outcome.dead[0].code.name(), "too_large");
    assert!(outcome.counts.bytes < 32 << 20);
}

#[test]
fn damaged_compression_keeps_what_was_read() {
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    for _ in 0..1000 {
        writeln!(gz, "{GOOD}").unwrap();
    }
    let mut bytes = gz.finish().unwrap();
    bytes.truncate(bytes.len() - 10);
    let outcome = run(bytes);
    assert!(outcome.users().len() > 900);
    assert_eq!(outcome.dead.last().unwrap().code.name(), "decompress");
}

#[test]
fn a_file_that_is_no_log() {
    let noise: Vec<u8> =
        (0..100_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let detection = sluice_ingest::detect([&spec()], &noise);
    assert_eq!(detection.to_string(), "the input is not text: not a log");
    let outcome = run([&noise[..], b"\n", GOOD.as_bytes()].concat());
    assert_eq!(outcome.users(), ["next"]);
    assert!(outcome.counts.dead() > 0);
}

#[test]
fn fields_of_rejected_records_are_not_counted_as_unmapped() {
    let spec = spec();
    let mut decoder = Decoder::new(&spec, Limits::default());
    let long = "n".repeat(300);
    let records = [
        format!("{{\"user\":\"a\",\"odd\":1,\"{long}\":1,"),
        format!("{{\"user\":\"b\",\"odd\":2,\"{long}\":1}}"),
        "{\"user\":\"c\",\"only\":3,".to_owned(),
        "{\"user\":\"d\",\"odd\":4".to_owned(),
    ];
    decoder.decode(&Chunk::of_lines(PartitionId(0), &records, RECEIVED));
    let fields: Vec<_> = decoder.unmapped().fields().collect();
    assert_eq!(fields.len(), 1);
    assert_eq!((&*fields[0].name, fields[0].records, &*fields[0].example), ("odd", 1, "2"));
    assert_eq!(decoder.unmapped().more, 1);
}
