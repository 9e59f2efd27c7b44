//! Who a node is: an Ed25519 key and its `did:key`; what it signs, and whom it trusts.
//!
//! Owns the key's forms (did:key: multicodec 0xed01, base58btc, <https://w3c-ccg.github.io/did-key-spec/>), the form
//! of signed JSON, the change to another key, and the list of trusted nodes. Knows nothing of files: `config` keeps
//! the seed and the list.

mod canonical_json;
mod right;
mod rotation;
pub mod sealed;
pub mod signed;
mod trust;

pub use canonical_json::{DEPTH_MAX, INTEGER_MAX, NotCanonical, canonical_json};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
pub use right::Right;
pub use rotation::{BadRotation, Rotation};
pub use trust::{BadTrustFile, Standing, TrustError, TrustList, Trusted};

use crate::ids::NodeDid;

/// Multicodec prefix of an Ed25519 public key.
const ED25519_MULTICODEC: [u8; 2] = [0xed, 0x01];

/// Why a text is not a did:key that we take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a did:key of an Ed25519 key")]
pub struct NotADidKey(pub String);

/// A node's key pair. Its debug form shows the public half alone.
pub struct NodeKey {
    key: SigningKey,
    did: NodeDid,
}

impl NodeKey {
    /// The key of a seed (32 random bytes, which is all that is kept).
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let key = SigningKey::from_bytes(seed);
        Self { did: did_of(&key.verifying_key()), key }
    }

    /// Its DID.
    #[must_use]
    pub fn did(&self) -> NodeDid {
        self.did.clone()
    }

    /// Its signature over `bytes`.
    #[must_use]
    pub fn sign(&self, bytes: &[u8]) -> [u8; 64] {
        self.key.sign(bytes).to_bytes()
    }
}

impl std::fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("NodeKey").field(&self.did.0).finish()
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

/// Whether `signature` is that of `did` over `bytes`. Weak keys and signatures of several forms do not count.
///
/// # Errors
/// [`NotADidKey`].
pub fn is_signed_by(did: &NodeDid, bytes: &[u8], signature: &[u8; 64]) -> Result<bool, NotADidKey> {
    Ok(key_of(did)?.verify_strict(bytes, &Signature::from_bytes(signature)).is_ok())
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    /// Any JSON; with numbers that have no canonical form where that is wanted.
    pub(crate) fn any_json(any_number: bool) -> BoxedStrategy<Value> {
        let integer = (-INTEGER_MAX..=INTEGER_MAX).prop_map(Value::from);
        let number = if any_number {
            prop_oneof![
                integer,
                any::<i64>().prop_map(Value::from),
                any::<u64>().prop_map(Value::from),
                any::<f64>().prop_map(Value::from),
            ]
            .boxed()
        } else {
            integer.boxed()
        };
        let text = prop_oneof![any::<String>(), "[~a-c\\u{0}-\\u{22}]{0,6}"];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            number,
            text.clone().prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 40, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(text.clone(), inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
        .boxed()
    }

    /// RFC 8032, 7.1, test 2.
    #[test]
    fn signatures_are_ed25519s() {
        let mut seed = [0; 32];
        hex::decode_to_slice("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb", &mut seed)
            .unwrap();
        let key = NodeKey::from_seed(&seed);
        let signature = key.sign(&[0x72]);
        assert_eq!(
            hex::encode(signature),
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        );
        assert_eq!(is_signed_by(&key.did(), &[0x72], &signature), Ok(true));
        assert_eq!(is_signed_by(&key.did(), &[0x73], &signature), Ok(false));
    }

    #[test]
    fn a_did_gives_back_its_key() {
        let key = NodeKey::from_seed(&[7; 32]);
        let did = key.did();
        assert!(did.0.starts_with("did:key:z6Mk"), "{did}");
        assert_eq!(did_of(&key_of(&did).unwrap()), did);
        assert!(key_of(&NodeDid("did:key:zQ3sh".into())).is_err());
    }
}
