//! The cells of a screen and of what scrolled out of it, for those who draw them.

use alacritty_terminal::grid::Dimensions as _;
use alacritty_terminal::index::{Column, Line};
use alacritty_terminal::term::TermMode;
use alacritty_terminal::term::cell::{Cell, Flags};
use alacritty_terminal::vte::ansi::{Color, NamedColor};

use super::Screen;
use super::text::{glyph, is_plain};

/// A colour, as programs name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Colour {
    /// The terminal's own for text.
    Text,
    /// The terminal's own for what is behind it.
    Ground,
    /// Of the palette of 256.
    Indexed(u8),
    /// Red, green, blue.
    Rgb(u8, u8, u8),
}

/// How a character is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Style {
    /// Of the character.
    pub text: Colour,
    /// Behind it.
    pub ground: Colour,
    /// Thick.
    pub bold: bool,
    /// Weak.
    pub dim: bool,
    /// Slanted.
    pub italic: bool,
    /// With a line below, of any kind.
    pub underline: bool,
    /// With a line through it.
    pub strike: bool,
}

/// What stands in a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drawn {
    /// The character; a blank in the second cell of a wide one.
    pub c: char,
    /// How.
    pub style: Style,
    /// It covers the next cell too.
    pub wide: bool,
    /// Others without a width belong to it: see [`Screen::marks`].
    pub marked: bool,
}

/// How the mouse and the keys of an arrow are told to the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Modes {
    /// Arrows are sent as SS3 (DECCKM).
    pub app_cursor: bool,
    /// What is pasted is put in brackets.
    pub bracketed_paste: bool,
}

impl Modes {
    /// Keys as a program in these modes gets them: `bytes` has the cursor keys as they are sent without DECCKM. What ncurses calls
    /// `keypad` turns it on, and takes no others.
    #[must_use]
    pub fn keys(self, bytes: &[u8]) -> Vec<u8> {
        let mut keys = bytes.to_vec();
        if self.app_cursor {
            for at in 0..keys.len().saturating_sub(2) {
                if let [0x1b, introducer @ b'[', b'A'..=b'D' | b'F' | b'H'] = &mut keys[at..at + 3] {
                    *introducer = b'O';
                }
            }
        }
        keys
    }
}

impl Screen {
    /// Lines that scrolled out and are kept; they have the numbers -1, -2 … upwards.
    #[must_use]
    pub fn history(&self) -> usize {
        self.term.grid().history_size()
    }

    /// Lines that scrolled into the history since the screen began, those too that it keeps no more: text goes up by
    /// what this grows. Other sizes, which break lines anew, do not count, and nothing where no history is kept.
    #[must_use]
    pub fn scrolled(&self) -> u64 {
        self.side.scrolled
    }

    /// The cells of a line: from 0 on those of the screen, below 0 what scrolled out. Empty where there is none.
    pub fn line(&self, line: i32, out: &mut Vec<Drawn>) {
        out.clear();
        let grid = self.term.grid();
        let (top, bottom) = (-i32::try_from(grid.history_size()).unwrap_or(i32::MAX), grid.screen_lines());
        if line < top || usize::try_from(line).is_ok_and(|line| line >= bottom) {
            return;
        }
        let row = &grid[Line(line)];
        let cols = grid.columns();
        out.extend((0..cols).map(|col| {
            let cell = &row[Column(col)];
            let glyph = glyph(row, col, cols);
            let marked = !glyph.marks.is_empty();
            Drawn { c: glyph.c, style: style(cell), wide: glyph.wide, marked }
        }));
    }

    /// The characters without a width that belong to a cell: accents, vowel signs, what joins emoji. Not those that
    /// turn or hide text.
    pub fn marks(&self, line: i32, col: usize) -> impl Iterator<Item = char> + '_ {
        let grid = self.term.grid();
        let is_there = line >= -i32::try_from(grid.history_size()).unwrap_or(i32::MAX)
            && usize::try_from(line).is_ok_and(|line| line < grid.screen_lines()) | (line < 0)
            && col < grid.columns();
        let marks = if is_there { glyph(&grid[Line(line)], col, grid.columns()).marks } else { &[] };
        marks.iter().copied().filter(|c| is_plain(*c))
    }

    /// The text of a line without the blanks at its end.
    #[must_use]
    pub fn line_text(&self, line: i32) -> String {
        let mut cells = Vec::new();
        self.line(line, &mut cells);
        let mut out = String::with_capacity(cells.len());
        let mut skip = false;
        for (col, cell) in cells.iter().enumerate() {
            if !std::mem::replace(&mut skip, cell.wide) {
                out.push(cell.c);
                if cell.marked {
                    out.extend(self.marks(line, col));
                }
            }
        }
        out.truncate(out.trim_end().len());
        out
    }

    /// How keys are to be sent to the program.
    #[must_use]
    pub fn modes(&self) -> Modes {
        let mode = self.term.mode();
        Modes {
            app_cursor: mode.contains(TermMode::APP_CURSOR),
            bracketed_paste: mode.contains(TermMode::BRACKETED_PASTE),
        }
    }
}

