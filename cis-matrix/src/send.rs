//! Sending. Each event goes out once, or an error says why not.

use matrix_sdk::config::RequestConfig;
use matrix_sdk::ruma::{EventId, OwnedEventId, OwnedTransactionId};
use serde_json::Value;

use crate::{Answer, Client, MatrixError, answer};

impl Client {
    /// Sends an event; gives its id. Sent again with the same transaction id, by the same device within a day, it
    /// is the same event: after a failure of the network one may not know whether it arrived, and repeats it.
    /// In an encrypted room it is encrypted.
    #[must_use]
    pub fn send(&self, room: &str, kind: &str, content: Value, transaction: &str) -> Answer<String> {
        let (room, kind) = (self.joined(room), kind.to_owned());
        let transaction = OwnedTransactionId::from(transaction);
        answer(async move {
            let room = room?;
            let sent = room
                .send_raw(&kind, content)
                .with_transaction_id(&transaction)
                .with_request_config(once())
                .await
                .map_err(|error| gone(error.into(), room.room_id().as_str()))?;
            Ok(sent.response.event_id.to_string())
        })
    }

    /// Sets state of a room; gives the event's id. State is never encrypted. Setting what is set already is none.
    #[must_use]
    pub fn send_state(&self, room: &str, kind: &str, key: &str, content: Value) -> Answer<String> {
        let (room, kind, key) = (self.joined(room), kind.to_owned(), key.to_owned());
        answer(async move {
            let room = room?;
            let sent = room
                .send_state_event_raw(&kind, &key, content)
                .await
                .map_err(|error| gone(error.into(), room.room_id().as_str()))?;
            Ok(sent.event_id.to_string())
        })
    }

    /// Takes the content of an event away.
    #[must_use]
    pub fn redact(&self, room: &str, event: &str, reason: &str, transaction: &str) -> Answer<()> {
        let (room, event, reason) = (self.joined(room), event_id(event), reason.to_owned());
        let transaction = OwnedTransactionId::from(transaction);
        answer(async move { Ok(room?.redact(&event?, Some(&reason), Some(transaction)).await.map(drop)?) })
    }
}

pub(crate) fn event_id(text: &str) -> Result<OwnedEventId, MatrixError> {
    EventId::parse(text).map_err(|_| MatrixError::BadInput {
        detail: format!("`{}` is no event's id: it begins with $", text.escape_debug()),
    })
}

fn once() -> RequestConfig {
    RequestConfig::new().disable_retry()
}

/// A homeserver says of a room that one was removed from that one may not speak there: what follows is another
/// thing than where a level is too low.
fn gone(error: MatrixError, room: &str) -> MatrixError {
    match error {
        MatrixError::Forbidden { detail } if detail.contains("not in room") => {
            MatrixError::NotJoined { room: room.to_owned() }
        }
        other => other,
    }
}
