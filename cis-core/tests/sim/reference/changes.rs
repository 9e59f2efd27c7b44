//! What lists of changes, results and retries may say.

use std::collections::BTreeSet;

use cis_core::dag::{RetryOn, RetryPolicy};
use cis_core::event::{
    AttemptOutcome, AttemptResult, EndReason, ExitStatus, FailureCause, PromptKind, QueueReason, RetryScope,
    RunState, TaskChange, TaskState,
};
use cis_core::ids::{TaskId, TimestampMs};
use serde_json::Value;

use super::accounts::RefAccounts;
use super::due::Due;
use super::prompts::RefStop;
use super::{Check, RefRun, RefTask, Waits, by_policy, ensure};

pub(super) fn status(
    run: &mut RefRun,
    changes: &[TaskChange],
    now: TimestampMs,
    accounts: &RefAccounts,
) -> Check {
    let mut asked: BTreeSet<TaskId> = BTreeSet::new();
    let mut held: BTreeSet<TaskId> = BTreeSet::new();
    for change in changes {
        let name = &change.task;
        let task = run.task_mut(name)?;
        let from = task.state;
        if from.is_active() && change.state == from {
            let live = task.live.as_mut().ok_or("active without a session")?;
            let reason = change.end.as_ref().ok_or("stopped for no reason")?;
            live.stopped(&task.spec, reason, now).map_err(|wrong| format!("{name}: {wrong}"))?;
            continue;
        }
        if from == TaskState::Queued && change.state == from {
            waits_otherwise(task, change, now, accounts)?;
            held.insert(name.clone());
            continue;
        }
        ensure(from.may_become(change.state) && !from.is_terminal(), || {
            format!("{name}: {from} to {}", change.state)
        })?;
        if change.state == TaskState::Processing {
            let live = task.live.as_mut().ok_or("processing without a session")?;
            (live.prompt, task.state) = (None, TaskState::Processing);
            continue;
        }
        if from.is_active() {
            // A grant that was refused: the task waits again, or is over if it was being stopped.
            let live = task.live.take().ok_or("active without a session")?;
            let stopped = live.stop.is_some();
            let expected = if stopped { TaskState::Cancelled } else { TaskState::Queued };
            ensure(change.state == expected, || format!("{name}: refused and {}", change.state))?;
        }
        if change.queued == Some(QueueReason::Withdrawn) {
            ensure(from == TaskState::Running, || format!("{name}: taken back from {from}"))?;
            task.attempt -= 1;
        }
        if matches!(task.waits, Some(Waits::Human(_))) {
            asked.insert(name.clone());
        }
        task.state = change.state;
        task.empty_list = super::leaves_empty_lists(change);
        task.waits = waits(change.queued.as_ref());
        if let Some(QueueReason::Resources { at_ms, .. }) = change.queued {
            task.not_before_ms = at_ms;
        }
    }
    // The list is one step: its reasons must hold once all of it is done.
    for change in changes.iter().filter(|change| !held.contains(&change.task)) {
        let task = run.task(&change.task)?;
        let fits = fits(run, task, change, asked.contains(&change.task), now)?;
        ensure(fits, || format!("{change:?} with needs {:?}", run.needs(task)))?;
    }
    Ok(())
}

/// It waits for its account, which is logged out, or no more for that.
fn waits_otherwise(
    task: &mut RefTask,
    change: &TaskChange,
    now: TimestampMs,
    accounts: &RefAccounts,
) -> Check {
    let (id, account) = (&task.spec.id, task.spec.account.as_ref());
    let right = match &change.queued {
        Some(QueueReason::Account { name, until_ms }) => {
            task.not_before_ms = *until_ms;
            account == Some(name) && *until_ms > now && !accounts.is_free(account, now)
        }
        Some(QueueReason::Slot) => task.spec.group.is_none() && task.of_account,
        Some(QueueReason::Group { name }) => task.spec.group.as_ref() == Some(name) && task.of_account,
        _ => false,
    };
    ensure(right && task.waits.is_none(), || format!("{id} waits for {:?}", change.queued))?;
    task.of_account = matches!(change.queued, Some(QueueReason::Account { .. }));
    if !task.of_account {
        task.not_before_ms = 0;
    }
    Ok(())
}

