//! `[dag.on]`: the tasks that run at one kind of end each, when all others have ended, or as soon as a
//! session waits for a human.
//!
//! Of the ends first those of success, failure and cancel, of which one kind is meant; then `always`. The others of these three
//! are skipped only when the one that is meant has ended: until then the run may be cancelled, or take too long.

use super::begin::Begin;
use super::handler::{Handler, Outcome, When, cancelled_for};
use super::narrow::narrow;
use super::settle::Settled;
use super::state::Run;
use crate::event::{EndReason, RunState, TaskChange, TaskState};
use crate::ids::TimestampMs;

impl Run {
    pub(super) fn handler(&self, index: u32) -> Option<&Handler> {
        self.handlers.iter().find(|handler| handler.index == index)
    }

    /// Tasks in `state`, handlers left out.
    fn others(&self, state: TaskState) -> u32 {
        let handlers = self.handlers.iter().filter(|handler| self.entry(handler.index).state == state);
        self.count(state) - narrow(handlers.count())
    }

    /// Whether all tasks but handlers have ended.
    pub(super) fn others_ended(&self) -> bool {
        let open = self.handlers.iter().filter(|handler| !self.entry(handler.index).state.is_terminal());
        self.index.open() == narrow(open.count())
    }

    /// Why the run ends before its time, or did before a retry of handlers alone.
    pub(super) fn ends_early(&self) -> Option<&EndReason> {
        self.cancelling().or(self.phase.former.as_ref().map(|former| &former.reason))
    }

    fn outcome(&self) -> Outcome {
        self.ends_early().map_or_else(|| self.outcome_of_others(), cancelled_for)
    }

    /// What the other tasks alone say.
    fn outcome_of_others(&self) -> Outcome {
        if self.others(TaskState::Error) + self.others(TaskState::Failed) > 0 {
            Outcome::Failure
        } else if self.others(TaskState::Cancelled) > 0 {
            Outcome::Cancel
        } else {
            Outcome::Success
        }
    }

    /// Whether a retry of these handlers lets the run end as its other tasks say. It does where the run was cancelled, or took too
    /// long, only when those had ended, and the handler that they had called runs again.
    pub(super) fn voids_former_end(&self, changes: &[TaskChange]) -> bool {
        let meant = self.outcome_of_others();
        let runs_again = |change: &TaskChange| {
            let handler = self.find(&change.task).and_then(|index| self.handler(index));
            handler.is_some_and(|handler| handler.when == When::End(meant))
        };
        let former = self.phase.former.as_ref();
        former.is_some_and(|former| former.late && cancelled_for(&former.reason) != meant)
            && changes.iter().any(runs_again)
    }
}

/// What becomes of the handlers that wait.
pub(super) fn turn(run: &Run, now: TimestampMs) -> Settled {
    let mut settled = Settled::default();
    if run.handlers.is_empty() || !matches!(run.state(), RunState::Running | RunState::Paused) {
        return settled;
    }
    let state = |handler: &Handler| run.entry(handler.index).state;
    let over = run.others_ended();
    let outcome = run.outcome();
    let waiting = |handler: &&Handler| state(handler) == TaskState::Pending;
    let of_ends = || run.handlers.iter().filter(|handler| matches!(handler.when, When::End(_)));
    let decides = over && of_ends().all(|handler| waiting(&handler) || state(handler).is_terminal());
    let comes = of_ends().filter(waiting).any(|handler| handler.when == When::End(outcome));
    for handler in run.handlers.iter().filter(waiting) {
        match handler.when {
            When::Blocked if run.phase.asked => settled.begin_task(run, handler.index, now),
            When::End(end) if decides && end == outcome => settled.begin_task(run, handler.index, now),
            When::Blocked if over => settled.skip(run, handler, "no session of the run waited for a human"),
            When::End(_) if decides && !comes => settled.skip(run, handler, "the run went otherwise"),
            _ => {}
        }
    }
    // `always` comes last; a list in which all that is left of the others is skipped may be all that was missing.
    let ended = settled.changes.iter().filter(|change| change.state.is_terminal()).count();
    let others = run.handlers.iter().filter(|handler| !handler.is_last() && !state(handler).is_terminal());
    if over && others.count() == ended {
        for handler in run.handlers.iter().filter(|handler| handler.is_last()).filter(waiting) {
            settled.begin_task(run, handler.index, now);
        }
    }
    settled.changes.sort_by_key(|change| run.find(&change.task));
    settled
}

impl Settled {
    fn begin_task(&mut self, run: &Run, index: u32, now: TimestampMs) {
        self.begin(run, index, Begin::of(run, index, now, 0));
    }

    fn skip(&mut self, run: &Run, handler: &Handler, why: &str) {
        self.changes.push(TaskChange {
            task: run.spec(handler.index).id.clone(),
            state: TaskState::Completed,
            end: Some(handler.does_not_apply(&why)),
            queued: None,
        });
    }
}
