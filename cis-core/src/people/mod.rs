//! Who in a room may do what.
//!
//! Owns roles, whom they are given to (`[matrix.roles]`), who may decide an approval (`approval.allowed`), what
//! the way of an event through an encrypted room lets it do, and how much one person may ask for. Every
//! request passes `policy::admit()` besides, with the rights that a role gives.

mod carried;
mod limits;
mod matcher;
mod mention;

pub use carried::{Act, Carried, Carriers, DeviceTrust};
pub use limits::{Patience, Told, TooOften};
pub use matcher::{Matcher, MatcherError};
pub use mention::{Mention, mentioned};

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::matrix::UserId;

/// What a principal may do at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rights {
    /// Nothing: a process of a session that shows no valid token.
    None,
    /// What a session may do for itself.
    OwnSession,
    /// Look.
    Viewer,
    /// Look, run, answer, cancel.
    Operator,
    /// Everything.
    Admin,
}

/// What somebody may do, each more than the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Look.
    Viewer,
    /// Look, run, answer, approve, cancel.
    Operator,
    /// Everything.
    Admin,
}

impl Role {
    /// As it is written in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// Returns the indefinite article of its name.
    fn article(self) -> &'static str {
        match self {
            Self::Viewer => "a",
            Self::Operator | Self::Admin => "an",
        }
    }

    /// What a request of such a person may do at most.
    #[must_use]
    pub fn rights(self) -> Rights {
        match self {
            Self::Viewer => Rights::Viewer,
            Self::Operator => Rights::Operator,
            Self::Admin => Rights::Admin,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Power of somebody in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Power {
    /// A level.
    Level(i64),
    /// Of those who made a room of version 12 or newer.
    Infinite,
}

/// Somebody in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Person<'a> {
    /// Who.
    pub id: &'a UserId,
    /// What the room gives them.
    pub power: Power,
}

/// `[matrix.roles]`: who is what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roles {
    viewer: Vec<Matcher>,
    operator: Vec<Matcher>,
    admin: Vec<Matcher>,
}

impl Default for Roles {
    /// Operators are those of level 50, admins those of level 100; nobody else may even look.
    fn default() -> Self {
        Self { viewer: Vec::new(), operator: vec![Matcher::Level(50)], admin: vec![Matcher::Level(100)] }
    }
}

impl Roles {
    /// Reads the lists; of a role without one the default holds.
    ///
    /// # Errors
    /// [`MatcherError`] of the first entry that is none, with its role.
    pub fn parse(
        viewer: Option<&[String]>,
        operator: Option<&[String]>,
        admin: Option<&[String]>,
    ) -> Result<Self, (Role, MatcherError)> {
        let mut roles = Self::default();
        for (role, list, to) in [
            (Role::Viewer, viewer, &mut roles.viewer),
            (Role::Operator, operator, &mut roles.operator),
            (Role::Admin, admin, &mut roles.admin),
        ] {
            if let Some(list) = list {
                let read: Result<_, _> = list.iter().map(|entry| entry.parse()).collect();
                *to = read.map_err(|error| (role, error))?;
            }
        }
        Ok(roles)
    }

    /// Gives a role to those whom these mean, and to nobody else.
    pub fn set(&mut self, role: Role, to: Vec<Matcher>) {
        match role {
            Role::Viewer => self.viewer = to,
            Role::Operator => self.operator = to,
            Role::Admin => self.admin = to,
        }
    }

    /// Whom a role is given to, as it is written in a list.
    #[must_use]
    pub fn entries(&self, role: Role) -> Vec<String> {
        let list = match role {
            Role::Viewer => &self.viewer,
            Role::Operator => &self.operator,
            Role::Admin => &self.admin,
        };
        list.iter().map(Matcher::entry).collect()
    }

    /// The highest role of somebody; none: they may do nothing here.
    #[must_use]
    pub fn of(&self, person: Person<'_>) -> Option<Role> {
        [(Role::Admin, &self.admin), (Role::Operator, &self.operator), (Role::Viewer, &self.viewer)]
            .into_iter()
            .find(|(_, list)| list.iter().any(|matcher| matcher.fits(person)))
            .map(|(role, _)| role)
    }

    /// Whether an admin may let nodes in from a room. If the configuration names admins by user id, only those: power levels, and accounts of a
    /// server, are the homeserver's word.
    ///
    /// # Errors
    /// [`Refusal::TrustNotNamed`].
    pub fn check_trust(&self, person: Person<'_>) -> Result<(), Refusal> {
        let mut named = self.admin.iter().filter(|matcher| matches!(matcher, Matcher::User(_))).peekable();
        if named.peek().is_none() || named.any(|matcher| matcher.fits(person)) {
            Ok(())
        } else {
            Err(Refusal::TrustNotNamed)
        }
    }
}

