//! `cis node status`.

use cis_core::api::NodeView;

use super::probe::{Probe, probe};
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::lock_holders::{other_host, other_node};
use crate::output::{self, human};
use cis_local::now_ms;

/// Show whether a node is running, and where; starts none
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis node status
  cis node status --json | jq -r .socket")]
pub(crate) struct Args {}

pub(super) fn run(context: &Context) -> Result<Exit, CliError> {
    let node = context.block_on(view(context))?;
    output::show(context.json, &node, |node| human::node(node, now_ms()))?;
    Ok(Exit::OK)
}

/// The node as it says itself; where none runs, what is known without one.
pub(crate) async fn view(context: &Context) -> Result<NodeView, CliError> {
    match probe(context).await? {
        Probe::Running(node) => Ok(*node),
        Probe::Unresponsive(node) => Err(node.problem(&context.home)),
        Probe::Absent => Ok(NodeView {
            running: false,
            pid: None,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            socket: context.socket().display().to_string(),
            home: context.home.dir.display().to_string(),
            did: None,
            host_pid: None,
            stays: false,
            paused: false,
            started_ms: None,
            open_runs: 0,
            live_sessions: 0,
            max_sessions: 0,
            outbox: 0,
            rooms: Vec::new(),
            observes: Vec::new(),
            warnings: other_node(&context.home).into_iter().chain(other_host(&context.home)).collect(),
            remote: None,
        }),
    }
}
