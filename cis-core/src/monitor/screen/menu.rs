//! Menus that programs paint: a question, rows below it, one of them highlighted.

use std::sync::LazyLock;

use regex::Regex;

use super::dialog::dialog_of;
use super::meaning::{meaning_of, shows_other_numbers};
use super::noise::is_spinner;
use super::options::{ENTER, Keys, numbered, option};
use super::page::Page;
use super::pattern;
use super::rows::{
    LONG_POINTERS, OTHER_POINTERS, POINTERS, ends_asking, is_frame, is_rule, unboxed, unpointed,
};
use crate::event::{OPTIONS_MAX, PromptOption};
use crate::monitor::PointedBy;

/// A menu, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::monitor) struct Menu {
    /// What it asks; may be empty.
    pub(in crate::monitor) question: String,
    /// Its rows.
    pub(in crate::monitor) options: Vec<PromptOption>,
    /// A dialog: its buttons, in place of rows.
    pub(in crate::monitor) buttons: Vec<String>,
    /// Its first row on the screen.
    pub(in crate::monitor) row: usize,
}

static POINTED: LazyLock<Regex> = LazyLock::new(|| pointed_by(&format!("[{POINTERS}]")));
static POINTED_OTHERWISE: LazyLock<Regex> =
    LazyLock::new(|| pointed_by(&format!("[{OTHER_POINTERS}]|{}", LONG_POINTERS.join("|"))));
static ACROSS: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^[●○] [^/●○]+(?:(?: /|  )\s*[●○] [^/●○]+){1,3}$"));
static CHOOSES: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?i)^\W*(select|choose|pick|which|what)\b"));
static SELECTS: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?i)^\W*(select|choose|pick)\b"));
static OTHER: LazyLock<Regex> = LazyLock::new(|| pattern(r"^\s+(?:[○◯]\s+)?(?P<label>\S.*)$"));
static CHECKS: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^\s*(?:[❯›>▸►▶→➤➜*]|[-=]>)?\s*(?:[◯◉◌◍☐☑☒⬡⬢✔✓◻◼▢▣□■]|\[[ xX*]\])\s+\S"));
/// A mark of what is chosen, which is no pointer where one stands before it.
static MARKED: LazyLock<Regex> = LazyLock::new(|| pattern(r"^(?:[○●◯◉◻◼▢▣□■☐☑☒⬡⬢]|[(\[][ xX*][)\]])\s"));
/// Rows of a list that cannot be chosen: what parts others, and what is off (`- west (down)`).
static SKIPPED: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^\s*(?:-\s+\S.*\S\s*\(.*\)\s*|[─—-]{3,30}\s*)$"));
/// What a program paints behind a question, before what is typed.
static BEHIND: LazyLock<Regex> = LazyLock::new(|| pattern(r"\s+[…›»‣❯·](?:\s.*)?$"));
/// A row below the choices that says which keys there are.
static KEYS: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i)[↑↓←→].{0,12}\b(select|move|navigate|choose)|\b(enter|return|esc|space|tab|ctrl[-+ ]\w)\b\s?:?\s?(to )?(confirm|select|submit|choose|cancel|toggle|accept|quit|exit)\b",
    )
});
/// A word of a key: rows below an open menu name them in ever new ways.
static KEY_WORDS: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"(?i)\b(enter|return|esc|tab|space|shift|ctrl|alt|arrows?|keys?|press)\b|[↑↓←→⇆⏎]")
});
/// A question names the keys that choose.
static ARROWS: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?i)\barrows?( keys?)?\b|[↑↓]"));
static NUMBER: LazyLock<Regex> = LazyLock::new(|| pattern(r"^\d{1,2}[.)]\s"));
/// A label with the number that its row shows.
static OWN_NUMBER: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^[\[(]?(?P<number>\d{1,3})[.):\]]\s+(?P<label>\S.*)$"));
/// So many rows a menu looks for its question.
const QUESTION_ROWS: usize = 4;
/// A question may begin so many rows above its last one.
const WRAPPED_ROWS: usize = 2;
/// A row that is wrapped has at least so many characters.
const WRAPPED_CHARS: usize = 26;
/// Maximum height of a menu above the cursor, with its question, rows.
const MENU_ROWS: usize = 24;
/// Maximum height of an open menu with what stands below it, rows.
const OPEN_ROWS: usize = 40;
/// Options of a list begin in about the same column.
const COLUMNS_APART_MAX: usize = 2;
/// Rows of a list that does not ask: two are often an item of a log, and what belongs to it.
const LIST_ROWS: usize = 3;
/// So many rows of instructions may stand between a question and its boxes.
const TOLD_ROWS: usize = 8;
/// Maximum number of rows that name keys below a list.
const KEY_ROWS: usize = 3;
/// Rows of a status, which has columns, that may stand below the box of an open menu.
const STATUS_ROWS: usize = 3;

