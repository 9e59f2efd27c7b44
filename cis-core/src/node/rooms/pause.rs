//! How long a task waits that reads rooms and cannot: longer each time, but no longer than until something changes.

use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// At first.
const FIRST: Duration = Duration::from_millis(500);
/// At most.
const MAX: Duration = Duration::from_secs(30);

/// A room that could not be read is tried again after so long.
pub(super) const ROOM_PAUSE: Duration = Duration::from_secs(60);

/// The pause after the next failure.
pub(super) struct Pause(Duration);

impl Pause {
    pub(super) fn new() -> Self {
        Self(FIRST)
    }

    /// What failed now had worked since `began`: where that is long, it begins anew.
    pub(super) fn worked_since(&mut self, began: Instant) {
        if began.elapsed() > MAX {
            self.0 = FIRST;
        }
    }

    /// Only somebody can change that.
    pub(super) fn longest(&mut self) {
        self.0 = MAX;
    }

    /// Waits, at most until somebody knocks.
    pub(super) async fn over(&mut self, knock: &Notify) {
        tokio::select! {
            () = tokio::time::sleep(self.0) => self.0 = (self.0 * 2).min(MAX),
            () = knock.notified() => self.0 = FIRST,
        }
    }
}
