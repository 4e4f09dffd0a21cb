//! The clock for people: when something was, as an operator reads it. Nothing here decides a finding.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970 UTC.
#[expect(clippy::disallowed_methods, reason = "stamps for people; nothing is decided by it")]
pub(crate) fn clock() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64)
}
