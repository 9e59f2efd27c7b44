//! What tasks of a run in Matrix mode need of the machine where the run was submitted, and whether they may use it.
//!
//! Owns who may have the submitter's files and secrets after another node coordinated the run, and what of that node's term a person
//! has to look at first. Who takes a run back for them is `federation::protocol::suspicion`'s matter.

use super::state::Run;
use crate::dag::{Action, Foreach, Prompt, Task, Trigger};
use crate::event::{
    AttemptOutcome, AttemptResult, EventBody, QueueReason, ReadBack, RunCreated, TaskChange, TaskState,
};
use crate::fence::epoch_of;
use crate::ids::TaskId;

impl RunCreated {
    /// Whether the run's directory and the submitter's environment are on another machine.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        self.epoch > 0 && self.read_back.is_none()
    }
}

/// Whether a task needs the files, the secrets or the machine of its submitter, wherever it runs.
fn needs_submitter(task: &Task) -> bool {
    let has_prompt_file = matches!(&task.action, Action::Agent { prompt: Prompt::File(_), .. });
    !task.inputs.is_empty() || has_prompt_file || !task.is_portable()
}

impl Run {
    /// Whether the task at `index` may use the submitter's machine, and this is that machine. Tasks that a session asked for may not
    /// after another node coordinated the run: that node could have made them up.
    #[must_use]
    pub fn may_use_submitter(&self, index: u32) -> bool {
        self.facts.epoch == 0 || (self.facts.read_back.is_some() && self.is_of_file(index))
    }

    /// Whether a task stands in the file, or is an item of one that does: only `foreach` makes items.
    fn is_of_file(&self, index: u32) -> bool {
        let of = self.item_of(index).map_or(index, |(of, _)| of);
        (of as usize) < self.dag.tasks.len()
    }

    /// Whether a task waits until the node where the run was submitted coordinates it again, as it needs what only that node has. Where the
    /// run is being ended, nothing waits for a node that may never come back.
    #[must_use]
    pub fn waits_for_submitter(&self, index: u32) -> bool {
        self.facts.is_foreign()
            && self.submitted_by.is_some()
            && self.phase.cancelling.is_none()
            && self.needs_submitter(index)
    }

    /// Nobody is waited for: this is the node where the run was submitted, and it does not have what its tasks need any more.
    pub fn forget_submitter(&mut self) {
        self.submitted_by = None;
    }

    /// Whether the task at `index` needs what only the node has where the run was submitted.
    #[must_use]
    pub fn needs_submitter(&self, index: u32) -> bool {
        // Files that a task left on the submitter's machine were not uploaded.
        let left_files = |of: u32| {
            let entry = self.entry(of);
            !entry.artifacts().is_empty() && entry.files().is_none()
        };
        let has_files_there = |need: u32| {
            let items = self.items(&self.spec(need).id).unwrap_or_default();
            self.stays_home(need) && (left_files(need) || items.iter().any(|item| left_files(*item)))
        };
        let needs = self.needs_of(index).iter().filter_map(|need| self.find(need));
        let mut needs = needs.filter(|_| self.is_of_file(index));
        (needs_submitter(self.spec(index)) && self.is_of_file(index)) || needs.any(has_files_there)
    }

    /// ` (did:key:…)`, where the key is known that the node had at which the run was submitted.
    #[must_use]
    pub fn submitter_note(&self) -> String {
        self.submitted_by.as_ref().map(|did| format!(" ({did})")).unwrap_or_default()
    }

    /// Whether a task could start on the node where the run was submitted, which does not coordinate it any more, and on no other.
    #[must_use]
    pub fn awaits_submitter(&self) -> bool {
        // Who does not coordinate the run counts neither places of groups nor delays.
        let waits = |index: u32| {
            let entry = self.entry(index);
            entry.state == TaskState::Queued && !entry.waits_for_approval() && !entry.waits_for_items()
        };
        self.facts.epoch > 0
            && self.phase.cancelling.is_none()
            && self.count(TaskState::Queued) > 0
            && (0..self.len()).any(|index| waits(index) && self.needs_submitter(index))
    }

    /// What another coordinator said of a run that was submitted here, and that decides about files, secrets or programs of this machine: a
    /// person looks at it before this node acts on it.
    #[must_use]
    pub fn doubt(&self) -> Option<&str> {
        let is_cut_off = self.facts.read_back == Some(ReadBack::CutOff);
        is_cut_off.then_some("took the run over without results of this node").or(self.doubt.as_deref())
    }

    /// What makes a doubt of an event that is about to be applied; none: nothing new.
    pub(super) fn doubt_about(&self, body: &EventBody) -> Option<String> {
        let is_anothers = self.facts.read_back.is_some()
            && self.facts.epoch > 0
            && self.submitted_by.as_ref() != Some(&self.facts.owner);
        (is_anothers && self.doubt.is_none()).then(|| self.doubt_of(body)).flatten()
    }

    fn doubt_of(&self, body: &EventBody) -> Option<String> {
        let bound = |task: &TaskId| self.find(task).filter(|index| self.needs_submitter(*index));
        match body {
            EventBody::RunRetried { .. } => Some("retried the run".to_owned()),
            EventBody::TaskApproved { task, .. } => bound(task).map(|_| format!("had `{task}` approved")),
            EventBody::TaskStatus { changes } => changes.iter().find_map(|change| {
                let index = bound(&change.task)?;
                self.starts_too_early(index, change).then(|| format!("let `{}` start", change.task))
            }),
            EventBody::TaskExpanded { task, items } => {
                let index = bound(task)?;
                let is_another =
                    matches!(&self.spec(index).foreach, Some(Foreach::Items(list)) if list != items);
                is_another.then(|| format!("gave other items to `{task}`"))
            }
            EventBody::TaskResult(result) => {
                let index = bound(&result.task)?;
                let is_told = result.outcome == AttemptOutcome::Succeeded && self.is_made_up(index, result);
                is_told.then(|| format!("told that `{}` succeeded", result.task))
            }
            _ => None,
        }
    }

    /// Whether a change lets a task start whose needs have not ended, or that nobody approved.
    fn starts_too_early(&self, index: u32, change: &TaskChange) -> bool {
        let (spec, entry) = (self.spec(index), self.entry(index));
        let is_queued = change.state == TaskState::Queued
            && !matches!(change.queued, Some(QueueReason::Approval { .. } | QueueReason::Items { .. }));
        let is_undecided = entry.state == TaskState::Pending || entry.waits_for_approval();
        let has_open_needs = entry.needs.open > 0 && spec.trigger != Trigger::OneFailed;
        is_queued && is_undecided && (spec.approval.is_some() || has_open_needs)
    }

    /// Whether only the submitter could tell of a result: nobody else grants the task, and one that stays there is at work nowhere else.
    fn is_made_up(&self, index: u32, result: &AttemptResult) -> bool {
        epoch_of(result.fence) == self.facts.epoch || self.stays_home(index)
    }
}
