//! How much of the hub's time the judging of one session may take.
//!
//! Looking at a screen and at what a program says costs most of what the hub does. Who makes it look again and
//! again has its share, and beyond that waits; whoever is quiet never notices.

use cis_core::ids::TimestampMs;

/// So much at once, µs.
const AT_ONCE_US: u64 = 300_000;
/// And then so much in each ms, µs: a twentieth of a core.
const EACH_MS_US: u64 = 50;
/// However much it took, it waits no longer, ms.
const WAIT_MAX_MS: i64 = 2_000;
/// So much use leads to that, µs.
const USED_MAX_US: u64 = AT_ONCE_US + EACH_MS_US * WAIT_MAX_MS.cast_unsigned();

/// What one session has used up.
#[derive(Debug, Default)]
pub(super) struct Share {
    used_us: u64,
    at: TimestampMs,
}

impl Share {
    /// So much was used.
    pub(super) fn use_up(&mut self, us: u64, now: TimestampMs) {
        self.used_us = self.left_of(now).saturating_add(us).min(USED_MAX_US);
        self.at = now;
    }

    /// When it may use more: now, or later.
    pub(super) fn free_at(&self, now: TimestampMs) -> TimestampMs {
        let over = self.left_of(now).saturating_sub(AT_ONCE_US);
        now + i64::try_from(over.div_ceil(EACH_MS_US)).unwrap_or(WAIT_MAX_MS)
    }

    fn left_of(&self, now: TimestampMs) -> u64 {
        let passed = u64::try_from(now - self.at).unwrap_or(0);
        self.used_us.saturating_sub(passed.saturating_mul(EACH_MS_US))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_uses_little_never_waits_and_who_uses_much_gets_its_share() {
        let (mut quiet, mut noisy) = (Share::default(), Share::default());
        let (mut looks, mut now) = (0, 1_000_000);
        let end = now + 60_000;
        while now < end {
            if now % 1000 == 0 {
                assert_eq!(quiet.free_at(now), now);
                quiet.use_up(30_000, now);
            }
            if noisy.free_at(now) <= now {
                looks += 1;
                noisy.use_up(30_000, now);
            }
            now += 1;
        }
        let used_ms = looks * 30;
        assert!(
            (3_000..=3_400).contains(&used_ms),
            "a twentieth of a minute, and what it has at once: {used_ms}"
        );
        noisy.use_up(1 << 60, now);
        assert_eq!(noisy.free_at(now), now + WAIT_MAX_MS);
        assert_eq!(noisy.free_at(now + WAIT_MAX_MS), now + WAIT_MAX_MS);
    }
}
