//! `cis node stop`.

use std::io;
use std::time::{Duration, Instant};

use cis_client::ClientError;
use cis_core::api::{NodeView, StopNode};
use cis_local::LockFile;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::force;
use super::probe::{self, Probe, probe};
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::lock_holders::{self, host_without_lock, other_host, other_node, unresponsive_node};
use crate::output::clean::clean_lines;
use crate::{node_start, output, wait};

/// A node ends within this time, whatever it has to write.
const STOP_TIME_MAX: Duration = Duration::from_secs(30);

/// Stop the node
///
/// Sessions continue, and the next node takes them over, unless you give --kill-sessions. Runs continue when the next
/// node starts.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis node stop
  cis node stop --kill-sessions")]
pub(crate) struct Args {
    /// End all sessions as well
    #[arg(long)]
    kill_sessions: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let how = StopNode { kill_sessions: args.kill_sessions };
    if context.is_remote() {
        return from_afar(context, &how);
    }
    let mut found = match context.block_on(probe(context)) {
        // The socket cannot be used, but nothing is there to be stopped but a host.
        Err(_) if lock_holders::is_absent(&context.home) && !context.in_session() => Probe::Absent,
        found => found?,
    };
    if let (Probe::Unresponsive(node), true) = (&found, context.in_session()) {
        // A process of a session has no right to end it.
        return Err(node.problem(&context.home));
    }
    let is_absent = matches!(found, Probe::Absent) && !context.in_session();
    let host_alone = is_absent && lock_holders::host(&context.home)?.is_some();
    if is_absent {
        // A node whose lock file was deleted has the only connection to the session host.
        if let Some(other) = other_node(&context.home) {
            return Err(CliError::unavailable(other));
        }
        match host_without_lock(&context.home) {
            Some(_) if args.kill_sessions => {}
            Some((pid, _)) => return Err(without_lock(context, pid)),
            None => {
                if let Some(other) = other_host(&context.home) {
                    let hint = "if you end that process, it ends its sessions";
                    return Err(CliError::unavailable(other).hint(hint));
                }
            }
        }
    }
    if host_alone && args.kill_sessions {
        // A node records how sessions end; without one they are ended as well.
        match node_start::ensure(&context.home, &context.overrides, false) {
            Ok(_) => found = context.block_on(probe(context))?,
            Err(error) => {
                let why = clean_lines(error.detail());
                output::note(&format!("{why}\nThe session host ends the sessions without a node.\n"));
                force::tell_host(context, true);
            }
        }
    } else if host_alone {
        // The session host restarts a node that was killed. A node that starts in this moment ends, because the home is taken: the
        // host serves one connection at a time.
        let held = LockFile::take(&context.home.node_lock());
        if !matches!(held, Ok(None)) {
            force::tell_host(context, false);
        }
        drop(held);
        found = context.block_on(probe(context))?;
    }
    let ends_sessions = args.kill_sessions && !context.in_session();
    let unsent = if let Probe::Running(node) = &found { node.outbox } else { 0 };
    let stopped = match found {
        Probe::Running(node) => {
            context.block_on(stop_and_wait(context, &node, &how))?;
            true
        }
        Probe::Unresponsive(node) => {
            force::end(context, &node, how.kill_sessions)?;
            true
        }
        Probe::Absent => false,
    };
    let host_stopped = ends_sessions && force::end_host(context)?;
    let leftovers_ended = ends_sessions && !host_stopped && force::end_leftovers(context)?;
    let answer = serde_json::json!({ "running": false, "stopped": stopped });
    output::show(context.json, &answer, |_| {
        let node = if stopped { "The node has stopped." } else { "No node was running." };
        let host = match (stopped, host_stopped, leftovers_ended) {
            (_, _, true) => " What a killed session host left has ended.",
            (false, true, false) => " The session host has stopped.",
            _ => "",
        };
        format!("{node}{host}\n")
    })?;
    if let Some(note) = unsent_note(unsent) {
        output::note(&note);
    }
    Ok(Exit::OK)
}

/// No other session host can be started, and no node, until the one without a lock has ended.
fn without_lock(context: &Context, pid: Pid) -> CliError {
    let lock = context.home.host_lock();
    CliError::unavailable(format!(
        "the session host of this home (pid {}) runs, but its lock file {} was deleted, so no node can start",
        pid.as_raw_nonzero(),
        lock.display()
    ))
    .hint("`cis node stop --kill-sessions` ends it and its sessions")
}

/// What is said of messages to rooms that a node had not sent when it was stopped. None: there were none.
fn unsent_note(outbox: u64) -> Option<String> {
    let messages = match outbox {
        0 => return None,
        1 => "1 message to a room was not sent".to_owned(),
        n => format!("{n} messages to rooms were not sent"),
    };
    Some(format!(
        "{messages}: the other nodes of a room may not know all of this node's runs before it starts again.\n"
    ))
}

/// Tells a node elsewhere to stop; that its process is gone cannot be seen from here.
fn from_afar(context: &Context, how: &StopNode) -> Result<Exit, CliError> {
    let client = context.client()?;
    context.block_on(async { Ok(client.stop_node(how).await?) })?;
    let answer = serde_json::json!({ "running": false, "stopped": true });
    output::show(context.json, &answer, |_| format!("The node at {} stops.\n", client.place()))?;
    Ok(Exit::OK)
}

/// Stops the node and waits until its process is gone.
pub(super) async fn stop_and_wait(
    context: &Context,
    node: &NodeView,
    how: &StopNode,
) -> Result<(), CliError> {
    // Opened before it is told: afterwards the number may be another process's.
    let process = node
        .pid
        .and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?))
        .and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    let client = context.client_of_running()?;
    match client.stop_node(how).await {
        // It may be gone before its answer is read.
        Ok(()) | Err(ClientError::Io { .. }) => {}
        // It answered a moment ago, and hangs now, or fails.
        Err(ClientError::Timeout { .. }) => {
            return force::end(context, &unresponsive_node(&context.home), how.kill_sessions);
        }
        Err(ClientError::Problem(problem)) if probe::is_failure(&problem) => {
            return force::end(context, &unresponsive_node(&context.home), how.kill_sessions);
        }
        Err(error) => return Err(error.into()),
    }
    let Some(process) = process else { return Ok(()) };
    // A pidfd becomes readable when its process has ended: pidfd_open(2).
    match wait::readable(&process, Instant::now() + STOP_TIME_MAX) {
        Ok(true) => Ok(()),
        Ok(false) => Err(CliError::unavailable(format!(
            "the node (pid {}) was told to stop, but did not within {} s",
            node.pid.unwrap_or_default(),
            STOP_TIME_MAX.as_secs()
        ))
        .hint("its log says why; its sessions survive `kill -9` of the node")),
        Err(error) => Err(unknown(&error)),
    }
}

fn unknown(error: &io::Error) -> CliError {
    CliError::unavailable(format!("cannot find out whether the node stopped: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rooms_lack_is_said() {
        assert_eq!(unsent_note(0), None);
        assert!(unsent_note(1).unwrap().starts_with("1 message to a room was not sent: "));
        assert!(unsent_note(2).unwrap().starts_with("2 messages to rooms were not sent: "));
    }
}
