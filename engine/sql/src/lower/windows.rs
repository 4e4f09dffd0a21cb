//! Windows of GROUP BY as plain SQL, for running a rule over history. Exact: `sliding` is a RANGE
//! frame and then, per key and cell, the latest row that passes HAVING; `tumble` and `hop` are groups
//! by window start; `session` cuts each key's rows where the silence is longer than the gap.

use std::sync::Arc;

use datafusion::{
    common::{Column, Result, config::ConfigOptions, plan_err, tree_node::Transformed},
    functions_aggregate::{
        min_max::{max, min},
        sum::sum_udaf,
    },
    functions_window::{lead_lag::lag_udwf, row_number::row_number_udwf},
    logical_expr::{
        Aggregate, Expr, LogicalPlan, LogicalPlanBuilder, SortExpr, WindowFrame, WindowFrameBound,
        WindowFrameUnits, WindowFunctionDefinition, expr::WindowFunction, lit, when,
    },
    optimizer::AnalyzerRule,
};

use crate::functions::{
    KeyedCall, SLIDES_MAX, WindowKind, bin, hop_starts, interval_millis, keyed_call, window_struct,
};

/// See the module.
#[derive(Debug)]
pub(crate) struct LowerWindows;

impl AnalyzerRule for LowerWindows {
    fn name(&self) -> &str {
        "lower_windows"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_down_with_subqueries(|node| {
            let lowered = match &node {
                LogicalPlan::Filter(filter) => match filter.input.as_ref() {
                    LogicalPlan::Aggregate(aggregate) => match Windowed::find(aggregate)? {
                        Some(windowed) if windowed.kind == WindowKind::Sliding => {
                            Some(windowed.sliding(Some(&filter.predicate))?)
                        }
                        _ => None,
                    },
                    _ => None,
                },
                LogicalPlan::Aggregate(aggregate) => match Windowed::find(aggregate)? {
                    Some(windowed) => Some(windowed.lower()?),
                    None => None,
                },
                _ => None,
            };
            Ok(lowered.map_or_else(|| Transformed::no(node), Transformed::yes))
        })
        .map(|done| done.data)
    }
}

/// An aggregate with a window among its group expressions.
pub(crate) struct Windowed<'a> {
    aggregate: &'a Aggregate,
    /// Which window.
    pub(crate) kind: WindowKind,
    /// Which group expression it is.
    pub(crate) position: usize,
    time: &'a Expr,
    /// The interval as written.
    interval: &'a Expr,
    /// Length in milliseconds; of a session its gap.
    pub(crate) size: i64,
    /// Distance between starts in milliseconds; only of a hop.
    slide: i64,
}

impl<'a> Windowed<'a> {
    /// The window of an aggregate, if it has one.
    pub(crate) fn find(aggregate: &'a Aggregate) -> Result<Option<Self>> {
        let mut found = None;
        for (position, expr) in aggregate.group_expr.iter().enumerate() {
            let Some(KeyedCall::Window(kind, args)) = keyed_call(expr) else { continue };
            if found.is_some() {
                return plan_err!("one window per GROUP BY, found two");
            }
            let [time, .., interval] = args else {
                return plan_err!("{} takes a time and a length", kind.name());
            };
            let length = |expr: &Expr| match interval_millis(expr) {
                Some(millis) => Ok(millis),
                None => plan_err!(
                    "{}: a length must be a positive constant interval in whole milliseconds, \
                     without months",
                    kind.name()
                ),
            };
            let size = length(interval)?;
            let slide = match (kind, args) {
                (WindowKind::Hop, [_, slide, _]) => length(slide)?,
                _ => size,
            };
            if slide > size {
                return plan_err!("hop(time, slide, size): slide is longer than size, swapped?");
            }
            if size % slide != 0 {
                return plan_err!("hop(time, slide, size): size must be a multiple of slide");
            }
            if size / slide > SLIDES_MAX {
                return plan_err!(
                    "hop(time, slide, size): each row would belong to {} windows, {SLIDES_MAX} are \
                     allowed",
                    size / slide
                );
            }
            found = Some(Windowed { aggregate, kind, position, time, interval, size, slide });
        }
        Ok(found)
    }

