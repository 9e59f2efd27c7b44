//! Which events of a room may act at all: those of others, from now, each once.
//!
//! Owns the limits of age and the memory of what was taken. Whether an event is an edit is seen by
//! [`super::command::inbound`], which reads no edits. What somebody may do is [`crate::people`]'s.

use std::collections::{BTreeSet, VecDeque};

use crate::ids::{InputId, TimestampMs};
use crate::matrix::{EventId, RoomId, UserId};
use crate::text;

/// Commands that are older do nothing, ms, where nothing else is set.
pub const COMMAND_AGE_MAX_MS: i64 = 10 * 60_000;
/// The same of answers: they name what they answer, so they may be older.
pub const ANSWER_AGE_MAX_MS: i64 = 24 * 3_600_000;
/// The clock of a homeserver may be ahead by so much, ms.
const AHEAD_MAX_MS: i64 = 5 * 60_000;
/// So many events are remembered.
const SEEN_MAX: usize = 10_000;

/// What is known of an event before it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival<'a> {
    /// Which.
    pub event: &'a EventId,
    /// By whom.
    pub sender: &'a UserId,
    /// When, as the sender's homeserver says, Unix ms.
    pub sent_ms: TimestampMs,
    /// It answers something; otherwise it is a command.
    pub answers: bool,
}

/// Why an event does nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Stale {
    /// Our own account wrote it.
    #[error("it is our own")]
    Own,
    /// It is older than our being there.
    #[error("it was written before this node joined the room")]
    BeforeJoin,
    /// It is too old.
    #[error("it was written {} ago: say it again", text::duration(*age_ms))]
    TooOld {
        /// By so much, ms.
        age_ms: u64,
    },
    /// Its time has not come.
    #[error("its time is {} in the future: a clock is wrong, the homeserver's or this machine's", text::duration(*ahead_ms))]
    Ahead {
        /// By so much, ms.
        ahead_ms: u64,
    },
    /// It was taken before.
    #[error("it was taken before")]
    Repeated,
}

impl Stale {
    /// Whether its writer is to be told: the others are nobody's fault.
    #[must_use]
    pub fn is_told(&self) -> bool {
        matches!(self, Self::TooOld { .. } | Self::Ahead { .. })
    }
}

/// The gate of one room.
#[derive(Debug, Clone)]
pub struct Gate {
    own: UserId,
    joined_ms: TimestampMs,
    command_age_max_ms: i64,
    answer_age_max_ms: i64,
    seen: Seen,
}

impl Gate {
    /// Of a room that `own` joined then (Unix ms, by the homeserver's clock).
    #[must_use]
    pub fn new(own: UserId, joined_ms: TimestampMs) -> Self {
        Self {
            own,
            joined_ms,
            command_age_max_ms: COMMAND_AGE_MAX_MS,
            answer_age_max_ms: ANSWER_AGE_MAX_MS,
            seen: Seen::default(),
        }
    }

    /// With other limits of age, ms.
    #[must_use]
    pub fn ages(mut self, command_max_ms: i64, answer_max_ms: i64) -> Self {
        (self.command_age_max_ms, self.answer_age_max_ms) = (command_max_ms, answer_max_ms);
        self
    }

    /// Whether an event may act. What was taken is given to [`Self::remember`]: then it may not again.
    ///
    /// # Errors
    /// [`Stale`]: it does nothing.
    pub fn check(&self, arrival: Arrival<'_>, now: TimestampMs) -> Result<(), Stale> {
        if *arrival.sender == self.own {
            return Err(Stale::Own);
        }
        if self.seen.contains(arrival.event) {
            return Err(Stale::Repeated);
        }
        if arrival.sent_ms < self.joined_ms {
            return Err(Stale::BeforeJoin);
        }
        let age = now.saturating_sub(arrival.sent_ms);
        if age < -AHEAD_MAX_MS {
            return Err(Stale::Ahead { ahead_ms: age.unsigned_abs() });
        }
        let age_max = if arrival.answers { self.answer_age_max_ms } else { self.command_age_max_ms };
        if age > age_max {
            return Err(Stale::TooOld { age_ms: age.unsigned_abs() });
        }
        Ok(())
    }

    /// An event was taken.
    pub fn remember(&mut self, event: EventId) {
        self.seen.add(event);
    }
}

/// The newest of those that were taken.
#[derive(Debug, Clone, Default)]
struct Seen {
    known: BTreeSet<EventId>,
    order: VecDeque<EventId>,
}

impl Seen {
    fn contains(&self, event: &EventId) -> bool {
        self.known.contains(event)
    }

