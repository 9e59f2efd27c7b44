//! Who coordinates which run of a room, as its journals tell it: takeovers by this node and of its runs.
//!
//! Owns what is known of the journals of others' open runs, and when they are to be taken over. Whether a takeover counts is the journal's
//! matter; it is known when it was read back.

use std::collections::{BTreeMap, BTreeSet};

use super::super::Driver;
use super::Room;
use super::directories::remove_if_empty;
use crate::account::boot_ms;
use crate::commands::{Head, Reply, TAKEOVER_TIME_MAX};
use crate::restore;
use crate::room_waker::{ChosenBy, Claim};
use crate::wrong::Wrong;
use cis_core::api::{Problem, ProblemKind, RoomWrite, ToWorker, Worker as _};
use cis_core::event::{EventBody, EventDraft};
use cis_core::federation::journal::Position;
use cis_core::federation::protocol::groups::Term;
use cis_core::federation::protocol::suspicion::Suspicion;
use cis_core::federation::protocol::{BootMs, Settings};
use cis_core::federation::recovery::{Extent, Fork};
use cis_core::ids::{Epoch, NodeDid, RunId, TimestampMs};
use cis_core::scheduler::LiveAttempt;

/// So many runs that ended are remembered.
const ENDED_MAX: usize = 256;

/// See the module.
pub(super) struct Terms {
    settings: Settings,
    suspicion: Suspicion,
    /// Open runs of others, as far as their journals were read.
    heads: BTreeMap<RunId, Head>,
    /// The same of runs that ended lately.
    ended: BTreeMap<RunId, (Position, NodeDid)>,
    /// The other nodes that may coordinate in the room.
    others: Vec<NodeDid>,
    /// This node's place among all that may; none: it is not one of them.
    rank: Option<usize>,
    /// It takes runs over by itself.
    takes_over: bool,
    /// The homeserver does not answer: nobody can be heard.
    is_deaf: bool,
    alive_at: BootMs,
    /// Takeovers that this node wrote: after which entry, and when. Written again, such an entry is the same one.
    claimed: BTreeMap<RunId, (Position, ChosenBy, TimestampMs)>,
    /// Takeovers that a person waits for, by the order of the timeline: which term they begin, and until when.
    asked_for: BTreeMap<RunId, (Epoch, BootMs)>,
    /// What was read while nothing could be written here.
    put_off: Vec<Head>,
    /// How often the room was read to its end.
    readings: u64,
    /// Runs without a head that a person wanted to take over, and how often the room had been read then.
    wanted: BTreeMap<RunId, u64>,
}

/// The other coordinators that come before a node with this place among all.
fn before(others: &[NodeDid], rank: Option<usize>) -> Option<&[NodeDid]> {
    rank.map(|rank| others.get(..rank).unwrap_or(others))
}

