//! Events of a case as rows of tables. Raw records go through their mapping like any other.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{
        ArrayRef, BooleanArray, Float64Array, Int64Array, ListBuilder, StringArray, StringBuilder,
        TimestampMillisecondArray, UInt32Array, new_null_array,
    },
    compute::{cast, concat_batches, take_record_batch},
    datatypes::DataType,
    record_batch::RecordBatch,
};
use serde_json::Value;
use sluice_event::{
    EventBatch, Fill, Origin, PartitionId, Records, Schema, TableName, TimeSettings, fill,
};
use sluice_ingest::Mapper;
use sluice_rule::{RuleTest, TestEvent, resolve_time};

use crate::{
    Content, Partition,
    replay::{Replay, ReplayRow},
};

/// The events of a case, in listing order, on one partition.
pub fn replay(content: &Content, case: &RuleTest) -> Result<Replay, String> {
    let time = TimeSettings {
        lateness: case.config.lateness.unwrap_or(TimeSettings::default().lateness),
        ..TimeSettings::default()
    };
    let mut collected = Collected::default();
    for (index, event) in case.events.iter().enumerate() {
        let at = |e: String| format!("event {}: {e}", index + 1);
        match (&event.table, &event.raw) {
            (Some(table), _) => collected.row(table, event, index).map_err(at)?,
            (None, Some(raw)) => collected.record(content, event, raw).map_err(at)?,
            (None, None) => return Err(at("needs `table` or `raw`".into())),
        }
    }
    collected.finish(time)
}

#[derive(Default)]
struct Collected {
    batches: BTreeMap<TableName, Vec<RecordBatch>>,
    rows: Vec<ReplayRow>,
}

impl Collected {
    fn row(&mut self, table: &TableName, event: &TestEvent, index: usize) -> Result<(), String> {
        let schema = Schema::builtin()
            .table(table.as_str())
            .ok_or_else(|| format!("no table `{table}`"))?;
        let mut columns = Vec::with_capacity(schema.columns.len());
        for column in &schema.columns {
            let value = match column.name {
                "time" => Some(Value::String(sluice_event::rfc3339(event.time))),
                name => event.columns.get(name).cloned(),
            };
            let field = schema.arrow.field_with_name(column.name).map_err(|e| e.to_string())?;
            let array = array(value.as_ref(), field.data_type())
                .ok_or_else(|| format!("`{}` is not a {}", column.name, column.kind.name()))?;
            columns.push(array);
        }
        if let Some(unknown) = event.columns.keys().find(|k| schema.index(k).is_none()) {
            return Err(format!("no column `{unknown}` in `{table}`"));
        }
        let rows = RecordBatch::try_new(schema.arrow.clone(), columns).map_err(|e| e.to_string())?;
        let context = Fill { source: "rule test", tenant: "default", ..Fill::default() };
        let rows = fill(rows, schema, &context);
        let original = format!("{index} {:?}", event.columns);
        self.push(table, rows, event.time, original.into_bytes());
        Ok(())
    }

    /// Runs a wire record through the mapping of its source.
    fn record(&mut self, content: &Content, event: &TestEvent, raw: &str) -> Result<(), String> {
        let source = event.source.as_deref().ok_or("`raw` needs `source`")?;
        let spec = content
            .sources
            .iter()
            .find(|s| *s.source == *source)
            .ok_or_else(|| format!("no source `{source}`"))?;
        let mut mapper = Mapper::new(
            spec.clone(),
            "default",
            PartitionId(0),
            TimeSettings::default(),
            true,
            i64::MIN,
        );
        let chunk = sluice_ingest::Chunk::of_text(PartitionId(0), raw, event.time);
        let decoded = mapper.decode(&chunk);
        let processed = mapper.map(decoded);
        if let Some(letter) = processed.dead_letters.first() {
            return Err(format!("{}: {}", letter.code.name(), letter.message));
        }
        for batch in processed.batches {
            for row in 0..batch.len() {
                let one = batch.columns.slice(row, 1);
                let time = batch.times()[row];
                let original = batch.original(row).to_vec();
                self.push(&batch.table.clone(), one, time, original);
            }
        }
        Ok(())
    }

