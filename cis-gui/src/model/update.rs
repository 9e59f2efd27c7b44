//! What comes into the model, and what it asks for.

use cis_core::api::{GroupView, InboxItem, NodeView, Problem, RunDetail, RunView, SessionView};
use cis_core::event::Event;
use cis_core::ids::{RunId, TimestampMs};

use super::Caller;

/// The line to the node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Link {
    /// Nobody has answered yet.
    #[default]
    Connecting,
    /// Events come as they happen.
    Up,
    /// The node went away; it is tried again by itself.
    Lost {
        /// Since when, Unix ms.
        since_ms: TimestampMs,
        /// Why, and what to do.
        why: String,
    },
    /// The node is there and refuses: only a person can help.
    Refused(Box<Problem>),
}

/// How a note is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// It is done.
    Good,
    /// It was refused, or failed.
    Bad,
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// When, Unix ms.
    pub at_ms: TimestampMs,
    /// How it is meant.
    pub tone: Tone,
    /// In words.
    pub text: String,
    /// What to do next, where that is known.
    pub hint: Option<String>,
}

/// What comes into the model.
#[derive(Debug)]
pub enum Update {
    /// The line to the node has changed.
    Link(Link),
    /// The node, asked anew.
    Node(Box<NodeView>),
    /// The user of the dashboard; none: the node does not name them.
    Caller(Option<Caller>),
    /// Its groups, asked anew.
    Groups(Vec<GroupView>),
    /// Runs, newest first.
    Listing {
        /// A part of them.
        runs: Vec<RunView>,
        /// There are no others: what is not in it is gone.
        whole: bool,
    },
    /// A run with its tasks.
    Run(Box<RunDetail>),
    /// The node has no such run any more.
    RunGone(RunId),
    /// The node does not show the run, and will not when it is asked again.
    RunRefused(RunId, Box<Problem>),
    /// All that waits for a human, oldest first.
    Inbox(Vec<InboxItem>),
    /// Sessions.
    Sessions(Vec<SessionView>),
    /// What happened, in order.
    Events(Vec<Event>),
    /// What became of a command.
    Note(Note),
    /// The answer to the command with this number did not come; the text says what is done about it.
    Unconfirmed(u64, String),
    /// Nothing is to be said of that command any more: what became of it is known, or a person has given it up.
    LineGone(u64),
}

/// What the model lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Want {
    /// The inbox.
    Inbox,
    /// A run with its tasks.
    Run(RunId),
    /// Sessions.
    Sessions,
    /// The node.
    Node,
    /// Its groups.
    Groups,
}
