//! The reducer: what an event makes of a run. Checks first, then changes; a refused event changes nothing.
//!
//! It decides nothing: which event comes next is the machine's matter. `TaskStatus` with a task that is
//! active and stays as it is, and an `end`, says that its attempt is being stopped for that reason.

mod checks;

use super::apply_error::ApplyError;
use super::live::{Live, Stop};
use super::state::{Cancelling, Run};
use super::task::{Ended, Waits};
use crate::event::{
    AttemptOutcome, AttemptResult, EndReason, EventBody, FailureCause, GrantRecord, QueueReason, RunState,
    TaskChange, TaskState,
};
use crate::ids::TimestampMs;

impl Run {
    /// Takes one event of this run into account. Events that are about no run change nothing.
    ///
    /// # Errors
    /// [`ApplyError`] where the event cannot follow those before it; nothing has changed then.
    pub fn apply(&mut self, body: &EventBody, at_ms: TimestampMs) -> Result<(), ApplyError> {
        let doubt = self.doubt_about(body);
        self.reduce(body, at_ms)?;
        match body {
            // It looked at the run.
            EventBody::RunTakenOver { owner, .. } if self.submitted_by.as_ref() == Some(owner) => {
                self.doubt = None;
            }
            _ if doubt.is_some() => self.doubt = doubt,
            _ => {}
        }
        Ok(())
    }

    fn reduce(&mut self, body: &EventBody, at_ms: TimestampMs) -> Result<(), ApplyError> {
        match body {
            EventBody::RunCreated(_) => return Err(self.refuse(body)),
            EventBody::RunStarted {} => {
                self.require(body, self.phase.state == RunState::Created)?;
                self.phase.state = RunState::Running;
                self.phase.started_ms = Some(at_ms);
                self.phase.clock_from_ms = Some(at_ms);
            }
            EventBody::RunPaused {} => {
                self.require(body, self.phase.state == RunState::Running && self.cancelling().is_none())?;
                self.phase.state = RunState::Paused;
            }
            EventBody::RunResumed {} => {
                self.require(body, self.phase.state == RunState::Paused)?;
                self.phase.state = RunState::Running;
            }
            EventBody::RunCancelling { reason } => self.cancel(body, reason)?,
            EventBody::RunCompleted {} => self.end(body, RunState::Succeeded, None, at_ms)?,
            EventBody::RunFailed { detail } => self.end(body, RunState::Failed, Some(detail), at_ms)?,
            EventBody::RunErrored { detail } => self.end(body, RunState::Error, Some(detail), at_ms)?,
            EventBody::RunCancelled {} => self.end(body, RunState::Cancelled, None, at_ms)?,
            EventBody::RunRetried { changes, .. } => self.retry(body, changes, at_ms)?,
            EventBody::RunModeChanged { mode, room } => {
                self.facts.mode = *mode;
                self.facts.room.clone_from(room);
            }
            EventBody::RunTakenOver { owner, epoch, forced, voted, .. } => {
                self.require(body, *epoch > self.facts.epoch)?;
                self.by_person = *forced && !voted;
                self.facts.owner = owner.clone();
                self.facts.epoch = *epoch;
            }
            EventBody::TaskStatus { changes } => self.status(body, changes, at_ms)?,
            EventBody::TaskAssigned(grant) => self.assign(body, grant, at_ms)?,
            EventBody::TaskResult(result) => self.result(body, result, at_ms)?,
            EventBody::TasksAdded { parent, tasks } => self.add(body, parent, tasks, at_ms)?,
            EventBody::SessionStarted { session, task: Some(task), pid } => {
                self.session_started(task, *session, *pid, at_ms)?;
            }
            EventBody::SessionBlocked { session, task: Some(task), prompt } => {
                self.session_blocked(task, *session, prompt, at_ms)?;
            }
            EventBody::SessionRecovered { session, task: Some(task), .. } => {
                let index = self.live_session(task, *session)?;
                self.unblock(index, at_ms);
            }
            EventBody::SessionEscalated { session, task: Some(task), item, .. } => {
                self.session_escalated(task, *session, item)?;
            }
            EventBody::TaskHandedIn { task, session, text } => {
                self.handed_in(task, *session, text.as_ref(), at_ms)?;
            }
            EventBody::TaskExpanded { task, items } => self.expand(body, task, items, at_ms)?,
            EventBody::TaskApproved { task, by, .. } => self.approve(body, task, by, at_ms)?,
            EventBody::RunVoided {}
            | EventBody::SessionExpiring { .. }
            | EventBody::NodeGroup { .. }
            | EventBody::SessionCreated { .. }
            | EventBody::SessionStarted { task: None, .. }
            | EventBody::SessionBlocked { task: None, .. }
            | EventBody::SessionRecovered { task: None, .. }
            | EventBody::SessionEscalated { task: None, .. }
            | EventBody::SessionAsked { .. }
            | EventBody::AskWithdrawn { .. }
            | EventBody::SessionSaid { .. }
            | EventBody::SessionAnswered { .. }
            | EventBody::AnswerVoid { .. }
            | EventBody::SessionInput { .. }
            | EventBody::SessionEnded { .. }
            | EventBody::NodeStarted { .. }
            | EventBody::NodeStopped { .. }
            | EventBody::NodeLost { .. }
            | EventBody::NodeCleaned { .. }
            | EventBody::NodeToken { .. }
            | EventBody::NodePolicy { .. }
            | EventBody::NodeRights { .. }
            | EventBody::AccessDenied { .. } => {}
        }
        Ok(())
    }

