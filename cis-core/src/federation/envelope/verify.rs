//! Checking what came: whether it is an envelope, of whom, and for this place.

use serde::Deserialize;
use serde_json::{Map, Value};
use ulid::Ulid;

use super::{NAME_BYTES_MAX, RELATES_TO, SIZE_MAX, Seq, TYPE_PREFIX};
use crate::identity::signed::{self, BadSignature, SIG};
use crate::identity::{NotCanonical, Standing};
use crate::ids::{Epoch, NodeDid, RunId};

/// How an envelope came: what the one who carried it says, not what stands in it.
#[derive(Debug, Clone, Copy)]
pub struct Carrier<'a> {
    /// The room that it was found in.
    pub room: &'a str,
    /// The type of the event that it was the content of.
    pub type_name: &'a str,
    /// The account that sent it, where one did.
    pub sender: Option<&'a str>,
}

/// Why an envelope changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is no object, or a field is missing or of another kind.
    #[error("it is no envelope: {0}")]
    Shape(String),
    /// It has more bytes than an envelope may have.
    #[error("it has {size} bytes, and an envelope has at most {SIZE_MAX}")]
    TooLarge {
        /// How many.
        size: usize,
    },
    /// It holds what cannot be signed.
    #[error("it cannot have been signed: {0}")]
    NotCanonical(NotCanonical),
    /// There is no signature.
    #[error("it is not signed")]
    Unsigned,
    /// The signature is not that of its node over it.
    #[error("its signature is not that of {did} over it")]
    BadSignature {
        /// Of whom it says to be.
        did: NodeDid,
    },
    /// Its DID is none that can sign.
    #[error("`{0}` is not a did:key of an Ed25519 key")]
    NoKey(String),
    /// It was signed for another room.
    #[error("it is a copy: {did} signed it for another room")]
    WrongRoom {
        /// Who signed it.
        did: NodeDid,
    },
    /// It was signed for another account.
    #[error("it is a copy: {did} signed it for another sender")]
    WrongSender {
        /// Who signed it.
        did: NodeDid,
    },
    /// It was signed as something else.
    #[error("it is a copy: {did} signed it as another type")]
    WrongType {
        /// Who signed it.
        did: NodeDid,
    },
    /// It replaces an earlier event, which no envelope does.
    #[error("it edits another event, which an envelope never does")]
    Edit,
    /// Nobody said that this node is to be trusted.
    #[error("{0} is not trusted here: `cis identity trust {0}` changes that")]
    UnknownKey(NodeDid),
    /// Its key is void.
    #[error("the key of {0} was revoked")]
    Revoked(NodeDid),
}

/// An envelope whose signature, place and signer were checked. There is no other way to get one.
#[derive(Debug, Clone, PartialEq)]
pub struct Verified {
    fields: Fields,
    standing: Standing,
    size: usize,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Fields {
    id: Ulid,
    did: NodeDid,
    room: String,
    #[serde(default)]
    run: Option<RunId>,
    epoch: Epoch,
    #[serde(default)]
    seq: Option<Seq>,
    #[serde(rename = "type")]
    type_name: String,
    v: u32,
    #[serde(default)]
    sender: Option<String>,
    body: Value,
}

/// Checks `content`, which came by `carrier`. `standing` says what this node thinks of a DID.
///
/// Of a signer that is known but has another key by now the envelope is given back as well: it may be a part of
/// history. [`Verified::standing`] tells.
///
/// # Errors
/// [`Refused`], with who signed it where somebody did.
pub fn verify(
    content: &Value,
    carrier: Carrier<'_>,
    standing: impl FnOnce(&NodeDid) -> Standing,
) -> Result<Verified, Refused> {
    let Value::Object(object) = content else { return Err(Refused::Shape("it is no object".to_owned())) };
    if is_edit(object) {
        return Err(Refused::Edit);
    }
    let bytes = signed::bytes_to_sign(object, &[RELATES_TO]).map_err(Refused::NotCanonical)?;
    let sig = object.get(SIG);
    let size = bytes.len() + sig.map_or(0, signed::size_of_sig);
    if size > SIZE_MAX {
        return Err(Refused::TooLarge { size });
    }
    let fields = fields_of(object)?;
    signed::verify_bytes(sig, &fields.did, bytes.as_bytes()).map_err(|bad| match bad {
        BadSignature::Unsigned => Refused::Unsigned,
        BadSignature::Wrong(did) => Refused::BadSignature { did },
        BadSignature::NoKey(did) => Refused::NoKey(shortened(&did.0)),
        BadSignature::NotCanonical(why) => Refused::NotCanonical(why),
    })?;
    let did = || fields.did.clone();
    if fields.type_name != carrier.type_name || !fields.type_name.starts_with(TYPE_PREFIX) {
        return Err(Refused::WrongType { did: did() });
    }
    if fields.room != carrier.room {
        return Err(Refused::WrongRoom { did: did() });
    }
    if fields.sender.as_deref() != carrier.sender {
        return Err(Refused::WrongSender { did: did() });
    }
    match standing(&fields.did) {
        Standing::Unknown => Err(Refused::UnknownKey(did())),
        Standing::Revoked => Err(Refused::Revoked(did())),
        standing => Ok(Verified { fields, standing, size }),
    }
}

impl Verified {
    /// Unique everywhere.
    #[must_use]
    pub fn id(&self) -> Ulid {
        self.fields.id
    }

    /// Who signed it.
    #[must_use]
    pub fn did(&self) -> &NodeDid {
        &self.fields.did
    }

    /// What this node thinks of who signed it: own, trusted, or replaced.
    #[must_use]
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// The room.
    #[must_use]
    pub fn room(&self) -> &str {
        &self.fields.room
    }

    /// The run that it is about.
    #[must_use]
    pub fn run(&self) -> Option<RunId> {
        self.fields.run
    }

    /// The coordinator's term.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.fields.epoch
    }

    /// Its place in the timeline of its sender.
    #[must_use]
    pub fn seq(&self) -> Option<Seq> {
        self.fields.seq
    }

    /// `cis.dag.…`.
    #[must_use]
    pub fn type_name(&self) -> &str {
        &self.fields.type_name
    }

    /// Version of the body's shape.
    #[must_use]
    pub fn v(&self) -> u32 {
        self.fields.v
    }

    /// What is said.
    #[must_use]
    pub fn body(&self) -> &Value {
        &self.fields.body
    }

    /// The same, to be read to the end.
    #[must_use]
    pub fn into_body(self) -> Value {
        self.fields.body
    }

    /// Its bytes as canonical JSON.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }
}

fn fields_of(object: &Map<String, Value>) -> Result<Fields, Refused> {
    let shape = |detail: &str| Refused::Shape(shortened(detail));
    let fields = Fields::deserialize(object).map_err(|e| shape(&e.to_string()))?;
    let names = [Some(&fields.type_name), Some(&fields.room), Some(&fields.did.0), fields.sender.as_ref()];
    if names.into_iter().flatten().any(|name| name.is_empty() || name.len() > NAME_BYTES_MAX) {
        return Err(shape("a name in it is empty or too long"));
    }
    Ok(fields)
}

fn is_edit(object: &Map<String, Value>) -> bool {
    let relation = object.get(RELATES_TO).and_then(|relates| relates.get("rel_type"));
    object.contains_key("m.new_content") || relation.and_then(Value::as_str) == Some("m.replace")
}

/// Words that somebody else chose: few, and none that a terminal obeys.
fn shortened(text: &str) -> String {
    text.chars().flat_map(char::escape_debug).take(160).collect()
}
