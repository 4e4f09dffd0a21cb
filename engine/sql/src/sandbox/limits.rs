//! How much a text may ask for.

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Value,
};

use crate::error::SqlProblem;

/// Counts that a text stays under.
pub(super) struct Limits;

impl Limits {
    /// Tables joined in one text, less one.
    pub(super) const JOINS: usize = 8;
    /// Queries inside queries.
    pub(super) const NESTING: usize = 32;
    /// Values of one IN list.
    pub(super) const LIST: usize = 10_000;
    /// Operands of one chain of `+`, `||` and the like: planning them is quadratic.
    const CHAIN: usize = 64;
    /// Bytes of a regular expression.
    const PATTERN: usize = 1024;
    /// Bytes of a compiled regular expression.
    const COMPILED: usize = 1 << 20;
}

/// A chain of operators that is too long; AND and OR are balanced instead.
pub(super) fn chain(expr: &Expr, op: &BinaryOperator) -> Option<SqlProblem> {
    if matches!(op, BinaryOperator::And | BinaryOperator::Or) {
        return None;
    }
    let (mut length, mut rest) = (1, expr);
    while let Expr::BinaryOp { left, op, .. } = rest {
        if matches!(op, BinaryOperator::And | BinaryOperator::Or) {
            break;
        }
        length += 1;
        rest = left;
        if length > Limits::CHAIN {
            let text = format!("a chain of more than {} operands of `{op}`", Limits::CHAIN);
            return Some(
                SqlProblem::new("R019", text).hint("split it with parentheses, or use concat(..)"),
            );
        }
    }
    None
}

/// A literal regular expression that is too large or is none.
pub(super) fn pattern(expr: &Expr) -> Option<SqlProblem> {
    let literal = match expr {
        Expr::BinaryOp {
            op:
                BinaryOperator::PGRegexMatch
                | BinaryOperator::PGRegexIMatch
                | BinaryOperator::PGRegexNotMatch
                | BinaryOperator::PGRegexNotIMatch,
            right,
            ..
        } => text(right)?,
        Expr::SimilarTo { pattern, .. } | Expr::RLike { pattern, .. } => text(pattern)?,
        Expr::Function(call) => {
            let name = call.name.to_string().to_lowercase();
            let FunctionArguments::List(list) = &call.args else { return None };
            match list.args.get(1) {
                Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(pattern)))
                    if name.starts_with("regexp_") =>
                {
                    text(pattern)?
                }
                _ => return None,
            }
        }
        _ => return None,
    };
    if literal.len() > Limits::PATTERN {
        let text = format!(
            "a regular expression of {} bytes, {} are allowed",
            literal.len(),
            Limits::PATTERN
        );
        return Some(SqlProblem::new("R032", text));
    }
    let built = regex::RegexBuilder::new(literal).size_limit(Limits::COMPILED).build();
    let error = built.err()?.to_string();
    let last = error.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
    Some(
        SqlProblem::new("R032", "this regular expression is not accepted")
            .detail(last)
            .hint("no look-around, no back-references; repetitions add up"),
    )
}

fn text(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text)
            | Value::EscapedStringLiteral(text)
            | Value::DollarQuotedString(datafusion::sql::sqlparser::ast::DollarQuotedString {
                value: text,
                ..
            }) => Some(text),
            _ => None,
        },
        Expr::Nested(inner) => text(inner),
        _ => None,
    }
}
