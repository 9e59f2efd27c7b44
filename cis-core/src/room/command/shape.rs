//! Shapes of the arguments of commands. What has none of them never gets further than this.

use std::fmt;

use crate::ids::{InboxId, TaskId};
use crate::text::clean;

/// A name of a DAG is no longer, bytes.
const DAG_BYTES_MAX: usize = 120;
/// So many folders may stand in it.
const DAG_PARTS_MAX: usize = 4;

/// Why an argument is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// Not the name of a DAG.
    #[error(
        "“{0}” is not the name of a DAG: use letters, digits, `-`, `_`, `.` and `/` between folders, without `..`"
    )]
    Dag(String),
    /// Not the name of a parameter.
    #[error("“{0}” is not the name of a parameter: use letters, digits, `_` and `-`")]
    Param(String),
    /// Not the id of something.
    #[error("“{0}” is no id: use the six letters of an item, the id of a run or session, TASK, or RUN:TASK")]
    Target(String),
}

fn shown(text: &str) -> String {
    clean::line(text, 40)
}

/// Name of a DAG below the folders that may be run from a room, without the ending `.toml`: segments of plain
/// characters, none of which begins with a dot. It is no path: whoever looks it up stays below those folders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DagName(String);

impl DagName {
    /// Checks and takes the name.
    ///
    /// # Errors
    /// [`ShapeError::Dag`].
    pub fn new(text: &str) -> Result<Self, ShapeError> {
        let name = text.strip_suffix(".toml").unwrap_or(text);
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
        let fits = |part: &str| {
            !part.is_empty()
                && part.bytes().all(plain)
                && !part.starts_with(['.', '-'])
                && !part.ends_with('.')
        };
        let good = name.len() <= DAG_BYTES_MAX
            && name.split('/').count() <= DAG_PARTS_MAX
            && name.split('/').all(fits);
        if good { Ok(Self(name.to_owned())) } else { Err(ShapeError::Dag(shown(text))) }
    }

    /// As text, without its ending.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DagName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Name of a parameter of a DAG.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamName(String);

impl ParamName {
    /// Checks and takes the name.
    ///
    /// # Errors
    /// [`ShapeError::Param`].
    pub fn new(text: &str) -> Result<Self, ShapeError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if begins && text.len() <= 64 && text.bytes().all(plain) {
            return Ok(Self(text.to_owned()));
        }
        Err(ShapeError::Param(shown(text)))
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a command is about: an item of the inbox, a run, a session, a task, or `RUN:TASK`. What of these it
/// is, whoever knows them finds out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target(String);

impl Target {
    /// Checks and takes the name.
    ///
    /// # Errors
    /// [`ShapeError::Target`].
    pub fn new(text: &str) -> Result<Self, ShapeError> {
        let id =
            |part: &str| (1..=26).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric());
        let good = match text.split_once(':') {
            Some((run, task)) => id(run) && TaskId::new(task).is_ok(),
            None => id(text) || TaskId::new(text).is_ok(),
        };
        if good { Ok(Self(text.to_owned())) } else { Err(ShapeError::Target(shown(text))) }
    }

    /// An item of the inbox.
    #[must_use]
    pub fn of(item: &InboxId) -> Self {
        Self(item.0.clone())
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The run, where one is named before a task; and the rest.
    #[must_use]
    pub fn parts(&self) -> (Option<&str>, &str) {
        self.0.split_once(':').map_or((None, &self.0), |(run, task)| (Some(run), task))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
