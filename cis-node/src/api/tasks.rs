//! Tasks, attempts and artifacts of runs, as the API shows them.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use futures_util::Stream;
use tokio::time::timeout;

use super::pages::{RESULTS_BYTES_MAX, bound_results};
use super::{Answer, page_of};
use crate::artifacts;
use crate::files::Stop;
use crate::node::Node;
use crate::problems::{blocking, no_attempt, no_task, run_name, store_problem};
use crate::server::{NodeApi as _, TasksApi};
use crate::streams::Viewer;
use cis_core::api::{AttemptView, ListTasks, Listing, Page, Problem, ProblemKind, TaskView};
use cis_core::event::ArtifactRecord;
use cis_core::federation::transfer::{FileList, Part};
use cis_core::ids::{BlobId, NodeDid, RunId, TaskId};
use cis_core::policy::Permit;
use cis_core::policy::act::{self, Targeted as _};

/// The room has the end of a run within this time, at the limits of a homeserver as it comes.
const TOLD_TIME_MAX: Duration = Duration::from_secs(20);
/// The list of files of another node is here within this time.
const LIST_TIME_MAX: Duration = Duration::from_secs(60);
/// So often it is looked whether it has.
const TOLD_LOOK: Duration = Duration::from_millis(100);

impl TasksApi for Node {
    async fn dag_text(&self, permit: Permit<act::ReadRun>) -> Answer<(BlobId, Vec<u8>)> {
        let run = permit.target();
        let blob = self.read(move |reader| reader.run_spec(run)).await?;
        let (blobs, kept) = (Arc::clone(&self.blobs), blob.clone());
        let text = blocking(move || blobs.get(&kept)).await?;
        match text.map_err(|error| store_problem(&error))? {
            Some(text) => Ok((blob, text)),
            None => Err(Problem::new(ProblemKind::NotFound, format!("the file of run {run} was cleaned"))),
        }
    }

    async fn export(&self, permit: Permit<act::ReadRun>, _: Permit<act::ReadMatrix>) -> Answer<String> {
        let run = permit.target();
        let view = self.run_view(run).await?;
        let Some(room) = view.room else {
            let detail = format!("{} is in no room: nothing of it is signed", run_name(run, &view.dag));
            let hint = "runs that a room follows can be exported: cis dag execute --hybrid --room ROOM FILE";
            return Err(Problem::new(ProblemKind::Conflict, detail).hint(hint));
        };
        let _viewer = Viewer::new(Arc::clone(&self.shared), self.driver.clone());
        if view.state.is_terminal() {
            self.wait_until_told(run, &view.dag).await?;
        }
        let opened = self.opened().await?;
        self.export_of(&opened, &room, run).await
    }

    async fn tasks(&self, permit: Permit<act::SeeRun>, query: ListTasks) -> Answer<Listing<TaskView>> {
        let mut tasks = self.run_detail(permit.target()).await?.tasks;
        let after = match &query.after {
            Some(after) => {
                Some(tasks.iter().position(|task| task.id.as_str() == after).ok_or_else(|| {
                    let detail = format!("`{after}` is not the `next` of a page of this listing");
                    Problem::new(ProblemKind::BadInput, detail).hint("begin again without `after`")
                })?)
            }
            None => None,
        };
        // The page continues behind the place of `after`, which may have left the wanted state meanwhile.
        tasks.drain(..after.map_or(0, |last| last + 1));
        tasks.retain(|task| query.state.is_none_or(|state| task.state == state));
        let page = Page { limit: query.limit, after: None };
        let mut listing = page_of(tasks, &page, |task| task.id.to_string())?;
        bound_results(&mut listing.items, RESULTS_BYTES_MAX);
        Ok(listing)
    }

    async fn task(&self, permit: Permit<act::SeeRun>, task: String) -> Answer<TaskView> {
        self.find_task(permit.target(), task).await
    }

    async fn attempts(
        &self,
        permit: Permit<act::SeeRun>,
        task: String,
        page: Page,
    ) -> Answer<Listing<AttemptView>> {
        let run = permit.target();
        let id = task_id(&task)?;
        let wanted = id.clone();
        let attempts = self.read(move |reader| reader.attempts(run, &wanted)).await?;
        if attempts.is_empty() {
            // An error if there is no such task.
            self.find_task(run, task).await?;
        }
        let views = attempts.into_iter().map(view_of).collect();
        page_of(views, &page, |attempt: &AttemptView| attempt.number.to_string())
    }

    async fn artifacts(
        &self,
        permit: Permit<act::SeeRun>,
        task: String,
        page: Page,
    ) -> Answer<Listing<ArtifactRecord>> {
        let left = self.left_by(permit.target(), task).await?;
        page_of(left, &page, |artifact| artifact.path.clone())
    }

    async fn artifact(
        &self,
        permit: &Permit<act::ReadArtifacts>,
        task: String,
        name: String,
    ) -> Answer<ArtifactRecord> {
        let run = permit.target();
        let left = self.left_by(run, task.clone()).await?;
        let by_content = || left.iter().find(|artifact| artifact.blob.0 == name);
        let found = left.iter().find(|artifact| artifact.path == name).or_else(by_content);
        let found = found.cloned().ok_or_else(|| {
            let detail = format!("task `{task}` has no artifact `{}`", name.escape_debug());
            Problem::new(ProblemKind::NotFound, detail).hint("`cis dag artifacts` lists them")
        })?;
        self.bring_here(run, task, &found).await?;
        Ok(found)
    }

