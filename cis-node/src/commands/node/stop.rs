//! `cis node stop`.

use std::io;
use std::time::{Duration, Instant};

use cis_core::api::{NodeView, ProblemKind, StopNode};
use cis_core::client::ClientError;
use cis_core::local::ConnectError;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::force;
use super::probe::{self, Probe, probe};
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::{node_start, output, wait};

/// A node ends within this time, whatever it has to write.
const STOP_TIME_MAX: Duration = Duration::from_secs(30);

/// Stops the node
///
/// Sessions go on, and the next node has them again, unless --kill-sessions is given. Runs go on when a node does.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis node stop
  cis node stop --kill-sessions")]
pub(crate) struct Args {
    /// End every session as well
    #[arg(long)]
    kill_sessions: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let how = StopNode { kill_sessions: args.kill_sessions };
    if context.is_remote() {
        return from_afar(context, &how);
    }
    // Sessions can be without a node, but only a node can end them in good order.
    let mut not_started = None;
    if args.kill_sessions && host_runs(context) {
        match node_start::ensure(&context.home, &context.overrides, false) {
            Ok(_) => {}
            // Such as with a damaged store, with which no node can start.
            Err(CliError::Problem(problem))
                if problem.kind == ProblemKind::Unavailable && !context.in_session() =>
            {
                not_started = Some(problem.detail);
            }
            Err(error) => return Err(error),
        }
    }
    let stopped = context.block_on(async {
        match probe(context).await? {
            Probe::Running(node) => stop_and_wait(context, &node, &how).await.map(|()| true),
            Probe::Absent => match &not_started {
                Some(why) => force::end_sessions(context, why).map(|()| false),
                None => Ok(false),
            },
            Probe::Silent(silent) => force::end(context, &silent, how.kill_sessions).map(|()| true),
        }
    })?;
    let answer = serde_json::json!({ "running": false, "stopped": stopped });
    output::show(context, &answer, |_| {
        if stopped { "The node has stopped.\n".to_owned() } else { "No node was running.\n".to_owned() }
    })?;
    Ok(Exit::OK)
}

/// Whether a session host runs, even if it cannot be reached.
fn host_runs(context: &Context) -> bool {
    !matches!(context.home.host_place().connect(), Err(ConnectError::Absent { .. }))
}

/// Tells a node elsewhere to stop; that its process is gone cannot be seen from here.
fn from_afar(context: &Context, how: &StopNode) -> Result<Exit, CliError> {
    let client = context.client()?;
    context.block_on(async { Ok(client.stop_node(how).await?) })?;
    let answer = serde_json::json!({ "running": false, "stopped": true });
    output::show(context, &answer, |_| format!("The node at {} stops.\n", client.place()))?;
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
            return force::end(context, &probe::silent(context), how.kill_sessions);
        }
        Err(ClientError::Problem(problem)) if probe::is_failure(&problem) => {
            return force::end(context, &probe::silent(context), how.kill_sessions);
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
        .hint("its log tells why; its sessions outlive `kill -9` of it")),
        Err(error) => Err(unknown(&error)),
    }
}

fn unknown(error: &io::Error) -> CliError {
    CliError::unavailable(format!("the node was told to stop; whether it did is not known: {error}"))
}
