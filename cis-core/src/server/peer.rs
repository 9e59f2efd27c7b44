//! Who is at the other end of a connection.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use tokio::net::UnixStream;

use super::descent::Descent;

/// What the kernel says of the process that connected (`SO_PEERCRED`, unix(7)), and whom it descends
/// from. Looked at once, when the connection is accepted: neither what the process does afterwards nor
/// another one that gets its pid changes it.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its uid.
    pub uid: u32,
    /// Its pid; none where the kernel does not say.
    pub pid: Option<u32>,
    /// None where it had ended already, or its parents could not be followed: it may be anybody's.
    pub descent: Option<Descent>,
}

impl Peer {
    pub(super) fn of(stream: &UnixStream) -> Self {
        match stream.peer_cred() {
            Ok(cred) => {
                let pid = cred.pid().and_then(|pid| u32::try_from(pid).ok());
                let descent = pid.and_then(|pid| descent(stream.as_fd(), pid));
                Self { uid: cred.uid(), pid, descent }
            }
            // Nobody in particular: uid 4294967295 is never a user's (chown(2)).
            Err(_) => Self { uid: u32::MAX, pid: None, descent: None },
        }
    }
}

/// The line of the process that connected. With its pidfd it is sure that the pid was its own the whole
/// time: it lives afterwards. Kernels before 6.5 have none; there the pid has to do.
fn descent(socket: BorrowedFd<'_>, pid: u32) -> Option<Descent> {
    let handle = peer_handle(socket).ok()?;
    let descent = Descent::of(pid)?;
    handle.is_none_or(|handle| lives(&handle)).then_some(descent)
}

/// A pidfd becomes readable when its process ends (pidfd_open(2)).
fn lives(process: &OwnedFd) -> bool {
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&at_once)) == Ok(0)
}

/// The pidfd of the process that connected; none where the kernel does not know the option.
#[allow(unsafe_code)]
fn peer_handle(socket: BorrowedFd<'_>) -> Result<Option<OwnedFd>, Errno> {
    let mut handle: RawFd = -1;
    let mut length = libc::socklen_t::try_from(size_of::<RawFd>()).map_err(|_| Errno::INVAL)?;
    // SAFETY: the socket is open for the whole call; the kernel writes at most `length` bytes, which are
    // those of `handle`, and the written length to `length`. Both live on this stack and are ours alone.
    let failed = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERPIDFD,
            (&raw mut handle).cast(),
            &raw mut length,
        )
    } != 0;
    if failed {
        let error = std::io::Error::last_os_error();
        let errno = Errno::from_io_error(&error).unwrap_or(Errno::INVAL);
        return if errno == Errno::NOPROTOOPT { Ok(None) } else { Err(errno) };
    }
    if handle < 0 {
        return Err(Errno::BADF);
    }
    // SAFETY: a successful call made this descriptor, which is open, close-on-exec, and nobody else's.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(handle) }))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_peer_that_lives_has_a_line() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let me = std::process::id();
        assert!(descent(ours.as_fd(), me).unwrap().passes(me));
    }

    #[test]
    fn a_peer_that_ended_has_none_whoever_has_its_pid_now() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let script = "import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])";
        let ended = Command::new("python3").args(["-c", script]).arg(&path).stdin(Stdio::null()).status();
        assert!(ended.unwrap().success());
        let (stream, _) = listener.accept().unwrap();
        // As if this process had got its pid.
        assert!(descent(stream.as_fd(), std::process::id()).is_none());
    }
}
