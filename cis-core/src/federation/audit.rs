//! What a room has of its nodes and runs, and whether it is right: signatures, numbers, journals.
//!
//! Owns what is counted and what is found wrong. It obeys nobody: what a node wrote that is not trusted here is checked as
//! well, as a signature is right or wrong whoever made it; but apart, as anybody can be such a node. It fetches and changes
//! nothing.

use std::collections::{BTreeMap, BTreeSet};

use ulid::Ulid;

use super::envelope::{Carrier, Refused, Seq, TYPE_PREFIX, Verified, verify};
use super::outgoing::ROTATED;
use super::recovery::{File, Found, RecoveredRun, Recovery, is_redacted};
use crate::identity::Standing;
use crate::ids::NodeDid;

/// So many refused envelopes are named; the others are counted.
const NAMED_MAX: usize = 100;

/// A room that is read from its beginning on.
#[derive(Debug)]
pub struct Audit {
    room: String,
    /// What nodes wrote that count here.
    known: Recovery,
    /// What all others did.
    strange: Recovery,
    nodes: BTreeMap<NodeDid, Wrote>,
    refused: Vec<RefusedEvent>,
    refused_count: u64,
}

/// What one node wrote.
#[derive(Debug)]
pub struct Wrote {
    /// What we think of it.
    pub standing: Standing,
    /// Its envelopes whose signatures are right, each once.
    pub envelopes: u64,
    /// The same ones, sent again.
    pub copies: u64,
    /// By the count that they are numbered in.
    counts: BTreeMap<u64, BTreeMap<u64, Ulid>>,
    ids: BTreeSet<Ulid>,
    /// Two envelopes have the same number.
    pub doubled: u64,
}

/// An event that says to be an envelope and is none that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedEvent {
    /// `$…`.
    pub event: String,
    /// The account that sent it.
    pub sender: String,
    /// What is wrong with it.
    pub why: Refused,
}

/// A file that an envelope names.
#[derive(Debug)]
pub struct Named {
    /// It.
    pub file: File,
    /// Whoever named it counts here.
    counts: bool,
}

/// What was found.
#[derive(Debug)]
pub struct Audited {
    /// Who wrote, and what.
    pub nodes: BTreeMap<NodeDid, Wrote>,
    /// What the room has of runs.
    pub runs: Vec<RecoveredRun>,
    /// What it has of runs of nodes that do not count here.
    pub strange_runs: Vec<RecoveredRun>,
    /// Events that are no envelopes that count, the first ones.
    pub refused: Vec<RefusedEvent>,
    /// How many there are of them.
    pub refused_count: u64,
}

impl Audit {
    /// Of a room, nothing of which was read. `coordinators`: who may take over runs of others.
    #[must_use]
    pub fn new(room: String, coordinators: BTreeSet<NodeDid>) -> Self {
        Self {
            known: Recovery::new(room.clone(), coordinators),
            strange: Recovery::new(room.clone(), BTreeSet::new()),
            room,
            nodes: BTreeMap::new(),
            refused: Vec::new(),
            refused_count: 0,
        }
    }

    /// From here on in the timeline, these may take over runs of others.
    pub fn set_coordinators(&mut self, coordinators: BTreeSet<NodeDid>) {
        self.known.set_coordinators(coordinators);
    }

    /// Takes the event `id`. Gives the file that has to be fetched for it: brought to [`Self::fetched`].
    pub fn hear(
        &mut self,
        id: &str,
        event: Found<'_>,
        standing: impl Fn(&NodeDid) -> Standing,
    ) -> Option<Named> {
        if !event.type_name.starts_with(TYPE_PREFIX) || is_redacted(event.content) {
            return None;
        }
        let carrier = Carrier { room: &self.room, type_name: event.type_name, sender: Some(event.sender) };
        let read = verify(event.content, carrier, |did| match self.known.standing_of(did, &standing) {
            Standing::Unknown => Standing::Trusted,
            known => known,
        });
        match read {
            Err(why) => {
                self.refuse(id, event.sender, why);
                None
            }
            Ok(envelope) => {
                if envelope.type_name() == ROTATED.name {
                    self.known.rotated(&envelope, &standing);
                    self.strange.rotated(&envelope, |_| Standing::Trusted);
                }
                let stands = self.known.standing_of(envelope.did(), standing);
                let counts = stands.counts_in_history();
                if !self.count(&envelope, stands) {
                    return None;
                }
                let reads = if counts { &mut self.known } else { &mut self.strange };
                reads.take(&envelope).map(|file| Named { file, counts })
            }
        }
    }

