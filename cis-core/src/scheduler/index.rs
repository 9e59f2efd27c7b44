//! What the machine asks for often, kept beside the tasks: every part of it follows from them.

use std::collections::BTreeSet;

use crate::event::TaskState;
use crate::ids::TimestampMs;

/// Derived from the tasks of a run; each change costs O(log n).
#[derive(Debug, Clone, Default)]
pub(super) struct Index {
    /// Tasks per state, in the order of [`TaskState::ALL`].
    counts: [u32; TaskState::ALL.len()],
    /// Queued and free to start, in the order of the file.
    pub(super) ready: BTreeSet<u32>,
    /// Queued until a time.
    pub(super) timers: BTreeSet<(TimestampMs, u32)>,
    /// With an attempt under way.
    pub(super) live: BTreeSet<u32>,
    /// Of those: waiting for a human.
    pub(super) blocked: u32,
}

impl Index {
    pub(super) fn count(&self, state: TaskState) -> u32 {
        self.counts[state as usize]
    }

    pub(super) fn entered(&mut self, state: TaskState) {
        self.counts[state as usize] += 1;
    }

    pub(super) fn left(&mut self, state: TaskState) {
        self.counts[state as usize] -= 1;
    }

    /// Tasks that have not ended.
    pub(super) fn open(&self) -> u32 {
        TaskState::ALL.iter().filter(|s| !s.is_terminal()).map(|s| self.count(*s)).sum()
    }

    pub(super) fn enqueue(&mut self, task: u32, not_before_ms: Option<TimestampMs>) {
        match not_before_ms {
            Some(at_ms) => self.timers.insert((at_ms, task)),
            None => self.ready.insert(task),
        };
    }

    pub(super) fn dequeue(&mut self, task: u32, not_before_ms: Option<TimestampMs>) {
        let waited = not_before_ms.is_some_and(|at_ms| self.timers.remove(&(at_ms, task)));
        if !waited {
            self.ready.remove(&task);
        }
    }

    /// Tasks whose time has come are free to start.
    pub(super) fn wake(&mut self, now: TimestampMs) {
        while let Some((at_ms, task)) = self.timers.first().copied()
            && at_ms <= now
        {
            self.timers.pop_first();
            self.ready.insert(task);
        }
    }
}
