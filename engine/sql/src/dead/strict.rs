//! Which columns have a value when a condition is TRUE.

use datafusion::logical_expr::{Expr, Operator};

/// Functions that give a value although their first argument is NULL.
const LENIENT: &[&str] = &[
    "array_append",
    "array_concat",
    "array_prepend",
    "array_repeat",
    "array_union",
    "arrays_zip",
    "coalesce",
    "concat",
    "concat_ws",
    "first_seen",
    "greatest",
    "least",
    "make_array",
    "map",
    "map_extract",
    "named_struct",
    "nvl",
    "nvl2",
    "struct",
];

/// The columns that are not NULL when `condition` is TRUE, as far as its form shows.
pub(super) fn columns(condition: &Expr) -> Vec<&Expr> {
    let mut found = Vec::new();
    match condition {
        Expr::Alias(alias) => return columns(&alias.expr),
        Expr::IsTrue(inner) | Expr::IsFalse(inner) | Expr::IsNotNull(inner) => {
            needed(inner, &mut found);
        }
        other => needed(other, &mut found),
    }
    found
}

/// The columns without which an expression is NULL.
fn needed<'e>(expr: &'e Expr, found: &mut Vec<&'e Expr>) {
    match expr {
        Expr::Column(_) => found.push(expr),
        Expr::Alias(alias) => needed(&alias.expr, found),
        Expr::Cast(cast) => needed(&cast.expr, found),
        Expr::TryCast(cast) => needed(&cast.expr, found),
        Expr::Not(inner) | Expr::Negative(inner) => needed(inner, found),
        Expr::Like(like) => needed(&like.expr, found),
        Expr::InList(list) => needed(&list.expr, found),
        Expr::Between(between) => needed(&between.expr, found),
        Expr::BinaryExpr(binary) => match binary.op {
            Operator::And
            | Operator::Or
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom => {}
            _ => {
                needed(&binary.left, found);
                needed(&binary.right, found);
            }
        },
        Expr::ScalarFunction(call) if !LENIENT.contains(&call.func.name()) => {
            if let Some(first) = call.args.first() {
                needed(first, found);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::functions::docs::GROUPS;

    #[test]
    fn functions_that_give_a_value_for_null_are_on_the_list() {
        let known: Vec<&str> = GROUPS.iter().flat_map(|g| g.functions).map(|f| f.name).collect();
        let gone: Vec<_> =
            LENIENT.iter().filter(|n| **n != "first_seen" && !known.contains(n)).collect();
        assert!(gone.is_empty(), "not functions: {gone:?}");
        for group in crate::reference().unwrap() {
            for function in group.functions {
                let lenient = function
                    .null
                    .is_some_and(|null| !["NULL", "refused", ""].contains(&null.as_str()));
                let name = function.example.split('(').next().unwrap_or_default();
                assert!(!lenient || LENIENT.contains(&name), "{name} is not NULL for NULL");
            }
        }
    }
}
