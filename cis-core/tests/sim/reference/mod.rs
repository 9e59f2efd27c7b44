//! What must hold, worked out again from the events alone and as plainly as possible: no index, no
//! tally, no code of the scheduler. Every event is checked against all that came before it.

pub(crate) mod accounts;
mod changes;
mod due;
mod prompts;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cis_core::dag::{Dag, Group, Handlers, Task};
use cis_core::event::{
    AttemptOutcome, EndReason, EventBody, EventDraft, GrantRecord, QueueReason, RunState, TaskChange,
    TaskState,
};
use cis_core::ids::{AttemptId, Fence, HostInstance, InboxId, RunId, SessionId, TaskId, TimestampMs};

use self::accounts::RefAccounts;
use self::changes::{approved, expanded, result, retried, status};
use self::due::Due;
use self::prompts::{RefLive, RefStop};

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
    /// Groups of the node.
    pub(crate) groups: BTreeMap<String, Group>,
    sessions_given: BTreeSet<SessionId>,
    /// So many of a run were welcome ahead, at most.
    ahead: BTreeMap<RunId, u32>,
    /// Nothing is granted before then, or before a session ends.
    held_until: TimestampMs,
    accounts: RefAccounts,
    /// Prompts are left alone until then.
    calm_until: TimestampMs,
}

#[derive(Debug)]
pub(crate) struct RefRun {
    pub(crate) state: RunState,
    pub(crate) max_parallel: u32,
    tasks: Vec<RefTask>,
    on: Handlers,
    groups: BTreeMap<String, Group>,
    /// The reason, and whether it was asked for twice.
    pub(crate) cancelling: Option<(EndReason, bool)>,
    /// All tasks but handlers had ended when it was asked for first.
    late: bool,
    /// The reason for which it ended before its time, and whether that was late; until other tasks than handlers run again.
    former: Option<(EndReason, bool)>,
    started: bool,
    timeout_ms: Option<i64>,
    clock_from_ms: TimestampMs,
    /// A session has waited for a human.
    asked: bool,
}

#[derive(Debug)]
struct RefTask {
    spec: Task,
    state: TaskState,
    live: Option<RefLive>,
    attempt: u32,
    /// Number of the newest grant, also where it was taken back.
    newest: u32,
    fence: Fence,
    failures: u32,
    lost: u32,
    /// Tries in a row that were not logged in.
    logins: u32,
    not_before_ms: TimestampMs,
    waits: Option<Waits>,
    /// Its account holds it.
    of_account: bool,
    approved: Option<String>,
    /// How many items its present list has.
    items: Option<usize>,
    /// Whether the task ended because its list is empty, with an empty list as its output.
    empty_list: bool,
    /// What it left.
    pid: Option<i64>,
}

/// What a queued task waits for, other than its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waits {
    Human(Option<TimestampMs>),
    Items(usize),
}

impl RefTask {
    fn new(spec: &Task) -> Self {
        Self {
            spec: spec.clone(),
            state: TaskState::Pending,
            live: None,
            attempt: 0,
            newest: 0,
            fence: 0,
            failures: 0,
            lost: 0,
            logins: 0,
            not_before_ms: 0,
            waits: None,
            of_account: false,
            approved: None,
            items: None,
            empty_list: false,
            pid: None,
        }
    }

    /// Higher priority first, then the order of the file.
    fn could_start(&self, now: TimestampMs) -> bool {
        self.state == TaskState::Queued && self.waits.is_none() && self.not_before_ms <= now
    }
}

impl RefRun {
    fn task(&self, id: &TaskId) -> Result<&RefTask, String> {
        self.tasks.iter().find(|t| t.spec.id == *id).ok_or_else(|| format!("no task {id}"))
    }

    fn task_mut(&mut self, id: &TaskId) -> Result<&mut RefTask, String> {
        self.tasks.iter_mut().find(|t| t.spec.id == *id).ok_or_else(|| format!("no task {id}"))
    }

