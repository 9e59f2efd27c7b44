//! What the driver keeps of the inbox in memory: open asks with their leases, and who answered what first.
//!
//! Pure: times come in, and whoever drives it makes events of what it gives. The store has the rest.

use std::collections::BTreeMap;

use cis_core::answers::FirstAnswers;
use cis_core::event::AskRecord;
use cis_core::ids::{InboxId, SessionId, TimestampMs};
use cis_core::rate::{Bucket, Rate};

/// Whoever waits for the answer to an ask says so again within this time, ms; after it the ask is withdrawn.
pub(super) const LEASE_MS: i64 = 30_000;

/// A lease that is found to be over for longer than this, ms, is given once more: the machine slept or its clock was set
/// forward, so nobody could renew it in time.
const LATE_MS: i64 = 5_000;

/// Whoever waited for an ask that was made without waiting, and left, may come back within this time, ms.
const LEAVES_MS: i64 = 1000;

/// Open asks of a session at most.
const OPEN_MAX: usize = 32;

/// What a session may ask, where nobody answers. What a person answered does not count.
pub(super) const ASKS: Rate = Rate::new(32, 10_000);

/// What a session may tell.
const SAID: Rate = Rate::new(100, 1_000);

#[derive(Debug)]
struct Open {
    ask: AskRecord,
    /// Where somebody waits for the answer: when the lease of whoever does is over.
    until_ms: Option<TimestampMs>,
}

#[derive(Debug, Default)]
struct Talk {
    open: Vec<Open>,
    asks: Bucket,
    said: Bucket,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    of: BTreeMap<SessionId, Talk>,
    pub(super) answers: FirstAnswers,
}

impl Inbox {
    /// Whether one more ask of it may be open.
    pub(super) fn has_room(&self, session: SessionId) -> bool {
        self.of.get(&session).is_none_or(|talk| talk.open.len() < OPEN_MAX)
    }

    /// Whether something of this name is open. Two may come to the same letters.
    pub(super) fn has(&self, session: SessionId, item: &InboxId) -> bool {
        self.of.get(&session).is_some_and(|talk| talk.open.iter().any(|open| open.ask.item == *item))
    }

    /// What it asks under this name.
    pub(super) fn get(&self, session: SessionId, item: &InboxId) -> Option<&AskRecord> {
        let talk = self.of.get(&session)?;
        talk.open.iter().map(|open| &open.ask).find(|ask| ask.item == *item)
    }

    /// Whether it may ask one more thing now.
    ///
    /// # Errors
    /// It may not; when it may.
    pub(super) fn may_ask(&mut self, session: SessionId, now: TimestampMs) -> Result<(), TimestampMs> {
        self.of.entry(session).or_default().asks.take(ASKS, now)
    }

    /// A person answered what it asked.
    pub(super) fn was_answered(&mut self, session: SessionId) {
        if let Some(talk) = self.of.get_mut(&session) {
            talk.asks.give_back(ASKS);
        }
    }

    /// It asks, at `now` or in an earlier life of the node.
    pub(super) fn ask(&mut self, session: SessionId, ask: AskRecord, now: TimestampMs) {
        let until_ms = ask.waits.then_some(now + LEASE_MS);
        self.of.entry(session).or_default().open.push(Open { ask, until_ms });
    }

    /// Whoever waits for it is still there. Gives the ask where nobody waited for it before.
    pub(super) fn renew(
        &mut self,
        session: SessionId,
        item: &InboxId,
        now: TimestampMs,
    ) -> Option<AskRecord> {
        let open = self.open(session, item)?;
        let before = open.until_ms.replace(open.until_ms.unwrap_or(now).max(now + LEASE_MS));
        before.is_none().then(|| open.ask.clone())
    }

    /// Whoever waited for an ask that was made without waiting does so no more: that is known in a moment, when
    /// nobody came back.
    pub(super) fn leave(&mut self, session: SessionId, item: &InboxId, now: TimestampMs) {
        if let Some(open) = self.open(session, item).filter(|open| !open.ask.waits) {
            open.until_ms = open.until_ms.map(|until| until.min(now + LEAVES_MS));
        }
    }

    fn open(&mut self, session: SessionId, item: &InboxId) -> Option<&mut Open> {
        self.of.get_mut(&session)?.open.iter_mut().find(|open| open.ask.item == *item)
    }