    async fn artifact_bytes(
        &self,
        _: Permit<act::ReadArtifacts>,
        artifact: ArtifactRecord,
        range: Range<u64>,
    ) -> Answer<impl Stream<Item = Bytes> + Send + 'static> {
        let (blobs, blob) = (Arc::clone(&self.blobs), artifact.blob.clone());
        let file = blocking(move || blobs.open(&blob)).await?;
        let file = file.map_err(|error| store_problem(&error))?.ok_or_else(|| {
            let detail = format!("the content {} is gone from the blobs", artifact.blob);
            Problem::new(ProblemKind::NotFound, detail).hint("it was cleaned: `cis dag retry` makes it again")
        })?;
        Ok(artifacts::read(file, range))
    }

    async fn task_session(
        &self,
        permit: Permit<act::ReadRun>,
        task: String,
        attempt: Option<u32>,
    ) -> Answer<Permit<act::ReadSession>> {
        let (run, id) = (permit.target(), task_id(&task)?);
        let wanted = id.clone();
        let attempts = self.read(move |reader| reader.attempts(run, &wanted)).await?;
        let found = match attempt {
            Some(number) => attempts.iter().find(|tried| tried.number == number),
            None => attempts.iter().max_by_key(|tried| tried.number),
        };
        match found {
            Some(tried) => self.admit(permit.principal(), act::ReadSession::on(tried.session)),
            None => Err(no_attempt(&self.run_detail(run).await?, &id, attempt)),
        }
    }
}

impl Node {
    /// Waits until the room has all of a run that has ended: its end is told a moment later.
    async fn wait_until_told(&self, run: RunId, dag: &str) -> Answer<()> {
        let until = Instant::now() + TOLD_TIME_MAX;
        while !self.read(move |reader| reader.is_journal_told(run)).await? {
            if Instant::now() >= until {
                let detail = format!("the room does not have all of {} yet", run_name(run, dag));
                let hint = "`cis node status` says what keeps messages from the room; then try again";
                return Err(Problem::new(ProblemKind::Conflict, detail).hint(hint));
            }
            tokio::time::sleep(TOLD_LOOK).await;
        }
        Ok(())
    }

    async fn find_task(&self, run: RunId, task: String) -> Answer<TaskView> {
        let id = task_id(&task)?;
        let detail = self.run_detail(run).await?;
        let missing = || {
            let known = detail.tasks.iter().map(|task| task.id.as_str());
            no_task(&run_name(run, &detail.run.dag), &id, known)
        };
        detail.tasks.iter().find(|task| task.id == id).cloned().ok_or_else(missing)
    }

    async fn left_by(&self, run: RunId, task: String) -> Answer<Vec<ArtifactRecord>> {
        let id = task_id(&task)?;
        let left = self.read(move |reader| reader.artifacts(run, &id)).await?;
        if left.is_empty() {
            // An error if there is no such task.
            self.find_task(run, task).await?;
        } else if left.iter().any(|file| file.blob.0.is_empty())
            && let Some((_, list)) = self.uploaded_list(run, task).await?
        {
            // What a room tells of them names no content; the list does.
            return Ok(list.files.clone());
        }
        Ok(left)
    }

    /// Fetches the content of an artifact that is not here, where it was uploaded.
    async fn bring_here(&self, run: RunId, task: String, file: &ArtifactRecord) -> Answer<()> {
        let (blobs, blob, size) = (Arc::clone(&self.blobs), file.blob.clone(), file.size);
        if blocking(move || blobs.has_whole(&blob, size)).await? {
            return Ok(());
        }
        let Some((room, list)) = self.uploaded_list(run, task).await? else { return Ok(()) };
        let one = list.files.iter().find(|listed| listed.path == file.path && listed.blob == file.blob);
        let Some(one) = one else { return Ok(()) };
        let has_it = |part: &&Part| part.pieces.iter().any(|piece| piece.blob.as_ref() == Some(&one.blob));
        let parts = list.parts.iter().filter(has_it).cloned().collect();
        let wanted = FileList { files: vec![one.clone()], parts };
        self.bring(&room, wanted).await
    }

    /// The list of the files of a task, and its room; none: they were not uploaded.
    async fn uploaded_list(&self, run: RunId, task: String) -> Answer<Option<(String, Arc<FileList>)>> {
        let id = task_id(&task)?;
        let uploaded = self.read(move |reader| reader.uploaded_files(run, &id)).await?;
        let room = self.run_view(run).await?.room;
        let (Some(uploaded), Some(room)) = (uploaded, room) else { return Ok(None) };
        let unavailable = |detail: String| Problem::new(ProblemKind::Unavailable, detail);
        let listing = timeout(LIST_TIME_MAX, self.list_of(&room, &uploaded, &Stop::default())).await;
        match listing {
            Ok(list) => Ok(Some((room, list.map_err(|error| unavailable(error.to_string()))?))),
            Err(_) => Err(unavailable("the list of the files does not come from the homeserver".to_owned())
                .hint("`cis node status` says whether the homeserver answers")),
        }
    }
}

fn task_id(name: &str) -> Answer<TaskId> {
    TaskId::new(name).map_err(|error| Problem::new(ProblemKind::BadInput, error.to_string()))
}

fn view_of(attempt: cis_store::AttemptView) -> AttemptView {
    AttemptView {
        number: attempt.number,
        session: attempt.session,
        node: NodeDid(attempt.node),
        state: attempt.state,
        outcome: attempt.outcome,
        detail: attempt.detail,
        exit_code: attempt.exit_code,
        granted_ms: attempt.granted_ms,
        started_ms: attempt.started_ms,
        ended_ms: attempt.ended_ms,
        log_bytes: attempt.log_bytes,
    }
}
