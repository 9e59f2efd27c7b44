//! Rows that a program points at by their colour alone, as menus of curses do.

use super::Screen;
use super::grid::{Colour, Drawn};

/// A row that is painted in one colour is an option only with so many letters or digits.
const LETTERS_MIN: usize = 2;

/// Options begin in about the same column.
const APART_MAX: usize = 2;

/// A row of text on one ground.
#[derive(Clone, Copy)]
struct Painted {
    ground: Colour,
    begins: usize,
}

impl Screen {
    /// Whether a row stands out by its ground from the row above or below it, which begins in about the same column: a list with a pointer
    /// that has no sign.
    #[must_use]
    pub fn points_by_colour(&self) -> bool {
        let (mut cells, mut before): (_, Option<Painted>) = (Vec::new(), None);
        for line in 0..i32::from(self.size().rows) {
            self.line(line, &mut cells);
            let row = painted(&cells);
            if let (Some(a), Some(b)) = (before, row)
                && a.ground != b.ground
                && a.begins.abs_diff(b.begins) <= APART_MAX
            {
                return true;
            }
            before = row;
        }
        false
    }
}

impl Screen {
    /// The row of a list that alone stands out by its ground: the rows above and below it, which begin in about the same column, are on
    /// another one. None where several do.
    #[must_use]
    pub fn colored_row(&self) -> Option<usize> {
        let mut cells = Vec::new();
        let rows: Vec<Option<Painted>> = (0..i32::from(self.size().rows))
            .map(|line| {
                self.line(line, &mut cells);
                painted(&cells)
            })
            .collect();
        let at = |row: Option<usize>| row.and_then(|row| rows.get(row).copied().flatten());
        let mut found = None;
        for row in 0..rows.len() {
            let Some(own) = at(Some(row)) else { continue };
            let beside = [row.checked_sub(1), Some(row + 1)].map(at).into_iter().flatten();
            let mut beside = beside.filter(|one| one.begins.abs_diff(own.begins) <= APART_MAX).peekable();
            let differs = beside.peek().is_some() && beside.all(|one| one.ground != own.ground);
            if differs && own.ground != Colour::Ground {
                if found.is_some() {
                    return None;
                }
                found = Some(row);
            }
        }
        found
    }
}

fn painted(cells: &[Drawn]) -> Option<Painted> {
    // Not the edges of a box.
    let is_text = |cell: &Drawn| !cell.c.is_whitespace() && !matches!(cell.c, '\u{2500}'..='\u{259f}' | '|');
    let (begins, ends) = (cells.iter().position(is_text)?, cells.iter().rposition(is_text)?);
    let text = &cells[begins..=ends];
    let ground = text.first()?.style.ground;
    let letters = text.iter().filter(|cell| cell.c.is_alphanumeric()).count();
    let is_one = text.iter().all(|cell| cell.style.ground == ground);
    (is_one && letters >= LETTERS_MIN).then_some(Painted { ground, begins })
}

#[cfg(test)]
mod tests {
    use super::super::TermSize;
    use super::*;

    fn points(text: &str) -> bool {
        let mut screen = Screen::new(TermSize { cols: 40, rows: 10 });
        screen.feed(text.replace('\n', "\r\n").as_bytes());
        screen.points_by_colour()
    }

    #[test]
    fn the_row_that_alone_stands_out_is_pointed_at() {
        let pointed = |text: &str| {
            let mut screen = Screen::new(TermSize { cols: 40, rows: 10 });
            screen.feed(text.replace('\n', "\r\n").as_bytes());
            screen.colored_row()
        };
        assert_eq!(pointed("Which?\n Install\n\x1b[7m Repair \x1b[0m\n Quit"), Some(2));
        assert_eq!(pointed("┌───────────┐\n│\x1b[7m Install   \x1b[0m│\n│ Quit      │"), Some(1));
        assert_eq!(pointed("\x1b[7m Install \x1b[0m\n Repair\n\x1b[7m Quit \x1b[0m"), None, "several");
        assert_eq!(pointed("Which?\n Install\n Quit"), None);
    }

    #[test]
    fn a_row_of_another_ground_in_a_list_is_pointed_at() {
        assert!(points("Setup\n Install\n\x1b[7m Repair \x1b[0m\n Quit"));
        assert!(points(
            "\x1b[44m Install            \n\x1b[47m Repair             \n\x1b[44m Quit               \x1b[0m"
        ));
        assert!(points("┌───────────┐\n│ Install   │\n│\x1b[7m Repair    \x1b[0m│\n│ Quit      │"));
        assert!(!points("Setup\n Install\n Repair\n Quit"));
        assert!(!points("\x1b[44m Install \n Repair \n Quit \x1b[0m"), "a screen of one ground");
        assert!(!points("\x1b[7m title in the middle\x1b[0m\n\nName: "));
        assert!(!points("          \x1b[7mcentered\x1b[0m\nName: "));
        assert!(!points("\x1b[44m user \x1b[42m ~/work \x1b[0m ls\nfile"), "a prompt in several colours");
    }
}
