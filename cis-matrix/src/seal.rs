//! Which message of its sender's device an encrypted event is.
//!
//! A homeserver gives events their ids and times: it can give an encrypted message again as another event. What its
//! sender's device signed with it is its session and its place in that session (Megolm: each place is used once).

use matrix_sdk::deserialized_responses::TimelineEvent;
use matrix_sdk::ruma::api::client::room::get_room_event;
use matrix_sdk::ruma::events::room::encrypted::OriginalSyncRoomEncryptedEvent;
use matrix_sdk::ruma::serde::Raw;
use serde::Deserialize;
use vodozemac::megolm::MegolmMessage;

use crate::send::event_id;
use crate::{Answer, Client, MatrixError, RoomEvent, answer};

/// Which message of a device it is: the same for every copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal {
    /// The session that it was encrypted with.
    pub session: String,
    /// Its place in that session.
    pub index: u32,
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
            Ok(same.and_then(|_| read(raw.json().get())))
        })
    }
}

fn read(json: &str) -> Option<Seal> {
    let wire: Wire = serde_json::from_str(json).ok()?;
    let message = MegolmMessage::from_base64(&wire.content.ciphertext).ok()?;
    Some(Seal { session: wire.content.session_id, index: message.message_index() })
}

#[cfg(test)]
mod tests {
    use super::*;

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
