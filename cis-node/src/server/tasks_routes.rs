//! Handlers of tasks, attempts and artifacts, and of the DAG file of a run.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::response::{IntoResponse as _, Response};

use super::answers::{ASK_AGAIN, FOR_EVER, is_known, not_modified};
use super::caller::Caller;
use super::describe::{Conditions, DagText, Octets, Operations, operations};
use super::errors::Failure;
use super::extract::{Args, Name, Outcome};
use super::node_api::NodeApi;
use super::range;
use super::routes::{decide, task_context, why};
use super::streams::{byte_stream, task_log};
use cis_core::api::{AttemptView, ListTasks, Listing, Page, TaskView, paths};
use cis_core::event::ArtifactRecord;
use cis_core::ids::{BlobId, RunId};
use cis_core::policy::Action;
use cis_core::policy::act;

pub(super) fn operations<N: NodeApi>() -> Operations<Arc<N>> {
    operations! {
        /// Lists tasks of a run, in the order of its file.
        list_tasks: GET paths::RUN_TASKS, Tasks, Action::See, [NotFound, Ambiguous] => list::<N>;
        /// Shows a task of a run.
        get_task: GET paths::TASK, Tasks, Action::See, [NotFound, Ambiguous] => show::<N>;
        /// Lists attempts of a task, newest first.
        list_attempts: GET paths::TASK_ATTEMPTS, Tasks, Action::See, [NotFound, Ambiguous] => attempts::<N>;
        /// Says why a task is where it is.
        get_why: GET paths::WHY, Tasks, Action::See, [NotFound, Ambiguous] => why::<N>;
        /// Approves or rejects a task that waits for it.
        decide_task: POST paths::TASK_APPROVAL, Tasks, Action::ControlRun(None), [NotFound, Conflict] => decide::<N>;
        /// Shows what a task would get now of those that it needs, secrets replaced.
        get_task_context: GET paths::TASK_CONTEXT, Tasks, Action::ReadSession(None), [NotFound, Ambiguous] => task_context::<N>;
        /// Lists files that the last success of a task left, sorted by path.
        list_artifacts: GET paths::TASK_ARTIFACTS, Tasks, Action::See, [NotFound, Ambiguous] => artifacts::<N>;
        /// Reads a file that a task left, or a range of its bytes.
        ///
        /// Its tag (`ETag`) is the SHA-256 of its content.
        get_artifact: GET paths::TASK_ARTIFACT, Tasks, Action::ReadArtifacts, [NotFound, Ambiguous] => artifact::<N>;
        /// Reads the log of an attempt of a task, secrets replaced.
        ///
        /// With `follow` it goes on until the session ends; with `marks` it comes in pieces that tell their place, so
        /// that whoever was cut off goes on with `from` in the log of the session that the header names. With `plain` it is
        /// text. Without `follow` a range of bytes may be asked for.
        get_task_log: GET paths::TASK_LOG, Tasks, Action::ReadSession(None), [NotFound, Conflict] => task_log::<N>;
    }
}

async fn list<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(run): Name<String>,
    query: Args<ListTasks>,
) -> Outcome<Listing<TaskView>> {
    let permit = node.admit_to_run(&who, run).await?;
    Ok(Json(node.tasks(permit, query?.0).await?))
}

async fn show<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name((run, task)): Name<(String, String)>,
) -> Outcome<TaskView> {
    let permit = node.admit_to_run(&who, run).await?;
    Ok(Json(node.task(permit, task).await?))
}

async fn attempts<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name((run, task)): Name<(String, String)>,
    query: Args<Page>,
) -> Outcome<Listing<AttemptView>> {
    let permit = node.admit_to_run(&who, run).await?;
    Ok(Json(node.attempts(permit, task, query?.0).await?))
}

async fn artifacts<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name((run, task)): Name<(String, String)>,
    query: Args<Page>,
) -> Outcome<Listing<ArtifactRecord>> {
    let permit = node.admit_to_run(&who, run).await?;
    Ok(Json(node.artifacts(permit, task, query?.0).await?))
}

async fn artifact<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name((run, task, name)): Name<(String, String, String)>,
    Conditions(headers): Conditions,
) -> Result<Octets, Failure> {
    let permit = node.admit_to_run(&who, run).await?;
    let record = node.artifact(&permit, task, name.clone()).await?;
    let by_content = record.blob.to_string() == name;
    let tag = tag_of(&record.blob);
    let kept = if by_content { FOR_EVER } else { ASK_AGAIN };
    if let Some(answer) = unchanged(&headers, &tag, &kept) {
        return Ok(Octets(answer));
    }
    let size = record.size;
    let wanted = match range::asked(&headers, size, tag.to_str().ok()) {
        Ok(wanted) => wanted,
        Err(refused) => return Ok(Octets(refused)),
    };
    let bytes = node.artifact_bytes(permit, record, wanted.clone().unwrap_or(0..size)).await?;
    let mut answer = match &wanted {
        Some(wanted) => range::part(wanted, size, bytes),
        None => ([(header::CONTENT_LENGTH, size.to_string())], byte_stream(bytes)).into_response(),
    };
    let head = answer.headers_mut();
    head.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    // A browser must not run the artifact as a page of the node.
    head.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    head.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    head.insert(header::ETAG, tag);
    head.insert(header::CACHE_CONTROL, kept);
    Ok(Octets(answer))
}

/// Answers with the DAG file of a run, which never changes.
pub(super) async fn dag_text<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(run): Name<String>,
    Conditions(headers): Conditions,
) -> Result<DagText, Failure> {
    // A short id, or the id of a DAG, names another run later.
    let kept = if run.parse::<RunId>().is_ok() { FOR_EVER } else { ASK_AGAIN };
    let permit = node.admit_to_run(&who, run).await?;
    let (blob, text) = node.dag_text(permit).await?;
    let tag = tag_of(&blob);
    if let Some(answer) = unchanged(&headers, &tag, &kept) {
        return Ok(DagText(answer));
    }
    let head = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/toml")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::ETAG, tag),
        (header::CACHE_CONTROL, kept),
    ];
    Ok(DagText((head, text).into_response()))
}

/// Answers with the export of a run.
pub(super) async fn export<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(run): Name<String>,
) -> Result<String, Failure> {
    let matrix = node.admit(&who, act::ReadMatrix)?;
    let permit = node.admit_to_run(&who, run).await?;
    Ok(node.export(permit, matrix).await?)
}

fn tag_of(blob: &BlobId) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{blob}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}

/// Answers 304 if the client has this version. A cache takes over the headers of a 304 (RFC 9111, 3.2), so it says again how long the
/// answer may be kept.
fn unchanged(headers: &HeaderMap, tag: &HeaderValue, kept: &HeaderValue) -> Option<Response> {
    let answer = [(header::ETAG, tag.clone()), (header::CACHE_CONTROL, kept.clone())].into_response();
    let wanted = headers.get(header::IF_NONE_MATCH).cloned();
    is_known(&wanted, answer.headers()).then(|| not_modified(answer))
}
