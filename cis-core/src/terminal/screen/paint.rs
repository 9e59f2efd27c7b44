//! The screen as escape sequences: what makes a terminal of xterm's kind show exactly this.
//!
//! Not restored, since the model does not know them: modes that the emulator does not have, pictures,
//! the keyboard stack below its top, saved titles.

mod pen;

use std::fmt::Write as _;

use alacritty_terminal::grid::{Cursor, Dimensions, Grid};
use alacritty_terminal::index::{Column, Line};
use alacritty_terminal::term::TermMode;
use alacritty_terminal::term::cell::{Cell, Flags, Hyperlink};
use alacritty_terminal::vte::ansi::{
    CharsetIndex, CursorShape, Handler, KeyboardModes, KeyboardModesApplyBehavior, NamedColor,
    StandardCharset,
};

use super::handler::keyboard_flags;
use super::text::{Glyph, Mask, Masked, Rows, glyph, mask};
use super::{Screen, clamp};
use crate::policy::redact::Redactor;
use crate::term_size::TermSize;
use crate::terminal::filter::is_link;
use pen::Pen;

/// Ends what the terminal may be in the midst of, holds its drawing, and sets what paints rely on.
const BEGIN: &str = "\x18\x1b\\\x1b[?2026h\x1b[?25l\x1b[0m\x1b]8;;\x1b\\\x1b[r\x1b[?6l\x1b[?7h\x1b[4l\x1b[20l\
    \x1b(B\x1b)B\x1b*B\x1b+B\x0f\x1b>\x1b[?1l\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1004l\x1b[?1005l\x1b[?1006l\
    \x1b[?2004l";
const END: &str = "\x1b[?2026l";

/// More of a title is not shown, bytes.
const TITLE_BYTES_MAX: usize = 1024;

/// For whom a screen is painted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Look<'a> {
    /// Secrets that are not shown: a `*` in each of their cells.
    pub redactor: Option<&'a Redactor>,
    /// Size of the viewer's terminal, where it may be another one: a smaller one shows the part with the
    /// cursor, a larger one is blank around the picture.
    pub viewer: Option<TermSize>,
    /// The viewer shows an earlier picture of the same screen (primary or alternate) and got nothing
    /// else since: the rows are replaced without clearing.
    pub again: bool,
}

/// The part of a screen that is shown.
#[derive(Debug, Clone, Copy)]
struct View {
    top: usize,
    rows: usize,
    cols: usize,
    /// Size of the viewer's terminal.
    outer: (usize, usize),
}

struct Painter<'a> {
    out: String,
    pen: Pen,
    link: Option<Hyperlink>,
    redactor: Option<&'a Redactor>,
}

impl Screen {
    /// Escape sequences that make a terminal of the same size show exactly this screen, whatever it
    /// showed before: cells, cursor, modes, title, and the primary screen below an alternate one.
    #[must_use]
    pub fn paint(&mut self) -> Vec<u8> {
        self.paint_for(&Look::default())
    }

    /// The same for a certain viewer.
    #[must_use]
    pub fn paint_for(&mut self, look: &Look<'_>) -> Vec<u8> {
        let mut painter =
            Painter { out: String::from(BEGIN), pen: Pen::PLAIN, link: None, redactor: look.redactor };
        self.paint_settings(&mut painter);
        if !look.again {
            painter.out.push_str("\x1b[?1049l\x1b[H\x1b[2J");
        }
        if self.is_alternate() && !look.again {
            let primary = self.primary();
            let hidden =
                look.redactor.map_or_else(Mask::default, |redactor| mask(Rows::shown(&primary), redactor));
            let view = view(&primary, look);
            painter.grid(&primary, &hidden, view, false);
            painter.cursor(&primary.cursor, &primary, &hidden, view, 0);
            painter.out.push_str("\x1b[?1049h");
            painter.charsets(&Cursor::default());
            painter.out.push_str("\x1b[H\x1b[2J");
        }
        let grid = self.term.grid();
        let hidden = look.redactor.map_or_else(Mask::default, |redactor| mask(Rows::shown(grid), redactor));
        let view = view(grid, look);
        painter.grid(grid, &hidden, view, look.again);
        self.paint_state(&mut painter, &hidden, view);
        painter.out.push_str(END);
        painter.out.into_bytes()
    }

