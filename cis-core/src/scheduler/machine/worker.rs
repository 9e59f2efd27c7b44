//! What workers report: sessions, results, refusals, tasks below their own.

use super::{Machine, Turn};
use crate::api::{FromWorker, Refusal, Report};
use crate::dag::Task;
use crate::event::{
    AttemptOutcome, AttemptResult, EndReason, EventBody, ExecutionMode, QueueReason, RunState, SessionState,
    TaskChange, TaskState,
};
use crate::ids::{AttemptId, Fence, NodeDid, RunId, TaskId};
use crate::scheduler::input::{Effect, Rejected};
use crate::scheduler::live::Stop;
use crate::scheduler::outcome::{Verdict, judge, refused_delay_ms};
use crate::scheduler::state::Run;

impl Machine {
    pub(super) fn hear(&mut self, message: FromWorker, turn: &Turn) -> Result<(), Rejected> {
        match message {
            FromWorker::Claimed { attempt, fence } => self.live_index(&attempt, Some(fence)).map(|_| ()),
            FromWorker::Refused { attempt, fence, reason } => self.refused(&attempt, fence, reason, turn),
            FromWorker::NotGiven { attempt, fence, detail } => self.not_given(&attempt, fence, detail, turn),
            FromWorker::Session { attempt, fence, state: SessionState::Exited, .. } => {
                self.processing(&attempt, fence, turn)
            }
            FromWorker::Session { attempt, fence, pid, .. } => self.session(&attempt, fence, pid, turn),
            FromWorker::Ahead { run, count } => {
                if self.own(run)?.facts().mode == ExecutionMode::Matrix {
                    // Its nodes say themselves what may wait there.
                    return Ok(());
                }
                // A paused run starts nothing, so it has nothing ahead.
                let runs = self.own(run)?.state() == RunState::Running;
                self.set_ahead(run, if runs { count } else { 0 });
                if !runs && count > 0 {
                    // So that it says so again when the run goes on.
                    self.effects.push(Effect::Withdraw { run });
                }
                Ok(())
            }
            FromWorker::Child { attempt, fence, task } => self.child(&attempt, fence, *task, turn),
            FromWorker::Result { attempt, fence, report } => self.result(attempt, fence, *report, turn),
        }
    }

    fn result(
        &mut self,
        attempt: AttemptId,
        fence: Fence,
        report: Report,
        turn: &Turn,
    ) -> Result<(), Rejected> {
        let id = attempt.run;
        let index = match self.live_index(&attempt, Some(fence)) {
            Ok(index) => index,
            Err(rejected) => {
                if self.is_recorded(&attempt, fence) {
                    self.effects.push(Effect::Ack { attempt, fence });
                }
                return Err(rejected);
            }
        };
        let run = self.own(id)?;
        let node = run.entry(index).live.as_ref().map(|live| live.node.clone());
        let verdict = judge(run, index, &report, turn.now);
        let succeeded = verdict.outcome == AttemptOutcome::Succeeded && verdict.state == TaskState::Succeeded;
        self.record(id, index, report, verdict, turn)?;
        self.account_ends(&attempt, node.as_ref(), succeeded, turn)?;
        self.effects.push(Effect::Ack { attempt, fence });
        self.held_until = None;
        self.finish(id, self.affected(id, index), turn)
    }

    /// Whether the attempt was granted once and is over: then its worker may forget it. The fence is the
    /// task's newest at most; one that was never given is nobody's.
    fn is_recorded(&self, attempt: &AttemptId, fence: Fence) -> bool {
        let entry = self.run(&attempt.run).and_then(|run| run.task(&attempt.task)).map(|(_, entry)| entry);
        entry.is_some_and(|entry| {
            let over = entry.live.as_ref().is_none_or(|live| attempt.number < live.attempt);
            over && (1..=entry.attempts).contains(&attempt.number) && (1..=entry.fence).contains(&fence)
        })
    }

