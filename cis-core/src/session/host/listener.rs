//! The host's lock and its socket.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::fs::{FlockOperation, Mode, flock};
use rustix::io::Errno;
use rustix::net::sockopt::socket_peercred;
use rustix::process::{Pid, geteuid, test_kill_process, umask};

use super::config::HostError;
use crate::session::os::{Processes, Stamps};

/// `sun_path` has 108 bytes, the last of them a null (unix(7)).
const SOCKET_PATH_BYTES_MAX: usize = 107;
/// No chain of parents is longer; a loop in it (pids used again meanwhile) ends here.
const ANCESTORS_MAX: usize = 4096;

/// Takes the lock; it is held as long as the file is open.
pub(super) fn lock(path: &Path) -> Result<File, HostError> {
    let opened = File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    let file =
        opened.map_err(|source| HostError::File { action: "open the lock", path: path.into(), source })?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(Errno::WOULDBLOCK) => Err(HostError::Locked { lock: path.into() }),
        Err(error) => Err(HostError::File { action: "lock", path: path.into(), source: error.into() }),
    }
}

/// Listens at the path, for this user alone. What stands there is of a host that is gone: the caller
/// holds the lock.
pub(super) fn bind(path: &Path) -> Result<UnixListener, HostError> {
    if path.as_os_str().as_bytes().len() > SOCKET_PATH_BYTES_MAX {
        return Err(HostError::SocketPath { path: path.into(), max: SOCKET_PATH_BYTES_MAX });
    }
    let failed = |action| move |source: io::Error| HostError::File { action, path: path.into(), source };
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed("replace the socket")(error)),
        _ => {}
    }
    let before = umask(Mode::from_raw_mode(0o177));
    let bound = UnixListener::bind(path);
    umask(before);
    let listener = bound.map_err(failed("listen at"))?;
    listener.set_nonblocking(true).map_err(failed("listen at"))?;
    Ok(listener)
}

/// Whether this peer may speak to the host: a process of the same user that does not run inside a
/// session, of this host or of one before it. `node`, the one that the host itself started, may.
pub(super) fn admits(
    stream: impl AsFd,
    processes: &impl Processes,
    stamps: &Stamps,
    node: Option<u32>,
) -> bool {
    let Ok(peer) = socket_peercred(&stream) else { return false };
    let pid = peer.pid.as_raw_nonzero().get().unsigned_abs();
    let stamped = || processes.stamp(pid).is_some_and(|limit| stamps.is_ours(limit));
    // Again where a parent went away while its line was followed.
    let outside = || (0..3).find_map(|_| is_outside(pid, processes, node)).unwrap_or(false);
    peer.uid == geteuid() && outside() && !stamped()
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
            // Where /proc hides other users' processes (hidepid), the line ends at one of those.
            None => {
                let there = Pid::from_raw(pid.cast_signed()).map(test_kill_process);
                return (there == Some(Err(Errno::PERM))).then_some(true);
            }
        }
    }
    Some(false)
}

#[cfg(test)]
mod tests {
    use rustix::process::Signal;

    use super::*;
    use crate::session::os::Process;

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
