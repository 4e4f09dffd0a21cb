//! A mapping running: wire records in, rows of a table out, column by column. Not how its SQL
//! becomes expressions: that is [`compile`].

mod compile;
mod json;
mod like;
mod memo;
mod shared;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, new_null_array},
    compute::{
        CastOptions, cast_with_options, concat_batches, filter_record_batch, prep_null_mask_filter,
    },
    datatypes::{DataType, Field, Schema, SchemaRef},
    record_batch::{RecordBatch, RecordBatchOptions},
};
use datafusion::{
    common::{
        Result,
        tree_node::{TreeNode, TreeNodeRecursion},
    },
    physical_expr::{PhysicalExpr, expressions::Column},
};
use sluice_event::{Mapped, RowError, TableName, Transform};

pub use compile::compile_transform;
pub(crate) use compile::{placed, plain_expression, shape, stages_below};

use self::shared::Shared;
use crate::error::plain;

/// A compiled mapping.
struct SqlTransform {
    table: TableName,
    /// The table's schema, `time` nullable: a record may have none, and the engine gives it one.
    output: SchemaRef,
    when: Option<Condition>,
    /// Per column of the record: whether an expression behind `when` reads it.
    reads: Vec<bool>,
    /// What happens to a record before its columns are made: subqueries and WHERE.
    stages: Vec<Stage>,
    /// Distinct expressions over the last stage; each is evaluated once.
    sources: Vec<Arc<dyn PhysicalExpr>>,
    /// Which of them have few values.
    shared: Shared,
    /// The schema of what the sources give.
    evaluated: SchemaRef,
    /// Per column of the table.
    columns: Vec<Output>,
    /// The `unmapped` column and the keys gathered in it: key as JSON text, source.
    unmapped: Option<(usize, Vec<(String, usize)>)>,
    nulls: NullColumns,
}

/// Which records a mapping takes.
struct Condition {
    expr: Arc<dyn PhysicalExpr>,
    /// The same, if it has few values.
    shared: Shared,
    /// The schema of what it gives.
    evaluated: Schema,
}

/// A step before the SELECT list.
pub(crate) enum Stage {
    /// Keep records for which it is TRUE.
    Filter(Arc<dyn PhysicalExpr>),
    /// The columns of a subquery.
    Project(Vec<Arc<dyn PhysicalExpr>>, SchemaRef),
}

/// What fills a column.
#[derive(Clone, Copy)]
enum Output {
    /// Nothing: all NULL.
    Null,
    /// A source, cast to the column's type where it differs.
    Source(usize),
    /// A source that is a list or an object, as JSON text.
    Json(usize),
}

impl fmt::Debug for SqlTransform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SqlTransform({})", self.table)
    }
}

impl Transform for SqlTransform {
    fn table(&self) -> &TableName {
        &self.table
    }

    fn matches(&self, wire: &RecordBatch) -> BooleanArray {
        let Some(when) = &self.when else {
            return BooleanArray::from(vec![true; wire.num_rows()]);
        };
        let mut known = [None];
        when.shared.evaluate(wire, &when.evaluated, &mut known);
        if let [Some(known)] = &known
            && let Some(mask) = known.as_boolean_opt()
        {
            return mask.iter().map(|v| Some(v == Some(true))).collect();
        }
        let mut taken = Vec::with_capacity(wire.num_rows());
        bisect(wire, 0, &mut |slice, _| match boolean(&when.expr, slice) {
            Ok(mask) => {
                taken.extend(mask.iter().map(|v| v == Some(true)));
                Ok(())
            }
            Err(message) if slice.num_rows() > 1 => Err(message),
            // A condition that fails on a record is not TRUE.
            Err(_) => {
                taken.push(false);
                Ok(())
            }
        });
        BooleanArray::from(taken)
    }

    fn reads(&self, column: usize) -> bool {
        self.reads.get(column).copied().unwrap_or(true)
    }

