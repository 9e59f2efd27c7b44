//! The device that the node's Matrix account is: how it stands, its recovery key, comparing emoji with somebody, and logins
//! through a browser.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// How the device of the node's account stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[allow(clippy::struct_excessive_bools, reason = "each is asked for alone")]
pub struct MatrixStandingView {
    /// `@name:server`.
    pub user_id: String,
    /// The device that the node is.
    pub device_id: String,
    /// Its key (Ed25519, base64): others see it as the device's fingerprint.
    pub device_key: String,
    /// The account has an identity: keys that sign devices (cross-signing).
    pub identity: bool,
    /// That identity has signed this device: what it says in encrypted rooms counts as the account's.
    pub signed: bool,
    /// This device has the identity's keys, and can sign others.
    pub may_sign: bool,
    /// The account has a recovery key.
    pub recovery: bool,
    /// The homeserver has a backup of room keys.
    pub backup: bool,
    /// This device writes into it.
    pub backs_up: bool,
    /// What to do where something of it is missing, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub next: Vec<String>,
}

/// Signs the device with the account's recovery key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RecoverMatrix {
    /// The key, or the passphrase that was set for it.
    pub recovery_key: String,
}

/// A recovery key that was made. Nobody can ask for it again.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NewRecoveryView {
    /// The key, in groups of four.
    pub recovery_key: String,
    /// How the device stands now.
    pub standing: MatrixStandingView,
}

impl fmt::Debug for RecoverMatrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoverMatrix(***)")
    }
}

impl fmt::Debug for NewRecoveryView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewRecoveryView").field("standing", &self.standing).finish_non_exhaustive()
    }
}

/// Begins to compare emoji with somebody: with an own request, or by accepting theirs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BeginVerification {
    /// `@name:server`; the account itself: its other devices.
    pub user: String,
    /// It is cancelled after so long, ms (at most 540,000).
    #[schema(maximum = 540000)]
    pub timeout_ms: u64,
}

/// Query of a comparison.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ReadVerification {
    /// Waits until its revision is above this one.
    pub after: Option<u64>,
    /// Waits so long at most, ms (at most 25,000).
    #[param(maximum = 25000)]
    pub wait_ms: Option<u64>,
}

/// Says something of a comparison.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SayVerification {
    /// What.
    pub say: VerificationWord,
}

/// What can be said of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum VerificationWord {
    /// Both sides see the same.
    Match,
    /// They do not.
    Mismatch,
    /// It shall end.
    Cancel,
}

/// How a comparison stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum VerificationState {
    /// The other side was asked, and has not accepted.
    Asked,
    /// Both take part.
    Accepted,
    /// The emoji are there: people compare them.
    Compare,
    /// This side said that they match; the other one has not yet.
    Confirmed,
    /// Both said so, and this account has signed the other one.
    Verified,
    /// Somebody ended it.
    Cancelled,
    /// It took too long.
    TimedOut,
    /// It could not go on.
    Failed,
}

impl VerificationState {
    /// Whether nothing comes after it.
    #[must_use]
    pub fn is_end(self) -> bool {
        matches!(self, Self::Verified | Self::Cancelled | Self::TimedOut | Self::Failed)
    }
}

/// A comparison. It is cancelled at its timeout at the latest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VerificationView {
    /// Its name in requests.
    pub id: String,
    /// With whom.
    pub user_id: String,
    /// Grows with each change.
    pub revision: u64,
    /// How it stands.
    pub state: VerificationState,
    /// What both sides see, from `compare` on. Empty: their client shows numbers alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub emoji: Vec<EmojiView>,
    /// The same as numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numbers: Option<[u16; 3]>,
    /// The other side's device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_id: Option<String>,
    /// Of one that was cancelled: whether this side did so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_us: Option<bool>,
    /// Of one that was cancelled: the code of the specification (`m.user`, `m.mismatched_sas` …).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Why it came to nothing, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// A picture, and its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EmojiView {
    /// The picture.
    pub symbol: String,
    /// Its name in English.
    pub name: String,
}

/// Asks where a login through a browser begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BeginMatrixSso {
    /// URL of the homeserver, or a server's name.
    pub homeserver: String,
    /// Where the browser is sent with the login token.
    pub redirect: String,
}

/// Where a login through a browser begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MatrixSsoView {
    /// To be opened in a browser.
    pub address: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recovery_key_is_not_shown() {
        let request = RecoverMatrix { recovery_key: "EsTj 3yST".to_owned() };
        assert!(!format!("{request:?}").contains("EsTj"));
        let text = serde_json::to_string(&request).unwrap();
        assert_eq!(serde_json::from_str::<RecoverMatrix>(&text).unwrap(), request);
        let standing = MatrixStandingView {
            user_id: "@cis:example.org".to_owned(),
            device_id: "ABC".to_owned(),
            device_key: "key".to_owned(),
            identity: true,
            signed: true,
            may_sign: true,
            recovery: true,
            backup: true,
            backs_up: true,
            next: Vec::new(),
        };
        let made = NewRecoveryView { recovery_key: "EsTj 3yST".to_owned(), standing };
        assert!(!format!("{made:?}").contains("EsTj"));
    }
}
