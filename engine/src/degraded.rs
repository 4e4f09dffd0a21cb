//! The finding that a rule hit a bound of its state on which its verdicts can depend: a flood must not
//! pass for silence. Not the bound itself: that is an operator's.

use std::sync::Arc;

use serde_json::{Value, json};
use sluice_event::{Encoder, rfc3339};
use sluice_finding::{CappedBy, Entity, Finding};
use sluice_rule::Severity;
use sluice_stream::{Bound, Degradation, Limits, Stage, rows_waiting_max};

use crate::LoadedRule;

/// The id under which it is reported that a rule hit a bound, once per rule, key and hour.
pub const RULE_DEGRADED: &str = "sluice.rule_degraded";

/// The finding for one of them. Its fields: `rule`, `bound`, `consequence`, `through` (event time), and the
/// group key by the names of its columns.
pub(crate) fn finding(tenant: &str, loaded: &LoadedRule, degradation: &Degradation) -> Finding {
    let rule = &*loaded.plan.rule;
    let limits = Limits::default();
    let (name, limit) = match degradation.bound {
        Bound::RowsOfKey | Bound::ValuesOfWindow => ("window_events_max", limits.window_events_max),
        Bound::Entities => ("entities_max", entities_max(loaded)),
        Bound::RowsWaiting => ("rows_waiting", rows_waiting_max(&limits)),
        Bound::Keys => ("keys_max", limits.keys_max),
    };
    let (bound, consequence) = match degradation.bound {
        Bound::RowsOfKey => (
            format!("{limit} rows of a key are kept one by one"),
            "older rows were judged before the watermark and summed up: a late event may no longer \
             change what was found of them",
        ),
        Bound::ValuesOfWindow => (
            format!("{limit} distinct values of a window are kept"),
            "values after them were not counted: what counts them shows a lower bound",
        ),
        Bound::Entities => (
            format!("{limit} entities are kept"),
            "rows of further entities were left out until the end of the day, when those with the \
             least history are given up: what they did is not scored",
        ),
        Bound::RowsWaiting => (
            format!("{limit} rows wait for their day"),
            "the oldest were judged by what the baseline knew about the day before",
        ),
        Bound::Keys => (
            format!("{limit} keys are kept"),
            "those with the fewest rows were judged before the watermark and given up: what they \
             would have reached later is missed",
        ),
    };
    let values: Vec<(&Arc<str>, Value)> =
        degradation.key.iter().map(|(name, value)| (name, scalar(value))).collect();
    let shown: Vec<String> =
        values.iter().map(|(name, value)| format!("{name} {}", plain(value))).collect();
    let of = if shown.is_empty() { String::new() } else { format!(" for {}", shown.join(", ")) };
    let fields = [
        ("rule", json!(rule)),
        ("bound", json!(bound)),
        ("consequence", json!(consequence)),
        ("through", json!(rfc3339(degradation.time))),
    ];
    let entities = values
        .iter()
        .filter_map(|(name, value)| {
            let (_, kind) = loaded.rule.entity.iter().find(|(column, _)| **column == ***name)?;
            Some(Entity { kind: *kind, id: value.as_str()?.to_owned() })
        })
        .collect();
    let mut id = Encoder::default();
    id.text(rule);
    id.time(degradation.hour);
    id.text(&format!("{:?}", degradation.bound));
    for (name, value) in &values {
        id.text(name);
        id.text(&value.to_string());
    }
    let title = format!("{rule} may have missed something{of}: {bound}");
    let (severity, time) = (Severity::Medium, degradation.time);
    let mut finding =
        Finding::of_service(RULE_DEGRADED, tenant, &id, title, severity, time, fields);
    for (name, value) in values {
        finding.fields.entry(name.to_string()).or_insert(value);
    }
    Finding {
        entities,
        shadow: loaded.rule.is_shadow(),
        window: Some((degradation.hour, time)),
        capped: true,
        capped_by: vec![CappedBy { bound: name.into(), limit: limit as u64 }],
        ..finding
    }
}

fn entities_max(loaded: &LoadedRule) -> usize {
    if let Stage::Baseline(baseline) = &loaded.plan.stage {
        baseline.policy.entities_max
    } else {
        0
    }
}

fn scalar(value: &sluice_event::Value) -> Value {
    use sluice_event::Value as Scalar;
    match value {
        Scalar::Null => Value::Null,
        Scalar::Bool(v) => json!(v),
        Scalar::Int(v) => json!(v),
        Scalar::Float(v) => json!(v),
        Scalar::Text(v) => json!(&**v),
        Scalar::Time(v) => json!(rfc3339(*v)),
        Scalar::List(list) => list.values.iter().map(scalar).collect(),
    }
}

/// As it stands in a sentence.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