    fn apply(&self, wire: &RecordBatch) -> Mapped {
        let mut parts: Vec<RecordBatch> = Vec::new();
        let mut record = Vec::with_capacity(wire.num_rows());
        let mut failed = Vec::new();
        bisect(wire, 0, &mut |slice, from| match self.evaluate(slice) {
            Ok((batch, rows)) => {
                record.extend(rows.iter().map(|row| row + from));
                parts.push(batch);
                Ok(())
            }
            Err(message) if slice.num_rows() > 1 => Err(message),
            Err(message) => {
                failed.push(RowError { record: from, message });
                Ok(())
            }
        });
        let evaluated = match parts.as_slice() {
            [one] => Ok(one.clone()),
            many => concat_batches(&self.evaluated, many),
        };
        evaluated.and_then(|batch| self.finish(&batch)).map_or_else(
            |error| self.all_failed(wire, &error.to_string()),
            |(rows, conflicts)| Mapped { rows, record, failed, conflicts },
        )
    }
}

impl Condition {
    fn new(expr: Arc<dyn PhysicalExpr>, record: &Schema) -> Result<Self> {
        let fields = [Field::new("when", DataType::Boolean, true)];
        let shared = Shared::new(std::slice::from_ref(&expr), &fields, record)?;
        Ok(Condition { expr, shared, evaluated: Schema::new(fields.to_vec()) })
    }
}

impl SqlTransform {
    /// The sources over some records, and which of them are left.
    fn evaluate(&self, wire: &RecordBatch) -> Result<(RecordBatch, Vec<u32>), String> {
        let (batch, rows) = run_stages(&self.stages, wire)?;
        let mut known = vec![None; self.sources.len()];
        self.shared.evaluate(&batch, &self.evaluated, &mut known);
        Ok((evaluate_unknown(&self.sources, &self.evaluated, &batch, known)?, rows))
    }

    /// The table's columns from the sources; conflicts are values that could not be cast.
    fn finish(
        &self,
        sources: &RecordBatch,
    ) -> Result<(RecordBatch, Vec<(usize, u64)>), arrow::error::ArrowError> {
        let rows = sources.num_rows();
        let mut conflicts = Vec::new();
        let mut columns = Vec::with_capacity(self.columns.len());
        for (i, (output, field)) in self.columns.iter().zip(self.output.fields()).enumerate() {
            let column = match *output {
                Output::Null => self.nulls.get(field.data_type(), rows),
                Output::Json(source) => json::texts(sources.column(source)),
                Output::Source(source) => {
                    let value = sources.column(source);
                    if value.data_type() == field.data_type() {
                        Arc::clone(value)
                    } else {
                        let safe = CastOptions { safe: true, ..CastOptions::default() };
                        let cast = cast_with_options(value, field.data_type(), &safe)?;
                        let lost = logical_nulls(&cast).saturating_sub(logical_nulls(value));
                        if lost > 0 {
                            conflicts.push((i, lost as u64));
                        }
                        cast
                    }
                }
            };
            columns.push(column);
        }
        if let Some((column, keys)) = &self.unmapped {
            let keys: Vec<(&str, &ArrayRef)> =
                keys.iter().map(|(key, source)| (key.as_str(), sources.column(*source))).collect();
            columns[*column] = json::objects(&keys, rows);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.output), columns, &options)?;
        Ok((batch, conflicts))
    }

    fn all_failed(&self, wire: &RecordBatch, message: &str) -> Mapped {
        Mapped {
            rows: RecordBatch::new_empty(Arc::clone(&self.output)),
            record: Vec::new(),
            failed: (0..wire.num_rows() as u32)
                .map(|record| RowError { record, message: message.to_owned() })
                .collect(),
            conflicts: Vec::new(),
        }
    }
}

