//! What the kernel shows about a session: who waits at its terminal.

use rustix::termios::tcgetpgrp;

use super::state::Host;
use crate::evidence::{Drained, Moment, Scene};
use crate::os::{self, Terminal};
use crate::protocol::FromHost;

/// A session is drained so often for one look, each time by as much as a turn takes: more than a terminal
/// holds.
const DRAINS_MAX: usize = 4;

impl Host {
    /// Answers with the evidence of this moment.
    pub(super) fn probe(&mut self, at: usize, slot: usize) {
        let own = self.own_children();
        let mut live = self.processes.of_session(slot, &mut self.sessions, own, self.now);
        if self.sessions.get(slot).is_some_and(|session| session.passes_on)
            && let Some(more) = self.processes.more_of_session(slot, &mut self.sessions, own, self.now)
        {
            live = more;
        }
        let Some(session) = self.sessions.get_mut(slot) else { return };
        let mut impatience = std::mem::take(&mut session.impatience);
        let Some(session) = self.sessions.get(slot) else { return };
        let master = session.descriptors.terminal();
        let group = master.and_then(|master| tcgetpgrp(master).ok());
        let group = group.map(|group| group.as_raw_nonzero().get().unsigned_abs());
        let modes = master.and_then(os::modes);
        let is_anothers = |terminal: Terminal| {
            self.sessions
                .living()
                .any(|(other, one)| other != slot && one.terminal.is_some_and(|own| own.is(terminal)))
        };
        let scene =
            Scene { terminal: session.terminal, group, modes, live: &live, is_anothers: &is_anothers };
        let mut found = scene.look(&self.processes.system);
        if found.suggests_strangers() {
            let quiet_ms = self.now.saturating_sub(session.last_output);
            let at = Moment { now: self.now, output_bytes: session.log.total(), quiet_ms };
            self.strangers.look(&self.processes.system, &scene, &mut impatience, at, &mut found);
        }
        // Only now: what they wrote before they began to wait is part of the evidence.
        for _ in 0..DRAINS_MAX {
            if self.drain_dry(slot) {
                break;
            }
        }
        let Some(session) = self.sessions.get_mut(slot) else { return };
        session.forget_read_line();
        session.impatience = impatience;
        session.passes_on = found.passes_on();
        let drained = Drained {
            at_ms: self.now_unix,
            output_bytes: session.log.total(),
            quiet_ms: self.now.saturating_sub(session.last_output),
        };
        let evidence = found.evidence(modes, &live, drained, &self.processes.system);
        let (id, inputs) = (session.id, &session.inputs);
        let (input_bytes, line_begun) = (Some(inputs.came), inputs.has_begun_line());
        self.peers.say(at, &FromHost::Probed { session: id, evidence, input_bytes, line_begun });
    }
}
