//! The tests block of a baseline, run on the real engine in every way a stream may come: rows of tables
//! in, findings out.

use std::collections::BTreeMap;

use serde_json::Value;
use sluice_event::{PartitionId, TimeSettings};
use sluice_finding::{Finding, FindingId};
use sluice_rule::{BaselineTest, ExpectedAnomaly, TEST_BASE, TestEvent};

use super::LoadedBaseline;
use crate::{
    Content, History, LoadedRule, Partition,
    replay::{Replay, ReplayBuilder},
    rule_test::{Bench, CaseReport, same_in_every_way},
};

const ONLY: PartitionId = PartitionId(0);

/// Runs every case of a baseline's tests block. `seed` decides splits and shuffles.
pub fn test_baseline(content: &Content, loaded: &LoadedBaseline, seed: u64) -> Vec<CaseReport> {
    let report = |case: &BaselineTest| CaseReport {
        name: case.name.clone(),
        line: case.line,
        failures: run(content, loaded, case, seed).unwrap_or_else(|e| vec![e]),
    };
    loaded.file.tests.iter().map(report).collect()
}

fn run(
    content: &Content,
    loaded: &LoadedBaseline,
    case: &BaselineTest,
    seed: u64,
) -> Result<Vec<String>, String> {
    let Some(rule) = &loaded.rule else {
        return Err(
            "the baseline reads the records of a file: `sluice baseline eval` runs it".into()
        );
    };
    let replay = replay(loaded, rule, case)?;
    let bench = Bench::new(content, rule, History::None);
    let (found, mut failures) = same_in_every_way(&bench, &replay, seed)?;
    let after = |finding: &Finding| case.after.is_none_or(|after| finding.time >= after);
    failures.extend(compare(&case.expect, &found, &after));
    Ok(failures)
}

fn replay(
    loaded: &LoadedBaseline,
    rule: &LoadedRule,
    case: &BaselineTest,
) -> Result<Replay, String> {
    let time = TimeSettings::default();
    let only = Partition { id: ONLY, source: None, name: None, tables: Vec::new(), time };
    let mut builder = ReplayBuilder::new(vec![only]);
    // Histories are listed one after the other; they came side by side.
    let mut events: Vec<(usize, &TestEvent)> = case.events.iter().enumerate().collect();
    events.sort_by_key(|(_, event)| event.t.unwrap_or(TEST_BASE));
    for (index, event) in events {
        let Some(table) = &event.table else {
            return Err(format!("event {}: needs `table`", index + 1));
        };
        if !rule.plan.branches.iter().any(|branch| branch.table == *table) {
            let from = loaded.from();
            return Err(format!("event {}: the baseline reads `{from}`, not `{table}`", index + 1));
        }
        builder
            .row(ONLY, table, event.t.unwrap_or(TEST_BASE), &event.columns)
            .map_err(|e| format!("event {}: {e}", index + 1))?;
    }
    builder.finish()
}

fn compare(
    expected: &[ExpectedAnomaly],
    found: &BTreeMap<FindingId, Finding>,
    is_compared: &dyn Fn(&Finding) -> bool,
) -> Vec<String> {
    let mut rest: Vec<&Finding> = found.values().filter(|f| is_compared(f)).collect();
    rest.sort_by_key(|f| (f.time, f.id));
    let mut failures = Vec::new();
    for wanted in expected {
        match rest.iter().position(|finding| is(wanted, finding)) {
            Some(at) => {
                rest.remove(at);
            }
            None => failures.push(format!("no anomaly like {}", shown(wanted))),
        }
    }
    failures.extend(rest.iter().map(|finding| {
        let time = sluice_event::rfc3339(finding.time);
        let surprise = finding.fields.get("surprise").and_then(Value::as_f64).unwrap_or_default();
        format!("unexpected anomaly: {} at {time}, surprise {surprise:.2}", finding.title)
    }));
    failures
}

fn is(wanted: &ExpectedAnomaly, finding: &Finding) -> bool {
    let has = |column: &str, wanted: &Option<String>| {
        let text = finding.fields.get(column).and_then(Value::as_str);
        wanted.as_deref().is_none_or(|wanted| Some(wanted) == text)
    };
    let entity = finding.entities.first().map(|e| e.id.as_str());
    wanted.entity.as_deref().is_none_or(|e| Some(e) == entity)
        && has("feature", &wanted.feature)
        && has("value", &wanted.value)
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
