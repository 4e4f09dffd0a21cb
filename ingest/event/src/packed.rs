//! Rows in a compact form: what is kept of an event that a finding may show, and the JSON text made
//! of it. Not a wire format: packed rows live in memory and in checkpoints.
//!
//! A packed row is its cells in the order of the schema: column number, tag, value. Numbers are
//! LEB128, signed ones zigzag. NULL and empty lists have no cell.

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BooleanArray, DictionaryArray, Float64Array, Int32Array,
        Int64Array, ListArray, StringArray, TimestampMillisecondArray,
    },
    datatypes::{
        DataType, Float64Type, Int32Type, Int64Type, Schema, TimeUnit, TimestampMillisecondType,
    },
};

use crate::{
    EventBatch, EventUid,
    json::{is_absent, push, write_float, write_text, write_texts, write_value},
    time::write_rfc3339,
};

/// Packs rows of one batch: columns without any value cost nothing per row.
#[derive(Debug)]
pub struct RowPacker<'a> {
    columns: Vec<(u32, Cells<'a>)>,
}

/// A column by how its cells are read.
#[derive(Debug)]
enum Cells<'a> {
    Uid,
    Text(&'a StringArray),
    Dictionary(&'a DictionaryArray<Int32Type>, &'a StringArray),
    Texts(&'a ListArray, &'a StringArray),
    Int(&'a Int64Array),
    Small(&'a Int32Array),
    Bool(&'a BooleanArray),
    Float(&'a Float64Array),
    Time(&'a TimestampMillisecondArray),
    Other(&'a ArrayRef),
}

const UID: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const INT: u8 = 3;
const FLOAT: u8 = 4;
const TEXT: u8 = 5;
const TIME: u8 = 6;
const JSON: u8 = 7;

/// The number of the `event_uid` cell of a raw table, which has no such column.
const NO_COLUMN: u32 = u32::MAX;

impl<'a> RowPacker<'a> {
    /// A packer over every column but `raw`, with `event_uid` among them; in `raw.` tables
    /// `event_uid` comes first.
    pub fn new(batch: &'a EventBatch) -> Self {
        let typed = !batch.table.is_raw();
        let mut columns = Vec::new();
        if !typed {
            columns.push((NO_COLUMN, Cells::Uid));
        }
        let schema = batch.columns.schema_ref();
        for (number, (field, column)) in
            schema.fields().iter().zip(batch.columns.columns()).enumerate()
        {
            let number = number as u32;
            if typed && field.name() == "event_uid" {
                columns.push((number, Cells::Uid));
            } else if !(typed && field.name() == "raw") && column.null_count() < column.len() {
                columns.push((number, Cells::new(column)));
            }
        }
        RowPacker { columns }
    }

    /// Appends a row.
    pub fn pack(&self, row: usize, out: &mut Vec<u8>) {
        for (number, cells) in &self.columns {
            cells.pack(*number, row, out);
        }
    }
}

impl<'a> Cells<'a> {
    fn new(column: &'a ArrayRef) -> Self {
        match column.data_type() {
            DataType::Utf8 => Cells::Text(column.as_string()),
            DataType::Int64 => Cells::Int(column.as_primitive::<Int64Type>()),
            DataType::Int32 => Cells::Small(column.as_primitive::<Int32Type>()),
            DataType::Boolean => Cells::Bool(column.as_boolean()),
            DataType::Float64 => Cells::Float(column.as_primitive::<Float64Type>()),
            DataType::Timestamp(TimeUnit::Millisecond, _) => {
                Cells::Time(column.as_primitive::<TimestampMillisecondType>())
            }
            DataType::List(_) => {
                let texts = column.as_list_opt::<i32>();
                let texts = texts.and_then(|l| Some((l, l.values().as_string_opt::<i32>()?)));
                texts.map_or(Cells::Other(column), |(l, v)| Cells::Texts(l, v))
            }
            _ => {
                let texts = column
                    .as_dictionary_opt::<Int32Type>()
                    .and_then(|d| Some((d, d.values().as_string_opt::<i32>()?)));
                texts.map_or(Cells::Other(column), |(d, v)| Cells::Dictionary(d, v))
            }
        }
    }

    fn pack(&self, number: u32, row: usize, out: &mut Vec<u8>) {
        let mut head = |tag: u8| {
            unsigned(u64::from(number), out);
            out.push(tag);
        };
        match self {
            Cells::Uid => head(UID),
            Cells::Text(a) if a.is_valid(row) => {
                head(TEXT);
                text(a.value(row), out);
            }
            Cells::Dictionary(a, values) => {
                if let Some(key) = a.key(row).filter(|k| values.is_valid(*k)) {
                    head(TEXT);
                    text(values.value(key), out);
                }
            }
            Cells::Texts(lists, values) if lists.is_valid(row) && lists.value_length(row) > 0 => {
                head(JSON);
                let mut json = String::with_capacity(64);
                let [start, end] = [row, row + 1].map(|at| lists.value_offsets()[at] as usize);
                write_texts(&mut json, values, start..end);
                text(&json, out);
            }
            Cells::Int(a) if a.is_valid(row) => {
                head(INT);
                signed(a.value(row), out);
            }
            Cells::Small(a) if a.is_valid(row) => {
                head(INT);
                signed(a.value(row).into(), out);
            }
            Cells::Bool(a) if a.is_valid(row) => head(if a.value(row) { TRUE } else { FALSE }),
            Cells::Float(a) if a.is_valid(row) => {
                head(FLOAT);
                out.extend(a.value(row).to_le_bytes());
            }
            Cells::Time(a) if a.is_valid(row) => {
                head(TIME);
                signed(a.value(row), out);
            }
            Cells::Other(a) if !is_absent(a, row) => {
                head(JSON);
                let mut json = String::new();
                write_value(&mut json, a, row);
                text(&json, out);
            }
            Cells::Text(_)
            | Cells::Texts(..)
            | Cells::Int(_)
            | Cells::Small(_)
            | Cells::Bool(_)
            | Cells::Float(_)
            | Cells::Time(_)
            | Cells::Other(_) => {}
        }
    }
}

/// A packed row as a JSON object: names from the schema it was packed with, times in RFC 3339 with
/// milliseconds. `None` if the bytes are not a packed row of that schema.
pub fn packed_json(packed: &[u8], schema: &Schema, uid: EventUid) -> Option<String> {
    let mut r = PackedReader(packed);
    let mut out = String::with_capacity(packed.len() * 2);
    out.push('{');
    while !r.0.is_empty() {
        if out.len() > 1 {
            out.push(',');
        }
        let number = r.unsigned()? as u32;
        if number == NO_COLUMN {
            write_text(&mut out, "event_uid");
        } else {
            write_text(&mut out, schema.fields().get(number as usize)?.name());
        }
        out.push(':');
        match r.byte()? {
            UID => push(&mut out, format_args!("\"{uid}\"")),
            FALSE => out.push_str("false"),
            TRUE => out.push_str("true"),
            INT => out.push_str(itoa::Buffer::new().format(r.signed()?)),
            FLOAT => write_float(&mut out, f64::from_le_bytes(r.chunk()?)),
            TEXT => write_text(&mut out, r.text()?),
            TIME => {
                out.push('"');
                write_rfc3339(&mut out, r.signed()?);
                out.push('"');
            }
            JSON => out.push_str(r.text()?),
            _ => return None,
        }
    }
    out.push('}');
    Some(out)
}

fn unsigned(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn signed(value: i64, out: &mut Vec<u8>) {
    unsigned(((value << 1) ^ (value >> 63)) as u64, out);
}

fn text(value: &str, out: &mut Vec<u8>) {
    unsigned(value.len() as u64, out);
    out.extend_from_slice(value.as_bytes());
}

struct PackedReader<'a>(&'a [u8]);

impl<'a> PackedReader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn unsigned(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn signed(&mut self) -> Option<i64> {
        let value = self.unsigned()?;
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    fn chunk<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (chunk, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*chunk)
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = usize::try_from(self.unsigned()?).ok()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }
}