fn pointed_by(signs: &str) -> Regex {
    pattern(&format!(
        r"^(?P<indent>\s*)(?P<pointer>{signs})(?:\s+|(?P<box>[◯◉○●☐☑☒⬡⬢✔✓]|\[.\]))\s*(?P<label>\S.*)$"
    ))
}

/// The edges of a box, left and right.
const EDGES: [char; 2] = ['│', '┃'];

/// A row without the edges of its box, which may be indented.
fn bare(row: &str) -> &str {
    let row = row.trim_end_matches(EDGES);
    if is_boxed(row) { row.trim_start().trim_start_matches(EDGES) } else { row }
}

/// Whether a row begins with the edge of a box.
fn is_boxed(row: &str) -> bool {
    row.trim_start().starts_with(EDGES)
}

/// Whether a pointer stands before the number of an option.
fn points_at_number(row: &str) -> bool {
    (POINTED.is_match(bare(row)) || POINTED_OTHERWISE.is_match(bare(row))) && has_number(row)
}

/// The lowest menu on the screen, in its last rows.
pub(in crate::monitor) fn menu_of(page: &Page) -> Option<Menu> {
    let end = page.end();
    let from = end.saturating_sub(30);
    let rows: Vec<&str> = (from..end).map(|row| page.row(row)).collect();
    if let Some((options, first)) = numbered(&rows, Keys::Arrows)
        && rows[first..].iter().any(|row| POINTED.is_match(bare(row)) || points_at_number(row))
    {
        let (question, buttons) = (question(&rows[..first]), Vec::new());
        return Some(Menu { question, options, buttons, row: from + first });
    }
    let below = || {
        below_cursor(page, from).or_else(|| colored(page, &rows, from)).or_else(|| arrow_list(page, &rows))
    };
    let open = is_open(page);
    let found = pointed(&rows, open)
        .or_else(|| checked(&rows, open, !page.view.cursor_visible))
        .or_else(|| across(&rows))
        .or_else(below);
    let menu = found.map(|(question, options, first)| {
        let buttons = Vec::new();
        Menu { question, options, buttons, row: from + first }
    });
    let dialog = || {
        let found = dialog_of(page)?;
        Some(Menu { question: found.question, options: Vec::new(), buttons: found.labels, row: found.row })
    };
    menu.or_else(dialog)
}

/// Finds a numbered menu that ends above the cursor or in the cursor's row, with a pointer at exactly one row. Between the
/// menu and the cursor may be the rest of the last option, a row that names the keys, and a prompt without words.
pub(in crate::monitor) fn menu_at_cursor(page: &Page, keys: Keys) -> Option<Menu> {
    let end = page.cursor_row();
    let from = end.saturating_sub(MENU_ROWS);
    let mut rows: Vec<&str> = (from..end).map(|row| page.row(row)).collect();
    let lead = page.lead.trim();
    if !matches!(unboxed(lead), "" | ">" | "❯" | "›" | ":" | "?") {
        rows.push(lead);
    }
    let (options, first) = numbered(&rows, keys)?;
    let last = last_option(&rows, options.last()?)?;
    let is_pointed = |row: &&&str| POINTED.is_match(bare(row)) || points_at_number(row);
    let pointed = rows.get(first..=last)?.iter().filter(is_pointed).count();
    let goes_on = |row: &&str| {
        let row = bare(row);
        unboxed(row).is_empty() || is_rule(row) || KEYS.is_match(row) || row.starts_with("   ")
    };
    if pointed != 1 || !rows[last + 1..].iter().all(goes_on) {
        return None;
    }
    let question = question(&rows[..first]);
    Some(Menu { question, options, buttons: Vec::new(), row: from + first })
}

