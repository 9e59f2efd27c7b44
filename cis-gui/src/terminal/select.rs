//! Places on a screen and in its history: selected text, and text that is searched for.

use cis_core::terminal::screen::Screen;

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
        let mut skip = false;
        for (col, cell) in cells.iter().enumerate().take(to).skip(from) {
            if !std::mem::replace(&mut skip, cell.wide) {
                out.push(cell.c);
                if cell.marked {
                    out.extend(screen.marks(line, col));
                }
            }
        }
        out.truncate(start + out[start..].trim_end().len());
        if line != last.line {
            out.push('\n');
        }
    }
    out
}

/// A search for a text, in capitals or not, from the newest line to the oldest one and in parts: a long history is not
/// searched between two frames. A text goes not over the end of a line.
#[derive(Debug)]
pub struct Finder {
    needle: Vec<char>,
    limit: usize,
    /// The line that is searched next; above it nothing is.
    next: i32,
    /// Newest first.
    found: Vec<Selection>,
}

impl Finder {
    /// Begins; at most `limit` of the newest are found.
    #[must_use]
    pub fn new(screen: &Screen, needle: &str, limit: usize) -> Self {
        let needle = needle.chars().flat_map(char::to_lowercase).collect();
        Self { needle, limit, next: i32::from(screen.size().rows) - 1, found: Vec::new() }
    }

    /// So many more lines scrolled out.
    pub fn scrolled(&mut self, lines: i32) {
        self.next = self.next.saturating_sub(lines);
        for hit in &mut self.found {
            *hit = hit.scrolled(lines);
        }
    }

    /// Searches on, in about so many cells; it is at its end then.
    pub fn go_on(&mut self, screen: &Screen, cells_max: usize) -> bool {
        let top = -i32::try_from(screen.history()).unwrap_or(i32::MAX);
        let mut left = cells_max;
        let (mut cells, mut text) = (Vec::new(), Vec::new());
        while self.next >= top && !self.needle.is_empty() && self.found.len() < self.limit {
            if left == 0 {
                return false;
            }
            let line = self.next;
            self.next -= 1;
            screen.line(line, &mut cells);
            left = left.saturating_sub(cells.len().max(1));
            // Column of every character; a wide one has two.
            text.clear();
            let mut skip = false;
            for (col, cell) in cells.iter().enumerate() {
                if !std::mem::replace(&mut skip, cell.wide) {
                    text.push((cell.c.to_lowercase().next().unwrap_or(cell.c), col));
                    if cell.marked {
                        text.extend(screen.marks(line, col).map(|mark| (mark, col)));
                    }
                }
            }
            let hits = text
                .windows(self.needle.len())
                .rev()
                .filter(|window| window.iter().zip(&self.needle).all(|((c, _), wanted)| c == wanted));
            for window in hits.take(self.limit - self.found.len()) {
                let at = |index: usize| Place { line, col: window[index].1 };
                self.found.push(Selection { from: at(0), to: at(window.len() - 1) });
            }
        }
        true
    }

    /// Where it stands, oldest first.
    #[must_use]
    pub fn found(mut self) -> Vec<Selection> {
        self.found.reverse();
        self.found
    }
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

    fn find(screen: &Screen, needle: &str, limit: usize) -> Vec<Selection> {
        let mut finder = Finder::new(screen, needle, limit);
        assert!(finder.go_on(screen, usize::MAX));
        finder.found()
    }

    #[test]
    fn a_search_in_parts_finds_what_one_at_once_does_while_lines_scroll_out() {
        let mut screen = Screen::with_history(TermSize { cols: 12, rows: 2 }, 1_000);
        let lines = |n: u32| format!("error {n}\r\n").repeat(50);
        screen.feed(lines(1).as_bytes());
        let mut finder = Finder::new(&screen, "error 1", 100);
        let mut parts = 1;
        while !finder.go_on(&screen, 120) {
            let before = screen.scrolled();
            screen.feed(b"more\r\n");
            finder.scrolled(i32::try_from(screen.scrolled() - before).unwrap());
            parts += 1;
        }
        assert!((5..8).contains(&parts), "{parts}");
        assert_eq!(finder.found(), find(&screen, "error 1", 100));
    }

    #[test]
    fn letters_of_more_than_one_character_are_found_and_copied_whole() {
        let mut screen = Screen::with_history(TermSize { cols: 12, rows: 1 }, 100);
        screen.feed("cafe\u{301} 👩\u{200d}💻!".as_bytes());
        let found = find(&screen, "CAFE\u{301}", 10);
        assert_eq!((found[0].from.col, found[0].to.col), (0, 3));
        let selection = Selection { from: Place { line: 0, col: 3 }, to: Place { line: 0, col: 11 } };
        assert_eq!(text_between(&screen, selection), "e\u{301} 👩\u{200d}💻!");
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
