//! Who is in a room, and what they may do there.

use matrix_sdk::ruma::events::room::member::MembershipState;
use matrix_sdk::ruma::events::room::power_levels::{RoomPowerLevels, UserPowerLevel};
use matrix_sdk::{Room, RoomMemberships};

use crate::name::user_id;
use crate::{Answer, Client, MatrixError, answer};

/// How much somebody may do in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Power {
    /// A level.
    Level(i64),
    /// They made the room: above all levels.
    Creator,
}

/// Somebody in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// `@name:server`.
    pub user: String,
    /// What they call themselves: anything, and not unique.
    pub name: Option<String>,
    /// How much they may do.
    pub power: Power,
    /// They have joined; otherwise they were invited.
    pub joined: bool,
}

impl Client {
    /// How much `user` may do in a room, whether they are in it or not.
    #[must_use]
    pub fn power(&self, room: &str, user: &str) -> Answer<Power> {
        let (room, user) = (self.joined(room), user_id(user));
        answer(async move { Ok(power(levels(&room?).await?.for_user(&user?))) })
    }

    /// Since when the account itself is in a room, Unix ms by its homeserver's clock. None: before its newest change of
    /// name there, which hides when.
    #[must_use]
    pub fn joined_ms(&self, room: &str) -> Answer<Option<i64>> {
        let (room, me) = (self.joined(room), user_id(&self.user()));
        answer(async move {
            let room = room?;
            let own = room.get_member(&me?).await?;
            let own = own.ok_or_else(|| MatrixError::NotJoined { room: room.room_id().to_string() })?;
            let newest = own.event().as_sync().and_then(|event| event.as_original());
            let was_in = newest
                .and_then(|event| event.unsigned.prev_content.as_ref())
                .is_some_and(|was| was.membership == MembershipState::Join);
            let since = own.event().origin_server_ts().map(|at| i64::from(at.0));
            Ok(since.filter(|_| !was_in))
        })
    }

    /// Somebody who has joined a room; none: they are not in it.
    #[must_use]
    pub fn member(&self, room: &str, user: &str) -> Answer<Option<Member>> {
        let (room, user) = (self.joined(room), user_id(user));
        answer(async move {
            let (room, user) = (room?, user?);
            let Some(member) = room.get_member(&user).await? else { return Ok(None) };
            if !RoomMemberships::JOIN.matches(member.membership()) {
                return Ok(None);
            }
            Ok(Some(Member {
                user: user.to_string(),
                name: member.display_name().map(str::to_owned),
                power: power(levels(&room).await?.for_user(&user)),
                joined: true,
            }))
        })
    }

    /// Who has joined or is invited.
    #[must_use]
    pub fn members(&self, room: &str) -> Answer<Vec<Member>> {
        let room = self.joined(room);
        answer(async move {
            let room = room?;
            let all = room.members(RoomMemberships::ACTIVE).await?;
            let levels = levels(&room).await?;
            Ok(all
                .into_iter()
                .map(|member| Member {
                    user: member.user_id().to_string(),
                    name: member.display_name().map(str::to_owned),
                    power: power(levels.for_user(member.user_id())),
                    joined: RoomMemberships::JOIN.matches(member.membership()),
                })
                .collect())
        })
    }

    /// Whether the account itself may send state of this type to a room.
    #[must_use]
    pub fn may_send_state(&self, room: &str, kind: &str) -> Answer<bool> {
        let (room, me, kind) = (self.joined(room), user_id(&self.user()), kind.to_owned());
        answer(async move { Ok(levels(&room?).await?.user_can_send_state(&me?, kind.into())) })
    }
}

/// The levels of a room. Of one that was just joined they are not known before the next batch: then nobody is
/// taken for somebody without rights, or with them.
async fn levels(room: &Room) -> Result<RoomPowerLevels, MatrixError> {
    let known = room.power_levels().await;
    known.map_err(|_| MatrixError::not_found("what the levels of the room are (the next batch tells)"))
}

fn power(level: UserPowerLevel) -> Power {
    match level {
        UserPowerLevel::Int(level) => Power::Level(level.into()),
        _ => Power::Creator,
    }
}

#[cfg(test)]
mod tests {
    use super::Power;

    #[test]
    fn a_creator_stands_above_all_levels() {
        assert!(Power::Creator > Power::Level(i64::MAX));
        assert!(Power::Level(50) > Power::Level(0));
    }
}
