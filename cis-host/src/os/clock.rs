//! The clocks since boot, and of a thread.

use rustix::time::{ClockId, clock_gettime};

/// ms since boot, the time asleep included (`CLOCK_BOOTTIME`): for deadlines, which a lid that was
/// closed does not prolong.
pub fn boot_ms() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    now.tv_sec.unsigned_abs() * 1000 + now.tv_nsec.unsigned_abs() / 1_000_000
}

/// ms since boot, without the time asleep (`CLOCK_MONOTONIC`): by which programs say until when they sleep.
pub(crate) fn monotonic_ms() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.unsigned_abs() * 1000 + now.tv_nsec.unsigned_abs() / 1_000_000
}

/// CPU time of this thread, µs.
pub(crate) fn cpu_us() -> u64 {
    let used = clock_gettime(ClockId::ThreadCPUTime);
    used.tv_sec.unsigned_abs() * 1_000_000 + used.tv_nsec.unsigned_abs() / 1000
}
