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
        let argv = self.at_present_home(argv);
        self.supervise.node = self.launcher.launch_node(&argv, self.supervise.receives, self.now);
    }

    /// The command of the node with the path that the home has now: at the old one it would make another home.
    fn at_present_home(&self, argv: Vec<String>) -> Vec<String> {
        let moved = self.anchor.moved_to().and_then(|home| home.into_os_string().into_string().ok());
        let (Some(moved), Some(was)) = (moved, self.config.home.to_str()) else { return argv };
        argv.into_iter().map(|word| if word == was { moved.clone() } else { word }).collect()
    }
}
