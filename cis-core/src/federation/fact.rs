//! What a journal tells: an event of a run, as it is outside of a store.

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
