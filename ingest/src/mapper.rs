//! One partition's records to rows: decode, find the time, route, map, complete, count. Not
//! reading, not rules.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions,
        TimestampMillisecondArray, new_null_array,
    },
    compute::FilterBuilder,
    datatypes::{DataType, TimestampMillisecondType},
    error::ArrowError,
};
use sluice_event::{
    Clamped, EventBatch, Fill, Mapped, Origin, PartitionId, Schema, TableSchema, TimeSettings,
    clamp, defect::defect, fill,
};

use self::{
    columns::{keyword, leaf},
    letters::{of_fault, of_record},
};
use crate::{
    Chunk, Counts, DeadLetter, DeadLetterCode, Decoded, Decoder, Limits, MappingEntry, SourceSpec,
    Unmapped, decode::Doubt, spec::RAW_COLUMNS,
};

mod columns;
mod letters;
mod supplement;

/// Turns the chunks of one partition into rows. Keeps the partition's newest event time, so chunks
/// must come in order.
#[derive(Debug)]
pub struct Mapper {
    spec: Arc<SourceSpec>,
    decoder: Decoder,
    origin: Arc<Origin>,
    raw: bool,
    seen: i64,
}

/// A chunk with its columns.
#[derive(Debug)]
pub struct DecodedChunk {
    chunk: Chunk,
    decoded: Decoded,
}

/// What became of the records of a chunk.
#[derive(Debug)]
pub struct Processed {
    /// Rows, a batch per mapping that made some, in the order the mappings are asked; the raw
    /// table's last.
    pub batches: Vec<EventBatch>,
    /// Records set aside, in the order they were found.
    pub dead_letters: Vec<DeadLetter>,
    /// What happened to the records of this chunk.
    pub counts: Counts,
}

impl Mapper {
    /// A mapper for `partition`, whose newest event time so far is `seen` (`i64::MIN` at its
    /// start). With `raw`, every decoded record also becomes a row of the raw table.
    pub fn new(
        spec: Arc<SourceSpec>,
        tenant: &str,
        partition: PartitionId,
        time: TimeSettings,
        raw: bool,
        seen: i64,
    ) -> Self {
        Mapper {
            decoder: Decoder::new(&spec, spec.limits),
            origin: Arc::new(Origin {
                source: spec.source.clone(),
                tenant: tenant.into(),
                partition,
                time,
            }),
            spec,
            raw,
            seen,
        }
    }

    /// With other limits than the usual ones; to be said before the first record.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.decoder = Decoder::new(&self.spec, limits);
        self
    }

    /// The newest event time of the partition, clamped; `i64::MIN` before its first record.
    pub fn seen(&self) -> i64 {
        self.seen
    }

    /// Top-level fields that no mapping of the source declares, since the mapper was made.
    pub fn unmapped(&self) -> &Unmapped {
        self.decoder.unmapped()
    }

    /// [`Mapper::decode`] and [`Mapper::map`].
    pub fn process(&mut self, chunk: &Chunk) -> Processed {
        let decoded = self.decode(chunk);
        self.map(decoded)
    }

    /// Records to wire columns.
    pub fn decode(&mut self, chunk: &Chunk) -> DecodedChunk {
        let mut decoded = self.decoder.decode(chunk);
        let chunk = decoded.chunk.take().unwrap_or_else(|| chunk.clone());
        DecodedChunk { chunk, decoded }
    }

    /// Wire columns to rows.
    pub fn map(&mut self, decoded: DecodedChunk) -> Processed {
        let DecodedChunk { chunk, decoded } = decoded;
        let mut job = Job::new(&self.spec, &self.origin, &chunk, &decoded);
        job.set_aside(&decoded);
        let times = job.record_times(&decoded.wire);
        let native = self.spec.native_id.as_ref().and_then(|path| leaf(&decoded.wire, path));

        let mut parts = Vec::new();
        let mut rest = vec![true; decoded.wire.num_rows()];
        for entry in &self.spec.mappings {
            if !rest.contains(&true) {
                break;
            }
            let mut taken = entry.transform.matches(&decoded.wire);
            if taken.len() != rest.len() {
                continue;
            }
            taken = rest.iter().zip(&taken).map(|(r, t)| Some(*r && t == Some(true))).collect();
            rest.iter_mut().zip(&taken).for_each(|(r, t)| *r &= t != Some(true));
            parts.extend(job.apply(entry, &taken, &times, native.as_ref()));
        }
        for row in (0..rest.len()).filter(|r| rest[*r]) {
            job.dead(row, DeadLetterCode::NoMapping, "no mapping takes this record".into(), None);
        }
        if self.raw && decoded.wire.num_rows() > 0 {
            parts.push(job.raw(&times, native.as_ref()));
        }

        // The newest time before each record: over all decoded records, mapped or not, so that it
        // depends neither on the mappings nor on whether a rule reads the raw table.
        // A time that is missing, invalid or in the future says nothing of how far the log has come:
        // one such record must not make all later ones too late. A source without times has only
        // its receive times.
        let timeless = self.spec.time.is_none();
        let mut newest: Vec<i64> = times
            .iter()
            .map(|t| if t.flag.is_none() || timeless { t.time } else { i64::MIN })
            .collect();
        for part in &parts {
            for (time, row) in part.times.iter().zip(&part.wire_row) {
                let newest = &mut newest[*row as usize];
                if *newest > i64::MIN {
                    *newest = (*newest).max(*time);
                }
            }
        }
        let mut before = Vec::with_capacity(newest.len());
        for time in newest {
            before.push(self.seen);
            self.seen = self.seen.max(time);
        }
        let batches = parts.into_iter().map(|p| p.finish(&job, &before)).collect();
        let Job { dead_letters, mut counts, .. } = job;
        for letter in &dead_letters {
            *counts.dead_letters.entry(letter.code).or_default() += 1;
        }
        if !counts.balanced() {
            defect("mapper.counts", format_args!("{counts:?}"));
        }
        Processed { batches, dead_letters, counts }
    }
}

