//! The tests block of a baseline: rows of tables in, anomalies of closed units out.

use std::sync::Arc;

use sluice_baseline::Anomaly;
use sluice_event::{PartitionId, TimeSettings};
use sluice_rule::{BaselineTest, ExpectedAnomaly, TEST_BASE};

use super::LoadedBaseline;
use crate::{Partition, replay::ReplayBuilder, rule_test::CaseReport};

const ONLY: PartitionId = PartitionId(0);

/// Runs every case of a baseline's tests block.
pub fn test_baseline(loaded: &LoadedBaseline) -> Vec<CaseReport> {
    let report = |case: &BaselineTest| CaseReport {
        name: case.name.clone(),
        line: case.line,
        failures: run(loaded, case).unwrap_or_else(|e| vec![e]),
    };
    loaded.file.tests.iter().map(report).collect()
}

fn run(loaded: &LoadedBaseline, case: &BaselineTest) -> Result<Vec<String>, String> {
    let time = TimeSettings::default();
    let only = Partition { id: ONLY, source: None, name: None, tables: Vec::new(), time };
    let mut builder = ReplayBuilder::new(vec![only]);
    for (index, event) in case.events.iter().enumerate() {
        let Some(table) = &event.table else {
            return Err(format!("event {}: needs `table`", index + 1));
        };
        if table.as_str() != loaded.from() {
            let from = loaded.from();
            return Err(format!("event {}: the baseline reads `{from}`, not `{table}`", index + 1));
        }
        builder
            .row(ONLY, table, event.t.unwrap_or(TEST_BASE), &event.columns)
            .map_err(|e| format!("event {}: {e}", index + 1))?;
    }
    let replay = builder.finish()?;
    let mut baseline = loaded.baseline();
    for batch in replay.tables.values() {
        loaded.feed(&mut baseline, batch, u128::from);
    }
    let units = baseline.advance(i64::MAX);
    let found: Vec<Arc<Anomaly>> = units
        .into_iter()
        .filter_map(|unit| unit.anomaly)
        .filter(|anomaly| case.after.is_none_or(|after| anomaly.time >= after))
        .collect();
    Ok(compare(&case.expect, &found))
}

fn compare(expected: &[ExpectedAnomaly], found: &[Arc<Anomaly>]) -> Vec<String> {
    let mut rest: Vec<&Anomaly> = found.iter().map(AsRef::as_ref).collect();
    let mut failures = Vec::new();
    for wanted in expected {
        match rest.iter().position(|anomaly| is(wanted, anomaly)) {
            Some(at) => {
                rest.remove(at);
            }
            None => failures.push(format!("no anomaly like {}", shown(wanted))),
        }
    }
    failures.extend(rest.iter().map(|anomaly| {
        let top = anomaly.features.first();
        let value = top.and_then(|f| f.values.first()).map_or("", |v| v.value.as_str());
        format!(
            "unexpected anomaly: {} at {}, {} {value}, surprise {:.2}",
            anomaly.entity,
            sluice_event::rfc3339(anomaly.time),
            top.map_or("", |f| &f.feature),
            anomaly.surprise,
        )
    }));
    failures
}

fn is(wanted: &ExpectedAnomaly, anomaly: &Anomaly) -> bool {
    let Some(top) = anomaly.features.first() else { return false };
    wanted.entity.as_deref().is_none_or(|e| e == &*anomaly.entity)
        && wanted.feature.as_deref().is_none_or(|f| f == &*top.feature)
        && wanted.value.as_deref().is_none_or(|v| top.values.iter().any(|x| x.value == v))
}

fn shown(wanted: &ExpectedAnomaly) -> String {
    let part = |key: &str, value: &Option<String>| value.as_ref().map(|v| format!("{key}: {v}"));
    let parts = [
        part("entity", &wanted.entity),
        part("feature", &wanted.feature),
        part("value", &wanted.value),
    ];
    format!("{{{}}}", parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
}
