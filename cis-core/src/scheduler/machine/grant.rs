//! Granting: whose turn it is, and whether there is room.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use super::{Machine, Turn, attempt_id};
use crate::dag::Task;
use crate::event::{EndReason, EventBody, ExecutionMode, GrantRecord, TaskChange, TaskState};
use crate::fence;
use crate::ids::{NodeDid, RunId, TimestampMs};
use crate::scheduler::input::{Effect, IdSource, Rejected};

/// After a refusal for want of resources nothing is granted for so long, ms, or until a session ends:
/// what one grant lacked, the next would lack too.
const HOLD_MS: i64 = 1000;

impl Machine {
    /// Grants what may start: until no run has a free slot and a task for it, or all nodes are full.
    pub(super) fn grant_all(&mut self, now: TimestampMs, ids: &mut dyn IdSource) -> Result<(), Rejected> {
        if self.is_held(now) || self.host.is_none() {
            return self.grant_in_rooms(now, ids);
        }
        // What is wrong with one run holds up no other one.
        let mut granted = Ok(());
        while self.has_room() {
            let Some(id) = self.next_turn() else { break };
            let Some(index) = self.known(id)?.index.next() else {
                self.touch(id);
                continue;
            };
            let (node, waits) = (self.node.clone(), self.known(id)?.free_slots() == 0);
            if let Err(rejected) = self.grant_one(id, index, (node, waits), now, ids) {
                self.hungry.remove(&id);
                granted = granted.and(Err(rejected));
            }
        }
        granted.and(self.grant_in_rooms(now, ids))
    }

    /// Whether this node was short of something a moment ago.
    pub(super) fn is_held(&mut self, now: TimestampMs) -> bool {
        // A clock that was set back must not make the hold longer.
        let held = self.held_until.is_some_and(|until_ms| (1..=HOLD_MS).contains(&(until_ms - now)));
        if !held {
            self.held_until = None;
        }
        held
    }

    /// Grants what may start on any node of a room. A task for which there is no node holds up nobody.
    fn grant_in_rooms(&mut self, now: TimestampMs, ids: &mut dyn IdSource) -> Result<(), Rejected> {
        if self.roaming.is_empty() {
            return Ok(());
        }
        let mut granted = self.granted_by_node();
        let here = self.host.is_some() && !self.is_held(now);
        let mut waiting = self.roaming.clone();
        for id in &waiting {
            if let Some(slot) = self.runs.get(id) {
                self.nodes.look_for_pinned_tasks(&slot.run);
            }
            self.ask_room(*id);
        }
        let (mut last, mut all_granted) = (None, Ok(()));
        while let Some(id) = next_after(&waiting, last) {
            last = Some(id);
            let room_here = here && self.has_room();
            // One that could run elsewhere does not wait for an account of this node.
            let open = |did: &NodeDid, task: Option<&Task>| {
                let account = task.and_then(|task| task.account.as_ref());
                did != &self.node || (room_here && self.account_holds(account, now).is_none())
            };
            let placed = self.known(id).ok();
            let alone = self.roaming.len() == 1;
            let placed = placed.and_then(|run| self.nodes.place(run, &self.node, &granted, open, alone));
            let Some((index, node, waits)) = placed else {
                waiting.remove(&id);
                continue;
            };
            *granted.entry(node.clone()).or_default() += 1;
            let is_granted = self.grant_one(id, index, (node, waits), now, ids);
            if is_granted.is_err() || !self.roaming.contains(&id) {
                waiting.remove(&id);
            }
            all_granted = all_granted.and(is_granted);
        }
        all_granted
    }

    /// Attempts under way of runs in Matrix mode, and all of this node.
    pub(super) fn granted_by_node(&self) -> BTreeMap<NodeDid, u32> {
        let mut granted = BTreeMap::from([(self.node.clone(), self.live.saturating_add(self.foreign))]);
        let in_rooms = self.runs.values().filter(|slot| slot.run.facts().mode == ExecutionMode::Matrix);
        for live in
            in_rooms.flat_map(|slot| slot.run.live().filter_map(|index| slot.run.entry(index).live.as_ref()))
        {
            if live.node != self.node {
                *granted.entry(live.node.clone()).or_default() += 1;
            }
        }
        granted
    }

