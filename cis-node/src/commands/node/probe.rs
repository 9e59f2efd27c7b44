//! Whether a node runs and answers. One that hangs must not make us hang.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use cis_core::api::{NodeView, Problem, ProblemKind};
use cis_core::client::ClientError;
use cis_core::local::{Lock, look};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::context::Context;
use crate::error::CliError;

/// A node that works answers within this time, also when it is busy.
const ANSWER_TIME_MAX: Duration = Duration::from_millis(4500);

/// What there is.
pub(crate) enum Probe {
    /// It answers.
    Running(Box<NodeView>),
    /// None runs.
    Absent,
    /// A node runs, but does not answer.
    Silent(Silent),
}

/// A running node that does not answer: it hangs, or does not listen.
pub(crate) struct Silent {
    /// Its process; none where even that cannot be found out.
    pub(crate) pid: Option<Pid>,
    pub(crate) process: Option<OwnedFd>,
    /// The socket at which the node should listen and does not.
    not_at: Option<PathBuf>,
    /// Why the node cannot answer, in its own words.
    cannot: Option<String>,
}

/// Asks the node.
pub(crate) async fn probe(context: &Context) -> Result<Probe, CliError> {
    let client = context.client_of_running()?;
    let asked = async {
        match client.node().await {
            // It died while it was asked: what is true now?
            Err(ClientError::Io { .. }) => client.node().await,
            answer => answer,
        }
    };
    match tokio::time::timeout(ANSWER_TIME_MAX, asked).await {
        Ok(Ok(node)) => Ok(Probe::Running(Box::new(node))),
        Ok(Err(ClientError::NotRunning { .. })) => Ok(Probe::Absent),
        Ok(Err(ClientError::NotListening { socket, .. })) => {
            Ok(Probe::Silent(Silent { not_at: Some(socket), ..silent(context) }))
        }
        // Such as a node whose store is damaged.
        Ok(Err(ClientError::Problem(problem))) if !context.is_remote() && is_failure(&problem) => {
            Ok(Probe::Silent(Silent { cannot: Some(problem.detail), ..silent(context) }))
        }
        Ok(Err(error)) => Err(error.into()),
        Err(_) if context.is_remote() => {
            Err(CliError::unavailable(format!("the node at {} does not answer within 5 s", client.place())))
        }
        Err(_) => Ok(Probe::Silent(silent(context))),
    }
}

/// Whether the node failed, and did not refuse a request.
pub(super) fn is_failure(problem: &Problem) -> bool {
    matches!(problem.kind, ProblemKind::Internal | ProblemKind::Unavailable)
}

/// Returns the process that holds the node's lock, according to the lock file.
pub(super) fn silent(context: &Context) -> Silent {
    let pid = holder(context);
    let process = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    // Read twice, because the process may have ended meanwhile and another process may have its pid.
    let process = process.filter(|_| holder(context) == pid && pid.is_some_and(is_node));
    Silent { pid, process, not_at: None, cannot: None }
}

fn holder(context: &Context) -> Option<Pid> {
    match look(&context.home.node_lock()) {
        Ok(Lock::Held(holder)) => Pid::from_raw(i32::try_from(holder?.pid).ok()?),
        Ok(Lock::Free) | Err(_) => None,
    }
}

/// Whether the process is a node according to its arguments. No other process is ever ended, even if a lock
/// file names it.
fn is_node(pid: Pid) -> bool {
    let command = std::fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default();
    command.split(|byte| *byte == 0).any(|word| word == b"serve")
}

impl Silent {
    /// Whether it answers that it cannot answer.
    pub(super) fn is_failed(&self) -> bool {
        self.cannot.is_some()
    }

    /// In words, with what helps.
    pub(crate) fn problem(&self, context: &Context) -> CliError {
        let who = self.pid.map(|pid| format!(" (pid {})", pid.as_raw_nonzero())).unwrap_or_default();
        let what = match (&self.not_at, &self.cannot) {
            (Some(socket), _) => format!("the node{who} runs, but nothing listens at {}", socket.display()),
            (None, Some(why)) => format!("the node{who} runs, but cannot answer: {why}"),
            (None, None) => format!("the node{who} does not answer within 5 s"),
        };
        CliError::unavailable(what).hint(format!(
            "`cis node stop` ends it, and its sessions go on; its log is {}",
            context.home.node_log().display()
        ))
    }
}