/// `approval.allowed`: who may decide. Those whom it names need no role; others may not, whatever theirs is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Allowed(Vec<Matcher>);

impl PartialSchema for Allowed {
    fn schema() -> RefOr<Schema> {
        let entry = ObjectBuilder::new().schema_type(Type::String).examples(["pl>=50"]);
        let words = "Who may decide from a room: `@name:server`, `*:server`, `pl>=50` …";
        ArrayBuilder::new().items(entry).min_items(Some(1)).description(Some(words)).into()
    }
}

impl ToSchema for Allowed {}

impl Allowed {
    /// Reads the list.
    ///
    /// # Errors
    /// [`MatcherError`] of the first entry that is none, or of an empty list.
    pub fn parse(list: &[String]) -> Result<Self, MatcherError> {
        Self::new(list.iter().map(|entry| entry.parse()).collect::<Result<_, _>>()?)
    }

    /// Of entries that were read.
    ///
    /// # Errors
    /// There is none.
    pub fn new(list: Vec<Matcher>) -> Result<Self, MatcherError> {
        if list.is_empty() { Err(MatcherError::Empty) } else { Ok(Self(list)) }
    }

    /// Whether somebody may decide.
    ///
    /// # Errors
    /// [`Refusal`], with whom it names.
    pub fn check(&self, person: Person<'_>) -> Result<(), Refusal> {
        if self.0.iter().any(|matcher| matcher.fits(person)) {
            return Ok(());
        }
        Err(Refusal::NotNamed { named: self.to_string() })
    }

    /// Whether the people depend on the room: in a room of their own, people have every level.
    #[must_use]
    pub fn depends_on_room(&self) -> bool {
        self.0.iter().any(|matcher| matches!(matcher, Matcher::Level(_) | Matcher::Everybody))
    }
}

impl TryFrom<Vec<String>> for Allowed {
    type Error = MatcherError;

    fn try_from(list: Vec<String>) -> Result<Self, MatcherError> {
        Self::parse(&list)
    }
}

impl From<Allowed> for Vec<String> {
    fn from(allowed: Allowed) -> Self {
        allowed.0.iter().map(Matcher::entry).collect()
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, matcher) in self.0.iter().enumerate() {
            let comma = if at > 0 { ", " } else { "" };
            write!(f, "{comma}{matcher}")?;
        }
        Ok(())
    }
}

/// Why somebody may not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Their role is not enough.
    #[error("`{verb}` is for {needs}s here; you {}", has.map_or("have no role".to_owned(), |role| format!("are {} {role}", role.article())))]
    Role {
        /// What was asked for.
        verb: &'static str,
        /// Who may.
        needs: Role,
        /// What they are.
        has: Option<Role>,
    },
    /// The approval says who decides.
    #[error("this is decided by {named}")]
    NotNamed {
        /// Whom it names.
        named: String,
    },
    /// Reactions are not encrypted: the homeserver could make one.
    #[error("in an encrypted room a reaction cannot decide this, as reactions are not encrypted")]
    ReactionInClear,
    /// What a reply answers is not encrypted: the homeserver could have said it.
    #[error("in an encrypted room a reply cannot decide this, as what it replies to is not encrypted")]
    ReplyInClear,
    /// It came unencrypted into an encrypted room.
    #[error("this came unencrypted into an encrypted room, so it does nothing")]
    MessageInClear,
    /// Nodes are let in by a command on the machine of an owner only.
    #[error("`!cis trust` is off here: run `cis identity trust DID --room ROOM` on the node of an owner")]
    TrustOff,
    /// Nodes are let in by what only the person can have written.
    #[error(
        "in a room that is not encrypted its homeserver can write as anybody: run `cis identity trust DID --room ROOM` on the node \
         of an owner"
    )]
    TrustInClear,
    /// The door of every request is shut for them.
    #[error("{reason}")]
    Denied {
        /// In words.
        reason: String,
    },
    /// From a device that its owner has not signed.
    #[error(
        "this came from a device that you have not verified: verify it in your client's settings, then say it again"
    )]
    Unverified,
    /// From an identity that the homeserver could have made.
    #[error(
        "your cross-signing keys are not those that this node knew of you: if you have reset them, compare emoji with the node \
         (`cis matrix verify` with your user id, on its machine), then say it again"
    )]
    IdentityChanged,
    /// The configuration names those who let nodes in.
    #[error("`!cis trust` is for the people whom `admin` in `[matrix.roles]` names by user id")]
    TrustNotNamed,
}

#[cfg(test)]
mod tests;
