//! The statements of a room's owners as a node keeps them: what counted once still counts if the room shows it no more.
//!
//! A redaction, or a homeserver, can take a statement out of a room, and each statement needs the one before it. Owns the
//! fold that puts kept statements where the room lacks them; knows no files.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Membership, Owners, Placed, Statement, TYPE, Taken};
use crate::federation::envelope::{Carrier, Verified, verify};
use crate::identity::Standing;

/// A statement as an account sent it to the room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedStatement {
    /// Id of its event; none: it was read from the state of the room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// Who sent it, `@name:server`.
    pub sender: String,
    /// The envelope.
    pub content: Value,
}

impl SignedStatement {
    fn read(&self, room: &str) -> Result<Verified, String> {
        let carrier = Carrier { room, type_name: TYPE, sender: Some(&self.sender) };
        // Whether its signer owns the room is asked by the fold.
        verify(&self.content, carrier, |_| Standing::Trusted).map_err(|refused| refused.to_string())
    }

    /// Its number; 0: it has none.
    fn n(&self) -> u64 {
        self.content.pointer("/body/n").and_then(Value::as_u64).unwrap_or_default()
    }
}

/// Members, and the statements that made them.
#[derive(Debug, Clone)]
struct Fold {
    membership: Membership,
    /// Those that count, in order.
    counted: Vec<SignedStatement>,
    /// Those for the next place, while more owners have to sign.
    unsettled: Vec<SignedStatement>,
}

impl Fold {
    fn new(room: &str, owners: Owners) -> Self {
        let membership = Membership::new(room, owners);
        Self { membership, counted: Vec::new(), unsettled: Vec::new() }
    }

    fn take(&mut self, said: &SignedStatement, envelope: &Verified) -> Result<(), String> {
        let taken = self.membership.take(envelope).map_err(|refused| refused.to_string())?;
        if !self.unsettled.iter().any(|known| known.content == said.content) {
            self.unsettled.push(said.clone());
        }
        if let Taken::Counts(_) = taken {
            self.counted.append(&mut self.unsettled);
        }
        Ok(())
    }
}

/// The statements of a room while it is read, with those that are kept of an earlier reading.
#[derive(Debug, Clone)]
pub struct Chain {
    room: String,
    fold: Fold,
    /// The same of what the room shows alone.
    shown: Fold,
    /// What counted before, in order.
    kept: Vec<SignedStatement>,
    /// What all of that comes to.
    known: Membership,
    /// Places in `kept` of those that the room did not show.
    missing: BTreeSet<usize>,
}

impl Chain {
    /// Before the first statement of the room. `kept`: what counted before, in order; what these owners did not say is left out.
    #[must_use]
    pub fn new(room: &str, owners: Owners, kept: &[SignedStatement]) -> Self {
        let nothing = Fold::new(room, owners);
        let mut before = nothing.clone();
        for said in kept {
            let _ = said.read(room).and_then(|envelope| before.take(said, &envelope));
        }
        let Fold { membership: known, counted: kept, .. } = before;
        let missing = (0..kept.len()).collect();
        Self { room: room.to_owned(), fold: nothing.clone(), shown: nothing, kept, known, missing }
    }

    /// Takes what the room shows next.
    ///
    /// # Errors
    /// Why it does not count.
    pub fn take(&mut self, shown: SignedStatement) -> Result<(), String> {
        let same = self.kept.iter().position(|kept| kept.content == shown.content);
        // A redacted event stays in its place.
        let was = self.kept.iter().find(|kept| kept.event.is_some() && kept.event == shown.event);
        let (said, is_redacted) = match was {
            Some(kept) if same.is_none() => (kept.clone(), true),
            _ => (shown, false),
        };
        let envelope = said.read(&self.room)?;
        // Any account can send a copy: only the account that signed it counts.
        if let Some(at) = same {
            self.missing.remove(&at);
        }
        if !is_redacted {
            let _ = self.shown.take(&said, &envelope);
        }
        if same.is_some() || is_redacted {
            self.fill(said.n().saturating_sub(1));
        } else if said.n() <= self.known.statements() {
            return Err(format!("another statement {} is known", said.n()));
        } else if self.known.clone().take(&envelope).is_ok() {
            self.fill(self.known.statements());
        }
        self.fold.take(&said, &envelope)
    }

    /// Takes what is kept, up to this number.
    fn fill(&mut self, until: u64) {
        if self.fold.membership.statements() >= until {
            return;
        }
        for said in self.kept.iter().take_while(|said| said.n() <= until) {
            if said.n() > self.fold.membership.statements() {
                let _ = said.read(&self.room).and_then(|envelope| self.fold.take(said, &envelope));
            }
        }
    }

