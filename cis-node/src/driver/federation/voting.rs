//! Votes of the coordinators of a room that use several homeservers: when they decide, what this node says and hears of them, and what it promised.
//!
//! Owns what this node promised in earlier lives. Its votes are counted in [`Voters`]; what they mean for leases, results and takeovers is told to the parts that have these.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{Driver, Parts};
use super::terms::Terms;
use super::{Federation, Room};
use crate::account::boot_ms;
use crate::room_waker::ChosenBy;
use crate::shared::Announced;
use cis_core::federation::direct::TaskPayload;
use cis_core::federation::finality::Finality;
use cis_core::federation::journal::Position;
use cis_core::federation::protocol::coordinator::CoordinatorHalf;
use cis_core::federation::protocol::message::Message;
use cis_core::federation::protocol::voters::{
    Heard, Kept, Knowledge, PROMISES_MAX, VoterEffect, VoterMessage, Voters,
};
use cis_core::federation::protocol::{BootMs, Settings};
use cis_core::ids::{Epoch, NodeDid, RunId, TimestampMs};
use cis_core::scheduler::Machine;

/// Name of the note in the store that has what this node must not forget of its votes.
const VOTES: &str = "votes";

/// What must not be forgotten, by room.
type KeptVotes = BTreeMap<String, Kept>;

/// So long coordinators that are not heard are not told of, ms: a homeserver may be started again.
const UNHEARD_MS: BootMs = 20_000;

/// What a room's voter knows of its runs.
struct Known<'a> {
    own: &'a NodeDid,
    machine: &'a Machine,
    coordinator: &'a CoordinatorHalf<TaskPayload>,
    finality: &'a BTreeMap<RunId, Finality>,
    terms: &'a Terms,
    now: BootMs,
}

impl Known<'_> {
    fn leads(&self, run: RunId) -> bool {
        self.coordinator.epoch(run).is_some()
    }
}

impl Knowledge for Known<'_> {
    fn read(&self, run: RunId) -> Option<Position> {
        match self.finality.get(&run).filter(|_| self.leads(run)) {
            Some(finality) => finality.newest(),
            None => self.terms.newest(run).map(|(at, _)| at),
        }
    }

    fn coordinator(&self, run: RunId) -> Option<&NodeDid> {
        if self.leads(run) { Some(self.own) } else { self.terms.newest(run).map(|(_, by)| by) }
    }

    fn is_open_to(&self, run: RunId, candidate: &NodeDid) -> bool {
        if self.leads(run) {
            let foreign = self.machine.run(&run).filter(|run| run.facts().is_foreign());
            return foreign.and_then(|run| run.submitted_by()) == Some(candidate);
        }
        self.terms.submitter_of(run) == Some(candidate) || self.terms.is_silent(run, self.now)
    }
}

impl Room {
    /// The runs that this node coordinates, with how far it wrote their journals.
    fn led(&self) -> BTreeMap<RunId, (Epoch, Option<Position>)> {
        let newest = |run| self.finality.get(&run).and_then(|finality| finality.newest());
        self.coordinator.terms().map(|(run, epoch)| (run, (epoch, newest(run)))).collect()
    }

    /// Others are asked, or said something: leases and results follow from that.
    pub(super) fn count_votes(&mut self, now: BootMs) {
        if !self.voters.decide() {
            self.coordinator.set_followed(None);
            self.finality.values_mut().for_each(|finality| finality.set_majority(1));
            return;
        }
        let (mut followed, mut followed_again) = (BTreeMap::new(), Vec::new());
        for (run, epoch) in self.coordinator.terms() {
            let at = self.voters.followed_at(run, epoch, now);
            let is_followed = at.is_some_and(|at| now.saturating_sub(at) < Settings::default().suspect_ms);
            if is_followed && self.by_person.remove(&run) {
                followed_again.push((run, epoch));
            }
            // It may have let another one take over since.
            let by_person = self.by_person.contains(&run) && self.voters.follows_itself(run, epoch);
            let counts_from = if by_person { Some(BootMs::MAX) } else { at };
            followed.extend(counts_from.map(|at| (run, at)));
        }
        for (run, epoch) in followed_again {
            self.voters.was_followed(run, epoch);
            self.has_news = true;
        }
        self.coordinator.set_followed(Some(followed));
        for (run, finality) in &mut self.finality {
            finality.set_majority(if self.by_person.contains(run) { 1 } else { self.voters.majority() });
        }
    }
}

