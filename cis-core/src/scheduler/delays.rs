//! How long retries still wait if the clock on the wall is set. Events have times of that clock; a delay does not change with it.
//!
//! Owns the times of this life of the node alone: events stay as they are.

use super::state::Run;
use crate::event::QueueReason;
use crate::ids::TimestampMs;

impl Run {
    /// The clock on the wall was set forward by so much, ms, or back: the delays of retries go on.
    pub(super) fn shift_retries(&mut self, by_ms: i64) {
        self.move_retries(|at_ms, _| at_ms.saturating_add(by_ms));
    }

    /// The run comes from the store: no retry waits for longer than its delay from now on, as the clock may have been set back meanwhile.
    pub(super) fn bound_retries(&mut self, now: TimestampMs) {
        self.move_retries(|at_ms, since_ms| {
            let delay_ms = at_ms.saturating_sub(since_ms).max(0);
            at_ms.min(now.saturating_add(delay_ms))
        });
    }

    /// `to` gets when a retry is due, and since when it waits.
    fn move_retries(&mut self, to: impl Fn(TimestampMs, TimestampMs) -> TimestampMs) {
        for (due_ms, index) in self.index.timers.clone() {
            let entry = &mut self.tasks[index as usize];
            let since_ms = entry.since_ms;
            let Some(QueueReason::RetryAt { at_ms, .. } | QueueReason::Resources { at_ms, .. }) =
                &mut entry.queued
            else {
                continue;
            };
            *at_ms = to(due_ms, since_ms);
            self.index.timers.remove(&(due_ms, index));
            self.index.timers.insert((*at_ms, index));
        }
    }
}
