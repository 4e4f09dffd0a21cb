//! What recent events say of the accesses of an entity: the proof that a quarantine keeps it out. Not the
//! quarantine (see `sluice_signal::quarantine`), and no verdict: where events are missing it says so.

use std::time::Duration;

use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::{Int64Type, TimestampMillisecondType},
};
use sluice_engine::{Cancel, QueryLimits, history::EventHistory};
use sluice_event::EntityKind;
use sluice_signal::{EntityKey, Proof};

/// Tables whose rows are accesses.
const TABLES: [&str; 4] = ["authentication", "api_activity", "http", "network"];

/// Counts what an entity was let into and kept out of after `since`, in the events of the history. `started`
/// is when these began to be kept. All times are milliseconds since 1970. Blocks for a scan of them.
///
/// # Errors
/// Why the events cannot be read.
pub(super) fn proof(
    history: &EventHistory,
    entity: &EntityKey,
    since: i64,
    started: i64,
    now: i64,
) -> Result<Proof, String> {
    let mut proof = Proof {
        since,
        as_of: now,
        covers_from: started,
        allowed: 0,
        allowed_at: None,
        refused: 0,
        refused_at: None,
    };
    let is_device = entity.kind == EntityKind::Device;
    let column = if is_device { "device_entity" } else { "user_entity" };
    let limits = QueryLimits { deadline: Duration::from_secs(10), rows: 1, ..Default::default() };
    for (table, kept) in history.stats().tables {
        if !TABLES.contains(&table.as_str()) {
            continue;
        }
        let sql = sql(table.as_str(), column, &entity.id);
        // The instant itself belongs to the time before.
        let between = (Some(since + 1), None);
        let found = history
            .hunt_between(&sql, between, limits, &Cancel::default())
            .map_err(|error| format!("events of {table} cannot be read: {error}"))?;
        if kept.dropped_rows > 0
            && let Some(Some(oldest)) = found.covers_from.get(&table)
        {
            proof.covers_from = proof.covers_from.max(*oldest);
        }
        // What is missing may have been anything: only what is after it proves something.
        for gap in &found.gaps {
            let end = gap.times.map_or(now, |(_, to)| to.saturating_add(1));
            proof.covers_from = proof.covers_from.max(end);
        }
        for batch in &found.result.batches {
            let count = |name| number(batch, name).and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
            proof.allowed += count("allowed");
            proof.refused += count("refused");
            proof.allowed_at = proof.allowed_at.max(number(batch, "allowed_at"));
            proof.refused_at = proof.refused_at.max(number(batch, "refused_at"));
        }
    }
    Ok(proof)
}

/// What a control decided wins over what the source says of success. Leaving is no access.
fn sql(table: &str, column: &str, id: &str) -> String {
    let id = id.replace('\'', "''");
    let allowed = "(action = 'Allowed' OR (action IS NULL AND status = 'Success'))";
    let refused = "(action = 'Denied' OR (action IS NULL AND status = 'Failure'))";
    format!(
        "SELECT count(*) FILTER (WHERE {allowed}) AS allowed, \
         max(time) FILTER (WHERE {allowed}) AS allowed_at, \
         count(*) FILTER (WHERE {refused}) AS refused, \
         max(time) FILTER (WHERE {refused}) AS refused_at \
         FROM {table} WHERE {column} = '{id}' AND activity IS DISTINCT FROM 'Logoff'"
    )
}

/// The one value of a column that counts or is a time.
fn number(batch: &RecordBatch, name: &str) -> Option<i64> {
    let column = batch.column_by_name(name)?;
    if column.is_empty() || column.is_null(0) {
        return None;
    }
    let count = column.as_primitive_opt::<Int64Type>().map(|c| c.value(0));
    count.or_else(|| column.as_primitive_opt::<TimestampMillisecondType>().map(|c| c.value(0)))
}
