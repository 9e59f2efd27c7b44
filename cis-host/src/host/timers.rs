//! When to wake up: one timerfd for all deadlines.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

/// Who wants to be woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wake {
    /// The session with this number.
    Session(usize),
    /// Restarting the node, ending by itself.
    Host,
}

/// Wishes to be woken. One that is not true any more is found out when it is due: who is woken looks
/// at its own deadlines.
#[derive(Debug)]
pub(super) struct Timers {
    timer: OwnedFd,
    wishes: BinaryHeap<Reverse<(u64, Wake)>>,
    /// What the timer is set to.
    armed: Option<u64>,
}

impl AsFd for Timers {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }
}

impl Timers {
    pub(super) fn new() -> rustix::io::Result<Self> {
        let timer = timerfd_create(TimerfdClockId::Boottime, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        Ok(Self { timer, wishes: BinaryHeap::new(), armed: None })
    }

    /// At this time of the boot clock, ms.
    pub(super) fn wish(&mut self, at_ms: u64, who: Wake) {
        self.wishes.push(Reverse((at_ms, who)));
    }

    /// Drops wishes of sessions that ended, once they are the most of at least `FEW`. `wakes` gives those of the sessions that
    /// are there.
    pub(super) fn compact<I: Iterator<Item = (u64, usize)>>(
        &mut self,
        sessions: usize,
        wakes: impl FnOnce() -> I,
    ) {
        const FEW: usize = 1024;
        if self.wishes.len() < FEW || self.wishes.len() < 4 * sessions {
            return;
        }
        self.wishes.retain(|Reverse((_, who))| *who == Wake::Host);
        self.wishes.extend(wakes().map(|(at_ms, slot)| Reverse((at_ms, Wake::Session(slot)))));
    }

    /// Takes one that is due.
    pub(super) fn due(&mut self, now_ms: u64) -> Option<Wake> {
        let Reverse((at_ms, who)) = *self.wishes.peek()?;
        if at_ms > now_ms {
            return None;
        }
        self.wishes.pop();
        Some(who)
    }

    /// Sets the timer for the earliest wish. It is left alone where it rings before: setting it costs
    /// more than one needless wake-up.
    pub(super) fn arm(&mut self, now_ms: u64) {
        if self.armed.is_some_and(|armed| armed <= now_ms) {
            let mut rings = [0; 8];
            // Only to make it unreadable; whether it rang does not matter.
            let _ = rustix::io::read(&self.timer, &mut rings);
            self.armed = None;
        }
        let Some(Reverse((at_ms, _))) = self.wishes.peek() else { return };
        if self.armed.is_some_and(|armed| armed <= *at_ms) {
            return;
        }
        // Zero would switch the timer off.
        let at = (*at_ms).max(1);
        let spec = Timespec {
            tv_sec: i64::try_from(at / 1000).unwrap_or(i64::MAX),
            tv_nsec: i64::try_from(at % 1000 * 1_000_000).unwrap_or(0),
        };
        let none = Timespec { tv_sec: 0, tv_nsec: 0 };
        let set = Itimerspec { it_interval: none, it_value: spec };
        if timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &set).is_ok() {
            self.armed = Some(*at_ms);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_come_due_in_order() {
        let mut timers = Timers::new().unwrap();
        timers.wish(30, Wake::Host);
        timers.wish(10, Wake::Session(1));
        timers.wish(20, Wake::Session(2));
        assert_eq!(timers.due(9), None);
        assert_eq!(timers.due(25), Some(Wake::Session(1)));
        assert_eq!(timers.due(25), Some(Wake::Session(2)));
        assert_eq!(timers.due(25), None);
        assert_eq!(timers.due(30), Some(Wake::Host));
    }

    #[test]
    fn wishes_of_sessions_that_ended_are_dropped_once_they_are_the_most() {
        let mut timers = Timers::new().unwrap();
        timers.wish(5, Wake::Host);
        (0..1022).for_each(|slot| timers.wish(9, Wake::Session(slot)));
        timers.compact(1, || [(7, 3)].into_iter());
        assert_eq!(timers.wishes.len(), 1023, "they are few");
        timers.wish(9, Wake::Session(3));
        timers.compact(1024, || [(7, 3)].into_iter());
        assert_eq!(timers.wishes.len(), 1024, "most of them may be true");
        timers.compact(1, || [(7, 3)].into_iter());
        let due: Vec<Wake> = std::iter::from_fn(|| timers.due(10)).collect();
        assert_eq!(due, [Wake::Host, Wake::Session(3)]);
    }
}
