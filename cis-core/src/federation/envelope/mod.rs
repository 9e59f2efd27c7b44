//! The signed envelope: what one node says, bound to the room, the type and the account by which it says it.
//!
//! Owns its shape, its signing and its checking. A copy of it in another room, under another type, or sent by another
//! account does not verify. What its body means is its reader's matter.

mod seen;
#[cfg(test)]
mod tests;
mod verify;

pub use seen::Seen;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use ulid::Ulid;
pub use verify::{Carrier, Refused, Verified, verify};

use crate::identity::signed::{self, SIG};
use crate::identity::{NodeKey, NotCanonical, canonical_json};
use crate::ids::{Epoch, NodeDid, RunId};

/// An envelope has at most so many bytes, as canonical JSON: an event of a room may have 65,536 with all around it.
pub const SIZE_MAX: usize = 60_000;

/// The same in an encrypted room, where four bytes carry three.
pub const SIZE_MAX_ENCRYPTED: usize = 46_000;

/// Types of envelopes begin so: nothing else that a node signs can be shown as one.
pub const TYPE_PREFIX: &str = "cis.dag.";

/// Names of types, rooms and accounts have at most so many bytes (Matrix: 255).
pub const NAME_BYTES_MAX: usize = 255;

/// Matrix puts an event's relations beside what the sender wrote; they are not signed and mean nothing here.
const RELATES_TO: &str = "m.relates_to";

/// The place of an envelope among all that its node sent to its room's timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Seq {
    /// Which count it is: a node that cannot know where it was begins another.
    pub incarnation: u64,
    /// From 1, without a gap.
    pub n: u64,
}

/// An envelope before its node signs it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Draft {
    /// Unique everywhere; a request is acknowledged by it.
    pub id: Ulid,
    /// The room that it is for.
    pub room: String,
    /// The run that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// The coordinator's term of that run; 0 where there is none.
    pub epoch: Epoch,
    /// Its place, where it goes to the timeline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<Seq>,
    /// `cis.dag.…`.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Version of the body's shape.
    pub v: u32,
    /// The Matrix account that sends it; none where no account does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender: Option<String>,
    /// What is said.
    pub body: Value,
}

/// Why nothing was signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsignable {
    /// The body has no canonical form: see [`super::packed::pack`].
    #[error("a `{type_name}` cannot be signed: {why}")]
    NotCanonical {
        /// Of what type.
        type_name: String,
        /// Why.
        why: NotCanonical,
    },
    /// It would not go into an event.
    #[error(
        "a `{type_name}` of {size} bytes is too large for an event ({max} at most): it has to go as a file"
    )]
    TooLarge {
        /// Of what type.
        type_name: String,
        /// Its bytes.
        size: usize,
        /// As many may be.
        max: usize,
    },
    /// Type, room or sender is no name that an event could have.
    #[error("`{0}` is no name of an event's {1}")]
    Name(String, &'static str),
}

/// A signed envelope, ready to be sent as an event's content.
#[derive(Debug, Clone, PartialEq)]
pub struct Signed {
    object: Map<String, Value>,
    size: usize,
}

impl Draft {
    /// What is said in a room, version 1, by a device or in its timeline, without a number and about no run.
    #[must_use]
    pub fn of_room(type_name: &str, body: Value, id: Ulid, room: &str, sender: &str) -> Self {
        let (type_name, room) = (type_name.to_owned(), room.to_owned());
        let sender = Some(sender.to_owned());
        Self { id, room, run: None, epoch: 0, seq: None, type_name, v: 1, sender, body }
    }

    /// Signs it as `key`; it may have at most `size_max` bytes then.
    ///
    /// # Errors
    /// [`Unsignable`].
    pub fn sign(&self, key: &NodeKey, size_max: usize) -> Result<Signed, Unsignable> {
        self.check_names()?;
        let not_canonical = |why| Unsignable::NotCanonical { type_name: self.type_name.clone(), why };
        let mut object = self.object(&key.did());
        let size = signed::sign(&mut object, key).map_err(not_canonical)?;
        if size > size_max.min(SIZE_MAX) {
            let (type_name, max) = (self.type_name.clone(), size_max.min(SIZE_MAX));
            return Err(Unsignable::TooLarge { type_name, size, max });
        }
        Ok(Signed { object, size })
    }

    /// How many bytes it has beside its body, once `did` has signed it.
    #[must_use]
    pub fn overhead(&self, did: &NodeDid) -> usize {
        let mut object = Self { body: Value::Null, ..self.clone() }.object(did);
        object.insert(SIG.to_owned(), Value::String("0".repeat(128)));
        canonical_json(&Value::Object(object)).map_or(SIZE_MAX, |text| text.len() - "null".len())
    }

    fn object(&self, did: &NodeDid) -> Map<String, Value> {
        // A draft is plain data with text keys, which is always an object.
        let mut object = match serde_json::to_value(self) {
            Ok(Value::Object(object)) => object,
            _ => Map::new(),
        };
        object.insert("did".to_owned(), Value::String(did.0.clone()));
        object
    }

    fn check_names(&self) -> Result<(), Unsignable> {
        let fits = |text: &str| !text.is_empty() && text.len() <= NAME_BYTES_MAX;
        if !fits(&self.type_name) || !self.type_name.starts_with(TYPE_PREFIX) {
            return Err(Unsignable::Name(self.type_name.clone(), "type"));
        }
        if !fits(&self.room) {
            return Err(Unsignable::Name(self.room.clone(), "room"));
        }
        match &self.sender {
            Some(sender) if !fits(sender) => Err(Unsignable::Name(sender.clone(), "sender")),
            _ => Ok(()),
        }
    }
}

impl Signed {
    /// The content of the event.
    #[must_use]
    pub fn content(&self) -> Value {
        Value::Object(self.object.clone())
    }

    /// The same, to be read to the end.
    #[must_use]
    pub fn into_content(self) -> Value {
        Value::Object(self.object)
    }

    /// Its bytes as canonical JSON.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }
}
