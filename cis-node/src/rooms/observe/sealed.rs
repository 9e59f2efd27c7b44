//! What this node could not decrypt of a room, and from where on it is read again once a key came. Does no IO.

use std::collections::{BTreeMap, BTreeSet};

use cis_core::federation::protocol::BootMs;
use cis_matrix::{RoomEvent, RoomKeys, Session};

/// What cannot be decrypted may be a takeover so long, ms, of the time in which the homeserver answers: a key is sent before the events
/// that need it, and comes late where there is much for the device. A key that was lost never comes.
const MAY_OPEN_MS: BootMs = 300_000;

/// Between two answers of a homeserver that can be reached, ms, at most.
const ANSWERS_MS: BootMs = 30_000;

/// Where it is not known which keys came, all is read again. The pause between two such times, ms; it doubles each time.
const ANY_PAUSE_MS: BootMs = 60_000;
const ANY_PAUSE_MAX_MS: BootMs = 3_600_000;

/// So many parts of a room are told apart. What comes after them belongs to the last one.
const PARTS_MAX: usize = 64;

/// Ids of sessions have 43 characters. What is longer is none.
const SESSION_MAX: usize = 64;

/// What of one room cannot be decrypted.
#[derive(Debug, Default)]
pub(super) struct Sealed {
    /// In the order of the room.
    parts: Vec<Part>,
    /// This device said something that others can read only with a key of it: from then on they have given it theirs.
    has_spoken: bool,
    /// When each session in which something may be hidden was met for the first time, on the clock below.
    met: BTreeMap<String, BootMs>,
    /// Time in which the homeserver answered, ms.
    clock: BootMs,
    answered: Option<BootMs>,
    /// Keys came, and it is not known which.
    is_any_due: bool,
    /// When all is read again the next time, at the earliest, and the pause after that, ms.
    any_at: BootMs,
    any_pause: BootMs,
}

/// Events that were read together.
#[derive(Debug)]
struct Part {
    /// The place before them; none: they are the first of the room.
    place: Option<String>,
    /// This device had said something before them.
    had_spoken: bool,
    events: u64,
    sessions: BTreeSet<String>,
    /// Those of them, with the accounts that sent them, that were used after this device had spoken.
    later: BTreeSet<(String, String)>,
}

impl Sealed {
    /// The room is read from its first event on. What was met stays so.
    pub(super) fn begin(&mut self) {
        self.parts.clear();
        self.has_spoken = false;
    }

