//! Dialogs: a text and a row of buttons below it, as libraries for whole screens paint them. Which button
//! is the one that Enter presses is told by colours alone, so no keys are known for them.

use std::sync::LazyLock;

use regex::Regex;

use super::meaning::is_choice;
use super::options::letters;
use super::page::Page;
use super::pattern;
use super::rows::{ends_asking, is_rule, unboxed};

/// Maximum number of parts into which the sides of boxes cut a row.
const PARTS_MAX: usize = 8;

/// Longer rows are no dialogs, bytes: the terminal has wrapped them.
const ROW_BYTES_MAX: usize = 4096;

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
        r"(?i)^(ok|okay|yes|no|cancel|back|go back|next|finish|accept|abort|help|save|discard|quit|exit|continue|ignore|retry|close|done|apply|skip|delete|remove|create|overwrite|replace|keep|open|reload|leave|stay|proceed|install|uninstall|update|upgrade|stop|start|restart|confirm|reject|allow|deny|agree|disagree|don['’]t save|yes to all|no to all|select|edit|view",
        r"|ja|nein|abbrechen|weiter|zurück|schließen|oui|non|annuler|suivant|retour|sí|aceptar|cancelar|atrás|はい|いいえ|了解|取消|キャンセル|确定|是|否|да|нет|отмена)$",
    ))
});
static GAPS: LazyLock<Regex> = LazyLock::new(|| pattern(r"\s{2,}"));

/// Part of a row: its first character, and the one behind its last.
type Part = (usize, usize);

/// The lowest dialog on the screen.
pub(super) fn dialog_of(page: &Page) -> Option<Dialog> {
    (0..page.end()).rev().filter(|row| page.row(*row).len() <= ROW_BYTES_MAX).find_map(|row| {
        let Some((labels, part)) = bracketed(page.row(row)).or_else(|| in_box(page, row)) else {
            return lettered(page, row);
        };
        Some(Dialog { question: text_above(page, row, part)?, labels, row })
    })
}

/// `< Yes >  < No >`, with nothing else in this row of its box, and at least one that everybody knows. Some stand right of a text.
fn bracketed(row: &str) -> Option<(Vec<String>, Part)> {
    let parts = parts(row);
    let is_boxed = parts.len() > 2;
    parts.into_iter().find_map(|part| {
        let text = cut(row, part);
        Some((buttons(&text).or_else(|| button_at_right(&text).filter(|_| is_boxed))?, part))
    })
}

fn button_at_right(text: &str) -> Option<Vec<String>> {
    let text = unboxed(text);
    let last = BUTTON.captures_iter(text).last()?;
    let (found, label) = (last.get(0)?, last["label"].trim());
    let stands_alone = found.end() == text.len() && text[..found.start()].ends_with("   ");
    (stands_alone && KNOWN.is_match(label)).then(|| vec![label.to_owned()])
}

/// A box stands on other text, or on another box: a row is cut at their sides. One with very many is no row of dialogs.
fn parts(row: &str) -> Vec<Part> {
    let is_side = |c: char| matches!(c, '│' | '┃' | '║');
    let mut parts = Vec::new();
    let mut start = 0;
    for (at, c) in row.chars().enumerate() {
        if is_side(c) {
            if parts.len() == PARTS_MAX {
                return vec![(0, row.chars().count())];
            }
            parts.push((start, at));
            start = at + 1;
        }
    }
    parts.push((start, row.chars().count()));
    parts
}

fn cut(row: &str, (from, to): Part) -> String {
    row.chars().skip(from).take(to - from).collect()
}

fn buttons(row: &str) -> Option<Vec<String>> {
    let row = unboxed(row);
    let labels: Vec<String> =
        BUTTON.captures_iter(row).map(|found| found["label"].trim().to_owned()).collect();
    let rest = BUTTON.replace_all(row, "");
    let bare = rest.trim_matches(|c: char| c.is_whitespace() || ('\u{2500}'..='\u{259f}').contains(&c));
    (bare.is_empty() && labels.iter().any(|label| KNOWN.is_match(label))).then_some(labels)
}

/// Two and more known words apart from each other, in a box; or one below a text that asks.
fn in_box(page: &Page, row: usize) -> Option<(Vec<String>, Part)> {
    let whole = page.row(row);
    let asked = || page.above(row, 1).first().is_some_and(|above| above.ends_with(['?', '？']));
    let at_cursor = || usize::from(page.view.cursor_row) == row || asked();
    let boxed = whole.trim().starts_with(['│', '┃', '║', '|']);
    let parts = parts(whole);
    let one = || (0, whole.chars().count());
    let candidates = if parts.len() > 2 { parts[1..parts.len() - 1].to_vec() } else { vec![one()] };
    candidates.into_iter().find_map(|part| {
        let text = cut(whole, part);
        let labels = GAPS.split(unboxed(&text).trim()).filter(|label| *label != "_");
        let labels: Vec<&str> = labels.collect();
        let known = |label: &&str| KNOWN.is_match(label) || is_choice(label);
        let below_question = || text_above(page, row, part).is_some_and(|text| ends_asking(&text));
        let is_row = || labels.len() >= 2 || (parts.len() > 2 && below_question());
        let counts = (boxed || at_cursor()) && labels.iter().all(known) && is_row();
        counts.then(|| (labels.iter().map(|label| (*label).to_owned()).collect(), part))
    })
}

