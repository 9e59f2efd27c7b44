//! What can go wrong with a homeserver, by what follows from it.

use std::error::Error as StdError;
use std::time::Duration;

use matrix_sdk::ruma::api::error::{ErrorBody, ErrorKind, RetryAfter};
use matrix_sdk::{ClientBuildError, Error as SdkError, HttpError};

/// A homeserver that says no time is asked again after this one.
const RETRY_AFTER_UNSAID: Duration = Duration::from_secs(5);

/// Words of a homeserver are not ours: so much of them is shown.
const SAID_CHARS_MAX: usize = 300;

/// Why a request was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MatrixError {
    /// The account asks more than the homeserver allows.
    #[error("the homeserver has been asked too often: try again in {} s", retry_after.as_millis().div_ceil(1000))]
    RateLimited {
        /// Not before this has passed.
        retry_after: Duration,
    },
    /// The account may not do that.
    #[error("the homeserver refuses it: {detail}")]
    Forbidden {
        /// In the homeserver's words.
        detail: String,
    },
    /// It is larger than the homeserver takes.
    #[error("it is larger than the homeserver takes: {detail}")]
    TooLarge {
        /// In the homeserver's words.
        detail: String,
    },
    /// A file at the homeserver is larger than the caller allows. Nothing of it is kept.
    #[error("cannot download the file: it is larger than {bytes_max} bytes")]
    FileTooLarge {
        /// What the caller allows.
        bytes_max: u64,
    },
    /// The login is over: somebody ended it, or it never was one. No request of it will be answered any more.
    #[error("the homeserver does not know this login any more ({detail}): log in again")]
    Unauthorized {
        /// In the homeserver's words.
        detail: String,
    },
    /// The account's identity has not signed the device that we are, so we have none of its keys.
    #[error(
        "this device does not have the keys of its account's identity, so it can neither sign others nor set recovery up: \
         `cis matrix verify` says how it gets them"
    )]
    Unsigned,
    /// There is no such thing, as far as this account can see.
    #[error("{what} is not there, or this account cannot see it")]
    NotFound {
        /// What was looked for.
        what: String,
    },
    /// The account is not in that room (any more).
    #[error("this account is not in the room {room}: it must be invited, and join")]
    NotJoined {
        /// Which.
        room: String,
    },
    /// The homeserver did not answer. Trying again later makes sense.
    #[error("the homeserver does not answer: {detail}")]
    Offline {
        /// What the network says.
        detail: String,
        /// It may have got the request all the same.
        reached: bool,
    },
    /// What was asked for cannot be.
    #[error("{detail}")]
    BadInput {
        /// What is wrong with it.
        detail: String,
    },
    /// Our own files cannot be used.
    #[error("the files of the Matrix account cannot be used: {detail}")]
    Store {
        /// Which, and why.
        detail: String,
    },
    /// Something else.
    #[error("the homeserver answered otherwise than expected: {detail}")]
    Other {
        /// The HTTP status, where there was one.
        status: Option<u16>,
        /// In words.
        detail: String,
    },
}

impl MatrixError {
    /// Whether the same request may succeed later, with nothing changed by us.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::RateLimited { .. } | Self::Offline { .. })
    }

    pub(crate) fn not_found(what: impl Into<String>) -> Self {
        Self::NotFound { what: what.into() }
    }

    pub(crate) fn other(error: impl std::fmt::Display) -> Self {
        Self::Other { status: None, detail: said(&error.to_string()) }
    }

    /// The same, where what was not found has a name.
    pub(crate) fn naming(self, name: &str) -> Self {
        match self {
            Self::NotFound { .. } => Self::not_found(name),
            other => other,
        }
    }
}

impl From<SdkError> for MatrixError {
    fn from(error: SdkError) -> Self {
        match error {
            SdkError::Http(error) => Self::from(*error),
            SdkError::AuthenticationRequired => unauthorized("nobody is logged in"),
            SdkError::Io(error) => Self::Store { detail: error.to_string() },
            SdkError::StateStore(error) => Self::Store { detail: error.to_string() },
            SdkError::CryptoStoreError(error) => Self::Store { detail: error.to_string() },
            SdkError::Identifier(error) => Self::BadInput { detail: error.to_string() },
            other => Self::other(other),
        }
    }
}

