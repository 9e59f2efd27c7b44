//! Rooms: making them, finding them, getting in, and letting others in.

use std::collections::BTreeMap;

use matrix_sdk::ruma::api::client::room::create_room::v3::{Request as CreateRequest, RoomPreset};
use matrix_sdk::ruma::events::room::encryption::RoomEncryptionEventContent;
use matrix_sdk::ruma::events::{EmptyStateKey, InitialStateEvent};
use matrix_sdk::ruma::serde::Raw;
use matrix_sdk::ruma::{OwnedRoomId, OwnedUserId, RoomId};
use matrix_sdk::{Room, RoomMemberships, RoomState};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::name::{VIA_MAX, user_id};
use crate::{Answer, Client, MatrixError, RoomName, answer};

/// Levels of event types in a new room. An override replaces the homeserver's, so all of them stand here.
const LEVELS: [(&str, i64); 8] = [
    ("m.room.avatar", 50),
    ("m.room.canonical_alias", 50),
    ("m.room.encryption", 100),
    ("m.room.history_visibility", 100),
    ("m.room.name", 50),
    ("m.room.power_levels", 100),
    ("m.room.server_acl", 100),
    ("m.room.tombstone", 100),
];

/// Who may redact what others said: the room is the record of its nodes.
const REDACT_LEVEL: i64 = 100;

/// From this version of rooms on, creators stand above all levels and may not have one.
const CREATORS_STAND_ABOVE: u32 = 12;

/// In these, only what stands above all others may end a room.
const TOMBSTONE_OF_THESE: i64 = 150;

/// A room to be made: private, entered by invitation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CreateRoom {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub topic: Option<String>,
    /// Everything that is said in it is encrypted.
    pub encrypted: bool,
    /// Who is invited, with their level (`50`: they may change the room's name, and invite others).
    pub invite: Vec<Invitation>,
    /// Levels that types of events need, beside the usual ones.
    pub levels: BTreeMap<String, i64>,
}

/// Somebody who is invited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// `@name:server`.
    pub user: String,
    /// Their level.
    pub level: i64,
}

/// A room that the account is in, or was invited to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomInfo {
    /// `!…`.
    pub room_id: String,
    /// Its name, or one made of who is in it.
    pub name: String,
    /// `#name:server`, where it has one.
    pub alias: Option<String>,
    /// What it is for.
    pub topic: Option<String>,
    /// Whether what is said in it is encrypted; none: not known yet.
    pub encrypted: Option<bool>,
    /// The account was invited, and has not joined.
    pub invited: bool,
    /// How many have joined.
    pub members: u64,
}

impl Client {
    /// Makes a room.
    #[must_use]
    pub fn create_room(&self, room: CreateRoom) -> Answer<RoomInfo> {
        let sdk = self.sdk.clone();
        answer(async move {
            let invited: Vec<OwnedUserId> =
                room.invite.iter().map(|who| user_id(&who.user)).collect::<Result<_, _>>()?;
            let me = sdk.user_id().ok_or_else(|| MatrixError::other("nobody is logged in"))?;
            let versions = sdk.homeserver_capabilities().room_versions().await?;
            let levels = power_levels(&room, versions.default.as_str(), me.as_str());
            let mut request = CreateRequest::new();
            request.name = Some(room.name.clone());
            request.topic = room.topic.clone();
            request.preset = Some(RoomPreset::PrivateChat);
            request.invite = invited.into_iter().filter(|user| user != me).collect();
            request.power_level_content_override = Some(Raw::new(&levels)?.cast_unchecked());
            if room.encrypted {
                let content = RoomEncryptionEventContent::with_recommended_defaults();
                request.initial_state = vec![InitialStateEvent::new(EmptyStateKey, content).to_raw_any()];
            }
            let made = sdk.create_room(request).await?;
            // What is known of it before the next sync is what we said ourselves.
            Ok(RoomInfo {
                room_id: made.room_id().to_string(),
                name: room.name,
                alias: None,
                topic: room.topic,
                encrypted: Some(room.encrypted),
                invited: false,
                members: 1,
            })
        })
    }

