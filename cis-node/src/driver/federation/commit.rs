//! Tasks with `commit = "room"`: they are granted, and start, only when the room has what they build on.
//!
//! Owns what waits for that at this node. What the room has of its own runs is `Finality`'s matter; of the runs of others it is what
//! the store has, which was read from the room.

use std::collections::BTreeSet;

use super::super::Driver;
use super::Room;
use crate::account::boot_ms;
use crate::restore;
use cis_core::api::{FromWorker, Refusal};
use cis_core::dag::Commit;
use cis_core::event::ExecutionMode;
use cis_core::federation::commit::has_grant;
use cis_core::federation::finality::Finality;
use cis_core::federation::protocol::BootMs;
use cis_core::federation::protocol::message::Granted;
use cis_core::ids::{AttemptId, Fence, NodeDid, Offset, RunId, SessionId, TimestampMs};
use cis_core::scheduler::{Input, InputKind, Run};

/// A grant that this node does not find in the room for so long is given back, ms: another node may read the room sooner.
const WAIT_MAX_MS: BootMs = 600_000;

/// What a session waits for that does not begin before the room has its grant.
#[derive(Debug, Clone, Copy)]
pub(super) struct AwaitsGrant {
    since: BootMs,
    /// Where this node coordinates the run: its grant is in an event up to this one.
    upto: Option<Offset>,
}

/// A task that stays on the node that coordinates its run.
pub(super) struct HomeGrant {
    granted: Granted,
    session: SessionId,
    awaits: AwaitsGrant,
}

impl AwaitsGrant {
    fn new() -> Self {
        Self { since: boot_ms(), upto: None }
    }
}

impl Room {
    /// This node gives tasks of a run to the nodes of its room from now on.
    pub(super) fn begin(&mut self, run: RunId, epoch: u32, finality: Finality) {
        self.coordinator.begin(run, epoch);
        self.put_finality(run, finality);
    }

    /// Goes on from what was read of the run's journal before.
    pub(super) fn put_finality(&mut self, run: RunId, finality: Finality) {
        let read = self.read_own.get(&run).copied();
        self.finality.insert(run, finality);
        self.count_votes(boot_ms());
        if let (Some(read), Some(finality)) = (read, self.finality.get_mut(&run)) {
            finality.read_back(read);
        }
    }
}

impl Driver {
    /// Tasks of a run wait until everything that has happened in it is final.
    pub(in crate::driver) fn await_room(&mut self, run: RunId, number: u64, now: TimestampMs) {
        let Some(name) = self.parts.machine.run(&run).and_then(|run| run.facts().room.clone()) else {
            return;
        };
        // What its workers have is asked for first; then the scheduler asks anew.
        if self.parts.machine.holds_grants_of(run) {
            return;
        }
        self.coordinate(&name, run);
        let newest = self.newest_of(run);
        let room = self.federation.room(&name);
        if room.coordinator.is_sole() {
            self.handle(Input::internal(InputKind::RoomHas { run, number }), now);
            return;
        }
        if let Some(finality) = room.finality.get_mut(&run) {
            finality.awaits(newest, number);
        }
        self.parts.rooms.hurry(run);
        self.more_is_final(&name, run, now);
    }

    /// More of a run's journal was read.
    pub(super) fn more_is_final(&mut self, name: &str, run: RunId, now: TimestampMs) {
        let finality = self.federation.room(name).finality.get_mut(&run);
        if let Some(number) = finality.and_then(Finality::take_answered) {
            self.handle(Input::internal(InputKind::RoomHas { run, number }), now);
        }
        self.begin_waiting(Some(run), now);
    }

    /// Keeps a session from beginning before the room has its grant. Says whether it waits.
    pub(super) fn waits_for_room(&mut self, attempt: &AttemptId) -> bool {
        let Some(held) = self.federation.held.get(attempt).filter(|held| held.spec.commit) else {
            return false;
        };
        let (room, granted, mut awaits) =
            (held.room.clone(), held.granted.clone(), held.awaits.unwrap_or_else(AwaitsGrant::new));
        let is_there = self.has_room_grant(&room, &granted, &mut awaits);
        if let Some(held) = self.federation.held.get_mut(attempt) {
            held.awaits = (!is_there).then_some(awaits);
        }
        !is_there
    }

