//! What the API's threads ask of the driver, and the handle by which they do.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::bound_tasks::BoundTasks;
use crate::file_jobs::Done;
use crate::victims::Victims;
use crate::wrong::Wrong;
use cis_core::agent::Launch;
use cis_core::api::{
    Answer, AnswerReceipt, Ask, CreateSession, Decide, GroupView, HandIn, InputReceipt, Problem, ProblemKind,
    RoomNodeView, RoomWrite, Say, TimeView, WhyView,
};
use cis_core::dag::{Dag, Group};
use cis_core::event::{
    Actor, EventBody, EventDraft, ExecutionMode, NodeRule, PromptRecord, RetryScope, RunCreated,
};
use cis_core::federation::direct::TaskPayload;
use cis_core::federation::journal::Position;
use cis_core::federation::protocol::BootMs;
use cis_core::federation::protocol::groups::Term;
use cis_core::federation::protocol::message::Message;
use cis_core::federation::recovery::{Extent, Fork};
use cis_core::ids::AttemptId;
use cis_core::ids::{InboxId, InputId, NodeDid, RunId, SessionId, TaskId, TimestampMs};
use cis_core::people::Allowed;
use cis_core::policy::node_rules::{KeptRule, NodeRules};
use cis_core::policy::{Permit, Principal, act};
use cis_core::term_size::TermSize;
use cis_host::hub::{HubError, Sighting};
use cis_store::{TaskSeed, Unsynced};

/// A takeover that was not read back from its room after so long may come later, or not.
pub(super) const TAKEOVER_TIME_MAX: Duration = Duration::from_secs(20);

/// Where an answer goes once what it says is durable.
pub(super) type Reply<T> = oneshot::Sender<Result<T, Problem>>;

/// What can be done to a run that exists.
#[derive(Debug, Clone)]
pub(super) enum RunVerb {
    Start,
    Pause,
    Resume,
    Cancel {
        /// Also cancel tasks with the trigger `always` and handlers.
        now: bool,
    },
    Retry(RetryScope),
    /// With the room that follows it from now on.
    Mode(ExecutionMode, Option<String>),
    Decide(TaskId, Decide),
}

impl RunVerb {
    /// What the store remembers of an input that did this; none: sent again, it does nothing more.
    pub(super) fn made(&self, run: RunId) -> Option<String> {
        match self {
            Self::Cancel { .. } => Some(cancelled(run)),
            Self::Retry(_) => Some(retried(run)),
            Self::Decide(task, _) => Some(decided(run, task)),
            Self::Start => Some(format!("started {run}")),
            Self::Pause => Some(format!("paused {run}")),
            Self::Resume => Some(format!("resumed {run}")),
            Self::Mode(..) => None,
        }
    }
}

/// Something that is to be done to a run. Its fields are private: there is none without a permit.
#[derive(Debug)]
pub(super) struct AskedOfRun {
    run: RunId,
    verb: RunVerb,
    input: Option<InputId>,
    who: Principal,
}

impl AskedOfRun {
    /// What somebody wants done to the run that the permit is for. With an `input` it counts once, however often it is
    /// asked.
    pub(super) fn new(permit: &Permit<act::ControlRun>, verb: RunVerb, input: Option<InputId>) -> Self {
        Self { run: permit.target(), verb, input, who: permit.principal().clone() }
    }

    /// A decision that answers an item of the inbox. The driver asks the approval whether this person may decide it.
    pub(super) fn answer(
        permit: &Permit<act::Answer>,
        run: RunId,
        task: TaskId,
        decide: Decide,
        input: InputId,
    ) -> Self {
        let verb = RunVerb::Decide(task, decide);
        Self { run, verb, input: Some(input), who: permit.principal().clone() }
    }

    pub(super) fn run(&self) -> RunId {
        self.run
    }

    pub(super) fn verb(&self) -> &RunVerb {
        &self.verb
    }

    pub(super) fn into_parts(self) -> (RunId, RunVerb, Option<InputId>, Principal) {
        (self.run, self.verb, self.input, self.who)
    }
}

/// A run that was read, checked and stored as a blob; only its creation is missing.
#[derive(Debug)]
pub(super) struct NewRun {
    pub(super) run: RunId,
    pub(super) facts: RunCreated,
    pub(super) dag: Arc<Dag>,
    pub(super) start: bool,
    pub(super) input: InputId,
}

/// A run with all that happened to it.
#[derive(Debug)]
pub(super) struct RunToKeep {
    pub(super) run: RunId,
    /// What happened, its creation first.
    pub(super) drafts: Vec<EventDraft>,
    /// The tasks of its file.
    pub(super) tasks: Vec<TaskSeed>,
    /// Where its journal stands, which this node goes on with; none: another node's.
    pub(super) journal: Option<String>,
}

