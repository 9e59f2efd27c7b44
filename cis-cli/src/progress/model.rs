//! What is known of a run, folded from its events. Pure: times are arguments.
//!
//! Made for many events: a successful try is read without copying, and only tasks that run or failed
//! are kept in lists. Knows nothing of terminals.

use std::collections::{BTreeMap, HashMap};

use cis_client::EventRef;
use cis_core::event::{AttemptResult, EndReason, QueueReason, RunCreated, RunState, SessionLimit, TaskState};
use cis_core::ids::TimestampMs;

use self::wire::{
    Added, Began, Changes, Detail, Expanded, Expiring, Grant, Named, Prompt, Queued, Reason, ResultHead,
};
use crate::output::human::waits_for_human;

/// Failed tasks that are kept for the summary.
const FAILURES_KEPT: usize = 10;

/// Place of a task in the model.
pub(crate) type Index = usize;

/// A task.
#[derive(Debug)]
pub(crate) struct Line {
    /// Its name.
    pub(crate) name: Box<str>,
    /// Its state.
    pub(crate) state: TaskState,
    /// Its newest try.
    pub(crate) attempt: u32,
    /// When that was granted.
    pub(crate) started_ms: TimestampMs,
    /// The prompt at which its session waits for a human, in words.
    pub(crate) blocked: Option<Box<str>>,
    /// What a human is asked before it starts.
    pub(crate) approval: Option<Box<str>>,
}

/// A try that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Its task.
    pub(crate) task: Box<str>,
    /// State of the task after it.
    pub(crate) state: TaskState,
    /// Which try.
    pub(crate) attempt: u32,
    /// Its session.
    pub(crate) session: String,
    /// How long it took, ms.
    pub(crate) took_ms: u64,
    /// Why.
    pub(crate) detail: String,
    /// How much it wrote.
    pub(crate) log_bytes: u64,
    /// When the next try starts, where there is one: Unix ms.
    pub(crate) retry_at_ms: Option<TimestampMs>,
}

/// What is worth telling at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// A try succeeded.
    Succeeded { task: Index, took_ms: u64 },
    /// A try did not.
    Failed(Box<Failure>),
    /// A task ended without a try of its own.
    Ended { task: Index, reason: String },
    /// A session waits for a human.
    Blocked { task: Index },
    /// A task waits for a human's approval.
    Asked { task: Index },
    /// A limit ends its session soon.
    Expiring { task: Index, limit: SessionLimit, left_ms: u64 },
    /// The run is being cancelled.
    Cancelling { reason: String },
    /// It starts nothing new.
    Paused,
    /// It goes on.
    Resumed,
    /// It ended.
    RunEnded,
}

/// A run.
#[derive(Debug)]
pub(crate) struct Model {
    /// Its DAG.
    pub(crate) dag: String,
    /// Its state.
    pub(crate) state: RunState,
    /// Cancelling was asked for.
    pub(crate) cancelling: bool,
    /// When it was started.
    pub(crate) started_ms: Option<TimestampMs>,
    /// When it ended.
    pub(crate) ended_ms: Option<TimestampMs>,
    /// Why it did not end well.
    pub(crate) detail: String,
    /// Tasks that are running, oldest first.
    pub(crate) running: Vec<Index>,
    /// Tasks that wait for approval, oldest first.
    pub(crate) asked: Vec<Index>,
    /// First failures, by task.
    pub(crate) failures: BTreeMap<Box<str>, Failure>,
    tasks: Vec<Line>,
    index: HashMap<Box<str>, Index>,
    counts: [u32; TaskState::ALL.len()],
    /// Tasks of which something changed, for those who keep more of them.
    touched: Option<Vec<Index>>,
}

impl Model {
    /// A run of that DAG of which nothing else is known.
    pub(crate) fn new(dag: &str) -> Self {
        Self {
            dag: dag.to_owned(),
            state: RunState::Created,
            cancelling: false,
            started_ms: None,
            ended_ms: None,
            detail: String::new(),
            running: Vec::new(),
            asked: Vec::new(),
            failures: BTreeMap::new(),
            tasks: Vec::new(),
            index: HashMap::new(),
            counts: [0; TaskState::ALL.len()],
            touched: None,
        }
    }

    /// A task.
    pub(crate) fn task(&self, index: Index) -> &Line {
        &self.tasks[index]
    }

    /// How many tasks are in that state.
    pub(crate) fn count(&self, state: TaskState) -> u32 {
        self.counts[state as usize]
    }

    /// How many tasks there are.
    pub(crate) fn total(&self) -> u32 {
        self.counts.iter().sum()
    }

    /// How many have ended.
    pub(crate) fn done(&self) -> u32 {
        TaskState::ALL.iter().filter(|state| state.is_terminal()).map(|state| self.count(*state)).sum()
    }

