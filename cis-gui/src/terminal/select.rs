//! Places on a screen and in its history: selected text, and text that is searched for.

use cis_core::terminal::screen::{Drawn, Screen};

/// A cell: line (0 is the screen's first, what scrolled out is below 0) and column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: i32,
    /// The column, from 0.
    pub col: usize,
}

/// What is selected: from where it began to where the pointer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Selection {
    /// Where it began.
    pub from: Place,
    /// Where it is now.
    pub to: Place,
}

impl Selection {
    /// First and last cell.
    #[must_use]
    pub fn range(self) -> (Place, Place) {
        (self.from.min(self.to), self.from.max(self.to))
    }

    /// Whether a cell is in it.
    #[must_use]
    pub fn contains(self, place: Place) -> bool {
        let (first, last) = self.range();
        first <= place && place <= last
    }

    /// The same text after so many more lines scrolled out.
    #[must_use]
    pub fn scrolled(self, lines: i32) -> Self {
        let up = |place: Place| Place { line: place.line.saturating_sub(lines), ..place };
        Self { from: up(self.from), to: up(self.to) }
    }
}

/// The text from a cell to another one, both with it, without the blanks at ends of lines.
#[must_use]
pub fn text_between(screen: &Screen, selection: Selection) -> String {
    let (first, last) = selection.range();
    let mut cells = Vec::new();
    let mut out = String::new();
    let top = -i32::try_from(screen.history()).unwrap_or(i32::MAX);
    for line in first.line.max(top)..=last.line {
        screen.line(line, &mut cells);
        let from = if line == first.line { first.col.min(cells.len()) } else { 0 };
        let to = if line == last.line { (last.col + 1).min(cells.len()) } else { cells.len() };
        let start = out.len();
        push(&cells[from..to.max(from)], &mut out);
        out.truncate(start + out[start..].trim_end().len());
        if line != last.line {
            out.push('\n');
        }
    }
    out
}

fn push(cells: &[Drawn], out: &mut String) {
    let mut skip = false;
    for cell in cells {
        if !std::mem::replace(&mut skip, cell.wide) {
            out.push(cell.c);
        }
    }
}

/// Where a text stands, in capitals or not: oldest first, at most `limit` of the newest. A text goes not over the
/// end of a line.
#[must_use]
pub fn find(screen: &Screen, needle: &str, limit: usize) -> Vec<Selection> {
    let needle: Vec<char> = needle.chars().flat_map(char::to_lowercase).collect();
    let mut found = Vec::new();
    if needle.is_empty() {
        return found;
    }
    let mut cells = Vec::new();
    let top = -i32::try_from(screen.history()).unwrap_or(i32::MAX);
    for line in (top..i32::from(screen.size().rows)).rev() {
        screen.line(line, &mut cells);
        // Column of every character; a wide one has two.
        let mut text = Vec::with_capacity(cells.len());
        let mut skip = false;
        for (col, cell) in cells.iter().enumerate() {
            if !std::mem::replace(&mut skip, cell.wide) {
                text.push((cell.c.to_lowercase().next().unwrap_or(cell.c), col));
            }
        }
        let hits = text
            .windows(needle.len())
            .rev()
            .filter(|window| window.iter().zip(&needle).all(|((c, _), wanted)| c == wanted));
        for window in hits {
            let at = |index: usize| Place { line, col: window[index].1 };
            found.push(Selection { from: at(0), to: at(window.len() - 1) });
            if found.len() >= limit {
                found.reverse();
                return found;
            }
        }
    }
    found.reverse();
    found
}

#[cfg(test)]
mod tests {
    use cis_core::api::TermSize;

    use super::*;

    fn screen() -> Screen {
        let mut screen = Screen::with_history(TermSize { cols: 12, rows: 2 }, 100);
        screen.feed("first line\r\nError here\r\n漢字 error".as_bytes());
        screen
    }

    #[test]
    fn text_is_found_in_the_history_and_behind_wide_characters() {
        let found = find(&screen(), "error", 10);
        let at: Vec<(i32, usize)> = found.iter().map(|hit| (hit.from.line, hit.from.col)).collect();
        assert_eq!(at, [(0, 0), (1, 5)]);
        assert_eq!(find(&screen(), "first", 10)[0].from.line, -1);
        assert_eq!(find(&screen(), "error", 1)[0].from.line, 1, "the newest");
        assert!(find(&screen(), "", 10).is_empty());
    }

    #[test]
    fn what_is_selected_is_text_without_blanks_at_the_ends() {
        let (from, to) = (Place { line: -1, col: 6 }, Place { line: 1, col: 3 });
        let selection = Selection { from: to, to: from };
        assert_eq!(text_between(&screen(), selection), "line\nError here\n漢字");
        assert!(selection.contains(Place { line: 0, col: 11 }));
        assert!(!selection.contains(Place { line: 1, col: 4 }));
    }
}
