//! A node takes another key: a statement that both sign, the old one to name its heir, the new one to accept.
//!
//! Owns the statement. Whoever trusted the old DID goes on with the new one; revoking is another matter, as a key
//! that was stolen must not name anybody.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{NodeKey, canonical_json, is_signed_by};
use crate::ids::{NodeDid, TimestampMs};

/// What is signed says by this that it is a rotation.
const TYPE: &str = "cis.identity.rotation";

/// Why a rotation does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRotation {
    /// One of both did not sign it.
    #[error("the change from {old} to {new} is not signed by {missing}")]
    Unsigned {
        /// The old one.
        old: NodeDid,
        /// The new one.
        new: NodeDid,
        /// Who did not.
        missing: NodeDid,
    },
    /// Old and new are the same.
    #[error("the change leads from {0} to itself")]
    Same(NodeDid),
}

/// The statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// Who it was.
    pub old: NodeDid,
    /// Who it is from now on.
    pub new: NodeDid,
    /// When, Unix ms; for people.
    pub at_ms: TimestampMs,
    /// Of the old key, hex.
    pub sig_old: String,
    /// Of the new key, hex.
    pub sig_new: String,
}

impl Rotation {
    /// The change from one key to the other.
    #[must_use]
    pub fn new(old: &NodeKey, new: &NodeKey, at_ms: TimestampMs) -> Self {
        let bytes = signed_bytes(&old.did(), &new.did(), at_ms);
        Self {
            old: old.did(),
            new: new.did(),
            at_ms,
            sig_old: hex::encode(old.sign(bytes.as_bytes())),
            sig_new: hex::encode(new.sign(bytes.as_bytes())),
        }
    }

    /// Checks both signatures.
    ///
    /// # Errors
    /// [`BadRotation`].
    pub fn verify(&self) -> Result<(), BadRotation> {
        if self.old == self.new {
            return Err(BadRotation::Same(self.old.clone()));
        }
        let bytes = signed_bytes(&self.old, &self.new, self.at_ms);
        for (did, sig) in [(&self.old, &self.sig_old), (&self.new, &self.sig_new)] {
            let mut signature = [0; 64];
            let holds = hex::decode_to_slice(sig, &mut signature).is_ok()
                && is_signed_by(did, bytes.as_bytes(), &signature).unwrap_or(false);
            if !holds {
                let (old, new, missing) = (self.old.clone(), self.new.clone(), did.clone());
                return Err(BadRotation::Unsigned { old, new, missing });
            }
        }
        Ok(())
    }

    /// As JSON, for a room.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "old": self.old, "new": self.new, "at_ms": self.at_ms,
            "sig_old": self.sig_old, "sig_new": self.sig_new,
        })
    }
}

fn signed_bytes(old: &NodeDid, new: &NodeDid, at_ms: TimestampMs) -> String {
    let mut object = Map::new();
    object.insert("type".to_owned(), json!(TYPE));
    object.insert("old".to_owned(), json!(old));
    object.insert("new".to_owned(), json!(new));
    // As text: a time that no integer of JSON holds must not stop the checking of a hostile statement.
    object.insert("at_ms".to_owned(), json!(at_ms.to_string()));
    canonical_json(&Value::Object(object)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_keys_sign_and_every_field_is_covered() {
        let (old, new, other) =
            (NodeKey::from_seed(&[1; 32]), NodeKey::from_seed(&[2; 32]), NodeKey::from_seed(&[3; 32]));
        let good = Rotation::new(&old, &new, 7);
        assert_eq!(good.verify(), Ok(()));
        assert_eq!(serde_json::from_value::<Rotation>(good.to_json()).unwrap(), good);
        let forged = [
            Rotation { at_ms: 8, ..good.clone() },
            Rotation { new: other.did(), ..good.clone() },
            Rotation { old: other.did(), ..good.clone() },
            Rotation { sig_new: good.sig_old.clone(), ..good.clone() },
            Rotation { sig_old: String::new(), ..good.clone() },
            Rotation { at_ms: TimestampMs::MIN, ..good.clone() },
            Rotation { sig_old: good.sig_new.clone(), sig_new: good.sig_old.clone(), ..good },
        ];
        for rotation in forged {
            assert!(rotation.verify().is_err(), "{rotation:?}");
        }
        assert_eq!(Rotation::new(&old, &old, 7).verify(), Err(BadRotation::Same(old.did())));
    }
}
