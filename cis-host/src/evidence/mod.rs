//! What the kernel shows of a terminal and of the processes at it: who waits for input there.
//!
//! Owns the rules by which processes and their waits become evidence: foreground and background, nested
//! terminals, strangers that read ours, processes that cannot be looked into. How it is read from the system is
//! `os`'s, whose processes these are is told by the caller, and what it means is the monitor's.

mod strangers;
mod watched;

use std::collections::{BTreeMap, BTreeSet};

pub(crate) use strangers::{Impatience, Moment, Strangers};
pub use watched::{Drained, Watched};

use crate::os::{Budget, Process, Processes, Terminal, TerminalWait};
use cis_core::monitor::{KernelEvidence, Modes, Reader, ReaderHow};

/// Of one tree no more processes are looked at.
pub(crate) const PROCESSES_MAX: usize = 4096;
/// What looking into the processes of one session may cost, in descriptors.
const LOOKS_MAX: usize = 6000;
/// And in CPU time, µs: whoever looks has other sessions to serve.
const LOOK_US_MAX: u64 = 8000;
/// No more readers are told: the nearest ones.
const READERS_MAX: usize = 16;
/// No more terminals inside are told apart.
const INSIDE_MAX: usize = 16;
/// No more names of the foreground are told.
const FOREGROUND_MAX: usize = 32;

/// Of what evidence is wanted.
pub(crate) struct Scene<'a> {
    /// The session's terminal; none: it has pipes.
    pub(crate) terminal: Option<Terminal>,
    /// Process group in its foreground.
    pub(crate) group: Option<u32>,
    /// Modes of it.
    pub(crate) modes: Option<Modes>,
    /// Processes of the session.
    pub(crate) live: &'a [Process],
    /// A terminal is another session's own, and not nested in this one.
    pub(crate) is_anothers: &'a dyn Fn(Terminal) -> bool,
}

/// Who opened a terminal.
#[derive(Debug, Clone, Copy)]
struct Opener {
    pid: u32,
    /// Its own terminal.
    terminal: Terminal,
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Who waits for a terminal, the nearest first: its own before nested ones, reads before polls.
    pub(crate) readers: Vec<Reader>,
    /// Names of the processes in the foreground.
    pub(crate) foreground: Vec<String>,
    /// Some process of the foreground cannot be looked into.
    pub(crate) opaque: bool,
    /// Terminals inside that have processes of the session in their foreground, each with who opened it, as far as that is known.
    inside: BTreeMap<Terminal, Option<Opener>>,
    /// Some of those processes cannot be looked into.
    inside_opaque: bool,
    /// One in the foreground waits for a peer, which may ask on its behalf.
    peer: bool,
}

impl Found {
    /// Nobody of the tree reads, and somebody else might.
    pub(crate) fn suggests_strangers(&self) -> bool {
        self.peer && !self.readers.iter().any(|reader| reader.how == ReaderHow::Read)
    }

    /// Who reads the session's own terminal may pass on what is typed, to a terminal that is not seen.
    pub(crate) fn passes_on(&self) -> bool {
        let polls = |reader: &Reader| !reader.nested && reader.how == ReaderHow::Poll;
        self.inside.is_empty() && self.readers.iter().any(polls)
    }

    /// With modes of the session's own terminal, its processes, and what is known of the output since: all
    /// that is told of this moment.
    pub(crate) fn evidence(
        self,
        modes: Option<Modes>,
        live: &[Process],
        drained: Drained,
        processes: &impl Processes,
    ) -> KernelEvidence {
        let ticks: u64 = live.iter().map(|process| process.cpu).sum();
        KernelEvidence {
            at_ms: drained.at_ms,
            output_bytes: drained.output_bytes,
            quiet_ms: drained.quiet_ms,
            modes,
            beside: self.beside(),
            foreground: self.foreground,
            opaque: self.opaque,
            readers: self.readers,
            inside_opaque: self.inside_opaque,
            cpu_ms: ticks * 1000 / processes.ticks_per_second(),
            processes: u32::try_from(live.len()).unwrap_or(u32::MAX),
        }
    }

    /// How many terminals inside have no other one inside.
    fn beside(&self) -> u32 {
        let beside = self.inside.keys().filter(|terminal| !self.is_outer(**terminal)).count();
        u32::try_from(beside).unwrap_or(u32::MAX)
    }

    /// Another terminal was opened from this one.
    fn is_outer(&self, terminal: Terminal) -> bool {
        self.inside.values().flatten().any(|opener| opener.terminal.is(terminal))
    }

    /// Tells those that opened another terminal, and pass on what is typed to it, from the others.
    fn mark_outer(&mut self) {
        let openers: BTreeSet<u32> = self.inside.values().flatten().map(|opener| opener.pid).collect();
        for reader in self.readers.iter_mut().filter(|reader| reader.nested) {
            reader.outer = openers.contains(&reader.pid);
        }
    }

    fn add_inside(&mut self, terminal: Terminal, opener: impl FnOnce() -> Option<Opener>) {
        if self.inside.len() < INSIDE_MAX && !self.inside.contains_key(&terminal) {
            self.inside.insert(terminal, opener());
        }
    }

