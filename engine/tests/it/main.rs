//! Integration tests of the engine, one binary.
#![expect(clippy::unwrap_used, reason = "a failed helper is a failed test")]

mod asking;
mod baselines;
mod checkpoint;
mod durable;
mod fillable;
mod flood;
mod known;
mod lookups;
mod mappings;
mod oracle;
mod over_findings;
mod service;
mod sharing;
mod shipped;
