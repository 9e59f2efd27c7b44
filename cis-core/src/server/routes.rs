//! Routes and handlers: decode, authorize, act, answer.

use std::sync::Arc;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, FromRequestParts, Path, Query, State};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router, middleware};
use serde::de::DeserializeOwned;
use tokio::net::UnixListener;

pub(super) use super::caller::Caller;
use super::errors::Failure;
use super::node_api::NodeApi;
use super::peer::Peer;
use super::{
    identity_routes, inbox_routes, matrix_routes, streams, tokens_routes, unread, verification_routes,
};
use crate::api::{
    CleanStore, CreateRun, CreateSession, Decide, KillSession, ListRuns, ListSessions, Problem, ProblemKind,
    ReadTime, RetryRun, SendInput, SetMode, StopNode, paths,
};
use crate::dag::Group;
use crate::ids::{RunId, SessionId};
use crate::policy::{Action, Principal, authorize};

/// Request bodies are no longer (a DAG file of 64 MiB travels as hex).
pub(super) const BODY_BYTES_MAX: usize = 160 << 20;

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

/// Every route, whichever way a request comes.
pub(super) fn router<N: NodeApi>(node: Arc<N>) -> Router {
    Router::new()
        .route(paths::NODE, get(get_node::<N>))
        .route(paths::NODE_STOP, post(stop_node::<N>))
        .route(paths::STORE_CLEAN, post(clean_store::<N>))
        .route(paths::RUNS, get(list_runs::<N>).post(create_run::<N>))
        .route(paths::RUN, get(get_run::<N>))
        .route(paths::RUN_START, post(start_run::<N>))
        .route(paths::RUN_CANCEL, post(cancel_run::<N>))
        .route(paths::RUN_PAUSE, post(pause_run::<N>))
        .route(paths::RUN_RESUME, post(resume_run::<N>))
        .route(paths::RUN_RETRY, post(retry_run::<N>))
        .route(paths::RUN_MODE, post(set_mode::<N>))
        .route(paths::WHY, get(why::<N>))
        .route(paths::TASK_APPROVAL, post(decide::<N>))
        .route(paths::RUN_TIME, get(times::<N>))
        .route(paths::GROUPS, get(groups::<N>))
        .route(paths::GROUP, put(put_group::<N>).delete(remove_group::<N>))
        .route(paths::TASK_CONTEXT, get(task_context::<N>))
        .route(paths::TASK_ARTIFACT, get(streams::artifact::<N>))
        .route(paths::TASK_LOG, get(streams::task_log::<N>))
        .route(paths::EVENTS, get(streams::events::<N>))
        .route(paths::SESSIONS, get(list_sessions::<N>).post(create_session::<N>))
        .route(paths::SESSION, get(get_session::<N>))
        .route(paths::SESSION_INPUT, post(send_input::<N>))
        .route(paths::SESSION_KILL, post(kill_session::<N>))
        .route(paths::SESSION_LOG, get(streams::session_log::<N>))
        .route(paths::SESSION_ATTACH, get(streams::attach::<N>))
        .route(paths::SESSION_SCREEN, get(screen::<N>))
        .route(paths::SESSION_EXPLAIN, get(explain::<N>))
        .merge(inbox_routes::routes::<N>())
        .merge(identity_routes::routes::<N>())
        .merge(matrix_routes::routes::<N>())
        .merge(verification_routes::routes::<N>())
        .merge(tokens_routes::routes::<N>())
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(middleware::from_fn(unread::read_to_its_end))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(node)
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

async fn get_node<N: NodeApi>(State(node): State<Arc<N>>, Caller(who): Caller) -> Result<Response, Failure> {
    admit(&node, &who, Action::SeeNode)?;
    Ok(Json(node.node().await?).into_response())
}

async fn stop_node<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    body: Body<StopNode>,
) -> Result<StatusCode, Failure> {
    admit(&node, &who, Action::StopNode)?;
    node.stop(who, body?.0).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn clean_store<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    body: Body<CleanStore>,
) -> Result<Response, Failure> {
    admit(&node, &who, Action::CleanStore)?;
    Ok(Json(node.clean_store(who, body?.0).await?).into_response())
}

async fn list_runs<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    query: Args<ListRuns>,
) -> Result<Response, Failure> {
    admit(&node, &who, Action::See)?;
    Ok(Json(node.list_runs(query?.0).await?).into_response())
}

