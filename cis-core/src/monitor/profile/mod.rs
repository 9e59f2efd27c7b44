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
use super::screen::{Page, is_rule};

/// An answer is cut after so many characters.
const ANSWER_CHARS_MAX: usize = 4000;

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

    /// What the first rule says that finds its signs on the screen.
    pub(super) fn read(&self, page: &Page) -> Option<Found> {
        self.rules.iter().find_map(|rule| rule.find(page))
    }

    /// What a title says.
    pub(super) fn title(&self, title: &str) -> Option<Says> {
        self.titles.iter().find(|rule| rule.text.found(title)).map(|rule| rule.says)
    }

    /// The last answer on the screen: from the lowest line that begins as answers do, to the next box or
    /// two blank rows.
    pub(super) fn answer(&self, page: &Page) -> String {
        let rows = &page.view.lines;
        let begins =
            |row: &str| self.answers.iter().find(|start| row.trim_start().starts_with(start.as_str()));
        let Some(at) = rows.iter().rposition(|row| begins(row).is_some()) else { return String::new() };
        let first = begins(&rows[at]).map_or("", |start| rows[at].trim_start().split_at(start.len()).1);
        let mut text = vec![first.trim()];
        let mut blank = 0;
        for row in &rows[at + 1..] {
            blank = if row.trim().is_empty() { blank + 1 } else { 0 };
            if blank == 2 || is_rule(row) || is_prompt(row) {
                break;
            }
            text.push(row.trim());
        }
        clean::text(&text.join("\n"), ANSWER_CHARS_MAX)
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

/// A row where something is typed, or that stands below an answer and says how long it took.
fn is_prompt(row: &str) -> bool {
    row.trim_start().starts_with(['❯', '›', '>', '✻', '▣', '┃'])
}
