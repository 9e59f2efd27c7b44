//! What a node knows, in SQLite: the events, which are the truth, and the tables projected from them;
//! and blobs, which are files beside it.
//!
//! One [`Writer`], in one thread, appends; one transaction is one turn of the scheduler, and it is
//! all there or not at all. [`Readers`] look from their own connections. [`Checkpointer`] keeps the
//! write-ahead log short. [`maintenance`] checks a store and makes a damaged one anew.
//! Knows nothing of who asks or why: it decides nothing.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "not a pure crate")]

mod append;
mod blobs;
mod checkpoint;
mod error;
mod facts;
mod held;
pub mod maintenance;
mod outbox;
mod progress;
mod projector;
mod pulse;
mod reader;
mod room;
mod schema;
mod sum;
mod values;
mod writer;

pub use blobs::{BlobWriter, Blobs, Safety, SecretNameKey, Stored, Swept};
pub use checkpoint::Checkpointer;
pub use error::StoreError;
pub use facts::{SessionFacts, TaskSeed};
pub use progress::{Progress, first_ahead};
pub use reader::{
    AttemptView, Cleaned, InRoom, InboxFilter, KnownItem, NewestTry, OpenRun, Reader, Readers, Waited,
};
pub use room::{noise, try_room};
pub use writer::{Unsynced, Writer};

#[cfg(test)]
mod tests;
