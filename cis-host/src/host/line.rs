//! Sessions that wait for their turn: those of a run that were started ahead.
//!
//! A node that starts many short sessions one by one would be asked for the next one at each end, and
//! nothing would run meanwhile. So it may send some ahead; each begins here when one of the same line
//! ends, and never more at once than the line allows. A session counts from its first process until its
//! exit is there to be told.
//!
//! The lines go on while no node is there. What still waits when the next one comes is forgotten.

use std::collections::{BTreeMap, VecDeque};

use super::server::Host;
use crate::protocol::{FromHost, Line, Start, StartFailure};
use cis_core::ids::{RunId, SessionId};

/// The sessions of one line.
#[derive(Debug, Default)]
struct Place {
    at_once: u32,
    lazy_above: u32,
    alive: u32,
    waiting: VecDeque<Box<Start>>,
}

/// All lines that have a session.
#[derive(Debug, Default)]
pub(super) struct Lines {
    places: BTreeMap<RunId, Place>,
}

impl Lines {
    /// Takes the start of a session into its line; one that is there already stays where it is.
    fn join(&mut self, line: Line, start: Box<Start>) {
        let place = self.places.entry(line.of).or_default();
        place.at_once = line.at_once.max(1);
        place.lazy_above = line.lazy_above;
        if !place.waiting.iter().any(|other| other.session == start.session) {
            place.waiting.push_back(start);
        }
    }

    /// One of its sessions has a process.
    fn began(&mut self, of: RunId) {
        if let Some(place) = self.places.get_mut(&of) {
            place.alive += 1;
        }
    }

    /// One that began is over.
    fn left(&mut self, of: RunId) {
        if let Some(place) = self.places.get_mut(&of) {
            place.alive = place.alive.saturating_sub(1);
        }
    }

    /// Takes the next one out, where its turn is now.
    fn next(&mut self, of: RunId) -> Option<Box<Start>> {
        let place = self.places.get_mut(&of)?;
        let next = if place.alive < place.at_once { place.waiting.pop_front() } else { None };
        if next.is_none() && place.alive == 0 && place.waiting.is_empty() {
            self.places.remove(&of);
        }
        next
    }

    /// Takes one out that has not begun. True where it was there.
    fn withdraw(&mut self, id: SessionId) -> bool {
        self.places.values_mut().any(|place| {
            let before = place.waiting.len();
            place.waiting.retain(|start| start.session != id);
            place.waiting.len() < before
        })
    }

    /// Nothing waits any more. Gives what did.
    fn clear(&mut self) -> Vec<SessionId> {
        let waiting = self.places.values_mut().flat_map(|place| place.waiting.drain(..));
        let waiting = waiting.map(|start| start.session).collect();
        self.places.retain(|_, place| place.alive > 0);
        waiting
    }

    /// So many wait that the node need not hurry to send more.
    fn is_full(&self, of: RunId) -> bool {
        self.places.get(&of).is_some_and(|place| place.waiting.len() > place.lazy_above as usize)
    }
}

impl Host {
    /// A session that is to begin when its turn comes.
    pub(super) fn start_in_line(&mut self, line: Line, start: Start) {
        self.lines.join(line, Box::new(start));
        self.go_on(line.of);
    }

    /// Begins all whose turn it is. Their start is told when they have lived for a moment, or not at all.
    fn go_on(&mut self, of: RunId) {
        while let Some(start) = self.lines.next(of) {
            let session = start.session;
            match self.spawn_session(*start) {
                Ok(slot) => {
                    self.lines.began(of);
                    self.wish(slot);
                }
                Err(why) => self.say_to_control(&FromHost::StartFailed { session, why }),
            }
        }
    }

    /// A session of the line is over: the next one begins. True where the node may hear of the end later.
    pub(super) fn leave_line(&mut self, of: RunId) -> bool {
        self.lines.left(of);
        self.go_on(of);
        self.lines.is_full(of)
    }

    /// Takes a session out of its line, if it has not begun. True where it was there.
    pub(super) fn withdraw(&mut self, session: SessionId) -> bool {
        let withdrawn = self.lines.withdraw(session);
        if withdrawn {
            self.say_to_control(&FromHost::StartFailed { session, why: StartFailure::Withdrawn {} });
        }
        withdrawn
    }

    /// Another node is told which sessions are there. What waits is not among them, so it must not begin
    /// behind its back: that node has it granted anew, or not.
    pub(super) fn leave_lines_to_node(&mut self) {
        drop(self.lines.clear());
    }

    /// Nothing that waits begins any more.
    pub(super) fn empty_lines(&mut self) {
        for session in self.lines.clear() {
            self.say_to_control(&FromHost::StartFailed { session, why: StartFailure::Withdrawn {} });
        }
    }
}
