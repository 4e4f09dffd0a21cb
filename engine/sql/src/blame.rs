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
    error::{SqlProblem, plain},
    predicate::is_text,
    refuse::{Catalogue, unresolved},
    text::sql_text,
    walk,
};

/// Line, column and length of the SQL text.
type Place = (u64, u64, u64);

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
        .map(|mut problem| {
            if let Some((sql, span)) = &culprit
                && problem.span.is_none()
            {
                problem = SqlProblem::new("R013", format!("`{sql}` mixes types"))
                    .detail(last_sentence(&plain(error)))
                    .hint("try_cast(column AS BIGINT), or a literal of the column's type")
                    .at(*span);
            }
            in_our_words(problem)
        })
        .collect()
}

fn last_sentence(text: &str) -> String {
    text.lines().next().unwrap_or(text).to_owned()
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
fn culprit(plan: &LogicalPlan) -> Option<(String, Option<Place>)> {
    let mut found = None;
    walk::each(plan, |e, schema| {
        if e.get_type(schema).is_err() {
            found = Some((sql_text(e), place(e)));
        }
    });
    found
}

/// The first place in an expression.
pub(crate) fn place(expr: &Expr) -> Option<Place> {
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
                    problem.hint(format!("{figure_sql} = {}", text_sql.trim_matches('\'')))
                }
                _ => problem.hint(format!("try_cast({text_sql} AS BIGINT) = {figure_sql}")),
            }
            .at(at),
        );
    }
    let finer = |t: &DataType, literal: &Expr| {
        matches!(t, DataType::Timestamp(TimeUnit::Millisecond, _)) && is_finer(literal)
    };
    if finer(&l, right) || finer(&r, left) {
        return Some(
            SqlProblem::new("R013", "times are whole milliseconds, this literal is finer")
                .detail("it would be cut off and compare equal where it is not")
                .hint("time >= '2026-01-01T00:00:00.001Z'")
                .at(at),
        );
    }
    None
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
            .map(|(_, fraction)| {
                fraction.chars().take_while(char::is_ascii_digit).collect::<String>()
            })
            .is_some_and(|digits| digits.trim_end_matches('0').len() > 3),
        _ => false,
    }
}
