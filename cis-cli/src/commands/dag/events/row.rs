//! An event as a line for people, and filters of events. Knows nothing of the node.

use std::borrow::Cow;

use cis_core::event::{Event, EventBody, TaskChange};
use cis_core::ids::{TaskId, TimestampMs};
use serde_json::Value;

use crate::output::clean::clean;
use crate::output::human::{actor, moment};
use crate::output::style::DIM;

/// Prefix of all event types.
const PREFIX: &str = "cis.dag.";
/// Maximum number of tasks that one line names.
const NAMED_MAX: usize = 3;
/// Maximum length of the details, characters. Longer details are cut.
const DETAIL_CHARS_MAX: usize = 120;

/// A filter of event types: one type, or all types of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TypeFilter(String);

impl TypeFilter {
    /// Parses `task.result`, `cis.dag.task.result`, or `task` for all types of that kind.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let name = text.strip_prefix(PREFIX).unwrap_or(text);
        let plain = |c: char| c.is_ascii_lowercase() || matches!(c, '_' | '.');
        let kind = name.split('.').next().unwrap_or_default();
        if !matches!(kind, "run" | "task" | "session" | "node") || !name.chars().all(plain) {
            return Err("expected a type such as `task.result`, or one of run, task, session".to_owned());
        }
        Ok(Self(name.to_owned()))
    }

    pub(super) fn fits(&self, type_name: &str) -> bool {
        let name = type_name.strip_prefix(PREFIX).unwrap_or(type_name);
        name.strip_prefix(self.0.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }
}

/// Whether an event is about a task or an item of it. Works for unknown event types, too.
pub(super) fn concerns(event: &Event, task: &TaskId) -> bool {
    tasks(event).iter().any(|of| of.is_or_is_item_of(task))
}

fn tasks(event: &Event) -> Vec<TaskId> {
    let body: Value = serde_json::from_str(event.body.get()).unwrap_or_default();
    let one = |value: &Value| value.as_str().and_then(|id| TaskId::new(id).ok());
    let list = |name: &str| body[name].as_array().into_iter().flatten();
    let changed = list("changes").map(|change| &change["task"]);
    let added = list("tasks").map(|task| &task["id"]);
    [&body["task"], &body["parent"]].into_iter().chain(changed).chain(added).filter_map(one).collect()
}

/// Whether the run ends with this event.
pub(super) fn ends_run(event: &Event) -> bool {
    let ends = ["run.completed", "run.failed", "run.error", "run.cancelled"];
    event.type_name.strip_prefix(PREFIX).is_some_and(|name| ends.contains(&name))
}

/// Returns the header line.
pub(super) fn head() -> String {
    format!("{DIM}{:<24}  {:<20}  {:<16}  {:<16}  DETAIL{DIM:#}\n", "TIME", "TYPE", "TASK", "BY")
}

/// Returns the line of an event.
pub(super) fn row(event: &Event) -> String {
    let name = event.type_name.strip_prefix(PREFIX).unwrap_or(&event.type_name);
    let ids: Vec<String> = tasks(event).iter().map(ToString::to_string).collect();
    let mut named = ids.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
    if ids.len() > NAMED_MAX {
        named.push_str(&format!(", {} more", ids.len() - NAMED_MAX));
    }
    let by = event.actor.as_ref().map(actor).unwrap_or_default();
    let mut detail = detail(event);
    if let Some((end, _)) = detail.char_indices().nth(DETAIL_CHARS_MAX) {
        detail.truncate(end);
        detail.push('…');
    }
    let line = format!(
        "{DIM}{}{DIM:#}  {:<20}  {:<16}  {:<16}  {}",
        moment(event.at_ms),
        clean(name),
        named,
        clean(&by),
        clean(&detail)
    );
    line.trim_end().to_owned() + "\n"
}

/// Returns the details of an event in a few words; nothing for unknown types.
fn detail(event: &Event) -> String {
    let Ok(body) = event.decode() else { return String::new() };
    match body {
        EventBody::RunCreated(facts) => format!("{}, {} tasks", facts.dag, facts.tasks),
        EventBody::RunCancelling { reason } => reason.to_string(),
        EventBody::RunFailed { detail } | EventBody::RunErrored { detail } => one_line(&detail),
        EventBody::RunModeChanged { mode, room } => {
            room.map_or_else(|| mode.to_string(), |room| format!("{mode}, room {room}"))
        }
        EventBody::RunRetried { changes, .. } => format!("{} tasks", changes.len()),
        EventBody::TaskStatus { changes } => {
            changes.first().map(|one| change(one, event.at_ms)).unwrap_or_default()
        }
        EventBody::TaskAssigned(grant) => format!("attempt {}", grant.attempt),
        EventBody::TaskResult(result) => {
            let (word, why) = (result.outcome.word(), one_line(&result.outcome.detail()));
            if why.is_empty() { word.to_owned() } else { format!("{word}: {why}") }
        }
        EventBody::TasksAdded { tasks, .. } => format!("{} tasks", tasks.len()),
        EventBody::TaskExpanded { items, .. } => format!("{} items", items.len()),
        EventBody::TaskHandedIn { text, .. } => one_line(&text.unwrap_or_default()),
        EventBody::TaskApproved { comment, .. } => one_line(&comment.unwrap_or_default()),
        EventBody::SessionStarted { pid: 0, .. } => "on another node".to_owned(),
        EventBody::SessionStarted { pid, .. } => format!("pid {pid}"),
        EventBody::SessionBlocked { prompt, .. } => {
            format!("{}: {}", prompt.kind, one_line(&prompt.question))
        }
        EventBody::SessionAsked { ask, .. } => one_line(&ask.text),
        EventBody::AskWithdrawn { detail, .. } | EventBody::AnswerVoid { detail, .. } => one_line(&detail),
        EventBody::SessionSaid { said, .. } => format!("{}: {}", said.kind, one_line(&said.text)),
        EventBody::SessionAnswered { answer, .. } => one_line(&answer.text),
        EventBody::SessionInput { bytes, .. } => format!("{bytes} bytes"),
        EventBody::AccessDenied { action, detail } => format!("{action}: {}", one_line(&detail)),
        _ => String::new(),
    }
}

fn change(change: &TaskChange, at_ms: TimestampMs) -> String {
    let why = cis_core::live::reason(change.end.as_ref(), change.queued.as_ref(), at_ms);
    match (&change.end, why) {
        (Some(end), _) => format!("{}: {}", change.state, one_line(&end.to_string())),
        (None, Some(why)) if change.queued.is_some() => format!("{}: {}", change.state, one_line(&why)),
        _ => change.state.to_string(),
    }
}

fn one_line(text: &str) -> String {
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    let more: Cow<'_, str> =
        if lines.next().is_some() { format!("{first} …").into() } else { first.into() };
    more.into_owned()
}

#[cfg(test)]
mod tests;
