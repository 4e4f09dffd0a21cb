//! Records of one source to Arrow columns of its wire schema. Not cutting the input into records
//! (see [`crate::Framer`]), not mapping.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    datatypes::SchemaRef,
    record_batch::{RecordBatch, RecordBatchOptions},
};
use sluice_event::{PartitionId, WireSchema, defect::defect};

use self::{
    codec::{Decode, Record},
    column::Column,
    envelope::EnvelopeColumns,
    rewrite::Rewrite,
};
use crate::{
    Chunk, Codec, DeadLetterCode, DuplicateKeys, Limits, Original, SourceSpec, Surroundings,
    Wrapper,
    detect::ask::{Wanted, looks_json},
    envelope::{Piece, is_compressed},
    frame::is_part,
    utf16,
};

mod codec;
mod column;
mod delimited;
mod envelope;
mod json;
mod json_source;
mod keys;
mod lines;
mod rewrite;
mod syslog;
mod twice;
mod unread;

pub(crate) use codec::Form;
pub(crate) use syslog::{Doubt, header};
pub use twice::name_given_twice;
pub use unread::{Unmapped, UnmappedField, Unparsed};

/// What each codec is: the one list of them.
pub(crate) fn form(codec: &Codec) -> &dyn Form {
    match codec {
        Codec::Json => &json_source::JsonSource,
        Codec::Delimited(delimited) => delimited,
        Codec::Syslog(syslog) => syslog,
        Codec::Lines => &lines::Lines,
    }
}

/// Decodes chunks of one source. Keeps its buffers, what it learned of field orders, and the header
/// line of each partition.
///
/// A record that is not one of the source is opened if it is an envelope (see [`crate::Envelopes`]);
/// its payloads then stand in its place.
#[derive(Debug)]
pub struct Decoder {
    source: Arc<str>,
    codec: Box<dyn Decode>,
    /// Whether records are JSON values.
    json: bool,
    wanted: Wanted,
    surroundings: Arc<Surroundings>,
    names: Vec<String>,
    columns: Vec<Column>,
    envelope: EnvelopeColumns,
    schema: SchemaRef,
    tally: Tally,
    duplicate_keys: DuplicateKeys,
    /// The wire column that is the event's time, as a dotted path.
    time: Option<String>,
}

/// What became of the records of a chunk: each is in `record`, in `failed`, or skipped.
#[derive(Debug)]
pub struct Decoded {
    /// The chunk with the payloads of envelopes in their place; `None` if it had no envelope.
    pub chunk: Option<Chunk>,
    /// One row per record that decoded.
    pub wire: RecordBatch,
    /// Per row: the index of its record in the chunk.
    pub record: Vec<u32>,
    /// Records that did not decode.
    pub failed: Vec<FailedRecord>,
    /// Records that are no events: header lines, comments, bystanders.
    pub skipped: u64,
    /// Those of them that are bystanders, by what they are.
    pub bystanders: BTreeMap<Arc<str>, u64>,
    /// Lines of a known program that no pattern took: how many, and some of their messages.
    pub unparsed: Unparsed,
    /// Per row that has any: columns of the row that a wrapper or an undeclared field gives.
    pub extras: BTreeMap<u32, Arc<Wrapper>>,
    /// Per row whose time could not be read: its text.
    pub unreadable_times: BTreeMap<u32, String>,
    /// Per row whose time its clock showed twice or never: why, and the time with its zone.
    pub(crate) doubtful_times: BTreeMap<u32, Doubt>,
    /// Records over a bound of which the first fields were decoded.
    pub truncated: Vec<u32>,
    /// Records evaluated after replacing invalid UTF-8 or lone surrogates.
    pub lossy: u64,
    /// Fields given twice in one object.
    pub duplicate_keys: u64,
    /// Per wire column (dotted path): values of another type than declared.
    pub conflicts: Vec<(String, u64)>,
}

/// A record that did not decode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedRecord {
    /// The index of the record in the chunk.
    pub record: u32,
    /// The kind of failure.
    pub code: DeadLetterCode,
    /// What failed, for people.
    pub message: String,
}

/// What a codec is told with a record.
#[derive(Clone, Copy, Debug)]
struct RecordContext {
    partition: PartitionId,
    /// Its receive reference.
    reference: i64,
    /// The year of the first date without one of its file.
    first_year: Option<i32>,
    /// Whether the records of its partition are in the order of their log.
    in_order: bool,
    /// Whether the record is cut off: what was decoded of it counts.
    cut: bool,
}

