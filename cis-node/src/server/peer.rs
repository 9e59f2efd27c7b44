//! Who is at the other end of a connection.

use std::os::fd::AsFd;
use std::sync::Arc;

use super::descent::{Descent, NoDescent};
use super::limits::{Limit, Place};
use cis_local::PeerProcess;

/// The process that connected, according to the kernel, and its ancestors. Read once, soon after the connection is
/// accepted: neither what the process does afterwards nor another process that gets its pid changes this.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its uid.
    pub uid: u32,
    /// Its pid; none where the kernel does not say.
    pub pid: Option<u32>,
    /// An error if the process had already ended, or its parents or their environments could not be read: it may belong to anybody.
    pub descent: Result<Descent, NoDescent>,
    /// The place of its connection. It is free when the connection is closed and its last request has ended.
    pub(super) place: Option<Arc<Place<Limit>>>,
}

impl Peer {
    /// May block.
    pub(super) fn of(socket: impl AsFd) -> Self {
        // No user: uid 4294967295 is never assigned (chown(2)).
        let Ok(peer) = PeerProcess::of(socket.as_fd()) else {
            return Self::new(u32::MAX, None, Err(NoDescent::Unknown));
        };
        let descent = peer.pid.map(Descent::of).filter(|_| peer.is_same()).unwrap_or(Err(NoDescent::Unknown));
        Self::new(peer.uid, peer.pid, descent)
    }

    /// One without a connection to the socket.
    pub(crate) fn new(uid: u32, pid: Option<u32>, descent: Result<Descent, NoDescent>) -> Self {
        Self { uid, pid, descent, place: None }
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
