//! A run with its tasks, kept up to date.

use std::collections::HashMap;

use super::reason::{TURN, reason, reason_of_result};
use crate::api::{ApprovalView, RunDetail, RunView, SaidView, TaskNodeView, TaskView, WaitsView};
use crate::event::{
    AttemptResult, Event, EventBody, ExecutionMode, ExitStatus, GrantRecord, PromptRecord, QueueReason,
    RunState, SaidRecord, TaskChange, TaskState,
};
use crate::ids::{InboxId, NodeDid, Offset, RunId, SessionId, TaskId, TimestampMs};

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// The view had it already, or it says nothing of what the view shows.
    Known,
    /// It is in the view now.
    Folded,
    /// It says too little: ask the node for the run again.
    Ask,
}

/// A run as the node showed it at one offset, and everything after that folded into it.
#[derive(Debug, Clone)]
pub struct LiveRun {
    detail: RunDetail,
    places: HashMap<TaskId, usize>,
    /// Tasks in a place that has changed since [`Self::take_touched`].
    touched: Vec<usize>,
    offset: Offset,
}

impl LiveRun {
    /// Begins with the run as the node shows it.
    #[must_use]
    pub fn new(detail: RunDetail) -> Self {
        let places = detail.tasks.iter().enumerate().map(|(at, task)| (task.id.clone(), at)).collect();
        let offset = detail.run.last_offset;
        Self { detail, places, touched: Vec::new(), offset }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> RunId {
        self.detail.run.id
    }

    /// The run.
    #[must_use]
    pub fn run(&self) -> &RunView {
        &self.detail.run
    }

    /// The run with its tasks, in the order of the file.
    #[must_use]
    pub fn detail(&self) -> &RunDetail {
        &self.detail
    }

    /// Its tasks, in the order of the file.
    #[must_use]
    pub fn tasks(&self) -> &[TaskView] {
        &self.detail.tasks
    }

    /// Place of a task among [`Self::tasks`].
    #[must_use]
    pub fn place(&self, task: &str) -> Option<usize> {
        self.places.get(task).copied()
    }

    /// A task by its name.
    #[must_use]
    pub fn task(&self, task: &str) -> Option<&TaskView> {
        self.place(task).map(|at| &self.detail.tasks[at])
    }

    /// Newest event in it.
    #[must_use]
    pub fn offset(&self) -> Offset {
        self.offset
    }

    /// Places of the tasks that changed since the last call, in the order of the changes, some more than once.
    pub fn take_touched(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.touched)
    }

    /// Takes in an event. Those of other runs, and those that the view has, change nothing.
    pub fn apply(&mut self, event: &Event) -> Applied {
        if event.run != Some(self.detail.run.id) || event.offset <= self.offset {
            return Applied::Known;
        }
        self.offset = event.offset;
        self.detail.run.last_offset = event.offset;
        // A type that this version does not know may change what it shows.
        let Ok(body) = event.decode() else { return Applied::Ask };
        self.fold(event.at_ms, &body)
    }

    fn fold(&mut self, at_ms: TimestampMs, body: &EventBody) -> Applied {
        match body {
            EventBody::TaskAssigned(grant) => self.assigned(at_ms, grant),
            EventBody::SessionStarted { session, task: Some(task), .. } => self.began(*session, task),
            EventBody::TaskResult(result) => self.ended(at_ms, result),
            EventBody::TaskStatus { changes } => self.changed(at_ms, changes),
            EventBody::TaskApproved { task, .. } => self.with(task, |task| {
                task.approval = None;
                set(task, TaskState::Queued, None);
            }),
            EventBody::SessionBlocked { session, task: Some(task), prompt } => {
                self.blocked(at_ms, *session, task, prompt)
            }
            EventBody::SessionRecovered { session, task: Some(task), episode } => {
                self.waits_no_more(task, &InboxId::of_prompt(*session, *episode))
            }
            EventBody::SessionAnswered { task: Some(task), item, .. }
            | EventBody::AskWithdrawn { task: Some(task), item, .. }
                if self.waits_for(task, item) =>
            {
                // Of an ask this is its end, of a prompt on a screen it is not.
                Applied::Ask
            }
            EventBody::SessionAsked { task: Some(task), ask, .. } if ask.waits => {
                let waits = WaitsView {
                    item: ask.item.clone(),
                    kind: ask.ask_type.kind(),
                    question: ask.text.clone(),
                    since_ms: at_ms,
                };
                self.with(task, |task| {
                    task.waits.get_or_insert(waits);
                })
            }
            EventBody::SessionSaid { session, task: Some(task), said } => {
                self.said(at_ms, *session, task, said)
            }
            EventBody::TasksAdded { .. } | EventBody::TaskExpanded { .. } | EventBody::RunCreated(_) => {
                Applied::Ask
            }
            body if body.type_name().starts_with("cis.dag.run.") => self.run_changed(at_ms, body),
            _ => Applied::Known,
        }
    }