    /// Takes one event in; what is worth telling is added to `changes`.
    ///
    /// # Errors
    /// A body of a type that this version knows has another shape.
    pub(crate) fn fold(
        &mut self,
        event: &EventRef<'_>,
        changes: &mut Vec<Change>,
    ) -> Result<(), serde_json::Error> {
        let body = event.body.get();
        match event.type_name.as_ref() {
            "cis.dag.task.result" => self.result(body, changes)?,
            "cis.dag.task.assigned" => {
                let grant: Grant<'_> = serde_json::from_str(body)?;
                let state = if grant.ahead { TaskState::Queued } else { TaskState::Running };
                let index = self.set(&grant.task, state);
                self.tasks[index].attempt = grant.attempt;
                self.tasks[index].started_ms = event.at_ms;
            }
            "cis.dag.session.started" => {
                let began: Began<'_> = serde_json::from_str(body)?;
                if let Some(task) = began.task {
                    let index = self.set(&task, TaskState::Running);
                    self.tasks[index].started_ms = event.at_ms;
                }
            }
            "cis.dag.task.status" => self.statuses(body, changes)?,
            "cis.dag.task.expanded" => {
                let expanded: Expanded<'_> = serde_json::from_str(body)?;
                self.expanded(&expanded.task, expanded.items.len());
            }
            "cis.dag.task.approved" => {
                let named: Named<'_> = serde_json::from_str(body)?;
                self.set(&named.task, TaskState::Queued);
            }
            "cis.dag.session.blocked" => self.prompt(body, true, changes)?,
            "cis.dag.session.recovered" => self.prompt(body, false, changes)?,
            "cis.dag.session.expiring" => self.expiring(body, event.at_ms, changes)?,
            "cis.dag.task.added" => {
                let added: Added<'_> = serde_json::from_str(body)?;
                self.counts[TaskState::Pending as usize] += u32::try_from(added.tasks.len()).unwrap_or(0);
            }
            "cis.dag.run.created" => {
                let facts: RunCreated = serde_json::from_str(body)?;
                self.counts[TaskState::Pending as usize] += facts.tasks;
                self.dag = facts.dag;
            }
            "cis.dag.run.started" => {
                self.state = RunState::Running;
                self.started_ms = Some(event.at_ms);
            }
            "cis.dag.run.retried" => {
                self.reopen(event.at_ms);
                self.statuses(body, changes)?;
            }
            other if other.starts_with("cis.dag.run.") => self.run(other, event, changes)?,
            // Of sessions, nodes, or newer than we are.
            _ => {}
        }
        Ok(())
    }

    fn run(
        &mut self,
        name: &str,
        event: &EventRef<'_>,
        changes: &mut Vec<Change>,
    ) -> Result<(), serde_json::Error> {
        let body = event.body.get();
        let ended = match name {
            "cis.dag.run.paused" => {
                self.state = RunState::Paused;
                changes.push(Change::Paused);
                return Ok(());
            }
            "cis.dag.run.resumed" => {
                self.state = RunState::Running;
                changes.push(Change::Resumed);
                return Ok(());
            }
            "cis.dag.run.cancelling" => {
                let Reason { reason } = serde_json::from_str(body)?;
                self.cancelling = true;
                changes.push(Change::Cancelling { reason: reason.to_string() });
                return Ok(());
            }
            "cis.dag.run.completed" => RunState::Succeeded,
            "cis.dag.run.failed" => RunState::Failed,
            "cis.dag.run.error" => RunState::Error,
            "cis.dag.run.cancelled" => RunState::Cancelled,
            _ => return Ok(()),
        };
        let Detail { detail } = serde_json::from_str(body)?;
        self.detail = detail;
        self.state = ended;
        self.ended_ms = Some(event.at_ms);
        changes.push(Change::RunEnded);
        Ok(())
    }

    /// A retry: the time before it, in which the run had ended, does not count.
    fn reopen(&mut self, now: TimestampMs) {
        self.state = RunState::Running;
        self.started_ms = Some(now);
        self.cancelling = false;
        self.ended_ms = None;
        self.detail.clear();
    }

