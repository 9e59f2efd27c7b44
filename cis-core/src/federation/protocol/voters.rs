//! What the voters of a room, the nodes that may coordinate in it, acknowledge to each other where they use several homeservers. Each
//! homeserver has a timeline of its own, so none of these timelines decides who coordinates a run: a majority of the voters does.
//!
//! Owns the promises of this voter, how young the acknowledgements of a majority are, and its candidacies. Does not own when a
//! coordinator counts as silent ([`super::suspicion`]), what a majority makes final ([`crate::federation::finality`]), and the journal,
//! which tells of a takeover in the end.
//!
//! The model is Raft (Ongaro, "Consensus: Bridging Theory and Practice", 2014): a voter promises a term to one candidate (§3.4), and only to one that
//! has read as far as itself (§3.6.1); a candidate asks first whether it would get the votes (§9.6). Terms of a journal have no gaps, so nobody
//! stands for a later term while one is promised and not begun: if its candidate is gone, a person decides.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;

use serde::{Deserialize, Serialize};

use super::settings::{BootMs, Settings};
use crate::federation::link::Position;
use crate::ids::{Epoch, NodeDid, RunId, TimestampMs};

/// So many unanswered questions of a coordinator are remembered.
const ASKED_MAX: usize = 64;
/// So many runs are asked about in one message. The others follow in the next ones.
pub const RUNS_MAX: usize = 64;
/// So many promises are remembered. While they are, candidates for other runs get no vote of this node ([`Voters::is_full`]).
pub const PROMISES_MAX: usize = 10_000;
/// An answer names at most so many runs. It has those of all promises, with what the voter promised itself beyond [`PROMISES_MAX`], and
/// those that were asked about.
const EXCEPT_MAX: usize = 4 * PROMISES_MAX;
/// Bits of a life's number: numbers of messages stay below 2^53, as JSON has them.
const LIFE_BITS: u32 = 20;

/// What a voter promised: it follows no earlier term of the run any more, and nobody else in this one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Promise {
    /// The term.
    pub epoch: Epoch,
    /// To whom.
    pub to: NodeDid,
}

/// A majority lets this node begin a term. It does so once in a term, with one entry: of two of them one would be void, and with it what
/// counted as final after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Mandate {
    /// The term.
    pub epoch: Epoch,
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
    /// Terms for which it stood, until it gave way to another candidate: it does not stand for them again.
    #[serde(default)]
    pub gave_way: BTreeMap<RunId, Epoch>,
    /// Terms that a person gave to this node, and in which a majority has followed it since.
    #[serde(default)]
    pub followed: BTreeMap<RunId, Epoch>,
}

