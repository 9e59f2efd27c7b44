//! Tokens for the API over TCP: how one is written, what is kept of it, and when it counts.
//!
//! Owns the list and its rules. Makes no randomness and reads no clock: both are passed in. What is kept cannot be
//! turned back into a token.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::ids::{TimestampMs, TokenId};
use crate::people::Role;

/// How every token begins, so that people and redactors know one when they see it.
pub const TOKEN_PREFIX: &str = "cist_";
/// Random bytes of a token.
pub const TOKEN_BYTES: usize = 32;
/// More tokens are not kept.
pub const TOKENS_MAX: usize = 1000;
/// A longer name is not taken, bytes.
const NAME_BYTES_MAX: usize = 64;

/// The token of these random bytes, as it is shown, and what is kept of it.
#[must_use]
pub fn fresh(random: &[u8; TOKEN_BYTES]) -> (String, TokenHash) {
    let text = format!("{TOKEN_PREFIX}{}", hex::encode(random));
    let hash = TokenHash(Sha256::digest(&text).into());
    (text, hash)
}

/// What is kept of a token: its SHA-256. Of 256 random bits that gives nothing away.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// Of a token as it is shown; none: that is no token.
    #[must_use]
    pub fn of(token: &str) -> Option<Self> {
        let digits = token.strip_prefix(TOKEN_PREFIX)?;
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let is_one = digits.len() == 2 * TOKEN_BYTES && digits.bytes().all(is_digit);
        is_one.then(|| Self(Sha256::digest(token).into()))
    }
}

/// In a time that does not depend on where they differ.
impl PartialEq for TokenHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for TokenHash {}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash")
    }
}

impl From<TokenHash> for String {
    fn from(hash: TokenHash) -> Self {
        hex::encode(hash.0)
    }
}

impl TryFrom<String> for TokenHash {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let mut hash = [0; 32];
        hex::decode_to_slice(&text, &mut hash).map_err(|_| "a hash is 64 hexadecimal digits".to_owned())?;
        Ok(Self(hash))
    }
}

/// A token, without itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptToken {
    /// Its id.
    pub id: TokenId,
    /// Its name.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// By which it is known.
    pub hash: TokenHash,
    /// When it was made.
    pub created_ms: TimestampMs,
    /// It counts until then; none: until it is revoked.
    pub expires_ms: Option<TimestampMs>,
}

impl KeptToken {
    /// Its time is over.
    #[must_use]
    pub fn is_expired(&self, now_ms: TimestampMs) -> bool {
        self.expires_ms.is_some_and(|end| now_ms >= end)
    }
}

/// Why a list does not take something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// That is no name.
    #[error(
        "`{0}` is no name for a token: use 1 to {NAME_BYTES_MAX} of A-Z, a-z, 0-9, `.`, `_`, `@` and `-`"
    )]
    Name(String),
    /// Another one has that name.
    #[error("there is a token `{0}` already")]
    Taken(String),
    /// There are too many.
    #[error("there are {TOKENS_MAX} tokens: revoke those that nobody needs")]
    Full,
    /// None has that id or name.
    #[error("there is no token `{0}`")]
    Unknown(String),
}

/// All tokens that were not revoked, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenList {
    tokens: Vec<KeptToken>,
}

impl TokenList {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &KeptToken> {
        self.tokens.iter()
    }