    /// A file came, or (`Err`: why) did not.
    pub fn fetched(&mut self, named: Named, bytes: Result<&[u8], String>) {
        let reads = if named.counts { &mut self.known } else { &mut self.strange };
        reads.fetched(named.file, bytes);
    }

    fn refuse(&mut self, event: &str, sender: &str, why: Refused) {
        self.refused_count += 1;
        if self.refused.len() < NAMED_MAX {
            self.refused.push(RefusedEvent { event: event.to_owned(), sender: sender.to_owned(), why });
        }
    }

    /// Whether it came for the first time.
    fn count(&mut self, envelope: &Verified, standing: Standing) -> bool {
        let wrote = self.nodes.entry(envelope.did().clone()).or_insert_with(|| Wrote::new(standing));
        wrote.take(envelope.id(), envelope.seq())
    }

    /// What was found in all that was read.
    #[must_use]
    pub fn done(self) -> Audited {
        Audited {
            nodes: self.nodes,
            runs: self.known.runs(),
            strange_runs: self.strange.runs(),
            refused: self.refused,
            refused_count: self.refused_count,
        }
    }
}

impl Wrote {
    fn new(standing: Standing) -> Self {
        Self { standing, envelopes: 0, copies: 0, counts: BTreeMap::new(), ids: BTreeSet::new(), doubled: 0 }
    }

    fn take(&mut self, id: Ulid, seq: Option<Seq>) -> bool {
        if !self.ids.insert(id) {
            self.copies += 1;
            return false;
        }
        self.envelopes += 1;
        if let Some(seq) = seq
            && self.counts.entry(seq.incarnation).or_default().insert(seq.n, id).is_some()
        {
            self.doubled += 1;
        }
        true
    }

    /// Numbers below the newest of their count that are not there: what it sent with them was lost, or is hidden.
    #[must_use]
    pub fn missing(&self) -> u64 {
        let of_count = |numbers: &BTreeMap<u64, Ulid>| {
            let newest = numbers.last_key_value().map_or(0, |(n, _)| *n);
            newest.saturating_sub(numbers.len() as u64)
        };
        self.counts.values().map(of_count).sum()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::federation::envelope::{Draft, SIZE_MAX};
    use crate::identity::NodeKey;
    use crate::ids::RunId;

    const ROOM: &str = "!builds:example.org";
    const SENDER: &str = "@node:example.org";

    fn envelope(n: u64, id: u128) -> Value {
        let draft = Draft {
            id: Ulid::from_parts(1, id),
            room: ROOM.into(),
            run: Some(RunId::from_parts(3, 4)),
            epoch: 0,
            seq: Some(Seq { incarnation: 6, n }),
            type_name: "cis.dag.node.rotated".into(),
            v: 1,
            sender: Some(SENDER.into()),
            body: json!({}),
        };
        draft.sign(&NodeKey::from_seed(&[1; 32]), SIZE_MAX).unwrap().into_content()
    }

    fn heard(contents: &[Value]) -> Audited {
        let mut audit = Audit::new(ROOM.into(), BTreeSet::new());
        for content in contents {
            let found = Found { type_name: "cis.dag.node.rotated", sender: SENDER, content };
            assert!(audit.hear("$x", found, |_| Standing::Unknown).is_none());
        }
        audit.done()
    }

    #[test]
    fn numbers_that_are_not_there_are_missing_whoever_wrote() {
        let found = heard(&[envelope(1, 1), envelope(4, 4), envelope(5, 5), envelope(4, 4)]);
        let (did, wrote) = found.nodes.first_key_value().unwrap();
        assert_eq!(did, &NodeKey::from_seed(&[1; 32]).did());
        assert_eq!((wrote.standing.clone(), wrote.envelopes, wrote.copies), (Standing::Unknown, 3, 1));
        assert_eq!((wrote.missing(), wrote.doubled), (2, 0));
        assert_eq!(heard(&[envelope(1, 1), envelope(1, 2)]).nodes.values().next().unwrap().doubled, 1);
    }

    #[test]
    fn what_is_redacted_is_missing_and_not_forged() {
        let found = heard(&[envelope(1, 1), json!({}), envelope(3, 3)]);
        assert_eq!((found.refused_count, found.nodes.values().next().unwrap().missing()), (0, 1));
    }

    #[test]
    fn what_is_forged_is_named_and_counted_and_is_nobodys() {
        let mut forged = envelope(1, 1);
        forged["body"] = json!({"a": 1});
        let found = heard(&vec![forged; NAMED_MAX + 1]);
        assert!(found.nodes.is_empty());
        assert_eq!((found.refused.len(), found.refused_count), (NAMED_MAX, NAMED_MAX as u64 + 1));
        assert!(matches!(found.refused[0].why, Refused::BadSignature { .. }));
    }
}
