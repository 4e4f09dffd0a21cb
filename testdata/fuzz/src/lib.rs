//! What must hold for any bytes an attacker may send: framing, decoding, mappings, rule files, saved
//! state, the search language. It is not part of the product, and says nothing about right input.
//!
//! A target panics if its property fails. `cargo test -p sluice-fuzz` runs each over inputs changed at
//! random; `cargo xtask fuzz TARGET [SECONDS]` lets libFuzzer look for more.
#![forbid(unsafe_code)]

use std::sync::{Arc, LazyLock};

use sluice_engine::Content;
use sluice_event::{PartitionId, TimeSettings};
use sluice_ingest::{Chunk, Framer, Framing, Limits, Mapper, Unwrap};
use sluice_rule::SqlFile;
use sluice_stream::{HistoryStart, Pace, PartitionInfo, Shard, ShardOptions, StateEntry};

/// A property of arbitrary bytes.
pub type Target = fn(&[u8]);

/// The targets by name.
pub const TARGETS: [(&str, Target); 6] = [
    ("frame", frame),
    ("decode", decode),
    ("mapping", mapping),
    ("rule", rule),
    ("state", state),
    ("search", search),
];

/// The receive time of records, milliseconds: 2026-01-01T00:00:00Z.
const RECEIVED: i64 = 1_767_225_600_000;

/// Bounds small enough that an input of a few kilobytes meets them.
fn limits() -> Limits {
    Limits { record_bytes: 512, depth: 8, fields: 32, ..Limits::default() }
}

/// Records do not depend on how their bytes are cut: one push gives what many give.
pub fn frame(data: &[u8]) {
    let Some((&first, input)) = data.split_first() else { return };
    let framing = match first % 3 {
        0 => Framing::Lines,
        1 => Framing::Syslog,
        _ => Framing::Json(Unwrap::new(["$.Records[*]"])),
    };
    let whole = framed(&framing, &[input]);
    let piece = usize::from(first / 3) + 1;
    let pieces: Vec<&[u8]> = input.chunks(piece).collect();
    assert_eq!(whole, framed(&framing, &pieces), "cut every {piece} bytes");
}

fn framed(framing: &Framing, pieces: &[&[u8]]) -> (Vec<Vec<u8>>, usize) {
    let mut framer = Framer::new(framing, limits());
    for piece in pieces {
        framer.push(piece);
    }
    framer.finish();
    let (mut records, mut faults) = (Vec::new(), 0);
    while !framer.is_empty() {
        let framed = framer.take();
        records.extend(framed.records.iter().map(<[u8]>::to_vec));
        faults += framed.faults.len();
    }
    (records, faults)
}

/// Each record of a chunk ends in one place: a row of the wire batch or a failure.
pub fn decode(data: &[u8]) {
    let content = content();
    let (source, lines) = chosen(content, data);
    let chunk = Chunk::of_lines(PartitionId(0), &lines, RECEIVED);
    let mut decoder = sluice_ingest::Decoder::new(&source, limits());
    let decoded = decoder.decode(&chunk);
    let (rows, failed) = (decoded.wire.num_rows(), decoded.failed.len());
    assert_eq!(decoded.record.len(), rows, "a row without a record");
    // A wrapper may hold several records, so there may be more of them than lines.
    assert!(rows + failed + decoded.skipped as usize >= lines.len(), "a record went nowhere");
}

/// The counts of a mapping add up, whatever the records are.
pub fn mapping(data: &[u8]) {
    let content = content();
    let (source, lines) = chosen(content, data);
    let chunk = Chunk::of_lines(PartitionId(0), &lines, RECEIVED);
    let time = TimeSettings::default();
    let mut mapper =
        Mapper::new(source, "default", PartitionId(0), time, true, i64::MIN).with_limits(limits());
    let processed = mapper.process(&chunk);
    assert!(processed.counts.balanced(), "{:?}", processed.counts);
}

/// A source picked by the first byte, and the rest as lines.
fn chosen(content: &Content, data: &[u8]) -> (Arc<sluice_ingest::SourceSpec>, Vec<String>) {
    let (first, rest) = data.split_first().map_or((0, data), |(first, rest)| (*first, rest));
    let source = content.sources[usize::from(first) % content.sources.len()].clone();
    (source, String::from_utf8_lossy(rest).lines().map(str::to_owned).collect())
}

/// A file is a rule or an error with a place.
pub fn rule(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Err(problems) = SqlFile::parse("fuzz/case.sql", &text) {
        assert!(!problems.is_empty(), "refused without a reason");
    }
}

/// Saved state with a right checksum and any content is taken over or refused.
pub fn state(data: &[u8]) {
    static RULES: LazyLock<Vec<Arc<sluice_stream::StreamPlan>>> = LazyLock::new(|| {
        let baselines = content().baselines.iter().filter_map(|baseline| baseline.rule.as_ref());
        content().rules.iter().chain(baselines).map(|loaded| loaded.plan.clone()).collect()
    });
    let plans: Vec<_> = RULES.iter().cloned().enumerate().collect();
    let tables =
        plans.iter().flat_map(|(_, p)| p.branches.iter().map(|b| b.table.clone())).collect();
    let partition = PartitionInfo { id: PartitionId(0), tables, time: TimeSettings::default() };
    let options = ShardOptions {
        index: 0,
        shards: 1,
        secret: [7; 16],
        limits: sluice_stream::Limits::default(),
        history_start: HistoryStart::Always,
    };
    let mut shard = Shard::new(&plans, std::slice::from_ref(&partition), options.clone());
    let mut entries = shard.export(true);
    // One entry gets the input as its payload, with the checksum it must have.
    let Some((&first, payload)) = data.split_first() else { return };
    if entries.is_empty() {
        return;
    }
    let at = usize::from(first) % entries.len();
    let mut value = payload.to_vec();
    value.extend(crc32c::crc32c(payload).to_be_bytes());
    entries[at] = StateEntry { key: entries[at].key.clone(), value: Some(value) };
    let mut restored = Shard::new(&plans, &[partition], options);
    if restored.import(entries).is_ok() {
        restored.end(PartitionId(0));
        restored.take(Pace::EveryChange);
    }
}

/// A query is understood or refused with a reason.
pub fn search(data: &[u8]) {
    let query = String::from_utf8_lossy(data);
    if let Err(error) = sluice_index::check(&query) {
        assert!(!error.to_string().is_empty());
    }
}

/// The shipped mappings and rules, compiled once.
#[allow(clippy::expect_used, reason = "without the shipped content there is nothing to fuzz")]
fn content() -> &'static Content {
    static CONTENT: LazyLock<Content> = LazyLock::new(|| {
        Content::load(&["builtin".into()], &["builtin".into()]).expect("the shipped content loads")
    });
    &CONTENT
}
