//! Expressions as the rest of the engine sees them: [`Eval`] over a DataFusion physical expression,
//! and the interner that gives equal ones equal ids.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use arrow::{
    array::{Array, ArrayRef},
    compute::cast,
    datatypes::{DataType, Schema},
    record_batch::RecordBatch,
};
use datafusion::{common::Result, physical_expr::PhysicalExpr};
use sluice_event::{Eval, EvalError};

use crate::error::plain;

/// A compiled expression over one schema.
pub(crate) struct PhysicalEval {
    expr: Arc<dyn PhysicalExpr>,
    output: DataType,
    sql: String,
}

impl PhysicalEval {
    /// Wraps an expression that was planned against `schema`.
    pub(crate) fn new(expr: Arc<dyn PhysicalExpr>, schema: &Schema, sql: String) -> Result<Self> {
        let output = expr.data_type(schema)?;
        Ok(PhysicalEval { expr, output, sql })
    }

    /// The expression.
    pub(crate) fn expr(&self) -> &Arc<dyn PhysicalExpr> {
        &self.expr
    }
}

impl Eval for PhysicalEval {
    fn eval(&self, batch: &RecordBatch) -> Result<ArrayRef, EvalError> {
        let array = self
            .expr
            .evaluate(batch)
            .and_then(|value| value.into_array(batch.num_rows()))
            .map_err(|e| EvalError(plain(&e)))?;
        if array.data_type() == &self.output {
            return Ok(array);
        }
        cast(&array, &self.output).map_err(|e| EvalError(e.to_string()))
    }

    fn output(&self) -> &DataType {
        &self.output
    }

    fn sql(&self) -> &str {
        &self.sql
    }
}

impl fmt::Debug for PhysicalEval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PhysicalEval({})", self.sql)
    }
}

/// Gives each distinct physical expression a number. Equal expressions (same columns by index, same
/// literals, same functions) have the same number for the life of the process; a number says nothing
/// across processes. Two tables may share one: compare within a table.
#[derive(Debug, Default)]
pub(crate) struct Interner {
    ids: Mutex<HashMap<Arc<dyn PhysicalExpr>, u64>>,
}

impl Interner {
    /// The number of an expression.
    pub(crate) fn id(&self, expr: &Arc<dyn PhysicalExpr>) -> u64 {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        let next = ids.len() as u64;
        *ids.entry(Arc::clone(expr)).or_insert(next)
    }
}
