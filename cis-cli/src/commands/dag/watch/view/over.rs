//! What stands over the list: help, questions, answers, logs; and the line at the bottom.

use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;
use ratatui_core::style::Style;

use super::detail::question;
use super::{ATTENTION, BAD, BOLD, CHOSEN, DIM, GOOD, PLAIN, Pen, Scene, numbered, rule, width};
use crate::commands::dag::watch::ui::Over;
use crate::commands::dag::watch::ui::form::Form;
use crate::output::clean::clean;

/// What the keys do.
const HELP: [(&str, &str); 16] = [
    ("↑ ↓ j k", "another task; PgUp, PgDn, Home, End"),
    ("→ ← space", "unfold, fold"),
    ("Enter", "attach to its session; of an ended one, its log"),
    ("a", "answer what it asks"),
    ("w", "the next one that waits for you"),
    ("l", "what it printed"),
    ("/", "search by name; Esc ends it"),
    ("f", "all, active, failed, waiting"),
    ("Tab", "the task instead of the list, where both have no room"),
    ("p", "pause, go on"),
    ("c", "cancel the run"),
    ("r", "run tasks of an ended run again"),
    ("?", "this"),
    ("q Ctrl-C", "leave; the run continues"),
    ("", "· pending  ○ queued  ● running  ◐ collecting  ? waits for you"),
    ("", "✓ succeeded  – completed  ✗ failed  ! error  ■ cancelled"),
];

/// Draws what takes all of the body; whether there is such a thing.
pub(super) fn fills(buf: &mut Buffer, body: Rect, scene: &mut Scene<'_>) -> bool {
    let Some(Over::Log(log)) = &mut scene.ui.over else { return false };
    let name = &scene.board.model.task(log.task).name;
    let end = if log.ended { "" } else { ", goes on" };
    let up = if log.up > 0 { format!(", {} lines up", log.up) } else { String::new() };
    rule(buf, body, 0, &format!("log of {name}: {} lines{end}{up}", log.len()));
    let inner = Rect { y: body.y + 1, height: body.height.saturating_sub(1), ..body };
    scene.ui.page = usize::from(inner.height).max(1);
    for (row, line) in (0..inner.height).zip(log.in_sight(inner.height.into())) {
        Pen::new(buf, inner, row).put_rest(line, PLAIN);
    }
    true
}

/// Draws what stands in a box.
pub(super) fn draw(buf: &mut Buffer, body: Rect, scene: &Scene<'_>) {
    let room = usize::from(body.width.saturating_sub(4));
    let (title, lines) = match &scene.ui.over {
        Some(Over::Help) => ("keys", help()),
        Some(Over::Cancel) => {
            let text =
                "Its sessions are ended, and nothing more is started. y cancels, any other key does not.";
            ("cancel the run?", text_lines(text, room))
        }
        Some(Over::Retry) => ("run again?", retry(scene)),
        Some(Over::Answer(form)) => {
            let name = &scene.board.model.task(form.task).name;
            return boxed(buf, body, &format!("answer {name}: {}", form.asked.kind), &answer(form, room));
        }
        Some(Over::Log(_)) | None => return,
    };
    boxed(buf, body, title, &lines);
}

fn text_lines(text: &str, room: usize) -> Vec<(String, Style)> {
    cis_core::text::wrapped(text, room.max(10)).into_iter().map(|line| (line, PLAIN)).collect()
}

fn help() -> Vec<(String, Style)> {
    HELP.iter().map(|(keys, what)| (format!("{keys:<10} {what}"), PLAIN)).collect()
}

fn retry(scene: &Scene<'_>) -> Vec<(String, Style)> {
    let mut lines = vec![("f  those that did not succeed".to_owned(), PLAIN), ("a  all".to_owned(), PLAIN)];
    if let Some(index) = scene.ui.task() {
        lines.push((format!("t  {} and what needs it", scene.board.model.task(index).name), PLAIN));
    }
    lines.push(("any other key: nothing".to_owned(), DIM));
    lines
}

