//! Granting: whose turn it is, and whether there is room.

use std::ops::Bound;

use super::{Machine, Turn, attempt_id};
use crate::event::{EventBody, GrantRecord};
use crate::ids::{HostInstance, RunId, TimestampMs};
use crate::scheduler::input::{Effect, IdSource, Rejected};

/// After a refusal for want of resources nothing is granted for so long, ms, or until a session ends:
/// what one grant lacked, the next would lack too.
const HOLD_MS: i64 = 1000;

impl Machine {
    /// Grants what may start: until no run has a free slot and a task for it, or the node is full.
    pub(super) fn grant_all(&mut self, now: TimestampMs, ids: &mut dyn IdSource) -> Result<(), Rejected> {
        let Some(host) = self.host else { return Ok(()) };
        if let Some(until_ms) = self.held_until {
            // A clock that was set back must not make the hold longer.
            if (1..=HOLD_MS).contains(&(until_ms - now)) {
                return Ok(());
            }
            self.held_until = None;
        }
        while self.has_room() {
            let Some(id) = self.next_turn() else { break };
            self.grant_one(id, host, now, ids)?;
        }
        Ok(())
    }

    /// Live and blocked sessions of all runs and those outside of runs share `max_sessions`.
    pub(super) fn has_room(&self) -> bool {
        self.live.saturating_add(self.foreign) < self.max_sessions
    }

    pub(super) fn hold(&mut self, now: TimestampMs) {
        self.held_until = Some(now.saturating_add(HOLD_MS));
    }

    /// The next run after the one that was served last.
    fn next_turn(&mut self) -> Option<RunId> {
        let after = self.served.map_or(Bound::Unbounded, Bound::Excluded);
        let next = self.hungry.range((after, Bound::Unbounded)).next().or_else(|| self.hungry.first());
        self.served = next.copied();
        self.served
    }

    fn grant_one(
        &mut self,
        id: RunId,
        host: HostInstance,
        now: TimestampMs,
        ids: &mut dyn IdSource,
    ) -> Result<(), Rejected> {
        let run = self.known(id)?;
        let Some(index) = run.index.next() else {
            self.touch(id);
            return Ok(());
        };
        let (spec, entry) = (run.spec(index), run.entry(index));
        let turn = Turn { now, actor: None, cause: None };
        let account = spec.account.clone();
        if let Some(until_ms) = self.account_holds(account.as_ref(), now) {
            return self.wait_for_account(id, account.as_deref().unwrap_or_default(), until_ms, &turn);
        }
        let grant = GrantRecord {
            task: spec.id.clone(),
            attempt: entry.attempts + 1,
            fence: entry.fence + 1,
            session: ids.session_id(now),
            node: self.node.clone(),
            host: Some(host),
            lease_ms: None,
            ahead: run.free_slots() == 0,
        };
        let attempt = attempt_id(run, index, grant.attempt);
        self.account_starts(account.as_ref(), &attempt, now);
        let effect = Effect::Grant { attempt, session: grant.session, fence: grant.fence };
        self.emit(id, EventBody::TaskAssigned(grant), &turn)?;
        self.effects.push(effect);
        self.touch(id);
        Ok(())
    }
}
