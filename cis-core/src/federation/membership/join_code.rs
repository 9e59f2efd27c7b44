//! What one node is given to join a room: the room, how it is found, and who owns it.
//!
//! A text without blanks: `cis1` and base58 (Bitcoin's alphabet) of JSON with the first four bytes of its SHA-256
//! before it, so that a character that was lost or mistyped is noticed. It holds no secret: it lets nobody do anything.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Owners;

const PREFIX: &str = "cis1";
/// Longer texts are not looked at.
const LENGTH_MAX: usize = 8192;
const CHECK_BYTES: usize = 4;

/// The content of a join code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinCode {
    /// The room's id, `!…`.
    pub room: String,
    /// Servers through which it is joined, where its id does not name one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub via: Vec<String>,
    /// Its first owners, who vouch for all later ones.
    pub owners: Owners,
}

/// Why a text is not a join code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadJoinCode {
    /// It is another text.
    #[error("not a join code: a join code begins with `{PREFIX}`; `cis node invite --room ROOM` prints one")]
    Other,
    /// Something of it is missing or mistyped.
    #[error("invalid join code: a part of it is missing or mistyped; copy it once more")]
    Damaged,
    /// A later version made it, or its owners make no sense.
    #[error("cannot use the join code: {0}")]
    Unusable(String),
}

impl std::fmt::Display for JoinCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Plain structs of texts and numbers: they have JSON.
        let json = serde_json::to_vec(self).unwrap_or_default();
        let mut bytes = Sha256::digest(&json)[..CHECK_BYTES].to_vec();
        bytes.extend(json);
        write!(f, "{PREFIX}{}", bs58::encode(bytes).into_string())
    }
}

impl std::str::FromStr for JoinCode {
    type Err = BadJoinCode;

    fn from_str(text: &str) -> Result<Self, BadJoinCode> {
        let text = text.trim();
        let code =
            text.strip_prefix(PREFIX).filter(|_| text.len() <= LENGTH_MAX).ok_or(BadJoinCode::Other)?;
        let bytes = bs58::decode(code).into_vec().map_err(|_| BadJoinCode::Damaged)?;
        let (check, json) = bytes.split_at_checked(CHECK_BYTES).ok_or(BadJoinCode::Damaged)?;
        if Sha256::digest(json)[..CHECK_BYTES] != *check {
            return Err(BadJoinCode::Damaged);
        }
        let code: Self = serde_json::from_slice(json).map_err(|e| BadJoinCode::Unusable(e.to_string()))?;
        code.owners.check().map_err(BadJoinCode::Unusable)?;
        if !code.room.starts_with('!') {
            return Err(BadJoinCode::Unusable("it does not name a room".to_owned()));
        }
        Ok(code)
    }
}
