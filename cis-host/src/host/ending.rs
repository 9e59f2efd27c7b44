//! The end of a session: its leader ends, what it left behind is ended, what they wrote is drained;
//! only then the exit is told.

use std::collections::BTreeMap;

use rustix::process::{Pid, WaitId, WaitIdOptions, WaitOptions, WaitStatus, wait, waitid};

use super::server::Host;
use super::session::{Descriptors, Session};
use super::slab::Slab;
use super::timers::Wake;
use crate::exits::{Line, Note};
use crate::os::Processes;
use crate::protocol::FromHost;
use cis_core::event::ExitStatus;
use cis_core::ids::SessionId;

/// A session older than this is not looked through by pid numbers: they may have gone round since, ms.
const YOUNG_MS: u64 = 500;
/// No more numbers than this are tried.
const NUMBERS_MAX: u32 = 256;
/// After an orphan ended, its session is looked at again at the earliest so much later, ms.
const RECHECK_MS: u64 = 10;
/// Notes that could not be written are tried again after this time at the latest, ms.
const NOTES_RETRY_MS: u64 = 1000;

impl Host {
    /// Waits for every child that ended.
    pub(super) fn reap(&mut self) {
        let mut orphans = false;
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            let pid = pid.as_raw_nonzero().get().unsigned_abs();
            if let Some(slot) = self.by_pid.remove(&pid) {
                if let Some(session) = self.sessions.get_mut(slot) {
                    session.leader_end = Some((exit_status(status), self.now_unix));
                }
                self.ended.push(slot);
            } else if self.supervise.ended(pid) {
                self.restart_node_if_due();
            } else {
                orphans = true;
            }
        }
        if orphans {
            self.orphan_ended();
        }
    }

    /// Sessions that are being ended may be over now.
    fn orphan_ended(&mut self) {
        let ending: Vec<usize> = self
            .sessions
            .iter()
            .filter(|(_, one)| one.lives() && one.kill.is_some())
            .map(|(slot, _)| slot)
            .collect();
        for slot in ending {
            let soon = self.now + RECHECK_MS;
            if let Some(kill) = self.sessions.get_mut(slot).and_then(|session| session.kill.as_mut())
                && kill.next > soon
            {
                kill.next = soon;
                self.wish(slot);
            }
        }
    }

    /// Brings the sessions whose leader ended to their end, as far as it goes now.
    pub(super) fn settle_ended(&mut self) {
        for slot in std::mem::take(&mut self.ended) {
            self.settle(slot);
            self.note_end(slot);
        }
        self.write_notes();
    }

    /// Notes how the leader of a session ended: once when it ends, and once more when all output is read.
    fn note_end(&mut self, slot: usize) {
        let Some(session) = self.sessions.get_mut(slot) else { return };
        if session.leader_end.is_none() || (session.noted && session.lives()) {
            return;
        }
        session.noted = true;
        if session.promise.is_empty() {
            return;
        }
        let lives = session.lives();
        self.exits.release(&mut session.promise, !lives);
        let ending;
        let exit = match &session.exit {
            Some(exit) => exit,
            None => {
                ending = session.ending();
                let Some(ending) = &ending else { return };
                ending
            }
        };
        if !exit.shut_down {
            self.exits.add(&Line {
                session: session.id,
                label: &session.label,
                pid: session.pid,
                started_ms: session.started_ms,
                exit,
                log: session.log.path(),
                unread: !session.dry,
            });
        }
    }

    /// Writes the added notes. Those that cannot be written are tried again.
    fn write_notes(&mut self) {
        if self.exits.write() {
            self.notes_retry_at = None;
        } else if self.notes_retry_at.is_none_or(|at| at <= self.now) {
            let at = self.now + NOTES_RETRY_MS;
            self.notes_retry_at = Some(at);
            self.timers.wish(at, Wake::Host);
        }
    }

    fn settle(&mut self, slot: usize) {
        let Some(session) = self.sessions.get(slot) else { return };
        if session.leader_end.is_none() || !session.lives() {
            return;
        }
        if !session.tree_gone {
            if session.kill.is_some() {
                return self.read_last_words(slot);
            }
            if !self.is_surely_alone(slot) {
                self.read_last_words(slot);
                self.end_leftovers(slot);
            } else if let Some(session) = self.sessions.get_mut(slot) {
                session.tree_gone = true;
            }
        }
        if self.sessions.get(slot).is_some_and(|session| session.tree_gone) {
            if self.drain_dry(slot) {
                self.finish(slot);
            } else {
                // The rest in the next turn, after the others had theirs.
                self.ended.push(slot);
            }
        }
    }

    /// Reads the output that the leader wrote before it ended, as far as it is available.
    fn read_last_words(&mut self, slot: usize) {
        if self.sessions.get(slot).is_some_and(|session| !session.dry) {
            let dry = self.drain_dry(slot);
            if let Some(session) = self.sessions.get_mut(slot) {
                session.dry = dry;
            }
        }
    }

    /// A leader that just ended left nothing behind. Cheap: what it started has a higher pid than its
    /// own, and pids are given out in order, so for a young session there are few numbers to try.
    /// False where that cannot be said.
    fn is_surely_alone(&self, slot: usize) -> bool {
        let Some(session) = self.sessions.get(slot) else { return true };
        let Some(newest) = self.processes.newest_pid() else { return false };
        let few = newest >= session.pid && newest - session.pid <= NUMBERS_MAX;
        if !few || self.now - session.started > YOUNG_MS {
            return false;
        }
        (session.pid + 1..=newest).all(|pid| {
            let known = self.by_pid.contains_key(&pid) || self.supervise.node == Some(pid);
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
        session.dry = true;
        session.log.finish();
        let Some(exit) = session.ending() else { return };
        let descriptors = std::mem::replace(&mut session.descriptors, Descriptors::Closed);
        session.inputs.discard();
        (session.kill, session.freeze_next, session.seen) = (None, None, Vec::new());
        session.exit = Some(exit.clone());
        let (id, line, watchers) = (session.id, session.line, session.watchers.clone());
        let polled = session.polled || session.inputs.polled;
        if polled {
            for descriptor in descriptors.into_open() {
                self.poll_no_more(descriptor);
            }
        }
        // Its place in a line is free before the end is told: the next one need not wait for that.
        let lazy = line.is_some_and(|of| self.leave_line(of));
        match self.control {
            Some(at) if lazy => self.say_soon(at, &FromHost::Exited { session: id, exit }),
            _ => self.say_to_control(&FromHost::Exited { session: id, exit }),
        }
        for at in watchers {
            self.list(at);
        }
    }
}

impl Session {
    /// Its leader is there, as a process or as one to be waited for: its pid is no other's.
    pub(super) fn leader(&self) -> Option<Pid> {
        if self.leader_end.is_some() { None } else { Pid::from_raw(self.pid.cast_signed()) }
    }
}

/// Returns the notes of all ends that no node has recorded. `left` are those of earlier hosts.
pub(super) fn open_notes(left: &BTreeMap<SessionId, Note>, sessions: &Slab<Session>) -> Vec<Note> {
    let open = sessions.iter().filter(|(_, session)| !session.acknowledged);
    left.values().cloned().chain(open.filter_map(|(_, session)| session.note())).collect()
}

fn exit_status(status: WaitStatus) -> ExitStatus {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => ExitStatus::Code(code),
        (None, Some(signal)) => ExitStatus::Signal(signal),
        (None, None) => ExitStatus::Code(-1),
    }
}
