//! Growing Arrow columns that can take back what they appended. Not who appends: a codec does.
//!
//! A record may fail half way, or give a field twice; then its values are cut off again
//! ([`Column::truncate`]). NULLs are appended only before the next value or at the end, so a column
//! that a record does not have costs nothing.

use std::{collections::BTreeMap, mem, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, BooleanArray, BooleanBufferBuilder, Float64Array, Int64Array, ListArray,
        StringArray, StructArray, TimestampMillisecondArray, new_null_array,
    },
    buffer::{Buffer, NullBuffer, OffsetBuffer},
    datatypes::{DataType, Field, Fields},
};
use sluice_event::{TimeFormat, WireType};

use crate::time;

/// One column under construction.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) values: Values,
    valid: BooleanBufferBuilder,
    any_valid: bool,
    data_type: DataType,
    /// The last all-NULL array: most columns of a wide source are empty in most chunks.
    nulls: Option<ArrayRef>,
    /// Values of another type than declared.
    pub(crate) conflicts: u64,
    /// Row and text of times that could not be read.
    unreadable: Vec<(usize, String)>,
}

/// The values of a column, by kind.
#[derive(Debug)]
pub(crate) enum Values {
    Text(Bytes),
    Json(Bytes),
    Time(Vec<i64>, Box<[TimeFormat]>),
    Int(Vec<i64>),
    Float(Vec<f64>),
    Bool(BooleanBufferBuilder),
    Struct(Vec<Column>, super::keys::Keys),
    List(Vec<i32>, Box<Column>),
}

/// Text back to back.
#[derive(Debug)]
pub(crate) struct Bytes {
    offsets: Vec<i32>,
    bytes: Vec<u8>,
}

impl Column {
    pub(crate) fn new(kind: &WireType) -> Self {
        let values = match kind {
            WireType::String => Values::Text(Bytes::new()),
            WireType::Json => Values::Json(Bytes::new()),
            WireType::Timestamp(formats) => Values::Time(Vec::new(), formats.clone().into()),
            WireType::Int => Values::Int(Vec::new()),
            WireType::Float => Values::Float(Vec::new()),
            WireType::Bool => Values::Bool(BooleanBufferBuilder::new(0)),
            WireType::Struct(fields) => Values::Struct(
                fields.iter().map(|(_, kind)| Column::new(kind)).collect(),
                super::keys::Keys::nested(fields),
            ),
            WireType::List(item) => Values::List(vec![0], Box::new(Column::new(item))),
        };
        Column {
            values,
            valid: BooleanBufferBuilder::new(0),
            any_valid: false,
            data_type: kind.arrow(),
            nulls: None,
            conflicts: 0,
            unreadable: Vec::new(),
        }
    }

    /// How many values it has.
    pub(crate) fn len(&self) -> usize {
        self.valid.len()
    }

    /// Appends NULLs up to `len` values.
    pub(crate) fn pad(&mut self, len: usize) {
        let missing = len.saturating_sub(self.len());
        if missing == 0 {
            return;
        }
        self.valid.append_n(missing, false);
        match &mut self.values {
            Values::Text(v) | Values::Json(v) => v.pad(len),
            Values::Time(v, _) | Values::Int(v) => v.resize(len, 0),
            Values::Float(v) => v.resize(len, 0.0),
            Values::Bool(v) => v.append_n(missing, false),
            Values::Struct(..) => {}
            Values::List(offsets, _) => offsets.resize(len + 1, *offsets.last().unwrap_or(&0)),
        }
    }

    /// Cuts values off, back to `len`; also what a failed record left inside an object or array
    /// that was never completed.
    pub(crate) fn truncate(&mut self, len: usize) {
        if self.len() > len {
            self.valid.truncate(len);
            self.unreadable.retain(|(row, _)| *row < len);
        }
        match &mut self.values {
            Values::Text(v) | Values::Json(v) => v.truncate(len),
            Values::Time(v, _) | Values::Int(v) => v.truncate(len),
            Values::Float(v) => v.truncate(len),
            Values::Bool(v) if v.len() > len => v.truncate(len),
            Values::Bool(_) => {}
            Values::Struct(columns, _) => columns.iter_mut().for_each(|c| c.truncate(len)),
            Values::List(offsets, item) => {
                offsets.truncate(len + 1);
                item.truncate(offsets.last().map_or(0, |o| *o as usize));
            }
        }
    }

    /// Marks the value just appended to `values` as there.
    pub(crate) fn accept(&mut self) {
        self.valid.append(true);
        self.any_valid = true;
    }

