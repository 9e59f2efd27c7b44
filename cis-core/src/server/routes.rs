//! Routes and handlers: decode, authorize, act, answer.

use std::sync::Arc;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{ConnectInfo, DefaultBodyLimit, FromRequestParts, Path, Query, State};
use axum::http::request::Parts;
use axum::http::{Method, Uri};
use axum::{Json, Router, middleware};
use serde::de::DeserializeOwned;
use tokio::net::UnixListener;

use super::describe::{self, Created, CreatedOrChecked, Documents, Done, Operations, operations};
use super::errors::Failure;
use super::node_api::NodeApi;
use super::peer::Peer;
use super::{identity_routes, inbox_routes, matrix_routes, streams, unread, verification_routes};
use crate::api::{
    CleanReport, CleanStore, CreateRun, CreateSession, Decide, ExplainView, GroupView, InputReceipt,
    KillSession, ListRuns, ListSessions, Listing, NodeView, Page, Problem, ProblemKind, ReadTime, RetryRun,
    RunDetail, RunView, SendInput, SessionView, SetMode, StopNode, TaskContext, TimeView, WhyView, paths,
};
use crate::dag::Group;
use crate::ids::{RunId, SessionId};
use crate::policy::{Action, Principal, authorize};

/// Request bodies are no longer (a DAG file of 64 MiB travels as hex).
pub(super) const BODY_BYTES_MAX: usize = 160 << 20;

/// Header by which a process in a session shows its token.
pub(super) const TOKEN_HEADER: &str = "x-cis-token";

/// Serves the API until `stop` completes; open streams are then cut.
///
/// # Errors
/// The listener broke.
pub async fn serve<N: NodeApi>(
    listener: UnixListener,
    node: Arc<N>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let service = router(node).into_make_service_with_connect_info::<Peer>();
    let server = axum::serve(listener, service);
    tokio::select! {
        result = async { server.await } => result,
        () = stop => Ok(()),
    }
}

/// What the API says of itself; no node is needed for that.
#[must_use]
pub fn documents<N: NodeApi>() -> Documents {
    operations::<N>().documents()
}

fn router<N: NodeApi>(node: Arc<N>) -> Router {
    operations::<N>()
        .into_router()
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(middleware::from_fn(unread::read_to_its_end))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(node)
}

/// Everything that the API can do: each row makes a route and its description.
pub(super) fn operations<N: NodeApi>() -> Operations<Arc<N>> {
    runs::<N>()
        .with(tasks::<N>())
        .with(sessions::<N>())
        .with(inbox_routes::operations::<N>())
        .with(others::<N>())
        .with(describe::routes::<N>())
        .with(identity_routes::operations::<N>())
        .with(matrix_routes::operations::<N>())
        .with(verification_routes::operations::<N>())
}

fn runs<N: NodeApi>() -> Operations<Arc<N>> {
    operations! {
        /// Lists runs, newest first.
        list_runs: GET paths::RUNS, Runs, Action::See, [] => list_runs::<N>;
        /// Makes a run out of a DAG file's text.
        ///
        /// With `start` it starts at once; with `validate_only` nothing is made. What is wrong with the file stands in
        /// `diagnostics` of the problem, with the place.
        create_run: POST paths::RUNS, Runs, Action::ControlRun(None), [NotFound, Conflict] => create_run::<N>;
        /// Shows a run with its tasks.
        get_run: GET paths::RUN, Runs, Action::See, [NotFound, Ambiguous] => get_run::<N>;
        /// Starts a created run.
        ///
        /// An open or ended one is answered as it is.
        start_run: POST paths::RUN_START, Runs, Action::ControlRun(None), [NotFound, Conflict] => start_run::<N>;
        /// Cancels a run: its sessions are ended.
        cancel_run: POST paths::RUN_CANCEL, Runs, Action::ControlRun(None), [NotFound, Conflict] => cancel_run::<N>;
        /// Pauses a run: nothing new starts, and nothing is stopped.
        pause_run: POST paths::RUN_PAUSE, Runs, Action::ControlRun(None), [NotFound, Conflict] => pause_run::<N>;
        /// Lets a paused run go on.
        resume_run: POST paths::RUN_RESUME, Runs, Action::ControlRun(None), [NotFound, Conflict] => resume_run::<N>;
        /// Runs tasks of an ended run again.
        retry_run: POST paths::RUN_RETRY, Runs, Action::ControlRun(None), [NotFound, Conflict] => retry_run::<N>;
        /// Switches how an open run is executed, and which room follows it.
        set_mode: POST paths::RUN_MODE, Runs, Action::ControlRun(None), [NotFound, Conflict] => set_mode::<N>;
        /// Says where the time of a run went.
        get_times: GET paths::RUN_TIME, Runs, Action::See, [NotFound, Ambiguous] => times::<N>;
    }
}

