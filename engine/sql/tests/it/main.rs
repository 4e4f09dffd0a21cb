//! Tests of `sluice-sql` through its public functions.

mod batch;
mod support;
