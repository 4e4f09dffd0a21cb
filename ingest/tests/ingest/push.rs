//! Requests: bombs, damage, and which lines are told to be bad.

use std::io::Write;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use flate2::{
    Compress, Compression, FlushCompress,
    write::{DeflateEncoder, GzEncoder, ZlibEncoder},
};
use serde_json::json;
use sluice_event::WireType;
use sluice_ingest::{
    Codec, Decoder, DelimitedCodec, Limits, Router,
    push::{Encoding, PushError, PushLimits, inflate, read},
};

use crate::{
    route::{message, source},
    support::RECEIVED,
};

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).unwrap()
}

#[test]
fn every_encoding_is_read_whole_or_refused() {
    let text: Vec<u8> = (0..20_000).flat_map(|i: u32| format!("line {i}\n").into_bytes()).collect();
    let limits = PushLimits::default();
    let cases = [
        (Encoding::Gzip, gzip(&text)),
        (Encoding::Zstd, zstd(&text)),
        (Encoding::Deflate, zlib(&text)),
        (Encoding::Deflate, deflate(&text)),
    ];
    for (encoding, body) in cases {
        assert_eq!(inflate(encoding, &body, limits, &mut |_| true).unwrap(), text, "{encoding:?}");
        for cut in [1, 5, body.len() / 2, body.len() - 1] {
            let error = inflate(encoding, &body[..cut], limits, &mut |_| true).unwrap_err();
            assert_eq!(error.status(), 400, "{encoding:?} at {cut}: {error}");
        }
        let more = [&body[..], b"trailing"].concat();
        assert_eq!(
            inflate(encoding, &more, limits, &mut |_| true).unwrap_err().status(),
            400,
            "{encoding:?}"
        );
        let mut flipped = body.clone();
        flipped[0] ^= 0xff;
        assert_eq!(
            inflate(encoding, &flipped, limits, &mut |_| true).unwrap_err().status(),
            400,
            "{encoding:?}"
        );
    }
    let two = [gzip(b"a\n"), gzip(b"b\n")].concat();
    assert_eq!(inflate(Encoding::Gzip, &two, limits, &mut |_| true).unwrap(), b"a\nb\n");
    assert_eq!(inflate(Encoding::Identity, b"x", limits, &mut |_| true).unwrap(), b"x");
    let small = PushLimits { decoded_bytes: 3, ..limits };
    assert_eq!(
        inflate(Encoding::Identity, b"xxxx", small, &mut |_| true).unwrap_err().status(),
        413
    );
    assert_eq!(inflate(Encoding::Gzip, &gzip(b"xxx"), small, &mut |_| true).unwrap(), b"xxx");
}

#[test]
fn one_encoding_and_no_more() {
    assert_eq!(Encoding::parse(" GZIP ").unwrap(), Encoding::Gzip);
    assert_eq!(Encoding::parse("").unwrap(), Encoding::Identity);
    for header in ["gzip, gzip", "br", "gzip,identity"] {
        let error = Encoding::parse(header).unwrap_err();
        assert_eq!((error.status(), &error), (415, &PushError::Encoding(header.into())));
    }
}

/// The most memory this process has held, in bytes.
#[cfg(target_os = "linux")]
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

/// Set for the process whose memory is looked at.
#[cfg(target_os = "linux")]
const CHILD: &str = "SLUICE_TEST_BOMBS";

/// 10 GiB of zeros, as short as each encoding has it.
#[cfg(target_os = "linux")]
fn bombs() -> Vec<(Encoding, Vec<u8>)> {
    let zeros = vec![0; 1 << 20];
    // After a full flush a deflate stream goes on at a byte and knows nothing of what was before.
    let mut block = Vec::with_capacity(1 << 16);
    let mut stream = Compress::new(Compression::default(), false);
    stream.compress_vec(&zeros, &mut block, FlushCompress::Full).unwrap();
    assert_eq!(stream.total_in(), 1 << 20);
    let blocks = block.repeat(10 << 10);
    vec![
        (Encoding::Gzip, gzip(&zeros).repeat(10 << 10)),
        (Encoding::Zstd, zstd(&zeros).repeat(10 << 10)),
        (Encoding::Deflate, [&[0x78, 0x9c], &blocks[..]].concat()),
        (Encoding::Deflate, blocks),
    ]
}

