//! How long a task waits that reads rooms and cannot: longer each time, but no longer than until something changes.

use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::Stop;
use crate::account::Backoff;

/// A task that worked for longer than this begins with the shortest pause again.
const WORKED_MIN: Duration = Duration::from_secs(30);

/// A room that could not be read is tried again after so long.
pub(super) const ROOM_PAUSE: Duration = Duration::from_secs(60);

/// The pause after the next failure.
#[derive(Default)]
pub(super) struct Pause(Backoff);

impl Pause {
    /// What failed now had worked since `began`: where that is long, the pauses begin anew.
    pub(super) fn worked_since(&mut self, began: Instant) {
        if began.elapsed() > WORKED_MIN {
            self.0.reset();
        }
    }

    /// Waits after a failure, at most until somebody wakes the task.
    pub(super) async fn after(&mut self, stop: &Stop, wake: &Notify) {
        let pause = match stop {
            Stop::Matrix(error) => self.0.after(error),
            Stop::Trouble(_) => self.0.after_own_failure(),
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = wake.notified() => self.0.reset(),
        }
    }
}
