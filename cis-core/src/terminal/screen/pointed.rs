//! Rows that a program points at by their colour alone, as menus of curses do.

use super::Screen;
use super::grid::{Colour, Drawn, Style};
use crate::monitor::PointedBy;

/// A row that is painted in one colour is an option only with so many letters or digits.
const LETTERS_MIN: usize = 2;

/// Options begin in about the same column.
const APART_MAX: usize = 2;

/// A row of text on one ground.
#[derive(Clone, Copy)]
struct Painted {
    ground: Colour,
    /// Of its letters, where all have the same.
    ink: Option<Ink>,
    begins: usize,
}

/// How letters are drawn.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Ink {
    text: Colour,
    bold: bool,
    underline: bool,
}

impl Ink {
    fn of(style: &Style) -> Self {
        Self { text: style.text, bold: style.bold, underline: style.underline }
    }
}

impl Painted {
    /// They may be options of one list.
    fn is_beside(self, other: Self) -> bool {
        self.begins.abs_diff(other.begins) <= APART_MAX
    }
}

impl Screen {
    /// Whether a row stands out by its ground from the row above or below it, which begins in about the same column: a list with a pointer
    /// that has no sign.
    #[must_use]
    pub fn points_by_colour(&self) -> bool {
        let rows = self.painted_rows();
        let mut pairs = rows.windows(2).filter_map(|pair| pair[0].zip(pair[1]));
        pairs.any(|(above, below)| above.is_beside(below) && above.ground != below.ground)
    }

    /// The row of a list that stands out, and by what.
    pub(super) fn pointed_row(&self) -> Option<(usize, PointedBy)> {
        let rows = self.painted_rows();
        let by_ground = by_ground(&rows).map(|row| (row, PointedBy::Ground));
        by_ground.or_else(|| by_ink(&rows).map(|row| (row, PointedBy::Letters)))
    }

    /// Each row; none where it has no text, or text on several grounds.
    fn painted_rows(&self) -> Vec<Option<Painted>> {
        let mut cells = Vec::new();
        let rows = 0..i32::from(self.size().rows);
        rows.map(|line| {
            self.line(line, &mut cells);
            painted(&cells)
        })
        .collect()
    }
}

/// The row of a list that alone stands out by its ground: the rows above and below it, which begin in about the same column, are on another
/// one. None where several do.
fn by_ground(rows: &[Option<Painted>]) -> Option<usize> {
    let at = |row: usize| rows.get(row).copied().flatten();
    let stands_out = |row: &usize| {
        let Some(own) = at(*row).filter(|own| own.ground != Colour::Ground) else { return false };
        let neighbors = row.checked_sub(1).and_then(at).into_iter().chain(at(row + 1));
        let mut beside = neighbors.filter(|other| own.is_beside(*other)).peekable();
        beside.peek().is_some() && beside.all(|other| other.ground != own.ground)
    };
    only((0..rows.len()).filter(stands_out))
}

/// The row of a list whose letters alone are drawn otherwise than all others of the list, which are alike. None where several are.
fn by_ink(rows: &[Option<Painted>]) -> Option<usize> {
    let at = |row: usize| rows.get(row).copied().flatten();
    let stands_out = |row: &usize| {
        let Some((own, ink)) = at(*row).and_then(|own| Some((own, own.ink?))) else { return false };
        let is_one = |other: &Option<Painted>| other.is_some_and(|other| own.is_beside(other));
        let above = rows[..*row].iter().rev().take_while(|other| is_one(other));
        let below = rows[row + 1..].iter().take_while(|other| is_one(other));
        let mut others = above.chain(below).map(|other| other.and_then(|other| other.ink));
        let (Some(Some(first)), Some(second)) = (others.next(), others.next()) else { return false };
        ink != first && second == Some(first) && others.all(|other| other == Some(first))
    };
    only((0..rows.len()).filter(stands_out))
}

fn only(mut found: impl Iterator<Item = usize>) -> Option<usize> {
    found.next().filter(|_| found.next().is_none())
}

fn painted(cells: &[Drawn]) -> Option<Painted> {
    // Not the edges of a box.
    let is_text = |cell: &Drawn| !cell.c.is_whitespace() && !matches!(cell.c, '\u{2500}'..='\u{259f}' | '|');
    let (begins, ends) = (cells.iter().position(is_text)?, cells.iter().rposition(is_text)?);
    let text = &cells[begins..=ends];
    let ground = text.first()?.style.ground;
    let letters = text.iter().filter(|cell| cell.c.is_alphanumeric()).count();
    let is_one = text.iter().all(|cell| cell.style.ground == ground);
    let mut inks = text.iter().filter(|cell| cell.c.is_alphanumeric()).map(|cell| Ink::of(&cell.style));
    let ink = inks.next().filter(|first| inks.all(|ink| ink == *first));
    (is_one && letters >= LETTERS_MIN).then_some(Painted { ground, ink, begins })
}

#[cfg(test)]
mod tests {
    use super::super::TermSize;
    use super::*;

    fn screen(text: &str) -> Screen {
        let mut screen = Screen::new(TermSize { cols: 40, rows: 10 });
        screen.feed(text.replace('\n', "\r\n").as_bytes());
        screen
    }

    fn points(text: &str) -> bool {
        screen(text).points_by_colour()
    }

    #[test]
    fn the_row_that_alone_stands_out_is_pointed_at() {
        let pointed = |text: &str| by_ground(&screen(text).painted_rows());
        assert_eq!(pointed("Which?\n Install\n\x1b[7m Repair \x1b[0m\n Quit"), Some(2));
        assert_eq!(pointed("┌───────────┐\n│\x1b[7m Install   \x1b[0m│\n│ Quit      │"), Some(1));
        assert_eq!(pointed("\x1b[7m Install \x1b[0m\n Repair\n\x1b[7m Quit \x1b[0m"), None, "several");
        assert_eq!(pointed("Which?\n Install\n Quit"), None);
    }

    #[test]
    fn the_row_whose_letters_stand_out_is_pointed_at() {
        let pointed = |text: &str| by_ink(&screen(text).painted_rows());
        assert_eq!(pointed("Which?\n  Install\n  \x1b[36mRepair\x1b[0m\n  Quit"), Some(2));
        assert_eq!(pointed("Which?\n  Install\n  \x1b[4mRepair\x1b[0m\n  Quit"), Some(2));
        assert_eq!(pointed("Install\n\x1b[36mRepair\x1b[0m"), None, "nothing tells which of two");
        assert_eq!(pointed("  one\n  \x1b[31mtwo\x1b[0m\n  three\n  \x1b[31mfour\x1b[0m"), None, "a log");
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
