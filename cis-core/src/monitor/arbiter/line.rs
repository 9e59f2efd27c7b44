//! The prompt at the cursor, as the general rules read it.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;

use crate::event::{LABEL_CHARS_MAX, PromptKind, PromptOption};
use crate::monitor::evidence::Modes;
use crate::monitor::screen::{
    Asked, Keys, Menu, Page, Place, Shape, asks_below_text, begins_question, button, ends_asking,
    fingerprint, is_against, is_question, is_spelled_out, kind_of, kind_of_dialog, letters, line_hash,
    meaning_of, menu_at_cursor, menu_of, named_above, numbered, pattern, shape_of, tells_of_editor, timeless,
    turn, turns, unboxed,
};

use super::candidates::Source;

/// A prompt, read.
pub(super) struct Line {
    pub(super) kind: PromptKind,
    pub(super) question: String,
    pub(super) options: Vec<PromptOption>,
    pub(super) place: Place,
    pub(super) hash: String,
    pub(super) source: Source,
}

/// Who reads, and how.
#[derive(Debug, Clone, Copy)]
pub(super) struct Readers<'a> {
    /// Command names of those that read or sit in the foreground.
    pub(super) names: &'a [String],
    /// Of the terminal that is read.
    pub(super) modes: Option<Modes>,
    /// A program of the session made that terminal.
    pub(super) nested: bool,
    /// The process that reads; 0: not known.
    pub(super) pid: u32,
    /// A line editor is at rest.
    pub(super) edits: bool,
    /// Rows of the screen of an editor when it was first seen, without what moves by itself; none: no editor stands there.
    pub(super) before: Option<&'a [String]>,
}

impl<'a> Readers<'a> {
    fn asked(self, page: &'a Page, text: &'a str, options: &'a [PromptOption]) -> Asked<'a> {
        let Self { names, modes, nested, edits, .. } = self;
        Asked { page, text, options, names, modes, nested, edits }
    }
}

/// Rows from a question to the end of what is chosen below it, at most.
const ASKED_ROWS: usize = 10;
/// A longer row is a sentence of a text.
const ASKED_CHARS: usize = 100;

/// So many rows above a prompt may tell what its keys do.
const TOLD_ROWS: usize = 3;
/// Maximum number of rows of an open frame.
const FRAMED_ROWS: usize = 20;
/// Maximum number of rows from its corner to its end.
const CORNER_ROWS: usize = 3;

/// The prompt at the cursor. `hidden`: what is typed is not shown.
pub(super) fn read_line(page: &Page, readers: Readers<'_>, hidden: bool) -> Line {
    let modes = readers.modes;
    if !hidden && let Some(line) = bottom_line(page, readers) {
        return line;
    }
    let menu = if hidden { None } else { typed_menu(page, modes) };
    let (text, mut options) = match menu {
        Some(menu) => (menu.question, menu.options),
        None => {
            let text = page.asking();
            let letters = if hidden { Vec::new() } else { letters(&text, takes_enter(&text, modes)) };
            let options = if letters.is_empty() && !hidden { listed(page) } else { letters };
            (text, options)
        }
    };
    named(page, &mut options);
    let kind = kind_of(&readers.asked(page, &text, &options));
    if matches!(kind, PromptKind::Editor | PromptKind::Pager | PromptKind::Idle | PromptKind::Password) {
        options.clear();
    }
    if kind == PromptKind::Editor {
        // The same one, wherever in its text somebody is. A page of a pager is a prompt of its own.
        let hash = fingerprint([kind.as_str(), &readers.pid.to_string()]);
        return Line { kind, question: text, options, place: Place::Whole, hash, source: Source::Program };
    }
    let place = page.line();
    Line { kind, question: text, options, hash: hash_at(page, hidden), place, source: Source::Line }
}

/// The question in the lowest row of a full screen, while no cursor shows, or it rests elsewhere: one that names its keys, or what an
/// editor asks below its text.
fn bottom_line(page: &Page, readers: Readers<'_>) -> Option<Line> {
    let row = page.end().checked_sub(1)?;
    let is_elsewhere = !page.view.cursor_visible || page.cursor_row() != row;
    let is_bottom = row + 2 >= page.view.lines.len();
    let takes_keys = readers.modes.is_some_and(|modes| !modes.canonical);
    if !(takes_keys && is_elsewhere && is_bottom) {
        return None;
    }
    let text = unboxed(page.row(row)).trim();
    // One key is all that such a screen takes: Enter would be the next one.
    let options = letters(text, false);
    let names_keys = options.len() >= 2 && is_question(text);
    if !names_keys && !asks_below_text(text) {
        return None;
    }
    let asked = readers.asked(page, text, &options);
    let kind = match kind_of(&asked) {
        PromptKind::Editor | PromptKind::Pager if is_below_text(page, row, readers.before) => {
            kind_of_dialog(&asked)
        }
        PromptKind::Editor | PromptKind::Pager => return None,
        kind if names_keys && page.view.alternate => kind,
        _ => return None,
    };
    let place = Place::Row { text: text.to_owned() };
    let (question, hash) = (text.to_owned(), line_hash(&place));
    Some(Line { kind, question, options, place, hash, source: Source::Line })
}

/// The last row of the screen is none of the text that an editor shows: its text ends before that row, or what it tells of itself stands right
/// above, or the row was empty or told such things when the editor was first seen.
fn is_below_text(page: &Page, row: usize, before: Option<&[String]>) -> bool {
    if row + 1 != page.view.lines.len() {
        return false;
    }
    let ends_text = |row: &str| matches!(row.trim(), "" | "~") || tells_of_editor(row);
    let above = row.checked_sub(1).map_or("", |row| page.row(row));
    ends_text(above) || before.is_some_and(|before| before.get(row).is_none_or(|was| ends_text(was)))
}

/// Finds a menu above the cursor that is answered by typing a number. In raw mode, [`menu_line`] finds menus.
fn typed_menu(page: &Page, modes: Option<Modes>) -> Option<Menu> {
    let modes = modes?;
    let keys = match (modes.canonical, modes.echo) {
        (true, _) => Keys::NumberEnter,
        (false, true) => Keys::Number,
        (false, false) => return None,
    };
    menu_at_cursor(page, keys)
}

/// The hash of the prompt at the cursor: of the text before it, or of the rows above where there is none; and of a list above it.
pub(super) fn hash_at(page: &Page, hidden: bool) -> String {
    let lead = timeless(unboxed(&page.lead));
    let hash = if lead.is_empty() { line_hash(&page.line()) } else { fingerprint([&*lead]) };
    let options = match menu_at_cursor(page, Keys::NumberEnter) {
        _ if hidden => Vec::new(),
        Some(menu) => menu.options,
        None if letters(&page.asking(), true).is_empty() => listed(page),
        None => Vec::new(),
    };
    if options.is_empty() { hash } else { hash_of(&[&hash], &options) }
}

/// The hash of these words and of what can be chosen.
pub(super) fn hash_of(words: &[&str], options: &[PromptOption]) -> String {
    let labels = labels(options);
    fingerprint(words.iter().copied().chain(labels.iter().map(|label| &**label)))
}

/// Words and keys of options, without what is counted there.
fn labels(options: &[PromptOption]) -> Vec<Cow<'_, str>> {
    options.iter().flat_map(|option| [timeless(&option.label), Cow::Borrowed(&*option.keys)]).collect()
}