    fn cancel(&mut self, body: &EventBody, reason: &EndReason) -> Result<(), ApplyError> {
        self.require(body, matches!(self.phase.state, RunState::Created | RunState::Running))?;
        self.phase.cancelling = Some(match self.phase.cancelling.take() {
            Some(first) => Cancelling { at_once: true, ..first },
            None => Cancelling { reason: reason.clone(), at_once: false, late: self.others_ended() },
        });
        let swept: Vec<(u32, EndReason)> =
            self.live().filter_map(|i| self.swept(i).map(|reason| (i, reason.clone()))).collect();
        for (index, reason) in swept {
            self.stop(index, &reason);
        }
        Ok(())
    }

    fn end(
        &mut self,
        body: &EventBody,
        state: RunState,
        detail: Option<&String>,
        at_ms: TimestampMs,
    ) -> Result<(), ApplyError> {
        self.require(body, !self.phase.state.is_terminal() && self.index.open() == 0)?;
        self.phase.state = state;
        self.phase.detail = detail.cloned();
        self.phase.ended_ms = Some(at_ms);
        let cancelled = self.phase.cancelling.take();
        // The first one stays: handlers alone that run again do not change how the others ended.
        self.phase.former = self.phase.former.take().or(cancelled);
        Ok(())
    }

    /// The tasks of `changes`, which stand in the order of the file, each once.
    fn listed(&self, changes: &[TaskChange]) -> Result<Vec<u32>, ApplyError> {
        let mut indexes: Vec<u32> = Vec::with_capacity(changes.len());
        for change in changes {
            let index = self.index_of(&change.task)?;
            if indexes.last().is_some_and(|last| *last >= index) {
                let detail = format!("`{}` stands after a task that it comes before", change.task);
                return Err(ApplyError::List { run: self.id, detail });
            }
            indexes.push(index);
        }
        Ok(indexes)
    }

    fn retry(
        &mut self,
        body: &EventBody,
        changes: &[TaskChange],
        at_ms: TimestampMs,
    ) -> Result<(), ApplyError> {
        self.require(body, self.phase.state.is_terminal())?;
        let indexes = self.listed(changes)?;
        for (index, change) in indexes.iter().zip(changes) {
            let goes_on = matches!(change.queued, Some(QueueReason::Items { .. }));
            let has_items = self.entry(*index).items().is_some();
            let legal = match change.state {
                TaskState::Pending => true,
                TaskState::Queued => has_items || !goes_on,
                _ => false,
            };
            if !legal {
                return Err(self.task_error(*index, change.state));
            }
        }
        for (index, change) in indexes.into_iter().zip(changes) {
            let entry = &mut self.tasks[index as usize];
            (entry.failures, entry.lost, entry.refusals) = (0, 0, 0);
            entry.outputs.clear();
            if !matches!(change.queued, Some(QueueReason::Items { .. })) {
                // What it said then is void, as its outputs are.
                entry.last = None;
                if let Some(more) = &mut entry.more {
                    more.begin_anew();
                }
            }
            self.move_task(index, change.state, None, change.queued.clone(), at_ms);
        }
        let others = changes.iter().any(|c| self.find(&c.task).is_some_and(|i| self.handler(i).is_none()));
        let anew = others || self.voids_former_end(changes);
        let phase = &mut self.phase;
        phase.asked &= !others;
        if anew {
            phase.former = None;
        }
        phase.state = RunState::Running;
        phase.started_ms.get_or_insert(at_ms);
        phase.clock_from_ms = Some(at_ms);
        (phase.ended_ms, phase.detail, phase.cancelling) = (None, None, None);
        Ok(())
    }

