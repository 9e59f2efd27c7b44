//! What a look at a whole room found.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::event::RunState;
use crate::ids::{NodeDid, RunId};

/// What was found in a room of what nodes wrote there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditReport {
    /// The room: `!…`.
    pub room_id: String,
    /// Its events, all that the homeserver gives.
    pub events: u64,
    /// Those of them that cannot be decrypted.
    pub unreadable: u64,
    /// Who wrote there.
    pub nodes: Vec<AuditedNode>,
    /// The runs that it tells of, oldest first.
    pub runs: Vec<AuditedRun>,
    /// Machine events that change nothing: forged, copied from elsewhere, of a key that is void. The first hundred.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<RefusedView>,
    /// How many there are of them.
    pub refused_count: u64,
}

/// A node that wrote in a room; its signatures are right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditedNode {
    /// Who it is.
    pub did: NodeDid,
    /// `own`, `trusted`, `replaced`, `revoked` or `unknown`: what this node thinks of it.
    pub standing: String,
    /// What it wrote counts here: it is this node, or was trusted.
    pub counts: bool,
    /// Its envelopes, each once.
    pub envelopes: u64,
    /// The same ones, sent again: they count once.
    pub copies: u64,
    /// Of its numbers so many are not there: what it sent with them was lost, or is kept back.
    pub missing: u64,
    /// Numbers that it gave twice: a copy of its store ran beside it, or was restored.
    pub doubled: u64,
}

/// A run that a room tells of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditedRun {
    /// Its id.
    pub run: RunId,
    /// `[dag] id`.
    pub dag: String,
    /// The node that coordinates it.
    pub node: NodeDid,
    /// That node counts here: it is this one, or was trusted.
    pub counts: bool,
    /// Entries of its journal.
    pub entries: u64,
    /// Its state, as far as the room tells; none: it cannot be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<RunState>,
    /// How this node's store stands to it; none: it does not know the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub here: Option<HereAs>,
    /// Why something of it is not there; empty: it is whole.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lacks: Vec<String>,
}

/// How what a store has of a run stands to what a room has of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HereAs {
    /// The same, byte for byte.
    Same,
    /// One of them knows more: the run goes on, or not all of it was sent yet.
    Ahead,
    /// They contradict each other.
    Differs,
}

/// A machine event that changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RefusedView {
    /// `$…`.
    pub event: String,
    /// The account that sent it.
    pub sender: String,
    /// What is wrong with it.
    pub why: String,
}

impl AuditReport {
    /// Whether all is there that nodes wrote which count here, and agrees with what is known here. Anybody can write there as
    /// a node that nobody knows: that is shown, and decides nothing.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let mut nodes = self.nodes.iter().filter(|node| node.counts);
        let mut runs = self.runs.iter().filter(|run| run.counts);
        nodes.all(|node| node.missing == 0 && node.doubled == 0)
            && runs.all(|run| run.lacks.is_empty() && run.here != Some(HereAs::Differs))
    }
}