    fn run_changed(&mut self, at_ms: TimestampMs, body: &EventBody) -> Applied {
        let run = &mut self.detail.run;
        match body {
            EventBody::RunStarted {} => {
                run.state = RunState::Running;
                run.started_ms.get_or_insert(at_ms);
            }
            EventBody::RunPaused {} => run.state = RunState::Paused,
            EventBody::RunResumed {} => run.state = RunState::Running,
            EventBody::RunCancelling { reason } => {
                // Asked for twice, the first reason stays.
                if !run.cancelling {
                    run.cancelling = true;
                    run.detail = Some(reason.to_string());
                }
            }
            EventBody::RunCompleted {} => self.over(at_ms, RunState::Succeeded, None),
            EventBody::RunFailed { detail } => self.over(at_ms, RunState::Failed, Some(detail)),
            EventBody::RunErrored { detail } => self.over(at_ms, RunState::Error, Some(detail)),
            EventBody::RunCancelled {} => self.over(at_ms, RunState::Cancelled, None),
            EventBody::RunModeChanged { mode, room } => {
                run.mode = *mode;
                run.room.clone_from(room);
            }
            EventBody::RunTakenOver { owner, .. } => run.node = owner.clone(),
            // Retried: outputs of earlier tries may be gone with their tasks' states.
            _ => return Applied::Ask,
        }
        Applied::Folded
    }

    fn over(&mut self, at_ms: TimestampMs, state: RunState, detail: Option<&String>) {
        let run = &mut self.detail.run;
        run.state = state;
        run.ended_ms = Some(at_ms);
        run.cancelling = false;
        if state == RunState::Succeeded {
            run.detail = None;
        } else if let Some(detail) = detail {
            run.detail = Some(detail.clone());
        }
    }

    fn assigned(&mut self, at_ms: TimestampMs, grant: &GrantRecord) -> Applied {
        let node = (self.detail.run.mode == ExecutionMode::Matrix).then(|| self.node(&grant.node));
        self.with(&grant.task, |task| {
            task.node = node;
            // One that waits at the worker is where it was, until it is known to have begun.
            set(task, if grant.ahead { TaskState::Queued } else { TaskState::Running }, None);
            task.attempts = grant.attempt;
            task.session = Some(grant.session);
            task.started_ms = Some(at_ms);
            task.ended_ms = None;
            task.exit_code = None;
            task.said = None;
            task.waits = None;
        })
    }

    /// A node with the name that other tasks show of it.
    fn node(&self, did: &NodeDid) -> TaskNodeView {
        let shown = self.detail.tasks.iter().filter_map(|task| task.node.as_ref());
        let known = shown.into_iter().find(|node| node.did == *did).cloned();
        known.unwrap_or_else(|| TaskNodeView { did: did.clone(), name: String::new() })
    }

    fn began(&mut self, session: SessionId, task: &TaskId) -> Applied {
        self.with(task, |task| {
            if task.state == TaskState::Queued && task.session == Some(session) {
                set(task, TaskState::Running, None);
            }
        })
    }

    fn ended(&mut self, at_ms: TimestampMs, result: &AttemptResult) -> Applied {
        let why = reason_of_result(result, at_ms);
        self.with(&result.task, |task| {
            set(task, result.state, why);
            task.waits = None;
            if task.session == Some(result.session) {
                task.ended_ms = Some(result.ended_ms);
                task.exit_code = result.exit.and_then(ExitStatus::code);
            }
            if result.state.counts_as_success() {
                let outputs =
                    result.outputs.iter().map(|(name, record)| (name.clone(), record.value.clone()));
                task.outputs = outputs.collect();
                task.outputs_omitted = false;
                task.artifacts.clone_from(&result.artifacts);
                task.artifacts_omitted = false;
            }
        })
    }

