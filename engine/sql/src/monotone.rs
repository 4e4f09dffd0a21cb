//! Which HAVING conditions, once true, stay true however many rows still come. Not when they are
//! emitted: that is the plan's [`sluice_stream::EmitMode`].

use datafusion::{
    common::ScalarValue,
    logical_expr::{BinaryExpr, Expr, Operator},
};
use sluice_stream::{AggregateFunction, GroupColumn, Growth};

/// The growth of a column of a group.
///
/// `nonnegative`: the argument of a sum is known never to be below zero.
pub(crate) fn growth_of(column: GroupColumn, aggregates: &[(AggregateFunction, bool)]) -> Growth {
    let GroupColumn::Aggregate(index) = column else { return Growth::Still };
    aggregates
        .get(index)
        .map_or(Growth::Unknown, |(function, nonnegative)| function.growth(*nonnegative))
}

/// Whether a simplified condition over a group never turns from TRUE to something else.
///
/// An aggregate over no value is NULL and a comparison with it not TRUE; that it gets a value is
/// growth as well.
pub(crate) fn is_monotone(condition: &Expr, column: &impl Fn(&str) -> Growth) -> bool {
    match condition {
        Expr::Alias(alias) => is_monotone(&alias.expr, column),
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And | Operator::Or, right }) => {
            is_monotone(left, column) && is_monotone(right, column)
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (left, right) = (growth(left, column), growth(right, column));
            let rises = |low: Growth, high: Growth| {
                matches!(low, Growth::Still | Growth::Down)
                    && matches!(high, Growth::Still | Growth::Up)
            };
            match op {
                Operator::Gt | Operator::GtEq => rises(right, left),
                Operator::Lt | Operator::LtEq => rises(left, right),
                _ => left == Growth::Still && right == Growth::Still,
            }
        }
        // An aggregate that has a value keeps one.
        Expr::IsNotNull(inner) => growth(inner, column) != Growth::Unknown,
        Expr::IsTrue(inner) => is_monotone(inner, column),
        other => growth(other, column) == Growth::Still,
    }
}

/// The growth of an expression over a group.
fn growth(expr: &Expr, column: &impl Fn(&str) -> Growth) -> Growth {
    match expr {
        Expr::Alias(alias) => growth(&alias.expr, column),
        Expr::Column(c) => column(&c.name),
        Expr::Literal(..) => Growth::Still,
        // Casts between numbers keep order; those to text do not.
        Expr::Cast(cast) => {
            let inner = growth(&cast.expr, column);
            let to = cast.field.data_type();
            if to.is_numeric() || to.is_temporal() || inner == Growth::Still {
                inner
            } else {
                Growth::Unknown
            }
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (l, r) = (growth(left, column), growth(right, column));
            match op {
                Operator::Plus => join(l, r),
                Operator::Minus => join(l, flip(r)),
                Operator::Multiply if is_positive(right) => l,
                Operator::Multiply if is_positive(left) => r,
                Operator::Divide if is_positive(right) => l,
                _ => still(&[l, r]),
            }
        }
        Expr::ScalarFunction(call) => {
            let parts: Vec<Growth> = call.args.iter().map(|arg| growth(arg, column)).collect();
            match call.func.name() {
                "greatest" | "least" => parts.into_iter().fold(Growth::Still, join),
                _ => still(&parts),
            }
        }
        other => {
            let mut parts = Vec::new();
            other.column_refs().iter().for_each(|c| parts.push(column(&c.name)));
            let plain = matches!(
                other,
                Expr::Not(_)
                    | Expr::IsNull(_)
                    | Expr::InList(_)
                    | Expr::Between(_)
                    | Expr::Like(_)
                    | Expr::Case(_)
                    | Expr::IsNotTrue(_)
                    | Expr::IsFalse(_)
                    | Expr::IsNotFalse(_)
                    | Expr::TryCast(_)
            );
            if plain { still(&parts) } else { Growth::Unknown }
        }
    }
}

