//! Groups of a window: keys, aggregates and the conditions and columns over them.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema as ArrowSchema, SchemaRef};
use datafusion::{
    common::{DFSchema, ScalarValue},
    logical_expr::{
        Aggregate as AggregateNode, Expr, ExprSchemable, Operator,
        expr::{AggregateFunction as AggregateCall, Cast, ScalarFunction},
    },
};
use sluice_stream::{Aggregate, AggregateFunction, GroupColumn, Limits, Window};

use super::rows::{Rows, bare, substitute};
use crate::{
    error::SqlProblem,
    functions::{KeyedCall, SLIDES_MAX, WindowKind, interval_millis, keyed_call},
    monotone::is_nonnegative,
    predicate::terms,
    text::sql_text,
    types::is_scalar,
};

/// Groups by keys and one window, with what is asked of them.
pub(crate) struct Groups {
    /// The rows that are grouped; `arms[..].columns` are the intermediate columns.
    pub(crate) rows: Rows,
    /// The window.
    pub(crate) window: Window,
    /// How many leading intermediate columns are keys.
    pub(crate) keys: usize,
    /// Names and types of the intermediate columns.
    pub(crate) intermediate: SchemaRef,
    /// The aggregates.
    pub(crate) aggregates: Vec<Aggregate>,
    /// Per aggregate: what it is and whether its argument is never negative.
    pub(crate) growth: Vec<(AggregateFunction, bool)>,
    /// The columns of a group, named as the plan's aggregate names them.
    pub(crate) group: SchemaRef,
    /// What fills each.
    pub(crate) layout: Vec<GroupColumn>,
    /// Conjuncts over `group`.
    pub(crate) having: Vec<Expr>,
    /// The columns over `group`, in the order of the plan's schema.
    pub(crate) columns: Vec<Expr>,
}

/// An expression of GROUP BY.
enum KeyOrWindow {
    /// A key.
    Key,
    /// The window; `start_only` for `date_bin`, whose value is the start.
    Window { window: Window, kind: WindowKind, start_only: bool },
}

impl Groups {
    /// GROUP BY over rows.
    pub(crate) fn new(rows: Rows, node: &AggregateNode) -> Result<Groups, SqlProblem> {
        if rows.first_seen.is_some() {
            return Err(SqlProblem::new(
                "R016",
                "a window over rows that `first_seen` let through",
            )
            .detail("a rule keeps one kind of state")
            .hint("put the `first_seen` into a rule of its own"));
        }
        let input = node.input.schema();
        let mut intermediate = Intermediate { input, exprs: Vec::new(), fields: Vec::new() };
        let mut window = None;
        let (mut fields, mut layout, mut columns) = (Vec::new(), Vec::new(), Vec::new());
        let names = unique_names(node.schema.as_arrow());
        for (expr, name) in node.group_expr.iter().zip(&names) {
            match key_or_window(expr, &rows, input)? {
                KeyOrWindow::Key => {
                    super::no_markers(std::slice::from_ref(expr))?;
                    let data_type = type_of(expr, input)?;
                    if !is_scalar(&data_type) {
                        return Err(SqlProblem::new(
                            "R016",
                            format!("`{}` is a {data_type} and cannot be a key", sql_text(expr)),
                        )
                        .hint("GROUP BY a column with one value per row"));
                    }
                    layout.push(GroupColumn::Key(intermediate.exprs.len()));
                    intermediate.key(name, expr)?;
                    fields.push(Field::new(name, data_type, true));
                    columns.push(bare(name));
                }
                KeyOrWindow::Window { window: found, kind, start_only } => {
                    if window.replace((found, kind)).is_some() {
                        return Err(SqlProblem::new("R016", "two windows in one GROUP BY")
                            .detail("a group has one place in time")
                            .hint(format!(
                                "GROUP BY user_entity, {}(time, INTERVAL '10 minutes')",
                                kind.name()
                            )));
                    }
                    layout.push(GroupColumn::Window);
                    fields.push(Field::new(name, crate::functions::window_type(), true));
                    columns.push(if start_only {
                        let start =
                            datafusion::functions::core::expr_fn::get_field(bare(name), "start");
                        let field = Arc::new(Field::new(name, type_of(expr, input)?, true));
                        Expr::Cast(Cast::new_from_field(Box::new(start), field))
                    } else {
                        bare(name)
                    });
                }
            }
        }
        let Some((window, _)) = window else { return Err(unbounded()) };
        let keys = intermediate.exprs.len();
        let (mut aggregates, mut growth) = (Vec::new(), Vec::new());
        for (i, expr) in node.aggr_expr.iter().enumerate() {
            let position = node.group_expr.len() + i;
            let field = node.schema.field(position);
            let Expr::AggregateFunction(call) = expr.clone().unalias_nested().data else {
                return Err(SqlProblem::new(
                    "R016",
                    format!("`{}` is not an aggregate", sql_text(expr)),
                ));
            };
            let (aggregate, nonnegative) = intermediate.aggregate(&call)?;
            layout.push(GroupColumn::Aggregate(aggregates.len()));
            growth.push((aggregate.function, nonnegative));
            aggregates.push(aggregate);
            fields.push(Field::new(&names[position], field.data_type().clone(), true));
            columns.push(bare(&names[position]));
        }
        let Intermediate { exprs, fields: intermediate, .. } = intermediate;
        let rows = rows.project(&exprs, input)?;
        Ok(Groups {
            rows,
            window,
            keys,
            intermediate: Arc::new(ArrowSchema::new(intermediate)),
            aggregates,
            growth,
            group: Arc::new(ArrowSchema::new(fields)),
            layout,
            having: Vec::new(),
            columns,
        })
    }

