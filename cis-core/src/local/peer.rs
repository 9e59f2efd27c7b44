//! The process at the other end of a connection.

use std::os::fd::{AsRawFd, BorrowedFd};
#[cfg(feature = "node")]
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

#[cfg(feature = "node")]
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// The process that connected, as the kernel noted it down then (`SO_PEERCRED`, unix(7)).
///
/// A pid alone may be another process's by now. What is found out by it counts only if [`Self::is_same`] holds
/// afterwards.
#[cfg(feature = "node")]
#[derive(Debug)]
pub(crate) struct PeerProcess {
    /// Its uid.
    pub(crate) uid: u32,
    /// Its pid; none where it is in a pid namespace that cannot be seen from here.
    pub(crate) pid: Option<u32>,
    handle: Handle,
}

/// What tells the process from a later one with its pid.
#[cfg(feature = "node")]
#[derive(Debug)]
enum Handle {
    /// Its pidfd.
    Pidfd(OwnedFd),
    /// The kernel gives none (before 6.5): the pid has to do.
    Unsupported,
    /// It had ended before it was asked for.
    Ended,
}

#[cfg(feature = "node")]
impl PeerProcess {
    /// Of this connection.
    ///
    /// # Errors
    /// It is not a Unix socket.
    pub(crate) fn of(socket: BorrowedFd<'_>) -> Result<Self, Errno> {
        let (pid, uid) = credentials(socket)?;
        let handle = match peer_pidfd(socket) {
            Ok(pidfd) => Handle::Pidfd(pidfd),
            Err(Errno::NOPROTOOPT) => Handle::Unsupported,
            Err(_) => Handle::Ended,
        };
        Ok(Self { uid, pid, handle })
    }

    /// Whether it still lives, so that its pid was its own all the time.
    pub(crate) fn is_same(&self) -> bool {
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

/// Pid and uid of the process that connected, or that listens, as the kernel noted them down (`SO_PEERCRED`).
pub(super) fn credentials(socket: BorrowedFd<'_>) -> Result<(Option<u32>, u32), Errno> {
    let peer = option(socket, libc::SO_PEERCRED, libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX })?;
    // 0: it is in a pid namespace that cannot be seen from here.
    Ok((u32::try_from(peer.pid).ok().filter(|pid| *pid != 0), peer.uid))
}

/// The pidfd of the process that connected.
#[cfg(feature = "node")]
#[allow(unsafe_code)]
fn peer_pidfd(socket: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let handle: RawFd = option(socket, libc::SO_PEERPIDFD, -1)?;
    if handle < 0 {
        return Err(Errno::BADF);
    }
    // SAFETY: a successful call made this descriptor, which is open, close-on-exec, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(handle) })
}

/// What the kernel writes for an option of a socket: integers, for which every bit pattern is a value.
trait Plain: Copy {}
impl Plain for libc::ucred {}
#[cfg(feature = "node")]
impl Plain for RawFd {}

/// An option of the level `SOL_SOCKET` (getsockopt(2)).
#[allow(unsafe_code)]
fn option<T: Plain>(socket: BorrowedFd<'_>, name: libc::c_int, mut value: T) -> Result<T, Errno> {
    let mut length = libc::socklen_t::try_from(size_of::<T>()).map_err(|_| Errno::INVAL)?;
    // SAFETY: the socket is open for the whole call; the kernel writes at most `length` bytes, which are
    // those of `value`, and the written length to `length`. Both live on this stack and are ours alone, and
    // `value` is valid whatever is written into it.
    let failed = unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, name, (&raw mut value).cast(), &raw mut length)
    } != 0;
    if failed {
        let error = std::io::Error::last_os_error();
        return Err(Errno::from_io_error(&error).unwrap_or(Errno::INVAL));
    }
    Ok(value)
}

#[cfg(all(test, feature = "node"))]
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
    fn a_peer_that_ended_is_not_whichever_process_has_its_pid_now() {
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