async fn create_run<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    body: Body<CreateRun>,
) -> Result<Response, Failure> {
    admit(&node, &who, Action::ControlRun(None))?;
    Ok(match node.create_run(who, body?.0).await? {
        Some(run) => (StatusCode::CREATED, Json(run)).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}

async fn get_run<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(name): Name<String>,
) -> Result<Response, Failure> {
    let run = run_for(&node, &who, name, |_| Action::See).await?;
    Ok(Json(node.run(run).await?).into_response())
}

/// A handler that resolves a run and does one thing to it.
macro_rules! run_verb {
    ($name:ident) => {
        async fn $name<N: NodeApi>(
            State(node): State<Arc<N>>,
            Caller(who): Caller,
            Name(name): Name<String>,
        ) -> Outcome<crate::api::RunView> {
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
) -> Outcome<crate::api::RunView> {
    let run = run_for(&node, &who, name, Action::ControlRun).await?;
    Ok(Json(node.retry_run(who, run, body?.0).await?))
}

async fn set_mode<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(name): Name<String>,
    body: Body<SetMode>,
) -> Outcome<crate::api::RunView> {
    let run = run_for(&node, &who, name, Action::ControlRun).await?;
    Ok(Json(node.set_mode(who, run, body?.0).await?))
}

async fn why<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name((run, task)): Name<(String, String)>,
) -> Outcome<crate::api::WhyView> {
    let run = run_for(&node, &who, run, |_| Action::See).await?;
    Ok(Json(node.why(run, task).await?))
}

async fn decide<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name((run, task)): Name<(String, String)>,
    body: Body<Decide>,
) -> Outcome<crate::api::RunView> {
    let run = run_for(&node, &who, run, Action::ControlRun).await?;
    Ok(Json(node.decide(who, run, task, body?.0).await?))
}

async fn times<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(name): Name<String>,
    query: Args<ReadTime>,
) -> Outcome<crate::api::TimeView> {
    let run = run_for(&node, &who, name, |_| Action::See).await?;
    Ok(Json(node.times(run, query?.0).await?))
}

async fn groups<N: NodeApi>(State(node): State<Arc<N>>, Caller(who): Caller) -> Result<Response, Failure> {
    admit(&node, &who, Action::See)?;
    Ok(Json(node.groups().await?).into_response())
}

async fn put_group<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(name): Name<String>,
    body: Body<Group>,
) -> Result<StatusCode, Failure> {
    admit(&node, &who, Action::ControlGroups)?;
    node.set_group(who, name, Some(body?.0)).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn remove_group<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(name): Name<String>,
) -> Result<StatusCode, Failure> {
    admit(&node, &who, Action::ControlGroups)?;
    node.set_group(who, name, None).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn task_context<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name((run, task)): Name<(String, String)>,
) -> Outcome<crate::api::TaskContext> {
    // It shows the ends of logs.
    admit(&node, &who, Action::ReadSession(None))?;
    let run = node.find_run(run).await?;
    Ok(Json(node.task_context(run, task).await?))
}

async fn list_sessions<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    query: Args<ListSessions>,
) -> Result<Response, Failure> {
    admit(&node, &who, Action::See)?;
    Ok(Json(node.list_sessions(query?.0).await?).into_response())
}

async fn get_session<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(name): Name<String>,
) -> Outcome<crate::api::SessionView> {
    let session = session_for(&node, &who, name, true, Action::SeeSession).await?;
    Ok(Json(node.session(session).await?))
}

async fn create_session<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    body: Body<CreateSession>,
) -> Result<Response, Failure> {
    admit(&node, &who, Action::CreateSession)?;
    Ok((StatusCode::CREATED, Json(node.create_session(who, body?.0).await?)).into_response())
}

async fn send_input<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(name): Name<String>,
    body: Body<SendInput>,
) -> Outcome<crate::api::InputReceipt> {
    let session = session_for(&node, &who, name, false, Action::ControlSession).await?;
    Ok(Json(node.send_input(who, session, body?.0).await?))
}

async fn kill_session<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(name): Name<String>,
    body: Body<KillSession>,
) -> Result<StatusCode, Failure> {
    let session = session_for(&node, &who, name, false, Action::ControlSession).await?;
    node.kill_session(who, session, body?.0).await?;
    Ok(StatusCode::NO_CONTENT)
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
) -> Outcome<crate::api::ExplainView> {
    let session = session_for(&node, &who, name, false, Action::ReadSession).await?;
    Ok(Json(node.explain(session).await?))
}
