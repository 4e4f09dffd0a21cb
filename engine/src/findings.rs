//! From what an operator says to a finding: id, title, severity, entities. Not where it is kept.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use serde_json::{Map, Value};
use sluice_event::{Encoder, TimeFlags};
use sluice_finding::{
    CappedBy, Entity, Finding, FindingId, FindingState, RepeatGroup, anomaly_weight, risk_of_weight,
};
use sluice_rule::Severity;
use sluice_stream::{Cap, Change, Emission, Stage};

use crate::{json, rule_set::LoadedRule};

/// The finding an emission speaks of.
pub fn finding(tenant: &str, loaded: &LoadedRule, emission: &Emission) -> Finding {
    let mut fields = Map::new();
    for (field, column) in loaded.plan.output.fields().iter().zip(emission.columns.columns()) {
        fields.insert(field.name().clone(), json::value(column, emission.row));
    }
    fields.extend(loaded.lookup_versions().map(|versions| ("lookups".to_owned(), versions)));
    Finding {
        time: time(&loaded.plan.output, emission).unwrap_or(emission.time),
        state: match emission.change {
            Change::Upsert(sluice_stream::FindingState::Provisional) => FindingState::Provisional,
            Change::Upsert(sluice_stream::FindingState::Confirmed) => FindingState::Confirmed,
            Change::Upsert(sluice_stream::FindingState::Withdrawn) | Change::Withdraw => {
                FindingState::Withdrawn
            }
        },
        window: emission.window,
        count: emission.count,
        late: emission.late,
        capped: emission.is_capped(),
        capped_by: emission.capped_by.iter().map(capped_by).collect(),
        time_flags: emission.time_flags,
        evidence: emission.evidence.clone(),
        evidence_total: emission.evidence_total,
        ..of_row(tenant, loaded, &emission.key, fields, emission.time)
    }
}

fn capped_by(cap: &Cap) -> CappedBy {
    CappedBy { bound: cap.bound.into(), limit: cap.limit }
}

/// The finding of a row that a rule has returned: confirmed, of one event, without evidence.
pub(crate) fn of_row(
    tenant: &str,
    loaded: &LoadedRule,
    key: &[u8],
    fields: Map<String, Value>,
    time: i64,
) -> Finding {
    let rule = &loaded.rule;
    let text = |name: &str| fields.get(name).and_then(Value::as_str);
    let title = text("title").unwrap_or(&rule.title).to_owned();
    let severity = text("severity").and_then(Severity::parse).unwrap_or(rule.severity);
    let risk = fields.get("risk").and_then(Value::as_f64).map(|r| r.clamp(0.0, 90.0) as u8);
    let is_baseline = matches!(loaded.plan.stage, Stage::Baseline(_));
    let entities = rule
        .entity
        .iter()
        .filter_map(|(column, kind)| {
            let id = fields.get(column)?.as_str()?.to_owned();
            Some(Entity { kind: *kind, id })
        })
        .collect();
    Finding {
        id: FindingId::derive(tenant, &loaded.plan.rule, key),
        rule_id: loaded.plan.rule.clone(),
        rule_version: rule.version.as_str().into(),
        title,
        severity,
        time,
        state: FindingState::Confirmed,
        revision: 1,
        entities,
        attack: match text("tactic").filter(|_| is_baseline) {
            Some(tactic) => [tactic.to_owned()].into(),
            None => rule.attack.clone().into(),
        },
        risk: if is_baseline { anomaly_risk(&fields) } else { risk.unwrap_or(rule.risk()) },
        shadow: rule.is_shadow(),
        suppression: suppression(tenant, loaded, &fields),
        fields,
        window: None,
        count: 1,
        late: false,
        capped: false,
        capped_by: Vec::new(),
        time_flags: TimeFlags::NONE,
        contested: false,
        evidence: Vec::new(),
        evidence_total: 0,
    }
}

/// The score that an anomaly alone gives a quiet entity, at most 90.
fn anomaly_risk(fields: &Map<String, Value>) -> u8 {
    let number = |name: &str| fields.get(name).and_then(Value::as_f64).unwrap_or_default();
    risk_of_weight(anomaly_weight(number("surprise"), number("confidence")))
}

/// What repeats are folded by: the row's `dedup_key`, else the values of `suppression.by`.
fn suppression(
    tenant: &str,
    loaded: &LoadedRule,
    fields: &Map<String, Value>,
) -> Option<RepeatGroup> {
    let suppression = loaded.rule.suppression.as_ref()?;
    let mut encoder = Encoder::default();
    encoder.text(tenant);
    encoder.text(&loaded.plan.rule);
    encoder.int(suppression.for_ms);
    match fields.get("dedup_key").and_then(Value::as_str) {
        Some(key) => encoder.text(key),
        // JSON tells types and NULL apart.
        None => suppression.by.iter().for_each(|column| {
            encoder.bytes(fields.get(column).unwrap_or(&Value::Null).to_string().as_bytes());
        }),
    }
    Some(RepeatGroup { group: encoder.hash128(), span: suppression.for_ms })
}

/// A selected `time` column, if it holds a time.
fn time(output: &arrow::datatypes::SchemaRef, emission: &Emission) -> Option<i64> {
    let column: &ArrayRef = emission.columns.column(output.index_of("time").ok()?);
    if column.is_null(emission.row) {
        return None;
    }
    match sluice_event::Value::column(&column.slice(emission.row, 1))?.into_iter().next()? {
        sluice_event::Value::Time(t) => Some(t),
        sluice_event::Value::Null
        | sluice_event::Value::Bool(_)
        | sluice_event::Value::Int(_)
        | sluice_event::Value::Float(_)
        | sluice_event::Value::Text(_)
        | sluice_event::Value::List(_) => None,
    }
}

/// Evidence and fields are shown as text only: nothing an event says is ever a template.
pub fn evidence_json(evidence: &[Arc<str>]) -> Vec<Value> {
    evidence
        .iter()
        .map(|text| serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_string())))
        .collect()
}
