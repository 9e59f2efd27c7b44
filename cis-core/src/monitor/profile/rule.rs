//! One rule: signs that must and must not be on a part of the screen, and what they say together.

use std::ops::Range;
use std::sync::{Arc, LazyLock, OnceLock};

use regex::Regex;

use crate::event::{PromptKind, PromptOption, QUESTION_CHARS_MAX};
use crate::monitor::clean;
use crate::monitor::screen::{
    ABOVE_ROWS_MAX, Asked, Keys, OpenMenu, Page, Reach, buttons, ends_asking, fingerprint, has_number,
    is_chat, is_input, is_rule, kind_of, letters, numbered, pointed_at, steady, unboxed, unpointed,
};

/// Rows above a question that are shown with it.
const CONTEXT_ROWS_MAX: usize = 12;
/// The name of what is found where no rule matches, and a menu is open.
const MENU: &str = "numbered menu";
/// The screen must be still for so long before such a menu counts, ms.
const MENU_HOLD_MS: i64 = 3000;

/// What a rule or a title says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::monitor) enum Says {
    /// It waits, for this.
    Waits(PromptKind),
    /// It is at work.
    Working,
}

/// A text to look for: literal, or `/a regular expression/`.
#[derive(Debug, Clone)]
pub(super) enum Sign {
    Text(String),
    Pattern(Arc<Pattern>),
}

/// A regular expression that is compiled when a screen is first held against it: most programs that read
/// profiles never look at a screen.
#[derive(Debug)]
pub(super) struct Pattern {
    text: String,
    compiled: OnceLock<Regex>,
}

/// What a compiled pattern may take, bytes.
const PATTERN_BYTES_MAX: usize = 1 << 20;

impl Pattern {
    /// Of a text that is known to be one: it stands in a file that is part of the program.
    pub(super) fn trusted(text: &str) -> Self {
        Self { text: text.to_owned(), compiled: OnceLock::new() }
    }

    /// Of any text; none where it is no pattern, or one that takes too much.
    pub(super) fn checked(text: &str) -> Option<Self> {
        let compiled = compile(text).ok()?;
        Some(Self { text: text.to_owned(), compiled: compiled.into() })
    }

    fn is_match(&self, row: &str) -> bool {
        // What does not compile, which a test of the files rules out, is found nowhere.
        static NOTHING: LazyLock<Regex> =
            LazyLock::new(|| Regex::new(r"[^\s\S]").expect("a constant pattern"));
        self.compiled.get_or_init(|| compile(&self.text).unwrap_or_else(|_| NOTHING.clone())).is_match(row)
    }

    /// Whether it is one.
    #[cfg(test)]
    pub(super) fn compiles(&self) -> bool {
        compile(&self.text).is_ok()
    }
}

fn compile(text: &str) -> Result<Regex, regex::Error> {
    regex::RegexBuilder::new(text).size_limit(PATTERN_BYTES_MAX).build()
}

impl Sign {
    pub(super) fn found(&self, row: &str) -> bool {
        match self {
            Self::Text(text) => row.contains(text.as_str()),
            Self::Pattern(pattern) => pattern.is_match(row),
        }
    }
}

/// What a title says.
#[derive(Debug, Clone)]
pub(super) struct TitleRule {
    pub(super) text: Sign,
    pub(super) says: Says,
}

impl TitleRule {
    /// What agents of several makers say.
    pub(super) fn action_required() -> Self {
        Self { text: Sign::Text("Action Required".to_owned()), says: Says::Waits(PromptKind::Permission) }
    }
}

/// Where a rule looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Region {
    Whole,
    /// The lowest rows that are not blank.
    Last(usize),
    /// So many rows above and below the cursor.
    Cursor(usize),
    /// The rows below the last horizontal line but one: the box at the bottom.
    Box,
    /// The lowest rows that are not blank, below the chat. None where no line, and no message of a person, stands between
    /// them and an answer: then they are a part of it.
    Dialog(usize),
}

/// How the options of a prompt are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Options {
    None,
    Numbered,
    Letters,
    /// In a row, the first of them begins so.
    Buttons(String),
}

/// A rule of a profile.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) name: String,
    pub(super) says: Says,
    pub(super) priority: i32,
    pub(super) region: Region,
    pub(super) all: Vec<Sign>,
    pub(super) any: Vec<Sign>,
    pub(super) none: Vec<Sign>,
    /// The row that asks.
    pub(super) question: Option<Sign>,
    pub(super) options: Options,
    pub(super) keys: Keys,
    /// It must be found so long before it counts, ms.
    pub(super) hold_ms: i64,
}

