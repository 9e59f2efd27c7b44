//! Who a node is: an Ed25519 key and its `did:key`.
//!
//! Owns the key's forms (did:key: multicodec 0xed01, base58btc, <https://w3c-ccg.github.io/did-key-spec/>).
//! Knows nothing of files: `config` keeps the seed.

use ed25519_dalek::{SigningKey, VerifyingKey};

use crate::ids::NodeDid;

/// Multicodec prefix of an Ed25519 public key.
const ED25519_MULTICODEC: [u8; 2] = [0xed, 0x01];

/// Why a text is not a did:key that we take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a did:key of an Ed25519 key")]
pub struct NotADidKey(pub String);

/// A node's key pair. Its debug form shows the public half alone.
pub struct NodeKey(SigningKey);

impl NodeKey {
    /// The key of a seed (32 random bytes, which is all that is kept).
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// Its DID.
    #[must_use]
    pub fn did(&self) -> NodeDid {
        did_of(&self.0.verifying_key())
    }
}

impl std::fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("NodeKey").field(&self.did().0).finish()
    }
}

/// The DID of a public key.
#[must_use]
pub fn did_of(key: &VerifyingKey) -> NodeDid {
    let mut bytes = ED25519_MULTICODEC.to_vec();
    bytes.extend_from_slice(key.as_bytes());
    NodeDid(format!("did:key:z{}", bs58::encode(bytes).into_string()))
}

/// The public key of a DID.
///
/// # Errors
/// [`NotADidKey`] for anything else, keys of another kind and invalid points included.
pub fn key_of(did: &NodeDid) -> Result<VerifyingKey, NotADidKey> {
    let bad = || NotADidKey(did.0.clone());
    let text = did.0.strip_prefix("did:key:z").ok_or_else(bad)?;
    let bytes = bs58::decode(text).into_vec().map_err(|_| bad())?;
    let key = bytes.strip_prefix(&ED25519_MULTICODEC).ok_or_else(bad)?;
    let key: [u8; 32] = key.try_into().map_err(|_| bad())?;
    VerifyingKey::from_bytes(&key).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_did_gives_back_its_key() {
        let key = NodeKey::from_seed(&[7; 32]);
        let did = key.did();
        assert!(did.0.starts_with("did:key:z6Mk"), "{did}");
        assert_eq!(did_of(&key_of(&did).unwrap()), did);
        assert!(key_of(&NodeDid("did:key:zQ3sh".into())).is_err());
    }
}
