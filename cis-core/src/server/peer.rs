//! Who is at the other end of a connection.

use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use tokio::net::UnixListener;

/// What the kernel says of the process that connected (`SO_PEERCRED`, unix(7)). Taken at `connect`,
/// so a process that connects and then changes its identity or ends gains nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Its uid.
    pub uid: u32,
    /// Its pid; none where the kernel does not say.
    pub pid: Option<u32>,
}

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        match stream.io().peer_cred() {
            Ok(cred) => Self { uid: cred.uid(), pid: cred.pid().and_then(|pid| u32::try_from(pid).ok()) },
            // Nobody in particular: uid 4294967295 is never a user's (chown(2)).
            Err(_) => Self { uid: u32::MAX, pid: None },
        }
    }
}
