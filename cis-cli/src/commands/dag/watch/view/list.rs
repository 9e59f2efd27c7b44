//! The tree of tasks.

use cis_core::event::TaskState;
use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;

use super::{ATTENTION, BOLD, CHOSEN, DIM, PLAIN, Pen, Scene, mark, rule, width};
use crate::commands::dag::watch::board::Board;
use crate::commands::dag::watch::board::tree::{Counts, Filter, Key, Row};
use crate::output::clean::clean;
use crate::output::human::span;
use crate::progress::model::Index;

/// Levels are told apart up to here; deeper ones say how deep they are.
const LEVELS_MAX: u16 = 8;
/// So wide is the column of times.
const TIME_CELLS: u16 = 9;

pub(super) fn draw(buf: &mut Buffer, area: Rect, scene: &mut Scene<'_>) {
    let inner = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
    scene.ui.scroll(inner.height.into());
    rule(buf, area, 0, &title(scene));
    if scene.ui.rows.is_empty() {
        let text = if scene.board.more.is_empty() { "no tasks" } else { "no such task" };
        Pen::new(buf, inner, 0).put(" ", PLAIN).put(text, DIM);
        return;
    }
    let levels = LEVELS_MAX.min(area.width / 12);
    let rows = scene.ui.rows.iter().enumerate().skip(scene.ui.top).take(inner.height.into());
    for (y, (at, row)) in (0..inner.height).zip(rows) {
        let line = Rect { y: inner.y + y, height: 1, ..inner };
        one(buf, line, scene, row, levels);
        if at == scene.ui.at {
            buf.set_style(line, CHOSEN);
        }
    }
}

fn title(scene: &Scene<'_>) -> String {
    let ui = &scene.ui;
    let mut parts = Vec::new();
    if ui.filter != Filter::All {
        parts.push(ui.filter.as_str().to_owned());
    }
    if ui.searching || !ui.search.is_empty() {
        parts.push(format!("/{}{}", clean(&ui.search), if ui.searching { "▏" } else { "" }));
    }
    if ui.rows.len() > ui.page {
        parts.push(format!("{}/{}", ui.at + 1, ui.rows.len()));
    }
    if parts.is_empty() { "tasks".to_owned() } else { format!("tasks: {}", parts.join(" ")) }
}

fn one(buf: &mut Buffer, line: Rect, scene: &Scene<'_>, row: &Row, levels: u16) {
    let mut pen = Pen::new(buf, line, 0);
    pen.put(" ", PLAIN);
    lanes(&mut pen, row, levels);
    match row.key {
        Key::Task(index) => task(&mut pen, scene, row, index),
        Key::Rest(_) => match &row.folded {
            Some(counts) => {
                pen.put("+ ", BOLD).put_rest(&format!("{} more: {}", sum(counts), words(counts)), DIM);
            }
            None => pen.put("− ", BOLD).put_rest("fewer", DIM),
        },
    }
}

/// What stands above it, as lines that go down.
fn lanes(pen: &mut Pen<'_>, row: &Row, levels: u16) {
    if row.depth == 0 {
        return;
    }
    if row.depth > levels {
        pen.put(&format!("»{} ", row.depth), DIM);
        return;
    }
    for level in 1..row.depth {
        pen.put(if row.lanes >> level & 1 == 1 { "│ " } else { "  " }, DIM);
    }
    pen.put(if row.last { "└ " } else { "├ " }, DIM);
}

fn task(pen: &mut Pen<'_>, scene: &Scene<'_>, row: &Row, index: Index) {
    let board = scene.board;
    let (line, more) = (board.model.task(index), &board.more[index]);
    let waits = more.stopped();
    let (shape, style) = mark(line.state, waits);
    let time = elapsed(board, index, scene.now);
    let time_at = pen.end.saturating_sub(TIME_CELLS);
    let end = std::mem::replace(&mut pen.end, time_at.saturating_sub(1));
    pen.put(shape, style).put(" ", PLAIN);
    let name_style = if line.state == TaskState::Pending { DIM } else { PLAIN };
    pen.put_rest(&line.name, name_style);
    if let Some(counts) = &row.folded {
        pen.put(" ", PLAIN).put("+", BOLD).put_rest(&format!(" {}", words(counts)), DIM);
    }
    if line.attempt > 1 {
        pen.put(&format!(" try {}", line.attempt), ATTENTION);
    }
    if let Some(asked) = more.open() {
        pen.put(" ", PLAIN).put_rest(asked.kind.as_str(), ATTENTION);
    } else if let Some(percent) =
        more.said.as_ref().and_then(|said| said.percent).filter(|_| line.state.is_active())
    {
        pen.put(&format!(" {percent} %"), DIM);
    } else if !more.reason.is_empty() && more.items == 0 {
        pen.put(" ", PLAIN).put_rest(&clean(&more.reason), DIM);
    }
    pen.end = end;
    let right = end.saturating_sub(u16::try_from(width(&time)).unwrap_or(0) + 1);
    pen.to(right.max(time_at)).put(&time, DIM);
}

/// How long its newest try has taken.
fn elapsed(board: &Board, index: Index, now: i64) -> String {
    let (line, more) = (board.model.task(index), &board.more[index]);
    if line.started_ms == 0 || line.state == TaskState::Pending {
        return String::new();
    }
    match (line.state.is_active(), more.ended_ms) {
        (true, _) => span(line.started_ms, now),
        (false, Some(ended)) => span(line.started_ms, ended),
        (false, None) => String::new(),
    }
}

fn sum(counts: &Counts) -> u32 {
    counts.iter().sum()
}

/// `3/10 succeeded, 1 failed`: what is folded away, by state.
fn words(counts: &Counts) -> String {
    let part = |state: &TaskState| {
        let count = counts[*state as usize];
        (count > 0).then(|| format!("{count} {state}"))
    };
    let order = [
        TaskState::Failed,
        TaskState::Error,
        TaskState::Running,
        TaskState::Processing,
        TaskState::Queued,
        TaskState::Succeeded,
        TaskState::Completed,
        TaskState::Cancelled,
        TaskState::Pending,
    ];
    order.iter().filter_map(part).collect::<Vec<_>>().join(", ")
}