    /// Palette, tab stops, keyboard: what does not depend on the screen.
    fn paint_settings(&self, painter: &mut Painter<'_>) {
        let out = &mut painter.out;
        if self.side.colored {
            out.push_str("\x1b]104\x1b\\\x1b]110\x1b\\\x1b]111\x1b\\\x1b]112\x1b\\");
            for index in 0..=NamedColor::Cursor as usize {
                if let Some(rgb) = self.term.colors()[index] {
                    let _ = match index {
                        0..256 => write!(out, "\x1b]4;{index};"),
                        _ => write!(out, "\x1b]{};", index - 256 + 10),
                    };
                    let _ = write!(out, "rgb:{:02x}/{:02x}/{:02x}\x1b\\", rgb.r, rgb.g, rgb.b);
                }
            }
        }
        if let Some(tabs) = &self.side.tabs {
            out.push_str("\x1b[3g");
            for (col, _) in tabs.iter().enumerate().filter(|(_, tab)| **tab) {
                let _ = write!(out, "\x1b[{}G\x1bH", col + 1);
            }
        }
        if self.side.modify_other_keys > 0 {
            let _ = write!(out, "\x1b[>4;{}m", self.side.modify_other_keys);
        }
        if let Some(title) = &self.side.title {
            let mut shown = painter.redactor.map_or_else(|| title.clone(), |redactor| redactor.redact(title));
            // Cut only now: a part of a secret would not be found.
            shown.truncate(shown.floor_char_boundary(TITLE_BYTES_MAX));
            let _ = write!(out, "\x1b]2;{shown}\x1b\\");
        }
    }

    /// Cursors, scroll region and modes, in an order in which none disturbs another.
    fn paint_state(&self, painter: &mut Painter<'_>, hidden: &Mask, view: View) {
        let grid = self.term.grid();
        let mode = *self.term.mode();
        if grid.saved_cursor != Cursor::default() {
            painter.cursor(&grid.saved_cursor, grid, hidden, view, 0);
            painter.out.push_str("\x1b7");
            painter.charsets(&Cursor::default());
        }
        let whole = view.top == 0 && view.rows == grid.screen_lines();
        let region = self.side.region.filter(|_| whole);
        if let Some((top, bottom)) = region {
            let _ = write!(painter.out, "\x1b[{};{bottom}r", top + 1);
        }
        let origin = mode.contains(TermMode::ORIGIN) && whole;
        if origin {
            painter.out.push_str("\x1b[?6h");
        }
        let top = region.filter(|_| origin).map_or(0, |(top, _)| top);
        painter.cursor(&grid.cursor, grid, hidden, view, top);
        let out = &mut painter.out;
        if self.side.charset == CharsetIndex::G1 {
            out.push('\x0e');
        }
        for (flag, set, code) in [
            (TermMode::LINE_WRAP, false, "\x1b[?7l"),
            (TermMode::INSERT, true, "\x1b[4h"),
            (TermMode::LINE_FEED_NEW_LINE, true, "\x1b[20h"),
            (TermMode::APP_CURSOR, true, "\x1b[?1h"),
            (TermMode::APP_KEYPAD, true, "\x1b="),
            (TermMode::MOUSE_REPORT_CLICK, true, "\x1b[?1000h"),
            (TermMode::MOUSE_DRAG, true, "\x1b[?1002h"),
            (TermMode::MOUSE_MOTION, true, "\x1b[?1003h"),
            (TermMode::FOCUS_IN_OUT, true, "\x1b[?1004h"),
            (TermMode::UTF8_MOUSE, true, "\x1b[?1005h"),
            (TermMode::SGR_MOUSE, true, "\x1b[?1006h"),
            (TermMode::ALTERNATE_SCROLL, false, "\x1b[?1007l"),
            (TermMode::URGENCY_HINTS, false, "\x1b[?1042l"),
            (TermMode::BRACKETED_PASTE, true, "\x1b[?2004h"),
        ] {
            if mode.contains(flag) == set {
                out.push_str(code);
            }
        }
        if self.side.kitty {
            let _ = write!(out, "\x1b[={};1u", keyboard_flags(mode));
        }
        let style = self.term.cursor_style();
        let shape = match style.shape {
            _ if !self.side.cursor_styled => 0,
            CursorShape::Underline => 4,
            CursorShape::Beam => 6,
            _ => 2,
        };
        let blinking = u8::from(shape > 0 && style.blinking);
        let _ = write!(out, "\x1b[{} q", shape - blinking);
        if mode.contains(TermMode::SHOW_CURSOR) {
            out.push_str("\x1b[?25h");
        }
    }

