//! One room that is read: where reading it goes on, and how it catches up.

use std::collections::VecDeque;

use cis_matrix::{MatrixError, RoomEvent, RoomKeys};

use super::super::tell::what;
use super::{Listener, Stop};
use crate::account::Opened;
use crate::node::Node;
use cis_core::api::{RoomWrite, SealedEvent};
use cis_core::room::freshness::Gate;
use cis_core::room::{RoomId, UserId};
use cis_local::now_ms;

/// Events that are asked for at a time.
const PAGE: u32 = 100;

/// More pages are not read at once: who was away for so long hears what is said from now on.
const PAGES_MAX: usize = 200;

/// So many events that cannot be decrypted are looked at again, each so often where it is not known which keys came.
const SEALED_MAX: usize = 100;
const SEALED_LOOKS: u32 = 10;

/// An event that this device had no key for.
pub(super) struct Sealed {
    event: SealedEvent,
    /// How often it was looked at although its key is not known to have come.
    looks: u32,
}

/// A room that is read.
pub(super) struct Listened {
    pub(super) room: RoomId,
    pub(super) gate: Gate,
    /// What is behind it was not read.
    pub(super) place: String,
    /// Events that were read since the place was kept.
    pub(super) unkept: usize,
    /// Events that this device had no key for.
    pub(super) sealed: VecDeque<Sealed>,
    /// The store has others of them.
    is_sealed_unkept: bool,
}

impl Listened {
    /// An event cannot be decrypted yet. Nobody's push out those of others.
    pub(super) fn keep_sealed(&mut self, event: &RoomEvent) {
        let Some(session) = event.sealed_session() else { return };
        if self.sealed.iter().any(|known| known.event.event == event.id) {
            return;
        }
        let (id, sender) = (event.id.clone(), event.sender.clone());
        let event = SealedEvent { event: id, sender, session, sent_ms: event.sent_ms };
        self.sealed.push_back(Sealed { event, looks: 0 });
        self.is_sealed_unkept = true;
        if self.sealed.len() > SEALED_MAX {
            let of = |sender: &str| self.sealed.iter().filter(|known| known.event.sender == sender).count();
            let most = self.sealed.iter().map(|known| of(&known.event.sender)).max().unwrap_or(0);
            let oldest = self.sealed.iter().position(|known| of(&known.event.sender) == most);
            oldest.and_then(|at| self.sealed.remove(at));
        }
    }

    /// Forgets an event that was decrypted, or that the homeserver does not have.
    fn forget_sealed(&mut self, id: &str) {
        let known = self.sealed.len();
        self.sealed.retain(|sealed| sealed.event.event != id);
        self.is_sealed_unkept |= self.sealed.len() < known;
    }
}

/// How old, ms, an event may be that still does something.
fn age_max_ms(node: &Node) -> i64 {
    let settings = &node.config.settings.matrix;
    i64::try_from(settings.command_age_ms.max(settings.answer_age_ms)).unwrap_or(i64::MAX)
}

impl Listener {
    /// What makes it durable that a room was read up to a place: what cannot be decrypted yet is not read again from there on.
    pub(super) fn read_up_to(&self, room: &str, place: &str) -> Vec<RoomWrite> {
        let mut writes = vec![RoomWrite::Read { room: room.to_owned(), token: place.to_owned() }];
        if let Some(listened) = self.rooms.get(room).filter(|listened| listened.is_sealed_unkept) {
            writes.push(RoomWrite::Sealed {
                room: room.to_owned(),
                events: listened.sealed.iter().map(|sealed| sealed.event.clone()).collect(),
                since_ms: now_ms().saturating_sub(age_max_ms(&self.node)),
            });
        }
        writes
    }

    /// What [`Self::read_up_to`] gave is durable.
    pub(super) fn is_read(&mut self, room: &str) {
        if let Some(listened) = self.rooms.get_mut(room) {
            (listened.unkept, listened.is_sealed_unkept) = (0, false);
        }
    }

    /// Begins to read a room: where that ended before, or behind the first that we said there, or now.
    pub(super) async fn enter(&mut self, opened: &Opened, room: &str) -> Result<(), Stop> {
        let (Ok(id), Ok(own)) = (room.parse::<RoomId>(), opened.session.user.parse::<UserId>()) else {
            return Ok(());
        };
        let name = room.to_owned();
        let since = now_ms().saturating_sub(age_max_ms(&self.node));
        let (state, first, sealed) = self
            .node
            .read(move |reader| {
                let sealed = reader.sealed_events(&name, since)?;
                Ok((reader.room_state(&name)?, reader.first_message(&name, what::CARD)?, sealed))
            })
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
        let sealed = sealed.into_iter().map(|event| Sealed { event, looks: 0 }).collect();
        let listened = Listened { room: id, gate, place, unkept: 0, sealed, is_sealed_unkept: false };
        self.rooms.insert(room.to_owned(), listened);
        Ok(())
    }

    /// Reads a room from its place on, up to now. What is wrong with it is that room's alone.
    pub(super) async fn catch_up(&mut self, opened: &Opened, room: &str) -> Result<(), Stop> {
        match self.page(opened, room).await {
            Ok(()) => Ok(()),
            // A place that the homeserver does not know (it was restored, or is another one) is given up.
            Err(Stop::Matrix(
                MatrixError::BadInput { detail } | MatrixError::Other { status: Some(400), detail },
            )) => {
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

    /// Looks again at what could not be decrypted, and may be readable with these keys.
    pub(super) async fn open_sealed(&mut self, opened: &Opened, keys: &RoomKeys) -> Result<(), Stop> {
        let is_any = *keys == RoomKeys::Any;
        let mut due = Vec::new();
        for (room, listened) in &self.rooms {
            for sealed in &listened.sealed {
                if is_any && sealed.looks < SEALED_LOOKS || keys.contains(room, &sealed.event.session) {
                    due.push((room.clone(), sealed.event.event.clone()));
                }
            }
        }
        for (room, event) in due {
            if let Err(stop) = self.look_again(opened, &room, &event).await {
                self.passes_by(&room, stop)?;
            }
            if is_any && let Some(listened) = self.rooms.get_mut(&room) {
                let known = listened.sealed.iter_mut().find(|sealed| sealed.event.event == event);
                known.into_iter().for_each(|sealed| sealed.looks += 1);
            }
        }
        Ok(())
    }

    async fn look_again(&mut self, opened: &Opened, room: &str, id: &str) -> Result<(), Stop> {
        let found = match opened.client.event(room, id).await {
            Err(MatrixError::NotFound { .. }) => None,
            found => found?,
        };
        // What still cannot be read is kept for the next time.
        if let Some(event) = &found {
            self.hear_all(opened, room, std::slice::from_ref(event), None).await?;
        }
        if found.is_none_or(|event| !event.is_sealed())
            && let Some(listened) = self.rooms.get_mut(room)
        {
            listened.forget_sealed(id);
        }
        Ok(())
    }

    async fn begin_now(&mut self, opened: &Opened, room: &str) -> Result<(), Stop> {
        let place = opened.feed.place().await?;
        self.keep(self.read_up_to(room, &place)).await?;
        self.is_read(room);
        if let Some(listened) = self.rooms.get_mut(room) {
            listened.place = place;
        }
        Ok(())
    }
}
