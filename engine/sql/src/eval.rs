//! Expressions as the rest of the engine sees them: [`Eval`] over a DataFusion physical expression,
//! and the interner that gives equal ones equal ids.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use arrow::{
    array::{Array, ArrayRef, UInt32Array},
    compute::{cast, take},
    datatypes::{DataType, Schema, SchemaRef},
    record_batch::{RecordBatch, RecordBatchOptions},
};
use datafusion::{
    common::{DataFusionError, Result},
    logical_expr::ColumnarValue,
    physical_expr::{
        PhysicalExpr,
        expressions::Column,
        utils::{collect_columns, reassign_expr_columns},
    },
};
use sluice_event::{Eval, EvalError};

use crate::error::plain;

/// A compiled expression over one schema.
pub(crate) struct PhysicalEval {
    expr: Arc<dyn PhysicalExpr>,
    output: DataType,
    sql: String,
    /// The columns it reads, and the same expression over these alone.
    narrow: Option<(Vec<usize>, SchemaRef, Arc<dyn PhysicalExpr>)>,
    id: Option<u64>,
}

impl PhysicalEval {
    /// Wraps an expression that was planned against `schema`.
    pub(crate) fn new(expr: Arc<dyn PhysicalExpr>, schema: &Schema, sql: String) -> Result<Self> {
        let output = expr.data_type(schema)?;
        let mut columns: Vec<usize> = collect_columns(&expr).iter().map(Column::index).collect();
        columns.sort_unstable();
        // Without a column the number of rows would be lost.
        let narrow = (!columns.is_empty())
            .then(|| {
                let part = Arc::new(schema.project(&columns)?);
                let expr = reassign_expr_columns(Arc::clone(&expr), &part)?;
                Ok::<_, DataFusionError>((columns, part, expr))
            })
            .transpose()?;
        Ok(PhysicalEval { expr, output, sql, narrow, id: None })
    }

    /// The same, known by this number among the expressions over its table.
    pub(crate) fn known_as(self, id: u64) -> Self {
        PhysicalEval { id: Some(id), ..self }
    }

    fn finish(&self, value: Result<ColumnarValue>, rows: usize) -> Result<ArrayRef, EvalError> {
        let array = value.and_then(|v| v.into_array(rows)).map_err(|e| EvalError(plain(&e)))?;
        if array.data_type() == &self.output {
            return Ok(array);
        }
        cast(&array, &self.output).map_err(|e| EvalError(e.to_string()))
    }

    /// The expression.
    pub(crate) fn expr(&self) -> &Arc<dyn PhysicalExpr> {
        &self.expr
    }
}

impl Eval for PhysicalEval {
    fn eval(&self, batch: &RecordBatch) -> Result<ArrayRef, EvalError> {
        self.finish(self.expr.evaluate(batch), batch.num_rows())
    }

    fn eval_rows(&self, batch: &RecordBatch, rows: &UInt32Array) -> Result<ArrayRef, EvalError> {
        let Some((columns, schema, expr)) = &self.narrow else {
            let none = RecordBatchOptions::new().with_row_count(Some(rows.len()));
            let empty =
                RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &none);
            let value = empty.map_err(Into::into).and_then(|b| self.expr.evaluate(&b));
            return self.finish(value, rows.len());
        };
        let taken = columns.iter().map(|i| Ok(take(batch.column(*i), rows, None)?));
        let taken: Result<Vec<ArrayRef>> = taken.collect();
        let part = taken.and_then(|c| Ok(RecordBatch::try_new(Arc::clone(schema), c)?));
        self.finish(part.and_then(|b| expr.evaluate(&b)), rows.len())
    }

    fn column(&self) -> Option<usize> {
        self.expr.downcast_ref::<Column>().map(Column::index)
    }

    fn id(&self) -> Option<u64> {
        self.id
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
#[derive(Clone, Debug, Default)]
pub(crate) struct Interner {
    ids: Arc<Mutex<HashMap<Arc<dyn PhysicalExpr>, u64>>>,
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
        let tables = Named::stream(std::iter::empty::<(&TableName, &SchemaRef)>()).unwrap();
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
