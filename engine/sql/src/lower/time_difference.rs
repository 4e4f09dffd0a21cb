//! `(a - b) op INTERVAL` over two times becomes `a op b + INTERVAL`. DataFusion compares the parts of
//! an interval in order (months, days, nanoseconds), so that three days pass for less than
//! `INTERVAL '1 day'`; with this rule bounds of joins have one shape, and the right meaning.

use arrow::datatypes::DataType;
use datafusion::{
    common::{
        DFSchema, Result, ScalarValue,
        config::ConfigOptions,
        tree_node::{Transformed, TreeNode},
    },
    logical_expr::{
        BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator, binary_expr,
        expr_rewriter::NamePreserver,
    },
    optimizer::AnalyzerRule,
};

/// See the module.
#[derive(Debug)]
pub(crate) struct TimeDifference;

impl AnalyzerRule for TimeDifference {
    fn name(&self) -> &str {
        "time_difference"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|node| {
            let mut schema = DFSchema::empty();
            for input in node.inputs() {
                schema.merge(input.schema());
            }
            // An aggregate's output is named after its text: keep the name.
            let names = NamePreserver::new(&node);
            node.map_expressions(|expr| {
                let name = names.save(&expr);
                Ok(expr.transform_up(|e| rewrite(e, &schema))?.update_data(|e| name.restore(e)))
            })
        })
        .map(|done| done.data)
    }
}

fn rewrite(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = &expr else {
        return Ok(Transformed::no(expr));
    };
    let comparison = matches!(
        op,
        Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::Eq
            | Operator::NotEq
    );
    if !comparison {
        return Ok(Transformed::no(expr));
    }
    let swapped = op.swap().unwrap_or(*op);
    for (difference, interval, op) in [(left, right, *op), (right, left, swapped)] {
        if let (Some((a, b)), true) = (times(difference, schema), is_interval(interval)) {
            let bound = binary_expr(b, Operator::Plus, interval.as_ref().clone());
            return Ok(Transformed::yes(binary_expr(a, op, bound)));
        }
    }
    Ok(Transformed::no(expr))
}

fn times(expr: &Expr, schema: &DFSchema) -> Option<(Expr, Expr)> {
    let expr = match expr {
        Expr::Cast(cast) => &cast.expr,
        other => other,
    };
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Minus, right }) = expr else {
        return None;
    };
    let is_time = |e: &Expr| match e {
        // Columns of an outer query are not in the schema; they say their type.
        Expr::OuterReferenceColumn(field, _) => {
            matches!(field.data_type(), DataType::Timestamp(_, _))
        }
        e => matches!(e.get_type(schema), Ok(DataType::Timestamp(_, _))),
    };
    (is_time(left) && is_time(right)).then(|| (left.as_ref().clone(), right.as_ref().clone()))
}

fn is_interval(expr: &Expr) -> bool {
    match expr {
        Expr::Cast(cast) => is_interval(&cast.expr),
        Expr::Literal(value, _) => matches!(
            value,
            ScalarValue::IntervalMonthDayNano(_)
                | ScalarValue::IntervalDayTime(_)
                | ScalarValue::IntervalYearMonth(_)
        ),
        _ => false,
    }
}
