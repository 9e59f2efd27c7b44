//! What the driver shares with other threads of the node.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize};
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::held_asks::HeldAsks;
use crate::leaders::Leaders;
use cis_core::event::Actor;
use cis_core::ids::{InputId, NodeDid, TimestampMs};

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

    /// A node says something of itself: the newest of each account counts, in whatever order they come. An older one that says that the node
    /// executes tasks counts in this alone. Accounts of a room can be many: so many are kept. Gives whether it uses another account than before, or votes and did not, or the other way round.
    pub(crate) fn announce(
        &self,
        room: &str,
        did: NodeDid,
        mut announced: Announced,
        now: TimestampMs,
    ) -> bool {
        let mut all = self.announced.lock().unwrap_or_else(PoisonError::into_inner);
        let nodes = all.entry(room.to_owned()).or_default();
        let of_same = nodes.iter().filter(|(known, of)| **known == did || of.user == announced.user);
        let newest = of_same.map(|(_, of)| of).max_by_key(|of| of.at_ms);
        if let Some(newest) = newest.filter(|newest| newest.at_ms > announced.at_ms) {
            if newest.at_ms <= now {
                // Or its clock was set back. A node that says that it executes tasks is asked for them in any case.
                if let Some(known) = nodes.get_mut(&did) {
                    known.is_idle &= announced.is_idle;
                }
                return false;
            }
            // The clock of the node is, or was, ahead of this one: which of both is the newer one is not certain. A node that may have
            // tasks is asked for them.
            announced.is_idle &= newest.is_idle;
            announced.at_ms = newest.at_ms;
        }
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
    /// It can begin a retry at several tasks. Earlier versions begin at the first one alone, and do not say so.
    pub(crate) retries_several: bool,
    /// When it said so, by its own clock: the time in the id of its envelope, Unix ms.
    pub(crate) at_ms: TimestampMs,
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

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: &str = "!r:x";

    fn node(name: &str) -> NodeDid {
        NodeDid(format!("did:key:{name}"))
    }

    fn said(at_ms: TimestampMs, is_idle: bool) -> Announced {
        Announced { user: "@w:x".to_owned(), is_idle, at_ms, ..Announced::default() }
    }

    fn known(shared: &Shared) -> Vec<(NodeDid, Announced)> {
        shared.announced().remove(ROOM).unwrap_or_default().into_iter().collect()
    }

    #[test]
    fn an_announcement_that_comes_after_a_newer_one_changes_nothing() {
        let shared = Shared::default();
        assert!(shared.announce(ROOM, node("w"), said(20, false), 30));
        assert!(!shared.announce(ROOM, node("w"), said(10, true), 30));
        // Nor does one of an earlier key of its account.
        assert!(!shared.announce(ROOM, node("before"), said(15, true), 30));
        assert_eq!(known(&shared), [(node("w"), said(20, false))]);
        // The same one again, and a newer one.
        assert!(!shared.announce(ROOM, node("w"), said(20, false), 30));
        assert!(!shared.announce(ROOM, node("w"), said(25, true), 30));
        assert_eq!(known(&shared), [(node("w"), said(25, true))]);
        assert!(shared.announce(ROOM, node("next"), said(26, true), 30));
        assert_eq!(known(&shared), [(node("next"), said(26, true))]);
    }

    #[test]
    fn a_node_whose_clock_was_set_back_is_asked_for_its_tasks() {
        let shared = Shared::default();
        shared.announce(ROOM, node("w"), said(20, true), 30);
        let moved = Announced { user: "@v:x".to_owned(), ..said(10, false) };
        assert!(!shared.announce(ROOM, node("w"), moved, 30));
        assert_eq!(known(&shared), [(node("w"), said(20, false))]);
        // One of another key of its account is asked because nothing is known of it.
        assert!(!shared.announce(ROOM, node("before"), said(15, false), 30));
        assert_eq!(known(&shared), [(node("w"), said(20, false))]);
        shared.announce(ROOM, node("w"), said(25, true), 30);
        assert_eq!(known(&shared), [(node("w"), said(25, true))]);
    }

    #[test]
    fn an_announcement_of_a_clock_that_was_ahead_hides_none_and_no_tasks_are_forgotten() {
        let shared = Shared::default();
        shared.announce(ROOM, node("w"), said(1_000, false), 10);
        // Its clock was set, or this one is the older one.
        let moved = Announced { user: "@v:x".to_owned(), ..said(11, true) };
        assert!(shared.announce(ROOM, node("w"), moved.clone(), 12));
        let not_idle = Announced { is_idle: false, at_ms: 1_000, ..moved.clone() };
        assert_eq!(known(&shared), [(node("w"), not_idle.clone())]);
        shared.announce(ROOM, node("w"), moved.clone(), 13);
        assert_eq!(known(&shared), [(node("w"), not_idle)]);
        let later = Announced { at_ms: 1_001, ..moved };
        shared.announce(ROOM, node("w"), later.clone(), 1_002);
        assert_eq!(known(&shared), [(node("w"), later)]);
    }
}
