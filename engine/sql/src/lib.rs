//! SQL: one dialect, planned by DataFusion, sandboxed; the only crate that knows DataFusion.
//!
//! Every SQL text (rule, mapping, hunt) goes through `dialect::parse_one` and a `Session`. What
//! leaves this crate are values of `event` and `stream` ([`sluice_event::Eval`],
//! [`sluice_event::Transform`]) and arrow batches; never a DataFusion type.
#![forbid(unsafe_code)]

mod baseline;
mod batch;
mod blame;
mod classify;
mod compiler;
mod dead;
mod deadline;
mod dialect;
mod error;
mod eval;
mod functions;
mod known;
mod lookup;
mod lower;
mod monotone;
mod networks;
mod predicate;
mod query;
mod reference;
mod refuse;
mod rowwise;
mod sandbox;
mod session;
mod stored;
mod text;
mod threshold;
mod transform;
mod types;
mod walk;
mod warn;

pub use baseline::{INPUT, Select, Selected};
pub use batch::{BatchFindings, batch, batch_with};
pub use compiler::{CompiledRule, Compiler, RawTable};
pub use deadline::Cancel;
pub use error::{SqlError, SqlProblem};
pub use functions::SLIDES_MAX;
pub use known::{
    AskedKind, AskedValue, BaselineRows, BaselineTable, Baselines, KnownBaselines, baseline_columns,
};
pub use lookup::{Lookup, Lookups};
pub use query::{QueryLimits, QueryResult, query, query_stored, query_with, tables_named};
pub use reference::{FunctionDoc, FunctionGroup, reference};
pub use stored::{StoredBatches, StoredRows, Wanted};
pub use transform::compile_transform;
