//! Processes of a host that was killed: its sessions are lost, and what still runs of them must end
//! before another host starts the same work again.
//!
//! A host notes in its lock file that it lives, and takes the note back when it ends in good order.
//! Who finds the note ends every process that carries the stamp of a session of this home, or a
//! session's marks of the same node in its environment. Not found is what hid both: who cleans its
//! environment, loses its parents and changes its hard limit of realtime CPU time.
//!
//! Some processes cannot be ended: those of other users (after sudo), and those in an uninterruptible system call. They are
//! named in a warning, and the host starts nevertheless.

use std::collections::{BTreeSet, HashSet};
use std::io;

use rustix::io::Errno;
use rustix::process::Signal;

use crate::os::{Process, Processes, Stamps, boot_ms, signal_exactly, wait_for_end};
use cis_local::LockFile;

/// The host starts after this time, even if processes are left, ms. A node waits longer for its host.
const WAIT_MS: u64 = 5_000;
/// The processes are looked at again after this time, ms: each look finds what was forked during the one before.
const LOOK_MS: u64 = 200;
/// A warning names at most this many processes.
const NAMED_MAX: usize = 50;

/// Ends what an earlier host left behind, and notes that this one lives. `lock` is held.
/// `directories`: where this host and the previous one may have their sockets.
pub(super) fn take_over(
    lock: &mut LockFile,
    directories: &BTreeSet<Vec<u8>>,
    stamps: &Stamps,
    processes: &impl Processes,
) -> io::Result<()> {
    if lock.was_left()? {
        let left = end_all(directories, stamps, processes, boot_ms().saturating_add(WAIT_MS));
        if !left.is_empty() {
            // The process that started this host logs it. It may be gone.
            let _ = rustix::io::write(rustix::stdio::stderr(), warning(&left).as_bytes());
        }
    }
    lock.begin()
}

/// Ends all that is left. Returns the pids of processes that cannot be ended, and of those that did not end until then (boot
/// clock, ms).
fn end_all(
    directories: &BTreeSet<Vec<u8>>,
    stamps: &Stamps,
    processes: &impl Processes,
    until_ms: u64,
) -> Vec<u32> {
    loop {
        let left = left_behind(directories, stamps, processes);
        // Stopped first, so that nothing forks while the others end.
        signal_all(&left, Signal::STOP, processes);
        let refused = signal_all(&left, Signal::KILL, processes);
        if refused == left.len() || boot_ms() >= until_ms {
            return left.iter().map(|process| process.pid).collect();
        }
        let look_at = until_ms.min(boot_ms().saturating_add(LOOK_MS));
        for process in &left {
            wait_for_end(processes, process.key(), look_at.saturating_sub(boot_ms()));
        }
    }
}

/// Returns the number of processes that this user may not send signals to. One that has ended meanwhile is what is wanted.
fn signal_all(left: &[Process], signal: Signal, processes: &impl Processes) -> usize {
    let is_refused =
        |process: &&Process| signal_exactly(processes, process.key(), &[signal]) == Err(Errno::PERM);
    left.iter().filter(is_refused).count()
}

fn warning(left: &[u32]) -> String {
    let pids: Vec<String> = left.iter().take(NAMED_MAX).map(u32::to_string).collect();
    let more = if left.len() > NAMED_MAX { " and more" } else { "" };
    format!(
        "cannot end processes of sessions that were lost with the session host: pid {}{more}; they belong to another user or are in an uninterruptible system call, and may run beside the next attempts of their tasks\n",
        pids.join(", ")
    )
}

/// Live processes with the marks of a session of this node, and their descendants.
fn left_behind(directories: &BTreeSet<Vec<u8>>, stamps: &Stamps, processes: &impl Processes) -> Vec<Process> {
    let stamped = |pid| processes.stamp(pid).is_some_and(|limit| stamps.is_ours(limit));
    let all = processes.all();
    let mut found: HashSet<u32> = all
        .iter()
        .filter(|process| {
            !process.zombie && (stamped(process.pid) || is_marked(process.pid, directories, processes))
        })
        .map(|process| process.pid)
        .collect();
    loop {
        let before = found.len();
        let children = all.iter().filter(|process| !process.zombie && found.contains(&process.parent));
        let children: Vec<u32> = children.map(|process| process.pid).collect();
        found.extend(children);
        if found.len() == before {
            break;
        }
    }
    all.into_iter().filter(|process| found.contains(&process.pid)).collect()
}

fn is_marked(pid: u32, directories: &BTreeSet<Vec<u8>>, processes: &impl Processes) -> bool {
    // The node's socket stands beside the host's.
    let socket = processes.variable(pid, "CIS_SOCKET");
    let beside = socket.is_some_and(|socket| {
        socket.rsplitn(2, |byte| *byte == b'/').nth(1).is_some_and(|parent| directories.contains(parent))
    });
    beside && processes.variable(pid, "CIS_ATTEMPT").is_some()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::Command;

    use super::*;
    use crate::os::ProcFs;

    /// Shows one process of a session that never ends, as if it was in an uninterruptible system call.
    struct Stuck {
        process: Process,
        stamp: u64,
        looks: Cell<u32>,
    }

    impl Processes for Stuck {
        fn all(&self) -> Vec<Process> {
            self.looks.set(self.looks.get() + 1);
            vec![self.process.clone()]
        }
        fn one(&self, _pid: u32) -> Option<Process> {
            Some(self.process.clone())
        }
        fn newest_pid(&self) -> Option<u32> {
            None
        }
        fn variable(&self, _pid: u32, _name: &str) -> Option<Vec<u8>> {
            None
        }
        fn stamp(&self, _pid: u32) -> Option<u64> {
            Some(self.stamp)
        }
        fn ignores(&self, _pid: u32, _signal: Signal) -> bool {
            false
        }
        fn ticks_per_second(&self) -> u64 {
            100
        }
    }

    #[test]
    fn what_does_not_end_in_time_is_named_and_not_waited_for() {
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        let process = ProcFs::open().unwrap().one(child.id()).unwrap();
        let mut stamps = Stamps::new("/home/a".as_ref(), [b"/run/a"]);
        let stuck = Stuck { process, stamp: stamps.give().unwrap().top, looks: Cell::new(0) };
        let left = end_all(&BTreeSet::new(), &stamps, &stuck, boot_ms());
        assert_eq!((&left[..], stuck.looks.get()), (&[child.id()][..], 1));
        assert_eq!(child.wait().unwrap().signal(), Some(9));
        assert!(warning(&left).contains(&format!("pid {};", child.id())));
    }

    #[test]
    fn a_warning_names_a_bounded_number_of_processes() {
        let text = warning(&(1..=60).collect::<Vec<u32>>());
        assert!(text.contains(", 50 and more;") && !text.contains("51"), "{text}");
    }
}
