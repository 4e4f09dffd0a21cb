//! HAVING and SELECT over groups: values become columns once per batch of groups.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, AsArray, StructArray, TimestampMillisecondArray},
    datatypes::{DataType, Field, SchemaRef},
    record_batch::{RecordBatch, RecordBatchOptions},
};
use sluice_event::Value;

use super::Group;
use crate::{
    GroupColumn, WindowPlan,
    rows::{Failures, assemble, evaluate},
};

/// Groups with the values of their keys.
type Groups<'a> = [(&'a [Value], &'a Group)];

/// Which groups HAVING keeps; a group on which it fails is not kept.
pub(super) fn having(plan: &WindowPlan, groups: &Groups<'_>, failures: &mut Failures) -> Vec<bool> {
    let Some(having) = &plan.having else { return vec![true; groups.len()] };
    let mut keep = vec![false; groups.len()];
    let Some(batch) = batch(plan, groups, failures) else { return keep };
    let (rows, columns) = evaluate(std::slice::from_ref(having), &batch, failures);
    let verdicts = columns.first().and_then(|c| c.as_boolean_opt());
    for (row, verdict) in rows.iter().zip(verdicts.into_iter().flatten()) {
        keep[*row as usize] = verdict == Some(true);
    }
    keep
}

/// The finding's columns and of which groups they are; `None` if there is none.
pub(super) fn select(
    plan: &WindowPlan,
    output: &SchemaRef,
    groups: &Groups<'_>,
    failures: &mut Failures,
) -> Option<(Vec<u32>, RecordBatch)> {
    let batch = batch(plan, groups, failures)?;
    let (rows, columns) = evaluate(&plan.select, &batch, failures);
    match assemble(output, columns, rows.len()) {
        Ok(columns) => Some((rows, columns)),
        Err(error) => {
            failures.add(rows.len(), error);
            None
        }
    }
}

/// Groups in the schema HAVING and SELECT were compiled for.
fn batch(plan: &WindowPlan, groups: &Groups<'_>, failures: &mut Failures) -> Option<RecordBatch> {
    if groups.is_empty() {
        return None;
    }
    let columns = plan.layout.iter().zip(plan.group.fields()).map(|(column, field)| {
        let pick = |value: &dyn Fn(&[Value], &Group) -> Value| {
            let values: Vec<Value> = groups.iter().map(|(k, g)| value(k, g)).collect();
            Value::to_array(&values, field.data_type())
        };
        match *column {
            GroupColumn::Key(n) => pick(&|keys, _| keys.get(n).cloned().unwrap_or_default()),
            GroupColumn::Aggregate(n) => {
                pick(&|_, group| group.aggregates.get(n).cloned().unwrap_or_default())
            }
            GroupColumn::Window => windows(groups, field),
        }
    });
    let options = RecordBatchOptions::new().with_row_count(Some(groups.len()));
    RecordBatch::try_new_with_options(plan.group.clone(), columns.collect(), &options)
        .map_err(|error| failures.add(groups.len(), error.to_string()))
        .ok()
}

/// `Struct{start, end}` with the names and time zone of the field.
fn windows(groups: &Groups<'_>, field: &Field) -> ArrayRef {
    let DataType::Struct(fields) = field.data_type() else {
        return arrow::array::new_null_array(field.data_type(), groups.len());
    };
    let bounds = [
        TimestampMillisecondArray::from_iter_values(groups.iter().map(|(_, g)| g.window.0)),
        TimestampMillisecondArray::from_iter_values(groups.iter().map(|(_, g)| g.window.1)),
    ];
    let columns: Vec<ArrayRef> = bounds
        .into_iter()
        .zip(fields)
        .map(|(array, field)| match field.data_type() {
            DataType::Timestamp(_, zone) => {
                Arc::new(array.with_timezone_opt(zone.clone())) as ArrayRef
            }
            _ => Arc::new(array),
        })
        .collect();
    match StructArray::try_new(fields.clone(), columns, None) {
        Ok(windows) => Arc::new(windows),
        Err(_) => arrow::array::new_null_array(field.data_type(), groups.len()),
    }
}