/// The lowest row with the number of this option.
fn last_option(rows: &[&str], option: &PromptOption) -> Option<usize> {
    let is_last = |row: &&str| {
        let text = unpointed(row).trim_start_matches(['○', '◯', ' ']);
        let text = text.strip_prefix(&option.id);
        text.is_some_and(|text| text.starts_with(['.', ')']))
    };
    rows.iter().rposition(is_last)
}

/// Rows of a menu that is open, by their numbers on the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::monitor) struct OpenMenu {
    /// The lowest row above its options that is not blank.
    pub(in crate::monitor) title: usize,
    /// Its first option.
    pub(in crate::monitor) first: usize,
    /// The option that is pointed at.
    pub(in crate::monitor) pointed: usize,
    /// The row below its last option.
    pub(in crate::monitor) to: usize,
}

/// Finds a numbered menu at the bottom of a screen, wherever the cursor is, with a pointer at exactly one row and something above
/// it. Below it stand only the rest of its last option, rows that name keys, and a status below its box. A line to type into,
/// or a message of a chat, means that the menu is a part of the text above it.
pub(in crate::monitor) fn open_menu(page: &Page) -> Option<OpenMenu> {
    let end = page.end();
    let from = end.saturating_sub(OPEN_ROWS);
    let rows: Vec<&str> = (from..end).map(|row| page.row(row)).collect();
    let (options, first) = numbered(&rows, Keys::Arrows)?;
    let last = last_option(&rows, options.last()?)?;
    let mut pointed = (first..=last).filter(|row| points_at_number(rows[*row]));
    let (pointed, more) = (pointed.next()?, pointed.next());
    let title = rows[..first].iter().rposition(|row| is_rule(row) || !unboxed(row).is_empty())?;
    // Between two edges stands what is typed into an input box.
    let is_typed = is_rule(rows[title]) && rows[last..].iter().any(|row| is_rule(row));
    if more.is_some() || is_typed {
        return None;
    }
    let indent = |row: &str| row.find(unpointed(row)).map_or(0, |at| row[..at].chars().count());
    let label = indent(rows[last]) + 2;
    let (mut boxed, mut status) = (false, 0);
    for row in &rows[last + 1..] {
        boxed |= row.trim_start().starts_with(['╰', '└', '╚', '┗']);
        if unboxed(row).is_empty() || is_rule(row) {
            continue;
        }
        if is_input(row) || is_chat(row) || row.trim_start().starts_with(is_spinner) {
            return None;
        }
        if !KEY_WORDS.is_match(row) && indent(row) < label {
            status += 1;
            if !boxed || status > STATUS_ROWS || !unboxed(row).contains("   ") {
                return None;
            }
        }
    }
    Some(OpenMenu { title: from + title, first: from + first, pointed: from + pointed, to: from + last + 1 })
}

/// Whether a row begins as a line to type into does, and is no option of a menu.
pub(in crate::monitor) fn is_input(row: &str) -> bool {
    let rest = unboxed(row).strip_prefix(['❯', '›', '>']);
    rest.is_some_and(|rest| (rest.is_empty() || rest.starts_with(char::is_whitespace)) && !has_number(rest))
}

/// Whether a row begins as a message in an agent's chat does, or what belongs to one.
pub(in crate::monitor) fn is_chat(row: &str) -> bool {
    row.trim_start().starts_with(['●', '⏺', '⎿', '•', '✦', '■'])
}

/// The row that tells somebody to choose one of the numbered rows right above the cursor.
pub(in crate::monitor) fn list_asked_above(page: &Page) -> Option<String> {
    let end = page.cursor_row();
    let rows: Vec<&str> = (end.saturating_sub(MENU_ROWS)..end).map(|row| page.row(row)).collect();
    let (options, first) = numbered(&rows, Keys::Number)?;
    let last = last_option(&rows, options.last()?)?;
    let is_last = rows[last + 1..].iter().all(|row| unboxed(row).is_empty());
    let asked = asking_row(&rows[..first]);
    (is_last && SELECTS.is_match(asked)).then(|| asked.to_owned())
}