    /// The same for a task of the own run that stays on this node.
    pub(in crate::driver) fn waits_at_home(
        &mut self,
        attempt: &AttemptId,
        session: SessionId,
        fence: Fence,
    ) -> bool {
        let Some(run) = self.parts.machine.run(&attempt.run) else { return false };
        // Most tasks: nothing of them is looked up.
        if run.facts().mode != ExecutionMode::Matrix {
            return false;
        }
        let commits = run.task(&attempt.task).is_some_and(|(task, _)| task.commit == Commit::Room);
        let Some(room) = run.facts().room.clone().filter(|_| commits) else { return false };
        let (granted, mut awaits) = (Granted { attempt: attempt.clone(), fence }, AwaitsGrant::new());
        let is_there = self.has_room_grant(&room, &granted, &mut awaits);
        if !is_there {
            self.parts.rooms.hurry(granted.attempt.run);
            self.federation.at_home.push(HomeGrant { granted, session, awaits });
        }
        !is_there
    }

    /// Whether the room has a grant to this node, as far as this node knows, or no node could void it.
    fn has_room_grant(&mut self, name: &str, granted: &Granted, awaits: &mut AwaitsGrant) -> bool {
        let run = granted.attempt.run;
        let Some(room) = self.federation.rooms.get(name) else { return false };
        let leads = room.coordinator.epoch(run).is_some();
        let coordinator = if leads {
            Some(self.parts.did.clone())
        } else {
            room.worker.as_ref().and_then(|worker| worker.coordinator_of(run)).cloned()
        };
        if coordinator.is_some_and(|coordinator| self.is_only_voter(name, &coordinator)) {
            return true;
        }
        if !leads {
            awaits.upto = None;
            self.read_more_of(run);
            // What this node wrote itself, and others took over since, is not what the room has.
            return self.federation.read_of_others.get(&run).is_some_and(|(_, read)| {
                !self.parts.identity.is_or_was(&read.facts().owner) && self.is_granted_here(read, granted)
            });
        }
        if !self.parts.machine.run(&run).is_some_and(|known| self.is_granted_here(known, granted)) {
            awaits.upto = None;
            return false;
        }
        // A grant that is counted in this turn has no place in the store yet.
        if awaits.upto.is_none() && !self.turn.tells_of(run) {
            awaits.upto = Some(self.newest_of(run));
        }
        let finality = self.federation.rooms.get(name).and_then(|room| room.finality.get(&run));
        awaits.upto.is_some_and(|upto| finality.is_some_and(|finality| finality.is_final(upto)))
    }

    /// Whether a run has this grant to this node. It may name an earlier key of the node.
    fn is_granted_here(&self, run: &Run, granted: &Granted) -> bool {
        has_grant(run, granted, |node| self.parts.identity.is_or_was(node))
    }

    /// Reads a run of another node from the store, where that has more of it than before.
    fn read_more_of(&mut self, run: RunId) {
        let newest = self.newest_of(run);
        if self.federation.read_of_others.get(&run).is_some_and(|(upto, _)| *upto == newest) {
            return;
        }
        let agents = &self.parts.config.settings.agents;
        match restore::load_run(&self.parts.readers, &self.parts.blobs, agents, run) {
            Ok(read) => drop(self.federation.read_of_others.insert(run, (newest, read))),
            Err(_) => drop(self.federation.read_of_others.remove(&run)),
        }
    }

    /// Whether a room has no other node that could take a run over from this coordinator.
    fn is_only_voter(&self, name: &str, coordinator: &NodeDid) -> bool {
        let is_it = |voter: &NodeDid| {
            voter == coordinator
                || (self.parts.identity.is_or_was(voter) && self.parts.identity.is_or_was(coordinator))
        };
        self.parts.members.is_settled(name) && self.parts.members.voters(name).iter().all(is_it)
    }

