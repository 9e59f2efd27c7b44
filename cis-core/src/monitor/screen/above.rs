//! The rows above a prompt, which say what is decided there: read in a form in which they can be compared.

use std::ops::Range;

use super::Page;
use super::noise::counted;
use super::rows::{is_frame, is_rule, unboxed, unpointed};

/// Rows above a prompt's first row that belong to it, blank ones included.
pub(in crate::monitor) const ABOVE_ROWS_MAX: usize = 30;

/// Where the rows above a prompt are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::monitor) struct Reach {
    /// The row below the lowest of them.
    pub(in crate::monitor) row: usize,
    /// How many rows they are, where the screen has so many.
    pub(in crate::monitor) rows: usize,
    /// From this row up, they end at the upper edge of a box: what stands above that is not the dialog's.
    pub(in crate::monitor) boxed: Option<usize>,
}

impl Reach {
    /// The rows that it reaches.
    pub(super) fn range(self, page: &Page) -> Range<usize> {
        let lines = &page.view.lines;
        let to = self.row.min(lines.len());
        let mut from = to.saturating_sub(self.rows);
        if let Some(row) = self.boxed.filter(|row| *row < lines.len()) {
            let between = row.saturating_add(1).max(from)..to.max(row + 1);
            let filled = lines[between].iter().filter(|line| is_filled(line)).count();
            from = upper_edge(lines, page.view.cols, from, row, filled).min(to);
        }
        from..to
    }
}

/// Nothing is shown above the row, and the screen may have scrolled.
fn is_top(page: &Page, row: usize) -> bool {
    row == 0 && !page.view.alternate
}

/// The rows above a prompt, without frames, pointers, and what moves by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::monitor) struct Above {
    /// The lowest first. Blank ones are empty.
    rows: Vec<String>,
    /// Columns and rows of the screen.
    size: (u16, usize),
    /// The highest of them is the first row of the screen, and what was above it may have scrolled away.
    is_cut: bool,
    /// There may be more above them than they show.
    is_part: bool,
}

/// How the rows above a prompt compare with those of another moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::monitor) enum Compared {
    Same,
    /// The same, but wrapped at another width, or with the upper ones scrolled away.
    Moved,
    Different,
}

impl Above {
    pub(in crate::monitor) fn of(page: &Page, reach: Reach) -> Self {
        let lines = &page.view.lines;
        let range = reach.range(page);
        // A narrower terminal wraps rows, and the upper ones scroll away.
        let is_top = is_top(page, range.start);
        let is_full = page.end().max(page.cursor_row() + 1) >= lines.len();
        let is_part = is_top || range.len() == reach.rows;
        Self {
            rows: lines[range].iter().rev().map(|row| counted(unpointed(row))).collect(),
            size: (page.view.cols, lines.len()),
            is_cut: is_full && is_top,
            is_part,
        }
    }

    /// Compares `now` with these rows. `alike`: whether the row at that distance only moved by itself from the one text to
    /// the other.
    pub(in crate::monitor) fn compare(
        &self,
        now: &Self,
        alike: impl Fn(usize, &str, &str) -> bool,
    ) -> Compared {
        let same_at = |at: usize| self.row(at) == now.row(at) || alike(at, self.row(at), now.row(at));
        let same_to = |count: usize| (0..count).all(same_at);
        let resized = self.size != now.size;
        if same_to(self.rows.len().max(now.rows.len())) {
            return if resized { Compared::Moved } else { Compared::Same };
        }
        if !resized && self.words() == now.words() {
            return Compared::Same;
        }
        if resized && self.text() == now.text() {
            return Compared::Moved;
        }
        let cut = now.is_cut && now.rows.len() < self.rows.len() && same_to(now.rows.len());
        if cut || (resized && self.wraps(now)) {
            return Compared::Moved;
        }
        Compared::Different
    }

    /// After another size, one of them shows no more than the end of the other.
    fn wraps(&self, now: &Self) -> bool {
        let (was, is) = (self.text(), now.text());
        (now.is_part && was.ends_with(&is)) || (self.is_part && !was.is_empty() && is.ends_with(&was))
    }

    /// Whether it shows no less than the other one.
    pub(in crate::monitor) fn shows_all_of(&self, other: &Self) -> bool {
        self.text().len() >= other.text().len()
    }

    /// The rows, the lowest first.
    pub(in crate::monitor) fn rows(&self) -> &[String] {
        &self.rows
    }

    pub(in crate::monitor) fn size(&self) -> (u16, usize) {
        self.size
    }

    fn row(&self, at: usize) -> &str {
        self.rows.get(at).map_or("", String::as_str)
    }

    /// All of its words.
    fn words(&self) -> Vec<&str> {
        self.rows.iter().rev().flat_map(|row| row.split_whitespace()).collect()
    }

    /// All of it without blanks: the same, wherever it is wrapped.
    fn text(&self) -> String {
        self.rows.iter().rev().flat_map(|row| row.split_whitespace()).collect()
    }
}

/// The row below the nearest upper edge, from `row` up, of a box that holds more than a question. Below `row` it holds
/// so many rows with text. An edge begins left of the question, and has corners or spans a third of the screen: other rules are a
/// part of what the box holds.
fn upper_edge(lines: &[String], cols: u16, from: usize, row: usize, mut filled: usize) -> usize {
    let question = lines[row].chars().take_while(|c| is_frame(*c)).count().max(1);
    for row in (from..=row).rev() {
        let line = lines[row].trim_start();
        let is_left = lines[row].chars().take_while(|c| c.is_whitespace()).count() < question;
        let spans = || line.starts_with(['─', '━', '▔']) && line.chars().count() * 3 >= usize::from(cols);
        if filled > 1 && is_left && is_rule(line) && (line.starts_with(['╭', '┌', '╔']) || spans()) {
            return row + 1;
        }
        filled += usize::from(is_filled(line));
    }
    from
}

fn is_filled(line: &str) -> bool {
    !unboxed(line).is_empty() && !is_rule(line)
}
