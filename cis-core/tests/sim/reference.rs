//! What must hold, worked out again from the events alone and as plainly as possible: no index, no
//! tally, no code of the scheduler. Every event is checked against all that came before it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cis_core::dag::{Dag, Task, Trigger};
use cis_core::event::{
    AttemptOutcome, AttemptResult, EndReason, EventBody, EventDraft, GrantRecord, QueueReason, RetryScope,
    RunState, TaskChange, TaskState,
};
use cis_core::ids::{AttemptId, Fence, HostInstance, RunId, SessionId, TaskId, TimestampMs};

type Check = Result<(), String>;

fn ensure(holds: bool, wrong: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(wrong()) }
}

#[derive(Debug)]
pub(crate) struct Reference {
    pub(crate) runs: BTreeMap<RunId, RefRun>,
    pub(crate) max_sessions: u32,
    pub(crate) foreign: u32,
    pub(crate) host: HostInstance,
    sessions_given: BTreeSet<SessionId>,
    /// Nothing is granted before then, or before a session ends.
    held_until: TimestampMs,
}

#[derive(Debug)]
pub(crate) struct RefRun {
    pub(crate) state: RunState,
    pub(crate) max_parallel: u32,
    tasks: Vec<RefTask>,
    /// The reason, and whether it was asked for twice.
    pub(crate) cancelling: Option<(EndReason, bool)>,
    started: bool,
    timeout_ms: Option<i64>,
    clock_from_ms: TimestampMs,
}

#[derive(Debug)]
struct RefTask {
    spec: Task,
    state: TaskState,
    live: Option<RefLive>,
    attempt: u32,
    fence: Fence,
    failures: u32,
    lost: u32,
    not_before_ms: TimestampMs,
}

#[derive(Debug)]
struct RefLive {
    session: SessionId,
    blocked: bool,
    killed: bool,
    swept: bool,
}

impl RefTask {
    fn new(spec: &Task) -> Self {
        Self {
            spec: spec.clone(),
            state: TaskState::Pending,
            live: None,
            attempt: 0,
            fence: 0,
            failures: 0,
            lost: 0,
            not_before_ms: 0,
        }
    }
}

/// What its trigger makes of a pending task.
#[derive(Debug, PartialEq, Eq)]
enum Due {
    Nothing,
    Queue,
    Skip,
    NeedFailed,
}

impl RefRun {
    fn task(&self, id: &TaskId) -> Result<&RefTask, String> {
        self.tasks.iter().find(|t| t.spec.id == *id).ok_or_else(|| format!("no task {id}"))
    }

    fn task_mut(&mut self, id: &TaskId) -> Result<&mut RefTask, String> {
        self.tasks.iter_mut().find(|t| t.spec.id == *id).ok_or_else(|| format!("no task {id}"))
    }

    fn needs(&self, task: &RefTask) -> Vec<TaskState> {
        task.spec.needs.iter().map(|need| self.task(need).unwrap().state).collect()
    }

    fn due(&self, task: &RefTask) -> Due {
        let needs = self.needs(task);
        let ended = needs.iter().all(|s| s.is_terminal());
        let failed = needs.iter().any(|s| matches!(s, TaskState::Failed | TaskState::Error));
        let bad = needs.iter().any(|s| s.is_terminal() && !s.counts_as_success());
        match task.spec.trigger {
            Trigger::AllSuccess if bad => Due::NeedFailed,
            Trigger::OneFailed if failed => Due::Queue,
            _ if !ended => Due::Nothing,
            Trigger::OneFailed => Due::Skip,
            _ => Due::Queue,
        }
    }

    fn swept(&self, task: &RefTask) -> bool {
        match &self.cancelling {
            Some((_, twice)) => task.spec.trigger != Trigger::Always || *twice || !self.started,
            None => false,
        }
    }

    fn holding_slots(&self) -> usize {
        self.tasks.iter().filter(|t| t.live.as_ref().is_some_and(|live| !live.blocked)).count()
    }

    fn live(&self) -> usize {
        self.tasks.iter().filter(|t| t.live.is_some()).count()
    }

