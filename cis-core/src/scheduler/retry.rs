//! Which tasks `dag retry` runs again.
//!
//! A task that runs again voids what came after it: everything that needs it, however far away, runs
//! again too, whatever it ended as. So with `failed`, a cleaning-up task (`always`) or a report
//! (`one_failed`) that succeeded after the failure is decided anew, as the endings that it was decided
//! on are gone. What neither failed nor depends on something that did keeps its result. The tasks of
//! `[dag.on]` come after all others.
//!
//! A task with `foreach` runs again as a whole, with a list made anew; but where only items of it are
//! chosen it waits for those, and the others keep their results.

use super::input::Rejected;
use super::state::Run;
use super::trigger::{Says, says};
use crate::event::{QueueReason, RetryScope, TaskChange, TaskState};
use crate::ids::TaskId;

/// How a task runs again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Again {
    No,
    /// It waits for items that do.
    Items,
    Whole,
}

impl Run {
    /// Which tasks `dag retry` runs again, in the order of the file.
    ///
    /// # Errors
    /// The retry would be refused for this.
    pub fn runs_again(&self, scope: &RetryScope) -> Result<Vec<bool>, Rejected> {
        Ok(chosen(self, scope)?.again.into_iter().map(|again| again > Again::No).collect())
    }
}

/// Those tasks, in the order of the file, with the states that they go to.
pub(super) fn selection(run: &Run, scope: &RetryScope) -> Result<Vec<TaskChange>, Rejected> {
    let changes = chosen(run, scope)?.changes();
    if changes.is_empty() {
        return Err(Rejected::State(format!("run {} has no task to run again", run.id())));
    }
    Ok(changes)
}

fn chosen<'a>(run: &'a Run, scope: &RetryScope) -> Result<Chosen<'a>, Rejected> {
    let mut chosen = Chosen { run, again: vec![Again::No; run.len() as usize] };
    match scope {
        RetryScope::All => chosen.again.fill(Again::Whole),
        RetryScope::Failed => {
            let bad = |state| matches!(state, TaskState::Failed | TaskState::Error | TaskState::Cancelled);
            for index in (0..run.len()).filter(|index| bad(run.entry(*index).state)) {
                // One that ended badly because of its items goes on with those that did.
                let again = if run.entry(index).items().is_some() { Again::Items } else { Again::Whole };
                chosen.choose(index, again);
            }
        }
        RetryScope::From { task, also } => chosen.choose_from(std::iter::once(task).chain(also))?,
    }
    chosen.handlers();
    Ok(chosen)
}

struct Chosen<'a> {
    run: &'a Run,
    again: Vec<Again>,
}

impl Chosen<'_> {
    /// Chooses these tasks and all that came after them. One whose needs did not succeed could not start, unless another of these
    /// makes it run again.
    fn choose_from<'t>(&mut self, tasks: impl Iterator<Item = &'t TaskId>) -> Result<(), Rejected> {
        let run = self.run;
        let mut without_needs = Vec::new();
        for task in tasks {
            let missing = || Rejected::NoTask { run: run.id(), task: task.clone() };
            let index = run.find(task).ok_or_else(missing)?;
            if says(run.spec(index).trigger, run.entry(index).needs) == Says::GiveUp {
                without_needs.push((index, task));
            } else {
                self.choose(index, Again::Whole);
            }
        }
        match without_needs.into_iter().find(|(index, _)| !self.is_chosen(*index)) {
            None => Ok(()),
            Some((_, task)) => Err(Rejected::State(format!(
                "task `{task}` needs one that did not succeed, so it could not start: `cis dag retry {} --failed`",
                run.id()
            ))),
        }
    }

    /// Chooses a task and all that came after it.
    fn choose(&mut self, index: u32, again: Again) {
        let run = self.run;
        let mut work = vec![(index, again)];
        while let Some((index, again)) = work.pop() {
            let known = &mut self.again[index as usize];
            if *known >= again {
                continue;
            }
            *known = again;
            work.extend(run.links.dependents(index).map(|dependent| (dependent, Again::Whole)));
            if let (Again::Whole, Some(expansion)) = (again, run.entry(index).expansion()) {
                work.extend(expansion.items.iter().map(|item| (*item, Again::Whole)));
            }
            if let Some((parent, _)) = run.item_of(index) {
                let has_list = run.entry(parent).items().is_some();
                work.push((parent, if has_list { Again::Items } else { Again::Whole }));
            }
        }
    }

    fn is_chosen(&self, index: u32) -> bool {
        self.again[index as usize] > Again::No
    }

    /// How the run ends is decided anew, and with it which handlers run; after a handler alone come
    /// those of `always`.
    fn handlers(&mut self) {
        let run = self.run;
        let others = (0..run.len()).any(|index| self.is_chosen(index) && run.handler(index).is_none());
        let some = run.handlers.iter().any(|handler| self.is_chosen(handler.index));
        for handler in &run.handlers {
            if others || (some && handler.is_last()) {
                self.choose(handler.index, Again::Whole);
            }
        }
    }

    fn changes(&self) -> Vec<TaskChange> {
        let change = |(index, again): (u32, &Again)| {
            let (spec, entry) = (self.run.spec(index), self.run.entry(index));
            let (state, queued) = match again {
                Again::No => return None,
                Again::Whole => (TaskState::Pending, None),
                Again::Items => {
                    let count = entry.items().unwrap_or_default();
                    (TaskState::Queued, Some(QueueReason::Items { count }))
                }
            };
            Some(TaskChange { task: spec.id.clone(), state, end: None, queued })
        };
        (0..).zip(&self.again).filter_map(change).collect()
    }
}
