//! Integration tests of the whole product, one binary: each file is one surface.

mod bad_records;
mod bad_rules;
mod cli;
mod demo;
mod real;
mod support;
mod tidy;