    fn count(&self, state: TaskState) -> usize {
        self.tasks.iter().filter(|t| t.state == state).count()
    }
}

impl Reference {
    pub(crate) fn new(max_sessions: u32, host: HostInstance) -> Self {
        let (runs, sessions_given) = (BTreeMap::new(), BTreeSet::new());
        Self { runs, max_sessions, foreign: 0, host, sessions_given, held_until: 0 }
    }

    /// All events of one input, in order.
    pub(crate) fn see(&mut self, events: &[EventDraft], dags: &BTreeMap<RunId, Arc<Dag>>) -> Check {
        let mut lists: BTreeSet<RunId> = BTreeSet::new();
        for event in events {
            let Some(id) = event.run else { continue };
            if let EventBody::RunCreated(facts) = &event.body {
                let dag = &dags[&id];
                let run = RefRun {
                    state: RunState::Created,
                    max_parallel: facts.max_parallel,
                    tasks: dag.tasks.iter().map(RefTask::new).collect(),
                    cancelling: None,
                    started: false,
                    timeout_ms: dag.timeout_ms.map(|ms| i64::try_from(ms).unwrap()),
                    clock_from_ms: 0,
                };
                ensure(self.runs.insert(id, run).is_none(), || format!("{id} created twice"))?;
                continue;
            }
            // What an input entails for waiting tasks is one list. Two are in order where one of them is about
            // the attempt itself (a kill, a refusal), or where the run's time is over at the same moment.
            match &event.body {
                EventBody::RunCancelling { .. } => drop(lists.remove(&id)),
                EventBody::TaskStatus { changes } if !self.is_about_an_attempt(id, changes) => {
                    ensure(lists.insert(id), || format!("two lists of {id} for one input"))?;
                }
                _ => {}
            }
            self.event(id, &event.body, event.at_ms)
                .map_err(|wrong| format!("{}: {wrong}", event.body.type_name()))?;
        }
        Ok(())
    }

    fn is_about_an_attempt(&self, id: RunId, changes: &[TaskChange]) -> bool {
        let active = |c: &TaskChange| self.runs[&id].task(&c.task).is_ok_and(|task| task.live.is_some());
        changes.iter().any(active)
    }

    fn event(&mut self, id: RunId, body: &EventBody, now: TimestampMs) -> Check {
        if let EventBody::TaskAssigned(grant) = body {
            return self.assigned(id, grant, now);
        }
        if let EventBody::TaskResult(r) = body
            && !by_policy(&r.outcome)
        {
            self.held_until = 0; // a session ended, and with it what it held
        }
        let run = self.runs.get_mut(&id).ok_or("an unknown run")?;
        let over = run.state.is_terminal();
        ensure(
            !over || matches!(body, EventBody::RunRetried { .. } | EventBody::RunModeChanged { .. }),
            || "after the end of the run".to_owned(),
        )?;
        match body {
            EventBody::RunStarted {} => {
                ensure(run.state == RunState::Created, || "started twice".to_owned())?;
                (run.state, run.started, run.clock_from_ms) = (RunState::Running, true, now);
            }
            EventBody::RunPaused {} => run.state = RunState::Paused,
            EventBody::RunResumed {} => run.state = RunState::Running,
            EventBody::RunCancelling { reason } => cancelling(run, reason, now)?,
            EventBody::RunCompleted {} => ended(run, RunState::Succeeded)?,
            EventBody::RunFailed { .. } => ended(run, RunState::Failed)?,
            EventBody::RunErrored { .. } => ended(run, RunState::Error)?,
            EventBody::RunCancelled {} => ended(run, RunState::Cancelled)?,
            EventBody::RunRetried { scope, changes } => retried(run, scope, changes, now)?,
            EventBody::TaskStatus { changes } => {
                if short(changes) {
                    self.held_until = now + 1000;
                }
                status(run, changes)?;
            }
            EventBody::TaskResult(r) => result(run, r)?,
            EventBody::TasksAdded { tasks, .. } => run.tasks.extend(tasks.iter().map(RefTask::new)),
            EventBody::SessionStarted { session, task: Some(task), .. } => {
                live_session(run, task, *session)?;
            }
            EventBody::SessionBlocked { session, task: Some(task), .. } => {
                live_session(run, task, *session)?.blocked = true;
            }
            EventBody::SessionRecovered { session, task: Some(task), .. } => {
                live_session(run, task, *session)?.blocked = false;
            }
            _ => {}
        }
        Ok(())
    }