/// Counters that the codecs add to.
#[derive(Debug, Default)]
struct Tally {
    lossy: u64,
    duplicate_keys: u64,
    unmapped: Unmapped,
}

/// Why a record did not decode.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: DeadLetterCode,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(code: DeadLetterCode, message: impl Into<String>) -> Self {
        Failure { code, message: message.into() }
    }

    /// Of a JSON value where lines of text are decoded.
    fn not_a_line() -> Self {
        Failure::new(DeadLetterCode::NotThisSource, "a JSON value, not a line")
    }

    /// Of a part of a line that does not decode by itself.
    pub(crate) fn part_of_line(Failure { message, .. }: Failure) -> Self {
        let message = format!(
            "a line that the container runtime has cut, without its other parts ({message}): set the \
             shipper to join them (Fluent Bit `multiline.parser cri`, Filebeat `parsers: container`, \
             Vector `auto_partial_merge`)"
        );
        Failure { code: DeadLetterCode::PartOfLine, message }
    }
}

impl Decoder {
    /// A decoder of the records of a source.
    pub fn new(spec: &SourceSpec, limits: Limits) -> Self {
        let mut decoder = Decoder::of(&spec.codec, &spec.wire, limits);
        decoder.source = spec.source.clone();
        decoder.time.clone_from(&spec.time);
        decoder.surroundings = spec.surroundings.clone();
        decoder.wanted = Wanted::of(spec);
        decoder.codec.want(&decoder.wanted);
        decoder
    }

    /// A decoder that asks nothing of a record but its shape, and opens no envelope.
    pub(crate) fn plain(spec: &SourceSpec) -> Self {
        Decoder::of(&spec.codec, &spec.wire, Limits::default())
    }

    /// A decoder for records of `codec` into the columns of `wire`.
    pub fn of(codec: &Codec, wire: &WireSchema, limits: Limits) -> Self {
        let schema = wire.arrow();
        let (envelope, wire) = EnvelopeColumns::split(wire);
        let wire = &wire;
        let form = form(codec);
        Decoder {
            source: "".into(),
            codec: form.decoder(wire, limits),
            json: form.is_json(),
            wanted: Wanted::default(),
            surroundings: Arc::default(),
            names: wire.columns.iter().map(|(name, _)| name.clone()).collect(),
            columns: wire.columns.iter().map(|(_, kind)| Column::new(kind)).collect(),
            envelope,
            schema,
            tally: Tally::default(),
            duplicate_keys: limits.duplicate_keys,
            time: None,
        }
    }

    /// The columns of the wire record.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Top-level fields that no mapping declares, since the decoder was made.
    pub fn unmapped(&self) -> &Unmapped {
        &self.tally.unmapped
    }

    /// Decodes every record of a chunk. Records that fail harm no other.
    pub fn decode(&mut self, chunk: &Chunk) -> Decoded {
        let mut run = Run { record: Vec::with_capacity(chunk.records.len()), ..Run::default() };
        let mut rewrite = Rewrite::default();
        for (at, bytes) in chunk.records.iter().enumerate() {
            if chunk.begins_message(at) {
                self.codec.end_message(chunk.partition);
            }
            let wrapper = chunk.wrapper(at).cloned();
            let failure = match self.attempt(bytes, wrapper.as_ref(), chunk, at, false, &mut run) {
                Ok(outcome) => {
                    let index = rewrite.keep(at);
                    self.note(outcome, index, chunk, at, wrapper, &mut run);
                    continue;
                }
                Err(failure) => failure,
            };
            let encoded = utf16::is_marked(bytes) || is_compressed(bytes);
            let pieces = match failure.may_be_opened() || encoded {
                true => self.open(bytes),
                false => None,
            };
            let Some(pieces) = pieces else {
                let message = self.explain(&failure, bytes);
                run.failed.push(FailedRecord {
                    record: rewrite.keep(at),
                    code: failure.code,
                    message,
                });
                continue;
            };
            for piece in pieces {
                match piece {
                    Piece::Skipped(reason, own) => {
                        rewrite.add(chunk, at, &own, None);
                        *run.bystanders.entry(reason).or_default() += 1;
                        run.skipped += 1;
                    }
                    Piece::Refused(code, message, own) => {
                        let record = rewrite.add(chunk, at, &own, None);
                        run.failed.push(FailedRecord { record, code, message });
                    }
                    Piece::Record(payload, wrapper) => {
                        let index = rewrite.add(chunk, at, &payload, wrapper.clone());
                        let result =
                            self.attempt(&payload, wrapper.as_ref(), chunk, at, false, &mut run);
                        match result {
                            Ok(outcome) => self.note(outcome, index, chunk, at, wrapper, &mut run),
                            Err(failure) if is_part(bytes) => {
                                let failure = Failure::part_of_line(failure);
                                let (code, message) = (failure.code, failure.message);
                                run.failed.push(FailedRecord { record: index, code, message });
                            }
                            Err(failure) => {
                                let message = self.explain(&failure, &payload);
                                let code = failure.code;
                                run.failed.push(FailedRecord { record: index, code, message });
                            }
                        }
                    }
                }
            }
        }
        self.cut_off(chunk, &mut rewrite, &mut run);
        self.finish(rewrite.chunk(chunk), run)
    }