    /// The primary screen while the alternate one is shown. The emulator shows only one of them, and
    /// clears the alternate one on its way back, so that is kept aside.
    pub(super) fn primary(&mut self) -> Grid<Cell> {
        let alternate = self.term.grid().clone();
        let keyboard = KeyboardModes::from_bits_truncate(keyboard_flags(*self.term.mode()));
        self.term.swap_alt();
        let primary = self.term.grid().clone();
        self.term.swap_alt();
        *self.term.grid_mut() = alternate;
        let replace = KeyboardModesApplyBehavior::Replace;
        Handler::set_keyboard_mode(&mut self.term, keyboard, replace);
        primary
    }
}

fn view(grid: &Grid<Cell>, look: &Look<'_>) -> View {
    let (rows, cols) = (grid.screen_lines(), grid.columns());
    let outer = look.viewer.map(clamp);
    let outer = outer.map_or((rows, cols), |size| (usize::from(size.rows), usize::from(size.cols)));
    let cursor = grid.cursor.point.line.0 as usize;
    let top = (cursor + 1).saturating_sub(outer.0);
    View { top, rows: rows.min(outer.0), cols: cols.min(outer.1), outer }
}

/// Nothing is to be painted for it on a clear screen.
fn is_blank(cell: &Cell) -> bool {
    matches!(cell.c, ' ' | '\t')
        && Pen::of(cell) == Pen::PLAIN
        && cell.hyperlink().is_none()
        && cell.zerowidth().is_none_or(<[char]>::is_empty)
        && !cell.flags.intersects(Flags::WIDE_CHAR | Flags::WIDE_CHAR_SPACER)
}