    fn push(&mut self, table: &TableName, row: RecordBatch, time: i64, original: Vec<u8>) {
        let batches = self.batches.entry(table.clone()).or_default();
        self.rows.push(ReplayRow {
            partition: PartitionId(0),
            table: table.clone(),
            index: batches.len() as u32,
            time,
            original: original.into(),
        });
        batches.push(row);
    }

    fn finish(self, time: TimeSettings) -> Result<Replay, String> {
        let tables = self
            .batches
            .into_iter()
            .map(|(table, batches)| {
                let rows = concat_batches(&batches[0].schema(), &batches)
                    .map_err(|e| e.to_string())?;
                Ok((table, rows))
            })
            .collect::<Result<BTreeMap<_, _>, String>>()?;
        let partition = Partition {
            id: PartitionId(0),
            source: None,
            tables: tables.keys().cloned().collect(),
            time,
        };
        Ok(Replay { partitions: vec![partition], tables, rows: self.rows })
    }
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
            Arc::new(
                TimestampMillisecondArray::from(vec![time]).with_timezone_opt(zone.clone()),
            )
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

/// The tables of a replay restricted to some rows, each with its `event_uid`, repetitions of a
/// native id left out.
pub(super) fn batch_tables(
    replay: &Replay,
    kept: &[usize],
) -> Result<BTreeMap<TableName, Vec<RecordBatch>>, String> {
    let mut by_table: BTreeMap<TableName, Vec<&ReplayRow>> = BTreeMap::new();
    for i in kept {
        let row = &replay.rows[*i];
        by_table.entry(row.table.clone()).or_default().push(row);
    }
    let mut tables = BTreeMap::new();
    for (table, rows) in by_table {
        let indices: UInt32Array = rows.iter().map(|r| Some(r.index)).collect();
        let columns =
            take_record_batch(&replay.tables[&table], &indices).map_err(|e| e.to_string())?;
        let batch = named(&table, columns, &rows);
        let uids: Vec<_> = (0..batch.len()).map(|row| batch.uid(row)).collect();
        let mut seen = std::collections::BTreeSet::new();
        let first: BooleanArray =
            uids.iter().map(|u| Some(!u.native || seen.insert(u.bits))).collect();
        let ids: StringArray = uids.iter().map(|u| Some(u.to_string())).collect();
        let mut columns = batch.columns.columns().to_vec();
        if let Ok(at) = batch.columns.schema().index_of("event_uid") {
            columns[at] = Arc::new(ids);
        }
        let rows = RecordBatch::try_new(batch.columns.schema(), columns)
            .and_then(|b| arrow::compute::filter_record_batch(&b, &first))
            .map_err(|e| e.to_string())?;
        tables.insert(table, vec![rows]);
    }
    Ok(tables)
}

/// Rows as a batch that can name them, as the stream does.
fn named(table: &TableName, columns: RecordBatch, rows: &[&ReplayRow]) -> EventBatch {
    let mut bytes = Vec::new();
    let mut spans = Vec::new();
    for row in rows {
        spans.push(bytes.len()..bytes.len() + row.original.len());
        bytes.extend_from_slice(&row.original);
    }
    EventBatch {
        table: table.clone(),
        columns,
        origin: Arc::new(Origin {
            source: "replay".into(),
            tenant: "default".into(),
            partition: PartitionId(0),
            time: TimeSettings::default(),
        }),
        records: Records::new(bytes.into(), spans),
        record: (0..rows.len() as u32).collect(),
        sub_index: vec![0; rows.len()],
        seen_before: vec![i64::MIN; rows.len()],
    }
}
