//! What tasks of a run in Matrix mode need of the machine where the run was submitted, and whether that is here.
//!
//! Owns who may have the submitter's files and secrets after another node coordinated the run. Who takes a run back for them is
//! `federation::protocol::suspicion`'s matter.

use super::state::Run;
use crate::dag::{Action, Prompt, Task};
use crate::event::{RunCreated, TaskState};

impl RunCreated {
    /// Whether the run's directory and the submitter's environment are on another machine.
    #[must_use]
    pub fn is_away(&self) -> bool {
        self.epoch > 0 && !self.submitted_here
    }
}

/// Whether a task needs the files, the secrets or the machine of its submitter, wherever it runs.
fn needs_submitter(task: &Task) -> bool {
    let has_prompt_file = matches!(&task.action, Action::Agent { prompt: Prompt::File(_), .. });
    !task.inputs.is_empty() || has_prompt_file || !task.is_portable()
}

impl Run {
    /// Whether what the submitter has is here for the task at `index`. Tasks that a session asked for get none of it after another node
    /// coordinated the run: that node could have made them up.
    #[must_use]
    pub fn has_submitters(&self, index: u32) -> bool {
        self.facts.epoch == 0 || (self.facts.submitted_here && self.is_of_file(index))
    }

    /// Whether a task stands in the file, or is an item of one that does.
    fn is_of_file(&self, index: u32) -> bool {
        let in_file = |index: u32| (index as usize) < self.dag.tasks.len();
        in_file(index)
            || self.item_of(index).is_some_and(|(of, _)| {
                let expansion = self.entry(of).expansion();
                in_file(of) && expansion.is_some_and(|expansion| expansion.items.contains(&index))
            })
    }

    /// Whether a task waits until the node where the run was submitted coordinates it again, as it needs what only that node has.
    #[must_use]
    pub fn waits_for_submitter(&self, index: u32) -> bool {
        self.facts.is_away() && self.is_of_file(index) && self.needs_away(index)
    }

    fn needs_away(&self, index: u32) -> bool {
        // Files that a task left on the submitter's machine were not uploaded.
        let is_there = |need: u32| {
            let entry = self.entry(need);
            self.stays_home(need) && !entry.artifacts().is_empty() && entry.files().is_none()
        };
        needs_submitter(self.spec(index))
            || self.spec(index).needs.iter().filter_map(|need| self.find(need)).any(is_there)
    }

    /// ` (did:key:…)`, where the node is known at which the run was submitted.
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
            && self.count(TaskState::Queued) > 0
            && (0..self.len()).any(|index| waits(index) && self.is_of_file(index) && self.needs_away(index))
    }
}
