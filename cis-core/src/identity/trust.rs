//! Whom a node trusts: the list, and its form as a file that the node's own key signs.
//!
//! A DID that is not on it is shown, never obeyed. Owns the list's rules and (in `file`) its text; where the file
//! lies, and who may change it, is others' matter.

mod file;
use std::collections::{BTreeMap, BTreeSet};

pub use file::BadTrustFile;
use serde::{Deserialize, Serialize};

use super::{BadRotation, Right, Rotation, key_of};
use crate::ids::{NodeDid, TimestampMs};

/// A list holds at most so many of each kind.
const ENTRIES_MAX: usize = 1000;
/// A name has at most so many characters.
const NAME_CHARS_MAX: usize = 64;

/// How a DID stands with this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It is this node.
    Own,
    /// On the list.
    Trusted,
    /// It took another key: what it signed before counts, what it signs now does not.
    Replaced(NodeDid),
    /// Its key is void, and stays so.
    Revoked,
    /// Nobody said anything of it.
    Unknown,
}

impl Standing {
    /// Whether what it asks for now may be done.
    #[must_use]
    pub fn is_obeyed(&self) -> bool {
        matches!(self, Self::Own | Self::Trusted)
    }

    /// Whether what it signed at some time counts.
    #[must_use]
    pub fn counts_in_history(&self) -> bool {
        self.is_obeyed() || matches!(self, Self::Replaced(_))
    }

    /// The word for it.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Trusted => "trusted",
            Self::Replaced(_) => "replaced",
            Self::Revoked => "revoked",
            Self::Unknown => "unknown",
        }
    }
}

/// A node on the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trusted {
    /// Who.
    pub did: NodeDid,
    /// Since when, Unix ms.
    pub since_ms: TimestampMs,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it may do beside being believed.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub may: BTreeSet<Right>,
}

/// Why a change of the list is not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// Not a DID of a key that can sign.
    #[error("`{0}` is not a did:key of an Ed25519 key: `cis identity show` prints one on the other node")]
    NotADid(String),
    /// It is this node's own.
    #[error("{0} is this node itself")]
    Own(NodeDid),
    /// Its key is void.
    #[error("{0} was revoked, which stays: trust the new key of that node")]
    Revoked(NodeDid),
    /// It took another key.
    #[error("{old} took another key: {new}")]
    Replaced {
        /// It.
        old: NodeDid,
        /// The new one.
        new: NodeDid,
    },
    /// It is not on the list.
    #[error("{0} is not trusted")]
    NotTrusted(NodeDid),
    /// A name is too long, empty, or has characters that no terminal shows.
    #[error("a name has 1 to {NAME_CHARS_MAX} visible characters")]
    Name,
    /// The list is full.
    #[error(
        "the list holds at most {ENTRIES_MAX} nodes of each kind: `cis identity untrust` takes one off it"
    )]
    Full,
    /// A change of keys that does not hold.
    #[error(transparent)]
    Rotation(#[from] BadRotation),
}

/// The list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustList {
    /// Goes up by one with every change.
    revision: u64,
    trusted: BTreeMap<NodeDid, Trusted>,
    revoked: BTreeMap<NodeDid, TimestampMs>,
    /// By the old DID.
    rotated: BTreeMap<NodeDid, Rotation>,
}

impl TrustList {
    /// How `did` stands with the node that is `own`.
    #[must_use]
    pub fn standing(&self, did: &NodeDid, own: &NodeDid) -> Standing {
        if did == own {
            Standing::Own
        } else if self.revoked.contains_key(did) {
            Standing::Revoked
        } else if self.trusted.contains_key(did) {
            Standing::Trusted
        } else if let Some(rotation) = self.rotated.get(did) {
            Standing::Replaced(rotation.new.clone())
        } else {
            Standing::Unknown
        }
    }

    /// What the node that is `own` was before.
    #[must_use]
    pub fn former(&self, own: &NodeDid) -> Vec<NodeDid> {
        let mut found: Vec<NodeDid> = Vec::new();
        let mut heir = own.clone();
        // Each change of keys is followed once, so a circle ends.
        while let Some(rotation) = self.rotated.values().find(|r| r.new == heir && !found.contains(&r.old)) {
            heir = rotation.old.clone();
            found.push(heir.clone());
        }
        found
    }

    /// Whether a node may do something for this one, or ask it of this one. This node may do everything itself.
    #[must_use]
    pub fn may(&self, did: &NodeDid, own: &NodeDid, right: Right) -> bool {
        match self.standing(did, own) {
            Standing::Own => true,
            Standing::Trusted => self.trusted.get(did).is_some_and(|entry| entry.may.contains(&right)),
            Standing::Replaced(_) | Standing::Revoked | Standing::Unknown => false,
        }
    }

    /// How many changes made it.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The nodes that are trusted, in the order of their DIDs.
    pub fn trusted(&self) -> impl Iterator<Item = &Trusted> {
        self.trusted.values()
    }

    /// Keys that are void, and since when.
    pub fn revoked(&self) -> impl Iterator<Item = (&NodeDid, TimestampMs)> {
        self.revoked.iter().map(|(did, since_ms)| (did, *since_ms))
    }

