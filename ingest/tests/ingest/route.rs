//! Messages to sources: how they are cut, who takes them, and that none is lost.

use std::{hash::BuildHasher, sync::Arc};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use regex::Regex;
use sluice_event::{PartitionId, TimeSettings, WireSchema, WireType};
use sluice_ingest::{
    Chunk, Codec, Counts, DeadLetter, DeadLetterCode, Envelope, Limits, Mapper, Message, Original,
    Processed, Router, SourceSpec, Surroundings, Unwrap,
};

use crate::support::{Outcome, RECEIVED, spec};

pub(crate) fn source(name: &str, codec: Codec, has: &[&str], line: Option<&str>) -> SourceSpec {
    SourceSpec {
        source: name.into(),
        codec,
        unwrap: Unwrap::new(["$.Records[*]", "$.detail"]),
        wire: WireSchema { columns: vec![("line".into(), WireType::String)] },
        time: None,
        native_id: None,
        time_settings: TimeSettings::default(),
        detect_has: has.iter().map(|h| (*h).to_owned()).collect(),
        detect_lacks: Vec::new(),
        limits: Limits::default(),
        surroundings: Arc::default(),
        aliases: Arc::default(),
        detect_line: line.map(|l| Regex::new(l).unwrap()),
        detect_message: None,
        mappings: Vec::new(),
    }
}

fn specs() -> Vec<Arc<SourceSpec>> {
    let mut plain = source("idp.log", Codec::Json, &["eventType", "actor.id"], None);
    plain.unwrap = Unwrap::default();
    let specs = [
        source("cloud.trail", Codec::Json, &["eventName", "eventVersion"], None),
        source("cloud.any", Codec::Json, &["eventName"], None),
        plain,
        source("host.sshd", Codec::Lines, &[], Some(r"sshd\[\d+\]")),
    ];
    specs.into_iter().map(Arc::new).collect()
}

pub(crate) fn message(offset: u64, bytes: impl Into<Vec<u8>>) -> Message {
    Message { bytes: bytes.into(), offset, received_at: RECEIVED, envelope: None, source: None }
}

/// (source, records as text, offsets, lines) and (code, offset, line, original) of the faults.
fn show(parts: &[(Arc<str>, Chunk)]) -> Vec<String> {
    let mut shown = Vec::new();
    for (name, chunk) in parts {
        for (at, record) in chunk.records.iter().enumerate() {
            let text = String::from_utf8_lossy(record);
            shown.push(format!("{name} {}:{} {text}", chunk.offsets[at], chunk.lines[at]));
        }
        for f in &chunk.faults {
            let text = String::from_utf8_lossy(f.original.bytes()).into_owned();
            shown.push(format!("{name} {}:{} {} {text}", f.offset, f.line, f.code));
        }
    }
    shown
}

const TRAIL: &str = r#"{"eventName":"a","eventVersion":"1"}"#;
const IDP: &str = r#"{"eventType":"x","actor":{"id":"u"}}"#;
const SSH: &str = "Jan  1 00:00:00 h sshd[7]: Accepted";

