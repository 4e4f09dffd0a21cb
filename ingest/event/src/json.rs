//! Rows as compact JSON text: the evidence a finding holds. Not a reader, and not a wire format.

use std::{fmt::Write, ops::Range};

use arrow::{
    array::{Array, AsArray, StringArray},
    datatypes::{
        DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit,
        TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
        TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
    },
};

use crate::{EventBatch, RowPacker, packed_json, time::write_rfc3339};

impl EventBatch {
    /// A row as a JSON object: its columns that are neither NULL nor an empty list, in the order of
    /// the schema, `event_uid` among them, `raw` not. Times are RFC 3339 with milliseconds, JSON
    /// columns are text. In `raw.` tables `event_uid` is first.
    pub fn evidence(&self, row: usize) -> String {
        let mut packed = Vec::with_capacity(512);
        RowPacker::new(self).pack(row, &mut packed);
        packed_json(&packed, self.columns.schema_ref(), self.uid(row)).unwrap_or_default()
    }
}

/// NULL, also inside a dictionary, or an empty list.
pub(crate) fn is_absent(array: &dyn Array, row: usize) -> bool {
    if array.is_null(row) {
        return true;
    }
    if let Some(dictionary) = array.as_dictionary_opt::<Int32Type>() {
        return dictionary.key(row).is_none_or(|k| dictionary.values().is_null(k));
    }
    array.as_list_opt::<i32>().is_some_and(|list| list.value_length(row) == 0)
}

/// One value; NULL and what has no JSON form is `null`.
pub(crate) fn write_value(out: &mut String, array: &dyn Array, row: usize) {
    if array.is_null(row) {
        out.push_str("null");
        return;
    }
    macro_rules! number {
        ($type:ty) => {
            push(out, format_args!("{}", array.as_primitive::<$type>().value(row)))
        };
    }
    match array.data_type() {
        DataType::Boolean => {
            out.push_str(if array.as_boolean().value(row) { "true" } else { "false" });
        }
        DataType::Int8 => number!(Int8Type),
        DataType::Int16 => number!(Int16Type),
        DataType::Int32 => number!(Int32Type),
        DataType::Int64 => number!(Int64Type),
        DataType::UInt8 => number!(UInt8Type),
        DataType::UInt16 => number!(UInt16Type),
        DataType::UInt32 => number!(UInt32Type),
        DataType::UInt64 => number!(UInt64Type),
        DataType::Float32 => {
            write_float(out, array.as_primitive::<Float32Type>().value(row).into())
        }
        DataType::Float64 => write_float(out, array.as_primitive::<Float64Type>().value(row)),
        DataType::Timestamp(unit, _) => {
            let millis = match unit {
                TimeUnit::Second => {
                    array.as_primitive::<TimestampSecondType>().value(row).saturating_mul(1_000)
                }
                TimeUnit::Millisecond => {
                    array.as_primitive::<TimestampMillisecondType>().value(row)
                }
                TimeUnit::Microsecond => {
                    array.as_primitive::<TimestampMicrosecondType>().value(row).div_euclid(1_000)
                }
                TimeUnit::Nanosecond => {
                    array.as_primitive::<TimestampNanosecondType>().value(row).div_euclid(1_000_000)
                }
            };
            out.push('"');
            write_rfc3339(out, millis);
            out.push('"');
        }
        DataType::Utf8 => write_text(out, array.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => write_text(out, array.as_string::<i64>().value(row)),
        DataType::Utf8View => write_text(out, array.as_string_view().value(row)),
        DataType::Dictionary(_, _) => match array.as_dictionary_opt::<Int32Type>() {
            Some(dictionary) => match dictionary.key(row) {
                Some(key) => write_value(out, dictionary.values(), key),
                None => out.push_str("null"),
            },
            None => out.push_str("null"),
        },
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            out.push('[');
            for i in 0..items.len() {
                if i > 0 {
                    out.push(',');
                }
                write_value(out, &items, i);
            }
            out.push(']');
        }
        DataType::Struct(fields) => {
            let before = out.len();
            for (field, column) in fields.iter().zip(array.as_struct().columns()) {
                if is_absent(column, row) {
                    continue;
                }
                out.push(if out.len() == before { '{' } else { ',' });
                write_text(out, field.name());
                out.push(':');
                write_value(out, column, row);
            }
            out.push_str(if out.len() == before { "{}" } else { "}" });
        }
        _ => out.push_str("null"),
    }
}

/// Some of a column's texts, as an array.
pub(crate) fn write_texts(out: &mut String, texts: &StringArray, range: Range<usize>) {
    out.push('[');
    for at in range.clone() {
        if at > range.start {
            out.push(',');
        }
        match texts.is_null(at) {
            true => out.push_str("null"),
            false => write_text(out, texts.value(at)),
        }
    }
    out.push(']');
}

/// NaN and the infinities have no JSON number: their text is better than nothing.
pub(crate) fn write_float(out: &mut String, value: f64) {
    match value.is_finite() {
        true => push(out, format_args!("{value:?}")),
        false => push(out, format_args!("\"{value}\"")),
    }
}

