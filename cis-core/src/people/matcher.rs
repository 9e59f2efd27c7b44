//! Entries of lists of people: by name, by server, by power.

use std::fmt;
use std::str::FromStr;

use super::{Person, Power};
use crate::matrix::{UserId, is_server};
use crate::text::clean;

/// Levels of Matrix are integers of at most 53 bits.
const LEVEL_MAX: i64 = (1 << 53) - 1;

/// Whom an entry means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Matcher {
    /// `@ann:example.org`.
    User(UserId),
    /// `*:example.org`: everybody of that server.
    Server(String),
    /// `pl>=50`: everybody with at least that level.
    Level(i64),
    /// `*`: everybody in the room.
    Everybody,
}

/// Why a text is no entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MatcherError {
    /// It has no known form.
    #[error(
        "`{0}` names nobody: use \"@ann:example.org\", \"*:example.org\", \"pl>=50\", or \"*\" for everybody in the room"
    )]
    Unknown(String),
    /// A list that nobody is in would lock everybody out.
    #[error("the list is empty: name at least one, such as \"pl>=50\" or \"@ann:example.org\"")]
    Empty,
}

impl Matcher {
    /// Whether it means them.
    #[must_use]
    pub fn fits(&self, person: Person<'_>) -> bool {
        match self {
            Self::User(user) => user == person.id,
            Self::Server(server) => person.id.server() == server,
            Self::Level(level) => person.power >= Power::Level(*level),
            Self::Everybody => true,
        }
    }

    /// As it is written in a list; [`fmt::Display`] is for people.
    #[must_use]
    pub fn entry(&self) -> String {
        match self {
            Self::User(user) => user.to_string(),
            Self::Server(server) => format!("*:{server}"),
            Self::Level(level) => format!("pl>={level}"),
            Self::Everybody => "*".to_owned(),
        }
    }
}

impl FromStr for Matcher {
    type Err = MatcherError;

    fn from_str(text: &str) -> Result<Self, MatcherError> {
        let unknown = || MatcherError::Unknown(clean::line(text, 60));
        let text = text.trim();
        if text == "*" {
            return Ok(Self::Everybody);
        }
        if let Some(server) = text.strip_prefix("*:") {
            return if is_server(server) { Ok(Self::Server(server.to_owned())) } else { Err(unknown()) };
        }
        if let Some(level) =
            text.strip_prefix("pl").map(str::trim_start).and_then(|rest| rest.strip_prefix(">="))
        {
            let level = level.trim().parse::<i64>().map_err(|_| unknown())?;
            return if level.abs() <= LEVEL_MAX { Ok(Self::Level(level)) } else { Err(unknown()) };
        }
        text.parse().map(Self::User).map_err(|_| unknown())
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(user) => user.fmt(f),
            Self::Server(server) => write!(f, "everybody of {server}"),
            Self::Level(level) => write!(f, "everybody of level {level} and above"),
            Self::Everybody => f.write_str("everybody in the room"),
        }
    }
}
