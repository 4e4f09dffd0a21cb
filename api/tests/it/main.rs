//! Integration tests of the whole product, one binary: each file is one surface.

mod bad_records;
mod demo;
mod support;
mod tidy;
