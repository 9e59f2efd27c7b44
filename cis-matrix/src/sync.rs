//! What happened since: one batch at a time, from a place that the caller keeps.
//!
//! The place is to be made durable together with what the batch caused. The SDK keeps one of its own, and stores it
//! before anybody has seen the batch: after a crash in between, the two differ. Asking the homeserver from the older
//! place again is no way back, as the SDK drops what it has seen. So [`Client::next`] says then, without a
//! request, that every room may lack events after the caller's place: they are read by [`Client::forward`].

use std::sync::PoisonError;
use std::time::Duration;

use matrix_sdk::config::SyncSettings;
use matrix_sdk::ruma::api::client::filter::{FilterDefinition, LazyLoadOptions, RoomEventFilter};
use matrix_sdk::ruma::api::client::sync::sync_events::v3::Filter;
use matrix_sdk::ruma::presence::PresenceState;
use matrix_sdk::ruma::uint;
use matrix_sdk::store::{StateStoreDataKey, StateStoreDataValue};
use matrix_sdk::sync::SyncResponse;

use crate::device::{self, DeviceMessage};
use crate::room_keys::RoomKeys;
use crate::{Answer, Client, MatrixError, RoomEvent, answer};

/// What happened, of all rooms.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The place that it begins at; none: the account had never looked before.
    pub since: Option<String>,
    /// The place behind it, to be given to the next call.
    pub next_batch: String,
    /// Rooms in which something happened.
    pub rooms: Vec<RoomBatch>,
    /// Rooms that the account is no longer in: it left, or was removed.
    pub left: Vec<String>,
    /// Rooms that it was invited to.
    pub invited: Vec<String>,
    /// Room keys that came, with this batch or since the one before.
    pub keys: RoomKeys,
    /// Messages for this device, in order. They are given once: whoever dies before it acts on them has lost them.
    pub messages: Vec<DeviceMessage>,
}

/// What happened in one room.
#[derive(Debug, Clone)]
pub struct RoomBatch {
    /// `!…`.
    pub room: String,
    /// In order.
    pub events: Vec<RoomEvent>,
    /// Events before these are missing: page forward from the batch's `since`, until the first of these comes.
    pub limited: bool,
    /// The place before the first of the events.
    pub prev_batch: Option<String>,
}

impl Client {
    /// The next batch after the place `since`, once there is one, or an empty one after `wait`. With none, whatever
    /// was said before is left out but for the newest events of each room, which are then `limited`.
    ///
    /// One call at a time.
    #[must_use]
    pub fn next(&self, since: Option<&str>, wait: Duration) -> Answer<Batch> {
        let (client, since) = (self.clone(), since.map(str::to_owned));
        answer(async move {
            let here = client.place().await?;
            if let (Some(since), Some(here)) = (&since, &here)
                && since != here
            {
                return Ok(client.behind(since.clone(), here.clone()));
            }
            let settings = SyncSettings::default()
                .timeout(wait)
                .set_presence(PresenceState::Offline)
                .filter(Filter::FilterDefinition(filter()));
            // If this future is dropped, the SDK may have stored the next place or not: its store is asked next time.
            client.set_here(None);
            let response = client.sdk.sync_once(settings).await?;
            client.set_here(Some(response.next_batch.clone()));
            client.asked.remember(&response);
            Ok(Batch::of(here, &response, client.received.take(&client.sdk).await))
        })
    }

    /// Where the account is: the place behind the newest batch that it was given, also by an earlier process.
    #[must_use]
    pub fn position(&self) -> Answer<Option<String>> {
        let client = self.clone();
        answer(async move { client.place().await })
    }

    async fn place(&self) -> Result<Option<String>, MatrixError> {
        let here = self.here.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if here.is_some() {
            return Ok(here);
        }
        let kept = self.sdk.state_store().get_kv_data(StateStoreDataKey::SyncToken).await;
        let kept = kept.map_err(|error| MatrixError::Store { detail: error.to_string() })?;
        Ok(kept.and_then(StateStoreDataValue::into_sync_token))
    }

    fn set_here(&self, here: Option<String>) {
        *self.here.lock().unwrap_or_else(PoisonError::into_inner) = here;
    }

    /// Every room may lack what happened after `since`.
    fn behind(&self, since: String, here: String) -> Batch {
        let rooms = self
            .sdk
            .joined_rooms()
            .iter()
            .map(|room| RoomBatch {
                room: room.room_id().to_string(),
                events: Vec::new(),
                limited: true,
                prev_batch: None,
            })
            .collect();
        Batch {
            since: Some(since),
            next_batch: here,
            rooms,
            left: Vec::new(),
            invited: Vec::new(),
            keys: RoomKeys::Any,
            messages: Vec::new(),
        }
    }
}

impl Batch {
    fn of(since: Option<String>, response: &SyncResponse, keys: RoomKeys) -> Self {
        let rooms = response
            .rooms
            .joined
            .iter()
            .filter(|(_, update)| update.timeline.limited || !update.timeline.events.is_empty())
            .map(|(room, update)| RoomBatch {
                room: room.to_string(),
                events: RoomEvent::all(&update.timeline.events),
                limited: update.timeline.limited,
                prev_batch: update.timeline.prev_batch.clone(),
            })
            .collect();
        Self {
            since,
            next_batch: response.next_batch.clone(),
            rooms,
            left: response.rooms.left.keys().map(ToString::to_string).collect(),
            invited: response.rooms.invited.keys().map(ToString::to_string).collect(),
            keys,
            messages: device::messages(response),
        }
    }
}

/// As many events as a homeserver gives at a time; of members only those who speak; nothing that is no message.
fn filter() -> FilterDefinition {
    let mut filter = FilterDefinition::default();
    filter.presence = matrix_sdk::ruma::api::client::filter::Filter::ignore_all();
    filter.room.ephemeral = RoomEventFilter::ignore_all();
    filter.room.timeline.limit = Some(uint!(100));
    filter.room.state.lazy_load_options = LazyLoadOptions::Enabled { include_redundant_members: false };
    filter
}
