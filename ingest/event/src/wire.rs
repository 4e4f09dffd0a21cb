//! The wire record of a source: the columns its mappings declare and their types. Not the
//! vocabulary tables (see [`crate::Schema`]), and not the decoding.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema as ArrowSchema, SchemaRef, TimeUnit};

/// The columns of a wire record in declared order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WireSchema {
    /// Name on the wire (case kept) and type.
    pub columns: Vec<(String, WireType)>,
}

impl WireSchema {
    /// As arrow sees it; every column may be NULL.
    pub fn arrow(&self) -> SchemaRef {
        Arc::new(ArrowSchema::new(fields(&self.columns)))
    }
}

/// A column that is filled from what came around a record, never from the record itself: its name
/// is reserved. NULL where the input gives nothing but bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnvelopeColumn {
    /// `_key: string`, the record's key; invalid UTF-8 is replaced.
    Key,
    /// `_topic: string`.
    Topic,
    /// `_headers: json`, an object of texts by name; a header without a value is null.
    Headers,
    /// `_timestamp: timestamp`, the time the queue has for the record.
    Timestamp,
    /// `_partition: int`.
    Partition,
    /// `_offset: int`.
    Offset,
}

impl EnvelopeColumn {
    /// The envelope column of a name, if it is one.
    pub fn of(name: &str) -> Option<EnvelopeColumn> {
        Some(match name {
            "_key" => EnvelopeColumn::Key,
            "_topic" => EnvelopeColumn::Topic,
            "_headers" => EnvelopeColumn::Headers,
            "_timestamp" => EnvelopeColumn::Timestamp,
            "_partition" => EnvelopeColumn::Partition,
            "_offset" => EnvelopeColumn::Offset,
            _ => return None,
        })
    }

    /// Whether it can be declared as this type.
    pub fn is(self, kind: &WireType) -> bool {
        match self {
            EnvelopeColumn::Key | EnvelopeColumn::Topic => *kind == WireType::String,
            EnvelopeColumn::Headers => *kind == WireType::Json,
            EnvelopeColumn::Timestamp => matches!(kind, WireType::Timestamp(_)),
            EnvelopeColumn::Partition | EnvelopeColumn::Offset => *kind == WireType::Int,
        }
    }

    /// The type it has, as mapping files write it.
    pub fn type_name(self) -> &'static str {
        match self {
            EnvelopeColumn::Key | EnvelopeColumn::Topic => "string",
            EnvelopeColumn::Headers => "json",
            EnvelopeColumn::Timestamp => "timestamp",
            EnvelopeColumn::Partition | EnvelopeColumn::Offset => "int",
        }
    }
}

/// The type of a wire field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WireType {
    /// Text; numbers and booleans become their text.
    String,
    /// A time in one of these formats; the first that parses wins.
    Timestamp(Vec<TimeFormat>),
    /// 64-bit integer.
    Int,
    /// Double.
    Float,
    /// Boolean.
    Bool,
    /// Any value, kept as JSON text.
    Json,
    /// An object with known fields.
    Struct(Vec<(String, WireType)>),
    /// An array.
    List(Box<WireType>),
}

impl WireType {
    /// The arrow type.
    pub fn arrow(&self) -> DataType {
        match self {
            WireType::String | WireType::Json => DataType::Utf8,
            WireType::Timestamp(_) => {
                DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
            }
            WireType::Int => DataType::Int64,
            WireType::Float => DataType::Float64,
            WireType::Bool => DataType::Boolean,
            WireType::Struct(columns) => DataType::Struct(fields(columns)),
            WireType::List(item) => {
                DataType::List(Arc::new(Field::new_list_field(item.arrow(), true)))
            }
        }
    }
}

/// How a time is written on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimeFormat {
    /// `2026-01-01T00:00:00.000Z`, also with a space for the `T`; without a zone it is UTC.
    Rfc3339,
    /// Seconds since 1970 UTC, fractions allowed.
    EpochSeconds,
    /// Milliseconds since 1970 UTC.
    EpochMillis,
    /// Microseconds since 1970 UTC.
    EpochMicros,
    /// Nanoseconds since 1970 UTC.
    EpochNanos,
    /// RFC 3339 text, or an epoch number whose unit follows from its size.
    Auto,
    /// `Jan  2 15:04:05`: no year, no zone.
    Syslog,
    /// `02/Jan/2006:15:04:05 -0700` of web servers.
    Clf,
    /// Windows FILETIME: 100 ns since 1601 UTC.
    FileTime,
    /// A strftime pattern.
    Pattern(String),
}

fn fields(columns: &[(String, WireType)]) -> Fields {
    columns.iter().map(|(name, kind)| Field::new(name, kind.arrow(), true)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_types_become_nullable_arrow_types() {
        let schema = WireSchema {
            columns: vec![(
                "target".into(),
                WireType::List(Box::new(WireType::Struct(vec![
                    ("displayName".into(), WireType::String),
                    ("seen".into(), WireType::Timestamp(vec![TimeFormat::Auto])),
                ]))),
            )],
        };
        let arrow = schema.arrow();
        let DataType::List(item) = arrow.field(0).data_type() else { panic!("not a list") };
        let DataType::Struct(fields) = item.data_type() else { panic!("not a struct") };
        assert_eq!(fields[0].name(), "displayName", "the case of the wire is kept");
        assert!(fields.iter().all(|f| f.is_nullable()) && item.is_nullable());
    }
}
