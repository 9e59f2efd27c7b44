//! Handlers of runs, sessions, groups and the node: decode, admit, act, answer. Which route each has stands in
//! [`super::operations`].

use std::sync::Arc;

use super::body::Body;
use super::caller::Caller;
use super::describe::{Created, CreatedOrChecked, Done};
use super::errors::Failure;
use super::extract::{Args, Name, Outcome};
use super::idempotency::KeyedAnswer;
use super::new_run::NewRun;
use super::node_api::NodeApi;
use axum::Json;
use axum::extract::State;
use cis_core::api::{
    CancelRun, CleanReport, CleanStore, CreateSession, Decide, ExplainView, GroupPlace, GroupView,
    HistoryEntry, InputReceipt, KillSession, ListRuns, ListSessions, Listing, ModeView, NodeView, Page,
    PauseNode, ReadHistory, ReadTime, ReportSession, Reported, RetryRun, RunDetail, RunView, SendInput,
    SessionView, SetMode, StopNode, SubmitRun, TaskContext, TimeView, WhyView,
};
use cis_core::dag::Group;
use cis_core::policy::act;

pub(super) async fn get_node<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
) -> Outcome<NodeView> {
    let permit = node.admit(&who, act::SeeNode)?;
    Ok(Json(node.node(permit).await?))
}

pub(super) async fn pause_node<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    body: Body<PauseNode>,
) -> Outcome<NodeView> {
    let permit = node.admit(&who, act::StopNode)?;
    node.pause(permit, body.read().await?).await?;
    let permit = node.admit(&who, act::SeeNode)?;
    Ok(Json(node.node(permit).await?))
}

pub(super) async fn stop_node<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    body: Body<StopNode>,
) -> Result<Done, Failure> {
    let permit = node.admit(&who, act::StopNode)?;
    node.stop(permit, body.read().await?).await?;
    Ok(Done)
}

pub(super) async fn clean_store<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    body: Body<CleanStore>,
) -> Outcome<CleanReport> {
    let permit = node.admit(&who, act::CleanStore)?;
    Ok(Json(node.clean_store(permit, body.read().await?).await?))
}

pub(super) async fn list_runs<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    query: Args<ListRuns>,
) -> Outcome<Listing<RunView>> {
    let permit = node.admit(&who, act::See)?;
    Ok(Json(node.list_runs(permit, query?.0).await?))
}

pub(super) async fn create_run<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    query: Args<SubmitRun>,
    body: NewRun,
) -> Result<KeyedAnswer<CreatedOrChecked<RunView>>, Failure> {
    let permit = node.admit(&who, act::CreateRun)?;
    let keyed = body.read(&who, query?.0).await?;
    // A repeated request is not prepared again: what it needs may have gone.
    let made = keyed.act(node, permit, |node, permit, run, repeated| async move {
        match if repeated { node.created_run(&permit, run.input).await? } else { None } {
            Some(made) => Ok(Some(made)),
            None => node.create_run(permit, run).await,
        }
    });
    Ok(made.await?.map(CreatedOrChecked))
}

pub(super) async fn get_run<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(name): Name<String>,
) -> Outcome<RunDetail> {
    let permit = node.admit_to_run(&who, name).await?;
    Ok(Json(node.run(permit).await?))
}

/// A handler that resolves a run and does one thing to it.
macro_rules! run_verb {
    ($name:ident) => {
        pub(super) async fn $name<N: NodeApi>(
            State(node): State<Arc<N>>,
            Caller(who): Caller,
            Name(name): Name<String>,
        ) -> Outcome<RunView> {
            let permit = node.admit_to_run(&who, name).await?;
            Ok(Json(node.$name(permit).await?))
        }
    };
}
run_verb!(start_run);
run_verb!(pause_run);
run_verb!(resume_run);
run_verb!(take_over_run);

pub(super) async fn cancel_run<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(name): Name<String>,
    query: Args<CancelRun>,
) -> Outcome<RunView> {
    let permit = node.admit_to_run(&who, name).await?;
    Ok(Json(node.cancel_run(permit, query?.0).await?))
}

pub(super) async fn retry_run<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(name): Name<String>,
    body: Body<RetryRun>,
) -> Outcome<RunView> {
    let permit = node.admit_to_run(&who, name).await?;
    Ok(Json(node.retry_run(permit, body.read().await?).await?))
}

pub(super) async fn set_mode<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(name): Name<String>,
    body: Body<SetMode>,
) -> Outcome<ModeView> {
    let permit = node.admit_to_run(&who, name).await?;
    Ok(Json(node.set_mode(permit, body.read().await?).await?))
}

