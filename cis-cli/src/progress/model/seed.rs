//! A model of a run that is known as a whole at some point of its events, and what those ask of it who keep
//! more of every task than is told in lines.

use cis_core::api::RunDetail;
use cis_core::event::TaskState;

use super::{Index, Line, Model};

impl Model {
    /// The run as the node shows it: what comes after its `last_offset` is to be folded. Tasks have their
    /// places in the order of the file.
    pub(crate) fn of(detail: &RunDetail) -> Self {
        let run = &detail.run;
        let mut model = Self::new(&run.dag);
        model.state = run.state;
        model.cancelling = run.cancelling && !run.state.is_terminal();
        model.started_ms = run.runs_since_ms();
        model.ended_ms = run.ended_ms;
        model.detail = run.detail.clone().unwrap_or_default();
        model.counts[TaskState::Pending as usize] = u32::try_from(detail.tasks.len()).unwrap_or(u32::MAX);
        for task in &detail.tasks {
            let index = model.set(task.id.as_str(), task.state);
            let line = &mut model.tasks[index];
            line.attempt = task.attempts;
            line.started_ms = task.started_ms.unwrap_or(0);
            if let Some(approval) = &task.approval {
                line.approval = Some(approval.prompt.as_str().into());
                model.asked.push(index);
            }
        }
        model.touched = Some(Vec::new());
        model
    }

    /// All tasks, each at its place.
    pub(crate) fn tasks(&self) -> &[Line] {
        &self.tasks
    }

    /// The place of a task, where it is known.
    pub(crate) fn place(&self, name: &str) -> Option<Index> {
        self.index.get(name).copied()
    }

    /// The tasks of which something changed since the last call; of a model that was not made by [`Self::of`], none.
    pub(crate) fn take_touched(&mut self) -> Vec<Index> {
        self.touched.as_mut().map(std::mem::take).unwrap_or_default()
    }

    pub(super) fn touch(&mut self, index: Index) {
        if let Some(touched) = &mut self.touched {
            touched.push(index);
        }
    }
}