/// The process whose memory is looked at.
#[cfg(target_os = "linux")]
fn bomb_child(path: &std::ffi::OsStr) {
    let bomb = std::fs::read(path).unwrap();
    let (encoding, body) = bomb.split_first().unwrap();
    let encoding = [Encoding::Gzip, Encoding::Zstd, Encoding::Deflate][usize::from(*encoding)];
    // As sent, and its first 10 KB: they come to 10 MB in deflate, and to 10 GB in zstd frames.
    for body in [body, &body[..body.len().min(10_000)]] {
        let before = peak_bytes();
        match inflate(encoding, body, PushLimits::default(), &mut |_| true) {
            Err(e) => assert!(matches!(e.status(), 413 | 400), "{e}"),
            Ok(_) => panic!("a bomb was read"),
        }
        assert!(peak_bytes() - before < 300 << 20, "{} bytes", peak_bytes() - before);
    }
    assert_eq!(
        inflate(encoding, body, PushLimits::default(), &mut |_| true).unwrap_err().status(),
        413
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_bomb_is_refused_and_memory_stays_flat() {
    if let Some(path) = std::env::var_os(CHILD) {
        return bomb_child(&path);
    }
    let dir = tempfile::tempdir().unwrap();
    for (at, (encoding, body)) in bombs().into_iter().enumerate() {
        let kind = match encoding {
            Encoding::Gzip => 0,
            Encoding::Zstd => 1,
            Encoding::Deflate | Encoding::Identity => 2,
        };
        let path = dir.path().join(at.to_string());
        std::fs::write(&path, [&[kind], &body[..]].concat()).unwrap();
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "push::a_bomb_is_refused_and_memory_stays_flat"])
            .env(CHILD, &path)
            .output()
            .unwrap();
        assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
    }
}

fn router(mapping: Option<&str>) -> Router {
    let specs = [
        source("app.log", Codec::Json, &["app"], None),
        source("host.sshd", Codec::Lines, &[], Some(r"sshd\[\d+\]")),
    ];
    Router::new(specs.into_iter().map(Arc::new).collect(), mapping).unwrap()
}

#[test]
fn bad_lines_among_good_ones_are_named_by_line() {
    let deep = format!("{{\"other\":{}1{}}}", "[".repeat(100), "]".repeat(100));
    let large = format!("{{\"other\":\"{}\"}}", "x".repeat(17 << 20));
    let body = format!(
        "{{\"app\":1}}\r\n\n{{\"app\":\n{deep}\n{large}\n{{\"other\":1}}\nnull\n h sshd[1]: x\n\n{{\"app\":2}}"
    );
    let pushed =
        read(&mut router(None), body.as_bytes(), RECEIVED, None, PushLimits::default()).unwrap();
    let errors: Vec<_> = pushed.answer.errors.iter().map(|e| (e.line, e.code)).collect();
    assert_eq!(
        errors,
        [(3, "bad_json"), (4, "too_deep"), (5, "too_large"), (6, "no_source"), (7, "empty")]
    );
    assert_eq!((pushed.answer.accepted, pushed.answer.rejected), (3, 5));
    // All are stored, untouched.
    assert_eq!(pushed.records.len(), 8);
    assert_eq!(pushed.records[3].bytes, large.as_bytes());
    assert_eq!(pushed.records[7].bytes, b"{\"app\":2}");
    assert_eq!(pushed.records[0].received_at, RECEIVED);
    assert_eq!(pushed.answer.status(), 202);
}