/// Whether a row begins with a number, as options do.
pub(in crate::monitor) fn has_number(row: &str) -> bool {
    NUMBER.is_match(unpointed(row))
}

/// The lowest list of rows without numbers, one of them pointed at: its options, and the index of its first row.
pub(in crate::monitor) fn pointed_at(rows: &[&str]) -> Option<(Vec<PromptOption>, usize)> {
    pointed(rows, false).map(|(_, options, first)| (options, first)).filter(|(options, _)| options.len() >= 2)
}

/// Whether the lowest rows may be a list that somebody moves through: no cursor shows, or it rests below them.
fn is_open(page: &Page) -> bool {
    let view = &page.view;
    !view.cursor_visible || (view.cursor_col == 0 && page.cursor_row() == page.end())
}

/// The lowest list, one of its rows pointed at. `open`: see [`is_open`].
fn pointed(rows: &[&str], open: bool) -> Option<(String, Vec<PromptOption>, usize)> {
    let by_pointer = rows.iter().rposition(|row| POINTED.is_match(bare(row)));
    let plainly = by_pointer.and_then(|at| pointed_in(rows, at, &POINTED, false, open));
    plainly.or_else(|| {
        let at = rows.iter().rposition(|row| POINTED_OTHERWISE.is_match(bare(row)))?;
        pointed_in(rows, at, &POINTED_OTHERWISE, true, open)
    })
}

/// The list around the row that is pointed at. `aligned`: only of rows that begin in the column of its text.
fn pointed_in(
    rows: &[&str],
    at: usize,
    pointed: &Regex,
    aligned: bool,
    open: bool,
) -> Option<(String, Vec<PromptOption>, usize)> {
    let row = pointed.captures(bare(rows[at]))?;
    let text = row.name("label").map_or(0, |label| label.start());
    let column = bare(rows[at])[..text].chars().count();
    let indent = |row: &str| row.chars().take_while(|c| c.is_whitespace()).count();
    let is_aligned = |row: &str| indent(row) == column;
    let is_row = |row: &&&str| {
        let row = bare(row);
        OTHER.is_match(row)
            && !is_rule(row)
            && !pointed.is_match(row)
            && !KEYS.is_match(row)
            && (!aligned || is_aligned(row))
    };
    let is_skipped = |row: &str| !aligned && SKIPPED.is_match(bare(row));
    let is_part = |row: &&&str| is_row(row) || is_skipped(row);
    let below = rows[at + 1..].iter().take_while(is_part).count();
    let parts = rows[..at].iter().rev().take_while(is_part).count();
    // Behind the edge of a box, a question is indented, too, but less than its options.
    let heads = |row: &usize| {
        let text = unboxed(rows[*row]);
        let of_pointed = if below > 0 { column.min(indent(bare(rows[at + 1]))) } else { column };
        let of_next = if row + 1 == at { of_pointed } else { indent(bare(rows[row + 1])) };
        let asks = ends_asking(text) || CHOOSES.is_match(text) || text.contains("? ");
        asks && indent(bare(rows[*row])) < of_next
    };
    let stands_alone = |above: usize| {
        let mut others = rows[at - above..at].iter().chain(&rows[at + 1..=at + below]);
        !others.any(|row| is_row(&row))
    };
    let above = if is_boxed(rows[at]) {
        let options = (at - parts..at).rev().take_while(|row| !heads(row)).count();
        // Without another row, what it points at may be a line to type into, below its question.
        if stands_alone(options) { parts } else { options }
    } else {
        parts
    };
    let (first, last) = (at - above, at + below);
    let question = question(&rows[..first]);
    let asked = asking_row(&rows[..first]);
    // In lists of bullets, the rest of an item is aligned with its text, too: their headings are no questions.
    let is_bullet = row["pointer"] == *"*";
    let asks_plainly =
        || begins_question(asked) || SELECTS.is_match(asked) || (!is_bullet && asked.contains(['?', '？']));
    // Where somebody moves through a list, its words need not ask.
    let has_boxes = || rows[first..=last].iter().all(|row| CHECKS.is_match(bare(row)));
    let is_list = || {
        let others = || (first..=last).filter(|row| *row != at).all(|row| is_aligned(bare(rows[row])));
        let is_long = last - first >= LIST_ROWS - 1;
        (has_boxes() || (is_long && !is_bullet && others())) && ends_list(&rows[last + 1..])
    };
    let asks = (asks(asked) && (!aligned || asks_plainly())) || (open && !asked.is_empty() && is_list());
    // Of some lists, only one row can be chosen: rows that name the keys say that it is a list.
    let is_only = || {
        let off = rows[at + 1..].iter().take_while(|row| row.trim_start().starts_with("- ")).count();
        let rest = &rows[at + 1 + off..];
        // The question may be wrapped.
        let is_begun = rows[..first].iter().rev().take(1 + WRAPPED_ROWS).any(|row| begins_question(row));
        open && is_begun && ends_list(rest) && rest.iter().any(|row| KEYS.is_match(row))
    };
    let is_alone = stands_alone(above);
    if is_alone && is_only() {
        let label = row["label"].trim_end();
        return Some((question, vec![option("1", label, meaning_of(label), ENTER.to_owned())], first));
    }
    if is_alone || last - first >= OPTIONS_MAX || !asks {
        return None;
    }
    if rows[first..=last].iter().any(|row| is_skipped(row)) {
        // How many arrows lead to a row is not known.
        return Some((question, Vec::new(), first));
    }
    let label = |row: &str| {
        let found = pointed.captures(bare(row)).or_else(|| OTHER.captures(bare(row)));
        found.map(|found| found["label"].trim_end().to_owned()).unwrap_or_default()
    };
    let is_marked = MARKED.is_match(&row["label"]);
    if is_marked || rows[first..=last].iter().any(|row| CHECKS.is_match(bare(row))) {
        // Several may be chosen: no single key answers that.
        return Some((question, Vec::new(), first));
    }
    let labels: Vec<String> = rows[first..=last].iter().map(|row| label(row)).collect();
    let numbers = own_numbers(&labels);
    // Counted, one of them would have the number that another one shows.
    let shows_some = labels.iter().any(|label| OWN_NUMBER.is_match(label))
        || shows_other_numbers(labels.iter().map(String::as_str));
    let options = labels.iter().enumerate().map(|(place, label)| {
        let row = first + place;
        let steps = if row >= at { "\x1b[B".repeat(row - at) } else { "\x1b[A".repeat(at - row) };
        let (id, label) = match &numbers {
            Some(numbers) => (numbers[place].0.to_owned(), numbers[place].1),
            None if shows_some => (label.clone(), label.as_str()),
            None => ((place + 1).to_string(), label.as_str()),
        };
        option(&id, label, meaning_of(label), steps + ENTER)
    });
    Some((question, options.collect(), first))
}