    fn result(&mut self, body: &str, changes: &mut Vec<Change>) -> Result<(), serde_json::Error> {
        let head: ResultHead<'_> = serde_json::from_str(body)?;
        let index = self.set(&head.task, head.state);
        let started = head.started_ms.unwrap_or(head.ended_ms);
        let took_ms = u64::try_from(head.ended_ms - started).unwrap_or(0);
        if head.state == TaskState::Succeeded {
            self.failures.remove(head.task.as_ref());
            changes.push(Change::Succeeded { task: index, took_ms });
            return Ok(());
        }
        let result: AttemptResult = serde_json::from_str(body)?;
        if let Some(cached @ EndReason::CacheHit { .. }) = &result.end {
            self.failures.remove(head.task.as_ref());
            changes.push(Change::Ended { task: index, reason: cached.to_string() });
            return Ok(());
        }
        let detail = match (&result.end, result.outcome.detail()) {
            (
                Some(
                    end @ (EndReason::AllowedFailure { .. }
                    | EndReason::Killed
                    | EndReason::Skipped { .. }
                    | EndReason::RunCancelled
                    | EndReason::RunTimeout),
                ),
                _,
            ) => end.to_string(),
            (Some(end), detail) if detail.is_empty() => end.to_string(),
            (_, detail) => detail,
        };
        let retry_at_ms = match result.queued {
            Some(QueueReason::RetryAt { at_ms, .. } | QueueReason::Resources { at_ms, .. }) => Some(at_ms),
            Some(_) => Some(head.ended_ms),
            None => None,
        };
        let failure = Failure {
            task: head.task.as_ref().into(),
            state: head.state,
            attempt: result.attempt,
            session: result.session.to_string(),
            took_ms,
            detail,
            log_bytes: result.log_bytes,
            retry_at_ms,
        };
        if matches!(head.state, TaskState::Failed | TaskState::Error) && self.failures.len() < FAILURES_KEPT {
            self.failures.insert(failure.task.clone(), failure.clone());
        }
        changes.push(Change::Failed(Box::new(failure)));
        Ok(())
    }

    fn statuses(&mut self, body: &str, changes: &mut Vec<Change>) -> Result<(), serde_json::Error> {
        let all: Changes<'_> = serde_json::from_str(body)?;
        for change in all.changes {
            let index = self.set(&change.task, change.state);
            if let Some(Queued { kind, prompt }) = change.queued.filter(|queued| queued.kind == "approval") {
                self.tasks[index].approval = Some(prompt.unwrap_or(kind).as_ref().into());
                self.asked.push(index);
                changes.push(Change::Asked { task: index });
            } else if change.state.is_terminal() {
                let reason = change.end.map(|end| end.to_string()).unwrap_or_default();
                changes.push(Change::Ended { task: index, reason });
            } else {
                self.failures.remove(change.task.as_ref());
            }
        }
        Ok(())
    }

    fn prompt(
        &mut self,
        body: &str,
        blocked: bool,
        changes: &mut Vec<Change>,
    ) -> Result<(), serde_json::Error> {
        let prompt: Prompt<'_> = serde_json::from_str(body)?;
        // A session without a task belongs to no run.
        let Some(task) = prompt.task else { return Ok(()) };
        let index = self.find(&task);
        self.touch(index);
        self.tasks[index].blocked =
            blocked.then(|| waits_for_human(prompt.kind, &prompt.question, &prompt.item, &task).into());
        if blocked {
            changes.push(Change::Blocked { task: index });
        }
        Ok(())
    }

    fn expiring(
        &mut self,
        body: &str,
        now: TimestampMs,
        changes: &mut Vec<Change>,
    ) -> Result<(), serde_json::Error> {
        let expiring: Expiring<'_> = serde_json::from_str(body)?;
        let Some(task) = expiring.task else { return Ok(()) };
        let left_ms = u64::try_from(expiring.at_ms.saturating_sub(now)).unwrap_or(0);
        changes.push(Change::Expiring { task: self.find(&task), limit: expiring.limit, left_ms });
        Ok(())
    }

    fn find(&mut self, name: &str) -> Index {
        if let Some(index) = self.index.get(name) {
            return *index;
        }
        let index = self.tasks.len();
        self.index.insert(name.into(), index);
        self.tasks.push(Line {
            name: name.into(),
            state: TaskState::Pending,
            attempt: 0,
            started_ms: 0,
            blocked: None,
            approval: None,
        });
        index
    }

    /// A task became items, `NAME.1` and so on; some may be there from an earlier list.
    fn expanded(&mut self, name: &str, count: usize) {
        self.set(name, TaskState::Queued);
        for number in 1.. {
            let item = format!("{name}.{number}");
            let known = self.index.contains_key(item.as_str());
            if number > count && !known {
                break;
            }
            self.counts[TaskState::Pending as usize] += u32::from(!known);
            self.set(&item, if number > count { TaskState::Completed } else { TaskState::Queued });
        }
    }

    fn set(&mut self, name: &str, state: TaskState) -> Index {
        let index = self.find(name);
        self.touch(index);
        let line = &mut self.tasks[index];
        let before = std::mem::replace(&mut line.state, state);
        if line.approval.take().is_some() {
            self.asked.retain(|other| *other != index);
        }
        if before.is_active() != state.is_active() {
            if state.is_active() {
                self.running.push(index);
            } else {
                line.blocked = None;
                self.running.retain(|other| *other != index);
            }
        }
        // A stream that begins in the middle may not have said how many tasks there are.
        let count = &mut self.counts[before as usize];
        *count = count.saturating_sub(1);
        self.counts[state as usize] += 1;
        index
    }
}

mod seed;
#[cfg(test)]
mod tests;
mod wire;
