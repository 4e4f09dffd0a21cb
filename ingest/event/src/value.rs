//! A single value, for keys, aggregates and ids. Columns of values stay in arrow.

use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BooleanBuilder, Float64Builder, ListArray, StringBuilder,
        TimestampMillisecondArray, new_null_array,
    },
    buffer::{NullBuffer, OffsetBuffer},
    compute::cast,
    datatypes::{DataType, FieldRef, Float64Type, Int64Type, TimeUnit, TimestampMillisecondType},
};
use smol_str::SmolStr;

/// One value of a column. Integers of every width are `Int`; times are milliseconds UTC.
///
/// Equality, hash and order treat `-0.0` as `0.0` and all NaN as one, greater than every number, so
/// that groups are what SQL's GROUP BY makes. NULL equals NULL here and sorts first.
#[derive(Clone, Debug, Default)]
pub enum Value {
    /// SQL NULL.
    #[default]
    Null,
    /// A boolean.
    Bool(bool),
    /// Any integer.
    Int(i64),
    /// A double.
    Float(f64),
    /// Text, also from dictionaries. Up to 23 bytes are in place.
    Text(SmolStr),
    /// Milliseconds since 1970 UTC.
    Time(i64),
    /// Several values: what an aggregate made of rows, never a key.
    List(Arc<ValueList>),
}

// Windows keep millions of them.
const _: () = assert!(size_of::<Value>() == 24);

/// The values of a [`Value::List`].
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueList {
    /// In the order of the list.
    pub values: Vec<Value>,
    /// Whether there were more than are kept.
    pub truncated: bool,
}

impl Value {
    /// Whether this is NULL.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// The values of a column. `None` for a type that is not a scalar (lists, structs, binary).
    pub fn column(array: &ArrayRef) -> Option<Vec<Value>> {
        let texts = |a: &ArrayRef| -> Option<Vec<Value>> {
            let a = cast(a, &DataType::Utf8).ok()?;
            let a = a.as_string_opt::<i32>()?;
            Some(a.iter().map(|v| v.map_or(Value::Null, |v| Value::Text(v.into()))).collect())
        };
        Some(match array.data_type() {
            DataType::Null => vec![Value::Null; array.len()],
            DataType::Boolean => {
                array.as_boolean_opt()?.iter().map(|v| v.map_or(Value::Null, Value::Bool)).collect()
            }
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => texts(array)?,
            DataType::Dictionary(_, value) => {
                let dictionary = array.as_any_dictionary_opt()?;
                if !value.is_string() {
                    return None;
                }
                let values = texts(dictionary.values())?;
                let keys =
                    cast(&arrow::array::make_array(dictionary.keys().to_data()), &DataType::Int64)
                        .ok()?;
                keys.as_primitive_opt::<Int64Type>()?
                    .iter()
                    .map(|k| k.map_or(Value::Null, |k| values[k as usize].clone()))
                    .collect()
            }
            DataType::Timestamp(_, _) => {
                let a = cast(array, &DataType::Timestamp(TimeUnit::Millisecond, None)).ok()?;
                a.as_primitive_opt::<TimestampMillisecondType>()?
                    .iter()
                    .map(|v| v.map_or(Value::Null, Value::Time))
                    .collect()
            }
            t if t.is_integer() => {
                let a = cast(array, &DataType::Int64).ok()?;
                a.as_primitive_opt::<Int64Type>()?
                    .iter()
                    .map(|v| v.map_or(Value::Null, Value::Int))
                    .collect()
            }
            t if t.is_floating() => {
                let a = cast(array, &DataType::Float64).ok()?;
                a.as_primitive_opt::<Float64Type>()?
                    .iter()
                    .map(|v| v.map_or(Value::Null, Value::Float))
                    .collect()
            }
            _ => return None,
        })
    }

