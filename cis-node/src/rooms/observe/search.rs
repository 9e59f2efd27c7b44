//! Reads rooms backwards, so that homeservers fetch what they lack of them.
//!
//! When that is done is `backlog`'s matter.

use tokio::time::Instant;

use super::super::Stop;
use super::super::backlog::Gap;
use super::super::whole::Whole;
use super::{Observed, Observer};
use crate::account::Opened;
use crate::members::Members;

impl Observer {
    /// A batch of a room may have left events out.
    pub(super) fn left_out(&mut self, room: &str) {
        let newest = self.rooms.get(room).and_then(|observed| observed.newest.clone());
        self.backlogs.left_out(room, newest);
    }

    /// When the next room is to be read backwards.
    pub(super) fn next_search(&mut self) -> Option<Instant> {
        let members = &self.node.members;
        let due = self.rooms.iter_mut().filter_map(|(room, observed)| {
            self.backlogs.gaps(room, &observed.gaps(members, room));
            self.backlogs.due(room)
        });
        due.min()
    }

    /// Has homeservers fetch what they lack of rooms, and reads those where something came.
    pub(super) async fn search(&mut self, opened: &Opened) -> Result<(), Stop> {
        let now = Instant::now();
        let is_due = |room: &&String| self.backlogs.due(room).is_some_and(|due| due <= now);
        for room in self.rooms.keys().filter(is_due).cloned().collect::<Vec<_>>() {
            if let Err(stop) = self.search_in(opened, &room).await {
                self.passes_by(&room, stop)?;
            }
        }
        Ok(())
    }

    async fn search_in(&mut self, opened: &Opened, room: &str) -> Result<(), Stop> {
        let Some(observed) = self.rooms.get(room) else { return Ok(()) };
        let place = observed.place.clone();
        let until = self.backlogs.begin(room);
        let found = Whole::read_back(opened, (room, &place), until.as_deref()).await?;
        let is_new = self.backlogs.is_new(room, &found);
        tracing::info!(
            room,
            events = found.len(),
            is_new,
            "a room was read backwards, as events of it may be missing"
        );
        if is_new {
            // What was fetched stands before what was read: only the whole room tells it in its order.
            self.rooms.remove(room);
            self.enter(opened, room).await?;
        }
        let observed = self.rooms.get_mut(room);
        let gaps = observed.map(|observed| observed.gaps(&self.node.members, room)).unwrap_or_default();
        self.backlogs.end(room, found, gaps);
        Ok(())
    }
}

impl Observed {
    /// The parts that are missing of its journals.
    fn gaps(&mut self, members: &Members, room: &str) -> Vec<Gap> {
        self.recovery.gaps(|did| members.may_submit(room, did))
    }
}
