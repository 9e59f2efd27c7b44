//! The head: the run in a line, and who waits for a human.

use cis_core::event::{RunState, TaskState};
use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;
use ratatui_core::style::Style;

use super::{ACTIVE, ATTENTION, BAD, BOLD, DIM, GOOD, PLAIN, Pen, Scene, width};
use crate::output::clean::{clean, in_one_line};
use crate::output::human::span;

/// Draws it; how many lines it has.
pub(super) fn draw(buf: &mut Buffer, area: Rect, scene: &Scene<'_>) -> u16 {
    run(buf, area, scene);
    1 + if scene.board.model.state.is_terminal() {
        ended(buf, area, scene)
    } else {
        waiting(buf, area, scene)
    }
}

fn run(buf: &mut Buffer, area: Rect, scene: &Scene<'_>) {
    let model = &scene.board.model;
    let mut pen = Pen::new(buf, area, 0);
    pen.put(" ", PLAIN).put_cut(&clean(&model.dag), area.width / 4, BOLD);
    if area.width >= 60 {
        pen.put(" ", PLAIN).put(&scene.board.run.short(), DIM);
    }
    let (word, style) = state(scene);
    pen.put("  ", PLAIN).put(word, style).put("  ", PLAIN);
    pen.put(&format!("{}/{} done", model.done(), model.total()), PLAIN);
    for (state, style) in [
        (TaskState::Running, ACTIVE),
        (TaskState::Failed, BAD),
        (TaskState::Error, BAD),
        (TaskState::Cancelled, ATTENTION),
        (TaskState::Queued, DIM),
    ] {
        let part = format!(", {} {state}", model.count(state));
        // The time at the right is worth more than the last of these.
        if model.count(state) > 0 && usize::from(pen.left()) > width(&part) + 8 {
            pen.put(&part, style);
        }
    }
    let time =
        model.started_ms.map(|from| span(from, model.ended_ms.unwrap_or(scene.now))).unwrap_or_default();
    let at = area.right().saturating_sub(u16::try_from(width(&time)).unwrap_or(0) + 1);
    if at > pen.x {
        pen.to(at).put(&time, BOLD);
    }
}

fn state(scene: &Scene<'_>) -> (&'static str, Style) {
    let model = &scene.board.model;
    if scene.away {
        return ("node away", ATTENTION);
    }
    if model.cancelling && !model.state.is_terminal() {
        return ("cancelling", ATTENTION);
    }
    let style = match model.state {
        RunState::Created => DIM,
        RunState::Running => ACTIVE,
        RunState::Paused | RunState::Cancelled => ATTENTION,
        RunState::Succeeded => GOOD,
        RunState::Failed | RunState::Error => BAD,
    };
    (model.state.as_str(), style)
}

/// How it came out, and where its time went.
fn ended(buf: &mut Buffer, area: Rect, scene: &Scene<'_>) -> u16 {
    let model = &scene.board.model;
    let mut lines = Vec::new();
    if !model.detail.is_empty() {
        lines.push((clean(&model.detail.replace('\n', " ")).into_owned(), BAD));
    }
    let times = scene.board.critical.as_ref().map(super::detail::times).unwrap_or_default();
    if !times.is_empty() {
        lines.push((format!("on the critical path: {times}"), DIM));
    }
    lines.truncate(if area.height < 14 { 1 } else { 2 });
    for (row, (line, style)) in (1..).zip(&lines) {
        Pen::new(buf, area, row).put(" ", PLAIN).put_rest(line, *style);
    }
    u16::try_from(lines.len()).unwrap_or(0)
}

fn waiting(buf: &mut Buffer, area: Rect, scene: &Scene<'_>) -> u16 {
    let waiting = scene.board.waiting();
    if waiting.is_empty() {
        return 0;
    }
    let lines = match area.height {
        0..6 => return 0,
        6..14 => 1,
        14..30 => 3,
        _ => 6,
    };
    let shown = if waiting.len() > lines { lines.saturating_sub(1) } else { lines };
    let (mut row, mut names_at) = (1, 0);
    for index in waiting.iter().take(shown.max(1)) {
        let (line, more) = (scene.board.model.task(*index), &scene.board.more[*index]);
        let Some(asked) = more.open() else { continue };
        let mut pen = Pen::new(buf, area, row);
        pen.put(" ", PLAIN);
        if row == 1 {
            let word = if waiting.len() == 1 { "waits" } else { "wait" };
            pen.put(&format!("{} {word} for you: ", waiting.len()), ATTENTION);
            names_at = pen.x;
        } else {
            pen.to(names_at);
        }
        let by =
            asked.answered_by.as_deref().map(|by| format!(", answered by {}", clean(by))).unwrap_or_default();
        pen.put_cut(&line.name, 30, BOLD)
            .put(&format!(" ({}, {}{by})", asked.kind, span(asked.since_ms, scene.now)), DIM);
        if !asked.question.is_empty() {
            pen.put(" ", PLAIN).put_rest(&in_one_line(&asked.question), PLAIN);
        }
        row += 1;
    }
    let hidden = waiting.len() - shown.max(1).min(waiting.len());
    if hidden > 0 && lines > 1 {
        Pen::new(buf, area, row).to(names_at).put(&format!("and {hidden} more: w goes to them"), DIM);
        row += 1;
    }
    row - 1
}
