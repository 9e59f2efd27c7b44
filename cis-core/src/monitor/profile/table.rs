//! The table `screen` of a profile, as it is written.

use std::sync::Arc;

use serde::Deserialize;

use super::Profile;
use super::rule::{Options, Pattern, Region, Rule, Says, Sign, TitleRule};
use crate::event::PromptKind;
use crate::monitor::screen::Keys;

/// More rules are refused.
const RULES_MAX: usize = 64;
/// More signs in a list are refused.
const SIGNS_MAX: usize = 32;
/// A longer pattern is refused, characters.
const PATTERN_CHARS_MAX: usize = 500;
/// How long a rule's signs must be there, where it does not say, ms.
const HOLD_MS: i64 = 300;
/// The same of being at its prompt.
const IDLE_HOLD_MS: i64 = 1500;

/// What is wrong with a profile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// The table does not read.
    #[error("profile {profile:?}: screen: {message}")]
    Table {
        /// Its name.
        profile: String,
        /// What the reader says.
        message: String,
    },
    /// A value that means nothing.
    #[error("profile {profile:?}: {place}: {value:?} is not {wanted}")]
    Value {
        /// Its name.
        profile: String,
        /// The rule and key.
        place: String,
        /// What stands there.
        value: String,
        /// What may stand there.
        wanted: &'static str,
    },
    /// More than is allowed.
    #[error("profile {profile:?}: {place}: more than {limit}")]
    TooMany {
        /// Its name.
        profile: String,
        /// Where.
        place: String,
        /// So many are allowed.
        limit: usize,
    },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawScreen {
    full_screen: Option<bool>,
    markers: Option<bool>,
    stalled_after: Option<String>,
    answers: Option<Vec<String>>,
    #[serde(default)]
    titles: Vec<RawTitle>,
    #[serde(default)]
    rules: Vec<RawRule>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTitle {
    text: String,
    is: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    name: String,
    is: String,
    #[serde(default)]
    priority: i32,
    region: Option<String>,
    #[serde(default)]
    all: Vec<String>,
    #[serde(default)]
    any: Vec<String>,
    #[serde(default)]
    none: Vec<String>,
    question: Option<String>,
    options: Option<String>,
    keys: Option<String>,
    hold: Option<String>,
}

/// Who wrote a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// It is part of the program, and its patterns are tested.
    Builtin,
    /// Anybody.
    File,
}

/// Reads the table on top of `profile`.
pub(super) fn read(
    name: &str,
    mut profile: Profile,
    screen: &toml::Table,
    source: Source,
) -> Result<Profile, ProfileError> {
    let table = |error: toml::de::Error| ProfileError::Table {
        profile: name.to_owned(),
        message: error.message().to_owned(),
    };
    let raw: RawScreen = screen.clone().try_into().map_err(table)?;
    let reader = Reader { profile: name, source };
    name.clone_into(&mut profile.name);
    profile.full_screen = raw.full_screen.unwrap_or(profile.full_screen);
    profile.markers = raw.markers.unwrap_or(profile.markers);
    profile.answers = raw.answers.unwrap_or(profile.answers);
    if let Some(after) = raw.stalled_after {
        let ms = reader.duration("stalled_after", &after)?;
        profile.stalled_after_ms = ms.unsigned_abs().max(1000);
    }
    reader.limit("screen.rules", raw.rules.len() + profile.rules.len(), RULES_MAX)?;
    reader.limit("screen.titles", raw.titles.len() + profile.titles.len(), RULES_MAX)?;
    let titles: Result<Vec<_>, _> = raw.titles.iter().map(|title| reader.title(title)).collect();
    profile.titles.splice(0..0, titles?);
    for rule in &raw.rules {
        let rule = reader.rule(rule)?;
        profile.rules.retain(|known| known.name != rule.name);
        profile.rules.push(rule);
    }
    profile.rules.sort_by_key(|rule| std::cmp::Reverse(rule.priority));
    Ok(profile)
}

struct Reader<'a> {
    profile: &'a str,
    source: Source,
}

