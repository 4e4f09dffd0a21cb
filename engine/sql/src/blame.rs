//! Type errors and other planning errors, in our words and at the place that causes them.
//! DataFusion's own text is the last resort.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::{
    common::{DFSchema, DataFusionError, ScalarValue, SchemaError, Span},
    logical_expr::{
        BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator, expr::Between, expr::InList,
    },
};

use crate::{
    error::{SqlProblem, carried, plain},
    refuse::{Catalogue, unresolved},
    text::sql_text,
    types::{is_text, kind_name},
    walk,
};

/// Line, column and length of the SQL text.
type TextSpan = (u64, u64, u64);

/// What planning says is wrong.
pub(crate) fn planning(error: &DataFusionError, _: &Catalogue<'_>) -> Vec<SqlProblem> {
    error
        .iter()
        .map(|error| {
            let problem = SqlProblem::all(error).into_iter().next();
            let mut problem =
                problem.unwrap_or_else(|| SqlProblem::new("R016", "this cannot be planned"));
            if let DataFusionError::SchemaError(schema, _) = error.find_root()
                && let SchemaError::FieldNotFound { field, valid_fields } = schema.as_ref()
            {
                problem = unresolved(field, valid_fields).at(problem.span);
            }
            in_our_words(problem)
        })
        .collect()
}

/// What the analyzer says is wrong, at the smallest expression without a type.
pub(crate) fn analysis(error: &DataFusionError, plan: &LogicalPlan) -> Vec<SqlProblem> {
    let culprit = culprit(plan);
    SqlProblem::all(error)
        .into_iter()
        .map(|problem| match &culprit {
            Some(culprit) if carried(error).is_some() => problem.at(culprit.place),
            Some(culprit) => culprit.problem(&plain(error)),
            None => in_our_words(problem),
        })
        .collect()
}

/// An expression without a type.
struct Culprit {
    sql: String,
    place: Option<TextSpan>,
    /// What it is made of: SQL and type.
    parts: Vec<(String, DataType)>,
}

impl Culprit {
    fn of(expr: &Expr, schema: &DFSchema) -> Culprit {
        let parts: Vec<&Expr> = match expr {
            Expr::BinaryExpr(binary) => vec![&binary.left, &binary.right],
            Expr::InList(list) => std::iter::once(list.expr.as_ref()).chain(&list.list).collect(),
            Expr::Between(between) => vec![&between.expr, &between.low, &between.high],
            Expr::Like(like) => vec![&like.expr, &like.pattern],
            Expr::ScalarFunction(call) => call.args.iter().collect(),
            Expr::Case(case) => {
                let branches = case.when_then_expr.iter().map(|(_, then)| then.as_ref());
                branches.chain(case.else_expr.as_deref()).collect()
            }
            _ => Vec::new(),
        };
        let typed = parts.into_iter().filter_map(|e| Some((sql_text(e), e.get_type(schema).ok()?)));
        Culprit { sql: sql_text(expr), place: place(expr), parts: typed.collect() }
    }

    /// `text` is DataFusion's; only what our functions say in it is passed on.
    fn problem(&self, text: &str) -> SqlProblem {
        let ours = text
            .split_once("user-defined coercion failed with: Error during planning: ")
            .and_then(|(_, rest)| rest.split_once(" No function matches"))
            .map(|(ours, _)| ours.trim_end_matches('.').to_owned());
        let kinds: Vec<String> = self
            .parts
            .iter()
            .map(|(sql, data_type)| format!("`{sql}` is {}", kind_name(data_type)))
            .collect();
        let of = |wanted: fn(&DataType) -> bool| self.parts.iter().find(|(_, t)| wanted(t));
        let hint = if let Some((sql, _)) = of(DataType::is_nested) {
            Some(format!("array_has({sql}, 'push')"))
        } else if let Some((sql, _)) = of(|t| *t == DataType::Boolean) {
            Some(format!("{sql} IS TRUE"))
        } else if let Some((sql, _)) = of(|t| matches!(t, DataType::Timestamp(_, _))) {
            Some(format!("{sql} >= '2026-01-01T00:00:00Z'"))
        } else if let Some((sql, _)) = of(|t| t.is_numeric()) {
            Some(format!("CAST({sql} AS VARCHAR)"))
        } else {
            // Texts alone fit wherever texts fit: only the function can say what it takes.
            None
        };
        let problem = SqlProblem::new("R013", format!("types do not fit in `{}`", self.sql));
        let problem = match ours {
            Some(ours) => problem.detail(ours),
            None if kinds.is_empty() => problem,
            None => problem.detail(kinds.join(", ")),
        };
        let problem = match hint {
            Some(hint) => problem.hint(hint),
            None => problem.hint("`sluice schema functions` lists what each function takes"),
        };
        problem.at(self.place)
    }
}

fn in_our_words(mut problem: SqlProblem) -> SqlProblem {
    for prefix in [
        "Invalid function ",
        "Error during planning: ",
        "Schema error: ",
        "type_coercion\ncaused by\n",
    ] {
        if let Some(rest) = problem.message.strip_prefix(prefix) {
            problem.message = rest.to_owned();
        }
    }
    problem.message = problem.message.lines().next().unwrap_or_default().to_owned();
    problem
}

