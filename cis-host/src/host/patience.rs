//! How long a session may be idle, and the warnings before its limits end it.
//!
//! Idle is who has no activity: no byte in either direction, no CPU time of its tree. Bytes are seen as
//! they pass. CPU time is looked at only while bytes are missing, a few times in each idle limit; looks
//! lie on a grid of the clock, so that the sessions of one limit share one reading of `/proc`. A session
//! without an idle limit is never looked at. One that waits for a human or is frozen is not idle however long that
//! takes; its time begins when it goes on.

use serde::{Deserialize, Serialize};

use crate::os::Process;
use crate::protocol::Start;
use cis_core::event::SessionLimit;

/// So many looks fall into one idle limit: it is exceeded by one part of these at most.
const LOOKS: u64 = 8;
/// Looks are not closer together, ms.
const LOOK_APART_MS: u64 = 100;

/// Limits of one session beside its timeout. Times are ms of the boot clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Patience {
    idle_ms: Option<u64>,
    warn_ms: Option<u64>,
    /// The last look, and what it saw.
    looked: Option<(u64, Seen)>,
    /// The last look that saw another CPU time than the one before it, or was the first.
    busy_at: u64,
    /// The end by idleness that was warned of, and when it comes.
    warned_idle: Option<(u64, u64)>,
    warned_timeout: bool,
    /// It waits for a human.
    waits: bool,
    /// Its processes are stopped.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    frozen: bool,
    /// A warning that no node was there for: limit and time of the end.
    pub(super) unsaid: Option<(SessionLimit, u64)>,
}

/// What changes when a tree works: its CPU time in ticks, and how many processes it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seen {
    cpu: u64,
    processes: usize,
}

/// What is to be done about a session whose time has come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    /// Its CPU time must be known.
    Look,
    Warn(SessionLimit, u64),
    End,
}

impl Patience {
    /// Of a start; none where it names no such limit.
    pub(super) fn of(start: &Start, now: u64) -> Option<Box<Self>> {
        // A warning says something only of what comes much later.
        let warn_ms = start.warn_ms.filter(|warn| {
            let is_long = |limit: u64| limit > warn.saturating_mul(2);
            start.timeout_ms.is_some_and(is_long) || start.idle_ms.is_some_and(is_long)
        });
        let warned_timeout =
            warn_ms.zip(start.timeout_ms).is_none_or(|(warn, limit)| limit <= warn.saturating_mul(2));
        (start.idle_ms.is_some() || warn_ms.is_some()).then(|| {
            Box::new(Self {
                idle_ms: start.idle_ms,
                warn_ms,
                looked: None,
                busy_at: now,
                warned_idle: None,
                warned_timeout,
                waits: false,
                frozen: false,
                unsaid: None,
            })
        })
    }

    /// Between two looks, ms.
    fn step(&self) -> u64 {
        (self.idle_ms.unwrap_or_default() / LOOKS).max(LOOK_APART_MS)
    }

    /// When it would have been idle for too long, if nothing has happened since `bytes_at` and the last look;
    /// none: never, as it is.
    fn idle_at(&self, bytes_at: u64) -> Option<u64> {
        let counts = !self.waits && !self.frozen;
        self.idle_ms.filter(|_| counts).map(|idle| bytes_at.max(self.busy_at).saturating_add(idle))
    }

    /// So long before an end by idleness is warned of it.
    fn idle_warning(&self) -> Option<u64> {
        let (warn, idle) = self.warn_ms.zip(self.idle_ms)?;
        (idle > warn.saturating_mul(2)).then_some(warn)
    }

    /// When idleness is to be thought about next.
    fn idle_wake(&self, bytes_at: u64) -> Option<u64> {
        let idle_at = self.idle_at(bytes_at)?;
        if let Some((of, ends_at)) = self.warned_idle.filter(|(of, _)| *of == idle_at) {
            debug_assert!(of <= ends_at);
            return Some(ends_at);
        }
        let after = self.looked.map_or(bytes_at, |(at, _)| at.max(bytes_at));
        let step = self.step();
        let next_look = (after / step + 1).saturating_mul(step);
        let decisive = idle_at - self.idle_warning().unwrap_or(0);
        // Once it was looked at for the decision, that stands until the decision was taken.
        Some(if after >= decisive { decisive } else { next_look.min(decisive) })
    }

