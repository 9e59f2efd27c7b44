//! What follows for the runs that this node coordinates: the coordinator's half and the scheduler.

use super::super::Driver;
use super::super::spec::{Moment, complete, slots};
use super::secrets::seal;
use crate::account::boot_ms;
use crate::restore;
use cis_core::api::{FromWorker, Refusal, Report, TaskSpec};
use cis_core::dag::Commit;
use cis_core::event::{AttemptOutcome, FailureCause};
use cis_core::federation::direct::{Progress, RemoteSpec, TaskPayload};
use cis_core::federation::finality::Finality;
use cis_core::federation::lead;
use cis_core::federation::protocol::coordinator::{Awaits, Effect};
use cis_core::federation::protocol::message::{Grant, Granted};
use cis_core::identity::Right;
use cis_core::ids::{AttemptId, Fence, NodeDid, RunId, SessionId, TimestampMs};
use cis_core::scheduler::placement::NodeOffer;
use cis_core::scheduler::{Input, InputKind};
use cis_core::text::duration;

/// A specification that is larger does not go to another node, bytes of JSON.
const SPEC_BYTES_MAX: usize = 1 << 20;

/// So many nodes, or sessions, are named in one sentence.
const NAMED_MAX: usize = 3;

impl Driver {
    /// Gives an attempt to a node of the run's room.
    pub(in crate::driver) fn grant_in_room(
        &mut self,
        attempt: AttemptId,
        session: SessionId,
        fence: Fence,
        node: NodeDid,
        now: TimestampMs,
    ) {
        let Some(run) = self.parts.machine.run(&attempt.run) else { return };
        let Some(room) = run.facts().room.clone() else { return };
        let (workdir, slots) = (run.facts().workdir.clone(), slots(run));
        let completed = complete(run, &attempt, &self.parts.home, &self.parts.blobs, Moment::Start);
        let granted = Granted { attempt, fence };
        let grant = completed.and_then(|spec| {
            let lookup = self.lookup_of(&granted.attempt, &spec, &room);
            let grant = self.grant_of(&granted, session, spec, (&room, &node), (&workdir, slots));
            let grant = grant.map_err(|why| format!("the task cannot run with --matrix: {why}"))?;
            Ok((grant, lookup))
        });
        match grant {
            Ok(grant) => {
                let Some(grant) = self.give_files(&room, &node, grant, now) else { return };
                self.coordinate(&room, grant.granted.attempt.run);
                if grant.spec.commit && !self.federation.room(&room).coordinator.is_sole() {
                    // Its worker waits until the room has it.
                    self.parts.rooms.hurry(grant.granted.attempt.run);
                }
                self.give_to(&room, node, grant, now);
            }
            Err(detail) => {
                let outcome = AttemptOutcome::Failed { cause: FailureCause::Input { detail } };
                let report = Box::new(Report::bare(outcome, None, now));
                let Granted { attempt, fence } = granted;
                self.parts.worker.said.push(FromWorker::Result { attempt, fence, report });
            }
        }
    }

    /// Grants an attempt to a node of a room. Queues the attempt again if the node may not execute tasks there any more: rights change
    /// before the driver hears of it, and nobody takes the result of a node without the right.
    pub(super) fn give_to(&mut self, room: &str, node: NodeDid, grant: Grant<RemoteSpec>, now: TimestampMs) {
        let is_own = self.parts.identity.is_or_was(&node);
        if is_own || self.parts.members.may(room, &node, Right::Execute) {
            self.federation.room(room).coordinator.grant(node, grant, boot_ms());
            return;
        }
        // Otherwise the scheduler would grant it there again.
        self.offers_follow_rights(room, now);
        let Granted { attempt, fence } = grant.granted;
        let reason = Refusal::Withdrawn { full: false };
        self.parts.worker.said.push(FromWorker::Refused { attempt, fence, reason });
    }