    /// Appends one record as the next row, or takes back what it appended.
    fn attempt(
        &mut self,
        bytes: &[u8],
        wrapper: Option<&Arc<Wrapper>>,
        chunk: &Chunk,
        at: usize,
        cut: bool,
        run: &mut Run,
    ) -> Result<Outcome, Failure> {
        let row = run.record.len();
        let context = RecordContext {
            partition: chunk.partition,
            reference: chunk.reference(at),
            first_year: chunk.first_year,
            in_order: !chunk.messages,
            cut,
        };
        let json = looks_json(bytes);
        if json
            && self.duplicate_keys == DuplicateKeys::SetAside
            && let Some(name) = name_given_twice(bytes)
        {
            return Err(Failure::new(DeadLetterCode::DuplicateKeys, duplicate_key(&name)));
        }
        self.codec.decode(Record {
            bytes,
            json,
            keyed: !self.wanted.is_empty(),
            wrapper: wrapper.map(AsRef::as_ref),
            surroundings: &self.surroundings,
            context: &context,
            row,
            columns: &mut self.columns,
            tally: &mut self.tally,
            run,
        })
    }

    /// Notes what became of record `index`, which stands where the `at`-th of the chunk stood.
    fn note(
        &mut self,
        outcome: Outcome,
        index: u32,
        chunk: &Chunk,
        at: usize,
        wrapper: Option<Arc<Wrapper>>,
        run: &mut Run,
    ) {
        if matches!(outcome, Outcome::Skip) {
            run.skipped += 1;
            return;
        }
        let row = run.record.len();
        if !self.envelope.is_empty()
            && let Some(envelope) = chunk.envelope(at)
        {
            let offset = chunk.offsets.get(at).copied().unwrap_or(0);
            self.envelope.fill(row, offset, envelope);
        }
        let others = run.others.remove(&(row as u32)).unwrap_or_default();
        let extra = Wrapper::extra(wrapper, others);
        if let Some(extra) = extra.filter(|w| w.columns().next().is_some()) {
            run.extras.insert(row as u32, extra);
        }
        if matches!(outcome, Outcome::Cut) {
            run.truncated.push(index);
        }
        run.record.push(index);
    }

    /// What a record wraps; `None` if it is no wrapper.
    fn open(&self, bytes: &[u8]) -> Option<Vec<Piece>> {
        let envelopes = self.surroundings.opener.envelopes();
        let mut is_record = |bytes: &[u8]| match self.json {
            true => self.wanted.takes(bytes),
            false => !looks_json(bytes) && !envelopes.wraps_line(&String::from_utf8_lossy(bytes)),
        };
        let mut pieces = Vec::new();
        let opened = self.surroundings.opener.open(bytes, &mut is_record, &mut |p| pieces.push(p));
        opened.then_some(pieces).filter(|pieces| !pieces.is_empty())
    }

    /// Why a record failed, and what it looks like instead if it is not one of the source.
    fn explain(&self, failure: &Failure, bytes: &[u8]) -> String {
        if failure.code != DeadLetterCode::NotThisSource {
            return failure.message.clone();
        }
        let looks = self.surroundings.looks_like(bytes, &self.source);
        format!("not a record of {} ({}): {looks}", self.source, failure.message)
    }

