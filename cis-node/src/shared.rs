//! What the driver shares with other threads of the node.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize};
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::held_asks::HeldAsks;
use crate::leaders::Leaders;
use cis_core::event::Actor;
use cis_core::ids::{InputId, NodeDid};

/// Nodes of one room that are known by what they say of themselves.
const ANNOUNCED_MAX: usize = 1000;
/// Answers that were forwarded and are not confirmed: more are confirmed without their names.
const FORWARDED_MAX: usize = 1000;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Pid of the session host; 0: none.
    pub(crate) host_pid: AtomicU32,
    /// First processes of its sessions.
    pub(crate) leaders: Leaders,
    /// The home in which the node restarts after its end, if it does.
    pub(crate) restart: OnceLock<PathBuf>,
    /// Whether the node ends because there was nothing to do. The next command starts another one.
    pub(crate) is_idle: AtomicBool,
    /// Open streams: somebody is looking.
    pub(crate) viewers: AtomicUsize,
    /// Whether the driver has ended. A stream keeps its receiver until it has ended too, and the link to other nodes until its last messages
    /// are sent.
    pub(crate) ended: tokio::sync::watch::Sender<bool>,
    /// What sessions ask that work on tasks of other nodes.
    pub(crate) held_asks: HeldAsks,
    /// Who gave answers that were forwarded to other nodes.
    pub(crate) forwarded: Forwarded,
    /// Held by whoever makes the node's own room.
    pub(crate) own_room: tokio::sync::Mutex<()>,
    /// Who is heard in rooms, or why nobody is.
    pub(crate) hears: Mutex<Hears>,
    /// Whose runs are read in rooms.
    pub(crate) observes: Mutex<Observes>,
    /// Rooms, by their ids, with whose nodes this one shares tasks.
    pub(crate) served: tokio::sync::watch::Sender<BTreeSet<String>>,
    /// What nodes say of themselves in those rooms.
    pub(crate) announced: Mutex<AllAnnounced>,
    /// Counts changes of the list of trust.
    pub(crate) trust: tokio::sync::watch::Sender<u64>,
    /// Counts revocations of tokens.
    pub(crate) tokens: tokio::sync::watch::Sender<u64>,
    /// What rooms do not take of what they are to be told.
    pub(crate) tells: Mutex<Vec<String>>,
    /// Cards of runs whose edits are not in the outbox yet.
    pub(crate) cards_to_edit: AtomicUsize,
}

impl Shared {
    /// What nodes say of themselves in rooms with shared tasks.
    pub(crate) fn announced(&self) -> AllAnnounced {
        self.announced.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A node says something of itself: the newest of each account counts. Accounts of a room can be many: so many are kept. Gives
    /// whether it uses another account than before, or votes and did not, or the other way round.
    pub(crate) fn announce(&self, room: &str, did: NodeDid, announced: Announced) -> bool {
        let mut all = self.announced.lock().unwrap_or_else(PoisonError::into_inner);
        let nodes = all.entry(room.to_owned()).or_default();
        nodes.retain(|known, of| of.user != announced.user || *known == did);
        let known = nodes.get(&did);
        if nodes.len() >= ANNOUNCED_MAX && known.is_none() {
            return false;
        }
        let is_news =
            known.is_none_or(|known| (&known.user, known.votes) != (&announced.user, announced.votes));
        nodes.insert(did, announced);
        is_news
    }
}

/// Who gave answers that were forwarded to other nodes, until these confirm them.
#[derive(Debug, Default)]
pub(crate) struct Forwarded(Mutex<VecDeque<(InputId, Actor)>>);

impl Forwarded {
    /// An answer is about to be forwarded.
    pub(crate) fn put(&self, input: InputId, actor: Actor) {
        let mut forwarded = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if forwarded.len() == FORWARDED_MAX {
            forwarded.pop_front();
        }
        forwarded.push_back((input, actor));
    }

    /// Who gave an answer that a node confirms.
    pub(crate) fn take(&self, input: InputId) -> Option<Actor> {
        let mut forwarded = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = forwarded.iter().position(|(known, _)| *known == input)?;
        forwarded.remove(at).map(|(_, actor)| actor)
    }
}

/// What a node says of itself in a room, be it trusted or not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Announced {
    pub(crate) user: String,
    pub(crate) name: String,
    pub(crate) version: String,
    /// It executes nothing in the room, and has no tasks of it.
    pub(crate) is_idle: bool,
    /// It votes where coordinators use several homeservers. Earlier versions do not.
    pub(crate) votes: bool,
}

impl Announced {
    /// The homeserver of its account.
    pub(crate) fn homeserver(&self) -> Option<&str> {
        self.user.split_once(':').map(|(_, server)| server)
    }
}

/// By room and key.
pub(crate) type AllAnnounced = BTreeMap<String, BTreeMap<NodeDid, Announced>>;

/// How it stands with rooms that are only read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Observes {
    /// Those that are read.
    pub(crate) rooms: Vec<String>,
    /// Why some, or a part of what they tell, cannot be.
    pub(crate) trouble: Vec<String>,
}

/// How it stands with what is said in rooms.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hears {
    /// The rooms that are read.
    pub(crate) rooms: Vec<String>,
    /// Why some, or all, cannot be.
    pub(crate) trouble: Vec<String>,
}
