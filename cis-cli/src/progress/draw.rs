//! The part of the terminal that changes while a run runs: a line per running task, and one of the whole.
//! Pure: the model, the time and the terminal's size in, lines out.

use std::fmt::Write as _;

use cis_core::api::TermSize;
use cis_core::event::TaskState;
use cis_core::ids::TimestampMs;
use cis_core::text::cells;

use super::model::Model;
use crate::output::clean::{clean, in_one_line};
use crate::output::human::span;
use crate::output::style::{self, ATTENTION, BOLD, DIM};
use crate::output::table::cut;

/// Lines for running tasks at most, whatever the terminal's height.
const LINES_MAX: usize = 12;

/// So much of a prompt is shown at least.
const PROMPT_CELLS_MIN: usize = 8;

/// Lines for a terminal of that size, none longer than it is wide.
pub(crate) fn frame(model: &Model, now: TimestampMs, size: TermSize, away: bool) -> Vec<String> {
    let room = usize::from(size.rows).saturating_sub(3).min(LINES_MAX);
    let width = usize::from(size.cols).saturating_sub(1);
    let mut lines = Vec::new();
    if room == 0 {
        // Beside the cursor's row there is one for the whole at most.
        return vec![whole(model, now, width, away)];
    }
    // Those that wait for a human are what a person can do something about: first.
    for index in model.asked.iter().take(room.saturating_sub(1).max(1)) {
        lines.push(asked(model, *index, width));
    }
    let room = room.saturating_sub(lines.len()).max(1);
    let blocked = model.running.iter().filter(|index| model.task(**index).blocked.is_some());
    let others = model.running.iter().filter(|index| model.task(**index).blocked.is_none());
    let shown = if model.running.len() > room { room.saturating_sub(1) } else { room };
    for index in blocked.chain(others).take(shown) {
        lines.push(task(model, *index, now, width));
    }
    if model.running.len() > shown {
        lines.push(format!("           {DIM}and {} more{DIM:#}", model.running.len() - shown));
    }
    lines.push(whole(model, now, width, away));
    lines
}

fn task(model: &Model, index: usize, now: TimestampMs, width: usize) -> String {
    let line = model.task(index);
    let (word, style) = match line.blocked {
        Some(_) => ("blocked", ATTENTION),
        None => (line.state.as_str(), style::task(line.state)),
    };
    let mut rest = format!("{} {}", line.name, span(line.started_ms, now));
    if line.attempt > 1 {
        let _ = write!(rest, ", try {}", line.attempt);
    }
    if let Some(prompt) = &line.blocked {
        let _ = write!(rest, ", {}", in_one_line(prompt));
    }
    format!("{style}{word:>10}{style:#} {}", cut(&rest, width.saturating_sub(11)))
}

fn asked(model: &Model, index: usize, width: usize) -> String {
    let line = model.task(index);
    let prompt = line.approval.as_deref().unwrap_or_default();
    let (before, after) = (format!("{}: ", line.name), format!(": cis dag approve {}", line.name));
    // The command is what a person needs: the prompt is cut.
    let room = width.saturating_sub(11);
    let prompt =
        cut(&in_one_line(prompt), room.saturating_sub(cells(&before) + cells(&after)).max(PROMPT_CELLS_MIN));
    let rest = format!("{before}{prompt}{after}");
    format!("{ATTENTION}{:>10}{ATTENTION:#} {}", "approve?", cut(&rest, room))
}

fn whole(model: &Model, now: TimestampMs, width: usize, away: bool) -> String {
    let word = if away {
        "node away"
    } else if model.cancelling {
        "cancelling"
    } else {
        model.state.as_str()
    };
    let style = if away || model.cancelling { ATTENTION } else { style::run(model.state) };
    let mut rest = format!("{}/{} done", model.done(), model.total());
    for state in [TaskState::Failed, TaskState::Error, TaskState::Cancelled, TaskState::Queued] {
        let count = model.count(state);
        if count > 0 {
            let _ = write!(rest, ", {count} {state}");
        }
    }
    if let Some(started) = model.started_ms {
        let _ = write!(rest, ", {}", span(started, now));
    }
    let name = cut(&clean(&model.dag), width.saturating_sub(11).min(30));
    let left = width.saturating_sub(12 + cells(&name));
    format!("{style}{word:>10}{style:#} {BOLD}{name}{BOLD:#} {}", cut(&rest, left))
}
