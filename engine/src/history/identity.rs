//! What the identity of a row is computed from, kept beside rows that are in memory until a checkpoint
//! covers them. Whoever adds rows only copies the record; the hash of it is computed where rows are sealed,
//! or when a hunt asks for `event_uid`.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BinaryViewBuilder, DictionaryArray, Int32Array, RecordBatch,
        StringArray, UInt16Array,
    },
    datatypes::{DataType, Field, FieldRef, Int32Type, Schema, UInt16Type},
};
use sluice_event::{EventBatch, EventUid};

/// The column it is for. Raw tables have none.
pub(super) const UID: &str = "event_uid";
const NATIVE: &str = "native_uid";
// No table has such names.
const RECORD: &str = "@record";
const TENANT: &str = "@tenant";
const SOURCE: &str = "@source";
const TABLE: &str = "@table";
const SUB_INDEX: &str = "@sub_index";
const HIDDEN: [&str; 5] = [RECORD, TENANT, SOURCE, TABLE, SUB_INDEX];

/// The rows of a batch, with what their identity is computed from in columns that no hunt sees.
pub(super) fn with_records(batch: &EventBatch) -> RecordBatch {
    let columns = &batch.columns;
    let rows = columns.num_rows();
    let is_complete = columns.column_by_name(UID).is_none_or(|uid| uid.null_count() == 0);
    if is_complete || batch.record.len() != rows || batch.sub_index.len() != rows {
        return columns.clone();
    }
    let native = native(columns);
    let record = |row: usize| match &native {
        Some(native) if native.is_valid(row) => None,
        _ => batch.record.get(row).map(|record| *record as usize),
    };
    if (0..rows).filter_map(record).any(|record| record >= batch.records.len()) {
        // Rows that come from no record.
        return columns.clone();
    }
    let total: usize = (0..rows).filter_map(record).map(|r| batch.records.get(r).len()).sum();
    let block = u32::try_from(total).unwrap_or(u32::MAX).max(1);
    let mut records = BinaryViewBuilder::with_capacity(rows).with_fixed_block_size(block);
    (0..rows).for_each(|row| records.append_option(record(row).map(|r| batch.records.get(r))));
    let same = |text: &str| -> ArrayRef {
        let values = Arc::new(StringArray::from_iter_values([text]));
        Arc::new(DictionaryArray::new(Int32Array::from(vec![0; rows]), values))
    };
    let hidden: [ArrayRef; 5] = [
        Arc::new(records.finish()),
        same(&batch.origin.tenant),
        same(&batch.origin.source),
        same(batch.table.as_str()),
        Arc::new(UInt16Array::from(batch.sub_index.clone())),
    ];
    let fields = HIDDEN.into_iter().zip(&hidden).map(|(name, column)| {
        Arc::new(Field::new(name, column.data_type().clone(), true)) as FieldRef
    });
    let fields = columns.schema_ref().fields().iter().cloned().chain(fields);
    let schema = Arc::new(Schema::new(fields.collect::<Vec<FieldRef>>()));
    let all = columns.columns().iter().cloned().chain(hidden).collect();
    // They are as long as the others.
    RecordBatch::try_new(schema, all).unwrap_or_else(|_| columns.clone())
}

/// The same rows without what their identity is computed from.
pub(super) fn without_records(batch: &RecordBatch) -> RecordBatch {
    let kept = batch.schema_ref().fields().iter().enumerate();
    let kept = kept.filter(|(_, field)| !HIDDEN.contains(&field.name().as_str()));
    let kept: Vec<usize> = kept.map(|(at, _)| at).collect();
    match kept.len() == batch.num_columns() {
        true => batch.clone(),
        false => batch.project(&kept).unwrap_or_else(|_| batch.clone()),
    }
}

/// The same rows with their `event_uid`, as [`EventBatch::uid`] has it, where it can be computed.
pub(super) fn identified(batch: &RecordBatch) -> RecordBatch {
    uids(batch).map_or_else(|| without_records(batch), |uids| with_uids(batch, uids))
}

fn uids(batch: &RecordBatch) -> Option<StringArray> {
    let text = |name: &str| {
        let column = batch.column_by_name(name)?.as_dictionary_opt::<Int32Type>()?;
        column.downcast_dict::<StringArray>()
    };
    let records = batch.column_by_name(RECORD)?.as_binary_view_opt()?;
    let sub_index = batch.column_by_name(SUB_INDEX)?.as_primitive_opt::<UInt16Type>()?;
    let (tenants, sources, tables) = (text(TENANT)?, text(SOURCE)?, text(TABLE)?);
    let (tenants, sources, tables) = (tenants.into_iter(), sources.into_iter(), tables.into_iter());
    let native = native(batch);
    let known = batch.column_by_name(UID)?.as_string_opt::<i32>()?;
    let origins = tenants.into_iter().zip(sources).zip(tables);
    let uids = origins.enumerate().map(|(row, ((tenant, source), table))| {
        if known.is_valid(row) {
            return Some(known.value(row).to_owned());
        }
        let native = native.filter(|native| native.is_valid(row)).map(|n| n.value(row).as_bytes());
        let record = records.is_valid(row).then(|| records.value(row));
        let (is_native, identity) = (native.is_some(), native.or(record)?);
        let sub_index = sub_index.value(row);
        let uid = EventUid::derive(tenant?, source?, identity, is_native, table?, sub_index);
        Some(uid.to_string())
    });
    Some(uids.collect())
}

