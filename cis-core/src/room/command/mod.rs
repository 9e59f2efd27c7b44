//! What people write in a room, read: commands, replies, reactions.
//!
//! Owns the words of `!cis`, the shapes of their arguments, and what of an event is somebody's own words.
//! Decides neither who may do it (`crate::people`) nor whether it comes in time (`super::freshness`).

mod choose;
mod inbound;
mod parse;
mod shape;
mod sign;

pub use choose::{Said, choose};
pub use inbound::{Inbound, Meant, inbound};
pub use parse::{Read, command};
pub use shape::{DagName, ParamName, ShapeError, Target};
pub use sign::{Sign, sign};

use std::collections::BTreeSet;

use crate::event::PromptKind;
use crate::identity::Right;
use crate::ids::NodeDid;
use crate::people::{Person, Refusal, Role, Roles};

/// What is asked for by a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// What can be said.
    Help,
    /// How the node is.
    Status,
    /// The newest runs.
    Runs,
    /// The nodes that share the room's tasks.
    Nodes,
    /// Lets a node work in the room.
    Trust {
        /// Which.
        did: NodeDid,
        /// What it may do from now on; empty: nothing was said of that.
        may: BTreeSet<Right>,
    },
    /// Starts a DAG of one of the folders that may be run from a room.
    Run {
        /// Which.
        dag: DagName,
        /// Its parameters, as typed.
        params: Vec<(ParamName, String)>,
    },
    /// The end of a task's log.
    Logs {
        /// `TASK` or `RUN:TASK`.
        task: Target,
    },
    /// What a session's terminal shows.
    Screen {
        /// A session, or a task.
        session: Target,
    },
    /// Says that the monitor is wrong about a session.
    Report {
        /// A session, or a task.
        session: Target,
        /// What it waits for; none: it waits for nobody.
        waits_for: Option<PromptKind>,
    },
    /// Answers something that waits.
    Answer {
        /// An item, `RUN:TASK`, or a session.
        item: Target,
        /// The words, to be given to [`choose()`].
        words: String,
    },
    /// Lets a task start, or takes work that is held for a review.
    Approve {
        /// An item, `TASK` or `RUN:TASK`.
        item: Target,
    },
    /// The opposite.
    Reject {
        /// An item, `TASK` or `RUN:TASK`.
        item: Target,
        /// In their words.
        reason: Option<String>,
    },
    /// Ends a run.
    Cancel {
        /// Which.
        run: Target,
    },
    /// Runs what did not end well again.
    Retry {
        /// Which.
        run: Target,
    },
}

impl Request {
    /// Who may ask for it; none: everybody.
    #[must_use]
    pub fn needs(&self) -> Option<Role> {
        match self {
            Self::Help => None,
            Self::Status | Self::Runs | Self::Nodes | Self::Logs { .. } | Self::Screen { .. } => {
                Some(Role::Viewer)
            }
            Self::Trust { .. } => Some(Role::Admin),
            Self::Run { .. }
            | Self::Report { .. }
            | Self::Answer { .. }
            | Self::Approve { .. }
            | Self::Reject { .. }
            | Self::Cancel { .. }
            | Self::Retry { .. } => Some(Role::Operator),
        }
    }

    /// Whether it answers something that waits, and names it.
    #[must_use]
    pub fn is_answer(&self) -> bool {
        matches!(self, Self::Answer { .. } | Self::Approve { .. } | Self::Reject { .. })
    }

    /// Checks whether somebody's role lets them ask for it; returns the role.
    ///
    /// # Errors
    /// [`Refusal`], to be said politely, once.
    pub fn check(&self, roles: &Roles, person: Person<'_>) -> Result<Option<Role>, Refusal> {
        let role = roles.of(person);
        match self.needs() {
            None => Ok(role),
            Some(needs) if role.is_some_and(|role| role >= needs) => Ok(role),
            Some(needs) => Err(Refusal::Role { verb: self.verb(), needs, has: role }),
        }
    }

    /// Its verb.
    #[must_use]
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Help => "help",
            Self::Status => "status",
            Self::Runs => "runs",
            Self::Nodes => "nodes",
            Self::Trust { .. } => "trust",
            Self::Run { .. } => "run",
            Self::Logs { .. } => "logs",
            Self::Screen { .. } => "screen",
            Self::Report { .. } => "report",
            Self::Answer { .. } => "answer",
            Self::Approve { .. } => "approve",
            Self::Reject { .. } => "reject",
            Self::Cancel { .. } => "cancel",
            Self::Retry { .. } => "retry",
        }
    }
}

/// A verb, for people.
#[derive(Debug, Clone, Copy)]
pub struct Verb {
    /// What is typed after `!cis`.
    pub name: &'static str,
    /// The whole command.
    pub usage: &'static str,
    /// What it does.
    pub about: &'static str,
    /// Who may; none: everybody.
    pub needs: Option<Role>,
}

const fn verb(name: &'static str, usage: &'static str, about: &'static str, needs: Option<Role>) -> Verb {
    Verb { name, usage, about, needs }
}

/// All of them.
pub const VERBS: &[Verb] = &[
    verb("help", "!cis help", "this list", None),
    verb("status", "!cis status", "the state of the node, and how many questions wait", Some(Role::Viewer)),
    verb("runs", "!cis runs", "the newest runs", Some(Role::Viewer)),
    verb("run", "!cis run NAME [KEY=VALUE …]", "starts a DAG", Some(Role::Operator)),
    verb(
        "logs",
        "!cis logs TASK",
        "the end of the log of a task (RUN:TASK names the run)",
        Some(Role::Viewer),
    ),
    verb("screen", "!cis screen SESSION", "what the terminal of a session shows", Some(Role::Viewer)),
    verb(
        "report",
        "!cis report SESSION KIND",
        "keeps a recording where CIS did not see that a session waits, or the kind is wrong; KIND `none`: it waits for nobody",
        Some(Role::Operator),
    ),
    verb(
        "answer",
        "!cis answer ID OPTION",
        "answers a question: by option, or with text",
        Some(Role::Operator),
    ),
    verb("approve", "!cis approve ID", "lets a task start, or accepts reviewed work", Some(Role::Operator)),
    verb(
        "reject",
        "!cis reject ID [REASON]",
        "fails a task that waits for approval, or sends reviewed work back",
        Some(Role::Operator),
    ),
    verb("cancel", "!cis cancel RUN", "cancels a run", Some(Role::Operator)),
    verb(
        "retry",
        "!cis retry RUN",
        "runs again what did not succeed, and what depends on it",
        Some(Role::Operator),
    ),
    verb("nodes", "!cis nodes", "the nodes that share the tasks of this room", Some(Role::Viewer)),
    verb("trust", "!cis trust DID [RIGHT …]", "lets a node work on tasks of this room", Some(Role::Admin)),
];

/// Why something that was meant for us is not done, for the one who wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// What is wrong, in a sentence or two.
    pub says: String,
    /// What could be typed.
    pub usage: Option<String>,
}

impl Hint {
    /// One without an example.
    pub(super) fn new(says: impl Into<String>) -> Self {
        Self { says: says.into(), usage: None }
    }

    /// With what could be typed.
    pub(super) fn usage(mut self, usage: impl Into<String>) -> Self {
        self.usage = Some(usage.into());
        self
    }
}

#[cfg(test)]
mod tests;
