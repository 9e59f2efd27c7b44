//! What nodes of rooms said and may not say, or what follows from nothing: a line of the audit, and not one for each message.

use std::collections::BTreeMap;

use super::super::Driver;
use crate::wrong::Wrong;
use cis_core::event::{Actor, ActorKind, Via};
use cis_core::federation::protocol::BootMs;
use cis_core::identity::Right;
use cis_core::ids::{NodeDid, TimestampMs};

use crate::account::boot_ms;

/// After this, ms, the same is recorded again.
const AGAIN_MS: BootMs = 60 * 60 * 1000;

/// So much is remembered; above it nothing is recorded until something is old.
const REMEMBERED_MAX: usize = 1000;

/// What was recorded lately.
#[derive(Debug, Default)]
pub(super) struct Refused(BTreeMap<(String, NodeDid, Wrong), BootMs>);

impl Refused {
    /// Whether this is to be recorded.
    fn is_new(&mut self, room: &str, from: &NodeDid, wrong: Wrong, now: BootMs) -> bool {
        self.0.retain(|_, at| now.saturating_sub(*at) < AGAIN_MS);
        if self.0.len() >= REMEMBERED_MAX {
            return false;
        }
        let mut is_new = false;
        self.0.entry((room.to_owned(), from.clone(), wrong)).or_insert_with(|| {
            is_new = true;
            now
        });
        is_new
    }
}

impl Driver {
    /// Another node of a room said something that changes nothing.
    pub(in crate::driver) fn refuse_message(
        &mut self,
        room: &str,
        from: &NodeDid,
        (wrong, detail): (Wrong, String),
        now: TimestampMs,
    ) {
        tracing::debug!(%from, room, detail, "a message of a node changes nothing");
        if !self.federation.refused.is_new(room, from, wrong, boot_ms()) {
            return;
        }
        let action = match wrong {
            Wrong::Untrusted => format!("act as a node of room {room}"),
            Wrong::Without(Right::Coordinate) => format!("give tasks to nodes of room {room}"),
            Wrong::Without(Right::Execute) => format!("execute tasks of room {room}"),
            Wrong::Without(Right::Submit) => format!("control runs of room {room}"),
            Wrong::Policy => format!("have tasks of room {room} executed here"),
            Wrong::Unfitting => format!("say something about tasks of room {room}"),
            Wrong::Term => format!("give tasks of a run of room {room} that it does not coordinate"),
            Wrong::Takeover => format!("take over a run of room {room}"),
            Wrong::Twin => format!("act in room {room} as this node"),
            Wrong::Forked => format!("write the journal of a run of room {room}"),
        };
        let actor = Actor { kind: ActorKind::Node, name: from.to_string(), via: Via::Room };
        self.deny(action, detail, actor, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_recorded_once_an_hour() {
        let mut refused = Refused::default();
        let (mallory, other) = (NodeDid("did:key:m".to_owned()), NodeDid("did:key:o".to_owned()));
        let execute = Wrong::Without(Right::Execute);
        assert!(refused.is_new("!a", &mallory, execute, 0));
        assert!(!refused.is_new("!a", &mallory, execute, AGAIN_MS - 1));
        assert!(refused.is_new("!b", &mallory, execute, 1), "of each room");
        assert!(
            refused.is_new("!a", &mallory, Wrong::Unfitting, 1) && refused.is_new("!a", &other, execute, 1)
        );
        assert!(refused.is_new("!a", &mallory, execute, AGAIN_MS));
    }

    #[test]
    fn many_that_say_what_they_may_not_fill_nothing() {
        let mut refused = Refused::default();
        let recorded = (0..2 * REMEMBERED_MAX)
            .filter(|n| refused.is_new("!a", &NodeDid(format!("did:key:{n}")), Wrong::Unfitting, 0));
        assert_eq!(recorded.count(), REMEMBERED_MAX);
    }
}
