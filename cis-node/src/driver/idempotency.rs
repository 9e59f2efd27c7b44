//! Idempotency keys and the digests of their requests. Another request with a used key is refused.
//!
//! The store keeps one text for each key: what the request made, and its digest. Both become durable together.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::Driver;
use crate::problems::{key_reused, store_problem};
use cis_core::api::Problem;
use cis_core::ids::InputId;

/// Separates what a request made from its digest.
const BETWEEN: char = '\n';

/// Maximum number of requests under way whose digests are kept. Above it, some keys are not compared.
const UNDER_WAY_MAX: usize = 4096;

/// The digest of the requests under way with one key.
#[derive(Debug)]
struct UnderWay {
    digest: String,
    requests: usize,
}

/// The digests of requests under way, by their keys.
#[derive(Debug, Default)]
pub(super) struct KeyDigests {
    under_way: BTreeMap<InputId, UnderWay>,
}

/// Returns what a request made, from the text that the store keeps for its key.
pub(crate) fn made(noted: &str) -> &str {
    noted.split_once(BETWEEN).map_or(noted, |(made, _)| made)
}

fn digest(noted: &str) -> Option<&str> {
    noted.split_once(BETWEEN).map(|(_, digest)| digest)
}

impl KeyDigests {
    /// Returns the text that the store keeps for a key whose request made `made`.
    pub(super) fn noted<'a>(&self, input: InputId, made: &'a str) -> Cow<'a, str> {
        match self.under_way.get(&input) {
            Some(UnderWay { digest, .. }) => format!("{made}{BETWEEN}{digest}").into(),
            None => made.into(),
        }
    }

    /// Drops digests that the store has now.
    pub(super) fn made<'a>(&mut self, inputs: impl Iterator<Item = &'a InputId>) {
        inputs.for_each(|input| drop(self.under_way.remove(input)));
    }

    /// Whether `request` is the digest of the request with this key. `noted` is the text that the store keeps for the key.
    fn is_same(&self, input: InputId, noted: Option<&str>, request: &str) -> bool {
        let under_way = self.under_way.get(&input).map(|under_way| under_way.digest.as_str());
        let known = under_way.or_else(|| noted.and_then(digest));
        // Earlier versions kept no digest.
        known.is_none_or(|known| known == request)
    }

    fn begin(&mut self, input: InputId, digest: String) {
        if let Some(same) = self.under_way.get_mut(&input) {
            same.requests += 1;
            return;
        }
        while self.under_way.len() >= UNDER_WAY_MAX {
            self.under_way.pop_first();
        }
        self.under_way.insert(input, UnderWay { digest, requests: 1 });
    }

    fn end(&mut self, input: InputId) {
        if let Some(under_way) = self.under_way.get_mut(&input) {
            under_way.requests -= 1;
            if under_way.requests == 0 {
                self.under_way.remove(&input);
            }
        }
    }
}

impl Driver {
    /// Notes the digest of a request that is about to be carried out; returns whether the same request was before.
    pub(super) fn begin_keyed(&mut self, input: InputId, digest: String) -> Result<bool, Problem> {
        let in_this_turn = self.turn.made_by(input).is_some();
        let noted = match in_this_turn {
            true => None,
            false => self.parts.writer.find_input(input).map_err(|error| store_problem(&error))?,
        };
        if !self.key_digests.is_same(input, noted.as_deref(), &digest) {
            return Err(key_reused());
        }
        let repeated = in_this_turn || noted.is_some();
        if !repeated {
            self.key_digests.begin(input, digest);
        }
        Ok(repeated)
    }

    /// Drops the digest of a request that made nothing. That of one that made something goes to the store with its turn.
    pub(super) fn end_keyed(&mut self, input: InputId) {
        if self.turn.made_by(input).is_none() {
            self.key_digests.end(input);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u128) -> InputId {
        InputId::from_parts(1, n)
    }

    #[test]
    fn a_key_is_of_one_request() {
        let mut keys = KeyDigests::default();
        assert!(keys.is_same(key(1), None, "a"));
        keys.begin(key(1), "a".to_owned());
        assert!(keys.is_same(key(1), None, "a") && !keys.is_same(key(1), None, "b"));
        let noted = keys.noted(key(1), "run 7").into_owned();
        assert_eq!((made(&noted), digest(&noted)), ("run 7", Some("a")));
        keys.made([key(1)].iter());
        assert!(keys.is_same(key(1), Some(&noted), "a") && !keys.is_same(key(1), Some(&noted), "b"));
        // Of two equal requests at the same time, the first that ends leaves the digest to the other.
        let text = || "a".to_owned();
        keys.begin(key(3), text());
        keys.begin(key(3), text());
        keys.end(key(3));
        assert!(!keys.is_same(key(3), None, "b"));
        keys.end(key(3));
        assert!(keys.is_same(key(3), None, "b"), "nothing was made");
        // Texts without a digest are from an earlier version, or from a room.
        assert_eq!((made("run 7"), &*keys.noted(key(2), "run 7")), ("run 7", "run 7"));
        assert!(keys.is_same(key(2), Some("run 7"), "b"));
    }

    #[test]
    fn keys_under_way_are_bounded() {
        let mut keys = KeyDigests::default();
        (0..=UNDER_WAY_MAX).for_each(|n| keys.begin(key(n as u128), String::new()));
        assert_eq!(keys.under_way.len(), UNDER_WAY_MAX);
    }
}