    /// The tumbling window of an aggregate that groups by one `date_bin(size, time)`: plain SQL
    /// already, its column is the start alone.
    pub(crate) fn binned(aggregate: &'a Aggregate) -> Option<Self> {
        let mut found = None;
        for (position, expr) in aggregate.group_expr.iter().enumerate() {
            let call = match expr {
                Expr::Alias(alias) => alias.expr.as_ref(),
                other => other,
            };
            let Expr::ScalarFunction(call) = call else { continue };
            let ("date_bin", [interval, time]) = (call.func.name(), call.args.as_slice()) else {
                continue;
            };
            if found.is_some() {
                return None;
            }
            let size = interval_millis(interval)?;
            let kind = WindowKind::Tumble;
            found = Some(Windowed { aggregate, kind, position, time, interval, size, slide: size });
        }
        found
    }

    fn lower(&self) -> Result<LogicalPlan> {
        match self.kind {
            WindowKind::Sliding => self.sliding(None),
            WindowKind::Tumble => self.tumble(),
            WindowKind::Hop => self.hop(),
            WindowKind::Session => self.session(),
        }
    }

    /// The group expressions but the window.
    fn keys(&self) -> Vec<Expr> {
        self.aggregate
            .group_expr
            .iter()
            .enumerate()
            .filter(|(i, _)| *i != self.position)
            .map(|(_, e)| e.clone())
            .collect()
    }

    fn input(&self) -> Result<LogicalPlanBuilder> {
        LogicalPlanBuilder::from(Arc::clone(&self.aggregate.input))
            .filter(self.time.clone().is_not_null())
    }

    /// Every column of the input as itself.
    fn columns(&self) -> Vec<Expr> {
        self.aggregate.input.schema().columns().into_iter().map(Expr::Column).collect()
    }

    /// `expr` under the name of the aggregate's output column `i`.
    fn named(&self, expr: Expr, i: usize) -> Expr {
        let (qualifier, field) = self.aggregate.schema.qualified_field(i);
        expr.alias_qualified(qualifier.cloned(), field.name())
    }

    fn sliding(&self, having: Option<&Expr>) -> Result<LogicalPlan> {
        let (keys, time) = (self.keys(), self.time);
        let mut windows = Vec::new();
        for expr in &self.aggregate.aggr_expr {
            let Expr::AggregateFunction(call) = expr.clone().unalias_nested().data else {
                return plan_err!("sliding: {expr} is not an aggregate");
            };
            if !call.params.order_by.is_empty() {
                return plan_err!("sliding: ORDER BY inside {} is not supported", call.func.name());
            }
            let mut window = WindowFunction::new(
                WindowFunctionDefinition::AggregateUDF(call.func),
                call.params.args,
            );
            window.params.distinct = call.params.distinct;
            window.params.filter = call.params.filter;
            window.params.null_treatment = call.params.null_treatment;
            window.params.partition_by = keys.clone();
            window.params.order_by = vec![ascending(time)];
            window.params.window_frame = WindowFrame::new_bounds(
                WindowFrameUnits::Range,
                WindowFrameBound::Preceding(literal(self.interval)?),
                WindowFrameBound::CurrentRow,
            );
            windows.push(Expr::from(window));
        }
        let mut projection = Vec::new();
        for (i, expr) in self.aggregate.group_expr.iter().enumerate() {
            let expr = if i == self.position {
                window_struct(time.clone(), -self.size, time.clone(), 0)
            } else {
                expr.clone()
            };
            projection.push(self.named(expr, i));
        }
        for (i, window) in windows.iter().enumerate() {
            let column = unqualified(window);
            projection.push(self.named(column, self.aggregate.group_expr.len() + i));
        }
        projection.push(time.clone().alias(TIME));
        projection.push(bin(time.clone(), self.size).alias(CELL));
        let mut unique = Vec::new();
        windows.retain(|w| {
            let new = !unique.contains(w);
            if new {
                unique.push(w.clone());
            }
            new
        });
        let mut plan = self.input()?;
        if !windows.is_empty() {
            plan = plan.window(windows)?;
        }
        plan = plan.project(projection)?;
        if let Some(having) = having {
            plan = plan.filter(having.clone())?;
        }
        // Rows of equal time have the same window: any of them will do.
        let output = self.aggregate.schema.columns();
        let mut latest =
            WindowFunction::new(WindowFunctionDefinition::WindowUDF(row_number_udwf()), vec![]);
        latest.params.partition_by = output
            .iter()
            .take(self.aggregate.group_expr.len())
            .enumerate()
            .filter(|(i, _)| *i != self.position)
            .map(|(_, c)| Expr::Column(c.clone()))
            .chain([unqualified_name(CELL)])
            .collect();
        latest.params.order_by = vec![SortExpr::new(unqualified_name(TIME), false, false)];
        let latest = Expr::from(latest);
        let number = unqualified(&latest);
        plan.window([latest])?
            .filter(number.eq(lit(1u64)))?
            .project(output.into_iter().map(Expr::Column))?
            .build()
    }

