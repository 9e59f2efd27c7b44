//! Bytes that only one node can read.
//!
//! Owns the encryption to a node's key: HPKE (RFC 9180) in base mode, with DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and
//! ChaCha20Poly1305. Does not say who sealed something: a signed envelope does that.
//!
//! The X25519 key of a node is its Ed25519 key in Montgomery form (RFC 7748, 4.1). To use one key pair for both is safe
//! (Thormarker, <https://eprint.iacr.org/2021/509>).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::rand_core::{CryptoRng, RngCore};
use hpke::{Deserializable as _, Kem, OpModeR, OpModeS, Serializable as _};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{NodeKey, NotADidKey, key_of};
use crate::ids::NodeDid;

/// Separates these messages from all other uses of the keys.
const INFO: &[u8] = b"cis sealed 1";

/// Bytes of an encapsulated key.
const KEY_BYTES: usize = 32;

type Private = <X25519HkdfSha256 as Kem>::PrivateKey;
type Public = <X25519HkdfSha256 as Kem>::PublicKey;
type Encapsulated = <X25519HkdfSha256 as Kem>::EncappedKey;

/// Bytes sealed to one node: an encapsulated key and a ciphertext, in base64 without padding.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sealed(String);

/// Sealed bytes that cannot be opened: they are for another key, for another purpose, or were altered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sealed data is not for this key, or was altered")]
pub struct CannotOpen;

impl Sealed {
    /// Seals bytes to a node. `context` is what they are for: they open only with the same. `randomness`: fresh bytes of the system,
    /// used for nothing else.
    ///
    /// # Errors
    /// [`NotADidKey`]: the DID has no usable key.
    pub fn new(to: &NodeDid, context: &[u8], bytes: &[u8], randomness: [u8; 32]) -> Result<Self, NotADidKey> {
        let unusable = || NotADidKey(to.0.clone());
        let key = key_of(to)?;
        // A point of small order gives everybody the same secret.
        if key.is_weak() {
            return Err(unusable());
        }
        let key = Public::from_bytes(key.to_montgomery().as_bytes()).map_err(|_| unusable())?;
        let (encapsulated, mut ciphertext) =
            hpke::single_shot_seal::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256, _>(
                &OpModeS::Base,
                &key,
                INFO,
                bytes,
                context,
                &mut Expanded { seed: randomness, blocks: 0 },
            )
            .map_err(|_| unusable())?;
        let mut sealed = encapsulated.to_bytes().to_vec();
        sealed.append(&mut ciphertext);
        Ok(Self(BASE64.encode(sealed)))
    }
}

impl NodeKey {
    /// Opens bytes that were sealed to this key for the same `context`.
    ///
    /// # Errors
    /// [`CannotOpen`].
    pub fn open(&self, sealed: &Sealed, context: &[u8]) -> Result<Vec<u8>, CannotOpen> {
        let sealed = BASE64.decode(&sealed.0).map_err(|_| CannotOpen)?;
        let (encapsulated, ciphertext) = sealed.split_at_checked(KEY_BYTES).ok_or(CannotOpen)?;
        let encapsulated = Encapsulated::from_bytes(encapsulated).map_err(|_| CannotOpen)?;
        let key = Private::from_bytes(&self.key.to_scalar_bytes()).map_err(|_| CannotOpen)?;
        hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &OpModeR::Base,
            &key,
            &encapsulated,
            INFO,
            ciphertext,
            context,
        )
        .map_err(|_| CannotOpen)
    }
}

/// Random bytes that are made of 32 random bytes: SHA-256 of those and a counter.
struct Expanded {
    seed: [u8; 32],
    blocks: u64,
}

impl RngCore for Expanded {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.fill_bytes(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill_bytes(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn fill_bytes(&mut self, to: &mut [u8]) {
        for chunk in to.chunks_mut(32) {
            let block =
                Sha256::new().chain_update(self.seed).chain_update(self.blocks.to_le_bytes()).finalize();
            self.blocks += 1;
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
    }
}

impl CryptoRng for Expanded {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::identity::did_of;

    proptest! {
        #[test]
        fn only_the_key_and_the_context_that_it_was_sealed_for_open_it(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            seed in any::<[u8; 32]>(),
            flipped in any::<prop::sample::Index>(),
        ) {
            let [key, other] = [[1; 32], [2; 32]].map(|seed| NodeKey::from_seed(&seed));
            let sealed = Sealed::new(&key.did(), b"attempt 1", &bytes, seed).unwrap();
            prop_assert_eq!(key.open(&sealed, b"attempt 1"), Ok(bytes.clone()));
            prop_assert_eq!(key.open(&sealed, b"attempt 2"), Err(CannotOpen));
            prop_assert_eq!(other.open(&sealed, b"attempt 1"), Err(CannotOpen));
            let again = Sealed::new(&key.did(), b"attempt 1", &bytes, [!seed[0]; 32]).unwrap();
            prop_assert_ne!(&sealed, &again);
            let mut altered = BASE64.decode(&sealed.0).unwrap();
            let at = flipped.index(altered.len());
            altered[at] ^= 1;
            prop_assert_eq!(key.open(&Sealed(BASE64.encode(altered)), b"attempt 1"), Err(CannotOpen));
        }

        #[test]
        fn no_text_opens_by_accident(text in any::<String>()) {
            let key = NodeKey::from_seed(&[1; 32]);
            prop_assert_eq!(key.open(&Sealed(text), b""), Err(CannotOpen));
        }
    }

    /// The neutral element is a valid point, and its shared secret is the same for everybody.
    #[test]
    fn nothing_is_sealed_to_a_weak_key() {
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let weak = did_of(&ed25519_dalek::VerifyingKey::from_bytes(&neutral).unwrap());
        assert!(Sealed::new(&weak, b"", b"x", [1; 32]).is_err());
        assert!(Sealed::new(&NodeDid("did:key:z1".to_owned()), b"", b"x", [1; 32]).is_err());
    }

    /// Sealed by the version that introduced it: later ones open it.
    #[test]
    fn what_an_earlier_version_sealed_opens() {
        let key = NodeKey::from_seed(&[7; 32]);
        let sealed = Sealed(GOLDEN.to_owned());
        assert_eq!(key.open(&sealed, b"context"), Ok(b"secret".to_vec()));
    }

    const GOLDEN: &str = "hWTvFY+bSFJcs1+32WddOeed0WdNnTVwVwJRquUDnSYD4BX1x84yn6I8aRYn/VwvbHWeAvKJ";
}
