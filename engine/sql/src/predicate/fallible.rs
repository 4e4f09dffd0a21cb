//! Which expressions can fail on a row. A condition that can is kept out of the shared network: one
//! bad row would fail every rule that shares it.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::{
    common::{DFSchema, ScalarValue},
    logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator, expr::ScalarFunction},
};

use crate::types::is_text;

#[cfg(test)]
mod tests;

/// Functions that give a value or NULL for every row, whatever their arguments. Those with a cap on
/// the result (`concat`, `replace`) are not here, nor those that refuse some argument (`date_bin`,
/// `overlay`). A test calls every one of them.
const TOTAL: &[&str] = &[
    "array_distinct",
    "array_has",
    "array_has_all",
    "array_has_any",
    "ascii",
    "base64_contains",
    "bit_length",
    "btrim",
    "cardinality",
    "ceil",
    "character_length",
    "cidr_match",
    "coalesce",
    "contains",
    "empty",
    "ends_with",
    "find_in_set",
    "floor",
    "geo_distance_km",
    "get_field",
    "greatest",
    "icontains",
    "ieq",
    "iends",
    "initcap",
    "in_lookup",
    "is_private",
    "isnan",
    "istarts",
    "json_contains",
    "json_equal",
    "json_get_bool",
    "json_get_int",
    "json_get_str",
    "least",
    "left",
    "ln",
    "log10",
    "lookup",
    "lower",
    "ltrim",
    "md5",
    "nullif",
    "nvl",
    "nvl2",
    "octet_length",
    "reverse",
    "right",
    "rtrim",
    "sha256",
    "sigma_like",
    "signum",
    "starts_with",
    "strpos",
    "substr_index",
    "translate",
    "upper",
];

/// Functions with lambdas that fail only where the lambda does.
const TOTAL_OVER_LISTS: &[&str] = &["array_any_match", "array_filter", "array_transform"];

/// Whether evaluation can fail on some row. What is not known to be total counts as fallible.
///
/// Chains of AND and OR are walked without recursion.
pub(crate) fn is_fallible(expr: &Expr, schema: &DFSchema) -> bool {
    fails(expr, schema, Overflow::Fails)
}

/// Whether evaluation can fail on a row for another reason than an integer that overflows, which no
/// author needs to be told of.
pub(crate) fn fails_in_use(expr: &Expr, schema: &DFSchema) -> bool {
    fails(expr, schema, Overflow::Aside)
}

/// Whether integers that overflow count.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Overflow {
    Fails,
    Aside,
}

fn fails(expr: &Expr, schema: &DFSchema, overflow: Overflow) -> bool {
    let mut open = vec![expr];
    while let Some(expr) = open.pop() {
        match expr {
            Expr::Column(_) | Expr::Literal(..) | Expr::LambdaVariable(_) => {}
            Expr::Alias(alias) => open.push(&alias.expr),
            Expr::BinaryExpr(binary) => {
                if arithmetic_fails(binary, schema, overflow) {
                    return true;
                }
                open.extend([binary.left.as_ref(), binary.right.as_ref()]);
            }
            Expr::Not(e)
            | Expr::IsNull(e)
            | Expr::IsNotNull(e)
            | Expr::IsTrue(e)
            | Expr::IsFalse(e)
            | Expr::IsUnknown(e)
            | Expr::IsNotTrue(e)
            | Expr::IsNotFalse(e)
            | Expr::IsNotUnknown(e) => open.push(e),
            Expr::Negative(e) => {
                if !e.get_type(schema).is_ok_and(|t| t.is_floating()) {
                    return true;
                }
                open.push(e);
            }
            // A pattern of the row becomes a regular expression, which can be too large.
            Expr::Like(like) if literal(&like.pattern).is_none() => return true,
            Expr::Like(like) => open.push(&like.expr),
            Expr::Between(b) => open.extend([b.expr.as_ref(), b.low.as_ref(), b.high.as_ref()]),
            Expr::InList(list) => {
                open.push(&list.expr);
                open.extend(&list.list);
            }
            Expr::Case(case) => {
                open.extend(case.expr.as_deref());
                open.extend(case.else_expr.as_deref());
                for (when, then) in &case.when_then_expr {
                    open.extend([when.as_ref(), then.as_ref()]);
                }
            }
            Expr::Cast(cast) => {
                match cast.expr.get_type(schema) {
                    Ok(from) if cast_is_total(&from, cast.field.data_type()) => {}
                    // Another zone or unit: only times centuries away do not fit.
                    Ok(DataType::Timestamp(_, _))
                        if overflow == Overflow::Aside
                            && matches!(cast.field.data_type(), DataType::Timestamp(_, _)) => {}
                    _ => return true,
                }
                open.push(&cast.expr);
            }
            Expr::TryCast(cast) => open.push(&cast.expr),
            Expr::ScalarFunction(call) => {
                if !call_is_total(call) {
                    return true;
                }
                open.extend(&call.args);
            }
            Expr::HigherOrderFunction(call) => {
                if !TOTAL_OVER_LISTS.contains(&call.func.name()) {
                    return true;
                }
                open.extend(&call.args);
            }
            Expr::Lambda(lambda) => open.push(&lambda.body),
            _ => return true,
        }
    }
    false
}

