//! A row as compact JSON for evidence: columns that are not NULL, in schema order, times in RFC 3339.

use std::{fmt::Write, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{DataType, Float64Type, Int32Type, TimestampMillisecondType},
    record_batch::RecordBatch,
    util::display::{ArrayFormatter, FormatOptions},
};

/// Writes rows of one batch.
#[derive(Debug)]
pub(super) struct Rows<'a> {
    batch: &'a RecordBatch,
    /// Columns that have a value at all.
    columns: Vec<(&'a str, &'a ArrayRef)>,
}

impl<'a> Rows<'a> {
    pub(super) fn new(batch: &'a RecordBatch) -> Self {
        let fields = batch.schema_ref().fields().iter().map(|f| f.name().as_str());
        let columns = fields.zip(batch.columns());
        let columns = columns.filter(|(_, c)| c.logical_null_count() < c.len()).collect();
        Rows { batch, columns }
    }

    pub(super) fn text(&self, row: usize) -> Arc<str> {
        debug_assert!(row < self.batch.num_rows());
        let mut out = String::with_capacity(256);
        object(self.columns.iter().copied(), row, &mut out);
        out.into()
    }
}

fn object<'a>(
    columns: impl Iterator<Item = (&'a str, &'a ArrayRef)>,
    row: usize,
    out: &mut String,
) {
    out.push('{');
    let start = out.len();
    for (name, column) in columns.filter(|(_, c)| !is_null(c, row) && !is_empty_list(c, row)) {
        if out.len() > start {
            out.push(',');
        }
        string(name, out);
        out.push(':');
        value(column, row, out);
    }
    out.push('}');
}

fn value(column: &ArrayRef, row: usize, out: &mut String) {
    if is_null(column, row) {
        out.push_str("null");
    } else if let Some(strings) = column.as_string_opt::<i32>() {
        string(strings.value(row), out);
    } else if let Some(dictionary) = column.as_dictionary_opt::<Int32Type>() {
        match dictionary.key(row) {
            Some(key) => value(dictionary.values(), key, out),
            None => out.push_str("null"),
        }
    } else if let Some(dictionary) = column.as_any_dictionary_opt() {
        // Of the row alone: it gives the keys of all rows.
        let one = dictionary.slice(row, 1);
        match one.as_any_dictionary_opt().and_then(|d| d.normalized_keys().first().copied()) {
            Some(key) => value(dictionary.values(), key, out),
            None => out.push_str("null"),
        }
    } else if let Some(list) = column.as_list_opt::<i32>() {
        let items = list.value(row);
        out.push('[');
        for item in 0..items.len() {
            if item > 0 {
                out.push(',');
            }
            value(&items, item, out);
        }
        out.push(']');
    } else if let Some(fields) = column.as_struct_opt() {
        object(fields.column_names().into_iter().zip(fields.columns()), row, out);
    } else if let Some(floats) = column.as_primitive_opt::<Float64Type>()
        && !floats.value(row).is_finite()
    {
        string(&floats.value(row).to_string(), out);
    } else if let Some(times) = column.as_primitive_opt::<TimestampMillisecondType>() {
        // Debug is ISO 8601; a named time zone would need arrow's time zone database.
        match times.value_as_datetime(row) {
            Some(time) => string(&format!("{time:?}Z"), out),
            None => drop(write!(out, "{}", times.value(row))),
        }
    } else {
        let options = FormatOptions::default();
        let text = ArrayFormatter::try_new(column, &options)
            .map(|f| f.value(row).to_string())
            .unwrap_or_default();
        match column.data_type() {
            DataType::Boolean => out.push_str(&text),
            t if t.is_numeric() => out.push_str(&text),
            _ => string(&text, out),
        }
    }
}

fn is_null(column: &ArrayRef, row: usize) -> bool {
    column.is_null(row) || column.data_type() == &DataType::Null
}

fn is_empty_list(column: &ArrayRef, row: usize) -> bool {
    column.as_list_opt::<i32>().is_some_and(|l| l.value_length(row) == 0)
}

fn string(text: &str, out: &mut String) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|b| b < b' ' || b == b'"' || b == b'\\') {
        let (plain, from) = rest.split_at(at);
        let (special, after) = from.split_at(1);
        out.push_str(plain);
        match special {
            "\"" => out.push_str("\\\""),
            "\\" => out.push_str("\\\\"),
            "\n" => out.push_str("\\n"),
            "\r" => out.push_str("\\r"),
            "\t" => out.push_str("\\t"),
            // Writing to a String does not fail.
            _ => drop(write!(out, "\\u{:04x}", from.as_bytes()[0])),
        }
        rest = after;
    }
    out.push_str(rest);
    out.push('"');
}