    fn status(
        &mut self,
        body: &EventBody,
        changes: &[TaskChange],
        at_ms: TimestampMs,
    ) -> Result<(), ApplyError> {
        self.require(body, !self.phase.state.is_terminal())?;
        let indexes = self.listed(changes)?;
        for (index, change) in indexes.iter().zip(changes) {
            let from = self.entry(*index).state;
            let legal = match change.state {
                to if to == from && to.is_active() => change.end.is_some(),
                TaskState::Running => false,
                TaskState::Queued if matches!(change.queued, Some(QueueReason::Items { .. })) => false,
                TaskState::Queued if from == TaskState::Queued => self.waits_otherwise(*index, change),
                TaskState::Succeeded if from == TaskState::Queued => self.items_are_done(*index),
                to => !from.is_terminal() && from.may_become(to),
            };
            if !legal {
                return Err(self.task_error(*index, change.state));
            }
        }
        for (index, change) in indexes.into_iter().zip(changes) {
            if let (true, Some(reason)) = (change.state.is_active(), &change.end)
                && change.state == self.entry(index).state
            {
                self.stop(index, reason);
                continue;
            }
            let entry = &mut self.tasks[index as usize];
            if matches!(change.queued, Some(QueueReason::Resources { .. })) {
                entry.refusals += 1;
            }
            if change.queued == Some(QueueReason::Withdrawn) {
                // Nothing ever knew of this try but its grant: the next one has its number, and a new fence.
                entry.attempts = entry.attempts.saturating_sub(1);
                entry.spent.queued_not_run(at_ms.saturating_sub(entry.since_ms));
            }
            self.move_task(index, change.state, change.end.clone(), change.queued.clone(), at_ms);
        }
        Ok(())
    }

    fn assign(
        &mut self,
        body: &EventBody,
        grant: &GrantRecord,
        at_ms: TimestampMs,
    ) -> Result<(), ApplyError> {
        self.require(body, self.phase.state == RunState::Running)?;
        let index = self.index_of(&grant.task)?;
        let entry = self.entry(index);
        if entry.state != TaskState::Queued {
            return Err(self.task_error(index, TaskState::Running));
        }
        if grant.attempt <= entry.attempts || grant.fence <= entry.fence {
            let detail = format!(
                "grant #{} with fence {} comes after #{} with fence {}",
                grant.attempt, grant.fence, entry.attempts, entry.fence
            );
            return Err(self.attempt_error(&grant.task, detail));
        }
        self.move_task(index, TaskState::Running, None, None, at_ms);
        let entry = &mut self.tasks[index as usize];
        entry.attempts = grant.attempt;
        entry.fence = grant.fence;
        entry.live = Some(Box::new(Live {
            attempt: grant.attempt,
            fence: grant.fence,
            session: grant.session,
            node: grant.node.clone(),
            host: grant.host,
            granted_ms: at_ms,
            started_ms: None,
            pid: None,
            blocked: None,
            asked: Vec::new(),
            episode: 0,
            stopping: None,
        }));
        Ok(())
    }