pub(super) fn waits(queued: Option<&QueueReason>) -> Option<Waits> {
    match queued {
        Some(QueueReason::Approval { until_ms, .. }) => Some(Waits::Human(*until_ms)),
        Some(QueueReason::Items { count }) => Some(Waits::Items(*count as usize)),
        _ => None,
    }
}

fn fits(
    run: &RefRun,
    task: &RefTask,
    change: &TaskChange,
    asked: bool,
    now: TimestampMs,
) -> Result<bool, String> {
    let group = |name: &String| task.spec.group.as_ref() == Some(name);
    let first = task.approved.is_none();
    Ok(match (&change.end, &change.queued, change.state) {
        (None, Some(QueueReason::Resources { .. } | QueueReason::Withdrawn), TaskState::Queued) => true,
        (None, Some(QueueReason::Approval { prompt, until_ms }), TaskState::Queued) => {
            let limit = task.spec.approval.as_ref().ok_or("asked without an approval")?.timeout_ms;
            let until = limit.map(|ms| now + i64::try_from(ms).unwrap());
            let said = *prompt == format!("Go on with {}?", task.spec.id) && *until_ms == until;
            said && first && run.due(task) == Due::Queue && !run.swept(task)
        }
        (None, Some(turn), TaskState::Queued) => {
            let right = match turn {
                QueueReason::Slot => task.spec.group.is_none(),
                QueueReason::Group { name } => group(name),
                _ => false,
            };
            right && task.spec.approval.is_none() && run.due(task) == Due::Queue && !run.swept(task)
        }
        (None, None, TaskState::Succeeded) => {
            task.items.is_some_and(|count| run.verdict(&task.spec.id, count) == Some(TaskState::Succeeded))
        }
        (None, None, TaskState::Processing) => true,
        (Some(EndReason::Items { .. }), _, state) => {
            task.items.is_some_and(|count| run.verdict(&task.spec.id, count) == Some(state))
        }
        (Some(EndReason::NeedFailed { need }), _, TaskState::Cancelled) => {
            let need = run.task(&TaskId::new(need).map_err(|e| e.to_string())?)?;
            need.state.is_terminal()
                && !need.state.counts_as_success()
                && task.spec.needs.contains(&need.spec.id)
        }
        (Some(EndReason::Skipped { lists, .. }), _, TaskState::Completed)
            if run.is_unmeant(&task.spec.id) =>
        {
            lists.is_empty()
        }
        (Some(EndReason::Skipped { lists, .. }), _, TaskState::Completed) => {
            let due = if task.approved.is_some() { run.list(task) } else { run.due(task) };
            let is_empty = run.list(task) == Due::Skip && lists.iter().eq(task.spec.outputs.keys());
            due == Due::Skip && (lists.is_empty() || is_empty)
        }
        (Some(EndReason::Expression { .. }), _, TaskState::Failed) => {
            let due = if task.approved.is_some() { run.list(task) } else { run.due(task) };
            due == Due::Undecided
        }
        (Some(EndReason::Rejected { .. }), _, TaskState::Failed) => asked && first,
        (Some(EndReason::ApprovalTimeout { .. }), _, TaskState::Failed) => asked && first,
        (Some(EndReason::RunCancelled | EndReason::RunTimeout), _, TaskState::Cancelled) => {
            run.cancelling.is_some()
        }
        (
            Some(
                EndReason::Killed
                | EndReason::Skipped { .. }
                | EndReason::Blocked { .. }
                | EndReason::LoggedOut { .. },
            ),
            _,
            TaskState::Running | TaskState::Processing,
        ) => true,
        (Some(EndReason::Killed), _, TaskState::Cancelled) => true,
        _ => false,
    })
}

