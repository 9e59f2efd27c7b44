//! What clients get. The field names are a contract with scripts: they are added to, never changed.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Schema, Type};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use super::tokens::RemoteView;
use crate::event::{ArtifactRecord, ExecutionMode, PromptKind, RunState, SaidKind, SessionState, TaskState};
use crate::ids::{InboxId, NodeDid, Offset, RunId, SessionId, TaskId, TimestampMs};
use crate::people::Allowed;
use crate::term_size::TermSize;

/// Any listing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Listing<T> {
    /// The items of this page.
    pub items: Vec<T>,
    /// Give it as `after` for the next page; none: this was the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Each kind of listing has a name of its own: `RunViewListing`.
impl<T: ToSchema> ToSchema for Listing<T> {
    fn name() -> Cow<'static, str> {
        format!("{}Listing", T::name()).into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((T::name().into_owned(), T::schema()));
        T::schemas(schemas);
    }
}

impl<T: ToSchema> PartialSchema for Listing<T> {
    fn schema() -> RefOr<Schema> {
        let items = ArrayBuilder::new().items(Ref::from_schema_name(T::name()));
        let next = ObjectBuilder::new().schema_type(Type::String);
        let next = next.description(Some("Give it as `after` for the next page; absent: this was the last."));
        ObjectBuilder::new()
            .description(Some("One page of a listing."))
            .property("items", items.description(Some("The items of this page.")))
            .required("items")
            .property("next", next)
            .into()
    }
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeView {
    /// Whether it runs. The other fields of a node that does not run say what is known.
    pub running: bool,
    /// Of its process.
    pub pid: Option<u32>,
    /// Of its program.
    pub version: String,
    /// Path of its API socket.
    pub socket: String,
    /// Its home directory.
    pub home: String,
    /// Who it is.
    pub did: Option<String>,
    /// Of its session host.
    pub host_pid: Option<u32>,
    /// Stays when there is nothing to do (`cis node start`).
    pub stays: bool,
    /// It starts no tasks (`cis node pause`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// When it started, Unix ms.
    pub started_ms: Option<TimestampMs>,
    /// Open runs.
    pub open_runs: u32,
    /// Live sessions.
    pub live_sessions: u32,
    /// At most so many.
    pub max_sessions: u32,
    /// Messages that wait to be sent to rooms. A run of which something is not written yet, or a card to edit, counts as one.
    #[serde(default)]
    pub outbox: u64,
    /// Rooms in which people are heard.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rooms: Vec<String>,
    /// Rooms whose runs are only read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub observes: Vec<String>,
    /// What is wrong, where something is (disk full, host lost …).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Where it listens besides its socket, where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<RemoteView>,
}

/// How many tasks of a run are in which state. States without tasks are absent.
pub type TaskCounts = BTreeMap<TaskState, u32>;

fn counts_schema() -> ObjectBuilder {
    let count = || ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0));
    let states =
        TaskState::ALL.iter().fold(ObjectBuilder::new(), |all, state| all.property(state.as_str(), count()));
    states.description(Some("Its tasks by state. States without tasks are absent."))
}

/// A run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RunView {
    /// Its id.
    pub id: RunId,
    /// `[dag] id`.
    pub dag: String,
    /// Its state.
    pub state: RunState,
    /// Local, hybrid or matrix.
    pub mode: ExecutionMode,
    /// The room that follows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<String>,
    /// The node that coordinates it.
    pub node: NodeDid,
    /// Where its text came from.
    pub source: String,
    /// When it was created, Unix ms.
    pub created_ms: TimestampMs,
    /// When it was started first.
    pub started_ms: Option<TimestampMs>,
    /// When it was retried last: its time since then is that of the retry. Absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retried_ms: Option<TimestampMs>,
    /// When it ended.
    pub ended_ms: Option<TimestampMs>,
    /// Its tasks by state.
    #[schema(schema_with = counts_schema)]
    pub counts: TaskCounts,
    /// Where it did not end well: why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Cancelling was asked for; sessions are still being ended.
    #[serde(default)]
    pub cancelling: bool,
    /// Tasks that wait for a human's approval.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvals: Vec<TaskId>,
    /// Newest event of it.
    pub last_offset: Offset,
}

impl RunView {
    /// When its last start or retry was: what it takes is counted from there.
    #[must_use]
    pub fn runs_since_ms(&self) -> Option<TimestampMs> {
        self.retried_ms.or(self.started_ms)
    }