/// The numbers that all of these rows show, each of them once, and the labels behind them.
fn own_numbers(labels: &[String]) -> Option<Vec<(&str, &str)>> {
    let mut found: Vec<(&str, &str)> = Vec::new();
    for label in labels {
        let parts = OWN_NUMBER.captures(label)?;
        let (number, label) = (parts.name("number")?.as_str(), parts.name("label")?.as_str());
        if found.iter().any(|(known, _)| *known == number) {
            return None;
        }
        found.push((number, label));
    }
    Some(found)
}

/// Whether a row is nothing, an edge, or names keys.
fn is_about_keys(row: &str) -> bool {
    unboxed(row).is_empty() || is_rule(row) || KEYS.is_match(row) || KEY_WORDS.is_match(row)
}

/// Whether what stands below a list belongs to it.
fn ends_list(below: &[&str]) -> bool {
    let filled = below.iter().filter(|row| !unboxed(row).is_empty()).count();
    filled <= KEY_ROWS && below.iter().all(|row| is_about_keys(row) || SELECTS.is_match(row))
}

/// Whether a row begins as questions of programs that paint their own do.
pub(in crate::monitor) fn begins_question(row: &str) -> bool {
    unboxed(row).strip_prefix(['?', '◆']).is_some_and(|rest| rest.starts_with(char::is_whitespace))
}