fn still(parts: &[Growth]) -> Growth {
    if parts.iter().all(|p| *p == Growth::Still) { Growth::Still } else { Growth::Unknown }
}

fn join(a: Growth, b: Growth) -> Growth {
    match (a, b) {
        (Growth::Still, other) | (other, Growth::Still) => other,
        (a, b) if a == b => a,
        _ => Growth::Unknown,
    }
}

fn flip(growth: Growth) -> Growth {
    match growth {
        Growth::Up => Growth::Down,
        Growth::Down => Growth::Up,
        same @ (Growth::Still | Growth::Unknown) => same,
    }
}

fn is_positive(expr: &Expr) -> bool {
    number(expr).is_some_and(|v| v > 0.0)
}

fn number(expr: &Expr) -> Option<f64> {
    match expr {
        Expr::Alias(alias) => number(&alias.expr),
        Expr::Cast(cast) => number(&cast.expr),
        Expr::Literal(ScalarValue::Int32(Some(v)), _) => Some(f64::from(*v)),
        Expr::Literal(ScalarValue::Int64(Some(v)), _) => Some(*v as f64),
        Expr::Literal(ScalarValue::UInt64(Some(v)), _) => Some(*v as f64),
        Expr::Literal(ScalarValue::Float64(Some(v)), _) => Some(*v),
        _ => None,
    }
}

/// Whether no row can give a number below zero (NULL is skipped by sums).
pub(crate) fn is_nonnegative(expr: &Expr) -> bool {
    match expr {
        Expr::Alias(alias) => is_nonnegative(&alias.expr),
        Expr::Cast(cast) => is_nonnegative(&cast.expr),
        Expr::Literal(value, _) => value.is_null() || number(expr).is_some_and(|v| v >= 0.0),
        Expr::Case(case) => {
            case.when_then_expr.iter().all(|(_, then)| is_nonnegative(then))
                && case.else_expr.as_deref().is_none_or(is_nonnegative)
        }
        Expr::ScalarFunction(call) => match call.func.name() {
            "character_length" | "octet_length" | "bit_length" | "array_length" | "cardinality" => {
                true
            }
            // NULLs are skipped, so one bound that is always there is enough.
            "greatest" => call.args.iter().any(|a| number(a).is_some_and(|v| v >= 0.0)),
            "coalesce" | "least" => call.args.iter().all(is_nonnegative),
            _ => false,
        },
        // Products of integers can wrap; sums of them only after 2^63.
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::{col, lit};

    use super::*;

    fn column(name: &str) -> Growth {
        match name {
            "n" | "max" => Growth::Up,
            "min" => Growth::Down,
            "key" => Growth::Still,
            _ => Growth::Unknown,
        }
    }

    #[track_caller]
    fn check(condition: Expr, expected: bool) {
        assert_eq!(is_monotone(&condition, &column), expected, "{condition}");
    }

    #[test]
    fn thresholds_on_growing_values_are_monotone() {
        check(col("n").gt_eq(lit(5)), true);
        check(lit(5).lt(col("n")), true);
        check(col("n").gt(lit(5)).and(col("min").lt(lit(3))), true);
        check(col("n").gt(lit(5)).or(col("key").eq(lit("x"))), true);
        check((col("max") - col("min")).gt(lit(5)), true);
        check((col("n") * lit(2)).gt(lit(5)), true);
        check(col("max").is_not_null(), true);
    }

    #[test]
    fn what_a_late_row_can_undo_is_not() {
        check(col("n").eq(lit(5)), false);
        check(col("n").lt(lit(5)), false);
        check(col("n").gt_eq(lit(5)).and(col("n").lt(lit(9))), false);
        check(col("avg").gt(lit(5)), false);
        check(col("min").gt(lit(5)), false);
        check((col("n") * lit(-2)).gt(lit(5)), false);
        check((col("n") - col("max")).gt(lit(5)), false);
        check(col("n").gt(lit(5)).is_not_true(), false);
        check(col("max").is_null(), false);
        check(col("n").between(lit(1), lit(3)), false);
    }
}
