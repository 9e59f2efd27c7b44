//! The node's Matrix account: what is asked of it, and what is said of it and its rooms.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use crate::event::RunState;
use crate::ids::{NodeDid, RunId};

/// Logs the node's account in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LoginMatrix {
    /// URL of the homeserver, or a server's name.
    pub homeserver: String,
    /// `name` or `@name:server`; empty: whoever the login token is for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// What proves it.
    pub proof: MatrixProof,
    /// What other devices of the account call this one; none: the machine's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_name: Option<String>,
}

/// What proves who logs in. `Debug` shows none of it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MatrixProof {
    /// The account's password.
    Password(String),
    /// An access token that nobody else uses.
    Token(String),
    /// What a login through a browser gave.
    LoginToken(String),
}

impl fmt::Debug for MatrixProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password(_) => "Password(***)",
            Self::Token(_) => "Token(***)",
            Self::LoginToken(_) => "LoginToken(***)",
        })
    }
}

/// Query of the end of a login.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct LogoutMatrix {
    /// Only forget it here: the homeserver is not asked, and still knows the login.
    #[serde(default)]
    pub forget: bool,
}

/// The node's account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MatrixAccountView {
    /// `@name:server`.
    pub user_id: String,
    /// The device that the node is.
    pub device_id: String,
    /// URL of the homeserver.
    pub homeserver: String,
    /// How many other devices the account has; none: the homeserver did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other_devices: Option<u64>,
    /// Why the homeserver cannot be asked now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub away: Option<String>,
}

/// Makes a private room.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreateMatrixRoom {
    /// Its name.
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// What is said in it is encrypted.
    #[serde(default)]
    pub encrypted: bool,
    /// Who is invited, as operators: `@name:server`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub invite: Vec<String>,
}

/// Names a room: its id, an alias, or a link of matrix.to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JoinMatrixRoom {
    /// The name.
    pub room: String,
}

/// Invites people into a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InviteToMatrixRoom {
    /// `@name:server`, each.
    pub users: Vec<String>,
}

/// A room that the account is in, or was invited to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MatrixRoomView {
    /// `!…`.
    pub room_id: String,
    /// Its name, or one made of who is in it.
    pub name: String,
    /// `#name:server`, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// Whether what is said in it is encrypted; none: not known yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encrypted: Option<bool>,
    /// The account was invited, and has not joined.
    pub invited: bool,
    /// How many have joined.
    pub members: u64,
}

/// Query of what is said in a room.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ReadMatrixRoom {
    /// What comes after this event (`$…`), or after this `next` of an answer before; none: nothing, but `next`
    /// is the present place.
    pub since: Option<String>,
    /// Waits so long for something to come, ms (at most 25,000).
    #[param(maximum = 25000)]
    pub wait_ms: Option<u64>,
}

/// What was said in a room, in order.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct MatrixRoomEvents {
    /// The room that the name means: `!…`.
    pub room_id: String,
    /// Some of it; the rest is behind `next`.
    pub items: Vec<MatrixEventView>,
    /// The place behind them.
    pub next: String,
    /// Why nothing can come just now: the homeserver is away. It is asked again and again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub away: Option<String>,
}

/// Takes the runs that a room tells of into the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RecoverRuns {
    /// Absolute directory in which tasks of theirs that run again are started: a room does not know where they were.
    pub workdir: String,
}

/// What was found of runs in a room.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RecoverReport {
    /// The room: `!…`.
    pub room_id: String,
    /// Its events, all that the homeserver gives.
    pub events: u64,
    /// The runs that it tells of, oldest first.
    pub runs: Vec<RecoveredRunView>,
    /// Nodes that wrote there and are not trusted: what they wrote was left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<UnknownNode>,
    /// Events that cannot be decrypted.
    pub unreadable: u64,
    /// Machine events that change nothing: forged, copied from elsewhere, of a key that is void.
    pub refused: u64,
}

/// A run that a room tells of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RecoveredRunView {
    /// Its id.
    pub run: RunId,
    /// `[dag] id`.
    pub dag: String,
    /// The node that coordinates it.
    pub node: NodeDid,
    /// Its state, as far as the room tells; none: it cannot be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<RunState>,
    /// It was not known here, and is now.
    pub recovered: bool,
    /// Why something of it is not there; empty: it is whole.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lacks: Vec<String>,
}

/// A node that nobody said is to be trusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UnknownNode {
    /// Who it says to be, signed.
    pub did: NodeDid,
    /// How much it wrote.
    pub envelopes: u64,
}

/// An event of a room: everything in it is the word of whoever sent it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct MatrixEventView {
    /// `$…`.
    pub id: String,
    /// `@name:server`.
    pub sender: String,
    /// Its type; `m.room.encrypted` is one that cannot be read.
    #[serde(rename = "type")]
    pub kind: String,
    /// JSON, decrypted.
    #[schema(value_type = serde_json::Value)]
    pub content: Box<RawValue>,
    /// When it was sent, Unix ms, as the sender's homeserver says.
    pub at_ms: i64,
    /// Set for state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_key: Option<String>,
    /// How it was encrypted; none: in clear.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<MatrixEncryptionView>,
}

/// What is known of the device that encrypted an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MatrixEncryptionView {
    /// Its id, where it is known.
    pub device_id: Option<String>,
    /// How far it is known to be its user's: `unknown`, `unsigned`, `identity_changed`, `signed`, `verified`.
    pub trust: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_proves_a_login_is_not_shown() {
        let secret = || "hunter2".to_owned();
        for proof in
            [MatrixProof::Password(secret()), MatrixProof::Token(secret()), MatrixProof::LoginToken(secret())]
        {
            assert!(!format!("{proof:?}").contains("hunter2"));
            let text = serde_json::to_string(&proof).unwrap();
            assert_eq!(serde_json::from_str::<MatrixProof>(&text).unwrap(), proof);
        }
    }
}
