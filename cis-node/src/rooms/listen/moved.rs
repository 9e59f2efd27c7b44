//! Rooms that were replaced by others (upgraded, as Matrix calls it): their open runs are followed where people went.
//!
//! Whoever may do that names the new room. It must say of itself that it took the other one's place, and be encrypted
//! where that one is: one word in a room does not lead what is told there to somewhere else.

use cis_matrix::RoomName;

use super::{Listener, Stop};
use crate::account::Opened;
use crate::commands::Command;
use crate::own_room::{self, OwnRoom};
use cis_local::now_ms;

/// A room that was replaced.
pub(super) struct Replaced {
    /// By which.
    by: String,
    /// Why its runs are not followed there; none: they are.
    why: Option<String>,
}

impl Listener {
    /// Takes the open runs of a room, where it was replaced, to the one that took its place.
    pub(super) async fn follow_on(&mut self, opened: &Opened, old: &str) -> Result<(), Stop> {
        let Some(new) = opened.client.successor(old).await? else { return Ok(()) };
        let open = self.node.read(move |reader| reader.rooms_of_runs(now_ms())).await?;
        let is_own = self.own_room(opened).await.as_deref() == Some(old);
        let by = new.as_str().to_owned();
        let why = if open.contains(old) || is_own {
            self.why_not(opened, old, new).await?
        } else {
            // Nothing is to be taken there.
            None
        };
        if why.is_none() {
            tracing::info!(old, new = by, "a room was replaced: its runs are followed in the new one");
            if is_own {
                self.keep_own_room(opened, &by).await;
            }
            let (old, new) = (old.to_owned(), by.clone());
            self.node.driver.ask(|reply| Command::RoomReplaced { old, new, reply }).await?;
        }
        self.replaced.insert(old.to_owned(), Replaced { by, why });
        Ok(())
    }

    /// Joins the room that took another one's place. Gives why nothing is followed there; none: it can be.
    async fn why_not(&self, opened: &Opened, old: &str, new: RoomName) -> Result<Option<String>, Stop> {
        let id = new.as_str().to_owned();
        let client = &opened.client;
        match client.join(new).await {
            Ok(_) => {}
            Err(error) => {
                let error = Stop::Matrix(error).of_one_room()?;
                let user = &opened.session.user;
                return Ok(Some(format!("{error}; invite {user} there, and it joins")));
            }
        }
        // What a room says of itself comes with the next news of it.
        let Some(succeeds) = client.succeeds(&id, old).await? else {
            return Ok(Some("it was joined just now".to_owned()));
        };
        let by_hand = "`cis dag mode RUN hybrid --room ROOM` takes a run there all the same";
        Ok(if !succeeds {
            Some(format!("it does not say that it took that one's place; {by_hand}"))
        } else if client.is_encrypted(old).await? && !client.is_encrypted(&id).await? {
            Some(format!("it is not encrypted, as that one is; {by_hand}"))
        } else {
            None
        })
    }

    /// Whether news of this room, or an invitation to it, may change where runs are followed.
    pub(super) async fn leads_on(&self, opened: &Opened, room: &str) -> Result<bool, Stop> {
        if self.replaced.values().any(|replaced| replaced.why.is_some() && replaced.by == room) {
            return Ok(true);
        }
        let is_new = self.rooms.contains_key(room) && !self.replaced.contains_key(room);
        Ok(is_new && opened.client.successor(room).await?.is_some())
    }

    /// Whether runs wait to be followed elsewhere.
    pub(super) fn awaits_rooms(&self) -> bool {
        self.replaced.values().any(|replaced| replaced.why.is_some())
    }

    /// As people are told.
    pub(super) fn awaited(&self) -> impl Iterator<Item = String> {
        self.replaced.iter().filter_map(|(old, Replaced { by, why })| {
            let why = why.as_ref()?;
            Some(format!("room {old} was upgraded to {by}, but its runs have not moved there yet: {why}"))
        })
    }

    /// The room that this node made for runs without one.
    async fn own_room(&self, opened: &Opened) -> Option<String> {
        let path = self.node.home.own_room();
        let own = tokio::task::spawn_blocking(move || own_room::load(&path)).await.ok()?.ok()??;
        (own.user == opened.session.user).then_some(own.room)
    }

    async fn keep_own_room(&self, opened: &Opened, room: &str) {
        let own = OwnRoom { user: opened.session.user.clone(), room: room.to_owned() };
        let path = self.node.home.own_room();
        let kept = tokio::task::spawn_blocking(move || own_room::keep(&path, &own)).await;
        if !matches!(kept, Ok(Ok(()))) {
            tracing::warn!(room, "that this is the node's own room now cannot be kept");
        }
    }
}
