//! The file of the list: TOML, signed by the node's key as the JSON of the same content.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{TrustList, Trusted};
use crate::identity::signed::{self, BadSignature};
use crate::identity::{NodeKey, Rotation};
use crate::ids::{NodeDid, TimestampMs};

/// What is signed says by this that it is a list of trust.
const TYPE: &str = "cis.identity.trust";
/// The file's format.
const FORMAT: u32 = 1;

const HEAD: &str = "\
# Whom this node trusts. `cis identity` writes it and signs it; what is changed by hand is refused.
";

/// Why a file is not taken as the list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadTrustFile {
    /// It is not TOML of this shape.
    #[error("it cannot be read: {0}")]
    Shape(String),
    /// A later version wrote it.
    #[error("its format is {0}, and this version of CIS knows {FORMAT}: use a newer one")]
    Format(u32),
    /// Another key than this node's signed it.
    #[error("{signer} signed it, and this node is {own}")]
    Signer {
        /// Who did.
        signer: NodeDid,
        /// Who should have.
        own: NodeDid,
    },
    /// The signature does not hold.
    #[error("it was changed by other means than `cis identity`: {0}")]
    Signature(#[from] BadSignature),
}

/// The file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: u32,
    revision: u64,
    did: NodeDid,
    sig: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    trusted: Vec<Trusted>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    revoked: Vec<Revoked>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    rotated: Vec<Rotation>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Revoked {
    did: NodeDid,
    since_ms: TimestampMs,
}

impl TrustList {
    /// The file, signed by `key`.
    ///
    /// # Errors
    /// Never for a list that was made by the means here.
    pub fn to_text(&self, key: &NodeKey) -> Result<String, BadTrustFile> {
        let mut file = self.file(key.did());
        let object = object_of(&file)?;
        let bytes = signed::bytes_to_sign(&object, &[]).map_err(BadSignature::from)?;
        file.sig = hex::encode(key.sign(bytes.as_bytes()));
        let text = toml::to_string(&file).map_err(|e| BadTrustFile::Shape(e.to_string()))?;
        Ok(format!("{HEAD}{text}"))
    }

    /// Reads the file of the node that is `own`.
    ///
    /// # Errors
    /// [`BadTrustFile`].
    pub fn from_text(text: &str, own: &NodeDid) -> Result<Self, BadTrustFile> {
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        let shape = |e: toml::de::Error| BadTrustFile::Shape(e.message().to_owned());
        let head: Head = toml::from_str(text).map_err(shape)?;
        if head.format != FORMAT {
            return Err(BadTrustFile::Format(head.format));
        }
        let file: File = toml::from_str(text).map_err(shape)?;
        if file.did != *own {
            return Err(BadTrustFile::Signer { signer: file.did, own: own.clone() });
        }
        signed::verify(&object_of(&file)?, own, &[])?;
        Ok(Self {
            revision: file.revision,
            trusted: file.trusted.into_iter().map(|entry| (entry.did.clone(), entry)).collect(),
            revoked: file.revoked.into_iter().map(|entry| (entry.did, entry.since_ms)).collect(),
            rotated: file.rotated.into_iter().map(|entry| (entry.old.clone(), entry)).collect(),
        })
    }

    fn file(&self, did: NodeDid) -> File {
        let revoked =
            self.revoked.iter().map(|(did, since_ms)| Revoked { did: did.clone(), since_ms: *since_ms });
        File {
            format: FORMAT,
            revision: self.revision,
            did,
            sig: String::new(),
            trusted: self.trusted.values().cloned().collect(),
            revoked: revoked.collect(),
            rotated: self.rotated.values().cloned().collect(),
        }
    }
}

fn object_of(file: &File) -> Result<Map<String, Value>, BadTrustFile> {
    let shape = |what: &dyn std::fmt::Display| BadTrustFile::Shape(what.to_string());
    match serde_json::to_value(file).map_err(|e| shape(&e))? {
        Value::Object(mut object) => {
            object.insert("type".to_owned(), TYPE.into());
            Ok(object)
        }
        _ => Err(shape(&"it is no table")),
    }
}