/// What this node must not forget of its votes.
pub(super) struct Votes {
    own: NodeDid,
    /// Of this life of the node.
    life: u64,
    /// Of earlier lives, in rooms that it does not serve yet.
    kept: KeptVotes,
    /// That cannot be read: whatever this node says may break a promise.
    are_lost: bool,
}

impl Votes {
    /// What is known of earlier lives.
    pub(super) fn recall(parts: &Parts) -> Self {
        let noted = parts.writer.get_meta(VOTES).map_err(|error| error.to_string());
        let read = |noted: String| serde_json::from_str(&noted).map_err(|error| error.to_string());
        let kept = noted.and_then(|noted| noted.map_or_else(|| Ok(KeptVotes::new()), read));
        let are_lost = kept.is_err();
        if let Err(error) = &kept {
            tracing::error!(error, "the votes that this node gave cannot be read: it gives no more of them");
        }
        let life = u64::try_from(cis_local::now_ms()).unwrap_or_default();
        Self { own: parts.did.clone(), life, kept: kept.unwrap_or_default(), are_lost }
    }

    /// The votes of a room that is served from now on.
    pub(super) fn of(&mut self, room: &str) -> Voters {
        Voters::new(
            self.own.clone(),
            self.life,
            self.kept.remove(room).unwrap_or_default(),
            &Settings::default(),
        )
    }
}

impl Federation {
    /// What this node must not forget.
    fn kept_votes(&self) -> KeptVotes {
        let of_room = |(name, room): (&String, &Room)| (name.clone(), room.voters.kept().clone());
        let mut all = self.votes.kept.clone();
        all.extend(self.rooms.iter().map(of_room).filter(|(_, kept)| !kept.is_empty()));
        all
    }
}

impl Driver {
    /// Says who votes in a room: nobody, unless the coordinators use several homeservers and know of votes.
    pub(super) fn set_voters(&mut self, name: &str, others: &[NodeDid], rank: Option<usize>) {
        let announced = self.parts.shared.announced().remove(name).unwrap_or_default();
        let known: Vec<&Announced> =
            others.iter().chain([&self.parts.did]).filter_map(|did| announced.get(did)).collect();
        let homeservers: BTreeSet<&str> = known.iter().filter_map(|one| one.homeserver()).collect();
        // One that has announced nothing yet counts, and does not answer. An earlier version does not vote.
        let all_vote = known.iter().all(|one| one.votes);
        let decide = rank.is_some() && all_vote && homeservers.len() > 1;
        let boot = boot_ms();
        let room = self.federation.room(name);
        if decide != room.voters.decide() {
            tracing::info!(
                room = name,
                decide,
                "whether a majority of the coordinators decides who coordinates a run"
            );
            room.votes_since = boot;
        }
        room.voters.set_others(decide.then(|| others.iter().cloned().collect()));
        room.count_votes(boot);
    }

    /// Says to the other coordinators of a room that this one is there; where votes decide, asks whether they follow it.
    pub(super) fn say_alive(&mut self, name: &str, boot: BootMs, now: TimestampMs) {
        let are_lost = self.federation.votes.are_lost;
        let room = self.federation.room(name);
        if room.voters.decide() {
            if are_lost {
                // It would be heard, and could not go on.
                return;
            }
            let (led, mut out) = (room.led(), Vec::new());
            room.voters.ask(&led, boot, &mut out);
            self.vote(name, out, now);
            return;
        }
        for other in room.terms.others() {
            self.send(name, other, Message::Alive {}, now);
        }
    }

    /// Another voter of a room says something.
    pub(super) fn voter_said(&mut self, name: &str, from: &NodeDid, message: VoterMessage, now: TimestampMs) {
        if self.federation.votes.are_lost {
            return;
        }
        let boot = boot_ms();
        let room = self.federation.room(name);
        let Room { voters, coordinator, finality, terms, .. } = &mut *room;
        let (own, machine) = (&self.parts.did, &self.parts.machine);
        let known = Known { own, machine, coordinator, finality, terms, now: boot };
        let (mut out, was_full) = (Vec::new(), voters.is_full());
        let heard = voters.handle(from, message, &known, now, &mut out);
        if voters.is_full() && !was_full {
            tracing::warn!(
                room = name,
                runs = PROMISES_MAX,
                "this node remembers votes for as many runs as it can, and gives none for others"
            );
        }
        room.count_votes(boot);
        if std::mem::take(&mut room.has_news) {
            self.keep_votes();
        }
        self.vote(name, out, now);
        match heard {
            Some(Heard::TooLong { runs }) => {
                tracing::warn!(room = name, %from, runs, "the answer of a coordinator names too many runs: it does not count");
            }
            Some(Heard::Asked { lost }) => self.federation.room(name).terms.gives_up(from, &lost),
            Some(Heard::Followed { read }) => {
                for (run, at) in read {
                    self.read_by_voter(name, from, (run, at), now);
                }
                // Grants may have waited for that.
                self.federate(now);
            }
            None => {}
        }
    }

