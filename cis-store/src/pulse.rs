//! What the writer and the checkpointer tell each other.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// When the log is copied.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// After so many appended events. Each costs about 3 pages of the log.
    pub(super) events: usize,
    /// From so many pages on the writer is asked to help the log start over.
    pub(super) pages_long: i64,
    /// After so long without a commit everything is copied and the log cut to nothing.
    pub(super) idle: Duration,
}

/// The state that both share.
#[derive(Debug)]
pub(super) struct Pulse {
    /// [`Pace::events`].
    pub(super) every: AtomicUsize,
    /// Events since the last copy.
    pub(super) events: AtomicUsize,
    /// The checkpointer sleeps until the next commit.
    asleep: AtomicBool,
    /// The writer is asked to copy the rest.
    request: AtomicBool,
    /// Counts the copies.
    pub(super) passes: AtomicUsize,
    pub(super) stop: Mutex<bool>,
    pub(super) wake: Condvar,
}

impl Default for Pulse {
    fn default() -> Self {
        Self {
            every: AtomicUsize::new(usize::MAX),
            events: AtomicUsize::new(0),
            asleep: AtomicBool::new(false),
            request: AtomicBool::new(false),
            passes: AtomicUsize::new(0),
            stop: Mutex::new(false),
            wake: Condvar::new(),
        }
    }
}

impl Pulse {
    /// The writer committed that many events. Cheap: it wakes the other only when there is work.
    pub(super) fn beat(&self, events: usize) {
        let before = self.events.fetch_add(events.max(1), Ordering::SeqCst);
        let every = self.every.load(Ordering::Relaxed);
        let due = before < every && before + events.max(1) >= every;
        if due || self.asleep.load(Ordering::SeqCst) {
            // Taking the lock keeps the wake from falling between the other's look and its sleep.
            drop(self.stop.lock().unwrap_or_else(PoisonError::into_inner));
            self.asleep.store(false, Ordering::SeqCst);
            self.wake.notify_one();
        }
    }

    /// Whether the writer was asked to copy the rest; it is asked once.
    pub(super) fn take_request(&self) -> bool {
        self.request.load(Ordering::Relaxed) && self.request.swap(false, Ordering::Relaxed)
    }

    /// Asks the writer.
    pub(super) fn ask(&self) {
        self.request.store(true, Ordering::Relaxed);
    }

    /// How often the log was copied.
    #[cfg(test)]
    pub(super) fn passes(&self) -> usize {
        self.passes.load(Ordering::SeqCst)
    }

    /// Sleeps until there is something to copy. None: it is to end. Some(true): nobody writes now.
    /// `cut`: the log is empty, so without a commit there is nothing to do, ever.
    pub(super) fn next(&self, pace: Pace, cut: bool) -> Option<bool> {
        let mut stop = self.stop.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if *stop {
                return None;
            }
            // Said before the look: either the writer sees it, or the look sees the writer's events.
            self.asleep.store(true, Ordering::SeqCst);
            let events = self.events.load(Ordering::SeqCst);
            if events == 0 && cut {
                stop = self.wake.wait(stop).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            self.asleep.store(false, Ordering::SeqCst);
            if events >= pace.events {
                return Some(false);
            }
            let (guard, timeout) =
                self.wake.wait_timeout(stop, pace.idle).unwrap_or_else(PoisonError::into_inner);
            stop = guard;
            if timeout.timed_out() && self.events.load(Ordering::SeqCst) == events && !*stop {
                return Some(true);
            }
        }
    }
}
