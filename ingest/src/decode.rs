//! Records of one source to Arrow columns of its wire schema. Not cutting the input into records
//! (see [`crate::Framer`]), not mapping.

use std::collections::HashMap;

use arrow::{
    datatypes::SchemaRef,
    record_batch::{RecordBatch, RecordBatchOptions},
};
use sluice_event::{PartitionId, WireSchema};

use self::{
    column::Column, delimited::Delimited, envelope::EnvelopeColumns, json::Json, syslog::Syslog,
};
use crate::{Chunk, Codec, DeadLetterCode, Limits};

mod column;
mod delimited;
mod envelope;
mod json;
mod keys;
mod syslog;

/// Decodes chunks of one source. Keeps its buffers, what it learned of field orders, and the header
/// line of each partition.
#[derive(Debug)]
pub struct Decoder {
    codec: State,
    names: Vec<String>,
    columns: Vec<Column>,
    envelope: EnvelopeColumns,
    schema: SchemaRef,
    tally: Tally,
}

/// What became of the records of a chunk: each is in `record`, in `failed`, or skipped.
#[derive(Debug)]
pub struct Decoded {
    /// One row per record that decoded.
    pub wire: RecordBatch,
    /// Per row: the index of its record in the chunk.
    pub record: Vec<u32>,
    /// Records that did not decode.
    pub failed: Vec<FailedRecord>,
    /// Records that are no events: header lines and comments.
    pub skipped: u64,
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

/// Top-level fields that no mapping declares.
#[derive(Debug, Default, Clone)]
pub struct Unmapped {
    fields: Vec<UnmappedField>,
    /// Fields beyond the number of names that are remembered, or with too long a name.
    pub more: u64,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnmappedField {
    /// The name on the wire.
    pub name: String,
    /// How many records had it.
    pub records: u64,
    /// Its first value, shortened.
    pub example: String,
}

#[derive(Debug)]
enum State {
    Json(Json),
    Delimited {
        layout: Delimited,
        orders: HashMap<PartitionId, delimited::Order>,
    },
    Syslog(Syslog),
    /// The column of the line.
    Lines(Option<usize>),
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
struct Failure {
    code: DeadLetterCode,
    message: String,
}

impl Failure {
    fn new(code: DeadLetterCode, message: impl Into<String>) -> Self {
        Failure { code, message: message.into() }
    }
}

impl Decoder {
    /// A decoder for records of `codec` into the columns of `wire`.
    pub fn new(codec: &Codec, wire: &WireSchema, limits: Limits) -> Self {
        let schema = wire.arrow();
        let (envelope, wire) = EnvelopeColumns::split(wire);
        let wire = &wire;
        let codec = match codec {
            Codec::Json => State::Json(Json::new(wire, limits)),
            Codec::Delimited { delimiter, fields, null, header } => State::Delimited {
                layout: Delimited::new(*delimiter, fields, null, header, wire),
                orders: HashMap::new(),
            },
            Codec::Syslog { patterns, year, zone } => {
                State::Syslog(Syslog::new(patterns, *year, *zone, wire))
            }
            Codec::Lines => State::Lines(column_of(wire, &["line"])),
        };
        Decoder {
            codec,
            names: wire.columns.iter().map(|(name, _)| name.clone()).collect(),
            columns: wire.columns.iter().map(|(_, kind)| Column::new(kind)).collect(),
            envelope,
            schema,
            tally: Tally::default(),
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
        let mut record = Vec::with_capacity(chunk.records.len());
        let mut failed = Vec::new();
        let mut skipped = 0;
        for (index, bytes) in (0u32..).zip(chunk.records.iter()) {
            let row = record.len();
            let reference = chunk.reference(index as usize);
            if let State::Delimited { orders, .. } = &mut self.codec
                && chunk.begins_message(index as usize)
            {
                orders.remove(&chunk.partition);
            }
            let columns = &mut self.columns;
            let tally = &mut self.tally;
            let result = match &mut self.codec {
                State::Json(json) => {
                    json.record(bytes, columns, row, reference, tally).map(|()| Outcome::Row)
                }
                State::Delimited { layout, orders } => text_record(bytes, tally, |text| {
                    layout.record(text, orders, chunk.partition, columns, row, reference)
                }),
                State::Syslog(syslog) => text_record(bytes, tally, |text| {
                    syslog.record(text, columns, row, reference).map(|()| Outcome::Row)
                }),
                State::Lines(line) => text_record(bytes, tally, |text| {
                    if let Some(column) = line.and_then(|c| columns.get_mut(c)) {
                        column.pad(row);
                        column.push_text(text, reference);
                    }
                    Ok(Outcome::Row)
                }),
            };
            match result {
                Ok(Outcome::Row) => {
                    if !self.envelope.is_empty()
                        && let Some(envelope) = chunk.envelope(index as usize)
                    {
                        let offset = chunk.offsets.get(index as usize).copied().unwrap_or(0);
                        self.envelope.fill(row, offset, envelope);
                    }
                    record.push(index);
                }
                Ok(Outcome::Skip) => skipped += 1,
                Err(Failure { code, message }) => {
                    failed.push(FailedRecord { record: index, code, message });
                }
            }
        }
        let mut conflicts = Vec::new();
        for (column, name) in self.columns.iter_mut().zip(&self.names) {
            column.take_conflicts(name, &mut conflicts);
        }
        let rows = record.len();
        let mut arrays = self.columns.iter_mut().map(|c| c.finish(rows)).collect();
        self.envelope.finish(rows, &mut arrays);
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let wire = RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)
            .unwrap_or_else(|_| RecordBatch::new_empty(self.schema.clone()));
        debug_assert_eq!(wire.num_rows(), rows);
        Decoded {
            wire,
            record,
            failed,
            skipped,
            lossy: std::mem::take(&mut self.tally.lossy),
            duplicate_keys: std::mem::take(&mut self.tally.duplicate_keys),
            conflicts,
        }
    }
}

enum Outcome {
    Row,
    Skip,
}

/// Runs a line codec over the text of a record.
fn text_record(
    bytes: &[u8],
    tally: &mut Tally,
    decode: impl FnOnce(&str) -> Result<Outcome, Failure>,
) -> Result<Outcome, Failure> {
    let text = String::from_utf8_lossy(bytes);
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

impl Unmapped {
    /// The fields in the order they were first seen.
    pub fn fields(&self) -> impl Iterator<Item = &UnmappedField> {
        self.fields.iter().filter(|f| f.records > 0)
    }

    /// Adds what another decoder of the same source saw.
    pub fn add(&mut self, other: &Unmapped) {
        for field in other.fields() {
            match self.fields.iter_mut().find(|f| f.name == field.name) {
                Some(own) => own.records += field.records,
                None => self.fields.push(field.clone()),
            }
        }
        self.more += other.more;
    }

    fn is_new(&self, index: usize) -> bool {
        // A name that only rejected records had was learned, but never counted.
        self.fields.get(index).is_none_or(|f| f.records == 0)
    }

    fn count(&mut self, index: usize) {
        self.fields[index].records += 1;
    }

    /// Keeps the name and first value of a field; not yet counted.
    fn learn(&mut self, index: usize, name: &str, example: &str) {
        let mut short: String = example.chars().take(80).collect();
        if short.len() < example.len() {
            short.push('…');
        }
        if self.fields.len() <= index {
            let unseen = UnmappedField { name: String::new(), records: 0, example: String::new() };
            self.fields.resize(index + 1, unseen);
        }
        self.fields[index] = UnmappedField { name: name.to_owned(), records: 0, example: short };
    }
}
