//! What this node could not decrypt of a room, and from where on it is read again once a key came. Does no IO.

use std::collections::BTreeSet;

use cis_core::federation::protocol::BootMs;
use cis_matrix::{RoomEvent, RoomKeys};

/// What cannot be decrypted may be a takeover so long, ms: a key is sent before the events that need it, and comes late where there is
/// much for the device, or where homeservers cannot reach each other. A key that was lost never comes.
const MAY_OPEN_MS: BootMs = 300_000;

/// So many parts of a room are told apart. What comes after them belongs to the last one.
const PARTS_MAX: usize = 64;

/// Of one room.
#[derive(Debug, Default)]
pub(super) struct Sealed {
    /// In the order of the room.
    parts: Vec<Part>,
    /// This device said something that others can read only with a key of it: from then on they have given it theirs.
    has_spoken: bool,
}

/// Events that were read together.
#[derive(Debug)]
struct Part {
    /// The place before them; none: they are the first of the room.
    place: Option<String>,
    events: u64,
    sessions: BTreeSet<String>,
    /// A session is not told: any key may open it.
    is_unnamed: bool,
    /// The accounts that sent them after this device had spoken.
    senders: BTreeSet<String>,
    /// When the last of them was read.
    found: BootMs,
}

impl Sealed {
    /// Takes the events behind a place, in order. `user`: the account of this node.
    pub(super) fn read(&mut self, place: Option<&str>, events: &[RoomEvent], user: &str, now: BootMs) {
        let mut part = Part::new(place, now);
        for event in events {
            self.has_spoken |= event.sender == user && event.encryption.is_some();
            if event.is_sealed() {
                part.events += 1;
                let session = event.sealed_session();
                part.is_unnamed |= session.is_none();
                part.sessions.extend(session);
                part.senders.extend(self.has_spoken.then(|| event.sender.clone()));
            }
        }
        if part.events == 0 {
            return;
        }
        let is_full = self.parts.len() == PARTS_MAX;
        match self.parts.last_mut().filter(|last| is_full || last.place == part.place) {
            Some(last) => last.absorb(part),
            None => self.parts.push(part),
        }
    }

    /// Events that cannot be decrypted.
    pub(super) fn events(&self) -> u64 {
        self.parts.iter().map(|part| part.events).sum()
    }

    /// Whether one of these accounts may have said something that is not read yet.
    pub(super) fn may_hide(&self, accounts: impl FnOnce() -> BTreeSet<String>, now: BootMs) -> bool {
        let may_open =
            |part: &&Part| now.saturating_sub(part.found) < MAY_OPEN_MS && !part.senders.is_empty();
        let mut senders = self.parts.iter().filter(may_open).flat_map(|part| &part.senders).peekable();
        if senders.peek().is_none() {
            return false;
        }
        let accounts = accounts();
        senders.any(|sender| accounts.contains(sender))
    }

    /// Some of it may be readable with these keys: it is forgotten here, with what came after it, and has to be read again. Gives the
    /// place before it; none within: from the first event of the room on.
    pub(super) fn open(&mut self, room: &str, keys: &RoomKeys) -> Option<Option<String>> {
        let opens = |part: &Part| {
            part.sessions.iter().any(|session| keys.open(room, session))
                || part.is_unnamed && !keys.is_empty()
        };
        let first = self.parts.iter().position(opens)?;
        self.parts.drain(first..).next().map(|part| part.place)
    }
}

impl Part {
    fn new(place: Option<&str>, found: BootMs) -> Self {
        Self {
            place: place.map(str::to_owned),
            events: 0,
            sessions: BTreeSet::new(),
            is_unnamed: false,
            senders: BTreeSet::new(),
            found,
        }
    }

    fn absorb(&mut self, later: Self) {
        self.events += later.events;
        self.sessions.extend(later.sessions);
        self.is_unnamed |= later.is_unnamed;
        self.senders.extend(later.senders);
        self.found = self.found.max(later.found);
    }
}

#[cfg(test)]
mod tests {
    use cis_matrix::{Encryption, Trust};
    use serde_json::value::to_raw_value;

    use super::*;

