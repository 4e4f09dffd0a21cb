//! Recent events in memory, for hunts: a ring of batches per table, bounded in bytes. Not durable,
//! not used by detection.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use arrow::{array::ArrayData, buffer::Buffer, compute::concat_batches, record_batch::RecordBatch};
use sluice_event::{EventBatch, TableName};
use sluice_sql::{Cancel, Lookups, QueryLimits, QueryResult, SqlError, query_with};

/// Rows of batches that were put together, at most.
const MERGED_ROWS: usize = 4_096;

/// The newest rows of every table. Cheap to clone; clones share the rows.
#[derive(Clone, Debug)]
pub struct EventHistory {
    rings: Arc<Mutex<BTreeMap<TableName, Ring>>>,
    lookups: Arc<Mutex<Lookups>>,
    table_bytes: usize,
}

#[derive(Debug, Default)]
struct Ring {
    batches: VecDeque<(RecordBatch, usize)>,
    bytes: usize,
    dropped_rows: u64,
}

/// The answer to a hunt.
#[derive(Clone, Debug)]
pub struct HuntResult {
    /// Rows and whether they were cut off.
    pub result: QueryResult,
    /// Rows looked at, all tables.
    pub rows_scanned: u64,
    /// Their bytes.
    pub bytes_scanned: u64,
    /// Per table of the history: the event time its rows begin at, milliseconds, if any was dropped
    /// or not; `None` for an empty one.
    pub covers_from: BTreeMap<TableName, Option<i64>>,
}

impl EventHistory {
    /// A history that keeps at most so many bytes of each table.
    pub fn new(table_bytes: usize) -> Self {
        EventHistory { rings: Arc::default(), lookups: Arc::default(), table_bytes }
    }

    /// Sets the lookups that hunts ask.
    pub fn know(&self, lookups: &Lookups) {
        *self.lookups.lock().unwrap_or_else(PoisonError::into_inner) = lookups.clone();
    }

    /// Adds rows; the oldest batches of the table make room.
    pub fn push(&self, batch: &EventBatch) {
        let mut rings = self.rings.lock().unwrap_or_else(PoisonError::into_inner);
        rings.entry(batch.table.clone()).or_default().push(batch.columns.clone(), self.table_bytes);
    }

    /// Per table: rows held, their bytes, and rows dropped to make room.
    pub fn sizes(&self) -> BTreeMap<TableName, (u64, usize, u64)> {
        let rings = self.rings.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = |ring: &Ring| ring.batches.iter().map(|(b, _)| b.num_rows() as u64).sum();
        rings.iter().map(|(t, r)| (t.clone(), (rows(r), r.bytes, r.dropped_rows))).collect()
    }

    /// Runs sandboxed SQL over the rows held now. Blocks until it is done or its deadline.
    ///
    /// # Errors
    /// What is wrong with the SQL, or the limit it hit.
    pub fn hunt(&self, sql: &str, limits: QueryLimits) -> Result<HuntResult, SqlError> {
        self.hunt_between(sql, (None, None), limits, &Cancel::default())
    }

    /// [`EventHistory::hunt`] over the rows whose event time is at or after the first time and
    /// before the second, milliseconds; the others are not scanned. Ends soon after it is cancelled.
    ///
    /// # Errors
    /// What is wrong with the SQL, or the limit it hit.
    pub fn hunt_between(
        &self,
        sql: &str,
        between: (Option<i64>, Option<i64>),
        limits: QueryLimits,
        cancel: &Cancel,
    ) -> Result<HuntResult, SqlError> {
        self.hunt_beside(sql, BTreeMap::new(), between, limits, cancel)
    }

    /// [`EventHistory::hunt_between`] with these tables beside those of events.
    ///
    /// # Errors
    /// What is wrong with the SQL, or the limit it hit.
    pub fn hunt_beside(
        &self,
        sql: &str,
        beside: BTreeMap<TableName, Vec<RecordBatch>>,
        between: (Option<i64>, Option<i64>),
        limits: QueryLimits,
        cancel: &Cancel,
    ) -> Result<HuntResult, SqlError> {
        let mut tables: BTreeMap<TableName, Vec<RecordBatch>> = {
            let rings = self.rings.lock().unwrap_or_else(PoisonError::into_inner);
            let batches = |ring: &Ring| ring.batches.iter().map(|(b, _)| b.clone()).collect();
            rings.iter().map(|(table, ring)| (table.clone(), batches(ring))).collect()
        };
        tables.extend(beside);
        let covers_from = tables.iter().map(|(t, b)| (t.clone(), oldest(b))).collect();
        let tables: BTreeMap<TableName, Vec<RecordBatch>> = tables
            .into_iter()
            .map(|(table, batches)| Ok((table, within(batches, between)?)))
            .collect::<Result<_, SqlError>>()?;
        let lookups = self.lookups.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let result = query_with(sql, &tables, &lookups, limits, cancel)?;
        let all = || tables.values().flatten();
        Ok(HuntResult {
            result,
            rows_scanned: all().map(|b| b.num_rows() as u64).sum(),
            bytes_scanned: all().map(|b| bytes(b) as u64).sum(),
            covers_from,
        })
    }
}

