//! Who counts at each place of a room's timeline: what its owners have said until there.
//!
//! Owns the folds of their statements, and of who keeps the room's groups, while a room is read from its beginning. What follows from the other events is
//! `federation::recovery`'s matter.

use std::collections::BTreeSet;

use super::whole::Whole;
use crate::account::Opened;
use crate::node::Node;
use cis_core::federation::envelope::{Carrier, verify};
use cis_core::federation::keepers::{self, Keepers};
use cis_core::federation::membership::{self, Membership};
use cis_core::federation::protocol::groups::Term;
use cis_core::federation::recovery::Recovery;
use cis_core::identity::{Right, Standing};
use cis_core::ids::NodeDid;
use cis_matrix::{MatrixError, RoomEvent, StateEvent};

/// Statements of owners that were sent so much after the first event that can be read, by other clocks, may be from before it. ms.
const CLOCKS_MS: i64 = 10 * 60 * 1000;

/// See the module.
pub(super) struct Timeline {
    room: String,
    /// Where this node knows the owners of the room.
    membership: Option<Membership>,
    keepers: Keepers,
    /// What owners said before the first event that can be read, in order.
    before: Vec<StateEvent>,
}

impl Timeline {
    /// Before the first event that can be read. Owners may have said something before it: a homeserver that joined the room later than
    /// others has not its whole timeline, but its whole state.
    pub(super) async fn open(
        node: &Node,
        opened: &Opened,
        room: &str,
        whole: &Whole<'_>,
    ) -> Result<Self, MatrixError> {
        let membership = node.members.pinned(room).map(|owners| Membership::new(room, owners));
        let (keepers, before) = (Keepers::default(), Vec::new());
        let mut timeline = Self { room: room.to_owned(), membership, keepers, before };
        if timeline.membership.is_none() {
            return Ok(timeline);
        }
        let first = whole.first.as_ref().filter(|first| first.kind != "m.room.create");
        let Some(first) = first else { return Ok(timeline) };
        let mut statements = opened.client.state(room, membership::TYPE).await?;
        // Clocks of homeservers differ; what stands in the timeline as well counts once.
        statements.retain(|statement| statement.sent_ms < first.sent_ms + CLOCKS_MS);
        statements.sort_by_key(|statement| statement.state_key.parse::<u64>().unwrap_or(u64::MAX));
        for statement in &statements {
            timeline.take_statement(&statement.sender, statement.content.get());
        }
        timeline.before = statements;
        Ok(timeline)
    }

    /// Reads events in the order of the timeline: what owners say decides about what comes after it.
    ///
    /// # Errors
    /// A file that an event names cannot be fetched now.
    pub(super) async fn read_into(
        &mut self,
        node: &Node,
        whole: &Whole<'_>,
        recovery: &mut Recovery,
        events: &[RoomEvent],
    ) -> Result<(), MatrixError> {
        for event in events {
            if self.take(event) {
                recovery.set_coordinators(self.coordinators());
            } else {
                whole.read_into(recovery, event, |did| self.standing(node, did)).await?;
            }
        }
        Ok(())
    }

    /// Takes the next event. Gives whether it is about the room's nodes, and not about runs.
    pub(super) fn take(&mut self, event: &RoomEvent) -> bool {
        match event.kind.as_str() {
            membership::TYPE => self.take_statement(&event.sender, event.content.get()),
            keepers::TYPE => self.take_keeper(&event.sender, event.content.get()),
            _ => return false,
        }
        true
    }

    /// A coordinator says that it keeps the groups of the room.
    fn take_keeper(&mut self, sender: &str, content: &str) {
        let (Some(membership), Ok(content)) = (&self.membership, serde_json::from_str(content)) else {
            return;
        };
        let carrier = Carrier { room: &self.room, type_name: keepers::TYPE, sender: Some(sender) };
        // Whether its signer may coordinate is asked here.
        let Ok(envelope) = verify(&content, carrier, |_| Standing::Trusted) else { return };
        let Some(term) = keepers::read(&envelope) else { return };
        let is_voter = membership.may(&term.keeper, Right::Coordinate);
        if !self.keepers.take(term, is_voter) {
            tracing::debug!(room = self.room, sender, "the beginning of a keeper's term does not count");
        }
    }

    /// The newest term of a keeper of the room's groups.
    pub(super) fn keeper(&self) -> Option<&Term> {
        self.keepers.newest()
    }

    fn take_statement(&mut self, sender: &str, content: &str) {
        let (Some(membership), Ok(content)) = (&mut self.membership, serde_json::from_str(content)) else {
            return;
        };
        let carrier = Carrier { room: &self.room, type_name: membership::TYPE, sender: Some(sender) };
        // Whether its signer owns the room is asked there.
        let taken = verify(&content, carrier, |_| Standing::Trusted)
            .map_err(|refused| refused.to_string())
            .and_then(|envelope| membership.take(&envelope).map_err(|refused| refused.to_string()));
        if let Err(why) = taken {
            tracing::debug!(room = self.room, sender, why, "what is said of the room's nodes does not count");
        }
    }

    /// What owners said before the first event that can be read, in order.
    pub(super) fn before(&self) -> &[StateEvent] {
        &self.before
    }

    /// What owners have said so far.
    pub(super) fn membership(&self) -> Option<&Membership> {
        self.membership.as_ref()
    }

    /// Who may take runs over now.
    pub(super) fn coordinators(&self) -> BTreeSet<NodeDid> {
        self.membership.iter().flat_map(Membership::voters).collect()
    }

    /// Owners revoked a key: what is read again from an earlier place would be judged by what they said later.
    pub(super) fn has_revoked(&self) -> bool {
        self.membership.as_ref().is_some_and(|membership| membership.revoked().next().is_some())
    }

    /// What is thought of a key here. Members are known from the room's beginning on, revoked keys until they are revoked.
    pub(super) fn standing(&self, node: &Node, did: &NodeDid) -> Standing {
        let is_revoked = self.membership.as_ref().is_some_and(|membership| membership.is_revoked(did));
        node.members.standing_if(&self.room, did, is_revoked)
    }
}
