//! HAVING as a tree of comparisons of an aggregate with a constant, where it is one: what a stream
//! judges without an expression engine. Everything else stays an expression.

use arrow::datatypes::DataType;
use datafusion::{
    common::ScalarValue,
    logical_expr::{BinaryExpr, Expr, Operator},
};
use sluice_event::Value;
use sluice_stream::{Aggregate, AggregateFunction, Comparison, Condition, Limits, Window};

use crate::error::SqlProblem;

/// The tree of a simplified condition. `aggregate` gives number and type of a column that is one.
pub(crate) fn condition(
    expr: &Expr,
    aggregate: &impl Fn(&str) -> Option<(usize, DataType)>,
) -> Option<Condition> {
    match expr {
        Expr::Alias(alias) => condition(&alias.expr, aggregate),
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            Some(Condition::All(vec![condition(left, aggregate)?, condition(right, aggregate)?]))
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            Some(Condition::Any(vec![condition(left, aggregate)?, condition(right, aggregate)?]))
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (column, op, value) = match (left.as_ref(), right.as_ref()) {
                (Expr::Column(column), Expr::Literal(value, _)) => (column, *op, value),
                (Expr::Literal(value, _), Expr::Column(column)) => (column, op.swap()?, value),
                _ => return None,
            };
            let (aggregate, data_type) = aggregate(&column.name)?;
            let comparison = match op {
                Operator::Lt => Comparison::Less,
                Operator::LtEq => Comparison::LessOrEqual,
                Operator::Gt => Comparison::Greater,
                Operator::GtEq => Comparison::GreaterOrEqual,
                Operator::Eq => Comparison::Equal,
                Operator::NotEq => Comparison::NotEqual,
                _ => return None,
            };
            Some(Condition::Compare {
                aggregate,
                comparison,
                constant: constant(value, &data_type)?,
            })
        }
        _ => None,
    }
}

/// A constant of the type of what it is compared with, where the comparison of values is that of
/// SQL.
fn constant(value: &ScalarValue, data_type: &DataType) -> Option<Value> {
    Some(match (value, data_type) {
        (ScalarValue::Int64(Some(v)), DataType::Int64) => Value::Int(*v),
        (ScalarValue::Float64(Some(v)), DataType::Float64) => Value::Float(*v),
        (ScalarValue::Utf8(Some(v)), DataType::Utf8) => Value::Text(v.as_str().into()),
        (ScalarValue::TimestampMillisecond(Some(v), _), DataType::Timestamp(_, _)) => {
            Value::Time(*v)
        }
        _ => return None,
    })
}

/// Refuses a comparison that no group reaches because a busy key of a sliding window does not keep so
/// many distinct values: only thresholds that growing values pass for good do without.
pub(crate) fn check_reachable(
    condition: &Condition,
    window: Window,
    aggregates: &[Aggregate],
    limits: &Limits,
) -> Result<(), Vec<SqlProblem>> {
    let Window::Sliding { .. } = window else { return Ok(()) };
    let most = limits.window_events_max as i64;
    for leaf in condition.leaves() {
        let Condition::Compare { aggregate, comparison, constant: Value::Int(n) } = leaf else {
            continue;
        };
        let is_distinct = aggregates
            .get(*aggregate)
            .is_some_and(|a| a.function == AggregateFunction::CountDistinct);
        let needs_many = matches!(
            comparison,
            Comparison::Greater | Comparison::GreaterOrEqual | Comparison::Equal
        );
        if is_distinct && needs_many && *n > most {
            let text =
                format!("this HAVING waits for {n} distinct values, a sliding window keeps {most}");
            return Err(vec![
                SqlProblem::new("R016", text)
                    .detail(
                        "a condition that a later row can make false again is judged over the \
                         values that are kept; it could never be true",
                    )
                    .hint(
                        "tumble(time, ..) counts without a bound, and so does a plain `>=` alone",
                    ),
            ]);
        }
    }
    Ok(())
}
