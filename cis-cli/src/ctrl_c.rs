//! Ctrl+C at a command that makes or follows a run: the first one cancels the run, another one leaves.
//!
//! Owns when Ctrl+C counts, and what was asked of the node by it. Asks nothing itself.

use std::pin::pin;
use std::time::Duration;

use cis_client::ClientError;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, timeout};

use crate::error::CliError;
use crate::output;

/// A signal that comes so soon after another one is the same Ctrl+C, which a wrapper passed on as well.
const SAME: Duration = Duration::from_millis(200);

/// Listens for Ctrl+C from before the request that makes the run: it never ends a command whose run nobody knows.
pub(crate) struct CtrlC {
    signal: Signal,
    cancel: Cancel,
}

/// What became of cancelling the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cancel {
    /// Nobody wants it.
    No,
    /// Ctrl+C came, and the node has not taken it yet.
    Wanted(Instant),
    /// The node cancels it.
    Taken(Instant),
    /// The node refused.
    Refused,
}

/// What follows from a signal.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing: it is the same Ctrl+C.
    Nothing,
    /// The run is to be cancelled.
    Cancel,
    /// The command leaves. Whether the run is cancelled, [`CtrlC::cancel`] says.
    Leave,
}

impl Cancel {
    fn interrupted(&mut self, now: Instant) -> Next {
        match *self {
            Self::No => {
                *self = Self::Wanted(now);
                Next::Cancel
            }
            Self::Wanted(at) | Self::Taken(at) if now.duration_since(at) < SAME => Next::Nothing,
            Self::Wanted(_) | Self::Taken(_) | Self::Refused => Next::Leave,
        }
    }
}

impl CtrlC {
    /// From now on it does not end the command by itself.
    pub(crate) fn listen() -> Result<Self, CliError> {
        let signal = signal(SignalKind::interrupt())
            .map_err(|error| CliError::unavailable(format!("cannot listen for signals: {error}")))?;
        Ok(Self { signal, cancel: Cancel::No })
    }

    /// Waits for the next one. Loses none when dropped.
    pub(crate) async fn next(&mut self) -> Next {
        self.signal.recv().await;
        self.cancel.interrupted(Instant::now())
    }

    /// Whether Ctrl+C ended the program that read this command's output. The terminal sends it to both, and that program may
    /// end before this command has seen it. Waits a moment for it.
    pub(crate) async fn ended_the_reader(&mut self) -> bool {
        self.cancel != Cancel::No || timeout(SAME, self.next()).await.is_ok()
    }

    pub(crate) fn cancel(&self) -> Cancel {
        self.cancel
    }

    /// The node cancels the run.
    pub(crate) fn taken(&mut self) {
        if let Cancel::Wanted(at) = self.cancel {
            self.cancel = Cancel::Taken(at);
        }
    }

    /// The node does not cancel the run.
    pub(crate) fn refused(&mut self) {
        self.cancel = Cancel::Refused;
    }

    /// Waits for the answer to a request that makes or starts a run. Ctrl+C meanwhile cancels the run once it is there.
    ///
    /// # Errors
    /// That of the request. Or somebody did not want to wait for it any longer.
    pub(crate) async fn during<T>(
        &mut self,
        request: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, CliError> {
        let note = "Cancelling the run when the node has taken it; Ctrl+C again leaves at once.\n";
        let Some(answer) = self.unless_left(request, note).await else {
            let detail = "the node has not answered yet: it may still make or start the run";
            return Err(CliError::unavailable(detail)
                .hint("`cis dag list` shows it, and `cis dag cancel RUN` cancels it"));
        };
        Ok(answer?)
    }

    /// Waits for the answer to a request. Ctrl+C meanwhile prints `note`, and cancels the run later. None: somebody did not want to wait any
    /// longer.
    pub(crate) async fn unless_left<T>(&mut self, request: impl Future<Output = T>, note: &str) -> Option<T> {
        let mut request = pin!(request);
        loop {
            tokio::select! {
                answer = &mut request => return Some(answer),
                next = self.next() => match next {
                    Next::Nothing => {}
                    Next::Cancel => output::note(note),
                    Next::Leave => return None,
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_reader_ended_by_itself_unless_ctrl_c_came_about_then() {
        let mut ctrl_c = CtrlC::listen().unwrap();
        assert!(!ctrl_c.ended_the_reader().await);
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::INT).unwrap();
        assert!(ctrl_c.ended_the_reader().await);
        assert!(matches!(ctrl_c.cancel(), Cancel::Wanted(_)));
        // Somebody leaves before an answer comes.
        ctrl_c.refused();
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::INT).unwrap();
        assert_eq!(ctrl_c.unless_left(std::future::pending::<()>(), "").await, None);
    }

    #[test]
    fn only_a_second_ctrl_c_leaves() {
        let (start, ms) = (Instant::now(), Duration::from_millis);
        let mut cancel = Cancel::No;
        assert_eq!(cancel.interrupted(start), Next::Cancel);
        assert_eq!(cancel.interrupted(start + ms(1)), Next::Nothing, "a wrapper passed it on");
        assert_eq!(cancel.interrupted(start + SAME), Next::Leave);
        let mut taken = Cancel::Taken(start);
        assert_eq!(taken.interrupted(start + ms(1)), Next::Nothing);
        assert_eq!(taken.interrupted(start + SAME), Next::Leave);
        assert_eq!(Cancel::Refused.interrupted(start), Next::Leave, "nobody is kept here");
    }
}
