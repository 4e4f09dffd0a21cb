//! Findings as rows of the table `findings`: the columns that rules read, which nothing changes once
//! a finding is confirmed. Not what people make of a finding: those columns are for hunts, see
//! [`crate::durable`].

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, BooleanArray, Int64Array, ListBuilder, StringArray, StringBuilder,
        TimestampMillisecondArray,
    },
    compute::cast,
    datatypes::SchemaRef,
    error::ArrowError,
    record_batch::RecordBatch,
};
use sluice_event::{EntityKind, EventUid, Schema, TableName};
use sluice_finding::Finding;

/// What findings are a source of, in their identity as events.
pub(crate) const SOURCE: &str = "findings";

/// The columns that rules read.
pub(crate) fn schema() -> Option<SchemaRef> {
    Schema::own().table(SOURCE).map(|table| table.rules.clone())
}

/// Findings as rows of [`schema`].
pub(crate) fn rows(tenant: &str, findings: &[&Finding]) -> Result<RecordBatch, ArrowError> {
    let schema = schema().ok_or_else(|| ArrowError::SchemaError("no table `findings`".into()))?;
    batch(&schema, |name| column(name, tenant, findings))
}

/// A batch whose columns are made by name, each cast to the type it has in the schema.
pub(crate) fn batch(
    schema: &SchemaRef,
    column: impl Fn(&str) -> Option<ArrayRef>,
) -> Result<RecordBatch, ArrowError> {
    let columns = schema.fields().iter().map(|field| {
        let made = column(field.name()).ok_or_else(|| {
            ArrowError::SchemaError(format!("nothing fills the column `{}`", field.name()))
        })?;
        if made.data_type() == field.data_type() {
            return Ok(made);
        }
        cast(&made, field.data_type())
    });
    let columns = columns.collect::<Result<_, _>>()?;
    RecordBatch::try_new(schema.clone(), columns)
}

/// A column of findings by its name.
pub(crate) fn column(name: &str, tenant: &str, findings: &[&Finding]) -> Option<ArrayRef> {
    let all = || findings.iter().copied();
    let named = |kind: EntityKind| {
        texts(all().map(move |f| {
            let entity = f.entities.iter().find(|e| e.kind == kind)?;
            Some(entity.id.clone())
        }))
    };
    let attack = |prefix: &'static str, other: bool| {
        lists(all().map(move |f| {
            let ids = f.attack.iter().filter(move |id| id.starts_with(prefix) != other);
            ids.cloned().collect::<Vec<_>>()
        }))
    };
    Some(match name {
        "time" => times(all().map(|f| Some(f.time))),
        "event_uid" => texts(all().map(|f| {
            let (id, table) = (f.id.to_string(), TableName::findings(1));
            let uid = EventUid::derive(tenant, SOURCE, id.as_bytes(), true, table.as_str(), 0);
            Some(uid.to_string())
        })),
        "source" => texts(all().map(|_| Some(SOURCE.to_owned()))),
        "id" => texts(all().map(|f| Some(f.id.to_string()))),
        "rule_id" => texts(all().map(|f| Some(f.rule_id.to_string()))),
        "rule_version" => texts(all().map(|f| Some(f.rule_version.to_string()))),
        "title" => texts(all().map(|f| Some(f.title.clone()))),
        "severity" => texts(all().map(|f| Some(f.severity.name().to_owned()))),
        "risk" => numbers(all().map(|f| Some(i64::from(f.risk)))),
        "entity_kind" => texts(all().map(|f| f.entities.first().map(|e| e.kind.name().to_owned()))),
        "entity_id" => texts(all().map(|f| f.entities.first().map(|e| e.id.clone()))),
        "entities" => lists(all().map(|f| {
            let one = |e: &sluice_finding::Entity| format!("{}:{}", e.kind.name(), e.id);
            f.entities.iter().map(one).collect()
        })),
        "user_entity" => named(EntityKind::User),
        "device_entity" => named(EntityKind::Device),
        "src_ip" => named(EntityKind::Ip),
        "tactic_id" => {
            texts(all().map(|f| f.attack.iter().find(|id| id.starts_with("TA")).cloned()))
        }
        "tactic_ids" => attack("TA", false),
        "technique_ids" => attack("TA", true),
        "window_start" => times(all().map(|f| f.window.map(|w| w.0))),
        "window_end" => times(all().map(|f| f.window.map(|w| w.1))),
        "count" => numbers(all().map(|f| i64::try_from(f.count).ok())),
        "shadow" => flags(all().map(|f| f.shadow)),
        "capped" => flags(all().map(|f| f.capped)),
        "fields" => texts(all().map(|f| serde_json::to_string(&f.fields).ok())),
        _ => return None,
    })
}

pub(crate) fn texts(values: impl Iterator<Item = Option<String>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

pub(crate) fn numbers(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(values.collect::<Int64Array>())
}

pub(crate) fn times(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(values.collect::<TimestampMillisecondArray>().with_timezone("UTC"))
}

pub(crate) fn flags(values: impl Iterator<Item = bool>) -> ArrayRef {
    Arc::new(values.map(Some).collect::<BooleanArray>())
}

pub(crate) fn lists(values: impl Iterator<Item = Vec<String>>) -> ArrayRef {
    let mut builder = ListBuilder::new(StringBuilder::new());
    for list in values {
        list.iter().for_each(|value| builder.values().append_value(value));
        builder.append(true);
    }
    Arc::new(builder.finish())
}