    /// The session under way of a task, and whether it is to stop.
    pub(crate) fn stands(&self, id: &TaskId) -> (Option<SessionId>, bool) {
        let live = self.task(id).ok().and_then(|task| task.live.as_ref());
        (live.map(|live| live.session), live.is_some_and(|live| live.stop.is_some()))
    }

    pub(crate) fn is_blocked(&self, attempt: &AttemptId) -> bool {
        let task = self.task(&attempt.task).ok().filter(|task| task.attempt == attempt.number);
        task.and_then(|task| task.live.as_ref()).is_some_and(RefLive::is_away)
    }

    fn holding_slots(&self) -> usize {
        self.tasks.iter().filter(|t| t.live.as_ref().is_some_and(|live| !live.is_away())).count()
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
        let (runs, sessions_given, groups) = (BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
        let ahead = BTreeMap::new();
        let (accounts, held_until, calm_until) = (RefAccounts::default(), 0, 0);
        Self {
            runs,
            max_sessions,
            foreign: 0,
            host,
            groups,
            sessions_given,
            ahead,
            held_until,
            accounts,
            calm_until,
        }
    }

    /// The worker's wish arrives.
    pub(crate) fn wished(&mut self, id: RunId, count: u32) {
        let runs = self.runs.get(&id).is_some_and(|run| run.state == RunState::Running);
        self.ahead.insert(id, if runs { count } else { 0 });
    }

    /// The group of an attempt's task: its name, and whether it is the run's own.
    pub(crate) fn group_of(&self, attempt: &AttemptId) -> Result<Option<(&str, Group, bool)>, String> {
        let run = &self.runs[&attempt.run];
        let Some(name) = &run.task(&attempt.task)?.spec.group else { return Ok(None) };
        let own = run.groups.get(name);
        let group = own.or_else(|| self.groups.get(name)).ok_or_else(|| format!("no group {name}"))?;
        Ok(Some((name, *group, own.is_some())))
    }

    /// Whether the group of a task has a place left.
    fn has_place(&self, run: &RefRun, task: &RefTask) -> bool {
        let Some(name) = &task.spec.group else { return true };
        let taken = |run: &RefRun, group: Group| {
            let holds = |task: &&RefTask| {
                task.spec.group.as_ref() == Some(name)
                    && task.live.as_ref().is_some_and(|live| !(live.is_away() && group.frees_when_blocked))
            };
            run.tasks.iter().filter(holds).count()
        };
        match (run.groups.get(name), self.groups.get(name)) {
            (Some(own), _) => taken(run, *own) < own.limit as usize,
            (None, Some(group)) => {
                self.runs.values().map(|run| taken(run, *group)).sum::<usize>() < group.limit as usize
            }
            (None, None) => false,
        }
    }

    /// All events of one input, in order.
    pub(crate) fn see(&mut self, events: &[EventDraft], dags: &BTreeMap<RunId, Arc<Dag>>) -> Check {
        let mut lists: BTreeSet<RunId> = BTreeSet::new();
        for event in events {
            if let EventBody::NodeGroup { name, group } = &event.body {
                match group {
                    Some(group) => self.groups.insert(name.clone(), *group),
                    None => self.groups.remove(name),
                };
            }
            let Some(id) = event.run else { continue };
            if let EventBody::RunCreated(facts) = &event.body {
                let dag = &dags[&id];
                let run = RefRun {
                    state: RunState::Created,
                    max_parallel: facts.max_parallel,
                    tasks: dag.tasks.iter().map(RefTask::new).collect(),
                    on: dag.on.clone(),
                    groups: dag.groups.clone(),
                    cancelling: None,
                    late: false,
                    former: None,
                    started: false,
                    timeout_ms: dag.timeout_ms.map(|ms| i64::try_from(ms).unwrap()),
                    clock_from_ms: 0,
                    asked: false,
                };
                ensure(self.runs.insert(id, run).is_none(), || format!("{id} created twice"))?;
                continue;
            }
            // What an input entails for waiting tasks is one list. Two are in order where one of them is about
            // the attempt itself (a kill, a refusal), or where the run's time is over at the same moment, or
            // that of an approval. Handlers come after all others.
            match &event.body {
                EventBody::RunCancelling { .. } => {
                    lists.remove(&id);
                }
                EventBody::TaskStatus { changes } if is_decision(changes) => {
                    lists.remove(&id);
                }
                EventBody::TaskStatus { changes } if self.is_apart(id, changes) => {}
                EventBody::TaskStatus { changes } if self.is_of_account(id, changes) => {}
                EventBody::TaskStatus { changes } => {
                    ensure(lists.insert(id), || format!("two lists of {id} for one input"))?;
                    // Tasks that use the outputs of a task that ends without an attempt are settled in a later
                    // list.
                    if changes.iter().any(leaves_empty_lists) {
                        lists.remove(&id);
                    }
                }
                _ => {}
            }
            self.event(id, &event.body, event.at_ms)
                .map_err(|wrong| format!("{}: {wrong}", event.body.type_name()))?;
        }
        Ok(())
    }

    /// About an attempt, or about handlers alone.
    fn is_apart(&self, id: RunId, changes: &[TaskChange]) -> bool {
        let run = &self.runs[&id];
        let active = |c: &TaskChange| run.task(&c.task).is_ok_and(|task| task.live.is_some());
        changes.iter().any(active) || changes.iter().all(|c| run.is_handler(&c.task))
    }

    /// Tasks that wait go on waiting, for their account or no more for it.
    fn is_of_account(&self, id: RunId, changes: &[TaskChange]) -> bool {
        let run = &self.runs[&id];
        let waits = |c: &TaskChange| run.task(&c.task).is_ok_and(|task| task.state == TaskState::Queued);
        changes.iter().all(|c| c.state == TaskState::Queued && waits(c))
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
            EventBody::RunPaused {} => {
                run.state = RunState::Paused;
                self.ahead.remove(&id);
            }
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
                status(run, changes, now, &self.accounts)?;
                for change in changes {
                    if let Some(EndReason::LoggedOut { account, .. }) = &change.end {
                        self.accounts.failed(account, now);
                    }
                    let task = run.task(&change.task)?;
                    if change.state == TaskState::Queued || change.state.is_terminal() {
                        let (account, number) = (task.spec.account.as_ref(), task.newest);
                        let attempt = AttemptId { run: id, task: change.task.clone(), number };
                        self.accounts.ended(account, &attempt, false, now);
                    }
                }
            }
            EventBody::TaskExpanded { task, items } => expanded(run, task, items)?,
            EventBody::TaskApproved { task, by, .. } => approved(run, task, by)?,
            EventBody::TaskResult(r) => {
                result(run, r)?;
                let account = run.task(&r.task)?.spec.account.clone();
                let attempt = AttemptId { run: id, task: r.task.clone(), number: r.attempt };
                let good = r.outcome == AttemptOutcome::Succeeded && r.state == TaskState::Succeeded;
                self.accounts.ended(account.as_ref(), &attempt, good, now);
            }
            EventBody::TasksAdded { tasks, .. } => run.tasks.extend(tasks.iter().map(RefTask::new)),
            EventBody::SessionStarted { session, task: Some(task), .. } => {
                live_session(run, task, *session)?;
            }
            EventBody::SessionBlocked { session, task: Some(task), prompt } => {
                let live = live_session(run, task, *session)?;
                live.blocked(prompt, now);
                run.asked |= live.is_away();
            }
            EventBody::SessionRecovered { session, task: Some(task), .. } => {
                live_session(run, task, *session)?.prompt = None;
            }
            EventBody::SessionEscalated { session, task: Some(task), item, .. } => {
                let spec = run.task(task)?.spec.clone();
                live_session(run, task, *session)?.escalates(&spec, item, now)?;
            }
            EventBody::TaskHandedIn { task, session, .. } => run.hands_in(task, *session)?,
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
        let run = self.runs.get(&id).ok_or("an unknown run")?;
        ensure(run.state == RunState::Running, || format!("the run is {}", run.state))?;
        let slots = run.holding_slots();
        let most = run.max_parallel as usize;
        let blocked = run.tasks.iter().any(|t| t.live.as_ref().is_some_and(RefLive::is_away));
        let ahead = self.ahead.get(&id).filter(|_| !blocked).map_or(0, |count| *count as usize);
        ensure(slots < most + ahead, || format!("{slots} of {most} slots and {ahead} ahead are taken"))?;
        ensure(grant.ahead == (slots >= most), || format!("says {}, with {slots} of {most}", grant.ahead))?;
        let task = run.task(&grant.task)?;
        let name = &grant.task;
        ensure(task.live.is_none(), || format!("{name} has a live grant"))?;
        ensure(task.state == TaskState::Queued, || format!("{name} is {}", task.state))?;
        ensure(task.waits.is_none(), || format!("{name} starts, but waits for {:?}", task.waits))?;
        let due = if task.approved.is_some() { run.list(task) } else { run.due(task) };
        // A handler's turn was decided when all others had ended; its session may have asked for more since.
        let due = if run.is_handler(name) { Due::Queue } else { due };
        ensure(due == Due::Queue, || format!("{name} starts with needs {:?}", run.needs(task)))?;
        let gate = task.spec.approval.is_none() || task.approved.is_some();
        ensure(gate, || format!("{name} starts, and nobody has approved it"))?;
        ensure(self.has_place(run, task), || format!("{name} starts above the limit of its group"))?;
        let free = |other: &&RefTask| self.accounts.is_free(other.spec.account.as_ref(), now);
        let mut others = run
            .tasks
            .iter()
            .filter(|other| other.could_start(now) && self.has_place(run, other) && free(other));
        let first = others.clone().map(|other| other.spec.priority).max();
        let first = others.find(|other| Some(other.spec.priority) == first).map(|other| &other.spec.id);
        ensure(first == Some(name), || format!("{name} starts before {first:?}"))?;
        ensure(!run.swept(task), || format!("{name} starts in a cancelled run"))?;
        ensure(now >= task.not_before_ms, || format!("{name} starts before {}", task.not_before_ms))?;
        ensure(grant.fence > task.fence, || format!("{name}: fence {} after {}", grant.fence, task.fence))?;
        ensure(grant.attempt == task.attempt + 1, || {
            format!("{name}: #{} after #{}", grant.attempt, task.attempt)
        })?;
        let run = self.runs.get_mut(&id).ok_or("an unknown run")?;
        let task = run.task_mut(&grant.task)?;
        (task.attempt, task.fence, task.state) = (grant.attempt, grant.fence, TaskState::Running);
        task.of_account = false;
        task.live = Some(RefLive::new(grant.session));
        task.newest = grant.attempt;
        let attempt = AttemptId { run: id, task: grant.task.clone(), number: grant.attempt };
        self.accounts.starts(task.spec.account.as_ref(), attempt, now)
    }

