//! What the API needs of the node for tasks.

use std::future::Future;
use std::ops::Range;

use axum::body::Bytes;
use futures_util::Stream;

use cis_core::api::{AttemptView, ListTasks, Listing, Page, Problem, TaskView};
use cis_core::event::ArtifactRecord;
use cis_core::ids::BlobId;
use cis_core::policy::{Permit, act};

type Outcome<T> = Result<T, Problem>;

/// The tasks of runs, and their DAG file. Names of tasks and artifacts are as people typed them.
pub trait TasksApi: Send + Sync + 'static {
    /// The text of a run's DAG file, and its blob.
    fn dag_text(
        &self,
        permit: Permit<act::ReadRun>,
    ) -> impl Future<Output = Outcome<(BlobId, Vec<u8>)>> + Send;
    /// The lines that prove what happened to a run, out of its room.
    fn export(
        &self,
        permit: Permit<act::ReadRun>,
        matrix: Permit<act::ReadMatrix>,
    ) -> impl Future<Output = Outcome<String>> + Send;
    /// Tasks of a run, in the order of its file.
    fn tasks(
        &self,
        permit: Permit<act::SeeRun>,
        query: ListTasks,
    ) -> impl Future<Output = Outcome<Listing<TaskView>>> + Send;
    /// A task of a run.
    fn task(
        &self,
        permit: Permit<act::SeeRun>,
        task: String,
    ) -> impl Future<Output = Outcome<TaskView>> + Send;
    /// Its attempts, newest first.
    fn attempts(
        &self,
        permit: Permit<act::SeeRun>,
        task: String,
        page: Page,
    ) -> impl Future<Output = Outcome<Listing<AttemptView>>> + Send;
    /// Files that its last success left, sorted by path.
    fn artifacts(
        &self,
        permit: Permit<act::SeeRun>,
        task: String,
        page: Page,
    ) -> impl Future<Output = Outcome<Listing<ArtifactRecord>>> + Send;
    /// One of them, by its path or its blob.
    fn artifact(
        &self,
        permit: &Permit<act::ReadArtifacts>,
        task: String,
        name: String,
    ) -> impl Future<Output = Outcome<ArtifactRecord>> + Send;
    /// A part of its bytes.
    fn artifact_bytes(
        &self,
        permit: Permit<act::ReadArtifacts>,
        artifact: ArtifactRecord,
        range: Range<u64>,
    ) -> impl Future<Output = Outcome<impl Stream<Item = Bytes> + Send + 'static>> + Send;
    /// The session of an attempt of a task, to be read.
    fn task_session(
        &self,
        permit: Permit<act::ReadRun>,
        task: String,
        attempt: Option<u32>,
    ) -> impl Future<Output = Outcome<Permit<act::ReadSession>>> + Send;
}
