//! A tree of processes that is being ended: who was told what, and when it is looked at next.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::pairs;
use crate::os::ProcessKey;

/// Between two looks while processes have time to end by themselves, ms: from, to.
const TERM_PAUSE_MS: (u64, u64) = (20, 500);
/// The same while they are killed: what does not go then sleeps in the kernel.
const KILL_PAUSE_MS: (u64, u64) = (5, 1000);
/// Between the first two times that a process gets SIGHUP; then twice as long, and so on, ms.
const HANGUP_PAUSE_MS: u64 = 20;

/// When a process gets SIGHUP again at the earliest, and how long after that once more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct HangUp {
    next: u64,
    pause: u64,
}

/// A tree that is being ended. Times are ms of the boot clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kill {
    /// From then on with SIGKILL.
    hard_from: u64,
    /// The next look.
    pub(super) next: u64,
    pause: u64,
    /// They got SIGTERM.
    told: BTreeSet<ProcessKey>,
    /// They got SIGHUP.
    #[serde(with = "pairs")]
    hung_up: BTreeMap<ProcessKey, HangUp>,
    /// They are another user's: nothing can be done about them.
    pub(super) beyond: BTreeSet<ProcessKey>,
}

impl Kill {
    /// Ends a tree that has this time to end by itself, ms.
    pub(super) fn begin(now: u64, grace_ms: u64) -> Self {
        Self {
            hard_from: now.saturating_add(grace_ms),
            next: now,
            pause: TERM_PAUSE_MS.0,
            told: BTreeSet::new(),
            hung_up: BTreeMap::new(),
            beyond: BTreeSet::new(),
        }
    }

    /// Of two graces the shorter one counts.
    pub(super) fn hurry(&mut self, now: u64, grace_ms: u64) {
        self.hard_from = self.hard_from.min(now.saturating_add(grace_ms));
    }

    /// Its grace is over.
    pub(super) fn is_hard(&self, now: u64) -> bool {
        now >= self.hard_from
    }

    /// Takes note of a look that asked processes to end.
    pub(super) fn asked(&mut self, now: u64) {
        self.next = (now + self.pause).min(self.hard_from);
        self.pause = (self.pause * 2).min(TERM_PAUSE_MS.1);
    }

    /// Takes note of a look that kills them.
    pub(super) fn killed(&mut self, now: u64) {
        if !self.told.is_empty() {
            self.told.clear();
            self.pause = KILL_PAUSE_MS.0;
        }
        self.next = now + self.pause;
        self.pause = (self.pause * 2).min(KILL_PAUSE_MS.1);
    }

    /// Whether a process gets SIGTERM now: once.
    pub(super) fn wants_term(&mut self, key: ProcessKey) -> bool {
        self.told.insert(key)
    }

    /// Whether a process may get SIGHUP now, if `is_shell` says that it needs one: at once, and then ever more seldom.
    pub(super) fn wants_hangup(
        &mut self,
        key: ProcessKey,
        now: u64,
        is_shell: impl FnOnce() -> bool,
    ) -> bool {
        let hang_up = self.hung_up.entry(key).or_insert(HangUp { next: now, pause: HANGUP_PAUSE_MS });
        let wants = hang_up.next <= now && is_shell();
        if wants {
            *hang_up = HangUp { next: now + hang_up.pause, pause: hang_up.pause * 2 };
        }
        wants
    }

    /// A check of its session is needed soon: a process ended that may have been the last.
    pub(super) fn look_by(&mut self, at_ms: u64) -> bool {
        let sooner = self.next > at_ms;
        self.next = self.next.min(at_ms);
        sooner
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: ProcessKey = ProcessKey { pid: 7, started: 1 };

    #[test]
    fn looks_are_ever_farther_apart_but_none_is_missed_when_the_grace_ends() {
        let mut kill = Kill::begin(1000, 100);
        let mut looks = Vec::new();
        while !kill.is_hard(kill.next) {
            let now = kill.next;
            looks.push(now - 1000);
            kill.asked(now);
        }
        assert_eq!(looks, [0, 20, 60]);
        assert_eq!(kill.next, 1100);
    }

    #[test]
    fn killing_begins_with_short_pauses_again() {
        let mut kill = Kill::begin(0, 10_000);
        assert!(kill.wants_term(ONE) && !kill.wants_term(ONE));
        (0..10).for_each(|now| kill.asked(now));
        kill.hurry(100, 0);
        kill.hurry(100, 60_000);
        assert!(kill.is_hard(100) && !kill.is_hard(99), "the shorter grace counts");
        let mut pauses = Vec::new();
        for _ in 0..10 {
            kill.killed(100);
            pauses.push(kill.next - 100);
        }
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
    }

    #[test]
    fn a_shell_is_hung_up_ever_more_seldom_and_nobody_else_is() {
        let mut kill = Kill::begin(0, 1000);
        assert!(!kill.wants_hangup(ONE, 0, || false));
        let at: Vec<u64> = (0..200).filter(|now| kill.wants_hangup(ONE, *now, || true)).collect();
        assert_eq!(at, [0, 20, 60, 140]);
    }

    #[test]
    fn a_look_is_only_ever_moved_forward() {
        let mut kill = Kill::begin(50, 1000);
        assert!(!kill.look_by(60) && kill.next == 50);
        assert!(kill.look_by(40) && kill.next == 40);
    }
}
