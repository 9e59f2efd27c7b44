//! What the kernel shows about a session: who waits at its terminal.

use rustix::termios::{LocalModes, tcgetattr, tcgetpgrp};

use super::server::Host;
use crate::session::os::{Process, Processes};
use crate::session::protocol::{Evidence, FromHost};

impl Host {
    /// Answers with the evidence of this moment.
    pub(super) fn probe(&mut self, at: usize, slot: usize) {
        let all = self.probed.take().unwrap_or_else(|| self.processes.all());
        let live = self.look_in(slot, &all).live;
        self.probed = Some(all);
        let waiting = live.iter().filter(|process| self.waits_at_terminal(process));
        let readers = waiting.map(|process| (process.pid, process.name.clone())).collect();
        // Only now: what they wrote before they began to wait is part of the evidence.
        self.drain_dry(slot);
        let Some(session) = self.sessions.get(slot) else { return };
        let terminal = session.descriptors.terminal();
        let modes = terminal.and_then(|master| tcgetattr(master).ok()).map(|modes| modes.local_modes);
        let foreground = terminal.and_then(|master| tcgetpgrp(master).ok());
        let ticks: u64 = live.iter().map(|process| process.cpu).sum();
        let evidence = Evidence {
            at_ms: self.now_unix,
            output_bytes: session.log.total(),
            quiet_ms: self.now.saturating_sub(session.last_output),
            canonical: modes.is_some_and(|modes| modes.contains(LocalModes::ICANON)),
            echo: modes.is_some_and(|modes| modes.contains(LocalModes::ECHO)),
            foreground_pgid: foreground.map(|group| group.as_raw_nonzero().get().unsigned_abs()),
            readers,
            cpu_ms: ticks * 1000 / self.processes.ticks_per_second(),
            processes: u32::try_from(live.len()).unwrap_or(u32::MAX),
        };
        let session = session.id;
        self.say(at, &FromHost::Probed { session, evidence });
    }

    /// In the foreground of its own terminal, which may be one nested in the session's.
    fn waits_at_terminal(&self, process: &Process) -> bool {
        let foreground = process.terminal_group == Some(process.group);
        foreground && !process.stopped && self.processes.reads_terminal(process.pid)
    }
}