    fn changed(&mut self, at_ms: TimestampMs, changes: &[TaskChange]) -> Applied {
        let mut all = Applied::Folded;
        for change in changes {
            let one = self.one_changed(at_ms, change);
            if one == Applied::Ask {
                all = Applied::Ask;
            }
        }
        all
    }

    fn one_changed(&mut self, at_ms: TimestampMs, change: &TaskChange) -> Applied {
        // The session that it had before the grant that was taken back, or how one that was refused ended.
        let session_changes =
            matches!(change.queued, Some(QueueReason::Withdrawn | QueueReason::Resources { .. }));
        let items_ended = change.state == TaskState::Succeeded;
        let folded = self.with(&change.task, |task| {
            if change.state == TaskState::Cancelled && task.session.is_some() && task.ended_ms.is_none() {
                task.ended_ms = Some(at_ms);
            }
            set(task, change.state, reason(change.end.as_ref(), change.queued.as_ref(), at_ms));
            task.approval = match &change.queued {
                Some(QueueReason::Approval { prompt, until_ms }) => {
                    // Who may decide is in the file: the node says it.
                    Some(ApprovalView { prompt: prompt.clone(), until_ms: *until_ms, allowed: None })
                }
                _ => None,
            };
        });
        let asked = matches!(change.queued, Some(QueueReason::Approval { .. }));
        if session_changes || items_ended || asked { Applied::Ask } else { folded }
    }

    fn blocked(
        &mut self,
        at_ms: TimestampMs,
        session: SessionId,
        task: &TaskId,
        prompt: &PromptRecord,
    ) -> Applied {
        // The ask has said it, when it came.
        if prompt.ask.is_some() {
            return Applied::Ask;
        }
        self.with(task, |task| {
            if task.session == Some(session) {
                task.waits.get_or_insert_with(|| WaitsView {
                    item: prompt.item.clone(),
                    kind: prompt.kind,
                    question: prompt.question.clone(),
                    since_ms: at_ms,
                });
            }
        })
    }

    fn waits_no_more(&mut self, task: &TaskId, item: &InboxId) -> Applied {
        if !self.waits_for(task, item) {
            // Of an ask, or of an item behind the one that is shown.
            return Applied::Ask;
        }
        self.with(task, |task| task.waits = None)
    }

    fn waits_for(&self, task: &TaskId, item: &InboxId) -> bool {
        self.task(task.as_str()).and_then(|task| task.waits.as_ref()).is_some_and(|waits| waits.item == *item)
    }

    fn said(&mut self, at_ms: TimestampMs, session: SessionId, task: &TaskId, said: &SaidRecord) -> Applied {
        self.with(task, |task| {
            if task.session == Some(session) {
                let percent = said.percent.or(task.said.as_ref().and_then(|before| before.percent));
                task.said = Some(SaidView { kind: said.kind, text: said.text.clone(), percent, at_ms });
            }
        })
    }

    /// Changes a task, and the counts and approvals of its run with it.
    fn with(&mut self, task: &TaskId, change: impl FnOnce(&mut TaskView)) -> Applied {
        let Some(at) = self.places.get(task).copied() else { return Applied::Ask };
        let view = &mut self.detail.tasks[at];
        let (before, asked) = (view.state, view.approval.is_some());
        change(view);
        let (after, asks) = (view.state, view.approval.is_some());
        self.touched.push(at);
        let run = &mut self.detail.run;
        if before != after {
            if let Some(count) = run.counts.get_mut(&before) {
                *count -= 1;
                if *count == 0 {
                    run.counts.remove(&before);
                }
            }
            *run.counts.entry(after).or_default() += 1;
        }
        match (asked, asks) {
            (false, true) => {
                // In the order of the file.
                let behind = |other: &TaskId| self.places.get(other).is_some_and(|place| *place > at);
                let to = run.approvals.iter().position(behind).unwrap_or(run.approvals.len());
                run.approvals.insert(to, task.clone());
            }
            (true, false) => run.approvals.retain(|other| other != task),
            _ => {}
        }
        Applied::Folded
    }
}

/// A task's state and why it is in it.
fn set(task: &mut TaskView, state: TaskState, why: Option<String>) {
    task.state = state;
    task.reason = why.or_else(|| (state == TaskState::Queued).then(|| TURN.to_owned()));
}