impl Terms {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            suspicion: Suspicion::new(settings),
            heads: BTreeMap::new(),
            ended: BTreeMap::new(),
            others: Vec::new(),
            rank: None,
            takes_over: false,
            is_deaf: true,
            alive_at: 0,
            claimed: BTreeMap::new(),
            asked_for: BTreeMap::new(),
            put_off: Vec::new(),
            readings: 0,
            wanted: BTreeMap::new(),
        }
    }

    /// Says who else may coordinate in the room, this node's place among all, and whether it takes runs over by itself.
    pub(super) fn vote(&mut self, others: Vec<NodeDid>, rank: Option<usize>, takes_over: bool) {
        (self.others, self.rank, self.takes_over) = (others, rank, takes_over);
    }

    /// Of the other coordinators these use other homeservers.
    pub(super) fn set_far(&mut self, far: BTreeSet<NodeDid>) {
        self.suspicion.set_far(far);
    }

    /// Runs that wait for a person, as no node takes them over by itself.
    pub(super) fn stranded(&self, now: BootMs) -> Vec<(RunId, NodeDid)> {
        let Some(before) = before(&self.others, self.active_rank()) else { return Vec::new() };
        self.suspicion.stranded(before, now).map(|(run, by)| (run, by.clone())).collect()
    }

    /// Runs whose coordinators were not heard for so long, ms, although this node can hear others.
    pub(super) fn unheard(&self, for_ms: i64, now: BootMs) -> Vec<(RunId, NodeDid)> {
        if self.active_rank().is_none() {
            return Vec::new();
        }
        self.suspicion.unheard(for_ms, now).map(|(run, by)| (run, by.clone())).collect()
    }

    /// Its place, where it takes runs over now.
    fn active_rank(&self) -> Option<usize> {
        self.rank.filter(|_| self.takes_over && !self.is_deaf)
    }

    /// Whether its takeovers count, and it reads whether they do.
    fn may_take_over(&self) -> bool {
        self.rank.is_some() && !self.is_deaf
    }

    /// A run of others ended. Its coordinator still asks who has read that.
    fn ended(&mut self, head: &Head) {
        self.ended.insert(head.run, (head.at, head.by.clone()));
        if self.ended.len() > ENDED_MAX {
            self.ended.pop_first();
        }
    }

    /// The newest entry of a run of others that counts, and who wrote it; also of one that ended lately.
    pub(super) fn newest(&self, run: RunId) -> Option<(Position, &NodeDid)> {
        let open = self.heads.get(&run).map(|head| (head.at, &head.by));
        open.or_else(|| self.ended.get(&run).map(|(at, by)| (*at, by)))
    }

    /// A run of others, as far as its journal was read.
    pub(super) fn head(&self, run: RunId) -> Option<&Head> {
        self.heads.get(&run)
    }

    /// The other nodes that may coordinate.
    pub(super) fn others(&self) -> Vec<NodeDid> {
        self.others.clone()
    }

    /// This node takes a run over.
    pub(super) fn claims(&mut self, run: RunId, now: BootMs) {
        self.suspicion.claims(run, now);
    }

    /// Whether the coordinator of a run uses another homeserver.
    fn is_far(&self, run: RunId) -> bool {
        self.heads.get(&run).is_some_and(|head| self.suspicion.is_far(&head.by))
    }

    /// Whether the coordinator of a run is silent, as far as this node can hear anybody.
    pub(super) fn is_silent(&self, run: RunId, now: BootMs) -> bool {
        !self.is_deaf && self.suspicion.is_silent(run, now)
    }

    /// A coordinator cannot go on with these of its runs.
    pub(super) fn gives_up(&mut self, coordinator: &NodeDid, lost: &[RunId]) {
        self.suspicion.gives_up(coordinator, lost);
    }

    /// Whether the homeserver does not answer.
    pub(super) fn is_deaf(&self) -> bool {
        self.is_deaf
    }

    /// Another coordinator is there.
    pub(super) fn heard(&mut self, coordinator: &NodeDid, now: BootMs) {
        self.suspicion.heard(coordinator, now);
    }

    /// A run ended, is coordinated by this node, or cannot be read.
    fn forget(&mut self, run: RunId) {
        self.suspicion.forget(run);
        self.claimed.remove(&run);
        self.asked_for.remove(&run);
        self.wanted.remove(&run);
        self.heads.remove(&run);
    }

    /// Whether a run that the store has, and that a person wants to take over, may still come to be known here. What is read of a room is
    /// in the store first, and is told here with the whole reading.
    fn is_unread(&mut self, run: RunId) -> bool {
        if self.is_deaf || self.rank.is_none() {
            return true;
        }
        if self.heads.contains_key(&run) {
            return false;
        }
        let wanted_at = *self.wanted.entry(run).or_insert(self.readings);
        if wanted_at < self.readings {
            self.wanted.remove(&run);
        }
        wanted_at == self.readings
    }

    /// The term of a takeover that a person waits for, if the coordinator wrote more after the entry that the takeover names: it does not
    /// count then.
    fn outrun(&self, run: RunId, now: BootMs) -> Option<Epoch> {
        let (head, (claimed, ..)) = (self.heads.get(&run)?, self.claimed.get(&run)?);
        let (epoch, _) = self.asked_for.get(&run).filter(|(_, until)| *until > now)?;
        (head.at.epoch + 1 == *epoch && head.at != *claimed).then_some(*epoch)
    }

    /// When another coordinator gave its newest sign of life.
    pub(super) fn heard_at(&self, coordinator: &NodeDid) -> Option<BootMs> {
        self.suspicion.heard_at(coordinator)
    }

    /// The node that began a run of others, as its journal says.
    pub(super) fn submitter_of(&self, run: RunId) -> Option<&NodeDid> {
        self.heads.get(&run).map(|head| &head.writer)
    }

    pub(super) fn poll_timeout(&self) -> Option<BootMs> {
        let before = before(&self.others, self.active_rank());
        let suspects = self.may_take_over().then(|| self.suspicion.poll_timeout(before)).flatten();
        let tells = (!self.others.is_empty() && self.alive_at > 0).then_some(self.alive_at);
        [suspects, tells].into_iter().flatten().min()
    }

    /// Whether the others are to be told that this coordinator is there.
    fn is_alive_due(&mut self, coordinates: bool, now: BootMs) -> bool {
        if !coordinates {
            self.alive_at = 0;
        } else if self.alive_at <= now {
            self.alive_at = now + self.settings.alive_ms;
            return true;
        }
        false
    }
}