    /// Decodes the first fields of records over the size bound.
    fn cut_off(&mut self, chunk: &Chunk, rewrite: &mut Rewrite, run: &mut Run) {
        for (at, fault) in chunk.faults.iter().enumerate() {
            let Original::Stub { head, .. } = &fault.original else { continue };
            if fault.code != DeadLetterCode::TooLarge {
                continue;
            }
            let chunk = Chunk {
                received_at: fault.received_at.unwrap_or(chunk.received_at),
                received_each: Vec::new(),
                wrappers: Vec::new(),
                envelopes: fault.envelope.iter().cloned().collect(),
                offsets: vec![fault.offset],
                ..chunk.clone()
            };
            if let Ok(Outcome::Row | Outcome::Cut) = self.attempt(head, None, &chunk, 0, true, run)
            {
                let index = rewrite.fault(at, fault, head);
                self.note(Outcome::Cut, index, &chunk, 0, None, run);
            }
        }
    }

    fn finish(&mut self, chunk: Option<Chunk>, run: Run) -> Decoded {
        let mut conflicts = Vec::new();
        let mut unreadable_times = BTreeMap::new();
        for (column, name) in self.columns.iter_mut().zip(&self.names) {
            column.take_conflicts(name, &mut conflicts);
            column.take_unreadable(name, self.time.as_deref(), &mut unreadable_times);
        }
        let rows = run.record.len();
        let mut arrays = self.columns.iter_mut().map(|c| c.finish(rows)).collect();
        self.envelope.finish(rows, &mut arrays);
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let wire = RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)
            .unwrap_or_else(|e| {
                defect("decoder.batch", e);
                RecordBatch::new_empty(self.schema.clone())
            });
        Decoded {
            chunk,
            wire,
            record: run.record,
            failed: run.failed,
            skipped: run.skipped,
            bystanders: run.bystanders,
            unparsed: run.unparsed,
            extras: run.extras,
            unreadable_times,
            doubtful_times: run.doubtful_times,
            truncated: run.truncated,
            lossy: std::mem::take(&mut self.tally.lossy),
            duplicate_keys: std::mem::take(&mut self.tally.duplicate_keys),
            conflicts,
        }
    }
}

/// What is collected while a chunk is decoded.
#[derive(Default)]
struct Run {
    record: Vec<u32>,
    failed: Vec<FailedRecord>,
    skipped: u64,
    bystanders: BTreeMap<Arc<str>, u64>,
    unparsed: Unparsed,
    extras: BTreeMap<u32, Arc<Wrapper>>,
    others: BTreeMap<u32, delimited::Others>,
    truncated: Vec<u32>,
    doubtful_times: BTreeMap<u32, Doubt>,
}

pub(crate) enum Outcome {
    Row,
    /// A row of the first fields of a record over a bound.
    Cut,
    Skip,
}

impl Failure {
    /// Whether the record may be an envelope: it is none of what its source knows.
    fn may_be_opened(&self) -> bool {
        matches!(
            self.code,
            DeadLetterCode::NotThisSource | DeadLetterCode::BadJson | DeadLetterCode::BadFraming
        )
    }
}

/// Why a record with a name twice was set aside.
pub(crate) fn duplicate_key(name: &str) -> String {
    let shown: String = name.chars().take(64).collect();
    format!("an object has the name `{shown}` twice")
}

/// Runs a line codec over the text of a record.
fn text_record(
    bytes: &[u8],
    tally: &mut Tally,
    decode: impl FnOnce(&str) -> Result<Outcome, Failure>,
) -> Result<Outcome, Failure> {
    // Nearly all text is valid: that is told faster than it is mended.
    let text = std::str::from_utf8(bytes)
        .map_or_else(|_| String::from_utf8_lossy(bytes), std::borrow::Cow::Borrowed);
    if text.trim_ascii().is_empty() {
        return Err(Failure::new(DeadLetterCode::Empty, "an empty record"));
    }
    let outcome = decode(&text)?;
    tally.lossy += u64::from(matches!(text, std::borrow::Cow::Owned(_)));
    Ok(outcome)
}

/// The column of a name, if the wire schema has it.
fn column_of(wire: &WireSchema, names: &[&str]) -> Option<usize> {
    wire.columns.iter().position(|(column, _)| names.contains(&column.as_str()))
}
