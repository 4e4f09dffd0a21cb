//! Expressions as SQL for people: messages, `explain`, the names of leaves. Nothing parses it.

use datafusion::{
    common::{
        ScalarValue,
        tree_node::{Transformed, TreeNode},
    },
    logical_expr::{Expr, expr::Cast},
    sql::unparser::expr_to_sql,
};
use sluice_event::Value;

use crate::predicate::is_text;

/// An expression as SQL, without what coercion added.
pub(crate) fn sql_text(expr: &Expr) -> String {
    let plain = expr.clone().transform_up(|e| {
        Ok(match e {
            Expr::Literal(ScalarValue::Dictionary(_, value), metadata) => {
                Transformed::yes(Expr::Literal(*value, metadata))
            }
            Expr::Cast(Cast { expr, field })
                if is_text(field.data_type()) && matches!(expr.as_ref(), Expr::Column(_)) =>
            {
                Transformed::yes(*expr)
            }
            Expr::Alias(alias) => Transformed::yes(*alias.expr),
            e => Transformed::no(e),
        })
    });
    let plain = plain.map_or_else(|_| expr.clone(), |t| t.data);
    expr_to_sql(&plain).map_or_else(|_| plain.human_display().to_string(), |sql| sql.to_string())
}

/// A column name as SQL, quoted where it must be.
pub(crate) fn identifier(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// A value as SQL.
pub(crate) fn literal_sql(value: &Value) -> String {
    match value {
        Value::Time(millis) => match chrono_text(*millis) {
            Some(text) => format!("'{text}'"),
            None => format!("to_timestamp_millis({millis})"),
        },
        other => other.to_string(),
    }
}

fn chrono_text(millis: i64) -> Option<String> {
    use arrow::temporal_conversions::timestamp_ms_to_datetime;
    let time = timestamp_ms_to_datetime(millis)?;
    Some(time.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string())
}