/// A session that is to be made alone, its command in place.
#[derive(Debug)]
pub(super) struct NewSession {
    pub(super) request: CreateSession,
    /// Of an agent: how it gets its prompt, where that is no argument.
    pub(super) launch: Launch,
}

/// For whom this node has a session of another node's run.
#[derive(Debug)]
pub(super) struct HeldFor {
    pub(super) room: String,
    pub(super) attempt: AttemptId,
    pub(super) coordinator: NodeDid,
}

/// An answer to a session that this node has for another one.
#[derive(Debug)]
pub(super) struct AnswerHeld {
    pub(super) room: String,
    /// The node that forwards it.
    pub(super) from: NodeDid,
    pub(super) session: SessionId,
    pub(super) item: InboxId,
    pub(super) answer: Answer,
    /// The request of the answer beside which this one is given, where it is one more.
    pub(super) beside: Option<InputId>,
    /// It is a default: see [`Given::by_default`].
    pub(super) by_default: bool,
    /// Who answers, as that node says.
    pub(super) by: String,
    /// With what is told of it comes where the outcome of typing comes; none: nothing is typed.
    pub(super) reply: Reply<(AnswerReceipt, Option<oneshot::Receiver<TypingOutcome>>)>,
}

/// An answer that was looked at: its option is known, its text is clean.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) session: SessionId,
    pub(super) item: InboxId,
    /// The session asked by itself: nothing is typed.
    pub(super) is_ask: bool,
    /// Of the prompt that it is for.
    pub(super) hash: String,
    pub(super) option: Option<String>,
    pub(super) text: String,
    pub(super) reason: Option<String>,
    pub(super) answer: Typed,
    /// It is one more answer, beside the one of this time.
    pub(super) again: Option<TimestampMs>,
    /// Nobody has looked at the screen: it is the default of the task's file.
    pub(super) by_default: bool,
}

impl Given {
    /// What is told of it before anything is typed.
    pub(super) fn receipt(&self, by: String) -> AnswerReceipt {
        let bytes = u32::try_from(self.answer.bytes.len()).unwrap_or(u32::MAX);
        AnswerReceipt { bytes, ..AnswerReceipt::new(self.item.clone(), by, self.text.clone()) }
    }
}

/// What an answer types, and under which id it counts once.
#[derive(Debug)]
pub(super) struct Typed {
    pub(super) input: InputId,
    pub(super) bytes: Vec<u8>,
    /// They are words for a line, with Enter.
    pub(super) is_line: bool,
}

/// What the store remembers of an input that ended a run before its time.
pub(super) fn cancelled(run: RunId) -> String {
    format!("cancelled {run}")
}

/// What the store remembers of an input by which a run was tried again.
pub(super) fn retried(run: RunId) -> String {
    format!("retried {run}")
}

/// What the store remembers of an input that approved or rejected.
pub(super) fn decided(run: RunId, task: &TaskId) -> String {
    format!("decided {task} of {run}")
}

/// What the store remembers of an input that came with this event of a room and has no other result in the store.
pub(super) fn taken_with(event: &str) -> String {
    format!("taken with {event}")
}

/// Whether an input that makes nothing in the store was taken before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    Now,
    /// It came with the same event. If the node stopped then, what it asks for may not be done.
    BySame,
    /// It came with another event.
    ByAnother,
}

/// What a session waits at.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// As people were told.
    pub(super) told: Option<Box<PromptRecord>>,
    /// Or will be told then, at the latest.
    pub(super) held_ms: Option<TimestampMs>,
}

/// A change of the node's own policy.
#[derive(Debug)]
pub(super) enum PolicyChange {
    Add(Box<NodeRule>),
    /// The rule with this number.
    Remove(u32),
}

