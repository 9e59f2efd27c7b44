//! What tasks of a run in Matrix mode need of the machine where the run was submitted, and whether they may use it.
//!
//! Owns who may have the submitter's files and secrets after another node coordinated the run, and what of that node's term a person
//! has to look at first. Who takes a run back for them is `federation::protocol::suspicion`'s matter.

use super::state::Run;
use super::task::TaskEntry;
use crate::dag::{Action, Prompt, Task, Trigger};
use crate::event::{EventBody, ReadBack, RunCreated, TaskChange, TaskState};
use crate::ids::TaskId;

impl RunCreated {
    /// Whether the run's directory and the submitter's environment are on another machine.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        self.epoch > 0 && self.read_back.is_none()
    }
}

/// Whether a task needs the files, the secrets or the machine of its submitter by what the file says of it alone.
fn is_bound_alone(task: &Task) -> bool {
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
        self.is_bound_where(index, |need| {
            let items = self.items(&self.spec(need).id).unwrap_or_default();
            left_files(need) || items.iter().any(|item| left_files(*item))
        })
    }

    /// Whether a task of the file needs the submitter's machine itself, or files of a task that stays there: of which, `has_files` says.
    fn is_bound_where(&self, index: u32, has_files: impl Fn(u32) -> bool) -> bool {
        let mut needs = self.needs_of(index).iter().filter_map(|need| self.find(need));
        self.is_of_file(index)
            && (is_bound_alone(self.spec(index))
                || needs.any(|need| self.stays_home(need) && has_files(need)))
    }

    /// The key that the node had at which the run was submitted, where it is known.
    #[must_use]
    pub fn submitted_by(&self) -> Option<&crate::ids::NodeDid> {
        self.submitted_by.as_ref()
    }

    /// Whether the node that coordinates the run now recorded the end of a task's newest attempt, in this term or in the first one.
    #[must_use]
    pub fn is_recorded_by_owner(&self, entry: &TaskEntry) -> bool {
        let is_by_owner = |epoch| {
            epoch == self.facts.epoch || (epoch == 0 && self.submitted_by.as_ref() == Some(&self.facts.owner))
        };
        entry.last.as_ref().is_some_and(|last| is_by_owner(last.recorded_in))
    }

    /// The same for people: ` (did:key:…)`.
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
        is_cut_off.then_some("took the run over without what this node has of it").or(self.doubt.as_deref())
    }

    /// What makes a doubt of an event that is about to be applied; none: nothing new.
    pub(super) fn doubt_about(&self, body: &EventBody) -> Option<String> {
        let is_anothers = self.facts.read_back.is_some()
            && self.facts.epoch > 0
            && self.submitted_by.as_ref() != Some(&self.facts.owner);
        (is_anothers && self.doubt.is_none()).then(|| self.doubt_of(body)).flatten()
    }

    /// All that another node says of the run itself, and of tasks that need this machine, is a doubt but for what follows from the results
    /// of others without a decision. What a task needs is judged by the file: results could be told in another order.
    fn doubt_of(&self, body: &EventBody) -> Option<String> {
        let bound = |task: &TaskId| self.find(task).filter(|index| self.is_bound(*index));
        let of_task = |task: &TaskId, what: &str| bound(task).map(|_| format!("{what} `{task}`"));
        match body {
            EventBody::RunTakenOver { .. } | EventBody::RunCompleted {} | EventBody::RunFailed { .. } => None,
            EventBody::TaskStatus { changes } => changes.iter().find_map(|change| {
                let index = bound(&change.task)?;
                (!self.follows(index, change, changes))
                    .then(|| format!("changed the state of `{}`", change.task))
            }),
            EventBody::TaskResult(result) => {
                let index = bound(&result.task)?;
                let is_made_up = self.stays_home(index) && result.state.counts_as_success();
                is_made_up.then(|| format!("told that `{}` succeeded", result.task))
            }
            EventBody::TaskAssigned(grant) => of_task(&grant.task, "gave a node"),
            EventBody::TaskApproved { task, .. } => of_task(task, "had somebody approve"),
            EventBody::TaskExpanded { task, .. } => of_task(task, "gave items to"),
            other if other.type_name().starts_with("cis.dag.run.") => {
                Some("decided about the whole run".to_owned())
            }
            _ => None,
        }
    }

    /// Whether a task needs this machine by what the file says of it and of its needs.
    fn is_bound(&self, index: u32) -> bool {
        self.is_bound_where(index, |need| !self.spec(need).artifacts.is_empty())
    }

    /// Whether a change only says what nobody has to decide: a task whose needs have all succeeded waits for its turn, or one is ended as a need
    /// failed.
    fn follows(&self, index: u32, change: &TaskChange, all: &[TaskChange]) -> bool {
        let (spec, entry) = (self.spec(index), self.entry(index));
        let state_of = |need: u32| {
            let told = all.iter().find(|change| self.find(&change.task) == Some(need));
            told.map_or(self.entry(need).state, |change| change.state)
        };
        let mut needs = self.needs_of(index).iter().filter_map(|need| self.find(need));
        match (entry.state, change.state) {
            (TaskState::Pending, TaskState::Queued) => {
                let is_plain = spec.trigger == Trigger::AllSuccess
                    && spec.condition.is_none()
                    && spec.approval.is_none()
                    && spec.foreach.is_none()
                    && spec.item.is_none()
                    && self.handler(index).is_none();
                is_plain && needs.all(|need| state_of(need).counts_as_success())
            }
            (TaskState::Pending, TaskState::Cancelled) => {
                !needs.all(|need| state_of(need).counts_as_success())
            }
            _ => false,
        }
    }
}
