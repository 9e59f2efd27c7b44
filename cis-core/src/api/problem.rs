//! The one error format of the API: problem details, RFC 9457.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::InboxItem;

use crate::dag::Finding;

/// Content type of a problem.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// What kind of thing went wrong: each has one HTTP status and one exit code. More may come: a reader that does not know
/// one goes by the status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProblemKind {
    /// The request or the DAG file is wrong (400, exit 2).
    BadInput,
    /// No token that counts was shown (401, exit 3).
    Unauthenticated,
    /// The principal may not do this (403, exit 3).
    Denied,
    /// No such path, run, task or session (404, exit 2).
    NotFound,
    /// The path does not take this method (405, exit 2).
    MethodNotAllowed,
    /// The request did not arrive in time (408, exit 3).
    RequestTimeout,
    /// The name fits several things (409, exit 2).
    Ambiguous,
    /// It is not in a state for that (409, exit 3).
    Conflict,
    /// The idempotency key was used for another request (409, exit 3).
    KeyReused,
    /// The request body is too large (413, exit 2).
    TooLarge,
    /// The request body has another content type than the operation takes (415, exit 2).
    UnsupportedMediaType,
    /// Nothing of the content is in the range that was asked for (416, exit 2).
    RangeNotSatisfiable,
    /// The host that the request names is not this node (421, exit 2).
    Misdirected,
    /// The path speaks WebSocket only (426, exit 2).
    UpgradeRequired,
    /// The node is stopping, or the machine is short of something (503, exit 3).
    Unavailable,
    /// Our fault (500, exit 3). A kind of a later version is read as this one.
    #[serde(other)]
    Internal,
}

impl ProblemKind {
    /// Its name, as in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadInput => "bad-input",
            Self::Unauthenticated => "unauthenticated",
            Self::Denied => "denied",
            Self::NotFound => "not-found",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::RequestTimeout => "request-timeout",
            Self::Ambiguous => "ambiguous",
            Self::Conflict => "conflict",
            Self::KeyReused => "key-reused",
            Self::TooLarge => "too-large",
            Self::UnsupportedMediaType => "unsupported-media-type",
            Self::RangeNotSatisfiable => "range-not-satisfiable",
            Self::Misdirected => "misdirected",
            Self::UpgradeRequired => "upgrade-required",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::BadInput => "bad input",
            Self::Unauthenticated => "no valid token",
            Self::Denied => "not allowed",
            Self::NotFound => "not found",
            Self::MethodNotAllowed => "method not allowed",
            Self::RequestTimeout => "request timeout",
            Self::Ambiguous => "ambiguous name",
            Self::Conflict => "not possible in this state",
            Self::KeyReused => "idempotency key reused",
            Self::TooLarge => "request body too large",
            Self::UnsupportedMediaType => "unsupported content type",
            Self::RangeNotSatisfiable => "range not satisfiable",
            Self::Misdirected => "misdirected request",
            Self::UpgradeRequired => "WebSocket required",
            Self::Unavailable => "not available now",
            Self::Internal => "internal error",
        }
    }

    /// HTTP status.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::BadInput => 400,
            Self::Unauthenticated => 401,
            Self::Denied => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::RequestTimeout => 408,
            Self::Ambiguous | Self::Conflict | Self::KeyReused => 409,
            Self::TooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::RangeNotSatisfiable => 416,
            Self::Misdirected => 421,
            Self::UpgradeRequired => 426,
            Self::Unavailable => 503,
            Self::Internal => 500,
        }
    }

    /// Exit code of a command that got it.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::BadInput
            | Self::NotFound
            | Self::MethodNotAllowed
            | Self::Ambiguous
            | Self::TooLarge
            | Self::UnsupportedMediaType
            | Self::RangeNotSatisfiable
            | Self::Misdirected
            | Self::UpgradeRequired => 2,
            Self::Unauthenticated
            | Self::Denied
            | Self::RequestTimeout
            | Self::Conflict
            | Self::KeyReused
            | Self::Unavailable
            | Self::Internal => 3,
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
    /// The node is stopping and did not process the request, so it can be sent again to the next node.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unprocessed: bool,
    /// The node still reads what it needs for the request, and did nothing: the same request can succeed in a moment.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub not_ready: bool,
}

impl Problem {
    /// A problem of that kind.
    #[must_use]
    pub fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        Self {
            type_uri: format!("about:cis:{}", kind.as_str()),
            title: kind.title().to_owned(),
            status: kind.status(),
            detail: detail.into(),
            kind,
            hint: None,
            diagnostics: Vec::new(),
            item: None,
            unprocessed: false,
            not_ready: false,
        }
    }

    /// The same, with what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [ProblemKind; 16] = [
        ProblemKind::BadInput,
        ProblemKind::Unauthenticated,
        ProblemKind::Denied,
        ProblemKind::NotFound,
        ProblemKind::MethodNotAllowed,
        ProblemKind::RequestTimeout,
        ProblemKind::Ambiguous,
        ProblemKind::Conflict,
        ProblemKind::KeyReused,
        ProblemKind::TooLarge,
        ProblemKind::UnsupportedMediaType,
        ProblemKind::RangeNotSatisfiable,
        ProblemKind::Misdirected,
        ProblemKind::UpgradeRequired,
        ProblemKind::Unavailable,
        ProblemKind::Internal,
    ];

    #[test]
    fn a_problem_is_told_by_its_kind_alone() {
        for kind in ALL {
            let problem = Problem::new(kind, "detail");
            assert_eq!(problem.type_uri, format!("about:cis:{}", kind.as_str()));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
            assert_eq!(problem.status, kind.status());
        }
    }

    #[test]
    fn a_kind_of_a_later_version_is_read() {
        let mut problem = serde_json::to_value(Problem::new(ProblemKind::Conflict, "detail")).unwrap();
        problem["kind"] = "too-many-requests".into();
        problem["status"] = 429.into();
        let problem: Problem = serde_json::from_value(problem).unwrap();
        assert_eq!((problem.kind, problem.status), (ProblemKind::Internal, 429));
    }
}