impl Driver {
    /// Does what is due about who coordinates what.
    pub(super) fn watch_terms(&mut self, name: &str, boot: BootMs, now: TimestampMs) {
        let takes_back = !self.parts.machine.is_paused() && !self.federation.draining;
        let room = self.federation.room(name);
        let coordinates = room.coordinator.coordinates();
        if room.terms.is_alive_due(coordinates, boot) {
            let mut ended = Vec::new();
            for run in room.coordinator.quiet_runs() {
                let Some(epoch) = room.coordinator.epoch(run) else { continue };
                if self.parts.machine.run(&run).is_none() {
                    // It ended, and its workers know that.
                    room.coordinator.leave(run);
                    room.finality.remove(&run);
                    room.read_own.remove(&run);
                    room.by_person.remove(&run);
                    ended.push((run, epoch));
                }
            }
            for (run, epoch) in ended {
                self.forget_votes(name, run, epoch);
            }
            self.say_alive(name, boot, now);
        }
        let terms = &mut self.federation.room(name).terms;
        if !terms.may_take_over() {
            return;
        }
        terms.suspicion.set_takes_back(takes_back);
        let before = before(&terms.others, terms.active_rank());
        for (run, epoch) in terms.suspicion.due(before, boot) {
            // What ran here as a task of this node is ended first: it would count as one that was cancelled.
            if self.has_own_sessions(run) && self.is_wanted(name, run) {
                continue;
            }
            if self.federation.room(name).voters.decide() {
                self.stand(name, run, now);
            } else {
                self.federation.room(name).terms.claims(run, boot);
                self.claim(name, run, (epoch, ChosenBy::Timeline), now);
            }
        }
    }

    /// Whether sessions of a run are here that no coordinator of a room gave.
    fn has_own_sessions(&self, run: RunId) -> bool {
        let of_run = self.federation.held.values().filter(|held| held.granted.attempt.run == run);
        let held: Vec<_> = of_run.map(|held| held.session).collect();
        self.parts.worker.sessions_of(run).iter().any(|session| !held.contains(session))
    }

    /// Whether a run waits until this node coordinates it again.
    fn is_wanted(&self, room: &str, run: RunId) -> bool {
        let head = self.federation.rooms.get(room).and_then(|room| room.terms.heads.get(&run));
        head.is_some_and(|head| head.is_wanted)
    }

    /// Writes into a run's journal that this node coordinates it from now on. It does so once that was read back.
    pub(super) fn claim(
        &mut self,
        room: &str,
        run: RunId,
        (epoch, chosen_by): (Epoch, ChosenBy),
        now: TimestampMs,
    ) -> bool {
        let terms = &mut self.federation.room(room).terms;
        if terms.rank.is_none() {
            return false;
        }
        let Some(head) = terms.heads.get(&run).filter(|head| head.at.epoch + 1 == epoch) else {
            return false;
        };
        let (cut, lost, at_ms) = match chosen_by {
            // The entry is the same one each time, and counts whatever is missing.
            ChosenBy::Votes(mandate) => (mandate.after, false, mandate.at_ms),
            ChosenBy::Timeline | ChosenBy::Person => {
                let known = terms.claimed.get(&run).filter(|(at, by, _)| (*at, *by) == (head.at, chosen_by));
                (head.at, head.extent == Extent::Part, known.map_or(now, |(.., at_ms)| *at_ms))
            }
        };
        match head.extent {
            Extent::Whole => {
                tracing::info!(%run, epoch, of = %head.by, ?chosen_by, "this node takes a run over")
            }
            Extent::Part => tracing::warn!(
                %run, epoch, of = %head.by, after = head.at.n, ?chosen_by,
                "this node takes a run over without what followed in its journal, which is missing"
            ),
            Extent::Unknown => return false,
        }
        let claim = Claim { room: room.to_owned(), run, cut, chosen_by, lost, at_ms };
        terms.claimed.insert(run, (cut, chosen_by, at_ms));
        let rooms = self.parts.rooms.clone();
        // A mandate is durable before it is used.
        self.turn.confirm_by(Box::new(move |durable| {
            if durable.is_ok() {
                rooms.claim(claim);
            }
        }));
        true
    }