/// Whether Enter ends an answer. Where keys are taken as they come, it does not, and some programs that paint
/// their own line take a letter at once: those that paint what they understood behind the choice.
fn takes_enter(text: &str, modes: Option<Modes>) -> bool {
    let painted = text.trim_end().ends_with(['›', '»', '·']);
    modes.is_none_or(|modes| modes.canonical || (!modes.echo && !painted))
}

/// Keys that the line names alone get their words from the rows above, where these have any. Keys of a yes and a no that are told
/// there to do the contrary lose their meaning.
fn named(page: &Page, options: &mut [PromptOption]) {
    let row = page.cursor_row();
    let rows: Vec<&str> = (row.saturating_sub(20)..row).map(|row| page.row(row)).collect();
    let against = |option: &PromptOption| {
        named_above(&rows, &option.id).is_some_and(|label| is_against(&option.id, &label))
    };
    let is_turned = rows.iter().rev().take(TOLD_ROWS).any(|row| turns(row)) || options.iter().any(against);
    if is_turned {
        turn(options);
    }
    for option in options.iter_mut().filter(|option| is_spelled_out(option)) {
        if let Some(label) = named_above(&rows, &option.id) {
            option.meaning = meaning_of(&label).filter(|_| !is_turned);
            option.label = label.chars().take(LABEL_CHARS_MAX).collect();
        }
    }
}

/// Numbered rows above a prompt that asks for one of them (`#? `, `Choice [1-3]: `).
pub(super) fn listed(page: &Page) -> Vec<PromptOption> {
    const CHOOSES: [&str; 9] = ["#?", "choice", "choose", "select", "option", "number", "which", "[1", "(1"];
    let lead = page.lead.to_lowercase();
    let row = page.cursor_row();
    let rows: Vec<&str> = (row.saturating_sub(20)..row).map(|row| page.row(row)).collect();
    let near = |options: &[PromptOption], first: usize| rows.len() - first <= 2 * options.len() + 2;
    let list = numbered(&rows, Keys::NumberEnter).filter(|(options, first)| near(options, *first));
    let chooses =
        CHOOSES.iter().any(|word| lead.contains(word)) || lead.contains(" 1-") || lead.contains(" 1–");
    list.filter(|_| chooses).map(|(options, _)| options).unwrap_or_default()
}