    fn tumble(&self) -> Result<LogicalPlan> {
        let start = bin(self.time.clone(), self.size).alias(START);
        self.grouped(self.input()?, start, vec![], |start| {
            window_struct(start.clone(), 0, start, self.size)
        })
    }

    fn hop(&self) -> Result<LogicalPlan> {
        let mut columns = self.columns();
        columns.push(hop_starts(self.time.clone(), self.slide, self.size).alias(START));
        let input =
            self.input()?.project(columns)?.unnest_column(Column::new_unqualified(START))?;
        self.grouped(input, unqualified_name(START), vec![], |start| {
            window_struct(start.clone(), 0, start, self.size)
        })
    }

    fn session(&self) -> Result<LogicalPlan> {
        let over = |mut window: WindowFunction, frame: WindowFrame| {
            window.params.partition_by = self.keys();
            window.params.order_by = vec![ascending(self.time)];
            window.params.window_frame = frame;
            Expr::from(window)
        };
        let previous = over(
            WindowFunction::new(
                WindowFunctionDefinition::WindowUDF(lag_udwf()),
                vec![self.time.clone()],
            ),
            WindowFrame::new(Some(true)),
        );
        let before = unqualified(&previous);
        let opens =
            before.clone().is_null().or(self.time.clone().gt(before + self.interval.clone()));
        let mut columns = self.columns();
        columns.push(when(opens, lit(1i64)).otherwise(lit(0i64))?.alias(OPENS));
        // RANGE: rows of equal time are peers, so the sum does not depend on their order.
        let number = over(
            WindowFunction::new(
                WindowFunctionDefinition::AggregateUDF(sum_udaf()),
                vec![unqualified_name(OPENS)],
            ),
            WindowFrame::new(Some(false)),
        );
        let mut numbered = self.columns();
        numbered.push(unqualified(&number).alias(START));
        let input = self
            .input()?
            .window([previous])?
            .project(columns)?
            .window([number])?
            .project(numbered)?;
        let ends = vec![min(self.time.clone()).alias(FIRST), max(self.time.clone()).alias(LAST)];
        self.grouped(input, unqualified_name(START), ends, |_| {
            window_struct(unqualified_name(FIRST), 0, unqualified_name(LAST), self.size)
        })
    }

    /// The aggregate over `input` with the window replaced by `group`, then the window made of it.
    fn grouped(
        &self,
        input: LogicalPlanBuilder,
        group: Expr,
        more: Vec<Expr>,
        window: impl FnOnce(Expr) -> Expr,
    ) -> Result<LogicalPlan> {
        let mut groups = self.aggregate.group_expr.clone();
        groups[self.position] = group;
        let aggregates: Vec<Expr> = self.aggregate.aggr_expr.iter().cloned().chain(more).collect();
        let mut output: Vec<Expr> =
            self.aggregate.schema.columns().into_iter().map(Expr::Column).collect();
        output[self.position] = self.named(window(unqualified_name(START)), self.position);
        input.aggregate(groups, aggregates)?.project(output)?.build()
    }
}

const TIME: &str = "__time";
const CELL: &str = "__cell";
const START: &str = "__start";
const OPENS: &str = "__opens";
const FIRST: &str = "__first";
const LAST: &str = "__last";

fn ascending(time: &Expr) -> SortExpr {
    SortExpr::new(time.clone(), true, false)
}

fn unqualified_name(name: &str) -> Expr {
    Expr::Column(Column::new_unqualified(name))
}

/// The column that a Window node makes of an expression.
fn unqualified(window: &Expr) -> Expr {
    unqualified_name(&window.schema_name().to_string())
}

fn literal(interval: &Expr) -> Result<datafusion::common::ScalarValue> {
    match interval {
        Expr::Literal(value, _) => Ok(value.clone()),
        Expr::Alias(alias) => literal(&alias.expr),
        Expr::Cast(cast) => literal(&cast.expr),
        other => plan_err!("a length must be a constant interval, got {other}"),
    }
}