fn tasks<N: NodeApi>() -> Operations<Arc<N>> {
    operations! {
        /// Says why a task is where it is.
        get_why: GET paths::WHY, Tasks, Action::See, [NotFound, Ambiguous] => why::<N>;
        /// Approves or rejects a task that waits for it.
        decide_task: POST paths::TASK_APPROVAL, Tasks, Action::ControlRun(None), [NotFound, Conflict] => decide::<N>;
        /// Shows what a task would get now of those that it needs, secrets replaced.
        get_task_context: GET paths::TASK_CONTEXT, Tasks, Action::ReadSession(None), [NotFound, Ambiguous] => task_context::<N>;
        /// Reads a file that a task left.
        get_artifact: GET paths::TASK_ARTIFACT, Tasks, Action::ReadSession(None), [NotFound, Ambiguous] => streams::artifact::<N>;
        /// Reads the log of a try of a task, secrets replaced.
        ///
        /// With `follow` it goes on until the session ends; with `marks` it comes in pieces that tell their place, so
        /// that whoever was cut off goes on with `from` in the log of the session that the header names.
        get_task_log: GET paths::TASK_LOG, Tasks, Action::ReadSession(None), [NotFound, Conflict] => streams::task_log::<N>;
    }
}

fn sessions<N: NodeApi>() -> Operations<Arc<N>> {
    operations! {
        /// Lists sessions, newest first.
        list_sessions: GET paths::SESSIONS, Sessions, Action::See, [NotFound, Ambiguous] => list_sessions::<N>;
        /// Makes a session without a run.
        create_session: POST paths::SESSIONS, Sessions, Action::CreateSession, [NotFound, Conflict] => create_session::<N>;
        /// Shows a session.
        get_session: GET paths::SESSION, Sessions, Action::SeeSession(None), [NotFound, Ambiguous] => get_session::<N>;
        /// Types into a session, once for each `input`.
        send_input: POST paths::SESSION_INPUT, Sessions, Action::ControlSession(None), [NotFound, Conflict] => send_input::<N>;
        /// Ends a session: SIGTERM to its whole tree, SIGKILL after the grace.
        kill_session: POST paths::SESSION_KILL, Sessions, Action::ControlSession(None), [NotFound, Conflict] => kill_session::<N>;
        /// Reads the log of a session, secrets replaced.
        ///
        /// With `follow` it goes on until the session ends; with `marks` it comes in pieces that tell their place, so
        /// that whoever was cut off goes on with `from`.
        get_session_log: GET paths::SESSION_LOG, Sessions, Action::ReadSession(None), [NotFound, Conflict] => streams::session_log::<N>;
        /// Attaches a terminal to a session (WebSocket).
        ///
        /// Binary frames are terminal bytes in both directions, text frames are control messages. First comes what it is attached
        /// to, then the screen, then what the session writes. Who only looks (`read_only`) needs the rights of a viewer.
        attach: GET paths::SESSION_ATTACH, Sessions, Action::ControlSession(None), [NotFound, Conflict] => streams::attach::<N>;
        /// Shows the text of the present screen, secrets replaced.
        get_screen: GET paths::SESSION_SCREEN, Sessions, Action::ReadSession(None), [NotFound, Conflict] => screen::<N>;
        /// Says why the monitor thinks that it waits for a human, or not.
        explain_session: GET paths::SESSION_EXPLAIN, Sessions, Action::ReadSession(None), [NotFound, Conflict] => explain::<N>;
    }
}

fn others<N: NodeApi>() -> Operations<Arc<N>> {
    operations! {
        /// Follows events (WebSocket).
        ///
        /// Text frames, each a JSON array of events: those after the offset `after` (0: from the beginning), or those from now on.
        /// Whoever lost the connection gives the newest offset that came, and misses nothing.
        follow_events: GET paths::EVENTS, Events, Action::See, [NotFound, Ambiguous] => streams::events::<N>;
        /// Lists concurrency groups: the node's, and those of open runs.
        list_groups: GET paths::GROUPS, Groups, Action::See, [] => groups::<N>;
        /// Makes or changes a group of the node.
        put_group: PUT paths::GROUP, Groups, Action::ControlGroups, [Conflict] => put_group::<N>;
        /// Removes a group of the node.
        remove_group: DELETE paths::GROUP, Groups, Action::ControlGroups, [NotFound, Conflict] => remove_group::<N>;
        /// Shows the node.
        get_node: GET paths::NODE, Node, Action::SeeNode, [] => get_node::<N>;
        /// Ends the node.
        ///
        /// Sessions go on, and the next node adopts them, unless `kill_sessions` says otherwise.
        stop_node: POST paths::NODE_STOP, Node, Action::StopNode, [Conflict] => stop_node::<N>;
        /// Removes what ended runs left.
        clean_store: POST paths::STORE_CLEAN, Store, Action::CleanStore, [Conflict] => clean_store::<N>;
    }
}

