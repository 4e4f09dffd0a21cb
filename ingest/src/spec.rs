//! A source: its codec, its wire record, and the mappings that share it. Not how a mapping file is
//! written (see `rule`) or compiled (see `sql`).

use std::{fmt, sync::Arc};

use arrow::datatypes::{DataType, Field, Schema as ArrowSchema, SchemaRef, TimeUnit};
use regex::Regex;
use sluice_event::{TableName, TimeSettings, Transform, WireSchema};

use crate::{Framing, Unwrap};

mod load;

/// The mappings of one source, merged so that a record is decoded once.
#[derive(Debug)]
pub struct SourceSpec {
    /// The id, `okta.system`.
    pub source: Arc<str>,
    /// How a record becomes columns.
    pub codec: Codec,
    /// Where records are in a JSON value.
    pub unwrap: Unwrap,
    /// The wire record: the columns of all its mappings.
    pub wire: WireSchema,
    /// The wire column that is the event's time, as a dotted path.
    pub time: Option<String>,
    /// The wire column that names the event at its source, as a dotted path.
    pub native_id: Option<String>,
    /// Delay, lateness, skew and idle time.
    pub time_settings: TimeSettings,
    /// Keys of a record, dotted, by which the source is recognised.
    pub detect_has: Vec<String>,
    /// What a raw line must match for the source to be recognised.
    pub detect_line: Option<Regex>,
    /// The mappings in the order they are asked; the first that matches takes the record.
    pub mappings: Vec<MappingEntry>,
}

/// One mapping of a source.
#[derive(Debug, Clone)]
pub struct MappingEntry {
    /// The id of its file.
    pub id: String,
    /// Smaller is asked first.
    pub priority: i32,
    /// The class of its rows, if not the first of the table.
    pub class: Option<i32>,
    /// Who makes the product.
    pub vendor: Option<String>,
    /// The product.
    pub product: Option<String>,
    /// The mapping, compiled.
    pub transform: Arc<dyn Transform>,
}

/// How the bytes of a record become columns.
#[derive(Clone, Debug)]
pub enum Codec {
    /// JSON objects.
    Json,
    /// Fields in a fixed order, or in that of a header line.
    Delimited {
        /// Between fields.
        delimiter: char,
        /// The names of the fields in order, until a header says otherwise.
        fields: Vec<String>,
        /// The text that stands for NULL.
        null: Option<String>,
        /// A line that starts with this names the fields of the lines below it.
        header: Option<String>,
    },
    /// RFC 3164 and RFC 5424; named groups of the first pattern that matches are columns.
    Syslog {
        /// Over the message.
        patterns: Vec<Regex>,
        /// The year of times that have none; `None` takes the nearest to the receive time.
        year: Option<i32>,
        /// Minutes east of UTC of times without a zone.
        zone: i32,
    },
    /// The line itself, in the column `line`.
    Lines,
}

impl SourceSpec {
    /// How its input is cut into records.
    pub fn framing(&self) -> Framing {
        match self.codec {
            Codec::Json => Framing::Json(self.unwrap.clone()),
            Codec::Delimited { .. } | Codec::Syslog { .. } | Codec::Lines => Framing::Lines,
        }
    }

    /// The table of its typed records before mapping.
    pub fn raw_table(&self) -> TableName {
        TableName::raw(&self.source)
    }

    /// The columns of that table: `time`, `event_uid` and `native_uid`, then those of the wire
    /// record that are not named so.
    pub fn raw_schema(&self) -> SchemaRef {
        raw_schema(&self.wire)
    }

    /// The tables its rows may be in, in name order, without the raw one.
    pub fn tables(&self) -> Vec<TableName> {
        let mut tables: Vec<TableName> =
            self.mappings.iter().map(|m| m.transform.table().clone()).collect();
        tables.sort();
        tables.dedup();
        tables
    }
}

/// What the raw table has before the wire columns.
pub(crate) const RAW_COLUMNS: [&str; 3] = ["time", "event_uid", "native_uid"];

fn raw_schema(wire: &WireSchema) -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    let mut fields: Vec<Arc<Field>> = vec![
        Arc::new(Field::new(RAW_COLUMNS[0], time, false)),
        Arc::new(Field::new(RAW_COLUMNS[1], DataType::Utf8, true)),
        Arc::new(Field::new(RAW_COLUMNS[2], DataType::Utf8, true)),
    ];
    let wire = wire.arrow();
    fields.extend(
        wire.fields().iter().filter(|f| !RAW_COLUMNS.contains(&f.name().as_str())).cloned(),
    );
    Arc::new(ArrowSchema::new(fields))
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Codec::Json => "json",
            Codec::Delimited { .. } => "delimited",
            Codec::Syslog { .. } => "syslog",
            Codec::Lines => "lines",
        })
    }
}
