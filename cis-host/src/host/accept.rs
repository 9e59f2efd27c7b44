//! Taking peers in, and the restoration of the socket after its file was removed.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with};

use super::config::HostError;
use super::connection::Connection;
use super::listener::{self, Nodes};
use super::poll::Source;
use super::state::Host;
use super::timers::Wake;
use crate::os;
use cis_local::Holder;

/// Peers at a time.
const CONNECTIONS_MAX: usize = 256;
/// Interval at which the socket's file is checked, ms.
const LOOK_MS: u64 = 2000;

impl Host {
    pub(super) fn accept_all(&mut self) {
        loop {
            match accept_with(&self.door.listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
                Ok(stream) => self.admit(stream),
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(Errno::MFILE | Errno::NFILE) => {
                    // Or epoll would tell of the waiting peer for ever.
                    self.door.spare = None;
                    drop(accept_with(&self.door.listener, SocketFlags::CLOEXEC));
                    self.door.spare = os::null_device().ok();
                    return;
                }
                Err(_) => return,
            }
        }
    }

    fn admit(&mut self, stream: OwnedFd) {
        let full = self.peers.len() >= CONNECTIONS_MAX;
        let nodes = Nodes { starter: self.door.starter, started: self.supervise.node };
        if full || !listener::admits(&stream, &self.processes.system, &self.launcher.stamps, nodes) {
            return;
        }
        let at = self.peers.insert(Connection::new(stream));
        let connection = self.peers.get(at).map(AsFd::as_fd);
        let added = connection.map(|stream| self.poll.add(stream, Source::Connection(at), EventFlags::IN));
        if !matches!(added, Some(Ok(()))) {
            self.peers.remove(at);
        }
    }

    /// Binds the socket again if its file was removed. Open connections stay open.
    pub(super) fn look_after_socket(&mut self) {
        if self.now < self.door.look_at {
            return;
        }
        self.door.look_at = self.now + LOOK_MS;
        self.timers.wish(self.door.look_at, Wake::Host);
        if self.door.file.is_in_place() {
            return;
        }
        let paths = [Some(self.config.socket.clone()), self.config.fallback.clone()];
        // If neither works, the next check tries again: sessions do not need the socket.
        let _ = paths.iter().flatten().any(|path| self.listen_at(path).is_ok());
    }

    fn listen_at(&mut self, path: &Path) -> Result<(), HostError> {
        let (listener, file) = listener::bind(path)?;
        let polled = self.poll.add(&listener, Source::Listener, EventFlags::IN);
        polled.map_err(HostError::system("poll its descriptors"))?;
        // Accepts clients that connected before the file was removed: connections that wait at a listener are
        // lost with it.
        self.accept_all();
        self.poll.remove(&self.door.listener);
        (self.door.listener, self.door.file) = (listener, file);
        let holder = Holder { pid: self.processes.own_pid, socket: path.to_owned() };
        // An error does no harm: a node that knows the path does not need the name in the lock file.
        let _ = self.lock.name(&holder);
        Ok(())
    }
}