    fn result(
        &mut self,
        body: &EventBody,
        result: &AttemptResult,
        at_ms: TimestampMs,
    ) -> Result<(), ApplyError> {
        self.require(body, !self.phase.state.is_terminal())?;
        let index = self.live_session(&result.task, result.session)?;
        let entry = self.entry(index);
        let granted_ms = match &entry.live {
            Some(live) if live.attempt == result.attempt && live.fence == result.fence => live.granted_ms,
            _ => {
                let detail = format!("#{} with fence {} is not under way", result.attempt, result.fence);
                return Err(self.attempt_error(&result.task, detail));
            }
        };
        let ends = result.state == TaskState::Queued || result.state.is_terminal();
        if !ends || !entry.state.may_become(result.state) {
            return Err(self.task_error(index, result.state));
        }
        let login = matches!(
            result.outcome,
            AttemptOutcome::Failed { cause: FailureCause::Login { .. } } if !result.counts
        );
        let entry = &mut self.tasks[index as usize];
        let handed_in = match entry.live.as_mut().and_then(|live| live.stopping.take()) {
            Some(Stop::HandedIn { text, .. }) => text,
            _ => None,
        };
        let ahead_ms = result.started_ms.map_or(0, |started_ms| started_ms.saturating_sub(granted_ms));
        entry.spent.queued_not_run(ahead_ms.clamp(0, at_ms.saturating_sub(granted_ms).max(0)));
        entry.refusals = 0;
        entry.failures += u32::from(result.counts);
        entry.lost += u32::from(matches!(result.outcome, AttemptOutcome::Lost { .. }));
        entry.last = Some(Box::new(Ended {
            attempt: result.attempt,
            fence: result.fence,
            recorded_in: self.facts.epoch,
            session: result.session,
            outcome: result.outcome.clone(),
            exit: result.exit,
            granted_ms,
            started_ms: result.started_ms,
            ended_ms: result.ended_ms,
            log_bytes: result.log_bytes,
            lost_output: result.lost_output.clone(),
            not_cached: result.not_cached.clone().map(String::into_boxed_str),
            handed_in,
            log: result.log.clone().map(Box::new),
        }));
        if login {
            entry.more.get_or_insert_default().logins += 1;
        } else if let Some(more) = entry.more.as_mut().filter(|_| result.counts || result.state.is_terminal())
        {
            more.logins = 0;
        }
        if result.state.counts_as_success() {
            entry.outputs.clone_from(&result.outputs);
            if !result.artifacts.is_empty() || entry.more.is_some() {
                let more = entry.more.get_or_insert_default();
                more.artifacts.clone_from(&result.artifacts);
                more.files.clone_from(&result.files);
            }
        }
        self.move_task(index, result.state, result.end.clone(), result.queued.clone(), at_ms);
        Ok(())
    }

    /// The one place where a task's state changes, with all that follows from it.
    pub(super) fn move_task(
        &mut self,
        index: u32,
        to: TaskState,
        end: Option<EndReason>,
        queued: Option<QueueReason>,
        at_ms: TimestampMs,
    ) {
        let seat = self.seat(index);
        let entry = &mut self.tasks[index as usize];
        let from = entry.state;
        let passed = at_ms.saturating_sub(entry.since_ms);
        match from {
            TaskState::Queued => {
                let waits = entry.waits();
                match waits {
                    Waits::Turn | Waits::Until(_) => entry.spent.queue_ms += passed,
                    Waits::Human(_) => entry.spent.human_ms += passed,
                    // The items' own.
                    Waits::Items => {}
                }
                self.index.dequeue(seat, waits);
            }
            TaskState::Running | TaskState::Processing => entry.spent.machine_ms += passed,
            _ => entry.begins(at_ms),
        }
        if from.is_active() && to != TaskState::Running {
            // Nobody can be waited for once its session is over.
            self.unblock(index, at_ms);
        }
        let entry = &mut self.tasks[index as usize];
        entry.state = to;
        entry.since_ms = at_ms;
        entry.end = end;
        entry.queued = if to == TaskState::Queued { queued } else { None };
        if from.is_active() && !to.is_active() {
            entry.live = None;
            self.index.live.remove(&index);
            self.index.load(seat.lane, |load| load.live -= 1);
        }
        if to == TaskState::Queued {
            self.index.enqueue(seat, entry.waits());
        }
        if to.is_active() && !from.is_active() {
            self.index.live.insert(index);
            self.index.load(seat.lane, |load| load.live += 1);
        }
        self.index.left(from);
        self.index.entered(to);
        if from.is_terminal() || to.is_terminal() {
            for dependent in self.links.dependents(index) {
                self.tasks[dependent as usize].needs.moved(from, to);
            }
        }
        self.item_moved(index, from, to);
        if to.counts_as_success() {
            self.outputs_came();
        }
    }
}
