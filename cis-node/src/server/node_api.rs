//! What the API needs of the node behind it.

use std::future::Future;
use std::sync::{Arc, OnceLock};

use axum::body::Bytes;
use axum::extract::ws::Utf8Bytes;
use futures_util::Stream;
use futures_util::stream::BoxStream;
use tokio::sync::mpsc;

use super::idempotency_api::IdempotencyApi;
use super::identity_api::IdentityApi;
use super::inbox_api::InboxApi;
use super::looks::Client;
use super::matrix_api::MatrixApi;
use super::nodes_api::NodesApi;
use super::peer::Peer;
use super::policy_api::PolicyApi;
use super::tasks_api::TasksApi;
use super::tokens_api::TokensApi;
use super::verification_api::VerificationApi;
use cis_core::api::{
    Attach, AttachControl, AttachNotice, CancelRun, CleanReport, CleanStore, CreateRun, CreateSession,
    Decide, ExplainView, FollowEvents, GroupPlace, GroupView, HistoryEntry, InputReceipt, KillSession,
    ListRuns, ListSessions, Listing, ModeView, NodeView, Page, PauseNode, Problem, ReadHistory, ReadLog,
    ReadTime, ReportSession, Reported, RetryRun, RunDetail, RunView, SendInput, SessionView, SetMode,
    StopNode, TaskContext, TimeView, WhyView,
};
use cis_core::dag::Group;
use cis_core::event::Event;
use cis_core::ids::{Offset, RunId, SessionId};
use cis_core::policy::act::{Act, Targeted};
use cis_core::policy::{Permit, Principal, act};

/// Events that became durable together, in order. Those who get all of them share one text.
#[derive(Debug, Default)]
pub struct EventBatch {
    events: Vec<Arc<Event>>,
    frames: OnceLock<Vec<EventFrame>>,
}

/// A frame of the stream of events.
#[derive(Debug, Clone)]
pub struct EventFrame {
    /// A JSON array of events.
    pub text: Utf8Bytes,
    /// Offset of the newest.
    pub newest: Offset,
}

impl EventBatch {
    /// A batch of these.
    #[must_use]
    pub fn new(events: Vec<Arc<Event>>) -> Self {
        Self { events, frames: OnceLock::new() }
    }

    /// The events.
    #[must_use]
    pub fn events(&self) -> &[Arc<Event>] {
        &self.events
    }

    /// The batch as frames, none of them much longer than `bytes`; made once, whoever asks.
    pub fn frames(&self, bytes: usize) -> &[EventFrame] {
        self.frames.get_or_init(|| frames(&self.events, bytes))
    }
}

fn frames(events: &[Arc<Event>], bytes: usize) -> Vec<EventFrame> {
    let mut frames = Vec::new();
    let mut text = String::new();
    for (number, event) in events.iter().enumerate() {
        // What was stored is JSON: it is always written again.
        let Ok(one) = serde_json::to_string(&**event) else { continue };
        text.push(if text.is_empty() { '[' } else { ',' });
        text.push_str(&one);
        if text.len() >= bytes || number + 1 == events.len() {
            text.push(']');
            frames.push(EventFrame { text: std::mem::take(&mut text).into(), newest: event.offset });
        }
    }
    frames
}

/// From an attached session to its viewer.
#[derive(Debug)]
pub enum AttachFrame {
    /// Terminal bytes.
    Output {
        /// They.
        bytes: Vec<u8>,
        /// First byte of the session's output that they and all before them do not stand for, where that is known.
        next: Option<u64>,
    },
    /// Something else to know.
    Notice(AttachNotice),
}

/// From a viewer to the session that it is attached to.
#[derive(Debug)]
pub enum AttachInput {
    /// Typed bytes.
    Typed(Bytes),
    /// A control message.
    Control(AttachControl),
}

/// Proof that a principal may attach to a session.
pub enum AttachPermit {
    /// To look only.
    Read(Permit<act::ReadSession>),
    /// To type as well.
    Control(Permit<act::ControlSession>),
}

/// Both directions of an attach. Dropping them detaches.
pub struct AttachStreams {
    /// To the viewer; ends when the session does.
    pub output: BoxStream<'static, AttachFrame>,
    /// From the viewer.
    pub input: mpsc::Sender<AttachInput>,
}

