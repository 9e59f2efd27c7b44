//! Which results of a run cannot be voided by a takeover any more: those that its coordinator read back from the room, and where the
//! voters of the room use several homeservers, those that a majority of them has read.
//!
//! Owns, for one run that this node coordinates, what waits for that. Pure; the caller says what was written and read.

use std::collections::{BTreeMap, VecDeque};

use super::link::Position;
use super::protocol::message::Granted;
use crate::ids::{NodeDid, Offset};

/// See the module.
#[derive(Debug)]
pub struct Finality {
    /// Results, each with an event behind which it stands in the store. In order.
    recorded: VecDeque<(Offset, Granted, NodeDid)>,
    /// Up to which event the journal holds the run, and with which entry. In order.
    written: VecDeque<(Offset, Position)>,
    /// The newest entry that is final.
    newest_final: Option<Position>,
    /// What was read back last: that it was written may be known later.
    read: Option<Position>,
    /// Everything up to this event was read back.
    own: Offset,
    /// So many voters, this node included, have to have read it.
    majority: usize,
    /// Up to which event the other voters have.
    voters: BTreeMap<NodeDid, Offset>,
    /// Everything up to this event is final.
    upto: Offset,
    /// What happened up to here was recorded in an earlier life, or by another node.
    since: Offset,
    /// Questions of the scheduler, each with an event up to which everything has to be final. In order.
    awaited: VecDeque<(Offset, u64)>,
}

impl Finality {
    /// Of a run about which the store knows everything up to the event `since`. `written`: so far its journal was written,
    /// as [`Self::written`] takes it.
    #[must_use]
    pub fn since(since: Offset, written: Option<(Offset, Position)>) -> Self {
        let written = written.into_iter().collect();
        Self {
            recorded: VecDeque::new(),
            written,
            newest_final: None,
            read: None,
            own: 0,
            majority: 1,
            voters: BTreeMap::new(),
            upto: 0,
            since,
            awaited: VecDeque::new(),
        }
    }

    /// So many voters have to have read what is final, this node included. 1: what this node read back is.
    pub fn set_majority(&mut self, majority: usize) {
        self.majority = majority.max(1);
    }

    /// The newest entry of the journal that is known to be written.
    #[must_use]
    pub fn newest(&self) -> Option<Position> {
        self.written.back().map(|(_, at)| *at).or(self.newest_final)
    }

    /// A result stands in the store, in an event up to `at`.
    pub fn recorded(&mut self, at: Offset, granted: Granted, worker: NodeDid) {
        self.recorded.push_back((at, granted, worker));
    }

    /// A result of an earlier life, or of another node, stands in the store.
    pub fn recorded_before(&mut self, granted: Granted, worker: NodeDid) {
        self.recorded.push_front((self.since, granted, worker));
    }

    /// The journal holds everything up to the event `upto`, with its entry `at`. Gives the results that are final with that, as
    /// [`Self::read_back`] does.
    pub fn written(&mut self, upto: Offset, at: Position) -> Vec<(Granted, NodeDid)> {
        self.written.push_back((upto, at));
        self.read.map(|read| self.read_back(read)).unwrap_or_default()
    }

    /// The journal was read back up to its entry `at`. Gives the results that are final with that, and who has them. Only what this
    /// node wrote itself is: somebody else with its key may have written another entry of that number. An entry has the hash of all
    /// before it, so one that is known says the same of those before it; of one that is not known nothing follows.
    pub fn read_back(&mut self, at: Position) -> Vec<(Granted, NodeDid)> {
        self.read = Some(at);
        self.own = self.own.max(self.upto_of(at));
        self.settle()
    }

    /// Another voter has read the journal up to its entry `at`. Gives what is final with that, as [`Self::read_back`] does.
    pub fn read_by(&mut self, voter: &NodeDid, at: Position) -> Vec<(Granted, NodeDid)> {
        let upto = self.upto_of(at);
        let known = self.voters.entry(voter.clone()).or_default();
        *known = upto.max(*known);
        self.settle()
    }

    /// Up to which event the journal holds the run with this entry. 0: it is not one of those that are waited for.
    fn upto_of(&self, at: Position) -> Offset {
        self.written.iter().rev().find(|(_, entry)| *entry == at).map_or(0, |(upto, _)| *upto)
    }

    fn settle(&mut self) -> Vec<(Granted, NodeDid)> {
        let mut read: Vec<Offset> = self.voters.values().copied().chain([self.own]).collect();
        read.sort_unstable_by(|a, b| b.cmp(a));
        let by_majority = read.get(self.majority - 1).copied().unwrap_or(0);
        // What this node did not read back itself may be another entry, written with its key.
        self.upto = self.upto.max(by_majority.min(self.own));
        while self.written.front().is_some_and(|(upto, _)| *upto <= self.upto) {
            self.newest_final = self.written.pop_front().map(|(_, at)| at).or(self.newest_final);
        }
        let count = self.recorded.iter().take_while(|(at, ..)| *at <= self.upto).count();
        self.recorded.drain(..count).map(|(_, granted, worker)| (granted, worker)).collect()
    }

    /// Question `number` of the scheduler is answered when everything up to the event `at` is final.
    pub fn awaits(&mut self, at: Offset, number: u64) {
        self.awaited.push_back((at, number));
    }

    /// The newest question that is answered by now. None: no more questions were answered.
    pub fn take_answered(&mut self) -> Option<u64> {
        let count = self.awaited.iter().take_while(|(at, _)| self.is_final(*at)).count();
        self.awaited.drain(..count).next_back().map(|(_, number)| number)
    }

