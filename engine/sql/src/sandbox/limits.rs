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
    /// Values of one IN list: more do not fit into a text.
    pub(super) const LIST: usize = 200_000;
    /// Parts that a text may stand for beyond four times those it is written with.
    pub(super) const EXPANDED: u64 = 5_000;
    /// How deep the parts of an expression nest, columns of subqueries put in.
    pub(super) const DEPTH: u64 = 500;
    /// How many calls nest whose result is larger than their arguments. Their temporaries are
    /// outside every memory pool.
    pub(super) const GROWING: u64 = 12;
    /// Ways in which GROUP BY CUBE and its kin group the rows.
    pub(super) const GROUPING_SETS: u64 = 64;
    /// Keys of one GROUP BY: planning a window over many takes minutes in one pass.
    pub(super) const KEYS: usize = 64;
    /// Columns of one SELECT.
    pub(super) const WIDTH: usize = 1_000;
    /// Queries of one WITH.
    pub(super) const CTES: usize = 100;
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

/// A regular expression that is too large, is none, or is another one in each row.
pub(super) fn pattern(expr: &Expr) -> Option<SqlProblem> {
    let pattern = match expr {
        Expr::BinaryOp {
            op:
                BinaryOperator::PGRegexMatch
                | BinaryOperator::PGRegexIMatch
                | BinaryOperator::PGRegexNotMatch
                | BinaryOperator::PGRegexNotIMatch,
            right,
            ..
        } => right,
        Expr::SimilarTo { pattern, .. } | Expr::RLike { pattern, .. } => pattern,
        Expr::Function(call) => {
            let name = call.name.to_string().to_lowercase();
            let FunctionArguments::List(list) = &call.args else { return None };
            match list.args.get(1) {
                Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(pattern)))
                    if name.starts_with("regexp_") =>
                {
                    pattern
                }
                _ => return None,
            }
        }
        _ => return None,
    };
    let Some(literal) = text(pattern) else {
        return Some(
            SqlProblem::new("R032", "a regular expression is a literal")
                .detail("one that differs from row to row would be compiled for each")
                .hint("contains(lower(user_name), lower(user_domain)) for two columns"),
        );
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