    /// What `cis node status` says of runs that only a person can continue.
    pub(in crate::driver) fn stranded_warnings(&self) -> impl Iterator<Item = String> {
        let rooms = self.federation.rooms.iter();
        rooms.flat_map(|(room, of)| of.terms.stranded(boot_ms()).into_iter().map(move |at| (room, at))).map(
            |(room, (run, by))| {
                format!(
                    "run {run} of room {room} is coordinated by {by}, which is not heard. That node uses another homeserver, which may only be cut off from this one: so no node takes the run over by itself. If it is gone for good: cis dag takeover {run} --force"
                )
            },
        )
    }

    /// Takes a run over because a person says so. `room`: whose nodes share its tasks, if the store has it as an open run.
    pub(in crate::driver) fn take_over(
        &mut self,
        run: RunId,
        room: Option<&str>,
        reply: Reply<()>,
        now: TimestampMs,
    ) {
        let answer = if self.claim_for_person(run, now) {
            Ok(())
        } else if let Some(room) = room.filter(|room| self.still_reads(room, run)) {
            let detail = format!("run {run} cannot be taken over yet: this node still reads room {room}");
            let problem = Problem::new(ProblemKind::Unavailable, detail).hint(
                "send the request again in a moment; `cis node status` says if the room cannot be read",
            );
            Err(Problem { not_ready: true, ..problem })
        } else {
            let detail = format!(
                "run {run} cannot be taken over: this node does not read all of it in a room whose owners let it coordinate"
            );
            Err(Problem::new(ProblemKind::Conflict, detail).hint(
                "it has to be an open run with --matrix; `cis node list` shows what this node may do, and an owner changes that: `cis identity trust DID --room ROOM --may coordinate`",
            ))
        };
        let _ = reply.send(answer);
    }

    /// Whether a run of a room is not known here only because the room was not read to its end.
    fn still_reads(&mut self, name: &str, run: RunId) -> bool {
        let members = &self.parts.members;
        let (is_settled, may_coordinate) = (members.is_settled(name), members.rank(name).is_some());
        let Some(room) = self.federation.rooms.get_mut(name) else { return false };
        !is_settled || (may_coordinate && room.terms.is_unread(run))
    }

    /// Writes a takeover, if the run is known.
    fn claim_for_person(&mut self, run: RunId, now: TimestampMs) -> bool {
        let known = self.federation.rooms.iter().find_map(|(name, room)| {
            let head = room.terms.heads.get(&run)?;
            Some((name.clone(), head.at.epoch + 1))
        });
        known.is_some_and(|(room, epoch)| {
            let of = self.federation.room(&room);
            let has_timelines = of.voters.decide() || of.terms.is_far(run);
            let chosen_by = if has_timelines { ChosenBy::Person } else { ChosenBy::Timeline };
            let is_claimed = self.claim(&room, run, (epoch, chosen_by), now);
            if is_claimed && !has_timelines {
                let patience = BootMs::try_from(TAKEOVER_TIME_MAX.as_millis()).unwrap_or(BootMs::MAX);
                let until = boot_ms().saturating_add(patience);
                self.federation.room(&room).terms.asked_for.insert(run, (epoch, until));
            }
            is_claimed
        })
    }

    /// Forgets what the own worker knew of runs of a room that are over, and removes the directories of their tasks, which are empty by then.
    pub(super) fn forget_over(&mut self, name: &str) {
        let Some(Room { coordinator, terms, worker: Some(worker), .. }) = self.federation.rooms.get_mut(name)
        else {
            return;
        };
        // What is not read may say that a run goes on.
        if terms.is_deaf {
            return;
        }
        let is_open = |run: RunId| coordinator.epoch(run).is_some() || terms.heads.contains_key(&run);
        for run in worker.forget_terms(is_open) {
            remove_if_empty(&self.parts.home.remote().join(run.to_string()));
        }
    }

