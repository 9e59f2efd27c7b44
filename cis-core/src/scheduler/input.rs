//! What goes into the scheduler and what comes out. Everything it knows of the world comes this way.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::placement::NodeOffer;
use super::room_share::RoomShare;
use crate::api::FromWorker;
use crate::dag::{Dag, Group, Task};
use crate::event::{Actor, ExecutionMode, GrantRecord, LostBy, PromptRecord, RetryScope, RunCreated};
use crate::ids::{
    AttemptId, Epoch, Fence, HostInstance, InboxId, InputId, NodeDid, RunId, SessionId, TaskId, TimestampMs,
};

/// One thing that happened, with who caused it.
#[derive(Debug, Clone)]
pub struct Input {
    /// What.
    pub kind: InputKind,
    /// Who; none: this node.
    pub actor: Option<Actor>,
    /// Under which id; it becomes the cause of the events.
    pub cause: Option<InputId>,
}

impl Input {
    /// An input that nobody asked for from outside.
    #[must_use]
    pub fn internal(kind: InputKind) -> Self {
        Self { kind, actor: None, cause: None }
    }
}

/// What happened.
#[derive(Debug, Clone)]
pub enum InputKind {
    /// A run was submitted. `start` starts it at once.
    Submit {
        /// Its id.
        run: RunId,
        /// Its facts.
        facts: Box<RunCreated>,
        /// Its file.
        dag: Arc<Dag>,
        /// Start it at once.
        start: bool,
    },
    /// Start a created run.
    Start {
        /// Which.
        run: RunId,
    },
    /// Start nothing new.
    Pause {
        /// Which.
        run: RunId,
    },
    /// Go on.
    Resume {
        /// Which.
        run: RunId,
    },
    /// End it: live sessions are stopped, the rest is not started.
    Cancel {
        /// Which.
        run: RunId,
        /// Also cancel tasks with the trigger `always` and handlers.
        now: bool,
    },
    /// Run tasks of an ended run again.
    Retry {
        /// Which.
        run: RunId,
        /// Which tasks.
        scope: RetryScope,
    },
    /// A human decided about a task that waits for approval.
    Decide {
        /// Which.
        run: RunId,
        /// The task.
        task: TaskId,
        /// It may start; otherwise it fails.
        approve: bool,
        /// In their words.
        reason: Option<String>,
    },
    /// A concurrency group of the node is made, changed, or removed (none).
    SetGroup {
        /// Its name.
        name: String,
        /// What holds from now on.
        group: Option<Group>,
    },
    /// A room has these concurrency groups, in place of those that it had before.
    RoomGroups {
        /// The room.
        room: String,
        /// By name.
        groups: BTreeMap<String, Group>,
    },
    /// This node may take so much of the groups of a room from now on.
    RoomShare {
        /// The room.
        room: String,
        /// How much.
        share: RoomShare,
    },
    /// A worker said something.
    Worker(FromWorker),
    /// A human wants this session's task to end (`cis dag kill`). It ends as cancelled, without another try.
    KillTask {
        /// The try.
        attempt: AttemptId,
        /// Between SIGTERM and SIGKILL, ms; none: as the task says.
        grace_ms: Option<u64>,
    },
    /// The session of an attempt waits for a human.
    Blocked {
        /// The try.
        attempt: AttemptId,
        /// The prompt.
        prompt: Box<PromptRecord>,
    },
    /// It waits no more.
    Unblocked {
        /// The try.
        attempt: AttemptId,
        /// Which prompt is over.
        episode: u32,
    },
    /// The session of an attempt hands in its result: it is ended gracefully, and counts as a success.
    HandIn {
        /// The try.
        attempt: AttemptId,
        /// The result in words, redacted, 64 KiB at most; it stands for the task's output.
        text: Option<String>,
    },
    /// What the file says for a deadline could not be answered: the prompt has no such option, say. Not where
    /// somebody else was first.
    DefaultRefused {
        /// The try.
        attempt: AttemptId,
        /// The prompt.
        item: InboxId,
        /// Why.
        detail: String,
    },
    /// The program of an attempt is not logged in: its session is ended.
    LoggedOut {
        /// The try.
        attempt: AttemptId,
        /// Which account.
        account: String,
        /// Another try may help.
        retryable: bool,
        /// What is known, redacted.
        detail: String,
    },
    /// A session got on with an account: it is logged in.
    LoginWorked {
        /// Which account.
        account: String,
    },
    /// Tasks are added to a run while it runs.
    TasksAdded {
        /// The run.
        run: RunId,
        /// Who asks.
        parent: TaskId,
        /// The new ones.
        tasks: Vec<Task>,
    },
    /// Local, hybrid or matrix from now on.
    ModeChanged {
        /// The run.
        run: RunId,
        /// The mode.
        mode: ExecutionMode,
        /// Its room.
        room: Option<String>,
    },
    /// A node, or the session host of one, is gone with all that it had.
    NodeLost {
        /// Whose.
        node: NodeDid,
        /// Only attempts granted to this instance; none: all of that node.
        host: Option<HostInstance>,
        /// How we know.
        by: LostBy,
        /// Sessions whose end is known and will be reported, so their attempts are not lost.
        ended: Vec<SessionId>,
    },
    /// One attempt is known to be gone.
    AttemptLost {
        /// The try.
        attempt: AttemptId,
        /// What is known.
        detail: String,
    },
    /// Another node coordinates the run.
    TakenOver {
        /// The run.
        run: RunId,
        /// The new coordinator.
        owner: NodeDid,
        /// Its term.
        epoch: Epoch,
        /// Last journal index of the old term that counts.
        cut: u64,
    },
    /// A node offers to work on tasks of runs in Matrix mode; this node says so of itself too.
    NodeOffer {
        /// In which room.
        room: String,
        /// Who.
        node: NodeDid,
        /// What; none: it takes nothing more. What it has is not lost by that.
        offer: Option<NodeOffer>,
    },
    /// After a takeover: a worker has an attempt that the coordinator before this one granted, and its journal does not tell.
    Adopt {
        /// The run.
        run: RunId,
        /// The grant, as its worker knows it.
        grant: Box<GrantRecord>,
        /// What the owners of the room say of that worker. It counts until the worker says itself what it offers.
        member: Box<NodeOffer>,
    },
    /// What workers have of a run is not known yet, or is known now: nothing of it is granted in between.
    HoldGrants {
        /// The run.
        run: RunId,
        /// From now on, or no longer.
        held: bool,
    },
    /// Everything that happened in a run before question `number` ([`Effect::AwaitRoom`]) is final: it was read back from the room, or no
    /// other node could void it.
    RoomHas {
        /// The run.
        run: RunId,
        /// The question.
        number: u64,
    },
    /// How many sessions outside of runs are live: they share `max_sessions`.
    ForeignSessions {
        /// That many.
        count: u32,
    },
    /// Time passed: whatever is due.
    Tick,
}

