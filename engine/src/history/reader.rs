//! The history as a hunt reads it: the rows in memory and those in files, batch by batch. What cannot be
//! read is left out and noted, never passed over.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use arrow::{
    array::{ArrayRef, AsArray, BooleanArray, new_null_array},
    compute::{cast, filter_record_batch},
    datatypes::{FieldRef, Schema, SchemaRef, TimestampMillisecondType},
    record_batch::{RecordBatch, RecordBatchOptions},
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;
use sluice_event::TableName;
use sluice_sql::{StoredBatches, StoredRows, Wanted};

use super::{
    columnar::VerifiedFile,
    files::{self, HistoryFile},
    list::{Extent, Loss, Lost},
    packed::Held,
    ring,
};

/// The time of every table that has one.
const TIME: &str = "time";

/// Event times at or after, and before; milliseconds since 1970 UTC.
pub(super) type Between = (Option<i64>, Option<i64>);

/// Rows that an answer should have been made of and was not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryGap {
    /// Their table.
    pub table: TableName,
    /// Why they are missing.
    pub loss: Loss,
    /// How many, at most; 0 if that is not known.
    pub rows: u64,
    /// Their event times, milliseconds since 1970 UTC; `None` if they have none.
    pub times: Option<(i64, i64)>,
    /// What was said: by the system, or by the checksums.
    pub detail: String,
}

impl HistoryGap {
    pub(super) fn new(table: &TableName, loss: Loss, extent: Extent, detail: &str) -> HistoryGap {
        let (table, detail) = (table.clone(), detail.to_owned());
        HistoryGap { table, loss, rows: extent.rows, times: extent.times, detail }
    }
}

/// What a hunt has read.
#[derive(Debug, Default)]
pub(super) struct ScanLog {
    pub(super) rows: u64,
    pub(super) bytes: u64,
    /// Those that were opened.
    pub(super) files: BTreeSet<String>,
    pub(super) gaps: Vec<HistoryGap>,
}

/// One table at one moment.
#[derive(Debug)]
pub(super) struct TableView {
    pub(super) name: TableName,
    pub(super) schema: SchemaRef,
    pub(super) rows: Vec<Held>,
    pub(super) files: Vec<Arc<HistoryFile>>,
    pub(super) lost: BTreeMap<Loss, Lost>,
    pub(super) between: Between,
    pub(super) log: Arc<Mutex<ScanLog>>,
}

impl StoredRows for TableView {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn scan(&self, wanted: &Wanted) -> StoredBatches {
        let between = narrower(self.between, (wanted.from, wanted.to));
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        for (loss, lost) in &self.lost {
            if lost.extent.times.is_none_or(|times| overlap(times, between)) {
                let gap = HistoryGap::new(&self.name, *loss, lost.extent, &lost.detail);
                if !log.gaps.contains(&gap) {
                    log.gaps.push(gap);
                }
            }
        }
        drop(log);
        let inside = |file: &&Arc<HistoryFile>| {
            file.entry.extent.times.is_none_or(|times| overlap(times, between))
        };
        let fields =
            wanted.columns.iter().filter_map(|name| self.schema.field_with_name(name).ok());
        let schema =
            Arc::new(Schema::new(fields.cloned().map(Arc::new).collect::<Vec<FieldRef>>()));
        Box::new(Scan {
            schema,
            files: self.files.iter().filter(inside).cloned().collect(),
            open: None,
            rows: self.rows.clone().into(),
            between,
            log: self.log.clone(),
        })
    }
}

/// The newest schema of rows that have no other: of those in memory, or of the newest file that can be
/// read. Columns that only the others have come last.
pub(super) fn schema_of(rows: &[Held], files: &[Arc<HistoryFile>]) -> SchemaRef {
    let newest = files.iter().rev().find_map(|file| {
        let reader = open(file, &|_| true, (None, None)).ok()?;
        Some(arrow::record_batch::RecordBatchReader::schema(&reader))
    });
    union(rows.iter().rev().map(Held::schema).chain(newest))
}

/// The columns of all schemas, by name; the first that has a column says its type.
pub(super) fn union(schemas: impl IntoIterator<Item = SchemaRef>) -> SchemaRef {
    let mut fields: Vec<FieldRef> = Vec::new();
    let mut last: Option<SchemaRef> = None;
    for schema in schemas {
        if last.as_ref() == Some(&schema) {
            continue;
        }
        for field in schema.fields() {
            if !fields.iter().any(|known| known.name() == field.name()) {
                // What others lack is NULL there.
                fields.push(Arc::new(field.as_ref().clone().with_nullable(true)));
            }
        }
        last = Some(schema);
    }
    Arc::new(Schema::new(fields))
}

/// Opens a file for reading some of its columns.
pub(super) fn open(
    file: &HistoryFile,
    wanted: &dyn Fn(&str) -> bool,
    between: Between,
) -> Result<ParquetRecordBatchReader, String> {
    let entry = &file.entry;
    VerifiedFile::open(&file.path, entry.bytes, entry.blocks.clone())?.rows(wanted, between)
}