    /// Rooms that the account is in or was invited to, as of the last sync, by name.
    #[must_use]
    pub fn rooms(&self) -> Answer<Vec<RoomInfo>> {
        let sdk = self.sdk.clone();
        answer(async move {
            let mut all = Vec::new();
            for room in sdk.joined_rooms().into_iter().chain(sdk.invited_rooms()) {
                all.push(info(&room).await);
            }
            all.sort_by(|a, b| (&a.name, &a.room_id).cmp(&(&b.name, &b.room_id)));
            Ok(all)
        })
    }

    /// The room that a name means: its id. An alias that no known room has is looked up.
    #[must_use]
    pub fn resolve(&self, name: RoomName) -> Answer<String> {
        let sdk = self.sdk.clone();
        answer(async move { resolved(&sdk, &name).await.map(|room| room.to_string()) })
    }

    /// One room of the account.
    #[must_use]
    pub fn room(&self, room: &str) -> Answer<RoomInfo> {
        let found = self.any_room(room);
        answer(async move { Ok(info(&found?).await) })
    }

    /// Whether what is said in it is encrypted. Where that is not known yet, the homeserver is asked.
    #[must_use]
    pub fn is_encrypted(&self, room: &str) -> Answer<bool> {
        let room = self.joined(room);
        answer(async move {
            let room = room?;
            let known = room.encryption_state();
            let state = if known.is_unknown() { room.latest_encryption_state().await? } else { known };
            Ok(state.is_encrypted())
        })
    }

    /// The room that took the place of one, as who may do that said there; none: it goes on.
    #[must_use]
    pub fn successor(&self, room: &str) -> Answer<Option<RoomName>> {
        let room = self.any_room(room);
        answer(async move {
            let room = room?;
            let Some(successor) = room.successor_room() else { return Ok(None) };
            // Its id need not name a server: those who went there are on one.
            let members = room.members_no_sync(RoomMemberships::ACTIVE).await?;
            let mut via: Vec<_> =
                members.iter().map(|member| member.user_id().server_name().to_owned()).collect();
            via.sort();
            via.dedup();
            via.truncate(VIA_MAX);
            Ok(Some(RoomName { id: successor.room_id.into(), via }))
        })
    }

    /// Whether a room says that it took the place of another one. None: what it says is not known before the next batch.
    #[must_use]
    pub fn succeeds(&self, room: &str, old: &str) -> Answer<Option<bool>> {
        let (room, old) = (self.joined(room), old.to_owned());
        answer(async move {
            let room = room?;
            let known = room.create_content().is_some();
            Ok(known.then(|| room.predecessor_room().is_some_and(|before| before.room_id == old)))
        })
    }

    /// Joins it. One that is joined already is as it was.
    #[must_use]
    pub fn join(&self, name: RoomName) -> Answer<RoomInfo> {
        let sdk = self.sdk.clone();
        answer(async move {
            let known = match resolved(&sdk, &name).await {
                Ok(id) => sdk.get_room(&id),
                Err(error @ (MatrixError::Offline { .. } | MatrixError::Unauthorized { .. })) => {
                    return Err(error);
                }
                // It may be one that only those in it can look up.
                Err(_) => None,
            };
            if let Some(room) = known.filter(|room| room.state() == RoomState::Joined) {
                return Ok(info(&room).await);
            }
            let room = sdk
                .join_room_by_id_or_alias(&name.id, &name.via)
                .await
                .map_err(|error| MatrixError::from(error).naming(&format!("the room {name}")))?;
            Ok(info(&room).await)
        })
    }

    /// Leaves it.
    #[must_use]
    pub fn leave(&self, room: &str) -> Answer<()> {
        let room = self.any_room(room);
        answer(async move { Ok(room?.leave().await?) })
    }

    /// Invites somebody. One who is in it, or invited already, is no error.
    #[must_use]
    pub fn invite(&self, room: &str, user: &str) -> Answer<()> {
        let (room, user) = (self.joined(room), user_id(user));
        answer(async move {
            let (room, user) = (room?, user?);
            if let Some(member) = room.get_member(&user).await?
                && RoomMemberships::ACTIVE.matches(member.membership())
            {
                return Ok(());
            }
            Ok(room.invite_user_by_id(&user).await?)
        })
    }

    /// A room that the account is in.
    pub(crate) fn joined(&self, room: &str) -> Result<Room, MatrixError> {
        let found = self.any_room(room)?;
        if found.state() == RoomState::Joined {
            Ok(found)
        } else {
            Err(MatrixError::NotJoined { room: room.to_owned() })
        }
    }

