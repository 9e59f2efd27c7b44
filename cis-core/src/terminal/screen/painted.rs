//! The cursor that a program paints by itself, while it hides the terminal's own.

use alacritty_terminal::grid::Dimensions as _;
use alacritty_terminal::index::{Column, Line};
use alacritty_terminal::term::cell::Flags;

use super::on_text::is_weak;
use super::{CursorAt, Screen};

impl Screen {
    /// Where what is typed shows: the terminal's cursor, or the one that the program paints while it hides that.
    pub(super) fn shown_cursor(&self) -> CursorAt {
        let own = self.cursor();
        if own.visible { own } else { self.painted_cursor().unwrap_or(own) }
    }

    /// The only cell of the screen that is inverse and has no inverse cell at its side: a blank one, or one before a hint. Others point at
    /// something, as the mark of a list or the letter of a key does.
    fn painted_cursor(&self) -> Option<CursorAt> {
        let grid = self.term.grid();
        let mut found = None;
        for row in 0..grid.screen_lines() {
            let cells = &grid[Line(row as i32)];
            let is_inverse =
                |col: usize| col < grid.columns() && cells[Column(col)].flags.contains(Flags::INVERSE);
            let is_alone =
                |col: &usize| is_inverse(*col) && !is_inverse(col + 1) && (*col == 0 || !is_inverse(col - 1));
            for col in (0..grid.columns()).filter(is_alone) {
                if found.is_some() {
                    return None;
                }
                found = Some((row, col));
            }
        }
        let (row, col) = found?;
        let mut drawn = Vec::new();
        self.line(i32::try_from(row).ok()?, &mut drawn);
        let is_blank = drawn.get(col)?.c.is_whitespace();
        let is_marked = col > 0 && matches!(drawn.get(col - 1)?.c, '(' | '[' | '<');
        let is_hint = drawn.get(col + 1).is_some_and(|next| !next.c.is_whitespace() && is_weak(&next.style));
        if is_marked || !(is_blank || is_hint) {
            return None;
        }
        Some(CursorAt { row: u16::try_from(row).ok()?, col: u16::try_from(col).ok()?, visible: true })
    }
}

#[cfg(test)]
mod tests {
    use super::super::TermSize;
    use super::*;
    use crate::policy::redact::Redactor;

    fn shown(text: &str) -> Option<(u16, u16)> {
        let mut screen = Screen::new(TermSize { cols: 40, rows: 10 });
        screen.feed(text.replace('\n', "\r\n").as_bytes());
        let view = screen.view(&Redactor::default());
        view.cursor_visible.then_some((view.cursor_row, view.cursor_col))
    }

    #[test]
    fn the_only_inverse_cell_is_a_cursor_where_the_own_one_is_hidden() {
        let clack = "\x1b[7m Setup \x1b[0m\n│  \x1b[7mv\x1b[0m\x1b[2mite-project\x1b[0m\n└\x1b[?25l";
        assert_eq!(shown(clack), Some((1, 3)));
        assert_eq!(shown("Name: \x1b[7m \x1b[0m\nMore\x1b[?25l"), Some((0, 6)));
        assert_eq!(shown("Name: \x1b[7m \x1b[0m\nMore"), Some((1, 4)), "its own");
        assert_eq!(shown("\x1b[7m1\x1b[0m Help \x1b[7m2\x1b[0m Menu\x1b[?25l"), None, "several");
        assert_eq!(shown("Name:\x1b[?25l"), None);
        assert_eq!(shown("(\x1b[7m \x1b[0m) apple\n( ) pear\x1b[?25l"), None, "a mark");
        assert_eq!(shown("\x1b[7mQ\x1b[0muit\x1b[?25l"), None, "a letter");
    }
}
