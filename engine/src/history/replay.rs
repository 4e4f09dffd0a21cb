//! The history as an input that ends: hour by hour, each table a partition. For what learns from events that
//! were there before it. Not for detection: rows come without their original bytes.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use arrow::{
    array::{Array, AsArray, StringArray, UInt32Array},
    compute::{cast, take_record_batch},
    datatypes::{DataType, TimestampMillisecondType},
    record_batch::RecordBatch,
};
use sluice_event::{EventBatch, Origin, PartitionId, Records, TableName, TimeSettings};
use sluice_sql::{StoredBatches, StoredRows, Wanted};

use super::{
    EventHistory,
    reader::{HistoryGap, ScanLog},
};
use crate::{Delivery, EngineError, Partition, Progress, Source};

const HOUR: i64 = 3_600_000;

/// Rows of one hour come in any order, and those of a source may be an hour behind others.
const TIME: TimeSettings =
    TimeSettings { delay: 2 * HOUR, lateness: 2 * HOUR, max_skew: 0, idle: 0 };

/// Events of some tables, oldest hour first.
pub struct HistorySource {
    tenant: Arc<str>,
    tables: Vec<(TableName, Arc<dyn StoredRows>)>,
    log: Arc<Mutex<ScanLog>>,
    /// Starts of hours that have rows.
    hours: VecDeque<i64>,
    /// Of the hour at hand: tables that are not read yet.
    left: VecDeque<(usize, i64)>,
    reading: Option<(usize, StoredBatches)>,
    /// Rows of a batch, by their mapping source.
    queue: VecDeque<Delivery>,
    /// By table: the greatest event time so far.
    seen: Vec<i64>,
    ended: usize,
    /// Rows given, by which those without an id of their source are told apart.
    rows: u64,
}

impl EventHistory {
    /// The rows of these tables that are there now, as an input.
    pub fn source(&self, tables: &BTreeSet<TableName>, tenant: &str) -> HistorySource {
        let log = Arc::<Mutex<ScanLog>>::default();
        let (views, _) = self.views((None, None), &log);
        let views: BTreeMap<_, _> =
            views.into_iter().filter(|(name, _)| tables.contains(name)).collect();
        let (mut hours, mut rows) = (BTreeSet::new(), Vec::new());
        let held = self.inner.tables();
        for (_, table) in held.all.iter().filter(|(name, _)| tables.contains(name)) {
            // A file has rows of one hour.
            let files = table.files.iter().filter_map(|file| Some(file.entry.extent.times?.0));
            hours.extend(files.map(start));
            rows.extend(table.ring.all().cloned());
        }
        drop(held);
        // Not behind the lock that workers take.
        for batch in rows.iter().filter_map(|held| held.rows(&|name| name == "time").ok()) {
            let time = batch.column_by_name("time");
            let time = time.and_then(|t| t.as_primitive_opt::<TimestampMillisecondType>());
            hours.extend(time.into_iter().flatten().flatten().map(start));
        }
        HistorySource {
            tenant: tenant.into(),
            seen: vec![i64::MIN; views.len()],
            tables: views.into_iter().collect(),
            log,
            hours: hours.into_iter().collect(),
            left: VecDeque::new(),
            reading: None,
            queue: VecDeque::new(),
            ended: 0,
            rows: 0,
        }
    }
}

/// The start of the hour of a time.
fn start(time: i64) -> i64 {
    time.div_euclid(HOUR).saturating_mul(HOUR)
}

impl HistorySource {
    /// Rows that could not be read so far.
    pub fn gaps(&self) -> Vec<HistoryGap> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).gaps.clone()
    }

    /// Rows that were given so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    fn partition(index: usize) -> PartitionId {
        PartitionId(u32::try_from(index).unwrap_or(u32::MAX))
    }

    /// Rows of one batch as batches of one mapping source each.
    fn take(&mut self, index: usize, batch: &RecordBatch) -> Result<(), String> {
        let failed = |error: arrow::error::ArrowError| error.to_string();
        let column = batch.column_by_name("source").ok_or("its rows name no source")?;
        let column = cast(column, &DataType::Utf8).map_err(failed)?;
        let sources: &StringArray = column.as_string();
        let mut rows: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
        for (row, source) in (0_u32..).zip(sources) {
            rows.entry(source.unwrap_or("")).or_default().push(row);
        }
        for (source, rows) in rows {
            let columns = take_record_batch(batch, &UInt32Array::from(rows)).map_err(failed)?;
            let batch = self.batch(index, source, columns);
            self.queue.push_back(Delivery::Rows(batch));
        }
        Ok(())
    }

    fn batch(&mut self, index: usize, source: &str, columns: RecordBatch) -> EventBatch {
        let count = columns.num_rows();
        let mut bytes = Vec::with_capacity(count * 8);
        for _ in 0..count {
            self.rows += 1;
            bytes.extend(self.rows.to_be_bytes());
        }
        let spans = (0..count).map(|row| row * 8..row * 8 + 8).collect();
        let time = columns.column_by_name("time");
        let time = time.and_then(|t| t.as_primitive_opt::<TimestampMillisecondType>());
        let mut seen_before = Vec::with_capacity(count);
        if let Some(seen) = self.seen.get_mut(index) {
            for row in 0..count {
                seen_before.push(*seen);
                let at = time.filter(|time| time.is_valid(row)).map(|time| time.value(row));
                *seen = (*seen).max(at.unwrap_or(i64::MIN));
            }
        }
        EventBatch {
            table: self.tables.get(index).map_or_else(|| TableName::new(""), |(n, _)| n.clone()),
            columns,
            origin: Arc::new(Origin {
                source: source.into(),
                tenant: self.tenant.clone(),
                partition: Self::partition(index),
                time: TIME,
            }),
            records: Records::new(bytes.into(), spans),
            record: (0_u32..).take(count).collect(),
            sub_index: vec![0; count],
            seen_before,
        }
    }
}

impl Source for HistorySource {
    fn partitions(&self) -> Vec<Partition> {
        let of = |(index, (name, _)): (usize, &(TableName, Arc<dyn StoredRows>))| Partition {
            id: Self::partition(index),
            source: None,
            name: None,
            tables: vec![name.clone()],
            time: TIME,
        };
        self.tables.iter().enumerate().map(of).collect()
    }

    fn next(&mut self, _: &Progress) -> Result<Option<Delivery>, EngineError> {
        loop {
            if let Some(delivery) = self.queue.pop_front() {
                return Ok(Some(delivery));
            }
            if let Some((index, mut batches)) = self.reading.take() {
                let Some(batch) = batches.next() else { continue };
                self.reading = Some((index, batches));
                batch.and_then(|batch| self.take(index, &batch)).map_err(|reason| {
                    EngineError::Input { input: "history".to_owned(), source: reason.into() }
                })?;
                continue;
            }
            if let Some((index, hour)) = self.left.pop_front() {
                if let Some((_, rows)) = self.tables.get(index) {
                    let columns = rows.schema().fields().iter().map(|f| f.name().clone()).collect();
                    let (from, to) = (Some(hour), hour.checked_add(HOUR));
                    self.reading = Some((index, rows.scan(&Wanted { columns, from, to })));
                }
                continue;
            }
            if let Some(hour) = self.hours.pop_front() {
                self.left = (0..self.tables.len()).map(|index| (index, hour)).collect();
                continue;
            }
            if self.ended == self.tables.len() {
                return Ok(None);
            }
            self.ended += 1;
            return Ok(Some(Delivery::End(Self::partition(self.ended - 1))));
        }
    }
}
