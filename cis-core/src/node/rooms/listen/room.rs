//! One room that is read: where reading it goes on, and how it catches up.

use std::collections::VecDeque;

use cis_matrix::MatrixError;

use super::super::tell::what;
use super::{Listener, Stop};
use crate::api::RoomWrite;
use crate::matrix::Opened;
use crate::room::freshness::Gate;
use crate::room::{RoomId, UserId};

/// Events that are asked for at a time.
const PAGE: u32 = 100;

/// More pages are not read at once: who was away for so long hears what is said from now on.
const PAGES_MAX: usize = 200;

/// So many events that cannot be decrypted are looked at again.
const SEALED_MAX: usize = 100;

/// A room that is read.
pub(super) struct Listened {
    pub(super) room: RoomId,
    pub(super) gate: Gate,
    /// What is behind it was not read.
    pub(super) place: String,
    /// Events that were read since the place was kept.
    pub(super) unkept: usize,
    /// Events that this device had no key for.
    pub(super) sealed: VecDeque<String>,
}

impl Listened {
    /// An event cannot be decrypted yet.
    pub(super) fn keep_sealed(&mut self, event: String) {
        self.sealed.push_back(event);
        if self.sealed.len() > SEALED_MAX {
            self.sealed.pop_front();
        }
    }
}

impl Listener {
    /// Begins to read a room: where that ended before, or behind the first that we said there, or now.
    pub(super) async fn enter(&mut self, opened: &Opened, room: &str) -> Result<(), Stop> {
        let (Ok(id), Ok(own)) = (room.parse::<RoomId>(), opened.session.user.parse::<UserId>()) else {
            return Ok(());
        };
        let name = room.to_owned();
        let (state, first) = self
            .node
            .read(move |reader| Ok((reader.room_state(&name)?, reader.first_message(&name, what::CARD)?)))
            .await?;
        let place = match (state.token, first) {
            (Some(place), _) => place,
            (None, Some(event)) => match opened.client.place_after(room, &event).await {
                Ok(Some(place)) => place,
                Ok(None) | Err(MatrixError::NotFound { .. }) => opened.feed.place().await?,
                Err(error) => return Err(error.into()),
            },
            (None, None) => opened.feed.place().await?,
        };
        self.keep(vec![RoomWrite::Read { room: room.to_owned(), token: place.clone() }]).await?;
        // A change of name hides when: then the place alone says what was before.
        let joined_ms = opened.client.joined_ms(room).await?.unwrap_or(0);
        let settings = &self.node.config.settings.matrix;
        let ms = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        let gate = Gate::new(own, joined_ms).ages(ms(settings.command_age_ms), ms(settings.answer_age_ms));
        self.rooms
            .insert(room.to_owned(), Listened { room: id, gate, place, unkept: 0, sealed: VecDeque::new() });
        Ok(())
    }

    /// Reads a room from its place on, up to now. What is wrong with it is that room's alone.
    pub(super) async fn catch_up(&mut self, opened: &Opened, room: &str) -> Result<(), Stop> {
        match self.page(opened, room).await {
            Ok(()) => Ok(()),
            // A place that the homeserver does not know (it was restored, or is another one) is given up.
            Err(Stop::Matrix(MatrixError::BadInput { detail })) => {
                tracing::warn!(
                    room,
                    detail,
                    "the place up to which a room was read is unknown: it is read from now on"
                );
                self.begin_now(opened, room).await
            }
            Err(stop) => self.passes_by(room, stop),
        }
    }

    async fn page(&mut self, opened: &Opened, room: &str) -> Result<(), Stop> {
        for _ in 0..PAGES_MAX {
            let Some(listened) = self.rooms.get(room) else { return Ok(()) };
            let page = opened.client.forward(room, Some(&listened.place), PAGE).await?;
            let is_over = page.next.is_none();
            self.hear_all(opened, room, &page.events, page.next).await?;
            if is_over {
                return Ok(());
            }
        }
        tracing::warn!(room, "more was said in a room than is read at once: it is read from now on");
        self.begin_now(opened, room).await
    }

    /// Looks again at what could not be decrypted: its key may have come.
    pub(super) async fn open_sealed(&mut self, opened: &Opened, room: &str) -> Result<(), Stop> {
        let Some(listened) = self.rooms.get_mut(room) else { return Ok(()) };
        for id in std::mem::take(&mut listened.sealed) {
            match opened.client.event(room, &id).await {
                // What still cannot be is kept for the next time.
                Ok(Some(event)) => self.hear_all(opened, room, &[event], None).await?,
                Ok(None) | Err(MatrixError::NotFound { .. }) => {}
                Err(error) => {
                    if let Some(listened) = self.rooms.get_mut(room) {
                        listened.keep_sealed(id);
                    }
                    tracing::debug!(room, %error, "an encrypted event cannot be looked at again");
                }
            }
        }
        Ok(())
    }

    async fn begin_now(&mut self, opened: &Opened, room: &str) -> Result<(), Stop> {
        let token = opened.feed.place().await?;
        if let Some(listened) = self.rooms.get_mut(room) {
            listened.place.clone_from(&token);
        }
        Ok(self.keep(vec![RoomWrite::Read { room: room.to_owned(), token }]).await?)
    }
}