impl From<HttpError> for MatrixError {
    fn from(error: HttpError) -> Self {
        if let Some(api) = error.as_client_api_error() {
            let detail = match &api.body {
                ErrorBody::Standard(body) => said(&body.message),
                _ => format!("HTTP status {}", api.status_code.as_u16()),
            };
            return of_api(error.client_api_error_kind(), api.status_code.as_u16(), detail);
        }
        match error {
            HttpError::Reqwest(error) => {
                Self::Offline { detail: innermost(&error), reached: !error.is_connect() }
            }
            other => Self::other(innermost(&other)),
        }
    }
}

fn unauthorized(detail: &str) -> MatrixError {
    MatrixError::Unauthorized { detail: detail.to_owned() }
}

fn of_api(kind: Option<&ErrorKind>, status: u16, detail: String) -> MatrixError {
    match (kind, status) {
        (Some(ErrorKind::LimitExceeded(limit)), _) => MatrixError::RateLimited {
            retry_after: match limit.retry_after {
                Some(RetryAfter::Delay(delay)) => delay,
                _ => RETRY_AFTER_UNSAID,
            },
        },
        (Some(ErrorKind::UnknownToken(_) | ErrorKind::MissingToken), _) => {
            MatrixError::Unauthorized { detail }
        }
        (Some(ErrorKind::TooLarge), _) | (_, 413) => MatrixError::TooLarge { detail },
        (Some(ErrorKind::NotFound), _) => MatrixError::NotFound { what: detail },
        (_, 429) => MatrixError::RateLimited { retry_after: RETRY_AFTER_UNSAID },
        (_, 403) => MatrixError::Forbidden { detail },
        (_, 404) => MatrixError::NotFound { what: detail },
        // What stands before a homeserver that is away says so with these.
        (_, 502..=504) => MatrixError::Offline { detail: format!("HTTP status {status}"), reached: true },
        _ => MatrixError::Other { status: Some(status), detail },
    }
}

impl From<ClientBuildError> for MatrixError {
    fn from(error: ClientBuildError) -> Self {
        match error {
            ClientBuildError::Url(error) => {
                Self::BadInput { detail: format!("the homeserver's address is no URL: {error}") }
            }
            ClientBuildError::Http(error) => Self::from(error),
            ClientBuildError::SqliteStore(error) => Self::Store { detail: innermost(&error) },
            other => {
                Self::BadInput { detail: format!("no homeserver was found: {}", said(&innermost(&other))) }
            }
        }
    }
}

impl From<std::io::Error> for MatrixError {
    fn from(error: std::io::Error) -> Self {
        Self::Store { detail: error.to_string() }
    }
}

impl From<serde_json::Error> for MatrixError {
    fn from(error: serde_json::Error) -> Self {
        Self::BadInput { detail: format!("the content is not JSON that Matrix takes: {error}") }
    }
}

/// The last of the causes: the others name URLs, which are long and say nothing more.
fn innermost(error: &dyn StdError) -> String {
    let mut at = error;
    while let Some(source) = at.source() {
        at = source;
    }
    said(&at.to_string())
}

/// Words of others, short and without what moves a terminal.
fn said(text: &str) -> String {
    let mut short: String =
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(SAID_CHARS_MAX).collect();
    if short.trim().is_empty() {
        "no reason was given".clone_into(&mut short);
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_homeserver_are_short_and_harmless() {
        assert_eq!(said("a\x1b[2Jb\n"), "a [2Jb ");
        assert_eq!(said(&"x".repeat(9000)).len(), SAID_CHARS_MAX);
        assert_eq!(said("\n"), "no reason was given");
    }

    #[test]
    fn a_status_alone_is_enough() {
        let of = |status| of_api(None, status, "words".to_owned());
        assert!(of(502).is_passing() && of(429).is_passing());
        assert!(matches!(of(413), MatrixError::TooLarge { .. }));
        assert!(matches!(of(403), MatrixError::Forbidden { .. }));
        assert!(!of(403).is_passing());
        assert_eq!(of(418), MatrixError::Other { status: Some(418), detail: "words".to_owned() });
    }
}
