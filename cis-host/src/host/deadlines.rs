//! What is due at a session: its timeout, deadlines, warnings, and its end by idleness.

use super::patience::{Due, Patience, seen};
use super::session::{Deadline, EndedBy, Session};
use super::state::Host;
use crate::protocol::{AtDeadline, FromHost};
use cis_core::event::SessionLimit;
use cis_core::ids::TimestampMs;

impl Host {
    /// Some deadline of the session came.
    pub(super) fn session_due(&mut self, slot: usize) {
        let now = self.now;
        let there = |session: &&mut Session| session.life.has_tree();
        let Some(session) = self.sessions.get_mut(slot).filter(there) else { return };
        // Before all else: a session whose lease is over may have another attempt elsewhere, and gets no grace.
        if let Some(deadline) = session.deadline.take_if(|deadline| deadline.at_ms <= now) {
            match deadline.action {
                AtDeadline::Kill { grace_ms } => {
                    self.end_session(slot, EndedBy::Timeout, Some(grace_ms));
                }
                AtDeadline::Freeze if deadline.ends_lease => {
                    self.end_session(slot, EndedBy::Lease, Some(0));
                }
                AtDeadline::Freeze => {
                    session.deadline = deadline.keep_ms.map(|keep| Deadline {
                        at_ms: deadline.at_ms.saturating_add(keep),
                        ends_lease: true,
                        ..deadline
                    });
                    self.freeze(slot);
                }
            }
        } else if let Some(kill) = session.life.kill() {
            if kill.next <= now {
                // Not wished for again before that.
                self.sessions.ending.push(slot);
                return;
            }
        } else if session.timeout_at.is_some_and(|at| at <= now) {
            self.end_session(slot, EndedBy::Timeout, None);
        } else if session.life.freeze_next().is_some_and(|at| at <= now) {
            self.freeze(slot);
        } else {
            self.patience_due(slot);
        }
        self.wish(slot);
    }

    pub(super) fn set_deadline(&mut self, slot: usize, deadline: Option<Deadline>) {
        if let Some(session) = self.sessions.get_mut(slot) {
            session.deadline = deadline;
        }
    }

    /// The machine stood still: leases count on a clock that may have stood still too, so those that are under way may be over.
    pub(super) fn freeze_leased(&mut self) {
        let leased = |session: &Session| session.deadline.is_some_and(|at| at.action == AtDeadline::Freeze);
        let slots = self.sessions.living().filter(|(_, session)| leased(session)).map(|(slot, _)| slot);
        for slot in slots.collect::<Vec<_>>() {
            self.freeze(slot);
            self.wish(slot);
        }
        self.queues.end_leases(self.now);
    }

    /// Does what is due about the limits of a session.
    fn patience_due(&mut self, slot: usize) {
        let now = self.now;
        let Some(session) = self.sessions.get(slot) else { return };
        let (bytes_at, timeout_at) = (session.bytes_at(), session.timeout_at);
        let Some(patience) = &session.patience else { return };
        match patience.due(now, bytes_at, timeout_at) {
            Due::Nothing => {}
            Due::Look => {
                let forest = self.processes.forest_of_turn(&self.sessions, self.own_children());
                let live = self.sessions.look(slot, &forest).live;
                if let Some(patience) = self.patience_of(slot) {
                    patience.saw(now, seen(&live));
                }
            }
            Due::Warn(limit, ends_at) => {
                let heard = self.peers.control.is_some();
                if let Some(patience) = self.patience_of(slot) {
                    patience.warned(limit, bytes_at, ends_at);
                    patience.unsaid = (!heard).then_some((limit, ends_at));
                }
                if heard {
                    self.say_expiring(slot, limit, ends_at);
                }
            }
            Due::End => self.end_session(slot, EndedBy::Idle, None),
        }
    }

    /// Holds its idleness off, or lets it begin anew.
    pub(super) fn hold_idleness(&mut self, slot: usize, waits: bool) {
        let now = self.now;
        if let Some(patience) = self.patience_of(slot) {
            patience.wait(now, waits);
        }
    }

    fn patience_of(&mut self, slot: usize) -> Option<&mut Patience> {
        self.sessions.get_mut(slot)?.patience.as_deref_mut()
    }

    fn say_expiring(&mut self, slot: usize, limit: SessionLimit, ends_at: u64) {
        let Some(session) = self.sessions.get(slot).map(|session| session.id) else { return };
        let left = TimestampMs::try_from(ends_at.saturating_sub(self.now)).unwrap_or(TimestampMs::MAX);
        let at_ms = self.now_unix.saturating_add(left);
        self.peers.say_to_control(&FromHost::Expiring { session, limit, at_ms });
    }

    /// Tells a new node what no node was there for, as far as it is still true.
    pub(super) fn say_unsaid_warnings(&mut self) {
        for slot in self.sessions.living().map(|(slot, _)| slot).collect::<Vec<_>>() {
            let Some(session) = self.sessions.get_mut(slot) else { continue };
            let bytes_at = session.bytes_at();
            let unsaid = session.patience.as_mut().and_then(|patience| patience.take_unsaid(bytes_at));
            if let Some((limit, ends_at)) = unsaid {
                self.say_expiring(slot, limit, ends_at);
            }
        }
    }
}
