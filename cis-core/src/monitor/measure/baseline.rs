//! Rules that look at the screen alone, as other tools publish theirs: to be compared with.

use serde::Serialize;

use crate::monitor::ScreenView;

/// A baseline looks this often, ms.
pub const STEP_MS: u64 = 250;

/// Which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// The screen has been equal for 2 s (agentapi).
    Equal,
    /// The screen holds one of the sentences that three agents ask with (claude-squad).
    Sentences,
    /// One of thirteen words is in the last 20 lines.
    Words,
}

/// For so long a screen has to be equal, ms.
const EQUAL_MS: u64 = 2000;
/// What three agents show with their questions.
const SENTENCES: [&str; 3] =
    ["No, and tell Claude what to do differently", "(Y)es/(N)o/(D)on't ask again", "Yes, allow once"];
/// What questions are made of.
const WORDS: [&str; 13] = [
    "?",
    "y/n",
    "yes/no",
    "[y/n]",
    "(y/n)",
    "continue",
    "proceed",
    "password",
    "confirm",
    "press enter",
    "approve",
    "allow",
    "waiting for",
];
/// Lines that are searched for words.
const LINES: usize = 20;

/// One of the rules, in use.
#[derive(Debug)]
pub struct Baseline {
    rule: Rule,
    last: ScreenView,
    since_ms: u64,
}

impl Baseline {
    /// Each of them.
    #[must_use]
    pub fn all() -> [Self; 3] {
        [Rule::Equal, Rule::Sentences, Rule::Words].map(|rule| Self {
            rule,
            last: ScreenView::default(),
            since_ms: 0,
        })
    }

    /// How it is called in tables.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self.rule {
            Rule::Equal => "screen equal for 2 s",
            Rule::Sentences => "three agents' sentences",
            Rule::Words => "13 words in 20 lines",
        }
    }

    /// Whether it says that the program waits.
    pub fn waits(&mut self, at_ms: u64, view: &ScreenView) -> bool {
        match self.rule {
            Rule::Equal => {
                if self.last.lines != view.lines {
                    self.last = view.clone();
                    self.since_ms = at_ms;
                }
                at_ms.saturating_sub(self.since_ms) >= EQUAL_MS
            }
            Rule::Sentences => view.lines.iter().any(|line| SENTENCES.iter().any(|one| line.contains(one))),
            Rule::Words => {
                let written = view.lines.iter().rev().skip_while(|line| line.trim().is_empty());
                written
                    .take(LINES)
                    .map(|line| line.to_lowercase())
                    .any(|line| WORDS.iter().any(|word| line.contains(word)))
            }
        }
    }
}