    /// Takes the events behind a place, in order. `own`: the login of this device.
    pub(super) fn read(&mut self, place: Option<&str>, events: &[RoomEvent], own: &Session) {
        let mut part = Part {
            place: place.map(str::to_owned),
            had_spoken: self.has_spoken,
            events: 0,
            sessions: BTreeSet::new(),
            later: BTreeSet::new(),
        };
        for event in events {
            let device = event.encryption.as_ref().and_then(|encryption| encryption.device.as_ref());
            self.has_spoken |= event.sender == own.user && device == Some(&own.device);
            // Without a session it is not encrypted, or was removed: no key opens it.
            let session = event.sealed_session().filter(|session| session.len() <= SESSION_MAX);
            let Some(session) = session else { continue };
            part.events += 1;
            if self.has_spoken {
                self.met.entry(session.clone()).or_insert(self.clock);
                part.later.insert((session.clone(), event.sender.clone()));
            }
            part.sessions.insert(session);
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
    pub(super) fn may_hide(&self, accounts: impl FnOnce() -> BTreeSet<String>) -> bool {
        let may_open =
            |session: &str| self.met.get(session).is_some_and(|met| self.clock - met < MAY_OPEN_MS);
        let later = self.parts.iter().flat_map(|part| &part.later);
        let mut senders = later.filter(|(session, _)| may_open(session)).map(|(_, sender)| sender).peekable();
        if senders.peek().is_none() {
            return false;
        }
        let accounts = accounts();
        senders.any(|sender| accounts.contains(sender))
    }

    /// The homeserver answered, with these keys. What may be readable now is forgotten here, with what came after it, and has to be
    /// read again. Gives the place before it; none within: from the first event of the room on.
    pub(super) fn open(&mut self, room: &str, keys: &RoomKeys, now: BootMs) -> Option<Option<String>> {
        self.clock += self.answered.replace(now).map_or(0, |then| (now - then).clamp(0, ANSWERS_MS));
        self.is_any_due |= *keys == RoomKeys::Any;
        let first = if self.is_any_due && self.any_at <= now {
            self.is_any_due = false;
            self.parts.first()?;
            self.any_pause = (2 * self.any_pause).clamp(ANY_PAUSE_MS, ANY_PAUSE_MAX_MS);
            self.any_at = now + self.any_pause;
            0
        } else {
            let opens = |part: &Part| part.sessions.iter().any(|session| keys.contains(room, session));
            self.parts.iter().position(opens)?
        };
        let part = self.parts.drain(first..).next()?;
        self.has_spoken = part.had_spoken;
        Some(part.place)
    }
}

impl Part {
    fn absorb(&mut self, later: Self) {
        self.events += later.events;
        self.sessions.extend(later.sessions);
        self.later.extend(later.later);
    }
}

#[cfg(test)]
mod tests {
    use cis_matrix::{Encryption, Secret, Trust};
    use serde_json::json;
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
        event(sender, "m.room.encrypted", &json!({ "session_id": session }), None)
    }

    fn own() -> Session {
        Session {
            homeserver: String::new(),
            user: OWN.to_owned(),
            device: "D".to_owned(),
            token: Secret::new(""),
        }
    }

    fn said(sender: &str) -> RoomEvent {
        said_by(sender, "D")
    }

    fn said_by(sender: &str, device: &str) -> RoomEvent {
        let encryption = Encryption { device: Some(device.to_owned()), trust: Trust::Verified };
        event(sender, "cis.x", &json!({}), Some(encryption))
    }

    fn keys(sessions: &[&str]) -> RoomKeys {
        let sessions = sessions.iter().map(|session| (*session).to_owned()).collect();
        RoomKeys::Of(BTreeMap::from([("!r".to_owned(), sessions)]))
    }

    fn hides(sealed: &Sealed, account: &str) -> bool {
        sealed.may_hide(|| BTreeSet::from([account.to_owned()]))
    }

    #[test]
    fn what_a_key_opens_is_read_again_with_all_that_came_after_it() {
        let mut room = Sealed::default();
        room.read(None, &[sealed(ANN, "a")], &own());
        room.read(Some("1"), &[said(ANN), sealed(ANN, "b"), sealed(ANN, "b")], &own());
        room.read(Some("2"), &[said(ANN)], &own());
        room.read(Some("3"), &[sealed(ANN, "c")], &own());
        assert_eq!(room.events(), 4);
        assert_eq!(room.open("!r", &keys(&["d"]), 0), None);
        assert_eq!(room.open("!other", &keys(&["b"]), 0), None);
        assert_eq!(room.open("!r", &keys(&["c", "b"]), 0), Some(Some("1".to_owned())));
        assert_eq!(room.events(), 1);
        assert_eq!(room.open("!r", &keys(&["a"]), 0), Some(None));
        assert_eq!((room.events(), room.open("!r", &keys(&["a"]), 0)), (0, None));
    }

    #[test]
    fn what_comes_when_there_is_too_much_is_opened_from_an_earlier_place_on() {
        let mut room = Sealed::default();
        for n in 0..PARTS_MAX + 10 {
            room.read(Some(&n.to_string()), &[sealed(ANN, &n.to_string())], &own());
        }
        assert_eq!(room.events(), (PARTS_MAX + 10) as u64);
        let last = (PARTS_MAX + 9).to_string();
        assert_eq!(room.open("!r", &keys(&[&last]), 0), Some(Some((PARTS_MAX - 1).to_string())));
        assert_eq!(room.events(), (PARTS_MAX - 1) as u64);
    }

    #[test]
    fn where_it_is_not_known_which_keys_came_all_is_read_again_after_a_pause() {
        let mut room = Sealed::default();
        let read = |room: &mut Sealed| room.read(Some("1"), &[sealed(ANN, "a")], &own());
        read(&mut room);
        let again = Some(Some("1".to_owned()));
        assert_eq!(room.open("!r", &RoomKeys::Any, 0), again);
        read(&mut room);
        assert_eq!(room.open("!r", &RoomKeys::Any, ANY_PAUSE_MS - 1), None);
        assert_eq!(room.open("!r", &keys(&[]), ANY_PAUSE_MS), again, "what was put off is not lost");
        read(&mut room);
        assert_eq!(room.open("!r", &keys(&[]), 10 * ANY_PAUSE_MS), None);
        assert_eq!(room.open("!r", &RoomKeys::Any, 3 * ANY_PAUSE_MS - 1), None, "the pause doubles");
        assert_eq!(room.open("!r", &keys(&[]), 3 * ANY_PAUSE_MS), again);
    }

    #[test]
    fn only_what_others_sent_after_this_device_spoke_may_hide_something() {
        let mut room = Sealed::default();
        // This account once had another device.
        let early = [sealed(OWN, "o"), said_by(OWN, "OTHER"), sealed(ANN, "a")];
        room.read(None, &early, &own());
        room.read(Some("1"), &[said(OWN)], &own());
        assert!(!hides(&room, ANN));
        assert_eq!(room.open("!r", &keys(&["o"]), 0), Some(None));
        room.read(None, &early, &own());
        assert!(!hides(&room, ANN), "read again, it is still before that");
        room.read(Some("1"), &[said(OWN), sealed(ANN, "b")], &own());
        assert!(hides(&room, ANN) && !hides(&room, "@bob:x"));
    }

    #[test]
    fn a_key_that_does_not_come_while_the_homeserver_answers_was_lost() {
        let mut room = Sealed::default();
        let late = [said(OWN), sealed(ANN, "a")];
        room.read(Some("1"), &late, &own());
        let mut now = 0;
        room.open("!r", &keys(&[]), now);
        now += 100 * MAY_OPEN_MS;
        room.open("!r", &keys(&[]), now);
        assert!(hides(&room, ANN), "nothing could come meanwhile");
        for _ in 0..MAY_OPEN_MS / ANSWERS_MS {
            now += ANSWERS_MS;
            room.open("!r", &keys(&[]), now);
        }
        assert!(!hides(&room, ANN));
        room.open("!r", &RoomKeys::Any, now);
        room.read(Some("1"), &late, &own());
        assert!(!hides(&room, ANN), "met for the first time long ago");
        room.read(Some("2"), &[sealed(ANN, "b")], &own());
        assert!(hides(&room, ANN));
        room.begin();
        room.read(None, &late, &own());
        assert!(!hides(&room, ANN), "also if the whole room is read anew");
    }

    #[test]
    fn what_tells_no_session_is_not_counted() {
        let mut room = Sealed::default();
        let removed = event(ANN, "m.room.encrypted", &json!({}), None);
        room.read(Some("1"), &[said(OWN), removed, sealed(ANN, &"x".repeat(SESSION_MAX + 1))], &own());
        assert_eq!((room.events(), hides(&room, ANN)), (0, false));
    }
}
