//! What the threads of a process wait for, and the terminals among that, on Linux.
//!
//! What is read here belongs to programs that may change it at any moment and lay it out as they like:
//! every size is bounded, and each look takes something of a budget.

use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use super::budget::Budget;
use super::calls::{self, Call};
use super::clock;
use super::mounts::Mounts;
use super::opened::Opened;
use super::processes::{Process, TerminalWait, Waits};
use super::procfs::ProcFs;
use super::terminal::{self, Terminal};
use cis_core::monitor::{Modes, ReaderHow};

/// No more threads of one process are looked at.
const THREADS_MAX: usize = 128;
/// Of an epoll descriptor, bytes of its list: some hundred targets.
const EPOLL_BYTES_MAX: usize = 64 << 10;
/// Of a process that cannot be looked into, so many of its descriptors are looked at.
const OPEN_MAX: usize = 64;
/// So many epoll descriptors within another are looked into.
const NESTED_MAX: usize = 4;
/// Who sleeps longer between its looks at its terminal does not wait for keys, ms.
const SLEEP_MS_MAX: u64 = 1000;
/// A file that is opened and read costs as much as so many descriptors that are looked at.
const READ_COST: usize = 4;

impl ProcFs {
    /// What the threads of a process wait for.
    pub(super) fn waits_of(&self, process: &Process, budget: &mut Budget) -> Waits {
        let mut waits = Waits::default();
        // Before its threads are listed, which takes time too.
        if !budget.spend(1) {
            return waits;
        }
        for thread in self.threads(process, THREADS_MAX) {
            let reads = waits.terminals.iter().any(|wait| wait.how == ReaderHow::Read);
            if (reads && waits.peer) || !budget.spend(READ_COST) {
                break;
            }
            match self.read_once(&format!("{}/task/{thread}/syscall", process.pid)) {
                Ok(line) => {
                    if let Some(call) = calls::call(&line) {
                        self.add_call(process, thread, call, budget, &mut waits);
                    }
                }
                Err(Errno::ACCESS | Errno::PERM) => {
                    waits.hidden = true;
                    self.add_from_outside(process, budget, &mut waits);
                    break;
                }
                Err(_) => {}
            }
        }
        waits
    }

    fn add_call(&self, process: &Process, thread: u32, call: Call, budget: &mut Budget, waits: &mut Waits) {
        let (how, descriptors) = match call {
            Call::Read { descriptor } => (ReaderHow::Read, vec![descriptor]),
            Call::Peer => {
                waits.peer = true;
                return;
            }
            Call::Sleep { at, parts } => {
                let ms = calls::ms_of(&self.memory(process.pid, at, calls::TIME_BYTES), parts);
                return self.add_sleeper(process, ms.filter(|ms| *ms > 0), budget, waits);
            }
            Call::Until { at } => {
                let until = calls::ms_of(&self.memory(process.pid, at, calls::TIME_BYTES), calls::NANOS);
                let ms = until.map(|until| until.saturating_sub(clock::monotonic_ms()));
                return self.add_sleeper(process, ms, budget, waits);
            }
            Call::Nap { ms } => return self.add_sleeper(process, Some(ms), budget, waits),
            Call::Poll { at, count } => {
                (ReaderHow::Poll, calls::polled(&self.memory(process.pid, at, count * calls::POLLFD_BYTES)))
            }
            Call::Resumed { at, count } => {
                let sleeps_in = self.read_once(&format!("{}/task/{thread}/wchan", process.pid));
                if !sleeps_in.is_ok_and(|name| calls::is_poll(&name)) {
                    return;
                }
                (ReaderHow::Poll, calls::polled(&self.memory(process.pid, at, count * calls::POLLFD_BYTES)))
            }
            Call::Select { at, count } => {
                let set = self.memory(process.pid, at, calls::set_bytes(count));
                (ReaderHow::Poll, calls::selected(&set, count))
            }
            Call::Epoll { descriptor } => (ReaderHow::Poll, self.epoll_targets(process.pid, descriptor)),
        };
        let mut nested = Vec::new();
        for descriptor in descriptors {
            if !budget.spend(1) {
                return;
            }
            if let Opened::Anonymous = self.add_descriptor(process, descriptor, how, budget, waits) {
                nested.push(descriptor);
            }
        }
        // One epoll descriptor that is watched by another stands for what it watches.
        for inner in nested.into_iter().take(NESTED_MAX) {
            if !budget.spend(READ_COST) {
                return;
            }
            for descriptor in self.epoll_targets(process.pid, inner) {
                if !budget.spend(1) {
                    return;
                }
                self.add_descriptor(process, descriptor, how, budget, waits);
            }
        }
    }

