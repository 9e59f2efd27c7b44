//! What was said earlier: paging through a room, and along relations.

use matrix_sdk::room::{IncludeRelations, MessagesOptions, RelationsOptions};
use matrix_sdk::ruma::api::Direction;
use matrix_sdk::ruma::events::relation::RelationType;
use matrix_sdk::ruma::{UInt, uint};

use crate::send::event_id;
use crate::{Answer, Client, MatrixError, RoomEvent, answer};

/// Events of a room that stand together.
#[derive(Debug, Clone)]
pub struct Page {
    /// In the order in which they were asked for.
    pub events: Vec<RoomEvent>,
    /// Where the next page begins; none: there is no more, for now.
    pub next: Option<String>,
}

/// Where a room begins.
#[derive(Debug, Clone)]
pub struct Beginning {
    /// The first event that the homeserver gives.
    pub first: RoomEvent,
    /// The place before it; none: the homeserver does not say it. From there on [`Client::forward`] gives all events by their place in the
    /// room. From no place on, Synapse leaves out what it fetched from other homeservers later.
    pub place: Option<String>,
}

/// Which relations of an event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Related {
    /// Only those of this kind (`m.thread`, `m.reference`, …).
    pub relation: Option<String>,
    /// Continues: the `next` of the page before.
    pub from: Option<String>,
    /// At most so many.
    pub limit: u32,
}

impl Client {
    /// Events after the place `from` (none: from the room's first on), oldest first: the token of a sync or of a page
    /// before. Where nothing is missing any more, the page is empty and has no next.
    #[must_use]
    pub fn forward(&self, room: &str, from: Option<&str>, limit: u32) -> Answer<Page> {
        let mut options = MessagesOptions::forward();
        options.from = from.map(str::to_owned);
        options.limit = UInt::from(limit);
        self.page(room, options)
    }

    /// Where a room begins, as far as its homeserver has it; none: it has no event of it.
    #[must_use]
    pub fn beginning(&self, room: &str) -> Answer<Option<Beginning>> {
        let page = self.forward(room, None, 1);
        let room = self.any_room(room);
        answer(async move {
            let Some(first) = page.await?.events.into_iter().next() else { return Ok(None) };
            let around = room?.event_with_context(&event_id(&first.id)?, true, uint!(0), None).await;
            let place = match around.map_err(MatrixError::from) {
                Ok(around) => around.prev_batch_token,
                // Not every homeserver may say what is around an event.
                Err(MatrixError::Forbidden { .. } | MatrixError::NotFound { .. }) => None,
                Err(error) => return Err(error),
            };
            Ok(Some(Beginning { first, place }))
        })
    }

    /// Events before the place `from` (none: from the newest on), newest first.
    #[must_use]
    pub fn backward(&self, room: &str, from: Option<&str>, limit: u32) -> Answer<Page> {
        let mut options = MessagesOptions::backward();
        options.from = from.map(str::to_owned);
        options.limit = UInt::from(limit);
        self.page(room, options)
    }

    fn page(&self, room: &str, options: MessagesOptions) -> Answer<Page> {
        let (room, from) = (self.any_room(room), options.from.clone());
        answer(async move {
            let found = room?.messages(options).await?;
            // A page without events is not the end where it leads further: what stands there is not for us. A place
            // that is the same again is the end.
            let next = found.end.filter(|end| !found.chunk.is_empty() || Some(end) != from.as_ref());
            Ok(Page { events: RoomEvent::all(&found.chunk), next })
        })
    }

    /// The place right behind an event, for [`Client::forward`].
    #[must_use]
    pub fn place_after(&self, room: &str, event: &str) -> Answer<Option<String>> {
        let (room, event) = (self.any_room(room), event_id(event));
        answer(async move {
            let event = event?;
            let around = room?.event_with_context(&event, false, uint!(0), None).await;
            let around =
                around.map_err(|error| MatrixError::from(error).naming(&format!("the event {event}")))?;
            Ok(around.next_batch_token)
        })
    }

    /// One event. Encrypted ones whose keys came late are read now.
    #[must_use]
    pub fn event(&self, room: &str, event: &str) -> Answer<Option<RoomEvent>> {
        let (room, event) = (self.any_room(room), event_id(event));
        answer(async move {
            let event = event?;
            let found = room?.event(&event, None).await;
            let found =
                found.map_err(|error| MatrixError::from(error).naming(&format!("the event {event}")))?;
            Ok(RoomEvent::of(&found))
        })
    }

    /// Events that relate to one, oldest first.
    #[must_use]
    pub fn related(&self, room: &str, event: &str, which: Related) -> Answer<Page> {
        let (room, event) = (self.any_room(room), event_id(event));
        answer(async move {
            let options = RelationsOptions {
                from: which.from,
                dir: Direction::Forward,
                limit: Some(UInt::from(which.limit)),
                include_relations: match which.relation {
                    Some(kind) => IncludeRelations::RelationsOfType(RelationType::from(kind)),
                    None => IncludeRelations::AllRelations,
                },
                recurse: false,
            };
            let found = room?.relations(event?, options).await?;
            Ok(Page { events: RoomEvent::all(&found.chunk), next: found.next_batch_token })
        })
    }
}
