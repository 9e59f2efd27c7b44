//! `[dag.on]`: the tasks that run only when all others have ended, each at one kind of end.
//!
//! First those of success, failure and cancel, of which at most one kind is meant; then `always`.

use indexmap::IndexSet;

use super::begin::Begin;
use super::settle::Settled;
use super::state::{Run, narrow};
use crate::dag;
use crate::event::{EndReason, RunState, TaskChange, TaskState};
use crate::ids::{TaskId, TimestampMs};

/// How the other tasks of a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Success,
    Failure,
    Cancel,
}

/// A task of `[dag.on]`. It may serve several kinds of end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Handler {
    pub(super) index: u32,
    success: bool,
    failure: bool,
    cancel: bool,
    pub(super) always: bool,
}

impl Handler {
    fn serves(&self, outcome: Outcome) -> bool {
        match outcome {
            Outcome::Success => self.success,
            Outcome::Failure => self.failure,
            Outcome::Cancel => self.cancel,
        }
    }

    /// Whether a run that is ended for `reason` still runs it.
    pub(super) fn survives(&self, reason: &EndReason) -> bool {
        self.always || self.serves(cancelled_for(reason))
    }

    /// ``on.success and on.cancel``
    fn kinds(&self) -> String {
        let named = [(self.success, "on.success"), (self.failure, "on.failure"), (self.cancel, "on.cancel")];
        named.iter().filter(|(is, _)| *is).map(|(_, name)| *name).collect::<Vec<_>>().join(" and ")
    }
}

fn cancelled_for(reason: &EndReason) -> Outcome {
    if *reason == EndReason::RunTimeout { Outcome::Failure } else { Outcome::Cancel }
}

/// The handlers of a file, in its order; or the name that no task has.
pub(super) fn of(on: &dag::Handlers, names: &IndexSet<TaskId>) -> Result<Vec<Handler>, TaskId> {
    let mut found: Vec<Handler> = Vec::new();
    let kinds = [&on.success, &on.failure, &on.cancel, &on.always];
    for (kind, id) in kinds.into_iter().enumerate() {
        let Some(id) = id else { continue };
        let index = names.get_index_of(id).map(narrow).ok_or_else(|| id.clone())?;
        let at = found.iter().position(|handler| handler.index == index).unwrap_or_else(|| {
            found.push(Handler { index, success: false, failure: false, cancel: false, always: false });
            found.len() - 1
        });
        let handler = &mut found[at];
        match kind {
            0 => handler.success = true,
            1 => handler.failure = true,
            2 => handler.cancel = true,
            _ => handler.always = true,
        }
    }
    found.sort_by_key(|handler| handler.index);
    Ok(found)
}

impl Run {
    pub(super) fn handler(&self, index: u32) -> Option<&Handler> {
        self.handlers.iter().find(|handler| handler.index == index)
    }

    /// Tasks in `state`, handlers left out.
    fn others(&self, state: TaskState) -> u32 {
        let handlers = self.handlers.iter().filter(|handler| self.entry(handler.index).state == state);
        self.count(state) - narrow(handlers.count())
    }

    fn outcome(&self) -> Outcome {
        match self.cancelling() {
            Some(reason) => cancelled_for(reason),
            None if self.others(TaskState::Error) + self.others(TaskState::Failed) > 0 => Outcome::Failure,
            None if self.others(TaskState::Cancelled) > 0 => Outcome::Cancel,
            None => Outcome::Success,
        }
    }
}

/// What becomes of the handlers that wait, once all other tasks have ended.
pub(super) fn turn(run: &Run, now: TimestampMs) -> Settled {
    let mut settled = Settled::default();
    let open = |always: bool| {
        run.handlers
            .iter()
            .filter(move |handler| handler.always == always && !run.entry(handler.index).state.is_terminal())
    };
    if run.handlers.is_empty() || !matches!(run.state(), RunState::Running | RunState::Paused) {
        return settled;
    }
    let others = run.index.open() - narrow(open(false).count() + open(true).count());
    if others > 0 {
        return settled;
    }
    let outcome = run.outcome();
    let waiting = |handler: &&Handler| run.entry(handler.index).state == TaskState::Pending;
    for handler in open(false).filter(waiting) {
        if handler.serves(outcome) {
            settled.begin(run, handler.index, Begin::of(run, handler.index, now, 0));
        } else {
            let detail = format!("{} does not apply to how the run went", handler.kinds());
            settled.changes.push(TaskChange {
                task: run.spec(handler.index).id.clone(),
                state: TaskState::Completed,
                end: Some(EndReason::Skipped { detail }),
                queued: None,
            });
        }
    }
    // `always` comes last; a list in which one of the others is skipped may be all that was missing.
    let skipped = settled.changes.iter().filter(|change| change.state.is_terminal()).count();
    if skipped == open(false).count() {
        for handler in open(true).filter(waiting) {
            settled.begin(run, handler.index, Begin::of(run, handler.index, now, 0));
        }
    }
    settled.changes.sort_by_key(|change| run.find(&change.task));
    settled
}