    /// A node that starts again does not know that the machine was short a moment ago, nor what its worker
    /// wished for.
    pub(crate) fn restarted(&mut self, now: TimestampMs) {
        self.held_until = 0;
        self.ahead.clear();
        self.accounts = RefAccounts::default();
        self.calm_until = now + 5000;
        self.runs.values_mut().for_each(RefRun::forgets_answers);
    }

    /// A session got on with an account.
    pub(crate) fn login_worked(&mut self, account: &str) {
        self.accounts.worked(account);
    }

    /// The answer of the file is given to a prompt.
    pub(crate) fn default_given(&mut self, attempt: &AttemptId, item: &InboxId, now: TimestampMs) -> Check {
        let task = self.runs.get_mut(&attempt.run).ok_or("an unknown run")?.task_mut(&attempt.task)?;
        let live = task.live.as_mut().ok_or_else(|| format!("{attempt} is answered, and is over"))?;
        live.given(&task.spec, item, now)
    }

    /// It was refused.
    pub(crate) fn default_refused(&mut self, attempt: &AttemptId, item: &InboxId) {
        let task = self.runs.get_mut(&attempt.run).and_then(|run| run.task_mut(&attempt.task).ok());
        if let Some(live) = task.filter(|task| task.attempt == attempt.number).and_then(|t| t.live.as_mut()) {
            live.refused(item);
        }
    }