#[test]
fn arrays_text_lines_and_a_source_that_is_known() {
    let mut any = router(None);
    for body in ["[{\"app\":1},{\"app\":2},3]", "[\n{\"app\":1},\n\n{\"app\":\n2}\n,3]\n"] {
        let answer =
            read(&mut any, body.as_bytes(), 0, None, PushLimits::default()).unwrap().answer;
        assert_eq!((answer.accepted, answer.rejected), (2, 1), "{body}");
        assert_eq!((answer.errors[0].line, answer.errors[0].code), (3, "no_source"));
    }
    let pushed =
        read(&mut any, b"a sshd[1]: b\nc sshd[2]: d", 0, None, PushLimits::default()).unwrap();
    assert_eq!((pushed.answer.accepted, pushed.answer.rejected), (2, 0));

    // Frames of RFC 6587 are taken apart; a carriage return may be of who is named in the one line.
    let frames = b"14 <38>sshd[1]: a14 <38>sshd[1]: b";
    let pushed = read(&mut any, frames, 0, None, PushLimits::default()).unwrap();
    let bytes: Vec<&[u8]> = pushed.records.iter().map(|r| r.bytes.as_slice()).collect();
    assert_eq!(bytes, [b"<38>sshd[1]: a", b"<38>sshd[1]: b"]);
    let forged = b"a sshd[1]: for x\rc sshd[2]: d";
    let pushed = read(&mut any, forged, 0, None, PushLimits::default()).unwrap();
    assert_eq!((pushed.answer.accepted, pushed.answer.rejected), (1, 0));

    let name: Arc<str> = "app.log".into();
    let mut one = router(Some("app.log"));
    let pushed =
        read(&mut one, b"{\"app\":1}\nx\n{\"x\":1}\n", 0, Some(&name), PushLimits::default())
            .unwrap();
    assert_eq!(pushed.records[0].source.as_deref(), Some("app.log"));
    assert_eq!(
        serde_json::to_value(&pushed.answer).unwrap(),
        json!({"accepted": 1, "rejected": 2, "errors": [
            {"line": 2, "code": "bad_json", "detail": "expected value at line 1 column 1"},
            {"line": 3, "code": "not_this_source", "detail": "not a record of app.log (no app): no source knows it; its fields are x"}]})
    );
}

#[test]
fn nothing_good_and_nothing_at_all() {
    let answer = read(&mut router(None), &b"x\n".repeat(150), 0, None, PushLimits::default())
        .unwrap()
        .answer;
    assert_eq!((answer.status(), answer.rejected), (422, 150));
    assert_eq!((answer.errors.len(), answer.more_errors), (100, 50));
    for body in ["", "\n", "[]", " \r\n\n"] {
        let error =
            read(&mut router(None), body.as_bytes(), 0, None, PushLimits::default()).unwrap_err();
        assert_eq!((error.status(), error), (400, PushError::Empty));
    }
}

#[test]
fn lines_below_a_header_are_stored_with_it() {
    let codec = || {
        Codec::Delimited(DelimitedCodec {
            delimiter: ' ',
            fields: vec!["line".into(), "other".into()],
            ..DelimitedCodec::default()
        })
    };
    let mut spec = source("net.flow", codec(), &[], None);
    spec.wire.columns.push(("other".into(), WireType::String));
    let spec = Arc::new(spec);
    for mapping in [None, Some("net.flow")] {
        let mut router = Router::new(vec![spec.clone()], mapping).unwrap();
        let lines: String = (0..50_000).map(|i| format!("o{i} l{i}\n")).collect();
        let body = format!("other line\n{lines}");
        let limits = PushLimits { records: 50_001, ..PushLimits::default() };
        let pushed = read(&mut router, body.as_bytes(), 0, None, limits).unwrap();
        assert_eq!((pushed.answer.accepted, pushed.answer.rejected), (50_000, 0));
        assert!((2..10).contains(&pushed.records.len()), "{}", pushed.records.len());
        // Another sender, whose lines are in the usual order.
        let usual = read(&mut router, b"l o\n", 0, None, PushLimits::default()).unwrap();
        let mut decoder = Decoder::new(&spec, Limits::default());
        let messages: Vec<_> = pushed.records.into_iter().chain(usual.records).collect();
        let messages = (0..).zip(messages).map(|(at, r)| message(at, r.bytes)).collect();
        let decoded = decoder.decode(&router.chunks(messages)[0].1);
        let texts = decoded.wire["line"].as_string::<i32>();
        assert_eq!((texts.len(), decoded.failed.len()), (50_001, 0));
        assert!(texts.iter().all(|t| t.unwrap().starts_with('l')));
    }
}