    /// Who has asks, or told something.
    pub(super) fn sessions(&self) -> Vec<SessionId> {
        self.of.keys().copied().collect()
    }

    /// Asks for whose answer it waits.
    pub(super) fn waiting(&self, session: SessionId) -> Vec<AskRecord> {
        let open = self.of.get(&session).map_or(&[][..], |talk| &talk.open);
        open.iter().filter(|open| open.until_ms.is_some()).map(|open| open.ask.clone()).collect()
    }

    /// Takes an ask that is over out, where it is open.
    pub(super) fn take(&mut self, session: SessionId, item: &InboxId) -> Option<AskRecord> {
        let talk = self.of.get_mut(&session)?;
        let at = talk.open.iter().position(|open| open.ask.item == *item)?;
        Some(talk.open.remove(at).ask)
    }

    /// Those for which nobody waits any more. Those that were made with waiting are taken out; others stay. A lease that
    /// is looked at too late is renewed instead (see [`LATE_MS`]).
    pub(super) fn expired(&mut self, now: TimestampMs) -> Vec<(SessionId, AskRecord)> {
        let open = self.of.values_mut().flat_map(|talk| &mut talk.open);
        for until_ms in open.filter_map(|open| open.until_ms.as_mut()) {
            if now.saturating_sub(*until_ms) > LATE_MS {
                *until_ms = now.saturating_add(LEASE_MS);
            }
        }
        let is_over = |open: &Open| open.until_ms.is_some_and(|until| until <= now);
        let mut gone = Vec::new();
        for (session, talk) in &mut self.of {
            for open in talk.open.iter_mut().filter(|open| !open.ask.waits && is_over(open)) {
                open.until_ms = None;
                gone.push((*session, open.ask.clone()));
            }
            let over = talk.open.extract_if(.., |open| is_over(open));
            gone.extend(over.map(|open| (*session, open.ask)));
        }
        gone
    }

    /// When the next lease is over.
    pub(super) fn poll_timeout(&self) -> Option<TimestampMs> {
        self.of.values().flat_map(|talk| talk.open.iter().filter_map(|open| open.until_ms)).min()
    }

    /// Whether it may tell one more thing now.
    pub(super) fn may_say(&mut self, session: SessionId, now: TimestampMs) -> bool {
        self.of.entry(session).or_default().said.take(SAID, now).is_ok()
    }

    /// It ended.
    pub(super) fn forget(&mut self, session: SessionId) {
        self.of.remove(&session);
    }