    /// The homeserver does not answer.
    pub(in crate::driver) fn rooms_away(&mut self) {
        for room in self.federation.rooms.values_mut() {
            room.terms.is_deaf = true;
            room.coordinator.hears_nobody();
            if let Some(groups) = &mut room.groups {
                groups.hears_nobody();
            }
        }
    }

    /// All that was in a room at `at` was read, with what is new of its runs.
    pub(in crate::driver) fn room_read(
        &mut self,
        name: &str,
        at: BootMs,
        (heads, term): (Vec<Head>, Option<Term>),
        now: TimestampMs,
    ) {
        if !self.federation.rooms.contains_key(name) {
            return;
        }
        let put_off = std::mem::take(&mut self.federation.room(name).terms.put_off);
        for head in put_off.into_iter().chain(heads) {
            self.head_read(name, head, now);
        }
        self.federation.room(name).terms.readings += 1;
        let read_after = self.federation.read_after;
        let room = self.federation.room(name);
        if std::mem::take(&mut room.terms.is_deaf) {
            room.terms.suspicion.hears_again(boot_ms());
            room.coordinator.hears_again(boot_ms());
        }
        if at >= read_after {
            room.coordinator.witnessed(at);
        }
        self.recover_runs(name, now);
        self.groups_read(name, term.as_ref(), at, now);
        self.federate(now);
    }

    /// The same while nothing can be written: it counts later.
    pub(in crate::driver) fn put_off_read(&mut self, name: &str, heads: Vec<Head>) {
        if let Some(room) = self.federation.rooms.get_mut(name) {
            heads.into_iter().for_each(|head| head.put_into(&mut room.terms.put_off));
        }
    }

    fn head_read(&mut self, name: &str, head: Head, now: TimestampMs) {
        let run = head.run;
        self.take_head(name, head, now);
        self.more_is_final(name, run, now);
    }

    fn take_head(&mut self, name: &str, head: Head, now: TimestampMs) {
        let (boot, own) = (boot_ms(), self.parts.identity.is_or_was(&head.by));
        let room = self.federation.room(name);
        if own && head.is_ours && self.parts.machine.run(&head.run).is_some() {
            room.read_own.insert(head.run, head.at);
        }
        let led = room.coordinator.epoch(head.run);
        let Head { run, at, .. } = head;
        let epoch = at.epoch;
        if own && led == Some(epoch) {
            // What this node reads itself does not count where it promised the run to another one.
            let follows = room.voters.follows_itself(run, epoch);
            let finality = room.finality.get_mut(&run).filter(|_| follows);
            let finals = finality.map(|finality| finality.read_back(at)).unwrap_or_default();
            finals.iter().for_each(|(granted, worker)| self.is_final(name, granted, worker, now));
        } else if own && led.is_none() && head.begins {
            // What stands in the store was read from the room.
            self.federation.room(name).read_own.insert(run, at);
            self.lead_on(head, name, now);
        } else if head.is_ours {
            // It ended, or cannot be read.
        } else {
            let counts = self.parts.members.may_submit(name, &head.writer);
            let holds = self.federation.held.keys().any(|attempt| attempt.run == run);
            let room = self.federation.room(name);
            // Of a run that ended, too, its last coordinator says what need not be kept.
            if let Some(worker) = room.worker.as_mut().filter(|_| counts && (head.is_open || holds)) {
                worker.enters(run, epoch, &head.by);
            }
            if head.is_open && counts {
                room.terms.suspicion.watch(run, epoch, &head.by, boot);
                room.terms.suspicion.reads(run, head.extent, boot);
                room.terms.suspicion.wants(run, head.is_wanted);
                room.terms.heads.insert(run, head);
                if let Some(epoch) = room.terms.outrun(run, boot) {
                    self.claim(name, run, (epoch, ChosenBy::Timeline), now);
                }
            } else {
                room.terms.forget(run);
                if room.voters.decide() {
                    room.terms.ended(&head);
                }
                self.forget_votes(name, run, epoch);
            }
        }
    }

