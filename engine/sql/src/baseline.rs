//! The SELECT of a baseline: rows of a table, or of a file's wire record, in; its columns out. Not what
//! the columns mean to the baseline.

use std::{fmt, sync::Arc};

use arrow::{
    compute::concat_batches,
    datatypes::{DataType, Field, Schema as ArrowSchema, SchemaRef},
    record_batch::RecordBatch,
};
use datafusion::{common::DataFusionError, logical_expr::LogicalPlan, physical_expr::PhysicalExpr};
use sluice_event::RowError;

use crate::{
    blame,
    error::SqlProblem,
    session::{Session, Tables, with_stack},
    transform::{
        Stage, bisect, evaluate_columns, placed, plain_expression, run_stages, shape, stages_below,
    },
};

/// What FROM names where a file's own records are read.
pub const INPUT: &str = "input";

/// A stateless SELECT, compiled: each row of its input gives at most one row.
pub struct Select {
    from: String,
    stages: Vec<Stage>,
    columns: Vec<Arc<dyn PhysicalExpr>>,
    output: SchemaRef,
}

/// What a [`Select`] made of a batch.
#[derive(Debug)]
pub struct Selected {
    /// The columns of the SELECT list, dictionaries and views decoded.
    pub rows: RecordBatch,
    /// Per row: the index of its row in the batch given.
    pub record: Vec<u32>,
    /// Rows on which an expression failed.
    pub failed: Vec<RowError>,
}

impl fmt::Debug for Select {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Select({})", self.output)
    }
}

impl Select {
    /// Compiles a SELECT over one table of the vocabulary, or over [`INPUT`] if `record` gives its
    /// columns; names of a record keep their case, as in mappings.
    ///
    /// # Errors
    /// Every problem found: unknown columns, a clock, other statements or tables, joins, aggregates.
    pub fn compile(record: Option<&SchemaRef>, sql: &str) -> Result<Select, Vec<SqlProblem>> {
        let compiled = with_stack(|| Ok(compile(record, sql)));
        compiled.unwrap_or_else(|e| Err(SqlProblem::all(&e)))
    }

    /// The table FROM names.
    pub fn from(&self) -> &str {
        &self.from
    }

    /// The columns it returns.
    pub fn schema(&self) -> &SchemaRef {
        &self.output
    }

    /// Evaluates it over every row of a batch.
    pub fn apply(&self, batch: &RecordBatch) -> Selected {
        let mut parts = Vec::new();
        let mut record = Vec::with_capacity(batch.num_rows());
        let mut failed = Vec::new();
        bisect(batch, 0, &mut |slice, from| match self.evaluate(slice) {
            Ok((rows, kept)) => {
                record.extend(kept.iter().map(|row| row + from));
                parts.push(rows);
                Ok(())
            }
            Err(message) if slice.num_rows() > 1 => Err(message),
            Err(message) => {
                failed.push(RowError { record: from, message });
                Ok(())
            }
        });
        let rows = match parts.as_slice() {
            [one] => Ok(one.clone()),
            many => concat_batches(&self.output, many),
        };
        match rows {
            Ok(rows) => Selected { rows, record, failed },
            Err(error) => Selected {
                rows: RecordBatch::new_empty(Arc::clone(&self.output)),
                record: Vec::new(),
                failed: (0..batch.num_rows() as u32)
                    .map(|record| RowError { record, message: error.to_string() })
                    .collect(),
            },
        }
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<(RecordBatch, Vec<u32>), String> {
        let (batch, kept) = run_stages(&self.stages, batch)?;
        Ok((evaluate_columns(&self.columns, &self.output, &batch)?, kept))
    }
}

fn compile(record: Option<&SchemaRef>, sql: &str) -> Result<Select, Vec<SqlProblem>> {
    let all = |e: DataFusionError| SqlProblem::all(&e);
    let here = |problems: Vec<SqlProblem>| {
        problems.into_iter().map(|p| placed(of_baselines(p), sql)).collect::<Vec<_>>()
    };
    let (session, tables) = match record {
        Some(schema) => (Session::mappings(), Tables::single(INPUT, schema)),
        None => (Session::rules(), Tables::stream([])),
    };
    let tables = tables.map_err(all)?;
    let raw = session.plan(sql, &tables).map_err(|e| here(all(e)))?;
    let plan = session.analyze(raw.clone()).map_err(|e| here(blame::analysis(&e, &raw)))?;
    let LogicalPlan::Projection(select) = plan else {
        return Err(here(vec![shape(&plan)]));
    };
    let mut stages = Vec::new();
    stages_below(&session, &select.input, &mut stages).map_err(here)?;
    let mut columns = Vec::new();
    let mut fields = Vec::new();
    for (expr, column) in select.expr.iter().zip(select.schema.columns()) {
        plain_expression(expr).map_err(|e| here(all(e)))?;
        let input = select.input.schema();
        let physical = session.physical(expr.clone().unalias(), input).map_err(|e| here(all(e)))?;
        let data_type = physical.data_type(input.as_arrow()).map_err(|e| here(all(e)))?;
        fields.push(Field::new(column.name, decoded(&data_type), true));
        columns.push(physical);
    }
    let from = scanned(&select.input).unwrap_or_default();
    Ok(Select { from, stages, columns, output: Arc::new(ArrowSchema::new(fields)) })
}

/// The table at the bottom of a plan of one input.
fn scanned(plan: &LogicalPlan) -> Option<String> {
    match plan {
        LogicalPlan::TableScan(scan) => Some(scan.table_name.table().to_owned()),
        other => other.inputs().first().and_then(|input| scanned(input)),
    }
}

/// The type without its encoding.
fn decoded(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Dictionary(_, value) => decoded(value),
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        other => other.clone(),
    }
}

/// The same checks serve mappings and say so.
fn of_baselines(mut problem: SqlProblem) -> SqlProblem {
    problem.message = problem.message.replace("a mapping cannot", "a baseline cannot");
    if problem.detail.as_deref() == Some("each record becomes one row, by itself") {
        problem.detail = Some("its SELECT gives a row for each event, by itself".to_owned());
        problem.hint =
            Some("the engine counts: declare a feature of kind `count` or `distinct`".to_owned());
    }
    problem
}