    /// The room was read to its end: what it did not show counts as well. Gives whether that changed something.
    pub fn complete(&mut self) -> bool {
        let before = self.fold.membership.statements();
        self.fill(self.known.statements());
        // Owners that spoke at the same time, in an order that differs between homeservers: all nodes come to the longer chain.
        if self.is_split() && self.fold.membership.revoked().all(|did| self.shown.membership.is_revoked(did))
        {
            self.fold = self.shown.clone();
            self.kept.clear();
            self.missing.clear();
            self.known = self.fold.membership.clone();
        }
        before != self.fold.membership.statements()
    }

    /// The room has more statements than count here: they follow on another one than the one that is known in its place. After
    /// [`Self::complete`], because they do not revoke a key that is revoked here.
    #[must_use]
    pub fn is_split(&self) -> bool {
        self.shown.membership.statements() > self.fold.membership.statements()
    }

    /// Kept statements that the room did not show so far, by their numbers.
    #[must_use]
    pub fn missing(&self) -> BTreeMap<u64, Statement> {
        let missing = self.missing.iter().filter_map(|at| self.kept.get(*at)?.content.get("body"));
        let placed = missing.filter_map(|body| Placed::deserialize(body).ok());
        placed.map(|placed| (placed.n, placed.statement)).collect()
    }

    /// What counts here.
    #[must_use]
    pub fn membership(&self) -> &Membership {
        &self.fold.membership
    }

