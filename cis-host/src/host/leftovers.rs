//! Processes of a host that was killed: its sessions are lost, and what still runs of them must end
//! before another host starts the same work again.
//!
//! A host notes in its lock file that it lives, and takes the note back when it ends in good order.
//! Who finds the note ends every process that carries the stamp of a session of this home, or a
//! session's marks of the same node in its environment. Not found is what hid both: who cleans its
//! environment, loses its parents and changes its hard limit of realtime CPU time.

use std::collections::{BTreeSet, HashSet};
use std::io;

use rustix::process::Signal;

use crate::os::{Process, Processes, Stamps, signal_exactly};
use cis_local::LockFile;

/// Looked at so often: each look finds what was forked during the one before.
const LOOKS_MAX: usize = 1000;

/// Ends what an earlier host left behind, and notes that this one lives. `lock` is held.
/// `directories`: where this host and the previous one may have their sockets.
pub(super) fn take_over(
    lock: &mut LockFile,
    directories: &BTreeSet<Vec<u8>>,
    stamps: &Stamps,
    processes: &impl Processes,
) -> io::Result<()> {
    if lock.was_left()? {
        end_all(directories, stamps, processes);
    }
    lock.begin()
}

fn end_all(directories: &BTreeSet<Vec<u8>>, stamps: &Stamps, processes: &impl Processes) {
    for _ in 0..LOOKS_MAX {
        let left = left_behind(directories, stamps, processes);
        if left.is_empty() {
            return;
        }
        // Stopped first, so that nothing forks while the others end.
        for signal in [Signal::STOP, Signal::KILL] {
            for process in &left {
                // One that has ended meanwhile is what is wanted.
                let _ = signal_exactly(processes, process.key(), &[signal]);
            }
        }
    }
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
