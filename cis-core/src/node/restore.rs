//! Runs as they were: their events folded through the same reducer that the scheduler uses.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use crate::agent::Agents;
use crate::api::{Problem, ProblemKind};
use crate::dag::{self, Dag};
use crate::event::{EventBody, RunCreated};
use crate::ids::{BlobId, RunId, TimestampMs};
use crate::scheduler::Run;
use crate::store::{Blobs, Cleaned, Reader, Readers, StoreError};

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
    #[error("{}", .0.detail)]
    Removed(Problem),
    #[error("the file of run {run} is not understood any more: {detail}")]
    NotUnderstood { run: RunId, detail: String },
    #[error("run {run} has no `cis.dag.run.created` event; `cis store check` tells what is damaged")]
    NoBeginning { run: RunId },
    #[error(
        "event {offset} of run {run} does not follow from those before it: {detail}; `cis store check` tells more"
    )]
    Impossible { run: RunId, offset: u64, detail: String },
}

impl RestoreError {
    /// As the API says it.
    pub(super) fn problem(&self) -> Problem {
        let problem = |kind| Problem::new(kind, self.to_string());
        match self {
            Self::Removed(problem) => problem.clone(),
            Self::Store { .. } | Self::Spec { .. } | Self::NoSpec { .. } => problem(ProblemKind::Unavailable)
                .hint(
                    "once it can be read the run goes on by itself; its sessions are left alone until then",
                ),
            _ => problem(ProblemKind::Internal),
        }
    }
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
                    state.apply(&body, event.at_ms).map_err(|e| impossible(run, event.offset, &e))?;
                }
            }
        }
    }
    folded.ok_or(RestoreError::NoBeginning { run })
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
    let mut dag = dag::parse(text, &facts.source)
        .map_err(|diagnostics| RestoreError::NotUnderstood { run, detail: diagnostics.to_string() })?;
    if let Some(used) = &facts.use_agent {
        dag::with_agent(&mut dag, used.profile.as_deref());
    }
    agents.assign_accounts(&mut dag.tasks);
    Ok(dag)
}