    /// Takes another one.
    ///
    /// # Errors
    /// [`TokenError`]; the list is as it was then.
    pub fn add(&mut self, token: KeptToken) -> Result<(), TokenError> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._@-".contains(&byte);
        let name = token.name.as_str();
        // A name that reads as an id could mean another token than the one with that id.
        let is_id = name.parse::<TokenId>().is_ok();
        if name.is_empty() || name.len() > NAME_BYTES_MAX || is_id || !name.bytes().all(is_plain) {
            return Err(TokenError::Name(token.name));
        }
        if self.iter().any(|other| other.name == token.name) {
            return Err(TokenError::Taken(token.name));
        }
        if self.tokens.len() >= TOKENS_MAX {
            return Err(TokenError::Full);
        }
        self.tokens.push(token);
        Ok(())
    }

    /// Takes the one with this id or name out.
    ///
    /// # Errors
    /// [`TokenError::Unknown`].
    pub fn revoke(&mut self, id_or_name: &str) -> Result<KeptToken, TokenError> {
        let id = id_or_name.parse::<TokenId>().ok();
        let at = self.iter().position(|token| Some(token.id) == id || token.name == id_or_name);
        at.map(|at| self.tokens.remove(at)).ok_or_else(|| TokenError::Unknown(id_or_name.to_owned()))
    }

    /// The token that was shown, where it counts now. How long it takes says nothing of which one it was.
    #[must_use]
    pub fn shown(&self, token: &str, now_ms: TimestampMs) -> Option<&KeptToken> {
        let hash = TokenHash::of(token)?;
        let mut found = None;
        for kept in self.iter() {
            if kept.hash == hash {
                found = Some(kept);
            }
        }
        found.filter(|kept| !kept.is_expired(now_ms))
    }

    /// The one with this id, where it counts now.
    #[must_use]
    pub fn counting(&self, id: TokenId, now_ms: TimestampMs) -> Option<&KeptToken> {
        self.iter().find(|kept| kept.id == id && !kept.is_expired(now_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token_text(random: &[u8; TOKEN_BYTES]) -> String {
        fresh(random).0
    }

    fn kept(n: u8, name: &str, expires_ms: Option<TimestampMs>) -> KeptToken {
        KeptToken {
            id: TokenId::from_parts(1, u128::from(n)),
            name: name.to_owned(),
            role: Role::Viewer,
            hash: fresh(&[n; 32]).1,
            created_ms: 1,
            expires_ms,
        }
    }

    #[test]
    fn a_token_is_known_by_its_hash_until_its_end() {
        let mut list = TokenList::default();
        list.add(kept(1, "a", None)).unwrap();
        list.add(kept(2, "b", Some(100))).unwrap();
        let name = |n: u8, now| list.shown(&token_text(&[n; 32]), now).map(|token| token.name.as_str());
        assert_eq!(
            (name(1, 1000), name(2, 99), name(2, 100), name(3, 0)),
            (Some("a"), Some("b"), None, None)
        );
        let (first, second) = (kept(1, "a", None).id, kept(2, "b", None).id);
        assert!(list.counting(first, 1000).is_some() && list.counting(second, 100).is_none());
    }

    #[test]
    fn what_is_no_token_has_no_hash() {
        let token = token_text(&[0xab; 32]);
        assert_eq!(token.len(), TOKEN_PREFIX.len() + 64);
        assert_eq!(TokenHash::of(&token), Some(fresh(&[0xab; 32]).1));
        for wrong in ["", "cist_", &token[1..], &token[..68], &token.to_uppercase(), &format!("{token} ")] {
            assert!(TokenHash::of(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn names_are_plain_and_unique_and_free_again_after_a_revocation() {
        let mut list = TokenList::default();
        for wrong in ["", "a b", "ä", "a/b", &"x".repeat(65), "01JD0V3Z8K6T9W2B5N7Q4R1XEC"] {
            assert_eq!(list.add(kept(1, wrong, None)), Err(TokenError::Name(wrong.to_owned())));
        }
        list.add(kept(1, "ann@laptop", None)).unwrap();
        assert_eq!(list.add(kept(2, "ann@laptop", None)), Err(TokenError::Taken("ann@laptop".to_owned())));
        assert!(list.revoke("bob").is_err());
        assert_eq!(list.revoke("ann@laptop").unwrap().id, kept(1, "", None).id);
        list.add(kept(2, "ann@laptop", None)).unwrap();
        assert_eq!(list.revoke(&kept(2, "", None).id.to_string()).unwrap().name, "ann@laptop");
        assert_eq!(list, TokenList::default());
    }

    #[test]
    fn what_is_written_reads_the_same_and_has_no_token() {
        let mut list = TokenList::default();
        list.add(kept(7, "a", Some(5))).unwrap();
        let text = serde_json::to_string(&list).unwrap();
        assert!(!text.contains(TOKEN_PREFIX) && !text.contains(&"07".repeat(32)), "{text}");
        assert_eq!(serde_json::from_str::<TokenList>(&text).unwrap(), list);
        let short = text.replace(&String::from(kept(7, "a", None).hash), "00");
        assert!(serde_json::from_str::<TokenList>(&short).is_err());
    }
}