type Answer<T> = Result<T, Problem>;

/// A node, as its API sees it. Names of runs and sessions are as people typed them until resolved.
pub trait NodeApi:
    InboxApi
    + IdentityApi
    + PolicyApi
    + NodesApi
    + MatrixApi
    + IdempotencyApi
    + TasksApi
    + VerificationApi
    + TokensApi
{
    /// Waits until the session of a token has started, so that [`Self::principal`] can recognize its processes.
    fn session_started(&self, token: &str) -> impl Future<Output = ()> + Send;
    /// Who is behind a connection, by its peer and the token that it showed.
    fn principal(&self, peer: Peer, token: Option<&str>) -> Principal;
    /// The session that a peer was started in, according to its environment; none for people, too.
    fn session_of(&self, peer: &Peer) -> Option<SessionId>;
    /// The client that a process belongs to. Reads nothing for which the process could make the reader wait.
    fn client(&self, pid: u32) -> Client;

    /// Admits a principal that may do `act`; a refusal is recorded.
    fn admit<A: Act>(&self, principal: &Principal, act: A) -> Answer<Permit<A>>;
    /// Resolves a run's name, and admits a principal that may do `A` to it. Who may not do that to any run learns nothing
    /// about names.
    fn admit_to_run<A: Targeted<Target = RunId>>(
        &self,
        principal: &Principal,
        name: String,
    ) -> impl Future<Output = Answer<Permit<A>>> + Send;
    /// Resolves a session's name, like [`Self::admit_to_run`]: only a full id can turn out to be the principal's own session.
    /// A session that has ended is found only where `ended` is set.
    fn admit_to_session<A: Targeted<Target = SessionId>>(
        &self,
        principal: &Principal,
        name: String,
        ended: bool,
    ) -> impl Future<Output = Answer<Permit<A>>> + Send;

    /// The node itself.
    fn node(&self, permit: Permit<act::SeeNode>) -> impl Future<Output = Answer<NodeView>> + Send;
    /// Stops starting tasks, or starts them again.
    fn pause(
        &self,
        permit: Permit<act::StopNode>,
        request: PauseNode,
    ) -> impl Future<Output = Answer<()>> + Send;
    /// Ends it.
    fn stop(
        &self,
        permit: Permit<act::StopNode>,
        request: StopNode,
    ) -> impl Future<Output = Answer<()>> + Send;

    /// Removes what ended runs left.
    fn clean_store(
        &self,
        permit: Permit<act::CleanStore>,
        request: CleanStore,
    ) -> impl Future<Output = Answer<CleanReport>> + Send;

    /// Makes (or only checks) a run; checking answers none.
    fn create_run(
        &self,
        permit: Permit<act::CreateRun>,
        request: CreateRun,
    ) -> impl Future<Output = Answer<Option<RunView>>> + Send;
    /// Lists runs.
    fn list_runs(
        &self,
        permit: Permit<act::See>,
        query: ListRuns,
    ) -> impl Future<Output = Answer<Listing<RunView>>> + Send;
    /// One run.
    fn run(&self, permit: Permit<act::SeeRun>) -> impl Future<Output = Answer<RunDetail>> + Send;
    /// Starts a created run.
    fn start_run(&self, permit: Permit<act::ControlRun>) -> impl Future<Output = Answer<RunView>> + Send;
    /// Cancels a run.
    fn cancel_run(
        &self,
        permit: Permit<act::ControlRun>,
        query: CancelRun,
    ) -> impl Future<Output = Answer<RunView>> + Send;
    /// Pauses a run.
    fn pause_run(&self, permit: Permit<act::ControlRun>) -> impl Future<Output = Answer<RunView>> + Send;
    /// Resumes a run.
    fn resume_run(&self, permit: Permit<act::ControlRun>) -> impl Future<Output = Answer<RunView>> + Send;
    /// Coordinates a run of another node from now on.
    fn take_over_run(&self, permit: Permit<act::ControlRun>) -> impl Future<Output = Answer<RunView>> + Send;
    /// Runs tasks of an ended run again.
    fn retry_run(
        &self,
        permit: Permit<act::ControlRun>,
        request: RetryRun,
    ) -> impl Future<Output = Answer<RunView>> + Send;
    /// Switches how an open run is executed.
    fn set_mode(
        &self,
        permit: Permit<act::ControlRun>,
        request: SetMode,
    ) -> impl Future<Output = Answer<ModeView>> + Send;
    /// Why a task is where it is.
    fn why(&self, permit: Permit<act::SeeRun>, task: String) -> impl Future<Output = Answer<WhyView>> + Send;
    /// Approves or rejects a task.
    fn decide(
        &self,
        permit: Permit<act::ControlRun>,
        task: String,
        request: Decide,
    ) -> impl Future<Output = Answer<RunView>> + Send;
    /// Returns the history of a run, oldest first.
    fn history(
        &self,
        permit: Permit<act::SeeRun>,
        query: ReadHistory,
    ) -> impl Future<Output = Answer<Listing<HistoryEntry>>> + Send;

    /// Where the time of a run went.
    fn times(
        &self,
        permit: Permit<act::SeeRun>,
        query: ReadTime,
    ) -> impl Future<Output = Answer<TimeView>> + Send;
    /// Concurrency groups: the node's, those of rooms, and those of open runs.
    fn groups(
        &self,
        permit: Permit<act::See>,
        query: Page,
    ) -> impl Future<Output = Answer<Listing<GroupView>>> + Send;
    /// Makes, changes or (none) removes a group of the node, or of a room.
    fn set_group(
        &self,
        permit: Permit<act::ControlGroups>,
        name: String,
        group: Option<Group>,
        place: GroupPlace,
    ) -> impl Future<Output = Answer<()>> + Send;
    /// What a task would get now of those that it needs, secrets replaced.
    fn task_context(
        &self,
        permit: Permit<act::ReadRun>,
        task: String,
    ) -> impl Future<Output = Answer<TaskContext>> + Send;

    /// Lists sessions.
    fn list_sessions(
        &self,
        permit: Permit<act::See>,
        query: ListSessions,
    ) -> impl Future<Output = Answer<Listing<SessionView>>> + Send;
    /// One session.
    fn session(&self, permit: Permit<act::SeeSession>) -> impl Future<Output = Answer<SessionView>> + Send;
    /// Makes a session without a run.
    fn create_session(
        &self,
        permit: Permit<act::CreateSession>,
        request: CreateSession,
    ) -> impl Future<Output = Answer<SessionView>> + Send;
    /// Types into a session.
    fn send_input(
        &self,
        permit: Permit<act::ControlSession>,
        request: SendInput,
    ) -> impl Future<Output = Answer<InputReceipt>> + Send;
    /// Ends a session.
    fn kill_session(
        &self,
        permit: Permit<act::ControlSession>,
        request: KillSession,
    ) -> impl Future<Output = Answer<()>> + Send;
    /// Text of its present screen.
    fn screen(&self, permit: Permit<act::ReadSession>) -> impl Future<Output = Answer<String>> + Send;
    /// Why it is thought to wait for a human, or not.
    fn explain(&self, permit: Permit<act::ReadSession>) -> impl Future<Output = Answer<ExplainView>> + Send;

    /// Keeps a recording of what it shows, with what somebody says is true of it.
    fn report_session(
        &self,
        permit: Permit<act::ControlSession>,
        request: ReportSession,
    ) -> impl Future<Output = Answer<Reported>> + Send;

    /// Events, past and coming.
    fn events(
        &self,
        permit: Permit<act::See>,
        query: FollowEvents,
    ) -> impl Future<Output = Answer<impl Stream<Item = Arc<EventBatch>> + Send + 'static>> + Send;
    /// A session's log, redacted.
    fn log(
        &self,
        permit: Permit<act::ReadSession>,
        query: ReadLog,
    ) -> impl Future<Output = Answer<impl Stream<Item = Bytes> + Send + 'static>> + Send;
    /// Both directions of a session's terminal.
    fn attach(
        &self,
        permit: AttachPermit,
        query: Attach,
    ) -> impl Future<Output = Answer<AttachStreams>> + Send;
}