/// The first row of the prompt in this row: of its list, where it asks about one.
pub(super) fn first_row(page: &Page, row: usize) -> usize {
    let list = || {
        let rows: Vec<&str> = (row.saturating_sub(20)..row).map(|row| page.row(row)).collect();
        let found = numbered(&rows, Keys::NumberEnter).filter(|_| !listed(page).is_empty());
        found.map(|(_, first)| row.saturating_sub(20) + first)
    };
    let menu = menu_at_cursor(page, Keys::NumberEnter).map(|menu| menu.row);
    menu.or_else(list).unwrap_or(row).min(row)
}

/// A menu, found by its look.
pub(super) fn menu_line(page: &Page, readers: Readers<'_>) -> Option<Line> {
    let menu = menu_of(page)?;
    let question = timeless(&menu.question);
    let hash = hash_of(&[&question], &menu.options);
    let hash =
        if menu.buttons.is_empty() { hash } else { fingerprint([hash.as_str(), &menu.buttons.join(" ")]) };
    let buttons: Vec<PromptOption> = menu.buttons.iter().map(|label| button(label)).collect();
    let offered = if buttons.is_empty() { &menu.options } else { &buttons };
    let secret = !buttons.is_empty();
    let kind_of = if buttons.is_empty() { kind_of } else { kind_of_dialog };
    let kind = match kind_of(&readers.asked(page, &menu.question, offered)) {
        // Of many, some are chosen.
        PromptKind::Permission if offered.is_empty() => PromptKind::Question,
        kind @ (PromptKind::Permission | PromptKind::Trust | PromptKind::Login | PromptKind::Error) => kind,
        PromptKind::Password if secret => PromptKind::Password,
        _ => PromptKind::Question,
    };
    let source = Source::Menu;
    Some(Line { kind, question: menu.question, options: menu.options, place: Place::Rule, hash, source })
}

/// A dialog is open: the cursor is at its buttons, or is hidden.
pub(super) fn has_dialog(page: &Page) -> bool {
    let is_at = |row: usize| !page.view.cursor_visible || page.cursor_row() == row;
    menu_of(page).is_some_and(|menu| !menu.buttons.is_empty() && is_at(menu.row))
}

/// What asks on a screen, without what is counted there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asks {
    /// The text before a cursor that shows; else the prompt that the program paints.
    pub(super) text: Option<String>,
    /// The hash of the menu.
    pub(super) menu: Option<String>,
}

impl Asks {
    pub(super) fn of(page: &Page) -> Self {
        let painted = || painted_line(page, NOBODY).map(|line| timeless(&line.question).into_owned());
        let text = if page.view.cursor_visible { Some(page.asks()) } else { painted() };
        Self { text, menu: menu_hash(page) }
    }
}

/// Where it is not of interest who reads.
const NOBODY: Readers<'static> =
    Readers { names: &[], modes: None, nested: false, pid: 0, edits: false, before: None };

/// The hash of the menu on the screen.
pub(super) fn menu_hash(page: &Page) -> Option<String> {
    let asked = || asked_above(page, true).map(|(text, _)| hash_of_asked(text));
    menu_line(page, NOBODY).map(|line| line.hash).or_else(asked)
}

/// A prompt of a program that hides the cursor and paints its own: the lowest row, where it begins or
/// ends as such prompts do.
pub(super) fn painted_line(page: &Page, readers: Readers<'_>) -> Option<Line> {
    if let Some(text) = framed(page) {
        let options = letters(&text, takes_enter(&text, readers.modes));
        return Some(painted(page, text, options, readers));
    }
    let mut rows = (0..page.end()).rev().map(|row| unboxed(page.row(row))).filter(|row| !row.is_empty());
    let (low, above) = (rows.next()?, rows.next().unwrap_or_default());
    // Some have what is typed below the row that asks. Others have there which keys there are, and the cursor behind what they ask.
    let at_cursor = unboxed(&page.lead).trim();
    let is_at_end = page.row(page.cursor_row()).trim_end().len() <= page.lead.len();
    let text = match above {
        _ if is_at_end && begins_question(at_cursor) => at_cursor,
        above if above.starts_with(['◆', '◇']) => above,
        _ => low,
    };
    let text = text.to_owned();
    let options = letters(&text, takes_enter(&text, readers.modes));
    let is_painted = text.starts_with(['?', '◆']) || text.contains(['›', '»', '❯']) || !options.is_empty();
    if !is_painted || shape_of(&text) == Shape::Progress {
        return None;
    }
    Some(painted(page, text, options, readers))
}

/// Whether the lowest rows are a question in an open frame.
pub(super) fn is_framed(page: &Page) -> bool {
    framed(page).is_some()
}

