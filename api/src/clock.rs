//! The two clocks of the process. Nothing they say reaches a finding.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970 UTC: expiry of tokens, retention, and times that people read.
#[expect(clippy::disallowed_methods, reason = "when people did something; detection never sees it")]
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// For durations and waits.
#[expect(clippy::disallowed_methods, reason = "how long something took; detection never sees it")]
pub(crate) fn monotonic() -> Instant {
    Instant::now()
}
