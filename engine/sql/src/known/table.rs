//! `baseline.<name>` as a table: read as it is scanned, and only the entities that a condition names.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::{DataFusionError, Result},
    execution::TaskContext,
    logical_expr::{BinaryExpr, Expr, Operator, TableProviderFilterPushDown, TableType},
    physical_plan::{
        ExecutionPlan, SendableRecordBatchStream,
        stream::RecordBatchStreamAdapter,
        streaming::{PartitionStream, StreamingTableExec},
    },
};
use futures::stream;

use super::{Asked, BASELINE, BaselineTable, baseline_columns};

/// The tables of baselines, each with its name as SQL spells it.
pub(crate) fn tables(asked: &Asked) -> Vec<(String, Arc<dyn TableProvider>)> {
    let of = |baseline: &BaselineTable| -> (String, Arc<dyn TableProvider>) {
        let (asked, columns) = (asked.clone(), baseline_columns());
        let table = Table { asked, name: baseline.name.clone(), columns };
        (format!("{BASELINE}.{}", baseline.name), Arc::new(table))
    };
    asked.0.baselines().iter().map(of).collect()
}

#[derive(Debug)]
struct Table {
    asked: Asked,
    name: String,
    columns: SchemaRef,
}

#[async_trait]
impl TableProvider for Table {
    fn schema(&self) -> SchemaRef {
        self.columns.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    /// Conditions that name entities only spare reading the others; they are evaluated all the same.
    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let of = |filter: &&Expr| match entities(filter) {
            Some(_) => TableProviderFilterPushDown::Inexact,
            None => TableProviderFilterPushDown::Unsupported,
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
        let rows = Rows {
            asked: self.asked.clone(),
            name: self.name.clone(),
            entities: filters.iter().find_map(entities),
            columns: self.columns.clone(),
        };
        let exec = StreamingTableExec::try_new(
            self.columns.clone(),
            vec![Arc::new(rows)],
            projection,
            None,
            false,
            limit,
        )?;
        Ok(Arc::new(exec))
    }
}

/// The entities that a condition names, if it is true of no other.
fn entities(filter: &Expr) -> Option<Vec<String>> {
    let is_entity = |expr: &Expr| matches!(expr, Expr::Column(column) if column.name == "entity");
    let text = |expr: &Expr| match expr {
        Expr::Literal(value, _) => value.try_as_str().flatten().map(str::to_owned),
        _ => None,
    };
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
            let (column, value) = if is_entity(left) { (left, right) } else { (right, left) };
            is_entity(column).then(|| text(value)).flatten().map(|name| vec![name])
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            let mut named = entities(left)?;
            named.extend(entities(right)?);
            Some(named)
        }
        Expr::InList(list) if !list.negated && is_entity(&list.expr) => {
            list.list.iter().map(text).collect()
        }
        _ => None,
    }
}

#[derive(Debug)]
struct Rows {
    asked: Asked,
    name: String,
    entities: Option<Vec<String>>,
    columns: SchemaRef,
}

impl PartitionStream for Rows {
    fn schema(&self) -> &SchemaRef {
        &self.columns
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let failed = DataFusionError::Execution;
        let rows = self.asked.0.rows(&self.name, self.entities.as_deref());
        let rows: Box<dyn Iterator<Item = Result<_>> + Send> = match rows {
            Ok(rows) => Box::new(rows.map(move |batch| batch.map_err(failed))),
            Err(reason) => Box::new(std::iter::once(Err(failed(reason)))),
        };
        Box::pin(RecordBatchStreamAdapter::new(self.columns.clone(), stream::iter(rows)))
    }
}
