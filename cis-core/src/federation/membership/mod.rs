//! Who may do what in a room: statements of its owners, folded in the order of the room's timeline.
//!
//! A node pins the room's first owners once, by a [`JoinCode`]. Owners sign statements: who is an owner, who is admitted
//! with which rights, whose key is void, and which concurrency
//! groups the room has. Statements are numbered and each names the hash of the one before, so that none
//! can be left out, repeated or put elsewhere; one counts when as many owners signed the same as the room asks for. What counted once still
//! counts if the room loses it ([`Chain`]). Owns
//! that fold and its answers; knows nothing of Matrix.

mod chain;
mod join_code;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

pub use chain::{Chain, SignedStatement};
pub use join_code::{BadJoinCode, JoinCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use ulid::Ulid;

use super::envelope::Verified;
use super::link::EntryHash;
use super::packed;
use crate::dag::Group;
pub use crate::identity::Right;
use crate::identity::{canonical_json, key_of};
use crate::ids::{NodeDid, TimestampMs};

/// Type of the envelopes that carry statements.
pub const TYPE: &str = "cis.dag.trust";

/// Owners, groups, and tags of one member, are at most so many.
const ENTRIES_MAX: usize = 1000;

/// Who decides about a room: so many of these keys together.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Owners {
    /// Their DIDs.
    pub owners: BTreeSet<NodeDid>,
    /// So many of them have to sign a statement.
    pub threshold: usize,
}

impl Owners {
    /// One owner.
    #[must_use]
    pub fn one(owner: NodeDid) -> Self {
        Self { owners: [owner].into(), threshold: 1 }
    }

    /// Whether these can own a room.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self) -> Result<(), String> {
        if self.owners.is_empty() || self.owners.len() > ENTRIES_MAX {
            return Err(format!("a room has 1 to {ENTRIES_MAX} owners, not {}", self.owners.len()));
        }
        if self.threshold == 0 || self.threshold > self.owners.len() {
            let (n, of) = (self.threshold, self.owners.len());
            return Err(format!("{n} of {of} owners cannot sign a statement"));
        }
        match self.owners.iter().find(|owner| key_of(owner).is_err()) {
            Some(bad) => Err(format!("`{bad}` is not a did:key of an Ed25519 key")),
            None => Ok(()),
        }
    }
}

/// What owners say.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Statement {
    /// These own the room from now on.
    Owners(Owners),
    /// This node is a member from now on, or its rights change.
    Admit {
        /// Who.
        did: NodeDid,
        /// What it may do.
        may: BTreeSet<Right>,
        /// It gets only tasks that ask for some of these tags; empty: all tasks.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        tags: BTreeSet<String>,
        /// What people call it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
    /// Nothing that this key signs counts from here on in the timeline. What stands before stays valid, for who reads it later too.
    Revoke {
        /// Whose.
        did: NodeDid,
    },
    /// The room has this concurrency group from now on, or not any more. It holds for the tasks of all its runs together.
    Group {
        /// Its name.
        name: String,
        /// None: it is removed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        group: Option<Group>,
    },
    /// Something that only later versions understand. It takes its place, so that what follows can be read, and changes nothing.
    #[serde(untagged)]
    Unknown(Value),
}

/// A statement in its place, as an envelope carries it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// From 1.
    pub n: u64,
    /// Hash of the statement before it.
    pub prev: EntryHash,
    /// What is said.
    pub statement: Statement,
}

/// A member of a room.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Member {
    /// What it may do.
    pub may: BTreeSet<Right>,
    /// Only tasks that ask for some of these; empty: all.
    pub tags: BTreeSet<String>,
    /// What people call it.
    pub name: Option<String>,
    /// Its place among those that were admitted, which ranks voters.
    pub since: u64,
    /// Its key was revoked.
    pub revoked: bool,
    /// It may not execute any more since then, Unix ms on the owner's clock.
    pub worked_until_ms: Option<TimestampMs>,
}

impl Member {
    /// One that may do nothing.
    fn new(since: u64) -> Self {
        let (may, tags) = (BTreeSet::new(), BTreeSet::new());
        Self { may, tags, name: None, since, revoked: false, worked_until_ms: None }
    }
}

/// Why a statement changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Its body is malformed.
    #[error("malformed statement of owners: {0}")]
    Malformed(String),
    /// It was signed by somebody else.
    #[error("{0} is not an owner of the room")]
    NotAnOwner(NodeDid),
    /// Another statement stands in its place, or the ones before it are missing.
    #[error("statement {n} does not follow statement {known}: read the room's history, then sign it again")]
    OutOfPlace {
        /// Its number.
        n: u64,
        /// The newest one that is known.
        known: u64,
    },
    /// It makes no sense.
    #[error("{0}")]
    Invalid(String),
}

