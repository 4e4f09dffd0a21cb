//! Arrow values as JSON text: for `json` columns fed with lists or objects, and for the keys gathered
//! in `unmapped`.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, StringArray, StringBuilder},
    compute::cast,
    datatypes::{DataType, Float64Type, Int64Type},
};
use serde_json::{Map, Value};

/// Each value as JSON text; NULL stays NULL.
pub(super) fn texts(array: &ArrayRef) -> ArrayRef {
    let mut builder = StringBuilder::new();
    for value in values(array) {
        builder.append_option((!value.is_null()).then(|| value.to_string()));
    }
    Arc::new(builder.finish())
}

/// Per row an object of the columns that are not NULL there; NULL if none is. Keys come as JSON text.
pub(super) fn objects(columns: &[(&str, &ArrayRef)], rows: usize) -> ArrayRef {
    let columns: Vec<(&str, Cells)> =
        columns.iter().map(|(key, array)| (*key, Cells::of(array))).collect();
    let mut builder = StringBuilder::new();
    let mut text = Vec::new();
    for row in 0..rows {
        text.clear();
        for (key, cells) in &columns {
            let before = text.len();
            text.push(if text.is_empty() { b'{' } else { b',' });
            text.extend_from_slice(key.as_bytes());
            text.push(b':');
            if !cells.write(row, &mut text) {
                text.truncate(before);
            }
        }
        if !text.is_empty() {
            text.push(b'}');
        }
        // JSON written by `serde_json` is text.
        builder.append_option(std::str::from_utf8(&text).ok().filter(|t| !t.is_empty()));
    }
    Arc::new(builder.finish())
}

/// The values of a column, ready to be written as JSON.
enum Cells {
    /// The usual kind: written without a copy.
    Text(StringArray),
    Other(Vec<Value>),
}

impl Cells {
    fn of(array: &ArrayRef) -> Cells {
        match array.as_string_opt::<i32>() {
            Some(texts) => Cells::Text(texts.clone()),
            None => Cells::Other(values(array)),
        }
    }

    /// Appends the value of a row; `false` if there is none.
    fn write(&self, row: usize, out: &mut Vec<u8>) -> bool {
        match self {
            Cells::Text(texts) => {
                texts.is_valid(row) && serde_json::to_writer(out, texts.value(row)).is_ok()
            }
            Cells::Other(values) => match values.get(row) {
                Some(value) if !value.is_null() => serde_json::to_writer(out, value).is_ok(),
                _ => false,
            },
        }
    }
}

fn values(array: &ArrayRef) -> Vec<Value> {
    let mut result = match array.data_type() {
        DataType::Null => vec![Value::Null; array.len()],
        DataType::Boolean => array.as_boolean().values().iter().map(Value::Bool).collect(),
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns();
            let mut objects = vec![Map::new(); array.len()];
            for (field, column) in fields.iter().zip(columns) {
                for (object, value) in objects.iter_mut().zip(values(column)) {
                    if !value.is_null() {
                        object.insert(field.name().clone(), value);
                    }
                }
            }
            objects.into_iter().map(Value::Object).collect()
        }
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            (0..list.len()).map(|i| Value::Array(values(&list.value(i)))).collect()
        }
        t if t.is_integer() => match cast(array, &DataType::Int64) {
            Ok(ints) => {
                ints.as_primitive::<Int64Type>().values().iter().map(|v| (*v).into()).collect()
            }
            Err(_) => vec![Value::Null; array.len()],
        },
        t if t.is_floating() => match cast(array, &DataType::Float64) {
            Ok(floats) => {
                floats.as_primitive::<Float64Type>().values().iter().map(|v| (*v).into()).collect()
            }
            Err(_) => vec![Value::Null; array.len()],
        },
        _ => match cast(array, &DataType::Utf8) {
            Ok(texts) => texts
                .as_string::<i32>()
                .iter()
                .map(|v| v.map_or(Value::Null, |v| Value::String(v.to_owned())))
                .collect(),
            Err(_) => vec![Value::Null; array.len()],
        },
    };
    if let Some(nulls) = array.logical_nulls() {
        for (value, valid) in result.iter_mut().zip(nulls.iter()) {
            if !valid {
                *value = Value::Null;
            }
        }
    }
    result
}
