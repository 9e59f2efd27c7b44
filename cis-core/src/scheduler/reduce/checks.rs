//! What an event must find, and what is said where it does not.

use crate::event::{EventBody, TaskState};
use crate::ids::{SessionId, TaskId};
use crate::scheduler::apply_error::ApplyError;
use crate::scheduler::state::Run;

impl Run {
    pub(in crate::scheduler) fn refuse(&self, body: &EventBody) -> ApplyError {
        ApplyError::RunState { run: self.id, state: self.phase.state, event: body.type_name() }
    }

    pub(in crate::scheduler) fn require(&self, body: &EventBody, holds: bool) -> Result<(), ApplyError> {
        if holds { Ok(()) } else { Err(self.refuse(body)) }
    }

    pub(in crate::scheduler) fn index_of(&self, task: &TaskId) -> Result<u32, ApplyError> {
        self.find(task).ok_or_else(|| ApplyError::NoTask { run: self.id, task: task.clone() })
    }

    pub(in crate::scheduler) fn live_session(
        &self,
        task: &TaskId,
        session: SessionId,
    ) -> Result<u32, ApplyError> {
        let index = self.index_of(task)?;
        match &self.entry(index).live {
            Some(live) if live.session == session => Ok(index),
            _ => Err(self.attempt_error(task, format!("session {session} is not at work on it"))),
        }
    }

    pub(in crate::scheduler) fn attempt_error(&self, task: &TaskId, detail: String) -> ApplyError {
        ApplyError::Attempt { run: self.id, task: task.clone(), detail }
    }

    pub(in crate::scheduler) fn task_error(&self, index: u32, to: TaskState) -> ApplyError {
        let task = self.spec(index).id.clone();
        ApplyError::TaskState { run: self.id, task, from: self.entry(index).state, to }
    }
}
