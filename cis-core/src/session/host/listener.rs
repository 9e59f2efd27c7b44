//! The host's lock and its socket.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::fs::{FlockOperation, Mode, flock};
use rustix::io::Errno;
use rustix::net::sockopt::socket_peercred;
use rustix::process::{geteuid, umask};

use super::config::HostError;
use crate::session::os::{ProcFs, Processes};

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
/// session. `node`, the one that the host itself started, may.
pub(super) fn admits(stream: impl std::os::fd::AsFd, processes: &ProcFs, node: Option<u32>) -> bool {
    let Ok(peer) = socket_peercred(&stream) else { return false };
    if peer.uid != geteuid() {
        return false;
    }
    let own = std::process::id();
    let mut pid = peer.pid.as_raw_nonzero().get().unsigned_abs();
    for _ in 0..ANCESTORS_MAX {
        if Some(pid) == node {
            return true;
        }
        if pid == own {
            return false;
        }
        if pid == 1 {
            return true;
        }
        // A peer whose ancestors cannot be followed may have come from a session.
        match processes.one(pid) {
            Some(process) if process.parent > 0 => pid = process.parent,
            Some(_) => return true,
            None => return false,
        }
    }
    false
}
