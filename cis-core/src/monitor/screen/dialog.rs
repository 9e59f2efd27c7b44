//! Dialogs: a text and a row of buttons below it, as libraries for whole screens paint them. Which button
//! is the one that Enter presses is told by colours alone, so no keys are known for them.

use std::sync::LazyLock;

use regex::Regex;

use super::meaning::is_choice;
use super::page::Page;
use super::pattern;
use super::rows::{is_rule, unboxed};

/// So many rows a text may stand above its buttons.
const TEXT_ROWS: usize = 18;

/// A dialog, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Dialog {
    /// What it asks or says.
    pub(super) question: String,
    /// Its buttons.
    pub(super) labels: Vec<String>,
    /// Their row.
    pub(super) row: usize,
}

static BUTTON: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?:\[<|<|\[|\()\s*(?P<label>\pL[\pL '’-]{0,22}?)\s*(?:>\]|>|\]|\))"));
static KNOWN: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r"(?i)^(ok|okay|yes|no|cancel|back|go back|next|finish|accept|abort|help|save|discard|quit|exit|continue|ignore|retry|close|done|apply|skip|delete|remove",
        r"|ja|nein|abbrechen|weiter|zurück|schließen|oui|non|annuler|suivant|retour|sí|aceptar|cancelar|atrás|はい|いいえ|了解|取消|キャンセル|确定|是|否|да|нет|отмена)$",
    ))
});
static GAPS: LazyLock<Regex> = LazyLock::new(|| pattern(r"\s{2,}"));

/// The lowest dialog on the screen.
pub(super) fn dialog_of(page: &Page) -> Option<Dialog> {
    (0..page.end()).rev().find_map(|row| {
        let labels = bracketed(page.row(row)).or_else(|| in_box(page, row))?;
        Some(Dialog { question: text(page, row)?, labels, row })
    })
}

/// `< Yes >  < No >`: nothing else, and at least one that everybody knows.
fn bracketed(row: &str) -> Option<Vec<String>> {
    let row = unboxed(row);
    let labels: Vec<String> =
        BUTTON.captures_iter(row).map(|found| found["label"].trim().to_owned()).collect();
    let rest = BUTTON.replace_all(row, "");
    let bare = rest.trim_matches(|c: char| c.is_whitespace() || ('\u{2500}'..='\u{259f}').contains(&c));
    (bare.is_empty() && labels.iter().any(|label| KNOWN.is_match(label))).then_some(labels)
}

/// Two and more known words apart from each other, in a box.
fn in_box(page: &Page, row: usize) -> Option<Vec<String>> {
    let text = page.row(row).trim();
    let boxed = text.starts_with(['│', '┃', '║', '|']) || usize::from(page.view.cursor_row) == row;
    let labels: Vec<&str> = GAPS.split(unboxed(text).trim()).collect();
    let known = |label: &&str| KNOWN.is_match(label) || is_choice(label);
    let asked = || page.above(row, 1).first().is_some_and(|above| above.ends_with(['?', '？']));
    let counts = (boxed || asked()) && labels.len() >= 2 && labels.iter().all(known);
    counts.then(|| labels.into_iter().map(str::to_owned).collect())
}

/// The nearest row above that asks; without one, the first one of the text.
fn text(page: &Page, buttons: usize) -> Option<String> {
    let rows = (buttons.saturating_sub(TEXT_ROWS)..buttons).rev().map(|row| page.row(row));
    let mut first = None;
    for row in rows {
        // What is filled in stands on a line, or is shown as stars.
        let text = unboxed(row).trim().trim_end_matches(['_', '*', '•', ' ']);
        if is_edge(row) {
            if first.is_some() {
                break;
            }
            continue;
        }
        if text.is_empty() || is_rule(row) {
            continue;
        }
        if text.ends_with(['?', ':', '？', '：']) {
            return Some(text.to_owned());
        }
        first = Some(text.to_owned());
    }
    first
}

/// The upper edge of a box, with or without a title.
fn is_edge(row: &str) -> bool {
    row.trim_start().starts_with(['┌', '╭', '╔', '┏']) || row.contains("┌─") || row.contains("╔═")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::ScreenView;

    fn dialog(screen: &str) -> Option<(String, Vec<String>)> {
        let lines = screen.lines().map(str::to_owned).collect();
        let page = Page::of(ScreenView { lines, cols: 80, ..ScreenView::default() });
        dialog_of(&page).map(|dialog| (dialog.question, dialog.labels))
    }

    #[test]
    fn rows_of_buttons_below_a_text() {
        let asked = dialog(
            "  ┌─────────────────┐\n  │ Remove all of   │\n  │ it?             │\n  ├─────────────────┤\n  │  < Yes >  < No > │\n  └─────────────────┘",
        );
        assert_eq!(asked, Some(("it?".to_owned(), vec!["Yes".to_owned(), "No".to_owned()])));
        let plain = dialog("│ Drop the lot? │\n│               │\n│   yes     no  │");
        assert_eq!(plain, Some(("Drop the lot?".to_owned(), vec!["yes".to_owned(), "no".to_owned()])));
    }

    #[test]
    fn text_in_brackets_is_no_button() {
        assert_eq!(dialog("Usage: tool [help] FILE"), None);
        assert_eq!(dialog("What now?\n[INFO] done"), None);
        assert_eq!(dialog("name      size"), None);
    }
}
