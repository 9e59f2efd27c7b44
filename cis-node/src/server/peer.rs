//! Who is at the other end of a connection.

use std::os::fd::AsFd;

use super::descent::Descent;
use cis_local::PeerProcess;

/// The process that connected, according to the kernel, and its ancestors. Read once, when the connection is
/// accepted: neither what the process does afterwards nor another process that gets its pid changes this.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its uid.
    pub uid: u32,
    /// Its pid; none where the kernel does not say.
    pub pid: Option<u32>,
    /// None if the process had already ended or its parents could not be followed: it may belong to anybody.
    pub descent: Option<Descent>,
}

impl Peer {
    /// May block.
    pub(super) fn of(socket: impl AsFd) -> Self {
        // No user: uid 4294967295 is never assigned (chown(2)).
        let Ok(peer) = PeerProcess::of(socket.as_fd()) else {
            return Self { uid: u32::MAX, pid: None, descent: None };
        };
        let descent = peer.pid.and_then(Descent::of).filter(|_| peer.is_same());
        Self { uid: peer.uid, pid: peer.pid, descent }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_peer_that_lives_has_a_line() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let me = std::process::id();
        assert!(Peer::of(ours.as_fd()).descent.unwrap().passes(me));
    }
}
