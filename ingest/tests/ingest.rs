//! Files and bad input, from bytes to rows and dead letters: the next good record is always
//! processed, and the counters add up.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "ingest/support.rs"]
mod support;

#[path = "ingest/bad_input.rs"]
mod bad_input;
#[path = "ingest/decoding.rs"]
mod decoding;
#[path = "ingest/encodings.rs"]
mod encodings;
#[path = "ingest/envelope.rs"]
mod envelope;
#[path = "ingest/exports.rs"]
mod exports;
#[path = "ingest/files.rs"]
mod files;
#[path = "ingest/line_ends.rs"]
mod line_ends;
#[path = "ingest/page.rs"]
mod page;
#[path = "ingest/push.rs"]
mod push;
#[path = "ingest/route.rs"]
mod route;
#[path = "ingest/shapes.rs"]
mod shapes;
#[path = "ingest/wrapped.rs"]
mod wrapped;
#[path = "ingest/wrappers.rs"]
mod wrappers;
#[path = "ingest/zones.rs"]
mod zones;
