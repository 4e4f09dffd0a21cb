//! Events of a case as rows of tables (raw records go through their mapping like any other), and
//! the tables that the batch form is given.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use arrow::{
    array::{BooleanArray, StringArray, UInt32Array},
    compute::{filter_record_batch, take_record_batch},
    record_batch::RecordBatch,
};
use serde_json::Value;
use sluice_event::{Aliases, EventUids, PartitionId, TableName, TimeSettings};
use sluice_ingest::{Chunk, Mapper, SourceSpec};
use sluice_rule::{RuleTest, TEST_BASE, TestEvent, resolve_time};

use crate::{
    Content, Partition,
    replay::{Replay, ReplayBuilder, ReplayRow},
};

const ONLY: PartitionId = PartitionId(0);

/// The events of a case on one partition: in listing order, or `by_time`, for histories that are listed one
/// after the other and came side by side.
pub(super) fn replay(
    content: &Content,
    aliases: &Aliases,
    case: &RuleTest,
    by_time: bool,
) -> Result<Replay, String> {
    let default = TimeSettings::default();
    let lateness = case.config.lateness.unwrap_or(default.lateness);
    let delay = case.config.delay.unwrap_or(default.delay).min(lateness);
    let time = TimeSettings { lateness, delay, ..default };
    let only = Partition { id: ONLY, source: None, name: None, tables: Vec::new(), time };
    let mut builder = ReplayBuilder::new(vec![only]).knowing(aliases);
    let mut events: Vec<(usize, &TestEvent)> = case.events.iter().enumerate().collect();
    if by_time {
        events.sort_by_key(|(_, event)| event.t.unwrap_or(TEST_BASE));
    }
    for (index, event) in events {
        let added = match (&event.table, &event.raw) {
            (Some(table), _) => {
                builder.row(ONLY, table, event.t.unwrap_or(TEST_BASE), &event.columns)
            }
            (None, Some(raw)) => {
                let received = event.t.unwrap_or(TEST_BASE);
                let source = event.source.as_deref().unwrap_or_default();
                record((content, aliases), source, raw, received, &mut builder)
            }
            (None, None) => Err("needs `table` or `raw`".into()),
        };
        added.map_err(|e| format!("event {}: {e}", index + 1))?;
    }
    builder.finish()
}

/// One event for `rule explain`: a row as JSON that names its table, or a wire record.
pub(super) fn event(content: &Content, text: &str, source: &str) -> Result<Replay, String> {
    let time = TimeSettings::default();
    let only = Partition { id: ONLY, source: None, name: None, tables: Vec::new(), time };
    let mut builder = ReplayBuilder::new(vec![only]).knowing(&content.aliases);
    let object: Option<serde_json::Map<String, Value>> = serde_json::from_str(text).ok();
    let table = object.as_ref().and_then(|o| o.get("table")).and_then(Value::as_str);
    if let (Some(object), Some(table)) = (&object, table) {
        let time = object.get("time").and_then(Value::as_str).and_then(resolve_time);
        let columns = object
            .iter()
            .filter(|(name, _)| !["table", "time", "event_uid"].contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        builder.row(ONLY, &TableName::new(table), time.unwrap_or(TEST_BASE), &columns)?;
        return builder.finish();
    }
    let source = match source {
        "auto" => {
            let specs = content.sources.iter().map(AsRef::as_ref);
            let seen = sluice_ingest::detect(specs, text.as_bytes());
            seen.best.clone().map(|m| m.source).ok_or_else(|| seen.to_string())?
        }
        named => named.to_owned(),
    };
    record((content, &content.aliases), &source, text, TEST_BASE, &mut builder)?;
    builder.finish()
}

/// Runs a wire record through the mapping of its source.
fn record(
    (content, aliases): (&Content, &Aliases),
    source: &str,
    raw: &str,
    received_at: i64,
    builder: &mut ReplayBuilder,
) -> Result<(), String> {
    let spec = content
        .sources
        .iter()
        .find(|s| *s.source == *source)
        .ok_or_else(|| format!("no source `{source}`"))?;
    let time = TimeSettings::default();
    let spec = SourceSpec { aliases: Arc::new(aliases.clone()), ..SourceSpec::clone(spec) };
    let mut mapper = Mapper::new(Arc::new(spec), "default", ONLY, time, true, i64::MIN);
    let chunk = Chunk::of_lines(ONLY, &[raw.to_owned()], received_at);
    let decoded = mapper.decode(&chunk);
    let processed = mapper.map(decoded);
    if let Some(letter) = processed.dead_letters.first() {
        return Err(format!("{}: {}", letter.code.name(), letter.message));
    }
    processed.batches.iter().for_each(|batch| builder.batch(ONLY, batch));
    Ok(())
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
        let batch = replay.batch_of(&rows, columns, i64::MIN).0;
        let mut uids = EventUids::new(&batch);
        let uids: Vec<_> = (0..batch.len()).map(|row| uids.of(row)).collect();
        let mut seen = BTreeSet::new();
        let first: BooleanArray =
            uids.iter().map(|u| Some(!u.native || seen.insert(u.bits))).collect();
        let ids: StringArray = uids.iter().map(|u| Some(u.to_string())).collect();
        let mut columns = batch.columns.columns().to_vec();
        if let Ok(at) = batch.columns.schema().index_of("event_uid") {
            columns[at] = Arc::new(ids);
        }
        let rows = RecordBatch::try_new(batch.columns.schema(), columns)
            .and_then(|b| filter_record_batch(&b, &first))
            .map_err(|e| e.to_string())?;
        tables.insert(table, vec![rows]);
    }
    Ok(tables)
}
