//! The card of a run: one quiet message that is edited in place as the run goes on.
//!
//! Owns what it shows: state, progress, who waits for people, failures, what runs. When it is edited is
//! [`super::pace`]'s to say.

use serde_json::json;

use super::message::Message;
use super::on_machine::command_on_machine;
use super::page::{Page, Span, bold, code, own, said};
use crate::api::{RunView, TaskCounts, TaskView};
use crate::event::{RunState, TaskState};
use crate::ids::TimestampMs;
use crate::text;
use crate::text::clean;

/// Cells of the progress bar.
const BAR_CELLS: u32 = 20;
/// So many of those that wait, failed or run are named.
pub const NAMED_MAX: usize = 8;
/// A question or a reason is cut after so many characters: the whole of it stands elsewhere.
const WORDS_CHARS_MAX: usize = 160;
/// The same of names.
const NAME_CHARS_MAX: usize = 80;

/// What a card shows.
#[derive(Debug, Clone, Copy)]
pub struct Card<'a> {
    /// The run.
    pub run: &'a RunView,
    /// Its tasks, in the order of the file; those that neither wait, failed nor run may be left out, and of those that failed
    /// all but the first [`NAMED_MAX`].
    pub tasks: &'a [TaskView],
    /// The machine that it runs on, as people call it.
    pub node: Option<&'a str>,
    /// Unix ms.
    pub now: TimestampMs,
}

impl Card<'_> {
    /// As a message; edit the card with its `edit_of`.
    #[must_use]
    pub fn message(&self) -> Message {
        let run = self.run;
        Message::notice(self.page(true)).beside(
            "cis.dag.card",
            json!({ "v": 1, "run": run.id, "state": run.state, "counts": run.counts }),
        )
    }

    /// What it says but for the times that pass by themselves: while this stays the same, no edit is
    /// worth a message.
    #[must_use]
    pub fn essence(&self) -> String {
        self.page(false).write(0).body
    }

    /// As it stands in a room that its run has left: put in the card's place by its `edit_of`. That it goes on, and
    /// what waits in it, is not this room's any more.
    #[must_use]
    pub fn left(&self) -> Message {
        let mut page = Page::default();
        page.line(self.title(true));
        page.lines(self.progress());
        page.line([own("No longer followed here: what is above does not change any more.")]);
        let run = self.run;
        let beside = json!({ "v": 1, "run": run.id, "state": run.state, "counts": run.counts, "left": true });
        Message::notice(page).beside("cis.dag.card", beside)
    }

    fn page(&self, times: bool) -> Page {
        let mut page = Page::default();
        page.line(self.title(times));
        page.lines(self.progress());
        page.lines(self.waiting(times));
        page.lines(self.failed());
        page.lines(self.running(times));
        if let Some(detail) = self.run.detail.as_deref().filter(|_| self.run.state != RunState::Succeeded) {
            page.line([said(&brief(detail))]);
        }
        page
    }

    fn title(&self, times: bool) -> Vec<Span> {
        let run = self.run;
        let state = match run.state {
            state if run.cancelling && !state.is_terminal() => "is being cancelled",
            state => state.as_str(),
        };
        let mut line =
            vec![own(sign(run.state)), own(" "), bold(&name(&run.dag)), own(" "), code(&run.id.short())];
        line.extend([own(" "), bold(state)]);
        if let (true, Some(took)) = (times, took(run, self.now)) {
            line.extend([own(", "), said(&took)]);
        }
        if let Some(node) = self.node {
            line.extend([own(", on "), said(&name(node))]);
        }
        line
    }

    fn progress(&self) -> Vec<Vec<Span>> {
        let counts = &self.run.counts;
        let total: u32 = counts.values().sum();
        if total == 0 {
            return Vec::new();
        }
        let done = done(counts);
        let filled = share(done, total, BAR_CELLS);
        let (full, empty) = ("█".repeat(filled as usize), "░".repeat((BAR_CELLS - filled) as usize));
        let bar = format!("{full}{empty}");
        let percent = share(done, total, 100);
        vec![vec![code(&bar), own(" "), said(&format!("{percent} %"))], vec![said(&counted(counts))]]
    }

    fn waiting(&self, times: bool) -> Vec<Vec<Span>> {
        let waiting: Vec<&TaskView> =
            self.tasks.iter().filter(|task| task.waits.is_some() || task.approval.is_some()).collect();
        named("Waits for you:", &waiting, waiting.len(), |task| {
            let mut line = vec![bold(task.id.as_str())];
            if let Some(waits) = &task.waits {
                line.extend([own(" ("), own(waits.kind.as_str())]);
                if times {
                    line.extend([own(", "), said(&span(waits.since_ms, self.now))]);
                }
                line.extend([own(") "), said(&brief(&waits.question))]);
                line.extend(match command_on_machine(waits.kind, &waits.item, task.session) {
                    Some(command) => [own(" On its machine: "), code(&command)],
                    None => [own(" "), code(&format!("!cis answer {}", waits.item))],
                });
            } else if let Some(approval) = &task.approval {
                line.extend([own(" (approval) "), said(&brief(&approval.prompt))]);
                line.extend([own(" "), code(&format!("!cis approve {}:{}", self.run.id.short(), task.id))]);
            }
            line
        })
    }

    fn failed(&self) -> Vec<Vec<Span>> {
        let failed: Vec<&TaskView> = self
            .tasks
            .iter()
            .filter(|task| matches!(task.state, TaskState::Failed | TaskState::Error))
            .collect();
        named("Failed:", &failed, count_failed(&self.run.counts), |task| {
            vec![bold(task.id.as_str()), own(": "), said(&brief(&why_failed(task)))]
        })
    }

    fn running(&self, times: bool) -> Vec<Vec<Span>> {
        let running: Vec<&TaskView> =
            self.tasks.iter().filter(|task| task.state.is_active() && task.waits.is_none()).collect();
        named("Running:", &running, running.len(), |task| {
            let mut line = vec![bold(task.id.as_str())];
            if task.attempts > 1 {
                line.push(said(&format!(", try {}", task.attempts)));
            }
            if let (true, Some(started)) = (times, task.started_ms) {
                line.extend([own(", "), said(&span(started, self.now))]);
            }
            if let Some(said_last) = &task.said {
                let percent = said_last.percent.map(|percent| format!("{} %", percent.min(100)));
                line.push(own(": "));
                if let Some(percent) = percent {
                    line.extend([said(&percent), own(", ")]);
                }
                line.push(said(&brief(&said_last.text)));
            }
            line
        })
    }
}