impl Painter<'_> {
    fn go(&mut self, row: usize, col: usize) {
        let _ = write!(self.out, "\x1b[{};{}H", row + 1, col + 1);
    }

    fn grid(&mut self, grid: &Grid<Cell>, hidden: &Mask, view: View, again: bool) {
        let cols = view.cols;
        // A row that was wrapped is printed into the next one, so that the viewer's terminal knows.
        let may_join = view.outer.1 == grid.columns();
        let mut joined = false;
        for shown in 0..view.rows {
            let line = view.top + shown;
            let row = &grid[Line(line as i32)];
            let wraps = row[Column(grid.columns() - 1)].flags.contains(Flags::WRAPLINE);
            let join = may_join && wraps && shown + 1 < view.rows;
            let used = (0..cols).rev().find(|col| !is_blank(&row[Column(*col)])).map_or(0, |col| col + 1);
            let end = match join {
                // Printing the wide character makes the gap before it.
                true if wide_goes_down(grid, line) => cols - 1,
                true => cols,
                false => used.max(usize::from(joined)),
            };
            if !joined && (end > 0 || again) {
                self.go(shown, 0);
            }
            let mut col = 0;
            while col < end {
                let (glyph, masked) = masked(glyph(row, col, cols), hidden.at(line, col));
                self.print(&row[Column(col)], glyph, masked);
                col += glyph.width();
                // Terminals differ about the width of such characters.
                if (glyph.wide || !glyph.marks.is_empty() || !is_narrow(glyph.c)) && col < end {
                    let _ = write!(self.out, "\x1b[{}G", col + 1);
                }
            }
            if again && end < view.outer.1 {
                if end == cols {
                    self.go(shown, cols);
                }
                self.set_pen(Pen::PLAIN);
                self.out.push_str("\x1b[K");
            }
            joined = join;
        }
        if again && view.rows < view.outer.0 {
            self.go(view.rows, 0);
            self.set_pen(Pen::PLAIN);
            self.out.push_str("\x1b[J");
        }
        self.set_pen(Pen::PLAIN);
        self.set_link(None);
    }

    fn print(&mut self, cell: &Cell, glyph: Glyph<'_>, masked: bool) {
        self.set_pen(Pen::of(cell));
        self.set_link(cell.hyperlink().filter(|_| !masked));
        self.out.push(glyph.c);
        self.out.extend(glyph.marks);
    }

    /// Places the cursor with its pen and character sets; rows count from `origin`.
    fn cursor(&mut self, cursor: &Cursor<Cell>, grid: &Grid<Cell>, hidden: &Mask, view: View, origin: usize) {
        let line = cursor.point.line.0 as usize;
        let row = line.saturating_sub(view.top).min(view.rows - 1).saturating_sub(origin);
        let col = cursor.point.column.0.min(view.cols - 1);
        if cursor.input_needs_wrap && view.cols == grid.columns() {
            // Only printing in the last column leaves a terminal in this state.
            let cells = &grid[Line(line as i32)];
            let wide = glyph(cells, col.saturating_sub(1), view.cols).wide;
            let at = if wide && hidden.at(line, col) == Masked::No { col - 1 } else { col };
            let (glyph, masked) = masked(glyph(cells, at, view.cols), hidden.at(line, at));
            self.go(row, at);
            self.print(&cells[Column(at)], glyph, masked);
        } else {
            self.go(row, col);
        }
        self.set_pen(Pen::of(&cursor.template));
        self.set_link(cursor.template.hyperlink());
        self.charsets(cursor);
    }

    /// The character sets of a cursor; for the default one, everything that prints is set back.
    fn charsets(&mut self, cursor: &Cursor<Cell>) {
        if *cursor == Cursor::default() {
            self.set_pen(Pen::PLAIN);
            self.set_link(None);
        }
        let sets = [CharsetIndex::G0, CharsetIndex::G1, CharsetIndex::G2, CharsetIndex::G3];
        for (set, name) in sets.into_iter().zip(['(', ')', '*', '+']) {
            let charset = match cursor.charsets[set] {
                StandardCharset::Ascii => 'B',
                StandardCharset::SpecialCharacterAndLineDrawing => '0',
            };
            let _ = write!(self.out, "\x1b{name}{charset}");
        }
    }

    /// Begins or ends a link. A link that viewers must not get is shown as text only.
    fn set_link(&mut self, link: Option<Hyperlink>) {
        let link = link.filter(|link| is_link(link.uri()));
        if link == self.link {
            return;
        }
        match &link {
            None => self.out.push_str("\x1b]8;;\x1b\\"),
            Some(link) => {
                let hide = |text: &str| self.redactor.map_or_else(|| text.to_owned(), |r| r.redact(text));
                let _ = write!(self.out, "\x1b]8;id={};{}\x1b\\", hide(link.id()), hide(link.uri()));
            }
        }
        self.link = link;
    }
}

/// The row ends in a gap, since the wide character that begins the next row did not fit.
fn wide_goes_down(grid: &Grid<Cell>, line: usize) -> bool {
    let (row, next) = (&grid[Line(line as i32)], &grid[Line(line as i32 + 1)]);
    let (gap, first) = (&row[Column(grid.columns() - 1)], &next[Column(0)]);
    gap.flags.contains(Flags::LEADING_WIDE_CHAR_SPACER)
        && glyph(next, 0, grid.columns()).wide
        && Pen::of(gap) == Pen::of(first)
        && gap.hyperlink() == first.hyperlink()
}

/// A star in place of what is masked, and whether it is.
fn masked(glyph: Glyph<'_>, masked: Masked) -> (Glyph<'_>, bool) {
    match masked {
        Masked::No => (glyph, false),
        Masked::Start | Masked::Rest => (Glyph { c: '*', wide: false, marks: &[] }, true),
    }
}

/// One cell in every terminal: Latin, and what frames and bars are drawn with.
fn is_narrow(c: char) -> bool {
    matches!(c, ' '..='\u{24F}' | '\u{2500}'..='\u{259F}')
}