    /// Appends text, read as the type of the column; text that is not one is NULL and counted. An
    /// empty text says nothing: it is NULL.
    pub(crate) fn push_text(&mut self, text: &str, reference: i64) {
        if text.is_empty() {
            return self.push_null();
        }
        let fits = match &mut self.values {
            Values::Text(v) => {
                v.push(text.as_bytes());
                true
            }
            Values::Json(v) => {
                v.push(serde_json::Value::from(text).to_string().as_bytes());
                true
            }
            Values::Time(v, formats) => match time::parse(text, formats, reference) {
                Some(t) => {
                    v.push(t);
                    true
                }
                None => {
                    self.unreadable.push((v.len(), text.chars().take(64).collect()));
                    false
                }
            },
            Values::Int(v) => match text.trim().parse() {
                Ok(i) => {
                    v.push(i);
                    true
                }
                Err(_) => false,
            },
            Values::Float(v) => match text.trim().parse::<f64>() {
                Ok(f) if f.is_finite() => {
                    v.push(f);
                    true
                }
                Ok(_) | Err(_) => false,
            },
            Values::Bool(v) => match text {
                "true" | "True" | "TRUE" => {
                    v.append(true);
                    true
                }
                "false" | "False" | "FALSE" => {
                    v.append(false);
                    true
                }
                _ => false,
            },
            Values::Struct(..) | Values::List(..) => false,
        };
        self.settle(fits);
    }

    /// Appends an integer, or NULL and counts.
    pub(crate) fn push_int(&mut self, value: i64) {
        let fits = match &mut self.values {
            Values::Int(v) => {
                v.push(value);
                true
            }
            Values::Text(v) | Values::Json(v) => {
                v.push(value.to_string().as_bytes());
                true
            }
            Values::Float(v) => {
                v.push(value as f64);
                true
            }
            Values::Time(v, formats) => {
                match time::from_number(value as f64, Some(value), formats) {
                    Some(t) => {
                        v.push(t);
                        true
                    }
                    None => false,
                }
            }
            Values::Bool(_) | Values::Struct(..) | Values::List(..) => false,
        };
        self.settle(fits);
    }

    /// Appends a number that is no 64-bit integer, or NULL and counts.
    pub(crate) fn push_float(&mut self, value: f64) {
        let fits = match &mut self.values {
            Values::Float(v) => {
                v.push(value);
                true
            }
            // 5.0 is the integer 5; beyond 2^53 a double no longer says which integer was meant.
            Values::Int(v) if value.fract() == 0.0 && value.abs() < 9e15 => {
                v.push(value as i64);
                true
            }
            Values::Text(v) | Values::Json(v) => {
                v.push(serde_json::Value::from(value).to_string().as_bytes());
                true
            }
            Values::Time(v, formats) => match time::from_number(value, None, formats) {
                Some(t) => {
                    v.push(t);
                    true
                }
                None => false,
            },
            Values::Int(_) | Values::Bool(_) | Values::Struct(..) | Values::List(..) => false,
        };
        self.settle(fits);
    }

    /// Appends a boolean, or NULL and counts.
    pub(crate) fn push_bool(&mut self, value: bool) {
        let fits = match &mut self.values {
            Values::Bool(v) => {
                v.append(value);
                true
            }
            Values::Text(v) | Values::Json(v) => {
                v.push(if value { b"true" } else { b"false" });
                true
            }
            Values::Time(..)
            | Values::Int(_)
            | Values::Float(_)
            | Values::Struct(..)
            | Values::List(..) => false,
        };
        self.settle(fits);
    }

    /// Appends a time in milliseconds since 1970 UTC; as RFC 3339 where the column is text.
    pub(crate) fn push_time(&mut self, millis: i64) {
        match &mut self.values {
            Values::Time(v, _) => {
                v.push(millis);
                self.accept();
            }
            Values::Text(v) => {
                v.push(sluice_event::rfc3339(millis).as_bytes());
                self.accept();
            }
            _ => self.push_int(millis),
        }
    }

    /// Appends JSON text that is known to be valid, or NULL and counts.
    pub(crate) fn push_json(&mut self, json: &str) {
        let fits = match &mut self.values {
            Values::Json(v) | Values::Text(v) => {
                v.push(json.as_bytes());
                true
            }
            _ => false,
        };
        self.settle(fits);
    }

    /// Appends NULL.
    pub(crate) fn push_null(&mut self) {
        self.pad(self.len() + 1);
    }

    /// Appends NULL for a value of another type than declared, and counts it.
    pub(crate) fn push_conflict(&mut self) {
        self.settle(false);
    }

    fn settle(&mut self, fits: bool) {
        if fits {
            self.accept();
        } else {
            self.push_null();
            self.conflicts += 1;
        }
    }

