//! Who speaks with the host: taken in, listened to, answered, let go.

use std::os::fd::{AsFd, OwnedFd};

use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with};

use super::connection::{Connection, Read};
use super::listener::{self, Nodes};
use super::server::Host;
use super::source::Source;
use crate::os;
use crate::protocol::FromHost;

/// Peers at a time.
const CONNECTIONS_MAX: usize = 256;

impl Host {
    pub(super) fn accept_all(&mut self) {
        loop {
            match accept_with(&self.listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
                Ok(stream) => self.admit(stream),
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(Errno::MFILE | Errno::NFILE) => {
                    // Or epoll would tell of the waiting peer for ever.
                    self.spare = None;
                    drop(accept_with(&self.listener, SocketFlags::CLOEXEC));
                    self.spare = os::null_device().ok();
                    return;
                }
                Err(_) => return,
            }
        }
    }

    fn admit(&mut self, stream: OwnedFd) {
        let full = self.connections.len() >= CONNECTIONS_MAX;
        let nodes = Nodes { starter: self.starter, started: self.supervise.node };
        if full || !listener::admits(&stream, &self.processes, &self.stamps, nodes) {
            return;
        }
        let at = self.connections.insert(Connection::new(stream));
        let connection = self.connections.get(at).map(AsFd::as_fd);
        let added = connection.map(|stream| {
            epoll::add(&self.poll, stream, Source::Connection(at).data(), epoll::EventFlags::IN)
        });
        if !matches!(added, Some(Ok(()))) {
            self.connections.remove(at);
        }
    }

    pub(super) fn connection_ready(&mut self, at: usize, flags: epoll::EventFlags) {
        let Some(connection) = self.connections.get_mut(at) else { return };
        if flags.intersects(epoll::EventFlags::IN | epoll::EventFlags::HUP | epoll::EventFlags::ERR) {
            match connection.read(&mut self.buffer) {
                Read::Bytes(_) => {
                    self.take_frames(at);
                }
                Read::Nothing => {}
                Read::Gone => return self.close(at),
            }
        }
        // Where nothing was said and nothing waits, there is nothing to send: see `say_soon`.
        if flags.contains(epoll::EventFlags::OUT) || !connection_rests(self.connections.get(at)) {
            self.list(at);
        }
    }

    /// The connection has something to do at the end of the turn.
    pub(super) fn list(&mut self, at: usize) {
        if let Some(connection) = self.connections.get_mut(at)
            && !connection.listed
        {
            connection.listed = true;
            self.listed.push(at);
        }
    }

    /// Says something to one peer.
    pub(super) fn say(&mut self, at: usize, message: &FromHost) {
        if let Some(connection) = self.connections.get_mut(at) {
            connection.say(message);
            self.list(at);
        }
    }

    /// Says something to one peer, with what is said next or when [`FRESH_MS`] are over.
    pub(super) fn say_soon(&mut self, at: usize, message: &FromHost) {
        if let Some(connection) = self.connections.get_mut(at) {
            connection.say(message);
        }
    }

    /// Says something to the node, where there is one.
    pub(super) fn say_to_control(&mut self, message: &FromHost) {
        if let Some(at) = self.control {
            self.say(at, message);
        }
    }

    /// One write for each connection, with all that this turn brought.
    pub(super) fn serve_listed(&mut self) {
        for at in std::mem::take(&mut self.listed) {
            let Some(connection) = self.connections.get_mut(at) else { continue };
            connection.listed = false;
            let behind = self.pump(at);
            let Some(connection) = self.connections.get_mut(at) else { continue };
            if !connection.flush() {
                self.hear_last_words(at);
                self.close(at);
                continue;
            }
            connection.poll(&self.poll, Source::Connection(at).data());
            let has_room = connection.has_room();
            let pumps = behind && connection.has_room_for_replay();
            if has_room && connection.decoder.waiting() > 0 && self.take_frames(at) || pumps {
                self.list(at);
            }
        }
    }

    /// Takes what a peer said before it went away. A node that stops says last that it is not to be started again.
    fn hear_last_words(&mut self, at: usize) {
        while let Some(connection) = self.connections.get_mut(at) {
            connection.forget_outgoing();
            let read = connection.read(&mut self.buffer);
            self.take_frames(at);
            if !matches!(read, Read::Bytes(_)) {
                return;
            }
        }
    }

    /// Hangs up.
    pub(super) fn drop_connection(&mut self, at: usize) {
        let Some(connection) = self.connections.remove(at) else { return };
        self.poll_no_more(&connection);
        for watch in &connection.watches {
            self.unwatch_session(watch.slot, at);
        }
    }

    /// A peer went away.
    pub(super) fn close(&mut self, at: usize) {
        self.drop_connection(at);
        if self.control == Some(at) {
            self.control = None;
            self.control_lost();
        }
    }
}

/// Whether a peer can wait for the next turn that has something to say to it.
fn connection_rests(connection: Option<&Connection>) -> bool {
    connection.is_none_or(|peer| peer.has_room() && !peer.closing && peer.decoder.waiting() == 0)
}