    /// Changes of keys, this node's own among them.
    pub fn rotated(&self) -> impl Iterator<Item = &Rotation> {
        self.rotated.values()
    }

    /// Trusts `did`; once more, it takes the new name. Says whether that changed anything.
    ///
    /// # Errors
    /// [`TrustError`].
    pub fn trust(
        &mut self,
        did: &NodeDid,
        own: &NodeDid,
        name: Option<String>,
        at_ms: TimestampMs,
    ) -> Result<bool, TrustError> {
        key_of(did).map_err(|_| TrustError::NotADid(did.0.clone()))?;
        if name.as_deref().is_some_and(|name| !is_name(name)) {
            return Err(TrustError::Name);
        }
        match self.standing(did, own) {
            Standing::Own => return Err(TrustError::Own(did.clone())),
            Standing::Revoked => return Err(TrustError::Revoked(did.clone())),
            Standing::Replaced(new) => return Err(TrustError::Replaced { old: did.clone(), new }),
            Standing::Unknown if self.trusted.len() >= ENTRIES_MAX => return Err(TrustError::Full),
            Standing::Trusted | Standing::Unknown => {}
        }
        let entry = self.trusted.get(did);
        let changed = Trusted {
            did: did.clone(),
            since_ms: entry.map_or(at_ms, |entry| entry.since_ms),
            name: name.or_else(|| entry.and_then(|entry| entry.name.clone())),
            may: entry.map(|entry| entry.may.clone()).unwrap_or_default(),
        };
        if entry == Some(&changed) {
            return Ok(false);
        }
        self.trusted.insert(did.clone(), changed);
        self.revision += 1;
        Ok(true)
    }

    /// Lets a trusted node do these things, and nothing else. Says whether that changed anything.
    ///
    /// # Errors
    /// It is not trusted.
    pub fn allow(&mut self, did: &NodeDid, may: BTreeSet<Right>) -> Result<bool, TrustError> {
        let entry = self.trusted.get_mut(did).ok_or_else(|| TrustError::NotTrusted(did.clone()))?;
        let changed = entry.may != may;
        entry.may = may;
        self.revision += u64::from(changed);
        Ok(changed)
    }

    /// Trusts it no more. Its key is not void: it may be trusted again.
    ///
    /// # Errors
    /// It was not trusted.
    pub fn untrust(&mut self, did: &NodeDid) -> Result<(), TrustError> {
        self.trusted.remove(did).ok_or_else(|| TrustError::NotTrusted(did.clone()))?;
        self.revision += 1;
        Ok(())
    }

    /// Makes a key void for good: nothing that it signed counts. Says whether that changed anything.
    ///
    /// # Errors
    /// [`TrustError`].
    pub fn revoke(&mut self, did: &NodeDid, own: &NodeDid, at_ms: TimestampMs) -> Result<bool, TrustError> {
        key_of(did).map_err(|_| TrustError::NotADid(did.0.clone()))?;
        if did == own {
            return Err(TrustError::Own(did.clone()));
        }
        if self.revoked.contains_key(did) {
            return Ok(false);
        }
        if self.revoked.len() >= ENTRIES_MAX {
            return Err(TrustError::Full);
        }
        self.trusted.remove(did);
        self.revoked.insert(did.clone(), at_ms);
        self.revision += 1;
        Ok(true)
    }

    /// Notes that a trusted node, or this one, took another key. What was said of the old one holds for the new
    /// one. Says whether that changed anything.
    ///
    /// # Errors
    /// The statement does not hold, or is that of a node which is not trusted.
    pub fn rotate(&mut self, rotation: &Rotation, own: &NodeDid) -> Result<bool, TrustError> {
        rotation.verify()?;
        if self.rotated.get(&rotation.old) == Some(rotation) {
            return Ok(false);
        }
        if self.revoked.contains_key(&rotation.new) {
            return Err(TrustError::Revoked(rotation.new.clone()));
        }
        match self.standing(&rotation.old, own) {
            Standing::Revoked => return Err(TrustError::Revoked(rotation.old.clone())),
            Standing::Unknown => return Err(TrustError::NotTrusted(rotation.old.clone())),
            Standing::Replaced(new) => return Err(TrustError::Replaced { old: rotation.old.clone(), new }),
            Standing::Trusted | Standing::Own if self.rotated.len() >= ENTRIES_MAX => {
                return Err(TrustError::Full);
            }
            Standing::Own => {}
            Standing::Trusted => {
                if let Some(entry) = self.trusted.remove(&rotation.old)
                    && rotation.new != *own
                {
                    self.trusted.insert(rotation.new.clone(), Trusted { did: rotation.new.clone(), ..entry });
                }
            }
        }
        // A key that comes back would lead in a circle.
        self.rotated.remove(&rotation.new);
        self.rotated.insert(rotation.old.clone(), rotation.clone());
        self.revision += 1;
        Ok(true)
    }
}

fn is_name(name: &str) -> bool {
    let shown = |c: char| !c.is_control() && !is_bidi(c);
    !name.trim().is_empty() && name.chars().count() <= NAME_CHARS_MAX && name.chars().all(shown)
}

/// Characters that make a terminal show others in another order.
fn is_bidi(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
