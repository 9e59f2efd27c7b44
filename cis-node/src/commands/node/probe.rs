//! Whether a node runs and answers. One that hangs must not make us hang.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use cis_core::api::NodeView;
use cis_core::client::ClientError;
use rustix::net::sockopt::socket_peercred;
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
    /// One listens, but does not answer.
    Silent(Silent),
}

/// A node that listens and does not answer.
pub(crate) struct Silent {
    /// Its process; none where even that cannot be found out.
    pub(crate) pid: Option<Pid>,
    pub(crate) process: Option<OwnedFd>,
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
        Ok(Err(error)) => Err(error.into()),
        Err(_) if context.is_remote() => {
            Err(CliError::unavailable(format!("the node at {} does not answer within 5 s", client.place())))
        }
        Err(_) => Ok(Probe::Silent(silent(context))),
    }
}

/// Who listens at the socket says the kernel, also when the listener does nothing (SO_PEERCRED, unix(7)).
pub(super) fn silent(context: &Context) -> Silent {
    let peer = UnixStream::connect(context.socket()).ok().and_then(|node| socket_peercred(node).ok());
    let pid = peer.map(|peer| peer.pid);
    let process = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    Silent { pid, process }
}

impl Silent {
    /// In words, with what helps.
    pub(crate) fn problem(&self, context: &Context) -> CliError {
        let who = self.pid.map(|pid| format!(" (pid {})", pid.as_raw_nonzero())).unwrap_or_default();
        CliError::unavailable(format!("the node{who} does not answer within 5 s")).hint(format!(
            "`cis node stop` ends it, and its sessions go on; its log is {}",
            context.home.node_log().display()
        ))
    }
}
