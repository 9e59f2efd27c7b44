//! How long a session may be idle, and the warnings before its limits end it.
//!
//! Idle is who has no activity: no byte in either direction, no CPU time of its tree. Bytes are seen as
//! they pass. CPU time is looked at only while bytes are missing, a few times in each idle limit; looks
//! lie on a grid of the clock, so that the sessions of one limit share one reading of `/proc`. A session
//! without an idle limit is never looked at. One that waits for a human is not idle however long that
//! takes; its time begins when it goes on.

use super::server::Host;
use super::session::{EndedBy, Session};
use crate::os::Process;
use crate::protocol::{FromHost, Start};
use cis_core::event::SessionLimit;
use cis_core::ids::TimestampMs;

/// So many looks fall into one idle limit: it is exceeded by one part of these at most.
const LOOKS: u64 = 8;
/// Looks are not closer together, ms.
const LOOK_APART_MS: u64 = 100;

/// Limits of one session beside its timeout. Times are ms of the boot clock.
#[derive(Debug)]
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
    /// A warning that no node was there for: limit and time of the end.
    unsaid: Option<(SessionLimit, u64)>,
}

/// What changes when a tree works: its CPU time in ticks, and how many processes it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    cpu: u64,
    processes: usize,
}

/// What is to be done about a session whose time has come.
#[derive(Debug, PartialEq, Eq)]
enum Due {
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
        self.idle_ms.filter(|_| !self.waits).map(|idle| bytes_at.max(self.busy_at).saturating_add(idle))
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

    fn due(&self, now: u64, bytes_at: u64, timeout_at: Option<u64>) -> Due {
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

    fn saw(&mut self, now: u64, seen: Seen) {
        if self.looked.is_none_or(|(_, before)| before != seen) {
            self.busy_at = now;
        }
        self.looked = Some((now, seen));
    }

    /// It waits for a human from now on, or does so no more. An end by idleness that was warned of is taken
    /// back, as by any activity.
    fn wait(&mut self, now: u64, waits: bool) {
        if std::mem::replace(&mut self.waits, waits) || waits {
            self.busy_at = now;
            self.warned_idle = None;
            self.unsaid.take_if(|(limit, _)| *limit == SessionLimit::Idle);
        }
    }

    fn warned(&mut self, limit: SessionLimit, bytes_at: u64, ends_at: u64) {
        match limit {
            SessionLimit::Lifetime => self.warned_timeout = true,
            SessionLimit::Idle => self.warned_idle = self.idle_at(bytes_at).map(|at| (at, ends_at)),
        }
    }
}

impl Session {
    /// The last byte in either direction.
    fn bytes_at(&self) -> u64 {
        self.last_output.max(self.last_input)
    }

    /// When its limits beside the timeout want to be looked at.
    pub(super) fn patience_wake(&self) -> Option<u64> {
        let patience = self.patience.as_ref()?;
        let warning = patience.timeout_warning(self.timeout_at);
        [warning, patience.idle_wake(self.bytes_at())].into_iter().flatten().min()
    }
}

impl Host {
    /// Does what is due about the limits of a session.
    pub(super) fn patience_due(&mut self, slot: usize) {
        let now = self.now;
        let Some(session) = self.sessions.get(slot) else { return };
        let (bytes_at, timeout_at) = (session.bytes_at(), session.timeout_at);
        let Some(patience) = &session.patience else { return };
        match patience.due(now, bytes_at, timeout_at) {
            Due::Nothing => {}
            Due::Look => {
                let forest = self.forest_of_turn();
                let live = self.look_in(slot, &forest).live;
                if let Some(patience) = self.patience_of(slot) {
                    patience.saw(now, seen(&live));
                }
            }
            Due::Warn(limit, ends_at) => {
                let heard = self.control.is_some();
                if let Some(patience) = self.patience_of(slot) {
                    patience.warned(limit, bytes_at, ends_at);
                    patience.unsaid = (!heard).then_some((limit, ends_at));
                }
                if heard {
                    self.say_expiring(slot, limit, ends_at);
                }
            }
            Due::End => self.end_session(slot, EndedBy::Idle, None),
        }
    }

    /// Holds its idleness off, or lets it begin anew.
    pub(super) fn hold_idleness(&mut self, slot: usize, waits: bool) {
        let now = self.now;
        if let Some(patience) = self.patience_of(slot) {
            patience.wait(now, waits);
        }
    }

    fn patience_of(&mut self, slot: usize) -> Option<&mut Patience> {
        self.sessions.get_mut(slot)?.patience.as_deref_mut()
    }

    fn say_expiring(&mut self, slot: usize, limit: SessionLimit, ends_at: u64) {
        let Some(session) = self.sessions.get(slot).map(|session| session.id) else { return };
        let left = TimestampMs::try_from(ends_at.saturating_sub(self.now)).unwrap_or(TimestampMs::MAX);
        let at_ms = self.now_unix.saturating_add(left);
        self.say_to_control(&FromHost::Expiring { session, limit, at_ms });
    }

    /// Tells a new node what no node was there for, as far as it is still true.
    pub(super) fn say_unsaid_warnings(&mut self) {
        let mut found = Vec::new();
        for (slot, session) in self.sessions.iter().filter(|(_, session)| session.lives()) {
            let Some(patience) = &session.patience else { continue };
            let Some((limit, ends_at)) = patience.unsaid else { continue };
            let idle_at = patience.idle_at(session.bytes_at());
            let holds = match limit {
                SessionLimit::Lifetime => true,
                SessionLimit::Idle => patience.warned_idle.map(|(of, _)| of) == idle_at,
            };
            found.push((slot, limit, ends_at, holds));
        }
        for (slot, limit, ends_at, holds) in found {
            if let Some(patience) = self.patience_of(slot) {
                patience.unsaid = None;
            }
            if holds {
                self.say_expiring(slot, limit, ends_at);
            }
        }
    }
}

fn seen(live: &[Process]) -> Seen {
    Seen { cpu: live.iter().map(|process| process.cpu).sum(), processes: live.len() }
}

#[cfg(test)]
mod tests;