/// A row below a question that is a choice of it, or takes the answer.
static CHOICE: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^\s*(?:\(?\d{1,2}[.)]\s|>>|[❯›>]|\S+ / \S+|\pL+:\s?\S*$)"));

/// The row of a question with what is typed or chosen in the rows below it: no cursor shows, or it stands before a text that is offered.
/// Also whether the row has the sign of a question. `typed`: something may have been typed there.
pub(super) fn asked_above(page: &Page, typed: bool) -> Option<(&str, bool)> {
    let end = page.end();
    let hidden = !page.view.cursor_visible;
    let ends = |row: &str| row.ends_with(['?', '？']);
    let begun = (end.saturating_sub(ASKED_ROWS)..end).rev().find(|row| begins_question(page.row(*row)));
    if let Some(at) = begun.filter(|_| hidden) {
        let row = unboxed(page.row(at));
        let mut below = (at + 1..end).map(|row| page.row(row)).filter(|row| !unboxed(row).is_empty());
        // A question that was answered with nothing stays as it is.
        if (ends_asking(row) || row.ends_with([')', ']'])) && below.all(|row| CHOICE.is_match(row)) {
            return Some((row, true));
        }
    }
    let low = end.checked_sub(1)?;
    let above = low.checked_sub(1).map_or("", |row| unboxed(page.row(row)));
    let at_start = !hidden && (typed || page.lead.trim().is_empty());
    let offered = at_start && page.cursor_row() == low && !page.row(low).trim().is_empty();
    let painted_below = at_start && page.view.cursor_painted && page.cursor_row() == end;
    let text = match unboxed(page.row(low)) {
        row if offered && begins_question(row) && ends_asking(row) => row,
        _ if (hidden || offered) && ends(above) => above,
        row if (hidden || painted_below) && (ends(row) || row.ends_with([':', '：'])) => row,
        _ => return None,
    };
    let may_ask = shape_of(text) == Shape::Strong && text.chars().count() <= ASKED_CHARS;
    may_ask.then_some((text, false))
}

/// The prompt in the row that [`asked_above`] gives. The row stays where it is when it is answered, so it is looked for again as menus are.
pub(super) fn asked_line(page: &Page, text: &str, readers: Readers<'_>) -> Line {
    let line = painted(page, text.to_owned(), Vec::new(), readers);
    Line { hash: hash_of_asked(text), place: Place::Rule, source: Source::Menu, ..line }
}

fn hash_of_asked(text: &str) -> String {
    hash_of(&[&timeless(text)], &[])
}

fn painted(page: &Page, text: String, options: Vec<PromptOption>, readers: Readers<'_>) -> Line {
    let kind = match kind_of(&readers.asked(page, &text, &options)) {
        PromptKind::Idle | PromptKind::Unknown => PromptKind::Question,
        kind => kind,
    };
    let place = Place::Row { text: text.clone() };
    Line { kind, question: text, options, hash: line_hash(&place), place, source: Source::Line }
}

/// The question of a program that draws an open frame around it: its mark, then rows behind an edge, and a corner. Questions that were
/// answered have other marks, and no corner.
fn framed(page: &Page) -> Option<String> {
    let rows = || (0..page.end()).rev().map(|row| page.row(row).trim());
    let mut above = rows().filter(|row| !row.is_empty());
    // The words of a refusal stand at the corner, and may be wrapped.
    let corner = above.by_ref().take(CORNER_ROWS).find(|row| row.starts_with('└'))?;
    let asked = above.take(FRAMED_ROWS).find(|row| row.starts_with(['◆', '◇', '▲', '■', '┌']))?;
    let is_open = match corner.strip_prefix('└') {
        Some("") => asked.starts_with(['◆', '▲']),
        // After its last message a program ends the frame with words, too.
        Some(words) => words.starts_with("  ") && asked.starts_with('▲'),
        None => false,
    };
    (is_open && asked.chars().count() > 2).then(|| asked.to_owned())
}

/// The row of a terminal inside that looks like a prompt: the lowest one in a box; without boxes, the
/// lowest that ends as questions end, or names its answers.
pub(super) fn nested_row(page: &Page) -> Option<String> {
    let boxed = |row: &&str| row.trim_start().starts_with(['│', '┃', '|']);
    let rows = || (0..page.end()).rev().map(|row| page.row(row));
    let prompts = |row: &&str| row.ends_with([':', '?', '>', ']', '$', '#', '：', '？']);
    let in_box = rows().filter(boxed).map(unboxed).find(prompts);
    let ends = |row: &str| ends_asking(row) || letters(row, true).len() > 1;
    let asks = |row: &&str| ends(row) && !row.starts_with('>');
    in_box.or_else(|| rows().map(unboxed).find(asks)).map(str::to_owned)
}
