//! The enum of everything that can happen, `cis.dag.*`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::prompt::{AnswerRecord, AskRecord, PromptRecord, SaidRecord};
use super::states::{AttemptOutcome, EndReason, ExecutionMode, ExitStatus, TaskState};
use crate::dag::{Group, Task};
use crate::ids::{
    AttemptId, BlobId, Epoch, Fence, HostInstance, InboxId, InputId, NodeDid, RunId, SessionId, TaskId,
    TimestampMs,
};

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    /// A run.
    Run,
    /// A task of a run.
    Task,
    /// A session.
    Session,
    /// A node.
    Node,
}

/// Facts of a run that never change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunCreated {
    /// `[dag] id`.
    pub dag: String,
    /// Where the text came from, for messages: a path, or `<stdin>`.
    pub source: String,
    /// The TOML text, content-addressed.
    pub spec: BlobId,
    /// How many tasks the text has.
    pub tasks: u32,
    /// Value of every parameter, defaults included.
    pub params: BTreeMap<String, Value>,
    /// At most so many unblocked sessions of this run at a time.
    pub max_parallel: u32,
    /// Absolute directory that relative `cwd`s start from.
    pub workdir: String,
    /// The submitter's environment as a secret blob (JSON object of strings); none: the node's own.
    pub base_env: Option<BlobId>,
    /// The submitter's file mode creation mask (umask(2)); none: the session host's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub umask: Option<u32>,
    /// Local, hybrid or matrix.
    pub mode: ExecutionMode,
    /// The node that coordinates it.
    pub owner: NodeDid,
    /// The room that follows it.
    pub room: Option<String>,
    /// The attempt that spawned it, where one did.
    pub parent: Option<AttemptId>,
    /// The coordinator's term.
    pub epoch: Epoch,
    /// No result of an earlier run is taken (`--no-cache`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_cache: bool,
    /// An agent works on its tasks (`--use-agent`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub use_agent: Option<UseAgent>,
}

/// Who works on the tasks of a run, whatever its file says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UseAgent {
    /// The profile that tasks without an agent are given to; none: they are run as they are, each in a terminal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
}

/// Why a queued task does not run yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum QueueReason {
    /// Waits for its turn: `max_parallel` of the run, or `max_sessions` of the node.
    Slot,
    /// The next try starts then.
    RetryAt {
        /// When, Unix ms.
        at_ms: TimestampMs,
        /// How the last try ended.
        after: String,
    },
    /// The machine had no PTY, descriptor, process or disk left; tried again then.
    Resources {
        /// When, Unix ms.
        at_ms: TimestampMs,
        /// What was short.
        detail: String,
    },
    /// It was given to a worker ahead of its turn, and taken back before it began; the try does not count.
    Withdrawn,
    /// A session was lost; runs again at once, and the try does not count.
    Lost {
        /// What is known.
        detail: String,
    },
    /// All places of its concurrency group are taken.
    Group {
        /// The group.
        name: String,
    },
    /// A human must approve it first.
    Approval {
        /// The question.
        prompt: String,
        /// It fails then, Unix ms.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until_ms: Option<TimestampMs>,
    },
    /// Its items are at work.
    Items {
        /// How many there are.
        count: u32,
    },
    /// Its account was logged out several times in a row: nothing of it starts before then.
    Account {
        /// The account.
        name: String,
        /// Tried again then, Unix ms.
        until_ms: TimestampMs,
    },
}

/// A change of a task's state that no grant and no result explains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskChange {
    /// The task.
    pub task: TaskId,
    /// Its state from now on.
    pub state: TaskState,
    /// For terminal states: why. For running, where it was running before: its attempt is being stopped, for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<EndReason>,
    /// For queued: why it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued: Option<QueueReason>,
}

/// A task was given to a worker (`cis.dag.task.assigned`): the intent, durable before the start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantRecord {
    /// The task.
    pub task: TaskId,
    /// Which try, from 1.
    pub attempt: u32,
    /// Raised by each grant of the task.
    pub fence: Fence,
    /// The session that the worker is to start.
    pub session: SessionId,
    /// Who works on it.
    pub node: NodeDid,
    /// The session host of that node, where it is this one: a later instance cannot have it.
    pub host: Option<HostInstance>,
    /// For how long without renewal, ms; none for the node's own worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_ms: Option<u64>,
    /// Given before a slot was free: the worker lets it begin the moment that one is, and people see it
    /// queued until it is known to have begun.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ahead: bool,
}

