//! Ending a node that does not answer. Its sessions are the session host's and go on.

use std::time::{Duration, Instant};

use cis_core::session::control::{HostClient, HostClientError};
use cis_core::session::protocol::{Role, ToHost};
use rustix::process::{Signal, pidfd_send_signal};

use super::probe::Silent;
use crate::context::Context;
use crate::error::CliError;
use crate::output::clean::clean_lines;
use crate::{output, wait};

/// After SIGTERM a node ends by itself within 10 s, also where it hangs.
const TERM_TIME_MAX: Duration = Duration::from_secs(12);
/// After SIGKILL.
const KILL_TIME_MAX: Duration = Duration::from_secs(5);

/// Ends it by SIGTERM, and by SIGKILL where that does not help; with it its sessions, where that was asked for.
pub(super) fn end(context: &Context, silent: &Silent, kill_sessions: bool) -> Result<(), CliError> {
    let (Some(pid), Some(process)) = (silent.pid, &silent.process) else {
        return Err(CliError::unavailable("the node does not answer, and its process cannot be found")
            .hint("it may have ended in this moment: try again"));
    };
    let pid = pid.as_raw_nonzero();
    let what = if silent.is_failed() { "cannot answer" } else { "does not answer" };
    output::note(&format!("The node (pid {pid}) {what}: it gets SIGTERM. Its sessions go on.\n"));
    for (signal, patience) in [(Signal::TERM, TERM_TIME_MAX), (Signal::KILL, KILL_TIME_MAX)] {
        match pidfd_send_signal(process, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => {
                return Err(CliError::unavailable(format!("the node (pid {pid}) cannot be ended: {error}")));
            }
        }
        let ended = wait::readable(process, Instant::now() + patience)
            .map_err(|error| CliError::unavailable(format!("waiting for pid {pid} failed: {error}")))?;
        if ended {
            tell_host(context, kill_sessions);
            return Ok(());
        }
        if signal == Signal::TERM {
            output::note("It does not end: it gets SIGKILL.\n");
        }
    }
    Err(CliError::unavailable(format!("the node (pid {pid}) does not end, not even by SIGKILL"))
        .hint("it may wait for a disk: `cat /proc/PID/stack` as root tells"))
}

/// Ends the sessions while no node can start, for this reason.
pub(super) fn end_sessions(context: &Context, why: &str) -> Result<(), CliError> {
    output::note(&format!("{}\nThe session host ends the sessions without a node.\n", clean_lines(why)));
    ask_host(context, true).map_err(|error| {
        CliError::unavailable(format!("cannot tell the session host to end its sessions: {error}"))
    })
}

fn tell_host(context: &Context, kill_sessions: bool) {
    match ask_host(context, kill_sessions) {
        // Without a host there are no sessions, and nobody to start a node.
        Ok(()) | Err(HostClientError::Connect(_)) => {}
        Err(error) => output::note(&format!("The session host could not be told: {error}\n")),
    }
}

/// The host must not start it again, as it would one that died. Only once the node is gone: the host
/// speaks with one at a time, and one that is cut off would take its sessions for lost.
fn ask_host(context: &Context, kill_sessions: bool) -> Result<(), HostClientError> {
    let mut host = HostClient::connect(context.home.host_place(), Role::Control)?;
    host.send(&ToHost::Supervise { restart: None, receives_environment: true })?;
    if kill_sessions {
        host.send(&ToHost::Shutdown {})?;
    }
    host.flush()?;
    host.wait(KILL_TIME_MAX).map(drop)
}