/// The smallest expression without a type and the first place in it.
fn culprit(plan: &LogicalPlan) -> Option<Culprit> {
    let mut found = None;
    walk::each(plan, |e, schema| {
        if e.get_type(schema).is_err() {
            found = Some(Culprit::of(e, schema));
        }
    });
    found
}

/// The first place in an expression.
fn place(expr: &Expr) -> Option<TextSpan> {
    let mut found: Option<Span> = None;
    walk::any(expr, |e| {
        if let Expr::Column(column) = e {
            found = column.spans.first();
        }
        found.is_some()
    });
    let span = found?;
    Some((
        span.start.line,
        span.start.column,
        span.end.column.saturating_sub(span.start.column).max(1),
    ))
}

/// Comparisons that plan but do not mean what they say: text with numbers (the column would be cast,
/// and one bad row fail), times with literals finer than they are.
pub(crate) fn types(plan: &LogicalPlan) -> Vec<SqlProblem> {
    let mut found = Vec::new();
    walk::each(plan, |e, schema| match e {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if compares(*op) => {
            found.extend(mismatch(left, right, schema));
        }
        Expr::InList(InList { expr, list, .. }) => {
            found.extend(list.iter().find_map(|item| mismatch(expr, item, schema)));
        }
        Expr::Between(Between { expr, low, high, .. }) => {
            let bad = mismatch(expr, low, schema);
            found.extend(bad.or_else(|| mismatch(expr, high, schema)));
        }
        _ => {}
    });
    found
}

fn compares(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

fn mismatch(left: &Expr, right: &Expr, schema: &DFSchema) -> Option<SqlProblem> {
    let (l, r) = (left.get_type(schema).ok()?, right.get_type(schema).ok()?);
    let number = |t: &DataType| t.is_numeric();
    let at = place(left).or_else(|| place(right));
    if is_text(&l) && number(&r) || number(&l) && is_text(&r) {
        let (text, figure) = if is_text(&l) { (left, right) } else { (right, left) };
        let (text_sql, figure_sql) = (sql_text(text), sql_text(figure));
        let problem =
            SqlProblem::new("R013", format!("`{text_sql}` is text, `{figure_sql}` is a number"))
                .detail("the text would be read as a number, and one that is none fails the rule");
        return Some(
            match (text, figure) {
                (_, Expr::Literal(..)) => problem.hint(format!(
                    "{text_sql} = '{figure_sql}', or try_cast({text_sql} AS BIGINT) = {figure_sql}"
                )),
                (Expr::Literal(..), _) => {
                    let bare = text_sql.trim_matches('\'');
                    problem.hint(match bare.parse::<f64>() {
                        Ok(_) => format!("{figure_sql} = {bare}"),
                        Err(_) => format!("CAST({figure_sql} AS VARCHAR) = {text_sql}"),
                    })
                }
                _ => problem.hint(format!("try_cast({text_sql} AS BIGINT) = {figure_sql}")),
            }
            .at(at),
        );
    }
    let finer = |t: &DataType, literal: &Expr| {
        matches!(t, DataType::Timestamp(TimeUnit::Millisecond, _)) && is_finer(literal)
    };
    let literal = if finer(&l, right) {
        right
    } else if finer(&r, left) {
        left
    } else {
        return None;
    };
    let sql = sql_text(literal);
    let problem = SqlProblem::new("R016", format!("`{sql}` is finer than a millisecond"))
        .detail("times are whole milliseconds: it would be cut off")
        .hint("time >= '2026-01-01T00:00:00.001Z'");
    // A plain literal is found in the text by its name.
    Some(if matches!(literal, Expr::Literal(ScalarValue::Utf8(_), _)) {
        problem
    } else {
        problem.at(at)
    })
}

/// Whether a literal is a time with digits after the millisecond.
fn is_finer(expr: &Expr) -> bool {
    match expr {
        Expr::Cast(cast) => is_finer(&cast.expr),
        Expr::Alias(alias) => is_finer(&alias.expr),
        Expr::ScalarFunction(call) => {
            call.func.name().starts_with("to_timestamp") && call.args.iter().any(is_finer)
        }
        Expr::Literal(ScalarValue::TimestampNanosecond(Some(v), _), _) => v % 1_000_000 != 0,
        Expr::Literal(ScalarValue::TimestampMicrosecond(Some(v), _), _) => v % 1_000 != 0,
        Expr::Literal(ScalarValue::Utf8(Some(text)), _) => text
            .rsplit_once('.')
            // A fraction comes after seconds; `03.01.2026` has none.
            .filter(|(whole, _)| whole.contains(':'))
            .map(|(_, fraction)| {
                fraction.chars().take_while(char::is_ascii_digit).collect::<String>()
            })
            .is_some_and(|digits| digits.trim_end_matches('0').len() > 3),
        _ => false,
    }
}
