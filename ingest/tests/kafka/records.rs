//! What a record may be: every codec, keys, headers, nulls, sizes, timestamps, transactions.

use std::{
    ffi::OsStr,
    io::Write,
    os::unix::ffi::OsStrExt,
    process::{Command, Stdio},
    time::{Duration, UNIX_EPOCH},
};

use rdkafka::{
    message::{Header, OwnedHeaders},
    producer::{BaseRecord, Producer},
};
use sluice_ingest::live::Positions;

use crate::support::{Admin, Running, Sender, broker, settings, unique};

#[test]
fn every_codec_is_read() {
    let Some(bootstrap) = broker() else { return };
    let topic = Admin::new(&bootstrap).topic("codecs", 2, &[]);
    for (i, codec) in ["none", "gzip", "snappy", "lz4", "zstd"].into_iter().enumerate() {
        let sender = Sender::new(&bootstrap, &[("compression.type", codec)]);
        let from = i as u64 * 1_000;
        sender.numbers(&topic, 2, from..from + 1_000);
    }
    let mut input = Running::start(settings(&bootstrap, &topic), Positions::new());
    input.records(5_000, 30);
    input.exactly(0..5_000);
    assert_eq!(input.next.values().sum::<u64>(), 5_000);
    input.stop().unwrap();
}

#[test]
fn keys_and_headers_come_with_a_record() {
    let Some(bootstrap) = broker() else { return };
    let topic = Admin::new(&bootstrap).topic("headers", 1, &[]);
    let sender = Sender::new(&bootstrap, &[]);
    let headers = OwnedHeaders::new()
        .insert(Header { key: "trace", value: Some("1") })
        .insert(Header { key: "trace", value: Some(&[0xff_u8, 0][..]) })
        .insert(Header { key: "gone", value: None::<&[u8]> })
        .insert(Header { key: "empty", value: Some("") });
    sender.send(
        BaseRecord::to(&topic).partition(0).key(&b"k\xff"[..]).payload(&b"{}"[..]).headers(headers),
    );
    sender.put(&topic, 0, b"{\"n\":1}");
    sender.flush();
    let mut input = Running::start(settings(&bootstrap, &topic), Positions::new());
    input.records(2, 20);
    let envelope = &input.got[0].envelope;
    assert_eq!((&*envelope.topic, envelope.partition), (&*topic, 0));
    assert_eq!(envelope.key.as_deref(), Some(&b"k\xff"[..]));
    let expected = [
        ("trace".to_owned(), Some(b"1".to_vec())),
        ("trace".to_owned(), Some(vec![0xff, 0])),
        ("gone".to_owned(), None),
        ("empty".to_owned(), Some(Vec::new())),
    ];
    assert_eq!(envelope.headers, expected);
    let plain = &input.got[1].envelope;
    assert_eq!((&plain.key, plain.headers.len()), (&None, 0));
    input.stop().unwrap();
}

/// Whether kcat, a client that is not ours, is installed.
fn kcat() -> bool {
    let found = Command::new("kcat").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if found.is_err() {
        println!("skipped: kcat is not installed");
    }
    found.is_ok()
}

/// Produces lines with it.
fn with_kcat(bootstrap: &str, topic: &str, options: &[&OsStr], lines: &[u8]) {
    let mut kcat = Command::new("kcat")
        .args(["-P", "-b", bootstrap, "-t", topic, "-p", "0"])
        .args(options)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    kcat.stdin.take().unwrap().write_all(lines).unwrap();
    assert!(kcat.wait().unwrap().success());
}

#[test]
fn a_foreign_client_is_read_and_a_header_name_that_is_not_utf8_too() {
    let Some(bootstrap) = broker() else { return };
    if !kcat() {
        return;
    }
    let topic = Admin::new(&bootstrap).topic("kcat", 1, &[]);
    let header = OsStr::from_bytes(b"bad\xffname=v\xfe");
    with_kcat(&bootstrap, &topic, &["-H".as_ref(), header], b"{\"n\":0}\n");
    for (n, codec) in ["gzip", "snappy", "lz4"].into_iter().enumerate() {
        let line = format!("{{\"n\":{}}}\n", n + 1);
        with_kcat(&bootstrap, &topic, &["-z".as_ref(), codec.as_ref()], line.as_bytes());
    }
    let mut input = Running::start(settings(&bootstrap, &topic), Positions::new());
    input.records(4, 20);
    input.exactly(0..4);
    let headers = &input.got[0].envelope.headers;
    assert_eq!(headers, &[("bad\u{fffd}name".to_owned(), Some(b"v\xfe".to_vec()))]);
    input.stop().unwrap();
}

