//! Scenarios: what is to be run, typed and expected, and what is truly the case at each step.

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use cis_core::api::TermSize;
use cis_core::event::PromptKind;
use cis_core::monitor::recording::Label;

/// A file of scenarios of one program.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenarios {
    /// The program, as people call it: the corpus is split by it.
    pub program: String,
    /// The profile that reads its screen, where it is not the plain one.
    #[serde(default)]
    pub profile: Option<String>,
    /// Debian packages that have it, for whoever records.
    #[serde(default)]
    pub apt: Vec<String>,
    /// Packages of PyPI.
    #[serde(default)]
    pub pip: Vec<String>,
    /// Packages of npm.
    #[serde(default)]
    pub npm: Vec<String>,
    /// Its scenarios.
    pub scenario: Vec<Scenario>,
}

/// One of them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Unique in its file.
    pub name: String,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Shell commands that prepare its directory, before; what they leave running is not part of it.
    #[serde(default)]
    pub setup: Option<String>,
    /// Shell commands that undo what `setup` did outside of its directory, afterwards, also if there is no recording.
    #[serde(default)]
    pub cleanup: Option<String>,
    /// Files in its directory, by name.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// Variables, beside PATH, HOME, TERM and LANG.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Columns of its terminal.
    #[serde(default = "cols")]
    pub cols: u16,
    /// Rows of its terminal.
    #[serde(default = "rows")]
    pub rows: u16,
    /// It needs to be recorded as root; all others are as an ordinary user.
    #[serde(default)]
    pub root: bool,
    /// In this order.
    pub steps: Vec<Step>,
}

fn cols() -> u16 {
    TermSize::default().cols
}

fn rows() -> u16 {
    TermSize::default().rows
}

/// One step: what is expected, what is then the case, for how long nothing is done, what is typed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Step {
    /// A text on the screen, new since something was typed last.
    pub expect: Option<String>,
    /// It has to appear within this time, seconds (20).
    pub within: Option<f64>,
    /// From then on it waits for a human, for this.
    #[serde(deserialize_with = "kind")]
    pub waiting: Option<PromptKind>,
    /// From then on it waits for nobody.
    pub working: bool,
    /// Nothing is typed for so long, seconds; where it waits, 8.
    pub hold: Option<f64>,
    /// Then this is typed. Unless it works on, nothing is said to be the case until the next step.
    pub send: Option<String>,
    /// What was typed is not an answer: the case stays what it is.
    pub same: bool,
}

/// As it is written: a word that no kind has is a mistake here, and not a kind of a later version.
fn kind<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PromptKind>, D::Error> {
    let word = String::deserialize(deserializer)?;
    let kind = PromptKind::parse(&word);
    kind.map(Some).ok_or_else(|| D::Error::custom(format!("there is no kind of prompt `{word}`")))
}

impl Step {
    /// What is the case in it.
    #[must_use]
    pub fn label(&self) -> Option<Label> {
        self.waiting.map(Label::Waiting).or(self.working.then_some(Label::Working))
    }
}

/// Why a text is no file of scenarios.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// Its form is wrong.
    #[error("the file of scenarios is wrong: {0}")]
    Form(#[from] toml::de::Error),
    /// There is no such scenario.
    #[error("there is no scenario `{wanted}` in it; there are {known}")]
    Unknown {
        /// What was asked for.
        wanted: String,
        /// Their names.
        known: String,
    },
    /// A step cannot be played.
    #[error("scenario `{scenario}`, step {step}: {why}")]
    Step {
        /// Which.
        scenario: String,
        /// From 1.
        step: usize,
        /// In words.
        why: String,
    },
}

impl Scenarios {
    /// Reads a file's text.
    ///
    /// # Errors
    /// [`ScenarioError`].
    pub fn parse(text: &str) -> Result<Self, ScenarioError> {
        let file: Self = toml::from_str(text)?;
        for scenario in &file.scenario {
            let wrong = |step: usize, why: &str| {
                Err(ScenarioError::Step { scenario: scenario.name.clone(), step, why: why.to_owned() })
            };
            if scenario.argv.is_empty() || scenario.name.is_empty() {
                return wrong(0, "a scenario needs a name and a program");
            }
            for (at, step) in scenario.steps.iter().enumerate() {
                if step.waiting.is_some() && step.working {
                    return wrong(at + 1, "it either waits or works");
                }
                let seconds = [step.within, step.hold];
                if seconds.into_iter().flatten().any(|time| !(0.0..=3600.0).contains(&time)) {
                    return wrong(at + 1, "times are from 0 to 3600 seconds");
                }
            }
        }
        Ok(file)
    }

    /// The scenario of this name.
    ///
    /// # Errors
    /// There is none.
    pub fn find(&self, name: &str) -> Result<&Scenario, ScenarioError> {
        let known = || self.scenario.iter().map(|one| one.name.as_str()).collect::<Vec<_>>().join(", ");
        self.scenario
            .iter()
            .find(|one| one.name == name)
            .ok_or_else(|| ScenarioError::Unknown { wanted: name.to_owned(), known: known() })
    }
}
