//! Profiles: what is known of a program beforehand, and how its screen is read.
//!
//! Owns the monitor's part of a profile: the table `screen` of it, and the built-in ones. How a program
//! is started, prompted and logged in is not its business: those keys stand beside the table.

mod builtin;
mod rule;
mod table;

use std::sync::Arc;

pub use table::ProfileError;

pub(super) use rule::{Found, Says};
use rule::{Rule, TitleRule};

use super::clean;
use super::screen::{Keys, Page, is_rule, open_menu};
use crate::event::PromptKind;

/// An answer is cut after so many characters.
const ANSWER_CHARS_MAX: usize = 16_000;

/// The first line of an answer whose beginning is not known.
const BEGINNING_MISSING: &str =
    "(The beginning of this answer is missing: it is no longer on the agent's screen.)";

/// What being at its prompt means for a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Idle {
    /// It waits for somebody: a prompt of kind idle.
    #[default]
    Ask,
    /// The work that it was given is done.
    Done,
}

/// What is known of a program.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// It paints the whole screen and listens to its terminal in every state: that it waits for input
    /// tells nothing, only its rules and reports do.
    pub full_screen: bool,
    /// Lines that begin with `ERROR:`, `PERMISSION:`, `QUESTION:`, `COMPLETE:` count.
    pub markers: bool,
    /// Nothing but a spinner has moved for so long: it is stalled, ms.
    pub stalled_after_ms: u64,
    /// What being at its prompt means.
    pub idle: Idle,
    /// What a line of its answers begins with.
    pub answers: Vec<String>,
    rules: Vec<Rule>,
    titles: Vec<TitleRule>,
}

impl Profile {
    /// Commands without an agent.
    #[must_use]
    pub fn plain() -> Arc<Self> {
        Arc::new(Self::empty("plain"))
    }

    /// Whether it knows a program.
    #[must_use]
    pub fn has_rules(&self) -> bool {
        !self.rules.is_empty()
    }

    /// A built-in profile by its name: `plain`, `shell`, or an agent's.
    #[must_use]
    pub fn builtin(name: &str) -> Option<Arc<Self>> {
        builtin::of(name)
    }

