//! The nodes of a room that share tasks: invitations, members, and how they are.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::identity::Right;
use crate::ids::{NodeDid, RunId, TaskId};

/// Other nodes are to be invited to a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InviteNodes {
    /// The room: an id, an alias, or a link to it.
    pub room: String,
}

/// What other nodes join a room with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InvitationView {
    /// The room.
    pub room_id: String,
    /// The join code. It holds no secret.
    pub code: String,
    /// The keys that own the room.
    pub owners: Vec<NodeDid>,
}

/// A node is to join a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JoinNodes {
    /// The join code.
    pub code: String,
}

/// A node joined a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JoinedView {
    /// The room.
    pub room_id: String,
    /// The keys that own it.
    pub owners: Vec<NodeDid>,
    /// The node that joined.
    pub did: NodeDid,
}

/// An owner lets a node do something in a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AdmitNode {
    /// The room: an id, an alias, or a link to it.
    pub room: String,
    /// Which node.
    pub did: NodeDid,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it may do from now on.
    pub may: BTreeSet<Right>,
    /// It gets only tasks that ask for some of these tags; empty: all.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tags: BTreeSet<String>,
}

/// An owner revokes the key of a node in a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RevokeNode {
    /// The room: an id, an alias, or a link to it.
    pub room: String,
    /// Which key.
    pub did: NodeDid,
}

/// The node takes new tasks of others, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DrainNode {
    /// It takes none.
    pub draining: bool,
}

/// Query of the listing of nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListNodes {
    /// Only those of this room, by its id.
    pub room: Option<String>,
}

/// How a node of a room is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RoomNodeState {
    /// It is this node.
    Here,
    /// It was heard a moment ago.
    Online,
    /// It takes nothing new.
    Draining,
    /// It starts nothing.
    Paused,
    /// It was heard, and is not any more.
    Silent,
    /// It may do something in the room, and has said nothing to this node.
    Unheard,
    /// Nobody let it do anything yet.
    Pending,
    /// An owner of the room revoked its key.
    Revoked,
    /// A state that newer versions know.
    #[serde(other)]
    Other,
}

impl RoomNodeState {
    /// The state as people read it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Here => "here",
            Self::Online => "online",
            Self::Draining => "draining",
            Self::Paused => "paused",
            Self::Silent => "silent",
            Self::Unheard => "unheard",
            Self::Pending => "pending",
            Self::Revoked => "revoked",
            Self::Other => "?",
        }
    }
}

/// A node of a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RoomNodeView {
    /// The room.
    pub room_id: String,
    /// Who it is.
    pub did: NodeDid,
    /// What it calls itself; empty: it does not say.
    pub name: String,
    /// How it is.
    pub state: RoomNodeState,
    /// It said that it stops, and was not heard since. After a minute it is silent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stopped: bool,
    /// What it may do.
    pub may: BTreeSet<Right>,
    /// Version of its program; empty: it does not say.
    pub version: String,
    /// Its account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// It is an owner of the room: it can say what other nodes may do there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub owner: bool,
    /// The name that an owner of the room gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given_name: Option<String>,
    /// The owners of the room let it have only tasks that ask for some of these tags; empty: all.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub only_tags: BTreeSet<String>,
    /// What it is good for.
    pub tags: BTreeSet<String>,
    /// Agents whose programs are installed there.
    pub agents: BTreeSet<String>,
    /// Sessions that it runs at a time; 0: it executes nothing.
    pub slots: u32,
    /// Sessions that it has now.
    pub sessions: u32,
    /// Runnable processes per processor over the last minute, in thousandths.
    pub load_permille: u32,
    /// Tasks at work there, of the room's runs that this node coordinates or reads.
    pub tasks: Vec<RoomTaskView>,
    /// So long ago it was heard, ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard_ms_ago: Option<u64>,
}

impl RoomNodeView {
    /// Its load as people read it, with one decimal place: more would change all the time.
    #[must_use]
    pub fn load(&self) -> String {
        format!("{}.{}", self.load_permille / 1000, self.load_permille % 1000 / 100)
    }

    /// A node of which nothing else is known.
    #[must_use]
    pub fn new(room: &str, did: NodeDid, state: RoomNodeState) -> Self {
        Self {
            room_id: room.to_owned(),
            did,
            name: String::new(),
            state,
            stopped: false,
            may: BTreeSet::new(),
            version: String::new(),
            user_id: None,
            owner: false,
            given_name: None,
            only_tags: BTreeSet::new(),
            tags: BTreeSet::new(),
            agents: BTreeSet::new(),
            slots: 0,
            sessions: 0,
            load_permille: 0,
            tasks: Vec::new(),
            heard_ms_ago: None,
        }
    }
}

/// A task at work on a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RoomTaskView {
    /// Its run.
    pub run: RunId,
    /// It.
    pub task: TaskId,
}