async fn no_such_path(uri: Uri) -> Failure {
    let detail = format!("the API has no path {}", uri.path());
    Failure(
        Problem::new(ProblemKind::NotFound, detail)
            .hint("is the node of another version than this client? `cis node status` tells"),
    )
}

async fn no_such_method(method: Method, uri: Uri) -> Failure {
    Failure::method(&method, uri.path())
}

/// The names in a path.
pub(super) struct Name<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Name<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let Path(names) = Path::<T>::from_request_parts(parts, state).await?;
        Ok(Self(names))
    }
}

/// The principal of a request: the first thing that every handler takes.
pub(super) struct Caller(pub Principal);

impl<N: NodeApi> FromRequestParts<Arc<N>> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, node: &Arc<N>) -> Result<Self, Failure> {
        let ConnectInfo(peer) = ConnectInfo::<Peer>::from_request_parts(parts, node)
            .await
            .map_err(|_| Failure(Problem::new(ProblemKind::Internal, "the connection has no peer")))?;
        let token = parts.headers.get(TOKEN_HEADER).and_then(|value| value.to_str().ok());
        Ok(Self(node.principal(peer, token)))
    }
}

/// Lets `principal` do `action`, or audits that it may not.
pub(super) fn admit<N: NodeApi>(node: &Arc<N>, principal: &Principal, action: Action) -> Result<(), Failure> {
    authorize(principal, action).map_err(|denied| {
        node.audit_denied(principal, format!("{action:?}"), denied.reason.clone());
        Failure(Problem::new(ProblemKind::Denied, denied.reason))
    })
}

/// Resolves a run's name for somebody who may do `action` to runs at all.
async fn run_for<N: NodeApi>(
    node: &Arc<N>,
    principal: &Principal,
    name: String,
    action: fn(Option<RunId>) -> Action,
) -> Result<RunId, Failure> {
    admit(node, principal, action(None))?;
    Ok(node.find_run(name).await?)
}

/// Resolves a session's name. Who may not do `action` to any session learns nothing about names:
/// only a full id can turn out to be the caller's own.
pub(super) async fn session_for<N: NodeApi>(
    node: &Arc<N>,
    principal: &Principal,
    name: String,
    ended: bool,
    action: fn(Option<SessionId>) -> Action,
) -> Result<SessionId, Failure> {
    if let Ok(id) = name.parse::<SessionId>() {
        admit(node, principal, action(Some(id)))?;
    } else {
        admit(node, principal, action(None))?;
    }
    Ok(node.find_session(name, ended).await?)
}

pub(super) type Outcome<T> = Result<Json<T>, Failure>;
pub(super) type Body<T> = Result<Json<T>, JsonRejection>;
pub(super) type Args<T> = Result<Query<T>, QueryRejection>;

async fn get_node<N: NodeApi>(State(node): State<Arc<N>>, Caller(who): Caller) -> Outcome<NodeView> {
    admit(&node, &who, Action::SeeNode)?;
    Ok(Json(node.node().await?))
}

async fn stop_node<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    body: Body<StopNode>,
) -> Result<Done, Failure> {
    admit(&node, &who, Action::StopNode)?;
    node.stop(who, body?.0).await?;
    Ok(Done)
}

async fn clean_store<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    body: Body<CleanStore>,
) -> Outcome<CleanReport> {
    admit(&node, &who, Action::CleanStore)?;
    Ok(Json(node.clean_store(who, body?.0).await?))
}

async fn list_runs<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    query: Args<ListRuns>,
) -> Outcome<Listing<RunView>> {
    admit(&node, &who, Action::See)?;
    Ok(Json(node.list_runs(query?.0).await?))
}

async fn create_run<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    body: Body<CreateRun>,
) -> Result<CreatedOrChecked<RunView>, Failure> {
    admit(&node, &who, Action::ControlRun(None))?;
    Ok(CreatedOrChecked(node.create_run(who, body?.0).await?))
}

