//! The end of a session: its leader ends, what it left behind is ended, what they wrote is drained;
//! only then the exit is told.

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use super::session::{Life, Session};
use super::state::Host;
use super::timers::Wake;
use crate::os::Processes;
use crate::protocol::FromHost;

/// A session older than this is not looked through by pid numbers: they may have gone round since, ms.
const YOUNG_MS: u64 = 500;
/// No more numbers than this are tried.
const NUMBERS_MAX: u32 = 256;

impl Host {
    /// Brings the sessions whose leader ended to their end, as far as it goes now.
    pub(super) fn settle_ended(&mut self) {
        for slot in std::mem::take(&mut self.sessions.ended) {
            self.settle(slot);
            self.note_end(slot);
        }
        self.write_notes();
    }

    pub(super) fn note_end(&mut self, slot: usize) {
        if let Some(session) = self.sessions.get_mut(slot) {
            self.notes.note_end(session);
        }
    }

    pub(super) fn write_notes(&mut self) {
        if let Some(at_ms) = self.notes.write(self.now) {
            self.timers.wish(at_ms, Wake::Host);
        }
    }

    fn settle(&mut self, slot: usize) {
        let Some(session) = self.sessions.get(slot) else { return };
        let is_ending = session.life.kill().is_some();
        match session.life {
            Life::Running { .. } | Life::Over { .. } => return,
            Life::Leaderless { .. } if !is_ending && self.is_surely_alone(session) => {
                if let Some(session) = self.sessions.get_mut(slot) {
                    session.life.tree_ended();
                }
            }
            Life::Leaderless { .. } => {
                self.read_last_words(slot);
                if !is_ending {
                    self.end_leftovers(slot);
                }
                return;
            }
            Life::Draining { .. } => {}
        }
        if self.drain_dry(slot) {
            self.finish(slot);
        } else {
            // The rest in the next turn, after the others had theirs.
            self.sessions.ended.push(slot);
        }
    }

    /// Reads the output that the leader wrote before it ended, as far as it is available.
    pub(super) fn read_last_words(&mut self, slot: usize) {
        if self.sessions.get(slot).is_some_and(|session| !session.is_output_read())
            && self.drain_dry(slot)
            && let Some(session) = self.sessions.get_mut(slot)
        {
            session.life.output_was_read();
        }
    }

    /// A leader that just ended left nothing behind. Cheap: what it started has a higher pid than its
    /// own, and pids are given out in order, so for a young session there are few numbers to try.
    /// False where that cannot be said.
    fn is_surely_alone(&self, session: &Session) -> bool {
        let Some(newest) = self.processes.system.newest_pid() else { return false };
        let few = newest >= session.pid && newest - session.pid <= NUMBERS_MAX;
        if !few || self.now - session.started > YOUNG_MS {
            return false;
        }
        (session.pid + 1..=newest).all(|pid| {
            let known = self.sessions.is_leader(pid) || self.own_children().contains(&Some(pid));
            // Only of a child this does not fail. An orphan is one; also one that ended, whose own
            // children have then just come to us.
            let looks = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
            let child = |pid| waitid(WaitId::Pid(pid), looks).is_ok();
            known || !Pid::from_raw(pid.cast_signed()).is_some_and(child)
        })
    }

    /// Nothing of it is left: tells of its exit.
    fn finish(&mut self, slot: usize) {
        let Some(session) = self.sessions.get_mut(slot) else { return };
        let polled = session.polled || session.inputs.polled;
        let Some((exit, descriptors)) = session.finish() else { return };
        let (id, queue, watchers) = (session.id, session.queue, session.watchers.clone());
        if polled {
            descriptors.into_open().for_each(|descriptor| self.poll.remove(descriptor));
        }
        // Its place in a queue is free before the end is told: the next one need not wait for that.
        let lazy = queue.is_some_and(|of| self.leave_queue(of));
        match self.peers.control {
            Some(at) if lazy => self.peers.say_soon(at, &FromHost::Exited { session: id, exit }),
            _ => self.peers.say_to_control(&FromHost::Exited { session: id, exit }),
        }
        self.tell_rest(watchers);
    }
}
