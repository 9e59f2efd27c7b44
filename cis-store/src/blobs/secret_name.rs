//! Names of secret files: random, with a keyed checksum of the content.
//!
//! An earlier version made names that are all random, and reads every name. A checksum without a key would let everybody who
//! knows the name, which is in events, compare the content with guesses.
//!
//! The 64 hexadecimal digits of a name: random (24), the checksum (24), which key it was made with (8), [`MARK`] (8).

use std::fmt;
use std::io;

use cis_core::ids::BlobId;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

/// Ends each name with a checksum. A name that is all random ends so once in 2^32.
const MARK: [u8; 4] = [0xc1, 0x5b, 0x10, 0xb1];
/// Bytes of a name.
const NAME: usize = 32;
const RANDOM: usize = 12;
const SUM: usize = 12;
const KEY_ID: usize = 4;

/// The key of the checksums. Only its home has it.
#[derive(Clone)]
pub struct SecretNameKey {
    empty_mac: Hmac<Sha256>,
    id: [u8; KEY_ID],
}

impl SecretNameKey {
    /// The key with these bytes, which must be random.
    #[must_use]
    pub fn new(bytes: &[u8; 32]) -> Self {
        // A key of any length is allowed, so this cannot fail.
        let empty_mac = Hmac::<Sha256>::new_from_slice(bytes).unwrap_or_else(|_| unreachable!());
        let mut id = [0; KEY_ID];
        id.copy_from_slice(&empty_mac.clone().chain_update(b"id").finalize().into_bytes()[..KEY_ID]);
        Self { empty_mac, id }
    }

    /// Makes a name for this content, each time a new one.
    ///
    /// # Errors
    /// The system has no randomness.
    pub(super) fn name(&self, content: &[u8]) -> io::Result<BlobId> {
        let mut random = [0; RANDOM];
        getrandom::fill(&mut random).map_err(|e| io::Error::other(e.to_string()))?;
        let name = [&random[..], &self.sum(&random, content), &self.id, &MARK].concat();
        Ok(BlobId(hex::encode(name)))
    }

    /// Whether this is the content that the name was made for. None: the name has no checksum, or one of another key.
    pub(super) fn is_of(&self, name: &BlobId, content: &[u8]) -> Option<bool> {
        let name = hex::decode(&name.0).ok().filter(|name| name.len() == NAME)?;
        let (random, rest) = name.split_at(RANDOM);
        let (sum, rest) = rest.split_at(SUM);
        (rest == [self.id, MARK].concat()).then(|| sum == self.sum(random, content))
    }

    fn sum(&self, random: &[u8], content: &[u8]) -> [u8; SUM] {
        let mac = self.empty_mac.clone().chain_update(b"of").chain_update(random).chain_update(content);
        let mut sum = [0; SUM];
        sum.copy_from_slice(&mac.finalize().into_bytes()[..SUM]);
        sum
    }
}

impl fmt::Debug for SecretNameKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretNameKey").finish_non_exhaustive()
    }
}
