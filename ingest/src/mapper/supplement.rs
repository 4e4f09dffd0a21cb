//! Columns that a mapping leaves open and that are known all the same, and address columns that hold
//! no address. Not what every row gets (see `sluice_event::fill`).

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StringArray},
    compute::{cast, kernels::nullif::nullif},
    datatypes::{DataType, Int32Type},
};
use serde_json::{Map, Value};
use sluice_event::{TableSchema, defect::defect, is_address};

use crate::Wrapper;

/// `rows` with what wrappers and undeclared fields say, where the mapping set nothing. `extras` is
/// by row of the wire batch.
pub(super) fn extras(
    rows: RecordBatch,
    table: &TableSchema,
    wire_row: &[u32],
    extras: &BTreeMap<u32, Arc<Wrapper>>,
) -> RecordBatch {
    if extras.is_empty() {
        return rows;
    }
    let mut columns: BTreeMap<&str, Vec<Option<&str>>> = BTreeMap::new();
    let mut unmapped: Vec<Map<String, Value>> = vec![Map::new(); wire_row.len()];
    for (row, wire) in wire_row.iter().enumerate() {
        let Some(extra) = extras.get(wire) else { continue };
        for (name, text) in extra.columns() {
            match name.strip_prefix("unmapped.") {
                Some(key) => {
                    if let Some(map) = unmapped.get_mut(row) {
                        map.insert(key.to_owned(), text.into());
                    }
                }
                None => {
                    let column = columns.entry(name).or_insert_with(|| vec![None; wire_row.len()]);
                    column[row] = Some(text);
                }
            }
        }
    }
    let mut arrays = rows.columns().to_vec();
    for (name, texts) in columns {
        if let Some(at) = table.index(name) {
            arrays[at] = or(&arrays[at], &StringArray::from(texts));
        }
    }
    add_unmapped(&mut arrays, table, &unmapped);
    rebuilt(rows, arrays)
}

/// `rows` whose address columns hold addresses only: a host name goes to the column of host names,
/// any other text to `unmapped`. Texts that mean nothing (`null`, `unknown`) go.
pub(super) fn addresses(rows: RecordBatch, table: &TableSchema) -> RecordBatch {
    let mut changed: Option<Vec<ArrayRef>> = None;
    for (address, host) in [("src_ip", "src_hostname"), ("dst_ip", "dst_hostname")] {
        let Some(at) = table.index(address) else { continue };
        let column = rows.column(at);
        if column.null_count() == column.len() {
            continue;
        }
        let Some(texts) = column.as_string_opt::<i32>() else { continue };
        if texts.iter().flatten().all(is_address) {
            continue;
        }
        let arrays = changed.get_or_insert_with(|| rows.columns().to_vec());
        let kept: StringArray = texts.iter().map(|t| t.filter(|t| is_address(t))).collect();
        let not = |text: Option<&str>| -> Option<String> {
            let text = text?.trim();
            let nothing = text.is_empty()
                || ["null", "unknown", "none", "-", "n/a"].contains(&text.to_lowercase().as_str());
            (!is_address(text) && !nothing).then(|| text.to_owned())
        };
        let others: Vec<Option<String>> = texts.iter().map(not).collect();
        let hosts: StringArray =
            others.iter().map(|t| t.as_deref().filter(|t| is_host(t))).collect();
        let rest: Vec<Map<String, Value>> = others
            .iter()
            .map(|t| match t.as_deref().filter(|t| !is_host(t)) {
                Some(text) => Map::from_iter([(address.to_owned(), text.into())]),
                None => Map::new(),
            })
            .collect();
        arrays[at] = Arc::new(kept);
        if let Some(at) = table.index(host) {
            arrays[at] = or(&arrays[at], &hosts);
        }
        add_unmapped(arrays, table, &rest);
    }
    match changed {
        Some(arrays) => rebuilt(rows, arrays),
        None => rows,
    }
}