    /// All of them ended.
    pub(super) fn clear(&mut self) {
        self.of.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cis_core::event::{AskType, Urgency};
    use cis_core::ids::InputId;

    fn session() -> SessionId {
        SessionId::from_parts(1, 1)
    }

    fn ask(n: u128, waits: bool) -> AskRecord {
        let input = InputId(ulid::Ulid(n));
        let item = InboxId::of_ask(session(), input);
        AskRecord {
            thread: item.clone(),
            item,
            ask: input,
            ask_type: AskType::Context,
            text: "?".into(),
            options: Vec::new(),
            urgency: Urgency::default(),
            waits,
        }
    }

    #[test]
    fn an_ask_that_nobody_waits_for_any_more_is_over_and_one_that_is_renewed_is_not() {
        let mut inbox = Inbox::default();
        let (a, b, c) = (ask(1, true), ask(2, true), ask(3, false));
        for ask in [&a, &b, &c] {
            inbox.ask(session(), ask.clone(), 0);
        }
        assert_eq!(inbox.poll_timeout(), Some(LEASE_MS));
        assert_eq!(inbox.renew(session(), &b.item, 1000), None, "it waits already");
        assert_eq!(inbox.expired(LEASE_MS), [(session(), a)]);
        assert_eq!(inbox.poll_timeout(), Some(LEASE_MS + 1000));
        assert_eq!(inbox.take(session(), &b.item), Some(b.clone()));
        assert_eq!(inbox.take(session(), &b.item), None);
        assert_eq!((inbox.poll_timeout(), inbox.expired(i64::MAX)), (None, vec![]));
        assert_eq!(inbox.take(session(), &c.item), Some(c), "it waits for nobody");
    }

    #[test]
    fn an_ask_made_without_waiting_outlives_whoever_waits_for_it_later() {
        let mut inbox = Inbox::default();
        let later = ask(3, false);
        inbox.ask(session(), later.clone(), 0);
        inbox.leave(session(), &later.item, 0);
        assert_eq!((inbox.waiting(session()), inbox.poll_timeout()), (vec![], None));
        assert_eq!(inbox.renew(session(), &later.item, 1000), Some(later.clone()), "from now on");
        assert_eq!(inbox.renew(session(), &later.item, 2000), None);
        assert_eq!(inbox.waiting(session()), std::slice::from_ref(&later));
        assert_eq!(inbox.poll_timeout(), Some(LEASE_MS + 2000));
        inbox.leave(session(), &later.item, 3000);
        assert_eq!(inbox.renew(session(), &later.item, 3500), None, "it came back in a moment");
        inbox.leave(session(), &later.item, 4000);
        assert_eq!((inbox.poll_timeout(), inbox.expired(4999)), (Some(5000), vec![]));
        assert_eq!(inbox.expired(5000), [(session(), later.clone())]);
        assert_eq!((inbox.poll_timeout(), inbox.waiting(session())), (None, vec![]));
        inbox.renew(session(), &later.item, 3000);
        assert_eq!(inbox.expired(LEASE_MS + 3000), [(session(), later.clone())]);
        assert_eq!((inbox.poll_timeout(), inbox.waiting(session())), (None, vec![]));
        assert_eq!(inbox.take(session(), &later.item), Some(later), "it is there for whoever asks again");
        let with = ask(4, true);
        inbox.ask(session(), with.clone(), 0);
        inbox.leave(session(), &with.item, 0);
        assert_eq!(inbox.poll_timeout(), Some(LEASE_MS), "that one is withdrawn");
    }

    #[test]
    fn a_lease_that_ended_while_the_machine_slept_is_given_once_more() {
        let mut inbox = Inbox::default();
        let (left, kept) = (ask(1, true), ask(2, true));
        for ask in [&left, &kept] {
            inbox.ask(session(), ask.clone(), 0);
        }
        let awake = LEASE_MS + 3_600_000;
        assert!(inbox.expired(awake).is_empty(), "nobody could renew it");
        assert_eq!(inbox.poll_timeout(), Some(awake + LEASE_MS));
        inbox.renew(session(), &kept.item, awake + 1000);
        assert_eq!(inbox.expired(awake + LEASE_MS), [(session(), left)], "nobody did in the time after it");
        assert_eq!(inbox.waiting(session()), [kept]);
    }

    #[test]
    fn an_ask_is_open_from_its_beginning() {
        let mut inbox = Inbox::default();
        let item = ask(1, true).item;
        assert!(!inbox.has(session(), &item));
        inbox.ask(session(), ask(1, true), 0);
        assert!(inbox.has(session(), &item));
    }

    #[test]
    fn who_talks_without_end_is_not_heard_each_time() {
        let mut inbox = Inbox::default();
        let heard = (0..500).filter(|_| inbox.may_say(session(), 1_000_000)).count();
        assert_eq!(heard, 100);
        assert!(inbox.may_say(session(), 1_000_000 + SAID.every_ms()));
        assert!(!inbox.may_say(session(), 1_000_000 + SAID.every_ms()));
        for n in 0..OPEN_MAX {
            assert!(inbox.has_room(session()));
            inbox.ask(session(), ask(n as u128, false), 0);
        }
        assert!(!inbox.has_room(session()));
    }

    #[test]
    fn who_asks_without_end_hears_when_the_next_ask_may_come() {
        let (mut inbox, now) = (Inbox::default(), 1_000_000);
        let asked = (0..500).filter(|_| inbox.may_ask(session(), now).is_ok()).count();
        assert_eq!(asked, 32);
        assert_eq!(inbox.may_ask(session(), now), Err(now + ASKS.every_ms()));
        assert_eq!(inbox.may_ask(SessionId::from_parts(1, 2), now), Ok(()), "another session");
        inbox.was_answered(session());
        assert_eq!(inbox.may_ask(session(), now), Ok(()));
        assert_eq!(inbox.may_ask(session(), now + ASKS.every_ms()), Ok(()));
    }
}
