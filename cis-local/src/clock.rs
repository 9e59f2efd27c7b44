//! The clock on the wall.

use std::time::{SystemTime, UNIX_EPOCH};

use cis_core::ids::TimestampMs;

/// Returns the time, Unix ms: for people and logs.
#[must_use]
pub fn now_ms() -> TimestampMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    TimestampMs::try_from(since.as_millis()).unwrap_or(TimestampMs::MAX)
}
