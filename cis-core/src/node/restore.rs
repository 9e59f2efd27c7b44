//! Runs as they were: their events folded through the same reducer that the scheduler uses.

use std::sync::Arc;

use crate::api::{Problem, ProblemKind};
use crate::dag::{self, Dag};
use crate::event::{EventBody, RunCreated};
use crate::ids::{BlobId, RunId};
use crate::scheduler::Run;
use crate::store::{Blobs, Readers, StoreError};

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
            Self::Store { .. } | Self::Spec { .. } | Self::NoSpec { .. } => problem(ProblemKind::Unavailable)
                .hint(
                    "once it can be read the run goes on by itself; its sessions are left alone until then",
                ),
            _ => problem(ProblemKind::Internal),
        }
    }
}

/// Folds the events of a run.
pub(super) fn load_run(readers: &Readers, blobs: &Blobs, run: RunId) -> Result<Run, RestoreError> {
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
                    let dag = Arc::new(load_dag(blobs, run, &facts)?);
                    let new = Run::new(run, &facts, dag, event.at_ms);
                    folded = Some(new.map_err(|e| impossible(run, event.offset, &e))?);
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

fn impossible(run: RunId, offset: u64, error: &impl std::fmt::Display) -> RestoreError {
    RestoreError::Impossible { run, offset, detail: error.to_string() }
}

/// The file of a run, parsed again.
pub(super) fn load_dag(blobs: &Blobs, run: RunId, facts: &RunCreated) -> Result<Dag, RestoreError> {
    let text = blobs.get(&facts.spec).map_err(|source| RestoreError::Spec { run, source })?;
    let text = text.ok_or_else(|| RestoreError::NoSpec { run, blob: facts.spec.clone() })?;
    dag::parse(&text, &facts.source)
        .map_err(|diagnostics| RestoreError::NotUnderstood { run, detail: diagnostics.to_string() })
}
