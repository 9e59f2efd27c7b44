//! Keys of encrypted rooms: which events can be read that could not be read before.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};

use futures_util::{FutureExt as _, Stream, StreamExt as _};
use matrix_sdk_crypto::store::types::RoomKeyInfo;

/// Room keys that came. Each opens one session (Megolm), with which a device encrypts many events of a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoomKeys {
    /// Those of these sessions, by room.
    Of(BTreeMap<String, BTreeSet<String>>),
    /// Not known which: it may be any.
    Any,
}

impl RoomKeys {
    /// Whether the key of a session of a room is known to be among them.
    #[must_use]
    pub fn contains(&self, room: &str, session: &str) -> bool {
        let Self::Of(came) = self else { return false };
        came.get(room).is_some_and(|sessions| sessions.contains(session))
    }
}

type Keys = Pin<Box<dyn Stream<Item = Option<Vec<RoomKeyInfo>>> + Send>>;

/// The keys that the SDK took over, by whatever way they came: from the device that encrypts, from a backup, from another device.
#[derive(Default)]
pub(crate) struct Received(Mutex<Option<Keys>>);

impl Received {
    /// What came since this was called before.
    pub(crate) async fn take(&self, sdk: &matrix_sdk::Client) -> RoomKeys {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (mut keys, mut all) = match known {
            Some(keys) => (keys, RoomKeys::Of(BTreeMap::new())),
            None => match sdk.encryption().room_keys_received_stream().await {
                Some(stream) => (stream.map(Result::ok).boxed(), RoomKeys::Any),
                None => return RoomKeys::Any,
            },
        };
        while let Some(came) = keys.next().now_or_never() {
            match (came, &mut all) {
                (Some(Some(came)), RoomKeys::Of(all)) => {
                    for key in came {
                        all.entry(key.room_id.into()).or_default().insert(key.session_id);
                    }
                }
                (Some(Some(_)), RoomKeys::Any) => {}
                // Some were left out.
                (Some(None), _) => all = RoomKeys::Any,
                // It is asked for a new one the next time.
                (None, _) => return RoomKeys::Any,
            }
        }
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(keys);
        all
    }
}