impl Processed {
    /// A chunk that no mapping source reads ([`UNKNOWN`](crate::live::UNKNOWN)): everything in it as
    /// dead letters of `source`.
    pub fn set_aside(source: &Arc<str>, chunk: &Chunk) -> Processed {
        let faults = chunk.faults.iter().map(|f| of_fault(f, source, chunk));
        // Records come here only when their mapping went while they were on the way.
        let gone = "no mapping source takes this record";
        let records = (0..chunk.records.len()).map(|at| {
            of_record(at, DeadLetterCode::NoSource, gone.to_owned(), None, source, chunk)
        });
        let dead_letters: Vec<DeadLetter> = faults.chain(records).collect();
        let mut counts =
            Counts { records: chunk.received(), bytes: chunk.bytes(), ..Counts::default() };
        for letter in &dead_letters {
            *counts.dead_letters.entry(letter.code).or_default() += 1;
        }
        debug_assert!(counts.balanced(), "{counts:?}");
        Processed { batches: Vec::new(), dead_letters, counts }
    }
}

/// Mapping one chunk.
struct Job<'a> {
    spec: &'a SourceSpec,
    origin: &'a Arc<Origin>,
    chunk: &'a Chunk,
    decoded: &'a Decoded,
    dead_letters: Vec<DeadLetter>,
    counts: Counts,
}

/// Rows of one table, not yet knowing what came before them.
struct Part {
    table: sluice_event::TableName,
    rows: RecordBatch,
    times: Vec<i64>,
    /// Per row: the row of the wire batch it was made of.
    wire_row: Vec<u32>,
}

impl<'a> Job<'a> {
    fn new(
        spec: &'a SourceSpec,
        origin: &'a Arc<Origin>,
        chunk: &'a Chunk,
        decoded: &'a Decoded,
    ) -> Self {
        let counts = Counts {
            records: chunk.received(),
            bytes: chunk.bytes(),
            dropped: decoded.skipped,
            skipped: decoded.bystanders.clone(),
            unparsed: decoded.unparsed.clone(),
            truncated: decoded.truncated.len() as u64,
            lossy: decoded.lossy,
            duplicate_keys: decoded.duplicate_keys,
            conflicts: decoded.conflicts.iter().cloned().collect(),
            ..Counts::default()
        };
        Job { spec, origin, chunk, decoded, dead_letters: Vec::new(), counts }
    }

    /// Dead letters of framing and decoding, in the order of the input.
    fn set_aside(&mut self, decoded: &Decoded) {
        let source = &self.origin.source;
        self.dead_letters.extend(self.chunk.faults.iter().map(|f| of_fault(f, source, self.chunk)));
        for failed in &decoded.failed {
            let letter = self.letter(failed.record, failed.code, failed.message.clone(), None);
            self.dead_letters.push(letter);
        }
        self.dead_letters.sort_by_key(|l| l.offset);
    }

    fn dead(&mut self, row: usize, code: DeadLetterCode, message: String, mapping: Option<&str>) {
        let letter = self.letter(self.decoded.record[row], code, message, mapping);
        self.dead_letters.push(letter);
    }

    fn letter(
        &self,
        record: u32,
        code: DeadLetterCode,
        message: String,
        mapping: Option<&str>,
    ) -> DeadLetter {
        of_record(record as usize, code, message, mapping, &self.origin.source, self.chunk)
    }

