//! What is said of a run in lines that stay: as things happen, and at the end.

use std::fmt::Write as _;

use cis_core::api::TimeView;
use cis_core::event::{RunState, SessionLimit, TaskState};
use cis_core::ids::{RunId, TimestampMs};
use cis_core::text;

use super::model::{Change, Failure, Model};
use crate::output::clean::{clean, clean_lines, in_one_line};
use crate::output::human::{span, sum};
use crate::output::style::{self, ATTENTION, BOLD, DIM};

/// A task that runs longer is mentioned where nothing is drawn, ms.
pub(crate) const LONG_MS: i64 = 10_000;
/// Lines of a failed task's log that are shown.
pub(crate) const LOG_LINES: usize = 10;

/// One line for one change; none where it is not worth one. `quiet` leaves successes out, where they are drawn.
pub(crate) fn change(model: &Model, change: &Change, quiet: bool) -> Option<String> {
    let line = match change {
        Change::Succeeded { .. } if quiet => return None,
        Change::Succeeded { task, took_ms } => {
            word(TaskState::Succeeded, &model.task(*task).name, *took_ms, "")
        }
        Change::Failed(failure) => failed(failure),
        // Without a try of their own they may be thousands, and the counts show them.
        Change::Ended { .. } if quiet => return None,
        Change::Ended { task, reason } => {
            let line = model.task(*task);
            let state = style::task(line.state);
            format!("{state}{:>10}{state:#} {} {DIM}{}{DIM:#}", line.state, line.name, clean(reason))
        }
        Change::Blocked { task } => {
            let line = model.task(*task);
            let prompt = line.blocked.as_deref().unwrap_or_default();
            format!("{ATTENTION}{:>10}{ATTENTION:#} {} {}", "blocked", line.name, in_one_line(prompt))
        }
        Change::Asked { task } => {
            let line = model.task(*task);
            let prompt = line.approval.as_deref().unwrap_or_default();
            format!(
                "{ATTENTION}{:>10}{ATTENTION:#} {} waits for approval: {} {DIM}(cis dag approve {}){DIM:#}",
                "approve?",
                line.name,
                in_one_line(prompt),
                line.name
            )
        }
        Change::Expiring { task, limit, left_ms } => {
            let (name, left) = (&model.task(*task).name, text::duration(*left_ms));
            let why = match limit {
                SessionLimit::Idle => format!("is idle, and ends in {left} unless something happens"),
                SessionLimit::Lifetime => format!("reaches its timeout in {left}"),
            };
            format!("{ATTENTION}{:>10}{ATTENTION:#} {name} {why}: cis dag attach {name}", "expiring")
        }
        Change::Cancelling { reason } => {
            format!(
                "{ATTENTION}{:>10}{ATTENTION:#} sessions are being ended: {}",
                "cancelling",
                clean(reason)
            )
        }
        Change::Paused => format!("{ATTENTION}{:>10}{ATTENTION:#} nothing new is started", "paused"),
        Change::Resumed => format!("{:>10} the run continues", "resumed"),
        Change::RunEnded => return None,
    };
    Some(line + "\n")
}

/// Whether a change is a failure, or requires action from a person.
pub(crate) fn needs_attention(change: &Change) -> bool {
    match change {
        Change::Failed(_) | Change::Blocked { .. } | Change::Asked { .. } | Change::Expiring { .. } => true,
        Change::Succeeded { .. }
        | Change::Ended { .. }
        | Change::Cancelling { .. }
        | Change::Paused
        | Change::Resumed
        | Change::RunEnded => false,
    }
}

fn word(state: TaskState, task: &str, took_ms: u64, note: &str) -> String {
    let style = style::task(state);
    format!("{style}{state:>10}{style:#} {task} {DIM}({}){DIM:#}{note}", text::duration(took_ms))
}

fn failed(failure: &Failure) -> String {
    let mut note = format!(": {}", clean(&failure.detail));
    if failure.attempt > 1 {
        let _ = write!(note, ", try {}", failure.attempt);
    }
    if failure.retry_at_ms.is_some() {
        note.push_str("; tried again");
        let (state, took) = (ATTENTION, text::duration(failure.took_ms));
        return format!(
            "{state}{:>10}{state:#} {} {DIM}({took}){DIM:#}{note}",
            "retry",
            clean(&failure.task)
        );
    }
    word(failure.state, &clean(&failure.task), failure.took_ms, &note)
}

/// The end of a failed task's log, indented.
pub(crate) fn log_tail(bytes: &[u8], cut: bool) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    // The first line may be half a line, or half a character.
    if cut && lines.len() > 1 {
        lines.remove(0);
    }
    while lines.last().is_some_and(|line| line.is_empty()) {
        lines.pop();
    }
    let skipped = lines.len().saturating_sub(LOG_LINES);
    let mut out = String::new();
    for line in &lines[skipped..] {
        let _ = writeln!(out, "           {DIM}│{DIM:#} {}", clean_lines(line));
    }
    out
}

/// A task that has been running for long.
pub(crate) fn long(model: &Model, index: usize, now: TimestampMs) -> String {
    let line = model.task(index);
    let state = style::task(line.state);
    format!(
        "{state}{:>10}{state:#} {} {DIM}(for {}){DIM:#}\n",
        "running",
        line.name,
        span(line.started_ms, now)
    )
}

/// What is said when the run ended.
pub(crate) fn summary(model: &Model, run: RunId, now: TimestampMs) -> String {
    let state = style::run(model.state);
    let mut out = String::new();
    let _ = write!(out, "{state}{:>10}{state:#} {BOLD}{}{BOLD:#}", model.state, clean(&model.dag));
    if let Some(started) = model.started_ms {
        let _ = write!(out, " in {}", span(started, model.ended_ms.unwrap_or(now)));
    }
    let _ = writeln!(out, ": {} {DIM}(run {}){DIM:#}", tally(model), run.short());
    if !model.detail.is_empty() {
        let _ = writeln!(out, "           {}", clean_lines(&model.detail));
    }
    if model.state != RunState::Succeeded {
        for failure in model.failures.values() {
            // The log of a task that could not start is empty.
            let verb = if failure.log_bytes > 0 { "logs" } else { "why" };
            let _ = writeln!(
                out,
                "           {}: {} {DIM}(cis dag {verb} {} --run {}){DIM:#}",
                clean(&failure.task),
                clean(&failure.detail),
                clean(&failure.task),
                run.short()
            );
        }
        let _ = writeln!(out, "           {DIM}again: cis dag retry {} --failed{DIM:#}", run.short());
    }
    out
}

/// Where its time went.
pub(crate) fn times(view: &TimeView) -> String {
    format!(
        "           {DIM}time:{DIM:#} {} {DIM}(cis dag show {} --time){DIM:#}\n",
        sum(view),
        view.run.short()
    )
}

/// `5 tasks, 3 succeeded, 2 failed`.
fn tally(model: &Model) -> String {
    let total = model.total();
    let mut out = format!("{total} task{}", if total == 1 { "" } else { "s" });
    for state in TaskState::ALL {
        let count = model.count(*state);
        if count > 0 {
            let _ = write!(out, ", {count} {state}");
        }
    }
    out
}