#[test]
fn null_and_empty_values_are_empty_records_and_reading_goes_on() {
    let Some(bootstrap) = broker() else { return };
    let topic = Admin::new(&bootstrap).topic("empty", 1, &[]);
    let sender = Sender::new(&bootstrap, &[]);
    sender.send(BaseRecord::<[u8], [u8]>::to(&topic).partition(0).key(b"tombstone"));
    sender.put(&topic, 0, b"");
    sender.put(&topic, 0, b"{\"n\":1}");
    sender.flush();
    let mut input = Running::start(settings(&bootstrap, &topic), Positions::new());
    input.records(3, 20);
    // The mapper sets them aside.
    let got: Vec<_> = input.got.iter().map(|g| (g.offset, g.bytes.as_slice())).collect();
    assert_eq!(got, [(0, &b""[..]), (1, b""), (2, b"{\"n\":1}")]);
    assert_eq!(input.next.values().copied().collect::<Vec<_>>(), [3]);
    input.stop().unwrap();
}

#[test]
fn a_record_of_30_mb_leaves_a_stub_and_the_next_one_comes() {
    let Some(bootstrap) = broker() else { return };
    let topic = Admin::new(&bootstrap).topic("large", 1, &[("max.message.bytes", "40000000")]);
    let sender = Sender::new(&bootstrap, &[("message.max.bytes", "40000000")]);
    let large = format!("{{\"x\":\"{}\"}}", "a".repeat(30 << 20));
    sender.put(&topic, 0, large.as_bytes());
    sender.put(&topic, 0, b"{\"n\":1}");
    sender.flush();
    let mut input = Running::start(settings(&bootstrap, &topic), Positions::new());
    input.records(2, 60);
    let fault = input.got.iter().find(|g| g.fault.is_some()).unwrap();
    assert_eq!((fault.fault.as_deref(), fault.offset), (Some("too_large"), 0));
    // The first fields may tell what it is: the decoder sees them, a dead letter keeps 4 KiB.
    assert_eq!(fault.bytes.len(), 16 << 20);
    assert!(input.got.iter().any(|g| g.bytes == b"{\"n\":1}"));
    input.stop().unwrap();
}

#[test]
fn the_receive_reference_is_what_the_topic_says_of_its_timestamps() {
    let Some(bootstrap) = broker() else { return };
    let admin = Admin::new(&bootstrap);
    let now = || i64::try_from(UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    let begin = now();
    let appended = admin.topic("appended", 1, &[("message.timestamp.type", "LogAppendTime")]);
    let created = admin.topic("created", 1, &[]);
    let sender = Sender::new(&bootstrap, &[]);
    let at = |topic: &str, time: i64| {
        let record = BaseRecord::<[u8], [u8]>::to(topic).partition(0).payload(b"{\"n\":0}");
        sender.send(record.timestamp(time));
    };
    at(&appended, 1_000);
    at(&created, 1_000);
    at(&created, begin + 3_000_000);
    // Without one.
    at(&created, -1);
    sender.flush();
    let mut told = settings(&bootstrap, &appended);
    told.topics.push(created.clone());
    let mut input = Running::start(told, Positions::new());
    input.records(4, 20);
    let end = now();
    let of = |topic: &str, offset: u64| {
        input
            .got
            .iter()
            .find(|g| *g.envelope.topic == *topic && g.offset == offset)
            .unwrap()
            .clone()
    };
    let of_broker = of(&appended, 0);
    assert!((begin..=end).contains(&of_broker.received_at), "{of_broker:?}");
    assert_eq!(of(&created, 0).received_at, 1_000);
    // Ahead of the clock: no later than now.
    let ahead = of(&created, 1);
    assert!((begin..=end).contains(&ahead.received_at), "{ahead:?}");
    assert_eq!(ahead.envelope.timestamp, Some(begin + 3_000_000));
    let without = of(&created, 2);
    assert_eq!(without.envelope.timestamp, None);
    assert!((begin..=end).contains(&without.received_at), "{without:?}");
    input.stop().unwrap();
}

#[test]
fn an_aborted_transaction_is_not_seen() {
    let Some(bootstrap) = broker() else { return };
    let topic = Admin::new(&bootstrap).topic("aborted", 1, &[]);
    let id = unique("tx");
    let sender = Sender::new(&bootstrap, &[("transactional.id", &id)]);
    let producer = sender.producer();
    let wait = Duration::from_secs(30);
    producer.init_transactions(wait).unwrap();
    for (n, commit) in [(0, true), (1, false), (2, true), (3, false)] {
        producer.begin_transaction().unwrap();
        sender.put(&topic, 0, format!("{{\"n\":{n}}}").as_bytes());
        sender.flush();
        match commit {
            true => producer.commit_transaction(wait).unwrap(),
            false => producer.abort_transaction(wait).unwrap(),
        }
    }
    let mut input = Running::with(settings(&bootstrap, &topic), Positions::new(), 16, 1_000);
    input.records(2, 20);
    // The markers at the end are no records: it is not behind, and holds nobody back.
    input.until("idle", 20, |r| !r.idle.is_empty());
    assert_eq!(input.numbers(), [0, 2]);
    assert_eq!(input.control.status().places.values().copied().collect::<Vec<_>>(), [Some(0)]);
    input.stop().unwrap();
}
