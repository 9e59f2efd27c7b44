//! Tokens of the API over TCP, and where it is reached.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ids::{TimestampMs, TokenId};
use crate::people::Role;

/// Variables by which a client finds a node over TCP. What runs in sessions gets none of them: it is to find its own
/// node, and a token would be one for everybody there.
pub const CLIENT_VARIABLES: [&str; 4] = ["CIS_URL", "CIS_API_TOKEN", "CIS_TOKEN_FILE", "CIS_FINGERPRINT"];

/// A token is to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreateToken {
    /// What it may do.
    pub role: Role,
    /// How it is called; none: the node finds a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// It counts for so long, ms; none: until it is revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime_ms: Option<u64>,
}

/// A token, without what it is shown as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenView {
    /// Its id.
    pub id: TokenId,
    /// Its name: unique among those that are there.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// When it was made, Unix ms.
    pub created_ms: TimestampMs,
    /// It counts until then; none: until it is revoked.
    pub expires_ms: Option<TimestampMs>,
    /// That time is over.
    pub expired: bool,
}

/// A new token: the only answer that has the token itself.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NewTokenView {
    /// What is to be shown as `Authorization: Bearer …`.
    pub token: String,
    /// What is known of it.
    #[serde(flatten)]
    pub about: TokenView,
}

impl fmt::Debug for NewTokenView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewTokenView").field("about", &self.about).finish_non_exhaustive()
    }
}

/// Where a node listens besides its Unix socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RemoteView {
    /// `https://ADDRESS:PORT`, the port as it turned out.
    pub url: String,
    /// SHA-256 of its certificate, 64 hexadecimal digits.
    pub fingerprint: String,
}
