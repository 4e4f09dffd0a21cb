//! SQL: one dialect, planned by DataFusion, sandboxed; the only crate that knows DataFusion.
//!
//! Every SQL text (rule, mapping, hunt) goes through [`dialect::parse_one`] and a [`Session`]. What
//! leaves this crate are values of `event` and `stream` ([`sluice_event::Eval`],
//! [`sluice_event::Transform`]) and arrow batches; never a DataFusion type.
#![forbid(unsafe_code)]

mod batch;
mod dialect;
mod error;
mod eval;
mod functions;
mod lower;
mod query;
mod sandbox;
mod session;
mod transform;

pub use batch::{BatchFindings, batch};
pub use error::{SqlError, SqlProblem};
