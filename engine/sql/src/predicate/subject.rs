//! The two sides of a typed test: what is tested, and the literal it is tested against.

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::{
    common::{Result, ScalarValue},
    logical_expr::{Expr, ExprSchemable},
};
use sluice_event::{Eval, Value};
use sluice_stream::{Atom, Test};

use super::PredicateCompiler;
use crate::{
    text::{identifier, sql_text},
    types::is_text,
};

/// What kind of value a subject has, as far as the network knows types.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ValueKind {
    Text,
    Int,
    Float,
    Bool,
    Time,
    /// Only NULL can be asked for.
    Other,
}

impl ValueKind {
    fn of(data_type: &DataType) -> ValueKind {
        match data_type {
            t if is_text(t) => ValueKind::Text,
            DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => ValueKind::Int,
            DataType::Float64 => ValueKind::Float,
            DataType::Boolean => ValueKind::Bool,
            DataType::Timestamp(TimeUnit::Millisecond, _) => ValueKind::Time,
            _ => ValueKind::Other,
        }
    }
}

/// A column, or an infallible text expression of the row.
pub(super) struct Subject {
    place: SubjectColumn,
    pub(super) kind: ValueKind,
    /// The subject as SQL.
    pub(super) sql: String,
}

enum SubjectColumn {
    Column(usize),
    Virtual { column: Arc<dyn Eval>, id: u64 },
}

impl Subject {
    /// The subject of a test; `None` if the expression has no typed form.
    pub(super) fn of(expr: &Expr, compiler: &PredicateCompiler<'_>) -> Result<Option<Subject>> {
        let schema = compiler.schema;
        let expr = bare(expr, compiler);
        if let Expr::Column(column) = expr {
            let Some(index) = schema.maybe_index_of_column(column) else { return Ok(None) };
            let kind = ValueKind::of(schema.field(index).data_type());
            let sql = identifier(&column.name);
            return Ok(Some(Subject { place: SubjectColumn::Column(index), kind, sql }));
        }
        if matches!(expr, Expr::Literal(..)) || !is_text(&expr.get_type(schema)?) {
            return Ok(None);
        }
        if !expr.any_column_refs() {
            return Ok(None);
        }
        let sql = sql_text(expr);
        let eval = compiler.session.eval(expr.clone(), sql.clone(), schema)?;
        let id = compiler.interner.id(eval.expr());
        let place = SubjectColumn::Virtual { column: Arc::new(eval), id };
        Ok(Some(Subject { place, kind: ValueKind::Text, sql }))
    }

    /// A test of this subject.
    pub(super) fn atom(&self, test: Test) -> Atom {
        match &self.place {
            SubjectColumn::Column(column) => Atom::Column { column: *column, test },
            SubjectColumn::Virtual { column, id } => {
                Atom::Virtual { column: Arc::clone(column), id: *id, test }
            }
        }
    }
}

/// Without casts that change no value: between encodings of text, and from an integer to a wider one.
fn bare<'e>(expr: &'e Expr, compiler: &PredicateCompiler<'_>) -> &'e Expr {
    let (inner, to) = match expr {
        Expr::Alias(alias) => return bare(&alias.expr, compiler),
        Expr::Cast(cast) => (cast.expr.as_ref(), cast.field.data_type()),
        Expr::TryCast(cast) => (cast.expr.as_ref(), cast.field.data_type()),
        _ => return expr,
    };
    let Ok(from) = inner.get_type(compiler.schema) else { return expr };
    let same = is_text(&from) && is_text(to)
        || from.is_signed_integer()
            && to.is_signed_integer()
            && from.primitive_width() <= to.primitive_width()
        || from == *to;
    if same { bare(inner, compiler) } else { expr }
}

/// A literal as the network compares it.
pub(super) enum Literal {
    Null,
    Value(Value),
}

impl Literal {
    /// `None` if the value has no exact counterpart of this kind.
    pub(super) fn of(scalar: &ScalarValue, kind: ValueKind) -> Option<Literal> {
        if let ScalarValue::Dictionary(_, inner) = scalar {
            return Literal::of(inner, kind);
        }
        if scalar.is_null() {
            return Some(Literal::Null);
        }
        let value = match (kind, scalar) {
            (
                ValueKind::Text,
                ScalarValue::Utf8(Some(v))
                | ScalarValue::LargeUtf8(Some(v))
                | ScalarValue::Utf8View(Some(v)),
            ) => Value::Text(v.as_str().into()),
            (ValueKind::Int, ScalarValue::Int8(Some(v))) => Value::Int(i64::from(*v)),
            (ValueKind::Int, ScalarValue::Int16(Some(v))) => Value::Int(i64::from(*v)),
            (ValueKind::Int, ScalarValue::Int32(Some(v))) => Value::Int(i64::from(*v)),
            (ValueKind::Int, ScalarValue::Int64(Some(v))) => Value::Int(*v),
            // Zero has a sign and NaN an order of its own in arrow's kernels: left to them.
            (ValueKind::Float, ScalarValue::Float64(Some(v))) if *v != 0.0 && !v.is_nan() => {
                Value::Float(*v)
            }
            (ValueKind::Bool, ScalarValue::Boolean(Some(v))) => Value::Bool(*v),
            (ValueKind::Time, ScalarValue::TimestampSecond(Some(v), _)) => {
                Value::Time(v.checked_mul(1_000)?)
            }
            (ValueKind::Time, ScalarValue::TimestampMillisecond(Some(v), _)) => Value::Time(*v),
            (ValueKind::Time, ScalarValue::TimestampMicrosecond(Some(v), _)) if v % 1_000 == 0 => {
                Value::Time(v / 1_000)
            }
            (ValueKind::Time, ScalarValue::TimestampNanosecond(Some(v), _))
                if v % 1_000_000 == 0 =>
            {
                Value::Time(v / 1_000_000)
            }
            _ => return None,
        };
        Some(Literal::Value(value))
    }
}