impl Ring {
    /// Adds rows to those of small batches before them: a batch of a single row takes as much memory
    /// beside its values as one of thousands, and a hunt looks at each. A batch is put together with
    /// others of its size, so that each row is copied a few times at most.
    fn push(&mut self, mut batch: RecordBatch, most: usize) {
        while let Some((last, size)) = self.batches.back()
            && last.num_rows() <= 2 * batch.num_rows()
            && last.num_rows() + batch.num_rows() <= MERGED_ROWS
            // They differ across a reload.
            && last.schema() == batch.schema()
        {
            let Ok(merged) = concat_batches(&last.schema(), [last, &batch]) else { break };
            self.bytes -= size;
            self.batches.pop_back();
            batch = merged;
        }
        let size = bytes(&batch);
        self.bytes += size;
        self.batches.push_back((batch, size));
        while self.bytes > most
            && let Some((old, size)) = self.batches.pop_front()
        {
            self.bytes -= size;
            self.dropped_rows += old.num_rows() as u64;
        }
    }
}

/// Bytes of a column of a batch beside its values.
const COLUMN_BYTES: usize = 160;

/// The memory a batch takes. Columns share buffers (an entity is often a user's name as it is), which
/// count once; columns that are all NULL share theirs with other batches and do not count.
fn bytes(batch: &RecordBatch) -> usize {
    fn add(data: &ArrayData, seen: &mut BTreeSet<usize>) -> usize {
        let nulls = data.nulls().map(|nulls| nulls.buffer());
        let own: usize = data
            .buffers()
            .iter()
            .chain(nulls)
            .filter(|buffer| seen.insert(buffer.data_ptr().as_ptr() as usize))
            .map(Buffer::capacity)
            .sum();
        own + data.child_data().iter().map(|child| add(child, seen)).sum::<usize>()
    }
    let mut seen = BTreeSet::new();
    let columns = batch.columns().iter().filter(|column| column.null_count() < column.len());
    let values: usize = columns.map(|column| add(&column.to_data(), &mut seen)).sum();
    values + batch.num_columns() * COLUMN_BYTES
}

/// The rows with a time in the range; a table that is left without any keeps an empty batch, so that
/// it can still be named.
fn within(
    mut batches: Vec<RecordBatch>,
    (from, to): (Option<i64>, Option<i64>),
) -> Result<Vec<RecordBatch>, SqlError> {
    use arrow::{
        array::{AsArray, BooleanArray},
        compute::filter_record_batch,
        datatypes::TimestampMillisecondType,
    };
    if from.is_none() && to.is_none() {
        return Ok(batches);
    }
    for batch in &mut batches {
        let time = batch.column_by_name("time");
        let Some(time) = time.and_then(|t| t.as_primitive_opt::<TimestampMillisecondType>()) else {
            continue;
        };
        let inside = |t: i64| from.is_none_or(|from| from <= t) && to.is_none_or(|to| t < to);
        let keep: BooleanArray = time.iter().map(|t| t.map(inside)).collect();
        *batch = filter_record_batch(batch, &keep).map_err(|e| SqlError::Failed(e.to_string()))?;
    }
    let empty = batches.first().map(|b| b.slice(0, 0));
    batches.retain(|b| b.num_rows() > 0);
    if batches.is_empty() {
        batches.extend(empty);
    }
    Ok(batches)
}

fn oldest(batches: &[RecordBatch]) -> Option<i64> {
    use arrow::{array::AsArray, datatypes::TimestampMillisecondType};
    batches
        .iter()
        .filter_map(|b| {
            let time = b.column_by_name("time")?;
            let time = time.as_primitive_opt::<TimestampMillisecondType>()?;
            time.values().iter().min().copied()
        })
        .min()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, AsArray, Int64Array, StringArray, new_null_array};
    use arrow::datatypes::DataType;

    use super::*;

    #[test]
    fn shared_buffers_count_once_and_nulls_not_at_all() {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..1_000));
        let texts: ArrayRef =
            Arc::new(StringArray::from_iter_values((0..1_000).map(|n| n.to_string())));
        let nulls = new_null_array(&DataType::Utf8, 1_000);
        let batch = |columns: Vec<(&str, &ArrayRef)>| {
            let columns = columns.into_iter().map(|(name, array)| (name, array.clone()));
            RecordBatch::try_from_iter(columns).unwrap()
        };
        let one = bytes(&batch(vec![("a", &numbers), ("b", &texts)]));
        assert!((8_000 + 4_000 + 2_890..40_000).contains(&one), "{one}");
        let shared =
            [("a", &numbers), ("b", &texts), ("c", &texts), ("d", &nulls), ("e", &numbers)];
        assert_eq!(bytes(&batch(shared.to_vec())), one + 3 * COLUMN_BYTES);
    }

    #[test]
    fn rows_that_come_one_by_one_are_put_together_in_order() {
        let row = |n: i64| {
            let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values([n]));
            RecordBatch::try_from_iter([("n", numbers)]).unwrap()
        };
        let mut ring = Ring::default();
        (0..10_000).for_each(|n| ring.push(row(n), usize::MAX));
        assert!(ring.batches.len() < 20, "{}", ring.batches.len());
        let sizes: usize = ring.batches.iter().map(|(batch, _)| bytes(batch)).sum();
        assert_eq!(ring.bytes, sizes);
        let rows: Vec<i64> = ring
            .batches
            .iter()
            .flat_map(|(batch, _)| {
                let numbers = batch.column(0).as_primitive::<arrow::datatypes::Int64Type>();
                numbers.values().to_vec()
            })
            .collect();
        assert_eq!(rows, Vec::from_iter(0..10_000));
        // What does not fit goes, the oldest first.
        let most = ring.bytes / 2;
        ring.push(row(10_000), most);
        assert!(ring.bytes <= most && ring.dropped_rows >= 4_096);
        let held: usize = ring.batches.iter().map(|(batch, _)| batch.num_rows()).sum();
        assert_eq!(ring.dropped_rows as usize + held, 10_001);
    }
}