    /// Puts one more in its place.
    pub(crate) fn add(&mut self, reader: Reader) {
        let place = |reader: &Reader| (reader.nested, reader.how, reader.foreign, reader.pid);
        let at = self.readers.partition_point(|known| place(known) <= place(&reader));
        self.readers.insert(at, reader);
        self.readers.truncate(READERS_MAX);
    }
}

impl Scene<'_> {
    /// The terminals of the session: its own and those that control a process of it.
    fn terminals(&self) -> BTreeSet<Terminal> {
        let nested = self.live.iter().filter_map(|process| process.terminal);
        self.terminal.into_iter().chain(nested.filter(|one| !self.is_own(*one))).collect()
    }

    /// The session's own one, or one that controls a process of the session.
    fn is_known(&self, terminal: Terminal) -> bool {
        self.is_own(terminal) || self.live.iter().any(|one| one.terminal.is_some_and(|its| its.is(terminal)))
    }

    fn is_nested(&self, terminal: Terminal) -> bool {
        !self.is_own(terminal) && !(self.is_anothers)(terminal)
    }

    /// The process that started the first one in this terminal. None: it is gone, or has no terminal, as the server of tmux.
    fn opener(&self, terminal: Terminal) -> Option<Opener> {
        let leads = |process: &&Process| process.terminal == Some(terminal) && process.pid == process.session;
        let leader = self.live.iter().find(leads)?;
        let opener = self.live.iter().find(|process| process.pid == leader.parent)?;
        Some(Opener { pid: opener.pid, terminal: opener.terminal? })
    }

    fn is_own(&self, terminal: Terminal) -> bool {
        self.terminal.is_some_and(|own| own.is(terminal))
    }

    /// In the foreground of the session's own terminal.
    fn is_in_front(&self, process: &Process) -> bool {
        process.terminal.is_some_and(|terminal| self.is_own(terminal)) && Some(process.group) == self.group
    }

    /// What it reads it would get: it is not stopped, and not in the background of the terminal that
    /// controls it. (What other terminals give to whom is not the kernel's care.)
    fn may_read(&self, process: &Process) -> bool {
        let Some(controlling) = process.terminal else { return !process.stopped };
        let group = if self.is_own(controlling) { self.group } else { process.terminal_group };
        !process.stopped && group == Some(process.group)
    }

    /// Looks at the session's own processes.
    pub(crate) fn look(&self, processes: &impl Processes) -> Found {
        let mut found = Found::default();
        let mut budget = Budget::new(LOOKS_MAX, LOOK_US_MAX);
        let mut front = 0;
        // First those in front, for which the budget is there.
        let order = |process: &&Process| (!self.is_in_front(process), process.pid);
        let mut live: Vec<&Process> = self.live.iter().filter(|process| !process.zombie).collect();
        live.sort_by_key(order);
        for process in live {
            let in_front = self.is_in_front(process);
            front += usize::from(in_front);
            if in_front && found.foreground.len() < FOREGROUND_MAX {
                found.foreground.push(name(process));
            }
            if !self.may_read(process) {
                continue;
            }
            let waits = processes.waits(process, &mut budget);
            found.opaque |= in_front && waits.hidden;
            if let Some(inside) = process.terminal.filter(|terminal| self.is_nested(*terminal)) {
                found.add_inside(inside, || self.opener(inside));
                found.inside_opaque |= waits.hidden || budget.is_over();
            }
            // A terminal that nobody of the session has is the other end of a line, as a serial console has it.
            let is_far = |wait: &TerminalWait| !self.is_known(wait.terminal);
            let peer = waits.peer || waits.terminals.iter().any(is_far);
            found.peer |= in_front && peer;
            for wait in waits.terminals {
                if let Some(reader) = self.reader(processes, process, wait, &mut budget) {
                    found.add(Reader { peer, ..reader });
                }
            }
        }
        // A group without a process that can be seen: they are hidden altogether (hidepid of proc(5)).
        found.opaque |= self.terminal.is_some() && self.group.is_some() && front == 0;
        found.mark_outer();
        // One process may pass on what is typed, and another one wait for what comes back. A process that reads a line probably asks for
        // itself: a shell may ask while a server that it started waits at a socket. So only its own peer counts.
        for reader in found.readers.iter_mut().filter(|reader| !reader.nested && !reads_line(reader)) {
            reader.peer |= found.peer;
        }
        found
    }

    fn reader(
        &self,
        processes: &impl Processes,
        process: &Process,
        wait: TerminalWait,
        budget: &mut Budget,
    ) -> Option<Reader> {
        let nested = !self.is_own(wait.terminal);
        if nested && (self.is_anothers)(wait.terminal) {
            return None;
        }
        let modes =
            if nested { processes.terminal_modes(process, wait.descriptor, budget) } else { self.modes };
        let (pid, how, sleeps) = (process.pid, wait.how, wait.sleeps);
        let inside = if nested { wait.terminal.number() } else { 0 };
        Some(Reader { nested, inside, sleeps, ..Reader::new(pid, name(process), how, modes) })
    }
}

fn reads_line(reader: &Reader) -> bool {
    reader.how == ReaderHow::Read && reader.modes.is_some_and(|modes| modes.canonical)
}

/// The name of a process, which it may have chosen itself.
fn name(process: &Process) -> String {
    process.name.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
mod tests;