    /// Returns what a node of a room gets of a complete specification.
    fn grant_of(
        &mut self,
        granted: &Granted,
        session: SessionId,
        spec: TaskSpec,
        (room, node): (&str, &NodeDid),
        (workdir, slots): (&str, u32),
    ) -> Result<Grant<RemoteSpec>, String> {
        let secrets = self.secrets_for(&granted.attempt, &spec, room, node)?;
        let run = self.parts.machine.run(&granted.attempt.run);
        let task = run.and_then(|run| run.task(&granted.attempt.task)).map(|(task, _)| task);
        let tags = task.and_then(|task| task.placement.as_deref()).map(|placement| placement.tags.clone());
        let commit = task.is_some_and(|task| task.commit == Commit::Room);
        let spec = RemoteSpec::of(spec, workdir, slots, tags.unwrap_or_default());
        let spec = RemoteSpec { commit, ..spec.map_err(|error| error.to_string())? };
        let mut grant = Grant { granted: granted.clone(), session, spec };
        if let Some(secrets) = secrets {
            seal(&mut grant, secrets, node)?;
        }
        let size = serde_json::to_vec(&grant.spec).map_err(|error| error.to_string())?.len();
        if size > SPEC_BYTES_MAX {
            return Err(format!(
                "its script, prompt and values have {size} bytes, and at most 1 MiB goes to another node"
            ));
        }
        Ok(grant)
    }

    /// This node gives attempts of a run to the nodes of its room from now on.
    pub(super) fn coordinate(&mut self, room: &str, run: RunId) {
        let Some(epoch) = self.parts.machine.run(&run).map(|run| run.facts().epoch) else { return };
        if self.federation.room(room).coordinator.epoch(run).is_none() {
            let published = restore::published(&self.parts.readers, run);
            self.federation.room(room).begin(run, epoch, Finality::since(0, published));
        }
    }

    /// Ends an attempt on the node that has it.
    pub(in crate::driver) fn cancel_in_room(
        &mut self,
        attempt: AttemptId,
        fence: Fence,
        grace_ms: u64,
        keep: bool,
    ) {
        if let Some((_, room)) = self.federation.room_of(attempt.run) {
            room.coordinator.cancel(&Granted { attempt, fence }, grace_ms, keep, boot_ms());
        }
    }

    /// Sends what was granted or cancelled in this turn.
    pub(in crate::driver) fn offer_grants(&mut self, now: TimestampMs) {
        self.lead_new(now);
        // What was started in this turn needs its places.
        self.share_groups(now);
        for room in self.federation.rooms.keys().cloned().collect::<Vec<_>>() {
            let mut out = Vec::new();
            self.federation.room(&room).coordinator.tick(boot_ms(), &mut out);
            self.lead(&room, out, now);
        }
    }

    /// What follows for the runs that this node coordinates.
    pub(super) fn lead(&mut self, room: &str, effects: Vec<Effect<TaskPayload>>, now: TimestampMs) {
        for effect in effects {
            match effect {
                Effect::Send { to, message } => self.send(room, to, message, now),
                Effect::Status { worker, mut status } => {
                    self.federation.room(room).absent.heard(&worker, boot_ms());
                    if self.parts.identity.is_or_was(&worker) {
                        // Its own runs use any of its agents.
                        status.agents = self.agents_at_hand(now);
                        // What stays on this machine has a line of its own at the session host.
                        status.ahead = None;
                    }
                    status.draining |= self.federation.twin_in.is_some();
                    self.apply_membership(room, &worker, &mut status);
                    let offer =
                        InputKind::NodeOffer { room: room.to_owned(), node: worker, offer: Some(status) };
                    self.handle(Input::internal(offer), now);
                }
                Effect::Silent(worker) => {
                    let gone = InputKind::NodeOffer { room: room.to_owned(), node: worker, offer: None };
                    self.handle(Input::internal(gone), now);
                }
                found @ Effect::Found { .. } => self.adopt(room, found, now),
                Effect::Progress { granted, first, progress } => {
                    let next = first.saturating_add(u32::try_from(progress.len()).unwrap_or(u32::MAX));
                    for progress in progress {
                        if let Some(kind) = lead::of_progress(&granted, &progress) {
                            self.handle(Input::internal(kind), now);
                        } else if let Progress::Session { news } = progress {
                            self.hear_news(room, &granted, news, now);
                        }
                    }
                    self.note_progress(room, &granted, next, now);
                }
                other => {
                    if let Effect::Lost(granted) = &other {
                        self.lost_with_worker(room, granted);
                    }
                    for mut kind in lead::inputs(&other) {
                        let mut kept = None;
                        if let InputKind::Worker(FromWorker::Result { attempt, fence, report }) = &mut kind {
                            let granted = Granted { attempt: attempt.clone(), fence: *fence };
                            self.open_outputs(&granted, report);
                            kept = self.entry_of(&granted, report, now).map(|entry| (granted, entry));
                        }
                        self.handle(Input::internal(kind), now);
                        if let Some((granted, entry)) = kept {
                            self.keep_entry(&granted, entry);
                        }
                    }
                }
            }
        }
    }

