//! Which results of a run cannot be voided by a takeover any more: those that its coordinator read back from the room.
//!
//! Owns, for one run that this node coordinates, what waits for that. Pure; the caller says what was written and read.

use std::collections::VecDeque;

use super::link::Position;
use super::protocol::message::Granted;
use crate::ids::{NodeDid, Offset};

/// An entry that was written: its number, and where that is known, its place with the hash.
#[derive(Debug, Clone, Copy)]
struct Entry {
    n: u64,
    at: Option<Position>,
}

/// See the module.
#[derive(Debug)]
pub struct Finality {
    /// Results, each with an event behind which it stands in the store. In order.
    recorded: VecDeque<(Offset, Granted, NodeDid)>,
    /// Up to which event the journal holds the run, and which entry that is. In order.
    written: VecDeque<(Offset, Entry)>,
    /// Everything up to this event was read back.
    upto: Offset,
    /// What happened up to here was recorded in an earlier life, or by another node.
    since: Offset,
}

impl Finality {
    /// Of a run about which the store knows everything up to the event `since`. `written`: so far its journal was written,
    /// as [`Self::written`] takes it.
    #[must_use]
    pub fn since(since: Offset, written: Option<(Offset, u64)>) -> Self {
        let written = written.map(|(upto, n)| (upto, Entry { n, at: None }));
        Self { recorded: VecDeque::new(), written: written.into_iter().collect(), upto: 0, since }
    }

    /// The same, where the place of the entry is known: for [`Self::read_back_at`].
    #[must_use]
    pub fn since_at(since: Offset, written: Option<(Offset, Position)>) -> Self {
        let written = written.map(|(upto, at)| (upto, Entry { n: at.n, at: Some(at) }));
        Self { recorded: VecDeque::new(), written: written.into_iter().collect(), upto: 0, since }
    }

    /// A result stands in the store, in an event up to `at`.
    pub fn recorded(&mut self, at: Offset, granted: Granted, worker: NodeDid) {
        self.recorded.push_back((at, granted, worker));
    }

    /// A result of an earlier life, or of another node, stands in the store.
    pub fn recorded_before(&mut self, granted: Granted, worker: NodeDid) {
        self.recorded.push_front((self.since, granted, worker));
    }

    /// The journal holds everything up to the event `upto`, with its entry `n`.
    pub fn written(&mut self, upto: Offset, n: u64) {
        self.written.push_back((upto, Entry { n, at: None }));
    }

    /// The journal holds everything up to the event `upto`, with its entry `at`.
    pub fn written_at(&mut self, upto: Offset, at: Position) {
        self.written.push_back((upto, Entry { n: at.n, at: Some(at) }));
    }

    /// The journal was read back up to its entry `n`. Gives the results that are final with that, and who has them.
    pub fn read_back(&mut self, n: u64) -> Vec<(Granted, NodeDid)> {
        let whole = self.written.iter().take_while(|(_, entry)| entry.n <= n).count();
        self.are_final(whole)
    }

    /// The journal was read back up to its entry `at`. Gives the results that are final with that, and who has them. Only what this
    /// node wrote itself is: somebody else with its key may have written another entry of that number. An entry has the hash of all
    /// before it, so one that is known says the same of those before it; of one that is not known nothing follows.
    pub fn read_back_at(&mut self, at: Position) -> Vec<(Granted, NodeDid)> {
        let whole =
            self.written.iter().position(|(_, entry)| entry.at == Some(at)).map_or(0, |index| index + 1);
        self.are_final(whole)
    }

    /// The first `count` of what was written stands in the room.
    fn are_final(&mut self, count: usize) -> Vec<(Granted, NodeDid)> {
        if let Some((upto, _)) = self.written.drain(..count).last() {
            self.upto = upto;
        }
        let count = self.recorded.iter().take_while(|(at, ..)| *at <= self.upto).count();
        self.recorded.drain(..count).map(|(_, granted, worker)| (granted, worker)).collect()
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

    fn worker() -> NodeDid {
        NodeDid("w".to_owned())
    }

    #[test]
    fn a_result_is_final_when_the_entry_that_tells_it_was_read_back() {
        let mut finality = Finality::since(0, None);
        finality.recorded(5, granted(1), worker());
        finality.recorded(9, granted(2), worker());
        finality.written(4, 2);
        finality.written(8, 5);
        assert_eq!(finality.read_back(4), []);
        assert_eq!(finality.read_back(5), [(granted(1), worker())]);
        finality.written(9, 6);
        assert_eq!(finality.read_back(9), [(granted(2), worker())]);
    }

    /// Somebody else has the key of this node, and wrote an entry where its own was to stand.
    #[test]
    fn an_entry_of_another_writer_with_this_key_makes_nothing_final() {
        let run = RunId::from_parts(1, 1);
        let (one, other) = (Position::start(run).after(run, 0, "1"), Position::start(run).after(run, 0, "2"));
        let mut finality = Finality::since_at(0, None);
        finality.recorded(5, granted(1), worker());
        finality.written_at(5, one);
        assert_eq!(finality.read_back_at(other), []);
        assert_eq!(finality.read_back_at(other.after(run, 0, "3")), []);
        assert_eq!(finality.read_back_at(one), [(granted(1), worker())]);
        let mut next = Finality::since_at(5, Some((5, one)));
        next.read_back_at(other);
        assert!(!next.is_caught_up());
        next.read_back_at(one);
        assert!(next.is_caught_up());
    }

    #[test]
    fn what_an_earlier_life_recorded_is_caught_up_with() {
        let mut finality = Finality::since(7, Some((5, 3)));
        assert!(!finality.is_caught_up());
        finality.recorded_before(granted(1), worker());
        finality.read_back(3);
        assert!(!finality.is_caught_up());
        finality.written(8, 4);
        assert_eq!(finality.read_back(4), [(granted(1), worker())]);
        assert!(finality.is_caught_up());
    }
}