    /// The column with `len` values; empty again afterwards.
    pub(crate) fn finish(&mut self, len: usize) -> ArrayRef {
        self.pad(len);
        if !mem::take(&mut self.any_valid) {
            self.truncate(0);
            return self.all_null(len);
        }
        let nulls = Some(NullBuffer::new(self.valid.finish())).filter(|n| n.null_count() > 0);
        match &mut self.values {
            Values::Text(v) | Values::Json(v) => v.finish(nulls),
            Values::Time(v, _) => Arc::new(
                TimestampMillisecondArray::new(mem::take(v).into(), nulls).with_timezone("UTC"),
            ),
            Values::Int(v) => Arc::new(Int64Array::new(mem::take(v).into(), nulls)),
            Values::Float(v) => Arc::new(Float64Array::new(mem::take(v).into(), nulls)),
            Values::Bool(v) => Arc::new(BooleanArray::new(v.finish(), nulls)),
            Values::Struct(columns, _) => {
                let arrays = columns.iter_mut().map(|c| c.finish(len)).collect();
                Arc::new(StructArray::new(fields(&self.data_type), arrays, nulls))
            }
            Values::List(offsets, item) => {
                let items = item.finish(offsets.last().map_or(0, |o| *o as usize));
                let offsets = OffsetBuffer::new(mem::replace(offsets, vec![0]).into());
                let field = Arc::new(Field::new_list_field(items.data_type().clone(), true));
                Arc::new(ListArray::new(field, offsets, items, nulls))
            }
        }
    }

    /// Conflicts of this column and below since the last call, as (dotted path, count).
    pub(crate) fn take_conflicts(&mut self, path: &str, out: &mut Vec<(String, u64)>) {
        let count = mem::take(&mut self.conflicts);
        if count > 0 {
            out.push((path.to_owned(), count));
        }
        match &mut self.values {
            Values::Struct(columns, keys) => {
                for (i, column) in columns.iter_mut().enumerate() {
                    column.take_conflicts(&format!("{path}.{}", keys.name(i)), out);
                }
            }
            Values::List(_, item) => item.take_conflicts(&format!("{path}[]"), out),
            Values::Text(_)
            | Values::Json(_)
            | Values::Time(..)
            | Values::Int(_)
            | Values::Float(_)
            | Values::Bool(_) => {}
        }
    }

    /// The texts of times that could not be read since the last call, of the column at `wanted`;
    /// `path` is where this one is.
    pub(crate) fn take_unreadable(
        &mut self,
        path: &str,
        wanted: Option<&str>,
        out: &mut BTreeMap<u32, String>,
    ) {
        let texts = mem::take(&mut self.unreadable);
        if wanted == Some(path) {
            out.extend(texts.into_iter().map(|(row, text)| (row as u32, text)));
        }
        if wanted.is_some_and(|w| w.len() > path.len())
            && let Values::Struct(columns, keys) = &mut self.values
        {
            for (i, column) in columns.iter_mut().enumerate() {
                column.take_unreadable(&format!("{path}.{}", keys.name(i)), wanted, out);
            }
        }
    }

    /// Takes back what a value that was never completed left below this column.
    pub(crate) fn truncate_open(&mut self) {
        self.truncate(self.len());
    }

    fn all_null(&mut self, len: usize) -> ArrayRef {
        match &self.nulls {
            Some(array) if array.len() >= len => array.slice(0, len),
            _ => {
                let array = new_null_array(&self.data_type, len);
                self.nulls = Some(array.clone());
                array
            }
        }
    }
}

impl Bytes {
    fn new() -> Self {
        Bytes { offsets: vec![0], bytes: Vec::new() }
    }

    pub(crate) fn push(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
        self.offsets.push(self.bytes.len() as i32);
    }

    fn pad(&mut self, len: usize) {
        self.offsets.resize(len + 1, self.bytes.len() as i32);
    }

    fn truncate(&mut self, len: usize) {
        self.offsets.truncate(len + 1);
        self.bytes.truncate(self.offsets.last().map_or(0, |o| *o as usize));
    }

    fn finish(&mut self, nulls: Option<NullBuffer>) -> ArrayRef {
        // The next chunk is about as large.
        let next = Bytes {
            offsets: {
                let mut offsets = Vec::with_capacity(self.offsets.len());
                offsets.push(0);
                offsets
            },
            bytes: Vec::with_capacity(self.bytes.len()),
        };
        let Bytes { offsets, bytes } = mem::replace(self, next);
        let offsets = OffsetBuffer::new(offsets.into());
        Arc::new(StringArray::new(offsets, Buffer::from_vec(bytes), nulls))
    }
}

fn fields(data_type: &DataType) -> Fields {
    match data_type {
        DataType::Struct(fields) => fields.clone(),
        _ => Fields::empty(),
    }
}
