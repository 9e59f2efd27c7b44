//! Why the reducer refuses an event.

use crate::event::{RunState, TaskState};
use crate::ids::{RunId, TaskId};

/// An event that does not follow from those before it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// The file is not the one that the run was created with.
    #[error("run {run} does not fit its file: {detail}; restore the file, or submit it as a new run")]
    Dag {
        /// The run.
        run: RunId,
        /// What differs.
        detail: String,
    },
    /// The run is not in a state for it.
    #[error("run {run} is {state}: `{event}` cannot follow; `cis store check` looks for missing events")]
    RunState {
        /// The run.
        run: RunId,
        /// Its state.
        state: RunState,
        /// The event's type.
        event: &'static str,
    },
    /// It names a task that the run does not have.
    #[error("run {run} has no task `{task}`; `cis store check` looks for missing events")]
    NoTask {
        /// The run.
        run: RunId,
        /// The task.
        task: TaskId,
    },
    /// The task may not go there.
    #[error(
        "task `{task}` of run {run} is {from} and cannot become {to}; `cis store check` looks for missing events"
    )]
    TaskState {
        /// The run.
        run: RunId,
        /// The task.
        task: TaskId,
        /// Its state.
        from: TaskState,
        /// The state that it was to have.
        to: TaskState,
    },
    /// It is about an attempt or session that is not the one under way.
    #[error("task `{task}` of run {run}: {detail}; `cis store check` looks for missing events")]
    Attempt {
        /// The run.
        run: RunId,
        /// The task.
        task: TaskId,
        /// What does not fit.
        detail: String,
    },
    /// Its list of tasks is not one: out of order, doubled, or a name is taken.
    #[error("a list of tasks for run {run} cannot be taken: {detail}; correct it and send it again")]
    List {
        /// The run.
        run: RunId,
        /// What does not fit.
        detail: String,
    },
}
