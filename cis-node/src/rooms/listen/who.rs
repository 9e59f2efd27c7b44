//! Somebody in a room: what they may do there, and how what they said came.

use super::Listener;
use cis_core::event::Via;
use cis_core::ids::{InputId, TimestampMs};
use cis_core::people::{Carried, Person, Power, Role};
use cis_core::policy::{Principal, Rights, Who};
use cis_core::room::{EventId, RoomId, UserId};

/// Somebody who says something.
#[derive(Debug, Clone)]
pub(super) struct Speaker {
    pub(super) room: RoomId,
    pub(super) user: UserId,
    pub(super) power: Power,
    /// How it came.
    pub(super) carried: Carried,
    /// What they said, as an input: the same event is the same for ever.
    pub(super) input: InputId,
    /// The event.
    pub(super) event: EventId,
    /// When they said it, Unix ms, by the homeserver's clock.
    pub(super) sent_ms: TimestampMs,
}

impl Speaker {
    pub(super) fn person(&self) -> Person<'_> {
        Person { id: &self.user, power: self.power }
    }
}

impl Listener {
    /// What somebody is here; none: nothing.
    pub(super) fn role(&self, speaker: &Speaker) -> Option<Role> {
        self.node.config.settings.matrix.roles.of(speaker.person())
    }

    /// As whom they ask the node.
    pub(super) fn principal(&self, speaker: &Speaker) -> Principal {
        let who =
            Who::Member { user: speaker.user.clone(), room: speaker.room.clone(), power: speaker.power };
        let rights = self.role(speaker).map_or(Rights::None, Role::rights);
        Principal { who, via: Via::Room, rights }
    }
}