    /// The time of each decoded record by the source's `time` path, clamped.
    fn record_times(&self, wire: &RecordBatch) -> Vec<Clamped> {
        let column = self.spec.time.as_ref().and_then(|path| leaf(wire, path));
        let column = column.as_ref().and_then(|c| c.as_primitive_opt::<TimestampMillisecondType>());
        (0..wire.num_rows())
            .map(|row| self.clamp(row, column.filter(|c| c.is_valid(row)).map(|c| c.value(row))))
            .collect()
    }

    /// The time of a row of the wire batch, against when its record was received.
    fn clamp(&self, row: usize, time: Option<i64>) -> Clamped {
        clamp(time, self.reference(row), self.origin.time.max_skew)
    }

    fn reference(&self, row: usize) -> i64 {
        self.chunk.reference(self.decoded.record[row] as usize)
    }

    /// Maps the records that `taken` says.
    fn apply(
        &mut self,
        entry: &MappingEntry,
        taken: &BooleanArray,
        times: &[Clamped],
        native: Option<&ArrayRef>,
    ) -> Option<Part> {
        let wire = &self.decoded.wire;
        let chosen: Vec<u32> =
            (0u32..).zip(taken).filter_map(|(row, t)| (t == Some(true)).then_some(row)).collect();
        if chosen.is_empty() {
            return None;
        }
        let table = Schema::builtin().table(entry.transform.table().as_str());
        let part = if chosen.len() == wire.num_rows() {
            Ok(wire.clone())
        } else {
            chosen_rows(wire, taken, chosen.len(), |column| entry.transform.reads(column))
        };
        let (Some(table), Ok(part)) = (table, part) else {
            for row in &chosen {
                let message = format!("there is no table `{}`", entry.transform.table());
                self.dead(*row as usize, DeadLetterCode::MappingError, message, Some(&entry.id));
            }
            return None;
        };
        let Mapped { rows, record, failed, conflicts } = entry.transform.apply(&part);
        for (column, n) in conflicts.iter().filter(|(_, n)| *n > 0) {
            let name = table.columns.get(*column).map_or("?", |c| c.name);
            *self.counts.conflicts.entry(format!("{}.{name}", table.name)).or_default() += n;
        }
        // What a record came to: nothing yet, rows, or an error.
        let mut made = vec![0u32; chosen.len()];
        record.iter().for_each(|r| made[*r as usize] += 1);
        for error in failed {
            let at = error.record as usize;
            if made.get(at) == Some(&0) {
                made[at] = u32::MAX;
                let row = chosen[at] as usize;
                self.dead(row, DeadLetterCode::MappingError, error.message, Some(&entry.id));
            }
        }
        self.counts.mapped += made.iter().filter(|n| !matches!(n, 0 | &&u32::MAX)).count() as u64;
        self.counts.mapped_empty += made.iter().filter(|n| **n == 0).count() as u64;
        self.counts.rows += record.len() as u64;
        if record.is_empty() {
            return None;
        }
        let wire_row: Vec<u32> = record.iter().map(|r| chosen[*r as usize]).collect();
        let (rows, times) = self.timed(rows, table, &wire_row, times);
        let rows = columns::native(rows, &wire_row, native);
        let rows = supplement::extras(rows, table, &wire_row, &self.decoded.extras);
        let rows = supplement::absent(supplement::addresses(rows, table));
        let received: Vec<i64> = wire_row.iter().map(|row| self.reference(*row as usize)).collect();
        let rows = fill(
            rows,
            table,
            &Fill {
                source: &self.origin.source,
                vendor: entry.vendor.as_deref(),
                product: entry.product.as_deref(),
                tenant: &self.origin.tenant,
                ingest_time: &received,
                class_uid: entry.class,
                aliases: Some(&self.spec.aliases),
            },
        );
        Some(Part { table: table.name.clone(), rows, times, wire_row })
    }

