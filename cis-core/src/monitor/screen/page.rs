//! A screen as rows to read: the text left of the cursor, boxes taken off, where a prompt stands.

use sha2::{Digest as _, Sha256};
use unicode_width::UnicodeWidthChar;

use super::noise;
use super::options::{last_question, letters};
use super::rows::{ends_asking, is_frame, is_rule, unboxed};
use super::shape::{Shape, shape_of};
use super::words::TAKES;
use crate::monitor::evidence::ScreenView;

/// Rows above the cursor's that belong to a prompt, not counting blank ones.
const ABOVE_ROWS: usize = 3;
/// What is typed at a prompt may wrap over so many rows.
const TYPED_ROWS_MAX: usize = 4;

/// A screen, prepared.
#[derive(Debug, Clone, Default)]
pub(in crate::monitor) struct Page {
    /// As it was given.
    pub(in crate::monitor) view: ScreenView,
    /// The text left of the cursor, with its blanks.
    pub(in crate::monitor) lead: String,
}

/// Where a prompt stands: what must be found again for it to be the same one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::monitor) enum Place {
    /// At the cursor: the rows above and the text before it.
    Line {
        /// Without blank ones.
        above: Vec<String>,
        /// Without blanks at its ends, and without times.
        lead: String,
    },
    /// What a rule found, wherever it is.
    Rule,
    /// A row somewhere on the screen, of a terminal inside.
    Row {
        /// Its text.
        text: String,
    },
    /// The whole screen.
    Whole,
}

impl Page {
    pub(in crate::monitor) fn of(mut view: ScreenView) -> Self {
        let row = view.lines.get(usize::from(view.cursor_row)).map_or("", String::as_str);
        let mut cells = 0;
        let lead = row
            .chars()
            .take_while(|c| {
                cells += c.width().unwrap_or(0);
                cells <= usize::from(view.cursor_col)
            })
            .collect();
        let lead = noise::unechoed(lead);
        for line in view.lines.iter_mut().filter(|line| line.contains("^[")) {
            *line = noise::unechoed(std::mem::take(line));
        }
        Self { view, lead }
    }

    pub(in crate::monitor) fn row(&self, row: usize) -> &str {
        self.view.lines.get(row).map_or("", String::as_str)
    }

    pub(in crate::monitor) fn cursor_row(&self) -> usize {
        usize::from(self.view.cursor_row)
    }

    /// The row below the last one that holds anything.
    pub(in crate::monitor) fn end(&self) -> usize {
        self.view.lines.iter().rposition(|line| !line.trim().is_empty()).map_or(0, |row| row + 1)
    }

    /// Nothing stands right of the cursor nor below it.
    pub(in crate::monitor) fn at_end(&self) -> bool {
        let row = self.row(self.cursor_row()).trim_end();
        row.len() <= self.lead.len() && self.end() <= self.cursor_row() + 1
    }

    /// The rows above `row` that are not blank, at most `count`, the highest first, boxes taken off.
    pub(in crate::monitor) fn above(&self, row: usize, count: usize) -> Vec<String> {
        let rows = self.view.lines.iter().take(row).rev();
        let mut above: Vec<String> =
            rows.map(|line| unboxed(line).to_owned()).filter(|line| !line.is_empty()).take(count).collect();
        above.reverse();
        above
    }

    /// The text before the cursor, from its last question on; where there is none, the nearest row above, at most two rows away.
    pub(in crate::monitor) fn asking(&self) -> String {
        let lead = unboxed(&self.lead);
        if !lead.is_empty() {
            return match self.begun_above(lead).or_else(|| self.asked_above(lead)) {
                Some(begun) => format!("{begun} {lead}"),
                None => last_question(lead).to_owned(),
            };
        }
        let row = self.cursor_row();
        let near = (row.saturating_sub(2)..row).rev().map(|row| unboxed(self.row(row)));
        near.into_iter().find(|line| !line.is_empty() && !is_rule(line)).unwrap_or_default().to_owned()
    }

    /// The rows above the cursor's in which its question begins, with a sign: a program that places each row has wrapped it.
    fn begun_above(&self, lead: &str) -> Option<String> {
        let begins = |row: &str| row.starts_with("? ") || row.starts_with("[?] ");
        if begins(lead) {
            return None;
        }
        let lowest = self.cursor_row();
        let first =
            (lowest.saturating_sub(TYPED_ROWS_MAX)..lowest).rev().find(|row| begins(self.row(*row)))?;
        let rows: Vec<&str> = (first..lowest).map(|row| self.row(row).trim()).collect();
        // Each of them is as long as it may be: no word of the next one would fit.
        let is_full = |row: &&str| {
            let cells = row.chars().map(|c| c.width().unwrap_or(0)).sum::<usize>();
            cells * 4 > usize::from(self.view.cols) * 3 && !row.ends_with(['?', ':', ')', '？', '：'])
        };
        rows.iter().all(is_full).then(|| rows.join(" "))
    }

