//! Arrow values as JSON text: for `json` columns fed with lists or objects, and for the keys gathered
//! in `unmapped`.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, StringBuilder},
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
    let columns: Vec<(&str, Vec<Value>)> =
        columns.iter().map(|(key, array)| (*key, values(array))).collect();
    let mut builder = StringBuilder::new();
    let mut text = String::new();
    for row in 0..rows {
        text.clear();
        for (key, values) in &columns {
            let Some(value) = values.get(row).filter(|v| !v.is_null()) else { continue };
            text.push(if text.is_empty() { '{' } else { ',' });
            text.push_str(key);
            text.push(':');
            text.push_str(&value.to_string());
        }
        if text.is_empty() {
            builder.append_null();
        } else {
            text.push('}');
            builder.append_value(&text);
        }
    }
    Arc::new(builder.finish())
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
