//! Values of arrow columns as JSON, the same wherever a row is shown. Not a wire format: times are
//! RFC 3339 with milliseconds, NULL is null, structs are objects.

use arrow::{
    array::{Array, ArrayRef, AsArray},
    compute::cast,
    datatypes::{DataType, Float64Type, Int64Type, TimeUnit, TimestampMillisecondType, UInt64Type},
    record_batch::RecordBatch,
};
use serde_json::{Map, Value};

/// One value of a column.
pub fn value(column: &ArrayRef, row: usize) -> Value {
    convert(&column.slice(row, 1)).unwrap_or(Value::Null)
}

/// A row as an object; NULL columns are left out.
pub fn row(batch: &RecordBatch, row: usize) -> Map<String, Value> {
    let fields = batch.schema();
    fields
        .fields()
        .iter()
        .zip(batch.columns())
        .map(|(field, column)| (field.name().clone(), value(column, row)))
        .filter(|(_, v)| !v.is_null())
        .collect()
}

/// The only value of a column of length one; `None` for NULL and for types nothing is made of.
fn convert(one: &ArrayRef) -> Option<Value> {
    if one.is_null(0) {
        return None;
    }
    Some(match one.data_type() {
        DataType::Boolean => one.as_boolean_opt()?.value(0).into(),
        DataType::Timestamp(_, _) => {
            let ms = cast(one, &DataType::Timestamp(TimeUnit::Millisecond, None)).ok()?;
            let ms = ms.as_primitive_opt::<TimestampMillisecondType>()?.value(0);
            sluice_event::rfc3339(ms).into()
        }
        DataType::UInt64 => one.as_primitive_opt::<UInt64Type>()?.value(0).into(),
        t if t.is_integer() => {
            cast(one, &DataType::Int64).ok()?.as_primitive_opt::<Int64Type>()?.value(0).into()
        }
        t if t.is_floating() => {
            let f = cast(one, &DataType::Float64).ok()?;
            // NaN and infinities have no JSON number: their text is better than nothing.
            let f = f.as_primitive_opt::<Float64Type>()?.value(0);
            serde_json::Number::from_f64(f).map_or_else(|| f.to_string().into(), Value::Number)
        }
        DataType::List(_) => {
            let list = one.as_list_opt::<i32>()?.value(0);
            (0..list.len()).map(|i| value(&list, i)).collect()
        }
        DataType::Struct(fields) => {
            let columns = one.as_struct_opt()?.columns();
            let pairs = fields.iter().zip(columns).map(|(f, c)| (f.name().clone(), value(c, 0)));
            Value::Object(pairs.collect())
        }
        _ => {
            let text = cast(one, &DataType::Utf8).ok()?;
            text.as_string_opt::<i32>()?.value(0).into()
        }
    })
}