pub(super) async fn why<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name((run, task)): Name<(String, String)>,
) -> Outcome<WhyView> {
    let permit = node.admit_to_run(&who, run).await?;
    Ok(Json(node.why(permit, task).await?))
}

pub(super) async fn decide<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name((run, task)): Name<(String, String)>,
    body: Body<Decide>,
) -> Outcome<RunView> {
    let permit = node.admit_to_run(&who, run).await?;
    Ok(Json(node.decide(permit, task, body.read().await?).await?))
}

pub(super) async fn times<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(name): Name<String>,
    query: Args<ReadTime>,
) -> Outcome<TimeView> {
    let permit = node.admit_to_run(&who, name).await?;
    Ok(Json(node.times(permit, query?.0).await?))
}

pub(super) async fn history<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(name): Name<String>,
    query: Args<ReadHistory>,
) -> Outcome<Listing<HistoryEntry>> {
    let permit = node.admit_to_run(&who, name).await?;
    Ok(Json(node.history(permit, query?.0).await?))
}

pub(super) async fn groups<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    query: Args<Page>,
) -> Outcome<Listing<GroupView>> {
    let permit = node.admit(&who, act::See)?;
    Ok(Json(node.groups(permit, query?.0).await?))
}

pub(super) async fn put_group<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(name): Name<String>,
    query: Args<GroupPlace>,
    body: Body<Group>,
) -> Result<Done, Failure> {
    let permit = node.admit(&who, act::ControlGroups)?;
    let place = query?.0;
    node.set_group(permit, name, Some(body.read().await?), place).await?;
    Ok(Done)
}

pub(super) async fn remove_group<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(name): Name<String>,
    query: Args<GroupPlace>,
) -> Result<Done, Failure> {
    let permit = node.admit(&who, act::ControlGroups)?;
    node.set_group(permit, name, None, query?.0).await?;
    Ok(Done)
}

pub(super) async fn task_context<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name((run, task)): Name<(String, String)>,
) -> Outcome<TaskContext> {
    // It shows the ends of logs.
    let permit = node.admit_to_run(&who, run).await?;
    Ok(Json(node.task_context(permit, task).await?))
}

pub(super) async fn list_sessions<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    query: Args<ListSessions>,
) -> Outcome<Listing<SessionView>> {
    let permit = node.admit(&who, act::See)?;
    Ok(Json(node.list_sessions(permit, query?.0).await?))
}

pub(super) async fn get_session<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(name): Name<String>,
) -> Outcome<SessionView> {
    let permit = node.admit_to_session(&who, name, true).await?;
    Ok(Json(node.session(permit).await?))
}

pub(super) async fn create_session<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    body: Body<CreateSession>,
) -> Result<KeyedAnswer<Created<SessionView>>, Failure> {
    let permit = node.admit(&who, act::CreateSession)?;
    let keyed = body.read_large_keyed(&who).await?;
    // As in `create_run`.
    let made = keyed.act(node, permit, |node, permit, session, repeated| async move {
        match if repeated { node.created_session(&permit, session.input).await? } else { None } {
            Some(made) => Ok(made),
            None => node.create_session(permit, session).await,
        }
    });
    Ok(made.await?.map(Created))
}

pub(super) async fn send_input<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(name): Name<String>,
    body: Body<SendInput>,
) -> Result<KeyedAnswer<Json<InputReceipt>>, Failure> {
    let permit = node.admit_to_session(&who, name, false).await?;
    let keyed = body.read_large_keyed(&who).await?;
    Ok(keyed
        .act(node, permit, |node, permit, input, _| async move { node.send_input(permit, input).await })
        .await?
        .map(Json))
}

pub(super) async fn kill_session<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(name): Name<String>,
    body: Body<KillSession>,
) -> Result<Done, Failure> {
    let permit = node.admit_to_session(&who, name, false).await?;
    node.kill_session(permit, body.read().await?).await?;
    Ok(Done)
}

pub(super) async fn screen<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(name): Name<String>,
) -> Result<String, Failure> {
    let permit = node.admit_to_session(&who, name, false).await?;
    Ok(node.screen(permit).await?)
}

pub(super) async fn report_session<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(name): Name<String>,
    body: Body<ReportSession>,
) -> Outcome<Reported> {
    let permit = node.admit_to_session(&who, name, false).await?;
    Ok(Json(node.report_session(permit, body.read().await?).await?))
}

pub(super) async fn explain<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(name): Name<String>,
) -> Outcome<ExplainView> {
    let permit = node.admit_to_session(&who, name, false).await?;
    Ok(Json(node.explain(permit).await?))
}
