//! A source: its codec, its wire record, and the mappings that share it. Not how a mapping file is
//! written (see `rule`) or compiled (see `sql`).

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema as ArrowSchema, SchemaRef, TimeUnit};
use regex::Regex;
use sluice_event::{Aliases, TableName, TimeSettings, Transform, WireSchema};

use crate::{DuplicateKeys, Framing, Limits, Surroundings, Unwrap, decode::form};

mod load;

/// How the bytes of a record become columns, as its mapping file says.
pub use sluice_rule::{
    CodecSpec as Codec, Delimited as DelimitedCodec, Program as SyslogProgram,
    Syslog as SyslogCodec, Zone,
};

/// The mappings of one source, merged so that a record is decoded once.
#[derive(Clone, Debug)]
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
    /// Keys of a record, dotted, by which the source is recognised; `a|b` is one of them.
    pub detect_has: Vec<String>,
    /// Keys that a record of the source never has.
    pub detect_lacks: Vec<String>,
    /// What a raw line must match for the source to be recognised.
    pub detect_line: Option<Regex>,
    /// What a bare message must match that comes in a wrapper which names no program.
    pub detect_message: Option<Regex>,
    /// The mappings in the order they are asked; the first that matches takes the record.
    pub mappings: Vec<MappingEntry>,
    /// How much of its records is looked at.
    pub limits: Limits,
    /// What else there is: envelopes around its records, other sources.
    pub surroundings: Arc<Surroundings>,
    /// Other names of users and devices.
    pub aliases: Arc<Aliases>,
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

impl SourceSpec {
    /// How its input is cut into records.
    pub fn framing(&self) -> Framing {
        form(&self.codec).framing(self)
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

/// What one input says of the codec of its records, over what their mapping says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InputOptions {
    /// The zone of times without one.
    pub zone: Option<Zone>,
    /// The year of dates without one; in a file that of the first.
    pub year: Option<i32>,
    /// The names of the fields of delimited lines, in order.
    pub fields: Option<Vec<String>>,
    /// See [`Limits::record_bytes`].
    pub record_bytes: Option<usize>,
    /// See [`Limits::depth`].
    pub depth: Option<usize>,
    /// See [`Limits::fields`].
    pub fields_max: Option<usize>,
    /// See [`Limits::duplicate_keys`].
    pub duplicate_keys: Option<DuplicateKeys>,
}

impl InputOptions {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        *self == InputOptions::default()
    }

    /// The settings that no codec of these sources has, with the codecs that do.
    pub fn unused<'s>(
        &self,
        sources: impl Iterator<Item = &'s SourceSpec> + Clone,
    ) -> Vec<(&'static str, &'static str)> {
        let heeded = |setting: &str| sources.clone().any(|s| form(&s.codec).heeds(setting));
        [
            ("zone", "syslog", self.zone.is_some()),
            ("year", "syslog", self.year.is_some()),
            ("fields", "delimited", self.fields.is_some()),
        ]
        .into_iter()
        .filter(|(name, _, given)| *given && !heeded(name))
        .map(|(name, codec, _)| (name, codec))
        .collect()
    }
}

impl SourceSpec {
    /// The source as one input has it.
    pub fn for_input(self: &Arc<Self>, options: &InputOptions) -> Arc<SourceSpec> {
        if options.is_empty() {
            return self.clone();
        }
        let own = SourceSpec::clone(self);
        let codec = form(&own.codec).for_input(options);
        let limits = Limits {
            record_bytes: options.record_bytes.unwrap_or(own.limits.record_bytes),
            depth: options.depth.unwrap_or(own.limits.depth),
            fields: options.fields_max.unwrap_or(own.limits.fields),
            duplicate_keys: options.duplicate_keys.unwrap_or(own.limits.duplicate_keys),
            ..own.limits
        };
        Arc::new(SourceSpec { codec, limits, ..own })
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
