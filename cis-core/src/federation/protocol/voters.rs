//! What the voters of a room, the nodes that may coordinate in it, acknowledge to each other where they use several homeservers. Each
//! homeserver has a timeline of its own, so none of these timelines decides who coordinates a run: a majority of the voters does.
//!
//! Owns the promises of this voter, how young the acknowledgements of a majority are, and its candidacies. Does not own when a
//! coordinator counts as silent ([`super::suspicion`]), what a majority makes final ([`crate::federation::finality`]), and the journal,
//! which tells of a takeover in the end.
//!
//! The model is Raft (Ongaro, "Consensus: Bridging Theory and Practice", 2014): a voter promises a term to one candidate (§3.4), and only to one that
//! has read as far as itself (§3.6.1); a candidate asks first whether it would get the votes (§9.6). Terms of a journal have no gaps, so candidates
//! for the same term outbid each other with rounds.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;

use serde::{Deserialize, Serialize};

use super::settings::BootMs;
use crate::federation::link::Position;
use crate::ids::{Epoch, NodeDid, RunId, TimestampMs};

/// So many unanswered questions of a coordinator are remembered.
const ASKED_MAX: usize = 64;
/// So many runs are asked about in one message. The others follow in the next ones.
pub const RUNS_MAX: usize = 64;
/// So many promises are remembered. A run of which more is asked gets no vote of this node.
const PROMISES_MAX: usize = 10_000;
/// Bits of a life's number: numbers of messages stay below 2^53, as JSON has them.
const LIFE_BITS: u32 = 20;

/// A candidacy for a term of a run. The greatest one counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ballot {
    /// The term that would begin.
    pub epoch: Epoch,
    /// Of several candidacies for it. From 1.
    pub round: u32,
}

/// What a voter promised: it follows no earlier term of the run any more, and nobody else in this one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Promise {
    /// For what.
    pub ballot: Ballot,
    /// To whom.
    pub to: NodeDid,
}

/// A majority lets this node begin a term. It does so once in a term, with one entry: of two of them one would be void, and with it what
/// counted as final after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Mandate {
    /// The candidacy.
    pub ballot: Ballot,
    /// After which entry the term begins.
    pub after: Position,
    /// When this node got it, Unix ms.
    pub at_ms: TimestampMs,
}

/// What a voter must not forget.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Kept {
    /// What it promised.
    #[serde(default)]
    pub promises: BTreeMap<RunId, Promise>,
    /// Terms that it may begin, or has begun.
    #[serde(default)]
    pub mandates: BTreeMap<RunId, Mandate>,
}

impl Kept {
    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.promises.is_empty() && self.mandates.is_empty()
    }
}

/// What voters say to each other.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "says")]
pub enum VoterMessage {
    /// A coordinator asks whether it is followed.
    Ask {
        /// Of this question.
        nonce: u64,
        /// Runs that it coordinates, and how far it wrote their journals: at most [`RUNS_MAX`].
        runs: Vec<(RunId, Position)>,
        /// Runs in which a majority promised another term: it cannot go on with them, and somebody else may.
        lost: Vec<RunId>,
    },
    /// The answer: it is followed, but not in some runs.
    Follow {
        /// Of the question.
        nonce: u64,
        /// Runs, each with a term that was promised to somebody else.
        except: Vec<(RunId, Epoch)>,
        /// How far this voter reads the runs that were asked about, where it follows.
        read: Vec<(RunId, Position)>,
    },
    /// A candidate asks for a vote.
    Candidate {
        /// The run.
        run: RunId,
        /// The candidacy.
        ballot: Ballot,
        /// How far the candidate reads the journal.
        after: Position,
        /// Who coordinates the run there.
        of: NodeDid,
        /// It asks whether it would get the vote; nothing is promised yet.
        trial: bool,
    },
    /// The answer.
    Vote {
        /// The run.
        run: RunId,
        /// The candidacy.
        ballot: Ballot,
        /// As in the question.
        trial: bool,
        /// Whether it gets the vote.
        granted: bool,
        /// What this voter promised before to somebody else. A candidacy has to be greater.
        promised: Option<Ballot>,
    },
}