/// An output as everybody may see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputRecord {
    /// The value, secrets replaced.
    pub value: Value,
    /// SHA-256 of the JSON of `value`, hex.
    pub hash: String,
    /// Where the real value lies (0600), when it differs from `value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blob: Option<BlobId>,
}

/// A file that a task left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactRecord {
    /// Below the task's directory, with `/` between names.
    pub path: String,
    /// Its content.
    pub blob: BlobId,
    /// Bytes.
    pub size: u64,
    /// Somebody may execute it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub executable: bool,
}

/// An attempt ended (`cis.dag.task.result`), and what its task is from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptResult {
    /// The task.
    pub task: TaskId,
    /// Which try.
    pub attempt: u32,
    /// Of the grant that it answers.
    pub fence: Fence,
    /// Its session.
    pub session: SessionId,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: AttemptOutcome,
    /// How its process ended, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<ExitStatus>,
    /// When its process started; none where none did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_ms: Option<TimestampMs>,
    /// When it ended.
    pub ended_ms: TimestampMs,
    /// What it wrote to `CIS_OUTPUT`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, OutputRecord>,
    /// Files that it left, in the order of their paths.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<ArtifactRecord>,
    /// The attempt whose result was taken from the cache; nothing ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached: Option<String>,
    /// Bytes that its terminal or pipe carried, those cut from the log included.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub log_bytes: u64,
    /// Whether this try counts against `retries`.
    pub counts: bool,
    /// State of the task from now on: terminal, or queued for the next try.
    pub state: TaskState,
    /// Where that is terminal: why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<EndReason>,
    /// Where that is queued: why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued: Option<QueueReason>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// Which tasks `dag retry` runs again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "scope")]
pub enum RetryScope {
    /// All of them.
    All,
    /// Those that did not succeed.
    Failed,
    /// This one and what needs it.
    From {
        /// The task.
        task: TaskId,
    },
}

/// Which limit a session is about to reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionLimit {
    /// No activity.
    Idle,
    /// Its life as a whole; a task's timeout.
    Lifetime,
}

/// What was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LostBy {
    /// The session host of this node died.
    Host,
    /// Another node stopped answering.
    Heartbeat,
}

