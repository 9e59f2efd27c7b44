//! How fast the sessions of a run end, and how many of them are worth having at the host ahead of their
//! turn: what waits there begins the moment that another one ends, without the way to the node and back.
//!
//! Only short sessions are worth it. One that turns out to be long makes the node take back what waits:
//! it may be given to somebody else, or wait for long, and then it is to be seen where it waits.

use super::life::Life;
use super::{LocalWorker, YOUNG_MS};
use cis_core::api::FromWorker;
use cis_core::ids::{RunId, SessionId, TimestampMs};
use cis_core::scheduler::placement::AHEAD_MAX;
use cis_host::protocol::{Exit, Line, ToHost};

/// So many short sessions in a row make a run a fast one.
const STREAK: u32 = 8;
/// What is sent ahead waits for about so long, µs: less than a session lives before it is shown.
const WAIT_US: u64 = 16_000;
/// The same of what a coordinator on another machine sends: it hears of an end much later.
const WAIT_REMOTE_US: u64 = 160_000;
/// If a session takes so long, ms, others must not wait for it where the grants come by messages: half of the time that they may wait.
/// On a busy machine even `true` takes 20 ms now and then, and what is given back is sent two more times.
const LONG_REMOTE_MS: i64 = 80;
/// So many for each slot at most.
const AHEAD_PER_SLOT_MAX: u64 = 16;

/// Where the grants of a run come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Granter {
    /// From the scheduler of this node.
    #[default]
    Here,
    /// From a coordinator by messages: this one, too, where it has a run in a room.
    Room,
}

/// How long the sessions of one run took lately.
#[derive(Debug, Default)]
pub(crate) struct Durations {
    /// Short sessions in a row.
    streak: u32,
    /// About how long the longer ones of late took, µs.
    took_us: u64,
}

/// The pace of one run.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Its sessions that are not acknowledged.
    live: u32,
    /// How many may run at once.
    slots: u32,
    granter: Granter,
    durations: Durations,
    /// The scheduler was told that so many more are welcome.
    ahead: u32,
}

impl Granter {
    /// If a session takes so long, ms, others must not wait for it.
    const fn long_ms(self) -> i64 {
        match self {
            Self::Here => YOUNG_MS,
            Self::Room => LONG_REMOTE_MS,
        }
    }
}

impl Durations {
    /// One took so long. How many are worth sending ahead to so many slots now; none: it is not known yet.
    fn ended(&mut self, took_ms: i64, slots: u32, wait_us: u64, granter: Granter) -> Option<u32> {
        let took_us = u64::try_from(took_ms).unwrap_or(0) * 1000;
        if took_ms >= granter.long_ms() {
            *self = Self::default();
            return Some(0);
        }
        self.streak = self.streak.saturating_add(1);
        self.took_us = took_us.max(self.took_us / 8 * 7);
        if self.streak < STREAK {
            return None;
        }
        let each = (wait_us / self.took_us.max(1000)).min(AHEAD_PER_SLOT_MAX);
        Some(u32::try_from(each * u64::from(slots)).unwrap_or(u32::MAX).min(AHEAD_MAX))
    }

    /// One took so long. How many are worth sending ahead from another machine now; none: it is not known yet.
    pub(crate) fn ended_for_remote(&mut self, took_ms: i64, slots: u32) -> Option<u32> {
        self.ended(took_ms, slots, WAIT_REMOTE_US, Granter::Room)
    }
}

/// Whether another number of sessions that may wait is worth a word: small changes are not.
pub(crate) fn is_news(known: u32, count: u32) -> bool {
    count >= known.max(1) * 2 || count * 2 <= known && count != known
}

impl LocalWorker {
    /// A session of the run is about to be asked for: its place in the queue of the host.
    pub(super) fn queue(&mut self, of: RunId) -> Line {
        let pace = self.paces.entry(of).or_default();
        // Half of what is ahead is enough time to send more.
        Line { of, at_once: pace.slots, lazy_above: pace.ahead / 2 }
    }

    /// So many of its sessions may run at once, by the newest grant: an older one may still be on its way.
    pub(super) fn pace_slots(&mut self, of: RunId, slots: u32) {
        if let Some(pace) = self.paces.get_mut(&of) {
            pace.slots = slots;
        }
    }

    /// Its grants come from a coordinator of a room.
    pub(super) fn pace_of_room(&mut self, of: RunId) {
        if let Some(pace) = self.paces.get_mut(&of) {
            pace.granter = Granter::Room;
        }
    }

    /// A session of the run began.
    pub(super) fn pace_begins(&mut self, of: RunId, session: SessionId) {
        if self.paces.get(&of).is_some_and(|pace| pace.granter == Granter::Room) {
            self.long_at.push_back((self.now_ms + LONG_REMOTE_MS, session));
        }
    }

    /// A session of the run lived for [`YOUNG_MS`].
    pub(super) fn pace_of_age(&mut self, of: RunId) {
        if self.paces.get(&of).is_none_or(|pace| pace.granter == Granter::Here) {
            self.pace_slows(of);
        }
    }

