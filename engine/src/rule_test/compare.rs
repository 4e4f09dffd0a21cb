//! Expected against found, in words.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use sluice_finding::{
    Finding, FindingId, FindingState,
    repeats::{self, Member, MemoryMembers},
};
use sluice_rule::resolve_time;

/// Findings that a case expects, as a multiset: each entry a subset of a finding's columns.
pub(super) fn expected(
    expect: &[BTreeMap<String, Value>],
    found: &BTreeMap<FindingId, Finding>,
) -> Vec<String> {
    let mut left: Vec<&Finding> =
        found.values().filter(|f| f.state != FindingState::Withdrawn).collect();
    left.sort_by_key(|f| (f.time, f.id));
    let mut failures = Vec::new();
    // Entries that name more columns choose first, so that a broad one does not take their finding.
    let mut entries: Vec<&BTreeMap<String, Value>> = expect.iter().collect();
    entries.sort_by_key(|e| std::cmp::Reverse(e.len()));
    for entry in entries {
        match left.iter().position(|f| differences(entry, f).is_empty()) {
            Some(at) => {
                left.remove(at);
            }
            None => failures.push(missing(entry, &left)),
        }
    }
    for finding in left {
        failures.push(format!("not expected: {}", fields(&finding.fields)));
    }
    failures
}

/// What is wrong with the number of findings that stand out once suppression has folded repeats.
pub(super) fn alerts(wanted: u64, found: &BTreeMap<FindingId, Finding>) -> Option<String> {
    let mut members = MemoryMembers::default();
    let mut unfolded = 0;
    for finding in found.values().filter(|f| f.state != FindingState::Withdrawn) {
        match finding.suppression {
            None => unfolded += 1,
            Some(group) => {
                let member = Member { time: finding.time, id: finding.id };
                let Ok(_) = repeats::insert(&mut members, group, member);
            }
        }
    }
    let got = members.leaders() as u64 + unfolded;
    (got != wanted).then(|| format!("{got} findings stand out after suppression, not {wanted}"))
}

fn missing(entry: &BTreeMap<String, Value>, left: &[&Finding]) -> String {
    let wanted: Map<String, Value> = entry.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    let nearest = left.iter().map(|f| differences(entry, f)).min_by_key(Vec::len);
    match nearest {
        Some(nearest) => format!(
            "expected {}; the nearest finding differs in {}",
            fields(&wanted),
            nearest.join(", ")
        ),
        None => format!("expected {}; found nothing", fields(&wanted)),
    }
}

fn differences(entry: &BTreeMap<String, Value>, finding: &Finding) -> Vec<String> {
    entry
        .iter()
        .filter_map(|(column, wanted)| {
            let late = Value::Bool(finding.late);
            let got = match column.as_str() {
                "late" => Some(&late),
                _ => finding.fields.get(column),
            };
            let got = got.unwrap_or(&Value::Null);
            (!same_value(wanted, got)).then(|| format!("{column}: {got} instead of {wanted}"))
        })
        .collect()
}

/// Whether a value expected in YAML is the one found: numbers by value, times by instant.
pub fn same_value(wanted: &Value, got: &Value) -> bool {
    if wanted == got {
        return true;
    }
    if let (Some(a), Some(b)) = (wanted.as_f64(), got.as_f64()) {
        return (a - b).abs() <= 1e-9 * a.abs().max(b.abs());
    }
    match (wanted, got) {
        // An offset or another spelling of the same instant.
        (Value::String(wanted), Value::String(got)) => {
            resolve_time(wanted).is_some_and(|t| sluice_event::rfc3339(t) == *got)
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_value(a, b))
        }
        // YAML reads an id of digits as a number where the column is text.
        (Value::Number(wanted), Value::String(got)) => wanted.to_string() == *got,
        _ => false,
    }
}

/// Two runs that must give the same: what differs, arrival marks apart.
pub(super) fn same(
    way: &str,
    reference: &BTreeMap<FindingId, Finding>,
    found: &BTreeMap<FindingId, Finding>,
) -> Vec<String> {
    let plain = |f: &Finding| Finding { late: false, revision: 0, ..f.clone() };
    let mut failures = Vec::new();
    for (id, finding) in reference {
        match found.get(id) {
            None => failures.push(format!("{way}: lost {id} {}", fields(&finding.fields))),
            Some(other) if plain(finding) != plain(other) => failures.push(format!(
                "{way}: {id} is {} ({}, count {}, {} events) instead of {} ({}, count {}, {} events)",
                fields(&other.fields),
                other.state.name(),
                other.count,
                other.evidence.len(),
                fields(&finding.fields),
                finding.state.name(),
                finding.count,
                finding.evidence.len(),
            )),
            Some(_) => {}
        }
    }
    for (id, finding) in found {
        if !reference.contains_key(id) {
            failures.push(format!("{way}: made {id} {}", fields(&finding.fields)));
        }
    }
    failures
}

/// The batch form against a stream: ids and every selected column.
pub(super) fn same_fields(
    way: &str,
    batch: &BTreeMap<FindingId, Map<String, Value>>,
    found: &BTreeMap<FindingId, Finding>,
) -> Vec<String> {
    let mut failures = Vec::new();
    for (id, wanted) in batch {
        match found.get(id) {
            None => failures.push(format!("{way} has {id} {}, the stream not", fields(wanted))),
            Some(finding) => {
                let differ = wanted
                    .iter()
                    .any(|(k, v)| !same_value(v, finding.fields.get(k).unwrap_or(&Value::Null)));
                if differ {
                    failures.push(format!(
                        "{way} has {id} {}, the stream {}",
                        fields(wanted),
                        fields(&finding.fields)
                    ));
                }
            }
        }
    }
    for (id, finding) in found {
        if !batch.contains_key(id) {
            failures.push(format!("the stream has {id} {}, {way} not", fields(&finding.fields)));
        }
    }
    failures
}

fn fields(fields: &Map<String, Value>) -> String {
    let parts: Vec<String> = fields.iter().map(|(k, v)| format!("{k}: {v}")).collect();
    format!("{{{}}}", parts.join(", "))
}
