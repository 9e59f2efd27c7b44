//! An event of a room as everybody outside sees it: plain values, the content as it was sent.

use matrix_sdk::deserialized_responses::{
    EncryptionInfo, TimelineEvent, VerificationLevel, VerificationState,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Something in a room's timeline. Everything in it is somebody else's word.
#[derive(Debug, Clone, Serialize)]
pub struct RoomEvent {
    /// `$…`.
    pub id: String,
    /// Who sent it, `@name:server`, as the homeserver says.
    pub sender: String,
    /// Its type. `m.room.encrypted` is one that cannot be read (yet): [`Self::is_sealed`].
    #[serde(rename = "type")]
    pub kind: String,
    /// JSON, decrypted.
    pub content: Box<RawValue>,
    /// When it was sent, Unix ms, as its sender's homeserver says.
    pub sent_ms: i64,
    /// Set for state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_key: Option<String>,
    /// Of an event that this very device sent: the transaction id that it was sent with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction: Option<String>,
    /// How it was encrypted; none: in clear.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,
}

/// What is known of the device that encrypted an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encryption {
    /// Its id, where it is known.
    pub device: Option<String>,
    /// How far it is known to be its user's.
    pub trust: Trust,
}

/// How far a device is known to be its user's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// Not at all: the keys came by a way that proves nothing.
    Unknown,
    /// Its user has not signed it.
    Unsigned,
    /// Its user's identity is another than it was when we trusted it.
    IdentityChanged,
    /// Its user has signed it; nobody here has compared that user's keys.
    Signed,
    /// Its user has signed it, and that user was verified here, or is ourselves.
    Verified,
}

impl Trust {
    /// As JSON has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Unsigned => "unsigned",
            Self::IdentityChanged => "identity_changed",
            Self::Signed => "signed",
            Self::Verified => "verified",
        }
    }
}

/// As it stands on the wire.
#[derive(Deserialize)]
struct Wire {
    event_id: String,
    sender: String,
    #[serde(rename = "type")]
    kind: String,
    content: Box<RawValue>,
    #[serde(default)]
    origin_server_ts: i64,
    state_key: Option<String>,
    #[serde(default)]
    unsigned: Unsigned,
}

#[derive(Default, Deserialize)]
struct Unsigned {
    transaction_id: Option<String>,
}

impl RoomEvent {
    /// Whether it cannot be decrypted (yet).
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        self.kind == "m.room.encrypted"
    }

    /// The session (Megolm) that it is encrypted with, if it cannot be decrypted (yet).
    #[must_use]
    pub fn sealed_session(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Content {
            session_id: String,
        }
        if !self.is_sealed() {
            return None;
        }
        serde_json::from_str(self.content.get()).ok().map(|content: Content| content.session_id)
    }

    /// None for what has not the form of an event: nobody can do anything with it.
    pub(crate) fn of(event: &TimelineEvent) -> Option<Self> {
        let encryption = event.encryption_info().map(|info| Encryption::of(info));
        Self::read(event.raw().json().get(), encryption)
    }

    fn read(json: &str, encryption: Option<Encryption>) -> Option<Self> {
        let wire: Wire = serde_json::from_str(json).ok()?;
        Some(Self {
            id: wire.event_id,
            sender: wire.sender,
            kind: wire.kind,
            content: wire.content,
            sent_ms: wire.origin_server_ts,
            state_key: wire.state_key,
            transaction: wire.unsigned.transaction_id,
            encryption,
        })
    }

    /// All that can be read.
    pub(crate) fn all<'a>(events: impl IntoIterator<Item = &'a TimelineEvent>) -> Vec<Self> {
        events.into_iter().filter_map(Self::of).collect()
    }
}

impl Encryption {
    pub(crate) fn of(info: &EncryptionInfo) -> Self {
        let trust = match &info.verification_state {
            VerificationState::Verified => Trust::Verified,
            VerificationState::Unverified(level) => match level {
                VerificationLevel::UnverifiedIdentity => Trust::Signed,
                VerificationLevel::VerificationViolation => Trust::IdentityChanged,
                VerificationLevel::UnsignedDevice => Trust::Unsigned,
                VerificationLevel::None(_) | VerificationLevel::MismatchedSender => Trust::Unknown,
            },
        };
        Self { device: info.sender_device.as_ref().map(ToString::to_string), trust }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_event_keeps_its_content_as_it_was_sent() {
        let json = r#"{"event_id":"$a","sender":"@x:y","type":"cis.x","content":{"b": 1,"a":[1 ]},
            "origin_server_ts":7,"unsigned":{"transaction_id":"t","age":3},"room_id":"!r"}"#;
        let event = RoomEvent::read(json, None).unwrap();
        assert_eq!(event.content.get(), r#"{"b": 1,"a":[1 ]}"#);
        assert_eq!((event.sent_ms, event.transaction.as_deref(), event.state_key), (7, Some("t"), None));
    }

    #[test]
    fn what_is_no_event_is_left_out() {
        for json in ["{}", "[]", r#"{"event_id":1}"#, r#"{"event_id":"$a","sender":"@x:y","type":"t"}"#] {
            assert!(RoomEvent::read(json, None).is_none(), "{json}");
        }
    }

    #[test]
    fn trust_has_an_order() {
        assert!(Trust::Verified > Trust::Signed && Trust::Signed > Trust::Unsigned);
        assert!(Trust::Signed > Trust::IdentityChanged && Trust::Unsigned > Trust::Unknown);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_left_out(text in "\\PC{0,80}") {
            let _ = RoomEvent::read(&text, None);
        }
    }
}