/// Everything that can happen. The tag is the type's name in full.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "body")]
pub enum EventBody {
    /// A run is known.
    #[serde(rename = "cis.dag.run.created")]
    RunCreated(Box<RunCreated>),
    /// Its tasks may start.
    #[serde(rename = "cis.dag.run.started")]
    RunStarted {},
    /// Starts nothing new.
    #[serde(rename = "cis.dag.run.paused")]
    RunPaused {},
    /// Goes on.
    #[serde(rename = "cis.dag.run.resumed")]
    RunResumed {},
    /// Somebody, or the run's timeout, wants it to end; live sessions are being stopped.
    #[serde(rename = "cis.dag.run.cancelling")]
    RunCancelling {
        /// Who or what.
        reason: EndReason,
    },
    /// Every task ended well (state: succeeded).
    #[serde(rename = "cis.dag.run.completed")]
    RunCompleted {},
    /// A task failed, or time ran out.
    #[serde(rename = "cis.dag.run.failed")]
    RunFailed {
        /// What a person reads first.
        detail: String,
    },
    /// A task could not be run.
    #[serde(rename = "cis.dag.run.error")]
    RunErrored {
        /// What a person reads first.
        detail: String,
    },
    /// It ended because somebody cancelled it.
    #[serde(rename = "cis.dag.run.cancelled")]
    RunCancelled {},
    /// Tasks left their terminal state; each change names the new one.
    #[serde(rename = "cis.dag.run.retried")]
    RunRetried {
        /// What was asked for.
        #[serde(flatten)]
        scope: RetryScope,
        /// The tasks that run again, all pending or queued.
        changes: Vec<TaskChange>,
    },
    /// Local, hybrid or matrix from now on.
    #[serde(rename = "cis.dag.run.mode")]
    RunModeChanged {
        /// The new mode.
        mode: ExecutionMode,
        /// The room that follows it.
        room: Option<String>,
    },
    /// Another node coordinates it from here; what came after `cut` in the old epoch is void.
    #[serde(rename = "cis.dag.run.taken_over")]
    RunTakenOver {
        /// The new coordinator.
        owner: NodeDid,
        /// Its term.
        epoch: Epoch,
        /// Last journal index of the old term that counts.
        cut: u64,
    },
    /// Tasks changed state.
    #[serde(rename = "cis.dag.task.status")]
    TaskStatus {
        /// Each once, in the order of the file.
        changes: Vec<TaskChange>,
    },
    /// A task was granted; it is running from now on.
    #[serde(rename = "cis.dag.task.assigned")]
    TaskAssigned(GrantRecord),
    /// An attempt ended.
    #[serde(rename = "cis.dag.task.result")]
    TaskResult(Box<AttemptResult>),
    /// Tasks were added while the run runs.
    #[serde(rename = "cis.dag.task.added")]
    TasksAdded {
        /// The task whose session asked for them.
        parent: TaskId,
        /// The new ones.
        tasks: Vec<Task>,
    },
    /// A task with `foreach` became its items, which are added as `ID.1`, `ID.2` …
    #[serde(rename = "cis.dag.task.expanded")]
    TaskExpanded {
        /// The task.
        task: TaskId,
        /// Their values, secrets replaced.
        items: Vec<Value>,
    },
    /// The session of a task handed in its result: it is being ended, and counts as a success.
    #[serde(rename = "cis.dag.task.handed_in")]
    TaskHandedIn {
        /// The task.
        task: TaskId,
        /// Its session.
        session: SessionId,
        /// The result in words, redacted; it becomes the task's output.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
    },
    /// A human approved a task.
    #[serde(rename = "cis.dag.task.approved")]
    TaskApproved {
        /// The task.
        task: TaskId,
        /// Who: the name of the event's actor.
        by: String,
        /// In their words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        comment: Option<String>,
    },
    /// A session without a run was asked for.
    #[serde(rename = "cis.dag.session.created")]
    SessionCreated {
        /// It.
        session: SessionId,
        /// What it runs.
        argv: Vec<String>,
        /// The name it was given.
        name: Option<String>,
        /// The session host that is to start it.
        host: HostInstance,
    },
    /// Its process is there. Sessions of tasks that were over after 20 ms have no such event.
    #[serde(rename = "cis.dag.session.started")]
    SessionStarted {
        /// It.
        session: SessionId,
        /// The task it works on.
        task: Option<TaskId>,
        /// Of its first process.
        pid: u32,
    },
    /// It waits for a human.
    #[serde(rename = "cis.dag.session.blocked")]
    SessionBlocked {
        /// It.
        session: SessionId,
        /// The task it works on.
        task: Option<TaskId>,
        /// The prompt.
        #[serde(flatten)]
        prompt: Box<PromptRecord>,
    },
    /// It waits no more.
    #[serde(rename = "cis.dag.session.recovered")]
    SessionRecovered {
        /// It.
        session: SessionId,
        /// The task it works on.
        task: Option<TaskId>,
        /// Which prompt is over.
        episode: u32,
    },
    /// It has waited for too long: people are told again, more of them where the file says so.
    #[serde(rename = "cis.dag.session.escalated")]
    SessionEscalated {
        /// It.
        session: SessionId,
        /// The task it works on.
        task: Option<TaskId>,
        /// The prompt.
        item: InboxId,
        /// For so long it has waited, ms.
        after_ms: u64,
    },
    /// It asks people something by itself.
    #[serde(rename = "cis.dag.session.asked")]
    SessionAsked {
        /// It.
        session: SessionId,
        /// The task it works on.
        task: Option<TaskId>,
        /// What.
        #[serde(flatten)]
        ask: Box<AskRecord>,
    },
    /// Nobody needs to answer any more what it asked.
    #[serde(rename = "cis.dag.session.ask_withdrawn")]
    AskWithdrawn {
        /// It.
        session: SessionId,
        /// The task it works on.
        task: Option<TaskId>,
        /// The ask.
        item: InboxId,
        /// Why.
        detail: String,
    },
    /// It tells people something.
    #[serde(rename = "cis.dag.session.said")]
    SessionSaid {
        /// It.
        session: SessionId,
        /// The task it works on.
        task: Option<TaskId>,
        /// What.
        #[serde(flatten)]
        said: Box<SaidRecord>,
    },
    /// Somebody answered it. Of a prompt on its screen: what is typed is typed after this, once.
    #[serde(rename = "cis.dag.session.answered")]
    SessionAnswered {
        /// It.
        session: SessionId,
        /// The task it works on.
        task: Option<TaskId>,
        /// What was answered.
        item: InboxId,
        /// Idempotency key of the answer.
        input: InputId,
        /// What.
        #[serde(flatten)]
        answer: Box<AnswerRecord>,
    },
    /// An answer did not reach it: nothing of it was typed, and the prompt, if it is still there, waits.
    #[serde(rename = "cis.dag.session.answer_void")]
    AnswerVoid {
        /// It.
        session: SessionId,
        /// The task it works on.
        task: Option<TaskId>,
        /// What was answered.
        item: InboxId,
        /// Of the answer.
        input: InputId,
        /// Why.
        detail: String,
    },
    /// It will be ended soon, unless it becomes active (idle).
    #[serde(rename = "cis.dag.session.expiring")]
    SessionExpiring {
        /// It.
        session: SessionId,
        /// The task it works on.
        task: Option<TaskId>,
        /// Which limit.
        limit: SessionLimit,
        /// When, Unix ms.
        at_ms: TimestampMs,
    },
    /// Somebody sent it input through CIS, other than by typing into an attached terminal.
    #[serde(rename = "cis.dag.session.input")]
    SessionInput {
        /// It.
        session: SessionId,
        /// The task it works on.
        task: Option<TaskId>,
        /// Idempotency key of the input.
        input: InputId,
        /// How much, bytes. Never the text itself, which may be a secret.
        bytes: u32,
    },
    /// A session without a run ended.
    #[serde(rename = "cis.dag.session.ended")]
    SessionEnded {
        /// It.
        session: SessionId,
        /// How its process ended; none where it was lost or never started.
        exit: Option<ExitStatus>,
        /// What else is to be said.
        detail: Option<String>,
        /// When, Unix ms.
        ended_ms: TimestampMs,
        /// Bytes that its terminal or pipe carried.
        log_bytes: u64,
    },
    /// A node came up.
    #[serde(rename = "cis.dag.node.started")]
    NodeStarted {
        /// Who.
        did: NodeDid,
        /// Version of the program.
        version: String,
        /// Of its process.
        pid: u32,
        /// The session host that it adopted or started.
        host: Option<HostInstance>,
    },
    /// A node ended as asked.
    #[serde(rename = "cis.dag.node.stopped")]
    NodeStopped {
        /// Why.
        reason: String,
    },
    /// What a node or a session host had is gone.
    #[serde(rename = "cis.dag.node.lost")]
    NodeLost {
        /// Whose.
        did: NodeDid,
        /// How we know.
        by: LostBy,
        /// The session host that is gone.
        host: Option<HostInstance>,
    },
    /// A concurrency group of this node was made, changed or removed.
    #[serde(rename = "cis.dag.node.group")]
    NodeGroup {
        /// Its name.
        name: String,
        /// What holds from now on; none: it was removed.
        group: Option<Group>,
    },
    /// What ended runs and sessions had left was removed: logs, and blobs that nothing else refers to.
    #[serde(rename = "cis.dag.node.cleaned")]
    NodeCleaned {
        /// By which rule, in words.
        rule: String,
        /// Whose.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        runs: Vec<RunId>,
        /// Sessions without a run.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        sessions: Vec<SessionId>,
    },
    /// A request was refused.
    #[serde(rename = "cis.dag.node.denied")]
    AccessDenied {
        /// What was asked.
        action: String,
        /// Why not.
        detail: String,
    },
}

