//! How much one person gets: being told once why something is not done, and answers to so many commands.
//!
//! Both have bounded memory. What is said to people is paid from the allowance that questions need
//! (`super::super::budget`): a crowd must not use it up.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::ids::TimestampMs;
use crate::room::names::UserId;

/// So many people are remembered.
const PEOPLE_MAX: usize = 1000;
/// So many people are told something at once …
const TOLD_BURST: u32 = 5;
/// … and then one more in so long, ms.
const TOLD_EVERY_MS: i64 = 60_000;
/// So many requests of one person are taken at once …
const ASKED_BURST: u32 = 5;
/// … and then one more in so long, ms.
const ASKED_EVERY_MS: i64 = 5_000;

/// A count that grows with time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Allowance {
    left: u32,
    /// When one was added last.
    at: TimestampMs,
}

impl Allowance {
    fn full(burst: u32, now: TimestampMs) -> Self {
        Self { left: burst, at: now }
    }

    fn take(&mut self, burst: u32, every_ms: i64, now: TimestampMs) -> bool {
        let since = now.saturating_sub(self.at).max(0);
        let more = u32::try_from(since / every_ms).unwrap_or(u32::MAX);
        self.left = self.left.saturating_add(more).min(burst);
        // A full one does not gather more; a clock that was set back starts anew.
        self.at =
            if self.left == burst || now < self.at { now } else { self.at + i64::from(more) * every_ms };
        let takes = self.left > 0;
        self.left -= u32::from(takes);
        takes
    }
}

/// Whom it was said to that they may do nothing here.
#[derive(Debug, Clone)]
pub struct Told {
    pub(super) known: BTreeSet<UserId>,
    pub(super) order: VecDeque<UserId>,
    pace: Option<Allowance>,
}

impl Default for Told {
    fn default() -> Self {
        Self::new()
    }
}

impl Told {
    /// Nobody yet.
    #[must_use]
    pub fn new() -> Self {
        Self { known: BTreeSet::new(), order: VecDeque::new(), pace: None }
    }

    /// Whether they are to be told now: never before, and not too many others just now.
    pub fn tell(&mut self, user: &UserId, now: TimestampMs) -> bool {
        if self.known.contains(user) {
            return false;
        }
        let pace = self.pace.get_or_insert_with(|| Allowance::full(TOLD_BURST, now));
        if !pace.take(TOLD_BURST, TOLD_EVERY_MS, now) {
            return false;
        }
        if self.order.len() == PEOPLE_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.known.insert(user.clone());
        self.order.push_back(user.clone());
        true
    }
}

/// What is left to whom.
#[derive(Debug, Clone, Default)]
pub struct Patience {
    pub(super) people: BTreeMap<UserId, Allowance>,
}

impl Patience {
    /// Whether one more request of theirs is taken now. Answers to what waits need not ask.
    pub fn take(&mut self, user: &UserId, now: TimestampMs) -> bool {
        if !self.people.contains_key(user) && self.people.len() >= PEOPLE_MAX {
            self.forget(now);
        }
        let allowance = self.people.entry(user.clone()).or_insert_with(|| Allowance::full(ASKED_BURST, now));
        allowance.take(ASKED_BURST, ASKED_EVERY_MS, now)
    }

    /// Those whose allowance is full again; where that is nobody, the one who was quiet longest.
    fn forget(&mut self, now: TimestampMs) {
        let whole = i64::from(ASKED_BURST) * ASKED_EVERY_MS;
        self.people.retain(|_, allowance| now.saturating_sub(allowance.at) < whole);
        if self.people.len() >= PEOPLE_MAX {
            let quiet =
                self.people.iter().min_by_key(|(_, allowance)| allowance.at).map(|(user, _)| user.clone());
            if let Some(user) = quiet {
                self.people.remove(&user);
            }
        }
    }
}