    /// SELECT over groups.
    pub(crate) fn project(
        mut self,
        exprs: &[Expr],
        input: &DFSchema,
    ) -> Result<Groups, SqlProblem> {
        super::no_markers(exprs)?;
        self.columns = exprs
            .iter()
            .map(|e| substitute(e.clone(), input, &self.columns))
            .collect::<Result<_, _>>()?;
        Ok(self)
    }

    /// Number and type of an aggregate by the name of its column.
    pub(crate) fn aggregate(&self, name: &str) -> Option<(usize, DataType)> {
        let index = self.group.index_of(name).ok()?;
        match self.layout.get(index)? {
            GroupColumn::Aggregate(n) => Some((*n, self.group.field(index).data_type().clone())),
            GroupColumn::Key(_) | GroupColumn::Window => None,
        }
    }

    /// The intermediate columns that are the event's own time in every arm.
    pub(crate) fn times(&self) -> Vec<usize> {
        let is_time = |expr: &Expr| matches!(expr, Expr::Column(column) if column.name == "time");
        let in_all =
            |i: &usize| self.rows.arms.iter().all(|a| a.columns.get(*i).is_some_and(is_time));
        (self.keys..self.intermediate.fields().len()).filter(in_all).collect()
    }

    /// HAVING, or WHERE of an outer query.
    pub(crate) fn filter(
        mut self,
        predicate: &Expr,
        input: &DFSchema,
    ) -> Result<Groups, SqlProblem> {
        for term in terms(predicate, Operator::And) {
            self.having.push(substitute(term.clone(), input, &self.columns)?);
        }
        Ok(self)
    }
}

/// A GROUP BY that never closes a group.
pub(crate) fn unbounded() -> SqlProblem {
    SqlProblem::new("R015", "this rule would keep state for ever")
        .detail("groups never close without a window")
        .hint("GROUP BY user_entity, sliding(time, INTERVAL '10 minutes')")
}

/// The intermediate columns as they are collected: equal expressions once.
struct Intermediate<'a> {
    input: &'a DFSchema,
    exprs: Vec<Expr>,
    fields: Vec<Field>,
}