fn answer(form: &Form, room: usize) -> Vec<(String, Style)> {
    let mut lines: Vec<(String, Style)> =
        question(&form.asked.question, room).into_iter().map(|line| (line, BOLD)).collect();
    if let Some(by) = &form.asked.answered_by {
        lines.push((format!("Answered by {}, and still there.", clean(by)), ATTENTION));
    }
    if let Some(words) = &form.words {
        let what = if form.is_refusal() { "Why not: " } else { "In words: " };
        // The end is what is being typed.
        let shown: Vec<char> = words.chars().collect();
        let from = shown.len().saturating_sub(room.saturating_sub(what.len() + 2));
        lines.push((format!("{what}{}▏", clean(&shown[from..].iter().collect::<String>())), PLAIN));
        return lines;
    }
    for (place, (choice, number)) in form.choices.iter().zip(&form.numbers).enumerate() {
        let style = if Some(place) == form.at { CHOSEN } else { PLAIN };
        lines.push((format!("{}{}", numbered(*number), clean(form.label(choice))), style));
    }
    lines.push((form.next().to_owned(), DIM));
    lines
}

/// Draws a box in the middle. If not all of its lines have room, it shows the last ones, or those from the chosen one on.
fn boxed(buf: &mut Buffer, body: Rect, title: &str, lines: &[(String, Style)]) {
    let widest = lines.iter().map(|(line, _)| width(line)).max().unwrap_or(0).max(width(title) + 2);
    let cols = u16::try_from(widest + 4).unwrap_or(u16::MAX).min(body.width);
    let rows = u16::try_from(lines.len() + 2).unwrap_or(u16::MAX).min(body.height);
    if cols < 6 || rows < 3 {
        return;
    }
    let area = Rect {
        x: body.x + (body.width - cols) / 2,
        y: body.y + (body.height - rows) / 2,
        width: cols,
        height: rows,
    };
    for cell in area.positions() {
        buf[cell].reset();
    }
    let bar = "─".repeat(usize::from(cols) - 2);
    Pen::new(buf, area, 0).put("┌", DIM).put(&bar, DIM).put("┐", DIM);
    Pen::new(buf, area, rows - 1).put("└", DIM).put(&bar, DIM).put("┘", DIM);
    Pen { buf, x: area.x + 2, y: area.y, end: area.right() - 2 }.put_rest(&format!(" {title} "), BOLD);
    // The end of a long one is where the choices are; what is chosen is always in sight.
    let last_from = lines.len() - usize::from(rows - 2).min(lines.len());
    let chosen = lines.iter().position(|(_, style)| *style == CHOSEN);
    let from = chosen.map_or(last_from, |chosen| chosen.min(last_from));
    for (row, (line, style)) in (1..rows - 1).zip(&lines[from..]) {
        Pen { buf, x: area.x, y: area.y + row, end: area.right() }.put("│", DIM);
        Pen { buf, x: area.x + 2, y: area.y + row, end: area.right() - 2 }.put_rest(line, *style);
        Pen { buf, x: area.right() - 1, y: area.y + row, end: area.right() }.put("│", DIM);
    }
}

/// The line at the bottom: something said, or the keys that count now.
pub(super) fn keys(buf: &mut Buffer, foot: Rect, scene: &Scene<'_>) {
    let mut pen = Pen::new(buf, foot, 0);
    pen.put(" ", PLAIN);
    if let Some(message) = &scene.ui.message {
        pen.put_rest(&clean(&message.text), if message.bad { BAD } else { GOOD });
        return;
    }
    let keys: &[(&str, &str)] = match &scene.ui.over {
        Some(Over::Help) => &[("any key", "back")],
        Some(Over::Cancel | Over::Retry) => &[("Esc", "back")],
        Some(Over::Answer(form)) if form.words.is_some() => &[("Enter", "send"), ("Esc", "back")],
        Some(Over::Answer(_)) => &[("1-9 ↑↓", "choose"), ("Enter", "send"), ("Esc", "back")],
        Some(Over::Log(_)) => &[("↑↓", "scroll"), ("End", "newest"), ("q", "back")],
        None if scene.ui.searching => &[("Enter", "keep"), ("Esc", "all")],
        None if scene.board.waiting().is_empty() => &[
            ("?", "help"),
            ("q", "quit"),
            ("Enter", "attach"),
            ("l", "log"),
            ("/", "search"),
            ("f", "filter"),
            ("p", "pause"),
            ("c", "cancel"),
        ],
        None => &[
            ("?", "help"),
            ("q", "quit"),
            ("a", "answer"),
            ("w", "who waits"),
            ("Enter", "attach"),
            ("l", "log"),
            ("/", "search"),
            ("f", "filter"),
        ],
    };
    for (key, what) in keys {
        if usize::from(pen.left()) < width(key) + width(what) + 3 {
            break;
        }
        pen.put(key, BOLD).put(" ", PLAIN).put(what, DIM).put("  ", PLAIN);
    }
}