impl Kept {
    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let terms = self.gave_way.len() + self.followed.len();
        self.promises.is_empty() && self.mandates.is_empty() && terms == 0
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
        /// Runs with which it cannot go on, as no majority follows it there: somebody else may.
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
        /// The term.
        epoch: Epoch,
        /// How far the candidate reads the journal.
        after: Position,
        /// Who coordinates the run there.
        of: NodeDid,
        /// It asks whether it would get the vote; nothing is promised yet.
        trial: bool,
    },
    /// The sender stood for this term and gave way to another candidate: what was promised to it is free.
    GaveWay {
        /// The run.
        run: RunId,
        /// The term.
        epoch: Epoch,
    },
    /// The answer.
    Vote {
        /// The run.
        run: RunId,
        /// The term.
        epoch: Epoch,
        /// As in the question.
        trial: bool,
        /// Whether it gets the vote.
        granted: bool,
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
    epoch: Epoch,
    after: Position,
    of: NodeDid,
    trial: bool,
    granted: BTreeSet<NodeDid>,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Voters {
    own: NodeDid,
    /// A coordinator that no majority has followed for so long cannot go on, ms.
    patience_ms: i64,
    /// The other voters. None: all use one homeserver, and its timeline decides.
    others: Option<BTreeSet<NodeDid>>,
    kept: Kept,
    candidacies: BTreeMap<RunId, Candidacy>,
    nonce: u64,
    asked: VecDeque<(u64, BootMs)>,
    followers: BTreeMap<NodeDid, Follower>,
    /// Runs that it said it cannot go on with.
    said_lost: BTreeSet<RunId>,
    /// Since when this node asks about a run.
    asks_since: BTreeMap<RunId, BootMs>,
    /// After which run the next question goes on.
    asked_upto: Option<RunId>,
}

impl Voters {
    /// The voter `own`, with what it promised in earlier lives. `life`: another number in each of them.
    #[must_use]
    pub fn new(own: NodeDid, life: u64, kept: Kept, settings: &Settings) -> Self {
        Self {
            own,
            patience_ms: 2 * settings.suspect_ms,
            others: None,
            kept,
            candidacies: BTreeMap::new(),
            nonce: (life & ((1 << LIFE_BITS) - 1)) << 32,
            asked: VecDeque::new(),
            followers: BTreeMap::new(),
            said_lost: BTreeSet::new(),
            asks_since: BTreeMap::new(),
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

    /// Whether this node remembers so many promises that candidates for other runs get no vote.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.kept.promises.len() >= PROMISES_MAX
    }

    /// A run ended in a term: nobody takes it over. What was promised for a later term stays promised, as that one may have begun. Gives whether
    /// less is to be kept.
    pub fn forget(&mut self, run: RunId, epoch: Epoch) -> bool {
        if self.kept.promises.get(&run).is_some_and(|promise| promise.epoch > epoch)
            || self.kept.mandates.get(&run).is_some_and(|mandate| mandate.epoch > epoch)
        {
            return false;
        }
        self.candidacies.remove(&run);
        let mandate = self.kept.mandates.remove(&run).is_some();
        let followed = self.kept.followed.remove(&run).is_some();
        let gave_way = self.kept.gave_way.remove(&run).is_some();
        self.kept.promises.remove(&run).is_some() || mandate || followed || gave_way
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
        self.asks_since.retain(|run, _| led.contains_key(run));
        for run in led.keys() {
            self.asks_since.entry(*run).or_insert(now);
        }
        let lost = led.iter().filter(|(run, (epoch, _))| {
            self.is_lost(**run, *epoch) || self.is_unanswered(**run, *epoch, now)
        });
        let lost: Vec<RunId> = lost.map(|(run, _)| *run).take(RUNS_MAX).collect();
        self.said_lost = lost.iter().copied().collect();
        for other in others {
            let (runs, lost) = (next.clone(), lost.clone());
            out.push(VoterEffect::Send(other, VoterMessage::Ask { nonce: self.nonce, runs, lost }));
        }
    }

    /// A majority followed this node in a term that a person gave it: from now on it needs one.
    pub fn was_followed(&mut self, run: RunId, epoch: Epoch) {
        self.kept.followed.insert(run, epoch);
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
            promise.epoch < epoch || (promise.epoch == epoch && promise.to == *coordinator)
        })
    }

    /// The machine stood still: what others said before says nothing any more.
    pub fn stood_still(&mut self) {
        self.followers.clear();
        self.asked.clear();
    }

    /// So many of the other voters answered since then.
    #[must_use]
    pub fn heard_since(&self, since: BootMs) -> usize {
        self.followers.values().filter(|other| other.asked_at >= since).count()
    }

    /// It has asked for long, and no majority follows: others may hear this node and not be heard by it, or be gone with their promises.
    fn is_unanswered(&self, run: RunId, epoch: Epoch, now: BootMs) -> bool {
        let is_old = |at: BootMs| now.saturating_sub(at) >= self.patience_ms;
        self.asks_since.get(&run).is_some_and(|since| is_old(*since))
            && self.followed_at(run, epoch, now).is_none_or(is_old)
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
        if let Some(mandate) = self.kept.mandates.get(&run).filter(|mandate| mandate.epoch == epoch) {
            out.push(VoterEffect::Begin(run, *mandate));
            return;
        }
        if self.kept.gave_way.get(&run) == Some(&epoch) {
            let gave_way = |to: &NodeDid| VoterEffect::Send(to.clone(), VoterMessage::GaveWay { run, epoch });
            out.extend(self.others.iter().flatten().map(gave_way));
            return;
        }
        let promise = self.kept.promises.get(&run).filter(|promise| promise.epoch == epoch);
        if promise.is_some_and(|promise| promise.to != self.own) {
            return;
        }
        // It asked in earnest before, and may have got votes.
        let trial = promise.is_none();
        let known =
            self.candidacies.remove(&run).filter(|known| (known.epoch, known.trial) == (epoch, trial));
        let granted = known.map(|known| known.granted).unwrap_or_default();
        let candidacy = Candidacy { epoch, after, of: of.clone(), trial, granted };
        out.extend(self.questions(run, &candidacy).map(|(to, message)| VoterEffect::Send(to, message)));
        self.candidacies.insert(run, candidacy);
    }

    /// What a candidate asks the others.
    fn questions(&self, run: RunId, candidacy: &Candidacy) -> impl Iterator<Item = (NodeDid, VoterMessage)> {
        let Candidacy { epoch, after, of, trial, .. } = candidacy.clone();
        let question = VoterMessage::Candidate { run, epoch, after, of, trial };
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
            VoterMessage::Candidate { run, epoch, after, of, trial } => {
                let candidacy = Candidacy { epoch, after, of, trial, granted: BTreeSet::new() };
                self.candidate(from, run, &candidacy, knows, out);
            }
            VoterMessage::Vote { run, epoch, trial, granted } if granted => {
                self.vote(from, (run, epoch, trial), knows, at_ms, out);
            }
            VoterMessage::Vote { .. } => {}
            VoterMessage::GaveWay { run, epoch } => {
                let of_it = |known: &Promise| known.epoch == epoch && known.to == *from;
                if self.kept.promises.get(&run).is_some_and(of_it) {
                    self.kept.promises.remove(&run);
                    out.push(VoterEffect::Keep(Vec::new()));
                }
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
        let other =
            |(run, promise): (&RunId, &Promise)| (promise.to != *from).then_some((*run, promise.epoch));
        // Somebody else coordinates it in a later term, as this node has read.
        let later = |(run, at): &(RunId, Position)| {
            let read = knows.read(*run).filter(|read| read.epoch > at.epoch)?;
            Some((*run, read.epoch))
        };
        let runs = &runs[..runs.len().min(RUNS_MAX)];
        let except =
            self.kept.promises.iter().filter_map(other).chain(runs.iter().filter_map(later)).collect();
        let reads = |(run, at): &(RunId, Position)| {
            let read = knows.read(*run).filter(|read| read.epoch == at.epoch)?;
            let of_it = knows.coordinator(*run) == Some(from) && self.follows(*run, at.epoch, from);
            of_it.then_some((*run, read))
        };
        let read = runs.iter().filter_map(reads).collect();
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
        if except.len() > EXCEPT_MAX {
            // Which of these runs it follows nevertheless would be guessed.
            return Some(Heard::TooLong { runs: except.len() });
        }
        if self.followers.get(from).is_some_and(|known| known.asked_at >= asked_at) {
            return None;
        }
        let mut terms: BTreeMap<RunId, Epoch> = BTreeMap::new();
        for (run, epoch) in except {
            let known = terms.entry(run).or_insert(epoch);
            *known = epoch.max(*known);
        }
        let except = terms;
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
        let Candidacy { epoch, after, of, .. } = candidacy;
        let (Some(read), Some(coordinator)) = (knows.read(run), knows.coordinator(run)) else { return false };
        // Who has no vote does not ask whether it is followed either: only a person replaces it.
        let is_voter = *coordinator == self.own
            || self.others.as_ref().is_some_and(|others| others.contains(coordinator));
        let is_next = after.epoch.checked_add(1) == Some(*epoch);
        // What a majority has read is final, so its votes go only to a node that has read that. A person and a majority may have begun the
        // same term: then the two lines are different ones, and a number says nothing.
        let has_read_as_far =
            read.epoch < after.epoch || (read.epoch == after.epoch && coordinator == of && read.n <= after.n);
        let is_free = self.kept.promises.get(&run).is_none_or(|known| {
            // Two that stand at once would keep each other from a majority: the one with the greater key gives way.
            let gives_way =
                known.to == self.own && *candidate < self.own && !self.may_have_begun(run, *epoch);
            known.epoch < *epoch || (known.epoch == *epoch && (known.to == *candidate || gives_way))
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
        let Candidacy { epoch, trial, .. } = *candidacy;
        let has_space = !self.is_full() || self.kept.promises.contains_key(&run);
        let own = knows.coordinator(run) == Some(&self.own);
        let gave_up = |epoch| self.is_lost(run, epoch) || self.said_lost.contains(&run);
        let is_open = || match knows.read(run) {
            Some(at) if own && gave_up(at.epoch) => true,
            _ => knows.is_open_to(run, from),
        };
        let granted = has_space && self.may_begin(from, run, candidacy, knows) && is_open();
        let answer = VoterMessage::Vote { run, epoch, trial, granted };
        if granted && !trial {
            let promise = Promise { epoch, to: from.clone() };
            if self.kept.promises.get(&run).is_some_and(|own| own.epoch == epoch && own.to == self.own) {
                self.kept.gave_way.insert(run, epoch);
            }
            // Its own candidacy is over with that.
            self.candidacies.remove(&run);
            self.kept.promises.insert(run, promise);
            out.push(VoterEffect::Keep(vec![(from.clone(), answer)]));
        } else {
            out.push(VoterEffect::Send(from.clone(), answer));
        }
    }

    /// Whether this node has the votes for a term: its takeover may be on its way.
    fn may_have_begun(&self, run: RunId, epoch: Epoch) -> bool {
        self.kept.mandates.get(&run).is_some_and(|mandate| mandate.epoch >= epoch)
    }

    fn vote(
        &mut self,
        from: &NodeDid,
        (run, epoch, trial): (RunId, Epoch, bool),
        knows: &impl Knowledge,
        at_ms: TimestampMs,
        out: &mut Vec<VoterEffect>,
    ) {
        let majority = self.majority();
        let of_it = |candidacy: &Candidacy| candidacy.epoch == epoch && candidacy.trial == trial;
        let Some(candidacy) = self.candidacies.get_mut(&run).filter(|candidacy| of_it(candidacy)) else {
            return;
        };
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
            let mandate = Mandate { epoch, after: candidacy.after, at_ms };
            self.kept.mandates.insert(run, mandate);
            out.push(VoterEffect::Begin(run, mandate));
            return;
        }
        let candidacy = Candidacy { trial: false, granted: BTreeSet::new(), ..candidacy };
        let promise = Promise { epoch, to: self.own.clone() };
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
    /// An answer names more runs than voters remember. It does not count.
    TooLong {
        /// How many.
        runs: usize,
    },
}

#[cfg(test)]
mod tests;
