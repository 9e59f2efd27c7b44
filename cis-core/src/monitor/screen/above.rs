//! The rows above a prompt, which say what is decided there: read in a form in which they can be compared.

use super::Page;
use super::noise::counted;
use super::page::fingerprint;
use super::rows::{is_rule, unboxed, unpointed};

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
        let to = reach.row.min(lines.len());
        let mut from = to.saturating_sub(reach.rows);
        if let Some(row) = reach.boxed.filter(|row| *row < lines.len()) {
            let between = row.saturating_add(1).max(from)..to.max(row + 1);
            let filled = lines[between].iter().filter(|line| is_filled(line)).count();
            from = upper_edge(lines, from, row, filled).min(to);
        }
        let is_full = page.end().max(page.cursor_row() + 1) >= lines.len();
        let is_cut = from == 0 && is_full && !page.view.alternate;
        let rows = lines[from..to].iter().rev();
        Self {
            rows: rows.map(|row| counted(unpointed(row))).collect(),
            size: (page.view.cols, lines.len()),
            is_cut,
            is_part: is_cut || to - from == reach.rows,
        }
    }

    /// Compares `now` with these rows. `moves`: whether the row at that distance moves by itself.
    pub(in crate::monitor) fn compare(&self, now: &Self, moves: impl Fn(usize) -> bool) -> Compared {
        let same_to = |count: usize| (0..count).all(|at| moves(at) || self.row(at) == now.row(at));
        let resized = self.size != now.size;
        let same = if resized { Compared::Moved } else { Compared::Same };
        if same_to(self.rows.len().max(now.rows.len())) {
            return same;
        }
        let (was, is) = (self.text(), now.text());
        if was == is {
            return same;
        }
        let cut = now.is_cut && now.rows.len() < self.rows.len() && same_to(now.rows.len());
        let wraps = (now.is_part && was.ends_with(&is)) || (self.is_part && is.ends_with(&was));
        if cut || (resized && wraps) {
            return Compared::Moved;
        }
        Compared::Different
    }

    /// The hash of a prompt below these rows, of which `hash` is the hash without them.
    pub(in crate::monitor) fn hash(&self, hash: &str, moves: impl Fn(usize) -> bool) -> String {
        let rows = self.rows.iter().enumerate().filter(|(at, row)| !row.is_empty() && !moves(*at));
        let rows: Vec<&str> = rows.map(|(_, row)| row.as_str()).collect();
        if rows.is_empty() { hash.to_owned() } else { fingerprint([hash].into_iter().chain(rows)) }
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

    /// All of it without blanks: the same, wherever it is wrapped.
    fn text(&self) -> String {
        self.rows.iter().rev().flat_map(|row| row.split_whitespace()).collect()
    }
}

/// The row below the nearest upper edge, from `row` up, of a box that holds more than a question. Below `row` it holds
/// so many rows with text.
fn upper_edge(lines: &[String], from: usize, row: usize, mut filled: usize) -> usize {
    for row in (from..=row).rev() {
        let line = lines[row].trim_start();
        if filled > 1 && is_rule(line) && line.starts_with(['╭', '┌', '╔', '─', '━', '▔']) {
            return row + 1;
        }
        filled += usize::from(is_filled(line));
    }
    from
}

fn is_filled(line: &str) -> bool {
    !unboxed(line).is_empty() && !is_rule(line)
}
