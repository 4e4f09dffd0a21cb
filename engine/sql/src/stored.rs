//! Tables whose rows are read as they are scanned: only the columns that a query needs, without rows that
//! its conditions on `time` leave out. Not where the rows are: who has them implements [`StoredRows`].

use std::{fmt, sync::Arc};

use arrow::{datatypes::SchemaRef, record_batch::RecordBatch};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::{DataFusionError, Result, ScalarValue},
    execution::{TaskContext, memory_pool::MemoryConsumer},
    logical_expr::{BinaryExpr, Expr, Operator, TableProviderFilterPushDown, TableType},
    physical_plan::{
        ExecutionPlan, SendableRecordBatchStream,
        stream::RecordBatchStreamAdapter,
        streaming::{PartitionStream, StreamingTableExec},
    },
};
use futures::stream;

use crate::deadline;

/// The rows of a table.
///
/// Guarantees: every scan of one value gives the same rows.
pub trait StoredRows: fmt::Debug + Send + Sync {
    /// All columns of the table.
    fn schema(&self) -> SchemaRef;

    /// The rows, batch by batch, each with these columns in this order. Rows that `wanted` leaves out by
    /// their time may be given all the same.
    fn scan(&self, wanted: &Wanted) -> StoredBatches;
}

/// Batches of rows, one after the other.
pub type StoredBatches = Box<dyn Iterator<Item = Result<RecordBatch, String>> + Send>;

/// What a query needs of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Columns, by name.
    pub columns: Vec<String>,
    /// Event time at or after, milliseconds since 1970 UTC.
    pub from: Option<i64>,
    /// Event time before.
    pub to: Option<i64>,
}

/// Tables with the same columns, one after the other, as a table.
#[derive(Debug)]
pub(crate) struct StoredTable {
    pub(crate) schema: SchemaRef,
    pub(crate) parts: Vec<Arc<dyn StoredRows>>,
}

#[async_trait]
impl TableProvider for StoredTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// Conditions on `time` only spare reading other rows; they are evaluated all the same.
    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let of = |filter: &&Expr| match bounds(filter) {
            (None, None) => TableProviderFilterPushDown::Unsupported,
            _ => TableProviderFilterPushDown::Inexact,
        };
        Ok(filters.iter().map(of).collect())
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = match projection {
            Some(columns) => Arc::new(self.schema.project(columns)?),
            None => self.schema.clone(),
        };
        let columns = schema.fields().iter().map(|field| field.name().clone()).collect();
        let mut wanted = Wanted { columns, from: None, to: None };
        for (from, to) in filters.iter().map(bounds) {
            wanted.from = wanted.from.max(from);
            wanted.to = wanted.to.into_iter().chain(to).min();
        }
        let rows = Scan { parts: self.parts.clone(), wanted, schema: schema.clone() };
        let exec =
            StreamingTableExec::try_new(schema, vec![Arc::new(rows)], None, None, false, limit)?;
        Ok(Arc::new(exec))
    }
}

/// The times that a condition leaves: at or after, before. Wider than the condition where it is not simple.
fn bounds(filter: &Expr) -> (Option<i64>, Option<i64>) {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = filter else {
        let Expr::Between(between) = filter else { return (None, None) };
        return match (is_time(&between.expr), between.negated) {
            (true, false) => (instant(&between.low), instant(&between.high).and_then(after)),
            _ => (None, None),
        };
    };
    if *op == Operator::And {
        let ((a, b), (c, d)) = (bounds(left), bounds(right));
        return (a.max(c), b.into_iter().chain(d).min());
    }
    let (op, value) = match (is_time(left), is_time(right)) {
        (true, false) => (*op, instant(right)),
        (false, true) => match op.swap() {
            Some(op) => (op, instant(left)),
            None => return (None, None),
        },
        _ => return (None, None),
    };
    let Some(value) = value else { return (None, None) };
    match op {
        Operator::Gt => (after(value), None),
        Operator::GtEq => (Some(value), None),
        Operator::Lt => (None, Some(value)),
        Operator::LtEq => (None, after(value)),
        Operator::Eq => (Some(value), after(value)),
        _ => (None, None),
    }
}

fn after(value: i64) -> Option<i64> {
    value.checked_add(1)
}

fn is_time(expr: &Expr) -> bool {
    matches!(expr, Expr::Column(column) if column.name == "time")
}

/// A literal instant of the type of `time`.
fn instant(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::Literal(ScalarValue::TimestampMillisecond(value, _), _) => *value,
        _ => None,
    }
}

#[derive(Debug)]
struct Scan {
    parts: Vec<Arc<dyn StoredRows>>,
    wanted: Wanted,
    schema: SchemaRef,
}

impl PartitionStream for Scan {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let reserved = MemoryConsumer::new("history").register(context.memory_pool());
        let (parts, wanted) = (self.parts.clone(), self.wanted.clone());
        let schema = self.schema.clone();
        let batches = parts.into_iter().flat_map(move |part| part.scan(&wanted));
        let batches = batches.map(move |batch| -> Result<RecordBatch> {
            deadline::check()?;
            let batch = batch.map_err(DataFusionError::Execution)?;
            reserved.try_resize(batch.get_array_memory_size())?;
            // Which columns may be NULL is the table's to say.
            Ok(RecordBatch::try_new_with_options(
                schema.clone(),
                batch.columns().to_vec(),
                &arrow::record_batch::RecordBatchOptions::new()
                    .with_row_count(Some(batch.num_rows())),
            )?)
        });
        Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), stream::iter(batches)))
    }
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::{col, lit};

    use super::*;

    #[test]
    fn simple_conditions_on_time_are_bounds_and_others_are_none() {
        let at = |ms| lit(ScalarValue::TimestampMillisecond(Some(ms), Some("UTC".into())));
        let time = || col("time");
        assert_eq!(bounds(&time().gt_eq(at(5))), (Some(5), None));
        assert_eq!(bounds(&time().gt(at(5))), (Some(6), None));
        assert_eq!(bounds(&at(5).gt(time())), (None, Some(5)));
        assert_eq!(bounds(&time().lt_eq(at(5))), (None, Some(6)));
        assert_eq!(bounds(&time().eq(at(5))), (Some(5), Some(6)));
        assert_eq!(bounds(&time().between(at(1), at(4))), (Some(1), Some(5)));
        assert_eq!(bounds(&time().not_between(at(1), at(4))), (None, None));
        assert_eq!(bounds(&time().gt(at(1)).and(time().lt(at(9)))), (Some(2), Some(9)));
        assert_eq!(bounds(&time().gt(at(1)).or(time().lt(at(9)))), (None, None));
        assert_eq!(bounds(&time().not_eq(at(1))), (None, None));
        assert_eq!(bounds(&col("user_name").eq(lit("a"))), (None, None));
        assert_eq!(bounds(&time().gt(lit("2026-01-01"))), (None, None));
    }
}
