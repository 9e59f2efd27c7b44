//! Markers: lines that a program begins with an agreed word. They count where its profile says so, at a
//! line's start, in exact case, and each of them once.

use std::collections::BTreeMap;

use crate::event::{PromptKind, SaidKind};
use crate::monitor::clean;
use crate::monitor::verdict::Change;

/// So many different lines are remembered.
const LINES_MAX: usize = 256;
/// A line is cut after so many characters.
const TEXT_CHARS_MAX: usize = 1000;
/// A question counts while it is among the lowest rows.
const ASKING_ROWS: usize = 3;

/// Lines that were told, and how often each stood on the screen at once.
#[derive(Debug, Clone, Default)]
pub(super) struct Markers {
    told: BTreeMap<String, usize>,
    /// The question that stands lowest, its kind and row.
    pub(super) asks: Option<(PromptKind, String)>,
    /// That row as it stands on the screen.
    pub(super) row: String,
}

impl Markers {
    /// Reads the screen's rows and appends what is new.
    pub(super) fn read(&mut self, rows: &[String], changes: &mut Vec<Change>) {
        let mut shown: BTreeMap<&str, usize> = BTreeMap::new();
        for row in rows {
            let row = row.trim_end();
            let Some(change) = told(row) else { continue };
            let count = shown.entry(row).or_default();
            *count += 1;
            let before = self.told.get(row).copied().unwrap_or(0);
            if *count > before && (before > 0 || self.told.len() < LINES_MAX) {
                self.told.insert(row.to_owned(), *count);
                changes.push(change);
            }
        }
        let filled = || rows.iter().rev().filter(|row| !row.trim().is_empty()).take(ASKING_ROWS);
        let lowest = filled().find_map(|row| Some((asked(row.trim_end())?, row.trim_end().to_owned())));
        (self.asks, self.row) = lowest.map(|(asked, row)| (Some(asked), row)).unwrap_or_default();
    }
}

fn told(row: &str) -> Option<Change> {
    let text = |rest: &str| clean::text(rest, TEXT_CHARS_MAX);
    if let Some(rest) = row.strip_prefix("ERROR:") {
        return Some(Change::Marker { kind: SaidKind::Error, text: text(rest) });
    }
    row.strip_prefix("COMPLETE:").map(|rest| Change::Complete { text: text(rest) })
}

fn asked(row: &str) -> Option<(PromptKind, String)> {
    if let Some(rest) = row.strip_prefix("QUESTION:") {
        return Some((PromptKind::Question, clean::text(rest, TEXT_CHARS_MAX)));
    }
    row.strip_prefix("PERMISSION:").map(|rest| (PromptKind::Permission, clean::text(rest, TEXT_CHARS_MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_once_and_only_at_its_start() {
        let mut markers = Markers::default();
        let mut read = |rows: &[&str]| {
            let rows: Vec<String> = rows.iter().map(|row| (*row).to_owned()).collect();
            let mut changes = Vec::new();
            markers.read(&rows, &mut changes);
            changes.len()
        };
        assert_eq!(read(&["ERROR: disk", "an ERROR: quoted", "error: lower"]), 1);
        assert_eq!(read(&["", "ERROR: disk"]), 0);
        assert_eq!(read(&["ERROR: disk", "ERROR: disk"]), 1);
        assert_eq!(read(&["COMPLETE: all of it"]), 1);
        assert_eq!(read(&["QUESTION: which?", ""]), 0);
        assert_eq!(markers.asks, Some((PromptKind::Question, "which?".to_owned())));
    }
}
