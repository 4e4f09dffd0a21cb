//! The data model: tables and their columns, batches of event rows, values, ids, entities and time.
//!
//! It is the bottom of the workspace: arrow and blake3, no IO but log lines of defects, no clock, no
//! async, no knowledge of wire formats, SQL or rules. The principal types:
//!
//! - [`Schema`]: every table and column, read from the one schema file (`schema.tsv`);
//! - [`EventBatch`]: rows of one table with where each came from;
//! - [`Eval`] and [`Transform`]: what `sql` compiles expressions and mappings into, so that nobody
//!   else needs to know DataFusion;
//! - [`EventUid`], [`EventUids`] and [`Encoder`]: identity that does not depend on position, clock or
//!   order;
//! - [`defect`](mod@defect): the one path for defects of ours.
#![forbid(unsafe_code)]

mod batch;
mod compact;
pub mod defect;
mod docs;
mod encode;
mod entity;
mod eval;
mod fill;
mod ip;
mod json;
mod packed;
mod schema;
mod table;
mod time;
mod time_flags;
mod transform;
mod uid;
mod value;
mod wire;

pub use batch::{EventBatch, Origin, PartitionId, Records, TimeSettings};
pub use compact::compact_json;
pub use encode::{Encoder, decode_values};
pub use entity::{Aliases, EntityKind, Names};
pub use eval::{Eval, EvalError};
pub use fill::{Fill, fill};
pub use ip::{canonical_ip, is_address, is_private_ip};
pub use packed::{RowPacker, packed_json};
pub use schema::{CaptionId, Column, ColumnType, Schema, TableSchema};
pub use smol_str::SmolStr;
pub use table::TableName;
pub use time::{
    Clamped, clamp,
    parse::{civil_millis, named_zone, parse_rfc3339, zone_minutes},
    rfc3339,
};
pub use time_flags::TimeFlags;
pub use transform::{Mapped, RowError, Transform};
pub use uid::{EventUid, EventUids};
pub use value::{Value, ValueList};
pub use wire::{EnvelopeColumn, TimeFormat, WireSchema, WireType};