    /// Sets `time`, `time_flag` and `original_time`: the row's own time where its mapping gives
    /// one, else its record's.
    fn timed(
        &mut self,
        rows: RecordBatch,
        table: &TableSchema,
        wire_row: &[u32],
        record_times: &[Clamped],
    ) -> (RecordBatch, Vec<i64>) {
        let own = rows
            .column_by_name("time")
            .and_then(|c| c.as_primitive_opt::<TimestampMillisecondType>());
        let clamped: Vec<Clamped> = wire_row
            .iter()
            .enumerate()
            .map(|(row, wire)| match own.filter(|c| c.is_valid(row)) {
                Some(own) => self.clamp(*wire as usize, Some(own.value(row))),
                None => record_times[*wire as usize],
            })
            .collect();
        let times: Vec<i64> = clamped.iter().map(|c| c.time).collect();
        let mut arrays = rows.columns().to_vec();
        if let Some(at) = table.index("time") {
            arrays[at] =
                Arc::new(TimestampMillisecondArray::from(times.clone()).with_timezone("UTC"));
        }
        // What is doubtful of the time of its record; a time of its own is none of a clock.
        let doubts: Vec<Option<&Doubt>> = clamped
            .iter()
            .zip(wire_row)
            .map(|(c, wire)| {
                let doubt = self.decoded.doubtful_times.get(wire)?;
                (c.flag.is_none() && *c == record_times[*wire as usize]).then_some(doubt)
            })
            .collect();
        if clamped.iter().any(|c| c.flag.is_some()) || doubts.iter().any(Option::is_some) {
            let claimed: Vec<Option<String>> = clamped
                .iter()
                .zip(wire_row)
                .zip(&doubts)
                .map(|((c, wire), doubt)| match c.original {
                    Some(original) => Some(sluice_event::rfc3339(original)),
                    None if doubt.is_some() => doubt.map(|doubt| doubt.said.clone()),
                    None if c.flag.is_some() => self.decoded.unreadable_times.get(wire).cloned(),
                    None => None,
                })
                .collect();
            // A text that is no time is not a time that is missing.
            let flags: Vec<Option<&'static str>> = clamped
                .iter()
                .zip(&claimed)
                .zip(&doubts)
                .map(|((c, claimed), doubt)| match (c.flag, claimed) {
                    (Some("missing"), Some(_)) => Some("invalid"),
                    (flag, _) => flag.or(doubt.map(|doubt| doubt.flag)),
                })
                .collect();
            for (flag, claimed) in flags.iter().zip(&claimed) {
                let Some(flag) = flag else { continue };
                let count = self.counts.time_flags.entry(flag).or_default();
                count.rows += 1;
                if count.example.is_none() {
                    count.example.clone_from(claimed);
                }
            }
            if let Some(at) = table.index("time_flag") {
                arrays[at] = keyword(flags.into_iter());
            }
            if let Some(at) = table.index("original_time") {
                arrays[at] = columns::or(&arrays[at], claimed.into_iter().collect());
            }
        }
        let made = RecordBatch::try_new(table.arrow.clone(), arrays).unwrap_or_else(|e| {
            defect("mapper.times", e);
            rows
        });
        (made, times)
    }

    /// Every decoded record as a row of the raw table.
    fn raw(&self, times: &[Clamped], native: Option<&ArrayRef>) -> Part {
        let wire = &self.decoded.wire;
        let rows = wire.num_rows();
        let times: Vec<i64> = times.iter().map(|t| t.time).collect();
        let native = native.cloned().unwrap_or_else(|| new_null_array(&DataType::Utf8, rows));
        let mut arrays: Vec<ArrayRef> = vec![
            Arc::new(TimestampMillisecondArray::from(times.clone()).with_timezone("UTC")),
            new_null_array(&DataType::Utf8, rows),
            native,
        ];
        let schema = wire.schema();
        let own = schema.fields().iter().zip(wire.columns());
        arrays.extend(
            own.filter(|(f, _)| !RAW_COLUMNS.contains(&f.name().as_str())).map(|(_, c)| c.clone()),
        );
        let schema = self.spec.raw_schema();
        let rows = RecordBatch::try_new(schema.clone(), arrays).unwrap_or_else(|e| {
            defect("mapper.raw", e);
            RecordBatch::new_empty(schema)
        });
        let wire_row = (0..rows.num_rows() as u32).collect();
        Part { table: self.spec.raw_table(), rows, times, wire_row }
    }
}

/// The `count` rows that are `taken`. A column that is not read is cut to their number, whatever is in it.
fn chosen_rows(
    wire: &RecordBatch,
    taken: &BooleanArray,
    count: usize,
    is_read: impl Fn(usize) -> bool,
) -> Result<RecordBatch, ArrowError> {
    let filter = FilterBuilder::new(taken).optimize().build();
    let columns = wire.columns().iter().enumerate().map(|(at, column)| match is_read(at) {
        true => filter.filter(column),
        false => Ok(column.slice(0, count)),
    });
    let options = RecordBatchOptions::new().with_row_count(Some(count));
    RecordBatch::try_new_with_options(wire.schema(), columns.collect::<Result<_, _>>()?, &options)
}

impl Part {
    fn finish(self, job: &Job<'_>, before: &[i64]) -> EventBatch {
        let mut sub_index = vec![0u16; self.wire_row.len()];
        for row in 1..self.wire_row.len() {
            if self.wire_row[row] == self.wire_row[row - 1] {
                sub_index[row] = sub_index[row - 1].saturating_add(1);
            }
        }
        EventBatch {
            table: self.table,
            columns: self.rows,
            origin: job.origin.clone(),
            records: job.chunk.records.clone(),
            record: self.wire_row.iter().map(|r| job.decoded.record[*r as usize]).collect(),
            sub_index,
            seen_before: self.wire_row.iter().map(|r| before[*r as usize]).collect(),
        }
    }
}
