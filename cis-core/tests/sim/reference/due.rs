//! What is due for a task that waits, worked out from the whole run each time.

use cis_core::dag::{Foreach, Handlers, Trigger};
use cis_core::event::{EndReason, RunState, TaskState};
use cis_core::ids::TaskId;

use super::{RefRun, RefTask, Waits};

/// What becomes of a pending task.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    /// Its turn may come: a slot, or the question of its approval.
    Queue,
    /// It becomes so many items.
    Expand(usize),
    Skip,
    NeedFailed,
    /// Its `if` or its list cannot be decided.
    Undecided,
}

impl RefRun {
    pub(super) fn needs(&self, task: &RefTask) -> Vec<TaskState> {
        task.spec.needs.iter().map(|need| self.task(need).unwrap().state).collect()
    }

    pub(super) fn due(&self, task: &RefTask) -> Due {
        if let Some(item) = &task.spec.item {
            let parent = self.task(&item.of).unwrap();
            return match parent.waits {
                Some(Waits::Items(count)) if item.number as usize <= count => Due::Queue,
                Some(Waits::Items(_)) => Due::Skip,
                _ if parent.state.is_terminal() => Due::Skip,
                _ => Due::Nothing,
            };
        }
        if self.is_handler(&task.spec.id) {
            return self
                .handler_due(&task.spec.id)
                .map_or(Due::Nothing, |meant| if meant { self.decided(task) } else { Due::Skip });
        }
        let needs = self.needs(task);
        let ended = needs.iter().all(|s| s.is_terminal());
        let failed = needs.iter().any(|s| matches!(s, TaskState::Failed | TaskState::Error));
        let bad = needs.iter().any(|s| s.is_terminal() && !s.counts_as_success());
        match task.spec.trigger {
            Trigger::AllSuccess if bad => Due::NeedFailed,
            Trigger::OneFailed if failed => self.decided(task),
            _ if !ended => Due::Nothing,
            Trigger::OneFailed => Due::Skip,
            _ => self.decided(task),
        }
    }

    /// Its needs let it start: what `if`, approval and list say.
    fn decided(&self, task: &RefTask) -> Due {
        match task.spec.condition.as_deref().map(|text| self.condition(text)) {
            Some(None) => return Due::Undecided,
            Some(Some(false)) => return Due::Skip,
            _ => {}
        }
        if task.spec.approval.is_some() { Due::Queue } else { self.list(task) }
    }

    /// A task that needs no approval, or has it.
    pub(super) fn list(&self, task: &RefTask) -> Due {
        match &task.spec.foreach {
            None => Due::Queue,
            Some(Foreach::Items(items)) if items.is_empty() => Due::Skip,
            Some(Foreach::Items(items)) => Due::Expand(items.len()),
            Some(Foreach::Expression(text)) => match self.number(&of(text)) {
                None => Due::Undecided,
                Some(pid) if pid % 4 == 0 => Due::Skip,
                Some(pid) => Due::Expand(usize::try_from(pid % 4).unwrap()),
            },
        }
    }

    /// The forms that random files have.
    fn condition(&self, text: &str) -> Option<bool> {
        match text {
            "1 == 1" => Some(true),
            "1 == 2" => Some(false),
            list if list.contains("length") => {
                let parent = self.task(&of(list)).unwrap();
                if parent.empty_list {
                    return Some(false);
                }
                let count = parent.items?;
                let over = self.items(&parent.spec.id, count).all(|item| item.state.counts_as_success());
                // Where none of them left the output, there is no list of it.
                let left = self.items(&parent.spec.id, count).any(|item| item.pid.is_some());
                (over && left).then_some(count > 1)
            }
            number => self.number(&of(number)).map(|pid| pid % 2 == 0),
        }
    }

    fn number(&self, id: &TaskId) -> Option<i64> {
        self.task(id).unwrap().pid
    }

    /// Items of the present list of a task.
    pub(super) fn items(&self, of: &TaskId, count: usize) -> impl Iterator<Item = &RefTask> {
        let of = of.clone();
        self.tasks.iter().filter(move |task| {
            task.spec.item.as_ref().is_some_and(|item| item.of == of && item.number as usize <= count)
        })
    }

    pub(super) fn is_handler(&self, id: &TaskId) -> bool {
        let Handlers { success, failure, cancel, always, blocked } = &self.on;
        [success, failure, cancel, always, blocked].contains(&&Some(id.clone()))
    }

