//! What an export proves: who attests what of a run, and what is wrong with the file.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::event::{RunState, TaskState};
use crate::identity::Right;
use crate::ids::{BlobId, Epoch, NodeDid, RunId, TaskId, TimestampMs};

/// How the text of the run's file stands to the hash that its coordinator signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Specification {
    /// It has that hash.
    Matches,
    /// It has another one: what looked like a secret was hidden before it was told to the room. Its coordinator signed this text as well.
    Hidden,
    /// The room does not have it.
    Missing,
}

/// A coordinator of the run, and its term.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Coordinator {
    /// Its DID.
    pub did: NodeDid,
    /// Its term; 0 is the first.
    pub epoch: Epoch,
    /// When it began, Unix ms by the coordinator's clock.
    pub since_ms: TimestampMs,
}

/// What is said of a task. Its coordinator attests it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TaskClaim {
    /// The task.
    pub task: TaskId,
    /// Its state.
    pub state: TaskState,
    /// Number of its newest attempt; 0: none.
    pub attempts: u32,
    /// The node that got the newest attempt.
    pub node: Option<NodeDid>,
    /// The coordinator that gave it, and attests its result.
    pub by: Option<NodeDid>,
    /// SHA-256 of its log, as the node handed it in; none: its log was not uploaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<BlobId>,
}

/// An answer or an approval, as the coordinator attests it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Answered {
    /// The task.
    pub task: Option<TaskId>,
    /// Who gave it.
    pub by: String,
    /// When, Unix ms.
    pub at_ms: TimestampMs,
    /// In words.
    pub text: String,
}

/// What owners say of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MemberView {
    /// Its DID.
    pub did: NodeDid,
    /// What it is called.
    pub name: Option<String>,
    /// What it may do.
    pub may: BTreeSet<Right>,
    /// Its key was revoked.
    pub revoked: bool,
}

/// The outcome of a check.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// The run.
    pub run: RunId,
    /// Its room.
    pub room: String,
    /// `[dag] id`; empty: unknown.
    pub dag: String,
    /// Its state at the end of the journal; none: it cannot be told.
    pub state: Option<RunState>,
    /// The text of its file.
    pub specification: Specification,
    /// Envelopes whose signatures are right.
    pub envelopes: u64,
    /// Entries of the run's journal that count.
    pub entries: u64,
    /// Who coordinated the run, in order.
    pub coordinators: Vec<Coordinator>,
    /// Its tasks, in the order of the file.
    pub tasks: Vec<TaskClaim>,
    /// Answers and approvals, in order.
    pub answers: Vec<Answered>,
    /// Statements of the owners that count.
    pub statements: u64,
    /// Who they admitted.
    pub members: Vec<MemberView>,
    /// What is wrong; empty: nothing was changed, and nothing is missing.
    pub wrong: Vec<String>,
}

impl Verdict {
    /// Whether the file proves what it says.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.wrong.is_empty()
    }

    /// What a node is called; none: owners gave it no name.
    #[must_use]
    pub fn name_of(&self, did: &NodeDid) -> Option<&str> {
        self.members.iter().find(|member| member.did == *did)?.name.as_deref()
    }
}