impl EventBody {
    /// The type's name in full, `cis.dag.…`.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::RunCreated(_) => "cis.dag.run.created",
            Self::RunStarted {} => "cis.dag.run.started",
            Self::RunPaused {} => "cis.dag.run.paused",
            Self::RunResumed {} => "cis.dag.run.resumed",
            Self::RunCancelling { .. } => "cis.dag.run.cancelling",
            Self::RunCompleted {} => "cis.dag.run.completed",
            Self::RunFailed { .. } => "cis.dag.run.failed",
            Self::RunErrored { .. } => "cis.dag.run.error",
            Self::RunCancelled {} => "cis.dag.run.cancelled",
            Self::RunRetried { .. } => "cis.dag.run.retried",
            Self::RunModeChanged { .. } => "cis.dag.run.mode",
            Self::RunTakenOver { .. } => "cis.dag.run.taken_over",
            Self::TaskStatus { .. } => "cis.dag.task.status",
            Self::TaskAssigned(_) => "cis.dag.task.assigned",
            Self::TaskResult(_) => "cis.dag.task.result",
            Self::TasksAdded { .. } => "cis.dag.task.added",
            Self::TaskExpanded { .. } => "cis.dag.task.expanded",
            Self::TaskApproved { .. } => "cis.dag.task.approved",
            Self::SessionCreated { .. } => "cis.dag.session.created",
            Self::SessionStarted { .. } => "cis.dag.session.started",
            Self::SessionBlocked { .. } => "cis.dag.session.blocked",
            Self::SessionEscalated { .. } => "cis.dag.session.escalated",
            Self::SessionAsked { .. } => "cis.dag.session.asked",
            Self::AskWithdrawn { .. } => "cis.dag.session.ask_withdrawn",
            Self::SessionSaid { .. } => "cis.dag.session.said",
            Self::SessionAnswered { .. } => "cis.dag.session.answered",
            Self::AnswerVoid { .. } => "cis.dag.session.answer_void",
            Self::TaskHandedIn { .. } => "cis.dag.task.handed_in",
            Self::SessionRecovered { .. } => "cis.dag.session.recovered",
            Self::SessionExpiring { .. } => "cis.dag.session.expiring",
            Self::SessionInput { .. } => "cis.dag.session.input",
            Self::SessionEnded { .. } => "cis.dag.session.ended",
            Self::NodeStarted { .. } => "cis.dag.node.started",
            Self::NodeStopped { .. } => "cis.dag.node.stopped",
            Self::NodeLost { .. } => "cis.dag.node.lost",
            Self::NodeGroup { .. } => "cis.dag.node.group",
            Self::NodeCleaned { .. } => "cis.dag.node.cleaned",
            Self::AccessDenied { .. } => "cis.dag.node.denied",
        }
    }

    /// What it is about, by its name.
    #[must_use]
    pub fn category(&self) -> Category {
        match self.type_name().split('.').nth(2) {
            Some("run") => Category::Run,
            Some("task") => Category::Task,
            Some("session") => Category::Session,
            _ => Category::Node,
        }
    }

    /// The body's JSON alone, as it is stored beside the type's name.
    ///
    /// # Errors
    /// Never for the types here; a map with non-string keys would.
    pub fn body_json(&self) -> Result<String, serde_json::Error> {
        match self {
            Self::RunCreated(body) => serde_json::to_string(body),
            Self::TaskAssigned(body) => serde_json::to_string(body),
            Self::TaskResult(body) => serde_json::to_string(body),
            other => {
                // `{"type":NAME,"body":BODY}`: cut out as text, as a batch of 10,000 changes makes a big tree.
                let text = serde_json::to_string(other)?;
                let head = r#"{"type":"","body":"#.len() + other.type_name().len();
                Ok(text.get(head..text.len().saturating_sub(1)).unwrap_or("{}").to_owned())
            }
        }
    }

    /// Reads a stored type and body back.
    ///
    /// # Errors
    /// The body is not JSON, or not of that type's shape; or this version does not know the type.
    pub fn from_parts(type_name: &str, body: &str) -> Result<Self, serde_json::Error> {
        match type_name {
            "cis.dag.run.created" => Ok(Self::RunCreated(serde_json::from_str(body)?)),
            "cis.dag.task.assigned" => Ok(Self::TaskAssigned(serde_json::from_str(body)?)),
            "cis.dag.task.result" => Ok(Self::TaskResult(serde_json::from_str(body)?)),
            _ => {
                let type_name = serde_json::to_string(type_name)?;
                serde_json::from_str(&format!(r#"{{"type":{type_name},"body":{body}}}"#))
            }
        }
    }
}