    fn add(&mut self, event: EventId) {
        if !self.known.insert(event.clone()) {
            return;
        }
        self.order.push_back(event);
        if self.order.len() > SEEN_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

/// The id of the input that an event is: the same event is the same input for ever, also for a node that
/// forgot that it took it.
#[must_use]
pub fn input_of(room: &RoomId, event: &EventId, sent_ms: TimestampMs) -> InputId {
    // An id holds 48 bits of time.
    let at = u64::try_from(sent_ms).unwrap_or(0) & ((1 << 48) - 1);
    InputId::from_parts(at, hashed(["room input", room.as_str(), event.as_str()]))
}

/// The id of the input that an encrypted event is. A homeserver can give the same message again under another id and
/// with another time; it cannot change which message of which session of its sender's device it is.
#[must_use]
pub fn input_of_sealed(room: &RoomId, session: &str, index: u32) -> InputId {
    InputId::from_parts(0, hashed(["sealed room input", room.as_str(), session, &index.to_string()]))
}

/// 80 bits of it.
fn hashed<const N: usize>(parts: [&str; N]) -> u128 {
    use sha2::{Digest as _, Sha256};
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let hash: [u8; 32] = hash.finalize().into();
    hash.iter().take(10).fold(0u128, |all, byte| all << 8 | u128::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000_000;

    fn event(n: usize) -> EventId {
        format!("$e{n}").parse().unwrap()
    }

    fn gate() -> Gate {
        Gate::new("@cis:x".parse().unwrap(), NOW - 1_000_000_000)
    }

    fn pass(gate: &mut Gate, n: usize, by: &str, sent_ms: i64, answers: bool) -> Result<(), Stale> {
        let (event, sender) = (event(n), by.parse().unwrap());
        gate.check(Arrival { event: &event, sender: &sender, sent_ms, answers }, NOW)?;
        gate.remember(event);
        Ok(())
    }

    #[test]
    fn only_what_others_say_now_acts_and_once() {
        let mut gate = gate();
        let hour = 3_600_000;
        assert_eq!(pass(&mut gate, 1, "@ann:x", NOW - 1000, false), Ok(()));
        assert_eq!(pass(&mut gate, 1, "@ann:x", NOW - 1000, false), Err(Stale::Repeated));
        assert_eq!(pass(&mut gate, 2, "@cis:x", NOW, false), Err(Stale::Own));
        assert_eq!(pass(&mut gate, 3, "@ann:x", NOW - 1_000_000_001, true), Err(Stale::BeforeJoin));
        assert_eq!(pass(&mut gate, 4, "@ann:x", NOW - hour, true), Ok(()));
        let old = pass(&mut gate, 5, "@ann:x", NOW - hour, false).unwrap_err();
        assert_eq!(old.to_string(), "it was written 1h 00m ago: say it again");
        assert!(old.is_told());
        assert_eq!(pass(&mut gate, 6, "@ann:x", NOW + 60_000, false), Ok(()));
        assert!(matches!(pass(&mut gate, 7, "@ann:x", NOW + hour, false), Err(Stale::Ahead { .. })));
        for odd in [i64::MIN, i64::MAX, 0] {
            assert!(pass(&mut gate, 8, "@ann:x", odd, true).is_err());
        }
    }

    #[test]
    fn the_memory_is_bounded_and_survives() {
        let mut gate = gate();
        gate.remember(event(0));
        assert_eq!(pass(&mut gate, 0, "@ann:x", NOW, true), Err(Stale::Repeated));
        for n in 1..30_000 {
            assert_eq!(pass(&mut gate, n, "@ann:x", NOW, true), Ok(()));
        }
        assert_eq!(gate.seen.known.len(), SEEN_MAX);
        assert_eq!(gate.seen.order.len(), SEEN_MAX);
    }

    #[test]
    fn an_event_is_the_same_input_for_ever() {
        let (a, b): (RoomId, RoomId) = ("!a".parse().unwrap(), "!b".parse().unwrap());
        assert_eq!(input_of(&a, &event(1), NOW), input_of(&a, &event(1), NOW));
        assert_ne!(input_of(&a, &event(1), NOW), input_of(&b, &event(1), NOW));
        assert_ne!(input_of(&a, &event(1), NOW), input_of(&a, &event(2), NOW));
        insta::assert_snapshot!(input_of(&a, &event(1), NOW));
        let _ = input_of(&a, &event(1), i64::MIN);
        let sealed = input_of_sealed(&a, "session", 3);
        assert_ne!(sealed, input_of_sealed(&a, "session", 4));
        assert_ne!(sealed, input_of_sealed(&a, "session2", 3));
        assert_ne!(sealed, input_of_sealed(&b, "session", 3));
    }
}