    const OWN: &str = "@own:x";
    const ANN: &str = "@ann:x";

    fn event(
        sender: &str,
        kind: &str,
        content: &serde_json::Value,
        encryption: Option<Encryption>,
    ) -> RoomEvent {
        RoomEvent {
            id: "$1".to_owned(),
            sender: sender.to_owned(),
            kind: kind.to_owned(),
            content: to_raw_value(content).unwrap(),
            sent_ms: 0,
            state_key: None,
            transaction: None,
            encryption,
        }
    }

    fn sealed(sender: &str, session: &str) -> RoomEvent {
        event(sender, "m.room.encrypted", &serde_json::json!({ "session_id": session }), None)
    }

    fn said(sender: &str) -> RoomEvent {
        let encryption = Encryption { device: None, trust: Trust::Verified };
        event(sender, "cis.x", &serde_json::json!({}), Some(encryption))
    }

    fn keys(sessions: &[&str]) -> RoomKeys {
        RoomKeys::Of(sessions.iter().map(|session| ("!r".to_owned(), (*session).to_owned())).collect())
    }

    fn hides(sealed: &Sealed, account: &str, now: BootMs) -> bool {
        sealed.may_hide(|| BTreeSet::from([account.to_owned()]), now)
    }

    #[test]
    fn what_a_key_opens_is_read_again_with_all_that_came_after_it() {
        let mut room = Sealed::default();
        room.read(None, &[sealed(ANN, "a")], OWN, 0);
        room.read(Some("1"), &[said(ANN), sealed(ANN, "b"), sealed(ANN, "b")], OWN, 0);
        room.read(Some("2"), &[said(ANN)], OWN, 0);
        room.read(Some("3"), &[sealed(ANN, "c")], OWN, 0);
        assert_eq!(room.events(), 4);
        assert_eq!(room.open("!r", &keys(&["d"])), None);
        assert_eq!(room.open("!other", &keys(&["b"])), None);
        assert_eq!(room.open("!r", &keys(&["c", "b"])), Some(Some("1".to_owned())));
        assert_eq!(room.events(), 1);
        assert_eq!(room.open("!r", &RoomKeys::Any), Some(None));
        assert_eq!((room.events(), room.open("!r", &RoomKeys::Any)), (0, None));
    }

    #[test]
    fn what_comes_when_there_is_too_much_is_opened_from_an_earlier_place_on() {
        let mut room = Sealed::default();
        for n in 0..PARTS_MAX + 10 {
            room.read(Some(&n.to_string()), &[sealed(ANN, &n.to_string())], OWN, 0);
        }
        assert_eq!(room.events(), (PARTS_MAX + 10) as u64);
        let last = (PARTS_MAX + 9).to_string();
        assert_eq!(room.open("!r", &keys(&[&last])), Some(Some((PARTS_MAX - 1).to_string())));
        assert_eq!(room.events(), (PARTS_MAX - 1) as u64);
    }

    #[test]
    fn only_what_others_sent_after_this_device_spoke_may_hide_something() {
        let mut room = Sealed::default();
        // This account once had another device.
        room.read(None, &[sealed(OWN, "o"), sealed(ANN, "a")], OWN, 0);
        assert!(!hides(&room, ANN, 0));
        room.read(Some("1"), &[said(OWN), sealed(ANN, "a")], OWN, 0);
        assert!(hides(&room, ANN, 0) && !hides(&room, "@bob:x", 0));
        assert!(hides(&room, ANN, MAY_OPEN_MS - 1) && !hides(&room, ANN, MAY_OPEN_MS), "a key that was lost");
        room.open("!r", &keys(&["a"]));
        assert!(!hides(&room, ANN, 0));
    }

    #[test]
    fn an_event_that_tells_no_session_is_opened_by_any_key() {
        let mut room = Sealed::default();
        room.read(Some("1"), &[event(ANN, "m.room.encrypted", &serde_json::json!({}), None)], OWN, 0);
        assert_eq!(room.open("!r", &keys(&[])), None);
        assert_eq!(room.open("!r", &keys(&["a"])), Some(Some("1".to_owned())));
    }
}