/// Rows with marks, of which the highlighted one is told by its colour alone. `open`: see [`is_open`]. `hidden`: no cursor
/// shows.
fn checked(rows: &[&str], open: bool, hidden: bool) -> Option<(String, Vec<PromptOption>, usize)> {
    let is_check = |row: &&&str| CHECKS.is_match(unboxed(row));
    let last = rows.iter().rposition(|row| is_check(&row))?;
    let first = last + 1 - rows[..=last].iter().rev().take_while(is_check).count();
    // What is done is ticked off, too: only right below a question is that a list to choose from.
    let is_ticked = rows[first..=last].iter().any(|row| unboxed(row).starts_with(['✔', '✓']));
    let told = if is_ticked { 1 } else { TOLD_ROWS };
    let begun = rows[..first].iter().rev().take(told).position(|row| begins_question(row));
    let asks_plainly = || {
        open && !is_ticked
            && rows[..first].last().is_some_and(|row| asks(unboxed(row)) || (hidden && !is_about_keys(row)))
    };
    let asked = begun.or_else(|| asks_plainly().then_some(0))?;
    let counts = last > first && ends_list(&rows[last + 1..]);
    counts.then(|| (question(&rows[..first - asked]), Vec::new(), first))
}

/// A list below the question at whose end the cursor stands: which row is highlighted is told by its colour alone. `from`: rows
/// are counted from there.
fn below_cursor(page: &Page, from: usize) -> Option<(String, Vec<PromptOption>, usize)> {
    let (at, end) = (page.cursor_row(), page.end());
    let asked = page.row(at);
    let is_at_end = asked.trim_end().len() <= page.lead.len();
    if at < from || !is_at_end || !begins_question(asked) {
        return None;
    }
    let first = page.row(at + 1);
    let is_row = |row: &usize| {
        let row = page.row(*row);
        !unboxed(row).is_empty() && !is_rule(row) && column(row) == column(first)
    };
    let last = (at + 1..end).take_while(is_row).last()?;
    let rest: Vec<&str> = (last + 1..end).map(|row| page.row(row)).collect();
    let question = BEHIND.replace(&question(&[asked]), "").into_owned();
    (last > at + 1 && ends_list(&rest)).then(|| (question, Vec::new(), at + 1 - from))
}

/// Where the text of a row begins.
fn column(row: &str) -> usize {
    row.chars().take_while(|c| is_frame(*c)).count()
}

/// A list below a question that says that arrows choose, where no cursor shows.
fn arrow_list(page: &Page, rows: &[&str]) -> Option<(String, Vec<PromptOption>, usize)> {
    let asked = rows.iter().rposition(|row| begins_question(row) && ARROWS.is_match(row))?;
    let first = rows.get(asked + 1)?;
    let is_row =
        |row: &&&str| !unboxed(row).is_empty() && column(row).abs_diff(column(first)) <= COLUMNS_APART_MAX;
    let count = rows[asked + 1..].iter().take_while(is_row).count();
    let is_list = !page.view.cursor_visible && count >= 2 && ends_list(&rows[asked + 1 + count..]);
    is_list.then(|| (question(&rows[..=asked]), Vec::new(), asked + 1))
}

/// A list below a question, one of its rows pointed at by its color. `from`: rows are counted from there.
fn colored(page: &Page, rows: &[&str], from: usize) -> Option<(String, Vec<PromptOption>, usize)> {
    let pointed = page.view.pointed?;
    let at = usize::from(pointed.row).checked_sub(from).filter(|at| *at < rows.len())?;
    let is_row = |row: &&&str| {
        let is_option = !unboxed(row).is_empty() && !is_rule(row) && !KEYS.is_match(row);
        is_option && column(row).abs_diff(column(rows[at])) <= COLUMNS_APART_MAX
    };
    let above = rows[..at].iter().rev().take_while(is_row).count();
    let below = rows[at + 1..].iter().take_while(is_row).count();
    let (mut first, last) = (at - above, at + below);
    // The question may begin in the same column.
    let asks_plainly = |row: &str| {
        let row = unboxed(row);
        ends_asking(row) || CHOOSES.is_match(row)
    };
    if let Some(asked) = (first..at).rev().find(|row| asks_plainly(rows[*row])) {
        first = asked + 1;
    }
    let question = question(&rows[..first]);
    let ends = ends_list(&rows[last + 1..]);
    // Where nothing else is on the screen, the list is all that is asked.
    let is_alone = || {
        let above = first > 0 && rows[..first].iter().all(|row| unboxed(row).is_empty() || is_rule(row));
        above && last - first >= LIST_ROWS - 1
    };
    // One row of a log may be drawn otherwise, too.
    let asks = match pointed.by {
        PointedBy::Ground => asks_plainly(&question) || (ends && is_alone()),
        PointedBy::Letters => asks_plainly(&question) && ends,
    };
    (asks && last > first).then(|| (question, Vec::new(), first))
}