/// One request to the driver.
#[derive(Debug)]
pub(super) enum Command {
    /// Answers with the run: an earlier one, where the same input made one before.
    Create {
        new: Box<NewRun>,
        permit: Permit<act::CreateRun>,
        reply: Reply<RunId>,
    },
    Run {
        asked: AskedOfRun,
        reply: Reply<()>,
    },
    /// Who may decide an approval from a room. Answers none where its file does not say that, or nobody is
    /// asked.
    Allowed {
        run: RunId,
        task: TaskId,
        reply: Reply<Option<Allowed>>,
    },
    /// Answers none where the run is not open, or was submitted to another node.
    BoundTasks {
        run: RunId,
        reply: Reply<Option<BoundTasks>>,
    },
    /// Finds a task of the run whose undecided approval depends on the power levels of the run's room.
    HeldByRoom {
        run: RunId,
        reply: Reply<Option<TaskId>>,
    },
    /// Answers none where the run is not open.
    Why {
        run: RunId,
        task: TaskId,
        reply: Reply<Option<WhyView>>,
    },
    /// Answers none where the run is not open, and was not a moment ago where totals are enough.
    Times {
        run: RunId,
        totals: bool,
        reply: Reply<Option<TimeView>>,
    },
    Groups {
        reply: Reply<Vec<GroupView>>,
    },
    SetGroup {
        name: String,
        group: Option<Group>,
        permit: Permit<act::ControlGroups>,
        reply: Reply<()>,
    },
    /// The rules of the node's own policy.
    Policy {
        reply: Reply<NodeRules>,
    },
    /// Answers with the rule that was added or removed.
    ChangePolicy {
        change: PolicyChange,
        permit: Permit<act::ControlPolicy>,
        reply: Reply<KeptRule>,
    },
    CreateSession {
        session: SessionId,
        new: Box<NewSession>,
        permit: Permit<act::CreateSession>,
        reply: Reply<SessionId>,
    },
    Kill {
        permit: Permit<act::ControlSession>,
        grace_ms: Option<u64>,
        reply: Reply<()>,
    },
    /// Makes the hub know a session that lives but was too young for that.
    Expose {
        session: SessionId,
        reply: Reply<()>,
    },
    /// For whom this node has a session of another node's run.
    HeldFor {
        session: SessionId,
        reply: Reply<Option<HeldFor>>,
    },
    /// An input is about to be typed: record it, once for each id.
    Typing {
        permit: Permit<act::ControlSession>,
        input: InputId,
        bytes: u32,
        reply: Reply<()>,
    },
    /// The monitor saw something.
    Seen(Box<Sighting>),
    /// The terminal of a session has another size.
    Resized {
        session: SessionId,
        size: TermSize,
    },
    /// An answer was not typed.
    NotTyped(Box<NotTyped>),
    /// What a session waits at, as people were told, or will be.
    Waiting {
        session: SessionId,
        reply: Reply<Waiting>,
    },
    /// A session asks people something.
    Ask {
        permit: Permit<act::SpeakAs>,
        ask: Box<Ask>,
        reply: Reply<InboxId>,
    },
    /// Whoever waits for the answer to an ask is still there.
    StillWaiting {
        session: SessionId,
        item: InboxId,
    },
    /// Whoever waited for the answer to an ask that was made without waiting does so no more.
    WaitsNoMore {
        session: SessionId,
        item: InboxId,
    },
    /// Whoever asked waits no more.
    WithdrawAsk {
        permit: Permit<act::SpeakAs>,
        item: InboxId,
        reply: Reply<()>,
    },
    /// A session tells people something.
    Say {
        permit: Permit<act::SpeakAs>,
        say: Box<Say>,
        reply: Reply<()>,
    },
    /// A session hands in the result of its task.
    HandIn {
        permit: Permit<act::SpeakAs>,
        result: HandIn,
        reply: Reply<()>,
    },
    /// Somebody answers a session. Reply: none if nothing is typed.
    Answer {
        given: Box<Given>,
        permit: Permit<act::ControlSession>,
        reply: Reply<AnswerTyped>,
    },
    /// The coordinator of a run forwards an answer to a session that this node has for it.
    AnswerHeld(Box<AnswerHeld>),
    /// The answer of a task's file cannot be given to its session.
    DefaultRefused {
        attempt: AttemptId,
        item: InboxId,
        detail: String,
    },
    Denied {
        action: String,
        detail: String,
        actor: Actor,
    },
    /// Records something that is about to be, or was, done elsewhere.
    Record {
        body: Box<EventBody>,
        actor: Actor,
        reply: Reply<()>,
    },
    /// Takes an input that makes nothing in the store.
    TakeInput {
        input: InputId,
        /// The event of a room with which it came.
        event: String,
        reply: Reply<Taken>,
    },
    /// Makes it durable that what these left is about to be removed. Answers without those that are open
    /// again: nothing of them may go.
    Cleaning {
        victims: Vec<Victims>,
        actor: Actor,
        reply: Reply<Vec<Victims>>,
    },
    /// Keeps a run that came out of its room, all of it or nothing. Answers whether it is new.
    Recover {
        run: Box<RunToKeep>,
        /// What the store has of it is void.
        replaces: bool,
        reply: Reply<bool>,
    },
    /// Keeps what happened to a run of another node; durable when answered.
    Observe {
        drafts: Vec<EventDraft>,
        /// It is this node's from now on, and its journal is followed in a room.
        journal: Option<TakenJournal>,
        reply: Reply<()>,
    },
    /// Keeps what rooms were told, all of it or nothing.
    Rooms {
        writes: Vec<RoomWrite>,
        reply: Reply<()>,
    },
    /// Another room took the place of one: open runs that it follows are followed there.
    RoomReplaced {
        old: String,
        new: String,
        reply: Reply<()>,
    },
    /// Gives what is committed by now, to wait until it survives a power cut, too. The driver waits only the first time, for the
    /// database file: that takes long while the disk writes other files.
    Sync {
        reply: Reply<Unsynced>,
    },
    /// A request with this idempotency key is about to be carried out. Answers whether the same request was carried out before;
    /// refuses if the key was used for another one.
    Begin {
        input: InputId,
        /// Of the request's content.
        digest: String,
        reply: Reply<bool>,
    },
    /// The request is over.
    End {
        input: InputId,
    },
    /// The other nodes of a room are heard from now on.
    RoomServed {
        /// As it was asked for.
        name: String,
        /// Its id.
        room: String,
    },
    /// All that was in a room at `at` was read.
    RoomRead {
        room: String,
        at: BootMs,
        /// What is new of its runs.
        heads: Vec<Head>,
        /// The newest term of a keeper of its groups.
        term: Option<Term>,
    },
    /// The journal of a run is forked.
    Forked {
        room: String,
        run: RunId,
        fork: Fork,
        /// What this node wrote last of its own run, where that does not count.
        lost: Option<Position>,
    },
    /// The homeserver does not answer.
    RoomsAway,
    /// Another node coordinates a run that this one did.
    Overtaken {
        run: RunId,
        reply: Reply<()>,
    },
    /// This node is to coordinate a run of another one.
    TakeOver {
        permit: Permit<act::ControlRun>,
        /// The room whose nodes share its tasks, if the store has it as an open run of such a room.
        room: Option<String>,
        reply: Reply<()>,
    },
    /// The other nodes of a room, by its id, are to be heard.
    ServeRoom {
        room: String,
    },
    /// This node takes no new tasks of others, or does again.
    Drain {
        draining: bool,
        reply: Reply<()>,
    },
    /// This node starts no tasks, or does again.
    Pause {
        paused: bool,
        reply: Reply<()>,
    },
    /// How the nodes of rooms are.
    Nodes {
        reply: Reply<Vec<RoomNodeView>>,
    },
    /// Another process in a room has the key of this node.
    Twin {
        room: String,
    },
    /// It is known where another node of a room is, or others are trusted than before.
    NodeFound,
    /// A request of another node was refused: also after a restart, a copy of it is refused.
    Refused {
        key: InputId,
        /// See `federation::refusal`.
        text: String,
        reply: Reply<()>,
    },
    /// Another node of a room said or wrote something there that changes nothing.
    Disregarded {
        room: String,
        from: NodeDid,
        wrong: Wrong,
        detail: String,
    },
    /// Another node of a room says something.
    Federated {
        room: String,
        from: NodeDid,
        message: Box<Message<TaskPayload>>,
    },
    /// Something about files of tasks was done.
    Files(Box<Done>),
    Status {
        reply: Reply<DriverStatus>,
    },
    Stop {
        kill_sessions: bool,
        reason: String,
        reply: Option<Reply<()>>,
    },
}

