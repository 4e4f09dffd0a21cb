//! `first_seen(span, keys..)` as plain SQL: the distance to the previous row of the same key tuple
//! among the rows that pass the other conditions of the same WHERE.

use arrow::datatypes::DataType;
use datafusion::{
    common::{
        Column, DFSchema, Result, ScalarValue, config::ConfigOptions, plan_err,
        tree_node::Transformed,
    },
    functions_window::lead_lag::lag_udwf,
    logical_expr::{
        Expr, Filter, LogicalPlan, LogicalPlanBuilder, SortExpr, WindowFrame,
        WindowFunctionDefinition,
        expr::WindowFunction,
        lit,
        utils::{conjunction, split_conjunction_owned},
    },
    optimizer::AnalyzerRule,
};

use crate::functions::{KeyedCall, interval_millis, keyed_call};

/// See the module. Rows whose span reaches back before `history_start` (milliseconds) do not pass:
/// nobody knows what was seen then.
#[derive(Debug)]
pub(crate) struct LowerFirstSeen {
    pub(crate) history_start: Option<i64>,
}

impl AnalyzerRule for LowerFirstSeen {
    fn name(&self) -> &str {
        "lower_first_seen"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_down_with_subqueries(|node| {
            let LogicalPlan::Filter(filter) = &node else { return Ok(Transformed::no(node)) };
            let (seen, rest): (Vec<_>, Vec<_>) = split_conjunction_owned(filter.predicate.clone())
                .into_iter()
                .partition(|e| matches!(keyed_call(e), Some(KeyedCall::FirstSeen(_))));
            match seen.as_slice() {
                [] => Ok(Transformed::no(node)),
                [one] => Ok(Transformed::yes(self.lower(filter, one, rest)?)),
                _ => plan_err!(
                    "one first_seen per WHERE: its meaning depends on the other conditions"
                ),
            }
        })
        .map(|done| done.data)
    }
}

impl LowerFirstSeen {
    fn lower(&self, filter: &Filter, seen: &Expr, rest: Vec<Expr>) -> Result<LogicalPlan> {
        let Some(KeyedCall::FirstSeen([interval, keys @ ..])) = keyed_call(seen) else {
            return plan_err!("first_seen takes an interval and keys");
        };
        if interval_millis(interval).is_none() {
            return plan_err!(
                "first_seen: the span must be a positive constant interval without months"
            );
        }
        let schema = filter.input.schema();
        let time = only(schema, "time")?;
        let mut order = vec![SortExpr::new(time.clone(), true, false)];
        if let Ok(uid) = only(schema, "event_uid") {
            order.push(SortExpr::new(uid, true, false));
        }
        let mut lag = WindowFunction::new(
            WindowFunctionDefinition::WindowUDF(lag_udwf()),
            vec![time.clone()],
        );
        lag.params.partition_by = keys.to_vec();
        lag.params.order_by = order;
        lag.params.window_frame = WindowFrame::new(Some(true));
        let lag = Expr::from(lag);
        let previous = Expr::Column(Column::new_unqualified(lag.schema_name().to_string()));
        let since = time - interval.clone();
        let mut keep: Vec<Expr> = keys.iter().map(|k| k.clone().is_not_null()).collect();
        keep.push(previous.clone().is_null().or(previous.lt(since.clone())));
        if let Some(start) = self.history_start {
            let start = ScalarValue::TimestampMillisecond(Some(start), Some("UTC".into()));
            keep.push(since.gt_eq(lit(start)));
        }
        let mut plan = LogicalPlanBuilder::from(std::sync::Arc::clone(&filter.input));
        if let Some(rest) = conjunction(rest) {
            plan = plan.filter(rest)?;
        }
        plan = plan.window([lag])?;
        if let Some(keep) = conjunction(keep) {
            plan = plan.filter(keep)?;
        }
        plan.project(schema.columns().into_iter().map(Expr::Column))?.build()
    }
}

/// The one column of that name.
fn only(schema: &DFSchema, name: &str) -> Result<Expr> {
    let found: Vec<_> = schema.qualified_fields_with_unqualified_name(name);
    match found.as_slice() {
        [(qualifier, field)]
            if name != "time" || matches!(field.data_type(), DataType::Timestamp(_, _)) =>
        {
            Ok(Expr::Column(Column::new(qualifier.cloned(), field.name())))
        }
        _ => plan_err!("first_seen needs one table with a column {name}"),
    }
}