    /// A program that takes keys as they come, and sleeps in between, looks again and again whether there is one.
    fn add_sleeper(&self, process: &Process, ms: Option<u64>, budget: &mut Budget, waits: &mut Waits) {
        if ms.is_none_or(|ms| ms > SLEEP_MS_MAX) || !waits.terminals.is_empty() {
            return;
        }
        for descriptor in 0..=2 {
            if !budget.spend(READ_COST) {
                return;
            }
            let file = self.opened(process.pid, descriptor, process.terminal, &mut budget.mounts);
            let Opened::Terminal(terminal) = file else { continue };
            let modes = self.modes_behind(process, descriptor, &mut budget.mounts);
            if modes.is_some_and(|modes| !modes.canonical) {
                waits.add(TerminalWait { terminal, how: ReaderHow::Poll, descriptor, sleeps: true });
            }
            return;
        }
    }

    /// Whether the standard output is a far end: `cat` passes on lines to it.
    fn writes_to_peer(&self, process: &Process, budget: &mut Budget) -> bool {
        budget.spend(READ_COST)
            && matches!(
                self.opened(process.pid, 1, process.terminal, &mut budget.mounts),
                Opened::Socket | Opened::Device
            )
    }

    fn add_descriptor(
        &self,
        process: &Process,
        descriptor: u32,
        how: ReaderHow,
        budget: &mut Budget,
        waits: &mut Waits,
    ) -> Opened {
        let file = self.opened(process.pid, descriptor, process.terminal, &mut budget.mounts);
        match file {
            Opened::Terminal(terminal) => {
                waits.add(TerminalWait { terminal, how, descriptor, sleeps: false });
                waits.peer |= how == ReaderHow::Read && self.writes_to_peer(process, budget);
            }
            Opened::Socket | Opened::Device => waits.peer = true,
            Opened::Anonymous | Opened::Other => {}
        }
        file
    }

    /// What an epoll descriptor is asked for.
    fn epoll_targets(&self, pid: u32, descriptor: u32) -> Vec<u32> {
        let list = self.read(&format!("{pid}/fdinfo/{descriptor}"), EPOLL_BYTES_MAX);
        list.map(|list| calls::watched(&list)).unwrap_or_default()
    }

    /// Of a process whose calls cannot be read (where only ancestors may look into a process), but whose
    /// open files can: it has a terminal open, and sleeps as readers of terminals do. Never exact.
    fn add_from_outside(&self, process: &Process, budget: &mut Budget, waits: &mut Waits) {
        let pid = process.pid;
        let open = self.numbers_in(&format!("{pid}/fd"), OPEN_MAX);
        if open.is_empty() || !budget.spend(READ_COST) {
            return;
        }
        let sleeps_in = self.read_once(&format!("{pid}/wchan"));
        if !sleeps_in.is_ok_and(|name| calls::may_be_of_a_terminal(&name)) {
            return;
        }
        for descriptor in open {
            if !budget.spend(1) {
                return;
            }
            let file = self.opened(pid, descriptor, process.terminal, &mut budget.mounts);
            if let Opened::Terminal(terminal) = file {
                waits.add(TerminalWait { terminal, how: ReaderHow::Poll, descriptor, sleeps: false });
            }
        }
    }

    /// Modes of the terminal behind a descriptor of another process: of a copy of it (pidfd_getfd(2)),
    /// which opens nothing; where that is forbidden, of the same terminal opened anew.
    pub(super) fn modes_behind(
        &self,
        process: &Process,
        descriptor: u32,
        mounts: &mut Mounts,
    ) -> Option<Modes> {
        // Nothing else is asked for its modes: it might not answer.
        let file = self.opened(process.pid, descriptor, process.terminal, mounts);
        let Opened::Terminal(terminal) = file else { return None };
        let pid = Pid::from_raw(i32::try_from(process.pid).ok()?)?;
        let handle = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        let number = i32::try_from(descriptor).ok()?;
        // The copy of an open `/dev/tty` stays the terminal that it was opened for.
        match pidfd_getfd(&handle, number, PidfdGetfdFlags::empty()) {
            Ok(copy) => terminal::modes(&copy),
            Err(_) => self.modes_of_reopened(process, descriptor, terminal, mounts),
        }
    }

    /// Modes of the terminal by this descriptor, or by one of the first three that leads to it: `/dev/tty`, opened
    /// anew, would be our own terminal.
    fn modes_of_reopened(
        &self,
        process: &Process,
        descriptor: u32,
        terminal: Terminal,
        mounts: &mut Mounts,
    ) -> Option<Modes> {
        let pid = process.pid;
        let by_name = |number: &u32| {
            let file = self.opened(pid, *number, None, mounts);
            matches!(file, Opened::Terminal(found) if found.is(terminal))
        };
        let number = [descriptor, 0, 1, 2].into_iter().find(by_name)?;
        let flags = OFlags::RDONLY | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        terminal::modes(openat(self.root(), format!("{pid}/fd/{number}"), flags, Mode::empty()).ok()?)
    }
}

#[cfg(test)]
mod tests;