    /// A room that the account knows.
    pub(crate) fn any_room(&self, room: &str) -> Result<Room, MatrixError> {
        let id = RoomId::parse(room).map_err(|_| MatrixError::BadInput {
            detail: format!("`{}` is no room's id", room.escape_debug()),
        })?;
        self.sdk.get_room(&id).ok_or_else(|| MatrixError::NotJoined { room: id.to_string() })
    }
}

async fn resolved(sdk: &matrix_sdk::Client, name: &RoomName) -> Result<OwnedRoomId, MatrixError> {
    let alias = match OwnedRoomId::try_from(name.id.clone()) {
        Ok(id) => return Ok(id),
        Err(alias) => alias,
    };
    let has =
        |room: &Room| room.canonical_alias().as_ref() == Some(&alias) || room.alt_aliases().contains(&alias);
    if let Some(room) = sdk.joined_rooms().into_iter().find(has) {
        return Ok(room.room_id().to_owned());
    }
    let found = sdk.resolve_room_alias(&alias).await;
    Ok(found.map_err(|error| MatrixError::from(error).naming(&format!("the room {alias}")))?.room_id)
}

async fn info(room: &Room) -> RoomInfo {
    let name = match room.display_name().await {
        Ok(name) => name.to_string(),
        // It has none, and nobody in it can be told.
        Err(_) => room.name().unwrap_or_default(),
    };
    // Whether a room is encrypted is asked once; where it cannot be asked now, it stays unknown.
    let encryption = match room.encryption_state() {
        known if !known.is_unknown() || room.state() != RoomState::Joined => known,
        unknown => room.latest_encryption_state().await.unwrap_or(unknown),
    };
    RoomInfo {
        room_id: room.room_id().to_string(),
        name,
        alias: room.canonical_alias().map(|alias| alias.to_string()),
        topic: room.topic(),
        encrypted: (!encryption.is_unknown()).then(|| encryption.is_encrypted()),
        invited: room.state() == RoomState::Invited,
        members: room.joined_members_count(),
    }
}

/// What replaces the homeserver's own levels in a room of this version.
fn power_levels(room: &CreateRoom, version: &str, me: &str) -> serde_json::Value {
    // Versions that are no number are experiments of some homeserver: as the old ones.
    let above = version.parse::<u32>().is_ok_and(|version| version >= CREATORS_STAND_ABOVE);
    let mut users: BTreeMap<&str, i64> =
        room.invite.iter().map(|who| (who.user.trim(), who.level)).filter(|(user, _)| *user != me).collect();
    if !above {
        users.insert(me, 100);
    }
    let mut events: BTreeMap<&str, i64> = LEVELS.into_iter().collect();
    if above {
        events.insert("m.room.tombstone", TOMBSTONE_OF_THESE);
    }
    events.extend(room.levels.iter().map(|(kind, level)| (kind.as_str(), *level)));
    json!({ "users": users, "events": events, "redact": REDACT_LEVEL })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room() -> CreateRoom {
        CreateRoom {
            name: "builds".to_owned(),
            invite: vec![
                Invitation { user: "@ann:example.org".to_owned(), level: 50 },
                Invitation { user: "@me:example.org".to_owned(), level: 50 },
            ],
            levels: [("cis.x".to_owned(), 0)].into(),
            ..CreateRoom::default()
        }
    }

    #[test]
    fn from_version_12_on_a_creator_has_no_level() {
        let new = power_levels(&room(), "12", "@me:example.org");
        assert_eq!(new["users"], json!({ "@ann:example.org": 50 }));
        assert_eq!(new["events"]["m.room.tombstone"], 150);
        let old = power_levels(&room(), "11", "@me:example.org");
        assert_eq!(old["users"], json!({ "@ann:example.org": 50, "@me:example.org": 100 }));
        assert_eq!(old["events"]["m.room.tombstone"], 100);
    }

    #[test]
    fn an_override_repeats_the_usual_levels() {
        let levels = power_levels(&room(), "12", "@me:example.org");
        assert_eq!(levels["events"]["m.room.power_levels"], 100);
        assert_eq!(levels["events"]["m.room.encryption"], 100);
        assert_eq!(levels["events"]["cis.x"], 0);
        assert_eq!(levels["redact"], 100, "who is invited takes nothing away");
    }
}