/// What a rule found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::monitor) struct Found {
    /// The rule's name.
    pub(in crate::monitor) rule: String,
    /// What it says.
    pub(in crate::monitor) says: Says,
    /// It must be found so long before it counts, ms.
    pub(in crate::monitor) hold_ms: i64,
    /// Of the row that asks and the options, without what moves or is highlighted.
    pub(in crate::monitor) hash: String,
    /// The row that asks.
    pub(in crate::monitor) asks: String,
    /// What it asks, with the rows around that row.
    pub(in crate::monitor) question: String,
    /// What can be answered.
    pub(in crate::monitor) options: Vec<PromptOption>,
    /// The rows that say what is decided. None where nothing is asked.
    pub(in crate::monitor) above: Option<Reach>,
    /// No rule knows the screen; a menu was found by its look. It counts once the screen is still.
    pub(in crate::monitor) by_look: bool,
}

/// Rows of a dialog that is open.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dialog {
    /// Its first option.
    first: usize,
    /// The row that asks. None where it may be a part of a login.
    asks: Option<usize>,
}

impl Rule {
    /// Whether all signs are there, and what is asked.
    pub(super) fn find(&self, page: &Page) -> Option<Found> {
        let (from, to) = self.rows(page);
        let rows: Vec<&str> = (from..to).map(|row| page.row(row)).collect();
        let is_there = |sign: &Sign| rows.iter().any(|row| sign.found(row));
        let matches = self.all.iter().all(is_there)
            && (self.any.is_empty() || self.any.iter().any(is_there))
            && !self.none.iter().any(is_there);
        if !matches {
            return None;
        }
        let options = self.options(&rows);
        if self.options != Options::None && options.is_none() {
            return None;
        }
        if matches!(self.says, Says::Working | Says::Waits(PromptKind::Idle)) {
            // Nothing is asked.
            return Some(self.found(fingerprint([self.name.as_str()])));
        }
        let (options, first) = options.unwrap_or((Vec::new(), rows.len()));
        let asks = match &self.question {
            Some(sign) => rows.iter().rposition(|row| sign.found(row)),
            None => nearest_question(&rows[..first]),
        };
        Some(self.asking(from, &rows, asks, options, first))
    }

    /// What is asked in `rows`, of which the first one is the screen's row `from`.
    fn asking(
        &self,
        from: usize,
        rows: &[&str],
        asks: Option<usize>,
        options: Vec<PromptOption>,
        first: usize,
    ) -> Found {
        let context = asks.map(|row| context(rows, row, first));
        let above = asks.map(|row| {
            let to = if options.is_empty() { row + 1 } else { first.max(row + 1) };
            Reach { row: from + to, rows: ABOVE_ROWS_MAX + to - row - 1, boxed: Some(from + row) }
        });
        let hash = self.hash(asks.map_or("", |row| unpointed(rows[row])), &options);
        let question =
            asks.map_or_else(String::new, |row| worded(rows[row], context.as_deref().unwrap_or_default()));
        let asks = asks.map_or_else(String::new, |row| unpointed(rows[row]).to_owned());
        Found { asks, question, options, above, ..self.found(hash) }
    }

    /// What an open menu asks that no rule knows. `keys_of`: how menus of a kind are answered.
    pub(super) fn of_menu(
        page: &Page,
        menu: OpenMenu,
        keys_of: impl Fn(PromptKind) -> Keys,
    ) -> Option<Found> {
        let rows: Vec<&str> = (0..menu.to).map(|row| page.row(row)).collect();
        let asks = menu_question(&rows, menu);
        let options = |keys| numbered(&rows[menu.first..], keys).map(|(options, _)| options);
        let kind = menu_kind(page, unpointed(rows[asks]), &options(Keys::Number)?);
        let keys = keys_of(kind);
        let rule = Self {
            name: MENU.to_owned(),
            says: Says::Waits(kind),
            priority: 0,
            region: Region::Whole,
            all: Vec::new(),
            any: Vec::new(),
            none: Vec::new(),
            question: None,
            options: Options::Numbered,
            keys,
            hold_ms: MENU_HOLD_MS,
        };
        let found = rule.asking(0, &rows, Some(asks), options(keys)?, menu.first);
        Some(Found { by_look: true, ..found })
    }