    /// Puts the end of the attempt under way into an event.
    pub(super) fn record(
        &mut self,
        id: RunId,
        index: u32,
        report: Report,
        verdict: Verdict,
        turn: &Turn,
    ) -> Result<(), Rejected> {
        let run = self.known(id)?;
        let Some(live) = &run.entry(index).live else {
            return Err(Rejected::Stale(format!("task `{}` is not at work", run.spec(index).id)));
        };
        let result = AttemptResult {
            task: run.spec(index).id.clone(),
            attempt: live.attempt,
            fence: live.fence,
            session: live.session,
            outcome: verdict.outcome,
            exit: report.exit,
            started_ms: report.started_ms,
            ended_ms: report.ended_ms,
            outputs: report.outputs,
            artifacts: report.artifacts,
            files: report.files,
            cached: report.cached,
            not_cached: report.not_cached,
            cache_key: report.cache_key,
            log_bytes: report.log_bytes,
            lost_output: report.lost_output,
            log: report.log,
            counts: verdict.counts,
            state: verdict.state,
            end: verdict.end,
            queued: verdict.queued,
        };
        self.emit(id, EventBody::TaskResult(Box::new(result)), turn)
    }

    fn refused(
        &mut self,
        attempt: &AttemptId,
        fence: Fence,
        reason: Refusal,
        turn: &Turn,
    ) -> Result<(), Rejected> {
        let index = self.live_index(attempt, Some(fence))?;
        let run = self.own(attempt.run)?;
        let entry = run.entry(index);
        let refusals = entry.refusals;
        let in_room = run.facts().mode == ExecutionMode::Matrix;
        let node = entry.live.as_ref().map_or_else(|| self.node.clone(), |live| live.node.clone());
        let stopping = entry.live.as_ref().and_then(|live| live.stopping.clone());
        let stopping = match stopping {
            None => None,
            Some(Stop::For(reason)) => Some(reason),
            Some(Stop::HandedIn { .. }) => {
                return self.attempt_lost(attempt, "its worker does not know its session".to_owned(), turn);
            }
        };
        let change = |state, end, queued| TaskChange { task: attempt.task.clone(), state, end, queued };
        let change = match (stopping, reason) {
            (Some(reason), _) => change(TaskState::Cancelled, Some(reason), None),
            (None, Refusal::Resources { detail }) if in_room => {
                self.nodes.is_short(&node, &detail);
                // At first another node may have what this one lacks.
                let delay_ms = refusals.checked_sub(1).map_or(0, refused_delay_ms);
                let at_ms = turn.now.saturating_add(delay_ms);
                change(TaskState::Queued, None, Some(QueueReason::Resources { at_ms, detail }))
            }
            (None, Refusal::Policy { detail }) if in_room => {
                self.nodes.forbid(attempt.run, &attempt.task, node.clone(), detail);
                change(TaskState::Queued, None, Some(QueueReason::Withdrawn))
            }
            (None, Refusal::Resources { detail }) => {
                let at_ms = turn.now.saturating_add(refused_delay_ms(refusals));
                self.hold(turn.now);
                change(TaskState::Queued, None, Some(QueueReason::Resources { at_ms, detail }))
            }
            (None, Refusal::Withdrawn { full }) if in_room => {
                // Its next offer may be late: what it gave back would go there again and again.
                self.nodes.queues_nothing(&node);
                if full {
                    self.nodes.is_full(&node);
                }
                self.count_ahead();
                change(TaskState::Queued, None, Some(QueueReason::Withdrawn))
            }
            (None, Refusal::Withdrawn { .. }) => {
                change(TaskState::Queued, None, Some(QueueReason::Withdrawn))
            }
            (None, Refusal::Policy { detail }) => {
                // Asking the same worker again would not change its mind.
                let detail = format!("refused by the worker's policy: {detail}");
                let end = EndReason::Attempt { detail: detail.clone() };
                let outcome = AttemptOutcome::SpawnError { detail };
                let verdict = Verdict::ended(outcome.clone(), TaskState::Error, Some(end), true);
                let report = Report::bare(outcome, None, turn.now);
                self.record(attempt.run, index, report, verdict, turn)?;
                self.account_ends(attempt, Some(&node), false, turn)?;
                return self.finish(attempt.run, self.affected(attempt.run, index), turn);
            }
        };
        self.not_begun(attempt, index, &node, change, turn)
    }