    /// The names of the built-in ones.
    #[must_use]
    pub fn builtin_names() -> Vec<&'static str> {
        builtin::names()
    }

    /// The whole file of a built-in profile: also what other parts of the program read of it.
    #[must_use]
    pub fn builtin_text(name: &str) -> Option<&'static str> {
        builtin::text(name)
    }

    /// Reads the table `screen` of a profile. Keys that it does not have are those of `base`; its rules
    /// stand beside the base's, and replace those of the same name.
    ///
    /// # Errors
    /// Says which key is wrong and what it may be.
    pub fn from_table(
        name: &str,
        base: Option<&Self>,
        screen: &toml::Table,
    ) -> Result<Arc<Self>, ProfileError> {
        let base = base.cloned().unwrap_or_else(|| Self::empty(name));
        table::read(name, base, screen, table::Source::File).map(Arc::new)
    }

    /// The same profile with another meaning of being at its prompt.
    #[must_use]
    pub fn with_idle(&self, idle: Idle) -> Arc<Self> {
        Arc::new(Self { idle, ..self.clone() })
    }

    /// What the first rule says that finds its signs on the screen; where none does, what an open menu of an agent asks.
    pub(super) fn read(&self, page: &Page) -> Option<Found> {
        let by_rule = |rule: &Rule| rule.find(page).filter(|_| !self.is_quoted_login(rule, page));
        self.rules.iter().find_map(by_rule).or_else(|| self.menu(page))
    }

    /// What a menu asks that stands at the bottom of the screen. Who reads the terminal tells nothing of a program that listens in
    /// every state, so its look must do; of others, who reads tells more.
    fn menu(&self, page: &Page) -> Option<Found> {
        if !self.full_screen {
            return None;
        }
        let menu = open_menu(page)?;
        let pointed = page.row(menu.pointed).trim_start();
        // An answer may begin with a list.
        let is_answer = self.answers.iter().any(|start| pointed.starts_with(start.as_str()));
        let below = || menu.to..page.end();
        if is_answer || self.rules.iter().any(|rule| rule.has_sign_of_its_own(page, below())) {
            return None;
        }
        Rule::of_menu(page, menu, |kind| self.menu_keys(kind))
    }

    /// How menus of this kind are answered: as in the rules for such menus.
    fn menu_keys(&self, kind: PromptKind) -> Keys {
        let of = |says| self.rules.iter().find_map(|rule| rule.numbered_keys(says));
        let asked = |kind| of(Some(Says::Waits(kind)));
        asked(kind).or_else(|| asked(PromptKind::Question)).or_else(|| of(None)).unwrap_or(Keys::Arrows)
    }

    /// Whether this is a rule for a login whose words stand above a dialog of an agent that is logged in: they are quoted.
    fn is_quoted_login(&self, rule: &Rule, page: &Page) -> bool {
        if rule.says != Says::Waits(PromptKind::Login) {
            return false;
        }
        let by_rules = self.rules.iter().filter_map(|other| other.dialog(page));
        let by_look = || {
            let found = self.menu(page)?;
            let asks = matches!(found.says, Says::Waits(PromptKind::Permission | PromptKind::Trust));
            found.dialog(asks)
        };
        by_rules.chain(by_look()).any(|dialog| rule.is_above(page, dialog))
    }

    /// What a title says.
    pub(super) fn title(&self, title: &str) -> Option<Says> {
        self.titles.iter().find(|rule| rule.text.found(title)).map(|rule| rule.says)
    }

    /// The last answer among these lines, with its lines: from the lowest line that begins as answers do, to the next box or two blank
    /// lines. Lines before `screen` have scrolled out of the screen. Marks in an answer, quotes and rules of Markdown are indented as its
    /// text is. If its beginning is not there, the answer is what the screen shows above the input line, and says so. Empty if the
    /// profile does not say how answers begin.
    pub(super) fn answer(&self, lines: &[String], screen: usize) -> String {
        if self.answers.is_empty() {
            return String::new();
        }
        let shown = &lines[screen.min(lines.len())..];
        let reaches_it = self.marked(lines, screen).filter(|(_, end)| *end >= screen);
        if let Some((answer, _)) = reaches_it.or_else(|| self.marked(shown, 0)) {
            return answer;
        }
        let shown = above_input(shown);
        let text = clean::lines(dedented(shown), ANSWER_CHARS_MAX);
        if text.is_empty() {
            return text;
        }
        format!("{BEGINNING_MISSING}\n{}", text.trim_start_matches('\n'))
    }

    /// The last answer whose beginning is among these lines, and the line that ends it.
    fn marked(&self, lines: &[String], screen: usize) -> Option<(String, usize)> {
        let begins =
            |row: &str| self.answers.iter().find(|start| row.trim_start().starts_with(start.as_str()));
        let left = lines.iter().filter(|row| begins(row).is_some()).map(|row| indentation(row)).min()?;
        let is_first = |row: &String| begins(row).is_some() && indentation(row) == left;
        let at = lines.iter().rposition(is_first)?;
        let first = begins(&lines[at]).map_or("", |start| lines[at].trim_start().split_at(start.len()).1);
        let is_edge = |at: Option<usize>| {
            at.and_then(|at| lines.get(at)).is_some_and(|row| is_rule(row) && is_wide(row))
        };
        let ends = |at: usize| {
            let row = lines[at].as_str();
            let is_outside = indentation(row) <= left;
            (is_rule(row) && (is_outside || is_wide(row)))
                || (is_prompt(row) && (is_outside || is_edge(at.checked_sub(1)) || is_edge(Some(at + 1))))
        };
        let (mut blank, mut end) = (0, lines.len());
        for (below, row) in lines.iter().enumerate().skip(at + 1) {
            blank = if row.trim().is_empty() { blank + 1 } else { 0 };
            // What stands below an answer is on the screen.
            if (blank >= 2 && below >= screen) || ends(below) {
                end = below;
                break;
            }
        }
        let rest = dedented(&lines[at + 1..end]);
        Some((clean::lines(std::iter::once(first.trim()).chain(rest), ANSWER_CHARS_MAX), end))
    }

    /// Every pattern of its rules and titles.
    #[cfg(test)]
    fn patterns(&self) -> impl Iterator<Item = &rule::Pattern> {
        let signs = self
            .rules
            .iter()
            .flat_map(|rule| rule.all.iter().chain(&rule.any).chain(&rule.none).chain(&rule.question));
        let signs = signs.chain(self.titles.iter().map(|title| &title.text));
        signs.filter_map(|sign| match sign {
            rule::Sign::Pattern(pattern) => Some(&**pattern),
            rule::Sign::Text(_) => None,
        })
    }

    fn empty(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            full_screen: false,
            markers: false,
            stalled_after_ms: 600_000,
            idle: Idle::Ask,
            answers: Vec::new(),
            rules: Vec::new(),
            titles: vec![TitleRule::action_required()],
        }
    }
}

/// Rows without the blanks that all of them begin with.
fn dedented(rows: &[String]) -> impl Iterator<Item = &str> {
    let filled = rows.iter().filter(|row| !row.trim().is_empty());
    let inner = filled.map(|row| indentation(row)).min().unwrap_or(0);
    rows.iter().map(move |row| row.get(inner..).unwrap_or(row.trim_start()))
}

/// The rows of a screen above the lowest row where something is typed, and above its box; all where there is none.
fn above_input(rows: &[String]) -> &[String] {
    let Some(mut end) = rows.iter().rposition(|row| is_prompt(row)) else { return rows };
    let is_frame = |row: &str| row.trim().is_empty() || is_prompt(row) || (is_rule(row) && is_wide(row));
    while end > 0 && is_frame(&rows[end - 1]) {
        end -= 1;
    }
    &rows[..end]
}

/// Bytes before the text of a row.
fn indentation(row: &str) -> usize {
    row.len() - row.trim_start().len()
}

/// Whether a row is as wide as the edge of a box: a rule in a text is short.
fn is_wide(row: &str) -> bool {
    row.trim().chars().count() >= 16
}

/// A row where something is typed, or that stands below an answer and says how long it took.
fn is_prompt(row: &str) -> bool {
    row.trim_start().starts_with(['❯', '›', '>', '✻', '▣', '┃'])
}