/// A journal that this node goes on with, as it took its run over.
#[derive(Debug)]
pub(crate) struct TakenJournal {
    pub(crate) run: RunId,
    pub(crate) room: String,
    pub(crate) at: Position,
}

/// How far the journal of a run was read in a room, of those in Matrix mode.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) run: RunId,
    /// Who wrote its newest entry.
    pub(crate) by: NodeDid,
    /// Who gave it to the room.
    pub(crate) writer: NodeDid,
    /// The newest entry that counts.
    pub(crate) at: Position,
    /// That entry begins a term.
    pub(crate) begins: bool,
    /// The store has it as a run of this node.
    pub(crate) is_ours: bool,
    /// It has not ended.
    pub(crate) is_open: bool,
    /// It was submitted here, and a task of it waits until this node coordinates it again.
    pub(crate) is_wanted: bool,
    /// How far that is.
    pub(crate) extent: Extent,
}

impl Head {
    /// Puts it in the place of what was known of its run.
    pub(crate) fn put_into(mut self, heads: &mut Vec<Self>) {
        if let Some(at) = heads.iter().position(|known| known.run == self.run) {
            let known = heads.remove(at);
            // What is new may be only how far the journal is read.
            self.begins |= known.begins && known.at == self.at;
        }
        heads.push(self);
    }
}

