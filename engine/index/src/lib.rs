//! Search over findings.
#![forbid(unsafe_code)]
