//! The tests block of a mapping: wire records in, expected rows out.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use sluice_event::PartitionId;
use sluice_ingest::{Chunk, Mapper, Processed, SourceSpec};
use sluice_rule::{Mapping, MappingTest};

use crate::{
    Content, json,
    rule_test::{CaseReport, same_value},
};

/// Runs every case of a mapping's tests block through the whole source: the record must reach this
/// mapping by its own `when`.
pub fn test_mapping(content: &Content, mapping: &Mapping) -> Vec<CaseReport> {
    let spec = content.sources.iter().find(|s| *s.source == *mapping.source);
    mapping
        .tests
        .iter()
        .map(|case| CaseReport {
            name: case.name.clone(),
            line: case.line,
            failures: match spec {
                Some(spec) => run_case(spec, case),
                None => vec![format!("source `{}` is not loaded", mapping.source)],
            },
        })
        .collect()
}

fn run_case(spec: &std::sync::Arc<SourceSpec>, case: &MappingTest) -> Vec<String> {
    let mut mapper =
        Mapper::new(spec.clone(), "default", PartitionId(0), spec.time_settings, false, i64::MIN);
    let chunk = Chunk::of_lines(PartitionId(0), &case.records, case.received_at);
    let decoded = mapper.decode(&chunk);
    let processed = mapper.map(decoded);
    let mut failures = Vec::new();
    let codes: Vec<&str> = processed.dead_letters.iter().map(|d| d.code.name()).collect();
    match (&case.dead_letter, codes.as_slice()) {
        (Some(wanted), [code]) if wanted == code => {}
        (None, []) => {}
        (wanted, codes) => failures.push(format!(
            "dead letters {codes:?} instead of {wanted:?}: {}",
            processed.dead_letters.first().map_or("", |d| &d.message)
        )),
    }
    let rows = rows(&processed);
    if rows.len() != case.expect.len() {
        failures.push(format!("{} rows instead of {}", rows.len(), case.expect.len()));
    }
    for (wanted, row) in case.expect.iter().zip(&rows) {
        failures.extend(differences(wanted, row));
    }
    failures
}

/// The rows in record order, each with its table.
fn rows(processed: &Processed) -> Vec<Map<String, Value>> {
    let mut rows = Vec::new();
    for batch in &processed.batches {
        for row in 0..batch.len() {
            let mut object = json::row(&batch.columns, row);
            object.insert("table".to_owned(), batch.table.as_str().into());
            rows.push((batch.record[row], object));
        }
    }
    rows.sort_by_key(|(record, _)| *record);
    rows.into_iter().map(|(_, row)| row).collect()
}

fn differences(wanted: &BTreeMap<String, Value>, row: &Map<String, Value>) -> Vec<String> {
    wanted
        .iter()
        .filter_map(|(column, wanted)| {
            let got = row.get(column).unwrap_or(&Value::Null);
            (!same_value(wanted, got)).then(|| format!("{column} is {got} instead of {wanted}"))
        })
        .collect()
}