#[test]
fn auto_asks_every_record() {
    let mut router = Router::new(specs(), None).unwrap();
    let parts = router.chunks(vec![
        message(5, TRAIL),
        message(6, format!("{IDP}\n{TRAIL}\n{SSH}\n")),
        message(7, format!("{{\"Records\":[{TRAIL},{{\"eventName\":\"b\"}}]}}")),
        message(8, format!("{{\"detail\":{TRAIL},\"id\":1}}")),
        message(9, format!("[{IDP},\n{TRAIL}]")),
        message(10, r#"{"eventType":"x","actor":{"name":"id"}}"#),
        message(11, "what"),
        message(12, r#"{"Records":[]}"#),
    ]);
    assert_eq!(
        show(&parts),
        [
            format!("cloud.trail 5:1 {TRAIL}"),
            format!("cloud.trail 6:2 {TRAIL}"),
            format!("cloud.trail 7:1 {TRAIL}"),
            format!("cloud.trail 8:1 {TRAIL}"),
            format!("cloud.trail 9:2 {TRAIL}"),
            format!("idp.log 6:1 {IDP}"),
            format!("idp.log 9:1 {IDP}"),
            "cloud.any 7:2 {\"eventName\":\"b\"}".into(),
            format!("host.sshd 6:3 {SSH}"),
            "unknown 10:1 no_source {\"eventType\":\"x\",\"actor\":{\"name\":\"id\"}}".into(),
            "unknown 11:1 no_source what".into(),
            "unknown 12:1 no_source {\"Records\":[]}".into(),
        ]
    );
}

#[test]
fn where_a_record_goes_does_not_depend_on_what_came_before() {
    let all: Vec<String> = vec![
        TRAIL.into(),
        IDP.into(),
        r#"{"eventName":"b"}"#.into(),
        SSH.into(),
        format!("{{\"Records\":[{TRAIL}]}}"),
        r#"{"eventName":"b","eventType":"x","actor":{"id":1},"eventVersion":2}"#.into(),
    ];
    let alone: Vec<String> = all
        .iter()
        .flat_map(|m| show(&Router::new(specs(), None).unwrap().chunks(vec![message(1, &**m)])))
        .collect();
    for turn in 0..all.len() {
        let mut router = Router::new(specs(), None).unwrap();
        for at in (0..all.len()).map(|i| (i + turn) % all.len()) {
            assert_eq!(show(&router.chunks(vec![message(1, &*all[at])])), [alone[at].clone()]);
        }
    }
}

#[test]
fn escaped_names_and_damaged_numbers_are_found_too() {
    let mut router = Router::new(specs(), None).unwrap();
    for odd in [
        r#"{"\u0065ventName":"a","eventVersion":"1"}"#.as_bytes(),
        br#"{"eventName":1e999,"eventVersion":"\ud800"}"#,
        b"\xef\xbb\xbf{\"eventName\":\"\xff\",\"eventVersion\":1}",
    ] {
        let parts = router.chunks(vec![message(0, odd)]);
        assert_eq!(&*parts[0].0, "cloud.trail", "{parts:?}");
    }
}

#[test]
fn one_source_is_not_asked() {
    let mut router = Router::new(specs(), Some("cloud.trail")).unwrap();
    let parts = router.chunks(vec![
        message(1, "{}"),
        message(2, Vec::new()),
        message(3, "null"),
        message(4, "{\"a\":1}\n{\"b\":2}\n"),
        message(5, "{\n \"a\": 1\n}"),
        message(6, b"\xff\xff"),
    ]);
    assert_eq!(
        show(&parts),
        [
            "cloud.trail 1:1 {}",
            "cloud.trail 2:1 ",
            "cloud.trail 3:1 null",
            "cloud.trail 4:1 {\"a\":1}",
            "cloud.trail 4:2 {\"b\":2}",
            "cloud.trail 5:1 {\n \"a\": 1\n}",
            "cloud.trail 6:1 \u{fffd}\u{fffd}",
        ]
    );
    let spec = specs().remove(0);
    let time = spec.time_settings;
    let mut mapper = Mapper::new(spec, "t", PartitionId(0), time, false, i64::MIN);
    let counts = mapper.process(&parts[0].1).counts;
    assert_eq!(counts.dead_letters[&DeadLetterCode::Empty], 2);
    assert_eq!(counts.dead_letters[&DeadLetterCode::BadUtf8], 1);
    // None has the keys of its source.
    assert_eq!(counts.dead_letters[&DeadLetterCode::NotThisSource], 4);
    assert!(counts.balanced());
}

#[test]
fn a_source_decided_before_goes_before_the_detection() {
    let mut router = Router::new(specs(), None).unwrap();
    let mut decided = message(1, IDP);
    decided.source = Some("cloud.any".into());
    let mut gone = message(2, IDP);
    gone.source = Some("no.longer".into());
    let parts = router.chunks(vec![decided, gone]);
    assert_eq!(show(&parts), [format!("idp.log 2:1 {IDP}"), format!("cloud.any 1:1 {IDP}")]);
}

#[test]
fn an_unknown_source_is_named_with_the_nearest() {
    let error = Router::new(specs(), Some("cloud.trial")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "there is no mapping source `cloud.trial`; did you mean `cloud.trail`?"
    );
    let error = Router::new(specs(), Some("zzz")).unwrap_err().to_string();
    assert!(error.contains("there are cloud.any, cloud.trail, host.sshd, idp.log"), "{error}");
}

#[test]
fn times_and_envelopes_stay_with_their_records() {
    let envelope = |n: i32| Some(Arc::new(Envelope { partition: n, ..Envelope::default() }));
    let mut router = Router::new(specs(), None).unwrap();
    let parts = router.chunks(vec![
        Message { received_at: 10, envelope: envelope(1), ..message(1, format!("{TRAIL}\nx")) },
        Message { received_at: 20, envelope: envelope(2), ..message(2, TRAIL) },
        Message { received_at: 30, envelope: envelope(3), ..message(3, Vec::new()) },
    ]);
    let trail = &parts[0].1;
    assert_eq!((trail.reference(0), trail.reference(1)), (10, 20));
    assert_eq!(trail.envelope(1).unwrap().partition, 2);
    let faults = &parts[1].1.faults;
    let of = |i: usize| (faults[i].received_at, faults[i].envelope.as_ref().unwrap().partition);
    assert_eq!((of(0), of(1)), ((Some(10), 1), (Some(30), 3)));
    assert_eq!(faults[1].code, DeadLetterCode::Empty);
    // Dead letters have them too, by a mapper and without one, and the counters add up.
    let spec = specs().remove(3);
    let time = spec.time_settings;
    let mut mapper = Mapper::new(spec, "t", PartitionId(0), time, false, i64::MIN);
    for processed in [mapper.process(&parts[1].1), Processed::set_aside(&parts[1].0, &parts[1].1)] {
        assert_eq!(processed.dead_letters[1].received_at, 30);
        assert_eq!(processed.dead_letters[1].envelope.as_ref().unwrap().partition, 3);
        assert_eq!((processed.counts.records, processed.counts.dead()), (2, 2));
        assert_eq!(processed.counts.bytes, 1);
        assert!(processed.counts.balanced());
    }
    let decoded = mapper.process(
        &router.chunks(vec![Message {
            received_at: 40,
            envelope: envelope(4),
            source: Some("host.sshd".into()),
            ..message(4, " ")
        }])[0]
            .1,
    );
    let letter = &decoded.dead_letters[0];
    assert_eq!((letter.code, letter.received_at, letter.offset), (DeadLetterCode::Empty, 40, 4));
    assert_eq!(letter.envelope.as_ref().unwrap().partition, 4);
}

#[test]
fn a_record_over_the_limit_is_a_stub_and_its_neighbours_are_not() {
    let limits = Limits { record_bytes: 100, ..Limits::default() };
    for mapping in [None, Some("cloud.trail")] {
        let mut router = Router::with_limits(specs(), mapping, limits).unwrap();
        let large = format!("{{\"eventName\":\"{}\",\"eventVersion\":1}}", "x".repeat(200));
        let parts = router.chunks(vec![
            message(1, format!("{TRAIL}\n{large}\n{TRAIL}\n")),
            message(2, format!("{{\"Records\":[{TRAIL},{TRAIL},{large},{TRAIL}]}}")),
        ]);
        let faults: Vec<_> = parts.iter().flat_map(|(_, c)| &c.faults).collect();
        assert_eq!(faults.len(), 2, "{:?}", show(&parts));
        assert_eq!((faults[0].line, faults[1].line, faults[1].offset), (2, 3, 2));
        let Original::Stub { length, .. } = faults[0].original else { panic!("a stub") };
        assert_eq!(length, large.len() as u64);
        let records: usize = parts.iter().map(|(_, c)| c.records.len()).sum();
        assert_eq!(records, 5);
    }
}

#[test]
fn a_mapper_keeps_to_the_limits_it_is_given() {
    let spec = specs().remove(0);
    let time = spec.time_settings;
    let limits = Limits { depth: 2, ..Limits::default() };
    let mut mapper =
        Mapper::new(spec, "t", PartitionId(0), time, false, i64::MIN).with_limits(limits);
    let mut router = Router::new(specs(), Some("cloud.trail")).unwrap();
    let told = |inner: &str| format!("{{\"eventName\":1,\"eventVersion\":2,\"a\":{inner}}}");
    let deep = "{\"b\":{}}";
    let parts = router.chunks(vec![
        message(0, told("{}")),
        message(1, told(deep)),
        message(2, format!("{{\"a\":{deep}}}")),
    ]);
    let counts = mapper.process(&parts[0].1).counts;
    // What tells its source is read as far as the bound; what does not is set aside.
    assert_eq!(counts.dead_letters[&DeadLetterCode::NoMapping], 2);
    assert_eq!(counts.dead_letters[&DeadLetterCode::TooDeep], 1);
    assert_eq!(counts.truncated, 1);
}

#[test]
fn hostile_messages_end_as_dead_letters() {
    let mut router = Router::new(specs(), None).unwrap();
    let fields: Vec<String> = (0..1_000_000).map(|i| format!("\"{i}\":0")).collect();
    let many = format!("{{{}}}", fields.join(","));
    let few = format!("{{{}}}", fields[..20_000].join(","));
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let cases: [(Vec<u8>, &str); 8] = [
        (vec![b'x'; 30 << 20], "too_large"),
        (format!("{{\"a\":\"{}\"}}", "y".repeat(30 << 20)).into(), "too_large"),
        (many.into(), "too_many_fields"),
        (few.into(), "too_many_fields"),
        (deep.into(), "too_deep"),
        (vec![0xff; 1_000], "no_source"),
        (br#"{"eventName":"a","eventVer"#.to_vec(), "bad_json"),
        (Vec::new(), "empty"),
    ];
    for (bytes, code) in cases {
        assert_eq!(router.check(&bytes).unwrap_err().0.name(), code);
        let parts = router.chunks(vec![message(1, bytes), message(2, TRAIL)]);
        assert_eq!(parts.len(), 2);
        assert_eq!((&*parts[0].0, parts[0].1.records.len()), ("cloud.trail", 1));
        assert_eq!((&*parts[1].0, parts[1].1.faults[0].code.name()), ("unknown", code));
    }
    assert_eq!(router.check(TRAIL.as_bytes()), Ok(()));
}

#[test]
fn what_is_said_to_a_sender_is_what_becomes_of_the_record() {
    let given = std::env::var("SEED").ok().and_then(|s| s.parse().ok());
    let seed: u64 = given.unwrap_or_else(|| std::hash::RandomState::new().hash_one(0));
    println!("SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let spec = specs().remove(0);
    let time = spec.time_settings;
    let limits = Limits { record_bytes: 120, depth: 6, fields: 8, ..Limits::default() };
    let mut router = Router::with_limits(specs(), Some("cloud.trail"), limits).unwrap();
    let mut mapper =
        Mapper::new(spec, "t", PartitionId(0), time, false, i64::MIN).with_limits(limits);
    let seeds: [&[u8]; 9] = [
        TRAIL.as_bytes(),
        b"{\"Records\":[{\"a\":1},{\"b\":[{}]}]}",
        b"{\"Records\":[{\"eventName\":1,\"eventVersion\":2,\"c\":[[[[[[[]]]]]]]}]}",
        b"{\"a\":1e400,\"b\":\"\\ud800\",\"c\":\"\xff\",\"d\":{\"e\":[[[[[1]]]]]}}",
        b"{\"1\":1,\"2\":1,\"3\":1,\"4\":1,\"5\":1,\"6\":1,\"7\":1,\"8\":1,\"9\":1}",
        b"[{\"a\":\"b\\u0041\"},null,\"x\", 7]",
        b"\xef\xbb\xbf{\"a\":\n{\"b\":true}}\r\n",
        b"null",
        b"",
    ];
    let alphabet = b"{}[]\",:\\u0 1en\n\xff";
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..20_000 {
        let mut bytes = seeds[rng.random_range(0..seeds.len())].to_vec();
        for _ in 0..rng.random_range(0..3) {
            let at = rng.random_range(0..=bytes.len());
            let byte = alphabet[rng.random_range(0..alphabet.len())];
            match rng.random_range(0..4) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at, byte),
                2 => bytes.splice(at..at, bytes.clone()).for_each(drop),
                _ if at < bytes.len() => bytes[at] = byte,
                _ => bytes.push(byte),
            }
        }
        let said = router.check(&bytes).err().map(|(code, _)| code);
        let parts = router.chunks(vec![message(1, bytes.clone())]);
        let processed: Vec<Processed> =
            parts.iter().map(|(_, chunk)| mapper.process(chunk)).collect();
        assert!(processed.iter().all(|p| p.counts.balanced()));
        let codes: Vec<DeadLetterCode> =
            processed.iter().flat_map(|p| &p.dead_letters).map(|l| l.code).collect();
        // The test source has no mappings: what decodes ends there.
        let set_aside = codes.iter().find(|c| **c != DeadLetterCode::NoMapping).copied();
        let text = String::from_utf8_lossy(&bytes);
        assert_eq!(said.is_some(), set_aside.is_some(), "{said:?} {codes:?} {text}");
        assert!(said.is_none_or(|said| codes.contains(&said)), "{said:?} {codes:?} {text}");
        seen.extend(said);
    }
    assert!(seen.len() >= 6, "{seen:?}");
}

/// What a message comes to: per row its user, per dead letter its code and text, and the counts.
fn outcome(
    spec: &Arc<SourceSpec>,
    chunk: Chunk,
    most: usize,
) -> (Vec<String>, Vec<String>, Counts) {
    let time = spec.time_settings;
    let mut mapper = Mapper::new(spec.clone(), "t", PartitionId(0), time, false, i64::MIN);
    let mut all = Outcome::default();
    for piece in chunk.pieces(most) {
        assert!(piece.records.len() <= most);
        let processed = mapper.process(&piece);
        all.batches.extend(processed.batches);
        all.dead.extend(processed.dead_letters);
        all.counts.add(&processed.counts);
    }
    let text = |l: &DeadLetter| String::from_utf8_lossy(l.original.bytes()).into_owned();
    // Of one piece, those that cannot be decoded come before those that cannot be mapped.
    let mut dead: Vec<String> =
        all.dead.iter().map(|l| format!("{} {}", l.code, text(l))).collect();
    dead.sort();
    (all.users(), dead, all.counts)
}

#[test]
fn many_records_in_one_are_decoded_some_at_a_time_as_all_at_once() {
    let mut source = spec();
    source.unwrap = Unwrap::default();
    source.detect_has = vec!["user".into()];
    source.surroundings = Arc::new(Surroundings::new(std::slice::from_ref(&source)).unwrap());
    let source = Arc::new(source);
    let mut router = Router::new(vec![source.clone()], Some("test.source")).unwrap();
    let records: Vec<String> = (0..400)
        .map(|n| match n % 50 {
            7 => r#"{"user":"fail","id":"x"}"#.to_owned(),
            8 => r#"{"id":"of another source"}"#.to_owned(),
            9 => r#"{"user":"skip"}"#.to_owned(),
            _ => format!(r#"{{"user":"user {n}","id":"{n}"}}"#),
        })
        .collect();
    let list = records.join(",");
    let text = |record: &String| serde_json::to_string(record).unwrap();
    let events =
        records.iter().map(|r| format!(r#"{{"id":"1","timestamp":0,"message":{}}}"#, text(r)));
    let events = events.collect::<Vec<_>>().join(",");
    let logs = records.iter().map(|r| format!(r#"{{"body":{{"stringValue":{}}}}}"#, text(r)));
    let logs = logs.collect::<Vec<_>>().join(",");
    for message_text in [
        records.concat(),
        records.join(" "),
        format!("[{list}]"),
        format!(
            r#"{{"messageType":"DATA_MESSAGE","owner":"1","logGroup":"g","logStream":"s","logEvents":[{events}]}}"#
        ),
        format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{logs}]}}]}}]}}"#),
    ] {
        let text = message_text.get(..40).unwrap();
        let one = Chunk {
            messages: true,
            ..Chunk::of_lines(PartitionId(0), std::slice::from_ref(&message_text), RECEIVED)
        };
        let at_once = outcome(&source, one, 1);
        let mut parts = router.chunks(vec![message(1, message_text.clone())]);
        let (_, chunk) = parts.pop().unwrap();
        assert!(parts.is_empty(), "{text}");
        assert!(chunk.received() >= 400, "{} of {text}", chunk.received());
        let in_pieces = outcome(&source, chunk, 64);
        assert_eq!(in_pieces.0.len(), 376, "{text}");
        assert_eq!(in_pieces.0, at_once.0, "{text}");
        assert_eq!(in_pieces.1, at_once.1, "{text}");
        assert_eq!(in_pieces.2.mapped, at_once.2.mapped, "{text}");
        assert_eq!(in_pieces.2.dead_letters, at_once.2.dead_letters, "{text}");
    }
    // Few, or a record of the source itself: left as it is.
    let few = format!(r#"{{"logs":[{}]}}"#, vec![records[0].clone(); 100].join(","));
    let own = format!(r#"{{"user":"u","l":[{}]}}"#, vec![r#"{"k":"value"}"#; 1_000].join(","));
    for message_text in [few, own] {
        let parts = router.chunks(vec![message(1, message_text)]);
        assert_eq!(parts.iter().map(|(_, c)| c.received()).collect::<Vec<_>>(), [1]);
    }
}