    fn assigned(&mut self, id: RunId, grant: &GrantRecord, now: TimestampMs) -> Check {
        let live: usize = self.runs.values().map(RefRun::live).sum();
        let room = live + (self.foreign as usize) < self.max_sessions as usize;
        ensure(room, || format!("{live} sessions are live, {} foreign", self.foreign))?;
        ensure(now >= self.held_until || self.held_until - now > 1000, || "the machine is short".to_owned())?;
        ensure(self.sessions_given.insert(grant.session), || format!("{} given twice", grant.session))?;
        ensure(grant.host == Some(self.host), || "granted to a host that is gone".to_owned())?;
        let run = self.runs.get_mut(&id).ok_or("an unknown run")?;
        ensure(run.state == RunState::Running, || format!("the run is {}", run.state))?;
        let slots = run.holding_slots();
        ensure(slots < run.max_parallel as usize, || {
            format!("{slots} of {} slots are taken", run.max_parallel)
        })?;
        let task = run.task(&grant.task)?;
        let name = &grant.task;
        ensure(task.live.is_none(), || format!("{name} has a live grant"))?;
        ensure(task.state == TaskState::Queued, || format!("{name} is {}", task.state))?;
        ensure(run.due(task) == Due::Queue, || format!("{name} starts with needs {:?}", run.needs(task)))?;
        ensure(!run.swept(task), || format!("{name} starts in a cancelled run"))?;
        ensure(now >= task.not_before_ms, || format!("{name} starts before {}", task.not_before_ms))?;
        ensure(grant.fence > task.fence, || format!("{name}: fence {} after {}", grant.fence, task.fence))?;
        ensure(grant.attempt == task.attempt + 1, || {
            format!("{name}: #{} after #{}", grant.attempt, task.attempt)
        })?;
        let task = run.task_mut(&grant.task)?;
        (task.attempt, task.fence, task.state) = (grant.attempt, grant.fence, TaskState::Running);
        task.live = Some(RefLive { session: grant.session, blocked: false, killed: false, swept: false });
        Ok(())
    }

    /// A node that starts again does not know that the machine was short a moment ago.
    pub(crate) fn restarted(&mut self) {
        self.held_until = 0;
    }

    /// A kill that was accepted is stored before the signal is sent.
    pub(crate) fn must_be_stopping(&self, attempt: &AttemptId) -> Check {
        let task = self.runs[&attempt.run].task(&attempt.task)?;
        let known = task.live.as_ref().is_some_and(|live| live.killed || live.swept);
        ensure(known, || format!("{attempt} is killed, but no event says so"))
    }

    /// What must hold between inputs: nothing that is due was left undone.
    pub(crate) fn settled(&self, now: TimestampMs) -> Check {
        let live: usize = self.runs.values().map(RefRun::live).sum();
        let held = (1..=1000).contains(&(self.held_until - now));
        let room = live + (self.foreign as usize) < self.max_sessions as usize && !held;
        for (id, run) in &self.runs {
            if run.state.is_terminal() {
                continue;
            }
            let overdue = run.timeout_ms.is_some_and(|ms| run.started && now >= run.clock_from_ms + ms);
            ensure(!overdue || run.cancelling.is_some(), || format!("{id} is over its time"))?;
            let started = run.state != RunState::Created || run.cancelling.is_some();
            ensure(!started || run.tasks.iter().any(|t| !t.state.is_terminal()), || {
                format!("{id} does not end")
            })?;
            for task in &run.tasks {
                let name = &task.spec.id;
                let waits = matches!(task.state, TaskState::Pending | TaskState::Queued);
                ensure(!(waits && run.swept(task)), || format!("{name} waits in a cancelled run"))?;
                if task.state == TaskState::Pending && run.state != RunState::Created {
                    let due = run.due(task);
                    ensure(due == Due::Nothing, || format!("{name} is pending, but {due:?} is due"))?;
                }
                let could = task.state == TaskState::Queued
                    && run.state == RunState::Running
                    && task.not_before_ms <= now
                    && run.holding_slots() < run.max_parallel as usize;
                ensure(!(could && room), || format!("{id}: {name} could start and does not"))?;
            }
        }
        Ok(())
    }
}

