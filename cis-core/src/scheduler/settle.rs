//! What follows from the endings of tasks for those that wait: one list of changes, however far it reaches.
//!
//! Pure in the strict sense: looks at a run and changes nothing.

use std::collections::BTreeMap;

use super::state::Run;
use super::task::Tally;
use super::trigger::{Says, says};
use crate::event::{EndReason, QueueReason, RunState, TaskChange, TaskState};

/// Changes of waiting tasks, in the order of the file, when those in `seeds` are looked at again.
pub(super) fn settle(run: &Run, seeds: impl IntoIterator<Item = u32>) -> Vec<TaskChange> {
    let mut preview = Preview { run, changes: BTreeMap::new(), needs: BTreeMap::new() };
    // A list and not recursion: a chain may be as long as the file.
    let mut work: Vec<u32> = seeds.into_iter().collect();
    work.reverse();
    while let Some(index) = work.pop() {
        let Some(change) = preview.look_at(index) else { continue };
        if change.state.is_terminal() {
            let from = run.entry(index).state;
            for dependent in run.links.dependents(index) {
                let known = run.entry(dependent).needs;
                preview.needs.entry(dependent).or_insert(known).moved(from, change.state);
                work.push(dependent);
            }
        }
        preview.changes.insert(index, change);
    }
    preview.changes.into_values().collect()
}

/// The run as it will be after the changes that are known so far.
struct Preview<'a> {
    run: &'a Run,
    changes: BTreeMap<u32, TaskChange>,
    needs: BTreeMap<u32, Tally>,
}

impl Preview<'_> {
    fn look_at(&self, index: u32) -> Option<TaskChange> {
        let run = self.run;
        let entry = run.entry(index);
        let waits = matches!(entry.state, TaskState::Pending | TaskState::Queued);
        if !waits || self.changes.contains_key(&index) {
            return None;
        }
        let spec = run.spec(index);
        let change = |state, end, queued| Some(TaskChange { task: spec.id.clone(), state, end, queued });
        if let Some(reason) = run.swept(index) {
            return change(TaskState::Cancelled, Some(reason.clone()), None);
        }
        if entry.state == TaskState::Queued || run.state() == RunState::Created {
            return None;
        }
        let needs = self.needs.get(&index).copied().unwrap_or(entry.needs);
        match says(spec.trigger, needs) {
            Says::Wait => None,
            Says::Start => change(TaskState::Queued, None, Some(QueueReason::Slot)),
            Says::Skip => {
                let detail = "trigger one_failed, and no need of it failed".to_owned();
                change(TaskState::Completed, Some(EndReason::Skipped { detail }), None)
            }
            Says::GiveUp => {
                let need = spec.needs.iter().find(|need| self.ended_badly(need));
                let need = need.map_or_else(String::new, ToString::to_string);
                change(TaskState::Cancelled, Some(EndReason::NeedFailed { need }), None)
            }
        }
    }

    fn ended_badly(&self, need: &crate::ids::TaskId) -> bool {
        let Some(index) = self.run.find(need) else { return false };
        let state = self.changes.get(&index).map_or(self.run.entry(index).state, |change| change.state);
        state.is_terminal() && !state.counts_as_success()
    }
}