/// Why an input changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// No such open run here.
    #[error("no run {0} on this node")]
    NoRun(RunId),
    /// No such task in it.
    #[error("run {run} has no task `{task}`")]
    NoTask {
        /// The run.
        run: RunId,
        /// The task.
        task: TaskId,
    },
    /// The node has no such group.
    #[error("this node has no group `{0}`: `cis group list` shows those that it has")]
    NoGroup(String),
    /// What was asked for makes no sense, whatever the state.
    #[error("{0}")]
    Invalid(String),
    /// The run, task or attempt is not in a state for that.
    #[error("{0}")]
    State(String),
    /// An old fence, an unknown attempt, or a second result: ignored.
    #[error("stale: {0}")]
    Stale(String),
}

/// What is to be done after the events are durable, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Grant the attempt: complete its spec and give it to the worker.
    Grant {
        /// The try.
        attempt: AttemptId,
        /// The session to start.
        session: SessionId,
        /// Of the grant.
        fence: Fence,
        /// Whose worker it is for.
        node: NodeDid,
    },
    /// Stop the attempt.
    Cancel {
        /// The try.
        attempt: AttemptId,
        /// Of its grant.
        fence: Fence,
        /// Between SIGTERM and SIGKILL, ms.
        grace_ms: u64,
        /// Its result was handed in: what it leaves is collected as after an end of its own.
        keep: bool,
    },
    /// What the run's worker holds ahead of its turn is to be given back.
    Withdraw {
        /// The run.
        run: RunId,
    },
    /// The result is recorded: the worker may forget it.
    Ack {
        /// The try.
        attempt: AttemptId,
        /// Of its grant.
        fence: Fence,
    },
    /// Tasks with `commit = "room"` could start: answer with [`InputKind::RoomHas`] once all that has happened in the run is final.
    /// Numbers rise from question to question of a run.
    AwaitRoom {
        /// The run.
        run: RunId,
        /// Of this question.
        number: u64,
    },
    /// Nobody answered in time, and the file says what is answered then. Asked for again after a restart of
    /// the node: the first answer of a prompt counts, so it is given once.
    Answer {
        /// The try.
        attempt: AttemptId,
        /// Its session.
        session: SessionId,
        /// The prompt.
        item: InboxId,
        /// One of its options, or words.
        answer: String,
    },
    /// A prompt has waited for too long: people are told again. Its event is stored; a node that dies
    /// before it tells them does not do it again.
    Escalate {
        /// The try.
        attempt: AttemptId,
        /// Its session.
        session: SessionId,
        /// The prompt.
        item: InboxId,
        /// Who is told beside those that always are, values in place.
        notify: Vec<String>,
    },
    /// What `on_blocked` runs is to be run, beside the session and once for each prompt: as the task's own
    /// `on_blocked` says. A node that dies before it does so does not do it again.
    RunCommand {
        /// The try.
        attempt: AttemptId,
        /// Its session.
        session: SessionId,
        /// The prompt.
        prompt: Box<PromptRecord>,
    },
}

/// Why the machine wants to be woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WakeReason {
    /// A try is due.
    Retry,
    /// A run has taken too long.
    RunTimeout,
    /// Nobody has approved a task in time.
    Approval,
    /// A session has waited for a human for too long.
    Prompt,
}

/// Supplies ids: the machine has no randomness of its own.
pub trait IdSource {
    /// A session id that was never given before.
    fn session_id(&mut self, now_ms: TimestampMs) -> SessionId;
}