    /// The row right above, where it asks, and the cursor's row only takes the answer: `Your choice [y/n]: `.
    fn asked_above(&self, lead: &str) -> Option<String> {
        let row = self.cursor_row();
        let near = (row.saturating_sub(2)..row).rev().map(|row| unboxed(self.row(row)));
        let above = near.into_iter().find(|row| !row.is_empty())?;
        let takes = lead.contains(|c: char| c.is_alphanumeric()) && TAKES.is_match(lead);
        let names = || !lead.contains(['?', '？']) && letters(lead, true).len() == 2;
        let is_bare = matches!(lead, ">" | ":" | "?");
        let agrees = || letters(above, true).iter().any(|option| option.meaning.is_some());
        let is_pair = lead == ">" && !self.view.alternate && above.ends_with([')', ']']);
        let asks = ends_asking(above) || (is_pair && agrees());
        (asks && (takes || is_bare || names())).then(|| above.to_owned())
    }

    /// The prompt at the cursor.
    pub(in crate::monitor) fn line(&self) -> Place {
        let above = self.above(self.cursor_row(), ABOVE_ROWS).iter().map(|line| noise::still(line)).collect();
        Place::Line { above, lead: self.asks() }
    }

    /// The text before the cursor without blanks at its ends, and without times: by that a question is found again.
    pub(in crate::monitor) fn asks(&self) -> String {
        noise::timeless(self.lead.trim()).into_owned()
    }

    /// Whether the prompt may stand there with something typed at it. Where nothing was typed, text behind it
    /// is the program's, and so another prompt: [`Page::untouched`].
    pub(in crate::monitor) fn shows(&self, place: &Place) -> bool {
        match place {
            Place::Line { above, lead } => {
                let lowest = self.cursor_row();
                (lowest.saturating_sub(TYPED_ROWS_MAX)..=lowest)
                    .rev()
                    .any(|row| self.is_line(row, above, lead) && self.wraps(row, lowest))
            }
            Place::Row { text } => self.behind(text).is_some(),
            Place::Rule | Place::Whole => true,
        }
    }

    /// The row where the prompt stands: a line is at the cursor, where it is found nowhere else. None where a row is
    /// not on the screen.
    pub(in crate::monitor) fn row_of(&self, place: &Place) -> Option<usize> {
        let lowest = self.cursor_row();
        match place {
            Place::Line { above, lead } => (lowest.saturating_sub(TYPED_ROWS_MAX)..=lowest)
                .rev()
                .find(|row| self.is_line(*row, above, lead) && self.wraps(*row, lowest))
                .or(Some(lowest)),
            Place::Row { text } => {
                let text = unboxed(text);
                self.view.lines.iter().rposition(|line| unboxed(line).starts_with(text))
            }
            Place::Rule | Place::Whole => None,
        }
    }

    /// What stands behind this text in the lowest row that begins with it; none where there is no such row, or
    /// something further down asks: that is the next question.
    fn behind(&self, text: &str) -> Option<&str> {
        let text = unboxed(text);
        let rows = || self.view.lines.iter().map(|line| unboxed(line)).enumerate();
        let (at, row) = rows().rfind(|(_, row)| row.starts_with(text))?;
        let asks = |row: &str| ends_asking(row) && !row.starts_with(text);
        let next = rows().skip(at + 1).any(|(_, row)| asks(row));
        row.strip_prefix(text).filter(|_| !next)
    }

    fn is_line(&self, row: usize, above: &[String], lead: &str) -> bool {
        let text = self.row(row).trim_start();
        // Where nothing stood, whatever looks like a prompt is one, and nothing that was typed.
        let typed = || row == self.cursor_row() && shape_of(&self.lead) != Shape::Strong;
        let starts = |text: &str| noise::timeless(text).trim_start().starts_with(lead);
        // Letters that are typed right behind a time make another word of it.
        let parts = || text.char_indices().rev().map(|(at, _)| &text[..at]);
        let asked = || text.starts_with(lead) || starts(text) || (lead.ends_with('·') && parts().any(starts));
        let same = if lead.is_empty() { typed() } else { asked() };
        same && self.above(row, ABOVE_ROWS).iter().map(|line| noise::still(line)).eq(above.iter().cloned())
    }

    /// All rows from `from` to the one before `to` are full. Those that the terminal has wrapped are one row already.
    fn wraps(&self, from: usize, to: usize) -> bool {
        let cells = |row: usize| self.row(row).chars().map(|c| c.width().unwrap_or(0)).sum::<usize>();
        let is_full = |row: usize| self.view.alternate && cells(row) + 2 > usize::from(self.view.cols);
        (from..to).all(is_full)
    }

    /// Whether the prompt stands there exactly as it came: nothing is typed at it, and the program put nothing
    /// else in its place.
    pub(in crate::monitor) fn untouched(&self, place: &Place) -> bool {
        match place {
            Place::Line { .. } => self.line() == *place,
            // Some paint a cursor of their own behind it.
            Place::Row { text } => self
                .behind(text)
                .is_some_and(|rest| rest.trim_matches(|c| is_frame(c) || c == '_').is_empty()),
            Place::Rule | Place::Whole => true,
        }
    }
}

/// 16 hex digits of a prompt's text.
pub(in crate::monitor) fn fingerprint<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hex::encode(&hash.finalize()[..8])
}

/// The hash of a prompt that stands there.
pub(in crate::monitor) fn line_hash(place: &Place) -> String {
    match place {
        Place::Line { above, lead } => fingerprint(above.iter().map(String::as_str).chain([lead.as_str()])),
        Place::Row { text } => fingerprint([text.as_str()]),
        Place::Rule | Place::Whole => fingerprint([]),
    }
}
