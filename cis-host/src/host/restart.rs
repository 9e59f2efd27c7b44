//! The node is started again when it goes away without a word.

use std::path::PathBuf;

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
        self.supervise.node = self.launcher.launch_own(&argv, self.supervise.receives, None, self.now).ok();
    }

    /// The command of the node with the path that the home has now: at another one it would make another home.
    fn at_present_home(&self, mut argv: Vec<String>) -> Vec<String> {
        let home = argv.iter().position(|word| word == "--home").and_then(|at| argv.get_mut(at + 1));
        if let (Some(home), Ok(present)) = (home, self.present_home().into_os_string().into_string()) {
            *home = present;
        }
        argv
    }

    /// The path that the home has now, if it can be told.
    pub(super) fn present_home(&self) -> PathBuf {
        self.anchor.moved_to().unwrap_or_else(|| self.config.home.clone())
    }
}
