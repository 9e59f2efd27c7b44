//! Which coordinator gets the next free slot of a worker.
//!
//! Coordinators do not know what the others grant at the same moment, so the worker refuses what exceeds its slots, and decides who is
//! next. Each coordinator with sessions or refused grants has a share: the same part of all slots, and one slot at least. A free slot
//! is kept for the first refused coordinator that has less than its share; others get it only if that one does not take it. A
//! coordinator with less than its share that was not refused is told that its share is free: whether it grants then tells
//! whether it has tasks. A slot that stays free is told to all (`docs/decisions/0058-slots-of-a-worker.md`).

use std::collections::{BTreeMap, BTreeSet};

use super::{Phase, WorkerHalf};
use crate::federation::protocol::message::{Granted, Payload};
use crate::federation::protocol::settings::BootMs;
use crate::ids::NodeDid;

/// A free slot that is kept for a coordinator is offered to it this many times, and one that stays free is told to all as often: a
/// message may be lost.
const OFFERS_MAX: u8 = 2;

/// What the worker remembers about its slots.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Slots {
    /// Sessions that run at a time, by the newest status.
    all: u32,
    /// Coordinators with refused grants. The one that was refused first comes first.
    wishes: Vec<Wish>,
    /// All slots were taken when coordinators were told how many are, or later: they may believe that this still holds.
    was_full: bool,
    /// Since when a slot is free nevertheless, or when that was told.
    free_since: Option<BootMs>,
    /// It was told this many times.
    free_told: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Wish {
    coordinator: NodeDid,
    /// Grants that were refused and not replaced by accepted ones.
    count: u32,
    /// The free slot was offered this many times.
    offers: u8,
    /// The next offer, or the end of the wish, is due then.
    due_at: BootMs,
}

impl<P: Payload> WorkerHalf<P> {
    /// Whether all slots are taken or kept for other coordinators, so that a session that was just granted must not start. Its
    /// coordinator gets an offer when there is a slot for it. `slots`: how many sessions this node executes at a time.
    pub fn lacks_slot(&mut self, granted: &Granted, slots: u32, now: BootMs) -> bool {
        self.slots.all = slots;
        let Some(coordinator) = self.coordinator_of(granted.attempt.run).cloned() else { return false };
        if self.holds(granted).is_none() {
            return false;
        }
        let held = self.held_by_coordinator(Some(granted));
        let own = held.get(&coordinator).copied().unwrap_or(0);
        let share = self.slots.share(Some(&coordinator), &held);
        let kept = self.slots.kept_before(&coordinator, share, &held);
        if self.occupied().saturating_add(kept) <= slots {
            self.slots.accepted(&coordinator, own.saturating_add(1) >= share, now);
            if self.occupied() >= slots {
                self.slots.fill();
            }
            return false;
        }
        if own < share {
            self.slots.refused(coordinator, now);
        }
        self.status_changed(now);
        true
    }

    /// Whether a coordinator was refused for lack of a slot and still waits for one.
    #[must_use]
    pub fn is_short_of_slots(&self) -> bool {
        !self.slots.wishes.is_empty()
    }

    /// Sessions that take slots: those that work or wait for their turn, and those that are being killed.
    fn occupied(&self) -> u32 {
        u32::try_from(self.live_sessions()).unwrap_or(u32::MAX)
    }

    /// How many sessions each coordinator has here, without one that was just granted.
    fn held_by_coordinator(&self, except: Option<&Granted>) -> BTreeMap<NodeDid, u32> {
        let mut by = BTreeMap::new();
        for held in self.held.values().filter(|held| except != Some(&held.granted)) {
            let works = matches!(held.phase, Phase::Working | Phase::Frozen { .. });
            if let Some(coordinator) = self.coordinator_of(held.granted.attempt.run).filter(|_| works) {
                *by.entry(coordinator.clone()).or_default() += 1;
            }
        }
        by
    }

    /// How many sessions a coordinator does not count itself: those of others, those that are being killed, as their grants are
    /// void, and those for which slots are kept. Fewer where it has less than its share and was not refused: whether it grants
    /// then tells whether it has tasks.
    pub(super) fn sessions_of_others(&self, coordinator: &NodeDid) -> u32 {
        let held = self.held_by_coordinator(None);
        let own = held.get(coordinator).copied().unwrap_or(0);
        let share = self.slots.share(Some(coordinator), &held);
        let kept = self.slots.kept_before(coordinator, share, &held);
        let others = self.occupied().saturating_sub(own).saturating_add(kept);
        let was_refused = self.slots.wishes.iter().any(|wish| wish.coordinator == *coordinator);
        let has_share = |(other, count): (&NodeDid, &u32)| other != coordinator && *count >= share;
        if !was_refused && own < share && held.iter().any(has_share) {
            others.min(self.slots.all.saturating_sub(share))
        } else {
            others
        }
    }

