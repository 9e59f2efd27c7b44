//! What people ask of a run: start, pause, resume, cancel, retry, kill, more tasks.

use super::{Machine, Turn};
use crate::dag::Task;
use crate::event::{EndReason, EventBody, ExecutionMode, RetryScope, RunState, TaskChange};
use crate::ids::{AttemptId, RunId, TaskId};
use crate::scheduler::Run;
use crate::scheduler::begin::ADDED_TASKS_MAX;
use crate::scheduler::input::{Effect, Rejected};
use crate::scheduler::retry::selection;

impl Machine {
    pub(super) fn start(&mut self, id: RunId, turn: &Turn) -> Result<(), Rejected> {
        let run = self.own(id)?;
        match run.state() {
            RunState::Created => {}
            RunState::Paused => {
                return Err(Rejected::State(format!("run {id} is paused: `cis dag resume {id}`")));
            }
            state if state.is_terminal() => {
                return Err(Rejected::State(format!("run {id} has ended ({state}): `cis dag retry {id}`")));
            }
            state => return Err(Rejected::State(format!("run {id} is {state} already"))),
        }
        let all = 0..run.len();
        self.emit(id, EventBody::RunStarted {}, turn)?;
        self.finish(id, all, turn)
    }

    pub(super) fn pause(&mut self, id: RunId, turn: &Turn) -> Result<(), Rejected> {
        let run = self.own(id)?;
        if run.cancelling().is_some() {
            return Err(Rejected::State(format!("run {id} is being cancelled and cannot be paused")));
        }
        not_ended(run)?;
        if run.state() != RunState::Running {
            return Err(Rejected::State(format!(
                "run {id} is {}: only a running one can be paused",
                run.state()
            )));
        }
        self.emit(id, EventBody::RunPaused {}, turn)?;
        self.take_back(id);
        Ok(())
    }

    pub(super) fn resume(&mut self, id: RunId, turn: &Turn) -> Result<(), Rejected> {
        let run = self.own(id)?;
        not_ended(run)?;
        if run.state() != RunState::Paused {
            return Err(Rejected::State(format!(
                "run {id} is {}: only a paused one can be resumed",
                run.state()
            )));
        }
        self.emit(id, EventBody::RunResumed {}, turn)?;
        self.touch(id);
        Ok(())
    }

    /// Switches how an open run is executed; to what it is already changes nothing.
    pub(super) fn set_mode(
        &mut self,
        id: RunId,
        mode: ExecutionMode,
        room: Option<String>,
        turn: &Turn,
    ) -> Result<(), Rejected> {
        let run = self.own(id)?;
        not_ended(run)?;
        if (run.facts().mode, &run.facts().room) == (mode, &room) {
            return Ok(());
        }
        let in_room = |mode| mode == ExecutionMode::Matrix;
        if in_room(run.facts().mode) && run.state() != RunState::Created {
            return Err(Rejected::State(format!(
                "run {id} has started on the nodes of its room: its mode cannot change any more"
            )));
        }
        let tasks = run.dag().tasks.iter().chain(&run.added);
        self.check_groups(run.dag(), tasks, mode, room.as_deref())?;
        // It may be in other groups of the same names from now on.
        self.uncount_run(id);
        let changed = self.emit(id, EventBody::RunModeChanged { mode, room }, turn);
        self.count_anew(id);
        changed?;
        // Who lets sessions wait is somebody else now.
        self.take_back(id);
        Ok(())
    }

    pub(super) fn cancel(&mut self, id: RunId, now: bool, turn: &Turn) -> Result<(), Rejected> {
        not_ended(self.own(id)?)?;
        self.cancel_for(id, &EndReason::RunCancelled, now, turn)
    }

    /// Ends an open run before its time. `now`: `always` tasks and handlers are not spared either. Asked for again, the sessions are told
    /// again.
    pub(super) fn cancel_for(
        &mut self,
        id: RunId,
        reason: &EndReason,
        now: bool,
        turn: &Turn,
    ) -> Result<(), Rejected> {
        if self.known(id)?.state() == RunState::Paused {
            // What `always` tasks are to clean up cannot wait for somebody to resume it.
            self.emit(id, EventBody::RunResumed {}, turn)?;
        }
        // The event a second time says that nothing is spared.
        let times = match self.known(id)?.phase.cancelling.as_ref().map(|known| known.at_once) {
            None => 1 + usize::from(now),
            Some(false) => usize::from(now),
            Some(true) => 0,
        };
        for _ in 0..times {
            self.emit(id, EventBody::RunCancelling { reason: reason.clone() }, turn)?;
        }
        let run = self.known(id)?;
        let stops: Vec<Effect> = run
            .live()
            .filter_map(|index| {
                let live = run.entry(index).live.as_ref().filter(|live| live.stopping.is_some())?;
                let attempt = super::attempt_id(run, index, live.attempt);
                let (grace_ms, keep) = (run.spec(index).grace_ms, live.is_handed_in());
                Some(Effect::Cancel { attempt, fence: live.fence, grace_ms, keep })
            })
            .collect();
        let all = 0..run.len();
        self.effects.extend(stops);
        self.finish(id, all, turn)
    }

