//! Serving peers: listened to, answered, let go.

use rustix::event::epoll::EventFlags;

use super::connection::{Connection, Read};
use super::state::Host;

impl Host {
    pub(super) fn connection_ready(&mut self, at: usize, flags: EventFlags) {
        let Some(connection) = self.peers.get_mut(at) else { return };
        if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
            match connection.read(&mut self.buffer) {
                Read::Bytes(_) => {
                    self.take_frames(at);
                }
                Read::Nothing => {}
                Read::Gone => return self.close(at),
            }
        }
        // Where nothing was said and nothing waits, there is nothing to send: see `Peers::say_soon`.
        if flags.contains(EventFlags::OUT) || !connection_rests(self.peers.get(at)) {
            self.peers.list(at);
        }
    }

    /// One write for each connection, with all that this turn brought.
    pub(super) fn serve_listed(&mut self) {
        for at in self.peers.take_listed() {
            let Some(connection) = self.peers.get_mut(at) else { continue };
            connection.listed = false;
            let behind = self.pump(at);
            let Some(connection) = self.peers.get_mut(at) else { continue };
            if !connection.flush() {
                self.hear_last_words(at);
                self.close(at);
                continue;
            }
            connection.poll(&self.poll, at);
            let has_room = connection.has_room();
            let pumps = behind && connection.has_room_for_replay();
            if has_room && connection.decoder.waiting() > 0 && self.take_frames(at) || pumps {
                self.peers.list(at);
            }
        }
    }

    /// Takes what a peer said before it went away. A node that stops says last that it is not to be started again.
    fn hear_last_words(&mut self, at: usize) {
        while let Some(connection) = self.peers.get_mut(at) {
            connection.forget_outgoing();
            let read = connection.read(&mut self.buffer);
            self.take_frames(at);
            if !matches!(read, Read::Bytes(_)) {
                return;
            }
        }
    }

    /// A peer went away.
    fn close(&mut self, at: usize) {
        self.drop_connection(at);
        if self.peers.control == Some(at) {
            self.peers.control = None;
            self.control_lost();
        }
    }
}

/// Whether a peer can wait for the next turn that has something to say to it.
fn connection_rests(connection: Option<&Connection>) -> bool {
    connection.is_none_or(|peer| peer.has_room() && !peer.closing && peer.decoder.waiting() == 0)
}