async fn get_run<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(name): Name<String>,
) -> Outcome<RunDetail> {
    let run = run_for(&node, &who, name, |_| Action::See).await?;
    Ok(Json(node.run(run).await?))
}

/// A handler that resolves a run and does one thing to it.
macro_rules! run_verb {
    ($name:ident) => {
        async fn $name<N: NodeApi>(
            State(node): State<Arc<N>>,
            Caller(who): Caller,
            Name(name): Name<String>,
        ) -> Outcome<RunView> {
            let run = run_for(&node, &who, name, Action::ControlRun).await?;
            Ok(Json(node.$name(who, run).await?))
        }
    };
}
run_verb!(start_run);
run_verb!(cancel_run);
run_verb!(pause_run);
run_verb!(resume_run);

async fn retry_run<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(name): Name<String>,
    body: Body<RetryRun>,
) -> Outcome<RunView> {
    let run = run_for(&node, &who, name, Action::ControlRun).await?;
    Ok(Json(node.retry_run(who, run, body?.0).await?))
}

async fn set_mode<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(name): Name<String>,
    body: Body<SetMode>,
) -> Outcome<RunView> {
    let run = run_for(&node, &who, name, Action::ControlRun).await?;
    Ok(Json(node.set_mode(who, run, body?.0).await?))
}

async fn why<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name((run, task)): Name<(String, String)>,
) -> Outcome<WhyView> {
    let run = run_for(&node, &who, run, |_| Action::See).await?;
    Ok(Json(node.why(run, task).await?))
}

async fn decide<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name((run, task)): Name<(String, String)>,
    body: Body<Decide>,
) -> Outcome<RunView> {
    let run = run_for(&node, &who, run, Action::ControlRun).await?;
    Ok(Json(node.decide(who, run, task, body?.0).await?))
}

async fn times<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(name): Name<String>,
    query: Args<ReadTime>,
) -> Outcome<TimeView> {
    let run = run_for(&node, &who, name, |_| Action::See).await?;
    Ok(Json(node.times(run, query?.0).await?))
}

async fn groups<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    query: Args<Page>,
) -> Outcome<Listing<GroupView>> {
    admit(&node, &who, Action::See)?;
    Ok(Json(node.groups(query?.0).await?))
}

async fn put_group<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(name): Name<String>,
    body: Body<Group>,
) -> Result<Done, Failure> {
    admit(&node, &who, Action::ControlGroups)?;
    node.set_group(who, name, Some(body?.0)).await?;
    Ok(Done)
}

async fn remove_group<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(name): Name<String>,
) -> Result<Done, Failure> {
    admit(&node, &who, Action::ControlGroups)?;
    node.set_group(who, name, None).await?;
    Ok(Done)
}

async fn task_context<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name((run, task)): Name<(String, String)>,
) -> Outcome<TaskContext> {
    // It shows the ends of logs.
    admit(&node, &who, Action::ReadSession(None))?;
    let run = node.find_run(run).await?;
    Ok(Json(node.task_context(run, task).await?))
}

async fn list_sessions<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    query: Args<ListSessions>,
) -> Outcome<Listing<SessionView>> {
    admit(&node, &who, Action::See)?;
    Ok(Json(node.list_sessions(query?.0).await?))
}

async fn get_session<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(name): Name<String>,
) -> Outcome<SessionView> {
    let session = session_for(&node, &who, name, true, Action::SeeSession).await?;
    Ok(Json(node.session(session).await?))
}

async fn create_session<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    body: Body<CreateSession>,
) -> Result<Created<SessionView>, Failure> {
    admit(&node, &who, Action::CreateSession)?;
    Ok(Created(node.create_session(who, body?.0).await?))
}

async fn send_input<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(name): Name<String>,
    body: Body<SendInput>,
) -> Outcome<InputReceipt> {
    let session = session_for(&node, &who, name, false, Action::ControlSession).await?;
    Ok(Json(node.send_input(who, session, body?.0).await?))
}

async fn kill_session<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(name): Name<String>,
    body: Body<KillSession>,
) -> Result<Done, Failure> {
    let session = session_for(&node, &who, name, false, Action::ControlSession).await?;
    node.kill_session(who, session, body?.0).await?;
    Ok(Done)
}

async fn screen<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(name): Name<String>,
) -> Result<String, Failure> {
    let session = session_for(&node, &who, name, false, Action::ReadSession).await?;
    Ok(node.screen(session).await?)
}

async fn explain<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(name): Name<String>,
) -> Outcome<ExplainView> {
    let session = session_for(&node, &who, name, false, Action::ReadSession).await?;
    Ok(Json(node.explain(session).await?))
}
