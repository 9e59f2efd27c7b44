//! What is not taken for now: a room, one message, one run's journal. Until when it is put off, and why, as
//! `cis node status` says it.
//!
//! What is wrong with one of them is its own: all else goes on. Rights come back, people are invited again, limits are
//! raised, so each is tried again, later each time.

use std::collections::{BTreeMap, BTreeSet};

use cis_matrix::MatrixError;

use cis_core::ids::{RunId, TimestampMs};

/// Put off for so long at first, ms, then for twice that …
const FIRST_MS: i64 = 5_000;
/// … but never for longer.
const MAX_MS: i64 = 5 * 60_000;

/// What a refusal is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Matter {
    /// Everything for this room.
    Room(String),
    /// This entry of the outbox, and its room.
    Message(i64, String),
    /// What is to be written into the journal of this run, and its room.
    Journal(RunId, String),
}

impl Matter {
    pub(super) fn room(&self) -> &str {
        match self {
            Self::Room(room) | Self::Message(_, room) | Self::Journal(_, room) => room,
        }
    }
}

/// How far what a homeserver says goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// The account, or the homeserver as a whole.
    Account,
    /// One room.
    Room,
    /// What was sent.
    Message,
}

/// How far an error goes.
pub(super) fn reach(error: &MatrixError) -> Reach {
    match error {
        MatrixError::RateLimited { .. }
        | MatrixError::Unauthorized { .. }
        | MatrixError::Offline { .. }
        | MatrixError::Store { .. } => Reach::Account,
        MatrixError::TooLarge { .. } | MatrixError::BadInput { .. } => Reach::Message,
        _ => Reach::Room,
    }
}

/// Whether what was sent may have arrived all the same.
pub(super) fn may_have_arrived(error: &MatrixError) -> bool {
    match error {
        MatrixError::Offline { reached, .. } => *reached,
        MatrixError::Other { status, .. } => status.is_none_or(|status| status >= 500),
        _ => false,
    }
}

#[derive(Debug)]
struct PutOff {
    refused: TimestampMs,
    until: TimestampMs,
    pause: i64,
    why: String,
    /// The homeserver failed: it did not refuse.
    failed: bool,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Refusing(BTreeMap<Matter, PutOff>);

impl Refusing {
    /// It is not taken; put off until the time that this gives.
    pub(super) fn put_off(&mut self, matter: Matter, error: &MatrixError, now: TimestampMs) -> TimestampMs {
        let failed = matches!(error, MatrixError::Other { .. });
        self.put_off_for(matter, (error.to_string(), failed), now)
    }

    /// The same for a reason in words, and whether that is a failure of the homeserver.
    pub(super) fn put_off_for(
        &mut self,
        matter: Matter,
        (why, failed): (String, bool),
        now: TimestampMs,
    ) -> TimestampMs {
        let pause = self.0.get(&matter).map_or(FIRST_MS, |earlier| (earlier.pause * 2).min(MAX_MS));
        let until = now.saturating_add(pause);
        self.0.insert(matter, PutOff { refused: now, until, pause, why, failed });
        until
    }

    /// It is taken, or not to be sent any more. True: it was refused before.
    pub(super) fn taken(&mut self, matter: &Matter) -> bool {
        self.0.remove(matter).is_some()
    }

    /// An entry of the outbox is there no more. True: it was refused before.
    pub(super) fn settled(&mut self, id: i64) -> bool {
        let known = self.0.len();
        self.0.retain(|matter, _| !matches!(matter, Matter::Message(of, _) if *of == id));
        self.0.len() < known
    }

    /// Until when it waits; none: it may be tried.
    pub(super) fn waits(&self, matter: &Matter, now: TimestampMs) -> Option<TimestampMs> {
        self.0.get(matter).map(|put_off| put_off.until).filter(|until| *until > now)
    }

    /// The same of a room.
    pub(super) fn room_waits(&self, room: &str, now: TimestampMs) -> Option<TimestampMs> {
        self.waits(&Matter::Room(room.to_owned()), now)
    }

    /// When a room took nothing, the last time that it was tried; none: it takes what it is told.
    pub(super) fn refused(&self, room: &str) -> Option<TimestampMs> {
        self.0.get(&Matter::Room(room.to_owned())).map(|put_off| put_off.refused)
    }