    fn read_by_voter(&mut self, name: &str, from: &NodeDid, (run, at): (RunId, Position), now: TimestampMs) {
        let room = self.federation.room(name);
        let epoch = room.coordinator.epoch(run).filter(|epoch| *epoch == at.epoch);
        let follows = epoch.is_some_and(|epoch| room.voters.follows_itself(run, epoch));
        let Some(finality) = room.finality.get_mut(&run).filter(|_| follows) else { return };
        let finals = finality.read_by(from, at);
        finals.iter().for_each(|(granted, worker)| self.is_final(name, granted, worker, now));
        self.more_is_final(name, run, now);
    }

    /// Asks for the votes to take a run over.
    pub(super) fn stand(&mut self, name: &str, run: RunId, now: TimestampMs) {
        let room = self.federation.room(name);
        let Some((at, by)) = room.terms.head(run).map(|head| (head.at, head.by.clone())) else { return };
        let mut out = Vec::new();
        room.voters.stand(run, at, &by, &mut out);
        self.vote(name, out, now);
    }

    fn vote(&mut self, name: &str, effects: Vec<VoterEffect>, now: TimestampMs) {
        for effect in effects {
            match effect {
                VoterEffect::Send(to, of) => self.send(name, to, Message::Voters { of }, now),
                VoterEffect::Keep(then) => {
                    self.keep_votes();
                    for (to, of) in then {
                        self.send_durable(name, to, Message::Voters { of }, now);
                    }
                }
                VoterEffect::Begin(run, mandate) => {
                    self.keep_votes();
                    self.federation.room(name).terms.claims(run, boot_ms());
                    self.claim(name, run, (mandate.epoch, ChosenBy::Votes(mandate)), now);
                }
            }
        }
    }

    fn keep_votes(&mut self) {
        // They are plain maps with text keys: they have JSON.
        let kept = serde_json::to_string(&self.federation.kept_votes()).unwrap_or_default();
        self.turn.note(VOTES, kept);
    }

    /// A run ended: nobody takes it over.
    pub(super) fn forget_votes(&mut self, name: &str, run: RunId, epoch: Epoch) {
        if self.federation.room(name).voters.forget(run, epoch) {
            self.keep_votes();
        }
    }

    /// What `cis node status` says where votes decide, and no majority does.
    pub(in crate::driver) fn vote_warnings(&self) -> Vec<String> {
        let boot = boot_ms();
        let mut warnings = Vec::new();
        for (name, room) in self.federation.rooms.iter().filter(|(_, room)| room.voters.decide()) {
            let heard = room.voters.heard_since(boot - UNHEARD_MS) + 1;
            let (majority, count) = (room.voters.majority(), room.voters.count());
            if boot.saturating_sub(room.votes_since) < UNHEARD_MS {
                continue;
            }
            if self.federation.votes.are_lost {
                warnings.push(format!(
                    "room {name}: the votes that this node gave earlier cannot be read, so it gives none, and tasks of its runs freeze. An owner of \
                     the room takes its right to coordinate back, and lets a node with another key coordinate"
                ));
            } else if room.coordinator.coordinates() && heard < majority {
                warnings.push(format!(
                    "room {name}: its coordinators use several homeservers, and this node hears {heard} of {count}, itself included; a majority is \
                     {majority}. Tasks of the runs that this node coordinates freeze when their leases are over, and go on when a majority is heard \
                     again. If the others are gone for good, an owner of the room takes their right to coordinate back: \
                     cis identity trust DID --room {name} --may execute"
                ));
            }
            if room.voters.is_full() {
                warnings.push(format!(
                    "room {name}: this node remembers its votes for {PROMISES_MAX} runs that have not ended, and gives none for other runs. If their coordinators \
                     are gone, only the other nodes let somebody take them over. End runs that nobody needs any more: cis dag cancel RUN"
                ));
            }
            for (run, by) in room.terms.unheard(UNHEARD_MS, boot) {
                warnings.push(format!(
                    "run {run} of room {name} is coordinated by {by}, which is not heard or cannot go on, and no majority of the room's \
                     coordinators lets another one take the run over. If that node is gone for good: cis dag takeover {run} --force"
                ));
            }
        }
        warnings
    }
}
