//! What the driver shares with other threads of the node.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize};

use crate::leaders::Leaders;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Pid of the session host; 0: none.
    pub(crate) host_pid: AtomicU32,
    /// First processes of its sessions.
    pub(crate) leaders: Leaders,
    /// Whether the node restarts after its end.
    pub(crate) restart: AtomicBool,
    /// Open streams: somebody is looking.
    pub(crate) viewers: AtomicUsize,
    /// Whether the driver has ended. A stream keeps its receiver until it has ended too.
    pub(crate) ended: tokio::sync::watch::Sender<bool>,
    /// Held by whoever makes the node's own room.
    pub(crate) own_room: tokio::sync::Mutex<()>,
    /// Who is heard in rooms, or why nobody is.
    pub(crate) hears: Mutex<Hears>,
    /// Whose runs are read in rooms.
    pub(crate) observes: Mutex<Observes>,
    /// Rooms, by their ids, with whose nodes this one shares tasks.
    pub(crate) served: tokio::sync::watch::Sender<BTreeSet<String>>,
    /// Counts changes of the list of trust.
    pub(crate) trust: tokio::sync::watch::Sender<u64>,
    /// Counts revocations of tokens.
    pub(crate) tokens: tokio::sync::watch::Sender<u64>,
    /// What rooms do not take of what they are to be told.
    pub(crate) tells: Mutex<Vec<String>>,
}

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
