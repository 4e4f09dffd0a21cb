//! Rows of tables from JSON, one at a time, into a [`Replay`]. Engine columns are filled as at
//! mapping.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{
        ArrayRef, BooleanArray, Float64Array, Int64Array, ListBuilder, StringArray, StringBuilder,
        TimestampMillisecondArray, new_null_array,
    },
    compute::{cast, concat_batches},
    datatypes::{DataType, SchemaRef},
    record_batch::RecordBatch,
};
use serde_json::Value;
use sluice_event::{Aliases, EventBatch, Fill, PartitionId, Schema, TableName, TableSchema, fill};
use sluice_rule::resolve_time;

use super::{Replay, ReplayRow};
use crate::Partition;

/// Collects rows in order of arrival.
#[derive(Debug)]
pub struct ReplayBuilder {
    partitions: Vec<Partition>,
    batches: BTreeMap<TableName, Vec<RecordBatch>>,
    rows: Vec<ReplayRow>,
    aliases: Aliases,
}

impl ReplayBuilder {
    /// No rows yet. If a partition names no tables it gets those of the rows added.
    pub fn new(partitions: Vec<Partition>) -> Self {
        let (batches, rows) = (BTreeMap::new(), Vec::new());
        ReplayBuilder { partitions, batches, rows, aliases: Aliases::default() }
    }

    /// With other names of users and devices; to be said before the first row.
    #[must_use]
    pub fn knowing(mut self, aliases: &Aliases) -> Self {
        self.aliases = aliases.clone();
        self
    }

    /// Adds a row of a typed table.
    ///
    /// # Errors
    /// If there is no such table or column, or a value is not of its column's type.
    pub fn row(
        &mut self,
        partition: PartitionId,
        table: &TableName,
        time: i64,
        values: &BTreeMap<String, Value>,
    ) -> Result<(), String> {
        if table.is_findings() {
            return self.finding(partition, table, time, values);
        }
        let schema =
            Schema::builtin().table(table.as_str()).ok_or_else(|| format!("no table `{table}`"))?;
        if let Some(unknown) = values.keys().find(|k| schema.index(k).is_none()) {
            return Err(format!("no column `{unknown}` in `{table}`"));
        }
        let rows = cells(schema, &schema.arrow, time, values)?;
        let context = Fill {
            source: "replay",
            vendor: None,
            product: None,
            tenant: "default",
            ingest_time: &[time],
            class_uid: None,
            aliases: Some(&self.aliases),
        };
        let rows = fill(rows, schema, &context);
        // Rows that look alike are the same record sent twice only if they share a native id.
        let original = format!("{time} {values:?}");
        self.push(partition, table, rows, time, original.into_bytes());
        Ok(())
    }

    /// Adds a finding, as rules over `findings` read it. One that is given no id has one of its own.
    fn finding(
        &mut self,
        partition: PartitionId,
        table: &TableName,
        time: i64,
        values: &BTreeMap<String, Value>,
    ) -> Result<(), String> {
        let schema = Schema::any("findings").ok_or("no table `findings`")?;
        if let Some(unknown) = values.keys().find(|k| schema.rules.index_of(k).is_err()) {
            return Err(format!("no column `{unknown}` in `findings` that rules read"));
        }
        let mut values = values.clone();
        let number = self.rows.len();
        values.entry("id".to_owned()).or_insert_with(|| format!("{number:032x}").into());
        values.insert("source".to_owned(), "findings".into());
        let rows = cells(schema, &schema.rules, time, &values)?;
        self.push(partition, table, rows, time, format!("{time} {values:?}").into_bytes());
        Ok(())
    }

    /// Adds rows that a mapping made.
    pub fn batch(&mut self, partition: PartitionId, batch: &EventBatch) {
        for (row, time) in batch.times().iter().enumerate() {
            let one = batch.columns.slice(row, 1);
            self.push(partition, &batch.table, one, *time, batch.original(row).to_vec());
        }
    }

    /// Everything added.
    ///
    /// # Errors
    /// If rows of one table have different schemas.
    pub fn finish(mut self) -> Result<Replay, String> {
        let mut tables = BTreeMap::new();
        for (table, batches) in self.batches {
            let rows = concat_batches(&batches[0].schema(), &batches).map_err(|e| e.to_string())?;
            tables.insert(table, rows);
        }
        for partition in self.partitions.iter_mut().filter(|p| p.tables.is_empty()) {
            partition.tables = tables.keys().cloned().collect();
        }
        Ok(Replay { partitions: self.partitions, tables, rows: self.rows })
    }

    fn push(
        &mut self,
        partition: PartitionId,
        table: &TableName,
        row: RecordBatch,
        time: i64,
        original: Vec<u8>,
    ) {
        let batches = self.batches.entry(table.clone()).or_default();
        self.rows.push(ReplayRow {
            partition,
            table: table.clone(),
            index: batches.len() as u32,
            time,
            original: original.into(),
        });
        batches.push(row);
    }
}

/// One row of a table.
fn cells(
    table: &TableSchema,
    schema: &SchemaRef,
    time: i64,
    values: &BTreeMap<String, Value>,
) -> Result<RecordBatch, String> {
    let columns = table.columns.iter().zip(schema.fields()).map(|(column, field)| {
        let array = if column.name == "time" {
            array(Some(&Value::String(sluice_event::rfc3339(time))), field.data_type())
        } else {
            array(values.get(column.name), field.data_type())
        };
        array.ok_or_else(|| format!("`{}` is not a {}", column.name, column.kind.name()))
    });
    let columns = columns.collect::<Result<_, _>>()?;
    RecordBatch::try_new(schema.clone(), columns).map_err(|e| e.to_string())
}

/// One value as a column of one row; `None` if it is not of the type.
fn array(value: Option<&Value>, data_type: &DataType) -> Option<ArrayRef> {
    let value = match value {
        None | Some(Value::Null) => {
            return Some(match data_type {
                DataType::List(_) => list(&[])?,
                _ => new_null_array(data_type, 1),
            });
        }
        Some(value) => value,
    };
    let built: ArrayRef = match data_type {
        DataType::Timestamp(_, zone) => {
            let time = resolve_time(value.as_str()?)?;
            Arc::new(TimestampMillisecondArray::from(vec![time]).with_timezone_opt(zone.clone()))
        }
        DataType::Boolean => Arc::new(BooleanArray::from(vec![value.as_bool()?])),
        DataType::List(_) => list(value.as_array()?)?,
        t if t.is_integer() => Arc::new(Int64Array::from(vec![value.as_i64()?])),
        t if t.is_floating() => Arc::new(Float64Array::from(vec![value.as_f64()?])),
        _ => Arc::new(StringArray::from(vec![match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            other => other.to_string(),
        }])),
    };
    cast(&built, data_type).ok()
}

fn list(values: &[Value]) -> Option<ArrayRef> {
    let mut builder = ListBuilder::new(StringBuilder::new());
    for value in values {
        builder.values().append_value(value.as_str()?);
    }
    builder.append(true);
    Some(Arc::new(builder.finish()))
}
