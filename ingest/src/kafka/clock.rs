//! The clocks of a consumer: deadlines, and the receive time of records that bring none.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// For deadlines and silence: no event's time is made of it.
#[expect(
    clippy::disallowed_methods,
    reason = "waiting needs a clock; findings do not depend on it"
)]
pub(super) fn now() -> Instant {
    Instant::now()
}

/// Milliseconds since 1970 UTC.
#[expect(
    clippy::disallowed_methods,
    reason = "a record is received now, and that is recorded with it"
)]
pub(super) fn wall() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}