    /// Whether a handler is meant, once that is known.
    fn handler_due(&self, id: &TaskId) -> Option<bool> {
        let is = |kind: &Option<TaskId>| kind.as_ref() == Some(id);
        let open = |task: &&RefTask| !task.state.is_terminal();
        let others = || self.tasks.iter().filter(|task| !self.is_handler(&task.spec.id));
        let before_last = || self.tasks.iter().filter(|task| self.on.always.as_ref() != Some(&task.spec.id));
        if is(&self.on.blocked) && self.asked {
            return Some(true);
        }
        if others().any(|task| open(&task)) || (is(&self.on.always) && before_last().any(|task| open(&task)))
        {
            return None;
        }
        if is(&self.on.blocked) {
            return Some(self.asked);
        }
        let wanted = match self.ends_early() {
            Some(reason) => self.meant_by(reason),
            None => self.meant_by_tasks(),
        };
        if is(&self.on.always) {
            return Some(true);
        }
        let of_ends = || self.tasks.iter().filter(|task| self.is_of_end(&task.spec.id));
        let works = |task: &RefTask| open(&task) && task.state != TaskState::Pending;
        if of_ends().any(|task| task.spec.id != *id && works(task)) {
            return None;
        }
        let comes = of_ends().any(|task| wanted.as_ref() == Some(&task.spec.id) && open(&task));
        if comes && !is(wanted) {
            return None;
        }
        Some(is(wanted))
    }

    /// Why it ends before its time, or did before handlers alone ran again.
    pub(super) fn ends_early(&self) -> Option<&EndReason> {
        self.cancelling.as_ref().or(self.former.as_ref()).map(|(reason, _)| reason)
    }

    /// The handler of a run that ends for this reason.
    pub(super) fn meant_by(&self, reason: &EndReason) -> &Option<TaskId> {
        if *reason == EndReason::RunTimeout { &self.on.failure } else { &self.on.cancel }
    }

    /// The handler of the end that all tasks but handlers make.
    pub(super) fn meant_by_tasks(&self) -> &Option<TaskId> {
        let others = || self.tasks.iter().filter(|task| !self.is_handler(&task.spec.id));
        let any = |state| others().any(|task| task.state == state);
        if any(TaskState::Failed) || any(TaskState::Error) {
            &self.on.failure
        } else if any(TaskState::Cancelled) {
            &self.on.cancel
        } else {
            &self.on.success
        }
    }

    /// A handler of one kind of end.
    fn is_of_end(&self, id: &TaskId) -> bool {
        let Handlers { success, failure, cancel, .. } = &self.on;
        [success, failure, cancel].contains(&&Some(id.clone()))
    }

    /// A handler of another end than the one that the run is cancelled to.
    pub(super) fn is_unmeant(&self, id: &TaskId) -> bool {
        let Some((reason, _)) = &self.cancelling else { return false };
        self.is_handler(id) && !self.survives(id, reason)
    }

    fn survives(&self, id: &TaskId, reason: &EndReason) -> bool {
        [&self.on.always, self.meant_by(reason)].into_iter().any(|handler| handler.as_ref() == Some(id))
    }

    pub(super) fn swept(&self, task: &RefTask) -> bool {
        let Some((reason, twice)) = &self.cancelling else { return false };
        let meant = if self.is_handler(&task.spec.id) {
            self.survives(&task.spec.id, reason)
        } else {
            task.spec.trigger == Trigger::Always
        };
        !meant || *twice || !self.started
    }

    /// How a task ends whose items have ended.
    pub(super) fn verdict(&self, of: &TaskId, count: usize) -> Option<TaskState> {
        let states: Vec<TaskState> = self.items(of, count).map(|item| item.state).collect();
        if states.iter().any(|state| !state.is_terminal()) {
            return None;
        }
        let worst = [TaskState::Error, TaskState::Failed, TaskState::Cancelled];
        Some(worst.into_iter().find(|bad| states.contains(bad)).unwrap_or(TaskState::Succeeded))
    }

    pub(super) fn goes(&self) -> bool {
        self.state != RunState::Created || self.cancelling.is_some()
    }
}

/// The task that an expression names.
fn of(text: &str) -> TaskId {
    let rest = text.split("tasks.").nth(1).unwrap();
    TaskId::new(rest.split('.').next().unwrap()).unwrap()
}
