//! The clock on the wall, and whether another one stood still.

use std::time::{SystemTime, UNIX_EPOCH};

use cis_core::ids::TimestampMs;

/// Returns the time, Unix ms: for people and logs.
#[must_use]
pub fn now_ms() -> TimestampMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    TimestampMs::try_from(since.as_millis()).unwrap_or(TimestampMs::MAX)
}

/// A step of this size, ms, is more than people and time servers set a clock by in daily use.
const STEP_MS: i64 = 1000;

/// Finds out that the machine stood still. The clocks of a virtual machine stop while it is paused; afterwards the one on the wall is
/// set, and `CLOCK_BOOTTIME` is not. Somebody who sets the clock forward looks the same.
#[derive(Debug)]
pub struct Clocks {
    /// How far the clock on the wall is ahead of the other, ms.
    ahead: i64,
}

impl Clocks {
    /// Begins with the present times: Unix ms, and ms of `CLOCK_BOOTTIME`.
    #[must_use]
    pub fn new(unix: TimestampMs, boot: u64) -> Self {
        Self { ahead: ahead(unix, boot) }
    }

    /// Whether the machine stood still since this was asked last.
    pub fn stood_still(&mut self, unix: TimestampMs, boot: u64) -> bool {
        let before = std::mem::replace(&mut self.ahead, ahead(unix, boot));
        self.ahead.saturating_sub(before) >= STEP_MS
    }
}

fn ahead(unix: TimestampMs, boot: u64) -> i64 {
    unix.saturating_sub(i64::try_from(boot).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_stood_still_is_found_once() {
        let mut clocks = Clocks::new(1_000_000, 500);
        assert!(!clocks.stood_still(1_000_000 + 3_600_000, 500 + 3_600_000), "both went on");
        assert!(!clocks.stood_still(4_600_900, 3_600_500), "time servers do that");
        assert!(clocks.stood_still(4_700_900, 3_600_501));
        assert!(!clocks.stood_still(4_700_901, 3_600_502));
        assert!(!clocks.stood_still(4_000_000, 3_600_503), "set back");
    }
}
