//! Which expressions can fail on a row. A condition that can is kept out of the shared network: one
//! bad row would fail every rule that shares it.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::{
    common::{DFSchema, ScalarValue},
    logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator, expr::ScalarFunction},
};

use super::subject::is_text;

/// Functions that give a value or NULL for every row, whatever their arguments.
const TOTAL: &[&str] = &[
    "array_has",
    "array_has_all",
    "array_has_any",
    "array_length",
    "array_position",
    "array_to_string",
    "ascii",
    "base64_contains",
    "bit_length",
    "btrim",
    "cardinality",
    "character_length",
    "cidr_match",
    "coalesce",
    "concat",
    "concat_ws",
    "contains",
    "date_bin",
    "date_part",
    "date_trunc",
    "empty",
    "ends_with",
    "first_seen",
    "get_field",
    "greatest",
    "icontains",
    "ieq",
    "iends",
    "in_lookup",
    "initcap",
    "is_private",
    "isnan",
    "istarts",
    "json_get_str",
    "least",
    "left",
    "levenshtein",
    "lower",
    "ltrim",
    "make_array",
    "md5",
    "named_struct",
    "nullif",
    "nvl",
    "nvl2",
    "octet_length",
    "overlay",
    "replace",
    "reverse",
    "right",
    "rtrim",
    "sha256",
    "sigma_like",
    "starts_with",
    "strpos",
    "translate",
    "try_cast",
    "upper",
    "abs_float",
    "ceil",
    "floor",
    "round",
    "trunc",
    "sqrt",
    "ln",
    "log10",
    "signum",
    "struct",
    "array_element",
    "array_any_match",
    "array_filter",
    "array_transform",
    "substr_index",
    "substring_index",
    "find_in_set",
    "host_in_domain",
    "json_has",
    "array_distinct",
];

/// Functions that give a value for every row if their other arguments are literals that they accept
/// (checked when the rule is planned).
const TOTAL_WITH_LITERALS: &[&str] =
    &["regexp_like", "regexp_replace", "regexp_count", "regexp_match", "regexp_instr"];

/// Whether evaluation can fail on some row. What is not known to be total counts as fallible.
///
/// Chains of AND and OR are walked without recursion.
pub(crate) fn is_fallible(expr: &Expr, schema: &DFSchema) -> bool {
    let mut open = vec![expr];
    while let Some(expr) = open.pop() {
        match expr {
            Expr::Column(_) | Expr::Literal(..) | Expr::LambdaVariable(_) => {}
            Expr::Alias(alias) => open.push(&alias.expr),
            Expr::BinaryExpr(binary) => {
                if arithmetic_fails(binary, schema) {
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
            Expr::Like(like) => open.extend([like.expr.as_ref(), like.pattern.as_ref()]),
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
            Expr::HigherOrderFunction(call) => open.extend(&call.args),
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

/// Integers wrap in DataFusion and floats saturate; division, times and decimals can fail.
fn arithmetic_fails(binary: &BinaryExpr, schema: &DFSchema) -> bool {
    let number = |e: &Expr| e.get_type(schema).is_ok_and(|t| t.is_integer() || t.is_floating());
    let float = |e: &Expr| e.get_type(schema).is_ok_and(|t| t.is_floating());
    match binary.op {
        Operator::Plus | Operator::Minus | Operator::Multiply => {
            !(number(&binary.left) && number(&binary.right))
        }
        Operator::Divide | Operator::Modulo => {
            let divisor = match literal(&binary.right) {
                Some(ScalarValue::Int32(Some(v))) => i64::from(*v),
                Some(ScalarValue::Int64(Some(v))) => *v,
                _ => 0,
            };
            // The least integer divided by -1 overflows.
            !(float(&binary.left) && float(&binary.right)) && matches!(divisor, 0 | -1)
        }
        Operator::BitwiseShiftLeft | Operator::BitwiseShiftRight | Operator::IntegerDivide => true,
        Operator::RegexMatch
        | Operator::RegexIMatch
        | Operator::RegexNotMatch
        | Operator::RegexNotIMatch => literal(&binary.right).is_none(),
        _ => false,
    }
}

fn call_is_total(call: &ScalarFunction) -> bool {
    let name = call.func.name();
    let rest = call.args.get(1..).unwrap_or_default();
    if TOTAL_WITH_LITERALS.contains(&name) {
        return rest.iter().all(|arg| literal(arg).is_some());
    }
    // A negative length or a field number of 0 is an error.
    if matches!(name, "substr" | "substring" | "split_part") {
        return rest.last().and_then(literal).is_some_and(|last| match last {
            ScalarValue::Int64(Some(v)) => *v > 0 || name != "split_part" && *v == 0,
            _ => false,
        });
    }
    TOTAL.contains(&name)
}

/// Whether every value of one type has a value of the other.
fn cast_is_total(from: &DataType, to: &DataType) -> bool {
    use DataType::{Boolean, Dictionary, Float64, Null, Timestamp};
    match (from, to) {
        (from, to) if from == to => true,
        (Null, _) => true,
        (from, Dictionary(_, to)) => cast_is_total(from, to),
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
        (Timestamp(TimeUnit::Millisecond, _), Timestamp(TimeUnit::Millisecond, _)) => true,
        _ => false,
    }
}