    /// Whether everything up to an event is final.
    #[must_use]
    pub fn is_final(&self, at: Offset) -> bool {
        self.upto >= at
    }

    /// Whether what was recorded before is final. Until then a result that is not known here may be one of those.
    #[must_use]
    pub fn is_caught_up(&self) -> bool {
        self.upto >= self.since
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{AttemptId, RunId, TaskId};

    fn granted(number: u32) -> Granted {
        let (run, task) = (RunId::from_parts(1, 1), TaskId::new("t").unwrap());
        Granted { attempt: AttemptId { run, task, number }, fence: u64::from(number) }
    }

    /// The entry of this number.
    fn entry(n: u64) -> Position {
        let run = RunId::from_parts(1, 1);
        (0..n).fold(Position::start(run), |at, _| at.after(run, 0, "an entry"))
    }

    fn worker() -> NodeDid {
        NodeDid("w".to_owned())
    }

    #[test]
    fn a_result_is_final_when_the_entry_that_tells_it_was_read_back() {
        let mut finality = Finality::since(0, None);
        finality.recorded(5, granted(1), worker());
        finality.recorded(9, granted(2), worker());
        assert_eq!(finality.written(4, entry(2)), []);
        assert_eq!(finality.written(8, entry(5)), []);
        assert_eq!(finality.read_back(entry(2)), []);
        assert_eq!(finality.read_back(entry(5)), [(granted(1), worker())]);
        assert_eq!(finality.written(9, entry(6)), []);
        assert_eq!(finality.read_back(entry(6)), [(granted(2), worker())]);
    }

    #[test]
    fn questions_are_answered_when_all_before_them_is_final() {
        let mut finality = Finality::since(3, Some((3, entry(1))));
        finality.awaits(3, 1);
        finality.awaits(5, 2);
        assert_eq!(finality.take_answered(), None);
        finality.read_back(entry(1));
        assert_eq!((finality.take_answered(), finality.take_answered()), (Some(1), None));
        // Nothing of what happened since is for the room: the journal stands where it stood.
        finality.written(4, entry(1));
        finality.written(5, entry(1));
        assert!(finality.is_final(5) && !finality.is_final(6));
        assert_eq!(finality.take_answered(), Some(2));
    }

    #[test]
    fn events_that_no_room_gets_are_final_with_those_before_them() {
        let mut finality = Finality::since(0, None);
        finality.written(4, entry(1));
        finality.written(5, entry(1));
        finality.read_back(entry(1));
        assert!(finality.is_final(5));
    }

    #[test]
    fn an_entry_may_be_read_back_before_it_is_known_to_be_written() {
        let mut finality = Finality::since(0, None);
        finality.recorded(5, granted(1), worker());
        assert_eq!(finality.read_back(entry(2)), []);
        assert_eq!(finality.written(5, entry(2)), [(granted(1), worker())]);
        assert_eq!(finality.written(6, entry(3)), []);
    }

    /// Somebody else has the key of this node, and wrote an entry where its own was to stand.
    #[test]
    fn an_entry_of_another_writer_with_this_key_makes_nothing_final() {
        let run = RunId::from_parts(1, 1);
        let (one, other) = (entry(1), Position::start(run).after(run, 0, "2"));
        let mut finality = Finality::since(0, None);
        finality.recorded(5, granted(1), worker());
        assert_eq!(finality.written(5, one), []);
        assert_eq!(finality.read_back(other), []);
        assert_eq!(finality.read_back(other.after(run, 0, "3")), []);
        assert_eq!(finality.read_back(one), [(granted(1), worker())]);
        let mut next = Finality::since(5, Some((5, one)));
        next.read_back(other);
        assert!(!next.is_caught_up());
        next.read_back(one);
        assert!(next.is_caught_up());
    }

    #[test]
    fn what_a_majority_has_read_is_final() {
        let voter = |name: &str| NodeDid(name.to_owned());
        let mut finality = Finality::since(0, None);
        finality.set_majority(3);
        finality.recorded(5, granted(1), worker());
        finality.recorded(9, granted(2), worker());
        assert_eq!((finality.written(6, entry(2)), finality.written(9, entry(3))), (vec![], vec![]));
        assert_eq!(finality.read_by(&voter("b"), entry(3)), []);
        assert_eq!(finality.read_by(&voter("b"), entry(3)), [], "one voter counts once");
        assert_eq!(finality.read_by(&voter("c"), entry(2)), [], "this node did not read it back yet");
        assert_eq!(finality.read_back(entry(3)), [(granted(1), worker())]);
        assert_eq!(finality.read_by(&voter("d"), entry(2)), []);
        assert_eq!(finality.read_by(&voter("d"), entry(7)), [], "nobody knows that entry");
        assert_eq!(finality.read_by(&voter("d"), entry(3)), [(granted(2), worker())]);
        assert_eq!(finality.newest(), Some(entry(3)));
    }

    #[test]
    fn what_an_earlier_life_recorded_is_caught_up_with() {
        let mut finality = Finality::since(7, Some((5, entry(3))));
        assert!(!finality.is_caught_up());
        finality.recorded_before(granted(1), worker());
        finality.read_back(entry(3));
        assert!(!finality.is_caught_up());
        assert_eq!(finality.written(8, entry(4)), []);
        assert_eq!(finality.read_back(entry(4)), [(granted(1), worker())]);
        assert!(finality.is_caught_up());
    }
}