    /// A column of the given type; values of another kind become NULL.
    pub fn to_array(values: &[Value], data_type: &DataType) -> ArrayRef {
        let built: ArrayRef = match data_type {
            DataType::Boolean => {
                let mut b = BooleanBuilder::with_capacity(values.len());
                values.iter().for_each(|v| b.append_option(v.as_bool()));
                Arc::new(b.finish())
            }
            DataType::Timestamp(_, zone) => Arc::new(
                values
                    .iter()
                    .map(|v| match v {
                        Value::Time(t) | Value::Int(t) => Some(*t),
                        Value::Null
                        | Value::Bool(_)
                        | Value::Float(_)
                        | Value::Text(_)
                        | Value::List(_) => None,
                    })
                    .collect::<TimestampMillisecondArray>()
                    .with_timezone_opt(zone.clone()),
            ),
            t if t.is_integer() => Arc::new(
                values
                    .iter()
                    .map(|v| match v {
                        Value::Int(v) => Some(*v),
                        Value::Null
                        | Value::Bool(_)
                        | Value::Float(_)
                        | Value::Text(_)
                        | Value::Time(_)
                        | Value::List(_) => None,
                    })
                    .collect::<arrow::array::Int64Array>(),
            ),
            t if t.is_floating() => {
                let mut b = Float64Builder::with_capacity(values.len());
                values.iter().for_each(|v| b.append_option(v.as_float()));
                Arc::new(b.finish())
            }
            DataType::List(item) => Arc::new(lists(values, item)),
            _ => {
                let mut b = StringBuilder::new();
                values.iter().for_each(|v| b.append_option(v.as_text()));
                Arc::new(b.finish())
            }
        };
        if built.data_type() == data_type {
            return built;
        }
        cast(&built, data_type).unwrap_or_else(|_| new_null_array(data_type, values.len()))
    }

    /// The text, if this is text.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Value::Text(v) => Some(v),
            Value::Null
            | Value::Bool(_)
            | Value::Int(_)
            | Value::Float(_)
            | Value::Time(_)
            | Value::List(_) => None,
        }
    }

    /// The boolean, if this is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(v) => Some(*v),
            Value::Null
            | Value::Int(_)
            | Value::Float(_)
            | Value::Text(_)
            | Value::Time(_)
            | Value::List(_) => None,
        }
    }

    /// The number, if this is one.
    pub fn as_float(&self) -> Option<f64> {
        match self {
            Value::Float(v) => Some(*v),
            Value::Int(v) => Some(*v as f64),
            Value::Null | Value::Bool(_) | Value::Text(_) | Value::Time(_) | Value::List(_) => None,
        }
    }

    pub(crate) fn float_bits(value: f64) -> u64 {
        if value.is_nan() {
            f64::NAN.to_bits()
        } else if value == 0.0 {
            0
        } else {
            value.to_bits()
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Value::Null => 0,
            Value::Bool(_) => 1,
            Value::Int(_) => 2,
            Value::Float(_) => 3,
            Value::Text(_) => 4,
            Value::Time(_) => 5,
            Value::List(_) => 6,
        }
    }
}

impl Ord for Value {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
            (Value::Int(a), Value::Int(b)) | (Value::Time(a), Value::Time(b)) => a.cmp(b),
            (Value::Float(a), Value::Float(b)) => f64::from_bits(Self::float_bits(*a))
                .total_cmp(&f64::from_bits(Self::float_bits(*b))),
            (Value::Text(a), Value::Text(b)) => a.cmp(b),
            (Value::List(a), Value::List(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Value {}

impl Hash for Value {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.rank().hash(state);
        match self {
            Value::Null => {}
            Value::Bool(v) => v.hash(state),
            Value::Int(v) | Value::Time(v) => v.hash(state),
            Value::Float(v) => Self::float_bits(*v).hash(state),
            Value::Text(v) => v.hash(state),
            Value::List(v) => v.hash(state),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("NULL"),
            Value::Bool(v) => v.fmt(f),
            Value::Int(v) => v.fmt(f),
            Value::Float(v) => v.fmt(f),
            Value::Text(v) => write!(f, "'{}'", v.replace('\'', "''")),
            Value::Time(v) => write!(f, "{v} ms"),
            Value::List(list) => {
                let shown: Vec<String> = list.values.iter().map(Value::to_string).collect();
                write!(f, "[{}{}]", shown.join(", "), if list.truncated { ", .." } else { "" })
            }
        }
    }
}

/// A column of lists; a value that is none becomes NULL.
fn lists(values: &[Value], item: &FieldRef) -> ListArray {
    let rows = || {
        values.iter().map(|value| match value {
            Value::List(list) => Some(list.values.as_slice()),
            Value::Null
            | Value::Bool(_)
            | Value::Int(_)
            | Value::Float(_)
            | Value::Text(_)
            | Value::Time(_) => None,
        })
    };
    let items: Vec<Value> = rows().flatten().flatten().cloned().collect();
    ListArray::new(
        Arc::clone(item),
        OffsetBuffer::from_lengths(rows().map(|row| row.map_or(0, <[Value]>::len))),
        Value::to_array(&items, item.data_type()),
        Some(NullBuffer::from_iter(rows().map(|row| row.is_some()))),
    )
}
