//! What a command does while its node is away: a node that died is restarted, one that was stopped is not.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cis_client::{ClientError, EventFollower, EventFrame, Followed};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::context::Context;
use crate::error::CliError;
use crate::home::Home;
use crate::lock_holders;
use crate::node_start::{self, Found};
use crate::output;

/// Time within which a session host starts a node again that died. After it, a command that waits for the node does.
const HOST_RESTARTS_WITHIN: Duration = Duration::from_millis(1500);
/// Maximum number of nodes that a command starts one after the other, if none of them serves it for [`STEADY_TIME`].
const STARTS_MAX: u32 = 8;
/// A node that served for this time does not count as one that dies at its start.
const STEADY_TIME: Duration = Duration::from_secs(10);

/// Starts of nodes in the place of those that died, for one command. Dropping it gives up a start that has not begun.
#[derive(Debug, Default)]
pub(crate) struct Restarts {
    starts: Arc<Mutex<Starts>>,
    task: Option<JoinHandle<()>>,
}

/// The last starts of nodes.
#[derive(Debug, Default)]
struct Starts {
    /// Number of starts since a node served for [`STEADY_TIME`].
    count: u32,
    /// When the command reached its node again.
    back: Option<Instant>,
    /// Why the last start failed; none: that node ran, and died later.
    failure: Option<CliError>,
}

impl Starts {
    /// The node went away.
    fn lost(&mut self, now: Instant) {
        if self.back.take().is_some_and(|back| now.duration_since(back) >= STEADY_TIME) {
            *self = Self::default();
        }
    }

    /// Returns the time to wait before the next start; none: there were too many. The first pauses leave the start to the
    /// session host, the later ones are longer.
    fn pause(&self) -> Option<Duration> {
        let doublings = self.count.saturating_sub(2).min(3);
        (self.count < STARTS_MAX).then(|| HOST_RESTARTS_WITHIN * (1 << doublings))
    }

    fn started(&mut self, outcome: Result<Found, CliError>) {
        match outcome {
            Ok(Found::Running) => self.failure = None,
            Ok(Found::Started) => (self.count, self.failure) = (self.count + 1, None),
            Err(error) => (self.count, self.failure) = (self.count + 1, Some(error)),
        }
    }

    /// Returns why there is no node, if this command has started some.
    fn problem(&mut self, home: &Home) -> Option<CliError> {
        let failure = self.failure.take();
        failure.or_else(|| (self.count > 0).then(|| node_start::died(home, self.count)))
    }
}

