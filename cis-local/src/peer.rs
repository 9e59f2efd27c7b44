//! The process at the other end of a connection.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// The process that connected, as the kernel recorded it at that time (`SO_PEERCRED`, unix(7)).
///
/// The pid may have been reused. Information that was found with the pid is valid only if [`Self::is_same`]
/// is true afterwards.
#[derive(Debug)]
pub struct PeerProcess {
    /// Its effective uid.
    pub uid: u32,
    /// Its pid; none if the process is in a pid namespace that is not visible from here.
    pub pid: Option<u32>,
    handle: Handle,
}

/// Distinguishes the process from a later one with the same pid.
#[derive(Debug)]
enum Handle {
    Pidfd(OwnedFd),
    /// Kernels before 6.5 give no pidfd; only the pid is known.
    Unsupported,
    /// The process had ended before its pidfd was requested.
    Ended,
}

impl PeerProcess {
    /// Returns the process at the other end of this connection.
    ///
    /// # Errors
    /// It is not a Unix socket.
    pub fn of(socket: BorrowedFd<'_>) -> Result<Self, Errno> {
        let (pid, uid) = credentials(socket)?;
        let handle = match peer_pidfd(socket) {
            Ok(pidfd) => Handle::Pidfd(pidfd),
            Err(Errno::NOPROTOOPT) => Handle::Unsupported,
            Err(_) => Handle::Ended,
        };
        Ok(Self { uid, pid, handle })
    }

    /// Whether the process still lives, which means that its pid was not reused.
    pub fn is_same(&self) -> bool {
        match &self.handle {
            // A pidfd becomes readable when its process ends (pidfd_open(2)).
            Handle::Pidfd(process) => {
                let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
                poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&at_once)) == Ok(0)
            }
            Handle::Unsupported => true,
            Handle::Ended => false,
        }
    }
}

/// Returns pid and uid of the process that connected, or that listens, as the kernel recorded them
/// (`SO_PEERCRED`).
pub(super) fn credentials(socket: BorrowedFd<'_>) -> Result<(Option<u32>, u32), Errno> {
    let peer = option(socket, libc::SO_PEERCRED, libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX })?;
    // 0: the process is in a pid namespace that is not visible from here.
    Ok((u32::try_from(peer.pid).ok().filter(|pid| *pid != 0), peer.uid))
}

/// Returns the pidfd of the process that connected.
#[allow(unsafe_code)]
fn peer_pidfd(socket: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let handle: RawFd = option(socket, libc::SO_PEERPIDFD, -1)?;
    if handle < 0 {
        return Err(Errno::BADF);
    }
    // SAFETY: a successful call made this descriptor, which is open, close-on-exec, and owned by nothing
    // else.
    Ok(unsafe { OwnedFd::from_raw_fd(handle) })
}

/// A value that the kernel writes for a socket option: an integer, for which every bit pattern is valid.
trait Plain: Copy {}
impl Plain for libc::ucred {}
impl Plain for RawFd {}

/// Reads an option of the level `SOL_SOCKET` (getsockopt(2)).
#[allow(unsafe_code)]
fn option<T: Plain>(socket: BorrowedFd<'_>, name: libc::c_int, mut value: T) -> Result<T, Errno> {
    let mut length = libc::socklen_t::try_from(size_of::<T>()).map_err(|_| Errno::INVAL)?;
    // SAFETY: the socket is open for the whole call; the kernel writes at most `length` bytes, which are
    // those of `value`, and the written length to `length`. Both are local variables of this function, and
    // `value` is valid with any bytes.
    let failed = unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, name, (&raw mut value).cast(), &raw mut length)
    } != 0;
    if failed {
        let error = std::io::Error::last_os_error();
        return Err(Errno::from_io_error(&error).unwrap_or(Errno::INVAL));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_peer_that_lives_is_the_same() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let peer = PeerProcess::of(ours.as_fd()).unwrap();
        assert_eq!((peer.pid, peer.is_same()), (Some(std::process::id()), true));
        assert_eq!(peer.uid, rustix::process::geteuid().as_raw());
    }

    #[test]
    fn a_reused_pid_is_not_the_same_peer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let script = "import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])";
        let ended = Command::new("python3").args(["-c", script]).arg(&path).stdin(Stdio::null()).status();
        assert!(ended.unwrap().success());
        let (stream, _) = listener.accept().unwrap();
        assert!(!PeerProcess::of(stream.as_fd()).unwrap().is_same());
    }
}