fn with_uids(batch: &RecordBatch, uids: StringArray) -> RecordBatch {
    let plain = without_records(batch);
    let Ok(at) = plain.schema_ref().index_of(UID) else { return plain };
    let mut columns = plain.columns().to_vec();
    if let Some(column) = columns.get_mut(at).filter(|c| *c.data_type() == DataType::Utf8) {
        *column = Arc::new(uids);
    }
    RecordBatch::try_new(plain.schema(), columns).unwrap_or(plain)
}

fn native(columns: &RecordBatch) -> Option<&StringArray> {
    columns.column_by_name(NATIVE)?.as_string_opt::<i32>()
}

#[cfg(test)]
mod tests {
    use arrow::{compute::concat_batches, datatypes::TimestampMillisecondType};
    use sluice_event::{Origin, PartitionId, Records, Schema, TableName, TimeSettings};

    use super::*;
    use crate::history::{EventHistory, reader::conform, ring};

    /// A row a record; every third has an id of its source, and the last one is of the first record.
    fn batch(from: usize, rows: usize) -> EventBatch {
        let texts: Vec<String> = (from..from + rows).map(|n| format!("record {n}")).collect();
        let mut spans = Vec::new();
        let bytes = texts.iter().fold(Vec::<u8>::new(), |mut bytes, text| {
            spans.push(bytes.len()..bytes.len() + text.len());
            bytes.extend(text.as_bytes());
            bytes
        });
        let time: ArrayRef = Arc::new(
            arrow::array::PrimitiveArray::<TimestampMillisecondType>::from_iter_values(
                (from..from + rows).map(|n| 1_767_225_600_000 + n as i64 * 60_000),
            )
            .with_timezone("UTC"),
        );
        let ids = (from..from + rows).map(|n| (n % 3 == 0).then(|| format!("id{n}")));
        let native: ArrayRef = Arc::new(StringArray::from_iter(ids));
        let some = RecordBatch::try_from_iter([("time", time), (NATIVE, native)]).unwrap();
        let schema = Schema::builtin().table("authentication").unwrap().arrow.clone();
        let mut record: Vec<u32> = (0..rows as u32).collect();
        let mut sub_index = vec![0; rows];
        if let (Some(record), Some(sub_index)) = (record.last_mut(), sub_index.last_mut()) {
            (*record, *sub_index) = (0, 1);
        }
        EventBatch {
            table: TableName::new("authentication"),
            columns: conform(&some, &schema).unwrap(),
            origin: Arc::new(Origin {
                source: format!("source{}", from % 2).into(),
                tenant: "default".into(),
                partition: PartitionId(0),
                time: TimeSettings::default(),
            }),
            records: Records::new(bytes.into(), spans),
            record,
            sub_index,
            seen_before: vec![i64::MIN; rows],
        }
    }

    fn column(batch: &RecordBatch) -> Vec<Option<String>> {
        let uids = batch.column_by_name(UID).unwrap().as_string::<i32>();
        uids.iter().map(|uid| uid.map(str::to_owned)).collect()
    }

    fn expected(batch: &EventBatch) -> Vec<Option<String>> {
        (0..batch.len()).map(|row| Some(batch.uid(row).to_string())).collect()
    }

    #[test]
    fn rows_have_the_identity_that_findings_show() {
        let (one, other) = (batch(0, 7), batch(7, 5));
        let (a, b) = (with_records(&one), with_records(&other));
        assert_eq!(column(&identified(&a)), expected(&one));
        assert_eq!(identified(&a).schema(), one.columns.schema());
        let together = concat_batches(&a.schema(), [&a, &b]).unwrap();
        assert_eq!(column(&identified(&together)), [expected(&one), expected(&other)].concat());
        assert_eq!(without_records(&a), one.columns);
        assert_eq!(identified(&one.columns), one.columns, "nothing is known of its records");
        let mut of_no_record = batch(0, 2);
        of_no_record.records = Records::new(Vec::<u8>::new().into(), Vec::new());
        assert_eq!(with_records(&of_no_record), of_no_record.columns);
    }

    #[test]
    fn rows_beyond_the_bound_lose_their_records_before_any_row_goes() {
        let rows = batch(0, 3_000);
        let (plain, whole) = (rows.columns.clone(), with_records(&rows));
        let (plain, whole) = (ring::bytes(&plain), ring::bytes(&whole));
        // Room for the records of one of two batches, and half of another.
        let history = EventHistory::new(plain + whole + (whole - plain) / 2);
        history.push(&rows);
        history.push(&batch(3_000, 3_000));
        let sql = "SELECT count(*) AS n, count(event_uid) AS known FROM authentication";
        let found = history.hunt(sql, Default::default()).unwrap();
        let number = |column: usize| {
            let numbers = found.result.batches[0].column(column);
            numbers.as_primitive::<arrow::datatypes::Int64Type>().value(0)
        };
        assert_eq!((number(0), number(1)), (6_000, 3_000));
    }
}