fn lock(starts: &Mutex<Starts>) -> MutexGuard<'_, Starts> {
    starts.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Restarts {
    /// Starts a node, unless the session host starts one in time, and starts another one if that one dies as well.
    /// `stopped`: the node was told to stop; then none is started.
    pub(crate) fn begin(&mut self, context: &Context, stopped: bool) {
        self.end_task();
        lock(&self.starts).lost(Instant::now());
        if !stopped && context.may_start_node() {
            let (home, overrides) = (context.home.clone(), context.overrides.clone());
            self.task = Some(tokio::spawn(start_again(home, overrides, Arc::clone(&self.starts))));
        }
    }

    /// Notes that the node is back.
    pub(crate) fn end(&mut self) {
        self.end_task();
        lock(&self.starts).back = Some(Instant::now());
    }

    /// Returns the error of a command whose node did not come back.
    pub(crate) fn error(&self, context: &Context, error: ClientError) -> CliError {
        let problem = if error.is_away() { lock(&self.starts).problem(&context.home) } else { None };
        problem.unwrap_or_else(|| error.into())
    }

    fn end_task(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

impl Drop for Restarts {
    fn drop(&mut self) {
        self.end_task();
    }
}

/// Starts a node as often as none is there, until there were too many starts or somebody has stopped the node.
async fn start_again(home: Home, overrides: Vec<String>, starts: Arc<Mutex<Starts>>) {
    loop {
        let Some(pause) = lock(&starts).pause() else { return };
        tokio::time::sleep(pause).await;
        let (home, overrides, starts) = (home.clone(), overrides.clone(), Arc::clone(&starts));
        let start = tokio::task::spawn_blocking(move || {
            if lock_holders::was_node_stopped(&home) {
                return false;
            }
            let outcome = node_start::ensure(&home, &overrides, false);
            // Here, because a start that has begun counts also if nobody waits for it any longer.
            lock(&starts).started(outcome);
            true
        });
        if !start.await.unwrap_or(false) {
            return;
        }
    }
}

/// The node of a command that follows events.
pub(crate) struct FollowedNode<'a> {
    context: &'a Context,
    /// The command that follows once more.
    again: String,
    /// Whether the node was stopped, and is not back.
    stopped: bool,
    restarts: Restarts,
}

impl<'a> FollowedNode<'a> {
    pub(crate) fn new(context: &'a Context, again: impl Into<String>) -> Self {
        Self { context, again: again.into(), stopped: false, restarts: Restarts::default() }
    }

    /// The next events; none: the node went away, which the user was told, and is back.
    pub(crate) async fn next(
        &mut self,
        events: &mut EventFollower<'_>,
    ) -> Result<Option<EventFrame>, CliError> {
        loop {
            match events.next().await.map_err(|error| self.error(error))? {
                Followed::Frame(frame) => return Ok(Some(frame)),
                Followed::Lost { stopped } => output::note(self.lost(stopped)),
                Followed::Back => {
                    self.back();
                    return Ok(None);
                }
            }
        }
    }

    /// Notes that the node went away. Returns what to tell the user.
    pub(crate) fn lost(&mut self, stopped: bool) -> &'static str {
        self.stopped = stopped;
        self.restarts.begin(self.context, stopped);
        match (stopped, self.context.may_start_node()) {
            (true, true) => "The node was stopped; waiting for it. To start it: cis node start --detach\n",
            (true, false) => "The node was stopped; waiting for it.\n",
            (false, _) => "The node went away; waiting for it.\n",
        }
    }

    /// Notes that the node is back.
    pub(crate) fn back(&mut self) {
        self.stopped = false;
        self.restarts.end();
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Returns the error of a stream that does not come back.
    pub(crate) fn error(&self, error: ClientError) -> CliError {
        if self.stopped && error.is_away() {
            return self.context.node_stopped("the node was stopped", &self.again);
        }
        self.restarts.error(self.context, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_dies_at_each_start_is_not_started_for_ever() {
        let (mut starts, now) = (Starts::default(), Instant::now());
        let mut pauses = Vec::new();
        while let Some(pause) = starts.pause() {
            pauses.push(pause);
            starts.started(Ok(Found::Started));
            // It served the command, but not for long.
            starts.back = Some(now);
            starts.lost(now + STEADY_TIME / 2);
        }
        assert_eq!(pauses.len(), STARTS_MAX as usize);
        assert!(pauses.is_sorted() && pauses[0] == HOST_RESTARTS_WITHIN, "{pauses:?}");
        assert!(pauses.iter().sum::<Duration>() < Duration::from_secs(60), "commands wait so long");
        starts.back = Some(now);
        starts.lost(now + STEADY_TIME);
        assert_eq!(starts.pause(), Some(HOST_RESTARTS_WITHIN), "it served");
    }

    #[test]
    fn why_there_is_no_node_is_known_if_one_was_started() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::locate(Some(dir.path().into()), None, None).unwrap();
        std::fs::write(home.node_log(), "it ran\n").unwrap();
        let mut starts = Starts::default();
        starts.started(Ok(Found::Running));
        assert!(starts.problem(&home).is_none(), "somebody else's node");
        starts.started(Err(CliError::unavailable("the node could not start: no reason")));
        assert_eq!(starts.problem(&home).unwrap().detail(), "the node could not start: no reason");
        starts.started(Ok(Found::Started));
        let problem = starts.problem(&home).unwrap();
        assert!(problem.detail().starts_with("the node was started 2 times and ended each time"));
        assert!(problem.detail().ends_with(":\nit ran"), "{}", problem.detail());
    }
}
