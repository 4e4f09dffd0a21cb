//! Tests of the crate; names carry the ids of the design note.

mod asking;
mod comparison;
mod learning;
mod peers;
mod people;
mod policy;
mod replay;
mod score;
mod support;