/// What a statement led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// It counts.
    Counts(Statement),
    /// It needs the signatures of so many more owners.
    Needs(usize),
}

/// The members of a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    room: String,
    owners: Owners,
    n: u64,
    head: EntryHash,
    members: BTreeMap<NodeDid, Member>,
    groups: BTreeMap<String, Group>,
    /// Who signed what for the next place.
    signed: BTreeMap<EntryHash, BTreeSet<NodeDid>>,
}

impl Membership {
    /// A room in which nothing was said yet.
    #[must_use]
    pub fn new(room: &str, owners: Owners) -> Self {
        let head = hash(&json!({ "room": room, "type": TYPE }));
        let (members, groups, signed) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { room: room.to_owned(), owners, n: 0, head, members, groups, signed }
    }

    /// Who decides.
    #[must_use]
    pub fn owners(&self) -> &Owners {
        &self.owners
    }

    /// Whether what a statement says is so.
    #[must_use]
    pub fn holds(&self, statement: &Statement) -> bool {
        match statement {
            Statement::Owners(owners) => self.owners == *owners,
            Statement::Admit { did, may, tags, name } => self.members.get(did).is_some_and(|member| {
                (&member.may, &member.tags, &member.name) == (may, tags, name) && !member.revoked
            }),
            Statement::Revoke { did } => self.is_revoked(did),
            Statement::Group { name, group } => self.groups.get(name) == group.as_ref(),
            Statement::Unknown(_) => false,
        }
    }

    /// The concurrency groups of the room.
    #[must_use]
    pub fn groups(&self) -> &BTreeMap<String, Group> {
        &self.groups
    }

    /// How many statements count.
    #[must_use]
    pub fn statements(&self) -> u64 {
        self.n
    }

    /// All that were ever admitted.
    pub fn members(&self) -> impl Iterator<Item = (&NodeDid, &Member)> {
        self.members.iter()
    }

    /// Puts a statement into the next place, for an owner to sign.
    ///
    /// # Errors
    /// [`Refused::Invalid`].
    pub fn next(&self, statement: Statement) -> Result<Placed, Refused> {
        self.check(&statement)?;
        if let Statement::Unknown(_) = statement {
            return Err(Refused::Invalid("this version does not know such a statement".to_owned()));
        }
        Ok(Placed { n: self.n + 1, prev: self.head, statement })
    }

    /// Takes an envelope of type [`TYPE`], in the order of the timeline.
    ///
    /// # Errors
    /// [`Refused`]: nothing has changed.
    pub fn take(&mut self, envelope: &Verified) -> Result<Taken, Refused> {
        let mut placed =
            Placed::deserialize(envelope.body()).map_err(|e| Refused::Malformed(e.to_string()))?;
        if let Some(said) = envelope.body().get("statement").filter(|said| !packed::is_named(said, "kind")) {
            placed.statement = Statement::Unknown(said.clone());
        }
        let by = envelope.did();
        if !self.owners.owners.contains(by) {
            return Err(Refused::NotAnOwner(by.clone()));
        }
        if placed.n != self.n + 1 || placed.prev != self.head {
            return Err(Refused::OutOfPlace { n: placed.n, known: self.n });
        }
        self.check(&placed.statement)?;
        // Of what was signed: later versions may have put more into it.
        let head = self.hash_of(envelope.body())?;
        let signed = self.signed.entry(head).or_default();
        signed.insert(by.clone());
        let missing = self.owners.threshold.saturating_sub(signed.len());
        if missing > 0 {
            return Ok(Taken::Needs(missing));
        }
        (self.n, self.head) = (placed.n, head);
        self.signed.clear();
        self.apply(placed.statement.clone(), envelope.id());
        Ok(Taken::Counts(placed.statement))
    }

    /// Whether a member may do something now.
    #[must_use]
    pub fn may(&self, did: &NodeDid, right: Right) -> bool {
        self.members.get(did).is_some_and(|member| !member.revoked && member.may.contains(&right))
    }

    /// Whether a member may work on a task that asks for these tags.
    #[must_use]
    pub fn may_execute(&self, did: &NodeDid, tags: &[String]) -> bool {
        let fits =
            |member: &Member| member.tags.is_empty() || tags.iter().any(|tag| member.tags.contains(tag));
        self.may(did, Right::Execute) && self.members.get(did).is_some_and(fits)
    }

    /// Whether its key was revoked.
    #[must_use]
    pub fn is_revoked(&self, did: &NodeDid) -> bool {
        self.members.get(did).is_some_and(|member| member.revoked)
    }