    /// Begins what the room has the grants of by now; of all runs where none is named. What waits for too long is given back.
    pub(super) fn begin_waiting(&mut self, run: Option<RunId>, now: TimestampMs) {
        let is_of = |attempt: &AttemptId| run.is_none_or(|run| attempt.run == run);
        let held =
            self.federation.held.iter().filter(|(attempt, held)| held.awaits.is_some() && is_of(attempt));
        for attempt in held.map(|(attempt, _)| attempt.clone()).collect::<Vec<_>>() {
            if !self.waits_for_room(&attempt) {
                // A second check would ask about everything that has happened in the run since.
                self.begin_session(&attempt);
            } else if let Some(held) = self.federation.held.get_mut(&attempt)
                && held.awaits.is_some_and(|awaits| boot_ms().saturating_sub(awaits.since) >= WAIT_MAX_MS)
            {
                held.awaits = None;
                let fence = held.granted.fence;
                let detail =
                    "it did not find the grant in the room, as `commit = \"room\"` asks for".to_owned();
                let reason = Refusal::Resources { detail };
                self.parts.worker.said.push(FromWorker::Refused { attempt, fence, reason });
            }
        }
        for mut home in std::mem::take(&mut self.federation.at_home) {
            let Granted { attempt, fence } = home.granted.clone();
            let room = self.parts.machine.run(&attempt.run).and_then(|run| run.facts().room.clone());
            let Some(room) = room else { continue };
            if is_of(&attempt) && self.has_room_grant(&room, &home.granted, &mut home.awaits) {
                self.grant_at_home(attempt, home.session, fence, now);
            } else {
                self.federation.at_home.push(home);
            }
        }
        let held = self.federation.held.values().filter(|held| held.awaits.is_some());
        let waiting: BTreeSet<RunId> = held.map(|held| held.granted.attempt.run).collect();
        self.federation.read_of_others.retain(|run, _| waiting.contains(run));
    }

    /// Ends an attempt that waits for its grant to be in the room. Gives whether there was one.
    pub(super) fn stop_awaiting(&mut self, granted: &Granted, now: TimestampMs) -> bool {
        if !self.awaits_no_more(granted) {
            return false;
        }
        self.cancelled_before_start(granted.clone(), now);
        true
    }

    /// The same for a task of the own run that stays on this node.
    pub(in crate::driver) fn stop_at_home(
        &mut self,
        attempt: &AttemptId,
        fence: Fence,
        now: TimestampMs,
    ) -> bool {
        let before = self.federation.at_home.len();
        self.federation
            .at_home
            .retain(|home| home.granted.attempt != *attempt || home.granted.fence != fence);
        if self.federation.at_home.len() == before {
            return false;
        }
        self.cancelled_before_start(Granted { attempt: attempt.clone(), fence }, now);
        true
    }

    /// The lease of an attempt ended before the room had its grant: it is given back. Says whether that was so.
    pub(super) fn give_back_awaiting(&mut self, granted: &Granted) -> bool {
        if !self.awaits_no_more(granted) {
            return false;
        }
        let Granted { attempt, fence } = granted.clone();
        self.parts.worker.said.push(FromWorker::Refused {
            attempt,
            fence,
            reason: Refusal::Withdrawn { full: false },
        });
        true
    }

    fn awaits_no_more(&mut self, granted: &Granted) -> bool {
        let held = self.federation.held.get_mut(&granted.attempt).filter(|held| held.granted == *granted);
        held.is_some_and(|held| held.awaits.take().is_some())
    }

    /// What this node knew of its own journal of a run is not what counts.
    pub(super) fn forget_own_journal(&mut self, run: RunId) {
        for room in self.federation.rooms.values_mut() {
            room.read_own.remove(&run);
        }
        self.federation.at_home.retain(|home| home.granted.attempt.run != run);
        for held in self.federation.held.values_mut().filter(|held| held.granted.attempt.run == run) {
            if let Some(awaits) = &mut held.awaits {
                awaits.upto = None;
            }
        }
    }
}