    /// Offers free slots to those that were refused. One that does not take its slot is forgotten. A heartbeat is due with each of
    /// these. `slots`: none where this node takes no work.
    pub(super) fn offer_slots(&mut self, slots: Option<u32>, now: BootMs) {
        let Some(all) = slots else {
            self.slots.wishes.clear();
            self.slots.free_since = None;
            return;
        };
        self.slots.all = all;
        if self.slots.wishes.is_empty() {
            return;
        }
        let (held, mut free) = (self.held_by_coordinator(None), all.saturating_sub(self.occupied()));
        let share = self.slots.share(None, &held);
        let resend_ms = self.settings.resend_ms;
        let mut is_due = false;
        self.slots.wishes.retain_mut(|wish| {
            let kept = wish.kept(share, &held);
            if free == 0 || kept == 0 {
                (wish.offers, wish.due_at) = (0, now);
                return kept > 0;
            }
            free = free.saturating_sub(kept);
            if wish.due_at > now {
                return true;
            }
            is_due = true;
            (wish.offers, wish.due_at) = (wish.offers + 1, now.saturating_add(resend_ms));
            wish.offers <= OFFERS_MAX
        });
        if is_due {
            self.status_changed(now);
        }
    }

    /// A session ended, or did not begin.
    pub(super) fn slot_freed(&mut self, now: BootMs) {
        if self.slots.was_full && self.occupied() < self.slots.all {
            self.slots.free_since.get_or_insert(now);
        }
    }

    /// Tells coordinators of a slot that is free for so long that the one that had it does not need it. They would only hear with the
    /// next heartbeat.
    pub(super) fn tell_free_slot(&mut self, now: BootMs) {
        if self.occupied() >= self.slots.all {
            self.slots.free_since = None;
        } else if self.free_slot_told_at().is_some_and(|at| at <= now) {
            self.status_changed(now);
        }
    }

    /// When that is to be told.
    pub(super) fn free_slot_told_at(&self) -> Option<BootMs> {
        self.slots.free_since.map(|since| since.saturating_add(self.settings.resend_ms))
    }

    /// Coordinators are told how many slots are taken.
    pub(super) fn slots_told(&mut self, now: BootMs) {
        if self.occupied() >= self.slots.all {
            self.slots.fill();
        } else if self.slots.was_full {
            self.slots.free_told += 1;
            self.slots.was_full = self.slots.free_told < OFFERS_MAX;
            self.slots.free_since = self.slots.was_full.then_some(now);
        }
    }

    /// When a free slot is to be offered.
    pub(super) fn next_offer(&self) -> Option<BootMs> {
        let mut free = self.slots.all.saturating_sub(self.occupied());
        if free == 0 || self.slots.wishes.is_empty() {
            return None;
        }
        let held = self.held_by_coordinator(None);
        let share = self.slots.share(None, &held);
        let mut first = None;
        for wish in &self.slots.wishes {
            let kept = wish.kept(share, &held);
            if kept > 0 && free > 0 {
                first = Some(first.map_or(wish.due_at, |first| wish.due_at.min(first)));
                free = free.saturating_sub(kept);
            }
        }
        first
    }
}

impl Slots {
    /// All slots are taken.
    fn fill(&mut self) {
        (self.was_full, self.free_since, self.free_told) = (true, None, 0);
    }

    /// The part of all slots that each coordinator with sessions or refused grants may have, and this one.
    fn share(&self, coordinator: Option<&NodeDid>, held: &BTreeMap<NodeDid, u32>) -> u32 {
        let wishes = self.wishes.iter().map(|wish| &wish.coordinator);
        let all: BTreeSet<&NodeDid> = held.keys().chain(wishes).chain(coordinator).collect();
        (self.all / u32::try_from(all.len().max(1)).unwrap_or(u32::MAX)).max(1)
    }

    /// Slots that are kept for other coordinators than this one: where it was refused itself, for those that were refused before it.
    fn kept_before(&self, coordinator: &NodeDid, share: u32, held: &BTreeMap<NodeDid, u32>) -> u32 {
        let before = self.wishes.iter().take_while(|wish| wish.coordinator != *coordinator);
        before.fold(0, |sum, wish| sum.saturating_add(wish.kept(share, held)))
    }

    /// A grant of this coordinator was refused.
    fn refused(&mut self, coordinator: NodeDid, now: BootMs) {
        match self.wishes.iter_mut().find(|wish| wish.coordinator == coordinator) {
            Some(wish) => wish.count = wish.count.saturating_add(1),
            None => self.wishes.push(Wish { coordinator, count: 1, offers: 0, due_at: now }),
        }
    }

    /// A grant of this coordinator was accepted. `has_share`: it has its share now.
    fn accepted(&mut self, coordinator: &NodeDid, has_share: bool, now: BootMs) {
        self.wishes.retain_mut(|wish| {
            if wish.coordinator != *coordinator {
                return true;
            }
            (wish.count, wish.offers, wish.due_at) = (wish.count.saturating_sub(1), 0, now);
            wish.count > 0 && !has_share
        });
    }
}

