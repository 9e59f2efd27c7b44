//! State of a room, of types that the SDK does not know.

use matrix_sdk::deserialized_responses::RawAnySyncOrStrippedState;
use matrix_sdk::ruma::events::StateEventType;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{Answer, Client, MatrixError, answer};

/// One piece of a room's state.
#[derive(Debug, Clone, Deserialize)]
pub struct StateEvent {
    /// Who set it, `@name:server`.
    pub sender: String,
    /// Which of its type.
    pub state_key: String,
    /// JSON.
    pub content: Box<RawValue>,
    /// When it was set, Unix ms, as its sender's homeserver says.
    #[serde(rename = "origin_server_ts")]
    pub sent_ms: i64,
}

impl Client {
    /// All state of a type in a room, as it was when the account looked last.
    #[must_use]
    pub fn state(&self, room: &str, kind: &str) -> Answer<Vec<StateEvent>> {
        let (room, kind) = (self.joined(room), StateEventType::from(kind));
        answer(async move {
            let events = room?.get_state_events(kind).await;
            let events = events.map_err(|error| MatrixError::Store { detail: error.to_string() })?;
            let read = |event: RawAnySyncOrStrippedState| match event {
                RawAnySyncOrStrippedState::Sync(raw) => serde_json::from_str(raw.json().get()).ok(),
                RawAnySyncOrStrippedState::Stripped(_) => None,
            };
            Ok(events.into_iter().filter_map(read).collect())
        })
    }
}
