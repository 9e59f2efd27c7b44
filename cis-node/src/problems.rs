//! What callers are told where something cannot be had.

use cis_core::api::{Problem, ProblemKind, RunDetail};
use cis_core::dag::diagnose::nearest;
use cis_core::ids::{InboxId, RunId, SessionId, TaskId};
use cis_core::scheduler::Run;
use cis_host::hub::HubError;
use cis_store::StoreError;

use crate::commands::stopping;

/// Why there is no session of a task.
pub(crate) fn no_attempt(detail: &RunDetail, task: &TaskId, attempt: Option<u32>) -> Problem {
    let run = run_name(detail.run.id, &detail.run.dag);
    let not_found = |text: String| Problem::new(ProblemKind::NotFound, text);
    if detail.tasks.iter().any(|known| known.id == *task) {
        let which =
            attempt.map_or_else(|| "no attempt yet".to_owned(), |number| format!("no attempt {number}"));
        return not_found(format!("task `{task}` of {run} has {which}"));
    }
    no_task(&run, task, detail.tasks.iter().map(|known| known.id.as_str()))
}

pub(crate) fn run_name(run: RunId, dag: &str) -> String {
    format!("run {} ({dag})", run.short())
}

pub(crate) fn no_task<'a>(run: &str, task: &TaskId, known: impl Iterator<Item = &'a str>) -> Problem {
    let problem = Problem::new(ProblemKind::NotFound, format!("{run} has no task `{task}`"));
    match nearest(task.as_str(), known) {
        Some(near) => problem.hint(format!("did you mean `{near}`?")),
        None => problem,
    }
}

/// What the scheduler says of a run that has no such task, with the task that may be meant.
pub(crate) fn not_in(run: &Run, task: &TaskId) -> Problem {
    let known = run.tasks().map(|(task, _)| task.id.as_str());
    no_task(&run_name(run.id(), &run.facts().dag), task, known)
}

pub(crate) fn internal(error: &impl std::fmt::Display) -> Problem {
    Problem::new(ProblemKind::Internal, error.to_string())
}

/// A key that is given to a second request.
pub(crate) fn key_reused() -> Problem {
    Problem::new(ProblemKind::KeyReused, "the idempotency key was used for another request")
        .hint("give each request a key of its own")
}

/// Does what may wait for the disk on a thread of its own.
///
/// # Errors
///
/// The node is stopping: the runtime takes no more work then. Or the work panicked.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| if error.is_cancelled() { stopping() } else { internal(&error) })
}

/// A session that goes on, while the node has no connection to the session host.
pub(crate) fn unconnected(session: SessionId) -> Problem {
    let detail =
        format!("session {session} cannot be reached: the node is not connected to the session host yet");
    Problem::new(ProblemKind::Unavailable, detail).hint(
        "the session goes on; try again soon, and `cis node status` says whether the session host answers",
    )
}

/// A session that was asked for, and is not there yet.
pub(crate) fn starting(session: SessionId) -> Problem {
    let detail = format!("session {session} has not started yet");
    Problem::new(ProblemKind::Conflict, detail)
        .hint("retry in a moment; `cis dag why` says what a task waits for")
}

/// The prompt is another one than the answer is for.
pub(crate) fn prompt_moved(item: &InboxId) -> Problem {
    let detail = format!("the prompt of {item} has changed: nothing was typed");
    Problem::new(ProblemKind::Conflict, detail)
        .hint("look at what it asks now (`cis inbox`), and answer that")
}

/// It is not known whether an answer was typed.
pub(crate) fn may_have_typed(kind: ProblemKind, error: &HubError) -> Problem {
    Problem::new(kind, error.to_string())
        .hint("look at the session before you answer again: it may have been typed")
}

pub(crate) fn hub_problem(error: &HubError) -> Problem {
    let kind = match error {
        // Clients that wait for a node wait for this as well.
        HubError::HostLost { .. } | HubError::Stopped => ProblemKind::Unavailable,
        _ => ProblemKind::Conflict,
    };
    Problem::new(kind, error.to_string())
}

pub(crate) fn store_problem(error: &StoreError) -> Problem {
    let kind = match error {
        StoreError::NotFound { .. } => ProblemKind::NotFound,
        StoreError::NoSuchPage { .. } => ProblemKind::BadInput,
        StoreError::Ambiguous { .. } => ProblemKind::Ambiguous,
        StoreError::Missing { .. }
        | StoreError::Full { .. }
        | StoreError::ReadOnly { .. }
        | StoreError::Descriptors { .. }
        | StoreError::Io { .. } => ProblemKind::Unavailable,
        _ => ProblemKind::Internal,
    };
    let problem = Problem::new(kind, error.to_string());
    if matches!(error, StoreError::Full { .. }) {
        return problem.hint("nothing was recorded: try again when there is space");
    }
    problem
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    #[test]
    fn a_request_on_a_full_disk_does_not_continue_by_itself() {
        let full = store_problem(&StoreError::Full { path: "cis.db".into() });
        assert!(!full.detail.contains("continues"), "{full:?}");
        assert!(full.hint.unwrap().contains("try again"));
    }

    #[test]
    fn a_node_that_stops_says_so_to_those_who_still_ask() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let handle = runtime.handle().clone();
        drop(runtime);
        let _entered = handle.enter();
        let asked = blocking(|| "read").now_or_never().expect("nothing is waited for");
        assert_eq!(asked.unwrap_err().kind, ProblemKind::Unavailable);
    }
}
