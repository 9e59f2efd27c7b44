//! The seam to what leaves the machine: rows queued in the transaction of their cause, sent later
//! by whoever carries them, and removed when their receipt is known.

use serde::{Deserialize, Serialize};

use crate::ids::TimestampMs;

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

/// One thing to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxEntry {
    /// Row; idempotency key of its sending together with the node's DID.
    pub id: i64,
    /// Where to, such as a room id.
    pub target: String,
    /// How urgent.
    pub priority: Priority,
    /// What, JSON.
    pub payload: String,
    /// Not before, Unix ms.
    pub due_ms: TimestampMs,
    /// How often it was tried.
    pub tries: u32,
}

/// What a carrier needs of the outbox.
pub trait Outbox {
    /// Why an entry cannot be read or settled.
    type Error: std::error::Error;

    /// Entries that are due at `now_ms`, most urgent first, at most `limit`.
    ///
    /// # Errors
    /// The store cannot be read.
    fn due(&mut self, now_ms: TimestampMs, limit: usize) -> Result<Vec<OutboxEntry>, Self::Error>;

    /// It arrived: remove it.
    ///
    /// # Errors
    /// The store cannot be written.
    fn settle(&mut self, id: i64) -> Result<(), Self::Error>;

    /// It did not arrive: again at `due_ms`.
    ///
    /// # Errors
    /// The store cannot be written.
    fn postpone(&mut self, id: i64, due_ms: TimestampMs) -> Result<(), Self::Error>;
}
