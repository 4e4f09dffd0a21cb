//! The two clocks of the API. Nothing they say reaches a finding.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970 UTC.
#[expect(clippy::disallowed_methods, reason = "when people did something; detection never sees it")]
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// For durations.
#[expect(clippy::disallowed_methods, reason = "how long requests take, for people")]
pub(super) fn monotonic() -> Instant {
    Instant::now()
}
