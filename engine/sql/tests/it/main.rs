//! Tests of `sluice-sql` through its public functions.

mod batch;
mod functions;
mod sandbox;
mod support;
mod transform;