/// A JSON string (RFC 8259 s.7).
pub(crate) fn write_text(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    // Each is one byte, so that the text is cut between characters.
    while let Some(at) = escaped(rest.as_bytes())
        && let Some((plain, from)) = rest.split_at_checked(at)
    {
        out.push_str(plain);
        let mut chars = from.chars();
        match chars.next() {
            Some('"') => out.push_str("\\\""),
            Some('\\') => out.push_str("\\\\"),
            Some('\n') => out.push_str("\\n"),
            Some('\r') => out.push_str("\\r"),
            Some('\t') => out.push_str("\\t"),
            Some(control) => push(out, format_args!("\\u{:04x}", u32::from(control))),
            None => {}
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
    out.push('"');
}

/// Where the first byte is that a JSON string writes in another way.
fn escaped(text: &[u8]) -> Option<usize> {
    let is_escaped = |b: u8| b < b' ' || b == b'"' || b == b'\\';
    // All of a block at once: the compiler compares its bytes side by side.
    let (blocks, _) = text.as_chunks::<16>();
    let any = |block: &&[u8; 16]| block.iter().fold(false, |any, b| any | is_escaped(*b));
    let plain = blocks.iter().take_while(|block| !any(block)).count() * 16;
    text.iter().skip(plain).position(|b| is_escaped(*b)).map(|at| plain + at)
}

pub(crate) fn push(out: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    out.write_fmt(what).ok();
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{
            ArrayRef, Float64Array, Int64Array, ListArray, StringArray, StructArray,
            TimestampMillisecondArray, new_null_array,
        },
        datatypes::{Field, Schema as ArrowSchema},
        record_batch::RecordBatch,
    };

    use super::*;
    use crate::{Origin, PartitionId, Records, Schema, TableName, TimeSettings, Value};

    fn batch(table: TableName, columns: RecordBatch) -> EventBatch {
        let rows = columns.num_rows();
        EventBatch {
            table,
            columns,
            origin: Arc::new(Origin {
                source: "okta.system".into(),
                tenant: "default".into(),
                partition: PartitionId(0),
                time: TimeSettings::default(),
            }),
            records: Records::new(b"{}".as_slice().into(), vec![0..2; rows]),
            record: (0..rows as u32).collect(),
            sub_index: vec![0; rows],
            seen_before: vec![i64::MIN; rows],
        }
    }

    #[test]
    fn a_row_shows_its_columns_in_order() {
        let table = Schema::builtin().table("authentication").unwrap();
        let columns = table.columns.iter().zip(table.arrow.fields()).map(|(c, f)| -> ArrayRef {
            let text = |v: &str| Value::to_array(&[Value::Text(v.into())], f.data_type());
            match c.name {
                "time" => Arc::new(TimestampMillisecondArray::from(vec![1]).with_timezone("UTC")),
                "native_uid" => text("u1"),
                "status" => text("Failure"),
                "message" => text("a \"b\" \\ \n\u{1} é😀"),
                "raw" => text("secret"),
                "mfa_factors" => {
                    let mut b = arrow::array::ListBuilder::new(arrow::array::StringBuilder::new());
                    b.append_value([Some("Push"), Some("SMS")]);
                    Arc::new(b.finish())
                }
                "privileges" => {
                    let mut b = arrow::array::ListBuilder::new(arrow::array::StringBuilder::new());
                    b.append(true);
                    Arc::new(b.finish())
                }
                _ => new_null_array(f.data_type(), 1),
            }
        });
        let rows = RecordBatch::try_new(table.arrow.clone(), columns.collect()).unwrap();
        let batch = batch(table.name.clone(), rows);
        let uid = batch.uid(0);
        assert_eq!(
            batch.evidence(0),
            format!(
                "{{\"time\":\"1970-01-01T00:00:00.001Z\",\"event_uid\":\"{uid}\",\
                 \"native_uid\":\"u1\",\"status\":\"Failure\",\
                 \"message\":\"a \\\"b\\\" \\\\ \\n\\u0001 é😀\",\"mfa_factors\":[\"Push\",\"SMS\"]}}"
            )
        );
    }

    #[test]
    fn wire_records_nest() {
        let inner: ArrayRef = Arc::new(StringArray::from(vec![Some("x"), None]));
        let item =
            StructArray::from(vec![(Arc::new(Field::new("id", DataType::Utf8, true)), inner)]);
        let list: ArrayRef = Arc::new(ListArray::new(
            Arc::new(Field::new_list_field(item.data_type().clone(), true)),
            arrow::buffer::OffsetBuffer::from_lengths([2]),
            Arc::new(item),
            None,
        ));
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("target", list),
            ("big", Arc::new(Int64Array::from(vec![i64::MIN]))),
            ("raw", Arc::new(Float64Array::from(vec![1e300]))),
            ("nan", Arc::new(Float64Array::from(vec![f64::NAN]))),
        ];
        let fields: Vec<Field> =
            columns.iter().map(|(n, c)| Field::new(*n, c.data_type().clone(), true)).collect();
        let rows = RecordBatch::try_new(
            Arc::new(ArrowSchema::new(fields)),
            columns.into_iter().map(|(_, c)| c).collect(),
        )
        .unwrap();
        let batch = batch(TableName::raw("okta.system"), rows);
        assert_eq!(
            batch.evidence(0),
            format!(
                "{{\"event_uid\":\"{}\",\"target\":[{{\"id\":\"x\"}},{{}}],\
                 \"big\":-9223372036854775808,\"raw\":1e300,\"nan\":\"NaN\"}}",
                batch.uid(0)
            )
        );
    }
}
