//! Runs as they were: their events folded through the same reducer that the scheduler uses.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use crate::environments::{self, EnvironmentError};
use cis_core::agent::Agents;
use cis_core::api::{Problem, ProblemKind};
use cis_core::dag::{self, Dag, Task};
use cis_core::event::{EventBody, RunCreated};
use cis_core::federation::journal::Position;
use cis_core::ids::{BlobId, Offset, RunId, TaskId, TimestampMs};
use cis_core::scheduler::{Run, TaskEntry};
use cis_store::maintenance::INCOMPLETE;
use cis_store::{Blobs, Cleaned, Progress, Reader, Readers, StoreError, first_ahead};

/// Read from the store at a time.
const EVENTS_AT_ONCE: usize = 10_000;

/// Why a run cannot be rebuilt.
#[derive(Debug, thiserror::Error)]
pub(super) enum RestoreError {
    #[error("run {run} cannot be read: {source}")]
    Store { run: RunId, source: StoreError },
    #[error("the file of run {run} cannot be read: {source}")]
    Spec { run: RunId, source: StoreError },
    #[error("the file of run {run} is gone from the blobs: restore {blob} from a backup")]
    NoSpec { run: RunId, blob: BlobId },
    #[error("run {run}: {source}")]
    Environment { run: RunId, source: EnvironmentError },
    #[error("{}", .0.detail)]
    Removed(Problem),
    #[error("the file of run {run} is not understood any more: {detail}")]
    NotUnderstood { run: RunId, detail: String },
    #[error("run {run} has no `cis.dag.run.created` event; `cis store check` tells what is damaged")]
    NoBeginning { run: RunId },
    #[error("event {offset} of run {run} does not follow from those before it: {detail}")]
    Impossible { run: RunId, offset: u64, detail: String },
    #[error(
        "events of run {run} cannot be found: its task `{task}` is {} after {} attempts, but the events do not show it. \
         `cis store check` shows whether they are lost, or only the index of events is damaged. Then stop the node and run \
         `cis store rebuild`: it repairs an index, and the run continues; if events are lost, it ends the run with an error",
        .told.state.as_str(), .told.attempts
    )]
    Lacking { run: RunId, task: TaskId, told: Progress },
    #[error(
        "run {run} has ended and cannot be changed or retried: some of its events were lost when the database was \
         damaged, so a finished task might run a second time"
    )]
    Incomplete {
        run: RunId,
        /// Starts the run anew.
        anew: String,
    },
}

impl RestoreError {
    /// As the API says it.
    pub(super) fn problem(&self) -> Problem {
        let problem = |kind| Problem::new(kind, self.to_string());
        match self {
            Self::Removed(problem) => problem.clone(),
            Self::Store { .. } | Self::Spec { .. } | Self::NoSpec { .. } | Self::Environment { .. } => {
                problem(ProblemKind::Unavailable).hint(
                    "once it can be read the run goes on by itself; its sessions are left alone until then",
                )
            }
            Self::Incomplete { run, anew } => problem(ProblemKind::Conflict)
                .hint(format!("look at it with `cis dag show {run}`, then start it anew: `{anew}`")),
            _ => problem(ProblemKind::Internal),
        }
    }
}

/// Folds the events of a run that goes on, and checks that its tasks can be started. Nothing may be written meanwhile.
///
/// # Errors
/// Those of [`load_open_run`], and [`RestoreError::Environment`].
pub(super) fn load_whole_run(
    readers: &Readers,
    blobs: &Blobs,
    agents: &Agents,
    run: RunId,
) -> Result<Run, RestoreError> {
    let folded = load_open_run(readers, blobs, agents, run)?;
    // What runs already has its environment.
    let starts_more = folded.tasks().any(|(_, entry)| !entry.state.is_terminal() && !entry.state.is_active());
    if let (Some(base), true) = (&folded.facts().base_env, starts_more) {
        environments::load(blobs, base).map_err(|source| RestoreError::Environment { run, source })?;
    }
    Ok(folded)
}

/// Folds the events of a run that is open. Nothing may be written meanwhile.
///
/// # Errors
/// Also if the table of tasks says more than the events, which are damaged then: a finished task would run again.
pub(super) fn load_open_run(
    readers: &Readers,
    blobs: &Blobs,
    agents: &Agents,
    run: RunId,
) -> Result<Run, RestoreError> {
    let folded = load_run(readers, blobs, agents, run)?;
    let store = |source| RestoreError::Store { run, source };
    let told = readers.get().map_err(store)?.progress(run).map_err(store)?;
    let progress = |(task, entry): (&Task, &TaskEntry)| {
        (task.id.clone(), Progress { state: entry.state, attempts: entry.attempts })
    };
    let lacking = first_ahead(&told, &folded.tasks().map(progress).collect())
        .map(|(task, told)| RestoreError::Lacking { run, task: task.clone(), told });
    lacking.map_or(Ok(folded), Err)
}

