//! Ending a node that does not answer. Its sessions are the session host's and go on.

use std::time::{Duration, Instant};

use cis_host::control::{HostClient, HostClientError, spawn_host};
use cis_host::protocol::{Role, ToHost};
use cis_local::is_stopped;
use rustix::process::{Signal, pidfd_send_signal};

use super::serve::host_command;
use crate::context::Context;
use crate::error::CliError;
use crate::lock_holders::{self, UnresponsiveNode};
use crate::{output, wait};

/// After SIGTERM a node ends by itself within 10 s, also where it hangs.
const TERM_TIME_MAX: Duration = Duration::from_secs(12);
/// After SIGKILL.
const KILL_TIME_MAX: Duration = Duration::from_secs(5);
/// A host that was told to end its sessions gets so much time before it gets SIGTERM.
const TOLD_TIME_MAX: Duration = Duration::from_secs(3);
/// And this much afterwards.
const HOST_TIME_MAX: Duration = Duration::from_secs(30);

/// Ends it by SIGTERM, and by SIGKILL where that does not help; with it its sessions, where that was asked for.
pub(super) fn end(context: &Context, node: &UnresponsiveNode, kill_sessions: bool) -> Result<(), CliError> {
    let (Some(pid), Some(process)) = (node.pid, &node.process) else {
        return Err(CliError::unavailable("the node does not answer, and its process cannot be found")
            .hint("it may have just ended: try again"));
    };
    let pid = pid.as_raw_nonzero();
    let what = if node.answers { "cannot answer" } else { "does not answer" };
    let goes_on = if kill_sessions { "" } else { " Its sessions continue." };
    output::note(&format!("The node (pid {pid}) {what}. Sending SIGTERM.{goes_on}\n"));
    for (signal, patience) in [(Signal::TERM, TERM_TIME_MAX), (Signal::KILL, KILL_TIME_MAX)] {
        match pidfd_send_signal(process, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => {
                return Err(CliError::unavailable(format!("cannot end the node (pid {pid}): {error}")));
            }
        }
        let ended = wait::readable(process, Instant::now() + patience)
            .map_err(|error| CliError::unavailable(format!("waiting for pid {pid} failed: {error}")))?;
        if ended {
            tell_host(context, kill_sessions);
            return Ok(());
        }
        if signal == Signal::TERM {
            output::note("The node does not end. Sending SIGKILL.\n");
        }
    }
    Err(CliError::unavailable(format!("cannot end the node (pid {pid}), not even with SIGKILL"))
        .hint("it may be waiting for a disk: `cat /proc/PID/stack` as root shows where"))
}

/// Tells the host over its socket. A host that cannot be reached was told by the node, if that ended by SIGTERM, and
/// [`end_host`] needs no socket.
pub(super) fn tell_host(context: &Context, kill_sessions: bool) {
    match ask_host(context, kill_sessions) {
        Ok(()) | Err(HostClientError::Connect(_)) => {}
        Err(error) => output::note(&format!("Cannot send the request to the session host: {error}\n")),
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

/// Ends the processes of sessions whose session host was killed, if it was: the next host does so before it serves anybody.
/// Returns whether it was.
pub(super) fn end_leftovers(context: &Context) -> Result<bool, CliError> {
    if !lock_holders::was_host_killed(&context.home) {
        return Ok(false);
    }
    spawn_host(&host_command(&context.home), HOST_TIME_MAX).map_err(|error| {
        CliError::unavailable(format!("cannot end the processes that a killed session host left: {error}"))
    })?;
    tell_host(context, true);
    end_host(context)?;
    Ok(true)
}

/// Waits until the session host has ended, and with it all sessions. A host that goes on gets SIGTERM, which ends its
/// sessions as well: a node without a connection could not tell it. True if a host ran.
pub(super) fn end_host(context: &Context) -> Result<bool, CliError> {
    let looked_until = Instant::now() + TOLD_TIME_MAX;
    let (pid, process) = loop {
        match lock_holders::host(&context.home)? {
            None => match lock_holders::host_without_lock(&context.home) {
                None => return Ok(false),
                Some((pid, process)) => break (Some(pid), Some(process)),
            },
            // A host that starts or ends in this moment has the lock, but no process by its name yet or any more.
            Some((_, None)) if Instant::now() < looked_until => std::thread::sleep(Duration::from_millis(20)),
            Some(host) => break host,
        }
    };
    let (Some(pid), Some(process)) = (pid, process) else {
        let lock = context.home.host_lock();
        let pid = pid.map(|pid| format!(" (pid {})", pid.as_raw_nonzero())).unwrap_or_default();
        return Err(CliError::unavailable(format!(
            "a session host{pid} holds {}, and its process cannot be found: its sessions may be alive",
            lock.display()
        ))
        .hint("it may have just ended: try again"));
    };
    let number = pid.as_raw_nonzero();
    let failed = |error: &dyn std::fmt::Display| {
        CliError::unavailable(format!("cannot end the session host (pid {number}): {error}"))
    };
    let wait = |patience| wait::readable(&process, Instant::now() + patience).map_err(|error| failed(&error));
    if wait(TOLD_TIME_MAX)? {
        return Ok(true);
    }
    match pidfd_send_signal(&process, Signal::TERM) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(error) => return Err(failed(&error)),
    }
    if !is_stopped(number.get().unsigned_abs()) && wait(HOST_TIME_MAX)? {
        return Ok(true);
    }
    if is_stopped(number.get().unsigned_abs()) {
        return Err(CliError::unavailable(format!(
            "the session host (pid {number}) is stopped (SIGSTOP), so it and its sessions are still alive"
        ))
        .hint(format!("`kill -CONT {number}` lets it end its sessions and itself")));
    }
    let waited = (TOLD_TIME_MAX + HOST_TIME_MAX).as_secs();
    Err(CliError::unavailable(format!(
        "the session host (pid {number}) did not end within {waited} s, so it and its sessions may still be alive"
    ))
    .hint(format!(
        "sessions get their `grace` to end: try again later. `kill -9 {number}` ends a host that hangs, and the next node \
         ends what is left of its sessions"
    )))
}
