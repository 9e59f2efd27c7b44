//! The peers that speak with the host, and what is said to them.

use super::connection::Connection;
use super::slab::Slab;
use crate::protocol::FromHost;

/// All connections.
#[derive(Debug)]
pub(super) struct Peers {
    all: Slab<Connection>,
    /// The connection of the node.
    pub(super) control: Option<usize>,
    /// Connections with something to do at the end of this turn.
    listed: Vec<usize>,
}

impl Peers {
    pub(super) fn new() -> Self {
        Self { all: Slab::new(), control: None, listed: Vec::new() }
    }

    pub(super) fn insert(&mut self, connection: Connection) -> usize {
        self.all.insert(connection)
    }

    pub(super) fn remove(&mut self, at: usize) -> Option<Connection> {
        self.all.remove(at)
    }

    pub(super) fn get(&self, at: usize) -> Option<&Connection> {
        self.all.get(at)
    }

    pub(super) fn get_mut(&mut self, at: usize) -> Option<&mut Connection> {
        self.all.get_mut(at)
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Everything that was said is with the system.
    pub(super) fn are_drained(&self) -> bool {
        self.all.iter().all(|(_, peer)| peer.is_drained())
    }

    /// Numbers of all connections.
    pub(super) fn numbers(&self) -> Vec<usize> {
        self.all.iter().map(|(at, _)| at).collect()
    }

    /// The connection has something to do at the end of the turn.
    pub(super) fn list(&mut self, at: usize) {
        if let Some(connection) = self.all.get_mut(at)
            && !connection.listed
        {
            connection.listed = true;
            self.listed.push(at);
        }
    }

    /// No connection has something to do.
    pub(super) fn rest(&self) -> bool {
        self.listed.is_empty()
    }

    /// Takes the connections that have something to do. Each is to be marked as no longer listed when its turn comes.
    pub(super) fn take_listed(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.listed)
    }

    /// Says something to one peer.
    pub(super) fn say(&mut self, at: usize, message: &FromHost) {
        self.say_soon(at, message);
        self.list(at);
    }

    /// Says something to one peer, with what is said next or when the session that it is about is no longer fresh.
    pub(super) fn say_soon(&mut self, at: usize, message: &FromHost) {
        if let Some(connection) = self.all.get_mut(at) {
            connection.say(message);
        }
    }

    /// Says something to the node, where there is one.
    pub(super) fn say_to_control(&mut self, message: &FromHost) {
        if let Some(at) = self.control {
            self.say(at, message);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn what_is_said_soon_leaves_with_what_is_said() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut peers = Peers::new();
        let at = peers.insert(Connection::new(OwnedFd::from(ours)));
        let refused = |detail: &str| FromHost::Refused { detail: detail.to_owned() };
        peers.say_to_control(&refused("nobody is there"));
        peers.say_soon(at, &refused("soon"));
        assert!(peers.rest() && !peers.are_drained());
        peers.control = Some(at);
        peers.say_to_control(&refused("now"));
        peers.say(at, &refused("and more"));
        assert_eq!(peers.take_listed(), [at], "once");
        assert!(peers.rest() && peers.get_mut(at).unwrap().flush() && peers.are_drained());
        let mut peer = Connection::new(OwnedFd::from(theirs));
        peer.read(&mut [0; 4096]);
        let mut said = Vec::new();
        while let Some(crate::frames::Frame::Json(text)) = peer.decoder.next_frame().unwrap() {
            said.push(serde_json::from_slice::<FromHost>(text).unwrap());
        }
        assert_eq!(said, [refused("soon"), refused("now"), refused("and more")]);
        drop(peers.remove(at));
        assert_eq!(peers.len(), 0);
        peers.say(at, &refused("nobody hears this"));
        assert!(peers.rest() && peers.get(at).is_none());
    }
}
