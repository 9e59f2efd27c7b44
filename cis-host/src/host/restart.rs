//! The node is started again when it goes away without a word.

use super::state::Host;
use super::timers::Wake;

impl Host {
    /// The control connection was closed.
    pub(super) fn control_lost(&mut self) {
        if let Some(at_ms) = self.supervise.lost(self.now) {
            self.timers.wish(at_ms, Wake::Host);
        }
    }

    /// Starts the node where it is time.
    pub(super) fn restart_node_if_due(&mut self) {
        if self.peers.control.is_some() {
            return;
        }
        let Some((argv, next)) = self.supervise.take_due(self.now) else { return };
        self.timers.wish(next, Wake::Host);
        self.supervise.node = self.launcher.launch_node(&argv, self.supervise.receives, self.now);
    }
}