/// A heading, and a line for each of the first ones of `all`.
fn named(
    heading: &'static str,
    tasks: &[&TaskView],
    all: usize,
    line: impl Fn(&TaskView) -> Vec<Span>,
) -> Vec<Vec<Span>> {
    if tasks.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![vec![own(heading)]];
    for task in tasks.iter().take(NAMED_MAX) {
        let mut spans = vec![own("• ")];
        spans.extend(line(task));
        lines.push(spans);
    }
    let more = all.saturating_sub(tasks.len().min(NAMED_MAX));
    if more > 0 {
        lines.push(vec![said(&format!("… and {more} more"))]);
    }
    lines
}

/// How many did not end well.
pub(super) fn count_failed(counts: &TaskCounts) -> usize {
    let of = |state| counts.get(&state).map_or(0, |count| *count as usize);
    of(TaskState::Failed) + of(TaskState::Error)
}

/// Why a task did not end well, in words.
pub(super) fn why_failed(task: &TaskView) -> String {
    match (&task.reason, task.exit_code) {
        (Some(reason), _) => reason.clone(),
        (None, Some(code)) => format!("exit code {code}"),
        (None, None) => task.state.to_string(),
    }
}

/// The sign of a run's state, as `cis dag watch` has it for tasks.
pub(super) fn sign(state: RunState) -> &'static str {
    match state {
        RunState::Created => "○",
        RunState::Running => "●",
        RunState::Paused => "‖",
        RunState::Succeeded => "✓",
        RunState::Failed => "✗",
        RunState::Error => "!",
        RunState::Cancelled => "■",
    }
}

/// `4/10 done, 2 running, 1 failed`.
pub(super) fn counted(counts: &TaskCounts) -> String {
    let total: u32 = counts.values().sum();
    let mut out = format!("{}/{total} done", done(counts));
    for (state, count) in counts {
        let told = !matches!(state, TaskState::Succeeded | TaskState::Completed);
        if told && *count > 0 {
            out.push_str(&format!(", {count} {state}"));
        }
    }
    out
}

/// How long a run took so far.
pub(super) fn took(run: &RunView, now: TimestampMs) -> Option<String> {
    run.runs_since_ms().map(|from| span(from, run.ended_ms.unwrap_or(now)))
}

/// Between two times, in words; never negative, as clocks are set.
pub(super) fn span(from: TimestampMs, to: TimestampMs) -> String {
    text::duration(u64::try_from(to.saturating_sub(from)).unwrap_or(0))
}

/// Names are short; what calls itself otherwise is cut.
pub(super) fn name(text: &str) -> String {
    clean::line(text, NAME_CHARS_MAX)
}

fn brief(words: &str) -> String {
    clean::line(words, WORDS_CHARS_MAX)
}

fn done(counts: &TaskCounts) -> u32 {
    counts.iter().filter(|(state, _)| state.is_terminal()).map(|(_, count)| count).sum()
}

/// `part` of `total` in parts of `of`, rounded down: full means all.
fn share(part: u32, total: u32, of: u32) -> u32 {
    u32::try_from(u64::from(part) * u64::from(of) / u64::from(total.max(1))).unwrap_or(of).min(of)
}

#[cfg(test)]
mod tests;
