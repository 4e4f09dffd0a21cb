//! Tests of `sluice-sql` through its public functions.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod batch;
mod functions;
mod refused;
mod sandbox;
mod support;
mod transform;