    /// When the next session of a room's run is one that others must not wait for.
    pub(super) fn next_long(&mut self) -> Option<TimestampMs> {
        while let Some((due, session)) = self.long_at.front() {
            if self.live.get(session).is_some_and(|live| matches!(live.life, Life::Running { .. })) {
                return Some(*due);
            }
            self.long_at.pop_front();
        }
        None
    }

    /// Takes back what waits for sessions that turned out to be long.
    pub(super) fn slow_long(&mut self) {
        while self.next_long().is_some_and(|due| due <= self.now_ms) {
            let session = self.long_at.pop_front().map(|(_, session)| session);
            if let Some(run) = session.and_then(|session| self.attempt_of(session)).map(|attempt| attempt.run)
            {
                self.slowed.push(run);
                self.pace_slows(run);
            }
        }
    }

    pub(super) fn pace_enters(&mut self, of: RunId) {
        self.paces.entry(of).or_default().live += 1;
    }

    pub(super) fn pace_leaves(&mut self, of: RunId) {
        if let Some(pace) = self.paces.get_mut(&of) {
            pace.live = pace.live.saturating_sub(1);
            if pace.live == 0 {
                let wished = pace.ahead > 0;
                self.paces.remove(&of);
                if wished {
                    // Nobody knows how long those that come next will be.
                    self.said.push(FromWorker::Ahead { run: of, count: 0 });
                }
            }
        }
    }

    /// A session ended: the run may have become fast, or slow.
    pub(super) fn pace_ended(&mut self, of: RunId, exit: &Exit) {
        let Some(pace) = self.paces.get_mut(&of) else { return };
        let took_ms = exit.ended_ms - exit.started_ms;
        let count = pace.durations.ended(took_ms, pace.slots, WAIT_US, pace.granter).unwrap_or(pace.ahead);
        if pace.granter == Granter::Room && took_ms < LONG_REMOTE_MS {
            // What this node offers to coordinators is said elsewhere.
            pace.ahead = count;
            return;
        }
        if count == 0 && pace.ahead > 0 {
            return self.pace_slows(of);
        }
        if is_news(pace.ahead, count) {
            pace.ahead = count;
            self.said.push(FromWorker::Ahead { run: of, count });
        }
    }

    /// A session of the run lives for so long that others must not wait for its end at the host.
    pub(super) fn pace_slows(&mut self, of: RunId) {
        let Some(pace) = self.paces.get_mut(&of) else { return };
        pace.durations.streak = 0;
        let waits = pace.live > pace.slots;
        if std::mem::take(&mut pace.ahead) > 0 || waits {
            self.said.push(FromWorker::Ahead { run: of, count: 0 });
        }
        if waits {
            self.withdraw(of);
        }
    }

    /// Takes back what waits at the host, or is on its way there. What has begun there goes on.
    pub(crate) fn withdraw(&mut self, of: RunId) {
        if let Some(pace) = self.paces.get_mut(&of) {
            (pace.durations.streak, pace.ahead) = (0, 0);
        }
        let mut waiting: Vec<SessionId> = Vec::new();
        for (session, live) in &mut self.live {
            if live.attempt.run != of {
                continue;
            }
            match &mut live.life {
                Life::Asked => waiting.push(*session),
                life => life.withdraw(),
            }
        }
        // The newest first, so that none of them takes the place of one that is taken back.
        waiting.sort_unstable_by(|a, b| b.cmp(a));
        self.to_host.extend(waiting.into_iter().map(|session| ToHost::Withdraw { session }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_short_sessions_in_a_row_are_worth_sending_ahead() {
        let mut durations = Durations::default();
        let mut ended = |took_ms| durations.ended(took_ms, 2, WAIT_US, Granter::Here);
        let counts: Vec<Option<u32>> = (0..10).map(|_| ended(1)).collect();
        assert_eq!(counts[6..], [None, Some(32), Some(32), Some(32)]);
        assert_eq!(ended(8), Some(4), "the wait stays as long");
        assert_eq!(ended(1), Some(4), "and one short one does not make it fast again");
        assert_eq!(ended(YOUNG_MS), Some(0));
        assert_eq!(ended(1), None);
        let mut wide = Durations { streak: STREAK, ..Durations::default() };
        assert_eq!(wide.ended(0, 1000, WAIT_US, Granter::Here), Some(AHEAD_MAX));
        assert_eq!(
            wide.ended(-5, 1000, WAIT_US, Granter::Here),
            Some(AHEAD_MAX),
            "a clock that was set back"
        );
    }

    #[test]
    fn on_a_busy_machine_a_session_may_take_longer_before_a_coordinator_sends_none_ahead() {
        let mut durations = Durations { streak: STREAK, took_us: 0 };
        assert_eq!(durations.ended_for_remote(10, 4), Some(64));
        assert_eq!(durations.ended_for_remote(YOUNG_MS, 4), Some(32));
        assert_eq!(durations.ended_for_remote(LONG_REMOTE_MS - 1, 4), Some(8));
        assert_eq!(durations.ended_for_remote(LONG_REMOTE_MS, 4), Some(0));
        assert_eq!(durations.ended_for_remote(1, 4), None, "it is not known again");
    }
}