    /// The statements that it is made of, in order: what is to be kept.
    #[must_use]
    pub fn counted(&self) -> &[SignedStatement] {
        &self.fold.counted
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use ulid::Ulid;

    use super::*;
    use crate::federation::envelope::Draft;
    use crate::identity::{NodeKey, Right};
    use crate::ids::NodeDid;

    const ROOM: &str = "!room:x";

    fn key(n: u8) -> NodeKey {
        NodeKey::from_seed(&[n; 32])
    }

    fn owners(keys: &[u8], threshold: usize) -> Owners {
        Owners { owners: keys.iter().map(|n| key(*n).did()).collect(), threshold }
    }

    fn admit(n: u8) -> Statement {
        let may = [Right::Execute].into();
        Statement::Admit { did: key(n).did(), may, tags: BTreeSet::new(), name: None }
    }

    fn revoke(n: u8) -> Statement {
        Statement::Revoke { did: key(n).did() }
    }

    fn did(n: u8) -> NodeDid {
        key(n).did()
    }

    fn signed(placed: &Placed, by: u8, event: &str) -> SignedStatement {
        let body = serde_json::to_value(placed).unwrap();
        let draft = Draft::of_room(TYPE, body, Ulid::from_parts(0, 1), ROOM, "@owner:x");
        let content = draft.sign(&key(by), 60_000).unwrap().content().to_string();
        SignedStatement {
            event: Some(event.to_owned()),
            sender: "@owner:x".to_owned(),
            content: serde_json::from_str(&content).unwrap(),
        }
    }

    /// What one owner says, in the events `$1`, `$2` …
    fn said(statements: Vec<Statement>) -> Vec<SignedStatement> {
        let mut chain = Chain::new(ROOM, owners(&[1], 1), &[]);
        for (at, statement) in statements.into_iter().enumerate() {
            let placed = chain.membership().next(statement).unwrap();
            chain.take(signed(&placed, 1, &format!("${}", at + 1))).unwrap();
        }
        chain.counted().to_vec()
    }

    fn reading(kept: &[SignedStatement]) -> Chain {
        Chain::new(ROOM, owners(&[1], 1), kept)
    }

    fn numbers(chain: &Chain) -> Vec<u64> {
        chain.missing().into_keys().collect()
    }

    #[test]
    fn what_is_redacted_counts_in_its_place() {
        let kept = said(vec![admit(5), revoke(5), admit(6)]);
        for redacted in 0..3 {
            let mut room = kept.clone();
            room[redacted].content = json!({});
            let mut chain = reading(&kept);
            for (at, shown) in room.iter().enumerate() {
                chain.take(shown.clone()).unwrap();
                assert_eq!(chain.membership().statements(), at as u64 + 1, "not later");
            }
            assert!(!chain.complete(), "nothing was left to do");
            assert!(
                chain.membership().is_revoked(&did(5)) && chain.membership().may(&did(6), Right::Execute)
            );
            assert_eq!((numbers(&chain), chain.counted()), (vec![redacted as u64 + 1], &kept[..]));
            // Without what is kept, all that follows on it is lost.
            let mut other = reading(&[]);
            let taken = room.iter().filter(|shown| other.take((*shown).clone()).is_ok()).count();
            assert_eq!(taken, redacted);
        }
    }

    #[test]
    fn what_is_left_out_counts_before_the_next_one_or_at_the_end() {
        let kept = said(vec![admit(5), admit(6), revoke(5)]);
        let mut chain = reading(&kept);
        chain.take(kept[0].clone()).unwrap();
        chain.take(kept[2].clone()).unwrap();
        assert!(chain.membership().is_revoked(&did(5)) && numbers(&chain) == [2]);
        // A copy of it that another account sends is none.
        let copied = SignedStatement { sender: "@stranger:x".to_owned(), ..kept[1].clone() };
        assert!(chain.take(copied).is_err() && numbers(&chain) == [2]);
        // It comes late, and is no longer missing.
        assert!(chain.take(kept[1].clone()).is_err() && numbers(&chain).is_empty());
        let mut chain = reading(&kept);
        chain.take(kept[0].clone()).unwrap();
        chain.take(kept[1].clone()).unwrap();
        assert!(chain.membership().may(&did(5), Right::Execute), "before it was revoked");
        assert!(chain.complete() && chain.membership().is_revoked(&did(5)) && numbers(&chain) == [3]);
        assert_eq!(chain.missing()[&3], revoke(5));
        assert_eq!(chain.counted(), kept);
        // What owners say next follows on it.
        let next = signed(&chain.membership().next(admit(7)).unwrap(), 1, "$4");
        let mut chain = reading(&kept);
        chain.take(next).unwrap();
        assert!(chain.membership().may(&did(7), Right::Execute) && numbers(&chain) == [1, 2, 3]);
    }

    #[test]
    fn neither_strangers_nor_other_owners_have_a_say_in_what_is_kept() {
        let kept = said(vec![admit(5), revoke(5)]);
        let mut chain = reading(&kept);
        let placed = Placed { n: 3, ..chain.membership().next(admit(9)).unwrap() };
        assert!(chain.take(signed(&placed, 9, "$9")).is_err());
        assert_eq!(chain.membership().statements(), 0, "that moves nothing");
        let mut forged = kept[1].clone();
        forged.content["body"]["statement"]["did"] = json!(did(6));
        let mut chain = reading(&[kept[0].clone(), forged]);
        chain.complete();
        assert_eq!(chain.membership().statements(), 1, "a file proves nothing");
        let mut chain = Chain::new(ROOM, owners(&[2], 1), &kept);
        assert!(!chain.complete() && chain.missing().is_empty());
        chain.take(signed(&chain.membership().next(admit(6)).unwrap(), 2, "$1")).unwrap();
        assert!(chain.membership().may(&did(6), Right::Execute));
    }

    #[test]
    fn all_signatures_of_a_statement_are_kept() {
        let mut chain = Chain::new(ROOM, owners(&[1, 2], 2), &[]);
        let placed = chain.membership().next(admit(5)).unwrap();
        for (by, event) in [(1, "$1"), (1, "$1"), (2, "$2")] {
            assert!(chain.counted().is_empty());
            chain.take(signed(&placed, by, event)).unwrap();
        }
        assert_eq!(chain.counted().len(), 2);
        let mut again = Chain::new(ROOM, owners(&[1, 2], 2), chain.counted());
        assert!(again.complete() && again.membership() == chain.membership());
    }

    /// Homeservers may show statements of the same moment in another order than before.
    #[test]
    fn a_longer_chain_replaces_what_is_known_unless_it_undoes_a_revocation() {
        for undoes in [false, true] {
            let first = said(vec![admit(5)]);
            let mut known = reading(&first);
            known.complete();
            let place = |chain: &Chain, statement| chain.membership().next(statement).unwrap();
            let ours = signed(&place(&known, if undoes { revoke(5) } else { admit(6) }), 1, "$2");
            known.take(ours).unwrap();
            let mut other = reading(&first);
            other.complete();
            for (n, event) in [(7, "$3"), (8, "$4")] {
                let next = signed(&place(&other, admit(n)), 1, event);
                other.take(next).unwrap();
            }
            let mut chain = reading(known.counted());
            for shown in &other.counted()[..2] {
                let _ = chain.take(shown.clone());
            }
            chain.complete();
            assert_eq!(chain.membership(), known.membership(), "one that is not longer counts for nothing");
            let _ = chain.take(other.counted()[2].clone());
            assert_eq!((chain.complete(), chain.is_split()), (!undoes, undoes));
            let counts = if undoes { known } else { other };
            assert_eq!(chain.membership(), counts.membership());
            assert_eq!(chain.counted(), counts.counted());
        }
    }
}