/// Choices in one row, the highlighted one marked: `● Yes / ○ No`, `● Yes  ○ No`.
fn across(rows: &[&str]) -> Option<(String, Vec<PromptOption>, usize)> {
    let at = rows.iter().rposition(|row| ACROSS.is_match(unboxed(row)))?;
    let asked = question(&rows[..at]);
    let row = unboxed(rows[at]);
    // States have such marks, too: without a stroke between the choices, something must ask.
    let asks = row.contains(" / ") || CHOOSES.is_match(&asked) || asked.contains(['?', '？']);
    if rows.len() > at + 3 || asked.is_empty() || !asks {
        return None;
    }
    let marks = row.match_indices(['●', '○']).map(|(at, _)| at);
    let ends = marks.clone().skip(1).chain([row.len()]);
    let labels: Vec<(bool, &str)> = marks
        .zip(ends)
        .map(|(at, end)| (row[at..].starts_with('●'), row[at..end].trim_matches(['●', '○', '/', ' '])))
        .collect();
    let chosen = labels.iter().position(|(chosen, _)| *chosen)?;
    let options = labels.iter().enumerate().map(|(place, (_, label))| {
        let step = if place >= chosen { "\x1b[C" } else { "\x1b[D" };
        option(
            &(place + 1).to_string(),
            label,
            meaning_of(label),
            step.repeat(place.abs_diff(chosen)) + ENTER,
        )
    });
    Some((asked, options.collect(), at))
}

/// A button of a dialog, to tell its kind by. Which key reaches it is not known.
pub(in crate::monitor) fn button(label: &str) -> PromptOption {
    option(label, label, meaning_of(label), String::new())
}

/// Whether the words of a menu ask for a choice.
pub(in crate::monitor) fn asks(question: &str) -> bool {
    CHOOSES.is_match(question) || question.starts_with('?') || question.contains(['?', '？', ':', '：'])
}

/// The nearest row that asks, with the rows in which it begins, and without the sign before it; without one, the nearest.
fn question(above: &[&str]) -> String {
    let Some(at) = asking_at(above) else { return String::new() };
    let begun = wrapped_above(&above[..at], above[at]);
    let rows: Vec<&str> = above[at - begun..=at].iter().map(|row| unboxed(row)).collect();
    rows.join(" ").trim_start_matches("? ").to_owned()
}

/// The number of rows above this one in which its sentence begins: with the sign of a question, or in the same box. Other rows may be of a
/// log.
fn wrapped_above(above: &[&str], row: &str) -> usize {
    if !unboxed(row).starts_with(char::is_lowercase) {
        return 0;
    }
    let cut = || above.iter().rev().take(WRAPPED_ROWS).take_while(|row| is_cut(unboxed(row)));
    match cut().position(|row| unboxed(row).starts_with(['◆', '▲', '?'])) {
        Some(marked) => marked + 1,
        None if is_boxed(row) => cut().take_while(|row| is_boxed(row)).count(),
        None => 0,
    }
}

fn asking_row<'a>(above: &[&'a str]) -> &'a str {
    asking_at(above).map_or("", |at| unboxed(above[at]))
}

fn asking_at(above: &[&str]) -> Option<usize> {
    let near = || {
        let rows = (0..above.len()).rev().take(QUESTION_ROWS);
        rows.filter(|row| !unboxed(above[*row]).is_empty() && !is_rule(above[*row]))
    };
    near().find(|row| asks(unboxed(above[*row]))).or_else(|| near().next())
}

/// A row of a sentence that goes on in the next one: programs wrap their text at the edge of a narrow screen or box.
fn is_cut(row: &str) -> bool {
    let ends = row.ends_with(|c: char| c.is_alphanumeric() || matches!(c, ',' | '-' | '\'' | '’' | '"'));
    ends && row.chars().count() >= WRAPPED_CHARS
}

#[cfg(test)]
mod tests;