    /// The dialog in which this rule finds something to decide.
    pub(super) fn dialog(&self, page: &Page) -> Option<Dialog> {
        use PromptKind::{Permission, Question, Trust};
        if !matches!(self.says, Says::Waits(Permission | Question | Trust)) {
            return None;
        }
        let found = self.find(page).filter(|found| !found.options.is_empty())?;
        found.dialog(true)
    }

    /// Whether the words of this rule stand above the dialog, and are no part of it.
    pub(super) fn is_above(&self, page: &Page, dialog: Dialog) -> bool {
        let (from, to) = self.rows(page);
        let is_sign = |row: &usize| {
            let found = |sign: &Sign| sign.found(page.row(*row));
            match &self.question {
                Some(sign) => found(sign),
                None => self.all.iter().chain(&self.any).any(found),
            }
        };
        let Some(at) = (from..to).rev().find(is_sign) else { return false };
        let ends = |row: &str| is_rule(row) || is_chat(row) || has_number(row);
        at < dialog.first
            && (dialog.asks.is_some_and(|asks| at < asks)
                || (at..dialog.first).any(|row| ends(page.row(row))))
    }

    /// Whether this rule says that it is at rest, or at work, and one of its signs is in these rows.
    pub(super) fn has_sign_of_its_own(&self, page: &Page, rows: Range<usize>) -> bool {
        matches!(self.says, Says::Working | Says::Waits(PromptKind::Idle))
            && rows
                .into_iter()
                .any(|row| self.all.iter().chain(&self.any).any(|sign| sign.found(page.row(row))))
    }

    /// How its numbered options are chosen, where it says this.
    pub(super) fn numbered_keys(&self, says: Option<Says>) -> Option<Keys> {
        let is_it = self.options == Options::Numbered && says.is_none_or(|says| says == self.says);
        is_it.then_some(self.keys)
    }

    /// Asks nothing.
    fn found(&self, hash: String) -> Found {
        Found {
            rule: self.name.clone(),
            says: self.says,
            hold_ms: self.hold_ms,
            hash,
            asks: String::new(),
            question: String::new(),
            options: Vec::new(),
            above: None,
            by_look: false,
        }
    }

    fn rows(&self, page: &Page) -> (usize, usize) {
        let end = page.end();
        match self.region {
            Region::Whole => (0, end),
            Region::Last(count) => (lowest(page, count), end),
            Region::Dialog(count) => (below_chat(page).map_or(end, |row| row.max(lowest(page, count))), end),
            Region::Cursor(count) => {
                let row = page.cursor_row();
                (row.saturating_sub(count).min(end), end.min(row + count + 1))
            }
            Region::Box => {
                let edge = (0..end.saturating_sub(1)).rev().filter(|row| is_rule(page.row(*row))).nth(1);
                (edge.unwrap_or(0), end)
            }
        }
    }

    fn options(&self, rows: &[&str]) -> Option<(Vec<PromptOption>, usize)> {
        match &self.options {
            Options::None => None,
            Options::Numbered => {
                let (from, to) = self.own_rows(rows);
                let own = &rows[from..to];
                // Where arrows choose, some leave the numbers out.
                let bare = || (self.keys == Keys::Arrows).then(|| pointed_at(own)).flatten();
                numbered(own, self.keys).or_else(bare).map(|(options, first)| (options, from + first))
            }
            Options::Letters => rows.iter().enumerate().rev().find_map(|(index, row)| {
                let options = letters(row, true);
                (!options.is_empty()).then_some((options, index + 1))
            }),
            Options::Buttons(first) => rows
                .iter()
                .enumerate()
                .rev()
                .find_map(|(index, row)| buttons(row, first).map(|options| (options, index))),
        }
    }

    /// From the row that asks to the end of its box: a list of another dialog is not its own.
    fn own_rows(&self, rows: &[&str]) -> (usize, usize) {
        let asks = self.question.as_ref().and_then(|sign| rows.iter().rposition(|row| sign.found(row)));
        let Some(from) = asks else { return (0, rows.len()) };
        let ends = |row: &&str| row.trim_start().starts_with(['╰', '└', '╚', '┗']);
        (from, rows[from..].iter().position(ends).map_or(rows.len(), |at| from + at))
    }

