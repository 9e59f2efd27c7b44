//! The host's lock and its socket.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::process::{Pid, geteuid, test_kill_process, umask};

use super::config::HostError;
use crate::os::{self, ProcessKey, Processes, Stamps};
use cis_local::{LockFile, PeerProcess, SocketFile, make_way};

/// `sun_path` has 108 bytes, the last of them a null (unix(7)).
const SOCKET_PATH_BYTES_MAX: usize = 107;
/// No chain of parents is longer; a loop in it (pids used again meanwhile) ends here.
const ANCESTORS_MAX: usize = 4096;

/// Where peers come in.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) listener: UnixListener,
    pub(super) file: SocketFile,
    /// Time of the next check of the file on the boot clock, ms.
    pub(super) look_at: u64,
    /// Given up for a moment where descriptors have run out, to take a peer in and send it away.
    pub(super) spare: Option<OwnedFd>,
    /// The process that started this host, if it had no limit then.
    pub(super) starter: Option<ProcessKey>,
}

impl Door {
    pub(super) fn new((listener, file): (UnixListener, SocketFile), starter: Option<ProcessKey>) -> Self {
        Self { listener, file, look_at: 0, spare: os::null_device().ok(), starter }
    }
}

/// Takes the lock, and holds it until the value is dropped.
pub(super) fn lock(path: &Path) -> Result<LockFile, HostError> {
    let taken = LockFile::take(path).map_err(|source| HostError::File {
        action: "lock",
        path: path.into(),
        source,
    })?;
    taken.ok_or_else(|| HostError::Locked { lock: path.into() })
}

/// Listens at the path, for this user alone. An old file at the path is from a host that has ended, because
/// the caller holds the lock. Creates the directory if it was removed.
pub(super) fn bind(path: &Path) -> Result<(UnixListener, SocketFile), HostError> {
    if path.as_os_str().as_bytes().len() > SOCKET_PATH_BYTES_MAX {
        return Err(HostError::SocketPath { path: path.into(), max: SOCKET_PATH_BYTES_MAX });
    }
    let failed = |action| move |source: io::Error| HostError::File { action, path: path.into(), source };
    make_way(path).map_err(|error| failed("listen at")(io::Error::other(error)))?;
    let before = umask(Mode::from_raw_mode(0o177));
    let bound = UnixListener::bind(path);
    umask(before);
    let listener = bound.map_err(failed("listen at"))?;
    listener.set_nonblocking(true).map_err(failed("listen at"))?;
    Ok((listener, SocketFile::at(path)))
}

/// Nodes that the host knows without looking at their marks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Nodes {
    /// The process that started the host, if it had no limit then.
    pub(super) starter: Option<ProcessKey>,
    /// The node that the host itself started.
    pub(super) started: Option<u32>,
}

/// Whether this peer may speak to the host: a process of the same user that does not run inside a
/// session, of this host or of any other. Any process of the user can lower the limit of `nodes`, so it does not count.
pub(super) fn admits(stream: impl AsFd, processes: &impl Processes, stamps: &Stamps, nodes: Nodes) -> bool {
    let Ok(peer) = PeerProcess::of(stream.as_fd()) else { return false };
    let Some(pid) = peer.pid else { return false };
    // What cannot be read may be lower.
    let stamped = || processes.stamp(pid).is_none_or(|limit| stamps.is_from_a_session(limit));
    let is_starter =
        || nodes.starter.is_some_and(|starter| processes.one(pid).is_some_and(|peer| peer.key() == starter));
    // Again where a parent went away while its line was followed.
    let outside = || (0..3).find_map(|_| is_outside(pid, processes, nodes.started)).unwrap_or(false);
    // Checked last: whether all of this was read from the process that connected.
    peer.uid == geteuid().as_raw()
        && outside()
        && (Some(pid) == nodes.started || is_starter() || !stamped())
        && peer.is_same()
}

/// Follows the line of parents: none where it was broken.
fn is_outside(peer: u32, processes: &impl Processes, node: Option<u32>) -> Option<bool> {
    let own = std::process::id();
    let mut pid = peer;
    for _ in 0..ANCESTORS_MAX {
        if Some(pid) == node {
            return Some(true);
        }
        if pid == own {
            return Some(false);
        }
        match processes.one(pid) {
            Some(process) if process.parent > 0 => pid = process.parent,
            // The first process, or one whose parent is in another namespace.
            Some(_) => return Some(true),
            None if pid == peer => return Some(false),
            // If /proc hides processes that cannot be traced (hidepid), the chain of parents ends at such a
            // process.
            None => {
                let there = Pid::from_raw(pid.cast_signed()).map(test_kill_process);
                return matches!(there, Some(Ok(()) | Err(Errno::PERM))).then_some(true);
            }
        }
    }
    Some(false)
}

#[cfg(test)]
mod tests {
    use rustix::process::Signal;

    use super::*;
    use crate::os::Process;

    /// Pids with their parents.
    struct Line(&'static [(u32, u32)]);

    impl Processes for Line {
        fn one(&self, pid: u32) -> Option<Process> {
            let parent = self.0.iter().find(|(of, _)| *of == pid)?.1;
            let parent = if parent == u32::MAX { std::process::id() } else { parent };
            let (name, terminal_group) = (String::new(), None);
            let (zombie, stopped) = (false, false);
            Some(Process {
                pid,
                parent,
                group: pid,
                session: pid,
                terminal: None,
                terminal_group,
                threads: 1,
                started: 0,
                cpu: 0,
                zombie,
                stopped,
                name,
            })
        }
        fn all(&self) -> Vec<Process> {
            Vec::new()
        }
        fn newest_pid(&self) -> Option<u32> {
            None
        }
        fn variable(&self, _: u32, _: &str) -> Option<Vec<u8>> {
            None
        }
        fn stamp(&self, _: u32) -> Option<u64> {
            None
        }
        fn ignores(&self, _: u32, _: Signal) -> bool {
            false
        }
        fn ticks_per_second(&self) -> u64 {
            100
        }
    }

    fn outside(line: &'static [(u32, u32)], node: Option<u32>) -> Option<bool> {
        is_outside(3_000_000, &Line(line), node)
    }

    #[test]
    fn only_lines_that_do_not_come_from_the_host_are_outside() {
        const HOST: u32 = u32::MAX;
        assert_eq!(outside(&[(3_000_000, 1), (1, 0)], None), Some(true));
        assert_eq!(outside(&[(3_000_000, 3_000_001), (3_000_001, HOST)], None), Some(false));
        assert_eq!(outside(&[(3_000_000, 3_000_001), (3_000_001, HOST)], Some(3_000_001)), Some(true));
        assert_eq!(outside(&[(3_000_000, 3_000_001), (3_000_001, HOST)], Some(3_000_002)), Some(false));
        assert_eq!(outside(&[], None), Some(false), "a peer that is gone");
        assert_eq!(outside(&[(3_000_000, 3_000_001)], None), None, "a parent that is gone");
        assert_eq!(outside(&[(3_000_000, 3_000_001), (3_000_001, 3_000_000)], None), Some(false), "a loop");
    }
}