    /// The members whose keys were revoked.
    pub fn revoked(&self) -> impl Iterator<Item = &NodeDid> {
        self.members.iter().filter(|(_, member)| member.revoked).map(|(did, _)| did)
    }

    /// Those whose right to execute was taken away after a time. What they were given may still be at work there.
    pub fn worked_after(&self, time: TimestampMs) -> impl Iterator<Item = &NodeDid> {
        let is_late = move |member: &Member| member.worked_until_ms.is_some_and(|until| until >= time);
        self.members.iter().filter(move |(_, member)| is_late(member)).map(|(did, _)| did)
    }

    /// Those who may coordinate, in the order in which they take over.
    #[must_use]
    pub fn voters(&self) -> Vec<NodeDid> {
        let mut voters: Vec<(&NodeDid, &Member)> =
            self.members.iter().filter(|(did, _)| self.may(did, Right::Coordinate)).collect();
        voters.sort_by_key(|(_, member)| member.since);
        voters.into_iter().map(|(did, _)| did.clone()).collect()
    }

    fn check(&self, statement: &Statement) -> Result<(), Refused> {
        let is_did = |did: &NodeDid| key_of(did).map(|_| ()).map_err(|e| Refused::Invalid(e.to_string()));
        match statement {
            Statement::Owners(owners) => owners.check().map_err(Refused::Invalid),
            Statement::Admit { did, tags, .. } => {
                is_did(did)?;
                if tags.len() > ENTRIES_MAX {
                    return Err(Refused::Invalid(format!("a member has at most {ENTRIES_MAX} tags")));
                }
                match self.members.get(did) {
                    Some(Member { revoked: true, .. }) => {
                        Err(Refused::Invalid(format!("{did} was revoked: it needs another key")))
                    }
                    _ => Ok(()),
                }
            }
            Statement::Revoke { did } => match self.members.get(did) {
                _ if self.owners.owners.contains(did)
                    && self.owners.owners.len() <= self.owners.threshold =>
                {
                    Err(Refused::Invalid(format!(
                        "{did} owns the room, which would have too few owners without it"
                    )))
                }
                Some(Member { revoked: true, .. }) => {
                    Err(Refused::Invalid(format!("{did} was revoked before")))
                }
                Some(_) => Ok(()),
                None if self.owners.owners.contains(did) => Ok(()),
                None => Err(Refused::Invalid(format!("{did} is not a member of the room"))),
            },
            Statement::Group { name, group } => {
                Group::check(name, *group).map_err(Refused::Invalid)?;
                match (group, self.groups.contains_key(name)) {
                    (Some(_), false) if self.groups.len() >= ENTRIES_MAX => {
                        Err(Refused::Invalid(format!("a room has at most {ENTRIES_MAX} groups")))
                    }
                    (None, false) => Err(Refused::Invalid(format!("the room has no group `{name}`"))),
                    _ => Ok(()),
                }
            }
            Statement::Unknown(_) => Ok(()),
        }
    }

    fn apply(&mut self, statement: Statement, id: Ulid) {
        let at_ms = TimestampMs::try_from(id.timestamp_ms()).unwrap_or(TimestampMs::MAX);
        match statement {
            Statement::Owners(owners) => self.owners = owners,
            Statement::Admit { did, may, tags, name } => {
                let known = self.members.get(&did);
                let since = known.map_or(self.n, |known| known.since);
                let worked_until_ms = match known {
                    _ if may.contains(&Right::Execute) => None,
                    Some(known) if known.may.contains(&Right::Execute) => Some(at_ms),
                    known => known.and_then(|known| known.worked_until_ms),
                };
                self.members.insert(did, Member { may, tags, name, since, revoked: false, worked_until_ms });
            }
            Statement::Revoke { did } => {
                self.owners.owners.remove(&did);
                let member = self.members.entry(did).or_insert_with(|| Member::new(self.n));
                if member.may.contains(&Right::Execute) {
                    member.worked_until_ms = Some(at_ms);
                }
                member.revoked = true;
            }
            Statement::Group { name, group: Some(group) } => {
                self.groups.insert(name, group);
            }
            Statement::Group { name, group: None } => {
                self.groups.remove(&name);
            }
            Statement::Unknown(_) => {}
        }
    }

    fn hash_of(&self, placed: &Value) -> Result<EntryHash, Refused> {
        let value = json!({ "room": self.room, "placed": placed });
        canonical_json(&value)
            .map(|text| EntryHash(Sha256::digest(text).into()))
            .map_err(|e| Refused::Malformed(e.to_string()))
    }
}

fn hash(value: &Value) -> EntryHash {
    // Texts and small numbers: they have canonical JSON.
    EntryHash(Sha256::digest(canonical_json(value).unwrap_or_default()).into())
}