/// A task becomes its items: the same that the reference makes of it.
pub(super) fn expanded(run: &mut RefRun, id: &TaskId, items: &[Value]) -> Check {
    let task = run.task(id)?;
    let waits =
        task.state == TaskState::Pending || (task.state == TaskState::Queued && task.approved.is_some());
    ensure(waits, || format!("{id} is {}", task.state))?;
    ensure(task.spec.approval.is_none() || task.approved.is_some(), || format!("{id} was not approved"))?;
    ensure(!run.swept(task), || format!("{id} becomes items in a cancelled run"))?;
    let due = if task.approved.is_some() { run.list(task) } else { run.due(task) };
    ensure(due == Due::Expand(items.len()), || format!("{id} becomes {items:?}, {due:?} is due"))?;
    let right: Vec<Value> = (0..items.len()).map(Value::from).collect();
    ensure(*items == *right, || format!("{id} becomes {items:?}"))?;
    let spec = task.spec.clone();
    let task = run.task_mut(id)?;
    (task.state, task.waits, task.items) =
        (TaskState::Queued, Some(Waits::Items(items.len())), Some(items.len()));
    for (number, value) in (1..).zip(items) {
        let name = TaskId::new(&format!("{id}.{number}")).unwrap();
        let item = cis_core::dag::Item { of: id.clone(), number, value: value.clone() };
        let fresh = cis_core::dag::Task {
            id: name.clone(),
            needs: Vec::new(),
            condition: None,
            foreach: None,
            approval: None,
            item: Some(item),
            ..spec.clone()
        };
        match run.task_mut(&name) {
            Ok(known) => {
                ensure(known.state == TaskState::Pending, || format!("{name} is {}", known.state))?;
                known.spec = fresh;
            }
            Err(_) => run.tasks.push(RefTask::new(&fresh)),
        }
        run.task_mut(&name)?.state = TaskState::Queued;
    }
    for task in &mut run.tasks {
        let over = |item: &cis_core::dag::Item| item.of == *id && item.number as usize > items.len();
        if task.spec.item.as_ref().is_some_and(over) {
            ensure(task.state == TaskState::Pending, || format!("{} is {}", task.spec.id, task.state))?;
            task.state = TaskState::Completed;
        }
    }
    Ok(())
}

pub(super) fn approved(run: &mut RefRun, id: &TaskId, by: &str) -> Check {
    let task = run.task_mut(id)?;
    let asked = matches!(task.waits, Some(Waits::Human(_))) && task.approved.is_none();
    ensure(asked, || format!("{id} is approved, but waits for {:?}", task.waits))?;
    (task.approved, task.waits) = (Some(by.to_owned()), None);
    if task.spec.foreach.is_some() {
        task.waits = Some(Waits::Items(0));
    }
    Ok(())
}

pub(super) fn retried(
    run: &mut RefRun,
    scope: &RetryScope,
    changes: &[TaskChange],
    now: TimestampMs,
) -> Check {
    ensure(run.state.is_terminal(), || "retried before its end".to_owned())?;
    let (whole, waiting) = chosen(run, scope);
    let said: BTreeSet<TaskId> = changes.iter().map(|c| c.task.clone()).collect();
    let right: BTreeSet<TaskId> = whole.union(&waiting).cloned().collect();
    ensure(said == right && !said.is_empty(), || format!("retries {said:?}, should be {right:?}"))?;
    for change in changes {
        let goes_on = !whole.contains(&change.task);
        let task = run.task_mut(&change.task)?;
        let state = if goes_on { TaskState::Queued } else { TaskState::Pending };
        ensure(change.state == state, || format!("{} is retried as {}", change.task, change.state))?;
        (task.state, task.waits) = (state, waits(change.queued.as_ref()));
        (task.failures, task.lost, task.not_before_ms, task.pid) = (0, 0, 0, None);
        (task.logins, task.of_account) = (0, false);
        if !goes_on {
            (task.items, task.approved) = (None, None);
        }
    }
    let only_handlers = changes.iter().all(|change| run.is_handler(&change.task));
    run.asked &= only_handlers;
    // What the other tasks called for before it was cancelled runs again, so that the run ends as if it had not been.
    let called = run.meant_by_tasks();
    let goes_back = |(reason, late): &(EndReason, bool)| {
        *late && called != run.meant_by(reason) && called.as_ref().is_some_and(|id| said.contains(id))
    };
    if !only_handlers || run.former.as_ref().is_some_and(goes_back) {
        run.former = None;
    }
    (run.state, run.cancelling, run.started, run.clock_from_ms) = (RunState::Running, None, true, now);
    Ok(())
}

