//! Tests of the crate; names carry the ids of the design note.

mod learning;
mod replay;
mod score;
mod support;
