//! Which message of its sender's device an encrypted event is, and how far that device is known to be its sender's.
//!
//! A homeserver gives events their ids and times: it can give an encrypted message again as another event. What its
//! sender's device signed with it is its session and its place in that session (Megolm: each place is used once).
//!
//! A homeserver also says which keys are whose. Those of somebody whom nobody compared by emoji are trusted when they are seen first, and
//! other ones are not.

use matrix_sdk::Room;
use matrix_sdk::deserialized_responses::{AlgorithmInfo, EncryptionInfo, TimelineEvent};
use matrix_sdk::ruma::api::client::room::get_room_event;
use matrix_sdk::ruma::events::room::encrypted::OriginalSyncRoomEncryptedEvent;
use matrix_sdk::ruma::serde::Raw;
use matrix_sdk_crypto::{IdentityState, RoomIdentityProvider as _};
use serde::Deserialize;
use vodozemac::megolm::MegolmMessage;

use crate::name::user_id;
use crate::send::event_id;
use crate::{Answer, Client, Encryption, MatrixError, RoomEvent, Trust, answer};

/// Which message of a device it is: the same for every copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal {
    /// The session that it was encrypted with.
    pub session: String,
    /// Its place in that session.
    pub index: u32,
    /// How far its device is known to be its sender's now. [`RoomEvent::encryption`] has what was known when the keys of the session came.
    pub trust: Trust,
}

/// An encrypted event as the homeserver has it.
#[derive(Deserialize)]
struct Wire {
    content: Sealed,
}

#[derive(Deserialize)]
struct Sealed {
    session_id: String,
    ciphertext: String,
}

impl Client {
    /// The seal of an event that came encrypted. None: the homeserver has something else under its id.
    #[must_use]
    pub fn seal(&self, room: &str, event: &RoomEvent) -> Answer<Option<Seal>> {
        let (client, room, event) = (self.clone(), self.any_room(room), event.clone());
        answer(async move {
            let (room, id) = (room?, event_id(&event.id)?);
            let request = get_room_event::v3::Request::new(room.room_id().to_owned(), id);
            let asked = client.sdk.send(request).await;
            let raw =
                asked.map_err(|e| MatrixError::from(e).naming(&format!("the event {}", event.id)))?.event;
            let raw: Raw<OriginalSyncRoomEncryptedEvent> = raw.cast_unchecked();
            let opened: TimelineEvent = room.decrypt_event(&raw, None).await?;
            let same = RoomEvent::of(&opened).filter(|opened| {
                opened.encryption.is_some()
                    && opened.sender == event.sender
                    && opened.kind == event.kind
                    && opened.content.get() == event.content.get()
            });
            let info = opened.encryption_info().filter(|_| same.is_some());
            let (Some(info), Some((session, index))) = (info, read(raw.json().get())) else {
                return Ok(None);
            };
            let trust = client.trust_now(&room, &event.sender, info).await?;
            Ok(Some(Seal { session, index, trust }))
        })
    }

    /// How far the device of an event is known to be its sender's now.
    async fn trust_now(
        &self,
        room: &Room,
        sender: &str,
        info: &EncryptionInfo,
    ) -> Result<Trust, MatrixError> {
        let trust = Encryption::of(info).trust;
        if trust < Trust::Signed {
            return Ok(trust);
        }
        let user = user_id(sender)?;
        let identity = room.user_identity(&user).await.map(|identity| room.state_of(&identity));
        let AlgorithmInfo::MegolmV1AesSha2 { curve25519_key, .. } = &info.algorithm_info else {
            return Ok(Trust::Unknown);
        };
        let device = match &info.sender_device {
            Some(id) => self.sdk.encryption().get_device(&user, id).await,
            None => Ok(None),
        };
        let device = device.map_err(|error| MatrixError::Store { detail: error.to_string() })?;
        let is_signed = device.is_some_and(|device| {
            let key = device.curve25519_key().map(|key| key.to_base64());
            key.as_ref() == Some(curve25519_key) && device.is_cross_signed_by_owner()
        });
        Ok(of_signed(trust, identity.as_ref(), is_signed))
    }
}

/// How far a device is known to be its user's now. `trust`: what was known of it, signed or more, when the keys of its session
/// came: the SDK keeps that. `is_signed`: by the identity that the user has now. A homeserver may have shown another identity for a
/// while only.
fn of_signed(trust: Trust, identity: Option<&IdentityState>, is_signed: bool) -> Trust {
    match identity {
        Some(IdentityState::PinViolation | IdentityState::VerificationViolation) => Trust::IdentityChanged,
        Some(IdentityState::Verified) if is_signed => trust,
        Some(IdentityState::Pinned) if is_signed => Trust::Signed,
        Some(IdentityState::Pinned | IdentityState::Verified) | None => Trust::Unsigned,
    }
}

/// Its session, and its place in that.
fn read(json: &str) -> Option<(String, u32)> {
    let wire: Wire = serde_json::from_str(json).ok()?;
    let message = MegolmMessage::from_base64(&wire.content.ciphertext).ok()?;
    Some((wire.content.session_id, message.message_index()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signed_device_counts_only_with_the_identity_that_was_seen_first_or_verified() {
        use IdentityState::{PinViolation, Pinned, VerificationViolation, Verified};
        for trust in [Trust::Signed, Trust::Verified] {
            assert_eq!(of_signed(trust, Some(&Pinned), true), Trust::Signed);
            assert_eq!(of_signed(trust, Some(&Verified), true), trust);
            for state in [Pinned, Verified] {
                assert_eq!(
                    of_signed(trust, Some(&state), false),
                    Trust::Unsigned,
                    "another identity signed it"
                );
            }
            for state in [PinViolation, VerificationViolation] {
                assert_eq!(of_signed(trust, Some(&state), true), Trust::IdentityChanged);
                assert_eq!(of_signed(trust, Some(&state), false), Trust::IdentityChanged);
            }
            assert_eq!(of_signed(trust, None, true), Trust::Unsigned);
        }
    }

    #[test]
    fn what_is_no_sealed_message_has_no_seal() {
        for json in [
            "{}",
            r#"{"content":{"session_id":"s","ciphertext":"AwgA"}}"#,
            r#"{"content":{"session_id":"s","ciphertext":"\u0000"}}"#,
        ] {
            assert_eq!(read(json), None, "{json}");
        }
    }
}