/// Folds the events of a run.
pub(super) fn load_run(
    readers: &Readers,
    blobs: &Blobs,
    agents: &Agents,
    run: RunId,
) -> Result<Run, RestoreError> {
    let store = |source| RestoreError::Store { run, source };
    let reader = readers.get().map_err(store)?;
    let mut folded: Option<Run> = None;
    let mut is_ended_by_rebuild = false;
    let mut after = 0;
    loop {
        let events = reader.events(after, Some(run), EVENTS_AT_ONCE).map_err(store)?;
        let Some(last) = events.last() else { break };
        after = last.offset;
        for event in events {
            let body = match event.decode() {
                Ok(body) => body,
                Err(error) => {
                    // Written by a newer version; it may have been about something that we do not do.
                    tracing::warn!(%run, offset = event.offset, %error, "an event is not understood");
                    continue;
                }
            };
            match (&mut folded, body) {
                (None, EventBody::RunCreated(facts)) => {
                    let new = begun(blobs, agents, run, &facts, event.at_ms);
                    folded = Some(new.map_err(|error| or_removed(error, &reader, run))?);
                }
                (None, _) => return Err(RestoreError::NoBeginning { run }),
                (Some(state), body) => {
                    if let Err(error) = state.apply(&body, event.at_ms) {
                        return Err(if is_incomplete(&reader, run) {
                            RestoreError::Incomplete { run, anew: anew(state.facts()) }
                        } else {
                            impossible(run, event.offset, &error)
                        });
                    }
                    // An earlier version could retry such a run.
                    match body {
                        EventBody::RunErrored { detail } => is_ended_by_rebuild = detail == INCOMPLETE,
                        EventBody::RunRetried { .. } => is_ended_by_rebuild = false,
                        _ => {}
                    }
                }
            }
        }
    }
    match folded {
        Some(state) if is_ended_by_rebuild => {
            Err(RestoreError::Incomplete { run, anew: anew(state.facts()) })
        }
        folded => folded.ok_or(RestoreError::NoBeginning { run }),
    }
}

/// Whether a rebuild of the store ended the run.
fn is_incomplete(reader: &Reader, run: RunId) -> bool {
    reader.run(run).is_ok_and(|view| view.detail.as_deref() == Some(INCOMPLETE))
}

/// Returns the command that starts such a run anew.
fn anew(facts: &RunCreated) -> String {
    let path = Path::new(&facts.workdir).join(&facts.source);
    if path.is_file() { format!("cis dag run {}", path.display()) } else { "cis dag run FILE".to_owned() }
}

/// A run as it was right after its first event.
pub(super) fn begun(
    blobs: &Blobs,
    agents: &Agents,
    run: RunId,
    facts: &RunCreated,
    at_ms: TimestampMs,
) -> Result<Run, RestoreError> {
    let dag = Arc::new(load_dag(blobs, agents, run, facts)?);
    Run::new(run, facts, dag, at_ms).map_err(|error| impossible(run, 0, &error))
}

/// A file that is gone because it was removed is no damage.
fn or_removed(error: RestoreError, reader: &Reader, run: RunId) -> RestoreError {
    match (&error, reader.cleaned(Some(run), None)) {
        (RestoreError::NoSpec { .. }, Ok(Some(cleaned))) => {
            RestoreError::Removed(removed(&format!("the file of run {run}"), &cleaned))
        }
        _ => error,
    }
}

/// What a cleaning removed is not there, and will not come back.
pub(super) fn removed(what: &str, cleaned: &Cleaned) -> Problem {
    let ms = u64::try_from(cleaned.at_ms).unwrap_or(0);
    let at = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_millis(ms));
    let detail = format!("{what} was removed at {at}: {}", cleaned.rule);
    Problem::new(ProblemKind::Conflict, detail)
        .hint("a backup made before may have it (`cis store restore` in another home)")
}

fn impossible(run: RunId, offset: u64, error: &impl std::fmt::Display) -> RestoreError {
    RestoreError::Impossible { run, offset, detail: error.to_string() }
}

/// The file of a run, parsed again.
fn load_dag(blobs: &Blobs, agents: &Agents, run: RunId, facts: &RunCreated) -> Result<Dag, RestoreError> {
    let text = blobs.get(&facts.spec).map_err(|source| RestoreError::Spec { run, source })?;
    let text = text.ok_or_else(|| RestoreError::NoSpec { run, blob: facts.spec.clone() })?;
    dag_of(&text, agents, run, facts)
}

/// The DAG of a run, of the text of its file.
pub(super) fn dag_of(
    text: &[u8],
    agents: &Agents,
    run: RunId,
    facts: &RunCreated,
) -> Result<Dag, RestoreError> {
    let mut dag = dag::parse_accepted(text, &facts.source)
        .map_err(|diagnostics| RestoreError::NotUnderstood { run, detail: diagnostics.to_string() })?;
    if let Some(used) = &facts.use_agent {
        dag::with_agent(&mut dag, used.profile.as_deref());
    }
    agents.assign_accounts(&mut dag.tasks);
    Ok(dag)
}

/// How far the journal of a run is written in its room: up to which event, and with which entry.
pub(crate) fn published(readers: &Readers, run: RunId) -> Option<(Offset, Position)> {
    let followed =
        readers.get().ok()?.followed_runs(0).ok()?.into_iter().find(|followed| followed.run == run)?;
    Some((followed.published, position(&followed.journal)?))
}

/// The entry that the store keeps as the newest one of a journal; none: nothing of it is written.
pub(crate) fn position(journal: &str) -> Option<Position> {
    serde_json::from_str(journal).ok()
}