fn short(changes: &[TaskChange]) -> bool {
    changes.iter().any(|c| matches!(c.queued, Some(QueueReason::Resources { .. })))
}

/// Refused by a rule of the worker: no session was there.
fn by_policy(outcome: &AttemptOutcome) -> bool {
    matches!(outcome, AttemptOutcome::SpawnError { detail } if detail.contains("policy"))
}

fn live_session<'a>(
    run: &'a mut RefRun,
    task: &TaskId,
    session: SessionId,
) -> Result<&'a mut RefLive, String> {
    let live = run.task_mut(task)?.live.as_mut();
    live.filter(|live| live.session == session)
        .ok_or_else(|| format!("{task} does not have session {session}"))
}

fn cancelling(run: &mut RefRun, reason: &EndReason, now: TimestampMs) -> Check {
    if *reason == EndReason::RunTimeout {
        let due = run.timeout_ms.is_some_and(|ms| now >= run.clock_from_ms + ms);
        ensure(due && run.cancelling.is_none(), || "timed out too early".to_owned())?;
    }
    run.cancelling = Some(match run.cancelling.take() {
        Some((first, _)) => (first, true),
        None => (reason.clone(), false),
    });
    let swept: Vec<bool> = run.tasks.iter().map(|t| run.swept(t)).collect();
    for (task, swept) in run.tasks.iter_mut().zip(swept) {
        if let Some(live) = &mut task.live {
            live.swept |= swept;
        }
    }
    Ok(())
}

fn ended(run: &mut RefRun, state: RunState) -> Check {
    ensure(run.live() == 0, || "a session is live".to_owned())?;
    let open = run.tasks.iter().find(|t| !t.state.is_terminal());
    ensure(open.is_none(), || format!("{} is open", open.unwrap().spec.id))?;
    let expected = match &run.cancelling {
        Some((EndReason::RunTimeout, _)) => RunState::Failed,
        Some(_) => RunState::Cancelled,
        None if run.count(TaskState::Error) > 0 => RunState::Error,
        None if run.count(TaskState::Failed) > 0 => RunState::Failed,
        None if run.count(TaskState::Cancelled) > 0 => RunState::Cancelled,
        None => RunState::Succeeded,
    };
    ensure(state == expected, || format!("ended as {state}, should be {expected}"))?;
    (run.state, run.cancelling) = (state, None);
    Ok(())
}

fn retried(run: &mut RefRun, scope: &RetryScope, changes: &[TaskChange], now: TimestampMs) -> Check {
    ensure(run.state.is_terminal(), || "retried before its end".to_owned())?;
    let mut chosen: BTreeSet<TaskId> = BTreeSet::new();
    // In the order of the file each need stands before what needs it, so one pass finds all descendants.
    for task in &run.tasks {
        let begins = match scope {
            RetryScope::All => true,
            RetryScope::Failed => !task.state.counts_as_success(),
            RetryScope::From { task: from } => task.spec.id == *from,
        };
        if begins || task.spec.needs.iter().any(|need| chosen.contains(need)) {
            chosen.insert(task.spec.id.clone());
        }
    }
    let said: BTreeSet<TaskId> = changes.iter().map(|c| c.task.clone()).collect();
    ensure(said == chosen && !said.is_empty(), || format!("retries {said:?}, should be {chosen:?}"))?;
    for change in changes {
        let task = run.task_mut(&change.task)?;
        task.state = change.state;
        (task.failures, task.lost, task.not_before_ms) = (0, 0, 0);
    }
    (run.state, run.cancelling, run.started, run.clock_from_ms) = (RunState::Running, None, true, now);
    Ok(())
}