/// `rows` whose empty texts are NULL: they say nothing, and nobody is called ``.
pub(super) fn absent(rows: RecordBatch) -> RecordBatch {
    let mut changed: Option<Vec<ArrayRef>> = None;
    for (at, column) in rows.columns().iter().enumerate() {
        if column.null_count() == column.len() {
            continue;
        }
        let empty = match column.data_type() {
            DataType::Utf8 => column.as_string_opt::<i32>().and_then(empty_texts),
            DataType::Dictionary(..) => {
                column.as_dictionary_opt::<Int32Type>().and_then(|column| {
                    let values = column.values().as_string_opt::<i32>()?;
                    // Few values, of many rows.
                    let empty = values.iter().position(|text| text == Some(""))?;
                    let keys = column.keys().iter();
                    Some(keys.map(|key| key.map(|key| key as usize == empty)).collect())
                })
            }
            _ => None,
        };
        let Some(empty) = empty else { continue };
        match nullif(column, &empty) {
            Ok(column) => changed.get_or_insert_with(|| rows.columns().to_vec())[at] = column,
            Err(error) => defect("mapper.absent", error),
        }
    }
    match changed {
        Some(arrays) => rebuilt(rows, arrays),
        None => rows,
    }
}

/// Which texts are empty, if any is.
fn empty_texts(texts: &StringArray) -> Option<BooleanArray> {
    let is_empty = |(row, pair): (usize, &[i32])| {
        matches!(pair, [start, end] if start == end) && texts.is_valid(row)
    };
    let rows = || texts.value_offsets().windows(2).enumerate();
    rows().any(is_empty).then(|| rows().map(is_empty).collect::<Vec<bool>>().into())
}

/// `rows` with other columns.
fn rebuilt(rows: RecordBatch, arrays: Vec<ArrayRef>) -> RecordBatch {
    RecordBatch::try_new(rows.schema(), arrays).unwrap_or_else(|e| {
        defect("mapper.supplement", e);
        rows
    })
}

/// Whether a text can be the name of a host.
fn is_host(text: &str) -> bool {
    text.len() <= 253
        && text.bytes().any(|b| b.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
}

/// `own`, and `texts` where it is NULL, in the type of `own`.
fn or(own: &ArrayRef, texts: &StringArray) -> ArrayRef {
    let kind = own.data_type();
    let merged = || {
        let own = cast(own, &DataType::Utf8).ok()?;
        let own = own.as_string_opt::<i32>()?;
        let merged: StringArray = own.iter().zip(texts).map(|(own, text)| own.or(text)).collect();
        cast(&merged, kind).ok()
    };
    merged().unwrap_or_else(|| own.clone())
}

/// Adds keys to the objects in `unmapped`; keys that are there stay.
fn add_unmapped(arrays: &mut [ArrayRef], table: &TableSchema, maps: &[Map<String, Value>]) {
    if maps.iter().all(Map::is_empty) {
        return;
    }
    let Some(at) = table.index("unmapped") else { return };
    let Some(own) = arrays[at].as_string_opt::<i32>() else { return };
    let made: StringArray = own
        .iter()
        .zip(maps)
        .map(|(own, more)| {
            if more.is_empty() {
                return own.map(str::to_owned);
            }
            let mut object: Map<String, Value> =
                own.and_then(|own| serde_json::from_str(own).ok()).unwrap_or_default();
            for (key, value) in more {
                object.entry(key.clone()).or_insert_with(|| value.clone());
            }
            Some(Value::Object(object).to_string())
        })
        .collect();
    arrays[at] = Arc::new(made);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_hosts_and_neither() {
        for text in ["203.0.113.9", "203.0.113.9:443", "[2001:db8::1]:443", "2001:db8::1"] {
            assert!(is_address(text), "{text}");
        }
        for text in ["null", "203.0.113.9, 10.0.0.1", "cloudtrail.amazonaws.com", "AWS Internal"] {
            assert!(!is_address(text), "{text}");
        }
        assert!(is_host("ec2.amazonaws.com"));
        assert!(!is_host("AWS Internal"));
        assert!(!is_host("203.0.113.9, 10.0.0.1"));
    }
}
