//! What is shown of a run's tasks: pure.

use cis_core::api::TaskView;
use cis_core::ids::TimestampMs;

use crate::theme::Mark;
use crate::widgets::{clock, has, lasted, one_line};

/// Of a reason so much is shown, characters.
const REASON_CHARS: usize = 200;

/// A task in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its place in the run.
    pub at: usize,
    /// Its name.
    pub name: String,
    /// How it stands.
    pub mark: Mark,
    /// Its state in a word.
    pub state: &'static str,
    /// How long its newest try has lasted; empty: there is none.
    pub lasted: String,
    /// Why it is in its state, where something is to be said.
    pub reason: String,
}

/// Whether a human is waited for.
#[must_use]
pub(super) fn waits(task: &TaskView) -> bool {
    task.waits.is_some() || task.approval.is_some()
}

/// How a task stands.
#[must_use]
pub(super) fn mark_of(task: &TaskView) -> Mark {
    Mark::of_task(task.state, waits(task))
}

/// Places of the tasks that are like this, in the order of the file.
#[must_use]
pub fn lines(tasks: &[TaskView], search: &str) -> Vec<usize> {
    let needle = search.trim().to_lowercase();
    let like = |task: &TaskView| {
        needle.is_empty() || has(task.id.as_str(), &needle) || task.state.as_str() == needle
    };
    tasks.iter().enumerate().filter(|(_, task)| like(task)).map(|(at, _)| at).collect()
}

/// A task as a line of the list.
#[must_use]
pub fn line(at: usize, task: &TaskView, now: TimestampMs) -> Line {
    // Cut before anything is copied: whoever said it may have said a megabyte.
    let cut = |text: &String| one_line(text, REASON_CHARS);
    let waits = task.waits.as_ref().map(|waits| {
        if waits.question.is_empty() { format!("waits: {}", waits.kind) } else { cut(&waits.question) }
    });
    let said = || task.said.as_ref().map(|said| cut(&said.text));
    Line {
        at,
        name: task.id.to_string(),
        mark: mark_of(task),
        state: task.state.as_str(),
        lasted: duration(task, now),
        reason: waits
            .or_else(|| task.approval.as_ref().map(|asked| cut(&asked.prompt)))
            .or_else(|| task.reason.as_ref().map(cut))
            .or_else(said)
            .unwrap_or_default(),
    }
}

/// How long the newest try of a task has lasted.
#[must_use]
pub(super) fn duration(task: &TaskView, now: TimestampMs) -> String {
    let Some(from) = task.started_ms else { return String::new() };
    task.ended_ms.map_or_else(|| clock(from, now).0, |ended| lasted(from, ended))
}