impl Intermediate<'_> {
    fn key(&mut self, name: &str, expr: &Expr) -> Result<(), SqlProblem> {
        let data_type = type_of(expr, self.input)?;
        self.exprs.push(expr.clone());
        self.fields.push(Field::new(name, data_type, true));
        Ok(())
    }

    fn add(&mut self, expr: &Expr) -> Result<usize, SqlProblem> {
        if let Some(place) = self.exprs.iter().position(|e| e == expr) {
            return Ok(place);
        }
        super::no_markers(std::slice::from_ref(expr))?;
        let data_type = type_of(expr, self.input)?;
        let name = format!("argument_{}", self.exprs.len());
        self.exprs.push(expr.clone());
        self.fields.push(Field::new(name, data_type, true));
        Ok(self.exprs.len() - 1)
    }

    fn aggregate(&mut self, call: &AggregateCall) -> Result<(Aggregate, bool), SqlProblem> {
        let name = call.func.name();
        let params = &call.params;
        if !params.order_by.is_empty() {
            let hint = match name {
                "array_agg" => "array_agg(src_ip) lists the values in their own order",
                _ => "min(time), max(time)",
            };
            return Err(SqlProblem::new("R016", format!("`{name}` with an order is not accepted"))
                .detail("a window keeps running values, not its rows")
                .hint(hint));
        }
        let function = match (name, params.distinct) {
            ("count", true) => AggregateFunction::CountDistinct,
            ("count", false) => AggregateFunction::Count,
            ("sum", false) => AggregateFunction::Sum,
            ("avg", false) => AggregateFunction::Avg,
            ("min", _) => AggregateFunction::Min,
            ("max", _) => AggregateFunction::Max,
            ("array_agg", false) => AggregateFunction::List,
            ("array_agg", true) => AggregateFunction::ListDistinct,
            _ => return Err(unsupported(name, params.distinct)),
        };
        let argument = match params.args.as_slice() {
            [Expr::Literal(value, _)]
                if function == AggregateFunction::Count && !value.is_null() =>
            {
                None
            }
            [argument] => Some(argument),
            _ => return Err(unsupported(name, params.distinct)),
        };
        if let Some(argument) = argument {
            let data_type = type_of(argument, self.input)?;
            let fits = match function {
                AggregateFunction::Count => true,
                AggregateFunction::Sum | AggregateFunction::Avg => {
                    data_type.is_integer() || data_type.is_floating()
                }
                AggregateFunction::CountDistinct
                | AggregateFunction::Min
                | AggregateFunction::Max
                | AggregateFunction::List
                | AggregateFunction::ListDistinct => is_scalar(&data_type),
            };
            if !fits {
                let text = format!("`{name}` of a {data_type} is not kept over a window");
                return Err(SqlProblem::new("R016", text)
                    .hint("aggregate a text, a number, a time or a boolean"));
            }
        }
        let nonnegative = argument.is_some_and(is_nonnegative);
        // count(x) of a list or a struct: only whether it is NULL matters.
        let argument = match argument {
            Some(argument)
                if function == AggregateFunction::Count
                    && !is_scalar(&type_of(argument, self.input)?) =>
            {
                let present = Expr::IsNotNull(Box::new(argument.clone()));
                let yes = Expr::Literal(ScalarValue::Boolean(Some(true)), None);
                let case = datafusion::logical_expr::when(present, yes).end();
                Some(case.map_err(|e| SqlProblem::new("R016", crate::error::plain(&e)))?)
            }
            other => other.cloned(),
        };
        let argument = argument.map(|argument| self.add(&argument)).transpose()?;
        let filter = params.filter.as_deref().map(|filter| self.add(filter)).transpose()?;
        Ok((Aggregate { function, argument, filter }, nonnegative))
    }
}

fn unsupported(name: &str, distinct: bool) -> SqlProblem {
    let shown = if distinct { format!("{name}(DISTINCT ..)") } else { name.to_owned() };
    let hint = match name {
        "approx_distinct" => "count(DISTINCT src_ip)",
        "string_agg" => "array_to_string(array_agg(DISTINCT src_ip), ', ')",
        "first_value" | "last_value" | "nth_value" | "any_value" => {
            "min(src_ip), max(src_ip) and array_agg(src_ip); the rows themselves are the evidence"
        }
        "bool_or" => "count(*) FILTER (WHERE is_mfa) > 0",
        "bool_and" => "count(*) FILTER (WHERE NOT is_mfa) = 0",
        _ => "count, count(DISTINCT ..), sum, min, max, avg and array_agg",
    };
    SqlProblem::new("R016", format!("`{shown}` is not kept over a window"))
        .detail("a window keeps count, count(DISTINCT ..), sum, min, max, avg and array_agg")
        .hint(hint)
}