    pub(super) fn retry(&mut self, id: RunId, scope: RetryScope, turn: &Turn) -> Result<(), Rejected> {
        let run = self.own(id)?;
        if !run.state().is_terminal() {
            return Err(Rejected::State(format!(
                "run {id} is {}: only an ended one can be retried; `cis dag cancel {id}` ends it",
                run.state()
            )));
        }
        let changes = selection(run, &scope)?;
        let chosen: Vec<u32> = changes.iter().filter_map(|change| run.find(&change.task)).collect();
        let (mode, room) = (run.facts().mode, run.facts().room.as_deref());
        self.check_groups(run.dag(), &run.dag().tasks, mode, room)?;
        self.emit(id, EventBody::RunRetried { scope, changes }, turn)?;
        // What comes before a task may come to other results now.
        self.nodes.commits.ask_anew(id);
        self.finish(id, chosen, turn)
    }

    pub(super) fn kill(
        &mut self,
        attempt: &AttemptId,
        grace_ms: Option<u64>,
        turn: &Turn,
    ) -> Result<(), Rejected> {
        let id = attempt.run;
        self.own(id)?;
        let index = self.live_index(attempt, None)?;
        let run = self.known(id)?;
        let Some(live) = &run.entry(index).live else { return Ok(()) };
        let grace_ms = grace_ms.unwrap_or(run.spec(index).grace_ms);
        let (fence, keep) = (live.fence, live.is_handed_in());
        let effect = Effect::Cancel { attempt: attempt.clone(), fence, grace_ms, keep };
        if live.yields_to(&EndReason::Killed) {
            // The intent is durable before the signal: after a crash in between it is a kill, not a failure.
            let change = TaskChange {
                task: attempt.task.clone(),
                state: run.entry(index).state,
                end: Some(EndReason::Killed),
                queued: None,
            };
            self.emit(id, EventBody::TaskStatus { changes: vec![change] }, turn)?;
        }
        self.effects.push(effect);
        Ok(())
    }

    pub(super) fn add_tasks(
        &mut self,
        id: RunId,
        parent: TaskId,
        tasks: Vec<Task>,
        turn: &Turn,
    ) -> Result<(), Rejected> {
        let run = self.own(id)?;
        if run.find(&parent).is_none() {
            return Err(Rejected::NoTask { run: id, task: parent });
        }
        if run.state().is_terminal() || run.cancelling().is_some() {
            return Err(Rejected::State(format!(
                "run {id} is over or being cancelled: it takes no more tasks"
            )));
        }
        if run.added.len() + tasks.len() > ADDED_TASKS_MAX {
            return Err(Rejected::State(format!(
                "run {id} takes no more than {ADDED_TASKS_MAX} added tasks"
            )));
        }
        if let Some(task) = tasks.iter().find(|task| task.foreach.is_some()) {
            return Err(Rejected::Invalid(format!(
                "`{}` has foreach, which a task that is added while the run runs cannot have: add a task for each item",
                task.id
            )));
        }
        // Handlers wait for all others, so this would wait for itself.
        let waits_for_handler = |task: &&Task| {
            task.needs.iter().any(|need| run.find(need).is_some_and(|need| run.handler(need).is_some()))
        };
        if let Some(task) = tasks.iter().find(waits_for_handler) {
            return Err(Rejected::Invalid(format!(
                "`{}` needs a task of [dag.on], which runs only when all others have ended",
                task.id
            )));
        }
        self.check_groups(run.dag(), &tasks, run.facts().mode, run.facts().room.as_deref())?;
        let first = run.len();
        self.emit(id, EventBody::TasksAdded { parent, tasks }, turn)?;
        let all = first..self.known(id)?.len();
        self.finish(id, all, turn)
    }
}

fn not_ended(run: &Run) -> Result<(), Rejected> {
    if run.state().is_terminal() {
        return Err(Rejected::State(format!("run {} has ended ({})", run.id(), run.state())));
    }
    Ok(())
}