fn status(run: &mut RefRun, changes: &[TaskChange]) -> Check {
    for change in changes {
        let name = &change.task;
        let task = run.task_mut(name)?;
        let from = task.state;
        if let (TaskState::Running, Some(EndReason::Killed), Some(live)) =
            (change.state, &change.end, &mut task.live)
        {
            live.killed = true;
            continue;
        }
        ensure(from.may_become(change.state) && !from.is_terminal(), || {
            format!("{name}: {from} to {}", change.state)
        })?;
        if from.is_active() {
            // A grant that was refused: the task waits again, or is over if it was being stopped.
            let live = task.live.take().ok_or("active without a session")?;
            let stopped = live.killed || live.swept;
            let expected = if stopped { TaskState::Cancelled } else { TaskState::Queued };
            ensure(change.state == expected, || format!("{name}: refused and {}", change.state))?;
        }
        task.state = change.state;
        if let Some(QueueReason::Resources { at_ms, .. }) = change.queued {
            task.not_before_ms = at_ms;
        }
    }
    // The list is one step: its reasons must hold once all of it is done.
    for change in changes {
        let task = run.task(&change.task)?;
        let fits = match (&change.end, change.state) {
            (None, TaskState::Queued) => run.due(task) == Due::Queue && !run.swept(task),
            (Some(EndReason::NeedFailed { need }), TaskState::Cancelled) => {
                let need = run.task(&TaskId::new(need).map_err(|e| e.to_string())?)?;
                need.state.is_terminal()
                    && !need.state.counts_as_success()
                    && task.spec.needs.contains(&need.spec.id)
            }
            (Some(EndReason::Skipped { .. }), TaskState::Completed) => run.due(task) == Due::Skip,
            (Some(EndReason::RunCancelled | EndReason::RunTimeout), TaskState::Cancelled) => {
                run.cancelling.is_some()
            }
            (Some(EndReason::Killed), TaskState::Running | TaskState::Cancelled) => true,
            _ => false,
        };
        ensure(fits, || format!("{change:?} with needs {:?}", run.needs(task)))?;
    }
    Ok(())
}

fn result(run: &mut RefRun, r: &AttemptResult) -> Check {
    let task = run.task_mut(&r.task)?;
    let name = &r.task;
    let live = task.live.take().ok_or_else(|| format!("{name}: a result without a live attempt"))?;
    let same = live.session == r.session && task.attempt == r.attempt && task.fence == r.fence;
    ensure(same, || format!("{name}: a result of another attempt"))?;
    let stopped = live.killed || live.swept;
    task.failures += u32::from(r.counts);
    let left = task.failures <= task.spec.retries.count;
    let lost = task.lost;
    let expected = match &r.outcome {
        AttemptOutcome::Succeeded => TaskState::Succeeded,
        AttemptOutcome::Cancelled => TaskState::Cancelled,
        _ if stopped => TaskState::Cancelled,
        AttemptOutcome::Lost { .. } if task.spec.retry_lost && lost < 3 => TaskState::Queued,
        AttemptOutcome::Lost { .. } => TaskState::Error,
        outcome if by_policy(outcome) => TaskState::Error,
        _ if left => TaskState::Queued,
        AttemptOutcome::SpawnError { .. } => TaskState::Error,
        AttemptOutcome::Failed { .. } if task.spec.allow_failure => TaskState::Completed,
        AttemptOutcome::Failed { .. } => TaskState::Failed,
    };
    ensure(r.state == expected, || {
        format!("{name}: {} makes it {}, should be {expected}", r.outcome.word(), r.state)
    })?;
    let fault = matches!(r.outcome, AttemptOutcome::Failed { .. } | AttemptOutcome::SpawnError { .. });
    ensure(r.counts == (fault && !stopped), || format!("{name}: counts {}", r.counts))?;
    task.lost += u32::from(matches!(r.outcome, AttemptOutcome::Lost { .. }));
    task.not_before_ms = match r.queued {
        Some(QueueReason::RetryAt { at_ms, .. }) => at_ms,
        _ => 0,
    };
    task.state = r.state;
    Ok(())
}
