//! How much one person gets: being told once why something is not done, and answers to so many commands.
//!
//! Both have bounded memory. What is said to people is paid from the allowance that questions need
//! (`super::super::budget`): a crowd must not use it up.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::ids::TimestampMs;
use crate::matrix::UserId;
use crate::rate::{Bucket, Rate};
use crate::text;

/// So many people are remembered.
const PEOPLE_MAX: usize = 1000;
/// How many people are told something.
const TOLD: Rate = Rate::new(5, 60_000);
/// How many requests of one person are taken.
const ASKED: Rate = Rate::new(10, 5_000);

/// Whom it was said to that they may do nothing here.
#[derive(Debug, Clone)]
pub struct Told {
    pub(super) known: BTreeSet<UserId>,
    pub(super) order: VecDeque<UserId>,
    pace: Bucket,
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
        Self { known: BTreeSet::new(), order: VecDeque::new(), pace: Bucket::default() }
    }

    /// Whether they are to be told now: never before, and not too many others just now.
    pub fn tell(&mut self, user: &UserId, now: TimestampMs) -> bool {
        if self.known.contains(user) {
            return false;
        }
        if self.pace.take(TOLD, now).is_err() {
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

/// Somebody asks too often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("you ask faster than I can answer here: wait {} and say it again", text::duration(*wait_ms))]
pub struct TooOften {
    /// Then one more is taken, ms.
    pub wait_ms: u64,
    /// They were not told so since their last request that was taken.
    pub first: bool,
}

/// What is left to whom.
#[derive(Debug, Clone, Default)]
pub struct Patience {
    pub(super) people: BTreeMap<UserId, Left>,
}

/// What is left to one person.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Left {
    bucket: Bucket,
    /// They know that nothing is.
    told: bool,
}

impl Patience {
    /// Takes one more request of theirs. Answers to what waits need not ask.
    ///
    /// # Errors
    /// [`TooOften`]: it does nothing.
    pub fn take(&mut self, user: &UserId, now: TimestampMs) -> Result<(), TooOften> {
        if !self.people.contains_key(user) && self.people.len() >= PEOPLE_MAX {
            self.forget(now);
        }
        let left = self.people.entry(user.clone()).or_default();
        let taken = left.bucket.take(ASKED, now);
        let first = !std::mem::replace(&mut left.told, taken.is_err());
        taken.map_err(|at| TooOften { wait_ms: u64::try_from(at - now).unwrap_or(0), first })
    }

    /// Those whose allowance is full again; where that is nobody, the one of whom most is left.
    fn forget(&mut self, now: TimestampMs) {
        self.people.retain(|_, left| !left.bucket.is_full(ASKED, now));
        if self.people.len() >= PEOPLE_MAX {
            let fullest =
                self.people.iter().min_by_key(|(_, left)| left.bucket).map(|(user, _)| user.clone());
            if let Some(user) = fullest {
                self.people.remove(&user);
            }
        }
    }
}