fn style(cell: &Cell) -> Style {
    let (mut text, mut ground) = (colour(cell.fg), colour(cell.bg));
    if cell.flags.contains(Flags::INVERSE) {
        std::mem::swap(&mut text, &mut ground);
    }
    if cell.flags.contains(Flags::HIDDEN) {
        text = ground;
    }
    Style {
        text,
        ground,
        bold: cell.flags.contains(Flags::BOLD),
        dim: cell.flags.contains(Flags::DIM),
        italic: cell.flags.contains(Flags::ITALIC),
        underline: cell.flags.intersects(Flags::ALL_UNDERLINES),
        strike: cell.flags.contains(Flags::STRIKEOUT),
    }
}

fn colour(colour: Color) -> Colour {
    match colour {
        Color::Spec(rgb) => Colour::Rgb(rgb.r, rgb.g, rgb.b),
        Color::Indexed(index) => Colour::Indexed(index),
        Color::Named(NamedColor::Background) => Colour::Ground,
        Color::Named(named) => match named as usize {
            index @ 0..=15 => Colour::Indexed(index as u8),
            // The dim ones, in the order of the first eight.
            index @ 259..=266 => Colour::Indexed((index - 259) as u8),
            _ => Colour::Text,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::term_size::TermSize;

    #[test]
    fn what_scrolls_is_counted_whether_the_history_is_full_or_not() {
        let mut screen = Screen::with_history(TermSize { cols: 10, rows: 4 }, 100);
        let lines = |from: u64, to: u64| (from..to).map(|n| format!("{n}\r\n")).collect::<String>();
        screen.feed(lines(0, 50).as_bytes());
        assert_eq!((screen.scrolled(), screen.history()), (47, 47));
        screen.feed(lines(50, 250).as_bytes());
        assert_eq!((screen.scrolled(), screen.history()), (247, 100));
        // A line that is wrapped, lines that are scrolled, taken out and cleared.
        screen.feed(b"0123456789abc\x1b[2S\x1b[H\x1b[M");
        assert_eq!(screen.scrolled(), 251);
        screen.feed(b"a\r\nb\r\nc\x1b[2J");
        assert_eq!(screen.scrolled(), 254);
        // Not so in a region below the first line, nor on the alternate screen.
        screen.feed(b"\x1b[2;4r\x1b[4;1H\n\n\n\x1b[r\x1b[?1049h\n\n\n\n\n\n\n\n\x1b[?1049l");
        assert_eq!(screen.scrolled(), 254);
        screen.feed(format!("\x1b[3J\x1b[4;1H{}", lines(0, 7)).as_bytes());
        assert_eq!((screen.scrolled(), screen.history()), (261, 7));
        screen.feed(format!("\x1bc{}", lines(0, 8)).as_bytes());
        assert_eq!((screen.scrolled(), screen.history()), (266, 5));
        screen.resize(TermSize { cols: 8, rows: 6 });
        let before = screen.scrolled();
        screen.feed(format!("\x1b[6;1H{}", lines(0, 150)).as_bytes());
        assert_eq!(screen.scrolled() - before, 150);
    }

    #[test]
    fn characters_without_a_width_are_those_of_their_cell() {
        let mut screen = Screen::with_history(TermSize { cols: 20, rows: 1 }, 100);
        screen.feed("e\u{301}a \u{915}\u{93f} 👩\u{200d}💻x\u{202e}y".as_bytes());
        assert_eq!(
            screen.line_text(0),
            "e\u{301}a \u{915}\u{93f} 👩\u{200d}💻xy",
            "but none that turns text"
        );
        let mut cells = Vec::new();
        screen.line(0, &mut cells);
        assert!(cells[0].marked && !cells[1].marked);
        assert_eq!(screen.marks(0, 0).collect::<String>(), "\u{301}");
        for (line, col) in [(0, 20), (1, 0), (-1, 0)] {
            assert_eq!(screen.marks(line, col).count(), 0);
        }
    }

    #[test]
    fn lines_of_the_screen_and_of_its_history_have_their_cells() {
        let mut screen = Screen::with_history(TermSize { cols: 10, rows: 2 }, 100);
        screen.feed(b"one\r\n\x1b[1;31mtwo\x1b[0m\r\n\xe6\xbc\xa2z\x1b[7mi\x1b[0m");
        assert_eq!((screen.history(), screen.line_text(-1).as_str()), (1, "one"));
        assert_eq!((screen.line_text(0).as_str(), screen.line_text(1).as_str()), ("two", "漢zi"));
        let mut cells = Vec::new();
        screen.line(0, &mut cells);
        assert_eq!((cells[0].style.text, cells[0].style.bold), (Colour::Indexed(1), true));
        screen.line(1, &mut cells);
        assert!(cells[0].wide && cells[1].c == ' ');
        assert_eq!((cells[3].style.text, cells[3].style.ground), (Colour::Ground, Colour::Text));
        screen.line(2, &mut cells);
        assert!(cells.is_empty());
        screen.line(-2, &mut cells);
        assert!(cells.is_empty());
    }
}