/// What only the driver knows of the node.
#[derive(Debug, Clone, Default)]
pub(super) struct DriverStatus {
    pub(super) paused: bool,
    pub(super) host_pid: Option<u32>,
    pub(super) open_runs: u32,
    pub(super) live_sessions: u32,
    pub(super) warnings: Vec<String>,
}

/// Asks the driver; may be cloned into any thread.
#[derive(Clone)]
pub(super) struct DriverHandle {
    commands: Sender<Sent>,
    wake: Arc<OwnedFd>,
}

/// A command on its way to the driver.
#[derive(Debug)]
pub(super) struct Sent {
    command: Command,
    /// Whether the driver has taken it.
    taken: Arc<AtomicBool>,
}

impl Sent {
    fn new(command: Command) -> Self {
        Self { command, taken: Arc::default() }
    }

    /// Returns the command, which the driver processes from now on.
    pub(super) fn take(self) -> Command {
        self.taken.store(true, Ordering::Relaxed);
        self.command
    }
}

impl DriverHandle {
    pub(super) fn new(commands: Sender<Sent>, wake: Arc<OwnedFd>) -> Self {
        Self { commands, wake }
    }

    /// Sends without waiting. A driver that is gone hears nothing, and its node is ending.
    pub(super) fn tell(&self, command: Command) {
        self.send(Sent::new(command));
    }

    fn send(&self, sent: Sent) {
        if self.commands.send(sent).is_ok() {
            self.wake();
        }
    }

    /// Sends a command that the driver reads at its next turn, without waking it.
    pub(super) fn leave(&self, command: Command) {
        // A driver that is gone hears nothing.
        let _ = self.commands.send(Sent::new(command));
    }

    /// Lets it look around.
    pub(super) fn wake(&self) {
        // The counter of an eventfd cannot overflow by ones in our lifetime (eventfd(2)).
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }

    /// Sends and waits for the durable answer.
    pub(super) async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, Problem> {
        let (reply, answer) = oneshot::channel();
        let sent = Sent::new(command(reply));
        let taken = Arc::clone(&sent.taken);
        self.send(sent);
        answer.await.unwrap_or_else(|_| Err(unanswered(&taken)))
    }

    /// The same on a thread that may wait.
    pub(super) fn ask_blocking<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, Problem> {
        let (reply, answer) = oneshot::channel();
        let sent = Sent::new(command(reply));
        let taken = Arc::clone(&sent.taken);
        self.send(sent);
        answer.blocking_recv().unwrap_or_else(|_| Err(unanswered(&taken)))
    }
}

/// Returns the problem of a command that the driver dropped: it is ending.
fn unanswered(taken: &AtomicBool) -> Problem {
    // The driver dropped the command, or its reply, after it took it.
    Problem { unprocessed: !taken.load(Ordering::Relaxed), ..stopping() }
}

pub(crate) fn stopping() -> Problem {
    Problem::new(ProblemKind::Unavailable, "the node is stopping")
        .hint("try again: a new one starts by itself")
}

/// Whether a request was not answered because the node is stopping.
pub(crate) fn is_stopping(problem: &Problem) -> bool {
    Problem { unprocessed: false, ..problem.clone() } == stopping()
}

/// What became of typing an answer.
pub(super) type TypingOutcome = Result<InputReceipt, HubError>;

/// An answer that is recorded.
#[derive(Debug)]
pub(super) struct AnswerTyped {
    /// None: nothing of it is typed, or no more.
    pub(super) outcome: Option<oneshot::Receiver<TypingOutcome>>,
    /// The same request had been taken before.
    pub(super) repeated: bool,
}

/// Whose answer is typed.
#[derive(Debug)]
pub(super) enum AnswerSource {
    /// That of somebody who waits for the outcome.
    Request(oneshot::Sender<TypingOutcome>),
    /// The default in the file, for a task of this attempt.
    Default(AttemptId),
}

/// The answer that the file of a task gives to its session (`on_blocked.default`).
#[derive(Debug)]
pub(crate) struct DefaultAnswer {
    pub(crate) attempt: AttemptId,
    pub(crate) session: SessionId,
    pub(crate) item: InboxId,
    /// An option, or words.
    pub(crate) answer: String,
}

/// An answer that was not typed.
#[derive(Debug)]
pub(super) struct NotTyped {
    pub(super) source: AnswerSource,
    pub(super) session: SessionId,
    pub(super) item: InboxId,
    pub(super) input: InputId,
    pub(super) error: HubError,
}