    /// Whether the nodes of a room share its tasks.
    #[must_use]
    pub fn is_shared_in(&self, room: &str) -> bool {
        self.room.as_deref() == Some(room) && self.mode == ExecutionMode::Matrix
    }
}

/// A run whose mode was changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ModeView {
    /// The run.
    #[serde(flatten)]
    pub run: RunView,
    /// In Matrix mode: tasks still to start that need something of the submitting node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bound: Vec<BoundTaskView>,
}

/// A task that needs something of the node where its run was submitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BoundTaskView {
    /// The task.
    pub task: TaskId,
    /// What that means for it.
    pub effect: BoundEffect,
    /// Keys of the DAG file by which it needs the submitting node: `cwd`, `secrets`, `on_blocked.run`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// Files and directories of the run's directory that its command names and that other nodes do not get: neither `inputs` nor
    /// artifacts of the tasks that it needs cover them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
}

/// What becomes of a task in Matrix mode that needs something of the submitting node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BoundEffect {
    /// It runs on the submitting node.
    Stays,
    /// It fails: it names other nodes, and its directory is one of the submitting node.
    Fails,
    /// It runs on any node, where the files are missing.
    LacksFiles,
    /// An effect that newer versions know.
    #[serde(other)]
    Other,
}

/// A run with its tasks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunDetail {
    /// The run.
    pub run: RunView,
    /// Value of every parameter.
    pub params: BTreeMap<String, Value>,
    /// In the order of the file.
    pub tasks: Vec<TaskView>,
}

/// A task of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TaskView {
    /// Its name.
    pub id: TaskId,
    /// Its state.
    pub state: TaskState,
    /// What it needs.
    pub needs: Vec<TaskId>,
    /// The agent that works on it, by its profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Tries so far.
    pub attempts: u32,
    /// The node of the newest attempt, if the run is shared with the nodes of a room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<TaskNodeView>,
    /// Session of the newest try.
    pub session: Option<SessionId>,
    /// When that try was granted, Unix ms.
    pub started_ms: Option<TimestampMs>,
    /// When that try ended.
    pub ended_ms: Option<TimestampMs>,
    /// Exit code of that try.
    pub exit_code: Option<i32>,
    /// Why it is in this state, where that is not obvious.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Outputs of its last success, secrets replaced.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, Value>,
    /// It has outputs, and `outputs` is empty: those of all tasks of this answer are too large. An answer about this task alone has them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub outputs_omitted: bool,
    /// Files of its last success.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<ArtifactRecord>,
    /// It has artifacts, and `artifacts` is empty: the lists of all tasks of this answer are too large. The listing of its artifacts has them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub artifacts_omitted: bool,
    /// What a human is asked, while it waits for approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalView>,
    /// What the session of its newest try told last (`cis task progress`, `notify`, `respond`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<SaidView>,
    /// What its session waits for, where it waits for a human.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits: Option<WaitsView>,
}

/// The node that works on a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaskNodeView {
    /// Its key.
    pub did: NodeDid,
    /// Its name in the room; empty: it has none.
    pub name: String,
}

impl TaskNodeView {
    /// What people know it by.
    #[must_use]
    pub fn label(&self) -> &str {
        if self.name.is_empty() { &self.did.0 } else { &self.name }
    }
}

/// What a session of a task waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WaitsView {
    /// The item of the inbox.
    pub item: InboxId,
    /// What is wanted.
    pub kind: PromptKind,
    /// The question; may be empty.
    pub question: String,
    /// Since when, Unix ms.
    pub since_ms: TimestampMs,
}

/// What a session told last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SaidView {
    /// Notice, progress, response or error.
    pub kind: SaidKind,
    /// In its words.
    pub text: String,
    /// How far it is, percent, where it ever said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<u8>,
    /// When, Unix ms.
    pub at_ms: TimestampMs,
}

/// What a human is asked before a task starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApprovalView {
    /// The question.
    pub prompt: String,
    /// The task fails then, Unix ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<TimestampMs>,
    /// Who may decide from a room, where its file says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed: Option<Allowed>,
}