#[test]
fn a_body_has_so_many_records_however_few_bytes_they_have() {
    let limits = PushLimits { records: 3, ..PushLimits::default() };
    let count =
        |body: &[u8]| read(&mut router(None), body, 0, None, limits).map(|p| p.records.len());
    assert_eq!(count(b"1\n2\n3\n"), Ok(3));
    for body in [&b"1\n2\n3\n4"[..], b"[1,2,3,4]", b"{}{}{}{}"] {
        assert_eq!(count(body), Err(PushError::TooMany { max: 3 }));
        assert_eq!(count(body).unwrap_err().status(), 413);
    }
}

#[test]
fn inflating_ends_where_there_is_no_memory() {
    let body = gzip(&vec![b' '; 4 << 20]);
    let mut left = 1 << 20;
    let mut grow = |bytes: u64| {
        let more = bytes <= left;
        left -= bytes.min(left);
        more
    };
    let refused = inflate(Encoding::Gzip, &body, PushLimits::default(), &mut grow);
    assert_eq!(refused, Err(PushError::NoMemory));
}

#[test]
fn zstd_frames_that_hold_nothing_are_refused_and_skippable_ones_are_passed_over() {
    let limits = PushLimits::default();
    let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 3).unwrap();
    let skippable = |bytes: &[u8]| {
        let length = u32::try_from(bytes.len()).unwrap().to_le_bytes();
        [&[0x50, 0x2a, 0x4d, 0x18][..], &length, bytes].concat()
    };
    for little in [zstd(b""), zstd(b"x"), skippable(b"")] {
        let all = little.repeat(200_000);
        let refused = inflate(Encoding::Zstd, &all, limits, &mut |_| true);
        assert!(matches!(refused, Err(PushError::Damaged { .. })), "{refused:?}");
    }
    let blocks = [skippable(b"notes"), zstd(&vec![b'\n'; 1_000]).repeat(20_000)].concat();
    let whole = inflate(Encoding::Zstd, &blocks, limits, &mut |_| true).unwrap();
    assert_eq!(whole.len(), 20_000_000);
    let cut = zstd(&vec![b'x'; 1_000]);
    let refused = inflate(Encoding::Zstd, &cut[..cut.len() - 2], limits, &mut |_| true);
    assert!(matches!(refused, Err(PushError::Damaged { .. })), "{refused:?}");
}

#[test]
fn row_13_members_that_hold_nothing_are_refused_before_they_cost_much() {
    // 16 MiB of them: 800,000.
    let empty = gzip(b"").repeat((16 << 20) / 20);
    let refused = inflate(Encoding::Gzip, &empty, PushLimits::default(), &mut |_| true);
    let Err(PushError::Damaged { detail, .. }) = refused else { panic!("{refused:?}") };
    // Not one more was looked at.
    assert!(detail.contains("10001 gzip members hold 0 bytes"), "{detail}");
    let tiny = gzip(b"x").repeat(200_000);
    let refused = inflate(Encoding::Gzip, &tiny, PushLimits::default(), &mut |_| true);
    assert!(matches!(refused, Err(PushError::Damaged { .. })), "{refused:?}");
    let blocks = gzip(&vec![b'\n'; 1_000]).repeat(20_000);
    assert_eq!(
        inflate(Encoding::Gzip, &blocks, PushLimits::default(), &mut |_| true).unwrap().len(),
        20_000_000
    );
}
