//! When the driver tries again what failed.
//!
//! Owns the clock of these delays: one that nobody sets. The clock on the wall may be set back by hours meanwhile, and
//! the next try would wait for as long. Also shows times of that clock on the one by which the driver sleeps.

use crate::account::boot_ms;
use cis_core::federation::protocol::BootMs;
use cis_core::ids::TimestampMs;

/// The time of the next try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RetryAt(BootMs);

impl RetryAt {
    /// So many ms from now on.
    pub(super) fn after(delay_ms: i64) -> Self {
        Self(boot_ms().saturating_add(delay_ms))
    }

    pub(super) fn is_due(self) -> bool {
        self.is_due_at(boot_ms())
    }

    /// What the clock on the wall shows then, if it shows `now` and nobody sets it.
    pub(super) fn on_wall(self, now: TimestampMs) -> TimestampMs {
        self.on_wall_at(now, boot_ms())
    }

    pub(super) fn at(boot: BootMs) -> Self {
        Self(boot)
    }

    fn is_due_at(self, boot: BootMs) -> bool {
        self.0 <= boot
    }

    fn on_wall_at(self, now: TimestampMs, boot: BootMs) -> TimestampMs {
        now.saturating_add(self.0.saturating_sub(boot).max(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_back_delays_no_try() {
        let retry = RetryAt(10_500);
        let (noon, an_hour_before) = (1_700_000_000_000, 1_699_996_400_000);
        assert!(!retry.is_due_at(10_000));
        assert_eq!(retry.on_wall_at(noon, 10_000) - noon, 500);
        assert_eq!(retry.on_wall_at(an_hour_before, 10_100) - an_hour_before, 400);
        assert!(retry.is_due_at(10_500));
        assert_eq!(retry.on_wall_at(an_hour_before, 11_000), an_hour_before);
    }
}
