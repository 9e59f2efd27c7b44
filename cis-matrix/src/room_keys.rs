//! Which encrypted events may be read from now on: the keys of rooms that a batch brought.

use std::collections::BTreeSet;

use matrix_sdk::deserialized_responses::ProcessedToDeviceEvent;
use matrix_sdk::sync::SyncResponse;
use serde::Deserialize;

/// RoomKeys of rooms that came. A key belongs to a session (Megolm): a device encrypts many events of a room with one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoomKeys {
    /// Of these rooms and sessions.
    Of(BTreeSet<(String, String)>),
    /// Another process heard what came: it may be any.
    Any,
}

/// A message that brings a key: `m.room_key`, or `m.forwarded_room_key`.
#[derive(Deserialize)]
struct Wire {
    #[serde(rename = "type")]
    kind: String,
    content: Content,
}

#[derive(Deserialize)]
struct Content {
    room_id: Option<String>,
    session_id: Option<String>,
}

impl RoomKeys {
    pub(crate) fn of(response: &SyncResponse) -> Self {
        let came = response.to_device.iter().filter_map(|event| match event {
            ProcessedToDeviceEvent::Decrypted { raw, .. } => read(raw.json().get()),
            _ => None,
        });
        Self::Of(came.collect())
    }

    /// Whether the key of a session of a room may be among them.
    #[must_use]
    pub fn open(&self, room: &str, session: &str) -> bool {
        match self {
            Self::Of(came) => came.iter().any(|(of, key)| of == room && key == session),
            Self::Any => true,
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::Of(BTreeSet::new())
    }
}

fn read(json: &str) -> Option<(String, String)> {
    // Most of what comes is none.
    if !json.contains("room_key") {
        return None;
    }
    let Wire { kind, content } = serde_json::from_str(json).ok()?;
    let brings = matches!(kind.as_str(), "m.room_key" | "m.forwarded_room_key");
    brings.then_some(())?;
    Some((content.room_id?, content.session_id?))
}