/// `expr` without its aliases, if it is a literal.
fn literal(expr: &Expr) -> Option<&ScalarValue> {
    match expr {
        Expr::Literal(value, _) => Some(value),
        Expr::Alias(alias) => literal(&alias.expr),
        _ => None,
    }
}

/// Floats saturate; integers can overflow, division, times and decimals can fail.
fn arithmetic_fails(binary: &BinaryExpr, schema: &DFSchema, overflow: Overflow) -> bool {
    let number = |e: &Expr| e.get_type(schema).is_ok_and(|t| t.is_integer() || t.is_floating());
    let float = |e: &Expr| e.get_type(schema).is_ok_and(|t| t.is_floating());
    match binary.op {
        Operator::Plus | Operator::Minus | Operator::Multiply => {
            let numbers = number(&binary.left) && number(&binary.right);
            let floats = float(&binary.left) || float(&binary.right);
            !numbers || !floats && overflow == Overflow::Fails
        }
        Operator::Divide | Operator::Modulo => {
            let divisor = match literal(&binary.right) {
                Some(ScalarValue::Int32(Some(v))) => i64::from(*v),
                Some(ScalarValue::Int64(Some(v))) => *v,
                _ => 0,
            };
            if overflow == Overflow::Aside && never_zero(&binary.right) {
                return false;
            }
            // The least integer divided by -1 overflows.
            !(float(&binary.left) && float(&binary.right)) && matches!(divisor, 0 | -1)
        }
        Operator::RegexMatch
        | Operator::RegexIMatch
        | Operator::RegexNotMatch
        | Operator::RegexNotIMatch
        | Operator::LikeMatch
        | Operator::ILikeMatch
        | Operator::NotLikeMatch
        | Operator::NotILikeMatch => literal(&binary.right).is_none(),
        Operator::And
        | Operator::Or
        | Operator::Eq
        | Operator::NotEq
        | Operator::Lt
        | Operator::LtEq
        | Operator::Gt
        | Operator::GtEq
        | Operator::IsDistinctFrom
        | Operator::IsNotDistinctFrom
        | Operator::BitwiseAnd
        | Operator::BitwiseOr
        | Operator::BitwiseXor => false,
        _ => true,
    }
}

/// `nullif(x, 0)`.
fn never_zero(expr: &Expr) -> bool {
    match expr {
        Expr::Alias(alias) => never_zero(&alias.expr),
        Expr::Cast(cast) => never_zero(&cast.expr),
        Expr::ScalarFunction(call) if call.func.name() == "nullif" => {
            let zero = call.args.get(1).and_then(literal);
            zero.is_some_and(|z| ScalarValue::new_zero(&z.data_type()).is_ok_and(|zero| *z == zero))
        }
        _ => false,
    }
}

/// Parts that `date_part` takes of every time.
const PARTS: &[&str] =
    &["year", "quarter", "month", "week", "day", "dow", "doy", "hour", "minute", "second"];

fn call_is_total(call: &ScalarFunction) -> bool {
    let name = call.func.name();
    let number = |i: usize| match call.args.get(i).and_then(literal) {
        Some(ScalarValue::Int64(Some(v))) => Some(*v),
        _ => None,
    };
    let is_small = |n: i64| i32::try_from(n).is_ok();
    let text = |i: usize| call.args.get(i).and_then(literal)?.try_as_str().flatten();
    match (name, call.args.len()) {
        // A further argument can be out of range.
        ("array_length" | "round" | "trunc", 1) | ("array_position", 2) => true,
        ("substr", 2) => number(1).is_some_and(is_small),
        ("substr", 3) => {
            number(1).is_some_and(is_small) && number(2).is_some_and(|n| n >= 0 && is_small(n))
        }
        ("split_part", 3) => number(2).is_some_and(|field| field > 0),
        ("array_element", 2) => number(1).is_some(),
        ("date_part", 2) => {
            text(0).is_some_and(|part| PARTS.contains(&part.to_ascii_lowercase().as_str()))
        }
        ("regexp_like" | "regexp_match" | "regexp_count", 2) => text(1).is_some(),
        ("regexp_like", 3) => {
            let known = |flags: &str| flags.chars().all(|f| "imsx".contains(f));
            text(1).is_some() && text(2).is_some_and(known)
        }
        _ => TOTAL.contains(&name),
    }
}

/// Whether every value of one type has a value of the other.
fn cast_is_total(from: &DataType, to: &DataType) -> bool {
    use DataType::{Boolean, Dictionary, Float64, Int32, Null, Timestamp};
    match (from, to) {
        (from, to) if from == to => true,
        (Null, _) => true,
        (from, Dictionary(key, to)) if **key == Int32 => cast_is_total(from, to),
        (Dictionary(_, from), to) => cast_is_total(from, to),
        (from, to) if is_text(from) && is_text(to) => true,
        (from, to) if is_text(to) => {
            from.is_integer() || from.is_floating() || matches!(from, Boolean)
        }
        (from, to) if from.is_signed_integer() && to.is_signed_integer() => {
            from.primitive_width() <= to.primitive_width()
        }
        (from, Float64) => from.is_integer() || from.is_floating(),
        (Boolean, to) => to.is_integer(),
        // Between zones only the label changes; from or to none, the value does.
        (Timestamp(TimeUnit::Millisecond, Some(_)), Timestamp(TimeUnit::Millisecond, Some(_))) => {
            true
        }
        _ => false,
    }
}