    /// Queues an attempt again whose files its coordinator could not provide. Its worker was never asked.
    fn not_given(
        &mut self,
        attempt: &AttemptId,
        fence: Fence,
        detail: String,
        turn: &Turn,
    ) -> Result<(), Rejected> {
        let index = self.live_index(attempt, Some(fence))?;
        let entry = self.own(attempt.run)?.entry(index);
        let Some(live) = entry.live.as_ref() else { return Ok(()) };
        let (node, at_ms) = (live.node.clone(), turn.now.saturating_add(refused_delay_ms(entry.refusals)));
        let (state, end, queued) = match &live.stopping {
            Some(Stop::For(reason)) => (TaskState::Cancelled, Some(reason.clone()), None),
            _ => (TaskState::Queued, None, Some(QueueReason::Resources { at_ms, detail })),
        };
        let change = TaskChange { task: attempt.task.clone(), state, end, queued };
        self.not_begun(attempt, index, &node, change, turn)
    }

    /// An attempt ends that no session began for.
    fn not_begun(
        &mut self,
        attempt: &AttemptId,
        index: u32,
        node: &NodeDid,
        change: TaskChange,
        turn: &Turn,
    ) -> Result<(), Rejected> {
        self.emit(attempt.run, EventBody::TaskStatus { changes: vec![change] }, turn)?;
        self.account_ends(attempt, Some(node), false, turn)?;
        self.finish(attempt.run, self.affected(attempt.run, index), turn)
    }

    fn session(
        &mut self,
        attempt: &AttemptId,
        fence: Fence,
        pid: Option<u32>,
        turn: &Turn,
    ) -> Result<(), Rejected> {
        let index = self.live_index(attempt, Some(fence))?;
        let live = self.known(attempt.run)?.entry(index).live.as_ref();
        match (live, pid) {
            (Some(live), Some(pid)) if live.pid != Some(pid) => {
                let (session, task) = (live.session, Some(attempt.task.clone()));
                self.emit(attempt.run, EventBody::SessionStarted { session, task, pid }, turn)
            }
            _ => Ok(()),
        }
    }

    /// The session is over, and collecting what it left takes a while.
    fn processing(&mut self, attempt: &AttemptId, fence: Fence, turn: &Turn) -> Result<(), Rejected> {
        let index = self.live_index(attempt, Some(fence))?;
        if self.own(attempt.run)?.entry(index).state == TaskState::Processing {
            return Ok(());
        }
        let (task, state) = (attempt.task.clone(), TaskState::Processing);
        let changes = vec![TaskChange { task, state, end: None, queued: None }];
        self.emit(attempt.run, EventBody::TaskStatus { changes }, turn)?;
        self.touch(attempt.run);
        Ok(())
    }

    fn child(
        &mut self,
        attempt: &AttemptId,
        fence: Fence,
        mut task: Task,
        turn: &Turn,
    ) -> Result<(), Rejected> {
        let index = self.live_index(attempt, Some(fence))?;
        task.id = child_name(self.own(attempt.run)?, index)?;
        self.add_tasks(attempt.run, attempt.task.clone(), vec![task], turn)
    }
}

/// `build_t1`, `build_t2` … below a task of the file, `build_t1.1`, `build_t1.2` … below one of those.
fn child_name(run: &Run, parent: u32) -> Result<TaskId, Rejected> {
    let name = &run.spec(parent).id;
    let mark = if (parent as usize) < run.dag().tasks.len() { "_t" } else { "." };
    let mut number = run.entry(parent).children + 1;
    loop {
        let id = TaskId::new(&format!("{name}{mark}{number}")).map_err(|_| {
            Rejected::State(format!("a task below `{name}` would have a name of more than 64 characters"))
        })?;
        if run.find(&id).is_none() {
            return Ok(id);
        }
        number += 1;
    }
}