    /// A kill that was accepted is stored before the signal is sent.
    pub(crate) fn must_be_stopping(&self, attempt: &AttemptId) -> Check {
        let task = self.runs[&attempt.run].task(&attempt.task)?;
        let known = task
            .live
            .as_ref()
            .is_some_and(|live| matches!(live.stop, Some(RefStop::Wanted | RefStop::HandedIn)));
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
            ensure(!run.goes() || run.tasks.iter().any(|t| !t.state.is_terminal()), || {
                format!("{id} does not end")
            })?;
            for task in &run.tasks {
                let name = &task.spec.id;
                let goes_on = task.items.is_some() && task.state == TaskState::Queued;
                let waits = matches!(task.state, TaskState::Pending | TaskState::Queued) && !goes_on;
                ensure(!(waits && run.swept(task)), || format!("{name} waits in a cancelled run"))?;
                if task.state == TaskState::Pending && run.state != RunState::Created {
                    let due = run.due(task);
                    ensure(due == Due::Nothing, || format!("{name} is pending, but {due:?} is due"))?;
                }
                if let Some(count) = task.items.filter(|_| goes_on) {
                    let verdict = run.verdict(name, count);
                    ensure(verdict.is_none(), || format!("{name} waits, but its items make it {verdict:?}"))?;
                }
                if let Some(Waits::Human(Some(until_ms))) = task.waits {
                    ensure(until_ms > now, || format!("{name} waits for approval beyond {until_ms}"))?;
                }
                if let Some(live) = task.live.as_ref().filter(|_| now >= self.calm_until) {
                    live.nothing_due(&task.spec, now).map_err(|wrong| format!("{id}: {name}: {wrong}"))?;
                }
                let could = task.could_start(now)
                    && self.accounts.is_free(task.spec.account.as_ref(), now)
                    && run.state == RunState::Running
                    && self.has_place(run, task)
                    && run.holding_slots() < run.max_parallel as usize;
                ensure(!(could && room), || format!("{id}: {name} could start and does not"))?;
            }
        }
        Ok(())
    }
}

