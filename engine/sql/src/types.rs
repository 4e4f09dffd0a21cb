//! Questions about the type of a column: whether it is text, whether it can be a key, what people call
//! it. Not what may be done with its values (see `predicate`).

use arrow::datatypes::DataType;

/// Whether values of this type are text, in whatever encoding.
pub(crate) fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, value) => is_text(value),
        _ => false,
    }
}

/// Whether values of this type can be a key: one value per row, with an order.
pub(crate) fn is_scalar(data_type: &DataType) -> bool {
    match data_type {
        DataType::Boolean
        | DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Utf8View
        | DataType::Timestamp(_, _) => true,
        DataType::Dictionary(_, value) => is_scalar(value),
        other => other.is_integer() || other.is_floating(),
    }
}

/// A type in words.
pub(crate) fn kind_name(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Null => "NULL",
        DataType::Boolean => "true or false",
        t if is_text(t) => "text",
        t if t.is_numeric() => "a number",
        DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64 => "a time",
        DataType::Interval(_) | DataType::Duration(_) => "a length of time",
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(_, _) => "a list",
        DataType::Struct(_) | DataType::Map(_, _) => "an object",
        _ => "of another type",
    }
}
