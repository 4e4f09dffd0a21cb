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

#[cfg(test)]
mod tests {
    use datafusion::{common::DFSchema, logical_expr::LogicalPlan};
    use sluice_event::{Schema as Tables, TableName};

    use super::*;
    use crate::session::{Session, Tables as Named};

    /// The conditions of `SELECT .. WHERE ..` as the classifier sees them, against the full table.
    fn condition(text: &str) -> PhysicalEval {
        let session = Session::rules();
        let tables =
            Named::stream(std::iter::empty::<(&TableName, &arrow::datatypes::SchemaRef)>())
                .unwrap();
        let sql = format!("SELECT a.time FROM authentication AS a WHERE {text}");
        let plan = session.optimize(&session.plan(&sql, &tables).unwrap()).unwrap();
        let LogicalPlan::Projection(projection) = plan else { panic!("{plan}") };
        let LogicalPlan::Filter(filter) = projection.input.as_ref() else {
            panic!("{projection:?}")
        };
        let table = Tables::builtin().table("authentication").unwrap();
        let schema = DFSchema::try_from(table.arrow.as_ref().clone()).unwrap();
        session.eval(filter.predicate.clone(), text.to_owned(), &schema).unwrap()
    }

    #[test]
    fn equal_conditions_of_different_texts_have_one_number() {
        let interner = Interner::default();
        let id = |text: &str| interner.id(condition(text).expr());
        assert_eq!(id("a.status = 'x'"), id("status='x'"));
        assert_eq!(id("a.src_port > 5"), id("5 < src_port"));
        assert_eq!(id("icontains(user_agent, 'X')"), id("ICONTAINS(a.user_agent,  'X')"));
        assert_ne!(id("status = 'x'"), id("status = 'y'"));
        assert_ne!(id("status = 'x'"), id("activity = 'x'"));
        assert_ne!(id("icontains(user_agent, 'X')"), id("istarts(user_agent, 'X')"));
    }

    #[test]
    fn evaluation_gives_a_value_per_row_and_keeps_failing_apart() {
        let table = Tables::builtin().table("authentication").unwrap();
        let columns = table
            .arrow
            .fields()
            .iter()
            .map(|f| match f.name().as_str() {
                "time" => cast(&arrow::array::Int64Array::from(vec![1, 2]), f.data_type()).unwrap(),
                "src_port" => {
                    cast(&arrow::array::Int64Array::from(vec![0, 5]), f.data_type()).unwrap()
                }
                _ => arrow::array::new_null_array(f.data_type(), 2),
            })
            .collect();
        let batch = RecordBatch::try_new(table.arrow.clone(), columns).unwrap();
        let eval = condition("10 / src_port = 2");
        assert_eq!(eval.sql(), "10 / src_port = 2");
        assert_eq!(eval.output(), &DataType::Boolean);
        assert!(eval.eval(&batch).unwrap_err().to_string().contains("ivide by zero"));
        assert_eq!(eval.eval(&batch.slice(1, 1)).unwrap().len(), 1);
        assert_eq!(condition("status IS NULL").eval(&batch).unwrap().len(), 2);
    }
}
