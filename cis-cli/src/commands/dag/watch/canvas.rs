//! Cells into bytes for the caller's terminal: only those that changed, in one piece.
//!
//! The bytes are handed on instead of being written, so that a terminal that reads slowly holds nothing up.

use std::convert::Infallible;
use std::fmt::Write as _;

use cis_core::api::TermSize;
use ratatui_core::backend::{Backend, ClearType, WindowSize};
use ratatui_core::buffer::{Buffer, Cell};
use ratatui_core::layout::{Position, Size};
use ratatui_core::style::{Color, Modifier};
use ratatui_core::terminal::Terminal;

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

#[cfg(test)]
mod tests {
    use alacritty_terminal::Term;
    use alacritty_terminal::event::VoidListener;
    use alacritty_terminal::index::{Column, Line};
    use alacritty_terminal::term::Config;
    use alacritty_terminal::term::test::TermSize as Cells;
    use alacritty_terminal::vte::ansi::Processor;
    use ratatui_core::style::Style;

    use super::*;

    fn size(cols: u16, rows: u16) -> TermSize {
        TermSize { cols, rows }
    }

    /// What a terminal of 20 columns shows in its first rows.
    fn shown(bytes: &[u8], rows: i32) -> Vec<String> {
        let mut term = Term::new(Config::default(), &Cells::new(20, 5), VoidListener);
        Processor::<alacritty_terminal::vte::ansi::StdSyncHandler>::new().advance(&mut term, bytes);
        let line = |row| (0..20).map(|column| term.grid()[Line(row)][Column(column)].c).collect::<String>();
        (0..rows).map(|row| line(row).trim_end().to_owned()).collect()
    }

    #[test]
    fn a_terminal_shows_what_was_drawn_and_only_changes_are_sent() {
        let mut canvas = Canvas::new(size(20, 5), true);
        canvas.afresh();
        let draw = |text: &'static str| {
            move |buf: &mut Buffer| {
                buf.set_string(2, 0, text, Style::new().fg(Color::Red));
                buf.set_string(0, 1, "héllo 世界 x", Style::new().add_modifier(Modifier::REVERSED));
            }
        };
        let mut all = canvas.frame(draw("first"));
        assert_eq!(shown(&all, 2), ["  first", "héllo 世 界  x"]);
        assert!(String::from_utf8_lossy(&all).contains("\x1b[0;31m"), "{:?}", String::from_utf8_lossy(&all));
        assert!(canvas.frame(draw("first")).is_empty(), "nothing changed");
        let change = canvas.frame(draw("fifth"));
        assert!(change.len() < 60, "{:?}", String::from_utf8_lossy(&change));
        all.extend(change);
        assert_eq!(shown(&all, 1), ["  fifth"]);
        canvas.resize(size(4, 1));
        assert!(!canvas.frame(|_| {}).is_empty(), "all of it again");
        canvas.resize(size(0, 0));
        canvas.frame(|buf| assert!(buf.area.is_empty()));
    }

    #[test]
    fn without_colours_there_are_none_and_no_cell_is_a_command() {
        let mut canvas = Canvas::new(size(20, 5), false);
        let bytes = canvas.frame(|buf| {
            buf.set_string(0, 0, "plain", Style::new().fg(Color::Green).add_modifier(Modifier::BOLD));
            buf[(7, 0)].set_symbol("\x1b[2J");
        });
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.contains("\x1b[0;1mplain") && !text.contains("32"), "{text:?}");
        assert!(!text.contains("[2J"), "{text:?}");
    }
}
