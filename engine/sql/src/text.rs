//! Expressions as SQL for people: messages, `explain`, the names of leaves. Nothing parses it.

use std::sync::LazyLock;

use datafusion::{
    common::{
        Column, ScalarValue,
        tree_node::{Transformed, TreeNode},
    },
    logical_expr::{Expr, expr::Cast},
    sql::unparser::{Unparser, dialect::Dialect},
};
use regex::Regex;
use sluice_event::Value;

use crate::types::is_text;

/// Quotes only names that need it.
struct Plain;

impl Dialect for Plain {
    fn identifier_quote_style(&self, name: &str) -> Option<char> {
        // A name with parentheses is the text of an aggregate.
        (!name.contains('(') && identifier(name).starts_with('"')).then_some('"')
    }
}

/// An expression as SQL, without what coercion added and without table names.
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
            Expr::Column(column) => {
                Transformed::yes(Expr::Column(Column::new_unqualified(as_written(&column.name))))
            }
            e => Transformed::no(e),
        })
    });
    let plain = plain.map_or_else(|_| expr.clone(), |t| t.data);
    let unparser = Unparser::new(&Plain).with_pretty(true);
    unparser
        .expr_to_sql(&plain)
        .map_or_else(|_| plain.human_display().to_string(), |sql| sql.to_string())
}

/// The name of an aggregate's column as the aggregate was written, about: literals without types.
fn as_written(name: &str) -> String {
    static TYPED: LazyLock<Option<[Regex; 2]>> = LazyLock::new(|| {
        Some([
            Regex::new(r"\b(?:Int64|Float64|Boolean)\(([^()]*)\)").ok()?,
            Regex::new(r#"\bUtf8\("([^"]*)"\)"#).ok()?,
        ])
    });
    match TYPED.as_ref() {
        Some([plain, text]) if name.contains('(') => {
            let name = plain.replace_all(name, "$1");
            text.replace_all(&name, "'$1'").replace("count(1)", "count(*)")
        }
        _ => name.to_owned(),
    }
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