/// Tasks that run again, and those that wait for items that do.
fn chosen(run: &RefRun, scope: &RetryScope) -> (BTreeSet<TaskId>, BTreeSet<TaskId>) {
    let (mut whole, mut waiting) = (BTreeSet::new(), BTreeSet::new());
    for task in &run.tasks {
        let begins = match scope {
            RetryScope::All => true,
            RetryScope::Failed => !task.state.counts_as_success(),
            RetryScope::From { task: from, also } => task.spec.id == *from || also.contains(&task.spec.id),
        };
        if begins && *scope == RetryScope::Failed && task.items.is_some() {
            waiting.insert(task.spec.id.clone());
        } else if begins {
            whole.insert(task.spec.id.clone());
        }
    }
    loop {
        let before = (whole.len(), waiting.len());
        for task in &run.tasks {
            let id = &task.spec.id;
            if task.spec.needs.iter().any(|need| whole.contains(need) || waiting.contains(need)) {
                whole.insert(id.clone());
            }
            let Some(item) = &task.spec.item else { continue };
            if whole.contains(&item.of) {
                whole.insert(id.clone());
            }
            if whole.contains(id) {
                let expanded = run.task(&item.of).unwrap().items.is_some();
                if expanded {
                    waiting.insert(item.of.clone())
                } else {
                    whole.insert(item.of.clone())
                };
            }
        }
        if before == (whole.len(), waiting.len()) {
            break;
        }
    }
    let is_other = |id: &TaskId| !run.is_handler(id);
    let others = whole.iter().any(is_other) || waiting.iter().any(is_other);
    let some = whole.iter().any(|id| run.is_handler(id));
    for task in run.tasks.iter().filter(|task| run.is_handler(&task.spec.id)) {
        if others || (some && run.on.always.as_ref() == Some(&task.spec.id)) {
            whole.insert(task.spec.id.clone());
        }
    }
    waiting.retain(|id| !whole.contains(id));
    (whole, waiting)
}

pub(super) fn result(run: &mut RefRun, r: &AttemptResult) -> Check {
    let swept = run.swept(run.task(&r.task)?);
    let task = run.task_mut(&r.task)?;
    let name = &r.task;
    let live = task.live.take().ok_or_else(|| format!("{name}: a result without a live attempt"))?;
    let same = live.session == r.session && task.attempt == r.attempt && task.fence == r.fence;
    ensure(same, || format!("{name}: a result of another attempt"))?;
    let stop = live.stop;
    let stopped = stop == Some(RefStop::Wanted);
    fits_the_stop(task, stop, &r.outcome)?;
    task.failures += u32::from(r.counts);
    let left = task.failures <= task.spec.retries.count && repeated(&task.spec.retries, &r.outcome);
    let lost = task.lost;
    let again = stop == Some(RefStop::LoggedOut { retryable: true }) && task.logins < 2;
    let expected = match &r.outcome {
        _ if stop == Some(RefStop::Skip) => TaskState::Completed,
        _ if again => TaskState::Queued,
        AttemptOutcome::Succeeded if r.cached.is_some() => TaskState::Completed,
        AttemptOutcome::Succeeded => TaskState::Succeeded,
        AttemptOutcome::Cancelled => TaskState::Cancelled,
        _ if stopped => TaskState::Cancelled,
        AttemptOutcome::Lost { .. } if task.spec.retry_lost && lost < 3 => TaskState::Queued,
        AttemptOutcome::Lost { .. } => TaskState::Error,
        outcome if by_policy(outcome) => TaskState::Error,
        _ if left => TaskState::Queued,
        // A missing program is the task's own failure. If the process has ended, the failure is the node's.
        AttemptOutcome::SpawnError { .. } if task.spec.allow_failure && r.exit.is_none() => {
            TaskState::Completed
        }
        AttemptOutcome::SpawnError { .. } => TaskState::Error,
        AttemptOutcome::Failed { .. } if task.spec.allow_failure => TaskState::Completed,
        AttemptOutcome::Failed { .. } => TaskState::Failed,
    };
    // What was handed in stays so when the run ends, but is not tried again then.
    let over = swept && expected == TaskState::Queued;
    let expected = if over { TaskState::Cancelled } else { expected };
    ensure(r.state == expected, || {
        format!("{name}: {} makes it {}, should be {expected}", r.outcome.word(), r.state)
    })?;
    let fault = matches!(r.outcome, AttemptOutcome::Failed { .. } | AttemptOutcome::SpawnError { .. });
    let counts = fault && !stopped && !again && !over && stop != Some(RefStop::Skip);
    ensure(r.counts == counts, || format!("{name}: counts {}", r.counts))?;
    if again {
        task.logins += 1;
    } else if r.counts || r.state.is_terminal() {
        task.logins = 0;
    }
    task.lost += u32::from(matches!(r.outcome, AttemptOutcome::Lost { .. }));
    task.not_before_ms = match r.queued {
        Some(QueueReason::RetryAt { at_ms, .. }) => at_ms,
        _ => 0,
    };
    if r.state.counts_as_success() {
        task.pid = r.outputs.get("pid").and_then(|record| record.value.as_i64());
    }
    task.state = r.state;
    Ok(())
}

