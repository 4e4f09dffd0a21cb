//! The columns of a baseline's finding: the entity, the most unusual feature with its numbers, and the
//! same of every feature. Not how they are shown.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Float64Array, Int64Array, ListArray, StringArray, StructArray},
    buffer::OffsetBuffer,
    datatypes::{DataType, Field, Fields, Schema, SchemaRef},
    record_batch::RecordBatch,
};
use sluice_baseline::{Anomaly, FeatureScore, Spec, ValueScore};

/// Features named in a title.
const TITLE_FEATURES: usize = 3;
/// Nats from which a feature is named in a title beside the first.
const TITLE_NATS: f64 = 1.0;
/// Characters of a value in a title.
const TITLE_CHARS: usize = 40;

/// The columns of the findings of a baseline whose entity is in `entity`.
///
/// `feature` is the most surprising one, `value` what speaks most for it, `occurrences` how often in the
/// unit; `seen` of `of` is how often in the entity's history (decayed), `expected` and `peers` are shares,
/// of a count means, the latter of `peer_group` where there is one, else of the organisation; `p` is the tail probability and `surprise` its negative logarithm.
pub fn baseline_output(entity: &str) -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let float = |name: &str| Field::new(name, DataType::Float64, true);
    let int = |name: &str| Field::new(name, DataType::Int64, true);
    let mut fields = vec![text(entity), text("title"), float("p")];
    fields.extend(feature_fields().iter().map(|field| field.as_ref().clone()));
    fields.extend([float("confidence"), int("half_life_ms"), int("model_version")]);
    fields.push(text("peer_group"));
    fields.push(Field::new("features", list_type(), true));
    Arc::new(Schema::new(fields))
}

/// A row per anomaly.
pub(super) fn columns(
    output: &SchemaRef,
    spec: &Spec,
    anomalies: &[&Anomaly],
) -> Result<RecordBatch, String> {
    let text = |of: &dyn Fn(&Anomaly) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(anomalies.iter().map(|a| of(a))))
    };
    let float = |of: &dyn Fn(&Anomaly) -> f64| -> ArrayRef {
        Arc::new(Float64Array::from_iter_values(anomalies.iter().map(|a| rounded(of(a)))))
    };
    let int = |of: &dyn Fn(&Anomaly) -> i64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(anomalies.iter().map(|a| of(a))))
    };
    let mut columns =
        vec![text(&|a| a.entity.to_string()), text(&title), float(&|a| (-a.surprise).exp())];
    let first: Vec<Shown<'_>> =
        anomalies.iter().map(|a| Shown::of(a.features.first(), Some(a.surprise))).collect();
    columns.extend(feature_columns(&first));
    columns.extend([float(&|a| a.confidence), int(&|_| spec.half_life), int(&|a| a.model_version)]);
    columns.push(Arc::new(StringArray::from_iter(anomalies.iter().map(|a| {
        a.peers.as_ref().map(|peers| format!("{} ({} members)", peers.name, peers.members))
    }))));
    columns.push(list(anomalies)?);
    RecordBatch::try_new(output.clone(), columns).map_err(|e| e.to_string())
}

/// A feature and the value that speaks most for it.
struct Shown<'a> {
    feature: Option<&'a FeatureScore>,
    value: Option<&'a ValueScore>,
    surprise: Option<f64>,
}

impl<'a> Shown<'a> {
    fn of(feature: Option<&'a FeatureScore>, surprise: Option<f64>) -> Shown<'a> {
        Shown { feature, value: feature.and_then(|f| f.values.first()), surprise }
    }
}

fn feature_fields() -> Fields {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let float = |name: &str| Field::new(name, DataType::Float64, true);
    Fields::from(vec![
        text("feature"),
        text("value"),
        Field::new("occurrences", DataType::Int64, true),
        float("seen"),
        float("of"),
        float("expected"),
        float("peers"),
        float("score"),
        float("surprise"),
        text("tactic"),
    ])
}

fn feature_columns(shown: &[Shown<'_>]) -> Vec<ArrayRef> {
    let text = |of: &dyn Fn(&Shown<'_>) -> Option<String>| -> ArrayRef {
        Arc::new(StringArray::from_iter(shown.iter().map(of)))
    };
    let float = |of: &dyn Fn(&Shown<'_>) -> Option<f64>| -> ArrayRef {
        Arc::new(Float64Array::from_iter(shown.iter().map(|s| of(s).map(rounded))))
    };
    let occurrences = shown.iter().map(|s| s.value.and_then(|v| i64::try_from(v.count).ok()));
    vec![
        text(&|s| s.feature.map(|f| f.feature.to_string())),
        text(&|s| s.value.map(|v| v.value.clone())),
        Arc::new(Int64Array::from_iter(occurrences)),
        float(&|s| s.value.map(|v| v.seen)),
        float(&|s| s.value.map(|v| v.of)),
        float(&|s| s.value.map(|v| v.expected)),
        float(&|s| s.value.map(|v| v.peers)),
        float(&|s| s.feature.map(|f| f.score)),
        float(&|s| s.surprise.or(s.feature.map(|f| f.surprise))),
        text(&|s| s.feature.and_then(|f| f.tactic.as_deref()).map(str::to_owned)),
    ]
}

fn list_type() -> DataType {
    DataType::List(Arc::new(Field::new("item", DataType::Struct(feature_fields()), true)))
}

/// Every feature of each anomaly.
fn list(anomalies: &[&Anomaly]) -> Result<ArrayRef, String> {
    let shown: Vec<Shown<'_>> =
        anomalies.iter().flat_map(|a| &a.features).map(|f| Shown::of(Some(f), None)).collect();
    let items = StructArray::try_new(feature_fields(), feature_columns(&shown), None)
        .map_err(|e| e.to_string())?;
    let field = Arc::new(Field::new("item", DataType::Struct(feature_fields()), true));
    let offsets = OffsetBuffer::from_lengths(anomalies.iter().map(|a| a.features.len()));
    let list = ListArray::try_new(field, offsets, Arc::new(items), None);
    Ok(Arc::new(list.map_err(|e| e.to_string())?))
}

/// What is unusual, in a line.
fn title(anomaly: &Anomaly) -> String {
    let named =
        anomaly.features.iter().enumerate().filter(|(i, f)| *i == 0 || f.score > TITLE_NATS);
    let parts = named.take(TITLE_FEATURES).map(|(_, feature)| match feature.values.first() {
        Some(value) => {
            let text: String = value.value.chars().take(TITLE_CHARS).collect();
            format!("{} {text}", feature.feature)
        }
        None => feature.feature.to_string(),
    });
    format!("Unusual for {}: {}", anomaly.entity, parts.collect::<Vec<_>>().join(", "))
}

/// To 1e-6, so that a finding does not hang on the last bit.
fn rounded(x: f64) -> f64 {
    (x * 1e6).round() / 1e6 + 0.0
}
