//! Signed JSON objects: `sig` is the Ed25519 signature, in hex, over the canonical JSON of everything beside it.
//!
//! Owns that form. What kind of thing was signed is told by the object's `type`, so that nothing of one kind can
//! be shown as another. Whose signature is wanted is the caller's matter.

use serde_json::{Map, Value};

use super::canonical_json::{NotCanonical, canonical_json, canonical_object};
use super::{NodeKey, is_signed_by};
use crate::ids::NodeDid;

/// Key of the signature.
pub const SIG: &str = "sig";

/// Why a signature does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSignature {
    /// There is none.
    #[error("it is not signed")]
    Unsigned,
    /// What is there is none, or one over something else, or of another key.
    #[error("its signature is not that of {0} over it")]
    Wrong(NodeDid),
    /// The DID is not one of an Ed25519 key.
    #[error("`{0}` is not a did:key of an Ed25519 key")]
    NoKey(NodeDid),
    /// Nothing can be signed in this form.
    #[error(transparent)]
    NotCanonical(#[from] NotCanonical),
}

/// What is signed of `object`: all but the signature and the keys `without`.
///
/// # Errors
/// [`NotCanonical`].
pub fn bytes_to_sign(object: &Map<String, Value>, without: &[&str]) -> Result<String, NotCanonical> {
    canonical_object(object.iter().filter(|(key, _)| *key != SIG && !without.contains(&key.as_str())))
}

/// Signs `object` as `key`. Gives how many bytes it has, as canonical JSON.
///
/// # Errors
/// [`NotCanonical`].
pub fn sign(object: &mut Map<String, Value>, key: &NodeKey) -> Result<usize, NotCanonical> {
    let bytes = bytes_to_sign(object, &[])?;
    let signature = Value::String(hex::encode(key.sign(bytes.as_bytes())));
    let size = bytes.len() + size_of_sig(&signature);
    object.insert(SIG.to_owned(), signature);
    Ok(size)
}

/// How many bytes a signature takes beside what is signed: `,"sig":"…"`.
#[must_use]
pub fn size_of_sig(sig: &Value) -> usize {
    SIG.len() + canonical_json(sig).map_or(usize::MAX / 2, |text| text.len()) + r#","":"#.len()
}

/// Checks that `did` signed `object`, leaving out the keys `without`.
///
/// # Errors
/// [`BadSignature`].
pub fn verify(object: &Map<String, Value>, did: &NodeDid, without: &[&str]) -> Result<(), BadSignature> {
    let bytes = bytes_to_sign(object, without)?;
    verify_bytes(object.get(SIG), did, bytes.as_bytes())
}

/// Checks the signature `sig` of `did` over `bytes`.
///
/// # Errors
/// [`BadSignature`].
pub fn verify_bytes(sig: Option<&Value>, did: &NodeDid, bytes: &[u8]) -> Result<(), BadSignature> {
    let sig = match sig {
        None | Some(Value::Null) => return Err(BadSignature::Unsigned),
        Some(Value::String(text)) => text,
        Some(_) => return Err(BadSignature::Wrong(did.clone())),
    };
    let mut signature = [0; 64];
    if hex::decode_to_slice(sig, &mut signature).is_err() {
        return Err(BadSignature::Wrong(did.clone()));
    }
    match is_signed_by(did, bytes, &signature) {
        Ok(true) => Ok(()),
        Ok(false) => Err(BadSignature::Wrong(did.clone())),
        Err(_) => Err(BadSignature::NoKey(did.clone())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(map) => map,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn every_key_is_covered_but_those_that_are_left_out() {
        let key = NodeKey::from_seed(&[1; 32]);
        let mut signed = object(json!({"a": 1, "b": [true]}));
        let size = sign(&mut signed, &key).unwrap();
        assert_eq!(size, canonical_json(&Value::Object(signed.clone())).unwrap().len());
        assert_eq!(verify(&signed, &key.did(), &[]), Ok(()));
        let mut more = signed.clone();
        more.insert("c".into(), json!(1));
        assert_eq!(verify(&more, &key.did(), &[]), Err(BadSignature::Wrong(key.did())));
        assert_eq!(verify(&more, &key.did(), &["c"]), Ok(()));
        let mut none = signed.clone();
        none.remove(SIG);
        assert_eq!(verify(&none, &key.did(), &[]), Err(BadSignature::Unsigned));
        let other = NodeKey::from_seed(&[2; 32]).did();
        assert_eq!(verify(&signed, &other, &[]), Err(BadSignature::Wrong(other)));
        let nobody = NodeDid("did:key:zQ3sh".into());
        assert_eq!(verify(&signed, &nobody, &[]), Err(BadSignature::NoKey(nobody)));
        for sig in [json!(""), json!("zz"), json!(7), json!("00".repeat(64)), json!("00".repeat(65))] {
            let mut bad = signed.clone();
            bad.insert(SIG.into(), sig);
            assert_eq!(verify(&bad, &key.did(), &[]), Err(BadSignature::Wrong(key.did())));
        }
    }
}
