//! Requests of others to compare emoji, as they come with batches: nobody is called back, so they are remembered until somebody
//! looks.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use matrix_sdk::ruma::{OwnedUserId, UserId};
use matrix_sdk::sync::SyncResponse;
use serde::Deserialize;

/// More are not remembered: each is void after ten minutes.
const ASKED_MAX: usize = 64;

/// Requests of others that came: who, and the name of the request.
#[derive(Default)]
pub(crate) struct Asked(Mutex<VecDeque<(OwnedUserId, String)>>);

/// As much of an event as tells that somebody asks.
#[derive(Deserialize)]
struct Wire {
    #[serde(rename = "type")]
    kind: String,
    sender: OwnedUserId,
    event_id: Option<String>,
    content: Content,
}

#[derive(Deserialize)]
struct Content {
    msgtype: Option<String>,
    transaction_id: Option<String>,
}

const REQUEST: &str = "m.key.verification.request";

impl Asked {
    /// Remembers the requests of a batch.
    pub(crate) fn remember(&self, response: &SyncResponse) {
        for event in &response.to_device {
            self.take(event.as_raw().json().get());
        }
        for event in response.rooms.joined.values().flat_map(|room| &room.timeline.events) {
            self.take(event.raw().json().get());
        }
    }

    fn take(&self, json: &str) {
        // Most of what comes is none.
        if !json.contains(REQUEST) {
            return;
        }
        let Ok(wire) = serde_json::from_str::<Wire>(json) else { return };
        let flow = match wire.kind.as_str() {
            REQUEST => wire.content.transaction_id,
            "m.room.message" if wire.content.msgtype.as_deref() == Some(REQUEST) => wire.event_id,
            _ => None,
        };
        let Some(flow) = flow else { return };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push_front((wire.sender, flow));
        all.truncate(ASKED_MAX);
    }

    /// Names of somebody's requests, newest first.
    pub(crate) fn of(&self, user: &UserId) -> Vec<String> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter(|(sender, _)| sender == user).map(|(_, flow)| flow.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn requests_are_known_by_both_ways_and_by_their_sender() {
        let asked = Asked::default();
        asked.take(
            r#"{"type":"m.key.verification.request","sender":"@a:x","content":{"transaction_id":"t1"}}"#,
        );
        asked.take(
            r#"{"type":"m.room.message","sender":"@a:x","event_id":"$e","content":{"msgtype":"m.key.verification.request"}}"#,
        );
        // Words about a request are none.
        asked.take(
            r#"{"type":"m.room.message","sender":"@a:x","event_id":"$f","content":{"msgtype":"m.text","body":"m.key.verification.request"}}"#,
        );
        let user = |id: &str| UserId::parse(id).unwrap();
        assert_eq!(asked.of(&user("@a:x")), ["$e", "t1"]);
        assert!(asked.of(&user("@b:x")).is_empty());
        for count in 0..1000 {
            asked.take(&format!(
                r#"{{"type":"m.key.verification.request","sender":"@b:x","content":{{"transaction_id":"{count}"}}}}"#
            ));
        }
        assert_eq!(asked.of(&user("@b:x")).len(), ASKED_MAX);
    }

    proptest! {
        #[test]
        fn any_text_is_taken_or_left(text in "\\PC{0,60}(m.key.verification.request)?\\PC{0,20}") {
            Asked::default().take(&text);
        }
    }
}
