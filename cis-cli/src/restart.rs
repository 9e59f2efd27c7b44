//! A start of a node in the place of one that died, by a command that waits for it.

use std::time::Duration;

use tokio::task::JoinHandle;

use crate::context::Context;
use crate::node_start;

/// Time within which a session host starts a node again that died. After it, a command that waits for the node does.
const HOST_RESTARTS_WITHIN: Duration = Duration::from_millis(1500);

/// A start of a node in the place of one that died, unless its session host starts one in time. Dropping it before that time
/// gives it up. A failure shows in the stream of the command, which gives up.
#[derive(Debug)]
pub(crate) struct Restart(JoinHandle<()>);

impl Restart {
    /// Begins one. `stopped`: the node was told to stop; it is not ours to start then.
    pub(crate) fn of_lost(context: &Context, stopped: bool) -> Option<Self> {
        if stopped || !context.may_start_node() {
            return None;
        }
        let (home, overrides) = (context.home.clone(), context.overrides.clone());
        Some(Self(tokio::spawn(async move {
            tokio::time::sleep(HOST_RESTARTS_WITHIN).await;
            drop(tokio::task::spawn_blocking(move || node_start::ensure(&home, &overrides, false)));
        })))
    }
}

impl Drop for Restart {
    fn drop(&mut self) {
        self.0.abort();
    }
}
