//! Replies to the card of a run. The card asks nothing, so they do nothing; their sender is told what would.

use super::act::Done;
use super::who::Speaker;
use super::{Listener, Stop};
use cis_core::ids::RunId;
use cis_core::room::reply;
use cis_store::InboxFilter;

/// So many people are remembered, for each run that they were told of.
const POINTED_MAX: usize = 1000;

impl Listener {
    /// Says once to somebody, for each run of their room, how its questions are answered.
    pub(super) async fn point_to_questions(&mut self, speaker: &Speaker, run: RunId) -> Result<Done, Stop> {
        // The card stays when the run moves to another room, where other people may see what waits.
        let follows = self.node.read(move |reader| reader.room_of_run(run)).await?;
        if follows.as_deref() != Some(speaker.room.as_str()) {
            return Ok(Done::AsSeen);
        }
        let told = (speaker.user.clone(), run);
        if self.pointed.contains(&told) {
            return Ok(Done::AsSeen);
        }
        if self.pointed.len() >= POINTED_MAX {
            self.pointed.clear();
        }
        self.pointed.insert(told);
        let of_run = InboxFilter { run: Some(run), session: None };
        let open = self.node.read(move |reader| reader.open_items(of_run)).await?;
        let items: Vec<_> = open.into_iter().map(|known| known.item).collect();
        Ok(Done::Not(reply::to_card(run, &items)))
    }
}
