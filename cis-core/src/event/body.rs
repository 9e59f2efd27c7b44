//! The enum of everything that can happen, `cis.dag.*`.

mod names;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::facts::{AttemptResult, GrantRecord, LostBy, RetryScope, RunCreated, SessionLimit, TaskChange};
use super::node_rule::NodeRule;
use super::outcome::{EndReason, ExitStatus};
use super::states::ExecutionMode;
use crate::dag::{Group, Task};
use crate::identity::Right;
use crate::ids::{
    Epoch, HostInstance, InboxId, InputId, NodeDid, RunId, SessionId, TaskId, TimestampMs, TokenId,
};
use crate::people::Role;
use crate::prompt::{AnswerRecord, AskRecord, PromptRecord, SaidRecord};

/// Everything that can happen. The tag is the type's name in full.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
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
    /// Somebody, or the run's timeout, wants it to end; live sessions are being stopped. The same event a second time: tasks that run `always`
    /// and handlers are stopped as well.
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
        /// A person, or a majority of the voters, chose the new coordinator while the homeservers of the two may be cut off from each
        /// other: it counts wherever it stands in the timeline.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        forced: bool,
        /// A majority of the voters chose it, and no person: of several forced ones this one counts.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        voted: bool,
        /// What follows after `cut` is missing, and was waited for: it counts although a file with that stands before it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        lost: bool,
    },
    /// What this node stored of the run before does not count: another node took it over, and what its room tells of it
    /// follows. Of this node alone.
    #[serde(rename = "cis.dag.run.voided")]
    RunVoided {},
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
        /// Why CIS does not give the default answer of the file at the deadline.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        withheld: Option<String>,
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
    /// A token for the API over TCP was made, or is void from now on.
    #[serde(rename = "cis.dag.node.token")]
    NodeToken {
        /// Its id. The token itself stands nowhere.
        token: TokenId,
        /// Its name.
        name: String,
        /// What it may do from now on: viewer, operator or admin; none: nothing more, it was revoked.
        role: Option<Role>,
        /// It counts until then, Unix ms; none: until it is revoked.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_ms: Option<TimestampMs>,
    },
    /// A rule of the node's own policy was added or removed: which tasks of other nodes it executes.
    #[serde(rename = "cis.dag.node.policy")]
    NodePolicy {
        /// Number of the rule. A number is never given twice.
        number: u32,
        /// What holds from now on; none: the rule was removed.
        rule: Option<Box<NodeRule>>,
        /// Who: the name of the event's actor.
        by: String,
    },
    /// This node, as an owner of a room, was asked to sign what another node may do there. It is recorded before the room gets it.
    #[serde(rename = "cis.dag.node.rights")]
    NodeRights {
        /// The room.
        room: String,
        /// Whose rights.
        node: NodeDid,
        /// What it may do from now on: submit, coordinate, execute; empty: nothing.
        may: BTreeSet<Right>,
        /// It gets only tasks that ask for some of these tags; empty: all.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        tags: BTreeSet<String>,
        /// The name that it gets in the room.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// Its key is revoked, for good.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        revoked: bool,
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
