//! What a command does while its node is away: a node that died is restarted, one that was stopped is not.

use std::time::Duration;

use cis_client::ClientError;
use tokio::task::JoinHandle;

use crate::context::Context;
use crate::error::CliError;
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

/// The node of a command that follows events.
pub(crate) struct FollowedNode<'a> {
    context: &'a Context,
    /// The command that follows once more.
    again: String,
    /// Whether the node was stopped, and is not back.
    stopped: bool,
    restart: Option<Restart>,
}

impl<'a> FollowedNode<'a> {
    pub(crate) fn new(context: &'a Context, again: impl Into<String>) -> Self {
        Self { context, again: again.into(), stopped: false, restart: None }
    }

    /// Notes that the node went away. Returns what to tell the user.
    pub(crate) fn lost(&mut self, stopped: bool) -> &'static str {
        self.stopped = stopped;
        self.restart = Restart::of_lost(self.context, stopped);
        match (stopped, self.context.may_start_node()) {
            (true, true) => "The node was stopped; waiting for it. To start it: cis node start --detach\n",
            (true, false) => "The node was stopped; waiting for it.\n",
            (false, _) => "The node went away; waiting for it.\n",
        }
    }

    /// Notes that the node is back.
    pub(crate) fn back(&mut self) {
        (self.stopped, self.restart) = (false, None);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Returns the error of a stream that does not come back.
    pub(crate) fn error(&self, error: ClientError) -> CliError {
        if self.stopped && error.is_away() {
            return self.context.node_stopped("the node was stopped", &self.again);
        }
        error.into()
    }
}