/// Why a session was stopped decides what its end counts as.
fn fits_the_stop(task: &RefTask, stop: Option<RefStop>, outcome: &AttemptOutcome) -> Check {
    let cause = match outcome {
        AttemptOutcome::Failed { cause } => Some(cause),
        _ => None,
    };
    let right = match stop {
        Some(RefStop::Fail(kind)) => {
            matches!(cause, Some(FailureCause::Blocked { prompt, .. }) if *prompt == kind)
        }
        Some(RefStop::LoggedOut { retryable }) => match cause {
            Some(FailureCause::Login { tries, detail, .. }) => {
                let over = retryable && *tries == 3;
                *tries == task.logins + 1 && detail.contains("MAX_ATTEMPTS_EXCEEDED") == over
            }
            _ => false,
        },
        Some(RefStop::HandedIn) => match outcome {
            AttemptOutcome::Succeeded | AttemptOutcome::SpawnError { .. } => true,
            AttemptOutcome::Lost { .. } => !task.spec.outputs.is_empty() || !task.spec.artifacts.is_empty(),
            _ => false,
        },
        _ => !matches!(cause, Some(FailureCause::Blocked { .. } | FailureCause::Login { .. })),
    };
    ensure(right, || format!("{}: stopped for {stop:?}, and {outcome:?}", task.spec.id))
}

fn repeated(policy: &RetryPolicy, outcome: &AttemptOutcome) -> bool {
    let is = |on: &RetryOn| match outcome {
        AttemptOutcome::SpawnError { .. } => *on == RetryOn::Error,
        AttemptOutcome::Failed { cause: FailureCause::Exit { status: ExitStatus::Code(code) } } => {
            *on == RetryOn::Exit(*code)
        }
        AttemptOutcome::Failed { cause: FailureCause::Exit { .. } } => *on == RetryOn::Signal,
        AttemptOutcome::Failed { cause: FailureCause::Timeout { .. } } => *on == RetryOn::Timeout,
        AttemptOutcome::Failed { cause: FailureCause::Blocked { prompt, .. } } => {
            *on == RetryOn::Blocked || (*on == RetryOn::RateLimit && *prompt == PromptKind::RateLimit)
        }
        AttemptOutcome::Failed { cause: FailureCause::Login { .. } } => *on == RetryOn::Login,
        _ => false,
    };
    let login = matches!(outcome, AttemptOutcome::Failed { cause: FailureCause::Login { .. } });
    (policy.on.is_empty() && !login) || policy.on.iter().any(is)
}
