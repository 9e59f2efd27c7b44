//! What the dashboard asks of the node. Panels send commands by a channel; what becomes of them comes back as
//! notes in the model, or in the [`Slot`] that a panel gave along.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use cis_core::api::{
    AdmitNode, AnswerReceipt, AnswerWith, ExplainView, MatrixAccountView, Problem, RoomNodeView, RunView,
    TimeView, WhyView,
};
use cis_core::event::{ArtifactRecord, PromptKind, RetryScope};
use cis_core::ids::{RunId, SessionId, TimestampMs};
use tokio::sync::mpsc;

use crate::draft::{Draft, Folder, NewRun};
use crate::terminal::Terminal;

/// What is done to a run as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Start a created one.
    Start,
    /// Start nothing new.
    Pause,
    /// Go on.
    Resume,
    /// Stop it.
    Cancel,
}

impl Verb {
    /// As it stands on a button.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Start => "Start",
            Self::Pause => "Pause",
            Self::Resume => "Resume",
            Self::Cancel => "Cancel",
        }
    }

    /// Returns the label of the second click, for verbs that start or end work.
    #[must_use]
    pub fn question(self) -> Option<&'static str> {
        match self {
            Self::Start => Some("Really start"),
            Self::Resume => Some("Really resume"),
            Self::Cancel => Some("Really cancel"),
            Self::Pause => None,
        }
    }
}

/// What the dashboard asks for.
#[derive(Debug)]
pub enum Command {
    /// Answers an item of the inbox.
    Answer {
        /// Its full name.
        item: String,
        /// What.
        with: AnswerWith,
        /// Hash of the prompt that was looked at; empty: none.
        hash: String,
        /// It was answered at that time, and stays: one more answer.
        again: Option<TimestampMs>,
        /// Of a decision; none: it is given none.
        reason: Option<String>,
        /// Gets the outcome.
        slot: Slot<AnswerReceipt>,
    },
    /// Steers a run.
    Steer(RunId, Verb),
    /// Runs tasks of an ended run again.
    Retry(RunId, RetryScope),
    /// Ends a session.
    Kill(SessionId),
    /// Looks into a folder of whoever looks; an empty path is the current one.
    Browse(PathBuf, Slot<Folder>),
    /// Reads a DAG file.
    Read(PathBuf, Slot<Draft>),
    /// Makes a run of a file.
    Submit(Box<NewRun>, Slot<RunView>),
    /// Loads a run with its tasks.
    Look(RunId),
    /// Asks why a task is where it is.
    Why(RunId, String, Slot<WhyView>),
    /// Asks where the time of a run went.
    Times(RunId, Slot<TimeView>),
    /// Asks why the monitor thinks of a session what it does.
    Explain(SessionId, Slot<ExplainView>),
    /// Says that the monitor is wrong about a session, and what it waits for; none: for nobody. The node keeps what it shows.
    Report(SessionId, Option<PromptKind>),
    /// Reads the end of the log of one of a task's tries, as text.
    Log(RunId, String, u32, Slot<String>),
    /// Reads the end of a session's log, as text.
    SessionLog(SessionId, Slot<String>),
    /// Saves a file that a task left among those of whoever looks; the answer says where.
    Save(RunId, String, ArtifactRecord, Slot<PathBuf>),
    /// Shows a session's terminal, until the last holder of it drops it.
    Open(Arc<Terminal>),
    /// Asks the node anew of itself, its groups and sessions, and of its Matrix account.
    Inspect(Slot<MatrixAccountView>),
    /// Lists the nodes of rooms that share tasks with the node.
    ListNodes(Slot<Vec<RoomNodeView>>),
    /// Says, as an owner of a room, what a node may do there; the answer is how the nodes of the room are then.
    Admit(Box<AdmitNode>, Slot<Vec<RoomNodeView>>),
    /// Tells the desktop something, to see whether it takes it.
    Ring,
    /// Tries to reach the node at once.
    Reconnect,
    /// A person gives the command with this number up, whose answer did not come: it is neither looked up nor sent again.
    Dismiss(u64),
}

/// A place for one answer: whoever asked looks into it.
#[derive(Debug)]
pub struct Slot<T>(Arc<Mutex<Option<Result<T, Problem>>>>);

impl<T> Clone for Slot<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> Slot<T> {
    /// Puts the answer in.
    pub fn fill(&self, answer: Result<T, Problem>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
    }

    /// Nobody else waits for the answer.
    pub(crate) fn is_left(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    /// Takes the answer out, once it is there.
    #[must_use]
    pub fn take(&self) -> Option<Result<T, Problem>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Looks at it; none while it is waited for.
    pub fn look<R>(&self, see: impl FnOnce(Option<&Result<T, Problem>>) -> R) -> R {
        see(self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref())
    }
}

/// Where commands go. Never waits.
#[derive(Debug, Clone)]
pub struct Sender(mpsc::UnboundedSender<Command>);

impl Sender {
    /// A channel.
    #[must_use]
    pub fn channel() -> (Self, mpsc::UnboundedReceiver<Command>) {
        let (to, from) = mpsc::unbounded_channel();
        (Self(to), from)
    }

    /// Sends one. A dashboard that is being closed loses it.
    pub fn send(&self, command: Command) {
        let _ = self.0.send(command);
    }
}
