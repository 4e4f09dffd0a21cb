//! Columns by path, and small columns the mapper makes.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, RecordBatch, StringArray, StringDictionaryBuilder, UInt32Array,
    },
    compute::{cast, kernels::nullif::nullif, take},
    datatypes::{DataType, Int32Type},
};

/// The column at a dotted path, NULL where an object on the way is NULL.
pub(super) fn leaf(batch: &RecordBatch, path: &str) -> Option<ArrayRef> {
    // A field may have a dot in its name; the whole path is tried first.
    if let Some(column) = batch.column_by_name(path) {
        return Some(column.clone());
    }
    let mut keys = path.split('.');
    let mut column = batch.column_by_name(keys.next()?)?.clone();
    for key in keys {
        let object = column.as_struct_opt()?;
        let mut child = object.column_by_name(key)?.clone();
        if object.null_count() > 0 {
            child = nullif(&child, &arrow::compute::is_null(object).ok()?).ok()?;
        }
        column = child;
    }
    Some(column)
}

/// A column of few texts.
pub(super) fn keyword<'t>(values: impl Iterator<Item = Option<&'t str>>) -> ArrayRef {
    let mut builder = StringDictionaryBuilder::<Int32Type>::new();
    values.for_each(|v| builder.append_option(v));
    Arc::new(builder.finish())
}

/// `values`, and `texts` where those are NULL.
pub(super) fn or(values: &ArrayRef, texts: StringArray) -> ArrayRef {
    match values.as_string_opt::<i32>() {
        Some(own) if own.null_count() < own.len() => Arc::new(
            own.iter().zip(&texts).map(|(own, text)| own.or(text)).collect::<StringArray>(),
        ),
        _ => Arc::new(texts),
    }
}

/// `rows` with `native_uid` from the wire where the mapping set none.
pub(super) fn native(
    rows: RecordBatch,
    wire_row: &[u32],
    native: Option<&ArrayRef>,
) -> RecordBatch {
    if rows.column_by_name("native_uid").is_none_or(|set| set.null_count() == 0) {
        return rows;
    }
    let filled = || {
        let taken = take(native?, &UInt32Array::from(wire_row.to_vec()), None).ok()?;
        let texts = cast(&taken, &DataType::Utf8).ok()?;
        let schema = rows.schema();
        let at = schema.index_of("native_uid").ok()?;
        let mut arrays = rows.columns().to_vec();
        arrays[at] = or(&arrays[at], texts.as_string_opt::<i32>()?.clone());
        RecordBatch::try_new(schema, arrays).ok()
    };
    filled().unwrap_or_else(|| rows.clone())
}