fn is_decision(changes: &[TaskChange]) -> bool {
    let by_human =
        |end: &EndReason| matches!(end, EndReason::Rejected { .. } | EndReason::ApprovalTimeout { .. });
    changes.iter().any(|change| change.end.as_ref().is_some_and(by_human))
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
    if run.cancelling.is_none() {
        run.late = run.tasks.iter().all(|task| run.is_handler(&task.spec.id) || task.state.is_terminal());
    }
    run.cancelling = Some(match run.cancelling.take() {
        Some((first, _)) => (first, true),
        None => (reason.clone(), false),
    });
    let swept: Vec<bool> = run.tasks.iter().map(|t| run.swept(t)).collect();
    for (task, swept) in run.tasks.iter_mut().zip(swept) {
        if let Some(live) = task.live.as_mut().filter(|_| swept) {
            live.wanted();
        }
    }
    Ok(())
}

fn ended(run: &mut RefRun, state: RunState) -> Check {
    ensure(run.live() == 0, || "a session is live".to_owned())?;
    let open = run.tasks.iter().find(|t| !t.state.is_terminal());
    ensure(open.is_none(), || format!("{} is open", open.unwrap().spec.id))?;
    let expected = match run.ends_early() {
        Some(EndReason::RunTimeout) => RunState::Failed,
        Some(_) => RunState::Cancelled,
        None if run.count(TaskState::Error) > 0 => RunState::Error,
        None if run.count(TaskState::Failed) > 0 => RunState::Failed,
        None if run.count(TaskState::Cancelled) > 0 => RunState::Cancelled,
        None => RunState::Succeeded,
    };
    ensure(state == expected, || format!("ended as {state}, should be {expected}"))?;
    let cancelled = run.cancelling.take().map(|(reason, _)| (reason, run.late));
    (run.state, run.former) = (state, run.former.take().or(cancelled));
    Ok(())
}

/// A task whose `foreach` list is empty has outputs from its end on.
fn leaves_empty_lists(change: &TaskChange) -> bool {
    matches!(&change.end, Some(EndReason::Skipped { lists, .. }) if !lists.is_empty())
}