impl Wish {
    /// Slots that are kept for it: those up to its share.
    fn kept(&self, share: u32, held: &BTreeMap<NodeDid, u32>) -> u32 {
        let own = held.get(&self.coordinator).copied().unwrap_or(0);
        self.count.min(share.saturating_sub(own))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Effect;
    use super::*;
    use crate::api::Refusal;
    use crate::federation::protocol::message::{Grant, Message};
    use crate::federation::protocol::settings::Settings;
    use crate::ids::{AttemptId, RunId, SessionId, TaskId};

    #[derive(Debug, Clone, PartialEq)]
    struct Numbers;

    impl Payload for Numbers {
        type Spec = &'static str;
        type Report = &'static str;
        /// Slots, and the sessions of other coordinators.
        type Status = (u32, u32);
        type Progress = u32;

        fn told((slots, _): &(u32, u32), others: u32) -> (u32, u32) {
            (*slots, others)
        }

        fn slots((slots, _): &(u32, u32)) -> u32 {
            *slots
        }
    }

    const SLOTS: u32 = 2;

    fn did(name: &str) -> NodeDid {
        NodeDid(name.to_owned())
    }

    fn granted(run: u128, task: &str) -> Granted {
        let (run, task) = (RunId::from_parts(1, run), TaskId::new(task).unwrap());
        Granted { attempt: AttemptId { run, task, number: 1 }, fence: 1 }
    }

    /// Gives a task to the worker; says whether it lacks a slot for it.
    fn give(half: &mut WorkerHalf<Numbers>, by: &str, granted: &Granted, nonce: u64, now: BootMs) -> bool {
        let grant = Grant { granted: granted.clone(), session: SessionId::from_parts(1, 1), spec: "true" };
        let message = Message::Grant { epoch: 0, nonce, lease_ms: 60_000, grant };
        half.receive(&did(by), message, now, &mut Vec::new()).unwrap();
        half.lacks_slot(granted, SLOTS, now)
    }

    #[test]
    fn a_slot_that_stays_free_is_told_twice_and_one_that_is_taken_again_is_not() {
        let mut half = WorkerHalf::<Numbers>::new(Settings::default(), 0, 0);
        let (of_c, of_d, more) = (granted(1, "a"), granted(2, "a"), granted(2, "b"));
        // Of a heartbeat at that time: the sessions of others that `d` is told, which answers it.
        let beat = |half: &mut WorkerHalf<Numbers>, now: BootMs| -> Option<u32> {
            let mut out = Vec::new();
            half.tick(now, Some(&(SLOTS, 0)), &[did("c"), did("d")], &mut out);
            let (nonce, others) = out.iter().find_map(|effect| match effect {
                Effect::Send { to, message: Message::Heartbeat { nonce, status: (_, others) } }
                    if *to == did("d") =>
                {
                    Some((*nonce, *others))
                }
                _ => None,
            })?;
            let (run, grants) = (of_d.attempt.run, vec![of_d.clone()]);
            let renewal = Message::Renew { run, epoch: 0, nonce, lease_ms: 60_000, grants };
            half.receive(&did("d"), renewal, now, &mut out).unwrap();
            Some(others)
        };
        half.tick(0, Some(&(SLOTS, 0)), &[did("c"), did("d")], &mut Vec::new());
        assert!(!give(&mut half, "c", &of_c, 1, 1) && !give(&mut half, "d", &of_d, 1, 1));
        assert!(give(&mut half, "d", &more, 1, 2), "it has its share, and wants more");
        half.refused(&more, Refusal::Withdrawn { full: true }, 2, &mut Vec::new());
        assert_eq!((beat(&mut half, 2), beat(&mut half, 2_002)), (Some(1), Some(1)));

        half.ended(&of_c, "done", 3_000, &mut Vec::new());
        let forget = Message::Forget { epoch: 0, granted: of_c };
        half.receive(&did("c"), forget, 3_001, &mut Vec::new()).unwrap();
        assert_eq!((half.poll_timeout(), beat(&mut half, 4_999)), (Some(5_000), None), "`c` may need it");
        assert_eq!((beat(&mut half, 5_000), half.poll_timeout()), (Some(0), Some(7_000)));
        assert_eq!((beat(&mut half, 7_000), half.poll_timeout()), (Some(0), Some(27_000)));

        assert!(!give(&mut half, "c", &granted(1, "b"), 5, 7_001));
        half.ended(&granted(1, "b"), "done", 8_000, &mut Vec::new());
        assert!(!give(&mut half, "c", &granted(1, "c"), 5, 8_001), "as soon as it hears of the end");
        assert_eq!((beat(&mut half, 10_001), beat(&mut half, 26_999)), (None, None));
    }
}