    fn hash(&self, question: &str, options: &[PromptOption]) -> String {
        let asks = steady(&[question.to_owned()]);
        // With the keys: where the highlight moved, arrows lead elsewhere.
        let labels = options.iter().flat_map(|option| [option.label.as_str(), option.keys.as_str()]);
        fingerprint([self.name.as_str()].into_iter().chain(asks.iter().map(String::as_str)).chain(labels))
    }
}

impl Found {
    /// The dialog that it is found in. `asks`: its question is known to be no part of a login.
    pub(super) fn dialog(&self, asks: bool) -> Option<Dialog> {
        let reach = self.above?;
        Some(Dialog { first: reach.row, asks: reach.boxed.filter(|_| asks) })
    }
}

/// The highest of the lowest rows that are not blank.
fn lowest(page: &Page, count: usize) -> usize {
    let filled = (0..page.end()).rev().filter(|row| !page.row(*row).trim().is_empty());
    filled.take(count).last().unwrap_or(0)
}

/// The row below the chat: a line, or a message of a person, at the left edge ends it, or there is none. None where the lowest rows
/// are a part of an answer.
fn below_chat(page: &Page) -> Option<usize> {
    let at_left = |row: &str| !row.starts_with(char::is_whitespace);
    for at in (0..page.end()).rev() {
        let row = page.row(at);
        if at_left(row) && (is_rule(row) || is_input(row)) {
            return Some(at + 1);
        }
        if is_chat(row) {
            return None;
        }
    }
    Some(0)
}

/// The row that asks above an open menu, not beyond an edge or two blank rows.
fn menu_question(rows: &[&str], menu: OpenMenu) -> usize {
    let blank = |row: usize| unboxed(rows[row]).is_empty();
    let ends = |row: &usize| is_rule(rows[*row]) || (*row > 0 && blank(*row) && blank(*row - 1));
    let from = (0..menu.title).rev().find(ends).map_or(0, |row| row + 1);
    nearest_question(&rows[from..=menu.title]).map_or(menu.title, |row| from + row)
}

/// What a menu asks for, by its words. Never a login, which would end the attempt: only rules know the screens of those.
fn menu_kind(page: &Page, text: &str, options: &[PromptOption]) -> PromptKind {
    match kind_of(&Asked { page, text, options, names: &[], modes: None, edits: false, nested: false }) {
        kind @ (PromptKind::Permission | PromptKind::Trust | PromptKind::Error) => kind,
        _ => PromptKind::Question,
    }
}

/// The lowest row that ends as questions end; without one, the lowest that holds text.
fn nearest_question(rows: &[&str]) -> Option<usize> {
    let text = |row: &&str| unboxed(row).to_owned();
    let near = || (0..rows.len()).rev().take(CONTEXT_ROWS_MAX);
    near()
        .find(|row| ends_asking(&text(&rows[*row])))
        .or_else(|| near().find(|row| !text(&rows[*row]).is_empty() && !is_rule(rows[*row])))
}

/// The rows that belong to a question: above it up to a line or two blank rows, below it down to the
/// options. Without boxes, pointers and what moves.
fn context(rows: &[&str], asks: usize, options: usize) -> Vec<String> {
    let mut from = asks;
    while from > 0 && asks - from < CONTEXT_ROWS_MAX {
        let (above, before) = (rows[from - 1], from.checked_sub(2).map(|row| rows[row]));
        let edge = is_rule(above) && above.trim_start().starts_with(['╭', '┌', '╔', '─', '━', '▔']);
        let blank = unboxed(above).is_empty() && before.is_none_or(|row| unboxed(row).is_empty());
        if edge || blank {
            break;
        }
        from -= 1;
    }
    let rows = rows[from..options.max(asks + 1).min(rows.len())].iter();
    let texts: Vec<String> = rows.filter(|row| !is_rule(row)).map(|row| unpointed(row).to_owned()).collect();
    steady(&texts)
}

/// The question first, then what stands around it: what is to be run, and why.
fn worded(question: &str, context: &[String]) -> String {
    let question = unpointed(question);
    let rest: Vec<&str> = context.iter().map(String::as_str).filter(|row| *row != question).collect();
    let text =
        if rest.is_empty() { question.to_owned() } else { format!("{question} — {}", rest.join(" · ")) };
    clean::text(&text, QUESTION_CHARS_MAX)
}
