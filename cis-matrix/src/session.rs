//! What a login gave: who we are at which homeserver, and the token that proves it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A text that nobody may see: no log, no message, no `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Keeps it.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for whoever has to send or store it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A login. The caller keeps it, in a file that nobody else can read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Where the homeserver answers: a URL.
    pub homeserver: String,
    /// `@name:server`.
    pub user: String,
    /// The device that this login is.
    pub device: String,
    /// Proves it, with every request.
    pub token: Secret,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_stored_and_never_shown() {
        let session = Session {
            homeserver: "https://example.org/".to_owned(),
            user: "@cis:example.org".to_owned(),
            device: "ABC".to_owned(),
            token: Secret::new("syt_secret"),
        };
        assert!(!format!("{session:?}").contains("syt_secret"));
        let text = serde_json::to_string(&session).unwrap();
        assert_eq!(serde_json::from_str::<Session>(&text).unwrap(), session);
        assert_eq!(session.token.reveal(), "syt_secret");
    }
}
