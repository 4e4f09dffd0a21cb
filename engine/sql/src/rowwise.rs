//! A row on which an expression fails is left out, in batch as in the stream: filters, projections
//! and what is grouped are evaluated row by row where a whole batch fails. And integers that
//! overflow fail instead of wrapping.

use std::{fmt, hash::Hash, sync::Arc};

use arrow::{
    array::{ArrayRef, AsArray, BooleanArray},
    compute::{and, concat},
    datatypes::{DataType, Schema},
    record_batch::RecordBatch,
};
use datafusion::{
    common::{
        Result,
        config::ConfigOptions,
        tree_node::{Transformed, TreeNode},
    },
    logical_expr::{ColumnarValue, Operator},
    physical_expr::{PhysicalExpr, conjunction, expressions::BinaryExpr, split_conjunction},
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::{
        ChildrenPropertiesMode, ExecutionPlan, ReplaceChildrenOptions,
        aggregates::{AggregateExec, AggregateMode},
        filter::{FilterExec, FilterExecBuilder},
        projection::ProjectionExec,
    },
};

/// An expression whose sums, differences and products of integers fail when they overflow.
pub(crate) fn checked(
    expr: Arc<dyn PhysicalExpr>,
    schema: &Schema,
) -> Result<Arc<dyn PhysicalExpr>> {
    expr.transform_up(|expr| {
        let Some(binary) = expr.downcast_ref::<BinaryExpr>() else {
            return Ok(Transformed::no(expr));
        };
        let arithmetic =
            matches!(binary.op(), Operator::Plus | Operator::Minus | Operator::Multiply);
        let integer = |e: &Arc<dyn PhysicalExpr>| e.data_type(schema).is_ok_and(|t| t.is_integer());
        if !arithmetic || !integer(binary.left()) || !integer(binary.right()) {
            return Ok(Transformed::no(expr));
        }
        let checked =
            BinaryExpr::new(Arc::clone(binary.left()), *binary.op(), Arc::clone(binary.right()))
                .with_fail_on_overflow(true);
        Ok(Transformed::yes(Arc::new(checked) as Arc<dyn PhysicalExpr>))
    })
    .map(|done| done.data)
}

/// See the module.
#[derive(Debug)]
pub(crate) struct RowByRow;

impl PhysicalOptimizerRule for RowByRow {
    fn name(&self) -> &str {
        "row_by_row"
    }

    fn schema_check(&self) -> bool {
        true
    }

    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            if let Some(filter) = node.downcast_ref::<FilterExec>() {
                let schema = filter.input().schema();
                // A comparison of a column cannot fail, and the plan rests on it: where a column is a
                // constant, rows need no sorting by it.
                let (plain, open): (Vec<_>, Vec<_>) = split_conjunction(filter.predicate())
                    .into_iter()
                    .cloned()
                    .partition(is_plain_comparison);
                let mut parts = plain;
                if !open.is_empty() {
                    let rest = checked(conjunction(open), &schema)?;
                    parts.push(Arc::new(Holds { parts: vec![rest], is_condition: true }));
                }
                let filter =
                    FilterExecBuilder::from(filter).with_predicate(conjunction(parts)).build()?;
                return Ok(Transformed::yes(Arc::new(filter) as Arc<dyn ExecutionPlan>));
            }
            if let Some(projection) = node.downcast_ref::<ProjectionExec>() {
                let input = projection.input();
                let mut exprs = projection.expr().to_vec();
                for expr in &mut exprs {
                    expr.expr = checked(Arc::clone(&expr.expr), &input.schema())?;
                }
                let parts = exprs.iter().map(|e| Arc::clone(&e.expr)).collect();
                let input = kept(Arc::clone(input), parts)?;
                let projection = ProjectionExec::try_new(exprs, input)?;
                return Ok(Transformed::yes(Arc::new(projection) as Arc<dyn ExecutionPlan>));
            }
            if let Some(aggregate) = node.downcast_ref::<AggregateExec>()
                && matches!(
                    aggregate.mode(),
                    AggregateMode::Single
                        | AggregateMode::SinglePartitioned
                        | AggregateMode::Partial
                )
            {
                let mut parts: Vec<Arc<dyn PhysicalExpr>> =
                    aggregate.group_expr().expr().iter().map(|(e, _)| Arc::clone(e)).collect();
                parts.extend(aggregate.aggr_expr().iter().flat_map(|a| a.expressions()));
                parts.extend(aggregate.filter_expr().iter().flatten().cloned());
                let input = kept(Arc::clone(aggregate.input()), parts)?;
                let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
                let node = Arc::clone(&node).replace_children(vec![input], options)?;
                return Ok(Transformed::yes(node));
            }
            Ok(Transformed::no(node))
        })
        .map(|done| done.data)
    }
}

/// Whether an expression compares a column or literal with another.
fn is_plain_comparison(expr: &Arc<dyn PhysicalExpr>) -> bool {
    let binary = expr.downcast_ref::<BinaryExpr>();
    binary.is_some_and(|b| {
        matches!(
            b.op(),
            Operator::Eq
                | Operator::NotEq
                | Operator::Lt
                | Operator::LtEq
                | Operator::Gt
                | Operator::GtEq
        )
    }) && expr.children().iter().all(|child| child.children().is_empty())
}

/// The rows of `input` on which every expression has a value. Columns and literals always have.
fn kept(
    input: Arc<dyn ExecutionPlan>,
    parts: Vec<Arc<dyn PhysicalExpr>>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let computed: Vec<_> = parts.into_iter().filter(|part| !part.children().is_empty()).collect();
    if computed.is_empty() {
        return Ok(input);
    }
    let predicate = Arc::new(Holds { parts: computed, is_condition: false });
    Ok(Arc::new(FilterExec::try_new(predicate, input)?))
}

/// Whether a condition is TRUE, or expressions have a value at all; FALSE on a row on which one
/// fails.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Holds {
    parts: Vec<Arc<dyn PhysicalExpr>>,
    is_condition: bool,
}

impl Holds {
    fn whole(&self, batch: &RecordBatch) -> Result<BooleanArray> {
        let rows = batch.num_rows();
        let mut all = BooleanArray::from(vec![true; rows]);
        for part in &self.parts {
            let value: ArrayRef = part.evaluate(batch)?.into_array(rows)?;
            if self.is_condition {
                all = and(&all, value.as_boolean())?;
            }
        }
        Ok(all)
    }

    fn row_by_row(&self, batch: &RecordBatch) -> Result<BooleanArray> {
        let rows = batch.num_rows();
        match self.whole(batch) {
            Ok(all) => Ok(all),
            Err(_) if rows <= 1 => Ok(BooleanArray::from(vec![false; rows])),
            Err(_) => {
                let half = rows / 2;
                let first = self.row_by_row(&batch.slice(0, half))?;
                let second = self.row_by_row(&batch.slice(half, rows - half))?;
                let all = concat(&[&first, &second])?;
                Ok(all.as_boolean().clone())
            }
        }
    }
}

impl fmt::Display for Holds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.parts.iter().map(ToString::to_string).collect();
        write!(f, "holds({})", parts.join(", "))
    }
}

impl PhysicalExpr for Holds {
    fn data_type(&self, _: &Schema) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn nullable(&self, _: &Schema) -> Result<bool> {
        Ok(true)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        Ok(ColumnarValue::Array(Arc::new(self.row_by_row(batch)?)))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        self.parts.iter().collect()
    }

    fn with_new_children(
        self: Arc<Self>,
        parts: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        Ok(Arc::new(Holds { parts, is_condition: self.is_condition }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
