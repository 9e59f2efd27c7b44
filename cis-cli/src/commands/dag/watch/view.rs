//! The view, drawn: what is known and where the person is in, cells out. Pure.
//!
//! Everything that comes from a file, a session or a person is cleaned before it gets here, or on the way.

mod detail;
mod list;
mod over;
mod top;

use std::collections::VecDeque;

use cis_core::event::TaskState;
use cis_core::ids::TimestampMs;
use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;
use ratatui_core::style::{Color, Modifier, Style};

use super::board::Board;
use super::ui::Ui;
use crate::progress::model::Index;

const PLAIN: Style = Style::new();
const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
const DIM: Style = Style::new().add_modifier(Modifier::DIM);
const GOOD: Style = Style::new().fg(Color::Green);
const BAD: Style = Style::new().fg(Color::Red).add_modifier(Modifier::BOLD);
const ACTIVE: Style = Style::new().fg(Color::Cyan);
const ATTENTION: Style = Style::new().fg(Color::Yellow).add_modifier(Modifier::BOLD);
const CHOSEN: Style = Style::new().add_modifier(Modifier::REVERSED);

/// From this width on, list and task stand side by side.
const BESIDE_COLS: u16 = 100;
/// From this height on, the task stands below the list.
const BELOW_ROWS: u16 = 18;

/// What is shown.
pub(super) struct Scene<'a> {
    pub(super) board: &'a Board,
    pub(super) ui: &'a mut Ui,
    /// What the chosen task printed.
    pub(super) output: &'a Output,
    pub(super) now: TimestampMs,
    /// The node does not answer.
    pub(super) away: bool,
}

/// The newest of what a task printed, or its screen.
#[derive(Debug, Default)]
pub(super) struct Output {
    /// Whose.
    pub(super) task: Option<Index>,
    /// Lines, cleaned.
    pub(super) lines: VecDeque<String>,
    /// Why there is nothing.
    pub(super) none: Option<String>,
}

/// Draws all of it.
pub(super) fn draw(buf: &mut Buffer, scene: &mut Scene<'_>) {
    let area = buf.area;
    if area.width < 8 || area.height < 3 {
        return;
    }
    let head = top::draw(buf, area, scene);
    let foot = Rect { y: area.bottom() - 1, height: 1, ..area };
    let body = Rect { y: area.y + head, height: area.height.saturating_sub(head + 1), ..area };
    if over::fills(buf, body, scene) {
        over::keys(buf, foot, scene);
        return;
    }
    let (list, detail) = parts(body, scene.ui.closer);
    if let Some(area) = list {
        list::draw(buf, area, scene);
    }
    if let Some(area) = detail {
        detail::draw(buf, area, scene, list.is_some());
    }
    over::draw(buf, body, scene);
    over::keys(buf, foot, scene);
}

/// Where list and task stand.
fn parts(body: Rect, closer: bool) -> (Option<Rect>, Option<Rect>) {
    if body.width >= BESIDE_COLS {
        let left = body.width * 11 / 20;
        let right = Rect { x: body.x + left, width: body.width - left, ..body };
        return (Some(Rect { width: left, ..body }), Some(right));
    }
    if body.height + 2 >= BELOW_ROWS {
        let below = (body.height * 9 / 20).max(8);
        let list = Rect { height: body.height - below, ..body };
        return (Some(list), Some(Rect { y: list.bottom(), height: below, ..body }));
    }
    if closer { (None, Some(body)) } else { (Some(body), None) }
}

/// How a state looks: a shape that is told from others without colours, and a style.
fn mark(state: TaskState, waits: bool) -> (&'static str, Style) {
    if waits {
        return ("?", ATTENTION);
    }
    match state {
        TaskState::Pending => ("·", DIM),
        TaskState::Queued => ("○", PLAIN),
        TaskState::Running => ("●", ACTIVE),
        TaskState::Processing => ("◐", ACTIVE),
        TaskState::Succeeded => ("✓", GOOD),
        TaskState::Completed => ("–", DIM),
        TaskState::Failed => ("✗", BAD),
        TaskState::Error => ("!", BAD),
        TaskState::Cancelled => ("■", ATTENTION),
    }
}

/// A line that is written from left to right.
struct Pen<'a> {
    buf: &'a mut Buffer,
    x: u16,
    y: u16,
    end: u16,
}

impl<'a> Pen<'a> {
    fn new(buf: &'a mut Buffer, area: Rect, row: u16) -> Self {
        Self { buf, x: area.x, y: area.y + row, end: area.right() }
    }

    fn put(&mut self, text: &str, style: Style) -> &mut Self {
        let room = self.end.saturating_sub(self.x);
        self.x = self.buf.set_stringn(self.x, self.y, text, room.into(), style).0;
        self
    }

    /// At most so many cells; what is cut ends with an ellipsis.
    fn put_cut(&mut self, text: &str, cells: u16, style: Style) -> &mut Self {
        let room = self.end.saturating_sub(self.x).min(cells);
        let cut = cut(text, room.into());
        self.x = self.buf.set_stringn(self.x, self.y, cut, room.into(), style).0;
        self
    }

    /// All that is left of the line.
    fn put_rest(&mut self, text: &str, style: Style) {
        self.put_cut(text, u16::MAX, style);
    }

    fn left(&self) -> u16 {
        self.end.saturating_sub(self.x)
    }

    fn to(&mut self, x: u16) -> &mut Self {
        self.x = self.x.max(x.min(self.end));
        self
    }
}

/// At most so many cells wide, the last an ellipsis where something is missing.
fn cut(text: &str, cells: usize) -> std::borrow::Cow<'_, str> {
    if width(text) <= cells {
        return text.into();
    }
    let (mut out, mut used) = (String::new(), 0);
    for c in text.chars() {
        let wide = width(c.encode_utf8(&mut [0; 4]));
        if used + wide + 1 > cells {
            break;
        }
        used += wide;
        out.push(c);
    }
    if cells > 0 {
        out.push('…');
    }
    out.into()
}

fn width(text: &str) -> usize {
    ratatui_core::text::Span::raw(text).width()
}

/// The number of an option, before its words.
fn numbered(number: Option<usize>) -> String {
    number.map_or_else(|| "-  ".to_owned(), |number| format!("{number}. "))
}

/// A rule with a title in it.
fn rule(buf: &mut Buffer, area: Rect, row: u16, title: &str) {
    let mut pen = Pen::new(buf, area, row);
    pen.put("── ", DIM);
    if !title.is_empty() {
        let room = pen.left().saturating_sub(4);
        pen.put_cut(title, room, BOLD).put(" ", PLAIN);
    }
    let rest = "─".repeat(pen.left().into());
    pen.put(&rest, DIM);
}

#[cfg(test)]
mod tests;