    /// Lets nothing more start on this node, or lets it again with the next input. What runs goes on.
    pub fn set_paused(&mut self, paused: bool) {
        self.paused = paused;
        if paused {
            self.runs.keys().copied().collect::<Vec<_>>().into_iter().for_each(|id| self.take_back(id));
        }
    }

    /// Whether nothing starts on this node.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// Whether `max_sessions` lets one more session start: live and blocked ones of all runs and those outside of runs
    /// share it.
    #[must_use]
    pub fn has_free_session(&self) -> bool {
        self.live.saturating_add(self.foreign) < self.max_sessions
    }

    pub(super) fn has_room(&self) -> bool {
        !self.paused && self.has_free_session()
    }

    pub(super) fn hold(&mut self, now: TimestampMs) {
        self.held_until = Some(now.saturating_add(HOLD_MS));
    }

    /// The next run after the one that was served last.
    fn next_turn(&mut self) -> Option<RunId> {
        self.served = next_after(&self.hungry, self.served);
        self.served
    }

    /// `waits`: it has to wait at its node for another one to end.
    fn grant_one(
        &mut self,
        id: RunId,
        index: u32,
        (node, waits): (NodeDid, bool),
        now: TimestampMs,
        ids: &mut dyn IdSource,
    ) -> Result<(), Rejected> {
        let run = self.known(id)?;
        let (spec, entry) = (run.spec(index), run.entry(index));
        let turn = Turn { now, actor: None, cause: None };
        // Other nodes have logins of their own.
        let account = spec.account.clone().filter(|_| node == self.node);
        if let Some(until_ms) = self.account_holds(account.as_ref(), now) {
            return self.wait_for_account(id, account.as_deref().unwrap_or_default(), until_ms, &turn);
        }
        let (number, fence) = (entry.attempts.saturating_add(1), fence::next(entry.fence, run.facts().epoch));
        if number <= entry.attempts || fence <= entry.fence {
            return self.cannot_number(id, index, &turn);
        }
        let grant = GrantRecord {
            task: spec.id.clone(),
            attempt: number,
            fence,
            session: ids.session_id(now),
            host: self.host.filter(|_| node == self.node),
            node,
            lease_ms: None,
            ahead: waits,
        };
        let attempt = attempt_id(run, index, grant.attempt);
        self.account_starts(account.as_ref(), &attempt, now);
        let effect =
            Effect::Grant { attempt, session: grant.session, fence: grant.fence, node: grant.node.clone() };
        self.emit(id, EventBody::TaskAssigned(grant), &turn)?;
        self.effects.push(effect);
        self.touch(id);
        Ok(())
    }

    /// Ends a task whose newest grant has the largest number that there is: it would wait for its next one for ever.
    fn cannot_number(&mut self, id: RunId, index: u32, turn: &Turn) -> Result<(), Rejected> {
        let detail = "its attempts have no numbers left".to_owned();
        let change = TaskChange {
            task: self.known(id)?.spec(index).id.clone(),
            state: TaskState::Error,
            end: Some(EndReason::Attempt { detail }),
            queued: None,
        };
        self.emit(id, EventBody::TaskStatus { changes: vec![change] }, turn)?;
        self.finish(id, self.affected(id, index), turn)
    }
}

/// The one after `last`; after the newest one the oldest.
fn next_after(runs: &BTreeSet<RunId>, last: Option<RunId>) -> Option<RunId> {
    let after = last.map_or(Bound::Unbounded, Bound::Excluded);
    runs.range((after, Bound::Unbounded)).next().or_else(|| runs.first()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{HostInstance, SessionId};
    use crate::scheduler::input::{Input, InputKind};

    struct One;

    impl IdSource for One {
        fn session_id(&mut self, _: TimestampMs) -> SessionId {
            SessionId::from_parts(3, 1)
        }
    }

    #[test]
    fn what_took_effect_is_not_rejected_if_something_cannot_be_granted() {
        let mut machine = Machine::new(NodeDid("did:key:here".to_owned()), 1);
        machine.set_host(Some(HostInstance::from_parts(2, 1)));
        let unknown = RunId::from_parts(1, 1);
        machine.hungry.insert(unknown);
        let input = Input::internal(InputKind::ForeignSessions { count: 0 });
        assert_eq!(machine.handle(input, 1, &mut One), Ok(()));
        assert_eq!(machine.take_failure(), Err(Rejected::NoRun(unknown)));
        assert_eq!(machine.take_failure(), Ok(()), "it is told once");
    }
}
