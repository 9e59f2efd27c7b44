//! Where the host can be found, also after somebody removed its socket.

use std::os::fd::AsFd as _;
use std::path::Path;

use super::config::HostError;
use super::listener;
use super::server::Host;
use super::source::Source;
use super::timers::Wake;
use crate::local::{Holder, SocketFile};

/// So often it is looked whether the socket can still be found, ms.
const LOOK_MS: u64 = 2000;

/// The socket's file, and when it is looked at next.
#[derive(Debug)]
pub(super) struct FoundAt {
    pub(super) file: SocketFile,
    /// Of the boot clock, ms.
    pub(super) look_at: u64,
}

impl Host {
    /// Listens anew where the socket's file was removed. Connections that are open stay so.
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
        // Where neither can be made, that is tried again at the next look: sessions do not need it.
        let _ = paths.iter().flatten().any(|path| self.listen_at(path).is_ok());
    }

    fn listen_at(&mut self, path: &Path) -> Result<(), HostError> {
        let (listener, file) = listener::bind(path)?;
        self.watch(listener.as_fd(), Source::Listener)?;
        // Whoever had connected before the file went: what waits at a listener is lost with it.
        self.accept_all();
        self.poll_no_more(&self.listener);
        self.listener = listener;
        self.found_at.file = file;
        let holder = Holder { pid: self.own_pid, socket: path.to_owned() };
        // A node that knows the path finds it without.
        let _ = self.lock.name(&holder);
        Ok(())
    }
}