    fn timeout_warning(&self, timeout_at: Option<u64>) -> Option<u64> {
        let (warn, at) = self.warn_ms.zip(timeout_at).filter(|_| !self.warned_timeout)?;
        Some(at.saturating_sub(warn))
    }

    pub(super) fn due(&self, now: u64, bytes_at: u64, timeout_at: Option<u64>) -> Due {
        if self.timeout_warning(timeout_at).is_some_and(|at| at <= now) {
            return Due::Warn(SessionLimit::Lifetime, timeout_at.unwrap_or(now));
        }
        let Some(idle_at) = self.idle_at(bytes_at).filter(|_| self.idle_wake(bytes_at) <= Some(now)) else {
            return Due::Nothing;
        };
        // What was seen before this moment says nothing of it.
        if self.looked.is_none_or(|(at, _)| at < now) {
            return Due::Look;
        }
        match (self.idle_warning(), self.warned_idle) {
            (Some(warn), warned) if warned.is_none_or(|(of, _)| of != idle_at) => {
                // Nobody is ended without the whole time between, also where the machine has slept.
                if now + warn >= idle_at {
                    Due::Warn(SessionLimit::Idle, idle_at.max(now + warn))
                } else {
                    Due::Nothing
                }
            }
            (_, warned) => {
                let ends_at = warned.map_or(idle_at, |(_, ends_at)| ends_at);
                if ends_at <= now { Due::End } else { Due::Nothing }
            }
        }
    }

    /// When its limits beside the timeout want to be looked at.
    pub(super) fn wake(&self, bytes_at: u64, timeout_at: Option<u64>) -> Option<u64> {
        let warning = self.timeout_warning(timeout_at);
        [warning, self.idle_wake(bytes_at)].into_iter().flatten().min()
    }

    /// Takes the warning that nobody was told, if it is still true.
    pub(super) fn take_unsaid(&mut self, bytes_at: u64) -> Option<(SessionLimit, u64)> {
        let (limit, ends_at) = self.unsaid.take()?;
        let holds = match limit {
            SessionLimit::Lifetime => true,
            SessionLimit::Idle => self.warned_idle.map(|(of, _)| of) == self.idle_at(bytes_at),
        };
        holds.then_some((limit, ends_at))
    }

    pub(super) fn saw(&mut self, now: u64, seen: Seen) {
        if self.looked.is_none_or(|(_, before)| before != seen) {
            self.busy_at = now;
        }
        self.looked = Some((now, seen));
    }

    /// It waits for a human from now on, or does so no more.
    pub(super) fn wait(&mut self, now: u64, waits: bool) {
        if std::mem::replace(&mut self.waits, waits) || waits {
            self.begin_anew(now);
        }
    }

    /// Its processes are stopped from now on, or go on.
    pub(super) fn freeze(&mut self, now: u64, frozen: bool) {
        if std::mem::replace(&mut self.frozen, frozen) || frozen {
            self.begin_anew(now);
        }
    }

    /// An end by idleness that was warned of is taken back, as by any activity.
    fn begin_anew(&mut self, now: u64) {
        self.busy_at = now;
        self.warned_idle = None;
        self.unsaid.take_if(|(limit, _)| *limit == SessionLimit::Idle);
    }

    pub(super) fn warned(&mut self, limit: SessionLimit, bytes_at: u64, ends_at: u64) {
        match limit {
            SessionLimit::Lifetime => self.warned_timeout = true,
            SessionLimit::Idle => self.warned_idle = self.idle_at(bytes_at).map(|at| (at, ends_at)),
        }
    }
}

pub(super) fn seen(live: &[Process]) -> Seen {
    Seen { cpu: live.iter().map(|process| process.cpu).sum(), processes: live.len() }
}

#[cfg(test)]
mod tests;
