//! Columns of scalars in the few physical forms that keys and arguments are read from, cell by cell
//! and without a copy. Lists and structs are not among them.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int32Array, Int64Array, StringArray,
        TimestampMillisecondArray,
    },
    compute::cast,
    datatypes::{DataType, Float64Type, Int32Type, Int64Type, TimeUnit, TimestampMillisecondType},
};
use sluice_event::{Encoder, Value};

/// A column.
#[derive(Clone, Debug)]
pub(crate) enum Cells {
    Null,
    Bool(BooleanArray),
    Int(Int64Array),
    Float(Float64Array),
    Time(TimestampMillisecondArray),
    Text(StringArray),
    Dictionary(Int32Array, StringArray),
    Values(Arc<[Value]>),
}

/// One cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Cell<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(&'a str),
    Time(i64),
}

impl Cells {
    /// `None` for a type that is no scalar.
    pub(crate) fn new(array: &ArrayRef) -> Option<Cells> {
        Some(match array.data_type() {
            DataType::Null => Cells::Null,
            _ if array.null_count() == array.len() && is_scalar(array.data_type()) => Cells::Null,
            DataType::Boolean => Cells::Bool(array.as_boolean_opt()?.clone()),
            DataType::Utf8 => Cells::Text(array.as_string_opt()?.clone()),
            DataType::Utf8View | DataType::LargeUtf8 => {
                Cells::Text(cast(array, &DataType::Utf8).ok()?.as_string_opt()?.clone())
            }
            DataType::Dictionary(key, value) if value.is_string() => {
                if **key != DataType::Int32 {
                    let to = DataType::Dictionary(DataType::Int32.into(), DataType::Utf8.into());
                    return Cells::new(&cast(array, &to).ok()?);
                }
                let dictionary = array.as_dictionary_opt::<Int32Type>()?;
                let values = cast(dictionary.values(), &DataType::Utf8).ok()?;
                Cells::Dictionary(dictionary.keys().clone(), values.as_string_opt()?.clone())
            }
            DataType::Timestamp(_, _) => {
                let times = cast(array, &DataType::Timestamp(TimeUnit::Millisecond, None)).ok()?;
                Cells::Time(times.as_primitive_opt::<TimestampMillisecondType>()?.clone())
            }
            t if t.is_integer() => {
                let numbers = cast(array, &DataType::Int64).ok()?;
                Cells::Int(numbers.as_primitive_opt::<Int64Type>()?.clone())
            }
            t if t.is_floating() => {
                let numbers = cast(array, &DataType::Float64).ok()?;
                Cells::Float(numbers.as_primitive_opt::<Float64Type>()?.clone())
            }
            _ => return None,
        })
    }

    /// The cell of a row; NULL past the end.
    pub(crate) fn get(&self, row: usize) -> Cell<'_> {
        macro_rules! cell {
            ($array:expr, $make:expr) => {
                if row < $array.len() && $array.is_valid(row) {
                    $make($array.value(row))
                } else {
                    Cell::Null
                }
            };
        }
        match self {
            Cells::Null => Cell::Null,
            Cells::Bool(a) => cell!(a, Cell::Bool),
            Cells::Int(a) => cell!(a, Cell::Int),
            Cells::Float(a) => cell!(a, Cell::Float),
            Cells::Time(a) => cell!(a, Cell::Time),
            Cells::Text(a) => cell!(a, Cell::Text),
            Cells::Dictionary(keys, values) => {
                if row >= keys.len() || keys.is_null(row) {
                    return Cell::Null;
                }
                let key = keys.value(row) as usize;
                if values.is_valid(key) { Cell::Text(values.value(key)) } else { Cell::Null }
            }
            Cells::Values(values) => values.get(row).map_or(Cell::Null, Cell::of),
        }
    }
}

impl<'a> Cell<'a> {
    pub(crate) fn of(value: &'a Value) -> Self {
        match value {
            Value::Null => Cell::Null,
            Value::Bool(v) => Cell::Bool(*v),
            Value::Int(v) => Cell::Int(*v),
            Value::Float(v) => Cell::Float(*v),
            Value::Text(v) => Cell::Text(v),
            Value::Time(v) => Cell::Time(*v),
            // Columns of lists have no cells: they are refused as keys and arguments.
            Value::List(_) => Cell::Null,
        }
    }

    /// As a value of its own.
    pub(crate) fn value(self) -> Value {
        match self {
            Cell::Null => Value::Null,
            Cell::Bool(v) => Value::Bool(v),
            Cell::Int(v) => Value::Int(v),
            Cell::Float(v) => Value::Float(v),
            Cell::Text(v) => Value::Text(v.into()),
            Cell::Time(v) => Value::Time(v),
        }
    }

    pub(crate) fn encode(self, out: &mut Encoder) {
        match self {
            Cell::Null => out.null(),
            Cell::Bool(v) => out.bool(v),
            Cell::Int(v) => out.int(v),
            Cell::Float(v) => out.float(v),
            Cell::Text(v) => out.text(v),
            Cell::Time(v) => out.time(v),
        }
    }
}

fn is_scalar(data_type: &DataType) -> bool {
    match data_type {
        DataType::Boolean
        | DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Utf8View
        | DataType::Timestamp(_, _) => true,
        DataType::Dictionary(_, value) => value.is_string(),
        other => other.is_integer() || other.is_floating(),
    }
}