    /// What the tasks of a run wait for before this node knows what workers have of it, and for how long at most. None: for nothing of that.
    pub(in crate::driver) fn why_held(&self, run: RunId) -> Option<String> {
        let mut rooms = self.federation.rooms.iter();
        let (name, awaits) = rooms.find_map(|(name, room)| Some((name, room.coordinator.awaits(run)?)))?;
        let Awaits { silent, void, until } = awaits;
        let label = |did: &NodeDid| self.parts.members.name_of(name, did).unwrap_or_else(|| did.to_string());
        let first = if !silent.is_empty() {
            format!("it knows what these nodes have of the run: {}", some_of(silent.iter().map(label)))
        } else if !void.is_empty() {
            let sessions = void
                .iter()
                .map(|(granted, worker)| format!("`{}` on node {}", granted.attempt.task, label(worker)));
            format!("sessions have ended that do not count after the takeover: {}", some_of(sessions))
        } else {
            return None;
        };
        let left = duration(u64::try_from(until.saturating_sub(boot_ms())).unwrap_or(0));
        Some(format!(
            "This node grants no task of the run before {first}. It waits for that for {left} at most: all leases that were given before are over then."
        ))
    }

    /// Adds to an offer what the owners of the room say of the node.
    fn apply_membership(&self, room: &str, worker: &NodeDid, offer: &mut NodeOffer) {
        offer.only = self.parts.members.tags_of(room, worker);
        offer.is_named = self.parts.identity.is_or_was(worker);
        if let Some(name) = self.parts.members.name_of(room, worker) {
            (offer.name, offer.is_named) = (name, true);
        }
    }

    /// Rights changed: nodes that lost theirs get no new tasks from now on, and limits to tags hold, before these nodes say anything.
    pub(super) fn offers_follow_rights(&mut self, room: &str, now: TimestampMs) {
        let known: Vec<(NodeDid, NodeOffer)> =
            self.parts.machine.offers_in(room).map(|(node, offer)| (node.clone(), offer.clone())).collect();
        for (node, before) in known {
            if self.parts.identity.is_or_was(&node) {
                continue;
            }
            let offer = self.parts.members.may(room, &node, Right::Execute).then(|| {
                let mut offer = before.clone();
                self.apply_membership(room, &node, &mut offer);
                offer
            });
            if offer.as_ref() != Some(&before) {
                let changed = InputKind::NodeOffer { room: room.to_owned(), node, offer };
                self.handle(Input::internal(changed), now);
            }
        }
    }

    /// Tells a worker, once it is durable, which progress it need not keep for this node.
    fn note_progress(&mut self, room: &str, granted: &Granted, next: u32, now: TimestampMs) {
        let mut out = Vec::new();
        self.federation.room(room).coordinator.noted(granted, next, &mut out);
        for effect in out {
            match effect {
                Effect::Send { to, message } => self.send_durable(room, to, message, now),
                other => self.lead(room, vec![other], now),
            }
        }
    }

    /// Counts what a worker has and the store does not tell, where it can.
    fn adopt(&mut self, room: &str, found: Effect<TaskPayload>, now: TimestampMs) {
        let mut adopted = false;
        for mut kind in lead::inputs(&found) {
            if let InputKind::Adopt { grant, member, .. } = &mut kind {
                let announced = self.parts.shared.announced().remove(room).unwrap_or_default();
                let known = announced.get(&grant.node).map(|announced| announced.name.clone());
                member.name = known.unwrap_or_default();
                self.apply_membership(room, &grant.node, member);
            }
            adopted = self.give(Input::internal(kind), now).is_ok();
        }
        self.collect();
        let Effect::Found { worker, record, .. } = found else { return };
        let known = self.federation.room(room);
        let finality = known.finality.get_mut(&record.granted.attempt.run);
        let mut out = Vec::new();
        lead::found(&mut known.coordinator, finality, (&record, &worker), adopted, boot_ms(), &mut out);
        // It may be in a group of the room: it goes on when it has a place there.
        self.share_groups_of(room, now);
        self.lead(room, out, now);
    }
}

/// The first ones of a list, and how many more there are.
fn some_of(names: impl ExactSizeIterator<Item = String>) -> String {
    let more = names.len().saturating_sub(NAMED_MAX);
    let mut named: Vec<String> = names.take(NAMED_MAX).collect();
    if more > 0 {
        named.push(format!("{more} more"));
    }
    named.join(", ")
}
