//! A run's journal: one writer, its coordinator; entries numbered (epoch, n), each bound to the one before by its hash.
//!
//! Owns what is merged before it is written (`coalesce`), the chain of hashes (`link`), batches of entries (`batch`),
//! the writer, and the reader with its answer to gaps, takeovers and forgeries (`line`, `reader`). It carries nothing:
//! envelopes come and go by others.

mod batch;
mod coalesce;
mod line;
mod link;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

pub(crate) use batch::Blob;
pub use batch::{BadBatch, Batch, FILE_SIZE_MAX, FileRef, TYPE, Told, VERSION};
pub use coalesce::Coalescer;
pub use link::{EntryHash, Position};
pub use reader::{Missing, Placed, Reader, Report, Taken};
pub use writer::{FilePage, Page, Writer};

use crate::event::{Actor, Event, EventBody};
use crate::ids::{InputId, NodeDid, TimestampMs};

/// An event of a run, without its place in a store.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact {
    /// When, Unix ms.
    pub at_ms: TimestampMs,
    /// By whom; none: by the node that coordinates the run.
    pub actor: Option<Actor>,
    /// The input that caused it.
    pub cause: Option<InputId>,
    /// What happened.
    pub body: EventBody,
}

impl Fact {
    /// What an event of the store says. None: a version that knows more than this one wrote it.
    #[must_use]
    pub fn of(event: &Event) -> Option<Self> {
        let body = event.decode().ok()?;
        Some(Self { at_ms: event.at_ms, actor: event.actor.clone(), cause: event.cause, body })
    }
}

/// A fact, with the beginning of the try that it ends where that is told with it.
#[derive(Debug, Clone, PartialEq)]
pub struct Piece {
    /// What happened.
    pub fact: Fact,
    /// How the try began.
    pub life: Option<Life>,
}

/// How a try began that is told in one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Life {
    /// When its task was queued, where that is told here too.
    pub queued_ms: Option<TimestampMs>,
    /// When it was granted.
    pub granted_ms: TimestampMs,
    /// Who worked on it.
    pub node: NodeDid,
}