    /// This node coordinates a run from now on that another one did.
    fn lead_on(&mut self, head: Head, name: &str, now: TimestampMs) {
        let run = head.run;
        let room = self.federation.room(name);
        room.terms.forget(run);
        let agents = &self.parts.config.settings.agents;
        match restore::load_run(&self.parts.readers, &self.parts.blobs, agents, run) {
            Ok(mut folded) => {
                let epoch = folded.facts().epoch;
                if folded.facts().is_foreign() && self.parts.identity.is_or_was(&head.writer) {
                    folded.forget_submitter();
                }
                let is_over = folded.state().is_terminal();
                self.parts.machine.restore(folded);
                if !is_over {
                    tracing::info!(%run, epoch, "this node coordinates a run of another one from now on");
                    self.go_on_with(run, name, epoch, now);
                }
                self.parts.rooms.wake();
            }
            Err(error) => {
                tracing::error!(%run, %error, "a run that this node took over cannot be read");
                // In the next term it, or another node, tries again.
                let room = self.federation.room(name);
                room.terms.suspicion.watch(run, head.at.epoch, &head.by, boot_ms());
                room.terms.heads.insert(run, head);
            }
        }
    }

    /// The journal of a run has two entries in one place. Where those of this node do not count, what it does next would follow from what
    /// nobody else knows.
    pub(in crate::driver) fn forked(
        &mut self,
        room: &str,
        run: RunId,
        fork: &Fork,
        lost: Option<Position>,
        now: TimestampMs,
    ) {
        let Fork { epoch, n, by } = fork;
        let detail =
            format!("run {run}: entry {n} of term {epoch} was written twice, and the first one counts");
        self.refuse_message(room, by, (Wrong::Forked, detail), now);
        self.leave_forked(room, run, lost);
    }

    /// The same while nothing can be written.
    pub(in crate::driver) fn leave_forked(&mut self, room: &str, run: RunId, lost: Option<Position>) {
        let led = self.federation.rooms.get(room).and_then(|room| room.coordinator.epoch(run));
        if lost.is_some_and(|at| led == Some(at.epoch)) {
            tracing::warn!(%run, "another node has the key of this one and coordinates the run: this node does so no more");
            self.leave(run);
        }
    }

    /// Another node coordinates a run of this one: nothing of it is done here any more.
    pub(in crate::driver) fn overtaken(&mut self, run: RunId, reply: Reply<()>) {
        tracing::warn!(%run, "another node took a run over that this one coordinated");
        self.leave(run);
        let _ = reply.send(Ok(()));
    }

    fn leave(&mut self, run: RunId) {
        for room in self.federation.rooms.values_mut() {
            if let Some(groups) = &mut room.groups {
                groups.leave(run);
            }
            room.coordinator.leave(run);
            room.finality.remove(&run);
            room.absent.leave(run);
            room.to_recover.retain(|(of, _)| *of != run);
        }
        self.forget_own_journal(run);
        let live = self.parts.machine.live_attempts().filter(|live| live.attempt.run == run);
        for live in live.collect::<Vec<_>>() {
            if !self.is_elsewhere(&live) {
                // It ran here as a task of this node's own run, under no lease.
                let LiveAttempt { attempt, fence, grace_ms, .. } = live;
                self.parts.worker.tell(ToWorker::Cancel { attempt, fence, grace_ms, keep: false });
            }
        }
        self.parts.machine.leave(run);
    }

    /// What is stored of a run is void. What follows in this turn tells it anew.
    pub(in crate::driver) fn void(&mut self, run: RunId) {
        self.leave(run);
        let at_ms = cis_local::now_ms();
        let body = EventBody::RunVoided {};
        self.turn.draft(EventDraft { run: Some(run), at_ms, actor: None, cause: None, body });
        self.turn.keep([RoomWrite::Void { run }]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_is_not_known_after_a_reading_is_not_waited_for() {
        let (mut terms, run) = (Terms::new(Settings::default()), RunId::from_parts(1, 1));
        assert!(terms.is_unread(run), "nothing was read");
        terms.is_deaf = false;
        assert!(terms.is_unread(run), "it is not known who may coordinate");
        terms.vote(Vec::new(), Some(0), true);
        terms.readings = 1;
        assert!(
            terms.is_unread(run) && terms.is_unread(run),
            "the store may have it from a reading under way"
        );
        terms.readings = 2;
        assert!(!terms.is_unread(run));
        assert!(terms.wanted.is_empty());
    }
}