fn key_or_window(expr: &Expr, rows: &Rows, input: &DFSchema) -> Result<KeyOrWindow, SqlProblem> {
    match keyed_call(expr) {
        Some(KeyedCall::Window(kind, args)) => {
            over_time(kind.name(), args.first(), rows, input)?;
            let window = window(kind, args.get(1..).unwrap_or_default())?;
            Ok(KeyOrWindow::Window { window, kind, start_only: false })
        }
        Some(KeyedCall::FirstSeen(_)) => Err(super::misplaced("first_seen")),
        None => match expr.clone().unalias_nested().data {
            Expr::ScalarFunction(ScalarFunction { func, args }) if func.name() == "date_bin" => {
                let [size, time] = args.as_slice() else {
                    return Err(SqlProblem::new(
                        "R016",
                        "`date_bin` with an origin is not a window",
                    )
                    .hint("GROUP BY user_entity, tumble(time, INTERVAL '5 minutes')"));
                };
                over_time("date_bin", Some(time), rows, input)?;
                let kind = WindowKind::Tumble;
                let window = window(kind, std::slice::from_ref(size))?;
                Ok(KeyOrWindow::Window { window, kind, start_only: true })
            }
            _ => Ok(KeyOrWindow::Key),
        },
    }
}

/// Windows run over event time, in every table.
fn over_time(
    name: &str,
    argument: Option<&Expr>,
    rows: &Rows,
    input: &DFSchema,
) -> Result<(), SqlProblem> {
    let mut argument = argument;
    while let Some(Expr::Cast(cast)) = argument {
        argument = Some(&cast.expr);
    }
    for arm in &rows.arms {
        let time = argument.cloned().map(|e| substitute(e, input, &arm.columns)).transpose()?;
        if !matches!(&time, Some(Expr::Column(c)) if c.name == "time") {
            return Err(SqlProblem::new("R016", format!("`{name}` runs over the column `time`"))
                .detail("watermarks and lateness are those of `time`")
                .hint(format!("{name}(time, INTERVAL '10 minutes')")));
        }
    }
    Ok(())
}

fn window(kind: WindowKind, lengths: &[Expr]) -> Result<Window, SqlProblem> {
    let length = |i: usize| {
        lengths.get(i).and_then(interval_millis).ok_or_else(|| {
            SqlProblem::new("R016", format!("`{}` takes fixed positive lengths", kind.name()))
                .detail("months have no fixed length and times are whole milliseconds")
                .hint(format!("{}(time, INTERVAL '30 days')", kind.name()))
        })
    };
    Ok(match kind {
        WindowKind::Tumble => Window::Tumble { size: length(0)? },
        WindowKind::Session => {
            let (gap, most) = (length(0)?, Limits::default().session_max);
            if gap > most {
                let hours = most / 3_600_000;
                let text =
                    format!("a session is cut after {hours} hours, and this pause is longer");
                return Err(SqlProblem::new("R016", text)
                    .detail("no session could end by its pause")
                    .hint(format!("sliding(time, INTERVAL '{} hours')", gap / 3_600_000)));
            }
            Window::Session { gap }
        }
        WindowKind::Sliding => Window::Sliding { size: length(0)? },
        WindowKind::Hop => {
            let (slide, size) = (length(0)?, length(1)?);
            if slide > size {
                return Err(SqlProblem::new("R016", "`hop` slides further than it is long")
                    .detail("are the arguments swapped? it is hop(time, slide, size)")
                    .hint("hop(time, INTERVAL '1 minute', INTERVAL '10 minutes')"));
            }
            if size % slide != 0 {
                return Err(SqlProblem::new(
                    "R016",
                    "the size of `hop` is a multiple of its slide",
                )
                .hint("hop(time, INTERVAL '1 minute', INTERVAL '10 minutes')"));
            }
            if size / slide > SLIDES_MAX {
                let text = format!("each row would belong to {} windows", size / slide);
                return Err(SqlProblem::new("R016", text)
                    .detail(format!("{SLIDES_MAX} are allowed"))
                    .hint(format!("sliding(time, INTERVAL '{} seconds')", size / 1_000)));
            }
            Window::Hop { slide, size }
        }
    })
}

fn type_of(expr: &Expr, schema: &DFSchema) -> Result<DataType, SqlProblem> {
    expr.get_type(schema).map_err(|e| SqlProblem::new("R016", crate::error::plain(&e)))
}

/// The names of the columns, each once.
fn unique_names(schema: &ArrowSchema) -> Vec<String> {
    let mut names: Vec<String> = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let mut name = field.name().clone();
        while names.contains(&name) {
            name.push('_');
        }
        names.push(name);
    }
    names
}
