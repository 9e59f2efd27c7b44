//! The clock on the wall, and whether the machine stood still.

use std::time::{SystemTime, UNIX_EPOCH};

use cis_core::ids::TimestampMs;

/// Returns the time, Unix ms: for people and logs.
#[must_use]
pub fn now_ms() -> TimestampMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    TimestampMs::try_from(since.as_millis()).unwrap_or(TimestampMs::MAX)
}

/// If the clock on the wall goes forward by this time, ms, and the other clock does not, the machine stood still.
const STEP_MS: i64 = 1000;

/// If reading the clocks takes this time, ms, they cannot be compared.
const READ_MS: u64 = 100;

/// Finds out that the machine stood still. The clocks of a virtual machine stop while it is paused. Afterwards the clock on the wall is
/// set, but `CLOCK_BOOTTIME` is not. If a person sets the clock on the wall forward, this cannot be told apart.
#[derive(Debug, Default)]
pub struct Clocks {
    /// How far the clock on the wall is ahead of the other one, ms. None: they were not read yet.
    ahead: Option<i64>,
}

impl Clocks {
    /// Whether the machine stood still since the clocks were read last: now the wall's at `unix`, between two readings of
    /// `CLOCK_BOOTTIME`, ms.
    pub fn stood_still(&mut self, before: u64, unix: TimestampMs, after: u64) -> bool {
        if after.saturating_sub(before) > READ_MS {
            return false;
        }
        let ahead = unix.saturating_sub(i64::try_from(after).unwrap_or(i64::MAX));
        self.ahead.replace(ahead).is_some_and(|known| ahead.saturating_sub(known) >= STEP_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_stood_still_is_found_once() {
        let mut clocks = Clocks::default();
        let mut read = |unix, boot| clocks.stood_still(boot, unix, boot);
        assert!(!read(1_000_000, 500));
        assert!(!read(4_600_000, 3_600_500), "both went on");
        assert!(!read(4_600_900, 3_600_500), "time servers do that");
        assert!(read(4_700_900, 3_600_501));
        assert!(!read(4_700_901, 3_600_502));
        assert!(!read(4_000_000, 3_600_503), "set back");
        assert!(
            !clocks.stood_still(3_600_600, 9_000_000, 3_700_000),
            "this process stood still between the two"
        );
        assert!(!clocks.stood_still(3_700_000, 4_099_500, 3_700_000));
    }
}
