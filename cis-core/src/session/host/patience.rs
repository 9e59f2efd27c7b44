//! How long a session may be idle, and the warnings before its limits end it.
//!
//! Idle is who has no activity: no byte in either direction, no CPU time of its tree. Bytes are seen as
//! they pass. CPU time is looked at only while bytes are missing, a few times in each idle limit; looks
//! lie on a grid of the clock, so that the sessions of one limit share one reading of `/proc`. A session
//! without an idle limit is never looked at.

use super::server::Host;
use super::session::Session;
use crate::event::SessionLimit;
use crate::ids::TimestampMs;
use crate::session::os::{Process, Processes};
use crate::session::protocol::{FromHost, Start};

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
                unsaid: None,
            })
        })
    }

    /// Between two looks, ms.
    fn step(&self) -> u64 {
        (self.idle_ms.unwrap_or_default() / LOOKS).max(LOOK_APART_MS)
    }

    /// When it would have been idle for too long, if nothing has happened since `bytes_at` and the last look.
    fn idle_at(&self, bytes_at: u64) -> Option<u64> {
        self.idle_ms.map(|idle| bytes_at.max(self.busy_at).saturating_add(idle))
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
        let (bytes_at, timeout_at, grace_ms) = (session.bytes_at(), session.timeout_at, session.grace_ms);
        let Some(patience) = &session.patience else { return };
        match patience.due(now, bytes_at, timeout_at) {
            Due::Nothing => {}
            Due::Look => {
                let all = self.probed.take().unwrap_or_else(|| self.processes.all());
                let live = self.look_in(slot, &all).live;
                self.probed = Some(all);
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
            Due::End => {
                if let Some(session) = self.sessions.get_mut(slot) {
                    session.idle = true;
                }
                self.end_tree(slot, grace_ms);
            }
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
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::ids::SessionId;
    use crate::session::protocol::Io;

    const NOTHING: Seen = Seen { cpu: 1, processes: 1 };

    fn patience(
        idle_ms: Option<u64>,
        timeout_ms: Option<u64>,
        warn_ms: Option<u64>,
    ) -> Option<Box<Patience>> {
        let start = Start {
            session: SessionId::from_parts(1, 1),
            label: String::new(),
            argv: Vec::new(),
            cwd: String::new(),
            env_base: None,
            env: BTreeMap::new(),
            umask: None,
            line: None,
            io: Io::Pipes { stdin: false },
            log: String::new(),
            log_limit_bytes: 0,
            timeout_ms,
            idle_ms,
            warn_ms,
            grace_ms: 0,
            files: BTreeMap::new(),
            stdin: None,
        };
        Patience::of(&start, 0)
    }

    /// Lives through time until the end. `bytes`: when some came; `busy`: when CPU time was used. Gives
    /// the warnings (when, and for when), the end, and how often was looked.
    fn live(
        patience: &mut Patience,
        bytes: &[u64],
        busy: impl Fn(u64) -> bool,
        until: u64,
    ) -> (Vec<(u64, u64)>, Option<u64>, usize) {
        let (mut warnings, mut looks, mut cpu, mut used_to) = (Vec::new(), 0, 0, 0);
        let mut now = 0;
        loop {
            let bytes_at = bytes.iter().copied().filter(|at| *at <= now).max().unwrap_or(0);
            let Some(wake) = patience.idle_wake(bytes_at) else { return (warnings, None, looks) };
            if wake > now {
                // A wake-up that is not true any more is found out when it comes.
                now = wake;
                if now > until {
                    return (warnings, None, looks);
                }
                continue;
            }
            match patience.due(now, bytes_at, None) {
                Due::Nothing => panic!("woken for nothing at {now}: {patience:?}"),
                Due::Look => {
                    looks += 1;
                    cpu += (used_to..now).filter(|at| busy(*at)).count() as u64;
                    used_to = now;
                    patience.saw(now, Seen { cpu, ..NOTHING });
                }
                Due::Warn(limit, at) => {
                    warnings.push((now, at));
                    patience.warned(limit, bytes_at, at);
                }
                Due::End => return (warnings, Some(now), looks),
            }
        }
    }

    #[test]
    fn an_idle_session_is_warned_and_ends_within_an_eighth_of_its_limit() {
        let mut idle = patience(Some(8000), None, Some(2000)).unwrap();
        let (warnings, end, looks) = live(&mut idle, &[], |_| false, 100_000);
        assert_eq!((warnings, end), (vec![(7000, 9000)], Some(9000)), "looked at first after 1000");
        assert!(looks <= 10, "{looks}");
        let mut short = patience(Some(3000), None, Some(2000)).unwrap();
        let (warnings, end, _) = live(&mut short, &[], |_| false, 100_000);
        assert!(warnings.is_empty() && end.is_some_and(|end| (3000..=3400).contains(&end)), "{end:?}");
    }

    #[test]
    fn bytes_and_cpu_time_are_activity() {
        let mut typed = patience(Some(8000), None, None).unwrap();
        let bytes: Vec<u64> = (0..10).map(|n| n * 5000).collect();
        let (_, end, _) = live(&mut typed, &bytes, |_| false, 1_000_000);
        assert!(end.is_some_and(|end| (53_000..=54_000).contains(&end)), "{end:?}");
        let mut busy = patience(Some(8000), None, None).unwrap();
        let (_, end, _) = live(&mut busy, &[], |at| at < 20_000, 1_000_000);
        assert!(end.is_some_and(|end| (28_000..=29_000).contains(&end)), "{end:?}");
        let mut endless = patience(Some(8000), None, None).unwrap();
        let (_, end, _) = live(&mut endless, &[], |at| at % 7000 == 0, 200_000);
        assert_eq!(end, None);
    }

    #[test]
    fn activity_after_a_warning_takes_it_back_and_the_next_end_is_warned_of_anew() {
        let mut idle = patience(Some(8000), None, Some(2000)).unwrap();
        let (warnings, end, _) = live(&mut idle, &[0, 8500], |_| false, 1_000_000);
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert!(end.is_some_and(|end| (16_500..=17_500).contains(&end)), "{end:?}");
    }

    #[test]
    fn who_sleeps_with_the_machine_is_still_warned_in_time() {
        let mut idle = patience(Some(8000), None, Some(2000)).unwrap();
        idle.saw(1000, NOTHING);
        idle.saw(90_000, NOTHING);
        assert_eq!(idle.due(90_000, 0, None), Due::Warn(SessionLimit::Idle, 92_000));
        idle.warned(SessionLimit::Idle, 0, 92_000);
        assert_eq!(idle.idle_wake(0), Some(92_000));
    }

    #[test]
    fn a_timeout_is_warned_of_once_where_it_is_long_enough() {
        assert!(patience(None, Some(60_000), Some(30_000)).is_none(), "nothing to think about");
        assert!(patience(None, Some(60_000), None).is_none());
        let mut long = patience(None, Some(61_000), Some(30_000)).unwrap();
        assert_eq!(long.due(30_000, 0, Some(61_000)), Due::Nothing);
        assert_eq!(long.due(31_000, 0, Some(61_000)), Due::Warn(SessionLimit::Lifetime, 61_000));
        long.warned(SessionLimit::Lifetime, 0, 61_000);
        assert_eq!(long.due(60_000, 0, Some(61_000)), Due::Nothing);
        assert_eq!(long.timeout_warning(Some(61_000)), None);
    }
}
