//! What the kernel shows about a session: who waits at its terminal.

use rustix::termios::{LocalModes, tcgetattr, tcgetpgrp};

use super::server::Host;
use crate::monitor::{KernelEvidence, Modes, Reader, ReaderHow};
use crate::session::os::{Process, Processes};
use crate::session::protocol::FromHost;

impl Host {
    /// Answers with the evidence of this moment.
    pub(super) fn probe(&mut self, at: usize, slot: usize) {
        let all = self.probed.take().unwrap_or_else(|| self.processes.all());
        let live = self.look_in(slot, &all).live;
        self.probed = Some(all);
        let waiting = live.iter().filter(|process| self.waits_at_terminal(process));
        let mut readers: Vec<Reader> = waiting.map(reader).collect();
        // Only now: what they wrote before they began to wait is part of the evidence.
        self.drain_dry(slot);
        let Some(session) = self.sessions.get(slot) else { return };
        let terminal = session.descriptors.terminal();
        let modes = terminal.and_then(|master| tcgetattr(master).ok()).map(|modes| modes.local_modes);
        let modes = modes.map(|modes| Modes {
            canonical: modes.contains(LocalModes::ICANON),
            echo: modes.contains(LocalModes::ECHO),
        });
        let group = terminal.and_then(|master| tcgetpgrp(master).ok());
        let group = group.map(|group| group.as_raw_nonzero().get().unsigned_abs());
        for reader in &mut readers {
            let process = live.iter().find(|process| process.pid == reader.pid);
            reader.nested = process.is_some_and(|process| process.terminal_group != group);
            reader.modes = modes.filter(|_| !reader.nested);
        }
        let foreground = live.iter().filter(|process| Some(process.group) == group);
        let ticks: u64 = live.iter().map(|process| process.cpu).sum();
        let evidence = KernelEvidence {
            at_ms: self.now_unix,
            output_bytes: session.log.total(),
            quiet_ms: self.now.saturating_sub(session.last_output),
            modes,
            foreground: foreground.map(|process| process.name.clone()).collect(),
            opaque: false,
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

fn reader(process: &Process) -> Reader {
    Reader {
        pid: process.pid,
        name: process.name.clone(),
        how: ReaderHow::Read,
        nested: false,
        foreign: false,
        modes: None,
    }
}
