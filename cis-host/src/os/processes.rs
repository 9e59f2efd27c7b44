//! What is asked of a platform about its processes, and signals that hit the right one.

use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

use super::budget::Budget;
use super::terminal::Terminal;
use cis_core::monitor::{Modes, ReaderHow};

/// One process, as it was when it was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) parent: u32,
    pub(crate) group: u32,
    /// Its session in the sense of setsid.
    pub(crate) session: u32,
    /// Its controlling terminal, where that is a pseudo-terminal.
    pub(crate) terminal: Option<Terminal>,
    /// Foreground process group of its controlling terminal.
    pub(crate) terminal_group: Option<u32>,
    pub(crate) threads: u32,
    /// In clock ticks since boot.
    pub(crate) started: u64,
    /// Clock ticks of CPU, of it and of its children that were waited for.
    pub(crate) cpu: u64,
    /// It ended with all its threads and is not waited for yet.
    pub(crate) zombie: bool,
    /// It is stopped by a signal.
    pub(crate) stopped: bool,
    pub(crate) name: String,
}

/// A process told from a later one of the same pid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct ProcessKey {
    pub(crate) pid: u32,
    pub(crate) started: u64,
}

impl Process {
    pub(crate) fn key(&self) -> ProcessKey {
        ProcessKey { pid: self.pid, started: self.started }
    }
}

/// A terminal that a process waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TerminalWait {
    pub(crate) terminal: Terminal,
    pub(crate) how: ReaderHow,
    /// By which descriptor of its.
    pub(crate) descriptor: u32,
    /// It looks again and again, and sleeps in between.
    pub(crate) sleeps: bool,
}

/// What a process waits for.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    /// Terminals, each once.
    pub(crate) terminals: Vec<TerminalWait>,
    /// For a peer at a socket, or it reads a terminal and writes to a peer: somebody else may do its work.
    pub(crate) peer: bool,
    /// It may not be looked into: it is another user's, or hides itself.
    pub(crate) hidden: bool,
}

impl Waits {
    pub(super) fn add(&mut self, wait: TerminalWait) {
        match self.terminals.iter_mut().find(|known| known.terminal == wait.terminal) {
            // A read comes before a poll, and that before a sleep.
            Some(known) if (wait.how, wait.sleeps) < (known.how, known.sleeps) => *known = wait,
            Some(_) => {}
            None => self.terminals.push(wait),
        }
    }
}

/// What a platform tells of processes.
pub(crate) trait Processes {
    /// All that can be seen.
    fn all(&self) -> Vec<Process>;
    /// One, where it is there.
    fn one(&self, pid: u32) -> Option<Process>;
    /// The pid that was given out last; none where the platform does not tell.
    fn newest_pid(&self) -> Option<u32>;
    /// The value of a variable in the environment that the process was started with.
    fn variable(&self, pid: u32, name: &str) -> Option<Vec<u8>>;
    /// The hard limit of its realtime CPU time, µs, where stamps are: see [`super::Stamps`].
    fn stamp(&self, pid: u32) -> Option<u64>;
    /// It ignores this signal.
    fn ignores(&self, pid: u32, signal: Signal) -> bool;
    /// Its children, as far as they do not change at this moment; none where the platform does not tell.
    fn children(&self, _process: &Process) -> Option<Vec<u32>> {
        None
    }
    /// What its threads wait for, as far as the budget goes.
    fn waits(&self, _process: &Process, _budget: &mut Budget) -> Waits {
        Waits::default()
    }
    /// Modes of the terminal behind a descriptor of this process, as far as the budget goes.
    fn terminal_modes(&self, _process: &Process, _descriptor: u32, _budget: &mut Budget) -> Option<Modes> {
        None
    }
    /// Clock ticks a second.
    fn ticks_per_second(&self) -> u64;
}

/// These processes with all their descendants, those that live; at most `max`. None where the platform
/// does not tell children.
pub(crate) fn descend(
    processes: &impl Processes,
    roots: impl IntoIterator<Item = Process>,
    max: usize,
) -> Option<Vec<Process>> {
    let mut found = Vec::new();
    let mut walk: Vec<Process> = roots.into_iter().collect();
    while let Some(process) = walk.pop() {
        if process.zombie || found.len() >= max {
            continue;
        }
        // A pid that is another process's by now is no child of this one.
        let children = processes.children(&process)?.into_iter().filter_map(|pid| processes.one(pid));
        walk.extend(children.filter(|child| child.parent == process.pid));
        found.push(process);
    }
    Some(found)
}

/// Sends a signal to the process that was seen, not to one that got its pid since.
///
/// # Errors
/// `SRCH` where it is gone, `PERM` where it is another user's.
pub(crate) fn signal_exactly(
    processes: &impl Processes,
    target: ProcessKey,
    signals: &[Signal],
) -> Result<(), Errno> {
    let handle = open_exactly(processes, target)?;
    signals.iter().try_for_each(|signal| pidfd_send_signal(&handle, *signal))
}

/// Waits until the process that was seen has ended, at most for this time, ms. Can return sooner.
pub(crate) fn wait_for_end(processes: &impl Processes, target: ProcessKey, timeout_ms: u64) {
    let Ok(handle) = open_exactly(processes, target) else { return };
    let timeout = Timespec {
        tv_sec: i64::try_from(timeout_ms / 1000).unwrap_or(i64::MAX),
        tv_nsec: i64::try_from(timeout_ms % 1000 * 1_000_000).unwrap_or(0),
    };
    let _ = poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&timeout));
}

/// The descriptor is opened first, then the start is compared, so that both mean the same process.
fn open_exactly(processes: &impl Processes, target: ProcessKey) -> Result<OwnedFd, Errno> {
    let pid = i32::try_from(target.pid).ok().and_then(Pid::from_raw).ok_or(Errno::SRCH)?;
    let handle = pidfd_open(pid, PidfdFlags::empty())?;
    if processes.one(target.pid).map(|now| now.started) != Some(target.started) {
        return Err(Errno::SRCH);
    }
    Ok(handle)
}
