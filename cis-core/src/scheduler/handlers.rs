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
use crate::event::{RunState, TaskChange, TaskState};
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

    fn outcome(&self) -> Outcome {
        match self.cancelling() {
            Some(reason) => cancelled_for(reason),
            None if self.others(TaskState::Error) + self.others(TaskState::Failed) > 0 => Outcome::Failure,
            None if self.others(TaskState::Cancelled) > 0 => Outcome::Cancel,
            None => Outcome::Success,
        }
    }
}

/// What becomes of the handlers that wait.
pub(super) fn turn(run: &Run, now: TimestampMs) -> Settled {
    let mut settled = Settled::default();
    if run.handlers.is_empty() || !matches!(run.state(), RunState::Running | RunState::Paused) {
        return settled;
    }
    let state = |handler: &Handler| run.entry(handler.index).state;
    let open = run.handlers.iter().filter(|handler| !state(handler).is_terminal()).count();
    let over = run.index.open() == narrow(open);
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
