//! What leaves the machine: rows that are durable before they are sent, and gone when their receipt is known.
//!
//! Owns the shapes that the store keeps and the carrier sends. Knows nothing of how a room is reached.

use serde::{Deserialize, Serialize};

use crate::ids::{Offset, RunId, TimestampMs};

/// How urgent an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// A human waits for it.
    Human,
    /// Ends of runs and tasks.
    Terminal,
    /// Progress.
    Progress,
}

/// What is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Where to: a room id.
    pub room: String,
    /// How urgent.
    pub priority: Priority,
    /// What kind of message: `journal`, `card`, `question` …
    pub what: String,
    /// The run that it is of.
    pub run: Option<RunId>,
    /// The item of the inbox, or the task, that it is of.
    pub item: Option<String>,
    /// JSON; empty where what is sent is made at that moment, of what is true then.
    pub payload: String,
    /// Not before, Unix ms.
    pub due_ms: TimestampMs,
}

/// One thing that waits to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxEntry {
    /// Row; never used twice, and so the key by which a room takes it once.
    pub id: i64,
    /// What is to be sent.
    pub message: Outgoing,
    /// How often it was put off, since its run left the room where it did.
    pub tries: u32,
}

/// A run that a room follows, and how far the room knows of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FollowedRun {
    /// The run.
    pub run: RunId,
    /// The room.
    pub room: String,
    /// People's messages are queued up to this event.
    pub told: Offset,
    /// The journal holds everything up to this event.
    pub published: Offset,
    /// Where the journal stands, JSON of its writer; empty: it has not begun.
    pub journal: String,
}

/// A message of ours in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomMessage {
    /// Its event id.
    pub event: String,
    /// The room.
    pub room: String,
    /// As [`Outgoing::what`].
    pub what: String,
    /// The run that it is of.
    pub run: Option<RunId>,
    /// As [`Outgoing::item`].
    pub item: Option<String>,
    /// When it was sent, Unix ms.
    pub at_ms: TimestampMs,
}

/// What we count and remember for a room.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoomState {
    /// Of our numbering.
    pub incarnation: u64,
    /// The newest number that was given.
    pub seq: u64,
    /// Up to where it was read.
    pub token: Option<String>,
}

/// An event of a room that this node could not decrypt yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedEvent {
    /// Its id.
    pub event: String,
    /// Who sent it.
    pub sender: String,
    /// The session (Megolm) whose key decrypts it.
    pub session: String,
    /// When it was sent, as the sender's homeserver says, Unix ms.
    pub sent_ms: TimestampMs,
}

/// A change of what is kept about rooms. Several that belong together are durable together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoomWrite {
    /// A room follows this run; events up to `from` are not told. In a room that followed it before, the journal goes on where
    /// it stands. If another room follows it until now, that one is told (`left`).
    Follow {
        /// The run.
        run: RunId,
        /// The room.
        room: String,
        /// Newest event that is not told.
        from: Offset,
    },
    /// No room follows it any more. The one that did is told so (`left`); what its journal has to say is still sent.
    Unfollow {
        /// The run.
        run: RunId,
    },
    /// As [`Self::Unfollow`], and no journal of it goes on anywhere: what is stored of the run is void.
    Void {
        /// The run.
        run: RunId,
    },
    /// To be sent. One that waits with the same `what`, run and item, and no payload, is enough: it is made when it is
    /// sent.
    Queue(Outgoing),
    /// People's messages are queued up to here.
    Told {
        /// The run.
        run: RunId,
        /// The room that got it.
        room: String,
        /// The newest event.
        offset: Offset,
    },
    /// The journal holds everything up to here.
    Published {
        /// The run.
        run: RunId,
        /// The room that got it.
        room: String,
        /// The newest event.
        offset: Offset,
        /// Where the journal stands.
        journal: String,
    },
    /// The journal holds everything of a run that there is.
    Whole {
        /// The run.
        run: RunId,
        /// Where the journal stands.
        journal: String,
    },
    /// The beginning of a run's journal never reaches this room: if the run is there, or comes back, its journal begins anew.
    Broken {
        /// The run.
        run: RunId,
        /// The room.
        room: String,
    },
    /// The numbering of a room.
    Numbered {
        /// The room.
        room: String,
        /// Its incarnation.
        incarnation: u64,
        /// The newest number.
        seq: u64,
    },
    /// It arrived, or is not to be sent any more: it leaves the outbox.
    Settle {
        /// The entry.
        id: i64,
        /// The message that it became, where that is edited or answered later.
        message: Option<RoomMessage>,
    },
    /// It did not arrive: again then.
    Postpone {
        /// The entry.
        id: i64,
        /// Unix ms.
        due_ms: TimestampMs,
    },
    /// A room takes again what is put off: all that waits for it is due then.
    Hasten {
        /// The room.
        room: String,
        /// Unix ms.
        due_ms: TimestampMs,
    },
    /// The room was read up to here, and everything before is done.
    Read {
        /// The room.
        room: String,
        /// Where its server goes on.
        token: String,
    },
    /// The events of a room that cannot be decrypted yet, instead of those that were kept before.
    Sealed {
        /// The room.
        room: String,
        /// In their order.
        events: Vec<SealedEvent>,
        /// Older ones, of whatever room, are forgotten: they would do nothing. Unix ms.
        since_ms: TimestampMs,
    },
}