impl Reader<'_> {
    fn wrong(&self, place: &str, value: &str, wanted: &'static str) -> ProfileError {
        ProfileError::Value {
            profile: self.profile.to_owned(),
            place: place.to_owned(),
            value: value.to_owned(),
            wanted,
        }
    }

    fn limit(&self, place: &str, count: usize, limit: usize) -> Result<(), ProfileError> {
        if count <= limit {
            return Ok(());
        }
        Err(ProfileError::TooMany { profile: self.profile.to_owned(), place: place.to_owned(), limit })
    }

    fn duration(&self, place: &str, text: &str) -> Result<i64, ProfileError> {
        let parsed = humantime::parse_duration(text)
            .ok()
            .and_then(|duration| i64::try_from(duration.as_millis()).ok());
        parsed.ok_or_else(|| self.wrong(place, text, "a duration such as \"300ms\" or \"10m\""))
    }

    fn says(&self, place: &str, text: &str) -> Result<Says, ProfileError> {
        match text {
            "working" => Ok(Says::Working),
            _ => PromptKind::parse(text).map(Says::Waits).ok_or_else(|| {
                self.wrong(place, text, "\"working\" or a kind of prompt: permission, question, login, trust, pager, editor, rate_limit, error, idle")
            }),
        }
    }

    fn sign(&self, place: &str, text: &str) -> Result<Sign, ProfileError> {
        let wanted = "a text, or a regular expression between slashes";
        if text.is_empty() || text.chars().count() > PATTERN_CHARS_MAX {
            return Err(self.wrong(place, text, wanted));
        }
        let Some(pattern) = text.strip_prefix('/').and_then(|text| text.strip_suffix('/')) else {
            return Ok(Sign::Text(text.to_owned()));
        };
        let pattern = match self.source {
            Source::Builtin => Some(Pattern::trusted(pattern)),
            Source::File => Pattern::checked(pattern),
        };
        pattern.map(|pattern| Sign::Pattern(Arc::new(pattern))).ok_or_else(|| self.wrong(place, text, wanted))
    }

    fn signs(&self, place: &str, texts: &[String]) -> Result<Vec<Sign>, ProfileError> {
        self.limit(place, texts.len(), SIGNS_MAX)?;
        texts.iter().map(|text| self.sign(place, text)).collect()
    }

    fn title(&self, raw: &RawTitle) -> Result<TitleRule, ProfileError> {
        let place = "screen.titles";
        Ok(TitleRule { text: self.sign(place, &raw.text)?, says: self.says(place, &raw.is)? })
    }

    fn rule(&self, raw: &RawRule) -> Result<Rule, ProfileError> {
        let place = |key: &str| format!("screen.rules {:?}: {key}", raw.name);
        if raw.all.is_empty() && raw.any.is_empty() {
            return Err(self.wrong(&place("all"), "[]", "one sign or more, here or in any"));
        }
        let says = self.says(&place("is"), &raw.is)?;
        let rests = says == Says::Waits(PromptKind::Idle);
        let hold_ms = match &raw.hold {
            Some(text) => self.duration(&place("hold"), text)?,
            None if rests => IDLE_HOLD_MS,
            None => HOLD_MS,
        };
        Ok(Rule {
            name: raw.name.clone(),
            says,
            priority: raw.priority,
            region: self.region(&place("region"), raw.region.as_deref())?,
            all: self.signs(&place("all"), &raw.all)?,
            any: self.signs(&place("any"), &raw.any)?,
            none: self.signs(&place("none"), &raw.none)?,
            question: raw.question.as_deref().map(|text| self.sign(&place("question"), text)).transpose()?,
            options: self.options(&place("options"), raw.options.as_deref())?,
            keys: self.keys(&place("keys"), raw.keys.as_deref())?,
            hold_ms,
        })
    }

    fn region(&self, place: &str, text: Option<&str>) -> Result<Region, ProfileError> {
        let wanted = "\"whole\", \"box\", \"last N\", \"dialog N\" or \"cursor N\"";
        let Some(text) = text else { return Ok(Region::Whole) };
        let count = |rest: &str| rest.trim().parse::<usize>().map_err(|_| self.wrong(place, text, wanted));
        match text.split_once(' ') {
            None if text == "whole" => Ok(Region::Whole),
            None if text == "box" => Ok(Region::Box),
            Some(("last", rest)) => Ok(Region::Last(count(rest)?.max(1))),
            Some(("dialog", rest)) => Ok(Region::Dialog(count(rest)?.max(1))),
            Some(("cursor", rest)) => Ok(Region::Cursor(count(rest)?.min(1000))),
            _ => Err(self.wrong(place, text, wanted)),
        }
    }

    fn options(&self, place: &str, text: Option<&str>) -> Result<Options, ProfileError> {
        match text {
            None => Ok(Options::None),
            Some("numbered") => Ok(Options::Numbered),
            Some("letters") => Ok(Options::Letters),
            Some(text) => match text.strip_prefix("buttons ") {
                Some(first) if !first.trim().is_empty() => Ok(Options::Buttons(first.trim().to_owned())),
                _ => Err(self.wrong(place, text, "\"numbered\", \"letters\" or \"buttons FIRST\"")),
            },
        }
    }

    fn keys(&self, place: &str, text: Option<&str>) -> Result<Keys, ProfileError> {
        match text {
            None | Some("number") => Ok(Keys::Number),
            Some("number enter") => Ok(Keys::NumberEnter),
            Some("hint") => Ok(Keys::Hint),
            Some("arrows") => Ok(Keys::Arrows),
            Some("across") => Ok(Keys::Across),
            Some(text) => Err(self.wrong(
                place,
                text,
                "\"number\", \"number enter\", \"hint\", \"arrows\" or \"across\"",
            )),
        }
    }
}
