//! How a run ends, once nothing of it is left to do.

use super::state::Run;
use crate::event::{EndReason, EventBody, RunState, TaskState};
use crate::text;

/// So many tasks are named where a run says what went wrong.
const NAMED_MAX: usize = 3;

/// The event that ends the run; none while a task of it is open.
///
/// Cancelled comes before error, error before failed. A task that somebody killed makes the run
/// cancelled where nothing worse happened.
pub(super) fn ending(run: &Run) -> Option<EventBody> {
    let waits_for_start = run.state() == RunState::Created && run.cancelling().is_none();
    if run.state().is_terminal() || waits_for_start || run.index.open() > 0 {
        return None;
    }
    let errors = named(run, TaskState::Error, "could not be run");
    let failures = named(run, TaskState::Failed, "failed");
    let both = || [&errors, &failures].map(String::as_str).into_iter().filter(|s| !s.is_empty());
    Some(match run.ends_early() {
        Some(EndReason::RunTimeout) => {
            let limit = text::duration(run.dag().timeout_ms.unwrap_or_default());
            let stopped = named(run, TaskState::Cancelled, "stopped or not started");
            let head = format!("took longer than its timeout of {limit}");
            let parts: Vec<&str> = [head.as_str()]
                .into_iter()
                .chain(both())
                .chain([stopped.as_str()])
                .filter(|s| !s.is_empty())
                .collect();
            EventBody::RunFailed { detail: parts.join("; ") }
        }
        Some(_) => EventBody::RunCancelled {},
        None if !errors.is_empty() => EventBody::RunErrored { detail: both().collect::<Vec<_>>().join("; ") },
        None if !failures.is_empty() => EventBody::RunFailed { detail: failures },
        None if run.count(TaskState::Cancelled) > 0 => EventBody::RunCancelled {},
        None => EventBody::RunCompleted {},
    })
}

/// ``2 tasks failed: `a` (exit code 1), `b` (timed out after 5.0s)``; empty where no task is in `state`.
/// Items are left out, as their task says how they stand.
fn named(run: &Run, state: TaskState, verb: &str) -> String {
    if run.count(state) == 0 {
        return String::new();
    }
    let mut list = Vec::new();
    let mut count = 0;
    for (spec, entry) in run.tasks().filter(|(spec, entry)| entry.state == state && spec.item.is_none()) {
        count += 1;
        if list.len() < NAMED_MAX {
            list.push(match &entry.end {
                Some(EndReason::RunCancelled | EndReason::RunTimeout | EndReason::NeedFailed { .. })
                | None => {
                    format!("`{}`", spec.id)
                }
                Some(end) => format!("`{}` ({end})", spec.id),
            });
        }
    }
    if count == 0 {
        return String::new();
    }
    if count > list.len() {
        list.push(format!("{} more", count - list.len()));
    }
    let noun = if count == 1 { "task" } else { "tasks" };
    format!("{count} {noun} {verb}: {}", list.join(", "))
}