/// What a voter knows of the runs of the room.
pub trait Knowledge {
    /// How far it reads, or wrote, the journal of a run. None: it does not know the run.
    fn read(&self, run: RunId) -> Option<Position>;

    /// Who coordinates a run, as its journal says.
    fn coordinator(&self, run: RunId) -> Option<&NodeDid>;

    /// Whether a run may get another coordinator: the present one is silent or cannot go on, or the candidate submitted the run and is
    /// needed by it.
    fn is_open_to(&self, run: RunId, candidate: &NodeDid) -> bool;
}

/// What follows from an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VoterEffect {
    /// Send this.
    Send(NodeDid, VoterMessage),
    /// Keep what this voter must not forget ([`Voters::kept`]), and send this only when that is durable.
    Keep(Vec<(NodeDid, VoterMessage)>),
    /// Begin a term, once the mandate is durable. It may have been begun already: the entry is the same one.
    Begin(RunId, Mandate),
}

/// The newest answer of another voter.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Follower {
    /// When it was asked.
    asked_at: BootMs,
    except: BTreeMap<RunId, Epoch>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Candidacy {
    ballot: Ballot,
    after: Position,
    of: NodeDid,
    trial: bool,
    granted: BTreeSet<NodeDid>,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Voters {
    own: NodeDid,
    /// The other voters. None: all use one homeserver, and its timeline decides.
    others: Option<BTreeSet<NodeDid>>,
    kept: Kept,
    /// The greatest rounds that other voters promised to others.
    outbid: BTreeMap<RunId, Ballot>,
    candidacies: BTreeMap<RunId, Candidacy>,
    nonce: u64,
    asked: VecDeque<(u64, BootMs)>,
    followers: BTreeMap<NodeDid, Follower>,
    /// After which run the next question goes on.
    asked_upto: Option<RunId>,
}

impl Voters {
    /// The voter `own`, with what it promised in earlier lives. `life`: another number in each of them.
    #[must_use]
    pub fn new(own: NodeDid, life: u64, kept: Kept) -> Self {
        Self {
            own,
            others: None,
            kept,
            outbid: BTreeMap::new(),
            candidacies: BTreeMap::new(),
            nonce: (life & ((1 << LIFE_BITS) - 1)) << 32,
            asked: VecDeque::new(),
            followers: BTreeMap::new(),
            asked_upto: None,
        }
    }

    /// Says who else votes. None: votes decide nothing.
    pub fn set_others(&mut self, others: Option<BTreeSet<NodeDid>>) {
        let stays = |did: &NodeDid| others.as_ref().is_some_and(|others| others.contains(did));
        self.followers.retain(|did, _| stays(did));
        if self.others != others {
            self.candidacies.clear();
        }
        self.others = others;
    }

    /// Whether votes decide.
    #[must_use]
    pub fn decide(&self) -> bool {
        self.others.is_some()
    }

    /// How many voters there are, this one included.
    #[must_use]
    pub fn count(&self) -> usize {
        self.others.as_ref().map_or(0, BTreeSet::len) + 1
    }

    /// How many voters are a majority, this one included.
    #[must_use]
    pub fn majority(&self) -> usize {
        self.count() / 2 + 1
    }

    /// What is to be kept for the next life.
    #[must_use]
    pub fn kept(&self) -> &Kept {
        &self.kept
    }

    /// A run ended: nobody can take it over. Gives whether less is to be kept.
    pub fn forget(&mut self, run: RunId) -> bool {
        self.candidacies.remove(&run);
        self.outbid.remove(&run);
        let mandate = self.kept.mandates.remove(&run);
        self.kept.promises.remove(&run).is_some() || mandate.is_some()
    }

    /// Asks the others whether they follow. `led`: the runs that this node coordinates, with their terms, and how far it wrote them.
    pub fn ask(
        &mut self,
        led: &BTreeMap<RunId, (Epoch, Option<Position>)>,
        now: BootMs,
        out: &mut Vec<VoterEffect>,
    ) {
        let Some(others) = self.others.clone() else { return };
        self.nonce += 1;
        self.asked.push_back((self.nonce, now));
        if self.asked.len() > ASKED_MAX {
            self.asked.pop_front();
        }
        let upto = self.asked_upto.map_or(Bound::Unbounded, Bound::Excluded);
        let after = led.range((upto, Bound::Unbounded));
        let before = self.asked_upto.into_iter().flat_map(|upto| led.range(..=upto));
        let written = after.chain(before).filter_map(|(run, (_, at))| Some((*run, (*at)?)));
        let next: Vec<(RunId, Position)> = written.take(RUNS_MAX).collect();
        self.asked_upto = next.last().map(|(run, _)| *run);
        let lost = led.iter().filter(|(run, (epoch, _))| self.is_lost(**run, *epoch));
        let lost: Vec<RunId> = lost.map(|(run, _)| *run).take(RUNS_MAX).collect();
        for other in others {
            let (runs, lost) = (next.clone(), lost.clone());
            out.push(VoterEffect::Send(other, VoterMessage::Ask { nonce: self.nonce, runs, lost }));
        }
    }

    /// A majority follows this node as the coordinator of a run in a term, or did so when it was asked at this time; none: it does not.
    #[must_use]
    pub fn followed_at(&self, run: RunId, epoch: Epoch, now: BootMs) -> Option<BootMs> {
        let own = self.follows_itself(run, epoch).then_some(now);
        let follows = |other: &&Follower| other.except.get(&run).is_none_or(|promised| *promised < epoch);
        let mut times: Vec<BootMs> =
            self.followers.values().filter(follows).map(|other| other.asked_at).chain(own).collect();
        times.sort_unstable_by(|a, b| b.cmp(a));
        times.get(self.majority() - 1).copied()
    }

    /// Whether this node did not promise a later term to somebody else, nor another one's of this term.
    #[must_use]
    pub fn follows_itself(&self, run: RunId, epoch: Epoch) -> bool {
        self.follows(run, epoch, &self.own)
    }

    /// Whether this node's promises let it follow a coordinator.
    fn follows(&self, run: RunId, epoch: Epoch, coordinator: &NodeDid) -> bool {
        self.kept.promises.get(&run).is_none_or(|promise| {
            promise.ballot.epoch < epoch || (promise.ballot.epoch == epoch && promise.to == *coordinator)
        })
    }

    /// So many of the other voters answered since then.
    #[must_use]
    pub fn heard_since(&self, since: BootMs) -> usize {
        self.followers.values().filter(|other| other.asked_at >= since).count()
    }

    /// So many voters promised another term that no majority can follow this node any more.
    fn is_lost(&self, run: RunId, epoch: Epoch) -> bool {
        let promised = |other: &&Follower| other.except.get(&run).is_some_and(|promised| *promised >= epoch);
        let against =
            self.followers.values().filter(promised).count() + usize::from(!self.follows_itself(run, epoch));
        self.count() - against.min(self.count()) < self.majority()
    }

    /// This node wants to take a run over, which `of` coordinates, after the entry `after`. It asks for votes, again each time that this is
    /// called.
    pub fn stand(&mut self, run: RunId, after: Position, of: &NodeDid, out: &mut Vec<VoterEffect>) {
        let Some(epoch) = after.epoch.checked_add(1).filter(|_| self.others.is_some()) else { return };
        // It has the votes already.
        if let Some(mandate) = self.kept.mandates.get(&run).filter(|mandate| mandate.ballot.epoch == epoch) {
            out.push(VoterEffect::Begin(run, *mandate));
            return;
        }
        let of_term = |ballot: &&Ballot| ballot.epoch == epoch;
        let own = self.kept.promises.get(&run).filter(|promise| promise.ballot.epoch == epoch);
        let outbid = self.outbid.get(&run).filter(of_term).map_or(0, |ballot| ballot.round);
        let round = match own {
            // The same candidacy again.
            Some(promise) if promise.to == self.own && promise.ballot.round > outbid => promise.ballot.round,
            promise => promise.map_or(0, |promise| promise.ballot.round).max(outbid).saturating_add(1),
        };
        let ballot = Ballot { epoch, round };
        let candidacy = Candidacy { ballot, after, of: of.clone(), trial: true, granted: BTreeSet::new() };
        out.extend(self.questions(run, &candidacy).map(|(to, message)| VoterEffect::Send(to, message)));
        self.candidacies.insert(run, candidacy);
    }

    /// What a candidate asks the others.
    fn questions(&self, run: RunId, candidacy: &Candidacy) -> impl Iterator<Item = (NodeDid, VoterMessage)> {
        let Candidacy { ballot, after, of, trial, .. } = candidacy.clone();
        let question = VoterMessage::Candidate { run, ballot, after, of, trial };
        self.others.iter().flatten().map(move |other| (other.clone(), question.clone()))
    }

    /// Takes a message of another voter, at this Unix time in ms.
    pub fn handle(
        &mut self,
        from: &NodeDid,
        message: VoterMessage,
        knows: &impl Knowledge,
        at_ms: TimestampMs,
        out: &mut Vec<VoterEffect>,
    ) -> Option<Heard> {
        if !self.others.as_ref().is_some_and(|others| others.contains(from)) {
            return None;
        }
        match message {
            VoterMessage::Ask { nonce, runs, lost } => {
                self.asked_by(from, nonce, &runs, knows, out);
                return Some(Heard::Asked { lost });
            }
            VoterMessage::Follow { nonce, except, read } => {
                return self.followed_by(from, nonce, except, read);
            }
            VoterMessage::Candidate { run, ballot, after, of, trial } => {
                let candidacy = Candidacy { ballot, after, of, trial, granted: BTreeSet::new() };
                self.candidate(from, run, &candidacy, knows, out);
            }
            VoterMessage::Vote { run, ballot, trial, granted, promised } => {
                let granted = granted.then_some(at_ms);
                self.vote(from, (run, ballot, trial), (granted, promised), knows, out);
            }
        }
        None
    }

    fn asked_by(
        &mut self,
        from: &NodeDid,
        nonce: u64,
        runs: &[(RunId, Position)],
        knows: &impl Knowledge,
        out: &mut Vec<VoterEffect>,
    ) {
        let other = |(run, promise): (&RunId, &Promise)| {
            (promise.to != *from).then_some((*run, promise.ballot.epoch))
        };
        let except = self.kept.promises.iter().filter_map(other).collect();
        let reads = |(run, at): &(RunId, Position)| {
            let read = knows.read(*run).filter(|read| read.epoch == at.epoch)?;
            let of_it = knows.coordinator(*run) == Some(from) && self.follows(*run, at.epoch, from);
            of_it.then_some((*run, read))
        };
        let read = runs.iter().take(RUNS_MAX).filter_map(reads).collect();
        out.push(VoterEffect::Send(from.clone(), VoterMessage::Follow { nonce, except, read }));
    }

    fn followed_by(
        &mut self,
        from: &NodeDid,
        nonce: u64,
        except: Vec<(RunId, Epoch)>,
        read: Vec<(RunId, Position)>,
    ) -> Option<Heard> {
        let asked_at = self.asked.iter().find(|(known, _)| *known == nonce)?.1;
        if self.followers.get(from).is_some_and(|known| known.asked_at >= asked_at) {
            return None;
        }
        let except = except.into_iter().take(PROMISES_MAX).collect();
        self.followers.insert(from.clone(), Follower { asked_at, except });
        Some(Heard::Followed { read })
    }

    /// Whether this node's promises and what it reads let `candidate` begin a term.
    fn may_begin(
        &self,
        candidate: &NodeDid,
        run: RunId,
        candidacy: &Candidacy,
        knows: &impl Knowledge,
    ) -> bool {
        let Candidacy { ballot, after, of, .. } = candidacy;
        let (Some(read), Some(coordinator)) = (knows.read(run), knows.coordinator(run)) else { return false };
        // Who has no vote does not ask whether it is followed either: only a person replaces it.
        let is_voter = *coordinator == self.own
            || self.others.as_ref().is_some_and(|others| others.contains(coordinator));
        let is_next = after.epoch.checked_add(1) == Some(ballot.epoch);
        // What a majority has read is final: whoever gets its votes has read it. Two candidates of one term may both have written that
        // they begin it: of these lines, one has nothing final.
        let has_read_as_far =
            read.epoch < after.epoch || (read.epoch == after.epoch && coordinator == of && read.n <= after.n);
        let is_free = self.kept.promises.get(&run).is_none_or(|known| {
            known.ballot < *ballot || (known.ballot == *ballot && known.to == *candidate)
        });
        is_voter && is_next && has_read_as_far && is_free
    }

    fn candidate(
        &mut self,
        from: &NodeDid,
        run: RunId,
        candidacy: &Candidacy,
        knows: &impl Knowledge,
        out: &mut Vec<VoterEffect>,
    ) {
        let Candidacy { ballot, trial, .. } = *candidacy;
        let has_space = self.kept.promises.len() < PROMISES_MAX || self.kept.promises.contains_key(&run);
        let own = knows.coordinator(run) == Some(&self.own);
        let is_open = || match knows.read(run) {
            Some(at) if own && self.is_lost(run, at.epoch) => true,
            _ => knows.is_open_to(run, from),
        };
        let granted = has_space && self.may_begin(from, run, candidacy, knows) && is_open();
        let promised =
            self.kept.promises.get(&run).filter(|known| known.to != *from).map(|known| known.ballot);
        let answer = VoterMessage::Vote { run, ballot, trial, granted, promised };
        if granted && !trial {
            let promise = Promise { ballot, to: from.clone() };
            // Its own candidacy is over with that.
            self.candidacies.remove(&run);
            self.kept.promises.insert(run, promise);
            out.push(VoterEffect::Keep(vec![(from.clone(), answer)]));
        } else {
            out.push(VoterEffect::Send(from.clone(), answer));
        }
    }

    fn vote(
        &mut self,
        from: &NodeDid,
        (run, ballot, trial): (RunId, Ballot, bool),
        (granted_ms, promised): (Option<TimestampMs>, Option<Ballot>),
        knows: &impl Knowledge,
        out: &mut Vec<VoterEffect>,
    ) {
        if let Some(promised) = promised.filter(|promised| promised.epoch == ballot.epoch) {
            let known = self.outbid.entry(run).or_insert(promised);
            *known = (*known).max(promised);
        }
        let majority = self.majority();
        let of_it = |candidacy: &Candidacy| candidacy.ballot == ballot && candidacy.trial == trial;
        let candidacy = self.candidacies.get_mut(&run).filter(|candidacy| of_it(candidacy));
        let (Some(candidacy), Some(at_ms)) = (candidacy, granted_ms) else { return };
        candidacy.granted.insert(from.clone());
        if candidacy.granted.len() + 1 < majority {
            return;
        }
        let Some(candidacy) = self.candidacies.remove(&run) else { return };
        // This node votes as well, by the same rules.
        if !self.may_begin(&self.own, run, &candidacy, knows) {
            return;
        }
        if !trial {
            let mandate = Mandate { ballot, after: candidacy.after, at_ms };
            self.kept.mandates.insert(run, mandate);
            out.push(VoterEffect::Begin(run, mandate));
            return;
        }
        let candidacy = Candidacy { trial: false, granted: BTreeSet::new(), ..candidacy };
        let promise = Promise { ballot, to: self.own.clone() };
        self.kept.promises.insert(run, promise);
        out.push(VoterEffect::Keep(self.questions(run, &candidacy).collect()));
        self.candidacies.insert(run, candidacy);
    }
}

/// What an answer told that counts for others, too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A coordinator is there.
    Asked {
        /// Runs that it cannot go on with.
        lost: Vec<RunId>,
    },
    /// A voter follows this node.
    Followed {
        /// How far it reads journals of this node.
        read: Vec<(RunId, Position)>,
    },
}

#[cfg(test)]
mod tests;
