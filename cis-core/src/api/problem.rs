//! The one error format of the API: problem details, RFC 9457.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::InboxItem;

/// Content type of a problem.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// What kind of thing went wrong. Decides the HTTP status and the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProblemKind {
    /// The request or the DAG file is wrong (400, exit 2).
    BadInput,
    /// No token that counts was shown (401, exit 3).
    Unauthenticated,
    /// The principal may not do this (403, exit 3).
    Denied,
    /// No such run, task or session (404, exit 2).
    NotFound,
    /// The name fits several things (409, exit 2).
    Ambiguous,
    /// It is not in a state for that (409, exit 3).
    Conflict,
    /// The node is stopping, or the machine is short of something (503, exit 3).
    Unavailable,
    /// Our fault (500, exit 3).
    Internal,
}

impl ProblemKind {
    /// HTTP status.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::BadInput => 400,
            Self::Unauthenticated => 401,
            Self::Denied => 403,
            Self::NotFound => 404,
            Self::Ambiguous | Self::Conflict => 409,
            Self::Unavailable => 503,
            Self::Internal => 500,
        }
    }

    /// Exit code of a command that got it.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::BadInput | Self::NotFound | Self::Ambiguous => 2,
            Self::Unauthenticated | Self::Denied | Self::Conflict | Self::Unavailable | Self::Internal => 3,
        }
    }
}

/// An error as the API gives it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error, ToSchema)]
#[error("{detail}")]
pub struct Problem {
    /// `about:cis:KIND`.
    #[serde(rename = "type")]
    pub type_uri: String,
    /// The kind in words.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What happened, to what.
    pub detail: String,
    /// The kind.
    pub kind: ProblemKind,
    /// What to do next, where we know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// For DAG files: what is wrong, one by one, ready to be shown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub diagnostics: Vec<Finding>,
    /// Of an answer that came too late: what the session waits at now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<Box<InboxItem>>,
}

/// One mistake in a text, with its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// File name as the user gave it.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// The line itself with the place marked, several lines of text.
    pub rendered: String,
}

impl Problem {
    /// A problem of that kind.
    #[must_use]
    pub fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        let title = match kind {
            ProblemKind::BadInput => "bad input",
            ProblemKind::Unauthenticated => "no valid token",
            ProblemKind::Denied => "not allowed",
            ProblemKind::NotFound => "not found",
            ProblemKind::Ambiguous => "ambiguous name",
            ProblemKind::Conflict => "not possible in this state",
            ProblemKind::Unavailable => "not available now",
            ProblemKind::Internal => "internal error",
        };
        let name = title.replace(' ', "-");
        Self {
            type_uri: format!("about:cis:{name}"),
            title: title.to_owned(),
            status: kind.status(),
            detail: detail.into(),
            kind,
            hint: None,
            diagnostics: Vec::new(),
            item: None,
        }
    }

    /// The same, with what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