/// A batch with these columns: those it lacks are NULL, those of another type are cast.
pub(super) fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, String> {
    let column = |field: &FieldRef| -> Result<ArrayRef, String> {
        match batch.column_by_name(field.name()) {
            None => Ok(new_null_array(field.data_type(), batch.num_rows())),
            Some(column) if column.data_type() == field.data_type() => Ok(column.clone()),
            Some(column) => cast(column, field.data_type())
                .map_err(|error| format!("its column `{}`: {error}", field.name())),
        }
    };
    let columns = schema.fields().iter().map(column).collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let fields = schema.fields().iter().map(|f| Arc::new(f.as_ref().clone().with_nullable(true)));
    let nullable = Arc::new(Schema::new(fields.collect::<Vec<FieldRef>>()));
    RecordBatch::try_new_with_options(nullable, columns, &options).map_err(|e| e.to_string())
}

/// Which rows have a time in the range; `None` if there is no time, or all may be.
fn within(batch: &RecordBatch, (from, to): Between) -> Option<BooleanArray> {
    if from.is_none() && to.is_none() {
        return None;
    }
    let time = batch.column_by_name(TIME)?.as_primitive_opt::<TimestampMillisecondType>()?;
    let inside = |t: i64| from.is_none_or(|from| from <= t) && to.is_none_or(|to| t < to);
    Some(time.iter().map(|t| t.map(inside)).collect())
}

fn narrower((a, b): Between, (c, d): Between) -> Between {
    (a.max(c), b.into_iter().chain(d).min())
}

fn overlap((first, last): (i64, i64), (from, to): Between) -> bool {
    from.is_none_or(|from| last >= from) && to.is_none_or(|to| first < to)
}

/// Files one after the other, oldest first, then the rows in memory.
struct Scan {
    schema: SchemaRef,
    files: VecDeque<Arc<HistoryFile>>,
    open: Option<(Arc<HistoryFile>, ParquetRecordBatchReader)>,
    rows: VecDeque<Held>,
    between: Between,
    log: Arc<Mutex<ScanLog>>,
}

impl Scan {
    /// What of a batch is wanted, and counted.
    fn taken(&self, mut batch: RecordBatch) -> Result<RecordBatch, String> {
        if let Some(keep) = within(&batch, self.between) {
            batch = filter_record_batch(&batch, &keep).map_err(|error| error.to_string())?;
        }
        let batch = conform(&batch, &self.schema)?;
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.rows += batch.num_rows() as u64;
        log.bytes += ring::bytes(&batch) as u64;
        Ok(batch)
    }

    /// Whether a column is wanted, or the time that tells which rows are.
    fn wants(&self, name: &str) -> bool {
        self.schema.field_with_name(name).is_ok() || (self.between != (None, None) && name == TIME)
    }

    /// The wanted rows of some in memory.
    fn held(&self, held: &Held) -> Result<RecordBatch, String> {
        let mut batch = held.rows(&|name| self.wants(name))?;
        let fields = batch.schema();
        let fields = fields.fields().iter().enumerate();
        let wanted: Vec<usize> =
            fields.filter(|(_, field)| self.wants(field.name())).map(|(at, _)| at).collect();
        batch = batch.project(&wanted).map_err(|error| error.to_string())?;
        self.taken(batch)
    }

    fn next_file(&mut self) -> Option<()> {
        let file = self.files.pop_front()?;
        let opened = open(&file, &|name| self.wants(name), self.between);
        match opened {
            Ok(reader) => {
                let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
                log.files.insert(file.relative.clone());
                drop(log);
                self.open = Some((file, reader));
            }
            Err(reason) => self.unreadable(&file, &reason),
        }
        Some(())
    }

    /// A file, or the rest of one, is not in the answer.
    fn unreadable(&self, file: &HistoryFile, reason: &str) {
        files::report(file, reason);
        let detail = format!("{}: {reason}", file.relative);
        let gap = HistoryGap::new(&file.entry.table, Loss::Unreadable, file.entry.extent, &detail);
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        if !log.gaps.contains(&gap) {
            log.gaps.push(gap);
        }
    }
}

impl Iterator for Scan {
    type Item = Result<RecordBatch, String>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((file, mut reader)) = self.open.take() {
                let batch = match reader.next() {
                    None => continue,
                    Some(batch) => batch.map_err(|e| e.to_string()).and_then(|b| self.taken(b)),
                };
                match batch {
                    Ok(batch) => {
                        self.open = Some((file, reader));
                        if batch.num_rows() > 0 {
                            return Some(Ok(batch));
                        }
                    }
                    Err(reason) => self.unreadable(&file, &reason),
                }
                continue;
            }
            if self.next_file().is_some() {
                continue;
            }
            let held = self.rows.pop_front()?;
            if held.extent().times.is_some_and(|times| !overlap(times, self.between)) {
                continue;
            }
            match self.held(&held) {
                Ok(batch) if batch.num_rows() == 0 => {}
                batch => return Some(batch),
            }
        }
    }
}
