//! Queues of sessions that wait for their turn: those of a run that were started ahead.
//!
//! A node that starts many short sessions one by one would be asked for the next one at each end, and
//! nothing would run meanwhile. So it may send some ahead; each begins here when one of the same queue
//! ends, and never more at once than the queue allows. A session counts from its first process until its
//! exit is there to be told.
//!
//! The queues go on while no node is there. What still waits when the next one comes is forgotten.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::protocol::{Lease, Line, Start};
use cis_core::ids::{RunId, SessionId};

/// The sessions of one run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Queue {
    at_once: u32,
    lazy_above: u32,
    alive: u32,
    waiting: VecDeque<Box<Start>>,
}

/// All queues that have a session.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Queues {
    queues: BTreeMap<RunId, Queue>,
}

impl Queues {
    /// Takes the start of a session into its queue; one that is there already stays where it is.
    pub(super) fn join(&mut self, line: Line, start: Box<Start>) {
        let queue = self.queues.entry(line.of).or_default();
        queue.at_once = line.at_once.max(1);
        queue.lazy_above = line.lazy_above;
        if !queue.waiting.iter().any(|other| other.session == start.session) {
            queue.waiting.push_back(start);
        }
    }

    /// One of its sessions has a process.
    pub(super) fn began(&mut self, of: RunId) {
        if let Some(queue) = self.queues.get_mut(&of) {
            queue.alive += 1;
        }
    }

    /// One that began is over.
    pub(super) fn left(&mut self, of: RunId) {
        if let Some(queue) = self.queues.get_mut(&of) {
            queue.alive = queue.alive.saturating_sub(1);
        }
    }

    /// Takes the next one out, where its turn is now.
    pub(super) fn next(&mut self, of: RunId) -> Option<Box<Start>> {
        let queue = self.queues.get_mut(&of)?;
        let next = if queue.alive < queue.at_once { queue.waiting.pop_front() } else { None };
        if next.is_none() && queue.alive == 0 && queue.waiting.is_empty() {
            self.queues.remove(&of);
        }
        next
    }

    /// Takes one out that has not begun. True where it was there.
    pub(super) fn withdraw(&mut self, id: SessionId) -> bool {
        self.queues.values_mut().any(|queue| {
            let before = queue.waiting.len();
            queue.waiting.retain(|start| start.session != id);
            queue.waiting.len() < before
        })
    }

    /// Gives a waiting session another lease, or takes its lease away. Returns whether the session was there.
    pub(super) fn renew(&mut self, id: SessionId, lease: Option<Lease>) -> bool {
        let mut waiting = self.queues.values_mut().flat_map(|queue| &mut queue.waiting);
        waiting.find(|start| start.session == id).map(|start| start.lease = lease).is_some()
    }

    /// Ends the leases of all waiting sessions at this time: they start only if they are renewed.
    pub(super) fn end_leases(&mut self, now: u64) {
        let waiting = self.queues.values_mut().flat_map(|queue| &mut queue.waiting);
        for lease in waiting.filter_map(|start| start.lease.as_mut()) {
            lease.until_ms = lease.until_ms.min(now);
        }
    }

    /// Nothing waits any more. Gives what did.
    pub(super) fn clear(&mut self) -> Vec<SessionId> {
        let waiting = self.queues.values_mut().flat_map(|queue| queue.waiting.drain(..));
        let waiting = waiting.map(|start| start.session).collect();
        self.queues.retain(|_, queue| queue.alive > 0);
        waiting
    }

    /// So many wait that the node need not hurry to send more.
    pub(super) fn is_full(&self, of: RunId) -> bool {
        self.queues.get(&of).is_some_and(|queue| queue.waiting.len() > queue.lazy_above as usize)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::protocol::Io;

    const RUN: u128 = 1;

    fn run(n: u128) -> RunId {
        RunId::from_parts(1, n)
    }

    fn start(n: u128) -> Box<Start> {
        Box::new(Start {
            session: SessionId::from_parts(1, n),
            label: String::new(),
            argv: Vec::new(),
            cwd: String::new(),
            env_base: None,
            env: BTreeMap::new(),
            umask: None,
            line: None,
            io: Io::Pipes { stdin: false },
            log: String::new(),
            log_limit_bytes: 0,
            timeout_ms: None,
            idle_ms: None,
            warn_ms: None,
            grace_ms: 0,
            files: BTreeMap::new(),
            stdin: None,
            lease: None,
        })
    }

    fn filled(at_once: u32, lazy_above: u32, sessions: u128) -> Queues {
        let mut queues = Queues::default();
        for n in 0..sessions {
            queues.join(Line { of: run(RUN), at_once, lazy_above }, start(n));
        }
        queues
    }

    /// Begins all whose turn it is.
    fn begin(queues: &mut Queues) -> usize {
        let mut begun = 0;
        while queues.next(run(RUN)).is_some() {
            queues.began(run(RUN));
            begun += 1;
        }
        begun
    }

    #[test]
    fn no_more_begin_at_once_than_the_queue_allows() {
        let mut queues = filled(2, 0, 5);
        assert_eq!(begin(&mut queues), 2);
        queues.left(run(RUN));
        assert_eq!(begin(&mut queues), 1);
        queues.left(run(RUN));
        queues.left(run(RUN));
        assert_eq!(begin(&mut queues), 2);
        assert!(filled(0, 0, 1).next(run(RUN)).is_some(), "none at once would be none ever");
    }

    #[test]
    fn one_that_is_sent_twice_begins_once() {
        let mut queues = filled(9, 0, 1);
        queues.join(Line { of: run(RUN), at_once: 9, lazy_above: 0 }, start(0));
        assert_eq!(begin(&mut queues), 1);
    }

    #[test]
    fn one_that_is_withdrawn_does_not_begin() {
        let mut queues = filled(1, 0, 2);
        assert!(queues.withdraw(SessionId::from_parts(1, 0)));
        assert!(!queues.withdraw(SessionId::from_parts(1, 0)));
        assert_eq!(queues.next(run(RUN)).unwrap().session, SessionId::from_parts(1, 1));
    }

    #[test]
    fn a_queue_is_full_while_more_wait_than_the_node_wants_and_gone_when_nothing_is_left() {
        let mut queues = filled(1, 1, 3);
        assert!(queues.is_full(run(RUN)) && !queues.is_full(run(2)));
        assert_eq!(begin(&mut queues), 1);
        assert!(queues.is_full(run(RUN)));
        assert_eq!(queues.clear().len(), 2);
        assert!(!queues.is_full(run(RUN)) && queues.queues.len() == 1, "one lives");
        queues.left(run(RUN));
        assert_eq!(begin(&mut queues), 0);
        assert!(queues.queues.is_empty());
    }
}
