//! Who keeps the concurrency groups of a room: entries in its timeline, each of which begins a term.
//!
//! Owns the entry's envelope and the fold that says which term is the newest. What a keeper does is
//! `protocol::groups`' matter. The envelope has no number: nothing else depends on it.

use serde_json::{Value, json};

use super::envelope::{Draft, Verified};
use super::protocol::groups::{EPOCH_AHEAD_MAX, Term};
use crate::ids::Epoch;

/// Type of the envelope.
pub const TYPE: &str = "cis.dag.groups.kept";

/// The entry that begins a term, before it is signed.
#[must_use]
pub fn draft(epoch: Epoch, id: ulid::Ulid, room: &str, sender: &str) -> Draft {
    Draft::of_room(TYPE, json!({ "epoch": epoch }), id, room, sender)
}

/// What an entry says; none: it says nothing that can be understood.
#[must_use]
pub fn read(envelope: &Verified) -> Option<Term> {
    let epoch = envelope.body().get("epoch").and_then(Value::as_u64)?;
    Some(Term { epoch: Epoch::try_from(epoch).ok()?, keeper: envelope.did().clone(), id: envelope.id() })
}

/// The newest term of a room, as far as its timeline was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keepers {
    newest: Option<Term>,
}

impl Keepers {
    /// Takes the next entry of the timeline. `is_voter`: its writer may coordinate here. Gives whether a term begins with it: of
    /// two entries for one term the first counts.
    pub fn take(&mut self, term: Term, is_voter: bool) -> bool {
        let known = self.newest.as_ref().map_or(0, |term| term.epoch);
        // Who came later may not be able to read the entries before: it goes on with any that follows.
        let follows = term.epoch > known && term.epoch - known <= EPOCH_AHEAD_MAX;
        if follows && is_voter {
            self.newest = Some(term);
        }
        follows && is_voter
    }

    /// It.
    #[must_use]
    pub fn newest(&self) -> Option<&Term> {
        self.newest.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::federation::envelope::{Carrier, verify};
    use crate::federation::sample::key;
    use crate::identity::Standing;

    fn entry(epoch: Epoch, by: u8, id: u128) -> Term {
        let draft = draft(epoch, ulid::Ulid(id), "!r:x", "@n:x");
        let envelope = draft.sign(&key(by), 60_000).unwrap();
        let carrier = Carrier { room: "!r:x", type_name: TYPE, sender: Some("@n:x") };
        let content = serde_json::from_str(&envelope.content().to_string()).unwrap();
        read(&verify(&content, carrier, |_| Standing::Trusted).unwrap()).unwrap()
    }

    #[test]
    fn the_first_entry_of_a_voter_begins_a_term() {
        let mut keepers = Keepers::default();
        assert!(!keepers.take(entry(1, 9, 1), false), "no voter");
        assert!(keepers.take(entry(1, 1, 2), true));
        assert!(!keepers.take(entry(1, 2, 3), true), "the second one");
        assert!(!keepers.take(entry(0, 2, 4), true) && !keepers.take(entry(1, 1, 2), true), "stale");
        assert!(keepers.take(entry(2, 2, 5), true));
        assert!(!keepers.take(entry(3 + EPOCH_AHEAD_MAX, 1, 6), true), "nobody could ever follow");
        assert_eq!(keepers.newest(), Some(&entry(2, 2, 5)));
        assert!(keepers.take(entry(4, 1, 7), true), "one that it could not read lies between");
    }
}
