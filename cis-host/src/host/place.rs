//! The host's socket, and its restoration after the socket's file was removed.

use std::os::fd::AsFd as _;
use std::path::Path;

use super::config::HostError;
use super::listener;
use super::server::Host;
use super::source::Source;
use super::timers::Wake;
use cis_local::{Holder, SocketFile};

/// Interval at which the socket's file is checked, ms.
const LOOK_MS: u64 = 2000;

/// The socket's file, and the time of its next check.
#[derive(Debug)]
pub(super) struct FoundAt {
    pub(super) file: SocketFile,
    /// Time of the next check on the boot clock, ms.
    pub(super) look_at: u64,
}

impl Host {
    /// Binds the socket again if its file was removed. Open connections stay open.
    pub(super) fn look_after_socket(&mut self) {
        if self.now < self.found_at.look_at {
            return;
        }
        self.found_at.look_at = self.now + LOOK_MS;
        self.timers.wish(self.found_at.look_at, Wake::Host);
        if self.found_at.file.is_in_place() {
            return;
        }
        let paths = [Some(self.config.socket.clone()), self.config.fallback.clone()];
        // If neither works, the next check tries again: sessions do not need the socket.
        let _ = paths.iter().flatten().any(|path| self.listen_at(path).is_ok());
    }

    fn listen_at(&mut self, path: &Path) -> Result<(), HostError> {
        let (listener, file) = listener::bind(path)?;
        self.watch(listener.as_fd(), Source::Listener)?;
        // Accepts clients that connected before the file was removed: connections that wait at a listener are
        // lost with it.
        self.accept_all();
        self.poll_no_more(&self.listener);
        self.listener = listener;
        self.found_at.file = file;
        let holder = Holder { pid: self.own_pid, socket: path.to_owned() };
        // An error does no harm: a node that knows the path does not need the name in the lock file.
        let _ = self.lock.name(&holder);
        Ok(())
    }
}
