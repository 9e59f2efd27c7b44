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
use cis_core::federation::membership::{self, Chain, Membership, SignedStatement, Statement};
use cis_core::federation::protocol::groups::Term;
use cis_core::federation::recovery::Recovery;
use cis_core::identity::{Right, Standing};
use cis_core::ids::NodeDid;
use cis_matrix::{MatrixError, RoomEvent, StateEvent};
use serde_json::Value;

/// Statements of owners that were sent so much after the first event that can be read, by other clocks, may be from before it. ms.
const CLOCKS_MS: i64 = 10 * 60 * 1000;

/// So many missing statements are named.
const NAMED_MAX: usize = 5;

/// See the module.
pub(super) struct Timeline {
    room: String,
    /// Where this node knows the owners of the room: what they said.
    chain: Option<Chain>,
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
        let owners = node.members.pinned(room);
        let chain = owners.map(|owners| Chain::new(room, owners, &node.members.statements(room)));
        let (keepers, before) = (Keepers::default(), Vec::new());
        let mut timeline = Self { room: room.to_owned(), chain, keepers, before };
        if timeline.chain.is_none() {
            return Ok(timeline);
        }
        let first = whole.first.as_ref().filter(|first| first.kind != "m.room.create");
        let Some(first) = first else { return Ok(timeline) };
        let mut statements = opened.client.state(room, membership::TYPE).await?;
        // Clocks of homeservers differ; what stands in the timeline as well counts once.
        statements.retain(|statement| statement.sent_ms < first.sent_ms + CLOCKS_MS);
        statements.sort_by_key(|statement| statement.state_key.parse::<u64>().unwrap_or(u64::MAX));
        for statement in &statements {
            timeline.take_statement(None, &statement.sender, statement.content.get());
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
            membership::TYPE => {
                self.take_statement(Some(event.id.clone()), &event.sender, event.content.get());
            }
            keepers::TYPE => self.take_keeper(&event.sender, event.content.get()),
            _ => return false,
        }
        true
    }

    /// A coordinator says that it keeps the groups of the room.
    fn take_keeper(&mut self, sender: &str, content: &str) {
        let (Some(membership), Ok(content)) = (self.membership(), serde_json::from_str(content)) else {
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

    fn take_statement(&mut self, event: Option<String>, sender: &str, content: &str) {
        let (Some(chain), Ok(content)) = (&mut self.chain, serde_json::from_str(content)) else { return };
        let said = SignedStatement { event, sender: sender.to_owned(), content };
        if let Err(why) = chain.take(said) {
            tracing::debug!(room = self.room, sender, why, "what is said of the room's nodes does not count");
        }
    }

    /// The room was read to its end: what owners said before, and what it does not show, counts as well. Gives whether that changed
    /// who may do what.
    pub(super) fn complete(&mut self) -> bool {
        self.chain.as_mut().is_some_and(Chain::complete)
    }

    /// What the room does not show of what its owners said, in words.
    pub(super) fn troubles(&self) -> Vec<String> {
        let Some(chain) = &self.chain else { return Vec::new() };
        let (room, missing, mut troubles) = (&self.room, chain.missing(), Vec::new());
        if !missing.is_empty() {
            let named = missing.iter().take(NAMED_MAX);
            let mut named: Vec<String> = named.map(|(n, said)| format!("{n} ({})", about(said))).collect();
            if missing.len() > NAMED_MAX {
                named.push(format!("{} more", missing.len() - NAMED_MAX));
            }
            troubles.push(format!(
                "statements of the owners of room {room} are missing in the room: {}. Somebody redacted them, or the homeserver leaves \
                 them out. They still count on this node, but not on nodes that have never read them",
                named.join(", ")
            ));
        }
        if chain.is_split() {
            troubles.push(format!(
                "the owners of room {room} signed different statements with the same number. This node ignores the newer ones, because \
                 they do not contain a revocation that it knows: revoke the key again with `cis identity revoke DID --room {room}` on \
                 the node of an owner"
            ));
        }
        troubles
    }

    /// What counts of what owners said, to be kept.
    pub(super) fn counted(&self) -> &[SignedStatement] {
        self.chain.as_ref().map(Chain::counted).unwrap_or_default()
    }

    /// What owners said before the first event that can be read, in order.
    pub(super) fn before(&self) -> &[StateEvent] {
        &self.before
    }

    /// What owners have said so far.
    pub(super) fn membership(&self) -> Option<&Membership> {
        self.chain.as_ref().map(Chain::membership)
    }

    /// Who may take runs over now.
    pub(super) fn coordinators(&self) -> BTreeSet<NodeDid> {
        self.membership().into_iter().flat_map(Membership::voters).collect()
    }

    /// Owners revoked a key: what is read again from an earlier place would be judged by what they said later.
    pub(super) fn has_revoked(&self) -> bool {
        self.membership().is_some_and(|membership| membership.revoked().next().is_some())
    }

    /// What is thought of a key here. Members are known from the room's beginning on, revoked keys until they are revoked.
    pub(super) fn standing(&self, node: &Node, did: &NodeDid) -> Standing {
        let is_revoked = self.membership().is_some_and(|membership| membership.is_revoked(did));
        node.members.standing_if(&self.room, did, is_revoked)
    }
}

impl Node {
    /// The key of another node that signed a statement about the nodes of a room; none: nobody else did, as far as the room shows. Keys
    /// that are revoked here are passed by.
    pub(crate) async fn other_owner(
        &self,
        opened: &Opened,
        room: &str,
    ) -> Result<Option<NodeDid>, MatrixError> {
        let other = |sender: &str, content: &str| {
            let content: Value = serde_json::from_str(content).ok()?;
            let carrier = Carrier { room, type_name: membership::TYPE, sender: Some(sender) };
            let envelope = verify(&content, carrier, |_| Standing::Trusted).ok()?;
            let known = self.identity.standing(envelope.did());
            (!matches!(known, Standing::Own | Standing::Revoked)).then(|| envelope.did().clone())
        };
        let mut whole = Whole::begin(opened, room).await?;
        while let Some(events) = whole.next().await? {
            let mut statements = events.iter().filter(|event| event.kind == membership::TYPE);
            let found = statements.find_map(|event| other(&event.sender, event.content.get()));
            if found.is_some() {
                return Ok(found);
            }
        }
        // Older ones than what can be read. What the account knows of a room that it just joined may be from before that.
        opened.feed.refresh().await?;
        let statements = opened.client.state(room, membership::TYPE).await?;
        Ok(statements.iter().find_map(|statement| other(&statement.sender, statement.content.get())))
    }
}

/// What a statement is about, in words.
fn about(statement: &Statement) -> String {
    match statement {
        Statement::Owners(_) => "owners".to_owned(),
        Statement::Admit { did, .. } => format!("rights of {did}"),
        Statement::Revoke { did } => format!("revocation of {did}"),
        Statement::Group { name, .. } => format!("group `{name}`"),
        Statement::Unknown(_) => "of a later version".to_owned(),
    }
}
