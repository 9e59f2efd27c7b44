//! The time in the hub, and the times at which sessions are judged.

use std::collections::BTreeSet;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use cis_core::ids::{SessionId, TimestampMs};

/// Unix ms that never go back while the hub lives.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    began: Instant,
    began_ms: TimestampMs,
}

impl Clock {
    pub(super) fn new() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { began: Instant::now(), began_ms: since.as_millis() as TimestampMs }
    }

    pub(super) fn now(&self) -> TimestampMs {
        self.began_ms + self.began.elapsed().as_millis() as TimestampMs
    }

    /// When it is this time.
    pub(super) fn instant(&self, at: TimestampMs) -> Instant {
        let after = u64::try_from(at - self.began_ms).unwrap_or(0);
        self.began + std::time::Duration::from_millis(after)
    }
}

/// When which session is to be judged though nothing comes.
pub(super) type Wakes = BTreeSet<(TimestampMs, SessionId)>;
