//! Cells into bytes for the caller's terminal: only those that changed, in one piece.
//!
//! The bytes are handed on instead of being written, so that a terminal that reads slowly holds nothing up.

use std::convert::Infallible;
use std::fmt::Write as _;

use cis_core::api::TermSize;
use ratatui::Terminal;
use ratatui::backend::{Backend, ClearType, WindowSize};
use ratatui::buffer::{Buffer, Cell};
use ratatui::layout::{Position, Size};
use ratatui::style::{Color, Modifier};

/// Begins and ends an update that is shown at once (mode 2026; others ignore it).
const BEGIN: &str = "\x1b[?2026h";
const END: &str = "\x1b[0m\x1b[?2026l";
/// Cursor off, pasted text marked.
const SETUP: &str = "\x1b[?25l\x1b[?2004h\x1b[0m\x1b[2J";

/// A screen of the view.
pub(super) struct Canvas {
    terminal: Terminal<Bytes>,
}

struct Bytes {
    out: String,
    size: Size,
    colours: bool,
}

impl Canvas {
    /// For a terminal of that size.
    pub(super) fn new(size: TermSize, colours: bool) -> Self {
        let bytes = Bytes { out: String::new(), size: Size::new(size.cols, size.rows), colours };
        let terminal = match Terminal::new(bytes) {
            Ok(terminal) => terminal,
            Err(never) => match never {},
        };
        Self { terminal }
    }

    /// Another size: all is drawn anew with the next frame.
    pub(super) fn resize(&mut self, size: TermSize) {
        self.terminal.backend_mut().size = Size::new(size.cols, size.rows);
        self.afresh();
    }

    /// What the terminal shows is not ours any more: all is drawn anew with the next frame.
    pub(super) fn afresh(&mut self) {
        self.terminal.backend_mut().out.clear();
        let Ok(()) = self.terminal.clear();
    }

    /// The bytes that show what `draw` draws.
    pub(super) fn frame(&mut self, draw: impl FnOnce(&mut Buffer)) -> Vec<u8> {
        let Ok(_) = self.terminal.draw(|frame| draw(frame.buffer_mut()));
        let changed = std::mem::take(&mut self.terminal.backend_mut().out);
        if changed.is_empty() { Vec::new() } else { format!("{BEGIN}{changed}{END}").into_bytes() }
    }
}

impl Backend for Bytes {
    type Error = Infallible;

    fn draw<'a, I>(&mut self, content: I) -> Result<(), Infallible>
    where
        I: Iterator<Item = (u16, u16, &'a Cell)>,
    {
        let (mut next, mut style) = (None, None);
        for (x, y, cell) in content {
            if next != Some((x, y)) {
                let _ = write!(self.out, "\x1b[{};{}H", y + 1, x + 1);
            }
            let wanted = (cell.fg, cell.bg, cell.modifier);
            if style != Some(wanted) {
                self.style(wanted);
                style = Some(wanted);
            }
            // Whatever a cell holds, it moves no cursor.
            let text = cell.symbol();
            let text = if text.is_empty() || text.contains(char::is_control) { " " } else { text };
            self.out.push_str(text);
            // After a wide one the place is set again: terminals do not agree how wide it is.
            next = text.is_ascii().then_some((x + 1, y));
        }
        Ok(())
    }

    fn hide_cursor(&mut self) -> Result<(), Infallible> {
        Ok(())
    }

    fn show_cursor(&mut self) -> Result<(), Infallible> {
        Ok(())
    }

    fn get_cursor_position(&mut self) -> Result<Position, Infallible> {
        Ok(Position::ORIGIN)
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, _: P) -> Result<(), Infallible> {
        Ok(())
    }

    fn clear(&mut self) -> Result<(), Infallible> {
        self.out.push_str(SETUP);
        Ok(())
    }

    fn clear_region(&mut self, _: ClearType) -> Result<(), Infallible> {
        self.clear()
    }

    fn size(&self) -> Result<Size, Infallible> {
        Ok(self.size)
    }

    fn window_size(&mut self) -> Result<WindowSize, Infallible> {
        Ok(WindowSize { columns_rows: self.size, pixels: Size::ZERO })
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl Bytes {
    /// SGR of ECMA-48: all off, then what is wanted.
    fn style(&mut self, (fg, bg, modifier): (Color, Color, Modifier)) {
        self.out.push_str("\x1b[0");
        for (flag, code) in [(Modifier::BOLD, 1), (Modifier::DIM, 2), (Modifier::REVERSED, 7)] {
            if modifier.contains(flag) {
                let _ = write!(self.out, ";{code}");
            }
        }
        if self.colours {
            for (colour, base) in [(fg, 30), (bg, 40)] {
                if let Some(number) = number(colour) {
                    let _ = write!(self.out, ";{}", base + number);
                }
            }
        }
        self.out.push('m');
    }
}

/// The view uses these of the terminal's own colours.
fn number(colour: Color) -> Option<u8> {
    Some(match colour {
        Color::Red => 1,
        Color::Green => 2,
        Color::Yellow => 3,
        Color::Cyan => 6,
        _ => return None,
    })
}