    /// Whether a room took nothing because its homeserver failed.
    pub(super) fn has_failed(&self, room: &str) -> bool {
        self.0.get(&Matter::Room(room.to_owned())).is_some_and(|put_off| put_off.failed)
    }

    /// When the first of them is tried again.
    pub(super) fn next(&self, now: TimestampMs) -> Option<TimestampMs> {
        self.0.values().map(|put_off| put_off.until).filter(|until| *until > now).min()
    }

    /// Whether this room, or something for it, is refused.
    pub(super) fn has(&self, room: &str) -> bool {
        self.0.keys().any(|matter| matter.room() == room)
    }

    /// Something changed in a room: what is put off there is tried now, and the pause begins anew.
    pub(super) fn hasten(&mut self, room: &str, now: TimestampMs) {
        for (_, put_off) in self.0.iter_mut().filter(|(matter, _)| matter.room() == room) {
            (put_off.until, put_off.pause) = (now, FIRST_MS / 2);
        }
    }

    /// Only these stay. Gives the rooms of the others.
    pub(super) fn keep(&mut self, is_of: impl Fn(&Matter) -> bool) -> BTreeSet<String> {
        let others = self.0.keys().filter(|matter| !is_of(matter));
        let rooms: BTreeSet<String> = others.map(|matter| matter.room().to_owned()).collect();
        self.0.retain(|matter, _| is_of(matter));
        rooms
    }

    /// As people are told.
    pub(super) fn said(&self) -> Vec<String> {
        let say = |(matter, put_off): (&Matter, &PutOff)| {
            let (room, why) = (matter.room(), &put_off.why);
            match matter {
                Matter::Room(_) => format!(
                    "room {room} accepts no messages from this node: {why}; they are stored, and sent when it does"
                ),
                Matter::Message(..) => {
                    format!("room {room} does not accept a message: {why}; it is tried again")
                }
                Matter::Journal(run, _) => format!(
                    "the journal of run {} cannot be told to room {room}: {why}; it is tried again",
                    run.short()
                ),
            }
        };
        self.0.iter().map(say).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> MatrixError {
        MatrixError::Forbidden { detail: "level 0".to_owned() }
    }

    #[test]
    fn a_room_is_tried_later_each_time_and_at_once_when_it_changes() {
        let (mut refusing, room) = (Refusing::default(), Matter::Room("!a".to_owned()));
        assert_eq!(refusing.put_off(room.clone(), &refused(), 0), 5_000);
        assert_eq!(refusing.put_off(room.clone(), &refused(), 5_000), 15_000);
        for _ in 0..20 {
            refusing.put_off(room.clone(), &refused(), 0);
        }
        assert_eq!((refusing.room_waits("!a", 0), refusing.room_waits("!b", 0)), (Some(MAX_MS), None));
        assert!(refusing.said()[0].contains("level 0"), "{:?}", refusing.said());
        assert_eq!((refusing.refused("!a"), refusing.refused("!b")), (Some(0), None));
        refusing.hasten("!b", 7);
        assert_eq!(refusing.next(7), Some(MAX_MS));
        refusing.hasten("!a", 7);
        assert_eq!((refusing.room_waits("!a", 7), refusing.next(7)), (None, None));
        assert_eq!(refusing.put_off(room.clone(), &refused(), 7), 5_007);
        assert!(refusing.taken(&room) && !refusing.taken(&room));
        assert!(refusing.said().is_empty() && !refusing.has("!a"));
    }

    #[test]
    fn what_is_wrong_with_one_room_is_not_the_accounts() {
        assert_eq!(reach(&refused()), Reach::Room);
        assert_eq!(reach(&MatrixError::NotJoined { room: "!a".to_owned() }), Reach::Room);
        assert_eq!(reach(&MatrixError::TooLarge { detail: String::new() }), Reach::Message);
        let offline = |reached| MatrixError::Offline { detail: String::new(), reached };
        assert_eq!(reach(&offline(true)), Reach::Account);
        assert!(may_have_arrived(&offline(true)) && !may_have_arrived(&offline(false)));
        assert!(!may_have_arrived(&refused()));
    }
}