/// Per column of a record with so many: whether the stages, or expressions over the last one, read it.
fn reads(stages: &[Stage], sources: &[Arc<dyn PhysicalExpr>], columns: usize) -> Result<Vec<bool>> {
    let mut reads = vec![false; columns];
    let mut read = |expr: &Arc<dyn PhysicalExpr>| -> Result<()> {
        expr.apply(|part| {
            let column = part.downcast_ref::<Column>();
            if let Some(read) = column.and_then(|column| reads.get_mut(column.index())) {
                *read = true;
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(())
    };
    for stage in stages {
        match stage {
            Stage::Filter(condition) => read(condition)?,
            // What comes after it reads what it gives.
            Stage::Project(exprs, _) => {
                exprs.iter().try_for_each(read)?;
                return Ok(reads);
            }
        }
    }
    sources.iter().try_for_each(read)?;
    Ok(reads)
}

/// The records that are left after the stages, and their indices.
pub(crate) fn run_stages(
    stages: &[Stage],
    input: &RecordBatch,
) -> Result<(RecordBatch, Vec<u32>), String> {
    let mut batch = input.clone();
    let mut rows: Vec<u32> = (0..input.num_rows() as u32).collect();
    for stage in stages {
        match stage {
            Stage::Filter(condition) => {
                let mask = boolean(condition, &batch)?;
                rows = rows
                    .into_iter()
                    .zip(mask.iter())
                    .filter(|(_, keep)| *keep == Some(true))
                    .map(|(row, _)| row)
                    .collect();
                batch = filter_record_batch(&batch, &mask).map_err(|e| e.to_string())?;
            }
            Stage::Project(exprs, schema) => batch = evaluate_columns(exprs, schema, &batch)?,
        }
    }
    Ok((batch, rows))
}

/// Calls `step` with the whole batch, and on an error with its halves, down to single records, whose
/// error `step` must handle. `from` is the index of the slice's first record.
pub(crate) fn bisect(
    batch: &RecordBatch,
    from: u32,
    step: &mut impl FnMut(&RecordBatch, u32) -> Result<(), String>,
) {
    if step(batch, from).is_ok() || batch.num_rows() <= 1 {
        return;
    }
    let half = batch.num_rows() / 2;
    bisect(&batch.slice(0, half), from, step);
    bisect(&batch.slice(half, batch.num_rows() - half), from + half as u32, step);
}

pub(crate) fn evaluate_columns(
    exprs: &[Arc<dyn PhysicalExpr>],
    schema: &SchemaRef,
    batch: &RecordBatch,
) -> Result<RecordBatch, String> {
    evaluate_unknown(exprs, schema, batch, vec![None; exprs.len()])
}

/// The same where some arrays are `known` already.
fn evaluate_unknown(
    exprs: &[Arc<dyn PhysicalExpr>],
    schema: &SchemaRef,
    batch: &RecordBatch,
    known: Vec<Option<ArrayRef>>,
) -> Result<RecordBatch, String> {
    let arrays = exprs
        .iter()
        .zip(schema.fields())
        .zip(known)
        .map(|((expr, field), known)| {
            if let Some(array) = known {
                return Ok(array);
            }
            let array = expr
                .evaluate(batch)
                .and_then(|value| value.into_array(batch.num_rows()))
                .map_err(|e| plain(&e))?;
            if array.data_type() == field.data_type() {
                return Ok(array);
            }
            arrow::compute::cast(&array, field.data_type()).map_err(|e| e.to_string())
        })
        .collect::<Result<Vec<_>, String>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), arrays, &options)
        .map_err(|e| e.to_string())
}

fn boolean(condition: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> Result<BooleanArray, String> {
    let value = condition
        .evaluate(batch)
        .and_then(|value| value.into_array(batch.num_rows()))
        .map_err(|e| plain(&e))?;
    match value.as_boolean_opt() {
        Some(mask) if mask.null_count() > 0 => Ok(prep_null_mask_filter(mask)),
        Some(mask) => Ok(mask.clone()),
        None if value.data_type() == &DataType::Null => {
            Ok(BooleanArray::from(vec![false; batch.num_rows()]))
        }
        None => Err("the condition is not boolean".to_owned()),
    }
}

fn logical_nulls(array: &ArrayRef) -> usize {
    if array.data_type() == &DataType::Null { array.len() } else { array.logical_null_count() }
}

/// All-null columns, one per type, sliced to the length asked for.
#[derive(Default)]
struct NullColumns(Mutex<Vec<ArrayRef>>);

impl NullColumns {
    fn get(&self, data_type: &DataType, rows: usize) -> ArrayRef {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = known.iter().position(|a| a.data_type() == data_type);
        if let Some(array) = place.and_then(|i| known.get(i)).filter(|a| a.len() >= rows) {
            return array.slice(0, rows);
        }
        let array = empty_column(data_type, rows);
        match place.and_then(|i| known.get_mut(i)) {
            Some(shorter) => shorter.clone_from(&array),
            None => known.push(Arc::clone(&array)),
        }
        array
    }
}

/// NULLs; of a list type empty lists, since lists of the vocabulary are never NULL.
fn empty_column(data_type: &DataType, rows: usize) -> ArrayRef {
    let nulls = new_null_array(data_type, rows);
    match nulls.as_list_opt::<i32>() {
        Some(list) => {
            let (field, offsets, values, _) = list.clone().into_parts();
            Arc::new(arrow::array::ListArray::new(field, offsets, values, None))
        }
        None => nulls,
    }
}