/// `[y]es or [n]o` in a box, below a text that asks, or behind it.
fn lettered(page: &Page, row: usize) -> Option<Dialog> {
    let parts = parts(page.row(row));
    let inner = parts.get(1..parts.len().saturating_sub(1))?;
    inner.iter().find_map(|part| {
        let text = cut(page.row(row), *part);
        let text = unboxed(&text).trim();
        let labels: Vec<String> = letters(text, false).into_iter().map(|option| option.label).collect();
        let is_known = labels.len() >= 2 && labels.iter().any(|label| KNOWN.is_match(label));
        if !is_known || !stands_alone(page, row, *part) {
            return None;
        }
        let question = match text.contains(['?', '？']) {
            true => text.to_owned(),
            false => text_above(page, row, *part).filter(|text| ends_asking(text))?,
        };
        Some(Dialog { question, labels, row })
    })
}

/// Nothing stands right above nor right below it in its box: it is no row of a list or of a log.
fn stands_alone(page: &Page, row: usize, part: Part) -> bool {
    let is_free = |row: usize| {
        let inside = inside(page.row(row), part);
        inside.is_none_or(|text| unboxed(&text).trim().is_empty() || is_rule(&text) || is_edge(page.row(row)))
    };
    is_free(row + 1) && row.checked_sub(1).is_none_or(is_free)
}

/// What a row has in the same box: all of it where no box begins left of the buttons, and of the edge of a box. None: the box does not reach
/// up to there.
fn inside(row: &str, (from, _): Part) -> Option<String> {
    if from == 0 || is_edge(row) {
        return Some(row.to_owned());
    }
    let is_line =
        |row: &str| row.chars().nth(from - 1).is_some_and(|c| ('\u{2500}'..='\u{259f}').contains(&c));
    let part = parts(row).into_iter().find(|part| part.0 == from);
    part.map(|part| cut(row, part)).or_else(|| is_line(row).then(String::new))
}

/// What stands above the buttons in their box: the nearest paragraph that asks; without one, the first row of the text.
fn text_above(page: &Page, buttons: usize, part: Part) -> Option<String> {
    let mut first = None;
    let mut paragraph = String::new();
    for row in (buttons.saturating_sub(TEXT_ROWS)..buttons).rev().map(|row| page.row(row)) {
        let Some(inside) = inside(row, part) else { break };
        // What is filled in stands on a line, or is shown as stars.
        let text = unboxed(&inside).trim().trim_end_matches(['_', '*', '•', ' ']);
        let is_end = is_edge(row) || text.is_empty() || is_rule(&inside);
        if ends_asking(&paragraph)
            && (is_end || text.ends_with(['.', '!', '?', ':', '。', '？', '：', ')', ']']))
        {
            return Some(paragraph);
        }
        if is_edge(row) {
            if first.is_some() {
                break;
            }
            continue;
        }
        if is_end {
            paragraph.clear();
            continue;
        }
        // A sentence goes on in the next row of a narrow box.
        let goes_on = ends_asking(&paragraph) && text.chars().count() * 2 > part.1.saturating_sub(part.0);
        if ends_asking(&paragraph) && !goes_on {
            return Some(paragraph);
        }
        paragraph = if goes_on { format!("{text} {paragraph}") } else { text.to_owned() };
        first = Some(text.to_owned());
    }
    if ends_asking(&paragraph) { Some(paragraph) } else { first }
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
        assert_eq!(asked, Some(("Remove all of it?".to_owned(), vec!["Yes".to_owned(), "No".to_owned()])));
        let plain = dialog("│ Drop the lot? │\n│               │\n│   yes     no  │");
        assert_eq!(plain, Some(("Drop the lot?".to_owned(), vec!["yes".to_owned(), "no".to_owned()])));
    }

    #[test]
    fn a_box_stands_on_other_text() {
        let over = dialog(
            "....┌──── Workers ────┐....\n....│ Shut down all   │....\n....│ 4 workers?      │....\n....│< Yes >   < No > │....\n....└─────────────────┘....",
        );
        let labels = |labels: &[&str]| labels.iter().map(|label| (*label).to_owned()).collect::<Vec<_>>();
        assert_eq!(over, Some(("Shut down all 4 workers?".to_owned(), labels(&["Yes", "No"]))));
        let two = dialog("│ lists  │ Save it?         │ x │\n│        │ <Yes>  <No>      │ x │");
        assert_eq!(two, Some(("Save it?".to_owned(), labels(&["Yes", "No"]))));
        let right = dialog(
            "│Welcome.              < OK     >│\n│                      <Cancel  >│\n│more text                       │",
        );
        assert_eq!(right.map(|(_, labels)| labels), Some(labels(&["Cancel"])));
        let one = dialog("│ Choose a zone: │\n│ (*) Berlin     │\n│ ( ) Oslo       │\n│       OK       │");
        assert_eq!(one, Some(("Choose a zone:".to_owned(), labels(&["OK"]))));
        let keys =
            dialog("┌─── Deletion ───┐\n│ Delete \"a\"?    │\n│                │\n│ Enter [y]es or [n]o │");
        assert_eq!(keys, Some(("Delete \"a\"?".to_owned(), labels(&["yes", "no"]))));
        let asked = dialog("╭──────────────────────╮\n│ Delete alpha?- (y/n) │\n│                      │");
        assert_eq!(asked, Some(("Delete alpha?- (y/n)".to_owned(), labels(&["yes", "no"]))));
        assert_eq!(dialog("┌─ log ───────┐\n│ Stop? [y/n] │\n│ Stop? [y/n] │\n│ done        │"), None);
        assert_eq!(dialog("│ all is well │\n│     OK      │"), None);
    }

    #[test]
    fn text_in_brackets_is_no_button() {
        assert_eq!(dialog("Usage: tool [help] FILE"), None);
        assert_eq!(dialog("What now?\n[INFO] done"), None);
        assert_eq!(dialog("name      size"), None);
    }
}