/// A concurrency group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GroupView {
    /// Its name.
    pub name: String,
    /// The run whose file makes it; none: the node's, or the room's.
    pub run: Option<RunId>,
    /// The room that has it; none: the node's, or the run's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<String>,
    /// At most so many at a time, over all nodes of a room.
    pub limit: u32,
    /// Sessions that wait for a human leave their places.
    pub frees_when_blocked: bool,
    /// Places taken now; of a group of a room by all nodes, as far as this one knows.
    pub active: u32,
    /// Tasks of runs of this node that wait for one.
    pub waiting: u32,
    /// `file`, `room`, `configuration`, or `command` (`cis group set`).
    pub origin: String,
}

/// A session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SessionView {
    /// Its id.
    pub id: SessionId,
    /// The run that it belongs to; none: created alone.
    pub run: Option<RunId>,
    /// The task that it works on.
    pub task: Option<TaskId>,
    /// Which try.
    pub attempt: Option<u32>,
    /// Its name, where it was given one.
    pub name: Option<String>,
    /// Its state.
    pub state: SessionState,
    /// Of its first process, while that is known.
    pub pid: Option<u32>,
    /// PTY, or pipes.
    pub tty: bool,
    /// Size of its terminal, also after a resize; of a session that has ended: the last one. None: it has pipes, or another node has it.
    pub size: Option<TermSize>,
    /// What it runs, in one line.
    pub command: String,
    /// When it was asked for, Unix ms.
    pub created_ms: TimestampMs,
    /// When it ended.
    pub ended_ms: Option<TimestampMs>,
    /// Its exit code, where it has one.
    pub exit_code: Option<i32>,
    /// Why it ended, where it did not by itself; how its try came out, of one with a task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// An attempt of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AttemptView {
    /// Which attempt, from 1.
    pub number: u32,
    /// Its session.
    pub session: SessionId,
    /// The node that it was given to.
    pub node: NodeDid,
    /// State of its session.
    pub state: SessionState,
    /// How it came out: `succeeded`, `failed`, `error` or `cancelled`; none: it has not ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// Why, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Exit code of its process, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// When it was granted, Unix ms.
    pub granted_ms: TimestampMs,
    /// When its process started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_ms: Option<TimestampMs>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_ms: Option<TimestampMs>,
    /// Bytes of output, those cut from the log included; none: it has not ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_bytes: Option<u64>,
}

/// Why a task is where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WhyView {
    /// The run.
    pub run: RunId,
    /// The task.
    pub task: TaskId,
    /// Its state.
    pub state: TaskState,
    /// One sentence each, the most important first.
    pub because: Vec<String>,
    /// What a person can do, where something can be done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub try_this: Vec<String>,
}

/// Where time went, ms.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TimeSplit {
    /// Waited for a slot, a group, the next try, or a run that was paused.
    pub queue_ms: i64,
    /// An attempt was under way and did not wait for a human.
    pub machine_ms: i64,
    /// A human was waited for: approvals, prompts.
    pub human_ms: i64,
}

/// Where the time of a run went, since its start or the last `dag retry`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TimeView {
    /// The run.
    pub run: RunId,
    /// Its state.
    pub state: RunState,
    /// When it was started, or retried; none: not yet.
    pub from_ms: Option<TimestampMs>,
    /// Until it ended, or now, ms.
    pub wall_ms: i64,
    /// On the critical path: the three make up `wall_ms`.
    pub critical: TimeSplit,
    /// The tasks that its end waited for, first to last. Empty where only totals were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub path: Vec<TimeStep>,
    /// Every task that has had its turn, in the order of the file. Empty where only totals were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<TaskTime>,
}

/// A part of a critical path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TimeStep {
    /// The task; none: no task of the path was at its turn.
    pub task: Option<TaskId>,
    /// From then, Unix ms.
    pub from_ms: TimestampMs,
    /// To then.
    pub to_ms: TimestampMs,
    /// Where it went.
    #[serde(flatten)]
    pub split: TimeSplit,
}

/// Where the time of a task went since it was last free to start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaskTime {
    /// The task.
    pub task: TaskId,
    /// Its state.
    pub state: TaskState,
    /// It is on the critical path.
    pub critical: bool,
    /// When it was last free to start, Unix ms.
    #[serde(default)]
    pub from_ms: TimestampMs,
    /// When it ended; now, where it has not.
    #[serde(default)]
    pub to_ms: TimestampMs,
    /// Where it went. The time of its items is theirs.
    #[serde(flatten)]
    pub split: TimeSplit,
}
